//! The attacks of the demo, beside the people whom they are to keep out: a guesser who then has a
//! stolen password, toll fraud with it, and a ransom flood on a site of eight lines while known
//! callers, people who never called, and an emergency call want to get through.
//!
//! All of them know of the edge what they could know in the world. Who got through is told by ear:
//! the office speaks in a way of its own, and a caller is connected when it is heard.

mod agent;
mod answerer;
mod caller;
mod ear;
mod flood;
mod report;
mod thieves;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use self::agent::{Place, Watcher};
use self::answerer::Answerer;
pub use self::report::{
    Attackers, Flood, Fraudster, Guesser, Legitimate, Noticed, Screening, Share, Siege,
};
use super::leaks::Secrets;
use super::totals::Totals;

/// What the edge says of itself.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Open incidents.
    pub incidents: Vec<Noticed>,
    /// Addresses that are blocked or limited.
    pub blocked: Vec<IpAddr>,
    /// A site knows that it is flooded with calls.
    pub flood_alarm: bool,
}

/// A user of the phones, and the secret.
#[derive(Clone)]
pub struct PhoneUser {
    /// The user name.
    pub name: String,
    /// The password.
    pub secret: String,
}

/// Where the attacks take place.
#[derive(Clone)]
pub struct SiegeConfig {
    /// For how long.
    pub length: Duration,
    /// The edge's UDP address outside.
    pub edge_outside: SocketAddr,
    /// The edge's UDP address inside.
    pub edge_inside: SocketAddr,
    /// Where the carrier of the flooded site answers.
    pub carrier: SocketAddr,
    /// Where the phone system of the flooded site answers.
    pub pbx: SocketAddr,
    /// Where the carrier of the phones answers.
    pub phones_carrier: SocketAddr,
    /// The number of the flooded site that all call.
    pub number: String,
    /// Lines of the flooded site.
    pub channels: u64,
    /// The domain of the phones.
    pub realm: String,
    /// Users of phones: the first one's password gets stolen, the second one is staff.
    pub users: [PhoneUser; 2],
    /// Where the two phones are.
    pub phones: [IpAddr; 2],
    /// Where the guesser comes from.
    pub guessers: Vec<IpAddr>,
    /// Where the stolen password is used.
    pub thief: IpAddr,
    /// What the edge says of itself, asked now and then.
    pub ask: Arc<dyn Fn() -> Seen + Send + Sync>,
    /// Everything random follows from it.
    pub seed: u64,
}

/// The shortest siege that shows all of it.
pub const LENGTH_MIN: Duration = Duration::from_secs(25);
/// Between two questions to the edge.
const ASK_EACH: Duration = Duration::from_millis(100);

/// The attacks, under way.
pub(super) struct Running {
    closing: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    stop_last: Arc<AtomicBool>,
    actors: Vec<JoinHandle<()>>,
    last: Vec<JoinHandle<()>>,
}

/// What all actors share.
#[derive(Clone)]
struct Stage {
    config: SiegeConfig,
    totals: Arc<Mutex<Totals>>,
    watcher: Watcher,
    /// Nobody new is to call.
    closing: Arc<AtomicBool>,
    /// All are to end.
    stop: Arc<AtomicBool>,
    begun: Instant,
    /// When the stolen password was used, and when the flood began.
    marks: Arc<Mutex<Marks>>,
    /// Calls that reached the carrier of the phones.
    at_carrier: Arc<AtomicU64>,
}

#[derive(Clone, Copy, Default)]
struct Marks {
    stolen: Option<Instant>,
    flood: Option<Instant>,
}

impl Running {
    /// Starts all of them.
    pub(super) fn start(
        config: SiegeConfig,
        secrets: &Secrets,
        totals: &Arc<Mutex<Totals>>,
    ) -> io::Result<Running> {
        secrets.address(config.pbx.ip());
        let flag = Arc::<AtomicBool>::default;
        let (closing, stop, stop_last) = (flag(), flag(), flag());
        let stage = Stage {
            watcher: Watcher {
                secrets: secrets.clone(),
                totals: Arc::clone(totals),
            },
            totals: Arc::clone(totals),
            closing: Arc::clone(&closing),
            stop: Arc::clone(&stop),
            begun: Instant::now(),
            marks: Arc::default(),
            at_carrier: Arc::default(),
            config,
        };
        let mut last = Vec::new();
        let outside = Some(stage.watcher.clone());
        for (name, local, watcher, seen) in [
            (
                "carrier-b",
                stage.config.carrier,
                outside.clone(),
                Arc::default(),
            ),
            ("office", stage.config.pbx, None, Arc::default()),
            (
                "carrier-c",
                stage.config.phones_carrier,
                outside,
                Arc::clone(&stage.at_carrier),
            ),
        ] {
            let answerer = Answerer::new(local, watcher, seen)?;
            let stop = Arc::clone(&stop_last);
            last.push(spawn(name, move || answerer.run(&stop))?);
        }
        let watch = stage.clone();
        let until = Arc::clone(&stop_last);
        last.push(spawn("watch", move || watch.watch(&until))?);
        let mut actors = Vec::new();
        let flood = stage.clone();
        actors.push(spawn("flood", move || flood::run(&flood))?);
        actors.push(spawn("thieves", move || thieves::run(&stage))?);
        Ok(Running {
            closing,
            stop,
            stop_last,
            actors,
            last,
        })
    }

    /// Ends it: nobody new calls, and when those who do are done, the attackers hang up.
    pub(super) fn finish(&mut self) {
        self.closing.store(true, Relaxed);
        for actor in self.actors.drain(..) {
            // One that panicked has left its part undone, which the report shows.
            let _ = actor.join();
        }
        self.stop_last.store(true, Relaxed);
        for actor in self.last.drain(..) {
            let _ = actor.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        self.stop_last.store(true, Relaxed);
    }
}

impl Stage {
    fn siege(&self) -> impl std::ops::DerefMut<Target = Totals> + '_ {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody outside, in the edge's own domain.
    fn outside(&self, from: IpAddr, domain: &str) -> Place {
        Place {
            from,
            edge: self.config.edge_outside,
            domain: domain.to_owned(),
            watcher: Some(self.watcher.clone()),
            stop: Arc::clone(&self.stop),
        }
    }

    /// A line of the office.
    fn inside(&self) -> Place {
        Place {
            from: self.config.pbx.ip(),
            edge: self.config.edge_inside,
            domain: self.config.edge_inside.to_string(),
            watcher: None,
            stop: Arc::clone(&self.stop),
        }
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Relaxed) || self.stopped()
    }

    fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// Waits until so long after the beginning; whether it goes on then.
    fn at(&self, moment: Duration) -> bool {
        while self.begun.elapsed() < moment && !self.stopped() {
            std::thread::sleep(Duration::from_millis(10));
        }
        !self.stopped()
    }

    /// Asks the edge what it found, until `stop`.
    fn watch(&self, stop: &AtomicBool) {
        let config = &self.config;
        let own: Vec<IpAddr> = [
            config.carrier.ip(),
            config.pbx.ip(),
            config.phones_carrier.ip(),
        ]
        .into_iter()
        .chain(config.phones)
        .collect();
        let mut banned: Vec<IpAddr> = Vec::new();
        while !stop.load(Relaxed) {
            std::thread::sleep(ASK_EACH);
            let seen = (config.ask)();
            let now = Instant::now();
            for address in seen.blocked {
                if own.contains(&address) && !banned.contains(&address) {
                    banned.push(address);
                }
            }
            let mut totals = self.siege();
            let siege = &mut totals.report.siege;
            siege.false_bans = banned.len() as u64;
            let marks = *self.marks();
            if let (true, Some(since)) = (seen.flood_alarm, marks.flood) {
                siege.detected_after_s.get_or_insert(seconds(now - since));
            }
            for noticed in seen.incidents {
                let kind = noticed.kind.clone();
                let same =
                    |old: &Noticed| old.kind == noticed.kind && old.subject == noticed.subject;
                let place = siege.incidents.iter().position(same);
                match place {
                    Some(place) => siege.incidents[place] = noticed,
                    None if siege.incidents.len() < INCIDENTS_MAX => siege.incidents.push(noticed),
                    None => {}
                }
                if let ("compromise", Some(since), Some(guesser)) =
                    (kind.as_str(), marks.stolen, &mut siege.attackers.guesser)
                {
                    guesser.alarm_after_s.get_or_insert(seconds(now - since));
                }
            }
        }
    }
}

fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 100.0).round() / 100.0
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(format!("demo-{name}"))
        .spawn(work)
}

/// Incidents that are kept.
const INCIDENTS_MAX: usize = 100;

//! Simulated peers on real sockets: a carrier over TLS 1.3 with SRTP, a PBX over UDP with plain
//! RTP, calls in both directions whose sound is checked packet by packet, and an attacker.
//!
//! They know of the edge what real peers know: its addresses. They use this project's own SIP and
//! RTP crates, so they prove that the edge works end to end, not that it agrees with others; that
//! is what the tests with other people's phones and servers are for.
#![allow(clippy::disallowed_methods)] // these peers live in real time

mod attacker;
mod audio;
mod endpoint;
mod leaks;
mod report;
mod siege;
mod totals;
mod wire;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ringfence_base::Instant;
use rustls::{ClientConfig, ServerConfig};

use self::attacker::Target;
use self::endpoint::{Endpoint, Role};
use self::leaks::Secrets;
pub use self::report::{Attacker, Calls, Media, Percentiles, Report, Way};
pub use self::siege::{
    Attackers, Flood, Fraudster, Guesser, LENGTH_MIN, Legitimate, Noticed, PhoneUser, Screening,
    Seen, Share, Siege, SiegeConfig,
};
use self::totals::Totals;
use self::wire::Wire;

/// Where everybody is, and what they do.
#[derive(Clone)]
pub struct DemoConfig {
    /// The edge's TLS address outside.
    pub edge_outside_tls: SocketAddr,
    /// The edge's UDP address outside, where the attacker knocks.
    pub edge_outside_udp: SocketAddr,
    /// The edge's TCP address outside.
    pub edge_outside_tcp: SocketAddr,
    /// The edge's media ports outside.
    pub edge_outside_media: RangeInclusive<u16>,
    /// The edge's UDP address inside.
    pub edge_inside_udp: SocketAddr,
    /// Where the carrier listens (TLS).
    pub carrier: SocketAddr,
    /// Where the PBX listens (UDP).
    pub pbx: SocketAddr,
    /// Where the attacker sits.
    pub attacker: IpAddr,
    /// The site's numbers, in E.164.
    pub numbers: Vec<String>,
    /// How the carrier's server identifies itself.
    pub carrier_server: Arc<ServerConfig>,
    /// Whom the carrier's client believes.
    pub carrier_client: Arc<ClientConfig>,
    /// Everything random follows from it.
    pub seed: u64,
    /// New calls a second, both directions together.
    pub calls_per_second: f64,
    /// How long each end of a call speaks.
    pub talk: Duration,
    /// The attacks beside the scanner; none where the demo is too short for them.
    pub siege: Option<SiegeConfig>,
}

/// The peers at work.
pub struct Demo {
    stop_peers: Arc<AtomicBool>,
    stop_attacker: Arc<AtomicBool>,
    totals: Arc<Mutex<Totals>>,
    peers: Vec<JoinHandle<()>>,
    attacker: Option<JoinHandle<()>>,
    siege: Option<siege::Running>,
}

/// How long the last calls may take to end once no new ones are placed.
const PATIENCE: Duration = Duration::from_secs(20);

impl Demo {
    /// Starts the peers; calls begin at once.
    pub fn start(config: DemoConfig) -> io::Result<Demo> {
        let clock = Clock::start();
        let secrets = Secrets::default();
        let totals = Arc::new(Mutex::new(Totals::default()));
        let stop_peers = Arc::new(AtomicBool::new(false));
        let stop_attacker = Arc::new(AtomicBool::new(false));
        secrets.address(config.edge_inside_udp.ip());
        let role = |inside: bool| Role {
            inside,
            product: if inside {
                "HoldenPBX/7.2"
            } else {
                "CarrierSwitch/3"
            }
            .to_owned(),
            origin: if inside { "holden-office" } else { "carrier" }.to_owned(),
            secure: !inside,
            edge: if inside {
                config.edge_inside_udp
            } else {
                config.edge_outside_tls
            },
            rate: config.calls_per_second / 2.0,
            talk: config.talk,
            numbers: config.numbers.clone(),
            seed: config.seed ^ u64::from(inside),
        };
        let carrier = Wire::tls(
            config.carrier,
            Arc::clone(&config.carrier_server),
            Arc::clone(&config.carrier_client),
        )?;
        let mut peers = Vec::new();
        for (name, role, wire) in [
            ("carrier", role(false), carrier),
            ("pbx", role(true), Wire::udp(config.pbx)?),
        ] {
            let endpoint = Endpoint::new(role, wire, secrets.clone(), Arc::clone(&totals))?;
            let stop = Arc::clone(&stop_peers);
            let thread = std::thread::Builder::new().name(format!("demo-{name}"));
            peers.push(thread.spawn(move || endpoint.run(clock, &stop, PATIENCE))?);
        }
        let siege = match &config.siege {
            Some(siege) => Some(siege::Running::start(siege.clone(), &secrets, &totals)?),
            None => None,
        };
        let target = Target {
            from: config.attacker,
            udp: config.edge_outside_udp,
            tcp: config.edge_outside_tcp,
            media: config.edge_outside_media.clone(),
            seed: config.seed,
        };
        let (stop, sums) = (Arc::clone(&stop_attacker), Arc::clone(&totals));
        let thread = std::thread::Builder::new().name("demo-attacker".to_owned());
        let attacker = thread.spawn(move || attacker::run(&target, &stop, &secrets, &sums))?;
        Ok(Demo {
            stop_peers,
            stop_attacker,
            totals,
            peers,
            attacker: Some(attacker),
            siege,
        })
    }

    /// What is known so far. Loss counts calls that are over.
    pub fn report(&self) -> Report {
        self.totals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .report()
    }

    /// Places no more calls, lets those in progress end, and says what came of it all.
    pub fn finish(mut self) -> Report {
        if let Some(siege) = &mut self.siege {
            siege.finish();
        }
        self.stop_peers.store(true, Relaxed);
        for peer in self.peers.drain(..) {
            // A peer that panicked has left its calls unfinished, which the report shows.
            let _ = peer.join();
        }
        self.stop_attacker.store(true, Relaxed);
        if let Some(attacker) = self.attacker.take() {
            let _ = attacker.join();
        }
        self.report()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.stop_peers.store(true, Relaxed);
        self.stop_attacker.store(true, Relaxed);
    }
}

/// The real clock, as the machines want it.
#[derive(Clone, Copy)]
struct Clock {
    origin: std::time::Instant,
}

impl Clock {
    fn start() -> Clock {
        Clock {
            origin: std::time::Instant::now(),
        }
    }

    fn now(self) -> Instant {
        let nanos = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // One second in, so that "before" has room.
        Instant::from_nanos(nanos.saturating_add(1_000_000_000))
    }
}

/// Waits until one of the sockets can be read, or for `patience`, at most 50 ms.
fn wait(descriptors: &[RawFd], patience: Option<Duration>) {
    const MOST: Duration = Duration::from_millis(50);
    let patience = patience.unwrap_or(MOST).min(MOST);
    let mut polled: Vec<libc::pollfd> = descriptors
        .iter()
        .map(|&fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    let time = libc::timespec {
        tv_sec: 0,
        tv_nsec: patience.subsec_nanos() as libc::c_long,
    };
    // SAFETY: `polled` is an array of `polled.len()` pollfd that lives across the call, `time` lives
    // across it too, and a null mask changes no signals.
    unsafe {
        libc::ppoll(
            polled.as_mut_ptr(),
            polled.len() as libc::nfds_t,
            &time,
            std::ptr::null(),
        );
    }
}

//! The seeded world: a network, a carrier, a phone system, strangers, and the cores of an edge in
//! virtual time. One seed is one history, always the same.
//!
//! [`run`] plays it until nothing moves any more and says whether all held that must hold: no call
//! and no resource left, one consistent record for each attempt, nothing of one side seen on the
//! other, nothing at all to strangers, and the right audio in the right call.
//!
//! Left out on purpose: TCP and TLS (the edge's own tests), SRTP (those of `media`).

mod chaos;
mod check;
mod edge;
mod leaks;
mod network;
mod site;

use std::collections::BTreeMap;
use std::time::Duration;

use ringfence_base::entropy::SeededEntropy;
use ringfence_base::time::WallAnchor;
use ringfence_base::{Entropy, HashKey, Instant, TimerQueue, UnixTime};
use ringfence_session::cdr::Cdr;
use ringfence_session::event::Event;
use ringfence_sip::{Index, Method};

use crate::agent::script::{Script, pick};
use crate::agent::{Agent, Datagram, Fault, Side};
use chaos::Incident;
use edge::Edge;
use leaks::Watch;
use network::Network;
pub use network::Weather;

/// What a world came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Calls that were scripted.
    pub calls: usize,
    /// Workers of the edge.
    pub workers: u8,
    /// The network.
    pub weather: Weather,
    /// Attempts that reached the edge.
    pub attempts: usize,
    /// Of those, answered.
    pub answered: usize,
    /// Datagrams that arrived somewhere.
    pub datagrams: u64,
    /// Audio packets that arrived at the other end of their call.
    pub heard: u32,
    /// Virtual time that passed.
    pub lasted: Duration,
    /// A hash of every datagram that arrived, when and where.
    pub transcript: u128,
}

/// Something that must never happen.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Violation {
    /// Audio did not arrive though nothing was in its way.
    #[error("call {call}: sent {sent:?} (inside, outside), heard {heard:?} of it")]
    AudioLost {
        /// Index of the call.
        call: usize,
        /// Packets sent by the inside and the outside.
        sent: (u32, u32),
        /// Packets of these heard on the other side.
        heard: (u32, u32),
    },
    /// The edge did to an agent what it must not.
    #[error("{side:?}: {fault}")]
    Fault {
        /// The agent's side.
        side: Side,
        /// What it was.
        fault: Fault,
    },
    /// Something of one side was seen on the other.
    #[error("{secret} was seen on the side {side:?}: {datagram}")]
    Leak {
        /// Where it was seen.
        side: Side,
        /// What it was.
        secret: String,
        /// The datagram, or empty if it was found afterwards.
        datagram: String,
    },
    /// Something was left when all was quiet.
    #[error("left at the end: {0}")]
    Left(String),
    /// It never becomes quiet.
    #[error("still not quiet after {0:?} of virtual time")]
    NeverQuiet(Duration),
    /// A call's machine panicked.
    #[error("a call panicked: {0}")]
    Panicked(String),
    /// Of several phones that answered, one was left alone.
    #[error("call {call}: a phone answered and never got a BYE")]
    PhoneLeft {
        /// Index of the call.
        call: usize,
    },
    /// An attempt has no record, or more than one.
    #[error("call {call}: {count} records")]
    RecordCount {
        /// Index of the call.
        call: usize,
        /// How many.
        count: usize,
    },
    /// A record contradicts itself.
    #[error("an inconsistent record: {0:?}")]
    RecordInconsistent(Box<Cdr>),
    /// A record says another status than the caller was told.
    #[error("the caller was told {told:?}: {cdr:?}")]
    RecordOfAnotherStatus {
        /// What the caller was told.
        told: Option<u16>,
        /// The record.
        cdr: Box<Cdr>,
    },
    /// A record of an attempt that nobody made.
    #[error("a record of nothing: {0:?}")]
    RecordOfNothing(Box<Cdr>),
    /// The edge sent something to somebody who is no peer.
    #[error("sent to the stranger {0}")]
    Stranger(std::net::SocketAddr),
    /// An agent's part of a call never ended.
    #[error("call {call} never ended for the side {side:?}")]
    Stuck {
        /// The agent's side.
        side: Side,
        /// Index of the call.
        call: usize,
    },
    /// On a perfect network the caller got another answer than the callee gave.
    #[error("call {call}: the caller got {got:?} and not {expected}")]
    WrongAnswer {
        /// Index of the call.
        call: usize,
        /// The callee's answer.
        expected: u16,
        /// The caller's.
        got: Option<u16>,
    },
}

/// Plays the history of `seed`.
pub fn run(seed: u64) -> Result<Outcome, Violation> {
    World::new(seed).play(|_, _| {})
}

/// The same, and shows each datagram that arrives to `observe`, with the virtual time.
pub fn replay(seed: u64, observe: impl FnMut(Instant, &Datagram)) -> Result<Outcome, Violation> {
    World::new(seed).play(observe)
}

struct World {
    now: Instant,
    weather: Weather,
    network: Network,
    edge: Edge,
    /// Inside, outside.
    agents: [Agent; 2],
    watches: [Watch; 2],
    scripts: Vec<Script>,
    incidents: TimerQueue<Incident>,
    /// Whether calls may fail by what was done to the edge.
    disturbed: bool,
    entropy: SeededEntropy,
    workers: u8,
    /// Call-IDs of the INVITEs that reached the edge: who called, and which call.
    attempts: BTreeMap<Vec<u8>, (Side, usize)>,
    datagrams: u64,
    transcript: u128,
}

const START: Instant = Instant::from_nanos(1_000_000_000);
const ANCHOR: WallAnchor = WallAnchor {
    instant: START,
    unix: UnixTime::from_micros(1_795_000_000_000_000),
};

/// Longer than any call, timer and drain together.
const QUIET_AFTER_MAX: Duration = Duration::from_secs(900);

/// Most calls of a world.
const CALLS_MAX: u64 = 4;

impl World {
    fn new(seed: u64) -> World {
        let mut entropy = SeededEntropy::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let weather = Weather::draw(&mut entropy);
        let workers = pick(&mut entropy, &[(1, 1), (1, 2), (1, 4)]);
        let calls = 1 + entropy.below(CALLS_MAX);
        let scripts: Vec<Script> = (0..calls).map(|_| Script::draw(&mut entropy)).collect();
        let happenings = chaos::draw(&mut entropy);
        let disturbs = |incident: &Incident| {
            use Incident::{Drain, OperatorHangUp, Reload};
            matches!(incident, Drain | OperatorHangUp | Reload)
        };
        let disturbed = happenings.iter().any(|(_, incident)| disturbs(incident));
        let mut incidents = TimerQueue::default();
        for (after, incident) in happenings {
            incidents.schedule(START + after, incident);
        }
        let edge = Edge::new(workers, site::plan(8), ANCHOR, &mut entropy);
        let audio_key = entropy.next_u64();
        let agents =
            Side::BOTH.map(|side| Agent::new(site::identity_of(side), &scripts, audio_key, START));
        World {
            now: START,
            weather,
            network: Network::new(weather, entropy.next_u64()),
            edge,
            agents,
            watches: Default::default(),
            scripts,
            incidents,
            disturbed,
            entropy,
            workers,
            attempts: BTreeMap::new(),
            datagrams: 0,
            transcript: 0,
        }
    }

    fn play(mut self, mut observe: impl FnMut(Instant, &Datagram)) -> Result<Outcome, Violation> {
        while let Some(at) = self.next_at() {
            self.now = self.now.max(at);
            if self.now > START + QUIET_AFTER_MAX {
                return Err(Violation::NeverQuiet(QUIET_AFTER_MAX));
            }
            while let Some(datagram) = self.network.arrive(self.now) {
                observe(self.now, &datagram);
                self.deliver(&datagram);
                self.send()?;
            }
            self.pass();
            self.send()?;
        }
        self.judge()
    }

    fn next_at(&self) -> Option<Instant> {
        let [inside, outside] = &self.agents;
        [
            self.network.next_at(),
            self.edge.poll_timeout(),
            inside.poll_timeout(),
            outside.poll_timeout(),
            self.incidents.next_at(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn deliver(&mut self, datagram: &Datagram) {
        self.datagrams += 1;
        let place = format!("{} {} ", datagram.from, datagram.to);
        self.transcript = HashKey::from_bytes(self.transcript.to_le_bytes()).hash128(&[
            &self.now.as_nanos().to_le_bytes(),
            place.as_bytes(),
            &datagram.bytes,
        ]);
        for side in Side::BOTH {
            let identity = site::identity_of(side);
            if [identity.signalling.ip(), identity.media].contains(&datagram.to.ip()) {
                return self.agents[side as usize].handle_input(self.now, datagram);
            }
            if datagram.from == identity.signalling && datagram.to == identity.edge {
                self.note_attempt(side, datagram);
            }
        }
        self.edge.handle_input(self.now, datagram);
    }

    fn note_attempt(&mut self, side: Side, datagram: &Datagram) {
        let mut index = Index::default();
        let Ok(message) = index.parse(&datagram.bytes) else {
            return;
        };
        let new_call = message.method() == Some(Method::Invite)
            && message.to().is_ok_and(|to| to.tag().is_none());
        let call_id = message.call_id().unwrap_or_default();
        let of = |leg: &crate::agent::Leg| leg.call_id() == call_id;
        let call = self.agents[side as usize].legs().iter().position(of);
        if let Some(call) = call.filter(|_| new_call) {
            self.attempts.insert(call_id.to_vec(), (side, call));
        }
        // A forged message's names are not this side's.
        if call.is_some() {
            self.watches[side as usize].note(&datagram.bytes);
        }
    }

    fn pass(&mut self) {
        self.edge.handle_timeout(self.now);
        for agent in &mut self.agents {
            agent.handle_timeout(self.now);
        }
        while let Some(incident) = self.incidents.pop_due(self.now) {
            let outside = &self.watches[Side::Outside as usize];
            let sent = chaos::happen(
                self.now,
                incident,
                &mut self.edge,
                outside,
                &mut self.entropy,
            );
            if let Some(datagram) = sent {
                self.network.send(self.now, datagram);
            }
        }
    }

    /// Puts what everybody has to send on its way, after a look at what the edge sends.
    fn send(&mut self) -> Result<(), Violation> {
        for agent in &mut self.agents {
            while let Some(datagram) = agent.poll_transmit() {
                self.network.send(self.now, datagram);
            }
        }
        for datagram in self.edge.take_out() {
            let to = datagram.to.ip();
            let side = Side::BOTH.into_iter().find(|&side| {
                let identity = site::identity_of(side);
                [identity.signalling.ip(), identity.media].contains(&to)
            });
            let Some(side) = side else {
                return Err(Violation::Stranger(datagram.to));
            };
            if let Some(secret) = self.watches[side as usize].see(side, &datagram.bytes) {
                let datagram = String::from_utf8_lossy(&datagram.bytes).into_owned();
                return Err(Violation::Leak {
                    side,
                    secret,
                    datagram,
                });
            }
            self.network.send(self.now, datagram);
        }
        Ok(())
    }

    fn judge(self) -> Result<Outcome, Violation> {
        let mut cdrs = Vec::new();
        for event in &self.edge.events {
            match event {
                Event::CallEnded(cdr) => cdrs.push((**cdr).clone()),
                Event::CallPanicked { dump, .. } => {
                    let dump = String::from_utf8_lossy(dump).into_owned();
                    return Err(Violation::Panicked(dump));
                }
                _ => {}
            }
        }
        check::agents(&self.agents)?;
        check::nothing_left(&self.edge)?;
        check::records(&self.attempts, &cdrs, &self.agents)?;
        if self.weather.is_perfect() && !self.disturbed {
            check::plain_calls(&self.scripts, &self.agents)?;
        }
        for side in Side::BOTH {
            let other = &self.watches[side.other() as usize];
            if let Some(secret) = self.watches[side as usize].name_of(other) {
                let datagram = String::new();
                return Err(Violation::Leak {
                    side,
                    secret,
                    datagram,
                });
            }
        }
        let legs = self.agents.iter().flat_map(|agent| agent.legs());
        Ok(Outcome {
            calls: self.scripts.len(),
            workers: self.workers,
            weather: self.weather,
            attempts: self.attempts.len(),
            answered: cdrs.iter().filter(|cdr| cdr.answered.is_some()).count(),
            datagrams: self.datagrams,
            heard: legs.map(|leg| leg.heard()).sum(),
            lasted: self.now.saturating_since(START),
            transcript: self.transcript,
        })
    }
}

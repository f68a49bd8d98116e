//! Sans-IO peers of the edge: a carrier and a phone system that place, take and end calls.
//!
//! An [`Agent`] is a user agent over [`ringfence_dialog::Transactions`] with its own timers, session
//! descriptions and audio. It follows the [`Script`] of each call and does what RFC
//! 3261 asks of it otherwise. Whatever it names after itself (Call-IDs, tags, hosts, users, software,
//! RTCP CNAMEs) carries its [`Identity::mark`], so that a leak is found by a search for it.
//!
//! Left out on purpose: registration, authentication, SRTP, PRACK, session timers.

pub mod audio;
mod body;
mod leg;
pub mod script;
mod uac;
mod uas;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use ringfence_base::entropy::SeededEntropy;
use ringfence_base::{Entropy, Flow, Instant, ListenerId, TimerQueue, WorkerIndex};
use ringfence_dialog::{
    Cookies, Event, Limits, Matched, Owner, ServerId, TimerTable, Transactions,
};
use ringfence_sip::{Index, Message, Method};

pub use leg::{Leg, LegState};
use script::{Action, Script};

/// Which side of the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The phone system's.
    Inside,
    /// The carrier's.
    Outside,
}

impl Side {
    /// Both of them.
    pub const BOTH: [Side; 2] = [Side::Inside, Side::Outside];

    /// The other one.
    pub const fn other(self) -> Side {
        match self {
            Side::Inside => Side::Outside,
            Side::Outside => Side::Inside,
        }
    }
}

/// Who an agent is and where.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// Its side.
    pub side: Side,
    /// Its signalling address.
    pub signalling: SocketAddr,
    /// The address of its audio.
    pub media: IpAddr,
    /// The edge's signalling address on this side.
    pub edge: SocketAddr,
    /// Occurs in all that it names after itself.
    pub mark: &'static str,
}

/// A datagram on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Source.
    pub from: SocketAddr,
    /// Destination.
    pub to: SocketAddr,
    /// Payload.
    pub bytes: Bytes,
}

/// Something that the edge must never do to its peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Audio that is not this call's, or not as it was sent.
    #[error("call {call}: audio of {bytes} bytes that the other side of this call never sent")]
    Audio {
        /// Index of the call.
        call: usize,
        /// Length of the packet.
        bytes: usize,
    },
    /// A session description without usable audio.
    #[error("call {call}: a session description without audio")]
    Description {
        /// Index of the call.
        call: usize,
    },
    /// One attempt arrived as two.
    #[error("call {call}: a second INVITE")]
    SecondInvite {
        /// Index of the call.
        call: usize,
    },
    /// A caller heard of two callees.
    #[error("call {call}: a second callee")]
    SecondCallee {
        /// Index of the call.
        call: usize,
    },
    /// An INVITE for a number that nobody dialled.
    #[error("an INVITE for a number that nobody dialled")]
    UnknownNumber,
}

/// A carrier or a phone system.
pub struct Agent {
    identity: Identity,
    transactions: Transactions,
    cookies: Cookies,
    entropy: SeededEntropy,
    tasks: TimerQueue<(usize, Action)>,
    legs: Vec<Leg>,
    out: VecDeque<Datagram>,
    faults: Vec<Fault>,
    /// Keys the audio of all calls; both agents have the same.
    audio_key: u64,
}

impl Agent {
    /// An agent that will play its part in `scripts`, from `start` on.
    pub fn new(identity: Identity, scripts: &[Script], seed: u64, start: Instant) -> Agent {
        let mut entropy = SeededEntropy::new(seed ^ (identity.side as u64 + 1));
        let mut secret = [0; 16];
        entropy.fill(&mut secret);
        let cookies = Cookies::new(secret, WorkerIndex::new(0));
        let limits = Limits {
            clients: 256,
            servers: 256,
        };
        let transactions = Transactions::new(TimerTable::default(), cookies, &mut entropy, limits);
        let mut tasks = TimerQueue::default();
        for (call, script) in scripts.iter().enumerate() {
            if script.caller == identity.side {
                tasks.schedule(start + script.start, (call, Action::Invite));
            }
        }
        let leg = |(call, script): (usize, &Script)| Leg::new(&identity, call, *script);
        Agent {
            identity,
            transactions,
            cookies,
            entropy,
            tasks,
            legs: scripts.iter().enumerate().map(leg).collect(),
            out: VecDeque::new(),
            faults: Vec::new(),
            audio_key: seed,
        }
    }

    /// Takes a datagram that was sent to one of this agent's addresses.
    pub fn handle_input(&mut self, now: Instant, datagram: &Datagram) {
        if datagram.to != self.identity.signalling {
            return self.hear(datagram);
        }
        let mut index = Index::default();
        let Ok(message) = index.parse(&datagram.bytes) else {
            return;
        };
        let call_id = message.call_id().unwrap_or_default();
        if self
            .legs
            .iter()
            .any(|leg| leg.gone && leg.call_id == call_id)
        {
            return;
        }
        let flow = Flow::udp(ListenerId::new(0), datagram.from);
        match self.transactions.handle_input(now, &flow, &message) {
            Matched::NewRequest(server) => self.on_request(now, flow, server, &message),
            Matched::Cancel { cancel, invite } => {
                self.on_cancel(now, flow, cancel, invite, &message);
            }
            Matched::Ack2xx => self.on_ack(now, &message),
            Matched::Response { client, owner } => {
                self.on_response(now, client, owner, &message);
            }
            Matched::AnotherFork2xx { owner, .. } => {
                let call = call_of(owner);
                self.faults.push(Fault::SecondCallee { call });
            }
            Matched::Retransmission
            | Matched::AckNon2xx
            | Matched::ResponseRetransmission
            | Matched::StrayResponse
            | Matched::Refused(_) => {}
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.transactions.handle_timeout(now);
        while let Some(event) = self.transactions.poll_event() {
            match event {
                Event::FellBack { .. } => {}
                Event::AckTimeout { owner, .. } => self.hang_up(now, call_of(owner)),
                Event::ClientTimeout { owner, .. } | Event::TransportFailed { owner, .. } => {
                    self.on_no_response(now, owner);
                }
            }
        }
        while let Some((call, action)) = self.tasks.pop_due(now) {
            self.act(now, call, action);
        }
    }

    /// When [`Agent::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.transactions.poll_timeout(), self.tasks.next_at()]
            .into_iter()
            .flatten()
            .min()
    }

    /// The next datagram to send. Poll until `None` after each input and timeout.
    pub fn poll_transmit(&mut self) -> Option<Datagram> {
        let from = self.identity.signalling;
        self.transactions
            .poll_transmit()
            .map(|transmit| Datagram {
                from,
                to: transmit.flow.remote,
                bytes: transmit.bytes,
            })
            .or_else(|| self.out.pop_front())
    }

    /// What the edge did that it must never do.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// This agent's legs, by index of the call.
    pub fn legs(&self) -> &[Leg] {
        &self.legs
    }

    fn act(&mut self, now: Instant, call: usize, action: Action) {
        let Some(leg) = self.legs.get_mut(call).filter(|leg| !leg.gone) else {
            return;
        };
        match action {
            Action::Answer => self.answer(now, call),
            Action::Cancel => self.give_up(now, call),
            Action::HangUp => self.hang_up(now, call),
            Action::Hold(hold) => self.re_invite(now, call, hold),
            Action::Invite => self.invite(now, call),
            Action::Provisional => self.ring(now, call),
            Action::Speak(number) => self.speak(now, call, number),
            Action::Vanish => leg.gone = true,
        }
    }

    fn on_request(&mut self, now: Instant, flow: Flow, server: ServerId, message: &Message<'_>) {
        let in_dialog = message.to().is_ok_and(|to| to.tag().is_some());
        match message.method() {
            Some(Method::Invite) if in_dialog => self.on_re_invite(now, flow, server, message),
            Some(Method::Invite) => self.on_invite(now, flow, server, message),
            Some(Method::Bye) => self.on_bye(now, flow, server, message),
            _ => self.reply(now, flow, server, message, 200),
        }
    }

    /// Ends the call of an answered leg.
    fn hang_up(&mut self, now: Instant, call: usize) {
        let leg = &self.legs[call];
        if !leg.gone && leg.state != LegState::Over && !leg.dialogs.is_empty() {
            self.legs[call].state = LegState::Over;
            self.send_bye(now, call);
        }
    }

    /// Plans what happens in an answered call.
    fn begin_talk(&mut self, now: Instant, call: usize) {
        let leg = &mut self.legs[call];
        if std::mem::replace(&mut leg.state, LegState::Up) == LegState::Up {
            return;
        }
        for (after, action) in leg.script.plan_of_talk(leg.is_caller) {
            self.tasks.schedule(now + after, (call, action));
        }
        self.begin_audio(now, call);
    }
}

/// The index of the call that a transaction belongs to.
const fn call_of(owner: Owner) -> usize {
    (owner.0 >> KIND_BITS) as usize
}

const KIND_BITS: u32 = 4;

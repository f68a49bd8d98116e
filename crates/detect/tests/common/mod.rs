//! A judge with hand-made events.

use std::net::IpAddr;
use std::time::Duration;

use ringfence_base::{Flow, HashKey, Instant, ListenerId, Transport};
use ringfence_detect::decision::{Action, Decision};
use ringfence_detect::event::{
    Asked, BindingChange, CredentialsOutcome, Event, Fingerprint, MethodKind, PeerRef, Principal,
    Proof, Refusal, Shape, Source, Tells, What,
};
use ringfence_detect::finding::{Incident, Kind, Subject};
use ringfence_detect::ladder::Modes;
use ringfence_detect::name::Name;
use ringfence_detect::watch::{Limits, Verdict, Watch};

pub(crate) const KEY: HashKey = HashKey::from_bytes([7; 16]);
/// A phone's build, and another program's.
pub(crate) const PHONE: Shape = Shape {
    fingerprint: Fingerprint(1),
    tells: Tells::NONE,
};
pub(crate) const TOOL: Shape = Shape {
    fingerprint: Fingerprint(2),
    tells: Tells::NONE,
};

pub(crate) struct Judge {
    pub(crate) watch: Watch,
    pub(crate) now: Instant,
    pub(crate) incidents: Vec<Incident>,
    pub(crate) decisions: Vec<Decision>,
    pub(crate) refused: Vec<String>,
    sent: u64,
}

#[allow(dead_code, reason = "each test file uses a part")]
impl Judge {
    pub(crate) fn new() -> Judge {
        Judge {
            watch: Watch::new(KEY, Limits::default(), Modes::default()),
            now: Instant::from_nanos(1_000_000_000),
            incidents: Vec::new(),
            decisions: Vec::new(),
            refused: Vec::new(),
            sent: 0,
        }
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.watch.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.watch.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    pub(crate) fn millis(&mut self, millis: u64) {
        self.wait(Duration::from_millis(millis));
    }

    pub(crate) fn event(&mut self, source: Source, what: What) {
        let event = Event {
            at: self.now,
            source,
            what,
        };
        self.watch.handle_event(self.now, &event);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(verdict) = self.watch.poll_verdict() {
            match verdict {
                Verdict::Incident(incident) => self.incidents.push(*incident),
                Verdict::Decided { decision, .. } => self.decisions.push(decision),
                Verdict::Refused { why, .. } => self.refused.push(why.to_string()),
                Verdict::Lifted(_) => {}
            }
        }
    }

    fn asked(&mut self, method: MethodKind, target: &str, shape: Shape) -> Asked {
        self.sent += 1;
        Asked {
            method,
            target: name(target),
            shape,
            transaction: self.sent,
        }
    }

    /// A request of a stranger where no phones are.
    pub(crate) fn refused(&mut self, from: &str, target: &str, shape: Shape) {
        let asked = self.asked(MethodKind::Options, target, shape);
        let reason = Refusal::Stranger;
        self.event(udp(from, Proof::None), What::Refused { reason, asked });
    }

    /// A request without credentials where phones are.
    pub(crate) fn challenged(&mut self, from: &str, account: &str, shape: Shape) {
        let asked = self.asked(MethodKind::Register, account, shape);
        self.event(udp(from, Proof::None), What::Challenged(asked));
    }

    pub(crate) fn credentials(
        &mut self,
        from: &str,
        account: &str,
        outcome: CredentialsOutcome,
        shape: Shape,
    ) {
        let proof = match outcome {
            CredentialsOutcome::WrongForgedNonce | CredentialsOutcome::Stale => Proof::None,
            _ => Proof::NonceEchoed,
        };
        self.sent += 1;
        let what = What::Credentials {
            account: name(account),
            outcome,
            nonce: self.sent,
            shape,
        };
        self.event(udp(from, proof), what);
    }

    pub(crate) fn wrong(&mut self, from: &str, account: &str, shape: Shape) {
        self.challenged(from, account, shape);
        self.credentials(from, account, CredentialsOutcome::Wrong, shape);
    }

    /// A phone registers as phones do: asked first, then the right answer.
    pub(crate) fn registers(&mut self, from: &str, account: &str, shape: Shape) {
        self.challenged(from, account, shape);
        self.registered(from, account, shape, BindingChange::default());
    }

    pub(crate) fn registered(
        &mut self,
        from: &str,
        account: &str,
        shape: Shape,
        change: BindingChange,
    ) {
        let mut source = udp(from, Proof::NonceEchoed);
        source.principal = Principal::Phone {
            group: PeerRef::new(9),
            user: 1,
        };
        let what = What::Registered {
            account: name(account),
            change,
            shape,
        };
        self.event(source, what);
    }

    /// Kinds of the incidents so far, without repetition, in order.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        let mut kinds: Vec<Kind> = self
            .incidents
            .iter()
            .map(|incident| incident.kind)
            .collect();
        kinds.dedup();
        kinds
    }

    pub(crate) fn banned(&self) -> Vec<IpAddr> {
        let bans = self.decisions.iter().filter(|each| each.action().is_ban());
        bans.filter_map(|decision| match decision.against() {
            Subject::Address(address) => Some(*address),
            _ => None,
        })
        .collect()
    }

    pub(crate) fn is_blocked(&self, address: &str) -> bool {
        self.watch.in_force().iter().any(|decision| {
            decision.action() == Action::Block
                && *decision.against() == Subject::Address(address.parse().unwrap())
        })
    }
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(KEY, text.as_bytes())
}

pub(crate) fn udp(from: &str, proof: Proof) -> Source {
    let flow = Flow::udp(ListenerId::new(0), format!("{from}:5060").parse().unwrap());
    Source::of(&flow, proof, Principal::Stranger)
}

#[allow(dead_code, reason = "each test file uses a part")]
pub(crate) fn tcp(from: &str) -> Source {
    let mut flow = Flow::udp(ListenerId::new(0), format!("{from}:5060").parse().unwrap());
    flow.transport = Transport::Tcp;
    Source::of(&flow, Proof::None, Principal::Stranger)
}

//! The judge: events go in, verdicts come out.
//!
//! After [`Watch::handle_event`] and [`Watch::handle_timeout`] call [`Watch::poll_verdict`] until
//! it is empty; then sleep until [`Watch::poll_timeout`] or the next event. One judge serves a
//! whole process, for an attacker's traffic reaches all workers.
//!
//! Time and memory of an event are bounded: each looks at a fixed number of table entries and
//! sketch cells, and every table has its capacity ([`Limits`]).

mod accounts;
mod forwards;
mod pbx;
mod programs;
mod recent;
mod sources;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ringfence_base::{BoundedQueue, HashKey, Instant, KeyedSet};

use crate::decision::{Decision, Mode, Proposal, Refused};
use crate::event::{
    Asked, CallStep, CredentialsOutcome, Direction, Event, Fingerprint, Forgery, MethodKind,
    PeerRef, Proof, Shape, Source, What,
};
use crate::feed::AddressList;
use crate::finding::{Confidence, Finding, Incident, Kind, Subject, Value};
use crate::ladder::{Ladder, Modes, Outcome};
use crate::name::Name;
use crate::own::{Network, NeverBan, OwnSet, place_of};
use crate::scenario::{Scenario, Scenarios};
use crate::sketch::{Heavy, Tier, Tiered};
use accounts::Accounts;
pub use accounts::pair_of;
use forwards::Forwards;
use pbx::Foreign;
use programs::Programs;
use sources::{GRACE, Sources};

pub use sources::LISTED_SCORE;

/// How much the judge remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Addresses.
    pub sources: usize,
    /// Accounts.
    pub accounts: usize,
    /// Programs, and as many targets.
    pub programs: usize,
    /// Cells of a row of each sketch.
    pub sketch_width: usize,
    /// Challenges whose answers are waited for.
    pub waiting: usize,
    /// Incidents.
    pub incidents: usize,
}

impl Default for Limits {
    /// Some 12 MB when everything is full.
    fn default() -> Limits {
        Limits {
            sources: 16_384,
            accounts: 8_192,
            programs: 2_048,
            sketch_width: 8_192,
            waiting: 16_384,
            incidents: 1_024,
        }
    }
}

/// What the judge says.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// An incident began, or grew so much that it is worth saying again.
    Incident(Box<Incident>),
    /// Something is done, or would be in enforce mode.
    Decided {
        /// The incident it is for.
        incident: u64,
        /// What.
        decision: Decision,
    },
    /// Something was due and is not done.
    Refused {
        /// The incident it would have been for.
        incident: u64,
        /// What.
        proposal: Proposal,
        /// Why not.
        why: Refused,
    },
    /// Something is over: its time is up, or it was taken back.
    Lifted(Decision),
}

/// What the judge counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Events judged.
    pub events: u64,
    /// Events that make no sense: of a time that is not yet.
    pub events_refused: u64,
    /// Findings, those of an open incident included.
    pub findings: u64,
    /// Incidents.
    pub incidents: u64,
    /// Decisions.
    pub decisions: u64,
    /// Decisions that the rules forbade.
    pub decisions_refused: u64,
    /// Challenges that could not be waited for.
    pub waiting_full: u64,
    /// Verdicts that found the queue full.
    pub verdicts_lost: u64,
    /// States of addresses that had to go: unproven, proven, own.
    pub sources_evicted: [u64; 3],
    /// States of accounts that had to go, likewise.
    pub accounts_evicted: [u64; 3],
}

/// Events may be ahead of the judge's clock by so much.
const AHEAD_MAX: Duration = Duration::from_secs(60);
/// Verdicts that wait to be taken.
const VERDICTS_MAX: usize = 4_096;
/// An incident is over after so long without an event.
const INCIDENT_QUIET: Duration = Duration::from_secs(3_600);

#[derive(Clone, Copy, Debug)]
struct Waiting {
    due: Instant,
    at: Instant,
    source: Source,
    asked: Asked,
}

#[derive(Clone, Debug, Default)]
struct Open {
    incident: Option<Box<Incident>>,
    /// Said again when the events reach this.
    next_told: u64,
    places: crate::sketch::Distinct,
}

/// The judge.
#[derive(Debug)]
pub struct Watch {
    key: HashKey,
    limits: Limits,
    own: OwnSet,
    ladder: Ladder,
    sources: Sources,
    accounts: Accounts,
    programs: Programs,
    forwards: Forwards,
    foreign: Foreign,
    waiting: VecDeque<Waiting>,
    /// All accounts that there are; none if somebody else knows them.
    existing: Option<KeyedSet<u64>>,
    scenarios: Scenarios,
    incidents: Tiered<(Kind, Subject), Open>,
    verdicts: BoundedQueue<Verdict>,
    counters: Counters,
}

impl Watch {
    /// A judge that has seen nothing yet. `key` is the one that names of events are hashed under.
    pub fn new(key: HashKey, limits: Limits, modes: Modes) -> Watch {
        Watch {
            key,
            limits,
            own: OwnSet::new(key),
            ladder: Ladder::new(key, modes),
            sources: Sources::new(key, limits.sources),
            accounts: Accounts::new(key, limits.accounts, limits.sketch_width),
            programs: Programs::new(key, limits.programs),
            forwards: Forwards::new(key),
            foreign: Foreign::new(key),
            waiting: VecDeque::new(),
            existing: None,
            scenarios: Scenarios::new(key),
            incidents: Tiered::new(key, limits.incidents),
            verdicts: BoundedQueue::new(VERDICTS_MAX),
            counters: Counters::default(),
        }
    }

    /// The configured trunks and PBXs. What is in force against any of them is lifted.
    pub fn set_peers(&mut self, now: Instant, peers: Vec<(Network, PeerRef)>) {
        self.own.set_peers(peers);
        self.lift_own(now);
    }

    /// All accounts of phones, if the edge knows them all: a challenge to any other one can never be
    /// answered rightly, so nobody waits for the answer. The asker is answered like everybody else.
    pub fn set_accounts(&mut self, accounts: Option<impl IntoIterator<Item = Name>>) {
        self.existing = accounts.map(|accounts| {
            let mut existing = self.key.set();
            existing.extend(accounts.into_iter().map(|name| name.hash()));
            existing
        });
    }

    /// Uses these scenarios from now on, beside the built-in detectors.
    pub fn set_scenarios(&mut self, scenarios: Vec<Scenario>) {
        self.scenarios.set(scenarios);
    }

    /// Asks these lists of others from now on. A place on one is a score and never a verdict.
    pub fn set_lists(&mut self, lists: &[Arc<AddressList>]) {
        self.sources.set_lists(self.key, lists);
    }

    /// The names of the lists that an address stands on, as they are shown.
    pub fn listed(&self, address: IpAddr) -> Vec<String> {
        self.sources.listed(address)
    }

    /// Changes the mode of one scenario; whether it is there.
    pub fn set_scenario_mode(&mut self, name: &str, mode: Mode) -> bool {
        self.scenarios.set_mode(name, mode)
    }

    /// The scenarios, with what they have done.
    pub const fn scenarios(&self) -> &Scenarios {
        &self.scenarios
    }

    /// Which kinds of finding are enforced.
    pub fn set_modes(&mut self, modes: Modes) {
        self.ladder.set_modes(modes);
    }

    /// Changes the mode of one kind.
    pub fn set_mode(&mut self, kind: Kind, mode: Mode) {
        let mut modes = *self.ladder.modes();
        modes.set(kind, mode);
        self.ladder.set_modes(modes);
    }

    /// Which kinds of finding are enforced.
    pub const fn modes(&self) -> &Modes {
        self.ladder.modes()
    }

    /// A registration that an earlier process saw: its place is the customer's own.
    pub fn restore_place(&mut self, at: Instant, address: IpAddr, account: Name) {
        self.own.note_registration(at, address, account.hash());
    }

    /// Judges one event.
    pub fn handle_event(&mut self, now: Instant, event: &Event) {
        if event.at > now + AHEAD_MAX {
            self.counters.events_refused += 1;
            return;
        }
        self.counters.events += 1;
        let (at, source) = (event.at, &event.source);
        if is_vain(&event.what) {
            let found = self.sources.on_vain(at, source);
            self.found_if(now, found);
        }
        match event.what {
            What::Refused { reason, asked } => {
                let own_place = self.own.is_own(at, source.address());
                let (new, found) = self
                    .sources
                    .on_refused(at, source, reason, &asked, own_place);
                self.found_if(now, found);
                if new && !own_place {
                    let found = self.programs.on_vain(at, source, &asked, false);
                    self.found_if(now, found);
                }
                let found = self.foreign.on_refused(at, source, reason, &asked);
                self.found_if(now, found);
            }
            What::Challenged(asked) => self.on_challenged(now, at, source, asked),
            What::Credentials {
                account,
                outcome,
                shape,
                ..
            } => self.on_credentials(now, at, source, account, outcome, shape),
            What::Registered {
                account,
                change,
                shape,
            } => self.on_registered(now, event, account, &change, shape),
            What::Defective { defects, .. } => {
                let own_place = self.own.is_own(at, source.address());
                let found = self
                    .sources
                    .on_malformed(at, source, defects, 1.0, own_place);
                self.found_if(now, found);
            }
            What::Unparseable { .. } | What::StreamWithoutMessage => {
                let own_place = self.own.is_own(at, source.address());
                let none = ringfence_sip::Defects::NONE;
                let found = self.sources.on_malformed(at, source, none, 1.0, own_place);
                self.found_if(now, found);
            }
            What::AlienBinding { contact, count } => {
                let mut finding = self.single(Kind::AlienBinding, event, 95);
                finding.note("contact", Value::Text(contact));
                finding.note("how many", Value::Count(count.into()));
                self.found(now, finding);
            }
            What::Forged {
                method,
                forgery,
                call,
            } => self.on_forged(now, event, method, forgery, call),
            What::AskedForCredentials { method, within } => {
                let sure = if within { 85 } else { 60 };
                let mut finding = self.single(Kind::DigestLeak, event, sure);
                finding.note("asked for by a response to", Value::Word(method.as_str()));
                let place = if within { "inside" } else { "outside" };
                finding.note("of a call", Value::Word(place));
                self.found(now, finding);
            }
            What::Diverted { site, by, to, way } => {
                let found = self.forwards.on_diverted(at, site, (by, to), way);
                self.found_if(now, found);
            }
            What::Call { call, step, .. } => self.on_call(now, event, call, step),
            What::Request(_) | What::StrayResponse => {}
        }
        if !self.scenarios.is_empty() {
            for (_, mode, mut finding) in self.scenarios.on_event(event) {
                match mode {
                    Mode::Enforce => self.found(now, finding),
                    Mode::Observe => {
                        finding.expires = finding.last + INCIDENT_QUIET;
                        self.counters.findings += 1;
                        self.enter(now, &finding);
                    }
                }
            }
        }
    }

    /// Takes what another machine found and acted upon itself: an attack on lines, toll fraud.
    pub fn note_finding(&mut self, now: Instant, finding: &Finding) {
        self.counters.findings += 1;
        self.enter(now, finding);
    }

    /// Does what is due at `now`: challenges that stayed unanswered, decisions that are over.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(waiting) = self.waiting.front().copied() {
            if waiting.due > now {
                break;
            }
            self.waiting.pop_front();
            self.on_unanswered(now, &waiting);
        }
        for decision in self.ladder.expire(now) {
            self.say(Verdict::Lifted(decision));
        }
    }

    /// When [`Watch::handle_timeout`] is due. Ask again after each event and each timeout.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let unanswered = self.waiting.front().map(|waiting| waiting.due);
        [unanswered, self.ladder.next_expiry()]
            .into_iter()
            .flatten()
            .min()
    }

    /// The next verdict. Poll until `None` after each event and each timeout.
    pub fn poll_verdict(&mut self) -> Option<Verdict> {
        self.verdicts.pop()
    }

    /// What is in force.
    pub fn in_force(&self) -> &[Decision] {
        self.ladder.in_force()
    }

    /// The never-ban set as it stands.
    pub fn never_ban(&self, now: Instant) -> NeverBan {
        self.own.snapshot(now)
    }

    /// Takes back what is in force against an address. Always works. How many.
    pub fn lift_address(&mut self, address: IpAddr) -> usize {
        let place = place_of(address);
        self.lift(|decision| match decision.against() {
            Subject::Address(other) | Subject::AccountFrom(_, other) => *other == place,
            _ => false,
        })
    }

    /// Takes back what is in force against an account, as `user@realm` or just its user. Always
    /// works. How many.
    pub fn lift_account(&mut self, account: &str) -> usize {
        let whole = Name::new(self.key, account.as_bytes());
        self.lift(|decision| match decision.against() {
            Subject::Account(name) | Subject::AccountFrom(name, _) => {
                let rest = name.reveal().strip_prefix(account.as_bytes());
                *name == whole || rest.is_some_and(|rest| rest.starts_with(b"@"))
            }
            _ => false,
        })
    }

    /// Takes back everything. How many.
    pub fn lift_all(&mut self) -> usize {
        self.lift(|_| true)
    }

    /// The open incidents, newest first.
    pub fn incidents(&self, now: Instant) -> Vec<Incident> {
        let all = self.incidents.iter();
        let mut open: Vec<Incident> = all
            .filter_map(|(_, open)| open.incident.as_deref())
            .filter(|incident| incident.expires > now)
            .cloned()
            .collect();
        open.sort_by_key(|incident| std::cmp::Reverse(incident.last));
        open
    }

    /// How much an address looks like a scanner's at `now`: a finding is made at 5.
    pub fn score(&self, now: Instant, address: IpAddr) -> f32 {
        self.sources.score(now, address)
    }

    /// Whether an address may never be banned, and whom a ban would meet.
    pub fn harm(&self, now: Instant, address: IpAddr) -> crate::decision::Harm {
        self.own.harm(now, address)
    }

    /// Which addresses asked most in vain, and for what.
    pub fn top(&self, now: Instant) -> (Vec<Heavy<IpAddr>>, Vec<Heavy<Name>>) {
        let (sources, targets) = (&self.programs, &self.programs);
        (sources.top_sources(now), targets.top_targets(now))
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        Counters {
            sources_evicted: self.sources.evicted(),
            accounts_evicted: self.accounts.evicted(),
            ..self.counters
        }
    }

    /// Bytes on the heap, about. Walks the tables: not for each event.
    pub fn memory(&self) -> usize {
        self.own.memory()
            + self.ladder.memory()
            + self.sources.memory()
            + self.accounts.memory()
            + self.programs.memory()
            + self.forwards.memory()
            + self.foreign.memory()
            + self.scenarios.memory()
            + self.waiting.capacity() * size_of::<Waiting>()
            + self.incidents.memory()
            + self.incidents.len() * size_of::<Incident>()
    }

    fn on_challenged(&mut self, now: Instant, at: Instant, source: &Source, asked: Asked) {
        if !sources::asks(asked.method) {
            return;
        }
        if !self.sources.on_challenged(at, source, &asked) {
            let found = self.sources.on_vain(at, source);
            return self.found_if(now, found);
        }
        let exists = |known: &KeyedSet<u64>| known.contains(&asked.target.hash());
        if !asked.target.is_empty() && !self.existing.as_ref().is_none_or(exists) {
            let own_place = self.own.is_own(at, source.address());
            let found = self.sources.on_nobody(at, source, &asked, own_place);
            self.found_if(now, found);
            return self.count_vain(now, at, source, &asked, own_place);
        }
        if self.waiting.len() >= self.limits.waiting {
            self.counters.waiting_full += 1;
            // The oldest is judged early rather than forgotten: a flood must not hide a scan.
            if let Some(oldest) = self.waiting.pop_front() {
                self.on_unanswered(now, &oldest);
            }
        }
        self.waiting.push_back(Waiting {
            due: at + GRACE,
            at,
            source: *source,
            asked,
        });
    }

    fn on_unanswered(&mut self, now: Instant, waiting: &Waiting) {
        let Waiting {
            at, source, asked, ..
        } = waiting;
        let own_place = self.own.is_own(now, source.address());
        let (counts, found) = self
            .sources
            .on_unanswered(now, source, asked, *at, own_place);
        self.found_if(now, found);
        if counts {
            self.count_vain(now, now, source, asked, own_place);
        }
    }

    /// A challenge led to nothing.
    fn count_vain(
        &mut self,
        now: Instant,
        at: Instant,
        source: &Source,
        asked: &Asked,
        own_place: bool,
    ) {
        let found = self.sources.on_vain(at, source);
        self.found_if(now, found);
        if !own_place && !self.sources.has_answered(source.address()) {
            let found = self.programs.on_vain(at, source, asked, false);
            self.found_if(now, found);
        }
    }

    fn on_credentials(
        &mut self,
        now: Instant,
        at: Instant,
        source: &Source,
        account: Name,
        outcome: CredentialsOutcome,
        shape: Shape,
    ) {
        match outcome {
            CredentialsOutcome::Right => self.on_right(now, at, source, account, shape.fingerprint),
            // The password is right: no guess. Only a new nonce proves who sent it.
            CredentialsOutcome::Stale => self.sources.on_right(at, source),
            CredentialsOutcome::Replayed => {
                let found = self.accounts.on_replayed(at, source, account);
                self.found_if(now, found);
            }
            // No nonce of ours, so no guess, and no proof of who sent it.
            CredentialsOutcome::WrongForgedNonce => {
                let asked = Asked {
                    method: MethodKind::Register,
                    target: account,
                    shape,
                    transaction: self.key.hash64(&(account.hash(), at.as_nanos())),
                };
                let own_place = self.own.is_own(at, source.address());
                let source = &Source {
                    principal: crate::event::Principal::Stranger,
                    ..*source
                };
                let reason = crate::event::Refusal::Stranger;
                let (_, found) = self
                    .sources
                    .on_refused(at, source, reason, &asked, own_place);
                self.found_if(now, found);
            }
            CredentialsOutcome::Wrong | CredentialsOutcome::WrongAccount => {
                let own_place = self.own.is_own(at, source.address());
                let found = self
                    .accounts
                    .on_wrong(at, source, account, outcome, own_place);
                self.found_if(now, found);
                if own_place {
                    return;
                }
                let found = self.sources.on_wrong(at, source, account.hash());
                self.found_if(now, found);
                let asked = Asked {
                    method: MethodKind::Register,
                    target: account,
                    shape,
                    transaction: 0,
                };
                let found = self.programs.on_vain(at, source, &asked, true);
                self.found_if(now, found);
            }
        }
    }

    fn on_right(
        &mut self,
        now: Instant,
        at: Instant,
        source: &Source,
        account: Name,
        build: Fingerprint,
    ) {
        self.sources.on_right(at, source);
        let tried = self.programs.tries_passwords(at, build);
        let welcome = self.accounts.on_right(at, source, account, build, tried);
        if welcome.finding.is_none() {
            // A stolen password makes no program the customer's.
            self.programs.on_right(at, build, account);
        }
        if let Some(finding) = welcome.finding {
            // Whoever logs in with a stolen password makes no place the customer's.
            if self.own.harm(at, source.address()).accounts <= 1 {
                self.own.forget(source.address());
            }
            self.found(now, finding);
        } else if welcome.protects {
            let was_own = self.own.is_place(at, source.address());
            self.own
                .note_registration(at, source.address(), account.hash());
            if !was_own {
                self.lift_own(now);
            }
        }
    }

    fn on_registered(
        &mut self,
        now: Instant,
        event: &Event,
        account: Name,
        change: &crate::event::BindingChange,
        shape: Shape,
    ) {
        let marks = self
            .accounts
            .marks(&event.source, account, shape.fingerprint);
        let found = self
            .accounts
            .on_registered(event.at, &event.source, account, change, marks);
        self.found_if(now, found);
        self.on_right(now, event.at, &event.source, account, shape.fingerprint);
    }

    fn on_forged(
        &mut self,
        now: Instant,
        event: &Event,
        method: MethodKind,
        forgery: Forgery,
        call: Option<crate::event::CallRef>,
    ) {
        let (sure, what) = match forgery {
            Forgery::ByeWhileTalking => (60, "BYE while both sides are heard"),
            Forgery::Cseq => (40, "CSeq used before"),
            Forgery::Replaces => (85, "Replaces of somebody else's dialog"),
            Forgery::Source => (90, "right tags from another address"),
            Forgery::Tag => (30, "unknown tag"),
        };
        let mut finding = self.single(Kind::DialogForgery, event, sure);
        if let (Some(call), false) = (call, event.source.proof.is_proven()) {
            // The address may be anybody's: what is known is the call that was aimed at.
            finding.subject = Subject::Call(call);
        }
        finding.note("method", Value::Word(method.as_str()));
        finding.note("given away by", Value::Word(what));
        self.found(now, finding);
    }

    fn on_call(
        &mut self,
        now: Instant,
        event: &Event,
        call: crate::event::CallRef,
        step: CallStep,
    ) {
        match step {
            CallStep::Offered {
                direction: Direction::Inbound,
                calling,
                called,
                calling_is_own: true,
                emergency: false,
                ..
            } => {
                let mut finding = self.single(Kind::CallerIdImpossible, event, 85);
                finding.subject = Subject::Number(calling);
                finding.note("called", Value::Text(called));
                finding.note("call", Value::Count(call.raw()));
                self.found(now, finding);
            }
            CallStep::Answered => self.own.note_call(event.source.address()),
            _ => {}
        }
    }

    fn single(&self, kind: Kind, event: &Event, sure: u8) -> Finding {
        let subject = match event.source.principal {
            crate::event::Principal::Trunk(peer) | crate::event::Principal::Pbx(peer) => {
                Subject::Peer(peer)
            }
            _ => Subject::Address(place_of(event.source.address())),
        };
        let mut finding = Finding::new(kind, subject, event.at);
        finding.source = Some(event.source.address());
        finding.proof = event.source.proof;
        finding.confidence = Confidence::new(sure);
        finding
    }

    fn found_if(&mut self, now: Instant, finding: Option<Finding>) {
        if let Some(finding) = finding {
            self.found(now, finding);
        }
    }

    fn found(&mut self, now: Instant, mut finding: Finding) {
        self.counters.findings += 1;
        finding.expires = finding.last + INCIDENT_QUIET;
        let own_account = match finding.subject {
            Subject::AccountFrom(account, address) => self.accounts.knows(account, address),
            _ => false,
        };
        let Some(incident) = self.enter(now, &finding) else {
            return;
        };
        let outcome = self
            .ladder
            .on_finding(now, &finding, &self.own, own_account);
        match outcome {
            Outcome::Decided(decision) => {
                self.counters.decisions += 1;
                self.say(Verdict::Decided { incident, decision });
            }
            Outcome::Refused { proposal, why } => {
                self.counters.decisions_refused += 1;
                self.say(Verdict::Refused {
                    incident,
                    proposal,
                    why,
                });
            }
            Outcome::Nothing => {}
        }
    }

    /// Puts a finding into its incident; the incident's number.
    fn enter(&mut self, now: Instant, finding: &Finding) -> Option<u64> {
        let tier = match finding.proof {
            Proof::None => Tier::Unproven,
            _ => Tier::Proven,
        };
        let key = (finding.kind, finding.subject);
        let open = self.incidents.touch(key, tier)?;
        let place = finding
            .source
            .map_or(0, |address| self.key.hash64(&place_of(address)));
        let is_over = open
            .incident
            .as_ref()
            .is_none_or(|incident| incident.expires <= now);
        if is_over {
            self.counters.incidents += 1;
            open.places.clear();
            open.places.insert(place);
            open.next_told = 8;
            let incident = Box::new(Incident {
                id: self.counters.incidents,
                kind: finding.kind,
                subject: finding.subject,
                opened: finding.first,
                last: finding.last,
                events: finding.count,
                sources: 1,
                finding: finding.clone(),
                expires: finding.expires,
            });
            let id = incident.id;
            open.incident = Some(incident.clone());
            self.say(Verdict::Incident(incident));
            return Some(id);
        }
        open.places.insert(place);
        let incident = open.incident.as_mut()?;
        incident.last = incident.last.max(finding.last);
        incident.expires = finding.expires;
        incident.events = incident.events.saturating_add(1).max(finding.count);
        incident.sources = open.places.count();
        incident.finding = finding.clone();
        let id = incident.id;
        if incident.events >= open.next_told {
            open.next_told = incident.events.saturating_mul(8);
            let told = incident.clone();
            self.say(Verdict::Incident(told));
        }
        Some(id)
    }

    fn lift(&mut self, wanted: impl Fn(&Decision) -> bool) -> usize {
        let lifted = self.ladder.lift(wanted);
        let count = lifted.len();
        for decision in lifted {
            self.say(Verdict::Lifted(decision));
        }
        count
    }

    fn lift_own(&mut self, now: Instant) {
        for decision in self.ladder.spare_own(now, &self.own) {
            self.say(Verdict::Lifted(decision));
        }
    }

    fn say(&mut self, verdict: Verdict) {
        if self.verdicts.push(verdict).is_err() {
            self.counters.verdicts_lost += 1;
        }
    }
}

/// Whether something led to nothing. A challenge may yet lead to a right answer.
const fn is_vain(what: &What) -> bool {
    matches!(
        what,
        What::Refused { .. }
            | What::StrayResponse
            | What::Defective { .. }
            | What::Unparseable { .. }
            | What::StreamWithoutMessage
            | What::Forged { .. }
    )
}

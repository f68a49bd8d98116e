//! Scenarios: detectors that are data. A filter over the fields of events, what they are grouped by,
//! how they are counted, and what that means.
//!
//! A scenario finds a [`Kind`] of thing, so the ladder, the never-ban set and the rules of decision
//! treat what it finds as what the built-in detectors find: no scenario can ban a trunk, a PBX, a place
//! with a good registration, or an address that proved nothing.
//!
//! Time of an event: one comparison for each condition of each scenario. Memory: [`GROUPS_MAX`]
//! groups of each scenario, each of a few dozen bytes (256 more when many things are told apart).

use std::borrow::Cow;
use std::time::Duration;

use ringfence_base::{HashKey, Instant};

use crate::decision::Mode;
use crate::event::{CallStep, Event, Source, What};
use crate::finding::{Confidence, Finding, Kind, Subject, Value};
use crate::name::Name;
use crate::own::place_of;
use crate::sketch::{Distinct, Tier, Tiered};

/// Most scenarios at once.
pub const SCENARIOS_MAX: usize = 256;
/// Most conditions of one scenario, and values of one condition.
pub const CONDITIONS_MAX: usize = 16;
/// Groups of one scenario that are counted at once: unproven ones go first.
pub const GROUPS_MAX: usize = 4_096;

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A field of an event.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Field { $($(#[$doc])* $name,)* }

        impl Field {
            /// All of them.
            pub const ALL: &'static [Field] = &[$(Field::$name,)*];

            /// Its name in a scenario.
            pub const fn as_str(self) -> &'static str {
                match self { $(Field::$name => $text,)* }
            }

            /// The field of that name.
            pub fn parse(name: &str) -> Option<Field> {
                Field::ALL.iter().copied().find(|field| field.as_str() == name)
            }
        }
    };
}

fields! {
    /// The account of credentials or of a registration.
    Account = "account",
    /// The address that it came from.
    Address = "address",
    /// What a verified signature says: `none`, `a`, `b`, `c`, `invalid`.
    Attestation = "attestation",
    /// The called number.
    Called = "called",
    /// The calling number.
    Calling = "calling",
    /// Whether the calling number is one of the customer's own: `yes`, `no`.
    CallingIsOwn = "calling_is_own",
    /// `inbound`, `outbound`, `internal`.
    Direction = "direction",
    /// How the request was built, as sixteen hexadecimal digits.
    Fingerprint = "fingerprint",
    /// What gave a forged request away: `bye-while-talking`, `cseq`, `replaces`, `source`, `tag`.
    Forgery = "forgery",
    /// The method: `REGISTER`.
    Method = "method",
    /// What credentials were worth: `right`, `wrong`, `wrong-account`, `forged-nonce`, `replayed`,
    /// `stale`.
    Outcome = "outcome",
    /// Whether the address is proved: `yes`, `no`.
    Proven = "proven",
    /// Why a request was refused: `stranger`, `dialog-unknown`, `malformed`, `credentials`,
    /// `calling-number`, `limit`, `number`, `policy`.
    Reason = "reason",
    /// The step of a call: `offered`, `ringing`, `answered`, `ended`, `failed`.
    Step = "step",
    /// Whom a request is for.
    Target = "target",
    /// `udp`, `tcp`, `tls`, `ws`, `wss`.
    Transport = "transport",
    /// What happened: `request`, `stray-response`, `defective`, `unparseable`, `stream-wordless`,
    /// `refused`, `challenged`, `credentials`, `registered`, `alien-binding`, `forged`, `call`.
    What = "what",
    /// Who it is: `stranger`, `trunk`, `pbx`, `phone`.
    Who = "who",
}

/// One condition: the field has one of the values, or none of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Which field.
    pub field: Field,
    /// The values, as they are written. `+44…*` is a beginning.
    pub values: Vec<String>,
    /// None of them.
    pub not: bool,
}

/// How the events of a group are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// All of them.
    Events,
    /// Different values of a field.
    Distinct(Field),
}

/// A detector that is data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What it says to a person.
    pub says: String,
    /// What it finds: this says the technique and what the ladder does.
    pub kind: Kind,
    /// All must hold.
    pub when: Vec<Condition>,
    /// Events with these fields alike are counted together.
    pub group: Vec<Field>,
    /// What is counted.
    pub counted: Counted,
    /// It is found at so many.
    pub limit: u64,
    /// Within this time.
    pub within: Duration,
    /// How sure it is then.
    pub confidence: Confidence,
    /// Whether the ladder hears of it.
    pub mode: Mode,
}

/// What a scenario has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events that met its conditions.
    pub matched: u64,
    /// Findings.
    pub found: u64,
}

#[derive(Clone, Debug, Default)]
struct Group {
    since: Instant,
    events: u64,
    distinct: Distinct,
    /// It was found within this window.
    told: bool,
}

#[derive(Debug)]
struct Running {
    /// As it was set.
    scenario: Scenario,
    /// As it is now.
    mode: Mode,
    shown: Name,
    groups: Tiered<u64, Group>,
    tally: Tally,
}

/// The scenarios of a judge.
#[derive(Debug)]
pub struct Scenarios {
    key: HashKey,
    all: Vec<Running>,
}

impl Scenarios {
    /// None yet.
    pub const fn new(key: HashKey) -> Scenarios {
        Scenarios {
            key,
            all: Vec::new(),
        }
    }

    /// Uses these from now on, at most [`SCENARIOS_MAX`]. One that was set in the same words before goes
    /// on counting, in the mode that it has.
    pub fn set(&mut self, scenarios: Vec<Scenario>) {
        let mut before = std::mem::take(&mut self.all);
        for scenario in scenarios.into_iter().take(SCENARIOS_MAX) {
            let same = before.iter().position(|old| old.scenario == scenario);
            self.all.push(match same {
                Some(place) => before.swap_remove(place),
                None => Running {
                    shown: Name::new(self.key, scenario.name.as_bytes()),
                    groups: Tiered::new(self.key, GROUPS_MAX),
                    tally: Tally::default(),
                    mode: scenario.mode,
                    scenario,
                },
            });
        }
    }

    /// Changes the mode of one; whether it is there.
    pub fn set_mode(&mut self, name: &str, mode: Mode) -> bool {
        let mut all = self.all.iter_mut();
        let found = all.find(|running| running.scenario.name == name);
        found.map(|running| running.mode = mode).is_some()
    }

    /// All of them, with their modes and what they have done.
    pub fn iter(&self) -> impl Iterator<Item = (&Scenario, Mode, Tally)> {
        let all = self.all.iter();
        all.map(|it| (&it.scenario, it.mode, it.tally))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Bytes on the heap, about.
    pub fn memory(&self) -> usize {
        let of = |running: &Running| {
            let groups = running
                .groups
                .iter()
                .map(|(_, group)| group.distinct.memory());
            running.groups.memory() + groups.sum::<usize>()
        };
        self.all.iter().map(of).sum()
    }

    /// What they find in an event, each with the name of its scenario.
    pub fn on_event(&mut self, event: &Event) -> Vec<(Name, Mode, Finding)> {
        let mut found = Vec::new();
        for running in &mut self.all {
            let key = self.key;
            if let Some(finding) = running.on_event(key, event) {
                found.push((running.shown, running.mode, finding));
            }
        }
        found
    }
}

impl Running {
    fn on_event(&mut self, key: HashKey, event: &Event) -> Option<Finding> {
        let scenario = &self.scenario;
        if !scenario
            .when
            .iter()
            .all(|condition| holds(condition, event))
        {
            return None;
        }
        self.tally.matched += 1;
        let mut parts = Vec::with_capacity(scenario.group.len());
        for field in &scenario.group {
            parts.push(text(*field, event)?);
        }
        let group = parts.iter().fold(0, |sum, part| key.hash64(&(sum, part)));
        let counted = match scenario.counted {
            Counted::Events => None,
            // What has no such field cannot be told apart by it.
            Counted::Distinct(field) => Some(key.hash64(&text(field, event)?)),
        };
        let tier = match (
            event.source.principal.is_own(),
            event.source.proof.is_proven(),
        ) {
            (true, true) => Tier::Own,
            (false, true) => Tier::Proven,
            (_, false) => Tier::Unproven,
        };
        let state = self.groups.touch(group, tier)?;
        if state.events == 0 || event.at.saturating_since(state.since) > scenario.within {
            *state = Group {
                since: event.at,
                ..Group::default()
            };
        }
        state.events += 1;
        if let Some(counted) = counted {
            state.distinct.insert(counted);
        }
        let count = match scenario.counted {
            Counted::Events => state.events,
            Counted::Distinct(_) => state.distinct.count(),
        };
        if count < scenario.limit || state.told {
            return None;
        }
        state.told = true;
        self.tally.found += 1;
        let mut finding = Finding::new(scenario.kind, subject(&scenario.group, event), state.since);
        finding.last = event.at;
        finding.count = state.events;
        finding.source = Some(event.source.address());
        finding.proof = event.source.proof;
        finding.confidence = scenario.confidence;
        finding.note("scenario", Value::Text(self.shown));
        if let Counted::Distinct(field) = scenario.counted {
            finding.note(field.as_str(), Value::Count(count));
        }
        Some(finding)
    }
}

/// Whom a finding is about: the address or the account that events are grouped by, else the line that
/// they came by.
fn subject(group: &[Field], event: &Event) -> Subject {
    let Source {
        remote, principal, ..
    } = event.source;
    let has = |field| group.contains(&field);
    let own = match principal {
        crate::event::Principal::Trunk(peer) | crate::event::Principal::Pbx(peer) => Some(peer),
        _ => None,
    };
    let account = account(event)
        .or_else(|| target(event))
        .filter(|it| !it.is_empty());
    match (own, account) {
        (Some(peer), _) if has(Field::Address) => Subject::Peer(peer),
        (None, Some(account)) if has(Field::Address) && has(Field::Account) => {
            Subject::AccountFrom(account, place_of(remote.ip()))
        }
        (None, _) if has(Field::Address) => Subject::Address(place_of(remote.ip())),
        (_, Some(account)) if has(Field::Account) || has(Field::Target) => {
            Subject::Account(account)
        }
        _ => match numbers(event) {
            Some((calling, _)) if has(Field::Calling) => Subject::Number(calling),
            Some((_, called)) if has(Field::Called) => Subject::Number(called),
            _ => Subject::Edge,
        },
    }
}

fn holds(condition: &Condition, event: &Event) -> bool {
    let text = text(condition.field, event);
    let is = |value: &String| {
        text.as_deref()
            .is_some_and(|text| match value.strip_suffix('*') {
                Some(beginning) => text.starts_with(beginning),
                None => text == value,
            })
    };
    condition.values.iter().any(is) != condition.not
}

fn account(event: &Event) -> Option<Name> {
    match event.what {
        What::Credentials { account, .. } | What::Registered { account, .. } => Some(account),
        What::Challenged(asked) => Some(asked.target),
        _ => None,
    }
}

fn target(event: &Event) -> Option<Name> {
    match event.what {
        What::Request(asked) | What::Challenged(asked) | What::Refused { asked, .. } => {
            Some(asked.target)
        }
        _ => account(event),
    }
}

fn numbers(event: &Event) -> Option<(Name, Name)> {
    match event.what {
        What::Call {
            step: CallStep::Offered {
                calling, called, ..
            },
            ..
        } => Some((calling, called)),
        What::Diverted { by, to, .. } => Some((by, to)),
        _ => None,
    }
}

/// The field as a scenario writes it; none if the event has no such field.
pub fn text(field: Field, event: &Event) -> Option<Cow<'static, str>> {
    use crate::event::{Attestation, CredentialsOutcome as Outcome, Direction, Forgery, Refusal};
    let yes = |yes: bool| if yes { "yes" } else { "no" };
    let shown = |name: Name| Cow::Owned(String::from_utf8_lossy(name.reveal()).into_owned());
    let word: &'static str = match (field, event.what) {
        (Field::Account, _) => return account(event).map(shown),
        (Field::Address, _) => {
            return Some(Cow::Owned(place_of(event.source.address()).to_string()));
        }
        (Field::Called, _) => return numbers(event).map(|(_, called)| shown(called)),
        (Field::Calling, _) => return numbers(event).map(|(calling, _)| shown(calling)),
        (Field::Fingerprint, what) => return shape(what).map(|it| Cow::Owned(it.to_string())),
        (Field::Target, _) => return target(event).map(shown),
        (Field::Proven, _) => yes(event.source.proof.is_proven()),
        (Field::Transport, _) => event.source.transport.uri_name(),
        (Field::Who, _) => event.source.principal.as_str(),
        (Field::What, what) => what_word(&what),
        (
            Field::Method,
            What::Request(asked) | What::Challenged(asked) | What::Refused { asked, .. },
        ) => asked.method.as_str(),
        (Field::Method, What::Forged { method, .. } | What::AskedForCredentials { method, .. }) => {
            method.as_str()
        }
        (Field::Method, What::Registered { .. }) => "REGISTER",
        (Field::Reason, What::Refused { reason, .. }) => match reason {
            Refusal::CallingNumber => "calling-number",
            Refusal::Credentials => "credentials",
            Refusal::DialogUnknown => "dialog-unknown",
            Refusal::Limit => "limit",
            Refusal::Malformed => "malformed",
            Refusal::Number => "number",
            Refusal::Policy => "policy",
            Refusal::Stranger => "stranger",
        },
        (Field::Outcome, What::Credentials { outcome, .. }) => match outcome {
            Outcome::Right => "right",
            Outcome::Stale => "stale",
            Outcome::Replayed => "replayed",
            Outcome::Wrong => "wrong",
            Outcome::WrongAccount => "wrong-account",
            Outcome::WrongForgedNonce => "forged-nonce",
        },
        (Field::Forgery, What::Forged { forgery, .. }) => match forgery {
            Forgery::ByeWhileTalking => "bye-while-talking",
            Forgery::Cseq => "cseq",
            Forgery::Replaces => "replaces",
            Forgery::Source => "source",
            Forgery::Tag => "tag",
        },
        (Field::Step, What::Call { step, .. }) => match step {
            CallStep::Offered { .. } => "offered",
            CallStep::Ringing => "ringing",
            CallStep::Answered => "answered",
            CallStep::Ended { .. } => "ended",
            CallStep::Failed { .. } => "failed",
        },
        (
            _,
            What::Call {
                step:
                    CallStep::Offered {
                        direction,
                        calling_is_own,
                        attestation,
                        ..
                    },
                ..
            },
        ) => match field {
            Field::Direction => match direction {
                Direction::Inbound => "inbound",
                Direction::Internal => "internal",
                Direction::Outbound => "outbound",
            },
            Field::CallingIsOwn => yes(calling_is_own),
            Field::Attestation => match attestation {
                Attestation::Absent => "none",
                Attestation::A => "a",
                Attestation::B => "b",
                Attestation::C => "c",
                Attestation::Invalid => "invalid",
            },
            _ => return None,
        },
        _ => return None,
    };
    Some(Cow::Borrowed(word))
}

fn shape(what: What) -> Option<crate::event::Fingerprint> {
    match what {
        What::Request(asked) | What::Challenged(asked) | What::Refused { asked, .. } => {
            Some(asked.shape.fingerprint)
        }
        What::Credentials { shape, .. }
        | What::Registered { shape, .. }
        | What::Defective { shape, .. } => Some(shape.fingerprint),
        _ => None,
    }
}

const fn what_word(what: &What) -> &'static str {
    match what {
        What::Request(_) => "request",
        What::StrayResponse => "stray-response",
        What::Defective { .. } => "defective",
        What::Unparseable { .. } => "unparseable",
        What::StreamWithoutMessage => "stream-wordless",
        What::Refused { .. } => "refused",
        What::Challenged(_) => "challenged",
        What::Credentials { .. } => "credentials",
        What::Registered { .. } => "registered",
        What::AlienBinding { .. } => "alien-binding",
        What::Forged { .. } => "forged",
        What::AskedForCredentials { .. } => "asked-for-credentials",
        What::Diverted { .. } => "diverted",
        What::Call { .. } => "call",
    }
}

/// What one scenario makes of a trace.
#[derive(Debug, Default)]
pub struct Rehearsal {
    /// Events.
    pub events: usize,
    /// Events that met its conditions.
    pub matched: u64,
    /// Findings, each with the number of its event, from 1, and what the ladder would do about it.
    pub found: Vec<(usize, Finding, crate::ladder::Outcome)>,
}

/// Runs one scenario, in enforce mode, over a trace: with a ladder and a never-ban set of its own, which
/// learns from the trace's registrations as the judge does. Built-in detectors are not asked.
pub fn rehearse(key: HashKey, scenario: &Scenario, trace: &[Event]) -> Rehearsal {
    let mut scenarios = Scenarios::new(key);
    scenarios.set(vec![scenario.clone()]);
    let mut own = crate::own::OwnSet::new(key);
    let mut ladder = crate::ladder::Ladder::new(key, crate::ladder::Modes::all(Mode::Enforce));
    let mut rehearsal = Rehearsal {
        events: trace.len(),
        ..Rehearsal::default()
    };
    for (place, event) in trace.iter().enumerate() {
        if let What::Registered { account, .. } = event.what {
            own.note_registration(event.at, event.source.address(), account.hash());
        }
        for (_, _, finding) in scenarios.on_event(event) {
            let outcome = ladder.on_finding(event.at, &finding, &own, false);
            rehearsal.found.push((place + 1, finding, outcome));
        }
    }
    rehearsal.matched = scenarios.iter().map(|(.., tally)| tally.matched).sum();
    rehearsal
}

//! The judge of the live edge, run over the events that an edge kept, on their own time.
//!
//! Twice, as over a capture: first it is found who is hostile, then their messages are counted. A
//! message is an event that tells of one: a step after the first of a call, or a stream without a
//! message, is none, and a broken message that was refused is one and not two.
//!
//! Left out on purpose: what blocks of the live edge kept out (nobody was told of it), blocks that
//! an operator took back, and what is not judged by events: floods of calls and toll fraud, which
//! are judged where calls are routed.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ringfence_base::{HashKey, Instant, KeyedMap, UnixTime};
use ringfence_detect::codec::Kept;
use ringfence_detect::decision::{Action, Decision};
use ringfence_detect::event::{CallStep, CredentialsOutcome, Event, Fingerprint, What};
use ringfence_detect::finding::Subject;
use ringfence_detect::ladder::IN_FORCE_MAX;
use ringfence_detect::name::Name;
use ringfence_detect::own::place_of;
use ringfence_detect::watch::{Limits, Verdict, Watch};
use serde::Serialize;

use crate::engine::{BEGIN, Guilty, LEAP_MAX, LINES_MAX, Run, Setting};
use crate::report::{DecisionLine, FindingLine};

/// After the last event, long enough for what waits for an answer.
const AFTER: Duration = Duration::from_secs(40);

/// Decisions that stand at once: as many as the ladder has in force.
const STANDING_MAX: usize = IN_FORCE_MAX;
/// What is over is looked for so often, when there are as many.
const SWEEP: Duration = Duration::from_secs(1);

/// Open incidents are looked at so often: sooner than one can be over and forgotten, for the judge
/// does not say every event of one.
const LOOK: Duration = Duration::from_secs(1_800);

/// Which events are judged, by whom.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The key that names of the events are hashed under.
    pub key: HashKey,
    /// Who is who, and what is enforced.
    pub setting: &'a Setting,
    /// All accounts of phones, if they are all known.
    pub accounts: Option<Vec<String>>,
    /// Events from then on. Of those before only whose place is whose is learned.
    pub since: UnixTime,
    /// Events before then.
    pub until: UnixTime,
}

/// What would have been stopped, and whom of the customer's own it would have met.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StoredReport {
    /// Messages that were told of.
    pub messages: u64,
    /// Those of whoever was found, from the first one on.
    pub hostile_messages: u64,
    /// What was found.
    pub findings: Vec<StoredFinding>,
    /// What would have been done, or was due and is forbidden.
    pub decisions: Vec<StoredDecision>,
    /// Whom of the customer's own it would have met.
    pub touched: Vec<Touched>,
    /// Events judged.
    pub events: u64,
    /// Those of the customer's own: trunks, phone systems, phones that proved themselves.
    pub own_events: u64,
    /// The first event, in microseconds since 1970; none without events.
    pub first_at_us: Option<i64>,
    /// The last one.
    pub last_at_us: Option<i64>,
    /// Findings and decisions beyond [`LINES_MAX`].
    pub left_out: u64,
}

/// A finding, and when it was made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoredFinding {
    /// The finding.
    #[serde(flatten)]
    pub finding: FindingLine,
    /// When what was found began, in microseconds since 1970.
    pub first_at_us: i64,
    /// When it was seen last.
    pub last_at_us: i64,
}

/// A decision, and when it would have been made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoredDecision {
    /// The decision.
    #[serde(flatten)]
    pub decision: DecisionLine,
    /// When, in microseconds since 1970.
    pub at_us: i64,
}

/// Somebody of the customer's own who would have met a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Touched {
    /// The address.
    pub source: String,
    /// `trunk`, `pbx`, `phone`.
    pub who: &'static str,
    /// How many of its events came while the decision stood.
    pub events: u64,
    /// The kind of finding that the decision is for.
    pub kind: &'static str,
    /// What it does.
    pub action: &'static str,
    /// `enforce` or `observe`.
    pub mode: &'static str,
    /// The first of the events, in microseconds since 1970.
    pub first_at_us: i64,
}

/// Judges kept events. `read` gives them all, in order, and the same each time: it is called twice.
///
/// # Errors
/// Those of `read`.
pub fn replay<E>(
    question: &Question<'_>,
    mut read: impl FnMut(&mut dyn FnMut(Kept)) -> Result<(), E>,
) -> Result<StoredReport, E> {
    let mut first = Machine::new(question);
    read(&mut |kept| first.take(&kept))?;
    first.finish();
    let mut count = Count {
        question,
        messages: 0,
        broken: None,
        guilty: Guilty::new(&first.run),
    };
    read(&mut |kept| count.take(&kept))?;
    let run = &first.run;
    let findings = run.findings.iter().zip(&first.begun);
    let findings = findings.map(|((incident, at), begun)| StoredFinding {
        finding: count.guilty.line(incident, *at),
        first_at_us: first.clock.unix(*begun),
        last_at_us: first.clock.unix(incident.last),
    });
    let decisions = run.decisions.iter().zip(&first.decided);
    let decisions = decisions.map(|(decision, at)| StoredDecision {
        decision: decision.clone(),
        at_us: first.clock.unix(*at),
    });
    Ok(StoredReport {
        messages: run.messages,
        hostile_messages: count.guilty.messages,
        findings: findings.collect(),
        decisions: decisions.collect(),
        touched: first.touched.lines,
        events: first.events,
        own_events: first.own_events,
        first_at_us: first.span.map(|(from, _)| from),
        last_at_us: first.span.map(|(_, to)| to),
        left_out: run.left_out,
    })
}

/// Wall time of events as the judge's time, which never goes back.
struct Clock {
    first: Option<i64>,
    last: i64,
    now: Instant,
}

impl Clock {
    fn at(&mut self, at: UnixTime) -> Instant {
        let at = at.as_micros();
        if self.first.is_none() {
            self.first = Some(at);
            self.last = at;
            self.now = Instant::ZERO + BEGIN;
        }
        let step = at.saturating_sub(self.last).max(0).cast_unsigned();
        self.now += Duration::from_micros(step).min(LEAP_MAX);
        self.last = self.last.max(at);
        self.now
    }

    /// The other way, counted back from the last event.
    fn unix(&self, at: Instant) -> i64 {
        let before = (self.now - at).as_micros();
        let after = (at - self.now).as_micros();
        let micros = |time: u128| i64::try_from(time).unwrap_or(i64::MAX);
        self.last
            .saturating_sub(micros(before))
            .saturating_add(micros(after))
    }
}

struct Machine<'a> {
    question: &'a Question<'a>,
    watch: Watch,
    clock: Clock,
    run: Run,
    /// When each decision of the run was made.
    decided: Vec<Instant>,
    /// When each finding of the run began.
    begun: Vec<Instant>,
    /// When incidents are looked at next.
    look: Instant,
    touched: TouchedSet,
    events: u64,
    own_events: u64,
    broken: Option<Broken>,
    span: Option<(i64, i64)>,
}

impl<'a> Machine<'a> {
    fn new(question: &'a Question<'a>) -> Machine<'a> {
        let (key, setting) = (question.key, question.setting);
        let mut watch = Watch::new(key, Limits::default(), setting.modes);
        let peers = setting.peers.iter();
        let peers = peers.map(|(network, peer, _)| (*network, *peer));
        watch.set_peers(Instant::ZERO, peers.collect());
        watch.set_scenarios(setting.scenarios.clone());
        watch.set_lists(&setting.lists);
        let accounts = question.accounts.as_ref();
        let names =
            |names: &'a Vec<String>| names.iter().map(move |it| Name::new(key, it.as_bytes()));
        watch.set_accounts(accounts.map(names));
        Machine {
            question,
            watch,
            clock: Clock {
                first: None,
                last: 0,
                now: Instant::ZERO,
            },
            run: Run::new(key),
            decided: Vec::new(),
            begun: Vec::new(),
            look: Instant::ZERO,
            touched: TouchedSet {
                standing: key.map(),
                swept: Instant::ZERO,
                known: key.map(),
                lines: Vec::new(),
            },
            events: 0,
            own_events: 0,
            broken: None,
            span: None,
        }
    }

    fn take(&mut self, kept: &Kept) {
        match kept {
            Kept::Place { address, account } => {
                self.watch.restore_place(self.clock.now, *address, *account);
            }
            Kept::Event { at, event } if *at < self.question.until => {
                let now = self.clock.at(*at);
                match *at < self.question.since {
                    true => self.learn(now, event),
                    false => self.judge(now, *at, event),
                }
            }
            Kept::Event { .. } => {}
        }
    }

    /// Before what is asked about: whoever registered then has his place.
    fn learn(&mut self, now: Instant, event: &Event) {
        if let What::Registered { account, .. } = event.what {
            let address = event.source.address();
            self.watch.restore_place(now, address, account);
        }
    }

    fn judge(&mut self, now: Instant, at: UnixTime, event: &Event) {
        self.advance(now);
        if self.look <= now {
            self.look_at_incidents(self.look);
            self.look = now + LOOK;
        }
        self.events += 1;
        let micros = at.as_micros();
        let (first, last) = self.span.get_or_insert((micros, micros));
        *first = (*first).min(micros);
        *last = (*last).max(micros);
        self.run.messages += u64::from(is_message(&mut self.broken, at, event));
        let own = own(event);
        if let Some(who) = own {
            self.own_events += 1;
            self.touched.note(now, micros, who, event);
        }
        let event = Event { at: now, ..*event };
        self.watch.handle_event(now, &event);
        self.hear(now);
        let address = event.source.address();
        if own.is_some() && !self.watch.harm(now, address).is_nobody() {
            self.touched.spare(address);
        }
    }

    /// Does what is due until `now`, each at its time.
    fn advance(&mut self, now: Instant) {
        while let Some(due) = self.watch.poll_timeout().filter(|due| *due <= now) {
            self.watch.handle_timeout(due);
            self.hear(due);
        }
    }

    fn finish(&mut self) {
        let end = self.clock.now + AFTER;
        self.advance(end);
        self.look_at_incidents(end);
    }

    fn look_at_incidents(&mut self, now: Instant) {
        for incident in self.watch.incidents(now) {
            self.run.update(incident);
        }
    }

    fn hear(&mut self, now: Instant) {
        while let Some(verdict) = self.watch.poll_verdict() {
            match &verdict {
                Verdict::Decided { decision, .. } => self.touched.stand(decision),
                Verdict::Lifted(decision) => self.touched.lift(decision),
                Verdict::Incident(_) | Verdict::Refused { .. } => {}
            }
            self.run.hear(&self.watch, now, verdict);
            if let Some((incident, _)) = self.run.findings.get(self.begun.len()) {
                self.begun.push(incident.opened);
            }
            self.decided.resize(self.run.decisions.len(), now);
        }
    }
}

/// Counts messages of whoever was found.
struct Count<'a> {
    question: &'a Question<'a>,
    messages: u64,
    broken: Option<Broken>,
    guilty: Guilty,
}

impl Count<'_> {
    fn take(&mut self, kept: &Kept) {
        let Kept::Event { at, event } = kept else {
            return;
        };
        let asked = self.question.since..self.question.until;
        if asked.contains(at) && is_message(&mut self.broken, *at, event) {
            self.messages += 1;
            self.guilty.count(self.messages, subjects(event));
        }
    }
}

/// A broken message: its refusal follows it.
type Broken = (UnixTime, SocketAddr, Fingerprint);

/// Whether an event tells of a message that no event before it told of.
fn is_message(broken: &mut Option<Broken>, at: UnixTime, event: &Event) -> bool {
    let remote = event.source.remote;
    let before = broken.take();
    let shape = shape(&event.what);
    if let (What::Defective { .. }, Some(shape)) = (&event.what, shape) {
        *broken = Some((at, remote, shape));
        return true;
    }
    let again = shape.is_some_and(|shape| before == Some((at, remote, shape)));
    match event.what {
        What::StreamWithoutMessage | What::AlienBinding { .. } => false,
        What::Call { step, .. } => matches!(step, CallStep::Offered { .. }) && !again,
        _ => !again,
    }
}

fn shape(what: &What) -> Option<Fingerprint> {
    match what {
        What::Request(asked) | What::Challenged(asked) | What::Refused { asked, .. } => {
            Some(asked.shape.fingerprint)
        }
        What::Defective { shape, .. }
        | What::Credentials { shape, .. }
        | What::Registered { shape, .. }
        | What::Call {
            step: CallStep::Offered { shape, .. },
            ..
        } => Some(shape.fingerprint),
        _ => None,
    }
}

fn account(what: &What) -> Option<Name> {
    match what {
        What::Credentials { account, .. } | What::Registered { account, .. } => Some(*account),
        What::Challenged(asked) => Some(asked.target),
        _ => None,
    }
}

/// Whose an event of the customer's own is.
fn own(event: &Event) -> Option<&'static str> {
    match event.what {
        What::Registered { .. }
        | What::Credentials {
            outcome: CredentialsOutcome::Right,
            ..
        } => Some("phone"),
        _ => {
            let principal = event.source.principal;
            principal.is_own().then(|| principal.as_str())
        }
    }
}

/// About whom a finding has to be for this message to be hostile.
fn subjects(event: &Event) -> impl Iterator<Item = Subject> {
    let address = place_of(event.source.address());
    let account = account(&event.what).map(|account| Subject::AccountFrom(account, address));
    let fingerprint = shape(&event.what).filter(|_| own(event).is_none());
    let aimed = match event.what {
        What::Forged { call, .. } => call.map(Subject::Call),
        What::Call {
            step: CallStep::Offered { calling, .. },
            ..
        } => Some(Subject::Number(calling)),
        _ => None,
    };
    [
        Some(Subject::Address(address)),
        account,
        fingerprint.map(Subject::Fingerprint),
        aimed,
    ]
    .into_iter()
    .flatten()
}

/// An address; of one account only, or all of it.
type Place = (IpAddr, Option<Name>);

/// What stands against somebody.
#[derive(Clone, Copy)]
struct Standing {
    kind: &'static str,
    action: &'static str,
    mode: &'static str,
    until: Instant,
}

/// What stands, and whom of the customer's it met.
struct TouchedSet {
    /// One against one place: the ladder replaces what is weaker, and waits for the end of the rest.
    standing: KeyedMap<Place, Standing>,
    swept: Instant,
    known: KeyedMap<(IpAddr, &'static str), usize>,
    lines: Vec<Touched>,
}

impl TouchedSet {
    fn stand(&mut self, decision: &Decision) {
        if let Some(place) = place(decision)
            && decision.action() != Action::Observe
        {
            let proposal = decision.proposal();
            let standing = Standing {
                kind: proposal.kind.as_str(),
                action: proposal.action.as_str(),
                mode: proposal.mode.as_str(),
                until: decision.until(),
            };
            let now = proposal.at;
            if self.standing.len() >= STANDING_MAX && now - self.swept >= SWEEP {
                self.swept = now;
                self.standing.retain(|_, standing| standing.until > now);
            }
            if self.standing.len() < STANDING_MAX {
                self.standing.insert(place, standing);
            }
        }
    }

    fn lift(&mut self, decision: &Decision) {
        if let Some(place) = place(decision) {
            self.standing.remove(&place);
        }
    }

    /// An address is the customer's own from now on: what is enforced against it is lifted, and what
    /// is only observed would have been.
    fn spare(&mut self, address: IpAddr) {
        self.standing.remove(&(place_of(address), None));
    }

    fn note(&mut self, now: Instant, at: i64, who: &'static str, event: &Event) {
        if self.standing.is_empty() {
            return;
        }
        let address = place_of(event.source.address());
        let places = [Some(None), account(&event.what).map(Some)];
        let places = places.into_iter().flatten();
        let met = places.filter_map(|account| self.standing.get(&(address, account)));
        for standing in met.filter(|standing| standing.until > now) {
            let line = self.known.get(&(address, standing.kind)).copied();
            if let Some(line) = line.and_then(|line| self.lines.get_mut(line)) {
                line.events += 1;
            } else if self.lines.len() < LINES_MAX {
                self.known
                    .insert((address, standing.kind), self.lines.len());
                self.lines.push(Touched {
                    source: address.to_string(),
                    who,
                    events: 1,
                    kind: standing.kind,
                    action: standing.action,
                    mode: standing.mode,
                    first_at_us: at,
                });
            }
        }
    }
}

fn place(decision: &Decision) -> Option<Place> {
    match decision.against() {
        Subject::Address(address) => Some((*address, None)),
        Subject::AccountFrom(account, address) => Some((*address, Some(*account))),
        _ => None,
    }
}

//! The judge of the live edge, run over a capture on the capture's own time.
//!
//! Twice: the first time it is found who is hostile, the second time messages are told apart by
//! that, those before their source was known included. Both runs are the same, for everything
//! follows from the capture.

use std::io::{Read, Seek, SeekFrom};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ringfence_base::time::WallAnchor;
use ringfence_base::{HashKey, Instant, KeyedMap, UnixTime};
use ringfence_detect::event::PeerRef;
use ringfence_detect::feed::AddressList;
use ringfence_detect::finding::{Incident, Kind, Subject};
use ringfence_detect::ladder::Modes;
use ringfence_detect::own::{Network, place_of};
use ringfence_detect::reading;
use ringfence_detect::scenario::Scenario;
use ringfence_detect::watch::{Limits, Verdict, Watch};
use ringfence_sip::Message;

use crate::container::{Capture, CaptureError};
use crate::dissect::{Dissector, Seen, Skipped};
use crate::outcomes::{Outcomes, Way};
use crate::report::{DecisionLine, FindingLine, MessageLine, Report};

/// Findings, and decisions, of one report. More are counted.
pub const LINES_MAX: usize = 10_000;
/// A score from which on a source is found to scan.
const FOUND: f32 = 5.0;
/// The capture's first packet, in the judge's time: not zero, which means never there.
pub(crate) const BEGIN: Duration = Duration::from_secs(1);
/// The longest silence that is lived through.
pub(crate) const LEAP_MAX: Duration = Duration::from_secs(400 * 24 * 3600);

/// Who is who, and what is enforced.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// Configured trunks (`true`) and PBXs.
    pub peers: Vec<(Network, PeerRef, bool)>,
    /// Addresses of our own: what they ask is no attack.
    pub local: Vec<IpAddr>,
    /// What is enforced.
    pub modes: Modes,
    /// Detectors that are data, beside the built-in ones.
    pub scenarios: Vec<Scenario>,
    /// Addresses that others saw attack, as they are listed now: a score, never a verdict.
    pub lists: Vec<Arc<AddressList>>,
}

/// What came of a capture.
#[derive(Clone, Debug, PartialEq)]
pub struct Replayed {
    /// What would have been stopped.
    pub report: Report,
    /// Packets in the file.
    pub packets: u64,
    /// What could not be read.
    pub skipped: Skipped,
    /// Findings and decisions beyond [`LINES_MAX`].
    pub left_out: u64,
}

/// Replays a capture. `each` is called for each SIP message, in order.
///
/// # Errors
/// When the file is no capture, or broken.
pub fn replay<R: Read + Seek>(
    mut file: R,
    setting: &Setting,
    mut each: impl FnMut(&MessageLine),
) -> Result<Replayed, CaptureError> {
    let first = run(&mut file, setting, None, |_| {})?;
    let mut guilty = Guilty::new(&first);
    let second = run(&mut file, setting, Some(&mut guilty), &mut each)?;
    let findings = first.findings.iter();
    let findings = findings.map(|(incident, found_at)| guilty.line(incident, *found_at));
    Ok(Replayed {
        report: Report {
            messages: second.messages,
            hostile_messages: guilty.messages,
            findings: findings.collect(),
            decisions: first.decisions,
        },
        packets: second.packets,
        skipped: second.skipped,
        left_out: first.left_out,
    })
}

/// What one run saw.
pub(crate) struct Run {
    key: HashKey,
    pub(crate) messages: u64,
    packets: u64,
    pub(crate) findings: Vec<(Incident, u64)>,
    known: KeyedMap<(Kind, Subject), usize>,
    pub(crate) decisions: Vec<DecisionLine>,
    pub(crate) left_out: u64,
    skipped: Skipped,
}

fn run<R: Read + Seek>(
    file: &mut R,
    setting: &Setting,
    mut guilty: Option<&mut Guilty>,
    mut each: impl FnMut(&MessageLine),
) -> Result<Run, CaptureError> {
    file.seek(SeekFrom::Start(0))
        .map_err(|source| CaptureError::Read { offset: 0, source })?;
    // Each run over one capture is the same. Who can choose what is in a table here can at most
    // make one replay slow.
    let key = HashKey::from_bytes(*b"ringfence replay");
    let mut capture = Capture::open(std::io::BufReader::with_capacity(1 << 16, file))?;
    let mut machine = Machine::new(key, setting);
    let mut dissector = Dissector::new(key);
    let mut clock = Clock::new();
    while let Some(packet) = capture.next()? {
        machine.run.packets += 1;
        let now = clock.at(packet.at);
        machine.advance(now);
        dissector.push(packet.link, packet.data, |way, seen| {
            let line = machine.take(now, clock.anchor, way, &seen, guilty.as_deref_mut());
            each(&line);
        });
    }
    machine.finish(clock.now);
    machine.run.skipped = dissector.skipped();
    Ok(machine.run)
}

/// Wall time of packets as the judge's time, which never goes back.
struct Clock {
    first: Option<u64>,
    last: u64,
    now: Instant,
    anchor: WallAnchor,
}

impl Clock {
    const fn new() -> Clock {
        Clock {
            first: None,
            last: 0,
            now: Instant::ZERO,
            anchor: WallAnchor {
                instant: Instant::ZERO,
                unix: UnixTime::from_micros(0),
            },
        }
    }

    fn at(&mut self, nanos: u64) -> Instant {
        if self.first.is_none() {
            self.first = Some(nanos);
            self.last = nanos;
            self.now = Instant::ZERO + BEGIN;
            let micros = i64::try_from(nanos / 1_000).unwrap_or(i64::MAX);
            self.anchor = WallAnchor {
                instant: self.now,
                unix: UnixTime::from_micros(micros),
            };
        }
        let step = Duration::from_nanos(nanos.saturating_sub(self.last));
        self.now += step.min(LEAP_MAX);
        self.last = self.last.max(nanos);
        self.now
    }
}

struct Machine {
    watch: Watch,
    outcomes: Outcomes,
    run: Run,
}

impl Machine {
    fn new(key: HashKey, setting: &Setting) -> Machine {
        let mut watch = Watch::new(key, Limits::default(), setting.modes);
        let peers = setting
            .peers
            .iter()
            .map(|(network, peer, _)| (*network, *peer));
        watch.set_peers(Instant::ZERO, peers.collect());
        watch.set_scenarios(setting.scenarios.clone());
        watch.set_lists(&setting.lists);
        Machine {
            watch,
            outcomes: Outcomes::new(key, setting.peers.clone(), setting.local.clone()),
            run: Run::new(key),
        }
    }

    /// Does what is due until `now`, each at its time.
    fn advance(&mut self, now: Instant) {
        loop {
            let due = [self.outcomes.poll_timeout(), self.watch.poll_timeout()];
            let Some(due) = due.into_iter().flatten().min().filter(|due| *due <= now) else {
                return;
            };
            self.outcomes.handle_timeout(due);
            self.judge(due);
            if self.watch.poll_timeout().is_some_and(|at| at <= due) {
                self.watch.handle_timeout(due);
            }
            self.hear(due);
        }
    }

    fn finish(&mut self, now: Instant) {
        // Long enough for what waits for an answer; blocks that end later are not waited for.
        self.advance(now + Duration::from_secs(40));
    }

    fn take(
        &mut self,
        now: Instant,
        anchor: WallAnchor,
        way: Way,
        seen: &Seen<'_>,
        guilty: Option<&mut Guilty>,
    ) -> MessageLine {
        self.run.messages += 1;
        let who = match seen {
            Seen::Message(message) => {
                self.outcomes.handle_message(now, way, message);
                Who::of(self.run.key, way, Some(message), &self.outcomes)
            }
            Seen::Unparseable(bytes) => {
                self.outcomes.handle_unparseable(now, way, *bytes);
                Who::of(self.run.key, way, None, &self.outcomes)
            }
        };
        self.judge(now);
        let known = who.subjects().any(|subject| {
            Kind::ALL
                .iter()
                .any(|kind| self.run.known.contains_key(&(*kind, subject)))
        });
        let hostile = guilty.is_some_and(|guilty| guilty.count(self.run.messages, who.subjects()));
        let score = match who.asks {
            true => self.watch.score(now, way.from.ip()),
            false => 0.0,
        };
        let score = if known { score.max(FOUND) } else { score };
        MessageLine::new(
            self.run.messages,
            anchor.unix_time(now),
            way,
            seen,
            score,
            (known, hostile),
        )
    }

    fn judge(&mut self, now: Instant) {
        while let Some(event) = self.outcomes.poll_event() {
            self.watch.handle_event(now, &event);
            self.hear(now);
        }
    }

    fn hear(&mut self, now: Instant) {
        while let Some(verdict) = self.watch.poll_verdict() {
            self.run.hear(&self.watch, now, verdict);
        }
    }
}

impl Run {
    pub(crate) fn new(key: HashKey) -> Run {
        Run {
            key,
            messages: 0,
            packets: 0,
            findings: Vec::new(),
            known: key.map(),
            decisions: Vec::new(),
            left_out: 0,
            skipped: Skipped::default(),
        }
    }

    /// An incident as it is now, if it was heard of.
    pub(crate) fn update(&mut self, incident: Incident) {
        let place = self.known.get(&(incident.kind, incident.subject)).copied();
        if let Some((known, _)) = place.and_then(|place| self.findings.get_mut(place)) {
            *known = incident;
        }
    }

    /// What the judge says after the last message.
    pub(crate) fn hear(&mut self, watch: &Watch, now: Instant, verdict: Verdict) {
        match verdict {
            Verdict::Incident(incident) => {
                let key = (incident.kind, incident.subject);
                if let Some(place) = self.known.get(&key) {
                    if let Some((known, _)) = self.findings.get_mut(*place) {
                        *known = *incident;
                    }
                } else if self.findings.len() < LINES_MAX {
                    self.known.insert(key, self.findings.len());
                    self.findings.push((*incident, self.messages));
                } else {
                    self.left_out += 1;
                }
            }
            Verdict::Decided { decision, .. } => {
                let line = DecisionLine::decided(self.messages, &decision);
                self.decide(line);
            }
            Verdict::Refused { proposal, why, .. } => {
                let harm = match proposal.against {
                    Subject::Address(address) | Subject::AccountFrom(_, address) => {
                        watch.harm(now, address)
                    }
                    _ => ringfence_detect::decision::Harm::NOBODY,
                };
                let line = DecisionLine::refused(self.messages, &proposal, why, harm);
                self.decide(line);
            }
            Verdict::Lifted(_) => {}
        }
    }

    fn decide(&mut self, line: DecisionLine) {
        match self.decisions.len() < LINES_MAX {
            true => self.decisions.push(line),
            false => self.left_out += 1,
        }
    }
}

/// Whose message something is.
struct Who {
    address: IpAddr,
    accounts: [Option<ringfence_detect::name::Name>; 2],
    fingerprint: Option<ringfence_detect::event::Fingerprint>,
    asks: bool,
}

impl Who {
    fn of(key: HashKey, way: Way, message: Option<&Message<'_>>, outcomes: &Outcomes) -> Who {
        let address = place_of(way.from.ip());
        let request = message.filter(|message| message.is_request());
        let fingerprint = request
            .filter(|_| !outcomes.is_served(way.from.ip()))
            .map(|message| reading::asked(key, message).shape.fingerprint);
        Who {
            address,
            accounts: request.map_or([None, None], |message| reading::accounts(key, message)),
            fingerprint,
            asks: message.is_none_or(|message| message.is_request())
                && !outcomes.is_local(way.from.ip()),
        }
    }

    fn subjects(&self) -> impl Iterator<Item = Subject> {
        let accounts = self.accounts.iter().flatten();
        let accounts = accounts.map(|account| Subject::AccountFrom(*account, self.address));
        let fingerprint = self.fingerprint.map(Subject::Fingerprint);
        std::iter::once(Subject::Address(self.address))
            .chain(accounts)
            .chain(fingerprint)
            .filter(|_| self.asks)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    first: u64,
    last: u64,
    messages: u64,
}

/// Who was found hostile, and their messages.
pub(crate) struct Guilty {
    all: KeyedMap<Subject, Option<Stretch>>,
    pub(crate) messages: u64,
}

impl Guilty {
    pub(crate) fn new(run: &Run) -> Guilty {
        let mut all = run.key.map();
        let subjects = run
            .findings
            .iter()
            .map(|(incident, _)| (incident.subject, None));
        all.extend(subjects);
        Guilty { all, messages: 0 }
    }

    /// Whether a message is of one of them.
    pub(crate) fn count(&mut self, index: u64, subjects: impl Iterator<Item = Subject>) -> bool {
        let mut hostile = false;
        for subject in subjects {
            let Some(stretch) = self.all.get_mut(&subject) else {
                continue;
            };
            hostile = true;
            let stretch = stretch.get_or_insert(Stretch {
                first: index,
                last: index,
                messages: 0,
            });
            stretch.last = index;
            stretch.messages += 1;
        }
        self.messages += u64::from(hostile);
        hostile
    }

    /// A finding, with the messages of whom it is about; of nobody in particular, with the one
    /// that it was found at.
    pub(crate) fn line(&self, incident: &Incident, found_at: u64) -> FindingLine {
        let seen = self.all.get(&incident.subject).copied().flatten();
        let seen = seen.unwrap_or(Stretch {
            first: found_at,
            last: found_at,
            messages: 1,
        });
        FindingLine {
            kind: incident.kind.as_str(),
            source: match incident.finding.source {
                Some(source) if !matches!(incident.subject, Subject::Fingerprint(_)) => {
                    source.to_string()
                }
                _ => incident.subject.to_string(),
            },
            first_message: seen.first,
            last_message: seen.last,
            messages: seen.messages,
            why: incident.finding.explain(),
        }
    }
}

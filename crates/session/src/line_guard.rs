//! A site's lines kept open under a telephony denial of service: the admission machine of
//! `detect` between routing and channels.
//!
//! Inbound trunk calls are offered to it, outbound ones and ends of calls are told it, and known
//! callers are learned from answered calls with sound both ways. Workers share one machine for each
//! site behind a lock of its own, which is held for no longer than a table look-up takes.
//!
//! Strangers who are to be asked by voice are answered by `screening`. Where a site has no voice
//! they find the reserve closed during an alarm and hear 486, which lets them try again and makes
//! no carrier fail over.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use ringfence_base::{HashKey, Instant, UnixTime};
use ringfence_detect::callers::{CALLERS_MAX, Kept, KnownCallers, Standing, TALK_MIN, Talk};
use ringfence_detect::event::{CallRef, SiteRef};
use ringfence_detect::habits::HabitsError;
use ringfence_detect::tdos::Gate;
use ringfence_detect::tdos::baseline::{Baseline, HourOfWeek};
use ringfence_detect::tdos::climate::{self, Lately};
use ringfence_detect::tdos::gate::{AttackMode, Counts, Profile};
use ringfence_detect::tdos::offer::{CallingNumber, Offer, Order, Upstream, Verdict};
use ringfence_sip::{HeaderName, Message};

use crate::call::{Call, Side};
use crate::call_id::CallId;
use crate::cdr::Direction;
use crate::core::Core;
use crate::event::Event;
use crate::identity::Identity;
use crate::numbering::Number;
use crate::plan::{Plan, Site};
use crate::routing::Route;
use crate::screening::VoicePolicy;
use crate::verification::upstream;

/// What is done about calls that hold a site's lines (`tdos`, `reserve_known` and `utc_offset` of a
/// site).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinesPolicy {
    /// Whether anybody watches, and acts.
    pub mode: LinesMode,
    /// Channels that strangers never fill during an alarm; `None` is three in eight.
    pub reserve_known: Option<u32>,
    /// How far local time is ahead of UTC, in minutes.
    pub utc_offset_minutes: i16,
    /// How strangers are asked by voice; `None`: they are not.
    pub voice: Option<Arc<VoicePolicy>>,
}

/// `tdos` of a site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinesMode {
    /// Strangers are kept from the reserve while an attack holds the lines.
    Enforce,
    /// It is noted what would have been done.
    Observe,
    /// Nobody watches.
    #[default]
    Off,
}

impl LinesMode {
    /// As the configuration names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            LinesMode::Enforce => "enforce",
            LinesMode::Observe => "observe",
            LinesMode::Off => "off",
        }
    }
}

/// What workers know together of a site's lines, and of its tenant's callers.
#[derive(Debug, Default)]
pub struct Lines {
    watched: OnceLock<Box<Mutex<Watched>>>,
    callers: OnceLock<Box<Mutex<KnownCallers>>>,
    /// Strangers who called the site lately. A lock of its own, since other sites' workers look here;
    /// whoever holds it takes no other.
    lately: Mutex<Lately>,
    /// What an earlier process learned of the site, until somebody watches it.
    habits: Mutex<Vec<u8>>,
    /// Until when an operator knows of an attack, in nanoseconds; 0 is never.
    attack_until: AtomicU64,
    /// Wrong digits of those who were asked in this attack.
    wrong_digits: AtomicU32,
}

#[derive(Debug)]
struct Watched {
    gate: Gate,
    last_emergency: Option<Instant>,
}

/// How a site's lines stand, for people.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LinesView {
    /// Since when there is an alarm.
    pub alarm_since: Option<Instant>,
    /// Until when an operator said that there is an attack.
    pub attack_until: Option<Instant>,
    /// Counts since the start.
    pub counts: Counts,
    /// Numbers that are remembered for the tenant.
    pub callers: usize,
    /// Strangers who usually call in an hour like that of the last call, if there was one.
    pub usual_strangers: Option<f64>,
}

impl Lines {
    /// An operator knows of an attack until then, or takes it back.
    pub fn set_attack_mode(&self, until: Option<Instant>) {
        let until = until.map_or(0, Instant::as_nanos);
        self.attack_until.store(until, Relaxed);
    }

    /// Somebody who was asked pressed wrong digits.
    pub(crate) fn note_wrong_digits(&self) {
        self.wrong_digits.fetch_add(1, Relaxed);
    }

    /// Wrong digits of those who were asked in this attack.
    pub(crate) fn wrong_digits(&self) -> u32 {
        self.wrong_digits.load(Relaxed)
    }

    /// How the lines stand at `now`.
    pub fn view(&self, now: Instant) -> LinesView {
        let attack_until = self.attack_until().filter(|until| *until > now);
        let callers = self.callers.get().map_or(0, |callers| lock(callers).len());
        let Some(watched) = self.watched.get() else {
            return LinesView {
                attack_until,
                callers,
                ..LinesView::default()
            };
        };
        let mut watched = lock(watched);
        watched.gate.handle_timeout(now);
        LinesView {
            alarm_since: watched.gate.alarm().map(|alarm| alarm.since),
            attack_until,
            counts: watched.gate.counts(),
            callers,
            usual_strangers: Some(watched.gate.usual_per_second() * 3600.0),
        }
    }

    /// Makes numbers known (contacts, or answered calls of before the start): `+` and digits.
    pub fn import<'a>(
        &self,
        key: HashKey,
        numbers: impl IntoIterator<Item = &'a str>,
        now: UnixTime,
    ) {
        let mut callers = self.callers(key);
        for number in numbers {
            let caller = callers.key_of(number);
            callers.import(caller, now);
        }
    }

    /// Makes one number known, as a contact or as one that was talked with. What it was before.
    pub fn import_one(&self, key: HashKey, number: &str, talked: bool, now: UnixTime) -> Standing {
        let mut callers = self.callers(key);
        let caller = callers.key_of(number);
        let before = callers.standing(caller, now);
        match talked {
            false => callers.import(caller, now),
            true if before != Standing::Known => {
                let talk = Talk {
                    outbound: false,
                    duration: TALK_MIN,
                    two_way: true,
                    in_alarm: false,
                };
                callers.learn(caller, talk, now);
            }
            // To import a file twice makes nobody better known.
            true => {}
        }
        before
    }

    /// How many numbers are remembered for the tenant.
    pub fn callers_remembered(&self) -> usize {
        self.callers.get().map_or(0, |callers| lock(callers).len())
    }

    /// What a number is to the tenant.
    pub fn standing(&self, key: HashKey, number: &str, now: UnixTime) -> Standing {
        let callers = self.callers(key);
        callers.standing(callers.key_of(number), now)
    }

    /// A number is a stranger's from now on. Whether it was known.
    pub fn forget(&self, key: HashKey, number: &str, now: UnixTime) -> bool {
        let mut callers = self.callers(key);
        let caller = callers.key_of(number);
        callers.forget(caller, now)
    }

    /// Makes the tenant's table under a key that outlives the process, with what an earlier one wrote
    /// down. To be called before a worker asks for it.
    pub fn restore_callers(&self, key: HashKey, kept: impl IntoIterator<Item = Kept>) {
        self.callers(key).restore(kept);
    }

    /// Takes back what an earlier process learned of how many strangers call. To be called before a
    /// worker asks for the site's lines.
    ///
    /// # Errors
    /// It is no such thing: the site is learned anew.
    pub fn restore_habits(&self, habits: Vec<u8>) -> Result<(), HabitsError> {
        Baseline::new(0).restore(&habits)?;
        *lock(&self.habits) = habits;
        Ok(())
    }

    /// What is to be written down of how many strangers call, if that has changed.
    pub fn take_changed_habits(&self) -> Option<Vec<u8>> {
        lock(self.watched.get()?).gate.take_changed_habits()
    }

    /// What is to be written down of callers, at most `most` of it.
    pub fn take_changed_callers(&self, most: usize) -> Vec<Kept> {
        let callers = self.callers.get();
        callers.map_or_else(Vec::new, |callers| lock(callers).take_changed(most))
    }

    /// How many times the usual number of strangers called the site lately, if any did.
    fn rise(&self, now: Instant) -> Option<f64> {
        lock(&self.lately).rise(now)
    }

    fn attack_until(&self) -> Option<Instant> {
        Some(self.attack_until.load(Relaxed))
            .filter(|nanos| *nanos > 0)
            .map(Instant::from_nanos)
    }

    /// The tenant's table, made with `key` by whoever asks first: the edge, before its workers do. Each
    /// worker has a key of its own, so callers are always named by the table's
    /// ([`KnownCallers::key_of`]).
    fn callers(&self, key: HashKey) -> MutexGuard<'_, KnownCallers> {
        let make = || Box::new(Mutex::new(KnownCallers::new(key, CALLERS_MAX)));
        lock(self.callers.get_or_init(make))
    }

    fn watched(&self, key: HashKey, profile: Profile, now: Instant) -> MutexGuard<'_, Watched> {
        let make = || {
            let mut gate = Gate::new(profile, key);
            // They were read before.
            let _ = gate.restore_habits(&std::mem::take(&mut *lock(&self.habits)));
            Box::new(Mutex::new(Watched {
                gate,
                last_emergency: None,
            }))
        };
        let mut watched = lock(self.watched.get_or_init(make));
        watched.gate.set_profile(profile);
        let mode = self.attack_until().filter(|until| *until > now);
        let mode = mode.map(|until| AttackMode { until });
        if watched.gate.attack_mode() != mode {
            watched.gate.set_attack_mode(mode, now);
        }
        watched
    }
}

/// What a call finds that is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Its caller is to be asked by voice first.
    Ask {
        /// Most who call are people.
        kindly: bool,
    },
    /// It goes on; what would have been done is noted.
    Noted(String),
    /// It goes on.
    Open,
}

/// A call that is not let in: the status for the carrier and the sentence for the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) status: u16,
    pub(crate) why: String,
}

impl Core {
    /// Whether a routed call may have a line of its site.
    ///
    /// # Errors
    /// The call is not to be let in.
    pub(crate) fn ask_for_line(
        &mut self,
        now: Instant,
        plan: &Plan,
        id: CallId,
        route: &Route,
        identity: &Identity,
        message: &Message<'_>,
    ) -> Result<Line, Closed> {
        let Some((site, mode, profile)) = watched_site(plan, route, now) else {
            return Ok(Line::Open);
        };
        if mode == LinesMode::Off {
            return Ok(Line::Open);
        }
        let (key, call) = (self.hash, CallRef::new(id.raw()));
        let wall = self.unix(now);
        let lines = &site.usage.lines;
        let enforced = mode == LinesMode::Enforce;
        let mut watched = lines.watched(key, profile, now);
        let mut line = Line::Open;
        let closed = match route.direction {
            Direction::Internal => None,
            Direction::Outbound => {
                if route.emergency {
                    watched.last_emergency = Some(now);
                } else if let Some(callee) = route.called.e164 {
                    let mut callers = tenant_lines(plan, site).callers(key);
                    let callee = callers.key_of(&callee.to_string());
                    callers.note_outbound(callee, wall);
                }
                let free = watched.gate.outbound(call, now, route.emergency);
                (!free).then(|| Closed {
                    status: 503,
                    why: "all channels are in use but the one for emergencies".to_owned(),
                })
            }
            Direction::Inbound => {
                let number = caller_of(plan, site, route, identity);
                let (caller, standing) = number.as_ref().map_or_else(Default::default, |number| {
                    let callers = tenant_lines(plan, site).callers(key);
                    let caller = callers.key_of(number);
                    (Some(caller), callers.standing(caller, wall))
                });
                let is_stranger = standing == Standing::Stranger;
                let offer = Offer {
                    call,
                    at: now,
                    hour: HourOfWeek::of(wall, site.policy.lines.utc_offset_minutes),
                    caller,
                    standing,
                    emergency: watched.is_call_back(now, message),
                    upstream: Upstream {
                        number: CallingNumber::read(number.as_deref()),
                        ..upstream(identity)
                    },
                    elsewhere: match is_stranger {
                        true => usual_elsewhere(plan, site, now),
                        false => 1.0,
                    },
                };
                let ruling = watched.gate.offer(&offer);
                if is_stranger && watched.gate.alarm().is_none() {
                    let usual = watched.gate.usual_per_second();
                    lock(&lines.lately).note(now, usual);
                }
                if watched.gate.alarm().is_none() {
                    lines.wrong_digits.store(0, Relaxed);
                }
                match ruling.verdict {
                    Verdict::Shed { status } => {
                        if !enforced {
                            watched.gate.let_in(&offer);
                        }
                        Some(Closed {
                            status,
                            why: ruling.why,
                        })
                    }
                    Verdict::Admit => None,
                    Verdict::Screen { kindly } if enforced => {
                        line = Line::Ask { kindly };
                        None
                    }
                    Verdict::Screen { .. } => {
                        watched.gate.let_in(&offer);
                        line = Line::Noted(format!("would be asked by voice: {}", ruling.why));
                        None
                    }
                }
            }
        };
        let found = std::iter::from_fn(|| watched.gate.poll_finding());
        let found: Vec<_> = found.collect();
        // Calls that are asked look for themselves whether they were given up.
        let ended: Vec<_> = std::iter::from_fn(|| watched.gate.poll_order())
            .filter_map(|order| match order {
                Order::EndForEmergency(call) if enforced => Some(call),
                Order::EndForEmergency(_) | Order::LeaveToCallBack(_) => None,
            })
            .collect();
        drop(watched);
        for call in ended {
            let id = CallId::from_raw(call.raw());
            self.emit(Event::EmergencyNeedsLine { id });
        }
        for finding in found {
            self.emit(Event::LinesUnderAttack {
                site: site.key.clone(),
                finding: Box::new(finding),
                enforced,
            });
        }
        match closed {
            Some(closed) if enforced => Err(closed),
            Some(closed) => Ok(Line::Noted(format!("would be refused: {}", closed.why))),
            None => Ok(line),
        }
    }

    /// What the gate of a call's site says, with its orders taken: each call looks for itself
    /// whether it was given up, since another worker may have been the one to hear of it.
    pub(crate) fn at_gate<T>(
        &self,
        now: Instant,
        plan: &Plan,
        route: &Route,
        work: impl FnOnce(&mut Gate) -> T,
    ) -> Option<T> {
        let (site, _, profile) = watched_site(plan, route, now)?;
        let mut watched = site.usage.lines.watched(self.hash, profile, now);
        watched.gate.handle_timeout(now);
        let result = work(&mut watched.gate);
        while watched.gate.poll_order().is_some() {}
        Some(result)
    }

    /// A call that was let in never came to be.
    pub(crate) fn give_line_back(&self, now: Instant, plan: &Plan, id: CallId, route: &Route) {
        if let Some((site, _, profile)) = watched_site(plan, route, now) {
            let mut watched = site.usage.lines.watched(self.hash, profile, now);
            watched.gate.ended(CallRef::new(id.raw()), None, now);
        }
    }

    /// A call is over: its line is free, and its caller may be known from now on. Callers are learned
    /// whether or not the lines are watched: whoever turns that on in an attack wants them known.
    pub(crate) fn learn_from(&self, now: Instant, call: &Call) {
        let answered = call.facts.answered_at.map(|at| now.saturating_since(at));
        let mut in_alarm = false;
        if let Some((site, _, profile)) = watched_site(&call.plan, &call.route, now) {
            let mut watched = site.usage.lines.watched(self.hash, profile, now);
            in_alarm = watched.gate.alarm().is_some();
            let id = CallRef::new(call.id.raw());
            let said = call.media.record(&self.media, Side::A);
            if let (Some(said), true) = (said, answered.is_some()) {
                watched.gate.note_heard(id, said.packets_received > 0);
            }
            watched.gate.ended(id, answered, now);
        }
        let Some(site) = call.plan.site(call.route.site) else {
            return;
        };
        if call.route.emergency || call.route.direction == Direction::Internal {
            return;
        }
        let outbound = call.route.direction == Direction::Outbound;
        let number = match outbound {
            true => call.route.called.e164.map(|number| number.to_string()),
            false => caller_of(&call.plan, site, &call.route, &call.identity),
        };
        let Some(number) = number else { return };
        if outbound {
            let mut callers = tenant_lines(&call.plan, site).callers(self.hash);
            let callee = callers.key_of(&number);
            callers.note_outbound(callee, self.unix(now));
        }
        let Some(duration) = answered else { return };
        let heard = |side| {
            let record = call.media.record(&self.media, side);
            record.is_some_and(|record| record.packets_received > 0)
        };
        let talk = Talk {
            outbound,
            duration,
            two_way: Side::BOTH.into_iter().all(heard),
            in_alarm: in_alarm && !outbound,
        };
        let mut callers = tenant_lines(&call.plan, site).callers(self.hash);
        let caller = callers.key_of(&number);
        callers.learn(caller, talk, self.unix(now));
    }
}

impl Watched {
    /// Whether a call answers an emergency call of the site: it says so (RFC 7090), and there was
    /// one lately. The first alone is anybody's word.
    fn is_call_back(&self, now: Instant, message: &Message<'_>) -> bool {
        let lately = self
            .last_emergency
            .is_some_and(|at| now.saturating_since(at) < CALL_BACK_AFTER_EMERGENCY);
        lately && says_call_back(message)
    }
}

/// Whether a call says that it answers an emergency call (RFC 7090), which anybody can.
pub(crate) fn says_call_back(message: &Message<'_>) -> bool {
    let mut priority = message.values(HeaderName::Priority).take(1);
    priority.any(|value| value.trim_ascii().eq_ignore_ascii_case(b"psap-callback"))
}

/// The site of a route if its lines are or were watched, what is done now, and with how many
/// channels. While an operator knows of an attack it is met, whatever the configuration says.
fn watched_site<'a>(
    plan: &'a Plan,
    route: &Route,
    now: Instant,
) -> Option<(&'a Site, LinesMode, Profile)> {
    let site = plan.site(route.site)?;
    let policy = &site.policy.lines;
    let lines = &site.usage.lines;
    let attacked = lines.attack_until().is_some_and(|until| until > now);
    let mode = if attacked {
        LinesMode::Enforce
    } else {
        policy.mode
    };
    let has_calls = lines.watched.get().is_some();
    if site.channels == 0 || (mode == LinesMode::Off && !has_calls) {
        return None;
    }
    let mut profile = Profile::new(SiteRef::new(route.site.raw()), site.channels);
    profile.reserve_known = policy.reserve_known.unwrap_or(profile.reserve_known);
    profile.voice = policy.voice.is_some();
    profile.callers = tenant_lines(plan, site).callers_remembered();
    if let Some(voice) = &policy.voice {
        profile.challenge = voice.time;
    }
    Some((site, mode, profile))
}

/// Where the known callers of a site's tenant are: with the tenant's first site.
pub fn tenant_lines<'a>(plan: &'a Plan, site: &'a Site) -> &'a Lines {
    let mut sites = plan.sites.iter();
    let first = sites.find(|other| other.tenant == site.tenant);
    &first.unwrap_or(site).usage.lines
}

/// How many times as many strangers as usual call other tenants' sites now.
fn usual_elsewhere(plan: &Plan, site: &Site, now: Instant) -> f64 {
    let others = plan
        .sites
        .iter()
        .filter(|other| other.tenant != site.tenant);
    climate::usual_now(others.filter_map(|other| other.usage.lines.rise(now)))
}

/// Who calls from outside, in international form where there is one.
fn caller_of(plan: &Plan, site: &Site, route: &Route, identity: &Identity) -> Option<String> {
    let real = identity.real.as_deref()?;
    let form = plan
        .peer(route.ingress)
        .map_or_else(Default::default, |peer| peer.policy.numbers_in);
    let number = Number::read(real, form, site.policy.numbering);
    Some(number.e164.map_or(number.text, |number| number.to_string()))
}

/// A poisoned lock is taken over: what it guards is counters.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// So long after an emergency call its call backs pass everything.
pub(crate) const CALL_BACK_AFTER_EMERGENCY: Duration = Duration::from_secs(30 * 60);

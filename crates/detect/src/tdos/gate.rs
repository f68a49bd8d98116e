//! The admission machine of one site.
//!
//! Calls are offered, the gate rules. It keeps count of the site's channels by itself: whoever asks
//! it tells it of every call that begins ([`Gate::offer`], [`Gate::outbound`]) and of every call
//! that ends. Times of challenges are its own: poll [`Gate::poll_order`] after every call of a
//! method that takes the time, and call [`Gate::handle_timeout`] at [`Gate::poll_timeout`].

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ringfence_base::{HashKey, Instant, KeyedMap};

use super::baseline::{Baseline, HourOfWeek};
use super::classes::Classes;
use super::offer::{CallingNumber, Challenge, Offer, Order, Ruling, Upstream, Verdict};
use super::pressure::{Pressure, Rise};
use crate::callers::{CallerKey, Standing};
use crate::event::{CallRef, SiteRef};
use crate::finding::{Confidence, Finding, Kind, Subject, Value};
use crate::habits::HabitsError;

/// What a gate is told once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// The site, for findings.
    pub site: SiteRef,
    /// Its channels. More than 0: a site without a limit needs no gate.
    pub channels: u32,
    /// During an alarm a stranger is put through only where so many channels stay free of talks
    /// after it: for the known, and one for emergencies. Three in eight are right where the known
    /// make half an Erlang: of them one in fifty finds no channel when strangers have all others.
    pub reserve_known: u32,
    /// Whether calls can be answered here and asked. Where they cannot, strangers find a smaller
    /// part of the channels open during an alarm, and nobody is asked.
    pub voice: bool,
    /// How long somebody may take for the digits.
    pub challenge: Duration,
    /// Numbers that are remembered of the business's callers: with a hundred of them, most who
    /// are strangers here are strangers to the business.
    pub callers: usize,
}

impl Profile {
    /// The usual profile of a site with `channels`.
    pub const fn new(site: SiteRef, channels: u32) -> Profile {
        Profile {
            site,
            channels,
            reserve_known: channels.saturating_mul(3).div_ceil(8),
            voice: true,
            challenge: CHALLENGE,
            callers: 0,
        }
    }
}

/// Somebody declared an attack, or none, by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttackMode {
    /// Until when.
    pub until: Instant,
}

/// An attack that goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alarm {
    /// Since when.
    pub since: Instant,
    /// What raised it: none is an operator's word.
    pub rise: Option<Rise>,
    /// Most of those who were asked are people: lines are full because many want to talk.
    pub crowd: bool,
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls that went on to the site.
    pub admitted: u64,
    /// Calls that were asked.
    pub screened: u64,
    /// Of those, with the right digits.
    pub passed: u64,
    /// Calls refused for an attack.
    pub shed: u64,
    /// Calls refused because every channel was in use.
    pub full: u64,
    /// Alarms.
    pub alarms: u64,
    /// Calls ended because somebody called for help and no channel was free.
    pub ended_for_emergency: u64,
}

/// The machine.
#[derive(Debug)]
pub struct Gate {
    profile: Profile,
    calls: BTreeMap<CallRef, Held>,
    baseline: Baseline,
    pressure: Pressure,
    classes: Classes,
    passed: KeyedMap<CallerKey, Instant>,
    failed: KeyedMap<CallerKey, (Instant, u8)>,
    /// Durations of strangers' answered calls, in seconds.
    holds: VecDeque<f64>,
    /// Whether the callers of strangers' answered calls were heard.
    heard: VecDeque<bool>,
    /// Who hung up last.
    last_gone: Option<(CallerKey, Instant)>,
    /// Outcomes of the last challenges.
    outcomes: VecDeque<bool>,
    /// When the last calls were refused.
    refused: VecDeque<Instant>,
    /// Until when strangers leave the channels to a call for help.
    help_until: Instant,
    alarm: Option<Alarm>,
    attack_mode: Option<AttackMode>,
    /// Whether strangers are asked, since lines became short in this alarm.
    asking: bool,
    /// Channels that stay free of challenges: see [`Gate::channels_to_keep`].
    kept: u32,
    last_rise: Instant,
    /// Counts when the alarm was raised, and when it was told of last.
    before: Counts,
    last_told: Instant,
    hour: HourOfWeek,
    counts: Counts,
    orders: VecDeque<Order>,
    findings: VecDeque<Finding>,
}

/// Refusals that are remembered: more in a second leave no channel to anybody.
const REFUSED_KEPT: usize = 128;

/// How long somebody who is refused holds a channel at the carrier, about: a round trip.
const REFUSING: Duration = Duration::from_millis(100);

/// How long strangers leave the channels to a call for help: the edge tries each way again within it.
const HELP: Duration = Duration::from_secs(1);

/// A call that holds a channel.
#[derive(Clone, Copy, Debug)]
struct Held {
    since: Instant,
    caller: Option<CallerKey>,
    upstream: Upstream,
    class: Class,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Asked {
        kindly: bool,
    },
    Emergency,
    Known,
    Outbound,
    /// A stranger who passed the challenge.
    Person,
    Stranger,
}

impl Class {
    const fn is_asked(self) -> bool {
        matches!(self, Class::Asked { .. })
    }

    const fn is_kindly(self) -> bool {
        matches!(self, Class::Asked { kindly: true })
    }

    /// A challenge that had less than this is not given up for a newcomer.
    const fn fair_time(self) -> Duration {
        if self.is_kindly() { FAIR_KINDLY } else { FAIR }
    }

    /// Who goes first when an emergency call finds no channel; none: never.
    const fn gives_way(self) -> Option<u8> {
        match self {
            Class::Asked { .. } => Some(4),
            Class::Stranger => Some(3),
            Class::Person => Some(2),
            Class::Outbound => Some(1),
            Class::Known => Some(0),
            Class::Emergency => None,
        }
    }
}

impl Gate {
    /// A gate without calls.
    pub fn new(profile: Profile, key: HashKey) -> Gate {
        Gate {
            profile,
            calls: BTreeMap::new(),
            baseline: Baseline::new(profile.channels),
            pressure: Pressure::default(),
            classes: Classes::new(key),
            passed: key.map(),
            failed: key.map(),
            holds: VecDeque::new(),
            heard: VecDeque::new(),
            last_gone: None,
            outcomes: VecDeque::new(),
            refused: VecDeque::new(),
            help_until: Instant::ZERO,
            alarm: None,
            attack_mode: None,
            asking: false,
            kept: KEPT,
            last_rise: Instant::ZERO,
            before: Counts::default(),
            last_told: Instant::ZERO,
            hour: HourOfWeek::default(),
            counts: Counts::default(),
            orders: VecDeque::new(),
            findings: VecDeque::new(),
        }
    }

    /// A call is let in against the ruling: where the gate only observes.
    pub fn let_in(&mut self, offer: &Offer) {
        self.hold(offer, Class::Stranger);
    }

    /// Takes another profile; calls and what was learned stay.
    pub fn set_profile(&mut self, profile: Profile) {
        self.profile = profile;
        self.baseline.set_acquainted(profile.callers >= ACQUAINTED);
    }

    /// The carrier offers a call: what is to be done with it. An admitted call and one that is
    /// asked hold a channel until [`Gate::ended`].
    pub fn offer(&mut self, offer: &Offer) -> Ruling {
        self.handle_timeout(offer.at);
        self.hour = offer.hour;
        self.baseline.turn_to(offer.hour);
        if offer.emergency {
            self.hold(offer, Class::Emergency);
            return admit("it answers an emergency call");
        }
        let ruling = match self.standing(offer) {
            Standing::Known | Standing::CalledBack => self.offer_known(offer),
            Standing::Stranger if offer.at < self.help_until => {
                self.note_stranger(offer);
                self.shed(486, "a call for help needs the channels")
            }
            Standing::Stranger => self.offer_stranger(offer),
        };
        if matches!(ruling.verdict, Verdict::Shed { .. }) {
            keep(&mut self.refused, offer.at, REFUSED_KEPT);
        }
        ruling
    }

    /// The site calls out. An emergency call always may; another one leaves the last channel free.
    pub fn outbound(&mut self, call: CallRef, now: Instant, emergency: bool) -> bool {
        self.handle_timeout(now);
        let class = if emergency {
            Class::Emergency
        } else {
            Class::Outbound
        };
        let room = self.busy() + 1 < self.profile.channels || self.make_room(now, None, false);
        if !emergency && !room {
            return false;
        }
        if emergency {
            self.make_way_for_help(now);
        }
        self.insert(call, now, None, Upstream::default(), class);
        true
    }

    /// The challenge of a call is over. `true`: it may go on to the site; else it is to be left to
    /// voicemail or a call back, also when the digits were right and no line is left for strangers.
    pub fn challenged(&mut self, call: CallRef, outcome: Challenge, now: Instant) -> bool {
        let Some(held) = self.calls.get(&call).copied() else {
            return false;
        };
        if !held.class.is_asked() {
            return false;
        }
        let passed = outcome == Challenge::Passed;
        let told_and_gone = outcome == Challenge::HungUp && held.class.is_kindly();
        if !told_and_gone && outcome != Challenge::Unasked {
            self.note_outcome(&held, passed, now);
        }
        self.counts.passed += u64::from(passed);
        if outcome == Challenge::Unasked {
            self.counts.screened = self.counts.screened.saturating_sub(1);
        }
        let passed = passed && self.strangers_have_room();
        if passed {
            if let Some(held) = self.calls.get_mut(&call) {
                held.class = Class::Person;
            }
        } else {
            self.calls.remove(&call);
        }
        self.handle_timeout(now);
        passed
    }

    /// Whether a call is being asked, as far as the gate knows: it was not given up.
    pub fn is_asked(&self, call: CallRef) -> bool {
        self.calls
            .get(&call)
            .is_some_and(|held| held.class.is_asked())
    }

    /// Whether nobody waits for a channel: who is sent away may be told so first.
    pub fn is_at_ease(&self) -> bool {
        self.busy() + 2 < self.profile.channels
    }

    /// Whether any sound came from the caller of an answered call. To be told before [`Gate::ended`].
    pub fn note_heard(&mut self, call: CallRef, heard: bool) {
        let class = self.calls.get(&call).map(|held| held.class);
        if matches!(class, Some(Class::Stranger | Class::Person)) {
            keep(&mut self.heard, heard, HEARD_KEPT);
        }
    }

    /// A call is over. `answered` says for how long it was.
    pub fn ended(&mut self, call: CallRef, answered: Option<Duration>, now: Instant) {
        if let Some(held) = self.calls.remove(&call) {
            match (held.class, answered) {
                (Class::Asked { .. }, _) => self.note_outcome(&held, false, now),
                (Class::Stranger | Class::Person, Some(talked)) => {
                    keep(&mut self.holds, talked.as_secs_f64(), HOLDS_KEPT);
                }
                _ => {}
            }
            if let (Some(caller), Class::Stranger | Class::Asked { .. }) = (held.caller, held.class)
            {
                self.last_gone = Some((caller, now));
            }
        }
        self.handle_timeout(now);
    }

    /// An operator knows of an attack until then, or takes that back.
    pub fn set_attack_mode(&mut self, mode: Option<AttackMode>, now: Instant) {
        self.attack_mode = mode;
        match (mode, self.alarm) {
            (Some(_), None) => self.raise(now, None),
            (None, Some(Alarm { rise: None, .. })) => self.calm(now),
            _ => {}
        }
        self.asking |= mode.is_some();
    }

    /// What is due at `now`: challenges that take too long, alarms that are over.
    pub fn handle_timeout(&mut self, now: Instant) {
        let late: Vec<CallRef> = self
            .asked()
            .filter(|(_, held)| now.saturating_since(held.since) >= self.profile.challenge)
            .map(|(call, _)| call)
            .collect();
        for call in late {
            self.give_up(call, now);
        }
        while self.is_lent() && self.fair_until().is_some_and(|at| at <= now) {
            if !self.make_room(now, None, false) {
                break;
            }
        }
        if self.attack_mode.is_some_and(|mode| mode.until <= now) {
            self.attack_mode = None;
        }
        self.tell_again(now);
        let quiet = now.saturating_since(self.last_rise) >= QUIET;
        if self.alarm.is_some() && self.attack_mode.is_none() && quiet {
            self.calm(now);
        }
    }

    /// When [`Gate::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let challenges = self
            .asked()
            .map(|(_, held)| held.since + self.profile.challenge);
        let quiet = self.alarm.map(|_| match self.attack_mode {
            Some(mode) => mode.until.max(self.last_rise + QUIET),
            None => self.last_rise + QUIET,
        });
        let lent = self.fair_until().filter(|_| self.is_lent());
        challenges.chain(quiet).chain(lent).min()
    }

    /// Something to do to a call that is asked.
    pub fn poll_order(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// Something that was found.
    pub fn poll_finding(&mut self) -> Option<Finding> {
        self.findings.pop_front()
    }

    /// The attack that goes on, if there is one.
    pub const fn alarm(&self) -> Option<&Alarm> {
        self.alarm.as_ref()
    }

    /// The operator's word, if it holds.
    pub const fn attack_mode(&self) -> Option<AttackMode> {
        self.attack_mode
    }

    /// What was learned of how many strangers call, if that has changed since it was asked last.
    pub fn take_changed_habits(&mut self) -> Option<Vec<u8>> {
        self.baseline.take_changed()
    }

    /// Takes back what an earlier process learned ([`Baseline::restore`]).
    ///
    /// # Errors
    /// It is no such thing.
    pub fn restore_habits(&mut self, habits: &[u8]) -> Result<(), HabitsError> {
        self.baseline.restore(habits)
    }

    /// Strangers who usually call in a second of the hour of the last offer.
    pub fn usual_per_second(&self) -> f64 {
        self.baseline.per_second(self.hour)
    }

    /// Channels in use, as far as the gate knows.
    pub fn busy(&self) -> u32 {
        self.calls.len() as u32
    }

    /// Counts since the start.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    fn offer_known(&mut self, offer: &Offer) -> Ruling {
        self.baseline.note_known(self.alarm.is_some());
        if self.busy() + 1 < self.profile.channels || self.make_room(offer.at, None, true) {
            self.hold(offer, Class::Known);
            return admit(match offer.standing {
                Standing::CalledBack => "the site called this number lately",
                Standing::Known => "a known caller",
                Standing::Stranger => "the caller passed a challenge before",
            });
        }
        self.full()
    }

    fn offer_stranger(&mut self, offer: &Offer) -> Ruling {
        self.note_stranger(offer);
        let Some(alarm) = self.alarm else {
            return self.offer_in_peace(offer);
        };
        let channels = self.profile.channels;
        // Once lines were short in this alarm, strangers are asked until it is over: else the
        // lines below the threshold would be the attacker's.
        self.asking |= (self.busy() + 1) * 100 > channels * SCREEN_PERCENT;
        // People who wait for a free line are helped by no question, unless they are so many that
        // somebody must have sent them.
        let per_minute = self.pressure.per_minute(offer.at, SWARM_CALLS);
        let swarm = per_minute.is_some_and(|calls| calls > f64::from(channels));
        if !self.asking || (alarm.crowd && !swarm) {
            return self.offer_in_peace(offer);
        }
        if !self.profile.voice {
            return self.offer_without_voice(offer);
        }
        if self.has_failed_often(offer) {
            return self.shed(
                608,
                "the number failed the challenge three times in ten minutes",
            );
        }
        if offer.upstream.number == CallingNumber::Impossible {
            return self.shed(608, "nobody can have the calling number");
        }
        self.kept = self.channels_to_keep(offer.at);
        let room = self.strangers_have_room() && {
            while self.busy() + self.kept >= channels
                && self.make_room(offer.at, Some(offer), false)
            {}
            let lent = if alarm.crowd { 0 } else { self.kept - 1 };
            self.busy() + self.kept - lent < channels
        };
        if !room {
            return self.shed(486, "an attack fills the lines, and all of them are in use");
        }
        let kindly = alarm.crowd;
        self.hold(offer, Class::Asked { kindly });
        self.counts.screened += 1;
        Ruling {
            verdict: Verdict::Screen {
                kindly: alarm.crowd,
            },
            why: "a caller never seen before, while an attack fills the lines".into(),
        }
    }

    /// No attack, or a crowd of people: who comes first is served first, but for the last channel.
    fn offer_in_peace(&mut self, offer: &Offer) -> Ruling {
        if self.busy() + 1 < self.profile.channels || self.make_room(offer.at, None, true) {
            self.hold(offer, Class::Stranger);
            return admit("a channel is free");
        }
        self.full()
    }

    /// Nobody can be asked here: strangers have some of the channels and the rest is for those who
    /// are known. Refused callers hear busy and may try again.
    fn offer_without_voice(&mut self, offer: &Offer) -> Ruling {
        if self.strangers_have_room() && self.busy() + 1 < self.profile.channels {
            self.hold(offer, Class::Stranger);
            return admit("a channel for strangers is free");
        }
        self.shed(
            486,
            "an attack fills the lines, and those for strangers are in use",
        )
    }

    fn full(&mut self) -> Ruling {
        self.counts.full += 1;
        Ruling {
            verdict: Verdict::Shed { status: 486 },
            why: "all channels are in use but the one for emergencies".into(),
        }
    }

    fn shed(&mut self, status: u16, why: &str) -> Ruling {
        self.counts.shed += 1;
        Ruling {
            verdict: Verdict::Shed { status },
            why: why.into(),
        }
    }

    /// Who is refused or sent away holds a channel at the carrier for a moment longer. One channel
    /// stays free of challenges, so that whoever must get through finds it; two where calls come so
    /// fast that the one is often taken by somebody who is just sent away, or last long because people
    /// are told of a forgery. When several come at once, one of two is lent until somebody has had a
    /// fair time.
    fn channels_to_keep(&self, now: Instant) -> u32 {
        let per_minute = self.pressure.per_minute(now, FAST_CALLS);
        let fast = per_minute.is_none_or(|calls| calls > FAST_PER_MINUTE);
        KEPT + u32::from(fast || self.is_crowded())
    }

    /// Whether fewer channels are free than are to be kept.
    fn is_lent(&self) -> bool {
        self.busy() + self.kept > self.profile.channels
    }

    /// When the first of those who are asked has had a fair time.
    fn fair_until(&self) -> Option<Instant> {
        let fair = self
            .asked()
            .map(|(_, held)| held.since + held.class.fair_time());
        fair.min()
    }

    /// Whether one more stranger in a call leaves the reserve free. Where strangers are asked and few
    /// pass, those few are hardly ever many at a time: one channel less is kept from them, and those who
    /// came in before anybody was asked do not count, else the attack's first calls would keep
    /// everybody out for as long as they hold.
    fn strangers_have_room(&self) -> bool {
        let few = self.profile.voice && !self.is_crowded();
        let counts = |held: &&Held| match held.class {
            Class::Asked { .. } => false,
            Class::Stranger => !few,
            _ => true,
        };
        let talks = self.calls.values().filter(counts).count() as u32;
        let reserve = self.profile.reserve_known.saturating_sub(few.into());
        talks < self.profile.channels.saturating_sub(reserve).max(1)
    }

    /// Ends the challenge that is least likely to be passed: the one that has been silent longest,
    /// those of classes that never passed first. For a newcomer, only one that had a fair time;
    /// for whoever `must` come in, any.
    fn make_room(&mut self, now: Instant, newcomer: Option<&Offer>, must: bool) -> bool {
        let score = |held: &Held| {
            let bad = self.classes.of(held.upstream).is_bad();
            // Who is told of the forgery first hears the digit so much later.
            let heard = held.since + (held.class.fair_time() - FAIR);
            now.saturating_since(heard) + if bad { BAD_CLASS } else { Duration::ZERO }
        };
        let bad_newcomer = newcomer.is_some_and(|offer| self.classes.of(offer.upstream).is_bad());
        let least = match (must || newcomer.is_none(), bad_newcomer) {
            (true, _) => Duration::ZERO,
            (false, false) => FAIR,
            (false, true) => FAIR + BAD_CLASS,
        };
        let victim = self
            .asked()
            .map(|(call, held)| (score(held), call))
            .max()
            .filter(|(score, _)| *score >= least);
        match victim {
            Some((_, call)) => {
                self.give_up(call, now);
                true
            }
            None => false,
        }
    }

    /// The call is over as far as channels go: no input, or its place is needed.
    fn give_up(&mut self, call: CallRef, now: Instant) {
        if let Some(held) = self.calls.remove(&call) {
            // Of those who are told of a forgery, who says nothing understands and leaves.
            if !held.class.is_kindly() {
                self.note_outcome(&held, false, now);
            }
            self.orders.push_back(Order::LeaveToCallBack(call));
        }
    }

    /// Sees to it that a channel is free for a call for help. Who is being refused holds one for a
    /// moment longer: where calls come by the hundred a minute, as many channels are cleared as those
    /// may take, and for a moment no stranger gets one.
    fn make_way_for_help(&mut self, now: Instant) {
        let just_now = |at: &&Instant| now.saturating_since(**at) < Duration::from_secs(1);
        let a_second = self.refused.iter().filter(just_now).count() as f64;
        // Half of the storm finds the lines full and is never heard of here.
        let at_once = 2.0 * a_second * REFUSING.as_secs_f64();
        // Twice the deviation above the mean of a Poisson process: what 98 of 100 moments are below.
        let taken = (at_once + 2.0 * at_once.sqrt()) as u32;
        let wanted = self.profile.channels.saturating_sub(taken).max(1);
        if self.busy() >= wanted {
            self.help_until = now + HELP;
        }
        while self.busy() >= wanted && self.end_for_emergency() {}
    }

    /// Ends the youngest call of those who matter least, so that help can be called. Whether there was
    /// one.
    fn end_for_emergency(&mut self) -> bool {
        let giving_way = self.calls.iter().filter_map(|(call, held)| {
            let rank = held.class.gives_way()?;
            Some((rank, held.since, *call))
        });
        let Some((_, _, call)) = giving_way.max() else {
            return false;
        };
        self.calls.remove(&call);
        self.counts.ended_for_emergency += 1;
        self.orders.push_back(Order::EndForEmergency(call));
        true
    }

    fn note_outcome(&mut self, held: &Held, passed: bool, now: Instant) {
        self.classes.note(held.upstream, passed);
        keep(&mut self.outcomes, passed, OUTCOMES_KEPT);
        let Some(caller) = held.caller else { return };
        if self.passed.len() >= CALLERS_KEPT {
            self.passed
                .retain(|_, at| now.saturating_since(*at) < PASS_HOLDS);
        }
        if self.failed.len() >= CALLERS_KEPT {
            self.failed
                .retain(|_, (at, _)| now.saturating_since(*at) < FAILURE_HOLDS);
        }
        if passed {
            self.failed.remove(&caller);
            if self.passed.len() < CALLERS_KEPT {
                self.passed.insert(caller, now);
            }
        } else if self.failed.len() < CALLERS_KEPT {
            let entry = self.failed.entry(caller).or_insert((now, 0));
            *entry = (now, entry.1.saturating_add(1));
        }
    }

    fn has_failed_often(&self, offer: &Offer) -> bool {
        let failures = offer.caller.and_then(|caller| self.failed.get(&caller));
        failures.is_some_and(|(at, count)| {
            *count >= FAILURES_MAX && offer.at.saturating_since(*at) < FAILURE_HOLDS
        })
    }

    fn standing(&self, offer: &Offer) -> Standing {
        let passed = offer.caller.and_then(|caller| self.passed.get(&caller));
        match (offer.standing, passed) {
            (Standing::Stranger, Some(at))
                if offer.at.saturating_since(*at) < PASS_HOLDS && !self.is_crowded() =>
            {
                Standing::Known
            }
            (standing, _) => standing,
        }
    }

    /// People as such are too many: to have passed once is no title to the reserve.
    fn is_crowded(&self) -> bool {
        self.alarm.is_some_and(|alarm| alarm.crowd)
    }

    /// Counts a stranger's call and looks whether there are too many.
    fn note_stranger(&mut self, offer: &Offer) {
        let now = offer.at;
        let usual = self.baseline.per_second(offer.hour) * offer.elsewhere;
        let mut tells = offer.upstream.tells();
        if self.redials(offer) {
            tells += 1.5;
        }
        if self.holds_collapse() {
            tells += 0.7;
        }
        if self.are_silent() {
            tells += 0.7;
        }
        let rise = self.pressure.note(now, usual, tells);
        if rise.is_some() {
            self.last_rise = now;
            if self.alarm.is_none() {
                self.raise(now, rise);
            }
        }
        self.tell_again(now);
        let frozen = self.alarm.is_some();
        self.baseline
            .note(offer.hour, 1.0 / offer.elsewhere, frozen);
        let asked = self.outcomes.len();
        let passed = self.outcomes.iter().filter(|passed| **passed).count();
        if let Some(alarm) = &mut self.alarm {
            alarm.crowd = asked >= CROWD_ASKED_MIN && passed * 100 >= asked * CROWD_PERCENT;
        }
    }

    /// The same number again, right after it hung up.
    fn redials(&self, offer: &Offer) -> bool {
        self.last_gone.is_some_and(|(caller, at)| {
            Some(caller) == offer.caller && offer.at.saturating_since(at) < REDIAL
        })
    }

    /// Strangers call and say nothing: machines that only hold the line. One may have been heard.
    fn are_silent(&self) -> bool {
        let heard = self.heard.iter().filter(|heard| **heard).count();
        self.heard.len() >= SILENT_MIN && heard <= 1
    }

    /// Strangers' calls last equally long.
    fn holds_collapse(&self) -> bool {
        if self.holds.len() < 6 {
            return false;
        }
        let mut sorted: Vec<f64> = self.holds.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
        let near = |seconds: &&f64| (**seconds - median).abs() <= (median * 0.05).max(0.5);
        sorted.iter().filter(near).count() * 4 >= sorted.len() * 3
    }

    fn raise(&mut self, now: Instant, rise: Option<Rise>) {
        self.alarm = Some(Alarm {
            since: now,
            rise,
            crowd: false,
        });
        self.last_rise = now;
        if let Some(Rise::Burst { calls, .. }) = rise {
            self.baseline.take_back(calls);
        }
        self.asking = rise.is_none();
        self.outcomes.clear();
        self.before = self.counts;
        self.counts.alarms += 1;
        self.tell(now, now + QUIET);
    }

    /// Says how an attack goes on, now and then.
    fn tell_again(&mut self, now: Instant) {
        if self.alarm.is_some() && now.saturating_since(self.last_told) >= TOLD_EVERY {
            self.tell(now, now + QUIET);
        }
    }

    /// What is known of the attack, which counts until `expires` if nothing more is told.
    fn tell(&mut self, now: Instant, expires: Instant) {
        let Some(alarm) = self.alarm else { return };
        self.last_told = now;
        let subject = Subject::Site(self.profile.site);
        let mut finding = Finding::new(Kind::TelephonyDenial, subject, alarm.since);
        finding.last = now;
        finding.expires = expires;
        finding.confidence = Confidence::new(if alarm.rise.is_none() { 100 } else { 80 });
        match alarm.rise {
            Some(Rise::Burst { calls, seconds }) => {
                finding.count = calls as u64;
                finding.note("calls of strangers", Value::Count(calls as u64));
                finding.note("in seconds", Value::Number(seconds));
            }
            Some(Rise::Ramp) => {
                finding.note("calls of strangers", Value::Word("more and more"));
            }
            None => finding.note("said by", Value::Word("an operator")),
        }
        let usual = self.usual_per_second() * 3600.0;
        finding.note("usual in an hour", Value::Number(usual));
        finding.note("channels in use", Value::Count(self.busy().into()));
        if self.holds_collapse() {
            finding.note("durations", Value::Word("all alike"));
        }
        if self.are_silent() {
            finding.note("callers", Value::Word("say nothing"));
        }
        let (before, counts) = (self.before, self.counts);
        for (what, count) in [
            (
                "let in since",
                counts.admitted.saturating_sub(before.admitted),
            ),
            (
                "asked by voice since",
                counts.screened.saturating_sub(before.screened),
            ),
            (
                "of them passed",
                counts.passed.saturating_sub(before.passed),
            ),
            ("refused since", counts.shed.saturating_sub(before.shed)),
        ] {
            if count > 0 {
                finding.note(what, Value::Count(count));
                finding.count = finding.count.max(count);
            }
        }
        keep(&mut self.findings, finding, FINDINGS_KEPT);
    }

    fn calm(&mut self, now: Instant) {
        self.tell(now, now);
        self.alarm = None;
        self.asking = false;
        self.pressure.reset(now);
        self.classes.clear();
        self.outcomes.clear();
    }

    fn hold(&mut self, offer: &Offer, class: Class) {
        if !class.is_asked() {
            self.counts.admitted += 1;
        }
        self.insert(offer.call, offer.at, offer.caller, offer.upstream, class);
    }

    fn insert(
        &mut self,
        call: CallRef,
        since: Instant,
        caller: Option<CallerKey>,
        upstream: Upstream,
        class: Class,
    ) {
        let held = Held {
            since,
            caller,
            upstream,
            class,
        };
        self.calls.insert(call, held);
    }

    fn asked(&self) -> impl Iterator<Item = (CallRef, &Held)> {
        let all = self.calls.iter().map(|(call, held)| (*call, held));
        all.filter(|(_, held)| held.class.is_asked())
    }
}

fn admit(why: &str) -> Ruling {
    Ruling {
        verdict: Verdict::Admit,
        why: why.into(),
    }
}

fn keep<T>(queue: &mut VecDeque<T>, value: T, most: usize) {
    if queue.len() >= most {
        queue.pop_front();
    }
    queue.push_back(value);
}

/// So many remembered callers are most of a business's regular ones.
const ACQUAINTED: usize = 100;
/// How long somebody may take for the digits, from the answer on.
pub const CHALLENGE: Duration = Duration::from_millis(7_800);
/// A challenge that had less than this is not given up for a newcomer: the digit is hardly heard.
const FAIR: Duration = Duration::from_millis(3_000);
/// The same where the forgery is told of first.
const FAIR_KINDLY: Duration = Duration::from_millis(6_000);
/// Channels that stay free of challenges.
const KEPT: u32 = 1;
/// Where more strangers than this call in a minute, one channel more stays free.
const FAST_PER_MINUTE: f64 = 57.0;
/// Calls that this is measured by.
const FAST_CALLS: usize = 24;
/// Calls that tell a swarm.
const SWARM_CALLS: usize = 12;
/// Callers of a class that never passed count as silent for so much longer.
const BAD_CLASS: Duration = Duration::from_millis(20_000);
/// Strangers are asked when more than this share of the channels is in use.
const SCREEN_PERCENT: u32 = 60;
/// An alarm is over when nothing has spoken for an attack for so long.
const QUIET: Duration = Duration::from_secs(300);
/// While an attack goes on it is told of again after so long.
const TOLD_EVERY: Duration = Duration::from_secs(30);
/// A redial within this time after hanging up is a machine's.
const REDIAL: Duration = Duration::from_secs(3);
/// Who passed is not asked again for so long.
const PASS_HOLDS: Duration = Duration::from_secs(24 * 3600);
/// Failures count for so long.
const FAILURE_HOLDS: Duration = Duration::from_secs(600);
/// After so many failures a number is refused.
const FAILURES_MAX: u8 = 3;
/// Most of so many that were asked must be people for a crowd.
const CROWD_ASKED_MIN: usize = 4;
/// A crowd has at least this share of people.
const CROWD_PERCENT: usize = 60;
/// Challenges that the crowd is told by.
const OUTCOMES_KEPT: usize = 16;
/// Durations that are looked at together.
const HOLDS_KEPT: usize = 16;
/// Calls whose sound is looked at together, and how many at least.
const HEARD_KEPT: usize = 8;
const SILENT_MIN: usize = 5;
/// Callers remembered as passed, and as failed.
const CALLERS_KEPT: usize = 16_384;
/// Findings that wait to be fetched.
const FINDINGS_KEPT: usize = 16;

#[cfg(test)]
mod tests;

//! May this call be made, for this money, now?
//!
//! One [`Judge`] for each tenant. It is asked before a call is set up, told when the call is
//! answered and over, and asked again while it is up. What it weighs:
//!
//! 1. **Class and price.** A premium, satellite or unallocated number, and a number of a country
//!    that costs half a unit a minute, needs somebody's word before the first call: a PIN, or days
//!    of good calls. That holds on the first day.
//! 2. **Budgets of unproven money.** Other calls abroad draw on a budget that fades: by the size of
//!    the tenant, small where the country is new, smaller when nobody is at work, smaller still
//!    with each tell (a burst, numbers in a row, calls of one length, a caller who never calls
//!    abroad, a calling number that is not the caller's).
//! 3. **A fuse** for each class and day, which no history blows slower. It also ends calls that are
//!    up: first those that nobody vouched for, and all at three times the limit.
//!
//! During an alarm nothing is learned, so that an attack cannot teach it. Emergency calls are not
//! judged. A PIN passes everything but the tenant's own list and three times the fuse.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ringfence_base::{HashKey, KeyedMap, Pii, UnixTime};

use super::destinations::{Class, Country, Destination};
use super::memory::{Memory, Moment, Trust};
use super::meter::{Calls, Fading, Pot, Running, Ticket, expected, running, since};
use super::money::Money;
use super::policy::{Mode, Policy};
use super::tells::{Recent, Tells};
use super::verdict::{Cut, Decision, Told, Verdict, Why};

/// A minute that costs this much needs somebody's word in a country that is new.
const VERY_DEAR: Money = Money::from_cents(50);

/// A minute from here on is dear.
const DEAR: Money = Money::from_cents(25);

/// The shortest call that says that all is well.
const GOOD_CALL: Duration = Duration::from_secs(20);

/// How long an alarm lasts after the last sign.
const ALARM: Duration = Duration::from_secs(6 * 3600);

/// Numbers asked for within ten minutes that make an alarm.
const ASKED_FOR_ALARM: usize = 3;

/// How long a missed call from a dear place is remembered.
const WANGIRI: Duration = Duration::from_secs(48 * 3600);

/// The longest ringing of a call that is there to be missed.
const ONE_RING: Duration = Duration::from_secs(12);

/// Most missed calls that are remembered.
const RINGS_MAX: usize = 1024;

/// Times the fuse at which calls end that somebody vouched for.
const HARD: f64 = 3.0;

/// Verdicts kept for people.
const NOTED_MAX: usize = 32;

/// A call that is about to be made.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// When.
    pub at: UnixTime,
    /// The called number in international form, with or without `+`.
    pub called: &'a str,
    /// Who calls: a keyed hash of the phone user or the calling number.
    pub caller: u64,
    /// Whether the calling number is none that the caller may show.
    pub foreign_number: bool,
    /// Whether the caller gave the PIN.
    pub pin: bool,
    /// Whether the caller's password may be in other hands.
    pub suspect: bool,
    /// Whether it is an emergency call.
    pub emergency: bool,
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls that were judged.
    pub judged: u64,
    /// Calls that a PIN was asked for.
    pub asked: u64,
    /// Calls that were refused.
    pub refused: u64,
    /// Verdicts that were recorded and not carried out.
    pub observed: u64,
    /// Calls with the PIN.
    pub pins: u64,
    /// Calls in progress that were ended.
    pub cut: u64,
    /// Calls that had no meter, for there were too many.
    pub unmetered: u64,
}

/// A verdict as people read it later.
#[derive(Clone, Debug, PartialEq)]
pub struct Noted {
    /// When.
    pub at: UnixTime,
    /// Who was called.
    pub called: Pii<String>,
    /// What was done.
    pub decision: Decision,
    /// Whether it was carried out.
    pub enforced: bool,
    /// The sentence.
    pub sentence: String,
}

/// How a tenant stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// What is done with verdicts.
    pub mode: Mode,
    /// Until when an alarm lasts, if one does.
    pub alarm_until: Option<UnixTime>,
    /// What was counted.
    pub counts: Counts,
    /// What its money is called.
    pub currency: Box<str>,
    /// What each class has cost today, and may; classes without a limit are left out.
    pub spent: Vec<(Class, Money, Money)>,
    /// The same of all together.
    pub total: (Money, Money),
    /// The last verdicts that were not "allow", oldest first.
    pub noted: Vec<Noted>,
}

/// Judges the calls of one tenant.
#[derive(Debug)]
pub struct Judge {
    policy: Policy,
    memory: Memory,
    calls: Calls,
    recent: Recent,
    ordinary: Fading,
    dear: Fading,
    /// As many as there are countries.
    dear_known: BTreeMap<Country, Fading>,
    day: u32,
    /// What calls of each class that are over have cost today.
    spent: [Money; Class::COUNT],
    rings: KeyedMap<u64, UnixTime>,
    alarm_until: UnixTime,
    counts: Counts,
    noted: VecDeque<Noted>,
}

impl Judge {
    /// A judge who knows nothing yet.
    pub fn new(policy: Policy, key: HashKey) -> Judge {
        Judge {
            policy,
            memory: Memory::new(key),
            calls: Calls::default(),
            recent: Recent::default(),
            ordinary: Fading::new(Duration::from_secs(3600)),
            dear: Fading::new(Duration::from_secs(72 * 3600)),
            dear_known: BTreeMap::new(),
            day: 0,
            spent: [Money::ZERO; Class::COUNT],
            rings: key.map(),
            alarm_until: UnixTime::from_micros(0),
            counts: Counts::default(),
            noted: VecDeque::new(),
        }
    }

    /// Takes a new policy; what was learned stays.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Judges a call before it is set up. A verdict that goes on may hold a ticket: say
    /// [`Judge::ended`] for it, however the call ends.
    pub fn judge(&mut self, attempt: &Attempt<'_>) -> Verdict {
        let digits = attempt.called.strip_prefix('+').unwrap_or(attempt.called);
        let destination = self.policy.destinations.find(digits, self.policy.home);
        let mut verdict = Verdict {
            decision: Decision::Allow,
            enforced: self.policy.mode == Mode::Enforce,
            why: None,
            tells: Tells::NONE,
            destination,
            estimate: expected(&destination),
            sentence: String::new(),
            ticket: None,
        };
        if attempt.emergency || self.policy.mode == Mode::Off {
            return verdict;
        }
        let moment = Moment::new(attempt.at, self.policy.utc_offset);
        self.roll(moment);
        self.counts.judged += 1;
        self.memory.note_activity(moment);
        let denied = self.policy.denies(digits, &destination);
        if destination.class.is_harmless() && !denied {
            return verdict;
        }
        let number = self.memory.number_key(digits);
        let (pot, stop) = match denied {
            true => (
                Pot::Known,
                Some((Decision::Refuse, Why::Policy, Tells::NONE)),
            ),
            false => self.weigh(attempt, moment, digits, number, &destination),
        };
        if let Some((decision, why, tells)) = stop {
            let told = Told {
                destination: &destination,
                why,
                tells,
                when: &moment,
                currency: &self.policy.currency,
                pin: self.policy.has_pin && why != Why::Policy && !attempt.pin,
            };
            verdict.sentence = told.sentence();
            (verdict.decision, verdict.why, verdict.tells) = (decision, Some(why), tells);
            self.note_stopped(attempt, digits, &verdict);
        }
        if verdict.goes_on() {
            let allowed = verdict.decision == Decision::Allow;
            if attempt.pin && allowed {
                self.counts.pins += 1;
                self.memory
                    .note_pin(number, destination.country, moment.day);
            }
            // What is only observed is no expense that a budget would have let happen.
            let pot = if allowed { pot } else { Pot::Known };
            let call = running(number, attempt.caller, destination, pot, allowed);
            verdict.ticket = self.calls.open(call);
            self.counts.unmetered += u64::from(verdict.ticket.is_none());
        }
        verdict
    }

    /// A call was answered: from now on it costs.
    pub fn answered(&mut self, ticket: Ticket, at: UnixTime) {
        if let Some(call) = self.calls.get_mut(ticket) {
            call.answered = Some(at);
        }
    }

    /// A call is over, answered or not.
    pub fn ended(&mut self, ticket: Ticket, at: UnixTime) {
        let moment = Moment::new(at, self.policy.utc_offset);
        self.roll(moment);
        let Some(call) = self.calls.close(ticket) else {
            return;
        };
        let Some(answered) = call.answered else {
            return;
        };
        let (cost, lasted) = (call.cost(at), since(at, answered));
        if let Some(spent) = self.spent.get_mut(call.destination.class.index()) {
            *spent = spent.plus(cost);
        }
        if let Some(pot) = self.pot_mut(call.pot, call.destination.country) {
            pot.add(at, cost);
        }
        if call.pot != Pot::Known {
            self.recent.note_length(call.number, lasted);
        }
        if call.teaches && lasted >= GOOD_CALL && !self.is_alarmed(at) {
            let country = call.destination.country;
            self.memory
                .note_good(call.number, country, Some(call.caller), moment.day);
            self.memory.note_spent(country, cost, moment.day);
        }
    }

    /// A call will not be made after all, or nobody knows what became of it.
    pub fn abandoned(&mut self, ticket: Ticket) {
        self.calls.close(ticket);
    }

    /// Asked again and again while a call is up: `Some` when it must end.
    pub fn check(&mut self, ticket: Ticket, at: UnixTime) -> Option<Cut> {
        let moment = Moment::new(at, self.policy.utc_offset);
        self.roll(moment);
        let call = *self.calls.get_mut(ticket)?;
        let class = call.destination.class;
        let (spent, limit) = self
            .over(&call, at)
            .or_else(|| self.runaway(&call, at, moment))?;
        let currency = &self.policy.currency;
        let sentence = format!(
            "the money fuse: {class} calls stand at {spent} {currency}, and {limit} is the limit \
             ({moment})"
        );
        if self.policy.mode != Mode::Enforce {
            self.counts.observed += 1;
            return None;
        }
        self.counts.cut += 1;
        Some(Cut {
            class,
            spent,
            limit,
            sentence,
        })
    }

    /// Somebody from outside called; `talked` is how long, if it was answered.
    pub fn inbound(&mut self, from: &str, at: UnixTime, rang: Duration, talked: Option<Duration>) {
        if self.policy.mode == Mode::Off {
            return;
        }
        let digits = from.strip_prefix('+').unwrap_or(from);
        let destination = self.policy.destinations.find(digits, self.policy.home);
        if destination.class.is_harmless() || destination.prefix_digits == 0 {
            return;
        }
        let moment = Moment::new(at, self.policy.utc_offset);
        let number = self.memory.number_key(digits);
        match talked {
            // A good word, but one day's only: whoever sells dear numbers can call from them too.
            Some(talked)
                if talked >= GOOD_CALL && destination.class.is_abroad() && !self.is_alarmed(at) =>
            {
                let (country, day) = (destination.country, moment.day);
                self.memory.note_good(number, country, None, day);
            }
            Some(_) => {}
            None if rang <= ONE_RING && is_dear(&destination) => {
                if self.rings.len() >= RINGS_MAX {
                    self.rings.retain(|_, rang| since(at, *rang) <= WANGIRI);
                }
                if self.rings.len() < RINGS_MAX {
                    self.rings.insert(number, at);
                }
            }
            None => {}
        }
    }

    /// How the tenant stands at `at`.
    pub fn status(&mut self, at: UnixTime) -> Status {
        self.roll(Moment::new(at, self.policy.utc_offset));
        let limited = Class::ALL.into_iter().filter(|class| !class.is_harmless());
        Status {
            mode: self.policy.mode,
            alarm_until: self.is_alarmed(at).then_some(self.alarm_until),
            counts: self.counts,
            currency: self.policy.currency.clone(),
            spent: limited
                .map(|class| (class, self.spent_on(class, at), self.policy.limit_of(class)))
                .collect(),
            total: (self.spent_in_all(at), self.policy.limit),
            noted: self.noted.iter().cloned().collect(),
        }
    }

    /// What was counted.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether an attack is on.
    pub fn is_alarmed(&self, at: UnixTime) -> bool {
        at < self.alarm_until
    }

    /// The pot of a call, and why it is not simply set up.
    fn weigh(
        &mut self,
        attempt: &Attempt<'_>,
        moment: Moment,
        digits: &str,
        number: u64,
        destination: &Destination,
    ) -> (Pot, Option<(Decision, Why, Tells)>) {
        let at = attempt.at;
        let factor = if attempt.pin { HARD } else { 1.0 };
        if let Some(why) = self.blown(destination.class, at, factor) {
            return (Pot::Known, Some((Decision::Refuse, why, Tells::NONE)));
        }
        let known = self.memory.number(number, moment.day);
        let vouched = attempt.pin || self.policy.allows(digits, destination);
        if vouched || known == Trust::Proven {
            return (Pot::Known, None);
        }
        let rang = self
            .rings
            .get(&number)
            .is_some_and(|rang| since(at, *rang) <= WANGIRI);
        let country = match destination.country {
            Country::NONE => Trust::New,
            country => self.memory.country(country, moment.day),
        };
        let pot = match (is_dear(destination), country) {
            (false, _) => Pot::Ordinary,
            (true, Trust::Proven) => Pot::DearKnown,
            (true, _) => Pot::Dear,
        };
        let value = digits.bytes().take(18).fold(0u64, |value, byte| {
            value * 10 + u64::from(byte.wrapping_sub(b'0') % 10)
        });
        let open = self.memory.is_open(moment);
        let caller = self.memory.caller(attempt.caller, moment.day);
        let new_caller = caller == Trust::New && self.memory.age(moment.day) >= 7;
        let up = self
            .calls
            .iter()
            .filter(|call| call.pot == Pot::Dear)
            .count();
        let tells = self
            .recent
            .tells(at, value)
            .when(attempt.foreign_number, Tells::FOREIGN_NUMBER)
            .when(new_caller, Tells::NEW_CALLER)
            .when(!open, Tells::NIGHT)
            .when(self.policy.lists(digits), Tells::LISTED)
            .when(pot == Pot::Dear && up >= 2, Tells::CONCURRENT);
        let why = if rang {
            Some(Why::Wangiri)
        } else {
            let suspect = attempt.suspect.then_some(Why::Suspect);
            suspect.or_else(|| self.why_not(at, pot, country, tells, destination))
        };
        self.recent.note(at, value, why.is_some());
        let stop = why.map(|why| {
            let many = self.recent.asked(at) >= ASKED_FOR_ALARM;
            let odd = tells.count() >= 3 && is_dear(destination);
            if why != Why::Wangiri && (many || odd) {
                self.alarm_until = at_plus(at, ALARM);
            }
            (Decision::AskPin, why, tells)
        });
        (pot, stop)
    }

    /// Why a call that nobody vouched for is not simply set up.
    fn why_not(
        &self,
        at: UnixTime,
        pot: Pot,
        country: Trust,
        tells: Tells,
        destination: &Destination,
    ) -> Option<Why> {
        if !destination.class.is_abroad() {
            return Some(Why::Paid);
        }
        let unknown = country == Trust::New;
        if pot == Pot::Dear && unknown && destination.per_minute >= VERY_DEAR {
            return Some(Why::New);
        }
        if pot == Pot::Dear && self.is_alarmed(at) {
            return Some(Why::Alarm);
        }
        if pot == Pot::Dear && unknown && tells.contains(Tells::NIGHT) {
            return Some(Why::New);
        }
        let budget = self.budget(at, pot, country, tells, destination.country);
        let before = self.exposed(at, pot, destination.country);
        let exposed = before.plus(expected(destination));
        (exposed > budget).then_some(Why::Budget { budget, exposed })
    }

    /// What the calls of a pot may cost.
    fn budget(
        &self,
        at: UnixTime,
        pot: Pot,
        country: Trust,
        tells: Tells,
        where_to: Country,
    ) -> Money {
        let size = self.policy.weight();
        let base = match pot {
            Pot::Known => return Money::MAX,
            Pot::Ordinary => Money::from_units(1).times(0.75 * size),
            Pot::Dear => Money::from_units(4).plus(Money::from_units(1).times(0.25 * size)),
            Pot::DearKnown => self
                .memory
                .peak_of(where_to)
                .times(3.0)
                .max(Money::from_units(10)),
        };
        let familiar = match (pot, country) {
            (Pot::Ordinary, Trust::New) => 0.5,
            (Pot::Dear, Trust::Seen) => 2.0,
            _ => 1.0,
        };
        let night = match (pot, country) {
            (Pot::Ordinary, Trust::New) => 0.25,
            (Pot::Ordinary, Trust::Seen) => 0.3,
            (Pot::Ordinary, Trust::Proven) => 0.5,
            _ => 0.3,
        };
        let ordinary = pot == Pot::Ordinary;
        let weights = [
            (Tells::NIGHT, night),
            (Tells::BURST, if ordinary { 0.7 } else { 0.3 }),
            (Tells::CONCURRENT, 0.5),
            (Tells::LISTED, 0.3),
            (Tells::FOREIGN_NUMBER, if ordinary { 0.2 } else { 0.0 }),
            (Tells::NEW_CALLER, if ordinary { 0.8 } else { 0.5 }),
            (Tells::SEQUENTIAL, if ordinary { 0.3 } else { 0.0 }),
            (Tells::UNIFORM, if ordinary { 0.5 } else { 0.2 }),
        ];
        let factor = weights
            .into_iter()
            .filter(|(tell, _)| tells.contains(*tell))
            .fold(familiar, |factor, (_, weight)| factor * weight);
        let alarm = if self.is_alarmed(at) { 0.3 } else { 1.0 };
        base.times(factor * alarm)
    }

    /// What the calls of a pot have cost, or will.
    fn exposed(&self, at: UnixTime, pot: Pot, country: Country) -> Money {
        let (past, of) = match pot {
            Pot::Known => return Money::ZERO,
            Pot::Ordinary => (Some(&self.ordinary), None),
            Pot::Dear => (Some(&self.dear), None),
            Pot::DearKnown => (self.dear_known.get(&country), Some(country)),
        };
        let past = past.map_or(Money::ZERO, |past| past.at(at));
        past.plus(self.calls.exposure(at, pot, of))
    }

    fn pot_mut(&mut self, pot: Pot, country: Country) -> Option<&mut Fading> {
        const HALF_A_DAY: Duration = Duration::from_secs(12 * 3600);
        match pot {
            Pot::Known => None,
            Pot::Ordinary => Some(&mut self.ordinary),
            Pot::Dear => Some(&mut self.dear),
            Pot::DearKnown => {
                let fading = || Fading::new(HALF_A_DAY);
                Some(self.dear_known.entry(country).or_insert_with(fading))
            }
        }
    }

    fn spent_on(&self, class: Class, at: UnixTime) -> Money {
        let before = self.spent.get(class.index()).copied().unwrap_or_default();
        before.plus(self.calls.cost(at, Some(class)))
    }

    fn spent_in_all(&self, at: UnixTime) -> Money {
        let before = self
            .spent
            .iter()
            .fold(Money::ZERO, |sum, spent| sum.plus(*spent));
        before.plus(self.calls.cost(at, None))
    }

    /// Whether the fuse of a class, or of all, is blown at `factor` times its limit.
    fn blown(&self, class: Class, at: UnixTime, factor: f64) -> Option<Why> {
        let times = |limit: Money| match limit {
            Money::MAX => limit,
            limit => limit.times(factor),
        };
        let (spent, limit) = (self.spent_on(class, at), self.policy.limit_of(class));
        if spent >= times(limit) {
            return Some(Why::Fuse { spent, limit });
        }
        let (spent, limit) = (self.spent_in_all(at), self.policy.limit);
        (spent >= times(limit)).then_some(Why::FuseOfAll { spent, limit })
    }

    /// Whether a call in progress is beyond the fuse.
    fn over(&self, call: &Running, at: UnixTime) -> Option<(Money, Money)> {
        let factor = if call.pot == Pot::Known { HARD } else { 1.0 };
        match self.blown(call.destination.class, at, factor)? {
            Why::Fuse { spent, limit } | Why::FuseOfAll { spent, limit } => Some((spent, limit)),
            _ => None,
        }
    }

    /// Whether a call in progress that nobody vouched for eats the budget of an attack.
    fn runaway(&self, call: &Running, at: UnixTime, moment: Moment) -> Option<(Money, Money)> {
        let several = self
            .calls
            .iter()
            .filter(|other| other.pot == call.pot)
            .nth(1)
            .is_some();
        if call.pot == Pot::Known || !(self.is_alarmed(at) || several) {
            return None;
        }
        let country = self.memory.country(call.destination.country, moment.day);
        let night = Tells::NONE.when(!self.memory.is_open(moment), Tells::NIGHT);
        let budget = self.budget(at, call.pot, country, night, call.destination.country);
        // Without an alarm it takes more: people do talk for an hour.
        let limit = budget.times(if self.is_alarmed(at) { 1.0 } else { 4.0 });
        let exposed = self.exposed(at, call.pot, call.destination.country);
        (exposed > limit).then_some((exposed, limit))
    }

    fn note_stopped(&mut self, attempt: &Attempt<'_>, digits: &str, verdict: &Verdict) {
        let counts = &mut self.counts;
        match (verdict.enforced, verdict.decision) {
            (false, _) => counts.observed += 1,
            (true, Decision::Refuse) => counts.refused += 1,
            (true, _) => counts.asked += 1,
        }
        if self.noted.len() >= NOTED_MAX {
            self.noted.pop_front();
        }
        self.noted.push_back(Noted {
            at: attempt.at,
            called: Pii::new(digits.chars().take(32).collect()),
            decision: verdict.decision,
            enforced: verdict.enforced,
            sentence: verdict.sentence.clone(),
        });
    }

    /// A new day: the fuses are whole again. Calls that are up at midnight count for the new one.
    fn roll(&mut self, moment: Moment) {
        if self.day != moment.day {
            self.day = moment.day;
            self.spent = [Money::ZERO; Class::COUNT];
        }
    }
}

fn is_dear(destination: &Destination) -> bool {
    !destination.class.is_abroad() || destination.per_minute >= DEAR
}

fn at_plus(at: UnixTime, time: Duration) -> UnixTime {
    let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    UnixTime::from_micros(at.as_micros().saturating_add(micros))
}

#[cfg(test)]
mod tests;

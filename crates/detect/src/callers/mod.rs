//! Known callers: who has really talked with the business before.
//!
//! A number becomes known by an answered call with sound both ways, or by being in the contacts.
//! What is known fades: the weight of a call halves every [`HALF_LIFE`], so that somebody who
//! never calls again is a stranger after some months. Numbers are kept as keyed hashes and in a
//! table of bounded size; nothing here can print one.
//!
//! Left out on purpose: parsing of CDRs and contacts (the floor above), and what is done with a
//! stranger ([`crate::tdos`]).

use std::time::Duration;

use ringfence_base::{HashKey, KeyedMap, UnixTime};

ringfence_base::define_id! {
    /// A caller's number in international form, as a keyed hash.
    pub struct CallerKey(u64);
}

impl CallerKey {
    /// The key of `number` (`+` and digits) under the tenant's secret.
    pub fn of(secret: HashKey, number: &str) -> CallerKey {
        CallerKey::new(secret.hash64(number))
    }
}

/// What a caller is to the business.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Called by the business within [`CALL_BACK_WINDOW`], answered or not.
    CalledBack,
    /// Talked with before, or in the contacts.
    Known,
    /// Never seen, forgotten, or without a number.
    #[default]
    Stranger,
}

/// An answered call, as far as it makes somebody known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Talk {
    /// Whether the business made the call.
    pub outbound: bool,
    /// How long it was answered.
    pub duration: Duration,
    /// Whether there was sound from both sides.
    pub two_way: bool,
    /// Whether it came in during an alarm from somebody who was not known. Such a call teaches
    /// nothing, lest an attack makes itself known.
    pub in_alarm: bool,
}

/// The known callers of one tenant.
#[derive(Debug)]
pub struct KnownCallers {
    key: HashKey,
    entries: KeyedMap<CallerKey, Entry>,
    most: usize,
    forgotten: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Weight at `as_of`.
    weight: f32,
    as_of: UnixTime,
    /// The business called it last.
    called: Option<UnixTime>,
    /// Since it was last taken to be written down.
    changed: bool,
}

/// What is written down of a caller, for the next start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kept {
    /// Who, under the table's key.
    pub caller: CallerKey,
    /// Its weight at `as_of`.
    pub weight: f32,
    /// When that was.
    pub as_of: UnixTime,
    /// When the business called it last.
    pub called: Option<UnixTime>,
}

impl KnownCallers {
    /// An empty table of at most `most` numbers (at least 16).
    pub fn new(key: HashKey, most: usize) -> KnownCallers {
        KnownCallers {
            key,
            entries: key.map(),
            most: most.max(16),
            forgotten: 0,
        }
    }

    /// The key of `number` (`+` and digits) in this table. Who shares a table takes its keys from
    /// it: a key under another secret is a stranger's.
    pub fn key_of(&self, number: &str) -> CallerKey {
        CallerKey::of(self.key, number)
    }

    /// A number of the contacts: known for some years without a call.
    pub fn import(&mut self, caller: CallerKey, now: UnixTime) {
        self.add(caller, CONTACT_WEIGHT, now);
    }

    /// An answered call is over.
    pub fn learn(&mut self, caller: CallerKey, talk: Talk, now: UnixTime) {
        let teaches = talk.two_way && talk.duration >= TALK_MIN && !talk.in_alarm;
        if teaches {
            let weight = if talk.outbound { 2.0 } else { 1.0 };
            self.add(caller, weight, now);
        }
    }

    /// The business calls `caller`: a call back from there is expected.
    pub fn note_outbound(&mut self, caller: CallerKey, now: UnixTime) {
        self.add(caller, 0.0, now);
        if let Some(entry) = self.entries.get_mut(&caller) {
            entry.called = Some(now);
        }
    }

    /// `caller` is a stranger from now on. Whether it was none.
    pub fn forget(&mut self, caller: CallerKey, now: UnixTime) -> bool {
        let Some(entry) = self.entries.get_mut(&caller) else {
            return false;
        };
        let known = entry.weight_at(now) >= KNOWN_WEIGHT || entry.is_expected(now);
        // It stays in the table, so that what is written down says so too.
        (entry.weight, entry.as_of, entry.called) = (0.0, now, None);
        entry.changed = true;
        known
    }

    /// What `caller` is now.
    pub fn standing(&self, caller: CallerKey, now: UnixTime) -> Standing {
        let Some(entry) = self.entries.get(&caller) else {
            return Standing::Stranger;
        };
        if entry.is_expected(now) {
            Standing::CalledBack
        } else if entry.weight_at(now) >= KNOWN_WEIGHT {
            Standing::Known
        } else {
            Standing::Stranger
        }
    }

    /// What has changed since it was last asked, at most `most` of it.
    pub fn take_changed(&mut self, most: usize) -> Vec<Kept> {
        let changed = self.entries.iter_mut().filter(|(_, entry)| entry.changed);
        let taken = changed.take(most).map(|(caller, entry)| {
            entry.changed = false;
            Kept {
                caller: *caller,
                weight: entry.weight,
                as_of: entry.as_of,
                called: entry.called,
            }
        });
        taken.collect()
    }

    /// Takes back what an earlier process wrote down under the same key, those first that matter
    /// most: what finds no room is left out. Time has passed for them, too.
    pub fn restore(&mut self, kept: impl IntoIterator<Item = Kept>) {
        for kept in kept {
            let weight = match kept.weight.is_finite() {
                true => kept.weight.clamp(0.0, WEIGHT_MAX),
                false => 0.0,
            };
            if self.entries.len() < self.most {
                self.entries.entry(kept.caller).or_insert(Entry {
                    weight,
                    as_of: kept.as_of,
                    called: kept.called,
                    changed: false,
                });
            }
        }
    }

    /// How many numbers are kept.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many were dropped because the table was full.
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn add(&mut self, caller: CallerKey, weight: f32, now: UnixTime) {
        if self.entries.len() >= self.most && !self.entries.contains_key(&caller) {
            self.make_room(now);
        }
        let entry = self.entries.entry(caller).or_insert(Entry {
            weight: 0.0,
            as_of: now,
            called: None,
            changed: true,
        });
        entry.changed = true;
        entry.weight = (entry.weight_at(now) + weight).min(WEIGHT_MAX);
        entry.as_of = entry.as_of.max(now);
    }

    /// Drops the eighth of the numbers that matters least.
    fn make_room(&mut self, now: UnixTime) {
        let before = self.entries.len();
        let mut weights: Vec<f32> = self.entries.values().map(|e| e.value_at(now)).collect();
        let nth = weights.len() / 8;
        let (_, limit, _) = weights.select_nth_unstable_by(nth, f32::total_cmp);
        let limit = *limit;
        let mut spare = nth + 1;
        self.entries.retain(|_, entry| {
            let goes = spare > 0 && entry.value_at(now) <= limit;
            spare -= usize::from(goes);
            !goes
        });
        self.forgotten += (before - self.entries.len()) as u64;
    }
}

impl Entry {
    fn weight_at(&self, now: UnixTime) -> f32 {
        let age = now
            .as_micros()
            .saturating_sub(self.as_of.as_micros())
            .max(0) as f64;
        let halvings = age / HALF_LIFE.as_micros() as f64;
        self.weight * (-halvings).exp2() as f32
    }

    fn is_expected(&self, now: UnixTime) -> bool {
        self.called.is_some_and(|called| {
            let age = now.as_micros().saturating_sub(called.as_micros());
            age <= CALL_BACK_WINDOW.as_micros() as i64
        })
    }

    /// What is kept longest: who is expected to call back, then by weight.
    fn value_at(&self, now: UnixTime) -> f32 {
        self.weight_at(now)
            + if self.is_expected(now) {
                KNOWN_WEIGHT
            } else {
                0.0
            }
    }
}

/// In this time the weight of a call halves.
pub const HALF_LIFE: Duration = Duration::from_secs(90 * 24 * 3600);
/// So long after the business called a number, a call from it is a call back.
pub const CALL_BACK_WINDOW: Duration = Duration::from_secs(24 * 3600);
/// A shorter call makes nobody known.
pub const TALK_MIN: Duration = Duration::from_secs(15);
/// Numbers kept for a tenant, unless said otherwise: about 4 MiB.
pub const CALLERS_MAX: usize = 65_536;

/// From this weight a number is known: one call of the last 90 days.
const KNOWN_WEIGHT: f32 = 0.5;
const CONTACT_WEIGHT: f32 = 16.0;
const WEIGHT_MAX: f32 = 32.0;

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: HashKey = HashKey::from_bytes([7; 16]);

    fn day(days: i64) -> UnixTime {
        UnixTime::from_micros((20_000 + days) * 86_400_000_000)
    }

    fn key(number: u32) -> CallerKey {
        CallerKey::of(KEY, &format!("+1330{number:07}"))
    }

    const TALK: Talk = Talk {
        outbound: false,
        duration: Duration::from_secs(60),
        two_way: true,
        in_alarm: false,
    };

    #[track_caller]
    fn check(talk: Talk, days_later: i64, expected: Standing) {
        let mut callers = KnownCallers::new(KEY, 100);
        callers.learn(key(1), talk, day(0));
        assert_eq!(callers.standing(key(1), day(days_later)), expected);
    }

    #[test]
    fn a_talk_makes_known_and_fades() {
        check(TALK, 1, Standing::Known);
        check(TALK, 89, Standing::Known);
        check(TALK, 91, Standing::Stranger);
        let outbound = Talk {
            outbound: true,
            ..TALK
        };
        check(outbound, 179, Standing::Known);
        check(outbound, 181, Standing::Stranger);
    }

    #[test]
    fn silence_short_calls_and_attacks_teach_nothing() {
        check(
            Talk {
                two_way: false,
                ..TALK
            },
            0,
            Standing::Stranger,
        );
        check(
            Talk {
                in_alarm: true,
                ..TALK
            },
            0,
            Standing::Stranger,
        );
        let short = Talk {
            duration: Duration::from_secs(14),
            ..TALK
        };
        check(short, 0, Standing::Stranger);
    }

    #[test]
    fn who_was_called_today_calls_back() {
        let mut callers = KnownCallers::new(KEY, 100);
        callers.note_outbound(key(1), day(0));
        assert_eq!(callers.standing(key(1), day(1)), Standing::CalledBack);
        assert_eq!(callers.standing(key(1), day(2)), Standing::Stranger);
    }

    #[test]
    fn a_table_makes_the_keys_that_it_is_asked_with() {
        let callers = KnownCallers::new(KEY, 100);
        assert_eq!(callers.key_of("+13300000001"), key(1));
    }

    #[test]
    fn what_is_written_down_is_known_after_a_restart_and_fades_meanwhile() {
        let mut before = KnownCallers::new(KEY, 100);
        before.learn(key(1), TALK, day(0));
        before.note_outbound(key(2), day(0));
        let mut kept = before.take_changed(1);
        kept.extend(before.take_changed(100));
        assert_eq!(kept.len(), 2);
        assert!(before.take_changed(100).is_empty(), "written down once");
        before.learn(key(1), TALK, day(1));
        assert_eq!(
            before.take_changed(100).len(),
            1,
            "and again when it changes"
        );
        let mut after = KnownCallers::new(KEY, 100);
        after.restore(kept);
        assert_eq!(after.standing(key(1), day(89)), Standing::Known);
        assert_eq!(after.standing(key(1), day(91)), Standing::Stranger);
        assert_eq!(after.standing(key(2), day(1)), Standing::CalledBack);
        let mad = Kept {
            caller: key(3),
            weight: f32::NAN,
            as_of: day(0),
            called: None,
        };
        after.restore([mad]);
        assert_eq!(after.standing(key(3), day(0)), Standing::Stranger);
    }

    #[test]
    fn a_caller_is_forgotten_and_that_is_written_down() {
        let mut callers = KnownCallers::new(KEY, 100);
        callers.import(key(1), day(0));
        callers.take_changed(100);
        assert!(callers.forget(key(1), day(0)));
        assert!(!callers.forget(key(1), day(0)) && !callers.forget(key(2), day(0)));
        assert_eq!(callers.standing(key(1), day(0)), Standing::Stranger);
        assert_eq!(callers.take_changed(100)[0].weight, 0.0);
    }

    #[test]
    fn contacts_stay_known_for_years() {
        let mut callers = KnownCallers::new(KEY, 100);
        callers.import(key(1), day(0));
        assert_eq!(callers.standing(key(1), day(400)), Standing::Known);
    }

    #[test]
    fn a_full_table_forgets_who_called_least_and_says_so() {
        let mut callers = KnownCallers::new(KEY, 64);
        callers.import(key(0), day(0));
        for number in 1..1_000 {
            callers.learn(key(number), TALK, day(0));
            assert!(callers.len() <= 64);
        }
        assert!(callers.forgotten() > 900);
        assert_eq!(callers.standing(key(0), day(1)), Standing::Known);
    }

    #[test]
    fn a_clock_that_steps_back_makes_nobody_unknown() {
        let mut callers = KnownCallers::new(KEY, 64);
        callers.learn(key(1), TALK, day(10));
        assert_eq!(callers.standing(key(1), day(0)), Standing::Known);
    }
}

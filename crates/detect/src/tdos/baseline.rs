//! How many strangers call in an hour, by hour of the week.
//!
//! Begins with a prior from the size of the business, so that it is useful on the first day, and
//! learns slowly. An hour with an alarm in it teaches nothing.
//!
//! On the first day everybody is a stranger, regular callers too. What is learned and expected is
//! therefore what strangers will be once the regular callers are known; of how many callers are
//! strangers now, the last calls tell.

use ringfence_base::UnixTime;

use crate::habits::{HOURS, HabitsError, Reader, Writer};

/// An hour of the week: 0 is Monday from 0:00, 167 is Sunday from 23:00.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct HourOfWeek(u8);

impl HourOfWeek {
    /// The hour of `at`, where local time is `offset_minutes` ahead of UTC.
    pub fn of(at: UnixTime, offset_minutes: i16) -> HourOfWeek {
        let hours = at
            .as_micros()
            .div_euclid(60_000_000)
            .saturating_add(i64::from(offset_minutes))
            .div_euclid(60);
        // 1970-01-01 was a Thursday.
        HourOfWeek((hours + 72).rem_euclid(168) as u8)
    }

    /// 0 to 167.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The share of the busiest hours' traffic that a business has in this hour, before anything
    /// is known of it: office hours, with something in the evening and on Saturdays.
    pub const fn usual_share(self) -> f64 {
        let (day, hour) = (self.0 / 24, self.0 % 24);
        match (day, hour) {
            (0..=4, 8..=17) => 1.0,
            (5, 9..=15) => 0.6,
            (_, 7..=20) => 0.4,
            // A floor: a few calls at night are no attack.
            _ => 0.2,
        }
    }
}

/// Strangers' calls by hour of the week.
#[derive(Clone, Debug)]
pub struct Baseline {
    /// A call rate for each hour, and from how many weeks it was learned.
    hours: Box<[(f32, u16); HOURS]>,
    floor: f64,
    hour: HourOfWeek,
    /// Strangers in this hour, as many as would be strangers once the regular callers are known.
    count: f32,
    spoiled: bool,
    /// Calls of strangers and of the known, of the last [`CALLS_KEPT`] or so.
    strangers: f32,
    known: f32,
    /// Whether an hour was learned that was not written down.
    changed: bool,
    /// For so many calls the share counts that is usual where the regular callers are known.
    prior_calls: f32,
}

impl Baseline {
    /// The prior of a business with `channels` lines.
    pub fn new(channels: u32) -> Baseline {
        let busiest = f64::from(channels.max(2)) * STRANGERS_PER_CHANNEL_HOUR;
        let mut hours = Box::new([(0.0, 0); HOURS]);
        for (index, hour) in hours.iter_mut().enumerate() {
            hour.0 = (busiest * HourOfWeek(index as u8).usual_share()) as f32;
        }
        Baseline {
            hours,
            floor: busiest * 0.15,
            hour: HourOfWeek::default(),
            count: 0.0,
            strangers: 0.0,
            known: 0.0,
            changed: false,
            prior_calls: PRIOR_CALLS_NEW,
            // The first hour is rarely a whole one.
            spoiled: true,
        }
    }

    /// Calls of strangers that are expected in a second of `hour`.
    pub fn per_second(&self, hour: HourOfWeek) -> f64 {
        let learned = self.hours.get(hour.index()).map_or(0.0, |hour| hour.0);
        f64::from(learned).max(self.floor) * f64::from(self.newness()) / 3600.0
    }

    /// A stranger calls, who counts for `weight` of one on a day when more than usual call everybody.
    /// Nothing is learned of an hour in which it is `frozen`.
    pub fn note(&mut self, hour: HourOfWeek, weight: f64, frozen: bool) {
        self.turn_to(hour);
        self.spoiled |= frozen;
        if !frozen {
            self.strangers += 1.0;
            self.forget();
            self.count += weight as f32 / self.newness();
        }
    }

    /// The last strangers were an attack's.
    pub fn take_back(&mut self, calls: usize) {
        self.strangers = (self.strangers - calls as f32).max(0.0);
    }

    /// Whether the edge has met the business's regular callers, or been told of them.
    pub const fn set_acquainted(&mut self, acquainted: bool) {
        self.prior_calls = match acquainted {
            true => PRIOR_CALLS_ACQUAINTED,
            false => PRIOR_CALLS_NEW,
        };
    }

    /// Somebody who is known calls.
    pub fn note_known(&mut self, frozen: bool) {
        if !frozen {
            self.known += 1.0;
            self.forget();
        }
    }

    /// What was learned, if that has changed since it was asked last.
    pub fn take_changed(&mut self) -> Option<Vec<u8>> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let mut writer = Writer::new();
        for (rate, weeks) in self.hours.iter() {
            writer.rate(*rate);
            writer.count(*weeks);
        }
        writer.rate(self.strangers);
        writer.rate(self.known);
        Some(writer.finish())
    }

    /// Takes back what [`Baseline::take_changed`] gave, of an earlier process.
    ///
    /// # Errors
    /// It is no such thing. Nothing has changed.
    pub fn restore(&mut self, habits: &[u8]) -> Result<(), HabitsError> {
        let mut reader = Reader::new(habits)?;
        let mut hours = Box::new([(0.0, 0); HOURS]);
        for hour in hours.iter_mut() {
            *hour = (reader.rate()?, reader.count()?);
        }
        let (strangers, known) = (reader.rate()?, reader.rate()?);
        reader.finish()?;
        self.hours = hours;
        (self.strangers, self.known) = (strangers, known);
        self.forget();
        Ok(())
    }

    /// So many times the strangers of an edge that knows the regular callers: 1 to
    /// 1 / [`STRANGERS_SHARE`], where all are strangers yet.
    fn newness(&self) -> f32 {
        let strangers = self.strangers + STRANGERS_SHARE * self.prior_calls;
        let share = strangers / (self.strangers + self.known + self.prior_calls);
        (share / STRANGERS_SHARE).max(1.0)
    }

    fn forget(&mut self) {
        let share = CALLS_KEPT / (self.strangers + self.known).max(CALLS_KEPT);
        self.strangers *= share;
        self.known *= share;
    }

    /// It is `hour` now: what was counted in an hour that is over is learned.
    pub fn turn_to(&mut self, hour: HourOfWeek) {
        if hour == self.hour {
            return;
        }
        if let Some((rate, weeks)) = self.hours.get_mut(self.hour.index())
            && !self.spoiled
        {
            *weeks = weeks.saturating_add(1);
            let share = 1.0 / (PRIOR_WEEKS + f32::from(*weeks)).min(LONGEST_WEEKS);
            // One wild hour moves it a little only.
            let count = self.count.min(*rate * 4.0 + 4.0);
            *rate += share * (count - *rate);
            self.changed = true;
        }
        (self.hour, self.count, self.spoiled) = (hour, 0.0, false);
    }
}

/// Strangers that call a business with one line, in its busiest hours. From a traffic of an eighth
/// of an Erlang a line, calls of three minutes, and two strangers in five callers.
const STRANGERS_PER_CHANNEL_HOUR: f64 = 1.0;
/// Strangers among the callers of a business whose regular callers are known.
const STRANGERS_SHARE: f32 = 0.4;
/// That share counts for so many calls: fewer where nobody is known yet.
const PRIOR_CALLS_NEW: f32 = 12.0;
const PRIOR_CALLS_ACQUAINTED: f32 = 100.0;
/// Calls that tell how many callers are strangers now: a few days'.
const CALLS_KEPT: f32 = 200.0;
/// The prior counts for so many weeks.
const PRIOR_WEEKS: f32 = 8.0;
/// What is older than so many weeks counts less and less.
const LONGEST_WEEKS: f32 = 26.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_of_the_week_begin_on_monday() {
        // 2026-11-23 was a Monday.
        let monday = UnixTime::from_micros(1_795_392_000_000_000);
        assert_eq!(HourOfWeek::of(monday, 0).index(), 0);
        assert_eq!(HourOfWeek::of(monday, -60).index(), 167);
        assert_eq!(HourOfWeek::of(monday, 600).index(), 10);
        assert!(HourOfWeek::of(UnixTime::from_micros(i64::MAX), i16::MAX).index() < 168);
    }

    #[test]
    fn it_is_useful_on_the_first_day() {
        let baseline = Baseline::new(8);
        let (noon, night) = (HourOfWeek(12), HourOfWeek(2));
        assert!((baseline.per_second(noon) * 3600.0 - 8.0).abs() < 0.1);
        assert!(baseline.per_second(night) < baseline.per_second(noon) / 4.0);
    }

    #[test]
    fn on_the_first_day_regular_callers_are_strangers_too() {
        let mut baseline = Baseline::new(8);
        let (noon, one) = (HourOfWeek(12), HourOfWeek(13));
        let usual = baseline.per_second(noon);
        for _ in 0..100 {
            baseline.note(noon, 1.0, false);
        }
        let first_day = baseline.per_second(noon) / usual;
        assert!((2.2..=2.5).contains(&first_day), "{first_day}");
        // An attack's calls teach nothing.
        let mut attacked = Baseline::new(8);
        for _ in 0..100 {
            attacked.note(noon, 1.0, true);
        }
        assert_eq!(attacked.per_second(noon), usual);
        for call in 0..1_000 {
            match call % 5 {
                0 | 1 => baseline.note(one, 1.0, false),
                _ => baseline.note_known(false),
            }
        }
        let later = baseline.per_second(HourOfWeek(14)) / usual;
        assert!((1.0..1.1).contains(&later), "{later}");
    }

    #[test]
    fn what_was_learned_outlives_the_process() {
        let mut baseline = Baseline::new(8);
        assert_eq!(baseline.take_changed(), None);
        let (noon, one) = (HourOfWeek(12), HourOfWeek(13));
        for _ in 0..20 {
            baseline.turn_to(one);
            baseline.turn_to(noon);
            for _ in 0..30 {
                baseline.note(noon, 1.0, false);
                baseline.note_known(false);
                baseline.note_known(false);
            }
        }
        let habits = baseline.take_changed().expect("changed");
        assert_eq!(baseline.take_changed(), None);
        let mut later = Baseline::new(8);
        assert_ne!(later.per_second(noon), baseline.per_second(noon));
        assert_eq!(later.restore(&habits), Ok(()));
        assert_eq!(later.per_second(noon), baseline.per_second(noon));
        let mut wrong = habits.clone();
        wrong[1..5].copy_from_slice(&f32::NAN.to_le_bytes());
        for (wrong, error) in [
            (&wrong[..], HabitsError::Number),
            (&habits[..habits.len() - 1], HabitsError::Length),
            (&[&habits[..], &[0]].concat(), HabitsError::Length),
            (&[9], HabitsError::Form { found: 9 }),
            (&[], HabitsError::Length),
        ] {
            assert_eq!(later.restore(wrong), Err(error));
            assert_eq!(later.per_second(noon), baseline.per_second(noon));
        }
    }

    #[test]
    fn it_learns_slowly_and_never_from_a_frozen_hour() {
        let mut baseline = Baseline::new(8);
        let (noon, one) = (HourOfWeek(12), HourOfWeek(13));
        let before = baseline.per_second(noon);
        for frozen in [true, false] {
            baseline.turn_to(one);
            baseline.turn_to(noon);
            for call in 0..1_000 {
                baseline.note(noon, 1.0, frozen);
                baseline.note_known(frozen);
                if call % 2 == 0 {
                    baseline.note_known(frozen);
                }
            }
            baseline.turn_to(one);
            let moved = baseline.per_second(noon) / before;
            assert_eq!(moved == 1.0, frozen);
            assert!(moved < 1.5, "{moved}");
        }
    }
}

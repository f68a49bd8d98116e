//! What a tenant is used to: numbers, countries, callers and hours. Bounded; the oldest of what is
//! not proven goes first.

use std::collections::BTreeMap;

use ringfence_base::{HashKey, KeyedMap, UnixTime};

use super::destinations::Country;
use super::money::Money;

/// Most numbers that are remembered.
pub(super) const NUMBERS_MAX: usize = 8192;

/// Most callers that are remembered.
pub(super) const CALLERS_MAX: usize = 4096;

/// Days on which something went well before it is trusted.
const DAYS_TRUSTED: u16 = 3;

/// Days between the first of them and now.
const SPAN_TRUSTED: u32 = 7;

/// Days after which what is not used is forgotten.
const DAYS_KEPT: u32 = 180;

/// A day by its number, local time.
pub(super) type Day = u32;

/// How well something is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trust {
    /// Not at all.
    New,
    /// On a day before this one.
    Seen,
    /// On several days, over more than a week; or by a PIN.
    Proven,
}

/// The days on which something went well.
#[derive(Clone, Copy, Debug, Default)]
struct Record {
    first: Day,
    last: Day,
    days: u16,
    pinned: bool,
}

impl Record {
    fn note(&mut self, today: Day) {
        if self.days == 0 {
            self.first = today;
        }
        if self.days == 0 || self.last != today {
            self.days = self.days.saturating_add(1);
        }
        self.last = today;
    }

    fn pin(&mut self, today: Day) {
        self.note(today);
        self.pinned = true;
    }

    /// What happens today proves nothing today: a burst cannot vouch for itself.
    fn trust(&self, today: Day) -> Trust {
        if today.saturating_sub(self.last) > DAYS_KEPT || self.days == 0 {
            return Trust::New;
        }
        let before = self.days - u16::from(self.last == today);
        let span = today.saturating_sub(self.first);
        match self.pinned || (before >= DAYS_TRUSTED && span >= SPAN_TRUSTED) {
            true => Trust::Proven,
            false if before > 0 => Trust::Seen,
            false => Trust::New,
        }
    }
}

/// What a country has cost.
#[derive(Clone, Copy, Debug, Default)]
struct CountryRecord {
    record: Record,
    today: Day,
    spent: Money,
    /// The dearest day that is over, fading.
    peak: Money,
}

/// The memory of one tenant.
#[derive(Debug)]
pub(super) struct Memory {
    key: HashKey,
    numbers: KeyedMap<u64, Record>,
    callers: KeyedMap<u64, Record>,
    /// As many as the table of destinations has.
    countries: BTreeMap<Country, CountryRecord>,
    hours: Hours,
    first_day: Option<Day>,
}

impl Memory {
    pub(super) fn new(key: HashKey) -> Memory {
        Memory {
            key,
            numbers: key.map(),
            callers: key.map(),
            countries: BTreeMap::new(),
            hours: Hours::default(),
            first_day: None,
        }
    }

    /// What stands for a number here.
    pub(super) fn number_key(&self, digits: &str) -> u64 {
        self.key.hash64(digits)
    }

    pub(super) fn number(&self, number: u64, today: Day) -> Trust {
        let record = self.numbers.get(&number);
        record.map_or(Trust::New, |record| record.trust(today))
    }

    pub(super) fn country(&self, country: Country, today: Day) -> Trust {
        let known = self.countries.get(&country);
        known.map_or(Trust::New, |known| known.record.trust(today))
    }

    /// The dearest day of a country that is over.
    pub(super) fn peak_of(&self, country: Country) -> Money {
        self.countries
            .get(&country)
            .map_or(Money::ZERO, |known| known.peak)
    }

    pub(super) fn caller(&self, caller: u64, today: Day) -> Trust {
        let record = self.callers.get(&caller);
        record.map_or(Trust::New, |record| record.trust(today))
    }

    /// How many days the tenant has been watched.
    pub(super) fn age(&self, today: Day) -> u32 {
        self.first_day
            .map_or(0, |first| today.saturating_sub(first))
    }

    pub(super) fn is_open(&self, moment: Moment) -> bool {
        self.hours.is_open(moment)
    }

    /// A call was tried at `moment`: somebody is at work.
    pub(super) fn note_activity(&mut self, moment: Moment) {
        self.first_day.get_or_insert(moment.day);
        self.hours.note(moment);
    }

    /// A call went well.
    pub(super) fn note_good(
        &mut self,
        number: u64,
        country: Country,
        caller: Option<u64>,
        today: Day,
    ) {
        make_room(&mut self.numbers, NUMBERS_MAX);
        self.numbers.entry(number).or_default().note(today);
        self.countries
            .entry(country)
            .or_default()
            .record
            .note(today);
        if let Some(caller) = caller {
            make_room(&mut self.callers, CALLERS_MAX);
            self.callers.entry(caller).or_default().note(today);
        }
    }

    /// Somebody vouched for a number with the PIN.
    pub(super) fn note_pin(&mut self, number: u64, country: Country, today: Day) {
        make_room(&mut self.numbers, NUMBERS_MAX);
        self.numbers.entry(number).or_default().pin(today);
        self.countries.entry(country).or_default().record.pin(today);
    }

    /// What a good call to a country has cost.
    pub(super) fn note_spent(&mut self, country: Country, spent: Money, today: Day) {
        let known = self.countries.entry(country).or_default();
        if known.today != today {
            known.peak = known.peak.times(0.97).max(known.spent);
            known.today = today;
            known.spent = Money::ZERO;
        }
        known.spent = known.spent.plus(spent);
    }
}

/// Makes room for one more: the tenth that was used longest ago goes, unless it is pinned.
fn make_room(records: &mut KeyedMap<u64, Record>, most: usize) {
    if records.len() < most {
        return;
    }
    let mut ages: Vec<(bool, Day)> = records
        .values()
        .map(|record| (record.pinned, record.last))
        .collect();
    ages.sort_unstable();
    let Some(&limit) = ages.get(ages.len() / 10) else {
        return;
    };
    records.retain(|_, record| (record.pinned, record.last) > limit);
    if records.len() >= most {
        records.clear();
    }
}

/// A moment in a tenant's own time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// Days since 1970-01-01.
    pub(super) day: Day,
    /// Hour of the week, from Monday 00:00: 0 to 167.
    pub(super) hour: u8,
    /// Minute of the hour.
    pub(super) minute: u8,
}

impl Moment {
    pub(super) fn new(at: UnixTime, utc_offset: i32) -> Moment {
        let seconds = (at.as_micros().div_euclid(1_000_000) + i64::from(utc_offset)).max(0);
        let day = seconds / 86_400;
        // 1970-01-01 was a Thursday.
        let weekday = (day + 3) % 7;
        let hour = seconds / 3600 % 24;
        Moment {
            day: u32::try_from(day).unwrap_or(u32::MAX),
            hour: (weekday * 24 + hour) as u8,
            minute: (seconds / 60 % 60) as u8,
        }
    }
}

impl std::fmt::Display for Moment {
    /// `Sunday 03:12`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const DAYS: [&str; 7] = [
            "Monday",
            "Tuesday",
            "Wednesday",
            "Thursday",
            "Friday",
            "Saturday",
            "Sunday",
        ];
        let day = DAYS.get(usize::from(self.hour / 24)).unwrap_or(&"?");
        write!(f, "{day} {:02}:{:02}", self.hour % 24, self.minute)
    }
}

/// When people are at work: a prior, and what is seen.
#[derive(Debug)]
struct Hours {
    counts: [u32; 168],
    total: u32,
    /// Halves all counts when it passes.
    fade_at: u32,
}

/// Calls seen before they say more than the prior.
const HOURS_LEARNED: u32 = 400;

/// Calls after which all counts are halved.
const HOURS_FADE: u32 = 20_000;

impl Default for Hours {
    fn default() -> Hours {
        Hours {
            counts: [0; 168],
            total: 0,
            fade_at: HOURS_FADE,
        }
    }
}

impl Hours {
    fn note(&mut self, moment: Moment) {
        if let Some(count) = self.counts.get_mut(usize::from(moment.hour)) {
            *count += 1;
            self.total += 1;
        }
        if self.total >= self.fade_at {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().sum();
        }
    }

    fn is_open(&self, moment: Moment) -> bool {
        let (weekday, hour) = (moment.hour / 24, moment.hour % 24);
        let usual = weekday < 5 && (7..19).contains(&hour);
        if self.total < HOURS_LEARNED {
            return usual;
        }
        // An hour is open when it has a quarter of the calls that an hour has on average, with
        // those of its neighbours: nobody works to the minute.
        let near = |step: usize| {
            let place = (usize::from(moment.hour) + 168 + step - 1) % 168;
            self.counts.get(place).copied().unwrap_or_default()
        };
        let seen = (0..3).map(near).sum::<u32>() / 3;
        u64::from(seen) * 168 * 4 >= u64::from(self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> Memory {
        Memory::new(HashKey::from_bytes([1; 16]))
    }

    fn moment(day: Day, hour: u8) -> Moment {
        Moment {
            day,
            hour,
            minute: 0,
        }
    }

    #[test]
    fn a_day_cannot_vouch_for_itself_and_a_week_can() {
        let mut memory = memory();
        let country = Country::new("SO").unwrap();
        for _ in 0..100 {
            memory.note_good(1, country, Some(9), 100);
        }
        assert_eq!(memory.number(1, 100), Trust::New);
        assert_eq!(memory.number(1, 101), Trust::Seen);
        memory.note_good(1, country, None, 101);
        memory.note_good(1, country, None, 102);
        assert_eq!(memory.number(1, 103), Trust::Seen, "within a week");
        assert_eq!(memory.number(1, 107), Trust::Proven);
        assert_eq!(memory.country(country, 107), Trust::Proven);
        assert_eq!(memory.caller(9, 107), Trust::Seen);
        assert_eq!(memory.number(1, 500), Trust::New, "forgotten");
    }

    #[test]
    fn a_pin_vouches_at_once() {
        let mut memory = memory();
        memory.note_pin(1, Country::NONE, 100);
        assert_eq!(memory.number(1, 100), Trust::Proven);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_pins_stay() {
        let mut memory = memory();
        memory.note_pin(u64::MAX, Country::NONE, 1);
        for number in 0..100_000u64 {
            memory.note_good(
                number,
                Country::NONE,
                Some(number),
                100 + (number / 1000) as Day,
            );
        }
        assert!(memory.numbers.len() <= NUMBERS_MAX && memory.callers.len() <= CALLERS_MAX);
        assert_eq!(memory.number(u64::MAX, 100), Trust::Proven);
        // All of one day: room is made all the same.
        for number in 0..100_000u64 {
            memory.note_good(number, Country::NONE, None, 300);
        }
        assert!(memory.numbers.len() <= NUMBERS_MAX);
    }

    #[test]
    fn local_time_counts_from_monday() {
        // 2026-11-23 is a Monday.
        let monday = UnixTime::from_micros(1_795_392_000_000_000);
        assert_eq!(Moment::new(monday, 0).to_string(), "Monday 00:00");
        assert_eq!(Moment::new(monday, -5 * 3600).to_string(), "Sunday 19:00");
        assert_eq!(Moment::new(UnixTime::from_micros(i64::MIN), 0).day, 0);
    }

    #[test]
    fn hours_are_usual_ones_until_the_tenants_own_are_known() {
        let mut memory = memory();
        assert!(memory.is_open(moment(0, 10)) && !memory.is_open(moment(0, 3)));
        assert!(!memory.is_open(moment(0, 5 * 24 + 10)), "Saturday");
        // A bar: open at night, Tuesday to Sunday.
        for _ in 0..200 {
            for hour in [42, 43, 44, 45, 46] {
                memory.note_activity(moment(0, hour));
            }
        }
        assert!(memory.is_open(moment(0, 44)));
        assert!(!memory.is_open(moment(0, 10)));
        for _ in 0..50_000 {
            memory.note_activity(moment(0, 10));
        }
        assert!(memory.is_open(moment(0, 10)), "habits change");
    }
}

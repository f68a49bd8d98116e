//! Calls that have stopped coming: somebody has forwarded or ported the numbers at the carrier, and
//! nothing of that is to be seen here but silence.
//!
//! How many calls come in is learned for each hour of the week. Silence is told when so many calls were
//! to be expected since the last one that it is no chance, and when people are at work: they call out.
//! On a holiday nobody does, and nothing is said. Two weeks are for learning; what was learned
//! outlives the process, and an hour that it saw in part teaches nothing.

use std::time::Duration;

use ringfence_base::{HashKey, Instant, UnixTime};

use crate::event::SiteRef;
use crate::finding::{Confidence, Finding, Kind, Subject, Value};
use crate::habits::{HOURS, HabitsError, Reader, Writer};
use crate::sketch::{Tier, Tiered};

/// Sites that are remembered.
const SITES_MAX: usize = 4_096;
const HOUR: i64 = 3_600;
/// How often an hour of the week was seen before anything is expected of it.
const SEEN: u8 = 2;
/// Nothing is said before.
const LEARNING: i64 = 14 * 24 * HOUR;
/// What an hour of this week weighs beside those before.
const WEIGHT: f32 = 0.3;
/// Calls to be expected of which none came: by chance e to the minus twentieth, and days are not all
/// alike.
const EXPECTED: f64 = 20.0;
/// Calls out, within [`AT_WORK`], by which people are at work.
const CALLS_OUT: u8 = 3;
const AT_WORK: i64 = 2 * HOUR;
/// How long such an incident lasts if nothing more is said.
const LASTS: Duration = Duration::from_secs(24 * 3600);

/// How calls come in at one site.
#[derive(Clone, Debug)]
struct Site {
    /// Calls of each hour of the week, and how often that hour was seen.
    rates: Box<[(f32, u8); HOURS]>,
    /// The hour that runs, and its calls so far; the first one of a process is seen in part.
    hour: i64,
    first: i64,
    calls: f32,
    /// Seconds since 1970: when this began, of the last call in, and of the last calls out.
    began: i64,
    last: i64,
    out: [i64; CALLS_OUT as usize],
    /// Since when people have been at work without a pause of [`AT_WORK`].
    at_work: i64,
    told: bool,
    /// Whether an hour was learned that was not written down.
    changed: bool,
}

impl Default for Site {
    fn default() -> Site {
        Site {
            rates: Box::new([(0.0, 0); HOURS]),
            hour: i64::MIN,
            first: i64::MIN,
            calls: 0.0,
            began: i64::MIN,
            last: 0,
            out: [i64::MIN; CALLS_OUT as usize],
            at_work: i64::MAX,
            told: false,
            changed: false,
        }
    }
}

fn slot(hour: i64) -> usize {
    usize::try_from(hour.rem_euclid(HOURS as i64)).unwrap_or_default()
}

impl Site {
    /// Closes the hours that are over.
    fn turn_to(&mut self, at: i64) {
        let hour = at.div_euclid(HOUR);
        if self.hour == i64::MIN {
            (self.hour, self.first, self.last) = (hour, hour, at);
            if self.began == i64::MIN {
                self.began = at;
            }
        }
        // Of a long stop only the last week counts.
        let first = self.first;
        let from = self.hour.max(hour - HOURS as i64);
        for over in from..hour {
            let calls = if over == self.hour { self.calls } else { 0.0 };
            if let Some((rate, seen)) = self.rates.get_mut(slot(over)).filter(|_| over > first) {
                let weight = if *seen == 0 { 1.0 } else { WEIGHT };
                // What is told is no habit.
                if !self.told {
                    *rate += (calls - *rate) * weight;
                    *seen = seen.saturating_add(1);
                    self.changed = true;
                }
            }
        }
        if hour > self.hour {
            (self.hour, self.calls) = (hour, 0.0);
        }
    }

    fn habits(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.seconds(self.began);
        for (rate, seen) in self.rates.iter() {
            writer.rate(*rate);
            writer.count((*seen).into());
        }
        writer.finish()
    }

    /// A site that begins with what was learned of it.
    fn with_habits(habits: &[u8]) -> Result<Site, HabitsError> {
        let mut reader = Reader::new(habits)?;
        let mut site = Site {
            began: reader.seconds()?,
            ..Site::default()
        };
        for hour in site.rates.iter_mut() {
            let rate = reader.rate()?;
            *hour = (rate, reader.count()?.min(u8::MAX.into()) as u8);
        }
        reader.finish()?;
        Ok(site)
    }

    /// Calls to be expected from the last one until `at`, while people were at work: a holiday before
    /// this morning says nothing.
    fn expected(&self, at: i64) -> f64 {
        let from = self.last.max(self.at_work).max(at - HOURS as i64 * HOUR);
        let mut sum = 0.0;
        for hour in from.div_euclid(HOUR)..=at.div_euclid(HOUR) {
            let Some((rate, _)) = self.rates.get(slot(hour)).filter(|(_, seen)| *seen >= SEEN)
            else {
                continue;
            };
            let begins = from.max(hour * HOUR);
            let ends = at.min((hour + 1) * HOUR);
            sum += f64::from(*rate) * (ends - begins) as f64 / HOUR as f64;
        }
        sum
    }
}

/// What is known of calls that come in.
#[derive(Debug)]
pub struct Silence {
    sites: Tiered<SiteRef, Site>,
}

impl Silence {
    /// Nothing yet. At most 1.5 kB for each site.
    pub fn new(key: HashKey) -> Silence {
        Silence {
            sites: Tiered::new(key, SITES_MAX),
        }
    }

    /// A call came in. What was told is over then.
    pub fn on_inbound(&mut self, now: Instant, at: UnixTime, site: SiteRef) -> Option<Finding> {
        let at = at.as_micros().div_euclid(1_000_000);
        let state = self.sites.touch(site, Tier::Own)?;
        state.turn_to(at);
        state.calls += 1.0;
        state.last = at;
        if !std::mem::take(&mut state.told) {
            return None;
        }
        let mut finding = Finding::new(Kind::ForwardTakeover, Subject::Site(site), now);
        finding.note("what now", Value::Word("calls come in again"));
        Some(finding)
    }

    /// A call went out.
    pub fn on_outbound(&mut self, at: UnixTime, site: SiteRef) {
        let at = at.as_micros().div_euclid(1_000_000);
        if let Some(state) = self.sites.touch(site, Tier::Own) {
            state.turn_to(at);
            let before = state.out.last().copied().unwrap_or(i64::MIN);
            if at.saturating_sub(before) > AT_WORK {
                state.at_work = at;
            }
            state.out.rotate_left(1);
            if let Some(last) = state.out.last_mut() {
                *last = at;
            }
        }
    }

    /// What was learned of the sites of which that has changed since it was asked last.
    pub fn take_changed(&mut self) -> Vec<(SiteRef, Vec<u8>)> {
        let sites: Vec<SiteRef> = self.sites.iter().map(|(site, _)| *site).collect();
        let changed = sites.into_iter().filter_map(|site| {
            let state = self.sites.get_mut(&site)?;
            std::mem::take(&mut state.changed).then(|| (site, state.habits()))
        });
        changed.collect()
    }

    /// What was learned of all sites.
    pub fn habits(&self) -> impl Iterator<Item = (SiteRef, Vec<u8>)> {
        self.sites
            .iter()
            .map(|(site, state)| (*site, state.habits()))
    }

    /// Takes back what [`Silence::take_changed`] gave, of an earlier process, before anything is heard
    /// of the site.
    ///
    /// # Errors
    /// It is no such thing. Nothing is known of the site.
    pub fn restore(&mut self, site: SiteRef, habits: &[u8]) -> Result<(), HabitsError> {
        let known = Site::with_habits(habits)?;
        if let Some(state) = self.sites.touch(site, Tier::Own) {
            *state = known;
        }
        Ok(())
    }

    /// Looks at all sites; each silence is told once.
    pub fn look(&mut self, now: Instant, at: UnixTime) -> Vec<Finding> {
        let at = at.as_micros().div_euclid(1_000_000);
        let sites: Vec<SiteRef> = self.sites.iter().map(|(site, _)| *site).collect();
        let mut found = Vec::new();
        for site in sites {
            let Some(state) = self.sites.get_mut(&site) else {
                continue;
            };
            state.turn_to(at);
            let at_work = state
                .out
                .iter()
                .all(|out| at.saturating_sub(*out) <= AT_WORK);
            let expected = state.expected(at);
            let learns = at.saturating_sub(state.began) < LEARNING;
            if learns || state.told || !at_work || expected < EXPECTED {
                continue;
            }
            state.told = true;
            let minutes = u64::try_from((at - state.last) / 60).unwrap_or_default();
            let mut finding = Finding::new(Kind::ForwardTakeover, Subject::Site(site), now);
            finding.confidence = Confidence::new(60);
            finding.expires = now + LASTS;
            finding.note("calls that came in since", Value::Count(0));
            finding.note("minutes", Value::Count(minutes));
            finding.note(
                "calls that usually come in that time",
                Value::Number(expected),
            );
            let advice = "call one of the numbers from a mobile; if it rings elsewhere, ask the carrier for \
                          forwards and ports";
            finding.note("what now", Value::Word(advice));
            found.push(finding);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: HashKey = HashKey::from_bytes([3; 16]);
    const SITE: SiteRef = SiteRef::new(0);
    const DAY: i64 = 24 * HOUR;

    /// A house that is called 12 times an hour and calls out 4 times, from 9 to 17 on five days a week.
    struct House {
        silence: Silence,
        /// In seconds; 0 is a Monday's midnight here.
        now: i64,
    }

    impl House {
        fn after_days(days: i64) -> House {
            let silence = Silence::new(KEY);
            let mut house = House { silence, now: 0 };
            for _ in 0..days * 24 {
                assert!(house.hour(true, true).is_empty(), "{}", house.now);
            }
            house
        }

        /// An hour in which the carrier brings calls and people are at work, or not.
        fn hour(&mut self, brings: bool, at_work: bool) -> Vec<Finding> {
            let hour = self.now.rem_euclid(DAY) / HOUR;
            let open = (9..17).contains(&hour) && self.now.rem_euclid(7 * DAY) < 5 * DAY;
            let mut found = Vec::new();
            for minute in 0..60 {
                let at = UnixTime::from_micros(self.now * 1_000_000);
                let now = Instant::ZERO + Duration::from_secs(self.now as u64);
                // Not as regular as a clock: none for a while, then several.
                if open && brings && minute % 15 < 3 {
                    found.extend(self.silence.on_inbound(now, at, SITE));
                }
                if open && at_work && minute % 15 == 0 {
                    self.silence.on_outbound(at, SITE);
                }
                found.extend(self.silence.look(now, at));
                self.now += 60;
            }
            found
        }

        fn hours(&mut self, hours: i64, brings: bool, at_work: bool) -> Vec<Finding> {
            (0..hours)
                .flat_map(|_| self.hour(brings, at_work))
                .collect()
        }
    }

    #[test]
    fn calls_that_stop_on_a_working_day_are_told_once_and_it_ends_when_they_come_again() {
        let mut house = House::after_days(21);
        house.hours(11, true, true);
        let found = house.hours(5, false, true);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].kind, Kind::ForwardTakeover);
        assert_eq!(found[0].subject, Subject::Site(SITE));
        assert!(found[0].explain().contains("ask the carrier"));
        let end = house.hours(24, true, true);
        assert_eq!(end.len(), 1, "{end:?}");
        assert_eq!(end[0].expires, end[0].last, "over at once");
    }

    #[test]
    fn nights_weekends_holidays_and_the_first_weeks_are_silent_by_nature() {
        // `after_days` checks nights and weekends; a holiday on a Tuesday:
        let mut house = House::after_days(22);
        assert!(house.hours(24, false, false).is_empty());
        // The morning after, those at work call out before anybody calls in.
        assert!(house.hours(10, false, true).is_empty());
        assert!(house.hours(38, true, true).is_empty());
        let mut new = House::after_days(8);
        assert!(new.hours(48, false, true).is_empty());
    }

    #[test]
    fn a_restart_forgets_nothing_and_the_time_between_is_no_silence() {
        let mut house = House::after_days(21);
        house.hours(11, true, true);
        let kept = house.silence.take_changed();
        assert_eq!(kept.len(), 1);
        assert!(house.silence.take_changed().is_empty());
        house.silence = Silence::new(KEY);
        for (site, habits) in kept {
            assert_eq!(house.silence.restore(site, &habits), Ok(()));
        }
        // Down for two hours of a working day, up for one in which nobody happened to call.
        house.now += 2 * HOUR;
        assert!(house.hours(1, false, true).is_empty());
        house.hours(21, true, true);
        let found = house.hours(5, false, true);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(Silence::new(KEY).restore(SITE, b"nonsense").is_err());
    }

    #[test]
    fn an_hour_without_calls_is_chance() {
        let mut house = House::after_days(21);
        house.hours(10, true, true);
        assert!(house.hours(1, false, true).is_empty());
        assert!(house.hours(24, true, true).is_empty());
    }
}

//! Where a site's calls are sent on to. A thief of lines sends the whole house to a number of his own;
//! a clerk sends his own calls to his mobile.
//!
//! Numbers that calls have been sent to for a week are the house's own. In the first week of a process
//! only what no house does by habit is told.

use std::time::Duration;

use ringfence_base::{HashKey, Instant};

use crate::event::{Diversion, SiteRef};
use crate::finding::{Confidence, Finding, Kind, Subject, Value};
use crate::name::Name;
use crate::sketch::{Tier, Tiered};
use crate::watch::recent::Recent;

/// Numbers that are remembered, of all sites.
const TARGETS_MAX: usize = 4_096;
/// Since when a number has been used that is the house's own, and how long is learned at first.
const USUAL: Duration = Duration::from_secs(7 * 24 * 3600);
/// Not told again for so long.
const TOLD: Duration = Duration::from_secs(24 * 3600);
/// Numbers of the house, sent to one new place within [`SOON`], that are more than a clerk's own.
const HOUSE: usize = 3;
/// How soon.
const SOON: Duration = Duration::from_secs(3600);

/// A place that calls are sent to.
#[derive(Clone, Copy, Debug, Default)]
struct Target {
    first: Option<Instant>,
    told: Option<Instant>,
    /// Whose calls.
    by: Recent<HOUSE>,
}

/// What is known of diversions.
#[derive(Debug)]
pub(crate) struct Forwards {
    key: HashKey,
    began: Option<Instant>,
    targets: Tiered<u64, Target>,
}

impl Forwards {
    /// Nothing is known yet.
    pub(crate) fn new(key: HashKey) -> Forwards {
        Forwards {
            key,
            began: None,
            targets: Tiered::new(key, TARGETS_MAX),
        }
    }

    /// Calls of `by` go to `to`.
    pub(crate) fn on_diverted(
        &mut self,
        now: Instant,
        site: SiteRef,
        (by, to): (Name, Name),
        way: Diversion,
    ) -> Option<Finding> {
        if to.is_empty() {
            return None;
        }
        let began = *self.began.get_or_insert(now);
        let place = self.key.hash64(&(site.raw(), to.hash()));
        let target = self.targets.touch(place, Tier::Own)?;
        let first = *target.first.get_or_insert(now);
        let numbers = target.by.note(now, by.hash(), SOON);
        if now.saturating_since(first) >= USUAL {
            return None;
        }
        let learning = now.saturating_since(began) < USUAL;
        // A code at the carrier takes all calls, and the edge will not see them go.
        let sure = match (way, numbers >= HOUSE) {
            (Diversion::FeatureCode, _) => 60,
            (_, true) if !learning => 70,
            _ => return None,
        };
        let told = target
            .told
            .is_some_and(|at| now.saturating_since(at) < TOLD);
        if told {
            return None;
        }
        target.told = Some(now);
        let mut finding = Finding::new(Kind::ForwardTakeover, Subject::Site(site), now);
        finding.first = first;
        finding.count = numbers as u64;
        finding.confidence = Confidence::new(sure);
        finding.note("to", Value::Text(to));
        finding.note("calls of", Value::Text(by));
        finding.note(
            "numbers of the site in an hour",
            Value::Count(numbers as u64),
        );
        finding.note("said by", Value::Word(way.as_str()));
        Some(finding)
    }

    /// Bytes on the heap, about.
    pub(crate) fn memory(&self) -> usize {
        self.targets.memory()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: HashKey = HashKey::from_bytes([3; 16]);
    const SITE: SiteRef = SiteRef::new(0);
    const DAY: u64 = 24 * 3600;

    fn name(text: &str) -> Name {
        Name::new(KEY, text.as_bytes())
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    /// A house that has been watched for a month, and sends calls to one answering service.
    fn house() -> Forwards {
        let mut forwards = Forwards::new(KEY);
        for day in 0..30 {
            for number in ["100", "101", "102", "103"] {
                let way = (name(number), name("+13305559999"));
                let found = forwards.on_diverted(at(day * DAY), SITE, way, Diversion::Forwarded);
                assert!(found.is_none(), "day {day}: {found:?}");
            }
        }
        forwards
    }

    fn divert(forwards: &mut Forwards, seconds: u64, by: &str, way: Diversion) -> Option<Finding> {
        let names = (name(by), name("+15550001111"));
        forwards.on_diverted(at(30 * DAY + seconds), SITE, names, way)
    }

    #[test]
    fn the_whole_house_sent_to_a_new_number_is_told_once_a_day() {
        let mut forwards = house();
        assert!(divert(&mut forwards, 0, "100", Diversion::Redirected).is_none());
        assert!(divert(&mut forwards, 60, "101", Diversion::Redirected).is_none());
        let found = divert(&mut forwards, 120, "102", Diversion::Redirected).expect("found");
        assert_eq!(found.kind, Kind::ForwardTakeover);
        assert_eq!(found.subject, Subject::Site(SITE));
        assert!(divert(&mut forwards, 180, "103", Diversion::Redirected).is_none());
        assert!(divert(&mut forwards, DAY + 180, "103", Diversion::Redirected).is_none());
    }

    #[test]
    fn a_clerk_who_sends_his_own_calls_to_his_mobile_is_not_told() {
        let mut forwards = house();
        for call in 0..50 {
            assert!(divert(&mut forwards, call * 60, "100", Diversion::Redirected).is_none());
        }
        // Nor three clerks in three weeks.
        for (week, by) in (1..).zip(["101", "102", "103"]) {
            let seconds = week * 7 * DAY;
            assert!(divert(&mut forwards, seconds, by, Diversion::Redirected).is_none());
        }
    }

    #[test]
    fn a_code_at_the_carrier_is_told_and_a_place_of_long_standing_is_not() {
        let mut forwards = house();
        let found = divert(&mut forwards, 0, "100", Diversion::FeatureCode);
        assert!(found.is_some());
        for day in 1..8 {
            divert(&mut forwards, day * DAY, "100", Diversion::FeatureCode);
        }
        let late = divert(&mut forwards, 8 * DAY, "100", Diversion::FeatureCode);
        assert!(late.is_none());
    }

    #[test]
    fn in_the_first_week_a_night_service_is_learned() {
        let mut forwards = Forwards::new(KEY);
        for number in ["100", "101", "102", "103"] {
            let names = (name(number), name("+15550001111"));
            let found = forwards.on_diverted(at(0), SITE, names, Diversion::Forwarded);
            assert!(found.is_none());
        }
    }
}

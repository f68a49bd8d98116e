//! A trunk that fails is told to detection: its carrier may be under attack, and it is a second carrier
//! that helps, not a fence. So is one whose calls arrive with holes in their sound, or without any:
//! never for one call, which has a far end of its own, but for most of the last eight.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use ringfence_base::Instant;
use ringfence_detect::event::PeerRef;
use ringfence_detect::finding::{Confidence, Finding, Kind, Subject, Value};

use crate::cdr::MediaRecord;
use crate::health::Fault;
use crate::plan::{PeerKind, Plan};

/// A trunk that has not come back for so long is told of no more.
const LASTS: Duration = Duration::from_secs(7 * 24 * 3600);

/// How the sound of a trunk's last calls arrived: a bit for each of eight, whether it was bad; how many
/// are known; whether that was told.
#[derive(Debug, Default)]
pub struct Sound(AtomicU32);

/// What a call says of its trunk's sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Most calls are bad now, so many of the last eight.
    Bad(u32),
    /// They are good again.
    Good,
}

const CALLS: u32 = 8;
const COUNT_SHIFT: u32 = 8;
const TOLD: u32 = 1 << 31;
/// So many bad calls of the last eight are told.
const BAD_CALLS: u32 = 5;
/// So few are no trouble.
const GOOD_CALLS: u32 = 1;
/// Five seconds of sound: less says nothing.
const PACKETS_MIN: u64 = 250;
/// One packet in so many lost is bad: no codec conceals it.
const LOST_SHARE: u64 = 10;

impl Sound {
    /// A call is over whose sound was bad, or good.
    pub(crate) fn note(&self, bad: bool) -> Option<Turn> {
        let mut turn = None;
        let next = |state: u32| {
            let (next, said) = after(state, bad);
            turn = said;
            Some(next)
        };
        let _ = self.0.fetch_update(Relaxed, Relaxed, next);
        turn
    }

    /// Whether the last calls were good, of several.
    fn is_good(&self) -> bool {
        let state = self.0.load(Relaxed);
        state >> COUNT_SHIFT & 0xf >= CALLS / 2 && (state & 0xff).count_ones() <= GOOD_CALLS
    }
}

fn after(state: u32, bad: bool) -> (u32, Option<Turn>) {
    let calls = (state << 1 | u32::from(bad)) & 0xff;
    let known = ((state >> COUNT_SHIFT & 0xf) + 1).min(CALLS);
    let bad_calls = calls.count_ones();
    let told = state & TOLD != 0;
    let (told, turn) = match told {
        false if bad_calls >= BAD_CALLS => (true, Some(Turn::Bad(bad_calls))),
        true if bad_calls <= GOOD_CALLS => (false, Some(Turn::Good)),
        _ => (told, None),
    };
    let told = if told { TOLD } else { 0 };
    (calls | known << COUNT_SHIFT | told, turn)
}

/// Whether the sound that came from a trunk was bad; `None` if too little was said to know. `there` is
/// what came from the other side of the call.
pub(crate) fn was_bad(here: &MediaRecord, there: &MediaRecord) -> Option<bool> {
    let expected = here.packets_received.saturating_add(here.packets_lost);
    match (here.packets_received, expected) {
        (0, _) if there.packets_received >= PACKETS_MIN => Some(true),
        (0, _) | (_, ..PACKETS_MIN) => None,
        _ => Some(here.packets_lost.saturating_mul(LOST_SHARE) >= expected),
    }
}

/// What is found when the sound of the trunk `key` has turned. `None`: it is no trunk.
pub(crate) fn sound(plan: &Plan, now: Instant, key: &str, turn: Turn) -> Option<Finding> {
    let Turn::Bad(calls) = turn else {
        return relief(plan, now, key);
    };
    let (mut finding, _) = about(plan, now, key)?;
    finding.count = calls.into();
    finding.confidence = Confidence::new(70);
    finding.expires = now + LASTS;
    finding.note("fault", Value::Word("sound is lost on its way here"));
    finding.note("bad calls of the last eight", Value::Count(calls.into()));
    let mut others = plan.peers.iter().filter(|peer| {
        let other = peer.kind == PeerKind::Trunk && peer.key != key;
        other && peer.usage.sound.is_good()
    });
    let advice = match others.next() {
        Some(_) => "another trunk sounds well: ask this carrier",
        None => "look at the internet connection first, then ask the carrier",
    };
    finding.note("what now", Value::Word(advice));
    Some(finding)
}

/// What is found when the trunk `key` has failed `failures` times in a row, the last time so.
/// `None`: it is no trunk.
pub fn trouble(
    plan: &Plan,
    now: Instant,
    key: &str,
    (fault, failures): (Fault, u32),
) -> Option<Finding> {
    let (mut finding, site) = about(plan, now, key)?;
    let (what, sure) = match fault {
        Fault::Options => ("OPTIONS without an answer", 90),
        Fault::Silent => ("calls without any answer", 90),
        Fault::Transport => ("it cannot be reached", 90),
        Fault::Status(_) => ("calls refused", 70),
    };
    finding.count = failures.into();
    finding.confidence = Confidence::new(sure);
    finding.expires = now + LASTS;
    finding.note("fault", Value::Word(what));
    if let Fault::Status(status) = fault {
        finding.note("status", Value::Count(status.into()));
    }
    let trunks = || {
        plan.peers
            .iter()
            .filter(|peer| peer.kind == PeerKind::Trunk)
    };
    let works = |peer: &&crate::plan::Peer| peer.usage.standing.quarantine().is_none();
    let of_site = trunks().filter(|peer| peer.site == site && peer.key != key);
    let others = of_site.filter(works).count();
    finding.note(
        "other trunks of the site that work",
        Value::Count(others as u64),
    );
    let none_works = trunks().count() > 1 && !trunks().any(|peer| works(&peer));
    let advice = match (others, none_works) {
        (_, true) => "no trunk works: look at the internet connection first",
        (0, false) => "there is no other trunk: ask the carrier, or add one",
        _ => "calls go over the others",
    };
    finding.note("what now", Value::Word(advice));
    Some(finding)
}

/// The end of that: the trunk `key` works again.
pub fn relief(plan: &Plan, now: Instant, key: &str) -> Option<Finding> {
    let (mut finding, _) = about(plan, now, key)?;
    finding.note("what now", Value::Word("it works again"));
    Some(finding)
}

fn about(plan: &Plan, now: Instant, key: &str) -> Option<(Finding, crate::plan::SiteId)> {
    let is_it = |peer: &crate::plan::Peer| peer.kind == PeerKind::Trunk && peer.key == key;
    let index = plan.peers.iter().position(is_it)?;
    let site = plan.peers.get(index)?.site;
    let subject = Subject::Peer(PeerRef::new(u16::try_from(index).ok()?));
    Some((Finding::new(Kind::ProviderTrouble, subject, now), site))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_of_the_last_calls_must_be_bad_and_it_is_told_once() {
        let sound = Sound::default();
        for _ in 0..4 {
            assert_eq!(sound.note(true), None, "a few calls are their far ends'");
        }
        assert!(!sound.is_good());
        assert_eq!(sound.note(true), Some(Turn::Bad(5)));
        assert_eq!(sound.note(true), None);
        for _ in 0..6 {
            assert_eq!(sound.note(false), None);
        }
        assert_eq!(sound.note(false), Some(Turn::Good));
        assert!(sound.is_good());
        // One bad call in three, for long.
        for call in 0..30 {
            assert_eq!(sound.note(call % 3 == 0), None);
        }
    }

    #[test]
    fn a_call_is_bad_with_a_tenth_lost_or_nothing_heard() {
        let record = |packets_received, packets_lost| MediaRecord {
            packets_received,
            packets_lost,
            ..MediaRecord::default()
        };
        let fine = record(3_000, 0);
        assert_eq!(was_bad(&record(2_700, 300), &fine), Some(true));
        assert_eq!(was_bad(&record(2_990, 10), &fine), Some(false));
        assert_eq!(was_bad(&record(0, 0), &fine), Some(true));
        assert_eq!(was_bad(&record(0, 0), &record(0, 0)), None, "on hold");
        assert_eq!(was_bad(&record(50, 40), &fine), None, "too short");
    }
}

//! What came to the ports of a call beside its own sound: looked at while the call lasts and when it
//! is over.
//!
//! The media plane listens to one source a side, passes what was negotiated no faster than the packet
//! time allows, and drops the rest. What is told here is that the rest was too much for chance:
//!
//! - two sources spoke at once: a phone that moves, or a carrier's second server, stops at one place
//!   before it goes on at another;
//! - the synchronisation source changed again and again: a server that plays music in between changes
//!   it twice, somebody who writes packets into a stream under its address with nearly each of them;
//! - payload types that nobody negotiated, SRTP that authenticates under no key while the peer's does,
//!   packets faster than the packet time.
//!
//! Which of two sources is the attacker cannot be told from here where neither was described by SDP.
//! Nothing is done about it, since any address can be written over UDP.

use std::time::Duration;

use ringfence_base::Instant;

use crate::event::CallRef;
use crate::finding::{Confidence, Finding, Kind, Subject, Value};

/// Packets that are too many to be an overlap when a source changes: two seconds of sound.
const MANY: u64 = 100;
/// Of a long call it takes more: so many of its own packets to each of the others'.
const SHARE: u64 = 50;
/// Comfort noise that was not negotiated comes with up to one packet in five: this is more.
const SHARE_OF_TYPES: u64 = 4;
/// Changes of the synchronisation source that are too many for transfers and music on hold.
const CHANGES: u64 = 20;
/// In a long call it takes more: one change in five seconds of sound.
const SHARE_OF_CHANGES: u64 = 250;

/// What came to the ports of one side of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Packets of the source that was listened to.
    pub own: u64,
    /// Packets of other sources while that one was heard.
    pub beside: u32,
    /// Changes of the synchronisation source (RFC 3550 §8).
    pub source_changes: u32,
    /// Packets of types that were not negotiated.
    pub other_types: u32,
    /// Packets faster than the packet time allows.
    pub too_fast: u32,
    /// SRTP that authenticated under no key.
    pub forged: u32,
}

impl Heard {
    /// What is too much for chance, in words, with counts.
    fn tells(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let of_own = |share| MANY.max(self.own / share);
        // Who never sent anything good has a wrong key, or a codec that was misread: no attack.
        let forged = match self.own {
            0..MANY => u64::MAX,
            _ => of_own(SHARE),
        };
        let types = match self.own {
            0..MANY => u64::MAX,
            _ => of_own(SHARE_OF_TYPES),
        };
        [
            ("of others at the same time", self.beside, of_own(SHARE)),
            (
                "changes of the synchronisation source",
                self.source_changes,
                CHANGES.max(self.own / SHARE_OF_CHANGES),
            ),
            ("of types nobody negotiated", self.other_types, types),
            ("too fast", self.too_fast, of_own(SHARE)),
            ("forged (SRTP)", self.forged, forged),
        ]
        .into_iter()
        .map(|(what, count, limit)| (what, u64::from(count), limit))
        .filter(|(_, count, limit)| count >= limit)
        .map(|(what, count, _)| (what, count))
    }
}

/// What is found about an answered call: of each of its streams both sides, the caller's first.
pub fn found(
    now: Instant,
    call: CallRef,
    streams: impl IntoIterator<Item = [Heard; 2]>,
) -> Option<Finding> {
    let mut finding = Finding::new(Kind::MediaAttack, Subject::Call(call), now);
    finding.count = 0;
    finding.confidence = Confidence::new(60);
    finding.expires = now + Duration::from_secs(24 * 3600);
    for sides in streams {
        for (port, side) in ["the caller's", "the callee's"].into_iter().zip(sides) {
            let mut told = false;
            for (what, count) in side.tells() {
                if !told {
                    finding.note("ports", Value::Word(port));
                    finding.note("packets of the source listened to", Value::Count(side.own));
                    told = true;
                }
                finding.note(what, Value::Count(count));
                finding.count += count;
            }
        }
    }
    (finding.count > 0).then_some(finding)
}

/// What is found when a peer asks, in a call whose sound it sends encrypted, for sound in the clear, and
/// is refused: `leg` is `caller` or `callee`. Somebody may want to listen, or its set-up is wrong.
pub fn asked_for_clear_sound(now: Instant, call: CallRef, leg: &'static str) -> Finding {
    let mut finding = Finding::new(Kind::MediaAttack, Subject::Call(call), now);
    finding.confidence = Confidence::new(60);
    finding.expires = now + Duration::from_secs(24 * 3600);
    finding.note("encryption was to be dropped by the", Value::Word(leg));
    finding
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(heard: Heard) -> Option<Finding> {
        let quiet = Heard {
            own: heard.own,
            ..Heard::default()
        };
        found(Instant::ZERO, CallRef::new(1), [[heard, quiet]])
    }

    fn beside(own: u64, beside: u32) -> Option<Finding> {
        judged(Heard {
            own,
            beside,
            ..Heard::default()
        })
    }

    #[test]
    fn two_who_speak_at_once_are_told() {
        let finding = beside(3_000, 500).expect("found");
        assert_eq!((finding.kind, finding.count), (Kind::MediaAttack, 500));
        assert!(finding.is_spoofable());
        let words = finding.explain();
        assert!(
            words.contains("500") && words.contains("caller's"),
            "{words}"
        );
        assert!(!words.contains("callee's"), "{words}");
    }

    #[test]
    fn an_overlap_when_a_source_changes_is_not_nor_a_trickle_in_a_long_call() {
        assert!(beside(3_000, 0).is_none());
        assert!(beside(3_000, 99).is_none());
        assert!(
            beside(180_000, 700).is_none(),
            "an hour with one in five seconds"
        );
        assert!(beside(180_000, 3_600).is_some());
    }

    #[test]
    fn packets_written_into_a_stream_show_by_its_synchronisation_source() {
        let changes = |own, source_changes| {
            judged(Heard {
                own,
                source_changes,
                ..Heard::default()
            })
        };
        let words = changes(3_000, 120).expect("found").explain();
        assert!(words.contains("synchronisation source 120"), "{words}");
        // Music on hold, a transfer and back; a server that does so all day.
        assert!(changes(3_000, 6).is_none());
        assert!(changes(180_000, 300).is_none());
    }

    #[test]
    fn what_was_not_negotiated_is_told_and_comfort_noise_is_not() {
        let types = |own, other_types| {
            judged(Heard {
                own,
                other_types,
                ..Heard::default()
            })
        };
        assert!(types(3_000, 2_000).is_some());
        assert!(types(3_000, 600).is_none(), "comfort noise");
        assert!(types(0, 3_000).is_none(), "a codec that was misread");
        let forged = |own, forged| {
            judged(Heard {
                own,
                forged,
                ..Heard::default()
            })
        };
        assert!(forged(3_000, 500).is_some());
        assert!(forged(0, 3_000).is_none(), "a wrong key");
        let fast = judged(Heard {
            own: 3_000,
            too_fast: 9_000,
            ..Heard::default()
        });
        assert!(fast.is_some_and(|finding| finding.explain().contains("too fast 9000")));
    }

    #[test]
    fn every_stream_of_a_call_is_looked_at() {
        let quiet = [Heard::default(); 2];
        let loud = Heard {
            own: 1_000,
            beside: 800,
            ..Heard::default()
        };
        let call = CallRef::new(1);
        let finding = found(Instant::ZERO, call, [quiet, [Heard::default(), loud]]);
        assert!(finding.is_some_and(|finding| finding.explain().contains("callee's")));
        assert!(found(Instant::ZERO, call, [quiet, quiet]).is_none());
    }
}

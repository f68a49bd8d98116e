//! Sound of somebody else at the ports of a call, judged when the call is over.
//!
//! The media plane listens to one source a side and drops the others. What is told here is that two
//! spoke at once: a phone that moves, or a carrier's second server, stops at one place before it goes
//! on at another. Which of the two is the attacker cannot be told from here where neither was described
//! by SDP. Nothing is done about it, since any address can be written over UDP.

use std::time::Duration;

use ringfence_base::Instant;

use crate::event::CallRef;
use crate::finding::{Confidence, Finding, Kind, Subject, Value};

/// Packets that are too many to be an overlap when a source changes: two seconds of sound.
const MANY: u64 = 100;
/// Of a long call it takes more: so many of its own packets to each of the others'.
const SHARE: u64 = 50;

/// What came to the ports of one side of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Packets of the source that was listened to.
    pub own: u64,
    /// Packets of other sources while that one was heard.
    pub beside: u32,
}

impl Heard {
    fn is_shared(&self) -> bool {
        u64::from(self.beside) >= MANY.max(self.own / SHARE)
    }
}

/// What is found about an answered call, `sides` the caller's first.
pub fn found(now: Instant, call: CallRef, sides: [Heard; 2]) -> Option<Finding> {
    let shared = sides.iter().filter(|side| side.is_shared());
    let packets: u64 = shared.map(|side| u64::from(side.beside)).sum();
    if packets == 0 {
        return None;
    }
    let mut finding = Finding::new(Kind::MediaAttack, Subject::Call(call), now);
    finding.count = packets;
    finding.confidence = Confidence::new(60);
    finding.expires = now + Duration::from_secs(24 * 3600);
    for (port, side) in ["the caller's", "the callee's"].into_iter().zip(sides) {
        if side.is_shared() {
            finding.note("ports", Value::Word(port));
            finding.note("packets of the source listened to", Value::Count(side.own));
            finding.note(
                "of others at the same time",
                Value::Count(side.beside.into()),
            );
        }
    }
    Some(finding)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(own: u64, beside: u32) -> Option<Finding> {
        let sides = [Heard { own, beside }, Heard { own, beside: 0 }];
        found(Instant::ZERO, CallRef::new(1), sides)
    }

    #[test]
    fn two_who_speak_at_once_are_told() {
        let finding = judged(3_000, 500).expect("found");
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
        assert!(judged(3_000, 0).is_none());
        assert!(judged(3_000, 99).is_none());
        assert!(
            judged(180_000, 700).is_none(),
            "an hour with one in five seconds"
        );
        assert!(judged(180_000, 3_600).is_some());
    }
}

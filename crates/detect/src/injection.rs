//! Sound of somebody else at the ports of a call, judged when the call is over.
//!
//! None of it was let through: the media plane listens to one source a side. What is told apart here
//! is an attack from a phone that has moved: while a phone moves, it is not heard; while somebody
//! else sends, it is heard all along. Nothing is done about it, since any address can be written over
//! UDP; and nothing is said of a call whose own sound had gaps.

use std::time::Duration;

use ringfence_base::Instant;

use crate::event::CallRef;
use crate::finding::{Confidence, Finding, Kind, Subject, Value};

/// Packets that are too many to be left over from a call before, or of a server that announced
/// something: two seconds of sound.
const MANY: u32 = 100;
/// Share of a sound packet every 20 ms that a side must have sent itself, in percent.
const HEARD: u64 = 80;
/// A shorter call says nothing.
const SHORTEST: Duration = Duration::from_secs(5);

/// What came to the ports of one side of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Packets of the side itself.
    pub own: u64,
    /// Packets of other sources.
    pub foreign: u32,
    /// Packets under a wrong key, or changed on the way.
    pub forged: u32,
    /// Packets that were sent before.
    pub replayed: u32,
}

impl Heard {
    fn is_steady(&self, talked: Duration) -> bool {
        let whole = u64::try_from(talked.as_millis() / 20).unwrap_or(u64::MAX);
        self.own.saturating_mul(100) >= whole.saturating_mul(HEARD)
    }
}

/// What is found about a call that was answered for `talked`, `sides` the caller's first.
pub fn found(now: Instant, call: CallRef, talked: Duration, sides: [Heard; 2]) -> Option<Finding> {
    if talked < SHORTEST {
        return None;
    }
    let at = |side: Heard| {
        let hostile = side
            .foreign
            .saturating_add(side.forged)
            .saturating_add(side.replayed);
        (hostile >= MANY && side.is_steady(talked)).then_some(hostile)
    };
    let [caller, callee] = sides.map(at);
    let packets = u64::from(caller.unwrap_or_default()) + u64::from(callee.unwrap_or_default());
    if packets == 0 {
        return None;
    }
    let mut finding = Finding::new(Kind::MediaAttack, Subject::Call(call), now);
    finding.count = packets;
    finding.confidence = Confidence::new(60);
    finding.expires = now + Duration::from_secs(24 * 3600);
    for (side, heard, hostile) in [
        ("the caller's ports", sides[0], caller),
        ("the callee's ports", sides[1], callee),
    ] {
        if hostile.is_none() {
            continue;
        }
        finding.note("at", Value::Word(side));
        for (what, packets) in [
            ("packets from other sources", heard.foreign),
            ("packets under a wrong key", heard.forged),
            ("packets sent again", heard.replayed),
        ] {
            if packets > 0 {
                finding.note(what, Value::Count(packets.into()));
            }
        }
    }
    finding.note("let through", Value::Count(0));
    Some(finding)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn judged(talked: Duration, side: Heard) -> Option<Finding> {
        let quiet = Heard {
            own: 3_000,
            ..Heard::default()
        };
        found(Instant::ZERO, CallRef::new(1), talked, [side, quiet])
    }

    fn side(own: u64, foreign: u32) -> Heard {
        Heard {
            own,
            foreign,
            ..Heard::default()
        }
    }

    #[test]
    fn sound_of_others_beside_a_steady_call_is_told() {
        let finding = judged(MINUTE, side(2_990, 500)).expect("found");
        assert_eq!(finding.kind, Kind::MediaAttack);
        assert!(finding.is_spoofable());
        let words = finding.explain();
        assert!(
            words.contains("500") && words.contains("caller's ports"),
            "{words}"
        );
        let forged = Heard {
            own: 3_000,
            forged: 60,
            replayed: 60,
            ..Heard::default()
        };
        assert_eq!(judged(MINUTE, forged).map(|found| found.count), Some(120));
    }

    #[test]
    fn a_phone_that_moves_or_pauses_an_announcement_before_and_a_short_call_are_not() {
        // It moved after a third of the call, and was listened to again after a while or never.
        assert!(judged(MINUTE, side(1_000, 2_000)).is_none());
        assert!(judged(MINUTE, side(2_200, 800)).is_none());
        // Another server's announcement ran on for a second after the answer.
        assert!(judged(MINUTE, side(3_000, 50)).is_none());
        // Who sends nothing while silent cannot be told from one who moved.
        assert!(judged(MINUTE, side(1_500, 150)).is_none());
        assert!(judged(Duration::from_secs(4), side(200, 150)).is_none());
        assert!(judged(MINUTE, side(0, 0)).is_none());
    }
}

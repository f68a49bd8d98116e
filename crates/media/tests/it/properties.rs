//! Whatever arrives from whomever: no panic, no forgery believed, nothing sent to a stranger, and
//! each packet counted once. The model that says so is the fuzz target's.

use proptest::prelude::*;
use ringfence_media::fuzz;

/// A step of the script that makes sense more often than four random bytes.
fn step() -> impl Strategy<Value = [u8; 4]> {
    prop_oneof![
        10 => (0u8..4, any::<u8>(), any::<u8>(), 0u8..3).prop_map(|(s, w, a, b)| [s, w, a, b]),
        3 => (any::<u8>(), any::<u8>(), 0u8..4).prop_map(|(w, a, b)| [4, w, a, b]),
        1 => (any::<u8>(), any::<u8>(), any::<u8>()).prop_map(|(w, a, b)| [6, w, a, b]),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(a, b)| [7, 0, a, b]),
        1 => any::<[u8; 4]>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn scripts_of_friend_and_foe(
        outside in (0u8..8, any::<u8>(), 0u8..6),
        inside in (0u8..8, any::<u8>(), 0u8..6),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut script = vec![6, outside.0, outside.1, outside.2, 6, 128 | inside.0, inside.1, inside.2];
        script.extend(steps.into_iter().flatten());
        fuzz::relay(&script);
    }

    #[test]
    fn any_bytes(script in prop::collection::vec(any::<u8>(), 0..600)) {
        fuzz::relay(&script);
    }
}

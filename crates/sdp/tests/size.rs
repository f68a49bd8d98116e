//! Memory: what the parts of a description take, so that a field more is a decision.

use std::mem::size_of;

use ringfence_sdp::{Attribute, Media, SessionDescription};

#[test]
fn descriptions_stay_compact() {
    let sizes = [
        size_of::<Attribute>(),
        size_of::<Media>(),
        size_of::<SessionDescription>(),
    ];
    assert_eq!(sizes, [40, 216, 248], "bytes");
}

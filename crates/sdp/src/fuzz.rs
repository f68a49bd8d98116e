//! The body of the fuzz target: a plain function that any build compiles. Its corpus is in
//! `fuzz/corpus/sdp/` and is replayed by this crate's tests.

use std::net::{IpAddr, Ipv4Addr};

use crate::hide::{Forbidden, Hide, hide};
use crate::{SessionDescription, mention, offer_answer};

/// Reads `data` as a description and does with it all that the product does with one.
///
/// # Panics
/// If a property does not hold: what was written reads back as the same description without a
/// defect; what was hidden holds no byte of the address and of the name that were forbidden.
pub fn description(data: &[u8]) {
    let Ok(first) = SessionDescription::parse(data) else {
        return;
    };
    let written = first.to_bytes();
    let second = SessionDescription::parse(&written).expect("what we write can be read");
    assert_eq!(second.to_bytes(), written, "writing is stable");
    for media in &first.media {
        let _ = (
            first.rtp_address(media),
            first.rtcp_address(media),
            media.ptime(),
        );
        let _ = media.codecs().count() + media.crypto().count();
        let _ = media
            .payload_types()
            .filter_map(|number| media.fmtp(number))
            .count();
    }
    let _ = offer_answer::check_offer(&first);
    let _ = offer_answer::check_answer(&first, &second);
    let mut hidden = first;
    hide(
        &mut hidden,
        &Hide {
            address: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10)),
            session_id: 1,
            version: 1,
            forbidden: &[
                Forbidden::Address(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10))),
                Forbidden::Name(b"pbx.example"),
            ],
        },
    );
    let hidden = hidden.to_bytes();
    let read_back = SessionDescription::parse(&hidden).expect("what is hidden can be read");
    assert_eq!(read_back.to_bytes(), hidden, "hiding is stable");
    for needle in ["192.0.2.10", "pbx.example"] {
        assert!(
            !mention::contains_name(&hidden, needle.as_bytes()),
            "{needle} leaked"
        );
    }
}

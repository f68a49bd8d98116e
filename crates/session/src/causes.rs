//! Q.850 causes: from SIP statuses and from a peer's Reason header.

use ringfence_sip::{HeaderName, Message};

/// Normal call clearing.
pub const NORMAL_CLEARING: u8 = 16;

/// The Q.850 cause for a final SIP status (RFC 3398 §8.2.6.1).
pub const fn q850_of_status(status: u16) -> u8 {
    match status {
        200..=299 => NORMAL_CLEARING,
        400 | 481 | 500 | 503 => 41,
        401 | 402 | 403 | 407 | 603 | 607 | 608 => 21,
        404 | 485 | 604 => 1,
        405 | 501 => 63,
        406 | 415 | 488 | 606 => 79,
        408 | 504 => 102,
        410 => 22,
        413 | 414 | 416 | 420 | 421 | 423 | 505 | 513 => 127,
        480 => 18,
        482 | 483 => 25,
        484 => 28,
        486 | 600 => 17,
        487 => NORMAL_CLEARING,
        _ => 31,
    }
}

/// The cause of a `Reason: Q.850;cause=N` header value (RFC 3326 §2), `None` for another protocol
/// or a cause outside 1 to 127.
pub fn q850_of_reason(value: &[u8]) -> Option<u8> {
    let mut parts = value.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    if !parts.next()?.eq_ignore_ascii_case(b"Q.850") {
        return None;
    }
    let cause = parts.find_map(|part| {
        let (name, value) = part.split_at_checked(6)?;
        name.eq_ignore_ascii_case(b"cause=")
            .then(|| std::str::from_utf8(value).ok()?.parse().ok())
    })??;
    (1..=127).contains(&cause).then_some(cause)
}

/// The Reason of a CANCEL as it may cross (RFC 3326): numbers only, and in our own words what
/// phones look for lest they show a missed call.
pub(crate) fn reason_across(message: &Message<'_>) -> Option<String> {
    message.values(HeaderName::Reason).find_map(|value| {
        if let Some(cause) = q850_of_reason(value) {
            return Some(format!("Q.850;cause={cause}"));
        }
        let mut parts = value.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        if !parts.next()?.eq_ignore_ascii_case(b"SIP") {
            return None;
        }
        let status: u16 = parts.find_map(|part| {
            let (name, value) = part.split_at_checked(6)?;
            name.eq_ignore_ascii_case(b"cause=")
                .then(|| std::str::from_utf8(value).ok()?.parse().ok())
        })??;
        match status {
            200 => Some("SIP;cause=200;text=\"Call completed elsewhere\"".to_owned()),
            201..=699 => Some(format!("SIP;cause={status}")),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_sip::Index;

    #[test]
    fn only_the_numbers_of_a_reason_cross_rfc3326_2() {
        for (reason, expected) in [
            (
                "SIP;cause=200;text=\"pbx 10.0.0.1\"",
                Some("SIP;cause=200;text=\"Call completed elsewhere\""),
            ),
            ("Q.850 ;cause=17 ;text=\"secret\"", Some("Q.850;cause=17")),
            ("SIP;cause=486;text=\"secret\"", Some("SIP;cause=486")),
            ("SIP;cause=9999", None),
            ("preemption;cause=1", None),
        ] {
            let text = format!("CANCEL sip:a@b SIP/2.0\r\nReason: {reason}\r\n\r\n");
            let mut index = Index::default();
            let message = index.parse(text.as_bytes()).unwrap();
            assert_eq!(reason_across(&message).as_deref(), expected, "{reason}");
        }
    }

    #[track_caller]
    fn check(reason: &str, expected: Option<u8>) {
        assert_eq!(q850_of_reason(reason.as_bytes()), expected, "{reason}");
    }

    #[test]
    fn reads_the_cause_of_rfc3326_2() {
        check("Q.850;cause=16;text=\"Terminated\"", Some(16));
        check("q.850 ; cause=17", Some(17));
        check("SIP ;cause=200 ;text=\"Call completed elsewhere\"", None);
        check("Q.850;cause=0", None);
        check("Q.850;cause=999", None);
        check("Q.850", None);
        check("", None);
    }

    #[test]
    fn maps_statuses_by_rfc3398_8_2_6_1() {
        assert_eq!(q850_of_status(486), 17);
        assert_eq!(q850_of_status(404), 1);
        assert_eq!(q850_of_status(480), 18);
    }
}

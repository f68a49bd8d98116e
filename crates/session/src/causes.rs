//! Q.850 causes: from SIP statuses and from a peer's Reason header.

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

#[cfg(test)]
mod tests {
    use super::*;

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

//! Numbers, SRTP suites, headers: what a call is made of.

use ringfence_rtp::srtp::Suite;
use ringfence_session::line_guard::LinesMode;

use super::{Fault, one_of};
use crate::config::model::Numbers;
use crate::config::suggest::{listed, nearest};

/// `"+13305550100"` or `"+13305550100-+13305550149"`.
pub(in crate::config) fn numbers(text: &str) -> Result<Numbers, Fault> {
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (first.trim(), last.trim()),
        None => (text.trim(), text.trim()),
    };
    if let Some(numbers) = Numbers::new(first, last) {
        return Ok(numbers);
    }
    let is_number = |text: &str| Numbers::new(text, text).is_some();
    if is_number(first) && is_number(last) {
        let what = "is a range whose ends differ in length or stand in the wrong order";
        return Err(Fault::new(
            what,
            "write the lower number first, both with all digits",
        ));
    }
    let what = "is not a number in international form";
    let fix =
        "write \"+\" and 3 to 15 digits, e.g. \"+13305550100\" or \"+13305550100-+13305550149\"";
    Err(Fault::new(what, fix))
}

/// A number as dialled: `911`, `112`, `*55`, `+13305550100`.
pub(in crate::config) fn dialled(text: &str) -> Result<String, Fault> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let good = |byte: u8| byte.is_ascii_digit() || byte == b'*' || byte == b'#';
    if (2..=16).contains(&digits.len()) && digits.bytes().all(good) {
        return Ok(text.to_owned());
    }
    Err(Fault::new(
        "cannot be dialled",
        "write the digits as people dial them, e.g. \"911\"",
    ))
}

/// What is done when calls hold a site's lines.
pub(in crate::config) fn lines_mode(text: &str) -> Result<LinesMode, Fault> {
    one_of(
        text,
        &[
            ("enforce", LinesMode::Enforce),
            ("observe", LinesMode::Observe),
            ("off", LinesMode::Off),
        ],
    )
}

/// How far local time is ahead of UTC, in minutes: `+01:00`, `-05:00`.
pub(in crate::config) fn utc_offset(text: &str) -> Result<i16, Fault> {
    let read = || {
        let (sign, rest) = match text.split_at_checked(1)? {
            ("+", rest) => (1, rest),
            ("-", rest) => (-1, rest),
            _ => return None,
        };
        let (hours, minutes) = rest.split_once(':')?;
        let two = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        let good = two(hours) && two(minutes);
        let (hours, minutes): (i16, i16) = (hours.parse().ok()?, minutes.parse().ok()?);
        (good && hours <= 14 && minutes < 60).then_some(sign * (hours * 60 + minutes))
    };
    read().ok_or_else(|| Fault::new("is no offset from UTC", "write it like \"-05:00\""))
}

/// An SRTP suite by its registered name.
pub(in crate::config) fn suite(text: &str) -> Result<Suite, Fault> {
    Suite::parse(text.as_bytes()).ok_or_else(|| {
        let names = || SUITES.iter().map(|suite| suite.name());
        let fix = match nearest(text, names()) {
            Some(name) => format!("did you mean \"{name}\"?"),
            None => format!("write one of {}", listed(names())),
        };
        Fault::new("is no SRTP suite that Ringfence has", fix)
    })
}

/// Every suite, strongest first: the order in which they are offered by default.
pub(in crate::config) const SUITES: [Suite; 4] = [
    Suite::AeadAes256Gcm,
    Suite::AeadAes128Gcm,
    Suite::AesCm128HmacSha1_80,
    Suite::AesCm128HmacSha1_32,
];

/// An audio codec by its encoding name.
pub(in crate::config) fn codec(text: &str) -> Result<String, Fault> {
    let mut known = CODECS.into_iter();
    if let Some(name) = known.find(|name| name.eq_ignore_ascii_case(text)) {
        return Ok(name.to_owned());
    }
    let fix = match nearest(text, CODECS.iter().copied()) {
        Some(name) => format!("did you mean \"{name}\"?"),
        None => format!("write some of {}", listed(CODECS.iter().copied())),
    };
    Err(Fault::new("is no audio codec", fix))
}

/// Encoding names of audio (RFC 4855, RFC 7587, ...), the usual ones first.
const CODECS: [&str; 22] = [
    "PCMU",
    "PCMA",
    "G722",
    "opus",
    "G729",
    "telephone-event",
    "CN",
    "AMR",
    "AMR-WB",
    "EVS",
    "G723",
    "G726-16",
    "G726-24",
    "G726-32",
    "G726-40",
    "G728",
    "G7221",
    "GSM",
    "iLBC",
    "L16",
    "SILK",
    "speex",
];

/// A header that may pass to the other side, in lower case. What would tell one side of the other
/// or belongs to a leg alone never passes.
pub(in crate::config) fn passed_header(text: &str) -> Result<String, Fault> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte);
    if text.is_empty() || text.len() > 64 || !text.bytes().all(token) {
        return Err(Fault::new(
            "is no header name",
            "write e.g. \"X-Department\"",
        ));
    }
    let name = text.to_ascii_lowercase();
    if NEVER_PASSED.split(' ').any(|never| never == name) {
        let what = "belongs to one side of the call, so it never passes to the other";
        return Err(Fault::new(what, "leave it out"));
    }
    Ok(name)
}

/// A media type that an INFO may carry, in lower case.
pub(in crate::config) fn media_type(text: &str) -> Result<String, Fault> {
    let token = |part: &str| {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-.+_".contains(&byte);
        (1..=64).contains(&part.len()) && part.bytes().all(legal)
    };
    match text.split_once('/') {
        Some((kind, name)) if token(kind) && token(name) => Ok(text.to_ascii_lowercase()),
        _ => Err(Fault::new(
            "is no media type",
            "write e.g. \"application/dtmf-relay\"",
        )),
    }
}

/// Headers of one leg, or that disclose it.
const NEVER_PASSED: &str = "accept accept-encoding alert-info allow allow-events authentication-info authorization b c \
call-id call-info contact content-disposition content-encoding content-length content-type \
cseq d date e error-info expires f from geolocation-routing history-info i identity \
in-reply-to j k l m max-forwards mime-version min-expires min-se o organization path \
proxy-authenticate proxy-authorization proxy-require r rack record-route refer-to \
referred-by replaces reply-to require retry-after route rseq server service-route \
session-expires supported t timestamp to u user-agent v via warning www-authenticate x";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_would_disclose_a_side_is_never_passed() {
        assert_eq!(passed_header("X-Department"), Ok("x-department".to_owned()));
        for header in [
            "via",
            "Contact",
            "USER-AGENT",
            "record-route",
            "m",
            "i",
            "Warning",
        ] {
            assert!(passed_header(header).is_err(), "{header}");
        }
    }

    #[test]
    fn numbers_are_international_and_in_order() {
        let count = |text| {
            numbers(text)
                .map(Numbers::count)
                .map_err(|fault| fault.what)
        };
        assert_eq!(count("+13305550100 - +13305550149"), Ok(50));
        assert_eq!(count("+112"), Ok(1));
        for (bad, what) in [
            ("13305550100", "is not a number in international form"),
            ("+1330555010a", "is not a number in international form"),
            ("+1234567890123456", "is not a number in international form"),
            (
                "+1331-+1330",
                "is a range whose ends differ in length or stand in the wrong order",
            ),
            (
                "+133-+1339",
                "is a range whose ends differ in length or stand in the wrong order",
            ),
        ] {
            assert_eq!(count(bad), Err(what.to_owned()), "{bad}");
        }
        assert_eq!(
            numbers("+0012").unwrap().to_string(),
            "+0012",
            "zeros in front stay"
        );
    }

    #[test]
    fn what_is_dialled_is_digits_and_keys() {
        for good in ["911", "*55", "#31#", "+13305550100"] {
            assert!(dialled(good).is_ok(), "{good}");
        }
        for bad in ["", "9", "9-1-1", "help", "+"] {
            assert!(dialled(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_suite_reads_back_by_its_name() {
        for expected in SUITES {
            assert_eq!(suite(expected.name()), Ok(expected));
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String) {
            let _ = numbers(&text);
            let _ = dialled(&text);
            let _ = suite(&text);
            let _ = passed_header(&text);
        }
    }
}

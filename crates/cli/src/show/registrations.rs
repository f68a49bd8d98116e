//! `ringfence registrations` for people.

use std::fmt::Write;

use ringfence_base::text::Escaped;
use ringfence_control::api::{Registration, Registrations};

use crate::paint::{Paint, Tone, seconds};

/// Whether a trunk that should be registered is not.
pub(crate) fn any_missing(registrations: &Registrations) -> bool {
    registrations
        .registrations
        .iter()
        .any(|one| one.state != "registered")
}

pub(crate) fn text(registrations: &Registrations, paint: Paint) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{:16} {:20} {:32} {:>8} {:>6} {:>5} {:>8}  WHY",
        "STATE", "TRUNK", "REGISTRAR", "EXPIRES", "NEXT", "CODE", "ATTEMPTS"
    );
    for one in &registrations.registrations {
        row(&mut out, one, paint);
    }
    if registrations.registrations.is_empty() {
        out.push_str("no trunk registers\n");
    }
    out
}

fn row(out: &mut String, one: &Registration, paint: Paint) {
    let (mark, tone) = match one.state.as_str() {
        "registered" if one.why.is_empty() => ('●', Tone::Good),
        "registered" => ('◐', Tone::Warn),
        "registering" => ('?', Tone::Dim),
        _ => ('✕', Tone::Bad),
    };
    let state = paint.tone(tone, format!("{mark} {:14}", one.state));
    let in_time = |time: Option<u64>| time.map_or_else(|| "-".to_owned(), seconds);
    let code = one
        .last_code
        .map_or_else(|| "-".to_owned(), |code| code.to_string());
    let _ = writeln!(
        out,
        "{state} {:20} {:32} {:>8} {:>6} {code:>5} {:>8}  {}",
        one.trunk,
        one.registrar,
        in_time(one.expires_in_s),
        in_time(one.next_in_s),
        one.attempts,
        one.why,
    );
    for other in &one.others {
        // The carrier's words, and maybe an attacker's.
        let uri = Escaped(other.uri.as_bytes());
        let lasts = match other.expires_s {
            Some(time) => format!(", for {}", seconds(time.into())),
            None => String::new(),
        };
        let _ = writeln!(out, "  another contact at this account: {uri}{lasts}");
    }
    let more = (one.others_total as usize).saturating_sub(one.others.len());
    if more > 0 {
        let _ = writeln!(out, "  and {more} more");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_base::UnixTime;
    use ringfence_control::api::{OtherBinding, Timestamp};

    #[test]
    fn a_foreign_contact_is_shown_and_harmless() {
        let registrations = Registrations {
            at: Timestamp(UnixTime::from_micros(1_795_376_160_000_000)),
            registrations: vec![Registration {
                trunk: "carrier-b".into(),
                site: "summit".into(),
                tenant: "summit".into(),
                registrar: "sip:carrier.example".into(),
                address_of_record: "sip:summit@carrier.example".into(),
                contact: "sip:t1@203.0.113.10:5060".into(),
                state: "registered".into(),
                why: String::new(),
                expires: None,
                expires_in_s: Some(540),
                next_in_s: Some(430),
                last_code: Some(200),
                attempts: 2,
                failures: 0,
                oddities: 0,
                others: vec![OtherBinding {
                    uri: "sip:x@203.0.113.66\x1b[2J".into(),
                    expires_s: Some(90),
                }],
                others_total: 3,
                service_route: None,
            }],
        };
        assert!(!any_missing(&registrations));
        let text = text(&registrations, Paint::plain());
        assert!(!text.contains('\x1b'), "{text}");
        for part in [
            "● registered",
            "carrier-b",
            "9m00s",
            "x@203.0.113.66",
            "1m30s",
            "2 more",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}

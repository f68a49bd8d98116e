//! The number in a URI: `sip:…;user=phone`, `tel:…` (RFC 3966), `urn:service:sos` (RFC 5031).

use std::borrow::Cow;

use ringfence_sip::{Message, Scheme, Uri, unescape};

use crate::headers::user_of;

/// The called "number" of an emergency service URN; no phone dials it.
pub(crate) const SOS: &str = "urn:service:sos";

/// Fewest digits of a local number that a context makes global: 911 stays 911 in every context.
const LOCAL_LEAST: usize = 5;

/// What the Request-URI of `message` calls, as text. Of an emergency service with its kind
/// (`urn:service:sos.police`) only that it is one. `None` when it names nobody.
pub(crate) fn called_of(message: &Message<'_>) -> Option<String> {
    called_in(&Uri::parse(message.request_uri()?).ok()?)
}

/// What a URI calls, as [`called_of`].
pub(crate) fn called_in(uri: &Uri<'_>) -> Option<String> {
    match uri.is_emergency_service() {
        true => Some(SOS.to_owned()),
        false => number_of(uri),
    }
}

/// The user or number of a From, P-Asserted-Identity, Diversion... `None` when it has none or
/// says that it is anonymous (RFC 3323 §4.1.1.3).
pub(crate) fn calling_of(uri: &Uri<'_>) -> Option<String> {
    let anonymous_host = uri.host.is_some_and(|host| {
        let host = host.to_string();
        host.eq_ignore_ascii_case("anonymous.invalid")
    });
    number_of(uri).filter(|user| !anonymous_host && !user.eq_ignore_ascii_case("anonymous"))
}

/// The user or number of a URI. A telephone number loses its visual separators (RFC 3966 §5.1.1),
/// and a local one with a context of the beginning of a global number becomes global (§5.1.5).
fn number_of(uri: &Uri<'_>) -> Option<String> {
    let user = before_escaped_parameters(user_of(uri)?)?;
    // Some write "+" as an escape.
    let text = match unescape(user.as_bytes()) {
        Cow::Borrowed(_) => user.to_owned(),
        Cow::Owned(bytes) if bytes.iter().all(|byte| b"+0123456789".contains(byte)) => {
            String::from_utf8(bytes).ok()?
        }
        Cow::Owned(_) => user.to_owned(),
    };
    let is_tel = uri.scheme == Scheme::Tel
        || uri
            .param(b"user")
            .flatten()
            .is_some_and(|value| value.eq_ignore_ascii_case(b"phone"));
    let separators = ['-', '.', '(', ')'];
    let dialled = |c: char| c.is_ascii_digit() || "+*#".contains(c) || separators.contains(&c);
    let mut text = match (is_tel || text.starts_with('+')) && text.chars().all(dialled) {
        true => text.replace(separators, ""),
        false => text,
    };
    if let Some(context) = phone_context(uri)
        && text.len() >= LOCAL_LEAST
        && text.bytes().all(|byte| byte.is_ascii_digit())
    {
        text.insert_str(0, &context);
    }
    (!text.is_empty()).then_some(text)
}

/// `user` up to an escaped `;` (RFC 3261 §19.1.2). Whoever unescapes a user before splitting it would
/// read parameters behind it: a caller could write himself a `verstat` (3GPP TS 24.229 §7.2A.20).
/// `None` if nothing stands before it.
fn before_escaped_parameters(user: &str) -> Option<&str> {
    let escaped = user
        .as_bytes()
        .windows(3)
        .position(|three| three.eq_ignore_ascii_case(b"%3B"));
    let user = match escaped {
        Some(at) => user.get(..at)?,
        None => user,
    };
    (!user.is_empty()).then_some(user)
}

/// `;phone-context=+1330`: of a `tel` URI a parameter, of a SIP URI in its user part
/// (RFC 3261 §19.1.6). A context that is a domain says nothing outside that domain.
fn phone_context(uri: &Uri<'_>) -> Option<String> {
    let value = match uri.scheme {
        Scheme::Tel => uri.param(b"phone-context").flatten()?,
        _ => uri
            .user?
            .split(|&byte| byte == b';')
            .skip(1)
            .find_map(|param| {
                let (name, value) = param.split_at_checked(14)?;
                name.eq_ignore_ascii_case(b"phone-context=")
                    .then_some(value)
            })?,
    };
    let value = unescape(value);
    let text = std::str::from_utf8(&value)
        .ok()?
        .replace(['-', '.', '(', ')'], "");
    let digits = text.strip_prefix('+')?;
    let good = (1..=12).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    good.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_sip::Index;

    #[track_caller]
    fn check(uri: &str, expected: Option<&str>) {
        let text = format!("INVITE {uri} SIP/2.0\r\n\r\n");
        let mut index = Index::default();
        let message = index.parse(text.as_bytes()).unwrap();
        assert_eq!(called_of(&message).as_deref(), expected, "{uri}");
    }

    #[test]
    fn numbers_of_sip_and_tel_uris_rfc3966_5_1_1() {
        check("sip:+13305550100@example.com", Some("+13305550100"));
        check("sip:+1-330-555-0100@h;user=phone", Some("+13305550100"));
        check("sip:%2B13305550100@h", Some("+13305550100"));
        check("tel:+1-330-555-0100", Some("+13305550100"));
        check(
            "tel:(330)555.0100;phone-context=example.com",
            Some("3305550100"),
        );
        check("sip:a.b@h", Some("a.b"));
        check("sip:h", None);
    }

    #[test]
    fn a_local_number_with_a_global_context_is_global_rfc3966_5_1_5() {
        check("tel:5550100;phone-context=+1-330", Some("+13305550100"));
        check(
            "sip:5550100;phone-context=+1330@h;user=phone",
            Some("+13305550100"),
        );
        check("tel:+13305550100;phone-context=+44", Some("+13305550100"));
        check("tel:911;phone-context=+1", Some("911"));
    }

    #[test]
    fn emergency_services_by_urn_rfc5031_4_2() {
        check("urn:service:sos", Some(SOS));
        check("URN:service:SOS.fire", Some(SOS));
        check("urn:service:sosx", None);
        check("urn:service:counseling", None);
        check("tel:911", Some("911"));
        check("sip:911@192.0.2.1", Some("911"));
    }

    #[test]
    fn an_anonymous_caller_has_no_number_rfc3323_4_1_1_3() {
        let calling = |uri: &str| calling_of(&Uri::parse(uri.as_bytes()).unwrap());
        assert_eq!(calling("sip:anonymous@anonymous.invalid"), None);
        assert_eq!(calling("sip:Anonymous@192.0.2.1"), None);
        assert_eq!(calling("sip:+13305550100@anonymous.invalid"), None);
        assert_eq!(calling("sip:101@192.0.2.1").as_deref(), Some("101"));
    }
}

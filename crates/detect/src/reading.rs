//! Parts of events that are read out of a message: what the live edge and a replayed capture say of
//! one message comes from here, so that they can never drift apart.

use ringfence_base::HashKey;
use ringfence_sip::{Contact, HeaderName, Message, Method, Uri};

use crate::event::{Asked, BindingChange, MethodKind, Shape};
use crate::fingerprint::shape;
use crate::name::Name;

/// Contacts of one REGISTER that are looked at.
const CONTACTS_MAX: usize = 16;
/// Credentials of one request, likewise.
const CREDENTIALS_MAX: usize = 8;

/// What a request asks, as far as it matters here.
pub fn asked(key: HashKey, message: &Message<'_>) -> Asked {
    let method = message.method().map_or(MethodKind::Unknown, Into::into);
    let uri = match message.method() {
        Some(Method::Register) => message.to().ok().map(|to| to.uri),
        _ => message.request_uri().and_then(|uri| Uri::parse(uri).ok()),
    };
    let user = uri.and_then(|uri| uri.user).unwrap_or_default();
    let branch = message.via().ok().and_then(|via| via.branch);
    let call_id = message.call_id().unwrap_or_default();
    Asked {
        method,
        target: Name::new(key, user),
        shape: if message.is_request() {
            shape(message)
        } else {
            Shape::default()
        },
        transaction: key.hash64(&(branch, call_id)),
    }
}

/// What a request without credentials asks that is asked for them: its target is the account of
/// whoever sends it, in the realm that asks, where that is known.
pub fn challenged(key: HashKey, message: &Message<'_>, realm: Option<&str>) -> Asked {
    let mut asked = asked(key, message);
    let account = match message.method() {
        Some(Method::Register) => message.to().ok().and_then(|to| to.uri.user),
        _ => message.from().ok().and_then(|from| from.uri.user),
    };
    if let Some(user) = account {
        asked.target = match realm {
            Some(realm) => Name::of_account(key, user, realm),
            None => Name::new(key, user),
        };
    }
    asked
}

/// What an accepted REGISTER did, with how many bindings its account had and has.
pub fn binding_change(
    key: HashKey,
    message: &Message<'_>,
    before: usize,
    after: usize,
) -> BindingChange {
    let few = |count: usize| u8::try_from(count).unwrap_or(u8::MAX);
    let mut change = BindingChange {
        before: few(before),
        after: few(after),
        ..BindingChange::default()
    };
    for contact in message.contacts().take(CONTACTS_MAX) {
        match contact {
            Ok(Contact::Wildcard) => change.removed_all = true,
            Ok(Contact::Address(contact)) if change.contact == 0 => {
                change.contact = key.hash64(contact.raw_uri());
                let first = contact.params.get(b"q").flatten();
                change.first_choice = first.is_some_and(|q| q.starts_with(b"1"));
                let instance = contact.params.get(b"+sip.instance").flatten();
                change.instance = instance.map_or(0, |instance| key.hash64(instance));
            }
            _ => {}
        }
    }
    let expires = message.number(HeaderName::Expires);
    if matches!(expires, Ok(Some(0))) && after == 0 {
        change.contact = 0;
    }
    change
}

/// Whom a request speaks for: the user of its From and of its credentials.
pub fn accounts(key: HashKey, message: &Message<'_>) -> [Option<Name>; 2] {
    let from = message.from().ok().and_then(|from| from.uri.user);
    let claimed = claimed(message).map(|(username, _)| username);
    [from, claimed].map(|text| text.map(|text| Name::new(key, text)))
}

/// User and nonce of a request's credentials, also of those that nobody could verify: SIPVicious
/// leaves out what RFC 7616 §3.4 demands, and guesses all the same.
pub fn claimed<'a>(message: &Message<'a>) -> Option<(&'a [u8], &'a [u8])> {
    let headers = [HeaderName::Authorization, HeaderName::ProxyAuthorization];
    let mut values = headers
        .into_iter()
        .flat_map(|header| message.headers(header))
        .take(CREDENTIALS_MAX);
    values.find_map(|value| Some((field(value, b"username")?, field(value, b"nonce")?)))
}

/// The quoted value of a field; an escape in it stays as it is.
fn field<'a>(value: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = value;
    loop {
        let quote = rest.iter().position(|byte| *byte == b'"')?;
        let (before, quoted) = (rest.get(..quote)?, rest.get(quote + 1..)?);
        let end = quoted.iter().position(|byte| *byte == b'"')?;
        let before = before.trim_ascii_end().strip_suffix(b"=");
        let before = before.map(<[u8]>::trim_ascii_end).unwrap_or_default();
        let starts = before.len().checked_sub(name.len());
        if let Some((ahead, found)) = starts.and_then(|at| before.split_at_checked(at))
            && found.eq_ignore_ascii_case(name)
            && ahead
                .last()
                .is_none_or(|byte| matches!(byte, b',' | b' ' | b'\t' | b'\n'))
        {
            return quoted.get(..end);
        }
        rest = quoted.get(end + 1..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: Option<&str>) {
        let found = field(value.as_bytes(), b"nonce");
        assert_eq!(found, expected.map(str::as_bytes), "{value}");
    }

    #[test]
    fn fields_of_credentials_are_found_however_they_are_written() {
        check(r#"Digest username="a",nonce="b""#, Some("b"));
        check(r#"Digest Nonce = "b", username="a""#, Some("b"));
        check(r#"Digest cnonce="x", nonce="""#, Some(""));
        check(r#"Digest cnonce="x""#, None);
        check(r#"Digest nonce="x"#, None);
        check("", None);
    }
}

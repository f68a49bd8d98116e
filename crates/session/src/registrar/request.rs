//! What a REGISTER asks for, with every value bounded (RFC 3261 §10.3 steps 6 and 7).
//!
//! A lifetime below the least is 423, one above the most is shortened, as the RFC has it. What no
//! phone asks for (`Expires: 0.1`, ten years, a thousand contacts) is refused and said so.

use std::time::Duration;

use ringfence_base::{Flow, UnixTime};
use ringfence_sip::{Contact, HeaderName, Message, NameAddr, Scheme};

use super::group::PhoneGroup;
use super::line::{BINDING_TEXT_MAX, Binding, Change, USER_AGENT_MAX};

/// A lifetime that no phone asks for: longer than five years.
const EXPIRES_ABSURD_SECONDS: u32 = 5 * 366 * 86_400;

/// Most Path values of one REGISTER: proxies between the phone and the edge.
const PATHS_MAX: usize = 4;

/// Why a REGISTER is refused, as the phone is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// For the Warning header.
    pub(crate) text: &'static str,
}

const fn refuse<T>(status: u16, text: &'static str) -> Result<T, Refusal> {
    Err(Refusal { status, text })
}

/// Reads what `message` asks for. `flow` is where it came from.
pub(crate) fn read(
    message: &Message<'_>,
    flow: &Flow,
    group: &PhoneGroup,
    now: UnixTime,
) -> Result<Change, Refusal> {
    let (Ok(call_id), Ok(cseq)) = (message.call_id(), message.cseq()) else {
        return refuse(400, "Call-ID or CSeq cannot be read");
    };
    let Ok(call_id) = std::str::from_utf8(call_id) else {
        return refuse(400, "Call-ID cannot be read");
    };
    let header_expires = match message.header(HeaderName::Expires) {
        Some(value) => Some(seconds(value)?),
        None => None,
    };
    let path = path_of(message)?;
    let user_agent = message.header(HeaderName::UserAgent).map(shortened);
    let mut contacts = Vec::new();
    let mut wildcard = false;
    for contact in message.contacts() {
        let contact = match contact {
            Ok(Contact::Wildcard) => {
                wildcard = true;
                continue;
            }
            Ok(Contact::Address(contact)) => contact,
            Err(_) => return refuse(400, "a Contact cannot be read"),
        };
        if contacts.len() >= group.contacts_max {
            return refuse(403, "too many contacts");
        }
        let lifetime = lifetime(&contact, header_expires, group)?;
        let binding = Binding {
            contact: uri_of(&contact)?.into(),
            call_id: call_id.into(),
            cseq: cseq.number,
            path: path.clone(),
            instance: instance_of(&contact),
            reg_id: reg_id_of(&contact)?,
            q: quality_of(&contact)?,
            user_agent: user_agent.clone(),
            flow: *flow,
            flow_lost: false,
            expires: after(now, lifetime),
            refreshed: now,
        };
        if binding.text_size() > BINDING_TEXT_MAX {
            return refuse(400, "the contact is too long");
        }
        contacts.push(binding);
    }
    match (wildcard, contacts.is_empty()) {
        (true, true) if header_expires == Some(0) => Ok(Change::RemoveAll {
            call_id: call_id.into(),
            cseq: cseq.number,
        }),
        (true, _) => refuse(400, "Contact: * stands alone, with Expires: 0"),
        (false, true) => Ok(Change::Fetch),
        (false, false) => Ok(Change::Update(contacts)),
    }
}

fn lifetime(
    contact: &NameAddr<'_>,
    header: Option<u32>,
    group: &PhoneGroup,
) -> Result<Duration, Refusal> {
    let own = contact.params.get(b"expires");
    let asked = match own {
        Some(value) => Some(seconds(value.unwrap_or_default())?),
        None => header,
    };
    let Some(asked) = asked else {
        return Ok(group.expires_max);
    };
    let asked = Duration::from_secs(asked.into());
    if asked.is_zero() {
        return Ok(asked);
    }
    if asked < group.expires_min {
        return refuse(423, "the lifetime is too short");
    }
    Ok(asked.min(group.expires_max))
}

fn seconds(value: &[u8]) -> Result<u32, Refusal> {
    let value = value.trim_ascii();
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    if !digits {
        return refuse(400, "a lifetime is a whole number of seconds");
    }
    let number = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
    match number {
        Some(seconds) if seconds <= EXPIRES_ABSURD_SECONDS => Ok(seconds),
        _ => refuse(400, "the lifetime is beyond five years"),
    }
}

fn uri_of<'a>(contact: &NameAddr<'a>) -> Result<&'a str, Refusal> {
    let ours = matches!(contact.uri.scheme, Scheme::Sip | Scheme::Sips);
    match std::str::from_utf8(contact.raw_uri()) {
        // URI headers would become headers of our INVITE (RFC 3261 §19.1.5).
        Ok(uri) if ours && contact.uri.headers.is_none() => Ok(uri),
        _ => refuse(400, "a contact is a sip URI without headers"),
    }
}

/// The device's name: `"<urn:uuid:…>"` without quotes and brackets.
fn instance_of(contact: &NameAddr<'_>) -> Option<Box<str>> {
    let value = contact.params.get(b"+sip.instance")??;
    let value = std::str::from_utf8(value).ok()?;
    let bare = value
        .trim_matches('"')
        .strip_prefix('<')?
        .strip_suffix('>')?;
    let legal = |c: char| c.is_ascii_alphanumeric() || ":-._~".contains(c);
    (!bare.is_empty() && bare.chars().all(legal)).then(|| bare.into())
}

fn reg_id_of(contact: &NameAddr<'_>) -> Result<u32, Refusal> {
    let Some(value) = contact.params.get(b"reg-id").flatten() else {
        return Ok(0);
    };
    let number = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
    match number {
        Some(number @ 1..=0x7fff_ffff) => Ok(number),
        _ => refuse(400, "reg-id is a number from 1"),
    }
}

/// `q` in thousandths: 0 to 1 with at most three digits behind the point (RFC 3261 §25.1); 1 if
/// there is none.
fn quality_of(contact: &NameAddr<'_>) -> Result<u16, Refusal> {
    let Some(value) = contact.params.get(b"q") else {
        return Ok(1000);
    };
    let value = value.unwrap_or_default();
    let (whole, part) = match value.iter().position(|&byte| byte == b'.') {
        Some(point) => (value.get(..point), value.get(point + 1..)),
        None => (Some(value), Some(&b""[..])),
    };
    let (whole, part) = (whole.unwrap_or_default(), part.unwrap_or_default());
    let legal = matches!(whole, b"0" | b"1" | b"")
        && !value.is_empty()
        && part.len() <= 3
        && part.iter().all(u8::is_ascii_digit);
    let digits = part.iter().chain(std::iter::repeat(&b'0')).take(3);
    let part = digits.fold(0u16, |sum, digit| sum * 10 + u16::from(digit & 0x0f));
    match u16::from(whole == b"1") * 1000 + part {
        q @ 0..=1000 if legal => Ok(q),
        _ => refuse(400, "q is a number from 0 to 1"),
    }
}

/// The Path as a Route of calls to this contact (RFC 3327 §5.3).
fn path_of(message: &Message<'_>) -> Result<Option<Box<str>>, Refusal> {
    let mut path = String::new();
    for (count, value) in message.values(HeaderName::Path).enumerate() {
        let good = NameAddr::parse(value).is_ok_and(|hop| hop.uri.host.is_some());
        let (true, true, Ok(value)) = (good, count < PATHS_MAX, std::str::from_utf8(value)) else {
            return refuse(400, "a Path cannot be read, or there are too many");
        };
        if !path.is_empty() {
            path.push_str(", ");
        }
        path.push_str(value);
    }
    Ok((!path.is_empty()).then(|| path.into()))
}

fn shortened(value: &[u8]) -> Box<str> {
    let value = value.get(..USER_AGENT_MAX).unwrap_or(value);
    let printable = |byte: &u8| (b' '..=b'~').contains(byte);
    let kept = value.iter().filter(|byte| printable(byte));
    kept.map(|&byte| char::from(byte))
        .collect::<String>()
        .into()
}

pub(crate) fn after(now: UnixTime, time: Duration) -> UnixTime {
    UnixTime::from_micros(now.as_micros().saturating_add(time.as_micros() as i64))
}

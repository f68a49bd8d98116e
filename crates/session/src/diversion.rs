//! Who diverted a call: Diversion (RFC 5806) and History-Info (RFC 7044), and one as the other
//! (RFC 7544).
//!
//! Only numbers cross: every entry is read and written anew under our own host. An entry that is
//! no telephone number, or wants to be hidden from a peer outside the trust domain, does not.

use std::fmt;

use ringfence_sip::write::MessageWriter;
use ringfence_sip::{HeaderName, Message, NameAddr, Uri, unescape};

use crate::numbering::{Number, NumberingPlan, NumbersIn, calling_of};
use crate::plan::Peer;
use crate::policy::DiversionPolicy;

/// Diversions that are read; a loop has more.
const DIVERSIONS_MAX: usize = 8;

/// Where the entries came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Diversion,
    HistoryInfo,
}

/// The diversions of a call, the first one first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Diversions {
    kind: Kind,
    entries: Vec<Diverted>,
}

/// One who diverted the call.
#[derive(Clone, Debug)]
struct Diverted {
    number: Number,
    reason: Reason,
    private: bool,
}

/// Why (RFC 5806 §4), and as a cause of RFC 4458 by the table of RFC 7544 §4.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Deflection,
    NoAnswer,
    Unavailable,
    Unconditional,
    Unknown,
    UserBusy,
}

impl Reason {
    const ALL: [Reason; 6] = [
        Reason::Deflection,
        Reason::NoAnswer,
        Reason::Unavailable,
        Reason::Unconditional,
        Reason::Unknown,
        Reason::UserBusy,
    ];

    const fn word(self) -> &'static str {
        match self {
            Reason::Deflection => "deflection",
            Reason::NoAnswer => "no-answer",
            Reason::Unavailable => "unavailable",
            Reason::Unconditional => "unconditional",
            Reason::Unknown => "unknown",
            Reason::UserBusy => "user-busy",
        }
    }

    const fn cause(self) -> u16 {
        match self {
            Reason::Deflection => 480,
            Reason::NoAnswer => 408,
            Reason::Unavailable => 503,
            Reason::Unconditional => 302,
            Reason::Unknown => 404,
            Reason::UserBusy => 486,
        }
    }

    fn of_word(word: &[u8]) -> Reason {
        let word = word.trim_ascii().trim_ascii();
        let word = word.strip_prefix(b"\"").unwrap_or(word);
        let word = word.strip_suffix(b"\"").unwrap_or(word);
        let known = |reason: &Reason| word.eq_ignore_ascii_case(reason.word().as_bytes());
        Reason::ALL
            .into_iter()
            .find(known)
            .unwrap_or(Reason::Unknown)
    }

    fn of_cause(cause: u16) -> Reason {
        let known = |reason: &Reason| reason.cause() == cause;
        match cause {
            487 => Reason::Deflection,
            _ => Reason::ALL
                .into_iter()
                .find(known)
                .unwrap_or(Reason::Unknown),
        }
    }
}

impl Diversions {
    /// Reads what `message` says: Diversion, else History-Info.
    pub(crate) fn read(
        message: &Message<'_>,
        form: NumbersIn,
        plan: Option<&NumberingPlan>,
    ) -> Diversions {
        let number = |uri: &Uri<'_>| telephone(calling_of(uri)?, form, plan);
        let mut entries: Vec<Diverted> = message
            .values(HeaderName::Diversion)
            .take(DIVERSIONS_MAX)
            .filter_map(|value| {
                let name = NameAddr::parse(value).ok()?;
                let reason = name.params.get(b"reason").flatten();
                let privacy = name.params.get(b"privacy").flatten();
                Some(Diverted {
                    number: number(&name.uri)?,
                    reason: reason.map_or(Reason::Unknown, Reason::of_word),
                    private: privacy.is_some_and(|word| !word.eq_ignore_ascii_case(b"off")),
                })
            })
            .collect();
        if !entries.is_empty() {
            // The last one stands at the top (RFC 5806 §5).
            entries.reverse();
            return Diversions {
                kind: Kind::Diversion,
                entries,
            };
        }
        Diversions {
            kind: Kind::HistoryInfo,
            entries: history(message, number),
        }
    }

    /// Writes what `peer` is to be told. `called` is where the call goes now, as written there.
    pub(crate) fn write(
        &self,
        writer: &mut MessageWriter<'_>,
        peer: &Peer,
        plan: Option<&NumberingPlan>,
        called: &str,
        host: &dyn fmt::Display,
    ) {
        let policy = &peer.policy;
        let kind = match policy.diversion {
            DiversionPolicy::Drop => return,
            DiversionPolicy::Diversion => Kind::Diversion,
            DiversionPolicy::HistoryInfo => Kind::HistoryInfo,
            DiversionPolicy::Pass => self.kind,
        };
        let told: Vec<(&Diverted, String)> = self
            .entries
            .iter()
            .filter(|entry| policy.trust || !entry.private)
            .map(|entry| (entry, entry.number.written(policy.numbers_out, plan)))
            .collect();
        match kind {
            Kind::Diversion => {
                for (entry, user) in told.iter().rev() {
                    let privacy = if entry.private { "full" } else { "off" };
                    let reason = entry.reason.word();
                    writer.header_fmt(
                        HeaderName::Diversion,
                        format_args!("<sip:{user}@{host}>;reason={reason};privacy={privacy}"),
                    );
                }
            }
            Kind::HistoryInfo if told.is_empty() => {}
            Kind::HistoryInfo => {
                let mut index = "1".to_owned();
                let mut cause = String::new();
                for (entry, user) in &told {
                    let privacy = if entry.private {
                        "?Privacy=history"
                    } else {
                        ""
                    };
                    writer.header_fmt(
                        HeaderName::HistoryInfo,
                        format_args!("<sip:{user}@{host}{cause}{privacy}>;index={index}"),
                    );
                    cause = format!(";cause={}", entry.reason.cause());
                    index.push_str(".1");
                }
                let before = index.strip_suffix(".1").unwrap_or("1");
                writer.header_fmt(
                    HeaderName::HistoryInfo,
                    format_args!("<sip:{called}@{host}{cause}>;index={index};mp={before}"),
                );
            }
        }
    }
}

/// RFC 7544 §3.2: an entry that says by which cause the call came to it was reached by a diversion
/// of the entry before.
fn history(message: &Message<'_>, number: impl Fn(&Uri<'_>) -> Option<Number>) -> Vec<Diverted> {
    let entries: Vec<NameAddr<'_>> = message
        .values(HeaderName::HistoryInfo)
        .take(DIVERSIONS_MAX + 1)
        .filter_map(|value| NameAddr::parse(value).ok())
        .collect();
    let steps = entries.iter().zip(entries.iter().skip(1));
    steps
        .filter_map(|(from, to)| {
            let cause = to.uri.param(b"cause").flatten().and_then(digits);
            let cause = cause.or_else(|| reason_of(from.uri.headers?));
            let hidden = from.uri.headers.is_some_and(|headers| {
                let headers = headers.to_ascii_lowercase();
                headers
                    .split(|&byte| byte == b'&')
                    .any(|field| field.starts_with(b"privacy=history"))
            });
            Some(Diverted {
                number: number(&from.uri)?,
                reason: Reason::of_cause(cause?),
                private: hidden,
            })
        })
        .collect()
}

/// `Reason=SIP%3Bcause%3D302`: the cause in the headers of a URI (RFC 7044 §10.2).
fn reason_of(headers: &[u8]) -> Option<u16> {
    headers.split(|&byte| byte == b'&').find_map(|field| {
        let (name, value) = field.split_at_checked(7)?;
        let value = unescape(value);
        let is_sip = name.eq_ignore_ascii_case(b"reason=") && value.starts_with(b"SIP");
        let cause = value
            .split(|&byte| byte == b';')
            .find_map(|part| digits(part.trim_ascii().strip_prefix(b"cause=")?));
        cause.filter(|_| is_sip)
    })
}

fn digits(text: &[u8]) -> Option<u16> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A telephone number; names and addresses of the other side are none.
fn telephone(text: String, form: NumbersIn, plan: Option<&NumberingPlan>) -> Option<Number> {
    let is_number = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'+');
    is_number.then(|| Number::read(&text, form, plan))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_and_reasons_are_the_same_rfc7544_4_2() {
        for reason in Reason::ALL {
            assert_eq!(Reason::of_cause(reason.cause()), reason);
            assert_eq!(Reason::of_word(reason.word().as_bytes()), reason);
        }
        assert_eq!(Reason::of_word(b"\"user-busy\""), Reason::UserBusy);
        assert_eq!(Reason::of_word(b"<sip:10.0.0.1>"), Reason::Unknown);
        assert_eq!(reason_of(b"Reason=SIP%3Bcause%3D486"), Some(486));
        assert_eq!(reason_of(b"Reason=Q.850%3Bcause%3D16"), None);
    }
}

//! `WWW-Authenticate` and `Proxy-Authenticate`: what is asked (RFC 7616 §3.3, RFC 8760 §2.4), and
//! the answer of a client (RFC 7616 §3.4).

use std::fmt;

use super::algorithm::Algorithm;
use super::fields::{Fields, is_plain, schemes};
use super::ha1::{Facts, Ha1};
use crate::{HeaderName, Message};

/// Most challenges of one message that are looked at.
pub const CHALLENGES_MAX: usize = 8;

/// A challenge to prove that one knows a password. Its values are as they stand between quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Whose passwords are asked for.
    pub realm: Box<[u8]>,
    /// The server's token; every response is good for this one only.
    pub nonce: Box<[u8]>,
    /// To be sent back as it is.
    pub opaque: Option<Box<[u8]>>,
    /// The hash algorithm.
    pub algorithm: Algorithm,
    /// The `-sess` variant of it.
    pub session: bool,
    /// The response was right but for its nonce: ask again with this one (RFC 7616 §3.3).
    pub stale: bool,
    /// `qop=auth` is offered, so requests are counted. Without it, as in RFC 2069.
    pub qop: bool,
}

/// Why a challenge cannot be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// An algorithm that is not spoken here.
    #[error("the algorithm is unknown")]
    Algorithm,
    /// Unreadable, without a realm or a nonce, or with something in it twice.
    #[error("the challenge is malformed")]
    Malformed,
    /// Only `auth-int` or something unheard of is offered.
    #[error("the quality of protection is not offered here")]
    Qop,
    /// Another scheme than Digest.
    #[error("the scheme is not Digest")]
    Scheme,
}

/// What a client answers a challenge with.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Who it is; only what may stand between quotes as it is ([`is_plain`]).
    pub username: &'a [u8],
    /// The secret in the challenge's realm and under its algorithm.
    pub ha1: &'a Ha1,
    /// The method of the request, as written.
    pub method: &'a [u8],
    /// The Request-URI, as written.
    pub uri: &'a [u8],
    /// The client's own random token: letters and digits.
    pub cnonce: &'a [u8],
    /// How many requests used this nonce, this one counted.
    pub nc: u32,
}

impl Challenge {
    /// A challenge of our own, with `qop="auth"`. `realm` and `nonce` must be plain.
    pub fn new(algorithm: Algorithm, realm: &[u8], nonce: &[u8], stale: bool) -> Challenge {
        Challenge {
            realm: realm.into(),
            nonce: nonce.into(),
            opaque: None,
            algorithm,
            session: false,
            stale,
            qop: true,
        }
    }

    /// The header value in as few bytes as it can be said in: MD5 is what no algorithm means (RFC
    /// 7616 §3.3), and lists need no spaces.
    pub fn compacted(&self) -> String {
        self.text(",", self.algorithm != Algorithm::Md5 || self.session)
    }

    fn text(&self, comma: &str, algorithm: bool) -> String {
        let mut value = Vec::with_capacity(160);
        value.extend_from_slice(b"Digest ");
        quoted(&mut value, "realm", &self.realm);
        quoted(&mut value, &format!("{comma}nonce"), &self.nonce);
        if let Some(opaque) = &self.opaque {
            quoted(&mut value, &format!("{comma}opaque"), opaque);
        }
        let mut text = String::from_utf8_lossy(&value).into_owned();
        if algorithm {
            let session = if self.session { "-sess" } else { "" };
            text.push_str(&format!(
                "{comma}algorithm={}{session}",
                self.algorithm.name()
            ));
        }
        if self.stale {
            text.push_str(&format!("{comma}stale=true"));
        }
        if self.qop {
            text.push_str(&format!("{comma}qop=\"auth\""));
        }
        text
    }

    /// The first challenge in a header value.
    ///
    /// # Errors
    /// See [`ChallengeError`].
    pub fn parse(value: &[u8]) -> Result<Challenge, ChallengeError> {
        let fields = schemes(value).next().ok_or(ChallengeError::Malformed)?;
        Challenge::read(&fields)
    }

    fn read(fields: &Fields<'_>) -> Result<Challenge, ChallengeError> {
        if !fields.is_digest() {
            return Err(ChallengeError::Scheme);
        }
        if fields.broken {
            return Err(ChallengeError::Malformed);
        }
        let (algorithm, session) = match fields.get(b"algorithm") {
            None => (Algorithm::Md5, false),
            Some(name) => Algorithm::parse(name).ok_or(ChallengeError::Algorithm)?,
        };
        let qop = match fields.get(b"qop") {
            None => false,
            Some(offered) => {
                let auth = offered
                    .split(|&byte| byte == b',')
                    .any(|qop| qop.trim_ascii().eq_ignore_ascii_case(b"auth"));
                if !auth {
                    return Err(ChallengeError::Qop);
                }
                true
            }
        };
        let realm = fields.get(b"realm").ok_or(ChallengeError::Malformed)?;
        let nonce = fields.get(b"nonce").ok_or(ChallengeError::Malformed)?;
        Ok(Challenge {
            realm: realm.into(),
            nonce: nonce.into(),
            opaque: fields.get(b"opaque").map(Into::into),
            algorithm,
            session,
            stale: fields
                .get(b"stale")
                .is_some_and(|stale| stale.eq_ignore_ascii_case(b"true")),
            qop,
        })
    }

    /// The same challenge with another nonce: after `nextnonce` (RFC 7616 §3.5).
    pub fn with_nonce(&self, nonce: &[u8]) -> Challenge {
        Challenge {
            nonce: nonce.into(),
            stale: false,
            ..self.clone()
        }
    }

    /// The header value that answers it; `None` when the secret is of another algorithm.
    pub fn answer(&self, answer: &Answer<'_>) -> Option<Vec<u8>> {
        if answer.ha1.algorithm() != self.algorithm {
            return None;
        }
        let nc = format!("{:08x}", answer.nc);
        let response = answer.ha1.response(&Facts {
            session: self.session,
            nonce: &self.nonce,
            cnonce: answer.cnonce,
            nc: self.qop.then_some(nc.as_bytes()),
            method: answer.method,
            uri: answer.uri,
        });
        let mut value = Vec::with_capacity(320);
        value.extend_from_slice(b"Digest ");
        quoted(&mut value, "username", answer.username);
        quoted(&mut value, ", realm", &self.realm);
        quoted(&mut value, ", nonce", &self.nonce);
        quoted(&mut value, ", uri", answer.uri);
        quoted(&mut value, ", response", response.as_bytes());
        value.extend_from_slice(b", algorithm=");
        value.extend_from_slice(self.algorithm.name().as_bytes());
        if self.session {
            value.extend_from_slice(b"-sess");
        }
        if self.qop {
            value.extend_from_slice(b", qop=auth, nc=");
            value.extend_from_slice(nc.as_bytes());
        }
        if self.qop || self.session {
            quoted(&mut value, ", cnonce", answer.cnonce);
        }
        if let Some(opaque) = &self.opaque {
            quoted(&mut value, ", opaque", opaque);
        }
        Some(value)
    }
}

/// The header value of a challenge.
impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(", ", true))
    }
}

/// The strongest challenge of a 401 or 407 that can be answered (RFC 8760 §2.4), and the header
/// that the answer goes into. Among equals the first wins.
///
/// # Errors
/// Why the last challenge cannot be answered, when none can; `Malformed` when there is none.
pub fn strongest(message: &Message<'_>) -> Result<(HeaderName, Challenge), ChallengeError> {
    let (asked, answered) = match message.status().map(|status| status.raw()) {
        Some(407) => (
            HeaderName::ProxyAuthenticate,
            HeaderName::ProxyAuthorization,
        ),
        _ => (HeaderName::WwwAuthenticate, HeaderName::Authorization),
    };
    let mut best: Result<Challenge, ChallengeError> = Err(ChallengeError::Malformed);
    let all = message.headers(asked).flat_map(schemes);
    for fields in all.take(CHALLENGES_MAX) {
        best = match (best, Challenge::read(&fields)) {
            (Ok(best), Ok(other)) if other.algorithm > best.algorithm => Ok(other),
            (Ok(best), _) => Ok(best),
            (Err(_), other) => other,
        };
    }
    best.map(|challenge| (answered, challenge))
}

/// The `nextnonce` of an `Authentication-Info` value (RFC 7616 §3.5).
pub fn next_nonce(value: &[u8]) -> Option<&[u8]> {
    // No scheme here: the reader takes the fields for those of a nameless one.
    let fields = schemes(value).next()?;
    fields.get(b"nextnonce").filter(|nonce| !nonce.is_empty())
}

/// `name="value"`. What came from between quotes stays as it is; a backslash at the end or a bare
/// quote, which only our own side could bring, is left out, so that nothing leaves its quotes.
fn quoted(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    if is_plain(value) {
        out.extend_from_slice(value);
    } else {
        let mut bytes = value.iter().copied();
        while let Some(byte) = bytes.next() {
            match byte {
                b'\\' => match bytes.next() {
                    Some(escaped) if escaped >= b' ' => out.extend_from_slice(&[b'\\', escaped]),
                    _ => {}
                },
                b'"' | 0x7f => {}
                b'\t' | b' '.. => out.push(byte),
                _ => {}
            }
        }
    }
    out.push(b'"');
}

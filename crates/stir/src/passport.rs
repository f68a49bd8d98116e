//! The PASSporT of RFC 8225: a JSON header and JSON claims, written in one order only.
//!
//! §9 wants the keys in lexicographic order without white space, so that the compact form can be
//! made again from a SIP request. The fields below are declared in that order; it matters.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// The protected header (RFC 8225 §4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The algorithm; only `ES256` is accepted (RFC 8225 §6).
    pub alg: String,
    /// The extension: `shaken`, `div`, or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ppt: Option<String>,
    /// Always `passport`.
    pub typ: String,
    /// Where the certificate is.
    pub x5u: String,
}

/// The claims (RFC 8225 §5, RFC 8588 §4, RFC 8946 §3).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// How far the signer answers for the caller; only with `shaken`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attest: Option<Attestation>,
    /// Who is called.
    pub dest: Dest,
    /// Who was called before the diversion; only with `div`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub div: Option<Orig>,
    /// When it was signed, seconds since 1970.
    pub iat: u64,
    /// Who calls.
    pub orig: Orig,
    /// An opaque id of the call's origin, a UUID; only with `shaken`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origid: Option<String>,
}

/// Prints no number and no address.
impl std::fmt::Debug for Claims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claims")
            .field("attest", &self.attest)
            .field("iat", &self.iat)
            .finish_non_exhaustive()
    }
}

/// The attestation level of RFC 8588 §4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Attestation {
    /// Full: the signer knows the customer and that the number is theirs.
    A,
    /// Partial: the signer knows the customer, not the number.
    B,
    /// Gateway: the signer knows only where the call entered.
    C,
}

impl Attestation {
    /// As the claim has it (RFC 8588 §4).
    pub const fn as_str(self) -> &'static str {
        match self {
            Attestation::A => "A",
            Attestation::B => "B",
            Attestation::C => "C",
        }
    }
}

/// One identity: a number or a URI (RFC 8225 §5.2.1).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Orig {
    /// A canonical number.
    Tn(String),
    /// A URI.
    Uri(String),
}

/// The called identities; at least one list is there.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dest {
    /// Canonical numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tn: Vec<String>,
    /// URIs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uri: Vec<String>,
}

impl Header {
    /// A header for ES256.
    pub fn es256(ppt: Option<&str>, x5u: &str) -> Header {
        Header {
            alg: "ES256".to_owned(),
            ppt: ppt.map(str::to_owned),
            typ: "passport".to_owned(),
            x5u: x5u.to_owned(),
        }
    }
}

/// What is signed: both parts in base64url with a dot between (RFC 7515 §5.1). `None` only if a
/// part cannot be written as JSON.
pub fn signing_input(header: &Header, claims: &Claims) -> Option<String> {
    let mut text = URL_SAFE_NO_PAD.encode(serde_json::to_vec(header).ok()?);
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(claims).ok()?, &mut text);
    Some(text)
}

/// A number as RFC 8224 §8.3 compares it: digits, `*` and `#`, without `+` and separators. `None`
/// when something else is in it, or nothing, or more than [`NUMBER_DIGITS_MAX`].
pub fn canonical_number(text: &str) -> Option<String> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let mut digits = String::new();
    for character in text.chars() {
        match character {
            '0'..='9' | '*' | '#' if digits.len() < NUMBER_DIGITS_MAX => digits.push(character),
            '-' | '.' | '(' | ')' | ' ' => {}
            _ => return None,
        }
    }
    (!digits.is_empty()).then_some(digits)
}

/// The longest canonical number.
pub const NUMBER_DIGITS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    /// What is signed in RFC 8225, appendix A, as it is printed there.
    const EXAMPLE: &str = concat!(
        "eyJhbGciOiJFUzI1NiIsInR5cCI6InBhc3Nwb3J0IiwieDV1IjoiaHR0cHM6Ly9j",
        "ZXJ0LmV4YW1wbGUub3JnL3Bhc3Nwb3J0LmNlciJ9.",
        "eyJkZXN0Ijp7InVyaSI6WyJzaXA6YWxpY2VAZXhhbXBsZS5jb20iXX0sImlhdCI",
        "6MTQ3MTM3NTQxOCwib3JpZyI6eyJ0biI6IjEyMTU1NTUxMjEyIn19"
    );

    #[test]
    fn writes_the_example_byte_by_byte_rfc8225_a() {
        let claims = Claims {
            attest: None,
            dest: Dest {
                tn: Vec::new(),
                uri: vec!["sip:alice@example.com".to_owned()],
            },
            div: None,
            iat: 1_471_375_418,
            orig: Orig::Tn("12155551212".to_owned()),
            origid: None,
        };
        let header = Header::es256(None, "https://cert.example.org/passport.cer");
        let input = signing_input(&header, &claims).unwrap();
        assert_eq!(input, EXAMPLE);
    }

    #[test]
    fn numbers_lose_plus_and_separators_rfc8224_8_3() {
        assert_eq!(
            canonical_number("+1 (215) 555-1212").as_deref(),
            Some("12155551212")
        );
        assert_eq!(canonical_number("*67"), Some("*67".to_owned()));
        assert_eq!(canonical_number("alice"), None);
        assert_eq!(canonical_number("+"), None);
        assert_eq!(canonical_number(&"1".repeat(NUMBER_DIGITS_MAX + 1)), None);
    }
}

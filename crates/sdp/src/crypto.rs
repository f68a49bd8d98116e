//! `a=crypto` (RFC 4568): keys in the description, SDES.
//!
//! Nothing here knows ciphers: the suite is a name and the key a text, for the RTP crate to judge.

use std::fmt;

use ringfence_base::Secret;
use thiserror::Error;

use crate::attribute::Attribute;
use crate::text::{Text, first_word, is_token, small_number, words};

/// One `a=crypto` line.
#[derive(Clone, PartialEq, Eq)]
pub struct Crypto {
    /// Which of the offer's lines this is, or answers.
    pub tag: u32,
    /// `AES_CM_128_HMAC_SHA1_80` and so on.
    pub suite: Text,
    key_params: Secret,
    session_params: Text,
}

impl Crypto {
    /// A line with one key: `inline` is what follows `inline:`, so `key||salt` in base64 with an
    /// optional lifetime and MKI after `|`.
    pub fn new(tag: u32, suite: &str, inline: &str) -> Crypto {
        let mut key_params = Vec::with_capacity(INLINE.len() + inline.len());
        key_params.extend_from_slice(INLINE);
        key_params.extend(inline.bytes().filter(|b| b.is_ascii_graphic()));
        Crypto {
            tag,
            suite: Text::from(suite),
            key_params: Secret::new(key_params),
            session_params: Text::default(),
        }
    }

    /// Reads the value of an `a=crypto` attribute (RFC 4568 §9.1).
    pub fn parse(value: &[u8]) -> Result<Crypto, CryptoError> {
        let (tag, rest) = first_word(value);
        let (suite, rest) = first_word(rest);
        let (key_params, session_params) = first_word(rest);
        let tag = Some(tag)
            .filter(|tag| tag.len() <= MAX_TAG_DIGITS)
            .and_then(small_number);
        if !is_token(suite) {
            return Err(CryptoError::Suite);
        }
        for param in key_params.split(|&b| b == b';') {
            let colon = memchr::memchr(b':', param).ok_or(CryptoError::KeyParams)?;
            if !is_token(&param[..colon]) || param.len() == colon + 1 {
                return Err(CryptoError::KeyParams);
            }
        }
        Ok(Crypto {
            tag: tag.ok_or(CryptoError::Tag)?,
            suite: Text::new(suite),
            key_params: Secret::new(key_params.to_vec()),
            session_params: Text::new(session_params),
        })
    }

    /// The keys: what follows each `inline:`.
    pub fn inline_keys(&self) -> impl Iterator<Item = &str> {
        self.key_params
            .expose()
            .split(|&b| b == b';')
            .filter(|param| {
                param
                    .get(..INLINE.len())
                    .is_some_and(|head| head.eq_ignore_ascii_case(INLINE))
            })
            .filter_map(|param| str::from_utf8(&param[INLINE.len()..]).ok())
    }

    /// The session parameters in order (RFC 4568 §6.3).
    pub fn session_params(&self) -> impl Iterator<Item = SessionParam> {
        words(self.session_params.as_bytes()).map(SessionParam::parse)
    }

    /// Whether the line asks for nothing but plain SRTP: no parameter that weakens it or that we
    /// do not know. A line that does must not be chosen (RFC 4568 §6.3.7, §7.1.1).
    pub fn is_acceptable(&self) -> bool {
        self.session_params().all(|param| {
            matches!(
                param,
                SessionParam::WindowSizeHint(_) | SessionParam::Unknown { optional: true }
            )
        })
    }

    /// The attribute that says this.
    pub fn to_attribute(&self) -> Attribute {
        let mut value = Vec::with_capacity(128);
        value.extend_from_slice(self.tag.to_string().as_bytes());
        value.push(b' ');
        value.extend_from_slice(self.suite.as_bytes());
        value.push(b' ');
        value.extend_from_slice(self.key_params.expose());
        if !self.session_params.is_empty() {
            value.push(b' ');
            value.extend_from_slice(self.session_params.as_bytes());
        }
        Attribute::new("crypto", value)
    }
}

/// The key does not print.
impl fmt::Debug for Crypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Crypto({} {:?} … {:?})",
            self.tag, self.suite, self.session_params
        )
    }
}

/// A session parameter of an `a=crypto` line (RFC 4568 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionParam {
    /// `KDR=n`: keys are derived anew every 2^n packets.
    KeyDerivationRate(u8),
    /// `UNENCRYPTED_SRTP`.
    UnencryptedSrtp,
    /// `UNENCRYPTED_SRTCP`.
    UnencryptedSrtcp,
    /// `UNAUTHENTICATED_SRTP`.
    UnauthenticatedSrtp,
    /// `FEC_ORDER=…`.
    FecOrder,
    /// `FEC_KEY=…`.
    FecKey,
    /// `WSH=n`: a replay window of this many packets would do.
    WindowSizeHint(u32),
    /// Something else, which may be ignored only if it began with `-`.
    Unknown {
        /// Whether it began with `-`.
        optional: bool,
    },
}

impl SessionParam {
    fn parse(word: &[u8]) -> SessionParam {
        let value_of = |name: &[u8]| word.strip_prefix(name)?.strip_prefix(b"=");
        match word {
            b"UNENCRYPTED_SRTP" => SessionParam::UnencryptedSrtp,
            b"UNENCRYPTED_SRTCP" => SessionParam::UnencryptedSrtcp,
            b"UNAUTHENTICATED_SRTP" => SessionParam::UnauthenticatedSrtp,
            _ if value_of(b"FEC_ORDER").is_some() => SessionParam::FecOrder,
            _ if value_of(b"FEC_KEY").is_some() => SessionParam::FecKey,
            _ => {
                let rate = value_of(b"KDR")
                    .and_then(small_number)
                    .filter(|&rate| rate <= 24);
                let hint = value_of(b"WSH")
                    .and_then(small_number)
                    .filter(|&hint| hint >= 64);
                match (rate, hint) {
                    (Some(rate), _) => SessionParam::KeyDerivationRate(rate),
                    (_, Some(hint)) => SessionParam::WindowSizeHint(hint),
                    _ => SessionParam::Unknown {
                        optional: word.starts_with(b"-"),
                    },
                }
            }
        }
    }
}

/// Why an `a=crypto` line cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CryptoError {
    /// No key parameters, or one without `method:info`.
    #[error("the key parameters are not method:info")]
    KeyParams,
    /// The suite is missing or no token.
    #[error("the crypto suite is not a token")]
    Suite,
    /// The tag is not one to nine digits.
    #[error("the tag is not a number of at most nine digits")]
    Tag,
}

const INLINE: &[u8] = b"inline:";
const MAX_TAG_DIGITS: usize = 9;

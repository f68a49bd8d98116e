//! Master keys and their SDES form, RFC 4568 §6.1: `inline:<base64 of key and salt>|<lifetime>|<MKI>:<length>`.
//!
//! One key per line; the lists of keys that RFC 4568 allows are refused.

use std::fmt;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ringfence_base::Entropy;
use zeroize::{Zeroize, Zeroizing};

use super::error::KeyError;
use super::suite::Suite;

/// The longest master key identifier that is supported, in bytes.
pub const MAX_MKI_LEN: usize = 4;

const MAX_MASTER_LEN: usize = Suite::AeadAes256Gcm.master_len();
const MAX_LIFETIME: u64 = 1 << 48;
const PREFIX: &[u8] = b"inline:";
/// Peers write GCM keys (28 and 44 bytes) with and without `=`.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A master key with its salt. Never printed by `Debug`, wiped when dropped.
#[derive(Clone)]
pub struct MasterKey {
    bytes: [u8; MAX_MASTER_LEN],
    len: u8,
    mki: Mki,
    lifetime: Option<u64>,
}

/// A master key identifier: the big-endian bytes that each packet carries.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mki {
    bytes: [u8; MAX_MKI_LEN],
    len: u8,
}

impl MasterKey {
    /// A fresh key for `suite`.
    pub fn generate(suite: Suite, entropy: &mut dyn Entropy) -> MasterKey {
        let mut key = MasterKey::empty(suite);
        let len = usize::from(key.len);
        entropy.fill(&mut key.bytes[..len]);
        key
    }

    /// A key from the master key followed by its salt.
    pub fn from_bytes(suite: Suite, bytes: &[u8]) -> Result<MasterKey, KeyError> {
        let mut key = MasterKey::empty(suite);
        let (expected, actual) = (suite.master_len(), bytes.len());
        if actual != expected {
            return Err(KeyError::Length { expected, actual });
        }
        for (to, from) in key.bytes.iter_mut().zip(bytes) {
            *to = *from;
        }
        Ok(key)
    }

    /// A key from the key parameters of a crypto line, with or without `inline:`.
    ///
    /// ```
    /// use ringfence_rtp::srtp::{MasterKey, Suite};
    /// let line = b"inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20|1:4";
    /// let key = MasterKey::from_inline(Suite::AesCm128HmacSha1_80, line)?;
    /// assert_eq!(key.lifetime(), Some(1 << 20));
    /// # Ok::<(), ringfence_rtp::srtp::KeyError>(())
    /// ```
    pub fn from_inline(suite: Suite, text: &[u8]) -> Result<MasterKey, KeyError> {
        let text = text.strip_prefix(PREFIX).unwrap_or(text);
        let mut fields = text.split(|&byte| byte == b'|');
        let mut key = MasterKey::from_base64(suite, fields.next().unwrap_or_default())?;
        let mut field = fields.next();
        if let Some(lifetime) = field
            && !lifetime.contains(&b':')
        {
            key.lifetime = Some(parse_lifetime(lifetime)?);
            field = fields.next();
        }
        if let Some(mki) = field {
            key.mki = Mki::parse(mki)?;
        }
        match fields.next() {
            None => Ok(key),
            Some(_) => Err(KeyError::Syntax),
        }
    }

    /// The key parameters of a crypto line for a key of ours: `inline:` and base64, without lifetime.
    pub fn to_inline(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(72));
        text.push_str("inline:");
        BASE64.encode_string(self.bytes(), &mut text);
        if self.mki.len > 0 {
            let value = self
                .mki
                .bytes()
                .iter()
                .fold(0, |sum, byte| sum << 8 | u32::from(*byte));
            text.push_str(&format!("|{value}:{}", self.mki.len));
        }
        text
    }

    /// Packets that the key's owner wants it used for at most, if the line said so.
    pub fn lifetime(&self) -> Option<u64> {
        self.lifetime
    }

    /// Master key and salt, if they are as long as `suite` wants.
    pub(crate) fn split(&self, suite: Suite) -> Result<(&[u8], &[u8]), KeyError> {
        let (expected, actual) = (suite.master_len(), usize::from(self.len));
        if actual != expected {
            return Err(KeyError::Length { expected, actual });
        }
        self.bytes()
            .split_at_checked(suite.key_len())
            .ok_or(KeyError::Length { expected, actual })
    }

    pub(crate) fn mki(&self) -> Mki {
        self.mki
    }

    fn empty(suite: Suite) -> MasterKey {
        let len = suite.master_len() as u8;
        MasterKey {
            bytes: [0; MAX_MASTER_LEN],
            len,
            mki: Mki::default(),
            lifetime: None,
        }
    }

    fn from_base64(suite: Suite, text: &[u8]) -> Result<MasterKey, KeyError> {
        if text.contains(&b';') {
            return Err(KeyError::Syntax);
        }
        let mut bytes = Zeroizing::new([0; MAX_MASTER_LEN + 4]);
        let too_long = KeyError::Length {
            expected: suite.master_len(),
            actual: text.len() / 4 * 3,
        };
        let len = BASE64
            .decode_slice(text, &mut bytes[..])
            .map_err(|error| match error {
                base64::DecodeSliceError::DecodeError(_) => KeyError::Base64,
                base64::DecodeSliceError::OutputSliceTooSmall => too_long,
            })?;
        MasterKey::from_bytes(suite, bytes.get(..len).unwrap_or_default())
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl Drop for MasterKey {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

impl Mki {
    /// The bytes that a packet carries; none if no identifier was agreed on.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Parses `<value>:<length>`.
    fn parse(text: &[u8]) -> Result<Mki, KeyError> {
        let mut halves = text.splitn(2, |&byte| byte == b':');
        let value = decimal(halves.next().unwrap_or_default()).ok_or(KeyError::Mki)?;
        let len = decimal(halves.next().unwrap_or_default()).ok_or(KeyError::Mki)?;
        if !(1..=MAX_MKI_LEN as u64).contains(&len) || value >> (8 * len) != 0 {
            return Err(KeyError::Mki);
        }
        let shifted = (value as u32) << (8 * (MAX_MKI_LEN as u64 - len));
        Ok(Mki {
            bytes: shifted.to_be_bytes(),
            len: len as u8,
        })
    }
}

/// Parses `2^<exponent>` or a number of packets.
fn parse_lifetime(text: &[u8]) -> Result<u64, KeyError> {
    let packets = match text.strip_prefix(b"2^") {
        Some(exponent) => decimal(exponent)
            .filter(|&exponent| exponent <= 48)
            .map(|exponent| 1 << exponent),
        None => decimal(text),
    };
    packets
        .filter(|packets| (1..=MAX_LIFETIME).contains(packets))
        .ok_or(KeyError::Lifetime)
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ringfence_base::entropy::SeededEntropy;

    use super::*;

    const CM: Suite = Suite::AesCm128HmacSha1_80;
    const KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

    #[track_caller]
    fn check(text: &str, expected: Result<(Option<u64>, &[u8]), KeyError>) {
        let key = MasterKey::from_inline(CM, text.as_bytes());
        let actual = key
            .as_ref()
            .map(|key| (key.lifetime, key.mki.bytes()))
            .map_err(|e| *e);
        assert_eq!(actual, expected);
    }

    #[test]
    fn reads_the_inline_key_rfc4568_6_1() {
        check(KEY, Ok((None, &[])));
        check(&format!("inline:{KEY}"), Ok((None, &[])));
        check(&format!("inline:{KEY}|2^20"), Ok((Some(1 << 20), &[])));
        check(&format!("inline:{KEY}|1048576"), Ok((Some(1 << 20), &[])));
        check(
            &format!("inline:{KEY}|2^31|1:4"),
            Ok((Some(1 << 31), &[0, 0, 0, 1])),
        );
        check(&format!("inline:{KEY}|1:1"), Ok((None, &[1])));
        check(&format!("inline:{KEY}|258:2"), Ok((None, &[1, 2])));
    }

    #[test]
    fn refuses_what_it_cannot_honour() {
        check(
            "inline:",
            Err(KeyError::Length {
                expected: 30,
                actual: 0,
            }),
        );
        check(
            "inline:AAAA",
            Err(KeyError::Length {
                expected: 30,
                actual: 3,
            }),
        );
        check("inline:*", Err(KeyError::Base64));
        check(
            &"A".repeat(400),
            Err(KeyError::Length {
                expected: 30,
                actual: 300,
            }),
        );
        check(&format!("inline:{KEY}|"), Err(KeyError::Lifetime));
        check(&format!("inline:{KEY}|0"), Err(KeyError::Lifetime));
        check(&format!("inline:{KEY}|2^49"), Err(KeyError::Lifetime));
        check(&format!("inline:{KEY}|2^31|1"), Err(KeyError::Mki));
        check(&format!("inline:{KEY}|1:5"), Err(KeyError::Mki));
        check(&format!("inline:{KEY}|1:0"), Err(KeyError::Mki));
        check(&format!("inline:{KEY}|256:1"), Err(KeyError::Mki));
        check(&format!("inline:{KEY}|1:1|x"), Err(KeyError::Syntax));
        check(&format!("inline:{KEY};inline:{KEY}"), Err(KeyError::Syntax));
    }

    #[test]
    fn gcm_keys_come_with_and_without_padding_rfc7714_14_2() {
        let key = MasterKey::generate(Suite::AeadAes256Gcm, &mut SeededEntropy::new(3));
        let text = key.to_inline();
        assert_eq!(text.len(), "inline:".len() + 60);
        for text in [text.as_str(), text.trim_end_matches('=')] {
            let again = MasterKey::from_inline(Suite::AeadAes256Gcm, text.as_bytes()).unwrap();
            assert_eq!(again.bytes(), key.bytes());
        }
    }

    #[test]
    fn is_never_printed() {
        let key = MasterKey::generate(CM, &mut SeededEntropy::new(3));
        assert_eq!(format!("{key:?}"), "MasterKey(…)");
    }

    #[test]
    fn a_key_of_another_suite_is_refused() {
        let key = MasterKey::generate(CM, &mut SeededEntropy::new(3));
        let error = key.split(Suite::AeadAes128Gcm).unwrap_err();
        assert_eq!(
            error,
            KeyError::Length {
                expected: 28,
                actual: 30
            }
        );
    }

    proptest! {
        #[test]
        fn writes_what_it_reads(bytes in prop::collection::vec(any::<u8>(), 30), mki: Option<u32>) {
            let mut key = MasterKey::from_bytes(CM, &bytes).unwrap();
            if let Some(value) = mki {
                key.mki = Mki::parse(format!("{value}:4").as_bytes()).unwrap();
            }
            let again = MasterKey::from_inline(CM, key.to_inline().as_bytes()).unwrap();
            prop_assert_eq!(again.bytes(), key.bytes());
            prop_assert!(again.mki == key.mki);
        }

        #[test]
        fn any_text_is_a_key_or_refused(text in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = MasterKey::from_inline(CM, &text);
        }
    }
}

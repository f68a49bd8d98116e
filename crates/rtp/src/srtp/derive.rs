//! AES in counter mode and the key derivation built on it, RFC 3711 §4.3 (AES-256: RFC 6188 §3), with
//! a derivation rate of zero: session keys are derived once.

use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::iv::FixedLength;

/// Bytes of salt in counter mode.
pub(crate) const SALT_LEN: usize = 14;

/// What a session key is for, RFC 3711 §4.3.2.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Label {
    RtpEncryption = 0,
    RtpAuthentication = 1,
    RtpSalt = 2,
    RtcpEncryption = 3,
    RtcpAuthentication = 4,
    RtcpSalt = 5,
}

/// AES in counter mode under one key.
pub(crate) struct CounterMode(EncryptingKey);

impl CounterMode {
    /// Schedules a key of 16 or 32 bytes.
    pub(crate) fn new(key: &[u8]) -> Result<CounterMode, Unspecified> {
        let algorithm = if key.len() == 32 { &AES_256 } else { &AES_128 };
        Ok(CounterMode(EncryptingKey::ctr(UnboundCipherKey::new(
            algorithm, key,
        )?)?))
    }

    /// Encrypts or decrypts in place. The block counter is the last two bytes of `iv`.
    #[inline]
    pub(crate) fn apply(&self, iv: [u8; 16], data: &mut [u8]) -> Result<(), Unspecified> {
        self.0
            .less_safe_encrypt(data, EncryptionContext::Iv128(FixedLength::from(iv)))?;
        Ok(())
    }
}

/// Derives session keys from a master key and its salt.
pub(crate) struct Derivation {
    prf: CounterMode,
    salt: [u8; SALT_LEN],
}

impl Derivation {
    /// The salt may be shorter than 14 bytes (GCM's has 12): it is padded with zeros on the right,
    /// RFC 7714 §11.
    pub(crate) fn new(master_key: &[u8], master_salt: &[u8]) -> Result<Derivation, Unspecified> {
        let mut salt = [0; SALT_LEN];
        for (to, from) in salt.iter_mut().zip(master_salt) {
            *to = *from;
        }
        Ok(Derivation {
            prf: CounterMode::new(master_key)?,
            salt,
        })
    }

    /// The first `N` bytes for this label.
    pub(crate) fn derive<const N: usize>(&self, label: Label) -> Result<[u8; N], Unspecified> {
        let mut out = [0; N];
        self.derive_into(label, &mut out)?;
        Ok(out)
    }

    /// Fills `out`, which must be zero, for this label.
    pub(crate) fn derive_into(&self, label: Label, out: &mut [u8]) -> Result<(), Unspecified> {
        let mut iv = [0; 16];
        iv[..SALT_LEN].copy_from_slice(&self.salt);
        iv[7] ^= label as u8;
        self.prf.apply(iv, out)
    }
}

impl Drop for Derivation {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.salt);
    }
}

#[cfg(test)]
mod tests {
    use super::super::hex::bytes;
    use super::*;

    #[test]
    fn session_keys_of_aes_cm_rfc3711_b_3() {
        let keys = Derivation::new(
            &bytes("e1f97a0d3e018be0d64fa32c06de4139"),
            &bytes("0ec675ad498afeebb6960b3aabe6"),
        )
        .unwrap();
        let encryption: [u8; 16] = keys.derive(Label::RtpEncryption).unwrap();
        let salt: [u8; 14] = keys.derive(Label::RtpSalt).unwrap();
        let authentication: [u8; 94] = keys.derive(Label::RtpAuthentication).unwrap();
        assert_eq!(encryption[..], bytes("c61e7a93744f39ee10734afe3ff7a087"));
        assert_eq!(salt[..], bytes("30cbbc08863d8c85d49db34a9ae1"));
        let expected = "cebe321f6ff7716b6fd4ab49af256a156d38baa48f0a0acf3c34e2359e6cdbce\
            e049646c43d9327ad175578ef72270986371c10c9a369ac2f94a8c5fbcdddc25\
            6d6e919a48b610ef17c2041e474035766b68642c59bbfc2f34db60dbdfb2dc68";
        assert_eq!(authentication[..], bytes(expected)[..94]);
    }
}

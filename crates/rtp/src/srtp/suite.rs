//! The crypto suites, by their SDES names (RFC 4568 §6.2, RFC 7714 §14.2).

use std::fmt;

/// A crypto suite. Ordered by preference, the strongest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Suite {
    /// AES-CM with an HMAC-SHA1 tag of 32 bits on RTP (80 bits on RTCP).
    AesCm128HmacSha1_32,
    /// AES-CM with an HMAC-SHA1 tag of 80 bits.
    AesCm128HmacSha1_80,
    /// AES-128-GCM with a tag of 128 bits.
    AeadAes128Gcm,
    /// AES-256-GCM with a tag of 128 bits.
    AeadAes256Gcm,
}

impl Suite {
    /// Every suite, the preferred first.
    pub const ALL: [Suite; 4] = [
        Suite::AeadAes256Gcm,
        Suite::AeadAes128Gcm,
        Suite::AesCm128HmacSha1_80,
        Suite::AesCm128HmacSha1_32,
    ];

    /// The suite of this SDES name. Names compare exactly (RFC 4568 §9.1 takes them as tokens).
    pub fn parse(name: &[u8]) -> Option<Suite> {
        Suite::ALL
            .into_iter()
            .find(|suite| suite.name().as_bytes() == name)
    }

    /// The SDES name.
    pub const fn name(self) -> &'static str {
        match self {
            Suite::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Suite::AeadAes256Gcm => "AEAD_AES_256_GCM",
            Suite::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Suite::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
        }
    }

    /// Bytes of master key, and of each session encryption key.
    pub const fn key_len(self) -> usize {
        match self {
            Suite::AeadAes128Gcm | Suite::AesCm128HmacSha1_32 | Suite::AesCm128HmacSha1_80 => 16,
            Suite::AeadAes256Gcm => 32,
        }
    }

    /// Bytes of master salt, and of each session salt.
    pub const fn salt_len(self) -> usize {
        match self {
            Suite::AeadAes128Gcm | Suite::AeadAes256Gcm => 12,
            Suite::AesCm128HmacSha1_32 | Suite::AesCm128HmacSha1_80 => 14,
        }
    }

    /// Bytes of master key and salt: what the base64 of an `inline:` key holds.
    pub const fn master_len(self) -> usize {
        self.key_len() + self.salt_len()
    }

    /// Bytes that protecting an RTP packet adds, without MKI.
    pub const fn rtp_tag_len(self) -> usize {
        match self {
            Suite::AeadAes128Gcm | Suite::AeadAes256Gcm => 16,
            Suite::AesCm128HmacSha1_32 => 4,
            Suite::AesCm128HmacSha1_80 => 10,
        }
    }

    /// Bytes of tag of an RTCP packet; its index adds four more.
    pub const fn rtcp_tag_len(self) -> usize {
        match self {
            Suite::AeadAes128Gcm | Suite::AeadAes256Gcm => 16,
            Suite::AesCm128HmacSha1_32 | Suite::AesCm128HmacSha1_80 => 10,
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back_rfc4568_6_2() {
        for suite in Suite::ALL {
            assert_eq!(Suite::parse(suite.name().as_bytes()), Some(suite));
        }
        assert_eq!(Suite::parse(b"AES_CM_128_NULL_AUTH"), None);
        assert_eq!(Suite::parse(b"aead_aes_128_gcm"), None);
    }

    #[test]
    fn the_short_tag_is_for_rtp_only_rfc4568_6_2_2() {
        assert_eq!(Suite::AesCm128HmacSha1_32.rtp_tag_len(), 4);
        assert_eq!(Suite::AesCm128HmacSha1_32.rtcp_tag_len(), 10);
    }

    #[test]
    fn all_is_ordered_by_preference() {
        assert!(Suite::ALL.is_sorted_by(|a, b| a > b));
    }
}

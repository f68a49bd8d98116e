//! The two families of transforms, and what they have in common.
//!
//! RTP keys are kept scheduled. RTCP keys are kept as bytes and scheduled per packet: a stream has one
//! RTCP packet every few seconds, and a schedule is half a kilobyte of a call's memory all the time.

use aws_lc_rs::error::Unspecified;

use super::aes_cm::AesCm;
use super::aes_gcm::AesGcm;
use super::derive::Derivation;
use super::error::{KeyError, SrtpError};
use super::hmac::TAG_LEN;
use super::key::MasterKey;
use super::suite::Suite;

/// RTCP's fixed header: what stays in the clear, RFC 3711 §3.4.
pub(crate) const RTCP_HEADER_LEN: usize = 8;

/// The session keys of one direction.
pub(crate) enum Transform {
    AesCm(Box<AesCm>),
    AesGcm(Box<AesGcm>),
}

/// A tag: the first bytes count, as many as the suite says.
pub(crate) type Tag = [u8; TAG_LEN];

/// Which packet of which source: what makes nonces unique.
#[derive(Clone, Copy)]
pub(crate) struct PacketId {
    pub(crate) ssrc: u32,
    /// RTP: roll-over counter and sequence number, 48 bits. RTCP: the index, 31 bits.
    pub(crate) index: u64,
}

impl Transform {
    /// Derives the session keys.
    pub(crate) fn new(suite: Suite, key: &MasterKey) -> Result<Transform, KeyError> {
        let (master_key, master_salt) = key.split(suite)?;
        let keys = Derivation::new(master_key, master_salt).map_err(|_| KeyError::Cipher)?;
        match suite {
            Suite::AeadAes128Gcm | Suite::AeadAes256Gcm => {
                AesGcm::new(&keys, suite.key_len()).map(|gcm| Transform::AesGcm(Box::new(gcm)))
            }
            Suite::AesCm128HmacSha1_32 | Suite::AesCm128HmacSha1_80 => {
                AesCm::new(&keys).map(|cm| Transform::AesCm(Box::new(cm)))
            }
        }
        .map_err(|Unspecified| KeyError::Cipher)
    }

    /// Encrypts an RTP packet in place and gives its tag.
    #[inline]
    pub(crate) fn seal_rtp(
        &self,
        id: PacketId,
        packet: &mut [u8],
        header_len: usize,
    ) -> Result<Tag, SrtpError> {
        match self {
            Transform::AesCm(cm) => cm.seal_rtp(id, packet, header_len),
            Transform::AesGcm(gcm) => gcm.seal_rtp(id, packet, header_len),
        }
    }

    /// Verifies an RTP packet against its tag and decrypts it in place.
    #[inline]
    pub(crate) fn open_rtp(
        &self,
        id: PacketId,
        packet: &mut [u8],
        header_len: usize,
        tag: &[u8],
    ) -> Result<(), SrtpError> {
        match self {
            Transform::AesCm(cm) => cm.open_rtp(id, packet, header_len, tag),
            Transform::AesGcm(gcm) => gcm.open_rtp(id, packet, header_len, tag),
        }
    }

    /// Encrypts an RTCP packet in place and gives its tag; `word` is the E flag and the index.
    pub(crate) fn seal_rtcp(
        &self,
        id: PacketId,
        packet: &mut [u8],
        word: [u8; 4],
    ) -> Result<Tag, SrtpError> {
        match self {
            Transform::AesCm(cm) => cm.seal_rtcp(id, packet, word),
            Transform::AesGcm(gcm) => gcm.seal_rtcp(id, packet, word),
        }
    }

    /// Verifies an RTCP packet against its tag and decrypts it in place.
    pub(crate) fn open_rtcp(
        &self,
        id: PacketId,
        packet: &mut [u8],
        word: [u8; 4],
        tag: &[u8],
    ) -> Result<(), SrtpError> {
        match self {
            Transform::AesCm(cm) => cm.open_rtcp(id, packet, word, tag),
            Transform::AesGcm(gcm) => gcm.open_rtcp(id, packet, word, tag),
        }
    }
}

/// The cipher refused to run: it never should.
pub(super) fn cipher(_: Unspecified) -> SrtpError {
    SrtpError::Cipher
}

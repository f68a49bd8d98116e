//! The two families of transforms: AES-CM with HMAC-SHA1 (RFC 3711 §4) and AES-GCM (RFC 7714 §8, §9).
//!
//! RTP keys are kept scheduled. RTCP keys are kept as bytes and scheduled per packet: a stream has one
//! RTCP packet every few seconds, and a schedule is half a kilobyte of a call's memory all the time.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::error::Unspecified;
use zeroize::Zeroize;

use super::derive::{CounterMode, Derivation, Label, SALT_LEN};
use super::error::{KeyError, SrtpError};
use super::hmac::{HmacSha1, TAG_LEN};
use super::key::MasterKey;
use super::suite::Suite;

const GCM_SALT_LEN: usize = 12;
const GCM_TAG_LEN: usize = 16;
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

/// AES-128 in counter mode with HMAC-SHA1.
pub(crate) struct AesCm {
    rtp: CounterMode,
    rtp_auth: HmacSha1,
    rtp_salt: [u8; SALT_LEN],
    rtcp_key: [u8; 16],
    rtcp_auth: HmacSha1,
    rtcp_salt: [u8; SALT_LEN],
}

impl AesCm {
    fn new(keys: &Derivation) -> Result<AesCm, Unspecified> {
        let mut rtp_key: [u8; 16] = keys.derive(Label::RtpEncryption)?;
        let mut rtp_auth = keys.derive(Label::RtpAuthentication)?;
        let mut rtcp_auth = keys.derive(Label::RtcpAuthentication)?;
        let transform = AesCm {
            rtp: CounterMode::new(&rtp_key)?,
            rtp_auth: HmacSha1::new(&rtp_auth),
            rtp_salt: keys.derive(Label::RtpSalt)?,
            rtcp_key: keys.derive(Label::RtcpEncryption)?,
            rtcp_auth: HmacSha1::new(&rtcp_auth),
            rtcp_salt: keys.derive(Label::RtcpSalt)?,
        };
        rtp_key.zeroize();
        rtp_auth.zeroize();
        rtcp_auth.zeroize();
        Ok(transform)
    }

    #[inline]
    fn seal_rtp(&self, id: PacketId, packet: &mut [u8], header: usize) -> Result<Tag, SrtpError> {
        let payload = packet.get_mut(header..).ok_or(SrtpError::TooShort)?;
        self.rtp
            .apply(counter_iv(&self.rtp_salt, id), payload)
            .map_err(cipher)?;
        Ok(self.rtp_auth.tag(packet, roll_over_counter(id)))
    }

    #[inline]
    fn open_rtp(
        &self,
        id: PacketId,
        packet: &mut [u8],
        header: usize,
        tag: &[u8],
    ) -> Result<(), SrtpError> {
        verify(&self.rtp_auth.tag(packet, roll_over_counter(id)), tag)?;
        let payload = packet.get_mut(header..).ok_or(SrtpError::TooShort)?;
        self.rtp
            .apply(counter_iv(&self.rtp_salt, id), payload)
            .map_err(cipher)
    }

    fn seal_rtcp(&self, id: PacketId, packet: &mut [u8], word: [u8; 4]) -> Result<Tag, SrtpError> {
        self.apply_rtcp(id, packet)?;
        Ok(self.rtcp_auth.tag(packet, word))
    }

    fn open_rtcp(
        &self,
        id: PacketId,
        packet: &mut [u8],
        word: [u8; 4],
        tag: &[u8],
    ) -> Result<(), SrtpError> {
        verify(&self.rtcp_auth.tag(packet, word), tag)?;
        self.apply_rtcp(id, packet)
    }

    fn apply_rtcp(&self, id: PacketId, packet: &mut [u8]) -> Result<(), SrtpError> {
        let payload = packet
            .get_mut(RTCP_HEADER_LEN..)
            .ok_or(SrtpError::TooShort)?;
        let key = CounterMode::new(&self.rtcp_key).map_err(cipher)?;
        key.apply(counter_iv(&self.rtcp_salt, id), payload)
            .map_err(cipher)
    }
}

impl Drop for AesCm {
    fn drop(&mut self) {
        self.rtp_salt.zeroize();
        self.rtcp_key.zeroize();
        self.rtcp_salt.zeroize();
    }
}

/// AES-GCM with a key of 128 or 256 bits.
pub(crate) struct AesGcm {
    rtp: LessSafeKey,
    rtp_salt: [u8; GCM_SALT_LEN],
    rtcp_salt: [u8; GCM_SALT_LEN],
    key_len: u8,
    rtcp_key: [u8; 32],
}

impl AesGcm {
    fn new(keys: &Derivation, key_len: usize) -> Result<AesGcm, Unspecified> {
        let mut rtp_key = [0; 32];
        let mut rtcp_key = [0; 32];
        keys.derive_into(
            Label::RtpEncryption,
            rtp_key.get_mut(..key_len).ok_or(Unspecified)?,
        )?;
        keys.derive_into(
            Label::RtcpEncryption,
            rtcp_key.get_mut(..key_len).ok_or(Unspecified)?,
        )?;
        let transform = AesGcm {
            rtp: gcm_key(&rtp_key, key_len)?,
            rtp_salt: keys.derive(Label::RtpSalt)?,
            rtcp_salt: keys.derive(Label::RtcpSalt)?,
            key_len: key_len as u8,
            rtcp_key,
        };
        rtp_key.zeroize();
        Ok(transform)
    }

    #[inline]
    fn seal_rtp(&self, id: PacketId, packet: &mut [u8], header: usize) -> Result<Tag, SrtpError> {
        let (header, payload) = packet
            .split_at_mut_checked(header)
            .ok_or(SrtpError::TooShort)?;
        seal(
            &self.rtp,
            gcm_rtp_nonce(&self.rtp_salt, id),
            header,
            payload,
        )
    }

    #[inline]
    fn open_rtp(
        &self,
        id: PacketId,
        packet: &mut [u8],
        header: usize,
        tag: &[u8],
    ) -> Result<(), SrtpError> {
        let (header, payload) = packet
            .split_at_mut_checked(header)
            .ok_or(SrtpError::TooShort)?;
        open(
            &self.rtp,
            gcm_rtp_nonce(&self.rtp_salt, id),
            header,
            payload,
            tag,
        )
    }

    fn seal_rtcp(&self, id: PacketId, packet: &mut [u8], word: [u8; 4]) -> Result<Tag, SrtpError> {
        let key = gcm_key(&self.rtcp_key, usize::from(self.key_len)).map_err(cipher)?;
        let (header, payload) = packet.split_first_chunk_mut().ok_or(SrtpError::TooShort)?;
        let nonce = gcm_rtcp_nonce(&self.rtcp_salt, id);
        seal(&key, nonce, &gcm_rtcp_aad(header, word), payload)
    }

    fn open_rtcp(
        &self,
        id: PacketId,
        packet: &mut [u8],
        word: [u8; 4],
        tag: &[u8],
    ) -> Result<(), SrtpError> {
        let key = gcm_key(&self.rtcp_key, usize::from(self.key_len)).map_err(cipher)?;
        let (header, payload) = packet.split_first_chunk_mut().ok_or(SrtpError::TooShort)?;
        let nonce = gcm_rtcp_nonce(&self.rtcp_salt, id);
        open(&key, nonce, &gcm_rtcp_aad(header, word), payload, tag)
    }
}

impl Drop for AesGcm {
    fn drop(&mut self) {
        self.rtp_salt.zeroize();
        self.rtcp_key.zeroize();
        self.rtcp_salt.zeroize();
    }
}

/// RFC 3711 §4.1.1: salt * 2^16 XOR SSRC * 2^64 XOR index * 2^16.
#[inline]
fn counter_iv(salt: &[u8; SALT_LEN], id: PacketId) -> [u8; 16] {
    let mut salt_block = [0; 16];
    salt_block[..SALT_LEN].copy_from_slice(salt);
    let packet = u128::from(id.ssrc) << 64 | u128::from(id.index) << 16;
    (u128::from_be_bytes(salt_block) ^ packet).to_be_bytes()
}

/// The upper 32 bits of the index: what the tag covers beyond the packet, RFC 3711 §4.2.
#[inline]
fn roll_over_counter(id: PacketId) -> [u8; 4] {
    ((id.index >> 16) as u32).to_be_bytes()
}

/// RFC 7714 §8.1: zeros, SSRC, roll-over counter and sequence number, XOR salt.
#[inline]
fn gcm_rtp_nonce(salt: &[u8; GCM_SALT_LEN], id: PacketId) -> Nonce {
    gcm_nonce(salt, u128::from(id.ssrc) << 48 | u128::from(id.index))
}

/// RFC 7714 §9.1: zeros, SSRC, zeros, index, XOR salt: the same layout, as the index has 31 bits.
fn gcm_rtcp_nonce(salt: &[u8; GCM_SALT_LEN], id: PacketId) -> Nonce {
    gcm_nonce(salt, u128::from(id.ssrc) << 48 | u128::from(id.index))
}

#[inline]
fn gcm_nonce(salt: &[u8; GCM_SALT_LEN], packet: u128) -> Nonce {
    let mut nonce = *salt;
    for (byte, packet_byte) in nonce.iter_mut().zip(&packet.to_be_bytes()[4..]) {
        *byte ^= packet_byte;
    }
    Nonce::assume_unique_for_key(nonce)
}

/// RFC 7714 §9.2: the fixed header, then the E flag and the index.
fn gcm_rtcp_aad(header: &[u8; RTCP_HEADER_LEN], word: [u8; 4]) -> [u8; RTCP_HEADER_LEN + 4] {
    let mut aad = [0; RTCP_HEADER_LEN + 4];
    aad[..RTCP_HEADER_LEN].copy_from_slice(header);
    aad[RTCP_HEADER_LEN..].copy_from_slice(&word);
    aad
}

fn gcm_key(key: &[u8; 32], len: usize) -> Result<LessSafeKey, Unspecified> {
    let algorithm = if len == 32 {
        &AES_256_GCM
    } else {
        &AES_128_GCM
    };
    Ok(LessSafeKey::new(UnboundKey::new(
        algorithm,
        key.get(..len).ok_or(Unspecified)?,
    )?))
}

#[inline]
fn seal(key: &LessSafeKey, nonce: Nonce, aad: &[u8], payload: &mut [u8]) -> Result<Tag, SrtpError> {
    let sealed = key
        .seal_in_place_separate_tag(nonce, Aad::from(aad), payload)
        .map_err(cipher)?;
    let mut tag = [0; TAG_LEN];
    for (to, from) in tag.iter_mut().zip(sealed.as_ref()) {
        *to = *from;
    }
    Ok(tag)
}

#[inline]
fn open(
    key: &LessSafeKey,
    nonce: Nonce,
    aad: &[u8],
    payload: &mut [u8],
    tag: &[u8],
) -> Result<(), SrtpError> {
    // A shorter tag would be accepted with less proof.
    if tag.len() != GCM_TAG_LEN {
        return Err(SrtpError::TooShort);
    }
    key.open_in_place_separate_tag(nonce, Aad::from(aad), tag, payload)
        .map_err(|_| SrtpError::AuthFailed)?;
    Ok(())
}

/// Compares in constant time as many bytes as the packet's tag has.
#[inline]
fn verify(expected: &Tag, tag: &[u8]) -> Result<(), SrtpError> {
    let expected = expected.get(..tag.len()).ok_or(SrtpError::AuthFailed)?;
    verify_slices_are_equal(expected, tag).map_err(|_| SrtpError::AuthFailed)
}

fn cipher(_: Unspecified) -> SrtpError {
    SrtpError::Cipher
}

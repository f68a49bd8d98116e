//! AES-GCM with a key of 128 or 256 bits, RFC 7714 §8 and §9.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use zeroize::Zeroize;

use super::derive::{Derivation, Label};
use super::error::SrtpError;
use super::hmac::TAG_LEN;
use super::transform::{PacketId, RTCP_HEADER_LEN, Tag, cipher};

const GCM_SALT_LEN: usize = 12;
const GCM_TAG_LEN: usize = 16;

/// AES-GCM with a key of 128 or 256 bits.
pub(crate) struct AesGcm {
    rtp: LessSafeKey,
    rtp_salt: [u8; GCM_SALT_LEN],
    rtcp_salt: [u8; GCM_SALT_LEN],
    key_len: u8,
    rtcp_key: [u8; 32],
}

impl AesGcm {
    pub(super) fn new(keys: &Derivation, key_len: usize) -> Result<AesGcm, Unspecified> {
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
        let salts = (keys.derive(Label::RtpSalt)?, keys.derive(Label::RtcpSalt)?);
        let transform = AesGcm::from_session_keys(&rtp_key, rtcp_key, salts, key_len);
        rtp_key.zeroize();
        rtcp_key.zeroize();
        transform
    }

    /// From session keys, RTP's and RTCP's, of which the first `key_len` bytes count, and salts.
    fn from_session_keys(
        rtp_key: &[u8; 32],
        rtcp_key: [u8; 32],
        (rtp_salt, rtcp_salt): ([u8; GCM_SALT_LEN], [u8; GCM_SALT_LEN]),
        key_len: usize,
    ) -> Result<AesGcm, Unspecified> {
        let rtp = gcm_key(rtp_key, key_len)?;
        Ok(AesGcm {
            rtp,
            rtp_salt,
            rtcp_salt,
            key_len: key_len as u8,
            rtcp_key,
        })
    }

    #[inline]
    pub(super) fn seal_rtp(
        &self,
        id: PacketId,
        packet: &mut [u8],
        header: usize,
    ) -> Result<Tag, SrtpError> {
        let (header, payload) = packet
            .split_at_mut_checked(header)
            .ok_or(SrtpError::TooShort)?;
        seal(&self.rtp, gcm_nonce(&self.rtp_salt, id), header, payload)
    }

    #[inline]
    pub(super) fn open_rtp(
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
            gcm_nonce(&self.rtp_salt, id),
            header,
            payload,
            tag,
        )
    }

    pub(super) fn seal_rtcp(
        &self,
        id: PacketId,
        packet: &mut [u8],
        word: [u8; 4],
    ) -> Result<Tag, SrtpError> {
        let key = gcm_key(&self.rtcp_key, usize::from(self.key_len)).map_err(cipher)?;
        let (header, payload) = packet.split_first_chunk_mut().ok_or(SrtpError::TooShort)?;
        let nonce = gcm_nonce(&self.rtcp_salt, id);
        seal(&key, nonce, &gcm_rtcp_aad(header, word), payload)
    }

    pub(super) fn open_rtcp(
        &self,
        id: PacketId,
        packet: &mut [u8],
        word: [u8; 4],
        tag: &[u8],
    ) -> Result<(), SrtpError> {
        let key = gcm_key(&self.rtcp_key, usize::from(self.key_len)).map_err(cipher)?;
        let (header, payload) = packet.split_first_chunk_mut().ok_or(SrtpError::TooShort)?;
        let nonce = gcm_nonce(&self.rtcp_salt, id);
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

/// RFC 7714 §8.1: zeros, SSRC, roll-over counter and sequence number, XOR salt. §9.1 puts the SRTCP
/// index in the same place, with zeros above its 31 bits.
#[inline]
fn gcm_nonce(salt: &[u8; GCM_SALT_LEN], id: PacketId) -> Nonce {
    let packet = u128::from(id.ssrc) << 48 | u128::from(id.index);
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

#[cfg(test)]
mod tests {
    use super::super::hex::bytes;
    use super::*;

    const SALT: [u8; GCM_SALT_LEN] = *b"Quid pro quo";
    const RTP: &str = "8040f17b8041f8d35501a0b2\
        47616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573";
    const RTCP: &str = "81c8000d4d617273\
        4e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";
    const RTP_ID: PacketId = PacketId {
        ssrc: 0x5501_a0b2,
        index: 0xf17b,
    };
    const RTCP_ID: PacketId = PacketId {
        ssrc: 0x4d61_7273,
        index: 0x5d4,
    };
    const WORD: [u8; 4] = [0x80, 0, 0x05, 0xd4];

    /// RFC 7714's session key: the numbers from zero on.
    fn gcm(key_len: usize) -> AesGcm {
        let key = std::array::from_fn(|i| i as u8);
        AesGcm::from_session_keys(&key, key, (SALT, SALT), key_len).unwrap()
    }

    #[track_caller]
    fn check_rtp(key_len: usize, payload_and_tag: &str) {
        let (mut packet, expected) = (bytes(RTP), bytes(payload_and_tag));
        let tag = gcm(key_len).seal_rtp(RTP_ID, &mut packet, 12).unwrap();
        assert_eq!([&packet[12..], &tag[..16]].concat(), expected);
        gcm(key_len)
            .open_rtp(RTP_ID, &mut packet, 12, &tag[..16])
            .unwrap();
        assert_eq!(packet, bytes(RTP));
    }

    #[track_caller]
    fn check_rtcp(key_len: usize, payload_and_tag: &str) {
        let (mut packet, expected) = (bytes(RTCP), bytes(payload_and_tag));
        let tag = gcm(key_len).seal_rtcp(RTCP_ID, &mut packet, WORD).unwrap();
        assert_eq!([&packet[8..], &tag[..16]].concat(), expected);
        gcm(key_len)
            .open_rtcp(RTCP_ID, &mut packet, WORD, &tag[..16])
            .unwrap();
        assert_eq!(packet, bytes(RTCP));
    }

    #[test]
    fn aead_aes_128_gcm_rtp_rfc7714_16_1() {
        check_rtp(
            16,
            "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833\
             899d7f27beb16a9152cf765ee4390cce",
        );
    }

    #[test]
    fn aead_aes_256_gcm_rtp_rfc7714_16_2() {
        check_rtp(
            32,
            "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b\
             7aa3db36dfffd6b0f9bb7878d7a76c13",
        );
    }

    #[test]
    fn aead_aes_128_gcm_rtcp_rfc7714_17_1() {
        check_rtcp(
            16,
            "63e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9\
             275bc84aa45896cf4d2fc5abf87245d9eade",
        );
    }

    #[test]
    fn aead_aes_256_gcm_rtcp_rfc7714_17_2() {
        check_rtcp(
            32,
            "d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de0476f1b\
             6fad1d1eb30c4446839f57ff6f6cb26ac3be",
        );
    }

    #[test]
    fn a_shortened_gcm_tag_is_refused() {
        let mut packet = bytes(RTP);
        let tag = gcm(16).seal_rtp(RTP_ID, &mut packet, 12).unwrap();
        let shortened = gcm(16).open_rtp(RTP_ID, &mut packet, 12, &tag[..12]);
        assert_eq!(shortened, Err(SrtpError::TooShort));
    }
}

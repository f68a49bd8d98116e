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

#[cfg(test)]
mod tests {
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

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
        digits
            .chunks(2)
            .map(|pair| (pair[0] << 4 | pair[1]) as u8)
            .collect()
    }

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

    #[test]
    fn the_keystream_of_aes_cm_rfc3711_b_2() {
        let key = CounterMode::new(&bytes("2b7e151628aed2a6abf7158809cf4f3c")).unwrap();
        let salt = bytes("f0f1f2f3f4f5f6f7f8f9fafbfcfd").try_into().unwrap();
        let mut stream = vec![0; 0xff02 * 16];
        let iv = counter_iv(&salt, PacketId { ssrc: 0, index: 0 });
        key.apply(iv, &mut stream).unwrap();
        let start = "e03ead0935c95e80e166b16dd92b4eb4d23513162b02d0f72a43a2fe4a5f97ab\
            41e95b3bb0a2e8dd477901e4fca894c0";
        let end = "ec8cdf7398607cb0f2d21675ea9ea1e4362b7c3c6773516318a077d7fc5073ae\
            6a2cc3787889374fbeb4c81b17ba6c44";
        assert_eq!(stream[..48], bytes(start));
        assert_eq!(stream[0xfeff * 16..], bytes(end));
    }

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

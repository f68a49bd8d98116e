//! AES-128 in counter mode with HMAC-SHA1, RFC 3711 §4.1.1 and §4.2.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::error::Unspecified;
use zeroize::Zeroize;

use super::derive::{CounterMode, Derivation, Label, SALT_LEN};
use super::error::SrtpError;
use super::hmac::HmacSha1;
use super::transform::{PacketId, RTCP_HEADER_LEN, Tag, cipher};

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
    pub(super) fn new(keys: &Derivation) -> Result<AesCm, Unspecified> {
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
    pub(super) fn seal_rtp(
        &self,
        id: PacketId,
        packet: &mut [u8],
        header: usize,
    ) -> Result<Tag, SrtpError> {
        let payload = packet.get_mut(header..).ok_or(SrtpError::TooShort)?;
        self.rtp
            .apply(counter_iv(&self.rtp_salt, id), payload)
            .map_err(cipher)?;
        Ok(self.rtp_auth.tag(packet, roll_over_counter(id)))
    }

    #[inline]
    pub(super) fn open_rtp(
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

    pub(super) fn seal_rtcp(
        &self,
        id: PacketId,
        packet: &mut [u8],
        word: [u8; 4],
    ) -> Result<Tag, SrtpError> {
        self.apply_rtcp(id, packet)?;
        Ok(self.rtcp_auth.tag(packet, word))
    }

    pub(super) fn open_rtcp(
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

/// Compares in constant time as many bytes as the packet's tag has.
#[inline]
fn verify(expected: &Tag, tag: &[u8]) -> Result<(), SrtpError> {
    let expected = expected.get(..tag.len()).ok_or(SrtpError::AuthFailed)?;
    verify_slices_are_equal(expected, tag).map_err(|_| SrtpError::AuthFailed)
}

#[cfg(test)]
mod tests {
    use super::super::hex::bytes;
    use super::*;

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
}

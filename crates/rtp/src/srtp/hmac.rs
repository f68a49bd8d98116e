//! HMAC-SHA1 (RFC 2104) with both padded-key states cached.
//!
//! A key costs 40 bytes, and a tag four compressions for a packet of G.711 instead of six. Only what
//! SRTP needs: one message in one piece with a short suffix (the roll-over counter).

use sha1::digest::core_api::Block;
use sha1::{Sha1Core, compress};
use zeroize::Zeroize;

/// Bytes of a full tag.
pub(crate) const TAG_LEN: usize = 20;
/// The longest suffix that [`HmacSha1::tag`] takes.
const MAX_SUFFIX_LEN: usize = 4;
const BLOCK_LEN: usize = 64;
const INITIAL_STATE: [u32; 5] = [
    0x6745_2301,
    0xefcd_ab89,
    0x98ba_dcfe,
    0x1032_5476,
    0xc3d2_e1f0,
];

/// A key, ready for use.
pub(crate) struct HmacSha1 {
    inner: [u32; 5],
    outer: [u32; 5],
}

impl HmacSha1 {
    /// Prepares a key of at most one block (SRTP's has 20 bytes).
    pub(crate) fn new(key: &[u8; TAG_LEN]) -> HmacSha1 {
        let padded_state = |pad: u8| {
            let mut block = [pad; BLOCK_LEN];
            for (byte, key_byte) in block.iter_mut().zip(key) {
                *byte ^= key_byte;
            }
            let mut state = INITIAL_STATE;
            compress_block(&mut state, &block);
            block.zeroize();
            state
        };
        HmacSha1 {
            inner: padded_state(0x36),
            outer: padded_state(0x5c),
        }
    }

    /// The tag of `message` followed by `suffix`.
    #[inline]
    pub(crate) fn tag<const N: usize>(&self, message: &[u8], suffix: [u8; N]) -> [u8; TAG_LEN] {
        const { assert!(N <= MAX_SUFFIX_LEN) };
        let (blocks, rest) = message.as_chunks::<BLOCK_LEN>();
        let mut state = self.inner;
        for block in blocks {
            compress_block(&mut state, block);
        }

        // The rest, the suffix, the 0x80 and the length fit two blocks: 63 + 4 + 1 + 8 < 128.
        let mut last = [0; 2 * BLOCK_LEN];
        let used = rest.len() + N;
        last[..rest.len()].copy_from_slice(rest);
        last[rest.len()..used].copy_from_slice(&suffix);
        last[used] = 0x80;
        let end = if used + 9 <= BLOCK_LEN {
            BLOCK_LEN
        } else {
            2 * BLOCK_LEN
        };
        let bits = (BLOCK_LEN + message.len() + N) as u64 * 8;
        last[end - 8..end].copy_from_slice(&bits.to_be_bytes());
        for block in last[..end].as_chunks::<BLOCK_LEN>().0 {
            compress_block(&mut state, block);
        }

        let mut block = [0; BLOCK_LEN];
        block[..TAG_LEN].copy_from_slice(&bytes_of(&state));
        block[TAG_LEN] = 0x80;
        block[BLOCK_LEN - 8..].copy_from_slice(&((BLOCK_LEN + TAG_LEN) as u64 * 8).to_be_bytes());
        let mut state = self.outer;
        compress_block(&mut state, &block);
        bytes_of(&state)
    }
}

impl Drop for HmacSha1 {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
    }
}

fn compress_block(state: &mut [u32; 5], block: &[u8; BLOCK_LEN]) {
    compress(state, std::slice::from_ref::<Block<Sha1Core>>(block.into()));
}

fn bytes_of(state: &[u32; 5]) -> [u8; TAG_LEN] {
    let mut bytes = [0; TAG_LEN];
    for (chunk, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *chunk = word.to_be_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::hmac;

    use super::*;

    #[test]
    fn rfc2202_3_case_1() {
        let tag = HmacSha1::new(&[0x0b; 20]).tag(b"Hi There", []);
        assert_eq!(tag[..4], [0xb6, 0x17, 0x31, 0x86]);
        assert_eq!(tag[16..], [0xf1, 0x46, 0xbe, 0x00]);
    }

    #[test]
    fn every_length_agrees_with_the_library() {
        let key_bytes = *b"0123456789abcdefghij";
        let (ours, theirs) = (
            HmacSha1::new(&key_bytes),
            hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key_bytes),
        );
        let message: Vec<u8> = (0..400u32).map(|i| (i * 7) as u8).collect();
        for len in 0..=message.len() {
            let mut whole = message[..len].to_vec();
            assert_eq!(
                ours.tag(&whole, []),
                hmac::sign(&theirs, &whole).as_ref(),
                "{len}"
            );
            whole.extend_from_slice(&[1, 2, 3, 4]);
            let expected = hmac::sign(&theirs, &whole);
            assert_eq!(
                ours.tag(&message[..len], [1, 2, 3, 4]),
                expected.as_ref(),
                "{len}"
            );
        }
    }
}

//! Finds line ends and colons: 64 bytes at a time, each looked at once.
//!
//! A block becomes masks with one bit per byte, so that going from line to line is counting
//! zeros. On x86-64 a mask is a few SSE2 instructions, which every such processor has; elsewhere
//! it is arithmetic on words.

/// Reads the head of a message from left to right.
pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    /// Where the current block starts.
    base: usize,
    /// The LFs of the block that have not been passed yet.
    line_feeds: u64,
    /// The colons of the block that have not been passed yet.
    colons: u64,
    unusual: bool,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// A colon, here.
    Colon(usize),
    /// An LF, here.
    LineFeed(usize),
    /// Nothing: the bytes end.
    End,
}

/// One bit per byte of a block, the first byte lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    line_feeds: u64,
    returns: u64,
    colons: u64,
    /// Whether there are zero bytes or bytes beyond ASCII.
    odd: bool,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Scanner<'a> {
        let mut scanner = Scanner {
            bytes,
            base: 0,
            line_feeds: 0,
            colons: 0,
            unusual: false,
        };
        scanner.load();
        scanner
    }

    /// Goes to the next colon or LF.
    pub(crate) fn next_mark(&mut self) -> Mark {
        while self.line_feeds | self.colons == 0 {
            if !self.advance() {
                return Mark::End;
            }
        }
        let marks = self.line_feeds | self.colons;
        let is_line_feed = self.line_feeds & lowest(marks) != 0;
        let at = self.pass(marks);
        if is_line_feed {
            Mark::LineFeed(at)
        } else {
            Mark::Colon(at)
        }
    }

    /// Goes to the next LF.
    pub(crate) fn next_line_feed(&mut self) -> Option<usize> {
        while self.line_feeds == 0 {
            if !self.advance() {
                return None;
            }
        }
        Some(self.pass(self.line_feeds))
    }

    /// Whether what was passed may hold a CR without LF, a zero byte or a byte beyond ASCII. It
    /// does not if this is `false`; otherwise it has to be looked at.
    pub(crate) const fn may_be_unusual(&self) -> bool {
        self.unusual
    }

    /// Leaves everything up to the lowest of `marks` behind; where that one is.
    fn pass(&mut self, marks: u64) -> usize {
        let behind = !(marks ^ marks.wrapping_sub(1));
        self.line_feeds &= behind;
        self.colons &= behind;
        self.base + marks.trailing_zeros() as usize
    }

    fn advance(&mut self) -> bool {
        if self.base + BLOCK >= self.bytes.len() {
            return false;
        }
        self.base += BLOCK;
        self.load();
        true
    }

    fn load(&mut self) {
        let rest = self.bytes.get(self.base..).unwrap_or_default();
        let block = match rest.first_chunk() {
            Some(block) => Block::of(block),
            None => {
                let mut padded = [b' '; BLOCK];
                for (to, from) in padded.iter_mut().zip(rest) {
                    *to = *from;
                }
                Block::of(&padded)
            }
        };
        self.line_feeds = block.line_feeds;
        self.colons = block.colons;
        let in_next_block = u64::from(rest.get(BLOCK) == Some(&b'\n')) << (BLOCK - 1);
        let bare = block.returns & !(block.line_feeds >> 1) & !in_next_block;
        self.unusual |= block.odd | (bare != 0);
    }
}

impl Block {
    #[cfg(target_arch = "x86_64")]
    fn of(bytes: &[u8; BLOCK]) -> Block {
        // SAFETY: what the function needs is part of x86-64; it takes and returns plain values.
        unsafe { sse2::block(bytes) }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn of(bytes: &[u8; BLOCK]) -> Block {
        words::block(bytes)
    }
}

#[cfg(target_arch = "x86_64")]
mod sse2 {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
        _mm_setzero_si128,
    };

    use super::{BLOCK, Block};

    #[target_feature(enable = "sse2")]
    pub(super) fn block(bytes: &[u8; BLOCK]) -> Block {
        let (quarters, _) = bytes.as_chunks::<16>();
        let (mut line_feeds, mut returns, mut colons) = (0, 0, 0);
        let mut odd = _mm_setzero_si128();
        for (number, quarter) in quarters.iter().enumerate() {
            let shift = number * 16;
            let bytes = load(quarter);
            line_feeds |= equal(bytes, b'\n') << shift;
            returns |= equal(bytes, b'\r') << shift;
            colons |= equal(bytes, b':') << shift;
            // The highest bit is set beyond ASCII and, by the comparison, for zero.
            let zero = _mm_cmpeq_epi8(bytes, _mm_setzero_si128());
            odd = _mm_or_si128(odd, _mm_or_si128(bytes, zero));
        }
        Block {
            line_feeds,
            returns,
            colons,
            odd: bits(odd) != 0,
        }
    }

    #[target_feature(enable = "sse2")]
    fn load(bytes: &[u8; 16]) -> __m128i {
        let word = u128::from_le_bytes(*bytes);
        _mm_set_epi64x((word >> 64) as i64, word as i64)
    }

    #[target_feature(enable = "sse2")]
    fn equal(bytes: __m128i, byte: u8) -> u64 {
        bits(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte.cast_signed())))
    }

    #[target_feature(enable = "sse2")]
    fn bits(bytes: __m128i) -> u64 {
        u64::from(_mm_movemask_epi8(bytes).cast_unsigned())
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
mod words {
    use super::{BLOCK, Block};

    const ONES: u64 = u64::MAX / 0xff;
    const LOW: u64 = ONES * 0x7f;

    pub(super) fn block(bytes: &[u8; BLOCK]) -> Block {
        let (words, _) = bytes.as_chunks::<8>();
        let mut block = Block {
            line_feeds: 0,
            returns: 0,
            colons: 0,
            odd: false,
        };
        for (number, word) in words.iter().enumerate() {
            let shift = number * 8;
            let word = u64::from_le_bytes(*word);
            block.line_feeds |= bits(zeros(word ^ (ONES * u64::from(b'\n')))) << shift;
            block.returns |= bits(zeros(word ^ (ONES * u64::from(b'\r')))) << shift;
            block.colons |= bits(zeros(word ^ (ONES * u64::from(b':')))) << shift;
            block.odd |= bits(word | zeros(word)) != 0;
        }
        block
    }

    /// The highest bit of each byte that is zero.
    const fn zeros(word: u64) -> u64 {
        !(((word & LOW) + LOW) | word | LOW)
    }

    /// The highest bit of each byte, side by side.
    const fn bits(word: u64) -> u64 {
        ((word >> 7) & ONES).wrapping_mul(0x0102_0408_1020_4080) >> 56
    }
}

const fn lowest(mask: u64) -> u64 {
    mask & mask.wrapping_neg()
}

const BLOCK: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(bytes: &[u8; BLOCK]) -> Block {
        let mask = |wanted: u8| {
            bytes
                .iter()
                .rev()
                .fold(0, |mask, &byte| mask << 1 | u64::from(byte == wanted))
        };
        Block {
            line_feeds: mask(b'\n'),
            returns: mask(b'\r'),
            colons: mask(b':'),
            odd: bytes.iter().any(|&byte| byte == 0 || !byte.is_ascii()),
        }
    }

    fn interesting() -> impl Strategy<Value = u8> {
        prop_oneof![
            3 => Just(b'\r'), 3 => Just(b'\n'), 2 => Just(b':'), 1 => Just(0), 9 => any::<u8>(),
            9 => b' '..0x7f_u8
        ]
    }

    proptest! {
        #[test]
        fn masks_say_what_the_bytes_are(bytes in prop::collection::vec(interesting(), BLOCK)) {
            let bytes: [u8; BLOCK] = bytes.try_into().unwrap();
            prop_assert_eq!(Block::of(&bytes), naive(&bytes));
            prop_assert_eq!(words::block(&bytes), naive(&bytes));
        }

        #[test]
        fn stops_at_each_mark(
            bytes in prop::collection::vec(interesting(), 0..200),
            colons in prop::collection::vec(any::<bool>(), 200),
        ) {
            let mut scanner = Scanner::new(&bytes);
            let mut at = 0;
            for with_colons in colons {
                let rest = &bytes[at..];
                let wanted = |&byte: &u8| byte == b'\n' || with_colons && byte == b':';
                let expected = rest.iter().position(wanted).map(|found| at + found);
                let found = match (with_colons, expected) {
                    (false, _) => scanner.next_line_feed(),
                    (true, _) => match scanner.next_mark() {
                        Mark::End => None,
                        Mark::Colon(here) => {
                            prop_assert_eq!(bytes[here], b':');
                            Some(here)
                        }
                        Mark::LineFeed(here) => {
                            prop_assert_eq!(bytes[here], b'\n');
                            Some(here)
                        }
                    },
                };
                prop_assert_eq!(found, expected);
                let Some(found) = found else { break };
                at = found + 1;
            }
        }

        #[test]
        fn misses_nothing_unusual(bytes in prop::collection::vec(b' '..b'!', 0..200), odd in any::<prop::sample::Index>()) {
            let mut bytes = bytes;
            bytes.extend(b"\r\n");
            let at = odd.index(bytes.len() - 1);
            for unusual in [b'\r', 0, 0x80] {
                let mut bytes = bytes.clone();
                let mut scanner = Scanner::new(&bytes);
                scanner.next_line_feed();
                prop_assert!(!scanner.may_be_unusual());
                bytes[at] = unusual;
                let mut scanner = Scanner::new(&bytes);
                scanner.next_line_feed();
                let is_line_end = unusual == b'\r' && at == bytes.len() - 2;
                prop_assert_eq!(scanner.may_be_unusual(), !is_line_end);
            }
        }
    }
}

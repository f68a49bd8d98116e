//! The packet index and the replay window, RFC 3711 §3.3.1 and §3.3.2.
//!
//! Looking ([`ReplayWindow::estimate`], [`ReplayWindow::check`]) and marking
//! ([`ReplayWindow::accept`]) are apart, so that nothing changes before a packet is authentic.

/// Packets behind the highest that may still arrive. RFC 3711 wants 64 at least.
pub(crate) const WINDOW_LEN: u64 = 128;

/// The highest 48-bit index: roll-over counter and sequence number.
const MAX_INDEX: u64 = (1 << 48) - 1;

/// The indices seen of one source.
#[derive(Clone, Copy, Default)]
pub(crate) struct ReplayWindow {
    /// The highest index seen.
    top: u64,
    /// Bit n of the 128 is `top - n`; all zero before the first packet. Two words and not a `u128`,
    /// whose alignment would cost memory.
    seen: [u64; 2],
}

/// Why an index is not acceptable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IndexError {
    /// Beyond 2^48 packets.
    Exhausted,
    /// Seen, or older than the window, or from before the first roll-over.
    Replayed,
}

impl ReplayWindow {
    /// The index that a packet with this sequence number most likely has, RFC 3711 §3.3.1.
    #[inline]
    pub(crate) fn estimate(&self, seq: u16) -> Result<u64, IndexError> {
        let seq = u64::from(seq);
        if self.is_empty() {
            return Ok(seq);
        }
        let (base, last) = (self.top & !0xffff, self.top & 0xffff);
        if last < 0x8000 {
            if seq > last + 0x8000 {
                // The packet is from before the roll-over.
                return Ok(base.checked_sub(0x1_0000).ok_or(IndexError::Replayed)? + seq);
            }
        } else if seq < last - 0x8000 {
            let index = base + 0x1_0000 + seq;
            return if index > MAX_INDEX {
                Err(IndexError::Exhausted)
            } else {
                Ok(index)
            };
        }
        Ok(base + seq)
    }

    /// Whether this index is new and not too old.
    #[inline]
    pub(crate) fn check(&self, index: u64) -> Result<(), IndexError> {
        if index > self.top || self.is_empty() {
            return Ok(());
        }
        let age = self.top - index;
        if age >= WINDOW_LEN || self.bits() >> age & 1 == 1 {
            return Err(IndexError::Replayed);
        }
        Ok(())
    }

    /// Marks an index that passed [`ReplayWindow::check`].
    #[inline]
    pub(crate) fn accept(&mut self, index: u64) {
        if self.is_empty() {
            self.top = index;
            self.set_bits(1);
        } else if index > self.top {
            let shift = index - self.top;
            let shifted = if shift >= WINDOW_LEN {
                0
            } else {
                self.bits() << shift
            };
            self.top = index;
            self.set_bits(shifted | 1);
        } else if self.top - index < WINDOW_LEN {
            self.set_bits(self.bits() | 1 << (self.top - index));
        }
    }

    fn is_empty(&self) -> bool {
        self.seen == [0, 0]
    }

    fn bits(&self) -> u128 {
        u128::from(self.seen[0]) | u128::from(self.seen[1]) << 64
    }

    fn set_bits(&mut self, bits: u128) {
        self.seen = [bits as u64, (bits >> 64) as u64];
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn at(top: u64) -> ReplayWindow {
        let mut window = ReplayWindow::default();
        window.accept(top);
        window
    }

    #[track_caller]
    fn check_estimate(top: u64, seq: u16, expected: Result<u64, IndexError>) {
        assert_eq!(at(top).estimate(seq), expected);
    }

    #[test]
    fn the_first_packet_sets_the_index_rfc3711_3_3_1() {
        assert_eq!(ReplayWindow::default().estimate(0xfff0), Ok(0xfff0));
        assert!(ReplayWindow::default().is_empty());
    }

    #[test]
    fn the_roll_over_counter_follows_the_sequence_number_rfc3711_3_3_1() {
        check_estimate(0xffff, 0, Ok(0x1_0000));
        check_estimate(0xffff, 0x7ffe, Ok(0x1_7ffe));
        check_estimate(0xffff, 0x7fff, Ok(0x7fff));
        check_estimate(0x1_0000, 0xffff, Ok(0xffff));
        check_estimate(0x1_0000, 0x8000, Ok(0x1_8000));
        check_estimate(0x5_0005, 0xfffe, Ok(0x4_fffe));
        check_estimate(0x5_8000, 0, Ok(0x5_0000));
    }

    #[test]
    fn nothing_is_older_than_the_first_roll_over() {
        check_estimate(3, 0xffff, Err(IndexError::Replayed));
    }

    #[test]
    fn the_index_ends_at_48_bits_rfc3711_9_2() {
        check_estimate(MAX_INDEX, 0, Err(IndexError::Exhausted));
        check_estimate(MAX_INDEX - 1, 0xffff, Ok(MAX_INDEX));
    }

    #[test]
    fn the_window_is_128_packets_rfc3711_3_3_2() {
        let window = at(1_000);
        assert_eq!(window.check(1_000), Err(IndexError::Replayed));
        assert_eq!(window.check(1_001), Ok(()));
        assert_eq!(window.check(1_000 - 127), Ok(()));
        assert_eq!(window.check(1_000 - 128), Err(IndexError::Replayed));
    }

    proptest! {
        #[test]
        fn agrees_with_a_set(steps in prop::collection::vec(-200i64..300, 1..400)) {
            let mut window = ReplayWindow::default();
            let (mut seen, mut cursor) = (BTreeSet::new(), 10_000i64);
            for step in steps {
                cursor = (cursor + step / 4).max(0);
                let index = (cursor + step).max(0) as u64;
                let top = seen.last().copied();
                let fresh = !seen.contains(&index)
                    && top.is_none_or(|top| index + WINDOW_LEN > top);
                prop_assert_eq!(window.check(index).is_ok(), fresh);
                if fresh {
                    window.accept(index);
                    seen.insert(index);
                }
                prop_assert_eq!(Some(window.top), seen.last().copied());
            }
        }

        #[test]
        fn the_estimate_is_right_within_half_the_sequence_space(
            top in 0x1_0000u64..MAX_INDEX - 0x1_0000,
            distance in -0x7fffi64..0x7fff,
        ) {
            let index = top.saturating_add_signed(distance);
            prop_assert_eq!(at(top).estimate(index as u16), Ok(index));
        }
    }
}

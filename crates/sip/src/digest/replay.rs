//! A captured response opens nothing: how often each nonce was used (RFC 7616 §3.3, §3.4.5).

use std::collections::VecDeque;

use ringfence_base::{HashKey, Instant, KeyedMap};

use super::nonce::Nonce;

/// Most nonces whose counts are kept.
pub const NONCES_MAX: usize = 65_536;

/// Counts up to this far below the highest one may still come: requests overtake each other.
const WINDOW: u32 = 64;

/// Whether a use of a nonce was the first one under its count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// It was.
    New,
    /// It was not, or nobody can tell any more: ask again with a new nonce and `stale=true`.
    Seen,
}

/// The counts of the nonces in use. Ask it after [`Credentials::verify`](super::Credentials::verify)
/// said yes, never before: then only those who know a secret can fill it, and nobody can use up
/// another's nonce.
///
/// When it is full, the oldest nonce goes, and no nonce made before that one is believed any more:
/// its owner is asked again, a replay gets nothing.
#[derive(Debug)]
pub struct NonceCounts {
    uses: KeyedMap<u128, Uses>,
    in_order: VecDeque<Nonce>,
    /// Nonces made until then, and not in the table, are spent.
    horizon: Option<Instant>,
    capacity: usize,
}

#[derive(Clone, Copy, Debug)]
struct Uses {
    highest: u32,
    /// Bit n: `highest - n` was there.
    seen: u64,
}

impl NonceCounts {
    /// An empty table of at most `capacity` nonces, and of [`NONCES_MAX`] in any case.
    pub fn new(key: HashKey, capacity: usize) -> NonceCounts {
        NonceCounts {
            uses: key.map(),
            in_order: VecDeque::new(),
            horizon: None,
            capacity: capacity.clamp(1, NONCES_MAX),
        }
    }

    /// Notes a use. `nc` is `None` without qop: such a nonce is good for one request.
    pub fn note(&mut self, nonce: Nonce, nc: Option<u32>) -> Replay {
        let nc = nc.unwrap_or(u32::MAX);
        if let Some(uses) = self.uses.get_mut(&nonce.id) {
            return uses.note(nc);
        }
        if self.horizon.is_some_and(|horizon| nonce.made <= horizon) {
            return Replay::Seen;
        }
        if self.in_order.len() >= self.capacity
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.uses.remove(&oldest.id);
            self.horizon = self.horizon.max(Some(oldest.made));
        }
        self.in_order.push_back(nonce);
        self.uses.insert(
            nonce.id,
            Uses {
                highest: nc,
                seen: 1,
            },
        );
        Replay::New
    }

    /// Forgets the nonces made before `made`: those that the mint calls stale by now.
    pub fn forget_before(&mut self, made: Instant) {
        while let Some(oldest) = self.in_order.front().copied() {
            if oldest.made >= made {
                break;
            }
            self.in_order.pop_front();
            self.uses.remove(&oldest.id);
            self.horizon = self.horizon.max(Some(oldest.made));
        }
    }

    /// How many nonces are kept.
    pub fn len(&self) -> usize {
        self.uses.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.uses.is_empty()
    }
}

impl Uses {
    fn note(&mut self, nc: u32) -> Replay {
        if nc > self.highest {
            let ahead = nc - self.highest;
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = nc;
            return Replay::New;
        }
        let behind = self.highest - nc;
        if behind >= WINDOW || self.seen & (1 << behind) != 0 {
            return Replay::Seen;
        }
        self.seen |= 1 << behind;
        Replay::New
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_base::entropy::SeededEntropy;

    fn table(capacity: usize) -> NonceCounts {
        NonceCounts::new(HashKey::generate(&mut SeededEntropy::new(1)), capacity)
    }

    fn nonce(second: u64) -> Nonce {
        Nonce {
            made: Instant::from_nanos(second * 1_000_000_000),
            id: u128::from(second),
        }
    }

    #[track_caller]
    fn check(counts: &[u32], expected: &[Replay]) {
        let mut table = table(4);
        let got: Vec<_> = counts
            .iter()
            .map(|nc| table.note(nonce(1), Some(*nc)))
            .collect();
        assert_eq!(got, expected, "{counts:?}");
    }

    #[test]
    fn each_count_is_good_once_in_any_order_rfc7616_3_4_5() {
        use Replay::{New, Seen};
        check(&[1, 2, 3], &[New, New, New]);
        check(&[1, 1], &[New, Seen]);
        check(&[2, 1, 2, 1], &[New, New, Seen, Seen]);
        check(&[1, 65, 1, 2, 66], &[New, New, Seen, New, New]);
        check(&[1, u32::MAX, 1], &[New, New, Seen]);
    }

    #[test]
    fn without_qop_a_nonce_is_good_once() {
        let mut table = table(4);
        assert_eq!(table.note(nonce(1), None), Replay::New);
        assert_eq!(table.note(nonce(1), None), Replay::Seen);
    }

    #[test]
    fn a_full_table_never_lets_a_replay_in() {
        let mut table = table(2);
        for second in 1..=4 {
            assert_eq!(table.note(nonce(second), Some(1)), Replay::New);
        }
        assert_eq!(table.len(), 2);
        for second in 1..=4 {
            assert_eq!(table.note(nonce(second), Some(1)), Replay::Seen);
        }
        // Who was pushed out is asked again; who is still in goes on.
        assert_eq!(table.note(nonce(1), Some(2)), Replay::Seen);
        assert_eq!(table.note(nonce(4), Some(2)), Replay::New);
    }

    #[test]
    fn what_is_stale_is_forgotten_and_stays_spent() {
        let mut table = table(8);
        for second in 1..=4 {
            table.note(nonce(second), Some(1));
        }
        table.forget_before(nonce(3).made);
        assert_eq!(table.len(), 2);
        assert_eq!(table.note(nonce(2), Some(7)), Replay::Seen);
    }
}

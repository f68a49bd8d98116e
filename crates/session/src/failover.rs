//! A peer's place among the peers of its site, and when a call goes on to the next one.
//!
//! The order is that of SRV records (RFC 3263 §4.2, RFC 2782): priorities first, and chance by
//! weight among equals. A call goes on after silence, after a failed transport, and after the
//! codes of a list, in which no code may stand that says what the callee wants (486, 600, 603).

use std::time::Duration;

use ringfence_base::Entropy;

/// `priority`, `weight`, `failover_after`, `failover_on` and `quarantine_after` of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failover {
    /// Peers of a lower number are tried first.
    pub priority: u16,
    /// Share of the calls among peers of one priority.
    pub weight: u16,
    /// How long an INVITE may have no answer at all before the next peer is tried.
    pub after: Duration,
    /// The final codes after which the next peer is tried, ascending.
    pub codes: Vec<u16>,
    /// How many failures in a row take the peer out of use.
    pub quarantine_after: u32,
}

/// Default of [`Failover::after`]. With T1 at its default of 500 ms it is behind the second
/// retransmission, and the next peer has its INVITE within two seconds.
pub const FAILOVER_AFTER: Duration = Duration::from_millis(1800);

/// Default of [`Failover::codes`].
pub const FAILOVER_ON: [u16; 5] = [408, 500, 502, 503, 504];

/// Default of [`Failover::quarantine_after`].
pub const QUARANTINE_AFTER: u32 = 3;

impl Default for Failover {
    fn default() -> Failover {
        Failover {
            priority: 1,
            weight: 1,
            after: FAILOVER_AFTER,
            codes: FAILOVER_ON.to_vec(),
            quarantine_after: QUARANTINE_AFTER,
        }
    }
}

impl Failover {
    /// Whether a final answer with `status` sends the call to the next peer. An emergency call
    /// goes on after everything: whether the line or the callee is busy, 486 does not say. After
    /// ringing (`rung`) the callee was reached, and only the peer's own faults count.
    pub fn goes_on(&self, status: u16, emergency: bool, rung: bool) -> bool {
        let listed = match emergency {
            true => status >= 400 && status != 487,
            false => self.codes.contains(&status) && !is_callees_word(status),
        };
        listed && (!rung || (500..600).contains(&status))
    }

    /// Whether `status` says that the peer itself is at fault. 408 and 480 may be about the
    /// callee's phone, and take no line out of use.
    pub fn is_fault(&self, status: u16) -> bool {
        (500..600).contains(&status) && self.codes.contains(&status)
    }
}

/// Whether a status is what the callee wants, so that nobody may ring it again: busy, declined,
/// and every other answer for all its places (RFC 3261 §21.6), and our own CANCEL's 487.
pub const fn is_callees_word(status: u16) -> bool {
    matches!(status, 486 | 487 | 600..=699)
}

/// What [`order`] sorts by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rank {
    /// Lower comes first.
    pub priority: u16,
    /// Share among equals.
    pub weight: u16,
}

/// The order in which to try `ranks` (RFC 2782): by priority, and in each priority by chance in
/// proportion to the weights. An entry of weight 0 has a very small chance beside others; among
/// nothing but zeroes the order stays as it is.
///
/// The RFC's own draw, between 0 and the sum with both ends, would give the first of two equals
/// two calls of three. This one is fair for small weights too.
pub fn order(ranks: &[Rank], entropy: &mut dyn Entropy) -> Vec<usize> {
    let rank = |index: usize| ranks.get(index).copied().unwrap_or_default();
    let mut left: Vec<usize> = (0..ranks.len()).collect();
    left.sort_by_key(|&index| rank(index).priority);
    let mut order = Vec::with_capacity(left.len());
    while let Some(&first) = left.first() {
        let priority = rank(first).priority;
        let equals = left.partition_point(|&index| rank(index).priority == priority);
        let shares: Vec<u64> = left
            .iter()
            .take(equals)
            .map(|&index| (u64::from(rank(index).weight) * WEIGHT_SCALE).max(1))
            .collect();
        let picked = if shares.iter().all(|&share| share == 1) {
            0
        } else {
            let wanted = entropy.below(shares.iter().sum());
            let mut running = 0;
            let reaches = |share: &u64| {
                running += share;
                running > wanted
            };
            shares.iter().position(reaches).unwrap_or_default()
        };
        order.push(left.remove(picked));
    }
    order
}

/// What a weight of 1 is worth against one of 0.
const WEIGHT_SCALE: u64 = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ringfence_base::entropy::SeededEntropy;

    fn rank(priority: u16, weight: u16) -> Rank {
        Rank { priority, weight }
    }

    #[test]
    fn the_callees_word_never_goes_on() {
        let failover = Failover {
            codes: (400..700).collect(),
            ..Failover::default()
        };
        for status in [486, 487, 600, 603, 604, 607, 608] {
            assert!(!failover.goes_on(status, false, false), "{status}");
        }
    }

    #[test]
    fn an_emergency_call_goes_on_until_it_rings_or_its_caller_gives_up() {
        let failover = Failover::default();
        for status in [400, 404, 486, 503, 600, 603] {
            assert!(failover.goes_on(status, true, false), "{status}");
        }
        assert!(!failover.goes_on(487, true, false));
        assert!(!failover.goes_on(486, true, true) && !failover.goes_on(603, true, true));
    }

    #[test]
    fn codes_go_on_and_after_ringing_only_the_peers_own_faults() {
        let failover = Failover::default();
        assert!(failover.goes_on(503, false, false) && failover.goes_on(408, false, false));
        assert!(!failover.goes_on(404, false, false) && failover.goes_on(404, true, false));
        assert!(failover.goes_on(503, false, true) && !failover.goes_on(408, false, true));
        assert!(failover.is_fault(503) && !failover.is_fault(408) && !failover.is_fault(501));
    }

    #[test]
    fn weights_share_10000_picks_in_proportion_rfc2782() {
        let ranks = [rank(1, 3), rank(1, 1), rank(0, 0), rank(2, 9)];
        let mut entropy = SeededEntropy::new(1);
        let mut second = [0; 4];
        for _ in 0..10_000 {
            let order = order(&ranks, &mut entropy);
            assert_eq!((order[0], order[3]), (2, 3), "priorities come first");
            second[order[1]] += 1;
        }
        assert!((7_350..7_650).contains(&second[0]), "{second:?}");
        assert_eq!(second[0] + second[1], 10_000);
    }

    #[test]
    fn entries_without_weights_keep_their_order() {
        let mut entropy = SeededEntropy::new(1);
        assert_eq!(order(&[rank(0, 0); 4], &mut entropy), [0, 1, 2, 3]);
    }

    proptest! {
        #[test]
        fn every_entry_is_tried_once_and_priorities_ascend(
            ranks in proptest::collection::vec((0u16..4, 0u16..5), 0..12),
            seed: u64,
        ) {
            let ranks: Vec<Rank> = ranks.into_iter().map(|(p, w)| rank(p, w)).collect();
            let order = order(&ranks, &mut SeededEntropy::new(seed));
            let mut sorted = order.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..ranks.len()).collect::<Vec<_>>());
            prop_assert!(order.is_sorted_by_key(|&index| ranks[index].priority));
        }
    }
}

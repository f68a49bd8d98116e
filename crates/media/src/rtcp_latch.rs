//! Where the RTCP of one side comes from and goes to, when it has a port of its own.
//!
//! RTCP has no sequence number to prove itself by, and little is lost without it: unless it is
//! authenticated, only the described address and hosts the peer is known by count. The first of
//! them holds the latch; the described address may take it over.

use crate::endpoint::Endpoint;
use crate::latch::{Rank, Rules, rank};

/// The latch of the RTCP of one side.
#[derive(Clone, Copy)]
pub(crate) struct RtcpLatch {
    described: Endpoint,
    held_by: Endpoint,
}

impl RtcpLatch {
    /// A latch that knows no address: nothing is admitted.
    pub(crate) const fn new() -> RtcpLatch {
        RtcpLatch {
            described: Endpoint::NONE,
            held_by: Endpoint::NONE,
        }
    }

    /// Forgets the holder and waits for RTCP from `described`.
    pub(crate) fn reset(&mut self, described: Endpoint) {
        *self = RtcpLatch {
            described,
            held_by: Endpoint::NONE,
        };
    }

    /// Forgets the holder: the peer's RTP moved.
    pub(crate) fn forget(&mut self) {
        self.held_by = Endpoint::NONE;
    }

    /// Whether a packet from `from` counts, if it is genuine. In `rules`, the known host is the
    /// one that RTP comes from, once there is one.
    pub(crate) fn admits(&self, rules: Rules, from: Endpoint) -> bool {
        match rank(rules, self.described, from) {
            Some(Rank::Exact) => true,
            Some(_) if self.held_by == from => true,
            Some(Rank::Host) => self.held_by.is_none(),
            Some(Rank::Anybody) => self.held_by.is_none() && rules.secured,
            None => false,
        }
    }

    /// Takes an admitted, genuine packet: its source holds the latch.
    pub(crate) fn commit(&mut self, from: Endpoint) {
        self.held_by = from;
    }

    /// Where RTCP is sent: to the holder; else to the described address, unless the peer's RTP
    /// comes from another host (it is behind a NAT whose mapping for RTCP is not known yet).
    pub(crate) fn destination(&self, rtp_described: Endpoint, rtp_holder: Endpoint) -> Endpoint {
        if !self.held_by.is_none() {
            self.held_by
        } else if rtp_holder.is_none() || rtp_holder.ip() == rtp_described.ip() {
            self.described
        } else {
            Endpoint::NONE
        }
    }

    /// The described address.
    pub(crate) const fn described(&self) -> Endpoint {
        self.described
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LatchPolicy;
    use crate::endpoint::PackedIp;

    fn at(text: &str) -> Endpoint {
        Endpoint::new(text.parse().unwrap())
    }

    fn latch() -> RtcpLatch {
        let mut latch = RtcpLatch::new();
        latch.reset(at("192.0.2.1:4001"));
        latch
    }

    fn rules(policy: LatchPolicy, secured: bool) -> Rules {
        let known_host = PackedIp::new(Some("198.51.100.9".parse().unwrap()));
        Rules {
            policy,
            known_host,
            secured,
        }
    }

    #[track_caller]
    fn check(policy: LatchPolicy, secured: bool, from: &str, expected: bool) {
        assert_eq!(latch().admits(rules(policy, secured), at(from)), expected);
    }

    #[test]
    fn the_described_address_always_counts() {
        for policy in [
            LatchPolicy::SameAddress,
            LatchPolicy::Strict,
            LatchPolicy::Symmetric,
        ] {
            check(policy, false, "192.0.2.1:4001", true);
        }
    }

    #[test]
    fn other_ports_and_hosts_count_by_policy() {
        check(LatchPolicy::Strict, true, "192.0.2.1:9", false);
        check(LatchPolicy::SameAddress, false, "192.0.2.1:9", true);
        check(LatchPolicy::SameAddress, true, "198.51.100.9:9", false);
        check(LatchPolicy::Symmetric, false, "198.51.100.9:9", true);
        check(LatchPolicy::Symmetric, false, "203.0.113.66:9", false);
        check(LatchPolicy::Symmetric, true, "203.0.113.66:9", true);
    }

    #[test]
    fn the_first_holds_and_only_the_described_address_takes_over() {
        let rules = rules(LatchPolicy::SameAddress, false);
        let mut latch = latch();
        latch.commit(at("192.0.2.1:9"));
        assert!(latch.admits(rules, at("192.0.2.1:9")));
        assert!(!latch.admits(rules, at("192.0.2.1:10")));
        assert!(latch.admits(rules, at("192.0.2.1:4001")));
        latch.forget();
        assert!(latch.admits(rules, at("192.0.2.1:10")));
    }

    #[test]
    fn nothing_is_sent_to_the_private_address_of_a_peer_behind_nat() {
        let (described, latch) = (at("192.0.2.1:4000"), latch());
        let to = |holder| latch.destination(described, holder);
        assert!(to(Endpoint::NONE) == at("192.0.2.1:4001"));
        assert!(to(at("192.0.2.1:7000")) == at("192.0.2.1:4001"));
        assert!(to(at("203.0.113.5:7000")).is_none());
    }
}

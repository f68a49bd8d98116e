//! Which peers and addresses a call may take, in which order (RFC 3263 §4.2, §4.3).
//!
//! Peers in use come first, by priority and weight; then the quarantined ones in the same order,
//! since a doubtful line is better than none. Of each peer come its addresses, those that did
//! not answer of late last.

use std::net::SocketAddr;

use ringfence_base::{Entropy, Instant};
use smallvec::SmallVec;

use crate::cdr::Direction;
use crate::failover::{Rank, order};
use crate::health::Quarantine;
use crate::plan::{Peer, PeerId, PeerKind, Plan, SiteId};
use crate::registration::registers;
use crate::routing::Route;

/// Most places that one call tries.
pub const WAYS_MAX: usize = 16;
/// Most addresses of one peer that one call tries.
pub const ADDRESSES_PER_CALL_MAX: usize = 4;

/// A place to send a call to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The peer.
    pub peer: PeerId,
    /// One of its addresses.
    pub address: SocketAddr,
}

/// The ways of one call, best first.
pub type Ways = SmallVec<[Way; 2]>;

/// A peer that a call may go to, and its part in the choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The peer.
    pub peer: PeerId,
    /// Its addresses in the order of this call; empty when its name has none.
    pub addresses: SmallVec<[SocketAddr; 4]>,
    /// Why it comes after the others, if it does.
    pub quarantine: Option<Quarantine>,
    /// It wants us to register, and does not know where we are: it comes after the others too.
    pub unregistered: bool,
    /// Whether this call is the one that finds out if a quarantined peer works again.
    pub probe: bool,
}

/// The peers of `kind` at `site` in the order in which a call tries them. With `probe`, the call
/// may be the one that a quarantined peer is tried by: it is a real call, and no emergency.
pub fn candidates(
    plan: &Plan,
    site: SiteId,
    kind: PeerKind,
    now: Instant,
    probe: bool,
    entropy: &mut dyn Entropy,
) -> Vec<Candidate> {
    let (mut in_use, mut last) = (Vec::new(), Vec::new());
    let peers = || plan.peers_of_site(site, kind);
    let alone = peers().nth(1).is_none();
    for (id, peer) in peers() {
        let standing = &peer.usage.standing;
        let quarantine = standing.quarantine();
        let probe = quarantine.is_some() && !alone && probe && standing.take_probe(now);
        let candidate = Candidate {
            peer: id,
            addresses: addresses(peer, now, entropy),
            quarantine,
            unregistered: registers(peer).is_some() && !peer.usage.is_bound(now),
            probe,
        };
        match candidate.unregistered || (quarantine.is_some() && !probe) {
            true => last.push((candidate, peer)),
            false => in_use.push((candidate, peer)),
        }
    }
    [in_use, last]
        .into_iter()
        .flat_map(|group| sorted(group, entropy))
        .collect()
}

/// The kind of peer that a call in this direction goes to.
pub(crate) const fn kind_towards(direction: Direction) -> PeerKind {
    match direction {
        Direction::Inbound | Direction::Internal => PeerKind::Pbx,
        Direction::Outbound => PeerKind::Trunk,
    }
}

/// Where a routed call may go that rings at no phone, best first. With `probe`, as in
/// [`candidates`].
pub(crate) fn ways_of(
    plan: &Plan,
    route: &Route,
    now: Instant,
    probe: bool,
    entropy: &mut dyn Entropy,
) -> Ways {
    let kind = kind_towards(route.direction);
    let mut ways = ways(plan, route.site, kind, now, probe, entropy);
    if let Some(named) = route.by_rule {
        match route.emergency {
            true => ways.sort_by_key(|way| way.peer != named),
            false => ways.retain(|way| way.peer == named),
        }
    }
    if route.emergency {
        // When all have refused, all are asked once more: a call that gave way has left its channel
        // free by then.
        let again = ways.clone();
        ways.extend(again);
    }
    ways
}

/// [`candidates`] as a list of places, at most [`WAYS_MAX`].
pub(crate) fn ways(
    plan: &Plan,
    site: SiteId,
    kind: PeerKind,
    now: Instant,
    probe: bool,
    entropy: &mut dyn Entropy,
) -> Ways {
    // The common case, without a list of lists: one peer at one address.
    let mut peers = plan.peers_of_site(site, kind);
    if let (Some((peer, only)), None) = (peers.next(), peers.next())
        && let [address] = only.addresses[..]
    {
        return [Way { peer, address }].into_iter().collect();
    }
    candidates(plan, site, kind, now, probe, entropy)
        .into_iter()
        .flat_map(|candidate| {
            let peer = candidate.peer;
            let addresses = candidate.addresses.into_iter();
            addresses.map(move |address| Way { peer, address })
        })
        .take(WAYS_MAX)
        .collect()
}

fn sorted(group: Vec<(Candidate, &Peer)>, entropy: &mut dyn Entropy) -> Vec<Candidate> {
    let ranks: Vec<Rank> = group
        .iter()
        .map(|(_, peer)| Rank {
            priority: peer.failover.priority,
            weight: peer.failover.weight,
        })
        .collect();
    order(&ranks, entropy)
        .into_iter()
        .filter_map(|index| group.get(index).map(|(candidate, _)| candidate.clone()))
        .collect()
}

fn addresses(peer: &Peer, now: Instant, entropy: &mut dyn Entropy) -> SmallVec<[SocketAddr; 4]> {
    let mut ordered: SmallVec<[SocketAddr; 4]> = if peer.ranks.len() == peer.addresses.len() {
        order(&peer.ranks, entropy)
            .into_iter()
            .filter_map(|index| peer.addresses.get(index).copied())
            .collect()
    } else {
        peer.addresses.iter().copied().collect()
    };
    if ordered.len() > 1 {
        ordered.sort_by_key(|&address| peer.usage.standing.is_dead(address, now));
    }
    ordered.truncate(ADDRESSES_PER_CALL_MAX);
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Fault;
    use crate::testing::{TRUNK, plan, second_trunk};
    use ringfence_base::entropy::SeededEntropy;
    use std::time::Duration;

    const NOW: Instant = Instant::ZERO;
    const SITE: SiteId = SiteId::new(0);

    fn two_trunks() -> (Plan, PeerId) {
        let mut plan = plan();
        plan.peers.push(second_trunk());
        (plan, PeerId::new(2))
    }

    #[track_caller]
    fn check(plan: &Plan, now: Instant, emergency: bool, expected: &[PeerId]) {
        let mut entropy = SeededEntropy::new(7);
        let ways = ways(plan, SITE, PeerKind::Trunk, now, !emergency, &mut entropy);
        let peers: Vec<PeerId> = ways.iter().map(|way| way.peer).collect();
        assert_eq!(peers, expected);
    }

    #[test]
    fn a_lower_priority_comes_first() {
        let (mut plan, second) = two_trunks();
        plan.peers[second.index()].failover.priority = 2;
        check(&plan, NOW, false, &[TRUNK, second]);
        plan.peers[TRUNK.index()].failover.priority = 3;
        check(&plan, NOW, false, &[second, TRUNK]);
    }

    #[test]
    fn trunks_of_one_priority_share_10000_calls_by_weight() {
        let (mut plan, second) = two_trunks();
        plan.peers[second.index()].failover.weight = 3;
        let mut entropy = SeededEntropy::new(1);
        let to_second = (0..10_000)
            .filter(|_| {
                let ways = ways(&plan, SITE, PeerKind::Trunk, NOW, true, &mut entropy);
                ways[0].peer == second
            })
            .count();
        assert!((7_350..7_650).contains(&to_second), "{to_second}");
    }

    #[test]
    fn a_quarantined_trunk_comes_last_and_one_call_each_hold_probes_it() {
        let (mut plan, second) = two_trunks();
        plan.peers[second.index()].failover.priority = 2;
        let standing = &plan.peers[TRUNK.index()].usage.standing;
        assert!(standing.note_fault(NOW, Fault::Silent, 1));
        check(&plan, NOW, false, &[second, TRUNK]);
        let later = NOW + Duration::from_secs(11);
        check(&plan, later, true, &[second, TRUNK]);
        check(&plan, later, false, &[TRUNK, second]);
        check(&plan, later, false, &[second, TRUNK]);
    }

    #[test]
    fn if_all_are_quarantined_all_are_tried() {
        let (mut plan, second) = two_trunks();
        plan.peers[second.index()].failover.priority = 2;
        for id in [TRUNK, second] {
            let standing = &plan.peers[id.index()].usage.standing;
            assert!(standing.note_fault(NOW, Fault::Transport, 1));
        }
        check(&plan, NOW, false, &[TRUNK, second]);
    }

    #[test]
    fn a_dead_address_comes_after_the_live_ones_of_its_peer_rfc3263_4_3() {
        let mut plan = plan();
        let peer = &mut plan.peers[TRUNK.index()];
        let more: SocketAddr = "198.51.100.21:5060".parse().unwrap();
        let first = peer.addresses[0];
        peer.addresses.push(more);
        peer.usage.standing.note_dead(first, NOW);
        let mut entropy = SeededEntropy::new(1);
        let ways = ways(&plan, SITE, PeerKind::Trunk, NOW, true, &mut entropy);
        let addresses: Vec<SocketAddr> = ways.iter().map(|way| way.address).collect();
        assert_eq!(addresses, [more, first]);
    }

    #[test]
    fn a_call_tries_a_bounded_number_of_places() {
        let mut plan = plan();
        let many = (0..100).map(|n| SocketAddr::new([198, 51, 100, n].into(), 5060));
        plan.peers[TRUNK.index()].addresses = many.collect();
        check(&plan, NOW, false, &[TRUNK; ADDRESSES_PER_CALL_MAX]);
    }
}

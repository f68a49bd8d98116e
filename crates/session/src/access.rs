//! Who is this? The first question about every message, asked before any state is made.
//!
//! Default deny: a flow is served only when the plan names its source. Over UDP the source
//! address of a datagram is a claim, not a proof, so a peer that is configured for a stronger
//! transport is never believed over a weaker one.

use std::net::{IpAddr, SocketAddr};

use ringfence_base::net::{Flow, ListenerId, Transport};
use ringfence_base::{HashKey, KeyedMap};
use smallvec::SmallVec;

use crate::plan::{Network, PeerId, Plan};

/// The peers that a flow may be, best match first.
pub(crate) type Candidates = SmallVec<[PeerId; 2]>;

/// The plan's peers, indexed for the question "whose is this flow?".
#[derive(Debug)]
pub(crate) struct AccessTable {
    /// Exact source address and port of a peer's own address.
    exact: KeyedMap<(ListenerId, SocketAddr), Candidates>,
    /// A peer's own address, any port.
    hosts: KeyedMap<(ListenerId, IpAddr), Candidates>,
    /// `accept` blocks, in order of configuration.
    blocks: Vec<(ListenerId, Network, PeerId)>,
}

impl AccessTable {
    /// Indexes the peers of `plan`.
    pub(crate) fn new(plan: &Plan, key: HashKey) -> AccessTable {
        let mut table = AccessTable {
            exact: key.map(),
            hosts: key.map(),
            blocks: Vec::new(),
        };
        for (index, peer) in plan.peers.iter().enumerate() {
            let id = PeerId::new(index as u16);
            for address in &peer.addresses {
                let host = address.ip().to_canonical();
                let exact = SocketAddr::new(host, address.port());
                table
                    .exact
                    .entry((peer.listener, exact))
                    .or_default()
                    .push(id);
                table
                    .hosts
                    .entry((peer.listener, host))
                    .or_default()
                    .push(id);
            }
            for network in &peer.accept {
                // One host is the common case and the cheap one.
                match network.single_host() {
                    Some(host) => {
                        table
                            .hosts
                            .entry((peer.listener, host))
                            .or_default()
                            .push(id);
                    }
                    None => table.blocks.push((peer.listener, *network, id)),
                }
            }
        }
        table
    }

    /// The peers that `flow` may be; empty for a stranger. `tls_names` are the verified names of
    /// the client certificate, if the flow has one.
    pub(crate) fn identify(&self, plan: &Plan, flow: &Flow, tls_names: &[String]) -> Candidates {
        // Phones come by WebSocket, and nobody else.
        if flow.transport.is_web_socket() {
            return Candidates::new();
        }
        let host = flow.remote.ip().to_canonical();
        let source = SocketAddr::new(host, flow.remote.port());
        let mut found = Candidates::new();
        let mut consider = |id: PeerId| {
            let admitted = plan.peer(id).is_some_and(|peer| {
                strength(flow.transport) >= strength(peer.transport)
                    && (peer.tls_names.is_empty()
                        || tls_names.iter().any(|name| peer.tls_names.contains(name)))
            });
            if admitted && !found.contains(&id) {
                found.push(id);
            }
        };
        for id in self
            .exact
            .get(&(flow.listener, source))
            .into_iter()
            .flatten()
        {
            consider(*id);
        }
        for id in self.hosts.get(&(flow.listener, host)).into_iter().flatten() {
            consider(*id);
        }
        for (listener, network, id) in &self.blocks {
            if *listener == flow.listener && network.contains(host) {
                consider(*id);
            }
        }
        found
    }
}

/// How much a transport proves about the far side: a datagram nothing, a TCP handshake the
/// address, TLS the server too.
const fn strength(transport: Transport) -> u8 {
    match transport {
        Transport::Udp | Transport::Tcp | Transport::Ws => 0,
        Transport::Tls | Transport::Wss => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{LISTEN_INSIDE, LISTEN_OUTSIDE, PBX, TRUNK, plan};
    use ringfence_base::entropy::SeededEntropy;

    fn flow(listener: ListenerId, remote: &str) -> Flow {
        Flow::udp(listener, remote.parse().unwrap())
    }

    #[track_caller]
    fn check(flow: Flow, expected: &[PeerId]) {
        let plan = plan();
        let table = AccessTable::new(&plan, HashKey::generate(&mut SeededEntropy::new(1)));
        assert_eq!(table.identify(&plan, &flow, &[]).as_slice(), expected);
    }

    #[test]
    fn the_peers_own_address_is_admitted() {
        check(flow(LISTEN_OUTSIDE, "198.51.100.20:5060"), &[TRUNK]);
        check(flow(LISTEN_INSIDE, "192.0.2.10:5060"), &[PBX]);
    }

    #[test]
    fn an_accepted_block_is_admitted_from_any_port() {
        check(flow(LISTEN_OUTSIDE, "198.51.100.77:40000"), &[TRUNK]);
    }

    #[test]
    fn a_peer_is_nobody_on_the_other_listener() {
        check(flow(LISTEN_INSIDE, "198.51.100.20:5060"), &[]);
    }

    #[test]
    fn a_stranger_is_nobody() {
        check(flow(LISTEN_OUTSIDE, "203.0.113.66:5060"), &[]);
    }

    #[test]
    fn a_peer_configured_for_tls_is_not_believed_over_udp() {
        let mut plan = plan();
        plan.peers[TRUNK.index()].transport = Transport::Tls;
        let table = AccessTable::new(&plan, HashKey::generate(&mut SeededEntropy::new(1)));
        let mut flow = flow(LISTEN_OUTSIDE, "198.51.100.20:5061");
        assert!(table.identify(&plan, &flow, &[]).is_empty());
        flow.transport = Transport::Tls;
        assert_eq!(table.identify(&plan, &flow, &[]).as_slice(), &[TRUNK]);
    }

    #[test]
    fn mutual_tls_demands_one_of_the_names() {
        let mut plan = plan();
        plan.peers[TRUNK.index()].transport = Transport::Tls;
        plan.peers[TRUNK.index()].tls_names = vec!["sbc.carrier.example".into()];
        let table = AccessTable::new(&plan, HashKey::generate(&mut SeededEntropy::new(1)));
        let mut flow = flow(LISTEN_OUTSIDE, "198.51.100.20:5061");
        flow.transport = Transport::Tls;
        assert!(
            table
                .identify(&plan, &flow, &["other.example".into()])
                .is_empty()
        );
        assert_eq!(
            table
                .identify(&plan, &flow, &["sbc.carrier.example".into()])
                .len(),
            1
        );
    }
}

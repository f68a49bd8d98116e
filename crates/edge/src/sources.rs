//! Which addresses belong to configured peers, for the decisions that are made before a message
//! is read: who may hold a connection. Who may place a call is decided by `session`.

use std::net::IpAddr;

use ringfence_base::{ListenerId, Transport};
use ringfence_session::plan::{Network, Plan};

use crate::stream::Source;

/// The peers' addresses of a plan, by listener.
#[derive(Debug, Default)]
pub struct Sources {
    listeners: Vec<ListenerSources>,
}

#[derive(Debug, Default)]
struct ListenerSources {
    tcp: Option<IpAddr>,
    tls: Option<IpAddr>,
    /// Who may open a WebSocket; empty: anybody.
    origins: Vec<String>,
    addresses: Vec<IpAddr>,
    networks: Vec<Network>,
}

impl Sources {
    /// Reads them from `plan`.
    pub fn new(plan: &Plan) -> Sources {
        let mut listeners: Vec<ListenerSources> = plan
            .listeners
            .iter()
            .map(|listener| ListenerSources {
                tcp: listener.tcp.map(|address| address.ip()),
                tls: listener.tls.map(|address| address.ip()),
                origins: listener.ws_origins.clone(),
                ..ListenerSources::default()
            })
            .collect();
        for peer in &plan.peers {
            let Some(listener) = listeners.get_mut(peer.listener.index()) else {
                continue;
            };
            listener
                .addresses
                .extend(peer.addresses.iter().map(|address| address.ip()));
            listener.networks.extend_from_slice(&peer.accept);
        }
        for listener in &mut listeners {
            listener.addresses.sort_unstable();
            listener.addresses.dedup();
        }
        Sources { listeners }
    }

    /// Whose address `address` is at `listener`.
    pub fn class(&self, listener: ListenerId, address: IpAddr) -> Source {
        let Some(listener) = self.listeners.get(listener.index()) else {
            return Source::Stranger;
        };
        let address = address.to_canonical();
        let known = listener.addresses.binary_search(&address).is_ok()
            || listener
                .networks
                .iter()
                .any(|network| network.contains(address));
        if known {
            Source::Peer
        } else {
            Source::Stranger
        }
    }

    /// Whether `address` is a configured peer's at any listener.
    pub fn is_peer(&self, address: IpAddr) -> bool {
        (0..self.listeners.len() as u8)
            .map(ListenerId::new)
            .any(|listener| self.class(listener, address) == Source::Peer)
    }

    /// The address that connections of `listener` are made from.
    pub fn local_ip(&self, listener: ListenerId, transport: Transport) -> Option<IpAddr> {
        let listener = self.listeners.get(listener.index())?;
        match transport {
            Transport::Tcp => listener.tcp,
            Transport::Tls => listener.tls,
            // Nobody is called over a WebSocket that he did not open.
            Transport::Udp | Transport::Ws | Transport::Wss => None,
        }
    }

    /// The Origins that may open a WebSocket at `listener`; empty: any.
    pub fn origins(&self, listener: ListenerId) -> &[String] {
        let listener = self.listeners.get(listener.index());
        listener.map_or(&[], |listener| &listener.origins)
    }
}

//! TLS of the listeners and towards the peers, as one value that a reload replaces as a whole.
//!
//! A connection takes its configuration when it begins, so new certificates touch no open one.

pub mod build;
mod load;

use std::net::SocketAddr;
use std::sync::Arc;

use ringfence_base::ListenerId;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};

/// Everything that new connections need.
#[derive(Debug, Default)]
pub struct TlsContext {
    /// By [`ListenerId`]; `None` for a listener without TLS.
    pub listeners: Vec<Option<Arc<ServerConfig>>>,
    /// The peers that are reached over TLS, in the order of the plan.
    pub peers: Vec<PeerContext>,
}

/// TLS towards one peer.
#[derive(Debug)]
pub struct PeerContext {
    /// The listener that faces it.
    pub listener: ListenerId,
    /// Its resolved addresses.
    pub addresses: Vec<SocketAddr>,
    /// The name that its certificate must be for.
    pub name: ServerName<'static>,
    /// The rest.
    pub config: Arc<ClientConfig>,
}

impl TlsContext {
    /// What `listener` speaks to those who connect.
    pub fn server(&self, listener: ListenerId) -> Option<Arc<ServerConfig>> {
        self.listeners.get(listener.index())?.clone()
    }

    /// What is spoken to `remote`, and the name demanded of it: the first peer with this address.
    pub fn client(
        &self,
        listener: ListenerId,
        remote: SocketAddr,
    ) -> Option<(Arc<ClientConfig>, ServerName<'static>)> {
        self.peers
            .iter()
            .find(|peer| peer.listener == listener && peer.addresses.contains(&remote))
            .map(|peer| (Arc::clone(&peer.config), peer.name.clone()))
    }
}

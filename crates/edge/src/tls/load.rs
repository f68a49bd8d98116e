//! [`TlsContext`] from a configuration: reads the files it names.

use ringfence_base::{ListenerId, Transport};
use ringfence_control::config::{Config, Listen, Peer, SecretSource};
use ringfence_session::plan::Plan;
use rustls::pki_types::ServerName;

use super::build::{
    Identity, TlsError, client_config, roots_of_file, roots_of_system, server_config,
};
use super::{PeerContext, TlsContext};

impl TlsContext {
    /// Reads certificates, keys and authorities. `plan` is what `config` was compiled into, so
    /// its lists have the same order.
    pub fn load(config: &Config, plan: &Plan) -> Result<TlsContext, TlsError> {
        let mut context = TlsContext::default();
        for listen in &config.listeners {
            let server = (listen.tls.is_some() || listen.wss.is_some())
                .then(|| load_listener(listen))
                .transpose()?;
            context.listeners.push(server.flatten());
        }
        for (peer, compiled) in config.peers.iter().zip(&plan.peers) {
            if compiled.transport == Transport::Tls {
                let addresses = compiled.addresses.clone();
                context
                    .peers
                    .push(load_peer(peer, compiled.listener, addresses)?);
            }
        }
        Ok(context)
    }
}

fn load_listener(
    listen: &Listen,
) -> Result<Option<std::sync::Arc<rustls::ServerConfig>>, TlsError> {
    let what = format!("listen.{}", listen.name);
    // Validation has seen to it that TLS comes with both.
    let (Some(certificate), Some(key)) = (&listen.certificate, &listen.key) else {
        return Ok(None);
    };
    let identity = match &listen.acme {
        Some(acme) if !certificate.exists() => Identity::of_our_own(&what, &acme.domains)?,
        _ => Identity::read(&what, certificate, read_key(&what, key)?.expose())?,
    };
    let roots = listen.client_ca.as_deref().map(roots_of_file).transpose()?;
    server_config(&what, identity, roots, listen.tls12).map(Some)
}

fn load_peer(
    peer: &Peer,
    listener: ListenerId,
    addresses: Vec<std::net::SocketAddr>,
) -> Result<PeerContext, TlsError> {
    let what = peer.key();
    let roots = match &peer.tls.ca {
        Some(file) => roots_of_file(file)?,
        None => roots_of_system(&what)?,
    };
    let identity = match (&peer.tls.certificate, &peer.tls.key) {
        (Some(certificate), Some(key)) => Some(Identity::read(
            &what,
            certificate,
            read_key(&what, key)?.expose(),
        )?),
        _ => None,
    };
    let host = peer.tls.server_name.as_deref().unwrap_or(&peer.uri.host);
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let name =
        ServerName::try_from(host).map_err(|_| TlsError::ServerName { what: what.clone() })?;
    let config = client_config(&what, roots, identity, peer.tls.tls12)?;
    Ok(PeerContext {
        listener,
        addresses,
        name,
        config,
    })
}

fn read_key(what: &str, source: &SecretSource) -> Result<ringfence_base::Secret, TlsError> {
    source.read().map_err(|_| TlsError::Key {
        what: what.to_owned(),
    })
}

//! Binding everything that a configuration asks for, for all workers, before any of them runs.
//!
//! Listeners are shared by the workers (`SO_REUSEPORT`); each media port belongs to one worker.
//! All that fails is reported at once.

use std::io;
use std::net::{SocketAddr, TcpListener};

use ringfence_base::{ListenerId, Transport};
use ringfence_control::config::{Listen, MediaRange};

use super::STREAM_TRANSPORTS;
use super::media::BoundPair;
use crate::stream::listen;
use crate::udp::{BindOptions, UdpSocket};

/// Receive and send buffer of a signalling socket, in bytes: half a second of a flood of
/// requests at a rate that one core can read.
const SIGNALLING_BUFFER: usize = 8 << 20;

/// The sockets of one worker.
#[derive(Default)]
pub(crate) struct WorkerSockets {
    pub(crate) udp: Vec<(ListenerId, UdpSocket)>,
    pub(crate) stream: Vec<(ListenerId, Transport, TcpListener)>,
    pub(crate) media: Vec<BoundPair>,
}

/// An address that the host did not give us.
#[derive(Debug, thiserror::Error)]
#[error("listen.{listener}.{what}: {address} cannot be used")]
pub struct BindError {
    /// The listener's name.
    pub listener: String,
    /// `udp`, `tcp`, `tls`, `ws`, `wss` or `media`.
    pub what: &'static str,
    /// The address.
    pub address: SocketAddr,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// What was bound, and what could not be.
#[derive(Default)]
pub(crate) struct Bound {
    /// By worker.
    pub(crate) workers: Vec<WorkerSockets>,
    /// Media pairs that are in use by others: by listener.
    pub(crate) media_skipped: Vec<(String, usize)>,
    /// Addresses without which the edge does not start.
    pub(crate) errors: Vec<BindError>,
}

/// Binds `listeners` for `workers` workers.
pub(crate) fn bind_all(listeners: &[Listen], workers: usize) -> Bound {
    let mut bound = Bound::default();
    bound.workers.resize_with(workers, WorkerSockets::default);
    for (index, listen) in listeners.iter().enumerate() {
        let id = ListenerId::new(index as u8);
        if let Some(address) = listen.udp {
            let result = bind_udp(&mut bound.workers, id, address);
            bound.note(listen, "udp", address, result);
        }
        for transport in STREAM_TRANSPORTS {
            if let Some(address) = listen.address(transport) {
                let result = bind_stream(&mut bound.workers, id, transport, address);
                bound.note(listen, transport.uri_name(), address, result);
            }
        }
        if let Some(range) = listen.media {
            bind_media(&mut bound, listen, id, range);
        }
    }
    bound
}

impl Bound {
    fn note(
        &mut self,
        listen: &Listen,
        what: &'static str,
        address: SocketAddr,
        result: io::Result<()>,
    ) {
        if let Err(source) = result {
            let listener = listen.name.clone();
            self.errors.push(BindError {
                listener,
                what,
                address,
                source,
            });
        }
    }
}

/// A socket that is shared by our workers could be shared by another program of the same user
/// too. A first one that is not shared shows whether the address is free.
fn bind_udp(workers: &mut [WorkerSockets], id: ListenerId, address: SocketAddr) -> io::Result<()> {
    let buffer = Some(SIGNALLING_BUFFER);
    let shared = workers.len() > 1;
    if shared {
        drop(UdpSocket::bind(address, BindOptions::default())?);
    }
    for worker in workers {
        worker.udp.push((
            id,
            UdpSocket::bind(address, BindOptions { shared, buffer })?,
        ));
    }
    Ok(())
}

fn bind_stream(
    workers: &mut [WorkerSockets],
    id: ListenerId,
    transport: Transport,
    address: SocketAddr,
) -> io::Result<()> {
    let shared = workers.len() > 1;
    if shared {
        drop(listen(address, false)?);
    }
    for worker in workers {
        worker
            .stream
            .push((id, transport, listen(address, shared)?));
    }
    Ok(())
}

/// Each worker gets every nth pair. A pair of which one port is in use is left out.
fn bind_media(bound: &mut Bound, listen: &Listen, id: ListenerId, range: MediaRange) {
    let workers = bound.workers.len();
    let (mut pairs, mut skipped, mut last_error) = (0, 0, None);
    for address in range.pairs() {
        match bind_pair(address) {
            Ok((rtp, rtcp)) => {
                bound.workers[pairs % workers].media.push(BoundPair {
                    listener: id,
                    rtp,
                    rtcp,
                });
                pairs += 1;
            }
            Err(error) => {
                skipped += 1;
                last_error = Some((address, error));
            }
        }
    }
    match last_error {
        Some((address, source)) if pairs == 0 => bound.note(listen, "media", address, Err(source)),
        Some(_) => bound.media_skipped.push((listen.name.clone(), skipped)),
        None => {}
    }
}

fn bind_pair(address: SocketAddr) -> io::Result<(UdpSocket, UdpSocket)> {
    let rtp = UdpSocket::bind(address, BindOptions::default())?;
    let rtcp = SocketAddr::new(address.ip(), address.port().saturating_add(1));
    Ok((rtp, UdpSocket::bind(rtcp, BindOptions::default())?))
}

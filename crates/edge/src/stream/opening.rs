//! How a connection begins: taken from a listener, or opened towards a peer.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use ringfence_base::{ConnectionId, Flow, Instant, ListenerId, Transport};

use super::connection::{Connection, Security};
use super::{Slot, Source, Streams, dial};
use crate::epoll::{Interest, Poller};
use crate::token::Token;

impl Streams {
    /// Takes the connections that wait at an acceptor.
    pub fn on_acceptable(&mut self, now: Instant, poller: &Poller, index: u32) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(acceptor) = self.acceptors.get(index as usize) else {
                return;
            };
            match acceptor.socket.accept() {
                Ok((socket, remote)) => {
                    let (listener, transport) = (acceptor.listener, acceptor.transport);
                    self.accept(now, poller, socket, (listener, transport, remote));
                }
                Err(error) if is_out_of_descriptors(&error) => {
                    self.pause(now, poller);
                    return;
                }
                // Nothing waits, or the one that waited is gone.
                Err(_) => return,
            }
        }
    }

    fn accept(
        &mut self,
        now: Instant,
        poller: &Poller,
        socket: TcpStream,
        (listener, transport, remote): (ListenerId, Transport, SocketAddr),
    ) {
        let security = match transport {
            Transport::Tls | Transport::Wss => match self.tls.server(listener) {
                Some(config) => Security::Server(config),
                None => return,
            },
            _ => Security::None,
        };
        let source = self.sources.class(listener, remote.ip());
        if dial::prepare(&socket).is_err() || self.admission.admit(remote.ip(), source).is_err() {
            self.counters.refused += 1;
            return;
        }
        // Before any state of TLS: an asymmetric signature is what such a flood is after.
        let costs = transport.is_secure() && source == Source::Stranger;
        if costs && !self.handshakes.admit(now, remote.ip()) {
            self.admission.release(remote.ip(), source);
            self.counters.handshakes_refused += 1;
            return;
        }
        let flow = Flow {
            listener,
            transport,
            remote,
            connection: None,
        };
        if self
            .insert(now, poller, socket, flow, source, security, false)
            .is_some()
        {
            self.counters.accepted += 1;
        }
    }

    /// Opens a connection. `None` when it cannot even be tried.
    pub(super) fn open(&mut self, now: Instant, poller: &Poller, flow: Flow) -> Option<u32> {
        let security = match flow.transport {
            Transport::Tls => {
                let (config, name) = self.tls.client(flow.listener, flow.remote)?;
                Security::Client(config, name)
            }
            Transport::Tcp => Security::None,
            Transport::Udp | Transport::Ws | Transport::Wss => return None,
        };
        let local = self.sources.local_ip(flow.listener, flow.transport)?;
        let socket = dial::start(local, flow.remote).ok()?;
        let source = self.sources.class(flow.listener, flow.remote.ip());
        if self.admission.admit(flow.remote.ip(), source).is_err() {
            self.counters.refused += 1;
            return None;
        }
        let slot = self.insert(now, poller, socket, flow, source, security, true)?;
        self.counters.connected += 1;
        Some(slot)
    }

    #[allow(clippy::too_many_arguments)] // all of them are fields of the new connection
    fn insert(
        &mut self,
        now: Instant,
        poller: &Poller,
        socket: TcpStream,
        flow: Flow,
        source: Source,
        security: Security,
        outbound: bool,
    ) -> Option<u32> {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u32
        });
        let generation = self.slots.get(slot as usize)?.generation;
        let id = ConnectionId {
            worker: self.worker,
            slot,
            generation,
        };
        let flow = Flow {
            connection: Some(id),
            ..flow
        };
        let added = Connection::new(now, socket, flow, source, security, outbound)
            .map_err(io::Error::other)
            .and_then(|connection| {
                let token = Token::Connection { slot, generation }.encode();
                poller.add(connection.socket.as_fd(), token, connection.interest)?;
                Ok(connection)
            });
        let Ok(connection) = added else {
            self.admission.release(flow.remote.ip(), source);
            self.free.push(slot);
            return None;
        };
        self.slots.get_mut(slot as usize)?.connection = Some(Box::new(connection));
        // Over TLS only what we opened is proved to lead where it should: a request, and the
        // media keys in it, never goes to whoever connected from the right address.
        if outbound || !flow.transport.is_secure() {
            self.by_flow
                .insert((flow.listener, flow.transport, flow.remote), slot);
        }
        let open = &mut self.counters.open_by_listener;
        if open.len() <= flow.listener.index() {
            open.resize(flow.listener.index() + 1, 0);
        }
        open[flow.listener.index()] += 1;
        self.schedule(slot);
        Some(slot)
    }

    /// Out of file descriptors: not to spin on a socket that stays ready, accept nothing for a
    /// moment.
    fn pause(&mut self, now: Instant, poller: &Poller) {
        self.counters.refused += 1;
        self.paused_until = Some(now + ACCEPT_PAUSE);
        self.watch_acceptors(poller, Interest::Write);
    }

    pub(super) fn watch_acceptors(&self, poller: &Poller, interest: Interest) {
        for (index, acceptor) in self.acceptors.iter().enumerate() {
            let token = Token::Accept(index as u32).encode();
            // Fails only for a descriptor that is not watched, and these are.
            let _ = poller.modify(acceptor.socket.as_fd(), token, interest);
        }
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}

/// Connections taken in one turn from one listener.
const ACCEPTS_PER_TURN: usize = 32;

/// How long nothing is accepted when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

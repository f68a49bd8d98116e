//! TCP and TLS connections of one worker, in its own event loop (RFC 3261 §18, RFC 5626 §4.4.1).
//!
//! A message to a far side without a named connection finds an open one to the same listener,
//! transport and address, or opens one. What is queued in a turn is written once at its end.
//! Every connection has a deadline while it owes us something, so that neither a silent nor a
//! trickling stranger keeps a place.
//!
//! Left out on purpose: connection reuse by alias (RFC 5923) and the RFC 5626 registrar side.

mod admission;
mod connection;
mod counters;
mod dial;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use ringfence_base::{
    ConnectionId, Flow, HashKey, Instant, KeyedMap, ListenerId, TimerQueue, Transport, WorkerIndex,
};
use ringfence_sip::frame::Frame;
use ringfence_sip::{Index, Message};

use crate::epoll::{Interest, Poller, Ready};
use crate::sources::Sources;
use crate::tls::TlsContext;
use crate::token::Token;

use admission::Admission;
pub use admission::{CONNECTIONS_MAX, STRANGER_ADDRESS_MAX, STRANGERS_MAX, Source};
pub use connection::{CONNECT_TIMEOUT, MESSAGE_TIMEOUT, STRANGER_IDLE, UNSENT_MAX, WRITE_TIMEOUT};
use connection::{Connection, Security};
pub use counters::{CloseReason, StreamCounters};
pub use dial::listen;

/// Where received messages and bad news go.
pub trait StreamSink {
    /// A message came complete. Returns whether it was handed to another worker.
    fn message(&mut self, flow: Flow, message: &Message<'_>, names: &Arc<[String]>) -> bool;
    /// What was to be sent over `flow` was not, or will not be.
    fn failed(&mut self, flow: Flow);
    /// A connection is gone. `shared`: other workers were given messages of it.
    fn closed(&mut self, connection: ConnectionId, shared: bool);
}

/// The connections of one worker.
pub struct Streams {
    worker: WorkerIndex,
    acceptors: Vec<Acceptor>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_flow: KeyedMap<(ListenerId, Transport, SocketAddr), u32>,
    admission: Admission,
    deadlines: TimerQueue<(u32, u32)>,
    dirty: Vec<u32>,
    /// Accepting is paused until then: the process is out of file descriptors.
    paused_until: Option<Instant>,
    sources: Arc<Sources>,
    tls: Arc<TlsContext>,
    counters: StreamCounters,
    index: Index,
    scratch: Box<[u8]>,
}

struct Acceptor {
    socket: TcpListener,
    listener: ListenerId,
    transport: Transport,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    connection: Option<Box<Connection>>,
}

impl Streams {
    /// No listener and no connection yet.
    pub fn new(
        worker: WorkerIndex,
        key: HashKey,
        sources: Arc<Sources>,
        tls: Arc<TlsContext>,
    ) -> Streams {
        Streams {
            worker,
            acceptors: Vec::new(),
            slots: Vec::new(),
            free: Vec::new(),
            by_flow: key.map(),
            admission: Admission::new(key),
            deadlines: TimerQueue::default(),
            dirty: Vec::new(),
            paused_until: None,
            sources,
            tls,
            counters: StreamCounters::default(),
            index: Index::default(),
            scratch: vec![0; READ_CHUNK].into_boxed_slice(),
        }
    }

    /// Takes connections from `socket`, which is bound, listening and non-blocking.
    pub fn listen(
        &mut self,
        poller: &Poller,
        listener: ListenerId,
        transport: Transport,
        socket: TcpListener,
    ) -> io::Result<()> {
        let token = Token::Accept(self.acceptors.len() as u32);
        poller.add(socket.as_fd(), token.encode(), Interest::Read)?;
        self.acceptors.push(Acceptor {
            socket,
            listener,
            transport,
        });
        Ok(())
    }

    /// Uses other peers and other certificates from now on; open connections stay as they are.
    pub fn reload(&mut self, sources: Arc<Sources>, tls: Arc<TlsContext>) {
        (self.sources, self.tls) = (sources, tls);
    }

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

    /// Reads from and writes to a ready connection.
    pub fn on_ready(
        &mut self,
        now: Instant,
        poller: &Poller,
        (slot, generation): (u32, u32),
        ready: Ready,
        sink: &mut dyn StreamSink,
    ) {
        let Some(connection) = self.connection(slot, generation) else {
            return;
        };
        let mut result = Ok(());
        if ready.writable {
            result = connection
                .finish_connect()
                .and_then(|()| connection.flush(now));
        }
        if ready.readable && result.is_ok() {
            result = self.receive(now, slot, sink);
        }
        self.settle(poller, slot, result, sink);
    }

    /// Queues a message. What cannot be sent is reported to `sink`.
    pub fn send(
        &mut self,
        now: Instant,
        poller: &Poller,
        flow: Flow,
        bytes: &[u8],
        sink: &mut dyn StreamSink,
    ) {
        let found = match flow.connection {
            Some(id) if id.worker == self.worker => self
                .connection(id.slot, id.generation)
                .is_some()
                .then_some(id.slot),
            Some(_) => None,
            None => match self
                .by_flow
                .get(&(flow.listener, flow.transport, flow.remote))
            {
                Some(&slot) => Some(slot),
                None => self.open(now, poller, flow),
            },
        };
        let Some(slot) = found else {
            self.counters.unsendable += 1;
            sink.failed(flow);
            return;
        };
        let Some(connection) = self.slot_mut(slot) else {
            return;
        };
        match connection.queue(bytes) {
            Ok(()) => {
                if !connection.dirty {
                    connection.dirty = true;
                    self.dirty.push(slot);
                }
            }
            Err(reason) => {
                self.counters.unsendable += 1;
                self.close(slot, reason, sink);
                sink.failed(flow);
            }
        }
    }

    /// Writes what was queued in this turn and closes what is overdue.
    pub fn finish_turn(&mut self, now: Instant, poller: &Poller, sink: &mut dyn StreamSink) {
        while let Some(slot) = self.dirty.pop() {
            let Some(connection) = self.slot_mut(slot) else {
                continue;
            };
            connection.dirty = false;
            let result = connection.flush(now);
            self.settle(poller, slot, result, sink);
        }
        while let Some((slot, generation)) = self.deadlines.pop_due(now) {
            let Some(connection) = self.connection(slot, generation) else {
                continue;
            };
            connection.scheduled = Instant::MAX;
            let result = match connection.deadline() {
                Some((at, reason)) if at <= now => Err(reason),
                _ => Ok(()),
            };
            self.settle(poller, slot, result, sink);
        }
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
            self.watch_acceptors(poller, Interest::Read);
        }
    }

    /// When [`Streams::finish_turn`] has something to do next. Ask after each turn.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.deadlines.next_at(), self.paused_until]
            .into_iter()
            .flatten()
            .min()
    }

    /// Messages received so far.
    pub fn messages(&self) -> u64 {
        self.counters.messages
    }

    /// The counters.
    pub fn counters(&self) -> StreamCounters {
        StreamCounters {
            open: self.admission.total() as u64,
            ..self.counters.clone()
        }
    }

    /// Closes all connections properly: the process ends.
    pub fn close_all(&mut self, sink: &mut dyn StreamSink) {
        for slot in 0..self.slots.len() as u32 {
            self.close(slot, CloseReason::Idle, sink);
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
            Transport::Tls => match self.tls.server(listener) {
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
    fn open(&mut self, now: Instant, poller: &Poller, flow: Flow) -> Option<u32> {
        let security = match flow.transport {
            Transport::Tls => {
                let (config, name) = self.tls.client(flow.listener, flow.remote)?;
                Security::Client(config, name)
            }
            Transport::Tcp => Security::None,
            Transport::Udp => return None,
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
        if outbound || flow.transport != Transport::Tls {
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

    /// Reads once and gives every complete message to `sink`.
    fn receive(
        &mut self,
        now: Instant,
        slot: u32,
        sink: &mut dyn StreamSink,
    ) -> Result<(), CloseReason> {
        let Streams {
            slots,
            index,
            scratch,
            counters,
            ..
        } = self;
        let Some(connection) = slots
            .get_mut(slot as usize)
            .and_then(|slot| slot.connection.as_deref_mut())
        else {
            return Ok(());
        };
        if !connection.receive(scratch)? {
            return Ok(());
        }
        let (mut messages, mut pings, mut handed_over) = (0, 0u32, false);
        let framed = loop {
            match connection.framer.next(index) {
                Ok(Some(Frame::Message(message))) => {
                    messages += 1;
                    handed_over |= sink.message(connection.flow, &message, &connection.names);
                }
                Ok(Some(Frame::Ping)) => pings += 1,
                Ok(None) => break Ok(()),
                Ok(Some(Frame::Broken(..))) | Err(_) => break Err(CloseReason::NotSip),
            }
        };
        counters.messages += messages;
        counters.pings += u64::from(pings);
        connection.shared |= handed_over;
        if messages > 0 {
            connection.note_message(now);
        }
        connection.note_partial(now);
        framed?;
        if connection.closing {
            return Err(CloseReason::ByPeer);
        }
        for _ in 0..pings.min(PONGS_PER_READ) {
            connection.queue(b"\r\n")?;
        }
        connection.flush(now)
    }

    /// After something happened to a connection: closes it, or watches and schedules it anew.
    fn settle(
        &mut self,
        poller: &Poller,
        slot: u32,
        result: Result<(), CloseReason>,
        sink: &mut dyn StreamSink,
    ) {
        let watched = result.and_then(|()| {
            let Some(connection) = self.slot_mut(slot) else {
                return Ok(());
            };
            let wanted = connection.wanted_interest();
            if wanted != connection.interest {
                let Some(id) = connection.flow.connection else {
                    return Ok(());
                };
                let token = Token::Connection {
                    slot,
                    generation: id.generation,
                }
                .encode();
                poller
                    .modify(connection.socket.as_fd(), token, wanted)
                    .map_err(|_| CloseReason::Error)?;
                connection.interest = wanted;
            }
            Ok(())
        });
        match watched {
            Ok(()) => self.schedule(slot),
            Err(reason) => self.close(slot, reason, sink),
        }
    }

    /// Sees to it that the deadline queue looks at the connection in time.
    fn schedule(&mut self, slot: u32) {
        let Some(connection) = self.slot_mut(slot) else {
            return;
        };
        let Some((at, _)) = connection.deadline() else {
            return;
        };
        let Some(id) = connection.flow.connection else {
            return;
        };
        if at < connection.scheduled {
            connection.scheduled = at;
            self.deadlines.schedule(at, (slot, id.generation));
        }
    }

    fn close(&mut self, slot: u32, reason: CloseReason, sink: &mut dyn StreamSink) {
        let Some(entry) = self.slots.get_mut(slot as usize) else {
            return;
        };
        let Some(mut connection) = entry.connection.take() else {
            return;
        };
        entry.generation = entry.generation.wrapping_add(1) & Token::GENERATION_MASK;
        self.free.push(slot);
        let flow = connection.flow;
        let key = (flow.listener, flow.transport, flow.remote);
        if self.by_flow.get(&key) == Some(&slot) {
            self.by_flow.remove(&key);
        }
        self.admission.release(flow.remote.ip(), connection.source);
        self.counters.closed[reason as usize] += 1;
        self.counters.open_by_listener[flow.listener.index()] -= 1;
        connection.say_goodbye();
        tracing::debug!(remote = %flow.remote, transport = %flow.transport, reason = reason.as_str(),
            "connection closed");
        if let Some(id) = flow.connection {
            sink.closed(id, connection.shared);
        }
        if connection.outbound {
            sink.failed(Flow {
                connection: None,
                ..flow
            });
        }
    }

    /// Out of file descriptors: not to spin on a socket that stays ready, accept nothing for a
    /// moment.
    fn pause(&mut self, now: Instant, poller: &Poller) {
        self.counters.refused += 1;
        self.paused_until = Some(now + ACCEPT_PAUSE);
        self.watch_acceptors(poller, Interest::Write);
    }

    fn watch_acceptors(&self, poller: &Poller, interest: Interest) {
        for (index, acceptor) in self.acceptors.iter().enumerate() {
            let token = Token::Accept(index as u32).encode();
            // Fails only for a descriptor that is not watched, and these are.
            let _ = poller.modify(acceptor.socket.as_fd(), token, interest);
        }
    }

    fn connection(&mut self, slot: u32, generation: u32) -> Option<&mut Connection> {
        let entry = self.slots.get_mut(slot as usize)?;
        (entry.generation == generation).then_some(())?;
        entry.connection.as_deref_mut()
    }

    fn slot_mut(&mut self, slot: u32) -> Option<&mut Connection> {
        self.slots.get_mut(slot as usize)?.connection.as_deref_mut()
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}

/// Bytes read from a socket at once.
const READ_CHUNK: usize = 16 * 1024;

/// Connections taken in one turn from one listener.
const ACCEPTS_PER_TURN: usize = 32;

/// Keep-alive answers to one read: whoever sends more at once does not keep alive.
const PONGS_PER_READ: u32 = 4;

/// How long nothing is accepted when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

//! TCP, TLS and WebSocket connections of one worker, in its own event loop (RFC 3261 §18, RFC 5626 §4.4.1).
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
mod handshakes;
mod opening;
#[cfg(test)]
mod tests;
mod websocket;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::sync::Arc;

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
use connection::Connection;
pub use connection::{CONNECT_TIMEOUT, MESSAGE_TIMEOUT, STRANGER_IDLE, UNSENT_MAX, WRITE_TIMEOUT};
pub use counters::{CloseReason, StreamCounters};
pub use dial::listen;
use handshakes::Handshakes;

/// Where received messages and bad news go.
pub trait StreamSink {
    /// A message came complete. Returns whether it was handed to another worker.
    fn message(&mut self, flow: Flow, message: &Message<'_>, names: &Arc<[String]>) -> bool;
    /// What was to be sent over `flow` was not, or will not be.
    fn failed(&mut self, flow: Flow);
    /// A connection is gone. `shared`: other workers were given messages of it.
    fn closed(&mut self, connection: ConnectionId, shared: bool);
    /// Whether a phone registered over this connection.
    fn is_registered(&self, connection: ConnectionId) -> bool;
}

/// The connections of one worker.
pub struct Streams {
    worker: WorkerIndex,
    acceptors: Vec<Acceptor>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_flow: KeyedMap<(ListenerId, Transport, SocketAddr), u32>,
    admission: Admission,
    handshakes: Handshakes,
    deadlines: TimerQueue<(u32, u32)>,
    dirty: Vec<u32>,
    /// Accepting is paused until then: the process is out of file descriptors.
    paused_until: Option<Instant>,
    sources: Arc<Sources>,
    tls: Arc<TlsContext>,
    counters: StreamCounters,
    /// Strangers' connections that were closed since the last look, without a message in time.
    wordless: Vec<Flow>,
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
            handshakes: Handshakes::new(key),
            deadlines: TimerQueue::default(),
            dirty: Vec::new(),
            paused_until: None,
            sources,
            tls,
            counters: StreamCounters::default(),
            wordless: Vec::new(),
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

    /// A phone registered over a connection by way of another worker: it may be idle from now on.
    pub fn note_registered(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connection(id.slot, id.generation) {
            connection.registered = true;
        }
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

    /// A stranger's connection that was closed because no complete message came in its time.
    pub fn poll_wordless(&mut self) -> Option<Flow> {
        self.wordless.pop()
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
            sources,
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
        let mut web = connection.web.take();
        let framed = loop {
            if let Some(web) = &mut web {
                let mut out = Vec::new();
                let next = web.next(sources.origins(connection.flow.listener), &mut out);
                let queued = connection.queue_bytes(&out);
                match next.map_err(|_| CloseReason::WebSocket) {
                    _ if queued.is_err() => break queued,
                    // The keep-alive of RFC 5626 §4.4.1, which a WebSocket's ping makes needless.
                    Ok(Some(bytes)) if bytes.trim_ascii().is_empty() => pings += 1,
                    Ok(Some(bytes)) => match index.parse(&bytes) {
                        Ok(message) => {
                            messages += 1;
                            handed_over |=
                                sink.message(connection.flow, &message, &connection.names);
                        }
                        Err(_) => break Err(CloseReason::NotSip),
                    },
                    Ok(None) if web.is_closed() => break Err(CloseReason::ByPeer),
                    Ok(None) => break Ok(()),
                    Err(reason) => break Err(reason),
                }
                continue;
            }
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
        connection.web = web;
        counters.messages += messages;
        counters.pings += u64::from(pings);
        connection.shared |= handed_over;
        if messages > 0 {
            connection.note_message(now);
            let id = connection.flow.connection;
            connection.registered |= id.is_some_and(|id| sink.is_registered(id));
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
        let overdue = matches!(reason, CloseReason::Partial | CloseReason::Silent);
        let known = connection.source == Source::Peer || connection.registered;
        let stranger = !known && !connection.outbound;
        if overdue && stranger && self.wordless.len() < WORDLESS_MAX {
            self.wordless.push(flow);
        }
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

    fn connection(&mut self, slot: u32, generation: u32) -> Option<&mut Connection> {
        let entry = self.slots.get_mut(slot as usize)?;
        (entry.generation == generation).then_some(())?;
        entry.connection.as_deref_mut()
    }

    fn slot_mut(&mut self, slot: u32) -> Option<&mut Connection> {
        self.slots.get_mut(slot as usize)?.connection.as_deref_mut()
    }
}

/// Bytes read from a socket at once.
const READ_CHUNK: usize = 16 * 1024;

/// Keep-alive answers to one read: whoever sends more at once does not keep alive.
const PONGS_PER_READ: u32 = 4;

/// Strangers' connections that wait to be told of; more in one turn are only counted.
const WORDLESS_MAX: usize = 256;

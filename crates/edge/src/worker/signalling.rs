//! The ways of a message: from a socket to the worker that owns its call, and out again.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use ringfence_base::{ConnectionId, Flow, Instant, ListenerId, Transport, WorkerIndex};
use ringfence_dialog::Transmit;
use ringfence_session::core::{Core, Input};
use ringfence_session::owner::Ownership;
use ringfence_sip::{Index, Message};

use super::mailbox::Handover;
use super::snapshot::WorkerCounters;
use crate::epoll::{Interest, Poller};
use crate::judge::shield::Gate;
use crate::ring::RingSender;
use crate::stream::{StreamSink, Streams};
use crate::tap::Tap;
use crate::token::Token;
use crate::udp::{ReceiveBatch, SendBatch, UdpSocket};

/// Who gets what: this worker's core, or another worker.
pub(crate) struct Router {
    pub(crate) worker: WorkerIndex,
    pub(crate) ownership: Ownership,
    /// To every worker; the entry of this one is not used.
    pub(crate) rings: Vec<RingSender<Handover>>,
}

impl Router {
    pub(crate) fn push(
        &self,
        to: WorkerIndex,
        handover: Handover,
        counters: &mut WorkerCounters,
    ) -> bool {
        match self.rings.get(to.index()).map(|ring| ring.push(handover)) {
            Some(Ok(())) => {
                counters.handed_over += 1;
                true
            }
            _ => {
                counters.hand_over_refused += 1;
                false
            }
        }
    }
}

/// Takes messages and bad news in, for the time of one turn.
pub(crate) struct Inbound<'a> {
    pub(crate) now: Instant,
    pub(crate) core: &'a mut Core,
    pub(crate) router: &'a Router,
    pub(crate) counters: &'a mut WorkerCounters,
    pub(crate) tap: &'a Tap,
    pub(crate) gate: &'a mut Gate,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivered {
    /// Our core had it.
    Here,
    /// It went to another worker.
    HandedOver,
    /// The other worker's ring is full.
    Lost,
}

impl Inbound<'_> {
    /// Gives a message to its owner.
    fn deliver(&mut self, flow: Flow, message: &Message<'_>, names: &Arc<[String]>) -> Delivered {
        let owner = self.router.ownership.owner_of(message, self.router.worker);
        if owner == self.router.worker {
            let others = self.router.rings.len().saturating_sub(1) as u8;
            return self.take(flow, message, names, others);
        }
        let handover = Handover::Message {
            flow,
            bytes: message.bytes().into(),
            names: Arc::clone(names),
        };
        match self.router.push(owner, handover, self.counters) {
            true => Delivered::HandedOver,
            false => Delivered::Lost,
        }
    }

    /// Handles a message that is ours as far as it says. A CANCEL, and the ACK of a failure, say
    /// nothing of the call that their INVITE was to replace, by which that one found its worker:
    /// they go round until somebody knows the INVITE. The last of the `others` answers.
    fn take(
        &mut self,
        flow: Flow,
        message: &Message<'_>,
        names: &Arc<[String]>,
        others: u8,
    ) -> Delivered {
        if others > 0
            && self.router.ownership.says_nothing(message)
            && !self.core.transactions().knows(&flow, message)
        {
            let next = (self.router.worker.index() + 1) % self.router.rings.len();
            let handover = Handover::OfInvite {
                flow,
                bytes: message.bytes().into(),
                names: Arc::clone(names),
                others: others - 1,
            };
            let next = WorkerIndex::new(next as u8);
            return match self.router.push(next, handover, self.counters) {
                true => Delivered::HandedOver,
                false => Delivered::Lost,
            };
        }
        let input = Input::Message {
            flow,
            message,
            tls_names: names,
        };
        self.core.handle_input(self.now, input);
        Delivered::Here
    }

    /// A message of our core that stays inside the process.
    fn pass_within(&mut self, transmit: Transmit) {
        let mut index = Index::default();
        // The core wrote it.
        let Ok(message) = index.parse(&transmit.bytes) else {
            return;
        };
        if self.deliver(transmit.flow, &message, &Arc::from([])) == Delivered::Lost {
            self.fail(transmit.flow);
        }
    }

    fn fail(&mut self, flow: Flow) {
        self.core
            .handle_input(self.now, Input::TransportFailed { flow });
    }
}

impl StreamSink for Inbound<'_> {
    fn message(&mut self, flow: Flow, message: &Message<'_>, names: &Arc<[String]>) -> bool {
        // A datagram was asked for before it was parsed.
        let stream = flow.transport != Transport::Udp;
        if stream && !self.gate.admits(self.now, flow.remote.ip()) {
            return false;
        }
        self.tap.received(self.now, &flow, message.bytes());
        self.deliver(flow, message, names) == Delivered::HandedOver
    }

    fn failed(&mut self, flow: Flow) {
        self.fail(flow);
    }

    fn closed(&mut self, connection: ConnectionId, shared: bool) {
        self.core
            .handle_input(self.now, Input::ConnectionClosed { connection });
        if shared {
            let others = (0..self.router.rings.len() as u8).map(WorkerIndex::new);
            for other in others.filter(|other| *other != self.router.worker) {
                self.router
                    .push(other, Handover::Closed(connection), self.counters);
            }
        }
    }

    fn is_registered(&self, connection: ConnectionId) -> bool {
        self.core.is_phone_flow(connection)
    }
}

/// Sends for another worker: that one must know of a failure.
struct OnBehalf<'a, 'b> {
    inbound: &'a mut Inbound<'b>,
    from: WorkerIndex,
}

impl StreamSink for OnBehalf<'_, '_> {
    fn message(&mut self, flow: Flow, message: &Message<'_>, names: &Arc<[String]>) -> bool {
        self.inbound.message(flow, message, names)
    }

    fn failed(&mut self, flow: Flow) {
        self.inbound
            .router
            .push(self.from, Handover::Failed(flow), self.inbound.counters);
    }

    fn closed(&mut self, connection: ConnectionId, shared: bool) {
        self.inbound.closed(connection, shared);
    }

    fn is_registered(&self, connection: ConnectionId) -> bool {
        self.inbound.is_registered(connection)
    }
}

/// A shared listener's UDP socket in one worker, and what waits to be sent there.
pub(crate) struct Datagrams {
    listener: ListenerId,
    socket: UdpSocket,
    outgoing: SendBatch,
}

/// All signalling UDP sockets of one worker.
pub(crate) struct UdpSignalling {
    sockets: Vec<Datagrams>,
    /// Place in `sockets` by listener.
    by_listener: Vec<Option<usize>>,
    incoming: ReceiveBatch,
    index: Index,
    no_names: Arc<[String]>,
}

impl UdpSignalling {
    /// Watches `sockets`.
    pub(crate) fn new(
        sockets: Vec<(ListenerId, UdpSocket)>,
        poller: &Poller,
    ) -> io::Result<UdpSignalling> {
        let mut by_listener = Vec::new();
        let mut watched = Vec::new();
        for (listener, socket) in sockets {
            let token = Token::Udp(watched.len() as u32);
            poller.add(socket.as_fd(), token.encode(), Interest::Read)?;
            if by_listener.len() <= listener.index() {
                by_listener.resize(listener.index() + 1, None);
            }
            by_listener[listener.index()] = Some(watched.len());
            watched.push(Datagrams {
                listener,
                socket,
                outgoing: SendBatch::new(),
            });
        }
        Ok(UdpSignalling {
            sockets: watched,
            by_listener,
            incoming: ReceiveBatch::new(),
            index: Index::default(),
            no_names: Arc::from([]),
        })
    }

    /// Receives one batch of a socket.
    pub(crate) fn receive(&mut self, place: u32, inbound: &mut Inbound<'_>) {
        let Some(datagrams) = self.sockets.get(place as usize) else {
            return;
        };
        let Ok(count) = self.incoming.receive(&datagrams.socket) else {
            inbound.counters.receive_errors += 1;
            return;
        };
        inbound.counters.datagrams_received += count as u64;
        for number in 0..count {
            let Some((bytes, remote)) = self.incoming.datagram(number) else {
                continue;
            };
            if !inbound.gate.admits(inbound.now, remote.ip()) {
                continue;
            }
            // Nobody can be answered there, and inside it means one of our own workers.
            let flow = Flow::udp(datagrams.listener, remote);
            if flow.is_within() {
                continue;
            }
            if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
                inbound.counters.keep_alives += 1;
                continue;
            }
            match self.index.parse(bytes) {
                Ok(message) => {
                    inbound.message(flow, &message, &self.no_names);
                }
                Err(_) => inbound
                    .core
                    .handle_input(inbound.now, Input::Unparseable { flow }),
            }
        }
    }

    /// Queues a datagram; a full batch goes out at once.
    fn send(&mut self, transmit: Transmit, counters: &mut WorkerCounters) {
        let place = self
            .by_listener
            .get(transmit.flow.listener.index())
            .copied()
            .flatten();
        let Some(datagrams) = place.and_then(|place| self.sockets.get_mut(place)) else {
            counters.datagrams_refused += 1;
            return;
        };
        if datagrams
            .outgoing
            .push(transmit.bytes, transmit.flow.remote)
        {
            datagrams.flush(counters);
        }
    }

    fn flush(&mut self, counters: &mut WorkerCounters) {
        for datagrams in &mut self.sockets {
            if !datagrams.outgoing.is_empty() {
                datagrams.flush(counters);
            }
        }
    }

    /// Datagrams that the kernel dropped at these sockets.
    pub(crate) fn kernel_drops(&self) -> u64 {
        self.sockets
            .iter()
            .map(|datagrams| datagrams.socket.kernel_drops())
            .sum()
    }
}

impl Datagrams {
    fn flush(&mut self, counters: &mut WorkerCounters) {
        let flushed = self.outgoing.flush(&self.socket);
        counters.datagrams_sent += flushed.sent;
        counters.datagrams_refused += flushed.refused;
    }
}

/// Sends all that the core has to send; whether there was anything.
pub(crate) fn pump(
    udp: &mut UdpSignalling,
    streams: &mut Streams,
    poller: &Poller,
    inbound: &mut Inbound<'_>,
) -> bool {
    let mut any = false;
    while let Some(transmit) = inbound.core.poll_transmit() {
        any = true;
        if transmit.flow.is_within() {
            inbound.pass_within(transmit);
            continue;
        }
        inbound
            .tap
            .sent(inbound.now, &transmit.flow, &transmit.bytes);
        if transmit.flow.transport == Transport::Udp {
            udp.send(transmit, inbound.counters);
            continue;
        }
        match transmit.flow.connection {
            Some(id) if id.worker != inbound.router.worker => {
                let flow = transmit.flow;
                let from = inbound.router.worker;
                let handover = Handover::Transmit { transmit, from };
                if !inbound.router.push(id.worker, handover, inbound.counters) {
                    inbound.failed(flow);
                }
            }
            _ => streams.send(inbound.now, poller, transmit.flow, &transmit.bytes, inbound),
        }
    }
    udp.flush(inbound.counters);
    any
}

/// Handles what another worker handed over.
pub(crate) fn receive_handover(
    handover: Handover,
    from_index: &mut Index,
    streams: &mut Streams,
    poller: &Poller,
    inbound: &mut Inbound<'_>,
) {
    let now = inbound.now;
    match handover {
        Handover::Closed(connection) => {
            inbound
                .core
                .handle_input(now, Input::ConnectionClosed { connection });
        }
        Handover::Failed(flow) => inbound
            .core
            .handle_input(now, Input::TransportFailed { flow }),
        Handover::MakeWay(id) => inbound.core.handle_input(now, Input::MakeWay(id)),
        Handover::OfInvite {
            flow,
            bytes,
            names,
            others,
        } => {
            if let Ok(message) = from_index.parse(&bytes) {
                inbound.take(flow, &message, &names, others);
            }
        }
        Handover::Message { flow, bytes, names } => {
            if let Ok(message) = from_index.parse(&bytes) {
                let others = inbound.router.rings.len().saturating_sub(1) as u8;
                inbound.take(flow, &message, &names, others);
                if let Some(id) = flow.connection
                    && inbound.is_registered(id)
                {
                    let registered = Handover::Registered(id);
                    inbound.router.push(id.worker, registered, inbound.counters);
                }
            }
        }
        Handover::Registered(connection) => streams.note_registered(connection),
        Handover::Transmit { transmit, from } => {
            let mut sink = OnBehalf { inbound, from };
            streams.send(now, poller, transmit.flow, &transmit.bytes, &mut sink);
        }
    }
}

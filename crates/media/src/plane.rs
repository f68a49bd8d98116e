//! The media plane of one worker: which socket belongs to which stream, and the way of a packet.

use std::collections::VecDeque;

use ringfence_base::{BoxedSlab, Entropy, HashKey, Instant, ListenerId};
use std::net::SocketAddr;
use thiserror::Error;

use crate::config::{Side, SideConfig};
use crate::counters::{Counters, DropReason};
use crate::endpoint::Endpoint;
use crate::fast_path::{FastCount, FastPath};
use crate::ports::{PairIndex, PortPair, Ports, SocketIndex};
use crate::report::StreamReport;
use crate::side::ConfigureError;
use crate::strays::{Stray, Strays, is_late};
use crate::stream::{Component, Passed, Stream};
use crate::tones::{TONES_TOLD_MAX, ToldTone, Tone, ToneRules};
use crate::voice::{Attend, Attendants, Heard, Part};

/// The largest packet that is relayed, in bytes of UDP payload as received: an Ethernet frame.
pub const PACKET_MAX: usize = 1500;

/// Room that [`Plane::handle_packet`] needs in its buffer after the packet: the SRTP tag, or the
/// longer SDES item of a rewritten RTCP packet and its SRTCP trailer.
pub const TAIL: usize = 64;

/// Sockets a worker can have. A socket takes 24 bytes of table whether used or not.
pub const SOCKETS_MAX: usize = 1 << 20;

/// A stream of a plane. Carries its slot's generation: the id of a closed stream never names the
/// stream after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    slot: u32,
    generation: u32,
}

/// A packet to send: the first `len` bytes of the buffer that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The socket to send from.
    pub socket: SocketIndex,
    /// Where to.
    pub to: SocketAddr,
    /// Bytes to send.
    pub len: usize,
}

/// No port is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no media port is free on listener {}", listener.raw())]
pub struct NoPorts {
    /// The listener that has none.
    pub listener: ListenerId,
}

/// Why a side was not configured. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PlaneError {
    /// The configuration does not fit the side.
    #[error("the side refused its configuration")]
    Configure(#[source] ConfigureError),
    /// The stream is closed.
    #[error("the stream is closed")]
    UnknownStream,
}

/// All ports and streams of one worker.
pub struct Plane {
    sockets: Vec<Socket>,
    streams: BoxedSlab<Stream>,
    ports: Ports,
    counters: Counters,
    names: HashKey,
    next_generation: u32,
    fast: Option<Box<dyn FastPath>>,
    seen: Option<Seen>,
    attendants: Attendants,
    /// Digits that were taken out of streams.
    told: VecDeque<ToldTone>,
    strays: Strays,
}

/// Whether somebody wants to see the packets at one of our addresses.
pub type Seen = Box<dyn Fn(SocketAddr) -> bool + Send>;

/// What a bound socket serves.
#[derive(Clone, Copy)]
struct Socket {
    stream: u32,
    side: Side,
    component: Component,
    /// When its last stream was heard last.
    heard: Option<Instant>,
}

const NO_STREAM: u32 = u32::MAX;

impl Plane {
    /// A plane without ports. `entropy` seeds the names (RTCP CNAMEs) that peers will see.
    pub fn new(entropy: &mut dyn Entropy) -> Plane {
        Plane {
            sockets: Vec::new(),
            streams: BoxedSlab::new(),
            ports: Ports::default(),
            counters: Counters::default(),
            names: HashKey::generate(entropy),
            next_generation: 0,
            fast: None,
            seen: None,
            attendants: Attendants::default(),
            told: VecDeque::with_capacity(TONES_TOLD_MAX),
            strays: Strays::default(),
        }
    }

    /// From now on, established plain streams are offered to `fast`.
    pub fn set_fast_path(&mut self, fast: Box<dyn FastPath>) {
        self.fast = Some(fast);
    }

    /// From now on, streams with an address that `seen` names are kept from the fast path, and
    /// taken back from it: their packets are to be seen here. Looks at all streams; call it again
    /// when `seen` would say otherwise.
    pub fn keep_seen(&mut self, seen: Option<Seen>) {
        self.seen = seen;
        let (Some(seen), Some(_)) = (&self.seen, &self.fast) else {
            return;
        };
        for (_, stream) in self.streams.iter_mut() {
            let own = stream.pairs().map(|pair| self.ports.pair(pair).addr);
            if stream.is_lowered() && own.into_iter().any(seen) {
                withdraw(stream, &mut self.fast, &mut self.counters);
            }
        }
    }

    /// Adds bound port pairs of a listener. Meant for the start: the table grows here and nowhere
    /// else.
    ///
    /// # Panics
    /// If a socket index is not below [`SOCKETS_MAX`].
    pub fn add_ports(&mut self, listener: ListenerId, pairs: impl IntoIterator<Item = PortPair>) {
        for pair in pairs {
            let highest = pair.rtp.index().max(pair.rtcp.index());
            assert!(
                highest < SOCKETS_MAX,
                "socket indices are dense and below SOCKETS_MAX"
            );
            if self.sockets.len() <= highest {
                self.sockets.resize(highest + 1, Socket::IDLE);
            }
            self.ports.add(listener, pair);
        }
    }

    /// Opens a stream between two listeners (or one and the same): a port pair on each side.
    /// Nothing is accepted on a side before [`Plane::configure_side`].
    pub fn open_stream(
        &mut self,
        now: Instant,
        a: ListenerId,
        b: ListenerId,
    ) -> Result<StreamId, NoPorts> {
        let (pair_a, ports_a) = self.take_ports(a)?;
        let (pair_b, ports_b) = self.take_ports(b).inspect_err(|_| {
            self.ports.give_back_unused(pair_a);
        })?;
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        let names = Side::BOTH.map(|side| self.names.hash64(&(generation, now.as_nanos(), side)));
        let stream = Stream::new(generation, [(pair_a, ports_a), (pair_b, ports_b)], names);
        let slot = self.streams.insert(stream) as u32;
        for (side, ports) in [(Side::A, ports_a), (Side::B, ports_b)] {
            self.sockets[ports.rtp.index()] = Socket {
                stream: slot,
                side,
                component: Component::Rtp,
                heard: None,
            };
            self.sockets[ports.rtcp.index()] = Socket {
                stream: slot,
                side,
                component: Component::Rtcp,
                heard: None,
            };
        }
        self.counters.streams_opened += 1;
        Ok(StreamId { slot, generation })
    }

    /// Applies the outcome of offer and answer to one side, at first and at each change.
    ///
    /// The latch is kept if the described address, the policy and the signalling host are as
    /// before; otherwise the side is sent to the described address and latches anew.
    pub fn configure_side(
        &mut self,
        now: Instant,
        id: StreamId,
        side: Side,
        config: SideConfig,
    ) -> Result<(), PlaneError> {
        let stream = stream_mut(&mut self.streams, id).ok_or(PlaneError::UnknownStream)?;
        withdraw(stream, &mut self.fast, &mut self.counters);
        let own = stream
            .pairs()
            .map(|pair| Endpoint::new(self.ports.pair(pair).addr));
        stream
            .configure(now, side, config, own)
            .map_err(PlaneError::Configure)
    }

    /// Says what happens to the digits of a stream; `None`: they pass as they are.
    pub fn set_tones(&mut self, id: StreamId, rules: Option<ToneRules>) {
        if let Some(stream) = stream_mut(&mut self.streams, id) {
            withdraw(stream, &mut self.fast, &mut self.counters);
            stream.set_tones(rules);
        }
    }

    /// Sends a digit that came by signalling to the other side of a stream, as telephone events or
    /// tones (RFC 4733 §1.2), as soon as the side that it came from sends sound. `false`: it takes
    /// none, or too many digits wait.
    pub fn send_tone(&mut self, now: Instant, id: StreamId, tone: Tone) -> bool {
        stream_mut(&mut self.streams, id).is_some_and(|stream| stream.send_tone(now, tone))
    }

    /// The next digit that a side sent by RFC 4733, or as tones, to one that knows digits by
    /// signalling only. Poll it after [`Plane::handle_packet`]; of what is not fetched, the newest is
    /// lost.
    pub fn told_tone(&mut self) -> Option<ToldTone> {
        self.told.pop_front()
    }

    /// Whether [`Plane::told_tone`] has one.
    pub fn has_told(&self) -> bool {
        !self.told.is_empty()
    }

    /// A packet that came to a port where no call is, of those that there was room for.
    pub fn take_stray(&mut self) -> Option<Stray> {
        self.strays.take()
    }

    /// Closes a stream and frees its ports. `None` if it is closed already.
    pub fn close_stream(&mut self, id: StreamId) -> Option<StreamReport> {
        let stream = stream_mut(&mut self.streams, id)?;
        withdraw(stream, &mut self.fast, &mut self.counters);
        let report = stream.report(None);
        let heard = report.a.last_packet.max(report.b.last_packet);
        let idle = Socket {
            heard,
            ..Socket::IDLE
        };
        if let Some(index) = stream.attendant() {
            self.attendants.remove(index);
        }
        for pair in stream.pairs() {
            let ports = self.ports.pair(pair);
            self.sockets[ports.rtp.index()] = idle;
            self.sockets[ports.rtcp.index()] = idle;
            self.ports.give_back(pair);
        }
        self.streams.remove(id.slot as usize);
        Some(report)
    }

    /// Handles a datagram that arrived at `socket`: the packet to send for it, if any.
    ///
    /// `buf[..len]` is the datagram; `buf` has room for [`TAIL`] more bytes. Where telephone events
    /// become sound, what has no room in `buf` is cut off. It is rewritten in place; after `None` its
    /// content is unspecified. Never allocates while the sources of an SRTP stream stay the same,
    /// never locks, never waits.
    #[inline]
    pub fn handle_packet(
        &mut self,
        now: Instant,
        socket: SocketIndex,
        from: SocketAddr,
        buf: &mut [u8],
        len: usize,
    ) -> Option<Forward> {
        let (stream, served) = match self.sockets.get(socket.index()) {
            Some(served) => (self.streams.get_mut(served.stream as usize), *served),
            None => (None, Socket::IDLE),
        };
        let Some(stream) = stream else {
            self.counters.count_drop(DropReason::NoStream);
            if !is_late(now, served.heard) {
                self.strays.note(from, socket, buf.get(..len)?);
            }
            return None;
        };
        if len > PACKET_MAX || buf.len() < len + TAIL {
            stream.count_drop(served.side, DropReason::Size);
            self.counters.count_drop(DropReason::Size);
            return None;
        }
        let from = Endpoint::new(from);
        let is_lowered = stream.is_lowered();
        if is_lowered && let Some(fast) = self.fast.as_deref() {
            count_fast(&mut self.counters, &stream.sync(now, fast));
        }
        let relayed = stream.relay(now, served.side, served.component, from, buf, len);
        if is_lowered && !stream.follows_rules() {
            withdraw(stream, &mut self.fast, &mut self.counters);
        }
        match relayed {
            Ok(Passed::Heard(index, len)) => {
                let packet = buf.get(..len).unwrap_or_default();
                self.attendants.hear(now, index, packet);
                None
            }
            Ok(Passed::Kept) => {
                keep_told(stream, &mut self.told);
                None
            }
            Ok(Passed::On(relayed)) => {
                if stream.has_tones() {
                    keep_told(stream, &mut self.told);
                }
                self.counters
                    .count_forward(relayed.component, relayed.forward.len);
                if let Some(fast) = self.fast.as_deref_mut()
                    && relayed.component == Component::Rtp
                    && stream.is_due()
                {
                    let own = stream.pairs().map(|pair| self.ports.pair(pair).addr);
                    let seen = self.seen.as_ref();
                    if !seen.is_some_and(|seen| own.into_iter().any(seen)) {
                        stream.lower(now, own, fast);
                    }
                }
                Some(relayed.forward)
            }
            Err(reason) => {
                stream.count_drop(served.side, reason);
                self.counters.count_drop(reason);
                None
            }
        }
    }

    /// Answers a side of a stream ourselves: from now on nothing is relayed, the peer hears what
    /// [`Plane::say`] says, and the keys that it presses come by [`Plane::poll_heard`]. `false`: the
    /// stream is closed, or too many are attended.
    pub fn attend(&mut self, now: Instant, id: StreamId, attend: Attend) -> bool {
        let name = [0_u8, 1].map(|half| self.names.hash64(&(id.generation, "voice", half)));
        let Some(stream) = stream_mut(&mut self.streams, id) else {
            return false;
        };
        withdraw(stream, &mut self.fast, &mut self.counters);
        let Some(index) = self.attendants.add(now, id, attend, name) else {
            return false;
        };
        if let Some(before) = stream.attend(now, Some((attend.side, index))) {
            self.attendants.remove(before);
        }
        true
    }

    /// The attendant leaves, and the stream relays.
    pub fn dismiss(&mut self, now: Instant, id: StreamId) {
        let stream = stream_mut(&mut self.streams, id);
        if let Some(index) = stream.and_then(|stream| stream.attend(now, None)) {
            self.attendants.remove(index);
        }
    }

    /// What the peer of an attended stream hears from its next packet on.
    pub fn say(&mut self, id: StreamId, parts: impl IntoIterator<Item = Part>) {
        if let Some(index) = self.stream(id).and_then(Stream::attendant) {
            self.attendants.say(index, parts);
        }
    }

    /// When [`Plane::speak`] has something to send.
    pub fn voice_due(&self) -> Option<Instant> {
        self.attendants.next_at()
    }

    /// The next packet of our own voice that is due at `now`, in `buf`, which has room for
    /// [`PACKET_MAX`] and [`TAIL`]. Ask until `None`.
    pub fn speak(&mut self, now: Instant, buf: &mut [u8]) -> Option<Forward> {
        // A peer whose address is not known yet hears nothing, and others do.
        while let Some((id, side, len)) = self.attendants.speak(now, buf) {
            let stream = stream_mut(&mut self.streams, id);
            let forward = stream.and_then(|stream| stream.send(side, buf, len));
            if let Some(forward) = forward {
                self.counters.count_forward(Component::Rtp, forward.len);
                return Some(forward);
            }
        }
        None
    }

    /// The next key that was pressed.
    pub fn poll_heard(&mut self) -> Option<Heard> {
        self.attendants.poll_heard()
    }

    /// Whether [`Plane::poll_heard`] has any.
    pub fn has_heard(&self) -> bool {
        self.attendants.has_heard()
    }

    /// The RTP address of a side, for our session description. RTCP is at the next port.
    pub fn local_addr(&self, id: StreamId, side: Side) -> Option<SocketAddr> {
        let pair = self.stream(id)?.pairs()[side.index()];
        Some(self.ports.pair(pair).addr)
    }

    /// The state of a stream as its report would be now.
    pub fn stats(&self, id: StreamId) -> Option<StreamReport> {
        Some(self.stream(id)?.report(self.fast.as_deref()))
    }

    /// When a side was last heard: RTP or RTCP from the source that holds the latch. `None`
    /// before the first packet.
    pub fn last_packet(&self, id: StreamId, side: Side) -> Option<Instant> {
        self.stream(id)?.last_heard(side, self.fast.as_deref())
    }

    /// What was forwarded and dropped since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many streams are open.
    pub fn streams_open(&self) -> usize {
        self.streams.len()
    }

    /// How many port pairs of `listener` are free.
    pub fn ports_free(&self, listener: ListenerId) -> usize {
        self.ports.free(listener)
    }

    fn take_ports(&mut self, listener: ListenerId) -> Result<(PairIndex, PortPair), NoPorts> {
        self.ports.take(listener).ok_or_else(|| {
            self.counters.streams_refused += 1;
            NoPorts { listener }
        })
    }

    fn stream(&self, id: StreamId) -> Option<&Stream> {
        self.streams
            .get(id.slot as usize)
            .filter(|stream| stream.generation() == id.generation)
    }
}

impl Socket {
    const IDLE: Socket = Socket {
        stream: NO_STREAM,
        side: Side::A,
        component: Component::Rtp,
        heard: None,
    };
}

/// Takes a stream back from the fast path, if it was there.
/// Keeps the digit that the last packet of a stream ended, if there is room.
#[cold]
fn keep_told(stream: &mut Stream, kept: &mut VecDeque<ToldTone>) {
    if let Some(told) = stream.take_told()
        && kept.len() < TONES_TOLD_MAX
    {
        kept.push_back(told);
    }
}

fn withdraw(stream: &mut Stream, fast: &mut Option<Box<dyn FastPath>>, counters: &mut Counters) {
    if let Some(fast) = fast {
        count_fast(counters, &stream.withdraw(&mut **fast));
    }
}

fn count_fast(counters: &mut Counters, since: &[FastCount; 2]) {
    for FastCount { passed, over_rate } in since {
        counters.count_fast(passed.packets, passed.bytes, *over_rate);
    }
}

fn stream_mut(streams: &mut BoxedSlab<Stream>, id: StreamId) -> Option<&mut Stream> {
    streams
        .get_mut(id.slot as usize)
        .filter(|stream| stream.generation() == id.generation)
}

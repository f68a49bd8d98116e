//! The media sockets of a worker: many sockets, one packet at a time.
//!
//! The hot path: receive into one buffer, let the plane judge and rewrite it in place, send it
//! from the socket of the other side. No allocation, no lock, two system calls.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use ringfence_base::{Instant, ListenerId};
use ringfence_media::{Forward, PACKET_MAX, Plane, PortPair, SocketIndex, TAIL};

use super::snapshot::WorkerCounters;
use crate::epoll::{Interest, Poller};
use crate::tap::Tap;
use crate::token::Token;
use crate::udp::UdpSocket;

/// A bound RTP and RTCP pair, not yet given to a plane.
#[derive(Debug)]
pub(crate) struct BoundPair {
    pub(crate) listener: ListenerId,
    pub(crate) rtp: UdpSocket,
    pub(crate) rtcp: UdpSocket,
}

/// All media sockets of one worker; [`SocketIndex`] is the index.
pub(crate) struct MediaSockets {
    sockets: Vec<UdpSocket>,
    /// Listener and address of each socket.
    places: Vec<(ListenerId, SocketAddr)>,
    /// Pairs by listener.
    pairs: Vec<usize>,
    buffer: Box<[u8; BUFFER]>,
}

/// Packets of our own voice in one turn; what is left goes out in the next.
const SPOKEN_MAX: usize = 4_096;

/// Room for the largest packet, one byte to see that a packet is larger, and the tail.
const BUFFER: usize = PACKET_MAX + 1 + TAIL;

impl MediaSockets {
    /// Gives the ports to `plane` and watches the sockets.
    pub(crate) fn new(
        pairs: Vec<BoundPair>,
        plane: &mut Plane,
        poller: &Poller,
    ) -> io::Result<MediaSockets> {
        let mut media = MediaSockets {
            sockets: Vec::new(),
            places: Vec::new(),
            pairs: Vec::new(),
            buffer: Box::new([0; BUFFER]),
        };
        for pair in pairs {
            let addr = pair.rtp.local_addr();
            let rtp = media.add(pair.listener, pair.rtp, poller)?;
            let rtcp = media.add(pair.listener, pair.rtcp, poller)?;
            plane.add_ports(pair.listener, [PortPair { rtp, rtcp, addr }]);
            if media.pairs.len() <= pair.listener.index() {
                media.pairs.resize(pair.listener.index() + 1, 0);
            }
            media.pairs[pair.listener.index()] += 1;
        }
        Ok(media)
    }

    /// Relays the packet that waits at a socket.
    #[inline]
    pub(crate) fn relay(
        &mut self,
        now: Instant,
        plane: &mut Plane,
        index: u32,
        counters: &mut WorkerCounters,
        tap: &Tap,
    ) {
        let Some(socket) = self.sockets.get(index as usize) else {
            return;
        };
        let received = &mut self.buffer[..PACKET_MAX + 1];
        let (length, from) = match socket.receive(received) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(_) => {
                counters.receive_errors += 1;
                return;
            }
        };
        counters.media_received += 1;
        self.copy(now, tap, index as usize, from, length, false);
        let index = SocketIndex::new(index);
        let forward = plane.handle_packet(now, index, from, &mut self.buffer[..], length);
        if let Some(Forward { socket, to, len }) = forward {
            let bytes = self.buffer.get(..len);
            let sent = self
                .sockets
                .get(socket.index())
                .zip(bytes)
                .map(|(s, b)| s.send(b, to));
            if matches!(sent, Some(Ok(()))) {
                self.copy(now, tap, socket.index(), to, len, true);
            } else {
                counters.media_refused += 1;
            }
        }
    }

    /// Sends what the edge itself has to say to callers by now.
    pub(crate) fn speak(
        &mut self,
        now: Instant,
        plane: &mut Plane,
        counters: &mut WorkerCounters,
        tap: &Tap,
    ) {
        for _ in 0..SPOKEN_MAX {
            let Some(Forward { socket, to, len }) = plane.speak(now, &mut self.buffer[..]) else {
                return;
            };
            let bytes = self.buffer.get(..len);
            let from = self.sockets.get(socket.index());
            let sent = from
                .zip(bytes)
                .map(|(socket, bytes)| socket.send(bytes, to));
            if matches!(sent, Some(Ok(()))) {
                self.copy(now, tap, socket.index(), to, len, true);
            } else {
                counters.media_refused += 1;
            }
        }
    }

    /// A copy of what is in the buffer for whoever captures it.
    #[inline]
    fn copy(
        &self,
        now: Instant,
        tap: &Tap,
        socket: usize,
        far: SocketAddr,
        len: usize,
        sent: bool,
    ) {
        let Some(&(listener, ours)) = self.places.get(socket) else {
            return;
        };
        if tap.wants_media(listener, ours.port()) {
            let bytes = self.buffer.get(..len).unwrap_or_default();
            tap.media(now, (listener, ours), far, sent, bytes);
        }
    }

    /// Port pairs of `listener`.
    pub(crate) fn pairs(&self, listener: ListenerId) -> usize {
        self.pairs
            .get(listener.index())
            .copied()
            .unwrap_or_default()
    }

    /// Packets that the kernel dropped at all these sockets.
    pub(crate) fn kernel_drops(&self) -> u64 {
        self.sockets.iter().map(UdpSocket::kernel_drops).sum()
    }

    fn add(
        &mut self,
        listener: ListenerId,
        socket: UdpSocket,
        poller: &Poller,
    ) -> io::Result<SocketIndex> {
        let index = self.sockets.len() as u32;
        poller.add(socket.as_fd(), Token::Media(index).encode(), Interest::Read)?;
        self.places.push((listener, socket.local_addr()));
        self.sockets.push(socket);
        Ok(SocketIndex::new(index))
    }
}

//! A capture on demand: what passes the edge, as a pcapng file that is written while it is read.
//!
//! Workers copy messages (and, where asked for, media packets) into a bounded queue and never
//! wait; a thread of the capture's own filters, masks secrets and writes. A reader that is slow
//! costs lost packets, which are counted and said at the end of the file. What TLS carried is in
//! it in the clear, because the edge ends TLS itself.
//!
//! Left out on purpose: the contents of SRTP, whose keys are not given away.

pub(crate) mod filter;
mod packet;
mod pcapng;
pub(crate) mod request;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use bytes::Bytes;
use ringfence_base::{HashKey, Instant, ListenerId, Transport, UnixTime};
use tokio::sync::mpsc;

use crate::clock::{Clock, unix_now};
use crate::tap::mask::mask;
use filter::{Filter, PortSet};
use packet::Packets;
use pcapng::Way;

/// Captures at once.
pub(crate) const CAPTURES_MAX: usize = 4;
/// Messages and packets that may wait for the capture's thread.
const WAITING_MAX: usize = 8_192;
/// Of those, packets of media: they may not crowd out messages.
const MEDIA_WAITING_MAX: usize = 6_144;
/// Bytes that are handed to the reader at once, and how many such pieces may wait for it.
const PIECE: usize = 64 * 1024;
const PIECES_MAX: usize = 16;
/// How long what is written may wait for more.
const TICK: Duration = Duration::from_millis(200);

/// One message or packet as it passed a socket.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) at: UnixTime,
    pub(crate) transport: Transport,
    pub(crate) listener: ListenerId,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) sent: bool,
    /// RTP or RTCP; signalling otherwise.
    pub(crate) media: bool,
    /// Secrets included.
    pub(crate) bytes: Box<[u8]>,
}

/// When a capture ends by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) time: Duration,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// A worker's end of a capture. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct CaptureTap {
    queue: SyncSender<Packet>,
    state: Arc<State>,
    ports: Arc<PortSet>,
}

#[derive(Debug, Default)]
struct State {
    over: AtomicBool,
    lost: AtomicU64,
    media_waiting: AtomicUsize,
}

impl CaptureTap {
    /// Whether nobody reads any more.
    pub(crate) fn is_over(&self) -> bool {
        self.state.over.load(Relaxed)
    }

    /// Whether a packet at this port may be wanted.
    #[inline]
    pub(crate) fn wants_media(&self, listener: ListenerId, port: u16) -> bool {
        self.ports.has(listener, port)
    }

    /// The same at any listener: for whoever need not be exact.
    pub(crate) fn wants_media_at(&self, port: u16) -> bool {
        self.ports.has_at_any(port)
    }

    /// Offers a copy. What finds no room is counted as lost.
    pub(crate) fn offer(&self, make: impl FnOnce() -> Packet) {
        if self.is_over() {
            return;
        }
        let seen = make();
        let media = seen.media;
        let waiting = &self.state.media_waiting;
        let room = !media || waiting.load(Relaxed) < MEDIA_WAITING_MAX;
        if media && room {
            waiting.fetch_add(1, Relaxed);
        }
        if !room || self.queue.try_send(seen).is_err() {
            if media && room {
                waiting.fetch_sub(1, Relaxed);
            }
            self.state.lost.fetch_add(1, Relaxed);
        }
    }
}

/// A capture that is fed and not yet written.
pub(crate) struct Capture {
    filter: Filter,
    limits: Limits,
    key: HashKey,
    waiting: Receiver<Packet>,
    state: Arc<State>,
    /// Names of the listeners.
    interfaces: Vec<String>,
}

impl Capture {
    /// A capture and the end for workers.
    pub(crate) fn new(
        filter: Filter,
        limits: Limits,
        interfaces: Vec<String>,
        key: HashKey,
    ) -> (Capture, CaptureTap) {
        let (queue, waiting) = sync_channel(WAITING_MAX);
        let state = Arc::new(State::default());
        let tap = CaptureTap {
            queue,
            state: Arc::clone(&state),
            ports: filter.open_ports(),
        };
        let capture = Capture {
            filter,
            limits,
            key,
            waiting,
            state,
            interfaces,
        };
        (capture, tap)
    }

    /// The filter, to teach it what was there before.
    pub(crate) fn filter_mut(&mut self) -> &mut Filter {
        &mut self.filter
    }

    /// Starts to write. The file comes in pieces; it is whole when they end. `slot` is dropped
    /// with the capture.
    pub(crate) fn start(self, slot: Slot) -> io::Result<mpsc::Receiver<Bytes>> {
        let (pieces, reader) = mpsc::channel(PIECES_MAX);
        std::thread::Builder::new()
            .name("rf-capture".to_owned())
            .spawn(move || {
                let _slot = slot;
                Writer::new(self, pieces).run();
            })?;
        Ok(reader)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.state.over.store(true, Relaxed);
    }
}

/// One of the captures that may be at once; free again when it is dropped.
pub(crate) struct Slot(Arc<AtomicUsize>);

impl Slot {
    /// `None` if too many are taken.
    pub(crate) fn take(taken: &Arc<AtomicUsize>) -> Option<Slot> {
        let less = |count| (count < CAPTURES_MAX).then_some(count + 1);
        taken.fetch_update(Relaxed, Relaxed, less).ok()?;
        Some(Slot(Arc::clone(taken)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Why a capture came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Edge,
    Packets,
    Reader,
    Size,
    Time,
}

impl End {
    /// As it stands in the last block.
    const fn as_str(self) -> &'static str {
        match self {
            End::Edge => "edge",
            End::Packets => "packets",
            End::Reader => "reader",
            End::Size => "size",
            End::Time => "time",
        }
    }
}

struct Writer {
    capture: Capture,
    pieces: mpsc::Sender<Bytes>,
    packets: Packets,
    out: Vec<u8>,
    /// Packets written, and bytes handed on.
    written: u64,
    bytes: u64,
    clock: Clock,
    deadline: Instant,
}

impl Writer {
    fn new(capture: Capture, pieces: mpsc::Sender<Bytes>) -> Writer {
        let clock = Clock::start();
        Writer {
            packets: Packets::new(capture.key),
            deadline: clock.now() + capture.limits.time,
            capture,
            pieces,
            out: Vec::with_capacity(PIECE),
            written: 0,
            bytes: 0,
            clock,
        }
    }

    fn run(mut self) {
        let application = concat!("ringfence ", env!("CARGO_PKG_VERSION"));
        pcapng::section(&mut self.out, application);
        for name in &self.capture.interfaces {
            pcapng::interface(&mut self.out, name);
        }
        let mut end = if self.flush() {
            None
        } else {
            Some(End::Reader)
        };
        while end.is_none() {
            end = self.step();
        }
        if let Some(end) = end
            && end != End::Reader
        {
            let lost = self.capture.state.lost.load(Relaxed);
            let at = micros(unix_now());
            pcapng::statistics(&mut self.out, (0, at), (self.written, lost), end.as_str());
            self.flush();
        }
    }

    /// Takes what waits, or waits for a while.
    fn step(&mut self) -> Option<End> {
        if self.pieces.is_closed() {
            return Some(End::Reader);
        }
        let rest = self.deadline.saturating_since(self.clock.now());
        if rest.is_zero() {
            return Some(End::Time);
        }
        let mut next = self.capture.waiting.recv_timeout(rest.min(TICK));
        if matches!(next, Err(RecvTimeoutError::Disconnected)) {
            return Some(End::Edge);
        }
        while let Ok(seen) = next {
            if let Some(end) = self.write(seen) {
                return Some(end);
            }
            if self.out.len() >= PIECE {
                break;
            }
            next = self
                .capture
                .waiting
                .try_recv()
                .map_err(|_| RecvTimeoutError::Timeout);
        }
        (!self.flush()).then_some(End::Reader)
    }

    fn write(&mut self, mut seen: Packet) -> Option<End> {
        if seen.media {
            self.capture.state.media_waiting.fetch_sub(1, Relaxed);
        }
        if !self.capture.filter.takes(&seen) {
            return None;
        }
        if !seen.media {
            mask(&mut seen.bytes);
        }
        let packets = match seen.transport {
            Transport::Udp => vec![Packets::datagram(seen.from, seen.to, &seen.bytes)],
            _ => self.packets.segments(seen.from, seen.to, &seen.bytes),
        };
        let way = if seen.sent { Way::Out } else { Way::In };
        let comment = seen
            .transport
            .is_secure()
            .then_some("TLS, decrypted by the edge");
        let place = (u32::from(seen.listener.raw()), micros(seen.at));
        for packet in packets {
            let before = self.out.len();
            pcapng::packet(&mut self.out, place, way, &packet, comment);
            if self.bytes + (self.out.len() + STATISTICS_ROOM) as u64 > self.capture.limits.bytes {
                self.out.truncate(before);
                return Some(End::Size);
            }
            self.written += 1;
            if self.written >= self.capture.limits.packets {
                return Some(End::Packets);
            }
        }
        None
    }

    /// Hands on what is written; whether somebody reads it. A slow reader is waited for.
    fn flush(&mut self) -> bool {
        if self.out.is_empty() {
            return true;
        }
        self.bytes += self.out.len() as u64;
        let piece = std::mem::replace(&mut self.out, Vec::with_capacity(PIECE));
        self.pieces.blocking_send(piece.into()).is_ok()
    }
}

/// Bytes that the last block may take.
const STATISTICS_ROOM: usize = 96;

fn micros(at: UnixTime) -> u64 {
    u64::try_from(at.as_micros()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::filter::Wanted;
    use super::*;

    fn seen(media: bool, length: usize) -> Packet {
        let start = "OPTIONS sip:a SIP/2.0\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n\r\n";
        let mut bytes = start.as_bytes().to_vec();
        bytes.resize(length.max(start.len()), b'x');
        Packet {
            at: UnixTime::from_micros(1),
            transport: Transport::Udp,
            listener: ListenerId::new(0),
            from: "192.0.2.1:5060".parse().unwrap(),
            to: "192.0.2.2:5060".parse().unwrap(),
            sent: true,
            media,
            bytes: bytes.into(),
        }
    }

    fn capture(limits: Limits) -> (Capture, CaptureTap) {
        let key = HashKey::from_bytes([1; 16]);
        let wanted = Wanted {
            media: true,
            ..Wanted::default()
        };
        Capture::new(Filter::new(wanted, 1, key), limits, vec!["a".into()], key)
    }

    fn limits() -> Limits {
        Limits {
            time: Duration::from_secs(3_600),
            packets: u64::MAX,
            bytes: u64::MAX,
        }
    }

    /// The whole file that comes of `packets` messages.
    #[track_caller]
    fn check(limits: Limits, packets: usize, end: &str) -> Vec<u8> {
        let (capture, tap) = capture(limits);
        for _ in 0..packets {
            tap.offer(|| seen(false, 500));
        }
        drop(tap);
        let slots = Arc::new(AtomicUsize::new(0));
        let mut pieces = capture.start(Slot::take(&slots).unwrap()).unwrap();
        let mut file = Vec::new();
        while let Some(piece) = pieces.blocking_recv() {
            file.extend_from_slice(&piece);
        }
        let found = file
            .windows(end.len())
            .any(|window| window == end.as_bytes());
        assert!(found, "no {end}");
        file
    }

    #[test]
    fn each_limit_ends_a_capture_and_is_named_in_its_last_block() {
        check(limits(), 3, "edge");
        let few = Limits {
            packets: 2,
            ..limits()
        };
        check(few, 5, "packets");
        let small = Limits {
            bytes: 2_000,
            ..limits()
        };
        assert!(check(small, 50, "size").len() <= 2_000);
        let short = Limits {
            time: Duration::ZERO,
            ..limits()
        };
        check(short, 1, "time");
    }

    #[test]
    fn a_full_queue_loses_and_counts_and_media_leaves_room_for_messages() {
        let (capture, tap) = capture(limits());
        for _ in 0..MEDIA_WAITING_MAX + 5 {
            tap.offer(|| seen(true, 100));
        }
        assert_eq!(capture.state.lost.load(Relaxed), 5);
        for _ in 0..WAITING_MAX - MEDIA_WAITING_MAX + 3 {
            tap.offer(|| seen(false, 100));
        }
        assert_eq!(capture.state.lost.load(Relaxed), 8);
        drop(capture);
        assert!(tap.is_over(), "workers let go of it");
    }

    #[test]
    fn captures_are_few_and_their_places_are_free_again() {
        let taken = Arc::new(AtomicUsize::new(0));
        let slots: Vec<_> = (0..CAPTURES_MAX)
            .map(|_| Slot::take(&taken).unwrap())
            .collect();
        assert!(Slot::take(&taken).is_none());
        drop(slots);
        assert!(Slot::take(&taken).is_some());
    }
}

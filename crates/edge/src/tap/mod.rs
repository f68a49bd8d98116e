//! Copies of what passes, for whoever watches from outside: a HEP collector, captures on demand.
//!
//! A worker copies each message into a bounded queue and never waits; what finds the queue full is
//! counted. Without a watcher nothing is copied.

pub mod hep;
pub mod mask;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::SyncSender;

use ringfence_base::time::WallAnchor;
use ringfence_base::{Flow, Instant, ListenerId, Transport, UnixTime};
use ringfence_media::{Plane, Seen};
use ringfence_session::plan::Plan;

use crate::capture::{CAPTURES_MAX, CaptureTap, Packet};

/// Messages that may wait for the watcher's thread.
pub const WAITING_MAX: usize = 8_192;

/// One message as it passed a socket.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// When.
    pub at: UnixTime,
    /// Over what.
    pub transport: Transport,
    /// Who sent it.
    pub from: SocketAddr,
    /// Whom it was sent to.
    pub to: SocketAddr,
    /// All of it, secrets included: mask it before it leaves the process.
    pub bytes: Box<[u8]>,
}

/// What became of the copies.
#[derive(Debug, Default)]
pub struct TapCounters {
    /// Handed to the collector's socket.
    pub sent: AtomicU64,
    /// Lost: the queue was full, or the socket refused.
    pub lost: AtomicU64,
}

/// Where workers put copies. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TapSender {
    queue: SyncSender<Sighting>,
    counters: Arc<TapCounters>,
}

impl TapSender {
    /// What became of what was sent, by all clones.
    pub fn counters(&self) -> Arc<TapCounters> {
        Arc::clone(&self.counters)
    }

    fn send(&self, sighting: Sighting) {
        if self.queue.try_send(sighting).is_err() {
            self.counters.lost.fetch_add(1, Relaxed);
        }
    }
}

/// A worker's end: knows which of our addresses a flow goes through.
pub(crate) struct Tap {
    collector: Option<TapSender>,
    captures: Vec<CaptureTap>,
    anchor: WallAnchor,
    /// UDP, TCP and TLS address of each listener.
    ours: Vec<[Option<SocketAddr>; 5]>,
}

impl Tap {
    /// The tap of a worker; until somebody watches it does nothing.
    pub(crate) fn new(collector: Option<TapSender>, anchor: WallAnchor, plan: &Plan) -> Tap {
        let ours = plan
            .listeners
            .iter()
            .map(|l| [l.udp, l.tcp, l.tls, l.ws, l.wss]);
        Tap {
            collector,
            captures: Vec::new(),
            anchor,
            ours: ours.collect(),
        }
    }

    /// The host's clock was set.
    pub(crate) fn set_anchor(&mut self, anchor: WallAnchor) {
        self.anchor = anchor;
    }

    /// Somebody captures from now on.
    pub(crate) fn attach(&mut self, capture: CaptureTap) {
        self.sweep();
        if self.captures.len() < CAPTURES_MAX {
            self.captures.push(capture);
        }
    }

    /// Lets go of captures that are over.
    pub(crate) fn sweep(&mut self) {
        self.captures.retain(|capture| !capture.is_over());
    }

    /// A message came from the far side of `flow`.
    pub(crate) fn received(&self, now: Instant, flow: &Flow, bytes: &[u8]) {
        if self.is_watched() {
            self.tell(now, flow, bytes, false);
        }
    }

    /// A message goes to the far side of `flow`.
    pub(crate) fn sent(&self, now: Instant, flow: &Flow, bytes: &[u8]) {
        if self.is_watched() {
            self.tell(now, flow, bytes, true);
        }
    }

    /// Whether a media packet at this port of ours may be wanted: then it is worth a copy.
    #[inline]
    pub(crate) fn wants_media(&self, listener: ListenerId, port: u16) -> bool {
        let mut captures = self.captures.iter();
        captures.any(|capture| capture.wants_media(listener, port))
    }

    /// Asks the plane to show the packets that captures want, if any may.
    pub(crate) fn show_media(&self, plane: &mut Plane) {
        let captures: Vec<CaptureTap> = self.captures.clone();
        let wants = move |ours: SocketAddr| {
            let mut captures = captures.iter();
            captures.any(|capture| capture.wants_media_at(ours.port()))
        };
        plane.keep_seen((!self.captures.is_empty()).then(|| Box::new(wants) as Seen));
    }

    /// Whether anybody captures.
    pub(crate) fn is_capturing(&self) -> bool {
        !self.captures.is_empty()
    }

    /// A media packet came from `far` to `ours`, or went the other way.
    pub(crate) fn media(
        &self,
        now: Instant,
        (listener, ours): (ListenerId, SocketAddr),
        far: SocketAddr,
        sent: bool,
        bytes: &[u8],
    ) {
        let at = self.anchor.unix_time(now);
        let (from, to) = if sent { (ours, far) } else { (far, ours) };
        for capture in &self.captures {
            if capture.wants_media(listener, ours.port()) {
                capture.offer(|| Packet {
                    at,
                    transport: Transport::Udp,
                    listener,
                    from,
                    to,
                    sent,
                    media: true,
                    bytes: bytes.into(),
                });
            }
        }
    }

    fn is_watched(&self) -> bool {
        self.collector.is_some() || !self.captures.is_empty()
    }

    fn tell(&self, now: Instant, flow: &Flow, bytes: &[u8], sent: bool) {
        let place = match flow.transport {
            Transport::Udp => 0,
            Transport::Tcp => 1,
            Transport::Tls => 2,
            Transport::Ws => 3,
            Transport::Wss => 4,
        };
        let ours = self.ours.get(flow.listener.index()).copied();
        let Some(ours) = ours.and_then(|addresses| addresses[place]) else {
            return;
        };
        let (from, to) = if sent {
            (ours, flow.remote)
        } else {
            (flow.remote, ours)
        };
        let (at, transport) = (self.anchor.unix_time(now), flow.transport);
        if let Some(collector) = &self.collector {
            collector.send(Sighting {
                at,
                transport,
                from,
                to,
                bytes: bytes.into(),
            });
        }
        for capture in &self.captures {
            capture.offer(|| Packet {
                at,
                transport,
                listener: flow.listener,
                from,
                to,
                sent,
                media: false,
                bytes: bytes.into(),
            });
        }
    }
}

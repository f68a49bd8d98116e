//! Copies of signalling for whoever watches from outside: a HEP collector.
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
use ringfence_base::{Flow, Instant, Transport, UnixTime};
use ringfence_session::plan::Plan;

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
    watcher: Option<Watcher>,
}

struct Watcher {
    sender: TapSender,
    anchor: WallAnchor,
    /// UDP, TCP and TLS address of each listener.
    ours: Vec<[Option<SocketAddr>; 3]>,
}

impl Tap {
    /// The tap of a worker; without a sender it does nothing.
    pub(crate) fn new(sender: Option<TapSender>, anchor: WallAnchor, plan: &Plan) -> Tap {
        let ours = plan.listeners.iter().map(|l| [l.udp, l.tcp, l.tls]);
        Tap {
            watcher: sender.map(|sender| Watcher {
                sender,
                anchor,
                ours: ours.collect(),
            }),
        }
    }

    /// The host's clock was set.
    pub(crate) fn set_anchor(&mut self, anchor: WallAnchor) {
        if let Some(watcher) = &mut self.watcher {
            watcher.anchor = anchor;
        }
    }

    /// A message came from the far side of `flow`.
    pub(crate) fn received(&self, now: Instant, flow: &Flow, bytes: &[u8]) {
        if let Some(watcher) = &self.watcher {
            watcher.tell(now, flow, bytes, false);
        }
    }

    /// A message goes to the far side of `flow`.
    pub(crate) fn sent(&self, now: Instant, flow: &Flow, bytes: &[u8]) {
        if let Some(watcher) = &self.watcher {
            watcher.tell(now, flow, bytes, true);
        }
    }
}

impl Watcher {
    fn tell(&self, now: Instant, flow: &Flow, bytes: &[u8], sent: bool) {
        let place = match flow.transport {
            Transport::Udp => 0,
            Transport::Tcp => 1,
            Transport::Tls => 2,
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
        self.sender.send(Sighting {
            at: self.anchor.unix_time(now),
            transport: flow.transport,
            from,
            to,
            bytes: bytes.into(),
        });
    }
}

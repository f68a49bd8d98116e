//! What a machine may do to the world: send, and set its timers.

use bytes::Bytes;
use ringfence_base::{BoundedQueue, Flow, Instant};

use crate::lanes::{Expired, TimerLanes};
use crate::timer::{Interval, Timer, TimerTable};

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub flow: Flow,
    /// The whole message.
    pub bytes: Bytes,
}

/// One machine's access to the layer during one step.
pub(crate) struct Effects<'a> {
    pub(crate) now: Instant,
    pub(crate) timers: &'a mut TimerLanes,
    pub(crate) transmits: &'a mut BoundedQueue<Transmit>,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl Effects<'_> {
    /// Queues a message. A full queue loses it, as a network would; the queue counts it.
    pub(crate) fn send(&mut self, flow: &Flow, bytes: &Bytes) {
        let _ = self.transmits.push(Transmit {
            flow: *flow,
            bytes: bytes.clone(),
        });
    }

    /// Sets a timer. A machine has at most one of each name running.
    pub(crate) fn arm(&mut self, timer: Timer, interval: Interval) {
        let expired = Expired {
            timer,
            slot: self.slot,
            generation: self.generation,
        };
        self.timers.schedule(self.now, interval, expired);
    }

    pub(crate) fn table(&self) -> &TimerTable {
        self.timers.table()
    }
}

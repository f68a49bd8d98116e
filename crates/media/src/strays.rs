//! Packets at ports where no call is.
//!
//! Whoever looks for open calls (an RTP bleed scan) sends to one port after the other and waits for
//! sound to come back. None does from here; what came is kept for detection, as much as there is room
//! for. A peer that has not heard yet that its call is over is no such thing, so that a port is
//! forgiving for [`LATE`] after it was heard last.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use ringfence_base::Instant;
use ringfence_rtp::{PacketKind, classify};

use crate::ports::SocketIndex;

/// A packet that came to a port where no call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stray {
    /// What its source address says.
    pub from: SocketAddr,
    /// Where it came to.
    pub socket: SocketIndex,
    /// Whether it is what probing programs send: RTP of version 2 with a synchronisation source of 0.
    pub is_probe: bool,
}

/// Strays that were not fetched yet.
#[derive(Debug)]
pub(crate) struct Strays(VecDeque<Stray>);

impl Default for Strays {
    fn default() -> Strays {
        Strays(VecDeque::with_capacity(STRAYS_MAX))
    }
}

impl Strays {
    /// Keeps one, if there is room.
    #[cold]
    pub(crate) fn note(&mut self, from: SocketAddr, socket: SocketIndex, packet: &[u8]) {
        if self.0.len() < STRAYS_MAX {
            let is_rtp = classify(packet) == PacketKind::Rtp;
            let is_probe = is_rtp && packet.get(8..12) == Some(&[0; 4]);
            self.0.push_back(Stray {
                from,
                socket,
                is_probe,
            });
        }
    }

    pub(crate) fn take(&mut self) -> Option<Stray> {
        self.0.pop_front()
    }
}

/// Whether a port that was heard `last` is still late for its old call.
pub(crate) fn is_late(now: Instant, last: Option<Instant>) -> bool {
    last.is_some_and(|last| now.saturating_since(last) < LATE)
}

/// Packets of a call that is over still come for so long.
const LATE: Duration = Duration::from_secs(60);
/// Strays that are kept between two turns of a worker.
const STRAYS_MAX: usize = 32;

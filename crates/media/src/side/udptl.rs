//! Fax (ITU-T T.38 over UDPTL): datagrams that are relayed as they are.
//!
//! UDPTL has a sequence number and nothing else that could prove where a datagram comes from, and
//! its numbering starts at 0. So no unknown source ever latches, whatever the policy: only the
//! described host, and the host that signalling comes from where the policy lets that count.

use ringfence_base::Instant;

use super::{SideState, of_refusal};
use crate::counters::DropReason;
use crate::endpoint::Endpoint;
use crate::latch::{Claim, Evidence, Rank};
use crate::plane::Forward;

/// Largest UDPTL datagram that is relayed, in bytes: what fits an Ethernet frame over IPv4.
pub const UDPTL_MAX: usize = 1_472;

/// A sequence number, the length of the primary packet, one byte of it, and the kind of recovery.
const UDPTL_MIN: usize = 5;

/// Stands for the synchronisation source that UDPTL does not have.
const NO_SOURCE: u32 = 1;

impl SideState {
    /// Judges a UDPTL datagram of the peer.
    pub(crate) fn receive_udptl(
        &mut self,
        now: Instant,
        from: Endpoint,
        len: usize,
    ) -> Result<(), DropReason> {
        if !(UDPTL_MIN..=UDPTL_MAX).contains(&len) {
            return Err(DropReason::Size);
        }
        let claim = self.admit(now, from)?;
        match claim {
            Claim::Holder => {}
            Claim::Newcomer(Rank::Anybody) | Claim::Return(Rank::Anybody) => {
                return Err(DropReason::ForeignSource);
            }
            _ => {
                let evidence = Evidence {
                    authenticated: false,
                    ssrc: NO_SOURCE,
                    sequence: 0,
                    previous: None,
                };
                self.latch
                    .commit(now, claim, from, evidence)
                    .map_err(of_refusal)?;
            }
        }
        self.heard(now);
        if !self.rate.charge(now) {
            return Err(DropReason::Rate);
        }
        self.fax_datagrams = self.fax_datagrams.saturating_add(1);
        match self.flags.direction.peer_sends() {
            true => Ok(()),
            false => Err(DropReason::Direction),
        }
    }

    /// Sends the UDPTL datagram of `len` bytes to the peer.
    pub(crate) fn send_udptl(&mut self, len: usize) -> Result<Forward, DropReason> {
        if !self.flags.direction.peer_receives() {
            return Err(DropReason::Direction);
        }
        let to = self
            .latch
            .destination()
            .addr()
            .ok_or(DropReason::NoDestination)?;
        self.sent_packets = self.sent_packets.saturating_add(1);
        Ok(Forward {
            socket: self.rtp_socket,
            to,
            len,
        })
    }
}

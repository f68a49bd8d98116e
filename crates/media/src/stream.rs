//! A stream: two sides and the way of a packet from one to the other.

use std::time::Duration;

use ringfence_base::Instant;
use ringfence_rtp::{PacketKind, classify};

use crate::config::{Side, SideConfig};
use crate::counters::DropReason;
use crate::endpoint::Endpoint;
use crate::plane::Forward;
use crate::ports::{PairIndex, PortPair};
use crate::report::StreamReport;
use crate::side::{ConfigureError, SideState};

/// Which of a side's two ports, or what a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Component {
    Rtp,
    Rtcp,
}

/// A packet that passed.
pub(crate) struct Relayed {
    pub(crate) component: Component,
    pub(crate) forward: Forward,
}

/// A pair of sides.
pub(crate) struct Stream {
    sides: [SideState; 2],
    generation: u32,
}

impl Stream {
    /// A stream on these ports, with these random names.
    pub(crate) fn new(
        generation: u32,
        ports: [(PairIndex, PortPair); 2],
        names: [u64; 2],
    ) -> Stream {
        let [(pair_a, ports_a), (pair_b, ports_b)] = ports;
        let a = SideState::new(pair_a, ports_a, names[0]);
        let b = SideState::new(pair_b, ports_b, names[1]);
        Stream {
            sides: [a, b],
            generation,
        }
    }

    /// Applies a description to one side. Once both are described, media may come.
    pub(crate) fn configure(
        &mut self,
        now: Instant,
        side: Side,
        config: SideConfig,
        own: [Endpoint; 2],
    ) -> Result<(), ConfigureError> {
        self.sides[side.index()].configure(config, own)?;
        if self.sides.iter().all(SideState::is_configured) {
            for side in &mut self.sides {
                side.expect_media(now);
            }
        }
        Ok(())
    }

    /// Takes a packet from one side to the other.
    #[inline]
    pub(crate) fn relay(
        &mut self,
        now: Instant,
        side: Side,
        component: Component,
        from: Endpoint,
        buf: &mut [u8],
        len: usize,
    ) -> Result<Relayed, DropReason> {
        let [a, b] = &mut self.sides;
        let (near, far) = match side {
            Side::A => (a, b),
            Side::B => (b, a),
        };
        if !near.is_configured() {
            return Err(DropReason::NoStream);
        }
        let packet = buf.get(..len).ok_or(DropReason::Size)?;
        match (classify(packet), component) {
            (PacketKind::Rtp, Component::Rtp) => {
                let len = near.receive_rtp(now, from, buf, len)?;
                let forward = far.send_rtp(buf, len)?;
                Ok(Relayed {
                    component: Component::Rtp,
                    forward,
                })
            }
            (PacketKind::Rtcp, _) if near.rtcp_mux() == (component == Component::Rtp) => {
                let len = near.receive_rtcp(now, from, buf, len, &far.as_seen_across())?;
                let forward = far.send_rtcp(now, buf, len)?;
                Ok(Relayed {
                    component: Component::Rtcp,
                    forward,
                })
            }
            _ => Err(DropReason::Malformed),
        }
    }

    /// Counts a packet that arrived at `side` and was dropped.
    pub(crate) fn count_drop(&mut self, side: Side, reason: DropReason) {
        self.sides[side.index()].count_drop(reason);
    }

    /// The state of both sides for the record.
    pub(crate) fn report(&self) -> StreamReport {
        let [a, b] = &self.sides;
        // The whole path there and back, as far as RTCP showed it, halved.
        let round_trip: Duration = [a, b].iter().filter_map(|side| side.round_trip()).sum();
        StreamReport {
            a: a.report(round_trip / 2),
            b: b.report(round_trip / 2),
        }
    }

    /// When a side's peer was last heard.
    pub(crate) fn last_heard(&self, side: Side) -> Option<Instant> {
        self.sides[side.index()].last_heard()
    }

    /// The port pairs of side A and side B.
    pub(crate) fn pairs(&self) -> [PairIndex; 2] {
        self.sides.each_ref().map(SideState::pair)
    }

    /// Which use of its slot this stream is.
    pub(crate) const fn generation(&self) -> u32 {
        self.generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_stream_takes_900_bytes() {
        assert!(size_of::<Stream>() <= 912, "{}", size_of::<Stream>());
    }
}

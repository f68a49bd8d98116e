//! A stream: two sides and the way of a packet from one to the other.

use std::net::SocketAddr;
use std::time::Duration;

use ringfence_base::Instant;
use ringfence_rtp::{PacketKind, classify};

use crate::config::{Framing, Side, SideConfig};
use crate::counters::DropReason;
use crate::endpoint::Endpoint;
use crate::fast_path::{FastCount, FastPath, Lowering};
use crate::plane::Forward;
use crate::ports::{PairIndex, PortPair};
use crate::report::StreamReport;
use crate::side::{ConfigureError, SideState};
use crate::tones::{ToldTone, Tone, ToneRules, Tones};
use crate::voice::AttendantIndex;

/// Which of a side's two ports, or what a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Component {
    Rtp,
    Rtcp,
}

/// What became of a packet that was not dropped.
pub(crate) enum Passed {
    /// It ends here: RTP of an attended side for its attendant, so many bytes in the clear.
    Heard(AttendantIndex, usize),
    /// It ends here, and nobody has a use for it.
    Kept,
    /// It goes on.
    On(Relayed),
}

/// A packet that goes on.
pub(crate) struct Relayed {
    pub(crate) component: Component,
    pub(crate) forward: Forward,
}

/// A pair of sides.
pub(crate) struct Stream {
    sides: [SideState; 2],
    lowering: Lowering,
    generation: u32,
    attended: Option<(Side, AttendantIndex)>,
    /// Digits are converted on their way.
    tones: Option<Box<Tones>>,
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
            lowering: Lowering::default(),
            generation,
            attended: None,
            tones: None,
        }
    }

    /// An attendant takes a side over, or leaves. Gives the one before.
    pub(crate) fn attend(
        &mut self,
        now: Instant,
        attended: Option<(Side, AttendantIndex)>,
    ) -> Option<AttendantIndex> {
        if let Some((side, _)) = attended {
            // The side across may be described much later.
            self.sides[side.index()].expect_media(now);
        }
        let before = std::mem::replace(&mut self.attended, attended);
        before.map(|(_, index)| index)
    }

    /// Who attends the stream.
    pub(crate) const fn attendant(&self) -> Option<AttendantIndex> {
        match self.attended {
            Some((_, index)) => Some(index),
            None => None,
        }
    }

    /// Sends what the attendant says, `buf[..len]`.
    pub(crate) fn send(&mut self, side: Side, buf: &mut [u8], len: usize) -> Option<Forward> {
        self.sides[side.index()].send_rtp(buf, len).ok()
    }

    /// Applies a description to one side. Once both are described, media may come.
    pub(crate) fn configure(
        &mut self,
        now: Instant,
        side: Side,
        config: SideConfig,
        own: [Endpoint; 2],
    ) -> Result<(), ConfigureError> {
        self.sides[side.index()].configure(now, config, own)?;
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
    ) -> Result<Passed, DropReason> {
        if self.attended.is_some() {
            return self.keep(now, side, component, from, buf, len);
        }
        let [a, b] = &mut self.sides;
        let (near, far) = match side {
            Side::A => (a, b),
            Side::B => (b, a),
        };
        if !near.is_configured() {
            return Err(DropReason::NoStream);
        }
        if near.framing() == Framing::Udptl {
            return relay_udptl(now, (near, far), component, from, len).map(Passed::On);
        }
        let packet = buf.get(..len).ok_or(DropReason::Size)?;
        match (classify(packet), component) {
            (PacketKind::Rtp, Component::Rtp) => {
                let mut len = near.receive_rtp(now, from, buf, len)?;
                if let Some(tones) = &mut self.tones {
                    match tones.pass(now, side, buf, len) {
                        Some(passed) => len = passed,
                        None => return Ok(Passed::Kept),
                    }
                }
                let forward = far.send_rtp(buf, len)?;
                Ok(Passed::On(Relayed {
                    component: Component::Rtp,
                    forward,
                }))
            }
            (PacketKind::Rtcp, _) if near.rtcp_mux() == (component == Component::Rtp) => {
                let len = near.receive_rtcp(now, from, buf, len, &far.as_seen_across())?;
                let forward = far.send_rtcp(now, buf, len)?;
                Ok(Passed::On(Relayed {
                    component: Component::Rtcp,
                    forward,
                }))
            }
            _ => Err(DropReason::Malformed),
        }
    }

    /// A packet of an attended stream: judged as ever, and kept.
    #[cold]
    fn keep(
        &mut self,
        now: Instant,
        side: Side,
        component: Component,
        from: Endpoint,
        buf: &mut [u8],
        len: usize,
    ) -> Result<Passed, DropReason> {
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
                Ok(match self.attended {
                    Some((attended, index)) if attended == side => Passed::Heard(index, len),
                    _ => Passed::Kept,
                })
            }
            (PacketKind::Rtcp, _) if near.rtcp_mux() == (component == Component::Rtp) => {
                near.receive_rtcp(now, from, buf, len, &far.as_seen_across())?;
                Ok(Passed::Kept)
            }
            _ => Err(DropReason::Malformed),
        }
    }

    /// What happens to digits from now on. The same rules as before change nothing.
    pub(crate) fn set_tones(&mut self, rules: Option<ToneRules>) {
        if self.tones.as_ref().map(|tones| tones.rules) != rules {
            self.tones = rules.map(|rules| Box::new(Tones::new(rules)));
        }
    }

    /// Queues a digit that came by signalling.
    pub(crate) fn send_tone(&mut self, now: Instant, tone: Tone) -> bool {
        self.tones
            .as_mut()
            .is_some_and(|tones| tones.push(now, tone))
    }

    /// Whether digits are converted.
    #[inline]
    pub(crate) const fn has_tones(&self) -> bool {
        self.tones.is_some()
    }

    /// The digit that the last packet ended.
    #[cold]
    pub(crate) fn take_told(&mut self) -> Option<ToldTone> {
        self.tones.as_mut()?.told.take()
    }

    /// Counts a packet that arrived at `side` and was dropped.
    pub(crate) fn count_drop(&mut self, side: Side, reason: DropReason) {
        self.sides[side.index()].count_drop(reason);
    }

    /// What became of the stream so far, with what `fast` has done of it.
    pub(crate) fn report(&self, fast: Option<&dyn FastPath>) -> StreamReport {
        let [a, b] = &self.sides;
        let [from_a, from_b] = &self.lowering.pending(fast);
        // The whole path there and back, as far as RTCP showed it, halved.
        let round_trip: Duration = [a, b].iter().filter_map(|side| side.round_trip()).sum();
        StreamReport {
            a: a.report(round_trip / 2, from_a, from_b.passed.packets),
            b: b.report(round_trip / 2, from_b, from_a.passed.packets),
        }
    }

    /// When the peer of a side was last heard, here or by `fast`.
    pub(crate) fn last_heard(&self, side: Side, fast: Option<&dyn FastPath>) -> Option<Instant> {
        let below = self.lowering.pending(fast)[side.index()].last_arrival();
        self.sides[side.index()].last_heard().max(below)
    }

    /// Whether `fast` forwards the stream.
    #[inline]
    pub(crate) fn is_lowered(&self) -> bool {
        self.lowering.rules().is_some()
    }

    /// Takes over what `fast` has done, before a packet is judged here.
    #[cold]
    pub(crate) fn sync(&mut self, now: Instant, fast: &dyn FastPath) -> [FastCount; 2] {
        let pending = self.lowering.sync(now, fast).unwrap_or_default();
        self.absorb(&pending);
        pending
    }

    /// After a packet of a lowered stream was judged here: whether the rules still hold.
    #[cold]
    pub(crate) fn follows_rules(&self) -> bool {
        let [a, b] = &self.sides;
        let rules = self.lowering.rules();
        rules.is_none_or(|[from_a, from_b]| a.follows(b, from_a) && b.follows(a, from_b))
    }

    /// Takes the stream back from `fast`.
    #[cold]
    pub(crate) fn withdraw(&mut self, fast: &mut dyn FastPath) -> [FastCount; 2] {
        let pending = self.lowering.withdraw(fast).unwrap_or_default();
        self.absorb(&pending);
        pending
    }

    /// Counts an RTP packet that passed here; true when it is time for [`Stream::lower`].
    #[inline]
    pub(crate) fn is_due(&mut self) -> bool {
        self.tones.is_none() && self.lowering.is_due()
    }

    /// Hands the stream to `fast`, if it is regular enough. `own` are our addresses.
    #[cold]
    pub(crate) fn lower(&mut self, now: Instant, own: [SocketAddr; 2], fast: &mut dyn FastPath) {
        let [a, b] = &self.sides;
        let [own_a, own_b] = own;
        let rules = a
            .fast_rule(b, [own_a, own_b])
            .zip(b.fast_rule(a, [own_b, own_a]));
        if let Some((from_a, from_b)) = rules {
            self.lowering.install(now, [from_a, from_b], fast);
        }
    }

    fn absorb(&mut self, [from_a, from_b]: &[FastCount; 2]) {
        let [a, b] = &mut self.sides;
        a.absorb(b, from_a);
        b.absorb(a, from_b);
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

/// Fax goes from the one port to the other, while both sides speak it.
#[cold]
fn relay_udptl(
    now: Instant,
    (near, far): (&mut SideState, &mut SideState),
    component: Component,
    from: Endpoint,
    len: usize,
) -> Result<Relayed, DropReason> {
    if component != Component::Rtp || far.framing() != Framing::Udptl {
        return Err(DropReason::Malformed);
    }
    near.receive_udptl(now, from, len)?;
    let forward = far.send_udptl(len)?;
    Ok(Relayed { component, forward })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_stream_takes_900_bytes() {
        assert!(size_of::<Stream>() <= 944, "{}", size_of::<Stream>());
    }
}

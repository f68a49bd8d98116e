//! Which source address a side of a stream listens to, and where it is sent to.
//!
//! RTP has no handshake, so whoever sends to an open port first can hear a call ("RTP bleed") or
//! speak into it ("RTP inject", rtpengine ES2025-01). The rules here, from RFC 7362 (latching) and
//! what went wrong elsewhere:
//!
//! - Nothing is sent anywhere but to the address the session description named, until a source
//!   has proved itself better.
//! - A source has a [`Rank`]: it *is* the described address, it is on a host we know the peer by,
//!   or it is anybody. The policy says which ranks count at all.
//! - Anybody counts only under [`LatchPolicy::Symmetric`], inside a short window, and after
//!   [`PROBATION_PACKETS`] packets in sequence (RFC 3550 §A.1), or after SRTP authentication.
//! - A better rank takes the latch over inside the window: the phone beats the stranger who came
//!   first. An equal or lower rank never does.
//! - After that the holder stays. Another source is heard only when the holder has been silent for
//!   [`RELATCH_SILENCE`] and the packet continues the holder's stream from the same host, comes
//!   from the described address, or is authenticated.
//!
//! A claim is judged in two steps, so that SRTP is authenticated in between: [`Latch::admit`]
//! reads only, [`Latch::commit`] changes the state once the packet is known to be genuine.

use std::time::Duration;

use ringfence_base::Instant;

use crate::config::LatchPolicy;
use crate::endpoint::{Endpoint, PackedIp};

/// How long after media is expected any source may latch ([`LatchPolicy::Symmetric`]), and how
/// long after the latch a better one may take it over.
pub const LATCH_WINDOW: Duration = Duration::from_secs(5);

/// How long the holder of a latch must be silent before another source is heard: longer than a
/// gap in speech on a busy network, short enough for a rebound NAT.
pub const RELATCH_SILENCE: Duration = Duration::from_secs(1);

/// Packets in sequence that an unknown source must send before it is believed (RFC 3550 §A.1).
pub const PROBATION_PACKETS: u8 = 2;

/// How far ahead the sequence number of a returning source may be (RFC 3550 §A.1, MAX_DROPOUT).
const DROPOUT_MAX: u16 = 3000;

/// What we know about a source. Ordered: a better one is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// Nothing.
    Anybody,
    /// It is on a host the peer is known by.
    Host,
    /// It is the described address and port.
    Exact,
}

/// How a packet's source stands to the latch, before the packet is authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The source holds the latch.
    Holder,
    /// The source may take the latch.
    Newcomer(Rank),
    /// The holder is silent; the source may be the same peer elsewhere.
    Return(Rank),
}

/// What a genuine packet says for its source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evidence {
    /// SRTP authentication passed.
    pub(crate) authenticated: bool,
    /// The packet's synchronisation source.
    pub(crate) ssrc: u32,
    /// The packet's sequence number.
    pub(crate) sequence: u16,
    /// SSRC and sequence number of the last packet accepted on this side.
    pub(crate) previous: Option<(u32, u16)>,
}

/// Why a source is not listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It has no claim.
    Foreign,
    /// It may have one; more packets will show.
    Probation,
}

/// The part of a side's configuration that ranks sources.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) policy: LatchPolicy,
    /// Another host the peer is known by: where its signalling comes from.
    pub(crate) known_host: PackedIp,
    /// Whether packets are authenticated before they count.
    pub(crate) secured: bool,
}

/// The latch of the RTP of one side.
#[derive(Clone, Copy)]
pub(crate) struct Latch {
    described: Endpoint,
    source: Source,
    /// End of the window; each new expectation of media and each latch moves it.
    settles_at: Instant,
}

#[derive(Clone, Copy)]
enum Source {
    Open,
    Candidate {
        from: Endpoint,
        ssrc: u32,
        next_sequence: u16,
        packets: u8,
    },
    Held {
        by: Endpoint,
        rank: Rank,
    },
}

impl Latch {
    /// A latch that knows no address: nothing is admitted.
    pub(crate) const fn new() -> Latch {
        Latch {
            described: Endpoint::NONE,
            source: Source::Open,
            settles_at: Instant::ZERO,
        }
    }

    /// Forgets the holder and waits for media from `described`.
    pub(crate) fn reset(&mut self, described: Endpoint) {
        *self = Latch {
            described,
            source: Source::Open,
            settles_at: Instant::ZERO,
        };
    }

    /// Media may come from now on: opens the window, unless the latch is already held.
    pub(crate) fn expect(&mut self, now: Instant) {
        if !matches!(self.source, Source::Held { .. }) {
            self.settles_at = now + LATCH_WINDOW;
        }
    }

    /// How `from` stands to the latch. `last_heard` is when the holder was last heard.
    #[inline]
    pub(crate) fn admit(
        &self,
        now: Instant,
        rules: Rules,
        from: Endpoint,
        last_heard: Instant,
    ) -> Result<Claim, Refusal> {
        match self.source {
            Source::Held { by, .. } if by == from => Ok(Claim::Holder),
            _ => self.admit_newcomer(now, rules, from, last_heard),
        }
    }

    /// Takes a genuine packet's claim: afterwards the source holds the latch, or is refused.
    #[inline]
    pub(crate) fn commit(
        &mut self,
        now: Instant,
        claim: Claim,
        from: Endpoint,
        evidence: Evidence,
    ) -> Result<(), Refusal> {
        match claim {
            Claim::Holder => Ok(()),
            Claim::Newcomer(rank) => self.commit_newcomer(now, rank, from, evidence),
            Claim::Return(rank) => self.commit_return(rank, from, evidence),
        }
    }

    /// Takes the claim of a packet that has no sequence number (RTCP on the RTP port).
    pub(crate) fn commit_rtcp(
        &mut self,
        now: Instant,
        claim: Claim,
        from: Endpoint,
        authenticated: bool,
    ) -> Result<(), Refusal> {
        match claim {
            Claim::Holder => Ok(()),
            Claim::Newcomer(rank) if authenticated || rank > Rank::Anybody => {
                self.hold(from, rank);
                self.settles_at = now + LATCH_WINDOW;
                Ok(())
            }
            Claim::Return(rank) if authenticated || rank == Rank::Exact => {
                self.hold(from, rank);
                Ok(())
            }
            Claim::Newcomer(_) | Claim::Return(_) => Err(Refusal::Foreign),
        }
    }

    /// Where media is sent: to the holder, else to the described address.
    #[inline]
    pub(crate) fn destination(&self) -> Endpoint {
        match self.source {
            Source::Held { by, .. } => by,
            _ => self.described,
        }
    }

    /// The described address.
    pub(crate) const fn described(&self) -> Endpoint {
        self.described
    }

    /// The source that holds the latch, or `NONE`.
    pub(crate) const fn holder(&self) -> Endpoint {
        match self.source {
            Source::Held { by, .. } => by,
            _ => Endpoint::NONE,
        }
    }

    #[cold]
    fn admit_newcomer(
        &self,
        now: Instant,
        rules: Rules,
        from: Endpoint,
        last_heard: Instant,
    ) -> Result<Claim, Refusal> {
        let rank = rank(rules, self.described, from).ok_or(Refusal::Foreign)?;
        let in_window = now < self.settles_at;
        match self.source {
            Source::Held { rank: held, .. } if rank > held && in_window => {
                Ok(Claim::Newcomer(rank))
            }
            Source::Held { by, .. } => {
                let is_silent = now - last_heard >= RELATCH_SILENCE;
                let may_return = rules.secured || rank == Rank::Exact || from.ip() == by.ip();
                if is_silent && may_return {
                    Ok(Claim::Return(rank))
                } else {
                    Err(Refusal::Foreign)
                }
            }
            _ if rank == Rank::Anybody && !rules.secured && !in_window => Err(Refusal::Foreign),
            _ => Ok(Claim::Newcomer(rank)),
        }
    }

    #[cold]
    fn commit_newcomer(
        &mut self,
        now: Instant,
        rank: Rank,
        from: Endpoint,
        evidence: Evidence,
    ) -> Result<(), Refusal> {
        if !evidence.authenticated && rank < Rank::Exact {
            // SSRC 0 is the mark of bleed probes; a peer that really uses it is still heard from
            // the address it described.
            if evidence.ssrc == 0 {
                return Err(Refusal::Foreign);
            }
            if rank == Rank::Anybody {
                self.probe(from, evidence)?;
            }
        }
        self.hold(from, rank);
        self.settles_at = now + LATCH_WINDOW;
        Ok(())
    }

    #[cold]
    fn commit_return(
        &mut self,
        rank: Rank,
        from: Endpoint,
        evidence: Evidence,
    ) -> Result<(), Refusal> {
        let continues = evidence.previous.is_some_and(|(ssrc, sequence)| {
            let ahead = evidence.sequence.wrapping_sub(sequence);
            evidence.ssrc == ssrc && (1..=DROPOUT_MAX).contains(&ahead)
        });
        if !(evidence.authenticated || rank == Rank::Exact || continues) {
            return Err(Refusal::Foreign);
        }
        self.hold(from, rank);
        Ok(())
    }

    /// Counts packets in sequence from one unknown source; passes when there are enough.
    fn probe(&mut self, from: Endpoint, evidence: Evidence) -> Result<(), Refusal> {
        let seen = match self.source {
            Source::Candidate {
                from: candidate,
                ssrc,
                next_sequence,
                packets,
            } if candidate == from
                && ssrc == evidence.ssrc
                && next_sequence == evidence.sequence =>
            {
                packets + 1
            }
            _ => 1,
        };
        if seen >= PROBATION_PACKETS {
            return Ok(());
        }
        self.source = Source::Candidate {
            from,
            ssrc: evidence.ssrc,
            next_sequence: evidence.sequence.wrapping_add(1),
            packets: seen,
        };
        Err(Refusal::Probation)
    }

    fn hold(&mut self, by: Endpoint, rank: Rank) {
        self.source = Source::Held { by, rank };
    }
}

/// The rank of `from` under `rules`, or `None` if the policy does not let it count.
pub(crate) fn rank(rules: Rules, described: Endpoint, from: Endpoint) -> Option<Rank> {
    if from.is_none() {
        return None;
    }
    let on_described_host = !described.is_none() && from.ip() == described.ip();
    match rules.policy {
        _ if from == described => Some(Rank::Exact),
        LatchPolicy::Strict => None,
        LatchPolicy::SameAddress => on_described_host.then_some(Rank::Host),
        LatchPolicy::Symmetric => {
            let on_known_host = !rules.known_host.is_none() && from.ip() == rules.known_host;
            let rank = if on_described_host || on_known_host {
                Rank::Host
            } else {
                Rank::Anybody
            };
            Some(rank)
        }
    }
}

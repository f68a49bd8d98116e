//! The SRTP of one side: a context for each direction, and unbroken numbering towards the peer.
//!
//! An SRTP sender must never use a sequence number of a source twice under one key (RFC 3711
//! §9.1), and a receiver takes one that goes back for a replay. A plain sender may do just that: a
//! gateway that starts again at 0 with the same SSRC, or plays the same recording twice. Its packets would
//! be refused until the numbering caught up, for eleven minutes at worst. So, after
//! [`RESTART_PACKETS`] refused packets in sequence, the numbers towards the peer are shifted to go
//! on where they stopped. Left out: shifting back the sequence numbers in the peer's RTCP.

use std::time::Duration;

use ringfence_base::Instant;
use ringfence_rtp::Header;
use ringfence_rtp::srtp::{Context, SrtpError};

use crate::plane::PACKET_MAX;

/// How long a peer's old key is still taken after it has named a new one: longer than its answer
/// needs to reach it (three repetitions of a 200, RFC 3261 §13.3.1.4) and a packet its way.
pub const REKEY_OVERLAP: Duration = Duration::from_secs(4);

/// Refused packets in sequence that make a restart: more than a network repeats in one go.
const RESTART_PACKETS: u8 = 8;

/// Both directions of a side's SRTP.
pub(crate) struct Crypto {
    /// For what the peer sends.
    pub(crate) receive: Context,
    /// For what the peer is sent.
    pub(crate) send: Context,
    numbering: Numbering,
    /// The key that the peer has given up, for what is on its way.
    previous: Option<Box<Previous>>,
}

/// A key that is not in force any more.
struct Previous {
    receive: Context,
    until: Instant,
}

/// How the sequence numbers of the source that the peer is sent are shifted.
#[derive(Clone, Copy, Default)]
struct Numbering {
    ssrc: u32,
    shift: u16,
    /// The highest number sent, and the last one refused; both as sent.
    sent: u16,
    refused: u16,
    refused_packets: u8,
}

impl Crypto {
    /// Under two new keys.
    pub(crate) fn new(receive: Context, send: Context) -> Crypto {
        Crypto {
            receive,
            send,
            numbering: Numbering::default(),
            previous: None,
        }
    }

    /// The peer sends under a new key; what it sent under the old one may still come.
    pub(crate) fn change_receive(&mut self, now: Instant, receive: Context) {
        let old = std::mem::replace(&mut self.receive, receive);
        self.previous = Some(Box::new(Previous {
            receive: old,
            until: now + REKEY_OVERLAP,
        }));
    }

    /// Somebody else is there now: nobody may speak under the old key.
    pub(crate) fn forget_previous(&mut self) {
        self.previous = None;
    }

    /// Takes the protection off the RTP packet `buf[..len]` and gives its new length.
    #[inline]
    pub(crate) fn unprotect_rtp(
        &mut self,
        now: Instant,
        buf: &mut [u8],
        len: usize,
    ) -> Result<usize, SrtpError> {
        match &self.previous {
            None => self.receive.unprotect_rtp(buf, len),
            Some(_) => self.unprotect_either(now, buf, len, Context::unprotect_rtp),
        }
    }

    /// The same for RTCP.
    pub(crate) fn unprotect_rtcp(
        &mut self,
        now: Instant,
        buf: &mut [u8],
        len: usize,
    ) -> Result<usize, SrtpError> {
        match &self.previous {
            None => self.receive.unprotect_rtcp(buf, len),
            Some(_) => self.unprotect_either(now, buf, len, Context::unprotect_rtcp),
        }
    }

    /// Under the new key or, for a while, the old one.
    #[cold]
    fn unprotect_either(
        &mut self,
        now: Instant,
        buf: &mut [u8],
        len: usize,
        unprotect: fn(&mut Context, &mut [u8], usize) -> Result<usize, SrtpError>,
    ) -> Result<usize, SrtpError> {
        let mut copy = [0; PACKET_MAX];
        let (Some(packet), Some(kept)) = (buf.get(..len), copy.get_mut(..len)) else {
            return Err(SrtpError::TooShort);
        };
        kept.copy_from_slice(packet);
        let result = unprotect(&mut self.receive, buf, len);
        let Some(previous) = &mut self.previous else {
            return result;
        };
        if now >= previous.until {
            self.previous = None;
            return result;
        }
        if result.is_ok() {
            return result;
        }
        // A failed try may leave anything behind.
        if let (Some(packet), Some(kept)) = (buf.get_mut(..len), copy.get(..len)) {
            packet.copy_from_slice(kept);
        }
        unprotect(&mut previous.receive, buf, len).or(result)
    }

    /// Protects the RTP packet `buf[..len]` for the peer and gives its new length.
    #[inline]
    pub(crate) fn protect_rtp(&mut self, buf: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let header = buf.get(..len).and_then(|packet| Header::parse(packet).ok());
        let header = header.ok_or(SrtpError::Malformed)?;
        let numbering = &mut self.numbering;
        if numbering.ssrc != header.ssrc.raw() {
            *numbering = Numbering {
                ssrc: header.ssrc.raw(),
                ..Numbering::default()
            };
        }
        let sequence = header.seq.wrapping_add(numbering.shift);
        if numbering.shift != 0 {
            set_sequence(buf, sequence);
        }
        match self.send.protect_rtp(buf, len) {
            Ok(len) => {
                numbering.on_sent(sequence);
                Ok(len)
            }
            Err(SrtpError::Replayed) if numbering.is_restart(sequence) => {
                let next = numbering.sent.wrapping_add(1);
                numbering.shift = next.wrapping_sub(header.seq);
                set_sequence(buf, next);
                let len = self.send.protect_rtp(buf, len)?;
                numbering.on_sent(next);
                Ok(len)
            }
            Err(error) => Err(error),
        }
    }
}

impl Numbering {
    #[inline]
    fn on_sent(&mut self, sequence: u16) {
        if sequence.wrapping_sub(self.sent) < 1 << 15 {
            self.sent = sequence;
        }
        self.refused_packets = 0;
    }

    /// Counts a refused packet; whether there are enough of them in sequence.
    #[cold]
    fn is_restart(&mut self, sequence: u16) -> bool {
        let continues = self.refused_packets > 0 && sequence == self.refused.wrapping_add(1);
        self.refused_packets = if continues {
            self.refused_packets + 1
        } else {
            1
        };
        self.refused = sequence;
        self.refused_packets >= RESTART_PACKETS
    }
}

fn set_sequence(buf: &mut [u8], sequence: u16) {
    if let Some(field) = buf.get_mut(2..4) {
        field.copy_from_slice(&sequence.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use ringfence_base::entropy::SeededEntropy;
    use ringfence_rtp::srtp::{MasterKey, Suite};

    use super::*;

    /// A side's SRTP and its peer's receiver.
    fn pair() -> (Crypto, Context) {
        let suite = Suite::AesCm128HmacSha1_80;
        let key = MasterKey::generate(suite, &mut SeededEntropy::new(1));
        let context = || Context::new(suite, &key).unwrap();
        (Crypto::new(context(), context()), context())
    }

    /// Sends a packet; the sequence number with which it arrived, if it did.
    fn send(crypto: &mut Crypto, peer: &mut Context, ssrc: u32, sequence: u16) -> Option<u16> {
        let mut buf = [0x80; 300];
        buf[2..4].copy_from_slice(&sequence.to_be_bytes());
        buf[8..12].copy_from_slice(&ssrc.to_be_bytes());
        let len = crypto.protect_rtp(&mut buf, 172).ok()?;
        assert_eq!(peer.unprotect_rtp(&mut buf, len), Ok(172));
        Some(u16::from_be_bytes([buf[2], buf[3]]))
    }

    #[test]
    fn a_numbering_that_starts_again_goes_on_for_the_peer_rfc3711_9_1() {
        let (mut crypto, mut peer) = pair();
        for sequence in 5_000..6_000 {
            assert_eq!(send(&mut crypto, &mut peer, 1, sequence), Some(sequence));
        }
        let arrived: Vec<_> = (0..100)
            .filter_map(|sequence| send(&mut crypto, &mut peer, 1, sequence))
            .collect();
        assert_eq!(arrived.len(), 100 - usize::from(RESTART_PACKETS - 1));
        assert_eq!(
            arrived,
            (6_000..6_000 + arrived.len() as u16).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_recording_played_again_and_again_is_heard() {
        let (mut crypto, mut peer) = pair();
        for _ in 0..5 {
            let heard = (0..500)
                .filter_map(|s| send(&mut crypto, &mut peer, 1, s))
                .count();
            assert!(heard >= 493, "{heard}");
        }
    }

    #[test]
    fn repeated_packets_are_refused_and_shift_nothing() {
        let (mut crypto, mut peer) = pair();
        for sequence in 0..100 {
            assert_eq!(send(&mut crypto, &mut peer, 1, sequence), Some(sequence));
            assert_eq!(send(&mut crypto, &mut peer, 1, sequence), None);
        }
        for sequence in 95..100 {
            assert_eq!(send(&mut crypto, &mut peer, 1, sequence), None);
        }
        assert_eq!(send(&mut crypto, &mut peer, 1, 100), Some(100));
    }

    #[test]
    fn another_source_is_numbered_as_it_is() {
        let (mut crypto, mut peer) = pair();
        (100..200).for_each(|sequence| {
            send(&mut crypto, &mut peer, 1, sequence);
        });
        (0..50).for_each(|sequence| {
            send(&mut crypto, &mut peer, 1, sequence);
        });
        assert_eq!(send(&mut crypto, &mut peer, 2, 7), Some(7));
    }

    #[test]
    fn late_packets_do_not_move_the_numbering_back() {
        let (mut crypto, mut peer) = pair();
        for sequence in [65_534, 65_535, 1, 0, 2] {
            assert_eq!(send(&mut crypto, &mut peer, 1, sequence), Some(sequence));
        }
        assert_eq!(crypto.numbering.sent, 2);
    }
}

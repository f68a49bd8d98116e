//! What became of a stream: for call records and for looking at it while it lasts.

use std::net::SocketAddr;
use std::ops::Index;
use std::time::Duration;

use ringfence_base::Instant;
use ringfence_rtp::quality::Codec;
use ringfence_rtp::srtp::Suite;

use crate::config::Side;
use crate::counters::Drops;

/// Both sides of a stream. Index it by [`Side`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamReport {
    /// The first side.
    pub a: SideReport,
    /// The second side.
    pub b: SideReport,
}

impl Index<Side> for StreamReport {
    type Output = SideReport;

    fn index(&self, side: Side) -> &SideReport {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }
}

/// One side of a stream: what came from its peer, and what the peer says of what it got.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SideReport {
    /// RTP packets accepted from the peer, repetitions included.
    pub packets: u64,
    /// Their bytes: RTP with header, in the clear.
    pub bytes: u64,
    /// Packets that should have come and did not (RFC 3550 §A.3).
    pub lost: u64,
    /// The same as a share of the expected, 0.0..=1.0.
    pub loss: f32,
    /// Packets that came more than once.
    pub duplicates: u64,
    /// Packets that came after a later one.
    pub reordered: u64,
    /// Interarrival jitter at the end (RFC 3550 §A.8).
    pub jitter: Duration,
    /// Opinion score of the audio as it arrived here (ITU-T G.107), 1.0..=4.5. `None` without
    /// audio.
    pub mos: Option<f32>,
    /// The codec of the last audio packet.
    pub codec: Option<Codec>,
    /// How often the peer changed its synchronisation source.
    pub ssrc_changes: u32,
    /// The cipher suite of what the peer sent, if it was SRTP.
    pub suite: Option<Suite>,
    /// RTP packets sent to the peer.
    pub sent_packets: u64,
    /// What the peer last said of what it received.
    pub peer_reported: Option<PeerReport>,
    /// Round trip between here and the peer, by its RTCP.
    pub round_trip: Option<Duration>,
    /// The source that held the latch.
    pub latched: Option<SocketAddr>,
    /// When the peer was last heard: RTP or RTCP.
    pub last_packet: Option<Instant>,
    /// Packets that arrived at this side's ports and were dropped.
    pub drops: Drops,
    /// Of them, RTP of other sources that came within a tenth of a second of the peer's own: two
    /// spoke at once. Of a stream that the kernel forwards the peer is known to be heard only each
    /// time its counts are read.
    pub beside: u32,
}

/// What a peer says of the stream it receives: the last report block (RFC 3550 §6.4.1). It is the
/// peer's word, checked by nobody.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PeerReport {
    /// Packets lost since the beginning; negative with repetitions.
    pub lost: i32,
    /// Share lost since its previous report, 0.0..=1.0.
    pub recent_loss: f32,
    /// Interarrival jitter.
    pub jitter: Duration,
}

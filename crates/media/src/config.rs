//! What the session layer knows of one side of a stream: the outcome of offer and answer.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ringfence_rtp::srtp;

use crate::payload::PayloadTypes;
use crate::rate::RateLimit;

/// A side of a stream. Which leg of the call it is, is the caller's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

impl Side {
    /// Both.
    pub const BOTH: [Side; 2] = [Side::A, Side::B];

    /// The one across.
    pub const fn other(self) -> Side {
        match self {
            Side::A => Side::B,
            Side::B => Side::A,
        }
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

/// What the peer of one side may do: RFC 3264 §6.1, from the peer's point of view, as in its own
/// session description.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// It sends and receives.
    #[default]
    SendRecv,
    /// It only sends: nothing is forwarded to it.
    SendOnly,
    /// It only receives: what it sends is dropped.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// Whether the peer may send media.
    pub const fn peer_sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    /// Whether the peer may be sent media.
    pub const fn peer_receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }
}

/// Which sources a side listens to. The rules in full are in the crate's documentation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LatchPolicy {
    /// The described host, any port: what carriers and PBXs without NAT between need.
    #[default]
    SameAddress,
    /// The described address and port only.
    Strict,
    /// The described host, the host that signalling comes from, or, within
    /// [`LATCH_WINDOW`](crate::LATCH_WINDOW) of media being expected, any source: for phones
    /// behind NAT. With SRTP, any source that authenticates.
    Symmetric,
}

/// How packets of one side are protected.
#[derive(Debug, Default)]
pub enum Security {
    /// RTP and RTCP in the clear.
    #[default]
    Plain,
    /// SRTP and SRTCP. What does not authenticate is dropped.
    Srtp {
        /// For what the peer sends: its key.
        receive: Keying,
        /// For what the peer is sent: our key.
        send: Keying,
    },
}

impl Security {
    /// SRTP under new keys in both directions.
    pub fn srtp(receive: srtp::Context, send: srtp::Context) -> Security {
        Security::Srtp {
            receive: Keying::new(receive),
            send: Keying::new(send),
        }
    }
}

/// Whether a description brought a new key.
///
/// A context carries the packet indices used under its key, so replacing it by a new one of the
/// *same* key would repeat the keystream (RFC 3711 §9.1) and accept old packets again. A re-INVITE
/// that repeats the key must keep the context.
pub enum Keying {
    /// The key is as before.
    Keep,
    /// The key is new.
    New(srtp::Context),
}

impl Keying {
    /// A new key.
    pub const fn new(context: srtp::Context) -> Keying {
        Keying::New(context)
    }
}

impl fmt::Debug for Keying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Keying::Keep => "Keep",
            Keying::New(_) => "New(…)",
        })
    }
}

/// What a side's packets are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Framing {
    /// RTP, with RTCP beside it.
    #[default]
    Rtp,
    /// UDPTL (ITU-T T.38): fax, relayed as it is. It has no RTCP and no protection, and nobody but
    /// a host that the peer is known by is listened to.
    Udptl,
}

/// One side of a stream, as negotiated.
#[derive(Debug, Default)]
pub struct SideConfig {
    /// Where the description wants RTP. `None`, port 0, an unspecified or a multicast address:
    /// nowhere.
    pub remote: Option<SocketAddr>,
    /// Where it wants RTCP (`a=rtcp`, RFC 3605). `None`: `remote`'s port + 1.
    pub remote_rtcp: Option<SocketAddr>,
    /// RTCP shares the RTP port (RFC 5761), agreed by both.
    pub rtcp_mux: bool,
    /// The host the peer's signalling comes from: under [`LatchPolicy::Symmetric`] its media is
    /// believed before a stranger's.
    pub signalling_host: Option<IpAddr>,
    /// Which sources are listened to.
    pub latch: LatchPolicy,
    /// RTP, or fax.
    pub framing: Framing,
    /// Plain or SRTP.
    pub security: Security,
    /// The payload types the peer may send.
    pub payload_types: PayloadTypes,
    /// What the peer may do.
    pub direction: Direction,
    /// How fast the peer may send.
    pub rate: RateLimit,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_are_the_peers_rfc3264_6_1() {
        let rights = |d: Direction| (d.peer_sends(), d.peer_receives());
        assert_eq!(rights(Direction::SendRecv), (true, true));
        assert_eq!(rights(Direction::SendOnly), (true, false));
        assert_eq!(rights(Direction::RecvOnly), (false, true));
        assert_eq!(rights(Direction::Inactive), (false, false));
    }
}

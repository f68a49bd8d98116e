//! Anchored media streams: ports, latching, rewriting, quality. No networking, no clock.
//!
//! A [`Plane`] belongs to one worker. The edge binds sockets, tells the plane their addresses and
//! hands in each datagram with the index of its socket; the plane says what to send, from which
//! socket, to whom. A *stream* (one m-line of a call) bridges two *sides*, each with an RTP and an
//! RTCP port; either side is plain or SRTP, with RTCP apart or on the RTP port (RFC 5761).
//!
//! ```
//! use ringfence_base::entropy::SeededEntropy;
//! use ringfence_base::{Instant, ListenerId};
//! use ringfence_media::{Plane, PortPair, Side, SideConfig, SocketIndex};
//!
//! let listener = ListenerId::new(0);
//! let mut plane = Plane::new(&mut SeededEntropy::new(1));
//! plane.add_ports(
//!     listener,
//!     (0..2).map(|n| PortPair {
//!         rtp: SocketIndex::new(2 * n),
//!         rtcp: SocketIndex::new(2 * n + 1),
//!         addr: ([192, 0, 2, 1], 30_000 + 2 * n as u16).into(),
//!     }),
//! );
//! let stream = plane.open_stream(Instant::ZERO, listener, listener)?;
//! let config = SideConfig { remote: Some(([198, 51, 100, 7], 4000).into()), ..Default::default() };
//! plane.configure_side(Instant::ZERO, stream, Side::A, config)?;
//! assert_eq!(plane.local_addr(stream, Side::A), Some(([192, 0, 2, 1], 30_000).into()));
//!
//! // A stranger's datagram: dropped and counted, nothing is sent.
//! let (socket, from) = (SocketIndex::new(0), ([203, 0, 113, 66], 9).into());
//! assert_eq!(plane.handle_packet(Instant::ZERO, socket, from, &mut [0x80; 300], 172), None);
//! let report = plane.close_stream(stream).expect("it was open");
//! assert_eq!(report[Side::A].drops.total(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Which packets pass
//! The described address (SDP) is where a side is sent to, until a source has *latched*. Which
//! source may, is the side's [`LatchPolicy`]; the rules in full, and the attacks they answer, head
//! `latch.rs`. With SRTP nothing latches before it authenticates. From the holder of the latch only
//! negotiated payload types pass, at a bounded rate, in the negotiated direction. RTCP is rewritten
//! so that no name, address or software of one side reaches the other; its CNAME is random per
//! stream and side. Every packet is forwarded or counted under one [`DropReason`].
//!
//! What plain RTP cannot be protected from: somebody on the path, or who can forge the holder's source
//! address and knows its ports, is heard; and of two unknown sources that compete for a phone
//! behind NAT inside the window, neither at a host the phone is known by, the first wins. SRTP
//! answers both.
//!
//! # Why a port pair per side, and no shared ports
//! A shared port ("lane") would save sockets and make batches longer, but must tell streams apart by
//! source address or SSRC: both are the sender's to choose, the first is unknown until a phone
//! behind NAT has sent something, and two calls to one media gateway may share the first and, by
//! accident or malice, the second. On a port of its own a packet's stream follows from the socket
//! it arrived at: no hash, no lookup by what a stranger wrote, nothing that one call's peer can do
//! to another call, and carriers that check RFC 3264 symmetric ports are content. Sockets cost
//! memory of the kernel only when packets wait in them. Ports are used first in, first out, so that
//! late packets of an old call find a closed door.
//!
//! # What it costs
//! A datagram finds its stream by two table lookups; nothing is allocated or locked per packet. A
//! plain stream takes under 1 kB, an SRTP side its two contexts more. Established plain streams may
//! be handed to a [`FastPath`], where the host has one; see `fast_path.rs`.
//!
//! # What is absent
//! Transcoding, mixing, recording, DTLS-SRTP and ICE. STUN and DTLS packets are dropped as
//! [`DropReason::Malformed`]. Nothing here has a timer but the edge's own [`voice`]
//! ([`Plane::voice_due`]): the session asks [`Plane::last_packet`] to find silent calls.

mod config;
mod counters;
mod crypto;
mod endpoint;
mod fast_path;
pub mod fuzz;
mod latch;
mod payload;
mod plane;
mod ports;
mod rate;
mod report;
mod rtcp_latch;
mod side;
mod strays;
mod stream;
mod tones;
pub mod voice;

pub use config::{Direction, Framing, Keying, LatchPolicy, Security, Side, SideConfig};
pub use counters::{Counters, DropReason, Drops};
pub use crypto::REKEY_OVERLAP;
pub use fast_path::{FastCount, FastKey, FastPath, FastRule};
pub use latch::{LATCH_WINDOW, PROBATION_PACKETS, RELATCH_SILENCE};
pub use payload::{PAYLOAD_TYPES_MAX, PayloadType, PayloadTypeError, PayloadTypes};
pub use plane::{
    Forward, NoPorts, PACKET_MAX, Plane, PlaneError, SOCKETS_MAX, Seen, StreamId, TAIL,
};
pub use ports::{PortPair, SocketIndex};
pub use rate::{BURST, RATE_FACTOR, RateLimit};
pub use report::{PeerReport, SideReport, StreamReport};
pub use side::{ConfigureError, UDPTL_MAX};
pub use strays::Stray;
pub use tones::{G711, TONE_WAIT, TONES_WAITING_MAX, ToldTone, Tone, ToneRules, ToneWay};

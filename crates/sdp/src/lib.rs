//! Session descriptions (RFC 8866) and the offer/answer model (RFC 3264). No networking, no clock.
//!
//! [`SessionDescription::parse`] is lenient: it returns what can be understood together with the
//! [`Defects`] it met, and fails only where guessing would be unsafe, for instance at a media line
//! that cannot be read, because media lines are matched by position. Attributes keep their order
//! and their bytes; everything else is a typed value that is written in the order RFC 8866 wants.
//!
//! | for | see |
//! |---|---|
//! | reading and writing | [`SessionDescription`], [`Media`], [`Attributes`] |
//! | codecs, direction, RTCP, SDES keys | [`Codec`], [`Direction`], [`Rtcp`], [`Crypto`] |
//! | whether an answer fits its offer, hold | [`offer_answer`] |
//! | removing all traces of the other side | [`hide`](mod@hide) |
//!
//! ```
//! use ringfence_sdp::{Direction, SessionDescription};
//!
//! let body = b"v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
//!     m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendonly\r\n";
//! let offer = SessionDescription::parse(body)?;
//! let audio = &offer.media[0];
//! assert_eq!(offer.rtp_address(audio), Some("192.0.2.10:4000".parse().unwrap()));
//! assert_eq!(offer.direction(audio), Direction::SendOnly);
//! assert_eq!(audio.codec(0).unwrap().encoding, "PCMU");
//! assert_eq!(offer.to_bytes(), body);
//! # Ok::<(), ringfence_sdp::SdpError>(())
//! ```
//!
//! Left out on purpose: layered multicast (several `c=` lines of one media description, kept only
//! as the first), capability negotiation (RFC 5939), and ICE and DTLS beyond recognising their
//! attributes, so that they can be dropped.

mod address;
mod attribute;
mod codec;
mod crypto;
mod defects;
mod description;
mod direction;
pub mod fuzz;
pub mod hide;
mod media;
mod mention;
pub mod offer_answer;
mod parse;
mod rtcp;
mod text;
mod write;

pub use address::{Address, Connection};
pub use attribute::{Attribute, AttributeClass, Attributes};
pub use codec::Codec;
pub use crypto::{Crypto, CryptoError, SessionParam};
pub use defects::Defects;
pub use description::{Bandwidth, Origin, SessionDescription};
pub use direction::Direction;
pub use hide::{Forbidden, Hidden, Hide, hide};
pub use media::{Media, MediaKind, Proto};
pub use parse::{MAX_BODY, MAX_FORMATS, MAX_LINES, MAX_MEDIA, SdpError};
pub use rtcp::Rtcp;
pub use text::Text;

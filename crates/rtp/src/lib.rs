//! RTP, RTCP, SRTP, telephone events, G.711 and quality. No networking, no clock.
//!
//! Everything here works on bytes that the caller owns: packets are read in place, encrypted and
//! decrypted in place, and nothing is allocated per media packet. What is absent on purpose: jitter
//! buffers, transcoding beyond G.711, DTLS (its keys would come in through [`srtp::MasterKey`]) and
//! any decision about who may send (that is `ringfence-media`).
//!
//! The paved road of the relay:
//!
//! ```
//! use ringfence_rtp::{PacketKind, classify, srtp};
//! # use ringfence_base::entropy::SeededEntropy;
//! let suite = srtp::Suite::AeadAes128Gcm;
//! let key = srtp::MasterKey::generate(suite, &mut SeededEntropy::new(1));
//! let mut sender = srtp::Context::new(suite, &key)?;
//! let mut receiver = srtp::Context::new(suite, &key)?;
//!
//! let mut buf = [0; 256];
//! buf[0] = 0x80; // version 2; the rest of this packet is zeros
//! assert_eq!(classify(&buf[..172]), PacketKind::Rtp);
//! let protected = sender.protect_rtp(&mut buf, 172)?;
//! assert_eq!(receiver.unprotect_rtp(&mut buf, protected)?, 172);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod classify;
pub mod dtmf;
pub mod fuzz;
pub mod g711;
mod header;
pub mod quality;
pub mod rtcp;
pub mod srtp;
pub mod telephone_event;
pub mod tone;

pub use classify::{PacketKind, classify};
pub use header::{Header, HeaderError, RtpView, Ssrc};

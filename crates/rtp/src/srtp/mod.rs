//! SRTP and SRTCP: RFC 3711 (AES-CM with HMAC-SHA1), RFC 7714 (AES-GCM), keyed by SDES (RFC 4568).
//!
//! A [`Context`] is one direction of one media stream with all its sources. Keys are derived once
//! (key derivation rate 0, which is what SDES gives when it says nothing), packets are transformed
//! in place, and nothing changes in a context before a packet has proved authentic. Left out: re-keying
//! within a context by `<From, To>`, the null ciphers, AES-192, F8, unencrypted SRTCP, and enforcement of
//! a key's lifetime (2^31 packets at 50 a second are 497 days).

mod aes_cm;
mod aes_gcm;
mod context;
mod derive;
mod error;
#[cfg(test)]
mod hex;
mod hmac;
mod key;
mod suite;
mod transform;
mod window;

pub use context::{Context, MAX_SOURCES};
pub use error::{KeyError, SrtpError};
pub use key::{MAX_MKI_LEN, MasterKey};
pub use suite::Suite;

/// The most bytes that protecting a packet adds: GCM tag, SRTCP index and MKI. A buffer with this
/// much room after the packet always suffices.
pub const MAX_OVERHEAD: usize = 16 + 4 + MAX_MKI_LEN;

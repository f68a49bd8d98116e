//! Secure telephone identity: PASSporTs (RFC 8225, with `shaken` of RFC 8588 and `div` of
//! RFC 8946), the Identity header that carries them (RFC 8224), and their ES256 signatures.
//!
//! No networking, no clock, no file. Nothing here fetches a certificate or validates a chain:
//! [`verify()`] is told the public key, and the caller answers for that key.

pub mod guard;
pub mod identity;
pub mod passport;
pub mod sign;
pub mod verify;

pub use identity::Identity;
pub use passport::{Attestation, Claims, Dest, Header, Orig, canonical_number};
pub use sign::Signer;
pub use verify::{Expected, VerifyError, verify};

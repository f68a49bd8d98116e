//! Secure telephone identity: PASSporTs (RFC 8225, with `shaken` of RFC 8588 and `div` of
//! RFC 8946), the Identity header that carries them (RFC 8224), and their ES256 signatures.
//!
//! [`Verifier`] judges the Identity headers of a call: the certificate's chain to trust roots and
//! its TNAuthList (RFC 8226), the signature, the time, replays. It says what is to be fetched and
//! goes on when that came. No networking, no clock, no file.

pub mod authority;
pub mod chain;
pub mod guard;
pub mod identity;
pub mod passport;
pub mod replay;
pub mod sign;
pub mod verifier;
pub mod verify;

pub use authority::TnAuthList;
pub use chain::TrustRoots;
pub use guard::Guard;
pub use identity::Identity;
pub use passport::{Attestation, Claims, Dest, Header, Orig, canonical_number};
pub use replay::Replays;
pub use sign::Signer;
pub use verifier::{Progress, Trust, Verdict, Verifier, Verstat};
pub use verify::{Expected, VerifyError, verify};

//! Digest authentication (RFC 7616, RFC 8760, and what RFC 2617 and RFC 3261 §22 ask of old peers).
//!
//! * [`Challenge`] and [`strongest`]: what a client is asked, and [`Challenge::answer`] the header
//!   value that answers it.
//! * [`Credentials`] and [`Credentials::verify`]: what a server is told, and whether it is true.
//! * [`Ha1`]: a password as it is stored: a digest per algorithm, never the password.
//! * [`NonceMint`] and [`NonceCounts`]: nonces that cost the server no memory until somebody has
//!   proved to know a secret, and that let no captured response be sent again.
//!
//! Pure: no clock, no randomness of its own, no memory but [`NonceCounts`].
//!
//! Left out on purpose: `auth-int` (what an SBC forwards is never the body that was signed),
//! `userhash`, and the schemes other than Digest (Basic is forbidden by RFC 3261 §22).
//!
//! A quoted value is kept as it stands between its quotes, backslashes and all: that is what is
//! hashed (`unq(X)`, RFC 7616 §3.4) and what is written back.

mod algorithm;
mod challenge;
mod credentials;
mod fields;
mod ha1;
mod nonce;
mod replay;
#[cfg(test)]
mod tests;

pub use algorithm::Algorithm;
pub use challenge::{Answer, CHALLENGES_MAX, Challenge, ChallengeError, next_nonce, strongest};
pub use credentials::{Credentials, CredentialsError, all_credentials};
pub use fields::{VALUE_MAX, is_plain};
pub use ha1::{EmptyPassword, Ha1};
pub use nonce::{Nonce, NonceCheck, NonceMint};
pub use replay::{NONCES_MAX, NonceCounts, Replay};

//! What can go wrong with a key and with a packet.

use thiserror::Error;

/// Why a packet was not protected or not accepted. None of these changed the context.
///
/// After an error the packet's bytes are unspecified (GCM wipes them): drop it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SrtpError {
    /// The tag does not fit: another key, a forger, or line noise.
    #[error("authentication failed")]
    AuthFailed,
    /// The buffer has no room for the tag after the packet.
    #[error("no room for the tag after the packet")]
    BufferTooSmall,
    /// The cipher refused to run; it never should.
    #[error("the cipher refused to run")]
    Cipher,
    /// The packet index cannot grow further under this key, RFC 3711 §9.2.
    #[error("the key is used up")]
    KeyExhausted,
    /// Not an RTP or RTCP packet.
    #[error("not an RTP or RTCP packet")]
    Malformed,
    /// The packet names another master key than the one agreed on.
    #[error("another master key identifier")]
    MkiMismatch,
    /// This packet index was seen before, or is older than the window. When protecting: sending
    /// it would use a keystream twice.
    #[error("replayed, or older than the replay window")]
    Replayed,
    /// Shorter than header and tag.
    #[error("shorter than header and tag")]
    TooShort,
    /// SRTCP without encryption, which we never agree to.
    #[error("SRTCP without encryption")]
    Unencrypted,
}

/// Why a master key is not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Not base64.
    #[error("the key is not base64")]
    Base64,
    /// The cipher refused the key.
    #[error("the cipher refused the key")]
    Cipher,
    /// Key and salt are not as long as the suite wants.
    #[error("key and salt have {actual} bytes, the suite wants {expected}")]
    Length {
        /// What the suite wants.
        expected: usize,
        /// What was given.
        actual: usize,
    },
    /// The lifetime is not a number, or beyond 2^48 packets.
    #[error("the lifetime is not valid")]
    Lifetime,
    /// The master key identifier is not a number, or longer than is supported.
    #[error("the master key identifier is not valid or too long")]
    Mki,
    /// More fields or more keys than RFC 4568 §6.1 allows, or than we support (one key).
    #[error("not one inline key")]
    Syntax,
}

//! DTMF digits that somebody presses: out of telephone events (RFC 4733) and out of the sound
//! itself (ITU-T Q.23, Q.24).
//!
//! Both are machines without a clock: the one reads RTP timestamps, the other counts samples. A
//! digit is told once, as soon as it is sure, not when the key is let go.

mod events;
mod sound;

pub use events::EventReader;
pub use sound::{BLOCK, SoundReader};

//! The edge's own voice: it answers a call itself, says something, and hears which keys are pressed.
//!
//! An attendant takes one side of a stream over: what its peer sends goes no further, and what it
//! hears is ours, G.711 in packets of 20 ms. Once it is dismissed the stream relays as ever; the
//! peer sees a new synchronisation source and the same address. Left out: other codecs, recording
//! and mixing.

mod attendant;
mod ear;
mod prompts;
mod speaker;
pub mod wav;

pub use attendant::{Attend, Heard};
pub use prompts::{Language, PROMPTS, Prompts, Sound, ringback};
pub use speaker::{PACKET_TIME, Part};

pub(crate) use attendant::{AttendantIndex, Attendants};

/// Which G.711.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// PCMA.
    A,
    /// PCMU.
    Mu,
}

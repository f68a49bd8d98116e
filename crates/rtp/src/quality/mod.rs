//! How well a stream arrives: loss, reordering and jitter from its packets (RFC 3550 A.1, A.3, A.8), and an
//! opinion score from those (ITU-T G.107).
//!
//! Nothing here listens to the audio; what a jitter buffer would add to the loss is not modelled.

mod emodel;
mod stats;

pub use emodel::{Codec, mos, rating};
pub use stats::{Continuation, Progress, StreamStats};

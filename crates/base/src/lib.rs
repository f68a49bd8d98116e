//! Ids, time and chance as arguments, bounded containers and redaction.
//!
//! No networking, no clock, no thread: [`time::Instant`] is a number that the caller passes in,
//! and randomness comes through the [`entropy::Entropy`] trait. That is what makes a whole call
//! or a whole attack replayable from a seed.

mod boxed_slab;
pub mod entropy;
pub mod id;
pub mod keyed;
pub mod net;
pub mod pii;
pub mod queue;
pub mod text;
pub mod time;
pub mod timer;

pub use boxed_slab::BoxedSlab;
pub use entropy::Entropy;
pub use keyed::{HashKey, KeyedMap, KeyedSet};
pub use net::{ConnectionId, Flow, ListenerId, Transport, WorkerIndex};
pub use pii::{Pii, Secret};
pub use queue::BoundedQueue;
pub use time::{Instant, UnixTime};
pub use timer::TimerQueue;

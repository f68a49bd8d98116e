//! Toll fraud is stopped before a call is set up: what a number costs ([`destinations`]) and
//! whether this tenant may spend it now ([`judge`]).
//!
//! Left out on purpose: prices for billing. An estimate ranks destinations and sees a loss coming;
//! the carrier's invoice is another thing.

pub mod destinations;
pub mod judge;
mod memory;
pub mod meter;
pub mod money;
pub mod policy;
pub mod tells;
pub mod verdict;

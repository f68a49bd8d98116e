//! Black-box tests live in `tests/`; here is what they share.
//!
//! `tests/peers_*.rs` drive real programs (see `ringfence-peers`) and skip themselves, saying so,
//! where a program is missing.

pub mod certificates;
pub mod office;
pub mod scene;
pub mod town;

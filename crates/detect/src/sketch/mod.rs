//! Counting much in little memory, and forgetting it in time.
//!
//! | question | answer |
//! |---|---|
//! | how often, of any of millions of keys | [`CountMin`]: conservative update, decaying |
//! | how many different ones | [`Distinct`]: exact while few, HyperLogLog when many |
//! | which ones most | [`TopK`]: space saving |
//! | the state of each key, while there is room | [`Tiered`]: who proved nothing goes first |
//!
//! All keys come in as keyed 64-bit hashes ([`ringfence_base::HashKey`]), so nobody outside can
//! aim at one cell. Memory is bounded by construction, and each says how much it is.

mod count_min;
mod decay;
mod distinct;
mod tiered;
mod top_k;

pub use count_min::CountMin;
pub use decay::{Decaying, HORIZONS, Horizon};
pub use distinct::{Distinct, EXACT_MAX};
pub use tiered::{Tier, Tiered};
pub use top_k::{Heavy, TopK};

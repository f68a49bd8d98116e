//! The configuration and the types of the control API.
//!
//! - [`config`] reads a TOML file into a validated [`Config`], with every fault at once.
//! - [`compile`](mod@compile) turns a [`Config`] into the `Plan` that the call path uses.
//! - [`diff`](mod@diff) says what a changed file changes, and what of it needs a restart.
//! - [`vault`] keeps the secrets of phones, as digests and encrypted.
//! - [`scenario`] reads detectors that are data, and tests them on their traces.
//! - [`feed`] reads lists of addresses that others saw attack.
//! - [`certificate`] says when a certificate ends.
//! - [`api`] holds the versioned JSON types that the edge serves and the command line reads.
//!
//! No networking and no clock: names are resolved by a function that the caller passes in, and the
//! time of a line's state is an argument. Files are read, since certificates and keys are
//! validated before anything listens.

pub mod api;
pub mod certificate;
pub mod compile;
pub mod config;
pub mod diff;
pub mod feed;
pub mod profile;
pub mod rehearse;
pub mod scenario;
pub mod vault;

pub use compile::compile;
pub use config::{Config, ConfigError, Diagnostic, Loaded, load};
pub use diff::diff;

//! Every task of the repository, as a library so that its own tests can call the checks.
//!
//! `cargo xtask test` is what a contributor and the continuous integration run; `cargo xtask
//! bench` compares the edge with its peers; [`tidy`] holds the rules of the repository. Left out
//! on purpose: argument parsing crates and build systems. It starts `cargo` and programs of the
//! machine, reads what they print, and counts.

// A task runner talks on the terminal and owns the clock.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

pub mod bench;
pub mod eval;
pub mod parts;
pub mod repo;
pub mod runner;
pub mod tally;
pub mod tidy;
pub mod tools;

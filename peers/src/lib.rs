//! Real programs started, watched and stopped: the edge under test, SIPp, baresip, Kamailio,
//! rtpengine, tshark. For the black-box tests and the benchmark; nothing of this ships.
//!
//! Every wait has a condition and a deadline. Every run takes addresses of its own in 127/8
//! ([`net::Network`]), so runs do not meet each other, and whatever of one side shows on the other
//! can be told by its address. A program that is missing is a printed reason and a skipped test
//! ([`tools::need`]).

// These crates drive the machine from outside: they own clocks, threads and the terminal.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

pub mod baresip;
pub mod edge;
pub mod kamailio;
pub mod linphone;
pub mod media;
pub mod namespace;
pub mod nat;
pub mod net;
pub mod process;
pub mod rtpengine;
pub mod sipp;
pub mod tone;
pub mod tools;
pub mod tshark;
pub mod tunnel;
pub mod usage;
pub mod wait;

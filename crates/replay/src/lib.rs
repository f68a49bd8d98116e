//! Detection over captures, and over what an edge was told: packets out of pcap and pcapng, SIP messages out of packets, and the
//! judge of the live edge over what became of them, on the capture's own time.
//!
//! | for | see |
//! |---|---|
//! | the file | [`container`] |
//! | link layers, IP, UDP and TCP headers | [`packet`] |
//! | fragments, streams | [`fragments`], [`streams`] |
//! | messages out of packets | [`dissect`] |
//! | what requests led to | [`outcomes`] |
//! | the run | [`engine`] |
//! | what it says | [`report`] |
//! | the same over events that an edge kept | [`stored`] |
//!
//! Left out on purpose: TLS (without its keys nobody reads it), WebSocket, tunnels. What needs to
//! know a call from inside is not judged here: forged dialogs, media, toll fraud, floods of calls.
//!
//! No panic and no growth from a file: every table has its bound.

pub mod container;
pub mod dissect;
pub mod engine;
pub mod fragments;
pub mod outcomes;
pub mod packet;
pub mod report;
pub mod stored;
pub mod streams;
mod wire;

//! The RFC 3261 transaction machines with RFC 6026, and dialogs. No networking, no clock.
//!
//! * [`Transactions`]: the four machines of §17, one per file, behind one layer. Its five verbs
//!   are `handle_input`, `handle_timeout`, `poll_timeout`, `poll_transmit` and `poll_event`; time
//!   and randomness are arguments.
//! * [`Cookies`]: branches, tags and Call-IDs that say which worker made them and that nobody else
//!   can make.
//! * [`dialog`]: the state of a dialog, §12.
//!
//! # What the transaction user does
//!
//! As a server, on [`Matched::NewRequest`]: `set_owner`, then `respond` until a final response has
//! gone out. On [`Matched::Cancel`]: `respond` to the CANCEL, and to the INVITE with 487 if it is
//! not answered yet. On [`Matched::Ack2xx`]: find the dialog, `acknowledged`. On
//! [`Event::AckTimeout`]: send a BYE.
//!
//! As a client: `reserve_client`, write the request with `branch`, `send_request`. On
//! [`Matched::Response`] with a 2xx for an INVITE: write the ACK with `ack_branch`,
//! `send_ack_2xx`. On [`Matched::AnotherFork2xx`]: the same, and a BYE. On
//! [`Event::ClientTimeout`] and [`Event::TransportFailed`]: the request has failed.
//!
//! Everything else of §17 (retransmissions, ACKs for failures, the CANCEL and when it may be sent,
//! repeating a 2xx until its ACK, repeating that ACK) is the layer's.
//!
//! # Left out
//!
//! Resolving where a request goes (RFC 3263), opening connections, `maddr`, timer C, and session
//! timers and 100rel, which come with the calls that need them.

mod client_side;
mod cookie;
mod derived;
mod effects;
mod ids;
mod invite_client;
mod invite_server;
mod lanes;
mod layer;
mod non_invite_client;
mod non_invite_server;
mod quick;
mod server_key;
mod server_side;
mod slots;
#[cfg(test)]
mod testing;
mod text;
mod timer;

pub mod dialog;

pub use client_side::RequestKind;
pub use cookie::{Branch, Cookies, LocalCallId, Tag};
pub use effects::Transmit;
pub use ids::{ClientId, Owner, ServerId};
pub use layer::{Counters, Event, Limits, Matched, Refusal, TableFull, Transactions};
pub use server_key::response_flow;
pub use timer::{Timer, TimerTable};

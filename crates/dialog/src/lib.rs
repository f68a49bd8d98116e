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
//! A request too large for UDP goes by `send_large_request`; [`Event::FellBack`] tells that TCP took
//! it not.
//!
//! Everything else of §17 (retransmissions, ACKs for failures, the CANCEL and when it may be sent,
//! repeating a 2xx until its ACK, repeating that ACK) is the layer's.
//!
//! ```
//! use bytes::Bytes;
//! use ringfence_base::{Flow, Instant, ListenerId, WorkerIndex, entropy::SeededEntropy};
//! use ringfence_dialog::{Cookies, Limits, Matched, Owner, RequestKind, TimerTable, Transactions};
//!
//! let cookies = Cookies::new([7; 16], WorkerIndex::new(0));
//! let mut entropy = SeededEntropy::new(1); // for examples alone: it is predictable
//! let mut transactions =
//!     Transactions::new(TimerTable::default(), cookies, &mut entropy, Limits::default());
//! let flow = Flow::udp(ListenerId::new(0), "192.0.2.10:5060".parse()?);
//! let now = Instant::ZERO;
//!
//! let client = transactions.reserve_client()?;
//! let branch = transactions.branch(client);
//! let via = format!("Via: SIP/2.0/UDP 192.0.2.1:5060;branch={branch}\r\n");
//! let request = Bytes::from(format!("OPTIONS sip:h SIP/2.0\r\n{via}CSeq: 1 OPTIONS\r\n\r\n"));
//! transactions.send_request(now, client, RequestKind::NonInvite, flow, request, Owner(5));
//! assert_eq!(transactions.poll_transmit().map(|transmit| transmit.flow), Some(flow));
//! assert_eq!(transactions.poll_timeout(), Some(now + TimerTable::default().t1));
//!
//! let response = format!("SIP/2.0 200 OK\r\n{via}CSeq: 1 OPTIONS\r\n\r\n");
//! let mut index = ringfence_sip::Index::default();
//! let message = index.parse(response.as_bytes())?;
//! let matched = transactions.handle_input(now, &flow, &message);
//! assert_eq!(matched, Matched::Response { client, owner: Owner(5) });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Left out
//!
//! Resolving where a request goes (RFC 3263), opening connections, `maddr`, timer C, and session
//! timers and 100rel, which come with the calls that need them.

mod client_side;
mod cookie;
mod derived;
mod effects;
mod fallback;
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

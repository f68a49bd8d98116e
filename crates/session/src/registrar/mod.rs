//! The registrar: phones that register at the edge (RFC 3261 §10, RFC 3327, RFC 5626, RFC 5627).
//!
//! | for | see |
//! |---|---|
//! | a group of phones and its users, as the plan has them | [`group`] |
//! | where a user can be reached, shared by all workers | [`mod@line`] |
//! | what a REGISTER asks for | `request` |
//! | a message of a phone: credentials first, then the registrar or a call | `serve` |
//! | where a call of or to a phone goes | `route` |
//! | a REGISTER that goes on to the phone system | `pass` |
//!
//! A source on a listener with phones that is no configured peer is a phone that has proved
//! nothing yet: until its credentials are right it costs no state, and over UDP it never gets more
//! bytes than it sent. A name that is no user is worked on and answered exactly like one that is.
//!
//! What is absent on purpose: third-party registration (RFC 3261 §10.2, a user registers itself),
//! and temporary GRUUs.

mod credentials;
pub mod group;
pub mod line;
mod pass;
mod request;
mod route;
mod serve;

pub(crate) use credentials::{NONCE_LIFETIME, NONCES_KEPT};
pub(crate) use pass::{Passing, host_of, number};
pub(crate) use route::{
    Callee, Caller, Target, by_name, by_number, by_token, from_phone, presented,
};
pub(crate) use serve::FlowUsers;

//! The B2BUA: access, admission, routing, calls, topology hiding, CDRs.
//!
//! No networking, no clock, no thread, no file: [`core::Core`] is a machine that is told the time
//! and the messages, and says what to send. The edge drives one per worker on real sockets; the
//! simulator drives the same one in virtual time.
//!
//! | for | see |
//! |---|---|
//! | what a call may do: the plan | [`plan`], [`usage`] |
//! | a message comes in | `access`, `incoming`, [`owner`] |
//! | what is told of a trunk that fails | [`provider`] |
//! | numbers, and who may present which | [`numbering`], [`policy`], `identity` |
//! | a call begins, changes, ends | `setup`, `responses`, `in_dialog`, `ending`, `supervise` |
//! | methods and extensions in a call | [`methods`], `reliable`, `update`, `session_timer`, `late_success` |
//! | transfers | `transfer`, `join`, `passed_refer`, `replacing` |
//! | INFO, MESSAGE | `info`, `message_relay` |
//! | who watches whom: SUBSCRIBE, NOTIFY, PUBLISH | [`events`] |
//! | requests outside of calls that wait for an answer | `relay` |
//! | carriers that want a password | [`account`], `authentication`, `challenged`, [`registration`] |
//! | its media | `negotiation` |
//! | a caller is asked by voice | [`line_guard`], [`screening`], [`pin_question`] |
//! | phones that register | [`registrar`] |
//! | what may cross | `headers`, `outgoing` |
//! | what detection is told | [`sighting`] |
//! | how calls to a carrier are signed, and a carrier's verified | [`signing`], [`verification`] |
//! | what is told | [`event`], [`cdr`], [`view`], [`trace`], [`counters`] |
//!

mod access;
pub mod account;
mod across;
mod admission;
mod authentication;
mod body;
mod call;
pub mod call_id;
mod carriage;
pub mod causes;
pub mod cdr;
mod challenged;
pub mod codecs;
pub mod core;
pub mod counters;
mod diversion;
pub mod dtmf;
mod ending;
pub mod event;
pub mod events;
pub mod failover;
mod fallback;
mod fork;
mod headers;
pub mod health;
mod hunt;
mod identity;
mod in_dialog;
mod incoming;
mod info;
mod join;
pub mod large;
mod late_success;
pub mod line_guard;
mod location;
mod message_relay;
pub mod methods;
mod negotiation;
pub mod numbering;
mod orphan;
mod outgoing;
pub mod owner;
mod passed_refer;
pub mod pin_question;
pub mod plan;
pub mod policy;
pub mod provider;
mod redirect;
pub mod refusal;
pub mod registrar;
pub mod registration;
pub mod rehearsal;
mod relay;
mod reliable;
mod replacing;
mod responses;
mod routing;
pub mod screening;
mod session_timer;
mod setup;
pub mod sighting;
pub mod signing;
pub mod spend;
mod supervise;
pub mod targets;
#[cfg(test)]
mod testing;
pub mod trace;
mod transfer;
mod update;
pub mod usage;
pub mod verification;
pub mod view;
pub mod ways;

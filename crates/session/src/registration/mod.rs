//! Trunks that register: our binding at a carrier's registrar (RFC 3261 §10.2).
//!
//! One worker keeps a trunk's registration, whichever the trunk's name hashes to; its REGISTERs
//! carry that worker in their branch, so the answers find it. `machine` decides, from answers and
//! time alone; `answer` reads what a registrar says; `serve` sends, and ties both to the core.
//! What people may know stands in a [`RegistrationView`], shared through the peer's
//! [`Usage`](crate::usage::Usage).
//!
//! A Service-Route (RFC 3608) stands in the requests that begin something; they go to an address of
//! the trunk all the same, since nobody makes us send elsewhere by a word.
//!
//! Left out on purpose: outbound flows with `reg-id` (RFC 5626 §4).

mod answer;
mod machine;
mod serve;
mod view;

pub(crate) use serve::{Registrations, called_number, registers, registration_slot};
pub use view::{OtherContact, RegistrationState, RegistrationView, Trouble};

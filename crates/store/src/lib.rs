//! Records of calls, kept behind one trait.
//!
//! [`Records`] is what the edge needs of a database; [`SqliteRecords`] is the one that is built in.
//! What was acknowledged is on the disk: it survives `SIGKILL` and a loss of power. What could not
//! be written stays with the caller, who gets a typed reason.
//!
//! A call is marked when it starts and when it is answered, so that after a crash the next start
//! can close it honestly as `interrupted` instead of forgetting it.
//!
//! Registrations of phones are kept beside them, so that a restart forgets none.
//!
//! Events of detection are kept apart from all that, in files of their own: [`events`].
//!
//! Left out on purpose: waiting and retrying (the edge owns the queue and its bound), PostgreSQL.

pub mod csv;
mod entry;
mod error;
pub mod events;
mod records;
mod scope;
mod sqlite;

pub use entry::{Callers, Entry, Habits, Registered};
pub use error::{OpenError, QueryError, WriteError};
pub use records::{PAGE_MAX, Records, Stored};
pub use scope::Scope;
pub use sqlite::{SqliteOptions, SqliteRecords};

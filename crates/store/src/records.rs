//! The trait: what the edge needs of a database.

use std::future::Future;

use ringfence_base::UnixTime;
use ringfence_control::api::{CallRecord, Judgement};
use ringfence_session::call_id::CallId;

use crate::entry::{Callers, Entry, Habits, Registered};
use crate::error::{QueryError, WriteError};
use crate::scope::Scope;

/// Most records of one answer.
pub const PAGE_MAX: u32 = 1_000;

/// A record with its place in the order of writing.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Grows with every record, with gaps; ask for what comes after it.
    pub sequence: i64,
    /// The record.
    pub record: CallRecord,
}

/// A database of call records.
pub trait Records: Send + Sync {
    /// Writes all of `entries` or none. When it returns `Ok` they are on the disk.
    ///
    /// To write a batch again after an error is safe: a record that is there already stays once.
    fn write(&self, entries: &[Entry]) -> impl Future<Output = Result<(), WriteError>> + Send;

    /// Closes calls that an earlier process left open, as `interrupted`; says how many. To be
    /// called once at start, before the first write.
    ///
    /// Such a record ends when the earlier process was last known to run: at its last write.
    fn close_interrupted(&self) -> impl Future<Output = Result<u64, WriteError>> + Send;

    /// What phone users had registered when it was last written, in order of groups and users.
    /// To be asked once at start.
    fn registrations(&self) -> impl Future<Output = Result<Vec<Registered>, QueryError>> + Send;

    /// The known callers of each tenant, the newest first. To be asked once at start; what has faded
    /// away by `forgotten` (last heard of before) is removed.
    fn callers(
        &self,
        forgotten: UnixTime,
    ) -> impl Future<Output = Result<Vec<Callers>, QueryError>> + Send;

    /// What was learned of each site. To be asked once at start.
    fn habits(&self) -> impl Future<Output = Result<Vec<Habits>, QueryError>> + Send;

    /// What detection said, newest first, at most [`PAGE_MAX`]; `about` an address, an account or
    /// a number, or about anything.
    fn judgements(
        &self,
        about: Option<&str>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Judgement>, QueryError>> + Send;

    /// The last word on each incident that has a source, by source and kind, said at `since` or
    /// later; newest first, at most `limit`.
    fn incidents_of_sources(
        &self,
        since: UnixTime,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Judgement>, QueryError>> + Send;

    /// Forgets records of calls that ended before `before`, at most [`PAGE_MAX`] of them, so that
    /// writing never waits long; says how many.
    fn prune(&self, before: UnixTime) -> impl Future<Output = Result<u64, WriteError>> + Send;

    /// The newest records, newest first; at most [`PAGE_MAX`].
    fn recent(
        &self,
        scope: Scope<'_>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Stored>, QueryError>> + Send;

    /// Records written after `sequence`, oldest first; at most [`PAGE_MAX`]. From 0: all.
    fn after(
        &self,
        scope: Scope<'_>,
        sequence: i64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Stored>, QueryError>> + Send;

    /// The record of a call.
    fn by_id(
        &self,
        scope: Scope<'_>,
        id: CallId,
    ) -> impl Future<Output = Result<Option<Stored>, QueryError>> + Send;

    /// How many records there are.
    fn count(&self, scope: Scope<'_>) -> impl Future<Output = Result<u64, QueryError>> + Send;
}

//! The way of call records from the workers to the disk.
//!
//! Workers put entries into a bounded queue and never wait. One thread writes them in batches; a
//! record is acknowledged when its batch is committed. While the disk refuses, records wait in
//! bounded memory and the batch is tried again; what does not fit is counted as lost, newest
//! first, and the status says so.

mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use ringfence_base::UnixTime;
use ringfence_control::api::{Judgement, RecordsState, RecordsStatus};
use ringfence_detect::callers::Kept;
use ringfence_session::call_id::CallId;
use ringfence_session::cdr::Cdr;
use ringfence_session::registrar::line::Binding;
use ringfence_session::view::CallView;
use ringfence_store::{Callers, Entry, Habits, Registered};
use tokio::sync::{mpsc, watch};

#[cfg(test)]
pub(crate) use writer::tests::record;
pub(crate) use writer::{RecordsThread, start};

/// Records that may wait for the disk: some 60 MB.
pub const WAITING_MAX: usize = 65_536;

/// A worker's end of the queue.
#[derive(Clone)]
pub struct RecordSender {
    queue: mpsc::Sender<Entry>,
    progress: Arc<Progress>,
}

/// What became of the records so far.
#[derive(Debug)]
pub struct Progress {
    waiting: AtomicU64,
    written: AtomicU64,
    lost: AtomicU64,
    /// Why the last write failed; `None` when it did not. Watched by those who follow records.
    error: watch::Sender<Option<String>>,
    /// Grows with every committed batch.
    committed: watch::Sender<u64>,
}

impl RecordSender {
    pub(crate) fn new(capacity: usize) -> (RecordSender, mpsc::Receiver<Entry>) {
        let (queue, receiver) = mpsc::channel(capacity);
        let progress = Progress {
            waiting: AtomicU64::new(0),
            written: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            error: watch::Sender::new(None),
            committed: watch::Sender::new(0),
        };
        (
            RecordSender {
                queue,
                progress: Arc::new(progress),
            },
            receiver,
        )
    }

    /// Hands the record of a call over that is over. `false` when there was no room: it is lost,
    /// and counted.
    pub fn ended(&self, cdr: Box<Cdr>) -> bool {
        // Counted first: the writer may have taken it before this thread goes on.
        self.progress.waiting.fetch_add(1, Relaxed);
        let taken = self.queue.try_send(Entry::Ended(cdr)).is_ok();
        if !taken {
            self.progress.note_lost(1);
        }
        taken
    }

    /// Marks a call as open, so that a crash leaves a trace of it. Without room there is no mark.
    pub fn started(&self, call: CallView) {
        let _ = self.queue.try_send(Entry::Started(Box::new(call)));
    }

    /// Marks an open call as answered.
    pub fn answered(&self, id: CallId, at: UnixTime) {
        let _ = self.queue.try_send(Entry::Answered { id, at });
    }

    /// Keeps the bindings of a phone user over a restart. Without room the next refresh does.
    pub fn registered(&self, group: String, user: String, bindings: Vec<Binding>) {
        let registered = Registered {
            group,
            user,
            bindings,
        };
        let _ = self.queue.try_send(Entry::Registered(Box::new(registered)));
    }

    /// Keeps known callers over a restart. Ask for room first.
    pub(crate) fn callers(&self, tenant: String, kept: Vec<Kept>) {
        let callers = Callers { tenant, kept };
        let _ = self.queue.try_send(Entry::Callers(Box::new(callers)));
    }

    /// Keeps what was learned of a site over a restart. Ask for room first.
    pub(crate) fn habits(&self, site: String, what: &str, state: Vec<u8>) {
        let what = what.to_owned();
        let habits = Habits { site, what, state };
        let _ = self.queue.try_send(Entry::Habits(Box::new(habits)));
    }

    /// Whether the queue takes another entry.
    pub(crate) fn has_room(&self) -> bool {
        self.queue.capacity() > 0
    }

    /// Keeps what detection said. Without room it is in the log only.
    pub fn judged(&self, judgement: Judgement) {
        let _ = self.queue.try_send(Entry::Judged(Box::new(judgement)));
    }

    /// How the records are doing.
    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }
}

impl Progress {
    /// The same for the status.
    pub fn status(&self) -> RecordsStatus {
        let error = self.error.borrow().clone();
        RecordsStatus {
            state: if error.is_some() {
                RecordsState::Failing
            } else {
                RecordsState::Ok
            },
            waiting: self.waiting.load(Relaxed),
            written: self.written.load(Relaxed),
            lost: self.lost.load(Relaxed),
            error,
        }
    }

    /// Tells of every committed batch.
    pub fn follow(&self) -> watch::Receiver<u64> {
        self.committed.subscribe()
    }

    fn note_written(&self, records: u64) {
        self.waiting.fetch_sub(records, Relaxed);
        self.written.fetch_add(records, Relaxed);
        self.error.send_if_modified(|error| error.take().is_some());
        self.committed.send_modify(|batches| *batches += 1);
    }

    fn note_failed(&self, message: String) {
        self.error.send_replace(Some(message));
    }

    fn note_lost(&self, records: u64) {
        self.waiting.fetch_sub(records, Relaxed);
        self.lost.fetch_add(records, Relaxed);
    }
}

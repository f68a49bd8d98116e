//! The thread that writes records.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use ringfence_store::{Entry, Records};
use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;

use super::Progress;
use crate::traces::{self, Traces};

/// Entries committed together at most.
const BATCH_MAX: usize = 1_024;
/// How long a batch waits for company: one flush of the disk serves all of it.
const GATHER: Duration = Duration::from_millis(200);
/// Between attempts while the disk refuses: at first, doubling up to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// Attempts at the end of the process, when nobody can wait for ever.
const LAST_ATTEMPTS: u32 = 3;

/// The running writer. It ends when every sender is gone and all is written.
pub(crate) struct RecordsThread {
    thread: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

/// Starts the thread.
pub(crate) fn start<R: Records + 'static>(
    store: Arc<R>,
    queue: Receiver<Entry>,
    progress: Arc<Progress>,
    traces: Option<Traces>,
) -> io::Result<RecordsThread> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (stop, stopped) = oneshot::channel();
    let writer = Writer {
        store,
        queue,
        progress,
        traces,
        stopped,
        stopping: false,
    };
    let thread = std::thread::Builder::new()
        .name("rf-records".to_owned())
        .spawn(move || runtime.block_on(writer.run()))?;
    Ok(RecordsThread { thread, stop })
}

impl RecordsThread {
    /// Writes what waits and ends.
    pub(crate) fn finish(self) {
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

struct Writer<R> {
    store: Arc<R>,
    queue: Receiver<Entry>,
    progress: Arc<Progress>,
    traces: Option<Traces>,
    stopped: oneshot::Receiver<()>,
    stopping: bool,
}

impl<R: Records> Writer<R> {
    async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while self.gather(&mut batch).await {
            self.write(&mut batch).await;
        }
    }

    /// Fills the batch; `false` when there is nothing more to come.
    async fn gather(&mut self, batch: &mut Vec<Entry>) -> bool {
        if !self.stopping {
            tokio::select! {
                biased;
                taken = self.queue.recv_many(batch, BATCH_MAX) => {
                    if taken == 0 {
                        return false;
                    }
                    // Whoever comes within a moment is written with it.
                    let _ = tokio::time::timeout(GATHER, &mut self.stopped).await.map(|_| {
                        self.stopping = true;
                    });
                }
                _ = &mut self.stopped => self.stopping = true,
            }
        }
        while batch.len() < BATCH_MAX {
            let Ok(entry) = self.queue.try_recv() else {
                break;
            };
            batch.push(entry);
        }
        !batch.is_empty()
    }

    /// Writes the batch, again and again while the disk refuses it. The queue behind it fills
    /// meanwhile, and its bound is the bound on memory.
    async fn write(&mut self, batch: &mut Vec<Entry>) {
        let records = batch.iter().filter(|entry| entry.is_record()).count() as u64;
        let (mut pause, longest) = RETRY;
        let mut attempts = 0;
        loop {
            match self.store.write(batch).await {
                Ok(()) => {
                    self.progress.note_written(records);
                    self.tell(batch);
                    break;
                }
                Err(error) => {
                    attempts += 1;
                    tracing::error!(%error, cause = error_cause(&error), records,
                        "call records cannot be written; they wait in memory");
                    self.progress.note_failed(error.to_string());
                }
            }
            if self.stopping && attempts >= LAST_ATTEMPTS {
                tracing::error!(records, "call records were lost");
                self.progress.note_lost(records);
                break;
            }
            self.wait(pause).await;
            pause = (pause * 2).min(longest);
        }
        batch.clear();
    }

    fn tell(&self, batch: &[Entry]) {
        for entry in batch {
            if let Entry::Ended(cdr) = entry {
                traces::tell(self.traces.as_ref(), cdr);
            }
        }
    }

    async fn wait(&mut self, pause: Duration) {
        if self.stopping {
            tokio::time::sleep(pause).await;
        } else if tokio::time::timeout(pause, &mut self.stopped).await.is_ok() {
            self.stopping = true;
        }
    }
}

fn error_cause(error: &dyn std::error::Error) -> String {
    error.source().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use ringfence_base::UnixTime;
    use ringfence_session::call_id::CallId;
    use ringfence_session::cdr::{Cdr, Direction, EndedBy, LegRecord, Outcome};
    use ringfence_store::{Callers, Habits, QueryError, Scope, Stored, WriteError};

    use super::*;
    use crate::records::RecordSender;

    /// A database whose first writes fail.
    struct Stubborn {
        refusals: AtomicU32,
        written: AtomicU32,
    }

    impl Records for Stubborn {
        async fn write(&self, entries: &[Entry]) -> Result<(), WriteError> {
            if self
                .refusals
                .fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1))
                .is_ok()
            {
                return Err(WriteError::DiskFull {
                    source: sqlx::Error::WorkerCrashed,
                });
            }
            self.written.fetch_add(entries.len() as u32, Relaxed);
            Ok(())
        }

        async fn close_interrupted(&self) -> Result<u64, WriteError> {
            Ok(0)
        }

        async fn registrations(&self) -> Result<Vec<ringfence_store::Registered>, QueryError> {
            Ok(Vec::new())
        }

        async fn callers(&self, _: UnixTime) -> Result<Vec<Callers>, QueryError> {
            Ok(Vec::new())
        }

        async fn habits(&self) -> Result<Vec<Habits>, QueryError> {
            Ok(Vec::new())
        }

        async fn incidents_of_sources(
            &self,
            _since: UnixTime,
            _limit: u32,
        ) -> Result<Vec<ringfence_control::api::Judgement>, QueryError> {
            Ok(Vec::new())
        }

        async fn judgements(
            &self,
            _: Option<&str>,
            _: u32,
        ) -> Result<Vec<ringfence_control::api::Judgement>, QueryError> {
            Ok(Vec::new())
        }

        async fn prune(&self, _: UnixTime) -> Result<u64, WriteError> {
            Ok(0)
        }

        async fn recent(&self, _: Scope<'_>, _: u32) -> Result<Vec<Stored>, QueryError> {
            Ok(Vec::new())
        }

        async fn after(&self, _: Scope<'_>, _: i64, _: u32) -> Result<Vec<Stored>, QueryError> {
            Ok(Vec::new())
        }

        async fn by_id(&self, _: Scope<'_>, _: CallId) -> Result<Option<Stored>, QueryError> {
            Ok(None)
        }

        async fn count(&self, _: Scope<'_>) -> Result<u64, QueryError> {
            Ok(0)
        }
    }

    pub(crate) fn record() -> Box<Cdr> {
        let leg = LegRecord {
            peer: "carrier".into(),
            call_id: "x".into(),
            local_tag: "l".into(),
            remote_tag: "r".into(),
            remote: "127.0.0.1:5060".parse().unwrap(),
            transport: ringfence_base::Transport::Udp,
            status: None,
            media: None,
        };
        let at = UnixTime::from_micros(1);
        Box::new(Cdr {
            id: CallId::from_raw(1),
            tenant: "t".into(),
            site: "s".into(),
            direction: Direction::Inbound,
            from: "1".into(),
            to: "2".into(),
            emergency: false,
            ingress: leg,
            egress: None,
            started: at,
            ringing: None,
            answered: None,
            ended: at,
            outcome: Outcome::Refused,
            status: 404,
            q850: 1,
            ended_by: EndedBy::Edge,
            rule: "none".into(),
            caller_id: None,
        })
    }

    fn store(refusals: u32) -> Arc<Stubborn> {
        Arc::new(Stubborn {
            refusals: AtomicU32::new(refusals),
            written: AtomicU32::new(0),
        })
    }

    #[test]
    fn what_waits_is_written_before_the_end_and_tried_again_when_the_disk_refuses() {
        let store = store(2);
        let (sender, queue) = RecordSender::new(16);
        let progress = Arc::clone(sender.progress());
        assert!((0..10).all(|_| sender.ended(record())));
        assert_eq!(progress.status().waiting, 10);
        start(Arc::clone(&store), queue, Arc::clone(&progress), None)
            .unwrap()
            .finish();
        let status = progress.status();
        assert_eq!((status.waiting, status.written, status.lost), (0, 10, 0));
        assert_eq!((status.error, store.written.load(Relaxed)), (None, 10));
    }

    #[test]
    fn a_disk_that_never_takes_them_does_not_keep_the_process() {
        let (sender, queue) = RecordSender::new(16);
        let progress = Arc::clone(sender.progress());
        assert!(sender.ended(record()));
        start(store(u32::MAX), queue, Arc::clone(&progress), None)
            .unwrap()
            .finish();
        let status = progress.status();
        assert_eq!((status.waiting, status.written, status.lost), (0, 0, 1));
        assert_eq!(status.state, ringfence_control::api::RecordsState::Failing);
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let (sender, _queue) = RecordSender::new(2);
        assert_eq!((0..5).filter(|_| sender.ended(record())).count(), 2);
        let status = sender.progress().status();
        assert_eq!((status.waiting, status.lost), (2, 3));
    }
}

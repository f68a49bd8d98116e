//! The thread that writes records.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use ringfence_store::{Entry, Records};
use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;

use super::Progress;

/// Entries committed together at most.
const BATCH_MAX: usize = 1_024;
/// How long a batch waits for company: one flush of the disk serves all of it.
const GATHER: Duration = Duration::from_millis(50);
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
) -> io::Result<RecordsThread> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (stop, stopped) = oneshot::channel();
    let writer = Writer {
        store,
        queue,
        progress,
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

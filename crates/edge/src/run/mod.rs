//! Starting, reloading, draining and ending an edge.
//!
//! [`Edge::start`] binds everything, opens the database and starts the threads; from then on the
//! edge runs by itself. Several edges can run in one process: nothing here is global.

mod callers;
mod custody;
mod lifecycle;
mod prepare;
pub(crate) mod shared;
mod start;

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use ringfence_control::api::{self, Reload};
use ringfence_control::config::Config;
use ringfence_dialog::TimerTable;
use ringfence_session::call_id::CallId;
use tokio::sync::oneshot;

use crate::clock::unix_now;
use crate::judge::{Question, Work};
use crate::records::RecordsThread;
use crate::view;
use crate::worker::mailbox::Command;
use crate::worker::snapshot::WorkerSnapshot;
pub use prepare::ReloadError;
pub use shared::WorkerSilent;
use shared::{Shared, Wish};
pub use start::StartError;

/// What the caller decides, beside the configuration.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Handle `SIGTERM` and `SIGINT` (drain; the second one stops) and `SIGHUP` (reload). For the
    /// one edge of a process.
    pub signals: bool,
    /// Warnings of the configuration file, for the status.
    pub warnings: Vec<String>,
    /// SIP timers; others than the RFC's are for tests.
    pub timers: TimerTable,
}

/// A running edge. Dropping it stops it at once.
pub struct Edge {
    shared: Arc<Shared>,
    threads: Mutex<Threads>,
    control_path: PathBuf,
    metrics: Option<SocketAddr>,
}

#[derive(Default)]
struct Threads {
    workers: Vec<JoinHandle<()>>,
    control: Option<JoinHandle<()>>,
    records: Option<RecordsThread>,
    judge: Option<JoinHandle<()>>,
    /// Ends by itself after the workers.
    export: Option<JoinHandle<()>>,
    /// Held as long as the edge runs.
    lock: Option<File>,
}

impl Edge {
    /// Starts an edge. When it returns, everything is bound and being served; when it fails,
    /// nothing is left behind.
    pub fn start(config: Config, options: Options) -> Result<Edge, StartError> {
        start::start(config, options)
    }

    /// Reads the configuration file again and applies what differs. No call is dropped.
    pub fn reload(&self) -> Result<Reload, ReloadError> {
        self.shared.reload_file()
    }

    /// Applies a configuration that does not come from the file.
    pub fn apply(&self, config: Config) -> Result<Reload, ReloadError> {
        self.shared.reload(config, Vec::new())
    }

    /// Takes no new calls, lets the others end up to the configured time, says goodbye for what
    /// is left then, and ends. Returns at once; [`Edge::join`] waits.
    pub fn drain(&self) {
        self.wish(Wish::Drain);
    }

    /// Ends at once: calls in progress are left to their endpoints. Returns at once.
    pub fn stop(&self) {
        self.wish(Wish::Stop);
    }

    /// Waits until the edge has ended: after [`Edge::drain`], [`Edge::stop`] or a signal.
    /// Every record is on the disk then, if the disk takes it.
    pub fn join(&self) {
        let mut threads = self
            .threads
            .lock()
            .unwrap_or_else(|poison| poison.into_inner());
        // The control thread ends after the workers have; a thread that panicked has ended too.
        if let Some(control) = threads.control.take() {
            let _ = control.join();
        }
        for worker in threads.workers.drain(..) {
            let _ = worker.join();
        }
        if let Some(export) = threads.export.take() {
            let _ = export.join();
        }
        if let Some(judge) = threads.judge.take() {
            self.shared.judge.send(Work::Stop);
            let _ = judge.join();
        }
        if let Some(records) = threads.records.take() {
            records.finish();
        }
        threads.lock = None;
    }

    /// The socket of the control API.
    pub fn control_path(&self) -> &Path {
        &self.control_path
    }

    /// Where metrics are served.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// How the edge is doing. Blocks for one turn of the workers; not for async code.
    pub fn status(&self) -> Result<api::Status, WorkerSilent> {
        Ok(view::status(&self.shared, &self.snapshots()?))
    }

    /// The line board. Reads counters only.
    pub fn lines(&self) -> api::Lines {
        view::lines(&self.shared)
    }

    /// The calls in progress, newest first. Blocks for one turn of the workers.
    pub fn calls(&self) -> Result<api::Calls, WorkerSilent> {
        Ok(view::calls(self.blocking(self.shared.calls())?, usize::MAX))
    }

    /// The ladder of a call. Blocks for one turn of its worker.
    pub fn trace(&self, id: CallId) -> Result<api::Trace, WorkerSilent> {
        Ok(view::trace(id, self.blocking(self.shared.trace(id))?))
    }

    /// The numbers of all workers. Blocks for one turn of the workers.
    pub fn snapshots(&self) -> Result<Vec<WorkerSnapshot>, WorkerSilent> {
        self.blocking(self.shared.snapshots())
    }

    /// Ends a call; whether it was there. Blocks for one turn of its worker.
    pub fn hang_up(&self, id: CallId) -> Result<bool, WorkerSilent> {
        self.blocking(self.shared.hang_up(id))
    }

    /// Incidents that are open, the latest first. Blocks until the judge has answered, which it does
    /// between two batches of events; not for async code. `None`: it does not answer.
    pub fn incidents(&self) -> Option<Vec<api::Judgement>> {
        self.ask_judge(Question::Incidents)
    }

    /// What is in force against whom. Blocks like [`Edge::incidents`].
    pub fn blocks(&self) -> Option<Vec<api::Judgement>> {
        self.ask_judge(Question::Blocks)
    }

    /// How the sites stand against floods of calls.
    pub fn defences(&self) -> Vec<api::SiteDefence> {
        let plan = Arc::clone(&self.shared.applied.load().plan);
        let (now, at) = (self.shared.clock.now(), unix_now());
        let sites = plan.sites.iter();
        sites
            .map(|site| api::SiteDefence::new(&plan, site, now, at))
            .collect()
    }

    fn ask_judge<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let asked = self.shared.judge.send(Work::Ask(question(answer)));
        // A judge that has ended drops the question, and with it the other end.
        asked.then(|| answered.blocking_recv().ok()).flatten()
    }

    fn wish(&self, wish: Wish) {
        // Full or closed: the same wish is under way, or the edge has ended.
        let _ = self.shared.wishes.try_send(wish);
    }

    /// Asks on a thread of its own kind: the caller may have a runtime of its own.
    fn blocking<T>(
        &self,
        question: impl Future<Output = Result<T, WorkerSilent>>,
    ) -> Result<T, WorkerSilent> {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|_| WorkerSilent { worker: 0 })?
            .block_on(question)
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let threads = self
            .threads
            .get_mut()
            .unwrap_or_else(|poison| poison.into_inner());
        if threads.control.is_none() {
            // Joined already, or never complete: nobody else would tell the workers. Those that
            // are gone refuse.
            let _ = self.shared.tell_all(|| Command::Stop);
        }
        self.stop();
        self.join();
    }
}

//! What the control side knows of the running edge, and how it asks the workers.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use arc_swap::ArcSwap;
use ringfence_base::UnixTime;
use ringfence_control::config::Config;
use ringfence_session::call_id::CallId;
use ringfence_session::plan::Plan;
use ringfence_session::trace::TraceEntry;
use ringfence_session::view::CallView;
use ringfence_store::SqliteRecords;
use tokio::sync::{mpsc, oneshot};

use super::callers::CallersKeeper;
use crate::acme::Faults;
use crate::capture::CaptureTap;
use crate::clock::Clock;
use crate::judge::JudgeSender;
use crate::records::Progress;
use crate::ring::RingSender;
use crate::tap::TapCounters;
use crate::worker::mailbox::{Command, Reload};
use crate::worker::snapshot::WorkerSnapshot;

/// A worker answers within a turn. One that takes this long stands still.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Wishes of the edge's owner that the control thread fulfils.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Drain,
    Stop,
}

/// The configuration in use.
pub(crate) struct Applied {
    pub(crate) config: Arc<Config>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) at: UnixTime,
    /// Changes in the file that wait for a restart.
    pub(crate) waiting_for_restart: Vec<String>,
    /// What somebody should look at: unresolved names, warnings of the file.
    pub(crate) warnings: Vec<String>,
    /// Whether a peer's name had no address.
    pub(crate) unresolved: bool,
    /// When names are to be looked up again.
    pub(crate) resolve_at: Option<UnixTime>,
}

impl Applied {
    /// The warnings that are the file's own.
    pub(crate) fn of_the_file(&self) -> Vec<String> {
        let warnings = self.warnings.iter();
        let resolved = |warning: &&String| !warning.contains(": no address for ");
        warnings.filter(resolved).cloned().collect()
    }
}

/// Shared by the handle, the control thread and the HTTP handlers.
pub(crate) struct Shared {
    pub(crate) started: UnixTime,
    /// The clock of all workers.
    pub(crate) clock: Clock,
    pub(crate) applied: ArcSwap<Applied>,
    /// One reload at a time.
    pub(crate) reloading: Mutex<()>,
    /// Whether names are being looked up.
    pub(crate) resolving: AtomicBool,
    pub(crate) commands: Vec<RingSender<Command>>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) store: Arc<SqliteRecords>,
    /// Who writes down whom the tenants know.
    pub(crate) callers: CallersKeeper,
    /// Why listeners have no new certificate.
    pub(crate) acme: Mutex<Faults>,
    /// How many captures are running.
    pub(crate) captures: Arc<AtomicUsize>,
    /// Who judges what was seen.
    pub(crate) judge: JudgeSender,
    /// What became of the copies for a collector, if there is one.
    pub(crate) export: Option<Arc<TapCounters>>,
    /// Who relays established media, in words.
    pub(crate) media_relay: String,
    pub(crate) draining: AtomicBool,
    /// Set once the workers are told to end.
    pub(crate) stop: AtomicBool,
    pub(crate) wishes: mpsc::Sender<Wish>,
    /// Warnings that stay until the end of the process.
    pub(crate) warnings: Vec<String>,
}

/// A worker did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("worker {worker} does not answer")]
pub struct WorkerSilent {
    /// Which.
    pub worker: usize,
}

impl Shared {
    /// Why listeners have no new certificate, by their names.
    pub(crate) fn acme_faults(&self) -> MutexGuard<'_, Faults> {
        self.acme
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
    }

    /// The numbers of all workers.
    pub(crate) async fn snapshots(&self) -> Result<Vec<WorkerSnapshot>, WorkerSilent> {
        let answers = self.ask_all(Command::Snapshot).await?;
        Ok(answers.into_iter().map(|snapshot| *snapshot).collect())
    }

    /// The calls in progress, newest first.
    pub(crate) async fn calls(&self) -> Result<Vec<CallView>, WorkerSilent> {
        let mut calls: Vec<_> = self
            .ask_all(Command::Calls)
            .await?
            .into_iter()
            .flatten()
            .collect();
        calls.sort_by_key(|call| std::cmp::Reverse((call.started, call.id)));
        Ok(calls)
    }

    /// The messages of a call, whether it is still up or not.
    pub(crate) async fn trace(&self, id: CallId) -> Result<Vec<TraceEntry>, WorkerSilent> {
        let worker = id.worker().index();
        if worker >= self.commands.len() {
            return Ok(Vec::new());
        }
        self.ask(worker, |answer| Command::Trace(id, answer)).await
    }

    /// Ends a call; whether it was there.
    pub(crate) async fn hang_up(&self, id: CallId) -> Result<bool, WorkerSilent> {
        let worker = id.worker().index();
        if worker >= self.commands.len() {
            return Ok(false);
        }
        self.ask(worker, |answer| Command::HangUp(id, answer)).await
    }

    /// Makes every worker offer what passes to a capture, from when this returns on.
    pub(crate) async fn attach(&self, tap: &CaptureTap) -> Result<(), WorkerSilent> {
        let attached = self.ask_all(|answer| Command::Capture(tap.clone(), answer));
        attached.await.map(drop)
    }

    /// Tells all workers, which need not answer. A worker whose ring of commands is full stands
    /// still, and is told again by whoever watches.
    pub(crate) fn tell_all(&self, command: impl Fn() -> Command) -> Result<(), WorkerSilent> {
        let mut result = Ok(());
        for (worker, ring) in self.commands.iter().enumerate() {
            if ring.push(command()).is_err() {
                result = Err(WorkerSilent { worker });
            }
        }
        result
    }

    pub(crate) fn tell_reload(&self, reload: &Reload) -> Result<(), WorkerSilent> {
        self.tell_all(|| Command::Reload(Box::new(reload.clone())))
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    pub(crate) fn stopping(&self) -> bool {
        self.stop.load(Relaxed)
    }

    async fn ask_all<T>(
        &self,
        command: impl Fn(oneshot::Sender<T>) -> Command,
    ) -> Result<Vec<T>, WorkerSilent> {
        let mut pending = Vec::with_capacity(self.commands.len());
        for (worker, ring) in self.commands.iter().enumerate() {
            let (answer, answered) = oneshot::channel();
            ring.push(command(answer))
                .map_err(|_| WorkerSilent { worker })?;
            pending.push(answered);
        }
        let mut answers = Vec::with_capacity(pending.len());
        for (worker, answered) in pending.into_iter().enumerate() {
            answers.push(wait(worker, answered).await?);
        }
        Ok(answers)
    }

    async fn ask<T>(
        &self,
        worker: usize,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, WorkerSilent> {
        let (answer, answered) = oneshot::channel();
        let ring = self.commands.get(worker).ok_or(WorkerSilent { worker })?;
        ring.push(command(answer))
            .map_err(|_| WorkerSilent { worker })?;
        wait(worker, answered).await
    }
}

async fn wait<T>(worker: usize, answered: oneshot::Receiver<T>) -> Result<T, WorkerSilent> {
    match tokio::time::timeout(ANSWER_TIMEOUT, answered).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) | Err(_) => Err(WorkerSilent { worker }),
    }
}

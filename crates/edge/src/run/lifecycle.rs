//! The control thread: signals, wishes, drain and the end; it serves the sockets meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::callers::SAVE_INTERVAL;
use super::custody;
use super::shared::{Shared, Wish};
use crate::clock::unix_now;
use crate::worker::mailbox::{Command, Notice};

/// After the drain timeout the core says goodbye for the calls that are left; a far side that
/// does not answer has timer F's 32 s for it. Then the process ends in any case.
const GOODBYE_MAX: Duration = Duration::from_secs(36);
/// How long workers may take to end once they are told to.
const STOP_MAX: Duration = Duration::from_secs(5);
/// How often it is asked whether names are due to be looked up again.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(2);

/// What the thread waits for.
pub(crate) struct Lifecycle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) notices: Receiver<Notice>,
    pub(crate) wishes: Receiver<Wish>,
    /// The process's signals, if they are ours to handle.
    pub(crate) signals: Option<Signals>,
}

/// Handlers that are in place as soon as this is made.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Lifecycle {
    /// Runs until every worker has ended.
    pub(crate) async fn run(mut self) {
        let mut signals = self.signals.take();
        let workers = self.shared.commands.len();
        let (mut idle, mut stopped) = (0, 0);
        let mut deadline = None;
        let mut retry = interval(RESOLVE_INTERVAL);
        retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut save = interval(SAVE_INTERVAL);
        save.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look = interval(custody::EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stopped < workers {
            tokio::select! {
                notice = self.notices.recv() => match notice {
                    Some(Notice::Idle(_)) => {
                        idle += 1;
                        if idle == workers {
                            deadline = Some(self.stop());
                        }
                    }
                    Some(Notice::Stopped(_)) => stopped += 1,
                    // Every worker's thread is gone.
                    None => break,
                },
                Some(wish) = self.wishes.recv() => deadline = Some(self.fulfil(wish, deadline)),
                wish = next_signal(&mut signals) => match wish {
                    Some(wish) => deadline = Some(self.fulfil(wish, deadline)),
                    None => self.reload(),
                },
                _ = retry.tick() => self.resolve_again(),
                _ = save.tick() => self.save_callers(),
                _ = look.tick() => self.look_at_certificates(),
                () = until(deadline) => {
                    if deadline.is_some_and(|_| self.shared.stopping()) {
                        tracing::error!("workers did not end in time");
                        break;
                    }
                    deadline = Some(self.stop());
                }
            }
        }
        self.save_callers();
    }

    fn look_at_certificates(&self) {
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || custody::look(&shared));
    }

    fn save_callers(&self) {
        self.shared.callers.save(&self.shared.applied.load().plan);
    }

    /// The first wish to drain drains; the second one stops at once.
    fn fulfil(&self, wish: Wish, deadline: Option<Instant>) -> Instant {
        match (wish, deadline) {
            (Wish::Drain, None) => self.drain(),
            _ => self.stop(),
        }
    }

    fn drain(&self) -> Instant {
        tracing::info!("draining: no new calls");
        self.shared.draining.store(true, Relaxed);
        if let Err(error) = self.shared.tell_all(|| Command::Drain) {
            tracing::error!(%error, "a worker cannot be drained");
        }
        let timeout = self.shared.applied.load().plan.limits.drain_timeout;
        Instant::now() + timeout + GOODBYE_MAX
    }

    fn stop(&self) -> Instant {
        self.shared.stop.store(true, Relaxed);
        if let Err(error) = self.shared.tell_all(|| Command::Stop) {
            tracing::error!(%error, "a worker cannot be stopped");
        }
        Instant::now() + STOP_MAX
    }

    fn reload(&self) {
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || match shared.reload_file() {
            Ok(report) => tracing::info!(changes = report.changes.len(), "reloaded"),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, cause, "not reloaded; nothing changed");
            }
        });
    }

    fn resolve_again(&self) {
        let due = self.shared.applied.load().resolve_at;
        let is_due = due.is_some_and(|due| unix_now().as_micros() >= due.as_micros());
        if is_due && !self.shared.resolving.swap(true, Relaxed) {
            let shared = Arc::clone(&self.shared);
            tokio::task::spawn_blocking(move || {
                shared.resolve_again();
                shared.resolving.store(false, Relaxed);
            });
        }
    }
}

impl Signals {
    /// To be called inside a runtime's context.
    pub(crate) fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// `None` is a wish to reload.
async fn next_signal(signals: &mut Option<Signals>) -> Option<Wish> {
    let Some(signals) = signals else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = signals.terminate.recv() => Some(Wish::Drain),
        _ = signals.interrupt.recv() => Some(Wish::Drain),
        _ = signals.hangup.recv() => None,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

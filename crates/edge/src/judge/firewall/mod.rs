//! Blocks in the host's firewall: what a blocked source sends to the edge's ports ends in the
//! kernel, before a socket or a worker sees it.
//!
//! The table `inet ringfence` is ours alone. Its allow sets are the never-ban set and are asked
//! first; its drop sets hold what is blocked, each element with a timeout, so that a table which a
//! dead process left lets everybody in again by itself. A change is one transaction. Whatever
//! fails takes the whole table away: then the workers drop what the [`Shield`](super::shield)
//! says, as they do anyway.
//!
//! Only one process of a network namespace has the table. It holds an abstract socket's name for
//! that, which the kernel gives back when the process ends, however it ends.

mod nft;
pub mod rules;
#[cfg(test)]
mod tests;

use std::io;
use std::net::IpAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;

pub(crate) use rules::{Ports, Wanted};

/// The name that whoever has the table holds.
const CLAIM: &[u8] = b"ringfence-nftables";
/// How long an operator who takes a block back waits for the kernel.
const APPLY_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the host's firewall is not used.
#[derive(Debug, thiserror::Error)]
pub enum FirewallError {
    /// Another edge of the network namespace has the table.
    #[error("another edge of this host has the table `{}`", rules::TABLE)]
    Claimed(#[source] io::Error),
    /// There is no `nft`, or it cannot be run.
    #[error("`nft` cannot be run; it comes with the package nftables")]
    Run(#[source] io::Error),
    /// The kernel says no.
    #[error("nft refuses: {said}")]
    Refused {
        /// The first line of what it said.
        said: String,
    },
    /// The thread.
    #[error("the system refuses a thread")]
    Thread(#[source] io::Error),
}

/// Whether the firewall can be used from here; changes nothing.
///
/// # Errors
/// Why not.
pub(crate) fn check() -> Result<(), FirewallError> {
    // Adding and deleting a table is a transaction, which `-c` has checked without doing it.
    nft::check(&rules::remove())
}

/// What waits for the thread: the newest only.
#[derive(Default)]
struct Desk {
    wanted: Option<Wanted>,
    /// Who waits until it is done.
    waiting: Vec<SyncSender<()>>,
}

/// The table of this process. It goes away with this.
pub(crate) struct Firewall {
    desk: Arc<Mutex<Desk>>,
    bell: Option<SyncSender<()>>,
    held: Arc<ArcSwap<Wanted>>,
    works: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Firewall {
    /// Makes the table, in place of one that a dead process left, with drops at `ports`.
    ///
    /// # Errors
    /// Why the firewall cannot be used. Nothing is left behind.
    pub(crate) fn start(ports: &Ports) -> Result<Firewall, FirewallError> {
        let name = SocketAddr::from_abstract_name(CLAIM).map_err(FirewallError::Claimed)?;
        let claim = UnixListener::bind_addr(&name).map_err(FirewallError::Claimed)?;
        nft::run(&rules::create(ports))?;
        let (bell, rung) = sync_channel(1);
        let mut firewall = Firewall {
            desk: Arc::default(),
            bell: Some(bell),
            held: Arc::default(),
            works: Arc::new(AtomicBool::new(true)),
            thread: None,
        };
        let work = Work {
            desk: Arc::clone(&firewall.desk),
            held: Arc::clone(&firewall.held),
            works: Arc::clone(&firewall.works),
            _claim: claim,
        };
        let thread = std::thread::Builder::new().name("rf-firewall".to_owned());
        match thread.spawn(move || work.run(&rung)) {
            Ok(thread) => firewall.thread = Some(thread),
            Err(error) => {
                let _ = nft::run(&rules::remove());
                return Err(FirewallError::Thread(error));
            }
        }
        Ok(firewall)
    }

    /// Asks for other contents. Never waits for the kernel.
    pub(crate) fn set(&self, wanted: Wanted) {
        self.lay(Some(wanted), None);
    }

    /// Waits until what was asked for is in the kernel, for two seconds at most.
    pub(crate) fn settle(&self) {
        let (done, is_done) = sync_channel(1);
        self.lay(None, Some(done));
        // Late or never: the workers' shield is in force, and the elements end by themselves.
        let _ = is_done.recv_timeout(APPLY_TIMEOUT);
    }

    /// Whether the kernel drops what comes from this place.
    pub(crate) fn holds(&self, place: IpAddr) -> bool {
        self.works.load(Relaxed) && self.held.load().blocked.contains_key(&place)
    }

    fn lay(&self, wanted: Option<Wanted>, waiting: Option<SyncSender<()>>) {
        let mut desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted.is_some() {
            desk.wanted = wanted;
        }
        desk.waiting.extend(waiting);
        drop(desk);
        if let Some(bell) = &self.bell
            && let Err(TrySendError::Disconnected(())) = bell.try_send(())
        {
            self.works.store(false, Relaxed);
        }
    }
}

impl Drop for Firewall {
    fn drop(&mut self) {
        drop(self.bell.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Work {
    desk: Arc<Mutex<Desk>>,
    held: Arc<ArcSwap<Wanted>>,
    works: Arc<AtomicBool>,
    /// Held as long as the table is.
    _claim: UnixListener,
}

impl Work {
    fn run(self, rung: &Receiver<()>) {
        while rung.recv().is_ok() {
            let mut desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
            let Desk { wanted, waiting } = std::mem::take(&mut *desk);
            drop(desk);
            if let Some(wanted) = wanted {
                self.apply(wanted);
            }
            for waiting in waiting {
                // Whoever no longer waits is no error.
                let _ = waiting.try_send(());
            }
        }
        if self.works.load(Relaxed)
            && let Err(error) = nft::run(&rules::remove())
        {
            tracing::warn!(%error, "the firewall's table stays; its blocks end by themselves");
        }
    }

    fn apply(&self, wanted: Wanted) {
        if !self.works.load(Relaxed) {
            return;
        }
        let change = rules::change(&self.held.load(), &wanted);
        if change.is_empty() {
            return;
        }
        match nft::run(&change) {
            Ok(()) => self.held.store(Arc::new(wanted)),
            Err(error) => {
                self.works.store(false, Relaxed);
                tracing::warn!(%error, "the firewall is given up; this process drops instead");
                // A drop set whose allow sets are stale must not stand.
                let _ = nft::run(&rules::remove());
            }
        }
    }
}

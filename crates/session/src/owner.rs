//! Which worker does a message belong to?
//!
//! What we made says it itself: branches, tags and Call-IDs of ours carry their worker. Anything
//! else is spread over the workers by a keyed hash of its Call-ID, so that an INVITE, its
//! retransmissions and its CANCEL meet in the same place, whatever socket they came in by.

use ringfence_base::{HashKey, WorkerIndex};
use ringfence_dialog::Cookies;
use ringfence_sip::{HeaderName, Message, Method};

use crate::transfer::Replaces;

/// The question, answered the same way by every worker of a process.
#[derive(Clone, Copy, Debug)]
pub struct Ownership {
    cookies: Cookies,
    hash: HashKey,
    workers: u8,
}

impl Ownership {
    /// For a process of `workers` workers that share `secret`.
    pub const fn new(secret: [u8; 16], workers: u8) -> Ownership {
        Ownership {
            cookies: Cookies::new(secret, WorkerIndex::new(0)),
            hash: HashKey::from_bytes(secret),
            workers,
        }
    }

    /// Whether `message` is about an INVITE and says nothing of the worker that has it, if that one
    /// was to replace a call: a CANCEL, or the ACK of a failure.
    pub fn says_nothing(&self, message: &Message<'_>) -> bool {
        let ours = |tag: &[u8]| self.cookies.worker_of_tag(tag).is_some();
        match message.method() {
            Some(Method::Cancel) => true,
            Some(Method::Ack) => {
                let to = message.to().ok();
                !to.is_some_and(|to| to.tag().is_some_and(ours))
            }
            _ => false,
        }
    }

    /// The worker that must handle `message`.
    pub fn owner_of(&self, message: &Message<'_>) -> WorkerIndex {
        if self.workers <= 1 {
            return WorkerIndex::new(0);
        }
        let known = match message.status() {
            Some(_) => message
                .via()
                .ok()
                .and_then(|via| via.branch)
                .and_then(|branch| self.cookies.worker_of_branch(branch)),
            None => message
                .to()
                .ok()
                .and_then(|to| to.tag().map(<[u8]>::to_vec))
                // An INVITE that replaces a call goes where that call is.
                .or_else(|| Some(Replaces::parse(message.header(HeaderName::Replaces)?)?.to_tag))
                .and_then(|tag| self.cookies.worker_of_tag(&tag)),
        };
        known
            .filter(|worker| worker.raw() < self.workers)
            .unwrap_or_else(|| {
                let call_id = message.call_id().unwrap_or_default();
                let hash = self.hash.hash128(&[call_id]) as u64;
                WorkerIndex::new((hash % u64::from(self.workers)) as u8)
            })
    }
}

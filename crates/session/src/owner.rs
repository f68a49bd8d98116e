//! Which worker does a message belong to?
//!
//! What we made says it itself: branches, tags, Call-IDs and nonces of ours carry their worker. A
//! REGISTER begins no dialog and the bindings are every worker's, so whoever receives it handles it.
//! Anything else is spread over the workers by a keyed hash of its Call-ID, so that an INVITE, its
//! retransmissions and its CANCEL meet in the same place, whatever socket they came in by.

use ringfence_base::{HashKey, WorkerIndex};
use ringfence_dialog::Cookies;
use ringfence_sip::digest::NonceMint;
use ringfence_sip::{HeaderName, Message, Method};

use crate::transfer::Replaces;

/// The question, answered the same way by every worker of a process but for a REGISTER.
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

    /// The worker that must handle `message`, which the worker `here` received.
    pub fn owner_of(&self, message: &Message<'_>, here: WorkerIndex) -> WorkerIndex {
        if self.workers <= 1 {
            return WorkerIndex::new(0);
        }
        if message.status().is_none() && message.method() == Some(Method::Register) {
            // The worker that made a nonce counts its uses; a phone may come by another flow with it.
            let credentials = message.header(HeaderName::Authorization);
            let asked = credentials.and_then(NonceMint::worker_named_in);
            return asked
                .filter(|worker| worker.raw() < self.workers)
                .unwrap_or(here);
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

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_sip::Index;

    const SECRET: [u8; 16] = [5; 16];

    fn owner(method: &str, extra: &str, here: u8) -> u8 {
        let text = format!(
            "{method} sip:summit.example SIP/2.0\r\n\
             Via: SIP/2.0/UDP 192.0.2.4:5060;branch=z9hG4bK1\r\n\
             From: <sip:201@summit.example>;tag=1\r\nTo: <sip:201@summit.example>\r\n\
             Call-ID: one-and-the-same\r\nCSeq: 1 {method}\r\n{extra}Content-Length: 0\r\n\r\n"
        );
        let mut index = Index::default();
        let message = index.parse(text.as_bytes()).expect("a message");
        Ownership::new(SECRET, 4)
            .owner_of(&message, WorkerIndex::new(here))
            .raw()
    }

    #[test]
    fn whoever_receives_a_register_handles_it_and_its_nonce_goes_home() {
        for here in 0..4 {
            assert_eq!(owner("REGISTER", "", here), here);
            assert_eq!(owner("INVITE", "", here), owner("INVITE", "", 0));
            let nonce = |worker| {
                let nonce = format!("00000000271000000000{worker:02x}0123456789abcdef");
                format!(
                    "Authorization: Digest username=\"201\", cnonce=\"{nonce}\", nonce=\"{nonce}\"\r\n"
                )
            };
            assert_eq!(owner("REGISTER", &nonce(2), here), 2);
            assert_eq!(owner("REGISTER", &nonce(9), here), here);
            let not_ours = "Authorization: Digest username=\"201\", nonce=\"7\"\r\n";
            assert_eq!(owner("REGISTER", not_ours, here), here);
        }
    }
}

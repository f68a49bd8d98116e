//! Branches that a call has left: an INVITE whose call went on to another peer.
//!
//! The branch is cancelled. If its peer answers all the same, it must not be left connected to
//! nobody: a late 2xx is acknowledged and hung up (RFC 3261 §9.1, §13.2.2.4, §15), also when the
//! call itself is long over. A branch is known no longer than its client transaction.

use ringfence_base::{Flow, Instant};
use ringfence_dialog::{ClientId, Owner};
use ringfence_sip::Message;

use crate::call::CallKey;
use crate::core::Core;
use crate::responses::FORKS_MAX;
use crate::supervise::Alarm;

impl Core {
    /// Gives up a branch: cancelled now or as soon as its peer says anything.
    pub(crate) fn abandon(&mut self, now: Instant, client: ClientId) {
        self.orphans.insert(client);
        self.transactions.cancel(now, client);
    }

    /// Whether `client` is a branch that was given up; then its response is dealt with.
    pub(crate) fn on_orphan_response(
        &mut self,
        now: Instant,
        flow: Flow,
        message: &Message<'_>,
        (client, owner): (ClientId, Owner),
    ) -> bool {
        if !self.orphans.contains(&client) {
            return false;
        }
        let (key, side) = CallKey::from_owner(owner);
        self.trace(now, key, (side, false), &flow, message.bytes());
        match message.status() {
            Some(status) if status.is_provisional() => {}
            Some(status) if status.is_success() => {
                self.on_unwanted_success(now, flow, message, (client, owner), true);
                // Further phones may answer; the transaction layer tells of each once.
                self.alarms
                    .schedule(now + FORKS_MAX, Alarm::Orphan { client });
            }
            _ => {
                self.forget_orphan(client);
            }
        }
        true
    }

    /// Whether `client` was given up; then it is over.
    pub(crate) fn forget_orphan(&mut self, client: ClientId) -> bool {
        self.orphans.remove(&client)
    }
}

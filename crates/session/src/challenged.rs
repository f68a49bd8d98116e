//! A peer challenges a request of a call: the request goes again with credentials, and the call
//! hears nothing of it (RFC 3261 §22.2).

use bytes::Bytes;
use ringfence_base::{Flow, Instant};
use ringfence_dialog::{ClientId, Owner, RequestKind};
use ringfence_sip::{Index, Message, Method};

use crate::access::Candidates;
use crate::account::Account;
use crate::authentication::{authorize, write_again};
use crate::call::{CallKey, Side};
use crate::core::Core;
use crate::supervise::options_peer;

/// A 401 or 407, and the request of ours that it is about to answer.
pub(crate) struct Challenged {
    pub(crate) request: Bytes,
    pub(crate) flow: Flow,
}

impl Core {
    /// What a challenge is about; asked before the transaction layer lets go of the request.
    pub(crate) fn challenged(&self, message: &Message<'_>) -> Option<Challenged> {
        let status = message.status()?.raw();
        let (flow, request) =
            matches!(status, 401 | 407).then(|| self.transactions.answered_request(message))??;
        Some(Challenged { request, flow })
    }

    /// Sends a challenged request of a call again, with credentials, over the flow of the first
    /// try. `false` if there is no account, or nothing better to say than before: then the
    /// response is one like any other.
    pub(crate) fn answer_challenge(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        challenged: &Challenged,
        (client, owner): (ClientId, Owner),
        candidates: &Candidates,
    ) -> bool {
        if options_peer(owner).is_some() || self.orphans.contains(&client) {
            // Any answer to an OPTIONS says that somebody is there; a branch that its call has
            // left is not wanted any more.
            return false;
        }
        let (key, side) = CallKey::from_owner(owner);
        // A call may be gone whose BYE is challenged: then the source says whose account it is.
        let account = match self.call(key) {
            Some(call) => call.peer(side).and_then(|peer| peer.account.clone()),
            None => candidates
                .iter()
                .find_map(|id| self.plan.peer(*id)?.account.clone()),
        };
        let Some(account) = account else {
            self.see_asked_for_credentials(now, challenged, candidates);
            return false;
        };
        let Some((again, kind)) = self.send_again(now, message, challenged, owner, &account) else {
            self.counters.challenges_unanswered += 1;
            return false;
        };
        self.counters.challenges_answered += 1;
        self.trace(now, key, (side, false), &challenged.flow, message.bytes());
        self.trace(now, key, (side, true), &challenged.flow, &again.bytes);
        self.relay_went_again(now, owner, client, (again.client, again.cseq));
        let Some(call) = self.call_mut(key) else {
            return true;
        };
        let leg = call.leg_mut(side);
        if let Some(dialog) = &mut leg.dialog {
            dialog.note_sent(again.cseq);
        }
        if let Some(refresh) = leg.refresh.as_mut().filter(|it| it.client == client) {
            refresh.client = again.client;
            refresh.invite = refresh.invite.map(|_| again.cseq);
        }
        if kind == RequestKind::Invite {
            leg.authorization = Some(again.authorization);
            if leg.dialog.is_none() {
                // The dialog will be made of this one.
                call.sent_invite = Some(again.bytes);
            }
        }
        if let Some(referral) = &mut call.referral {
            referral.went_again(client, again.client);
        }
        if let Some(transfer) = &mut call.transfer {
            transfer.went_again(client, again.client, again.cseq);
        }
        if let Some(exchange) = &mut call.exchange {
            exchange.went_again(client, again.client, again.cseq);
        }
        if side == Side::B {
            call.provisionals.note_sent(again.cseq);
        }
        let bridge = call.bridge.as_mut();
        if let Some(bridge) = bridge.filter(|bridge| bridge.client == client) {
            bridge.client = again.client;
            bridge.client_cseq = again.cseq;
            if bridge.initial {
                // It may be silent now as it could be before.
                call.heard = false;
                self.watch_silence(now, key);
            }
        }
        true
    }

    fn send_again(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        challenged: &Challenged,
        owner: Owner,
        account: &Account,
    ) -> Option<(Again, RequestKind)> {
        let mut index = Index::default();
        let request = index.parse(&challenged.request).ok()?;
        let authorization = authorize(&request, message, account, &mut *self.entropy).ok()?;
        let client = self.transactions.reserve_client().ok()?;
        let branch = self.transactions.branch(client);
        let mut out = Vec::with_capacity(challenged.request.len() + 512);
        let Some(cseq) = write_again(&mut out, &request, branch, &authorization) else {
            self.transactions.release_client(client);
            return None;
        };
        let kind = match request.method() {
            Some(Method::Invite) => RequestKind::Invite,
            _ => RequestKind::NonInvite,
        };
        let bytes = Bytes::from(out);
        let flow = challenged.flow;
        let (key, side) = CallKey::from_owner(owner);
        let of_call = self.call(key).filter(|_| kind == RequestKind::Invite);
        let carried = of_call.and_then(|call| {
            let peer = call.peer(side)?;
            Some(self.carry(now, &call.plan, peer, flow, bytes.clone()))
        });
        match carried {
            Some(carried) => self.send_carried(now, client, kind, carried, owner),
            None => {
                let bytes = bytes.clone();
                self.transactions
                    .send_request(now, client, kind, flow, bytes, owner);
            }
        }
        let again = Again {
            client,
            cseq,
            bytes,
            authorization: (authorization.header, authorization.value.into()),
        };
        Some((again, kind))
    }
}

/// A request that went again.
struct Again {
    client: ClientId,
    cseq: u32,
    bytes: Bytes,
    authorization: crate::call::SentCredentials,
}

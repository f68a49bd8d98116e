//! The client half of the layer: requests that we send, and the responses to them (RFC 3261
//! §17.1).

use bytes::Bytes;
use ringfence_base::{Flow, HashKey, Instant};
use ringfence_sip::{HeaderName, Message, Method, StatusCode};

use crate::cookie::Branch;
use crate::derived;
use crate::effects::Effects;
use crate::fallback::Fallback;
use crate::ids::{ClientId, Owner};
use crate::invite_client::{ClientStep, ClientTimer, InviteClient, InviteResponse};
use crate::lanes::Expired;
use crate::layer::{Event, MAX_EVENTS, Matched, TableFull, Transactions};
use crate::non_invite_client::NonInviteClient;
use crate::quick;

/// One client transaction.
pub(crate) struct Client {
    pub(crate) owner: Owner,
    machine: Machine,
}

enum Machine {
    /// A branch is given out, the request not yet sent.
    Reserved,
    Invite(InviteClient),
    NonInvite(NonInviteClient),
    /// Our CANCEL for an INVITE; the user hears nothing of it.
    Cancel(NonInviteClient),
}

/// Which machine a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// An INVITE, also within a dialog.
    Invite,
    /// Any other but ACK and CANCEL, which the layer sends itself.
    NonInvite,
}

impl Transactions {
    /// Reserves a client transaction, to learn the branch for its request. The user sends the
    /// request by [`send_request`](Transactions::send_request), or gives the place back by
    /// [`release_client`](Transactions::release_client).
    pub fn reserve_client(&mut self) -> Result<ClientId, TableFull> {
        let client = Client {
            owner: Owner::default(),
            machine: Machine::Reserved,
        };
        let reserved = if self.has_timer_room() {
            self.clients.insert(client)
        } else {
            None
        };
        let Some((slot, generation)) = reserved else {
            self.counters.requests_refused += 1;
            return Err(TableFull);
        };
        Ok(ClientId { slot, generation })
    }

    /// The branch for the topmost Via of the request.
    pub fn branch(&self, id: ClientId) -> Branch {
        self.cookies.branch(id.slot, id.generation)
    }

    /// Gives back a reservation whose request is not to be sent. Anything else stays as it is.
    pub fn release_client(&mut self, id: ClientId) {
        if let Some(Client {
            machine: Machine::Reserved,
            ..
        }) = self.clients.get(id.slot, id.generation)
        {
            self.clients.remove(id.slot, id.generation);
        }
    }

    /// Sends the request of a reserved transaction. `bytes` carries [`branch`](Transactions::branch) in its topmost Via; it is
    /// kept, so hand over no slice of a larger buffer. What comes of it: responses by
    /// [`Matched::Response`], or one [`Event::ClientTimeout`] or [`Event::TransportFailed`].
    pub fn send_request(
        &mut self,
        now: Instant,
        id: ClientId,
        kind: RequestKind,
        flow: Flow,
        bytes: Bytes,
        owner: Owner,
    ) {
        let Some((client, mut fx)) = self.client(now, id) else {
            debug_assert!(false, "send_request needs a reserved transaction");
            return;
        };
        debug_assert!(
            matches!(client.machine, Machine::Reserved),
            "a request is sent once"
        );
        client.owner = owner;
        client.machine = match kind {
            RequestKind::Invite => Machine::Invite(InviteClient::start(&mut fx, flow, bytes)),
            RequestKind::NonInvite => {
                Machine::NonInvite(NonInviteClient::start(&mut fx, flow, bytes))
            }
        };
        self.clients_pending += 1;
    }

    /// Sends the user's ACK for a 2xx, and keeps it for the 2xx's retransmissions. It has its own
    /// branch, from [`ack_branch`](Transactions::ack_branch). If the transaction is over the ACK
    /// is sent all the same.
    pub fn send_ack_2xx(&mut self, now: Instant, id: ClientId, flow: Flow, bytes: Bytes) {
        let Transactions {
            clients,
            timers,
            transmits,
            index,
            hash,
            ..
        } = self;
        let mut fx = Effects {
            now,
            timers,
            transmits,
            slot: id.slot,
            generation: id.generation,
        };
        match clients
            .get_mut(id.slot, id.generation)
            .map(|client| &mut client.machine)
        {
            Some(Machine::Invite(invite)) => invite.send_ack(&mut fx, flow, bytes, |ack| {
                Some(tag_hash(*hash, &index.parse(ack).ok()?))
            }),
            _ => fx.send(&flow, &bytes),
        }
    }

    /// A branch for the ACK of a 2xx: a transaction of its own for the network (RFC 3261
    /// §13.2.2.4), yet none for us.
    pub fn ack_branch(&mut self) -> Branch {
        self.next_ack = self.next_ack.wrapping_add(1);
        self.cookies.ack_branch(self.next_ack)
    }

    /// Cancels an INVITE: at once if a provisional response has come, else as soon as one comes
    /// (RFC 3261 §9.1). Does nothing if a final response has come. The user still gets exactly one
    /// final response, maybe a 2xx that crossed the CANCEL (then: ACK and BYE), or one
    /// [`Event::ClientTimeout`] no later than 64·T1 after the CANCEL.
    pub fn cancel(&mut self, now: Instant, id: ClientId) {
        if let Some((
            Client {
                machine: Machine::Invite(invite),
                ..
            },
            _,
        )) = self.client(now, id)
        {
            invite.want_cancel();
            self.send_due_cancel(now, id);
        }
    }

    /// The request that `response` is about to answer, and where it went: for a user who will have
    /// to send it again with credentials (RFC 3261 §22.2). To be asked before
    /// [`handle_input`](Transactions::handle_input), which lets go of it. `None` for a CANCEL, for
    /// an INVITE that is being cancelled, and when the final response has come before.
    pub fn answered_request(&self, response: &Message<'_>) -> Option<(Flow, Bytes)> {
        let id = self.client_of(response)?;
        let method = response.cseq().ok()?.method;
        match &self.clients.get(id.slot, id.generation)?.machine {
            Machine::Invite(invite) if method == Method::Invite => {
                Some((*invite.flow(), invite.request()?.clone()))
            }
            Machine::NonInvite(request) if method != Method::Invite => {
                Some((*request.flow(), request.request()?.clone()))
            }
            _ => None,
        }
    }

    /// Ends the requests that wait for a first response over `flow`, whose connection failed or
    /// could not be opened: each gives an [`Event::TransportFailed`] (RFC 3261 §17.1.4), or goes
    /// over UDP if it can.
    pub fn transport_failed(&mut self, now: Instant, flow: &Flow) {
        let room = MAX_EVENTS - self.events.len();
        let failed: Vec<ClientId> = self
            .clients
            .iter()
            .filter(|(_, _, client)| client.waits_on(flow))
            .map(|(slot, generation, _)| ClientId { slot, generation })
            // The others run into their timers.
            .take(room)
            .collect();
        for id in self.fall_back_all(now, failed) {
            if let Some(client) = self.remove_client(id)
                && !matches!(client.machine, Machine::Cancel(_))
            {
                self.emit(Event::TransportFailed {
                    client: id,
                    owner: client.owner,
                });
            }
        }
    }

    /// What the CANCEL of an INVITE will say in its Reason, should there be one (RFC 3326). Call it
    /// before [`cancel`](Transactions::cancel).
    pub fn set_cancel_reason(&mut self, id: ClientId, reason: &str) {
        if let Some(Client {
            machine: Machine::Invite(invite),
            ..
        }) = self.clients.get_mut(id.slot, id.generation)
        {
            invite.set_cancel_reason(reason);
        }
    }

    pub(crate) fn handle_response(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        status: StatusCode,
    ) -> Matched {
        let Some(id) = self.client_of(message) else {
            self.counters.responses_forged += 1;
            return Matched::StrayResponse;
        };
        if !self.fallbacks.is_empty() {
            self.fallbacks.remove(&id);
        }
        let is_cancel = message
            .cseq()
            .is_ok_and(|cseq| cseq.method == Method::Cancel);
        let Some(matched) = (if is_cancel {
            self.handle_cancel_response(now, id, status)
        } else {
            self.handle_own_response(now, id, message, status)
        }) else {
            self.counters.responses_stray += 1;
            return Matched::StrayResponse;
        };
        if matched == Matched::ResponseRetransmission && !is_cancel {
            self.counters.response_retransmissions += 1;
        }
        matched
    }

    /// Reads the transaction's name from the branch. A response has one Via: ours (§8.1.3.3).
    fn client_of(&self, message: &Message<'_>) -> Option<ClientId> {
        let payload = self.cookies.open_branch(quick::branch(message)?)?;
        let single = message.values(HeaderName::Via).nth(1).is_none();
        (single && payload.worker == self.cookies.worker()).then_some(ClientId {
            slot: payload.slot,
            generation: payload.generation,
        })
    }

    fn handle_own_response(
        &mut self,
        now: Instant,
        id: ClientId,
        message: &Message<'_>,
        status: StatusCode,
    ) -> Option<Matched> {
        let Transactions {
            clients,
            timers,
            transmits,
            index,
            hash,
            ..
        } = self;
        let client = clients.get_mut(id.slot, id.generation)?;
        let mut fx = Effects {
            now,
            timers,
            transmits,
            slot: id.slot,
            generation: id.generation,
        };
        let is_invite = message
            .cseq()
            .is_ok_and(|cseq| cseq.method == Method::Invite);
        let (step, cancel, terminated) = match &mut client.machine {
            Machine::Invite(invite) if is_invite => {
                let cancel = invite.cancel_transaction();
                let response = invite_response(status, || tag_hash(*hash, message));
                let step = invite.on_response(&mut fx, response, |request| {
                    derived::ack(index, request, message)
                });
                (step, cancel, invite.is_terminated())
            }
            Machine::NonInvite(request) if !is_invite => {
                let step = request.on_response(&mut fx, status.is_provisional());
                (step, None, request.is_terminated())
            }
            _ => return None,
        };
        let owner = client.owner;
        if terminated {
            self.remove_client(id);
        }
        if status.is_provisional() {
            self.send_due_cancel(now, id);
        } else if step == ClientStep::Deliver {
            self.clients_pending -= 1;
        }
        if !status.is_provisional()
            && let Some(cancel) = cancel
        {
            // The INVITE is decided, so its CANCEL need not be repeated.
            self.remove_client(cancel);
        }
        Some(match step {
            ClientStep::Absorb => Matched::ResponseRetransmission,
            ClientStep::Deliver => Matched::Response { client: id, owner },
            ClientStep::DeliverFork => Matched::AnotherFork2xx { client: id, owner },
            ClientStep::TooManyForks => {
                self.counters.forks_refused += 1;
                Matched::ResponseRetransmission
            }
        })
    }

    /// A response to our CANCEL, which shares the INVITE's branch. It decides nothing.
    fn handle_cancel_response(
        &mut self,
        now: Instant,
        invite: ClientId,
        status: StatusCode,
    ) -> Option<Matched> {
        let Machine::Invite(machine) = &self.clients.get(invite.slot, invite.generation)?.machine
        else {
            return None;
        };
        if let Some(id) = machine.cancel_transaction()
            && let Some((
                Client {
                    machine: Machine::Cancel(cancel),
                    ..
                },
                mut fx,
            )) = self.client(now, id)
        {
            let step = cancel.on_response(&mut fx, status.is_provisional());
            let terminated = cancel.is_terminated();
            if terminated {
                self.remove_client(id);
            }
            if step == ClientStep::Deliver && !status.is_provisional() {
                self.clients_pending -= 1;
            }
        }
        Some(Matched::ResponseRetransmission)
    }

    /// Sends the CANCEL of an INVITE if it is wanted and allowed.
    fn send_due_cancel(&mut self, now: Instant, id: ClientId) {
        let Some(Client {
            machine: Machine::Invite(invite),
            owner,
        }) = self.clients.get(id.slot, id.generation)
        else {
            return;
        };
        let (Some((flow, request)), owner) = (invite.cancel_due(), *owner) else {
            return;
        };
        let reason = invite.cancel_reason().map(str::to_owned);
        let reason = reason.as_deref();
        let sent = derived::cancel(&mut self.index, &request, reason).and_then(|bytes| {
            let cancel = self.reserve_client().ok()?;
            let (client, mut fx) = self.client(now, cancel)?;
            let machine = Machine::Cancel(NonInviteClient::start(&mut fx, flow, bytes));
            *client = Client { owner, machine };
            self.clients_pending += 1;
            Some(cancel)
        });
        if let Some((
            Client {
                machine: Machine::Invite(invite),
                ..
            },
            mut fx,
        )) = self.client(now, id)
        {
            invite.cancel_sent(&mut fx, sent);
        }
    }

    pub(crate) fn client_timer(&mut self, now: Instant, expired: Expired) {
        let id = ClientId {
            slot: expired.slot,
            generation: expired.generation,
        };
        if self.fell_back_on(now, expired) {
            return;
        }
        let Some((client, mut fx)) = self.client(now, id) else {
            return;
        };
        let (step, terminated, cancel) = match &mut client.machine {
            Machine::Invite(invite) => {
                let cancel = invite.cancel_transaction();
                (
                    invite.on_timer(&mut fx, expired.timer),
                    invite.is_terminated(),
                    cancel,
                )
            }
            Machine::NonInvite(request) | Machine::Cancel(request) => (
                request.on_timer(&mut fx, expired.timer),
                request.is_terminated(),
                None,
            ),
            Machine::Reserved => return,
        };
        let (owner, is_users) = (client.owner, !matches!(client.machine, Machine::Cancel(_)));
        if terminated {
            self.remove_client(id);
            if let Some(cancel) = cancel {
                self.remove_client(cancel);
            }
        }
        if step == ClientTimer::TimedOut {
            self.clients_pending -= 1;
            if is_users {
                self.counters.client_timeouts += 1;
                self.emit(Event::ClientTimeout { client: id, owner });
            }
        }
    }

    fn remove_client(&mut self, id: ClientId) -> Option<Client> {
        self.fallbacks.remove(&id);
        let client = self.clients.remove(id.slot, id.generation)?;
        if client.is_pending() {
            self.clients_pending -= 1;
        }
        Some(client)
    }

    pub(crate) fn client(
        &mut self,
        now: Instant,
        id: ClientId,
    ) -> Option<(&mut Client, Effects<'_>)> {
        let Transactions {
            clients,
            timers,
            transmits,
            ..
        } = self;
        let client = clients.get_mut(id.slot, id.generation)?;
        let fx = Effects {
            now,
            timers,
            transmits,
            slot: id.slot,
            generation: id.generation,
        };
        Some((client, fx))
    }
}

impl Client {
    /// Whether the request is out and has no final response.
    pub(crate) fn is_pending(&self) -> bool {
        match &self.machine {
            Machine::Reserved => false,
            Machine::Invite(invite) => invite.is_pending(),
            Machine::NonInvite(request) | Machine::Cancel(request) => request.is_pending(),
        }
    }

    /// Sends it anew over another flow; the old flow, unless a response has come.
    pub(crate) fn start_over(&mut self, fx: &mut Effects<'_>, to: Fallback) -> Option<Flow> {
        match &mut self.machine {
            Machine::Invite(invite) => invite.start_over(fx, to),
            Machine::NonInvite(request) => request.start_over(fx, to),
            Machine::Reserved | Machine::Cancel(_) => None,
        }
    }

    fn waits_on(&self, failed: &Flow) -> bool {
        let flow = match &self.machine {
            Machine::Invite(invite) if invite.is_calling() => invite.flow(),
            Machine::NonInvite(request) | Machine::Cancel(request) if request.is_trying() => {
                request.flow()
            }
            _ => return false,
        };
        let same_connection = match (flow.connection, failed.connection) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => true,
        };
        same_connection
            && (flow.listener, flow.transport, flow.remote)
                == (failed.listener, failed.transport, failed.remote)
    }
}

fn invite_response(status: StatusCode, to_tag: impl FnOnce() -> u64) -> InviteResponse {
    if status.is_provisional() {
        InviteResponse::Provisional
    } else if status.is_success() {
        InviteResponse::Success { to_tag: to_tag() }
    } else {
        InviteResponse::Failure
    }
}

/// A keyed hash of the To tag: enough to tell callees apart.
fn tag_hash(hash: HashKey, message: &Message<'_>) -> u64 {
    hash.hash128(&[quick::to_tag(message)]) as u64
}

//! The server half of the layer: requests that we receive, and our responses to them (RFC 3261
//! §17.2).

use bytes::Bytes;
use ringfence_base::{Flow, HashKey, Instant};
use ringfence_sip::{Message, Method, StatusCode, Via};

use crate::effects::Effects;
use crate::ids::{Owner, ServerId};
use crate::invite_server::{AckStep, InviteServer, ServerTimer};
use crate::lanes::Expired;
use crate::layer::{Event, Matched, Refusal, Transactions};
use crate::non_invite_server::NonInviteServer;
use crate::server_key::{ServerKey, response_flow};

/// One server transaction.
pub(crate) struct Server {
    key: ServerKey,
    owner: Owner,
    machine: Machine,
}

enum Machine {
    Invite(InviteServer),
    NonInvite(NonInviteServer),
}

/// A received request.
struct Request<'a> {
    flow: &'a Flow,
    message: &'a Message<'a>,
    via: &'a Via<'a>,
}

impl Request<'_> {
    /// The name of the transaction of this method.
    fn key(&self, hash: HashKey, method: Method<'_>) -> Result<ServerKey, Refusal> {
        ServerKey::new(hash, self.flow, self.message, self.via, method).map_err(Refusal::Malformed)
    }
}

impl Transactions {
    /// Says who hears of this transaction's CANCEL and of its [`Event::AckTimeout`].
    pub fn set_owner(&mut self, id: ServerId, owner: Owner) {
        if let Some(server) = self.servers.get_mut(id.slot, id.generation) {
            server.owner = owner;
        }
    }

    /// Whose the request is, unless it is over.
    pub fn owner_of_server(&self, id: ServerId) -> Option<Owner> {
        self.servers
            .get(id.slot, id.generation)
            .map(|server| server.owner)
    }

    /// Sends a response. It is kept for retransmissions, so hand over no slice of a larger
    /// buffer.
    ///
    /// To an INVITE: any provisional ones, then one final one. A 2xx is repeated by the layer
    /// until [`acknowledged`](Transactions::acknowledged), over every transport; if it never is,
    /// [`Event::AckTimeout`] follows after 64·T1. To anything else: one final response, but never
    /// 408 (RFC 4320): a user without an answer just lets the transaction go.
    ///
    /// A response that is not allowed, or comes when the transaction is over, is not sent but
    /// counted in [`responses_refused`](crate::Counters::responses_refused).
    pub fn respond(&mut self, now: Instant, id: ServerId, status: StatusCode, bytes: Bytes) {
        let Some((server, mut fx)) = self.server(now, id) else {
            self.counters.responses_refused += 1;
            return;
        };
        let (sent, terminated) = match &mut server.machine {
            Machine::Invite(invite) => (
                invite.respond(&mut fx, status, bytes),
                invite.is_terminated(),
            ),
            Machine::NonInvite(request) => (
                request.respond(&mut fx, status, bytes),
                request.is_terminated(),
            ),
        };
        if !sent {
            self.counters.responses_refused += 1;
        }
        if terminated {
            self.remove_server(id);
        }
    }

    /// Ends the retransmission of a 2xx: its ACK came ([`Matched::Ack2xx`]).
    pub fn acknowledged(&mut self, id: ServerId) {
        if let Some(Server {
            machine: Machine::Invite(invite),
            ..
        }) = self.servers.get_mut(id.slot, id.generation)
        {
            invite.acknowledged();
        }
    }

    /// Whether the request has its final response, or is over.
    pub fn is_answered(&self, id: ServerId) -> bool {
        match self
            .servers
            .get(id.slot, id.generation)
            .map(|server| &server.machine)
        {
            Some(Machine::Invite(invite)) => !invite.is_proceeding(),
            Some(Machine::NonInvite(request)) => !request.is_trying(),
            None => true,
        }
    }

    /// Where the responses to a request go.
    pub fn server_flow(&self, id: ServerId) -> Option<&Flow> {
        self.servers
            .get(id.slot, id.generation)
            .map(|server| match &server.machine {
                Machine::Invite(invite) => invite.flow(),
                Machine::NonInvite(request) => request.flow(),
            })
    }

    /// Whether a request belongs to a transaction that is here: a retransmission, the ACK of a
    /// failure, or a CANCEL of an INVITE that is here. Makes no state, so that the user may ask it
    /// before it knows whether the sender deserves any.
    pub fn knows(&self, flow: &Flow, message: &Message<'_>) -> bool {
        let (Ok(via), Some(method)) = (message.via(), message.method()) else {
            return false;
        };
        let request = Request {
            flow,
            message,
            via: &via,
        };
        let has = |method| {
            let key = request.key(self.hash, method);
            key.is_ok_and(|key| self.find(key).is_some())
        };
        match method {
            Method::Ack => has(Method::Invite),
            Method::Cancel => has(Method::Cancel) || has(Method::Invite),
            method => has(method),
        }
    }

    pub(crate) fn handle_request(
        &mut self,
        now: Instant,
        flow: &Flow,
        message: &Message<'_>,
        method: Method<'_>,
    ) -> Matched {
        let matched = match message.via() {
            Ok(via) => self.match_request(
                now,
                &Request {
                    flow,
                    message,
                    via: &via,
                },
                method,
            ),
            Err(error) => Err(Refusal::Malformed(error)),
        }
        .unwrap_or_else(Matched::Refused);
        match matched {
            Matched::Retransmission => self.counters.request_retransmissions += 1,
            Matched::Refused(_) => self.counters.requests_refused += 1,
            _ => {}
        }
        matched
    }

    fn match_request(
        &mut self,
        now: Instant,
        request: &Request<'_>,
        method: Method<'_>,
    ) -> Result<Matched, Refusal> {
        if method == Method::Ack {
            return self.handle_ack(now, request);
        }
        let key = request.key(self.hash, method)?;
        if let Some(id) = self.find(key) {
            self.repeat_response(now, id);
            return Ok(Matched::Retransmission);
        }
        if method == Method::Cancel {
            return self.handle_cancel(now, request, key);
        }
        let id = self.new_server(now, request, key, method)?;
        Ok(Matched::NewRequest(id))
    }

    /// An ACK with the branch of its INVITE is for a failure, or of a client that does not know
    /// better; one with a branch of its own is for a 2xx (§13.2.2.4, §17.1.1.3).
    fn handle_ack(&mut self, now: Instant, request: &Request<'_>) -> Result<Matched, Refusal> {
        let key = request.key(self.hash, Method::Invite)?;
        let Some(id) = self.find(key) else {
            return Ok(Matched::Ack2xx);
        };
        let Some((
            Server {
                machine: Machine::Invite(invite),
                ..
            },
            mut fx,
        )) = self.server(now, id)
        else {
            return Ok(Matched::Ack2xx);
        };
        let step = invite.on_ack(&mut fx);
        if invite.is_terminated() {
            self.remove_server(id);
        }
        Ok(match step {
            AckStep::Absorb => Matched::Retransmission,
            AckStep::Failure => Matched::AckNon2xx,
            AckStep::Success => Matched::Ack2xx,
        })
    }

    /// A CANCEL has a transaction of its own, found by its method, and aims at the INVITE that has
    /// the same branch (§9.2).
    fn handle_cancel(
        &mut self,
        now: Instant,
        request: &Request<'_>,
        key: ServerKey,
    ) -> Result<Matched, Refusal> {
        let target = self.find(request.key(self.hash, Method::Invite)?);
        let invite = target.and_then(|id| Some((id, self.owner_of_server(id)?)));
        let cancel = self.new_server(now, request, key, Method::Cancel)?;
        Ok(Matched::Cancel { cancel, invite })
    }

    fn find(&self, key: ServerKey) -> Option<ServerId> {
        let slot = *self.servers_by_key.get(&key)?;
        let generation = self.servers.generation_of(slot)?;
        Some(ServerId { slot, generation })
    }

    fn new_server(
        &mut self,
        now: Instant,
        request: &Request<'_>,
        key: ServerKey,
        method: Method<'_>,
    ) -> Result<ServerId, Refusal> {
        if !self.has_timer_room() {
            return Err(Refusal::TableFull);
        }
        let flow = response_flow(request.flow, request.via);
        let machine = Machine::Invite(InviteServer::new(flow));
        let server = Server {
            key,
            owner: Owner::default(),
            machine,
        };
        let (slot, generation) = self.servers.insert(server).ok_or(Refusal::TableFull)?;
        self.servers_by_key.insert(key, slot);
        let id = ServerId { slot, generation };
        if method != Method::Invite
            && let Some((server, mut fx)) = self.server(now, id)
        {
            server.machine = Machine::NonInvite(NonInviteServer::new(&mut fx, flow));
        }
        Ok(id)
    }

    fn repeat_response(&mut self, now: Instant, id: ServerId) {
        if let Some((server, mut fx)) = self.server(now, id) {
            match &mut server.machine {
                Machine::Invite(invite) => invite.on_retransmission(&mut fx),
                Machine::NonInvite(request) => request.on_retransmission(&mut fx),
            }
        }
    }

    pub(crate) fn server_timer(&mut self, now: Instant, expired: Expired) {
        let id = ServerId {
            slot: expired.slot,
            generation: expired.generation,
        };
        let Some((server, mut fx)) = self.server(now, id) else {
            return;
        };
        let (step, terminated) = match &mut server.machine {
            Machine::Invite(invite) => (
                invite.on_timer(&mut fx, expired.timer),
                invite.is_terminated(),
            ),
            Machine::NonInvite(request) => {
                (request.on_timer(expired.timer), request.is_terminated())
            }
        };
        let owner = server.owner;
        if terminated {
            self.remove_server(id);
        }
        match step {
            ServerTimer::Silent => {}
            ServerTimer::FailureUnacknowledged => self.counters.unacknowledged_failures += 1,
            ServerTimer::SuccessUnacknowledged => {
                self.counters.unacknowledged_successes += 1;
                self.emit(Event::AckTimeout { server: id, owner });
            }
            ServerTimer::Unanswered => self.counters.unanswered_requests += 1,
        }
    }

    fn remove_server(&mut self, id: ServerId) {
        if let Some(server) = self.servers.remove(id.slot, id.generation) {
            self.servers_by_key.remove(&server.key);
            if self.servers_by_key.is_empty() {
                // A burst must not keep its memory for ever.
                self.servers_by_key.shrink_to(IDLE_KEYS);
            }
        }
    }

    fn server(&mut self, now: Instant, id: ServerId) -> Option<(&mut Server, Effects<'_>)> {
        let Transactions {
            servers,
            timers,
            transmits,
            ..
        } = self;
        let server = servers.get_mut(id.slot, id.generation)?;
        let fx = Effects {
            now,
            timers,
            transmits,
            slot: id.slot,
            generation: id.generation,
        };
        Some((server, fx))
    }
}

/// The table of keys never shrinks below this.
const IDLE_KEYS: usize = 1024;

//! A message comes in: who sent it, may it be served, and whose is it?

use std::sync::Arc;

use bytes::Bytes;
use ringfence_base::{Flow, Instant};
use ringfence_detect::event::Refusal;
use ringfence_dialog::{Matched, ServerId, Tag, Transmit, response_flow};
use ringfence_sip::write::{MessageWriter, response_to};
use ringfence_sip::{HeaderName, Message, Method, StatusCode};

use crate::access::Candidates;
use crate::call::{CallKey, Side};
use crate::core::{Core, TagText};
use crate::plan::{PeerKind, Strangers};
use crate::refusal::RefusalReason;
use crate::registration::registration_slot;

impl Core {
    pub(crate) fn on_message(
        &mut self,
        now: Instant,
        flow: Flow,
        message: &Message<'_>,
        tls_names: &[String],
    ) {
        if flow.is_within() {
            return self.on_message_within(now, flow, message);
        }
        let candidates = self.access.identify(&self.plan, &flow, tls_names);
        self.see_defects(now, &flow, &candidates, message);
        if self.is_of_phone(&flow, message, &candidates) {
            return self.on_phone_message(now, flow, message);
        }
        let Some(&first) = candidates.first() else {
            return self.on_stranger(now, flow, message);
        };
        if let Some(peer) = self.plan.peer(first) {
            peer.usage.note_heard(self.anchor.unix_time(now));
        }
        match message.method() {
            Some(method) => self.on_request(now, flow, message, method, &candidates),
            None => self.on_response_message(now, flow, message, &candidates),
        }
    }

    /// No configured peer: silence, or the one small answer that everybody gets.
    fn on_stranger(&mut self, now: Instant, flow: Flow, message: &Message<'_>) {
        self.refuse(flow, RefusalReason::Stranger);
        let nobody = Candidates::new();
        match message.to().is_ok_and(|to| to.tag().is_some()) {
            true => self.see_forged(now, &flow, &nobody, message),
            false => self.see_refused(now, &flow, &nobody, message, Refusal::Stranger),
        }
        let forbid = self
            .plan
            .listener(flow.listener)
            .is_some_and(|listener| listener.strangers == Strangers::Forbid);
        let wants_answer = message.method().is_some_and(|method| method != Method::Ack);
        if forbid && wants_answer {
            self.answer_statelessly(&flow, message, 403, |_| {});
        }
    }

    pub(crate) fn on_request(
        &mut self,
        now: Instant,
        flow: Flow,
        message: &Message<'_>,
        method: Method<'_>,
        candidates: &Candidates,
    ) {
        self.counters.requests += 1;
        if let Err(rejection) = message.validate_request() {
            self.refuse(flow, RefusalReason::Malformed);
            self.see_refused(now, &flow, candidates, message, Refusal::Malformed);
            if method != Method::Ack {
                self.answer_statelessly(&flow, message, rejection.code.raw(), |_| {});
            }
            return;
        }
        let in_dialog = message.to().is_ok_and(|to| to.tag().is_some());
        let text = method == Method::Message && self.carries_messages(candidates);
        if !in_dialog && !text && !matches!(method, Method::Invite | Method::Ack | Method::Cancel) {
            return self.on_lone_request(flow, message, method, candidates);
        }
        match self.transactions.handle_input(now, &flow, message) {
            Matched::NewRequest(server) if in_dialog => {
                self.on_dialog_request(now, flow, message, method, server, candidates);
            }
            Matched::NewRequest(server) if text => {
                self.on_lone_message(now, &Reply::new(server, message, flow), candidates, None);
            }
            Matched::NewRequest(server) => {
                let reply = Reply::new(server, message, flow);
                self.on_new_invite(now, &reply, candidates, None);
            }
            Matched::Ack2xx => self.on_ack(now, flow, message, candidates),
            Matched::Cancel { cancel, invite } => {
                self.on_cancel(now, &Reply::new(cancel, message, flow), invite);
            }
            Matched::Refused(_) => {
                self.refuse(flow, RefusalReason::TransactionsMax);
                if method != Method::Ack {
                    self.answer_statelessly(&flow, message, 503, |_| {});
                }
            }
            _ => {}
        }
    }

    pub(crate) fn on_response_message(
        &mut self,
        now: Instant,
        flow: Flow,
        message: &Message<'_>,
        candidates: &Candidates,
    ) {
        self.counters.responses += 1;
        if message.validate_response().is_err() {
            return self.refuse(flow, RefusalReason::Malformed);
        }
        let challenged = self.challenged(message);
        match self.transactions.handle_input(now, &flow, message) {
            Matched::Response { client, owner } => {
                if let Some(challenged) = challenged
                    && registration_slot(owner).is_none()
                    && self.answer_challenge(now, message, &challenged, (client, owner), candidates)
                {
                    return;
                }
                self.on_response(now, flow, message, client, owner);
            }
            Matched::AnotherFork2xx { client, owner } => {
                self.on_another_fork(now, flow, message, client, owner);
            }
            _ => {}
        }
    }

    /// A request outside a dialog that is not an INVITE: answered without any state, since the
    /// answer to a retransmission is the same (RFC 3261 §8.2.7).
    pub(crate) fn on_lone_request(
        &mut self,
        flow: Flow,
        message: &Message<'_>,
        method: Method<'_>,
        candidates: &Candidates,
    ) {
        let plan = Arc::clone(&self.plan);
        let peer = candidates.first().and_then(|id| plan.peer(*id));
        let Some(methods) = peer.map(|peer| &peer.methods) else {
            return;
        };
        match method {
            Method::Options => self.answer_statelessly(&flow, message, 200, |writer| {
                methods.write(writer, true);
                writer.header(HeaderName::Accept, "application/sdp");
            }),
            // A NOTIFY that nobody has subscribed to as well (RFC 6665 §4.1.3).
            Method::Bye | Method::Notify => {
                self.refuse(flow, RefusalReason::DialogUnknown);
                self.answer_statelessly(&flow, message, 481, |_| {});
            }
            other => {
                self.refuse(flow, RefusalReason::Method);
                let status = if other.known().is_some() { 405 } else { 501 };
                self.answer_statelessly(&flow, message, status, |writer| {
                    writer.header(HeaderName::Allow, methods.allow());
                });
            }
        }
    }

    /// A request inside a dialog.
    fn on_dialog_request(
        &mut self,
        now: Instant,
        flow: Flow,
        message: &Message<'_>,
        method: Method<'_>,
        server: ServerId,
        candidates: &Candidates,
    ) {
        let reply = Reply::new(server, message, flow);
        if let Some((key, side)) = self.find_subscription(message, candidates) {
            return self.on_subscription_request(now, key, side, method, &reply);
        }
        let Some((key, side)) = self.find_dialog(message, candidates) else {
            self.refuse(flow, RefusalReason::DialogUnknown);
            self.see_forged(now, &flow, candidates, message);
            return self.respond(now, &reply, 481);
        };
        let reply = reply.of_leg(key, side);
        self.trace(now, key, (side, false), &flow, message.bytes());
        self.enter(key, message);
        self.transactions.set_owner(server, key.owner(side));
        let dialog = self
            .call_mut(key)
            .and_then(|call| call.dialog_of(side, message));
        match dialog.map(|dialog| dialog.check_request(message)) {
            Some(Ok(())) => {}
            Some(Err(error)) => return self.respond(now, &reply, error.status().raw()),
            None => return self.respond(now, &reply, 481),
        }
        self.learn_flow(key, side, flow);
        match method {
            Method::Invite => self.on_re_invite(now, key, side, &reply),
            Method::Bye => self.on_bye(now, key, side, &reply),
            Method::Info => self.on_info(now, key, side, &reply),
            Method::Message => self.on_message_in_call(now, key, side, &reply),
            Method::Notify => self.on_notify_of_refer(now, key, side, &reply),
            Method::Refer => self.on_refer(now, key, side, &reply),
            Method::Update => self.on_update(now, key, side, &reply),
            Method::Prack => self.on_prack(now, key, side, &reply),
            Method::Options => self.respond(now, &reply, 200),
            other => {
                self.refuse(flow, RefusalReason::Method);
                let status = if other.known().is_some() { 405 } else { 501 };
                self.respond(now, &reply, status);
            }
        }
    }

    /// The call and leg that a request with a To tag is for: our tag, and the dialog's Call-ID
    /// and remote tag, from a source that may be the leg's peer (RFC 3261 §12.2.2).
    pub(crate) fn find_dialog(
        &self,
        message: &Message<'_>,
        candidates: &Candidates,
    ) -> Option<(CallKey, Side)> {
        let to = message.to().ok()?;
        let tag: TagText = to.tag()?.try_into().ok()?;
        let &(key, side) = self.by_tag.get::<TagText>(&tag)?;
        let call = self.call(key)?;
        let peer = call.peer(side)?;
        let is_peer = candidates
            .iter()
            .filter_map(|id| self.plan.peer(*id))
            .any(|candidate| candidate.key == peer.key && candidate.kind == peer.kind);
        (is_peer && call.has_dialog_of(side, message)).then_some((key, side))
    }

    /// Keeps up with a peer whose stream connection is a new one, or a phone whose port is.
    fn learn_flow(&mut self, key: CallKey, side: Side, flow: Flow) {
        let Some(call) = self.call_mut(key) else {
            return;
        };
        // A phone's NAT may have given it another port; its address was compared before.
        let phone = call
            .peer(side)
            .is_some_and(|peer| peer.kind == PeerKind::Phones);
        if phone || flow.connection.is_some() {
            call.leg_mut(side).flow = flow;
        }
    }

    /// Sends a response without a transaction. Only to peers, or (403) where the policy says so
    /// for strangers, who never get more bytes than they sent.
    pub(crate) fn answer_statelessly(
        &mut self,
        flow: &Flow,
        message: &Message<'_>,
        status: u16,
        more: impl FnOnce(&mut MessageWriter<'_>),
    ) {
        let mut out = std::mem::take(&mut self.scratch);
        out.clear();
        // The same request gets the same tag, as a stateless element must see to.
        let tag = self.stateless_tag(message);
        let code = StatusCode::of(status);
        let Ok(via) = message.via() else {
            self.scratch = out;
            return;
        };
        let to = response_flow(flow, &via);
        let mut writer = response_to(&mut out, message, flow.remote, code, "", Some(&tag));
        more(&mut writer);
        writer.finish();
        let fits = status != 403 || out.len() <= message.bytes().len();
        if fits && self.answers.len() < ANSWERS_MAX {
            let bytes = Bytes::copy_from_slice(&out);
            self.answers.push_back(Transmit { flow: to, bytes });
        }
        self.scratch = out;
    }

    pub(crate) fn stateless_tag(&self, message: &Message<'_>) -> [u8; 16] {
        let call_id = message.call_id().unwrap_or_default();
        let from = message.header(HeaderName::From).unwrap_or_default();
        let hash = self.hash.hash128(&[call_id, from]);
        std::array::from_fn(|place| b"0123456789abcdef"[(hash >> (4 * place)) as usize & 15])
    }

    /// Answers a request through its transaction with nothing but a status.
    pub(crate) fn respond(&mut self, now: Instant, reply: &Reply<'_, '_>, status: u16) {
        let plan = Arc::clone(&self.plan);
        let leg = reply.leg.and_then(|(key, side)| {
            let call = self.call(key)?;
            plan.peers
                .iter()
                .find(|peer| call.peer(side).is_some_and(|own| own.key == peer.key))
        });
        self.respond_with(now, reply, status, None, |writer| {
            let Some(peer) = leg else { return };
            if status == 200 && is_options(reply.request) {
                peer.methods.write(writer, true);
            } else if matches!(status, 405 | 501) {
                writer.header(HeaderName::Allow, peer.methods.allow());
            }
        });
    }

    /// Answers a request through its transaction.
    pub(crate) fn respond_with(
        &mut self,
        now: Instant,
        reply: &Reply<'_, '_>,
        status: u16,
        body: Option<&[u8]>,
        more: impl FnOnce(&mut MessageWriter<'_>),
    ) -> Bytes {
        let mut out = std::mem::take(&mut self.scratch);
        out.clear();
        let code = StatusCode::of(status);
        let fallback = self.stateless_tag(reply.request);
        // RFC 3261 §8.2.6.2: a 100 need not have a tag, and begins no dialog.
        let tag = (status > 100).then_some(match &reply.tag {
            Some(tag) => tag.as_bytes(),
            None => &fallback,
        });
        let mut writer = response_to(&mut out, reply.request, reply.flow.remote, code, "", tag);
        more(&mut writer);
        match body {
            Some(body) => writer.body("application/sdp", body),
            None => writer.finish(),
        }
        if let Some((key, side)) = reply.leg {
            self.trace(now, key, (side, true), &reply.flow, &out);
        }
        let bytes = Bytes::copy_from_slice(&out);
        self.scratch = out;
        self.transactions
            .respond(now, reply.server, code, bytes.clone());
        bytes
    }

    /// Keeps a message for `calls trace`.
    pub(crate) fn trace(
        &mut self,
        now: Instant,
        key: CallKey,
        (side, sent): (Side, bool),
        flow: &Flow,
        text: &[u8],
    ) {
        if let Some(id) = self.call(key).map(|call| call.id) {
            let at = self.unix(now);
            let far = (flow.remote, flow.transport);
            self.traces
                .record(id, at, (side.leg_side(), sent), far, text);
        }
    }
}

/// A request that is being answered.
#[derive(Clone, Copy)]
pub(crate) struct Reply<'a, 'm> {
    pub(crate) server: ServerId,
    pub(crate) request: &'a Message<'m>,
    pub(crate) flow: Flow,
    /// Our tag, where the request begins a dialog.
    pub(crate) tag: Option<Tag>,
    /// The call's leg, for the trace.
    pub(crate) leg: Option<(CallKey, Side)>,
}

impl<'a, 'm> Reply<'a, 'm> {
    pub(crate) const fn new(server: ServerId, request: &'a Message<'m>, flow: Flow) -> Self {
        Reply {
            server,
            request,
            flow,
            tag: None,
            leg: None,
        }
    }

    pub(crate) const fn of_leg(self, key: CallKey, side: Side) -> Self {
        Reply {
            leg: Some((key, side)),
            ..self
        }
    }
}

/// Stateless answers that wait to be sent. The edge sends after each batch.
pub(crate) const ANSWERS_MAX: usize = 4096;

fn is_options(request: &Message<'_>) -> bool {
    request.method() == Some(Method::Options)
}

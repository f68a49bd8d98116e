//! Responses of the far side, carried back to the leg that asked.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringfence_base::{Flow, Instant};
use ringfence_dialog::dialog::Dialog;
use ringfence_dialog::{ClientId, Event as TransactionEvent, Owner, ServerId};
use ringfence_sip::write::MessageWriter;
use ringfence_sip::{HeaderName, Index, Message, Method};

use crate::body;
use crate::call::{CallKey, Phase, Side, Stage};
use crate::causes;
use crate::cdr::EndedBy;
use crate::core::Core;
use crate::ending::LOOK_AT_MEDIA;
use crate::event::Event;
use crate::fork::{ELSEWHERE, Failure};
use crate::headers;
use crate::health::Fault;
use crate::incoming::Reply;
use crate::methods::RELIABLE;
use crate::outgoing::{InDialog, OurName, contact, our_address};
use crate::registration::{Trouble, registration_slot};
use crate::reliable::Provisional;
use crate::supervise::AlarmKind;

impl Core {
    /// A response to a request of ours.
    pub(crate) fn on_response(
        &mut self,
        now: Instant,
        flow: Flow,
        message: &Message<'_>,
        client: ClientId,
        owner: Owner,
    ) {
        let (Some(status), Ok(cseq)) = (message.status(), message.cseq()) else {
            return;
        };
        if let Some(peer) = crate::supervise::options_peer(owner) {
            return self.on_options_answer(now, peer, client, status.raw());
        }
        if self.on_orphan_response(now, flow, message, (client, owner)) {
            return;
        }
        if let Some(slot) = registration_slot(owner) {
            return self.on_register_answer(now, flow, message, (slot, client));
        }
        if self.on_relay_response(now, owner, client, message) {
            return;
        }
        let (key, side) = CallKey::from_owner(owner);
        if self.call(key).is_none() {
            if cseq.method == Method::Invite && status.is_success() {
                self.on_orphan_success(now, flow, message, (client, owner));
            }
            return;
        }
        self.trace(now, key, (side, false), &flow, message.bytes());
        self.enter(key, message);
        if matches!(cseq.method, Method::Invite | Method::Update)
            && let Some(call) = self.call_mut(key)
        {
            call.learn_methods(side, message);
        }
        if self.on_exchange_response(now, key, message, client)
            || self.on_refresh_response(now, key, side, message, client)
            || self.on_transfer_response(now, key, message, client)
            || self.on_refer_response(now, key, message, client)
        {
            return;
        }
        match cseq.method {
            Method::Invite => self.on_invite_response(now, key, side, flow, message, client),
            Method::Info => self.on_info_response(now, key, message),
            // RFC 3261 §12.2.1.2: the dialog is gone on the far side.
            Method::Bye | Method::Cancel | Method::Notify | Method::Prack => {}
            _ if matches!(status.raw(), 408 | 481) => self.end_call(now, key, EndedBy::Edge, None),
            _ => {}
        }
    }

    fn on_invite_response(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        flow: Flow,
        message: &Message<'_>,
        client: ClientId,
    ) {
        self.select_branch(key, client);
        let Some(call) = self.call_mut(key) else {
            return;
        };
        let Some(status) = message.status() else {
            return;
        };
        if call.phase == Phase::Ending {
            return self.on_late_final(now, key, message, client);
        }
        let ours = call.bridge.as_ref().is_some_and(|bridge| {
            bridge.client == client && matches!(bridge.stage, Stage::Pending { .. })
        });
        if !ours {
            if status.is_success() {
                let owner = key.owner(side);
                self.on_orphan_success(now, flow, message, (client, owner));
            }
            return;
        }
        // A large INVITE went over TCP for once: that says nothing about the next request.
        if flow.connection.is_some() && call.leg(side).flow.transport.is_reliable() {
            call.leg_mut(side).flow = flow;
        }
        if call.bridge.as_ref().is_some_and(|bridge| bridge.initial) {
            self.note_response(now, key, status.raw());
        }
        if status.is_provisional() {
            self.on_provisional(now, key, message);
        } else if status.is_success() {
            self.on_invite_success(now, key, side, message, client);
        } else {
            self.on_invite_failure(now, key, side, message);
        }
    }

    /// 18x: the caller hears the ringing, or the early media.
    fn on_provisional(&mut self, now: Instant, key: CallKey, message: &Message<'_>) {
        let at = self.unix(now);
        let Some(call) = self.call_mut(key) else {
            return;
        };
        let Some(bridge) = &call.bridge else { return };
        let status = message.status().map_or(0, |status| status.raw());
        if !bridge.initial || !(180..=183).contains(&status) {
            return;
        }
        let offered = matches!(bridge.stage, Stage::Pending { offer: true, .. });
        call.facts.ringing.get_or_insert(at);
        let description = body::description(message).unwrap_or_default();
        let early = offered && !description.is_empty();
        let reliability = self.take_provisional(now, key, message);
        let body = match reliability {
            Provisional::Ignored => return,
            Provisional::Offer => self.with_media(now, key, |media, around| {
                media.offer(around, Side::B, description)
            }),
            _ if early => {
                self.with_media(now, key, |media, around| media.answer(around, description))
            }
            _ => None,
        };
        let body = match (body, reliability) {
            (Some(Err(refusal)), Provisional::Offer) => {
                // An offer that cannot be passed on: there will be no session.
                return self.cancel_setup(now, key, refusal.status, EndedBy::Edge, Some(79));
            }
            (body, _) => body.and_then(Result::ok),
        };
        if body.is_some()
            && let Some(call) = self.call_mut(key)
        {
            // The caller has a description, which no other peer's can replace.
            call.hunt = None;
            if let Some(fork) = &mut call.fork {
                fork.stay();
            }
        }
        let reliable = reliability == Provisional::Offer;
        // It is no answer to what a new caller offers.
        let changed = self.call(key).is_some_and(|call| call.caller_changed);
        let body = body.filter(|_| !changed);
        self.ring_caller(now, key, status, body, reliable);
    }

    pub(crate) fn on_invite_success(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        message: &Message<'_>,
        client: ClientId,
    ) {
        // Of several phones the first one that answers has the call.
        self.select_branch(key, client);
        self.leave_others(now, key, Some(ELSEWHERE));
        if self.hold_success(key, message, client) {
            return;
        }
        // An offer that crossed the final answer has lost.
        self.drop_exchange(now, key);
        if !self.confirm_dialog(key, side, message) {
            // Nothing can be sent in a dialog that cannot be made out.
            return self.finish_setup(now, key, 502, EndedBy::Edge, None);
        }
        self.learn_timer(now, key, side, message);
        let Some(call) = self.call_mut(key) else {
            return;
        };
        call.leg_mut(side).status = Some(200);
        let Some(bridge) = &call.bridge else { return };
        let (from, server, initial) = (bridge.from, bridge.server, bridge.initial);
        let ack = (client, bridge.client_cseq);
        let provisionals = std::mem::take(&mut call.provisionals);
        let offered =
            provisionals.agreed() || matches!(bridge.stage, Stage::Pending { offer: true, .. });
        // A 2xx cannot be refused: a body that is no description is like none.
        let body = body::description(message).unwrap_or_default();
        let carried = self.with_media(now, key, |media, around| match (offered, body.is_empty()) {
            _ if provisionals.agreed() => Ok(Vec::new()),
            // The answer may have come in a 183 already.
            (true, true) => media
                .last_answer()
                .ok_or(crate::negotiation::NOT_ACCEPTABLE),
            (true, false) => media.answer(around, body),
            (false, _) => media.offer(around, side, body),
        });
        let Some(Ok(carried)) = carried else {
            self.send_ack(now, key, side, ack, None);
            return match initial {
                true => self.fail_answered_setup(now, key),
                false => self.refuse_re_invite(now, key, 488),
            };
        };
        if offered {
            self.send_ack(now, key, side, ack, None);
            if let Some(call) = self.call_mut(key) {
                call.media.settle();
            }
        }
        if let Some(call) = self.call_mut(key)
            && call.caller_changed
        {
            if initial {
                return self.show_new_caller(now, key);
            }
            call.caller_changed = false;
        }
        let carried = (!provisionals.needs_no_answer()).then_some(carried);
        self.finish_replacing(now, key);
        self.answer_invite(now, key, from, server, 200, carried.as_deref(), None);
        let Some(call) = self.call_mut(key) else {
            return;
        };
        if let Some(bridge) = &mut call.bridge {
            bridge.stage = Stage::Answered {
                late_offer: !offered,
            };
        }
        if initial {
            self.on_answered(now, key);
        }
    }

    pub(crate) fn on_answered(&mut self, now: Instant, key: CallKey) {
        let at = self.unix(now);
        let Some(call) = self.call_mut(key) else {
            return;
        };
        call.phase = Phase::Up;
        call.hunt = None;
        call.facts.answered = Some(at);
        call.facts.answered_at = Some(now);
        call.leg_mut(Side::A).status = Some(200);
        let id = call.id;
        let limits = call.plan.limits;
        if let Some(admission) = &call.admission {
            admission.ingress().note_answered(at);
            admission.egress().note_answered(at);
        }
        self.counters.calls_answered += 1;
        self.schedule(now, limits.call_duration_max, key, AlarmKind::Duration);
        self.schedule(now, limits.silence_timeout, key, AlarmKind::Silence);
        self.schedule(now, LOOK_AT_MEDIA, key, AlarmKind::Media);
        self.start_meters(now, key);
        self.emit(Event::CallAnswered { id });
        if let Some(seen) = self.call(key).and_then(|call| self.seen_as(call)) {
            self.see_answered(now, seen);
        }
        self.put_through(now, key);
    }

    fn on_invite_failure(&mut self, now: Instant, key: CallKey, side: Side, message: &Message<'_>) {
        let Some(status) = message.status().map(|status| status.raw()) else {
            return;
        };
        let cause = headers::reason_cause(message);
        let Some(call) = self.call_mut(key) else {
            return;
        };
        let Some(bridge) = &call.bridge else { return };
        let initial = bridge.initial;
        if initial
            && (self.retry_with_longer_session(now, key, message)
                || self.fall_back_to_rtp(now, key, message))
        {
            return;
        }
        let failure = Failure {
            status,
            retry_after: headers::retry_after(message),
            q850: cause,
        };
        if initial {
            self.see_redirected(now, key, message);
        }
        if initial && (self.ring_on(now, key, failure) || self.follow_redirect(now, key, message)) {
            return;
        }
        let Some(call) = self.call_mut(key) else {
            return;
        };
        if initial {
            call.leg_mut(side).status = Some(status);
            call.facts.q850 = cause;
            self.note_refusal(now, key, status);
        }
        if initial && self.go_on_after(now, key, status) {
            return;
        }
        let status = status_across(status);
        if !initial {
            self.refuse_re_invite(now, key, status);
            if matches!(status, 408 | 481) {
                self.end_call(now, key, EndedBy::Edge, None);
            }
            return;
        }
        let retry_after = headers::retry_after(message);
        self.finish_setup(now, key, status, EndedBy::Callee, retry_after);
    }

    /// A final answer after the caller gave up: a late 200 is acknowledged and hung up
    /// (RFC 3261 §9.1, §15).
    pub(crate) fn on_late_final(
        &mut self,
        now: Instant,
        key: CallKey,
        message: &Message<'_>,
        client: ClientId,
    ) {
        let Some(status) = message.status() else {
            return;
        };
        if status.is_provisional() {
            return;
        }
        if status.is_success() && self.confirm_dialog(key, Side::B, message) {
            self.send_ack(now, key, Side::B, (client, 1), None);
            let cause = Some(causes::NORMAL_CLEARING);
            let content = InDialog {
                cause,
                ..InDialog::default()
            };
            self.send_in_dialog(now, key, Side::B, Method::Bye, content);
            // More phones may answer: each of them gets its ACK and its BYE (§13.2.2.4).
            return self.schedule(now, FORKS_MAX, key, AlarmKind::Forks);
        }
        self.discard(key);
    }

    /// Notes the dialog that a 2xx makes (leg B's first) or refreshes.
    pub(crate) fn confirm_dialog(
        &mut self,
        key: CallKey,
        side: Side,
        message: &Message<'_>,
    ) -> bool {
        let Some(call) = self.call_mut(key) else {
            return false;
        };
        if let Some(dialog) = &mut call.leg_mut(side).dialog {
            return dialog.refresh_target(message).is_ok();
        }
        if let Some(dialog) = call.provisionals.confirm(message) {
            call.sent_invite = None;
            call.leg_mut(side).dialog = Some(dialog);
            return true;
        }
        let Some(invite) = call.sent_invite.take() else {
            return false;
        };
        let mut index = Index::default();
        let dialog = index
            .parse(&invite)
            .ok()
            .and_then(|invite| Dialog::uac(&invite, message).ok());
        let made = dialog.is_some();
        call.leg_mut(side).dialog = dialog;
        made
    }

    /// Answers the bridged INVITE from what is kept of it.
    #[allow(clippy::too_many_arguments)] // a response is made of just these
    pub(crate) fn answer_invite(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        server: ServerId,
        status: u16,
        body: Option<&[u8]>,
        retry_after: Option<u32>,
    ) {
        self.answer_invite_with(now, key, (side, server), status, body, |writer| {
            if let Some(seconds) = retry_after {
                writer.header_fmt(HeaderName::RetryAfter, format_args!("{seconds}"));
            }
        });
    }

    /// Answers the bridged INVITE with a provisional response of this RSeq, which the caller must
    /// acknowledge (RFC 3262 §3).
    pub(crate) fn answer_reliably(
        &mut self,
        now: Instant,
        key: CallKey,
        to: (Side, ServerId),
        (status, rseq): (u16, u32),
        body: Option<&[u8]>,
    ) -> Option<Bytes> {
        self.answer_invite_with(now, key, to, status, body, |writer| {
            writer.header(HeaderName::Require, RELIABLE);
            writer.header_fmt(HeaderName::RSeq, format_args!("{rseq}"));
        })
    }

    fn answer_invite_with(
        &mut self,
        now: Instant,
        key: CallKey,
        (side, server): (Side, ServerId),
        status: u16,
        body: Option<&[u8]>,
        more: impl FnOnce(&mut MessageWriter<'_>),
    ) -> Option<Bytes> {
        if self.answer_is_given(now, key, status, body) {
            return None;
        }
        let call = self.call(key)?;
        let Some(Stage::Pending { request, .. }) = call.bridge.as_ref().map(|b| &b.stage) else {
            return None;
        };
        let request = request.clone();
        let leg = call.leg(side);
        let (flow, tag, peer) = (leg.flow, leg.local_tag, leg.peer);
        // RFC 6432: why the callee's side failed, as a number.
        let cause = call.facts.q850.filter(|_| status >= 300);
        let plan = Arc::clone(&call.plan);
        let peer = plan.peer(peer)?;
        let methods = Some(&peer.methods);
        let name = OurName::new(peer, our_address(&plan, &flow)?);
        let mut index = Index::default();
        let request = index.parse(&request).ok()?;
        let session = match status {
            200 => self.agree_timer(now, key, side, &request),
            _ => None,
        };
        let reply = Reply {
            server,
            request: &request,
            flow,
            tag: Some(tag),
            leg: Some((key, side)),
        };
        Some(self.respond_with(now, &reply, status, body, |writer| {
            if (101..300).contains(&status) {
                writer.copy(&request, HeaderName::RecordRoute);
                writer.header(HeaderName::Contact, contact(name, flow.transport));
                if let Some(methods) = methods {
                    methods.write(writer, true);
                }
            }
            if let Some(session) = session {
                session.write(writer);
            }
            if let Some(cause) = cause {
                writer.header_fmt(HeaderName::Reason, format_args!("Q.850;cause={cause}"));
            }
            more(writer);
        }))
    }

    /// Refuses the pending re-INVITE; the session goes on as it was (RFC 3261 §14.1).
    pub(crate) fn refuse_re_invite(&mut self, now: Instant, key: CallKey, status: u16) {
        let Some(call) = self.call(key) else {
            return;
        };
        let Some(bridge) = &call.bridge else { return };
        let (from, server) = (bridge.from, bridge.server);
        if let Some(call) = self
            .calls
            .get_mut(key.slot as usize)
            .filter(|call| call.key == key)
        {
            call.media.abandon(&mut self.media);
        }
        self.answer_invite(now, key, from, server, status, None, None);
        self.undo_replacing(key);
        if let Some(call) = self.call_mut(key) {
            call.bridge = None;
        }
        self.lose_new_caller(now, key);
    }

    /// The transaction layer gave up on something.
    pub(crate) fn on_transaction_event(&mut self, now: Instant, event: TransactionEvent) {
        let fault = match event {
            TransactionEvent::TransportFailed { .. } => Fault::Transport,
            _ => Fault::Silent,
        };
        match event {
            TransactionEvent::ClientTimeout { client, owner }
            | TransactionEvent::TransportFailed { client, owner } => {
                if let Some(peer) = crate::supervise::options_peer(owner) {
                    return self.on_options_missed(now, peer, client);
                }
                if self.forget_orphan(client) {
                    return;
                }
                if self.on_relay_failed(now, owner, client) {
                    return;
                }
                if let Some(slot) = registration_slot(owner) {
                    let trouble = match event {
                        TransactionEvent::TransportFailed { .. } => Trouble::Transport,
                        _ => Trouble::NoAnswer,
                    };
                    return self.on_register_failed(now, (slot, client), trouble);
                }
                let (key, side) = CallKey::from_owner(owner);
                self.current = Some(key);
                self.on_client_failed(now, key, side, client, fault);
            }
            TransactionEvent::FellBack { from, .. } => self.note_without_tcp(now, &from),
            TransactionEvent::AckTimeout { owner, .. } => {
                let (key, _) = CallKey::from_owner(owner);
                self.current = Some(key);
                self.on_ack_timeout(now, key);
            }
        }
    }

    /// RFC 3261 §13.3.1.4: no ACK for our 200, so a BYE.
    fn on_ack_timeout(&mut self, now: Instant, key: CallKey) {
        if self
            .call(key)
            .is_some_and(|call| call.phase == Phase::Ending)
        {
            return self.end_unheard(now, key, None);
        }
        if self.ack_of_asked_never_came(now, key) {
            return;
        }
        self.acknowledge_late_offer(now, key);
        // The layer has given up on the 200: nothing to wait for before the BYE.
        if let Some(call) = self.call_mut(key) {
            call.bridge = None;
        }
        self.end_call(now, key, EndedBy::Edge, Some(102));
    }

    fn on_client_failed(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        client: ClientId,
        fault: Fault,
    ) {
        self.select_branch(key, client);
        let Some(call) = self.call(key) else { return };
        if call.phase == Phase::Ending {
            // What was said to a branch that the call had left is none of its own matters.
            let bridge = call.bridge.as_ref();
            if bridge.is_none_or(|bridge| bridge.client == client) {
                self.discard(key);
            }
            return;
        }
        if self.on_exchange_failed(now, key, client)
            || self.on_transfer_failed(now, key, client)
            || self.on_refer_failed(key, client)
        {
            return;
        }
        let Some(call) = self.call(key) else { return };
        if call.leg(side).refresh.is_some_and(|it| it.client == client) {
            // The leg is dead (RFC 4028 §10).
            return self.end_call(now, key, EndedBy::Edge, Some(102));
        }
        let Some(bridge) = &call.bridge else { return };
        if bridge.client != client || !matches!(bridge.stage, Stage::Pending { .. }) {
            return;
        }
        match bridge.initial {
            true => {
                self.note_fault(now, key, fault);
                if self.ring_on(now, key, Failure::SILENT) || self.go_on(now, key, fault, false) {
                    return;
                }
                if let Some(call) = self.call_mut(key) {
                    call.leg_mut(side).status = Some(408);
                }
                self.finish_setup(now, key, 504, EndedBy::Edge, None);
            }
            // RFC 3261 §12.2.1.2: no answer inside a dialog ends it.
            false => {
                self.refuse_re_invite(now, key, 408);
                self.end_call(now, key, EndedBy::Edge, Some(102));
            }
        }
    }
}

/// How long further phones may answer an INVITE whose CANCEL came too late: each of them repeats its
/// 200 every T2, so that two of them may be lost.
pub(crate) const FORKS_MAX: Duration = Duration::from_secs(9);

/// The status that the caller's side gets for one of the callee's side. A challenge is never
/// passed on (digest leak), a redirection is not followed for anybody.
pub(crate) const fn status_across(status: u16) -> u16 {
    match status {
        300..=399 => 480,
        401 | 407 => 403,
        // Session timers are each leg's own business.
        422 => 500,
        status => status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_never_crosses() {
        assert_eq!(status_across(401), 403);
        assert_eq!(status_across(407), 403);
        assert_eq!(status_across(302), 480);
        assert_eq!(status_across(486), 486);
    }
}

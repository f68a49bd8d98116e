//! Requests inside a call: re-INVITE, ACK, CANCEL, BYE.

use bytes::Bytes;
use ringfence_base::{Flow, Instant};
use ringfence_dialog::{ClientId, Owner, ServerId};
use ringfence_sip::{HeaderName, Message, Method};

use crate::access::Candidates;
use crate::body;
use crate::call::{Bridge, CallKey, Phase, Side, Stage};
use crate::causes;
use crate::cdr::EndedBy;
use crate::core::Core;
use crate::headers;
use crate::incoming::Reply;
use crate::outgoing::InDialog;
use crate::refusal::RefusalReason;
use crate::session_timer;

impl Core {
    /// Hold, resume, new codecs: carried to the other side (RFC 3261 §14).
    pub(crate) fn on_re_invite(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        reply: &Reply<'_, '_>,
    ) {
        let message = reply.request;
        if let Some(call) = self.call_mut(key) {
            call.learn_methods(side, message);
        }
        let Some(call) = self.call(key) else { return };
        let timed = call
            .peer(side)
            .is_some_and(|peer| !peer.methods.session_expires.is_zero());
        if timed && session_timer::is_too_short(message) {
            self.respond_with(now, reply, 422, None, |writer| {
                let least = session_timer::MIN_SE;
                writer.header_fmt(HeaderName::MinSe, format_args!("{least}"));
            });
            return;
        }
        let refreshed = |side: Side| call.leg(side).refresh.map(|_| side.other());
        let in_the_way = call
            .bridge
            .as_ref()
            .map(|bridge| bridge.from)
            .or(call.exchange.as_ref().map(|exchange| exchange.from))
            .or_else(|| call.shown_leg().map(Side::other))
            .or_else(|| refreshed(side))
            .or_else(|| refreshed(side.other()));
        if in_the_way.is_some() || call.phase != Phase::Up {
            // RFC 3261 §14.2: one of its own is open: later; one of the other side: glare.
            let glare = in_the_way == Some(side.other());
            let wait = self.entropy.below(10);
            let status = if glare { 491 } else { 500 };
            self.respond_with(now, reply, status, None, |writer| {
                if !glare {
                    writer.header_fmt(HeaderName::RetryAfter, format_args!("{wait}"));
                }
            });
            return;
        }
        if let Err((reason, status)) = self.carry_invite(now, key, side, reply) {
            self.refuse(reply.flow, reason);
            self.respond(now, reply, status);
        }
    }

    /// Sends the other leg a re-INVITE for the INVITE of `reply`, which came on `side`.
    pub(crate) fn carry_invite(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        reply: &Reply<'_, '_>,
    ) -> Result<(), (RefusalReason, u16)> {
        const GONE: (RefusalReason, u16) = (RefusalReason::DialogUnknown, 481);
        let message = reply.request;
        let description = body::description(message).map_err(|_| (RefusalReason::Media, 415))?;
        let offer = !description.is_empty();
        let body = match offer {
            false => None,
            true => {
                let offered = self.with_media(now, key, |media, around| {
                    media.offer(around, side, description)
                });
                let offered = offered.ok_or(GONE)?;
                if offered.is_err() {
                    self.see_refused_offer(now, key, side, description);
                }
                Some(offered.map_err(|refusal| (refusal.reason, refusal.status))?)
            }
        };
        if let Some(dialog) = self
            .call_mut(key)
            .and_then(|call| call.leg_mut(side).dialog.as_mut())
        {
            // An unreadable Contact was refused with 400 before.
            let _ = dialog.refresh_target(message);
        }
        self.respond(now, reply, 100);
        let content = InDialog {
            body: body.as_deref().map(|body| (&b"application/sdp"[..], body)),
            ..InDialog::default()
        };
        let Some(client) = self.send_in_dialog(now, key, side.other(), Method::Invite, content)
        else {
            if let Some(call) = self.call_mut(key) {
                call.media.settle();
            }
            return Err((RefusalReason::TransactionsMax, 503));
        };
        let call = self.call_mut(key).ok_or(GONE)?;
        let other = &call.leg(side.other()).dialog;
        let client_cseq = other.as_ref().map_or(0, |dialog| dialog.local_cseq());
        call.bridge = Some(Bridge {
            from: side,
            server: reply.server,
            client,
            client_cseq,
            initial: false,
            stage: Stage::Pending {
                request: Bytes::copy_from_slice(message.bytes()),
                offer,
            },
        });
        Ok(())
    }

    /// The ACK of a 2xx of ours; after a late offer it carries the answer.
    pub(crate) fn on_ack(
        &mut self,
        now: Instant,
        flow: Flow,
        message: &Message<'_>,
        candidates: &Candidates,
    ) {
        let Some((key, side)) = self.find_dialog(message, candidates) else {
            return self.refuse(flow, RefusalReason::DialogUnknown);
        };
        self.current = Some(key);
        self.trace(now, key, (side, false), &flow, message.bytes());
        if self.on_ack_of_asked(now, key, side) {
            return;
        }
        let Some(call) = self.call_mut(key) else {
            return;
        };
        let expected = call.bridge.as_ref().is_some_and(|bridge| {
            bridge.from == side && matches!(bridge.stage, Stage::Answered { .. })
        });
        if !expected {
            return;
        }
        if call.phase == Phase::Ending {
            return self.end_unheard(now, key, None);
        }
        let Some(bridge) = call.bridge.take() else {
            return;
        };
        self.transactions.acknowledged(bridge.server);
        if let Stage::Answered { late_offer: true } = bridge.stage {
            let ack = (bridge.client, bridge.client_cseq);
            self.on_late_answer(now, key, side, message, ack);
        }
    }

    fn on_late_answer(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        message: &Message<'_>,
        ack: (ClientId, u32),
    ) {
        let body = self
            .with_media(now, key, |media, around| {
                let body = media.answer(around, body::description(message).unwrap_or_default());
                media.settle();
                body
            })
            .and_then(Result::ok);
        self.send_ack(now, key, side.other(), ack, body.as_deref());
        if body.is_none() {
            // Without an answer there is no session (RFC 3261 §13.2.2.4).
            self.end_call(now, key, EndedBy::Edge, Some(79));
        }
    }

    /// CANCEL: 200 for itself, 487 for its INVITE, CANCEL for the far side (RFC 3261 §9).
    pub(crate) fn on_cancel(
        &mut self,
        now: Instant,
        reply: &Reply<'_, '_>,
        invite: Option<(ServerId, Owner)>,
    ) {
        let Some((server, owner)) = invite else {
            return self.respond(now, reply, 481);
        };
        if self.on_cancel_of_parked(now, reply, server) {
            return;
        }
        let message = reply.request;
        let (key, side) = CallKey::from_owner(owner);
        self.current = Some(key);
        self.trace(now, key, (side, false), &reply.flow, message.bytes());
        self.transactions.set_owner(reply.server, owner);
        self.respond(now, &reply.of_leg(key, side), 200);
        let Some(call) = self.call(key).filter(|call| call.is_pending(server)) else {
            return;
        };
        let Some(bridge) = &call.bridge else { return };
        let (initial, client) = (bridge.initial, bridge.client);
        if initial {
            let cause = headers::reason_cause(message);
            let reason = causes::reason_across(message);
            if let Some(reason) = &reason {
                self.transactions.set_cancel_reason(client, reason);
                self.set_reason_of_others(key, reason);
            }
            self.cancel_setup(now, key, 487, EndedBy::Caller, cause);
        } else {
            // The far side's 487, or its 200 that was quicker, decides.
            self.transactions.cancel(now, client);
        }
    }

    /// BYE: the call is over (RFC 3261 §15.1.2).
    pub(crate) fn on_bye(&mut self, now: Instant, key: CallKey, side: Side, reply: &Reply<'_, '_>) {
        self.respond(now, reply, 200);
        let ended_by = match side {
            Side::A => EndedBy::Caller,
            Side::B => EndedBy::Callee,
        };
        if self.on_bye_of_referrer(key, side) {
            return;
        }
        if side == Side::A {
            self.asked_caller_is_gone(now, key);
        }
        let cause = headers::reason_cause(reply.request);
        match self.call(key).map(|call| call.phase) {
            // The caller may end an early dialog by BYE as well.
            Some(Phase::Setup) => self.cancel_setup(now, key, 487, ended_by, cause),
            Some(Phase::Up) => {
                self.counters.calls_ended_normally += 1;
                self.end_call_from(now, key, Some(side), ended_by, cause);
            }
            // It hung up in the same moment, and its ACK is lost: nothing is left to wait for.
            Some(Phase::Ending) => self.end_unheard(now, key, Some(side)),
            None => {}
        }
    }
}

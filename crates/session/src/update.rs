//! UPDATE (RFC 3311), before and after the answer: without a description it is answered by the
//! edge, with one it is an offer for the other side.
//!
//! The offer goes on as an UPDATE where the other side allows that, else as a re-INVITE; while it
//! rings and does not allow UPDATE, the edge answers with what the other side said last.

use bytes::Bytes;
use ringfence_base::{Flow, Instant};
use ringfence_dialog::{ClientId, ServerId};
use ringfence_sip::{HeaderName, Index, Message, Method};

use crate::body;
use crate::call::{Call, CallKey, Phase, Side, Stage};
use crate::cdr::EndedBy;
use crate::core::Core;
use crate::incoming::Reply;
use crate::methods;
use crate::negotiation::SavedOffer;
use crate::outgoing::{InDialog, OurName, contact, our_address};
use crate::refusal::RefusalReason;
use crate::responses::status_across;

/// An offer in an UPDATE or a PRACK that is on its way to the other side.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// The leg on which it came.
    pub(crate) from: Side,
    server: ServerId,
    request: Bytes,
    client: ClientId,
    /// CSeq of the re-INVITE that carries it; none for an UPDATE.
    invite: Option<u32>,
    /// The first INVITE's offer, which still waits for its final answer.
    saved: SavedOffer,
}

impl Exchange {
    /// The request went again, with credentials, as `new`.
    pub(crate) fn went_again(&mut self, old: ClientId, new: ClientId, cseq: u32) {
        if self.client == old {
            self.client = new;
            self.invite = self.invite.map(|_| cseq);
        }
    }
}

/// How an offer goes on.
enum Way {
    Update,
    EarlyUpdate(usize),
    ReInvite,
    /// The edge answers it.
    Nowhere,
}

impl Core {
    /// UPDATE of either side.
    pub(crate) fn on_update(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        reply: &Reply<'_, '_>,
    ) {
        let message = reply.request;
        if crate::session_timer::is_too_short(message) {
            let least = crate::session_timer::MIN_SE;
            self.respond_with(now, reply, 422, None, |writer| {
                writer.header_fmt(HeaderName::MinSe, format_args!("{least}"));
            });
            return;
        }
        let Ok(description) = body::description(message) else {
            self.refuse(reply.flow, RefusalReason::Media);
            return self.respond(now, reply, 415);
        };
        let Some(call) = self.call_mut(key).filter(|it| it.phase != Phase::Ending) else {
            return self.respond(now, reply, 481);
        };
        if !description.is_empty()
            && let Some(status) = call.offer_in_the_way(side, message)
        {
            let wait = self.entropy.below(10);
            self.respond_with(now, reply, status, None, |writer| {
                if status == 500 {
                    writer.header_fmt(HeaderName::RetryAfter, format_args!("{wait}"));
                }
            });
            return;
        }
        if let Some(dialog) = call.dialog_of(side, message) {
            // An unreadable Contact was refused with 400 before.
            let _ = dialog.refresh_target(message);
        }
        if description.is_empty() {
            self.answer_update(now, key, side, reply, None);
        } else {
            self.carry_offer(now, key, side, reply);
        }
    }

    /// Carries the offer in an UPDATE or PRACK of `side` to the other side, or answers it.
    pub(crate) fn carry_offer(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        reply: &Reply<'_, '_>,
    ) {
        let description = body::description(reply.request).unwrap_or_default();
        let Some(call) = self.call_mut(key) else {
            return;
        };
        let way = call.way_of_offer(side.other());
        let saved = call.media.save_offer();
        let offered = self.with_media(now, key, |media, around| {
            media.offer(around, side, description)
        });
        let body = match offered {
            Some(Ok(body)) => body,
            refused => {
                self.see_refused_offer(now, key, side, description);
                self.forget_offer(key, saved);
                let status = match refused {
                    Some(Err(refusal)) => refusal.status,
                    _ => 481,
                };
                return self.respond(now, reply, status);
            }
        };
        let content = InDialog {
            body: Some((b"application/sdp", &body)),
            ..InDialog::default()
        };
        let other = side.other();
        let client = match way {
            Way::Update => self.send_in_dialog(now, key, other, Method::Update, content),
            Way::ReInvite => self.send_in_dialog(now, key, other, Method::Invite, content),
            Way::EarlyUpdate(place) => self.send_in_early(now, key, place, Method::Update, content),
            Way::Nowhere => return self.answer_for_other(now, key, side, reply, saved),
        };
        let Some(client) = client else {
            self.forget_offer(key, saved);
            return self.respond(now, reply, 503);
        };
        if let Some(call) = self.call_mut(key) {
            let cseq = call.leg(other).dialog.as_ref().map(|it| it.local_cseq());
            call.exchange = Some(Box::new(Exchange {
                from: side,
                server: reply.server,
                request: Bytes::copy_from_slice(reply.request.bytes()),
                client,
                invite: cseq.filter(|_| matches!(way, Way::ReInvite)),
                saved,
            }));
        }
    }

    /// The other side rings and knows no UPDATE: its last word is the answer.
    fn answer_for_other(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        reply: &Reply<'_, '_>,
        saved: SavedOffer,
    ) {
        let answer = self
            .with_media(now, key, |media, around| {
                media.answer_again(around, side.other())
            })
            .and_then(Result::ok);
        self.forget_offer(key, saved);
        match answer {
            Some(answer) => self.answer_update(now, key, side, reply, Some(&answer)),
            None => self.respond(now, reply, 488),
        }
    }

    fn forget_offer(&mut self, key: CallKey, saved: SavedOffer) {
        if let Some(call) = self
            .calls
            .get_mut(key.slot as usize)
            .filter(|call| call.key == key)
        {
            call.media.restore_offer(saved, &mut self.media);
        }
    }

    /// 200 to an UPDATE or PRACK.
    fn answer_update(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        reply: &Reply<'_, '_>,
        body: Option<&[u8]>,
    ) {
        let is_update = reply.request.method() == Some(Method::Update);
        let timer = match is_update {
            true => self.agree_timer(now, key, side, reply.request),
            false => None,
        };
        let Some(call) = self.call(key) else { return };
        let plan = std::sync::Arc::clone(&call.plan);
        let leg = call.leg(side);
        let (flow, peer) = (leg.flow, plan.peer(leg.peer));
        let ours = our_address(&plan, &flow);
        self.respond_with(now, reply, 200, body, |writer| {
            if let (true, Some(ours), Some(peer)) = (is_update, ours, peer) {
                writer.header(
                    HeaderName::Contact,
                    contact(OurName::new(peer, ours), flow.transport),
                );
                peer.methods.write(writer, true);
            }
            if let Some(timer) = timer {
                timer.write(writer);
            }
        });
    }

    /// The other side's answer to the offer. Whether `client` carried one.
    pub(crate) fn on_exchange_response(
        &mut self,
        now: Instant,
        key: CallKey,
        message: &Message<'_>,
        client: ClientId,
    ) -> bool {
        let is_ours = |call: &Call| {
            let exchange = call.exchange.as_ref();
            exchange.is_some_and(|exchange| exchange.client == client)
        };
        if !self.call(key).is_some_and(is_ours) {
            return false;
        }
        let Some(status) = message.status().filter(|status| !status.is_provisional()) else {
            return true;
        };
        let Some(exchange) = self.call_mut(key).and_then(|call| call.exchange.take()) else {
            return true;
        };
        let other = exchange.from.other();
        let mut answer = None;
        if status.is_success() {
            let description = body::description(message).unwrap_or_default();
            answer = self
                .with_media(now, key, |media, around| media.answer(around, description))
                .and_then(Result::ok);
            if let Some(dialog) = self
                .call_mut(key)
                .and_then(|call| call.leg_mut(other).dialog.as_mut())
            {
                // Without a readable Contact the target stays.
                let _ = dialog.refresh_target(message);
            }
            if let Some(cseq) = exchange.invite {
                self.send_ack(now, key, other, (client, cseq), None);
            }
        }
        let status = match status.is_success() {
            true if answer.is_some() => 200,
            true => 488,
            // The offerer has no such dialog trouble: its own goes on, or is ended below.
            false => status_across(status.raw()),
        };
        self.finish_exchange(now, key, *exchange, status, answer.as_deref());
        if matches!(status, 408 | 481) {
            self.end_call(now, key, EndedBy::Edge, None);
        }
        true
    }

    /// The other side never answered. Whether `client` carried an offer.
    pub(crate) fn on_exchange_failed(
        &mut self,
        now: Instant,
        key: CallKey,
        client: ClientId,
    ) -> bool {
        let exchange = self.call_mut(key).and_then(|call| {
            let ours = call.exchange.as_ref().is_some_and(|it| it.client == client);
            ours.then(|| call.exchange.take()).flatten()
        });
        let Some(exchange) = exchange else {
            return false;
        };
        // Never 408 to anything but INVITE (RFC 4320 §4.2).
        self.finish_exchange(now, key, *exchange, 504, None);
        self.end_call(now, key, EndedBy::Edge, Some(102));
        true
    }

    /// The call ends: the offer that is on its way has lost it.
    pub(crate) fn drop_exchange(&mut self, now: Instant, key: CallKey) {
        if let Some(exchange) = self.call_mut(key).and_then(|call| call.exchange.take()) {
            self.finish_exchange(now, key, *exchange, 487, None);
        }
    }

    fn finish_exchange(
        &mut self,
        now: Instant,
        key: CallKey,
        exchange: Exchange,
        status: u16,
        body: Option<&[u8]>,
    ) {
        let side = exchange.from;
        let Some(call) = self
            .calls
            .get_mut(key.slot as usize)
            .filter(|call| call.key == key)
        else {
            return;
        };
        call.media.restore_offer(exchange.saved, &mut self.media);
        let flow: Flow = call.leg(side).flow;
        let mut index = Index::default();
        let Ok(request) = index.parse(&exchange.request) else {
            return;
        };
        let reply = Reply::new(exchange.server, &request, flow).of_leg(key, side);
        match (status, body) {
            (200, Some(body)) => self.answer_update(now, key, side, &reply, Some(body)),
            _ => self.respond(now, &reply, status),
        }
    }
}

impl Call {
    /// Why an offer of `side` cannot be taken now (RFC 3311 §5.2): 491 if it crosses one of ours,
    /// 500 if it follows one of its own too soon.
    fn offer_in_the_way(&self, side: Side, message: &Message<'_>) -> Option<u16> {
        let status = |from: Side| if from == side { 500 } else { 491 };
        if self.leg(side).refresh.is_some_and(|it| it.invite.is_some()) {
            return Some(491);
        }
        if self.leg(side.other()).refresh.is_some() {
            return Some(500);
        }
        if let Some(shown) = self.shown_leg() {
            return Some(status(shown.other()));
        }
        if let Some(exchange) = &self.exchange {
            return Some(status(exchange.from));
        }
        let bridge = self.bridge.as_ref()?;
        match bridge.stage {
            Stage::Answered { late_offer: false } => None,
            // Before the answer: whoever has had an answer that is sure may offer anew.
            Stage::Pending { .. }
                if bridge.initial && self.provisionals.is_settled(side, message) =>
            {
                None
            }
            Stage::Answered { late_offer: true } => Some(status(bridge.from.other())),
            Stage::Pending { .. } => Some(status(bridge.from)),
        }
    }

    /// How an offer goes to `to`.
    fn way_of_offer(&self, to: Side) -> Way {
        let update = self.leg(to).allows_update;
        match (self.phase, to) {
            (Phase::Up, _) if update => Way::Update,
            (Phase::Up, _) => Way::ReInvite,
            (_, Side::A) if update && self.provisionals.caller_is_settled() => Way::Update,
            (_, Side::B) if update => match self.provisionals.settled_callee() {
                Some(place) => Way::EarlyUpdate(place),
                None => Way::Nowhere,
            },
            _ => Way::Nowhere,
        }
    }

    /// Notes what a peer's INVITE, or its answer to ours, says that it allows.
    pub(crate) fn learn_methods(&mut self, side: Side, message: &Message<'_>) {
        if message.header(HeaderName::Allow).is_some() {
            let update = methods::lists(message, HeaderName::Allow, "UPDATE");
            self.leg_mut(side).allows_update = update;
        }
    }
}

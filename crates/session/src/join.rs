//! Puts legs of different calls together: what a transfer comes to (RFC 3515, RFC 3891).
//!
//! A leg moves with its dialog from one call to another; the peer at its far end notices nothing
//! but a re-INVITE with new media (RFC 3725). First one side is shown the other's last description,
//! then the other one that side's answer. Both calls that are left behind end with a record.

use std::sync::Arc;
use std::time::Duration;

use ringfence_base::Instant;
use ringfence_dialog::ClientId;
use ringfence_sip::{Message, Method};

use crate::body;
use crate::call::{Call, CallKey, Facts, Leg, Phase, Side};
use crate::cdr::EndedBy;
use crate::core::{Core, TagText};
use crate::event::Event;
use crate::incoming::Reply;
use crate::negotiation::Negotiation;
use crate::outgoing::InDialog;
use crate::plan::SiteId;
use crate::reliable::Provisionals;
use crate::supervise::AlarmKind;
use crate::transfer::{Replaces, Step, Transfer, peer_in};

/// How often a re-INVITE that crosses one of the leg's own is tried.
const TRIES_MAX: u8 = 4;
/// How long to wait before (RFC 3261 §14.1, for whoever owns the Call-ID).
const TRY_AGAIN: Duration = Duration::from_millis(2_100);
/// Q.850 cause of a call whose legs could not be put together: temporary failure.
const TEMPORARY_FAILURE: u8 = 41;

impl Core {
    /// The target has answered: the transferred leg moves to it, and the referrer is let go.
    pub(crate) fn join_target(&mut self, now: Instant, key: CallKey, message: &Message<'_>) {
        let description = body::description(message).unwrap_or_default();
        let answered = self.with_media(now, key, |media, around| {
            let answer = media.answer(around, description);
            media.settle();
            answer
        });
        let parent = self.parent_of(key);
        let (Some(parent), Some(Ok(_))) = (parent, answered) else {
            self.send_bye(now, key, Side::B, Some(79));
            return self.fail_transfer(now, key, 488);
        };
        let Some(referral) = self.call(parent).and_then(|call| call.referral.as_ref()) else {
            return;
        };
        let (referrer, gone) = (referral.referrer, referral.gone);
        self.notify_referrer(now, parent, 200);
        self.leave(now, parent, referrer, gone);
        self.move_leg(now, (parent, referrer.other()), (key, Side::A));
        let kept = self.call_mut(parent).and_then(|it| it.admission.take());
        self.discard(parent);
        if let Some(call) = self.call_mut(key) {
            call.kept_admission = kept;
            call.provisionals = Provisionals::default();
            call.leg_mut(Side::B).status = Some(200);
            if let Some(transfer) = &mut call.transfer {
                transfer.parent = None;
            }
        }
        self.on_answered(now, key);
        self.show(now, key, Side::A, false, 0);
    }

    /// Attended: the referrer's two calls become one without it.
    pub(crate) fn refer_to_call(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        reply: &Reply<'_, '_>,
        replaces: &Replaces,
    ) -> Result<(), u16> {
        let plan = Arc::clone(&self.plan);
        let named = self.replaced(replaces).or_else(|| self.ringing(replaces));
        let (other, other_side) = named.ok_or(603u16)?;
        let (Some(first), Some(second)) = (self.call(key), self.call(other)) else {
            return Err(603);
        };
        let own = |call: &Call, side| call.peer(side).map(|peer| (peer.key.clone(), peer.kind));
        if other == key || own(first, side) != own(second, other_side) {
            return Err(603);
        }
        if second.phase == Phase::Setup {
            // There is nothing yet to join: the transferred side calls, in place of the referrer.
            return self.refer_across(now, key, side, reply, replaces);
        }
        if second.is_changing() || second.referral.is_some() {
            return Err(491);
        }
        let (near, far) = (side.other(), other_side.other());
        let peers = [peer_in(&plan, first, near), peer_in(&plan, second, far)];
        let [Some(near_peer), Some(far_peer)] = peers else {
            return Err(403);
        };
        let mut route = second.route.clone();
        let key_of = |call: &Call| call.plan.site(call.route.site).map(|it| it.key.clone());
        let site = key_of(second).and_then(|key| plan.sites.iter().position(|it| it.key == key));
        route.site = SiteId::new(site.ok_or(403u16)? as u16);
        (route.ingress, route.egress) = (near_peer, far_peer);
        route.rule.push_str(" (transfer)");
        if first.media.transferable(near).is_none() {
            return Err(488);
        }
        let name = |call: &Call, side| match side {
            Side::A => call.facts.from.clone(),
            Side::B => call.facts.to.clone(),
        };
        let facts = Facts {
            from: name(first, near),
            to: name(second, far),
            started: self.unix(now),
            ringing: None,
            answered: None,
            answered_at: None,
            q850: None,
        };
        let identity = second.identity.clone();
        let transfers = first.transfers.max(second.transfers) + 1;
        let flows = [first.leg(near).flow, second.leg(far).flow];
        let tags = [(); 2].map(|()| self.cookies.new_tag(&mut *self.entropy));
        let (child, id) = self.next_call(now);
        let call = Call {
            key: child,
            id,
            plan,
            route,
            phase: Phase::Setup,
            legs: [
                Leg::new(near_peer, flows[0], tags[0]),
                Leg::new(far_peer, flows[1], tags[1]),
            ],
            egress_call_id: self.cookies.new_call_id(&mut *self.entropy),
            bridge: None,
            exchange: None,
            sent_invite: None,
            hunt: None,
            fork: None,
            heard: true,
            provisionals: Provisionals::default(),
            media: Negotiation::default(),
            facts,
            admission: None,
            kept_admission: None,
            identity,
            screening: None,
            replaced: None,
            caller_changed: false,
            referral: None,
            transfer: Some(Box::new(Transfer {
                parent: None,
                step: Step::Done,
            })),
            redirects: 0,
            transfers,
        };
        self.calls.insert(call);
        self.counters.calls_tried += 1;
        self.emit(Event::CallStarted { id });
        self.accept_referral(now, key, side, reply, child);
        self.join(now, child, (key, side), (other, other_side));
        Ok(())
    }

    /// Moves the legs across from the two referrers into `child`, and shows them to each other.
    fn join(
        &mut self,
        now: Instant,
        child: CallKey,
        (first, side): (CallKey, Side),
        (second, other_side): (CallKey, Side),
    ) {
        let near = side.other();
        let media = self
            .call(first)
            .and_then(|call| call.media.transferable(near));
        self.notify_referrer(now, first, 200);
        self.leave(now, first, side, false);
        self.leave(now, second, other_side, false);
        self.move_leg(now, (first, near), (child, Side::A));
        self.move_leg(now, (second, other_side.other()), (child, Side::B));
        let admissions = [first, second].map(|key| {
            let call = self.call_mut(key)?;
            call.admission.take()
        });
        self.discard(first);
        self.discard(second);
        if let Some(call) = self.call_mut(child) {
            [call.kept_admission, call.admission] = admissions;
            if let Some(media) = &media {
                call.media.remember(Side::A, media);
            }
            for side in Side::BOTH {
                call.leg_mut(side).status = Some(200);
            }
        }
        self.on_answered(now, child);
        self.show(now, child, Side::B, true, 0);
    }

    /// The dialog that Replaces names, if it is one of ours and up.
    pub(crate) fn replaced(&self, replaces: &Replaces) -> Option<(CallKey, Side)> {
        self.dialog_named(replaces, Phase::Up)
    }

    /// The same of a caller whose call still rings.
    pub(crate) fn ringing(&self, replaces: &Replaces) -> Option<(CallKey, Side)> {
        let named = self.dialog_named(replaces, Phase::Setup);
        named.filter(|(_, side)| *side == Side::A)
    }

    fn dialog_named(&self, replaces: &Replaces, phase: Phase) -> Option<(CallKey, Side)> {
        let tag: TagText = replaces.to_tag.as_slice().try_into().ok()?;
        let &(key, side) = self.by_tag.get::<TagText>(&tag)?;
        let call = self.call(key).filter(|call| call.phase == phase)?;
        let dialog = call.leg(side).dialog.as_ref()?;
        let named =
            dialog.call_id() == replaces.call_id && dialog.remote_tag() == replaces.from_tag;
        named.then_some((key, side))
    }

    /// The referrer's part in a call ends: its BYE, and the call's record.
    fn leave(&mut self, now: Instant, key: CallKey, referrer: Side, gone: bool) {
        self.drop_exchange(now, key);
        self.acknowledge_late_offer(now, key);
        self.answer_pending(now, key, 487, None);
        if !gone {
            self.send_bye(now, key, referrer, None);
        }
        let ended_by = match referrer {
            Side::A => EndedBy::Caller,
            Side::B => EndedBy::Callee,
        };
        self.counters.calls_ended_normally += 1;
        self.record(now, key, 200, ended_by);
    }

    /// A leg changes its call. The place it goes to has the peer's id in that call's plan.
    fn move_leg(&mut self, now: Instant, from: (CallKey, Side), to: (CallKey, Side)) {
        let tag = self.cookies.new_tag(&mut *self.entropy);
        let Some(call) = self.call_mut(from.0) else {
            return;
        };
        let place = call.leg_mut(from.1);
        let stub = Leg::new(place.peer, place.flow, tag);
        let mut leg = std::mem::replace(place, stub);
        leg.refresh = None;
        let timer = leg.timer;
        self.by_tag
            .insert(crate::setup::tag_text(&leg.local_tag), to);
        if let Some(call) = self.call_mut(to.0) {
            let place = call.leg_mut(to.1);
            leg.peer = place.peer;
            *place = leg;
        }
        if let Some(timer) = timer {
            let kind = AlarmKind::Session(to.1);
            self.schedule(now, timer.due_in(now), to.0, kind);
        }
    }

    /// Sends `side` a re-INVITE with what the other side said last.
    pub(crate) fn show(&mut self, now: Instant, key: CallKey, side: Side, then: bool, tries: u8) {
        let said = self
            .call(key)
            .and_then(|call| call.media.transferable(side.other()));
        let offered = said.and_then(|said| {
            self.with_media(now, key, |media, around| {
                media.offer(around, side.other(), &said)
            })
        });
        let Some(Ok(body)) = offered else {
            return self.end_call(now, key, EndedBy::Edge, Some(79));
        };
        let content = InDialog {
            body: Some((b"application/sdp", &body)),
            ..InDialog::default()
        };
        let Some(client) = self.send_in_dialog(now, key, side, Method::Invite, content) else {
            return self.end_call(now, key, EndedBy::Edge, Some(TEMPORARY_FAILURE));
        };
        if let Some(call) = self.call_mut(key) {
            let dialog = call.leg(side).dialog.as_ref();
            let cseq = dialog.map_or(0, |dialog| dialog.local_cseq());
            if let Some(transfer) = &mut call.transfer {
                transfer.step = Step::Showing {
                    side,
                    client,
                    cseq,
                    then,
                    tries,
                };
            }
        }
    }

    /// A response that may belong to a transfer. Whether it did.
    pub(crate) fn on_transfer_response(
        &mut self,
        now: Instant,
        key: CallKey,
        message: &Message<'_>,
        client: ClientId,
    ) -> bool {
        let Some(call) = self.call(key).filter(|call| call.phase != Phase::Ending) else {
            return false;
        };
        match call.transfer.as_ref().map(|transfer| transfer.step) {
            Some(Step::Ringing(invite)) if invite == client => {
                self.on_target_response(now, key, message, client);
                true
            }
            Some(Step::Showing { client: invite, .. }) if invite == client => {
                self.on_shown(now, key, message);
                true
            }
            _ => false,
        }
    }

    fn on_shown(&mut self, now: Instant, key: CallKey, message: &Message<'_>) {
        let Some(status) = message.status().filter(|status| !status.is_provisional()) else {
            return;
        };
        let Some(call) = self.call_mut(key) else {
            return;
        };
        let Some(transfer) = &mut call.transfer else {
            return;
        };
        let Step::Showing {
            side,
            client,
            cseq,
            then,
            tries,
        } = transfer.step
        else {
            return;
        };
        transfer.step = Step::Done;
        if !status.is_success() {
            if status.raw() == 491 && tries < TRIES_MAX {
                transfer.step = Step::Waiting { side, then, tries };
                call.media.settle();
                return self.schedule(now, TRY_AGAIN, key, AlarmKind::Join);
            }
            return self.end_call(now, key, EndedBy::Edge, Some(TEMPORARY_FAILURE));
        }
        if let Some(dialog) = &mut call.leg_mut(side).dialog {
            // Without a readable Contact the target stays.
            let _ = dialog.refresh_target(message);
        }
        self.learn_timer(now, key, side, message);
        self.send_ack(now, key, side, (client, cseq), None);
        let description = body::description(message).unwrap_or_default();
        let answered = self.with_media(now, key, |media, around| {
            let answer = media.answer(around, description);
            media.settle();
            answer
        });
        match answered {
            Some(Ok(_)) if then => self.show(now, key, side.other(), false, 0),
            Some(Ok(_)) => {}
            _ => self.end_call(now, key, EndedBy::Edge, Some(79)),
        }
    }

    /// Time to try again what crossed another re-INVITE.
    pub(crate) fn show_again(&mut self, now: Instant, key: CallKey) {
        let Some(transfer) = self.call(key).and_then(|call| call.transfer.as_ref()) else {
            return;
        };
        if let Step::Waiting { side, then, tries } = transfer.step {
            self.show(now, key, side, then, tries + 1);
        }
    }

    /// No answer to a request of a transfer. Whether it was one.
    pub(crate) fn on_transfer_failed(
        &mut self,
        now: Instant,
        key: CallKey,
        client: ClientId,
    ) -> bool {
        let step = self.call(key).and_then(|call| call.transfer.as_ref());
        match step.map(|transfer| transfer.step) {
            Some(Step::Ringing(invite)) if invite == client => {
                self.fail_transfer(now, key, 408);
                true
            }
            Some(Step::Showing { client: invite, .. }) if invite == client => {
                self.end_call(now, key, EndedBy::Edge, Some(102));
                true
            }
            _ => false,
        }
    }
}

impl Call {
    /// The leg that is being shown the other one's media.
    pub(crate) fn shown_leg(&self) -> Option<Side> {
        match self.transfer.as_ref()?.step {
            Step::Showing { side, .. } | Step::Waiting { side, .. } => Some(side),
            Step::Ringing(_) | Step::Done => None,
        }
    }
}

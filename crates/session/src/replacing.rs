//! An INVITE with Replaces (RFC 3891): a new dialog of a peer takes the place of one that it has with
//! us, in a call that goes on.
//!
//! The far side notices nothing but a re-INVITE with new media, whether it knows Replaces or not;
//! nothing of the header crosses. When it has agreed, the INVITE is answered with its answer, and the
//! leg that was replaced gets a BYE. If it does not agree the call goes on as it was.
//!
//! Only the peer that has the dialog may replace it: the same phone system, or a phone of the same
//! group, that knows Call-ID and both tags.
//!
//! A caller whose call still rings is replaced only by a transfer that it asked for itself (`across`):
//! the transfer to somebody who has not answered yet (RFC 5589 §7.3). It gets its 487 at once, and
//! whom it called rings on. From outside such an INVITE is refused: RFC 3891 §3 has it so for an early
//! dialog that the receiver of the INVITE did not begin. Left out: taking a call that rings at another
//! phone of the group, which needs its dialogs to be told (RFC 4235).

use bytes::Bytes;
use ringfence_base::Instant;
use ringfence_dialog::dialog::Dialog;
use ringfence_sip::{HeaderName, Index};

use crate::access::Candidates;
use crate::call::{Bridge, CallKey, Leg, Phase, Side, Stage};
use crate::cdr::EndedBy;
use crate::core::Core;
use crate::incoming::Reply;
use crate::methods::{RELIABLE, requires};
use crate::plan::Peer;
use crate::refusal::RefusalReason;
use crate::registrar::{Callee, Caller};
use crate::session_timer;
use crate::setup::tag_text;
use crate::transfer::{Replaces, TRANSFERS_MAX};

impl Core {
    /// An INVITE outside of calls. Whether it is to replace a call, and so is dealt with.
    pub(crate) fn on_replacing_invite(
        &mut self,
        now: Instant,
        reply: &Reply<'_, '_>,
        candidates: &Candidates,
        caller: Option<Caller>,
    ) -> bool {
        let mut values = reply.request.headers(HeaderName::Replaces);
        let Some(value) = values.next() else {
            return false;
        };
        let peers = candidates.iter().filter_map(|id| self.plan.peer(*id));
        let mut may = peers.map(|peer| peer.methods.may_replace());
        if !reply.flow.is_within() && !may.any(|may| may) {
            // As if the header were not known, which is how it was said to be (RFC 3261 §8.2.2).
            return false;
        }
        let replaces = Replaces::parse(value).filter(|_| values.next().is_none());
        let replaced = match &replaces {
            // RFC 3891 §3.
            None => Err((RefusalReason::Malformed, 400)),
            Some(replaces) => self.replace(now, reply, candidates, caller, replaces),
        };
        if let Err((reason, status)) = replaced {
            self.refuse(reply.flow, reason);
            let message = reply.request;
            self.respond_with(now, reply, status, None, |writer| {
                if status == 420 {
                    let required: Vec<&[u8]> = message.values(HeaderName::Require).collect();
                    writer.header(HeaderName::Unsupported, required.join(&b", "[..]));
                }
                if status == 422 {
                    let least = session_timer::MIN_SE;
                    writer.header_fmt(HeaderName::MinSe, format_args!("{least}"));
                }
            });
        }
        true
    }

    fn replace(
        &mut self,
        now: Instant,
        reply: &Reply<'_, '_>,
        candidates: &Candidates,
        caller: Option<Caller>,
        replaces: &Replaces,
    ) -> Result<(), (RefusalReason, u16)> {
        const UNKNOWN: (RefusalReason, u16) = (RefusalReason::DialogUnknown, 481);
        let message = reply.request;
        let within = reply.flow.is_within();
        let ringing = || self.ringing(replaces).filter(|_| within);
        let named = self.replaced(replaces).or_else(ringing);
        let (key, side) = named.ok_or(UNKNOWN)?;
        let call = self.call(key).ok_or(UNKNOWN)?;
        let own = call.peer(side).ok_or(UNKNOWN)?;
        let same = |peer: &Peer| peer.key == own.key && peer.kind == own.kind;
        let mut peers = candidates.iter().filter_map(|id| self.plan.peer(*id));
        if !peers.any(same) {
            return Err(UNKNOWN);
        }
        // Reliable provisional responses are of a call that rings, and nothing rings here.
        if own.methods.unsupported(message).next().is_some() || requires(message, RELIABLE) {
            return Err((RefusalReason::Extension, 420));
        }
        if !own.methods.session_expires.is_zero() && session_timer::is_too_short(message) {
            return Err((RefusalReason::Extension, 422));
        }
        // It is asked for a call that rings, and this one is answered.
        if replaces.early_only {
            return Err((RefusalReason::DialogUnknown, 486));
        }
        if call.transfers >= TRANSFERS_MAX {
            return Err((RefusalReason::TooManyHops, 482));
        }
        let rings = call.phase == Phase::Setup;
        let others = call.referral.is_some() || call.screening.is_some();
        let busy = match rings {
            true => !call.may_change_caller(),
            false => call.bridge.is_some() || call.is_changing(),
        };
        if busy || others || call.legs.iter().any(|leg| leg.refresh.is_some()) {
            return Err((RefusalReason::Method, 491));
        }
        let peer = call.leg(side).peer;
        let tag = self.cookies.new_tag(&mut *self.entropy);
        let mut dialog = Dialog::uas(message, &tag)
            .map_err(|error| (RefusalReason::Malformed, error.status().raw()))?;
        dialog.confirm();
        let mut leg = Leg::new(peer, reply.flow, tag);
        leg.dialog = Some(dialog);
        if rings {
            self.change_caller(now, key, reply, leg);
            return Ok(());
        }
        leg.status = Some(200);
        self.by_tag.insert(tag_text(&tag), (key, side));
        if let Some(call) = self.call_mut(key) {
            let old = std::mem::replace(call.leg_mut(side), leg);
            call.replaced = Some(Box::new((side, old)));
            call.learn_methods(side, message);
        }
        self.current = Some(key);
        let reply = Reply {
            tag: Some(tag),
            ..reply.of_leg(key, side)
        };
        self.trace(now, key, (side, false), &reply.flow, message.bytes());
        self.transactions.set_owner(reply.server, key.owner(side));
        if let Err(refused) = self.carry_invite(now, key, side, &reply) {
            self.undo_replacing(key);
            return Err(refused);
        }
        if let (Some(call), Some(caller)) = (self.call_mut(key), caller) {
            let Caller { group, user } = caller;
            let token = None;
            match side {
                Side::A => call.route.caller = Some(caller),
                Side::B => call.route.callee = Some(Callee { group, user, token }),
            }
        }
        Ok(())
    }

    /// A new leg takes the caller's place in a call that rings. What the callee was offered is the old
    /// one's: it is shown the new one's description as soon as it has answered.
    fn change_caller(&mut self, now: Instant, key: CallKey, reply: &Reply<'_, '_>, leg: Leg) {
        self.answer_pending(now, key, 487, None);
        let (flow, tag) = (leg.flow, leg.local_tag);
        let Some(call) = self.call_mut(key) else {
            return;
        };
        let old = std::mem::replace(call.leg_mut(Side::A), leg);
        call.transfers = call.transfers.saturating_add(1);
        call.route.caller = None;
        call.caller_changed = true;
        call.provisionals.leave_caller();
        // Nobody else is called for it, with what the old one asked for.
        call.hunt = None;
        if let Some(fork) = &mut call.fork {
            fork.stay();
        }
        if let Some(bridge) = &mut call.bridge {
            bridge.server = reply.server;
            bridge.stage = Stage::Pending {
                request: Bytes::copy_from_slice(reply.request.bytes()),
                offer: true,
            };
        }
        let rings = call.facts.ringing.is_some();
        self.by_tag.remove(&tag_text(&old.local_tag));
        self.by_tag.insert(tag_text(&tag), (key, Side::A));
        self.current = Some(key);
        self.trace(now, key, (Side::A, false), &flow, reply.request.bytes());
        self.transactions
            .set_owner(reply.server, key.owner(Side::A));
        let status = if rings { 180 } else { 100 };
        self.answer_invite(now, key, Side::A, reply.server, status, None, None);
    }

    /// The callee has answered a caller that is not there any more: it is shown the new one's media,
    /// and the new one gets what it says to that.
    pub(crate) fn show_new_caller(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.call_mut(key) else {
            return;
        };
        let Some(Bridge {
            server,
            stage: Stage::Pending { request, .. },
            ..
        }) = call.bridge.take()
        else {
            return;
        };
        let leg = call.leg(Side::A);
        let (flow, tag) = (leg.flow, leg.local_tag);
        self.on_answered(now, key);
        let mut index = Index::default();
        let Ok(request) = index.parse(&request) else {
            return self.end_call(now, key, EndedBy::Edge, None);
        };
        let reply = Reply {
            server,
            request: &request,
            flow,
            tag: Some(tag),
            leg: Some((key, Side::A)),
        };
        if let Err((_, status)) = self.carry_invite(now, key, Side::A, &reply) {
            self.respond(now, &reply, status);
            self.lose_new_caller(now, key);
        }
    }

    /// The callee did not take the new caller's media: nobody is left for it.
    pub(crate) fn lose_new_caller(&mut self, now: Instant, key: CallKey) {
        if self.call(key).is_some_and(|call| call.caller_changed) {
            let cause = Some(79);
            self.end_call_from(now, key, Some(Side::A), EndedBy::Edge, cause);
        }
    }

    /// The far side has agreed: the old leg is let go.
    pub(crate) fn finish_replacing(&mut self, now: Instant, key: CallKey) {
        let Some((side, old)) = self.take_replaced(key) else {
            return;
        };
        let old_tag = tag_text(&old.local_tag);
        let Some(call) = self.call_mut(key) else {
            return;
        };
        call.transfers = call.transfers.saturating_add(1);
        // Its BYE goes out as any request of a leg does.
        let new = std::mem::replace(call.leg_mut(side), old);
        self.send_bye(now, key, side, None);
        if let Some(call) = self.call_mut(key) {
            *call.leg_mut(side) = new;
        }
        self.by_tag.remove(&old_tag);
    }

    /// It has not: the call goes on with the leg that it had.
    pub(crate) fn undo_replacing(&mut self, key: CallKey) {
        let Some((side, old)) = self.take_replaced(key) else {
            return;
        };
        if let Some(call) = self.call_mut(key) {
            let new = std::mem::replace(call.leg_mut(side), old);
            self.by_tag.remove(&tag_text(&new.local_tag));
        }
    }

    fn take_replaced(&mut self, key: CallKey) -> Option<(Side, Leg)> {
        let replaced = self.call_mut(key)?.replaced.take()?;
        Some(*replaced)
    }
}

//! How calls end, and their records.

use std::sync::Arc;
use std::time::Duration;

use ringfence_base::Instant;
use ringfence_detect::event::{CallRef, Refusal};
use ringfence_detect::finding::Finding;
use ringfence_detect::media;
use ringfence_sip::{HeaderName, Method};

use crate::access::Candidates;
use crate::call::{Call, CallKey, Phase, Side, Stage};
use crate::causes;
use crate::cdr::{CallerId, Cdr, Direction, EndedBy, LegRecord, Outcome};
use crate::core::Core;
use crate::event::Event;
use crate::incoming::Reply;
use crate::outgoing::InDialog;
use crate::plan::PeerKind;
use crate::provider;
use crate::refusal::RefusalReason;
use crate::setup::{Attempt, Refused, explain, tag_text};
use crate::supervise::AlarmKind;
use crate::transfer::Step;

/// How often it is looked who else sends sound to the ports of a call.
pub(crate) const LOOK_AT_MEDIA: Duration = Duration::from_secs(15);

impl Core {
    /// The callee's side said no, or nothing: the caller gets a final answer.
    pub(crate) fn finish_setup(
        &mut self,
        now: Instant,
        key: CallKey,
        status: u16,
        ended_by: EndedBy,
        retry_after: Option<u32>,
    ) {
        self.leave_others(now, key, None);
        self.drop_exchange(now, key);
        self.answer_pending(now, key, status, retry_after);
        self.dismiss_asked(now, key);
        self.record(now, key, status, ended_by);
        self.discard(key);
    }

    /// The caller gave up, or we did for it: the callee's side is cancelled, and the call stays
    /// until that side has spoken.
    pub(crate) fn cancel_setup(
        &mut self,
        now: Instant,
        key: CallKey,
        status: u16,
        ended_by: EndedBy,
        cause: Option<u8>,
    ) {
        let Some(call) = self.call_mut(key) else {
            return;
        };
        call.facts.q850 = cause.or(call.facts.q850);
        if self.end_asking(now, key, status, ended_by) {
            return;
        }
        let Some(call) = self.call_mut(key) else {
            return;
        };
        let client = call.bridge.as_ref().map(|bridge| bridge.client);
        let target = call
            .transfer
            .as_ref()
            .and_then(|transfer| match transfer.step {
                Step::Ringing(client) => Some(client),
                _ => None,
            });
        let client = client.or(target);
        self.leave_others(now, key, None);
        self.drop_exchange(now, key);
        self.answer_pending(now, key, status, None);
        self.dismiss_asked(now, key);
        self.record(now, key, status, ended_by);
        if let Some(client) = client {
            self.transactions.cancel(now, client);
        }
        self.retire(key);
        self.on_transfer_over(now, key, status);
        self.refuse_held(now, key);
    }

    /// The far side answered with what cannot be bridged: it is hung up, the caller gets 488.
    pub(crate) fn fail_answered_setup(&mut self, now: Instant, key: CallKey) {
        self.send_bye(now, key, Side::B, Some(79));
        self.finish_setup(now, key, 488, EndedBy::Edge, None);
    }

    /// Ends a call for both sides.
    pub(crate) fn end_call(
        &mut self,
        now: Instant,
        key: CallKey,
        ended_by: EndedBy,
        cause: Option<u8>,
    ) {
        match self.call(key).map(|call| call.phase) {
            Some(Phase::Setup) => self.cancel_setup(now, key, 480, ended_by, cause),
            Some(Phase::Up) => {
                self.counters.calls_ended_by_edge += 1;
                self.end_call_from(now, key, None, ended_by, cause);
            }
            Some(Phase::Ending) | None => {}
        }
    }

    /// Ends an answered call: BYE to everybody but `gone`, who said BYE itself.
    pub(crate) fn end_call_from(
        &mut self,
        now: Instant,
        key: CallKey,
        gone: Option<Side>,
        ended_by: EndedBy,
        cause: Option<u8>,
    ) {
        let Some(call) = self.call_mut(key) else {
            return;
        };
        call.facts.q850 = cause;
        let left = self.drop_referral(now, key);
        self.drop_exchange(now, key);
        self.acknowledge_late_offer(now, key);
        let Some(call) = self.call_mut(key) else {
            return;
        };
        // RFC 3261 §15: whoever may not have heard our 200 gets it until the ACK, then the BYE.
        let waits = call.answer_unheard().filter(|&side| gone != Some(side));
        if waits.is_none() {
            // A re-INVITE on its way has lost its call (RFC 3261 §15.1.2).
            self.answer_pending(now, key, 487, None);
        }
        for side in Side::BOTH {
            if ![gone, waits, left].contains(&Some(side)) {
                self.send_bye(now, key, side, cause);
            }
        }
        self.record(now, key, 200, ended_by);
        match waits {
            Some(_) => self.retire(key),
            None => self.discard(key),
        }
    }

    /// The ACK that an ended call waited for has come, or never will: the BYE, unless `gone` has
    /// said it itself, and the call is gone.
    pub(crate) fn end_unheard(&mut self, now: Instant, key: CallKey, gone: Option<Side>) {
        let Some(call) = self.call(key).filter(|call| call.phase == Phase::Ending) else {
            return;
        };
        let (Some(side), Some(bridge)) = (call.answer_unheard(), &call.bridge) else {
            return;
        };
        let (server, cause) = (bridge.server, call.facts.q850);
        self.transactions.acknowledged(server);
        if gone != Some(side) {
            self.send_bye(now, key, side, cause);
        }
        self.discard(key);
    }

    /// Gives back what an ended call holds, but for its dialogs.
    pub(crate) fn retire(&mut self, key: CallKey) {
        if let Some(call) = self.calls.get_mut(key.slot as usize) {
            call.phase = Phase::Ending;
            call.media.close(&mut self.media);
        }
        self.close_meters(key);
    }

    /// Takes a call whose machine panicked out of the world: BYE where there is a dialog.
    pub(crate) fn bury(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.call(key) else { return };
        let id = call.id;
        let mut dump = Vec::new();
        for entry in self.traces.entries(id) {
            dump.extend_from_slice(&entry.text);
            dump.extend_from_slice(b"\r\n");
        }
        self.emit(Event::CallPanicked { id, dump });
        match self.call(key).map(|call| call.phase) {
            Some(Phase::Setup) => self.cancel_setup(now, key, 500, EndedBy::Edge, Some(41)),
            Some(Phase::Up) => self.end_call_from(now, key, None, EndedBy::Edge, Some(41)),
            _ => self.discard(key),
        }
    }

    pub(crate) fn send_bye(&mut self, now: Instant, key: CallKey, side: Side, cause: Option<u8>) {
        let content = InDialog {
            cause,
            ..InDialog::default()
        };
        self.send_in_dialog(now, key, side, Method::Bye, content);
    }

    pub(crate) fn answer_pending(
        &mut self,
        now: Instant,
        key: CallKey,
        status: u16,
        retry: Option<u32>,
    ) {
        let Some(call) = self.call_mut(key) else {
            return;
        };
        let Some(bridge) = &call.bridge else { return };
        if let Stage::Pending { .. } = bridge.stage {
            let (from, server) = (bridge.from, bridge.server);
            if bridge.initial {
                call.leg_mut(from).status = Some(status);
            }
            self.answer_invite(now, key, from, server, status, None, retry);
            self.undo_replacing(key);
        } else {
            let server = bridge.server;
            self.transactions.acknowledged(server);
        }
    }

    /// Gives the channels of a call back, and counts its money to the end.
    fn close_meters(&mut self, key: CallKey) {
        let at = self.unix(self.now);
        let Some(call) = self.call_mut(key) else {
            return;
        };
        let held = [call.admission.take(), call.kept_admission.take()];
        for admission in held.into_iter().flatten() {
            admission.close(at);
        }
    }

    /// Frees all that a call holds.
    pub(crate) fn discard(&mut self, key: CallKey) {
        if self.call(key).is_none() {
            return;
        }
        self.close_meters(key);
        let Some(mut call) = self.calls.remove(key.slot as usize) else {
            return;
        };
        call.media.close(&mut self.media);
        for leg in &call.legs {
            self.by_tag.remove(&tag_text(&leg.local_tag));
        }
        self.counters.calls_active = self.calls.len() as u64;
        // A burst must not keep its memory for ever.
        if self.by_tag.capacity() > 4096 && self.by_tag.len() * 8 < self.by_tag.capacity() {
            self.by_tag.shrink_to(self.by_tag.len() * 2);
        }
    }

    pub(crate) fn record(&mut self, now: Instant, key: CallKey, status: u16, ended_by: EndedBy) {
        let Some(call) = self.call(key) else { return };
        self.learn_from(now, call);
        let answered = call.phase == Phase::Up;
        self.note_inbound(now, call);
        let site = call.plan.site(call.route.site);
        let tenant = site.and_then(|site| call.plan.tenant_of(site));
        let cdr = Cdr {
            id: call.id,
            tenant: tenant.map(|tenant| tenant.key.clone()).unwrap_or_default(),
            site: site.map(|site| site.key.clone()).unwrap_or_default(),
            direction: call.route.direction,
            from: call.facts.from.to_string(),
            to: call.facts.to.to_string(),
            emergency: call.route.emergency,
            ingress: self.leg_record(call, Side::A),
            egress: Some(self.leg_record(call, Side::B)),
            started: call.facts.started,
            ringing: call.facts.ringing,
            answered: call.facts.answered,
            ended: self.unix(now),
            outcome: outcome(answered, status, ended_by),
            status: if answered { 200 } else { status },
            q850: call
                .facts
                .q850
                .unwrap_or_else(|| causes::q850_of_status(status)),
            ended_by,
            rule: call.route.rule.clone(),
            caller_id: call
                .identity
                .verified
                .as_deref()
                .map(|verified| CallerId::of(&verified.verdict)),
        };
        let since = call.facts.answered_at.filter(|_| answered);
        let attacked = since.and_then(|_| self.attack_on_media(now, call));
        let sounds = match answered {
            true => sounds_of_trunks(now, call, &cdr),
            false => Vec::new(),
        };
        if let Some(seen) = self.seen_as(call) {
            self.see_ended(now, seen, since, &cdr);
        }
        for (trunk, finding) in sounds {
            self.emit(Event::TrunkSounds { trunk, finding });
        }
        if let Some(finding) = attacked {
            let call = cdr.id;
            self.emit(Event::MediaAttacked { call, finding });
        }
        self.emit(Event::CallEnded(Box::new(cdr)));
    }

    /// What speaks for an attack in what came to the ports of a call so far.
    fn attack_on_media(&self, now: Instant, call: &Call) -> Option<Box<Finding>> {
        let heard = call.media.heard(&self.media);
        media::found(now, CallRef::new(call.id.raw()), heard).map(Box::new)
    }

    /// An offer in a call that goes on was refused: if it was to drop the encryption, that is told.
    pub(crate) fn see_refused_offer(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        offer: &[u8],
    ) {
        let Some(call) = self.call(key) else { return };
        if call.media.drops_encryption(side, offer) {
            let leg = match side {
                Side::A => "caller",
                Side::B => "callee",
            };
            let id = call.id;
            let finding = media::asked_for_clear_sound(now, CallRef::new(id.raw()), leg);
            let finding = Box::new(finding);
            self.emit(Event::MediaAttacked { call: id, finding });
        }
    }

    /// Looks at what has come to the ports of a call that goes on.
    pub(crate) fn look_at_media(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.call(key) else { return };
        let (id, attacked) = (call.id, self.attack_on_media(now, call));
        if let Some(finding) = attacked {
            self.emit(Event::MediaAttacked { call: id, finding });
        }
        self.schedule(now, LOOK_AT_MEDIA, key, AlarmKind::Media);
    }

    pub(crate) fn leg_record(&self, call: &Call, side: Side) -> LegRecord {
        let leg = call.leg(side);
        let (call_id, remote_tag) = match (&leg.dialog, side) {
            (Some(dialog), _) => (text(dialog.call_id()), text(dialog.remote_tag())),
            (None, _) => (call.egress_call_id.to_string(), String::new()),
        };
        LegRecord {
            peer: call
                .peer(side)
                .map(|peer| peer.key.clone())
                .unwrap_or_default(),
            call_id,
            local_tag: leg.local_tag.to_string(),
            remote_tag,
            remote: leg.flow.remote,
            transport: leg.flow.transport,
            status: leg.status,
            media: call.media.record(&self.media, side),
        }
    }

    /// Answers and records an attempt that never became a call.
    pub(crate) fn refuse_attempt(
        &mut self,
        now: Instant,
        attempt: &Attempt<'_, '_>,
        candidates: &Candidates,
        refused: Refused,
    ) {
        let (flow, message) = (attempt.reply.flow, attempt.reply.request);
        self.refuse(flow, refused.reason);
        if refused.reason == RefusalReason::CallingNumber {
            self.see_refused(now, &flow, candidates, message, Refusal::CallingNumber);
        }
        self.give_token_back(attempt);
        self.end_attempt(now, attempt, candidates, refused, EndedBy::Edge);
    }

    /// The caller has cancelled what was not a call yet.
    pub(crate) fn note_cancelled(
        &mut self,
        now: Instant,
        attempt: &Attempt<'_, '_>,
        candidates: &Candidates,
    ) {
        let cancelled = Refused {
            reason: RefusalReason::Identity,
            status: 487,
            route: None,
            why: Some("cancelled while its caller was verified".into()),
            asks_pin: false,
        };
        self.end_attempt(now, attempt, candidates, cancelled, EndedBy::Caller);
    }

    /// Answers an attempt with its final status, and writes its record.
    fn end_attempt(
        &mut self,
        now: Instant,
        attempt: &Attempt<'_, '_>,
        candidates: &Candidates,
        refused: Refused,
        ended_by: EndedBy,
    ) {
        let tag = self.cookies.new_tag(&mut *self.entropy);
        let message = attempt.reply.request;
        let reply = Reply {
            tag: Some(tag),
            ..attempt.reply
        };
        let plan = Arc::clone(&self.plan);
        let first = candidates.first().and_then(|id| plan.peer(*id));
        self.respond_with(now, &reply, refused.status, None, |writer| {
            explain(
                writer,
                message,
                refused.status,
                first.map(|peer| &peer.methods),
            );
            if refused.asks_pin {
                writer.header(HeaderName::Warning, PIN_WARNING);
            }
        });
        let peer = refused.route.as_ref().map(|route| route.ingress);
        let Some(peer) = peer
            .or(candidates.first().copied())
            .and_then(|id| plan.peer(id))
        else {
            return;
        };
        let site = plan.site(peer.site);
        let tenant = site.and_then(|site| plan.tenant_of(site));
        let direction = match peer.kind {
            PeerKind::Trunk => Direction::Inbound,
            PeerKind::Pbx | PeerKind::Phones => Direction::Outbound,
        };
        let at = self.unix(now);
        let from = message.from().ok();
        let cdr = Cdr {
            id: attempt.id,
            tenant: tenant.map(|tenant| tenant.key.clone()).unwrap_or_default(),
            site: site.map(|site| site.key.clone()).unwrap_or_default(),
            direction: refused
                .route
                .as_ref()
                .map_or(direction, |route| route.direction),
            from: attempt
                .calling
                .clone()
                .unwrap_or_else(|| "anonymous".into()),
            to: attempt.called.clone(),
            emergency: refused.route.as_ref().is_some_and(|route| route.emergency),
            ingress: LegRecord {
                peer: peer.key.clone(),
                call_id: text(message.call_id().unwrap_or_default()),
                local_tag: tag.to_string(),
                remote_tag: text(from.and_then(|from| from.tag()).unwrap_or_default()),
                remote: attempt.reply.flow.remote,
                transport: attempt.reply.flow.transport,
                status: Some(refused.status),
                media: None,
            },
            egress: None,
            started: at,
            ringing: None,
            answered: None,
            ended: at,
            outcome: match ended_by {
                EndedBy::Caller => Outcome::Cancelled,
                EndedBy::Callee | EndedBy::Edge => Outcome::Refused,
            },
            status: refused.status,
            q850: causes::q850_of_status(refused.status),
            ended_by,
            rule: match &refused.why {
                Some(why) if ended_by == EndedBy::Caller => why.to_string(),
                Some(why) => format!("refused: {why}"),
                None => format!("refused: {}", explanation(refused.reason)),
            },
            caller_id: attempt.verdict.as_ref().map(CallerId::of),
        };
        self.emit(Event::CallEnded(Box::new(cdr)));
    }
}

/// What a caller is told who may call with the PIN (RFC 3261 §20.43).
const PIN_WARNING: &str = "399 policy \"To call this number dial *PIN*number\"";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What people read in a record of a refused attempt.
const fn explanation(reason: RefusalReason) -> &'static str {
    match reason {
        RefusalReason::CallingNumber => "the calling number is not one of the site's",
        RefusalReason::CallsMax => "the worker has its most calls",
        RefusalReason::Channels => "all channels are in use",
        RefusalReason::DialPlan => "the dial plan refuses the number",
        RefusalReason::Draining => "the edge is draining",
        RefusalReason::Extension => "a required extension is not supported",
        RefusalReason::Identity => "the caller's identity fails",
        RefusalReason::Malformed => "the message breaks RFC 3261",
        RefusalReason::Media => "the media cannot be bridged under the peers' policies",
        RefusalReason::MediaPorts => "no media port is free",
        RefusalReason::NoRoute => "there is no peer to send it to",
        RefusalReason::Number => "the number is not one of the site's",
        RefusalReason::Pin => "the PIN is wrong, or too many were",
        RefusalReason::Rate => "too many calls a second",
        RefusalReason::Screening => "a stranger's call that could not be answered and asked",
        RefusalReason::TooManyHops => "too many hops",
        RefusalReason::TransactionsMax => "too many transactions",
        RefusalReason::Unregistered => "the phone is not registered",
        other => other.as_str(),
    }
}

/// Notes how the sound of an answered call arrived, and says which trunks' sound has turned by it.
fn sounds_of_trunks(now: Instant, call: &Call, cdr: &Cdr) -> Vec<(String, Box<Finding>)> {
    let legs = [Some(&cdr.ingress), cdr.egress.as_ref()];
    let media = legs.map(|leg| leg.and_then(|leg| leg.media.as_ref()));
    let turned = Side::BOTH.into_iter().filter_map(|side| {
        let (here, there) = (media[side.index()]?, media[side.other().index()]?);
        let peer = call
            .peer(side)
            .filter(|peer| peer.kind == PeerKind::Trunk)?;
        let turn = peer.usage.sound.note(provider::was_bad(here, there)?)?;
        let finding = provider::sound(&call.plan, now, &peer.key, turn)?;
        Some((peer.key.clone(), Box::new(finding)))
    });
    turned.collect()
}

const fn outcome(answered: bool, status: u16, ended_by: EndedBy) -> Outcome {
    match (answered, status, ended_by) {
        (true, ..) => Outcome::Answered,
        (false, 486 | 600, _) => Outcome::Busy,
        (false, 487, EndedBy::Caller) => Outcome::Cancelled,
        (false, 408 | 480 | 487, _) => Outcome::NoAnswer,
        (false, 403 | 404 | 410 | 484 | 488 | 603 | 604 | 607 | 608, _) => Outcome::Refused,
        _ => Outcome::Failed,
    }
}

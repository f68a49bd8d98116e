//! REFER (RFC 3515), handled at the edge: who may transfer, where to, and how it is told what
//! becomes of it. Blind to a number, or to another call of the same peer by Replaces (RFC 3891).
//!
//! A transfer to a number is a new call of whoever asks for it: the same routes, the same numbers
//! that may be shown, the same limits. The transferred side never learns the target, and the
//! target gets an INVITE like any other. `join` puts the legs together.

use std::sync::Arc;

use ringfence_base::{Flow, Instant};
use ringfence_dialog::ClientId;
use ringfence_sip::write::MessageWriter;
use ringfence_sip::{HeaderName, Message, Method, NameAddr, StatusCode, Uri, unescape};

use crate::admission::{Admission, admit};
use crate::call::{Call, CallKey, Facts, Leg, Phase, Side};
use crate::cdr::EndedBy;
use crate::core::Core;
use crate::diversion::Diversions;
use crate::event::Event;
use crate::identity::{self, Identity, Wording};
use crate::incoming::Reply;
use crate::methods::Transfers;
use crate::negotiation::Negotiation;
use crate::numbering;
use crate::outgoing::{InDialog, Invite, MAX_FORWARDS, OurName, UriHost, contact, our_address};
use crate::passed_refer::PassedRefer;
use crate::plan::{PeerId, Plan};
use crate::refusal::RefusalReason;
use crate::registrar::from_phone;
use crate::reliable::{Provisional, Provisionals};
use crate::routing::{Route, route};
use crate::setup::{forbidden_of, tag_text};
use crate::signing::identity_headers;
use crate::spend::{Asking, Pin};
use crate::supervise::AlarmKind;

/// How often one call may be transferred on: a loop of REFERs ends here.
pub(crate) const TRANSFERS_MAX: u8 = 5;

/// A transfer that was asked for in this call and is not decided.
#[derive(Debug)]
pub(crate) struct Referral {
    /// The call to the target; none if the far side makes it.
    pub(crate) child: Option<CallKey>,
    /// The REFER that was passed on, where the far side makes the call.
    pub(crate) passed: Option<PassedRefer>,
    /// Who asked.
    pub(crate) referrer: Side,
    /// It has hung up since: the other side waits for the target alone.
    pub(crate) gone: bool,
    /// The Event of its NOTIFYs; none if it wants none (RFC 4488).
    pub(crate) event: Option<String>,
}

/// What this call, made by a transfer, is about.
#[derive(Debug)]
pub(crate) struct Transfer {
    /// The call in which it was asked for, until that is over.
    pub(crate) parent: Option<CallKey>,
    pub(crate) step: Step,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Our INVITE to the target has no final answer.
    Ringing(ClientId),
    /// A re-INVITE, with its CSeq, shows a leg the other one's media. `then` is whether the other
    /// leg is still to be shown this one's answer.
    Showing {
        side: Side,
        client: ClientId,
        cseq: u32,
        then: bool,
        tries: u8,
    },
    /// It crossed one of the leg's own and is tried again.
    Waiting { side: Side, then: bool, tries: u8 },
    /// Both legs have each other's media.
    Done,
}

impl Transfer {
    /// The INVITE `old` went again, with credentials, as `new`.
    pub(crate) fn went_again(&mut self, old: ClientId, new: ClientId, new_cseq: u32) {
        match &mut self.step {
            Step::Ringing(client) if *client == old => *client = new,
            Step::Showing { client, cseq, .. } if *client == old => {
                (*client, *cseq) = (new, new_cseq);
            }
            _ => {}
        }
    }
}

/// The value of Refer-To.
struct ReferTo {
    user: String,
    replaces: Option<Replaces>,
}

/// The dialog that Replaces names (RFC 3891 §6.1), as its receiver sees it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Replaces {
    pub(crate) call_id: Vec<u8>,
    /// The receiver's own tag.
    pub(crate) to_tag: Vec<u8>,
    pub(crate) from_tag: Vec<u8>,
    /// Only if it is not answered yet.
    pub(crate) early_only: bool,
}

impl Replaces {
    /// Reads a header value.
    pub(crate) fn parse(value: &[u8]) -> Option<Replaces> {
        let mut parts = value.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let call_id = parts.next().filter(|id| !id.is_empty())?.to_vec();
        let (mut to_tag, mut from_tag, mut early_only) = (None, None, false);
        for part in parts.take(PARAMETERS_MAX) {
            let mut halves = part.splitn(2, |&byte| byte == b'=');
            let name = halves.next()?.trim_ascii();
            let value = halves.next().map(|value| value.trim_ascii().to_vec());
            if name.eq_ignore_ascii_case(b"to-tag") {
                to_tag = value;
            } else if name.eq_ignore_ascii_case(b"from-tag") {
                from_tag = value;
            } else if name.eq_ignore_ascii_case(b"early-only") {
                early_only = true;
            }
        }
        Some(Replaces {
            call_id,
            to_tag: to_tag?,
            from_tag: from_tag?,
            early_only,
        })
    }

    /// As a header value. What came out of a URI may hold anything: see `MessageWriter` for what
    /// it makes of line ends.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let [to, from] = [&self.to_tag, &self.from_tag];
        [&self.call_id, &b";to-tag="[..], to, b";from-tag=", from].concat()
    }
}

/// Where the INVITE of a transfer goes.
pub(crate) enum Target<'a> {
    /// To somebody new, if the site's lines allow it.
    New(Admission),
    /// To a call of another worker, in place of this dialog.
    Replacing(&'a Replaces),
}

/// Parameters of Replaces that are looked at.
const PARAMETERS_MAX: usize = 8;

impl ReferTo {
    /// Reads the one Refer-To of a REFER (RFC 3515 §2.1).
    fn read(request: &Message<'_>) -> Option<ReferTo> {
        let mut values = request.values(HeaderName::ReferTo);
        let value = NameAddr::parse(values.next()?).ok()?;
        if values.next().is_some() {
            return None;
        }
        let method = value.uri.param(b"method").flatten();
        if method.is_some_and(|method| !method.eq_ignore_ascii_case(b"INVITE")) {
            return None;
        }
        let replaces = match replaces_of(&value.uri) {
            Some(text) => Some(Replaces::parse(&text)?),
            None => None,
        };
        let user = numbering::called_in(&value.uri);
        if user.is_none() && replaces.is_none() {
            return None;
        }
        Some(ReferTo {
            user: user.unwrap_or_default(),
            replaces,
        })
    }
}

fn replaces_of(uri: &Uri<'_>) -> Option<Vec<u8>> {
    uri.headers?.split(|&byte| byte == b'&').find_map(|header| {
        let (name, value) = header.split_at_checked(9)?;
        let named = name.eq_ignore_ascii_case(b"Replaces=");
        named.then(|| unescape(value).into_owned())
    })
}

/// The peer of `call`'s leg in another plan.
pub(crate) fn peer_in(plan: &Plan, call: &Call, side: Side) -> Option<PeerId> {
    let own = call.peer(side)?;
    let same = |peer: &crate::plan::Peer| peer.key == own.key && peer.kind == own.kind;
    let place = plan.peers.iter().position(same)?;
    Some(PeerId::new(place as u16))
}

impl Core {
    /// REFER inside a call.
    pub(crate) fn on_refer(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        reply: &Reply<'_, '_>,
    ) {
        if let Err(status) = self.refer(now, key, side, reply) {
            self.refuse(reply.flow, RefusalReason::Method);
            self.respond(now, reply, status);
        }
    }

    fn refer(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        reply: &Reply<'_, '_>,
    ) -> Result<(), u16> {
        let call = self.call(key).filter(|call| call.phase == Phase::Up);
        let call = call.ok_or(481u16)?;
        let policy = call.peer(side).map(|peer| peer.methods.transfer);
        let policy = policy.filter(|policy| *policy != Transfers::Refuse);
        let policy = policy.ok_or(603u16)?;
        let target = ReferTo::read(reply.request).ok_or(400u16)?;
        if call.transfers >= TRANSFERS_MAX {
            return Err(482);
        }
        if call.referral.is_some() || call.is_changing() {
            return Err(491);
        }
        match target.replaces {
            Some(replaces) if self.is_elsewhere(&replaces) => {
                self.refer_across(now, key, side, reply, &replaces)
            }
            Some(replaces) => self.refer_to_call(now, key, side, reply, &replaces),
            None if policy == Transfers::Pass => {
                self.pass_refer(now, key, side, reply, &target.user)
            }
            None => self.refer_to_number(now, key, side, reply, &target.user),
        }
    }

    /// Blind: a new call to `user`, as if the referrer had dialled it.
    pub(crate) fn refer_to_number(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        reply: &Reply<'_, '_>,
        user: &str,
    ) -> Result<(), u16> {
        let plan = Arc::clone(&self.plan);
        let call = self.call(key).ok_or(481u16)?;
        let referrer = peer_in(&plan, call, side).ok_or(403u16)?;
        let transferee = peer_in(&plan, call, side.other()).ok_or(403u16)?;
        let offer = call.media.transferable(side.other()).ok_or(488u16)?;
        let flow = call.leg(side.other()).flow;
        let (id, phone) = (call.id, call.phone_in(&plan, side));
        let routed = match phone {
            Some(phone) => from_phone(&plan, phone, user),
            None => route(&plan, &[referrer], user),
        };
        let mut route = routed.map_err(|refused| refused.status)?;
        if route.callee.is_some() {
            let target = self.target_of(now, &route, reply.request).ok_or(480u16)?;
            route.target = Some(Box::new(target));
        }
        let identity = identity::identify(&plan, &route, reply.request).map_err(|_| 403u16)?;
        let full = self.calls.len() >= plan.limits.calls_max;
        if (self.draining || full) && !route.emergency {
            return Err(503);
        }
        let ways = self.ways(now, &plan, &route);
        let (mut admission, first) =
            admit(&plan, &route, &ways, now).map_err(|refused| refused.status)?;
        let asking = Asking {
            id,
            phone,
            request: reply.request,
            pin: Pin::Absent,
        };
        self.may_spend(now, &mut route, &identity, &asking, &mut admission)
            .map_err(|_| 603u16)?;
        let way = ways.get(first).ok_or(503u16)?;
        route.go_to(&plan, way.peer);
        route.rule.push_str(" (transfer)");
        let leg = Leg::new(transferee, flow, self.cookies.new_tag(&mut *self.entropy));
        let flow = match (&route.target, plan.peer(route.egress)) {
            (Some(target), _) => target.flow,
            (None, Some(egress)) => egress.flow_to(way.address),
            (None, None) => return Err(503),
        };
        let way = (flow, Target::New(admission));
        let child = self.call_target(now, (key, side), reply, leg, route, identity, way, &offer)?;
        self.accept_referral(now, key, side, reply, child);
        Ok(())
    }

    /// Makes the call to the target and sends its INVITE.
    #[allow(clippy::too_many_arguments)] // a call is made of just these
    pub(crate) fn call_target(
        &mut self,
        now: Instant,
        (parent, side): (CallKey, Side),
        reply: &Reply<'_, '_>,
        transferee: Leg,
        route: Route,
        identity: Identity,
        (flow, target): (Flow, Target<'_>),
        offer: &[u8],
    ) -> Result<CallKey, u16> {
        let plan = Arc::clone(&self.plan);
        let egress = plan.peer(route.egress).ok_or(503u16)?;
        let ours = our_address(&plan, &flow).ok_or(503u16)?;
        let client = self.transactions.reserve_client().map_err(|_| 503u16)?;
        let (child, id) = self.next_call(now);
        let tag = self.cookies.new_tag(&mut *self.entropy);
        let (admission, replaces) = match target {
            Target::New(admission) => (Some(admission), None),
            Target::Replacing(replaces) => (None, Some(replaces)),
        };
        let ring = plan.limits.ring_timeout;
        let transfers = self.call(parent).map_or(0, |call| call.transfers);
        let site = plan.site(route.site);
        let numbering = site.and_then(|site| site.policy.numbering);
        let wording = Wording::new(egress, numbering, &route.called, &identity);
        let from = identity.real.clone().unwrap_or_else(|| "anonymous".into());
        let facts = Facts {
            from: from.into(),
            to: wording.called.clone().into(),
            started: self.unix(now),
            ringing: None,
            answered: None,
            answered_at: None,
            q850: None,
        };
        let call = Call {
            key: child,
            id,
            plan: Arc::clone(&plan),
            phase: Phase::Setup,
            legs: [transferee, Leg::new(route.egress, flow, tag)],
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
            admission,
            kept_admission: None,
            identity,
            screening: None,
            replaced: None,
            caller_changed: false,
            referral: None,
            transfer: Some(Box::new(Transfer {
                parent: Some(parent),
                step: Step::Ringing(client),
            })),
            redirects: 0,
            transfers: transfers + 1,
            route,
        };
        let slot = self.calls.insert(call) as u32;
        debug_assert_eq!(slot, child.slot);
        self.by_tag.insert(tag_text(&tag), (child, Side::B));
        self.counters.calls_tried += 1;
        self.counters.calls_active = self.calls.len() as u64;
        let offered = self.with_media(now, child, |media, around| {
            media.offer(around, Side::A, offer)
        });
        let Some(Ok(body)) = offered else {
            self.transactions.release_client(client);
            self.discard(child);
            return Err(488);
        };
        let referred_by = match (
            reply.request.header(HeaderName::ReferredBy),
            &wording.calling,
        ) {
            (Some(_), Some(user)) => Some(format!("<sip:{user}@{}>", UriHost(ours.ip()))),
            _ => None,
        };
        let call = self.call(child).ok_or(503u16)?;
        let site = call.plan.site(call.route.site);
        let signatures = site.map_or_else(Vec::new, |site| {
            let called = &call.route.called;
            identity_headers(site, egress, &call.identity, called, self.unix(now))
        });
        let invite = Invite {
            peer: egress,
            target: call.route.target.as_deref(),
            ours,
            wording,
            display: None,
            tag,
            call_id: call.egress_call_id,
            branch: self.transactions.branch(client),
            max_forwards: MAX_FORWARDS,
            reliable: true,
            referred_by,
            signatures,
            body: Some(&body),
            diversions: Diversions::default(),
            location: None,
            numbering,
        };
        let forbidden = self.call(parent).map(|call| forbidden_of(call, side));
        let mut out = Vec::with_capacity(1024);
        match replaces {
            Some(replaces) => invite.write_within(&mut out, &flow, replaces),
            None => invite.write(&mut out, reply.request, &[], &forbidden.unwrap_or_default()),
        }
        self.send_invite_of(now, child, client, egress, flow, out.into());
        self.schedule(now, ring, child, AlarmKind::Ring);
        self.emit(Event::CallStarted { id });
        Ok(child)
    }

    /// 202, and the first NOTIFY (RFC 3515 §2.4.2, §2.4.4).
    pub(crate) fn accept_referral(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        reply: &Reply<'_, '_>,
        child: CallKey,
    ) {
        let event = event_of(reply.request);
        if let Some(call) = self.call_mut(key) {
            call.referral = Some(Box::new(Referral {
                child: Some(child),
                passed: None,
                referrer: side,
                gone: false,
                event,
            }));
        }
        self.confirm_referral(now, key, side, reply);
    }

    /// The 202 to a REFER whose referral stands in the call, and the first NOTIFY.
    pub(crate) fn confirm_referral(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        reply: &Reply<'_, '_>,
    ) {
        let Some(call) = self.call(key) else { return };
        let quiet = call.referral.as_ref().is_some_and(|it| it.event.is_none());
        let (plan, flow) = (Arc::clone(&call.plan), call.leg(side).flow);
        let peer = self
            .call(key)
            .and_then(|call| plan.peer(call.leg(side).peer));
        let ours = our_address(&plan, &flow).zip(peer);
        let ours = ours.map(|(ours, peer)| OurName::new(peer, ours));
        self.respond_with(now, reply, 202, None, |writer: &mut MessageWriter<'_>| {
            if let Some(ours) = ours {
                writer.header(HeaderName::Contact, contact(ours, flow.transport));
            }
            if quiet {
                writer.raw_header(b"Refer-Sub", b"false");
            }
        });
        self.notify_referrer(now, key, 100);
    }

    /// Tells the referrer of `key` how the transfer stands. A final status ends the subscription.
    pub(crate) fn notify_referrer(&mut self, now: Instant, key: CallKey, status: u16) {
        let Some(referral) = self.call(key).and_then(|call| call.referral.as_ref()) else {
            return;
        };
        let (side, Some(event), false) = (referral.referrer, &referral.event, referral.gone) else {
            return;
        };
        let code = StatusCode::of(status);
        let body = format!("SIP/2.0 {status} {}\r\n", code.default_reason());
        let state = match code.is_provisional() {
            true => format!("active;expires={SUBSCRIPTION_SECONDS}"),
            false => "terminated;reason=noresource".to_owned(),
        };
        let event = event.clone();
        let more = [
            (HeaderName::Event, event.as_str()),
            (HeaderName::SubscriptionState, state.as_str()),
        ];
        let content = InDialog {
            more: &more,
            body: Some((b"message/sipfrag;version=2.0", body.as_bytes())),
            ..InDialog::default()
        };
        self.send_in_dialog(now, key, side, Method::Notify, content);
    }

    /// The target's answer to our INVITE.
    pub(crate) fn on_target_response(
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
            if self.take_provisional(now, key, message) != Provisional::Ignored
                && status.raw() >= 180
            {
                let at = self.unix(now);
                if let Some(call) = self.call_mut(key) {
                    call.facts.ringing.get_or_insert(at);
                }
                if let Some(parent) = self.parent_of(key) {
                    self.notify_referrer(now, parent, 180);
                }
            }
            return;
        }
        if !status.is_success() {
            return self.fail_transfer(now, key, status.raw());
        }
        let cseq = message.cseq().map_or(1, |cseq| cseq.number);
        if !self.confirm_dialog(key, Side::B, message) {
            return self.fail_transfer(now, key, 502);
        }
        self.learn_timer(now, key, Side::B, message);
        self.send_ack(now, key, Side::B, (client, cseq), None);
        self.join_target(now, key, message);
    }

    /// The target said no: the referrer is told, and its call goes on.
    pub(crate) fn fail_transfer(&mut self, now: Instant, key: CallKey, status: u16) {
        if let Some(call) = self.call_mut(key) {
            call.leg_mut(Side::B).status = Some(status);
        }
        self.record(now, key, status, EndedBy::Callee);
        self.on_transfer_over(now, key, status);
        self.discard(key);
    }

    /// The call to the target is over unanswered: the referrer is told; if it is gone, nobody is
    /// left for the transferred side.
    pub(crate) fn on_transfer_over(&mut self, now: Instant, key: CallKey, status: u16) {
        let Some(parent) = self.parent_of(key) else {
            return;
        };
        self.notify_referrer(now, parent, status);
        let referral = self.call_mut(parent).and_then(|call| call.referral.take());
        if let Some(referral) = referral.filter(|referral| referral.gone) {
            let gone = Some(referral.referrer);
            self.end_call_from(now, parent, gone, EndedBy::Edge, None);
        }
    }

    /// The call in which this one was asked for, while it waits for it.
    pub(crate) fn parent_of(&self, key: CallKey) -> Option<CallKey> {
        let parent = self.call(key)?.transfer.as_ref()?.parent?;
        let referral = self.call(parent)?.referral.as_ref()?;
        (referral.child == Some(key)).then_some(parent)
    }

    /// The call ends while a transfer out of it is open: that is given up. Returns the side that
    /// has hung up already.
    pub(crate) fn drop_referral(&mut self, now: Instant, key: CallKey) -> Option<Side> {
        let referral = self.call_mut(key)?.referral.take()?;
        if let Some(child) = referral.child {
            self.end_call(now, child, EndedBy::Caller, None);
        }
        referral.gone.then_some(referral.referrer)
    }

    /// BYE of whoever asked for a transfer: the other side waits for the target. Whether it was.
    pub(crate) fn on_bye_of_referrer(&mut self, key: CallKey, side: Side) -> bool {
        let referral = self.call_mut(key).and_then(|call| call.referral.as_mut());
        // Where the far side makes the call itself nobody waits for anything.
        let waits = |it: &&mut Box<Referral>| it.referrer == side && it.child.is_some();
        let Some(referral) = referral.filter(waits) else {
            return false;
        };
        referral.gone = true;
        true
    }
}

/// The Event of the NOTIFYs about a REFER; none if it wants none (RFC 4488).
pub(crate) fn event_of(request: &Message<'_>) -> Option<String> {
    let quiet = request.fields().any(|field| {
        field.raw_name.eq_ignore_ascii_case(b"Refer-Sub")
            && field.value.trim_ascii().eq_ignore_ascii_case(b"false")
    });
    let number = request.cseq().map_or(0, |cseq| cseq.number);
    (!quiet).then(|| format!("refer;id={number}"))
}

/// How long the subscription that a REFER makes is said to last (RFC 3515 §2.4.4).
const SUBSCRIPTION_SECONDS: u32 = 300;

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_sip::Index;

    /// Call-ID, to-tag and from-tag.
    type Named = (&'static str, &'static str, &'static str);

    #[track_caller]
    fn check(refer_to: &str, expected: Option<(&str, Option<Named>)>) {
        let text = format!("REFER sip:a@b SIP/2.0\r\nRefer-To: {refer_to}\r\n\r\n");
        let mut index = Index::default();
        let message = index.parse(text.as_bytes()).unwrap();
        let target = ReferTo::read(&message);
        assert_eq!(target.is_some(), expected.is_some(), "{refer_to}");
        let (Some(target), Some((user, replaces))) = (target, expected) else {
            return;
        };
        assert_eq!(target.user, user);
        let replaces = replaces.map(|(call_id, to, from)| Replaces {
            call_id: call_id.into(),
            to_tag: to.into(),
            from_tag: from.into(),
            early_only: false,
        });
        assert_eq!(target.replaces, replaces);
    }

    #[test]
    fn refer_to_is_a_number_or_a_call_rfc3515_2_1_rfc3891_6_1() {
        check("<sip:+15550001111@192.0.2.2>", Some(("+15550001111", None)));
        check("sip:7001@192.0.2.2", Some(("7001", None)));
        let replaces = "<sip:7001@192.0.2.2?Replaces=abc%40host%3Bto-tag%3D12%3Bfrom-tag%3D34>";
        check(replaces, Some(("7001", Some(("abc@host", "12", "34")))));
        check("<sip:7001@192.0.2.2?Replaces=abc%3Bto-tag%3D12>", None);
        check("<sip:7001@192.0.2.2;method=BYE>", None);
        check("<sip:192.0.2.2>", None);
        check("<sip:1@b>, <sip:2@b>", None);
    }
}

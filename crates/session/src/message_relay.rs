//! MESSAGE (RFC 3428): short texts between peers whose policy has `messages`, by the routes of
//! calls. Each is a request of our own, under our own names; the far side's answer goes back.

use ringfence_base::Instant;
use ringfence_sip::write::MessageWriter;
use ringfence_sip::{HeaderName, Message, Method};

use crate::access::Candidates;
use crate::call::{CallKey, Phase, Side};
use crate::core::Core;
use crate::diversion::Diversions;
use crate::identity::{self, Wording};
use crate::incoming::Reply;
use crate::info::is_text;
use crate::numbering;
use crate::outgoing::{InDialog, Invite, MAX_FORWARDS, our_address};
use crate::refusal::RefusalReason;
use crate::registrar::{Caller, from_phone};
use crate::relay::{Onward, Purpose, Relay};
use crate::responses::status_across;
use crate::routing::route;
use crate::setup::forbidden_of;

/// Longest text that is carried, in bytes: RFC 3428 §8 wants whole messages below 1,300.
const TEXT_MAX: usize = 1_000;
impl Core {
    /// Whether a MESSAGE outside of calls is carried for any of these peers.
    pub(crate) fn carries_messages(&self, candidates: &Candidates) -> bool {
        let mut peers = candidates.iter().filter_map(|id| self.plan.peer(*id));
        peers.any(|peer| peer.methods.messages)
    }

    /// A MESSAGE outside of calls, of a peer or of a phone that proved who it is.
    pub(crate) fn on_lone_message(
        &mut self,
        now: Instant,
        reply: &Reply<'_, '_>,
        candidates: &Candidates,
        caller: Option<Caller>,
    ) {
        if let Err(status) = self.relay_message(now, reply, candidates, caller) {
            self.refuse(reply.flow, RefusalReason::Method);
            self.respond(now, reply, status);
        }
    }

    fn relay_message(
        &mut self,
        now: Instant,
        reply: &Reply<'_, '_>,
        candidates: &Candidates,
        caller: Option<Caller>,
    ) -> Result<(), u16> {
        let message = reply.request;
        let plan = std::sync::Arc::clone(&self.plan);
        check(message)?;
        if message.max_forwards().is_ok_and(|hops| hops == Some(0)) {
            return Err(483);
        }
        let called = numbering::called_of(message).ok_or(404u16)?;
        let routed = match caller {
            Some(caller) => from_phone(&plan, caller, &called),
            None => route(&plan, candidates, &called),
        };
        let mut route = routed.map_err(|refused| refused.status)?;
        if route.callee.is_some() {
            let target = self.target_of(now, &route, message).ok_or(480u16)?;
            route.target = Some(Box::new(target));
        }
        let identity = identity::identify(&plan, &route, message).map_err(|_| 403u16)?;
        let way = self.ways(now, &plan, &route).first().copied();
        let way = way.ok_or(503u16)?;
        route.go_to(&plan, way.peer);
        let (Some(ingress), Some(egress)) = (plan.peer(route.ingress), plan.peer(way.peer)) else {
            return Err(404);
        };
        if !ingress.methods.messages || !egress.methods.messages {
            return Err(405);
        }
        let rate = |peer: &crate::plan::Peer| peer.usage.take_rate(now, peer.calls_per_second);
        if !self.has_room_for(&Purpose::Message) || !rate(ingress) || !rate(egress) {
            return Err(503);
        }
        let target = route.target.as_deref();
        let flow = target.map_or(egress.flow_to(way.address), |target| target.flow);
        let ours = our_address(&plan, &flow).ok_or(503u16)?;
        let site = plan.site(route.site);
        let numbering = site.and_then(|site| site.policy.numbering);
        let client = self.transactions.reserve_client().map_err(|_| 503u16)?;
        let hops = message
            .max_forwards()
            .ok()
            .flatten()
            .unwrap_or(MAX_FORWARDS);
        let invite = Invite {
            peer: egress,
            ours,
            wording: Wording::new(egress, numbering, &route.called, &identity),
            target,
            display: None,
            tag: self.cookies.new_tag(&mut *self.entropy),
            call_id: self.cookies.new_call_id(&mut *self.entropy),
            branch: self.transactions.branch(client),
            max_forwards: hops.min(MAX_FORWARDS).saturating_sub(1),
            reliable: false,
            signatures: Vec::new(),
            referred_by: None,
            body: None,
            diversions: Diversions::default(),
            location: None,
            numbering,
        };
        let mut out = Vec::with_capacity(512 + message.body().len());
        let mut writer = MessageWriter::request(&mut out, Method::Message, invite.request_uri());
        writer.via(flow.transport, invite.name(), invite.branch, true);
        let path = target.and_then(|target| target.path.as_deref());
        let route = path.map(str::to_owned).or_else(|| egress.service_route());
        if let Some(route) = route {
            writer.header(HeaderName::Route, route);
        }
        writer.header_fmt(
            HeaderName::MaxForwards,
            format_args!("{}", invite.max_forwards),
        );
        writer.header_fmt(
            HeaderName::From,
            format_args!("{};tag={}", invite.from(), invite.tag),
        );
        writer.header(HeaderName::To, invite.to());
        writer.header(HeaderName::CallId, invite.call_id);
        writer.header(HeaderName::CSeq, "1 MESSAGE");
        writer.body(TEXT, message.body());
        let onward = Onward {
            plan: &plan,
            peer: egress,
            flow,
            client,
            bytes: out.into(),
        };
        self.relay(now, Some(reply), onward, Purpose::Message);
        Ok(())
    }

    /// The far side's answer to a MESSAGE that was sent on. If there is none, the sender's own timer
    /// has run as well (RFC 4320 §4.2).
    pub(crate) fn on_message_answer(
        &mut self,
        now: Instant,
        relay: &Relay,
        answer: Option<&Message<'_>>,
    ) {
        let Some(status) = answer.and_then(|answer| answer.status()) else {
            return;
        };
        let status = match status.raw() {
            accepted @ 200..=299 => accepted,
            other => refusal_across(other),
        };
        self.answer_relay(now, relay, status, |_| {});
    }

    /// A MESSAGE inside a call: carried to the other side.
    pub(crate) fn on_message_in_call(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        reply: &Reply<'_, '_>,
    ) {
        let Some(call) = self.call(key).filter(|call| call.phase == Phase::Up) else {
            return self.respond(now, reply, 481);
        };
        let allowed = Side::BOTH
            .into_iter()
            .all(|side| call.peer(side).is_some_and(|peer| peer.methods.messages));
        let hidden = !forbidden_of(call, side).occurs_in(reply.request.body());
        let status = match check(reply.request) {
            _ if !allowed => 405,
            Err(status) => status,
            Ok(()) if !hidden => 403,
            Ok(()) => {
                let content = InDialog {
                    body: Some((TEXT.as_bytes(), reply.request.body())),
                    ..InDialog::default()
                };
                let other = side.other();
                match self.send_in_dialog(now, key, other, Method::Message, content) {
                    // It is ours to deliver from here on (RFC 3428 §7).
                    Some(_) => 202,
                    None => 503,
                }
            }
        };
        self.respond(now, reply, status);
    }
}

/// The status of a refusal outside of calls, as the other side is told.
pub(crate) const fn refusal_across(status: u16) -> u16 {
    match status {
        // Our own dialog trouble is not the sender's; never 408 (RFC 4320 §4.2).
        408 | 481 => 480,
        other => status_across(other),
    }
}

/// The one kind of text that is carried.
const TEXT: &str = "text/plain;charset=UTF-8";

/// What a MESSAGE must be to be carried.
fn check(message: &Message<'_>) -> Result<(), u16> {
    let content_type = message.header(HeaderName::ContentType).unwrap_or_default();
    let media_type = content_type.split(|&byte| byte == b';').next();
    let media_type = media_type.unwrap_or_default().trim_ascii();
    if !media_type.eq_ignore_ascii_case(b"text/plain") || !is_text(message.body()) {
        return Err(415);
    }
    if message.body().len() > TEXT_MAX {
        return Err(413);
    }
    Ok(())
}

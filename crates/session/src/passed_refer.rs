//! `transfer = "pass"`: a REFER to a number goes to the other side of the call, which makes the new
//! call itself (RFC 3515).
//!
//! The number is one that whoever asks for the transfer may call: the same routes, dial plan and
//! money hold as for a call of its own, because what the far side does with it is paid for by the
//! same business. What crosses is the number, under the far side's own host, and how the transfer
//! goes on, as a status. Handled at the edge all the same: a transfer to another call, a number that
//! the far side cannot reach, and emergency numbers.

use std::sync::Arc;

use bytes::Bytes;
use ringfence_base::Instant;
use ringfence_dialog::{ClientId, ServerId};
use ringfence_sip::{HeaderName, Index, Message, Method};

use crate::admission::admit;
use crate::call::{CallKey, Side};
use crate::cdr::EndedBy;
use crate::core::Core;
use crate::identity::{self, Wording};
use crate::incoming::Reply;
use crate::message_relay::refusal_across;
use crate::outgoing::{InDialog, OurName, contact, our_address};
use crate::plan::PeerKind;
use crate::registrar::from_phone;
use crate::routing::route;
use crate::spend::{Asking, Pin};
use crate::transfer::{Referral, event_of, peer_in};

/// A REFER that was passed on.
#[derive(Debug)]
pub(crate) struct PassedRefer {
    client: ClientId,
    /// What the referrer waits at, until the far side has answered.
    waits: Option<(ServerId, Bytes)>,
}

impl Referral {
    /// The REFER `old` went again, with credentials, as `new`.
    pub(crate) fn went_again(&mut self, old: ClientId, new: ClientId) {
        let passed = self.passed.as_mut();
        if let Some(passed) = passed.filter(|passed| passed.client == old) {
            passed.client = new;
        }
    }
}

/// What a far side that ends the subscription without a result is told to have come to.
const NO_RESULT: u16 = 480;

impl Core {
    /// Blind: the other side is asked to call `user`.
    pub(crate) fn pass_refer(
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
        let far = peer_in(&plan, call, side.other()).ok_or(403u16)?;
        let far = plan.peer(far).ok_or(403u16)?;
        let (id, phone) = (call.id, call.phone_in(&plan, side));
        let flow = call.leg(side.other()).flow;
        let routed = match phone {
            Some(phone) => from_phone(&plan, phone, user),
            None => route(&plan, &[referrer], user),
        };
        let mut route = routed.map_err(|refused| refused.status)?;
        let towards = plan.peer(route.egress).map(|peer| peer.kind);
        let reaches = far.kind != PeerKind::Trunk || towards == Some(PeerKind::Trunk);
        if route.emergency || !reaches {
            return self.refer_to_number(now, key, side, reply, user);
        }
        let identity = identity::identify(&plan, &route, reply.request).map_err(|_| 403u16)?;
        if route.callee.is_none() {
            let ways = self.ways(now, &plan, &route);
            let admitted = admit(&plan, &route, &ways, now);
            let (mut admission, _) = admitted.map_err(|refused| refused.status)?;
            let asking = Asking {
                id,
                phone,
                request: reply.request,
                pin: Pin::Absent,
            };
            // The channel goes back with the admission: the far side has lines of its own.
            self.may_spend(now, &mut route, &identity, &asking, &mut admission)
                .map_err(|_| 603u16)?;
        }
        let site = plan.site(route.site);
        let numbering = site.and_then(|site| site.policy.numbering);
        let wording = Wording::new(far, numbering, &route.called, &identity);
        let ours = our_address(&plan, &flow).ok_or(503u16)?;
        let name = OurName::new(far, ours);
        let called = &wording.called;
        let refer_to = format!("<sip:{called}@{}{}>", far.host, wording.parameter(called));
        let place = contact(name, flow.transport);
        let referred_by = match (
            reply.request.header(HeaderName::ReferredBy),
            &wording.calling,
        ) {
            (Some(_), Some(user)) => Some(format!("<sip:{user}@{}>", name.host())),
            _ => None,
        };
        let mut more = vec![
            (HeaderName::Contact, place.as_str()),
            (HeaderName::ReferTo, refer_to.as_str()),
        ];
        if let Some(referred_by) = &referred_by {
            more.push((HeaderName::ReferredBy, referred_by));
        }
        let content = InDialog {
            more: &more,
            ..InDialog::default()
        };
        let sent = self.send_in_dialog(now, key, side.other(), Method::Refer, content);
        let client = sent.ok_or(503u16)?;
        let request = Bytes::copy_from_slice(reply.request.bytes());
        if let Some(call) = self.call_mut(key) {
            call.referral = Some(Box::new(Referral {
                child: None,
                passed: Some(PassedRefer {
                    client,
                    waits: Some((reply.server, request)),
                }),
                referrer: side,
                gone: false,
                event: event_of(reply.request),
            }));
        }
        Ok(())
    }

    /// A response that may be to a REFER that was passed on. Whether it was.
    pub(crate) fn on_refer_response(
        &mut self,
        now: Instant,
        key: CallKey,
        message: &Message<'_>,
        client: ClientId,
    ) -> bool {
        let Some((side, waits)) = self.take_waiting_refer(key, client, message) else {
            return self.has_passed(key, client);
        };
        let status = message.status().map_or(500, |status| status.raw());
        let (server, request) = waits;
        let mut index = Index::default();
        let (Ok(request), Some(call)) = (index.parse(&request), self.call_mut(key)) else {
            return true;
        };
        let flow = call.leg(side).flow;
        let accepted = (200..300).contains(&status);
        if !accepted {
            call.referral = None;
        }
        let reply = Reply::new(server, &request, flow).of_leg(key, side);
        match accepted {
            true => self.confirm_referral(now, key, side, &reply),
            false => self.respond(now, &reply, refusal_across(status)),
        }
        if matches!(status, 408 | 481) {
            // RFC 3261 §12.2.1.2: the far side has no such dialog any more.
            self.end_call(now, key, EndedBy::Edge, None);
        }
        true
    }

    /// No answer came to a REFER that was passed on: the referrer's own timer has run as well
    /// (RFC 4320 §4.2). Whether it was one.
    pub(crate) fn on_refer_failed(&mut self, key: CallKey, client: ClientId) -> bool {
        let passed = self.has_passed(key, client);
        if let Some(call) = self.call_mut(key).filter(|_| passed) {
            call.referral = None;
        }
        passed
    }

    /// A NOTIFY inside a call: how a transfer goes on that the far side makes. Any other has no
    /// subscription (RFC 6665 §4.1.3).
    pub(crate) fn on_notify_of_refer(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        reply: &Reply<'_, '_>,
    ) {
        let message = reply.request;
        let event = message.header(HeaderName::Event).unwrap_or_default();
        let name = event.split(|&byte| byte == b';').next().unwrap_or_default();
        let of_refer = name.trim_ascii().eq_ignore_ascii_case(b"refer");
        let call = self.call(key);
        let referral = call.and_then(|call| call.referral.as_ref());
        let expected = referral.is_some_and(|it| it.passed.is_some() && it.referrer != side);
        if !expected || !of_refer {
            return self.respond(now, reply, if of_refer { 481 } else { 489 });
        }
        let state = message.header(HeaderName::SubscriptionState);
        let over = state.is_some_and(|state| {
            let word = state.split(|&byte| byte == b';').next().unwrap_or_default();
            word.trim_ascii().eq_ignore_ascii_case(b"terminated")
        });
        let status = status_line(message.body());
        self.respond(now, reply, 200);
        match status {
            Some(status) if status >= 200 => self.end_passed(now, key, status),
            _ if over => self.end_passed(now, key, NO_RESULT),
            Some(status) if status > 100 => self.notify_referrer(now, key, status),
            _ => {}
        }
    }

    /// The far side's call to the target was answered, or not.
    fn end_passed(&mut self, now: Instant, key: CallKey, status: u16) {
        self.notify_referrer(now, key, status);
        if let Some(call) = self.call_mut(key) {
            call.referral = None;
        }
    }

    fn has_passed(&self, key: CallKey, client: ClientId) -> bool {
        let referral = self.call(key).and_then(|call| call.referral.as_ref());
        let passed = referral.and_then(|referral| referral.passed.as_ref());
        passed.is_some_and(|passed| passed.client == client)
    }

    /// The referrer that waits for a final answer to this REFER.
    fn take_waiting_refer(
        &mut self,
        key: CallKey,
        client: ClientId,
        message: &Message<'_>,
    ) -> Option<(Side, (ServerId, Bytes))> {
        let is_final = message.status().is_some_and(|it| !it.is_provisional());
        let referral = self.call_mut(key)?.referral.as_mut()?;
        let passed = referral.passed.as_mut()?;
        if !is_final || passed.client != client {
            return None;
        }
        Some((referral.referrer, passed.waits.take()?))
    }
}

/// The status that a fragment of a message begins with (RFC 3420).
fn status_line(body: &[u8]) -> Option<u16> {
    let rest = body.strip_prefix(b"SIP/2.0 ")?;
    let digits = std::str::from_utf8(rest.get(..3)?).ok()?;
    digits
        .parse()
        .ok()
        .filter(|status| (100..700).contains(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_begins_with_a_status_rfc3420_2_1() {
        assert_eq!(status_line(b"SIP/2.0 180 Ringing\r\n"), Some(180));
        for other in [
            "",
            "SIP/2.0 ",
            "SIP/2.0 1",
            "SIP/2.0 999 No",
            "BYE sip:a SIP/2.0",
        ] {
            assert_eq!(status_line(other.as_bytes()), None, "{other}");
        }
    }
}

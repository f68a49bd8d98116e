//! An attended transfer between calls of two workers (RFC 3515, RFC 3891).
//!
//! A leg cannot move to another worker: its tags name the worker that it lives in, and its ports are
//! that worker's. So the worker of the REFER calls the other one, inside the process, with an INVITE
//! that replaces the referrer's leg there. Both calls stay where they are, and the sound passes both.
//!
//! Such messages travel by [`Flow::within`], which no socket can bring in; the REFER has proved who
//! asks, and the Replaces header carries what only the owner of that dialog knows.

use std::sync::Arc;

use ringfence_base::{Flow, Instant};
use ringfence_sip::write::MessageWriter;
use ringfence_sip::{HeaderName, Message, Method};

use crate::access::Candidates;
use crate::call::{Call, CallKey, Leg, Side};
use crate::core::Core;
use crate::incoming::Reply;
use crate::outgoing::{Invite, MAX_FORWARDS, contact};
use crate::plan::{PeerId, SiteId};
use crate::transfer::{Replaces, Target, peer_in};

impl Core {
    /// Whether the dialog that `replaces` names is one of another worker of this process.
    pub(crate) fn is_elsewhere(&self, replaces: &Replaces) -> bool {
        let owner = self.cookies.worker_of_tag(&replaces.to_tag);
        owner.is_some_and(|owner| owner != self.worker)
    }

    /// The referrer's other call is another worker's.
    pub(crate) fn refer_across(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        reply: &Reply<'_, '_>,
        replaces: &Replaces,
    ) -> Result<(), u16> {
        let plan = Arc::clone(&self.plan);
        let call = self.call(key).ok_or(481u16)?;
        let near = side.other();
        let referrer = peer_in(&plan, call, side).ok_or(403u16)?;
        let transferee = peer_in(&plan, call, near).ok_or(403u16)?;
        let offer = call.media.transferable(near).ok_or(488u16)?;
        let key_of = |call: &Call| call.plan.site(call.route.site).map(|it| it.key.clone());
        let site = key_of(call).and_then(|key| plan.sites.iter().position(|it| it.key == key));
        let mut route = call.route.clone();
        route.site = SiteId::new(site.ok_or(403u16)? as u16);
        (route.ingress, route.egress) = (transferee, referrer);
        (route.target, route.callee) = (None, None);
        route.rule.push_str(" (transfer)");
        let identity = call.identity.clone();
        let (listener, transport) = (call.leg(side).flow.listener, call.leg(side).flow.transport);
        let flow = call.leg(near).flow;
        let leg = Leg::new(transferee, flow, self.cookies.new_tag(&mut *self.entropy));
        let target = Target::Replacing(replaces);
        let way = (Flow::within(listener, transport), target);
        let child = self.call_target(now, (key, side), reply, leg, route, identity, way, &offer)?;
        self.accept_referral(now, key, side, reply, child);
        Ok(())
    }

    /// A message of another worker.
    pub(crate) fn on_message_within(&mut self, now: Instant, flow: Flow, message: &Message<'_>) {
        // Whom the dialog is with does not matter: it is with ourselves.
        let peers = (0..self.plan.peers.len() as u16).map(PeerId::new);
        let candidates: Candidates = peers
            .filter(|id| {
                let peer = self.plan.peer(*id);
                peer.is_some_and(|peer| peer.listener == flow.listener)
            })
            .collect();
        match message.method() {
            Some(method) => self.on_request(now, flow, message, method, &candidates),
            None => self.on_response_message(now, flow, message, &candidates),
        }
    }
}

impl Invite<'_> {
    /// Writes an INVITE to another worker, which takes the place of the dialog that it names. The
    /// other worker shows nothing of it to anybody but the description.
    pub(crate) fn write_within(&self, out: &mut Vec<u8>, flow: &Flow, replaces: &Replaces) {
        let host = self.name().host();
        let mut writer = MessageWriter::request(out, Method::Invite, format!("sip:{host}"));
        writer.via(flow.transport, self.name(), self.branch, true);
        writer.header_fmt(HeaderName::MaxForwards, format_args!("{MAX_FORWARDS}"));
        writer.header_fmt(
            HeaderName::From,
            format_args!("<sip:{host}>;tag={}", self.tag),
        );
        writer.header_fmt(HeaderName::To, format_args!("<sip:{host}>"));
        writer.header(HeaderName::CallId, self.call_id);
        writer.header(HeaderName::CSeq, "1 INVITE");
        writer.header(HeaderName::Contact, contact(self.name(), flow.transport));
        writer.header(HeaderName::Replaces, replaces.to_bytes());
        match self.body {
            Some(body) => writer.body("application/sdp", body),
            None => writer.finish(),
        }
    }
}

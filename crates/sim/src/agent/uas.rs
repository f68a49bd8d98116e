//! The callee: what it answers to INVITE, CANCEL, BYE and re-INVITE (RFC 3261 §13.3, §14.2, §15.1.2).

use std::time::Duration;

use bytes::Bytes;
use ringfence_base::{Flow, Instant};
use ringfence_dialog::dialog::Dialog;
use ringfence_dialog::{Owner, ServerId, Tag};
use ringfence_sip::write::response_to;
use ringfence_sip::{HeaderName, Index, Message, StatusCode};

use crate::agent::script::{Action, Decision, Provisional};
use crate::agent::uac::finish;
use crate::agent::{Agent, Datagram, Fault, KIND_BITS, LegState, call_of};

impl Agent {
    /// A call comes in.
    pub(crate) fn on_invite(
        &mut self,
        now: Instant,
        flow: Flow,
        server: ServerId,
        message: &Message<'_>,
    ) {
        let dialled = |leg: &&mut crate::agent::Leg| {
            let number = leg.script.number(leg.call);
            let uri = message.request_uri().unwrap_or_default();
            !leg.is_caller && String::from_utf8_lossy(uri).contains(&number)
        };
        let Some(leg) = self.legs.iter_mut().find(dialled) else {
            self.faults.push(Fault::UnknownNumber);
            return self.reply(now, flow, server, message, 404);
        };
        let call = leg.call;
        if leg.state != LegState::Idle {
            self.faults.push(Fault::SecondInvite { call });
            return self.reply(now, flow, server, message, 482);
        }
        let tag = self.cookies.new_tag(&mut self.entropy);
        leg.state = LegState::Setup;
        leg.call_id = message.call_id().unwrap_or_default().to_vec();
        leg.invite = Bytes::copy_from_slice(message.bytes());
        leg.server = Some((server, flow, tag));
        let owner = Owner((call as u64) << KIND_BITS);
        self.transactions.set_owner(server, owner);
        if leg.script.decision == Decision::Dead {
            leg.gone = true;
            return;
        }
        let ring = leg.script.ring;
        if leg.script.provisional != Provisional::None {
            self.tasks
                .schedule(now + RING_AFTER, (call, Action::Provisional));
        }
        if leg.script.decision == Decision::Ring {
            self.respond(now, call, 180, None);
        } else {
            self.tasks.schedule(now + ring, (call, Action::Answer));
        }
        if !message.body().is_empty() {
            self.learn(call, message.body(), false);
        }
    }

    /// The provisional answer.
    pub(crate) fn ring(&mut self, now: Instant, call: usize) {
        let leg = &self.legs[call];
        if leg.script.provisional == Provisional::EarlyMedia && leg.remote.is_some() {
            let body = self.description(call, "sendrecv");
            if self.respond(now, call, 183, Some(&body)) {
                self.begin_audio(now, call);
            }
        } else {
            self.respond(now, call, 180, None);
        }
    }

    /// The final answer.
    pub(crate) fn answer(&mut self, now: Instant, call: usize) {
        match self.legs[call].script.decision {
            Decision::Busy => self.refuse(now, call, 486),
            Decision::Decline => self.refuse(now, call, 603),
            Decision::Answer | Decision::Fork => self.accept(now, call),
            Decision::Dead | Decision::Ring => {}
        }
    }

    /// CANCEL: 200 for itself, 487 for the INVITE unless it is answered (§9.2).
    pub(crate) fn on_cancel(
        &mut self,
        now: Instant,
        flow: Flow,
        cancel: ServerId,
        invite: Option<(ServerId, Owner)>,
        message: &Message<'_>,
    ) {
        let status = if invite.is_some() { 200 } else { 481 };
        self.reply(now, flow, cancel, message, status);
        if let Some((_, owner)) = invite {
            self.refuse(now, call_of(owner), 487);
        }
    }

    /// The ACK of a 2xx: the call is up.
    pub(crate) fn on_ack(&mut self, now: Instant, message: &Message<'_>) {
        let Some(call) = self.find(message) else {
            return;
        };
        let Some(cseq) = message.cseq().ok().map(|cseq| cseq.number) else {
            return;
        };
        let leg = &mut self.legs[call];
        leg.acknowledged.push(tag_of(message));
        if let Some(server) = leg.re_invite_of(cseq) {
            return self.transactions.acknowledged(server);
        }
        let Some((server, _, tag)) = leg.server else {
            return;
        };
        // Of two phones that answered, the other one waits on for its own ACK.
        if is_for(message, &tag) {
            self.transactions.acknowledged(server);
        }
        if leg.state != LegState::Setup {
            return;
        }
        if !message.body().is_empty() {
            self.learn(call, message.body(), true);
        }
        self.begin_talk(now, call);
    }

    /// BYE: 200, and the phone that it was for is done.
    pub(crate) fn on_bye(
        &mut self,
        now: Instant,
        flow: Flow,
        server: ServerId,
        message: &Message<'_>,
    ) {
        let Some(call) = self.find(message) else {
            return self.reply(now, flow, server, message, 481);
        };
        let leg = &mut self.legs[call];
        if let Some((server, ..)) = leg.server.filter(|(.., tag)| is_for(message, tag)) {
            self.transactions.acknowledged(server);
        }
        leg.ended.push(tag_of(message));
        let goes_on = |dialog: &Dialog| {
            let is_in = |tags: &[Vec<u8>]| tags.iter().any(|tag| tag == dialog.local_tag());
            is_in(&leg.acknowledged) && !is_in(&leg.ended)
        };
        if !leg.dialogs.iter().any(goes_on) {
            leg.state = LegState::Over;
        }
        self.reply(now, flow, server, message, 200);
    }

    /// Hold, resume: agreed to, unless one of our own is open (§14.2).
    pub(crate) fn on_re_invite(
        &mut self,
        now: Instant,
        flow: Flow,
        server: ServerId,
        message: &Message<'_>,
    ) {
        let Some(call) = self.find(message) else {
            return self.reply(now, flow, server, message, 481);
        };
        let leg = &mut self.legs[call];
        let offer = SessionDirection::of(message.body());
        if leg.re_invites_open > 0 {
            return self.reply(now, flow, server, message, 491);
        }
        if leg.state == LegState::Over {
            return self.reply(now, flow, server, message, 481);
        }
        if let Some(dialog) = leg.dialogs.first_mut() {
            // A target that cannot be read stays as it was.
            let _ = dialog.refresh_target(message);
        }
        leg.on_hold = offer == SessionDirection::Held;
        leg.re_invites_answered
            .push((server, message.cseq().map_or(0, |cseq| cseq.number)));
        self.transactions
            .set_owner(server, Owner((call as u64) << KIND_BITS));
        if !message.body().is_empty() {
            self.learn(call, message.body(), false);
        }
        let body = self.description(call, offer.answer());
        let code = StatusCode::of(200);
        let mut bytes = Vec::new();
        let mut writer = response_to(&mut bytes, message, flow.remote, code, "", None);
        self.sign(&mut writer, HeaderName::Server);
        finish(writer, Some(&body));
        self.transactions.respond(now, server, code, bytes.into());
    }

    fn refuse(&mut self, now: Instant, call: usize, status: u16) {
        if self.respond(now, call, status, None) {
            self.legs[call].state = LegState::Over;
        }
    }

    fn accept(&mut self, now: Instant, call: usize) {
        let body = self.description(call, "sendrecv");
        if !self.respond(now, call, 200, Some(&body)) {
            return;
        }
        let Some((_, flow, tag)) = self.legs[call].server else {
            return;
        };
        self.add_dialog(call, &tag);
        if self.legs[call].script.decision == Decision::Fork {
            let tag = self.cookies.new_tag(&mut self.entropy);
            self.add_dialog(call, &tag);
            let bytes = self.response(call, 200, &flow, &tag, Some(&body));
            self.out.push_back(Datagram {
                from: self.identity.signalling,
                to: flow.remote,
                bytes,
            });
        }
    }

    fn add_dialog(&mut self, call: usize, tag: &Tag) {
        let mut index = Index::default();
        let leg = &mut self.legs[call];
        let dialog = index
            .parse(&leg.invite)
            .ok()
            .and_then(|request| Dialog::uas(&request, tag).ok());
        if let Some(mut dialog) = dialog {
            dialog.confirm();
            leg.dialogs.push(dialog);
        }
    }

    /// Answers the INVITE, unless it has its final answer: then false.
    fn respond(&mut self, now: Instant, call: usize, status: u16, body: Option<&str>) -> bool {
        let Some((server, flow, tag)) = self.legs[call].server else {
            return false;
        };
        if self.transactions.is_answered(server) {
            return false;
        }
        let bytes = self.response(call, status, &flow, &tag, body);
        self.transactions
            .respond(now, server, StatusCode::of(status), bytes);
        true
    }

    fn response(
        &self,
        call: usize,
        status: u16,
        flow: &Flow,
        tag: &Tag,
        body: Option<&str>,
    ) -> Bytes {
        let mut index = Index::default();
        let Ok(request) = index.parse(&self.legs[call].invite) else {
            return Bytes::new();
        };
        let mut bytes = Vec::new();
        let reason = format!("As {} says", self.identity.mark);
        let code = StatusCode::of(status);
        let tag = Some(tag.as_bytes());
        let mut writer = response_to(&mut bytes, &request, flow.remote, code, &reason, tag);
        self.sign(&mut writer, HeaderName::Server);
        finish(writer, body);
        bytes.into()
    }

    /// The call of a request inside a dialog.
    fn find(&self, message: &Message<'_>) -> Option<usize> {
        let of = |dialog: &Dialog| dialog.matches_request(message);
        self.legs.iter().position(|leg| leg.dialogs.iter().any(of))
    }
}

/// Whether a request is for the phone with this tag.
fn is_for(message: &Message<'_>, tag: &Tag) -> bool {
    tag_of(message) == tag.as_bytes()
}

/// The tag of the one that a request is for.
fn tag_of(message: &Message<'_>) -> Vec<u8> {
    let to = message.to().ok();
    to.and_then(|to| to.tag()).unwrap_or_default().to_vec()
}

/// What an offer asks of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SessionDirection {
    Both,
    Held,
}

impl SessionDirection {
    fn of(body: &[u8]) -> SessionDirection {
        let text = String::from_utf8_lossy(body);
        match text.contains("a=sendonly") || text.contains("a=inactive") {
            true => SessionDirection::Held,
            false => SessionDirection::Both,
        }
    }

    const fn answer(self) -> &'static str {
        match self {
            SessionDirection::Both => "sendrecv",
            SessionDirection::Held => "recvonly",
        }
    }
}

const RING_AFTER: Duration = Duration::from_millis(30);

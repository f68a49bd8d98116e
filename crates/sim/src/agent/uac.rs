//! The caller: INVITE, CANCEL, ACK, and the requests inside a dialog (RFC 3261 §13.2, §14.1, §15).

use std::time::Duration;

use ringfence_base::net::Transport;
use ringfence_base::{Entropy, Flow, Instant, ListenerId};
use ringfence_dialog::dialog::{Dialog, RequestVia};
use ringfence_dialog::{ClientId, Owner, RequestKind};
use ringfence_sip::write::MessageWriter;
use ringfence_sip::{HeaderName, Index, Message, Method};

use crate::agent::script::Action;
use crate::agent::{Agent, KIND_BITS, LegState, call_of};

/// What a client transaction is for; the low bits of its owner.
const INVITE: u64 = 0;
const BYE: u64 = 1;
const HOLD: u64 = 2;
const RESUME: u64 = 3;

impl Agent {
    pub(crate) fn invite(&mut self, now: Instant, call: usize) {
        let Ok(client) = self.transactions.reserve_client() else {
            return;
        };
        let branch = self.transactions.branch(client);
        let (mark, signalling, edge) = (
            self.identity.mark,
            self.identity.signalling,
            self.identity.edge,
        );
        let call_id = format!("{mark}-{call}@{signalling}");
        let number = self.legs[call].script.number(call);
        let offer = (!self.legs[call].script.offerless).then(|| self.description(call, "sendrecv"));
        let mut bytes = Vec::new();
        let uri = format!("sip:{number}@{}", edge.ip());
        let mut writer = MessageWriter::request(&mut bytes, Method::Invite, &uri);
        writer
            .via(Transport::Udp, signalling, branch, true)
            .header(HeaderName::MaxForwards, "70")
            .header_fmt(
                HeaderName::From,
                format_args!("\"Alice\" <sip:+15557654321@{signalling}>;tag={mark}{call}"),
            )
            .header_fmt(HeaderName::To, format_args!("<{uri}>"))
            .header(HeaderName::CallId, &call_id)
            .header(HeaderName::CSeq, "1 INVITE")
            .header(HeaderName::Allow, "INVITE, ACK, BYE, CANCEL, INFO, OPTIONS");
        self.sign(&mut writer, HeaderName::UserAgent);
        finish(writer, offer.as_deref());
        let leg = &mut self.legs[call];
        leg.state = LegState::Setup;
        leg.call_id = call_id.into_bytes();
        leg.invite = bytes.into();
        leg.client = Some(client);
        let invite = leg.invite.clone();
        if let Some(after) = leg.script.cancel {
            self.tasks.schedule(now + after, (call, Action::Cancel));
        }
        self.transactions.send_request(
            now,
            client,
            RequestKind::Invite,
            self.edge_flow(),
            invite,
            owner(call, INVITE),
        );
    }

    pub(crate) fn give_up(&mut self, now: Instant, call: usize) {
        let leg = &mut self.legs[call];
        if let Some(client) = leg.client.filter(|_| leg.state == LegState::Setup) {
            leg.cancelled = true;
            self.transactions.cancel(now, client);
        }
    }

    pub(crate) fn on_response(
        &mut self,
        now: Instant,
        client: ClientId,
        owner: Owner,
        message: &Message<'_>,
    ) {
        let call = call_of(owner);
        let Some(status) = message.status() else {
            return;
        };
        match owner.0 & ((1 << KIND_BITS) - 1) {
            INVITE if status.is_provisional() && message.body().is_empty() => {}
            INVITE if status.is_provisional() => self.learn(call, message.body(), true),
            INVITE => {
                self.legs[call].status = Some(status.raw());
                if status.is_success() {
                    self.on_answer(now, call, client, message);
                } else {
                    self.legs[call].state = LegState::Over;
                }
            }
            kind @ (HOLD | RESUME) if status.is_final() => {
                self.legs[call].re_invites_open -= 1;
                if status.is_success() {
                    self.acknowledge(now, call, client, message, None);
                    self.legs[call].on_hold = kind == HOLD;
                } else if status.raw() == 491 && kind == HOLD {
                    // RFC 3261 §14.1, in a hurry.
                    let wait = Duration::from_millis(50 + self.entropy.below(200));
                    self.tasks.schedule(now + wait, (call, Action::Hold(true)));
                } else if matches!(status.raw(), 408 | 481) {
                    self.hang_up(now, call);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn on_no_response(&mut self, now: Instant, owner: Owner) {
        let call = call_of(owner);
        match owner.0 & ((1 << KIND_BITS) - 1) {
            INVITE => self.legs[call].state = LegState::Over,
            HOLD | RESUME => {
                self.legs[call].re_invites_open -= 1;
                self.hang_up(now, call);
            }
            _ => {}
        }
    }

    fn on_answer(&mut self, now: Instant, call: usize, client: ClientId, message: &Message<'_>) {
        let offerless = self.legs[call].script.offerless;
        if !message.body().is_empty() {
            self.learn(call, message.body(), true);
        }
        let invite = self.legs[call].invite.clone();
        let mut index = Index::default();
        let Ok(request) = index.parse(&invite) else {
            return;
        };
        let Ok(dialog) = Dialog::uac(&request, message) else {
            return;
        };
        self.legs[call].dialogs = vec![dialog];
        let answer = offerless.then(|| self.description(call, "sendrecv"));
        self.acknowledge(now, call, client, message, answer.as_deref());
        self.begin_talk(now, call);
        if self.legs[call].cancelled {
            // The answer was quicker than the CANCEL.
            self.hang_up(now, call);
        }
    }

    /// The ACK for a 2xx.
    fn acknowledge(
        &mut self,
        now: Instant,
        call: usize,
        client: ClientId,
        response: &Message<'_>,
        body: Option<&str>,
    ) {
        let Ok(cseq) = response.cseq() else { return };
        let branch = self.transactions.ack_branch();
        let sent_by = self.identity.signalling;
        let flow = self.edge_flow();
        let Some(dialog) = self.legs[call].dialogs.first_mut() else {
            return;
        };
        // A target that cannot be read stays as it was.
        let _ = dialog.refresh_target(response);
        let via = RequestVia {
            transport: Transport::Udp,
            sent_by: &sent_by,
            branch: &branch,
            rport: true,
        };
        let mut bytes = Vec::new();
        finish(dialog.write_ack(&mut bytes, cseq.number, via, 70), body);
        self.transactions
            .send_ack_2xx(now, client, flow, bytes.into());
    }

    /// Hold or resume.
    pub(crate) fn re_invite(&mut self, now: Instant, call: usize, hold: bool) {
        let leg = &self.legs[call];
        if leg.state != LegState::Up || leg.re_invites_open > 0 {
            return;
        }
        self.legs[call].re_invites_open += 1;
        let body = self.description(call, if hold { "sendonly" } else { "sendrecv" });
        let kind = if hold { HOLD } else { RESUME };
        self.send_in_dialog(now, call, Method::Invite, kind, Some(&body));
    }

    pub(crate) fn send_bye(&mut self, now: Instant, call: usize) {
        self.send_in_dialog(now, call, Method::Bye, BYE, None);
    }

    fn send_in_dialog(
        &mut self,
        now: Instant,
        call: usize,
        method: Method<'_>,
        kind: u64,
        body: Option<&str>,
    ) {
        let Ok(client) = self.transactions.reserve_client() else {
            return;
        };
        let branch = self.transactions.branch(client);
        let sent_by = self.identity.signalling;
        let flow = self.edge_flow();
        let Some(mut dialog) = self.legs[call].dialogs.first().cloned() else {
            self.transactions.release_client(client);
            return;
        };
        let via = RequestVia {
            transport: Transport::Udp,
            sent_by: &sent_by,
            branch: &branch,
            rport: true,
        };
        let mut bytes = Vec::new();
        let mut writer = dialog.write_request(&mut bytes, method, via, 70);
        self.sign(&mut writer, HeaderName::UserAgent);
        finish(writer, body);
        self.legs[call].dialogs[0] = dialog;
        let transaction = match method {
            Method::Invite => RequestKind::Invite,
            _ => RequestKind::NonInvite,
        };
        let owner = owner(call, kind);
        self.transactions
            .send_request(now, client, transaction, flow, bytes.into(), owner);
    }

    fn edge_flow(&self) -> Flow {
        Flow::udp(ListenerId::new(0), self.identity.edge)
    }
}

const fn owner(call: usize, kind: u64) -> Owner {
    Owner((call as u64) << KIND_BITS | kind)
}

pub(crate) fn finish(writer: MessageWriter<'_>, body: Option<&str>) {
    match body {
        Some(body) => writer.body("application/sdp", body),
        None => writer.finish(),
    }
}

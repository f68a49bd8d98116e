//! A 2xx to an INVITE of ours that no call waits for: whoever answered is told that nobody is
//! there, or it would repeat its 2xx and believe in a call (RFC 3261 §13.2.2.4, §15).
//!
//! All that is needed stands in the 2xx itself, whose From, Call-ID and CSeq are ours, and whose
//! branch the transaction layer knew. So it does not matter how long the call has been gone.

use bytes::Bytes;
use ringfence_base::{Flow, Instant};
use ringfence_dialog::dialog::{Dialog, RequestVia};
use ringfence_dialog::{ClientId, Owner, RequestKind};
use ringfence_sip::{HeaderName, Message, Method};

use crate::call::{CallKey, Side, Stage};
use crate::causes;
use crate::core::Core;
use crate::outgoing::{MAX_FORWARDS, our_address};

impl Core {
    /// Acknowledges the 2xx in `message`; with `hang_up`, where it made a dialog that nobody has,
    /// a BYE follows. `owner` is that of the INVITE.
    pub(crate) fn on_unwanted_success(
        &mut self,
        now: Instant,
        flow: Flow,
        message: &Message<'_>,
        (client, owner): (ClientId, Owner),
        hang_up: bool,
    ) {
        // The response names all that its request would.
        let Ok(mut dialog) = Dialog::uac(message, message) else {
            return;
        };
        let (Ok(cseq), Some(ours)) = (message.cseq(), our_address(&self.plan, &flow)) else {
            return;
        };
        if dialog.remote_target().is_empty() {
            return;
        }
        let (key, side) = CallKey::from_owner(owner);
        let mut out = Vec::with_capacity(512);
        let branch = self.transactions.ack_branch();
        let via = |branch| RequestVia {
            transport: flow.transport,
            sent_by: &ours,
            branch,
            rport: true,
        };
        dialog
            .write_ack(&mut out, cseq.number, via(&branch), MAX_FORWARDS)
            .finish();
        self.trace(now, key, (side, true), &flow, &out);
        self.transactions
            .send_ack_2xx(now, client, flow, Bytes::copy_from_slice(&out));
        if !hang_up {
            return;
        }
        let Ok(bye) = self.transactions.reserve_client() else {
            return;
        };
        let branch = self.transactions.branch(bye);
        out.clear();
        let mut writer = dialog.write_request(&mut out, Method::Bye, via(&branch), MAX_FORWARDS);
        let cause = causes::NORMAL_CLEARING;
        writer.header_fmt(HeaderName::Reason, format_args!("Q.850;cause={cause}"));
        writer.finish();
        self.trace(now, key, (side, true), &flow, &out);
        let bytes = Bytes::from(out);
        self.transactions
            .send_request(now, bye, RequestKind::NonInvite, flow, bytes, owner);
    }

    /// A 2xx of another branch of a forked INVITE, while the call is up or long over.
    pub(crate) fn on_another_fork(
        &mut self,
        now: Instant,
        flow: Flow,
        message: &Message<'_>,
        client: ClientId,
        owner: Owner,
    ) {
        let (key, side) = CallKey::from_owner(owner);
        self.current = Some(key);
        self.trace(now, key, (side, false), &flow, message.bytes());
        self.on_unwanted_success(now, flow, message, (client, owner), true);
    }

    /// A 2xx to an INVITE that its call does not wait for, or whose call is gone: acknowledged,
    /// and hung up unless it is of a dialog that the call has, or had (a re-INVITE).
    pub(crate) fn on_orphan_success(
        &mut self,
        now: Instant,
        flow: Flow,
        message: &Message<'_>,
        (client, owner): (ClientId, Owner),
    ) {
        let (key, side) = CallKey::from_owner(owner);
        let hang_up = self.call(key).is_some_and(|call| {
            let dialog = call.leg(side).dialog.as_ref();
            dialog.is_none_or(|dialog| !dialog.matches_response(message))
        });
        self.on_unwanted_success(now, flow, message, (client, owner), hang_up);
    }

    /// A call ends whose far side's 2xx carried an offer and still waits for its ACK: the ACK with
    /// an answer that refuses all of it, as §13.2.2.4 wants before the BYE.
    pub(crate) fn acknowledge_late_offer(&mut self, now: Instant, key: CallKey) {
        let Some(bridge) = self.call_mut(key).and_then(|call| call.bridge.as_mut()) else {
            return;
        };
        let Stage::Answered { late_offer } = &mut bridge.stage else {
            return;
        };
        if !std::mem::take(late_offer) {
            return;
        }
        let ack = (bridge.client, bridge.client_cseq);
        let side: Side = bridge.from.other();
        let refusal = self
            .with_media(now, key, |media, around| media.refuse_offer(around))
            .flatten();
        self.send_ack(now, key, side, ack, refusal.as_deref());
    }
}

//! Reliable provisional responses (RFC 3262), each side of a call on its own.
//!
//! The caller's side: an 18x goes out with an RSeq and is repeated until its PRACK; one at a time,
//! and no 2xx overtakes it (§3). The callee's side: an 18x that requires it gets its PRACK at once,
//! in the early dialog that it makes (§4). Only where an offer comes in a reliable response must
//! the two wait for each other: the PRACK for the callee then carries the answer of the PRACK of
//! the caller (§5).

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use ringfence_base::Instant;
use ringfence_dialog::ClientId;
use ringfence_dialog::dialog::Dialog;
use ringfence_sip::{HeaderName, Index, Message, Method, StatusCode};

use crate::body;
use crate::call::{Call, CallKey, Phase, Side, Stage};
use crate::cdr::EndedBy;
use crate::core::Core;
use crate::incoming::Reply;
use crate::methods::{self, RELIABLE, ReliableProvisional};
use crate::outgoing::InDialog;
use crate::supervise::AlarmKind;

/// Early dialogs of one INVITE: phones that ring.
const EARLY_MAX: usize = 8;
/// Provisional responses that wait for the PRACK of the one before.
const WAITING_MAX: usize = 4;
/// Q.850 cause of a call that ended because a PRACK never came: recovery on timer expiry.
const TIMER_EXPIRY: u8 = 102;

/// The provisional responses of a call's first INVITE.
#[derive(Debug, Default)]
pub(crate) struct Provisionals {
    /// Whether the caller takes reliable ones.
    to_caller: bool,
    /// Whether all of them must be: it says so, or its policy does. Otherwise only those are that
    /// carry an offer, since not all who say `Supported` send a PRACK.
    always: bool,
    /// CSeq of the caller's INVITE.
    cseq: u32,
    /// The RSeq of the last one sent; 0 is none yet.
    rseq: u32,
    unacknowledged: Option<Box<Unacknowledged>>,
    /// What is to be said after it.
    waiting: VecDeque<(u16, Option<Vec<u8>>)>,
    /// The callee's 2xx, which waits for the caller's PRACK.
    held: Option<Box<(Bytes, ClientId)>>,
    /// A reliable response had the answer: there is none in the 2xx.
    answered: bool,
    /// The callee's offer in a reliable response was answered by PRACK.
    agreed: bool,
    /// The early dialog whose offer waits for the caller's answer, and its RAck.
    offered: Option<Box<(usize, String)>>,
    early: Vec<Early>,
}

#[derive(Debug)]
struct Unacknowledged {
    bytes: Bytes,
    status: u16,
    /// Whether it carried a description.
    described: bool,
    again_at: Instant,
    interval: Duration,
    give_up_at: Instant,
}

/// An early dialog with a callee.
#[derive(Debug)]
struct Early {
    dialog: Dialog,
    /// RSeq of its last reliable response, 0 for none.
    rseq: u32,
    /// Offer and answer were exchanged with it reliably.
    settled: bool,
}

/// What a provisional response of the callee is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Provisional {
    /// Sent once, not to be acknowledged.
    Plain,
    /// Acknowledged.
    Acknowledged,
    /// Reliable with an offer: the early dialog, which gets its PRACK with the answer.
    Offer,
    /// It came before, or out of order.
    Ignored,
}

impl Provisionals {
    /// For an INVITE of a caller with this policy.
    pub(crate) fn new(invite: &Message<'_>, policy: ReliableProvisional) -> Provisionals {
        let wanted = policy != ReliableProvisional::Off;
        Provisionals {
            to_caller: wanted && methods::takes(invite, RELIABLE),
            always: methods::requires(invite, RELIABLE) || policy == ReliableProvisional::Required,
            cseq: invite.cseq().map_or(0, |cseq| cseq.number),
            ..Provisionals::default()
        }
    }

    /// Whether the caller takes reliable ones.
    pub(crate) const fn to_caller(&self) -> bool {
        self.to_caller
    }

    /// Whether the callee's 2xx waits for the caller's PRACK.
    pub(crate) const fn holds_success(&self) -> bool {
        self.held.is_some()
    }

    /// Another one is in the caller's place, to whom nothing was said yet.
    pub(crate) fn leave_caller(&mut self) {
        (self.to_caller, self.always, self.answered) = (false, false, false);
        self.unacknowledged = None;
        self.waiting.clear();
    }

    /// Whether the 2xx to the caller needs no description: it has the answer, or has given it.
    pub(crate) const fn needs_no_answer(&self) -> bool {
        self.answered || self.agreed
    }

    /// Whether offer and answer were exchanged by a reliable response and its PRACK.
    pub(crate) const fn agreed(&self) -> bool {
        self.agreed
    }

    /// Whether `request` belongs to an early dialog of the callee.
    pub(crate) fn has_dialog_of(&self, request: &Message<'_>) -> bool {
        let mut early = self.early.iter();
        early.any(|early| early.dialog.matches_request(request))
    }

    /// The callee's early dialog that `request` belongs to.
    pub(crate) fn dialog_of(&mut self, request: &Message<'_>) -> Option<&mut Dialog> {
        self.early
            .iter_mut()
            .map(|early| &mut early.dialog)
            .find(|dialog| dialog.matches_request(request))
    }

    /// Whether `side` may send a new offer in its early dialog (RFC 3311 §5.1): the first one was
    /// answered reliably.
    pub(crate) fn is_settled(&self, side: Side, request: &Message<'_>) -> bool {
        match side {
            Side::A => self.caller_is_settled(),
            Side::B => {
                let mut early = self.early.iter();
                early.any(|early| early.settled && early.dialog.matches_request(request))
            }
        }
    }

    /// Whether the caller has its answer for sure.
    pub(crate) const fn caller_is_settled(&self) -> bool {
        (self.answered || self.agreed) && self.unacknowledged.is_none()
    }

    /// The newest early dialog in which offer and answer were exchanged for sure.
    pub(crate) fn settled_callee(&self) -> Option<usize> {
        self.early.iter().rposition(|early| early.settled)
    }

    /// Takes the early dialog that a 2xx confirms.
    pub(crate) fn confirm(&mut self, response: &Message<'_>) -> Option<Dialog> {
        let place = self
            .early
            .iter()
            .position(|early| early.dialog.matches_response(response))?;
        let mut dialog = self.early.swap_remove(place).dialog;
        dialog.confirm_with(response).ok()?;
        Some(dialog)
    }

    /// Forgets the callee: the call goes on to somebody else, and what the caller was told stays.
    pub(crate) fn leave_callee(&mut self) {
        self.early.clear();
        self.offered = None;
    }

    /// A request of an early dialog went again, with credentials, under this sequence number.
    pub(crate) fn note_sent(&mut self, cseq: u32) {
        for early in &mut self.early {
            early.dialog.note_sent(cseq);
        }
    }

    /// Takes the 2xx that was held back.
    pub(crate) fn take_held(&mut self) -> Option<(Bytes, ClientId)> {
        self.held.take().map(|held| *held)
    }

    /// Exchanges the newest early dialog with the leg's place for dialogs.
    fn swap(&mut self, place: usize, dialog: &mut Option<Dialog>) {
        if let Some(early) = self.early.get_mut(place) {
            match dialog {
                None => *dialog = Some(early.dialog.clone()),
                Some(_) => {
                    if let Some(back) = dialog.take() {
                        early.dialog = back;
                    }
                }
            }
        }
    }
}

impl Core {
    /// The callee's provisional response: acknowledged if it wants to be (RFC 3262 §4).
    pub(crate) fn take_provisional(
        &mut self,
        now: Instant,
        key: CallKey,
        message: &Message<'_>,
    ) -> Provisional {
        let (Some(rseq), true) = (rseq_of(message), methods::requires(message, RELIABLE)) else {
            return Provisional::Plain;
        };
        let Ok(cseq) = message.cseq() else {
            return Provisional::Plain;
        };
        let Some(call) = self.call_mut(key) else {
            return Provisional::Ignored;
        };
        let Some(place) = early_of(call, message) else {
            return Provisional::Ignored;
        };
        let offered = call.transfer.is_some()
            || matches!(
                call.bridge.as_ref().map(|bridge| &bridge.stage),
                Some(Stage::Pending { offer: true, .. })
            );
        let early = &mut call.provisionals.early[place];
        if early.rseq != 0 && rseq != early.rseq.wrapping_add(1) {
            return Provisional::Ignored;
        }
        early.rseq = rseq;
        let rack = format!("{rseq} {} INVITE", cseq.number);
        let is_offer = !offered
            && !call.provisionals.agreed
            && body::description(message).is_ok_and(|body| !body.is_empty());
        if is_offer {
            if !call.provisionals.to_caller || call.provisionals.offered.is_some() {
                // There is nobody who could answer it before the 2xx.
                return Provisional::Ignored;
            }
            call.provisionals.offered = Some(Box::new((place, rack)));
            return Provisional::Offer;
        }
        early.settled |= offered && body::description(message).is_ok_and(|body| !body.is_empty());
        self.send_prack(now, key, place, &rack, None);
        Provisional::Acknowledged
    }

    fn send_prack(
        &mut self,
        now: Instant,
        key: CallKey,
        place: usize,
        rack: &str,
        body: Option<&[u8]>,
    ) {
        let more = [(HeaderName::RAck, rack)];
        let content = InDialog {
            more: &more,
            body: body.map(|body| (&b"application/sdp"[..], body)),
            ..InDialog::default()
        };
        self.send_in_early(now, key, place, Method::Prack, content);
    }

    /// Sends a request in an early dialog of leg B.
    pub(crate) fn send_in_early(
        &mut self,
        now: Instant,
        key: CallKey,
        place: usize,
        method: Method<'static>,
        content: InDialog<'_>,
    ) -> Option<ClientId> {
        self.swap_early(key, place);
        let client = self.send_in_dialog(now, key, Side::B, method, content);
        self.swap_early(key, place);
        client
    }

    fn swap_early(&mut self, key: CallKey, place: usize) {
        if let Some(call) = self.call_mut(key) {
            let Call {
                provisionals, legs, ..
            } = call;
            provisionals.swap(place, &mut legs[Side::B.index()].dialog);
        }
    }

    /// Tells the caller a provisional status: reliably where it takes that, and either wants it or
    /// has to answer an offer (`reliable`).
    pub(crate) fn ring_caller(
        &mut self,
        now: Instant,
        key: CallKey,
        status: u16,
        body: Option<Vec<u8>>,
        reliable: bool,
    ) {
        let Some(call) = self.call_mut(key) else {
            return;
        };
        let provisionals = &mut call.provisionals;
        let wanted = reliable || provisionals.always || provisionals.unacknowledged.is_some();
        if !(provisionals.to_caller && wanted) {
            let Some(bridge) = &call.bridge else { return };
            let (from, server) = (bridge.from, bridge.server);
            self.answer_invite(now, key, from, server, status, body.as_deref(), None);
            return;
        }
        if provisionals.unacknowledged.is_some() {
            if provisionals.waiting.len() >= WAITING_MAX {
                provisionals.waiting.pop_front();
            }
            provisionals.waiting.push_back((status, body));
            return;
        }
        self.send_reliably(now, key, status, body);
    }

    fn send_reliably(&mut self, now: Instant, key: CallKey, status: u16, body: Option<Vec<u8>>) {
        let first = 1 + self.entropy.below(RSEQ_FIRST_MAX) as u32;
        let t1 = self.timers.t1;
        let Some(call) = self.call_mut(key) else {
            return;
        };
        let Some(bridge) = &call.bridge else { return };
        let (from, server) = (bridge.from, bridge.server);
        let offered = matches!(bridge.stage, Stage::Pending { offer: true, .. });
        let provisionals = &mut call.provisionals;
        provisionals.rseq = match provisionals.rseq {
            0 => first,
            last => last + 1,
        };
        // The first answer is the answer (RFC 3261 §13.2.1).
        let body = body.filter(|_| !provisionals.answered);
        provisionals.answered |= offered && body.is_some();
        let rseq = provisionals.rseq;
        let sent = self.answer_reliably(now, key, (from, server), (status, rseq), body.as_deref());
        let (Some(bytes), Some(call)) = (sent, self.call_mut(key)) else {
            return;
        };
        call.provisionals.unacknowledged = Some(Box::new(Unacknowledged {
            bytes,
            status,
            described: body.is_some(),
            again_at: now + t1,
            interval: t1,
            give_up_at: now + t1 * 64,
        }));
        self.schedule(now, t1, key, AlarmKind::Provisional);
    }

    /// Time to repeat the provisional response, or to give up on its PRACK (RFC 3262 §3).
    pub(crate) fn repeat_provisional(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.call_mut(key) else {
            return;
        };
        let server = call.bridge.as_ref().map(|bridge| bridge.server);
        let Some((open, server)) = call.provisionals.unacknowledged.as_mut().zip(server) else {
            return;
        };
        if now < open.again_at {
            return;
        }
        if now >= open.give_up_at {
            return self.cancel_setup(now, key, 504, EndedBy::Edge, Some(TIMER_EXPIRY));
        }
        open.interval *= 2;
        let wait = open.interval.min(open.give_up_at - now);
        open.again_at = now + wait;
        let (status, bytes) = (StatusCode::of(open.status), open.bytes.clone());
        self.transactions.respond(now, server, status, bytes);
        self.schedule(now, wait, key, AlarmKind::Provisional);
    }

    /// PRACK of the caller (RFC 3262 §3).
    pub(crate) fn on_prack(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        reply: &Reply<'_, '_>,
    ) {
        let message = reply.request;
        let rack = message.header(HeaderName::RAck).and_then(rack_of);
        let Some(call) = self.call_mut(key).filter(|call| call.phase == Phase::Setup) else {
            return self.respond(now, reply, 481);
        };
        let provisionals = &mut call.provisionals;
        let known = side == Side::A
            && provisionals.unacknowledged.is_some()
            && rack == Some((provisionals.rseq, provisionals.cseq));
        if !known {
            return self.respond(now, reply, 481);
        }
        let description = body::description(message).unwrap_or_default();
        let offer = call.provisionals.offered.is_some();
        let described = call
            .provisionals
            .unacknowledged
            .take()
            .is_some_and(|open| open.described);
        if offer && described {
            self.on_prack_answer(now, key, description, reply);
        } else if description.is_empty() {
            self.respond(now, reply, 200);
        } else {
            self.on_prack_offer(now, key, side, reply);
        }
        self.after_prack(now, key);
    }

    /// A PRACK with a new offer (RFC 3262 §5): the acknowledgement counts, whatever becomes of it.
    fn on_prack_offer(&mut self, now: Instant, key: CallKey, side: Side, reply: &Reply<'_, '_>) {
        let free = self
            .call(key)
            .is_some_and(|call| call.exchange.is_none() && call.provisionals.caller_is_settled());
        match free {
            true => self.carry_offer(now, key, side, reply),
            false => self.respond(now, reply, 491),
        }
    }

    /// The caller's answer to the callee's early offer goes on in the PRACK for the callee.
    fn on_prack_answer(
        &mut self,
        now: Instant,
        key: CallKey,
        description: &[u8],
        reply: &Reply<'_, '_>,
    ) {
        let answer = self
            .with_media(now, key, |media, around| {
                let answer = media.answer(around, description);
                media.settle();
                answer
            })
            .and_then(Result::ok);
        let Some(answer) = answer else {
            self.respond(now, reply, 488);
            return self.cancel_setup(now, key, 488, EndedBy::Edge, Some(79));
        };
        self.respond(now, reply, 200);
        let Some(call) = self.call_mut(key) else {
            return;
        };
        call.provisionals.agreed = true;
        if let Some((place, rack)) = call.provisionals.offered.take().map(|it| *it) {
            if let Some(early) = call.provisionals.early.get_mut(place) {
                early.settled = true;
            }
            self.send_prack(now, key, place, &rack, Some(&answer));
        }
    }

    /// What waited for the PRACK: the next provisional response, or the 2xx.
    fn after_prack(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.call_mut(key).filter(|call| call.phase == Phase::Setup) else {
            return;
        };
        if let Some((bytes, client)) = call.provisionals.take_held() {
            let mut index = Index::default();
            if let Ok(message) = index.parse(&bytes) {
                self.on_invite_success(now, key, Side::B, &message, client);
            }
        } else if let Some((status, body)) = call.provisionals.waiting.pop_front() {
            self.send_reliably(now, key, status, body);
        }
    }

    /// The call is over and the callee's 2xx was held back: it is acknowledged and hung up.
    pub(crate) fn refuse_held(&mut self, now: Instant, key: CallKey) {
        let held = self
            .call_mut(key)
            .and_then(|call| call.provisionals.take_held());
        let Some((bytes, client)) = held else { return };
        let mut index = Index::default();
        if let Ok(message) = index.parse(&bytes) {
            self.on_late_final(now, key, &message, client);
        }
    }

    /// Keeps the callee's 2xx while a PRACK of the caller is awaited. Whether it did.
    pub(crate) fn hold_success(
        &mut self,
        key: CallKey,
        message: &Message<'_>,
        client: ClientId,
    ) -> bool {
        let Some(call) = self.call_mut(key) else {
            return false;
        };
        if call.provisionals.unacknowledged.is_none() {
            return false;
        }
        let bytes = Bytes::copy_from_slice(message.bytes());
        call.provisionals.held = Some(Box::new((bytes, client)));
        true
    }
}

/// The early dialog of a reliable response, made if it is new.
fn early_of(call: &mut Call, response: &Message<'_>) -> Option<usize> {
    let early = &mut call.provisionals.early;
    let known = early
        .iter()
        .position(|early| early.dialog.matches_response(response));
    if known.is_some() {
        return known;
    }
    if early.len() >= EARLY_MAX || response.to().ok()?.tag().is_none() {
        return None;
    }
    let mut index = Index::default();
    let invite = index.parse(call.sent_invite.as_ref()?).ok()?;
    let dialog = Dialog::uac(&invite, response).ok()?;
    early.push(Early {
        dialog,
        rseq: 0,
        settled: false,
    });
    Some(early.len() - 1)
}

/// RSeq of a response (RFC 3262 §7.1).
fn rseq_of(message: &Message<'_>) -> Option<u32> {
    number(message.header(HeaderName::RSeq)?).filter(|&rseq| rseq > 0)
}

/// RSeq and CSeq of an RAck for an INVITE (RFC 3262 §7.2).
fn rack_of(value: &[u8]) -> Option<(u32, u32)> {
    let mut words = value
        .split(|byte| byte.is_ascii_whitespace())
        .filter(|word| !word.is_empty());
    let (rseq, cseq) = (number(words.next()?)?, number(words.next()?)?);
    (words.next()? == b"INVITE" && words.next().is_none()).then_some((rseq, cseq))
}

fn number(text: &[u8]) -> Option<u32> {
    let digits = text.trim_ascii();
    let digits = digits.iter().all(u8::is_ascii_digit).then_some(digits)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The first RSeq is at most this, so that the following ones fit (RFC 3262 §3).
const RSEQ_FIRST_MAX: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_rack_names_response_and_invite_rfc3262_7_2() {
        assert_eq!(rack_of(b"776656 1 INVITE"), Some((776_656, 1)));
        assert_eq!(rack_of(b" 1  2  INVITE "), Some((1, 2)));
        for bad in [
            "",
            "1 2",
            "1 INVITE",
            "1 2 PRACK",
            "-1 2 INVITE",
            "1 2 INVITE 3",
        ] {
            assert_eq!(rack_of(bad.as_bytes()), None, "{bad}");
        }
    }
}

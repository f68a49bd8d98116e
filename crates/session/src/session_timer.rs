//! Session timers (RFC 4028), each leg by itself: a leg that nobody refreshes any more is dead, and
//! its call is ended.
//!
//! The edge asks for them where the peer's policy has `session_expires`, and refreshes at half of
//! the interval unless the peer wants to do so itself: by UPDATE where the peer allows it, by a
//! re-INVITE with the unchanged description otherwise.

use std::time::Duration;

use bytes::Bytes;
use ringfence_base::{Flow, Instant};
use ringfence_dialog::ClientId;
use ringfence_sip::write::MessageWriter;
use ringfence_sip::{HeaderName, Index, Message, Method};

use crate::body;
use crate::call::{Call, CallKey, Phase, Side, Stage};
use crate::cdr::EndedBy;
use crate::core::Core;
use crate::methods::{TIMER, takes};
use crate::outgoing::{InDialog, OurName, our_address};
use crate::plan::Peer;
use crate::supervise::AlarmKind;

/// Shortest interval that is accepted and asked for (RFC 4028 §4).
pub(crate) const MIN_SE: u32 = 90;
/// Longest interval that is believed.
const SE_MAX: u32 = 86_400;
/// How long after a refused refresh it is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// How often a peer may ask for a longer interval in answer to one INVITE.
const LONGER_MAX: u32 = 2;
/// Q.850 cause of a call whose leg is dead: recovery on timer expiry.
const TIMER_EXPIRY: u8 = 102;

/// The session timer of one leg.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionTimer {
    /// Seconds.
    interval: u32,
    /// Whether the edge refreshes.
    ours: bool,
    /// Nobody has refreshed it by then: it is dead.
    expires_at: Instant,
    /// The alarm that counts.
    next_at: Instant,
}

/// A refresh that is on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refresh {
    pub(crate) client: ClientId,
    /// CSeq of a re-INVITE; none for an UPDATE.
    pub(crate) invite: Option<u32>,
}

/// Session-Expires of a message: seconds, and whether its sender's own role refreshes.
fn session_expires(message: &Message<'_>) -> Option<(u32, Option<Refresher>)> {
    let value = message.header(HeaderName::SessionExpires)?;
    let mut parts = value.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    let seconds = seconds(parts.next()?)?;
    let refresher = parts.find_map(|part| {
        let (name, value) = part.split_at_checked(10)?;
        if !name.eq_ignore_ascii_case(b"refresher=") {
            return None;
        }
        match value {
            value if value.eq_ignore_ascii_case(b"uac") => Some(Refresher::Uac),
            value if value.eq_ignore_ascii_case(b"uas") => Some(Refresher::Uas),
            _ => None,
        }
    });
    Some((seconds, refresher))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refresher {
    Uac,
    Uas,
}

fn min_se(message: &Message<'_>) -> Option<u32> {
    let value = message.header(HeaderName::MinSe)?;
    seconds(value.split(|&byte| byte == b';').next()?)
}

fn seconds(text: &[u8]) -> Option<u32> {
    let text = text.trim_ascii();
    let digits = text.iter().all(u8::is_ascii_digit).then_some(text)?;
    let number: u32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (1..=SE_MAX).contains(&number).then_some(number)
}

/// Whether a request asks for a shorter interval than is accepted: 422 (RFC 4028 §9).
pub(crate) fn is_too_short(request: &Message<'_>) -> bool {
    takes(request, TIMER) && session_expires(request).is_some_and(|(seconds, _)| seconds < MIN_SE)
}

/// Session-Expires and Min-SE of a request in a leg whose policy is `wanted` seconds.
pub(crate) fn write_request(
    writer: &mut MessageWriter<'_>,
    wanted: Duration,
    timer: Option<&SessionTimer>,
) {
    if wanted.is_zero() {
        return;
    }
    match timer {
        Some(timer) => {
            let refresher = if timer.ours { "uac" } else { "uas" };
            let interval = timer.interval;
            writer.header_fmt(
                HeaderName::SessionExpires,
                format_args!("{interval};refresher={refresher}"),
            );
        }
        None => {
            let interval = wanted.as_secs().max(u64::from(MIN_SE));
            writer.header_fmt(HeaderName::SessionExpires, format_args!("{interval}"));
        }
    }
    writer.header_fmt(HeaderName::MinSe, format_args!("{MIN_SE}"));
}

/// What a 2xx of ours says of the session timer.
pub(crate) struct Agreed {
    interval: u32,
    ours: bool,
    /// Whether the peer knows session timers at all.
    knows: bool,
}

impl SessionTimer {
    /// How long until something is to be done.
    pub(crate) fn due_in(&self, now: Instant) -> Duration {
        match self.next_at > now {
            true => self.next_at - now,
            false => Duration::from_millis(1),
        }
    }
}

impl Agreed {
    pub(crate) fn write(&self, writer: &mut MessageWriter<'_>) {
        let refresher = if self.ours { "uas" } else { "uac" };
        if self.knows {
            writer.header(HeaderName::Require, TIMER);
        }
        writer.header_fmt(
            HeaderName::SessionExpires,
            format_args!("{};refresher={refresher}", self.interval),
        );
    }
}

impl Core {
    /// We answer 2xx to `request`: what of its session timer is agreed to (RFC 4028 §9). The
    /// timer runs from here.
    pub(crate) fn agree_timer(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        request: &Message<'_>,
    ) -> Option<Agreed> {
        let call = self.call_mut(key)?;
        let wanted = wanted(call, side);
        let asked = session_expires(request);
        let knows = takes(request, TIMER);
        if wanted.is_zero() || !(knows || asked.is_some()) {
            call.leg_mut(side).timer = None;
            return None;
        }
        let ours_most = u32::try_from(wanted.as_secs()).unwrap_or(SE_MAX);
        let least = min_se(request).unwrap_or(MIN_SE).max(MIN_SE);
        let interval = asked
            .map_or(ours_most, |(seconds, _)| seconds.min(ours_most))
            .max(least);
        let theirs = knows && asked.and_then(|(_, who)| who) == Some(Refresher::Uac);
        self.start_timer(now, key, side, interval, !theirs);
        Some(Agreed {
            interval,
            ours: !theirs,
            knows,
        })
    }

    /// The peer answered 2xx to a request of ours: what it says of the session timer.
    pub(crate) fn learn_timer(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        response: &Message<'_>,
    ) {
        let Some(call) = self.call_mut(key) else {
            return;
        };
        match session_expires(response) {
            Some((interval, who)) if !wanted(call, side).is_zero() => {
                let ours = who != Some(Refresher::Uas);
                self.start_timer(now, key, side, interval.max(MIN_SE), ours);
            }
            _ => call.leg_mut(side).timer = None,
        }
    }

    fn start_timer(&mut self, now: Instant, key: CallKey, side: Side, interval: u32, ours: bool) {
        let whole = Duration::from_secs(interval.into());
        // RFC 4028 §10: the other side says goodbye a little before the end.
        let expires = whole - (whole / 3).min(Duration::from_secs(32));
        let next = if ours { whole / 2 } else { expires };
        if let Some(call) = self.call_mut(key) {
            call.leg_mut(side).timer = Some(SessionTimer {
                interval,
                ours,
                expires_at: now + expires,
                next_at: now + next,
            });
            self.schedule(now, next, key, AlarmKind::Session(side));
        }
    }

    /// A leg's session timer is due.
    pub(crate) fn on_session_timer(&mut self, now: Instant, key: CallKey, side: Side) {
        let Some(call) = self.call_mut(key) else {
            return;
        };
        let busy = call.is_changing();
        let Some(timer) = &mut call.leg_mut(side).timer else {
            return;
        };
        if now < timer.next_at {
            return;
        }
        if now >= timer.expires_at {
            return self.end_call(now, key, EndedBy::Edge, Some(TIMER_EXPIRY));
        }
        let wait = TRY_AGAIN.min(timer.expires_at - now);
        let ours = timer.ours;
        timer.next_at = now + if ours { wait } else { timer.expires_at - now };
        let next_at = timer.next_at;
        self.schedule(now, next_at - now, key, AlarmKind::Session(side));
        if ours && !busy {
            self.refresh(now, key, side);
        }
    }

    fn refresh(&mut self, now: Instant, key: CallKey, side: Side) {
        let Some(call) = self.call(key) else { return };
        let update = call.leg(side).allows_update;
        let body = call.media.last_sent(side).map(<[u8]>::to_vec);
        let body = body.filter(|_| !update);
        if !update && body.is_none() {
            return;
        }
        let method = if update {
            Method::Update
        } else {
            Method::Invite
        };
        let content = InDialog {
            body: body.as_deref().map(|body| (&b"application/sdp"[..], body)),
            ..InDialog::default()
        };
        let Some(client) = self.send_in_dialog(now, key, side, method, content) else {
            return;
        };
        if let Some(call) = self.call_mut(key) {
            let leg = call.leg_mut(side);
            let cseq = leg.dialog.as_ref().map(|dialog| dialog.local_cseq());
            let invite = cseq.filter(|_| !update);
            leg.refresh = Some(Refresh { client, invite });
        }
    }

    /// The answer to a refresh. Whether `client` was one.
    pub(crate) fn on_refresh_response(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        message: &Message<'_>,
        client: ClientId,
    ) -> bool {
        let Some(call) = self.call_mut(key) else {
            return false;
        };
        let leg = call.leg_mut(side);
        let Some(refresh) = leg.refresh.filter(|refresh| refresh.client == client) else {
            return false;
        };
        let Some(status) = message.status().filter(|status| !status.is_provisional()) else {
            return true;
        };
        leg.refresh = None;
        if status.is_success() {
            if let Some(dialog) = &mut leg.dialog {
                // Without a readable Contact the target stays.
                let _ = dialog.refresh_target(message);
            }
            if let Some(cseq) = refresh.invite {
                self.send_ack(now, key, side, (client, cseq), None);
            }
            self.learn_timer(now, key, side, message);
            return true;
        }
        match (status.raw(), min_se(message), &mut leg.timer) {
            (422, Some(least), Some(timer)) if least > timer.interval => {
                timer.interval = least;
                self.refresh(now, key, side);
            }
            (408 | 481, ..) => self.end_call(now, key, EndedBy::Edge, Some(TIMER_EXPIRY)),
            // It is tried again until the interval is over.
            _ => {}
        }
        true
    }

    /// 422 to our first INVITE: it is sent again with the interval that the callee wants
    /// (RFC 4028 §7.3). Whether it was.
    pub(crate) fn retry_with_longer_session(
        &mut self,
        now: Instant,
        key: CallKey,
        message: &Message<'_>,
    ) -> bool {
        if message.status().map(|status| status.raw()) != Some(422) {
            return false;
        }
        let Some((least, call)) = min_se(message).zip(self.call(key)) else {
            return false;
        };
        let tried = call.bridge.as_ref().map_or(0, |bridge| bridge.client_cseq);
        if tried > LONGER_MAX {
            return false;
        }
        let longer = |name| {
            let asked = matches!(name, HeaderName::SessionExpires | HeaderName::MinSe);
            asked.then(|| least.to_string())
        };
        self.ask_again(now, key, longer, None)
    }

    /// Sends the INVITE that leg B has just refused once more, with other values for some of its
    /// headers or another description (RFC 3261 §8.1.3.5). `false`: it could not be sent.
    pub(crate) fn ask_again(
        &mut self,
        now: Instant,
        key: CallKey,
        changed: impl Fn(HeaderName) -> Option<String>,
        description: Option<&[u8]>,
    ) -> bool {
        let Some(call) = self.call(key) else {
            return false;
        };
        let (flow, invite) = (call.leg(Side::B).flow, call.sent_invite.clone());
        let plan = std::sync::Arc::clone(&call.plan);
        let (ours, peer) = (our_address(&plan, &flow), call.leg(Side::B).peer);
        let (Some(invite), Some(ours), Some(peer)) = (invite, ours, plan.peer(peer)) else {
            return false;
        };
        let mut index = Index::default();
        let Ok(invite) = index.parse(&invite) else {
            return false;
        };
        let Ok(cseq) = invite.cseq() else {
            return false;
        };
        let Ok(client) = self.transactions.reserve_client() else {
            return false;
        };
        let mut out = Vec::with_capacity(invite.bytes().len() + 32);
        let uri = invite.request_uri().unwrap_or_default();
        let mut writer = MessageWriter::request(&mut out, Method::Invite, uri);
        let branch = self.transactions.branch(client);
        writer.via(flow.transport, OurName::new(peer, ours), branch, true);
        for field in invite.fields() {
            match field.name {
                HeaderName::Via | HeaderName::ContentLength | HeaderName::ContentType => {}
                HeaderName::CSeq => {
                    let next = cseq.number + 1;
                    writer.header_fmt(HeaderName::CSeq, format_args!("{next} INVITE"));
                }
                name => match changed(name) {
                    Some(value) => {
                        writer.header(name, value);
                    }
                    None => {
                        writer.raw_header(field.raw_name, field.value);
                    }
                },
            }
        }
        let replaced = description.and_then(|new| body::replaced(&invite, new));
        match replaced.as_deref().unwrap_or(invite.body()) {
            [] => writer.finish(),
            body => {
                let kind = invite.header(HeaderName::ContentType);
                writer.body(kind.unwrap_or(b"application/sdp"), body);
            }
        }
        self.send_invite_again(now, key, peer, flow, client, Bytes::from(out));
        true
    }

    fn send_invite_again(
        &mut self,
        now: Instant,
        key: CallKey,
        peer: &Peer,
        flow: Flow,
        client: ClientId,
        bytes: Bytes,
    ) {
        if let Some(call) = self.call_mut(key)
            && let Some(bridge) = &mut call.bridge
        {
            bridge.client = client;
            bridge.client_cseq += 1;
        }
        self.send_invite_of(now, key, client, peer, flow, bytes);
    }
}

impl Call {
    /// Whether a description, or a refresh, is on its way on any leg.
    pub(crate) fn is_changing(&self) -> bool {
        let refreshed = self.legs.iter().any(|leg| leg.refresh.is_some());
        let pending = self
            .bridge
            .as_ref()
            .is_some_and(|bridge| !matches!(bridge.stage, Stage::Answered { late_offer: false }));
        let shown = self.shown_leg().is_some();
        pending || refreshed || shown || self.exchange.is_some() || self.phase != Phase::Up
    }
}

fn wanted(call: &Call, side: Side) -> Duration {
    call.peer(side)
        .map(|peer| peer.methods.session_expires)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: Option<(u32, Option<Refresher>)>) {
        let text = format!("UPDATE sip:a@b SIP/2.0\r\nSession-Expires: {value}\r\n\r\n");
        let mut index = Index::default();
        let message = index.parse(text.as_bytes()).unwrap();
        assert_eq!(session_expires(&message), expected, "{value}");
    }

    #[test]
    fn session_expires_is_seconds_and_a_role_rfc4028_4() {
        check("1800", Some((1800, None)));
        check("90 ;x=y; Refresher=UAC", Some((90, Some(Refresher::Uac))));
        check("90;refresher=uas", Some((90, Some(Refresher::Uas))));
        check("0", None);
        check("99999999999", None);
        check("-5", None);
    }
}

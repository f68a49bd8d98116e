//! A simulated carrier or PBX: places calls, answers calls, speaks and listens.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ringfence_base::entropy::SeededEntropy;
use ringfence_base::{Entropy, Flow, Instant, WorkerIndex};
use ringfence_dialog::dialog::{Dialog, RequestVia};
use ringfence_dialog::{
    ClientId, Event, Limits, Matched, Owner, RequestKind, ServerId, TimerTable, Transactions,
};
use ringfence_dialog::{Cookies, Tag};
use ringfence_rtp::srtp::{Context, MasterKey, Suite};
use ringfence_sdp::SessionDescription;
use ringfence_sip::write::{MessageWriter, response_to};
use ringfence_sip::{HeaderName, Index, Message, Method, StatusCode, Uri};

use super::audio::{Heard, Speaker, Voice, call_key};
use super::leaks::Secrets;
use super::totals::Totals;
use super::wire::Wire;
use super::{Clock, wait};

/// Who an endpoint is.
#[derive(Clone, Debug)]
pub(super) struct Role {
    /// Whether it is the PBX: what it says must not be seen outside.
    pub(super) inside: bool,
    /// What it writes in User-Agent and Server.
    pub(super) product: String,
    /// The user of its `o=` line.
    pub(super) origin: String,
    /// SRTP with SDES keys, or plain RTP.
    pub(super) secure: bool,
    /// The edge, as this side sees it.
    pub(super) edge: SocketAddr,
    /// Calls a second that it places.
    pub(super) rate: f64,
    /// How long each end of a call speaks.
    pub(super) talk: Duration,
    /// Numbers of the site.
    pub(super) numbers: Vec<String>,
    /// What its randomness follows from.
    pub(super) seed: u64,
}

/// How long a line is held after the last word, so that the last packets arrive.
const PAUSE: Duration = Duration::from_millis(300);

/// One end of a call.
struct Call {
    key: u64,
    speaker: Speaker,
    flow: Flow,
    stage: Stage,
    tag: Tag,
    dialog: Option<Dialog>,
    voice: Voice,
    key_of_ours: Option<MasterKey>,
    /// The tag of the crypto line that the key goes with.
    key_tag: u32,
}

enum Stage {
    /// Our INVITE is out.
    Calling { invite: Bytes, sent: Instant },
    /// We ring, and answer then.
    Ringing {
        server: ServerId,
        invite: Bytes,
        answer_at: Instant,
    },
    /// Answered by us; the ACK is awaited.
    Answered { server: ServerId },
    /// Both speak.
    Up { hang_up_at: Option<Instant> },
    /// Our BYE is out.
    Closing,
}

/// A simulated peer.
pub(super) struct Endpoint {
    role: Role,
    wire: Wire,
    local: SocketAddr,
    transactions: Transactions,
    cookies: Cookies,
    entropy: SeededEntropy,
    calls: Vec<Option<Call>>,
    placed: u64,
    next_call: Instant,
    secrets: Secrets,
    totals: Arc<Mutex<Totals>>,
    index: Index,
}

impl Endpoint {
    /// An endpoint on `wire`.
    pub(super) fn new(
        role: Role,
        wire: Wire,
        secrets: Secrets,
        totals: Arc<Mutex<Totals>>,
    ) -> io::Result<Endpoint> {
        let mut entropy = SeededEntropy::new(role.seed);
        let mut secret = [0; 16];
        entropy.fill(&mut secret);
        let cookies = Cookies::new(secret, WorkerIndex::new(0));
        let transactions = Transactions::new(
            TimerTable::default(),
            cookies,
            &mut entropy,
            Limits::default(),
        );
        let local = wire.local()?;
        if role.inside {
            secrets.address(local.ip());
            secrets.word(role.product.as_bytes());
            secrets.word(role.origin.as_bytes());
        }
        Ok(Endpoint {
            role,
            wire,
            local,
            transactions,
            cookies,
            entropy,
            calls: Vec::new(),
            placed: 0,
            next_call: Instant::ZERO,
            secrets,
            totals,
            index: Index::default(),
        })
    }

    /// Works until `stop`, and then until the last call is over or `patience` is used up.
    pub(super) fn run(mut self, clock: Clock, stop: &AtomicBool, patience: Duration) {
        let mut end = None;
        loop {
            let now = clock.now();
            if stop.load(Relaxed) {
                let end = *end.get_or_insert(now + patience);
                if now >= end || self.calls.iter().all(Option::is_none) {
                    return;
                }
            }
            for (flow, bytes) in self.wire.receive() {
                self.on_bytes(now, &flow, &bytes);
            }
            self.transactions.handle_timeout(now);
            while let Some(event) = self.transactions.poll_event() {
                self.on_event(event);
            }
            if end.is_none() && self.role.rate > 0.0 && now >= self.next_call {
                let pause = 0.5 + self.entropy.below(1000) as f64 / 1000.0;
                self.next_call = now + Duration::from_secs_f64(pause / self.role.rate);
                self.place_call(now);
            }
            for slot in 0..self.calls.len() {
                self.tend(now, slot);
            }
            self.flush();
            let next = self.next_at(end.is_none());
            wait(&self.descriptors(), next.map(|at| at - clock.now()));
        }
    }

    fn descriptors(&self) -> Vec<i32> {
        use std::os::fd::AsRawFd;
        let voices = self
            .calls
            .iter()
            .flatten()
            .flat_map(|call| call.voice.sockets());
        self.wire
            .descriptors()
            .into_iter()
            .chain(voices.map(AsRawFd::as_raw_fd))
            .collect()
    }

    fn next_at(&self, placing: bool) -> Option<Instant> {
        let calls = self
            .calls
            .iter()
            .flatten()
            .filter_map(|call| match &call.stage {
                Stage::Ringing { answer_at, .. } => Some(*answer_at),
                Stage::Up { hang_up_at } => call.voice.next_at().or(*hang_up_at),
                _ => call.voice.next_at(),
            });
        calls
            .chain(self.transactions.poll_timeout())
            .chain((placing && self.role.rate > 0.0).then_some(self.next_call))
            .min()
    }

    fn flush(&mut self) {
        while let Some(transmit) = self.transactions.poll_transmit() {
            // What cannot be sent is lost; the timers see to it.
            let _ = self.wire.send(&transmit.flow, &transmit.bytes);
        }
    }

    /// What time brings to one call.
    fn tend(&mut self, now: Instant, slot: usize) {
        let Some(Some(call)) = self.calls.get_mut(slot) else {
            return;
        };
        let (inside, secrets) = (self.role.inside, &self.secrets);
        call.voice
            .listen(&|bytes| !inside && secrets.found_in(bytes) > 0);
        call.voice.speak(now);
        match &mut call.stage {
            Stage::Ringing {
                server,
                invite,
                answer_at,
            } if *answer_at <= now => {
                let (server, invite) = (*server, invite.clone());
                call.stage = Stage::Answered { server };
                self.answer(now, slot, server, &invite);
            }
            Stage::Up {
                hang_up_at: Some(at),
            } if *at <= now => self.hang_up(now, slot),
            _ => {}
        }
    }

    fn on_bytes(&mut self, now: Instant, flow: &Flow, bytes: &[u8]) {
        if !self.role.inside {
            let leaks = self.secrets.found_in(bytes);
            self.totals().leaks += leaks;
        }
        let mut index = std::mem::take(&mut self.index);
        if let Ok(message) = index.parse(bytes) {
            self.on_message(now, flow, &message);
        }
        self.index = index;
    }

    fn on_message(&mut self, now: Instant, flow: &Flow, message: &Message<'_>) {
        match self.transactions.handle_input(now, flow, message) {
            Matched::NewRequest(server) => match message.method() {
                Some(Method::Invite) => self.on_invite(now, flow, message, server),
                Some(Method::Bye) => self.on_bye(now, flow, message, server),
                Some(Method::Options) => self.respond(now, server, flow, message, 200, None, None),
                _ => self.respond(now, server, flow, message, 405, None, None),
            },
            Matched::Cancel { cancel, .. } => {
                self.respond(now, cancel, flow, message, 200, None, None);
            }
            Matched::Ack2xx => self.on_ack(now, message),
            Matched::Response { client, owner } => {
                self.on_response(now, message, client, owner.0 as usize);
            }
            _ => {}
        }
    }

    fn on_event(&mut self, event: Event) {
        let owner = match event {
            Event::AckTimeout { owner, .. }
            | Event::ClientTimeout { owner, .. }
            | Event::TransportFailed { owner, .. } => owner,
            Event::FellBack { .. } => return,
        };
        if let Some(call) = self.calls.get_mut(owner.0 as usize) {
            *call = None;
        }
    }

    // The caller's side.

    fn place_call(&mut self, now: Instant) {
        self.placed += 1;
        let own = self.role.numbers[self.placed as usize % self.role.numbers.len()].clone();
        let other = format!(
            "+1{}{:07}",
            if self.role.inside { 666 } else { 555 },
            self.placed
        );
        let (from, to) = if self.role.inside {
            (own, other)
        } else {
            (other, own)
        };
        let Ok((mut call, body)) = self.new_call(&from, &to, Speaker::Caller) else {
            return;
        };
        let Ok(client) = self.transactions.reserve_client() else {
            return;
        };
        let branch = self.transactions.branch(client);
        let call_id = self.cookies.new_call_id(&mut self.entropy);
        if self.role.inside {
            self.secrets.word(call_id.as_bytes());
            self.secrets.word(call.tag.as_bytes());
        }
        let (transport, local, edge) = (self.wire.transport(), self.local, self.role.edge);
        let mut out = Vec::new();
        let mut writer =
            MessageWriter::request(&mut out, Method::Invite, format!("sip:{to}@{edge}"));
        writer.via(transport, local, branch, true);
        writer.header(HeaderName::MaxForwards, "70");
        writer.header_fmt(
            HeaderName::From,
            format_args!("<sip:{from}@{local}>;tag={}", call.tag),
        );
        writer.header_fmt(HeaderName::To, format_args!("<sip:{to}@{edge}>"));
        writer.header(HeaderName::CallId, call_id);
        writer.header(HeaderName::CSeq, "1 INVITE");
        writer.header(HeaderName::Contact, self.contact());
        writer.header(HeaderName::UserAgent, &self.role.product);
        writer.body("application/sdp", body);
        let invite = Bytes::from(out);
        call.stage = Stage::Calling {
            invite: invite.clone(),
            sent: now,
        };
        let flow = call.flow;
        let slot = self.keep(call);
        self.totals().report.calls.tried += 1;
        let owner = Owner(slot as u64);
        self.transactions
            .send_request(now, client, RequestKind::Invite, flow, invite, owner);
    }

    fn on_response(&mut self, now: Instant, message: &Message<'_>, client: ClientId, slot: usize) {
        let Some(status) = message.status() else {
            return;
        };
        let Some(Some(call)) = self.calls.get_mut(slot) else {
            return;
        };
        match &call.stage {
            Stage::Calling { sent, .. } if status.raw() == 180 => {
                let setup = (now - *sent).as_secs_f64() * 1000.0;
                self.totals().note_setup(setup);
            }
            Stage::Calling { invite, .. } if status.is_success() => {
                let invite = invite.clone();
                let mut index = Index::default();
                let dialog = index
                    .parse(&invite)
                    .ok()
                    .and_then(|invite| Dialog::uac(&invite, message).ok());
                call.dialog = dialog;
                self.on_answer(now, message, client, slot);
            }
            Stage::Calling { .. } if status.is_final() => self.calls[slot] = None,
            Stage::Closing if status.is_success() => {
                self.totals().report.calls.ended_normally += 1;
                self.close(slot);
            }
            Stage::Closing if status.is_final() => self.close(slot),
            _ => {}
        }
    }

    fn on_answer(&mut self, now: Instant, message: &Message<'_>, client: ClientId, slot: usize) {
        let branch = self.transactions.ack_branch();
        let (local, transport) = (self.local, self.wire.transport());
        let Some(Some(call)) = self.calls.get_mut(slot) else {
            return;
        };
        let Some(dialog) = &mut call.dialog else {
            return;
        };
        let mut out = Vec::new();
        let via = RequestVia {
            transport,
            sent_by: &local,
            branch: &branch,
            rport: true,
        };
        dialog.write_ack(&mut out, 1, via, 70).finish();
        self.transactions
            .send_ack_2xx(now, client, call.flow, Bytes::from(out));
        let aimed = aim(&mut call.voice, message.body(), call.key_of_ours.as_ref());
        let talk = self.role.talk;
        call.voice.start(now);
        call.stage = Stage::Up {
            hang_up_at: Some(now + talk + PAUSE),
        };
        if aimed.is_some() {
            self.totals().report.calls.answered += 1;
        }
    }

    fn hang_up(&mut self, now: Instant, slot: usize) {
        let Ok(client) = self.transactions.reserve_client() else {
            return;
        };
        let branch = self.transactions.branch(client);
        let (local, transport) = (self.local, self.wire.transport());
        let Some(Some(call)) = self.calls.get_mut(slot) else {
            return;
        };
        let Some(dialog) = &mut call.dialog else {
            return;
        };
        let mut out = Vec::new();
        let via = RequestVia {
            transport,
            sent_by: &local,
            branch: &branch,
            rport: true,
        };
        dialog
            .write_request(&mut out, Method::Bye, via, 70)
            .finish();
        call.stage = Stage::Closing;
        let (flow, owner) = (call.flow, Owner(slot as u64));
        let bytes = Bytes::from(out);
        self.transactions
            .send_request(now, client, RequestKind::NonInvite, flow, bytes, owner);
    }

    // The callee's side.

    fn on_invite(&mut self, now: Instant, flow: &Flow, message: &Message<'_>, server: ServerId) {
        let from = message
            .from()
            .ok()
            .and_then(|from| user(&from.uri))
            .unwrap_or_default();
        let to = message.request_uri().and_then(|uri| Uri::parse(uri).ok());
        let to = to.and_then(|uri| user(&uri)).unwrap_or_default();
        let Ok((mut call, _)) = self.new_call(&from, &to, Speaker::Callee) else {
            return self.respond(now, server, flow, message, 503, None, None);
        };
        match aim(&mut call.voice, message.body(), call.key_of_ours.as_ref()) {
            Some(tag) => call.key_tag = tag,
            None => return self.respond(now, server, flow, message, 488, None, None),
        }
        let Ok(dialog) = Dialog::uas(message, &call.tag) else {
            return self.respond(now, server, flow, message, 400, None, None);
        };
        if self.role.inside {
            self.secrets.word(call.tag.as_bytes());
        }
        let answer_at = now + Duration::from_millis(100 + self.entropy.below(300));
        let invite = Bytes::copy_from_slice(message.bytes());
        let tag = call.tag;
        call.flow = *flow;
        call.dialog = Some(dialog);
        call.stage = Stage::Ringing {
            server,
            invite,
            answer_at,
        };
        let slot = self.keep(call);
        self.transactions.set_owner(server, Owner(slot as u64));
        self.respond(now, server, flow, message, 180, Some(tag), None);
    }

    fn answer(&mut self, now: Instant, slot: usize, server: ServerId, invite: &[u8]) {
        let Some(Some(call)) = self.calls.get(slot) else {
            return;
        };
        let (flow, tag) = (call.flow, call.tag);
        let key = call.key_of_ours.as_ref().map(|key| (call.key_tag, key));
        let Some(body) = self.description(&call.voice, key) else {
            return;
        };
        let mut index = Index::default();
        let Ok(message) = index.parse(invite) else {
            return;
        };
        self.respond(now, server, &flow, &message, 200, Some(tag), Some(&body));
    }

    fn on_ack(&mut self, now: Instant, message: &Message<'_>) {
        let Some(slot) = self.find(message) else {
            return;
        };
        let Some(Some(call)) = self.calls.get_mut(slot) else {
            return;
        };
        if let Stage::Answered { server } = call.stage {
            self.transactions.acknowledged(server);
            call.voice.start(now);
            call.stage = Stage::Up { hang_up_at: None };
        }
    }

    fn on_bye(&mut self, now: Instant, flow: &Flow, message: &Message<'_>, server: ServerId) {
        match self.find(message) {
            Some(slot) => {
                self.respond(now, server, flow, message, 200, None, None);
                self.close(slot);
            }
            None => self.respond(now, server, flow, message, 481, None, None),
        }
    }

    fn find(&self, message: &Message<'_>) -> Option<usize> {
        self.calls.iter().position(|call| {
            call.as_ref()
                .and_then(|call| call.dialog.as_ref())
                .is_some_and(|dialog| dialog.matches_request(message))
        })
    }

    // Both sides.

    fn new_call(&mut self, from: &str, to: &str, speaker: Speaker) -> io::Result<(Call, Vec<u8>)> {
        let key = call_key(from, to);
        let cname = format!("{}@{}", self.role.origin, self.local.ip());
        let voice = Voice::bind(self.local.ip(), key, speaker, self.role.talk, &cname)?;
        let key_of_ours = self
            .role
            .secure
            .then(|| MasterKey::generate(SUITE, &mut self.entropy));
        let body = self
            .description(&voice, key_of_ours.as_ref().map(|key| (1, key)))
            .unwrap_or_default();
        let call = Call {
            key,
            speaker,
            flow: self.wire.flow(self.role.edge),
            stage: Stage::Closing,
            tag: self.cookies.new_tag(&mut self.entropy),
            dialog: None,
            voice,
            key_of_ours,
            key_tag: 1,
        };
        Ok((call, body))
    }

    fn description(&self, voice: &Voice, key: Option<(u32, &MasterKey)>) -> Option<Vec<u8>> {
        let local = voice.local().ok()?;
        let (ip, port, origin) = (local.ip(), local.port(), &self.role.origin);
        let profile = if key.is_some() { "RTP/SAVP" } else { "RTP/AVP" };
        let mut text = format!(
            "v=0\r\no={origin} 3891 1 IN IP4 {ip}\r\ns={origin}\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
             m=audio {port} {profile} 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\n"
        );
        if let Some((tag, key)) = key {
            text += &format!(
                "a=crypto:{tag} {} {}\r\n",
                SUITE.name(),
                key.to_inline().as_str()
            );
        }
        Some(text.into_bytes())
    }

    fn keep(&mut self, call: Call) -> usize {
        match self.calls.iter().position(Option::is_none) {
            Some(slot) => {
                self.calls[slot] = Some(call);
                slot
            }
            None => {
                self.calls.push(Some(call));
                self.calls.len() - 1
            }
        }
    }

    fn close(&mut self, slot: usize) {
        let Some(Some(mut call)) = self.calls.get_mut(slot).map(Option::take) else {
            return;
        };
        let (inside, secrets) = (self.role.inside, self.secrets.clone());
        call.voice
            .listen(&|bytes| !inside && secrets.found_in(bytes) > 0);
        let heard: Heard = call.voice.heard;
        self.totals().close(call.key, inside, call.speaker, heard);
    }

    #[allow(clippy::too_many_arguments)] // a response is made of just these
    fn respond(
        &mut self,
        now: Instant,
        server: ServerId,
        flow: &Flow,
        request: &Message<'_>,
        status: u16,
        tag: Option<Tag>,
        body: Option<&[u8]>,
    ) {
        let code = StatusCode::of(status);
        let tag = tag.unwrap_or_else(|| self.cookies.new_tag(&mut self.entropy));
        let mut out = Vec::new();
        let mut writer = response_to(
            &mut out,
            request,
            flow.remote,
            code,
            "",
            Some(tag.as_bytes()),
        );
        writer.header(HeaderName::Contact, self.contact());
        writer.header(HeaderName::Server, &self.role.product);
        match body {
            Some(body) => writer.body("application/sdp", body),
            None => writer.finish(),
        }
        self.transactions
            .respond(now, server, code, Bytes::from(out));
    }

    fn contact(&self) -> String {
        format!("<sip:{};transport={}>", self.local, self.wire.transport())
    }

    fn totals(&self) -> std::sync::MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const SUITE: Suite = Suite::AesCm128HmacSha1_80;

fn user(uri: &Uri<'_>) -> Option<String> {
    Some(String::from_utf8_lossy(uri.user?).into_owned())
}

/// Sends the voice where a description wants it, under its keys. The tag of the crypto line that
/// was chosen; `None` if the description does not fit.
fn aim(voice: &mut Voice, body: &[u8], ours: Option<&MasterKey>) -> Option<u32> {
    let description = SessionDescription::parse(body).ok()?;
    let media = description.media.first()?;
    let remote = description.rtp_address(media)?;
    let Some(ours) = ours else {
        voice.aim(remote, None);
        return (!media.proto.is_secure()).then_some(0);
    };
    let (tag, theirs) = media.crypto().flatten().find_map(|crypto| {
        let same = Suite::parse(crypto.suite.as_bytes()) == Some(SUITE);
        let key = crypto.inline_keys().next().filter(|_| same)?;
        Some((
            crypto.tag,
            MasterKey::from_inline(SUITE, key.as_bytes()).ok()?,
        ))
    })?;
    let keys = (
        Context::new(SUITE, &theirs).ok()?,
        Context::new(SUITE, ours).ok()?,
    );
    voice.aim(remote, Some(keys));
    Some(tag)
}

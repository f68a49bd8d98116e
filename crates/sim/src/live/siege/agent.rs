//! A user agent over UDP with a socket of its own: a phone, a caller, or somebody who pretends to be
//! one. It does one thing at a time and waits for it.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ringfence_base::Entropy;
use ringfence_base::entropy::SeededEntropy;
use ringfence_sdp::SessionDescription;
use ringfence_sip::digest::{Answer, Ha1, strongest};
use ringfence_sip::write::response_to;
use ringfence_sip::{HeaderName, Index, Message, StatusCode};

use super::super::leaks::Secrets;
use super::super::totals::Totals;

/// Before a request is sent again.
const AGAIN: Duration = Duration::from_millis(500);
/// Longest that a call may ring.
const RING: Duration = Duration::from_secs(10);
/// Longest that anything else may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Looks for what must not be seen outside.
#[derive(Clone)]
pub(super) struct Watcher {
    pub(super) secrets: Secrets,
    pub(super) totals: Arc<Mutex<Totals>>,
}

impl Watcher {
    pub(super) fn look(&self, bytes: &[u8]) {
        let found = self.secrets.found_in(bytes);
        if found > 0 {
            let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
            totals.leaks += found;
        }
    }
}

/// Where an agent sits and whom it asks.
#[derive(Clone)]
pub(super) struct Place {
    /// Its own address.
    pub(super) from: IpAddr,
    /// The edge.
    pub(super) edge: SocketAddr,
    /// The host in its URIs.
    pub(super) domain: String,
    /// Set when it is outside.
    pub(super) watcher: Option<Watcher>,
    /// Ends all waiting.
    pub(super) stop: Arc<AtomicBool>,
}

/// Whom it says it is, to a challenge.
#[derive(Clone, Copy)]
pub(super) struct Credentials<'a> {
    pub(super) user: &'a str,
    pub(super) password: &'a str,
}

/// A user agent.
pub(super) struct Agent {
    place: Place,
    socket: UdpSocket,
    local: SocketAddr,
    entropy: SeededEntropy,
}

/// A call that was answered.
pub(super) struct Dialog {
    call_id: String,
    from: String,
    to: String,
    target: String,
    cseq: u32,
    /// What we said of our sound.
    body: String,
    /// Where the other side wants sound.
    pub(super) sound: Option<SocketAddr>,
}

/// What became of an INVITE.
pub(super) enum Invited {
    /// Answered.
    Up(Dialog),
    /// Refused, and whether it rang before.
    Refused {
        /// The SIP status.
        status: u16,
        /// Whether 180 or 183 came first.
        rang: bool,
    },
    /// No answer.
    Silence,
}

impl Agent {
    /// Binds a socket.
    pub(super) fn new(place: Place, seed: u64) -> io::Result<Agent> {
        let socket = UdpSocket::bind((place.from, 0))?;
        let local = socket.local_addr()?;
        Ok(Agent {
            place,
            socket,
            local,
            entropy: SeededEntropy::new(seed),
        })
    }

    /// Registers a user; the status of the last answer.
    pub(super) fn register(&mut self, who: Credentials<'_>) -> Option<u16> {
        let (domain, local, user) = (self.place.domain.clone(), self.local, who.user);
        let call_id = self.token();
        let tag = self.token();
        let head = |agent: &mut Agent, cseq: u32, more: &str| {
            let branch = agent.token();
            format!(
                "REGISTER sip:{domain} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{branch};rport\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:{user}@{domain}>;tag={tag}\r\nTo: <sip:{user}@{domain}>\r\n\
                 Call-ID: {call_id}\r\nCSeq: {cseq} REGISTER\r\nContact: <sip:{user}@{local}>\r\n\
                 Expires: 600\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, NOTIFY, REFER\r\n\
                 Supported: replaces, timer\r\n\
                 User-Agent: Deskphone/12.4.1\r\n{more}Content-Length: 0\r\n\r\n"
            )
        };
        let first = head(self, 1, "");
        let (status, answer) = self.exchange(&first, "REGISTER", PATIENCE)?;
        if status != 401 {
            return Some(status);
        }
        let proof = prove(&answer, "REGISTER", &format!("sip:{domain}"), who)?;
        let second = head(self, 2, &proof);
        let (status, _) = self.exchange(&second, "REGISTER", PATIENCE)?;
        Some(status)
    }

    /// Calls `to` in the name of `from`, with sound at `port`. Answers one challenge.
    pub(super) fn invite(
        &mut self,
        from: &str,
        to: &str,
        port: u16,
        who: Option<Credentials<'_>>,
    ) -> Invited {
        let (domain, local) = (self.place.domain.clone(), self.local);
        let (call_id, tag) = (self.token(), self.token());
        let uri = format!("sip:{to}@{domain}");
        let from = format!("<sip:{from}@{domain}>;tag={tag}");
        let host = local.ip();
        let body = format!(
            "v=0\r\no=- 7 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n\
             a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\n"
        );
        let mut proof = String::new();
        for cseq in 1..=2 {
            let branch = self.token();
            let via = format!("SIP/2.0/UDP {local};branch=z9hG4bK{branch};rport");
            let invite = format!(
                "INVITE {uri} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {from}\r\n\
                 To: <{uri}>\r\nCall-ID: {call_id}\r\nCSeq: {cseq} INVITE\r\n\
                 Contact: <sip:{local}>\r\n{proof}Content-Type: application/sdp\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let mut rang = false;
            let answered = self.await_final(&invite, "INVITE", RING, &mut rang);
            let Some((status, bytes)) = answered else {
                return Invited::Silence;
            };
            let mut index = Index::default();
            let Ok(message) = index.parse(&bytes) else {
                return Invited::Silence;
            };
            let to = header(&message, "To").unwrap_or_else(|| format!("<{uri}>"));
            if (200..300).contains(&status) {
                let dialog = Dialog {
                    call_id,
                    from,
                    to,
                    target: target(&message).unwrap_or(uri),
                    cseq,
                    body,
                    sound: sound_of(message.body()),
                };
                self.acknowledge(&dialog);
                return Invited::Up(dialog);
            }
            let ack = format!(
                "ACK {uri} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\n\
                 Call-ID: {call_id}\r\nCSeq: {cseq} ACK\r\nContent-Length: 0\r\n\r\n"
            );
            self.send(&ack);
            match who.filter(|_| matches!(status, 401 | 407) && cseq == 1) {
                Some(who) => match prove(&bytes, "INVITE", &uri, who) {
                    Some(header) => proof = header,
                    None => return Invited::Refused { status, rang },
                },
                None => return Invited::Refused { status, rang },
            }
        }
        Invited::Silence
    }

    /// Ends a call.
    pub(super) fn hang_up(&mut self, dialog: &mut Dialog) {
        dialog.cseq += 1;
        let bye = self.in_dialog(dialog, "BYE");
        self.exchange(&bye, "BYE", PATIENCE);
    }

    /// Answers what has come within a call, waiting for it at most so long. `true`: the other side
    /// has hung up.
    pub(super) fn attend(&mut self, dialog: &mut Dialog, wait: Duration) -> bool {
        let Some((bytes, remote)) = self.receive(wait) else {
            return false;
        };
        let mut index = Index::default();
        let Ok(message) = index.parse(&bytes) else {
            return false;
        };
        if message.status().is_some() {
            // The 200 to our INVITE, again.
            let again = header(&message, "CSeq").is_some_and(|cseq| cseq.ends_with("INVITE"));
            if again {
                self.acknowledge(dialog);
            }
            return false;
        }
        let bye = bytes.starts_with(b"BYE ");
        if bytes.starts_with(b"ACK ") {
            return false;
        }
        let mut out = Vec::new();
        let mut writer = response_to(&mut out, &message, remote, StatusCode::of(200), "", None);
        if bytes.starts_with(b"INVITE ") {
            // The same sound as before, to where it is wanted now.
            dialog.sound = sound_of(message.body()).or(dialog.sound);
            writer.header(HeaderName::Contact, format!("<sip:{}>", self.local));
            writer.body("application/sdp", &dialog.body);
        } else {
            writer.finish();
        }
        // What is lost is asked for again.
        let _ = self.socket.send_to(&out, remote);
        bye
    }

    fn acknowledge(&mut self, dialog: &Dialog) {
        let ack = self.in_dialog(dialog, "ACK");
        self.send(&ack);
    }

    fn in_dialog(&mut self, dialog: &Dialog, method: &str) -> String {
        let (branch, local) = (self.token(), self.local);
        let Dialog {
            call_id,
            from,
            to,
            target,
            cseq,
            ..
        } = dialog;
        format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{branch};rport\r\n\
             Max-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n\
             CSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n"
        )
    }

    fn exchange(
        &mut self,
        request: &str,
        method: &str,
        patience: Duration,
    ) -> Option<(u16, Vec<u8>)> {
        self.await_final(request, method, patience, &mut false)
    }

    /// Sends a request until it is answered; its final answer.
    fn await_final(
        &mut self,
        request: &str,
        method: &str,
        patience: Duration,
        rang: &mut bool,
    ) -> Option<(u16, Vec<u8>)> {
        let begun = Instant::now();
        let mut sent = begun;
        let mut heard = false;
        self.send(request);
        while begun.elapsed() < patience && !(self.stopped() && begun.elapsed() > PATIENCE) {
            if !heard && sent.elapsed() >= AGAIN {
                sent = Instant::now();
                self.send(request);
            }
            let Some((bytes, _)) = self.receive(Duration::from_millis(50)) else {
                continue;
            };
            let mut index = Index::default();
            let Ok(message) = index.parse(&bytes) else {
                continue;
            };
            let ours = header(&message, "CSeq").is_some_and(|cseq| cseq.ends_with(method))
                && header(&message, "Call-ID").is_some_and(|id| request.contains(&id));
            let Some(status) = message.status().map(|status| status.raw()).filter(|_| ours) else {
                continue;
            };
            heard = true;
            *rang |= matches!(status, 180 | 183);
            if status >= 200 {
                return Some((status, bytes));
            }
        }
        None
    }

    fn receive(&mut self, wait: Duration) -> Option<(Vec<u8>, SocketAddr)> {
        self.socket
            .set_read_timeout(Some(wait.max(Duration::from_millis(1))))
            .ok()?;
        let mut buffer = [0; 8192];
        let (length, remote) = self.socket.recv_from(&mut buffer).ok()?;
        let bytes = buffer.get(..length)?.to_vec();
        if let Some(watcher) = &self.place.watcher {
            watcher.look(&bytes);
        }
        Some((bytes, remote))
    }

    /// Whether all waiting is to end.
    pub(super) fn stopped(&self) -> bool {
        self.place.stop.load(Relaxed)
    }

    /// Its address.
    pub(super) fn host(&self) -> IpAddr {
        self.local.ip()
    }

    fn send(&self, text: &str) {
        // What is lost is sent again.
        let _ = self.socket.send_to(text.as_bytes(), self.place.edge);
    }

    fn token(&mut self) -> String {
        let port = self.local.port();
        format!("{:x}{port:x}", self.entropy.next_u64())
    }
}

/// The value of a header, as text, also under its compact name.
pub(super) fn header(message: &Message<'_>, name: &str) -> Option<String> {
    let compact = match name {
        "Call-ID" => "i",
        "To" => "t",
        _ => name,
    };
    let text = std::str::from_utf8(message.bytes()).ok()?;
    let line = text.split("\r\n").take_while(|line| !line.is_empty());
    let value = line.skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        let found = found.trim();
        let same = found.eq_ignore_ascii_case(name) || found.eq_ignore_ascii_case(compact);
        same.then(|| value.trim())
    })?;
    Some(value.to_owned())
}

/// Where a description wants its sound.
pub(super) fn sound_of(body: &[u8]) -> Option<SocketAddr> {
    let description = SessionDescription::parse(body).ok()?;
    description.rtp_address(description.media.first()?)
}

fn target(message: &Message<'_>) -> Option<String> {
    let contact = message.contact().ok()??;
    String::from_utf8(contact.raw_uri().to_vec()).ok()
}

/// The header that answers a challenge.
fn prove(answer: &[u8], method: &str, uri: &str, who: Credentials<'_>) -> Option<String> {
    let mut index = Index::default();
    let message = index.parse(answer).ok()?;
    let (name, challenge) = strongest(&message).ok()?;
    let (user, password) = (who.user.as_bytes(), who.password.as_bytes());
    let ha1 = Ha1::new(challenge.algorithm, user, &challenge.realm, password).ok()?;
    let value = challenge.answer(&Answer {
        username: user,
        ha1: &ha1,
        method: method.as_bytes(),
        uri: uri.as_bytes(),
        cnonce: b"5f1e02a7",
        nc: 1,
    })?;
    let value = String::from_utf8(value).ok()?;
    Some(format!("{}: {value}\r\n", name.as_str()))
}

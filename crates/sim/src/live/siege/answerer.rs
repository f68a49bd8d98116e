//! Whoever answers: the office's telephone system, or the carrier for calls that go out. It speaks
//! in a way that is told from the edge's own voice.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use ringfence_sip::write::response_to;
use ringfence_sip::{HeaderName, Index, Message, Method, StatusCode};

use super::super::wait;
use super::agent::{Watcher, header, sound_of};

/// What somebody who answered says: a byte that no prompt consists of.
pub(super) const WORD: u8 = 0x55;
/// How long it rings.
const RING: Duration = Duration::from_millis(150);
const PACKET_TIME: Duration = Duration::from_millis(20);

/// Who answers.
pub(super) struct Answerer {
    socket: UdpSocket,
    rtp: UdpSocket,
    local: SocketAddr,
    watcher: Option<Watcher>,
    calls: BTreeMap<String, Call>,
    seen: Arc<AtomicU64>,
    made: u64,
}

struct Call {
    invite: Vec<u8>,
    edge: SocketAddr,
    tag: String,
    answer_at: Instant,
    answered: bool,
    sound: Option<SocketAddr>,
    number: u16,
}

impl Answerer {
    /// Answers at `local`. `seen` counts the calls that came.
    pub(super) fn new(
        local: SocketAddr,
        watcher: Option<Watcher>,
        seen: Arc<AtomicU64>,
    ) -> io::Result<Answerer> {
        let socket = UdpSocket::bind(local)?;
        let rtp = UdpSocket::bind((local.ip(), 0))?;
        socket.set_nonblocking(true)?;
        rtp.set_nonblocking(true)?;
        Ok(Answerer {
            socket,
            rtp,
            local,
            watcher,
            calls: BTreeMap::new(),
            seen,
            made: 0,
        })
    }

    /// Answers until `stop`.
    pub(super) fn run(mut self, stop: &AtomicBool) {
        let mut next = Instant::now();
        let mut buffer = [0; 8192];
        while !stop.load(Relaxed) {
            let pause = next.saturating_duration_since(Instant::now());
            wait(&[self.socket.as_raw_fd()], Some(pause));
            while let Ok((length, remote)) = self.socket.recv_from(&mut buffer) {
                if let Some(bytes) = buffer.get(..length) {
                    self.on_message(bytes, remote);
                }
            }
            // Nobody listens here: what callers say is of no interest.
            while self.rtp.recv_from(&mut buffer).is_ok() {}
            if Instant::now() >= next {
                next = (next + PACKET_TIME).max(Instant::now());
                self.tick();
            }
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        let due: Vec<String> = self
            .calls
            .iter()
            .filter(|(_, call)| !call.answered && call.answer_at <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in due {
            if let Some(call) = self.calls.get_mut(&id) {
                call.answered = true;
            }
            self.repeat(&id);
        }
        for call in self.calls.values_mut().filter(|call| call.answered) {
            let Some(sound) = call.sound else { continue };
            let mut packet = [WORD; 172];
            packet[..2].copy_from_slice(&[0x80, 0]);
            packet[2..4].copy_from_slice(&call.number.to_be_bytes());
            packet[4..8].copy_from_slice(&(u32::from(call.number) * 160).to_be_bytes());
            packet[8..12].copy_from_slice(&[7, 7, 7, 7]);
            call.number = call.number.wrapping_add(1);
            // Loss is the network's right.
            let _ = self.rtp.send_to(&packet, sound);
        }
    }

    fn on_message(&mut self, bytes: &[u8], remote: SocketAddr) {
        if let Some(watcher) = &self.watcher {
            watcher.look(bytes);
        }
        let mut index = Index::default();
        let Ok(message) = index.parse(bytes) else {
            return;
        };
        let Some(id) = header(&message, "Call-ID") else {
            return;
        };
        match message.method() {
            Some(Method::Invite) if self.calls.contains_key(&id) => self.repeat(&id),
            Some(Method::Invite) => {
                self.made += 1;
                self.seen.fetch_add(1, Relaxed);
                let call = Call {
                    invite: bytes.to_vec(),
                    edge: remote,
                    tag: format!("{}x{}", self.made, self.local.port()),
                    answer_at: Instant::now() + RING,
                    answered: false,
                    sound: sound_of(message.body()),
                    number: 0,
                };
                self.calls.insert(id.clone(), call);
                self.repeat(&id);
            }
            Some(Method::Bye) => {
                self.calls.remove(&id);
                self.respond(&message, remote, 200, None, None);
            }
            Some(Method::Cancel) => {
                self.respond(&message, remote, 200, None, None);
                if let Some(call) = self.calls.remove(&id) {
                    let mut index = Index::default();
                    if let Ok(invite) = index.parse(&call.invite) {
                        self.respond(&invite, call.edge, 487, Some(&call.tag), None);
                    }
                }
            }
            Some(Method::Ack) | None => {}
            Some(_) => self.respond(&message, remote, 200, None, None),
        }
    }

    /// Says to an INVITE what there is to say now.
    fn repeat(&self, id: &str) {
        let Some(call) = self.calls.get(id) else {
            return;
        };
        let mut index = Index::default();
        let Ok(invite) = index.parse(&call.invite) else {
            return;
        };
        let port = self.rtp.local_addr().map_or(0, |local| local.port());
        let host = self.local.ip();
        let events = events_of(invite.body());
        let (format, map) = match events {
            Some(events) => (
                format!(" {events}"),
                format!("a=rtpmap:{events} telephone-event/8000\r\n"),
            ),
            None => Default::default(),
        };
        let body = format!(
            "v=0\r\no=- 9 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0{format}\r\na=rtpmap:0 PCMU/8000\r\n{map}a=ptime:20\r\n"
        );
        match call.answered {
            true => self.respond(&invite, call.edge, 200, Some(&call.tag), Some(&body)),
            false => self.respond(&invite, call.edge, 180, Some(&call.tag), None),
        }
    }

    fn respond(
        &self,
        request: &Message<'_>,
        remote: SocketAddr,
        status: u16,
        tag: Option<&str>,
        body: Option<&str>,
    ) {
        let mut out = Vec::new();
        let tag = tag.map(str::as_bytes);
        let mut writer = response_to(&mut out, request, remote, StatusCode::of(status), "", tag);
        writer.header(HeaderName::Contact, format!("<sip:{}>", self.local));
        match body {
            Some(body) => writer.body("application/sdp", body),
            None => writer.finish(),
        }
        // What is lost is asked for again.
        let _ = self.socket.send_to(&out, remote);
    }
}

/// The payload type that an offer has for telephone events.
fn events_of(body: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(body).ok()?;
    text.lines().find_map(|line| {
        let map = line.strip_prefix("a=rtpmap:")?;
        let (number, name) = map.split_once(' ')?;
        name.starts_with("telephone-event")
            .then(|| number.parse().ok())?
    })
}

//! The attacker: scans, enumerates, guesses, tries to place calls, and probes media ports, from an
//! address that nobody configured.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ringfence_base::Entropy;
use ringfence_base::entropy::SeededEntropy;
use ringfence_sip::Index;

use super::leaks::Secrets;
use super::totals::Totals;
use super::wait;

/// What the attacker knows: where to knock.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// His own address.
    pub(super) from: std::net::IpAddr,
    /// The edge's UDP address outside.
    pub(super) udp: SocketAddr,
    /// The edge's TCP address outside.
    pub(super) tcp: SocketAddr,
    /// Ports to probe for open media.
    pub(super) media: RangeInclusive<u16>,
    /// What his randomness follows from.
    pub(super) seed: u64,
}

/// Between two tries.
const PACE: Duration = Duration::from_millis(20);
/// Users that any dictionary has.
const USERS: [&str; 12] = [
    "100", "101", "102", "200", "201", "1000", "1001", "admin", "alice", "bob", "sip", "test",
];

/// Attacks until `stop`.
pub(super) fn run(
    target: &Target,
    stop: &AtomicBool,
    secrets: &Secrets,
    totals: &Arc<Mutex<Totals>>,
) {
    let Ok(socket) = UdpSocket::bind((target.from, 0)) else {
        return;
    };
    if socket.set_nonblocking(true).is_err() {
        return;
    }
    let mut attacker = Attacker {
        socket,
        target,
        entropy: SeededEntropy::new(target.seed),
        nobody: None,
        answers: Vec::new(),
        secrets,
        totals,
        tries: 0,
    };
    while !stop.load(Relaxed) {
        attacker.try_something();
        wait(
            &[std::os::fd::AsRawFd::as_raw_fd(&attacker.socket)],
            Some(PACE),
        );
        attacker.read_answers();
    }
    attacker.read_answers();
}

struct Attacker<'a> {
    socket: UdpSocket,
    target: &'a Target,
    entropy: SeededEntropy,
    /// How a user who cannot exist is answered.
    nobody: Option<u16>,
    /// Users with their answers.
    answers: Vec<(String, u16)>,
    secrets: &'a Secrets,
    totals: &'a Arc<Mutex<Totals>>,
    tries: u64,
}

impl Attacker<'_> {
    fn try_something(&mut self) {
        self.tries += 1;
        let user = USERS[self.entropy.below(USERS.len() as u64) as usize];
        match self.tries % 6 {
            0 => self.request("OPTIONS", "100"),
            1 => self.request("REGISTER", user),
            // Somebody who cannot exist: whoever is answered otherwise does.
            2 => {
                let nobody = format!("nobody{:x}", self.entropy.next_u64());
                self.request("REGISTER", &nobody);
            }
            3 => self.request("INVITE", "+13305550100"),
            4 => self.request("INVITE", "00442079460000"),
            _ => self.probe_media(),
        }
        if self.tries % 100 == 50 {
            self.knock_over_tcp();
        }
    }

    fn message(&mut self, method: &str, user: &str, transport: &str) -> String {
        let (udp, from) = (self.target.udp, self.target.from);
        let number = self.entropy.next_u64() >> 16;
        let authorization = match method {
            "REGISTER" => format!(
                "Authorization: Digest username=\"{user}\", realm=\"x\", nonce=\"{number:x}\", \
                 uri=\"sip:{udp}\", response=\"{number:032x}\"\r\n"
            ),
            _ => String::new(),
        };
        format!(
            "{method} sip:{user}@{udp} SIP/2.0\r\nVia: SIP/2.0/{transport} {from}:5060;\
             branch=z9hG4bK-{number};rport\r\nMax-Forwards: 70\r\n\
             To: \"{user}\" <sip:{user}@{udp}>\r\nFrom: \"{user}\" <sip:{user}@{udp}>;tag={number:x}\r\n\
             Call-ID: {number}@{from}\r\nCSeq: 1 {method}\r\nContact: <sip:{user}@{from}:5060>\r\n\
             {authorization}User-Agent: friendly-scanner\r\nContent-Length: 0\r\n\r\n"
        )
    }

    fn request(&mut self, method: &str, user: &str) {
        let text = self.message(method, user, "UDP");
        if self
            .socket
            .send_to(text.as_bytes(), self.target.udp)
            .is_ok()
        {
            self.count_sent(1, text.len());
        }
    }

    /// RTP to a port of the media range: an open relay would send sound back, or let it in.
    fn probe_media(&mut self) {
        let range = &self.target.media;
        let count = u64::from(range.end() - range.start()) + 1;
        let port = range.start() + self.entropy.below(count) as u16;
        let mut packet = [0; 172];
        packet[0] = 0x80;
        let to = SocketAddr::new(self.target.udp.ip(), port);
        if self.socket.send_to(&packet, to).is_ok() {
            self.count_sent(0, packet.len());
        }
    }

    fn knock_over_tcp(&mut self) {
        let patience = Duration::from_millis(200);
        let Ok(mut stream) = TcpStream::connect_timeout(&self.target.tcp, patience) else {
            return;
        };
        let text = self.message("INVITE", "+13305550100", "TCP");
        if stream.write_all(text.as_bytes()).is_err()
            || stream.set_read_timeout(Some(patience)).is_err()
        {
            return;
        }
        self.count_sent(1, text.len());
        let mut buffer = [0; 4096];
        if let Ok(length) = stream.read(&mut buffer) {
            self.on_answer(&buffer[..length]);
        }
    }

    fn read_answers(&mut self) {
        let mut buffer = [0; 65_535];
        while let Ok((length, _)) = self.socket.recv_from(&mut buffer) {
            self.on_answer(&buffer[..length]);
        }
    }

    fn on_answer(&mut self, bytes: &[u8]) {
        let mut index = Index::default();
        let parsed = index.parse(bytes).ok();
        let status = parsed
            .and_then(|message| message.status())
            .map(|status| status.raw());
        let user = parsed.and_then(|message| message.to().ok()).and_then(|to| {
            to.uri
                .user
                .map(|user| String::from_utf8_lossy(user).into_owned())
        });
        let register = parsed.is_some_and(|message| {
            message
                .cseq()
                .is_ok_and(|cseq| cseq.method == ringfence_sip::Method::Register)
        });
        if let (Some(status), Some(user), true) = (status, user, register) {
            if user.starts_with("nobody") {
                self.nobody = Some(status);
            } else if self.answers.len() < 1000 {
                self.answers.push((user, status));
            }
        }
        let nobody = self.nobody;
        let disclosed = self
            .answers
            .iter()
            .filter(|(_, status)| Some(*status) != nobody)
            .count();
        let found = self.secrets.found_in(bytes);
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        totals.leaks += found;
        let takings = &mut totals.report.attacker;
        takings.bytes_answered += bytes.len() as u64;
        takings.users_disclosed = disclosed as u64;
        let rang = status.is_some_and(|status| (180..300).contains(&status)) && !register;
        let invited = parsed.is_some_and(|message| {
            message
                .cseq()
                .is_ok_and(|cseq| cseq.method == ringfence_sip::Method::Invite)
        });
        takings.calls_placed += u64::from(rang && invited);
    }

    fn count_sent(&self, requests: u64, bytes: usize) {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        totals.report.attacker.requests += requests;
        totals.report.attacker.bytes_sent += bytes as u64;
    }
}

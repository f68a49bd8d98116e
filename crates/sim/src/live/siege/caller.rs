//! A caller on the line: speaks or is silent, listens, and presses what it is asked for.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use ringfence_rtp::RtpView;
use ringfence_rtp::telephone_event::TelephoneEvent;

use super::agent::{Agent, Credentials, Invited};
use super::answerer::WORD;
use super::ear::Ear;

/// How a caller behaves once somebody answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manners {
    /// Says something, and presses the digit that it is asked for; else it is silent.
    pub(super) human: bool,
    /// Hangs up after so long in a talk: a human from the first word of the callee on, others from
    /// the answer on.
    pub(super) talk: Duration,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The callee was heard.
    pub(super) connected: bool,
    /// The edge asked.
    pub(super) asked: bool,
    /// The SIP status of a refusal.
    pub(super) refused: Option<u16>,
    /// It rang or was answered.
    pub(super) rang: bool,
    /// From the first word of the callee to the end.
    pub(super) talked: Duration,
}

/// How long it takes a person to find the key.
const REACTION: Duration = Duration::from_millis(400);
const PACKET_TIME: Duration = Duration::from_millis(20);
const SILENCE: u8 = 0xff;
/// How long a human waits for a word after the answer.
const WAITS: Duration = Duration::from_secs(15);

/// Places a call and sees it through. `up` is told once, when the callee is heard first.
pub(super) fn call(
    agent: &mut Agent,
    from: &str,
    to: &str,
    who: Option<Credentials<'_>>,
    manners: Manners,
    up: &mut dyn FnMut(),
) -> Outcome {
    let Ok(mut line) = Line::open(agent.host()) else {
        return Outcome::default();
    };
    let mut outcome = Outcome::default();
    let mut dialog = match agent.invite(from, to, line.port, who) {
        Invited::Up(dialog) => dialog,
        Invited::Refused { status, rang } => {
            outcome.refused = Some(status);
            outcome.rang = rang;
            return outcome;
        }
        Invited::Silence => return outcome,
    };
    outcome.rang = true;
    let answered = Instant::now();
    let mut first_word: Option<Instant> = None;
    let mut understood: Option<Instant> = None;
    let mut pressed = false;
    let pace = if manners.human {
        PACKET_TIME / 2
    } else {
        PACKET_TIME * 5
    };
    loop {
        let gone = agent.attend(&mut dialog, pace);
        line.remote = dialog.sound;
        line.listen();
        let now = Instant::now();
        outcome.asked |= line.prompted;
        if line.words > 0 && first_word.is_none() {
            first_word = Some(now);
            outcome.connected = true;
            up();
        }
        if manners.human {
            line.speak(now);
            if let (Some(digit), None) = (line.ear.first_digit(), first_word) {
                let since = *understood.get_or_insert(now);
                if !pressed && now >= since + REACTION {
                    pressed = true;
                    line.press(digit);
                }
            }
        }
        outcome.talked = first_word.map_or(Duration::ZERO, |first| now - first);
        if gone {
            return outcome;
        }
        let over = match (manners.human, first_word) {
            (true, Some(_)) => outcome.talked >= manners.talk,
            (true, None) => now - answered >= WAITS,
            (false, _) => now - answered >= manners.talk,
        };
        if over || agent.stopped() {
            agent.hang_up(&mut dialog);
            return outcome;
        }
    }
}

/// The sound of one call.
struct Line {
    socket: UdpSocket,
    port: u16,
    remote: Option<SocketAddr>,
    ear: Ear,
    /// Packets of the callee.
    words: u64,
    /// Something else was said.
    prompted: bool,
    next: Option<Instant>,
    number: u16,
    clock: u32,
}

impl Line {
    fn open(host: IpAddr) -> std::io::Result<Line> {
        let socket = UdpSocket::bind((host, 0))?;
        socket.set_nonblocking(true)?;
        Ok(Line {
            port: socket.local_addr()?.port(),
            socket,
            remote: None,
            ear: Ear::new(),
            words: 0,
            prompted: false,
            next: None,
            number: 0,
            clock: 0,
        })
    }

    fn listen(&mut self) {
        let mut packet = [0; 2048];
        while let Ok((length, _)) = self.socket.recv_from(&mut packet) {
            let Some(bytes) = packet.get(..length) else {
                continue;
            };
            let Ok(view) = RtpView::parse(bytes) else {
                continue;
            };
            let sound = view.payload();
            if sound.iter().all(|byte| *byte == WORD) {
                self.words += 1;
            } else {
                self.prompted |= sound.iter().any(|byte| byte & 0x7f != 0x7f);
                self.ear.hear(sound);
            }
        }
    }

    fn speak(&mut self, now: Instant) {
        let mut at = *self.next.get_or_insert(now);
        while at <= now {
            at += PACKET_TIME;
            self.send(0, false, &[SILENCE; 160]);
            self.clock = self.clock.wrapping_add(160);
        }
        self.next = Some(at);
    }

    /// Presses a key: RFC 4733 §2.5.
    fn press(&mut self, digit: u8) {
        for packet in 0..8_u16 {
            let event = TelephoneEvent {
                event: digit,
                end: packet >= 5,
                volume: 10,
                duration: 160 * (packet.min(5) + 1),
            };
            self.send(101, packet == 0, &event.to_bytes());
            std::thread::sleep(PACKET_TIME);
        }
        self.clock = self.clock.wrapping_add(160 * 8);
        self.next = None;
    }

    fn send(&mut self, payload_type: u8, marker: bool, payload: &[u8]) {
        let Some(remote) = self.remote else { return };
        let mut packet = vec![0x80, payload_type | u8::from(marker) << 7];
        packet.extend_from_slice(&self.number.to_be_bytes());
        packet.extend_from_slice(&self.clock.to_be_bytes());
        packet.extend_from_slice(&u32::from(self.port).to_be_bytes());
        packet.extend_from_slice(payload);
        self.number = self.number.wrapping_add(1);
        // Loss is the network's right.
        let _ = self.socket.send_to(&packet, remote);
    }
}

//! Sound that proves where it came from: each packet's payload follows from the call, the side
//! that sends and the packet's number, so that loss, damage and crossed calls all show.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use ringfence_base::Instant;
use ringfence_rtp::RtpView;
use ringfence_rtp::srtp::Context;

/// Packet time.
pub(super) const PACKET_TIME: Duration = Duration::from_millis(20);
/// Bytes of G.711 in a packet.
pub(super) const PAYLOAD: usize = 160;
/// RTP's fixed header.
const HEADER: usize = 12;
/// Room behind a packet for SRTP.
const TAIL: usize = 64;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Speaker {
    /// Whoever placed the call.
    Caller,
    /// Whoever answered it.
    Callee,
}

impl Speaker {
    /// The one across.
    pub(super) const fn other(self) -> Speaker {
        match self {
            Speaker::Caller => Speaker::Callee,
            Speaker::Callee => Speaker::Caller,
        }
    }
}

/// The payload of packet `number` that `speaker` says in the call between two numbers.
pub(super) fn payload(call: u64, speaker: Speaker, number: u16) -> [u8; PAYLOAD] {
    let mut state = call ^ (u64::from(number) << 17) ^ ((speaker == Speaker::Caller) as u64) << 63;
    std::array::from_fn(|_| {
        state = state
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 56) as u8
    })
}

/// Names a call by its two numbers, which both ends see.
pub(super) fn call_key(from: &str, to: &str) -> u64 {
    let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).collect::<Vec<u8>>();
    digits(from)
        .into_iter()
        .chain([b'|'])
        .chain(digits(to))
        .fold(0xcbf2_9ce4_8422_2325, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
        })
}

/// What one end of a call sent and heard.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heard {
    /// Packets sent.
    pub(super) sent: u64,
    /// Packets received whose content is right.
    pub(super) matched: u64,
    /// Packets received whose content is not.
    pub(super) wrong: u64,
    /// Packets that did not authenticate.
    pub(super) forged: u64,
    /// Bytes of the other side that were found.
    pub(super) leaks: u64,
}

/// One end of a call's sound: two sockets and what goes over them.
pub(super) struct Voice {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    call: u64,
    speaker: Speaker,
    remote: Option<SocketAddr>,
    /// Receive, send.
    crypto: Option<(Context, Context)>,
    next: Option<Instant>,
    number: u16,
    packets: u16,
    cname: String,
    /// So far.
    pub(super) heard: Heard,
}

impl Voice {
    /// Binds a pair of ports at `host`: RTP at an even one, RTCP at the next.
    pub(super) fn bind(
        host: std::net::IpAddr,
        call: u64,
        speaker: Speaker,
        length: Duration,
        cname: &str,
    ) -> io::Result<Voice> {
        let (rtp, rtcp) = bind_pair(host)?;
        Ok(Voice {
            rtp,
            rtcp,
            call,
            speaker,
            remote: None,
            crypto: None,
            next: None,
            number: 0,
            packets: (length.as_millis() / PACKET_TIME.as_millis()) as u16,
            cname: cname.to_owned(),
            heard: Heard::default(),
        })
    }

    /// Our RTP address.
    pub(super) fn local(&self) -> io::Result<SocketAddr> {
        self.rtp.local_addr()
    }

    /// The sockets, to wait on: none before it is known what will come.
    pub(super) fn sockets(&self) -> impl Iterator<Item = &UdpSocket> {
        [&self.rtp, &self.rtcp]
            .into_iter()
            .filter(|_| self.remote.is_some())
    }

    /// Where to send, and under which keys.
    pub(super) fn aim(&mut self, remote: SocketAddr, crypto: Option<(Context, Context)>) {
        self.remote = Some(remote);
        self.crypto = crypto;
    }

    /// Begins to speak.
    pub(super) fn start(&mut self, now: Instant) {
        self.next.get_or_insert(now);
        self.send_report();
    }

    /// When the next packet is due; `None` when all is said.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.next.filter(|_| self.number < self.packets)
    }

    /// Sends what is due.
    pub(super) fn speak(&mut self, now: Instant) {
        while let Some(at) = self.next_at().filter(|at| *at <= now) {
            self.next = Some(at + PACKET_TIME);
            let mut packet = [0; HEADER + PAYLOAD + TAIL];
            packet[0] = 0x80;
            packet[2..4].copy_from_slice(&self.number.to_be_bytes());
            let timestamp = u32::from(self.number) * PAYLOAD as u32;
            packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
            packet[8..12].copy_from_slice(&self.ssrc().to_be_bytes());
            let sound = payload(self.call, self.speaker, self.number);
            packet[HEADER..HEADER + PAYLOAD].copy_from_slice(&sound);
            self.number += 1;
            let mut length = HEADER + PAYLOAD;
            if let Some((_, send)) = &mut self.crypto {
                match send.protect_rtp(&mut packet, length) {
                    Ok(protected) => length = protected,
                    Err(_) => continue,
                }
            }
            if let Some(remote) = self.remote
                && self.rtp.send_to(&packet[..length], remote).is_ok()
            {
                self.heard.sent += 1;
            }
        }
    }

    /// Reads all that has come. `is_leak` says whether bytes of the other side show.
    ///
    /// Sound may be quicker than the answer that says how it is encrypted: it waits in the socket
    /// until then.
    pub(super) fn listen(&mut self, is_leak: &dyn Fn(&[u8]) -> bool) {
        if self.remote.is_none() {
            return;
        }
        let mut packet = [0; 2048];
        while let Ok((length, _)) = self.rtp.recv_from(&mut packet) {
            let length = match &mut self.crypto {
                None => length,
                Some((receive, _)) => match receive.unprotect_rtp(&mut packet, length) {
                    Ok(length) => length,
                    Err(_) => {
                        self.heard.forged += 1;
                        continue;
                    }
                },
            };
            let Ok(view) = RtpView::parse(&packet[..length]) else {
                continue;
            };
            if view.payload() == payload(self.call, self.speaker.other(), view.seq()) {
                self.heard.matched += 1;
            } else {
                self.heard.wrong += 1;
            }
        }
        while let Ok((length, _)) = self.rtcp.recv_from(&mut packet) {
            let length = match &mut self.crypto {
                None => length,
                Some((receive, _)) => receive
                    .unprotect_rtcp(&mut packet, length)
                    .unwrap_or_default(),
            };
            self.heard.leaks += u64::from(is_leak(&packet[..length]));
        }
    }

    /// A sender report with our name in it: just what must not be seen on the other side.
    fn send_report(&mut self) {
        let Some(remote) = self.remote else { return };
        let mut packet = vec![0x80, 200, 0, 6];
        packet.extend_from_slice(&self.ssrc().to_be_bytes());
        packet.extend_from_slice(&[0; 20]);
        let name = self.cname.as_bytes();
        let mut chunk = self.ssrc().to_be_bytes().to_vec();
        chunk.extend_from_slice(&[1, name.len() as u8]);
        chunk.extend_from_slice(name);
        chunk.push(0);
        chunk.resize(chunk.len().next_multiple_of(4), 0);
        packet.extend_from_slice(&[0x81, 202]);
        packet.extend_from_slice(&((chunk.len() / 4) as u16).to_be_bytes());
        packet.extend_from_slice(&chunk);
        let mut length = packet.len();
        packet.resize(length + TAIL, 0);
        if let Some((_, send)) = &mut self.crypto {
            match send.protect_rtcp(&mut packet, length) {
                Ok(protected) => length = protected,
                Err(_) => return,
            }
        }
        let to = SocketAddr::new(remote.ip(), remote.port() + 1);
        // Loss is the network's right, also here.
        let _ = self.rtcp.send_to(&packet[..length], to);
    }

    fn ssrc(&self) -> u32 {
        self.call as u32 ^ (self.speaker == Speaker::Caller) as u32
    }
}

fn bind_pair(host: std::net::IpAddr) -> io::Result<(UdpSocket, UdpSocket)> {
    for _ in 0..100 {
        let rtp = UdpSocket::bind((host, 0))?;
        let port = rtp.local_addr()?.port();
        if port % 2 == 0
            && let Ok(rtcp) = UdpSocket::bind((host, port + 1))
        {
            rtp.set_nonblocking(true)?;
            rtcp.set_nonblocking(true)?;
            return Ok((rtp, rtcp));
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AddrInUse,
        "no pair of ports is free",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packet_of_every_call_and_speaker_is_its_own() {
        let (a, b) = (call_key("+1555", "+1330"), call_key("+1556", "+1330"));
        assert_eq!(a, call_key("1555", "1330"), "a plus makes no other call");
        let one = payload(a, Speaker::Caller, 7);
        assert_ne!(one, payload(a, Speaker::Caller, 8));
        assert_ne!(one, payload(a, Speaker::Callee, 7));
        assert_ne!(one, payload(b, Speaker::Caller, 7));
        assert_eq!(one, payload(a, Speaker::Caller, 7));
    }
}

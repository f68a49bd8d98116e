//! The traffic: every session sends 50 packets a second each way, evenly spread over time, and
//! every packet that comes through is looked at.
//!
//! One thread sends, one receives. Of protected packets one in fifty is opened: enough to know
//! that they are right, little enough to leave the cores to the program under test.

use std::fmt;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::srtp::{Direction, TRAILER_MAX};

/// Between two packets of one direction, in milliseconds.
const PTIME_MS: usize = 20;

/// Payload bytes: 20 ms of G.711.
const PAYLOAD: usize = 160;

/// An RTP header without extensions.
const HEADER: usize = 12;

/// What every payload byte is.
const FILL: u8 = 0xd5;

/// Of protected packets, one in so many is opened.
const OPENED: u16 = 50;

/// Packets in flight of one direction whose time of sending is remembered.
const RING: usize = 64;

/// What is still on its way when the last packet has been sent.
const TAIL: Duration = Duration::from_millis(300);

/// Latencies kept.
const LATENCIES_MAX: usize = 4_000_000;

/// Two ends that talk to each other through the program under test.
pub struct Session {
    ends: [End; 2],
    /// Packets sent by each end so far.
    sent: [u32; 2],
}

struct End {
    socket: UdpSocket,
    outbound: Option<Direction>,
    inbound: Option<Direction>,
}

impl Session {
    /// A session between two sockets that are connected to the program under test.
    pub fn new(sockets: [UdpSocket; 2]) -> Session {
        let end = |socket| End {
            socket,
            outbound: None,
            inbound: None,
        };
        Session {
            ends: sockets.map(end),
            sent: [0; 2],
        }
    }

    /// Protects one end.
    pub fn protect(&mut self, end: usize, outbound: Direction, inbound: Direction) {
        self.ends[end].outbound = Some(outbound);
        self.ends[end].inbound = Some(inbound);
    }
}

/// What a run of the traffic saw.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Packets sent.
    pub sent: u64,
    /// Packets that came through, whatever is in them.
    pub received: u64,
    /// Packets that came through with something else in them, or that could not be opened.
    pub wrong: u64,
    /// Packets that were opened and were right.
    pub opened: u64,
    /// Sorted latencies in microseconds.
    latencies: Vec<f32>,
    /// How long sending took.
    took: Duration,
}

impl Run {
    /// Whether sending took a good deal longer than the `length` that was asked for: the machine
    /// was too busy to keep the rate.
    pub fn is_late(&self, length: Duration) -> bool {
        self.took > length.mul_f64(1.05)
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |share: f64| {
            let place = (self.latencies.len() as f64 * share) as usize;
            self.latencies.get(place).copied().unwrap_or(0.0)
        };
        write!(
            f,
            "sent {} received {} wrong {} opened {} at {:.0}/s, latency p50 {:.0} us p99 {:.0} us",
            self.sent,
            self.received,
            self.wrong,
            self.opened,
            self.sent as f64 / self.took.as_secs_f64(),
            at(0.50),
            at(0.99)
        )
    }
}

/// Sessions with their traffic.
pub struct Traffic {
    sessions: Vec<Session>,
    /// When each packet was sent, in microseconds since the start of the run.
    sent_at: Vec<AtomicU32>,
}

impl Traffic {
    /// Traffic over `sessions`.
    pub fn new(sessions: Vec<Session>) -> anyhow::Result<Traffic> {
        ensure!(!sessions.is_empty(), "no sessions");
        for end in sessions.iter().flat_map(|session| &session.ends) {
            end.socket.set_nonblocking(true)?;
        }
        let slots = sessions.len() * 2 * RING;
        Ok(Traffic {
            sessions,
            sent_at: (0..slots).map(|_| AtomicU32::new(0)).collect(),
        })
    }

    /// Sends for `length` and counts what arrives.
    pub fn run(&mut self, length: Duration) -> anyhow::Result<Run> {
        let start = Instant::now();
        let stop = AtomicBool::new(false);
        let mut inbound = Vec::new();
        let mut senders = Vec::new();
        for (number, session) in self.sessions.iter_mut().enumerate() {
            let sent = &mut session.sent;
            for ((side, end), sent) in session.ends.iter_mut().enumerate().zip(sent) {
                let End {
                    socket,
                    outbound,
                    inbound: opens,
                } = end;
                let stream = number * 2 + side;
                inbound.push(Receiver {
                    socket: &*socket,
                    opens: opens.as_mut(),
                    stream,
                });
                senders.push(Sender {
                    socket,
                    protects: outbound.as_mut(),
                    stream,
                    sent,
                });
            }
        }
        let sent_at = &self.sent_at;
        std::thread::scope(|scope| {
            let receiver = scope.spawn(|| receive(inbound, sent_at, start, &stop));
            let sent = send(&mut senders, sent_at, start, length);
            let took = start.elapsed();
            crate::wait::measure_for(TAIL);
            stop.store(true, Ordering::Relaxed);
            let received = receiver.join().ok().context("the receiver panicked")?;
            let mut run = received?;
            (run.sent, run.took) = (sent, took);
            run.latencies.sort_by(f32::total_cmp);
            Ok(run)
        })
    }
}

struct Sender<'a> {
    socket: &'a UdpSocket,
    protects: Option<&'a mut Direction>,
    stream: usize,
    sent: &'a mut u32,
}

struct Receiver<'a> {
    socket: &'a UdpSocket,
    opens: Option<&'a mut Direction>,
    stream: usize,
}

/// One slot a millisecond; each stream sends in every twentieth.
fn send(
    senders: &mut [Sender<'_>],
    sent_at: &[AtomicU32],
    start: Instant,
    length: Duration,
) -> u64 {
    let mut packet = [0u8; HEADER + PAYLOAD + TRAILER_MAX];
    let mut sent = 0;
    for slot in 0..length.as_millis() as usize {
        for sender in senders
            .iter_mut()
            .filter(|sender| sender.stream / 2 % PTIME_MS == slot % PTIME_MS)
        {
            let count = *sender.sent;
            *sender.sent = count.wrapping_add(1);
            // Sequence numbers go on over runs: to the relay it is one stream.
            let sequence = count as u16;
            packet[..2].copy_from_slice(&[0x80, 0]);
            packet[2..4].copy_from_slice(&sequence.to_be_bytes());
            packet[4..8].copy_from_slice(&count.wrapping_mul(PAYLOAD as u32).to_be_bytes());
            packet[8..12].copy_from_slice(&(0x1000 + sender.stream as u32).to_be_bytes());
            packet[HEADER..HEADER + PAYLOAD].fill(FILL);
            let mut length = HEADER + PAYLOAD;
            if let Some(direction) = &mut sender.protects {
                length = direction.apply(&mut packet, length).unwrap_or(0);
            }
            let place = sender.stream * RING + usize::from(sequence) % RING;
            sent_at[place].store(start.elapsed().as_micros() as u32, Ordering::Relaxed);
            sent += u64::from(sender.socket.send(&packet[..length]).is_ok());
        }
        let due = start + Duration::from_millis(slot as u64 + 1);
        if let Some(left) = due.checked_duration_since(Instant::now()) {
            std::thread::park_timeout(left);
        }
    }
    sent
}

fn receive(
    mut receivers: Vec<Receiver<'_>>,
    sent_at: &[AtomicU32],
    start: Instant,
    stop: &AtomicBool,
) -> anyhow::Result<Run> {
    // SAFETY: plain system calls on descriptors that live through this function.
    let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    ensure!(
        epoll >= 0,
        "epoll_create1: {}",
        std::io::Error::last_os_error()
    );
    for (place, receiver) in receivers.iter().enumerate() {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: place as u64,
        };
        let fd = receiver.socket.as_raw_fd();
        // SAFETY: as above; the event is copied.
        let added = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event) };
        ensure!(added == 0, "epoll_ctl: {}", std::io::Error::last_os_error());
    }
    let mut run = Run::default();
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; 256];
    let mut packet = [0u8; 2_048];
    while !stop.load(Ordering::Relaxed) {
        // SAFETY: the array has room for the number of events that is passed.
        let ready = unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), 256, 50) };
        for event in &events[..usize::try_from(ready).unwrap_or(0)] {
            let receiver = &mut receivers[event.u64 as usize];
            while let Ok(length) = receiver.socket.recv(&mut packet) {
                arrived(receiver, &mut packet, length, sent_at, start, &mut run);
            }
        }
    }
    // SAFETY: it is open and nobody else's.
    unsafe { libc::close(epoll) };
    Ok(run)
}

fn arrived(
    receiver: &mut Receiver<'_>,
    packet: &mut [u8],
    length: usize,
    sent_at: &[AtomicU32],
    start: Instant,
    run: &mut Run,
) {
    // Other payload types are RTCP of the program under test.
    if length < HEADER || packet[1] & 0x7f != 0 {
        return;
    }
    run.received += 1;
    let sequence = u16::from_be_bytes([packet[2], packet[3]]);
    // What arrives here was sent by the other end.
    let place = (receiver.stream ^ 1) * RING + usize::from(sequence) % RING;
    let sent = sent_at[place].load(Ordering::Relaxed);
    let now = start.elapsed().as_micros() as u32;
    if run.latencies.len() < LATENCIES_MAX && now >= sent {
        run.latencies.push((now - sent) as f32);
    }
    let mut length = length;
    if let Some(direction) = &mut receiver.opens {
        if !sequence.is_multiple_of(OPENED) {
            return;
        }
        match direction.apply(packet, length) {
            Some(opened) => (length, run.opened) = (opened, run.opened + 1),
            None => {
                run.wrong += 1;
                return;
            }
        }
    }
    let right = length == HEADER + PAYLOAD && packet[HEADER + 8] == FILL;
    run.wrong += u64::from(!right);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packet_of_a_wire_arrives() {
        let pair = || {
            let one = UdpSocket::bind("127.0.0.1:0").expect("bound");
            let two = UdpSocket::bind("127.0.0.1:0").expect("bound");
            one.connect(two.local_addr().expect("address"))
                .expect("connected");
            two.connect(one.local_addr().expect("address"))
                .expect("connected");
            [one, two]
        };
        let sessions = (0..3).map(|_| Session::new(pair())).collect();
        let mut traffic = Traffic::new(sessions).expect("made");
        for _ in 0..2 {
            let run = traffic.run(Duration::from_millis(200)).expect("run");
            assert_eq!((run.sent, run.received, run.wrong), (60, 60, 0));
        }
    }
}

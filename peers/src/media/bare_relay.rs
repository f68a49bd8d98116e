//! A relay that does nothing but receive and send: the floor of this machine.
//!
//! Two threads, each with an epoll and its half of the sessions, and two system calls a packet. It
//! looks at nothing and counts nothing, so whatever a real relay costs above it is the real one's
//! own, and nothing that uses the kernel's UDP sockets can cost much less.

use std::io::Write;
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use tempfile::NamedTempFile;

use super::load::Session;
use crate::net::Network;
use crate::process::Process;

/// The argument that makes a program be the relay; the file that names the ends follows.
pub const ARGUMENT: &str = "--bare-relay";

const THREADS: usize = 2;
const EVENTS: usize = 512;
const READY: &str = "ready";

/// The hosts of the two ends, and of the relay.
const ENDS: [u8; 2] = [20, 21];
const RELAY: u8 = 3;

/// Starts `program` as the relay, with `count` sessions through it.
///
/// # Errors
/// When it cannot be started, or a socket cannot be had.
pub fn establish(
    network: &Network,
    program: &Path,
    count: usize,
) -> anyhow::Result<(Process, Vec<Session>)> {
    let mut ends = NamedTempFile::new()?;
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        let pair = [
            super::socket(network.outside(ENDS[0]))?,
            super::socket(network.outside(ENDS[1]))?,
        ];
        let (one, other) = (pair[0].local_addr()?, pair[1].local_addr()?);
        writeln!(ends, "{one} {other}")?;
        sockets.push(pair);
    }
    ends.flush()?;
    let mut command = Command::new(program);
    command
        .arg(ARGUMENT)
        .arg(ends.path())
        .arg(network.outside(RELAY).to_string());
    let mut relay = Process::start("bare relay", &mut command)?;
    relay.wait_for_line(READY, Duration::from_secs(10))?;
    let places: Vec<[SocketAddrV4; 2]> = relay
        .lines()
        .iter()
        .filter(|line| line.as_str() != READY)
        .map(|line| addresses(line))
        .collect::<anyhow::Result<_>>()?;
    ensure!(
        places.len() == count,
        "the relay has {} of {count}",
        places.len()
    );
    let mut sessions = Vec::with_capacity(count);
    for (pair, place) in sockets.into_iter().zip(places) {
        for (socket, address) in pair.iter().zip(place) {
            socket.connect(address)?;
        }
        sessions.push(Session::new(pair));
    }
    Ok((relay, sessions))
}

/// Is the relay, until it is killed.
///
/// # Errors
/// When the arguments are not those of [`establish`], or a socket cannot be had.
pub fn serve(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let file = arguments.next().context("no file of ends")?;
    let host: std::net::Ipv4Addr = arguments.next().context("no address")?.parse()?;
    let mut halves: [Vec<Relayed>; THREADS] = std::array::from_fn(|_| Vec::new());
    let mut places = String::new();
    for (number, line) in std::fs::read_to_string(&file)?.lines().enumerate() {
        let ends = addresses(line)?;
        let sockets = [super::socket(host)?, super::socket(host)?];
        for socket in &sockets {
            socket.set_nonblocking(true)?;
        }
        let (one, other) = (sockets[0].local_addr()?, sockets[1].local_addr()?);
        places.push_str(&format!("{one} {other}\n"));
        halves[number % THREADS].push(Relayed { sockets, ends });
    }
    std::io::stdout().write_all(format!("{places}{READY}\n").as_bytes())?;
    let threads: Vec<_> = halves
        .into_iter()
        .map(|half| std::thread::spawn(move || relay(&half)))
        .collect();
    for thread in threads {
        thread.join().ok().context("a thread panicked")??;
    }
    Ok(())
}

struct Relayed {
    sockets: [UdpSocket; 2],
    ends: [SocketAddrV4; 2],
}

fn relay(sessions: &[Relayed]) -> anyhow::Result<()> {
    // SAFETY: plain system calls on descriptors that live through this function.
    let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    ensure!(
        epoll >= 0,
        "epoll_create1: {}",
        std::io::Error::last_os_error()
    );
    let sockets = sessions.iter().flat_map(|session| &session.sockets);
    for (place, socket) in sockets.enumerate() {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: place as u64,
        };
        // SAFETY: as above; the event is copied.
        let added = unsafe {
            libc::epoll_ctl(
                epoll,
                libc::EPOLL_CTL_ADD,
                socket.as_raw_fd(),
                &raw mut event,
            )
        };
        ensure!(added == 0, "epoll_ctl: {}", std::io::Error::last_os_error());
    }
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
    let mut packet = [0u8; 2_048];
    loop {
        // SAFETY: the array has room for the number of events that is passed.
        let ready = unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), EVENTS as i32, -1) };
        for event in &events[..usize::try_from(ready).unwrap_or(0)] {
            let (session, side) = (&sessions[event.u64 as usize / 2], event.u64 as usize % 2);
            if let Ok((length, _)) = session.sockets[side].recv_from(&mut packet) {
                let _ =
                    session.sockets[1 - side].send_to(&packet[..length], session.ends[1 - side]);
            }
        }
    }
}

fn addresses(line: &str) -> anyhow::Result<[SocketAddrV4; 2]> {
    let (one, other) = line.split_once(' ').context("no two addresses")?;
    Ok([one.parse()?, other.parse()?])
}

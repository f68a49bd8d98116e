//! Addresses of one's own on loopback.
//!
//! A run claims two neighbouring /24 networks inside 127/8, one for each side of the fence. No
//! other run uses them, so ports can be chosen freely, and a text or a packet of one side that
//! shows up on the other is recognised by its address. In a namespace of its own
//! ([`crate::namespace`]) a run has networks of 10/8 instead, which cables carry.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};

use anyhow::bail;
use socket2::{Domain, Socket, Type};

/// The host and port that mark a network as taken, held as long as the run lasts.
const MARK: (u8, u16) = (254, 9_899);

/// Ports tried for SIP, in turn: a program of the machine may hold the first on every address.
const SIP_PORTS: [u16; 3] = [5_060, 15_060, 25_060];

/// Two networks that are this run's alone.
#[derive(Debug)]
pub struct Network {
    first: u8,
    second: u8,
    third: u8,
    sip_port: u16,
    _mark: Option<UdpSocket>,
}

impl Network {
    /// Claims a free pair.
    ///
    /// # Errors
    /// When none is free, which means that 127/8 is not on this machine's loopback.
    pub fn claim() -> anyhow::Result<Network> {
        let start = std::process::id();
        for attempt in 0..2_000u32 {
            let place = start.wrapping_mul(7).wrapping_add(attempt);
            // 127.0 and 127.1 are where people put things by hand.
            let second = 2 + (place / 127 % 250) as u8;
            let third = (place % 127 * 2) as u8;
            let (host, port) = MARK;
            let mark = UdpSocket::bind((Ipv4Addr::new(127, second, third, host), port));
            if let Ok(mark) = mark {
                let probe = Ipv4Addr::new(127, second, third, 1);
                if let Some(sip_port) = SIP_PORTS.into_iter().find(|port| free(probe, *port)) {
                    return Ok(Network {
                        first: 127,
                        second,
                        third,
                        sip_port,
                        _mark: Some(mark),
                    });
                }
            }
        }
        bail!("no free network on loopback")
    }

    /// Two networks inside 10/8, for programs in namespaces of their own: nobody else is there.
    pub fn of_a_namespace() -> Network {
        Network {
            first: 10,
            second: 77,
            third: 0,
            sip_port: SIP_PORTS[0],
            _mark: None,
        }
    }

    /// Host `host` of the outside network.
    pub fn outside(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(self.first, self.second, self.third, host)
    }

    /// Host `host` of the inside network.
    pub fn inside(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(self.first, self.second, self.third + 1, host)
    }

    /// What every inside address starts with, dot included.
    pub fn inside_prefix(&self) -> String {
        format!("{}.{}.{}.", self.first, self.second, self.third + 1)
    }

    /// What every outside address starts with, dot included.
    pub fn outside_prefix(&self) -> String {
        format!("{}.{}.{}.", self.first, self.second, self.third)
    }

    /// The port for SIP over UDP and TCP.
    pub fn sip_port(&self) -> u16 {
        self.sip_port
    }

    /// The port for SIP over TLS.
    pub fn tls_port(&self) -> u16 {
        self.sip_port + 1
    }
}

/// An address and port that nothing listens on now, TCP and UDP.
///
/// # Errors
/// When the machine has none.
pub fn free_port(address: Ipv4Addr) -> anyhow::Result<SocketAddrV4> {
    for _ in 0..100 {
        let port = TcpListener::bind((address, 0))?.local_addr()?.port();
        if free(address, port) {
            return Ok(SocketAddrV4::new(address, port));
        }
    }
    bail!("no free port on {address}")
}

/// A TCP connection from `local` to `remote`.
///
/// # Errors
/// When it cannot be made.
pub fn connect_from(local: Ipv4Addr, remote: SocketAddrV4) -> anyhow::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddrV4::new(local, 0).into())?;
    socket.connect(&remote.into())?;
    Ok(socket.into())
}

/// Whether some program has bound `address` (or its port on every address), read from the
/// kernel's tables so that nothing is sent to it: those of the namespace that this thread is in.
pub fn is_bound(address: SocketAddrV4, udp: bool) -> bool {
    let table = if udp {
        "/proc/thread-self/net/udp"
    } else {
        "/proc/thread-self/net/tcp"
    };
    let text = std::fs::read_to_string(table).unwrap_or_default();
    let little_endian = u32::from_le_bytes(address.ip().octets());
    let here = format!("{little_endian:08X}:{:04X}", address.port());
    let everywhere = format!("00000000:{:04X}", address.port());
    text.lines().skip(1).any(|line| {
        let mut columns = line.split_whitespace().skip(1);
        let local = columns.next().unwrap_or_default();
        // Of TCP, sockets in state LISTEN.
        let open = udp || columns.nth(1) == Some("0A");
        open && (local == here || local == everywhere)
    })
}

fn free(address: Ipv4Addr, port: u16) -> bool {
    UdpSocket::bind((address, port)).is_ok() && TcpListener::bind((address, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_never_share_a_network() {
        let one = Network::claim().expect("free");
        let two = Network::claim().expect("free");
        assert_ne!(one.outside(1), two.outside(1));
        assert_ne!(one.outside(1), one.inside(1));
        let socket = UdpSocket::bind((one.outside(9), one.sip_port())).expect("bound");
        let address = SocketAddrV4::new(one.outside(9), one.sip_port());
        assert!(is_bound(address, true) && !is_bound(address, false));
        drop(socket);
        assert!(one.inside(7).to_string().starts_with(&one.inside_prefix()));
    }
}

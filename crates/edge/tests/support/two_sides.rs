//! An edge between two far sides, each over an IP version and a transport of its own.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustls::{ClientConfig, ServerConfig};

use super::line::{Line, Wire};
use super::{Agent, CallFacts, Net, eventually, media_address, rtp};

/// Addresses of one side.
#[derive(Clone, Copy, Debug)]
pub struct Side {
    pub edge: SocketAddr,
    pub peer: SocketAddr,
    pub rtp: SocketAddr,
    /// Four port pairs of the edge from here.
    pub media: SocketAddr,
    /// `udp`, `tcp` or `tls`.
    pub transport: &'static str,
}

static BLOCKS: AtomicU32 = AtomicU32::new(0);

impl Side {
    /// IPv4 addresses of the test's own; `edge` and `peer` of a [`Net`].
    pub fn v4(edge: IpAddr, peer: IpAddr, port: u16, transport: &'static str) -> Side {
        Side {
            edge: SocketAddr::new(edge, port),
            peer: SocketAddr::new(peer, 5060),
            rtp: SocketAddr::new(peer, super::AGENT_MEDIA),
            media: SocketAddr::new(edge, 30_000 + (port - 5060) * 100),
            transport,
        }
    }

    /// A block of free ports of the only IPv6 address that every host has.
    pub fn v6(transport: &'static str) -> Side {
        let seed = std::process::id() * 13;
        for _ in 0..700 {
            let block = (seed + BLOCKS.fetch_add(1, Ordering::Relaxed)) % 700;
            let at =
                |n: u16| SocketAddr::from((Ipv6Addr::LOCALHOST, 10_000 + block as u16 * 32 + n));
            // Held to the end of the process: what is only looked at, another test's process looks at too.
            let Ok(claim) = UdpSocket::bind(at(31)) else {
                continue;
            };
            if (0..16).all(|n| UdpSocket::bind(at(n)).is_ok() && TcpListener::bind(at(n)).is_ok()) {
                std::mem::forget(claim);
                return Side {
                    edge: at(0),
                    peer: at(1),
                    rtp: at(2),
                    media: at(4),
                    transport,
                };
            }
        }
        panic!("no free ports on ::1");
    }

    /// `[listen.NAME]` and, of the peer, what every peer has.
    pub fn tables(&self, name: &str, peer: &str, listen_more: &str, peer_more: &str) -> String {
        let Side {
            edge,
            peer: far,
            media,
            transport,
            ..
        } = self;
        let ports = format!("{}-{}", media.port(), media.port() + 7);
        let media = SocketAddr::new(media.ip(), 0).to_string();
        let media = media.trim_end_matches('0').to_owned() + &ports;
        format!(
            "[listen.{name}]\n{transport} = \"{edge}\"\nmedia = \"{media}\"\n{listen_more}\n\
             [{peer}]\nsite = \"summit\"\nlisten = \"{name}\"\n\
             peer = \"sip:{far};transport={transport}\"\n{peer_more}\n"
        )
    }
}

/// The configuration around two sides.
pub fn config(outside: &str, inside: &str) -> String {
    format!(
        "[edge]\ndata = \"./data\"\nworkers = 1\n\
         [tenant.summit]\ncountry = \"US\"\n\
         [site.summit]\ntenant = \"summit\"\nnumbers = [\"+13305550100-+13305550149\"]\n\
         {outside}{inside}"
    )
}

/// Two sides of one network: the carrier's and the PBX's.
pub fn v4_sides(net: &Net, outside: &'static str, inside: &'static str) -> [Side; 2] {
    [
        Side::v4(net.edge, net.carrier, 5060, outside),
        Side::v4(net.edge, net.pbx, 5070, inside),
    ]
}

/// TLS of a far side.
#[derive(Clone)]
pub struct FarTls {
    pub client: Arc<ClientConfig>,
    pub server: Arc<ServerConfig>,
    /// The name demanded of the edge.
    pub edge_name: &'static str,
}

/// A far side: what it says, and the way it says it.
pub struct Far {
    pub agent: Agent,
    pub side: Side,
    pub tls: Option<FarTls>,
    acceptor: Option<TcpListener>,
    line: Option<Line<Box<dyn Wire>>>,
}

impl Far {
    pub fn new(side: Side, tls: Option<FarTls>) -> Far {
        let stream = side.transport != "udp";
        Far {
            agent: Agent::bind_at(side.peer, side.rtp),
            acceptor: stream.then(|| TcpListener::bind(side.peer).unwrap()),
            side,
            tls,
            line: None,
        }
    }

    /// Opens a connection to the edge from the side's own address; nothing to do over UDP.
    pub fn connect(&mut self) {
        if self.side.transport == "udp" {
            return;
        }
        let domain = socket2::Domain::for_address(self.side.peer);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).unwrap();
        socket
            .bind(&SocketAddr::new(self.side.peer.ip(), 0).into())
            .unwrap();
        socket.connect(&self.side.edge.into()).unwrap();
        let stream: TcpStream = socket.into();
        self.line = Some(match &self.tls {
            Some(tls) => Line::tls_client(stream, Arc::clone(&tls.client), tls.edge_name),
            None => Line::plain(stream),
        });
    }

    pub fn hang_up_line(&mut self) {
        self.line = None;
    }

    pub fn line(&mut self) -> &mut Line<Box<dyn Wire>> {
        self.line.as_mut().expect("a connection")
    }

    /// Takes the next connection of the edge.
    pub fn accept(&mut self) {
        let (stream, _) = self.acceptor.as_ref().unwrap().accept().unwrap();
        self.line = Some(match &self.tls {
            Some(tls) => Line::tls_server(stream, Arc::clone(&tls.server)),
            None => Line::plain(stream),
        });
    }

    #[track_caller]
    pub fn send(&mut self, text: &str) {
        match self.side.transport {
            "udp" => self.agent.send(text, self.side.edge),
            _ => self.line().send(text),
        }
    }

    #[track_caller]
    pub fn expect(&mut self, start: &str) -> String {
        if self.side.transport == "udp" {
            return self.agent.expect(start);
        }
        if self.line.is_none() {
            self.accept();
        }
        self.line().expect(start)
    }
}

/// A call of `caller` that `callee` has answered: its facts, the edge's INVITE and the 200.
pub fn answered(
    (caller, offer): (&mut Far, &str),
    (callee, answer): (&mut Far, &str),
    number: &str,
    id: &str,
) -> (CallFacts, String, String) {
    let mut call = CallFacts::new(id, number, caller.side.edge);
    let invite = caller.agent.request(&call, "INVITE", 1, offer);
    // A number that the PBX may present.
    caller.send(&invite.replace("+13125550001", "+13305550101"));
    let invite = callee.expect("INVITE");
    callee.send(&callee.agent.answer(&invite, "200 OK", answer));
    let ok = caller.expect("SIP/2.0 200");
    call.answered(&ok);
    let ack = caller.agent.request(&call, "ACK", 1, "");
    caller.send(&ack);
    callee.expect("ACK");
    (call, invite, ok)
}

pub fn hang_up(caller: &mut Far, callee: &mut Far, call: &CallFacts) {
    let bye = caller.agent.request(call, "BYE", 2, "");
    caller.send(&bye);
    let bye = callee.expect("BYE");
    callee.send(&callee.agent.answer(&bye, "200 OK", ""));
    caller.expect("SIP/2.0 200");
}

/// Plain audio each way; `towards` are the edge's addresses that the caller and the callee know.
pub fn exchange(caller: &Far, callee: &Far, ok: &str, invite: &str) {
    for sequence in 0..20 {
        for (from, to, message) in [(caller, callee, ok), (callee, caller, invite)] {
            let packet = rtp(7, sequence);
            let target = media_address(message);
            from.agent.rtp.send_to(&packet, target).unwrap();
            let mut buffer = [0; 2048];
            let (length, source) = to.agent.rtp.recv_from(&mut buffer).expect("the packet");
            assert_eq!(buffer[12..length], packet[12..], "the audio changed");
            assert_eq!(source.ip(), to.side.edge.ip());
        }
    }
}

/// Waits until so many records are written and none of the calls failed.
pub fn all_ended_well(edge: &ringfence_edge::Edge, records: u64) {
    let status = eventually("all records written", || {
        let status = edge.status().unwrap();
        (status.records.written == records).then_some(status)
    });
    assert_eq!((status.calls, status.calls_failed), (0, 0));
}

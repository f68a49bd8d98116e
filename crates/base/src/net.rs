//! Names for where bytes come from and go to. Plain data: nothing here opens a socket.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

crate::define_id! {
    /// A listener of the configuration (`[listen.NAME]`), by its index in the plan.
    pub struct ListenerId(u8);
}

crate::define_id! {
    /// One worker thread of the edge.
    pub struct WorkerIndex(u8);
}

/// A stream connection: which worker owns it, its slot there, and the slot's generation, so that
/// an id of a closed connection never names its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    /// The worker whose event loop owns the socket.
    pub worker: WorkerIndex,
    /// The slot in that worker's table.
    pub slot: u32,
    /// Counts the slot's uses.
    pub generation: u32,
}

/// A SIP transport (RFC 3261 §18).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// UDP datagrams.
    Udp,
    /// TCP stream.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// WebSocket (RFC 7118).
    Ws,
    /// WebSocket over TLS (RFC 7118).
    Wss,
}

impl Transport {
    /// Every transport.
    pub const ALL: [Transport; 5] = [
        Transport::Udp,
        Transport::Tcp,
        Transport::Tls,
        Transport::Ws,
        Transport::Wss,
    ];

    /// Whether nobody on the path can read it.
    pub const fn is_secure(self) -> bool {
        matches!(self, Transport::Tls | Transport::Wss)
    }

    /// Whether it is a WebSocket: only ever opened towards us, by a phone.
    pub const fn is_web_socket(self) -> bool {
        matches!(self, Transport::Ws | Transport::Wss)
    }

    /// Whether the transport delivers or reports failure itself, so that transactions do not
    /// retransmit over it (RFC 3261 §17).
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Transport::Udp)
    }

    /// The name in a Via header: `UDP`, `TCP`, `TLS`, `WS`, `WSS`.
    pub const fn via_name(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
            Transport::Ws => "WS",
            Transport::Wss => "WSS",
        }
    }

    /// The value of a `transport` URI parameter: `udp`, `tcp`, `tls`, `ws`, `wss`.
    pub const fn uri_name(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
            Transport::Ws => "ws",
            Transport::Wss => "wss",
        }
    }

    /// The default port: 5060, or 5061 for TLS (RFC 3261 §19.1.2); 80 and 443 for WebSocket
    /// (RFC 7118 §5.2).
    pub const fn default_port(self) -> u16 {
        match self {
            Transport::Udp | Transport::Tcp => 5060,
            Transport::Tls => 5061,
            Transport::Ws => 80,
            Transport::Wss => 443,
        }
    }

    /// Parses a Via or URI transport name, in any case.
    pub fn parse(name: &[u8]) -> Option<Transport> {
        Transport::ALL
            .into_iter()
            .find(|transport| name.eq_ignore_ascii_case(transport.uri_name().as_bytes()))
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.uri_name())
    }
}

/// Where a message came from, or where one is to go.
///
/// For a message received over a stream `connection` names the connection. In a message to send,
/// `None` over a stream asks the edge for an open connection to `remote`, or a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Our listener.
    pub listener: ListenerId,
    /// The transport.
    pub transport: Transport,
    /// The far side's address.
    pub remote: SocketAddr,
    /// The stream connection, if one is meant.
    pub connection: Option<ConnectionId>,
}

impl Flow {
    /// A UDP flow.
    pub const fn udp(listener: ListenerId, remote: SocketAddr) -> Flow {
        Flow {
            listener,
            transport: Transport::Udp,
            remote,
            connection: None,
        }
    }

    /// From one worker of this process to another, in the name of `listener`. Its far side is an
    /// address that nothing can come from: an edge must drop what claims it.
    pub const fn within(listener: ListenerId, transport: Transport) -> Flow {
        Flow {
            listener,
            transport,
            remote: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 1),
            connection: None,
        }
    }

    /// Whether it never leaves the process.
    pub const fn is_within(&self) -> bool {
        self.remote.ip().is_unspecified()
    }
}

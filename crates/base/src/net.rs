//! Names for where bytes come from and go to. Plain data: nothing here opens a socket.

use std::fmt;
use std::net::SocketAddr;

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
}

impl Transport {
    /// Whether the transport delivers or reports failure itself, so that transactions do not
    /// retransmit over it (RFC 3261 §17).
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Transport::Udp)
    }

    /// The name in a Via header: `UDP`, `TCP`, `TLS`.
    pub const fn via_name(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
        }
    }

    /// The value of a `transport` URI parameter: `udp`, `tcp`, `tls`.
    pub const fn uri_name(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
        }
    }

    /// The default port: 5060, or 5061 for TLS (RFC 3261 §19.1.2).
    pub const fn default_port(self) -> u16 {
        match self {
            Transport::Udp | Transport::Tcp => 5060,
            Transport::Tls => 5061,
        }
    }

    /// Parses a Via or URI transport name, in any case.
    pub fn parse(name: &[u8]) -> Option<Transport> {
        [Transport::Udp, Transport::Tcp, Transport::Tls]
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
}

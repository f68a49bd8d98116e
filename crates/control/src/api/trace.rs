//! The ladder of one call.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// `ringfence calls trace ID`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The call.
    pub id: String,
    /// Its messages, in order of time.
    pub entries: Vec<TraceEntry>,
    /// Whether older messages of it fell out of memory.
    pub truncated: bool,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceEntry {
    /// When it passed.
    pub at: Timestamp,
    /// On which side.
    pub leg: LegName,
    /// Which way.
    pub direction: Direction,
    /// The far end.
    pub remote: SocketAddr,
    /// `udp`, `tcp` or `tls`.
    pub transport: String,
    /// `INVITE` or `200 OK`, with the method that a response is for: `200 OK (INVITE)`.
    pub summary: String,
    /// The message, with secrets taken out.
    pub text: String,
}

/// Which side of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LegName {
    /// The callee's.
    Egress,
    /// The caller's.
    Ingress,
}

/// Which way a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To us.
    Received,
    /// From us.
    Sent,
}

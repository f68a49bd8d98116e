//! How the process is doing.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// `ringfence status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// `[edge] name`.
    pub edge: String,
    /// When it started.
    pub started: Timestamp,
    /// Seconds since then.
    pub uptime_s: u64,
    /// Worker threads.
    pub workers: u8,
    /// Calls in progress.
    pub calls: u64,
    /// Call attempts since the start.
    pub calls_total: u64,
    /// Of them, those that failed (not: busy, cancelled, not answered or refused by a rule).
    pub calls_failed: u64,
    /// Messages from sources that are no peer.
    pub strangers_total: u64,
    /// Whether new calls are refused, since the process is about to end.
    pub draining: bool,
    /// Who relays established media: `kernel (lo)`, or `this process` and why.
    #[serde(default)]
    pub media_relay: String,
    /// The records of calls.
    pub records: RecordsStatus,
    /// Where it listens.
    pub listeners: Vec<ListenerStatus>,
    /// Memory.
    pub memory: MemoryStatus,
    /// The configuration in use.
    pub config: ConfigStatus,
    /// What somebody should look at; empty when all is well.
    pub warnings: Vec<String>,
}

impl Status {
    /// Whether something needs attention: the command line exits 3 then.
    pub fn is_degraded(&self) -> bool {
        !self.warnings.is_empty() || self.records.state == RecordsState::Failing
    }
}

/// The way of call records to the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordsStatus {
    /// Whether they get there.
    pub state: RecordsState,
    /// Records that wait in memory.
    pub waiting: u64,
    /// Records written since the start.
    pub written: u64,
    /// Records that did not fit into memory while the disk refused them: gone.
    pub lost: u64,
    /// Why the last write failed, while the state is `failing`.
    pub error: Option<String>,
}

/// Whether call records get to the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordsState {
    /// The last write failed; records wait in memory and the write is tried again.
    Failing,
    /// Written as they come.
    #[default]
    Ok,
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerStatus {
    /// Its name.
    pub name: String,
    /// UDP address.
    pub udp: Option<SocketAddr>,
    /// TCP address.
    pub tcp: Option<SocketAddr>,
    /// TLS address.
    pub tls: Option<SocketAddr>,
    /// WebSocket address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ws: Option<SocketAddr>,
    /// Secure WebSocket address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wss: Option<SocketAddr>,
    /// Address and ports for media.
    pub media: Option<String>,
    /// Pairs of media ports.
    pub media_pairs: u32,
    /// Of them, those in use.
    pub media_pairs_used: u32,
    /// Stream connections that are open.
    pub connections: u32,
    /// When the TLS certificate ends.
    pub certificate_ends: Option<Timestamp>,
}

/// Memory of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryStatus {
    /// Bytes in RAM; 0 when the host does not tell.
    pub resident_bytes: u64,
}

/// The configuration in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigStatus {
    /// The file.
    pub file: String,
    /// When it was last applied.
    pub applied: Timestamp,
    /// Changes in the file that wait for a restart.
    pub waiting_for_restart: Vec<String>,
}

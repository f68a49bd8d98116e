//! Calls in progress.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// `ringfence calls`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calls {
    /// When this was so.
    pub at: Timestamp,
    /// Calls in progress.
    pub total: u64,
    /// The newest of them, at most as many as were asked for.
    pub calls: Vec<ActiveCall>,
}

/// A call in progress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActiveCall {
    /// Its id, as `ringfence calls trace` takes it.
    pub id: String,
    /// Key of the tenant.
    pub tenant: String,
    /// Key of the site.
    pub site: String,
    /// `inbound` (from the carrier) or `outbound`.
    pub direction: String,
    /// How far it is.
    pub state: CallState,
    /// Calling number, as received.
    pub from: String,
    /// Called number, as dialled.
    pub to: String,
    /// Whether it is an emergency call.
    pub emergency: bool,
    /// When the INVITE came.
    pub started: Timestamp,
    /// When it was answered.
    pub answered: Option<Timestamp>,
    /// Seconds since the answer, or since the INVITE while there is none.
    pub seconds: u64,
    /// The caller's side.
    pub ingress: ActiveLeg,
    /// The callee's side, once it was chosen.
    pub egress: Option<ActiveLeg>,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallState {
    /// Answered.
    Answered,
    /// It is being ended.
    Ending,
    /// Answered and on hold.
    OnHold,
    /// The callee rings, or early media flows.
    Ringing,
    /// The callee has not said anything yet.
    Trying,
}

/// One side of a call in progress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActiveLeg {
    /// The peer: `trunk.carrier-a`.
    pub peer: String,
    /// Where its signalling is.
    pub remote: SocketAddr,
    /// `udp`, `tcp` or `tls`.
    pub transport: String,
    /// What came from it, once a stream is open.
    pub media: Option<ActiveMedia>,
}

/// Media of one side, so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ActiveMedia {
    /// The codec's encoding name: `PCMU`.
    pub codec: String,
    /// SRTP suite, when protected.
    pub srtp: Option<String>,
    /// RTP packets received from the peer.
    pub packets_received: u64,
    /// RTP packets lost on the way from the peer.
    pub packets_lost: u64,
    /// Interarrival jitter in milliseconds.
    pub jitter_ms: f64,
    /// Mean opinion score (1.0 to 4.5).
    pub mos: Option<f64>,
}

/// The answer to a request to hang up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HangUp {
    /// The call.
    pub id: String,
    /// Whether it was in progress.
    pub found: bool,
}

//! Calls in progress.

use std::net::SocketAddr;

use ringfence_base::UnixTime;
use ringfence_session::cdr::MediaRecord;
use ringfence_session::view::{self, CallView, LegView};
use serde::{Deserialize, Serialize};

use super::record::two_decimals;
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
    /// The callee's side.
    pub egress: ActiveLeg,
    /// The rule that routed it.
    pub rule: String,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallState {
    /// Answered.
    Answered,
    /// It is being ended.
    Ending,
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
    /// The peer refused SRTP with 488 and was called with plain RTP.
    #[serde(default)]
    pub srtp_refused: bool,
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

impl ActiveCall {
    /// The call as it is at `now`.
    pub fn new(call: &CallView, now: UnixTime) -> ActiveCall {
        let since = Timestamp(call.answered.unwrap_or(call.started));
        ActiveCall {
            id: call.id.to_string(),
            tenant: call.tenant.clone(),
            site: call.site.clone(),
            direction: call.direction.as_str().to_owned(),
            state: CallState::from(call.state),
            from: call.from.clone(),
            to: call.to.clone(),
            emergency: call.emergency,
            started: call.started.into(),
            answered: call.answered.map(Timestamp::from),
            seconds: since.age_seconds(now),
            ingress: ActiveLeg::from(&call.ingress),
            egress: ActiveLeg::from(&call.egress),
            rule: call.rule.clone(),
        }
    }
}

impl From<view::CallState> for CallState {
    fn from(state: view::CallState) -> CallState {
        match state {
            view::CallState::Trying => CallState::Trying,
            view::CallState::Ringing => CallState::Ringing,
            view::CallState::Up => CallState::Answered,
            view::CallState::Ending => CallState::Ending,
        }
    }
}

impl From<&LegView> for ActiveLeg {
    fn from(leg: &LegView) -> ActiveLeg {
        ActiveLeg {
            peer: leg.peer.clone(),
            remote: leg.remote,
            transport: leg.transport.uri_name().to_owned(),
            media: leg.media.as_ref().map(ActiveMedia::from),
        }
    }
}

impl From<&MediaRecord> for ActiveMedia {
    fn from(media: &MediaRecord) -> ActiveMedia {
        ActiveMedia {
            codec: media.codec.clone(),
            srtp: media.srtp.clone(),
            srtp_refused: media.srtp_refused,
            packets_received: media.packets_received,
            packets_lost: media.packets_lost,
            jitter_ms: f64::from(media.jitter_us) / 1e3,
            mos: media.mos.map(two_decimals),
        }
    }
}

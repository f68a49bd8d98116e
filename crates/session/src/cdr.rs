//! The record of one call attempt.

use std::net::SocketAddr;

use ringfence_base::UnixTime;
use ringfence_base::net::Transport;
use ringfence_stir::{Attestation, Verdict, Verstat};

use crate::call_id::CallId;

/// What is kept of an attempt, answered or not. Times are wall-clock; texts that a peer wrote are
/// as received (escape them where they are shown).
#[derive(Clone, Debug, PartialEq)]
pub struct Cdr {
    /// The call.
    pub id: CallId,
    /// Key of the tenant.
    pub tenant: String,
    /// Key of the site.
    pub site: String,
    /// From the carrier or towards it.
    pub direction: Direction,
    /// Calling number or user, as the ingress leg presented it.
    pub from: String,
    /// Called number or user, as dialled.
    pub to: String,
    /// Whether it was an emergency call.
    pub emergency: bool,
    /// The leg that the caller is on.
    pub ingress: LegRecord,
    /// The leg that the callee is on, if one was started.
    pub egress: Option<LegRecord>,
    /// When the INVITE came.
    pub started: UnixTime,
    /// When the callee first rang (180) or gave early media (183).
    pub ringing: Option<UnixTime>,
    /// When it was answered.
    pub answered: Option<UnixTime>,
    /// When it was over.
    pub ended: UnixTime,
    /// How it ended.
    pub outcome: Outcome,
    /// The final SIP status that the caller got (200 for an answered call).
    pub status: u16,
    /// Q.850 cause: the peer's own (RFC 3326 Reason), else mapped from the status (RFC 3398 §8).
    pub q850: u8,
    /// Who ended it.
    pub ended_by: EndedBy,
    /// The rule that decided: `trunk carrier-a -> site summit -> pbx main`, or why it was refused.
    pub rule: String,
    /// What came of verifying the caller (STIR/SHAKEN), where that was asked for.
    pub caller_id: Option<CallerId>,
}

/// Who answers for the calling number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerId {
    /// `TN-Validation-Passed`, `TN-Validation-Failed` or `No-TN-Validation` (3GPP TS 24.229
    /// §7.2A.20).
    pub verstat: Verstat,
    /// How far the signer answers for the caller, of a number that passed (RFC 8588 §4).
    pub attestation: Option<Attestation>,
    /// The signer's name for where the call came from, likewise: what a traceback asks for. Written
    /// by the signer.
    pub origid: Option<String>,
}

impl CallerId {
    /// What `verdict` says.
    pub(crate) fn of(verdict: &Verdict) -> CallerId {
        CallerId {
            verstat: verdict.verstat(),
            attestation: verdict.attest,
            origid: verdict.origid.clone(),
        }
    }
}

/// One side of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct LegRecord {
    /// Key of the peer.
    pub peer: String,
    /// Call-ID on this leg.
    pub call_id: String,
    /// Our tag on this leg.
    pub local_tag: String,
    /// The peer's tag on this leg; empty when it never gave one.
    pub remote_tag: String,
    /// The peer's signalling address.
    pub remote: SocketAddr,
    /// The transport.
    pub transport: Transport,
    /// Final status that the peer gave us on this leg (egress), or that we gave it (ingress).
    pub status: Option<u16>,
    /// Media, when a stream was opened.
    pub media: Option<MediaRecord>,
}

/// The media that came *from* one leg's peer, and what we sent towards it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MediaRecord {
    /// First codec of the answer, by its encoding name: `PCMU`.
    pub codec: String,
    /// SRTP suite, when protected.
    pub srtp: Option<String>,
    /// The peer refused SRTP with 488, and was called with plain RTP as its configuration allows.
    pub srtp_refused: bool,
    /// RTP packets received from the peer.
    pub packets_received: u64,
    /// RTP packets sent to the peer.
    pub packets_sent: u64,
    /// RTP packets lost on the way from the peer to us.
    pub packets_lost: u64,
    /// Packets that came to its port and were not let through (wrong source, replay, forged...).
    pub packets_refused: u64,
    /// Interarrival jitter of what came from the peer, in microseconds.
    pub jitter_us: u32,
    /// Mean opinion score of what came from the peer (1.0 to 4.5); `None` without packets.
    pub mos: Option<f32>,
}

/// From the carrier, towards it, or within a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the carrier, to the PBX or a phone.
    Inbound,
    /// Between phones and the PBX of a site.
    Internal,
    /// To the carrier, from the PBX or a phone.
    Outbound,
}

impl Direction {
    /// `inbound`, `internal` or `outbound`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Direction::Inbound => "inbound",
            Direction::Internal => "internal",
            Direction::Outbound => "outbound",
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered, later ended.
    Answered,
    /// The callee was busy (486, 600).
    Busy,
    /// The caller gave up before the answer.
    Cancelled,
    /// The far side or we failed.
    Failed,
    /// Nobody answered in time (408, 480, 487 from the callee's side).
    NoAnswer,
    /// The edge or the callee refused it (403, 404, 488, 503, 603...).
    Refused,
}

impl Outcome {
    /// `answered`, `busy`, ...
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Answered => "answered",
            Outcome::Busy => "busy",
            Outcome::Cancelled => "cancelled",
            Outcome::Failed => "failed",
            Outcome::NoAnswer => "no-answer",
            Outcome::Refused => "refused",
        }
    }
}

/// Who ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// The callee.
    Callee,
    /// The caller.
    Caller,
    /// The edge: a limit, silence, a drain, an operator, a fault.
    Edge,
}

impl EndedBy {
    /// `callee`, `caller` or `edge`.
    pub const fn as_str(self) -> &'static str {
        match self {
            EndedBy::Callee => "callee",
            EndedBy::Caller => "caller",
            EndedBy::Edge => "edge",
        }
    }
}

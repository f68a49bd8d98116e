//! Records of calls that are over.

use std::net::SocketAddr;

use ringfence_session::cdr::{CallerId, Cdr, LegRecord, MediaRecord};
use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// Records in the order in which they were written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Records {
    /// The records.
    pub records: Vec<CallRecord>,
    /// Ask with `after` this to get what follows.
    pub next: i64,
}

/// What is kept of a call attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    /// The call's id.
    pub id: String,
    /// Key of the tenant.
    pub tenant: String,
    /// Key of the site.
    pub site: String,
    /// `inbound` (from the carrier) or `outbound`.
    pub direction: String,
    /// Calling number, as received.
    pub from: String,
    /// Called number, as dialled.
    pub to: String,
    /// Whether it was an emergency call.
    pub emergency: bool,
    /// When the INVITE came.
    pub started: Timestamp,
    /// When the callee first rang or gave early media.
    pub ringing: Option<Timestamp>,
    /// When it was answered.
    pub answered: Option<Timestamp>,
    /// When it was over.
    pub ended: Timestamp,
    /// Seconds from answer to end; 0 when there was no answer.
    pub seconds: f64,
    /// `answered`, `busy`, `cancelled`, `failed`, `no-answer`, `refused` or `interrupted`.
    pub outcome: String,
    /// The final SIP status that the caller got.
    pub status: u16,
    /// Q.850 cause.
    pub q850: u8,
    /// `callee`, `caller` or `edge`.
    pub ended_by: String,
    /// The rule that decided.
    pub rule: String,
    /// What came of verifying the caller (STIR/SHAKEN), where that was asked for.
    #[serde(default)]
    pub caller_id: Option<RecordCallerId>,
    /// The caller's side.
    pub ingress: RecordLeg,
    /// The callee's side, if one was started.
    pub egress: Option<RecordLeg>,
}

/// Who answers for the calling number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordCallerId {
    /// `TN-Validation-Passed`, `TN-Validation-Failed` or `No-TN-Validation`.
    pub verstat: String,
    /// `A`, `B` or `C`, of a number that passed.
    pub attestation: Option<String>,
    /// The signer's name for where the call came from. Written by the signer.
    pub origid: Option<String>,
}

impl From<&CallerId> for RecordCallerId {
    fn from(caller: &CallerId) -> RecordCallerId {
        RecordCallerId {
            verstat: caller.verstat.as_str().to_owned(),
            attestation: caller.attestation.map(|level| level.as_str().to_owned()),
            origid: caller.origid.clone(),
        }
    }
}

/// One side of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordLeg {
    /// Key of the peer.
    pub peer: String,
    /// Call-ID on this leg.
    pub call_id: String,
    /// Our tag on this leg.
    pub local_tag: String,
    /// The peer's tag on this leg; empty when it gave none.
    pub remote_tag: String,
    /// The peer's signalling address.
    pub remote: SocketAddr,
    /// `udp`, `tcp` or `tls`.
    pub transport: String,
    /// The final status on this leg.
    pub status: Option<u16>,
    /// Media, when a stream was opened.
    pub media: Option<RecordMedia>,
}

/// Media of one side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordMedia {
    /// The codec's encoding name: `PCMU`.
    pub codec: String,
    /// SRTP suite, when protected.
    pub srtp: Option<String>,
    /// The peer refused SRTP with 488 and was called with plain RTP.
    #[serde(default)]
    pub srtp_refused: bool,
    /// RTP packets received from the peer.
    pub packets_received: u64,
    /// RTP packets sent to the peer.
    pub packets_sent: u64,
    /// RTP packets lost on the way from the peer.
    pub packets_lost: u64,
    /// Packets that came to its port and were not let through.
    pub packets_refused: u64,
    /// Interarrival jitter in milliseconds.
    pub jitter_ms: f64,
    /// Mean opinion score (1.0 to 4.5); absent without packets.
    pub mos: Option<f64>,
}

impl From<&Cdr> for CallRecord {
    fn from(cdr: &Cdr) -> CallRecord {
        let micros = |from: ringfence_base::UnixTime| {
            cdr.ended
                .as_micros()
                .saturating_sub(from.as_micros())
                .max(0)
        };
        CallRecord {
            id: cdr.id.to_string(),
            tenant: cdr.tenant.clone(),
            site: cdr.site.clone(),
            direction: cdr.direction.as_str().to_owned(),
            from: cdr.from.clone(),
            to: cdr.to.clone(),
            emergency: cdr.emergency,
            started: cdr.started.into(),
            ringing: cdr.ringing.map(Timestamp::from),
            answered: cdr.answered.map(Timestamp::from),
            ended: cdr.ended.into(),
            seconds: cdr
                .answered
                .map_or(0.0, |answered| micros(answered) as f64 / 1e6),
            outcome: cdr.outcome.as_str().to_owned(),
            status: cdr.status,
            q850: cdr.q850,
            ended_by: cdr.ended_by.as_str().to_owned(),
            rule: cdr.rule.clone(),
            caller_id: cdr.caller_id.as_ref().map(RecordCallerId::from),
            ingress: RecordLeg::from(&cdr.ingress),
            egress: cdr.egress.as_ref().map(RecordLeg::from),
        }
    }
}

impl From<&LegRecord> for RecordLeg {
    fn from(leg: &LegRecord) -> RecordLeg {
        RecordLeg {
            peer: leg.peer.clone(),
            call_id: leg.call_id.clone(),
            local_tag: leg.local_tag.clone(),
            remote_tag: leg.remote_tag.clone(),
            remote: leg.remote,
            transport: leg.transport.uri_name().to_owned(),
            status: leg.status,
            media: leg.media.as_ref().map(RecordMedia::from),
        }
    }
}

impl From<&MediaRecord> for RecordMedia {
    fn from(media: &MediaRecord) -> RecordMedia {
        RecordMedia {
            codec: media.codec.clone(),
            srtp: media.srtp.clone(),
            srtp_refused: media.srtp_refused,
            packets_received: media.packets_received,
            packets_sent: media.packets_sent,
            packets_lost: media.packets_lost,
            packets_refused: media.packets_refused,
            jitter_ms: f64::from(media.jitter_us) / 1e3,
            mos: media.mos.map(two_decimals),
        }
    }
}

/// A score as people read it; also keeps binary fractions out of the JSON.
pub(super) fn two_decimals(score: f32) -> f64 {
    (f64::from(score) * 100.0).round() / 100.0
}

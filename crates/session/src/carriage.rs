//! Which m-lines pass between two peers, and how; what does not is refused with port 0, each by
//! itself (RFC 3264 §6).
//!
//! Sound, video and text over RTP, and fax over UDPTL (ITU-T T.38). Voice-band data (ITU-T V.152) is
//! sound with a payload type of its own. Left out: DTLS-SRTP, data channels, MSRP, and whatever
//! spreads over several ports.

use ringfence_media::Framing;
use ringfence_sdp::{Media, MediaKind, Proto};

use crate::plan::Peer;

/// Most streams of a call, each with a port pair on both sides; further m-lines are refused.
pub(crate) const STREAMS_MAX: usize = 4;

/// Fax datagrams per second that a side may send, and at once. T.38 sends 25 to 100.
pub(crate) const FAX_RATE: u32 = 250;

/// How an m-line passes between two peers; `None`: not at all.
pub(crate) fn carriage(media: &Media, peers: [&Peer; 2]) -> Option<Framing> {
    let allowed = |allows: fn(&Peer) -> bool| peers.into_iter().all(allows);
    if media.port_count != 1 {
        return None;
    }
    match (&media.kind, &media.proto) {
        (MediaKind::Image, Proto::Udptl) => {
            let is_t38 = media
                .formats()
                .any(|word| word.eq_ignore_ascii_case(b"t38"));
            (is_t38 && allowed(|peer| peer.policy.t38)).then_some(Framing::Udptl)
        }
        (kind, proto) if proto.is_rtp() && !proto.is_dtls() => match kind {
            MediaKind::Audio | MediaKind::Text => Some(Framing::Rtp),
            MediaKind::Video => allowed(|peer| peer.policy.video).then_some(Framing::Rtp),
            _ => None,
        },
        _ => None,
    }
}

//! Which codecs pass between two peers, and in which order.
//!
//! An offer carries to the other side what both peers' lists have; a codec that one of them must
//! not see is gone before it could be chosen. The order is the order of the list of the side that
//! gets the offer (RFC 3264 §5.1: the first is preferred), else of the other one.

use ringfence_sdp::{Media, MediaKind};

/// Most codecs of a peer's list.
pub const CODECS_MAX: usize = 32;

/// Encodings that carry no voice by themselves.
const NO_VOICE: [&str; 2] = ["telephone-event", "CN"];

/// Filters and orders the formats of an audio m-line that goes from one peer to another. `false`:
/// no voice is left, and the line must be refused. An empty list takes everything.
pub(crate) fn filter(media: &mut Media, from: &[String], to: &[String]) -> bool {
    if media.kind != MediaKind::Audio || (from.is_empty() && to.is_empty()) {
        return true;
    }
    let place = |list: &[String], encoding: &str| {
        list.iter()
            .position(|name| name.eq_ignore_ascii_case(encoding))
    };
    let takes =
        |list: &[String], encoding: &str| list.is_empty() || place(list, encoding).is_some();
    media.retain_codecs(|codec| takes(from, codec.encoding) && takes(to, codec.encoding));
    let order = if to.is_empty() { from } else { to };
    let mut kept: Vec<(usize, String, bool)> = media
        .codecs()
        .map(|codec| {
            let voice = !NO_VOICE.iter().any(|name| codec.is(name));
            let rank = place(order, codec.encoding).unwrap_or(CODECS_MAX);
            (rank, codec.payload_type.to_string(), voice)
        })
        .collect();
    kept.sort_by_key(|(rank, ..)| *rank);
    media.set_formats(kept.iter().map(|(_, format, _)| format.as_str()));
    kept.iter().any(|(.., voice)| *voice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_sdp::SessionDescription;

    #[track_caller]
    fn check(from: &[&str], to: &[&str], expected: &str, voice: bool) {
        let text = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
                    m=audio 4000 RTP/AVP 0 8 9 96 101\r\na=rtpmap:96 opus/48000/2\r\n\
                    a=fmtp:96 useinbandfec=1\r\na=rtpmap:101 telephone-event/8000\r\n";
        let mut description = SessionDescription::parse(text.as_bytes()).unwrap();
        let media = &mut description.media[0];
        let list = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(filter(media, &list(from), &list(to)), voice);
        let formats: Vec<String> = media
            .payload_types()
            .map(|number| number.to_string())
            .collect();
        assert_eq!(formats.join(" "), expected);
        assert_eq!(media.fmtp(96).is_some(), expected.contains("96"));
    }

    #[test]
    fn what_both_lists_have_passes_in_the_order_of_the_receiver_rfc3264_5_1() {
        check(&[], &[], "0 8 9 96 101", true);
        check(&[], &["opus", "pcmu", "telephone-event"], "96 0 101", true);
        check(&["PCMA", "PCMU"], &[], "8 0", true);
        check(&["PCMA", "PCMU"], &["opus", "PCMU", "PCMA"], "0 8", true);
        check(&["G722"], &["PCMU"], "", false);
        check(&["telephone-event"], &[], "101", false);
    }
}

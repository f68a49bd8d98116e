//! Topology hiding for RTCP: what passes from one side to the other, and what does not.
//!
//! Passes: SR and RR without profile-specific extensions, SDES as one CNAME of ours per source, BYE
//! without its reason, and the feedback formats in [`passes`]. Everything else (NAME, EMAIL, LOC, TOOL,
//! NOTE and PRIV items, APP, XR, unknown types, padding) stays on its side. SSRCs are kept: so does the RTP.

use super::{Compound, Packet, RawPacket, packet_type, report, ssrc_at};

/// The longest compound packet that is written; packets beyond it are left out.
pub const MAX_COMPOUND_LEN: usize = 1_472;
/// The longest CNAME that is written.
pub const MAX_CNAME_LEN: usize = 64;

const CNAME: u8 = 1;

/// Rewrites the compound packet `buf[..len]` in place for the other side and gives its new length, or
/// `None` if it is not valid (RFC 3550 A.2, with the reduced size of RFC 5506) or nothing of it may pass.
///
/// `cname` is the name under which the other side knows this stream; beyond [`MAX_CNAME_LEN`] bytes it
/// is cut. The packet may grow by it, so `buf` should have room after the packet; if the result does not
/// fit, `None`.
pub fn sanitise(buf: &mut [u8], len: usize, cname: &[u8]) -> Option<usize> {
    let cname = cname.get(..MAX_CNAME_LEN).unwrap_or(cname);
    let mut out = Output {
        bytes: [0; MAX_COMPOUND_LEN],
        len: 0,
    };
    for raw in Compound::parse_reduced_size(buf.get(..len)?)
        .ok()?
        .raw_packets()
    {
        write_packet(&mut out, raw, cname);
    }
    let written = out
        .bytes
        .get(..out.len)
        .filter(|written| !written.is_empty())?;
    buf.get_mut(..written.len())?.copy_from_slice(written);
    Some(written.len())
}

fn write_packet(out: &mut Output, raw: RawPacket<'_>, cname: &[u8]) {
    let blocks_len = usize::from(raw.count) * 24;
    let kept = match Packet::from_raw(raw) {
        Packet::SenderReport(..) => raw.body.get(..report::SENDER_INFO_LEN + blocks_len),
        Packet::ReceiverReport(..) => raw.body.get(..4 + blocks_len),
        Packet::Bye(body) => body.get(..usize::from(raw.count) * 4),
        Packet::Feedback(body) if passes(raw) => Some(body),
        Packet::SourceDescription(body) => return write_cnames(out, body, raw.count, cname),
        Packet::Feedback(_) | Packet::Unknown(_) => None,
    };
    if let Some(body) = kept {
        out.packet(raw.count, raw.packet_type, |out| out.put(body));
    }
}

/// Feedback formats whose contents are numbers about the stream: RFC 4585 §6.2 and §6.3, RFC 5104 §4.2
/// and §4.3, RFC 6051 §3.2, congestion control for transport (15) and REMB.
fn passes(raw: RawPacket<'_>) -> bool {
    match (raw.packet_type, raw.count) {
        _ if raw.body.len() < 8 => false,
        (packet_type::TRANSPORT_FEEDBACK, 1 | 3 | 4 | 5 | 15) => true,
        (packet_type::PAYLOAD_FEEDBACK, 1..=6) => true,
        (packet_type::PAYLOAD_FEEDBACK, 15) => raw.body.get(8..12) == Some(b"REMB"),
        _ => false,
    }
}

/// One chunk with our CNAME for each source of an SDES packet, RFC 3550 §6.5.
fn write_cnames(out: &mut Output, body: &[u8], count: u8, cname: &[u8]) {
    if count == 0 {
        return;
    }
    let mut chunks = 0;
    let start = out.len;
    out.packet(count, packet_type::SOURCE_DESCRIPTION, |out| {
        let mut rest = body;
        while chunks < count {
            let Some((ssrc, after)) = split_chunk(rest) else {
                break;
            };
            rest = after;
            out.put(&ssrc)?;
            out.put(&[CNAME, cname.len() as u8])?;
            out.put(cname)?;
            // The list of items ends with at least one zero, on a word boundary.
            let padding = 4 - (2 + cname.len()) % 4;
            out.put([0; 4].get(..padding)?)?;
            chunks += 1;
        }
        (chunks > 0).then_some(())
    });
    // A broken chunk ends the list early.
    if let Some(first) = out.bytes.get_mut(start).filter(|_| out.len > start) {
        *first = 0x80 | chunks;
    }
}

/// The SSRC of an SDES chunk, and what follows the chunk.
fn split_chunk(bytes: &[u8]) -> Option<([u8; 4], &[u8])> {
    let ssrc = ssrc_at(bytes, 0)?.raw().to_be_bytes();
    let mut at = 4;
    while *bytes.get(at)? != 0 {
        at += 2 + usize::from(*bytes.get(at + 1)?);
    }
    // The zero, and more of them up to the next word.
    Some((ssrc, bytes.get((at / 4 + 1) * 4..)?))
}

/// What is written so far. Its own buffer, as a name may grow over packets not read yet.
struct Output {
    bytes: [u8; MAX_COMPOUND_LEN],
    len: usize,
}

impl Output {
    /// Appends a packet whose body `write` puts; takes it back if that fails.
    fn packet(
        &mut self,
        count: u8,
        packet_type: u8,
        write: impl FnOnce(&mut Output) -> Option<()>,
    ) {
        let start = self.len;
        let done = self
            .put(&[0x80 | count, packet_type, 0, 0])
            .and_then(|()| write(self));
        // Bodies are whole words: reports, sources and chunks are made of them.
        let words = ((self.len - start) / 4).saturating_sub(1) as u16;
        match self.bytes.get_mut(start + 2..start + 4) {
            Some(length) if done.is_some() => length.copy_from_slice(&words.to_be_bytes()),
            _ => self.len = start,
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        self.bytes
            .get_mut(self.len..self.len + bytes.len())?
            .copy_from_slice(bytes);
        self.len += bytes.len();
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RR: &[u8] = &[0x80, 201, 0, 1, 0, 0, 0, 7];
    const LEAKY_SDES: &[u8] =
        b"\x81\xca\x00\x09\x00\x00\x00\x07\x01\x0epbx@10.1.2.3ab\x06\x0bAsterisk 20\x00\x00\x00";
    const OUR_SDES: &[u8] = b"\x81\xca\x00\x03\x00\x00\x00\x07\x01\x04r4nd\x00\x00";

    #[track_caller]
    fn check(parts: &[&[u8]], expected: Option<&[&[u8]]>) {
        let mut buf = parts.concat();
        let len = buf.len();
        buf.resize(len + MAX_CNAME_LEN, 0xee);
        let written = sanitise(&mut buf, len, b"r4nd").map(|len| buf[..len].to_vec());
        assert_eq!(written, expected.map(|parts| parts.concat()));
    }

    #[test]
    fn replaces_the_source_description_rfc3550_6_5() {
        check(&[RR, LEAKY_SDES], Some(&[RR, OUR_SDES]));
    }

    #[test]
    fn a_name_may_be_longer_than_the_one_it_replaces() {
        let short = b"\x81\xca\x00\x02\x00\x00\x00\x07\x01\x01x\x00";
        check(&[RR, short, RR], Some(&[RR, OUR_SDES, RR]));
    }

    #[test]
    fn each_source_gets_the_name() {
        let two = b"\x82\xca\x00\x05\x00\x00\x00\x07\x01\x01x\x00\x00\x00\x00\x08\x01\x02xy\x00\x00\x00\x00";
        let ours =
            b"\x82\xca\x00\x06\x00\x00\x00\x07\x01\x04r4nd\0\0\x00\x00\x00\x08\x01\x04r4nd\0\0";
        check(&[RR, two], Some(&[RR, ours]));
    }

    #[test]
    fn a_broken_chunk_ends_the_list() {
        let broken = b"\x82\xca\x00\x05\x00\x00\x00\x07\x01\x01x\x00\x00\x00\x00\x08\x01\x99xy\x00\x00\x00\x00";
        check(&[RR, broken], Some(&[RR, OUR_SDES]));
        check(&[RR, b"\x81\xca\x00\x01\x00\x00\x00\x07"], Some(&[RR]));
    }

    #[test]
    fn a_goodbye_loses_its_reason_rfc3550_6_6() {
        let bye = b"\x81\xcb\x00\x04\x00\x00\x00\x07\x0abye 10.0.0\x00";
        check(&[RR, bye], Some(&[RR, &[0x81, 203, 0, 1, 0, 0, 0, 7]]));
    }

    #[test]
    fn reports_lose_their_extensions_rfc3550_6_4_3() {
        check(&[&[0x80, 201, 0, 2, 0, 0, 0, 7, 10, 0, 0, 1]], Some(&[RR]));
    }

    #[test]
    fn padding_goes_away() {
        check(
            &[RR, &[0xa0, 201, 0, 2, 0, 0, 0, 7, 10, 0, 0, 4]],
            Some(&[RR, RR]),
        );
    }

    #[test]
    fn feedback_passes_by_format_rfc4585_6() {
        let pli: &[u8] = &[0x81, 206, 0, 2, 0, 0, 0, 7, 0, 0, 0, 9];
        check(&[pli], Some(&[pli]));
        let remb: &[u8] = b"\x8f\xce\x00\x04\x00\x00\x00\x07\x00\x00\x00\x00REMB\x00\x01\x02\x03";
        check(&[RR, remb], Some(&[RR, remb]));
        let private = b"\x8f\xce\x00\x04\x00\x00\x00\x07\x00\x00\x00\x0010.1.2.3";
        check(&[RR, private], Some(&[RR]));
        check(&[&[0x9e, 205, 0, 2, 0, 0, 0, 7, 0, 0, 0, 9]], None);
        check(&[&[0x81, 206, 0, 1, 0, 0, 0, 7]], None);
    }

    #[test]
    fn application_and_extended_reports_stay() {
        let app = b"\x80\xcc\x00\x02\x00\x00\x00\x07host";
        let xr = b"\x80\xcf\x00\x02\x00\x00\x00\x07\x07\x00\x00\x00";
        check(&[RR, app, xr], Some(&[RR]));
        check(&[app], None);
    }

    #[test]
    fn what_is_not_valid_does_not_pass_rfc3550_a_2() {
        check(&[], None);
        check(&[&RR[..6]], None);
        check(&[RR, b"\x81"], None);
        let mut buf = RR.to_vec();
        assert_eq!(sanitise(&mut buf, 9, b"x"), None);
    }

    #[test]
    fn a_result_that_does_not_fit_does_not_pass() {
        let mut buf = b"\x81\xca\x00\x02\x00\x00\x00\x07\x01\x01x\x00".to_vec();
        assert_eq!(sanitise(&mut buf, 12, &[b'c'; 300]), None);
        buf.resize(100, 0);
        assert_eq!(
            sanitise(&mut buf, 12, &[b'c'; 300]),
            Some(4 + 4 + 2 + 64 + 2)
        );
    }

    proptest! {
        #[test]
        fn the_result_is_valid_and_stays_as_it_is(
            heads in prop::collection::vec((0x80u8..0xa0, 199u8..209, 0usize..12), 1..6),
            filler in prop::collection::vec(any::<u8>(), 48),
        ) {
            let mut buf = Vec::new();
            for (first, packet_type, words) in heads {
                buf.extend_from_slice(&[first, packet_type, 0, words as u8]);
                buf.extend_from_slice(&filler[..words * 4]);
            }
            let len = buf.len();
            buf.resize(len + 2_000, 0);
            if let Some(len) = sanitise(&mut buf, len, b"r4nd") {
                let once = buf[..len].to_vec();
                prop_assert!(Compound::parse_reduced_size(&once).is_ok());
                prop_assert_eq!(sanitise(&mut buf, len, b"r4nd"), Some(len));
                prop_assert_eq!(&once, &buf[..len]);
            }
        }

        #[test]
        fn any_bytes_are_rewritten_or_dropped(
            mut bytes in prop::collection::vec(any::<u8>(), 0..300),
            len in 0usize..320,
        ) {
            let _ = sanitise(&mut bytes, len, b"r4nd");
        }
    }
}

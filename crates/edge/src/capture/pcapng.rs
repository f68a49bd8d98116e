//! Blocks of a pcapng file (draft-ietf-opsawg-pcapng): section, interface, packet, statistics.
//! Little endian, times in microseconds, packets that begin with their IP header.

/// LINKTYPE_RAW: a packet begins with an IPv4 or IPv6 header.
const LINKTYPE_RAW: u16 = 101;
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const OPT_COMMENT: u16 = 1;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const EPB_FLAGS: u16 = 2;
const ISB_IFRECV: u16 = 4;
const ISB_IFDROP: u16 = 5;

/// Which way a packet went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    In,
    Out,
}

/// Opens a section: the first block of a file.
pub(super) fn section(out: &mut Vec<u8>, application: &str) {
    block(out, SECTION_HEADER, |out| {
        out.extend_from_slice(&BYTE_ORDER_MAGIC.to_le_bytes());
        out.extend_from_slice(&[1, 0, 0, 0]);
        // The length of the section is not known yet.
        out.extend_from_slice(&(-1i64).to_le_bytes());
        option(out, SHB_USERAPPL, application.as_bytes());
        end_of_options(out);
    });
}

/// Describes the next interface; they count from 0.
pub(super) fn interface(out: &mut Vec<u8>, name: &str) {
    block(out, INTERFACE_DESCRIPTION, |out| {
        out.extend_from_slice(&LINKTYPE_RAW.to_le_bytes());
        out.extend_from_slice(&[0; 6]);
        option(out, IF_NAME, name.as_bytes());
        end_of_options(out);
    });
}

/// One packet; `comment` is for people.
pub(super) fn packet(
    out: &mut Vec<u8>,
    (interface, micros): (u32, u64),
    way: Way,
    bytes: &[u8],
    comment: Option<&str>,
) {
    block(out, ENHANCED_PACKET, |out| {
        stamp(out, interface, micros);
        let length = (bytes.len() as u32).to_le_bytes();
        out.extend_from_slice(&length);
        out.extend_from_slice(&length);
        padded(out, bytes);
        let flags = match way {
            Way::In => 1u32,
            Way::Out => 2,
        };
        option(out, EPB_FLAGS, &flags.to_le_bytes());
        if let Some(comment) = comment {
            option(out, OPT_COMMENT, comment.as_bytes());
        }
        end_of_options(out);
    });
}

/// What became of all packets that were looked at.
pub(super) fn statistics(
    out: &mut Vec<u8>,
    (interface, micros): (u32, u64),
    (received, lost): (u64, u64),
    comment: &str,
) {
    block(out, INTERFACE_STATISTICS, |out| {
        stamp(out, interface, micros);
        option(out, ISB_IFRECV, &received.to_le_bytes());
        option(out, ISB_IFDROP, &lost.to_le_bytes());
        option(out, OPT_COMMENT, comment.as_bytes());
        end_of_options(out);
    });
}

fn stamp(out: &mut Vec<u8>, interface: u32, micros: u64) {
    out.extend_from_slice(&interface.to_le_bytes());
    out.extend_from_slice(&((micros >> 32) as u32).to_le_bytes());
    out.extend_from_slice(&(micros as u32).to_le_bytes());
}

/// Type, length, body, length.
fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    body(out);
    let length = ((out.len() - start + 4) as u32).to_le_bytes();
    out.extend_from_slice(&length);
    if let Some(place) = out.get_mut(start + 4..start + 8) {
        place.copy_from_slice(&length);
    }
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = value.get(..usize::from(u16::MAX)).unwrap_or(value);
    out.extend_from_slice(&code.to_le_bytes());
    out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    padded(out, value);
}

fn end_of_options(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; 4]);
}

/// `bytes`, filled up to four.
fn padded(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    let fill = bytes.len().next_multiple_of(4) - bytes.len();
    out.extend(std::iter::repeat_n(0, fill));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_say_their_length_at_both_ends_and_are_filled_up_to_four() {
        let mut out = Vec::new();
        section(&mut out, "ringfence");
        interface(&mut out, "outside");
        packet(&mut out, (0, 1 << 33), Way::Out, &[0x45; 7], Some("why"));
        statistics(&mut out, (0, 5), (9, 2), "time");
        let (mut rest, mut kinds) = (&out[..], Vec::new());
        while let Some(head) = rest.get(..8) {
            let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
            let length = word(&head[4..]) as usize;
            assert_eq!(length % 4, 0);
            assert_eq!(word(&rest[length - 4..length]) as usize, length);
            kinds.push(word(&head[..4]));
            rest = &rest[length..];
        }
        assert!(rest.is_empty());
        assert_eq!(
            kinds,
            [
                SECTION_HEADER,
                INTERFACE_DESCRIPTION,
                ENHANCED_PACKET,
                INTERFACE_STATISTICS
            ]
        );
    }
}

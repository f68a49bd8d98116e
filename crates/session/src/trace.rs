//! The recent past of signalling, for `calls trace`.
//!
//! One ring of bytes per worker, taken once at the start: a call adds nothing to the memory of
//! the process, and old messages give way to new ones. Keys and digest responses are cut out when
//! a trace is read, so that no reader of it can print one.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ringfence_base::UnixTime;
use ringfence_base::net::Transport;

use crate::call_id::CallId;

/// Which side of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegSide {
    /// The leg towards the caller.
    Ingress,
    /// The leg towards the callee.
    Egress,
}

/// One message of a ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceEntry {
    /// When.
    pub at: UnixTime,
    /// On which leg.
    pub leg: LegSide,
    /// Whether we sent it.
    pub sent: bool,
    /// The far side.
    pub remote: SocketAddr,
    /// The transport.
    pub transport: Transport,
    /// The message, secrets replaced by `…`. Written by peers: escape it where it is shown.
    pub text: Vec<u8>,
}

/// The ring.
pub struct TraceRing {
    bytes: Box<[u8]>,
    /// Offset of the oldest record.
    tail: usize,
    /// Bytes in use from `tail`, wrapping.
    used: usize,
}

impl std::fmt::Debug for TraceRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TraceRing")
            .field("used", &self.used)
            .finish_non_exhaustive()
    }
}

/// Length (4), call (8), time (8), flags (1), address (16), port (2).
const HEADER: usize = 39;
const FLAG_SENT: u8 = 1;
const FLAG_EGRESS: u8 = 2;
const TRANSPORT_SHIFT: u8 = 2;
/// Longer messages are kept up to here.
const TEXT_MAX: usize = 8 * 1024;

impl TraceRing {
    /// A ring of `capacity` bytes; 0 keeps nothing.
    pub fn new(capacity: usize) -> TraceRing {
        // Not zero: zeroed pages are mapped lazily, and the memory is to be taken now, not by
        // whatever call comes first.
        TraceRing {
            bytes: vec![0xff; capacity].into_boxed_slice(),
            tail: 0,
            used: 0,
        }
    }

    /// Keeps one message.
    pub fn record(
        &mut self,
        call: CallId,
        at: UnixTime,
        (leg, sent): (LegSide, bool),
        (remote, transport): (SocketAddr, Transport),
        text: &[u8],
    ) {
        let text = &text[..text.len().min(TEXT_MAX)];
        let length = HEADER + text.len();
        if length > self.bytes.len() {
            return;
        }
        while self.bytes.len() - self.used < length {
            let oldest = self.record_length(self.tail);
            self.tail = (self.tail + oldest) % self.bytes.len();
            self.used -= oldest;
        }
        let mut flags = match transport {
            Transport::Udp => 0,
            Transport::Tcp => 1,
            Transport::Tls => 2,
            Transport::Ws => 3,
            Transport::Wss => 4,
        } << TRANSPORT_SHIFT;
        flags |= if sent { FLAG_SENT } else { 0 };
        flags |= if leg == LegSide::Egress {
            FLAG_EGRESS
        } else {
            0
        };
        let address = match remote.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let mut header = [0; HEADER];
        header[0..4].copy_from_slice(&(length as u32).to_le_bytes());
        header[4..12].copy_from_slice(&call.raw().to_le_bytes());
        header[12..20].copy_from_slice(&at.as_micros().to_le_bytes());
        header[20] = flags;
        header[21..37].copy_from_slice(&address.octets());
        header[37..39].copy_from_slice(&remote.port().to_le_bytes());
        let start = (self.tail + self.used) % self.bytes.len();
        self.write(start, &header);
        self.write((start + HEADER) % self.bytes.len(), text);
        self.used += length;
    }

    /// The messages of `call`, oldest first, secrets cut out.
    pub fn entries(&self, call: CallId) -> Vec<TraceEntry> {
        let mut found = Vec::new();
        let mut passed = 0;
        while passed < self.used {
            let at = (self.tail + passed) % self.bytes.len();
            let length = self.record_length(at);
            let header: [u8; HEADER] = self.read(at);
            if le_u64(&header[4..12]) == call.raw() {
                let start = (at + HEADER) % self.bytes.len();
                let text: Vec<u8> = (0..length - HEADER)
                    .map(|offset| self.bytes[(start + offset) % self.bytes.len()])
                    .collect();
                found.push(entry(&header, redact(&text)));
            }
            passed += length;
        }
        found
    }

    fn record_length(&self, at: usize) -> usize {
        u32::from_le_bytes(self.read(at)) as usize
    }

    fn read<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut out = [0; N];
        for (offset, byte) in out.iter_mut().enumerate() {
            *byte = self.bytes[(at + offset) % self.bytes.len()];
        }
        out
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        let first = bytes.len().min(self.bytes.len() - at);
        self.bytes[at..at + first].copy_from_slice(&bytes[..first]);
        self.bytes[..bytes.len() - first].copy_from_slice(&bytes[first..]);
    }
}

fn entry(header: &[u8; HEADER], text: Vec<u8>) -> TraceEntry {
    let mut address = [0; 16];
    address.copy_from_slice(&header[21..37]);
    let ip = IpAddr::V6(Ipv6Addr::from(address)).to_canonical();
    let flags = header[20];
    TraceEntry {
        at: UnixTime::from_micros(le_u64(&header[12..20]) as i64),
        leg: if flags & FLAG_EGRESS != 0 {
            LegSide::Egress
        } else {
            LegSide::Ingress
        },
        sent: flags & FLAG_SENT != 0,
        remote: SocketAddr::new(ip, u16::from_le_bytes([header[37], header[38]])),
        transport: match flags >> TRANSPORT_SHIFT {
            0 => Transport::Udp,
            1 => Transport::Tcp,
            2 => Transport::Tls,
            3 => Transport::Ws,
            _ => Transport::Wss,
        },
        text,
    }
}

fn le_u64(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// Cuts what [`ringfence_sip::secrets`] finds, and dialled PINs, out of a message.
pub fn redact(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut from = 0;
    for place in ringfence_sip::secrets(text) {
        out.extend_from_slice(text.get(from..place.start).unwrap_or_default());
        out.extend_from_slice("…".as_bytes());
        from = place.end;
    }
    out.extend_from_slice(text.get(from..).unwrap_or_default());
    crate::spend::hide_pins(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(ring: &mut TraceRing, call: u64, text: &str) {
        ring.record(
            CallId::from_raw(call),
            UnixTime::from_micros(call as i64),
            (LegSide::Egress, true),
            ("192.0.2.1:5060".parse().unwrap(), Transport::Tcp),
            text.as_bytes(),
        );
    }

    #[test]
    fn old_messages_give_way_to_new_ones_whatever_the_wrap() {
        let mut ring = TraceRing::new(300);
        for n in 0..1000u64 {
            let text = "x".repeat((n % 90) as usize) + &n.to_string();
            put(&mut ring, n, &text);
            let entries = ring.entries(CallId::from_raw(n));
            assert_eq!(entries.len(), 1);
            assert_eq!(entries[0].text, text.as_bytes());
            assert_eq!(entries[0].remote, "192.0.2.1:5060".parse().unwrap());
            assert!(entries[0].sent && entries[0].leg == LegSide::Egress);
        }
        assert!(ring.entries(CallId::from_raw(0)).is_empty());
    }

    #[test]
    fn an_empty_ring_keeps_nothing() {
        let mut ring = TraceRing::new(0);
        put(&mut ring, 1, "x");
        assert!(ring.entries(CallId::from_raw(1)).is_empty());
    }

    #[test]
    fn keys_and_digest_responses_are_cut_out() {
        let text =
            b"INVITE x SIP/2.0\r\nAuthorization: Digest username=\"a\", response=\"0123\"\r\n\
            \r\nv=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0|2^31\r\na=ptime:20\r\n";
        let shown = String::from_utf8(redact(text)).unwrap();
        assert!(
            !shown.contains("c2VjcmV0") && !shown.contains("0123"),
            "{shown}"
        );
        assert!(shown.contains("inline:…\r\na=ptime:20\r\n"), "{shown}");
    }

    #[test]
    fn a_digest_response_on_a_folded_line_is_cut_out_rfc3261_7_3_1() {
        let text = b"REGISTER x SIP/2.0\r\nAuthorization: Digest username=\"a\",\r\n \
            response=\"0123\",\r\n\tqop=auth\r\n\r\n";
        let shown = String::from_utf8(redact(text)).unwrap();
        assert!(!shown.contains("0123"), "{shown}");
        assert!(shown.contains("response=\"…\",\r\n\tqop=auth"), "{shown}");
    }
}

//! Which bytes on a wire are SIP.

/// Ports of SIP: what comes there and is not SIP is broken SIP.
pub(crate) const PORTS: [u16; 2] = [5060, 5061];

/// Whether bytes begin like a message: `SIP/2.0 …`, or a first line that ends in it.
pub(crate) fn looks_like_sip(bytes: &[u8]) -> bool {
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
    let Some(bytes) = start.and_then(|start| bytes.get(start..)) else {
        return false;
    };
    if bytes.starts_with(b"SIP/2.0 ") {
        return true;
    }
    if !bytes.first().is_some_and(u8::is_ascii_alphabetic) {
        return false;
    }
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or(bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.ends_with(b" SIP/2.0")
}

/// Whether a datagram at a port of SIP is there to keep a way through a NAT open: empty, line ends,
/// NULs, or STUN (RFC 5626 §4.4, RFC 8489 §5).
pub(crate) fn is_keep_alive(bytes: &[u8]) -> bool {
    let stun = bytes.get(4..8) == Some(&[0x21, 0x12, 0xa4, 0x42]);
    let few = bytes.len() <= 4;
    stun || few
        || bytes
            .iter()
            .all(|byte| matches!(byte, 0 | b'\r' | b'\n' | b' '))
}

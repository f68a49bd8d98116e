//! The server's side of one WebSocket that carries SIP (RFC 6455, RFC 7118).
//!
//! Bytes in, messages out, no socket: below is a TCP or TLS connection of this worker, above is a
//! SIP message for each WebSocket message, so its Content-Length may be missing. Bounded: the
//! handshake by [`HANDSHAKE_MAX`], a message with all its fragments by
//! [`MAX_MESSAGE`](ringfence_sip::MAX_MESSAGE).
//!
//! Left out on purpose: extensions (compression), other subprotocols than `sip`, and the client's
//! side: phones in browsers connect to us. A handshake that is refused gets no answer, like
//! everything else that strangers try.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ringfence_sip::MAX_MESSAGE;

/// Longest request that opens a WebSocket, in bytes.
pub(super) const HANDSHAKE_MAX: usize = 8 * 1024;
/// Pings that are answered of what was read at once: whoever sends more does not keep alive.
const PONGS_PER_READ: usize = 4;
/// Longest payload of a control frame (RFC 6455 §5.5).
const CONTROL_MAX: usize = 125;
/// What is hashed with the client's key (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// What an idle WebSocket may keep allocated, in bytes.
const IDLE_CAPACITY: usize = 4096;

/// One WebSocket.
#[derive(Debug, Default)]
pub(super) struct WebSocket {
    state: State,
    input: Vec<u8>,
    /// How much of `input` is done with.
    start: usize,
    /// The fragments so far of a message that is not complete.
    fragments: Option<Vec<u8>>,
    pongs: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Waits for the request that opens it.
    #[default]
    Opening,
    Open,
    /// A Close frame came and was answered.
    Closed,
}

/// Why a WebSocket cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WebSocketError {
    /// The request that opens it is none, or longer than [`HANDSHAKE_MAX`].
    #[error("not a WebSocket handshake")]
    Handshake,
    /// Its Origin is not in the list.
    #[error("an Origin that is not allowed")]
    Origin,
    /// It does not speak the subprotocol `sip` (RFC 7118 §4).
    #[error("without the subprotocol sip")]
    Subprotocol,
    /// A frame against RFC 6455 §5: not masked, reserved bits, a fragmented control frame.
    #[error("a frame against the protocol")]
    Protocol,
    /// Longer than any message we accept.
    #[error("too long a message")]
    TooLarge,
}

impl WebSocketError {
    /// The status code of our Close frame (RFC 6455 §7.4.1).
    const fn close_code(self) -> Option<u16> {
        match self {
            WebSocketError::Protocol => Some(1002),
            WebSocketError::TooLarge => Some(1009),
            WebSocketError::Handshake | WebSocketError::Origin | WebSocketError::Subprotocol => {
                None
            }
        }
    }
}

impl WebSocket {
    /// Adds received bytes. Call [`next`](WebSocket::next) until it has no more before the next
    /// push: at most one message and one read are held.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.pongs = 0;
        self.input.drain(..self.start);
        self.start = 0;
        self.input.extend_from_slice(bytes);
    }

    /// The next message. What is to be written to the far side is appended to `out`, also before
    /// an error. `origins` are the allowed ones; empty allows all.
    pub(super) fn next(
        &mut self,
        origins: &[String],
        out: &mut Vec<u8>,
    ) -> Result<Option<Vec<u8>>, WebSocketError> {
        if self.state == State::Opening && !self.open(origins, out)? {
            return Ok(None);
        }
        let result = self.next_message(out);
        if let Err(error) = result
            && let Some(code) = error.close_code()
        {
            write_frame(out, CLOSE, &code.to_be_bytes());
            self.state = State::Closed;
        }
        result
    }

    /// Writes a SIP message as one WebSocket message: text if it is UTF-8.
    pub(super) fn write(&self, message: &[u8], out: &mut Vec<u8>) {
        let opcode = match std::str::from_utf8(message) {
            Ok(_) => TEXT,
            Err(_) => BINARY,
        };
        write_frame(out, opcode, message);
    }

    /// Says goodbye (1001, going away), if there is anybody to say it to.
    pub(super) fn goodbye(&mut self, out: &mut Vec<u8>) {
        if self.state == State::Open {
            self.state = State::Closed;
            write_frame(out, CLOSE, &1001u16.to_be_bytes());
        }
    }

    /// Whether the far side has closed it.
    pub(super) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Whether the handshake is done.
    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether something has begun and is not complete.
    pub(super) fn has_partial(&self) -> bool {
        self.start < self.input.len() || self.fragments.is_some()
    }

    /// Reads the handshake, if it is complete.
    fn open(&mut self, origins: &[String], out: &mut Vec<u8>) -> Result<bool, WebSocketError> {
        let Some(end) = find(&self.input, b"\r\n\r\n") else {
            return match self.input.len() > HANDSHAKE_MAX {
                true => Err(WebSocketError::Handshake),
                false => Ok(false),
            };
        };
        if end > HANDSHAKE_MAX {
            return Err(WebSocketError::Handshake);
        }
        let head = self.input.get(..end).unwrap_or_default();
        let accept = accept_of(head, origins)?;
        out.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
              Connection: Upgrade\r\nSec-WebSocket-Protocol: sip\r\nSec-WebSocket-Accept: ",
        );
        out.extend_from_slice(accept.as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
        self.start = end + 4;
        self.state = State::Open;
        Ok(true)
    }

    fn next_message(&mut self, out: &mut Vec<u8>) -> Result<Option<Vec<u8>>, WebSocketError> {
        while self.state == State::Open {
            let Some(frame) = self.next_frame()? else {
                break;
            };
            match frame.opcode {
                PING => {
                    self.pongs += 1;
                    if self.pongs <= PONGS_PER_READ {
                        write_frame(out, PONG, &frame.payload);
                    }
                }
                PONG => {}
                CLOSE => {
                    let code = frame.payload.get(..2).unwrap_or_default();
                    write_frame(out, CLOSE, code);
                    self.state = State::Closed;
                }
                TEXT | BINARY if self.fragments.is_none() => {
                    if frame.last {
                        return Ok(Some(frame.payload));
                    }
                    self.fragments = Some(frame.payload);
                }
                CONTINUATION => {
                    let mut whole = self.fragments.take().ok_or(WebSocketError::Protocol)?;
                    if whole.len() + frame.payload.len() > MAX_MESSAGE {
                        return Err(WebSocketError::TooLarge);
                    }
                    whole.extend_from_slice(&frame.payload);
                    if frame.last {
                        return Ok(Some(whole));
                    }
                    self.fragments = Some(whole);
                }
                _ => return Err(WebSocketError::Protocol),
            }
        }
        if self.start == self.input.len() && self.input.capacity() > IDLE_CAPACITY {
            self.input = Vec::new();
            self.start = 0;
        }
        Ok(None)
    }

    /// Takes a frame, if it is complete (RFC 6455 §5.2).
    fn next_frame(&mut self) -> Result<Option<Frame>, WebSocketError> {
        let input = self.input.get(self.start..).unwrap_or_default();
        let [first, second, ..] = *input else {
            return Ok(None);
        };
        let opcode = first & 0x0f;
        let last = first & 0x80 != 0;
        // No extension was agreed on, and a client's frames are masked.
        if first & 0x70 != 0 || second & 0x80 == 0 {
            return Err(WebSocketError::Protocol);
        }
        let (extended, short) = match second & 0x7f {
            126 => (2, 126),
            127 => (8, 127),
            short => (0, usize::from(short)),
        };
        let is_control = opcode & 0x08 != 0;
        if is_control && (!last || short > CONTROL_MAX) {
            return Err(WebSocketError::Protocol);
        }
        let Some(length) = input.get(2..2 + extended) else {
            return Ok(None);
        };
        let length = match extended {
            0 => short as u64,
            _ => length
                .iter()
                .fold(0u64, |sum, byte| sum << 8 | u64::from(*byte)),
        };
        if length > MAX_MESSAGE as u64 {
            return Err(WebSocketError::TooLarge);
        }
        let start = 2 + extended + MASK;
        let end = start + length as usize;
        let (Some(mask), Some(payload)) = (input.get(2 + extended..start), input.get(start..end))
        else {
            return Ok(None);
        };
        let payload = payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask)
            .collect();
        self.start += end;
        Ok(Some(Frame {
            opcode,
            last,
            payload,
        }))
    }
}

struct Frame {
    opcode: u8,
    last: bool,
    payload: Vec<u8>,
}

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Bytes of a masking key.
const MASK: usize = 4;

/// Writes a frame of ours: whole and not masked.
fn write_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(0x80 | opcode);
    match payload.len() {
        length @ 0..=125 => out.push(length as u8),
        length @ 126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

/// Checks the request (RFC 6455 §4.2.1, RFC 7118 §4) and makes its Sec-WebSocket-Accept.
fn accept_of(head: &[u8], origins: &[String]) -> Result<String, WebSocketError> {
    let head = std::str::from_utf8(head).map_err(|_| WebSocketError::Handshake)?;
    let mut lines = head.split("\r\n");
    let request = lines.next().unwrap_or_default();
    let good = request.starts_with("GET /") && request.ends_with(" HTTP/1.1");
    let headers: Vec<(&str, &str)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name, value.trim()))
        .collect();
    let values = |name: &'static str| {
        let named = headers
            .iter()
            .filter(move |(known, _)| known.eq_ignore_ascii_case(name));
        named.flat_map(|(_, value)| value.split(',')).map(str::trim)
    };
    let lists = |name: &'static str, wanted: &str| {
        values(name).any(|value| value.eq_ignore_ascii_case(wanted))
    };
    let key = values("Sec-WebSocket-Key").next().unwrap_or_default();
    let is_key = STANDARD.decode(key).is_ok_and(|key| key.len() == 16);
    if !good
        || !is_key
        || !lists("Upgrade", "websocket")
        || !lists("Connection", "upgrade")
        || !lists("Sec-WebSocket-Version", "13")
        || values("Host").next().is_none()
    {
        return Err(WebSocketError::Handshake);
    }
    if !lists("Sec-WebSocket-Protocol", "sip") {
        return Err(WebSocketError::Subprotocol);
    }
    let allowed = |origin: &str| {
        origins
            .iter()
            .any(|known| known.eq_ignore_ascii_case(origin))
    };
    if !origins.is_empty() && !values("Origin").next().is_some_and(allowed) {
        return Err(WebSocketError::Origin);
    }
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key.as_bytes());
    hash.update(GUID);
    Ok(STANDARD.encode(hash.finish()))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENING: &str = "GET /sip HTTP/1.1\r\nHost: edge.example\r\nUpgrade: WebSocket\r\n\
        Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Origin: https://phone.example\r\nSec-WebSocket-Protocol: chat, sip\r\n\
        Sec-WebSocket-Version: 13\r\n\r\n";

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut out = vec![first];
        match payload.len() {
            length @ 0..=125 => out.push(0x80 | length as u8),
            length => {
                out.push(0x80 | 126);
                out.extend_from_slice(&(length as u16).to_be_bytes());
            }
        }
        out.extend_from_slice(&mask);
        out.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
        out
    }

    fn opened() -> WebSocket {
        let mut web = WebSocket::default();
        web.push(OPENING.as_bytes());
        assert_eq!(web.next(&[], &mut Vec::new()), Ok(None));
        assert!(web.is_open());
        web
    }

    /// What comes of `bytes` on an open WebSocket, and what is said to the far side.
    fn read(bytes: &[u8]) -> (Vec<Vec<u8>>, Vec<u8>, Option<WebSocketError>) {
        let mut web = opened();
        web.push(bytes);
        let (mut messages, mut out) = (Vec::new(), Vec::new());
        loop {
            match web.next(&[], &mut out) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => return (messages, out, None),
                Err(error) => return (messages, out, Some(error)),
            }
        }
    }

    #[test]
    fn the_handshake_is_answered_with_the_hash_of_its_key_rfc6455_1_3() {
        let mut web = WebSocket::default();
        let mut out = Vec::new();
        for byte in OPENING.as_bytes() {
            assert_eq!(out, b"");
            web.push(&[*byte]);
            assert_eq!(web.next(&[], &mut out), Ok(None));
        }
        let answer = String::from_utf8(out).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101 "));
        assert!(answer.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert!(answer.contains("\r\nSec-WebSocket-Protocol: sip\r\n"));
    }

    #[test]
    fn a_handshake_that_is_none_is_refused_rfc6455_4_2_1() {
        let check = |from: &str, to: &str, expected: WebSocketError| {
            let mut web = WebSocket::default();
            web.push(OPENING.replace(from, to).as_bytes());
            let mut out = Vec::new();
            assert_eq!(web.next(&[], &mut out), Err(expected), "{from} -> {to}");
            assert_eq!(out, b"", "no answer");
        };
        check("GET /", "POST /", WebSocketError::Handshake);
        check("HTTP/1.1", "HTTP/1.0", WebSocketError::Handshake);
        check("Version: 13", "Version: 8", WebSocketError::Handshake);
        check(
            "dGhlIHNhbXBsZSBub25jZQ==",
            "dGhl",
            WebSocketError::Handshake,
        );
        check("Upgrade: W", "X: W", WebSocketError::Handshake);
        check("chat, sip", "chat", WebSocketError::Subprotocol);
        let mut web = WebSocket::default();
        web.push(&[b'a'; HANDSHAKE_MAX + 1]);
        assert_eq!(
            web.next(&[], &mut Vec::new()),
            Err(WebSocketError::Handshake)
        );
    }

    #[test]
    fn only_listed_origins_open_it_if_there_is_a_list_rfc6455_10_2() {
        let check = |origins: &[&str], expected: Result<Option<Vec<u8>>, WebSocketError>| {
            let origins: Vec<String> = origins.iter().map(|&it| it.to_owned()).collect();
            let mut web = WebSocket::default();
            web.push(OPENING.as_bytes());
            assert_eq!(web.next(&origins, &mut Vec::new()), expected);
        };
        check(&["https://phone.example"], Ok(None));
        check(&["https://other.example"], Err(WebSocketError::Origin));
    }

    #[test]
    fn fragments_make_one_message_and_a_ping_may_come_between_rfc6455_5_4() {
        let mut bytes = frame(TEXT, b"OPTI");
        bytes.extend(frame(0x80 | PING, b"are you there"));
        bytes.extend(frame(CONTINUATION, b"O"));
        bytes.extend(frame(0x80, b"NS"));
        bytes.extend(frame(0x80 | BINARY, &[7; 300]));
        let (messages, out, error) = read(&bytes);
        assert_eq!(messages, [b"OPTIONS".to_vec(), vec![7; 300]]);
        assert_eq!(error, None);
        assert_eq!(out, [&[0x80 | PONG, 13][..], b"are you there"].concat());
    }

    #[test]
    fn frames_against_the_protocol_end_it_with_1002_rfc6455_5() {
        let unmasked = [0x80 | TEXT, 2, b'h', b'i'];
        let cases: [&[u8]; 6] = [
            &unmasked,
            &frame(0xc0 | TEXT, b"reserved bit"),
            &frame(PING, b"fragmented"),
            &frame(0x80 | PING, &[0; 126]),
            &frame(0x80, b"continues nothing"),
            &frame(0x80 | 3, b"no such opcode"),
        ];
        for bytes in cases {
            let (_, out, error) = read(bytes);
            assert_eq!(error, Some(WebSocketError::Protocol), "{bytes:?}");
            assert_eq!(out, [0x80 | CLOSE, 2, 0x03, 0xea]);
        }
        let mut two = frame(TEXT, b"begins");
        two.extend(frame(0x80 | TEXT, b"begins another"));
        assert_eq!(read(&two).2, Some(WebSocketError::Protocol));
    }

    #[test]
    fn a_message_beyond_the_bound_ends_it_with_1009_before_it_is_held() {
        let claimed = [0x80 | BINARY, 0x80 | 127, 0, 0, 0, 0, 6, 0, 0, 0];
        let (_, out, error) = read(&claimed);
        assert_eq!(error, Some(WebSocketError::TooLarge), "100 MB");
        assert_eq!(out, [0x80 | CLOSE, 2, 0x03, 0xf1]);
        let half = vec![b'a'; MAX_MESSAGE / 2 + 1];
        let mut bytes = frame(TEXT, &half);
        bytes.extend(frame(0x80, &half));
        assert_eq!(read(&bytes).2, Some(WebSocketError::TooLarge));
    }

    #[test]
    fn a_close_is_answered_and_nothing_is_read_behind_it_rfc6455_5_5_1() {
        let mut bytes = frame(0x80 | CLOSE, &[0x03, 0xe8, b'b', b'y', b'e']);
        bytes.extend(frame(0x80 | TEXT, b"too late"));
        let (messages, out, error) = read(&bytes);
        assert_eq!((messages, error), (Vec::new(), None));
        assert_eq!(out, [0x80 | CLOSE, 2, 0x03, 0xe8]);
    }

    #[test]
    fn a_flood_of_pings_is_answered_a_few_times() {
        let bytes = frame(0x80 | PING, b"").repeat(1000);
        assert_eq!(read(&bytes).1.len(), PONGS_PER_READ * 2);
    }

    #[test]
    fn what_we_send_is_one_frame_of_the_right_kind_and_length() {
        let web = opened();
        for (message, head) in [
            (vec![b'a'; 125], vec![0x81, 125]),
            (vec![b'a'; 126], vec![0x81, 126, 0, 126]),
            (
                vec![b'a'; 70_000],
                vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70],
            ),
            (vec![0xff; 3], vec![0x82, 3]),
        ] {
            let mut out = Vec::new();
            web.write(&message, &mut out);
            assert_eq!(out, [head, message].concat());
        }
    }
}

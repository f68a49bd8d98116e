//! Writing messages (RFC 3261 §7, §8.2.6; RFC 3581 §4 for responses).
//!
//! Whatever is put into a value, it stays a value: a run of white space with CR, LF or NUL in it
//! becomes one space, so nothing that came from a peer can start a header or a body of its own.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, SocketAddr};

use ringfence_base::net::Transport;

use crate::lex::{is_lws, is_token_string};
use crate::list::Values;
use crate::{HeaderName, Message, Method, StatusCode, Via};

/// Appends one message to a buffer, in the order of the calls. [`body`](MessageWriter::body) or
/// [`finish`](MessageWriter::finish) ends it; both write the Content-Length.
#[must_use = "a message without finish() or body() has no end"]
#[derive(Debug)]
pub struct MessageWriter<'b> {
    buffer: &'b mut Vec<u8>,
}

impl<'b> MessageWriter<'b> {
    /// Starts a request. White space and control characters are left out of the URI.
    pub fn request(
        buffer: &'b mut Vec<u8>,
        method: Method<'_>,
        uri: impl AsRef<[u8]>,
    ) -> MessageWriter<'b> {
        buffer.extend_from_slice(method.as_bytes());
        buffer.push(b' ');
        buffer.extend(
            uri.as_ref()
                .iter()
                .copied()
                .filter(|&byte| byte > b' ' && byte != 0x7f),
        );
        buffer.extend_from_slice(b" SIP/2.0\r\n");
        MessageWriter { buffer }
    }

    /// Starts a response; an empty reason becomes the usual one.
    pub fn response(
        buffer: &'b mut Vec<u8>,
        code: StatusCode,
        reason: impl AsRef<[u8]>,
    ) -> MessageWriter<'b> {
        let mut writer = MessageWriter { buffer };
        writer.append(format_args!("SIP/2.0 {code} "));
        match reason.as_ref() {
            b"" => writer
                .buffer
                .extend_from_slice(code.default_reason().as_bytes()),
            reason => append_value(writer.buffer, reason),
        }
        writer.buffer.extend_from_slice(b"\r\n");
        writer
    }

    /// Writes a header.
    pub fn header(&mut self, name: HeaderName, value: impl AsRef<[u8]>) -> &mut Self {
        self.raw_header(name.as_str().as_bytes(), value.as_ref())
    }

    /// Writes a header whose value is formatted.
    pub fn header_fmt(&mut self, name: HeaderName, value: fmt::Arguments<'_>) -> &mut Self {
        if self.start_header(name.as_str().as_bytes()) {
            let start = self.buffer.len();
            self.append(value);
            fold_to_spaces(self.buffer, start);
            self.buffer.extend_from_slice(b"\r\n");
        }
        self
    }

    /// Writes a header under any name; one that is no token is left out.
    pub fn raw_header(&mut self, name: &[u8], value: &[u8]) -> &mut Self {
        if self.start_header(name) {
            append_value(self.buffer, value);
            self.buffer.extend_from_slice(b"\r\n");
        }
        self
    }

    /// Writes a Via. `sent_by` is a host with or without its port; with `rport` the response is
    /// asked for at the source port (RFC 3581).
    pub fn via(
        &mut self,
        transport: Transport,
        sent_by: impl fmt::Display,
        branch: impl AsRef<[u8]>,
        rport: bool,
    ) -> &mut Self {
        self.start_header(b"Via");
        let start = self.buffer.len();
        self.append(format_args!("SIP/2.0/{} {sent_by}", transport.via_name()));
        if rport {
            self.buffer.extend_from_slice(b";rport");
        }
        self.buffer.extend_from_slice(b";branch=");
        self.buffer.extend_from_slice(branch.as_ref());
        fold_to_spaces(self.buffer, start);
        self.buffer.extend_from_slice(b"\r\n");
        self
    }

    /// Copies every header of that name from `message`, in order.
    pub fn copy(&mut self, message: &Message<'_>, name: HeaderName) -> &mut Self {
        for value in message.headers(name) {
            self.header(name, value);
        }
        self
    }

    /// Ends the message with a body.
    pub fn body(mut self, content_type: impl AsRef<[u8]>, body: impl AsRef<[u8]>) {
        let body = body.as_ref();
        self.header(HeaderName::ContentType, content_type);
        self.end_headers(body.len());
        self.buffer.extend_from_slice(body);
    }

    /// Ends the message without a body.
    pub fn finish(mut self) {
        self.end_headers(0);
    }

    fn end_headers(&mut self, length: usize) {
        self.append(format_args!("Content-Length: {length}\r\n\r\n"));
    }

    fn start_header(&mut self, name: &[u8]) -> bool {
        let is_name = is_token_string(name);
        if is_name {
            self.buffer.extend_from_slice(name);
            self.buffer.extend_from_slice(b": ");
        }
        is_name
    }

    fn append(&mut self, arguments: fmt::Arguments<'_>) {
        // Only a `Display` of the caller can fail; what it wrote until then stays.
        let _ = Appender(self.buffer).write_fmt(arguments);
    }

    /// The topmost Via of a request as the response has it: with where it came from.
    fn answered_via(&mut self, value: &[u8], remote: SocketAddr) {
        let Ok(via) = Via::parse(value) else {
            self.header(HeaderName::Via, value);
            return;
        };
        let source = remote.ip().to_canonical();
        let wants_port = via.rport.is_some();
        let wants_address = wants_port || via.received.is_some() || via.host.ip() != Some(source);
        self.start_header(b"Via");
        let start = self.buffer.len();
        self.buffer.extend_from_slice(b"SIP/2.0/");
        self.buffer.extend_from_slice(via.transport);
        self.append(format_args!(" {}", via.host));
        if let Some(port) = via.port {
            self.append(format_args!(":{port}"));
        }
        for param in via.params.iter() {
            if is_source_param(param.name) {
                continue;
            }
            self.buffer.push(b';');
            self.buffer.extend_from_slice(param.name);
            if let Some(value) = param.value {
                self.buffer.push(b'=');
                self.buffer.extend_from_slice(value);
            }
        }
        match source {
            _ if !wants_address => {}
            IpAddr::V4(address) => self.append(format_args!(";received={address}")),
            // Without brackets: RFC 5118 §4.5 has both, RFC 3261 §25.1 only this one.
            IpAddr::V6(address) => self.append(format_args!(";received={address}")),
        }
        if wants_port {
            self.append(format_args!(";rport={}", remote.port()));
        }
        fold_to_spaces(self.buffer, start);
        self.buffer.extend_from_slice(b"\r\n");
    }
}

/// Starts the response to `request` that came from `remote` (RFC 3261 §8.2.6.2): every Via, the
/// topmost with `received` and `rport` as RFC 3581 §4 has them, From, To with `to_tag` if it has
/// no tag yet, Call-ID, CSeq, and in a 100 the Timestamp. An empty `reason` becomes the usual one.
///
/// Parts of the request that cannot be read are copied as they are.
pub fn response_to<'b>(
    buffer: &'b mut Vec<u8>,
    request: &Message<'_>,
    remote: SocketAddr,
    code: StatusCode,
    reason: impl AsRef<[u8]>,
    to_tag: Option<&[u8]>,
) -> MessageWriter<'b> {
    let mut writer = MessageWriter::response(buffer, code, reason);
    let mut vias = request.headers(HeaderName::Via);
    if let Some(line) = vias.next() {
        let mut values = Values::new(line);
        writer.answered_via(values.next().unwrap_or(line), remote);
        for value in values {
            writer.header(HeaderName::Via, value);
        }
    }
    for line in vias {
        writer.header(HeaderName::Via, line);
    }
    for name in [
        HeaderName::From,
        HeaderName::To,
        HeaderName::CallId,
        HeaderName::CSeq,
    ] {
        let Some(value) = request.header(name) else {
            continue;
        };
        let tag = to_tag
            .filter(|_| name == HeaderName::To && request.to().is_ok_and(|to| to.tag().is_none()));
        writer.start_header(name.as_str().as_bytes());
        append_value(writer.buffer, value);
        if let Some(tag) = tag {
            writer.buffer.extend_from_slice(b";tag=");
            append_value(writer.buffer, tag);
        }
        writer.buffer.extend_from_slice(b"\r\n");
    }
    if code.raw() == 100
        && let Some(timestamp) = request.header(HeaderName::Timestamp)
    {
        writer.header(HeaderName::Timestamp, timestamp);
    }
    writer
}

/// A message for a datagram in as few bytes as it can be said in: compact header names (RFC 3261
/// §7.3.3), and no Content-Length, which a datagram's own length makes redundant (§18.3).
pub fn compacted(message: &Message<'_>) -> Vec<u8> {
    let bytes = message.bytes();
    let start = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |end| end + 1);
    let mut out = Vec::with_capacity(bytes.len());
    out.extend_from_slice(bytes.get(..start).unwrap_or_default());
    for field in message.fields() {
        let name = match field.name {
            HeaderName::ContentLength => continue,
            HeaderName::Other => field.raw_name,
            known => known.compact().as_bytes(),
        };
        out.extend_from_slice(name);
        out.push(b':');
        append_value(&mut out, field.value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(message.body());
    out
}

/// Formats into the buffer.
struct Appender<'b>(&'b mut Vec<u8>);

impl fmt::Write for Appender<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

fn is_source_param(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"received") || name.eq_ignore_ascii_case(b"rport")
}

/// A value as it is written.
pub(crate) fn one_line(value: &[u8]) -> Vec<u8> {
    let mut written = Vec::new();
    append_value(&mut written, value);
    written
}

fn append_value(buffer: &mut Vec<u8>, value: &[u8]) {
    let start = buffer.len();
    buffer.extend_from_slice(value);
    fold_to_spaces(buffer, start);
}

/// Makes each run of white space that holds CR, LF or NUL one space, or nothing at either end,
/// from `start` on.
fn fold_to_spaces(buffer: &mut Vec<u8>, start: usize) {
    let tail = buffer.get(start..).unwrap_or_default();
    let Some(first) = memchr::memchr3(b'\r', b'\n', 0, tail) else {
        return;
    };
    let mut kept = Vec::with_capacity(tail.len());
    let (before, mut rest) = tail.split_at(first);
    kept.extend_from_slice(before);
    while let Some((&byte, after)) = rest.split_first() {
        if !matches!(byte, b'\r' | b'\n' | 0) {
            kept.push(byte);
            rest = after;
            continue;
        }
        while kept
            .last()
            .is_some_and(|&last| matches!(last, b' ' | b'\t'))
        {
            kept.pop();
        }
        let skipped = rest
            .iter()
            .take_while(|&&byte| is_lws(byte) || byte == 0)
            .count();
        rest = rest.get(skipped..).unwrap_or_default();
        if !kept.is_empty() && !rest.is_empty() {
            kept.push(b' ');
        }
    }
    buffer.truncate(start);
    buffer.extend_from_slice(&kept);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Index;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut buffer = Vec::new();
        write(&mut buffer);
        String::from_utf8(buffer).unwrap()
    }

    #[test]
    fn a_compacted_message_says_the_same_rfc3261_7_3_3() {
        let long = "SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP a:5060;branch=z9hG4bK1\r\n\
                    From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: 3\r\n\
                    CSeq: 1 REGISTER\r\nX-One: 1\r\nContent-Length: 2\r\n\r\nhi";
        let mut index = Index::default();
        let short = compacted(&index.parse(long.as_bytes()).unwrap());
        let expected = "SIP/2.0 401 Unauthorized\r\nv:SIP/2.0/UDP a:5060;branch=z9hG4bK1\r\n\
                        f:<sip:a@b>;tag=1\r\nt:<sip:a@b>;tag=2\r\ni:3\r\n\
                        CSeq:1 REGISTER\r\nX-One:1\r\n\r\nhi";
        assert_eq!(String::from_utf8_lossy(&short), expected);
        let mut again = Index::default();
        let message = again.parse(&short).unwrap();
        assert_eq!(message.call_id().unwrap(), b"3");
        assert_eq!(message.body(), b"hi");
    }

    #[test]
    fn a_request_in_the_order_of_the_calls() {
        let request = written(|buffer| {
            let mut writer = MessageWriter::request(buffer, Method::Invite, "sip:a@b");
            writer
                .via(Transport::Tls, "edge.example:5061", "z9hG4bK1", true)
                .header_fmt(HeaderName::CSeq, format_args!("{} INVITE", 1))
                .raw_header(b"X-One", b"1");
            writer.body("application/sdp", "v=0\r\n");
        });
        assert_eq!(
            request,
            "INVITE sip:a@b SIP/2.0\r\n\
             Via: SIP/2.0/TLS edge.example:5061;rport;branch=z9hG4bK1\r\n\
             CSeq: 1 INVITE\r\nX-One: 1\r\nContent-Type: application/sdp\r\n\
             Content-Length: 5\r\n\r\nv=0\r\n"
        );
    }

    #[test]
    fn no_value_starts_a_header() {
        let evil = "a\r\nEvil: 1\n\0 \r\n\r\nbody";
        let request = written(|buffer| {
            let mut writer =
                MessageWriter::request(buffer, Method::Other(b"X"), "sip:a\r\nE: 1 @b");
            writer
                .header(HeaderName::Subject, evil)
                .header_fmt(HeaderName::Reason, format_args!("{evil}"))
                .raw_header(b"X: 1\r\nEvil", b"2")
                .raw_header(b"", b"3")
                .via(Transport::Udp, evil, evil, false);
            writer.finish();
        });
        assert_eq!(
            request,
            "X sip:aE:1@b SIP/2.0\r\nSubject: a Evil: 1 body\r\nReason: a Evil: 1 body\r\n\
             Via: SIP/2.0/UDP a Evil: 1 body;branch=a Evil: 1 body\r\n\
             Content-Length: 0\r\n\r\n"
        );
        let response = written(|buffer| {
            MessageWriter::response(buffer, StatusCode::of(200), evil).finish();
        });
        assert_eq!(
            response,
            "SIP/2.0 200 a Evil: 1 body\r\nContent-Length: 0\r\n\r\n"
        );
    }

    const REQUEST: &str = "INVITE sip:a@b SIP/2.0\r\n\
        Via: VIA, SIP/2.0/TCP second;branch=2\r\nv: SIP/2.0/UDP third\r\n\
        f: <sip:c@d>;tag=1\r\nt: <sip:a@b>\r\ni: x\r\nCSeq: 1\r\n INVITE\r\n\
        Timestamp: 54\r\n\r\n";

    /// The topmost Via of the response to a request that came from `remote`.
    #[track_caller]
    fn check_via(via: &str, remote: &str, expected: &str) {
        let request = REQUEST.replace("VIA", via);
        let mut index = Index::default();
        let message = index.parse(request.as_bytes()).unwrap();
        let response = written(|buffer| {
            let code = StatusCode::of(200);
            response_to(buffer, &message, remote.parse().unwrap(), code, "", None).finish();
        });
        assert_eq!(
            response.lines().nth(1),
            Some(format!("Via: {expected}").as_str())
        );
    }

    #[test]
    fn a_response_goes_back_to_where_the_request_came_from_rfc3581_4() {
        let remote = "192.0.2.1:5070";
        check_via(
            "SIP/2.0/UDP 192.0.2.1;branch=1",
            remote,
            "SIP/2.0/UDP 192.0.2.1;branch=1",
        );
        check_via(
            "SIP/2.0/UDP 192.0.2.1;rport;branch=1",
            remote,
            "SIP/2.0/UDP 192.0.2.1;branch=1;received=192.0.2.1;rport=5070",
        );
        check_via("SIP/2.0/UDP h:5060;branch=1;x", remote, {
            "SIP/2.0/UDP h:5060;branch=1;x;received=192.0.2.1"
        });
        check_via("SIP / 2.0/UDP h;received=6.6.6.6;rport=9", remote, {
            "SIP/2.0/UDP h;received=192.0.2.1;rport=5070"
        });
        check_via(
            "SIP/2.0/UDP [2001:db8::1]",
            "[2001:db8::1]:5060",
            "SIP/2.0/UDP [2001:db8::1]",
        );
        check_via("SIP/2.0/UDP [2001:db8::1]", "[2001:db8::2]:5060", {
            "SIP/2.0/UDP [2001:db8::1];received=2001:db8::2"
        });
        check_via(
            "SIP/2.0/UDP 192.0.2.1",
            "[::ffff:192.0.2.1]:5060",
            "SIP/2.0/UDP 192.0.2.1",
        );
        check_via("SIP/2.0/UDP h;;", remote, "SIP/2.0/UDP h;;");
    }

    #[test]
    fn a_response_has_what_rfc3261_8_2_6_2_wants() {
        let request = REQUEST.replace("VIA", "SIP/2.0/UDP 192.0.2.1;branch=1");
        let mut index = Index::default();
        let message = index.parse(request.as_bytes()).unwrap();
        let response = |code, tag: Option<&[u8]>| {
            written(|buffer| {
                let remote = "192.0.2.1:5060".parse().unwrap();
                response_to(buffer, &message, remote, StatusCode::of(code), "", tag).finish();
            })
        };
        assert_eq!(
            response(100, None),
            "SIP/2.0 100 Trying\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=1\r\n\
             Via: SIP/2.0/TCP second;branch=2\r\nVia: SIP/2.0/UDP third\r\n\
             From: <sip:c@d>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n\
             Timestamp: 54\r\nContent-Length: 0\r\n\r\n"
        );
        assert!(response(486, Some(b"t\r\nEvil: 1")).contains("To: <sip:a@b>;tag=t Evil: 1\r\n"));
        assert!(!response(486, None).contains("Timestamp"));
    }

    #[test]
    fn a_to_tag_stays_the_one_it_is() {
        let request = REQUEST.replace("t: <sip:a@b>", "t: <sip:a@b>;tag=old");
        let mut index = Index::default();
        let message = index.parse(request.as_bytes()).unwrap();
        let response = written(|buffer| {
            let remote = "192.0.2.1:5060".parse().unwrap();
            response_to(
                buffer,
                &message,
                remote,
                StatusCode::of(200),
                "Fine",
                Some(b"new"),
            )
            .finish();
        });
        assert!(response.starts_with("SIP/2.0 200 Fine\r\n"));
        assert!(response.contains("To: <sip:a@b>;tag=old\r\n"));
    }
}

//! Bodies for fuzzing: plain functions that hold for any bytes, or panic.
//!
//! The tests call them with `fuzz/corpus/sip` and with generated messages; a fuzzer may call them
//! with anything. They check what has to be true between the parts of this crate: nothing
//! panics, the framer and the parser see the same messages however a stream is cut, and what is
//! written reads back as what was meant, with not one header more.

use std::net::SocketAddr;

use crate::frame::{Frame, FramingError, StreamFramer};
use crate::index::Index;
use crate::lex::trim;
use crate::write::{MessageWriter, one_line, response_to};
use crate::{
    Field, HeaderName, MAX_MESSAGE, Message, Method, NameAddr, StartLine, StatusCode, Strictness,
    Uri, Via, unescape,
};

/// Bytes as a datagram: reads everything in it, answers it, writes it anew.
pub fn datagram(bytes: &[u8]) {
    let mut index = Index::default();
    let Ok(message) = index.parse(bytes) else {
        return;
    };
    assert!(message.bytes().len() <= bytes.len());
    assert!(message.bytes().ends_with(message.body()));
    read_everything(&message);
    answer(&message);
    rewrite(&message);
}

/// Bytes as a stream: the same messages come out however it is cut, and each is the message that
/// a datagram of its bytes would be.
pub fn stream(bytes: &[u8]) {
    // More than that is refused when it comes at once, and not when it comes in pieces.
    let bytes = bytes.get(..MAX_MESSAGE).unwrap_or(bytes);
    let whole = frames(bytes, bytes.len().max(1));
    for size in [1, 7, bytes.len() / 2 + 1] {
        assert_eq!(frames(bytes, size), whole, "in pieces of {size}");
    }
}

/// Bytes as each kind of value on its own.
pub fn value(bytes: &[u8]) {
    let _ = unescape(bytes);
    if let Ok(uri) = Uri::parse(bytes) {
        assert!(uri.equivalent(&uri), "not like itself: {uri:?}");
        let _ = uri.user_unescaped();
    }
    if let Ok(address) = NameAddr::parse(bytes) {
        let again = NameAddr::parse(address.raw).map(|again| again.tag());
        assert_eq!(again, Ok(address.tag()));
        let _ = address.display_unquoted();
    }
    if let Ok(via) = Via::parse(bytes) {
        assert!(Via::parse(via.raw).is_ok());
    }
}

/// The messages in a stream that comes in pieces of `size`, and how it ends.
fn frames(bytes: &[u8], size: usize) -> (Vec<Vec<u8>>, Option<FramingError>) {
    let (mut framer, mut index, mut twin) =
        (StreamFramer::new(), Index::default(), Index::default());
    let mut messages = Vec::new();
    for piece in bytes.chunks(size) {
        framer.push(piece);
        loop {
            match framer.next(&mut index) {
                Ok(None) => break,
                Ok(Some(Frame::Ping)) => {}
                Ok(Some(Frame::Message(message))) => {
                    same(
                        &message,
                        twin.parse(message.bytes()).expect("framed, so it parses"),
                    );
                    messages.push(message.bytes().to_vec());
                }
                Ok(Some(Frame::Broken(message, _))) => {
                    assert!(message.body().is_empty());
                    messages.push(message.bytes().to_vec());
                }
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}

fn same(framed: &Message<'_>, parsed: Message<'_>) {
    assert_eq!(framed.bytes(), parsed.bytes());
    assert_eq!(framed.body(), parsed.body());
    assert_eq!(framed.defects(), parsed.defects());
    assert!(framed.fields().eq(parsed.fields()));
}

fn read_everything(message: &Message<'_>) {
    for field in message.fields() {
        assert!(!field.raw_name.is_empty());
        value(field.value);
        let _ = (
            message.number(field.name),
            message.values(field.name).count(),
        );
        assert!(
            message
                .headers(field.name)
                .any(|value| value == field.value)
        );
    }
    let _ = (
        message.via().is_ok(),
        message.from().is_ok(),
        message.to().is_ok(),
    );
    let _ = (
        message.cseq().is_ok(),
        message.call_id().is_ok(),
        message.max_forwards().is_ok(),
    );
    let _ = (
        message.contact().is_ok(),
        message.contacts().count(),
        format!("{message:?}"),
    );
    if message.validate_request_as(Strictness::Strict).is_ok() {
        assert_eq!(message.validate_request(), Ok(()));
    }
    if message.validate_response_as(Strictness::Strict).is_ok() {
        assert_eq!(message.validate_response(), Ok(()));
    }
}

/// The response to a sound request is a sound response, for the same transaction.
fn answer(request: &Message<'_>) {
    let remote = SocketAddr::from(([192, 0, 2, 1], 5070));
    let mut buffer = Vec::new();
    let code = StatusCode::of(486);
    response_to(&mut buffer, request, remote, code, "", Some(b"ours")).finish();
    if buffer.len() > MAX_MESSAGE {
        return;
    }
    let mut index = Index::default();
    let response = index.parse(&buffer).expect("a response");
    assert_eq!(response.bytes().len(), buffer.len());
    if request.validate_request().is_err() {
        return;
    }
    let (asked, answered) = (
        request.via().expect("sound"),
        response.via().expect("a Via"),
    );
    assert_eq!(asked.branch, answered.branch);
    assert_eq!((asked.host, asked.port), (answered.host, answered.port));
    assert_eq!(answered.rport, asked.rport.map(|_| Some(remote.port())));
    assert_eq!(request.call_id(), response.call_id());
    assert_eq!(request.cseq(), response.cseq());
    assert_eq!(
        request.from().map(|from| from.tag()),
        response.from().map(|from| from.tag())
    );
    let tag = request.to().expect("sound").tag().unwrap_or(b"ours");
    assert_eq!(response.to().expect("a To").tag(), Some(tag));
    let vias = |message: &Message<'_>| message.values(HeaderName::Via).count();
    assert_eq!(vias(request), vias(&response));
}

/// What is written header by header reads back as what it was written from.
fn rewrite(message: &Message<'_>) {
    let once = printed(message);
    if once.len() > MAX_MESSAGE {
        return;
    }
    let mut index = Index::default();
    let again = index.parse(&once).expect("what we write can be read");
    let theirs: Vec<_> = message.fields().filter(is_copied).collect();
    let ours: Vec<_> = again.fields().filter(is_copied).collect();
    assert_eq!(theirs.len(), ours.len(), "a header more or less");
    for (theirs, ours) in theirs.iter().zip(&ours) {
        assert_eq!(
            (theirs.name, theirs.raw_name.len() > 1),
            (ours.name, ours.raw_name.len() > 1)
        );
        assert_eq!(trim(&one_line(theirs.value)), ours.value);
    }
    assert_eq!(message.body(), again.body());
    assert_eq!(
        message.method().map(Method::as_bytes),
        again.method().map(Method::as_bytes)
    );
    assert_eq!(message.status(), again.status());
    assert_eq!(
        printed(&again),
        once,
        "printing what was printed changes nothing"
    );
}

fn printed(message: &Message<'_>) -> Vec<u8> {
    let mut buffer = Vec::new();
    let mut writer = match message.start() {
        StartLine::Request { method, uri } => {
            // One of nothing but control characters would be written as nothing.
            let uri = if uri.iter().any(u8::is_ascii_graphic) {
                uri
            } else {
                b"sip:x"
            };
            MessageWriter::request(&mut buffer, method, uri)
        }
        StartLine::Response { code, reason } => MessageWriter::response(&mut buffer, code, reason),
    };
    for field in message.fields().filter(is_copied) {
        writer.raw_header(field.raw_name, field.value);
    }
    match message.header(HeaderName::ContentType) {
        _ if message.body().is_empty() => writer.finish(),
        content_type => writer.body(content_type.unwrap_or(b"x/y"), message.body()),
    }
    buffer
}

/// The writer brings its own about the body.
fn is_copied(field: &Field<'_>) -> bool {
    !matches!(
        field.name,
        HeaderName::ContentLength | HeaderName::ContentType
    )
}

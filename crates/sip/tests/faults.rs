//! Faults found in other SBCs' handling of messages, as tests that they are not ours.

use ringfence_sip::frame::{Frame, StreamFramer};
use ringfence_sip::write::response_to;
use ringfence_sip::{Defects, HeaderName, Index, MAX_MESSAGE, Message, StatusCode, Via};

const HEADERS: &str = "Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
    To: <sip:c@d>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n";

fn datagram(bytes: &[u8], test: impl FnOnce(Message<'_>)) {
    test(Index::default().parse(bytes).expect("a message"));
}

/// What a stream of `bytes` gives first.
fn stream(bytes: &[u8], test: impl FnOnce(Option<Frame<'_>>)) {
    let (mut framer, mut index) = (StreamFramer::new(), Index::default());
    framer.push(bytes);
    test(framer.next(&mut index).expect("a stream"));
}

#[test]
fn one_byte_that_is_not_utf8_hides_no_later_header() {
    let mut bytes = b"INVITE sip:c@d SIP/2.0\r\nSubject: \xff\xfe\r\nX-\xe9: y\r\n".to_vec();
    bytes.extend_from_slice(HEADERS.as_bytes());
    bytes.extend_from_slice(b"\r\nbody");
    datagram(&bytes, |message| {
        assert!(message.defects().contains(Defects::NON_UTF8));
        assert_eq!(message.header(HeaderName::Subject), Some(&b"\xff\xfe"[..]));
        assert!(message.via().is_ok() && message.from().is_ok() && message.cseq().is_ok());
        assert_eq!(message.body(), b"body");
    });
}

#[test]
fn framer_and_parser_take_the_same_content_length() {
    // Equal ones: both take it. Different ones: both refuse, neither takes the first or the last.
    let equal = format!("INVITE sip:c@d SIP/2.0\r\n{HEADERS}l: 2\r\nContent-Length: 2\r\n\r\nhi");
    datagram(equal.as_bytes(), |message| {
        assert_eq!(message.body(), b"hi")
    });
    stream(equal.as_bytes(), |frame| {
        let Some(Frame::Message(message)) = frame else {
            panic!("{frame:?}")
        };
        assert_eq!(message.body(), b"hi");
    });
    for (one, two) in [("2", "4"), ("4", "2"), ("2", "x"), ("x", "2")] {
        let bytes = format!(
            "INVITE sip:c@d SIP/2.0\r\n{HEADERS}l: {one}\r\nContent-Length: {two}\r\n\r\nbody"
        );
        datagram(bytes.as_bytes(), |message| {
            assert_eq!(message.validate_request().unwrap_err().code.raw(), 400);
        });
        stream(bytes.as_bytes(), |frame| {
            assert!(matches!(frame, Some(Frame::Broken(..))))
        });
    }
}

#[test]
fn white_space_before_the_colon_is_seen_by_the_framer() {
    for name in [
        "Content-Length ",
        "Content-Length\t ",
        "l  ",
        "CONTENT-LENGTH",
    ] {
        let bytes = format!("INVITE sip:c@d SIP/2.0\r\n{HEADERS}{name}: 2\r\n\r\nhiNEXT");
        stream(bytes.as_bytes(), |frame| {
            let Some(Frame::Message(message)) = frame else {
                panic!("{name}: {frame:?}")
            };
            assert_eq!(message.body(), b"hi");
        });
    }
}

#[test]
fn a_length_that_only_looks_like_one_is_none() {
    // `Content-Length` inside another value, in a fold, in the body, or as another name.
    let bytes = format!(
        "INVITE sip:c@d SIP/2.0\r\n{HEADERS}Subject: x\r\n Content-Length: 1\r\n\
         X-Content-Length: 1\r\nContent-Length-X: 1\r\nl: 4\r\n\r\nbody"
    );
    stream(bytes.as_bytes(), |frame| {
        let Some(Frame::Message(message)) = frame else {
            panic!("{frame:?}")
        };
        assert_eq!(message.body(), b"body");
    });
}

#[test]
fn the_body_of_a_datagram_without_content_length_is_kept() {
    let bytes = format!("INVITE sip:c@d SIP/2.0\r\n{HEADERS}\r\nv=0\r\n\r\nmore");
    datagram(bytes.as_bytes(), |message| {
        assert_eq!(message.body(), b"v=0\r\n\r\nmore");
        assert_eq!(message.validate_request(), Ok(()));
    });
}

#[test]
fn a_via_without_branch_or_with_a_long_one_overruns_nothing() {
    let bytes = format!("INVITE sip:c@d SIP/2.0\r\n{HEADERS}\r\n").replace(";branch=z9hG4bK1", "");
    datagram(bytes.as_bytes(), |message| {
        assert_eq!(message.via().unwrap().branch, None);
        assert_eq!(message.validate_request(), Ok(()));
    });
    let long = "a".repeat(60_000);
    let value = format!("SIP/2.0/UDP h;branch={long}");
    assert_eq!(
        Via::parse(value.as_bytes()).unwrap().branch,
        Some(long.as_bytes())
    );
}

#[test]
fn a_header_of_any_length_is_read_or_refused() {
    // "Message-Account over 512 bytes kills the transport."
    for length in [511, 512, 513, 8_192, 60_000] {
        let long = "a".repeat(length);
        let bytes =
            format!("INVITE sip:c@d SIP/2.0\r\n{HEADERS}Message-Account: {long}\r\nl: 0\r\n\r\n");
        datagram(bytes.as_bytes(), |message| {
            assert_eq!(message.other(b"message-account"), Some(long.as_bytes()));
        });
        stream(bytes.as_bytes(), |frame| {
            assert!(matches!(frame, Some(Frame::Message(_))))
        });
    }
}

#[test]
fn a_folded_or_smuggled_header_reaches_no_answer() {
    let bytes = "INVITE sip:c@d SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1;x=\"\r\n Evil: 1\"\r\n\
        From: \"a\r\n\tEvil: 2\" <sip:a@b>;tag=1\r\nTo: <sip:c@d>\rEvil: 3\r\n\
        Call-ID: x\nEvil: 4\r\nCSeq: 1\r\n INVITE\r\n\r\n";
    datagram(bytes.as_bytes(), |message| {
        let mut buffer = Vec::new();
        let remote = "192.0.2.1:5060".parse().unwrap();
        let code = StatusCode::of(400);
        response_to(
            &mut buffer,
            &message,
            remote,
            code,
            "",
            Some(b"t\r\nEvil: 5"),
        )
        .finish();
        datagram(&buffer, |answer| {
            assert_eq!(
                answer.other(b"Evil"),
                None,
                "{}",
                String::from_utf8_lossy(&buffer)
            );
            assert_eq!(answer.fields().count(), 6);
        });
    });
}

#[test]
fn a_response_on_udp_cannot_be_sent_elsewhere_by_the_request() {
    let bytes = format!("INVITE sip:c@d SIP/2.0\r\n{HEADERS}\r\n")
        .replace(";branch", ";received=198.51.100.1;rport=9;branch");
    datagram(bytes.as_bytes(), |message| {
        let mut buffer = Vec::new();
        let remote = "192.0.2.1:5070".parse().unwrap();
        response_to(&mut buffer, &message, remote, StatusCode::of(200), "", None).finish();
        datagram(&buffer, |answer| {
            let via = answer.via().unwrap();
            assert_eq!(via.received, Some(&b"192.0.2.1"[..]));
            assert_eq!(via.rport, Some(Some(5070)));
        });
    });
}

#[test]
fn a_stream_that_never_completes_a_message_is_bounded() {
    let (mut framer, mut index) = (StreamFramer::new(), Index::default());
    framer.push(b"INVITE sip:c@d SIP/2.0\r\n");
    let mut pushed = 0;
    while framer.next(&mut index).is_ok() {
        framer.push(b"X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n");
        pushed += 64;
        assert!(pushed < 2 * MAX_MESSAGE, "a stream without end");
    }
}

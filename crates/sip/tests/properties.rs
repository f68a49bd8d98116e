//! Properties of messages: whatever the bytes, nothing panics; however a stream is cut, the same
//! messages come out; what is written reads back.
//!
//! What holds for any bytes is in `ringfence_sip::fuzz`; here are the bytes.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index as Position, select};
use ringfence_sip::frame::{Frame, StreamFramer};
use ringfence_sip::write::MessageWriter;
use ringfence_sip::{HeaderName, Host, Index, Method, NameAddr, StatusCode, Uri, Via, fuzz};

const TOKEN: &str = "[a-zA-Z0-9.!%*_+`'~-]{1,12}";
const HOST: &str = "([a-z][a-z0-9-]{0,8}[.]example|192[.]0[.]2[.][1-9]|\\[2001:db8::[1-9a-f]\\])(:[1-9][0-9]{0,3})?";
const PARAMS: &str = "(;[a-z]{1,5}x(=[a-z0-9.]{1,6})?){0,3}";

const USER: &str = "(([a-zA-Z0-9_.!~*'();?/&=+$,-]|%[0-9A-F]{2}){1,10}(:[a-z]{1,4})?@)?";

fn uri() -> impl Strategy<Value = String> {
    (select(vec!["sip", "sips", "SIP"]), USER, HOST, PARAMS)
        .prop_map(|(scheme, user, host, params)| format!("{scheme}:{user}{host}{params}"))
}

fn name_addr() -> impl Strategy<Value = String> {
    let display = "(|[a-zA-Z.!%*_+`'~ -]{1,9}|\"([a-z ,;<>@é]|\\\\[\"\\\\a]){0,9}\")";
    (display, uri(), "( ;|\r\n ;|;)tag=[a-z0-9]{1,9}")
        .prop_map(|(display, uri, tag)| format!("{display} <{uri}>{tag}"))
}

fn via() -> impl Strategy<Value = String> {
    let glue = "( ?/|\r\n / )";
    (
        glue,
        glue,
        select(vec!["UDP", "TCP", "TLS", "X-Y"]),
        HOST,
        PARAMS,
    )
        .prop_map(|(one, two, transport, host, params)| {
            format!("SIP{one}2.0{two}{transport} {host}{params};branch=z9hG4bK-1")
        })
}

/// A value that may hold anything a value can.
fn any_value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[ -~é\r\n\t]{0,40}".prop_map(String::into_bytes),
        vec(any::<u8>(), 0..30),
        name_addr().prop_map(String::into_bytes),
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec![
            "Via", "v", "TO", "f", "i", "CSeq", "m", "Route", "Subject", "l", "c"
        ])
        .prop_map(str::to_owned),
        TOKEN.prop_map(|name| format!("X-{name}")),
    ]
}

/// A sound request.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let others = vec((name(), any_value()), 0..4).prop_map(|headers| {
        headers
            .into_iter()
            .filter(|(name, _)| name.starts_with('X'))
            .collect::<Vec<_>>()
    });
    (
        uri(),
        vec(via(), 1..3),
        name_addr(),
        name_addr(),
        others,
        vec(any::<u8>(), 0..40),
    )
        .prop_map(|(uri, vias, from, to, others, body)| {
            let mut buffer = Vec::new();
            let mut writer = MessageWriter::request(&mut buffer, Method::Invite, uri);
            writer.header(HeaderName::Via, vias.join(", "));
            writer
                .header(HeaderName::From, from)
                .header(HeaderName::To, to);
            writer
                .header(HeaderName::CallId, "x@y")
                .header(HeaderName::CSeq, "1 INVITE");
            for (name, value) in others {
                writer.raw_header(name.as_bytes(), &value);
            }
            writer.body("x/y", body);
            buffer
        })
}

/// Changes a few bytes: replaced, cut out, doubled.
fn damaged(bytes: Vec<u8>, changes: Vec<(Position, u8, u8)>) -> Vec<u8> {
    changes
        .into_iter()
        .fold(bytes, |mut bytes, (position, byte, kind)| {
            if bytes.is_empty() {
                return bytes;
            }
            let at = position.index(bytes.len());
            match kind % 4 {
                0 => bytes[at] = byte,
                1 => bytes.truncate(at),
                2 => bytes.insert(at, byte),
                _ => bytes.extend_from_within(at..),
            }
            bytes
        })
}

fn changes() -> impl Strategy<Value = Vec<(Position, u8, u8)>> {
    let byte = prop_oneof![select(b"\r\n :;,<>\"@=\0\x80".to_vec()), any::<u8>()];
    vec((any::<Position>(), byte, any::<u8>()), 0..6)
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in vec(any::<u8>(), 0..300)) {
        fuzz::datagram(&bytes);
        fuzz::stream(&bytes);
        fuzz::value(&bytes);
        let mut message = b"OPTIONS sip:a SIP/2.0\r\n".to_vec();
        message.extend(bytes);
        fuzz::datagram(&message);
        fuzz::stream(&message);
    }

    #[test]
    fn damaged_messages_are_read_without_panic(bytes in request(), changes in changes()) {
        let bytes = damaged(bytes, changes);
        fuzz::datagram(&bytes);
        fuzz::stream(&bytes);
    }

    #[test]
    fn headers_of_any_content_read_back_as_one_each(
        headers in vec((name(), any_value()), 0..8),
        body in vec(any::<u8>(), 0..50),
    ) {
        let mut buffer = Vec::new();
        let mut writer = MessageWriter::response(&mut buffer, StatusCode::of(200), "");
        for (name, value) in headers.iter().filter(|(name, _)| name != "l") {
            writer.raw_header(name.as_bytes(), value);
        }
        writer.body("x/y", &body);
        let written = headers.iter().filter(|(name, _)| name != "l").count();
        let mut index = Index::default();
        let message = index.parse(&buffer).unwrap();
        prop_assert_eq!(message.fields().count(), written + 2);
        prop_assert_eq!(message.body(), &body[..]);
        fuzz::datagram(&buffer);
    }

    #[test]
    fn a_sound_request_stays_sound(bytes in request()) {
        let mut index = Index::default();
        let message = index.parse(&bytes).unwrap();
        prop_assert_eq!(message.validate_request(), Ok(()), "{}", String::from_utf8_lossy(&bytes));
        fuzz::datagram(&bytes);
    }

    #[test]
    fn a_stream_cut_anywhere_gives_the_messages_that_went_in(
        messages in vec((request(), "(\r\n){0,3}"), 1..4),
        cuts in vec(any::<Position>(), 0..6),
    ) {
        let stream: Vec<u8> =
            messages.iter().flat_map(|(bytes, gap)| [gap.as_bytes(), bytes].concat()).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let (mut framer, mut index) = (StreamFramer::new(), Index::default());
        let mut found = Vec::new();
        for piece in cuts.windows(2) {
            framer.push(&stream[piece[0]..piece[1]]);
            while let Some(frame) = framer.next(&mut index).unwrap() {
                match frame {
                    Frame::Message(message) => found.push(message.bytes().to_vec()),
                    Frame::Ping => {}
                    Frame::Broken(_, error) => prop_assert!(false, "{}", error),
                }
            }
        }
        let expected: Vec<_> = messages.into_iter().map(|(bytes, _)| bytes).collect();
        prop_assert_eq!(found, expected);
        prop_assert!(!framer.has_partial());
    }

    #[test]
    fn uris_have_the_parts_they_were_made_of(uri in uri()) {
        let parsed = Uri::parse(uri.as_bytes()).unwrap();
        let mut printed = uri.as_bytes()[..uri.find(':').unwrap() + 1].to_vec();
        if let Some(user) = parsed.user {
            printed.extend(user);
            if let Some(password) = parsed.password {
                printed.push(b':');
                printed.extend(password);
            }
            printed.push(b'@');
        }
        printed.extend(parsed.host.unwrap().to_string().bytes());
        if let Some(port) = parsed.port {
            printed.extend(format!(":{port}").bytes());
        }
        printed.extend(parsed.params.raw());
        prop_assert_eq!(String::from_utf8(printed).unwrap(), uri);
    }

    #[test]
    fn addresses_have_the_parts_they_were_made_of(value in name_addr()) {
        let parsed = NameAddr::parse(value.as_bytes()).unwrap();
        let uri = std::str::from_utf8(parsed.raw_uri()).unwrap();
        let around = format!("<{uri}>");
        prop_assert!(value.contains(&around), "{}", value);
        prop_assert!(value.trim().starts_with(std::str::from_utf8(parsed.display.unwrap_or_default()).unwrap()));
        prop_assert!(value.as_bytes().ends_with(parsed.tag().unwrap()));
    }

    #[test]
    fn vias_have_the_parts_they_were_made_of(value in via()) {
        let parsed = Via::parse(value.as_bytes()).unwrap();
        let port = parsed.port.map(|port| format!(":{port}")).unwrap_or_default();
        let sent_by = format!(" {}{port};", parsed.host);
        prop_assert!(value.contains(&sent_by), "{}", value);
        prop_assert!(parsed.has_rfc3261_branch());
    }

    #[test]
    fn hosts_print_as_they_parse(host in "[ -~]{0,20}") {
        if let Ok(parsed) = Host::parse(host.as_bytes()) {
            let printed = parsed.to_string();
            prop_assert_eq!(Ok(parsed), Host::parse(printed.as_bytes()));
        }
    }
}

//! The 49 torture messages of RFC 4475, each with the treatment that its section asks for.
//!
//! What is asked of a parser is checked here in full; where a section speaks of what the
//! application answers (420, 415, 483, …), the part that can be told from the message is: that it
//! is sound, and that what the answer depends on can be read.
//!
//! The messages are in a folder beside the repository, `shared/vectors/rfc4475`, found through
//! `RINGFENCE_SHARED` or in a parent folder. Without it the tests say that they skipped.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use ringfence_sip::frame::{Frame, FramingError, StreamFramer};
use ringfence_sip::{
    Contact, Defects, FatalError, HeaderName, Index, Message, Method, Scheme, StartLine,
    StatusCode, Strictness, SyntaxError, Uri, fuzz,
};

/// The bytes of one message; `None`, and said so, where the folder is not there.
fn bytes_of(name: &str) -> Option<Vec<u8>> {
    let folder = folder()?;
    let bytes = fs::read(folder.join(format!("{name}.dat"))).expect("one of the 49");
    fuzz::datagram(&bytes);
    fuzz::stream(&bytes);
    Some(bytes)
}

fn folder() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = std::env::var_os("RINGFENCE_SHARED").map(PathBuf::from);
    let found = named
        .into_iter()
        .chain(here.ancestors().map(|parent| parent.join("shared")))
        .map(|shared| shared.join("vectors/rfc4475"))
        .find(|folder| folder.is_dir());
    if found.is_none() {
        say_skipped("rfc4475: no shared/vectors/rfc4475 beside the repository");
    }
    found
}

#[allow(clippy::print_stderr, reason = "what is skipped is said")]
fn say_skipped(reason: &str) {
    eprintln!("skipped: {reason}");
    let list = std::env::var_os("RINGFENCE_SKIPS").and_then(|list| {
        fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(list)
            .ok()
    });
    if let Some(mut list) = list {
        let _ = writeln!(list, "{reason}");
    }
}

/// Hands the message to `test`.
#[track_caller]
fn with(name: &str, test: impl FnOnce(Message<'_>)) {
    let Some(bytes) = bytes_of(name) else { return };
    test(Index::default().parse(&bytes).expect("a start line"));
}

/// The message is sound, even strictly.
#[track_caller]
fn accepted(name: &str, test: impl FnOnce(Message<'_>)) {
    with(name, |message| {
        for strictness in [Strictness::Lenient, Strictness::Strict] {
            assert_eq!(verdict(&message, strictness), None, "{strictness:?}");
        }
        test(message);
    });
}

/// The message is refused with that code, leniently too.
#[track_caller]
fn refused(name: &str, code: u16, test: impl FnOnce(Message<'_>)) {
    with(name, |message| {
        for strictness in [Strictness::Lenient, Strictness::Strict] {
            assert_eq!(verdict(&message, strictness), Some(code), "{strictness:?}");
        }
        test(message);
    });
}

/// The message is let pass leniently and refused strictly.
#[track_caller]
fn open_to_choice(name: &str, test: impl FnOnce(Message<'_>)) {
    with(name, |message| {
        assert_eq!(verdict(&message, Strictness::Lenient), None);
        assert_eq!(verdict(&message, Strictness::Strict), Some(400));
        test(message);
    });
}

fn verdict(message: &Message<'_>, strictness: Strictness) -> Option<u16> {
    let verdict = match message.is_request() {
        true => message.validate_request_as(strictness),
        false => message.validate_response_as(strictness),
    };
    verdict.err().map(|rejection| rejection.code.raw())
}

fn uri_of<'a>(message: &Message<'a>) -> Result<Uri<'a>, SyntaxError> {
    Uri::parse(message.request_uri().expect("a request"))
}

#[test]
fn every_message_has_its_test() {
    let Some(folder) = folder() else { return };
    let source = include_str!("rfc4475.rs");
    let index = fs::read_to_string(folder.join("index.csv")).expect("the index");
    let mut messages = 0;
    for line in index.lines().skip(1) {
        let (file, section) = line.split_once(',').expect("file and section");
        let name = file.trim_end_matches(".dat");
        assert!(
            source.contains(&format!("(\"{name}\"")),
            "{name} has no test"
        );
        let section = format!("_rfc4475_{}(", section.replace('.', "_"));
        assert!(source.contains(&section), "no test of {section}");
        messages += 1;
    }
    assert_eq!(messages, 49);
}

#[test]
fn a_short_tortuous_invite_rfc4475_3_1_1_1() {
    accepted("wsinv", |message| {
        assert_eq!(message.method(), Some(Method::Invite));
        assert_eq!(message.to().unwrap().tag(), Some(&b"1918181833n"[..]));
        let from = message.from().unwrap();
        assert_eq!(
            from.display_unquoted().as_deref(),
            Some(&b"J Rosenberg \\\""[..])
        );
        assert_eq!(from.tag(), Some(&b"98asjd8"[..]));
        assert_eq!(message.max_forwards(), Ok(Some(68)));
        let cseq = message.cseq().unwrap();
        assert_eq!((cseq.number, cseq.method), (9, Method::Invite));
        let branches: Vec<_> = message
            .values(HeaderName::Via)
            .map(|value| ringfence_sip::Via::parse(value).unwrap())
            .map(|via| (via.transport, via.branch.unwrap()))
            .collect();
        assert_eq!(
            branches,
            [
                (&b"UDP"[..], &b"390skdjuw"[..]),
                (&b"TCP"[..], &b"z9hG4bK9ikj8"[..]),
                (&b"UDP"[..], &b"z9hG4bK30239"[..]),
            ]
        );
        assert_eq!(message.header(HeaderName::Subject), Some(&b""[..]));
        assert_eq!(
            message.other(b"UnknownHeaderWithUnusualValue"),
            Some(&b";;,,;;,;"[..])
        );
        let contact = message.contact().unwrap().unwrap();
        assert_eq!(contact.params.get(b"q"), Some(Some(&b"0.33"[..])));
        assert_eq!(
            contact.params.get(b"newparam"),
            Some(Some(&b"newvalue"[..]))
        );
        assert_eq!(message.body().len(), 150);
    });
}

#[test]
fn a_wide_range_of_valid_characters_rfc4475_3_1_1_2() {
    accepted("intmeth", |message| {
        let method = b"!interesting-Method0123456789_*+`.%indeed'~";
        assert_eq!(message.method(), Some(Method::Other(method)));
        assert_eq!(message.cseq().unwrap().method, Method::Other(method));
        let uri = uri_of(&message).unwrap();
        assert_eq!(
            uri.user,
            Some(&b"1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"[..])
        );
        assert_eq!(
            uri.password,
            Some(&b"&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"[..])
        );
        let to = message.to().unwrap();
        assert_eq!(
            to.display_unquoted().as_deref(),
            Some(&b"BEL:\x07 NUL:\0 DEL:\x7f"[..])
        );
        assert_eq!(
            message.from().unwrap().tag(),
            Some(&b"_token~1'+`*%!-."[..])
        );
        assert_eq!(message.max_forwards(), Ok(Some(255)));
        assert!(message.defects() == Defects::NUL);
        assert!(message.via().unwrap().has_rfc3261_branch());
        let last = message
            .fields()
            .find(|field| field.raw_name.starts_with(b"ext"))
            .unwrap();
        assert_eq!(last.raw_name, b"extensionHeader-!.%*+_`'~");
        assert_eq!(last.value, "\u{feff}大停電".as_bytes());
    });
}

#[test]
fn escapes_are_part_of_names_rfc4475_3_1_1_3() {
    accepted("esc01", |message| {
        let uri = uri_of(&message).unwrap();
        assert_eq!(uri.scheme, Scheme::Sip);
        assert_eq!(
            uri.user_unescaped().as_deref(),
            Some(&b"sips:user@example.com"[..])
        );
        assert_eq!(uri.host.unwrap().to_string(), "example.net");
        let to = message.to().unwrap();
        assert!(
            to.uri
                .equivalent(&Uri::parse(b"sip:user@example.com").unwrap())
        );
        let contact = message.contact().unwrap().unwrap();
        let same = b"sip:caller@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31";
        assert!(contact.uri.equivalent(&Uri::parse(same).unwrap()));
        // `%6C%72` is no `lr`: names are compared as they are written.
        assert!(!contact.uri.params.has(b"lr"));
    });
}

#[test]
fn escaped_zero_bytes_end_no_name_rfc4475_3_1_1_4() {
    accepted("escnull", |message| {
        let to = message.to().unwrap();
        assert_eq!(
            to.uri.user_unescaped().as_deref(),
            Some(&b"null-\0-null"[..])
        );
        let users: Vec<_> = message
            .contacts()
            .map(|contact| match contact.unwrap() {
                Contact::Address(address) => address.uri.user_unescaped().unwrap().into_owned(),
                Contact::Wildcard => unreachable!("no wildcard"),
            })
            .collect();
        assert_eq!(users, [b"\0".to_vec(), b"\0\0".to_vec()]);
    });
}

#[test]
fn a_percent_that_is_no_escape_rfc4475_3_1_1_5() {
    accepted("esc02", |message| {
        assert_eq!(message.method(), Some(Method::Other(b"RE%47IST%45R")));
        let display = message.to().unwrap();
        assert_eq!(display.display_unquoted().as_deref(), Some(&b"%Z%45"[..]));
        assert_eq!(
            message.contacts().count(),
            2,
            "`C%6Fntact` is another header"
        );
        assert!(message.other(b"C%6Fntact").is_some());
        assert_eq!(
            message.via().unwrap().branch,
            Some(&b"z9hG4bK209%fzsnel234"[..])
        );
    });
}

#[test]
fn no_white_space_between_name_and_bracket_rfc4475_3_1_1_6() {
    accepted("lwsdisp", |message| {
        let from = message.from().unwrap();
        assert_eq!(
            (from.display, from.tag()),
            (Some(&b"caller"[..]), Some(&b"323"[..]))
        );
    });
}

#[test]
fn long_values_rfc4475_3_1_1_7() {
    accepted("longreq", |message| {
        assert_eq!(message.values(HeaderName::Via).count(), 34);
        assert!(!message.via().unwrap().has_rfc3261_branch());
        assert!(message.from().unwrap().tag().unwrap().len() > 100);
        assert!(message.call_id().unwrap().len() > 100);
        assert!(message.to().unwrap().uri.params.iter().count() > 0);
        assert_eq!(message.body().len(), 150);
    });
}

#[test]
fn bytes_behind_a_message_rfc4475_3_1_1_8() {
    accepted("dblreq", |message| {
        assert_eq!(message.method(), Some(Method::Register));
        assert!(message.body().is_empty());
        assert_eq!(message.defects(), Defects::TRAILING_BYTES);
    });
    let Some(bytes) = bytes_of("dblreq") else {
        return;
    };
    let (mut framer, mut index) = (StreamFramer::new(), Index::default());
    framer.push(&bytes);
    let mut methods = Vec::new();
    // The second one's Content-Length is short of its body, so the stream ends there.
    while let Ok(Some(frame)) = framer.next(&mut index) {
        if let Frame::Message(message) = frame {
            methods.push(message.method().and_then(Method::known));
        }
    }
    assert_eq!(methods, [Some(Method::Register), Some(Method::Invite)]);
}

#[test]
fn parameters_in_the_user_part_rfc4475_3_1_1_9() {
    accepted("semiuri", |message| {
        let uri = uri_of(&message).unwrap();
        let user = uri.user_unescaped();
        assert_eq!(user.as_deref(), Some(&b"user;par=u@example.net"[..]));
        assert_eq!(uri.host.unwrap().to_string(), "example.com");
        assert!(uri.params.is_empty());
        assert_eq!(message.values(HeaderName::Accept).count(), 6);
    });
}

#[test]
fn known_and_unknown_transports_rfc4475_3_1_1_10() {
    accepted("transports", |message| {
        let transports: Vec<_> = message
            .values(HeaderName::Via)
            .map(|value| ringfence_sip::Via::parse(value).unwrap().transport)
            .collect();
        assert_eq!(
            transports,
            [&b"UDP"[..], b"SCTP", b"TLS", b"UNKNOWN", b"TCP"]
        );
    });
}

#[test]
fn a_binary_body_in_parts_rfc4475_3_1_1_11() {
    accepted("mpart01", |message| {
        assert_eq!(message.body().len(), 553);
        assert!(message.body().ends_with(b"--7a9cbec02ceef655--\r\n"));
        assert!(message.body().contains(&0), "zero bytes");
        assert!(message.defects().is_empty(), "what is odd is in the body");
    });
}

#[test]
fn an_unusual_reason_rfc4475_3_1_1_12() {
    accepted("unreason", |message| {
        let StartLine::Response { code, reason } = message.start() else {
            panic!("a response")
        };
        assert_eq!(code, StatusCode::of(200));
        assert!(reason.starts_with(b"= 2**3 * 5**2 \xd0\xbd\xd0\xbe"));
        assert_eq!(message.body().len(), 154);
    });
}

#[test]
fn an_empty_reason_rfc4475_3_1_1_13() {
    accepted("noreason", |message| {
        let StartLine::Response { code, reason } = message.start() else {
            panic!("a response")
        };
        assert_eq!((code.raw(), reason), (100, &b""[..]));
    });
}

#[test]
fn separators_too_many_rfc4475_3_1_2_1() {
    refused("badinv01", 400, |message| {
        assert!(message.via().is_err());
        assert!(message.contact().is_err());
    });
}

#[test]
fn a_content_length_beyond_the_message_rfc4475_3_1_2_2() {
    refused("clerr", 400, |message| {
        assert!(
            message
                .defects()
                .contains(Defects::CONTENT_LENGTH_TOO_LARGE)
        );
    });
    // On a stream it cannot be told from a message that is still coming: the edge waits, for a
    // limited time.
    let Some(bytes) = bytes_of("clerr") else {
        return;
    };
    let (mut framer, mut index) = (StreamFramer::new(), Index::default());
    framer.push(&bytes);
    assert!(framer.next(&mut index).unwrap().is_none());
    assert!(framer.has_partial());
}

#[test]
fn a_negative_content_length_rfc4475_3_1_2_3() {
    refused("ncl", 400, |message| {
        assert!(message.defects().contains(Defects::CONTENT_LENGTH_INVALID));
    });
    broken_on_a_stream("ncl");
}

#[test]
fn numbers_too_large_in_a_request_rfc4475_3_1_2_4() {
    refused("scalar02", 400, |message| {
        assert!(message.cseq().is_err() && message.max_forwards().is_err());
        assert_eq!(message.number(HeaderName::Expires), Ok(Some(u32::MAX)));
    });
}

#[test]
fn numbers_too_large_in_a_response_rfc4475_3_1_2_5() {
    refused("scalarlg", 400, |message| {
        assert!(message.cseq().is_err());
        assert_eq!(message.number(HeaderName::RetryAfter), Ok(Some(u32::MAX)));
    });
}

#[test]
fn a_quote_that_never_closes_rfc4475_3_1_2_6() {
    refused("quotbal", 400, |message| {
        assert!(message.to().is_err());
        assert!(
            message.from().is_ok(),
            "the other headers are what they are"
        );
    });
}

#[test]
fn brackets_around_the_request_uri_rfc4475_3_1_2_7() {
    refused("ltgtruri", 400, |message| {
        assert!(uri_of(&message).is_err())
    });
}

#[test]
fn white_space_in_the_request_uri_rfc4475_3_1_2_8() {
    refused("lwsruri", 400, |message| {
        assert!(message.defects().contains(Defects::BAD_REQUEST_URI));
        assert_eq!(
            message.request_uri(),
            Some(&b"sip:user@example.com; lr"[..])
        );
    });
}

#[test]
fn spaces_too_many_in_the_request_line_rfc4475_3_1_2_9() {
    open_to_choice("lwsstart", |message| {
        assert_eq!(message.request_uri(), Some(&b"sip:user@example.com"[..]));
        assert_eq!(message.defects(), Defects::BAD_START_LINE);
    });
}

#[test]
fn spaces_behind_the_request_line_rfc4475_3_1_2_10() {
    open_to_choice("trws", |message| {
        assert_eq!(
            message.request_uri(),
            Some(&b"sip:remote-target@example.com"[..])
        );
        assert_eq!(message.defects(), Defects::BAD_START_LINE);
    });
}

#[test]
fn headers_in_the_request_uri_rfc4475_3_1_2_11() {
    open_to_choice("escruri", |message| {
        let uri = uri_of(&message).unwrap();
        assert_eq!(uri.headers, Some(&b"Route=%3Csip:example.com%3E"[..]));
        assert_eq!(
            message.header(HeaderName::Route),
            None,
            "they become no header"
        );
    });
}

#[test]
fn a_date_in_another_zone_rfc4475_3_1_2_12() {
    accepted("baddate", |message| {
        let date = &b"Fri, 01 Jan 2010 16:00:00 EST"[..];
        assert_eq!(
            message.header(HeaderName::Date),
            Some(date),
            "kept, and read by nobody"
        );
    });
}

#[test]
fn a_contact_without_its_brackets_rfc4475_3_1_2_13() {
    refused("regbadct", 400, |message| {
        assert!(message.contact().is_err());
        assert_eq!(message.header(HeaderName::Route), None);
    });
}

#[test]
fn spaces_within_the_brackets_rfc4475_3_1_2_14() {
    open_to_choice("badaspec", |message| {
        assert_eq!(message.to().unwrap().raw_uri(), b"sip:t.watson@example.org");
    });
}

#[test]
fn a_comma_in_a_bare_display_name_rfc4475_3_1_2_15() {
    refused("baddn", 400, |message| {
        assert!(message.from().is_err() && message.to().is_err());
    });
}

#[test]
fn an_unknown_version_rfc4475_3_1_2_16() {
    refused("badvers", 505, |message| {
        assert_eq!(message.defects(), Defects::BAD_VERSION);
        assert_eq!(message.call_id().unwrap(), b"badvers.31417@c.example.com");
    });
}

#[test]
fn another_method_in_the_cseq_rfc4475_3_1_2_17() {
    refused("mismatch01", 400, |message| {
        assert_eq!(message.cseq().unwrap().method, Method::Invite);
    });
}

#[test]
fn an_unknown_method_and_another_in_the_cseq_rfc4475_3_1_2_18() {
    refused("mismatch02", 400, |message| {
        assert_eq!(message.method(), Some(Method::Other(b"NEWMETHOD")));
    });
}

#[test]
fn a_status_code_too_large_rfc4475_3_1_2_19() {
    let Some(bytes) = bytes_of("bigcode") else {
        return;
    };
    assert_eq!(
        Index::default().parse(&bytes).unwrap_err(),
        FatalError::StatusCode
    );
}

#[test]
fn a_branch_of_nothing_but_the_cookie_rfc4475_3_2_1() {
    accepted("badbranch", |message| {
        let via = message.via().unwrap();
        assert_eq!(via.branch, Some(&b"z9hG4bK"[..]));
        assert!(!via.has_rfc3261_branch(), "matched as RFC 2543 does");
    });
}

#[test]
fn missing_headers_rfc4475_3_3_1() {
    refused("insuf", 400, |message| {
        let missing = Defects::MISSING_CALL_ID | Defects::MISSING_FROM | Defects::MISSING_TO;
        assert_eq!(message.defects(), missing);
    });
}

#[test]
fn an_unknown_scheme_rfc4475_3_3_2() {
    refused("unkscm", 416, |message| {
        let uri = uri_of(&message).unwrap();
        assert_eq!(uri.scheme, Scheme::Other(b"nobodyKnowsThisScheme"));
    });
}

#[test]
fn a_scheme_of_something_else_rfc4475_3_3_3() {
    refused("novelsc", 416, |message| {
        assert_eq!(
            uri_of(&message).unwrap().scheme,
            Scheme::Other(b"soap.beep")
        );
    });
}

#[test]
fn other_schemes_in_headers_rfc4475_3_3_4() {
    accepted("unksm2", |message| {
        assert_eq!(message.to().unwrap().uri.scheme, Scheme::Other(b"isbn"));
        assert_eq!(message.from().unwrap().uri.scheme, Scheme::Other(b"http"));
        let contact = message.contact().unwrap().unwrap();
        assert_eq!(contact.uri.scheme, Scheme::Other(b"name"));
    });
}

#[test]
fn extensions_that_nobody_supports_rfc4475_3_3_5() {
    accepted("bext01", |message| {
        let required: Vec<_> = message.values(HeaderName::Require).collect();
        assert_eq!(
            required,
            [&b"nothingSupportsThis"[..], b"nothingSupportsThisEither"]
        );
        let required: Vec<_> = message.values(HeaderName::ProxyRequire).collect();
        assert_eq!(
            required,
            [&b"noProxiesSupportThis"[..], b"norDoAnyProxiesSupportThis"]
        );
    });
}

#[test]
fn a_body_of_unknown_type_rfc4475_3_3_6() {
    accepted("invut", |message| {
        let content_type = message.header(HeaderName::ContentType);
        assert_eq!(content_type, Some(&b"application/unknownformat"[..]));
        assert_eq!(message.body().len(), 40);
    });
}

#[test]
fn an_unknown_authorization_scheme_rfc4475_3_3_7() {
    accepted("regaut01", |message| {
        let value = message.header(HeaderName::Authorization);
        assert_eq!(value, Some(&b"NoOneKnowsThisScheme opaque-data=here"[..]));
    });
}

#[test]
fn two_of_what_there_may_be_one_rfc4475_3_3_8() {
    refused("multi01", 400, |message| {
        assert!(message.defects().contains(Defects::DUPLICATE_SINGLETON));
        assert_eq!(message.headers(HeaderName::CSeq).count(), 2);
    });
}

#[test]
fn two_lengths_rfc4475_3_3_9() {
    refused("mcl01", 400, |message| {
        assert!(message.defects().contains(Defects::CONTENT_LENGTH_CONFLICT));
    });
    broken_on_a_stream("mcl01");
}

#[test]
fn a_response_for_somebody_else_rfc4475_3_3_10() {
    refused("bcast", 400, |message| {
        assert_eq!(message.values(HeaderName::Via).count(), 2);
        assert_eq!(message.via().unwrap().host.to_string(), "192.0.2.198");
    });
}

#[test]
fn no_forwards_left_rfc4475_3_3_11() {
    accepted("zeromf", |message| {
        assert_eq!(message.max_forwards(), Ok(Some(0)))
    });
}

#[test]
fn a_parameter_of_the_contact_rfc4475_3_3_12() {
    accepted("cparam01", |message| {
        let contact = message.contact().unwrap().unwrap();
        assert!(contact.params.has(b"unknownparam") && contact.uri.params.is_empty());
        assert_eq!(contact.raw_uri(), b"sip:+19725552222@gw1.example.net");
    });
}

#[test]
fn a_parameter_of_the_uri_rfc4475_3_3_13() {
    accepted("cparam02", |message| {
        let contact = message.contact().unwrap().unwrap();
        assert!(contact.uri.params.has(b"unknownparam") && contact.params.is_empty());
    });
}

#[test]
fn headers_in_a_contact_rfc4475_3_3_14() {
    accepted("regescrt", |message| {
        let contact = message.contact().unwrap().unwrap();
        assert_eq!(
            contact.uri.headers,
            Some(&b"Route=%3Csip:sip.example.com%3E"[..])
        );
        assert_eq!(message.header(HeaderName::Route), None);
    });
}

#[test]
fn an_accept_without_sdp_rfc4475_3_3_15() {
    accepted("sdp01", |message| {
        assert!(message.lists(HeaderName::Accept, b"text/nobodyKnowsThis"));
        assert!(!message.lists(HeaderName::Accept, b"application/sdp"));
    });
}

#[test]
fn an_invite_of_rfc2543_rfc4475_3_4_1() {
    accepted("inv2543", |message| {
        assert_eq!(message.from().unwrap().tag(), None);
        assert_eq!(message.max_forwards(), Ok(None));
        assert!(!message.via().unwrap().has_rfc3261_branch());
        assert!(
            message.body().starts_with(b"v=0\r\n"),
            "the rest of the datagram"
        );
    });
}

/// The head is there to be answered with 400, then the connection is done.
#[track_caller]
fn broken_on_a_stream(name: &str) {
    let Some(bytes) = bytes_of(name) else { return };
    let (mut framer, mut index) = (StreamFramer::new(), Index::default());
    framer.push(&bytes);
    let frame = framer.next(&mut index).unwrap().unwrap();
    let Frame::Broken(message, FramingError::ContentLength) = frame else {
        panic!("{frame:?}")
    };
    assert!(message.via().is_ok() && message.validate_request().is_err());
    assert_eq!(
        framer.next(&mut index).unwrap_err(),
        FramingError::ContentLength
    );
}

//! Messages against two other parsers, `ezk-sip-types` and `rsipstack`: where they read a message,
//! all see the same method or code, Request-URI, Call-ID, CSeq, tags and body.
//!
//! Neither is right about everything. What they are known to get wrong is in [`KNOWN`], one line
//! for each message of RFC 4475, and the test fails when a line is no longer true. The generated
//! messages keep clear of those faults and of some more, which stand where they are made.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ezk_sip_types::header::typed as ezk;
use ezk_sip_types::msg::{Line, MessageLine, PullParser};
use ezk_sip_types::parse::Parse;
use ezk_sip_types::{Headers, Name};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use ringfence_peers::tools::skip;
use ringfence_sip::{Index, StartLine, Uri, unescape};
use rsipstack::sip::prelude::*;
use rsipstack::sip::{HeadersExt, SipMessage};

/// What all parsers have to see alike.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    start: String,
    uri: Option<SeenUri>,
    call_id: String,
    cseq: (u32, String),
    from_tag: Option<String>,
    to_tag: Option<String>,
    body: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
struct SeenUri {
    user: Option<Vec<u8>>,
    host: String,
    port: Option<u16>,
}

type Oracle = fn(&[u8]) -> Result<Seen, String>;

const ORACLES: [(&str, Oracle); 2] = [("ezk-sip-types", by_ezk), ("rsipstack", by_rsipstack)];

/// Message, oracle, what it sees otherwise, and why that is its fault.
const KNOWN: &[(&str, &str, &str, &str)] = &[
    (
        "wsinv",
        "ezk-sip-types",
        "refuses it",
        "an escaped backslash in a quoted string",
    ),
    (
        "wsinv",
        "rsipstack",
        "From tag, To tag",
        "white space around the `=` of a parameter",
    ),
    (
        "intmeth",
        "rsipstack",
        "refuses it",
        "a method that it does not know",
    ),
    (
        "esc02",
        "rsipstack",
        "refuses it",
        "a method that it does not know",
    ),
    (
        "semiuri",
        "rsipstack",
        "uri",
        "a `;` in the user part ends the URI",
    ),
    (
        "unksm2",
        "ezk-sip-types",
        "refuses it",
        "a URI that is neither `sip` nor `sips`",
    ),
    (
        "inv2543",
        "rsipstack",
        "body",
        "a datagram's body without Content-Length is dropped",
    ),
];

fn by_us(bytes: &[u8]) -> Result<Seen, String> {
    let mut index = Index::default();
    let message = index.parse(bytes).map_err(|error| error.to_string())?;
    let (start, uri) = match message.start() {
        StartLine::Request { method, uri } => {
            let uri = Uri::parse(uri).map_err(|error| error.to_string())?;
            (method.to_string(), Some(uri))
        }
        StartLine::Response { code, .. } => (code.to_string(), None),
    };
    let cseq = message.cseq().map_err(|error| error.to_string())?;
    let tag = |tag: Option<&[u8]>| tag.map(text);
    Ok(Seen {
        start,
        uri: uri.map(|uri| SeenUri {
            user: uri.user.map(|user| unescape(user).into_owned()),
            host: host(uri.host.expect("a SIP URI")),
            port: uri.port,
        }),
        call_id: text(message.call_id().map_err(|error| error.to_string())?),
        cseq: (cseq.number, cseq.method.to_string()),
        from_tag: tag(message.from().map_err(|error| error.to_string())?.tag()),
        to_tag: tag(message.to().map_err(|error| error.to_string())?.tag()),
        body: message.body().to_vec(),
    })
}

fn by_ezk(bytes: &[u8]) -> Result<Seen, String> {
    let source = Bytes::copy_from_slice(bytes);
    let mut lines = PullParser::new(&source, 0);
    let mut texts = Vec::new();
    for line in lines.by_ref() {
        let line = line.map_err(|_| "incomplete".to_owned())?;
        texts.push(std::str::from_utf8(line).map_err(|error| error.to_string())?);
    }
    let (start, rest) = texts.split_first().ok_or("empty")?;
    let start = MessageLine::parse_str(start).map_err(|error| error.to_string())?;
    let mut headers = Headers::new();
    for line in rest {
        let (_, line) = Line::parse(&source, line).map_err(|error| error.to_string())?;
        headers.insert(line.name, line.value);
    }
    let rest = source.slice(lines.head_end()..);
    let body = match headers.try_get_named::<ezk::ContentLength>() {
        Some(length) => {
            let length = length.map_err(|error| error.to_string())?.0;
            rest.get(..length).ok_or("body too short")?.to_vec()
        }
        None => rest.to_vec(),
    };
    let (start, uri) = match start {
        MessageLine::Request(line) => {
            // The user is private to the library; what it prints is not.
            let printed = format!("{:?}", line.uri);
            let user = printed.split_once('@').map(|(before, _)| {
                let user = before.split(':').nth(1).unwrap_or_default();
                unescape(user.as_bytes()).into_owned()
            });
            let host_port = &line.uri.host_port;
            let uri = SeenUri {
                user,
                host: host(&host_port.host),
                port: host_port.port,
            };
            (line.method.to_string(), Some(uri))
        }
        MessageLine::Response(line) => (line.code.into_u16().to_string(), None),
    };
    let cseq: ezk::CSeq = headers.get_named().map_err(|error| error.to_string())?;
    let call_id: ezk::CallID = headers.get_named().map_err(|error| error.to_string())?;
    let tag = |name: Name| -> Result<Option<String>, String> {
        let address: ezk::FromTo = headers.get(name).map_err(|error| error.to_string())?;
        Ok(address.tag.map(|tag| tag.to_string()))
    };
    Ok(Seen {
        start,
        uri,
        call_id: call_id.0.to_string(),
        cseq: (cseq.cseq, cseq.method.to_string()),
        from_tag: tag(Name::FROM)?,
        to_tag: tag(Name::TO)?,
        body,
    })
}

fn by_rsipstack(bytes: &[u8]) -> Result<Seen, String> {
    let message = SipMessage::try_from(bytes).map_err(|error| error.to_string())?;
    let (start, uri, body) = match &message {
        SipMessage::Request(request) => {
            let (uri, port) = (&request.uri, request.uri.host_with_port.port);
            let user = uri
                .user()
                .map(|user| unescape(user.as_bytes()).into_owned());
            let uri = SeenUri {
                user,
                host: host(uri.host()),
                port: port.map(|port| port.0),
            };
            (request.method.to_string(), Some(uri), request.body.clone())
        }
        SipMessage::Response(response) => (
            response.status_code.code().to_string(),
            None,
            response.body.clone(),
        ),
    };
    let typed = |error: rsipstack::sip::Error| error.to_string();
    let cseq = message
        .cseq_header()
        .and_then(|cseq| cseq.typed())
        .map_err(typed)?;
    let from = message
        .from_header()
        .and_then(|from| from.typed())
        .map_err(typed)?;
    let to = message
        .to_header()
        .and_then(|to| to.typed())
        .map_err(typed)?;
    Ok(Seen {
        start,
        uri,
        // It keeps the space of a fold right after the colon.
        call_id: message
            .call_id_header()
            .map_err(typed)?
            .value()
            .trim()
            .to_owned(),
        cseq: (cseq.seq, cseq.method.to_string()),
        from_tag: from.tag().map(|tag| tag.value().to_owned()),
        to_tag: to.tag().map(|tag| tag.value().to_owned()),
        body,
    })
}

/// What an oracle sees otherwise than we do; nothing if they agree.
fn difference(ours: &Seen, theirs: &Result<Seen, String>) -> String {
    let Ok(theirs) = theirs else {
        return "refuses it".to_owned();
    };
    let fields = [
        ("start", ours.start == theirs.start),
        ("uri", ours.uri == theirs.uri),
        ("Call-ID", ours.call_id == theirs.call_id),
        ("CSeq", ours.cseq == theirs.cseq),
        ("From tag", ours.from_tag == theirs.from_tag),
        ("To tag", ours.to_tag == theirs.to_tag),
        ("body", ours.body == theirs.body),
    ];
    let others: Vec<_> = fields
        .iter()
        .filter(|(_, same)| !same)
        .map(|(name, _)| *name)
        .collect();
    others.join(", ")
}

/// Names and addresses as one text: without case and brackets.
fn host(host: impl ToString) -> String {
    host.to_string().trim_matches(['[', ']']).to_lowercase()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The messages of RFC 4475 that are valid, the application's questions (§3.3) among them.
const VALID: [&str; 24] = [
    "wsinv",
    "intmeth",
    "esc01",
    "escnull",
    "esc02",
    "lwsdisp",
    "longreq",
    "dblreq",
    "semiuri",
    "transports",
    "mpart01",
    "unreason",
    "noreason",
    "badbranch",
    "unksm2",
    "bext01",
    "invut",
    "regaut01",
    "zeromf",
    "cparam01",
    "cparam02",
    "regescrt",
    "sdp01",
    "inv2543",
];

/// A host. Names only of letters and digits around the dots: more is no matter of this test.
const HOST: &str = "([a-z][a-z0-9]{0,8}[.]example|192[.]0[.]2[.][1-9]|\\[2001:db8::[1-9a-f]\\])";

/// A URI: neither `;` nor `?` in the user (`rsipstack` takes them for the URI's end).
fn uri() -> impl Strategy<Value = String> {
    let user = "(([a-zA-Z0-9_.!~*'()&=+$,-]|%[2-7][0-9A-E]){1,12}(:[a-z]{1,4})?@)?";
    let (port, params) = (
        "(:[1-9][0-9]{0,3})?",
        "(;(lr|user=phone|transport=(tcp|udp)))?",
    );
    (select(vec!["sip", "sips"]), user, HOST, port, params).prop_map(
        |(scheme, user, host, port, params)| format!("{scheme}:{user}{host}{port}{params}"),
    )
}

/// A From or To. No escapes in the quotes (`ezk-sip-types`), no white space around the `=` of
/// the tag (`rsipstack`), a space before the bracket.
fn address(tag: &'static str) -> impl Strategy<Value = String> {
    let display = "(|[a-zA-Z.!%*_+~-]{1,9}( [a-z]{1,5})? |\"[a-zA-Z ,;@:=]{1,9}\" )";
    let params = "(;x-[a-z]{1,4}(=[a-z0-9]{1,4})?)?";
    (display, uri(), params, tag, params).prop_map(|(display, uri, before, tag, after)| {
        format!("{display}<{uri}>{before}{tag}{after}")
    })
}

fn header(
    names: &'static [&'static str],
    value: impl Strategy<Value = String>,
) -> impl Strategy<Value = String> {
    // White space before the colon is legal; a fold may follow it.
    (
        select(names),
        select(vec![": ", ":", " : ", ":\r\n ", ":  \t"]),
        value,
    )
        .prop_map(|(name, colon, value)| format!("{name}{colon}{value}\r\n"))
}

/// Bytes that show as text.
#[derive(Clone)]
struct Message(Vec<u8>);

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&text(&self.0))
    }
}

/// A message of a method that all know, with a Content-Length, its headers in any order.
fn message() -> impl Strategy<Value = Message> {
    let methods = vec![
        "INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "INFO", "MESSAGE",
    ];
    let via = ("SIP/2[.]0/(UDP|TCP|TLS)", HOST, "(:[1-9][0-9]{0,3})?")
        .prop_map(|(protocol, host, port)| format!("{protocol} {host}{port};branch=z9hG4bK7"));
    let headers = (
        header(&["Via", "v", "VIA"], via),
        header(&["From", "f", "FROM"], address(";tag=[a-zA-Z0-9._-]{1,16}")),
        header(&["To", "t", "tO"], address("(;tag=[a-zA-Z0-9._-]{1,16})?")),
        header(
            &["Call-ID", "i", "call-id"],
            "[a-zA-Z0-9._%-]{1,20}(@[a-z.]{1,10})?",
        ),
        header(&["X-Header", "Subject"], "[ -~é]{0,30}"),
        header(&["Contact", "m"], address("")),
    );
    let start = prop_oneof![
        (select(methods), uri())
            .prop_map(|(method, uri)| (format!("{method} {uri} SIP/2.0"), method)),
        (100..700u16, "[a-zA-Z ]{1,12}")
            .prop_map(|(code, reason)| (format!("SIP/2.0 {code} {reason}"), "INVITE")),
    ];
    let body = prop_oneof![vec(any::<u8>(), 0..60), Just(b"v=0\r\n\r\n\r\nx".to_vec())];
    (
        start,
        headers,
        0..1u32 << 31,
        body,
        any::<prop::sample::Index>(),
    )
        .prop_map(|((start, method), headers, number, body, first)| {
            let (via, from, to, call_id, other, contact) = headers;
            let cseq = format!("CSeq: {number} {method}\r\n");
            let length = format!("Content-Length: {}\r\n", body.len());
            let mut headers = [via, from, to, call_id, other, contact, cseq, length];
            let middle = first.index(headers.len());
            headers.rotate_left(middle);
            let mut message = format!("{start}\r\n{}\r\n", headers.concat()).into_bytes();
            message.extend(body);
            Message(message)
        })
}

proptest! {
    #[test]
    fn all_read_generated_messages_alike(Message(bytes) in message()) {
        let ours = by_us(&bytes);
        prop_assert!(ours.is_ok(), "{:?}\n{}", ours, text(&bytes));
        for (oracle, read) in ORACLES {
            let theirs = read(&bytes);
            let difference = difference(ours.as_ref().unwrap(), &theirs);
            prop_assert!(
                difference.is_empty(),
                "{oracle}: {difference}\n{ours:?}\n{theirs:?}\n{}", text(&bytes)
            );
        }
    }
}

#[test]
fn all_read_the_valid_messages_of_rfc4475_alike_but_for_known_faults() {
    let Some(folder) = folder() else { return };
    let mut found = Vec::new();
    for name in VALID {
        let bytes = fs::read(folder.join(format!("{name}.dat"))).expect("one of the 49");
        let ours = by_us(&bytes).expect("valid");
        for (oracle, read) in ORACLES {
            let theirs = read(&bytes);
            let difference = difference(&ours, &theirs);
            if !difference.is_empty() {
                found.push(format!("{name}, {oracle}: {difference}"));
            }
        }
    }
    let known: Vec<_> = KNOWN
        .iter()
        .map(|(name, oracle, difference, _)| format!("{name}, {oracle}: {difference}"))
        .collect();
    assert_eq!(found, known, "\n{}", found.join("\n"));
}

fn folder() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = std::env::var_os("RINGFENCE_SHARED")
        .map(PathBuf::from)
        .into_iter()
        .chain(here.ancestors().map(|parent| parent.join("shared")))
        .map(|shared| shared.join("vectors/rfc4475"))
        .find(|folder| folder.is_dir());
    if found.is_none() {
        skip(
            "sip_oracles",
            "no shared/vectors/rfc4475 beside the repository",
        );
    }
    found
}

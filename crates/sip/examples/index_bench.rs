//! Prints how long framing and indexing a 1,650-byte INVITE take, in nanoseconds per message.
//!
//! `cargo run --release -p ringfence-sip --example index_bench`
//!
//! Each figure is the best of many short rounds: what the machine does beside it only adds.
#![allow(clippy::print_stdout, reason = "a program that prints its result")]
#![allow(clippy::disallowed_methods, reason = "a program that measures time")]

use std::hint::black_box;
use std::time::Instant;

use ringfence_sip::frame::{Frame, StreamFramer};
use ringfence_sip::{HeaderName, Index};

const ROUNDS: usize = 4_000;
const MESSAGES: usize = 100;

fn main() {
    let invite = invite();
    assert_eq!(invite.len(), 1650);
    let mut index = Index::default();
    println!("message                {} bytes", invite.len());
    report("index a datagram", || {
        let message = index.parse(black_box(&invite)).expect("a message");
        black_box(message.body().len());
    });
    let mut framer = StreamFramer::new();
    report("frame and index", || {
        framer.push(black_box(&invite));
        let frame = framer.next(&mut index).expect("a stream").expect("a frame");
        assert!(matches!(black_box(frame), Frame::Message(_)));
    });
    report("index and typed headers", || {
        let message = index.parse(black_box(&invite)).expect("a message");
        black_box((
            message.via().is_ok(),
            message.from().is_ok(),
            message.to().is_ok(),
        ));
        black_box((message.cseq().is_ok(), message.call_id().is_ok()));
        black_box((
            message.contact().is_ok(),
            message.header(HeaderName::ContentType),
        ));
    });
    report("index and validate", || {
        let message = index.parse(black_box(&invite)).expect("a message");
        assert!(black_box(message.validate_request()).is_ok());
    });
}

fn report(name: &str, mut run: impl FnMut()) {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..MESSAGES {
            run();
        }
        best = best.min(start.elapsed().as_nanos() as f64 / MESSAGES as f64);
    }
    println!("{name:<24} {best:6.0} ns");
}

/// An INVITE as a PBX behind two proxies sends it.
fn invite() -> Vec<u8> {
    let body = "v=0\r\no=- 20518 20518 IN IP4 192.0.2.10\r\ns=call\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
        m=audio 31000 RTP/AVP 8 0 9 18 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
        a=rtpmap:9 G722/8000\r\na=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\n\
        a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=maxptime:150\r\n\
        a=sendrecv\r\na=rtcp:31001\r\n";
    let head = format!(
        "INVITE sip:+13305550100@edge.example.com:5060;user=phone SIP/2.0\r\n\
        Via: SIP/2.0/UDP 192.0.2.31:5060;branch=z9hG4bK7d3a.5f0c2be1.0;i=6a2\r\n\
        Via: SIP/2.0/TCP 192.0.2.21:5060;branch=z9hG4bK1d32hash28bf9f5e;received=192.0.2.21\r\n\
        Via: SIP/2.0/UDP 192.0.2.10:5060;rport=5060;branch=z9hG4bKPj3d5e51a1-4f72-4f7e\r\n\
        Record-Route: <sip:192.0.2.31;lr;ftag=as58f4201b;did=a3f.0b21>\r\n\
        Record-Route: <sip:192.0.2.21;transport=tcp;r2=on;lr=on;ftag=as58f4201b>\r\n\
        Max-Forwards: 68\r\n\
        From: \"Summit Motors\" <sip:+13305550199@pbx.example.com;user=phone>;tag=as58f4201b\r\n\
        To: <sip:+13305550100@edge.example.com;user=phone>\r\n\
        Contact: <sip:+13305550199@192.0.2.10:5060;transport=udp>\r\n\
        Call-ID: 3c26700857a87c54b7a4f0e5@pbx.example.com\r\n\
        CSeq: 102 INVITE\r\n\
        User-Agent: FPBX-16.0.40(18.20.0)\r\n\
        Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, SUBSCRIBE, NOTIFY, INFO, PUBLISH\r\n\
        Supported: replaces, timer, 100rel\r\n\
        Session-Expires: 1800;refresher=uac\r\n\
        Min-SE: 90\r\n\
        P-Asserted-Identity: \"Summit Motors\" <sip:+13305550199@pbx.example.com>\r\n\
        Content-Type: application/sdp\r\nContent-Length: {}\r\n",
        body.len()
    );
    let pad = 1650 - head.len() - body.len() - "X-Trace: \r\n\r\n".len();
    format!("{head}X-Trace: {}\r\n\r\n{body}", "0".repeat(pad)).into_bytes()
}

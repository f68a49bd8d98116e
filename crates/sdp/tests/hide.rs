//! Topology hiding: nothing of one side is left for the other, and nothing else is lost.

use std::net::IpAddr;

use ringfence_sdp::offer_answer::is_on_hold;
use ringfence_sdp::{Direction, Forbidden, Hidden, Hide, SessionDescription, hide};

const FORBIDDEN: &[Forbidden<'static>] = &[
    Forbidden::Address(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 5))),
    Forbidden::Name(b"pbx.local"),
    Forbidden::Name(b"Asterisk"),
];

#[track_caller]
fn hidden(body: &str) -> (SessionDescription, Hidden) {
    let body = body.replace('\n', "\r\n");
    let mut description = SessionDescription::parse(body.as_bytes()).expect("a description");
    let hide_with = Hide {
        address: "203.0.113.10".parse().expect("an address"),
        session_id: 4711,
        version: 3,
        forbidden: FORBIDDEN,
    };
    let report = hide(&mut description, &hide_with);
    (description, report)
}

fn with_attribute(line: &str) -> String {
    format!("v=0\no=- 1 1 IN IP4 10.0.0.5\ns=-\nt=0 0\nm=audio 1 RTP/AVP 0\na={line}\n")
}

#[track_caller]
fn check(line: &str, passes: bool) {
    let (description, _) = hidden(&with_attribute(line));
    assert_eq!(description.media[0].attributes.len() == 1, passes, "{line}");
}

#[test]
fn a_talkative_offer_is_hidden() {
    let (description, report) = hidden(
        "v=0\n\
         o=alice 20518 7 IN IP4 10.0.0.5\n\
         s=Asterisk PBX 20.1\n\
         i=Call of alice\n\
         u=http://pbx.local/\n\
         e=alice@pbx.local\n\
         p=+1 330 555 0100\n\
         c=IN IP4 10.0.0.5\n\
         b=AS:84\n\
         t=0 0\n\
         k=prompt\n\
         a=tool:Asterisk\n\
         a=group:BUNDLE audio\n\
         a=ice-lite\n\
         a=X-vendor:kept\n\
         m=audio 18020/2 RTP/SAVPF 0 96 101\n\
         i=alice's microphone\n\
         c=IN IP4 10.0.0.6\n\
         b=TIAS:64000\n\
         k=clear:secret\n\
         a=mid:audio\n\
         a=rtpmap:0 PCMU/8000\n\
         a=rtpmap:96 opus/48000/2\n\
         a=fmtp:96 useinbandfec=1\n\
         a=rtpmap:101 telephone-event/8000\n\
         a=fmtp:101 0-16\n\
         a=ice-ufrag:F7gI\n\
         a=ice-pwd:x9cml/YzichV2+XlhiMu8g\n\
         a=candidate:1 1 UDP 2130706431 10.0.0.5 18020 typ host\n\
         a=end-of-candidates\n\
         a=fingerprint:sha-256 00:11:22\n\
         a=setup:actpass\n\
         a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\n\
         a=rtcp:18021 IN IP4 10.0.0.5\n\
         a=rtcp-mux\n\
         a=ssrc:5 cname:alice@pbx.local\n\
         a=ssrc-group:FID 5 6\n\
         a=msid:a b\n\
         a=cname:x\n\
         a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\n\
         a=extmap:2 urn:ietf:params:rtp-hdrext:sdes:cname\n\
         a=X-route:sip:alice@PBX.local:5060\n\
         a=X-via:10.0.0.5\n\
         a=X-order:kept\n\
         a=ptime:20\n\
         a=sendrecv\n",
    );
    insta::assert_snapshot!(description.to_string().replace("\r\n", "\n"));
    assert_eq!(
        report,
        Hidden {
            by_class: 18,
            by_content: 2
        }
    );
}

#[test]
fn attributes_that_name_an_address_do_not_pass() {
    for line in [
        "X:10.0.0.5",
        "X:sip:u@10.0.0.5:5060;lr",
        "X:10-0-0-5",
        "X:ip-10-0-0-5.internal",
        "X:010.000.000.005",
        "X:198.51.100.7",
        "X:[2001:db8::5]:5060",
        "X:a=b;c=::ffff:10.0.0.5",
        "X-10.0.0.5:1",
        "fmtp:0 host=10.0.0.5",
    ] {
        check(line, false);
    }
}

#[test]
fn attributes_that_name_something_forbidden_do_not_pass() {
    for line in [
        "X:pbx.local",
        "X:PBX.LOCAL:5060",
        "X:sip.pbx.local",
        "X-asterisk:1",
        "X:(Asterisk)",
    ] {
        check(line, false);
    }
}

#[test]
fn forbidden_text_inside_a_longer_word_passes() {
    for line in [
        "X:asterisks",
        "X:pbx.localhost",
        "X:110-0-0-5",
        "X:10-0-0-55",
        "X:1.2.3",
        "X:12:30:45",
    ] {
        check(line, true);
    }
}

#[test]
fn host_names_of_its_own_connection_do_not_pass() {
    let (description, report) = hidden(
        "v=0\no=- 1 1 IN IP4 gw1.inside\ns=-\nc=IN IP4 gw2.inside\nt=0 0\n\
         m=audio 1 RTP/AVP 0\nc=IN IP4 gw3.inside\n\
         a=x:gw1.inside\na=x:gw2.inside\na=x:gw3.inside\na=x:gw4.outside\n",
    );
    assert_eq!(
        report,
        Hidden {
            by_class: 0,
            by_content: 3
        }
    );
    assert_eq!(description.media[0].attributes.len(), 1);
}

#[test]
fn names_of_attributes_are_recognised_in_any_case() {
    for line in [
        "Candidate:1",
        "CRYPTO:1 A inline:b",
        "Ice-Ufrag:x",
        "SSRC:1 cname:x",
    ] {
        check(line, false);
    }
}

#[test]
fn candidate_configurations_do_not_smuggle_keys_rfc5939() {
    for line in [
        "tcap:1 RTP/SAVP",
        "acap:1 crypto:1 A inline:b",
        "pcfg:1 t=1 a=1",
    ] {
        check(line, false);
    }
}

#[test]
fn hold_by_the_zero_address_becomes_a_direction_rfc3264_8_4() {
    #[track_caller]
    fn check(media: &str, expected: Direction) {
        let (description, _) = hidden(&format!(
            "v=0\no=- 1 1 IN IP4 10.0.0.5\ns=-\nc=IN IP4 0.0.0.0\nt=0 0\n{media}"
        ));
        assert_eq!(description.direction(&description.media[0]), expected);
        assert_eq!(is_on_hold(&description), !expected.receives());
    }
    check("m=audio 1 RTP/AVP 0\n", Direction::SendOnly);
    check("m=audio 1 RTP/AVP 0\na=sendrecv\n", Direction::SendOnly);
    check("m=audio 1 RTP/AVP 0\na=recvonly\n", Direction::Inactive);
    check(
        "m=audio 1 RTP/AVP 0\nc=IN IP4 10.0.0.5\n",
        Direction::SendRecv,
    );
}

#[test]
fn words_of_the_media_line_do_not_tell() {
    let (description, _) = hidden(
        "v=0\no=- 1 1 IN IP4 10.0.0.5\ns=-\nt=0 0\nm=pbx.local 1 TCP/10.0.0.5 a 10.0.0.5 b\n\
         b=pbx.local:1\n",
    );
    let text = description.to_string();
    assert!(text.ends_with("\r\nt=0 0\r\nm=- 1 - a b\r\n"), "{text}");
}

#[test]
fn times_are_numbers() {
    let (description, _) = hidden(
        "v=0\no=- 1 1 IN IP4 10.0.0.5\ns=-\nt=10.0.0.5 pbx.local\nt=3724394400 0\nr=7d 1h 0 25h\n",
    );
    assert!(
        description
            .to_string()
            .ends_with("\r\nt=3724394400 0\r\nr=7d 1h 0 25h\r\n")
    );
    let (description, _) = hidden("v=0\no=- 1 1 IN IP4 10.0.0.5\ns=-\nt=10.0.0.5 pbx.local\n");
    assert!(description.to_string().ends_with("\r\nt=0 0\r\n"));
}

#[test]
fn ipv6_on_our_side() {
    let mut description =
        SessionDescription::parse(with_attribute("ptime:20").as_bytes()).expect("a description");
    let address = "2001:db8::10".parse().expect("an address");
    hide(
        &mut description,
        &Hide {
            address,
            session_id: 1,
            version: 1,
            forbidden: &[],
        },
    );
    let text = description.to_string();
    assert!(text.starts_with(
        "v=0\r\no=- 1 1 IN IP6 2001:db8::10\r\ns=-\r\nc=IN IP6 2001:db8::10\r\nt=0 0\r\n"
    ));
}

#[test]
fn hiding_twice_changes_nothing_more() {
    let (mut description, _) = hidden(&with_attribute("X:kept"));
    let once = description.clone();
    let address = "203.0.113.10".parse().expect("an address");
    let again = Hide {
        address,
        session_id: 4711,
        version: 3,
        forbidden: FORBIDDEN,
    };
    assert_eq!(hide(&mut description, &again), Hidden::default());
    assert_eq!(description, once);
}

//! RFC 8866: the examples of its sections, and what real peers make of them.

use std::net::IpAddr;

use ringfence_sdp::{
    Address, Attribute, AttributeClass, Connection, Defects, Direction, MAX_BODY, MAX_FORMATS,
    MAX_LINES, MAX_MEDIA, Media, MediaKind, Origin, Proto, SdpError, SessionDescription,
};

/// Reads a description without a defect and checks that it is written as it was read.
#[track_caller]
fn read(text: &str) -> SessionDescription {
    let body = text.replace('\n', "\r\n");
    let description = SessionDescription::parse(body.as_bytes()).expect("a description");
    assert_eq!(description.defects(), Defects::NONE);
    assert_eq!(description.to_string(), body);
    description
}

/// Reads what is not as it should be, and checks its defects and how it is mended.
#[track_caller]
fn check_mended(body: impl AsRef<[u8]>, defects: &[Defects], written: &str) {
    let description = SessionDescription::parse(body.as_ref()).expect("a description");
    let mut expected = Defects::NONE;
    defects.iter().for_each(|defect| expected.insert(*defect));
    assert_eq!(description.defects(), expected, "{:?}", description);
    assert_eq!(description.to_string(), written.replace('\n', "\r\n"));
}

#[track_caller]
fn check_refused(body: impl AsRef<[u8]>, error: SdpError) {
    assert_eq!(SessionDescription::parse(body.as_ref()), Err(error));
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

const HEAD: &str = "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nt=0 0\n";

#[test]
fn reads_and_writes_the_example_rfc8866_5() {
    let offer = read(
        "v=0\n\
         o=jdoe 3724394400 3724394405 IN IP4 198.51.100.1\n\
         s=Call to John Smith\n\
         i=SDP Offer #1\n\
         u=http://www.jdoe.example.com/home.html\n\
         e=Jane Doe <jane@jdoe.example.com>\n\
         p=+1 617 555-6011\n\
         c=IN IP4 198.51.100.1\n\
         t=0 0\n\
         m=audio 49170 RTP/AVP 0\n\
         m=audio 49180 RTP/AVP 0\n\
         m=video 51372 RTP/AVP 99\n\
         c=IN IP6 2001:db8::2\n\
         a=rtpmap:99 h263-1998/90000\n",
    );
    assert_eq!(offer.origin.username, "jdoe");
    assert_eq!(
        (offer.origin.session_id, offer.origin.version),
        (3724394400, 3724394405)
    );
    assert_eq!(offer.origin.address, Address::Ip(ip("198.51.100.1")));
    assert_eq!(offer.session_name, "Call to John Smith");
    assert_eq!(offer.media.len(), 3);
    let addresses: Vec<String> = offer
        .media
        .iter()
        .filter_map(|media| offer.rtp_address(media))
        .map(|address| address.to_string())
        .collect();
    assert_eq!(
        addresses,
        [
            "198.51.100.1:49170",
            "198.51.100.1:49180",
            "[2001:db8::2]:51372"
        ]
    );
    assert_eq!(
        offer.media[2].codec(99).map(|codec| codec.clock_rate),
        Some(90000)
    );
}

#[test]
fn origin_may_name_a_host_rfc8866_5_2() {
    let offer = read("v=0\no=- 1 2 IN IP6 phone.example\ns=-\nt=0 0\n");
    assert_eq!(offer.origin.address.ip(), None);
}

#[test]
fn times_repeats_and_zones_stay_in_order_rfc8866_5_9() {
    read(
        "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\n\
         t=3724394400 3724398000\nr=604800 3600 0 90000\nt=3730922400 3730924200\nr=7d 1h 0 25h\n\
         z=3730928400 -1h 3749680800 0\n",
    );
}

#[test]
fn multicast_scope_and_count_rfc8866_5_7() {
    #[track_caller]
    fn check(line: &str, ttl: Option<u8>, count: Option<u16>) {
        let text = format!("v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc={line}\nt=0 0\n");
        let description = read(&text);
        let connection = description.connection.expect("a connection");
        assert_eq!((connection.ttl, connection.count), (ttl, count));
        assert_eq!(connection.unicast(), None);
    }
    check("IN IP4 233.252.0.1/127", Some(127), None);
    check("IN IP4 233.252.0.1/127/3", Some(127), Some(3));
    check("IN IP6 ff00::db8:0:101", None, None);
    check("IN IP6 ff00::db8:0:101/3", None, Some(3));
}

#[test]
fn bandwidths_are_typed_rfc8866_5_8() {
    let text = format!("{HEAD}m=audio 4000 RTP/AVP 0\nb=AS:64\nb=TIAS:64000\nb=X-YZ:128\n");
    let description = read(&text);
    let bandwidths: Vec<(&[u8], u64)> = description.media[0]
        .bandwidths()
        .map(|line| (line.kind, line.value))
        .collect();
    assert_eq!(
        bandwidths,
        [(&b"AS"[..], 64), (b"TIAS", 64000), (b"X-YZ", 128)]
    );
}

#[test]
fn media_lines_have_ports_counts_and_transports_rfc8866_5_14() {
    let description = read(&format!(
        "{HEAD}m=video 49170/2 RTP/AVP 31\nm=image 4444 udptl t38\nm=audio 0 RTP/SAVP 0 8\n\
         m=application 9 UDP/DTLS/SCTP webrtc-datachannel\nm=message 7394 TCP/MSRP *\n\
         m=slides 5 UDP/TLS/RTP/SAVPF 96\n"
    ));
    let [video, fax, refused, data, message, slides] = &description.media[..] else {
        panic!("six media descriptions");
    };
    assert_eq!((video.port, video.port_count), (49170, 2));
    assert_eq!((&fax.kind, &fax.proto), (&MediaKind::Image, &Proto::Udptl));
    assert!(refused.is_rejected());
    assert_eq!(refused.payload_types().collect::<Vec<_>>(), [0, 8]);
    assert!(!data.proto.is_rtp());
    assert_eq!(message.kind, MediaKind::Message);
    assert!(slides.proto.is_dtls() && slides.proto.is_secure() && slides.proto.has_feedback());
    assert_eq!(slides.kind, MediaKind::Other("slides".into()));
}

#[test]
fn attributes_keep_order_and_bytes_rfc8866_5_13() {
    let description = read(&format!(
        "{HEAD}a=X-first: two  blanks \na=recvonly\nm=audio 4000 RTP/AVP 0 101\n\
         a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\na=X-last:\na=ptime:20\n"
    ));
    let session: Vec<&[u8]> = description
        .attributes
        .iter()
        .map(Attribute::as_bytes)
        .collect();
    assert_eq!(session, [&b"X-first: two  blanks "[..], b"recvonly"]);
    assert_eq!(
        description.attributes.value("x-FIRST"),
        Some(&b" two  blanks "[..])
    );
    let media = &description.media[0].attributes;
    assert_eq!(media.value("X-last"), Some(&b""[..]));
    assert_eq!(
        description
            .attributes
            .find("recvonly")
            .and_then(Attribute::value),
        None
    );
}

#[test]
fn rtpmap_fmtp_and_packet_times_rfc8866_6() {
    let description = read(&format!(
        "{HEAD}m=audio 4000 RTP/AVP 97 0 98 101 77\na=rtpmap:97 L16/44100/2\na=fmtp:97 a=b;c=d\n\
         a=rtpmap:98 opus/48000/2\na=rtpmap:101 telephone-event/8000\na=ptime:22.5\na=maxptime:60\n"
    ));
    let audio = &description.media[0];
    let codecs: Vec<(u8, &str, u32, u8)> = audio
        .codecs()
        .map(|c| (c.payload_type, c.encoding, c.clock_rate, c.channels))
        .collect();
    assert_eq!(
        codecs,
        [
            (97, "L16", 44100, 2),
            (0, "PCMU", 8000, 1),
            (98, "opus", 48000, 2),
            (101, "telephone-event", 8000, 1)
        ]
    );
    assert_eq!(audio.fmtp(97), Some(&b"a=b;c=d"[..]));
    assert_eq!((audio.fmtp(0), audio.codec(77)), (None, None));
    assert_eq!((audio.ptime(), audio.maxptime()), (Some(22), Some(60)));
    assert_eq!(
        (audio.telephone_event(8000), audio.telephone_event(48000)),
        (Some(101), None)
    );
}

#[test]
fn media_direction_counts_before_the_sessions_rfc8866_6_7() {
    let description = read(&format!(
        "{HEAD}a=recvonly\nm=audio 1 RTP/AVP 0\nm=audio 2 RTP/AVP 0\na=sendonly\n\
         m=audio 3 RTP/AVP 0\na=inactive\nm=audio 4 RTP/AVP 0\na=sendrecv\n"
    ));
    let directions: Vec<Direction> = description
        .media
        .iter()
        .map(|media| description.direction(media))
        .collect();
    use Direction::*;
    assert_eq!(directions, [RecvOnly, SendOnly, Inactive, SendRecv]);
    let silent = read(&format!("{HEAD}m=audio 1 RTP/AVP 0\n"));
    assert_eq!(silent.direction(&silent.media[0]), SendRecv);
}

#[test]
fn rtcp_goes_where_it_is_said_rfc3605_2_1_and_rfc5761_5() {
    #[track_caller]
    fn check(attributes: &str, expected: Option<&str>) {
        let description = read(&format!(
            "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\n\
             m=audio 49170 RTP/AVP 0\n{attributes}"
        ));
        let address = description.rtcp_address(&description.media[0]);
        assert_eq!(
            address,
            expected.map(|text| text.parse().expect("an address"))
        );
    }
    check("", Some("192.0.2.1:49171"));
    check("a=rtcp:53020\n", Some("192.0.2.1:53020"));
    check(
        "a=rtcp:53020 IN IP4 126.16.64.4\n",
        Some("126.16.64.4:53020"),
    );
    check(
        "a=rtcp:53020 IN IP6 2001:db8::2\n",
        Some("[2001:db8::2]:53020"),
    );
    check("a=rtcp-mux\n", Some("192.0.2.1:49170"));
    check("a=rtcp:53020\na=rtcp-mux\n", Some("192.0.2.1:49170"));
    check("a=rtcp:0\n", None);
    check("a=rtcp:53020 IN IP4 0.0.0.0\n", None);
    check("a=rtcp:53020 IN IP4 rtcp.example\n", None);
}

#[test]
fn no_rtcp_port_follows_the_last_port() {
    let mut description = SessionDescription::new(Origin::new(1, 1, ip("192.0.2.1")));
    description.connection = Some(Connection::from(ip("192.0.2.1")));
    description
        .media
        .push(Media::new(MediaKind::Audio, u16::MAX, Proto::RtpAvp, ["0"]));
    assert!(description.rtp_address(&description.media[0]).is_some());
    assert_eq!(description.rtcp_address(&description.media[0]), None);
}

#[test]
fn media_is_never_aimed_at_wildcards_groups_and_broadcasts() {
    for address in [
        "IP4 0.0.0.0",
        "IP6 ::",
        "IP4 224.0.0.1",
        "IP6 ff02::1",
        "IP4 255.255.255.255",
        "IP6 ::ffff:0.0.0.0",
        "IP6 ::ffff:224.0.0.1",
        "IP4 phone.example",
    ] {
        let text = format!("{HEAD}m=audio 4000 RTP/AVP 0\nc=IN {address}\n");
        let body = text.replace('\n', "\r\n");
        let description = SessionDescription::parse(body.as_bytes()).expect(address);
        assert_eq!(
            description.rtp_address(&description.media[0]),
            None,
            "{address}"
        );
    }
    let mapped = read(&format!(
        "{HEAD}m=audio 4000 RTP/AVP 0\nc=IN IP6 ::ffff:192.0.2.9\n"
    ));
    let address = mapped.rtp_address(&mapped.media[0]);
    assert_eq!(address, Some("192.0.2.9:4000".parse().expect("an address")));
}

#[test]
fn lines_may_end_with_lf_and_the_last_not_at_all() {
    let written = format!("{HEAD}m=audio 4000 RTP/AVP 0\na=sendrecv\n");
    check_mended(&written, &[Defects::LINE_ENDS], &written);
    check_mended(written.trim_end(), &[Defects::LINE_ENDS], &written);
    check_mended(
        written.replace('\n', "\r\n").trim_end(),
        &[Defects::LINE_ENDS],
        &written,
    );
    let mixed = written.replacen('\n', "\r\n", 3);
    check_mended(mixed, &[Defects::LINE_ENDS], &written);
}

#[test]
fn bandwidth_without_a_colon_is_dropped() {
    for bad in [
        "b=",
        "b=AS",
        "b=64",
        "b=AS:",
        "b=AS:fast",
        "b=:64",
        "b=A S:64",
    ] {
        let body = format!("{HEAD}{bad}\n").replace('\n', "\r\n");
        check_mended(body, &[Defects::BAD_BANDWIDTH, Defects::MISORDERED], HEAD);
    }
}

#[test]
fn unknown_and_broken_lines_are_dropped() {
    let with = |line: &str| format!("{HEAD}{line}\n").replace('\n', "\r\n");
    check_mended(with("x=c=IN IP4 10.0.0.1"), &[Defects::UNKNOWN_LINE], HEAD);
    for bad in ["", "a", "a:b", " a=b", "=", "A=b", "a =b"] {
        check_mended(with(bad), &[Defects::LINE_WITHOUT_TYPE], HEAD);
    }
    for bad in ["a=", "a=:x", "a=two words", "a=a/b:1"] {
        check_mended(with(bad), &[Defects::BAD_ATTRIBUTE], HEAD);
    }
    check_mended(with("a= sendrecv "), &[], &format!("{HEAD}a=sendrecv\n"));
}

#[test]
fn doubled_and_misplaced_lines_are_dropped() {
    let body = format!("{HEAD}s=again\nm=audio 1 RTP/AVP 0\nt=1 1\n").replace('\n', "\r\n");
    check_mended(
        body,
        &[
            Defects::DUPLICATE_LINE,
            Defects::MISORDERED,
            Defects::MISPLACED_LINE,
        ],
        &format!("{HEAD}m=audio 1 RTP/AVP 0\n"),
    );
    let layered =
        format!("{HEAD}m=audio 1 RTP/AVP 0\nc=IN IP4 233.252.0.1/127\nc=IN IP4 233.252.0.2/127\n");
    check_mended(
        layered.replace('\n', "\r\n"),
        &[Defects::DUPLICATE_LINE],
        &format!("{HEAD}m=audio 1 RTP/AVP 0\nc=IN IP4 233.252.0.1/127\n"),
    );
}

#[test]
fn lines_out_of_order_are_put_in_order() {
    check_mended(
        "v=0\r\ns=-\r\nt=0 0\r\nc=IN IP4 192.0.2.1\r\no=- 1 1 IN IP4 192.0.2.1\r\n\
         m=audio 1 RTP/AVP 0\r\na=sendrecv\r\nc=IN IP4 192.0.2.2\r\n",
        &[Defects::MISORDERED],
        "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\n\
         m=audio 1 RTP/AVP 0\nc=IN IP4 192.0.2.2\na=sendrecv\n",
    );
}

#[test]
fn what_is_missing_is_filled_in() {
    check_mended(
        "m=audio 1 RTP/AVP 0\r\n",
        &[
            Defects::MISSING_ORIGIN,
            Defects::MISSING_SESSION_NAME,
            Defects::MISSING_TIME,
            Defects::MISSING_VERSION,
        ],
        "v=0\no=- 0 0 IN IP4 0.0.0.0\ns=-\nt=0 0\nm=audio 1 RTP/AVP 0\n",
    );
    let body = "v=0\r\no=\r\ns=\r\nt=0 0\r\n";
    check_mended(
        body,
        &[Defects::BAD_ORIGIN],
        "v=0\no=- 0 0 IN IP4 0.0.0.0\ns=-\nt=0 0\n",
    );
}

#[test]
fn origin_numbers_beyond_64_bits_saturate() {
    let body = "v=0\r\no=- 99999999999999999999999 x IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n";
    let description = SessionDescription::parse(body.as_bytes()).expect("a description");
    let origin = &description.origin;
    assert_eq!((origin.session_id, origin.version), (u64::MAX, 0));
    assert!(description.defects().contains(Defects::BAD_ORIGIN));
}

#[test]
fn address_types_that_contradict_the_address_are_corrected() {
    check_mended(
        "v=0\r\no=- 1 1 IN IP4 2001:db8::1\r\ns=-\r\nc=IN IP6 192.0.2.1\r\nt=0 0\r\n",
        &[Defects::ADDRESS_TYPE_MISMATCH],
        "v=0\no=- 1 1 IN IP6 2001:db8::1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\n",
    );
}

#[test]
fn a_multicast_count_without_a_time_to_live_does_not_become_one() {
    check_mended(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1/999/7\r\nt=0 0\r\n",
        &[],
        "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\n",
    );
}

#[test]
fn connections_that_are_none_are_dropped() {
    for bad in [
        "",
        "IN",
        "IN IP4",
        "IN IP4 /1",
        "ATM NSAP 47.0091",
        "IN IP5 192.0.2.1",
    ] {
        let body = format!("{HEAD}m=audio 1 RTP/AVP 0\nc={bad}\n").replace('\n', "\r\n");
        check_mended(
            body,
            &[Defects::BAD_CONNECTION],
            &format!("{HEAD}m=audio 1 RTP/AVP 0\n"),
        );
    }
}

#[test]
fn bytes_that_are_not_utf8_pass_and_hide_nothing_after_them() {
    let mut body = HEAD
        .replace("s=-", "s=caf?")
        .replace('\n', "\r\n")
        .into_bytes();
    let at = body
        .iter()
        .position(|&byte| byte == b'?')
        .expect("the mark");
    body[at] = 0xe9;
    body.extend_from_slice(b"m=audio 4000 RTP/AVP 0\r\n");
    let description = SessionDescription::parse(&body).expect("a description");
    assert_eq!(description.defects(), Defects::NON_UTF8);
    assert_eq!(description.media[0].port, 4000);
    assert_eq!(description.to_bytes(), body);
}

#[test]
fn carriage_returns_and_nul_inside_a_line_cannot_make_lines() {
    let body = format!("{HEAD}a=x:1\rc=IN IP4 10.0.0.1\na=y\0z:2\n").replace('\n', "\r\n");
    check_mended(
        body,
        &[Defects::BAD_ATTRIBUTE, Defects::CONTROL_BYTES],
        &format!("{HEAD}a=x:1 c=IN IP4 10.0.0.1\n"),
    );
}

#[test]
fn a_media_line_without_formats_is_noted() {
    let body = format!("{HEAD}m=audio  4000\tRTP/avp \n").replace('\n', "\r\n");
    check_mended(
        body,
        &[Defects::NO_FORMATS],
        &format!("{HEAD}m=audio 4000 RTP/AVP\n"),
    );
}

#[test]
fn media_lines_that_cannot_be_read_are_refused() {
    for bad in [
        "",
        "audio",
        "audio 4000",
        "audio x RTP/AVP 0",
        "audio -1 RTP/AVP 0",
        "audio 65536 RTP/AVP 0",
        "audio 4000/0 RTP/AVP 0",
        "audio 4000/x RTP/AVP 0",
        "audio $ RTP/AVP 0",
    ] {
        let body = format!("{HEAD}m={bad}\n").replace('\n', "\r\n");
        check_refused(body, SdpError::BadMediaLine { line: 5 });
    }
}

#[test]
fn what_is_no_description_is_refused() {
    for body in [
        "",
        "\r\n\r\n",
        "hello",
        "<?xml version=\"1.0\"?>",
        "x=1\r\n",
    ] {
        check_refused(body, SdpError::NotSdp);
    }
    check_refused("v=1\r\n", SdpError::Version);
}

#[test]
fn bounds_are_kept() {
    check_refused(vec![b'a'; MAX_BODY + 1], SdpError::TooLarge);
    check_refused("a=x\r\n".repeat(MAX_LINES + 1), SdpError::TooManyLines);
    check_refused(
        "m=audio 1 RTP/AVP 0\r\n".repeat(MAX_MEDIA + 1),
        SdpError::TooManyMedia,
    );
    let formats = |count: usize| format!("m=audio 1 RTP/AVP{}\r\n", " 0".repeat(count));
    check_refused(formats(MAX_FORMATS + 1), SdpError::TooManyFormats);
    assert!(SessionDescription::parse(formats(MAX_FORMATS).as_bytes()).is_ok());
    let body = "m=audio 1 RTP/AVP 0\r\n".repeat(MAX_MEDIA);
    assert!(SessionDescription::parse(body.as_bytes()).is_ok());
}

#[test]
fn setters_keep_the_order_and_leave_one() {
    let mut description = read(&format!(
        "{HEAD}m=audio 4000 RTP/AVP 0\na=ptime:30\na=sendonly\na=x:1\na=inactive\na=y\n"
    ));
    let audio = &mut description.media[0];
    audio.set_direction(Direction::RecvOnly);
    audio.set_ptime(20);
    audio.set_rtcp_mux(true);
    audio.set_rtcp_port(Some(4001));
    audio.set_rtcp_port(Some(4003));
    assert_eq!(
        description.to_string(),
        format!(
            "{HEAD}m=audio 4000 RTP/AVP 0\na=ptime:20\na=recvonly\na=x:1\na=y\na=rtcp-mux\n\
             a=rtcp:4003\n"
        )
        .replace('\n', "\r\n")
    );
}

#[test]
fn a_built_description_cannot_be_broken_by_its_values() {
    let mut description = SessionDescription::new(Origin::new(1, 2, ip("2001:db8::1")));
    let mut media = Media::new(MediaKind::Audio, 4000, Proto::RtpAvp, ["0\r\na=x", "8"]);
    media
        .attributes
        .push(Attribute::new("x", "1\r\nm=audio 1 RTP/AVP 0"));
    media.attributes.push(Attribute::flag("bad\r\nname"));
    description.media.push(media);
    assert_eq!(
        description.to_string(),
        "v=0\r\no=- 1 2 IN IP6 2001:db8::1\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 a=x 8\r\n\
         a=x:1  m=audio 1 RTP/AVP 0\r\na=-\r\n"
    );
}

#[test]
fn keys_and_passwords_do_not_print() {
    let description = read(&format!(
        "{HEAD}k=clear:SECRET\na=ice-pwd:SECRET\nm=audio 1 RTP/SAVP 0\nk=clear:SECRET\n\
         a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:SECRET\na=key-mgmt:mikey SECRET\n\
         a=acap:1 crypto:1 X inline:SECRET\na=zrtp-hash:1.10 SECRET\n"
    ));
    assert!(!format!("{description:?}").contains("SECRET"));
}

#[test]
fn lines_to_be_dropped_are_recognised() {
    use AttributeClass::*;
    for (name, class) in [
        ("candidate", Ice),
        ("ICE-ufrag", Ice),
        ("ice-lite", Ice),
        ("end-of-candidates", Ice),
        ("fingerprint", Dtls),
        ("setup", Dtls),
        ("group", Group),
        ("Mid", Group),
        ("bundle-only", Group),
        ("ssrc-group", Source),
        ("msid", Source),
        ("crypto", Crypto),
        ("rtcp", Location),
        ("rtcp-fb", Codec),
        ("sendonly", Direction),
        ("acap", Capability),
        ("X-anything", Other),
        ("ice", Other),
    ] {
        assert_eq!(AttributeClass::of(name), class, "{name}");
    }
}

//! Calls of several m-lines: sound and video, fax, voice-band data, and what is refused of them.

mod support;

use ringfence_base::entropy::SeededEntropy;
use ringfence_media::TAIL;
use ringfence_rtp::srtp::{Context, MasterKey, Suite};
use ringfence_session::plan::{MediaPolicy, Plan};
use support::*;

/// A description of these m-lines.
fn description(address: &str, lines: &str) -> String {
    format!("v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n{lines}")
}

/// Sound on `port` and video two above it, both with this attribute.
fn two_streams(address: &str, port: u16, direction: &str) -> String {
    let video = port + 2;
    description(
        address,
        &format!(
            "m=audio {port} RTP/AVP 0\r\na={direction}\r\nm=video {video} RTP/AVP 97\r\n\
             a=rtpmap:97 H264/90000\r\na=fmtp:97 profile-level-id=42e01f\r\na={direction}\r\n"
        ),
    )
}

fn fax(address: &str, port: u16) -> String {
    description(
        address,
        &format!(
            "m=image {port} udptl t38\r\na=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\n\
             a=T38FaxRateManagement:transferredTCF\r\na=T38FaxUdpEC:t38UDPRedundancy\r\n"
        ),
    )
}

/// The `m=` lines of a message.
fn m_lines(sent: &Sent) -> Vec<&str> {
    let lines = sent.body().lines();
    lines.filter(|line| line.starts_with("m=")).collect()
}

/// The ports of the m-lines, and that they are pairs of their own.
#[track_caller]
fn ports(sent: &Sent) -> Vec<u16> {
    let port = |line: &&str| line.split(' ').nth(1).unwrap().parse().unwrap();
    m_lines(sent).iter().map(port).collect()
}

/// Sends a datagram to a port of the edge: what goes out, and where to.
fn datagram(
    world: &mut World,
    from: &str,
    to: (&str, u16),
    bytes: &[u8],
) -> Option<(String, Vec<u8>)> {
    let base = if to.0 == "outside" { 0 } else { 1000 };
    let socket = ringfence_media::SocketIndex::new(base + u32::from(to.1 - 30_000));
    let mut buf = bytes.to_vec();
    buf.resize(bytes.len() + TAIL, 0);
    let now = world.now;
    let plane = world.core.media_mut();
    let forward = plane.handle_packet(now, socket, from.parse().unwrap(), &mut buf, bytes.len())?;
    buf.truncate(forward.len);
    Some((forward.to.to_string(), buf))
}

fn rtp(payload_type: u8, sequence: u16, ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.resize(172, 0x55);
    packet
}

/// A call from the carrier with this offer, answered so.
fn call(world: &mut World, offer: &str, answer: &str) -> (Caller, Sent, Sent) {
    let mut caller = Caller::new(CARRIER, "+13305550100");
    world.deliver(CARRIER, &caller.request("INVITE", Some(offer)));
    world.take(CARRIER, "100");
    let invite = world.take(PBX, "INVITE");
    world.deliver(PBX, &invite.answer("200 OK", PBX, Some(answer)));
    world.take(PBX, "ACK");
    let ok = world.take(CARRIER, "200");
    caller.learn(&ok);
    world.deliver(CARRIER, &caller.request("ACK", None));
    (caller, invite, ok)
}

/// A re-INVITE of the carrier, answered so by the PBX.
fn again(
    world: &mut World,
    caller: &mut Caller,
    offer: &str,
    answer: Result<&str, &str>,
) -> (Sent, Sent) {
    world.deliver(CARRIER, &caller.request("INVITE", Some(offer)));
    world.take(CARRIER, "100");
    let invite = world.take(PBX, "INVITE");
    let response = match answer {
        Ok(body) => {
            world.deliver(PBX, &invite.answer("200 OK", PBX, Some(body)));
            world.take(CARRIER, "200")
        }
        Err(status) => {
            world.deliver(PBX, &invite.answer(status, PBX, None));
            world.take(CARRIER, status.split(' ').next().unwrap())
        }
    };
    world.take(PBX, "ACK");
    world.deliver(CARRIER, &caller.request("ACK", None));
    world.nothing_sent();
    (invite, response)
}

fn hang_up(world: &mut World, caller: &mut Caller) {
    world.deliver(CARRIER, &caller.request("BYE", None));
    world.take(CARRIER, "200");
    let bye = world.take(PBX, "BYE");
    world.deliver(PBX, &bye.answer("200 OK", PBX, None));
    world.all_over();
}

#[test]
fn sound_and_video_pass_each_over_ports_of_its_own() {
    let mut world = World::new();
    let offer = two_streams("198.51.100.21", 7000, "sendrecv");
    let answer = two_streams("192.0.2.11", 9000, "sendrecv");
    let (mut caller, invite, ok) = call(&mut world, &offer, &answer);
    assert_eq!(world.core.media().streams_open(), 2);
    let (inside, outside) = (ports(&invite), ports(&ok));
    assert!(inside[0] != inside[1] && outside[0] != outside[1]);
    assert!(invite.body().contains("a=fmtp:97 profile-level-id=42e01f"));
    for (index, payload_type, from, to) in [(0, 0, 7000, 9000), (1, 97, 7002, 9002)] {
        let packet = rtp(payload_type, 1, 9);
        let there = ("outside", outside[index]);
        let sent = datagram(&mut world, &format!("198.51.100.21:{from}"), there, &packet);
        assert_eq!(sent, Some((format!("192.0.2.11:{to}"), packet.clone())));
        let there = ("inside", inside[index]);
        let sent = datagram(&mut world, &format!("192.0.2.11:{to}"), there, &packet);
        assert_eq!(sent, Some((format!("198.51.100.21:{from}"), packet)));
    }
    hang_up(&mut world, &mut caller);
}

#[test]
fn video_that_a_peer_may_not_have_is_refused_by_itself_rfc3264_6() {
    for peer in [0, 1] {
        let mut world = World::with(|plan| plan.peers[peer].policy.video = false);
        let offer = two_streams("198.51.100.21", 7000, "sendrecv");
        let answer = sdp("192.0.2.11", 9000, "m=video 0 RTP/AVP 97\r\n");
        let (mut caller, invite, ok) = call(&mut world, &offer, &answer);
        assert_eq!((ports(&invite)[1], ports(&ok)[1]), (0, 0));
        assert_eq!(world.core.media().streams_open(), 1);
        hang_up(&mut world, &mut caller);
    }
}

#[test]
fn what_is_not_carried_is_refused_line_by_line_rfc3264_6() {
    let mut world = World::new();
    let mut caller = Caller::new(CARRIER, "+13305550100");
    let others = "m=application 7010 UDP/DTLS/SCTP webrtc-datachannel\r\n\
                  m=audio 7012 UDP/TLS/RTP/SAVP 0\r\nm=message 7014 TCP/MSRP *\r\n\
                  m=audio 7016/2 RTP/AVP 0\r\nm=image 7018 udptl other\r\n";
    let offer = sdp("198.51.100.21", 7000, others);
    world.deliver(CARRIER, &caller.request("INVITE", Some(&offer)));
    let invite = world.take(PBX, "INVITE");
    assert_eq!(ports(&invite)[1..], [0, 0, 0, 0, 0]);
    assert_eq!(world.core.media().streams_open(), 1);
}

#[test]
fn streams_and_m_lines_have_a_bound() {
    let mut world = World::new();
    let mut caller = Caller::new(CARRIER, "+13305550100");
    let offer = sdp(
        "198.51.100.21",
        7000,
        &"m=video 7002 RTP/AVP 97\r\n".repeat(9),
    );
    world.deliver(CARRIER, &caller.request("INVITE", Some(&offer)));
    let invite = world.take(PBX, "INVITE");
    assert_eq!(ports(&invite).iter().filter(|&&port| port != 0).count(), 4);
    assert_eq!(world.core.media().streams_open(), 4);

    let mut world = World::new();
    let mut caller = Caller::new(CARRIER, "+13305550100");
    let offer = sdp(
        "198.51.100.21",
        7000,
        &"m=video 7002 RTP/AVP 97\r\n".repeat(16),
    );
    world.deliver(CARRIER, &caller.request("INVITE", Some(&offer)));
    world.take(CARRIER, "400");
    assert_eq!(world.core.media().streams_open(), 0);
}

#[test]
fn a_call_turns_into_a_fax_and_back() {
    let mut world = World::new();
    let sound = sdp("198.51.100.21", 7000, "");
    let answer = sdp("192.0.2.11", 9000, "");
    let (mut caller, _, _) = call(&mut world, &sound, &answer);

    let (invite, ok) = again(
        &mut world,
        &mut caller,
        &fax("198.51.100.21", 7000),
        Ok(&fax("192.0.2.11", 9000)),
    );
    for sent in [&invite, &ok] {
        assert!(m_lines(sent)[0].ends_with("udptl t38"), "{}", sent.text);
        assert!(sent.body().contains("a=T38FaxUdpEC:t38UDPRedundancy"));
    }
    let (inside, outside) = (ports(&invite)[0], ports(&ok)[0]);
    let page = [0, 7, 1, 6, 0, 0];
    let sent = datagram(
        &mut world,
        "198.51.100.21:7000",
        ("outside", outside),
        &page,
    );
    assert_eq!(sent, Some(("192.0.2.11:9000".to_owned(), page.to_vec())));
    let sent = datagram(&mut world, "192.0.2.11:9000", ("inside", inside), &page);
    assert_eq!(sent, Some(("198.51.100.21:7000".to_owned(), page.to_vec())));
    // Sound is over.
    let packet = rtp(0, 1, 9);
    assert_eq!(
        datagram(
            &mut world,
            "198.51.100.21:7000",
            ("outside", outside + 1),
            &packet
        ),
        None
    );

    let (_, ok) = again(&mut world, &mut caller, &sound, Ok(&answer));
    let there = ("outside", ports(&ok)[0]);
    let sent = datagram(&mut world, "198.51.100.21:7000", there, &packet);
    assert_eq!(sent, Some(("192.0.2.11:9000".to_owned(), packet)));
    hang_up(&mut world, &mut caller);
    let media = world.cdrs[0].ingress.media.as_ref().unwrap();
    assert_eq!((media.codec.as_str(), media.packets_received), ("PCMU", 2));
}

#[test]
fn a_fax_beside_the_sound_takes_a_stream_of_its_own_and_gives_it_back() {
    let mut world = World::new();
    let sound = sdp("198.51.100.21", 7000, "");
    let answer = sdp("192.0.2.11", 9000, "");
    let (mut caller, _, _) = call(&mut world, &sound, &answer);
    let off = "m=audio 0 RTP/AVP 0\r\nm=image 7004 udptl t38\r\n";
    let offer = description("198.51.100.21", off);
    let accepted = description("192.0.2.11", &off.replace("7004", "9004"));
    let (_, ok) = again(&mut world, &mut caller, &offer, Ok(&accepted));
    assert_eq!(ports(&ok)[0], 0);
    assert_eq!(world.core.media().streams_open(), 1);
    let page = [0, 7, 1, 6, 0, 0];
    let there = ("outside", ports(&ok)[1]);
    assert!(datagram(&mut world, "198.51.100.21:7004", there, &page).is_some());
    let back = sdp("198.51.100.21", 7000, "m=image 0 udptl t38\r\n");
    let accepted = sdp("192.0.2.11", 9000, "m=image 0 udptl t38\r\n");
    let (_, ok) = again(&mut world, &mut caller, &back, Ok(&accepted));
    assert_eq!(ports(&ok)[1], 0);
    assert_eq!(world.core.media().streams_open(), 1);
    hang_up(&mut world, &mut caller);
}

#[test]
fn a_refused_fax_leaves_the_sound_as_it_was_rfc6141_3_3() {
    let mut world = World::new();
    let sound = sdp("198.51.100.21", 7000, "");
    let (mut caller, invite, ok) = call(&mut world, &sound, &sdp("192.0.2.11", 9000, ""));
    let beside = sdp("198.51.100.21", 7100, "m=image 7104 udptl t38\r\n");
    for offer in [fax("198.51.100.21", 7100), beside] {
        again(
            &mut world,
            &mut caller,
            &offer,
            Err("488 Not Acceptable Here"),
        );
        assert_eq!(world.core.media().streams_open(), 1);
        let packet = rtp(0, 1, 9);
        let there = ("outside", ports(&ok)[0]);
        let sent = datagram(&mut world, "198.51.100.21:7000", there, &packet);
        assert_eq!(sent, Some(("192.0.2.11:9000".to_owned(), packet.clone())));
        let there = ("inside", ports(&invite)[0]);
        let sent = datagram(&mut world, "192.0.2.11:9000", there, &packet);
        assert_eq!(sent, Some(("198.51.100.21:7000".to_owned(), packet)));
    }
    hang_up(&mut world, &mut caller);
}

#[test]
fn fax_is_refused_where_it_may_not_be_or_would_be_in_the_clear() {
    let secure = |plan: &mut Plan| plan.peers[1].media = MediaPolicy::Srtp;
    let not_wanted = |plan: &mut Plan| plan.peers[0].policy.t38 = false;
    for change in [&secure as &dyn Fn(&mut Plan), &not_wanted] {
        let mut world = World::with(change);
        let mut caller = Caller::new(CARRIER, "+13305550100");
        let offer = fax("198.51.100.21", 7000);
        world.deliver(CARRIER, &caller.request("INVITE", Some(&offer)));
        world.take(CARRIER, "488");
        assert_eq!(world.core.media().streams_open(), 0);
    }
}

#[test]
fn voice_band_data_keeps_its_payload_type_v152() {
    let mut world = World::with(|plan| {
        plan.peers[1].policy.codecs = vec!["PCMU".into(), "telephone-event".into()];
    });
    let lines = "m=audio 7000 RTP/AVP 0 8 99\r\na=rtpmap:99 PCMU/8000\r\na=gpmd:99 vbd=yes\r\n\
                 a=gpmd:8 vbd=yes\r\n";
    let offer = description("198.51.100.21", lines);
    let answer = description(
        "192.0.2.11",
        &lines.replace("7000", "9000").replace(" 8 ", " "),
    );
    let (mut caller, invite, ok) = call(&mut world, &offer, &answer);
    assert!(
        m_lines(&invite)[0].ends_with("RTP/AVP 0 99"),
        "{}",
        invite.text
    );
    assert!(invite.body().contains("a=gpmd:99 vbd=yes"));
    // What is said of a payload type that is gone is gone with it.
    assert!(!invite.body().contains("gpmd:8"));
    let packet = rtp(99, 1, 9);
    let there = ("outside", ports(&ok)[0]);
    assert!(datagram(&mut world, "198.51.100.21:7000", there, &packet).is_some());
    hang_up(&mut world, &mut caller);
}

#[test]
fn all_streams_are_held_and_resumed_rfc3264_8_4() {
    let mut world = World::new();
    let talk = two_streams("198.51.100.21", 7000, "sendrecv");
    let (mut caller, invite, _) = call(
        &mut world,
        &talk,
        &two_streams("192.0.2.11", 9000, "sendrecv"),
    );
    let inside = ports(&invite);
    let hold = two_streams("198.51.100.21", 7000, "sendonly");
    let held = two_streams("192.0.2.11", 9000, "recvonly");
    let (invite, ok) = again(&mut world, &mut caller, &hold, Ok(&held));
    assert_eq!(invite.body().matches("a=sendonly").count(), 2);
    assert_eq!(ok.body().matches("a=recvonly").count(), 2);
    assert_eq!(ports(&invite), inside);
    for (port, from) in inside.iter().zip([9000, 9002]) {
        let packet = rtp(if from == 9000 { 0 } else { 97 }, 1, 9);
        let from = format!("192.0.2.11:{from}");
        assert_eq!(
            datagram(&mut world, &from, ("inside", *port), &packet),
            None
        );
    }
    // A call on hold is not silent.
    world.pass(std::time::Duration::from_secs(300));
    assert_eq!(world.core.calls().len(), 1);
    let answer = two_streams("192.0.2.11", 9000, "sendrecv");
    again(&mut world, &mut caller, &talk, Ok(&answer));
    for (port, from) in inside.iter().zip([9000, 9002]) {
        let packet = rtp(if from == 9000 { 0 } else { 97 }, 2, 9);
        let from = format!("192.0.2.11:{from}");
        assert!(datagram(&mut world, &from, ("inside", *port), &packet).is_some());
    }
    hang_up(&mut world, &mut caller);
}

#[test]
fn an_offerless_invite_brings_several_streams_rfc3264_4() {
    let mut world = World::new();
    let mut caller = Caller::new(CARRIER, "+13305550100");
    world.deliver(CARRIER, &caller.request("INVITE", None));
    world.take(CARRIER, "100");
    let invite = world.take(PBX, "INVITE");
    assert_eq!(invite.body(), "");
    let offer = two_streams("192.0.2.11", 9000, "sendrecv");
    world.deliver(PBX, &invite.answer("200 OK", PBX, Some(&offer)));
    let ok = world.take(CARRIER, "200");
    assert_eq!(m_lines(&ok).len(), 2);
    caller.learn(&ok);
    let answer = two_streams("198.51.100.21", 7000, "sendrecv");
    world.deliver(CARRIER, &caller.request("ACK", Some(&answer)));
    let ack = world.take(PBX, "ACK");
    assert_eq!(m_lines(&ack).len(), 2);
    let packet = rtp(97, 1, 9);
    let sent = datagram(
        &mut world,
        "198.51.100.21:7002",
        ("outside", ports(&ok)[1]),
        &packet,
    );
    assert_eq!(sent, Some(("192.0.2.11:9002".to_owned(), packet)));
    hang_up(&mut world, &mut caller);
}

const SUITE: Suite = Suite::AesCm128HmacSha1_80;

/// A peer's key and its line in a description.
fn key(seed: u64) -> (Context, String) {
    let key = MasterKey::generate(SUITE, &mut SeededEntropy::new(seed));
    let line = format!("a=crypto:1 {} {}\r\n", SUITE.name(), &*key.to_inline());
    let line = match line.contains("inline:") {
        true => line,
        false => line.replace(" 80 ", " 80 inline:"),
    };
    (Context::new(SUITE, &key).unwrap(), line)
}

fn protect(context: &mut Context, packet: &[u8]) -> Vec<u8> {
    let mut buf = packet.to_vec();
    buf.resize(packet.len() + TAIL, 0);
    let len = context.protect_rtp(&mut buf, packet.len()).unwrap();
    buf.truncate(len);
    buf
}

fn secure_sdp(port: u16, crypto: &str) -> String {
    sdp("198.51.100.21", port, crypto).replace("RTP/AVP", "RTP/SAVP")
}

#[test]
fn a_re_invite_with_a_new_key_loses_no_packet_rfc4568_7_1_4() {
    let mut world = World::with(|plan| plan.peers[0].media = MediaPolicy::Srtp);
    let answer = sdp("192.0.2.11", 9000, "");
    let (mut old, line) = key(1);
    let (mut caller, _, ok) = call(&mut world, &secure_sdp(7000, &line), &answer);
    let there = ("outside", ports(&ok)[0]);
    let from = "198.51.100.21:7000";
    let mut sequence = 0;
    let mut next = || {
        sequence += 1;
        rtp(0, sequence, 9)
    };
    let packet = next();
    assert_eq!(
        datagram(&mut world, from, there, &protect(&mut old, &packet))
            .unwrap()
            .1,
        packet
    );
    let in_flight = next();
    let in_flight_protected = protect(&mut old, &in_flight);

    let (mut new, line) = key(2);
    world.deliver(
        CARRIER,
        &caller.request("INVITE", Some(&secure_sdp(7000, &line))),
    );
    world.take(CARRIER, "100");
    let invite = world.take(PBX, "INVITE");
    // Until the answer the old key is the only one.
    let packet = next();
    assert!(datagram(&mut world, from, there, &protect(&mut old, &packet)).is_some());
    world.deliver(PBX, &invite.answer("200 OK", PBX, Some(&answer)));
    let again = world.take(CARRIER, "200");
    world.take(PBX, "ACK");
    let ours = |sent: &Sent| {
        let line = sent
            .body()
            .lines()
            .find(|line| line.contains("a=crypto"))
            .unwrap()
            .to_owned();
        line.split(' ').nth(2).unwrap().to_owned()
    };
    assert_eq!(ours(&again), ours(&ok), "our own key is as it was");

    assert_eq!(
        datagram(&mut world, from, there, &in_flight_protected)
            .unwrap()
            .1,
        in_flight
    );
    let packet = next();
    assert_eq!(
        datagram(&mut world, from, there, &protect(&mut new, &packet))
            .unwrap()
            .1,
        packet
    );
    world.deliver(CARRIER, &caller.request("ACK", None));
    world.pass(std::time::Duration::from_secs(10));
    assert!(datagram(&mut world, from, there, &protect(&mut old, &next())).is_none());
    assert!(datagram(&mut world, from, there, &protect(&mut new, &next())).is_some());
    hang_up(&mut world, &mut caller);
}

#[test]
fn a_new_key_that_is_refused_is_not_used_rfc6141_3_3() {
    let mut world = World::with(|plan| plan.peers[0].media = MediaPolicy::Srtp);
    let answer = sdp("192.0.2.11", 9000, "");
    let (mut old, line) = key(1);
    let (mut caller, _, ok) = call(&mut world, &secure_sdp(7000, &line), &answer);
    let there = ("outside", ports(&ok)[0]);
    let (mut new, line) = key(2);
    again(
        &mut world,
        &mut caller,
        &secure_sdp(7000, &line),
        Err("488 Not Acceptable Here"),
    );
    let from = "198.51.100.21:7000";
    assert!(datagram(&mut world, from, there, &protect(&mut new, &rtp(0, 1, 9))).is_none());
    assert!(datagram(&mut world, from, there, &protect(&mut old, &rtp(0, 2, 9))).is_some());
    hang_up(&mut world, &mut caller);
}

#[test]
fn re_invites_that_cross_change_nothing_that_is_heard_rfc3261_14_2() {
    let mut world = World::with(|plan| plan.peers[0].media = MediaPolicy::Srtp);
    let answer = sdp("192.0.2.11", 9000, "");
    let (mut old, line) = key(1);
    let (mut caller, first, ok) = call(&mut world, &secure_sdp(7000, &line), &answer);
    let there = ("outside", ports(&ok)[0]);
    let (mut new, line) = key(2);
    world.deliver(
        CARRIER,
        &caller.request("INVITE", Some(&secure_sdp(7000, &line))),
    );
    world.take(CARRIER, "100");
    let invite = world.take(PBX, "INVITE");
    // The PBX re-INVITEs before it has seen that one.
    let theirs = from_pbx(
        &first,
        1,
        "INVITE",
        Some(&sdp("192.0.2.11", 9000, "a=sendonly\r\n")),
    );
    world.deliver(PBX, &theirs);
    let refused = world.take(PBX, "491");
    let ack = from_pbx(&first, 1, "ACK", None).replace(
        &first.header(ringfence_sip::HeaderName::From),
        &refused.header(ringfence_sip::HeaderName::To),
    );
    world.deliver(PBX, &ack);
    let from = "198.51.100.21:7000";
    assert!(datagram(&mut world, from, there, &protect(&mut old, &rtp(0, 1, 9))).is_some());
    // And refuses ours in its turn.
    world.deliver(PBX, &invite.answer("491 Request Pending", PBX, None));
    world.take(PBX, "ACK");
    world.take(CARRIER, "491");
    world.deliver(CARRIER, &caller.request("ACK", None));
    assert!(datagram(&mut world, from, there, &protect(&mut old, &rtp(0, 2, 9))).is_some());
    assert!(datagram(&mut world, from, there, &protect(&mut new, &rtp(0, 3, 9))).is_none());
    hang_up(&mut world, &mut caller);
}

/// A request of the PBX inside the call.
fn from_pbx(invite: &Sent, cseq: u32, method: &str, body: Option<&str>) -> String {
    use ringfence_sip::HeaderName;
    let contact = invite.header(HeaderName::Contact);
    let target = contact.trim_matches(['<', '>']);
    format!(
        "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {PBX};branch=z9hG4bKpbx{cseq}\r\n\
         Max-Forwards: 70\r\nFrom: {};tag=callee1\r\nTo: {}\r\nCall-ID: {}\r\n\
         CSeq: {cseq} {method}\r\nContact: <sip:callee@{PBX}>\r\n{}",
        invite.header(HeaderName::To),
        invite.header(HeaderName::From),
        invite.header(HeaderName::CallId),
        body_of(body),
    )
}

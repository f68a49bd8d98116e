//! Digits between peers that send them as telephone events, by INFO, and as tones in their sound.

mod support;

use std::time::Duration;

use ringfence_media::{PACKET_MAX, SocketIndex, TAIL};
use ringfence_rtp::dtmf::SoundReader;
use ringfence_rtp::g711::{decode_ulaw, encode_ulaw};
use ringfence_rtp::telephone_event::TelephoneEvent;
use ringfence_rtp::tone::Tone;
use ringfence_session::dtmf::Dtmf;
use ringfence_sip::HeaderName;
use support::*;

/// The carrier speaks RFC 4733, the PBX INFO.
fn world() -> World {
    World::with(|plan| {
        plan.peers[0].policy.dtmf = Dtmf::Rfc4733;
        plan.peers[1].policy.dtmf = Dtmf::Info;
    })
}

/// Sound only, as a peer without telephone events describes it.
fn sound(address: &str, port: u16) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 0\r\n"
    )
}

fn port(sent: &Sent) -> u16 {
    let line = sent
        .body()
        .lines()
        .find(|line| line.starts_with("m="))
        .unwrap();
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

/// An answered call from the carrier: the PBX's INVITE and the carrier's 200.
fn call(world: &mut World) -> (Caller, Sent, Sent) {
    let mut caller = Caller::new(CARRIER, "+13305550100");
    let offer = sdp("198.51.100.21", 7000, "");
    world.deliver(CARRIER, &caller.request("INVITE", Some(&offer)));
    world.take(CARRIER, "100");
    let invite = world.take(PBX, "INVITE");
    let answer = sound("192.0.2.11", 9000);
    world.deliver(PBX, &invite.answer("200 OK", PBX, Some(&answer)));
    world.take(PBX, "ACK");
    let ok = world.take(CARRIER, "200");
    caller.learn(&ok);
    world.deliver(CARRIER, &caller.request("ACK", None));
    world.nothing_sent();
    (caller, invite, ok)
}

fn packet(payload_type: u8, sequence: u16, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&timestamp.to_be_bytes());
    packet.extend_from_slice(&9_u32.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

fn send(world: &mut World, from: &str, socket: u32, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut buf = bytes.to_vec();
    buf.resize(PACKET_MAX + TAIL, 0);
    let now = world.now;
    let plane = world.core.media_mut();
    let socket = SocketIndex::new(socket);
    let forward = plane.handle_packet(now, socket, from.parse().unwrap(), &mut buf, bytes.len())?;
    buf.truncate(forward.len);
    Some(buf)
}

fn from_carrier(world: &mut World, ok: &Sent, bytes: &[u8]) -> Option<Vec<u8>> {
    send(
        world,
        "198.51.100.21:7000",
        u32::from(port(ok) - 30_000),
        bytes,
    )
}

fn from_pbx(world: &mut World, invite: &Sent, bytes: &[u8]) -> Option<Vec<u8>> {
    send(
        world,
        "192.0.2.11:9000",
        1000 + u32::from(port(invite) - 30_000),
        bytes,
    )
}

/// An INFO of the PBX.
fn info(invite: &Sent, cseq: u32, kind: &str, body: &str) -> String {
    let contact = invite.header(HeaderName::Contact);
    format!(
        "INFO {} SIP/2.0\r\nVia: SIP/2.0/UDP {PBX};branch=z9hG4bKpbx{cseq}\r\n\
         Max-Forwards: 70\r\nFrom: {};tag=callee1\r\nTo: {}\r\nCall-ID: {}\r\n\
         CSeq: {cseq} INFO\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
        contact.trim_matches(['<', '>']),
        invite.header(HeaderName::To),
        invite.header(HeaderName::From),
        invite.header(HeaderName::CallId),
        body.len(),
    )
}

fn event(event: u8, end: bool, duration: u16) -> [u8; 4] {
    TelephoneEvent {
        event,
        end,
        volume: 10,
        duration,
    }
    .to_bytes()
}

#[test]
fn each_peer_is_offered_its_own_way_rfc4733_2_4_1() {
    let mut world = world();
    let (_, invite, ok) = call(&mut world);
    assert!(
        !invite.body().contains("telephone-event"),
        "{}",
        invite.text
    );
    assert!(invite.body().contains("RTP/AVP 0\r\n"), "{}", invite.text);
    assert!(ok.body().contains("RTP/AVP 0 101\r\n"), "{}", ok.text);
    assert!(ok.body().contains("a=rtpmap:101 telephone-event/8000"));
    assert!(ok.body().contains("a=fmtp:101 0-15"));

    // The other way about: the PBX calls.
    let mut world = World::with(|plan| {
        plan.peers[0].policy.dtmf = Dtmf::Rfc4733;
        plan.peers[1].policy.dtmf = Dtmf::Info;
    });
    let mut caller = Caller::new(PBX, "+15551234567");
    let offer = sound("192.0.2.11", 9000);
    world.deliver(PBX, &caller.request("INVITE", Some(&offer)));
    let invite = world.take(CARRIER, "INVITE");
    assert!(
        invite.body().contains("RTP/AVP 0 101\r\n"),
        "{}",
        invite.text
    );
    let answer = sdp("198.51.100.21", 7000, "");
    world.deliver(CARRIER, &invite.answer("200 OK", CARRIER, Some(&answer)));
    let ok = world.take(PBX, "200");
    assert!(!ok.body().contains("telephone-event"), "{}", ok.text);
}

#[test]
fn telephone_events_go_on_as_info_rfc4733_2_5() {
    let mut world = world();
    let (_, _, ok) = call(&mut world);
    let mut sequence = 0;
    let mut next = |kind: u8, timestamp: u32, payload: &[u8]| {
        sequence += 1;
        packet(kind, sequence, timestamp, payload)
    };
    let sound = [0xff; 160];
    assert!(from_carrier(&mut world, &ok, &next(0, 160, &sound)).is_some());
    for (digit, start) in [(5, 1_000), (11, 3_000)] {
        for (end, duration) in [(false, 160), (false, 800), (true, 1_600), (true, 1_600)] {
            let bytes = next(101, start, &event(digit, end, duration));
            assert_eq!(from_carrier(&mut world, &ok, &bytes), None);
        }
        world.pass(Duration::from_millis(200));
    }
    for signal in ["5", "#"] {
        let info = world.take(PBX, "INFO");
        assert_eq!(
            info.header(HeaderName::ContentType),
            "application/dtmf-relay"
        );
        assert_eq!(info.body(), format!("Signal={signal}\r\nDuration=200\r\n"));
        world.deliver(PBX, &info.answer("200 OK", PBX, None));
    }
    world.nothing_sent();
    // To the PBX the numbering has no gap.
    let sent = from_carrier(&mut world, &ok, &next(0, 8_000, &sound)).unwrap();
    assert_eq!(sent[2..4], [0, 2]);
    let shown = world.core.ladder(world.core.calls()[0].id);
    let shown: Vec<u8> = shown.into_iter().flat_map(|entry| entry.text).collect();
    let shown = String::from_utf8_lossy(&shown).into_owned();
    assert!(
        shown.contains("INFO") && !shown.contains("Signal="),
        "{shown}"
    );
}

#[test]
fn an_info_goes_on_as_telephone_events_rfc4733_2_5_1() {
    for (kind, body, duration) in [
        (
            "application/dtmf-relay",
            "Signal=7\r\nDuration=100\r\n",
            800,
        ),
        ("application/dtmf", "7", 1_280),
    ] {
        let mut world = world();
        let (_, invite, _) = call(&mut world);
        world.deliver(PBX, &info(&invite, 1, kind, body));
        world.take(PBX, "200");
        world.nothing_sent();
        let mut seen = Vec::new();
        for n in 1..=20_u16 {
            let bytes = packet(0, n, u32::from(n) * 160, &[0xff; 160]);
            let sent = from_pbx(&mut world, &invite, &bytes).unwrap();
            assert_eq!(sent[2..4], n.to_be_bytes());
            if sent[1] & 0x7f == 101 {
                assert_eq!((sent.len(), &sent[4..8]), (16, &160_u32.to_be_bytes()[..]));
                assert_eq!(sent[1] >> 7, u8::from(n == 1));
                seen.push(TelephoneEvent::parse(&sent[12..]).unwrap());
            } else {
                assert_eq!(sent, bytes);
            }
        }
        let ends: Vec<_> = seen.iter().filter(|event| event.end).collect();
        assert_eq!(ends.len(), 3);
        assert!(ends.iter().all(|end| end.duration == duration), "{ends:?}");
        assert!(seen.iter().all(|event| event.event == 7));
        assert!(seen.is_sorted_by_key(|event| event.duration));
    }
}

#[test]
fn digits_wait_for_one_another_and_not_for_ever() {
    let mut world = world();
    let (_, invite, _) = call(&mut world);
    for (cseq, digit) in [(1, "1"), (2, "2")] {
        world.deliver(PBX, &info(&invite, cseq, "application/dtmf", digit));
        world.take(PBX, "200");
    }
    let mut n = 0;
    let mut digits = |world: &mut World, packets: u16| {
        let mut seen = Vec::new();
        for _ in 0..packets {
            n += 1;
            let bytes = packet(0, n, u32::from(n) * 160, &[0xff; 160]);
            let sent = from_pbx(world, &invite, &bytes).unwrap();
            let event = (sent[1] & 0x7f == 101).then(|| sent[12]);
            if seen.last() != Some(&event) {
                seen.push(event);
            }
        }
        seen
    };
    let seen = digits(&mut world, 40);
    assert_eq!(seen, [Some(1), None, Some(2), None]);
    // Nobody spoke for too long: what was dialled then is not dialled now.
    world.deliver(PBX, &info(&invite, 3, "application/dtmf", "3"));
    world.pass(Duration::from_secs(6));
    assert_eq!(digits(&mut world, 10), [None]);
    // And there is a bound on what waits.
    for cseq in 10..42 {
        world.deliver(PBX, &info(&invite, cseq, "application/dtmf", "4"));
        world.take(PBX, "200");
    }
    world.deliver(PBX, &info(&invite, 42, "application/dtmf", "4"));
    world.take(PBX, "503");
}

#[test]
fn a_flood_of_events_makes_no_flood_of_requests() {
    let mut world = world();
    let (_, _, ok) = call(&mut world);
    for n in 1..=80_u16 {
        let bytes = packet(101, n, u32::from(n) * 160, &event(1, true, 160));
        from_carrier(&mut world, &ok, &bytes);
    }
    world.pass(Duration::from_millis(1));
    world.take(PBX, "INFO");
    world.nothing_sent();
}

#[test]
fn peers_of_one_way_pass_their_digits_as_they_are() {
    let mut world = World::with(|plan| {
        plan.peers[0].policy.dtmf = Dtmf::Rfc4733;
        plan.peers[1].policy.dtmf = Dtmf::Rfc4733;
    });
    let (_, invite) = world.answered_call();
    assert!(invite.body().contains("telephone-event"));
    let socket = u32::from(port(&invite) - 30_000);
    let bytes = packet(101, 1, 160, &event(1, true, 800));
    let sent = send(&mut world, "198.51.100.21:7000", socket, &bytes);
    assert_eq!(sent, Some(bytes));
}

/// The carrier does it so, the PBX knows tones only.
fn tones_inside(carrier: Dtmf) -> World {
    World::with(|plan| {
        plan.peers[0].policy.dtmf = carrier;
        plan.peers[1].policy.dtmf = Dtmf::InBand;
    })
}

/// What somebody hears: the sound of packets that follow each other without a gap, of one sender.
#[derive(Default)]
struct Hearing {
    last: Option<(u16, u32)>,
    sound: Vec<i16>,
}

impl Hearing {
    #[track_caller]
    fn hear(&mut self, packet: &[u8]) {
        assert_eq!(
            (packet[0], packet[1], &packet[8..12]),
            (0x80, 0, &[0, 0, 0, 9][..])
        );
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let timestamp = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
        if let Some((last, expected)) = self.last {
            assert_eq!((sequence, timestamp), (last.wrapping_add(1), expected));
        }
        let samples = packet.len() - 12;
        self.last = Some((sequence, timestamp + samples as u32));
        self.sound
            .extend(packet[12..].iter().map(|byte| decode_ulaw(*byte)));
    }

    fn digits(&self) -> String {
        let mut reader = SoundReader::default();
        self.sound
            .iter()
            .filter_map(|it| reader.read(*it))
            .collect()
    }

    /// Milliseconds of tones and of silence, one after the other.
    fn lengths(&self) -> Vec<usize> {
        let loud: Vec<bool> = self
            .sound
            .chunks(40)
            .map(|chunk| chunk.iter().any(|it| it.abs() > 1_000))
            .collect();
        loud.chunk_by(|one, other| one == other)
            .map(|run| run.len() * 5)
            .collect()
    }
}

/// The packets of one event of a sender that sends no sound meanwhile.
fn pressed(start: u32, digit: u8, milliseconds: u16) -> Vec<(u8, u32, Vec<u8>)> {
    let total = milliseconds * 8;
    let durations = (1..).map(|n| n * 160).take_while(|it| *it < total);
    let going = durations.map(|duration| (false, duration));
    going
        .chain([(true, total); 3])
        .map(|(end, duration)| (101, start, event(digit, end, duration).to_vec()))
        .collect()
}

fn silence(start: u32, packets: u32) -> Vec<(u8, u32, Vec<u8>)> {
    let packet = |n| (0, start + n * 160, vec![0xff; 160]);
    (0..packets).map(packet).collect()
}

/// What the PBX hears of what the carrier sends.
fn heard_inside(world: &mut World, ok: &Sent, sent: &[(u8, u32, Vec<u8>)]) -> Hearing {
    let mut hearing = Hearing::default();
    let sequences = (0..).map(|n: u16| n.wrapping_add(65_530));
    for ((kind, timestamp, payload), sequence) in sent.iter().zip(sequences) {
        let bytes = packet(*kind, sequence, *timestamp, payload);
        if let Some(sent) = from_carrier(world, ok, &bytes) {
            hearing.hear(&sent);
        }
        world.pass(Duration::from_millis(20));
    }
    hearing
}

#[test]
fn telephone_events_go_on_as_tones_rfc4733_2_5_2() {
    let mut world = tones_inside(Dtmf::Rfc4733);
    let (_, invite, ok) = call(&mut world);
    assert!(!invite.body().contains("telephone-event"));
    assert!(ok.body().contains("RTP/AVP 0 101\r\n"), "{}", ok.text);
    let sent = [
        silence(0, 5),
        pressed(800, 5, 100),
        silence(1_600, 10),
        pressed(3_200, 11, 200),
        silence(4_800, 10),
    ]
    .concat();
    let hearing = heard_inside(&mut world, &ok, &sent[..6]);
    assert_eq!(hearing.lengths(), [100, 20], "without delay");
    let mut world = tones_inside(Dtmf::Rfc4733);
    let (_, _, ok) = call(&mut world);
    let hearing = heard_inside(&mut world, &ok, &sent);
    assert_eq!(hearing.digits(), "5#");
    assert_eq!(hearing.lengths(), [100, 100, 200, 200, 200]);
    world.nothing_sent();
}

#[test]
fn short_events_are_long_tones_and_apart_q24() {
    let mut world = tones_inside(Dtmf::Rfc4733);
    let (_, _, ok) = call(&mut world);
    let sent = [
        silence(0, 1),
        pressed(160, 1, 40),
        silence(480, 1),
        pressed(640, 1, 40),
        silence(960, 20),
    ]
    .concat();
    let hearing = heard_inside(&mut world, &ok, &sent);
    assert_eq!(hearing.digits(), "11");
    assert_eq!(hearing.lengths()[..4], [20, 70, 50, 70]);
}

#[test]
fn a_sender_of_events_and_sound_is_heard_once() {
    let mut world = tones_inside(Dtmf::Rfc4733);
    let (_, _, ok) = call(&mut world);
    let loud: Vec<_> = silence(160, 5)
        .into_iter()
        .map(|(kind, at, _)| (kind, at, vec![encode_ulaw(9_000); 160]))
        .collect();
    let events = pressed(160, 9, 100);
    let mut sent = silence(0, 1);
    for (event, sound) in events.iter().zip(&loud) {
        sent.extend([event.clone(), sound.clone()]);
    }
    sent.extend_from_slice(&events[5..]);
    sent.extend(silence(960, 10));
    let hearing = heard_inside(&mut world, &ok, &sent);
    assert_eq!(hearing.digits(), "9");
    assert_eq!(hearing.lengths(), [20, 100, 200]);
}

#[test]
fn a_tone_has_no_hole_where_events_were_lost() {
    let mut world = tones_inside(Dtmf::Rfc4733);
    let (_, _, ok) = call(&mut world);
    let mut events = pressed(160, 3, 120);
    events.drain(2..4);
    let sent = [silence(0, 1), events, silence(1_120, 10)].concat();
    let hearing = heard_inside(&mut world, &ok, &sent);
    assert_eq!(hearing.lengths(), [20, 120, 200]);
    assert_eq!(hearing.digits(), "3");
}

#[test]
fn a_digit_that_lost_its_ends_does_not_sound_for_ever() {
    let mut world = tones_inside(Dtmf::Rfc4733);
    let (_, _, ok) = call(&mut world);
    let mut events = pressed(160, 3, 100);
    events.truncate(3);
    let sent = [silence(0, 1), events, silence(640, 20)].concat();
    let hearing = heard_inside(&mut world, &ok, &sent);
    assert_eq!(hearing.lengths()[..2], [20, 120]);
    assert_eq!(hearing.digits(), "3");
}

#[test]
fn an_info_goes_on_as_tones_q23() {
    let mut world = World::with(|plan| {
        plan.peers[0].policy.dtmf = Dtmf::InBand;
        plan.peers[1].policy.dtmf = Dtmf::Info;
    });
    let (_, invite, ok) = call(&mut world);
    assert!(!invite.body().contains("telephone-event"));
    assert!(!ok.body().contains("telephone-event"), "{}", ok.text);
    for (cseq, digit) in [(1, "7"), (2, "D")] {
        let body = format!("Signal={digit}\r\nDuration=100\r\n");
        world.deliver(PBX, &info(&invite, cseq, "application/dtmf-relay", &body));
        world.take(PBX, "200");
    }
    world.nothing_sent();
    let mut hearing = Hearing::default();
    for n in 0..30 {
        let bytes = packet(0, n, u32::from(n) * 160, &[0xff; 160]);
        hearing.hear(&from_pbx(&mut world, &invite, &bytes).unwrap());
    }
    assert_eq!(hearing.digits(), "7D");
    assert_eq!(hearing.lengths()[..3], [100, 50, 100]);
}

#[test]
fn tones_need_g711() {
    let mut world = World::with(|plan| {
        plan.peers[0].policy.dtmf = Dtmf::InBand;
        plan.peers[1].policy.dtmf = Dtmf::Info;
    });
    let mut caller = Caller::new(CARRIER, "+13305550100");
    let other = |host: &str, port| sound(host, port).replace("AVP 0", "AVP 18");
    world.deliver(
        CARRIER,
        &caller.request("INVITE", Some(&other("198.51.100.21", 7000))),
    );
    world.take(CARRIER, "100");
    let invite = world.take(PBX, "INVITE");
    let answer = other("192.0.2.11", 9000);
    world.deliver(PBX, &invite.answer("200 OK", PBX, Some(&answer)));
    world.take(PBX, "ACK");
    let ok = world.take(CARRIER, "200");
    caller.learn(&ok);
    world.deliver(CARRIER, &caller.request("ACK", None));
    world.deliver(PBX, &info(&invite, 1, "application/dtmf", "7"));
    world.take(PBX, "503");
}

/// The sound of keys and of pauses: which, and for how many milliseconds.
fn dialled(keys: &[(char, usize)]) -> Vec<i16> {
    let sound = |(key, milliseconds): &(char, usize)| -> Vec<i16> {
        match Tone::dtmf(*key, 6_000, 8_000) {
            Some([low, high]) => low
                .zip(high)
                .map(|(one, other)| one + other)
                .take(milliseconds * 8)
                .collect(),
            None => vec![0; milliseconds * 8],
        }
    };
    keys.iter().flat_map(sound).collect()
}

/// What the carrier gets when the PBX sends this sound, packet by packet.
fn sent_outside(world: &mut World, invite: &Sent, sound: &[i16]) -> Vec<Vec<u8>> {
    let mut sent = Vec::new();
    for (chunk, n) in sound.chunks(160).zip(0_u16..) {
        let payload: Vec<u8> = chunk.iter().map(|it| encode_ulaw(*it)).collect();
        let bytes = packet(0, n, u32::from(n) * 160, &payload);
        let passed = from_pbx(world, invite, &bytes).unwrap();
        assert_eq!(passed[2..4], n.to_be_bytes(), "the numbering goes on");
        sent.push(passed);
        world.pass(Duration::from_millis(20));
    }
    sent
}

/// Digit and duration in milliseconds of each event that ended, and how many milliseconds of
/// sound were loud.
fn events_of(sent: &[Vec<u8>]) -> (Vec<(char, u16)>, usize) {
    let (mut events, mut loud, mut last) = (Vec::new(), 0, None);
    for packet in sent {
        if packet[1] & 0x7f != 101 {
            let is_loud = |byte: &&u8| decode_ulaw(**byte).abs() > 500;
            loud += packet[12..].iter().filter(is_loud).count();
            continue;
        }
        let event = TelephoneEvent::parse(&packet[12..]).unwrap();
        let start = packet[4..8].to_vec();
        if event.end && last.as_ref() != Some(&start) {
            events.push((event.digit().unwrap(), event.duration / 8));
            last = Some(start);
        }
    }
    (events, loud / 8)
}

#[test]
fn tones_go_on_as_telephone_events_rfc4733_2_5_1() {
    for offset in [0, 3, 7, 11, 17] {
        let mut world = tones_inside(Dtmf::Rfc4733);
        let (_, invite, _) = call(&mut world);
        let keys = [
            (' ', 100 + offset),
            ('5', 100),
            (' ', 200),
            ('#', 240),
            (' ', 300),
        ];
        let sent = sent_outside(&mut world, &invite, &dialled(&keys));
        let (events, leaked) = events_of(&sent);
        let told: String = events.iter().map(|(digit, _)| digit).collect();
        assert_eq!(told, "5#");
        for ((_, lasted), pressed) in events.iter().zip([100, 240]) {
            assert!(lasted.abs_diff(pressed) <= 40, "{lasted} for {pressed}");
        }
        assert!(leaked <= 2 * 23, "{leaked} ms of tones went on");
        world.nothing_sent();
    }
}

#[test]
fn keys_that_are_pressed_fast_are_all_told_q24() {
    let mut world = tones_inside(Dtmf::Rfc4733);
    let (_, invite, _) = call(&mut world);
    let keys: Vec<_> = "3305550142"
        .chars()
        .flat_map(|key| [(key, 50), (' ', 50)])
        .chain([(' ', 1_500)])
        .collect();
    let sent = sent_outside(&mut world, &invite, &dialled(&keys));
    let (events, _) = events_of(&sent);
    let told: String = events.iter().map(|(digit, _)| digit).collect();
    assert_eq!(told, "3305550142");
}

#[test]
fn tones_go_on_as_info() {
    let mut world = tones_inside(Dtmf::Info);
    let (_, invite, _) = call(&mut world);
    let keys = [(' ', 100), ('5', 100), (' ', 100), ('*', 200), (' ', 100)];
    let sent = sent_outside(&mut world, &invite, &dialled(&keys));
    let (events, leaked) = events_of(&sent);
    assert_eq!(events, []);
    assert!(leaked <= 2 * 23, "{leaked} ms of tones went on");
    for (signal, pressed) in [("5", 100_u16), ("*", 200)] {
        let info = world.take(CARRIER, "INFO");
        let prefix = format!("Signal={signal}\r\nDuration=");
        let lasted = info
            .body()
            .strip_prefix(&prefix)
            .unwrap()
            .trim()
            .parse::<u16>();
        assert!(lasted.unwrap().abs_diff(pressed) <= 30, "{}", info.body());
        world.deliver(CARRIER, &info.answer("200 OK", CARRIER, None));
    }
    world.nothing_sent();
}

#[test]
fn sound_that_is_no_digit_passes_as_it_is() {
    let mut world = tones_inside(Dtmf::Rfc4733);
    let (_, invite, _) = call(&mut world);
    let ringing: Vec<i16> = Tone::new(440.0, 6_000, 8_000)
        .zip(Tone::new(480.0, 6_000, 8_000))
        .map(|(one, other)| one + other)
        .take(8_000)
        .collect();
    let sent = sent_outside(&mut world, &invite, &ringing);
    let passed: Vec<u8> = sent
        .iter()
        .flat_map(|packet| packet[12..].to_vec())
        .collect();
    let expected: Vec<u8> = ringing.iter().map(|it| encode_ulaw(*it)).collect();
    assert_eq!(passed, expected);
}

#[test]
fn the_echo_of_a_tone_is_no_digit() {
    let mut world = tones_inside(Dtmf::Rfc4733);
    let (_, invite, ok) = call(&mut world);
    let sent = [silence(0, 1), pressed(160, 5, 100)].concat();
    heard_inside(&mut world, &ok, &sent);
    let keys = [(' ', 40), ('5', 100), (' ', 100), ('6', 100), (' ', 200)];
    let sent = sent_outside(&mut world, &invite, &dialled(&keys));
    let (events, _) = events_of(&sent);
    let told: String = events.iter().map(|(digit, _)| digit).collect();
    assert_eq!(told, "6");
}

/// Every key, beginning anywhere in a packet, at -4, 0 and 6 dB of the low tone over the high one.
/// Beyond that more leaks.
#[test]
fn little_of_a_tone_leaks_wherever_it_begins_q24() {
    for (low_peak, high_peak) in [(3_786, 6_000), (6_000, 6_000), (9_000, 4_511)] {
        let mut world = tones_inside(Dtmf::Rfc4733);
        let (_, invite, _) = call(&mut world);
        let mut sequence = 0_u16;
        for (digit, offset) in "0123456789*#ABCD"
            .chars()
            .flat_map(|digit| (0..160).step_by(10).map(move |offset| (digit, offset)))
        {
            let [low, _] = Tone::dtmf(digit, low_peak, 8_000).unwrap();
            let [_, high] = Tone::dtmf(digit, high_peak, 8_000).unwrap();
            let mut sound = vec![0_i16; 800 + offset];
            sound.extend(low.zip(high).map(|(one, other)| one + other).take(800));
            sound.resize(3_200, 0);
            let mut sent = Vec::new();
            for chunk in sound.chunks(160) {
                let payload: Vec<u8> = chunk.iter().map(|it| encode_ulaw(*it)).collect();
                let bytes = packet(0, sequence, u32::from(sequence) * 160, &payload);
                sent.push(from_pbx(&mut world, &invite, &bytes).unwrap());
                sequence += 1;
            }
            world.pass(Duration::from_millis(400));
            let (events, _) = events_of(&sent);
            assert_eq!(events.len(), 1, "{digit} at {offset}");
            assert_eq!(events[0].0, digit);
            let sounds = sent.iter().filter(|packet| packet[1] & 0x7f == 0);
            let leaked: usize = sounds
                .filter_map(|packet| {
                    let is_loud = |byte: &u8| decode_ulaw(*byte).abs() > 50;
                    packet[12..].iter().position(is_loud)
                })
                .map(|first| 160 - first)
                .sum();
            assert!(leaked <= 23 * 8, "{digit} at {offset}: {leaked}");
        }
    }
}

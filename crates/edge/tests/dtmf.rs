//! Digits between peers that convey them differently, over real sockets.

mod support;

use std::net::SocketAddr;

use ringfence_rtp::g711::{decode_ulaw, encode_ulaw};
use ringfence_rtp::telephone_event::TelephoneEvent;
use ringfence_rtp::tone::{Tone, dtmf_digit};
use support::{Agent, CallFacts, Net, Setup, media_address};

/// The carrier speaks RFC 4733, the PBX knows tones only.
struct Scene {
    setup: Setup,
    carrier: Agent,
    pbx: Agent,
}

/// A call from the carrier, and where each side is to send its sound.
struct Call {
    facts: CallFacts,
    towards_pbx: SocketAddr,
    towards_carrier: SocketAddr,
}

impl Scene {
    fn open() -> Scene {
        let net = Net::new();
        let text = net
            .config("workers = 2", "")
            .replace("[trunk.carrier-a]", "[trunk.carrier-a]\ndtmf = \"rfc4733\"")
            .replace("[pbx.main]", "[pbx.main]\ndtmf = \"in-band\"");
        let setup = Setup::with(net, &text);
        let (carrier, pbx) = (Agent::bind(setup.net.carrier), Agent::bind(setup.net.pbx));
        Scene {
            setup,
            carrier,
            pbx,
        }
    }

    fn call(&self) -> Call {
        let Scene {
            setup,
            carrier,
            pbx,
        } = self;
        let mut facts = CallFacts::new("digits", "+13305550100", setup.outside());
        let offer =
            carrier.sdp().replace("AVP 0", "AVP 0 101") + "a=rtpmap:101 telephone-event/8000\r\n";
        let invite = carrier.request(&facts, "INVITE", 1, &offer);
        carrier.send(&invite, setup.outside());
        let invite = pbx.expect("INVITE");
        assert!(!invite.contains("telephone-event"), "{invite}");
        pbx.send(&pbx.answer(&invite, "200 OK", &pbx.sdp()), setup.inside());
        let ok = carrier.expect("SIP/2.0 200");
        assert!(ok.contains("RTP/AVP 0 101\r\n"), "{ok}");
        facts.answered(&ok);
        carrier.send(&carrier.request(&facts, "ACK", 1, ""), setup.outside());
        pbx.expect("ACK");
        Call {
            facts,
            towards_pbx: media_address(&ok),
            towards_carrier: media_address(&invite),
        }
    }

    fn hang_up(&self, call: &Call) {
        let bye = self.carrier.request(&call.facts, "BYE", 2, "");
        self.carrier.send(&bye, self.setup.outside());
        let bye = self.pbx.expect("BYE");
        let ok = self.pbx.answer(&bye, "200 OK", "");
        self.pbx.send(&ok, self.setup.inside());
        self.carrier.expect("SIP/2.0 200");
    }
}

fn packet(payload_type: u8, sequence: u16, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&timestamp.to_be_bytes());
    packet.extend_from_slice(&7_u32.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

/// The next RTP packet at a peer.
fn received(agent: &Agent) -> Vec<u8> {
    let mut buffer = [0; 2_048];
    let (length, _) = agent.rtp.recv_from(&mut buffer).expect("an RTP packet");
    buffer[..length].to_vec()
}

#[test]
fn keys_of_the_carrier_reach_the_phone_system_as_tones_rfc4733_2_5_2() {
    let scene = Scene::open();
    let call = scene.call();
    let send = |bytes: &[u8]| {
        let sent = scene.carrier.rtp.send_to(bytes, call.towards_pbx);
        sent.unwrap();
    };
    let mut sequence = 0;
    let mut next = |kind: u8, timestamp: u32, payload: &[u8]| {
        sequence += 1;
        packet(kind, sequence, timestamp, payload)
    };
    let mut heard = Vec::new();
    for n in 0..5 {
        send(&next(0, n * 160, &[0xff; 160]));
        heard.push(received(&scene.pbx));
    }
    for duration in [160, 320, 480, 640, 800, 800, 800] {
        let event = TelephoneEvent {
            event: 5,
            end: duration == 800,
            volume: 10,
            duration,
        };
        send(&next(101, 800, &event.to_bytes()));
    }
    heard.extend((0..5).map(|_| received(&scene.pbx)));
    for n in 10..20 {
        send(&next(0, n * 160, &[0xff; 160]));
        heard.push(received(&scene.pbx));
    }
    for (packet, n) in heard.iter().zip(0_u16..) {
        assert_eq!((packet.len(), packet[1]), (172, 0));
        assert_eq!(packet[2..4], (n + 1).to_be_bytes());
        assert_eq!(packet[4..8], (u32::from(n) * 160).to_be_bytes());
        assert_eq!(packet[8..12], heard[0][8..12]);
        let sound: Vec<i16> = packet[12..].iter().map(|it| decode_ulaw(*it)).collect();
        let expected = (5..10).contains(&n).then_some('5');
        assert_eq!(dtmf_digit(&sound, 8_000), expected, "{n}");
    }
    scene.hang_up(&call);
}

#[test]
fn tones_of_the_phone_system_reach_the_carrier_as_events_rfc4733_2_5_1() {
    let scene = Scene::open();
    let call = scene.call();
    let mut sound = vec![0; 800];
    for digit in ['4', '2'] {
        let [low, high] = Tone::dtmf(digit, 6_000, 8_000).unwrap();
        sound.extend(low.zip(high).map(|(low, high)| low + high).take(800));
        sound.extend([0; 1_600]);
    }
    let mut told = Vec::new();
    let mut loud = 0;
    for (chunk, n) in sound.chunks(160).zip(1_u16..) {
        let payload: Vec<u8> = chunk.iter().map(|it| encode_ulaw(*it)).collect();
        let bytes = packet(0, n, u32::from(n) * 160, &payload);
        scene.pbx.rtp.send_to(&bytes, call.towards_carrier).unwrap();
        let passed = received(&scene.carrier);
        assert_eq!(passed[2..4], n.to_be_bytes());
        if passed[1] & 0x7f == 101 {
            let event = TelephoneEvent::parse(&passed[12..]).unwrap();
            told.extend(event.digit().filter(|_| passed[1] & 0x80 != 0));
        } else {
            let is_loud = |byte: &&u8| decode_ulaw(**byte).abs() > 500;
            loud += passed[12..].iter().filter(is_loud).count();
        }
    }
    assert_eq!(told, ['4', '2']);
    assert!(loud <= 2 * 23 * 8, "{loud} samples of tones went on");
    scene.hang_up(&call);
}

//! Fax through a running edge, over real sockets: a call with sound that goes on as T.38 (ITU-T T.38
//! Annex D), and modem tones that stay in the sound (ITU-T V.152).

mod support;

use std::net::SocketAddr;

use support::{Agent, CallFacts, Net, Setup, media_address, rtp};

struct Scene {
    setup: Setup,
    carrier: Agent,
    pbx: Agent,
}

impl Scene {
    fn open() -> Scene {
        let net = Net::new();
        let text = net.config("workers = 2", "");
        let setup = Setup::with(net, &text);
        let (carrier, pbx) = (Agent::bind(setup.net.carrier), Agent::bind(setup.net.pbx));
        Scene {
            setup,
            carrier,
            pbx,
        }
    }

    /// A call of the carrier; the INVITE that the PBX got, and the 200 that the carrier did.
    fn call(&self, facts: &mut CallFacts, offer: &str, answer: &str) -> (String, String) {
        let (outside, inside) = (self.setup.outside(), self.setup.inside());
        let invite = self.carrier.request(facts, "INVITE", 1, offer);
        self.carrier.send(&invite, outside);
        let invite = self.pbx.expect("INVITE");
        self.pbx
            .send(&self.pbx.answer(&invite, "200 OK", answer), inside);
        let ok = self.carrier.expect("SIP/2.0 200");
        facts.answered(&ok);
        let ack = self.carrier.request(facts, "ACK", 1, "");
        self.carrier.send(&ack, outside);
        self.pbx.expect("ACK");
        (invite, ok)
    }

    fn hang_up(&self, facts: &CallFacts, cseq: u32) {
        let bye = self.carrier.request(facts, "BYE", cseq, "");
        self.carrier.send(&bye, self.setup.outside());
        let bye = self.pbx.expect("BYE");
        let ok = self.pbx.answer(&bye, "200 OK", "");
        self.pbx.send(&ok, self.setup.inside());
        self.carrier.expect("SIP/2.0 200");
    }
}

/// Sends a datagram, and says what arrived and from where.
fn passed(from: &Agent, to: SocketAddr, bytes: &[u8], at: &Agent) -> (Vec<u8>, SocketAddr) {
    from.rtp.send_to(bytes, to).unwrap();
    let mut buffer = [0; 2_048];
    let (length, source) = at.rtp.recv_from(&mut buffer).expect("the datagram");
    (buffer[..length].to_vec(), source)
}

/// A description like an agent's, of T.38 alone.
fn t38(agent: &Agent) -> String {
    let sdp = agent.sdp();
    let port = media_address(&sdp).port();
    let head = sdp.split("m=").next().unwrap();
    format!(
        "{head}m=image {port} udptl t38\r\na=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\n\
         a=T38FaxRateManagement:transferredTCF\r\na=T38FaxMaxDatagram:238\r\n\
         a=T38FaxUdpEC:t38UDPRedundancy\r\n"
    )
}

/// A UDPTL packet (T.38 §9.1): sequence number, a primary IFP packet, one redundant one.
fn udptl(sequence: u16, ifp: &[u8], before: &[u8]) -> Vec<u8> {
    let mut packet = sequence.to_be_bytes().to_vec();
    packet.push(ifp.len() as u8);
    packet.extend_from_slice(ifp);
    packet.extend_from_slice(&[0x00, 0x01, before.len() as u8]);
    packet.extend_from_slice(before);
    packet
}

#[test]
fn a_call_goes_on_as_t38_and_its_datagrams_pass_unchanged_both_ways() {
    let scene = Scene::open();
    let (carrier, pbx) = (&scene.carrier, &scene.pbx);
    let (outside, inside) = (scene.setup.outside(), scene.setup.inside());
    let mut facts = CallFacts::new("fax", "+13305550100", outside);
    let (_, ok) = scene.call(&mut facts, &carrier.sdp(), &pbx.sdp());
    let (heard, _) = passed(carrier, media_address(&ok), &rtp(7, 1), pbx);
    assert_eq!(heard[12..], rtp(7, 1)[12..]);
    // The machines have heard each other.
    let again = carrier.request(&facts, "INVITE", 2, &t38(carrier));
    carrier.send(&again, outside);
    let asked = pbx.expect("INVITE");
    assert!(asked.contains("udptl t38\r\n"), "{asked}");
    assert!(asked.contains("a=T38FaxMaxDatagram:238\r\n"), "{asked}");
    pbx.send(&pbx.answer(&asked, "200 OK", &t38(pbx)), inside);
    let agreed = carrier.expect("SIP/2.0 200");
    assert!(agreed.contains("udptl t38\r\n"), "{agreed}");
    carrier.send(&carrier.request(&facts, "ACK", 2, ""), outside);
    pbx.expect("ACK");
    // Several pages' worth, both ways, byte for byte; the edge is who sends.
    let (towards_carrier, towards_pbx) = (media_address(&asked), media_address(&agreed));
    let mut before = vec![0x06];
    for sequence in 0..50_u16 {
        let ifp: Vec<u8> = (0..40).map(|n| (sequence as u8) ^ n).collect();
        let packet = udptl(sequence, &ifp, &before);
        let (arrived, source) = passed(carrier, towards_pbx, &packet, pbx);
        assert_eq!(arrived, packet, "towards the PBX, {sequence}");
        assert_eq!(source, towards_carrier);
        let (arrived, source) = passed(pbx, towards_carrier, &packet, carrier);
        assert_eq!(arrived, packet, "towards the carrier, {sequence}");
        assert_eq!(source, towards_pbx);
        before = ifp;
    }
    scene.hang_up(&facts, 3);
}

#[test]
fn modem_tones_in_the_sound_are_offered_and_passed_as_they_are_v152_7() {
    let scene = Scene::open();
    let (carrier, pbx) = (&scene.carrier, &scene.pbx);
    let mut facts = CallFacts::new("vbd", "+13305550100", scene.setup.outside());
    let vbd = |agent: &Agent| {
        let more = "a=rtpmap:100 PCMU/8000\r\na=gpmd:100 vbd=yes;ecan=on\r\n";
        agent.sdp().replace("RTP/AVP 0", "RTP/AVP 0 100") + more
    };
    let (invite, ok) = scene.call(&mut facts, &vbd(carrier), &vbd(pbx));
    for sent in [&invite, &ok] {
        assert!(sent.contains("a=gpmd:100 vbd=yes;ecan=on\r\n"), "{sent}");
    }
    let mut tone = rtp(7, 1);
    tone[1] = 100;
    for (from, to, at) in [
        (carrier, media_address(&ok), pbx),
        (pbx, media_address(&invite), carrier),
    ] {
        let (heard, _) = passed(from, to, &tone, at);
        assert_eq!((heard[1], &heard[12..]), (100, &tone[12..]));
    }
    scene.hang_up(&facts, 2);
}

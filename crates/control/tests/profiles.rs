//! Each profile against a peer that behaves as the peer is documented: in virtual time, from the
//! text of a configuration to the messages on the wire.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ringfence_base::entropy::SeededEntropy;
use ringfence_base::net::{ListenerId, Transport, WorkerIndex};
use ringfence_base::time::WallAnchor;
use ringfence_base::{Flow, Instant, UnixTime};
use ringfence_control::compile::compile;
use ringfence_control::config;
use ringfence_media::{PortPair, SocketIndex};
use ringfence_session::core::{Core, CoreConfig, Input};
use ringfence_session::targets::{Targets, Wanted};
use ringfence_sip::{HeaderName, Index};

const CARRIER: &str = "198.51.100.20";
const PBX: &str = "192.0.2.10:5060";
const OUTSIDE: ListenerId = ListenerId::new(0);
const INSIDE: ListenerId = ListenerId::new(1);
const KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

/// A site of two peers, one core, and what it sent.
struct World {
    core: Core,
    now: Instant,
    sent: Vec<(SocketAddr, String)>,
}

/// The site with the keys of its trunk and of its PBX.
fn world(trunk: &str, pbx: &str) -> World {
    let text = format!(
        "[listen.outside]\nudp = \"203.0.113.10:5060\"\ntls = \"203.0.113.10:5061\"\n\
         certificate = \"edge.pem\"\nkey = \"edge.key\"\nclient_ca = \"edge.pem\"\n\
         media = \"203.0.113.10:30000-30099\"\n\
         [listen.inside]\nudp = \"192.0.2.2:5060\"\nmedia = \"192.0.2.2:31000-31099\"\n\
         [tenant.a]\ncountry = \"US\"\n\
         [site.a]\ntenant = \"a\"\nnumbers = [\"+13305550100-+13305550149\"]\nemergency = [\"911\"]\n\
         [trunk.x]\nsite = \"a\"\nlisten = \"outside\"\n{trunk}\n\
         [pbx.y]\nsite = \"a\"\nlisten = \"inside\"\npeer = \"sip:192.0.2.10\"\n{pbx}\n"
    );
    let folder = tempfile::tempdir().unwrap();
    let pair = rcgen::generate_simple_self_signed(["sbc.summit.example".to_owned()]).unwrap();
    std::fs::write(folder.path().join("edge.pem"), pair.cert.pem()).unwrap();
    std::fs::write(
        folder.path().join("edge.key"),
        pair.signing_key.serialize_pem(),
    )
    .unwrap();
    std::fs::write(folder.path().join("secret"), "correct horse\n").unwrap();
    let file = folder.path().join("ringfence.toml");
    std::fs::write(&file, text).unwrap();
    let config = config::load(&file)
        .unwrap_or_else(|error| panic!("{error}"))
        .config;
    let resolve = |wanted: &Wanted| {
        let transport = wanted.transport.unwrap_or(Transport::Udp);
        let port = wanted.port.unwrap_or(transport.default_port());
        Ok(Targets {
            transport,
            addresses: vec![format!("{CARRIER}:{port}").parse().unwrap()],
            ranks: Vec::new(),
            ttl: Duration::from_secs(60),
        })
    };
    let plan = compile(&config, &resolve).plan;
    let now = Instant::ZERO + Duration::from_secs(1);
    let core_config = CoreConfig {
        worker: WorkerIndex::new(0),
        workers: 1,
        secret: [7; 16],
        anchor: WallAnchor {
            instant: now,
            unix: UnixTime::from_micros(1_795_000_000_000_000),
        },
        timers: Default::default(),
    };
    let mut core = Core::new(core_config, Arc::new(plan), Box::new(SeededEntropy::new(1)));
    for (listener, host, base) in [(OUTSIDE, "203.0.113.10", 0), (INSIDE, "192.0.2.2", 1000)] {
        let pairs = (0..50u32).map(|n| PortPair {
            rtp: SocketIndex::new(base + 2 * n),
            rtcp: SocketIndex::new(base + 2 * n + 1),
            addr: format!("{host}:{}", 30_000 + 2 * n).parse().unwrap(),
        });
        core.media_mut().add_ports(listener, pairs);
    }
    let sent = Vec::new();
    World { core, now, sent }
}

impl World {
    fn deliver(&mut self, flow: Flow, text: &str) {
        let mut index = Index::default();
        let message = index.parse(text.as_bytes()).unwrap();
        let input = Input::Message {
            flow,
            message: &message,
            tls_names: &["sip.pstnhub.microsoft.com".to_owned()],
        };
        self.core.handle_input(self.now, input);
        self.drain();
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.core.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.core.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    fn drain(&mut self) {
        while let Some(transmit) = self.core.poll_transmit() {
            let text = String::from_utf8(transmit.bytes.to_vec()).unwrap();
            self.sent.push((transmit.flow.remote, text));
        }
    }

    /// The first message to `to` that starts so.
    #[track_caller]
    fn take(&mut self, to: &str, start: &str) -> String {
        let is_it = |(remote, text): &(SocketAddr, String)| {
            remote.ip().to_string() == to && text.starts_with(start)
        };
        let at = self.sent.iter().position(is_it);
        let Some(at) = at else {
            panic!("nothing to {to} starts with {start}: {:#?}", self.sent)
        };
        self.sent.remove(at).1
    }

    /// The PBX calls `number`, as extension 107 of the site.
    fn pbx_calls(&mut self, number: &str, body: &str) {
        let text = request(number, body);
        self.deliver(Flow::udp(INSIDE, PBX.parse().unwrap()), &text);
    }

    /// The carrier's INVITE or nothing else: what the trunk was sent for a call of the PBX.
    #[track_caller]
    fn carrier_gets(&mut self, number: &str) -> String {
        self.pbx_calls(number, OFFER);
        self.take(CARRIER, "INVITE")
    }

    /// The carrier answers `invite` over `transport`, and the PBX gets its 200.
    #[track_caller]
    fn carrier_answers(&mut self, invite: &str, transport: Transport, body: &str) {
        let port = transport.default_port();
        let flow = Flow {
            transport,
            ..Flow::udp(OUTSIDE, format!("{CARRIER}:{port}").parse().unwrap())
        };
        let mut answer = "SIP/2.0 200 OK\r\n".to_owned();
        for name in [
            HeaderName::Via,
            HeaderName::From,
            HeaderName::CallId,
            HeaderName::CSeq,
        ] {
            answer += &format!("{}: {}\r\n", name.as_str(), header(invite, name));
        }
        answer += &format!("To: {};tag=carrier1\r\n", header(invite, HeaderName::To));
        answer += &format!("Contact: <sip:carrier@{CARRIER}>\r\n{}", with_body(body));
        self.deliver(flow, &answer);
        self.take("192.0.2.10", "SIP/2.0 200");
        let ack = self.take(CARRIER, "ACK");
        assert_eq!(header(&ack, HeaderName::CSeq), "1 ACK");
    }
}

fn header(text: &str, name: HeaderName) -> String {
    let mut index = Index::default();
    let message = index.parse(text.as_bytes()).unwrap();
    String::from_utf8_lossy(message.header(name).unwrap_or_default()).into_owned()
}

fn with_body(body: &str) -> String {
    let length = body.len();
    match length {
        0 => "Content-Length: 0\r\n\r\n".to_owned(),
        _ => format!("Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{body}"),
    }
}

fn request(number: &str, body: &str) -> String {
    format!(
        "INVITE sip:{number}@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP {PBX};branch=z9hG4bK1\r\n\
         Max-Forwards: 70\r\nFrom: \"Bob\" <sip:107@{PBX}>;tag=1\r\nTo: <sip:{number}@192.0.2.2>\r\n\
         P-Preferred-Identity: <sip:+13305550107@{PBX}>\r\nCall-ID: call1\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:107@{PBX}>\r\n{}",
        with_body(body)
    )
}

const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.11\r\ns=-\r\nc=IN IP4 192.0.2.11\r\nt=0 0\r\n\
    m=audio 9000 RTP/AVP 0 8 9 18 96 3 101\r\na=rtpmap:96 opus/48000/2\r\n\
    a=rtpmap:101 telephone-event/8000\r\n";

const PLAIN: &str = "v=0\r\no=- 1 1 IN IP4 198.51.100.21\r\ns=-\r\nc=IN IP4 198.51.100.21\r\n\
    t=0 0\r\nm=audio 7000 RTP/AVP 0\r\n";

/// An answer with the first of our keys.
fn protected() -> String {
    PLAIN.replace("RTP/AVP", "RTP/SAVP")
        + &format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\n")
}

/// The payload types of the offer that a carrier got.
fn formats(invite: &str) -> &str {
    let line = invite
        .lines()
        .find(|line| line.starts_with("m=audio"))
        .unwrap();
    line.splitn(4, ' ').nth(3).unwrap()
}

/// The SRTP suites of it.
fn suites(invite: &str) -> Vec<&str> {
    let keys = invite.lines().filter(|line| line.starts_with("a=crypto:"));
    keys.filter_map(|line| line.split(' ').nth(1)).collect()
}

#[track_caller]
fn from_is(invite: &str, expected: &str) {
    let from = header(invite, HeaderName::From);
    assert!(from.contains(expected), "{from} has no {expected}");
}

#[test]
fn twilio_gets_its_trunks_name_e164_and_its_two_suites_without_mki() {
    let mut world = world(
        "profile = \"twilio\"\npeer = \"sip:summit.pstn.twilio.com;transport=tls\"",
        "",
    );
    let invite = world.carrier_gets("2125550123");
    assert!(invite.starts_with("INVITE sip:+12125550123@summit.pstn.twilio.com;transport=tls "));
    from_is(&invite, "<sip:+13305550107@");
    assert_eq!(
        suites(&invite),
        ["AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"]
    );
    assert!(
        !invite
            .lines()
            .any(|line| line.starts_with("a=crypto") && line.contains('|'))
    );
    assert_eq!(formats(&invite), "0 8 101");
    world.carrier_answers(&invite, Transport::Tls, &protected());
    // One new call a second: the next one at once is refused here and not by Twilio.
    let text = request("2125550124", OFFER)
        .replace("call1", "call2")
        .replace("bK1", "bK2");
    world.deliver(Flow::udp(INSIDE, PBX.parse().unwrap()), &text);
    world.take("192.0.2.10", "SIP/2.0 503");
}

#[test]
fn telnyx_gets_e164_with_plus_and_says_which_of_its_codecs() {
    let mut world = world("profile = \"telnyx\"\npeer = \"sip:sip.telnyx.com\"", "");
    let invite = world.carrier_gets("2125550123");
    assert!(invite.starts_with("INVITE sip:+12125550123@sip.telnyx.com "));
    from_is(&invite, "<sip:+13305550107@");
    assert_eq!(formats(&invite), "0 8 9 96 18 101", "its order, and no GSM");
    world.carrier_answers(&invite, Transport::Udp, PLAIN);
}

#[test]
fn bandwidth_gets_e164_with_plus() {
    let mut world = world("profile = \"bandwidth\"\npeer = \"sip:198.51.100.20\"", "");
    let invite = world.carrier_gets("2125550123");
    assert!(invite.starts_with("INVITE sip:+12125550123@198.51.100.20 "));
    from_is(&invite, "<sip:+13305550107@");
    world.carrier_answers(&invite, Transport::Udp, PLAIN);
}

#[test]
fn vonage_gets_from_in_e164_without_plus_and_its_codecs() {
    let mut world = world("profile = \"vonage\"\npeer = \"sip:sip.nexmo.com\"", "");
    let invite = world.carrier_gets("2125550123");
    from_is(&invite, "<sip:13305550107@");
    assert_eq!(formats(&invite), "0 8 9 18 101");
    world.carrier_answers(&invite, Transport::Udp, PLAIN);
}

const TEAMS: &str = "profile = \"teams\"\npeer = \"sip:sip.pstnhub.microsoft.com:5061;transport=tls\"\n\
    contact_host = \"sbc.summit.example\"\ncertificate = \"edge.pem\"\nkey = \"edge.key\"\n\
    tls_names = [\"sip.pstnhub.microsoft.com\"]";

#[test]
fn teams_gets_options_first_names_only_and_srtp() {
    let mut world = world(TEAMS, "");
    world.pass(Duration::from_secs(61));
    let options = world.take(CARRIER, "OPTIONS");
    for text in [&options, &world.carrier_gets("2125550123")] {
        let head = text.split_once("\r\n\r\n").unwrap().0;
        assert!(!head.contains("203.0.113.10"), "an address in {head}");
        assert!(
            !head.contains("sips:") && !head.contains("Replaces:"),
            "{head}"
        );
        assert!(header(text, HeaderName::Via).contains("/TLS sbc.summit.example:5061;"));
        let contact = header(text, HeaderName::Contact);
        assert_eq!(contact, "<sip:sbc.summit.example:5061;transport=tls>");
    }
}

#[test]
fn a_call_to_teams_is_set_up_with_sdes_and_a_name_in_from() {
    let mut world = world(TEAMS, "");
    let invite = world.carrier_gets("2125550123");
    from_is(&invite, "<sip:+13305550107@sbc.summit.example;user=phone>");
    assert_eq!(suites(&invite), ["AES_CM_128_HMAC_SHA1_80"]);
    world.carrier_answers(&invite, Transport::Tls, &protected());
}

#[test]
fn google_gets_one_suite_and_our_name() {
    let mut world = world(
        "profile = \"google\"\npeer = \"sip:siplink.telephony.goog:5672;transport=tls\"\n\
         contact_host = \"sbc.summit.example\"",
        "",
    );
    let invite = world.carrier_gets("2125550123");
    from_is(&invite, "<sip:+13305550107@sbc.summit.example>");
    assert_eq!(suites(&invite), ["AES_CM_128_HMAC_SHA1_80"]);
}

#[test]
fn sipconnect_gets_the_assertion_and_the_privacy_of_its_callers() {
    for profile in ["sipconnect", "sipconnect-registered"] {
        let register = match profile {
            "sipconnect-registered" => REGISTER,
            _ => "",
        };
        let keys = format!("profile = \"{profile}\"\npeer = \"sip:carrier.example\"\n{register}");
        let mut world = world(&keys, "");
        let text = request("2125550123", OFFER).replacen("Contact:", "Privacy: id\r\nContact:", 1);
        world.deliver(Flow::udp(INSIDE, PBX.parse().unwrap()), &text);
        let invite = world.take(CARRIER, "INVITE");
        assert!(invite.starts_with("INVITE sip:+12125550123@carrier.example;user=phone "));
        from_is(&invite, "<sip:anonymous@anonymous.invalid>");
        let asserted = header(&invite, HeaderName::PAssertedIdentity);
        assert!(asserted.starts_with("<sip:+13305550107@"), "{asserted}");
        assert_eq!(header(&invite, HeaderName::Privacy), "id");
        world.carrier_answers(&invite, Transport::Udp, PLAIN);
    }
}

const REGISTER: &str = "register = { username = \"summit\", password = { file = \"secret\" } }";

/// A carrier that has no wishes.
const CARRIER_KEYS: &str = "peer = \"sip:198.51.100.20\"";

#[test]
fn every_pbx_gets_its_options_answered_without_a_challenge() {
    for profile in ["freepbx", "3cx", "freeswitch", "maxcs", "cucm"] {
        let more = match profile {
            "3cx" => "contact_host = \"sbc.summit.example\"",
            _ => "",
        };
        let mut world = world(CARRIER_KEYS, &format!("profile = \"{profile}\"\n{more}"));
        // MaxCS asks five times, two seconds apart, and then shows "Not Ready".
        for number in 0..5 {
            let text = request("2125550123", "")
                .replace("INVITE", "OPTIONS")
                .replace("bK1", &format!("bK{number}"));
            world.deliver(Flow::udp(INSIDE, PBX.parse().unwrap()), &text);
            world.take("192.0.2.10", "SIP/2.0 200");
            world.pass(Duration::from_secs(2));
        }
    }
}

#[test]
fn maxcs_presents_its_number_in_p_preferred_identity() {
    let mut world = world(CARRIER_KEYS, "profile = \"maxcs\"");
    let invite = world.carrier_gets("2125550123");
    from_is(&invite, "<sip:+13305550107@");
}

#[test]
fn cucm_calls_without_an_offer_and_gets_the_carriers_in_the_200() {
    let mut world = world(CARRIER_KEYS, "profile = \"cucm\"");
    world.pbx_calls("2125550123", "");
    let invite = world.take(CARRIER, "INVITE");
    assert!(invite.ends_with("\r\n\r\n"), "{invite}");
    let mut answer = "SIP/2.0 200 OK\r\n".to_owned();
    for name in [
        HeaderName::Via,
        HeaderName::From,
        HeaderName::CallId,
        HeaderName::CSeq,
    ] {
        answer += &format!("{}: {}\r\n", name.as_str(), header(&invite, name));
    }
    answer += &format!("To: {};tag=carrier1\r\n", header(&invite, HeaderName::To));
    answer += &format!("Contact: <sip:carrier@{CARRIER}>\r\n{}", with_body(PLAIN));
    world.deliver(
        Flow::udp(OUTSIDE, format!("{CARRIER}:5060").parse().unwrap()),
        &answer,
    );
    let ok = world.take("192.0.2.10", "SIP/2.0 200");
    assert!(ok.contains("m=audio 30000 RTP/AVP 0"), "{ok}");
}

#[test]
fn three_cx_gets_our_name_in_contact() {
    let mut world = world(
        CARRIER_KEYS,
        "profile = \"3cx\"\ncontact_host = \"sbc.summit.example\"",
    );
    world.pass(Duration::from_secs(61));
    let options = world.take("192.0.2.10", "OPTIONS");
    assert_eq!(
        header(&options, HeaderName::Contact),
        "<sip:sbc.summit.example:5060>"
    );
}

#[test]
fn freeswitch_gets_no_more_calls_a_second_than_it_takes() {
    let mut world = world(CARRIER_KEYS, "profile = \"freeswitch\"");
    let flow = Flow::udp(OUTSIDE, format!("{CARRIER}:5060").parse().unwrap());
    for number in 0..40 {
        let text = request("+13305550100", OFFER)
            .replace(PBX, &format!("{CARRIER}:5060"))
            .replace("call1", &format!("in{number}"))
            .replace("bK1", &format!("bKin{number}"));
        world.deliver(flow, &text);
    }
    let sent = world
        .sent
        .iter()
        .filter(|(_, text)| text.starts_with("INVITE"))
        .count();
    assert_eq!(sent, 30);
}

#[test]
fn a_diversion_of_freepbx_reaches_telnyx() {
    let mut world = world(
        "profile = \"telnyx\"\npeer = \"sip:sip.telnyx.com\"",
        "profile = \"freepbx\"",
    );
    let diversion = "Diversion: <sip:3305550120@192.0.2.10>;reason=unconditional\r\nContact:";
    let text = request("2125550123", OFFER).replacen("Contact:", diversion, 1);
    world.deliver(Flow::udp(INSIDE, PBX.parse().unwrap()), &text);
    let invite = world.take(CARRIER, "INVITE");
    assert_eq!(
        header(&invite, HeaderName::Diversion),
        "<sip:+13305550120@203.0.113.10>;reason=unconditional;privacy=off"
    );
}

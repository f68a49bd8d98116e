//! Calls over TLS and SRTP with a TLS stack that the tests drive themselves, and certificates that
//! change while the edge runs.

mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use ringfence_base::entropy::SeededEntropy;
use ringfence_edge::{Edge, Options};
use ringfence_rtp::srtp::{Context, MAX_OVERHEAD, MasterKey, Suite};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ProtocolVersion, RootCertStore, ServerConfig, SupportedProtocolVersion,
};
use support::two_sides::{Far, FarTls, Side, all_ended_well, answered, config, hang_up, v4_sides};
use support::{CallFacts, Net, PATIENCE, Setup, media_address, rtp, write_config};

const NUMBER: &str = "+13305550100";
const ABROAD: &str = "+442079460000";
const EDGE: &str = "edge.example";
const CARRIER: &str = "carrier.example";

/// An authority and what it signs.
struct Authority {
    certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

struct Signed {
    pem: String,
    key_pem: String,
    der: CertificateDer<'static>,
    key_der: Vec<u8>,
}

impl Authority {
    fn new() -> Authority {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Authority {
            certificate,
            issuer: rcgen::Issuer::new(params, key),
        }
    }

    fn sign(&self, name: &str) -> Signed {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Signed {
            pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            der: certificate.der().clone(),
            key_der: key.serialize_der(),
        }
    }

    fn client(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        shows: Option<&Signed>,
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match shows {
            Some(signed) => builder
                .with_client_auth_cert(vec![signed.der.clone()], signed.key())
                .unwrap(),
            None => builder.with_no_client_auth(),
        })
    }
}

impl Signed {
    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key_der.clone()).unwrap()
    }

    fn server(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ServerConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap();
        let builder = builder.with_no_client_auth();
        Arc::new(
            builder
                .with_single_cert(vec![self.der.clone()], self.key())
                .unwrap(),
        )
    }

    fn write(&self, folder: &Path) {
        std::fs::write(folder.join("edge.pem"), &self.pem).unwrap();
        std::fs::write(folder.join("edge.key"), &self.key_pem).unwrap();
    }
}

/// An edge with TLS outside and plain UDP inside, and the authority of everybody's certificates.
struct Scene {
    setup: Setup,
    authority: Authority,
    outside: Side,
    inside: Side,
}

impl Scene {
    fn new(listen_more: &str, trunk_more: &str) -> Scene {
        let authority = Authority::new();
        let folder = tempfile::tempdir().unwrap();
        authority.sign(EDGE).write(folder.path());
        std::fs::write(folder.path().join("ca.pem"), authority.certificate.pem()).unwrap();
        let net = Net::new();
        let [outside, inside] = v4_sides(&net, "tls", "udp");
        let listen = format!("certificate = \"edge.pem\"\nkey = \"edge.key\"\n{listen_more}");
        let trunk = format!(
            "media = \"srtp\"\nca = \"ca.pem\"\ntls_server_name = \"{CARRIER}\"\n{trunk_more}"
        );
        let text = config(
            &outside.tables("outside", "trunk.carrier-a", &listen, &trunk),
            &inside.tables("inside", "pbx.main", "", ""),
        );
        let file = write_config(folder.path(), &text);
        let loaded = ringfence_control::load(&file).unwrap_or_else(|error| panic!("{error:#?}"));
        let edge = Edge::start(loaded.config, Options::default()).unwrap();
        Scene {
            setup: Setup { net, folder, edge },
            authority,
            outside,
            inside,
        }
    }

    fn far_tls(&self) -> FarTls {
        FarTls {
            client: self.authority.client(&[&TLS13], None),
            server: self.authority.sign(CARRIER).server(&[&TLS13]),
            edge_name: EDGE,
        }
    }

    fn carrier(&self, tls: FarTls) -> Far {
        Far::new(self.outside, Some(tls))
    }

    fn pbx(&self) -> Far {
        Far::new(self.inside, None)
    }
}

/// The keys of a carrier: its SDP, and both directions once the edge's SDP is known.
struct Keys {
    suite: Suite,
    ours: MasterKey,
}

impl Keys {
    fn new(suite: Suite) -> Keys {
        let ours = MasterKey::generate(suite, &mut SeededEntropy::new(7));
        Keys { suite, ours }
    }

    fn sdp(&self, far: &Far, tag: u32) -> String {
        let (suite, key) = (self.suite.name(), self.ours.to_inline());
        let plain = far.agent.sdp().replace("RTP/AVP", "RTP/SAVP");
        format!("{plain}a=crypto:{tag} {suite} {}\r\n", key.as_str())
    }

    /// How to send and how to receive, and the tag of the edge's key of our suite.
    fn contexts(&self, message: &str) -> (Context, Context, u32) {
        let marker = format!(" {} inline:", self.suite.name());
        let line = message.lines().find(|line| line.contains(&marker));
        let line = line.unwrap_or_else(|| panic!("no key of {marker} in {message}"));
        let tag = line.trim_start_matches("a=crypto:").split(' ').next();
        let inline = line.split_once("inline:").unwrap().1;
        let inline = format!("inline:{}", inline.split([' ', '\r']).next().unwrap());
        let theirs = MasterKey::from_inline(self.suite, inline.as_bytes()).unwrap();
        (
            Context::new(self.suite, &self.ours).unwrap(),
            Context::new(self.suite, &theirs).unwrap(),
            tag.unwrap().parse().unwrap(),
        )
    }
}

/// Audio each way: protected at the carrier, plain at the PBX.
fn exchange(
    (carrier, seen_outside): (&Far, &str),
    (pbx, seen_inside): (&Far, &str),
    (send, receive): (&mut Context, &mut Context),
) {
    for sequence in 0..20 {
        let plain = rtp(7, sequence);
        let mut packet = plain.clone();
        packet.resize(plain.len() + MAX_OVERHEAD, 0);
        let length = send.protect_rtp(&mut packet, plain.len()).unwrap();
        let towards = media_address(seen_outside);
        carrier
            .agent
            .rtp
            .send_to(&packet[..length], towards)
            .unwrap();
        let mut buffer = [0; 2048];
        let (length, _) = pbx.agent.rtp.recv_from(&mut buffer).expect("inside");
        assert_eq!(buffer[12..length], plain[12..], "the audio changed");

        let towards = media_address(seen_inside);
        pbx.agent.rtp.send_to(&plain, towards).unwrap();
        let (length, _) = carrier.agent.rtp.recv_from(&mut buffer).expect("outside");
        assert_ne!(
            buffer[12..plain.len()],
            plain[12..],
            "it went out in the clear"
        );
        let length = receive.unprotect_rtp(&mut buffer, length).unwrap();
        assert_eq!(buffer[12..length], plain[12..], "the audio changed");
    }
}

#[test]
fn calls_over_tls_with_each_sdes_suite_pass_both_ways_rfc4568_rfc7714() {
    let scene = Scene::new("", "");
    let mut carrier = scene.carrier(scene.far_tls());
    let mut pbx = scene.pbx();
    let plain = pbx.agent.sdp();
    for (number, suite) in Suite::ALL.into_iter().enumerate() {
        let keys = Keys::new(suite);
        // Towards the PBX: the carrier offers one suite.
        carrier.connect();
        let offer = keys.sdp(&carrier, 1);
        let id = format!("in-{number}");
        let (call, invite, ok) = answered((&mut carrier, &offer), (&mut pbx, &plain), NUMBER, &id);
        assert!(!invite.contains("crypto"), "{invite}");
        let (mut send, mut receive, _) = keys.contexts(&ok);
        let both = (&mut send, &mut receive);
        exchange((&carrier, &ok), (&pbx, &invite), both);
        hang_up(&mut carrier, &mut pbx, &call);
        carrier.hang_up_line();
        connections_gone(&scene);
        // Towards the carrier: the edge offers all, the carrier takes one.
        let mut call = CallFacts::new(&format!("out-{number}"), ABROAD, scene.inside.edge);
        let invite = pbx.agent.request(&call, "INVITE", 1, &plain);
        pbx.send(&invite.replace("+13125550001", "+13305550101"));
        let invite = carrier.expect("INVITE");
        let (mut send, mut receive, tag) = keys.contexts(&invite);
        let answer = keys.sdp(&carrier, tag);
        let answer = carrier.agent.answer(&invite, "200 OK", &answer);
        carrier.send(&answer);
        let ok = pbx.expect("SIP/2.0 200");
        assert!(!ok.contains("crypto"), "{ok}");
        call.answered(&ok);
        pbx.send(&pbx.agent.request(&call, "ACK", 1, ""));
        carrier.expect("ACK");
        let both = (&mut send, &mut receive);
        exchange((&carrier, &invite), (&pbx, &ok), both);
        hang_up(&mut pbx, &mut carrier, &call);
        // The next call of the edge must come by a new connection.
        carrier.hang_up_line();
        connections_gone(&scene);
    }
    all_ended_well(&scene.setup.edge, 8);
}

/// Whether a call of the carrier over a new connection reaches the PBX and ends well.
fn call_passes(scene: &Scene, client: Arc<ClientConfig>, id: &str) -> bool {
    let tls = FarTls {
        client,
        ..scene.far_tls()
    };
    let (mut carrier, mut pbx) = (scene.carrier(tls), scene.pbx());
    carrier.connect();
    let options = CallFacts::new(&format!("o-{id}"), NUMBER, scene.outside.edge);
    let options = carrier.agent.request(&options, "OPTIONS", 1, "");
    // A refusal of TLS 1.3's client certificate comes only after our first words.
    if carrier.line().try_send(&options).is_err() || carrier.line().failure().is_some() {
        return false;
    }
    carrier.expect("SIP/2.0 200");
    let (offer, answer) = (
        Keys::new(Suite::AesCm128HmacSha1_80).sdp(&carrier, 1),
        pbx.agent.sdp(),
    );
    let (call, _, _) = answered((&mut carrier, &offer), (&mut pbx, &answer), NUMBER, id);
    hang_up(&mut carrier, &mut pbx, &call);
    true
}

#[test]
fn tls_1_2_is_refused_unless_the_listener_allows_it() {
    for allowed in [false, true] {
        let scene = Scene::new(&format!("tls12 = {allowed}"), "");
        let old = scene.authority.client(&[&TLS12], None);
        assert_eq!(call_passes(&scene, old, "old"), allowed);
        let new = scene.authority.client(&[&TLS12, &TLS13], None);
        assert!(call_passes(&scene, new, "new"));
    }
}

#[test]
fn a_trunk_that_speaks_tls_1_2_alone_is_called_only_where_its_configuration_allows_it() {
    for allowed in [false, true] {
        let scene = Scene::new("", &format!("tls12 = {allowed}"));
        let tls = FarTls {
            server: scene.authority.sign(CARRIER).server(&[&TLS12]),
            ..scene.far_tls()
        };
        let (mut carrier, mut pbx) = (scene.carrier(tls), scene.pbx());
        assert_eq!(outbound_status(&mut pbx, &mut carrier, "old"), allowed);
    }
}

#[test]
fn mutual_tls_serves_a_client_with_the_right_certificate_and_no_other() {
    let scene = Scene::new(
        "client_ca = \"ca.pem\"",
        &format!("tls_names = [\"{CARRIER}\"]"),
    );
    let (right, stranger) = (
        scene.authority.sign(CARRIER),
        Authority::new().sign(CARRIER),
    );
    let shows = |signed: Option<&Signed>| scene.authority.client(&[&TLS13], signed);
    assert!(!call_passes(&scene, shows(None), "none"));
    assert!(!call_passes(&scene, shows(Some(&stranger)), "stranger"));
    assert!(call_passes(&scene, shows(Some(&right)), "right"));
}

#[test]
fn a_renewed_certificate_is_shown_to_new_connections_and_open_ones_go_on() {
    let scene = Scene::new("", "");
    let (mut carrier, mut pbx) = (scene.carrier(scene.far_tls()), scene.pbx());
    carrier.connect();
    let keys = Keys::new(Suite::AeadAes256Gcm);
    let (offer, answer) = (keys.sdp(&carrier, 1), pbx.agent.sdp());
    let (call, invite, ok) = answered(
        (&mut carrier, &offer),
        (&mut pbx, &answer),
        NUMBER,
        "before",
    );
    // The next certificate is another authority's, so that who sees it can tell.
    let next = Authority::new();
    next.sign(EDGE).write(scene.setup.folder.path());
    scene.setup.edge.reload().unwrap();
    let (mut send, mut receive, _) = keys.contexts(&ok);
    let both = (&mut send, &mut receive);
    exchange((&carrier, &ok), (&pbx, &invite), both);
    hang_up(&mut carrier, &mut pbx, &call);
    drop((carrier, pbx));
    // The workers have taken the reload: they answered a question that came after it.
    scene.setup.edge.status().unwrap();
    assert!(!call_passes(
        &scene,
        scene.authority.client(&[&TLS13], None),
        "old"
    ));
    assert!(call_passes(&scene, next.client(&[&TLS13], None), "new"));
}

/// Whether a call of the PBX reaches the carrier, which declines it: over a new connection.
fn outbound_status(pbx: &mut Far, carrier: &mut Far, id: &str) -> bool {
    let call = CallFacts::new(id, ABROAD, pbx.side.edge);
    let invite = pbx.agent.request(&call, "INVITE", 1, &pbx.agent.sdp());
    pbx.send(&invite.replace("+13125550001", "+13305550101"));
    carrier.accept();
    if carrier.line().failure().is_some() {
        pbx.expect("SIP/2.0 5");
        return false;
    }
    let invite = carrier.expect("INVITE");
    let answer = carrier.agent.answer(&invite, "486 Busy Here", "");
    carrier.send(&answer);
    pbx.expect("SIP/2.0 486");
    true
}

#[test]
fn a_trunk_recovers_when_its_peer_changes_its_certificate() {
    let scene = Scene::new("", "");
    let (mut carrier, mut pbx) = (scene.carrier(scene.far_tls()), scene.pbx());
    assert!(outbound_status(&mut pbx, &mut carrier, "first"));
    // Renewed by the same authority: nothing is to be done here.
    carrier.hang_up_line();
    connections_gone(&scene);
    carrier.tls = Some(scene.far_tls());
    assert!(outbound_status(&mut pbx, &mut carrier, "renewed"));
    // By another authority: refused until it is configured, and then at once.
    carrier.hang_up_line();
    connections_gone(&scene);
    let next = Authority::new();
    carrier.tls = Some(FarTls {
        server: next.sign(CARRIER).server(&[&TLS13]),
        ..scene.far_tls()
    });
    assert!(!outbound_status(&mut pbx, &mut carrier, "unknown"));
    let ca = scene.setup.folder.path().join("ca.pem");
    std::fs::write(ca, next.certificate.pem()).unwrap();
    scene.setup.edge.reload().unwrap();
    assert!(outbound_status(&mut pbx, &mut carrier, "known"));
}

/// Waits until the edge has seen the end of its connections.
fn connections_gone(scene: &Scene) {
    support::eventually("the connections gone", || {
        let snapshots = scene.setup.edge.snapshots().unwrap();
        snapshots
            .iter()
            .all(|worker| worker.streams.open == 0)
            .then_some(())
    });
}

#[test]
fn the_edge_speaks_tls_1_3_by_itself() {
    let scene = Scene::new("tls12 = true", "");
    let both = scene.authority.client(&[&TLS12, &TLS13], None);
    let mut tls = rustls::ClientConnection::new(both, EDGE.try_into().unwrap()).unwrap();
    let mut stream = std::net::TcpStream::connect(scene.outside.edge).unwrap();
    while tls.is_handshaking() {
        tls.complete_io(&mut stream).unwrap();
    }
    assert_eq!(tls.protocol_version(), Some(ProtocolVersion::TLSv1_3));
}

#[test]
fn the_doctor_asks_a_peer_over_tls_and_says_what_is_wrong_with_its_certificate() {
    let scene = Scene::new("", "");
    scene.setup.edge.stop();
    scene.setup.edge.join();
    let file = scene.setup.folder.path().join("ringfence.toml");
    let config = ringfence_control::load(&file).unwrap().config;
    let strangers = Authority::new();
    for (authority, well) in [(&scene.authority, true), (&strangers, false)] {
        let mut carrier = scene.carrier(FarTls {
            server: authority.sign(CARRIER).server(&[&TLS13]),
            ..scene.far_tls()
        });
        let answering = std::thread::spawn(move || {
            carrier.accept();
            if carrier.line().failure().is_none() {
                let options = carrier.expect("OPTIONS");
                let answer = carrier.agent.answer(&options, "200 OK", "");
                carrier.send(&answer);
            }
        });
        let report = ringfence_edge::doctor::check_stopped(&config);
        let mut checks = report.checks.into_iter();
        let check = checks.find(|check| check.name == "peer trunk.carrier-a");
        let message = check.unwrap().message;
        let expected = if well {
            "answers OPTIONS with 200"
        } else {
            "invalid peer certificate"
        };
        assert!(message.contains(expected), "{message}");
        answering.join().unwrap();
    }
}

#[test]
fn a_capture_holds_what_tls_carried_in_the_clear_and_without_keys() {
    let scene = Scene::new("", "");
    let (mut carrier, mut pbx) = (scene.carrier(scene.far_tls()), scene.pbx());
    let mut capture = UnixStream::connect(scene.setup.edge.control_path()).unwrap();
    capture.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = b"GET /v1/capture?trunk=carrier-a HTTP/1.0\r\nHost: edge\r\n\r\n";
    capture.write_all(request).unwrap();
    // The first bytes come once every worker offers what passes.
    let mut file = vec![0; 16];
    capture.read_exact(&mut file).unwrap();
    carrier.connect();
    let keys = Keys::new(Suite::AesCm128HmacSha1_80);
    let (offer, plain) = (keys.sdp(&carrier, 1), pbx.agent.sdp());
    let (call, _, _) = answered((&mut carrier, &offer), (&mut pbx, &plain), NUMBER, "shown");
    hang_up(&mut carrier, &mut pbx, &call);
    scene.setup.edge.drain();
    scene.setup.edge.join();
    capture.read_to_end(&mut file).unwrap();
    let holds = |text: &str| {
        file.windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    assert!(holds(&format!("INVITE sip:{NUMBER}@")) && holds("BYE sip:"));
    assert!(holds("SIP/2.0/TLS") && holds("TLS, decrypted by the edge"));
    assert!(!holds("SIP/2.0/UDP"), "the other side was not asked for");
    let key = keys.ours.to_inline();
    assert!(!holds(key.as_str().trim_start_matches("inline:")));
}

//! Connections over real loopback sockets, in virtual time.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use ringfence_base::entropy::SeededEntropy;
use ringfence_session::plan::{Listener, Network, Peer, PeerKind, Plan, Strangers};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::*;
use crate::tls::PeerContext;
use crate::tls::build::{Identity, TlsError, client_config, server_config};

const OPTIONS: &str = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP c;branch=z9hG4bK1\r\n\
    From: <sip:c@d>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n\
    Content-Length: 4\r\n\r\nbody";
const LISTENER: ListenerId = ListenerId::new(0);
const PATIENCE: Duration = Duration::from_secs(10);

/// What a sink was told.
#[derive(Default)]
struct Heard {
    messages: Vec<(Flow, Vec<u8>, Vec<String>)>,
    failed: Vec<Flow>,
    closed: Vec<ConnectionId>,
    registered: bool,
}

impl StreamSink for Heard {
    fn message(&mut self, flow: Flow, message: &Message<'_>, names: &Arc<[String]>) -> bool {
        self.messages
            .push((flow, message.bytes().to_vec(), names.to_vec()));
        false
    }

    fn failed(&mut self, flow: Flow) {
        self.failed.push(flow);
    }

    fn closed(&mut self, connection: ConnectionId, _shared: bool) {
        self.closed.push(connection);
    }

    fn is_registered(&self, _: ConnectionId) -> bool {
        self.registered
    }
}

/// A worker's streams with a listener on loopback, and the time.
struct Bench {
    poller: Poller,
    streams: Streams,
    heard: Heard,
    now: Instant,
    address: SocketAddr,
}

impl Bench {
    fn new(transport: Transport, tls: TlsContext, loopback_is_peer: bool) -> Bench {
        let poller = Poller::new().unwrap();
        let socket = listen("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let address = socket.local_addr().unwrap();
        let sources = Arc::new(Sources::new(&plan(address, loopback_is_peer)));
        let key = HashKey::generate(&mut SeededEntropy::new(1));
        let mut streams = Streams::new(WorkerIndex::new(0), key, sources, Arc::new(tls));
        streams
            .listen(&poller, LISTENER, transport, socket)
            .unwrap();
        let now = Instant::ZERO + Duration::from_secs(100);
        Bench {
            poller,
            streams,
            heard: Heard::default(),
            now,
            address,
        }
    }

    fn plain() -> Bench {
        Bench::new(Transport::Tcp, TlsContext::default(), false)
    }

    /// One turn of a worker.
    fn turn(&mut self) {
        let ready = self.poller.wait(Some(Duration::from_millis(1))).unwrap();
        for place in 0..ready {
            let ready = self.poller.ready(place);
            match Token::decode(ready.token) {
                Some(Token::Accept(index)) => {
                    self.streams.on_acceptable(self.now, &self.poller, index);
                }
                Some(Token::Connection { slot, generation }) => {
                    let id = (slot, generation);
                    let heard = &mut self.heard;
                    self.streams
                        .on_ready(self.now, &self.poller, id, ready, heard);
                }
                _ => {}
            }
        }
        self.streams
            .finish_turn(self.now, &self.poller, &mut self.heard);
    }

    #[track_caller]
    #[allow(clippy::disallowed_methods)] // a bound on real time
    fn turn_until(&mut self, condition: impl Fn(&Bench) -> bool) {
        let begun = std::time::Instant::now();
        while !condition(self) {
            assert!(begun.elapsed() < PATIENCE, "it did not come to pass");
            self.turn();
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.turn();
    }

    fn send(&mut self, flow: Flow, text: &[u8]) {
        self.streams
            .send(self.now, &self.poller, flow, text, &mut self.heard);
    }

    fn closed_for(&self, reason: CloseReason) -> u64 {
        self.streams.counters().closed[reason as usize]
    }

    fn open(&self) -> u64 {
        self.streams.counters().open
    }

    #[track_caller]
    fn client(&mut self) -> TcpStream {
        let before = self.open();
        let client = TcpStream::connect(self.address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        self.turn_until(|bench| bench.open() > before);
        client
    }
}

fn plan(address: SocketAddr, loopback_is_peer: bool) -> Plan {
    let peer = loopback_is_peer.then(|| Peer {
        key: "carrier".into(),
        kind: PeerKind::Trunk,
        site: ringfence_session::plan::SiteId::new(0),
        listener: LISTENER,
        transport: Transport::Tls,
        host: "127.0.0.1".into(),
        port: None,
        addresses: Vec::new(),
        accept: vec![Network::new("127.0.0.0".parse().unwrap(), 8).unwrap()],
        tls_names: Vec::new(),
        media: Default::default(),
        suites: Vec::new(),
        symmetric_media: false,
        pass_headers: Vec::new(),
        channels: 0,
        calls_per_second: 0,
        options_interval: Duration::ZERO,
        policy: Default::default(),
        methods: ringfence_session::methods::Methods::of_kind(PeerKind::Trunk),
        failover: Default::default(),
        ranks: Vec::new(),
        account: None,
        usage: Default::default(),
    });
    Plan {
        stir: None,
        listeners: vec![Listener {
            name: "outside".into(),
            udp: None,
            tcp: Some(address),
            tls: Some(address),
            ws: Some(address),
            wss: Some(address),
            ws_origins: Vec::new(),
            media: None,
            strangers: Strangers::Silence,
        }],
        peers: peer.into_iter().collect(),
        ..Plan::default()
    }
}

#[test]
fn a_message_in_pieces_is_one_message_and_its_answer_comes_back() {
    let mut bench = Bench::plain();
    let mut client = bench.client();
    let (first, second) = OPTIONS.as_bytes().split_at(40);
    client.write_all(first).unwrap();
    bench.turn();
    client.write_all(second).unwrap();
    client.write_all(OPTIONS.as_bytes()).unwrap();
    bench.turn_until(|bench| bench.heard.messages.len() == 2);
    let (flow, bytes, names) = bench.heard.messages[0].clone();
    assert_eq!((bytes.as_slice(), names.len()), (OPTIONS.as_bytes(), 0));
    assert_eq!(flow.remote, client.local_addr().unwrap());
    bench.send(flow, b"answer");
    // Also found by its address alone.
    bench.send(
        Flow {
            connection: None,
            ..flow
        },
        b" again",
    );
    bench.turn();
    let mut answer = [0; 12];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"answer again");
}

#[test]
fn a_keep_alive_is_answered_rfc5626_4_4_1() {
    let mut bench = Bench::plain();
    let mut client = bench.client();
    client.write_all(b"\r\n\r\n").unwrap();
    bench.turn_until(|bench| bench.streams.counters().pings == 1);
    let mut answer = [0; 2];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"\r\n");
}

#[test]
fn a_silent_stranger_is_closed_after_four_seconds() {
    let mut bench = Bench::plain();
    let mut client = bench.client();
    bench.pass(Duration::from_millis(3_900));
    assert_eq!(bench.open(), 1);
    bench.pass(Duration::from_millis(200));
    assert_eq!(
        (bench.open(), bench.closed_for(CloseReason::Silent)),
        (0, 1)
    );
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0, "the far side sees it");
    let told = bench.streams.poll_wordless().map(|flow| flow.remote);
    assert_eq!(told, Some(client.local_addr().unwrap()), "for the judge");
    assert_eq!(bench.streams.poll_wordless(), None);
}

#[test]
fn a_trickling_message_is_closed_four_seconds_after_its_first_byte() {
    let mut bench = Bench::plain();
    let mut client = bench.client();
    client.write_all(OPTIONS.as_bytes()).unwrap();
    bench.turn_until(|bench| bench.heard.messages.len() == 1);
    for byte in OPTIONS.as_bytes().iter().take(6) {
        client.write_all(&[*byte]).unwrap();
        bench.turn();
        bench.pass(Duration::from_millis(800));
    }
    assert_eq!(
        (bench.open(), bench.closed_for(CloseReason::Partial)),
        (0, 1)
    );
}

#[test]
fn an_idle_stranger_is_closed_and_an_idle_peer_is_not() {
    for (is_peer, open) in [(false, 0), (true, 1)] {
        let mut bench = Bench::new(Transport::Tcp, TlsContext::default(), is_peer);
        let mut client = bench.client();
        client.write_all(OPTIONS.as_bytes()).unwrap();
        bench.turn_until(|bench| bench.heard.messages.len() == 1);
        bench.pass(STRANGER_IDLE - Duration::from_secs(1));
        assert_eq!(bench.open(), 1);
        bench.pass(Duration::from_secs(2));
        assert_eq!(bench.open(), open);
        bench.pass(Duration::from_secs(7200));
        assert_eq!(bench.open(), open);
    }
}

#[test]
fn what_is_not_sip_is_closed() {
    let mut bench = Bench::plain();
    for garbage in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"OPTIONS sip:a SIP/2.0\r\nVia: x\r\n\r\n",
        b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        &[0; 70_000],
    ] {
        let mut client = bench.client();
        client.write_all(garbage).unwrap();
        bench.turn_until(|bench| bench.open() == 0);
    }
    assert_eq!(bench.closed_for(CloseReason::NotSip), 4);
    assert!(bench.heard.messages.is_empty());
}

#[test]
fn a_message_without_a_connection_opens_one_and_the_next_one_uses_it() {
    let mut bench = Bench::plain();
    let far = TcpListener::bind("127.0.0.1:0").unwrap();
    let remote = far.local_addr().unwrap();
    let flow = Flow {
        listener: LISTENER,
        transport: Transport::Tcp,
        remote,
        connection: None,
    };
    bench.send(flow, OPTIONS.as_bytes());
    bench.turn();
    bench.send(flow, OPTIONS.as_bytes());
    bench.turn();
    let (mut accepted, from) = far.accept().unwrap();
    assert_eq!(
        from.ip(),
        bench.address.ip(),
        "made from the listener's address"
    );
    accepted.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut both = vec![0; 2 * OPTIONS.len()];
    bench.turn();
    accepted.read_exact(&mut both).unwrap();
    assert_eq!(bench.streams.counters().connected, 1);
    // A request of the far side comes in on it, and its end is told.
    accepted.write_all(OPTIONS.as_bytes()).unwrap();
    bench.turn_until(|bench| bench.heard.messages.len() == 1);
    accepted.shutdown(Shutdown::Both).unwrap();
    bench.turn_until(|bench| bench.open() == 0);
    assert_eq!(
        (bench.heard.closed.len(), bench.heard.failed.as_slice()),
        (1, &[flow][..])
    );
}

#[test]
fn a_refused_connection_and_a_connection_that_is_gone_are_told() {
    let mut bench = Bench::plain();
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let flow = Flow {
        listener: LISTENER,
        transport: Transport::Tcp,
        remote: nobody,
        connection: None,
    };
    bench.send(flow, OPTIONS.as_bytes());
    bench.turn_until(|bench| bench.open() == 0);
    assert_eq!(bench.heard.failed, [flow]);
    let gone = ConnectionId {
        worker: WorkerIndex::new(0),
        slot: 0,
        generation: 0,
    };
    let flow = Flow {
        connection: Some(gone),
        ..flow
    };
    bench.send(flow, OPTIONS.as_bytes());
    assert_eq!(bench.heard.failed.last(), Some(&flow));
    let udp = Flow {
        transport: Transport::Tls,
        connection: None,
        ..flow
    };
    bench.send(udp, OPTIONS.as_bytes());
    assert_eq!(
        bench.heard.failed.last(),
        Some(&udp),
        "no peer, so no name to check"
    );
}

#[test]
fn a_far_side_that_does_not_read_is_closed_and_memory_stays_bounded() {
    let mut bench = Bench::plain();
    let mut client = bench.client();
    client.write_all(OPTIONS.as_bytes()).unwrap();
    bench.turn_until(|bench| bench.heard.messages.len() == 1);
    let flow = bench.heard.messages[0].0;
    let large = vec![b'x'; 60_000];
    // The kernel holds some megabytes before we have to.
    for _ in 0..1_000 {
        bench.send(flow, &large);
        bench.turn();
        if bench.open() == 0 {
            break;
        }
    }
    assert_eq!((bench.open(), bench.closed_for(CloseReason::Stuck)), (0, 1));
    assert!(bench.heard.failed.contains(&flow));
}

#[test]
fn one_stranger_cannot_hold_more_connections_than_its_share() {
    let mut bench = Bench::plain();
    let clients: Vec<TcpStream> = (0..STRANGER_ADDRESS_MAX + 8)
        .map(|_| TcpStream::connect(bench.address).unwrap())
        .collect();
    bench.turn_until(|bench| bench.streams.counters().refused == 8);
    assert_eq!(bench.open(), u64::from(STRANGER_ADDRESS_MAX));
    drop(clients);
    bench.turn_until(|bench| bench.open() == 0);
}

/// An authority and what it signs.
struct Authority {
    certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
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

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        roots
    }

    fn identity(&self, name: &str) -> Identity {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            chain: vec![certificate.der().clone()],
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        }
    }
}

/// A server and a client edge; the client checks that the server is `name`.
fn tls_pair(server: Arc<ServerConfig>, client: Arc<ClientConfig>, name: &str) -> (Bench, Bench) {
    let context = TlsContext {
        listeners: vec![Some(server)],
        peers: Vec::new(),
    };
    let server = Bench::new(Transport::Tls, context, false);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let addresses = vec![server.address];
    let peer = PeerContext {
        listener: LISTENER,
        addresses,
        name,
        config: client,
    };
    let context = TlsContext {
        listeners: vec![None],
        peers: vec![peer],
    };
    (server, Bench::new(Transport::Tcp, context, true))
}

/// Sends an OPTIONS from `client` to `server` and its answer back; what the server heard.
#[track_caller]
fn round_trip(server: &mut Bench, client: &mut Bench) -> Option<(Flow, Vec<String>)> {
    let flow = Flow {
        listener: LISTENER,
        transport: Transport::Tls,
        remote: server.address,
        connection: None,
    };
    client.send(flow, OPTIONS.as_bytes());
    let (heard, failed) = (server.heard.messages.len(), client.heard.failed.len());
    #[allow(clippy::disallowed_methods)] // a bound on real time
    let begun = std::time::Instant::now();
    while server.heard.messages.len() == heard {
        if client.heard.failed.len() > failed {
            server.turn();
            return None;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "neither a message nor a failure"
        );
        client.turn();
        server.turn();
    }
    let (flow, bytes, names) = server.heard.messages.last().cloned().unwrap();
    assert_eq!(bytes, OPTIONS.as_bytes());
    server.send(flow, OPTIONS.as_bytes());
    let heard = client.heard.messages.len();
    while client.heard.messages.len() == heard {
        assert!(begun.elapsed() < PATIENCE, "no answer");
        server.turn();
        client.turn();
    }
    Some((flow, names))
}

#[track_caller]
fn check_tls(
    server: Result<Arc<ServerConfig>, TlsError>,
    client: Result<Arc<ClientConfig>, TlsError>,
    name: &str,
    expected: Option<&[&str]>,
) {
    let (mut server, mut client) = tls_pair(server.unwrap(), client.unwrap(), name);
    let names = round_trip(&mut server, &mut client).map(|(_, names)| names);
    let expected = expected.map(|names| names.iter().map(ToString::to_string).collect());
    assert_eq!(names, expected);
    if expected.is_none() {
        server.turn_until(|server| server.open() == 0);
        assert_eq!(
            server.closed_for(CloseReason::Tls) + server.closed_for(CloseReason::ByPeer),
            1
        );
    }
}

#[test]
fn tls_is_spoken_where_the_name_and_the_authority_fit() {
    let authority = Authority::new();
    let server = || server_config("s", authority.identity("edge.example"), None, false);
    let client = || client_config("c", authority.roots(), None, false);
    check_tls(server(), client(), "edge.example", Some(&[]));
    check_tls(server(), client(), "other.example", None);
    let foreign = Authority::new();
    check_tls(
        server(),
        client_config("c", foreign.roots(), None, false),
        "edge.example",
        None,
    );
}

#[test]
fn a_certificate_may_be_for_an_address() {
    let authority = Authority::new();
    let server = server_config("s", authority.identity("127.0.0.1"), None, false);
    let client = client_config("c", authority.roots(), None, false);
    check_tls(server, client, "127.0.0.1", Some(&[]));
}

#[test]
fn a_client_certificate_is_demanded_and_its_names_are_told() {
    let authority = Authority::new();
    let server = || {
        server_config(
            "s",
            authority.identity("edge.example"),
            Some(authority.roots()),
            false,
        )
    };
    let client = |identity| client_config("c", authority.roots(), identity, false);
    let known = Some(authority.identity("SIP.carrier.example"));
    check_tls(
        server(),
        client(known),
        "edge.example",
        Some(&["sip.carrier.example"]),
    );
    check_tls(server(), client(None), "edge.example", None);
    let forged = Some(Authority::new().identity("sip.carrier.example"));
    check_tls(server(), client(forged), "edge.example", None);
}

#[test]
fn tls_1_2_is_spoken_only_where_both_ask_for_it() {
    let authority = Authority::new();
    let client = client_config("c", authority.roots(), None, true).unwrap();
    let old = {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap();
        Arc::new(
            builder
                .with_root_certificates(authority.roots())
                .with_no_client_auth(),
        )
    };
    let server = |tls12| server_config("s", authority.identity("edge.example"), None, tls12);
    check_tls(server(false), Ok(Arc::clone(&old)), "edge.example", None);
    check_tls(server(true), Ok(old), "edge.example", Some(&[]));
    check_tls(server(false), Ok(client), "edge.example", Some(&[]));
}

#[test]
fn a_request_never_goes_over_a_tls_connection_that_somebody_else_opened() {
    let authority = Authority::new();
    let server = server_config("s", authority.identity("edge.example"), None, false).unwrap();
    let client = client_config("c", authority.roots(), None, false).unwrap();
    let (mut server, mut client) = tls_pair(server, client, "edge.example");
    let (flow, _) = round_trip(&mut server, &mut client).unwrap();
    let unnamed = Flow {
        connection: None,
        ..flow
    };
    server.send(unnamed, OPTIONS.as_bytes());
    assert_eq!(
        server.heard.failed,
        [unnamed],
        "its certificate was never checked"
    );
}

#[test]
fn new_certificates_leave_open_connections_alone() {
    let (old, new) = (Authority::new(), Authority::new());
    let server = server_config("s", old.identity("edge.example"), None, false).unwrap();
    let client = client_config("c", old.roots(), None, false).unwrap();
    let (mut server, mut client) = tls_pair(server, client, "edge.example");
    let (first, _) = round_trip(&mut server, &mut client).unwrap();
    let config = server_config("s", new.identity("edge.example"), None, false).unwrap();
    let sources = Arc::clone(&server.streams.sources);
    let context = TlsContext {
        listeners: vec![Some(config)],
        peers: Vec::new(),
    };
    server.streams.reload(sources, Arc::new(context));
    let (second, _) = round_trip(&mut server, &mut client).unwrap();
    assert_eq!(first, second, "the same connection");
    // A new connection meets the new certificate, which this client does not trust.
    server.streams.close_all(&mut server.heard);
    client.turn_until(|client| client.open() == 0);
    assert_eq!(round_trip(&mut server, &mut client), None);
}

#[test]
fn a_stalled_handshake_is_closed_after_four_seconds() {
    let authority = Authority::new();
    let config = server_config("s", authority.identity("edge.example"), None, false).unwrap();
    let context = TlsContext {
        listeners: vec![Some(config)],
        peers: Vec::new(),
    };
    let mut bench = Bench::new(Transport::Tls, context, true);
    let mut client = bench.client();
    client.write_all(&[0x16, 3, 1, 0, 200, 1]).unwrap();
    bench.turn();
    bench.pass(Duration::from_millis(4_100));
    assert_eq!(
        (bench.open(), bench.closed_for(CloseReason::Silent)),
        (0, 1)
    );
}

/// How many of `count` connections to a TLS listener the edge began to shake hands with.
fn handshakes_begun(count: usize, loopback_is_peer: bool) -> (u64, u64) {
    let authority = Authority::new();
    let identity = authority.identity("edge.example");
    let context = TlsContext {
        listeners: vec![Some(server_config("test", identity, None, false).unwrap())],
        peers: Vec::new(),
    };
    let mut bench = Bench::new(Transport::Tls, context, loopback_is_peer);
    for number in 1..=count as u64 {
        let client = TcpStream::connect(bench.address).unwrap();
        let seen = |bench: &Bench| {
            let counters = bench.streams.counters();
            counters.accepted + counters.handshakes_refused
        };
        bench.turn_until(|bench| seen(bench) == number);
        drop(client);
        bench.turn_until(|bench| bench.open() == 0);
    }
    let counters = bench.streams.counters();
    (counters.accepted, counters.handshakes_refused)
}

#[test]
fn a_stranger_begins_no_more_tls_handshakes_than_its_allowance_and_a_peer_any_number() {
    let burst = u64::from(handshakes::HANDSHAKES_BURST);
    assert_eq!(handshakes_begun(burst as usize + 8, false), (burst, 8));
    assert_eq!(handshakes_begun(burst as usize + 8, true), (burst + 8, 0));
}

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: edge\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sip\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

/// A text frame of a client.
fn web_frame(payload: &str) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload.as_bytes());
    frame
}

/// Reads until what was read ends so.
fn read_until(client: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(end) {
        client.read_exact(&mut byte).unwrap();
        read.push(byte[0]);
    }
    read
}

#[test]
fn a_web_socket_carries_messages_both_ways_rfc7118_5() {
    let mut bench = Bench::new(Transport::Ws, TlsContext::default(), false);
    let mut client = bench.client();
    client.write_all(UPGRADE.as_bytes()).unwrap();
    client.write_all(&web_frame(OPTIONS)).unwrap();
    bench.turn_until(|bench| bench.heard.messages.len() == 1);
    read_until(&mut client, b"\r\n\r\n");
    let (flow, bytes, _) = bench.heard.messages[0].clone();
    assert_eq!(
        (flow.transport, bytes.as_slice()),
        (Transport::Ws, OPTIONS.as_bytes())
    );
    bench.send(flow, b"SIP/2.0 200 OK\r\n\r\n");
    bench.turn();
    let answer = read_until(&mut client, b"\r\n\r\n");
    assert_eq!(answer, b"\x81\x12SIP/2.0 200 OK\r\n\r\n");
    // RFC 5626 §4.4.1 within it.
    client.write_all(&web_frame("\r\n\r\n")).unwrap();
    bench.turn_until(|bench| bench.streams.counters().pings == 1);
    assert_eq!(read_until(&mut client, b"\r\n"), b"\x81\x02\r\n");
    client.write_all(&[0x88, 0x80, 0, 0, 0, 0]).unwrap();
    bench.turn_until(|bench| bench.open() == 0);
    assert_eq!(bench.closed_for(CloseReason::ByPeer), 1);
}

#[test]
fn a_web_socket_that_is_silent_or_trickles_is_closed_after_four_seconds() {
    for sent in [&b""[..], UPGRADE.as_bytes(), b"GET / HTTP/1.1\r\n"] {
        let mut bench = Bench::new(Transport::Ws, TlsContext::default(), false);
        let mut client = bench.client();
        client.write_all(sent).unwrap();
        bench.turn_until(|bench| bench.open() == 1);
        for _ in 0..3 {
            bench.turn();
        }
        bench.pass(MESSAGE_TIMEOUT);
        assert_eq!(bench.open(), 0, "{sent:?}");
    }
}

#[test]
fn what_is_no_web_socket_is_closed_without_an_answer() {
    let mut bench = Bench::new(Transport::Ws, TlsContext::default(), false);
    for garbage in ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", OPTIONS, "\r\n\r\n"] {
        let mut client = bench.client();
        client.write_all(garbage.as_bytes()).unwrap();
        bench.turn_until(|bench| bench.streams.counters().accepted > 0 && bench.open() == 0);
        let mut answer = Vec::new();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = client.read_to_end(&mut answer);
        assert_eq!(answer, b"");
    }
    assert!(bench.closed_for(CloseReason::WebSocket) >= 2);
}

#[test]
fn a_phone_that_registered_over_a_connection_may_be_idle_on_it_rfc5626_3_4() {
    let mut bench = Bench::plain();
    bench.heard.registered = true;
    let mut client = bench.client();
    client.write_all(OPTIONS.as_bytes()).unwrap();
    bench.turn_until(|bench| bench.heard.messages.len() == 1);
    bench.pass(Duration::from_secs(7200));
    assert_eq!(bench.open(), 1);
}

#[test]
fn a_response_of_100_mb_closes_its_connection_and_no_other() {
    let mut bench = Bench::plain();
    let mut good = bench.client();
    let mut huge = bench.client();
    let head =
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP c;branch=z9hG4bK1\r\nContent-Length: 104857600\r\n\r\n";
    huge.write_all(head.as_bytes()).unwrap();
    bench.turn_until(|bench| bench.closed_for(CloseReason::NotSip) == 1);
    good.write_all(OPTIONS.as_bytes()).unwrap();
    bench.turn_until(|bench| bench.heard.messages.len() == 1);
    assert_eq!(bench.open(), 1);
}

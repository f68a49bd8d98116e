//! Two scripted peers around one core, in virtual time: what is sent is text, what comes back is
//! parsed, and nothing is assumed that a peer could not see.
#![allow(dead_code, unreachable_pub, missing_docs)] // each test file uses its part

pub mod phone;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ringfence_base::entropy::SeededEntropy;
use ringfence_base::net::{ListenerId, Transport, WorkerIndex};
use ringfence_base::time::WallAnchor;
use ringfence_base::{Flow, Instant, UnixTime};
use ringfence_media::{PortPair, SocketIndex};
use ringfence_rtp::srtp::Suite;
use ringfence_session::cdr::Cdr;
use ringfence_session::core::{Core, CoreConfig, Input};
use ringfence_session::event::Event;
use ringfence_session::methods::Methods;
use ringfence_session::plan::*;
use ringfence_session::{numbering, policy};
use ringfence_sip::{HeaderName, Index};

pub const CARRIER: &str = "198.51.100.20:5060";
pub const PBX: &str = "192.0.2.10:5060";
pub const STRANGER: &str = "203.0.113.66:5060";
pub const OUTSIDE: ListenerId = ListenerId::new(0);
pub const INSIDE: ListenerId = ListenerId::new(1);

pub struct World {
    pub core: Core,
    pub plan: Arc<Plan>,
    pub now: Instant,
    pub sent: Vec<Sent>,
    pub cdrs: Vec<Cdr>,
    pub events: Vec<Event>,
}

/// A message of the edge.
#[derive(Clone, Debug)]
pub struct Sent {
    pub to: SocketAddr,
    pub text: String,
}

impl Sent {
    pub fn header(&self, name: HeaderName) -> String {
        let mut index = Index::default();
        let message = index.parse(self.text.as_bytes()).unwrap();
        String::from_utf8_lossy(message.header(name).unwrap_or_default()).into_owned()
    }

    pub fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").unwrap().1
    }

    pub fn start(&self) -> &str {
        self.text.lines().next().unwrap()
    }

    pub fn request_uri(&self) -> &str {
        self.start().split(' ').nth(1).unwrap()
    }

    pub fn is(&self, start: &str) -> bool {
        self.start().starts_with(start) || self.start().starts_with(&format!("SIP/2.0 {start}"))
    }

    /// A response to this request, as a peer would make it.
    pub fn answer(&self, status: &str, contact: &str, body: Option<&str>) -> String {
        let tag = if self.header(HeaderName::To).contains("tag=") || status.starts_with("100") {
            ""
        } else {
            ";tag=callee1"
        };
        let mut text = format!("SIP/2.0 {status}\r\n");
        for name in [
            HeaderName::Via,
            HeaderName::From,
            HeaderName::CallId,
            HeaderName::CSeq,
        ] {
            text += &format!("{}: {}\r\n", name.as_str(), self.header(name));
        }
        text += &format!("To: {}{tag}\r\n", self.header(HeaderName::To));
        text += &format!("Contact: <sip:callee@{contact}>\r\nServer: SecretPBX 9.9\r\n");
        text + &body_of(body)
    }
}

pub fn body_of(body: Option<&str>) -> String {
    match body {
        Some(body) => format!(
            "Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
        None => "Content-Length: 0\r\n\r\n".to_owned(),
    }
}

pub fn sdp(address: &str, port: u16, more: &str) -> String {
    format!(
        "v=0\r\no=secretuser 77 78 IN IP4 {address}\r\ns=secret name\r\nc=IN IP4 {address}\r\n\
         t=0 0\r\nm=audio {port} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\n{more}"
    )
}

/// A caller at the carrier.
pub struct Caller {
    pub from: &'static str,
    pub to: String,
    pub call_id: String,
    pub branch: u32,
    pub cseq: u32,
    pub to_header: String,
    pub target: String,
}

impl Caller {
    pub fn new(from: &'static str, to: &str) -> Caller {
        let host = if from == CARRIER {
            "203.0.113.10"
        } else {
            "192.0.2.2"
        };
        Caller {
            from,
            to: to.to_owned(),
            call_id: format!("secret-call-id-{to}@{from}"),
            branch: 0,
            cseq: 0,
            to_header: format!("<sip:{to}@{host}>"),
            target: format!("sip:{to}@{host}"),
        }
    }

    pub fn request(&mut self, method: &str, body: Option<&str>) -> String {
        if method != "ACK" && method != "CANCEL" {
            self.cseq += 1;
        }
        if method != "CANCEL" {
            self.branch += 1;
        }
        format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKsecretbranch{}x{}\r\n\
             Max-Forwards: 70\r\nFrom: \"Alice\" <sip:+15551234567@{from}>;tag=secrettag1\r\n\
             To: {}\r\nCall-ID: {}\r\nCSeq: {} {method}\r\nContact: <sip:alice@{from}>\r\n\
             User-Agent: SecretPhone 1.0\r\nX-Secret: {from}\r\n{}",
            self.target,
            self.to.trim_start_matches('+'),
            self.branch,
            self.to_header,
            self.call_id,
            self.cseq,
            body_of(body),
            from = self.from,
        )
    }

    /// Takes the dialog from a 2xx.
    pub fn learn(&mut self, response: &Sent) {
        self.to_header = response.header(HeaderName::To);
        let contact = response.header(HeaderName::Contact);
        self.target = contact.trim_matches(['<', '>']).to_owned();
    }
}

impl World {
    pub fn new() -> World {
        World::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Plan)) -> World {
        let mut plan = plan();
        change(&mut plan);
        World::worker(Arc::new(plan), 0, 1)
    }

    /// One worker of several that share a plan, with chance of its own.
    pub fn worker(plan: Arc<Plan>, number: u8, workers: u8) -> World {
        let now = Instant::ZERO + Duration::from_secs(1);
        let config = CoreConfig {
            worker: WorkerIndex::new(number),
            workers,
            secret: [7; 16],
            anchor: WallAnchor {
                instant: now,
                unix: UnixTime::from_micros(1_795_000_000_000_000),
            },
            timers: Default::default(),
        };
        let entropy = Box::new(SeededEntropy::new(1 + u64::from(number)));
        let mut core = Core::new(config, Arc::clone(&plan), entropy);
        for (listener, host, base) in [(OUTSIDE, "203.0.113.10", 0), (INSIDE, "192.0.2.2", 1000)] {
            let pairs = (0..20u32).map(|n| PortPair {
                rtp: SocketIndex::new(base + 2 * n),
                rtcp: SocketIndex::new(base + 2 * n + 1),
                addr: format!("{host}:{}", 30_000 + 2 * n).parse().unwrap(),
            });
            core.media_mut().add_ports(listener, pairs);
        }
        World {
            core,
            plan,
            now,
            sent: Vec::new(),
            cdrs: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Delivers a datagram.
    pub fn deliver(&mut self, from: &str, text: &str) {
        let remote: SocketAddr = from.parse().unwrap();
        let listener = if from == PBX { INSIDE } else { OUTSIDE };
        let mut index = Index::default();
        let message = index.parse(text.as_bytes()).unwrap();
        let input = Input::Message {
            flow: Flow::udp(listener, remote),
            message: &message,
            tls_names: &[],
        };
        self.core.handle_input(self.now, input);
        self.drain();
    }

    /// Delivers a message of the carrier over TLS, with the names of its certificate.
    pub fn deliver_tls(&mut self, text: &str, tls_names: &[String]) {
        let flow = Flow {
            transport: Transport::Tls,
            ..Flow::udp(OUTSIDE, CARRIER.parse().unwrap())
        };
        let mut index = Index::default();
        let message = index.parse(text.as_bytes()).unwrap();
        let input = Input::Message {
            flow,
            message: &message,
            tls_names,
        };
        self.core.handle_input(self.now, input);
        self.drain();
    }

    /// Delivers what another worker of the process sent.
    pub fn deliver_within(&mut self, text: &str) {
        let mut index = Index::default();
        let message = index.parse(text.as_bytes()).unwrap();
        let input = Input::Message {
            flow: Flow::within(INSIDE, Transport::Udp),
            message: &message,
            tls_names: &[],
        };
        self.core.handle_input(self.now, input);
        self.drain();
    }

    pub fn input(&mut self, input: Input<'_>) {
        self.core.handle_input(self.now, input);
        self.drain();
    }

    /// Takes what the core has to say after something else than an input.
    pub fn flush(&mut self) {
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(transmit) = self.core.poll_transmit() {
            self.sent.push(Sent {
                to: transmit.flow.remote,
                text: String::from_utf8(transmit.bytes.to_vec()).unwrap(),
            });
        }
        while let Some(event) = self.core.poll_event() {
            if let Event::CallEnded(cdr) = &event {
                self.cdrs.push((**cdr).clone());
            }
            self.events.push(event);
        }
    }

    /// The wall clock of the core.
    pub fn core_time(&self) -> UnixTime {
        let micros = (self.now.as_nanos() / 1_000) as i64;
        UnixTime::from_micros(1_795_000_000_000_000 - 1_000_000 + micros)
    }

    /// Lets time pass, timer by timer.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.core.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.core.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    /// Takes the only message that was sent to `to` and starts so.
    #[track_caller]
    pub fn take(&mut self, to: &str, start: &str) -> Sent {
        let to: SocketAddr = to.parse().unwrap();
        let at = self
            .sent
            .iter()
            .position(|sent| sent.to == to && sent.is(start));
        let Some(at) = at else {
            panic!(
                "nothing to {to} starts with {start}; there is {:#?}",
                self.sent
            )
        };
        self.sent.remove(at)
    }

    #[track_caller]
    pub fn nothing_sent(&self) {
        assert!(self.sent.is_empty(), "{:#?}", self.sent);
    }

    /// Everything is over: no call, no channel, no stream, and in time no transaction.
    #[track_caller]
    pub fn all_over(&mut self) {
        self.pass(Duration::from_secs(200));
        assert!(self.core.is_idle());
        assert_eq!(self.core.media().streams_open(), 0);
        assert_eq!(self.core.transactions().client_count(), 0);
        assert_eq!(self.core.transactions().server_count(), 0);
    }

    /// A call from the carrier to the PBX, answered: the caller and the PBX's INVITE.
    #[track_caller]
    pub fn answered_call(&mut self) -> (Caller, Sent) {
        let mut caller = Caller::new(CARRIER, "+13305550100");
        let invite = caller.request("INVITE", Some(&sdp("198.51.100.21", 7000, "")));
        self.deliver(CARRIER, &invite);
        self.take(CARRIER, "100");
        let invite = self.take(PBX, "INVITE");
        self.deliver(PBX, &invite.answer("180 Ringing", PBX, None));
        self.take(CARRIER, "180");
        self.deliver(
            PBX,
            &invite.answer("200 OK", PBX, Some(&sdp("192.0.2.11", 9000, ""))),
        );
        self.take(PBX, "ACK");
        let ok = self.take(CARRIER, "200");
        caller.learn(&ok);
        let ack = caller.request("ACK", None);
        self.deliver(CARRIER, &ack);
        self.nothing_sent();
        (caller, invite)
    }
}

pub fn plan() -> Plan {
    let listener = |name: &str, address: &str| Listener {
        name: name.into(),
        udp: Some(format!("{address}:5060").parse().unwrap()),
        tcp: Some(format!("{address}:5060").parse().unwrap()),
        tls: Some(format!("{address}:5061").parse().unwrap()),
        ws: None,
        wss: None,
        ws_origins: Vec::new(),
        media: Some(address.parse().unwrap()),
        strangers: Strangers::Silence,
    };
    let peer = |key: &str, kind, listener, address: &str| Peer {
        key: key.into(),
        kind,
        site: SiteId::new(0),
        listener,
        transport: Transport::Udp,
        host: address.split(':').next().unwrap().into(),
        port: None,
        addresses: vec![address.parse().unwrap()],
        accept: Vec::new(),
        tls_names: Vec::new(),
        media: MediaPolicy::Rtp,
        suites: vec![Suite::AesCm128HmacSha1_80, Suite::AeadAes256Gcm],
        symmetric_media: false,
        pass_headers: Vec::new(),
        channels: 0,
        calls_per_second: 0,
        policy: policy::PeerPolicy::default(),
        options_interval: Duration::ZERO,
        methods: Methods::of_kind(kind),
        failover: Default::default(),
        ranks: Vec::new(),
        account: None,
        usage: Arc::default(),
    };
    Plan {
        stir: None,
        edge_name: "summit-edge".into(),
        listeners: vec![
            listener("outside", "203.0.113.10"),
            listener("inside", "192.0.2.2"),
        ],
        tenants: vec![Tenant {
            key: "summit".into(),
            name: "Summit Motors".into(),
            country: "US".into(),
            spend: Arc::default(),
        }],
        sites: vec![Site {
            key: "summit".into(),
            tenant: TenantId::new(0),
            numbers: vec![NumberRange::new("+13305550100", "+13305550149").unwrap()],
            any_number: false,
            channels: 8,
            emergency: vec!["911".into()],
            policy: policy::SitePolicy {
                numbering: numbering::numbering_plan("US"),
                main_number: numbering::E164::new("13305550100"),
                dial: Vec::new(),
                lines: Default::default(),
                pin_voice: None,
            },
            usage: Arc::default(),
        }],
        peers: vec![
            peer("carrier-a", PeerKind::Trunk, OUTSIDE, CARRIER),
            peer("main", PeerKind::Pbx, INSIDE, PBX),
        ],
        phones: Vec::new(),
        limits: Limits {
            trace_bytes: 1 << 18,
            ..Limits::default()
        },
    }
}

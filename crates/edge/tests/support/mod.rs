//! An edge on loopback between a carrier and a PBX that the test plays itself.
//!
//! Each test has loopback addresses of its own, so that ports never collide.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::disallowed_methods)] // each test file uses its part; tests own a clock

pub mod line;
pub mod two_sides;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ringfence_edge::{Edge, Options};

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Time between two looks at what is waited for: looking without a pause takes the processor from
/// the very threads that are waited for.
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

/// Where agents have their sound: below the ports that a host gives to whoever asks for any, which some
/// take on all addresses.
pub const AGENT_MEDIA: u16 = 20_000;

static NETWORKS: AtomicU32 = AtomicU32::new(0);

/// Three addresses: the edge's, the carrier's, the PBX's.
#[derive(Clone, Copy, Debug)]
pub struct Net {
    pub edge: IpAddr,
    pub carrier: IpAddr,
    pub pbx: IpAddr,
}

impl Net {
    pub fn new() -> Net {
        let process = std::process::id() % 64_000 + 256;
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed) % 60;
        let [_, _, high, low] = process.to_be_bytes();
        let host = |n: u32| IpAddr::V4(Ipv4Addr::new(127, high, low, (number * 4 + n) as u8));
        Net {
            edge: host(1),
            carrier: host(2),
            pbx: host(3),
        }
    }

    /// The usual configuration; `edge` is added under `[edge]`, `rest` at the end.
    pub fn config(&self, edge: &str, rest: &str) -> String {
        let Net {
            edge: ip,
            carrier,
            pbx,
        } = self;
        format!(
            r#"
[edge]
name = "test-edge"
data = "./data"
metrics = "{ip}:9464"
{edge}

[listen.outside]
udp = "{ip}:5060"
tcp = "{ip}:5060"
media = "{ip}:30000-30039"

[listen.inside]
udp = "{ip}:5070"
tcp = "{ip}:5070"
media = "{ip}:31000-31039"

[tenant.summit]
name = "Summit Motors"
country = "US"

[site.summit]
tenant = "summit"
numbers = ["+13305550100-+13305550149"]
channels = 8
emergency = ["911"]

[trunk.carrier-a]
site = "summit"
listen = "outside"
peer = "sip:{carrier}:5060"
accept = ["{carrier}"]
media = "rtp"
options_interval = "0s"

[pbx.main]
site = "summit"
listen = "inside"
peer = "sip:{pbx}:5060"
accept = ["{pbx}"]
media = "rtp"
options_interval = "0s"
{rest}
"#
        )
    }
}

/// A folder with a configuration, and the edge that runs it.
pub struct Setup {
    pub net: Net,
    pub folder: tempfile::TempDir,
    pub edge: Edge,
}

impl Setup {
    pub fn start(workers: u8) -> Setup {
        let net = Net::new();
        let text = net.config(&format!("workers = {workers}"), "");
        Setup::with(net, &text)
    }

    pub fn with(net: Net, text: &str) -> Setup {
        Setup::in_folder(net, tempfile::tempdir().unwrap(), text)
    }

    /// In a folder with what an earlier process left there.
    pub fn in_folder(net: Net, folder: tempfile::TempDir, text: &str) -> Setup {
        let file = write_config(folder.path(), text);
        let loaded = ringfence_control::load(&file).unwrap_or_else(|error| panic!("{error:#?}"));
        let edge = Edge::start(loaded.config, Options::default())
            .unwrap_or_else(|error| panic!("{error:#?}"));
        Setup { net, folder, edge }
    }

    pub fn outside(&self) -> SocketAddr {
        SocketAddr::new(self.net.edge, 5060)
    }

    pub fn inside(&self) -> SocketAddr {
        SocketAddr::new(self.net.edge, 5070)
    }
}

pub fn write_config(folder: &Path, text: &str) -> PathBuf {
    let file = folder.join("ringfence.toml");
    std::fs::write(&file, text).unwrap();
    file
}

/// Waits until `condition` gives something.
#[track_caller]
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not come to pass");
        std::thread::park_timeout(BETWEEN_LOOKS);
    }
}

/// A SIP endpoint over UDP, as simple as can be.
pub struct Agent {
    pub socket: UdpSocket,
    pub rtp: UdpSocket,
    pub local: SocketAddr,
}

impl Agent {
    pub fn bind(ip: IpAddr) -> Agent {
        Agent::bind_at(SocketAddr::new(ip, 5060), SocketAddr::new(ip, AGENT_MEDIA))
    }

    pub fn bind_at(signalling: SocketAddr, media: SocketAddr) -> Agent {
        let socket = UdpSocket::bind(signalling).unwrap();
        let rtp = UdpSocket::bind(media).unwrap();
        for socket in [&socket, &rtp] {
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        Agent {
            local: socket.local_addr().unwrap(),
            socket,
            rtp,
        }
    }

    pub fn send(&self, text: &str, to: SocketAddr) {
        self.socket.send_to(text.as_bytes(), to).unwrap();
    }

    #[track_caller]
    pub fn receive(&self) -> (String, SocketAddr) {
        let mut buffer = [0; 65_536];
        let (length, from) = self.socket.recv_from(&mut buffer).expect("a SIP message");
        (String::from_utf8(buffer[..length].to_vec()).unwrap(), from)
    }

    /// The next message that begins with `start`, others being skipped.
    #[track_caller]
    pub fn expect(&self, start: &str) -> String {
        for _ in 0..20 {
            let (text, _) = self.receive();
            if text.starts_with(start) {
                return text;
            }
        }
        panic!("no {start}");
    }

    /// Whether nothing comes for a while.
    pub fn hears_nothing(&self, time: Duration) -> bool {
        self.socket.set_read_timeout(Some(time)).unwrap();
        let result = self.socket.recv_from(&mut [0; 65_536]);
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        result.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    pub fn sdp(&self) -> String {
        let rtp = self.rtp.local_addr().unwrap();
        let (ip, port) = (rtp.ip(), rtp.port());
        let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
        format!(
            "v=0\r\no=- 1 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
        )
    }

    /// A request outside of or inside a dialog.
    pub fn request(&self, call: &CallFacts, method: &str, cseq: u32, body: &str) -> String {
        let CallFacts {
            call_id,
            target,
            to,
            branch,
        } = call;
        let local = self.local;
        let content = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        format!(
            "{method} {target} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {local};branch=z9hG4bK{branch}{method}{cseq};rport\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:+13125550001@{local}>;tag=from-{call_id}\r\n\
             To: {to}\r\n\
             Call-ID: {call_id}\r\n\
             CSeq: {cseq} {method}\r\n\
             Contact: <sip:caller@{local}>\r\n\
             {content}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    /// The answer to a received request.
    pub fn answer(&self, request: &str, status: &str, body: &str) -> String {
        let mut answer = format!("SIP/2.0 {status}\r\n");
        for line in request.split("\r\n") {
            let name = line.split(':').next().unwrap_or_default();
            if ["Via", "From", "Call-ID", "CSeq", "Record-Route"].contains(&name) {
                answer.push_str(&format!("{line}\r\n"));
            } else if name == "To" {
                let tag = if line.contains("tag=") {
                    ""
                } else {
                    ";tag=callee"
                };
                answer.push_str(&format!("{line}{tag}\r\n"));
            }
        }
        let content = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        answer.push_str(&format!(
            "Contact: <sip:callee@{}>\r\n{content}Content-Length: {}\r\n\r\n{body}",
            self.local,
            body.len()
        ));
        answer
    }
}

/// What the requests of one call share.
pub struct CallFacts {
    pub call_id: String,
    pub target: String,
    pub to: String,
    pub branch: String,
}

impl CallFacts {
    pub fn new(call_id: &str, number: &str, edge: SocketAddr) -> CallFacts {
        let uri = format!("sip:{number}@{edge}");
        CallFacts {
            call_id: call_id.to_owned(),
            to: format!("<{uri}>"),
            target: uri,
            branch: call_id.to_owned(),
        }
    }

    /// Takes the dialog's facts from the answer.
    pub fn answered(&mut self, ok: &str) {
        self.to = header(ok, "To").to_owned();
        let contact = header(ok, "Contact");
        let end = contact.find('>').unwrap_or(contact.len());
        self.target = contact[contact.find('<').map_or(0, |at| at + 1)..end].to_owned();
    }
}

/// The value of a header.
#[track_caller]
pub fn header<'a>(message: &'a str, name: &str) -> &'a str {
    let line = message
        .split("\r\n")
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {message}"))
        .trim()
}

/// Where a session description wants audio, or a fax where it has no audio.
#[track_caller]
pub fn media_address(message: &str) -> SocketAddr {
    let field = |start: &str| {
        message
            .split("\r\n")
            .find_map(|line| line.strip_prefix(start))
    };
    let ip = field("c=IN IP4 ").or_else(|| field("c=IN IP6 "));
    let ip: IpAddr = ip.expect("a connection line").parse().unwrap();
    let port = field("m=audio ")
        .or_else(|| field("m=image "))
        .and_then(|rest| rest.split(' ').next())
        .expect("a media line");
    SocketAddr::new(ip, port.parse().unwrap())
}

/// An RTP packet.
pub fn rtp(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend((0..160).map(|sample| sample as u8 ^ sequence as u8));
    packet
}

//! Asks the peers of an edge that is not running: one OPTIONS each, from the address that the edge
//! would use, with a bound on the time.
//!
//! What comes back also tells what stands between: a far side that saw the request come from
//! another address (RFC 3581 `received` and `rport`) is behind a NAT of ours, and a Via or a
//! Call-ID that is not as we wrote it was rewritten by a "SIP helper" on the way.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ringfence_base::{Entropy, Transport};
use ringfence_control::api::Check;
use ringfence_control::config::{Config, Listen};
use ringfence_session::plan::{Peer, Plan};
use ringfence_sip::frame::{Frame, StreamFramer};
use ringfence_sip::{Host, Index, Message};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::{failed, ok, unknown, warning};
use crate::entropy::SystemEntropy;
use crate::tls::TlsContext;

/// How long a peer may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// When a datagram is sent again (timer T1 of RFC 3261).
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Peers asked at once.
const AT_ONCE: usize = 16;
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Asks every peer that has an address. Takes [`ANSWER_MAX`] for each [`AT_ONCE`] peers, at most
/// twice that where connections have to be made.
pub(super) fn ask_peers(config: &Config, plan: &Plan, tls: Option<&TlsContext>) -> Vec<Check> {
    let questions: Vec<Question> = plan
        .peers
        .iter()
        .zip(&config.peers)
        .filter_map(|(peer, configured)| Question::new(config, plan, (configured.key(), peer), tls))
        .collect();
    let mut checks = Vec::new();
    for together in questions.chunks(AT_ONCE) {
        let found = thread::scope(|scope| {
            let asked: Vec<_> = together
                .iter()
                .map(|question| (question, scope.spawn(|| question.ask())))
                .collect();
            let judged = asked.into_iter().map(|(question, thread)| {
                let answer = thread
                    .join()
                    .unwrap_or_else(|_| Err(io::Error::other("the question failed")));
                question.judge(answer)
            });
            judged.collect::<Vec<_>>()
        });
        checks.extend(found.into_iter().flatten());
    }
    checks
}

/// What is asked of one peer.
struct Question {
    peer: String,
    transport: Transport,
    ours: SocketAddr,
    remote: SocketAddr,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    branch: String,
    call_id: String,
    text: String,
}

/// What a peer answered.
#[derive(Debug)]
struct Answer {
    status: u16,
    took: Duration,
    /// Where the peer saw the question come from, if it says.
    seen_at: (Option<IpAddr>, Option<u16>),
    /// What of ours came back as we had not written it.
    rewritten: Option<&'static str>,
    /// The address and port that it was asked from.
    asked_from: SocketAddr,
}

impl Question {
    fn new(
        config: &Config,
        plan: &Plan,
        (key, peer): (String, &Peer),
        tls: Option<&TlsContext>,
    ) -> Option<Question> {
        let listen: &Listen = config.listeners.get(peer.listener.index())?;
        let ours = listen
            .address(peer.transport)
            // A peer that is reached over what its listener does not take itself.
            .or_else(|| plan.listener(peer.listener)?.address(peer.transport))?;
        let remote = *peer.addresses.first()?;
        let tls = match peer.transport {
            Transport::Tls => Some(tls?.client(peer.listener, remote)?),
            _ => None,
        };
        let mut entropy = SystemEntropy::new();
        let mut random = || format!("{:016x}", entropy.next_u64());
        let branch = format!("z9hG4bK{}", random());
        let (call_id, tag) = (random(), random());
        let port = peer.port.map(|port| format!(":{port}")).unwrap_or_default();
        let uri = match peer.transport {
            Transport::Udp => format!("sip:{}{port}", peer.host),
            transport => format!("sip:{}{port};transport={transport}", peer.host),
        };
        let transport = peer.transport;
        let via = transport.to_string().to_ascii_uppercase();
        let text = format!(
            "OPTIONS {uri} SIP/2.0\r\n\
             Via: SIP/2.0/{via} {ours};branch={branch};rport\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:{ours}>;tag={tag}\r\n\
             To: <{uri}>\r\n\
             Call-ID: {call_id}\r\n\
             CSeq: 1 OPTIONS\r\n\
             Contact: <sip:{ours};transport={transport}>\r\n\
             Accept: application/sdp\r\n\
             Content-Length: 0\r\n\r\n"
        );
        Some(Question {
            peer: key,
            transport,
            ours,
            remote,
            tls,
            branch,
            call_id,
            text,
        })
    }

    #[allow(clippy::disallowed_methods)] // a question of the command line, on no data path
    fn ask(&self) -> io::Result<Answer> {
        let begun = Instant::now();
        match self.transport {
            Transport::Udp => self.ask_by_datagram(begun),
            _ => {
                let stream = self.connect()?;
                let from = stream.local_addr()?;
                match &self.tls {
                    Some((config, name)) => {
                        let tls = ClientConnection::new(Arc::clone(config), name.clone())
                            .map_err(io::Error::other)?;
                        self.ask_by_stream(begun, from, StreamOwned::new(tls, stream))
                    }
                    None => self.ask_by_stream(begun, from, stream),
                }
            }
        }
    }

    fn ask_by_datagram(&self, begun: Instant) -> io::Result<Answer> {
        // The edge's own port if it is free, since a peer may answer no other.
        let socket = UdpSocket::bind(self.ours)
            .or_else(|_| UdpSocket::bind(SocketAddr::new(self.ours.ip(), 0)))?;
        // Connected, so that the host tells when nobody listens there.
        socket.connect(self.remote)?;
        let from = socket.local_addr()?;
        let mut bytes = vec![0; ANSWER_BYTES_MAX];
        let mut index = Index::default();
        let mut wait = AGAIN_AFTER;
        while let Some(left) = ANSWER_MAX.checked_sub(begun.elapsed()) {
            socket.send(self.text.as_bytes())?;
            socket.set_read_timeout(Some(wait.min(left).max(Duration::from_millis(1))))?;
            wait *= 2;
            let length = match socket.recv(&mut bytes) {
                Ok(length) => length,
                Err(error) if is_timeout(&error) => continue,
                Err(error) => return Err(error),
            };
            let message = index.parse(bytes.get(..length).unwrap_or_default());
            if let Some(answer) = message.ok().and_then(|m| self.read(&m, begun, from)) {
                return Ok(answer);
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let domain = socket2::Domain::for_address(self.remote);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(self.ours.ip(), 0).into())?;
        socket.connect_timeout(&self.remote.into(), ANSWER_MAX)?;
        let stream: TcpStream = socket.into();
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        Ok(stream)
    }

    fn ask_by_stream(
        &self,
        begun: Instant,
        from: SocketAddr,
        mut stream: impl Read + Write,
    ) -> io::Result<Answer> {
        stream.write_all(self.text.as_bytes())?;
        stream.flush()?;
        let (mut framer, mut index) = (StreamFramer::new(), Index::default());
        let (mut chunk, mut total) = ([0; 4096], 0);
        while total < ANSWER_BYTES_MAX && begun.elapsed() < ANSWER_MAX * 2 {
            let length = stream.read(&mut chunk)?;
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            total += length;
            framer.push(chunk.get(..length).unwrap_or_default());
            while let Ok(Some(frame)) = framer.next(&mut index) {
                if let Frame::Message(message) = frame
                    && let Some(answer) = self.read(&message, begun, from)
                {
                    return Ok(answer);
                }
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// The final answer to this question, if `message` is one.
    fn read(&self, message: &Message<'_>, begun: Instant, from: SocketAddr) -> Option<Answer> {
        let status = message.status()?.raw();
        let is_ours = message.cseq().is_ok_and(|cseq| cseq.number == 1)
            && message
                .via()
                .is_ok_and(|via| via.branch == Some(self.branch.as_bytes()));
        if status < 200 || !is_ours {
            return None;
        }
        let via = message.via().ok()?;
        let received = via.received.and_then(|text| std::str::from_utf8(text).ok());
        let received = received.map(|text| text.trim_matches(['[', ']']));
        let host = match via.host {
            Host::V4(ip) => Some(IpAddr::V4(ip)),
            Host::V6(ip) => Some(IpAddr::V6(ip)),
            Host::Name(_) => None,
        };
        let via_kept = host == Some(self.ours.ip()) && via.port == Some(self.ours.port());
        let call_kept = message.call_id().ok() == Some(self.call_id.as_bytes());
        Some(Answer {
            status,
            took: begun.elapsed(),
            seen_at: (
                received.and_then(|text| text.parse().ok()),
                via.rport.flatten(),
            ),
            rewritten: match (via_kept, call_kept) {
                (false, _) => Some("Via"),
                (_, false) => Some("Call-ID"),
                _ => None,
            },
            asked_from: from,
        })
    }

    fn judge(&self, answer: io::Result<Answer>) -> Vec<Check> {
        let Question {
            peer,
            transport,
            remote,
            ours,
            ..
        } = self;
        let name = format!("peer {peer}");
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let found = format!("{transport} {remote} {}", in_words(&error));
                let fix = format!(
                    "see that it is running, that nothing between blocks {transport} to {remote}, \
                     and that it is told to talk to {ours}"
                );
                return vec![failed(name, found, fix)];
            }
        };
        let took = answer.took.as_millis();
        let status = answer.status;
        let found = format!("{transport} {remote} answers OPTIONS with {status} in {took} ms");
        let mut checks = vec![match status {
            200..300 | 405 | 501 => ok(name, found),
            401 | 407 => ok(
                name,
                format!("{found}: it is there, and asks for a password"),
            ),
            403 => warning(
                name,
                format!("{found}: it is there, and does not know this address"),
                format!("enter {} at the peer as an address of yours", ours.ip()),
            ),
            500..600 => warning(
                name,
                format!("{found}: it is there, and says that it cannot serve"),
                "look at the peer",
            ),
            _ => ok(name, format!("{found}: it is there")),
        }];
        checks.extend(self.between(&answer));
        checks
    }

    /// What stands between us and the peer.
    fn between(&self, answer: &Answer) -> Option<Check> {
        let name = format!("way to {}", self.peer);
        if let Some(what) = answer.rewritten {
            let found = format!(
                "{what} of our question came back rewritten: a \"SIP helper\" (ALG) stands between"
            );
            let fix = "switch the SIP helper (ALG) of the router off, or use TLS";
            return Some(failed(name, found, fix));
        }
        let from = answer.asked_from;
        match answer.seen_at {
            (None, None) => Some(unknown(name, "the peer does not say where it sees us")),
            (ip, port) => {
                let seen = SocketAddr::new(ip.unwrap_or(from.ip()), port.unwrap_or(from.port()));
                Some(if seen.ip().to_canonical() != from.ip().to_canonical() {
                    let fix = "give the edge an address that peers reach, or have the router \
                               forward the ports of signalling and media unchanged";
                    let found = format!("a NAT stands between: it sees {from} as {seen}");
                    warning(name, found, fix)
                } else if seen.port() != from.port() {
                    let found = format!("a NAT changes our port: it sees {from} as {seen}");
                    warning(name, found, "have the router keep the port")
                } else {
                    ok(name, format!("no NAT: it sees us at {seen}"))
                })
            }
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// What happened, for people.
fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "refuses: nothing listens there".to_owned(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            "closes the connection without an answer".to_owned()
        }
        _ if is_timeout(error) => format!("does not answer within {} s", ANSWER_MAX.as_secs()),
        // TLS says what is wrong with the certificate; the system why there is no way.
        _ => format!("cannot be asked: {error}"),
    }
}

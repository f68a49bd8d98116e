//! Sessions through the edge: real calls, with a carrier and a PBX of our own that speak just
//! enough SIP to get media anchored. The edge acknowledges the PBX by itself; nobody waits for it.
//!
//! One call after the other is set up: INVITE out, INVITE in, 200 back, ACK. What is repeated is
//! answered again or passed over, since a request may be lost by nobody here but a busy machine.

use std::net::{SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use crate::edge::{CARRIER, Edge, PBX};
use crate::net::Network;
use anyhow::{Context, bail};

use super::load::Session;
use super::srtp::Library;

/// T1 of RFC 3261: how long to wait before a request is sent again.
const T1: Duration = Duration::from_millis(500);

/// How long one call may take to be set up or to end.
const PATIENCE: Duration = Duration::from_secs(8);

/// Of the two ends, the carrier's is protected.
const PROTECTED: usize = 0;

/// Calls that are up.
pub struct Calls {
    carrier: Party,
    pbx: Party,
    edge: SocketAddrV4,
    up: Vec<Call>,
    sessions: std::cell::Cell<Vec<Session>>,
}

struct Party {
    socket: UdpSocket,
    local: SocketAddrV4,
}

struct Call {
    number: usize,
    to: String,
    target: String,
}

impl Calls {
    /// Sets up `count` calls.
    pub fn establish(
        network: &Network,
        edge: &Edge,
        count: usize,
        library: Option<&Library>,
    ) -> anyhow::Result<Calls> {
        let carrier = Party::at(SocketAddrV4::new(
            network.outside(CARRIER),
            network.sip_port(),
        ))?;
        let pbx = Party::at(SocketAddrV4::new(network.inside(PBX), network.sip_port()))?;
        let (up, sessions) = (Vec::new(), std::cell::Cell::default());
        let mut calls = Calls {
            carrier,
            pbx,
            edge: edge.outside(),
            up,
            sessions,
        };
        let start = Instant::now();
        let mut sessions = Vec::new();
        for number in 0..count {
            let what = || format!("call {number} through the edge");
            sessions.push(calls.one(number, library).with_context(what)?);
        }
        calls.sessions.set(sessions);
        println!(
            "{count} calls set up in {:.2} s",
            start.elapsed().as_secs_f64()
        );
        Ok(calls)
    }

    /// The media of the calls; once.
    pub fn sessions(&self) -> anyhow::Result<Vec<Session>> {
        Ok(self.sessions.take())
    }

    /// Ends every call with BYE.
    pub fn hang_up(&self) -> anyhow::Result<()> {
        for call in &self.up {
            let bye = self.request("BYE", call.number, 2, &call.target, &call.to, "");
            let what = || format!("the end of call {}", call.number);
            self.exchange(&bye, |_| None).with_context(what)?;
        }
        Ok(())
    }

    fn one(&mut self, number: usize, library: Option<&Library>) -> anyhow::Result<Session> {
        let (carrier, pbx) = (*self.carrier.local.ip(), *self.pbx.local.ip());
        let sockets = [super::socket(carrier)?, super::socket(pbx)?];
        let ports = [
            sockets[0].local_addr()?.port(),
            sockets[1].local_addr()?.port(),
        ];
        let ours = super::fresh_key()?;
        let crypto = library.map(|_| ("1", ours.as_str()));
        let offer = super::describe(carrier, ports[0], crypto);
        let answer = super::describe(pbx, ports[1], None);
        let target = format!("sip:+13305550100@{}", self.edge);
        let to = format!("<sip:+13305550100@{}>", self.edge);
        let invite = self.request("INVITE", number, 1, &target, &to, &offer);

        let mut inside = None;
        let ok = self.exchange(&invite, |request| {
            inside = Some(super::described(body(request)));
            Some(answer.clone())
        })?;
        let (to, contact) = (header(&ok, "To")?, header(&ok, "Contact")?);
        let target = contact
            .split(['<', '>'])
            .nth(1)
            .unwrap_or(contact)
            .to_owned();
        let to = to.to_owned();
        let ack = self.request("ACK", number, 1, &target, &to, "");
        self.carrier.send(&ack, self.edge)?;

        let outside = super::described(body(&ok)).context("the edge's answer")?;
        sockets[0].connect((outside.address, outside.port))?;
        let inside = inside
            .context("no INVITE came in")?
            .context("the edge's offer")?;
        sockets[1].connect((inside.address, inside.port))?;
        let crypto = outside.crypto;
        if library.is_some() && crypto.is_none() {
            bail!("the edge answered without a key: {}", body(&ok));
        }
        self.up.push(Call { number, to, target });
        let keys = crypto
            .as_ref()
            .map(|(_, theirs)| (ours.as_str(), theirs.as_str()));
        super::session(sockets, PROTECTED, keys, library)
    }

    /// Sends a request of the carrier until its final answer, and meanwhile answers requests that
    /// come to the PBX with 200 and what `answer` gives as the body.
    fn exchange(
        &self,
        request: &str,
        mut answer: impl FnMut(&str) -> Option<String>,
    ) -> anyhow::Result<String> {
        let end = Instant::now() + PATIENCE;
        let cseq = header(request, "CSeq")?;
        let id = header(request, "Call-ID")?;
        let mut again = Instant::now();
        let mut provisional = false;
        while Instant::now() < end {
            if again <= Instant::now() && !provisional {
                self.carrier.send(request, self.edge)?;
                again = Instant::now() + T1;
            }
            if let Some((message, from)) = self.pbx.receive()? {
                if message.starts_with("INVITE ") || message.starts_with("BYE ") {
                    let body = answer(&message).unwrap_or_default();
                    self.pbx.send(&self.pbx.ok(&message, &body)?, from)?;
                } else if message.starts_with("OPTIONS ") {
                    self.pbx.send(&self.pbx.ok(&message, "")?, from)?;
                }
            }
            let Some((message, _)) = self.carrier.receive()? else {
                continue;
            };
            let ours = header(&message, "Call-ID")? == id && header(&message, "CSeq")? == cseq;
            match message.split(' ').nth(1) {
                _ if !ours => {}
                Some(code) if code.starts_with('1') => provisional = true,
                Some(code) if code.starts_with('2') => return Ok(message),
                _ => bail!("refused: {}", message.lines().next().unwrap_or_default()),
            }
        }
        bail!("no final answer")
    }

    fn request(
        &self,
        method: &str,
        number: usize,
        cseq: u32,
        target: &str,
        to: &str,
        body: &str,
    ) -> String {
        let local = self.carrier.local;
        // The ACK of a 200 is a transaction of its own.
        let branch = format!("z9hG4bKbench{number}{method}{cseq}");
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch={branch};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:+12165550123@{local}>;tag=bench{number}\r\nTo: {to}\r\n\
             Call-ID: bench-{number}@{local}\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:carrier@{local}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

impl Party {
    fn at(local: SocketAddrV4) -> anyhow::Result<Party> {
        let socket = UdpSocket::bind(local)?;
        socket.set_read_timeout(Some(Duration::from_millis(2)))?;
        Ok(Party { socket, local })
    }

    fn send(&self, message: &str, to: SocketAddrV4) -> anyhow::Result<()> {
        self.socket.send_to(message.as_bytes(), to)?;
        Ok(())
    }

    fn receive(&self) -> anyhow::Result<Option<(String, SocketAddrV4)>> {
        let mut buffer = [0; 4_096];
        match self.socket.recv_from(&mut buffer) {
            Ok((length, std::net::SocketAddr::V4(from))) => Ok(Some((
                String::from_utf8_lossy(&buffer[..length]).into_owned(),
                from,
            ))),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// 200 to a request, with our tag.
    fn ok(&self, request: &str, body: &str) -> anyhow::Result<String> {
        let mut out = "SIP/2.0 200 OK\r\n".to_owned();
        for line in request.lines().take_while(|line| !line.is_empty()) {
            let name = line
                .split(':')
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase();
            match name.as_str() {
                "via" | "from" | "call-id" | "cseq" => out.push_str(&format!("{line}\r\n")),
                "to" if line.contains(";tag=") => out.push_str(&format!("{line}\r\n")),
                "to" => out.push_str(&format!("{line};tag=pbx\r\n")),
                _ => {}
            }
        }
        let local = self.local;
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        out.push_str(&format!(
            "Contact: <sip:pbx@{local}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        Ok(out)
    }
}

/// The first header line called `name`.
fn header<'a>(message: &'a str, name: &str) -> anyhow::Result<&'a str> {
    message
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(':'))
        .find(|(found, _)| found.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
        .with_context(|| {
            format!(
                "no {name} in {}",
                message.lines().next().unwrap_or_default()
            )
        })
}

fn body(message: &str) -> &str {
    message.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

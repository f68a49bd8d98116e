//! One stream connection: socket, TLS if any, framing, what waits to be written, deadlines.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use ringfence_base::{Flow, Instant};
use ringfence_sip::frame::StreamFramer;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

use super::admission::Source;
use super::counters::CloseReason;
use super::websocket::WebSocket;
use crate::epoll::Interest;
use crate::tls::build::certificate_names;

/// A connection must be made, with TLS if it has it, within this time.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// A message must be complete this long after its first byte, the first one this long after the
/// connection was accepted.
pub const MESSAGE_TIMEOUT: Duration = Duration::from_secs(4);
/// A source that proved nothing may be idle this long.
pub const STRANGER_IDLE: Duration = Duration::from_secs(30);
/// A far side must take what we sent within this time.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes that wait to be written.
pub const UNSENT_MAX: usize = 256 * 1024;

/// A connection of one worker.
pub(super) struct Connection {
    pub(super) socket: TcpStream,
    /// Where it leads; names the connection itself.
    pub(super) flow: Flow,
    pub(super) source: Source,
    pub(super) outbound: bool,
    pub(super) framer: StreamFramer,
    /// In place of the framer, if it is a WebSocket.
    pub(super) web: Option<Box<WebSocket>>,
    /// Whether a phone has registered over it.
    pub(super) registered: bool,
    /// Verified names of the far side's certificate.
    pub(super) names: Arc<[String]>,
    /// What epoll watches it for.
    pub(super) interest: Interest,
    /// Whether it is in the list of those to flush at the end of the turn.
    pub(super) dirty: bool,
    /// When the deadline queue will look at it next.
    pub(super) scheduled: Instant,
    /// Whether the far side has said that it sends no more (TLS close_notify).
    pub(super) closing: bool,
    /// Whether another worker was given a message of it, so that all must learn of its end.
    pub(super) shared: bool,
    state: State,
    tls: Option<Box<rustls::Connection>>,
    unsent: Vec<u8>,
    /// How much of `unsent` is written.
    written: usize,
    opened: Instant,
    heard: bool,
    last_message: Instant,
    partial_since: Option<Instant>,
    blocked_since: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Connecting,
    Handshaking,
    Open,
}

/// What TLS a new connection speaks.
pub(super) enum Security {
    None,
    Server(Arc<ServerConfig>),
    Client(Arc<ClientConfig>, ServerName<'static>),
}

impl Connection {
    pub(super) fn new(
        now: Instant,
        socket: TcpStream,
        flow: Flow,
        source: Source,
        security: Security,
        outbound: bool,
    ) -> Result<Connection, rustls::Error> {
        let tls: Option<rustls::Connection> = match security {
            Security::None => None,
            Security::Server(config) => Some(ServerConnection::new(config)?.into()),
            Security::Client(config, name) => Some(ClientConnection::new(config, name)?.into()),
        };
        let tls = tls.map(|mut tls| {
            tls.set_buffer_limit(Some(UNSENT_MAX));
            Box::new(tls)
        });
        let state = match (outbound, &tls) {
            (true, _) => State::Connecting,
            (false, Some(_)) => State::Handshaking,
            (false, None) => State::Open,
        };
        Ok(Connection {
            socket,
            flow,
            source,
            outbound,
            framer: StreamFramer::new(),
            web: flow.transport.is_web_socket().then(Box::default),
            registered: false,
            names: Arc::from([]),
            interest: if outbound {
                Interest::Write
            } else {
                Interest::Read
            },
            dirty: false,
            scheduled: Instant::MAX,
            closing: false,
            shared: false,
            state,
            tls,
            unsent: Vec::new(),
            written: 0,
            opened: now,
            heard: outbound,
            last_message: now,
            partial_since: None,
            blocked_since: None,
        })
    }

    /// Takes a message to be written at the end of the turn, or as soon as the connection is made.
    pub(super) fn queue(&mut self, message: &[u8]) -> Result<(), CloseReason> {
        let Some(web) = &self.web else {
            return self.queue_bytes(message);
        };
        let mut framed = Vec::with_capacity(message.len() + 10);
        if web.is_open() {
            web.write(message, &mut framed);
        }
        self.queue_bytes(&framed)
    }

    /// The same for bytes as they are on the wire.
    pub(super) fn queue_bytes(&mut self, bytes: &[u8]) -> Result<(), CloseReason> {
        match &mut self.tls {
            Some(tls) => {
                let taken = tls.writer().write(bytes).map_err(|_| CloseReason::Error)?;
                if taken < bytes.len() {
                    Err(CloseReason::Stuck)
                } else {
                    Ok(())
                }
            }
            None if self.unsent.len() - self.written + bytes.len() > UNSENT_MAX => {
                Err(CloseReason::Stuck)
            }
            None => {
                if self.written > self.unsent.len() / 2 {
                    self.unsent.drain(..self.written);
                    self.written = 0;
                }
                self.unsent.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// The socket is writable for the first time: whether the connection was made.
    pub(super) fn finish_connect(&mut self) -> Result<(), CloseReason> {
        if self.state != State::Connecting {
            return Ok(());
        }
        match self.socket.take_error() {
            Ok(None) => {
                self.state = if self.tls.is_some() {
                    State::Handshaking
                } else {
                    State::Open
                };
                Ok(())
            }
            Ok(Some(_)) | Err(_) => Err(CloseReason::ConnectFailed),
        }
    }

    /// Writes what the socket takes.
    pub(super) fn flush(&mut self, now: Instant) -> Result<(), CloseReason> {
        if self.state == State::Connecting {
            return Ok(());
        }
        let (written, result) = self.write();
        if written > 0 {
            self.blocked_since = None;
        }
        match result {
            Ok(()) => {
                self.blocked_since = None;
                self.unsent.clear();
                self.written = 0;
                if self.unsent.capacity() > IDLE_CAPACITY {
                    self.unsent = Vec::new();
                }
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.blocked_since.get_or_insert(now);
                Ok(())
            }
            Err(_) => Err(CloseReason::Error),
        }
    }

    /// Reads once and feeds the framer. `Ok(false)` when nothing was there.
    pub(super) fn receive(&mut self, scratch: &mut [u8]) -> Result<bool, CloseReason> {
        let length = match self.socket.read(scratch) {
            Ok(0) => return Err(CloseReason::ByPeer),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(false),
            Err(_) if self.state == State::Handshaking => return Err(CloseReason::Tls),
            Err(_) => return Err(CloseReason::Error),
        };
        let received = scratch.get(..length).unwrap_or_default();
        match &mut self.tls {
            None => match &mut self.web {
                Some(web) => web.push(received),
                None => self.framer.push(received),
            },
            Some(_) => self.receive_tls(received)?,
        }
        Ok(true)
    }

    /// Notes that a message came complete.
    pub(super) fn note_message(&mut self, now: Instant) {
        self.heard = true;
        self.last_message = now;
        self.partial_since = None;
    }

    /// Notes whether a message is under way, after the framer was emptied.
    pub(super) fn note_partial(&mut self, now: Instant) {
        let partial = match &self.web {
            Some(web) => web.has_partial(),
            None => self.framer.has_partial(),
        };
        if partial {
            self.partial_since.get_or_insert(now);
        } else {
            self.partial_since = None;
        }
    }

    /// What epoll is to watch it for now.
    pub(super) fn wanted_interest(&self) -> Interest {
        let writes = match &self.tls {
            _ if self.state == State::Connecting => return Interest::Write,
            Some(tls) => tls.wants_write(),
            None => self.written < self.unsent.len(),
        };
        if writes {
            Interest::ReadWrite
        } else {
            Interest::Read
        }
    }

    /// Whether it is made, with TLS if it has it.
    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// When it must be closed, and why, if nothing changes until then.
    pub(super) fn deadline(&self) -> Option<(Instant, CloseReason)> {
        let made = match (self.outbound, self.is_open()) {
            (true, false) => Some((self.opened + CONNECT_TIMEOUT, CloseReason::ConnectFailed)),
            _ if !self.heard => Some((self.opened + MESSAGE_TIMEOUT, CloseReason::Silent)),
            _ => None,
        };
        let proven = self.outbound || self.source == Source::Peer || self.registered;
        let proven = proven || !self.names.is_empty();
        let idle = (!proven).then(|| (self.last_message + STRANGER_IDLE, CloseReason::Idle));
        let partial = self
            .partial_since
            .map(|since| (since + MESSAGE_TIMEOUT, CloseReason::Partial));
        let stuck = self
            .blocked_since
            .map(|since| (since + WRITE_TIMEOUT, CloseReason::Stuck));
        [made, idle, partial, stuck]
            .into_iter()
            .flatten()
            .min_by_key(|(at, _)| *at)
    }

    /// Says a proper goodbye as far as the socket takes it.
    pub(super) fn say_goodbye(&mut self) {
        if let Some(web) = &mut self.web {
            let mut goodbye = Vec::new();
            web.goodbye(&mut goodbye);
            let _ = self.queue_bytes(&goodbye);
        }
        if let (Some(tls), State::Open) = (&mut self.tls, self.state) {
            tls.send_close_notify();
        }
        // What the socket does not take is lost. (A failed handshake left its alert to be sent.)
        if self.state != State::Connecting {
            let _ = self.write();
        }
    }

    /// Writes what waits: how many bytes went, and what stopped it.
    fn write(&mut self) -> (usize, io::Result<()>) {
        let mut written = 0;
        loop {
            let result = match &mut self.tls {
                Some(tls) if tls.wants_write() => tls.write_tls(&mut self.socket),
                Some(_) => return (written, Ok(())),
                None => match self.unsent.get(self.written..) {
                    Some(rest) if !rest.is_empty() => self.socket.write(rest),
                    _ => return (written, Ok(())),
                },
            };
            match result {
                Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    written += count;
                    if self.tls.is_none() {
                        self.written += count;
                    }
                }
                Err(error) => return (written, Err(error)),
            }
        }
    }

    fn receive_tls(&mut self, mut received: &[u8]) -> Result<(), CloseReason> {
        let Some(tls) = &mut self.tls else {
            return Ok(());
        };
        let mut closed = false;
        while !received.is_empty() {
            tls.read_tls(&mut received).map_err(|_| CloseReason::Tls)?;
            let state = tls.process_new_packets().map_err(|_| CloseReason::Tls)?;
            closed |= state.peer_has_closed();
            let mut plain = [0; PLAIN_CHUNK];
            loop {
                match tls.reader().read(&mut plain) {
                    Ok(0) => break,
                    Ok(length) => {
                        let plain = plain.get(..length).unwrap_or_default();
                        match &mut self.web {
                            Some(web) => web.push(plain),
                            None => self.framer.push(plain),
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => return Err(CloseReason::Tls),
                }
            }
            if closed {
                break;
            }
        }
        if self.state == State::Handshaking && !tls.is_handshaking() {
            self.state = State::Open;
            let certificate = tls.peer_certificates().and_then(|chain| chain.first());
            self.names = certificate
                .map(certificate_names)
                .unwrap_or_default()
                .into();
        }
        self.closing |= closed;
        Ok(())
    }
}

/// Decrypted bytes moved at once: the largest TLS record's plaintext is 16 KiB.
const PLAIN_CHUNK: usize = 4096;

/// What an idle connection may keep allocated for writing, in bytes.
const IDLE_CAPACITY: usize = 2048;

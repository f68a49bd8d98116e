//! How the simulated peers reach the edge: a UDP socket, or TLS connections.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use ringfence_base::Flow;
use ringfence_base::net::{ConnectionId, ListenerId, Transport, WorkerIndex};
use ringfence_sip::Index;
use ringfence_sip::frame::{Frame, StreamFramer};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

const LISTENER: ListenerId = ListenerId::new(0);

/// A peer's connection to the world.
pub(super) enum Wire {
    /// Datagrams.
    Udp(UdpSocket),
    /// TLS, both ways.
    Tls(Box<TlsWire>),
}

/// TLS connections that were accepted, and one of our own.
pub(super) struct TlsWire {
    listener: TcpListener,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    connections: Vec<Option<Stream>>,
}

struct Stream {
    socket: TcpStream,
    tls: Connection,
    framer: StreamFramer,
    remote: SocketAddr,
}

impl Wire {
    /// Datagrams at `local`.
    pub(super) fn udp(local: SocketAddr) -> io::Result<Wire> {
        let socket = UdpSocket::bind(local)?;
        socket.set_nonblocking(true)?;
        Ok(Wire::Udp(socket))
    }

    /// TLS at `local`.
    pub(super) fn tls(
        local: SocketAddr,
        server: Arc<ServerConfig>,
        client: Arc<ClientConfig>,
    ) -> io::Result<Wire> {
        let listener = TcpListener::bind(local)?;
        listener.set_nonblocking(true)?;
        Ok(Wire::Tls(Box::new(TlsWire {
            listener,
            server,
            client,
            connections: Vec::new(),
        })))
    }

    /// Where we are.
    pub(super) fn local(&self) -> io::Result<SocketAddr> {
        match self {
            Wire::Udp(socket) => socket.local_addr(),
            Wire::Tls(tls) => tls.listener.local_addr(),
        }
    }

    /// The transport.
    pub(super) const fn transport(&self) -> Transport {
        match self {
            Wire::Udp(_) => Transport::Udp,
            Wire::Tls(_) => Transport::Tls,
        }
    }

    /// A flow towards `remote`.
    pub(super) fn flow(&self, remote: SocketAddr) -> Flow {
        Flow {
            listener: LISTENER,
            transport: self.transport(),
            remote,
            connection: None,
        }
    }

    /// What to wait on.
    pub(super) fn descriptors(&self) -> Vec<RawFd> {
        match self {
            Wire::Udp(socket) => vec![socket.as_raw_fd()],
            Wire::Tls(tls) => tls
                .connections
                .iter()
                .flatten()
                .map(|stream| stream.socket.as_raw_fd())
                .chain([tls.listener.as_raw_fd()])
                .collect(),
        }
    }

    /// Sends a message. A stream that cannot be reached loses it, like a network.
    pub(super) fn send(&mut self, flow: &Flow, bytes: &[u8]) -> io::Result<()> {
        match self {
            Wire::Udp(socket) => socket.send_to(bytes, flow.remote).map(|_| ()),
            Wire::Tls(tls) => tls.send(flow, bytes),
        }
    }

    /// The messages that have come, each with the flow it came by.
    pub(super) fn receive(&mut self) -> Vec<(Flow, Vec<u8>)> {
        match self {
            Wire::Udp(socket) => {
                let mut buffer = [0; 65_535];
                let mut messages = Vec::new();
                while let Ok((length, remote)) = socket.recv_from(&mut buffer) {
                    messages.push((Flow::udp(LISTENER, remote), buffer[..length].to_vec()));
                }
                messages
            }
            Wire::Tls(tls) => tls.receive(),
        }
    }
}

impl TlsWire {
    fn send(&mut self, flow: &Flow, bytes: &[u8]) -> io::Result<()> {
        let known = flow
            .connection
            .map(|id| id.slot as usize)
            .filter(|slot| self.connections.get(*slot).is_some_and(Option::is_some));
        let slot = match known.or_else(|| self.open_to(flow.remote)) {
            Some(slot) => slot,
            None => self.connect(flow.remote)?,
        };
        let Some(Some(stream)) = self.connections.get_mut(slot) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        stream.tls.writer().write_all(bytes)?;
        stream.flush()
    }

    fn open_to(&self, remote: SocketAddr) -> Option<usize> {
        self.connections.iter().position(|stream| {
            stream
                .as_ref()
                .is_some_and(|stream| stream.remote == remote)
        })
    }

    fn connect(&mut self, remote: SocketAddr) -> io::Result<usize> {
        let local = self.listener.local_addr()?;
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(remote),
            socket2::Type::STREAM,
            None,
        )?;
        socket.bind(&SocketAddr::new(local.ip(), 0).into())?;
        socket.connect(&remote.into())?;
        let socket: TcpStream = socket.into();
        let name = ServerName::IpAddress(remote.ip().into());
        let tls =
            ClientConnection::new(Arc::clone(&self.client), name).map_err(io::Error::other)?;
        self.add(socket, tls.into(), remote)
    }

    fn add(&mut self, socket: TcpStream, tls: Connection, remote: SocketAddr) -> io::Result<usize> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        let stream = Stream {
            socket,
            tls,
            framer: StreamFramer::new(),
            remote,
        };
        match self.connections.iter().position(Option::is_none) {
            Some(slot) => {
                self.connections[slot] = Some(stream);
                Ok(slot)
            }
            None => {
                self.connections.push(Some(stream));
                Ok(self.connections.len() - 1)
            }
        }
    }

    fn receive(&mut self) -> Vec<(Flow, Vec<u8>)> {
        while let Ok((socket, remote)) = self.listener.accept() {
            if let Ok(tls) = ServerConnection::new(Arc::clone(&self.server)) {
                // A connection that cannot be set up is closed by its drop.
                let _ = self.add(socket, tls.into(), remote);
            }
        }
        let mut messages = Vec::new();
        for (slot, entry) in self.connections.iter_mut().enumerate() {
            let Some(stream) = entry else { continue };
            let connection = ConnectionId {
                worker: WorkerIndex::new(0),
                slot: slot as u32,
                generation: 0,
            };
            let flow = Flow {
                listener: LISTENER,
                transport: Transport::Tls,
                remote: stream.remote,
                connection: Some(connection),
            };
            if stream
                .read(&mut |message| messages.push((flow, message.to_vec())))
                .is_err()
            {
                *entry = None;
            }
        }
        messages
    }
}

impl Stream {
    /// Reads what has come; an error means that the connection is over.
    fn read(&mut self, message: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let mut open = true;
        loop {
            match self.tls.read_tls(&mut self.socket) {
                Ok(0) => open = false,
                Ok(_) => {
                    self.tls.process_new_packets().map_err(io::Error::other)?;
                    let mut buffer = [0; 16_384];
                    while let Ok(length) = self.tls.reader().read(&mut buffer) {
                        if length == 0 {
                            break;
                        }
                        self.framer.push(&buffer[..length]);
                    }
                    self.cut(message)?;
                    if open {
                        continue;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            break;
        }
        self.flush()?;
        if open {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    fn cut(&mut self, message: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let mut index = Index::default();
        loop {
            match self.framer.next(&mut index).map_err(io::Error::other)? {
                Some(Frame::Message(found)) => message(found.bytes()),
                Some(Frame::Ping) => {}
                Some(Frame::Broken(..)) => return Err(io::ErrorKind::InvalidData.into()),
                None => return Ok(()),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

//! One end of a connection that speaks SIP: over TCP, or over TLS by rustls.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned};

use super::{PATIENCE, header};

/// What a line is written to and read from.
pub trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

/// A connection, and what came of the next message.
pub struct Line<S = TcpStream> {
    pub stream: S,
    pub received: String,
    transport: &'static str,
}

impl Line {
    pub fn new(stream: TcpStream) -> Line {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Line {
            stream,
            received: String::new(),
            transport: "TCP",
        }
    }
}

impl Line<Box<dyn Wire>> {
    pub fn plain(stream: TcpStream) -> Self {
        let Line {
            stream,
            received,
            transport,
        } = Line::new(stream);
        Line {
            stream: Box::new(stream),
            received,
            transport,
        }
    }

    /// A TLS client on `stream`. The error of a handshake comes with the first read or write.
    pub fn tls_client(stream: TcpStream, config: Arc<ClientConfig>, name: &str) -> Self {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let tls = ClientConnection::new(config, name).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Line {
            stream: Box::new(StreamOwned::new(tls, stream)),
            received: String::new(),
            transport: "TLS",
        }
    }

    /// A TLS server on `stream`.
    pub fn tls_server(stream: TcpStream, config: Arc<ServerConfig>) -> Self {
        let tls = ServerConnection::new(config).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Line {
            stream: Box::new(StreamOwned::new(tls, stream)),
            received: String::new(),
            transport: "TLS",
        }
    }
}

impl<S: Wire> Line<S> {
    pub fn try_send(&mut self, text: &str) -> std::io::Result<()> {
        let via = format!("SIP/2.0/{}", self.transport);
        let text = text.replace("SIP/2.0/UDP", &via);
        self.stream.write_all(text.as_bytes())?;
        self.stream.flush()
    }

    #[track_caller]
    pub fn send(&mut self, text: &str) {
        self.try_send(text).unwrap();
    }

    /// The next message that begins with `start`.
    #[track_caller]
    pub fn expect(&mut self, start: &str) -> String {
        loop {
            if let Some(message) = self.next_message() {
                if message.starts_with(start) {
                    return message;
                }
                continue;
            }
            self.read_more()
                .unwrap_or_else(|e| panic!("no {start}: {e}"));
        }
    }

    /// The error that ends the connection before any message came.
    pub fn failure(&mut self) -> Option<std::io::Error> {
        self.read_more().err()
    }

    fn read_more(&mut self) -> std::io::Result<()> {
        let mut buffer = [0; 4096];
        let length = self.stream.read(&mut buffer)?;
        if length == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        self.received
            .push_str(std::str::from_utf8(&buffer[..length]).unwrap());
        Ok(())
    }

    fn next_message(&mut self) -> Option<String> {
        let head = self.received.find("\r\n\r\n")? + 4;
        let length: usize = header(&self.received[..head], "Content-Length")
            .parse()
            .unwrap();
        let rest = self.received.get(head + length..)?.to_owned();
        let message = self.received[..head + length].to_owned();
        self.received = rest;
        Some(message)
    }
}

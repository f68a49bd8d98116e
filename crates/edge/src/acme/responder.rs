//! Answers an authority's http-01 challenges (RFC 8555 §8.3), only while an order is on its way.
//!
//! Whoever else asks gets 404. A few connections at once, a few seconds and one short request
//! each.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Connections at once; more are closed.
const CONNECTIONS_MAX: usize = 32;
/// Longest head of a request that is read.
const HEAD_MAX: usize = 2_048;
/// How long a connection may take.
const TIME_MAX: Duration = Duration::from_secs(5);
const PATH: &str = "/.well-known/acme-challenge/";

type Answers = Arc<Mutex<BTreeMap<String, String>>>;

/// Serves until it is dropped.
pub(super) struct Responder {
    answers: Answers,
    task: JoinHandle<()>,
}

impl Responder {
    pub(super) async fn bind(address: SocketAddr) -> io::Result<Responder> {
        let listener = TcpListener::bind(address).await?;
        let answers = Answers::default();
        let task = tokio::spawn(serve(listener, Arc::clone(&answers)));
        Ok(Responder { answers, task })
    }

    /// From now on, who asks for `token` gets `answer`.
    pub(super) fn answer(&self, token: &str, answer: &str) {
        let mut answers = self.answers.lock().unwrap_or_else(|p| p.into_inner());
        answers.insert(token.to_owned(), answer.to_owned());
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, answers: Answers) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, say: not in a tight loop.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let answers = Arc::clone(&answers);
        tokio::spawn(async move {
            let _ = tokio::time::timeout(TIME_MAX, respond(stream, &answers)).await;
            drop(place);
        });
    }
}

async fn respond(mut stream: TcpStream, answers: &Answers) -> io::Result<()> {
    let mut head = Vec::new();
    let mut piece = [0; 512];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let length = stream.read(&mut piece).await?;
        if length == 0 || head.len() + length > HEAD_MAX {
            return Ok(());
        }
        head.extend_from_slice(piece.get(..length).unwrap_or_default());
    }
    let found = token(&head).and_then(|token| {
        let answers = answers.lock().unwrap_or_else(|p| p.into_inner());
        answers.get(token).cloned()
    });
    let (status, body) = match found {
        Some(answer) => ("200 OK", answer),
        None => ("404 Not Found", String::new()),
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

/// The token that a request asks for.
fn token(head: &[u8]) -> Option<&str> {
    let line = head.split(|&byte| byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let (path, _) = line.strip_prefix("GET ")?.split_once(' ')?;
    path.strip_prefix(PATH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_get_of_a_challenge_has_a_token() {
        let head = b"GET /.well-known/acme-challenge/abc HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(token(head), Some("abc"));
        for bad in [
            &b"POST /.well-known/acme-challenge/abc HTTP/1.1\r\n"[..],
            b"GET / HTTP/1.1\r\n",
            b"\xff\r\n",
            b"",
        ] {
            assert_eq!(token(bad), None);
        }
    }
}

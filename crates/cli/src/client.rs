//! Asking a running edge: HTTP over its Unix socket.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use ringfence_control::api::ApiError;
use ringfence_control::config;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::args::Target;

/// Why the edge gave no answer.
#[derive(Debug)]
pub(crate) enum ClientError {
    /// Nobody listens on the socket.
    NotRunning {
        socket: PathBuf,
        source: std::io::Error,
    },
    /// The socket may not be opened by this user.
    Denied { socket: PathBuf },
    /// The edge refused.
    Api(ApiError),
}

impl std::fmt::Display for ClientError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ClientError::NotRunning { socket, source } => write!(
                f,
                "no edge answers at {}: {source}; start it with `ringfence run`, or name its \
                 configuration with --config",
                socket.display()
            ),
            ClientError::Denied { socket } => write!(
                f,
                "{} may not be opened by this user; run the command as the user that runs the \
                 edge",
                socket.display()
            ),
            ClientError::Api(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for ClientError {}

/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// The control socket that is meant.
pub(crate) fn socket_of(target: &Target) -> anyhow::Result<PathBuf> {
    if let Some(socket) = &target.socket {
        return Ok(socket.clone());
    }
    let loaded = config::load(&target.config)?;
    Ok(loaded.config.edge.control)
}

/// A text as a part of a path or of a query (RFC 3986 §2.1).
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let _ = match byte.is_ascii_alphanumeric() || b"-_".contains(&byte) {
            true => write!(out, "{}", char::from(byte)),
            false => write!(out, "%{byte:02X}"),
        };
    }
    out
}

/// One request; the answer as the JSON type that it is.
pub(crate) fn ask<T: DeserializeOwned>(
    target: &Target,
    method: Method,
    path: &str,
) -> anyhow::Result<T> {
    let bytes = ask_raw(target, method, path)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| anyhow::anyhow!("the edge's answer does not read as expected: {error}"))
}

/// The same with something to hand over.
pub(crate) fn tell<T: DeserializeOwned>(
    target: &Target,
    method: Method,
    path: &str,
    body: &impl serde::Serialize,
) -> anyhow::Result<T> {
    let body = Bytes::from(serde_json::to_vec(body)?);
    let bytes = run(target, method, path, body)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| anyhow::anyhow!("the edge's answer does not read as expected: {error}"))
}

/// One request; the answer as the bytes of its JSON.
pub(crate) fn ask_raw(target: &Target, method: Method, path: &str) -> anyhow::Result<Vec<u8>> {
    run(target, method, path, Bytes::new())
}

fn run(target: &Target, method: Method, path: &str, body: Bytes) -> anyhow::Result<Vec<u8>> {
    let socket = socket_of(target)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut response = send(&socket, method, path, body).await?;
        read_all(&mut response).await
    })
}

/// Begins one request; its answer is read as it comes.
pub(crate) async fn open(
    socket: &Path,
    method: Method,
    path: &str,
) -> anyhow::Result<Response<Incoming>> {
    send(socket, method, path, Bytes::new()).await
}

async fn send(
    socket: &Path,
    method: Method,
    path: &str,
    body: Bytes,
) -> anyhow::Result<Response<Incoming>> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|source| match source.kind() {
            std::io::ErrorKind::PermissionDenied => ClientError::Denied {
                socket: socket.to_owned(),
            },
            _ => ClientError::NotRunning {
                socket: socket.to_owned(),
                source,
            },
        })?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "ringfence")
        .header("content-type", "application/json")
        .body(Full::new(body))?;
    let mut response = sender.send_request(request).await?;
    if response.status() != StatusCode::OK {
        let body = read_all(&mut response).await?;
        let error = serde_json::from_slice(&body).unwrap_or_else(|_| {
            ApiError::new(
                format!("the edge answered {}", response.status()),
                "see its log",
            )
        });
        return Err(ClientError::Api(error).into());
    }
    Ok(response)
}

async fn read_all(response: &mut Response<Incoming>) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(frame) = response.body_mut().frame().await {
        if let Ok(data) = frame?.into_data() {
            anyhow::ensure!(
                body.len() + data.len() <= ANSWER_BYTES_MAX,
                "the answer is too large"
            );
            body.extend_from_slice(&data);
        }
    }
    Ok(body)
}

//! HTTPS towards the authority: one connection a request, roots of the system or of a file.

use std::error::Error as StdError;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::tls::build::{TlsError, client_config, roots_of_file, roots_of_system};

/// Longest answer: a chain of certificates and then some.
const ANSWER_MAX: usize = 256 * 1024;

/// Speaks to one authority.
pub(super) struct Client {
    tls: Arc<ClientConfig>,
}

impl Client {
    /// Trusts the authorities of `ca`, or of the system.
    pub(super) fn new(ca: Option<&Path>) -> Result<Client, TlsError> {
        const WHAT: &str = "acme";
        let roots = match ca {
            Some(file) => roots_of_file(file)?,
            None => roots_of_system(WHAT)?,
        };
        let tls = client_config(WHAT, roots, None, true)?;
        Ok(Client { tls })
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let tls = Arc::clone(&self.tls);
        Box::pin(async move {
            let answer = ask(tls, request).await;
            answer.map(BytesResponse::from).map_err(Error::Other)
        })
    }
}

async fn ask(
    tls: Arc<ClientConfig>,
    request: Request<BodyWrapper<Bytes>>,
) -> Result<Response<Full<Bytes>>, Box<dyn StdError + Send + Sync>> {
    let uri = request.uri().clone();
    let wrong = |what: &str| io::Error::other(format!("{uri}: {what}"));
    if uri.scheme_str() != Some("https") {
        return Err(wrong("an authority is asked over https only").into());
    }
    let host = uri.host().ok_or_else(|| wrong("no host"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(443))).await?;
    let name = ServerName::try_from(host.to_owned())?;
    let stream = TlsConnector::from(tls).connect(name, stream).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let (mut parts, body) = request.into_parts();
    if let Some(authority) = uri.authority() {
        parts.headers.insert("host", authority.as_str().parse()?);
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = path.parse()?;
    let response = sender
        .send_request(Request::from_parts(parts, body))
        .await?;
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_MAX).collect().await?.to_bytes();
    connection.abort();
    Ok(Response::from_parts(parts, Full::new(body)))
}

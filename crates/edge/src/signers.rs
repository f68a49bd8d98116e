//! Fetches the certificates of those who sign calls: the address of an Identity header's `info`
//! (RFC 8224 §4.1), which a stranger wrote.
//!
//! So: https only, to public addresses only (or those of `stir.fetch_from`), which are looked at
//! after the name is resolved and then connected to as they are; no redirects, no cookies, nothing
//! that says who asks; [`CHAIN_BYTES_MAX`] and [`FETCH_MAX`] for all of it. Several workers that
//! want the same address wait for one fetch. What failed, and for how long what came is kept, is the
//! verifier's to remember.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::{ACCEPT, CACHE_CONTROL, CONNECTION, HOST};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use ringfence_base::WorkerIndex;
use ringfence_base::text::Escaped;
use ringfence_control::config::Config;
use ringfence_stir::Guard;
use ringfence_stir::chain::CHAIN_BYTES_MAX;
use ringfence_stir::verifier::{FETCH_MAX, KEPT};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::run::shared::Shared;
use crate::tls::build::{client_config, roots_of_file, roots_of_system};
use crate::worker::mailbox::Command;

/// A worker wants the certificate at an address.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) worker: WorkerIndex,
    pub(crate) url: String,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fetched {
    /// The body.
    pub(crate) bytes: Bytes,
    /// For how long it holds.
    pub(crate) holds: Duration,
}

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the address is not one to fetch from")]
    Address,
    #[error("the connection failed")]
    Connect(#[source] io::Error),
    #[error("the server answers {0}")]
    Status(StatusCode),
    #[error("the server does not speak HTTP")]
    Http(#[source] hyper::Error),
    #[error("the answer is too long or breaks off")]
    Body,
    #[error("it takes too long")]
    Time,
    #[error("the authorities of stir.ca cannot be used")]
    Roots,
}

/// Who waits for an address, and since when.
type Waiting = BTreeMap<String, (Instant, Vec<WorkerIndex>)>;

/// Fetches for all workers, as long as the runtime lasts.
pub(crate) async fn serve(shared: Arc<Shared>, mut asked: mpsc::Receiver<Asked>) {
    let mut waiting = Waiting::new();
    let mut fetches = JoinSet::new();
    let mut speaker = Speaker::default();
    let lookups = Arc::new(Semaphore::new(LOOKUPS_MAX));
    loop {
        tokio::select! {
            Some(Asked { worker, url }) = asked.recv() => {
                // One that is older has been lost.
                waiting.retain(|_, (since, _)| since.elapsed() < 2 * FETCH_MAX);
                if let Some((_, workers)) = waiting.get_mut(&url) {
                    if !workers.contains(&worker) {
                        workers.push(worker);
                    }
                    continue;
                }
                let config = Arc::clone(&shared.applied.load().config);
                let guard = config.stir.as_ref().map(|stir| stir.trust.guard.clone());
                let (Some(guard), true) = (guard, fetches.len() < FETCHES_MAX) else {
                    tell(&shared, &[worker], &url, None);
                    continue;
                };
                waiting.insert(url.clone(), (Instant::now(), vec![worker]));
                let (tls, lookups) = (speaker.of(&config), Arc::clone(&lookups));
                fetches.spawn(async move {
                    let fetched = fetch(&url, &guard, tls, lookups);
                    let fetched = timeout(FETCH_MAX, fetched).await;
                    (url, fetched.unwrap_or(Err(FetchError::Time)))
                });
            }
            Some(done) = fetches.join_next(), if !fetches.is_empty() => {
                let Ok((url, fetched)) = done else { continue };
                if let Err(error) = &fetched {
                    let cause = std::error::Error::source(error).map(ToString::to_string);
                    tracing::info!(url = %Escaped(url.as_bytes()), %error, cause,
                        "a signer's certificate cannot be fetched");
                }
                let workers = waiting.remove(&url).map(|(_, workers)| workers);
                let fetched = fetched.ok().map(Arc::new);
                tell(&shared, &workers.unwrap_or_default(), &url, fetched);
            }
            else => return,
        }
    }
}

/// A worker that does not hear of it lets its calls go on by themselves.
fn tell(shared: &Shared, workers: &[WorkerIndex], url: &str, fetched: Option<Arc<Fetched>>) {
    for worker in workers {
        if let Some(ring) = shared.commands.get(worker.index()) {
            let _ = ring.push(Command::Certificate {
                url: url.into(),
                fetched: fetched.clone(),
            });
        }
    }
}

/// What is spoken to the servers, made once for a configuration.
#[derive(Default)]
struct Speaker {
    made: Option<(Arc<Config>, Option<Arc<ClientConfig>>)>,
}

impl Speaker {
    fn of(&mut self, config: &Arc<Config>) -> Option<Arc<ClientConfig>> {
        if let Some((of, tls)) = &self.made
            && Arc::ptr_eq(of, config)
        {
            return tls.clone();
        }
        let ca = config.stir.as_ref().and_then(|stir| stir.ca.as_deref());
        const WHAT: &str = "stir";
        let tls = match ca {
            Some(file) => roots_of_file(file),
            None => roots_of_system(WHAT),
        };
        let tls = tls.and_then(|roots| client_config(WHAT, roots, None, true));
        if let Err(error) = &tls {
            tracing::warn!(%error, "no signer's certificate can be fetched");
        }
        let tls = tls.ok();
        self.made = Some((Arc::clone(config), tls.clone()));
        tls
    }
}

async fn fetch(
    url: &str,
    guard: &Guard,
    tls: Option<Arc<ClientConfig>>,
    lookups: Arc<Semaphore>,
) -> Result<Fetched, FetchError> {
    let tls = tls.ok_or(FetchError::Roots)?;
    guard.check_url(url).map_err(|_| FetchError::Address)?;
    let uri: Uri = url.parse().map_err(|_| FetchError::Address)?;
    let host = uri.host().ok_or(FetchError::Address)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned()).map_err(|_| FetchError::Address)?;
    let found = addresses(host, uri.port_u16().unwrap_or(443), lookups).await?;
    // Here and not before: the name may lead anywhere, and elsewhere the next time.
    let allowed = found
        .into_iter()
        .filter(|address| guard.check_address(address.ip()).is_ok())
        .take(ADDRESSES_MAX);
    let stream = connect(allowed).await?;
    let stream = TlsConnector::from(tls).connect(name, stream).await;
    let stream = TokioIo::new(stream.map_err(FetchError::Connect)?);
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake(stream)
        .await
        .map_err(FetchError::Http)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().ok_or(FetchError::Address)?;
    let request = Request::get(path)
        .header(HOST, authority.as_str())
        .header(ACCEPT, "application/pem-certificate-chain, */*")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| FetchError::Address)?;
    let exchange = async {
        let response = sender.send_request(request).await;
        let (head, body) = response.map_err(FetchError::Http)?.into_parts();
        // A redirect would lead past the guard.
        if head.status != StatusCode::OK {
            return Err(FetchError::Status(head.status));
        }
        let body = Limited::new(body, CHAIN_BYTES_MAX).collect().await;
        let control = head.headers.get(CACHE_CONTROL);
        Ok(Fetched {
            bytes: body.map_err(|_| FetchError::Body)?.to_bytes(),
            holds: control.map_or(KEPT, |control| holds(control.as_bytes())),
        })
    };
    let mut exchange = pin!(exchange);
    // Not spawned: it ends with the fetch.
    tokio::select! {
        fetched = &mut exchange => fetched,
        _ = connection => exchange.await,
    }
}

async fn addresses(
    host: &str,
    port: u16,
    lookups: Arc<Semaphore>,
) -> Result<Vec<SocketAddr>, FetchError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    // A resolver that hangs keeps its thread after the fetch has ended, so these are counted.
    let permit = lookups.acquire_owned().await;
    let permit = permit.map_err(|_| FetchError::Time)?;
    let host = host.to_owned();
    let lookup = tokio::spawn(async move {
        let found = tokio::net::lookup_host((host, port)).await;
        let found = found.map(|found| found.collect());
        drop(permit);
        found
    });
    let found = lookup.await.map_err(|_| FetchError::Time)?;
    found.map_err(FetchError::Connect)
}

async fn connect(addresses: impl Iterator<Item = SocketAddr>) -> Result<TcpStream, FetchError> {
    let mut fault = FetchError::Address;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => fault = FetchError::Connect(error),
        }
    }
    Err(fault)
}

/// For how long an answer with this `Cache-Control` may be kept (RFC 9111 §5.2.2).
fn holds(control: &[u8]) -> Duration {
    let mut holds = KEPT;
    for directive in control.split(|byte| *byte == b',') {
        let directive = directive.trim_ascii().to_ascii_lowercase();
        match directive.strip_prefix(b"max-age=") {
            Some(age) => {
                let age = std::str::from_utf8(age).ok();
                let age = age.and_then(|age| age.trim_matches('"').parse().ok());
                holds = age.map_or(Duration::ZERO, Duration::from_secs);
            }
            None if matches!(&directive[..], b"no-store" | b"no-cache") => return Duration::ZERO,
            None => {}
        }
    }
    holds
}

/// Fetches at once.
const FETCHES_MAX: usize = 64;
/// Names that are looked up at once.
const LOOKUPS_MAX: usize = 16;
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;
/// The longest head of an answer, bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// What may wait to be fetched.
pub(crate) const ASKED_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use ringfence_stir::Guard;

    use super::*;
    use crate::tls::build::{Identity, server_config};

    /// An https server of our own that sends `answer` to whoever asks, and whom to trust.
    fn server(answer: Vec<u8>) -> (SocketAddr, Arc<ClientConfig>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let identity = Identity::of_our_own("test", &["127.0.0.1".to_owned()]).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(identity.chain[0].clone()).unwrap();
        let spoken = server_config("test", identity, None, true).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let tls = rustls::ServerConnection::new(Arc::clone(&spoken)).unwrap();
                let mut tls = rustls::StreamOwned::new(tls, stream);
                let mut request = [0; 2048];
                if tls.read(&mut request).is_ok() {
                    let _ = tls.write_all(&answer);
                    tls.conn.send_close_notify();
                    let _ = tls.flush();
                }
            }
        });
        (at, client_config("test", roots, None, true).unwrap())
    }

    fn loopback() -> Guard {
        Guard::with_networks(vec![("127.0.0.0".parse().unwrap(), 8)])
    }

    fn get(url: &str, guard: &Guard, tls: Arc<ClientConfig>) -> Result<Fetched, FetchError> {
        let lookups = Arc::new(Semaphore::new(1));
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        runtime.block_on(fetch(url, guard, Some(tls), lookups))
    }

    fn answer(head: &str, body: &str) -> Vec<u8> {
        format!(
            "HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    #[test]
    fn a_certificate_is_fetched_over_https_for_as_long_as_its_server_says_rfc8224_6_2() {
        let (at, tls) = server(answer(
            "200 OK\r\nCache-Control: public, max-age=600",
            "pem",
        ));
        let url = format!("https://{at}/a.pem?x=1");
        let fetched = get(&url, &loopback(), tls).unwrap();
        assert_eq!(&fetched.bytes[..], b"pem");
        assert_eq!(fetched.holds, Duration::from_secs(600));
    }

    #[test]
    fn an_address_that_is_not_public_is_not_asked() {
        let (at, tls) = server(answer("200 OK", "pem"));
        let url = format!("https://{at}/a.pem");
        let refused = get(&url, &Guard::default(), Arc::clone(&tls));
        assert!(matches!(refused, Err(FetchError::Address)), "{refused:?}");
        let plain = url.replace("https", "http");
        let refused = get(&plain, &loopback(), tls);
        assert!(matches!(refused, Err(FetchError::Address)), "{refused:?}");
    }

    #[test]
    fn redirects_errors_and_endless_bodies_bring_nothing() {
        let moved = "302 Found\r\nLocation: https://127.0.0.1/";
        for (head, body) in [(moved, ""), ("404 Not Found", "pem")] {
            let (at, tls) = server(answer(head, body));
            let refused = get(&format!("https://{at}/"), &loopback(), tls);
            assert!(matches!(refused, Err(FetchError::Status(_))), "{refused:?}");
        }
        let (at, tls) = server(answer("200 OK", &"x".repeat(CHAIN_BYTES_MAX + 1)));
        let refused = get(&format!("https://{at}/"), &loopback(), tls);
        assert!(matches!(refused, Err(FetchError::Body)), "{refused:?}");
    }

    #[test]
    fn a_server_that_cannot_prove_its_name_brings_nothing() {
        let (at, _) = server(answer("200 OK", "pem"));
        let (_, others) = server(answer("200 OK", "pem"));
        let refused = get(&format!("https://{at}/"), &loopback(), others);
        assert!(
            matches!(refused, Err(FetchError::Connect(_))),
            "{refused:?}"
        );
    }

    #[test]
    fn cache_control_is_read_rfc9111_5_2_2() {
        for (control, seconds) in [
            ("max-age=60", 60),
            ("Public, MAX-AGE=\"7\"", 7),
            ("public", 3600),
            ("no-store, max-age=60", 0),
            ("max-age=x", 0),
        ] {
            let expected = Duration::from_secs(seconds);
            assert_eq!(holds(control.as_bytes()), expected, "{control}");
        }
    }
}

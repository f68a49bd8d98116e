//! Traces by OTLP over HTTP. The exporter's own thread sends batches from a bounded queue; what a
//! slow collector does not take is dropped, and no record and no call waits for it.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use opentelemetry::trace::{
    Span as _, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use ringfence_base::UnixTime;
use ringfence_session::cdr::{Cdr, LegRecord, Outcome};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

/// How long a collector may take for a batch.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer that is read.
const ANSWER_MAX: usize = 64 * 1024;

/// Tells a collector of calls.
pub(crate) struct Traces {
    /// Its drop sends what waits.
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Traces {
    pub(super) fn to(name: &str, collector: SocketAddr) -> io::Result<Traces> {
        let client = Client {
            collector,
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name("rf-traces")
                .enable_all()
                .build()?,
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(format!("http://{collector}/v1/traces"))
            .with_timeout(PATIENCE)
            .build()
            .map_err(io::Error::other)?;
        let of = Resource::builder_empty()
            .with_service_name("ringfence")
            .with_attribute(KeyValue::new("service.instance.id", name.to_owned()))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(of)
            .build();
        let tracer = provider.tracer("ringfence");
        Ok(Traces { provider, tracer })
    }

    pub(super) fn call(&self, cdr: &Cdr) {
        let whole = self
            .tracer
            .span_builder(format!("call {}", cdr.direction.as_str()))
            .with_kind(SpanKind::Server)
            .with_start_time(time(cdr.started))
            .with_attributes(of_call(cdr));
        let mut whole = whole.start_with_context(&self.tracer, &Context::new());
        if !matches!(cdr.outcome, Outcome::Answered) {
            whole.set_status(Status::error(cdr.outcome.as_str()));
        }
        let within = Context::new().with_span(whole);
        let heard = cdr.ringing.or(cdr.answered).unwrap_or(cdr.ended);
        self.part(&within, "setup", cdr.started, heard, Vec::new());
        if let Some(ringing) = cdr.ringing {
            let until = cdr.answered.unwrap_or(cdr.ended);
            self.part(&within, "ringing", ringing, until, Vec::new());
        }
        if let Some(answered) = cdr.answered {
            let mut media = of_media("ingress", Some(&cdr.ingress));
            media.extend(of_media("egress", cdr.egress.as_ref()));
            self.part(&within, "answered", answered, cdr.ended, media);
        }
        within.span().end_with_timestamp(time(cdr.ended));
    }

    fn part(
        &self,
        within: &Context,
        name: &'static str,
        from: UnixTime,
        until: UnixTime,
        attributes: Vec<KeyValue>,
    ) {
        let part = self
            .tracer
            .span_builder(name)
            .with_start_time(time(from))
            .with_attributes(attributes);
        part.start_with_context(&self.tracer, within)
            .end_with_timestamp(time(until));
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::warn!(%error, "the last traces of calls were not taken");
        }
    }
}

fn time(at: UnixTime) -> SystemTime {
    let micros = u64::try_from(at.as_micros()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros)
}

fn of_call(cdr: &Cdr) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("ringfence.call.id", cdr.id.to_string()),
        KeyValue::new("ringfence.tenant", cdr.tenant.clone()),
        KeyValue::new("ringfence.site", cdr.site.clone()),
        KeyValue::new("ringfence.direction", cdr.direction.as_str()),
        KeyValue::new("ringfence.emergency", cdr.emergency),
        KeyValue::new("ringfence.outcome", cdr.outcome.as_str()),
        KeyValue::new("ringfence.ended_by", cdr.ended_by.as_str()),
        KeyValue::new("sip.status", i64::from(cdr.status)),
        KeyValue::new("q850.cause", i64::from(cdr.q850)),
        KeyValue::new("ringfence.ingress.peer", cdr.ingress.peer.clone()),
    ];
    if let Some(egress) = &cdr.egress {
        attributes.push(KeyValue::new("ringfence.egress.peer", egress.peer.clone()));
    }
    attributes
}

/// What came from the peer of a leg.
fn of_media(leg: &str, record: Option<&LegRecord>) -> Vec<KeyValue> {
    let Some(media) = record.and_then(|record| record.media.as_ref()) else {
        return Vec::new();
    };
    let key = |name: &str| format!("ringfence.{leg}.{name}");
    let mut attributes = vec![
        KeyValue::new(key("codec"), media.codec.clone()),
        KeyValue::new(key("protected"), media.srtp.is_some()),
        KeyValue::new(key("packets"), count(media.packets_received)),
        KeyValue::new(key("lost"), count(media.packets_lost)),
        KeyValue::new(key("jitter_us"), i64::from(media.jitter_us)),
    ];
    if let Some(mos) = media.mos {
        attributes.push(KeyValue::new(key("mos"), f64::from(mos)));
    }
    attributes
}

fn count(packets: u64) -> i64 {
    i64::try_from(packets).unwrap_or(i64::MAX)
}

/// HTTP/1.1 to the collector, from a runtime of its own: the exporter's thread has none.
#[derive(Debug)]
struct Client {
    collector: SocketAddr,
    runtime: Runtime,
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = send(self.collector, request);
        let sent = async move { tokio::time::timeout(PATIENCE, sent).await };
        self.runtime.spawn(sent).await??
    }
}

async fn send(to: SocketAddr, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let (mut parts, body) = request.into_parts();
    parts.headers.insert("host", to.to_string().parse()?);
    let path = parts.uri.path().parse()?;
    parts.uri = path;
    let stream = TokioIo::new(TcpStream::connect(to).await?);
    let (mut sender, connection) = http1::handshake(stream).await?;
    let connection = tokio::spawn(connection);
    let request = Request::from_parts(parts, Full::new(body));
    let (parts, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, ANSWER_MAX).collect().await?.to_bytes();
    connection.abort();
    Ok(Response::from_parts(parts, body))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;
    use crate::records::record;

    #[test]
    fn a_call_is_a_trace_that_tells_nobodys_number() {
        let collector = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = collector.local_addr().unwrap();
        let taken = std::thread::spawn(move || {
            let (mut stream, _) = collector.accept().unwrap();
            let mut got = Vec::new();
            let mut room = [0; 4096];
            let text = |got: &[u8]| String::from_utf8_lossy(got).into_owned();
            loop {
                let read = stream.read(&mut room).unwrap();
                got.extend_from_slice(&room[..read]);
                let head = text(&got);
                let Some((head, _)) = head.split_once("\r\n\r\n") else {
                    continue;
                };
                let length = head
                    .lines()
                    .filter_map(|line| line.split_once(": "))
                    .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                    .and_then(|(_, length)| length.parse::<usize>().ok())
                    .unwrap();
                if got.len() >= head.len() + 4 + length {
                    break;
                }
            }
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .unwrap();
            text(&got)
        });
        let traces = Traces::to("edge-1", address).unwrap();
        let mut told = record();
        told.from = "+15551234567".to_owned();
        told.to = "+13305550100".to_owned();
        told.ingress.call_id = "call-id-of-the-carrier".to_owned();
        told.site = "summit".to_owned();
        told.answered = Some(told.started);
        traces.call(&told);
        drop(traces);
        let got = taken.join().unwrap();
        assert!(got.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{got}");
        for expected in [
            "edge-1",
            "setup",
            "answered",
            &told.site,
            &told.id.to_string(),
        ] {
            assert!(got.contains(expected), "{expected} in {got}");
        }
        for hidden in [&told.from, &told.to, &told.ingress.call_id] {
            assert!(!got.contains(hidden.as_str()), "{hidden}");
        }
    }
}

//! From a question of the control API to a running capture.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use ringfence_base::{HashKey, ListenerId};
use ringfence_control::api::{ApiError, CaptureQuery};
use ringfence_session::plan::Network;
use tokio::sync::mpsc;

use super::filter::{Filter, Line, Wanted, digits};
use super::{CAPTURES_MAX, Capture, Limits, Slot};
use crate::entropy::SystemEntropy;
use crate::run::shared::{Shared, WorkerSilent};

/// Longest capture, largest file.
const TIME_MAX: Duration = Duration::from_secs(24 * 3_600);
const BYTES_MAX: u64 = 16 << 30;
/// What they are when nobody says.
const TIME_DEFAULT: Duration = Duration::from_secs(600);
const BYTES_DEFAULT: u64 = 100 << 20;
/// Room for the first blocks of a file and its last.
const BYTES_MIN: u64 = 4_096;

/// Why there is no capture.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CaptureError {
    /// As many as may be are running.
    #[error("{CAPTURES_MAX} captures are running already")]
    Busy,
    /// The question makes no sense.
    #[error("{}", .0.error)]
    Query(ApiError),
    /// No thread.
    #[error("the system refuses a thread")]
    Thread(#[source] std::io::Error),
    /// A worker does not answer.
    #[error(transparent)]
    Worker(#[from] WorkerSilent),
}

/// Starts a capture; the answer is its file as it grows.
pub(crate) async fn start(
    shared: &Shared,
    query: &CaptureQuery,
) -> Result<CaptureBody, CaptureError> {
    let slot = Slot::take(&shared.captures).ok_or(CaptureError::Busy)?;
    let plan = Arc::clone(&shared.applied.load().plan);
    let calls = shared.calls().await?;
    let mut wanted = wanted(query).map_err(CaptureError::Query)?;
    if let Some(name) = &query.trunk {
        let peer = plan.peers.iter().find(|peer| peer.key == *name);
        let peer = peer.ok_or_else(|| {
            let error = format!("there is no trunk, PBX or group of phones {name:?}");
            CaptureError::Query(ApiError::new(error, "`ringfence lines` shows the names"))
        })?;
        wanted.line = Some(Line::new(peer));
    }
    if let Some(id) = &query.call {
        let call = calls.iter().find(|call| call.id.to_string() == *id);
        let call = call.ok_or_else(|| {
            let fix = "`ringfence calls` shows the ids; a call to come is found by --number";
            CaptureError::Query(ApiError::new(format!("no call {id:?} is in progress"), fix))
        })?;
        let legs = [&call.ingress, &call.egress];
        wanted.call_ids = Some(legs.map(|leg| leg.call_id.clone().into_bytes()).to_vec());
    }
    let key = HashKey::generate(&mut SystemEntropy::new());
    let filter = Filter::new(wanted, plan.listeners.len(), key);
    let names = plan.listeners.iter().map(|listener| listener.name.clone());
    let (mut capture, tap) = Capture::new(filter, limits(query), names.collect(), key);
    shared.attach(&tap).await?;
    // The workers' clones are all that keep the capture fed.
    drop(tap);
    if capture.filter_mut().has_media() || query.number.is_some() {
        let listener_of = |name: &str| -> Option<ListenerId> {
            let peer = plan.peers.iter().find(|peer| peer.key == name)?;
            Some(peer.listener)
        };
        for call in &calls {
            capture.filter_mut().know(call, listener_of);
        }
    }
    let pieces = capture.start(slot).map_err(CaptureError::Thread)?;
    Ok(CaptureBody { pieces })
}

fn wanted(query: &CaptureQuery) -> Result<Wanted, ApiError> {
    let number = match query
        .number
        .as_deref()
        .map(|number| digits(number.as_bytes()))
    {
        Some(digits) if digits.is_empty() => {
            let error = "the number has no digits";
            return Err(ApiError::new(error, "write it like +13305550100"));
        }
        number => number,
    };
    let address = match &query.address {
        Some(text) => Some(network(text).ok_or_else(|| {
            let error = format!("{text:?} is neither an address nor a block");
            ApiError::new(error, "write it like 192.0.2.10 or 192.0.2.0/24")
        })?),
        None => None,
    };
    Ok(Wanted {
        call_ids: None,
        number,
        address,
        line: None,
        method: query.method.clone().map(String::into_bytes),
        media: query.media,
    })
}

fn network(text: &str) -> Option<Network> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let whole = if address.is_ipv4() { 32 } else { 128 };
    Network::new(address, prefix.unwrap_or(whole))
}

fn limits(query: &CaptureQuery) -> Limits {
    Limits {
        time: query
            .seconds
            .map_or(TIME_DEFAULT, Duration::from_secs)
            .min(TIME_MAX),
        packets: query.packets.unwrap_or(u64::MAX).max(1),
        bytes: query
            .bytes
            .unwrap_or(BYTES_DEFAULT)
            .clamp(BYTES_MIN, BYTES_MAX),
    }
}

/// The file as the body of an answer. Dropped when the reader goes away, which ends the capture.
pub(crate) struct CaptureBody {
    pieces: mpsc::Receiver<Bytes>,
}

impl CaptureBody {
    /// As axum takes it.
    pub(crate) fn into_body(self) -> axum::body::Body {
        axum::body::Body::new(self.boxed_unsync())
    }
}

impl axum::body::HttpBody for CaptureBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        let piece = self.pieces.poll_recv(context);
        piece.map(|piece| piece.map(|piece| Ok(http_body::Frame::data(piece))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_a_block() {
        let within = |text: &str, ip: &str| network(text).unwrap().contains(ip.parse().unwrap());
        assert!(within("192.0.2.10", "192.0.2.10") && !within("192.0.2.10", "192.0.2.11"));
        assert!(within("192.0.2.0/24", "192.0.2.11"));
        assert!(within("2001:db8::/32", "2001:db8::7"));
        for bad in ["192.0.2", "192.0.2.0/33", "x/8", ""] {
            assert!(network(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn limits_that_nobody_gave_are_there_all_the_same() {
        let limits = limits(&CaptureQuery {
            seconds: Some(u64::MAX),
            packets: Some(0),
            ..CaptureQuery::default()
        });
        assert_eq!((limits.time, limits.packets), (TIME_MAX, 1));
        assert_eq!(limits.bytes, BYTES_DEFAULT);
    }
}

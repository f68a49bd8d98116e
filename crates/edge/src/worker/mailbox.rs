//! What other threads send to a worker, and what it answers.

use std::sync::Arc;

use ringfence_base::{ConnectionId, Flow, WorkerIndex};
use ringfence_dialog::Transmit;
use ringfence_session::call_id::CallId;
use ringfence_session::plan::Plan;
use ringfence_session::trace::TraceEntry;
use ringfence_session::view::CallView;
use tokio::sync::oneshot;

use super::snapshot::WorkerSnapshot;
use crate::capture::CaptureTap;
use crate::signers::Fetched;
use crate::sources::Sources;
use crate::tls::TlsContext;

/// From worker to worker.
pub(crate) enum Handover {
    /// A connection of another worker is gone, of which this one was given messages.
    Closed(ConnectionId),
    /// What was to be sent over another worker's connection was not.
    Failed(Flow),
    /// An emergency call needs the channel of this call.
    MakeWay(CallId),
    /// A message of a call that this worker owns.
    Message {
        flow: Flow,
        bytes: Box<[u8]>,
        names: Arc<[String]>,
    },
    /// A CANCEL, or the ACK of a failure, whose INVITE the sender does not know. It goes on to so
    /// many `others`.
    OfInvite {
        flow: Flow,
        bytes: Box<[u8]>,
        names: Arc<[String]>,
        others: u8,
    },
    /// A phone has registered over a connection of this worker.
    Registered(ConnectionId),
    /// A message to send over a connection that this worker owns.
    Transmit {
        transmit: Transmit,
        /// Who must learn of a failure.
        from: WorkerIndex,
    },
}

/// From the control side. Rare, so each may be large.
pub(crate) enum Command {
    /// The calls in progress.
    Calls(oneshot::Sender<Vec<CallView>>),
    /// What came of the fetch of a signer's certificate.
    Certificate {
        url: Box<str>,
        fetched: Option<Arc<Fetched>>,
    },
    /// Offer what passes to a capture, and say when that begins.
    Capture(CaptureTap, oneshot::Sender<()>),
    /// Take no new calls, and tell when none is left.
    Drain,
    /// End a call; whether it was there.
    HangUp(CallId, oneshot::Sender<bool>),
    /// Use a new plan.
    Reload(Box<Reload>),
    /// How are you?
    Snapshot(oneshot::Sender<Box<WorkerSnapshot>>),
    /// End at once.
    Stop,
    /// The messages of a call.
    Trace(CallId, oneshot::Sender<Vec<TraceEntry>>),
}

/// What a reload changes in a worker.
#[derive(Clone)]
pub(crate) struct Reload {
    pub(crate) plan: Arc<Plan>,
    pub(crate) sources: Arc<Sources>,
    pub(crate) tls: Arc<TlsContext>,
}

/// From a worker to the control side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// It drains and has no call left.
    Idle(u8),
    /// Its thread is about to end.
    Stopped(u8),
}

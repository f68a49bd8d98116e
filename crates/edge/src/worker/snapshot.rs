//! The numbers of one worker at one moment.

use ringfence_base::{UnixTime, WorkerIndex};
use ringfence_dialog::Counters as TransactionCounters;
use ringfence_media::Counters as MediaCounters;
use ringfence_session::counters::Counters as CallCounters;

use crate::stream::StreamCounters;

/// What the worker itself counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerCounters {
    /// Turns of the loop.
    pub turns: u64,
    /// Signalling datagrams received.
    pub datagrams_received: u64,
    /// Signalling datagrams sent.
    pub datagrams_sent: u64,
    /// Signalling datagrams that the kernel did not take.
    pub datagrams_refused: u64,
    /// Datagrams of line ends only: keep-alives.
    pub keep_alives: u64,
    /// Datagrams and messages of blocked or slowed sources that were dropped unread.
    pub dropped_by_judge: u64,
    /// Messages handed to the worker that owns their call.
    pub handed_over: u64,
    /// Messages and news taken from other workers.
    pub taken_over: u64,
    /// Hand-overs refused by a full ring.
    pub hand_over_refused: u64,
    /// Media packets received.
    pub media_received: u64,
    /// Media packets that the kernel did not take.
    pub media_refused: u64,
    /// Errors reading a socket.
    pub receive_errors: u64,
    /// Panics that reached the worker's last boundary.
    pub panics: u64,
    /// Calls whose record says that they failed.
    pub calls_failed: u64,
    /// Call records that found the way to the disk full.
    pub records_lost: u64,
}

/// All of a worker's numbers.
#[derive(Clone, Debug)]
pub struct WorkerSnapshot {
    /// Which worker.
    pub worker: WorkerIndex,
    /// When, by its wall-clock anchor.
    pub at: UnixTime,
    /// The loop's.
    pub loop_counters: WorkerCounters,
    /// Calls.
    pub calls: CallCounters,
    /// Transactions.
    pub transactions: TransactionCounters,
    /// Transactions held now: clients and servers.
    pub transactions_held: (usize, usize),
    /// Media.
    pub media: MediaCounters,
    /// Media streams open now.
    pub media_streams: usize,
    /// Media port pairs: by listener, all and free.
    pub media_pairs: Vec<(usize, usize)>,
    /// Connections.
    pub streams: StreamCounters,
    /// Datagrams that the kernel dropped for want of room: signalling and media.
    pub kernel_drops: (u64, u64),
    /// Whether it was told to drain: it takes no new call.
    pub draining: bool,
}

//! Keeps the events that the judge was told, for `ringfence replay --last`.
//!
//! The judge writes each event into a block of memory, which costs it as much as a copy. Full
//! blocks, and once a second whatever there is, go by a bounded queue to a thread that writes them.
//! A disk that does not keep up fills the queue; what finds it full is not kept, is counted, and
//! the files say so. Nobody waits for it but the end of the process.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use ringfence_base::{Instant, UnixTime};
use ringfence_detect::event::Event;
use ringfence_detect::name::Name;
use ringfence_session::plan::{PeerKind, Plan};
use ringfence_store::events::{Block, Directory, EventWriter, EventsError};

use crate::clock::unix_now;

/// Blocks that may wait for the disk: 4 MB, some 80,000 events.
const WAITING_MAX: usize = 64;
/// A block is handed over after so long, however little is in it.
const HAND_OVER: Duration = Duration::from_secs(1);
/// Files that are too old are looked for so often when there are no events.
const PRUNE: Duration = Duration::from_secs(600);
/// After a failure the disk is left alone for so long; what comes meanwhile is lost.
const REST: Duration = Duration::from_secs(5);

/// What became of the events.
#[derive(Debug, Default)]
pub struct LedgerCounters {
    /// Written.
    pub kept: AtomicU64,
    /// Not kept: the disk was too slow, or refused.
    pub lost: AtomicU64,
    /// Bytes of all files.
    pub bytes: AtomicU64,
}

enum Order {
    Directory(Directory),
    Events(Block),
}

/// The judge's end.
pub(crate) struct Ledger {
    block: Block,
    /// When the block is handed over at the latest; none while it is empty.
    due: Option<Instant>,
    /// Events that found no room since the last block that did.
    unkept: u32,
    /// A directory that found no room.
    directory: Option<Directory>,
    queue: SyncSender<Order>,
    /// Blocks that were written, to be used again.
    empty: Receiver<Block>,
    counters: Arc<LedgerCounters>,
    thread: JoinHandle<()>,
}

impl Ledger {
    /// Starts the thread that writes.
    pub(crate) fn start(writer: EventWriter) -> io::Result<Ledger> {
        let (queue, orders) = sync_channel(WAITING_MAX);
        let (written, empty) = sync_channel(WAITING_MAX);
        let counters = Arc::new(LedgerCounters::default());
        counters.bytes.store(writer.bytes(), Relaxed);
        let mut writing = Writing {
            writer,
            counters: Arc::clone(&counters),
            lost: 0,
            refused_until: None,
        };
        let thread = std::thread::Builder::new()
            .name("rf-events".to_owned())
            .spawn(move || writing.run(&orders, &written))?;
        Ok(Ledger {
            block: Block::default(),
            due: None,
            unkept: 0,
            directory: None,
            queue,
            empty,
            counters,
            thread,
        })
    }

    /// What became of the events.
    pub(crate) fn counters(&self) -> &Arc<LedgerCounters> {
        &self.counters
    }

    /// Who the numbers in events are from now on.
    pub(super) fn plan(&mut self, plan: &Plan) {
        self.hand_over();
        self.directory = Some(directory(plan));
        self.hand_over_directory();
    }

    /// Keeps an event that happened `at`.
    pub(super) fn event(&mut self, now: Instant, at: UnixTime, event: &Event) {
        self.block.event(at, event);
        self.added(now);
    }

    /// Keeps a registration that an earlier process saw.
    pub(super) fn place(
        &mut self,
        now: Instant,
        at: UnixTime,
        address: std::net::IpAddr,
        account: Name,
    ) {
        self.block.place(at, address, account);
        self.added(now);
    }

    /// Hands over what has waited long enough. Call it with every batch.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.due.is_some_and(|due| due <= now) {
            self.hand_over();
        }
    }

    /// Writes everything and ends.
    pub(super) fn finish(mut self) {
        self.hand_over();
        drop(self.queue);
        let _ = self.thread.join();
    }

    fn added(&mut self, now: Instant) {
        if self.due.is_none() {
            self.due = Some(now + HAND_OVER);
        }
        if self.block.is_full() {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        self.hand_over_directory();
        self.due = None;
        if self.block.records() == 0 {
            return;
        }
        let empty = self.empty.try_recv().unwrap_or_default();
        let mut full = std::mem::replace(&mut self.block, empty);
        full.note_lost(self.unkept);
        // Events of other numbers than the file says would be told of the wrong peers.
        let refused = match self.directory.is_some() {
            true => Some(full),
            false => match self.queue.try_send(Order::Events(full)) {
                Ok(()) => None,
                Err(refused) => match refused {
                    std::sync::mpsc::TrySendError::Full(Order::Events(block))
                    | std::sync::mpsc::TrySendError::Disconnected(Order::Events(block)) => {
                        Some(block)
                    }
                    _ => None,
                },
            },
        };
        self.unkept = 0;
        if let Some(mut block) = refused {
            self.unkept = block.lost().saturating_add(block.records());
            self.counters
                .lost
                .fetch_add(block.records().into(), Relaxed);
            block.clear();
            self.block = block;
        }
    }

    fn hand_over_directory(&mut self) {
        if let Some(directory) = self.directory.take()
            && let Err(refused) = self.queue.try_send(Order::Directory(directory))
        {
            let (std::sync::mpsc::TrySendError::Full(order)
            | std::sync::mpsc::TrySendError::Disconnected(order)) = refused;
            if let Order::Directory(directory) = order {
                self.directory = Some(directory);
            }
        }
    }
}

/// The disk's end.
struct Writing {
    writer: EventWriter,
    counters: Arc<LedgerCounters>,
    /// Events that the disk refused since the last block that it took.
    lost: u32,
    /// The disk refused, and is left alone until then.
    refused_until: Option<UnixTime>,
}

impl Writing {
    fn run(&mut self, orders: &Receiver<Order>, written: &SyncSender<Block>) {
        loop {
            match orders.recv_timeout(PRUNE) {
                Ok(Order::Directory(directory)) => {
                    let done = self.writer.set_directory(unix_now(), &directory);
                    self.note(done);
                }
                Ok(Order::Events(mut block)) => {
                    self.write(unix_now(), &mut block);
                    block.clear();
                    // Without room there are enough of them.
                    let _ = written.try_send(block);
                }
                Err(RecvTimeoutError::Timeout) => {
                    let done = self.writer.prune(unix_now());
                    self.note(done);
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn write(&mut self, now: UnixTime, block: &mut Block) {
        let records = block.records();
        let resting = self.refused_until.is_some_and(|until| now < until);
        block.note_lost(self.lost);
        let done = match resting {
            true => false,
            false => {
                let done = self.writer.append(now, block);
                self.note(done)
            }
        };
        if done {
            self.lost = 0;
            self.refused_until = None;
            self.counters.kept.fetch_add(records.into(), Relaxed);
        } else {
            self.lost = block.lost().saturating_add(records);
            self.counters.lost.fetch_add(records.into(), Relaxed);
        }
        self.counters.bytes.store(self.writer.bytes(), Relaxed);
    }

    /// Whether it worked; a failure is said, and the disk left alone for a moment.
    fn note(&mut self, done: Result<(), EventsError>) -> bool {
        let Err(error) = done else { return true };
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        tracing::error!(%error, cause, "events of detection cannot be kept");
        let rest = REST.as_micros() as i64;
        self.refused_until = Some(UnixTime::from_micros(unix_now().as_micros() + rest));
        false
    }
}

/// Who the peers and sites of a plan are, by their numbers.
fn directory(plan: &Plan) -> Directory {
    let peers = plan.peers.iter().map(|peer| {
        let kind = match peer.kind {
            PeerKind::Trunk => "trunk",
            PeerKind::Pbx => "pbx",
            PeerKind::Phones => "phones",
        };
        (kind.to_owned(), peer.key.clone())
    });
    Directory {
        peers: peers.collect(),
        sites: plan.sites.iter().map(|site| site.key.clone()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use ringfence_base::{Flow, HashKey, ListenerId};
    use ringfence_detect::codec::Kept;
    use ringfence_detect::event::{Principal, Proof, Source, What};
    use ringfence_store::events::{Bounds, Ledger as Files, Piece, Summary};

    use super::*;

    const NOW: Instant = Instant::from_nanos(1_000_000_000);
    const BOUNDS: Bounds = Bounds {
        bytes: 1 << 30,
        age: Duration::from_secs(86_400),
    };

    fn event(bytes: u32) -> Event {
        let remote = "192.0.2.7:5060".parse().unwrap();
        let flow = Flow::udp(ListenerId::new(0), remote);
        Event {
            at: NOW,
            source: Source::of(&flow, Proof::None, Principal::Stranger),
            what: What::Unparseable { bytes },
        }
    }

    fn read(folder: &std::path::Path) -> (Vec<u32>, Summary) {
        let mut numbers = Vec::new();
        let files = Files::open(folder).unwrap();
        let read = files.read(HashKey::from_bytes([0; 16]), |piece| {
            if let Piece::Record(Kept::Event { event, .. }) = piece
                && let What::Unparseable { bytes } = event.what
            {
                numbers.push(bytes);
            }
        });
        let summary = read.unwrap();
        (numbers, summary)
    }

    #[test]
    fn what_waits_is_written_before_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let writer = EventWriter::open(folder.path(), BOUNDS).unwrap();
        let mut ledger = Ledger::start(writer).unwrap();
        ledger.plan(&Plan::default());
        let count = 10_000;
        for number in 0..count {
            ledger.event(NOW, unix_now(), &event(number));
        }
        let counters = Arc::clone(ledger.counters());
        ledger.finish();
        let (numbers, summary) = read(folder.path());
        // A disk that was slow here may have left out whole blocks; it says how many events.
        let lost = counters.lost.load(Relaxed);
        assert_eq!(numbers.len() as u64 + lost, u64::from(count));
        assert_eq!(counters.kept.load(Relaxed), numbers.len() as u64);
        assert_eq!(summary.damages, []);
        assert_eq!(numbers.last().copied(), Some(count - 1));
    }

    #[test]
    fn a_slow_disk_costs_events_and_keeps_nobody_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let writer = EventWriter::open(folder.path(), BOUNDS).unwrap();
        let mut ledger = Ledger::start(writer).unwrap();
        // A disk that takes nothing: one block waits for it.
        let (queue, orders) = sync_channel(1);
        let running = std::mem::replace(&mut ledger.queue, queue);
        let mut now = NOW;
        for number in 0..5 {
            ledger.event(now, unix_now(), &event(number));
            ledger.handle_timeout(now);
            now += HAND_OVER;
            ledger.handle_timeout(now);
        }
        assert_eq!(ledger.counters.lost.load(Relaxed), 4);
        // It goes on: the next block says what is missing before it.
        running.send(orders.try_recv().unwrap()).unwrap();
        ledger.queue = running;
        ledger.event(now, unix_now(), &event(5));
        ledger.finish();
        let (numbers, summary) = read(folder.path());
        assert_eq!((numbers, summary.lost), (vec![0, 5], 4));
    }

    #[test]
    fn a_disk_that_refuses_is_left_alone_for_a_moment_and_the_gap_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        let writer = EventWriter::open(&path, BOUNDS).unwrap();
        let mut writing = Writing {
            writer,
            counters: Arc::default(),
            lost: 0,
            refused_until: None,
        };
        std::fs::remove_dir(&path).unwrap();
        let at = |seconds: i64| UnixTime::from_micros(unix_now().as_micros() + seconds * 1_000_000);
        let mut write = |at: UnixTime, number| {
            let mut block = Block::default();
            block.event(at, &event(number));
            writing.write(at, &mut block);
        };
        write(at(0), 0);
        std::fs::create_dir(&path).unwrap();
        write(at(0), 1);
        write(at(60), 2);
        let (numbers, summary) = read(&path);
        assert_eq!((numbers, summary.lost), (vec![2], 2));
        assert_eq!(writing.counters.lost.load(Relaxed), 2);
        assert_eq!(writing.counters.kept.load(Relaxed), 1);
    }
}

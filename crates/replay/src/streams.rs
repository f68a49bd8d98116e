//! TCP streams put together, and SIP messages out of them by the framer of the live edge.
//!
//! Bounded in streams and in bytes that wait for a gap to close; a gap that does not close is
//! jumped over, and the stream is read on at the next message.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use ringfence_base::{HashKey, KeyedMap};
use ringfence_sip::frame::{Frame, StreamFramer};
use ringfence_sip::{Index, Message};

use crate::packet::Segment;
use crate::wire::looks_like_sip;

/// Directions of connections that are followed at once. The oldest goes first.
pub const STREAMS_MAX: usize = 2_048;
/// Bytes of a direction that wait for a gap to close.
const AHEAD_MAX: usize = 64 * 1024;
/// Segments likewise.
const SEGMENTS_MAX: usize = 128;

type Id = (SocketAddr, SocketAddr);

#[derive(Debug, Default)]
struct Stream {
    /// The number of the next byte; `None` before the first.
    next: Option<u32>,
    /// By their distance from the first byte that is missing: filled only over gaps.
    ahead: BTreeMap<u32, Vec<u8>>,
    waiting: usize,
    framer: StreamFramer,
    /// The bytes cannot be told apart until a segment begins with a message.
    lost: bool,
}

/// All of them.
pub struct Streams {
    all: KeyedMap<Id, Stream>,
    order: VecDeque<Id>,
    index: Index,
    broken: u64,
}

impl Streams {
    /// None yet.
    pub fn new(key: HashKey) -> Streams {
        Streams {
            all: key.map(),
            order: VecDeque::new(),
            index: Index::default(),
            broken: 0,
        }
    }

    /// Takes a segment; `each` is called for every message that it completes, and with `None` where
    /// a stream ceased to be SIP.
    pub fn push(
        &mut self,
        (from, to): Id,
        segment: &Segment<'_>,
        mut each: impl FnMut(Option<Message<'_>>),
    ) {
        let id = (from, to);
        if segment.syn || !self.all.contains_key(&id) {
            if segment.data.is_empty() && !segment.syn {
                return;
            }
            self.open(id, segment);
        }
        let Some(stream) = self.all.get_mut(&id) else {
            return;
        };
        let sequence = segment.sequence.wrapping_add(u32::from(segment.syn));
        let mut next = *stream.next.get_or_insert(sequence);
        stream.put(next, sequence, segment.data);
        while let Some(bytes) = stream.take(&mut next) {
            stream.next = Some(next);
            if stream.lost {
                if !looks_like_sip(&bytes) {
                    continue;
                }
                stream.lost = false;
                stream.framer = StreamFramer::new();
            }
            stream.framer.push(&bytes);
            loop {
                match stream.framer.next(&mut self.index) {
                    Ok(Some(Frame::Message(message))) => each(Some(message)),
                    Ok(Some(Frame::Ping)) => {}
                    Ok(Some(Frame::Broken(message, _))) => each(Some(message)),
                    Ok(None) => break,
                    Err(_) => {
                        self.broken += 1;
                        stream.lost = true;
                        each(None);
                        break;
                    }
                }
            }
        }
        if segment.ends && stream.ahead.is_empty() {
            self.all.remove(&id);
            self.order.retain(|other| *other != id);
        }
    }

    /// Whether the other direction of a connection was seen: then its addresses are real.
    pub fn has(&self, from: SocketAddr, to: SocketAddr) -> bool {
        self.all.contains_key(&(from, to))
    }

    /// Streams that ceased to be SIP.
    pub const fn broken(&self) -> u64 {
        self.broken
    }

    fn open(&mut self, id: Id, segment: &Segment<'_>) {
        if self.all.insert(id, Stream::default()).is_none() {
            if self.order.len() >= STREAMS_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.all.remove(&oldest);
            }
            self.order.push_back(id);
        }
        if let Some(stream) = self.all.get_mut(&id) {
            // A connection that was open before the capture began is read from a message on.
            stream.lost = !segment.syn && !looks_like_sip(segment.data);
        }
    }
}

impl Stream {
    fn put(&mut self, next: u32, sequence: u32, data: &[u8]) {
        let distance = sequence.wrapping_sub(next);
        let (distance, data) = match distance as i32 {
            // Sent again, perhaps with more behind it.
            behind if behind < 0 => {
                let known = behind.unsigned_abs() as usize;
                (0, data.get(known..).unwrap_or_default())
            }
            _ => (distance, data),
        };
        if data.is_empty() || distance > i32::MAX as u32 / 2 {
            return;
        }
        let at = next.wrapping_add(distance);
        let longer = self
            .ahead
            .get(&at)
            .is_none_or(|known| known.len() < data.len());
        if longer {
            let known = self.ahead.insert(at, data.to_vec());
            self.waiting += data.len();
            self.waiting -= known.map_or(0, |known| known.len());
        }
    }

    /// The bytes that follow next, if they are there.
    fn take(&mut self, next: &mut u32) -> Option<Vec<u8>> {
        // Numbers wrap: what is nearest ahead counts, not what is smallest.
        let nearest = |ahead: &BTreeMap<u32, Vec<u8>>, next: u32| {
            let after = ahead.range(next..).next();
            after.or_else(|| ahead.iter().next()).map(|(at, _)| *at)
        };
        loop {
            // What begins before the next byte overlaps what was read.
            let stale = self
                .ahead
                .iter()
                .find(|(at, _)| (at.wrapping_sub(*next) as i32) < 0)
                .map(|(at, _)| *at);
            let at = match stale {
                Some(at) => at,
                None => nearest(&self.ahead, *next)?,
            };
            let gap = at.wrapping_sub(*next) as i32;
            if gap > 0 {
                if self.waiting <= AHEAD_MAX && self.ahead.len() <= SEGMENTS_MAX {
                    return None;
                }
                self.lost = true;
                *next = at;
            }
            let bytes = self.ahead.remove(&at)?;
            self.waiting -= bytes.len();
            let known = if gap < 0 {
                gap.unsigned_abs() as usize
            } else {
                0
            };
            let Some(fresh) = bytes.get(known..).filter(|fresh| !fresh.is_empty()) else {
                continue;
            };
            *next = next.wrapping_add(fresh.len() as u32);
            return Some(fresh.to_vec());
        }
    }
}

//! Events of detection in files, so that they can be judged again: what `ringfence replay --last`
//! reads.
//!
//! A folder of files, each of an hour or [`FILE_BYTES_MAX`], each a head and blocks. A block is
//! framed by its length and guarded by a checksum: a crash, or a disk that is full, costs the end
//! of one file and nothing else. Nothing is synchronised to the disk: what is kept here is worth
//! less than a call, and a killed process loses none of what it has written.
//!
//! A file says the version of the records in it ([`codec::VERSION`]) and begins with who the
//! numbers of peers and sites in it are, so that it can be read after the configuration changed.
//!
//! Numbers and addresses of people are in here: the folder is 0700, its files 0600.
//!
//! Left out on purpose: compression; the thread and the queue (the edge owns both).

mod read;
#[cfg(test)]
mod tests;
mod write;

use std::path::PathBuf;
use std::time::Duration;

use ringfence_base::{HashKey, UnixTime};
use ringfence_detect::codec::{self, Encoder, RECORD_BYTES_MAX};
use ringfence_detect::event::Event;
use ringfence_detect::name::Name;
use serde::{Deserialize, Serialize};

pub use read::{Damage, Ledger, Piece, Summary};
pub use write::EventWriter;

/// The folder of events, in the folder of data.
pub const FOLDER: &str = "events";
/// The file beside it with the key that names of events are hashed under, 16 bytes.
pub const KEY: &str = "events.key";
/// Records of one block, in bytes: a block is handed over when it has so many.
pub const BLOCK_BYTES: usize = 64 << 10;
/// The longest block that is read.
const BLOCK_BYTES_MAX: usize = BLOCK_BYTES + RECORD_BYTES_MAX;
/// The longest file.
pub const FILE_BYTES_MAX: u64 = 64 << 20;
/// The longest time of one file.
const FILE_TIME_MAX: Duration = Duration::from_secs(3600);
/// Files of a full folder, at least: what goes at once to make room is no more than one of them.
const FILES_MIN: u64 = 16;

/// What a file begins with: who wrote it, and the version of its records.
const MAGIC: [u8; 7] = *b"RFEVENT";
const FILE_HEAD: usize = MAGIC.len() + 1;
/// Kind, records, bytes, events lost before it, time of its first record, checksum.
const BLOCK_HEAD: usize = 1 + 4 + 4 + 4 + 8 + 8;

const KIND_EVENTS: u8 = 1;
const KIND_DIRECTORY: u8 = 2;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of all files together.
    pub bytes: u64,
    /// How long.
    pub age: Duration,
}

/// Who the numbers of peers and sites in events are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// `trunk`, `pbx` or `phones`, and the name in the configuration; in the order of their numbers.
    pub peers: Vec<(String, String)>,
    /// Names of sites, likewise.
    pub sites: Vec<String>,
}

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EventsError {
    /// It cannot be made or listed.
    #[error("the folder {} cannot be used", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of it cannot be read or written.
    #[error("{} cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Records on their way to a file. Its memory is used again.
#[derive(Debug)]
pub struct Block {
    encoder: Encoder,
    base: UnixTime,
    records: u32,
    lost: u32,
    /// Room for the head, then records.
    bytes: Vec<u8>,
}

impl Default for Block {
    fn default() -> Block {
        let base = UnixTime::from_micros(0);
        let mut bytes = Vec::with_capacity(BLOCK_HEAD + BLOCK_BYTES_MAX);
        bytes.resize(BLOCK_HEAD, 0);
        Block {
            encoder: Encoder::new(base),
            base,
            records: 0,
            lost: 0,
            bytes,
        }
    }
}

impl Block {
    /// Adds an event that happened `at`.
    pub fn event(&mut self, at: UnixTime, event: &Event) {
        self.begin(at);
        self.encoder.event(&mut self.bytes, at, event);
    }

    /// Adds a registration that an earlier process saw, known at `at`.
    pub fn place(&mut self, at: UnixTime, address: std::net::IpAddr, account: Name) {
        self.begin(at);
        self.encoder.place(&mut self.bytes, address, account);
    }

    /// Notes that so many events before this block were not kept.
    pub fn note_lost(&mut self, events: u32) {
        self.lost = self.lost.saturating_add(events);
    }

    /// Whether it is time to write it, however young it is.
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= BLOCK_HEAD + BLOCK_BYTES
    }

    /// Records in it.
    pub const fn records(&self) -> u32 {
        self.records
    }

    /// Events before it that were not kept.
    pub const fn lost(&self) -> u32 {
        self.lost
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.bytes.truncate(BLOCK_HEAD);
        self.records = 0;
        self.lost = 0;
    }

    fn begin(&mut self, at: UnixTime) {
        if self.records == 0 {
            self.base = at;
            self.encoder = Encoder::new(at);
        }
        self.records += 1;
    }

    /// The bytes for the file.
    fn framed(&mut self) -> &[u8] {
        let head = Head {
            kind: KIND_EVENTS,
            records: self.records,
            length: (self.bytes.len() - BLOCK_HEAD) as u32,
            lost: self.lost,
            base: self.base.as_micros(),
        };
        head.put(&mut self.bytes);
        &self.bytes
    }
}

/// The head of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    kind: u8,
    records: u32,
    length: u32,
    lost: u32,
    base: i64,
}

impl Head {
    const CHECKED: usize = BLOCK_HEAD - 8;

    /// Writes itself over the first bytes of a block.
    fn put(self, block: &mut [u8]) {
        let mut head = [0; BLOCK_HEAD];
        head[0] = self.kind;
        head[1..5].copy_from_slice(&self.records.to_le_bytes());
        head[5..9].copy_from_slice(&self.length.to_le_bytes());
        head[9..13].copy_from_slice(&self.lost.to_le_bytes());
        head[13..Head::CHECKED].copy_from_slice(&self.base.to_le_bytes());
        let sum = checksum(&head[..Head::CHECKED], &block[BLOCK_HEAD..]);
        head[Head::CHECKED..].copy_from_slice(&sum.to_le_bytes());
        block[..BLOCK_HEAD].copy_from_slice(&head);
    }

    /// The head and its checksum.
    fn read(head: &[u8; BLOCK_HEAD]) -> (Head, u64) {
        let number = |at: usize| {
            let bytes = head.get(at..).and_then(|bytes| bytes.first_chunk());
            u32::from_le_bytes(*bytes.unwrap_or(&[0; 4]))
        };
        let long = |at: usize| {
            let bytes = head.get(at..).and_then(|bytes| bytes.first_chunk());
            u64::from_le_bytes(*bytes.unwrap_or(&[0; 8]))
        };
        let read = Head {
            kind: head[0],
            records: number(1),
            length: number(5),
            lost: number(9),
            base: long(13).cast_signed(),
        };
        (read, long(Head::CHECKED))
    }
}

/// Against accidents, not against whoever can write the file.
fn checksum(head: &[u8], payload: &[u8]) -> u64 {
    let key = HashKey::from_bytes(*b"ringfence events");
    key.mac64(head) ^ key.mac64(payload).rotate_left(1)
}

/// A file's name: when it was begun, in microseconds since 1970, so that names sort by time.
fn file_name(start: UnixTime) -> String {
    format!("{:020}.events", start.as_micros().max(0))
}

/// When the file of this name was begun; `None` for what is none of ours.
fn start_of(name: &std::ffi::OsStr) -> Option<UnixTime> {
    let digits = name.to_str()?.strip_suffix(".events")?;
    let ours = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let micros = ours.then(|| digits.parse().ok()).flatten()?;
    Some(UnixTime::from_micros(micros))
}

/// The files of a folder, oldest first, with their lengths.
fn files(folder: &std::path::Path) -> Result<Vec<(UnixTime, PathBuf, u64)>, EventsError> {
    let failed = |source| EventsError::Folder {
        path: folder.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Some(start) = start_of(&entry.file_name()) else {
            continue;
        };
        // Gone between the two looks: the running edge made room.
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_file() {
            files.push((start, entry.path(), meta.len()));
        }
    }
    files.sort();
    Ok(files)
}

const _: () = assert!(
    codec::VERSION == 1,
    "a new version needs a way to read the old one"
);

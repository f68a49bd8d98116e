//! Reads events again, also while the edge goes on writing them. What is broken is named and
//! counted; all else is read.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use ringfence_base::{HashKey, UnixTime};
use ringfence_detect::codec::{self, Decoder, Kept};

use super::{
    BLOCK_BYTES_MAX, BLOCK_HEAD, Directory, EventsError, FILE_HEAD, Head, KIND_DIRECTORY,
    KIND_EVENTS, MAGIC, checksum, files,
};

/// A directory has a name of every peer in it: more than any configuration has.
const DIRECTORY_BYTES_MAX: usize = 64 << 20;
/// Damages that are named; more are counted.
const DAMAGES_MAX: usize = 100;

/// A folder of events as it is now.
#[derive(Debug)]
pub struct Ledger {
    files: Vec<(UnixTime, PathBuf, u64)>,
}

/// A piece of what was kept, in order.
#[derive(Debug)]
pub enum Piece {
    /// Who the numbers in events are from here on.
    Directory(Directory),
    /// A record.
    Record(Kept),
    /// So many bytes of all files are read.
    Progress(u64),
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Files.
    pub files: u64,
    /// Records.
    pub records: u64,
    /// Events that were not kept in their time, for there was no room.
    pub lost: u64,
    /// What could not be read.
    pub damages: Vec<Damage>,
    /// Damages beyond those that are named.
    pub damages_left_out: u64,
}

/// A part of a file that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// From which byte on.
    pub offset: u64,
    /// How many bytes were left out.
    pub bytes: u64,
    /// Why.
    pub why: &'static str,
}

impl Ledger {
    /// Looks into a folder. One that does not exist has no events.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn open(folder: &Path) -> Result<Ledger, EventsError> {
        match files(folder) {
            Ok(files) => Ok(Ledger { files }),
            Err(EventsError::Folder { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(Ledger { files: Vec::new() })
            }
            Err(error) => Err(error),
        }
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|(.., bytes)| bytes).sum()
    }

    /// When the oldest file was begun.
    pub fn begins(&self) -> Option<UnixTime> {
        self.files.first().map(|(start, ..)| *start)
    }

    /// Reads everything, oldest first. Names are hashed under `key`. Reads the same each time: what
    /// was appended since the folder was looked into is left out.
    ///
    /// # Errors
    /// When a file is there and the system refuses it. One that was removed meanwhile is left out.
    pub fn read(&self, key: HashKey, mut each: impl FnMut(Piece)) -> Result<Summary, EventsError> {
        let mut summary = Summary::default();
        let mut done = 0;
        for (_, path, bytes) in &self.files {
            let failed = |source| EventsError::File {
                path: path.clone(),
                source,
            };
            let file = match File::open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file.map_err(failed)?,
            };
            summary.files += 1;
            let mut reading = Reading {
                input: BufReader::with_capacity(1 << 16, file.take(*bytes)),
                length: *bytes,
                offset: 0,
                key,
                done,
                summary: &mut summary,
            };
            if let Some((offset, why)) = reading.file(&mut each).map_err(failed)? {
                note(&mut summary, path, offset, bytes - offset, why);
            }
            done += bytes;
            each(Piece::Progress(done));
        }
        Ok(summary)
    }
}

fn note(summary: &mut Summary, path: &Path, offset: u64, bytes: u64, why: &'static str) {
    if summary.damages.len() >= DAMAGES_MAX {
        summary.damages_left_out += 1;
        return;
    }
    summary.damages.push(Damage {
        path: path.to_owned(),
        offset,
        bytes,
        why,
    });
}

struct Reading<'a> {
    input: BufReader<io::Take<File>>,
    length: u64,
    offset: u64,
    key: HashKey,
    done: u64,
    summary: &'a mut Summary,
}

impl Reading<'_> {
    /// Where the file ceases to make sense, and why.
    fn file(&mut self, each: &mut impl FnMut(Piece)) -> io::Result<Option<(u64, &'static str)>> {
        let mut head = [0; FILE_HEAD];
        if !self.fill(&mut head)? {
            return Ok(Some((0, "it ends in its head")));
        }
        let (magic, version) = head.split_at(MAGIC.len());
        if magic != MAGIC {
            return Ok(Some((0, "it is no file of events")));
        }
        if version != [codec::VERSION] {
            return Ok(Some((0, "another version of Ringfence wrote it")));
        }
        let mut payload = Vec::new();
        loop {
            let start = self.offset;
            if start == self.length {
                return Ok(None);
            }
            let mut head = [0; BLOCK_HEAD];
            if !self.fill(&mut head)? {
                return Ok(Some((start, "it ends inside of a block")));
            }
            let (block, sum) = Head::read(&head);
            let longest = match block.kind {
                KIND_DIRECTORY => DIRECTORY_BYTES_MAX,
                _ => BLOCK_BYTES_MAX,
            };
            if block.length as usize > longest {
                return Ok(Some((start, "a block is longer than any that is written")));
            }
            payload.clear();
            payload.resize(block.length as usize, 0);
            if !self.fill(&mut payload)? {
                return Ok(Some((start, "it ends inside of a block")));
            }
            let checked = head.get(..Head::CHECKED).unwrap_or_default();
            if sum != checksum(checked, &payload) {
                return Ok(Some((start, "a block is not as it was written")));
            }
            if let Err(why) = self.block(block, &payload, each) {
                return Ok(Some((start, why)));
            }
            each(Piece::Progress(self.done + self.offset));
        }
    }

    fn block(
        &mut self,
        head: Head,
        payload: &[u8],
        each: &mut impl FnMut(Piece),
    ) -> Result<(), &'static str> {
        match head.kind {
            KIND_EVENTS => {
                self.summary.lost += u64::from(head.lost);
                let base = UnixTime::from_micros(head.base);
                for record in Decoder::new(self.key, base, payload) {
                    let kept = record.map_err(|_| "a record has no sense")?;
                    self.summary.records += 1;
                    each(Piece::Record(kept));
                }
            }
            KIND_DIRECTORY => {
                let directory = serde_json::from_slice(payload);
                each(Piece::Directory(
                    directory.map_err(|_| "the names of peers cannot be read")?,
                ));
            }
            _ => return Err("a block is of an unknown kind"),
        }
        Ok(())
    }

    /// Whether there was enough.
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<bool> {
        match self.input.read_exact(bytes) {
            Ok(()) => {
                self.offset += bytes.len() as u64;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }
}

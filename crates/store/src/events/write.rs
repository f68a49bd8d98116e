//! Writes events, and removes the oldest where they pass their bounds.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ringfence_base::UnixTime;
use ringfence_detect::codec;

use super::{
    BLOCK_HEAD, Block, Bounds, Directory, EventsError, FILE_BYTES_MAX, FILE_TIME_MAX, FILES_MIN,
    Head, KIND_DIRECTORY, MAGIC, file_name, files,
};

/// The end of a folder of events that grows.
#[derive(Debug)]
pub struct EventWriter {
    folder: PathBuf,
    bounds: Bounds,
    /// Oldest first; the last is `open`, if that is there.
    files: VecDeque<(UnixTime, PathBuf, u64)>,
    bytes: u64,
    open: Option<File>,
    /// The block that each file begins with.
    directory: Vec<u8>,
}

impl EventWriter {
    /// Opens the folder, which is made if it is missing. What earlier processes wrote stays, as far
    /// as it is within `bounds`; it is never written to again.
    ///
    /// # Errors
    /// When the folder cannot be made or listed.
    pub fn open(folder: &Path, bounds: Bounds) -> Result<EventWriter, EventsError> {
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(folder);
        made.map_err(|source| EventsError::Folder {
            path: folder.to_owned(),
            source,
        })?;
        let files = VecDeque::from(files(folder)?);
        Ok(EventWriter {
            folder: folder.to_owned(),
            bounds,
            bytes: files.iter().map(|(.., bytes)| bytes).sum(),
            files,
            open: None,
            directory: Vec::new(),
        })
    }

    /// Who the numbers in events are, from now on.
    ///
    /// # Errors
    /// When it cannot be written to the file that is open; the next file begins with it anyway.
    pub fn set_directory(
        &mut self,
        now: UnixTime,
        directory: &Directory,
    ) -> Result<(), EventsError> {
        // Names and no maps: they always have a form in JSON.
        let text = serde_json::to_vec(directory).unwrap_or_default();
        let mut block = vec![0; BLOCK_HEAD];
        block.extend_from_slice(&text);
        let head = Head {
            kind: KIND_DIRECTORY,
            records: 0,
            length: text.len() as u32,
            lost: 0,
            base: now.as_micros(),
        };
        head.put(&mut block);
        let changed = std::mem::replace(&mut self.directory, block) != self.directory;
        match changed && self.open.is_some() {
            true => {
                let block = self.directory.clone();
                self.write(&block)
            }
            false => Ok(()),
        }
    }

    /// Writes a block at the time `now`.
    ///
    /// # Errors
    /// When the file cannot be made or written. The block is lost then; the next one begins a new file.
    pub fn append(&mut self, now: UnixTime, block: &mut Block) -> Result<(), EventsError> {
        let bytes = block.framed();
        self.make_room(now, bytes.len() as u64)?;
        self.write(bytes)
    }

    /// Removes what is too old: for times without events.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn prune(&mut self, now: UnixTime) -> Result<(), EventsError> {
        while let Some((start, ..)) = self.files.get(1) {
            // A file ends where the next one begins.
            if since(*start, now) <= self.bounds.age {
                break;
            }
            self.remove_oldest()?;
        }
        if self.files.len() == 1
            && let Some((start, ..)) = self.files.front()
            && since(*start, now) > self.bounds.age.saturating_add(FILE_TIME_MAX)
        {
            self.remove_oldest()?;
        }
        Ok(())
    }

    /// Bytes of all files.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    fn make_room(&mut self, now: UnixTime, more: u64) -> Result<(), EventsError> {
        self.prune(now)?;
        let longest = (self.bounds.bytes / FILES_MIN).min(FILE_BYTES_MAX);
        let last = self.files.back();
        let goes_on = last.is_some_and(|(start, _, bytes)| {
            bytes + more <= longest && since(*start, now) < FILE_TIME_MAX
        });
        if self.open.is_none() || !goes_on {
            self.begin(now)?;
        }
        while self.bytes + more > self.bounds.bytes && self.files.len() > 1 {
            self.remove_oldest()?;
        }
        Ok(())
    }

    /// Begins a file.
    fn begin(&mut self, now: UnixTime) -> Result<(), EventsError> {
        self.open = None;
        // Names go up, also when the clock was set back.
        let after_last = self.files.back().map(|(start, ..)| start.as_micros() + 1);
        let start = UnixTime::from_micros(now.as_micros().max(after_last.unwrap_or_default()));
        let path = self.folder.join(file_name(start));
        let file = File::options()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&path);
        let file = file.map_err(|source| EventsError::File {
            path: path.clone(),
            source,
        })?;
        self.files.push_back((start, path, 0));
        self.open = Some(file);
        let mut head = MAGIC.to_vec();
        head.push(codec::VERSION);
        head.extend_from_slice(&self.directory);
        self.write(&head)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), EventsError> {
        let (Some(file), Some((_, path, length))) = (&mut self.open, self.files.back_mut()) else {
            return Ok(());
        };
        if let Err(source) = file.write_all(bytes) {
            let path = path.clone();
            // Its end may be torn: nothing is written behind that.
            self.open = None;
            return Err(EventsError::File { path, source });
        }
        *length += bytes.len() as u64;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn remove_oldest(&mut self) -> Result<(), EventsError> {
        let Some((_, path, bytes)) = self.files.pop_front() else {
            return Ok(());
        };
        if self.files.is_empty() {
            self.open = None;
        }
        self.bytes = self.bytes.saturating_sub(bytes);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(EventsError::File { path, source })
            }
            _ => Ok(()),
        }
    }
}

fn since(start: UnixTime, now: UnixTime) -> Duration {
    let micros = now.as_micros().saturating_sub(start.as_micros());
    Duration::from_micros(micros.try_into().unwrap_or_default())
}

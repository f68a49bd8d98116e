//! `ringfence capture`: the edge sends a pcapng file as it grows, and this writes it.
//!
//! Only whole blocks are written, so that the file is good however the capture ends.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use http_body_util::BodyExt;
use hyper::Method;
use ringfence_control::api::{CaptureQuery, paths};
use serde::Serialize;

use crate::Exit;
use crate::args::{CaptureOptions, Target};
use crate::client;

const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;
/// Options of the statistics block, and where they begin in it.
const OPT_COMMENT: u16 = 1;
const ISB_IFDROP: u16 = 5;
const ISB_OPTIONS: usize = 20;
/// Longest block: a packet with its comment.
const BLOCK_MAX: usize = 256 * 1024;

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Summary {
    file: String,
    packets: u64,
    bytes: u64,
    /// What did not fit the edge's queue. Known only when the capture ended by a limit.
    lost: Option<u64>,
    /// `packets`, `size`, `time` (a limit), `edge` (it stopped), or `interrupted`.
    ended_by: String,
}

/// Captures until a limit or Ctrl-C.
pub(crate) fn capture(
    target: &Target,
    options: &CaptureOptions,
    json: bool,
) -> anyhow::Result<Exit> {
    let socket = client::socket_of(target)?;
    let query = CaptureQuery {
        call: options.call.clone(),
        number: options.number.clone(),
        address: options.address.clone(),
        trunk: options.trunk.clone(),
        method: options.method.clone(),
        media: options.rtp,
        seconds: Some(options.length.as_secs()),
        packets: options.packets,
        bytes: Some(options.size),
    };
    let path = format!("{}?{}", paths::CAPTURE, query.to_query());
    let to_stdout = options.write == Path::new("-");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let summary = runtime.block_on(async {
        let mut response = client::open(&socket, Method::GET, &path).await?;
        // Not before the edge has agreed: an older file is not lost to a mistyped name.
        let mut blocks = Blocks::new(open_file(&options.write)?);
        let progress = Progress::new();
        loop {
            let frame = tokio::select! {
                frame = response.body_mut().frame() => frame,
                _ = tokio::signal::ctrl_c() => break,
            };
            let Some(frame) = frame else { break };
            if let Ok(data) = frame?.into_data() {
                blocks.take(&data)?;
                progress.show(&blocks.summary);
            }
        }
        progress.end();
        blocks.finish(&options.write)
    })?;
    let text = if json {
        serde_json::to_string_pretty(&summary)?
    } else {
        summary.to_string()
    };
    if to_stdout {
        eprintln!("{text}");
    } else {
        println!("{text}");
    }
    Ok(match summary.lost {
        Some(1..) => Exit::Degraded,
        _ => Exit::Ok,
    })
}

/// For its owner's eyes only: calls are personal.
fn open_file(path: &Path) -> anyhow::Result<Box<dyn Write>> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdout().lock()));
    }
    let file = File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| anyhow::anyhow!("{} cannot be written: {error}", path.display()))?;
    Ok(Box::new(file))
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let why = match self.ended_by.as_str() {
            "packets" => "--packets is reached",
            "size" => "--size is reached",
            "time" => "--for is over",
            "edge" => "the edge stopped",
            _ => "interrupted",
        };
        let Summary {
            file,
            packets,
            bytes,
            ..
        } = self;
        write!(f, "{file}: {packets} packets, {bytes} bytes ({why})")?;
        match self.lost {
            Some(lost @ 1..) => write!(f, "; {lost} packets LOST: narrow the filter"),
            _ => Ok(()),
        }
    }
}

/// Writes whole blocks and counts them.
struct Blocks<W> {
    file: W,
    /// The beginning of a block.
    rest: Vec<u8>,
    summary: Summary,
}

impl<W: Write> Blocks<W> {
    fn new(file: W) -> Blocks<W> {
        Blocks {
            file,
            rest: Vec::new(),
            summary: Summary {
                ended_by: "interrupted".to_owned(),
                ..Summary::default()
            },
        }
    }

    fn take(&mut self, data: &[u8]) -> anyhow::Result<()> {
        self.rest.extend_from_slice(data);
        let mut done = 0;
        while let Some((kind, length)) = self.rest.get(done..).and_then(block_head) {
            anyhow::ensure!(
                (12..=BLOCK_MAX).contains(&length),
                "the edge sent no pcapng"
            );
            let Some(block) = self.rest.get(done..done + length) else {
                break;
            };
            self.summary.note(kind, block);
            done += length;
        }
        let whole = self.rest.get(..done).unwrap_or_default();
        self.file.write_all(whole)?;
        self.file.flush()?;
        self.rest.drain(..done);
        self.summary.bytes += done as u64;
        Ok(())
    }

    fn finish(mut self, path: &Path) -> anyhow::Result<Summary> {
        self.file.flush()?;
        self.summary.file = path.display().to_string();
        Ok(self.summary)
    }
}

impl Summary {
    fn note(&mut self, kind: u32, block: &[u8]) {
        match kind {
            ENHANCED_PACKET => self.packets += 1,
            INTERFACE_STATISTICS => {
                let mut options = block.get(ISB_OPTIONS..).unwrap_or_default();
                while let Some((code, value, rest)) = option(options) {
                    match code {
                        OPT_COMMENT => self.ended_by = String::from_utf8_lossy(value).into_owned(),
                        ISB_IFDROP => self.lost = value.try_into().ok().map(u64::from_le_bytes),
                        _ => {}
                    }
                    options = rest;
                }
            }
            _ => {}
        }
    }
}

fn block_head(bytes: &[u8]) -> Option<(u32, usize)> {
    let word = |at: usize| {
        let bytes: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(bytes))
    };
    Some((word(0)?, word(4)? as usize))
}

/// The first option of several: its code, its value, the others.
fn option(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let [a, b, c, d, rest @ ..] = bytes else {
        return None;
    };
    let (code, length) = (
        u16::from_le_bytes([*a, *b]),
        usize::from(u16::from_le_bytes([*c, *d])),
    );
    let value = rest.get(..length)?;
    let rest = rest.get(length.next_multiple_of(4)..)?;
    (code != 0).then_some((code, value, rest))
}

/// One line on standard error that is written over.
struct Progress {
    terminal: bool,
}

impl Progress {
    fn new() -> Progress {
        let terminal = std::io::stderr().is_terminal();
        if !terminal {
            eprintln!("capturing; Ctrl-C ends it");
        }
        Progress { terminal }
    }

    fn show(&self, summary: &Summary) {
        if self.terminal {
            let (packets, bytes) = (summary.packets, summary.bytes);
            eprint!("\r\x1b[Kcapturing: {packets} packets, {bytes} bytes; Ctrl-C ends it");
        }
    }

    fn end(&self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u32 + 12).to_le_bytes();
        [&kind.to_le_bytes()[..], &length, body, &length].concat()
    }

    fn statistics() -> Vec<u8> {
        let mut body = vec![0; 12];
        body.extend_from_slice(&[5, 0, 8, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
        body.extend_from_slice(b"\x01\0\x04\0time\0\0\0\0");
        block(INTERFACE_STATISTICS, &body)
    }

    #[test]
    fn only_whole_blocks_are_written_however_they_come() {
        let packet = block(ENHANCED_PACKET, &[0; 40]);
        let stream = [packet.clone(), packet.clone(), statistics(), packet].concat();
        let cut = stream.len() - 5;
        for piece in [1, 7, 64, 1_000] {
            let mut blocks = Blocks::new(Vec::new());
            for data in stream[..cut].chunks(piece) {
                blocks.take(data).unwrap();
            }
            assert_eq!(blocks.file, stream[..stream.len() - 52]);
            let summary = blocks.finish(Path::new("f")).unwrap();
            assert_eq!((summary.packets, summary.lost), (2, Some(7)));
            assert_eq!(summary.ended_by, "time");
        }
    }

    #[test]
    fn what_is_no_capture_is_refused() {
        let mut blocks = Blocks::new(Vec::new());
        assert!(blocks.take(&[0xff; 16]).is_err());
    }
}

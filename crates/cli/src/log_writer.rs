//! Writes log lines on a thread of its own, so that a slow terminal, pipe or disk never stops
//! whoever logs: the queue is bounded, and what finds it full is counted and told of later.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait.
const LINES_MAX: usize = 4_096;
/// Longest line; the rest of a longer one is cut off.
const LINE_BYTES_MAX: usize = 16 * 1024;
/// How long the end of the process waits for the lines that are left.
const FLUSH_MAX: Duration = Duration::from_secs(2);

enum Work {
    Line(Box<[u8]>),
    /// Says that everything before it is written.
    Flush(SyncSender<()>),
}

/// Takes lines for the thread. Cheap to clone; never blocks.
#[derive(Clone)]
pub(crate) struct LogWriter {
    queue: SyncSender<Work>,
    lost: Arc<AtomicU64>,
}

/// Writes what waits when it is dropped: at the end of the process.
pub(crate) struct LogGuard {
    queue: SyncSender<Work>,
}

impl LogWriter {
    /// Starts the thread, which writes to `output`. `lost_line` makes the line that tells how many
    /// were lost.
    pub(crate) fn start(
        output: impl Write + Send + 'static,
        lost_line: fn(u64) -> String,
    ) -> io::Result<(LogWriter, LogGuard)> {
        let (queue, waiting) = sync_channel(LINES_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&lost);
        let body = move || write_lines(&waiting, output, &counter, lost_line);
        thread::Builder::new().name("log".to_owned()).spawn(body)?;
        let guard = LogGuard {
            queue: queue.clone(),
        };
        Ok((LogWriter { queue, lost }, guard))
    }
}

fn write_lines(
    waiting: &Receiver<Work>,
    mut output: impl Write,
    lost: &AtomicU64,
    lost_line: fn(u64) -> String,
) {
    while let Ok(work) = waiting.recv() {
        // A log that cannot be written cannot be logged either.
        match work {
            Work::Line(line) => {
                let _ = output.write_all(&line);
            }
            Work::Flush(done) => {
                tell_losses(&mut output, lost, lost_line);
                let _ = output.flush();
                let _ = done.try_send(());
            }
        }
        tell_losses(&mut output, lost, lost_line);
    }
}

fn tell_losses(output: &mut impl Write, lost: &AtomicU64, lost_line: fn(u64) -> String) {
    let count = lost.swap(0, Relaxed);
    if count > 0 {
        let _ = output.write_all(lost_line(count).as_bytes());
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let (done, written) = sync_channel(1);
        // A full queue whose reader stands still is not waited for.
        if self.queue.try_send(Work::Flush(done)).is_ok() {
            let _ = written.recv_timeout(FLUSH_MAX);
        }
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = LogWriter;

    fn make_writer(&'a self) -> LogWriter {
        self.clone()
    }
}

/// Each write is one whole line: that is how the formatter writes.
impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut kept: Vec<u8> = line.get(..LINE_BYTES_MAX).unwrap_or(line).to_vec();
        if kept.len() < line.len() {
            kept.push(b'\n');
        }
        if self.queue.try_send(Work::Line(kept.into())).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An output that waits for permission before each write, and tells what was written.
    struct Slow {
        permission: Receiver<()>,
        written: SyncSender<Vec<u8>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.permission.recv();
            let _ = self.written.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_blocked_output_blocks_nobody_and_the_lost_lines_are_counted() {
        let (permit, permission) = sync_channel(1);
        let (written, told) = sync_channel(2 * LINES_MAX);
        let slow = Slow {
            permission,
            written,
        };
        let (mut writer, guard) =
            LogWriter::start(slow, |count| format!("{count} lost\n")).unwrap();
        // The thread holds one line at most, the queue its bound; nothing here waits.
        let tried = LINES_MAX + 100;
        for number in 0..tried {
            writer
                .write_all(format!("line {number}\n").as_bytes())
                .unwrap();
        }
        drop(permit);
        drop(guard);
        drop(writer);
        let lines: Vec<String> = told
            .iter()
            .map(|line| String::from_utf8(line).unwrap())
            .collect();
        let lost: u64 = lines
            .iter()
            .filter_map(|line| line.strip_suffix(" lost\n")?.parse::<u64>().ok())
            .sum();
        let kept = lines
            .iter()
            .filter(|line| line.starts_with("line "))
            .count();
        assert!(lost >= 99, "{lost} lost");
        assert_eq!(kept as u64 + lost, tried as u64);
    }

    #[test]
    fn the_end_waits_for_what_was_logged() {
        let (written, told) = sync_channel(16);
        let (permit, permission) = sync_channel(1);
        drop(permit);
        let slow = Slow {
            permission,
            written,
        };
        let (mut writer, guard) = LogWriter::start(slow, |_| String::new()).unwrap();
        writer.write_all(b"last words\n").unwrap();
        drop(guard);
        assert_eq!(told.try_recv().unwrap(), b"last words\n");
    }

    #[test]
    fn a_line_of_any_length_is_kept_up_to_a_bound() {
        let (written, told) = sync_channel(16);
        let (permit, permission) = sync_channel(1);
        drop(permit);
        let slow = Slow {
            permission,
            written,
        };
        let (mut writer, guard) = LogWriter::start(slow, |_| String::new()).unwrap();
        writer.write_all(&vec![b'x'; 1 << 20]).unwrap();
        drop(guard);
        let line = told.try_recv().unwrap();
        assert_eq!(
            (line.len(), line.last()),
            (LINE_BYTES_MAX + 1, Some(&b'\n'))
        );
    }
}

//! One program: started, its lines kept, waited for, stopped whatever happens to the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::wait;

/// Lines kept of what a program prints; later ones are counted only.
const LINES_MAX: usize = 200_000;

/// How long a program may take to end after being asked to.
const STOP: Duration = Duration::from_secs(5);

/// A running program. Dropping it ends the program.
#[derive(Debug)]
pub struct Process {
    name: String,
    input: Option<ChildStdin>,
    child: Child,
    log: Arc<Log>,
    ended: Option<ExitStatus>,
}

#[derive(Debug, Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
}

impl Process {
    /// Starts `command`. Its standard output and error are kept line by line.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(name: &str, command: &mut Command) -> anyhow::Result<Process> {
        Process::spawn(name, command.stdin(Stdio::null()))
    }

    /// The same of a program that is typed at: see [`Process::say`].
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start_with_input(name: &str, command: &mut Command) -> anyhow::Result<Process> {
        Process::spawn(name, command.stdin(Stdio::piped()))
    }

    fn spawn(name: &str, command: &mut Command) -> anyhow::Result<Process> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        // SAFETY: these calls are async-signal-safe. A test that is killed takes its programs
        // along; so does the thread that started them. Each may open as many files as allowed.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                let mut files = libc::rlimit {
                    rlim_cur: 0,
                    rlim_max: 0,
                };
                if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut files) == 0 {
                    files.rlim_cur = files.rlim_max;
                    libc::setrlimit(libc::RLIMIT_NOFILE, &raw const files);
                }
                Ok(())
            });
        }
        let mut child = command
            .spawn()
            .with_context(|| format!("could not start {name}"))?;
        let log = Arc::new(Log::default());
        let streams: [Option<Box<dyn Read + Send>>; 2] = [
            child
                .stdout
                .take()
                .map(|stream| Box::new(stream) as Box<dyn Read + Send>),
            child
                .stderr
                .take()
                .map(|stream| Box::new(stream) as Box<dyn Read + Send>),
        ];
        for stream in streams.into_iter().flatten() {
            let log = Arc::clone(&log);
            std::thread::spawn(move || log.keep(stream));
        }
        Ok(Process {
            name: name.to_owned(),
            input: child.stdin.take(),
            child,
            log,
            ended: None,
        })
    }

    /// Types a line.
    ///
    /// # Errors
    /// When the program takes no input, or has gone.
    pub fn say(&mut self, line: &str) -> anyhow::Result<()> {
        let input = self.input.as_mut().context("it takes no input")?;
        input.write_all(format!("{line}\n").as_bytes())?;
        input
            .flush()
            .with_context(|| format!("{} has gone", self.name))
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the program has printed so far.
    pub fn lines(&self) -> Vec<String> {
        self.log.lock().clone()
    }

    /// Waits until the program prints a line that contains `pattern`, also if it has already.
    ///
    /// # Errors
    /// When it does not before `deadline`, or ends first.
    pub fn wait_for_line(&mut self, pattern: &str, deadline: Duration) -> anyhow::Result<String> {
        let end = Instant::now() + deadline;
        loop {
            let running = self.is_running();
            let found = self.log.find(pattern, Duration::from_millis(50));
            if let Some(line) = found {
                return Ok(line);
            }
            if !running || Instant::now() >= end {
                bail!("{} did not print `{pattern}`:\n{}", self.name, self.tail());
            }
        }
    }

    /// Whether the program still runs.
    pub fn is_running(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended.is_none()
    }

    /// Waits until the program ends by itself.
    ///
    /// # Errors
    /// When it does not before `deadline`.
    pub fn wait(&mut self, deadline: Duration) -> anyhow::Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        wait::until_true(&what, deadline, || !self.is_running())?;
        self.ended.context("no status")
    }

    /// Sends a signal.
    pub fn signal(&mut self, signal: i32) {
        if self.is_running() {
            // SAFETY: the child has not been reaped, so its id is still its own.
            unsafe { libc::kill(self.child.id() as i32, signal) };
        }
    }

    /// Asks the program to end, and makes it end when it does not.
    pub fn stop(&mut self) -> Option<ExitStatus> {
        self.signal(libc::SIGTERM);
        if self.wait(STOP).is_err() {
            self.signal(libc::SIGKILL);
            let _reaped = self.wait(STOP);
        }
        self.ended
    }

    /// The last lines, for an error.
    pub fn tail(&self) -> String {
        let lines = self.log.lock();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Log {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, stream: impl Read) {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            let mut lines = self.lock();
            if lines.len() < LINES_MAX {
                lines.push(text);
                self.grown.notify_all();
            }
        }
    }

    fn find(&self, pattern: &str, patience: Duration) -> Option<String> {
        let search = |lines: &[String]| lines.iter().find(|line| line.contains(pattern)).cloned();
        let lines = self.lock();
        if let Some(line) = search(&lines) {
            return Some(line);
        }
        let (lines, _timed_out) = self
            .grown
            .wait_timeout(lines, patience)
            .unwrap_or_else(PoisonError::into_inner);
        search(&lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_waited_for_and_the_program_ends_with_its_handle() {
        let script = "echo ready; exec tail -f /dev/null";
        let mut process =
            Process::start("shell", Command::new("sh").args(["-c", script])).expect("starts");
        assert_eq!(
            process.wait_for_line("ready", wait::SOON).expect("printed"),
            "ready"
        );
        assert!(process.is_running());
        assert!(!process.stop().expect("ended").success());
        assert!(process.wait_for_line("never", wait::SOON).is_err());
    }
}

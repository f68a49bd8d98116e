//! SIPp: one scenario at a time, with its own count of what went well.

use std::net::SocketAddrV4;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::process::Process;
use crate::wait;

/// A caller: INVITE, 180, 200, ACK, a pause, BYE, 200.
pub const UAC_CALL: &str = include_str!("../scenarios/uac_call.xml");

/// The callee of [`UAC_CALL`]: rings, answers, waits for BYE.
pub const UAS_CALL: &str = include_str!("../scenarios/uas_call.xml");

/// OPTIONS and its 200.
pub const UAC_OPTIONS: &str = include_str!("../scenarios/uac_options.xml");

/// REGISTER, 401, REGISTER with credentials, 200, for the users of a file.
pub const UAC_REGISTER: &str = include_str!("../scenarios/uac_register.xml");

/// Kernel buffer of SIPp's sockets: enough that its own slowness does not look like loss.
const BUFFER: &str = "4194304";

/// How SIPp is to be run.
#[derive(Clone, Debug)]
pub struct Sipp {
    /// The scenario, as XML.
    pub scenario: String,
    /// Where it listens and sends from.
    pub local: SocketAddrV4,
    /// Where it sends to; `None` for a callee.
    pub remote: Option<SocketAddrV4>,
    /// `u1` UDP, `t1` TCP with one connection, `tn` one for each call.
    pub transport: &'static str,
    /// Calls to make; `None` for as many as come.
    pub calls: Option<u64>,
    /// New calls a second.
    pub rate: u32,
    /// The pause in the middle of a call.
    pub hold: Duration,
    /// The user part of the called address.
    pub service: String,
    /// The first media port.
    pub media_port: u16,
    /// Further arguments.
    pub extra: Vec<String>,
}

/// A SIPp that runs.
#[derive(Debug)]
pub struct Running {
    process: Process,
    folder: TempDir,
}

/// What SIPp counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Calls that went through the scenario.
    pub succeeded: u64,
    /// Calls that did not.
    pub failed: u64,
    /// Messages it had to send again.
    pub retransmissions: u64,
    /// Calls in progress.
    pub current: u64,
}

impl Sipp {
    /// A caller from `local` to `remote`.
    pub fn caller(scenario: &str, local: SocketAddrV4, remote: SocketAddrV4) -> Sipp {
        Sipp {
            remote: Some(remote),
            calls: Some(1),
            ..Sipp::callee(scenario, local)
        }
    }

    /// A callee at `local`.
    pub fn callee(scenario: &str, local: SocketAddrV4) -> Sipp {
        Sipp {
            scenario: scenario.to_owned(),
            local,
            remote: None,
            transport: "u1",
            calls: None,
            rate: 10,
            hold: Duration::ZERO,
            service: "+13305550100".to_owned(),
            media_port: 26_000,
            extra: Vec::new(),
        }
    }

    /// Starts it. A callee is ready when this returns.
    ///
    /// # Errors
    /// When SIPp cannot be started, or a callee does not listen soon.
    pub fn start(&self) -> anyhow::Result<Running> {
        let folder = tempfile::tempdir()?;
        let scenario = folder.path().join("scenario.xml");
        std::fs::write(&scenario, &self.scenario)?;
        let mut command = Command::new("sipp");
        // SIPp names some of its files itself, in the current folder.
        command.current_dir(folder.path());
        if let Some(remote) = self.remote {
            command.arg(remote.to_string());
        }
        let address = self.local.ip().to_string();
        command.arg("-sf").arg(&scenario);
        command.args(["-i", &address, "-p", &self.local.port().to_string()]);
        // Two SIPps at one address need media ports of their own.
        let media_port = self.media_port + self.local.port() % 100 * 8;
        command.args(["-mi", &address, "-mp", &media_port.to_string()]);
        command.args([
            "-t",
            self.transport,
            "-s",
            &self.service,
            "-r",
            &self.rate.to_string(),
        ]);
        command.args(["-d", &self.hold.as_millis().to_string(), "-l", "15000"]);
        command.args(["-max_socket", "1000"]);
        // A 180 that overtakes its 200 is late, not wrong: programs of several processes do that.
        command.args(["-default_behaviors", "all,-abortunexp"]);
        command.args(["-nostdin", "-buff_size", BUFFER, "-timeout", "600s"]);
        command.args(["-trace_stat", "-stf", "stat.csv", "-fd", "1"]);
        command.args(["-trace_err", "-error_file", "errors.log"]);
        if let Some(calls) = self.calls {
            command.args(["-m", &calls.to_string()]);
        }
        command.args(&self.extra);
        let process = Process::start("sipp", &mut command)?;
        let running = Running { process, folder };
        if self.remote.is_none() {
            self.wait_until_listening()?;
        }
        Ok(running)
    }

    /// Runs a caller to its end.
    ///
    /// # Errors
    /// When it does not end before `deadline`, or counts nothing.
    pub fn run(&self, deadline: Duration) -> anyhow::Result<Report> {
        self.start()?.finish(deadline)
    }

    fn wait_until_listening(&self) -> anyhow::Result<()> {
        let udp = self.transport.starts_with('u');
        let what = format!("sipp listening on {}", self.local);
        wait::until_true(&what, wait::SOON, || crate::net::is_bound(self.local, udp))
    }
}

impl Running {
    /// The program.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Waits for its end and reads what it counted.
    ///
    /// # Errors
    /// When it does not end before `deadline`, or counts nothing.
    pub fn finish(mut self, deadline: Duration) -> anyhow::Result<Report> {
        if let Err(error) = self.process.wait(deadline) {
            self.process.signal(libc::SIGUSR1);
            let _graceful = self.process.wait(Duration::from_secs(3));
            bail!("{error:#}; {}", self.errors());
        }
        let report = self.report().with_context(|| self.errors())?;
        if report.failed > 0 || report.succeeded == 0 {
            println!("sipp: {report:?}; {}", self.errors());
        }
        Ok(report)
    }

    /// Asks it to end after the calls in progress, and reads what it counted.
    ///
    /// # Errors
    /// When it counts nothing.
    pub fn end(mut self) -> anyhow::Result<Report> {
        self.process.signal(libc::SIGUSR1);
        if self.process.wait(Duration::from_secs(5)).is_err() {
            self.process.stop();
        }
        self.report()
    }

    /// What it has counted up to its last row, one each second.
    ///
    /// # Errors
    /// When there is no row yet.
    pub fn report(&self) -> anyhow::Result<Report> {
        let path = self.folder.path().join("stat.csv");
        let text = std::fs::read_to_string(&path).context("sipp has written no statistics")?;
        read(&text).context("sipp's statistics lack a column")
    }

    /// What it logged as errors, shortened.
    pub fn errors(&self) -> String {
        let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        let text = read(&self.folder.path().join("errors.log"));
        let shown: String = text.chars().take(3_000).collect();
        if shown.is_empty() {
            self.process.tail()
        } else {
            shown
        }
    }
}

/// The last row of SIPp's statistics.
fn read(text: &str) -> Option<Report> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next()?.split(';').collect();
    let values: Vec<&str> = lines.next_back()?.split(';').collect();
    let column = |name: &str| {
        let position = names.iter().position(|found| *found == name)?;
        values.get(position)?.parse::<u64>().ok()
    };
    Some(Report {
        succeeded: column("SuccessfulCall(C)")?,
        failed: column("FailedCall(C)")?,
        retransmissions: column("Retransmissions(C)")?,
        current: column("CurrentCall")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_last_row() {
        let text = "CurrentCall;SuccessfulCall(C);FailedCall(C);Retransmissions(C);\n\
            1;2;0;0;\n7;5;1;3;\n";
        let expected = Report {
            succeeded: 5,
            failed: 1,
            retransmissions: 3,
            current: 7,
        };
        assert_eq!(read(text), Some(expected));
        assert_eq!(read("A;B\n1;2\n"), None);
    }
}

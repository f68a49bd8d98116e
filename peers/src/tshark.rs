//! tshark: what went over the wire while a test ran, on loopback or on any interface.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::process::Process;
use crate::wait;

/// A capture in progress.
#[derive(Debug)]
pub struct Capture {
    process: Process,
    folder: TempDir,
    probe: UdpSocket,
}

/// A capture that is over.
#[derive(Debug)]
pub struct Captured {
    folder: TempDir,
}

/// A host of the network that nobody uses: packets to it mark start and end.
const NOBODY: u8 = 253;
/// Its port.
const DISCARD: u16 = 9;

impl Capture {
    /// Starts to capture every packet to or from the /24 network of `host`; `None` when this user
    /// may not capture.
    ///
    /// # Errors
    /// When tshark starts but sees nothing.
    pub fn start(host: Ipv4Addr) -> anyhow::Result<Option<Capture>> {
        let [a, b, c, _] = host.octets();
        let nobody = Ipv4Addr::new(a, b, c, NOBODY);
        let filter = format!("net {a}.{b}.{c}.0/24");
        let probe = UdpSocket::bind((nobody, 0))?;
        Capture::begin(&["-i", "lo", "-f", &filter], probe, nobody)
    }

    /// Starts to capture whatever passes the interfaces of this thread's namespace. `nobody` is an
    /// address that is reached by the last of them; the packets to it mark start and end. `None`
    /// when this user may not capture.
    ///
    /// # Errors
    /// When tshark starts but sees nothing.
    pub fn of(interfaces: &[&str], nobody: Ipv4Addr) -> anyhow::Result<Option<Capture>> {
        let arguments: Vec<&str> = interfaces.iter().flat_map(|name| ["-i", name]).collect();
        let probe = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        Capture::begin(&arguments, probe, nobody)
    }

    fn begin(
        arguments: &[&str],
        probe: UdpSocket,
        nobody: Ipv4Addr,
    ) -> anyhow::Result<Option<Capture>> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new("tshark");
        // `-P` and `-l`: a line for each packet at once, which shows that the capture has begun.
        command.args(["-n", "-P", "-l"]).args(arguments);
        command.arg("-w").arg(folder.path().join("capture.pcapng"));
        let mut process = Process::start("tshark", &mut command)?;
        probe.connect(SocketAddrV4::new(nobody, DISCARD))?;
        let begun = wait::until("tshark capturing", wait::SOON, || {
            // Nobody listens there; what comes back as an error does not matter.
            let _marked = probe.send(b"start-of-capture");
            let seen = process.lines().iter().any(|line| line.contains(" UDP "));
            if seen || !process.is_running() {
                Some(seen)
            } else {
                None
            }
        })?;
        if !begun {
            println!("tshark: {}", process.tail());
            return Ok(None);
        }
        Ok(Some(Capture {
            process,
            folder,
            probe,
        }))
    }

    /// Ends the capture after all that has been sent up to now is in it.
    ///
    /// # Errors
    /// When tshark does not end.
    pub fn finish(mut self) -> anyhow::Result<Captured> {
        let length = "Len=333";
        wait::until_true("the end of the capture", wait::SOON, || {
            let _marked = self.probe.send(&[b'.'; 333]);
            self.process
                .lines()
                .iter()
                .any(|line| line.contains(length))
        })?;
        self.process.signal(libc::SIGINT);
        self.process.wait(Duration::from_secs(10))?;
        Ok(Captured {
            folder: self.folder,
        })
    }
}

impl Captured {
    /// The file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("capture.pcapng")
    }

    /// One line for each packet that fits tshark's display `filter`.
    ///
    /// # Errors
    /// When tshark does not understand the filter.
    pub fn packets(&self, filter: &str) -> anyhow::Result<Vec<String>> {
        self.read(&["-Y", filter])
    }

    /// The values of a field in the packets that fit `filter`.
    ///
    /// # Errors
    /// When tshark does not understand the filter.
    pub fn field(&self, filter: &str, name: &str) -> anyhow::Result<Vec<String>> {
        let lines = self.read(&["-Y", filter, "-T", "fields", "-e", name])?;
        Ok(lines.into_iter().filter(|line| !line.is_empty()).collect())
    }

    /// The packets that contain `text` anywhere, byte for byte.
    ///
    /// # Errors
    /// When tshark fails.
    pub fn containing(&self, text: &str) -> anyhow::Result<Vec<String>> {
        let bytes: Vec<String> = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        // One byte alone would be read as a name.
        if bytes.len() < 2 {
            bail!("`{text}` is too short to look for");
        }
        self.packets(&format!("frame contains {}", bytes.join(":")))
    }

    fn read(&self, arguments: &[&str]) -> anyhow::Result<Vec<String>> {
        let output = Command::new("tshark")
            .args(["-n", "-r"])
            .arg(self.file())
            .args(arguments)
            .output()
            .context("could not start tshark")?;
        if !output.status.success() {
            bail!("tshark: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_owned)
            .collect())
    }
}

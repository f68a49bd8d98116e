//! baresip without sound hardware: a file is what it says, another file is what it heard.
//!
//! Facts of baresip 1.0: `sip_listen ADDRESS:PORT` opens TLS on the next port; `aufile` wants the
//! codec's rate; `net_interface` takes an address, not a name; as a TLS client it does not check
//! the server's certificate, so it is no peer for certificate tests.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::net;
use crate::process::Process;
use crate::tone::Audio;
use crate::wait;

/// How a baresip is to be set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The address it lives on.
    pub address: Ipv4Addr,
    /// SIP over UDP and TCP; TLS is on the next port.
    pub port: u16,
    /// The user part of its address.
    pub user: String,
    /// `udp`, `tcp` or `tls`.
    pub transport: &'static str,
    /// Whether media must be SRTP by SDES.
    pub srtp: bool,
    /// Its whole account, `<sip:…>;regint=60;…`, where it is to register; media, answering and
    /// outbound are still added.
    pub account: Option<String>,
    /// Where it sends requests instead of the called address: `sip:127.0.0.1:5060`.
    pub outbound: Option<String>,
    /// Whether it answers by itself.
    pub answers: bool,
    /// The tone that it says.
    pub hertz: u32,
    /// Its certificate chain with the key behind it, and the authorities it knows, as PEM.
    pub tls: Option<(String, String)>,
    /// Further lines of its configuration: modules, mostly.
    pub lines: &'static str,
    /// The namespace of the kernel that it runs in, if not in the test's own.
    pub namespace: Option<String>,
}

/// The port of its control connection in a namespace of its own, where nobody else is.
const CONTROL_PORT: u16 = 4_444;

/// A running baresip.
#[derive(Debug)]
pub struct Baresip {
    process: Process,
    control: TcpStream,
    unread: Vec<u8>,
    events: Vec<serde_json::Value>,
    folder: TempDir,
}

impl Baresip {
    /// Starts it; its control connection is open when this returns.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(setup: &Setup) -> anyhow::Result<Baresip> {
        let folder = tempfile::tempdir()?;
        let (control, mut command) = match &setup.namespace {
            None => (net::free_port(setup.address)?, Command::new("baresip")),
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace, "baresip"]);
                (SocketAddrV4::new(setup.address, CONTROL_PORT), command)
            }
        };
        write(folder.path(), setup, control)?;
        command
            .current_dir(folder.path())
            .arg("-f")
            .arg(folder.path());
        let mut process = Process::start("baresip", &mut command)?;
        let connected = wait::until("baresip's control", wait::SOON, || {
            TcpStream::connect(control).ok()
        });
        let control = connected.with_context(|| process.tail())?;
        process.wait_for_line("ready", wait::SOON)?;
        Ok(Baresip {
            process,
            control,
            unread: Vec::new(),
            events: Vec::new(),
            folder,
        })
    }

    /// The program.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Sends a command such as `dial` with its parameter.
    ///
    /// # Errors
    /// When the control connection is gone.
    pub fn command(&mut self, command: &str, parameter: &str) -> anyhow::Result<()> {
        let message = serde_json::json!({ "command": command, "params": parameter, "token": "" });
        let text = message.to_string();
        self.control
            .write_all(format!("{}:{text},", text.len()).as_bytes())?;
        Ok(())
    }

    /// Waits for an event such as `CALL_ESTABLISHED`, also if it has come since the last wait.
    ///
    /// # Errors
    /// When it does not come before `deadline`, or the call is closed first.
    pub fn wait_for(&mut self, event: &str, deadline: Duration) -> anyhow::Result<()> {
        self.told(event, deadline).map(drop)
    }

    /// The same, and what the event says beside its name.
    ///
    /// # Errors
    /// When it does not come before `deadline`, or the call is closed first.
    pub fn told(&mut self, event: &str, deadline: Duration) -> anyhow::Result<String> {
        let end = Instant::now() + deadline;
        loop {
            let name = |event: &serde_json::Value| event["type"].as_str().map(str::to_owned);
            if let Some(at) = self
                .events
                .iter()
                .position(|e| name(e).as_deref() == Some(event))
            {
                let found = self.events.drain(..=at).next_back();
                let said = found.and_then(|event| event["param"].as_str().map(str::to_owned));
                return Ok(said.unwrap_or_default());
            }
            let closed = |e: &serde_json::Value| name(e).as_deref() == Some("CALL_CLOSED");
            if let Some(closed) = self.events.iter().find(|event| closed(event)) {
                bail!(
                    "the call was closed before {event}: {closed}\n{}",
                    self.process.tail()
                );
            }
            if Instant::now() >= end {
                bail!("no {event} from baresip:\n{}", self.process.tail());
            }
            self.receive()?;
        }
    }

    /// What it has heard in the last call. The file is whole once the call is closed.
    ///
    /// # Errors
    /// When it has recorded nothing.
    pub fn heard(&self) -> anyhow::Result<Audio> {
        let path = self.recording().context("baresip has recorded nothing")?;
        Audio::read(&path)
    }

    /// The seconds of sound that the recording holds by now.
    pub fn heard_seconds(&self) -> f64 {
        self.heard().map_or(0.0, |audio| audio.seconds())
    }

    fn recording(&self) -> Option<PathBuf> {
        let mut found: Vec<PathBuf> = std::fs::read_dir(self.folder.path().join("heard"))
            .ok()?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.to_string_lossy().ends_with("-dec.wav"))
            .collect();
        found.sort();
        found.pop()
    }

    fn receive(&mut self) -> anyhow::Result<()> {
        self.control
            .set_read_timeout(Some(Duration::from_millis(50)))?;
        let mut buffer = [0; 16_384];
        match self.control.read(&mut buffer) {
            Ok(0) => bail!("baresip has gone:\n{}", self.process.tail()),
            Ok(length) => self.unread.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        while let Some(message) = netstring(&mut self.unread) {
            if let Ok(event) = serde_json::from_slice(&message) {
                self.events.push(event);
            }
        }
        Ok(())
    }
}

/// Takes one `LENGTH:BYTES,` off the front.
fn netstring(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let colon = buffer.iter().position(|byte| *byte == b':')?;
    let length: usize = std::str::from_utf8(&buffer[..colon]).ok()?.parse().ok()?;
    let end = colon + 1 + length;
    if buffer.len() <= end {
        return None;
    }
    let message = buffer[colon + 1..end].to_vec();
    buffer.drain(..=end);
    Some(message)
}

fn write(folder: &Path, setup: &Setup, control: SocketAddrV4) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder.join("heard"))?;
    Audio::tone(setup.hertz, 60).write(&folder.join("says.wav"))?;
    let mut tls = String::new();
    if let Some((identity, authorities)) = &setup.tls {
        std::fs::write(folder.join("identity.pem"), identity)?;
        std::fs::write(folder.join("ca.pem"), authorities)?;
        tls = "sip_certificate identity.pem\nsip_cafile ca.pem\n".to_owned();
    }
    let Setup {
        address,
        port,
        user,
        transport,
        hertz: _,
        ..
    } = setup;
    let modules = modules();
    let config = format!(
        "poll_method epoll
sip_listen {address}:{port}
{tls}call_local_timeout 120
call_max_calls 8
audio_player aubridge,null
audio_source aufile,{folder}/says.wav
audio_alert aubridge,null
ausrc_format s16
auplay_format s16
auenc_format s16
audec_format s16
audio_buffer 20-160
rtp_ports 26000-27000
rtcp_mux no
jitter_buffer_delay 0-1
rtp_stats yes
statmode_default off
net_interface {address}
module_path {modules}
module g711.so
module sndfile.so
module aufile.so
module aubridge.so
module srtp.so
module_tmp account.so
module_app menu.so
module_app debug_cmd.so
module_app ctrl_tcp.so
ctrl_tcp_listen {control}
snd_path {folder}/heard
{lines}
",
        folder = folder.display(),
        lines = setup.lines,
    );
    std::fs::write(folder.join("config"), config)?;
    let srtp = if setup.srtp {
        ";mediaenc=srtp-mand"
    } else {
        ""
    };
    let answers = if setup.answers {
        ";answermode=auto"
    } else {
        ""
    };
    let outbound = setup
        .outbound
        .as_ref()
        .map_or(String::new(), |uri| format!(";outbound=\"{uri}\""));
    let plain = format!("<sip:{user}@{address}:{port};transport={transport}>;regint=0");
    let account = setup.account.as_ref().unwrap_or(&plain);
    let account = format!("{account};audio_codecs=PCMU/8000/1{srtp}{answers}{outbound}\n");
    std::fs::write(folder.join("accounts"), account)?;
    std::fs::write(folder.join("contacts"), "")?;
    Ok(())
}

/// Debian has moved them once.
fn modules() -> &'static str {
    let places = [
        "/usr/lib/baresip/modules",
        "/usr/lib/x86_64-linux-gnu/baresip/modules",
    ];
    places
        .into_iter()
        .find(|place| Path::new(place).is_dir())
        .unwrap_or(places[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn netstrings_are_taken_off_whole() {
        let mut buffer = b"3:abc,5:de".to_vec();
        assert_eq!(netstring(&mut buffer).as_deref(), Some(b"abc".as_slice()));
        assert_eq!(netstring(&mut buffer), None);
        buffer.extend_from_slice(b"fgh,");
        assert_eq!(netstring(&mut buffer).as_deref(), Some(b"defgh".as_slice()));
        assert!(buffer.is_empty());
    }
}

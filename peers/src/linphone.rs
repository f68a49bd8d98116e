//! linphone's console phone without sound hardware: a file is what it says, another file is what it
//! heard.
//!
//! Facts of linphone 5.1: on 127.0.0.1 it takes the network for down and opens no port, on any other
//! loopback address it works; it rewrites its settings when it ends; it wants a home of its own; and
//! as a TLS client it does check the server's certificate, in which it knows no addresses but only
//! names: an address has to be there as a DNS name, too.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;

use crate::process::Process;
use crate::tone::Audio;
use crate::wait;

/// How a linphone is to be set up. It registers by digest, over TLS, and its media must be SRTP.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The address it lives on.
    pub address: Ipv4Addr,
    /// SIP over UDP and TCP; TLS is on the next port.
    pub port: u16,
    /// The user part of its address, and of its credentials.
    pub user: String,
    /// Its password.
    pub password: String,
    /// The domain it registers in.
    pub domain: String,
    /// Where it registers and sends everything: a TLS port.
    pub proxy: SocketAddrV4,
    /// The authorities that it knows, as PEM.
    pub authorities: String,
    /// Whether it answers by itself.
    pub answers: bool,
    /// The tone that it says.
    pub hertz: u32,
}

/// A running linphone.
#[derive(Debug)]
pub struct Linphone {
    process: Process,
    folder: TempDir,
}

/// The lowest port of its sound.
const RTP_PORT: u16 = 15_000;

impl Linphone {
    /// Starts it, with its files in place of a sound card.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(setup: &Setup) -> anyhow::Result<Linphone> {
        let folder = tempfile::tempdir()?;
        let at = folder.path();
        std::fs::create_dir_all(at.join(".local/share/linphone"))?;
        std::fs::write(at.join("ca.pem"), &setup.authorities)?;
        std::fs::write(at.join("rc"), settings(setup, &at.display().to_string()))?;
        Audio::tone(setup.hertz, 60).write(&at.join("says.wav"))?;
        let mut command = Command::new("linphonec");
        command.current_dir(at).env("HOME", at);
        command.args(["-c", "rc", "-d", "4", "-l", "log"]);
        if setup.answers {
            command.arg("-a");
        }
        let process = Process::start_with_input("linphonec", &mut command)?;
        let mut linphone = Linphone { process, folder };
        linphone.say("ipv6 disable")?;
        linphone.say("soundcard use files")?;
        let files = ["play says.wav", "record heard.wav"];
        for line in files {
            linphone.say(&line.replace(' ', &format!(" {}/", linphone.folder.path().display())))?;
        }
        Ok(linphone)
    }

    /// Types a line, such as `call sip:…`, `pause`, `transfer sip:…` or a digit in a call.
    ///
    /// # Errors
    /// When the program has gone.
    pub fn say(&mut self, line: &str) -> anyhow::Result<()> {
        self.process.say(line)
    }

    /// Waits for a line with `pattern` on its screen.
    ///
    /// # Errors
    /// When it does not come before `deadline`.
    pub fn wait_for(&mut self, pattern: &str, deadline: Duration) -> anyhow::Result<String> {
        self.process.wait_for_line(pattern, deadline)
    }

    /// Waits for a line with `pattern` in its log, which says much more than its screen.
    ///
    /// # Errors
    /// When it does not come before `deadline`.
    pub fn wait_for_log(&self, pattern: &str, deadline: Duration) -> anyhow::Result<()> {
        let has = || self.log().contains(pattern);
        wait::until_true(pattern, deadline, has)
            .with_context(|| format!("{}\n{}", self.process.tail(), self.tail_of_log()))
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn tail_of_log(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// What it has heard. The file is whole once the call is over.
    ///
    /// # Errors
    /// When it has recorded nothing.
    pub fn heard(&self) -> anyhow::Result<Audio> {
        Audio::read(&self.folder.path().join("heard.wav"))
    }

    /// The length of what it has heard so far, which it writes as it goes.
    pub fn heard_bytes(&self) -> u64 {
        let file = self.folder.path().join("heard.wav").metadata();
        file.map_or(0, |file| file.len())
    }
}

fn settings(setup: &Setup, folder: &str) -> String {
    let Setup {
        address,
        port,
        user,
        password,
        domain,
        proxy,
        ..
    } = setup;
    format!(
        "[sip]
sip_port={port}
sip_tcp_port={port}
sip_tls_port={tls}
bind_address={address}
contact=sip:{user}@{address}
guess_hostname=0
use_ipv6=0
use_info=0
use_rfc2833=1
media_encryption=srtp
media_encryption_mandatory=1
verify_server_certs=1
verify_server_cn=1
root_ca={folder}/ca.pem
default_proxy=0
[auth_info_0]
username={user}
userid={user}
passwd={password}
realm={domain}
domain={domain}
[proxy_0]
reg_proxy=<sip:{proxy};transport=tls>
reg_route=<sip:{proxy};transport=tls;lr>
reg_identity=sip:{user}@{domain}
reg_expires=600
reg_sendregister=1
publish=0
[rtp]
audio_rtp_port={RTP_PORT}
audio_jitt_comp=60
[net]
dns_srv_enabled=0
firewall_policy=0
[video]
enabled=0
[sound]
local_ring=
remote_ring=
[misc]
log_collection_upload_enabled=0
",
        tls = port + 1,
    )
}

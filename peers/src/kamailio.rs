//! Kamailio from a configuration in which `@NAME@` stands for what the run chooses.

use std::net::SocketAddrV4;
use std::process::Command;

use tempfile::TempDir;

use crate::net;
use crate::process::Process;
use crate::wait;

/// A running Kamailio.
#[derive(Debug)]
pub struct Kamailio {
    process: Process,
    _folder: TempDir,
}

impl Kamailio {
    /// Starts Kamailio with `config`, in which `@LISTEN@` becomes `listen` and each further pair
    /// is replaced likewise; ready when this returns.
    ///
    /// # Errors
    /// When it does not listen soon.
    pub fn start(
        config: &str,
        listen: SocketAddrV4,
        replace: &[(&str, String)],
        defines: &[&str],
    ) -> anyhow::Result<Kamailio> {
        let folder = tempfile::tempdir()?;
        let mut text = config.replace("@LISTEN@", &listen.to_string());
        for (name, value) in replace {
            text = text.replace(&format!("@{name}@"), value);
        }
        let path = folder.path().join("kamailio.cfg");
        std::fs::write(&path, text)?;
        let program = crate::tools::find("kamailio").unwrap_or_else(|| "kamailio".into());
        let mut command = Command::new(program);
        command
            .args(["-DD", "-E", "-m", "1024", "-M", "16", "-f"])
            .arg(&path);
        command
            .arg("-Y")
            .arg(folder.path())
            .arg("-P")
            .arg(folder.path().join("pid"));
        for define in defines {
            command.args(["-A", define]);
        }
        let mut process = Process::start("kamailio", &mut command)?;
        let ready = wait::until_true("kamailio listening", wait::SOON, || {
            net::is_bound(listen, true) || !process.is_running()
        });
        if ready.is_err() || !process.is_running() {
            anyhow::bail!("kamailio did not start:\n{}", process.tail());
        }
        Ok(Kamailio {
            process,
            _folder: folder,
        })
    }

    /// The process id of its first process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }
}

//! What ACME keeps on the disk: the key of the account and, in one file, the certificate chain
//! and its key, so that both change at once. Readable by the owner alone.

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ringfence_base::UnixTime;
use ringfence_control::certificate;
use ringfence_control::config::{Acme, Config, Listen};

/// The folder of one listener.
pub(super) struct Folder {
    path: PathBuf,
    identity: PathBuf,
}

impl Folder {
    pub(super) fn new(config: &Config, listen: &Listen) -> Folder {
        let identity = config.edge.acme_identity(&listen.name);
        let path = identity.parent().unwrap_or(Path::new(".")).to_owned();
        Folder { path, identity }
    }

    /// When the certificate begins and ends; `None` if there is none for these domains of this
    /// authority.
    pub(super) fn validity(&self, acme: &Acme) -> Option<(UnixTime, UnixTime)> {
        let text = std::fs::read_to_string(&self.identity).ok()?;
        let meant = text.lines().next() == Some(title(acme).as_str());
        meant.then(|| certificate::validity(&self.identity))?
    }

    /// Puts a new certificate in the place of the last one.
    pub(super) fn keep_identity(&self, acme: &Acme, chain: &str, key: &str) -> io::Result<()> {
        let text = format!("{}\n{}\n{}", title(acme), chain.trim_end(), key);
        self.write(&self.identity, text.as_bytes())
    }

    /// The account, as it was kept.
    pub(super) fn account(&self) -> Option<Vec<u8>> {
        std::fs::read(self.account_file()).ok()
    }

    pub(super) fn keep_account(&self, text: &[u8]) -> io::Result<()> {
        self.write(&self.account_file(), text)
    }

    fn account_file(&self) -> PathBuf {
        self.path.join("account.json")
    }

    /// Whole or not at all.
    fn write(&self, file: &Path, bytes: &[u8]) -> io::Result<()> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path)?;
        let fresh = file.with_extension("new");
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut out = std::fs::File::options()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&fresh)?;
        out.write_all(bytes)?;
        out.sync_all()?;
        std::fs::rename(&fresh, file)
    }
}

/// The first line of the file: what the certificate was ordered for. No part of the PEM.
fn title(acme: &Acme) -> String {
    format!("{} by {}", acme.domains.join(" "), acme.directory)
}

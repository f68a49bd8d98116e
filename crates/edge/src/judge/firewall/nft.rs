//! Runs `nft`. No shell, no search path, no environment: a program of the system's folders, and
//! the text on its standard input.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::FirewallError;

const PLACES: [&str; 4] = [
    "/usr/sbin/nft",
    "/sbin/nft",
    "/usr/local/sbin/nft",
    "/usr/bin/nft",
];
/// How much of what it says is told.
const SAID_MAX: usize = 160;

/// Carries `text` out as one transaction.
pub(super) fn run(text: &str) -> Result<(), FirewallError> {
    feed(&["-f", "-"], text)
}

/// Asks the kernel whether it would, and changes nothing.
pub(super) fn check(text: &str) -> Result<(), FirewallError> {
    feed(&["-c", "-f", "-"], text)
}

fn feed(arguments: &[&str], text: &str) -> Result<(), FirewallError> {
    let program = PLACES.iter().find(|place| Path::new(place).exists());
    let mut child = Command::new(program.unwrap_or(&PLACES[0]))
        .args(arguments)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(FirewallError::Run)?;
    let written = match child.stdin.take() {
        Some(mut input) => input.write_all(text.as_bytes()),
        None => Ok(()),
    };
    let output = child.wait_with_output().map_err(FirewallError::Run)?;
    if output.status.success() {
        return written.map_err(FirewallError::Run);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or_default();
    Err(FirewallError::Refused {
        said: said.chars().take(SAID_MAX).collect(),
    })
}

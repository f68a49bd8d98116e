//! Whether a program or library of the machine is there, and what to say when it is not.

use std::io::Write;
use std::path::PathBuf;

/// Tests append one line to the file that this variable names when they skip themselves.
pub const SKIPS: &str = "RINGFENCE_SKIPS";

/// Where `name` is: a program on the path, or a library when the name contains `.so`.
pub fn find(name: &str) -> Option<PathBuf> {
    let folders: Vec<PathBuf> = if name.contains(".so") {
        [
            "/usr/lib/x86_64-linux-gnu",
            "/usr/lib/aarch64-linux-gnu",
            "/usr/lib64",
            "/usr/lib",
        ]
        .iter()
        .map(PathBuf::from)
        .collect()
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        // Debian keeps servers where a plain user's path does not look.
        folders.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
        folders
    };
    folders
        .into_iter()
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

/// Whether every one of `names` is there. When one is not, prints why the test is skipped, so
/// that the test can return.
pub fn need(test: &str, names: &[&str]) -> bool {
    let missing: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| find(name).is_none())
        .collect();
    if missing.is_empty() {
        return true;
    }
    skip(test, &format!("missing {}", missing.join(", ")));
    false
}

/// Says that `test` cannot run on this machine, and why.
pub fn skip(test: &str, reason: &str) {
    println!("SKIPPED {test}: {reason}");
    if let Some(path) = std::env::var_os(SKIPS)
        && let Ok(mut file) = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
    {
        // One write: tests that run at the same time append whole lines.
        let _counted = file.write_all(format!("{test}: {reason}\n").as_bytes());
    }
}

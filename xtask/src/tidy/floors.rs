//! The house of `ARCHITECTURE.md`: which crate stands on which floor, and what lower floors
//! must not touch.

use std::path::Path;

use anyhow::Context;

use super::Violations;
use crate::repo;

/// Every workspace member and its floor. A crate depends on lower floors only.
const FLOORS: &[(&str, u8)] = &[
    ("ringfence-base", 0),
    ("ringfence-sip", 1),
    ("ringfence-sdp", 1),
    ("ringfence-rtp", 1),
    ("ringfence-stir", 1),
    ("ringfence-dialog", 2),
    ("ringfence-media", 2),
    ("ringfence-detect", 3),
    ("ringfence-session", 4),
    ("ringfence-control", 5),
    ("ringfence-replay", 5),
    ("ringfence-store", 5),
    ("ringfence-edge", 6),
    ("ringfence-console", 7),
    ("ringfence-assistant", 7),
    // The simulated world: above what it drives, below the binary that shows it.
    ("ringfence-sim", 7),
    ("ringfence", 8),
    // Outside the house: what measures and tests it. Nothing depends on these but each other.
    ("ringfence-peers", 9),
    ("ringfence-bench", 10),
    ("ringfence-conformance", 10),
    ("xtask", 10),
];

/// Edges between neighbours that `ARCHITECTURE.md` allows.
const EXCEPTIONS: &[(&str, &str)] = &[("ringfence-store", "ringfence-control")];

/// The highest floor without sockets, clocks, threads, files and runtimes.
const SANS_IO: u8 = 4;

/// Crates that bring in/output or a clock and so must not appear on floors 0-4.
const IO_CRATES: &[&str] = &[
    "async-std",
    "libc",
    "mio",
    "nix",
    "polling",
    "rustix",
    "smol",
    "socket2",
    "sqlx",
    "tokio",
];

/// Words of the standard library that do.
const IO_WORDS: &[&str] = &[
    "File::",
    "SystemTime",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "UnixListener",
    "UnixStream",
    "async fn",
    "std::env",
    "std::fs",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "stdin(",
    "thread::spawn",
    "tokio::",
];

/// A crate never depends sideways or up (tests may: they stand outside).
pub fn dependencies() -> anyhow::Result<Violations> {
    let metadata = repo::metadata(&["--no-deps"])?;
    let mut violations = Violations::new();
    for package in packages(&metadata) {
        let name = text(package, "name");
        let Some(floor) = floor(name) else {
            violations.push(format!("{name} has no floor in xtask/src/tidy/floors.rs"));
            continue;
        };
        for dependency in array(package, "dependencies") {
            let on = text(dependency, "name");
            if floor <= SANS_IO && is_normal(dependency) && IO_CRATES.contains(&on) {
                violations.push(format!("{name} (floor {floor}) depends on {on}"));
            }
            let Some(below) = self::floor(on) else {
                continue;
            };
            let allowed = below < floor || EXCEPTIONS.contains(&(name, on));
            if is_normal(dependency) && !allowed {
                violations.push(format!("{name} (floor {floor}) depends on {on} ({below})"));
            }
        }
    }
    Ok(violations)
}

/// Floors 0-4 contain no socket, clock read, thread, file or async runtime.
pub fn sans_io() -> anyhow::Result<Violations> {
    let mut violations = Violations::new();
    for (path, source) in sources_of(|floor| floor <= SANS_IO)? {
        for (number, line) in shipped(&source) {
            for word in IO_WORDS.iter().filter(|word| line.contains(**word)) {
                violations.push(format!(
                    "{}:{number}: `{word}` below floor 5",
                    path.display()
                ));
            }
        }
    }
    Ok(violations)
}

/// The call path imports nothing from store, console or assistant: not the floors that carry
/// it, and not the edge's workers.
pub fn call_path() -> anyhow::Result<Violations> {
    const OFF_THE_PATH: &[&str] = &[
        "ringfence_store",
        "ringfence_console",
        "ringfence_assistant",
        "sqlx",
    ];
    let mut violations = Violations::new();
    let edge = Path::new("crates/edge/src");
    for (path, source) in sources_of(|floor| floor <= 6)? {
        let carries_calls = !path.starts_with(edge)
            || path
                .strip_prefix(edge)
                .is_ok_and(|rest| rest.starts_with("worker"))
            || path.file_name().is_some_and(|name| name == "worker.rs");
        let off_path = path.starts_with("crates/store") || path.starts_with("crates/control");
        if off_path || !carries_calls {
            continue;
        }
        for (number, line) in shipped(&source) {
            for word in OFF_THE_PATH.iter().filter(|word| line.contains(**word)) {
                violations.push(format!(
                    "{}:{number}: `{word}` in the call path",
                    path.display()
                ));
            }
        }
    }
    Ok(violations)
}

fn floor(name: &str) -> Option<u8> {
    FLOORS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, floor)| *floor)
}

fn packages(metadata: &serde_json::Value) -> impl Iterator<Item = &serde_json::Value> {
    array(metadata, "packages")
}

fn array<'a>(
    value: &'a serde_json::Value,
    key: &str,
) -> impl Iterator<Item = &'a serde_json::Value> + use<'a> {
    value[key].as_array().into_iter().flatten()
}

fn text<'a>(value: &'a serde_json::Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Neither a dev- nor a build-dependency.
fn is_normal(dependency: &serde_json::Value) -> bool {
    dependency["kind"].is_null()
}

/// The sources under `src/` of every crate whose floor `wanted` accepts.
fn sources_of(wanted: impl Fn(u8) -> bool) -> anyhow::Result<Vec<(std::path::PathBuf, String)>> {
    let metadata = repo::metadata(&["--no-deps"])?;
    let mut folders = Vec::new();
    for package in packages(&metadata) {
        if floor(text(package, "name")).is_some_and(&wanted) {
            let manifest = Path::new(text(package, "manifest_path"));
            let folder = manifest.parent().context("a manifest has a folder")?;
            let folder = folder.strip_prefix(repo::root()).unwrap_or(folder);
            folders.push(folder.join("src"));
        }
    }
    let mut sources = repo::texts("rs")?;
    sources.retain(|(path, _)| folders.iter().any(|folder| path.starts_with(folder)));
    Ok(sources)
}

/// The numbered lines of a source that ship: without comments and without the tests at its end.
fn shipped(source: &str) -> impl Iterator<Item = (usize, &str)> {
    source
        .lines()
        .take_while(|line| *line != "#[cfg(test)]")
        .enumerate()
        .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_tests_do_not_ship() {
        let source = "use a; // std::fs\n//! tokio::\nfn f() {}\n#[cfg(test)]\nuse std::fs;\n";
        let lines: Vec<_> = shipped(source).map(|(_, line)| line.trim()).collect();
        assert_eq!(lines, ["use a;", "", "fn f() {}"]);
    }

    #[test]
    fn a_name_has_one_floor() {
        for (index, (name, _)) in FLOORS.iter().enumerate() {
            assert!(
                !FLOORS[..index].iter().any(|(other, _)| other == name),
                "{name} twice"
            );
        }
    }
}

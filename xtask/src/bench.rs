//! `cargo xtask bench`: builds the edge and the harness for release and hands over to it.

use crate::{repo, runner};

/// Runs the harness; `Ok(false)` when a run had failures, retransmissions or kernel drops.
///
/// # Errors
/// When nothing can be built or started.
pub fn run(arguments: &[String]) -> anyhow::Result<bool> {
    let mut build = repo::cargo();
    build.args([
        "build",
        "--release",
        "--package",
        "ringfence",
        "--package",
        "ringfence-bench",
    ]);
    if !runner::run(&mut build)?.success {
        anyhow::bail!("the release build failed");
    }
    let release = repo::target_directory()?.join("release");
    let mut harness = std::process::Command::new(release.join("ringfence-bench"));
    harness.current_dir(repo::root()).args(arguments);
    harness.env("RINGFENCE_BIN", release.join("ringfence"));
    Ok(runner::run(&mut harness)?.success)
}

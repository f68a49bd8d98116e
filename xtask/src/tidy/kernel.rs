//! The program that the kernel runs: the object in the tree is what its source compiles to.
//!
//! A user needs no compiler for it, so the object is kept beside the source. It is compiled by
//! Debian 12's clang; where that is missing the rule is not checked.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};

use super::Violations;
use crate::{repo, tools};

const COMPILER: &str = "clang-14";
const SOURCE: &str = "relay.bpf.c";
const OBJECT: &str = "relay.bpf.o";

/// The object is in step with its source.
pub fn in_step() -> anyhow::Result<Violations> {
    if !tools::present(COMPILER) {
        return Ok(Violations::new());
    }
    let kept = fs::read(folder().join(OBJECT)).with_context(|| format!("reading {OBJECT}"))?;
    Ok(if compile()? == kept {
        Violations::new()
    } else {
        vec![format!(
            "crates/edge/src/kernel/{OBJECT} is not what {SOURCE} compiles to; \
             `cargo xtask tidy --write` makes it anew"
        )]
    })
}

/// Compiles the source into the tree, where the compiler is there.
pub fn write() -> anyhow::Result<()> {
    if tools::present(COMPILER) {
        fs::write(folder().join(OBJECT), compile()?)?;
    }
    Ok(())
}

fn compile() -> anyhow::Result<Vec<u8>> {
    let headers = format!("-I/usr/include/{}-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(COMPILER)
        .current_dir(folder())
        .args(["-O2", "-g", "-Wall", "-Werror", "-target", "bpf"])
        .args([
            "-fdebug-compilation-dir=.",
            &headers,
            "-c",
            SOURCE,
            "-o",
            "-",
        ])
        .output()
        .with_context(|| format!("starting {COMPILER}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{SOURCE}: {complaint}");
    Ok(output.stdout)
}

fn folder() -> PathBuf {
    repo::root().join("crates/edge/src/kernel")
}

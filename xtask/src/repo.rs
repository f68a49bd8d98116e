//! The working tree: where it is and which files belong to it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// The root of the repository.
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// The cargo that runs us, or the one on the path.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Where cargo puts what it builds.
pub fn target_directory() -> anyhow::Result<PathBuf> {
    let metadata = metadata(&["--no-deps"])?;
    let path = metadata["target_directory"]
        .as_str()
        .context("no target_directory")?;
    Ok(PathBuf::from(path))
}

/// `cargo metadata` of the workspace.
pub fn metadata(extra: &[&str]) -> anyhow::Result<serde_json::Value> {
    let output = cargo()
        .args(["metadata", "--format-version", "1"])
        .args(extra)
        .output()
        .context("could not start cargo metadata")?;
    if !output.status.success() {
        bail!(
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    serde_json::from_slice(&output.stdout).context("cargo metadata is not JSON")
}

/// Every file of the tree as a path relative to the root, without what `.gitignore` names.
pub fn files() -> anyhow::Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .current_dir(root())
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .output();
    match output {
        Ok(output) if output.status.success() => {
            let mut files: Vec<PathBuf> = String::from_utf8_lossy(&output.stdout)
                .split('\0')
                .filter(|name| !name.is_empty())
                .map(PathBuf::from)
                .filter(|path| root().join(path).is_file())
                .collect();
            files.sort();
            files.dedup();
            Ok(files)
        }
        // A source archive has no `.git`.
        _ => walk(),
    }
}

/// The files of [`files`] whose name ends in `.extension`, with their text.
pub fn texts(extension: &str) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let mut texts = Vec::new();
    for path in files()? {
        if path.extension().is_some_and(|found| found == extension) {
            let text = std::fs::read_to_string(root().join(&path))
                .with_context(|| format!("{} is not UTF-8 text", path.display()))?;
            texts.push((path, text));
        }
    }
    Ok(texts)
}

fn walk() -> anyhow::Result<Vec<PathBuf>> {
    let root = root();
    let mut found = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory)? {
            let path = entry?.path();
            let hidden = [".git", "target", "ringfence-data"];
            if path
                .file_name()
                .is_some_and(|name| hidden.iter().any(|h| name == *h))
            {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else if let Ok(relative) = path.strip_prefix(&root) {
                found.push(relative.to_path_buf());
            }
        }
    }
    found.sort();
    Ok(found)
}

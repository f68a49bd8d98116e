//! Rules over the text of the sources.

use std::path::Path;

use super::Violations;
use crate::repo;

/// Past this a reader would find a room of their own in a file.
const LINES_MAX: usize = 1_000;

/// No file longer than a thousand lines.
pub fn length() -> anyhow::Result<Violations> {
    let mut violations = Violations::new();
    for (path, text) in repo::texts("rs")? {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            violations.push(format!("{}: {lines} lines", path.display()));
        }
    }
    Ok(violations)
}

/// No mark that says "not finished".
pub fn marks() -> anyhow::Result<Violations> {
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
        concat!("#[ig", "nore"),
        concat!("db", "g!("),
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
    ];
    let mut violations = Violations::new();
    for extension in ["rs", "md", "toml"] {
        for (path, text) in repo::texts(extension)? {
            find(&path, &text, &marks, &mut violations);
        }
    }
    Ok(violations)
}

/// Tests wait for conditions, never for time; no path of somebody's machine is kept.
pub fn places() -> anyhow::Result<Violations> {
    let mut violations = Violations::new();
    for (path, text) in repo::texts("rs")? {
        let outside = ["tests", "conformance", "peers"];
        let is_test = path
            .components()
            .any(|part| outside.iter().any(|o| part.as_os_str() == *o));
        let start = if is_test {
            0
        } else {
            text.find("#[cfg(test)]").unwrap_or(text.len())
        };
        if text[start..].contains(concat!("sle", "ep(")) {
            violations.push(format!("{}: a test waits for time to pass", path.display()));
        }
    }
    for extension in ["rs", "md", "toml", "cfg", "xml", "sh", "c"] {
        for (path, text) in repo::texts(extension)? {
            let machine = [
                concat!("/wo", "rk/"),
                concat!("/fa", "rm/"),
                concat!("/ho", "me/"),
            ];
            find(&path, &text, &machine, &mut violations);
        }
    }
    Ok(violations)
}

/// `//!` opens every file: what it models, the section of the RFC, what it leaves out.
pub fn headed() -> anyhow::Result<Violations> {
    let mut violations = Violations::new();
    for (path, text) in repo::texts("rs")? {
        if !text.starts_with("//!") {
            violations.push(format!("{}: does not open with //!", path.display()));
        }
    }
    Ok(violations)
}

/// Every member says `[lints] workspace = true`.
pub fn lints() -> anyhow::Result<Violations> {
    let mut violations = Violations::new();
    for (path, text) in repo::texts("toml")? {
        let manifest = path.file_name().is_some_and(|name| name == "Cargo.toml");
        let takes = text.contains("[lints]\nworkspace = true");
        if manifest && text.contains("[package]") && !takes {
            violations.push(format!("{}: no [lints] workspace = true", path.display()));
        }
    }
    Ok(violations)
}

/// A second `clippy.toml` would replace the first and silently drop its bans.
pub fn one_clippy() -> anyhow::Result<Violations> {
    let is_clippy = |path: &Path| {
        path.file_name()
            .is_some_and(|name| name == "clippy.toml" || name == ".clippy.toml")
    };
    let found: Vec<_> = repo::files()?
        .into_iter()
        .filter(|path| is_clippy(path))
        .collect();
    Ok(found
        .iter()
        .filter(|path| path.as_path() != Path::new("clippy.toml"))
        .map(|path| format!("{}: only the one at the root may exist", path.display()))
        .collect())
}

fn find(path: &Path, text: &str, words: &[&str], violations: &mut Violations) {
    for (index, line) in text.lines().enumerate() {
        for word in words.iter().filter(|word| line.contains(**word)) {
            violations.push(format!("{}:{}: `{word}`", path.display(), index + 1));
        }
    }
}

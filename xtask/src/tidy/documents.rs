//! Links between documents: a relative link names a file that exists, and an anchor a heading
//! in it.

use std::path::{Component, Path, PathBuf};

use super::Violations;
use crate::repo;

/// Every relative link of every Markdown file resolves.
pub fn links() -> anyhow::Result<Violations> {
    let documents = repo::texts("md")?;
    let mut violations = Violations::new();
    for (path, text) in &documents {
        for (line, target) in targets(text) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let place = || format!("{}:{line}: `{target}`", path.display());
            let aim = if file.is_empty() {
                path.clone()
            } else {
                normal(&path.parent().unwrap_or(Path::new("")).join(file))
            };
            if !repo::root().join(&aim).exists() {
                violations.push(format!("{} does not exist", place()));
                continue;
            }
            let document = documents.iter().find(|(other, _)| *other == aim);
            if let (false, Some((_, text))) = (anchor.is_empty(), document)
                && !headings(text).any(|heading| heading == anchor)
            {
                violations.push(format!("{} has no such heading", place()));
            }
        }
    }
    Ok(violations)
}

/// The targets of `[text](target)` outside code, with their line numbers; other schemes left out.
fn targets(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let mut rest = line;
        while let Some(start) = rest.find("](") {
            rest = &rest[start + 2..];
            let Some(end) = rest.find(')') else { break };
            let target = rest[..end].split(' ').next().unwrap_or_default();
            if !target.contains("://") && !target.starts_with("mailto:") && !target.is_empty() {
                found.push((number, target));
            }
            rest = &rest[end..];
        }
    }
    found
}

/// The anchors that a document's headings make.
fn headings(text: &str) -> impl Iterator<Item = String> {
    prose(text)
        .filter(|(_, line)| line.starts_with('#'))
        .map(|(_, line)| {
            line.trim_start_matches('#')
                .trim()
                .to_lowercase()
                .chars()
                .filter_map(|c| match c {
                    ' ' => Some('-'),
                    c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
                    _ => None,
                })
                .collect()
        })
}

/// The numbered lines outside fenced code.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fenced && !fence).then_some((index + 1, line))
    })
}

/// `a/b/../c` as `a/c`.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_targets_outside_code() {
        let text = "see [a](b.md) and [c](../d.md#e \"t\")\n```\n[no](x.md)\n```\n[w](https://a/b)";
        assert_eq!(targets(text), [(1, "b.md"), (1, "../d.md#e")]);
    }

    #[test]
    fn headings_become_anchors() {
        let found: Vec<_> = headings("# One: two!\n## Three-four (5)\ntext").collect();
        assert_eq!(found, ["one-two", "three-four-5"]);
    }

    #[test]
    fn dots_are_taken_out_of_a_path() {
        assert_eq!(normal(Path::new("docs/../a/./b")), Path::new("a/b"));
    }
}

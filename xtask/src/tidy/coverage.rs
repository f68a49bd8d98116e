//! `docs/rfc-coverage.md`: what of which RFC is done, and the tests that show it.
//!
//! The upper part is written by hand: rows whose last column names tests in backticks. The lower
//! part is made from the names of the tests (`behaviour_rfc3261_17_1_1`) by `cargo xtask tidy
//! --write`. A name in either part that is no test, or a lower part that is out of step, breaks
//! the rule.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Context;

use super::Violations;
use crate::repo;

const DOCUMENT: &str = "docs/rfc-coverage.md";
const START: &str = "<!-- made by `cargo xtask tidy --write` from the names of the tests -->";

/// A section of an RFC: its number, then the section's parts, so that 9 sorts before 13.
type Section = (u32, Vec<u32>);

/// Names in the document are tests, and its made part is in step with them.
pub fn in_step() -> anyhow::Result<Violations> {
    let path = repo::root().join(DOCUMENT);
    let Ok(document) = std::fs::read_to_string(&path) else {
        return Ok(vec![format!("{DOCUMENT} is missing")]);
    };
    let tests = tests()?;
    let mut violations = Violations::new();
    let (by_hand, made) = split(&document);
    for (number, name) in named(by_hand) {
        if !tests.contains_key(name) {
            violations.push(format!("{DOCUMENT}:{number}: `{name}` is not a test"));
        }
    }
    if made.trim() != make(&tests).trim() {
        violations.push(format!("{DOCUMENT}: out of step: cargo xtask tidy --write"));
    }
    Ok(violations)
}

/// Makes the lower part anew.
///
/// # Errors
/// When the document or the sources cannot be read or written.
pub fn write() -> anyhow::Result<()> {
    let path = repo::root().join(DOCUMENT);
    let document = std::fs::read_to_string(&path).with_context(|| DOCUMENT)?;
    let (by_hand, _) = split(&document);
    let text = format!("{by_hand}{START}\n{}", make(&tests()?));
    std::fs::write(&path, text).with_context(|| DOCUMENT)
}

/// The part by hand, and the made part without its first line.
fn split(document: &str) -> (&str, &str) {
    match document.split_once(START) {
        Some((by_hand, made)) => (by_hand, made.trim_start_matches('\n')),
        None => (document, ""),
    }
}

/// Names in backticks in the last column of the tables, with their line numbers.
fn named(document: &str) -> impl Iterator<Item = (usize, &str)> {
    document
        .lines()
        .enumerate()
        .filter(|(_, line)| line.starts_with('|'))
        .flat_map(|(index, line)| {
            let last = line
                .trim_end_matches('|')
                .rsplit('|')
                .next()
                .unwrap_or_default();
            last.split('`')
                .skip(1)
                .step_by(2)
                .map(move |name| (index + 1, name))
        })
}

/// Every test of the tree by name, with the folders of the crates that hold one.
fn tests() -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
    let mut tests: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in repo::texts("rs")? {
        for name in tests_in(&text) {
            tests
                .entry(name.to_owned())
                .or_default()
                .insert(folder(&path));
        }
    }
    Ok(tests)
}

/// The functions after `#[test]`, and those inside `proptest!`, which carry it too.
fn tests_in(source: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut marked = false;
    for line in source.lines().map(str::trim) {
        if line == "#[test]" || line.starts_with("#[tokio::test") {
            marked = true;
        } else if let Some(start) = line
            .find("fn ")
            .filter(|_| marked && !line.starts_with("//"))
        {
            let name = line[start + 3..]
                .split(['(', '<'])
                .next()
                .unwrap_or_default();
            found.push(name.trim());
            marked = false;
        }
    }
    found
}

fn folder(path: &std::path::Path) -> String {
    let path: PathBuf = path
        .components()
        .take_while(|part| part.as_os_str() != "src" && part.as_os_str() != "tests")
        .collect();
    path.display().to_string()
}

fn make(tests: &BTreeMap<String, BTreeSet<String>>) -> String {
    let mut rows: BTreeMap<(Section, &str), (&str, &BTreeSet<String>)> = BTreeMap::new();
    for (name, folders) in tests {
        if let Some((behaviour, section)) = section(name) {
            rows.insert((section, name), (behaviour, folders));
        }
    }
    let mut out = String::from("\n| RFC | section | behaviour | in |\n|---|---|---|---|\n");
    for (((rfc, parts), _), (behaviour, folders)) in rows {
        let parts: Vec<String> = parts.iter().map(u32::to_string).collect();
        let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
        let (parts, folders) = (parts.join("."), folders.join(", "));
        let behaviour = behaviour.replace('_', " ");
        out.push_str(&format!("| {rfc} | {parts} | {behaviour} | {folders} |\n"));
    }
    out
}

/// `retransmits_2xx_rfc3261_13_3_1_4` as its behaviour and (3261, 13.3.1.4).
fn section(name: &str) -> Option<(&str, Section)> {
    let (behaviour, rest) = name.rsplit_once("_rfc")?;
    let mut numbers = rest.split('_').map(str::parse::<u32>);
    let rfc = numbers.next()?.ok()?;
    let parts: Result<Vec<u32>, _> = numbers.collect();
    Some((behaviour, (rfc, parts.ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_section_out_of_a_name() {
        let expected = Some(("repeats_2xx", (3261, vec![13, 3, 1, 4])));
        assert_eq!(section("repeats_2xx_rfc3261_13_3_1_4"), expected);
        assert_eq!(
            section("never_panics_rfc4475"),
            Some(("never_panics", (4475, vec![])))
        );
        assert_eq!(section("plain_name"), None);
        assert_eq!(section("odd_rfcx_1"), None);
    }

    #[test]
    fn finds_tests_and_not_helpers() {
        let source =
            "fn helper() {}\n#[test]\nfn one() {}\n#[test]\n#[cfg(unix)]\nfn two<T>() {}\n";
        assert_eq!(tests_in(source), ["one", "two"]);
    }

    #[test]
    fn reads_names_out_of_the_last_column() {
        let document = "| a `x` | `one`, `two` |\ntext `no`\n| `y` | none |\n";
        let found: Vec<_> = named(document).collect();
        assert_eq!(found, [(1, "one"), (1, "two")]);
    }
}

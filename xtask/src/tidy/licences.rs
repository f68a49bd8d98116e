//! Licences of what is linked, and that no second crypto library comes in by a back door.

use super::Violations;
use crate::repo;

/// Licences that a proprietary or an Apache-2.0 work may take in without conditions on itself.
const PERMISSIVE: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "OpenSSL",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Unlicense",
    "Zlib",
];

/// Crates whose licence is known not to be in the list and is taken all the same: file-level
/// copyleft that leaves the rest of the work alone.
const EXCEPTIONS: &[(&str, &str)] = &[
    // The oracle of the conformance tests; nothing that ships links it.
    ("webrtc-sdp", "MPL-2.0"),
    ("webauthn-rs", "MPL-2.0"),
];

/// Crates that would be a second TLS or crypto library.
const UNWANTED: &[&str] = &["native-tls", "openssl-sys", "ring"];

/// Every dependency has a permissive licence.
pub fn permissive() -> anyhow::Result<Violations> {
    let metadata = repo::metadata(&[])?;
    let mut violations = Violations::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let licence = package["license"].as_str().unwrap_or("none stated");
        let excepted = EXCEPTIONS.contains(&(name, licence));
        if !excepted && !allows(licence) {
            violations.push(format!("{name}: {licence}"));
        }
    }
    Ok(violations)
}

/// `cargo tree -i` of every unwanted crate is empty.
pub fn one_crypto() -> anyhow::Result<Violations> {
    let mut violations = Violations::new();
    for name in UNWANTED {
        let output = repo::cargo()
            .args(["tree", "--workspace", "--quiet", "--invert", name])
            .output()?;
        if !output.stdout.is_empty() {
            let tree = String::from_utf8_lossy(&output.stdout);
            violations.push(tree.lines().take(6).collect::<Vec<_>>().join(" <- "));
        }
    }
    Ok(violations)
}

/// Whether an SPDX expression can be satisfied by permissive licences alone.
fn allows(expression: &str) -> bool {
    // An older notation for OR.
    let expression = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = expression.split_whitespace().collect();
    let mut position = 0;
    either(&words, &mut position) && position == words.len()
}

fn either(words: &[&str], position: &mut usize) -> bool {
    let mut held = both(words, position);
    while words.get(*position) == Some(&"OR") {
        *position += 1;
        // Both sides are read whatever the first says.
        held |= both(words, position);
    }
    held
}

fn both(words: &[&str], position: &mut usize) -> bool {
    let mut held = one(words, position);
    while words.get(*position) == Some(&"AND") {
        *position += 1;
        held &= one(words, position);
    }
    held
}

fn one(words: &[&str], position: &mut usize) -> bool {
    let Some(word) = words.get(*position) else {
        return false;
    };
    *position += 1;
    if *word == "(" {
        let held = either(words, position);
        let closed = words.get(*position) == Some(&")");
        *position += usize::from(closed);
        return held && closed;
    }
    if words.get(*position) == Some(&"WITH") {
        let exception = words.get(*position + 1).copied().unwrap_or_default();
        *position += 2;
        let whole = format!("{word} WITH {exception}");
        return PERMISSIVE.contains(&whole.as_str());
    }
    PERMISSIVE.contains(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expression: &str, expected: bool) {
        assert_eq!(allows(expression), expected, "{expression}");
    }

    #[test]
    fn reads_spdx_expressions() {
        check("MIT", true);
        check("MIT OR Apache-2.0", true);
        check("MIT/Apache-2.0", true);
        check("GPL-3.0-only OR MIT", true);
        check("GPL-3.0-only", false);
        check("MIT AND GPL-3.0-only", false);
        check("ISC AND (Apache-2.0 OR ISC) AND OpenSSL", true);
        check("(MIT OR GPL-2.0) AND Unicode-3.0", true);
        check("Apache-2.0 WITH LLVM-exception OR GPL-2.0", true);
        check("GPL-2.0 WITH Classpath-exception-2.0", false);
        check("none stated", false);
        check("", false);
    }
}

//! `ringfence check`.

use std::path::Path;

use ringfence_control::config::{self, Diagnostic};
use serde::Serialize;

use crate::Exit;

#[derive(Serialize)]
struct Verdict<'a> {
    ok: bool,
    errors: usize,
    warnings: usize,
    diagnostics: &'a [Diagnostic],
}

/// Validates the file: everything that is wrong with it, at once.
pub(crate) fn check(file: &Path, json: bool) -> anyhow::Result<Exit> {
    let (ok, diagnostics) = match config::load(file) {
        Ok(loaded) => (true, loaded.warnings),
        Err(error) => (false, error.diagnostics),
    };
    let errors = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.is_error())
        .count();
    let warnings = diagnostics.len() - errors;
    if json {
        let verdict = Verdict {
            ok,
            errors,
            warnings,
            diagnostics: &diagnostics,
        };
        println!("{}", serde_json::to_string_pretty(&verdict)?);
    } else {
        for diagnostic in &diagnostics {
            eprintln!("{diagnostic}");
        }
        let file = file.display();
        match (ok, warnings) {
            (true, 0) => println!("{file}: ok"),
            (true, _) => println!("{file}: ok, {}", count(warnings, "warning")),
            (false, 0) => eprintln!("{file}: {}", count(errors, "error")),
            (false, _) => {
                eprintln!(
                    "{file}: {}, {}",
                    count(errors, "error"),
                    count(warnings, "warning")
                );
            }
        }
    }
    Ok(if ok { Exit::Ok } else { Exit::Failed })
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

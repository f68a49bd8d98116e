//! The rules of the repository, each as a function that returns what breaks it.
//!
//! They run as tests (`xtask/tests/tidy.rs`) and by hand (`cargo xtask tidy`).

pub mod coverage;
pub mod documents;
pub mod floors;
pub mod kernel;
pub mod licences;
pub mod sources;

use anyhow::bail;

/// What breaks a rule: the place, and what is wrong there.
pub type Violations = Vec<String>;

/// A rule by its name.
pub type Rule = (&'static str, fn() -> anyhow::Result<Violations>);

/// Every rule of the repository.
pub const RULES: &[Rule] = &[
    ("a crate never depends sideways or up", floors::dependencies),
    (
        "floors 0-4 own no socket, clock, thread, file or runtime",
        floors::sans_io,
    ),
    (
        "the call path imports nothing from the store",
        floors::call_path,
    ),
    ("no file is longer than 1,000 lines", sources::length),
    ("no left-over marks", sources::marks),
    (
        "no test sleeps, and no machine's paths are kept",
        sources::places,
    ),
    ("every source file opens with its purpose", sources::headed),
    ("every crate takes the workspace's lints", sources::lints),
    ("one clippy.toml", sources::one_clippy),
    ("links in documents resolve", documents::links),
    ("the RFC coverage names tests that exist", coverage::in_step),
    (
        "the kernel's program is what its source compiles to",
        kernel::in_step,
    ),
    (
        "licences of dependencies are permissive",
        licences::permissive,
    ),
    ("one TLS and one crypto library", licences::one_crypto),
];

/// Checks every rule; `Ok(false)` when one is broken.
///
/// # Errors
/// When an argument is not understood or the tree cannot be read.
pub fn run(arguments: &[String]) -> anyhow::Result<bool> {
    match arguments {
        [] => {}
        [one] if one == "--write" => {
            coverage::write()?;
            kernel::write()?;
        }
        other => bail!("`cargo xtask tidy` has no arguments {other:?}"),
    }
    let mut held = true;
    for (name, rule) in RULES {
        let violations = rule()?;
        println!(
            "{} {name}",
            if violations.is_empty() {
                "ok    "
            } else {
                "BROKEN"
            }
        );
        for violation in &violations {
            println!("         {violation}");
        }
        held &= violations.is_empty();
    }
    Ok(held)
}

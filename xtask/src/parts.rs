//! `cargo xtask test`: the parts of the test run, in the order in which they find faults fastest.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};
use ringfence_peers::tools::SKIPS;

use crate::repo;
use crate::runner::{self, Finished};
use crate::tally::Tally;
use crate::tools;

/// Seeds of the simulated world that one run tries, beside those of the commit.
const SEEDS: &str = "1000";

/// Packages with test binaries that are parts of their own.
const SLOW_PACKAGES: &[(&str, &str)] = &[
    ("ringfence-conformance", "conformance"),
    ("ringfence-sim", "crates/sim"),
];

/// Whether a test binary drives real programs.
const REAL: fn(&str) -> bool = |name| name.starts_with("peers_");

/// Whether a test binary runs the simulated world over many seeds.
const SEEDED: fn(&str) -> bool = |name| name == "seeds";

/// Whether a test binary is a part of its own.
const SLOW: fn(&str) -> bool = |name| REAL(name) || SEEDED(name);

struct Part {
    name: &'static str,
    about: &'static str,
    run: fn(&Bench) -> anyhow::Result<Tally>,
}

const PARTS: &[Part] = &[
    Part {
        name: "tools",
        about: "Debian packages that the tests drive",
        run: install_tools,
    },
    Part {
        name: "format",
        about: "cargo fmt --check",
        run: format,
    },
    Part {
        name: "clippy",
        about: "clippy with warnings denied",
        run: clippy,
    },
    Part {
        name: "tests",
        about: "unit, property, conformance and repository tests",
        run: tests,
    },
    Part {
        name: "otel",
        about: "traces of calls, a feature that is not built otherwise",
        run: otel,
    },
    Part {
        name: "doc-tests",
        about: "the examples in docstrings",
        run: doc_tests,
    },
    Part {
        name: "rustdoc",
        about: "rustdoc with warnings denied",
        run: rustdoc,
    },
    Part {
        name: "corpus",
        about: "the fuzz targets over their corpus",
        run: corpus,
    },
    Part {
        name: "seeds",
        about: "the simulated world over many seeds",
        run: seeds,
    },
    Part {
        name: "peers",
        about: "calls with real programs of the machine",
        run: peers,
    },
    Part {
        name: "bench",
        about: "the benchmark's harness, a few seconds of each",
        run: bench_smoke,
    },
];

/// What the parts share.
struct Bench {
    nextest: bool,
    skips: PathBuf,
}

/// Runs the parts that `arguments` ask for; `Ok(false)` when a check failed.
///
/// # Errors
/// When an argument is not understood.
pub fn run(arguments: &[String]) -> anyhow::Result<bool> {
    let Some(chosen) = choose(arguments)? else {
        for part in PARTS {
            println!("{:<10} {}", part.name, part.about);
        }
        return Ok(true);
    };
    let skips = repo::target_directory()?.join("xtask-skips");
    std::fs::create_dir_all(skips.parent().unwrap_or(Path::new(".")))?;
    let bench = Bench {
        nextest: has_nextest(),
        skips,
    };
    let mut total = Tally::default();
    let mut rows = Vec::new();
    let mut reasons = Vec::new();
    for (index, part) in chosen.iter().enumerate() {
        println!(
            "\n== {} ({} of {}): {}",
            part.name,
            index + 1,
            chosen.len(),
            part.about
        );
        std::fs::write(&bench.skips, "")?;
        let start = Instant::now();
        let mut tally = (part.run)(&bench).unwrap_or_else(|error| {
            eprintln!("{}: {error:#}", part.name);
            Tally::one(false)
        });
        let skipped: Vec<String> = std::fs::read_to_string(&bench.skips)
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect();
        tally.skip(skipped.len() as u64);
        reasons.extend(skipped);
        rows.push(format!(
            "{:<10} {:>6.1} s  {tally}",
            part.name,
            start.elapsed().as_secs_f64()
        ));
        total += tally;
    }
    println!("\n== summary");
    for row in rows {
        println!("{row}");
    }
    for reason in reasons {
        println!("skipped: {reason}");
    }
    println!("{total}");
    Ok(total.failed == 0)
}

/// `None` when the parts are only to be listed.
fn choose(arguments: &[String]) -> anyhow::Result<Option<Vec<&'static Part>>> {
    let mut only: Vec<&str> = Vec::new();
    let mut without: Vec<&str> = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let list = match argument.as_str() {
            "--list" => return Ok(None),
            "--only" => &mut only,
            "--skip" => &mut without,
            other => bail!("`cargo xtask test` has no argument `{other}`"),
        };
        let names = arguments
            .next()
            .with_context(|| format!("{argument} wants a part"))?;
        list.extend(names.split(','));
    }
    for name in only.iter().chain(&without) {
        if !PARTS.iter().any(|part| part.name == *name) {
            bail!("no part `{name}`; `cargo xtask test --list` names them");
        }
    }
    Ok(Some(
        PARTS
            .iter()
            .filter(|part| only.is_empty() || only.contains(&part.name))
            .filter(|part| !without.contains(&part.name))
            .collect(),
    ))
}

fn install_tools(_: &Bench) -> anyhow::Result<Tally> {
    let lacking = tools::install();
    for tool in tools::TOOLS {
        let missing = lacking.iter().any(|lack| lack.name == tool.name);
        let state = if missing { "MISSING" } else { "found" };
        println!(
            "{:<8} {:<14} {:<17} {}",
            state, tool.name, tool.package, tool.serves
        );
    }
    for tool in &lacking {
        println!("missing {}: apt-get install {}", tool.name, tool.package);
    }
    let mut tally = Tally {
        passed: (tools::TOOLS.len()) as u64,
        ..Tally::default()
    };
    tally.skip(lacking.len() as u64);
    Ok(tally)
}

fn format(_: &Bench) -> anyhow::Result<Tally> {
    checked(repo::cargo().args(["fmt", "--all", "--check"]))
}

fn clippy(_: &Bench) -> anyhow::Result<Tally> {
    checked(repo::cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ]))
}

fn rustdoc(_: &Bench) -> anyhow::Result<Tally> {
    let mut command = repo::cargo();
    command.env("RUSTDOCFLAGS", "-D warnings");
    checked(command.args(["doc", "--workspace", "--no-deps", "--quiet"]))
}

fn doc_tests(_: &Bench) -> anyhow::Result<Tally> {
    counted(repo::cargo().args(["test", "--workspace", "--doc", "--quiet"]))
}

fn tests(bench: &Bench) -> anyhow::Result<Tally> {
    if bench.nextest {
        let mut others = vec!["test(/corpus/)".to_owned()];
        others.extend(binaries(SLOW));
        let chosen = format!("not ({})", others.join(" or "));
        return counted(&mut nextest(
            bench,
            &["--workspace", "--all-targets"],
            &chosen,
        ));
    }
    let except = ["--skip", "corpus"];
    let mut rest = repo::cargo();
    rest.args(["test", "--workspace", "--all-targets", "--no-fail-fast"]);
    for (package, _) in SLOW_PACKAGES {
        rest.args(["--exclude", package]);
    }
    let mut tally = counted(rest.arg("--").args(except).env(SKIPS, &bench.skips))?;
    for (package, folder) in SLOW_PACKAGES {
        let mut command = repo::cargo();
        command.args(["test", "-p", package, "--lib", "--no-fail-fast"]);
        for name in test_binaries(folder).iter().filter(|name| !SLOW(name)) {
            command.args(["--test", name]);
        }
        tally += counted(command.arg("--").args(except).env(SKIPS, &bench.skips))?;
    }
    Ok(tally)
}

fn otel(_: &Bench) -> anyhow::Result<Tally> {
    let mut command = repo::cargo();
    command.args(["test", "-p", "ringfence-edge", "--features", "otel"]);
    counted(command.args(["--lib", "traces"]))
}

fn corpus(bench: &Bench) -> anyhow::Result<Tally> {
    if bench.nextest {
        return counted(&mut nextest(bench, &["--workspace"], "test(/corpus/)"));
    }
    counted(repo::cargo().args(["test", "--workspace", "--tests", "corpus"]))
}

/// The whole world runs optimised: a thousand seeds are a thousand little towns of calls.
fn seeds(bench: &Bench) -> anyhow::Result<Tally> {
    if binaries(SEEDED).is_empty() {
        println!("no test named `seeds` in crates/sim/tests");
        return Ok(Tally::default());
    }
    let mut command = repo::cargo();
    command.args([
        "test",
        "--release",
        "-p",
        "ringfence-sim",
        "--test",
        "seeds",
    ]);
    command
        .env("RINGFENCE_SEEDS", SEEDS)
        .env(SKIPS, &bench.skips);
    if let Some(commit) = commit() {
        command.env("RINGFENCE_COMMIT", commit);
    }
    counted(&mut command)
}

/// Programs that share two cores with the edge: one test at a time.
fn peers(bench: &Bench) -> anyhow::Result<Tally> {
    let names: Vec<String> = test_binaries("conformance")
        .into_iter()
        .filter(|n| REAL(n))
        .collect();
    let mut tally = checked(repo::cargo().args(["build", "--release", "-p", "ringfence"]))?;
    if tally.failed > 0 || names.is_empty() {
        return Ok(tally);
    }
    let binary = repo::target_directory()?.join("release/ringfence");
    if bench.nextest {
        let arguments = ["--package", "ringfence-conformance", "--test-threads", "1"];
        tally += counted(&mut nextest(
            bench,
            &arguments,
            &binaries(REAL).join(" or "),
        ))?;
        return Ok(tally);
    }
    let mut command = repo::cargo();
    command.args(["test", "-p", "ringfence-conformance", "--no-fail-fast"]);
    for name in &names {
        command.args(["--test", name]);
    }
    command.args(["--", "--test-threads", "1"]);
    tally += counted(
        command
            .env(SKIPS, &bench.skips)
            .env("RINGFENCE_BIN", binary),
    )?;
    Ok(tally)
}

fn bench_smoke(_: &Bench) -> anyhow::Result<Tally> {
    Ok(Tally::one(crate::bench::run(&["--quick".to_owned()])?))
}

fn nextest(bench: &Bench, arguments: &[&str], chosen: &str) -> Command {
    let mut command = repo::cargo();
    command.args(["nextest", "run", "--no-fail-fast", "--no-tests", "pass"]);
    command.args(["--status-level", "slow", "--final-status-level", "fail"]);
    command
        .args(arguments)
        .args(["-E", chosen])
        .env(SKIPS, &bench.skips);
    command
}

/// A command that is one check.
fn checked(command: &mut Command) -> anyhow::Result<Tally> {
    Ok(Tally::one(runner::run(command)?.success))
}

/// A command that prints how many checks it made.
fn counted(command: &mut Command) -> anyhow::Result<Tally> {
    let Finished { success, mut tally } = runner::run(command)?;
    if !success && tally.failed == 0 {
        // It did not get as far as running a test.
        tally.failed += 1;
    }
    Ok(tally)
}

fn has_nextest() -> bool {
    repo::cargo()
        .args(["nextest", "--version"])
        .output()
        .is_ok_and(|out| out.status.success())
}

fn commit() -> Option<String> {
    let output = Command::new("git")
        .current_dir(repo::root())
        .args(["rev-parse", "HEAD"])
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// One nextest filter for each test binary that `wanted` accepts. A filter that names no binary
/// is an error to nextest, so only those that exist are named.
fn binaries(wanted: fn(&str) -> bool) -> Vec<String> {
    SLOW_PACKAGES
        .iter()
        .flat_map(|(_, folder)| test_binaries(folder))
        .filter(|name| wanted(name))
        .map(|name| format!("binary(={name})"))
        .collect()
}

fn test_binaries(folder: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(repo::root().join(folder).join("tests"))
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let is_test = path.extension().is_some_and(|extension| extension == "rs");
            is_test.then(|| {
                path.file_stem()
                    .map(|stem| stem.to_string_lossy().into_owned())
            })?
        })
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(arguments: &[&str], expected: &[&str]) {
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        let chosen = choose(&arguments).expect("understood").expect("a choice");
        let names: Vec<&str> = chosen.iter().map(|part| part.name).collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn parts_are_chosen_by_name() {
        check(&["--only", "format"], &["format"]);
        check(&["--only", "clippy,format"], &["format", "clippy"]);
        check(
            &["--skip", "peers,bench", "--skip", "seeds,tools,corpus"],
            &["format", "clippy", "tests", "otel", "doc-tests", "rustdoc"],
        );
    }

    #[test]
    fn an_unknown_part_is_an_error() {
        assert!(choose(&["--only".to_owned(), "nothing".to_owned()]).is_err());
        assert!(choose(&["--fast".to_owned()]).is_err());
        assert!(
            choose(&["--list".to_owned()])
                .expect("understood")
                .is_none()
        );
    }
}

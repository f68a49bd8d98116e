//! `cargo xtask TASK`: see `cargo xtask help`.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use xtask::{bench, eval, parts, tidy};

const HELP: &str = "\
cargo xtask test [--only PART]... [--skip PART]... [--list]
    Installs what the tests need (Debian packages, when root), runs every part, and ends
    with one line: N passed, N failed, N skipped.
cargo xtask bench [--quick] [--only NAME]... [--rounds N] [--list]
    Runs the edge, Kamailio and rtpengine in turns and prints one table of ratios.
cargo xtask eval [--seeds N] [--program PATH]
    Plays attacks on simulated businesses with the edge and without it, over 200 seeds, and
    prints tables against the bars and by the decade of the rate; writes docs/eval.md. Builds
    `ringfence` for it, unless a program is named.
cargo xtask tidy [--write]
    Checks the rules of the repository; --write brings generated documents in step.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (task, rest) = match arguments.split_first() {
        Some((task, rest)) => (task.as_str(), rest),
        None => ("help", [].as_slice()),
    };
    let outcome = match task {
        "test" => parts::run(rest),
        "bench" => bench::run(rest),
        "eval" => eval::run(rest),
        "tidy" => tidy::run(rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(true)
        }
        other => Err(anyhow::anyhow!("no task `{other}`\n\n{HELP}")),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

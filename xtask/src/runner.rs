//! Runs a command, shows what it prints, and counts the checks in it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::tally::Tally;

/// What a command did.
#[derive(Debug)]
pub struct Finished {
    /// Whether it ended with status 0.
    pub success: bool,
    /// The checks that its summaries speak of.
    pub tally: Tally,
}

/// Runs `command` to its end; every line is passed on to the terminal and read for a summary.
///
/// # Errors
/// When the program cannot be started.
pub fn run(command: &mut Command) -> anyhow::Result<Finished> {
    println!("$ {}", shown(command));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("could not start {}", shown(command)))?;
    let stderr = child.stderr.take().context("no stderr")?;
    let stdout = child.stdout.take().context("no stdout")?;
    let reader = std::thread::spawn(move || pass_on(stderr, |line| eprintln!("{line}")));
    let mut tally = pass_on(stdout, |line| println!("{line}"));
    tally += reader.join().unwrap_or_default();
    let success = child.wait()?.success();
    Ok(Finished { success, tally })
}

fn pass_on(stream: impl Read, show: impl Fn(&str)) -> Tally {
    let mut tally = Tally::default();
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    while reader
        .read_until(b'\n', &mut line)
        .is_ok_and(|read| read > 0)
    {
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\n', '\r']);
        show(text);
        tally.read(text);
        line.clear();
    }
    tally
}

fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let mut words = vec![
        program
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
    ];
    words.extend(
        command
            .get_args()
            .map(|argument| argument.to_string_lossy().into_owned()),
    );
    words.join(" ")
}

//! `ringfence scenario`: detectors that are data.

use std::fmt::Write;
use std::path::Path;

use hyper::Method;
use ringfence_base::text::Escaped;
use ringfence_control::api::{ScenarioList, paths};
use ringfence_control::scenario::{Tested, built_in, files_of, test, test_file};
use serde::Serialize;

use crate::Exit;
use crate::args::{ScenarioCommand, ScenarioModeName, Target};
use crate::client;
use crate::paint::{Paint, Tone};
use crate::show::print;

/// `ringfence scenario test --json`.
#[derive(Debug, Serialize)]
struct Report {
    /// Whether all did as expected.
    passed: bool,
    /// Each of them.
    scenarios: Vec<Tested>,
    /// Files that cannot be used: file, line and reason.
    errors: Vec<String>,
}

/// Runs a command. A test that does not come out as expected fails.
pub(crate) fn run(
    target: &Target,
    command: ScenarioCommand,
    json: bool,
    paint: Paint,
) -> anyhow::Result<Exit> {
    match command {
        ScenarioCommand::List => {
            let answer: ScenarioList = client::ask(target, Method::GET, paths::SCENARIOS)?;
            print(&answer, json, || list(&answer, paint))?;
        }
        ScenarioCommand::Mode { name, mode } => {
            let mode = match mode {
                ScenarioModeName::Observe => "observe",
                ScenarioModeName::Enforce => "enforce",
            };
            let path = format!(
                "{}/{}?mode={mode}",
                paths::SCENARIOS,
                client::escaped(&name)
            );
            let answer: ScenarioList = client::ask(target, Method::POST, &path)?;
            print(&answer, json, || list(&answer, paint))?;
        }
        ScenarioCommand::Test { path } => {
            let report = tested(path.as_deref())?;
            print(&report, json, || told(&report, paint))?;
            if !report.passed {
                return Ok(Exit::Failed);
            }
        }
    }
    Ok(Exit::Ok)
}

fn tested(path: Option<&Path>) -> anyhow::Result<Report> {
    let results: Vec<_> = match path {
        None => built_in()
            .map(|(name, files)| test(Path::new(name), files))
            .collect(),
        Some(path) => files_of(path)?.iter().map(|file| test_file(file)).collect(),
    };
    anyhow::ensure!(
        !results.is_empty(),
        "there is no scenario: name a folder with a scenario.toml, or with folders of them"
    );
    let mut report = Report {
        passed: true,
        scenarios: Vec::new(),
        errors: Vec::new(),
    };
    for result in results {
        match result {
            Ok(tested) => {
                report.passed &= tested.passed;
                report.scenarios.push(tested);
            }
            Err(error) => {
                report.passed = false;
                report.errors.push(error.to_string());
            }
        }
    }
    Ok(report)
}

fn told(report: &Report, paint: Paint) -> String {
    let mut out = String::new();
    for tested in &report.scenarios {
        let verdict = match tested.passed {
            true => paint.tone(Tone::Good, "passed"),
            false => paint.tone(Tone::Bad, "FAILED"),
        };
        let _ = writeln!(out, "{verdict}  {}", tested.name);
        for trace in &tested.traces {
            let first = trace.first_event.map_or_else(String::new, |event| {
                format!(", first with event {event}, decision {}", trace.decision)
            });
            let _ = writeln!(
                out,
                "  {}: {} events, {} matched, {} found{first}",
                trace.trace,
                trace.events,
                trace.matched,
                trace.found.len()
            );
            for fault in &trace.faults {
                let _ = writeln!(out, "    {}", paint.tone(Tone::Bad, fault));
            }
            if !trace.faults.is_empty() {
                for found in &trace.found {
                    let _ = writeln!(out, "    {}", Escaped(found.as_bytes()));
                }
            }
        }
    }
    for error in &report.errors {
        let _ = writeln!(
            out,
            "{}  {}",
            paint.tone(Tone::Bad, "BROKEN"),
            Escaped(error.as_bytes())
        );
    }
    out
}

fn list(answer: &ScenarioList, paint: Paint) -> String {
    let mut out = String::new();
    for scenario in &answer.scenarios {
        let tone = if scenario.found > 0 {
            Tone::Bad
        } else {
            Tone::Good
        };
        let found = paint.tone(tone, format!("{} found", scenario.found));
        let _ = writeln!(
            out,
            "{}  {}  {} matched, {found}  ({}, {})",
            scenario.name, scenario.mode, scenario.matched, scenario.finds, scenario.technique
        );
        let _ = writeln!(out, "  {}", Escaped(scenario.says.as_bytes()));
    }
    out
}

//! Scenarios in files: `scenario.toml`, beside it an attack trace, a benign trace and what is expected
//! of both. See `docs/manual/scenarios.md`.

mod built_in;
mod read;
mod trace;

use std::fmt;
use std::path::{Path, PathBuf};

use ringfence_base::HashKey;
use ringfence_detect::event::Event;
use ringfence_detect::ladder::Outcome;
use ringfence_detect::scenario::{Rehearsal, SCENARIOS_MAX, Scenario, rehearse};
use serde::{Deserialize, Serialize};

pub use built_in::built_in;
pub use read::parse;
pub use trace::{Traced, parse as parse_trace};

/// Largest file of a scenario.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// A file of a scenario that cannot be used. None of its folder is, then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ScenarioError {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; 0 if it is about the whole file.
    pub line: usize,
    /// What is wrong, and the fix.
    pub message: String,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file.display(), self.message),
            line => write!(f, "{}:{line}: {}", self.file.display(), self.message),
        }
    }
}

/// The built-in scenarios, and those of `folder` if there is one: each in a folder of its own, or as a
/// TOML file. One of the same name takes the place of a built-in one.
///
/// # Errors
/// All files that cannot be used. Nothing is, then.
pub fn all(folder: Option<&Path>) -> Result<Vec<Scenario>, Vec<ScenarioError>> {
    let mut scenarios = Vec::new();
    let mut errors = Vec::new();
    for (name, file) in built_in() {
        match parse(Path::new(name), file.scenario) {
            Ok(scenario) => scenarios.push(scenario),
            Err(error) => errors.push(error),
        }
    }
    let built_in = scenarios.len();
    for file in folder
        .map_or(Ok(Vec::new()), files_of)
        .unwrap_or_else(|error| {
            errors.push(error);
            Vec::new()
        })
    {
        let scenario = text_of(&file).and_then(|text| parse(&file, &text));
        match scenario {
            Err(error) => errors.push(error),
            Ok(scenario) => {
                let same = scenarios
                    .iter()
                    .position(|it: &Scenario| it.name == scenario.name);
                match same {
                    Some(place) if place < built_in => scenarios[place] = scenario,
                    Some(_) => errors.push(ScenarioError {
                        file,
                        line: 0,
                        message: format!(
                            "another file has a scenario {:?}: give this one another name",
                            scenario.name
                        ),
                    }),
                    None => scenarios.push(scenario),
                }
            }
        }
    }
    if scenarios.len() > SCENARIOS_MAX {
        errors.push(ScenarioError {
            file: folder.unwrap_or(Path::new("scenarios")).to_owned(),
            line: 0,
            message: format!("more than {SCENARIOS_MAX} scenarios: move some away"),
        });
    }
    if errors.is_empty() {
        Ok(scenarios)
    } else {
        Err(errors)
    }
}

/// The scenarios at `path`: of a folder, of the folder of one, or of a file.
///
/// # Errors
/// The first file that cannot be used.
pub fn load(path: &Path) -> Result<Vec<Scenario>, ScenarioError> {
    let files = files_of(path)?;
    let read = |file: &PathBuf| text_of(file).and_then(|text| parse(file, &text));
    files.iter().map(read).collect()
}

/// The files of scenarios at `path`, in order: itself, if it is a file or the folder of one scenario.
pub fn files_of(path: &Path) -> Result<Vec<PathBuf>, ScenarioError> {
    let failed = |file: &Path, error: std::io::Error| ScenarioError {
        file: file.to_owned(),
        line: 0,
        message: format!("cannot be read: {error}"),
    };
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let own = path.join("scenario.toml");
    if own.is_file() {
        return Ok(vec![own]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|error| failed(path, error))? {
        let entry = entry.map_err(|error| failed(path, error))?.path();
        let inner = entry.join("scenario.toml");
        if inner.is_file() {
            files.push(inner);
        } else if entry.extension().is_some_and(|it| it == "toml") {
            files.push(entry);
        }
    }
    files.sort();
    Ok(files)
}

fn text_of(file: &Path) -> Result<String, ScenarioError> {
    let error = |message: String| ScenarioError {
        file: file.to_owned(),
        line: 0,
        message,
    };
    match std::fs::metadata(file) {
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
            return Err(error("is larger than 16 MiB".to_owned()));
        }
        _ => {}
    }
    std::fs::read_to_string(file).map_err(|why| error(format!("cannot be read: {why}")))
}

/// What is expected of a scenario: `expected.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// In the attack trace.
    pub attack: Expectation,
    /// In the benign trace.
    pub benign: Expectation,
}

/// What is expected of a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// Findings.
    pub found: usize,
    /// The first one comes with this event, from 1, or before.
    pub by_event: Option<usize>,
    /// What is decided about the first one: `none`, `tarpit`, `limit`, `block`.
    pub decision: Option<String>,
}

/// How a scenario did in its test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tested {
    /// Its name.
    pub name: String,
    /// Whether both traces came out as expected.
    pub passed: bool,
    /// The attack, and the benign trace.
    pub traces: Vec<TestedTrace>,
}

/// How a scenario did on one trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestedTrace {
    /// `attack` or `benign`.
    pub trace: String,
    /// Events in it.
    pub events: usize,
    /// Events that met the conditions.
    pub matched: u64,
    /// Findings, in words, each with its event's number.
    pub found: Vec<String>,
    /// Event of the first finding.
    pub first_event: Option<usize>,
    /// What was decided about it.
    pub decision: String,
    /// What was expected.
    pub expected: Expectation,
    /// What is not as expected.
    pub faults: Vec<String>,
}

/// The four texts of a scenario.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    /// `scenario.toml`.
    pub scenario: &'a str,
    /// `attack.jsonl`.
    pub attack: &'a str,
    /// `benign.jsonl`.
    pub benign: &'a str,
    /// `expected.toml`.
    pub expected: &'a str,
}

/// Tests the scenario of a file with the traces beside it.
///
/// # Errors
/// A file that is missing or broken.
pub fn test_file(file: &Path) -> Result<Tested, ScenarioError> {
    let beside = |name: &str| text_of(&file.with_file_name(name));
    let (scenario, attack) = (text_of(file)?, beside("attack.jsonl")?);
    let (benign, expected) = (beside("benign.jsonl")?, beside("expected.toml")?);
    test(
        file,
        Files {
            scenario: &scenario,
            attack: &attack,
            benign: &benign,
            expected: &expected,
        },
    )
}

/// Tests a scenario; `file` is where errors are said to be.
///
/// # Errors
/// A text that is broken.
pub fn test(file: &Path, texts: Files<'_>) -> Result<Tested, ScenarioError> {
    // Any key will do: nothing of a test leaves it.
    let key = HashKey::from_bytes([0; 16]);
    let scenario = parse(file, texts.scenario)?;
    let expected_file = file.with_file_name("expected.toml");
    let expected: Expected = toml::from_str(texts.expected)
        .map_err(|error| read::toml_error(&expected_file, texts.expected, &error))?;
    let mut traces = Vec::new();
    for (name, text, expected) in [
        ("attack", texts.attack, expected.attack),
        ("benign", texts.benign, expected.benign),
    ] {
        let path = file.with_file_name(format!("{name}.jsonl"));
        let trace: Vec<Event> = parse_trace(&path, text, key)?;
        traces.push(judge(name, &rehearse(key, &scenario, &trace), expected));
    }
    Ok(Tested {
        name: scenario.name,
        passed: traces.iter().all(|trace| trace.faults.is_empty()),
        traces,
    })
}

fn judge(name: &str, rehearsal: &Rehearsal, expected: Expectation) -> TestedTrace {
    let first = rehearsal.found.first();
    let first_event = first.map(|(event, ..)| *event);
    let decision = first.map_or("none", |(.., outcome)| match outcome {
        Outcome::Decided(decision) => decision.action().as_str(),
        Outcome::Refused { .. } | Outcome::Nothing => "none",
    });
    let mut faults = Vec::new();
    if rehearsal.found.len() != expected.found {
        let found = rehearsal.found.len();
        faults.push(format!("{found} findings instead of {}", expected.found));
    }
    if let (Some(by), Some(first)) = (expected.by_event, first_event)
        && first > by
    {
        faults.push(format!("found with event {first} instead of {by}"));
    }
    if let Some(wanted) = expected
        .decision
        .as_deref()
        .filter(|wanted| *wanted != decision)
    {
        faults.push(format!("decided {decision} instead of {wanted}"));
    }
    TestedTrace {
        trace: name.to_owned(),
        events: rehearsal.events,
        matched: rehearsal.matched,
        found: rehearsal
            .found
            .iter()
            .map(|(event, finding, _)| format!("event {event}: {}", finding.explain()))
            .collect(),
        first_event,
        decision: decision.to_owned(),
        expected,
        faults,
    }
}

#[cfg(test)]
mod tests;

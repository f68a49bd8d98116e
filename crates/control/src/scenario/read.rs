//! `scenario.toml`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use ringfence_detect::decision::Mode;
use ringfence_detect::finding::{Confidence, Kind};
use ringfence_detect::scenario::{CONDITIONS_MAX, Condition, Counted, Field, Scenario};
use serde::Deserialize;
use toml::Spanned;

use super::ScenarioError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Spanned<String>,
    says: Spanned<String>,
    finds: Spanned<String>,
    technique: Option<Spanned<String>>,
    #[serde(default)]
    mode: Option<Spanned<String>>,
    #[serde(default)]
    confidence: Option<Spanned<u8>>,
    limit: Spanned<u64>,
    within: Spanned<String>,
    #[serde(default)]
    count: Option<Spanned<String>>,
    group: Spanned<Vec<String>>,
    #[serde(default)]
    when: BTreeMap<Spanned<String>, Spanned<Values>>,
    #[serde(default)]
    unless: BTreeMap<Spanned<String>, Spanned<Values>>,
    /// For people: nothing reads them.
    #[serde(default)]
    #[allow(dead_code, reason = "kept for those who read the file")]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Many(Vec<String>),
}

/// Longest name, and longest sentence, in bytes.
const NAME_MAX: usize = 31;
const SAYS_MAX: usize = 300;
/// Longest window.
const WITHIN_MAX: u64 = 30 * 24 * 3_600;

/// Reads a scenario; `file` is where errors are said to be.
///
/// # Errors
/// The first thing that is wrong, with its line and the fix.
pub fn parse(file: &Path, text: &str) -> Result<Scenario, ScenarioError> {
    let read: File = toml::from_str(text).map_err(|error| toml_error(file, text, &error))?;
    let fault = |start: usize, message: String| ScenarioError {
        file: file.to_owned(),
        line: line_of(text, start),
        message,
    };
    let name = read.name.get_ref();
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(is_name) {
        let message = format!("name: write small letters, digits and -, at most {NAME_MAX}");
        return Err(fault(read.name.span().start, message));
    }
    if read.says.get_ref().len() > SAYS_MAX {
        let message = format!("says: is longer than {SAYS_MAX} bytes");
        return Err(fault(read.says.span().start, message));
    }
    let kind = Kind::parse(read.finds.get_ref()).ok_or_else(|| {
        let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        let message = format!("finds: write one of {}", kinds.join(", "));
        fault(read.finds.span().start, message)
    })?;
    if let Some(technique) = read.technique.filter(|it| it.get_ref() != kind.technique()) {
        let message = format!(
            "technique: {} is {} in MITRE ATT&CK",
            kind.as_str(),
            kind.technique()
        );
        return Err(fault(technique.span().start, message));
    }
    let mode = match read.mode.as_ref().map(|mode| mode.get_ref().as_str()) {
        None | Some("observe") => Mode::Observe,
        Some("enforce") => Mode::Enforce,
        Some(_) => {
            let start = read.mode.map_or(0, |mode| mode.span().start);
            return Err(fault(start, "mode: write observe or enforce".to_owned()));
        }
    };
    let confidence = match &read.confidence {
        Some(percent) if *percent.get_ref() > 100 => {
            let message = "confidence: write percent, 0 to 100".to_owned();
            return Err(fault(percent.span().start, message));
        }
        other => other.as_ref().map_or(80, |percent| *percent.get_ref()),
    };
    if *read.limit.get_ref() == 0 {
        let message = "limit: write how many are found, 1 or more".to_owned();
        return Err(fault(read.limit.span().start, message));
    }
    let within = duration(read.within.get_ref()).ok_or_else(|| {
        let message = "within: write a time like 30s, 10m, 6h or 7d, at most 30d".to_owned();
        fault(read.within.span().start, message)
    })?;
    let field = |name: &str, start: usize| {
        Field::parse(name).ok_or_else(|| {
            let fields: Vec<&str> = Field::ALL.iter().map(|field| field.as_str()).collect();
            let message = format!(
                "{name:?} is no field of an event: write one of {}",
                fields.join(", ")
            );
            fault(start, message)
        })
    };
    let counted = match &read.count {
        None => Counted::Events,
        Some(count) => match count.get_ref().strip_prefix("distinct ") {
            Some(name) => Counted::Distinct(field(name, count.span().start)?),
            None if count.get_ref() == "events" => Counted::Events,
            None => {
                let message = "count: write \"events\" or \"distinct FIELD\"".to_owned();
                return Err(fault(count.span().start, message));
            }
        },
    };
    let start = read.group.span().start;
    let group: Result<Vec<Field>, ScenarioError> = read
        .group
        .get_ref()
        .iter()
        .map(|name| field(name, start))
        .collect();
    let mut when = Vec::new();
    for (not, conditions) in [(false, read.when), (true, read.unless)] {
        for (name, values) in conditions {
            let field = field(name.get_ref(), name.span().start)?;
            let start = values.span().start;
            let values = match values.into_inner() {
                Values::One(value) => vec![value],
                Values::Many(values) => values,
            };
            if values.is_empty() || values.len() > CONDITIONS_MAX {
                let message = format!("write 1 to {CONDITIONS_MAX} values");
                return Err(fault(start, message));
            }
            when.push(Condition { field, values, not });
        }
    }
    if when.is_empty() || when.len() > CONDITIONS_MAX {
        let message =
            format!("[when]: write 1 to {CONDITIONS_MAX} conditions, like what = \"refused\"");
        return Err(fault(0, message));
    }
    Ok(Scenario {
        name: read.name.into_inner(),
        says: read.says.into_inner(),
        kind,
        when,
        group: group?,
        counted,
        limit: read.limit.into_inner(),
        within,
        confidence: Confidence::new(confidence),
        mode,
    })
}

/// `30s`, `10m`, `6h`, `7d`.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let seconds = number.parse::<u64>().ok()?.checked_mul(factor)?;
    (1..=WITHIN_MAX)
        .contains(&seconds)
        .then(|| Duration::from_secs(seconds))
}

pub(super) fn toml_error(file: &Path, text: &str, error: &toml::de::Error) -> ScenarioError {
    ScenarioError {
        file: file.to_owned(),
        line: error.span().map_or(0, |span| line_of(text, span.start)),
        message: error.message().to_owned(),
    }
}

fn line_of(text: &str, start: usize) -> usize {
    let before = text.as_bytes().get(..start).unwrap_or_default();
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

//! Reads a TOML table key by key, collecting every fault instead of stopping at the first.
//!
//! Whatever key is asked for is known; [`Section::finish`] reports the others.

use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::model::SecretSource;
use super::report::Report;
use super::suggest::{listed, nearest};
use super::values::{self, Fault, quoted};

/// One table of the file while it is read.
pub(super) struct Section<'b, 'r, 's> {
    report: &'b mut Report<'r>,
    path: String,
    table: &'s DeTable<'s>,
    asked: BTreeSet<&'static str>,
    /// Where a key is looked for that the table does not have.
    fallback: Option<&'s DeTable<'s>>,
}

/// A named table within a table: `outside` of `[listen.outside]`.
pub(super) struct Named<'s> {
    pub(super) name: &'s str,
    pub(super) table: &'s DeTable<'s>,
}

impl<'b, 'r, 's> Section<'b, 'r, 's> {
    /// Starts to read `table`; `path` is its key path, empty for the whole file.
    pub(super) fn new(report: &'b mut Report<'r>, path: &str, table: &'s DeTable<'s>) -> Self {
        Section {
            report,
            path: path.to_owned(),
            table,
            asked: BTreeSet::new(),
            fallback: None,
        }
    }

    /// From now on, keys that the table does not have are read from `table`, a profile's. They
    /// have no place in the file, and [`Section::has`] does not know them.
    pub(super) fn fall_back_to(&mut self, table: Option<&'s DeTable<'s>>) {
        self.fallback = table;
    }

    /// The key path of `key` in this table.
    pub(super) fn key(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    pub(super) fn report(&mut self) -> &mut Report<'r> {
        self.report
    }

    /// A text.
    pub(super) fn string(&mut self, key: &'static str) -> Option<&'s str> {
        let value = self.take(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(text),
            other => {
                let text = other_as_text(other);
                self.wrong_type(key, other, &format!("write {key} = \"{text}\""))
            }
        }
    }

    /// A text that `parse` understands.
    pub(super) fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        let text = self.string(key)?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(fault) => self.fault(&self.key(key), text, fault),
        }
    }

    /// One word of a few.
    pub(super) fn one_of<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        self.parsed(key, |text| values::one_of(text, words))
    }

    /// A list of texts that `parse` understands; the faulty ones are reported and left out.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        mut parse: impl FnMut(&str) -> Result<T, Fault>,
    ) -> Option<Vec<T>> {
        let value = self.take(key)?;
        let DeValue::Array(items) = value.get_ref() else {
            let text = other_as_text(value.get_ref());
            return self.wrong_type(key, value.get_ref(), &format!("write {key} = [\"{text}\"]"));
        };
        let mut parsed = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{}[{index}]", self.key(key));
            self.report.mark(&path, item.span().start);
            let DeValue::String(text) = item.get_ref() else {
                let fix = format!("write \"{}\"", other_as_text(item.get_ref()));
                let message = format!("is {}, not a text", type_of(item.get_ref()));
                self.report.error(&path, message, fix);
                continue;
            };
            match parse(text) {
                Ok(value) => parsed.push(value),
                Err(fault) => drop(self.fault::<T>(&path, text, fault)),
            }
        }
        Some(parsed)
    }

    /// A list of whole numbers within `range`; a faulty one is reported, and `None` in its place.
    pub(super) fn integers(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<Vec<Option<u64>>> {
        let value = self.take(key)?;
        let bounds = format!("write numbers from {} to {}", range.start(), range.end());
        let DeValue::Array(items) = value.get_ref() else {
            return self.wrong_type(key, value.get_ref(), &format!("{bounds}, in [ ]"));
        };
        let mut numbers = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{}[{index}]", self.key(key));
            self.report.mark(&path, item.span().start);
            let DeValue::Integer(number) = item.get_ref() else {
                let message = format!("is {}, not a number", type_of(item.get_ref()));
                self.report.error(&path, message, bounds.clone());
                numbers.push(None);
                continue;
            };
            let parsed = u64::from_str_radix(number.as_str(), number.radix()).ok();
            let parsed = parsed.filter(|parsed| range.contains(parsed));
            if parsed.is_none() {
                let message = format!("{number} is out of range");
                self.report.error(&path, message, bounds.clone());
            }
            numbers.push(parsed);
        }
        Some(numbers)
    }

    /// A whole number within `range`.
    pub(super) fn integer(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let value = self.take(key)?;
        let bounds = format!("write a number from {} to {}", range.start(), range.end());
        let DeValue::Integer(number) = value.get_ref() else {
            return self.wrong_type(key, value.get_ref(), &bounds);
        };
        let parsed = u64::from_str_radix(number.as_str(), number.radix()).ok();
        let parsed = parsed.filter(|parsed| range.contains(parsed));
        if parsed.is_none() {
            self.report
                .error(&self.key(key), format!("{number} is out of range"), bounds);
        }
        parsed
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let value = self.take(key)?;
        match value.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            other => {
                let fix = format!("write {key} = true or {key} = false, without quotes");
                self.wrong_type(key, other, &fix)
            }
        }
    }

    /// A duration within `range`; with `zero`, also `"0s"`.
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        range: RangeInclusive<Duration>,
        zero: bool,
    ) -> Option<Duration> {
        if let Some(DeValue::Integer(number)) = self.table.get(key).map(Spanned::get_ref) {
            self.take(key);
            let message = "is a number, and a duration has a unit";
            self.report.error(
                &self.key(key),
                message,
                format!("write {key} = \"{number}s\""),
            );
            return None;
        }
        self.parsed(key, |text| {
            let duration = values::duration(text)?;
            if range.contains(&duration) || (zero && duration.is_zero()) {
                return Ok(duration);
            }
            let or_zero = if zero { ", or \"0s\" for none" } else { "" };
            let (least, most) = (values::spoken(*range.start()), values::spoken(*range.end()));
            let fix = format!("write \"{least}\" to \"{most}\"{or_zero}");
            Err(Fault::new("is out of range", fix))
        })
    }

    /// A path, relative to the file's folder.
    pub(super) fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        let text = self.parsed(key, values::path)?;
        Some(self.report.resolve(&text))
    }

    /// A password's source, `{ file = "…" }` or `{ env = "…" }`. A bare text is a fault, and is
    /// not shown: it is the password, more often than not.
    pub(super) fn password(&mut self, key: &'static str) -> Option<SecretSource> {
        if let Some(DeValue::String(_)) = self.table.get(key).map(Spanned::get_ref) {
            self.take(key);
            let path = self.key(key);
            let message = "stands in this file, and secrets stay out of it";
            let fix = "write { file = \"PATH\" } or { env = \"NAME\" }";
            self.report.error(&path, message, fix);
            return None;
        }
        self.secret(key)
    }

    /// A secret's source: a path, `{ file = "…" }` or `{ env = "…" }`. The value never prints.
    pub(super) fn secret(&mut self, key: &'static str) -> Option<SecretSource> {
        const FIX: &str = "write { file = \"PATH\" } or { env = \"NAME\" }";
        let value = self.take(key)?;
        let path = self.key(key);
        match value.get_ref() {
            DeValue::String(text) if looks_like_a_path(text) => {
                Some(SecretSource::File(self.report.resolve(text)))
            }
            DeValue::String(_) => {
                let message = "holds the secret itself, or nothing; secrets stay out of this file";
                self.report.error(&path, message, FIX);
                None
            }
            DeValue::Table(table) => {
                let report = &mut *self.report;
                let mut source = Section::new(report, &path, table);
                let (file, env) = (source.path("file"), source.parsed("env", values::env_name));
                let count = ["file", "env"].iter().filter(|key| source.has(key)).count();
                source.finish();
                if count != 1 {
                    self.report
                        .error(&path, "needs either a file or an env", FIX);
                    return None;
                }
                file.map(SecretSource::File).or(env.map(SecretSource::Env))
            }
            other => {
                self.report
                    .error(&path, format!("is {}", type_of(other)), FIX);
                None
            }
        }
    }

    /// A reference to one of `names`, the tables `[kind.NAME]`.
    pub(super) fn reference(
        &mut self,
        key: &'static str,
        kind: &str,
        names: &[&str],
    ) -> Option<String> {
        self.parsed(key, |text| {
            if names.contains(&text) {
                return Ok(text.to_owned());
            }
            let fix = match nearest(text, names.iter().copied()) {
                Some(name) => format!("did you mean \"{name}\"?"),
                None if names.is_empty() => format!("add a table [{kind}.{text}]"),
                None => format!("the {kind} tables are {}", listed(names.iter().copied())),
            };
            Err(Fault::new(format!("names no [{kind}.…] table"), fix))
        })
    }

    /// The table `key`, if the file has it.
    pub(super) fn table(&mut self, key: &'static str) -> Option<&'s DeTable<'s>> {
        let value = self.take(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(table),
            other => self.wrong_type(key, other, &format!("write a table: [{key}]")),
        }
    }

    /// The named tables of `key` (`[listen.outside]`, `[listen.inside]`), in the file's order.
    pub(super) fn named(&mut self, key: &'static str) -> Vec<Named<'s>> {
        let Some(table) = self.table(key) else {
            return Vec::new();
        };
        let mut named = Vec::new();
        for (name, value) in in_order(table) {
            let path = self.key(&format!("{key}.{}", name.get_ref()));
            self.report.mark(&path, name.span().start);
            let name: &'s str = name.get_ref();
            if let Err(fault) = values::table_name(name) {
                self.report
                    .error(&path, format!("{} {}", quoted(name), fault.what), fault.fix);
            }
            match value.get_ref() {
                DeValue::Table(table) => named.push(Named { name, table }),
                other => {
                    let message = format!("is {}, not a table", type_of(other));
                    self.report
                        .error(&path, message, format!("write it under [{key}.NAME]"));
                }
            }
        }
        named
    }

    /// The tables of a list (`[[site.NAME.dial]]`), each with its key path, in the file's order.
    pub(super) fn tables(&mut self, key: &'static str) -> Vec<(String, &'s DeTable<'s>)> {
        let Some(value) = self.take(key) else {
            return Vec::new();
        };
        let DeValue::Array(items) = value.get_ref() else {
            let fix = format!("write each under [[{}]]", self.key(key));
            self.wrong_type::<()>(key, value.get_ref(), &fix);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{}[{index}]", self.key(key));
            self.report.mark(&path, item.span().start);
            match item.get_ref() {
                DeValue::Table(table) => tables.push((path, table)),
                other => {
                    let message = format!("is {}, not a table", type_of(other));
                    let fix = format!("write it under [[{}]]", self.key(key));
                    self.report.error(&path, message, fix);
                }
            }
        }
        tables
    }

    /// Whether the table has `key`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Reports a missing key that must be there.
    pub(super) fn require(&mut self, key: &'static str, fix: impl Into<String>) {
        if !self.has(key) && !self.report.incomplete {
            self.report.error(&self.key(key), "is missing", fix);
        }
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(self) {
        if self.path.is_empty() && self.report.incomplete {
            return; // A broken table header leaves its keys here.
        }
        for (key, value) in in_order(self.table) {
            if self.asked.contains(key.get_ref().as_ref()) {
                continue;
            }
            let path = self.key(key.get_ref());
            let fix = match nearest(key.get_ref(), self.asked.iter().copied()) {
                Some(known) => format!("did you mean \"{known}\"?"),
                None => format!("known here are {}", listed(self.asked.iter().copied())),
            };
            let what = if value.get_ref().is_table() {
                "an unknown table"
            } else {
                "an unknown key"
            };
            self.report
                .error_at(key.span().start, &path, format!("is {what}"), fix);
        }
    }

    fn take(&mut self, key: &'static str) -> Option<&'s Spanned<DeValue<'s>>> {
        self.asked.insert(key);
        let Some((name, value)) = self.table.get_key_value(key) else {
            return self.fallback?.get(key);
        };
        let span: Range<usize> = if value.get_ref().is_table() {
            name.span()
        } else {
            value.span()
        };
        self.report.mark(&self.key(key), span.start);
        Some(value)
    }

    fn wrong_type<T>(&mut self, key: &str, value: &DeValue<'_>, fix: &str) -> Option<T> {
        let path = self.key(key);
        self.report
            .error(&path, format!("is {}", type_of(value)), fix);
        None
    }

    fn fault<T>(&mut self, path: &str, text: &str, fault: Fault) -> Option<T> {
        self.report
            .error(path, format!("{} {}", quoted(text), fault.what), fault.fix);
        None
    }
}

/// A table's entries in the file's order.
fn in_order<'s>(
    table: &'s DeTable<'s>,
) -> Vec<(
    &'s Spanned<std::borrow::Cow<'s, str>>,
    &'s Spanned<DeValue<'s>>,
)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

fn type_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::Array(_) => "a list",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Float(_) => "a fraction",
        DeValue::Integer(_) => "a number",
        DeValue::String(_) => "a text",
        DeValue::Table(_) => "a table",
    }
}

/// The value as it may stand in a suggestion.
fn other_as_text(value: &DeValue<'_>) -> String {
    match value {
        DeValue::Integer(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::String(text) if text.len() <= 60 && !text.contains(char::is_control) => {
            text.to_string()
        }
        _ => "…".to_owned(),
    }
}

fn looks_like_a_path(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 4096
        && !text.contains(char::is_control)
        && !text.contains("-----BEGIN")
}

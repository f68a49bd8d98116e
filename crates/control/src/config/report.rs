//! Collects faults with their place in the file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::diagnostic::{Diagnostic, Severity};

/// The file's text, where each key stands in it, and what was found wrong so far.
pub(super) struct Report<'t> {
    file: &'t Path,
    text: &'t str,
    /// Byte offsets at which lines start.
    lines: Vec<usize>,
    /// Byte offset of each key's value, by key path; of a table: of its name.
    spots: BTreeMap<String, usize>,
    /// Keys with an error.
    faulty: BTreeSet<String>,
    diagnostics: Vec<Diagnostic>,
    /// The syntax is broken, so what is missing may only have been lost.
    pub(super) incomplete: bool,
}

impl<'t> Report<'t> {
    pub(super) fn new(file: &'t Path, text: &'t str) -> Report<'t> {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
        Report {
            file,
            text,
            lines: lines.collect(),
            spots: BTreeMap::new(),
            faulty: BTreeSet::new(),
            diagnostics: Vec::new(),
            incomplete: false,
        }
    }

    /// Notes where `key` stands.
    pub(super) fn mark(&mut self, key: &str, offset: usize) {
        self.spots.insert(key.to_owned(), offset);
    }

    /// Whether the file has `key`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.spots.contains_key(key)
    }

    /// Whether the file has `key` and nothing was found wrong with it.
    pub(super) fn good(&self, key: &str) -> bool {
        self.has(key) && !self.faulty.contains(key)
    }

    /// The line of `key`, for a message about another key.
    pub(super) fn line_of(&self, key: &str) -> u32 {
        self.place(self.offset_of(key)).0
    }

    /// A path of the configuration, relative to the file's folder.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }

    /// An error at `key` (or, if the file does not have it, at the nearest table around it).
    pub(super) fn error(&mut self, key: &str, message: impl Into<String>, fix: impl Into<String>) {
        let offset = self.offset_of(key);
        self.push(Severity::Error, offset, key, message.into(), fix.into());
    }

    /// A warning at `key`.
    pub(super) fn warning(
        &mut self,
        key: &str,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let offset = self.offset_of(key);
        self.push(Severity::Warning, offset, key, message.into(), fix.into());
    }

    /// An error at a byte of the file.
    pub(super) fn error_at(
        &mut self,
        offset: usize,
        key: &str,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.push(Severity::Error, offset, key, message.into(), fix.into());
    }

    /// What was found, in order of line.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        self.diagnostics
            .sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
        self.diagnostics
    }

    fn push(&mut self, severity: Severity, offset: usize, key: &str, message: String, fix: String) {
        if severity == Severity::Error {
            self.faulty.insert(key.to_owned());
            // A faulty item makes the list faulty.
            if let Some((list, _)) = key.rsplit_once('[') {
                self.faulty.insert(list.to_owned());
            }
        }
        let (line, column) = self.place(offset);
        let (file, key) = (self.file.to_owned(), key.to_owned());
        self.diagnostics.push(Diagnostic {
            severity,
            file,
            line,
            column,
            key,
            message,
            fix,
        });
    }

    fn offset_of(&self, key: &str) -> usize {
        let mut path = key;
        loop {
            if let Some(&offset) = self.spots.get(path) {
                return offset;
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return 0,
            }
        }
    }

    /// Line and column of a byte, both from 1.
    fn place(&self, offset: usize) -> (u32, u32) {
        let line = self.lines.partition_point(|&start| start <= offset).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or_default();
        let before = self.text.get(start..offset).unwrap_or_default();
        (line as u32, before.chars().count() as u32 + 1)
    }
}

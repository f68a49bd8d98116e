//! Counts of checks, and how they are read out of what a test runner prints.

use std::ops::AddAssign;

/// How many checks passed, failed and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Checks that ran and held.
    pub passed: u64,
    /// Checks that ran and did not hold.
    pub failed: u64,
    /// Checks that could not run on this machine.
    pub skipped: u64,
}

impl Tally {
    /// One check that held or did not.
    pub fn one(held: bool) -> Tally {
        Tally {
            passed: u64::from(held),
            failed: u64::from(!held),
            skipped: 0,
        }
    }

    /// One check that could not run.
    pub fn skipped() -> Tally {
        Tally {
            skipped: 1,
            ..Tally::default()
        }
    }

    /// Moves up to `count` checks from passed to skipped: a test that finds its tool missing
    /// returns, says so, and the runner counts it as passed.
    pub fn skip(&mut self, count: u64) {
        let moved = count.min(self.passed);
        self.passed -= moved;
        self.skipped += moved;
    }

    /// Reads one line of `cargo nextest` or `cargo test`; anything but a summary adds nothing.
    pub fn read(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result:") {
            // Only at the start of a line: nextest shows a failed test's own summary indented.
            self.passed += before(counts, "passed");
            self.failed += before(counts, "failed");
            self.skipped += before(counts, "ignored");
        }
        let line = line.trim();
        if line.starts_with("Summary [") && line.contains(" run:") {
            let counts = line.rsplit("run:").next().unwrap_or_default();
            self.passed += before(counts, "passed");
            self.failed += before(counts, "failed")
                + before(counts, "timed out")
                + before(counts, "exec failed");
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

/// The number in front of `word` in a list such as `3 passed (1 slow), 2 failed`.
fn before(counts: &str, word: &str) -> u64 {
    counts
        .split([',', ';', '.', ':'])
        .filter_map(|item| item.trim().split_once(' '))
        .filter(|(_, rest)| rest.trim() == word || rest.trim().starts_with(&format!("{word} (")))
        .filter_map(|(number, _)| number.trim().parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lines: &[&str], expected: (u64, u64, u64)) {
        let mut tally = Tally::default();
        for line in lines {
            tally.read(line);
        }
        assert_eq!((tally.passed, tally.failed, tally.skipped), expected);
    }

    #[test]
    fn reads_the_summaries_of_both_test_runners() {
        check(
            &["     Summary [   0.005s] 8 tests run: 8 passed, 0 skipped"],
            (8, 0, 0),
        );
        check(
            &["Summary [ 9.1s] 8 tests run: 6 passed (1 slow), 2 failed, 9 skipped"],
            (6, 2, 0),
        );
        check(
            &["Summary [ 9.1s] 1 test run: 0 passed, 1 timed out, 9 skipped"],
            (0, 1, 0),
        );
        check(
            &["test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 0 f"],
            (4, 0, 1),
        );
        check(
            &["test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured"],
            (4, 2, 0),
        );
        check(
            &["nothing of the kind", "Summary of changes: 4 passed"],
            (0, 0, 0),
        );
    }

    #[test]
    fn a_skipped_test_leaves_the_passed_ones() {
        let mut tally = Tally {
            passed: 3,
            failed: 1,
            skipped: 0,
        };
        tally.skip(2);
        assert_eq!(tally.to_string(), "1 passed, 1 failed, 2 skipped");
        tally.skip(5);
        assert_eq!(tally.to_string(), "0 passed, 1 failed, 3 skipped");
    }
}

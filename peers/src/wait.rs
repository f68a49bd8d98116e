//! Waiting for a condition, up to a deadline.

use std::time::{Duration, Instant};

use anyhow::bail;

/// How long a program may take to do what it does at once on an idle machine.
pub const SOON: Duration = Duration::from_secs(20);

/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(5);

/// Waits until `condition` gives a value.
///
/// # Errors
/// When it gives none before `deadline` has passed; the error names `what`.
pub fn until<T>(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = condition() {
            return Ok(value);
        }
        if Instant::now() >= end {
            bail!("{what}: not within {deadline:?}");
        }
        std::thread::park_timeout(LOOK);
    }
}

/// Waits until `condition` holds.
///
/// # Errors
/// As [`until`].
pub fn until_true(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> bool,
) -> anyhow::Result<()> {
    until(what, deadline, || condition().then_some(()))
}

/// Lets `duration` pass: for measurements, whose subject is what happens in that time.
pub fn measure_for(duration: Duration) {
    let end = Instant::now() + duration;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
}

/// How long `work` took, with what it gave.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let done = work();
    (done, start.elapsed())
}

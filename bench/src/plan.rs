//! How much is run: rates, times and rounds.

use std::time::Duration;

use anyhow::{Context, bail};

/// Sizes of one run of the benchmark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Measurements to run; all when empty.
    pub only: Vec<String>,
    /// Whether the figures are held against the goals.
    pub judged: bool,
    /// Times that each program is measured.
    pub rounds: usize,
    /// Length of one measurement.
    pub seconds: u32,
    /// Calls a second.
    pub call_rate: u32,
    /// OPTIONS a second.
    pub options_rate: u32,
    /// Media sessions, each with both directions.
    pub sessions: usize,
    /// Calls that are up while memory is read.
    pub established: u32,
}

/// The real thing.
const FULL: Plan = Plan {
    only: Vec::new(),
    judged: true,
    rounds: 5,
    seconds: 6,
    call_rate: 1_000,
    options_rate: 2_000,
    sessions: 500,
    established: 3_000,
};

/// Enough to see that the harness works.
const QUICK: Plan = Plan {
    only: Vec::new(),
    judged: false,
    rounds: 1,
    seconds: 2,
    call_rate: 100,
    options_rate: 200,
    sessions: 20,
    established: 100,
};

impl Plan {
    /// Reads the arguments; `None` when the measurements are only to be listed.
    pub(crate) fn read(arguments: &[String]) -> anyhow::Result<Option<Plan>> {
        let quick = arguments.iter().any(|argument| argument == "--quick");
        let mut plan = if quick { QUICK } else { FULL };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .with_context(|| format!("{argument} wants a value"))
            };
            match argument.as_str() {
                "--list" => return Ok(None),
                "--quick" => {}
                "--only" => plan.only.extend(value()?.split(',').map(str::to_owned)),
                "--rounds" => plan.rounds = value()?.parse::<usize>()?.max(1),
                "--seconds" => plan.seconds = value()?.parse::<u32>()?.max(1),
                "--rate" => plan.call_rate = value()?.parse::<u32>()?.max(1),
                "--sessions" => plan.sessions = value()?.parse::<usize>()?.max(1),
                "--established" => plan.established = value()?.parse::<u32>()?.max(1),
                other => bail!("`cargo xtask bench` has no argument `{other}`"),
            }
        }
        Ok(Some(plan))
    }

    /// Length of one measurement.
    pub(crate) fn length(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn read(arguments: &[&str]) -> Option<Plan> {
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        Plan::read(&arguments).expect("understood")
    }

    #[test]
    fn arguments_change_the_plan() {
        assert_eq!(read(&[]), Some(FULL));
        assert_eq!(read(&["--list"]), None);
        let only = vec!["rtp".to_owned(), "srtp".to_owned()];
        let expected = Plan {
            only,
            rounds: 3,
            ..QUICK
        };
        assert_eq!(
            read(&["--rounds", "3", "--quick", "--only", "rtp,srtp"]),
            Some(expected)
        );
        assert!(Plan::read(&["--only".to_owned()]).is_err());
        assert!(Plan::read(&["--fast".to_owned()]).is_err());
    }
}

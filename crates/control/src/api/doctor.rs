//! Checks of the host and the set-up.

use serde::{Deserialize, Serialize};

/// `ringfence doctor`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doctor {
    /// What was looked at.
    pub checks: Vec<Check>,
}

impl Doctor {
    /// The worst state of all; `ok` of nothing.
    pub fn state(&self) -> CheckState {
        self.checks
            .iter()
            .map(|check| check.state)
            .max()
            .unwrap_or(CheckState::Ok)
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was looked at: `receive buffers`.
    pub name: String,
    /// What was found.
    pub state: CheckState,
    /// The same in words.
    pub message: String,
    /// What to do about it, when there is something to do.
    pub fix: Option<String>,
}

/// What a check found, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    /// It is as it should be.
    Ok,
    /// It could not be looked at. This is not `ok`.
    Unknown,
    /// It works and somebody should look.
    Warning,
    /// It does not work.
    Failed,
}

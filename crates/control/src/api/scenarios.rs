//! Scenarios of a running edge.

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// `ringfence scenario list`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScenarioList {
    /// When this was so.
    pub at: Timestamp,
    /// All of them.
    pub scenarios: Vec<ScenarioView>,
}

/// One scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScenarioView {
    /// Its name.
    pub name: String,
    /// What it says to a person.
    pub says: String,
    /// The kind of what it finds.
    pub finds: String,
    /// The technique of MITRE ATT&CK.
    pub technique: String,
    /// `observe` or `enforce`, now.
    pub mode: String,
    /// Events that met its conditions, since the start.
    pub matched: u64,
    /// Findings, since the start.
    pub found: u64,
}

/// The mode that a scenario is to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScenarioMode {
    /// `observe` or `enforce`.
    pub mode: String,
}

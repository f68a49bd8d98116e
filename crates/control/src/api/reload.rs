//! What a reload did.

use serde::{Deserialize, Serialize};

use crate::config::Diagnostic;
use crate::diff::{Change, Effect};

/// `ringfence reload`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reload {
    /// Whether the file was good. When not, nothing changed.
    pub applied: bool,
    /// What differs between the configuration in use and the file.
    pub changes: Vec<ChangeView>,
    /// Errors (when not applied) and warnings of the file.
    pub diagnostics: Vec<Diagnostic>,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeView {
    /// The key: `trunk.carrier-a.channels`.
    pub key: String,
    /// The value in use; absent when the key is new.
    pub from: Option<String>,
    /// The value in the file; absent when the key is gone.
    pub to: Option<String>,
    /// `now` or `restart`.
    pub effect: String,
}

impl From<&Change> for ChangeView {
    fn from(change: &Change) -> ChangeView {
        ChangeView {
            key: change.key.clone(),
            from: change.from.clone(),
            to: change.to.clone(),
            effect: match change.effect {
                Effect::Now => "now".to_owned(),
                Effect::Restart => "restart".to_owned(),
            },
        }
    }
}

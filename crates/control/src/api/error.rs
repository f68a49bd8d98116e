//! What the API says when it cannot do what was asked.

use serde::{Deserialize, Serialize};

/// An error and the way out of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{error}; {fix}")]
pub struct ApiError {
    /// What is wrong.
    pub error: String,
    /// What to do about it.
    pub fix: String,
}

impl ApiError {
    /// An error.
    pub fn new(error: impl Into<String>, fix: impl Into<String>) -> ApiError {
        ApiError {
            error: error.into(),
            fix: fix.into(),
        }
    }
}

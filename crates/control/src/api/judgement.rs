//! What detection found and decided, and why.

use serde::{Deserialize, Serialize};

use super::callers::CallerStanding;
use super::record::CallRecord;
use super::time::Timestamp;

/// One word of detection. Texts of peers in it are escaped already.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// When it was said.
    pub at: Timestamp,
    /// `incident`, `decided`, `refused` (what was due and is not done) or `lifted`.
    pub what: String,
    /// Number of the incident in this process; 0 where there is none.
    pub incident: u64,
    /// `scan`, `guessing`, …
    pub kind: String,
    /// MITRE ATT&CK technique.
    pub technique: String,
    /// `address`, `account`, `number`, …
    pub subject_sort: String,
    /// About whom.
    pub subject: String,
    /// The address of the last event, if it has one.
    pub source: Option<String>,
    /// Whether that address could have been made up.
    pub spoofable: bool,
    /// In percent.
    pub confidence: u8,
    /// Events that led to it.
    pub events: u64,
    /// Addresses that took part.
    pub sources: u64,
    /// The first event.
    pub first: Timestamp,
    /// The last one.
    pub last: Timestamp,
    /// `tarpit`, `limit`, `block`, …; of a decision.
    pub action: Option<String>,
    /// `observe` or `enforce`; of a decision.
    pub mode: Option<String>,
    /// Where a block stands that is in force: `process` or `nftables`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands: Option<String>,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// Whom of the customer's it would have met; of a decision.
    pub harm: Option<String>,
    /// The sentence for a person.
    pub why: String,
}

/// `ringfence incidents`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incidents {
    /// When this was so.
    pub at: Timestamp,
    /// Incidents that are open, the latest first.
    pub open: Vec<Judgement>,
    /// What was said before, the latest first.
    pub past: Vec<Judgement>,
    /// Events that were lost before they were judged.
    pub events_lost: u64,
}

/// `ringfence blocks`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Blocks {
    /// When this was so.
    pub at: Timestamp,
    /// What is in force.
    pub blocks: Vec<Judgement>,
}

/// `ringfence blocks remove`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifted {
    /// How many were in force and are no longer.
    pub lifted: u64,
}

/// `ringfence explain`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// When this was so.
    pub at: Timestamp,
    /// What was asked about.
    pub about: String,
    /// The answer in a sentence.
    pub why: String,
    /// Whether it is the customer's own, which is never banned.
    pub own: bool,
    /// Whom of the customer's a ban would meet; of an address.
    pub harm: Option<String>,
    /// How much it looks like a scanner's; a finding is made at 5. Of an address.
    pub score: Option<f32>,
    /// What is in force against it.
    pub in_force: Vec<Judgement>,
    /// What was said about it, the latest first.
    pub past: Vec<Judgement>,
    /// The record of a call.
    pub call: Option<CallRecord>,
    /// What a number is to each tenant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub callers: Vec<CallerStanding>,
    /// The last calls from and to a number, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<CallRecord>,
}

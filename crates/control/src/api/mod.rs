//! The control API, version 1: what the edge serves on its control socket and the command line
//! reads. JSON over HTTP.
//!
//! Names and meanings here are stable: fields may be added, none is renamed or taken away. Golden
//! files in `snapshots` hold them to it. Texts that a peer wrote stand as received; whoever shows
//! them escapes them.

mod attack_mode;
mod call;
mod call_back;
mod callers;
mod capture;
mod doctor;
mod error;
mod feed;
mod judgement;
mod line;
mod phones;
mod record;
mod registration;
mod reload;
mod route;
mod scenarios;
mod spending;
mod status;
mod time;
mod trace;

pub use attack_mode::{ATTACK_SECONDS_MAX, AttackMode, AttackQuery, SiteDefence};
pub use call::{ActiveCall, ActiveLeg, ActiveMedia, CallState, Calls, HangUp};
pub use call_back::{CALL_BACK_MAX, CallBack, CallBackList, CallBackQuery, CallBacks};
pub use callers::{
    CallerStanding, CallersImport, CallersImported, GivenNumber, IMPORT_MAX, KnownCallersStatus,
    Read, RefusedNumber, TenantCallers, read_number,
};
pub use capture::CaptureQuery;
pub use doctor::{Check, CheckState, Doctor};
pub use error::ApiError;
pub use feed::{FEED_SURE, Feed, FeedAddress};
pub use judgement::{Blocks, Explanation, Incidents, Judgement, Lifted};
pub use line::{
    DOWN_AFTER_MISSED, Line, LineState, LineVerdict, Lines, OptionsView, PROOF_FRESH, Proof,
    ProofKind, Seen, judge,
};
pub use phones::{Phone, PhoneContact, Phones};
pub use record::{CallRecord, RecordCallerId, RecordLeg, RecordMedia, Records};
pub use registration::{OtherBinding, Registration, Registrations, judge_registration};
pub use reload::{ChangeView, Reload};
pub use route::{RouteAnswer, RouteOutcome, RouteQuery, RouteStep, RouteWay};
pub use scenarios::{ScenarioList, ScenarioMode, ScenarioView};
pub use spending::{ClassSpending, Spending, Stopped, TenantSpending};
pub use status::{ConfigStatus, ListenerStatus, MemoryStatus, RecordsState, RecordsStatus, Status};
pub use time::Timestamp;
pub use trace::{Direction, LegName, Trace, TraceEntry};

/// Paths of the API.
pub mod paths {
    /// `GET`: [`Status`](super::Status).
    pub const STATUS: &str = "/v1/status";
    /// `GET`: [`Phones`](super::Phones).
    pub const PHONES: &str = "/v1/phones";
    /// `GET`: [`Spending`](super::Spending).
    pub const FRAUD: &str = "/v1/fraud";
    /// `GET`: [`Lines`](super::Lines).
    pub const LINES: &str = "/v1/lines";
    /// `GET`: [`Registrations`](super::Registrations).
    pub const REGISTRATIONS: &str = "/v1/registrations";
    /// `GET`: [`Calls`](super::Calls), those in progress.
    pub const CALLS: &str = "/v1/calls";
    /// `GET`, with a [`CaptureQuery`](super::CaptureQuery): a pcapng file as it is written.
    pub const CAPTURE: &str = "/v1/capture";
    /// `GET`, with a [`RouteQuery`](super::RouteQuery): [`RouteAnswer`](super::RouteAnswer).
    pub const ROUTE: &str = "/v1/route";
    /// `DELETE`: hangs up; [`HangUp`](super::HangUp).
    pub const CALL: &str = "/v1/calls/{id}";
    /// `GET`: [`Trace`](super::Trace).
    pub const TRACE: &str = "/v1/calls/{id}/trace";
    /// `GET`, with `?after=SEQUENCE&limit=N&tenant=KEY`: [`Records`](super::Records).
    pub const RECORDS: &str = "/v1/records";
    /// `GET`: [`CallRecord`](super::CallRecord).
    pub const RECORD: &str = "/v1/records/{id}";
    /// `GET`, with `?limit=N`: [`Incidents`](super::Incidents).
    pub const INCIDENTS: &str = "/v1/incidents";
    /// `GET`: [`Blocks`](super::Blocks); `DELETE`: takes all back; [`Lifted`](super::Lifted).
    pub const BLOCKS: &str = "/v1/blocks";
    /// `DELETE`: takes back what is in force against an address; [`Lifted`](super::Lifted).
    pub const BLOCK: &str = "/v1/blocks/{whose}";
    /// `GET`, with `?since=SECONDS`: [`Feed`](super::Feed).
    pub const FEED: &str = "/v1/feed";
    /// `GET`, with `?about=ADDRESS|NUMBER|CALL`: [`Explanation`](super::Explanation).
    pub const EXPLAIN: &str = "/v1/explain";
    /// `GET`, `POST` (on) and `DELETE` (off), with an [`AttackQuery`](super::AttackQuery):
    /// [`AttackMode`](super::AttackMode).
    pub const ATTACK_MODE: &str = "/v1/attack-mode";
    /// `GET`: [`KnownCallersStatus`](super::KnownCallersStatus); `POST`, with a
    /// [`CallersImport`](super::CallersImport) in JSON: [`CallersImported`](super::CallersImported).
    pub const CALLERS: &str = "/v1/callers";
    /// `GET`, with a [`CallBackQuery`](super::CallBackQuery): [`CallBacks`](super::CallBacks).
    pub const CALL_BACK: &str = "/v1/callers/call-back";
    /// `GET` and `DELETE` (forgets it), with `?tenant=KEY`:
    /// [`CallerStanding`](super::CallerStanding).
    pub const CALLER: &str = "/v1/callers/{number}";
    /// `GET`: [`ScenarioList`](super::ScenarioList).
    pub const SCENARIOS: &str = "/v1/scenarios";
    /// `POST`, with a [`ScenarioMode`](super::ScenarioMode) as its query:
    /// [`ScenarioList`](super::ScenarioList).
    pub const SCENARIO: &str = "/v1/scenarios/{name}";
    /// `GET`: [`Doctor`](super::Doctor).
    pub const DOCTOR: &str = "/v1/doctor";
    /// `POST`: [`Reload`](super::Reload).
    pub const RELOAD: &str = "/v1/reload";
    /// `POST`: starts to drain; [`Status`](super::Status).
    pub const DRAIN: &str = "/v1/drain";
}

#[cfg(test)]
mod tests;

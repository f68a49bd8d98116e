//! What a replay says, as JSON has it.

use ringfence_base::UnixTime;
use ringfence_base::text::Escaped;
use ringfence_detect::decision::{Decision, Harm, Proposal, Refused};
use ringfence_detect::fingerprint::shape;
use ringfence_sip::StartLine;
use serde::Serialize;

use crate::dissect::Seen;
use crate::outcomes::Way;

/// What would have been stopped.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// SIP messages, and what came to a port of SIP and is none.
    pub messages: u64,
    /// Those of whoever was found, from the first one on.
    pub hostile_messages: u64,
    /// What was found.
    pub findings: Vec<FindingLine>,
    /// What would have been done, or was due and is forbidden.
    pub decisions: Vec<DecisionLine>,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FindingLine {
    /// Its kind.
    pub kind: &'static str,
    /// About whom: an address, where there is one.
    pub source: String,
    /// The number of its first message, from 1.
    pub first_message: u64,
    /// The number of its last one.
    pub last_message: u64,
    /// How many messages.
    pub messages: u64,
    /// The sentence for a person.
    pub why: String,
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DecisionLine {
    /// For what kind of finding.
    pub kind: &'static str,
    /// What.
    pub action: &'static str,
    /// Against whom.
    pub against: String,
    /// `enforce` or `observe`; `refused` where a rule forbids it.
    pub mode: &'static str,
    /// The number of the message it followed.
    pub after_message: u64,
    /// For how long, in seconds.
    pub seconds: u64,
    /// Whom of the customer's it would have met.
    pub harm: HarmLine,
    /// The sentence for a person.
    pub why: String,
}

/// Whom of the customer's something meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct HarmLine {
    /// Trunks and PBXs.
    pub peers: u32,
    /// Accounts that registered from there.
    pub accounts: u32,
    /// Answered calls from there.
    pub calls: u32,
}

impl DecisionLine {
    pub(crate) fn decided(after_message: u64, decision: &Decision) -> DecisionLine {
        DecisionLine {
            mode: decision.proposal().mode.as_str(),
            why: decision.explain(),
            ..DecisionLine::of(after_message, decision.proposal(), decision.harm())
        }
    }

    pub(crate) fn refused(
        after_message: u64,
        proposal: &Proposal,
        why: Refused,
        harm: Harm,
    ) -> DecisionLine {
        let harm = match why {
            Refused::Harms(harm) => harm,
            Refused::Unproven | Refused::FailoverCode(_) => harm,
        };
        let line = DecisionLine::of(after_message, proposal, harm);
        DecisionLine {
            mode: "refused",
            why: format!(
                "no {} of {} for {}: {why}.",
                line.action, line.against, line.kind
            ),
            ..line
        }
    }

    fn of(after_message: u64, proposal: &Proposal, harm: Harm) -> DecisionLine {
        DecisionLine {
            kind: proposal.kind.as_str(),
            action: proposal.action.as_str(),
            against: proposal.against.to_string(),
            mode: "",
            after_message,
            seconds: (proposal.until - proposal.at).as_secs(),
            harm: HarmLine {
                peers: harm.peers,
                accounts: harm.accounts,
                calls: harm.calls,
            },
            why: String::new(),
        }
    }
}

/// One SIP message.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MessageLine {
    /// Its number, from 1.
    pub message: u64,
    /// When, in microseconds since 1970.
    pub at_us: i64,
    /// From.
    pub source: String,
    /// To.
    pub destination: String,
    /// `udp` or `tcp`.
    pub transport: &'static str,
    /// The method of a request, the status of a response, `?` for what cannot be read.
    pub what: String,
    /// How much its source looks like a scanner's after it: a finding is made at 5, and whoever
    /// was found has at least that.
    pub score: f64,
    /// The marks of tools and the faults in it.
    pub tells: Vec<&'static str>,
    /// Its source was found already.
    pub known: bool,
    /// Its source is found somewhere in the capture, be it later.
    pub hostile: bool,
}

impl MessageLine {
    pub(crate) fn new(
        message: u64,
        at: UnixTime,
        way: Way,
        seen: &Seen<'_>,
        score: f32,
        (known, hostile): (bool, bool),
    ) -> MessageLine {
        let (what, tells) = match seen {
            Seen::Unparseable(_) => ("?".to_owned(), vec!["unparseable"]),
            Seen::Message(message) => {
                let what = match message.start() {
                    StartLine::Request { method, .. } => Escaped(method.as_bytes()).to_string(),
                    StartLine::Response { code, .. } => code.raw().to_string(),
                };
                let marks = message.is_request().then(|| shape(message).tells);
                let marks = marks.into_iter().flat_map(|tells| tells.names());
                (what, marks.chain(message.defects().names()).collect())
            }
        };
        MessageLine {
            message,
            at_us: at.as_micros(),
            source: way.from.to_string(),
            destination: way.to.to_string(),
            transport: match way.transport {
                ringfence_base::Transport::Udp => "udp",
                _ => "tcp",
            },
            what,
            score: (f64::from(score) * 100.0).round() / 100.0,
            tells,
            known,
            hostile,
        }
    }
}

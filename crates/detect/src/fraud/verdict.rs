//! What is said about a call, and why.

use std::fmt::Write;
use std::time::Duration;

use ringfence_base::Instant;

use super::destinations::{Class, Destination};
use super::meter::Ticket;
use super::money::Money;
use super::tells::Tells;
use crate::finding::{Confidence, Finding, Kind, Subject, Value};

/// What is done with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is set up.
    Allow,
    /// It is set up if the caller dials it again with the PIN.
    AskPin,
    /// It is not set up.
    Refuse,
}

impl Decision {
    /// Its name in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Decision::Allow => "allow",
            Decision::AskPin => "ask-pin",
            Decision::Refuse => "refuse",
        }
    }
}

/// Why a call is not simply set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// An attack is on, and nobody has vouched for the number.
    Alarm,
    /// What such calls may cost is used up.
    Budget {
        /// What they may cost now.
        budget: Money,
        /// What they have cost, or will by all likelihood.
        exposed: Money,
    },
    /// The class has had its money for today.
    Fuse {
        /// Spent today.
        spent: Money,
        /// The limit.
        limit: Money,
    },
    /// All classes together have had their money for today.
    FuseOfAll {
        /// Spent today.
        spent: Money,
        /// The limit.
        limit: Money,
    },
    /// Nobody has called this dear country, or it is the wrong hour for it.
    New,
    /// A premium, satellite or unallocated number that nobody has vouched for.
    Paid,
    /// The tenant's own list denies it.
    Policy,
    /// The caller's password may be in other hands.
    Suspect,
    /// It rang here once.
    Wangiri,
}

impl Why {
    /// Its name in records and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Why::Alarm => "alarm",
            Why::Budget { .. } => "budget",
            Why::Fuse { .. } => "fuse",
            Why::FuseOfAll { .. } => "fuse-of-all",
            Why::New => "new",
            Why::Paid => "paid",
            Why::Policy => "policy",
            Why::Suspect => "suspect",
            Why::Wangiri => "wangiri",
        }
    }
}

/// What is said about a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What is done.
    pub decision: Decision,
    /// Whether it is carried out, or only recorded.
    pub enforced: bool,
    /// Why, unless it is allowed.
    pub why: Option<Why>,
    /// What gave it away.
    pub tells: Tells,
    /// Where it leads.
    pub destination: Destination,
    /// What it would cost by all likelihood.
    pub estimate: Money,
    /// The sentence for a person; empty when it is allowed.
    pub sentence: String,
    /// The meter of a call that is set up; calls that cost next to nothing have none.
    pub ticket: Option<Ticket>,
}

impl Verdict {
    /// Whether the call is set up.
    pub fn goes_on(&self) -> bool {
        self.decision == Decision::Allow || !self.enforced
    }

    /// As a finding about `subject` (a phone, a PBX, a site); of an allowed call none.
    pub fn finding(&self, subject: Subject, at: Instant) -> Option<Finding> {
        let kind = match self.why? {
            Why::Policy => return None,
            Why::Wangiri => Kind::Wangiri,
            _ if self.tells.contains(Tells::FOREIGN_NUMBER) => Kind::PbxTakeover,
            _ => Kind::TollFraud,
        };
        let mut finding = Finding::new(kind, subject, at);
        finding.note("destination", Value::Word(self.destination.class.as_str()));
        finding.note("estimated cost", Value::Number(self.estimate.as_units()));
        for words in self.tells.words() {
            finding.note("tell", Value::Word(words));
        }
        let tells = self.tells.count() + 2 * u32::from(self.why == Some(Why::Suspect));
        let percent = 40 + 20 * tells.min(3) as u8;
        finding.confidence = Confidence::new(percent.min(95));
        finding.expires = at + Duration::from_secs(24 * 3600);
        Some(finding)
    }
}

/// Why a call in progress is ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Cut {
    /// The class.
    pub class: Class,
    /// Spent until now.
    pub spent: Money,
    /// The limit.
    pub limit: Money,
    /// The sentence for a person.
    pub sentence: String,
}

impl Cut {
    /// As a finding about `subject` (a phone, a PBX, a site).
    pub fn finding(&self, subject: Subject, at: Instant) -> Finding {
        let mut finding = Finding::new(Kind::TollFraud, subject, at);
        finding.note(
            "a call in progress was ended, to",
            Value::Word(self.class.as_str()),
        );
        finding.note("spent", Value::Number(self.spent.as_units()));
        finding.note("limit", Value::Number(self.limit.as_units()));
        finding.confidence = Confidence::new(60);
        finding.expires = at + Duration::from_secs(24 * 3600);
        finding
    }
}

/// What a sentence tells.
pub(super) struct Told<'a> {
    pub(super) destination: &'a Destination,
    pub(super) why: Why,
    pub(super) tells: Tells,
    pub(super) when: &'a dyn std::fmt::Display,
    pub(super) currency: &'a str,
    /// Whether a PIN would let it through.
    pub(super) pin: bool,
}

impl Told<'_> {
    pub(super) fn sentence(&self) -> String {
        let (to, currency) = (self.destination, self.currency);
        let place = match (to.class, to.country.as_str()) {
            (class, "") => format!("a {class} number"),
            (class, country) => format!("a {class} number of {country}"),
        };
        let price = to.per_minute;
        let mut text = format!("{place}, about {price} {currency} a minute: ");
        let _ = match self.why {
            Why::Alarm => write!(text, "an attack is on and nobody has vouched for it"),
            Why::Budget { budget, exposed } => write!(
                text,
                "calls to places nobody has vouched for stand at {exposed} {currency} with it, and \
                 {budget} is what they may cost now"
            ),
            Why::Fuse { spent, limit } => write!(
                text,
                "{} calls have cost {spent} {currency} today, and {limit} is the limit",
                to.class
            ),
            Why::FuseOfAll { spent, limit } => write!(
                text,
                "calls have cost {spent} {currency} today, and {limit} is the limit"
            ),
            Why::New => write!(text, "nobody here is known to call there"),
            Why::Paid => write!(text, "nobody has vouched for it"),
            Why::Policy => write!(text, "the list of this tenant denies it"),
            Why::Suspect => write!(
                text,
                "the caller's password may be in other hands, and nobody has vouched for it"
            ),
            Why::Wangiri => write!(
                text,
                "it rang here without talking, to be called back dearly"
            ),
        };
        for words in self.tells.words() {
            let _ = write!(text, "; {words}");
        }
        let _ = write!(text, " ({})", self.when);
        if self.pin {
            text.push_str(". Dial *PIN*number to call all the same");
        }
        text
    }
}

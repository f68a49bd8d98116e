//! What is done about a finding: one step of the ladder, against whom, until when, and whom else it
//! would have met.
//!
//! A decision cannot be made without saying whom it harms: [`Decision::new`] takes the [`Harm`] and
//! refuses when that is not nobody, when a ban lacks its proof, or when the customer's own would be
//! banned. There is no other way to make one.

use std::fmt::{self, Write};

use ringfence_base::Instant;

use crate::event::Proof;
use crate::finding::{Kind, Subject};

/// A step of the ladder, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Nothing but to look.
    Observe,
    /// A small answer without state, or none.
    Tarpit,
    /// Credentials, or a stream, before anything else.
    Challenge,
    /// Calls of an account that cost extra need the tenant's PIN. Meets nobody: everything else
    /// works as before, and whoever knows the PIN calls all the same.
    RestrictCalls,
    /// Unknown callers are asked by voice.
    Screen,
    /// Unknown callers are refused with a final code that makes no carrier fail over: 603, 608
    /// or 486.
    Shed {
        /// The code.
        status: u16,
    },
    /// At most so many a minute.
    Limit {
        /// How many.
        per_minute: u32,
    },
    /// Nothing of it is read any more.
    Block,
    /// Only what is known passes.
    LockDown,
}

impl Action {
    /// Its name in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Action::Observe => "observe",
            Action::Tarpit => "tarpit",
            Action::Challenge => "challenge",
            Action::RestrictCalls => "restrict-calls",
            Action::Screen => "screen",
            Action::Shed { .. } => "shed",
            Action::Limit { .. } => "limit",
            Action::Block => "block",
            Action::LockDown => "lock-down",
        }
    }

    /// Whether it shuts one address out, and so needs proof that the address is the sender's.
    pub const fn is_ban(self) -> bool {
        matches!(self, Action::Limit { .. } | Action::Block)
    }
}

/// Whether a decision is carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// It is noted what would have been done.
    #[default]
    Observe,
    /// It is done.
    Enforce,
}

impl Mode {
    /// Its name in configuration and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Mode::Observe => "observe",
            Mode::Enforce => "enforce",
        }
    }
}

/// Whom of the customer's a decision would have met: registrations and calls of the last 30 days,
/// trunks and PBXs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Harm {
    /// Configured trunks and PBXs at the address.
    pub peers: u32,
    /// Accounts that registered well from there in the last 30 days.
    pub accounts: u32,
    /// Answered calls from there in the last 30 days.
    pub calls: u32,
}

impl Harm {
    /// Nobody.
    pub const NOBODY: Harm = Harm {
        peers: 0,
        accounts: 0,
        calls: 0,
    };

    /// Whether it is nobody.
    pub const fn is_nobody(&self) -> bool {
        self.peers == 0 && self.accounts == 0 && self.calls == 0
    }
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_nobody() {
            return f.write_str("nobody of the customer's");
        }
        let parts = [
            (self.peers, "trunk or PBX", "trunks or PBXs"),
            (self.accounts, "account", "accounts"),
            (self.calls, "call", "calls"),
        ];
        let mut first = true;
        for (count, one, many) in parts.into_iter().filter(|(count, ..)| *count > 0) {
            let before = if first { "" } else { ", " };
            write!(f, "{before}{count} {}", if count == 1 { one } else { many })?;
            first = false;
        }
        Ok(())
    }
}

/// What is asked of [`Decision::new`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proposal {
    /// For what.
    pub kind: Kind,
    /// What.
    pub action: Action,
    /// Against whom.
    pub against: Subject,
    /// What proves the address, if it is one.
    pub proof: Proof,
    /// Observed or enforced.
    pub mode: Mode,
    /// When.
    pub at: Instant,
    /// Until when.
    pub until: Instant,
    /// Events that led to it.
    pub events: u64,
}

/// Something is done, or would be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    proposal: Proposal,
    harm: Harm,
}

/// Why something is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A ban without proof that the address is the sender's.
    #[error("the source address is not proved")]
    Unproven,
    /// It would meet the customer's own.
    #[error("it would have met {0}")]
    Harms(Harm),
    /// It would shed with a code that makes carriers fail over.
    #[error("{0} makes carriers fail over")]
    FailoverCode(u16),
}

impl Decision {
    /// Decides, unless the rules forbid it.
    ///
    /// # Errors
    /// A ban without proof; harm to anybody of the customer's by a ban or by slowing him down;
    /// shedding with a code other than 486, 603 and 608.
    pub fn new(proposal: Proposal, harm: Harm) -> Result<Decision, Refused> {
        if let Action::Shed { status } = proposal.action
            && !matches!(status, 486 | 603 | 608)
        {
            return Err(Refused::FailoverCode(status));
        }
        let meets_all_it_sends = proposal.action.is_ban() || proposal.action == Action::Tarpit;
        if meets_all_it_sends && !harm.is_nobody() {
            return Err(Refused::Harms(harm));
        }
        if proposal.action.is_ban() {
            let by_address = matches!(
                proposal.against,
                Subject::Address(_) | Subject::AccountFrom(..)
            );
            if by_address && !proposal.proof.is_proven() {
                return Err(Refused::Unproven);
            }
        }
        Ok(Decision { proposal, harm })
    }

    /// What was decided.
    pub const fn proposal(&self) -> &Proposal {
        &self.proposal
    }

    /// What is done.
    pub const fn action(&self) -> Action {
        self.proposal.action
    }

    /// Against whom.
    pub const fn against(&self) -> &Subject {
        &self.proposal.against
    }

    /// Until when.
    pub const fn until(&self) -> Instant {
        self.proposal.until
    }

    /// Whether it is carried out.
    pub const fn is_enforced(&self) -> bool {
        matches!(self.proposal.mode, Mode::Enforce)
    }

    /// Whom it would have met.
    pub const fn harm(&self) -> Harm {
        self.harm
    }

    /// The sentence for a person.
    pub fn explain(&self) -> String {
        let Proposal {
            kind,
            action,
            against,
            at,
            until,
            events,
            ..
        } = self.proposal;
        let seconds = (until - at).as_secs();
        let verb = if self.is_enforced() { "" } else { "would " };
        let mut text = format!(
            "{verb}{} {against} for {seconds} s: {events} events of {kind}",
            action.as_str()
        );
        let _ = write!(text, "; it meets {}.", self.harm);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    fn proposal(action: Action) -> Proposal {
        Proposal {
            kind: Kind::Guessing,
            action,
            against: Subject::Address(Ipv4Addr::new(203, 0, 113, 9).into()),
            proof: Proof::NonceEchoed,
            mode: Mode::Enforce,
            at: Instant::ZERO,
            until: Instant::ZERO + Duration::from_secs(60),
            events: 5,
        }
    }

    #[test]
    fn a_ban_needs_a_proof() {
        let mut wanted = proposal(Action::Block);
        assert!(Decision::new(wanted, Harm::NOBODY).is_ok());
        wanted.proof = Proof::None;
        assert_eq!(Decision::new(wanted, Harm::NOBODY), Err(Refused::Unproven));
        wanted.action = Action::Tarpit;
        assert!(Decision::new(wanted, Harm::NOBODY).is_ok());
    }

    #[test]
    fn a_ban_that_harms_anybody_is_refused_and_says_whom() {
        let harm = Harm {
            accounts: 12,
            peers: 1,
            calls: 0,
        };
        let refused = Decision::new(proposal(Action::Limit { per_minute: 1 }), harm);
        assert_eq!(
            refused.unwrap_err().to_string(),
            "it would have met 1 trunk or PBX, 12 accounts"
        );
    }

    #[test]
    fn nobody_of_the_customers_is_slowed_for_what_claims_his_address() {
        let mut wanted = proposal(Action::Tarpit);
        wanted.proof = Proof::None;
        let harm = Harm {
            peers: 1,
            ..Harm::NOBODY
        };
        assert_eq!(Decision::new(wanted, harm), Err(Refused::Harms(harm)));
        // To look on harms nobody.
        wanted.action = Action::Observe;
        assert!(Decision::new(wanted, harm).is_ok());
    }

    #[test]
    fn nothing_is_shed_with_a_code_that_makes_carriers_fail_over() {
        for status in [408, 480, 503, 504] {
            let shed = Decision::new(proposal(Action::Shed { status }), Harm::NOBODY);
            assert_eq!(shed, Err(Refused::FailoverCode(status)));
        }
        assert!(Decision::new(proposal(Action::Shed { status: 603 }), Harm::NOBODY).is_ok());
    }

    #[test]
    fn a_decision_explains_itself() {
        let decision = Decision::new(proposal(Action::Block), Harm::NOBODY).unwrap();
        assert_eq!(
            decision.explain(),
            "block 203.0.113.9 for 60 s: 5 events of guessing; it meets nobody of the customer's."
        );
    }
}

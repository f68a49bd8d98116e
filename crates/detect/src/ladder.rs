//! The ladder: what is done about a finding, step by step, and when it ends.
//!
//! A source that proved nothing is at most answered small and seldom (tarpit). A proven one that
//! is not the customer's is limited or blocked, for 60 s at first and twice as long each time, up
//! to 24 h. Everything expires by itself, everything can be taken back, and each kind of finding
//! is only observed or also acted upon, changeable at run time.
//!
//! Two walls stand between a finding and a ban: this machine asks [`OwnSet`] and then
//! [`Decision::new`] refuses what harms the customer or lacks a proof; and whoever carries it out
//! checks [`crate::own::NeverBan`] again.

use std::time::Duration;

use ringfence_base::{HashKey, Instant};

use crate::decision::{Action, Decision, Harm, Mode, Proposal, Refused};
use crate::finding::{Finding, Kind, Subject};
use crate::own::{OwnSet, place_of};
use crate::sketch::{Tier, Tiered};

/// The first block.
pub const BLOCK_FIRST: Duration = Duration::from_secs(60);
/// The longest block.
pub const BLOCK_LONGEST: Duration = Duration::from_secs(24 * 3600);
/// After so long without a finding the next one is a first one again.
const FORGIVEN_AFTER: Duration = Duration::from_secs(7 * 24 * 3600);
/// Subjects whose past is remembered.
const SUBJECTS_MAX: usize = 16_384;
/// Decisions in force at once. One too many is refused and counted.
pub const IN_FORCE_MAX: usize = 16_384;
/// Of them, those that only slow somebody down: made-up addresses are many, and must not keep
/// out a ban of somebody who is proved.
pub const TARPITS_MAX: usize = IN_FORCE_MAX / 2;
/// Requests a minute that a limited source is left.
const LIMITED_TO: u32 = 6;
/// How sure a finding must be for a ban.
const SURE: u8 = 80;

/// Which kinds are acted upon and which only observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Modes([Mode; Kind::ALL.len()]);

impl Default for Modes {
    /// Those that are never wrong about a customer are enforced; the others are observed.
    fn default() -> Modes {
        let mut modes = Modes([Mode::Observe; Kind::ALL.len()]);
        for kind in [
            Kind::Compromise,
            Kind::Enumeration,
            Kind::Flood,
            Kind::Guessing,
            Kind::Malformed,
            Kind::Scan,
            Kind::Spraying,
            Kind::Stuffing,
        ] {
            modes.set(kind, Mode::Enforce);
        }
        modes
    }
}

impl Modes {
    /// All kinds in one mode.
    pub const fn all(mode: Mode) -> Modes {
        Modes([mode; Kind::ALL.len()])
    }

    /// The mode of a kind.
    pub fn of(&self, kind: Kind) -> Mode {
        self.0.get(kind as usize).copied().unwrap_or_default()
    }

    /// Sets the mode of a kind.
    pub fn set(&mut self, kind: Kind, mode: Mode) {
        if let Some(place) = self.0.get_mut(kind as usize) {
            *place = mode;
        }
    }
}

/// What a subject did before.
#[derive(Clone, Copy, Debug, Default)]
struct Past {
    offences: u32,
    last: Instant,
    until: Instant,
    /// Whether what was decided until then is a ban: the strongest step there is.
    is_ban: bool,
}

/// What came of a finding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// A step was taken, or would be in enforce mode.
    Decided(Decision),
    /// A step was due and the rules forbid it.
    Refused {
        /// The step.
        proposal: Proposal,
        /// Why not.
        why: Refused,
    },
    /// Nothing new: a step is in force, or the finding is one to look at only.
    Nothing,
}

/// The ladder.
#[derive(Debug)]
pub struct Ladder {
    key: HashKey,
    modes: Modes,
    past: Tiered<Subject, Past>,
    in_force: Vec<Decision>,
    /// How many of them only slow somebody down.
    tarpits: usize,
    next_expiry: Option<Instant>,
    refused_full: u64,
}

impl Ladder {
    /// A ladder on which nobody stands.
    pub fn new(key: HashKey, modes: Modes) -> Ladder {
        Ladder {
            key,
            modes,
            past: Tiered::new(key, SUBJECTS_MAX),
            in_force: Vec::new(),
            tarpits: 0,
            next_expiry: None,
            refused_full: 0,
        }
    }

    /// Which kinds are enforced.
    pub const fn modes(&self) -> &Modes {
        &self.modes
    }

    /// Changes which kinds are enforced. What is in force of a kind that is now only observed is
    /// lifted, and whoever was only observed so far is judged anew.
    pub fn set_modes(&mut self, modes: Modes) {
        if self.modes == modes {
            return;
        }
        self.modes = modes;
        self.past = Tiered::new(self.key, SUBJECTS_MAX);
        self.in_force
            .retain(|decision| modes.of(decision.proposal().kind) == Mode::Enforce);
        self.recount();
    }

    /// Decides what is done about `finding`. `own_account`: the account it is about registered well
    /// from that very place in the last 30 days.
    pub fn on_finding(
        &mut self,
        now: Instant,
        finding: &Finding,
        own: &OwnSet,
        own_account: bool,
    ) -> Outcome {
        let harm = harm_of(now, finding, own, own_account);
        let Some(action) = step(finding) else {
            return Outcome::Nothing;
        };
        let tier = match finding.proof.is_proven() {
            true => Tier::Proven,
            false => Tier::Unproven,
        };
        let Some(past) = self.past.touch(finding.subject, tier) else {
            return Outcome::Nothing;
        };
        // What is proved of somebody who is slowed so far does not wait for the end of that.
        let is_stronger = action.is_ban() && !past.is_ban;
        if past.until > now && !is_stronger {
            return Outcome::Nothing;
        }
        past.is_ban = action.is_ban();
        if now.saturating_since(past.last) > FORGIVEN_AFTER {
            past.offences = 0;
        }
        let proposal = Proposal {
            kind: finding.kind,
            action,
            against: finding.subject,
            proof: finding.proof,
            mode: self.modes.of(finding.kind),
            at: now,
            until: now + term(action, past.offences),
            events: finding.count,
        };
        match Decision::new(proposal, harm) {
            Ok(decision) => {
                past.offences = past.offences.saturating_add(1);
                (past.last, past.until) = (now, proposal.until);
                if decision.is_enforced() && action != Action::Observe {
                    let is_tarpit = is_tarpit(action);
                    if is_stronger {
                        self.in_force
                            .retain(|each| *each.against() != finding.subject);
                        self.recount();
                    }
                    let full = self.in_force.len() >= IN_FORCE_MAX
                        || is_tarpit && self.tarpits >= TARPITS_MAX;
                    if full {
                        self.refused_full += 1;
                        return Outcome::Nothing;
                    }
                    self.in_force.push(decision);
                    self.tarpits += usize::from(is_tarpit);
                    let until = proposal.until;
                    self.next_expiry = Some(self.next_expiry.map_or(until, |next| next.min(until)));
                }
                Outcome::Decided(decision)
            }
            Err(why) => {
                // Not asked again at once, and no offence: it was never carried out.
                (past.last, past.until) = (now, now + BLOCK_FIRST);
                Outcome::Refused { proposal, why }
            }
        }
    }

    /// What is in force.
    pub fn in_force(&self) -> &[Decision] {
        &self.in_force
    }

    /// Takes back what is in force against whatever `wanted` says. Always works. How many.
    pub fn lift(&mut self, wanted: impl Fn(&Decision) -> bool) -> Vec<Decision> {
        let (lifted, kept) = self.in_force.drain(..).partition(|each| wanted(each));
        self.in_force = kept;
        self.recount();
        for decision in &lifted {
            if let Some(past) = self.past.get_mut(decision.against()) {
                *past = Past::default();
            }
        }
        lifted
    }

    /// Lifts everything that meets the customer's own, as after a change of configuration or a
    /// good registration.
    pub fn spare_own(&mut self, now: Instant, own: &OwnSet) -> Vec<Decision> {
        self.lift(|decision| {
            matches!(decision.against(), Subject::Address(address) if own.is_own(now, *address))
        })
    }

    /// Ends what is over.
    pub fn expire(&mut self, now: Instant) -> Vec<Decision> {
        if self.next_expiry.is_none_or(|next| next > now) {
            return Vec::new();
        }
        let (over, kept) = self
            .in_force
            .drain(..)
            .partition(|decision| decision.until() <= now);
        self.in_force = kept;
        self.recount();
        over
    }

    /// When the next one ends.
    pub const fn next_expiry(&self) -> Option<Instant> {
        self.next_expiry
    }

    fn recount(&mut self) {
        let slowed = |each: &&Decision| is_tarpit(each.action());
        self.tarpits = self.in_force.iter().filter(slowed).count();
        self.next_expiry = self.in_force.iter().map(Decision::until).min();
    }

    /// Decisions that were not carried out because too many are in force.
    pub const fn refused_full(&self) -> u64 {
        self.refused_full
    }

    /// Bytes on the heap, about.
    pub fn memory(&self) -> usize {
        self.past.memory() + self.in_force.capacity() * size_of::<Decision>()
    }
}

fn is_tarpit(action: Action) -> bool {
    !action.is_ban() && action != Action::RestrictCalls
}

/// 60 s, doubling to 24 h. A thief with a password has all the time in the world, and the owner needs
/// some to change it: a day at once.
fn term(action: Action, offences: u32) -> Duration {
    if action == Action::RestrictCalls {
        return BLOCK_LONGEST;
    }
    BLOCK_FIRST
        .saturating_mul(2_u32.saturating_pow(offences.min(20)))
        .min(BLOCK_LONGEST)
}

/// The step that a finding is worth by itself; the rules may still forbid it.
fn step(finding: &Finding) -> Option<Action> {
    let sure = finding.confidence.percent() >= SURE;
    match finding.kind {
        Kind::Compromise | Kind::RegistrationHijack => {
            let is_account = matches!(finding.subject, Subject::Account(_));
            (sure && is_account).then_some(Action::RestrictCalls)
        }
        Kind::AlienBinding
        | Kind::CallerIdImpossible
        | Kind::Custody
        | Kind::DigestLeak
        | Kind::ForwardTakeover
        | Kind::MediaAttack
        | Kind::NonceReplay
        | Kind::PbxTakeover
        | Kind::ProviderTrouble
        | Kind::TelephonyDenial
        | Kind::TollFraud
        | Kind::Wangiri => None,
        Kind::DialogForgery
        | Kind::Enumeration
        | Kind::Flood
        | Kind::Guessing
        | Kind::Malformed
        | Kind::Scan
        | Kind::Spraying
        | Kind::Stuffing => Some(match finding.subject {
            Subject::Address(_) if sure && finding.proof.is_proven() => Action::Block,
            Subject::AccountFrom(..) if sure && finding.proof.is_proven() => Action::Limit {
                per_minute: LIMITED_TO,
            },
            // The address is not proved: whoever it belongs to is still served, only seldom.
            Subject::Address(_) | Subject::AccountFrom(..) => Action::Tarpit,
            // No address at all. A program may be a customer's too, and unknown accounts are
            // answered like known ones anyway: there is nothing to gain by doing more.
            _ => Action::Observe,
        }),
    }
}

fn harm_of(now: Instant, finding: &Finding, own: &OwnSet, own_account: bool) -> Harm {
    match finding.subject {
        Subject::Address(address) => own.harm(now, place_of(address)),
        // Others at the same place keep their service; only this account there would lose it.
        Subject::AccountFrom(..) => Harm {
            accounts: u32::from(own_account),
            ..Harm::NOBODY
        },
        _ => Harm::NOBODY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{PeerRef, Proof};
    use crate::finding::Confidence;
    use crate::own::Network;
    use std::net::IpAddr;

    const KEY: HashKey = HashKey::from_bytes([1; 16]);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn finding(at: Instant, address: &str, proof: Proof) -> Finding {
        let mut finding = Finding::new(Kind::Guessing, Subject::Address(ip(address)), at);
        finding.source = Some(ip(address));
        finding.proof = proof;
        finding.confidence = Confidence::new(95);
        finding
    }

    fn decided(outcome: Outcome) -> Decision {
        match outcome {
            Outcome::Decided(decision) => decision,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn blocks_double_from_a_minute_to_a_day_and_are_forgiven_after_a_week() {
        let (own, mut ladder) = (OwnSet::new(KEY), Ladder::new(KEY, Modes::default()));
        let mut now = Instant::ZERO + Duration::from_secs(1);
        let mut terms = Vec::new();
        for _ in 0..13 {
            let finding = finding(now, "203.0.113.9", Proof::NonceEchoed);
            let decision = decided(ladder.on_finding(now, &finding, &own, false));
            assert_eq!(decision.action(), Action::Block);
            assert_eq!(
                ladder.on_finding(now, &finding, &own, false),
                Outcome::Nothing
            );
            terms.push((decision.until() - now).as_secs());
            now = decision.until();
            assert_eq!(ladder.next_expiry(), Some(now));
            assert_eq!(ladder.expire(now).len(), 1);
        }
        assert_eq!(terms[..4], [60, 120, 240, 480]);
        assert_eq!(terms[11..], [86_400, 86_400]);
        now += Duration::from_secs(8 * 86_400);
        let finding = finding(now, "203.0.113.9", Proof::NonceEchoed);
        let decision = decided(ladder.on_finding(now, &finding, &own, false));
        assert_eq!((decision.until() - now).as_secs(), 60);
    }

    #[test]
    fn an_unproven_source_is_slowed_and_never_banned() {
        let (own, mut ladder) = (OwnSet::new(KEY), Ladder::new(KEY, Modes::default()));
        let finding = finding(Instant::ZERO, "203.0.113.9", Proof::None);
        let decision = decided(ladder.on_finding(Instant::ZERO, &finding, &own, false));
        assert_eq!(decision.action(), Action::Tarpit);
    }

    #[test]
    fn a_proof_turns_a_tarpit_into_a_block_at_once() {
        let (own, mut ladder) = (OwnSet::new(KEY), Ladder::new(KEY, Modes::default()));
        let unproven = finding(Instant::ZERO, "203.0.113.9", Proof::None);
        let slowed = decided(ladder.on_finding(Instant::ZERO, &unproven, &own, false));
        assert_eq!(slowed.action(), Action::Tarpit);
        let now = Instant::ZERO + Duration::from_secs(1);
        let proven = finding(now, "203.0.113.9", Proof::NonceEchoed);
        let blocked = decided(ladder.on_finding(now, &proven, &own, false));
        assert_eq!(blocked.action(), Action::Block);
        assert_eq!(ladder.in_force(), [blocked]);
        for weaker in [&unproven, &proven] {
            let outcome = ladder.on_finding(now, weaker, &own, false);
            assert_eq!(outcome, Outcome::Nothing);
        }
        assert_eq!(ladder.expire(blocked.until()), [blocked]);
    }

    #[test]
    fn a_place_of_the_customer_is_refused_with_the_harm() {
        let (mut own, mut ladder) = (OwnSet::new(KEY), Ladder::new(KEY, Modes::default()));
        own.note_registration(Instant::ZERO, ip("203.0.113.9"), 7);
        let finding = finding(Instant::ZERO, "203.0.113.9", Proof::NonceEchoed);
        let outcome = ladder.on_finding(Instant::ZERO, &finding, &own, false);
        let Outcome::Refused { why, .. } = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(why.to_string(), "it would have met 1 account");
        assert!(ladder.in_force().is_empty());
    }

    #[test]
    fn what_becomes_the_customers_own_is_let_go() {
        let (mut own, mut ladder) = (OwnSet::new(KEY), Ladder::new(KEY, Modes::default()));
        let finding = finding(Instant::ZERO, "203.0.113.9", Proof::StreamEstablished);
        decided(ladder.on_finding(Instant::ZERO, &finding, &own, false));
        assert!(ladder.spare_own(Instant::ZERO, &own).is_empty());
        own.set_peers(vec![(Network::new(ip("203.0.113.0"), 24), PeerRef::new(0))]);
        assert_eq!(ladder.spare_own(Instant::ZERO, &own).len(), 1);
    }

    #[test]
    fn observing_decides_and_does_nothing() {
        let (own, mut ladder) = (
            OwnSet::new(KEY),
            Ladder::new(KEY, Modes::all(Mode::Observe)),
        );
        let found = finding(Instant::ZERO, "203.0.113.9", Proof::NonceEchoed);
        let decision = decided(ladder.on_finding(Instant::ZERO, &found, &own, false));
        assert!(!decision.is_enforced() && ladder.in_force().is_empty());
        assert!(decision.explain().starts_with("would block"));

        let mut ladder = Ladder::new(KEY, Modes::all(Mode::Enforce));
        decided(ladder.on_finding(Instant::ZERO, &found, &own, false));
        ladder.set_modes(Modes::all(Mode::Observe));
        assert!(ladder.in_force().is_empty());
    }

    #[test]
    fn lifting_always_works_and_forgives() {
        let (own, mut ladder) = (OwnSet::new(KEY), Ladder::new(KEY, Modes::default()));
        let found = finding(Instant::ZERO, "203.0.113.9", Proof::NonceEchoed);
        decided(ladder.on_finding(Instant::ZERO, &found, &own, false));
        assert_eq!(ladder.lift(|_| true).len(), 1);
        let again = decided(ladder.on_finding(Instant::ZERO, &found, &own, false));
        assert_eq!((again.until() - Instant::ZERO).as_secs(), 60);
    }
}

//! What is to happen in a call, drawn from a seed.

use std::time::Duration;

use ringfence_base::Entropy;

use crate::agent::Side;

/// The course of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script {
    /// Who calls.
    pub caller: Side,
    /// When, after the start of the world.
    pub start: Duration,
    /// Whether the INVITE comes without an offer.
    pub offerless: bool,
    /// What the callee says before its final answer.
    pub provisional: Provisional,
    /// The callee's final answer.
    pub decision: Decision,
    /// How long the callee takes for it.
    pub ring: Duration,
    /// When the caller gives up.
    pub cancel: Option<Duration>,
    /// Changes of the session.
    pub change: Change,
    /// How long the call lasts.
    pub talk: Duration,
    /// How it ends.
    pub hangup: Hangup,
    /// Payload type that the callee chooses: 0 or 8.
    pub codec: u8,
}

/// What a callee says before its final answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provisional {
    /// 183 with a session description, and audio.
    EarlyMedia,
    /// Nothing.
    None,
    /// 180.
    Ringing,
}

/// A callee's final answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// 200.
    Answer,
    /// 486.
    Busy,
    /// Not even a 100: it is dead.
    Dead,
    /// 603.
    Decline,
    /// 200 from two phones.
    Fork,
    /// It rings for ever.
    Ring,
}

/// A change of the session while the call is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Both want it at the same time.
    Glare,
    /// The callee holds, and resumes.
    HoldByCallee,
    /// The caller holds, and resumes.
    HoldByCaller,
    /// None.
    None,
}

/// How an answered call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hangup {
    /// Both say BYE at the same time.
    Both,
    /// The callee says BYE.
    Callee,
    /// The callee's host vanishes; the caller says BYE later.
    CalleeVanishes,
    /// The caller says BYE.
    Caller,
    /// Nobody: the edge has to.
    Nobody,
}

/// A step of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The callee's final answer.
    Answer,
    /// The caller gives up.
    Cancel,
    /// BYE.
    HangUp,
    /// A re-INVITE that holds or resumes.
    Hold(bool),
    /// The call begins.
    Invite,
    /// The callee's provisional answer.
    Provisional,
    /// Sends the audio packet of this number.
    Speak(u8),
    /// The host is gone.
    Vanish,
}

impl Script {
    /// Draws the course of a call.
    pub fn draw(entropy: &mut dyn Entropy) -> Script {
        let ring = millis(100 + entropy.below(1500));
        let decision = pick(
            entropy,
            &[
                (12, Decision::Answer),
                (2, Decision::Busy),
                (1, Decision::Dead),
                (1, Decision::Decline),
                (2, Decision::Fork),
                (1, Decision::Ring),
            ],
        );
        // Half of those who give up do so just when the callee answers.
        let cancel = match entropy.below(10) {
            0 => Some(millis(entropy.below(1500))),
            1 | 2 => Some((ring + millis(entropy.below(80))).saturating_sub(millis(40))),
            _ => None,
        };
        let fork = decision == Decision::Fork;
        Script {
            caller: pick(entropy, &[(1, Side::Inside), (2, Side::Outside)]),
            start: millis(entropy.below(3000)),
            offerless: !fork && entropy.below(6) == 0,
            provisional: pick(
                entropy,
                &[
                    (1, Provisional::EarlyMedia),
                    (1, Provisional::None),
                    (2, Provisional::Ringing),
                ],
            ),
            decision,
            ring,
            cancel,
            change: pick(
                entropy,
                &[
                    (1, Change::Glare),
                    (1, Change::HoldByCallee),
                    (1, Change::HoldByCaller),
                    (3, Change::None),
                ],
            ),
            talk: millis(600 + entropy.below(4000)),
            hangup: pick(
                entropy,
                &[
                    (1, Hangup::Both),
                    (3, Hangup::Callee),
                    (1, Hangup::CalleeVanishes),
                    (3, Hangup::Caller),
                    (1, Hangup::Nobody),
                ],
            ),
            codec: pick(entropy, &[(1, 0), (1, 8)]),
        }
        .settled()
    }

    /// Of two phones that answer, one is hung up by the edge: what the callee itself would do in
    /// the call is left to the caller.
    fn settled(mut self) -> Script {
        if self.decision == Decision::Fork {
            self.hangup = Hangup::Caller;
            if self.change != Change::HoldByCaller {
                self.change = Change::None;
            }
        }
        self
    }

    /// Steps of the caller or the callee, from the answer on.
    pub fn plan_of_talk(&self, caller: bool) -> Vec<(Duration, Action)> {
        let mut plan = Vec::new();
        let changes = match self.change {
            Change::Glare => true,
            Change::HoldByCallee => !caller,
            Change::HoldByCaller => caller,
            Change::None => false,
        };
        if changes {
            plan.push((HOLD_AFTER, Action::Hold(true)));
            plan.push((HOLD_AFTER + HOLD_FOR, Action::Hold(false)));
        }
        match (self.hangup, caller) {
            (Hangup::Both, _) | (Hangup::Callee, false) | (Hangup::Caller, true) => {
                plan.push((self.talk, Action::HangUp));
            }
            (Hangup::CalleeVanishes, true) => plan.push((self.talk, Action::HangUp)),
            (Hangup::CalleeVanishes, false) => plan.push((self.talk / 2, Action::Vanish)),
            (Hangup::Callee, true) | (Hangup::Caller, false) | (Hangup::Nobody, _) => {}
        }
        plan
    }

    /// The number of the `call`th call, as dialled.
    pub fn number(&self, call: usize) -> String {
        match self.caller {
            Side::Outside => format!("+133055501{call:02}"),
            Side::Inside => format!("+155512301{call:02}"),
        }
    }
}

const HOLD_AFTER: Duration = Duration::from_millis(350);
const HOLD_FOR: Duration = Duration::from_millis(500);

/// One of `choices`, by weight.
pub fn pick<T: Copy>(entropy: &mut dyn Entropy, choices: &[(u64, T)]) -> T {
    let total = choices.iter().map(|(weight, _)| weight).sum();
    let mut drawn = entropy.below(total);
    for &(weight, choice) in choices {
        if drawn < weight {
            return choice;
        }
        drawn -= weight;
    }
    choices[0].1
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[cfg(test)]
mod tests {
    use ringfence_base::entropy::SeededEntropy;

    use super::*;

    #[test]
    fn every_course_is_drawn_sooner_or_later() {
        let mut entropy = SeededEntropy::new(1);
        let drawn: Vec<_> = (0..400).map(|_| Script::draw(&mut entropy)).collect();
        for decision in [
            Decision::Answer,
            Decision::Dead,
            Decision::Fork,
            Decision::Ring,
        ] {
            assert!(drawn.iter().any(|script| script.decision == decision));
        }
        assert!(drawn.iter().any(|script| script.offerless));
        assert!(drawn.iter().any(|script| script.cancel.is_some()));
        assert!(drawn.iter().any(|script| script.change == Change::Glare));
    }
}

//! Who knocks at the edge: `ringfence sim scan` and `ringfence sim guess`.
//!
//! The product's own machines in virtual time: [`ringfence_session::core::Core`] reads and answers
//! real SIP messages, and the judge ([`ringfence_detect::watch`]) hears of them what it hears in the
//! running edge. A business's phones register beside the attack, four of them behind one address, one
//! with a wrong password, and all at once after an outage. Who is who, only the tally knows.
//!
//! Left out: the network's delay and loss ([`crate::world`] has them), and the limits of the edge's
//! sockets, which keep a flood from the core. What is blocked is dropped as the edge's shield does.

mod attackers;
pub mod cost;
mod house;
mod report;
pub(crate) mod rules;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use ringfence_base::entropy::SeededEntropy;

pub use attackers::Style;
pub use report::{Found, Legitimate, Report, RightPairs};
pub use rules::Rules;

use attackers::Attack;
use house::{House, Phone};
use report::Tally;

/// What is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Everything random follows from it.
    pub seed: u64,
    /// What the attackers do.
    pub style: Style,
    /// How long they do it.
    pub length: Duration,
    /// Whose rules are carried out.
    pub rules: Rules,
    /// The mean time from one request or guess to the next; none: that of the style.
    pub pause: Option<Duration>,
    /// Pairs of a user and the right password among those of [`Style::Stuff`], at most
    /// [`RIGHT_PAIRS_MAX`]. With any, a hundred addresses take turns.
    pub right_pairs: u32,
    /// How long the business has been there before the attack; none: five minutes.
    pub history: Option<Duration>,
}

impl Options {
    /// Five minutes after the edge began, with nothing else chosen.
    pub const fn new(seed: u64, style: Style, length: Duration, rules: Rules) -> Options {
        Options {
            seed,
            style,
            length,
            rules,
            pause: None,
            right_pairs: 0,
            history: None,
        }
    }
}

/// Each user of the business has one password.
pub const RIGHT_PAIRS_MAX: u32 = house::USERS;

/// Before the attack: the phones register.
const BEFORE: Duration = Duration::from_secs(300);
/// A phone refreshes its registration so often.
const REFRESH: Duration = Duration::from_secs(150);
/// A phone with a wrong password tries so often.
const STUBBORN: Duration = Duration::from_secs(30);
/// The carrier asks whether anybody is there so often.
const OPTIONS: Duration = Duration::from_secs(30);
/// Phones that have the right password.
const PHONES: usize = 11;

/// Who acts next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Actor {
    Attacker,
    Carrier,
    Phone(usize),
    Storm,
    Stubborn,
}

/// Plays an attack and says what came of it.
pub fn run(options: &Options) -> Report {
    let mut entropy = SeededEntropy::new(options.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5ca1);
    let mut house = House::new(options.rules, &mut entropy);
    let mut tally = Tally::default();
    let mut phones: Vec<Phone> = (0..=PHONES).map(Phone::new).collect();
    let before = options.history.unwrap_or(BEFORE);
    let mut attack = Attack::new(options);
    let end = before + options.length;
    let mut due = BinaryHeap::new();
    for phone in 0..PHONES {
        let at = Duration::from_millis(entropy_below(&mut entropy, 60_000));
        due.push(Reverse((at, Actor::Phone(phone))));
    }
    due.push(Reverse((Duration::from_secs(2), Actor::Carrier)));
    due.push(Reverse((BEFORE / 2, Actor::Stubborn)));
    due.push(Reverse((before + options.length / 2, Actor::Storm)));
    due.push(Reverse((before, Actor::Attacker)));
    while let Some(Reverse((at, actor))) = due.pop().filter(|Reverse((at, _))| *at < end) {
        house.advance(at, &mut tally);
        let next = match actor {
            Actor::Attacker => attack.step(&mut house, &mut tally, &mut entropy),
            Actor::Carrier => {
                house.carrier_asks(&mut tally);
                Some(OPTIONS)
            }
            Actor::Phone(index) => {
                phones[index].register(&mut house, &mut tally, true);
                Some(REFRESH)
            }
            Actor::Storm => {
                // The line is back: everybody at once, within a second or two.
                for phone in 0..PHONES {
                    let soon = Duration::from_millis(entropy_below(&mut entropy, 1_500));
                    due.push(Reverse((at + soon, Actor::Phone(phone))));
                }
                None
            }
            Actor::Stubborn => {
                phones[PHONES].register(&mut house, &mut tally, false);
                Some(STUBBORN)
            }
        };
        if let Some(next) = next {
            due.push(Reverse((at + next, actor)));
        }
    }
    tally.report(options, before)
}

fn entropy_below(entropy: &mut SeededEntropy, bound: u64) -> u64 {
    use ringfence_base::Entropy as _;
    entropy.next_u64() % bound.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(style: Style, seed: u64) -> Report {
        run(&Options::new(
            seed,
            style,
            Duration::from_secs(240),
            Rules::Edge,
        ))
    }

    #[test]
    fn the_same_seed_tells_the_same_story() {
        assert_eq!(played(Style::Scanner, 4), played(Style::Scanner, 4));
    }

    #[test]
    fn nobody_of_the_house_is_harmed_whatever_the_attack() {
        for style in Style::ALL {
            let report = played(style, 7);
            assert_eq!(report.false_bans, 0, "{report:#?}");
            assert_eq!(report.legitimate.success, 1.0, "{report:#?}");
            assert_eq!(report.users_disclosed, 0, "{report:#?}");
            assert!(report.amplification <= 1.0, "{report:#?}");
            let expected = u64::from(style == Style::Stolen);
            assert_eq!(report.passwords_found, expected, "{report:#?}");
        }
    }

    #[test]
    fn a_scanner_with_a_harmless_name_is_found_when_its_challenges_stay_unanswered() {
        let report = played(Style::Scanner, 9);
        let found = report.detected.unwrap();
        assert!(found.after_s <= 1.5, "{report:#?}");
    }

    #[test]
    fn leaked_pairs_that_are_right_are_each_counted_with_and_without_an_alarm() {
        let report = run(&Options {
            pause: Some(Duration::from_secs(6)),
            right_pairs: 3,
            ..Options::new(11, Style::Stuff, Duration::from_secs(1_800), Rules::Edge)
        });
        let right = report.right_pairs;
        assert_eq!(right.tried, 3, "{report:#?}");
        assert_eq!(right.worked, report.passwords_found, "{report:#?}");
        assert_eq!(right.alarmed + right.silent, right.worked, "{report:#?}");
        assert!(right.alarm_after_s.is_none_or(|after| after <= 1.0));
        assert_eq!((report.false_bans, report.legitimate.success), (0, 1.0));
    }

    #[test]
    fn an_attack_is_as_fast_as_it_is_told_to_be() {
        let messages = |pause| {
            let options = Options::new(2, Style::Scanner, Duration::from_secs(600), Rules::Nobody);
            run(&Options { pause, ..options }).messages
        };
        let slow = messages(Some(Duration::from_secs(6)));
        assert!((95..=106).contains(&slow), "{slow}");
        assert!(messages(None) > 5_000);
    }

    #[test]
    fn a_stolen_password_that_works_from_a_new_place_raises_the_alarm_at_once() {
        let report = played(Style::Stolen, 3);
        assert!(
            report.compromise_after_s.is_some_and(|after| after <= 1.0),
            "{report:#?}"
        );
    }
}

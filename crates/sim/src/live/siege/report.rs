//! What the attacks came to, and whom they kept out.

use serde::Serialize;

use super::super::report::Attacker;

/// All of it. A part that did not take place, since the demo was too short for it, is `null`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Siege {
    /// Who attacked, and what they got.
    pub attackers: Attackers,
    /// Who had a right to get through.
    pub legitimate: Legitimate,
    /// Emergency calls in the middle of the flood.
    pub emergency: Share,
    /// Blocks and limits against the customer's own trunks, PBXs and phones.
    pub false_bans: u64,
    /// From the flood's first call to its alarm, in seconds.
    pub detected_after_s: Option<f64>,
    /// Who was asked by voice.
    pub screening: Screening,
    /// What the edge found, the first first.
    pub incidents: Vec<Noticed>,
}

/// Who attacked.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Attackers {
    /// The scanner: the same as `attacker`.
    pub scanner: Attacker,
    /// Who guessed a password, and then had it.
    pub guesser: Option<Guesser>,
    /// Who called premium numbers with it.
    pub fraudster: Option<Fraudster>,
    /// Who filled the lines.
    pub flood: Option<Flood>,
}

/// Guessing, and a stolen password.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Guesser {
    /// Passwords tried.
    pub tries: u64,
    /// Addresses he came from.
    pub addresses: u64,
    /// Of the tries, those that were let in.
    pub got_in: u64,
    /// Tries that were not answered any more.
    pub unanswered: u64,
    /// Whether the stolen password was tried, and right.
    pub stolen_worked: bool,
    /// From the use of the stolen password to the alarm, in seconds; `null` without an alarm.
    pub alarm_after_s: Option<f64>,
}

/// Toll fraud.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Fraudster {
    /// Calls to dear numbers.
    pub tried: u64,
    /// Refused before anything rang.
    pub stopped_before_setup: u64,
    /// Calls that reached the carrier.
    pub reached_carrier: u64,
    /// Money spent, in dollars by the shipped table.
    pub leaked: f64,
}

/// A flood of calls.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Flood {
    /// Calls a minute.
    pub rate: u64,
    /// Lines of the site.
    pub channels: u64,
    /// Calls that came.
    pub offered: u64,
    /// Calls that reached the office.
    pub connected: u64,
    /// Calls that were refused.
    pub shed: u64,
    /// Calls that were asked by voice and not put through.
    pub screened: u64,
}

/// Calls with a right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Share {
    /// Callers who tried; who finds the line busy tries again and stays one caller.
    pub offered: u64,
    /// Callers who heard the callee.
    pub connected: u64,
    /// The one by the other.
    pub success: f64,
}

impl Share {
    pub(super) fn note(&mut self, connected: bool) {
        self.offered += 1;
        self.connected += u64::from(connected);
        let share = self.connected as f64 / self.offered as f64;
        self.success = (share * 1000.0).round() / 1000.0;
    }

    /// Whether so few got through that it is no accident, if each gets through with `chance`.
    ///
    /// A demo has a handful of callers: of five who each get through nine times in ten, one is lost in
    /// a third of all demos. `cargo xtask eval` is what measures the shares.
    fn falls_short_of(&self, chance: f64) -> bool {
        let n = self.offered.min(1_000);
        // The binomial distribution, from nobody on.
        let mut probability = (1.0 - chance).powi(n as i32);
        let mut at_most = probability;
        for k in 0..self.connected.min(n) {
            probability *= (n - k) as f64 / (k + 1) as f64 * chance / (1.0 - chance);
            at_most += probability;
        }
        at_most < ACCIDENT
    }
}

/// What happens more rarely is no accident.
const ACCIDENT: f64 = 0.001;

/// Who had a right to get through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Legitimate {
    /// People whom the office had called before.
    pub known: Share,
    /// People who had never called.
    pub unknown_human: Share,
    /// Staff who called an ordinary number abroad from a registered phone.
    pub staff_abroad: Share,
    /// Phones that registered with the right password.
    pub phones: Share,
    /// Calls of people that found the line busy, before they tried again.
    pub busy: u64,
}

/// Who was asked by voice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Screening {
    /// Calls, attackers' included.
    pub calls: u64,
    /// People who were asked and never heard the office.
    pub humans_lost: u64,
}

/// Something that the edge found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Noticed {
    /// `compromise`, `guessing`, …
    pub kind: String,
    /// About whom.
    pub subject: String,
    /// The sentence for a person.
    pub why: String,
}

/// Most time from a stolen password's use to the alarm.
const ALARM_MAX_S: f64 = 1.0;
/// Most time from the flood's first call to the alarm.
const DETECTED_MAX_S: f64 = 20.0;
/// Shares of known callers and of unknown people who are to get through a flood.
const KNOWN: f64 = 0.97;
const UNKNOWN: f64 = 0.9;

impl Siege {
    /// What should have worked and did not, in words. What did not take place is no fault.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut check = |ok: bool, fault: String| {
            if !ok {
                faults.push(fault);
            }
        };
        if let Some(guesser) = &self.attackers.guesser {
            check(guesser.tries > 0, "the guesser did not try".into());
            check(
                guesser.got_in == 0,
                format!("the guesser got in {} times", guesser.got_in),
            );
            check(
                guesser.stolen_worked,
                "the stolen password was not tried".into(),
            );
            check(
                guesser
                    .alarm_after_s
                    .is_some_and(|after| after <= ALARM_MAX_S),
                match guesser.alarm_after_s {
                    Some(after) => format!("the stolen password raised the alarm after {after} s"),
                    None => "the stolen password raised no alarm".into(),
                },
            );
        }
        if let Some(fraudster) = &self.attackers.fraudster {
            check(fraudster.tried > 0, "the fraudster did not try".into());
            check(
                fraudster.stopped_before_setup == fraudster.tried && fraudster.reached_carrier == 0,
                format!(
                    "{} of {} calls to premium numbers were stopped before set-up",
                    fraudster.stopped_before_setup, fraudster.tried
                ),
            );
        }
        let mut all = |share: Share, who: &str, chance: f64| {
            let ok = match chance < 1.0 {
                true => !share.falls_short_of(chance),
                false => share.connected == share.offered,
            };
            check(
                share.offered > 0 && ok,
                format!("{} of {} {who}", share.connected, share.offered),
            );
        };
        if self.attackers.guesser.is_some() {
            all(self.legitimate.phones, "phones could register", 1.0);
            all(
                self.legitimate.staff_abroad,
                "calls of staff abroad got through",
                1.0,
            );
        }
        if self.attackers.flood.is_some() {
            let legitimate = self.legitimate;
            all(legitimate.known, "known callers got through", KNOWN);
            all(
                legitimate.unknown_human,
                "unknown people got through",
                UNKNOWN,
            );
            all(self.emergency, "emergency calls got through", 1.0);
            check(
                self.detected_after_s
                    .is_some_and(|after| after <= DETECTED_MAX_S),
                "the flood was not found in 20 s".into(),
            );
        }
        check(
            self.false_bans == 0,
            format!("{} of the customer's own were banned", self.false_bans),
        );
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_take_place_is_no_fault() {
        assert!(Siege::default().faults().is_empty());
    }

    #[test]
    fn an_emergency_call_that_was_lost_is_a_fault() {
        let mut siege = Siege::default();
        siege.attackers.flood = Some(Flood::default());
        siege.detected_after_s = Some(4.0);
        siege.legitimate.known.note(true);
        siege.legitimate.unknown_human.note(true);
        siege.emergency.note(true);
        assert_eq!(siege.faults(), Vec::<String>::new());
        siege.emergency.note(false);
        assert_eq!(
            siege.faults(),
            ["1 of 2 emergency calls got through".to_owned()]
        );
    }

    #[test]
    fn one_lost_of_five_is_chance_and_four_are_none() {
        let of = |connected: u64, offered: u64| Share {
            offered,
            connected,
            success: 0.0,
        };
        assert!(!of(4, 5).falls_short_of(UNKNOWN) && !of(2, 5).falls_short_of(UNKNOWN));
        assert!(of(1, 5).falls_short_of(UNKNOWN) && of(7, 14).falls_short_of(UNKNOWN));
        assert!(!of(13, 14).falls_short_of(KNOWN) && of(9, 14).falls_short_of(KNOWN));
        assert!(!of(5, 5).falls_short_of(KNOWN));
    }

    #[test]
    fn a_late_alarm_is_a_fault() {
        let mut siege = Siege::default();
        siege.attackers.guesser = Some(Guesser {
            tries: 30,
            stolen_worked: true,
            alarm_after_s: Some(1.5),
            ..Guesser::default()
        });
        siege.legitimate.phones.note(true);
        siege.legitimate.staff_abroad.note(true);
        assert_eq!(
            siege.faults(),
            ["the stolen password raised the alarm after 1.5 s".to_owned()]
        );
    }
}

//! The truthful line board: a line is UP only after a proof, and the proof has an age.
//!
//! A proof is an answered call, nothing less. An answered OPTIONS says that something at the far
//! end speaks SIP; it does not say that people can call.

use std::time::Duration;

use ringfence_base::UnixTime;
use ringfence_session::health::Quarantine;
use ringfence_session::usage::Health;
use serde::{Deserialize, Serialize};

use super::time::Timestamp;
use crate::config::spoken;

/// How long an answered call proves that a line works.
pub const PROOF_FRESH: Duration = Duration::from_secs(24 * 3600);

/// How many OPTIONS in a row must stay without an answer for a line to be DOWN.
pub const DOWN_AFTER_MISSED: u32 = 3;

/// `ringfence lines`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lines {
    /// When this was so.
    pub at: Timestamp,
    /// A row for each trunk and PBX, in the configuration's order.
    pub lines: Vec<Line>,
}

/// A trunk or a PBX.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// `trunk` or `pbx`.
    pub kind: String,
    /// Its key: `carrier-a`.
    pub name: String,
    /// Key of the site.
    pub site: String,
    /// Key of the tenant.
    pub tenant: String,
    /// `sip:198.51.100.20:5061;transport=tls`.
    pub peer: String,
    /// `udp`, `tcp` or `tls`.
    pub transport: String,
    /// `rtp`, `srtp` or `either`.
    pub media: String,
    /// The state, why, and the proof.
    #[serde(flatten)]
    pub verdict: LineVerdict,
    /// The last message from it.
    pub heard: Option<Seen>,
    /// OPTIONS towards it; absent when none are sent.
    pub options: Option<OptionsView>,
    /// Where its registration stands (`registered`); absent when it is not to register.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration: Option<String>,
    /// Calls at this moment: counted, not what a flag says.
    pub calls: u32,
    /// Most calls at once; 0 is no limit.
    pub channels: u32,
}

/// The state of a line, and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineVerdict {
    /// The state.
    pub state: LineState,
    /// Why, in words.
    pub why: String,
    /// The last proof, whatever its age.
    pub proof: Option<Proof>,
}

/// The state of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum LineState {
    /// It works, and something is wrong with it.
    Degraded,
    /// It does not work.
    Down,
    /// It was proved once, too long ago to be shown as UP.
    Stale,
    /// Nothing was ever proved.
    Unknown,
    /// A call was answered on it a short time ago, and nothing has been wrong since.
    Up,
}

impl LineState {
    /// `UP`, `DEGRADED`, ...
    pub const fn as_str(self) -> &'static str {
        match self {
            LineState::Degraded => "DEGRADED",
            LineState::Down => "DOWN",
            LineState::Stale => "STALE",
            LineState::Unknown => "UNKNOWN",
            LineState::Up => "UP",
        }
    }
}

/// What shows that a line works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// What it was.
    pub kind: ProofKind,
    /// When.
    pub at: Timestamp,
    /// Seconds since then.
    pub age_s: u64,
}

/// What a proof was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProofKind {
    /// A real call was answered.
    Call,
}

/// A moment and its age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// When.
    pub at: Timestamp,
    /// Seconds since then.
    pub age_s: u64,
}

/// What OPTIONS found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptionsView {
    /// The last answer.
    pub answered: Option<Seen>,
    /// Its round trip in milliseconds.
    pub round_trip_ms: Option<f64>,
    /// How many in a row have no answer.
    pub missed: u32,
}

impl Seen {
    /// A moment, seen from `now`.
    pub fn new(at: UnixTime, now: UnixTime) -> Seen {
        let at = Timestamp(at);
        Seen {
            at,
            age_s: at.age_seconds(now),
        }
    }
}

impl LineVerdict {
    /// The same for a line that comes last for new calls, if it does.
    #[must_use]
    pub fn with_quarantine(self, quarantine: Option<Quarantine>) -> LineVerdict {
        let Some(Quarantine {
            failures, fault, ..
        }) = quarantine
        else {
            return self;
        };
        let why = format!(
            "quarantined after {failures} failures in a row, the last one: {fault}; other lines \
             are tried first until it has proved itself"
        );
        LineVerdict {
            state: LineState::Down,
            why,
            ..self
        }
    }
}

impl OptionsView {
    /// What `health` says of OPTIONS; `None` when none are sent.
    pub fn new(health: &Health, now: UnixTime, options_interval: Duration) -> Option<OptionsView> {
        (!options_interval.is_zero()).then(|| OptionsView {
            answered: health.options_answered.map(|at| Seen::new(at, now)),
            round_trip_ms: health
                .options_round_trip
                .map(|time| time.as_micros() as f64 / 1e3),
            missed: health.options_missed,
        })
    }
}

/// Judges a line. `has_address` is whether the peer's name could be resolved; `options_interval`
/// is zero when no OPTIONS are sent.
pub fn judge(
    health: &Health,
    now: UnixTime,
    options_interval: Duration,
    has_address: bool,
) -> LineVerdict {
    let age = |at: UnixTime| Duration::from_secs(Timestamp(at).age_seconds(now));
    let proof = health.answered.map(|at| {
        let seen = Seen::new(at, now);
        Proof {
            kind: ProofKind::Call,
            at: seen.at,
            age_s: seen.age_s,
        }
    });
    let verdict = |state, why: String| LineVerdict { state, why, proof };
    if !has_address {
        return verdict(LineState::Down, "its name has no address".to_owned());
    }
    let missed = if options_interval.is_zero() {
        0
    } else {
        health.options_missed
    };
    if missed > 0 {
        // Some carriers never answer OPTIONS: a message of any kind since is better evidence.
        let silent = options_interval.saturating_mul(missed.saturating_add(1));
        let heard = health.heard.map(age).filter(|age| *age < silent);
        let why = format!("{missed} OPTIONS in a row without an answer");
        return match heard {
            Some(age) => {
                let why = format!("{why}, though it was heard {} ago", spoken(age));
                verdict(LineState::Degraded, why)
            }
            None if missed >= DOWN_AFTER_MISSED => verdict(LineState::Down, why),
            None => verdict(LineState::Degraded, why),
        };
    }
    match health.answered.map(age) {
        Some(age) if age <= PROOF_FRESH => verdict(
            LineState::Up,
            format!("a call was answered {} ago", spoken(age)),
        ),
        Some(age) => {
            let why = format!("the last call that was answered is {} old", spoken(age));
            verdict(LineState::Stale, why)
        }
        None if health.options_answered.is_some() => verdict(
            LineState::Unknown,
            "it answers OPTIONS, and no call was answered yet".into(),
        ),
        None if health.heard.is_some() => verdict(
            LineState::Unknown,
            "it was heard, and no call was answered yet".into(),
        ),
        None => verdict(LineState::Unknown, "nothing was heard of it yet".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);
    const NOW: i64 = 1_795_376_160;

    fn ago(seconds: i64) -> Option<UnixTime> {
        Some(UnixTime::from_micros((NOW - seconds) * 1_000_000))
    }

    fn quiet() -> Health {
        Health {
            calls: 0,
            answered: None,
            heard: None,
            options_answered: None,
            options_round_trip: None,
            options_missed: 0,
        }
    }

    #[track_caller]
    fn check(health: Health, expected: LineState, why: &str) {
        let now = UnixTime::from_micros(NOW * 1_000_000);
        let verdict = judge(&health, now, INTERVAL, true);
        assert_eq!((verdict.state, verdict.why.as_str()), (expected, why));
    }

    #[test]
    fn nothing_known_is_unknown_and_not_fine() {
        check(quiet(), LineState::Unknown, "nothing was heard of it yet");
    }

    #[test]
    fn an_answer_to_options_is_no_proof() {
        let health = Health {
            heard: ago(1),
            options_answered: ago(1),
            ..quiet()
        };
        let why = "it answers OPTIONS, and no call was answered yet";
        check(health, LineState::Unknown, why);
        let health = Health {
            heard: ago(1),
            ..quiet()
        };
        check(
            health,
            LineState::Unknown,
            "it was heard, and no call was answered yet",
        );
    }

    #[test]
    fn an_answered_call_is_a_proof_for_a_day() {
        let day = PROOF_FRESH.as_secs() as i64;
        let up = |seconds| Health {
            answered: ago(seconds),
            heard: ago(1),
            ..quiet()
        };
        check(up(40), LineState::Up, "a call was answered 40s ago");
        check(up(day), LineState::Up, "a call was answered 1d ago");
        check(
            up(day + 60),
            LineState::Stale,
            "the last call that was answered is 1d1m old",
        );
    }

    #[test]
    fn missed_options_degrade_and_then_take_a_line_down() {
        let missed = |options_missed| Health {
            answered: ago(3_600),
            heard: ago(3_600),
            options_missed,
            ..quiet()
        };
        check(
            missed(1),
            LineState::Degraded,
            "1 OPTIONS in a row without an answer",
        );
        check(
            missed(2),
            LineState::Degraded,
            "2 OPTIONS in a row without an answer",
        );
        check(
            missed(3),
            LineState::Down,
            "3 OPTIONS in a row without an answer",
        );
        check(
            missed(u32::MAX),
            LineState::Degraded,
            &format!(
                "{} OPTIONS in a row without an answer, though it was heard 1h ago",
                u32::MAX
            ),
        );
    }

    #[test]
    fn a_carrier_that_never_answers_options_but_sends_calls_is_not_down() {
        let health = Health {
            heard: ago(20),
            answered: ago(20),
            options_missed: 3,
            ..quiet()
        };
        let why = "3 OPTIONS in a row without an answer, though it was heard 20s ago";
        check(health, LineState::Degraded, why);
    }

    #[test]
    fn without_options_a_missed_one_of_before_does_not_count() {
        let health = Health {
            answered: ago(5),
            options_missed: 9,
            ..quiet()
        };
        let now = UnixTime::from_micros(NOW * 1_000_000);
        assert_eq!(
            judge(&health, now, Duration::ZERO, true).state,
            LineState::Up
        );
        assert_eq!(OptionsView::new(&health, now, Duration::ZERO), None);
    }

    #[test]
    fn a_name_without_an_address_is_down_and_the_old_proof_stays_shown() {
        let health = Health {
            answered: ago(5),
            ..quiet()
        };
        let now = UnixTime::from_micros(NOW * 1_000_000);
        let verdict = judge(&health, now, INTERVAL, false);
        assert_eq!(verdict.state, LineState::Down);
        assert_eq!(verdict.proof.map(|proof| proof.age_s), Some(5));
    }
}

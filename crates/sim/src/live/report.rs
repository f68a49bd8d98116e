//! What the demo found.

use serde::Serialize;

use super::siege::Siege;

/// The demo's findings. Later versions add to it and take nothing away.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Calls in both directions.
    pub calls: Calls,
    /// Sound in both directions.
    pub media: Media,
    /// Inside addresses or identifiers seen outside.
    pub leaks: u64,
    /// What the attacker tried and got.
    pub attacker: Attacker,
    /// From sending an INVITE to hearing the callee ring, in milliseconds.
    pub setup_ms: Percentiles,
    /// The attacks, and who got through beside them.
    #[serde(flatten)]
    pub siege: Siege,
}

/// Calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Calls {
    /// Placed.
    pub tried: u64,
    /// Answered.
    pub answered: u64,
    /// Answered, and ended by BYE with everybody's consent.
    pub ended_normally: u64,
}

/// Sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Media {
    /// From the carrier to the PBX.
    pub outside_to_inside: Way,
    /// From the PBX to the carrier.
    pub inside_to_outside: Way,
    /// Whether something was heard, and every packet heard was the one that had been said.
    pub audio_matched: bool,
}

/// Packets one way, of calls that are over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Way {
    /// Sent by the speaker.
    pub sent: u64,
    /// Not received by the listener.
    pub lost: u64,
}

/// The attacker's takings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Attacker {
    /// Requests sent, over UDP and TCP.
    pub requests: u64,
    /// Bytes sent.
    pub bytes_sent: u64,
    /// Bytes that came back.
    pub bytes_answered: u64,
    /// Users that were answered unlike users that cannot exist.
    pub users_disclosed: u64,
    /// Calls that rang or were answered.
    pub calls_placed: u64,
}

/// Percentiles in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half are quicker.
    pub p50: f64,
    /// 99 of 100 are quicker.
    pub p99: f64,
}

impl Percentiles {
    /// Of these values.
    pub fn of(mut values: Vec<f64>) -> Percentiles {
        values.sort_by(f64::total_cmp);
        let at = |part: f64| {
            let place = (values.len() as f64 * part).ceil() as usize;
            let value = values
                .get(place.saturating_sub(1))
                .copied()
                .unwrap_or_default();
            (value * 1000.0).round() / 1000.0
        };
        Percentiles {
            p50: at(0.50),
            p99: at(0.99),
        }
    }
}

/// Loss that a busy machine may cause on its own: sockets drop when nobody reads them in time.
const LOSS_MAX: f64 = 0.005;

impl Report {
    /// Everything that should have worked and did not, in words.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut check = |ok: bool, fault: String| {
            if !ok {
                faults.push(fault);
            }
        };
        let calls = self.calls;
        check(calls.tried > 0, "no call was placed".into());
        check(
            calls.answered == calls.tried,
            format!("{} of {} calls were answered", calls.answered, calls.tried),
        );
        check(
            calls.ended_normally == calls.answered,
            format!(
                "{} of {} calls ended normally",
                calls.ended_normally, calls.answered
            ),
        );
        for (name, way) in [
            ("outside to inside", self.media.outside_to_inside),
            ("inside to outside", self.media.inside_to_outside),
        ] {
            let lost = way.lost as f64 / way.sent.max(1) as f64;
            check(way.sent > 0, format!("no sound {name}"));
            check(
                lost <= LOSS_MAX,
                format!("{} of {} packets lost {name}", way.lost, way.sent),
            );
        }
        check(
            self.media.audio_matched,
            "what was heard is not what was said".into(),
        );
        check(
            self.leaks == 0,
            format!("{} inside identifiers seen outside", self.leaks),
        );
        let attacker = self.attacker;
        check(attacker.requests > 0, "the attacker did not try".into());
        check(
            attacker.users_disclosed == 0,
            format!("the attacker learned {} users", attacker.users_disclosed),
        );
        check(
            attacker.calls_placed == 0,
            format!("the attacker placed {} calls", attacker.calls_placed),
        );
        check(
            attacker.bytes_answered <= attacker.bytes_sent,
            "the attacker got more bytes than he sent".into(),
        );
        faults.extend(self.siege.faults());
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_rank() {
        let values = (1..=100).map(f64::from).collect();
        assert_eq!(
            Percentiles::of(values),
            Percentiles {
                p50: 50.0,
                p99: 99.0
            }
        );
        assert_eq!(Percentiles::of(Vec::new()), Percentiles::default());
    }

    #[test]
    fn nothing_done_is_not_fine() {
        let faults = Report::default().faults();
        assert!(faults.contains(&"no call was placed".to_owned()));
        assert!(faults.contains(&"the attacker did not try".to_owned()));
    }
}

//! Who got through: the object that `ringfence sim` prints.

use std::time::Duration;

use serde::Serialize;

use super::line::percentiles;
use super::people::Who;

/// What an attack came to. Later versions add to it and take nothing away.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Tdos {
    /// Real callers.
    pub legitimate: Legitimate,
    /// Emergency calls of the site.
    pub emergency: Share,
    /// The attack.
    pub attack: Attack,
    /// Real callers that were refused as if they were attackers.
    pub false_bans: u64,
    /// Seconds from the first attack call to the alarm.
    pub detected_after_s: Option<f64>,
    /// The same over many seeds; an attack that was never seen counts as a day.
    pub detection_s: Milliseconds,
    /// Attacks that were never seen.
    pub undetected: u64,
    /// Alarms before the attack.
    pub false_alarms: u64,
    /// Alarms from its first call on.
    pub alarms: u64,
    /// Real callers that were refused, in whatever words.
    pub refused: u64,
    /// What rules that count by address would have done to the carrier.
    pub carrier_bans: CarrierBans,
    /// Real callers that were asked.
    pub screening: Screening,
    /// Where attackers are people: the share of unknown callers that perfect screening could carry,
    /// channels ÷ seconds of challenge ÷ unknown calls a second.
    pub bound: Option<f64>,
    /// Each delay, in milliseconds.
    #[serde(skip)]
    delays: Vec<u64>,
    /// Each time to detect, in milliseconds.
    #[serde(skip)]
    detections: Vec<u64>,
}

/// Real callers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Legitimate {
    /// They called before.
    pub known: Share,
    /// They did not.
    pub unknown_human: Share,
}

/// Calls, and how many got through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Share {
    /// Calls made, also those that found all channels taken.
    pub offered: u64,
    /// Of those, connected with the business.
    pub connected: u64,
    /// One by the other; 1 for no calls.
    pub success: f64,
}

impl Share {
    pub(super) fn counted(self) -> Share {
        let success = match self.offered {
            0 => 1.0,
            offered => self.connected as f64 / offered as f64,
        };
        Share { success, ..self }
    }

    fn plus(self, other: Share) -> Share {
        Share {
            offered: self.offered + other.offered,
            connected: self.connected + other.connected,
            success: 0.0,
        }
        .counted()
    }
}

/// Bans of the carrier's address by rules before the edge, which count its requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CarrierBans {
    /// By fail2ban: none, no call fails to say who it is.
    pub fail2ban: u64,
    /// By the rate limit of FreePBX's responsive firewall.
    pub freepbx: u64,
    /// By pike.
    pub pike: u64,
}

/// The attack's calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Attack {
    /// Made.
    pub offered: u64,
    /// Connected with the business.
    pub connected: u64,
    /// Refused.
    pub shed: u64,
    /// Asked for digits.
    pub screened: u64,
}

/// Real callers that were asked for digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Screening {
    /// How many.
    pub calls: u64,
    /// Until they had pressed.
    pub delay_s: Milliseconds,
    /// Asked, and not connected: left to voicemail or a call back.
    pub humans_lost: u64,
}

/// Percentiles in seconds, to the millisecond; none of nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Milliseconds {
    /// Half are shorter.
    pub p50: Option<f64>,
    /// All but one in a hundred are.
    pub p99: Option<f64>,
}

/// What a busy day came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BusyDay {
    /// Callers.
    pub legitimate: Legitimate,
    /// Emergency calls of the site.
    pub emergency: Share,
    /// The same callers without the edge.
    pub without_edge: Share,
    /// Callers who would have got through without the edge, on balance.
    pub harmed: u64,
    /// Callers that were refused as if they were attackers.
    pub false_bans: u64,
    /// Alarms.
    pub alarms: u64,
    /// Callers that were asked.
    pub screening: Screening,
}

impl Tdos {
    /// Both together, for many seeds. The time to detect is the longest, `bound` the
    /// lowest, percentiles are of all.
    #[must_use]
    pub fn plus(self, other: &Tdos) -> Tdos {
        let longest = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
        let mut delays = [self.delays.as_slice(), &other.delays].concat();
        let mut detections = [self.detections.as_slice(), &other.detections].concat();
        Tdos {
            legitimate: Legitimate {
                known: self.legitimate.known.plus(other.legitimate.known),
                unknown_human: self
                    .legitimate
                    .unknown_human
                    .plus(other.legitimate.unknown_human),
            },
            emergency: self.emergency.plus(other.emergency),
            attack: Attack {
                offered: self.attack.offered + other.attack.offered,
                connected: self.attack.connected + other.attack.connected,
                shed: self.attack.shed + other.attack.shed,
                screened: self.attack.screened + other.attack.screened,
            },
            false_bans: self.false_bans + other.false_bans,
            detected_after_s: longest(self.detected_after_s, other.detected_after_s),
            detection_s: percentiles(&mut detections),
            undetected: self.undetected + other.undetected,
            false_alarms: self.false_alarms + other.false_alarms,
            alarms: self.alarms + other.alarms,
            refused: self.refused + other.refused,
            carrier_bans: CarrierBans {
                fail2ban: self.carrier_bans.fail2ban + other.carrier_bans.fail2ban,
                freepbx: self.carrier_bans.freepbx + other.carrier_bans.freepbx,
                pike: self.carrier_bans.pike + other.carrier_bans.pike,
            },
            screening: Screening {
                calls: self.screening.calls + other.screening.calls,
                delay_s: percentiles(&mut delays),
                humans_lost: self.screening.humans_lost + other.screening.humans_lost,
            },
            bound: match (self.bound, other.bound) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
            delays,
            detections,
        }
    }

    /// Says when the attack was detected, if it was; `None` for no attack.
    pub(super) fn detected(&mut self, after: Option<Option<Duration>>) {
        self.undetected = u64::from(after == Some(None));
        self.detected_after_s = after.flatten().map(|after| after.as_secs_f64());
        let after = after.map(|after| after.unwrap_or(NEVER).as_millis() as u64);
        self.detections.extend(after);
        self.detection_s = percentiles(&mut self.detections);
    }
}

/// What never happened.
const NEVER: Duration = Duration::from_secs(86_400);

/// Counts while it is played.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) known: Share,
    pub(super) human: Share,
    emergency: Share,
    outbound: Share,
    attack: Share,
    attack_shed: u64,
    attack_screened: u64,
    screened: u64,
    pub(super) humans_lost: u64,
    pub(super) delays: Vec<u64>,
    false_bans: u64,
    refused: u64,
}

impl Tally {
    pub(super) fn of(&mut self, who: Who) -> &mut Share {
        match who {
            Who::Attacker(_) => &mut self.attack,
            Who::Emergency => &mut self.emergency,
            Who::Human => &mut self.human,
            Who::Known => &mut self.known,
            Who::Outbound => &mut self.outbound,
        }
    }

    pub(super) fn screened(&mut self, who: Who) {
        match who {
            Who::Attacker(_) => self.attack_screened += 1,
            _ => self.screened += 1,
        }
    }

    pub(super) fn shed(&mut self, who: Who, status: u16) {
        match who {
            Who::Attacker(_) => self.attack_shed += 1,
            _ => {
                self.refused += 1;
                self.false_bans += u64::from(status != 486);
            }
        }
    }

    pub(super) fn report(&mut self) -> Tdos {
        Tdos {
            legitimate: Legitimate {
                known: self.known.counted(),
                unknown_human: self.human.counted(),
            },
            emergency: self.emergency.counted(),
            attack: Attack {
                offered: self.attack.offered,
                connected: self.attack.connected,
                shed: self.attack_shed,
                screened: self.attack_screened,
            },
            false_bans: self.false_bans,
            detected_after_s: None,
            detection_s: Milliseconds::default(),
            undetected: 0,
            false_alarms: 0,
            alarms: 0,
            refused: self.refused,
            carrier_bans: CarrierBans::default(),
            screening: Screening {
                calls: self.screened,
                delay_s: percentiles(&mut self.delays),
                humans_lost: self.humans_lost,
            },
            bound: None,
            delays: self.delays.clone(),
            detections: Vec::new(),
        }
    }
}

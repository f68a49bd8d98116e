//! What came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use ringfence_detect::decision::Action;
use ringfence_detect::finding::{Kind, Subject};
use ringfence_detect::name::Name;
use ringfence_detect::watch::Verdict;
use serde::Serialize;

use super::{Options, Rules, Style};

/// The object of `ringfence sim scan --json` and `ringfence sim guess --json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What the attackers did.
    pub style: Style,
    /// Whose rules were carried out.
    pub rules: Rules,
    /// Messages of attackers.
    pub messages: u64,
    /// Of them, those that were dropped unread.
    pub dropped: u64,
    /// Bytes that attackers sent, and got back.
    pub bytes_sent: u64,
    /// See there.
    pub bytes_answered: u64,
    /// One by the other.
    pub amplification: f64,
    /// Users that were answered differently from names that are none.
    pub users_disclosed: u64,
    /// Passwords that were tried and looked at.
    pub passwords_tried: u64,
    /// Of them, those that were right.
    pub passwords_found: u64,
    /// When the attack was found.
    pub detected: Option<Found>,
    /// From the use of a stolen password to the alarm.
    pub compromise_after_s: Option<f64>,
    /// Pairs of a user and the right password from elsewhere.
    pub right_pairs: RightPairs,
    /// What was found.
    pub kinds: BTreeSet<&'static str>,
    /// The carrier and the phones.
    pub legitimate: Legitimate,
    /// Blocks against the carrier's and the phones' addresses.
    pub false_bans: u64,
    /// Addresses that attackers sent from.
    pub addresses: u64,
    /// Of them, those that something was done against: refused, held back, dropped.
    pub addresses_met: u64,
    /// Of the carrier's and the phones' addresses, those that something was done against.
    pub own_met: u64,
    /// From the first message of attackers until the last one that was not dropped unread; none where
    /// the last of all was not.
    pub contained_after_s: Option<f64>,
}

/// Right passwords in wrong hands, and who heard of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct RightPairs {
    /// Tried, and read.
    pub tried: u64,
    /// Of them, those that were let in.
    pub worked: u64,
    /// Of those, the ones after which the compromise of that very account was found.
    pub alarmed: u64,
    /// And those of which nobody heard.
    pub silent: u64,
    /// From a password's first use to the alarm of its account; the longest.
    pub alarm_after_s: Option<f64>,
}

/// When something was found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Found {
    /// Messages of attackers up to then.
    pub after_messages: u64,
    /// Seconds since the first.
    pub after_s: f64,
}

/// Requests of the business itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Legitimate {
    /// Made.
    pub offered: u64,
    /// Answered as they should be.
    pub succeeded: u64,
    /// One by the other; 1 for none.
    pub success: f64,
}

impl RightPairs {
    fn of(tried: u64, lost: &BTreeMap<u64, (Duration, Option<Duration>)>) -> RightPairs {
        let alarms = || {
            let both = lost
                .values()
                .filter_map(|(since, alarm)| Some((since, (*alarm)?)));
            both.map(|(since, alarm)| alarm.saturating_sub(*since))
        };
        let (worked, alarmed) = (lost.len() as u64, alarms().count() as u64);
        RightPairs {
            tried,
            worked,
            alarmed,
            silent: worked - alarmed,
            alarm_after_s: alarms().max().map(|after| after.as_secs_f64()),
        }
    }
}

type Shape = Vec<(u16, Vec<String>)>;

/// The carrier's addresses and the phones'.
fn is_own(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(it) if matches!(it.octets(), [198, 18, ..] | [198, 51, 100, _]))
}

/// Counts while it goes on.
#[derive(Default)]
pub(super) struct Tally {
    messages: u64,
    dropped: u64,
    sent: u64,
    answered: u64,
    tried: u64,
    found: u64,
    stolen_at: Option<Duration>,
    right_tried: u64,
    /// Accounts in wrong hands: since when, and when that was found.
    lost: BTreeMap<u64, (Duration, Option<Duration>)>,
    /// Accounts whose compromise was found, and when first.
    alarms: BTreeMap<u64, Duration>,
    compromise_at: Option<Duration>,
    detected: Option<(u64, Duration)>,
    kinds: BTreeSet<&'static str>,
    offered: u64,
    succeeded: u64,
    false_bans: u64,
    addresses: BTreeSet<IpAddr>,
    met: BTreeSet<IpAddr>,
    last_heard: Option<Duration>,
    last_dropped: bool,
    /// By method: what names that are none were answered, and what each user was.
    of_nobody: BTreeMap<String, BTreeSet<Shape>>,
    of_users: BTreeMap<String, BTreeMap<u32, BTreeSet<Shape>>>,
}

impl Tally {
    pub(super) fn legitimate(&mut self, good: bool) {
        self.offered += 1;
        self.succeeded += u64::from(good);
    }

    /// An attacker sends a message of so many bytes.
    pub(super) fn attacks(&mut self, from: IpAddr, bytes: usize) {
        self.messages += 1;
        self.sent += bytes as u64;
        if !is_own(from) {
            self.addresses.insert(from);
        }
    }

    /// So many bytes come back to him; or his message was dropped unread.
    pub(super) fn answered(&mut self, now: Duration, bytes: usize, dropped: bool) {
        self.answered += bytes as u64;
        self.dropped += u64::from(dropped);
        self.last_dropped = dropped;
        if !dropped {
            self.last_heard = Some(now);
        }
    }

    pub(super) fn told(&mut self, method: &str, is_user: bool, user: u32, shape: Shape) {
        let method = method.to_owned();
        if is_user {
            let users = self.of_users.entry(method).or_default();
            users.entry(user).or_default().insert(shape);
        } else {
            self.of_nobody.entry(method).or_default().insert(shape);
        }
    }

    /// A password was tried; `right` is the account that it is right for.
    pub(super) fn guessed(&mut self, now: Duration, found: bool, right: Option<Name>) {
        if let Some(account) = right {
            self.right_tried += 1;
            if found {
                // The judge heard of it before the attacker did.
                let alarm = self.alarms.get(&account.hash()).copied();
                let alarm = alarm.filter(|at| *at >= now);
                self.lost.entry(account.hash()).or_insert((now, alarm));
            }
        }
        self.tried += 1;
        self.found += u64::from(found);
        if found {
            self.stolen_at = self.stolen_at.or(Some(now));
        }
    }

    pub(super) fn verdict(&mut self, now: Duration, verdict: &Verdict) {
        match verdict {
            // The phone with the wrong password, at its own place.
            Verdict::Incident(incident) if matches!(incident.subject, Subject::AccountFrom(_, at) if is_own(at)) =>
                {}
            Verdict::Incident(incident) => {
                self.kinds.insert(incident.kind.as_str());
                if self.messages > 0 {
                    self.detected = self.detected.or(Some((self.messages, now)));
                }
                if incident.kind == Kind::Compromise {
                    if let Subject::Account(account) = incident.subject {
                        self.alarms.entry(account.hash()).or_insert(now);
                        if let Some((_, alarm)) = self.lost.get_mut(&account.hash()) {
                            *alarm = alarm.or(Some(now));
                        }
                    }
                    self.compromise_at = self.compromise_at.or(Some(now));
                }
            }
            Verdict::Decided { decision, .. } if decision.is_enforced() => {
                let address = match decision.against() {
                    Subject::Address(address) | Subject::AccountFrom(_, address) => address,
                    _ => return,
                };
                self.met.insert(*address);
                let is_ban = matches!(decision.action(), Action::Block);
                self.false_bans += u64::from(is_ban && is_own(*address));
            }
            _ => {}
        }
    }

    /// Another rule than the edge's bans an address.
    pub(super) fn banned(&mut self, now: Duration, address: IpAddr) {
        self.false_bans += u64::from(is_own(address));
        self.met.insert(address);
        if self.messages > 0 && !is_own(address) {
            self.detected = self.detected.or(Some((self.messages, now)));
        }
    }

    pub(super) fn report(self, options: &Options, begun: Duration) -> Report {
        let seconds = |from: Duration, to: Duration| to.saturating_sub(from).as_secs_f64();
        let share = |a: u64, b: u64| if b > 0 { a as f64 / b as f64 } else { 1.0 };
        let mut disclosed = BTreeSet::new();
        for (method, users) in &self.of_users {
            let Some(nobody) = self.of_nobody.get(method) else {
                continue;
            };
            let differ = users.iter().filter(|(_, shapes)| !shapes.is_subset(nobody));
            disclosed.extend(differ.map(|(user, _)| *user));
        }
        Report {
            seed: options.seed,
            style: options.style,
            rules: options.rules,
            messages: self.messages,
            dropped: self.dropped,
            bytes_sent: self.sent,
            bytes_answered: self.answered,
            amplification: match self.sent {
                0 => 0.0,
                sent => self.answered as f64 / sent as f64,
            },
            users_disclosed: disclosed.len() as u64,
            passwords_tried: self.tried,
            passwords_found: self.found,
            detected: self.detected.map(|(messages, at)| Found {
                after_messages: messages,
                after_s: seconds(begun, at),
            }),
            compromise_after_s: self
                .stolen_at
                .zip(self.compromise_at)
                .map(|(stolen, alarm)| seconds(stolen, alarm)),
            right_pairs: RightPairs::of(self.right_tried, &self.lost),
            kinds: self.kinds,
            legitimate: Legitimate {
                offered: self.offered,
                succeeded: self.succeeded,
                success: share(self.succeeded, self.offered),
            },
            false_bans: self.false_bans,
            addresses: self.addresses.len() as u64,
            addresses_met: self.addresses.intersection(&self.met).count() as u64,
            own_met: self.met.iter().filter(|at| is_own(**at)).count() as u64,
            contained_after_s: self
                .last_heard
                .filter(|_| self.last_dropped)
                .map(|at| seconds(begun, at)),
        }
    }
}

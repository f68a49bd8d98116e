//! A ransom flood on a site of few lines, and the people whom it is to keep out.

use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ringfence_base::Entropy;
use ringfence_base::entropy::SeededEntropy;

use super::agent::Agent;
use super::caller::{Manners, Outcome, call};
use super::report::Flood;
use super::{Stage, spawn};

/// Calls a minute.
pub(super) const RATE: u64 = 78;
/// How long an attacker holds a line.
const HOLD: Duration = Duration::from_secs(60);
/// When the flood begins, and when people begin to call into it.
const FLOOD_AT: Duration = Duration::from_secs(3);
const PEOPLE_AT: Duration = Duration::from_secs(7);
/// Between two people of a kind.
const PEOPLE_EACH: Duration = Duration::from_millis(3_500);
/// Before the end nobody begins any more. The flood goes on until the last of them is done.
const LAST_CALL: Duration = Duration::from_secs(6);
/// How long after the end it goes on at most.
const AFTER_END: Duration = Duration::from_secs(30);
/// How long people talk.
const TALK: Duration = Duration::from_millis(2_500);
/// People who find the line busy try again, so often, and after so long and up to a second more.
const TRIES: u32 = 7;
const AGAIN: Duration = Duration::from_millis(1_500);
/// People whom the office had called.
const KNOWN: u64 = 4;

/// All of it.
pub(super) fn run(stage: &Stage) {
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    for number in 0..KNOWN {
        let stage = stage.clone();
        let work = move || {
            // The office calls them, as on any day.
            let manners = Manners {
                human: true,
                talk: Duration::from_millis(500),
            };
            if let Ok(mut agent) = Agent::new(stage.inside(), 0x100 + number) {
                let from = stage.config.number.clone();
                call(&mut agent, &from, &known(number), None, manners, &mut || {});
            }
        };
        threads.extend(spawn("office-line", work));
    }
    let end = stage.config.length;
    let mut entropy = SeededEntropy::new(stage.config.seed);
    // What happens, and when. Attackers come in step but for a jitter of a third.
    let gap = 60_000 / RATE;
    let mut happenings: Vec<(Duration, Who)> = Vec::new();
    let mut at = FLOOD_AT;
    while at < end + AFTER_END {
        let jitter = Duration::from_millis(entropy.below(gap / 3));
        happenings.push((at + jitter, Who::Attacker));
        at += Duration::from_millis(gap);
    }
    let (mut at, mut turn) = (PEOPLE_AT, 0);
    while at + LAST_CALL < end {
        let who = match turn % 2 {
            0 => Who::Known(turn / 2),
            _ => Who::Unknown(turn / 2),
        };
        happenings.push((at, who));
        at += PEOPLE_EACH / 2;
        turn += 1;
    }
    happenings.push((
        PEOPLE_AT + (end.saturating_sub(PEOPLE_AT)) / 2,
        Who::Emergency,
    ));
    happenings.sort_by_key(|(at, _)| *at);
    let mut people: Vec<JoinHandle<()>> = Vec::new();
    for (number, (at, who)) in happenings.into_iter().enumerate() {
        let done = |people: &[JoinHandle<()>]| people.iter().all(JoinHandle::is_finished);
        while stage.begun.elapsed() < at && !(stage.is_closing() && done(&people)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        if stage.is_closing() {
            if done(&people) {
                break;
            }
            if who != Who::Attacker {
                continue;
            }
        }
        if who == Who::Attacker && stage.marks().flood.is_none() {
            stage.marks().flood = Some(Instant::now());
            stage.siege().report.siege.attackers.flood = Some(Flood {
                rate: RATE,
                channels: stage.config.channels,
                ..Flood::default()
            });
        }
        let stage = stage.clone();
        let number = number as u64;
        let work = move || match who {
            Who::Attacker => attack(&stage, number),
            Who::Emergency => emergency(&stage, number),
            Who::Known(which) => person(&stage, &known(which % KNOWN), true, number),
            Who::Unknown(which) => person(&stage, &unknown(which), false, number),
        };
        let kind = if who == Who::Attacker {
            &mut threads
        } else {
            &mut people
        };
        kind.extend(spawn("caller", work));
    }
    stage.stop.store(true, Relaxed);
    threads.append(&mut people);
    for thread in threads {
        // A caller that panicked was not connected, which the report shows.
        let _ = thread.join();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Attacker,
    Emergency,
    Known(u64),
    Unknown(u64),
}

fn known(number: u64) -> String {
    format!("+1312555{:04}", 1000 + number)
}

fn unknown(number: u64) -> String {
    format!("+1414555{:04}", 2000 + number)
}

/// A call of the flood: a number that nobody knows, silence, and a line held as long as it lasts.
fn attack(stage: &Stage, number: u64) {
    let manners = Manners {
        human: false,
        talk: HOLD,
    };
    let from = format!("+1646555{:04}", 3000 + number);
    if let Some(flood) = &mut stage.siege().report.siege.attackers.flood {
        flood.offered += 1;
    }
    let reached = || {
        if let Some(flood) = &mut stage.siege().report.siege.attackers.flood {
            flood.connected += 1;
        }
    };
    let outcome = from_outside(stage, &from, manners, 0x1000 + number, &mut { reached });
    let mut totals = stage.siege();
    let siege = &mut totals.report.siege;
    siege.screening.calls += u64::from(outcome.asked);
    if let Some(flood) = &mut siege.attackers.flood {
        flood.shed += u64::from(outcome.refused.is_some());
        flood.screened += u64::from(outcome.asked && !outcome.connected);
    }
}

/// Somebody who wants to talk with the office.
fn person(stage: &Stage, from: &str, known: bool, number: u64) {
    let manners = Manners {
        human: true,
        talk: TALK,
    };
    let mut asked = false;
    let mut connected = false;
    for attempt in 0..u64::from(TRIES) {
        if attempt > 0 {
            let more = SeededEntropy::new(number << 8 | attempt).below(1_000);
            std::thread::sleep(AGAIN + Duration::from_millis(more));
            if stage.stopped() {
                break;
            }
        }
        let seed = 0x2000 + number * 16 + attempt;
        let outcome = from_outside(stage, from, manners, seed, &mut || {});
        asked |= outcome.asked;
        connected |= outcome.connected;
        let mut totals = stage.siege();
        let siege = &mut totals.report.siege;
        siege.screening.calls += u64::from(outcome.asked);
        if connected {
            break;
        }
        siege.legitimate.busy += u64::from(outcome.refused.is_some());
    }
    let mut totals = stage.siege();
    let siege = &mut totals.report.siege;
    siege.screening.humans_lost += u64::from(asked && !connected);
    match known {
        true => siege.legitimate.known.note(connected),
        false => siege.legitimate.unknown_human.note(connected),
    }
}

/// Somebody in the office calls for help while all lines are held.
fn emergency(stage: &Stage, number: u64) {
    let manners = Manners {
        human: true,
        talk: TALK,
    };
    let outcome = match Agent::new(stage.inside(), 0x3000 + number) {
        Ok(mut agent) => {
            let from = stage.config.number.clone();
            call(&mut agent, &from, "911", None, manners, &mut || {})
        }
        Err(_) => Outcome::default(),
    };
    stage.siege().report.siege.emergency.note(outcome.connected);
}

fn from_outside(
    stage: &Stage,
    from: &str,
    manners: Manners,
    seed: u64,
    up: &mut dyn FnMut(),
) -> Outcome {
    let config = &stage.config;
    let place = stage.outside(config.carrier.ip(), &config.edge_outside.to_string());
    match Agent::new(place, config.seed ^ seed) {
        Ok(mut agent) => call(&mut agent, from, &config.number, None, manners, up),
        Err(_) => Outcome::default(),
    }
}

//! A business of which nothing is known against one with a fortnight behind it.

use super::decades::{at, found};
use super::{Job, Knocked, Results, SEEDS, find, number, words};

/// Days before the attack.
const HISTORIES: [u32; 2] = [0, 14];
/// Businesses whose lines are called, and edges that are knocked at.
const CALLED: u64 = 20;
/// A fortnight of registrations takes its time.
const KNOCKED: u64 = 2;

pub(super) fn jobs(seeds: u64) -> Vec<Job> {
    let mut jobs = Vec::new();
    for days in HISTORIES {
        let call = format!(
            "sim tdos --style flood --rate 40 --history {days} --seed {} --seeds {} --json",
            SEEDS.0,
            CALLED.min(seeds)
        );
        jobs.push((format!("day-zero tdos {days}"), words(&call)));
        for seed in SEEDS.0..SEEDS.0 + KNOCKED.min(seeds) {
            let call = format!(
                "sim scan --style scanner --minutes 4 --history {days} --seed {seed} --json"
            );
            jobs.push((format!("day-zero scan {days} {seed}"), words(&call)));
        }
    }
    jobs
}

/// The section of the document.
pub(super) fn section(results: &Results, seeds: u64) -> anyhow::Result<String> {
    let (called, knocked) = (CALLED.min(seeds), KNOCKED.min(seeds));
    let mut text = format!(
        "## The first day\n\n\
         The same seeds for a business of which nothing is known, neither callers nor phones nor how busy an \
         hour is, and for one with ordinary days behind it, five a week. Calls: flood, 40 a minute, {called} seeds; \
         regular callers are strangers to the edge on the first day, are asked like strangers, and answer. Scan: one address, \
         twenty requests a second, {knocked} seeds; on the first day it begins with the edge, before a phone has registered.\n\n\
         | days before | flood detected: half / at the latest | not | regular callers | unknown | emergency | \
         alarms on the days before | scan found: half / at the latest | after messages, at most | own banned | own served |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n"
    );
    for days in HISTORIES {
        let calls = find(results, &format!("day-zero tdos {days}"))?;
        let share = |path: &str| anyhow::Ok(format!("{:.3}", number(calls, path)?));
        let never = number(calls, "/undetected")?;
        let scans = Knocked::of_kind(results, &format!("day-zero scan {days}"));
        let times = found(&scans, "/detected/after_s");
        let messages = found(&scans, "/detected/after_messages");
        let second = |part| at(&times, part).map_or("-".to_owned(), |at| format!("{at:.1} s"));
        let detected = match number(calls, "/detected_after_s") {
            Ok(latest) => format!("{:.1} / {latest:.1} s", number(calls, "/detection_s/p50")?),
            Err(_) => "-".to_owned(),
        };
        text += &format!(
            "| {days} | {detected} | {never} of {called} | {} | {} | {} | {} in {} days | {} / {} | {} | {} | {} |\n",
            share("/legitimate/known/success")?,
            share("/legitimate/unknown_human/success")?,
            share("/emergency/success")?,
            number(calls, "/false_alarms")?,
            called * u64::from(days),
            second(50),
            second(100),
            at(&messages, 100).map_or("-".to_owned(), |count| count.to_string()),
            scans.sum("/false_bans")?,
            scans.served()?,
        );
    }
    Ok(text)
}

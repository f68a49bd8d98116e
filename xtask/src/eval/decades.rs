//! Attacks by the decade of their rate, from one in ten minutes to a thousand a minute.
//!
//! No bars: a table of what each rate comes to, with the edge and beside it. What it does report is
//! harm. The slower an attack, the longer it is played, and always for a time that is said: an attack
//! that was not found in that time is counted as such and never as an average.

use serde_json::Value;

use super::{Job, Knocked, Results, Row, SEEDS, find, number, words};

/// A rate a minute, and for how many minutes calls, and messages, come at it.
const DECADES: [(&str, u32, u32); 5] = [
    ("0.1", 240, 300),
    ("1", 60, 120),
    ("10", 30, 30),
    ("100", 30, 10),
    ("1000", 10, 4),
];
/// Businesses whose lines are called, and edges that are knocked at, for each rate.
const CALLED: u64 = 20;
const KNOCKED: u64 = 5;
const STYLES: [&str; 4] = ["flood", "slow", "human", "backscatter"];
/// A name, and the command.
const KNOCKS: [(&str, &str); 6] = [
    ("scan, one address", "scan --style scanner"),
    ("scan, an address each", "scan --style distributed"),
    ("guessing", "guess --style guess"),
    ("spraying", "guess --style spray"),
    ("stuffing", "guess --style stuff"),
    (LEAKED, "guess --style stuff --right 3"),
];
/// Stuffing with pairs that are right.
const LEAKED: &str = "stuffing, 3 right pairs";
const RULES: [(&str, &str); 4] = [
    ("edge", "edge"),
    ("pike", "pike"),
    ("fail2ban", "fail2ban"),
    ("freepbx", "FreePBX"),
];

/// The programs to run. `seeds` is the number of seeds of the whole evaluation.
pub(super) fn jobs(seeds: u64) -> Vec<Job> {
    let mut jobs = Vec::new();
    let called = CALLED.min(seeds);
    let mut calls = |style: &str, rate: &str, minutes: u32| {
        for (name, more) in [("with", ""), ("without", "--unguarded")] {
            let call = format!(
                "sim tdos --style {style} --rate {rate} --minutes {minutes} --seed {} \
                 --seeds {called} {more} --json",
                SEEDS.0
            );
            jobs.push((format!("decade-tdos {style} {rate} {name}"), words(&call)));
        }
    };
    calls("flood", "0", DECADES[0].1);
    for style in STYLES {
        for (rate, minutes, _) in DECADES {
            calls(style, rate, minutes);
        }
    }
    for (name, command) in KNOCKS {
        for (rate, _, minutes) in DECADES {
            for (rules, _) in RULES {
                for seed in SEEDS.0..SEEDS.0 + KNOCKED.min(seeds) {
                    let call = format!(
                        "sim {command} --per-minute {rate} --minutes {minutes} --rules {rules} \
                         --seed {seed} --json"
                    );
                    let kind = kind(name, rate, rules);
                    jobs.push((format!("{kind} {seed}"), words(&call)));
                }
            }
        }
    }
    jobs
}

/// The section of the document, and what harm there was.
pub(super) fn section(results: &Results, seeds: u64) -> anyhow::Result<(String, Vec<String>)> {
    let mut harm = Vec::new();
    let (called, knocked) = (CALLED.min(seeds), KNOCKED.min(seeds));
    let calls = calls(results, &mut harm, called)?;
    let knocks = knocks(results, &mut harm, knocked)?;
    let leaked = leaked(results)?;
    Ok((
        format!(
            "## By the decade of the rate\n\n\
             No bars: what each rate comes to. Seeds as above, the first {called} of them for calls and the first {knocked} for \
             messages. Times to detect are of the attacks that were found; the others are counted \
             and were not found in the time that is said.\n\n\
             ### Calls that hold the lines\n\n\
             8 channels, 60 s each, one Erlang of real calls. Precision and recall are of calls that were asked or \
             refused: how many of them were the attack's, and how many of the attack's calls that \
             is. Real callers and emergency calls: with the edge, in brackets without it. At 0.1 and 1 a minute the \
             attack keeps 0.1 lines and one busy and keeps nobody out: there is next to nothing to \
             find, and what is not found has done no harm. The last column: how often \
             pike, fail2ban and FreePBX's rate limit before the edge would have banned the carrier, \
             and so ended all calls; what they never ban, they let pass, as in brackets. At 1000 a minute refusing alone, a tenth of a \
             second each, keeps two lines busy, those who are asked keep more, and the carrier says busy before the edge hears of a call: a call for help clears as many channels as \
             those may take.\n\n{calls}\n\
             ### Messages\n\n\
             Requests or guesses a minute; all else as above, an outage and a phone with a wrong \
             password included. Addresses: precision and recall of those against which something was \
             done; the phone with the wrong password is limited at its own address in time, and halves the precision \
             where the attack has one address. Beside: in how many runs it was found and half of them when, users and passwords \
             learned, own banned, own served.\n\n{knocks}\n\
             ### Leaked passwords that still work\n\n\
             The attacker has 3 right pairs among wrong ones, from a hundred addresses in turn, and \
             tries each once. An alarm is one for the very account: after failures on it from elsewhere, or \
             when the program is new to it and has tried twelve accounts from twelve addresses in vain within six hours. What \
             works before that, at the first try, looks like an owner's new phone: \
             of that nobody hears.\n\n{leaked}"
        ),
        harm,
    ))
}

fn kind(name: &str, rate: &str, rules: &str) -> String {
    format!("decade {name} {rate} {rules}")
}

fn calls(results: &Results, harm: &mut Vec<String>, seeds: u64) -> anyhow::Result<String> {
    let mut text = "| calls | a minute | for | detected: half / 99 of 100 / not | precision / recall \
                    | known | unknown | emergency | real refused as attackers | the carrier banned: pike / fail2ban / FreePBX |\n\
                    |---|---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    let none = ("flood", "0", DECADES[0].1);
    let styles = STYLES
        .iter()
        .flat_map(|style| DECADES.map(|(rate, minutes, _)| (*style, rate, minutes)));
    for (style, rate, minutes) in std::iter::once(none).chain(styles) {
        let of = |which: &str| find(results, &format!("decade-tdos {style} {rate} {which}"));
        let (with, without) = (of("with")?, of("without")?);
        let both = |path: &str| {
            let (with, without) = (number(with, path)?, number(without, path)?);
            anyhow::Ok(format!("{with:.3} ({without:.3})"))
        };
        let attack = number(with, "/attack/offered")?;
        let met = number(with, "/attack/shed")? + number(with, "/attack/screened")?;
        let real = number(with, "/refused")? + number(with, "/screening/calls")?;
        let detected = match rate {
            "0" => format!("{} alarms", number(with, "/alarms")?),
            _ => detected(with, seeds)?,
        };
        let banned = ["pike", "fail2ban", "freepbx"]
            .map(|rule| number(with, &format!("/carrier_bans/{rule}")))
            .into_iter()
            .collect::<anyhow::Result<Vec<f64>>>()?;
        let banned: Vec<String> = banned.iter().map(f64::to_string).collect();
        let shown = match rate {
            "0" => "no attack",
            _ => style,
        };
        text += &format!(
            "| {shown} | {rate} | {minutes} min | {detected} | {} / {} | {} | {} | {} | {} | {} |\n",
            share(met, met + real),
            share(met, attack),
            both("/legitimate/known/success")?,
            both("/legitimate/unknown_human/success")?,
            both("/emergency/success")?,
            number(with, "/false_bans")?,
            banned.join(" / "),
        );
        let what = format!("{style}, {rate} a minute");
        if number(with, "/false_bans")? > 0.0 {
            harm.push(format!("{what}: real callers banned"));
        }
        let saved = number(with, "/emergency/success")?;
        if saved < number(without, "/emergency/success")? {
            harm.push(format!(
                "{what}: emergency calls fare better without the edge"
            ));
        }
    }
    Ok(text)
}

/// When calls were found: a time of those that were, and how many were not.
fn detected(object: &Value, seeds: u64) -> anyhow::Result<String> {
    let never = number(object, "/undetected")?;
    let at = |part: &str| object.pointer(part).and_then(Value::as_f64);
    let shown = |seconds: Option<f64>| {
        // One that was never seen counts as a day, and is no time to detect.
        let seen = seconds.filter(|seconds| *seconds < 86_400.0);
        seen.map_or("-".to_owned(), |seconds| format!("{seconds:.1} s"))
    };
    Ok(format!(
        "{} / {} / {never} of {seeds}",
        shown(at("/detection_s/p50")),
        shown(at("/detection_s/p99")),
    ))
}

fn knocks(results: &Results, harm: &mut Vec<String>, seeds: u64) -> anyhow::Result<String> {
    let mut text = "| messages | a minute | for | found: half / at the latest / not | after messages | \
                    addresses: precision / recall | learned | own banned | own served | bytes back \
                    | pike | fail2ban | FreePBX |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for (name, _) in KNOCKS {
        for (rate, _, minutes) in DECADES {
            let of = |rules: &str| Knocked::of_kind(results, &kind(name, rate, rules));
            let edge = of("edge");
            let times = found(&edge, "/detected/after_s");
            let messages = found(&edge, "/detected/after_messages");
            let missed = seeds - times.len() as u64;
            let second = |part| at(&times, part).map_or("-".to_owned(), |at| format!("{at:.1} s"));
            let beside = RULES
                .iter()
                .skip(1)
                .map(|(rules, _)| beside(&of(rules), seeds))
                .collect::<anyhow::Result<Vec<String>>>()?;
            let banned = edge.sum("/false_bans")?;
            text += &format!(
                "| {name} | {rate} | {minutes} min | {} / {} / {missed} of {seeds} | {} | {} | {} | {banned} | {} | {:.2} | {} |\n",
                second(50),
                second(100),
                at(&messages, 50).map_or("-".to_owned(), |count| count.to_string()),
                edge.addresses()?,
                edge.learned()?,
                edge.served()?,
                edge.worst("/amplification").unwrap_or(f64::INFINITY),
                beside.join(" | "),
            );
            if banned > 0.0 {
                harm.push(format!(
                    "{name}, {rate} a minute: {banned} bans of the business's own"
                ));
            }
        }
    }
    Ok(text)
}

/// What another rule came to, in a few words.
fn beside(it: &Knocked<'_>, seeds: u64) -> anyhow::Result<String> {
    let times = found(it, "/detected/after_s");
    let when = at(&times, 50).map_or(String::new(), |at| format!(" in {at:.1} s"));
    Ok(format!(
        "found {} of {seeds}{when}; {} learned; {} banned; {} served",
        times.len(),
        it.learned()?,
        it.sum("/false_bans")?,
        it.served()?,
    ))
}

fn leaked(results: &Results) -> anyhow::Result<String> {
    let mut text = "| guesses a minute | for | right pairs tried | let in | alarm of their account | no alarm | from use to alarm, at most | fail2ban let in |\n\
                    |---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for (rate, _, minutes) in DECADES {
        let of = |rules: &str| Knocked::of_kind(results, &kind(LEAKED, rate, rules));
        let edge = of("edge");
        let count = |part: &str| edge.sum(&format!("/right_pairs/{part}"));
        let after = found(&edge, "/right_pairs/alarm_after_s");
        text += &format!(
            "| {rate} | {minutes} min | {} | {} | {} | {} | {} | {} |\n",
            count("tried")?,
            count("worked")?,
            count("alarmed")?,
            count("silent")?,
            at(&after, 100).map_or("-".to_owned(), |after| format!("{after:.1} s")),
            of("fail2ban").sum("/right_pairs/worked")?,
        );
    }
    Ok(text)
}

/// The bar for leaked pairs, low and slow.
pub(super) fn leaked_rows(results: &Results) -> anyhow::Result<[Row; 2]> {
    let (rate, _, minutes) = DECADES[1];
    let of = |rules: &str| Knocked::of_kind(results, &kind(LEAKED, rate, rules));
    let edge = of("edge");
    let count = |part: &str| edge.sum(&format!("/right_pairs/{part}"));
    let after = at(&found(&edge, "/right_pairs/alarm_after_s"), 100);
    let what = format!("guess, {LEAKED}, {rate} a minute for {minutes} min");
    let silent = |it: &Knocked<'_>| {
        let (silent, worked) = (
            it.sum("/right_pairs/silent")?,
            it.sum("/right_pairs/worked")?,
        );
        anyhow::Ok(format!("{silent} of {worked}"))
    };
    Ok([
        Row {
            what: format!("{what}: from use to the alarm of the account, where there is one"),
            without: "never".to_owned(),
            with: after.map_or("never".to_owned(), |after| format!("{after:.1} s")),
            bar: "<= 1 s",
            met: Some(count("alarmed")? > 0.0 && after.is_some_and(|after| after <= 1.0)),
        },
        Row {
            what: format!("{what}: let in without an alarm"),
            without: format!(
                "pike {}; fail2ban {}; FreePBX {}",
                silent(&of("pike"))?,
                silent(&of("fail2ban"))?,
                silent(&of("freepbx"))?
            ),
            with: silent(&edge)?,
            bar: "shown only",
            met: None,
        },
    ])
}

/// A number of all runs that have it, the smallest first.
pub(super) fn found(runs: &Knocked<'_>, path: &str) -> Vec<f64> {
    let numbers = runs
        .0
        .iter()
        .filter_map(|object| object.pointer(path).and_then(Value::as_f64));
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers
}

/// The number under which so many in a hundred are.
pub(super) fn at(sorted: &[f64], percent: usize) -> Option<f64> {
    let place = sorted.len().saturating_sub(1) * percent / 100;
    sorted.get(place).copied()
}

fn share(part: f64, of: f64) -> String {
    match of > 0.0 {
        true => format!("{:.3}", part / of),
        false => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_seen_is_counted_and_is_no_time_to_detect() {
        let object = serde_json::json!({
            "undetected": 3,
            "detection_s": {"p50": 4.25, "p99": 86_400.0},
        });
        assert_eq!(detected(&object, 20).unwrap(), "4.2 s / - / 3 of 20");
    }

    #[test]
    fn every_rate_is_played_with_the_edge_and_beside_it() {
        let jobs = jobs(2);
        let count = |part: &str| jobs.iter().filter(|(name, _)| name.contains(part)).count();
        assert_eq!(count("decade-tdos "), 2 * (1 + 4 * 5));
        assert_eq!(count("decade stuffing 1000 fail2ban "), 2);
        assert_eq!(count("decade "), 6 * 5 * 4 * 2);
    }

    #[test]
    fn a_percentile_is_one_of_the_numbers() {
        assert_eq!(at(&[1.0, 2.0, 9.0], 50), Some(2.0));
        assert_eq!(at(&[1.0, 2.0, 9.0], 100), Some(9.0));
        assert_eq!(at(&[], 50), None);
    }
}

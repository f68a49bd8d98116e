//! `cargo xtask eval`: what detection achieves, against the bars of the specification.
//!
//! Runs `ringfence sim` over seeds that were not used for tuning (the machines were tuned on 0 to
//! 59, 1000 to 1029 and 10000 to 32999), with the edge and without it, and `ringfence replay` over captures of real
//! attackers. Prints one table and writes it to `docs/eval.md`, the objects to
//! `target/eval.json`. A missed bar is named; what fails the task is harm: somebody of the
//! customer's banned, or an emergency call that would have got through without the edge.
//!
//! Scans and guesses are also played against the rules of pike, of fail2ban and of FreePBX's firewall,
//! and calls that hold the lines against nobody's. Below the table: attacks by the decade of their
//! rate, a business's first day against its fifteenth, and what a hostile packet costs.

mod cost;
mod day_zero;
mod decades;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use anyhow::Context;
use serde_json::{Map, Value};

use crate::{repo, runner};

/// The first seed, and how many. None of them was used for tuning.
const SEEDS: (u64, u64) = (3_000, 200);
/// Attack calls in a minute.
const RATES: [u32; 3] = [13, 40, 78];
/// Ways to knock at the edge, and the command that plays them.
const KNOCKS: [(&str, &str); 9] = [
    ("scan", "scanner"),
    ("scan", "rotating"),
    ("scan", "distributed"),
    ("scan", "slow"),
    ("scan", "spoofed"),
    ("guess", "guess"),
    ("guess", "spray"),
    ("guess", "stuff"),
    ("guess", "stolen"),
];
const RULES: [&str; 4] = ["edge", "pike", "fail2ban", "freepbx"];
const STYLES: [&str; 4] = ["flood", "slow", "human", "backscatter"];
/// How many programs run at a time.
const AT_ONCE: usize = 2;

/// One line of the table.
struct Row {
    what: String,
    without: String,
    with: String,
    bar: &'static str,
    met: Option<bool>,
}

/// Evaluates; `Ok(false)` when the edge did harm.
///
/// # Errors
/// When nothing can be built, or a program says what is not understood.
pub fn run(arguments: &[String]) -> anyhow::Result<bool> {
    let (mut seeds, mut program) = (SEEDS.1, None);
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        match (flag.as_str(), rest.next()) {
            ("--program", Some(path)) => program = Some(PathBuf::from(path)),
            ("--seeds", Some(count)) => {
                seeds = count
                    .parse()
                    .ok()
                    .filter(|count| (1..=10_000).contains(count))
                    .context("--seeds takes a number from 1 to 10000")?;
            }
            _ => anyhow::bail!("cargo xtask eval [--seeds N] [--program PATH]"),
        }
    }
    let target = repo::target_directory()?;
    let program = match program {
        Some(program) => program,
        None => {
            let mut build = repo::cargo();
            build.args(["build", "--release", "--package", "ringfence"]);
            if !runner::run(&mut build)?.success {
                anyhow::bail!("the release build failed");
            }
            target.join("release/ringfence")
        }
    };
    let mut results = all(&program, jobs(seeds)?)?;
    // By itself: what runs beside it would cost it time.
    let spent = one(&program, &words(cost::COMMAND)).context(cost::COMMAND)?;
    let (mut rows, mut harm) = judge(&results, seeds)?;
    rows.extend(decades::leaked_rows(&results)?);
    rows.push(cost::row(&spent)?);
    let (decades, harmed) = decades::section(&results, seeds)?;
    harm.extend(harmed);
    let text = format!(
        "{}\n{decades}\n{}\n{}",
        table(&rows, seeds),
        day_zero::section(&results, seeds)?,
        cost::section(&spent)?
    );
    results.push(("cost".to_owned(), spent));
    println!("\n{text}");
    std::fs::write(repo::root().join("docs/eval.md"), document(&text, seeds))?;
    let objects: Map<String, Value> = results.into_iter().collect();
    let objects = serde_json::to_string_pretty(&objects)?;
    std::fs::create_dir_all(&target)?;
    std::fs::write(target.join("eval.json"), objects)?;
    let missed = rows.iter().filter(|row| row.met == Some(false)).count();
    println!("{missed} bars missed; {} cases of harm", harm.len());
    for case in &harm {
        println!("harm: {case}");
    }
    Ok(harm.is_empty())
}

type Job = (String, Vec<String>);
type Results = Vec<(String, Value)>;

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn jobs(seeds: u64) -> anyhow::Result<Vec<Job>> {
    let mut jobs = Vec::new();
    for style in STYLES {
        for rate in RATES {
            for (name, more) in [("with", ""), ("without", "--unguarded")] {
                let call = format!(
                    "sim tdos --style {style} --rate {rate} --seed {} --seeds {seeds} {more} --json",
                    SEEDS.0
                );
                jobs.push((format!("tdos {style} {rate} {name}"), words(&call)));
            }
        }
    }
    for seed in SEEDS.0..SEEDS.0 + seeds {
        let call = format!("sim fraud --seed {seed} --json");
        jobs.push((format!("fraud {seed}"), words(&call)));
        let call = format!("sim busy-day --seed {seed} --json");
        jobs.push((format!("busy-day {seed}"), words(&call)));
        for (command, style) in KNOCKS {
            for rules in RULES {
                let call = format!(
                    "sim {command} --style {style} --rules {rules} --minutes 4 --seed {seed} --json"
                );
                jobs.push((format!("{style} {rules} {seed}"), words(&call)));
            }
        }
    }
    let captures = repo::root().join("crates/replay/tests/captures");
    let mut files: Vec<_> = std::fs::read_dir(&captures)
        .with_context(|| captures.display().to_string())?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|kind| kind == "pcap" || kind == "pcapng")
        })
        .collect();
    files.sort();
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let call = vec!["replay".into(), file.display().to_string(), "--json".into()];
        jobs.push((format!("replay {name}"), call));
    }
    jobs.extend(decades::jobs(seeds));
    jobs.extend(day_zero::jobs(seeds));
    Ok(jobs)
}

/// Runs every job, some at a time, and says how far it is.
fn all(program: &Path, jobs: Vec<Job>) -> anyhow::Result<Results> {
    let (next, count) = (AtomicUsize::new(0), jobs.len());
    let done = Mutex::new(Vec::with_capacity(count));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((name, arguments)) = jobs.get(next.fetch_add(1, Relaxed)) {
                    let result = one(program, arguments).with_context(|| name.clone());
                    let mut done = done.lock().unwrap_or_else(|poison| poison.into_inner());
                    done.push((name.clone(), result));
                    progress(done.len(), count);
                }
            });
        }
    });
    if std::io::stderr().is_terminal() {
        eprintln!();
    }
    let done = done
        .into_inner()
        .unwrap_or_else(|poison| poison.into_inner());
    let mut results = done
        .into_iter()
        .map(|(name, result)| Ok((name, result?)))
        .collect::<anyhow::Result<Results>>()?;
    results.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(results)
}

fn one(program: &Path, arguments: &[String]) -> anyhow::Result<Value> {
    let output = Command::new(program).args(arguments).output()?;
    if !output.status.success() {
        anyhow::bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// A number somewhere in an object.
fn number(object: &Value, path: &str) -> anyhow::Result<f64> {
    let found = object.pointer(path).and_then(Value::as_f64);
    found.with_context(|| format!("there is no number at {path}"))
}

fn find<'a>(results: &'a Results, name: &str) -> anyhow::Result<&'a Value> {
    let found = results.iter().find(|(each, _)| each == name);
    Ok(&found.with_context(|| format!("{name} was not run"))?.1)
}

/// The sum of a number over all objects of a kind.
fn sum(results: &Results, kind: &str, path: &str) -> anyhow::Result<f64> {
    let of_kind = results.iter().filter(|(name, _)| {
        name.strip_prefix(kind)
            .is_some_and(|rest| rest.starts_with(' '))
    });
    of_kind.map(|(_, object)| number(object, path)).sum()
}

fn judge(results: &Results, seeds: u64) -> anyhow::Result<(Vec<Row>, Vec<String>)> {
    let (mut rows, mut harm) = (Vec::new(), Vec::new());
    for style in STYLES {
        for rate in RATES {
            let with = find(results, &format!("tdos {style} {rate} with"))?;
            let without = find(results, &format!("tdos {style} {rate} without"))?;
            denial(
                &mut rows,
                &mut harm,
                &format!("{style}, {rate} a minute"),
                [without, with],
            )?;
        }
    }
    for knocked in KNOCKS {
        knock(&mut rows, &mut harm, results, knocked)?;
    }
    fraud(&mut rows, results)?;
    let harmed = sum(results, "busy-day", "/harmed")?;
    let banned = sum(results, "busy-day", "/false_bans")?;
    rows.push(Row {
        what: format!("{seeds} busy days: callers lost by the edge, on balance"),
        without: "0".to_owned(),
        with: format!("{harmed}"),
        bar: "0",
        met: Some(harmed == 0.0),
    });
    if banned > 0.0 {
        harm.push(format!("{banned} callers banned on busy days"));
    }
    for (name, object) in results
        .iter()
        .filter(|(name, _)| name.starts_with("replay "))
    {
        captured(&mut rows, name, object)?;
    }
    Ok((rows, harm))
}

/// Calls that hold the lines.
fn denial(
    rows: &mut Vec<Row>,
    harm: &mut Vec<String>,
    what: &str,
    [without, with]: [&Value; 2],
) -> anyhow::Result<()> {
    const KNOWN: &str = "/legitimate/known/success";
    const UNKNOWN: &str = "/legitimate/unknown_human/success";
    const EMERGENCY: &str = "/emergency/success";
    let mut share = |who: &str, path: &str, bar, least: f64| -> anyhow::Result<()> {
        let (without, with) = (number(without, path)?, number(with, path)?);
        rows.push(Row {
            what: format!("{what}: {who}"),
            without: format!("{without:.3}"),
            with: format!("{with:.3}"),
            bar,
            met: Some(with >= least),
        });
        Ok(())
    };
    let bound = with.pointer("/bound").and_then(Value::as_f64);
    share("known callers", KNOWN, ">= 0.97", 0.97)?;
    match bound.filter(|bound| *bound < 1.0) {
        Some(bound) => share(
            "unknown people",
            UNKNOWN,
            ">= 0.95 of what screening can",
            0.95 * bound,
        )?,
        None => share("unknown people", UNKNOWN, ">= 0.90", 0.90)?,
    }
    share("emergency calls", EMERGENCY, "1.000", 1.0)?;
    let detected = with.pointer("/detected_after_s").and_then(Value::as_f64);
    let of_all = |part: &str| number(with, &format!("/detection_s/{part}"));
    let (half, most) = (of_all("p50")?, of_all("p99")?);
    rows.push(Row {
        what: format!("{what}: detected, half / 99 of 100 / at the latest"),
        without: "-".to_owned(),
        with: detected.map_or("never".to_owned(), |seconds| {
            format!("{half:.1} / {most:.1} / {seconds:.1} s")
        }),
        bar: "<= 20 s",
        met: Some(detected.is_some_and(|seconds| seconds <= 20.0)),
    });
    let banned = number(with, "/false_bans")?;
    if banned > 0.0 {
        harm.push(format!("{what}: {banned} real callers banned"));
    }
    if number(with, EMERGENCY)? < number(without, EMERGENCY)? {
        harm.push(format!(
            "{what}: emergency calls fare better without the edge"
        ));
    }
    Ok(())
}

/// Everything that came of one way to knock under one rule, over all seeds.
struct Knocked<'a>(Vec<&'a Value>);

impl Knocked<'_> {
    fn of<'a>(results: &'a Results, style: &str, rules: &str) -> Knocked<'a> {
        Knocked::of_kind(results, &format!("{style} {rules}"))
    }

    /// Runs whose names are this and a seed.
    fn of_kind<'a>(results: &'a Results, kind: &str) -> Knocked<'a> {
        let of_kind = results.iter().filter(|(name, _)| {
            name.strip_prefix(kind)
                .is_some_and(|rest| rest.starts_with(' '))
        });
        Knocked(of_kind.map(|(_, object)| object).collect())
    }

    fn learned(&self) -> anyhow::Result<f64> {
        Ok(self.sum("/users_disclosed")? + self.sum("/passwords_found")?)
    }

    /// Which share of the business's own requests was answered as it should be.
    fn served(&self) -> anyhow::Result<String> {
        let offered = self.sum("/legitimate/offered")?.max(1.0);
        Ok(format!(
            "{:.4}",
            self.sum("/legitimate/succeeded")? / offered
        ))
    }

    /// Precision and recall of what was done against addresses.
    fn addresses(&self) -> anyhow::Result<String> {
        let (met, all) = (self.sum("/addresses_met")?, self.sum("/addresses")?);
        let own = self.sum("/own_met")?;
        let share = |part: f64, of: f64| match of > 0.0 {
            true => format!("{:.3}", part / of),
            false => "-".to_owned(),
        };
        Ok(format!("{} / {}", share(met, met + own), share(met, all)))
    }

    fn sum(&self, path: &str) -> anyhow::Result<f64> {
        self.0.iter().map(|object| number(object, path)).sum()
    }

    /// The worst of a number that may be missing; `None` if it is anywhere.
    fn worst(&self, path: &str) -> Option<f64> {
        let numbers = self
            .0
            .iter()
            .map(|object| object.pointer(path).and_then(Value::as_f64));
        numbers
            .collect::<Option<Vec<f64>>>()?
            .into_iter()
            .reduce(f64::max)
    }

    /// When nothing more was heard of the attackers, in words.
    fn contained(&self) -> String {
        self.worst("/contained_after_s")
            .map_or("not always".to_owned(), |after| format!("{after:.1} s"))
    }

    /// When it was found at the latest, in words.
    fn found(&self) -> String {
        let messages = self.worst("/detected/after_messages");
        match messages.zip(self.worst("/detected/after_s")) {
            Some((messages, seconds)) => format!("{messages} messages, {seconds:.1} s"),
            None => "not always".to_owned(),
        }
    }
}

/// Scans and guesses.
fn knock(
    rows: &mut Vec<Row>,
    harm: &mut Vec<String>,
    results: &Results,
    (command, style): (&str, &str),
) -> anyhow::Result<()> {
    let [edge, pike, fail2ban, freepbx] = RULES.map(|rules| Knocked::of(results, style, rules));
    let beside = |of: &dyn Fn(&Knocked<'_>) -> anyhow::Result<String>| {
        anyhow::Ok(format!(
            "pike {}; fail2ban {}; FreePBX {}",
            of(&pike)?,
            of(&fail2ban)?,
            of(&freepbx)?
        ))
    };
    let mut row = |what: &str, without: String, with: String, bar, met| {
        rows.push(Row {
            what: format!("{command}, {style}: {what}"),
            without,
            with,
            bar,
            met,
        });
    };
    let soon = edge.0.iter().all(|object| {
        let at = |path| object.pointer(path).and_then(Value::as_f64);
        at("/detected/after_messages").is_some_and(|messages| messages <= 5.0)
            || at("/detected/after_s").is_some_and(|seconds| seconds <= 1.0)
    });
    let (bar, met) = match style {
        "scanner" => ("<= 5 messages or 1 s", Some(soon)),
        "distributed" => {
            let messages = edge.worst("/detected/after_messages");
            (
                "<= 50 messages",
                Some(messages.is_some_and(|messages| messages <= 50.0)),
            )
        }
        _ => ("shown only", None),
    };
    row(
        "found at the latest",
        beside(&|it| Ok(it.found()))?,
        edge.found(),
        bar,
        met,
    );
    let count = |path: &'static str| move |it: &Knocked<'_>| Ok(format!("{}", it.sum(path)?));
    if style == "stolen" {
        let alarm = edge.worst("/compromise_after_s");
        let shown = alarm.map_or("not always".to_owned(), |after| format!("{after:.1} s"));
        let met = Some(alarm.is_some_and(|after| after <= 1.0));
        row(
            "alarm after its first use",
            "never".to_owned(),
            shown,
            "<= 1 s",
            met,
        );
    } else {
        let known = edge.learned()?;
        let others = beside(&|it| Ok(format!("{}", it.learned()?)))?;
        row(
            "users and passwords learned",
            others,
            format!("{known}"),
            "0",
            Some(known == 0.0),
        );
    }
    let bans = edge.sum("/false_bans")?;
    row(
        "the business's own banned",
        beside(&count("/false_bans"))?,
        format!("{bans}"),
        "0",
        Some(bans == 0.0),
    );
    let all = edge.sum("/legitimate/succeeded")? == edge.sum("/legitimate/offered")?;
    row(
        "the business's own served",
        beside(&|it| it.served())?,
        edge.served()?,
        "1.0000",
        Some(all),
    );
    let echo = edge.worst("/amplification").unwrap_or(f64::INFINITY);
    row(
        "bytes back for each sent, at most",
        beside(&|it| {
            Ok(it
                .worst("/amplification")
                .map_or("-".to_owned(), |echo| format!("{echo:.2}")))
        })?,
        format!("{echo:.2}"),
        "<= 1.00",
        Some(echo <= 1.0),
    );
    row(
        "addresses met: precision / recall",
        beside(&|it| it.addresses())?,
        edge.addresses()?,
        "shown only",
        None,
    );
    row(
        "contained for good, at the latest",
        beside(&|it| Ok(it.contained()))?,
        edge.contained(),
        "shown only",
        None,
    );
    if bans > 0.0 {
        harm.push(format!("{style}: {bans} bans of the business's own"));
    }
    Ok(())
}

fn fraud(rows: &mut Vec<Row>, results: &Results) -> anyhow::Result<()> {
    let money = |what: &str| sum(results, "fraud", &format!("/money/{what}"));
    let (attempted, before) = (money("attempted")?, money("stopped_before")?);
    let (leaked, real) = (
        money("leaked")?,
        sum(results, "fraud", "/legitimate/international")?,
    );
    let touched = sum(results, "fraud", "/legitimate/international_touched")?;
    let fixed = sum(results, "fraud", "/legitimate/not_overridable")?;
    let share = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
    let mut row = |what: &str, without: String, with: String, bar, met| {
        rows.push(Row {
            what: format!("toll fraud: {what}"),
            without,
            with,
            bar,
            met: Some(met),
        });
    };
    let stopped = share(before, attempted);
    let shown = format!("{:.2} %", 100.0 * stopped);
    row(
        "money stopped before the call",
        "0 %".to_owned(),
        shown,
        ">= 98 %",
        stopped >= 0.98,
    );
    let lost = share(leaked, attempted);
    let shown = format!("{:.2} %", 100.0 * lost);
    row(
        "money lost",
        "100 %".to_owned(),
        shown,
        "<= 2 %",
        lost <= 0.02,
    );
    let bothered = share(touched, real);
    let shown = format!("{:.3} %", 100.0 * bothered);
    row(
        "real calls abroad touched",
        "0 %".to_owned(),
        shown,
        "<= 0.1 %",
        bothered <= 0.001,
    );
    row(
        "of them without a PIN's way out",
        "0".to_owned(),
        format!("{fixed}"),
        "0",
        fixed == 0.0,
    );
    Ok(())
}

/// A capture of real attackers.
fn captured(rows: &mut Vec<Row>, name: &str, object: &Value) -> anyhow::Result<()> {
    let (messages, hostile) = (
        number(object, "/messages")?,
        number(object, "/hostile_messages")?,
    );
    let findings = object.pointer("/findings").and_then(Value::as_array);
    let findings = findings.map_or(0, Vec::len);
    rows.push(Row {
        what: format!("{name}: messages of attackers who were found, in {findings} findings"),
        without: "0".to_owned(),
        with: format!("{hostile} of {messages}"),
        bar: "shown only",
        met: None,
    });
    Ok(())
}

fn table(rows: &[Row], seeds: u64) -> String {
    let mut text = format!(
        "Seeds {} to {}, none of them used for tuning.\n\n\
         | what | without the edge | with it | bar | met |\n|---|---|---|---|---|\n",
        SEEDS.0,
        SEEDS.0 + seeds - 1
    );
    for row in rows {
        let met = match row.met {
            Some(true) => "yes",
            Some(false) => "MISSED",
            None => "-",
        };
        let Row {
            what,
            without,
            with,
            bar,
            ..
        } = row;
        text += &format!("| {what} | {without} | {with} | {bar} | {met} |\n");
    }
    text
}

fn document(table: &str, seeds: u64) -> String {
    format!(
        "# What detection achieves\n\n\
         Written by `cargo xtask eval`{}. Calls that hold the lines: 8 channels, attackers hang up \
         after 60 s, 30 minutes, one Erlang of real calls. \"Without\" is first come, first \
         served. Toll fraud: 16 businesses for 28 days in each seed, each attacked once.\n\n\
         Scans and guesses: four minutes beside eleven phones, four of them behind one \
         address, a phone with a wrong password and a carrier; pike, fail2ban and the rate limit of \
         FreePBX's firewall with their defaults read the same messages. An address is met when it \
         is blocked, held back or refused. Addresses that sent one message each cannot be: there \
         the class is answered, not the address; and spoofed ones must not be.\n\n\
         What no detector can do: calls that come like people's (human, backscatter) at 13 a minute \
         are fewer than four in the first 20 s in 19 of 100 attacks. Three strangers within 20 s \
         come by themselves some 19 times in a business's year, so fewer than four calls raise no \
         alarm that is to be false once a year at most. People who call back (backscatter) pass any \
         challenge; 80 of 100 are assumed to hang up when told that the number was forged, and the \
         others talk like anybody: at 13 a minute they alone ask for 3 lines at all times, at 40 \
         for 8, and nothing tells them from unknown people. Known callers and emergency calls have \
         their lines. Callers lost on a busy day are the price of the line that stays free for an \
         emergency call.\n\n{table}",
        if seeds == SEEDS.1 {
            ""
        } else {
            " with fewer seeds than usual"
        },
    )
}

/// How far it is: in place on a terminal, else a line for each tenth.
fn progress(done: usize, count: usize) {
    if std::io::stderr().is_terminal() {
        eprint!("\r{done} of {count}  ");
    } else if done * 10 / count.max(1) > (done - 1) * 10 / count.max(1) {
        eprintln!("{done} of {count}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tdos(known: f64, emergency: f64, bans: u32, after: f64) -> Value {
        serde_json::json!({
            "legitimate": {"known": {"success": known}, "unknown_human": {"success": 0.95}},
            "emergency": {"success": emergency},
            "false_bans": bans,
            "detected_after_s": after,
            "detection_s": {"p50": after, "p99": after},
            "bound": null,
        })
    }

    #[track_caller]
    fn check(with: &Value, missed: &[&str], harms: usize) {
        let (mut rows, mut harm) = (Vec::new(), Vec::new());
        denial(&mut rows, &mut harm, "x", [&tdos(0.2, 0.9, 0, 0.0), with]).unwrap();
        let found: Vec<&str> = rows
            .iter()
            .filter(|row| row.met == Some(false))
            .map(|row| row.what.as_str())
            .collect();
        assert_eq!((found.as_slice(), harm.len()), (missed, harms));
    }

    #[test]
    fn bars_are_missed_by_name_and_harm_is_told_apart() {
        check(&tdos(0.99, 1.0, 0, 3.0), &[], 0);
        check(&tdos(0.96, 1.0, 0, 3.0), &["x: known callers"], 0);
        check(
            &tdos(0.99, 1.0, 0, 21.0),
            &["x: detected, half / 99 of 100 / at the latest"],
            0,
        );
        check(&tdos(0.99, 0.95, 0, 3.0), &["x: emergency calls"], 0);
        check(&tdos(0.99, 0.8, 1, 3.0), &["x: emergency calls"], 2);
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        assert!(run(&["--seeds".to_owned(), "none".to_owned()]).is_err());
        assert!(run(&["--fast".to_owned()]).is_err());
        assert!(number(&serde_json::json!({"a": "b"}), "/a").is_err());
    }
}

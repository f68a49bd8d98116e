//! `ringfence sim`: the product's own machines against a simulated business, in virtual time.

use std::time::Duration;

use ringfence_base::HashKey;
use ringfence_base::entropy::SeededEntropy;
use ringfence_detect::decision::Decision;
use ringfence_detect::own::NeverBan;
use ringfence_edge::host::processor_time;
use ringfence_edge::judge::shield::{Gate, Shield};
use ringfence_sim::business::{self, BusyDay, Share, Style, Tdos, TdosParameters};
use ringfence_sim::{fraud, perimeter};
use serde::Serialize;

use crate::Exit;
use crate::args::{
    AttackStyle, GuessStyle, PerimeterOptions, PerimeterRules, ScanStyle, SimCommand, TdosOptions,
};

pub(crate) fn sim(command: &SimCommand, json: bool) -> anyhow::Result<Exit> {
    match command {
        SimCommand::Tdos(options) => print(&tdos(options), json, tdos_text),
        SimCommand::Scan(options) => {
            let style = match options.style {
                ScanStyle::Distributed => perimeter::Style::Distributed,
                ScanStyle::Rotating => perimeter::Style::Rotating,
                ScanStyle::Scanner => perimeter::Style::Scanner,
                ScanStyle::Slow => perimeter::Style::Slow,
                ScanStyle::Spoofed => perimeter::Style::Spoofed,
            };
            print(&knocked(style, 0, &options.perimeter), json, perimeter_text)
        }
        SimCommand::Guess(options) => {
            let style = match options.style {
                GuessStyle::Guess => perimeter::Style::Guess,
                GuessStyle::Spray => perimeter::Style::Spray,
                GuessStyle::Stolen => perimeter::Style::Stolen,
                GuessStyle::Stuff => perimeter::Style::Stuff,
            };
            let right = options.right;
            print(
                &knocked(style, right, &options.perimeter),
                json,
                perimeter_text,
            )
        }
        SimCommand::Fraud(options) => {
            let options = fraud::Options {
                seed: options.seed,
                days: options.days,
                businesses: options.businesses,
            };
            print(&fraud::run(&options), json, fraud_text)
        }
        SimCommand::Cost(options) => {
            let options = perimeter::cost::Options {
                seed: options.seed,
                rounds: options.rounds,
                packets: options.packets,
            };
            let report = perimeter::cost::run(&options, &door, &processor_time);
            print(&report, json, cost_text)
        }
        SimCommand::BusyDay(options) => {
            let day = business::busy_day(options.channels, options.load, options.seed);
            print(&day, json, busy_day_text)
        }
    }
}

fn knocked(
    style: perimeter::Style,
    right_pairs: u32,
    options: &PerimeterOptions,
) -> perimeter::Report {
    perimeter::run(&perimeter::Options {
        seed: options.seed,
        style,
        length: Duration::from_secs_f64((options.minutes * 60.0).clamp(0.0, DAY)),
        rules: match options.rules {
            PerimeterRules::Edge => perimeter::Rules::Edge,
            PerimeterRules::Fail2ban => perimeter::Rules::Fail2ban,
            PerimeterRules::Freepbx => perimeter::Rules::FreePbx,
            PerimeterRules::Nobody => perimeter::Rules::Nobody,
            PerimeterRules::Pike => perimeter::Rules::Pike,
        },
        pause: options
            .per_minute
            .map(|per_minute| Duration::from_secs_f64(60.0 / per_minute)),
        right_pairs,
        history: options
            .history
            .map(|days| Duration::from_secs_f64(f64::from(days) * DAY)),
    })
}

/// What a worker has at its socket.
fn door(decisions: &[Decision], never: NeverBan) -> perimeter::cost::Door {
    let key = HashKey::generate(&mut SeededEntropy::new(1));
    let mut gate = Gate::over(key, Shield::new(key, decisions, never));
    Box::new(move |now, from| gate.admits(now, from))
}

fn cost_text(report: &perimeter::cost::Report) -> String {
    let mut text = format!(
        "{} rounds of {} packets each; processor time without the kernel's\n\
         packet       source   us: half (least to most)   bytes in   back  most back for one  dropped\n",
        report.rounds, report.packets
    );
    for cost in &report.costs {
        let source = if cost.source_known {
            "known"
        } else {
            "unknown"
        };
        text += &format!(
            "{:<12} {source:<8} {:>7.2} ({:.2} to {:.2})  {:>9.0} {:>6.0}  {:>8.2}          {:>5.1} %\n",
            format!("{:?}", cost.packet).to_lowercase(),
            cost.cpu_us.median,
            cost.cpu_us.least,
            cost.cpu_us.most,
            cost.bytes_in,
            cost.bytes_back,
            cost.amplification_max,
            100.0 * cost.dropped,
        );
    }
    text
}

fn perimeter_text(report: &perimeter::Report) -> String {
    let found = match report.detected {
        Some(found) => format!(
            "found after {} messages, {:.1} s: {}",
            found.after_messages,
            found.after_s,
            report.kinds.iter().copied().collect::<Vec<_>>().join(", ")
        ),
        None => "not found".to_owned(),
    };
    let alarm = match report.compromise_after_s {
        Some(after) => format!("a password in the wrong hands: alarm after {after:.1} s\n"),
        None => String::new(),
    };
    let right = &report.right_pairs;
    let pairs = match right.tried {
        0 => String::new(),
        tried => format!(
            "leaked    {} of {tried} right pairs let in, {} raised the alarm of their account, {} did not\n",
            right.worked, right.alarmed, right.silent
        ),
    };
    let real = &report.legitimate;
    format!(
        "attackers {} messages, {} dropped unread, {} bytes sent, {} bytes back\n\
         learned   {} users, {} of {} passwords\n\
         {pairs}{found}\n{alarm}\
         business  {} of {} requests as they should be, {} false bans\n",
        report.messages,
        report.dropped,
        report.bytes_sent,
        report.bytes_answered,
        report.users_disclosed,
        report.passwords_found,
        report.passwords_tried,
        real.succeeded,
        real.offered,
        report.false_bans,
    )
}

fn tdos(options: &TdosOptions) -> Tdos {
    let seeds = options.seed..options.seed.saturating_add(options.seeds.max(1));
    let one = |seed| {
        business::tdos(&TdosParameters {
            channels: options.channels,
            rate: options.rate,
            hold: Duration::from_secs_f64(options.hold.clamp(0.0, DAY)),
            length: Duration::from_secs_f64((options.minutes * 60.0).clamp(0.0, DAY)),
            style: match options.style {
                AttackStyle::Backscatter => Style::Backscatter,
                AttackStyle::Flood => Style::Flood,
                AttackStyle::Human => Style::Human,
                AttackStyle::Slow => Style::Slow,
            },
            ramp: Duration::from_secs_f64((options.ramp * 60.0).clamp(0.0, DAY)),
            load: options.load,
            seed,
            guarded: !options.unguarded,
            history: options.history,
        })
    };
    seeds
        .map(one)
        .reduce(|sum, next| sum.plus(&next))
        .unwrap_or_default()
}

const DAY: f64 = 86_400.0;

fn print<T: Serialize>(value: &T, json: bool, text: fn(&T) -> String) -> anyhow::Result<Exit> {
    match json {
        true => println!("{}", serde_json::to_string(value)?),
        false => print!("{}", text(value)),
    }
    Ok(Exit::Ok)
}

fn share(name: &str, share: &Share) -> String {
    let Share {
        offered,
        connected,
        success,
    } = share;
    format!(
        "{name:<18} {connected:>6} of {offered:<6} {:>6.1} %\n",
        success * 100.0
    )
}

fn tdos_text(report: &Tdos) -> String {
    let attack = report.attack;
    let mut text = share("known callers", &report.legitimate.known);
    text += &share("unknown people", &report.legitimate.unknown_human);
    text += &share("emergency calls", &report.emergency);
    text += &format!(
        "attack: {} calls, {} connected, {} asked, {} refused\n",
        attack.offered, attack.connected, attack.screened, attack.shed
    );
    text += &match report.detected_after_s {
        Some(seconds) => format!("detected after {seconds:.1} s\n"),
        None => "not detected\n".to_owned(),
    };
    if let Some(bound) = report.bound {
        text += &format!("perfect screening could carry {:.1} %\n", bound * 100.0);
    }
    text
}

fn busy_day_text(day: &BusyDay) -> String {
    let mut text = share("known callers", &day.legitimate.known);
    text += &share("unknown people", &day.legitimate.unknown_human);
    text += &share("emergency calls", &day.emergency);
    text += &share("without the edge", &day.without_edge);
    text += &format!(
        "{} alarms, {} people asked, {} of them lost, {} harmed on balance\n",
        day.alarms, day.screening.calls, day.screening.humans_lost, day.harmed
    );
    text
}

fn fraud_text(report: &fraud::Report) -> String {
    let (money, real, found) = (&report.money, &report.legitimate, &report.detected_after_s);
    let mut text = format!(
        "{} businesses, {} days, seed {}\n\
         money   {:.2} attempted, {:.2} stopped before the call ({:.2} %), {:.2} cut, {:.2} lost\n\
         callers {} calls abroad, {} touched ({:.3} %), {} not overridable by PIN\n\
         found   after {} s (half), {} s (99 %), {} attacks undetected\n",
        report.businesses,
        report.days,
        report.seed,
        money.attempted,
        money.stopped_before,
        100.0 * money.stopped_before_share,
        money.cut,
        money.leaked,
        real.international,
        real.international_touched,
        100.0 * real.international_touched_share,
        real.not_overridable,
        found.p50,
        found.p99,
        found.undetected,
    );
    for (style, report) in &report.styles {
        text += &format!(
            "  {style:?}: {} attacks, {} of {} calls stopped, {:.2} of {:.2} lost\n",
            report.attacks,
            report.stopped,
            report.calls,
            report.money.leaked,
            report.money.attempted,
        );
    }
    text
}

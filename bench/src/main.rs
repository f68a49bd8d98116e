//! The benchmark: the edge, Kamailio and rtpengine in turns, at equal rate, one table at the end.
//!
//! A ratio in one run beats an absolute time. What is compared is CPU for each call, answer or
//! packet, read from the scheduler's accounting over every thread and process of the program under
//! test. The order turns from round to round, the median counts, and the peer is measured twice in
//! each round: how far its two figures are apart is the noise of the machine, and a difference
//! within it is no result. Media is also measured against a relay that only receives and sends,
//! since a kernel whose UDP is slow leaves no room for a small ratio to anybody. The load shares the cores with what it loads, so capacity is not
//! measured here. `cargo xtask bench` builds and starts this.

// A benchmark reads clocks and talks on the terminal.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

mod calls;
mod detect;
mod index;
mod machine;
mod media;
mod memory;
mod plan;
mod register;
mod sample;
mod table;
mod tls;

use std::process::ExitCode;

use plan::Plan;
use ringfence_peers::media::bare_relay;
use table::Row;

/// A name, what it is, and how it is measured.
type Measurement = (
    &'static str,
    &'static str,
    fn(&Plan) -> anyhow::Result<Vec<Row>>,
);

/// What is measured.
const MEASUREMENTS: &[Measurement] = &[
    (
        "index",
        "framing and header index of a 1,650-byte INVITE",
        index::run,
    ),
    ("options", "OPTIONS answered", calls::options),
    (
        "calls",
        "calls through the edge and through Kamailio",
        calls::calls,
    ),
    ("detect", "calls with detection on and off", detect::calls),
    ("register", "registrations with digest", register::run),
    ("tls", "calls whose caller speaks TLS", tls::calls),
    ("rtp", "RTP packets relayed", media::plain),
    ("srtp", "RTP to SRTP and back", media::protected),
    ("memory", "bytes of an established call", memory::run),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((first, rest)) if first == bare_relay::ARGUMENT => {
            bare_relay::serve(rest.iter().cloned()).map(|()| true)
        }
        _ => run(&arguments),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> anyhow::Result<bool> {
    let Some(plan) = Plan::read(arguments)? else {
        for (name, about, _) in MEASUREMENTS {
            println!("{name:<10} {about}");
        }
        return Ok(true);
    };
    for name in &plan.only {
        if !MEASUREMENTS.iter().any(|(known, ..)| known == name) {
            anyhow::bail!("no measurement `{name}`; --list names them");
        }
    }
    println!("{}", machine::facts());
    let mut rows = Vec::new();
    let mut sound = true;
    for (name, about, measure) in MEASUREMENTS {
        if !plan.only.is_empty() && !plan.only.iter().any(|only| only == name) {
            continue;
        }
        println!("\n== {name}: {about}");
        match measure(&plan) {
            Ok(measured) => rows.extend(measured),
            Err(error) => {
                eprintln!("{name}: {error:#}");
                sound = false;
            }
        }
    }
    println!("\n{}", machine::facts());
    println!("{}", table::print(&rows, plan.judged));
    // Speed never decides; a call that failed does.
    Ok(sound && rows.iter().all(|row| row.failed == 0))
}

//! What a call costs in the core alone: no sockets, one thread. Prints nanoseconds per call.
//!
//! `cargo run --release -p ringfence-session --example core_bench`
#![allow(clippy::print_stdout, clippy::disallowed_methods)] // a tool that measures and prints

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use support::{CARRIER, Caller, PBX, World, sdp};

const CALLS: u32 = 20_000;

fn main() {
    let mut world = World::with(|plan| plan.sites[0].channels = 0);
    let offer = sdp("198.51.100.21", 7000, "");
    let answer = sdp("192.0.2.11", 9000, "");
    let mut spent = Duration::ZERO;
    for number in 0..CALLS {
        let mut caller = Caller::new(CARRIER, "+13305550100");
        caller.call_id = format!("call-{number}@carrier");
        caller.branch = number * 16;
        let step = |world: &mut World, from: &str, text: &str| {
            let start = std::time::Instant::now();
            world.deliver(from, text);
            start.elapsed()
        };
        spent += step(&mut world, CARRIER, &caller.request("INVITE", Some(&offer)));
        let invite = world.take(PBX, "INVITE");
        spent += step(&mut world, PBX, &invite.answer("180 Ringing", PBX, None));
        spent += step(
            &mut world,
            PBX,
            &invite.answer("200 OK", PBX, Some(&answer)),
        );
        caller.learn(&world.take(CARRIER, "200"));
        spent += step(&mut world, CARRIER, &caller.request("ACK", None));
        spent += step(&mut world, CARRIER, &caller.request("BYE", None));
        let bye = world.take(PBX, "BYE");
        spent += step(&mut world, PBX, &bye.answer("200 OK", PBX, None));
        world.sent.clear();
        world.cdrs.clear();
        world.events.clear();
        let start = std::time::Instant::now();
        world.pass(Duration::from_millis(1));
        spent += start.elapsed();
    }
    println!(
        "{} ns per call over {CALLS} calls",
        (spent / CALLS).as_nanos()
    );
}

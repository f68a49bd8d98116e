//! What detection costs: the same calls through the edge with `[detect]` on, and with it off.
//!
//! The edge without it is measured twice, and stands where the peer does.

use ringfence_peers::edge::{self, Edge};
use ringfence_peers::net::Network;

use crate::calls::Load;
use crate::plan::Plan;
use crate::sample::{self, Subject};
use crate::table::Row;

/// CPU for each call, on over off.
pub(crate) fn calls(plan: &Plan) -> anyhow::Result<Vec<Row>> {
    let (with_network, without_network) = (Network::claim()?, Network::claim()?);
    let with_load = Load::new(&with_network, plan.call_rate, plan);
    let without_load = Load::new(&without_network, plan.call_rate, plan);
    let setup = |mode: &str| edge::Setup {
        workers: Some(2),
        media_pairs: 2_000,
        tables: format!("[detect]\nmode = \"{mode}\"\nfirewall = \"off\""),
        ..edge::Setup::default()
    };
    let with = Edge::start(&with_network, &setup("enforce"))?;
    let without = Edge::start(&without_network, &setup("off"))?;
    let off = || without_load.calls(without.pid(), without.outside());
    let samples = sample::in_turns(
        plan.rounds,
        &mut [
            Subject {
                name: "detection off",
                measure: Box::new(off),
            },
            Subject {
                name: "detection on",
                measure: Box::new(|| with_load.calls(with.pid(), with.outside())),
            },
            Subject {
                name: "detection off again",
                measure: Box::new(off),
            },
        ],
    )?;
    let [off, on, again] = samples.as_slice() else {
        anyhow::bail!("three subjects have three series")
    };
    let work = format!(
        "call, detection on, {}/s, {} s",
        plan.call_rate, plan.seconds
    );
    Ok(vec![Row::compared(
        work,
        "edge, detection off",
        1.15,
        off,
        on,
        Some(again),
    )])
}

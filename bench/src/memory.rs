//! Bytes of an established call: memory with many calls up, less memory with none.

use std::net::SocketAddrV4;
use std::time::Duration;

use anyhow::{Context, ensure};
use ringfence_peers::edge::{self, CARRIER, Edge, PBX};
use ringfence_peers::kamailio::Kamailio;
use ringfence_peers::net::Network;
use ringfence_peers::sipp::{self, Sipp};
use ringfence_peers::{usage, wait};

use crate::calls::PROXY;
use crate::plan::Plan;
use crate::table::Row;

/// New calls a second while they are built up: no faster than one generator does without loss.
const RATE: u32 = 500;

/// A call lasts until it has been measured.
const HOLD: Duration = Duration::from_secs(120);

/// Transactions that are over linger this long on UDP (RFC 3261 timers, 64*T1).
const LINGER: Duration = Duration::from_secs(33);

/// What building them up may take longer on a busy machine.
const SLACK: Duration = Duration::from_secs(20);

/// Measures Kamailio with dialog state, and the edge.
pub(crate) fn run(plan: &Plan) -> anyhow::Result<Vec<Row>> {
    let kamailio = {
        let network = Network::claim()?;
        let at = SocketAddrV4::new(network.outside(2), network.sip_port());
        let callee = SocketAddrV4::new(network.inside(PBX), network.sip_port());
        let replace = [("CALLEE", callee.to_string())];
        let kamailio = Kamailio::start(PROXY, at, &replace, &["WITH_DIALOG"])?;
        established(&network, plan, kamailio.pid(), at)?
    };
    let edge = {
        let network = Network::claim()?;
        // Half as many again: the calls need not spread evenly over the workers.
        let media_pairs = u16::try_from(plan.established * 3 / 2 + 100)?;
        let setup = edge::Setup {
            workers: Some(2),
            media_pairs,
            ..edge::Setup::default()
        };
        let edge = Edge::start(&network, &setup)?;
        established(&network, plan, edge.pid(), edge.outside())?
    };
    let row = |when: &str, theirs: f64, ours: f64| Row {
        work: format!("{} calls up, {when}", plan.established),
        peer: "Kamailio + dialog".to_owned(),
        theirs,
        ours,
        unit: "B",
        goal: 6_144.0 / theirs,
        noise: None,
        failed: edge.failed,
        retransmissions: edge.retransmissions,
        drops: edge.drops,
        peers_faults: [kamailio.failed, kamailio.retransmissions, kamailio.drops],
        late: false,
    };
    let mut rows = vec![row("at once", kamailio.at_once, edge.at_once)];
    if let (Some(theirs), Some(ours)) = (kamailio.settled, edge.settled) {
        rows.push(row("after 33 s", theirs, ours));
    }
    Ok(rows)
}

struct Established {
    at_once: f64,
    settled: Option<f64>,
    failed: u64,
    retransmissions: u64,
    drops: u64,
}

fn established(
    network: &Network,
    plan: &Plan,
    pid: u32,
    to: SocketAddrV4,
) -> anyhow::Result<Established> {
    let pbx = SocketAddrV4::new(network.inside(PBX), network.sip_port());
    let carrier = SocketAddrV4::new(network.outside(CARRIER), 5_100);
    let callee = Sipp::callee(sipp::UAS_CALL, pbx).start()?;
    let (before, drops) = (usage::memory(pid), usage::kernel_drops());
    let mut caller = Sipp::caller(sipp::UAC_CALL, carrier, to);
    (caller.rate, caller.hold) = (RATE, HOLD);
    caller.calls = Some(plan.established.into());
    let calling = caller.start()?;
    // Its statistics are a second old at the most.
    let up = || calling.report().map_or(0, |report| report.current);
    let enough = u64::from(plan.established);
    let patience = Duration::from_secs_f64(f64::from(plan.established) / f64::from(RATE)) + SLACK;
    let all = wait::until_true("every call up", patience, || up() >= enough);
    all.with_context(|| format!("{} of {enough}: {}", up(), calling.errors()))?;
    let each = |memory: u64| memory.saturating_sub(before) as f64 / f64::from(plan.established);
    let at_once = each(usage::memory(pid));
    let long = plan.seconds > 2;
    if long {
        wait::measure_for(LINGER);
    }
    let settled = long.then(|| each(usage::memory(pid)));
    ensure!(up() >= enough, "{} calls of {enough} stayed up", up());
    let (made, taken) = (calling.report()?, callee.report()?);
    println!("pid {pid}: {at_once:.0} bytes a call at once, {settled:?} later");
    println!("caller {made:?}, callee {taken:?}");
    Ok(Established {
        at_once,
        settled,
        failed: made.failed + taken.failed,
        retransmissions: made.retransmissions + taken.retransmissions,
        drops: usage::kernel_drops().saturating_sub(drops),
    })
}

//! Signalling: OPTIONS answered, and calls through, by SIPp.

use std::cell::Cell;
use std::net::SocketAddrV4;
use std::time::Duration;

use ringfence_peers::edge::{self, CARRIER, Edge, PBX};
use ringfence_peers::kamailio::Kamailio;
use ringfence_peers::net::Network;
use ringfence_peers::sipp::{self, Sipp};

use crate::plan::Plan;
use crate::sample::{self, Sample, Subject};
use crate::table::Row;

pub(crate) const PROXY: &str = include_str!("../configs/kamailio-proxy.cfg");
const OPTIONS: &str = include_str!("../configs/kamailio-options.cfg");

/// The host of the outside network where Kamailio listens, and with dialog state.
const KAMAILIO: u8 = 2;
const KAMAILIO_DIALOG: u8 = 3;

/// What SIPp may need beyond the length of its load.
pub(crate) const SLACK: Duration = Duration::from_secs(60);

/// OPTIONS answered by Kamailio, stateless, and by the edge.
pub(crate) fn options(plan: &Plan) -> anyhow::Result<Vec<Row>> {
    let network = Network::claim()?;
    let load = Load::new(&network, plan.options_rate, plan);
    let at = |host| SocketAddrV4::new(network.outside(host), network.sip_port());
    let kamailio = Kamailio::start(OPTIONS, at(KAMAILIO), &[], &[])?;
    let edge = Edge::start(
        &network,
        &edge::Setup {
            workers: Some(2),
            ..edge::Setup::default()
        },
    )?;
    let theirs = || load.options(kamailio.pid(), at(KAMAILIO));
    let samples = sample::in_turns(
        plan.rounds,
        &mut [
            Subject {
                name: "kamailio",
                measure: Box::new(theirs),
            },
            Subject {
                name: "edge",
                measure: Box::new(|| load.options(edge.pid(), edge.outside())),
            },
            Subject {
                name: "kamailio again",
                measure: Box::new(theirs),
            },
        ],
    )?;
    let work = format!(
        "OPTIONS answered, {}/s, {} s",
        plan.options_rate, plan.seconds
    );
    let (theirs, ours, again) = (&samples[0], &samples[1], &samples[2]);
    Ok(vec![Row::compared(
        work,
        "Kamailio",
        0.5,
        theirs,
        ours,
        Some(again),
    )])
}

/// Calls through Kamailio as a proxy, with dialog state too, and through the edge with two
/// workers and with one.
pub(crate) fn calls(plan: &Plan) -> anyhow::Result<Vec<Row>> {
    let network = Network::claim()?;
    let one_network = Network::claim()?;
    let load = Load::new(&network, plan.call_rate, plan);
    let one_load = Load::new(&one_network, plan.call_rate, plan);
    let at = |host| SocketAddrV4::new(network.outside(host), network.sip_port());
    let callee = [(
        "CALLEE",
        SocketAddrV4::new(network.inside(PBX), network.sip_port()).to_string(),
    )];
    let proxy = Kamailio::start(PROXY, at(KAMAILIO), &callee, &[])?;
    let dialog = Kamailio::start(PROXY, at(KAMAILIO_DIALOG), &callee, &["WITH_DIALOG"])?;
    let setup = |workers| edge::Setup {
        workers: Some(workers),
        media_pairs: 2_000,
        ..edge::Setup::default()
    };
    let two = Edge::start(&network, &setup(2))?;
    let one = Edge::start(&one_network, &setup(1))?;
    let with_dialog = || load.calls(dialog.pid(), at(KAMAILIO_DIALOG));
    let samples = sample::in_turns(
        plan.rounds,
        &mut [
            Subject {
                name: "kamailio proxy",
                measure: Box::new(|| load.calls(proxy.pid(), at(KAMAILIO))),
            },
            Subject {
                name: "kamailio dialog",
                measure: Box::new(with_dialog),
            },
            Subject {
                name: "edge, 2 workers",
                measure: Box::new(|| load.calls(two.pid(), two.outside())),
            },
            Subject {
                name: "kamailio dialog again",
                measure: Box::new(with_dialog),
            },
            Subject {
                name: "edge, 1 worker",
                measure: Box::new(|| one_load.calls(one.pid(), one.outside())),
            },
        ],
    )?;
    let [proxy, dialog, two, again, one] = samples.as_slice() else {
        anyhow::bail!("five subjects have five series")
    };
    let work = |what: &str| format!("call{what}, {}/s, {} s", plan.call_rate, plan.seconds);
    Ok(vec![
        Row::compared(work(""), "Kamailio proxy", 0.75, proxy, two, None),
        Row::compared(work(""), "Kamailio + dialog", 0.5, dialog, two, Some(again)),
        Row::compared(
            work(", 1 worker"),
            "Kamailio + dialog",
            0.5,
            dialog,
            one,
            Some(again),
        ),
        Row::compared(
            work(", 2 workers over 1"),
            "edge, 1 worker",
            1.2,
            one,
            two,
            None,
        ),
    ])
}

/// A carrier that makes the load, and a PBX that takes it.
pub(crate) struct Load {
    carrier: std::net::Ipv4Addr,
    pbx: SocketAddrV4,
    rate: u32,
    length: Duration,
    /// Each run has a port of its own: nothing late of the run before reaches it.
    port: Cell<u16>,
}

impl Load {
    pub(crate) fn new(network: &Network, rate: u32, plan: &Plan) -> Load {
        Load {
            carrier: network.outside(CARRIER),
            pbx: SocketAddrV4::new(network.inside(PBX), network.sip_port()),
            rate,
            length: plan.length(),
            port: Cell::new(5_100),
        }
    }

    fn caller(&self, scenario: &str, to: SocketAddrV4) -> Sipp {
        let port = self.port.get();
        self.port.set(port + 1);
        let mut caller = Sipp::caller(scenario, SocketAddrV4::new(self.carrier, port), to);
        caller.rate = self.rate;
        caller.calls = Some(u64::from(self.rate) * self.length.as_secs());
        caller
    }

    fn options(&self, pid: u32, to: SocketAddrV4) -> anyhow::Result<Sample> {
        let caller = self.caller(sipp::UAC_OPTIONS, to);
        let (report, used, drops) = sample::cpu_during(pid, || caller.run(self.length + SLACK))?;
        Ok(Sample {
            cpu_us: sample::each(used, report.succeeded),
            failed: report.failed,
            retransmissions: report.retransmissions,
            drops,
            late: false,
        })
    }

    pub(crate) fn calls(&self, pid: u32, to: SocketAddrV4) -> anyhow::Result<Sample> {
        self.calls_over("u1", pid, to)
    }

    /// Calls to `to`, where SIPp speaks `transport`.
    pub(crate) fn calls_over(
        &self,
        transport: &'static str,
        pid: u32,
        to: SocketAddrV4,
    ) -> anyhow::Result<Sample> {
        let callee = Sipp::callee(sipp::UAS_CALL, self.pbx).start()?;
        let mut caller = self.caller(sipp::UAC_CALL, to);
        caller.transport = transport;
        let (report, used, drops) = sample::cpu_during(pid, || caller.run(self.length + SLACK))?;
        let taken = callee.end()?;
        Ok(Sample {
            cpu_us: sample::each(used, report.succeeded),
            failed: report.failed + taken.failed,
            retransmissions: report.retransmissions + taken.retransmissions,
            drops,
            late: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_through_kamailio_are_counted() {
        let name = "calls_through_kamailio_are_counted";
        if !ringfence_peers::tools::need(name, &["sipp", "kamailio"]) {
            return;
        }
        let plan = Plan::read(&["--quick".to_owned()])
            .expect("understood")
            .expect("a plan");
        let network = Network::claim().expect("a network");
        let load = Load::new(&network, 50, &plan);
        let at = SocketAddrV4::new(network.outside(KAMAILIO), network.sip_port());
        let callee = [("CALLEE", load.pbx.to_string())];
        let proxy = Kamailio::start(PROXY, at, &callee, &["WITH_DIALOG"]).expect("started");
        let sample = load.calls(proxy.pid(), at).expect("measured");
        assert!(sample.failed == 0 && sample.cpu_us > 10.0, "{sample:?}");
        let sample = load.options(proxy.pid(), at).expect("measured");
        assert!(sample.failed == 0 && sample.cpu_us > 1.0, "{sample:?}");
    }
}

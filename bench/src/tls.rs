//! Calls whose caller speaks TLS: one connection, many calls, the callee on UDP.
//!
//! Debian's SIPp has no TLS. It speaks TCP to an `ncat` that speaks TLS to the program under test;
//! what that costs is the load's and is not counted.

use std::net::SocketAddrV4;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use ringfence_peers::edge::{self, CARRIER, Edge, PBX};
use ringfence_peers::kamailio::Kamailio;
use ringfence_peers::net::{self, Network};
use ringfence_peers::process::Process;
use ringfence_peers::wait;

use crate::calls::{Load, PROXY};
use crate::plan::Plan;
use crate::sample::{self, Subject};
use crate::table::Row;

/// The host of the outside network where Kamailio listens.
const KAMAILIO: u8 = 2;

/// Calls through Kamailio with dialog state and through the edge.
pub(crate) fn calls(plan: &Plan) -> anyhow::Result<Vec<Row>> {
    let network = Network::claim()?;
    let load = Load::new(&network, plan.call_rate, plan);
    let folder = tempfile::tempdir()?;
    let identity = identity(folder.path())?;
    let kamailio_tls = SocketAddrV4::new(network.outside(KAMAILIO), network.tls_port());
    let callee = SocketAddrV4::new(network.inside(PBX), network.sip_port());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let kamailio = Kamailio::start(
        PROXY,
        SocketAddrV4::new(network.outside(KAMAILIO), network.sip_port()),
        &[
            ("CALLEE", callee.to_string()),
            ("TLS", kamailio_tls.to_string()),
            ("CERTIFICATE", file(CERTIFICATE)),
            ("KEY", file(KEY)),
        ],
        &["WITH_DIALOG", "WITH_TLS"],
    )?;
    let edge = Edge::start(
        &network,
        &edge::Setup {
            workers: Some(2),
            media_pairs: 2_000,
            trunk_transport: "tls",
            identity: Some(identity),
            ..edge::Setup::default()
        },
    )?;
    let to_kamailio = Wrapper::start(&network, kamailio_tls)?;
    let to_edge = Wrapper::start(&network, edge.outside_tls())?;
    let theirs = || load.calls_over("t1", kamailio.pid(), to_kamailio.at);
    let samples = sample::in_turns(
        plan.rounds,
        &mut [
            Subject {
                name: "kamailio dialog",
                measure: Box::new(theirs),
            },
            Subject {
                name: "edge, 2 workers",
                measure: Box::new(|| load.calls_over("t1", edge.pid(), to_edge.at)),
            },
            Subject {
                name: "kamailio dialog again",
                measure: Box::new(theirs),
            },
        ],
    )?;
    let work = format!("call, TLS leg, {}/s, {} s", plan.call_rate, plan.seconds);
    let (theirs, ours, again) = (&samples[0], &samples[1], &samples[2]);
    Ok(vec![Row::compared(
        work,
        "Kamailio + dialog",
        0.5,
        theirs,
        ours,
        Some(again),
    )])
}

/// TCP in, TLS out, from the carrier's address.
struct Wrapper {
    _process: Process,
    at: SocketAddrV4,
}

impl Wrapper {
    fn start(network: &Network, to: SocketAddrV4) -> anyhow::Result<Wrapper> {
        let carrier = network.outside(CARRIER);
        let at = net::free_port(carrier)?;
        let inner = format!(
            "exec ncat --ssl --source {carrier} {} {}",
            to.ip(),
            to.port()
        );
        let mut command = Command::new("ncat");
        command.args(["--listen", "--keep-open", "--sh-exec", &inner]);
        command.args([at.ip().to_string(), at.port().to_string()]);
        let process = Process::start("ncat", &mut command)?;
        wait::until_true("ncat listening", wait::SOON, || net::is_bound(at, false))?;
        Ok(Wrapper {
            _process: process,
            at,
        })
    }
}

const CERTIFICATE: &str = "server.pem";
const KEY: &str = "server.key";

/// A certificate for both programs, with its key, as PEM.
fn identity(folder: &Path) -> anyhow::Result<(String, String)> {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=bench"])
        .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-addext", "subjectAltName=DNS:bench.test"])
        .args(["-keyout", KEY, "-out", CERTIFICATE])
        .current_dir(folder)
        .output()
        .context("openssl")?;
    ensure!(
        made.status.success(),
        "openssl: {}",
        String::from_utf8_lossy(&made.stderr)
    );
    let read = |name| std::fs::read_to_string(folder.join(name));
    Ok((read(CERTIFICATE)?, read(KEY)?))
}

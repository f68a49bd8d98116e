//! Registrations with digest: REGISTER, 401, REGISTER with credentials, 200.

use std::fmt::Write as _;
use std::net::SocketAddrV4;

use ringfence_peers::edge::{self, CARRIER, Edge};
use ringfence_peers::kamailio::Kamailio;
use ringfence_peers::net::Network;
use ringfence_peers::sipp::{self, Sipp};

use crate::plan::Plan;
use crate::sample::{self, Sample, Subject};
use crate::table::Row;

const REGISTRAR: &str = include_str!("../configs/kamailio-registrar.cfg");

/// The host of the outside network where Kamailio listens.
const KAMAILIO: u8 = 2;

/// Users that register again and again, one after the other.
const USERS: u32 = 20_000;

/// What the configuration of Kamailio says as well.
const REALM: &str = "bench.test";
const PASSWORD: &str = "secret123";

/// Registrations at Kamailio, which keeps them in memory, and at the edge.
pub(crate) fn run(plan: &Plan) -> anyhow::Result<Vec<Row>> {
    let network = Network::claim()?;
    let folder = tempfile::tempdir()?;
    let (mut theirs, mut ours) = (String::from("SEQUENTIAL\n"), String::new());
    for user in 0..USERS {
        let _ = writeln!(
            theirs,
            "u{user:06};[authentication username=u{user:06} password={PASSWORD}]"
        );
        let _ = writeln!(ours, "u{user:06},{PASSWORD}");
    }
    let (load_users, edge_users) = (
        folder.path().join("load.csv"),
        folder.path().join("users.csv"),
    );
    std::fs::write(&load_users, theirs)?;
    std::fs::write(&edge_users, ours)?;
    let at = SocketAddrV4::new(network.outside(KAMAILIO), network.sip_port());
    let kamailio = Kamailio::start(REGISTRAR, at, &[], &[])?;
    let tables = format!(
        "[phones.bench]\nsite = \"summit\"\nlisten = \"outside\"\nrealm = \"{REALM}\"\n\
         users = {{ file = \"{}\" }}\n",
        edge_users.display()
    );
    let edge = Edge::start(
        &network,
        &edge::Setup {
            workers: Some(2),
            tables,
            ..edge::Setup::default()
        },
    )?;
    // Phones come from elsewhere than the carrier.
    let from = network.outside(CARRIER + 1);
    // Always the same contacts, as of phones that refresh theirs: a user who gains one with every round
    // gets longer answers each time.
    let load = |pid: u32, to: SocketAddrV4| -> anyhow::Result<Sample> {
        let mut phones = Sipp::caller(sipp::UAC_REGISTER, SocketAddrV4::new(from, 5_101), to);
        REALM.clone_into(&mut phones.service);
        phones.rate = plan.call_rate;
        phones.calls = Some(u64::from(plan.call_rate) * plan.length().as_secs());
        phones.extra = vec!["-inf".to_owned(), load_users.display().to_string()];
        let (report, used, drops) =
            sample::cpu_during(pid, || phones.run(plan.length() + crate::calls::SLACK))?;
        Ok(Sample {
            cpu_us: sample::each(used, report.succeeded),
            failed: report.failed,
            retransmissions: report.retransmissions,
            drops,
            late: false,
        })
    };
    let peer = || load(kamailio.pid(), at);
    let ours = || load(edge.pid(), edge.outside());
    // The first registration of each user is not measured.
    peer()?;
    ours()?;
    let samples = sample::in_turns(
        plan.rounds,
        &mut [
            Subject {
                name: "kamailio",
                measure: Box::new(peer),
            },
            Subject {
                name: "edge, 2 workers",
                measure: Box::new(ours),
            },
            Subject {
                name: "kamailio again",
                measure: Box::new(peer),
            },
        ],
    )?;
    let work = format!(
        "registration, digest, {}/s, {} s",
        plan.call_rate, plan.seconds
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

//! Floods by SIPp from strangers whose addresses nothing proves: registered phones, the phone system
//! and whoever calls for help get through beside them, and nobody gets more bytes than he sends.

use ringfence_conformance::scene::A_WHILE;
use ringfence_conformance::town::{FAR_NUMBER, Town};
use ringfence_peers::edge::Setup;
use ringfence_peers::wait;

/// Requests a second of each flood.
const RATE: u32 = 300;
/// Datagrams that arrive before calls are made beside them, and again while they are.
const MANY: f64 = 3_000.0;
/// What detection may need, whatever comes.
const MEMORY_MAX: f64 = 32e6;
/// What the whole process may grow by: buffers, and tables that were not touched before.
const GROWTH_MAX: f64 = 64e6;

#[track_caller]
fn metric(town: &Town, name: &str) -> f64 {
    town.edge().metric(name).expect("metrics")
}

/// Waits until the edge has received so many more datagrams.
#[track_caller]
fn flooded(town: &Town, more: f64) {
    let received = || metric(town, "ringfence_datagrams_received_total");
    let before = received();
    wait::until_true("the flood arrives", A_WHILE, || received() >= before + more)
        .unwrap_or_else(|error| panic!("{error}:\n{}", town.edge().counted()));
}

/// INVITEs without an end: no ACK, no CANCEL, and each is sent again as SIPp does it.
const HALF_OPEN: &str = include_str!("../scenarios/uac_half_open.xml");

#[test]
fn floods_of_strangers_stop_no_phone_and_no_call_for_help() {
    let name = "floods_of_strangers_stop_no_phone_and_no_call_for_help";
    let programs = ["sipp", "kamailio", "baresip"];
    let Some(town) = Town::open(name, &programs, &Setup::default()) else {
        return;
    };
    let (_carrier, _pbx) = (town.open_carrier(), town.open_pbx());
    let mut phone = town.open_phone();
    let resident = metric(&town, "ringfence_resident_bytes");

    let sources = [66, 67, 68].map(|host| town.stranger(host));
    let floods = [
        town.flood(sources[0], 5_060, "INVITE", RATE),
        town.flood(sources[1], 5_060, "REGISTER", RATE),
        town.flood_of(HALF_OPEN, sources[2], 5_060, RATE),
    ];
    flooded(&town, MANY);
    town.phone_calls(&mut phone, FAR_NUMBER);
    town.phone_calls(&mut phone, "911");
    town.calls_go_out("911", 1);
    town.calls_come_in(2);
    flooded(&town, MANY);

    // Each is named, slowed, and never banned: the address could be anybody's.
    for source in sources {
        wait::until_true("it is named and slowed", A_WHILE, || {
            let (found, decided) = town.said_of(source);
            !found.is_empty() && decided.contains(&"tarpit".to_owned())
        })
        .unwrap_or_else(|error| {
            panic!(
                "{error}: {source}: {:?}\n{}",
                town.said_of(source),
                town.edge().counted()
            )
        });
        let (found, decided) = town.said_of(source);
        let hostile = ["flood", "scan", "enumeration"];
        assert!(
            found.iter().all(|kind| hostile.contains(&kind.as_str())),
            "{found:?}"
        );
        assert!(
            decided.iter().all(|action| action == "tarpit"),
            "{decided:?}"
        );
        assert!(!town.kernel_has("drop4", source));
    }
    drop(floods);

    // What the street sent and what it got, counted by the kernel at the edge's end of its cable.
    let (came, went) = town.host.bytes("street0").expect("counted");
    assert!(came > 0 && went <= came, "{went} bytes for {came}");
    let counted = || town.edge().counted();
    let memory = metric(&town, "ringfence_detect_memory_bytes");
    assert!(memory < MEMORY_MAX, "{memory}:\n{}", counted());
    let growth = metric(&town, "ringfence_resident_bytes") - resident;
    assert!(growth < GROWTH_MAX, "{growth}:\n{}", counted());
    assert_eq!(metric(&town, "ringfence_worker_panics_total"), 0.0);
    // No call and no transaction of a stranger is kept.
    wait::until_true("nothing stays", A_WHILE, || {
        metric(&town, "ringfence_calls") == 0.0
    })
    .unwrap_or_else(|error| panic!("{error}:\n{}", counted()));
    town.phone_calls(&mut phone, FAR_NUMBER);
}

//! Packets that claim to come from the customer's own: the address of Kamailio, the carrier, and of a
//! phone that is registered. Nobody is shut out for what somebody else writes as his source.

use std::net::Ipv4Addr;

use ringfence_conformance::scene::A_WHILE;
use ringfence_conformance::town::{FAR_NUMBER, PHONE, Town};
use ringfence_peers::edge::Setup;
use ringfence_peers::wait;

/// Datagrams that are on their way at least before and after the calls that must go through.
const MANY: f64 = 1_500.0;
const RATE: u32 = 300;

/// Waits until the edge has received so many more datagrams.
#[track_caller]
fn flooded(town: &Town, more: f64) {
    let received = || {
        let counted = town.edge().metric("ringfence_datagrams_received_total");
        counted.expect("metrics")
    };
    let before = received();
    wait::until_true("the flood arrives", A_WHILE, || received() >= before + more)
        .unwrap_or_else(|error| panic!("{error}:\n{}", town.edge().counted()));
}

/// Nobody of the customer's was slowed, limited or blocked, nor is: not by a decision, not at a
/// socket, not in the kernel.
#[track_caller]
fn check_free(town: &Town, own: Ipv4Addr) {
    let (found, decided) = town.said_of(own);
    assert!(decided.is_empty(), "{own}: {decided:?} for {found:?}");
    let against = |block: &serde_json::Value| block["subject"].to_string();
    let blocks: Vec<_> = town.blocks().iter().map(against).collect();
    assert!(
        !blocks
            .iter()
            .any(|subject| subject.contains(&own.to_string())),
        "{blocks:?}"
    );
    assert!(!town.kernel_has("drop4", own));
    let dropped = town.edge().metric("ringfence_detect_dropped_total");
    assert_eq!(dropped.expect("metrics"), 0.0, "{own}");
}

#[test]
fn a_carrier_whose_address_is_spoofed_goes_on_calling_and_being_called() {
    let name = "a_carrier_whose_address_is_spoofed_goes_on_calling_and_being_called";
    let setup = Setup {
        // Numbers that the flood makes up are nobody's.
        any_number: false,
        ..Setup::default()
    };
    let programs = ["svmap", "svwar", "sipp", "kamailio"];
    let Some(town) = Town::open(name, &programs, &setup) else {
        return;
    };
    let (_carrier, _pbx) = (town.open_carrier(), town.open_pbx());
    town.calls_come_in(1);
    let carrier = town.carrier_address();
    town.scan("svmap", carrier, &["-m", "OPTIONS"]);
    town.scan(
        "svwar",
        carrier,
        &[
            "--force",
            "-e",
            "100-140",
            "-m",
            "INVITE",
            "--maximumtime",
            "3",
        ],
    );
    let floods = [
        town.flood(carrier, 5_060, "OPTIONS", RATE),
        town.flood(carrier, 5_061, "REGISTER", RATE),
        town.flood(carrier, 5_062, "INVITE", RATE),
    ];
    flooded(&town, MANY);
    town.calls_come_in(2);
    town.calls_go_out(FAR_NUMBER, 2);
    town.calls_go_out("911", 1);
    flooded(&town, MANY);
    check_free(&town, carrier);
    drop(floods);
    town.calls_come_in(1);
    check_free(&town, carrier);
}

#[test]
fn a_phone_whose_address_is_spoofed_goes_on_calling() {
    let name = "a_phone_whose_address_is_spoofed_goes_on_calling";
    let programs = ["svmap", "svwar", "svcrack", "sipp", "kamailio", "baresip"];
    let Some(town) = Town::open(name, &programs, &Setup::default()) else {
        return;
    };
    let (_carrier, _pbx) = (town.open_carrier(), town.open_pbx());
    let mut phone = town.open_phone();
    town.scan("svmap", PHONE, &["-m", "OPTIONS"]);
    let domain = ["--domain", "summit.example", "--maximumtime", "3"];
    let extensions = ["--force", "-e", "100-140", "-m", "REGISTER"];
    town.scan("svwar", PHONE, &[extensions.as_slice(), &domain].concat());
    let guesses = ["-u", "alice", "-r", "100-140"];
    town.scan("svcrack", PHONE, &[guesses.as_slice(), &domain].concat());
    let floods = [
        town.flood(PHONE, 6_060, "OPTIONS", RATE),
        town.flood(PHONE, 6_061, "REGISTER", RATE),
        town.flood(PHONE, 6_062, "INVITE", RATE),
    ];
    flooded(&town, MANY);
    town.phone_calls(&mut phone, FAR_NUMBER);
    town.phone_calls(&mut phone, "911");
    town.calls_come_in(1);
    flooded(&town, MANY);
    check_free(&town, PHONE);
    drop(floods);
    town.phone_calls(&mut phone, FAR_NUMBER);
    check_free(&town, PHONE);
}

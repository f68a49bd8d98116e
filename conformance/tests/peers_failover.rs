//! Calls that go on to another trunk or another address of one, with real sockets and a real DNS
//! server.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::process::Command;
use std::time::Duration;

use ringfence_conformance::scene::{A_WHILE, From, Scene};
use ringfence_peers::edge::{EDGE, Edge, Setup};
use ringfence_peers::net::{self, Network};
use ringfence_peers::process::Process;
use ringfence_peers::sipp::{self, Report, Sipp};
use ringfence_peers::{tools, wait};

/// Hosts outside beside the carrier's.
const SECOND: u8 = 21;
const FIRST_HOST: u8 = 31;
const SECOND_HOST: u8 = 32;
const THIRD_HOST: u8 = 33;

/// What the records of the DNS server are valid for, in seconds: the least that is looked at.
const TTL: u32 = 10;

/// A trunk behind `carrier`, tried when that one fails.
fn second_trunk(peer: &str, priority: u16, more: &str) -> String {
    format!(
        "[trunk.second]\nsite = \"summit\"\nlisten = \"outside\"\npeer = \"{peer}\"\n\
         priority = {priority}\n{more}\n"
    )
}

/// A scene with a second trunk at host [`SECOND`].
fn two_trunks(test: &str) -> Option<(Scene, SocketAddrV4)> {
    if !tools::need(test, &["sipp"]) {
        return None;
    }
    let network = Network::claim().expect("a network of our own");
    let second = SocketAddrV4::new(network.outside(SECOND), network.sip_port());
    let setup = Setup {
        tables: second_trunk(&format!("sip:{second}"), 2, ""),
        ..Setup::default()
    };
    let edge = Edge::start(&network, &setup).expect("the edge starts");
    Some((Scene { network, edge }, second))
}

/// The PBX makes `calls` calls.
#[track_caller]
fn call(scene: &Scene, scenario: &str, calls: u64) -> Report {
    let mut caller = scene.caller(From::Pbx, scenario);
    (caller.calls, caller.rate) = (Some(calls), 10);
    caller.run(A_WHILE).expect("calls")
}

fn quarantined(scene: &Scene) -> bool {
    let count = scene.edge.metric("ringfence_peer_quarantined");
    count.is_ok_and(|count| count > 0.0)
}

#[test]
fn a_trunk_that_goes_silent_loses_no_call_and_comes_back_after_a_proof() {
    let name = "a_trunk_that_goes_silent_loses_no_call_and_comes_back_after_a_proof";
    let Some((scene, second)) = two_trunks(name) else {
        return;
    };
    let first = scene.callee(From::Pbx, sipp::UAS_CALL).start();
    let second = Sipp::callee(sipp::UAS_CALL, second)
        .start()
        .expect("a callee");
    assert_eq!(call(&scene, sipp::UAC_CALL, 5).succeeded, 5, "on the first");
    let before = first.expect("a callee").end().expect("counted");
    assert_eq!(before.succeeded, 5);

    // Its address takes everything and says nothing.
    let silent = wait::until("the first trunk's address", wait::SOON, || {
        UdpSocket::bind(scene.carrier()).ok()
    });
    let silent = silent.expect("silence");
    let made = call(&scene, sipp::UAC_CALL, 10);
    assert_eq!(
        (made.succeeded, made.failed),
        (10, 0),
        "{}",
        scene.edge.counted()
    );
    assert!(quarantined(&scene));

    drop(silent);
    let first = scene
        .callee(From::Pbx, sipp::UAS_CALL)
        .start()
        .expect("it is back");
    wait::until_true("the first trunk is in use again", 2 * A_WHILE, || {
        let made = call(&scene, sipp::UAC_CALL, 1);
        assert_eq!(
            (made.succeeded, made.failed),
            (1, 0),
            "a call while it comes back"
        );
        !quarantined(&scene)
    })
    .expect("a proof brings it back");
    assert!(first.end().expect("counted").succeeded > 0);
    assert_eq!(second.end().expect("counted").failed, 0);
}

#[test]
fn a_busy_callee_is_not_rung_again_by_way_of_the_second_trunk() {
    let name = "a_busy_callee_is_not_rung_again_by_way_of_the_second_trunk";
    let Some((scene, second)) = two_trunks(name) else {
        return;
    };
    let busy = include_str!("../scenarios/uas_busy.xml");
    for (scenario, status) in [
        (busy.to_owned(), "486"),
        (busy.replace("486 Busy Here", "603 Decline"), "603"),
    ] {
        let first = scene
            .callee(From::Pbx, &scenario)
            .start()
            .expect("a callee");
        let other = Sipp::callee(sipp::UAS_CALL, second)
            .start()
            .expect("a callee");
        let caller = include_str!("../scenarios/uac_busy.xml").replace("486", status);
        let made = call(&scene, &caller, 3);
        assert_eq!(
            (made.succeeded, made.failed),
            (3, 0),
            "{status} reaches the caller"
        );
        first.end().expect("counted");
        let other = other.end().expect("counted");
        assert_eq!((other.succeeded, other.current), (0, 0), "{status}");
    }
}

/// A DNS server that knows `carrier.test` by NAPTR and SRV, with a priority and a weight for each
/// of its hosts.
fn name_server(at: SocketAddrV4, port: u16, hosts: &[(Ipv4Addr, u16, u16)]) -> Process {
    let mut command = Command::new(tools::find("dnsmasq").expect("dnsmasq"));
    command.args([
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--bind-interfaces",
        "--pid-file=",
        "--user=",
        "--log-queries",
        "--log-facility=-",
    ]);
    command.args([
        format!("--listen-address={}", at.ip()),
        format!("--port={}", at.port()),
        format!("--local-ttl={TTL}"),
        "--naptr-record=carrier.test,10,10,s,SIP+D2U,,_sip._udp.carrier.test".to_owned(),
        "--naptr-record=carrier.test,20,10,s,SIP+D2T,,_sip._tcp.carrier.test".to_owned(),
    ]);
    for (index, (address, priority, weight)) in hosts.iter().enumerate() {
        let host = format!("host{index}.carrier.test");
        command.args([
            format!("--srv-host=_sip._udp.carrier.test,{host},{port},{priority},{weight}"),
            format!("--host-record={host},{address},{TTL}"),
        ]);
    }
    let mut server = Process::start("dnsmasq", &mut command).expect("dnsmasq starts");
    let listens = wait::until_true("dnsmasq listens", wait::SOON, || net::is_bound(at, true));
    assert!(listens.is_ok() && server.is_running(), "{}", server.tail());
    server
}

#[test]
fn a_trunk_by_name_is_found_by_naptr_srv_and_a_and_fails_over_along_them_rfc3263_4() {
    let name = "a_trunk_by_name_is_found_by_naptr_srv_and_a_and_fails_over_along_them_rfc3263_4";
    if !tools::need(name, &["sipp", "dnsmasq"]) {
        return;
    }
    let network = Network::claim().expect("a network of our own");
    let port = network.sip_port();
    let [one, two, three] = [FIRST_HOST, SECOND_HOST, THIRD_HOST].map(|host| network.outside(host));
    let dns = net::free_port(network.outside(EDGE)).expect("a port");
    let server = name_server(dns, port, &[(one, 10, 3), (two, 10, 1)]);
    let setup = Setup {
        edge_lines: format!("dns = [\"{dns}\"]"),
        trunk_lines: "priority = 9".to_owned(),
        tables: second_trunk("sip:carrier.test", 1, ""),
        ..Setup::default()
    };
    let edge = Edge::start(&network, &setup).expect("the edge starts");
    let scene = Scene { network, edge };
    assert!(
        server
            .lines()
            .iter()
            .any(|line| line.contains("query[NAPTR] carrier.test"))
    );
    let callee = |host: Ipv4Addr| {
        let callee = Sipp::callee(sipp::UAS_CALL, SocketAddrV4::new(host, port));
        callee.start().expect("a callee")
    };

    // By weight.
    let (first, second) = (callee(one), callee(two));
    let made = call(&scene, sipp::UAC_CALL, 60);
    assert_eq!(
        (made.succeeded, made.failed),
        (60, 0),
        "{}",
        scene.edge.counted()
    );
    let first = first.end().expect("counted").succeeded;
    // It writes its counts now and then.
    wait::until_true("all are counted", wait::SOON, || {
        second
            .report()
            .is_ok_and(|second| first + second.succeeded == 60)
    })
    .expect("sixty in all");
    assert!(first > 30 && first < 60, "three of four, not {first} of 60");

    // The first host is gone: no call is lost, and it is remembered.
    let made = call(&scene, sipp::UAC_CALL, 10);
    assert_eq!(
        (made.succeeded, made.failed),
        (10, 0),
        "{}",
        scene.edge.counted()
    );
    let failed_over = || {
        scene
            .edge
            .metric("ringfence_calls_failed_over_total")
            .expect("a metric")
    };
    let tried = failed_over();
    assert!(tried >= 1.0, "somebody had to find out");
    let made = call(&scene, sipp::UAC_CALL, 20);
    assert_eq!((made.succeeded, made.failed), (20, 0));
    assert!(failed_over() <= tried + 1.0, "the dead host is passed over");
    second.end().expect("counted");

    // The records expire, and the new ones name another host.
    drop(server);
    let _server = wait::until("the port of the server", wait::SOON, || {
        (!net::is_bound(dns, true)).then(|| name_server(dns, port, &[(three, 10, 1)]))
    });
    let third = callee(three);
    wait::until_true("a call to the new host", 2 * A_WHILE, || {
        // SIPp does not end after a refusal that its scenario does not name.
        let mut caller = scene.caller(From::Pbx, sipp::UAC_CALL);
        caller.calls = Some(1);
        let made = caller.run(Duration::from_secs(5));
        made.is_ok_and(|made| made.succeeded == 1)
    })
    .unwrap_or_else(|error| panic!("{error}:\n{}", scene.edge.counted()));
    assert!(third.end().expect("counted").succeeded >= 1);
}

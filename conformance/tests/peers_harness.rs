//! The harness against itself: when one of these fails, a failure of the tests of the edge says
//! nothing about the edge.

use std::net::SocketAddrV4;
use std::time::Duration;

use ringfence_conformance::certificates::Authority;
use ringfence_peers::baresip::{self, Baresip};
use ringfence_peers::kamailio::Kamailio;
use ringfence_peers::net::Network;
use ringfence_peers::sipp::{self, Sipp};
use ringfence_peers::tshark::Capture;
use ringfence_peers::{tools, wait};

/// Scenarios by file name.
macro_rules! scenario {
    ($name:literal) => {
        include_str!(concat!("../scenarios/", $name, ".xml"))
    };
}

#[test]
fn sipp_calls_sipp_through_kamailio() {
    if !tools::need("sipp_calls_sipp_through_kamailio", &["sipp", "kamailio"]) {
        return;
    }
    let network = Network::claim().expect("a network");
    let at = |host| SocketAddrV4::new(network.outside(host), network.sip_port());
    let config = include_str!("../../bench/configs/kamailio-proxy.cfg");
    let callee = Sipp::callee(sipp::UAS_CALL, at(3))
        .start()
        .expect("a callee");
    let replace = [("CALLEE", at(3).to_string())];
    let _proxy = Kamailio::start(config, at(1), &replace, &[]).expect("kamailio");
    let mut caller = Sipp::caller(sipp::UAC_CALL, at(2), at(1));
    (caller.calls, caller.rate) = (Some(20), 20);
    let report = caller.run(Duration::from_secs(30)).expect("calls");
    assert_eq!((report.succeeded, report.failed), (20, 0));
    assert_eq!(callee.end().expect("counted").failed, 0);
}

/// The scenarios that the edge is tested with, through a program that is known to be right.
#[test]
fn the_scenarios_agree_with_each_other_through_kamailio() {
    let name = "the_scenarios_agree_with_each_other_through_kamailio";
    if !tools::need(name, &["sipp", "kamailio"]) {
        return;
    }
    let network = Network::claim().expect("a network");
    let at = |host| SocketAddrV4::new(network.outside(host), network.sip_port());
    let config = include_str!("../../bench/configs/kamailio-proxy.cfg");
    let _proxy =
        Kamailio::start(config, at(1), &[("CALLEE", at(3).to_string())], &[]).expect("kamailio");
    for (what, caller, callee) in [
        ("hold", scenario!("uac_hold"), scenario!("uas_hold")),
        ("cancel", scenario!("uac_cancel"), scenario!("uas_cancel")),
        ("busy", scenario!("uac_busy"), scenario!("uas_busy")),
        (
            "hung up",
            scenario!("uac_hung_up"),
            scenario!("uas_hangs_up"),
        ),
    ] {
        let callee = Sipp::callee(callee, at(3)).start().expect("a callee");
        let mut caller = Sipp::caller(caller, at(2), at(1));
        (caller.calls, caller.rate) = (Some(5), 20);
        let made = caller.run(Duration::from_secs(30)).expect("calls");
        assert_eq!(
            (made.succeeded, made.failed),
            (5, 0),
            "{what}: {}",
            callee.errors()
        );
        assert_eq!(callee.end().expect("counted").failed, 0, "{what}");
    }
}

#[test]
fn baresip_hears_baresip_over_tls_and_srtp_and_tshark_sees_it() {
    let name = "baresip_hears_baresip_over_tls_and_srtp_and_tshark_sees_it";
    if !tools::need(name, &["baresip", "tshark"]) {
        return;
    }
    let network = Network::claim().expect("a network");
    let Some(capture) = Capture::start(network.outside(0)).expect("tshark") else {
        return tools::skip(name, "this user may not capture");
    };
    let authority = Authority::new();
    let setup = |host: u8, user: &str, hertz| {
        let (chain, key) = authority.identity(network.outside(host).into());
        baresip::Setup {
            address: network.outside(host),
            port: network.sip_port(),
            user: user.to_owned(),
            transport: "tls",
            srtp: true,
            account: None,
            outbound: None,
            answers: user == "bob",
            hertz,
            tls: Some((chain + &key, authority.pem())),
            lines: "",
            namespace: None,
        }
    };
    let bob = Baresip::start(&setup(2, "bob", 1_000)).expect("bob");
    let mut alice = Baresip::start(&setup(3, "alice", 440)).expect("alice");
    let target = format!(
        "sip:bob@{}:{};transport=tls",
        network.outside(2),
        network.tls_port()
    );
    alice.command("dial", &target).expect("dialled");
    alice
        .wait_for("CALL_ESTABLISHED", wait::SOON)
        .expect("answered");
    wait::until_true("two seconds heard", wait::SOON, || {
        alice.heard_seconds() > 2.0 && bob.heard_seconds() > 2.0
    })
    .expect("audio");
    alice.command("hangup", "").expect("hung up");
    alice.wait_for("CALL_CLOSED", wait::SOON).expect("closed");
    assert!(alice.heard().expect("a recording").share_at(1_000) > 0.9);
    assert!(bob.heard().expect("a recording").share_at(440) > 0.9);
    let captured = capture.finish().expect("captured");
    assert!(captured.packets("tls || tcp").expect("read").len() > 10);
    assert!(captured.packets("udp.length == 190").expect("read").len() > 100);
    assert!(
        !captured
            .containing("start-of-capture")
            .expect("read")
            .is_empty()
    );
    assert!(
        captured
            .containing("nothing-says-this")
            .expect("read")
            .is_empty()
    );
}

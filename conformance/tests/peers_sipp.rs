//! Calls by SIPp through the edge: each way, over UDP and TCP, and the ways in which a call can
//! go other than ring, talk, end.

use std::time::Duration;

use ringfence_conformance::scene::{A_WHILE, FEW, From, Scene};
use ringfence_peers::edge::Setup;
use ringfence_peers::sipp;

/// Scenarios by file name.
macro_rules! scenario {
    ($name:literal) => {
        include_str!(concat!("../scenarios/", $name, ".xml"))
    };
}

#[test]
fn calls_from_the_carrier_over_udp() {
    let name = "calls_from_the_carrier_over_udp";
    let Some(scene) = Scene::open(name, &["sipp"], &Setup::default()) else {
        return;
    };
    scene.calls_go_through(From::Carrier, 50);
}

#[test]
fn calls_from_the_pbx_over_udp() {
    let name = "calls_from_the_pbx_over_udp";
    let Some(scene) = Scene::open(name, &["sipp"], &Setup::default()) else {
        return;
    };
    scene.calls_go_through(From::Pbx, 50);
}

#[test]
fn calls_from_a_carrier_that_connects_over_tcp() {
    let name = "calls_from_a_carrier_that_connects_over_tcp";
    let Some(scene) = Scene::open(name, &["sipp"], &Setup::default()) else {
        return;
    };
    for transport in ["t1", "tn"] {
        let callee = scene
            .callee(From::Carrier, sipp::UAS_CALL)
            .start()
            .expect("a callee");
        let mut caller = scene.caller(From::Carrier, sipp::UAC_CALL);
        (caller.transport, caller.calls, caller.rate) = (transport, Some(30), 30);
        let made = caller.run(A_WHILE).expect("calls");
        assert_eq!((made.succeeded, made.failed), (30, 0), "{transport}");
        assert_eq!(callee.end().expect("counted").failed, 0, "{transport}");
    }
}

#[test]
fn calls_to_a_carrier_and_a_pbx_that_are_reached_over_tcp() {
    let name = "calls_to_a_carrier_and_a_pbx_that_are_reached_over_tcp";
    let setup = Setup {
        trunk_transport: "tcp",
        pbx_transport: "tcp",
        ..Setup::default()
    };
    let Some(scene) = Scene::open(name, &["sipp"], &setup) else {
        return;
    };
    for from in [From::Pbx, From::Carrier] {
        let mut callee = scene.callee(from, sipp::UAS_CALL);
        callee.transport = "t1";
        let callee = callee.start().expect("a callee");
        let mut caller = scene.caller(from, sipp::UAC_CALL);
        (caller.calls, caller.rate) = (Some(30), 30);
        let made = caller.run(A_WHILE).expect("calls");
        assert_eq!((made.succeeded, made.failed), (30, 0), "{from:?}");
        assert_eq!(callee.end().expect("counted").failed, 0, "{from:?}");
    }
}

#[test]
fn options_from_either_side_are_answered() {
    let name = "options_from_either_side_are_answered";
    let Some(scene) = Scene::open(name, &["sipp"], &Setup::default()) else {
        return;
    };
    for from in [From::Carrier, From::Pbx] {
        let mut caller = scene.caller(from, sipp::UAC_OPTIONS);
        (caller.calls, caller.rate) = (Some(50), 100);
        let made = caller.run(A_WHILE).expect("requests");
        assert_eq!((made.succeeded, made.failed), (50, 0), "{from:?}");
    }
}

#[test]
fn hold_and_resume_from_either_side_rfc3264_8_4() {
    let name = "hold_and_resume_from_either_side_rfc3264_8_4";
    Scene::check_calls(
        name,
        From::Carrier,
        [scenario!("uac_hold"), scenario!("uas_hold")],
    );
    Scene::check_calls(
        name,
        From::Pbx,
        [scenario!("uac_hold"), scenario!("uas_hold")],
    );
}

#[test]
fn a_caller_that_gives_up_cancels_the_other_leg_rfc3261_9() {
    let name = "a_caller_that_gives_up_cancels_the_other_leg_rfc3261_9";
    Scene::check_calls(
        name,
        From::Carrier,
        [scenario!("uac_cancel"), scenario!("uas_cancel")],
    );
    Scene::check_calls(
        name,
        From::Pbx,
        [scenario!("uac_cancel"), scenario!("uas_cancel")],
    );
}

#[test]
fn a_busy_callee_is_busy_for_the_caller() {
    let name = "a_busy_callee_is_busy_for_the_caller";
    Scene::check_calls(
        name,
        From::Carrier,
        [scenario!("uac_busy"), scenario!("uas_busy")],
    );
}

#[test]
fn a_callee_that_hangs_up_ends_the_other_leg_rfc3261_15() {
    let name = "a_callee_that_hangs_up_ends_the_other_leg_rfc3261_15";
    Scene::check_calls(
        name,
        From::Carrier,
        [scenario!("uac_hung_up"), scenario!("uas_hangs_up")],
    );
    Scene::check_calls(
        name,
        From::Pbx,
        [scenario!("uac_hung_up"), scenario!("uas_hangs_up")],
    );
}

#[test]
fn a_number_that_is_not_the_sites_is_not_found() {
    let name = "a_number_that_is_not_the_sites_is_not_found";
    let setup = Setup {
        any_number: false,
        ..Setup::default()
    };
    let Some(scene) = Scene::open(name, &["sipp"], &setup) else {
        return;
    };
    scene.calls_go_through(From::Carrier, 5);
    let mut caller = scene.caller(From::Carrier, scenario!("uac_not_found"));
    caller.service = "+13305559999".to_owned();
    let made = caller.run(A_WHILE).expect("calls");
    assert_eq!((made.succeeded, made.failed), (1, 0));
}

#[test]
fn an_emergency_call_passes_a_full_site() {
    let name = "an_emergency_call_passes_a_full_site";
    let setup = Setup {
        channels: 1,
        ..Setup::default()
    };
    let Some(scene) = Scene::open(name, &["sipp"], &setup) else {
        return;
    };
    let callee = scene
        .callee(From::Pbx, sipp::UAS_CALL)
        .start()
        .expect("a callee");
    let mut first = scene.caller(From::Pbx, sipp::UAC_CALL);
    first.hold = Duration::from_secs(6);
    let mut first = first.start().expect("a first call");
    ringfence_peers::wait::until_true("the first call up", A_WHILE, || {
        scene
            .edge
            .ask(&["status"])
            .is_ok_and(|status| status["calls"] == 1)
    })
    .expect("the first call");
    let other = |scenario: &str, service: &str, port: u16| {
        let mut caller = scene.caller(From::Pbx, scenario);
        caller.local.set_port(port);
        caller.service = service.to_owned();
        let made = caller.run(A_WHILE).expect("a call");
        assert_eq!((made.succeeded, made.failed), (1, 0), "{service}");
    };
    other(scenario!("uac_refused"), "+12165550199", 5_101);
    other(sipp::UAC_CALL, "911", 5_102);
    assert!(first.process().is_running(), "the first call went on");
    let made = first.finish(A_WHILE).expect("the first call");
    assert_eq!((made.succeeded, made.failed), (1, 0));
    assert_eq!(callee.end().expect("counted").failed, 0);
}

#[test]
fn any_number_of_workers_gives_the_same_answers() {
    let name = "any_number_of_workers_gives_the_same_answers";
    for workers in [1, 2, 4] {
        let setup = Setup {
            workers: Some(workers),
            ..Setup::default()
        };
        let Some(scene) = Scene::open(name, &["sipp"], &setup) else {
            return;
        };
        scene.calls_go_through(From::Carrier, 30);
        scene.calls_go_through(From::Pbx, 30);
        let hold = [scenario!("uac_hold"), scenario!("uas_hold")];
        let [made, taken] = scene.calls(From::Carrier, hold, FEW);
        assert_eq!((made.failed, taken.failed), (0, 0), "{workers} workers");
    }
}

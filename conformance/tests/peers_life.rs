//! The life of the process: what a drain, a kill, a reload and a full disk do to calls and
//! records.

use std::time::Duration;

use ringfence_conformance::scene::{A_WHILE, From, Scene};
use ringfence_peers::edge::Setup;
use ringfence_peers::{sipp, wait};

/// The calls in progress, by the edge's own account.
fn calls(scene: &Scene) -> u64 {
    scene
        .edge
        .ask(&["status"])
        .ok()
        .and_then(|status| status["calls"].as_u64())
        .unwrap_or(u64::MAX)
}

#[test]
fn sigterm_lets_calls_end_and_takes_no_new_ones() {
    let name = "sigterm_lets_calls_end_and_takes_no_new_ones";
    let Some(mut scene) = Scene::open(name, &["sipp"], &Setup::default()) else {
        return;
    };
    let callee = scene
        .callee(From::Carrier, sipp::UAS_CALL)
        .start()
        .expect("a callee");
    let mut caller = scene.caller(From::Carrier, sipp::UAC_CALL);
    (caller.calls, caller.hold) = (Some(5), Duration::from_secs(5));
    let first = caller.start().expect("calls");
    wait::until_true("five calls up", A_WHILE, || calls(&scene) == 5).expect("up");
    scene.edge.process().signal(libc::SIGTERM);
    let refused = include_str!("../scenarios/uac_refused.xml");
    let mut late = scene.caller(From::Carrier, refused);
    late.local.set_port(5_101);
    let report = late.run(A_WHILE).expect("a late call");
    assert_eq!(
        (report.succeeded, report.failed),
        (1, 0),
        "a late call is refused"
    );
    let made = first.finish(A_WHILE).expect("the calls before");
    assert_eq!(
        (made.succeeded, made.failed),
        (5, 0),
        "the calls before end by themselves"
    );
    let status = scene
        .edge
        .process()
        .wait(A_WHILE)
        .expect("the process ends");
    assert!(
        status.success(),
        "{status}: {}",
        scene.edge.process().tail()
    );
    assert_eq!(callee.end().expect("counted").failed, 0);
}

#[test]
fn sigkill_loses_no_acknowledged_record() {
    let name = "sigkill_loses_no_acknowledged_record";
    let Some(mut scene) = Scene::open(name, &["sipp"], &Setup::default()) else {
        return;
    };
    scene.calls_go_through(From::Carrier, 40);
    let written = |scene: &Scene| {
        let status = scene.edge.ask(&["status"]).ok()?;
        status["records"]["written"].as_u64()
    };
    wait::until_true("forty records", A_WHILE, || written(&scene) == Some(40)).expect("written");
    // Calls are up and records under way while it dies.
    let callee = scene
        .callee(From::Carrier, sipp::UAS_CALL)
        .start()
        .expect("a callee");
    let mut caller = scene.caller(From::Carrier, sipp::UAC_CALL);
    (caller.calls, caller.rate) = (Some(500), 100);
    let more = caller.start().expect("calls");
    wait::until_true("more records", A_WHILE, || written(&scene) > Some(120)).expect("written");
    let acknowledged = written(&scene).expect("a count");
    scene.edge.process().signal(libc::SIGKILL);
    scene.edge.process().wait(A_WHILE).expect("dead");
    drop((more, callee));
    scene.edge.restart().expect("it starts again");
    let kept = records(&scene).len() as u64;
    assert!(
        kept >= acknowledged,
        "{kept} records of {acknowledged} acknowledged ones"
    );
    scene.calls_go_through(From::Carrier, 5);
}

#[test]
fn each_attempt_leaves_one_record_with_both_legs() {
    let name = "each_attempt_leaves_one_record_with_both_legs";
    let Some(scene) = Scene::open(name, &["sipp"], &Setup::default()) else {
        return;
    };
    scene.calls_go_through(From::Carrier, 3);
    let busy = [
        include_str!("../scenarios/uac_busy.xml"),
        include_str!("../scenarios/uas_busy.xml"),
    ];
    let [made, _] = scene.calls(From::Pbx, busy, 2);
    assert_eq!(made.failed, 0);
    let found = wait::until("five records", A_WHILE, || {
        let records = records(&scene);
        (records.len() == 5).then_some(records)
    })
    .expect("five records");
    for record in &found {
        let inbound = record["direction"] == "inbound";
        let expected = if inbound {
            ("answered", 200, 16)
        } else {
            ("busy", 486, 17)
        };
        let (outcome, status, q850) = expected;
        assert_eq!(record["outcome"], outcome, "{record}");
        assert_eq!(record["status"], status, "{record}");
        assert_eq!(record["q850"], q850, "{record}");
        let (ingress, egress) = (&record["ingress"]["call_id"], &record["egress"]["call_id"]);
        assert!(
            ingress.is_string() && egress.is_string() && ingress != egress,
            "{record}"
        );
    }
}

#[test]
fn a_reload_drops_no_call_and_takes_effect() {
    let name = "a_reload_drops_no_call_and_takes_effect";
    let Some(scene) = Scene::open(name, &["sipp"], &Setup::default()) else {
        return;
    };
    let callee = scene
        .callee(From::Carrier, sipp::UAS_CALL)
        .start()
        .expect("a callee");
    let mut caller = scene.caller(From::Carrier, sipp::UAC_CALL);
    (caller.calls, caller.hold) = (Some(3), Duration::from_secs(5));
    let first = caller.start().expect("calls");
    wait::until_true("three calls up", A_WHILE, || calls(&scene) == 3).expect("up");
    let path = scene.edge.folder().join("ringfence.toml");
    let text = std::fs::read_to_string(&path).expect("the configuration");
    let changed = text.replace("any_number = true", "any_number = false");
    std::fs::write(&path, changed).expect("written");
    scene.edge.ask(&["reload"]).expect("reloaded");
    let mut other = scene.caller(
        From::Carrier,
        include_str!("../scenarios/uac_not_found.xml"),
    );
    other.local.set_port(5_101);
    other.service = "+13305559999".to_owned();
    let report = other.run(A_WHILE).expect("a call");
    assert_eq!(
        (report.succeeded, report.failed),
        (1, 0),
        "the change is in force"
    );
    let made = first.finish(A_WHILE).expect("the calls before");
    assert_eq!((made.succeeded, made.failed), (3, 0));
    assert_eq!(callee.end().expect("counted").failed, 0);
}

#[test]
fn a_reload_of_a_faulty_file_changes_nothing() {
    let name = "a_reload_of_a_faulty_file_changes_nothing";
    let Some(scene) = Scene::open(name, &["sipp"], &Setup::default()) else {
        return;
    };
    let path = scene.edge.folder().join("ringfence.toml");
    let text = std::fs::read_to_string(&path).expect("the configuration");
    std::fs::write(&path, text + "\n[no-such-table]\nkey = 1\n").expect("written");
    let output = scene.edge.command(&["reload"]).expect("it runs");
    assert!(!output.status.success());
    scene.calls_go_through(From::Carrier, 5);
}

/// The records of calls that are over.
fn records(scene: &Scene) -> Vec<serde_json::Value> {
    let answer = scene
        .edge
        .ask(&["calls", "--records", "1000"])
        .unwrap_or_default();
    answer["records"].as_array().cloned().unwrap_or_default()
}

//! linphone as a phone at the edge: another SIP stack than the other phones', and one that checks the
//! edge's certificate.

use ringfence_conformance::certificates::Authority;
use ringfence_conformance::office::{ALICE_HZ, BOB_HZ, Office};
use ringfence_conformance::scene::A_WHILE;
use ringfence_peers::{sipp, wait};

/// Sound that each must have heard, and the other's share of it.
const HEARD_S: f64 = 2.0;
const CLEAN: f64 = 0.9;
/// A second in linphone's recording.
const SECOND_BYTES: u64 = 16_000;

#[test]
fn linphone_registers_over_tls_is_called_and_calls_with_sound_digits_and_hold() {
    let name = "linphone_registers_over_tls_is_called_and_calls_with_sound_digits_and_hold";
    let Some(office) = Office::open(name, &["linphonec", "baresip"]) else {
        return;
    };
    let mut alice = office.alice(true);
    let mut bob = office.baresip("bob", "");
    bob.command("dial", "sip:alice@summit.example")
        .expect("dialled");
    bob.wait_for("CALL_ESTABLISHED", A_WHILE).expect("answered");
    wait::until_true("bob heard enough", A_WHILE, || {
        bob.heard_seconds() > HEARD_S
    })
    .unwrap_or_else(|error| panic!("{error}:\n{}", office.scene.edge.counted()));
    bob.command("hangup", "").expect("hung up");
    bob.wait_for("CALL_CLOSED", A_WHILE).expect("closed");
    office.quiet();
    let heard = bob.heard().expect("a recording");
    assert!(heard.share_at(ALICE_HZ) > CLEAN, "bob heard {heard:?}");
    wait::until_true("alice's recording is whole", A_WHILE, || {
        alice.heard().is_ok_and(|heard| heard.seconds() > 1.0)
    })
    .expect("recorded");
    let share = alice.heard().expect("a recording").share_at(BOB_HZ);
    assert!(share > CLEAN, "alice heard {share:.3} of bob");

    alice.say("call sip:bob@summit.example").expect("typed");
    bob.wait_for("CALL_ESTABLISHED", A_WHILE).expect("answered");
    alice.say("7").expect("typed");
    bob.process()
        .wait_for_line("received event: '7' (end=1)", A_WHILE)
        .expect("the digit");
    alice.say("pause").expect("typed");
    alice.wait_for("is now paused", A_WHILE).expect("held");
    bob.process()
        .wait_for_line("got re-INVITE", A_WHILE)
        .expect("told");
    alice.say("resume").expect("typed");
    alice
        .wait_for_log(
            "LinphoneCallResuming to LinphoneCallStreamsRunning",
            A_WHILE,
        )
        .expect("resumed");
    // This baresip does not go on with its own recording after a hold.
    let before = alice.heard_bytes();
    wait::until_true("sound again", A_WHILE, || {
        alice.heard_bytes() > before + SECOND_BYTES
    })
    .unwrap_or_else(|error| panic!("{error}:\n{}", office.scene.edge.counted()));
    alice.say("terminate").expect("typed");
    bob.wait_for("CALL_CLOSED", A_WHILE).expect("closed");
    office.quiet();
}

#[test]
fn linphone_transfers_a_phone_to_the_trunk() {
    let name = "linphone_transfers_a_phone_to_the_trunk";
    let Some(office) = Office::open(name, &["linphonec", "baresip", "sipp"]) else {
        return;
    };
    let mut alice = office.alice(false);
    let mut bob = office.baresip("bob", "");
    let scene = &office.scene;
    let carrier = scene.callee(ringfence_conformance::scene::From::Pbx, sipp::UAS_CALL);
    let carrier = carrier.start().expect("a carrier");
    alice.say("call sip:bob@summit.example").expect("typed");
    bob.wait_for("CALL_ESTABLISHED", A_WHILE).expect("answered");
    alice
        .say("transfer sip:+12165550123@summit.example")
        .expect("typed");
    // Alice is let go, and bob has the one who was called at the carrier.
    wait::until_true("one call, to the carrier", A_WHILE, || {
        let calls = scene.edge.ask(&["calls"]);
        calls.is_ok_and(|calls| {
            let all = calls["calls"].as_array().cloned().unwrap_or_default();
            all.len() == 1 && all[0].to_string().contains("12165550123")
        })
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", alice.log()));
    bob.command("hangup", "").expect("hung up");
    office.quiet();
    let report = carrier.end().expect("a count");
    assert_eq!((report.succeeded, report.failed), (1, 0));
}

/// Who listens on the way with a certificate of its own gets no password.
#[test]
fn linphone_does_not_register_where_it_does_not_know_the_authority() {
    let name = "linphone_does_not_register_where_it_does_not_know_the_authority";
    let Some(office) = Office::open(name, &["linphonec"]) else {
        return;
    };
    let alice = office.linphone(&Authority::new(), false);
    alice
        .wait_for_log("SSL handshake failed", A_WHILE)
        .expect("it tried");
    assert!(alice.log().contains("X509"), "{}", alice.log());
    assert!(!office.has("alice"));
    drop(alice);
    let _knows_it = office.alice(false);
    assert!(office.has("alice"));
}

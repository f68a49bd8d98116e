//! Several streams of one call between real phones: sound and pictures, each with keys of its own.

use ringfence_conformance::office::{ALICE_HZ, BOB_HZ, Office};
use ringfence_conformance::scene::A_WHILE;
use ringfence_peers::baresip::Baresip;
use ringfence_peers::wait;

/// Sound that each must have heard, and the other's share of it.
const HEARD_S: f64 = 3.0;
const CLEAN: f64 = 0.9;

/// Packets with pictures that each must have sent, and that may be on their way at the end.
const PICTURES: u64 = 20;
const ON_THE_WAY: u64 = 8;

/// A camera that films a test picture, and a screen that is not there.
const CAMERA: &str = "module vp8.so\nmodule fakevideo.so\nvideo_source fakevideo,nil\n\
                      video_display fakevideo,nil\nvideo_size 176x144\nvideo_fps 10\n";

#[test]
fn two_phones_see_each_other_over_srtp() {
    let name = "two_phones_see_each_other_over_srtp";
    let Some(office) = Office::open(name, &["baresip"]) else {
        return;
    };
    let mut alice = office.baresip("alice", CAMERA);
    let mut bob = office.baresip("bob", CAMERA);
    alice
        .command("dial", "sip:bob@summit.example")
        .expect("dialled");
    alice
        .wait_for("CALL_ESTABLISHED", A_WHILE)
        .expect("answered");
    wait::until_true("both heard enough", A_WHILE, || {
        alice.heard_seconds() > HEARD_S && bob.heard_seconds() > HEARD_S
    })
    .unwrap_or_else(|error| panic!("{error}:\n{}", office.scene.edge.counted()));
    alice.command("hangup", "").expect("hung up");
    alice.wait_for("CALL_CLOSED", A_WHILE).expect("closed");
    bob.wait_for("CALL_CLOSED", A_WHILE).expect("closed");
    office.quiet();
    let heard = |phone: &Baresip, hertz| phone.heard().expect("a recording").share_at(hertz);
    assert!(heard(&alice, BOB_HZ) > CLEAN && heard(&bob, ALICE_HZ) > CLEAN);
    let [first, second] = [&mut alice, &mut bob].map(pictures);
    for (theirs, ours) in [(first, second), (second, first)] {
        let (sent, received) = (theirs.0, ours.1);
        // What was on its way when the call ended is not heard of.
        assert!(
            sent > PICTURES && received + ON_THE_WAY >= sent,
            "{first:?} {second:?}"
        );
    }
}

/// The packets with pictures that a phone sent and received, as it says at the end of a call.
fn pictures(phone: &mut Baresip) -> (u64, u64) {
    phone
        .process()
        .wait_for_line("video           Transmit:", A_WHILE)
        .expect("what it says of video");
    wait::until("the lines after it", A_WHILE, || {
        let lines = phone.process().lines();
        let at = lines
            .iter()
            .position(|line| line.contains("video           Transmit:"))?;
        let count = |line: &String| -> Option<(u64, u64)> {
            let mut words = line.split_whitespace().skip(1);
            Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
        };
        assert_eq!(count(lines.get(at + 3)?)?, (0, 0), "errors");
        count(lines.get(at + 1)?)
    })
    .expect("counted")
}

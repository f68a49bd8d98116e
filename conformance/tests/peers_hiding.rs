//! What one side may keep to itself, and what the wire of the other side then shows: tshark
//! captures the network of one side, while the other side puts a word of its own into everything
//! it sends.

use ringfence_conformance::scene::{A_WHILE, From, Scene};
use ringfence_peers::baresip::{self, Baresip};
use ringfence_peers::edge::Setup;
use ringfence_peers::tshark::{Capture, Captured};
use ringfence_peers::{tools, wait};

/// Scenarios by file name.
macro_rules! scenario {
    ($name:literal) => {
        include_str!(concat!("../scenarios/", $name, ".xml"))
    };
}

/// Nothing that contains one of `words` is in the capture.
#[track_caller]
fn nothing_of(captured: &Captured, words: &[&str]) {
    for word in words {
        let found = captured
            .containing(word)
            .expect("a capture that can be read");
        assert!(found.is_empty(), "`{word}` was seen:\n{}", found.join("\n"));
    }
}

/// Calls with plain scenarios on the watched side and marked ones on the other.
#[track_caller]
fn check(test: &str, watch_outside: bool, word: &str, calls: &[(From, [&str; 2])]) {
    let Some(scene) = Scene::open(test, &["sipp", "tshark"], &Setup::default()) else {
        return;
    };
    let network = &scene.network;
    let (watched, hidden) = if watch_outside {
        (network.outside(0), network.inside_prefix())
    } else {
        (network.inside(0), network.outside_prefix())
    };
    let Some(capture) = Capture::start(watched).expect("tshark") else {
        return tools::skip(test, "this user may not capture");
    };
    for (from, scenarios) in calls {
        let [made, taken] = scene.calls(*from, *scenarios, 5);
        assert_eq!(
            (made.succeeded, made.failed, taken.failed),
            (5, 0, 0),
            "{from:?}"
        );
    }
    let captured = capture.finish().expect("a capture");
    assert!(
        captured
            .packets("sip.Method == \"INVITE\"")
            .expect("read")
            .len()
            >= 10
    );
    nothing_of(&captured, &[word, &hidden]);
}

#[test]
fn nothing_of_the_inside_is_seen_outside() {
    check(
        "nothing_of_the_inside_is_seen_outside",
        true,
        "insidemark",
        &[
            (
                From::Pbx,
                [
                    scenario!("uac_marked_inside"),
                    ringfence_peers::sipp::UAS_CALL,
                ],
            ),
            (
                From::Carrier,
                [
                    ringfence_peers::sipp::UAC_CALL,
                    scenario!("uas_marked_inside"),
                ],
            ),
        ],
    );
}

#[test]
fn nothing_of_the_outside_is_seen_inside() {
    check(
        "nothing_of_the_outside_is_seen_inside",
        false,
        "outsidemark",
        &[
            (
                From::Carrier,
                [
                    scenario!("uac_marked_outside"),
                    ringfence_peers::sipp::UAS_CALL,
                ],
            ),
            (
                From::Pbx,
                [
                    ringfence_peers::sipp::UAC_CALL,
                    scenario!("uas_marked_outside"),
                ],
            ),
        ],
    );
}

/// Real phones with plain RTP on both sides, so that media and its reports can be read too.
#[test]
fn media_and_its_reports_say_nothing_of_the_inside() {
    let name = "media_and_its_reports_say_nothing_of_the_inside";
    let Some(scene) = Scene::open(name, &["baresip", "tshark"], &Setup::for_baresip()) else {
        return;
    };
    let Some(capture) = Capture::start(scene.network.outside(0)).expect("tshark") else {
        return tools::skip(name, "this user may not capture");
    };
    let setup = |at: std::net::SocketAddrV4, user: &str| baresip::Setup {
        address: *at.ip(),
        port: at.port(),
        user: user.to_owned(),
        transport: "udp",
        srtp: false,
        account: None,
        outbound: None,
        answers: true,
        hertz: 440,
        tls: None,
        lines: "",
        namespace: None,
    };
    let mut outside = Baresip::start(&setup(scene.carrier(), "+12165550123")).expect("outside");
    let inside = Baresip::start(&setup(scene.pbx(), "+13305550100")).expect("inside");
    let target = format!("sip:+13305550100@{}", scene.edge.outside());
    outside.command("dial", &target).expect("dialled");
    outside
        .wait_for("CALL_ESTABLISHED", A_WHILE)
        .expect("answered");
    // baresip reports every five seconds; the edge passes a report on once it has learnt from a
    // report of the other side where its reports go.
    wait::until_true("reports of both", A_WHILE, || {
        outside.heard_seconds() > 13.0 && inside.heard_seconds() > 13.0
    })
    .unwrap_or_else(|error| {
        let (out, back) = (outside.heard_seconds(), inside.heard_seconds());
        let counted = scene.edge.counted();
        panic!("{error}: heard {out} s outside, {back} s inside:\n{counted}")
    });
    outside.command("hangup", "").expect("hung up");
    outside.wait_for("CALL_CLOSED", A_WHILE).expect("closed");
    drop((outside, inside));
    let captured = capture.finish().expect("a capture");
    let from_edge = format!("rtcp && ip.src == {}", scene.edge.outside().ip());
    // Without hints tshark does not take a port's packets for RTCP: 200 to 207 in the second byte.
    let reports = format!(
        "ip.src == {} && udp && (udp.payload[1] >= c8 && udp.payload[1] <= cf)",
        scene.edge.outside().ip()
    );
    let seen = captured.packets(&reports).expect("read").len()
        + captured.packets(&from_edge).expect("read").len();
    assert!(seen > 0, "no report was seen outside");
    nothing_of(&captured, &[&scene.network.inside_prefix()]);
    let product = format!(
        "ip.src == {} && frame contains \"baresip\"",
        scene.edge.outside().ip()
    );
    assert_eq!(
        captured.packets(&product).expect("read"),
        Vec::<String>::new()
    );
    let inside = format!("ip.addr == {}/24", scene.network.inside(0));
    assert_eq!(
        captured.packets(&inside).expect("read"),
        Vec::<String>::new()
    );
}

//! Audio through the edge, judged by what was heard, and many calls at once, judged by what was
//! lost.

use std::time::Duration;

use ringfence_conformance::certificates::Authority;
use ringfence_conformance::scene::{A_WHILE, Scene};
use ringfence_peers::baresip::{self, Baresip};
use ringfence_peers::edge::{EDGE, Setup};
use ringfence_peers::media::edge_calls::Calls;
use ringfence_peers::media::load::Traffic;
use ringfence_peers::media::srtp::Library;
use ringfence_peers::net::Network;
use ringfence_peers::{tools, wait};

/// What the outside says, and the inside.
const OUTSIDE_HZ: u32 = 440;
const INSIDE_HZ: u32 = 1_000;

/// Sound that each side must have heard.
const HEARD_S: f64 = 3.0;

/// The share of the energy that must be the other's tone, and the most that may be one's own.
const CLEAN: f64 = 0.9;
const ECHO: f64 = 0.02;

/// A scene in which the outside speaks TLS and SRTP and the inside neither, with a baresip each.
struct Talk {
    scene: Scene,
    outside: Baresip,
    inside: Baresip,
}

fn talk(test: &str) -> Option<Talk> {
    if !tools::need(test, &["baresip"]) {
        return None;
    }
    let authority = Authority::new();
    let network = Network::claim().expect("a network of our own");
    let setup = Setup {
        trunk_media: "srtp",
        trunk_transport: "tls",
        identity: Some(authority.identity(network.outside(EDGE).into())),
        trunk_ca: Some(authority.pem()),
        ..Setup::for_baresip()
    };
    let edge = ringfence_peers::edge::Edge::start(&network, &setup).expect("the edge starts");
    let scene = Scene { network, edge };
    let (carrier, pbx) = (scene.carrier(), scene.pbx());
    let (chain, key) = authority.identity((*carrier.ip()).into());
    let outside = baresip::Setup {
        address: *carrier.ip(),
        port: carrier.port(),
        user: "+12165550123".to_owned(),
        transport: "tls",
        srtp: true,
        account: None,
        outbound: None,
        answers: true,
        hertz: OUTSIDE_HZ,
        tls: Some((chain + &key, authority.pem())),
        lines: "",
        namespace: None,
    };
    let inside = baresip::Setup {
        address: *pbx.ip(),
        port: pbx.port(),
        user: "+13305550100".to_owned(),
        transport: "udp",
        srtp: false,
        hertz: INSIDE_HZ,
        tls: None,
        lines: "",
        namespace: None,
        ..outside.clone()
    };
    let outside = Baresip::start(&outside).expect("baresip outside");
    let inside = Baresip::start(&inside).expect("baresip inside");
    Some(Talk {
        scene,
        outside,
        inside,
    })
}

/// `caller` calls `target`; both talk, and each hears the other and not itself.
#[track_caller]
fn converse(talk: &mut Talk, inside_calls: bool, target: &str) {
    let Talk {
        scene,
        outside,
        inside,
    } = talk;
    let caller = if inside_calls {
        &mut *inside
    } else {
        &mut *outside
    };
    caller.command("dial", target).expect("dialled");
    caller
        .wait_for("CALL_ESTABLISHED", A_WHILE)
        .expect("answered");
    wait::until_true("both heard enough", A_WHILE, || {
        outside.heard_seconds() > HEARD_S && inside.heard_seconds() > HEARD_S
    })
    .unwrap_or_else(|error| {
        let (out, back) = (outside.heard_seconds(), inside.heard_seconds());
        let counted = scene.edge.counted();
        panic!("{error}: heard {out} s outside, {back} s inside:\n{counted}")
    });
    let caller = if inside_calls {
        &mut *inside
    } else {
        &mut *outside
    };
    caller.command("hangup", "").expect("hung up");
    caller.wait_for("CALL_CLOSED", A_WHILE).expect("closed");
    for (who, heard, theirs, own) in [
        ("outside", outside.heard(), INSIDE_HZ, OUTSIDE_HZ),
        ("inside", inside.heard(), OUTSIDE_HZ, INSIDE_HZ),
    ] {
        let heard = heard.expect("a recording");
        let (clean, echo) = (heard.share_at(theirs), heard.share_at(own));
        assert!(clean > CLEAN, "{who} heard {theirs} Hz at {clean:.3}");
        assert!(echo < ECHO, "{who} heard itself at {echo:.3}");
    }
}

#[test]
fn a_call_from_outside_over_tls_and_srtp_is_heard_inside_as_plain_rtp_and_back() {
    let name = "a_call_from_outside_over_tls_and_srtp_is_heard_inside_as_plain_rtp_and_back";
    let Some(mut talk) = talk(name) else { return };
    let target = format!(
        "sip:+13305550100@{};transport=tls",
        talk.scene.edge.outside_tls()
    );
    converse(&mut talk, false, &target);
}

#[test]
fn a_call_from_inside_over_plain_rtp_is_heard_outside_over_tls_and_srtp_and_back() {
    let name = "a_call_from_inside_over_plain_rtp_is_heard_outside_over_tls_and_srtp_and_back";
    let Some(mut talk) = talk(name) else { return };
    let target = format!("sip:+12165550123@{}", talk.scene.edge.inside());
    converse(&mut talk, true, &target);
}

#[track_caller]
fn nothing_is_lost(test: &str, calls: usize, length: Duration, library: Option<&Library>) {
    let setup = Setup {
        trunk_media: if library.is_some() { "srtp" } else { "rtp" },
        media_pairs: u16::try_from(calls * 2 + 100).expect("few enough"),
        ..Setup::default()
    };
    let Some(scene) = Scene::open(test, &[], &setup) else {
        return;
    };
    let up = Calls::establish(&scene.network, &scene.edge, calls, library).expect("calls");
    let status = scene.edge.ask(&["status"]).expect("a status");
    assert_eq!(status["calls"], calls, "{status}");
    let mut traffic = Traffic::new(up.sessions().expect("sessions")).expect("traffic");
    let run = traffic.run(length).expect("run");
    assert_eq!(
        (run.sent - run.received, run.wrong),
        (0, 0),
        "lost and wrong of {}",
        run.sent
    );
    up.hang_up().expect("ended");
    wait::until_true("no call left", A_WHILE, || {
        scene
            .edge
            .ask(&["status"])
            .is_ok_and(|status| status["calls"] == 0)
    })
    .expect("all ended");
}

#[test]
fn five_hundred_calls_at_once_lose_no_packet() {
    let length = Duration::from_secs(5);
    nothing_is_lost(
        "five_hundred_calls_at_once_lose_no_packet",
        500,
        length,
        None,
    );
}

#[test]
fn a_hundred_protected_calls_at_once_lose_no_packet() {
    let name = "a_hundred_protected_calls_at_once_lose_no_packet";
    match Library::load() {
        Ok(library) => nothing_is_lost(name, 100, Duration::from_secs(3), Some(&library)),
        Err(error) => tools::skip(name, &error.to_string()),
    }
}

//! A real phone transfers a call: baresip sends REFER, and the edge makes the call to the target
//! and joins the legs.

use ringfence_conformance::scene::{A_WHILE, Scene};
use ringfence_peers::baresip::{self, Baresip};
use ringfence_peers::edge::Setup;
use ringfence_peers::wait;

#[test]
fn a_baresip_inside_transfers_a_caller_to_a_number_outside() {
    let name = "a_baresip_inside_transfers_a_caller_to_a_number_outside";
    let Some(scene) = Scene::open(name, &["baresip"], &Setup::for_baresip()) else {
        return;
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
    let (carrier, pbx) = (scene.carrier(), scene.pbx());
    let mut outside = Baresip::start(&setup(carrier, "+12165550123")).expect("baresip outside");
    let mut inside = Baresip::start(&setup(pbx, "+13305550100")).expect("baresip inside");
    let called = format!("sip:+13305550100@{}", scene.edge.outside());
    outside.command("dial", &called).expect("dialled");
    inside
        .wait_for("CALL_ESTABLISHED", A_WHILE)
        .expect("answered");
    outside
        .wait_for("CALL_ESTABLISHED", A_WHILE)
        .expect("answered");
    let target = format!("sip:+12165550123@{}", scene.edge.inside());
    inside.command("transfer", &target).expect("transferred");
    inside
        .wait_for("CALL_CLOSED", A_WHILE)
        .expect("the referrer is let go");
    let joined = || {
        let calls = scene.edge.ask(&["calls"]).ok()?;
        let text = calls.to_string();
        text.contains("(transfer)").then_some(text)
    };
    wait::until("one call between the two outside", A_WHILE, joined).expect("joined");
    // The caller's new media: it hears the target, which is the same program, go on talking.
    let before = outside.heard_seconds();
    wait::until_true("sound after the transfer", A_WHILE, || {
        outside.heard_seconds() > before + 1.0
    })
    .expect("heard");
}

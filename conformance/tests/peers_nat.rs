//! A real phone behind a real router: it registers, calls and is called, and is heard both ways.

use ringfence_conformance::scene::{A_WHILE, Scene};
use ringfence_peers::baresip::{self, Baresip};
use ringfence_peers::edge::{Edge, Setup};
use ringfence_peers::nat::Home;
use ringfence_peers::net::Network;
use ringfence_peers::{tools, wait};

const PHONE_HZ: u32 = 440;
const PBX_HZ: u32 = 1_000;
/// Sound that each must have heard, and the other's share of it.
const HEARD_S: f64 = 2.0;
const CLEAN: f64 = 0.9;

/// Both talk, and each hears the other; then the phone hangs up.
#[track_caller]
fn converse(scene: &Scene, phone: &mut Baresip, pbx: &mut Baresip) {
    wait::until_true("both heard enough", A_WHILE, || {
        phone.heard_seconds() > HEARD_S && pbx.heard_seconds() > HEARD_S
    })
    .unwrap_or_else(|error| {
        let (out, back) = (phone.heard_seconds(), pbx.heard_seconds());
        let counted = scene.edge.counted();
        panic!("{error}: the phone heard {out} s, the phone system {back} s:\n{counted}")
    });
    phone.command("hangup", "").expect("hung up");
    for (who, theirs) in [(phone, PBX_HZ), (pbx, PHONE_HZ)] {
        who.wait_for("CALL_CLOSED", A_WHILE).expect("closed");
        let clean = who.heard().expect("a recording").share_at(theirs);
        assert!(clean > CLEAN, "{theirs} Hz was heard at {clean:.3}");
    }
}

#[test]
fn a_phone_behind_nat_calls_and_is_called() {
    let name = "a_phone_behind_nat_calls_and_is_called";
    if !tools::need(name, &["baresip", "ip", "iptables"]) {
        return;
    }
    let network = Network::claim().expect("a network of our own");
    let home = match Home::build(&network) {
        Ok(home) => home,
        Err(error) => return tools::skip(name, &format!("no namespaces: {error:#}")),
    };
    let folder = tempfile::tempdir().expect("a folder");
    let users = folder.path().join("phones.csv");
    std::fs::write(&users, "alice,wonderland\n").expect("written");
    let (street, port) = (home.here(), network.sip_port());
    let setup = Setup {
        tables: format!(
            "[listen.street]\nudp = \"{street}:{port}\"\nmedia = \"{street}:31000-31039\"\n\
             [phones.remote]\nsite = \"summit\"\nlisten = \"street\"\n\
             realm = \"summit.example\"\nusers = {{ file = \"{}\" }}\n",
            users.display()
        ),
        ..Setup::for_baresip()
    };
    let edge = Edge::start(&network, &setup).expect("the edge starts");
    let scene = Scene { network, edge };
    let at_home = baresip::Setup {
        address: home.phone(),
        port: 5_060,
        user: "alice".to_owned(),
        transport: "udp",
        srtp: false,
        account: Some(
            "<sip:alice@summit.example;transport=udp>;regint=60;auth_user=alice;\
             auth_pass=wonderland"
                .to_owned(),
        ),
        outbound: Some(format!("sip:{street}:{port};transport=udp")),
        answers: true,
        hertz: PHONE_HZ,
        tls: None,
        lines: "",
        namespace: Some(home.namespace().to_owned()),
    };
    let pbx = scene.pbx();
    let inside = baresip::Setup {
        address: *pbx.ip(),
        port: pbx.port(),
        user: "7001".to_owned(),
        account: None,
        outbound: None,
        hertz: PBX_HZ,
        namespace: None,
        ..at_home.clone()
    };
    let mut phone = Baresip::start(&at_home).expect("baresip at home");
    let mut system = Baresip::start(&inside).expect("baresip inside");
    // It may have registered before there was anybody to tell.
    let router = home.router().to_string();
    wait::until_true("it is registered, where the router is", A_WHILE, || {
        let listed = scene.edge.ask(&["phones", "list"]);
        listed.is_ok_and(|listed| listed.to_string().contains(&router))
    })
    .expect("registered");

    phone
        .command("dial", "sip:7001@summit.example")
        .expect("dialled");
    phone
        .wait_for("CALL_ESTABLISHED", A_WHILE)
        .expect("answered");
    converse(&scene, &mut phone, &mut system);

    let edge = scene.edge.inside();
    system
        .command("dial", &format!("sip:alice@{edge}"))
        .expect("dialled");
    system
        .wait_for("CALL_ESTABLISHED", A_WHILE)
        .expect("answered");
    converse(&scene, &mut phone, &mut system);
}

//! A trunk that registers with a real registrar and calls with a password: Kamailio as the carrier,
//! SIPp behind it and behind the PBX.

use std::net::SocketAddrV4;
use std::path::Path;

use ringfence_conformance::scene::{A_WHILE, From, Scene};
use ringfence_peers::edge::{EDGE, Setup};
use ringfence_peers::kamailio::Kamailio;
use ringfence_peers::net::Network;
use ringfence_peers::sipp::{self, Sipp};
use ringfence_peers::wait;

const CONFIG: &str = include_str!("../kamailio-registrar.cfg");
const PASSWORD: &str = "circle of life";

/// Where the callee behind the carrier listens.
const CALLEE_PORT: u16 = 5_200;

/// Asks for a lifetime that the carrier finds too brief, and OPTIONS so often that its absence is
/// noticed.
fn setup(password: &Path) -> Setup {
    let register = format!(
        "options_interval = \"5s\"\nregister = {{ username = \"summit\", \
         domain = \"carrier.test\", expires = 60, password = {{ file = \"{}\" }} }}",
        password.display()
    );
    Setup {
        trunk_lines: register,
        ..Setup::default()
    }
}

fn carrier(scene: &Scene, secret: &str) -> Kamailio {
    let network: &Network = &scene.network;
    let listen = scene.carrier();
    let replace = [
        ("EDGE", network.outside(EDGE).to_string()),
        ("PORT", network.sip_port().to_string()),
        ("CALLEE", callee_address(scene).to_string()),
        ("PASSWORD", PASSWORD.to_owned()),
        ("SECRET", secret.to_owned()),
    ];
    Kamailio::start(CONFIG, listen, &replace, &[]).expect("kamailio")
}

fn callee_address(scene: &Scene) -> SocketAddrV4 {
    SocketAddrV4::new(*scene.carrier().ip(), CALLEE_PORT)
}

/// The one registration.
fn registration(scene: &Scene) -> serde_json::Value {
    let all = scene.edge.ask(&["registrations"]).unwrap_or_default();
    all["registrations"][0].clone()
}

/// Waits until the edge says that the trunk is registered and has sent more than `attempts`.
#[track_caller]
fn registered(scene: &Scene, attempts: u64) -> u64 {
    let sent = wait::until("registered", A_WHILE, || {
        let registration = registration(scene);
        let sent = registration["attempts"].as_u64()?;
        (registration["state"] == "registered" && sent > attempts).then_some(sent)
    });
    sent.unwrap_or_else(|error| panic!("{error}: {}", registration(scene)))
}

/// Calls in both directions.
#[track_caller]
fn calls_go_through(scene: &Scene) {
    let pbx = scene.callee(From::Carrier, sipp::UAS_CALL);
    let pbx = pbx.start().expect("a callee inside");
    // Through the carrier, to the Contact that was registered.
    let mut caller = scene.caller(From::Carrier, sipp::UAC_CALL);
    caller.remote = Some(scene.carrier());
    caller.calls = Some(3);
    let made = caller.run(A_WHILE).expect("calls from the carrier");
    assert_eq!((made.succeeded, made.failed), (3, 0), "from the carrier");
    assert_eq!(pbx.end().expect("a count").succeeded, 3);
    let callee = Sipp::callee(sipp::UAS_CALL, callee_address(scene));
    let callee = callee.start().expect("a callee outside");
    let mut caller = scene.caller(From::Pbx, sipp::UAC_CALL);
    caller.calls = Some(3);
    let made = caller.run(A_WHILE).expect("calls from the PBX");
    assert_eq!((made.succeeded, made.failed), (3, 0), "from the PBX");
    assert_eq!(callee.end().expect("a count").succeeded, 3);
}

#[test]
fn a_trunk_registers_calls_with_a_password_and_survives_the_carriers_restart() {
    let name = "a_trunk_registers_calls_with_a_password_and_survives_the_carriers_restart";
    let folder = tempfile::tempdir().expect("a folder");
    let password = folder.path().join("carrier.secret");
    std::fs::write(&password, format!("{PASSWORD}\n")).expect("a password");
    let Some(mut scene) = Scene::open(name, &["sipp", "kamailio"], &setup(&password)) else {
        return;
    };
    let lines = scene.edge.ask(&["lines"]).expect("lines");
    assert_eq!(lines["lines"][0]["state"], "DOWN", "{lines}");
    let kamailio = carrier(&scene, "the first run's secret of many letters");
    let sent = registered(&scene, 0);
    // What the carrier grants is what counts, not what was asked for.
    let lasts = registration(&scene)["expires_in_s"].as_u64();
    assert!(
        lasts.is_some_and(|lasts| (61..=120).contains(&lasts)),
        "{lasts:?}"
    );
    calls_go_through(&scene);
    let lines = scene.edge.ask(&["lines"]).expect("lines");
    assert_eq!(lines["lines"][0]["registration"], "registered", "{lines}");
    // It comes back without its bindings, and does not know its own nonces any more.
    drop(kamailio);
    wait::until_true("missed OPTIONS", A_WHILE * 2, || {
        let lines = scene.edge.ask(&["lines"]).unwrap_or_default();
        lines["lines"][0]["options"]["missed"].as_u64() > Some(0)
    })
    .expect("noticed");
    let kamailio = carrier(&scene, "the second run's secret of many letters");
    registered(&scene, sent);
    calls_go_through(&scene);
    // A drain takes the binding back; the process ends by itself.
    scene.edge.process().signal(libc::SIGTERM);
    let status = scene.edge.process().wait(A_WHILE).expect("it ends");
    assert!(
        status.success(),
        "{status}: {}",
        scene.edge.process().tail()
    );
    drop(kamailio);
}

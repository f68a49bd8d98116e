//! Phones that speak SIP over WebSocket (RFC 7118), by a WebSocket library that is not ours.

use std::process::Command;

use ringfence_conformance::certificates::Authority;
use ringfence_conformance::scene::A_WHILE;
use ringfence_peers::edge::{EDGE, Edge, Setup};
use ringfence_peers::net::{self, Network};
use ringfence_peers::process::Process;
use ringfence_peers::tools;

/// The system's, for another one in the path does not see the system's libraries.
const PYTHON: &str = "/usr/bin/python3";
const LIBRARY: &str = "/usr/lib/python3/dist-packages/websockets/__init__.py";
const PHONES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/web_phones.py");

#[test]
fn two_phones_register_and_call_over_plain_and_secure_websocket_rfc7118() {
    let name = "two_phones_register_and_call_over_plain_and_secure_websocket_rfc7118";
    if !tools::need(name, &[PYTHON, LIBRARY]) {
        return;
    }
    let authority = Authority::new();
    let network = Network::claim().expect("a network of our own");
    let address = network.outside(EDGE);
    let (ws, wss) = (
        net::free_port(address).expect("a port"),
        net::free_port(address).expect("a port"),
    );
    let folder = tempfile::tempdir().expect("a folder");
    let users = folder.path().join("phones.csv");
    std::fs::write(&users, "alice,wonderland,+13305550107\nbob,builder\n").expect("written");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).expect("written");
    let setup = Setup {
        identity: Some(authority.identity(address.into())),
        tables: format!(
            "[listen.web]\nws = \"{ws}\"\nwss = \"{wss}\"\ncertificate = \"edge.pem\"\n\
             key = \"edge.key\"\nmedia = \"{address}:20000-20099\"\n\
             ws_origins = [\"https://phone.example\"]\n\
             [phones.web]\nsite = \"summit\"\nlisten = \"web\"\nrealm = \"summit.example\"\n\
             media = \"rtp\"\nusers = {{ file = \"{}\" }}\n",
            users.display()
        ),
        ..Setup::default()
    };
    let edge = Edge::start(&network, &setup).expect("the edge starts");
    for (url, ca) in [
        (format!("ws://{ws}/"), "-"),
        (format!("wss://{wss}/sip"), ca.to_str().expect("a path")),
    ] {
        let mut command = Command::new(PYTHON);
        command.args([PHONES, &url, ca]);
        let mut phones = Process::start("web_phones", &mut command).expect("python starts");
        let ended = phones.wait(A_WHILE);
        let good = ended.is_ok_and(|status| status.success());
        assert!(good, "{url}:\n{}\n{}", phones.tail(), edge.counted());
    }
}

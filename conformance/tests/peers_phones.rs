//! Phones that register at the edge: real ones over TLS and SRTP, and those who try to guess.

use std::process::Command;
use std::time::Duration;

use ringfence_conformance::certificates::Authority;
use ringfence_conformance::scene::{A_WHILE, Scene};
use ringfence_peers::baresip::{self, Baresip};
use ringfence_peers::edge::{EDGE, Edge, Setup};
use ringfence_peers::net::Network;
use ringfence_peers::process::Process;
use ringfence_peers::sipp;
use ringfence_peers::{tools, wait};
use tempfile::TempDir;

const ALICE_HZ: u32 = 440;
const BOB_HZ: u32 = 1_000;
/// Sound that each must have heard, the other's share of it, and the most that may be one's own.
const HEARD_S: f64 = 2.0;
const CLEAN: f64 = 0.9;
const ECHO: f64 = 0.02;

/// How long one scan may take.
const SCAN: Duration = Duration::from_secs(40);

/// A scene with `[phones.remote]`: alice, bob and 100.
fn scene(test: &str, programs: &[&str]) -> Option<(Scene, Authority, TempDir)> {
    if !tools::need(test, programs) {
        return None;
    }
    let authority = Authority::new();
    let network = Network::claim().expect("a network of our own");
    let folder = tempfile::tempdir().expect("a folder");
    let users = folder.path().join("phones.csv");
    let lines = "alice,wonderland,+13305550107\nbob,builder\n100,correct-horse-battery\n";
    std::fs::write(&users, lines).expect("written");
    let setup = Setup {
        identity: Some(authority.identity(network.outside(EDGE).into())),
        tables: format!(
            "[phones.remote]\nsite = \"summit\"\nlisten = \"outside\"\n\
             realm = \"summit.example\"\n\
             users = {{ file = \"{}\" }}\n",
            users.display()
        ),
        ..Setup::default()
    };
    let edge = Edge::start(&network, &setup).expect("the edge starts");
    Some((Scene { network, edge }, authority, folder))
}

/// A phone that registers over TLS, speaks SRTP and answers its calls.
fn setup_of(
    scene: &Scene,
    authority: &Authority,
    host: u8,
    user: &str,
    password: &str,
) -> baresip::Setup {
    let edge = scene.edge.outside_tls();
    let address = scene.network.outside(host);
    let (chain, key) = authority.identity(address.into());
    baresip::Setup {
        address,
        port: scene.network.sip_port(),
        user: user.to_owned(),
        transport: "tls",
        srtp: true,
        account: Some(format!(
            "<sip:{user}@summit.example;transport=tls>;regint=60;auth_user={user};\
             auth_pass={password}"
        )),
        outbound: Some(format!("sip:{edge};transport=tls")),
        answers: true,
        hertz: if user == "alice" { ALICE_HZ } else { BOB_HZ },
        tls: Some((chain + &key, authority.pem())),
        lines: "",
        namespace: None,
    }
}

/// Such a phone; it is registered when this returns.
fn phone(scene: &Scene, authority: &Authority, host: u8, user: &str, password: &str) -> Baresip {
    registered(scene, &setup_of(scene, authority, host, user, password))
}

fn registered(scene: &Scene, setup: &baresip::Setup) -> Baresip {
    let phone = Baresip::start(setup).expect("baresip starts");
    // It may have registered before there was anybody to tell: the edge knows.
    let address = setup.address.to_string();
    wait::until_true("it is registered", A_WHILE, || {
        let listed = scene.edge.ask(&["phones", "list"]);
        listed.is_ok_and(|listed| listed.to_string().contains(&address))
    })
    .expect("registered");
    phone
}

#[test]
fn two_phones_register_over_tls_talk_over_srtp_and_reach_the_trunk() {
    let name = "two_phones_register_over_tls_talk_over_srtp_and_reach_the_trunk";
    let Some((scene, authority, _folder)) = scene(name, &["baresip", "sipp"]) else {
        return;
    };
    let mut alice = phone(&scene, &authority, 41, "alice", "wonderland");
    let mut bob = phone(&scene, &authority, 42, "bob", "builder");
    let listed = scene.edge.ask(&["phones", "list"]).expect("a list");
    let contacts = |user: &str| -> usize {
        let phones = listed["phones"].as_array().expect("phones");
        let found = phones.iter().find(|phone| phone["user"] == user);
        found.expect("a user")["contacts"]
            .as_array()
            .map_or(0, Vec::len)
    };
    assert_eq!(
        (contacts("alice"), contacts("bob"), contacts("100")),
        (1, 1, 0),
        "{listed}"
    );

    alice
        .command("dial", "sip:bob@summit.example")
        .expect("dialled");
    alice
        .wait_for("CALL_ESTABLISHED", A_WHILE)
        .expect("answered");
    wait::until_true("both heard enough", A_WHILE, || {
        alice.heard_seconds() > HEARD_S && bob.heard_seconds() > HEARD_S
    })
    .unwrap_or_else(|error| panic!("{error}:\n{}", scene.edge.counted()));
    alice.command("hangup", "").expect("hung up");
    alice.wait_for("CALL_CLOSED", A_WHILE).expect("closed");
    bob.wait_for("CALL_CLOSED", A_WHILE).expect("closed");
    for (who, heard, own, theirs) in [
        ("alice", alice.heard(), ALICE_HZ, BOB_HZ),
        ("bob", bob.heard(), BOB_HZ, ALICE_HZ),
    ] {
        let heard = heard.expect("a recording");
        let (clean, echo) = (heard.share_at(theirs), heard.share_at(own));
        assert!(clean > CLEAN, "{who} heard {theirs} Hz at {clean:.3}");
        assert!(echo < ECHO, "{who} heard itself at {echo:.3}");
    }

    let carrier = scene.callee(ringfence_conformance::scene::From::Pbx, sipp::UAS_CALL);
    let carrier = carrier.start().expect("a carrier");
    alice
        .command("dial", "sip:+12165550123@summit.example")
        .expect("dialled");
    alice
        .wait_for("CALL_ESTABLISHED", A_WHILE)
        .expect("answered by the carrier");
    alice.command("hangup", "").expect("hung up");
    alice.wait_for("CALL_CLOSED", A_WHILE).expect("closed");
    assert_eq!(carrier.end().expect("a count").failed, 0);
}

#[test]
fn all_phones_of_a_user_ring_and_one_has_the_call() {
    let name = "all_phones_of_a_user_ring_and_one_has_the_call";
    let Some((scene, authority, _folder)) = scene(name, &["baresip"]) else {
        return;
    };
    let mut alice = phone(&scene, &authority, 41, "alice", "wonderland");
    let [mut mobile, mut desk] = [43, 42].map(|host| {
        let setup = setup_of(&scene, &authority, host, "bob", "builder");
        let setup = baresip::Setup {
            answers: false,
            ..setup
        };
        registered(&scene, &setup)
    });
    alice
        .command("dial", "sip:bob@summit.example")
        .expect("dialled");
    for phone in [&mut desk, &mut mobile] {
        phone.wait_for("CALL_INCOMING", A_WHILE).expect("it rings");
    }
    mobile.command("accept", "").expect("accepted");
    alice
        .wait_for("CALL_ESTABLISHED", A_WHILE)
        .expect("answered");
    desk.wait_for("CALL_CLOSED", A_WHILE)
        .expect("the other one stops to ring");
    wait::until_true("both heard enough", A_WHILE, || {
        alice.heard_seconds() > HEARD_S && mobile.heard_seconds() > HEARD_S
    })
    .unwrap_or_else(|error| panic!("{error}:\n{}", scene.edge.counted()));
    alice.command("hangup", "").expect("hung up");
    mobile.wait_for("CALL_CLOSED", A_WHILE).expect("closed");
}

/// A phone system that has a message for whoever asks: its 200, and the NOTIFY.
const MAILBOX: &str = r#"<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="mailbox">
  <recv request="SUBSCRIBE" crlf="true">
    <action>
      <ereg regexp="message-summary" search_in="hdr" header="Event:" check_it="true" assign_to="1"/>
      <ereg regexp="sip:[^&gt;]*" search_in="hdr" header="Contact:" check_it="true" assign_to="2"/>
      <ereg regexp=".*" search_in="hdr" header="From:" check_it="true" assign_to="3"/>
      <ereg regexp=".*" search_in="hdr" header="To:" check_it="true" assign_to="4"/>
    </action>
  </recv>
  <Reference variables="1"/>
  <send>
    <![CDATA[
      SIP/2.0 200 OK
      [last_Via:]
      [last_From:]
      [last_To:];tag=mailbox[call_number]
      [last_Call-ID:]
      [last_CSeq:]
      Contact: <sip:mailbox@[local_ip]:[local_port]>
      Expires: 600
      Content-Length: 0
    ]]>
  </send>
  <send retrans="500">
    <![CDATA[
      NOTIFY [$2] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      Max-Forwards: 70
      From:[$4];tag=mailbox[call_number]
      To:[$3]
      [last_Call-ID:]
      CSeq: 1 NOTIFY
      Contact: <sip:mailbox@[local_ip]:[local_port]>
      Event: message-summary
      Subscription-State: active;expires=600
      Content-Type: application/simple-message-summary
      Content-Length: [len]

      Messages-Waiting: yes
      Message-Account: sip:alice@[local_ip]:[local_port]
      Voice-Message: 2/8 (0/2)
    ]]>
  </send>
  <recv response="200" crlf="true"/>
</scenario>
"#;

#[test]
fn a_phone_hears_of_its_messages_at_the_phone_system() {
    let name = "a_phone_hears_of_its_messages_at_the_phone_system";
    let Some((scene, authority, _folder)) = scene(name, &["baresip", "sipp"]) else {
        return;
    };
    let setup = setup_of(&scene, &authority, 41, "alice", "wonderland");
    let setup = baresip::Setup {
        lines: "module_app mwi.so",
        ..setup
    };
    let mut alice = Baresip::start(&setup).expect("baresip starts");
    // Only now that she can say what she hears; the edge asks until somebody answers.
    let pbx = scene.callee(ringfence_conformance::scene::From::Carrier, MAILBOX);
    let pbx = pbx.start().expect("a phone system");
    let told = alice.told("MWI_NOTIFY", A_WHILE).expect("told");
    assert!(told.contains("Voice-Message: 2/8"), "{told}");
    assert!(told.contains("sip:alice@summit.example"), "{told}");
    let inside = scene.pbx().ip().to_string();
    assert!(!told.contains(&inside), "{told}");
    let counted = pbx.end().expect("a count");
    assert_eq!((counted.succeeded, counted.failed), (1, 0));
}

#[test]
fn a_restart_forgets_no_registration() {
    let name = "a_restart_forgets_no_registration";
    let Some((mut scene, authority, _folder)) = scene(name, &["baresip"]) else {
        return;
    };
    let mut alice = phone(&scene, &authority, 41, "alice", "wonderland");
    let registered = |scene: &Scene| {
        let listed = scene.edge.ask(&["phones", "list"]).expect("a list");
        listed["phones"][1]["contacts"]
            .as_array()
            .map_or(0, Vec::len)
    };
    assert_eq!(registered(&scene), 1);
    // A phone that ends by itself would say goodbye.
    alice.process().signal(libc::SIGKILL);
    scene.edge.process().signal(libc::SIGTERM);
    scene.edge.process().wait(A_WHILE).expect("it ends");
    scene.edge.restart().expect("it starts again");
    assert_eq!(
        registered(&scene),
        1,
        "its binding is known, and its way awaited"
    );
}

/// Runs a scanner and gives back what it printed.
#[track_caller]
fn scan(program: &str, arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(program);
    let command = command.args(arguments).current_dir(folder.path());
    let mut process = Process::start(program, command).expect("it starts");
    if process.wait(SCAN).is_err() {
        process.signal(libc::SIGINT);
        let _ended = process.wait(Duration::from_secs(5));
        process.stop();
    }
    process.lines().join("\n")
}

#[test]
fn scanners_learn_neither_users_nor_passwords_from_the_registrar() {
    let name = "scanners_learn_neither_users_nor_passwords_from_the_registrar";
    let Some((scene, _authority, _folder)) = scene(name, &["svwar", "svcrack"]) else {
        return;
    };
    let edge = scene.edge.outside();
    let (port, host) = (edge.port().to_string(), edge.ip().to_string());
    for method in ["REGISTER", "INVITE", "OPTIONS"] {
        let printed = scan(
            "svwar",
            &["--force", "-e", "99-101", "-m", method, "-p", &port, &host],
        );
        // 100 is a user, 99 and 101 are not: what is said of one is said of all.
        let said = |extension: &str| {
            let mut lines = printed.lines();
            let line = lines.find(|line| line.contains(&format!("| {extension} ")));
            line.map(|line| line.replace(extension, "N").replace(' ', ""))
        };
        assert_eq!(said("100"), said("101"), "{method}:\n{printed}");
        assert_eq!(said("100"), said("99"), "{method}:\n{printed}");
    }
    let printed = scan(
        "svcrack",
        &["-u", "100", "-r", "100-110", "-p", &port, &host],
    );
    assert!(
        !printed.contains("| Password") && !printed.contains("The password"),
        "{printed}"
    );
}

//! Who is not a peer: scanners, guessers, and streams that say nothing sensible. They learn
//! nothing, they get no more bytes than they send, and the calls of others go on.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use ringfence_conformance::scene::{From, Scene};
use ringfence_peers::edge::{CARRIER, Setup};
use ringfence_peers::process::Process;
use ringfence_peers::{net, wait};

/// How long one scan may take; it is ended then, and what it has found by then counts.
const SCAN: Duration = Duration::from_secs(40);

/// A stream without a complete message is closed after this long, and a little more.
const SILENCE: Duration = Duration::from_secs(4);
const A_LITTLE: Duration = Duration::from_secs(3);

/// What would be a clue.
const CLUES: [&str; 4] = ["ringfence", "summit", "edge", "sbc"];

/// Runs a scanner and gives back what it printed.
#[track_caller]
fn scan(program: &str, arguments: &[&str]) -> String {
    let folder = std::env::temp_dir();
    let mut command = Command::new(program);
    let mut process =
        Process::start(program, command.args(arguments).current_dir(folder)).expect("it starts");
    if process.wait(SCAN).is_err() {
        process.signal(libc::SIGINT);
        let _ended = process.wait(Duration::from_secs(5));
        process.stop();
    }
    process.lines().join("\n")
}

#[track_caller]
fn no_clue(printed: &str) {
    let printed = printed.to_lowercase();
    for clue in CLUES {
        assert!(!printed.contains(clue), "`{clue}` in:\n{printed}");
    }
}

#[test]
fn svmap_finds_nothing() {
    let Some(scene) = Scene::open("svmap_finds_nothing", &["svmap"], &Setup::default()) else {
        return;
    };
    let edge = scene.edge.outside();
    for method in ["OPTIONS", "REGISTER", "INVITE"] {
        let port = edge.port().to_string();
        let printed = scan(
            "svmap",
            &["-p", &port, "-m", method, &edge.ip().to_string()],
        );
        assert!(!printed.contains("User Agent"), "{method}:\n{printed}");
        assert!(!printed.contains(&edge.to_string()), "{method}:\n{printed}");
        no_clue(&printed);
    }
}

#[test]
fn svwar_finds_no_extension() {
    let Some(scene) = Scene::open("svwar_finds_no_extension", &["svwar"], &Setup::default()) else {
        return;
    };
    let edge = scene.edge.outside();
    for method in ["REGISTER", "INVITE", "OPTIONS"] {
        let port = edge.port().to_string();
        let host = edge.ip().to_string();
        let arguments = ["--force", "-e", "100-110", "-m", method, "-p", &port, &host];
        let printed = scan("svwar", &arguments);
        assert!(
            !printed.contains("reqauth") && !printed.contains("noauth"),
            "{printed}"
        );
        no_clue(&printed);
    }
}

#[test]
fn svcrack_finds_no_password() {
    let Some(scene) = Scene::open("svcrack_finds_no_password", &["svcrack"], &Setup::default())
    else {
        return;
    };
    let edge = scene.edge.outside();
    let (port, host) = (edge.port().to_string(), edge.ip().to_string());
    let printed = scan(
        "svcrack",
        &["-u", "100", "-r", "100-110", "-p", &port, &host],
    );
    assert!(
        !printed.contains("| Password") && !printed.contains("The password"),
        "{printed}"
    );
    no_clue(&printed);
}

/// Requests of every kind from an address that is no peer: no answer is larger than its request.
#[test]
fn a_stranger_never_gets_more_bytes_than_it_sends() {
    let name = "a_stranger_never_gets_more_bytes_than_it_sends";
    let Some(scene) = Scene::open(name, &[], &Setup::default()) else {
        return;
    };
    let stranger = UdpSocket::bind((scene.network.outside(99), 0)).expect("bound");
    stranger
        .set_read_timeout(Some(Duration::from_millis(300)))
        .expect("set");
    let local = stranger.local_addr().expect("an address");
    for method in [
        "OPTIONS",
        "REGISTER",
        "INVITE",
        "SUBSCRIBE",
        "BYE",
        "CANCEL",
        "NONSENSE",
    ] {
        let request = format!(
            "{method} sip:100@{} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKs{method}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:100@{local}>;tag=1\r\nTo: <sip:100@{}>\r\n\
             Call-ID: {method}@{local}\r\nCSeq: 1 {method}\r\nContact: <sip:100@{local}>\r\n\
             Content-Length: 0\r\n\r\n",
            scene.edge.outside(),
            scene.edge.outside()
        );
        stranger
            .send_to(request.as_bytes(), scene.edge.outside())
            .expect("sent");
        let (mut bytes, mut buffer) = (0, [0; 65_536]);
        while let Ok(length) = stranger.recv(&mut buffer) {
            bytes += length;
            no_clue(&String::from_utf8_lossy(&buffer[..length]));
        }
        assert!(
            bytes <= request.len(),
            "{method}: {bytes} bytes for {}",
            request.len()
        );
    }
}

/// Connects, sends `bytes`, and returns how long it took until the edge closed the stream.
#[track_caller]
fn closed_after(from: Ipv4Addr, edge: SocketAddrV4, bytes: &[u8]) -> Duration {
    let mut stream: TcpStream = net::connect_from(from, edge).expect("connected");
    stream
        .set_read_timeout(Some(SILENCE + A_LITTLE))
        .expect("set");
    // A stranger may be shut out before it has spoken.
    let _sent = stream.write_all(bytes);
    let mut buffer = [0; 4_096];
    let mut answered = 0;
    let (outcome, took) = wait::timed(|| {
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => answered += length,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    });
    assert!(outcome.is_ok(), "not closed after {took:?}: {outcome:?}");
    assert!(
        answered <= bytes.len(),
        "{answered} bytes for {}",
        bytes.len()
    );
    took
}

#[test]
fn a_stream_that_says_nothing_sensible_is_closed() {
    let name = "a_stream_that_says_nothing_sensible_is_closed";
    let Some(scene) = Scene::open(name, &["sipp"], &Setup::default()) else {
        return;
    };
    let edge = scene.edge.outside();
    let endless = vec![b'a'; 200_000];
    let begun = format!(
        "INVITE sip:100@{edge} SIP/2.0\r\nVia: SIP/2.0/TCP {};branch=z9hG4bK1\r\n",
        scene.carrier()
    );
    let unframed = "OPTIONS sip:a SIP/2.0\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nhello";
    for from in [scene.network.outside(CARRIER), scene.network.outside(99)] {
        for (what, bytes) in [
            ("silence", b"".as_slice()),
            ("a start", begun.as_bytes()),
            (
                "rubbish",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".as_slice(),
            ),
            ("no end of headers", endless.as_slice()),
            ("two lengths", unframed.as_bytes()),
        ] {
            let took = closed_after(from, edge, bytes);
            assert!(took < SILENCE + A_LITTLE, "{what}: {took:?}");
        }
    }
    scene.calls_go_through(From::Carrier, 5);
}

/// Bytes that are not SIP, from a peer's address and from a stranger's; calls go on.
#[test]
fn rubbish_in_datagrams_stops_nobody() {
    let name = "rubbish_in_datagrams_stops_nobody";
    let Some(mut scene) = Scene::open(name, &["sipp"], &Setup::default()) else {
        return;
    };
    let edge = scene.edge.outside();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let invite = format!(
        "INVITE sip:100@{edge} SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\
         \r\nTo: <sip:c@d>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    );
    for host in [CARRIER, 99] {
        let socket = UdpSocket::bind((scene.network.outside(host), 0)).expect("bound");
        for round in 0..2_000 {
            let mut bytes = if round % 2 == 0 {
                invite.clone().into_bytes()
            } else {
                (0..random() % 1_400).map(|_| random() as u8).collect()
            };
            for _ in 0..random() % 20 {
                let length = bytes.len().max(1) as u64;
                if let Some(byte) = bytes.get_mut((random() % length) as usize) {
                    *byte = random() as u8;
                }
            }
            // A full buffer is no fault of the edge.
            let _sent = socket.send_to(&bytes, edge);
        }
    }
    assert!(scene.edge.process().is_running());
    scene.calls_go_through(From::Carrier, 5);
    scene.calls_go_through(From::Pbx, 5);
}

/// SIPVicious under another name, as anybody starts it who does not want to be known by it.
#[test]
fn a_scanner_with_a_changed_name_is_found_by_how_it_builds_messages() {
    let name = "a_scanner_with_a_changed_name_is_found_by_how_it_builds_messages";
    let Some(scene) = Scene::open(name, &["svmap", "sipp"], &Setup::default()) else {
        return;
    };
    let edge = scene.edge.outside();
    let (port, host) = (edge.port().to_string(), edge.ip().to_string());
    let arguments = ["-p", &port, "--fromname", "Yealink SIP-T46S", &host];
    scan("svmap", &arguments);
    let incidents = || {
        let text = scene.edge.ask(&["incidents"]).ok()?.to_string();
        text.contains("\"kind\":\"scan\"").then_some(text)
    };
    let found = wait::until("an incident", wait::SOON, incidents).expect("found");
    assert!(found.contains("tag-hides-address"), "{found}");
    // Its address is not proved: it is slowed, and the carrier's calls go on.
    assert!(!found.contains("\"action\":\"block\""), "{found}");
    scene.calls_go_through(From::Carrier, 5);
}

/// What the running edge said of a scan is what detection says of the events that it kept, also
/// after the edge was started again and has ended.
#[test]
fn a_scan_is_found_again_in_the_events_that_were_kept() {
    let name = "a_scan_is_found_again_in_the_events_that_were_kept";
    let Some(mut scene) = Scene::open(name, &["svmap", "sipp"], &Setup::default()) else {
        return;
    };
    let edge = scene.edge.outside();
    let (port, host) = (edge.port().to_string(), edge.ip().to_string());
    scan("svmap", &["-p", &port, &host]);
    let incidents = || {
        let said = scene.edge.ask(&["incidents"]).ok()?;
        let all = said["open"].as_array()?.clone();
        all.into_iter().find(|incident| incident["kind"] == "scan")
    };
    let live = wait::until("an incident", wait::SOON, incidents).expect("found");
    scene.calls_go_through(From::Carrier, 5);
    scene.edge.restart().expect("started again");
    scene.edge.process().stop();

    let replayed = scene
        .edge
        .ask(&["replay", "--last", "1h"])
        .expect("replayed");
    let findings = replayed["findings"].as_array().expect("findings");
    let mut scans = findings.iter().filter(|finding| finding["kind"] == "scan");
    let found = scans.next().unwrap_or_else(|| panic!("{replayed}"));
    let source = found["source"].as_str().expect("a source");
    assert!(live.to_string().contains(source), "{live} {replayed}");
    // Five calls, each offered, answered and ended.
    assert!(replayed["own_events"].as_u64() >= Some(15), "{replayed}");
    assert_eq!(replayed["touched"], serde_json::json!([]));
    assert_eq!(replayed["damaged"], serde_json::json!([]));
    assert_eq!(replayed["unkept"], 0);
    assert!(replayed["files"].as_u64() >= Some(1), "{replayed}");
    let other = scene
        .edge
        .ask(&["replay", "--last", "1h", "--site", "none"]);
    assert!(other.is_err_and(|error| error.to_string().contains("[site.none]")));
}

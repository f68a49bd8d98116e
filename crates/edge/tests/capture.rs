//! Captures on demand, read by tshark: calls over UDP and TLS, with media, filtered, without keys.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;

use support::two_sides::{Far, answered, config, exchange, hang_up, v4_sides};
use support::{Net, PATIENCE, Setup};

const KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";
const NUMBER: &str = "+13305550100";

/// A capture under way: from here on what passes is in it.
struct Capture {
    stream: UnixStream,
    read: Vec<u8>,
}

impl Capture {
    #[track_caller]
    fn start(setup: &Setup, query: &str) -> Capture {
        let mut stream = UnixStream::connect(setup.edge.control_path()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // HTTP 1.0: the body is not in chunks, and ends with the connection.
        let request = format!("GET /v1/capture?{query} HTTP/1.0\r\nHost: edge\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut read = Vec::new();
        while !read.windows(4).any(|window| window == b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            read.push(byte[0]);
        }
        assert!(read.starts_with(b"HTTP/1.0 200"), "{read:?}");
        read.clear();
        Capture { stream, read }
    }

    /// The file, once a limit or the end of the edge has ended it.
    fn file(mut self) -> Vec<u8> {
        self.stream.read_to_end(&mut self.read).unwrap();
        self.read
    }
}

/// Columns of each packet, by tshark; `None` without a tshark.
#[allow(clippy::print_stdout)] // a skipped test says so
fn tshark(file: &[u8], fields: &[&str]) -> Option<Vec<Vec<String>>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("capture.pcapng");
    std::fs::write(&path, file).unwrap();
    let mut command = Command::new("tshark");
    command.arg("-r").arg(&path).args(["-n", "-T", "fields"]);
    for field in ["frame.protocols", "_ws.malformed"].iter().chain(fields) {
        command.args(["-e", field]);
    }
    let output = match command.output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            println!("skipped: tshark is not installed");
            return None;
        }
        run => run.unwrap(),
    };
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let rows = text
        .lines()
        .map(|line| line.split('\t').map(str::to_owned).collect());
    Some(rows.collect())
}

struct Scene {
    setup: Setup,
    carrier: Far,
    pbx: Far,
}

fn scene() -> Scene {
    let net = Net::new();
    let [outside, inside] = v4_sides(&net, "udp", "tcp");
    let text = config(
        &outside.tables("outside", "trunk.carrier-a", "", "media = \"srtp\""),
        &inside.tables("inside", "pbx.main", "", ""),
    );
    let setup = Setup::with(net, &text);
    let [carrier, pbx] = [outside, inside].map(|side| Far::new(side, None));
    Scene {
        setup,
        carrier,
        pbx,
    }
}

impl Scene {
    fn call(&mut self, number: &str, id: &str) {
        let offer = self.carrier.agent.sdp().replace("RTP/AVP", "RTP/SAVP")
            + &format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\n");
        let answer = self.pbx.agent.sdp();
        let (call, _, _) = answered(
            (&mut self.carrier, &offer),
            (&mut self.pbx, &answer),
            number,
            id,
        );
        hang_up(&mut self.carrier, &mut self.pbx, &call);
    }

    /// Ends the edge, and with it a capture.
    fn end(self) {
        self.setup.edge.drain();
        self.setup.edge.join();
    }
}

#[test]
fn a_capture_holds_every_message_in_packets_that_tshark_reads_without_keys() {
    let mut scene = scene();
    let capture = Capture::start(&scene.setup, "");
    scene.call(NUMBER, "captured");
    let (carrier, edge) = (scene.setup.net.carrier, scene.setup.net.edge);
    scene.end();
    let file = capture.file();
    assert!(
        !file
            .windows(KEY.len())
            .any(|window| window == KEY.as_bytes())
    );
    let masked = "x".repeat(KEY.len());
    let mut windows = file.windows(masked.len());
    assert!(windows.any(|window| window == masked.as_bytes()));
    let fields = [
        "ip.src",
        "ip.dst",
        "sip.Method",
        "frame.interface_name",
        "tcp.analysis.flags",
    ];
    let Some(rows) = tshark(&file, &fields) else {
        return;
    };
    assert!(
        rows.iter()
            .all(|row| row[0].contains(":sip") && row[1].is_empty()),
        "{rows:#?}"
    );
    assert!(
        rows.iter().all(|row| row[6].is_empty()),
        "streams add up: {rows:#?}"
    );
    let invites: Vec<_> = rows.iter().filter(|row| row[4] == "INVITE").collect();
    assert_eq!(invites.len(), 2, "{rows:#?}");
    assert_eq!(invites[0][2..4], [carrier.to_string(), edge.to_string()]);
    let names: Vec<&str> = invites.iter().map(|row| row[5].as_str()).collect();
    assert_eq!(names, ["outside", "inside"]);
    assert!(rows.iter().any(|row| row[0].contains("tcp:sip")));
}

#[test]
fn filters_leave_out_what_was_not_asked_for_and_a_limit_ends_the_capture() {
    let mut scene = scene();
    let number = Capture::start(&scene.setup, "number=3305550103");
    let trunk = Capture::start(&scene.setup, "trunk=carrier-a&method=BYE");
    let one = Capture::start(&scene.setup, "packets=1");
    scene.call("+13305550102", "other");
    scene.call("+13305550103", "wanted");
    let (carrier, outside) = (scene.setup.net.carrier, scene.carrier.agent.local);
    // Ended by itself, while the edge runs.
    let one = one.file();
    scene.end();
    let (number, trunk) = (number.file(), trunk.file());
    let Some(rows) = tshark(&number, &["sip.To"]) else {
        return;
    };
    // More when the machine is slow and something is sent again.
    assert!(rows.len() >= 11, "the messages of one call: {rows:#?}");
    assert!(
        rows.iter().all(|row| row[2].contains("3305550103")),
        "{rows:#?}"
    );
    let rows = tshark(&trunk, &["sip.CSeq.method", "ip.addr", "udp.port"]).unwrap();
    assert_eq!(rows.len(), 4, "{rows:#?}");
    assert!(
        rows.iter()
            .all(|row| row[2] == "BYE" && row[3].contains(&carrier.to_string()))
    );
    assert_eq!(outside.ip(), carrier);
    assert_eq!(tshark(&one, &[]).unwrap().len(), 1);
}

#[test]
fn media_of_a_call_in_progress_is_captured_on_both_legs() {
    let net = Net::new();
    let [outside, inside] = v4_sides(&net, "udp", "udp");
    let text = config(
        &outside.tables("outside", "trunk.carrier-a", "", ""),
        &inside.tables("inside", "pbx.main", "", ""),
    );
    let setup = Setup::with(net, &text);
    let [mut carrier, mut pbx] = [outside, inside].map(|side| Far::new(side, None));
    let (offer, answer) = (carrier.agent.sdp(), pbx.agent.sdp());
    let (call, invite, ok) = answered(
        (&mut carrier, &offer),
        (&mut pbx, &answer),
        NUMBER,
        "with-media",
    );
    let id = setup.edge.calls().unwrap().calls[0].id.clone();
    let ours = Capture::start(&setup, &format!("call={id}&media=true"));
    let nobody = Capture::start(&setup, "number=3305550149&media=true");
    exchange(&carrier, &pbx, &ok, &invite);
    hang_up(&mut carrier, &mut pbx, &call);
    setup.edge.drain();
    setup.edge.join();
    let (ours, nobody) = (ours.file(), nobody.file());
    let port = carrier.agent.rtp.local_addr().unwrap().port();
    let Some(rows) = tshark(&ours, &["udp.port"]) else {
        return;
    };
    let media: Vec<_> = rows.iter().filter(|row| !row[0].contains("sip")).collect();
    // 20 each way, on each leg.
    assert_eq!(media.len(), 80, "{rows:#?}");
    let outside = media
        .iter()
        .filter(|row| row[2].contains(&port.to_string()));
    assert!(outside.count() >= 40);
    assert!(rows.len() > 80, "the end of the call is in it too");
    assert!(tshark(&nobody, &[]).unwrap().is_empty());
}

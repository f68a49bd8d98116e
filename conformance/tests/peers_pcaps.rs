//! Captures that tshark really writes, of a scan beside legitimate calls, and what `ringfence replay`
//! says of them: the scanner is found, and nothing is decided against anybody else, whatever the
//! kind of link and however the packets were cut up.

use std::net::Ipv4Addr;

use ringfence_conformance::town::{AGENT, FAR_NUMBER, Town};
use ringfence_peers::edge::Setup;
use ringfence_peers::tools;
use ringfence_peers::tshark::{Capture, Captured};
use serde_json::Value;

const PROGRAMS: [&str; 6] = ["tshark", "svmap", "svwar", "sipp", "kamailio", "baresip"];

/// What happens while tshark looks on.
fn scan_beside_calls(town: &Town, scanner: Ipv4Addr) {
    let (_carrier, _pbx) = (town.open_carrier(), town.open_pbx());
    let mut phone = town.open_phone();
    town.calls_come_in(1);
    town.scan("svmap", scanner, &["--fromname", AGENT]);
    let extensions = ["--force", "-e", "100-120", "-m", "REGISTER"];
    let domain = ["--domain", "summit.example", "--maximumtime", "3"];
    town.scan("svwar", scanner, &[extensions.as_slice(), &domain].concat());
    town.calls_come_in(1);
    town.calls_go_out(FAR_NUMBER, 1);
    town.phone_calls(&mut phone, FAR_NUMBER);
}

#[track_caller]
fn captured(
    town: &Town,
    interfaces: &[&str],
    scanner: Ipv4Addr,
    nobody: Ipv4Addr,
) -> Option<Captured> {
    let capture = Capture::of(interfaces, nobody).expect("tshark")?;
    scan_beside_calls(town, scanner);
    Some(capture.finish().expect("a file"))
}

/// The scanner is found in the file, in its first messages too, and nobody else; nothing is decided
/// against anybody else. The lines of its messages.
#[track_caller]
fn check(town: &Town, captured: &Captured, scanner: Ipv4Addr) -> Vec<Value> {
    assert!(
        captured
            .containing("friendly-scanner")
            .expect("read")
            .is_empty()
    );
    let file = captured.file().display().to_string();
    let output = town.edge().command(&["replay", &file, "--per-message"]);
    let output = output.expect("started");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let mut lines: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let report = lines.pop().expect("a report");
    assert_eq!(report["messages"].as_u64(), Some(lines.len() as u64));

    let list = |name: &str| report[name].as_array().cloned().unwrap_or_default();
    let is_of_scanner = |text: &Value| {
        let text = text.as_str().unwrap_or_default();
        text.contains(&scanner.to_string())
    };
    let findings = list("findings");
    assert!(!findings.is_empty(), "{report}\n{errors}");
    assert!(
        findings
            .iter()
            .all(|finding| is_of_scanner(&finding["source"])),
        "{report}"
    );
    let kinds: Vec<_> = findings
        .iter()
        .filter_map(|found| found["kind"].as_str())
        .collect();
    assert!(kinds.contains(&"scan"), "{kinds:?}");
    let decisions = list("decisions");
    assert!(!decisions.is_empty(), "{report}");
    for decision in decisions {
        assert!(is_of_scanner(&decision["against"]), "{decision}");
        assert_eq!(decision["action"], "tarpit", "nothing proves where it is");
    }
    for line in &lines {
        let of_scanner = is_of_scanner(&line["source"]);
        assert_eq!(line["hostile"].as_bool(), Some(of_scanner), "{line}");
    }
    let hostile = lines.iter().filter(|line| line["hostile"] == true).count();
    assert_eq!(report["hostile_messages"].as_u64(), Some(hostile as u64));
    assert!(hostile > 0);
    // The calls are in it, too, to their end.
    let of_others = |what: &str| {
        lines
            .iter()
            .any(|line| line["what"] == what && line["hostile"] == false)
    };
    for what in ["INVITE", "200", "ACK", "BYE", "REGISTER"] {
        assert!(of_others(what), "no {what} of a call in {file}");
    }
    lines
}

/// What tshark calls the link types of the file's interfaces.
#[track_caller]
fn link_types(captured: &Captured) -> Vec<String> {
    let mut all = captured.field("sip", "frame.encap_type").expect("read");
    all.sort();
    all.dedup();
    all
}

/// Numbers of link types in Wireshark's own counting.
const ETHERNET: &str = "1";
const RAW_IP: &str = "7";
const COOKED: [&str; 2] = ["25", "210"];

#[test]
fn a_scan_is_found_in_a_capture_of_ethernet_whose_packets_were_cut_up() {
    let name = "a_scan_is_found_in_a_capture_of_ethernet_whose_packets_were_cut_up";
    let Some(town) = Town::open(name, &PROGRAMS, &Setup::default()) else {
        return;
    };
    // Narrow cables: an offer does not pass the one, a probe not the other.
    for (place, far, near, bytes) in [
        (&town.carrier, "edge0", "carrier0", 600),
        (&town.street, "edge0", "street0", 300),
    ] {
        let set = |interface| format!("ip link set {interface} mtu {bytes}");
        town.host.run(&set(near)).expect("set");
        place.run(&set(far)).expect("set");
    }
    let scanner = town.stranger(66);
    let interfaces = ["carrier0", "office0", "street0"];
    let Some(captured) = captured(&town, &interfaces, scanner, town.stranger(250)) else {
        return tools::skip(name, "this user may not capture");
    };
    assert_eq!(link_types(&captured), [ETHERNET]);
    let cut = |from: Ipv4Addr| {
        let filter = format!("ip.flags.mf == 1 && ip.src == {from}");
        captured.packets(&filter).expect("read").len()
    };
    let edge = *town.edge().outside().ip();
    for from in [scanner, town.carrier_address(), edge] {
        assert!(cut(from) > 0, "{from} sent no fragments");
    }
    check(&town, &captured, scanner);
}

#[test]
fn a_scan_is_found_in_a_capture_of_all_interfaces_at_once() {
    let name = "a_scan_is_found_in_a_capture_of_all_interfaces_at_once";
    let Some(town) = Town::open(name, &PROGRAMS, &Setup::default()) else {
        return;
    };
    let scanner = town.stranger(66);
    let Some(captured) = captured(&town, &["any"], scanner, town.stranger(250)) else {
        return tools::skip(name, "this user may not capture");
    };
    let types = link_types(&captured);
    assert!(
        types.iter().all(|kind| COOKED.contains(&kind.as_str())),
        "{types:?}"
    );
    check(&town, &captured, scanner);
}

#[test]
fn a_scan_is_found_in_a_capture_of_a_tunnel_beside_ethernet() {
    let name = "a_scan_is_found_in_a_capture_of_a_tunnel_beside_ethernet";
    let Some(town) = Town::open(name, &PROGRAMS, &Setup::default()) else {
        return;
    };
    let (_tunnel, scanner) = match town.lay_tunnel() {
        Ok(laid) => laid,
        Err(error) => return tools::skip(name, &format!("no tunnels: {error}")),
    };
    let nobody = Ipv4Addr::new(10, 77, 4, 250);
    let interfaces = ["carrier0", "office0", "tun7"];
    let Some(captured) = captured(&town, &interfaces, scanner, nobody) else {
        return tools::skip(name, "this user may not capture");
    };
    assert_eq!(link_types(&captured), [ETHERNET, RAW_IP]);
    check(&town, &captured, scanner);
}

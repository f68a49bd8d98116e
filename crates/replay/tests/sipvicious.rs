//! A capture written by dumpcap: a phone registers again and again while svmap, svwar and svcrack
//! of SIPVicious are at work, each under its own name.

use std::io::Cursor;
use std::sync::Arc;

use ringfence_detect::feed::AddressList;
use ringfence_detect::own::Network;
use ringfence_replay::engine::{Replayed, Setting, replay};
use ringfence_replay::report::MessageLine;

const CAPTURE: &[u8] = include_bytes!("captures/vicious.pcapng");
const ATTACKER: &str = "127.0.0.1";
const PHONE: &str = "127.0.0.3";

fn judged(capture: &[u8], setting: &Setting) -> (Replayed, Vec<MessageLine>) {
    let mut lines = Vec::new();
    let replayed = replay(Cursor::new(capture), setting, |line| {
        lines.push(line.clone())
    });
    (replayed.expect("it is read"), lines)
}

#[test]
fn the_attacker_is_found_and_the_phone_is_not() {
    let (replayed, lines) = judged(CAPTURE, &Setting::default());
    let report = replayed.report;
    assert_eq!(report.messages, lines.len() as u64);
    assert_eq!(replayed.skipped.total(), 0);
    assert!(!report.findings.is_empty());
    for finding in &report.findings {
        assert_eq!(finding.source, ATTACKER, "{finding:?}");
    }
    let kinds: Vec<_> = report.findings.iter().map(|finding| finding.kind).collect();
    assert!(kinds.contains(&"scan"), "{kinds:?}");
    assert!(kinds.contains(&"guessing"), "{kinds:?}");
    let of_attacker = lines
        .iter()
        .filter(|line| line.source.starts_with(ATTACKER));
    assert_eq!(report.hostile_messages, of_attacker.count() as u64);
    assert!(
        lines
            .iter()
            .all(|line| !line.source.starts_with(PHONE) || !line.hostile)
    );
    assert!(
        report
            .decisions
            .iter()
            .all(|decision| !decision.against.contains(PHONE))
    );
    assert!(
        report
            .decisions
            .iter()
            .any(|decision| decision.action == "tarpit")
    );
}

#[test]
fn a_list_that_names_the_attacker_shortens_the_way_to_him_and_convicts_nobody() {
    let listing = |addresses: &[&str]| Setting {
        lists: vec![Arc::new(AddressList::new(
            "apiban",
            addresses
                .iter()
                .map(|it| Network::host(it.parse().expect("an address"))),
        ))],
        ..Setting::default()
    };
    let first = |setting: &Setting| {
        let (replayed, _) = judged(CAPTURE, setting);
        let findings = replayed.report.findings.into_iter();
        let findings: Vec<_> = findings
            .map(|it| (it.source, it.first_message, it.why))
            .collect();
        findings
    };
    let (without, with) = (first(&Setting::default()), first(&listing(&[ATTACKER])));
    assert!(
        with.iter()
            .any(|(.., why)| why.contains("listed by apiban")),
        "{with:?}"
    );
    assert!(
        without.iter().all(|(.., why)| !why.contains("listed")),
        "{without:?}"
    );
    // The phone is listed by mistake: it does nothing wrong, and nothing is found.
    let mistaken = first(&listing(&[PHONE]));
    assert!(
        mistaken.iter().all(|(source, ..)| source != PHONE),
        "{mistaken:?}"
    );
}

#[test]
fn messages_before_their_source_was_known_are_hostile_too() {
    let (_, lines) = judged(CAPTURE, &Setting::default());
    let hostile: Vec<_> = lines.iter().filter(|line| line.hostile).collect();
    let first_known = hostile
        .iter()
        .position(|line| line.known)
        .expect("it is known once");
    assert!(first_known > 0);
    assert!(
        hostile[first_known..]
            .iter()
            .all(|line| line.known && line.score >= 5.0)
    );
    assert!(
        hostile[0].tells.contains(&"from-equals-to"),
        "{:?}",
        hostile[0]
    );
}

#[test]
fn a_replay_says_the_same_twice() {
    let setting = Setting::default();
    assert_eq!(judged(CAPTURE, &setting), judged(CAPTURE, &setting));
}

#[test]
fn nobody_bans_a_trunk() {
    let network = ringfence_detect::own::Network::host(ATTACKER.parse().expect("an address"));
    let setting = Setting {
        peers: vec![(network, ringfence_detect::event::PeerRef::new(0), true)],
        ..Setting::default()
    };
    let (replayed, _) = judged(CAPTURE, &setting);
    for decision in replayed.report.decisions {
        assert!(
            decision.mode == "refused" || decision.action != "block",
            "{decision:?}"
        );
    }
}

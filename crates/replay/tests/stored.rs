//! Kept events through the judge, on their own time.

use std::convert::Infallible;

use ringfence_base::{HashKey, Instant, ListenerId, Transport, UnixTime};
use ringfence_detect::codec::Kept;
use ringfence_detect::decision::Mode;
use ringfence_detect::event::{
    Asked, BindingChange, CredentialsOutcome, Event, Fingerprint, MethodKind, PeerRef, Principal,
    Proof, Refusal, Shape, Source, Tells, What,
};
use ringfence_detect::ladder::Modes;
use ringfence_detect::name::Name;
use ringfence_detect::own::Network;
use ringfence_replay::engine::Setting;
use ringfence_replay::stored::{Question, StoredReport, replay};
use ringfence_sip::Defects;

const KEY: HashKey = HashKey::from_bytes([7; 16]);
const SECOND: i64 = 1_000_000;
const START: i64 = 1_800_000_000 * SECOND;
const ATTACKER: &str = "203.0.113.66";
const PHONE: &str = "198.51.100.10";
const SHAPE: Shape = Shape {
    fingerprint: Fingerprint(1),
    tells: Tells::NONE,
};

fn at(seconds: i64) -> UnixTime {
    UnixTime::from_micros(START + seconds * SECOND)
}

fn kept(seconds: i64, from: &str, what: What) -> Kept {
    let source = Source {
        remote: format!("{from}:5060").parse().unwrap(),
        listener: ListenerId::new(0),
        transport: Transport::Tcp,
        proof: Proof::StreamEstablished,
        principal: Principal::Stranger,
    };
    Kept::Event {
        at: at(seconds),
        event: Event {
            at: Instant::ZERO,
            source,
            what,
        },
    }
}

fn asked(user: i64) -> Asked {
    Asked {
        method: MethodKind::Register,
        target: Name::new(KEY, user.to_string().as_bytes()),
        shape: SHAPE,
        transaction: user.cast_unsigned(),
    }
}

fn refused(seconds: i64, from: &str, user: i64) -> Kept {
    let reason = Refusal::Stranger;
    let asked = asked(user);
    kept(seconds, from, What::Refused { reason, asked })
}

fn registered(seconds: i64, from: &str, account: &str) -> Kept {
    let what = What::Registered {
        account: Name::new(KEY, account.as_bytes()),
        change: BindingChange::default(),
        shape: SHAPE,
    };
    kept(seconds, from, what)
}

fn wrong(seconds: i64, from: &str, account: &str) -> Kept {
    let what = What::Credentials {
        account: Name::new(KEY, account.as_bytes()),
        outcome: CredentialsOutcome::Wrong,
        nonce: 0,
        shape: SHAPE,
    };
    kept(seconds, from, what)
}

fn scan(from: &str) -> Vec<Kept> {
    let requests = 0..20;
    requests
        .map(|index| refused(index, from, 100 + index))
        .collect()
}

fn run(setting: &Setting, since: i64, until: i64, all: &[Kept]) -> StoredReport {
    let question = Question {
        key: KEY,
        setting,
        accounts: None,
        since: at(since),
        until: at(until),
    };
    let done: Result<StoredReport, Infallible> = replay(&question, |each| {
        all.iter().copied().for_each(each);
        Ok(())
    });
    done.unwrap()
}

#[test]
fn a_scan_is_found_with_its_time_and_all_its_messages() {
    let report = run(&Setting::default(), 0, 3_600, &scan(ATTACKER));
    assert_eq!((report.messages, report.hostile_messages), (20, 20));
    let found = &report.findings[0];
    assert_eq!(found.finding.kind, "scan");
    assert_eq!(found.finding.source, ATTACKER);
    assert_eq!(
        (found.finding.first_message, found.finding.last_message),
        (1, 20)
    );
    assert!((START..START + 20 * SECOND).contains(&found.first_at_us));
    let block = report
        .decisions
        .iter()
        .find(|line| line.decision.action == "block");
    let block = block.expect("its address is proved");
    assert_eq!(block.decision.mode, "enforce");
    assert!((START..START + 20 * SECOND).contains(&block.at_us));
    assert_eq!((report.events, report.own_events), (20, 0));
    assert_eq!(report.touched, []);
    let span = (report.first_at_us, report.last_at_us);
    assert_eq!(span, (Some(START), Some(START + 19 * SECOND)));
}

/// The judge says an incident at its 1st, 8th, 64th event; a replay says when it was over.
#[test]
fn a_scanner_that_comes_back_is_one_finding_from_first_to_last() {
    let mut all = scan(ATTACKER);
    let day = 86_400;
    all.extend((0..20).map(|index| refused(day + index, ATTACKER, 200 + index)));
    all.push(refused(3 * day, "192.0.2.99", 1));
    let report = run(&Setting::default(), 0, 4 * day, &all);
    let found = report.findings.iter();
    let mut scans = found.filter(|found| found.finding.kind == "enumeration");
    let scan = scans.next().expect("a scan of accounts");
    assert!(scans.next().is_none());
    assert!((START..START + 20 * SECOND).contains(&scan.first_at_us));
    assert_eq!(scan.last_at_us, START + (day + 19) * SECOND);
    assert_eq!(scan.finding.messages, 40);
}

#[test]
fn only_the_time_that_is_asked_about_is_judged() {
    let all = scan(ATTACKER);
    let before = run(&Setting::default(), 3_600, 7_200, &all);
    assert_eq!((before.events, before.findings.len()), (0, 0));
    let after = run(&Setting::default(), -7_200, -3_600, &all);
    assert_eq!((after.events, after.first_at_us), (0, None));
    let half = run(&Setting::default(), 5, 10, &all);
    assert_eq!((half.events, half.messages), (5, 5));
}

/// A phone that registered long before what is asked about still has its place.
#[test]
fn a_place_that_was_known_before_is_never_blocked() {
    let guesses = (0..20).map(|index| wrong(10_000 + index, PHONE, "301"));
    let strange: Vec<Kept> = guesses.clone().collect();
    let blocks = |report: &StoredReport| {
        let lines = report.decisions.iter();
        let mut blocks = lines.filter(|line| line.decision.against == PHONE);
        blocks.any(|line| line.decision.mode == "enforce")
    };
    assert!(blocks(&run(&Setting::default(), 9_000, 20_000, &strange)));
    let mut known = vec![registered(0, PHONE, "201")];
    known.extend(guesses.clone());
    let report = run(&Setting::default(), 9_000, 20_000, &known);
    assert_eq!(report.events, 20, "the registration itself is not judged");
    assert!(!blocks(&report), "{:?}", report.decisions);
    let place = Kept::Place {
        address: PHONE.parse().unwrap(),
        account: Name::new(KEY, b"201"),
    };
    let mut restored = vec![place];
    restored.extend(guesses);
    assert!(!blocks(&run(&Setting::default(), 9_000, 20_000, &restored)));
}

#[test]
fn a_trunk_is_never_blocked_and_what_was_due_is_said() {
    let setting = Setting {
        peers: vec![(
            Network::host(ATTACKER.parse().unwrap()),
            PeerRef::new(0),
            true,
        )],
        ..Setting::default()
    };
    let report = run(&setting, 0, 3_600, &scan(ATTACKER));
    let enforced =
        |line: &ringfence_replay::stored::StoredDecision| line.decision.mode != "refused";
    assert!(
        !report.decisions.iter().any(enforced),
        "{:?}",
        report.decisions
    );
}

/// Who knocks until the door is shut, and then logs in: a customer all the same, and he is named.
#[test]
fn a_customer_behind_a_block_is_named() {
    let setting = Setting {
        modes: Modes::all(Mode::Observe),
        ..Setting::default()
    };
    let mut all = scan(PHONE);
    all.push(registered(25, PHONE, "201"));
    all.push(registered(26, PHONE, "201"));
    let report = run(&setting, 0, 3_600, &all);
    assert_eq!(report.own_events, 2);
    let [touched] = report.touched.as_slice() else {
        panic!("{:?} {:?}", report.touched, report.decisions);
    };
    assert_eq!((touched.source.as_str(), touched.who), (PHONE, "phone"));
    assert_eq!((touched.kind, touched.mode), ("enumeration", "observe"));
    assert_eq!(touched.first_at_us, START + 25 * SECOND);
    // His registration ends the block.
    assert_eq!(touched.events, 1);
}

#[test]
fn a_broken_message_that_is_refused_is_one_message() {
    let defects = Defects::MISSING_TO;
    let broken = |seconds| {
        kept(
            seconds,
            ATTACKER,
            What::Defective {
                defects,
                shape: SHAPE,
            },
        )
    };
    let silent = kept(3, ATTACKER, What::StreamWithoutMessage);
    let all = [
        broken(0),
        refused(0, ATTACKER, 1),
        refused(0, ATTACKER, 2),
        broken(1),
        broken(1),
        silent,
    ];
    let report = run(&Setting::default(), 0, 3_600, &all);
    assert_eq!((report.events, report.messages), (6, 4));
}

#[test]
fn a_clock_that_was_set_back_stops_nothing() {
    let mut all = scan(ATTACKER);
    all.extend((0..5).map(|index| refused(-3_000 + index, ATTACKER, 200 + index)));
    let report = run(&Setting::default(), -4_000, 3_600, &all);
    assert_eq!(report.messages, 25);
    assert_eq!(report.first_at_us, Some(START - 3_000 * SECOND));
}

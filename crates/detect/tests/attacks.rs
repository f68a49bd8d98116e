//! What attackers do, and that it is found in time.

mod common;

use common::{Judge, PHONE, TOOL, name, tcp, udp};
use ringfence_detect::decision::Action;
use ringfence_detect::event::{
    Asked, Attestation, BindingChange, CallRef, CallStep, CredentialsOutcome, Direction, Forgery,
    MethodKind, PeerRef, Principal, Proof, Refusal, Shape, SiteRef, Tells, What,
};
use ringfence_detect::finding::{Kind, Subject};
use ringfence_sip::Defects;
use std::net::IpAddr;

const ATTACKER: &str = "203.0.113.66";
const HOME: &str = "198.51.100.10";

/// What a SIPVicious of any name builds.
const VICIOUS: Shape = Shape {
    fingerprint: ringfence_detect::event::Fingerprint(3),
    tells: Tells::TAG_HIDES_ADDRESS
        .with(Tells::FROM_EQUALS_TO)
        .with(Tells::TO_BEFORE_FROM)
        .with(Tells::DECIMAL_BRANCH),
};

#[test]
fn a_scanner_with_tells_is_found_by_its_first_probe() {
    let mut judge = Judge::new();
    judge.refused(ATTACKER, "100", VICIOUS);
    assert_eq!(judge.kinds(), [Kind::Scan]);
    let why = judge.incidents[0].finding.explain();
    assert!(why.contains("tag-hides-address"), "{why}");
    assert!(judge.incidents[0].finding.is_spoofable());
    assert_eq!(judge.decisions[0].action(), Action::Tarpit, "never banned");
}

#[test]
fn a_scanner_that_is_built_like_a_phone_is_found_by_its_fifth() {
    let mut judge = Judge::new();
    for user in ["100", "101", "102", "103", "104"] {
        judge.refused(ATTACKER, user, PHONE);
    }
    assert!(!judge.kinds().is_empty());
}

#[test]
fn a_scanner_among_phones_is_found_within_a_second() {
    let mut judge = Judge::new();
    for number in 100..110 {
        judge.challenged(ATTACKER, &number.to_string(), PHONE);
    }
    assert!(judge.kinds().is_empty(), "a right answer may still come");
    judge.millis(1_000);
    assert!(
        judge.kinds().contains(&Kind::Enumeration),
        "{:?}",
        judge.kinds()
    );
}

#[test]
fn a_scanner_of_accounts_that_do_not_exist_is_found_by_its_third() {
    let mut judge = Judge::new();
    judge.watch.set_accounts(Some([name("201")]));
    for number in 100..103 {
        assert!(judge.kinds().is_empty());
        judge.challenged(ATTACKER, &number.to_string(), PHONE);
    }
    assert_eq!(judge.kinds(), [Kind::Scan]);
    assert_eq!(judge.decisions[0].action(), Action::Tarpit, "never banned");
}

#[test]
fn a_slow_scanner_is_found_over_hours() {
    let mut judge = Judge::new();
    for number in 100..112 {
        judge.challenged(ATTACKER, &number.to_string(), PHONE);
        judge.wait(std::time::Duration::from_secs(30 * 60));
    }
    assert!(judge.kinds().contains(&Kind::Enumeration));
}

#[test]
fn enumeration_with_one_request_from_each_address_is_found_within_50() {
    let mut judge = Judge::new();
    let mut needed = 0;
    for probe in 1..=50_u32 {
        judge.challenged(
            &format!("203.0.{}.{}", probe / 7, probe),
            &(100 + probe).to_string(),
            TOOL,
        );
        judge.millis(2_000);
        if !judge.kinds().is_empty() {
            needed = probe;
            break;
        }
    }
    assert!(needed > 0 && needed <= 50, "{needed}");
    assert!(matches!(
        judge.incidents[0].subject,
        Subject::Fingerprint(_)
    ));
    assert!(
        judge
            .decisions
            .iter()
            .all(|decision| !decision.action().is_ban())
    );
}

#[test]
fn enumeration_that_changes_its_build_each_time_is_found_within_50() {
    let mut judge = Judge::new();
    for probe in 1..=50_u64 {
        let shape = Shape {
            fingerprint: ringfence_detect::event::Fingerprint(1_000 + probe),
            tells: Tells::NONE,
        };
        judge.challenged(
            &format!("203.0.113.{probe}"),
            &(100 + probe).to_string(),
            shape,
        );
        judge.millis(2_000);
    }
    assert_eq!(judge.kinds(), [Kind::Enumeration]);
    assert_eq!(judge.incidents[0].subject, Subject::Edge);
}

#[test]
fn a_guesser_is_blocked_since_it_echoed_our_nonce() {
    let mut judge = Judge::new();
    for _ in 0..5 {
        judge.wrong(ATTACKER, "100", TOOL);
        judge.millis(100);
    }
    assert!(
        judge.kinds().contains(&Kind::Guessing),
        "{:?}",
        judge.kinds()
    );
    assert!(judge.is_blocked(ATTACKER));
    judge.wait(std::time::Duration::from_secs(61));
    assert!(!judge.is_blocked(ATTACKER), "it expires");
}

#[test]
fn wrong_answers_to_no_nonce_of_ours_ban_nobody() {
    let mut judge = Judge::new();
    for _ in 0..200 {
        judge.credentials(HOME, "100", CredentialsOutcome::WrongForgedNonce, TOOL);
        judge.millis(100);
    }
    assert!(judge.banned().is_empty());
}

#[test]
fn one_password_on_many_accounts_is_spraying_and_one_try_each_is_stuffing() {
    let mut judge = Judge::new();
    for account in 0..6 {
        judge.wrong(ATTACKER, &format!("user{account}"), TOOL);
        judge.wait(std::time::Duration::from_secs(60));
    }
    assert!(
        judge.kinds().contains(&Kind::Stuffing),
        "{:?}",
        judge.kinds()
    );

    let mut judge = Judge::new();
    for _ in 0..3 {
        for account in 0..5 {
            judge.wrong(ATTACKER, &format!("user{account}"), TOOL);
            judge.wait(std::time::Duration::from_secs(60));
        }
    }
    assert!(
        judge.kinds().contains(&Kind::Spraying),
        "{:?}",
        judge.kinds()
    );
}

#[test]
fn guesses_from_many_places_are_found_and_do_not_lock_the_owner_out() {
    let mut judge = Judge::new();
    judge.registers(HOME, "100", PHONE);
    for place in 1..=9 {
        judge.wrong(&format!("203.0.113.{place}"), "100", TOOL);
        judge.wait(std::time::Duration::from_secs(60));
    }
    let subjects: Vec<Subject> = judge.incidents.iter().map(|each| each.subject).collect();
    assert!(
        subjects.contains(&Subject::Account(name("100"))),
        "{subjects:?}"
    );
    assert!(!judge.is_blocked(HOME) && judge.banned().is_empty());
}

#[test]
fn the_first_success_from_a_new_place_after_failures_alarms_at_once() {
    let mut judge = Judge::new();
    judge.registers(HOME, "100", PHONE);
    for place in 1..=3 {
        judge.wrong(&format!("203.0.113.{place}"), "100", TOOL);
    }
    judge.credentials(ATTACKER, "100", CredentialsOutcome::Right, TOOL);
    let alarm = judge
        .incidents
        .iter()
        .find(|each| each.kind == Kind::Compromise);
    let alarm = alarm.expect("an alarm");
    assert_eq!(alarm.subject, Subject::Account(name("100")));
    assert_eq!(alarm.finding.source, Some(ATTACKER.parse().unwrap()));
    // A stolen password makes no place the customer's.
    assert!(
        judge
            .watch
            .harm(judge.now, ATTACKER.parse().unwrap())
            .is_nobody()
    );
    judge.credentials(ATTACKER, "100", CredentialsOutcome::Right, TOOL);
    assert!(
        judge
            .watch
            .harm(judge.now, ATTACKER.parse().unwrap())
            .is_nobody()
    );
}

/// Many passwords in vain, each on another account from another address, with [`TOOL`].
fn stuffs(judge: &mut Judge) {
    for nth in 1..=14 {
        judge.wrong(&format!("203.0.113.{nth}"), &format!("{}", 300 + nth), TOOL);
    }
}

#[test]
fn a_leaked_password_that_works_at_its_first_try_alarms_when_its_program_tries_many() {
    let mut judge = Judge::new();
    judge.registers(HOME, "100", PHONE);
    stuffs(&mut judge);
    judge.credentials(ATTACKER, "100", CredentialsOutcome::Right, TOOL);
    let mut alarms = judge
        .incidents
        .iter()
        .filter(|each| each.kind == Kind::Compromise);
    let alarm = alarms.next().expect("an alarm");
    assert_eq!(alarm.subject, Subject::Account(name("100")));
    // It may be a new phone: nothing is done.
    let all = judge.watch.in_force();
    let restricts = all.iter().any(|it| it.action() == Action::RestrictCalls);
    assert!(!restricts && judge.banned().is_empty());
}

#[test]
fn a_phone_that_moves_while_others_are_attacked_is_no_alarm() {
    let mut judge = Judge::new();
    judge.registers(HOME, "100", PHONE);
    // Built as before, from a new place; and an account that is seen for the first time.
    stuffs(&mut judge);
    judge.credentials(ATTACKER, "100", CredentialsOutcome::Right, PHONE);
    judge.credentials(ATTACKER, "101", CredentialsOutcome::Right, TOOL);
    assert!(!judge.kinds().contains(&Kind::Compromise));
    // And a program of the customer's own is none that tries.
    let mut judge = Judge::new();
    judge.registers(HOME, "100", PHONE);
    judge.registers(HOME, "102", TOOL);
    stuffs(&mut judge);
    judge.credentials(ATTACKER, "100", CredentialsOutcome::Right, TOOL);
    assert!(!judge.kinds().contains(&Kind::Compromise));
}

#[test]
fn an_account_in_other_hands_is_restricted_for_a_day_and_can_be_given_back() {
    let mut judge = Judge::new();
    judge.registers(HOME, "100@a.example", PHONE);
    for place in 1..=3 {
        judge.wrong(&format!("203.0.113.{place}"), "100@a.example", TOOL);
    }
    judge.credentials(ATTACKER, "100@a.example", CredentialsOutcome::Right, TOOL);
    let restricted = |judge: &Judge| {
        let all = judge.watch.in_force().iter();
        let of_calls = all.filter(|each| each.action() == Action::RestrictCalls);
        of_calls.map(|each| *each.against()).collect::<Vec<_>>()
    };
    let account = Subject::Account(name("100@a.example"));
    assert_eq!(restricted(&judge), [account]);
    assert!(judge.banned().is_empty());
    assert_eq!(judge.watch.lift_account("10"), 0);
    assert_eq!(judge.watch.lift_account("100@b.example"), 0);
    assert_eq!(judge.watch.lift_account("100"), 1);
    assert_eq!(restricted(&judge), []);
}

#[test]
fn failures_at_one_tenants_phone_say_nothing_of_another_tenants() {
    let mut judge = Judge::new();
    judge.registers(HOME, "100@a.example", PHONE);
    for place in 1..=9 {
        judge.wrong(&format!("203.0.113.{place}"), "100@b.example", TOOL);
    }
    judge.credentials(ATTACKER, "100@a.example", CredentialsOutcome::Right, PHONE);
    assert!(!judge.kinds().contains(&Kind::Compromise));
}

#[test]
fn a_registration_that_moves_to_another_program_and_device_is_reported() {
    let mut judge = Judge::new();
    let home = BindingChange {
        instance: 1,
        contact: 1,
        after: 1,
        ..BindingChange::default()
    };
    judge.registered(HOME, "100", PHONE, home);
    let gone = BindingChange {
        removed_all: true,
        before: 1,
        ..BindingChange::default()
    };
    let moved = BindingChange {
        instance: 2,
        contact: 2,
        before: 1,
        after: 1,
        first_choice: true,
        ..BindingChange::default()
    };
    judge.registered(ATTACKER, "100", TOOL, gone);
    judge.registered(ATTACKER, "100", TOOL, moved);
    let mut shadow = Judge::new();
    shadow.registered(HOME, "100", PHONE, home);
    shadow.registered(ATTACKER, "100", TOOL, moved);
    assert!(shadow.kinds().contains(&Kind::RegistrationHijack));
}

#[test]
fn contacts_at_the_carrier_that_are_not_ours_alarm_at_once() {
    let mut judge = Judge::new();
    let mut carrier = udp("192.0.2.1", Proof::ViaCookieReturned);
    carrier.principal = Principal::Trunk(PeerRef::new(0));
    let contact = name("sip:thief@203.0.113.66");
    judge.event(carrier, What::AlienBinding { contact, count: 1 });
    assert_eq!(judge.kinds(), [Kind::AlienBinding]);
    assert!(judge.incidents[0].finding.explain().contains("thief"));
}

#[test]
fn the_customers_own_number_from_outside_is_impossible() {
    let mut judge = Judge::new();
    let mut carrier = udp("192.0.2.1", Proof::None);
    carrier.principal = Principal::Trunk(PeerRef::new(0));
    let call = |calling_is_own| What::Call {
        call: CallRef::new(5),
        site: SiteRef::new(0),
        step: CallStep::Offered {
            direction: Direction::Inbound,
            calling: name("+13305550100"),
            called: name("+13305550101"),
            emergency: false,
            calling_is_own,
            attestation: Attestation::Absent,
            shape: PHONE,
        },
    };
    judge.event(carrier, call(false));
    assert!(judge.kinds().is_empty());
    judge.event(carrier, call(true));
    assert_eq!(judge.kinds(), [Kind::CallerIdImpossible]);
}

#[test]
fn a_request_into_a_call_of_others_is_reported_and_its_address_not_believed() {
    let mut judge = Judge::new();
    let what = What::Forged {
        method: MethodKind::Bye,
        forgery: Forgery::Source,
        call: Some(CallRef::new(9)),
    };
    judge.event(udp(ATTACKER, Proof::None), what);
    assert_eq!(judge.incidents[0].subject, Subject::Call(CallRef::new(9)));
    assert!(judge.banned().is_empty());
    judge.event(tcp(ATTACKER), what);
    assert_eq!(judge.banned(), [ATTACKER.parse::<IpAddr>().unwrap()]);
}

#[test]
fn floods_and_broken_messages_of_a_proven_stranger_are_blocked() {
    let mut judge = Judge::new();
    for _ in 0..20 {
        let what = What::Defective {
            defects: Defects::CONTENT_LENGTH_CONFLICT,
            shape: TOOL,
        };
        judge.event(tcp(ATTACKER), what);
    }
    assert_eq!(judge.kinds(), [Kind::Malformed]);
    assert!(judge.is_blocked(ATTACKER));

    let mut judge = Judge::new();
    for _ in 0..2_000 {
        judge.event(tcp(ATTACKER), What::StrayResponse);
        judge.millis(1);
    }
    assert_eq!(judge.kinds(), [Kind::Flood]);
    assert!(judge.is_blocked(ATTACKER));
}

#[test]
fn an_event_of_a_time_that_is_not_yet_is_refused_and_counted() {
    let mut judge = Judge::new();
    let event = ringfence_detect::event::Event {
        at: judge.now + std::time::Duration::from_secs(3_600),
        source: tcp(ATTACKER),
        what: What::StrayResponse,
    };
    judge.watch.handle_event(judge.now, &event);
    assert_eq!(judge.watch.counters().events_refused, 1);
    assert_eq!(judge.watch.counters().events, 0);
}

fn invite(called: &str, transaction: u64) -> Asked {
    Asked {
        method: MethodKind::Invite,
        target: name(called),
        shape: Shape::default(),
        transaction,
    }
}

#[test]
fn a_phone_system_that_calls_in_the_name_of_others_is_found_and_never_banned() {
    let mut judge = Judge::new();
    let mut pbx = udp("192.0.2.11", Proof::None);
    pbx.principal = Principal::Pbx(PeerRef::new(1));
    for number in 0..5 {
        assert!(!judge.kinds().contains(&Kind::PbxTakeover), "{number}");
        let asked = invite(&format!("+1555000{number:04}"), number);
        let reason = Refusal::CallingNumber;
        judge.event(pbx, What::Refused { reason, asked });
    }
    assert!(judge.kinds().contains(&Kind::PbxTakeover));
    assert!(judge.banned().is_empty());
}

#[test]
fn one_forward_that_shows_the_callers_number_is_no_takeover() {
    let mut judge = Judge::new();
    let mut pbx = udp("192.0.2.11", Proof::None);
    pbx.principal = Principal::Pbx(PeerRef::new(1));
    for transaction in 0..50 {
        let asked = invite("+15550001111", transaction);
        let reason = Refusal::CallingNumber;
        judge.event(pbx, What::Refused { reason, asked });
    }
    assert!(!judge.kinds().contains(&Kind::PbxTakeover));
}

#[test]
fn whoever_asks_for_our_credentials_inside_a_call_is_found() {
    let mut judge = Judge::new();
    let carrier = udp("198.51.100.20", Proof::ViaCookieReturned);
    let asked = What::AskedForCredentials {
        method: MethodKind::Bye,
        within: true,
    };
    judge.event(carrier, asked);
    assert_eq!(judge.kinds(), [Kind::DigestLeak]);
    assert!(judge.banned().is_empty());
}

//! What customers do, and that nobody is hurt: busy days, storms, offices behind one address,
//! addresses that others write.

mod common;

use common::{Judge, KEY, PHONE, TOOL, name, udp};
use proptest::prelude::*;
use ringfence_base::Instant;
use ringfence_detect::decision::{Decision, Harm, Mode};
use ringfence_detect::event::{
    CredentialsOutcome, Event, Fingerprint, PeerRef, Principal, Proof, Shape, Source, Tells, What,
};
use ringfence_detect::finding::{Kind, Subject};
use ringfence_detect::ladder::Modes;
use ringfence_detect::own::Network;
use ringfence_detect::watch::{Limits, Verdict, Watch};
use std::net::IpAddr;
use std::time::Duration;

const OFFICE: &str = "198.51.100.10";

#[test]
fn an_office_that_comes_back_after_an_outage_is_no_attack() {
    let mut judge = Judge::new();
    // The first day: nobody is known yet, and all 200 phones ask at once.
    for phone in 0..200 {
        judge.challenged(OFFICE, &format!("phone{phone}"), PHONE);
    }
    judge.millis(300);
    for phone in 0..200 {
        judge.registers(OFFICE, &format!("phone{phone}"), PHONE);
    }
    judge.millis(5_000);
    assert!(judge.incidents.is_empty(), "{:?}", judge.kinds());
    assert_eq!(judge.watch.score(judge.now, OFFICE.parse().unwrap()), 0.0);
}

#[test]
fn remote_phones_that_come_back_all_at_once_are_no_campaign() {
    let mut judge = Judge::new();
    for round in 0..3 {
        for phone in 0..150 {
            judge.challenged(
                &format!("198.51.100.{phone}"),
                &format!("phone{phone}"),
                PHONE,
            );
        }
        // The network is back for some only, and slow.
        judge.millis(if round == 0 { 400 } else { 5_000 });
        for phone in 0..150 {
            judge.registers(
                &format!("198.51.100.{phone}"),
                &format!("phone{phone}"),
                PHONE,
            );
        }
        judge.wait(Duration::from_secs(600));
    }
    assert!(judge.incidents.is_empty(), "{:?}", judge.kinds());
}

#[test]
fn a_phone_without_a_password_is_no_scanner() {
    let mut judge = Judge::new();
    for _ in 0..200 {
        judge.challenged("203.0.113.5", "reception", PHONE);
        judge.wait(Duration::from_secs(30));
    }
    assert!(judge.incidents.is_empty(), "{:?}", judge.kinds());
}

#[test]
fn a_phone_whose_account_is_misspelt_is_no_scanner() {
    let mut judge = Judge::new();
    judge.watch.set_accounts(Some([name("201")]));
    for _ in 0..100 {
        judge.challenged(OFFICE, "2O1", PHONE);
        judge.credentials(OFFICE, "2O1", CredentialsOutcome::WrongAccount, PHONE);
        judge.millis(60_000);
    }
    assert!(!judge.kinds().contains(&Kind::Scan), "{:?}", judge.kinds());
    assert!(!judge.kinds().contains(&Kind::Enumeration));
}

#[test]
fn behind_one_nat_only_the_bad_account_loses() {
    let mut judge = Judge::new();
    judge.registers(OFFICE, "good", PHONE);
    for _ in 0..20 {
        judge.wrong(OFFICE, "stolen", TOOL);
        judge.millis(200);
    }
    assert!(judge.banned().is_empty() && !judge.is_blocked(OFFICE));
    let limited: Vec<&Subject> = judge.decisions.iter().map(Decision::against).collect();
    let place: IpAddr = OFFICE.parse().unwrap();
    assert_eq!(limited, [&Subject::AccountFrom(name("stolen"), place)]);
}

#[test]
fn an_account_that_registered_well_from_there_is_spared_and_the_harm_is_named() {
    let mut judge = Judge::new();
    judge.registers(OFFICE, "boss", PHONE);
    for _ in 0..20 {
        judge.wrong(OFFICE, "boss", TOOL);
        judge.millis(200);
    }
    assert!(judge.decisions.is_empty());
    assert_eq!(judge.refused[0], "it would have met 1 account");
}

#[test]
fn a_password_that_is_mistyped_at_home_alarms_nobody() {
    let mut judge = Judge::new();
    judge.registers(OFFICE, "100", PHONE);
    for _ in 0..4 {
        judge.wrong(OFFICE, "100", PHONE);
        judge.wait(Duration::from_secs(20));
    }
    judge.registers(OFFICE, "100", PHONE);
    // The same person travels.
    judge.registers("203.0.113.200", "100", PHONE);
    assert!(judge.incidents.is_empty(), "{:?}", judge.kinds());
}

#[test]
fn a_first_phone_that_is_set_up_with_some_mistakes_alarms_nobody() {
    let mut judge = Judge::new();
    for _ in 0..4 {
        judge.wrong(OFFICE, "new", PHONE);
        judge.wait(Duration::from_secs(15));
    }
    judge.registers(OFFICE, "new", PHONE);
    assert!(judge.incidents.is_empty(), "{:?}", judge.kinds());
}

#[test]
fn a_wrong_answer_that_is_made_right_costs_nothing() {
    let mut judge = Judge::new();
    for day in 0..300 {
        judge.wrong(OFFICE, "100", PHONE);
        judge.registers(OFFICE, "100", PHONE);
        judge.wait(Duration::from_secs(if day % 2 == 0 { 1 } else { 60 }));
    }
    assert!(judge.incidents.is_empty(), "{:?}", judge.kinds());
}

#[test]
fn a_stray_scan_from_a_customers_own_place_bans_nobody() {
    let mut judge = Judge::new();
    judge.registers(OFFICE, "100", PHONE);
    for number in 0..100 {
        judge.challenged(OFFICE, &number.to_string(), TOOL);
    }
    judge.millis(2_000);
    assert!(judge.banned().is_empty());
}

/// Found, said, and not acted upon: whoever wrote the source, somebody of the customer's is there.
#[test]
fn a_flood_that_claims_a_customers_place_slows_nobody() {
    let mut judge = Judge::new();
    judge.registers(OFFICE, "100", PHONE);
    judge.millis(2_000);
    for number in 0..1_000 {
        judge.refused(OFFICE, &number.to_string(), TOOL);
    }
    judge.millis(2_000);
    assert!(judge.kinds().contains(&Kind::Flood), "{:?}", judge.kinds());
    assert!(judge.decisions.is_empty(), "{:?}", judge.decisions);
}

#[test]
fn memory_stays_within_its_budget_under_a_flood_of_made_up_addresses_and_the_proven_stay() {
    let mut judge = Judge::new();
    for _ in 0..4 {
        judge.wrong("203.0.113.66", "100", TOOL);
    }
    let mut top = 0;
    for number in 0..120_000_u32 {
        let from = IpAddr::V4((0x0a00_0000 + number * 7).into());
        let shape = Shape {
            fingerprint: Fingerprint(u64::from(number)),
            tells: Tells::NONE,
        };
        judge.challenged(&from.to_string(), &number.to_string(), shape);
        if number % 30_000 == 0 {
            top = top.max(judge.watch.memory());
        }
    }
    let memory = judge.watch.memory();
    assert!(memory < 24 << 20, "{memory} bytes, {top} before");
    let evicted = judge.watch.counters().sources_evicted;
    assert!(evicted[0] > 50_000 && evicted[1..] == [0, 0], "{evicted:?}");
    // The guesser is still known: one more and it is found.
    judge.wrong("203.0.113.66", "100", TOOL);
    judge.wrong("203.0.113.66", "100", TOOL);
    assert!(judge.kinds().contains(&Kind::Guessing));
}

/// One event of a world in which anybody writes any address.
#[derive(Clone, Debug)]
struct Spoofed {
    address: u8,
    stream: bool,
    what: u8,
    account: u8,
    shape: u8,
    step: u16,
}

fn spoofed() -> impl Strategy<Value = Spoofed> {
    (0_u8..24, 0_u8..10, 0_u8..9, 0_u8..6, 0_u8..4, 0_u16..3_000).prop_map(
        |(address, stream, what, account, shape, step)| Spoofed {
            address,
            stream: stream == 0,
            what,
            account,
            shape,
            step,
        },
    )
}

fn address_of(number: u8) -> IpAddr {
    match number {
        // A trunk's address, a block of a trunk, a PBX.
        0 => "192.0.2.1".parse().unwrap(),
        1..=3 => IpAddr::from([192, 0, 3, number]),
        4 => "10.0.0.5".parse().unwrap(),
        // Places with good registrations.
        5..=8 => IpAddr::from([198, 51, 100, number]),
        9 => "2001:db8:5::77".parse().unwrap(),
        // Everybody else.
        _ => IpAddr::from([203, 0, 113, number]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Rules 2 and 3: whatever is sent under whichever address, nothing of the customer's is ever
    /// banned or slowed, and nobody is banned whose address is not proved by what he did himself.
    #[test]
    fn nothing_of_the_customers_and_nobody_unproven_is_ever_banned(
        events in proptest::collection::vec(spoofed(), 200..1_500),
        enforce in any::<bool>(),
    ) {
        let modes = if enforce { Modes::all(Mode::Enforce) } else { Modes::default() };
        let mut watch = Watch::new(KEY, Limits { sources: 64, ..Limits::default() }, modes);
        let peers = vec![
            (Network::host(address_of(0)), PeerRef::new(0)),
            (Network::new("192.0.3.0".parse().unwrap(), 24), PeerRef::new(1)),
            (Network::host(address_of(4)), PeerRef::new(2)),
        ];
        let mut now = Instant::from_nanos(1_000_000_000);
        watch.set_peers(now, peers);
        for place in 5..=9 {
            watch.restore_place(now, address_of(place), name(&place.to_string()));
        }
        let mut proved = std::collections::BTreeSet::new();
        for (number, spoofed) in events.iter().enumerate() {
            now += Duration::from_millis(spoofed.step.into());
            let address = address_of(spoofed.address);
            // A handshake or our nonce cannot be made up: the customer's own places prove
            // themselves too, and then do everything that a thief among them might.
            let echoes = matches!(spoofed.what, 2 | 3);
            let proof = match (spoofed.stream, echoes) {
                (true, _) => Proof::StreamEstablished,
                (false, true) => Proof::NonceEchoed,
                (false, false) => Proof::None,
            };
            if proof.is_proven() {
                proved.insert(address);
            }
            let mut source = udp("192.0.2.99", proof);
            source.remote.set_ip(address);
            if (0..=4).contains(&spoofed.address) {
                source.principal = Principal::Trunk(PeerRef::new(0));
            }
            let event = Event { at: now, source, what: what_of(spoofed, number as u64) };
            watch.handle_event(now, &event);
            watch.handle_timeout(now);
            while let Some(verdict) = watch.poll_verdict() {
                if let Verdict::Decided { decision, .. } = verdict {
                    check_ban(&decision, &proved);
                }
            }
            let never = watch.never_ban(now);
            for decision in watch.in_force() {
                if let Subject::Address(address) = decision.against() {
                    prop_assert!(!never.contains(*address), "{decision:?}");
                }
            }
        }
    }
}

#[track_caller]
fn check_ban(decision: &Decision, proved: &std::collections::BTreeSet<IpAddr>) {
    if !decision.action().is_ban() {
        return;
    }
    assert_eq!(decision.harm(), Harm::NOBODY);
    match decision.against() {
        Subject::Address(address) => {
            assert!(
                (10..24).any(|number| address_of(number) == *address),
                "{decision:?}"
            );
            assert!(proved.contains(address), "{decision:?}");
        }
        Subject::AccountFrom(_, address) => {
            assert!(
                proved
                    .iter()
                    .any(|other| { ringfence_detect::own::place_of(*other) == *address }),
                "{decision:?}"
            );
        }
        other => panic!("banned {other}"),
    }
}

fn what_of(spoofed: &Spoofed, number: u64) -> What {
    let shape = Shape {
        fingerprint: Fingerprint(spoofed.shape.into()),
        tells: match spoofed.shape {
            0 => Tells::TAG_HIDES_ADDRESS.with(Tells::FROM_EQUALS_TO),
            _ => Tells::NONE,
        },
    };
    let account = name(&format!("a{}", spoofed.account));
    let asked = ringfence_detect::event::Asked {
        method: ringfence_detect::event::MethodKind::Register,
        target: account,
        shape,
        transaction: number,
    };
    let credentials = |outcome| What::Credentials {
        account,
        outcome,
        nonce: number,
        shape,
    };
    match spoofed.what {
        0 => What::Refused {
            reason: ringfence_detect::event::Refusal::Stranger,
            asked,
        },
        1 => What::Challenged(asked),
        2 => credentials(CredentialsOutcome::Wrong),
        3 => credentials(CredentialsOutcome::WrongAccount),
        4 => credentials(CredentialsOutcome::WrongForgedNonce),
        5 => What::Unparseable { bytes: 10 },
        6 => What::Defective {
            defects: ringfence_sip::Defects::BARE_CR,
            shape,
        },
        7 => What::Forged {
            method: ringfence_detect::event::MethodKind::Bye,
            forgery: ringfence_detect::event::Forgery::Source,
            call: None,
        },
        _ => What::StrayResponse,
    }
}

#[test]
fn a_source_is_one_whatever_its_port() {
    let _: Source = udp(OFFICE, Proof::None);
    let mut judge = Judge::new();
    for port in 1..=5_u16 {
        let mut source = udp("203.0.113.66", Proof::None);
        source.remote.set_port(port);
        let asked = ringfence_detect::event::Asked {
            method: ringfence_detect::event::MethodKind::Options,
            target: name(&port.to_string()),
            shape: TOOL,
            transaction: port.into(),
        };
        let reason = ringfence_detect::event::Refusal::Stranger;
        judge.event(source, What::Refused { reason, asked });
    }
    assert!(!judge.kinds().is_empty());
}

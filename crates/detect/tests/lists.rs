//! A place on somebody's list is a score and never a verdict: it shortens the way of who attacks here,
//! and does nothing to anybody else.

mod common;

use std::net::IpAddr;
use std::sync::Arc;

use common::{Judge, PHONE, TOOL, name, udp};
use proptest::prelude::*;
use ringfence_detect::event::{
    Attestation, CallRef, CallStep, Direction, PeerRef, Principal, Proof, SiteRef, What,
};
use ringfence_detect::feed::{AddressList, LISTS_MAX};
use ringfence_detect::finding::{Kind, Subject};
use ringfence_detect::own::Network;
use ringfence_detect::watch::LISTED_SCORE;

const TRUNK: &str = "192.0.2.10";
const SCANNER: &str = "203.0.113.66";

fn everybody() -> Arc<AddressList> {
    let all = ["0.0.0.0", "::"].map(|text| Network::new(text.parse().unwrap(), 0));
    Arc::new(AddressList::new("apiban", all))
}

fn listing(judge: &mut Judge) {
    let lists: Vec<_> = (0..LISTS_MAX + 5).map(|_| everybody()).collect();
    judge.watch.set_lists(&lists);
}

fn requests_until_found(listed: bool) -> usize {
    let mut judge = Judge::new();
    if listed {
        judge.watch.set_lists(&[everybody()]);
    }
    (1..20)
        .find(|place| {
            judge.refused(SCANNER, &format!("{place}"), TOOL);
            !judge.incidents.is_empty()
        })
        .unwrap()
}

#[test]
fn a_listed_scanner_is_found_sooner_and_the_sentence_names_the_list() {
    let (plain, listed) = (requests_until_found(false), requests_until_found(true));
    assert!(listed < plain && listed > 1, "{listed} {plain}");
    let mut judge = Judge::new();
    judge.watch.set_lists(&[everybody()]);
    for place in 0..listed {
        judge.refused(SCANNER, &format!("{place}"), TOOL);
    }
    let said = judge.incidents.last().unwrap().finding.explain();
    assert!(said.contains("listed by apiban"), "{said}");
    assert_eq!(judge.watch.listed(SCANNER.parse().unwrap()), ["apiban"]);
}

#[test]
fn many_lists_weigh_no_more_than_one() {
    let score = |lists: usize| {
        let mut judge = Judge::new();
        let lists: Vec<_> = (0..lists).map(|_| everybody()).collect();
        judge.watch.set_lists(&lists);
        judge.refused(SCANNER, "100", TOOL);
        judge.watch.score(judge.now, SCANNER.parse().unwrap())
    };
    assert_eq!(score(1), score(0) + LISTED_SCORE);
    assert_eq!(score(LISTS_MAX + 5), score(1));
}

#[test]
fn a_phone_whose_account_is_misspelt_is_no_scanner_for_being_listed() {
    let mut judge = Judge::new();
    listing(&mut judge);
    judge.watch.set_accounts(Some([name("201")]));
    for _ in 0..100 {
        judge.challenged(SCANNER, "2O1", PHONE);
        judge.millis(60_000);
    }
    assert!(judge.incidents.is_empty(), "{:?}", judge.kinds());
}

#[test]
fn who_registers_well_has_no_score_for_being_listed() {
    let mut judge = Judge::new();
    listing(&mut judge);
    for phone in 0..200 {
        judge.challenged(SCANNER, &format!("phone{phone}"), PHONE);
    }
    judge.millis(300);
    for phone in 0..200 {
        judge.registers(SCANNER, &format!("phone{phone}"), PHONE);
    }
    judge.millis(5_000);
    assert!(judge.incidents.is_empty(), "{:?}", judge.kinds());
    assert_eq!(judge.watch.score(judge.now, SCANNER.parse().unwrap()), 0.0);
}

#[test]
fn an_emergency_call_from_a_listed_address_is_nothing_to_the_judge() {
    let mut judge = Judge::new();
    listing(&mut judge);
    for call in 0..50 {
        let step = CallStep::Offered {
            direction: Direction::Outbound,
            calling: name("201"),
            called: name("112"),
            calling_is_own: true,
            emergency: true,
            attestation: Attestation::Absent,
            shape: TOOL,
        };
        let what = What::Call {
            call: CallRef::new(call),
            site: SiteRef::new(0),
            step,
        };
        judge.event(udp(SCANNER, Proof::None), what);
    }
    assert!(judge.incidents.is_empty(), "{:?}", judge.kinds());
    assert!(judge.watch.in_force().is_empty());
}

/// One step of anybody: who, what, how often.
fn steps() -> impl Strategy<Value = Vec<(u8, u8, u8)>> {
    proptest::collection::vec((0..6_u8, 0..5_u8, any::<u8>()), 1..120)
}

fn play(judge: &mut Judge, (who, what, target): (u8, u8, u8)) {
    let from = match who {
        0 => TRUNK.to_owned(),
        who => format!("203.0.113.{who}"),
    };
    let target = format!("{}", target % 8);
    match what {
        0 => judge.refused(&from, &target, TOOL),
        1 => judge.challenged(&from, &target, PHONE),
        2 => judge.registers(&from, &format!("phone{who}"), PHONE),
        3 => judge.wrong(&from, &target, TOOL),
        _ => judge.millis(700),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// However hostile the list, whatever is found was mostly the source's own doing, and nobody of
    /// the customer's is met.
    #[test]
    fn no_list_finds_or_stops_anybody_by_itself(steps in steps()) {
        let (mut plain, mut listed) = (Judge::new(), Judge::new());
        listing(&mut listed);
        let trunk = Network::host(TRUNK.parse().unwrap());
        for judge in [&mut plain, &mut listed] {
            judge.watch.set_peers(judge.now, vec![(trunk, PeerRef::new(0))]);
        }
        for step in steps {
            let before = listed.incidents.len();
            play(&mut plain, step);
            play(&mut listed, step);
            for incident in &listed.incidents[before..] {
                let Subject::Address(address) = incident.subject else { continue };
                if !matches!(incident.kind, Kind::Scan | Kind::Enumeration) {
                    let found = plain.incidents.iter();
                    let mut same = found.filter(|other| other.kind == incident.kind);
                    prop_assert!(same.any(|other| other.subject == incident.subject));
                    continue;
                }
                // Scores fall with time; found is found at the time of the event.
                let own_doing = plain.watch.score(plain.now, address);
                prop_assert!(own_doing > 2.5, "{address}: {own_doing}");
            }
            for decision in listed.watch.in_force() {
                if let Subject::Address(address) = decision.against() {
                    let harm = listed.watch.harm(listed.now, *address);
                    prop_assert!(harm.is_nobody(), "{address}: {harm}");
                }
            }
        }
        let trunk: IpAddr = TRUNK.parse().unwrap();
        prop_assert!(!listed.incidents.iter().any(|each| each.subject == Subject::Address(trunk)
            && matches!(each.kind, Kind::Scan | Kind::Enumeration)));
    }

    /// Who does nothing in vain is never found, listed or not.
    #[test]
    fn served_requests_of_listed_addresses_are_never_found(
        calls in proptest::collection::vec((any::<u8>(), any::<u16>()), 1..60),
    ) {
        let mut judge = Judge::new();
        listing(&mut judge);
        for (host, target) in calls {
            let mut source = udp(&format!("203.0.113.{host}"), Proof::None);
            source.principal = Principal::Trunk(PeerRef::new(0));
            let step = CallStep::Answered;
            let call = CallRef::new(target.into());
            judge.event(source, What::Call { call, site: SiteRef::new(0), step });
        }
        prop_assert!(judge.incidents.is_empty());
        prop_assert!(judge.watch.in_force().is_empty());
    }
}

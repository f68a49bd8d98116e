//! Profiles with SIPp as a carrier that checks what its documents demand, and fails the call if
//! it is not so.

use ringfence_conformance::scene::{From, Scene};
use ringfence_peers::edge::Setup;
use ringfence_peers::sipp;

const CALLS: u64 = 10;

/// Calls from the PBX as `alice` to `2125550123` through a trunk of `profile`. Of each the carrier
/// demands the texts, which are extended regular expressions.
#[track_caller]
fn check(test: &str, profile: &str, demanded: &[&str]) {
    let setup = Setup {
        any_number: false,
        // SIPp's scenario is of calls; OPTIONS have a test of their own.
        trunk_lines: format!("profile = \"{profile}\"\noptions_interval = \"0s\""),
        ..Setup::default()
    };
    let Some(scene) = Scene::open(test, &["sipp"], &setup) else {
        return;
    };
    let caller = sipp::UAC_CALL.replace("[service]", "2125550123");
    let [made, taken] = scene.calls(From::Pbx, [&caller, &demanding(demanded)], CALLS);
    assert_eq!((made.succeeded, made.failed), (CALLS, 0), "{profile}");
    assert_eq!(taken.failed, 0, "{profile}");
}

/// A callee that fails a call whose INVITE does not hold every text.
fn demanding(demanded: &[&str]) -> String {
    let checks: Vec<String> = (1..)
        .zip(demanded)
        .map(|(number, text)| {
            format!(
                "<ereg regexp=\"{text}\" search_in=\"msg\" check_it=\"true\" assign_to=\"{number}\"/>"
            )
        })
        .collect();
    let all: Vec<String> = (1..=demanded.len())
        .map(|number| number.to_string())
        .collect();
    let plain = "<recv request=\"INVITE\" rrs=\"true\"></recv>";
    assert!(
        sipp::UAS_CALL.contains(plain),
        "the callee's scenario has changed"
    );
    let checked = format!(
        "<recv request=\"INVITE\" rrs=\"true\"><action>{}</action></recv>\
         <Reference variables=\"{}\"/>",
        checks.concat(),
        all.join(",")
    );
    sipp::UAS_CALL.replacen(plain, &checked, 1)
}

#[test]
fn a_carrier_that_wants_e164_with_plus_gets_it_from_the_profile_telnyx() {
    check(
        "a_carrier_that_wants_e164_with_plus_gets_it_from_the_profile_telnyx",
        "telnyx",
        &[
            "INVITE sip:[+]12125550123@",
            "From: alice .sip:[+]13305550100@",
        ],
    );
}

#[test]
fn a_carrier_that_wants_e164_without_plus_gets_it_from_the_profile_vonage() {
    check(
        "a_carrier_that_wants_e164_without_plus_gets_it_from_the_profile_vonage",
        "vonage",
        &["INVITE sip:12125550123@", "From: alice .sip:13305550100@"],
    );
}

#[test]
fn a_carrier_of_sipconnect_gets_the_asserted_number_rfc3325_9() {
    check(
        "a_carrier_of_sipconnect_gets_the_asserted_number_rfc3325_9",
        "sipconnect",
        &[
            "INVITE sip:[+]12125550123@[^ ]*;user=phone",
            "P-Asserted-Identity: .sip:[+]13305550100@",
        ],
    );
}

#[test]
fn a_demand_that_is_not_met_fails_the_call() {
    let test = "a_demand_that_is_not_met_fails_the_call";
    let setup = Setup::default();
    let Some(scene) = Scene::open(test, &["sipp"], &setup) else {
        return;
    };
    let caller = sipp::UAC_CALL.replace("[service]", "2125550123");
    let callee = demanding(&["INVITE sip:[+]12125550123@"]);
    let [_, taken] = scene.calls(From::Pbx, [&caller, &callee], 1);
    assert!(taken.failed > 0, "the carrier of these tests does look");
}

//! Extensions that only one side of a call has, by SIPp: reliable ringing and UPDATE.

use ringfence_conformance::scene::{From, Scene};
use ringfence_peers::sipp;

/// Scenarios by file name.
macro_rules! scenario {
    ($name:literal) => {
        include_str!(concat!("../scenarios/", $name, ".xml"))
    };
}

#[test]
fn a_callee_rings_reliably_for_a_caller_that_sends_no_prack_rfc3262_4() {
    let name = "a_callee_rings_reliably_for_a_caller_that_sends_no_prack_rfc3262_4";
    for from in [From::Carrier, From::Pbx] {
        Scene::check_calls(name, from, [sipp::UAC_CALL, scenario!("uas_reliable")]);
    }
}

#[test]
fn a_caller_holds_by_update_a_callee_that_knows_re_invite_alone_rfc3311_5() {
    let name = "a_caller_holds_by_update_a_callee_that_knows_re_invite_alone_rfc3311_5";
    for from in [From::Carrier, From::Pbx] {
        Scene::check_calls(name, from, [scenario!("uac_update"), scenario!("uas_hold")]);
    }
}

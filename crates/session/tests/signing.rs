//! Calls to a carrier that signs: what the Identity header says, and when there is none.

mod support;

use std::sync::Arc;

use ringfence_base::{Secret, UnixTime};
use ringfence_session::plan::Plan;
use ringfence_session::policy::CallingNumber;
use ringfence_session::signing::Signing;
use ringfence_sip::HeaderName;
use ringfence_stir::{
    Attestation, Claims, Expected, Guard, Identity, Orig, Signer, VerifyError, verify,
};
use support::*;

const TRUNK: usize = 0;
const ORIGID: &str = "123e4567-e89b-12d3-a456-426655440000";

/// The headers of the carrier's INVITE for a call of the PBX from `from`, and the public key.
fn signed(others: Option<Attestation>, from: &str, more: &str) -> (Sent, Vec<u8>) {
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let url = "https://cert.example.org/a.pem";
    let signer = Signer::new(&Secret::new(key.into_bytes()), url, &Guard::default()).unwrap();
    let public = signer.public_key().to_vec();
    let mut world = World::with(|plan: &mut Plan| {
        for peer in &mut plan.peers {
            peer.policy.calling_number = CallingNumber::Any;
        }
        plan.peers[TRUNK].policy.signing = Some(Arc::new(Signing {
            signer,
            others,
            origid: ORIGID.to_owned(),
        }));
    });
    let mut caller = Caller::new(PBX, "x");
    caller.target = "sip:2125550123@192.0.2.2".to_owned();
    let text = caller.request("INVITE", Some(&sdp("192.0.2.11", 9000, "")));
    let text = text.replace(&format!("\"Alice\" <sip:+15551234567@{PBX}>"), from);
    let text = text.replacen("Content-Type", &format!("{more}Content-Type"), 1);
    world.deliver(PBX, &text);
    (world.take(CARRIER, "INVITE"), public)
}

#[track_caller]
fn read(sent: &(Sent, Vec<u8>), calling: &str) -> Result<Claims, VerifyError> {
    let header = sent.0.header(HeaderName::Identity);
    let identity = Identity::parse(header.as_bytes()).unwrap();
    let tn = |number: &str| Orig::Tn(number.to_owned());
    let expected = Expected {
        orig: tn(calling),
        dests: vec![tn("12125550123")],
        date: None,
    };
    // The time that the world begins at.
    let now = UnixTime::from_micros(1_795_000_000_000_000);
    verify(&identity, &sent.1, &expected, now)
}

#[test]
fn a_number_of_the_site_is_signed_with_full_attestation_rfc8588_4() {
    let sent = signed(Some(Attestation::B), "<sip:3305550107@192.0.2.10>", "");
    let claims = read(&sent, "13305550107").unwrap();
    assert_eq!(claims.attest, Some(Attestation::A));
    assert_eq!(claims.origid.as_deref(), Some(ORIGID));
    let header = sent.0.header(HeaderName::Identity);
    assert!(header.ends_with(";info=<https://cert.example.org/a.pem>;alg=ES256;ppt=\"shaken\""));
}

#[test]
fn another_number_gets_what_the_policy_says_rfc8588_4() {
    let from = "<sip:+15551234567@192.0.2.10>";
    for others in [Attestation::B, Attestation::C] {
        let claims = read(&signed(Some(others), from, ""), "15551234567").unwrap();
        assert_eq!(claims.attest, Some(others));
    }
    let (sent, _) = signed(None, from, "");
    assert!(!sent.text.contains("Identity: "), "{}", sent.text);
}

#[test]
fn what_a_phone_system_signed_itself_does_not_pass_rfc8224_4_1() {
    let forged = "Identity: a.b.c;info=<https://pbx.example/>\r\n";
    let (sent, _) = signed(None, "<sip:+15551234567@192.0.2.10>", forged);
    assert!(!sent.text.contains("pbx.example"));
}

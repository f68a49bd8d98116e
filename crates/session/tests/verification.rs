//! Calls of a carrier that signs: what is verified, who waits for what, and what the phone system
//! is told.

mod support;

use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use ringfence_base::entropy::SeededEntropy;
use ringfence_base::{HashKey, Secret, UnixTime};
use ringfence_detect::event::{Attestation as Vouched, CallStep, What};
use ringfence_session::cdr::Outcome;
use ringfence_session::core::Input;
use ringfence_session::methods::Redirects;
use ringfence_session::plan::Plan;
use ringfence_session::policy::CallingNumber;
use ringfence_session::signing::Signing;
use ringfence_session::verification::{PARKED_MAX, Verification, Verifying, VerstatForm, WAIT};
use ringfence_sip::HeaderName;
use ringfence_stir::{
    Attestation, Claims, Dest, Expected, Guard, Orig, Progress, Signer, Trust, TrustRoots,
    Verifier, Verstat,
};
use support::*;

const TRUNK: usize = 0;
const OF_PBX: usize = 1;
const URL: &str = "https://cert.example.org/a.pem";
const CALLING: &str = "15551234567";
const CALLED: &str = "13305550100";
const ORIGID: &str = "123e4567-e89b-12d3-a456-426655440000";
/// The time that the world begins at.
const NOW: u64 = 1_795_000_000;
/// `id-pe-TNAuthList` with a service provider code.
const TN_AUTH_LIST: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 1, 26];
const PROVIDER: &[u8] = b"\x30\x08\xa0\x06\x16\x04709J";

/// An authority, a signer whose certificate it signed, and that certificate.
struct Signed {
    root: String,
    signer: Signer,
    pem: String,
}

fn signed() -> Signed {
    signed_at(URL)
}

/// The same with the certificate at `url`.
fn signed_at(url: &str) -> Signed {
    let authority = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let root = params.self_signed(&authority).unwrap().pem();
    let issuer = Issuer::new(params, authority);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let list = CustomExtension::from_oid_content(&TN_AUTH_LIST, PROVIDER.to_vec());
    params.custom_extensions = vec![list];
    let pem = params.signed_by(&key, &issuer).unwrap().pem();
    let secret = Secret::new(key.serialize_pem().into_bytes());
    let signer = Signer::new(&secret, url, &Guard::default()).unwrap();
    Signed { root, signer, pem }
}

impl Signed {
    fn world(&self, policy: Verification, form: VerstatForm) -> World {
        World::with(|plan| self.plan(plan, policy, form))
    }

    fn plan(&self, plan: &mut Plan, policy: Verification, form: VerstatForm) {
        plan.stir = Some(Verifying::new(Arc::new(Trust {
            roots: TrustRoots::from_pem(self.root.as_bytes()).unwrap(),
            guard: Guard::default(),
        })));
        plan.peers[TRUNK].policy.verification = policy;
        plan.peers[OF_PBX].policy.verstat = form;
    }

    fn header(&self, change: impl FnOnce(&mut Claims)) -> String {
        let mut claims = Claims {
            attest: Some(Attestation::B),
            dest: Dest {
                tn: vec![CALLED.to_owned()],
                uri: Vec::new(),
            },
            div: None,
            iat: NOW,
            orig: Orig::Tn(CALLING.to_owned()),
            origid: Some(ORIGID.to_owned()),
        };
        change(&mut claims);
        self.signer.sign(Some("shaken"), &claims).unwrap()
    }
}

/// The carrier's INVITE for the site's first number with an Identity header, and its caller.
fn invite(identity: &str, more: &str) -> (String, Caller) {
    let mut caller = Caller::new(CARRIER, &format!("+{CALLED}"));
    let text = caller.request("INVITE", Some(&sdp("198.51.100.21", 9000, "")));
    let headers = format!("Identity: {identity}\r\n{more}Content-Type");
    (text.replacen("Content-Type", &headers, 1), caller)
}

/// Answers whatever the core wants to fetch.
fn serve(world: &mut World, pem: Option<&str>) -> usize {
    let mut fetched = 0;
    while let Some(url) = world.core.poll_fetch() {
        assert_eq!(url, URL);
        fetched += 1;
        world.input(Input::Certificate {
            url: &url,
            bytes: pem.map(str::as_bytes),
            holds: Duration::from_secs(3600),
        });
    }
    fetched
}

fn asserted(sent: &Sent) -> String {
    sent.header(HeaderName::PAssertedIdentity)
}

/// The phone system's INVITE for a call whose certificate is fetched at once.
#[track_caller]
fn told(signed: &Signed, identity: &str) -> Sent {
    let mut world = signed.world(Verification::Note, VerstatForm::User);
    world.deliver(CARRIER, &invite(identity, "").0);
    serve(&mut world, Some(&signed.pem));
    world.take(PBX, "INVITE")
}

#[test]
fn a_call_waits_for_its_certificate_and_goes_on_verified_rfc8224_6_2() {
    let signed = signed();
    let mut world = signed.world(Verification::Refuse, VerstatForm::User);
    let (text, _) = invite(&signed.header(|_| {}), "");
    world.deliver(CARRIER, &text);
    world.take(CARRIER, "100");
    world.nothing_sent();
    assert!(!world.core.is_idle(), "it waits");
    // The carrier sends it again: it is told the same, and the call is still one.
    world.deliver(CARRIER, &text);
    world.take(CARRIER, "100");
    assert_eq!(serve(&mut world, Some(&signed.pem)), 1);
    let sent = world.take(PBX, "INVITE");
    let from = sent.header(HeaderName::From);
    let said = "sip:+15551234567;verstat=TN-Validation-Passed@192.0.2.2";
    assert!(from.contains(said), "{from}");
    assert!(!sent.text.contains("Identity: a"), "{}", sent.text);
    assert_eq!(world.core.counters().callers_verified, 1);
    world.deliver(PBX, &sent.answer("486 Busy Here", PBX, None));
    world.pass(Duration::from_secs(5));
    let rule = &world.cdrs[0].rule;
    let said = format!("(caller verified, attestation B, origid {ORIGID})");
    assert!(rule.contains(&said), "{rule}");
    let caller = world.cdrs[0].caller_id.as_ref().expect("a verdict");
    assert_eq!(caller.verstat, Verstat::Passed);
    assert_eq!(caller.attestation, Some(Attestation::B));
    assert_eq!(caller.origid.as_deref(), Some(ORIGID));
}

#[test]
fn the_next_call_of_the_same_signer_does_not_wait_rfc8224_6_2() {
    let signed = signed();
    let mut world = signed.world(Verification::Note, VerstatForm::Uri);
    for number in 0..2 {
        let identity = signed.header(|claims| claims.iat += number);
        let text = invite(&identity, "").0;
        let text = text.replace("secretbranch", &format!("secretbranch{number}"));
        world.deliver(
            CARRIER,
            &text.replace("Call-ID: ", &format!("Call-ID: n{number}")),
        );
        assert_eq!(
            serve(&mut world, Some(&signed.pem)),
            usize::from(number == 0)
        );
        let from = world.take(PBX, "INVITE").header(HeaderName::From);
        assert!(
            from.contains("@192.0.2.2;verstat=TN-Validation-Passed>"),
            "{from}"
        );
    }
}

#[test]
fn what_does_not_hold_is_said_to_fail_rfc8224_6_2() {
    let signed = signed();
    let fails = |identity: &str| {
        let from = told(&signed, identity).header(HeaderName::From);
        assert!(from.contains(";verstat=TN-Validation-Failed@"), "{from}");
    };
    fails(&signed.header(|claims| claims.orig = Orig::Tn("15550000000".to_owned())));
    fails(&signed.header(|claims| claims.dest.tn = vec!["13305550199".to_owned()]));
    fails(&signed.header(|claims| claims.iat = NOW - 61));
    fails(&self::signed().header(|_| {}));
    let broken = signed.header(|_| {});
    fails(&broken.replacen(";info", "AA;info", 1));
    fails("rubbish");
    fails(&broken.replace(URL, "https://169.254.169.254/latest"));
}

#[test]
fn a_caller_of_whom_nothing_is_said_is_not_said_to_fail() {
    let signed = signed();
    let mut world = signed.world(Verification::Refuse, VerstatForm::User);
    let (text, _) = invite("x", "");
    world.deliver(CARRIER, &text.replace("Identity: x\r\n", ""));
    let from = world.take(PBX, "INVITE").header(HeaderName::From);
    assert!(from.contains(";verstat=No-TN-Validation@"), "{from}");
    assert_eq!(world.core.poll_fetch(), None);
}

#[test]
fn a_phone_system_that_did_not_ask_is_told_nothing() {
    let signed = signed();
    let mut world = signed.world(Verification::Note, VerstatForm::Off);
    world.deliver(CARRIER, &invite(&signed.header(|_| {}), "").0);
    serve(&mut world, Some(&signed.pem));
    let sent = world.take(PBX, "INVITE");
    assert!(!sent.text.contains("verstat"), "{}", sent.text);
}

#[test]
fn the_word_is_on_the_number_that_was_verified_rfc8224_8_1() {
    let signed = signed();
    let mut world = signed.world(Verification::Note, VerstatForm::User);
    let identity = signed.header(|claims| claims.orig = Orig::Tn("12125550123".to_owned()));
    let more = "P-Asserted-Identity: <sip:+12125550123;verstat=No-TN-Validation@198.51.100.20>\r\n";
    world.deliver(CARRIER, &invite(&identity, more).0);
    serve(&mut world, Some(&signed.pem));
    let sent = world.take(PBX, "INVITE");
    let said = "<sip:+12125550123;verstat=TN-Validation-Passed@192.0.2.2>";
    assert_eq!(asserted(&sent), said);
    let from = sent.header(HeaderName::From);
    assert!(!from.contains("verstat"), "{from}");
}

#[test]
fn a_certificate_that_does_not_come_delays_a_call_and_stops_none() {
    let signed = signed();
    let mut world = signed.world(Verification::Refuse, VerstatForm::User);
    world.deliver(CARRIER, &invite(&signed.header(|_| {}), "").0);
    world.pass(WAIT - Duration::from_millis(1));
    assert!(!world.sent.iter().any(|sent| sent.is("INVITE")));
    world.pass(Duration::from_millis(2));
    let from = world.take(PBX, "INVITE").header(HeaderName::From);
    assert!(from.contains(";verstat=No-TN-Validation@"), "{from}");
    // A server that says that there is none, likewise.
    let mut world = signed.world(Verification::Refuse, VerstatForm::User);
    world.deliver(CARRIER, &invite(&signed.header(|_| {}), "").0);
    serve(&mut world, None);
    let from = world.take(PBX, "INVITE").header(HeaderName::From);
    assert!(from.contains(";verstat=No-TN-Validation@"), "{from}");
    assert_eq!(world.core.counters().callers_unknown, 1);
}

#[test]
fn a_failure_is_refused_with_its_status_where_policy_says_so_rfc8224_6_2_2() {
    let signed = signed();
    let refused = |identity: &str, status: &str, more: &str| {
        let mut world = signed.world(Verification::Refuse, VerstatForm::User);
        world.deliver(CARRIER, &invite(identity, more).0);
        serve(&mut world, Some(&signed.pem));
        world.take(CARRIER, status);
        assert!(!world.sent.iter().any(|sent| sent.is("INVITE")));
        assert_eq!(world.cdrs[0].outcome, Outcome::Refused);
        let caller = world.cdrs[0].caller_id.as_ref().expect("a verdict");
        assert_eq!(
            (caller.verstat, caller.attestation),
            (Verstat::Failed, None)
        );
        let rule = world.cdrs[0].rule.clone();
        assert!(
            rule.starts_with("refused: the caller's identity fails: "),
            "{rule}"
        );
    };
    refused(&signed.header(|claims| claims.iat = NOW - 3600), "403", "");
    refused(
        &self::signed().header(|_| {}),
        "438 Invalid Identity Header",
        "",
    );
    let private = signed.header(|_| {}).replace(URL, "https://10.0.0.1/a.pem");
    refused(&private, "436 Bad Identity-Info", "");
    refused("rubbish", "438 Invalid Identity Header", "");
    // Anybody can call himself a call back.
    refused("rubbish", "438", "Priority: psap-callback\r\n");
}

#[test]
fn a_certificate_of_an_unknown_authority_is_unsupported_rfc8224_6_2_2() {
    let (signed, other) = (signed(), signed());
    let mut world = signed.world(Verification::Refuse, VerstatForm::User);
    world.deliver(CARRIER, &invite(&other.header(|_| {}), "").0);
    serve(&mut world, Some(&other.pem));
    world.take(CARRIER, "437 Unsupported Credential");
}

#[test]
fn who_may_answer_an_emergency_call_is_not_refused_rfc7090() {
    let signed = signed();
    let mut world = signed.world(Verification::Refuse, VerstatForm::User);
    let mut help = Caller::new(PBX, "911");
    world.deliver(
        PBX,
        &help.request("INVITE", Some(&sdp("192.0.2.11", 9000, ""))),
    );
    world.take(CARRIER, "INVITE");
    world.deliver(CARRIER, &invite("rubbish", "Priority: psap-callback\r\n").0);
    let from = world.take(PBX, "INVITE").header(HeaderName::From);
    assert!(from.contains(";verstat=TN-Validation-Failed@"), "{from}");
}

#[test]
fn a_token_carries_one_call_for_all_workers_rfc8224_12_1() {
    let signed = signed();
    let mut plan = support::plan();
    signed.plan(&mut plan, Verification::Refuse, VerstatForm::User);
    let plan = Arc::new(plan);
    let identity = signed.header(|_| {});
    let mut first = World::worker(Arc::clone(&plan), 0, 2);
    first.deliver(CARRIER, &invite(&identity, "").0);
    serve(&mut first, Some(&signed.pem));
    first.take(PBX, "INVITE");
    let mut second = World::worker(plan, 1, 2);
    let text = invite(&identity, "")
        .0
        .replace("Call-ID: ", "Call-ID: another");
    second.deliver(CARRIER, &text);
    serve(&mut second, Some(&signed.pem));
    second.take(CARRIER, "438 Invalid Identity Header");
}

#[test]
fn a_call_that_was_refused_may_come_another_way_with_its_token() {
    let signed = signed();
    let mut plan = support::plan();
    signed.plan(&mut plan, Verification::Refuse, VerstatForm::User);
    let plan = Arc::new(plan);
    let identity = signed.header(|_| {});
    let mut first = World::worker(Arc::clone(&plan), 0, 2);
    first.input(Input::Drain);
    first.deliver(CARRIER, &invite(&identity, "").0);
    serve(&mut first, Some(&signed.pem));
    first.take(CARRIER, "503");
    let mut second = World::worker(plan, 1, 2);
    let text = invite(&identity, "").0;
    let text = text.replace("Call-ID: ", "Call-ID: another");
    second.deliver(CARRIER, &text);
    serve(&mut second, Some(&signed.pem));
    let from = second.take(PBX, "INVITE").header(HeaderName::From);
    assert!(from.contains("TN-Validation-Passed"), "{from}");
}

#[test]
fn a_caller_who_waits_may_cancel_rfc3261_9_2() {
    let signed = signed();
    let mut world = signed.world(Verification::Note, VerstatForm::User);
    let (text, mut caller) = invite(&signed.header(|_| {}), "");
    world.deliver(CARRIER, &text);
    world.take(CARRIER, "100");
    let cancel = caller.request("CANCEL", None);
    world.deliver(CARRIER, &cancel);
    let answers: Vec<String> = world
        .sent
        .iter()
        .map(|sent| sent.start().to_owned())
        .collect();
    assert!(
        answers.iter().any(|start| start.contains("200 OK")),
        "{answers:?}"
    );
    let ended = world.take(CARRIER, "487");
    assert_eq!(world.cdrs[0].outcome, Outcome::Cancelled);
    let to = ended.header(HeaderName::To);
    let ack = text
        .replacen("INVITE", "ACK", 1)
        .replace("1 INVITE", "1 ACK");
    let (head, _) = ack.split_once("Identity").unwrap();
    let ack = head.replace(&caller.to_header, &to) + "Content-Length: 0\r\n\r\n";
    world.deliver(CARRIER, &ack);
    // The certificate that comes later finds nobody.
    serve(&mut world, Some(&signed.pem));
    assert!(!world.sent.iter().any(|sent| sent.is("INVITE")));
    world.all_over();
}

#[test]
fn a_reload_lets_those_that_wait_go_on() {
    let signed = signed();
    let mut world = signed.world(Verification::Refuse, VerstatForm::User);
    world.deliver(CARRIER, &invite(&signed.header(|_| {}), "").0);
    let mut plan = support::plan();
    signed.plan(&mut plan, Verification::Refuse, VerstatForm::User);
    world.input(Input::Plan(&Arc::new(plan)));
    let from = world.take(PBX, "INVITE").header(HeaderName::From);
    assert!(from.contains(";verstat=No-TN-Validation@"), "{from}");
}

#[test]
fn a_flood_of_slow_addresses_lets_calls_go_on_unverified() {
    let signed = signed();
    let mut world = signed.world(Verification::Note, VerstatForm::User);
    let identity = signed.header(|_| {});
    for number in 0..PARKED_MAX + 20 {
        let text = invite(&identity, "").0;
        let text = text.replace("secretbranch", &format!("secretbranch{number}"));
        let text = text.replace("Call-ID: ", &format!("Call-ID: n{number}"));
        world.deliver(CARRIER, &text);
    }
    assert_eq!(world.core.counters().callers_unknown, 20);
    world.pass(WAIT);
    let all = PARKED_MAX as u64 + 20;
    assert_eq!(world.core.counters().callers_unknown, all);
}

#[test]
fn a_verified_call_that_is_redirected_names_who_diverted_it_rfc8946_4_1() {
    let (signed, ours) = (signed(), signed_at("https://edge.example.org/b.pem"));
    let (root, pem) = (ours.root.clone(), ours.pem.clone());
    let mut world = World::with(|plan| {
        signed.plan(plan, Verification::Note, VerstatForm::Off);
        plan.peers[OF_PBX].methods.redirects = Redirects::Follow;
        plan.peers[OF_PBX].policy.calling_number = CallingNumber::Any;
        plan.peers[TRUNK].policy.signing = Some(Arc::new(Signing {
            signer: ours.signer,
            others: Some(Attestation::C),
            origid: ORIGID.to_owned(),
        }));
    });
    let (text, _) = invite(&signed.header(|_| {}), "");
    let text = text.replace(&format!("To: <sip:+{CALLED}@"), "To: <sip:+1-330-555-0100@");
    world.deliver(CARRIER, &text);
    serve(&mut world, Some(&signed.pem));
    let invite = world.take(PBX, "INVITE");
    let moved = invite.answer("302 Moved Temporarily", PBX, None);
    let contact = format!("<sip:callee@{PBX}>");
    world.deliver(
        PBX,
        &moved.replace(&contact, "<sip:+15550002222@192.0.2.2>"),
    );
    let sent = world.take(CARRIER, "INVITE");
    let headers: Vec<&[u8]> = sent
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("Identity: "))
        .map(str::as_bytes)
        .collect();
    assert_eq!(headers.len(), 2, "{}", sent.text);
    // Whoever trusts both signers follows the call from the first number to the last.
    let trust = Trust {
        roots: TrustRoots::from_pem(format!("{}{root}", signed.root).as_bytes()).unwrap(),
        guard: Guard::default(),
    };
    let key = HashKey::generate(&mut SeededEntropy::new(1));
    let mut verifier = Verifier::new(Arc::new(trust), key);
    let expected = Expected {
        orig: Orig::Tn(CALLING.to_owned()),
        dests: vec![Orig::Tn("15550002222".to_owned())],
        date: None,
    };
    let now = UnixTime::from_micros(NOW as i64 * 1_000_000);
    let progress = verifier.check(now, &headers, &expected, b"call", |_| true);
    assert_eq!(progress, Progress::Waiting);
    while let Some(url) = verifier.poll_fetch() {
        let served = if url == URL { &signed.pem } else { &pem };
        verifier.on_certificate(now, &url, Some(served.as_bytes()));
    }
    let progress = verifier.check(now, &headers, &expected, b"call", |_| true);
    let Progress::Done(verdict) = progress else {
        panic!("waits");
    };
    assert_eq!(
        (verdict.error, verdict.attest),
        (None, Some(Attestation::B))
    );
}

#[test]
fn detection_is_told_how_far_the_signer_vouches_rfc8588_4() {
    let signed = signed();
    let told = |identity: &str| {
        let mut world = signed.world(Verification::Note, VerstatForm::Off);
        world.core.watch(HashKey::from_bytes([3; 16]));
        world.deliver(CARRIER, &invite(identity, "").0);
        serve(&mut world, Some(&signed.pem));
        let mut seen = std::iter::from_fn(|| world.core.poll_sighting());
        seen.find_map(|event| match event.what {
            What::Call {
                step: CallStep::Offered { attestation, .. },
                ..
            } => Some(attestation),
            _ => None,
        })
        .expect("an offer")
    };
    let with = |attest: Attestation| signed.header(|claims| claims.attest = Some(attest));
    assert_eq!(told(&with(Attestation::A)), Vouched::A);
    assert_eq!(told(&with(Attestation::C)), Vouched::C);
    assert_eq!(told("rubbish"), Vouched::Invalid);
}

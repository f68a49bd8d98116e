//! The verifier against chains that the tests make: each fault has its own verdict.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use ringfence_base::entropy::SeededEntropy;
use ringfence_base::{HashKey, Secret, UnixTime};
use ringfence_stir::{
    Attestation, Claims, Dest, Expected, Guard, Orig, Progress, Replays, Signer, Trust, TrustRoots,
    Verdict, Verifier, VerifyError, Verstat,
};

/// 2023-11-14.
const NOW: u64 = 1_700_000_000;
const URL: &str = "https://cert.example.org/a.pem";
const CALLING: &str = "12155551212";
const CALLED: &str = "12155551213";
const TN_AUTH_LIST: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 1, 26];
const CONSTRAINTS: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 1, 27];
const PROVIDER: &[u8] = b"\x30\x08\xa0\x06\x16\x04709J";

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn authority() -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let pem = params.self_signed(&key).unwrap().pem();
    Authority {
        pem,
        issuer: Issuer::new(params, key),
    }
}

/// A leaf for one number, and changes to it.
fn leaf(authority: &Authority, change: impl FnOnce(&mut CertificateParams)) -> (String, Signer) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.not_before = date_time_ymd(2023, 1, 1);
    params.not_after = date_time_ymd(2024, 1, 1);
    params.custom_extensions = vec![CustomExtension::from_oid_content(
        &TN_AUTH_LIST,
        one(CALLING),
    )];
    change(&mut params);
    let pem = params.signed_by(&key, &authority.issuer).unwrap().pem();
    let secret = Secret::new(key.serialize_pem().into_bytes());
    (pem, Signer::new(&secret, URL, &Guard::default()).unwrap())
}

fn one(number: &str) -> Vec<u8> {
    let mut der = vec![
        0x30,
        number.len() as u8 + 4,
        0xa2,
        number.len() as u8 + 2,
        0x16,
    ];
    der.push(number.len() as u8);
    der.extend_from_slice(number.as_bytes());
    der
}

fn tn(number: &str) -> Orig {
    Orig::Tn(number.to_owned())
}

fn claims() -> Claims {
    Claims {
        attest: Some(Attestation::A),
        dest: Dest {
            tn: vec![CALLED.to_owned()],
            uri: Vec::new(),
        },
        div: None,
        iat: NOW,
        orig: tn(CALLING),
        origid: Some("123e4567-e89b-12d3-a456-426655440000".to_owned()),
    }
}

fn expected() -> Expected {
    Expected {
        orig: tn(CALLING),
        dests: vec![tn(CALLED)],
        date: None,
    }
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::from_micros(seconds as i64 * 1_000_000)
}

struct Bench {
    verifier: Verifier,
    replays: Replays,
}

impl Bench {
    fn new(root: &Authority) -> Bench {
        let key = HashKey::generate(&mut SeededEntropy::new(7));
        let trust = Trust {
            roots: TrustRoots::from_pem(root.pem.as_bytes()).unwrap(),
            guard: Guard::default(),
        };
        Bench {
            verifier: Verifier::new(Arc::new(trust), key),
            replays: Replays::new(key),
        }
    }

    fn check(&mut self, now: u64, headers: &[&str], expected: &Expected, call: &str) -> Progress {
        let headers: Vec<&[u8]> = headers.iter().map(|header| header.as_bytes()).collect();
        let replays = &mut self.replays;
        self.verifier
            .check(at(now), &headers, expected, call.as_bytes(), |take| {
                take(replays)
            })
    }

    /// Fetches what is asked for: `served` is sent whatever the address.
    fn verdict(&mut self, headers: &[&str], served: Option<&[u8]>) -> Verdict {
        for _ in 0..3 {
            match self.check(NOW, headers, &expected(), "call") {
                Progress::Done(verdict) => return verdict,
                Progress::Waiting => {
                    while let Some(url) = self.verifier.poll_fetch() {
                        self.verifier.on_certificate(at(NOW), &url, served);
                    }
                }
            }
        }
        panic!("no verdict");
    }
}

#[track_caller]
fn fails(change: impl FnOnce(&mut CertificateParams), error: VerifyError) {
    let root = authority();
    let (pem, signer) = leaf(&root, change);
    let header = signer.sign(Some("shaken"), &claims()).unwrap();
    let verdict = Bench::new(&root).verdict(&[&header], Some(pem.as_bytes()));
    assert_eq!(verdict.error, Some(error));
    assert_eq!(verdict.verstat(), Verstat::Failed);
}

#[test]
fn a_call_waits_for_the_certificate_and_the_next_does_not_rfc8224_6_2() {
    let root = authority();
    let (pem, signer) = leaf(&root, |_| {});
    let header = signer.sign(Some("shaken"), &claims()).unwrap();
    let mut bench = Bench::new(&root);
    for _ in 0..2 {
        let progress = bench.check(NOW, &[&header], &expected(), "call-1");
        assert_eq!(progress, Progress::Waiting);
    }
    assert_eq!(bench.verifier.poll_fetch().as_deref(), Some(URL));
    assert_eq!(bench.verifier.poll_fetch(), None, "asked for once");
    bench
        .verifier
        .on_certificate(at(NOW), URL, Some(pem.as_bytes()));
    let Progress::Done(verdict) = bench.check(NOW, &[&header], &expected(), "call-1") else {
        panic!("waits");
    };
    assert_eq!(verdict.verstat().as_str(), "TN-Validation-Passed");
    assert_eq!(verdict.attest, Some(Attestation::A));
    assert_eq!(
        verdict.origid.as_deref(),
        Some("123e4567-e89b-12d3-a456-426655440000")
    );
    // Fetched again when it is an hour old.
    let mut later = claims();
    later.iat = NOW + 3601;
    let header = signer.sign(Some("shaken"), &later).unwrap();
    let progress = bench.check(NOW + 3601, &[&header], &expected(), "call-2");
    assert_eq!(progress, Progress::Waiting);
}

#[test]
fn a_chain_over_an_intermediate_leads_to_the_root_rfc8226_4() {
    let root = authority();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let middle = params.signed_by(&key, &root.issuer).unwrap().pem();
    let middle = Authority {
        pem: middle,
        issuer: Issuer::new(params, key),
    };
    let (pem, signer) = leaf(&middle, |params| {
        params.custom_extensions[0] =
            CustomExtension::from_oid_content(&TN_AUTH_LIST, PROVIDER.to_vec());
    });
    let header = signer.sign(Some("shaken"), &claims()).unwrap();
    let chain = format!("{pem}{}", middle.pem);
    let verdict = Bench::new(&root).verdict(&[&header], Some(chain.as_bytes()));
    assert_eq!(verdict.error, None);
    let verdict = Bench::new(&root).verdict(&[&header], Some(pem.as_bytes()));
    assert_eq!(verdict.error, Some(VerifyError::Certificate), "without it");
}

#[test]
fn a_certificate_that_does_not_hold_fails_the_call_rfc8226_4() {
    fails(
        |params| params.not_after = date_time_ymd(2023, 6, 1),
        VerifyError::Certificate,
    );
    fails(
        |params| params.not_before = date_time_ymd(2023, 12, 1),
        VerifyError::Certificate,
    );
    fails(
        |params| params.key_usages = vec![KeyUsagePurpose::KeyAgreement],
        VerifyError::Certificate,
    );
    fails(
        |params| params.custom_extensions.clear(),
        VerifyError::Certificate,
    );
    fails(
        |params| {
            let constraints = CustomExtension::from_oid_content(&CONSTRAINTS, vec![0x30, 0]);
            params.custom_extensions.push(constraints);
        },
        VerifyError::Certificate,
    );
    fails(
        |params| {
            params.custom_extensions[0] =
                CustomExtension::from_oid_content(&TN_AUTH_LIST, one("12155550000"));
        },
        VerifyError::Authority,
    );
}

#[test]
fn another_root_an_oversize_answer_or_none_is_no_pass_rfc8224_6_2_2() {
    let (root, other) = (authority(), authority());
    let (pem, signer) = leaf(&other, |_| {});
    let header = signer.sign(Some("shaken"), &claims()).unwrap();
    let big = format!("{pem}{}", " ".repeat(40_000));
    for (served, error, verstat) in [
        (
            Some(pem.as_bytes()),
            VerifyError::Certificate,
            Verstat::Failed,
        ),
        (
            Some(big.as_bytes()),
            VerifyError::Certificate,
            Verstat::Failed,
        ),
        (
            Some(&b"<html>"[..]),
            VerifyError::Certificate,
            Verstat::Failed,
        ),
        (None, VerifyError::Unavailable, Verstat::NoValidation),
    ] {
        let verdict = Bench::new(&root).verdict(&[&header], served);
        assert_eq!(verdict.error, Some(error));
        assert_eq!(verdict.verstat(), verstat);
    }
    let verdict = Bench::new(&root).verdict(&[], None);
    assert_eq!(verdict.error, Some(VerifyError::Absent));
    assert_eq!(verdict.verstat().as_str(), "No-TN-Validation");
}

#[test]
fn a_token_of_another_call_is_a_replay_rfc8224_12_1() {
    let root = authority();
    let (pem, signer) = leaf(&root, |_| {});
    let header = signer.sign(Some("shaken"), &claims()).unwrap();
    let mut bench = Bench::new(&root);
    assert_eq!(bench.verdict(&[&header], Some(pem.as_bytes())).error, None);
    let again = bench.check(NOW, &[&header], &expected(), "call");
    assert!(matches!(again, Progress::Done(verdict) if verdict.error.is_none()));
    let replayed = bench.check(NOW, &[&header], &expected(), "another");
    assert_eq!(replayed, Progress::Done(Verdict::of(VerifyError::Replayed)));
    let stale = bench.check(NOW + 61, &[&header], &expected(), "call");
    assert_eq!(stale, Progress::Done(Verdict::of(VerifyError::Stale)));
}

#[test]
fn a_diversion_leads_from_the_number_that_was_called_rfc8946_4_2() {
    let root = authority();
    let provider = |params: &mut CertificateParams| {
        params.custom_extensions[0] =
            CustomExtension::from_oid_content(&TN_AUTH_LIST, PROVIDER.to_vec());
    };
    let (pem, signer) = leaf(&root, provider);
    let mut first = claims();
    first.dest.tn = vec!["13305550100".to_owned()];
    let first = signer.sign(Some("shaken"), &first).unwrap();
    let mut link = claims();
    (link.attest, link.origid) = (None, None);
    link.div = Some(tn("13305550100"));
    let good = signer.sign(Some("div"), &link).unwrap();
    link.div = Some(tn("13305550199"));
    let other = signer.sign(Some("div"), &link).unwrap();
    let verdict = |headers: &[&str]| {
        Bench::new(&root)
            .verdict(headers, Some(pem.as_bytes()))
            .error
    };
    assert_eq!(verdict(&[&first]), Some(VerifyError::Dest));
    assert_eq!(verdict(&[&first, &good]), None);
    assert_eq!(verdict(&[&good, &first]), None, "in any order");
    assert_eq!(verdict(&[&first, &other]), Some(VerifyError::Dest));
    assert_eq!(verdict(&[&good]), Some(VerifyError::Absent), "a link alone");
}

#[test]
fn no_address_floods_the_fetcher_or_the_cache() {
    let root = authority();
    let secret = Secret::new(KeyPair::generate().unwrap().serialize_pem().into_bytes());
    let mut bench = Bench::new(&root);
    for number in 0..2_000 {
        let url = format!("https://cert{number}.example.org/a.pem");
        let signer = Signer::new(&secret, &url, &Guard::default()).unwrap();
        let header = signer.sign(Some("shaken"), &claims()).unwrap();
        let _ = bench.check(NOW, &[&header], &expected(), "call");
        if number % 2 == 0
            && let Some(url) = bench.verifier.poll_fetch()
        {
            bench.verifier.on_certificate(at(NOW), &url, None);
        }
        assert!(bench.verifier.cached() <= 512);
    }
    let mut left = 0;
    while bench.verifier.poll_fetch().is_some() {
        left += 1;
    }
    assert!(left <= 64, "{left} fetches wait");
}

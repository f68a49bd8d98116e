//! What is signed verifies, and nothing else does.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use ringfence_base::{Secret, UnixTime};
use ringfence_stir::guard::Guard;
use ringfence_stir::{
    Attestation, Claims, Dest, Expected, Identity, Orig, Signer, VerifyError, verify,
};

const NOW: u64 = 1_700_000_000;
const URL: &str = "https://cert.example.org/a.cer";

fn signer() -> Signer {
    let document = EcdsaKeyPair::generate_pkcs8(
        &ECDSA_P256_SHA256_FIXED_SIGNING,
        &aws_lc_rs::rand::SystemRandom::new(),
    )
    .unwrap();
    let body = STANDARD.encode(document.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    Signer::new(&Secret::new(pem.into_bytes()), URL, &Guard::default()).unwrap()
}

fn claims() -> Claims {
    Claims {
        attest: Some(Attestation::A),
        dest: Dest {
            tn: vec!["12155551213".to_owned()],
            uri: Vec::new(),
        },
        div: None,
        iat: NOW,
        orig: Orig::Tn("12155551212".to_owned()),
        origid: Some("123e4567-e89b-12d3-a456-426655440000".to_owned()),
    }
}

fn expected() -> Expected {
    Expected {
        orig: Orig::Tn("12155551212".to_owned()),
        dests: vec![Orig::Tn("12155551213".to_owned())],
        date: Some(NOW),
    }
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::from_micros(seconds as i64 * 1_000_000)
}

#[track_caller]
fn check(value: &str, key: &Signer, expected: &Expected, now: u64, error: Option<VerifyError>) {
    let verdict = Identity::parse(value.as_bytes())
        .and_then(|identity| verify(&identity, key.public_key(), expected, at(now)));
    assert_eq!(verdict.err(), error);
}

#[test]
fn a_signed_shaken_token_verifies_rfc8588_4() {
    let key = signer();
    let value = key.sign(Some("shaken"), &claims()).unwrap();
    let identity = Identity::parse(value.as_bytes()).unwrap();
    let read = verify(&identity, key.public_key(), &expected(), at(NOW)).unwrap();
    assert!(read == claims());
    assert_eq!(format!("{key:?}"), "Signer(…)");
    assert!(!format!("{read:?} {identity:?}").contains("1215"));
}

#[test]
fn each_failure_has_its_name_and_status_rfc8224_6_2_2() {
    let (key, other) = (signer(), signer());
    let value = key.sign(Some("shaken"), &claims()).unwrap();
    check(&value, &key, &expected(), NOW + 60, None);
    check(
        &value,
        &key,
        &expected(),
        NOW + 61,
        Some(VerifyError::Stale),
    );
    check(
        &value,
        &key,
        &expected(),
        NOW - 61,
        Some(VerifyError::Stale),
    );
    check(
        &value,
        &other,
        &expected(),
        NOW,
        Some(VerifyError::Signature),
    );
    let mut request = expected();
    request.orig = Orig::Tn("12155550000".to_owned());
    check(&value, &key, &request, NOW, Some(VerifyError::Orig));
    let mut request = expected();
    request.dests = vec![Orig::Tn("12155550000".to_owned())];
    check(&value, &key, &request, NOW, Some(VerifyError::Dest));
    let moved = value.replace("info=<https://cert", "info=<https://evil");
    check(&moved, &key, &expected(), NOW, Some(VerifyError::Info));
    let unknown = key.sign(Some("rph"), &claims()).unwrap();
    check(
        &unknown,
        &key,
        &expected(),
        NOW,
        Some(VerifyError::Extension),
    );
    let div = key.sign(Some("div"), &claims()).unwrap();
    check(&div, &key, &expected(), NOW, Some(VerifyError::Extension));
    assert_eq!(VerifyError::Stale.status(), 403);
    assert_eq!(VerifyError::Info.status(), 436);
    assert_eq!(VerifyError::Signature.status(), 438);
}

#[test]
fn the_compact_form_is_made_again_from_the_request_rfc8224_7() {
    let key = signer();
    let mut plain = claims();
    (plain.attest, plain.origid) = (None, None);
    let value = key.sign(None, &plain).unwrap();
    let (token, parameters) = value.split_once(';').unwrap();
    let signature = token.rsplit('.').next().unwrap();
    let value = format!("..{signature};{parameters}");
    check(&value, &key, &expected(), NOW, None);
    let mut request = expected();
    request.dests = vec![Orig::Tn("12155550000".to_owned())];
    check(&value, &key, &request, NOW, Some(VerifyError::Signature));
    let shaken = format!("{value};ppt=shaken");
    check(
        &shaken,
        &key,
        &expected(),
        NOW,
        Some(VerifyError::Extension),
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_token_with_one_byte_changed_never_verifies(at_byte in any::<prop::sample::Index>(), to in 33u8..127) {
        let key = signer();
        let value = key.sign(Some("shaken"), &claims()).unwrap();
        let token = value.find(';').unwrap();
        let mut bytes = value.into_bytes();
        let at_byte = at_byte.index(token);
        prop_assume!(bytes[at_byte] != to);
        bytes[at_byte] = to;
        let verdict = Identity::parse(&bytes)
            .and_then(|identity| verify(&identity, key.public_key(), &expected(), at(NOW)));
        prop_assert!(verdict.is_err());
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), url in ".{0,80}") {
        if let Ok(identity) = Identity::parse(&bytes) {
            let _ = verify(&identity, &bytes, &expected(), at(NOW));
        }
        let _ = Guard::default().check_url(&url);
        let _ = Guard::default().check_url(&format!("https://{url}"));
        let _ = ringfence_stir::canonical_number(&url);
    }
}

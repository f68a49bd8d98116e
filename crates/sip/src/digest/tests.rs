//! The examples of the RFCs, and what holds for any bytes.

use proptest::prelude::*;

use super::*;
use crate::{HeaderName, Index};

#[track_caller]
fn check(challenge: &str, (user, password): (&str, &str), request: (&str, &str, &str), want: &str) {
    let challenge = Challenge::parse(challenge.as_bytes()).unwrap();
    let (method, uri, cnonce) = request;
    let (user, password) = (user.as_bytes(), password.as_bytes());
    let ha1 = Ha1::new(challenge.algorithm, user, &challenge.realm, password).unwrap();
    let answer = Answer {
        username: user,
        ha1: &ha1,
        method: method.as_bytes(),
        uri: uri.as_bytes(),
        cnonce: cnonce.as_bytes(),
        nc: 1,
    };
    let value = challenge.answer(&answer).unwrap();
    let text = String::from_utf8_lossy(&value).into_owned();
    assert!(text.contains(&format!("response=\"{want}\"")), "{text}");
    let credentials = Credentials::parse(&value).unwrap();
    assert!(credentials.verify(&ha1, method.as_bytes()));
    assert!(!credentials.verify(&ha1, b"SPOOFED"));
}

#[test]
fn the_example_of_rfc2617_3_5() {
    check(
        "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", \
         nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
        ("Mufasa", "Circle Of Life"),
        ("GET", "/dir/index.html", "0a4f113b"),
        "6629fae49393a05397450978507c4ef1",
    );
}

#[test]
fn the_md5_example_of_rfc7616_3_9_1() {
    check(
        "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm=MD5, \
         nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
         opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"",
        ("Mufasa", "Circle of Life"),
        (
            "GET",
            "/dir/index.html",
            "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        ),
        "8ca523f5e9506fed4657c9700eebdbec",
    );
}

#[test]
fn the_sha256_example_of_rfc7616_3_9_1() {
    check(
        "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm=SHA-256, \
         nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
         opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"",
        ("Mufasa", "Circle of Life"),
        (
            "GET",
            "/dir/index.html",
            "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        ),
        "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
    );
}

#[test]
fn old_peers_without_qop_rfc2617_3_2_2_1() {
    // The values of RFC 2617's example, hashed as RFC 2069 has it.
    check(
        "Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"",
        ("Mufasa", "Circle Of Life"),
        ("GET", "/dir/index.html", "0a4f113b"),
        "670fd8c2df070c60b045671b8b24ff02",
    );
}

#[test]
fn session_variants_are_answered_and_verified_rfc7616_3_4_2() {
    let challenge = b"Digest realm=\"r\", nonce=\"n\", algorithm=SHA-256-sess, qop=\"auth\"";
    let challenge = Challenge::parse(challenge).unwrap();
    assert!(challenge.session);
    let ha1 = Ha1::new(Algorithm::Sha256, b"bob", b"r", b"zanzibar").unwrap();
    let answer = Answer {
        username: b"bob",
        ha1: &ha1,
        method: b"REGISTER",
        uri: b"sip:biloxi.example",
        cnonce: b"c",
        nc: 0xab,
    };
    let value = challenge.answer(&answer).unwrap();
    let credentials = Credentials::parse(&value).unwrap();
    assert_eq!(credentials.nc, Some(0xab));
    assert!(credentials.verify(&ha1, b"REGISTER"));
    let plain = Challenge {
        session: false,
        ..challenge
    };
    assert_ne!(plain.answer(&answer).unwrap(), value);
}

fn response(code: u16, headers: &str) -> Vec<u8> {
    format!("SIP/2.0 {code} Who\r\n{headers}Content-Length: 0\r\n\r\n").into_bytes()
}

#[track_caller]
fn check_choice(code: u16, headers: &str, want: Result<(HeaderName, Algorithm), ChallengeError>) {
    let bytes = response(code, headers);
    let mut index = Index::default();
    let message = index.parse(&bytes).unwrap();
    let got = strongest(&message).map(|(header, challenge)| (header, challenge.algorithm));
    assert_eq!(got, want, "{headers}");
}

#[test]
fn the_strongest_challenge_that_can_be_answered_is_taken_rfc8760_2_4() {
    use Algorithm::{Md5, Sha256, Sha512Slash256};
    let (www, proxy) = (HeaderName::Authorization, HeaderName::ProxyAuthorization);
    let md5 = "Digest realm=\"a\", nonce=\"1\", qop=\"auth\"";
    let sha = "Digest realm=\"a\", nonce=\"2\", algorithm=SHA-256";
    let long = "Digest realm=\"a\", nonce=\"3\", algorithm=SHA-512-256";
    let odd = "Digest realm=\"a\", nonce=\"4\", algorithm=SHA3";
    let line = |value: &str| format!("WWW-Authenticate: {value}\r\n");
    check_choice(401, &(line(md5) + &line(sha)), Ok((www, Sha256)));
    check_choice(401, &(line(long) + &line(md5)), Ok((www, Sha512Slash256)));
    check_choice(401, &line(&format!("{md5}, {sha}")), Ok((www, Sha256)));
    check_choice(
        401,
        &(line("Basic realm=\"a\"") + &line(md5)),
        Ok((www, Md5)),
    );
    check_choice(401, &(line(odd) + &line(md5)), Ok((www, Md5)));
    check_choice(401, &line(odd), Err(ChallengeError::Algorithm));
    check_choice(401, "", Err(ChallengeError::Malformed));
    check_choice(407, &line(md5), Err(ChallengeError::Malformed));
    let asked = format!("Proxy-Authenticate: {sha}\r\n");
    check_choice(407, &asked, Ok((proxy, Sha256)));
}

#[test]
fn challenges_that_cannot_be_answered_say_why() {
    let why = |value: &str| Challenge::parse(value.as_bytes()).unwrap_err();
    assert_eq!(why("Basic realm=\"a\""), ChallengeError::Scheme);
    assert_eq!(why("Digest realm=\"a\""), ChallengeError::Malformed);
    assert_eq!(
        why("Digest realm=\"a\", nonce=\"n\", qop=\"auth-int\""),
        ChallengeError::Qop
    );
    let long = format!(
        "Digest realm=\"a\", nonce=\"{}\"",
        "n".repeat(VALUE_MAX + 1)
    );
    assert_eq!(why(&long), ChallengeError::Malformed);
}

#[test]
fn what_was_not_offered_is_refused() {
    let with = |more: &str| {
        let value = format!(
            "Digest username=\"u\", realm=\"r\", nonce=\"n\", uri=\"sip:r\", \
             response=\"{}\"{more}",
            "a".repeat(32)
        );
        Credentials::parse(value.as_bytes()).map(|_| ())
    };
    assert_eq!(with(""), Ok(()));
    assert_eq!(with(", qop=auth-int"), Err(CredentialsError::Qop));
    assert_eq!(with(", userhash=true"), Err(CredentialsError::UserHash));
    assert_eq!(
        with(", algorithm=SHA-256"),
        Err(CredentialsError::Malformed)
    );
    assert_eq!(with(", algorithm=Blake"), Err(CredentialsError::Algorithm));
    assert_eq!(with(", username=\"x\""), Err(CredentialsError::Malformed));
    for nc in ["", "1", "00000000", "+0000001", "0000000g"] {
        let more = format!(", qop=auth, cnonce=\"c\", nc={nc}");
        assert_eq!(with(&more), Err(CredentialsError::Malformed), "{nc}");
    }
    assert_eq!(
        with(", qop=auth, nc=00000001"),
        Err(CredentialsError::Malformed)
    );
}

#[test]
fn an_empty_password_never_verifies() {
    // What a client that believes in an empty password would send.
    let hash = |parts: &[&[u8]]| Algorithm::Md5.hash(parts).as_bytes().to_vec();
    let (a1, a2) = (hash(&[b"bob", b"r", b""]), hash(&[b"REGISTER", b"sip:r"]));
    let response = hash(&[&a1, b"n", &a2]);
    let value = format!(
        "Digest username=\"bob\", realm=\"r\", nonce=\"n\", uri=\"sip:r\", response=\"{}\"",
        String::from_utf8_lossy(&response)
    );
    let credentials = Credentials::parse(value.as_bytes()).unwrap();
    let mut entropy = ringfence_base::entropy::SeededEntropy::new(1);
    assert!(Ha1::new(Algorithm::Md5, b"bob", b"r", b"").is_err());
    assert!(!credentials.verify(&Ha1::of_nobody(Algorithm::Md5, &mut entropy), b"REGISTER"));
}

#[test]
fn a_next_nonce_is_read_rfc7616_3_5() {
    let value = b"nextnonce=\"abc\", qop=auth, rspauth=\"0\", nc=00000001";
    assert_eq!(next_nonce(value), Some(&b"abc"[..]));
    assert_eq!(next_nonce(b"qop=auth, nextnonce=abc"), Some(&b"abc"[..]));
    assert_eq!(next_nonce(b"nextnonce=\"\""), None);
    assert_eq!(next_nonce(b""), None);
}

#[test]
fn nothing_leaves_its_quotes() {
    let challenge = Challenge::new(Algorithm::Md5, b"a\", stale=true\r\nX: y\\", b"n", false);
    let text = challenge.to_string();
    let read = Challenge::parse(text.as_bytes()).unwrap();
    assert_eq!(&*read.realm, b"a, stale=trueX: y");
    assert!(!read.stale && !text.contains(['\r', '\n']));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Challenge::parse(&bytes);
        let _ = Credentials::parse(&bytes);
        let _ = next_nonce(&bytes);
        for start in [&b"Digest "[..], b"Digest realm=\"", b"Digest username=\"u\", nc="] {
            let value = [start, &bytes].concat();
            let _ = Challenge::parse(&value);
            let _ = Credentials::parse(&value);
        }
    }

    #[test]
    fn a_challenge_reads_as_it_was_written(
        realm in "[ !#-\\[\\]-~]{0,40}", nonce in "[!#-\\[\\]-~]{1,40}",
        stale: bool, session: bool, qop: bool, opaque in proptest::option::of("[!#-\\[\\]-~]{0,9}"),
        algorithm in proptest::sample::select(Algorithm::STRONGEST_FIRST.to_vec()),
    ) {
        let challenge = Challenge {
            realm: realm.into_bytes().into(), nonce: nonce.into_bytes().into(),
            opaque: opaque.map(|opaque| opaque.into_bytes().into()), algorithm, session, stale, qop,
        };
        prop_assert_eq!(Challenge::parse(challenge.to_string().as_bytes()).unwrap(), challenge);
    }

    #[test]
    fn whoever_knows_the_password_is_let_in_and_nobody_else(
        user in "[ !#-\\[\\]-~]{1,20}", realm in "[ !#-\\[\\]-~]{1,20}", password in ".{1,20}",
        other in ".{1,20}", session: bool, qop: bool, nc in 1u32..,
        algorithm in proptest::sample::select(Algorithm::STRONGEST_FIRST.to_vec()),
    ) {
        let mut challenge = Challenge::new(algorithm, realm.as_bytes(), b"n", false);
        (challenge.session, challenge.qop) = (session, qop);
        let ha1 = |password: &str| {
            Ha1::new(algorithm, user.as_bytes(), realm.as_bytes(), password.as_bytes()).unwrap()
        };
        let answer = Answer {
            username: user.as_bytes(), ha1: &ha1(&password), method: b"INVITE",
            uri: b"sip:+13305550100@r;user=phone", cnonce: b"c", nc,
        };
        let value = challenge.answer(&answer).unwrap();
        let credentials = Credentials::parse(&value).unwrap();
        prop_assert_eq!(credentials.username, user.as_bytes());
        prop_assert!(credentials.verify(&ha1(&password), b"INVITE"));
        prop_assert!(!credentials.verify(&ha1(&password), b"BYE"));
        prop_assert_eq!(credentials.verify(&ha1(&other), b"INVITE"), other == password);
    }
}

#[test]
fn a_compacted_challenge_says_the_same() {
    for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
        let long = Challenge::new(algorithm, b"one, two", b"abc", true);
        let short = long.compacted();
        assert!(short.len() < long.to_string().len());
        assert_eq!(Challenge::parse(short.as_bytes()), Ok(long));
    }
}

//! RFC 4568: SDES keys in `a=crypto`, and their offer and answer.

use ringfence_sdp::offer_answer::{AnswerError, check_answer};
use ringfence_sdp::{Crypto, CryptoError, SessionDescription, SessionParam};

/// The key and salt of the examples.
const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

/// Reads a value and checks that it is written as it was read.
#[track_caller]
fn read(value: &str) -> Crypto {
    let crypto = Crypto::parse(value.as_bytes()).expect("a crypto attribute");
    assert_eq!(crypto.to_attribute().value(), Some(value.as_bytes()));
    crypto
}

#[track_caller]
fn check_refused(value: &str, error: CryptoError) {
    assert_eq!(Crypto::parse(value.as_bytes()), Err(error), "{value}");
}

#[test]
fn reads_tag_suite_and_key_rfc4568_6_1() {
    let inline = format!("{KEY}|2^20|1:4");
    let crypto = read(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{inline}"));
    assert_eq!(
        (crypto.tag, crypto.suite.as_str()),
        (1, Some("AES_CM_128_HMAC_SHA1_80"))
    );
    assert_eq!(crypto.inline_keys().collect::<Vec<_>>(), [inline.as_str()]);
    assert!(crypto.is_acceptable());
    let again = Crypto::new(1, "AES_CM_128_HMAC_SHA1_80", &inline);
    assert_eq!(again, crypto);
}

#[test]
fn reads_several_keys_rfc4568_6_1() {
    let value = format!(
        "2 F8_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4;inline:QUJD|2^20|2:4 FEC_ORDER=FEC_SRTP"
    );
    let crypto = read(&value);
    assert_eq!(crypto.inline_keys().count(), 2);
    assert!(!crypto.is_acceptable());
}

#[test]
fn reads_session_parameters_rfc4568_6_3() {
    let crypto = read(&format!(
        "1 AES_CM_128_HMAC_SHA1_32 inline:{KEY} KDR=1 UNENCRYPTED_SRTP UNENCRYPTED_SRTCP \
         UNAUTHENTICATED_SRTP FEC_ORDER=SRTP_FEC FEC_KEY=inline:{KEY} WSH=128 -x y WSH=1 KDR=25"
    ));
    use SessionParam::*;
    assert_eq!(
        crypto.session_params().collect::<Vec<_>>(),
        [
            KeyDerivationRate(1),
            UnencryptedSrtp,
            UnencryptedSrtcp,
            UnauthenticatedSrtp,
            FecOrder,
            FecKey,
            WindowSizeHint(128),
            Unknown { optional: true },
            Unknown { optional: false },
            Unknown { optional: false },
            Unknown { optional: false },
        ]
    );
}

#[test]
fn lines_that_weaken_srtp_are_not_acceptable_rfc4568_7_1_1() {
    for (params, acceptable) in [
        ("", true),
        (" WSH=128", true),
        (" -new=1", true),
        (" new=1", false),
        (" UNENCRYPTED_SRTP", false),
        (" UNENCRYPTED_SRTCP", false),
        (" UNAUTHENTICATED_SRTP", false),
        (" KDR=0", false),
        (" FEC_ORDER=FEC_SRTP", false),
    ] {
        let crypto = read(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}{params}"));
        assert_eq!(crypto.is_acceptable(), acceptable, "{params}");
    }
}

#[test]
fn lines_that_cannot_be_read_are_refused_rfc4568_9_1() {
    for tag in ["", "x", "-1", "1234567890", "1.5"] {
        check_refused(&format!("{tag}X AES inline:a"), CryptoError::Tag);
    }
    check_refused("1", CryptoError::Suite);
    check_refused("1 A/B inline:a", CryptoError::Suite);
    for keys in ["", "inline", "inline:", ":a", "inline:a;", ";inline:a"] {
        check_refused(&format!("1 AES {keys}"), CryptoError::KeyParams);
    }
}

#[test]
fn the_key_does_not_print() {
    assert!(!format!("{:?}", Crypto::new(1, "AES_CM_128_HMAC_SHA1_80", KEY)).contains(KEY));
}

#[test]
fn a_key_cannot_end_its_line() {
    let crypto = Crypto::new(1, "X", "a\r\nb c");
    assert_eq!(crypto.to_attribute().value(), Some(&b"1 X inline:abc"[..]));
}

#[track_caller]
fn media(proto: &str, crypto: &[&str]) -> SessionDescription {
    let mut text = format!(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
         m=audio 49170 {proto} 0\r\n"
    );
    crypto
        .iter()
        .for_each(|line| text.push_str(&format!("a=crypto:{line}\r\n")));
    SessionDescription::parse(text.as_bytes()).expect("a description")
}

#[test]
fn an_answer_chooses_one_offered_line_rfc4568_5_1() {
    let offer = media(
        "RTP/SAVP",
        &[
            "1 AES_CM_128_HMAC_SHA1_80 inline:a",
            "2 AEAD_AES_256_GCM inline:b",
            "3 F8 inline:c X",
        ],
    );
    let refused = Err(AnswerError::Crypto { media: 0 });
    for (lines, expected) in [
        (&["1 AES_CM_128_HMAC_SHA1_80 inline:x"][..], Ok(())),
        (&["2 AEAD_AES_256_GCM inline:x|2^31"], Ok(())),
        (&["2 AES_CM_128_HMAC_SHA1_80 inline:x"], refused),
        (&["4 AES_CM_128_HMAC_SHA1_80 inline:x"], refused),
        (&["3 F8 inline:x X"], refused),
        (&["1 AES_CM_128_HMAC_SHA1_80"], refused),
        (
            &[
                "1 AES_CM_128_HMAC_SHA1_80 inline:x",
                "2 AEAD_AES_256_GCM inline:y",
            ],
            refused,
        ),
        (&[], refused),
    ] {
        assert_eq!(
            check_answer(&offer, &media("RTP/SAVP", lines)),
            expected,
            "{lines:?}"
        );
    }
}

#[test]
fn keys_are_not_answered_where_none_were_offered() {
    let answer = media("RTP/AVP", &["1 AES_CM_128_HMAC_SHA1_80 inline:x"]);
    let refused = Err(AnswerError::Crypto { media: 0 });
    assert_eq!(check_answer(&media("RTP/AVP", &[]), &answer), refused);
    assert_eq!(
        check_answer(&media("RTP/AVP", &[]), &media("RTP/AVP", &[])),
        Ok(())
    );
}

#[test]
fn setting_keys_replaces_all_lines() {
    let mut offer = media("RTP/SAVP", &["1 A inline:a", "2 B inline:b"]);
    offer.media[0].set_crypto(&[Crypto::new(7, "C", "c")]);
    let lines: Vec<Crypto> = offer.media[0].crypto().filter_map(Result::ok).collect();
    assert_eq!(lines, [Crypto::new(7, "C", "c")]);
}

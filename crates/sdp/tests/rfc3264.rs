//! RFC 3264: offers, answers, hold, and the examples of its section 10.

use ringfence_sdp::offer_answer::{
    AnswerError, NewOfferError, OfferError, check_answer, check_new_offer, check_offer,
    have_common_format, is_held, is_on_hold, mend_answer,
};
use ringfence_sdp::{Direction, Proto, SessionDescription};

#[track_caller]
fn read(media: &str) -> SessionDescription {
    let text = format!("v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\n{media}");
    let body = text.replace('\n', "\r\n");
    SessionDescription::parse(body.as_bytes()).expect("a description")
}

#[track_caller]
fn check(offer: &str, answer: &str, expected: Result<(), AnswerError>) {
    assert_eq!(check_answer(&read(offer), &read(answer)), expected);
}

#[test]
fn basic_exchange_rfc3264_10_1() {
    let offer = "m=audio 49170 RTP/AVP 0\na=rtpmap:0 PCMU/8000\n\
                 m=video 51372 RTP/AVP 31\na=rtpmap:31 H261/90000\n\
                 m=video 53000 RTP/AVP 32\na=rtpmap:32 MPV/90000\n";
    assert_eq!(check_offer(&read(offer)), Ok(()));
    let answer = "m=audio 49920 RTP/AVP 0\na=rtpmap:0 PCMU/8000\nm=video 0 RTP/AVP 31\n\
                  m=video 53000 RTP/AVP 32\na=rtpmap:32 MPV/90000\n";
    check(offer, answer, Ok(()));
    let second = "m=audio 65422 RTP/AVP 0\na=rtpmap:0 PCMU/8000\nm=video 0 RTP/AVP 31\n\
                  m=video 53000 RTP/AVP 32\na=rtpmap:32 MPV/90000\n\
                  m=audio 51434 RTP/AVP 110\na=rtpmap:110 telephone-events/8000\na=recvonly\n";
    assert_eq!(check_new_offer(&read(answer), &read(second)), Ok(()));
    let second_answer = "m=audio 49170 RTP/AVP 0\na=rtpmap:0 PCMU/8000\nm=video 0 RTP/AVP 31\n\
                         m=video 53000 RTP/AVP 32\na=rtpmap:32 MPV/90000\n\
                         m=audio 53122 RTP/AVP 110\na=rtpmap:110 telephone-events/8000\n\
                         a=sendonly\n";
    check(second, second_answer, Ok(()));
}

#[test]
fn one_of_n_codec_selection_rfc3264_10_2() {
    let offer = "m=audio 62986 RTP/AVP 0 4 18\na=rtpmap:0 PCMU/8000\na=rtpmap:4 G723/8000\n\
                 a=rtpmap:18 G729/8000\na=inactive\n";
    check(offer, "m=audio 54344 RTP/AVP 0 4\na=inactive\n", Ok(()));
    let second = "m=audio 62986 RTP/AVP 4\na=rtpmap:4 G723/8000\na=sendrecv\n";
    check(
        second,
        "m=audio 54344 RTP/AVP 4\na=rtpmap:4 G723/8000\na=sendrecv\n",
        Ok(()),
    );
}

#[test]
fn an_answer_has_as_many_media_as_its_offer_rfc3264_6() {
    let two = "m=audio 1 RTP/AVP 0\nm=video 2 RTP/AVP 31\n";
    let one = "m=audio 1 RTP/AVP 0\n";
    check(
        two,
        one,
        Err(AnswerError::MediaCount {
            offered: 2,
            answered: 1,
        }),
    );
    check(
        one,
        two,
        Err(AnswerError::MediaCount {
            offered: 1,
            answered: 2,
        }),
    );
    check("", "", Ok(()));
}

#[test]
fn a_refused_stream_stays_refused_rfc3264_6() {
    let refused = "m=audio 0 RTP/AVP 0\n";
    check(refused, refused, Ok(()));
    check(
        refused,
        "m=audio 4000 RTP/AVP 0\n",
        Err(AnswerError::NotOffered { media: 0 }),
    );
    check("m=audio 4000 RTP/AVP 0\n", refused, Ok(()));
}

#[test]
fn kind_and_transport_are_the_offers_rfc3264_6() {
    let offer = "m=audio 1 RTP/AVP 0\n";
    check(
        offer,
        "m=video 1 RTP/AVP 0\n",
        Err(AnswerError::Kind { media: 0 }),
    );
    check(
        offer,
        "m=audio 1 RTP/SAVP 0\n",
        Err(AnswerError::Proto { media: 0 }),
    );
    check(
        "m=audio 1 RTP/SAVP 0\n",
        offer,
        Err(AnswerError::Proto { media: 0 }),
    );
}

#[test]
fn an_answer_shares_a_format_rfc3264_6_1() {
    let offer = "m=audio 1 RTP/AVP 0 97\na=rtpmap:97 iLBC/8000\n";
    let none = Err(AnswerError::NoCommonFormat { media: 0 });
    check(offer, "m=audio 1 RTP/AVP 8\n", none);
    check(
        offer,
        "m=audio 1 RTP/AVP 97\na=rtpmap:97 speex/8000\n",
        none,
    );
    check(
        offer,
        "m=audio 1 RTP/AVP 98\na=rtpmap:98 ilbc/8000\n",
        Ok(()),
    );
    check(offer, "m=audio 1 RTP/AVP 8 0\n", Ok(()));
    check("m=audio 1 RTP/AVP 99\n", "m=audio 1 RTP/AVP 99\n", Ok(()));
    check("m=image 1 udptl t38\n", "m=image 1 udptl t38\n", Ok(()));
    check("m=image 1 udptl t38\n", "m=image 1 udptl t37\n", none);
    let opus = read("m=audio 1 RTP/AVP 96\na=rtpmap:96 opus/48000/2\n");
    let mono = read("m=audio 1 RTP/AVP 96\na=rtpmap:96 opus/48000\n");
    assert!(!have_common_format(&opus.media[0], &mono.media[0]));
}

#[test]
fn directions_mirror_each_other_rfc3264_6_1() {
    use Direction::*;
    let all = [SendRecv, SendOnly, RecvOnly, Inactive];
    for offered in all {
        for answered in all {
            let allowed = match offered {
                SendRecv => true,
                SendOnly => matches!(answered, RecvOnly | Inactive),
                RecvOnly => matches!(answered, SendOnly | Inactive),
                Inactive => answered == Inactive,
            };
            assert_eq!(
                offered.allows_answer(answered),
                allowed,
                "{offered:?} {answered:?}"
            );
            let offer = format!("m=audio 1 RTP/AVP 0\na={}\n", offered.name());
            let answer = format!("m=audio 1 RTP/AVP 0\na={}\n", answered.name());
            let error = Err(AnswerError::Direction { media: 0 });
            check(&offer, &answer, if allowed { Ok(()) } else { error });
            assert!(offered.allows_answer(offered.answer(answered)));
        }
        assert_eq!(offered.answer(SendRecv), offered.reversed());
        assert_eq!(offered.reversed().reversed(), offered);
    }
}

#[test]
fn rtcp_is_multiplexed_only_if_offered_rfc5761_5_1_1() {
    let with = "m=audio 1 RTP/AVP 0\na=rtcp-mux\n";
    let without = "m=audio 1 RTP/AVP 0\n";
    check(with, with, Ok(()));
    check(with, without, Ok(()));
    check(without, with, Err(AnswerError::RtcpMux { media: 0 }));
}

#[test]
fn careless_answers_are_mended() {
    let offer =
        read("m=audio 1 RTP/AVP 0\na=sendonly\nm=audio 2 RTP/AVPF 0\nm=audio 0 RTP/AVP 0\n");
    let mut answer = read(
        "m=audio 1 RTP/AVPF 0\na=rtcp-mux\nm=audio 2 RTP/AVP 0\na=sendonly\nm=audio 0 RTP/AVPF 0\n",
    );
    assert!(check_answer(&offer, &answer).is_err());
    mend_answer(&offer, &mut answer);
    assert_eq!(check_answer(&offer, &answer), Ok(()));
    assert_eq!(answer.direction(&answer.media[0]), Direction::RecvOnly);
    assert_eq!(answer.direction(&answer.media[1]), Direction::SendOnly);
    assert_eq!(answer.media[0].proto, Proto::RtpAvp);
    assert!(!answer.media[0].rtcp_mux());
}

#[test]
fn encryption_is_never_mended_away() {
    let offer = read("m=audio 1 RTP/SAVP 0\n");
    let mut answer = read("m=audio 1 RTP/AVP 0\n");
    mend_answer(&offer, &mut answer);
    assert_eq!(
        check_answer(&offer, &answer),
        Err(AnswerError::Proto { media: 0 })
    );
}

#[test]
fn offers_need_an_address_and_formats_rfc3264_5_1() {
    let no_address = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 1 RTP/AVP 0\r\n";
    let offer = SessionDescription::parse(no_address.as_bytes()).expect("a description");
    assert_eq!(
        check_offer(&offer),
        Err(OfferError::NoConnection { media: 0 })
    );
    let offer = read("m=audio 1 RTP/AVP 0\nm=audio 2 RTP/AVP\n");
    assert_eq!(check_offer(&offer), Err(OfferError::NoFormats { media: 1 }));
    assert_eq!(check_offer(&read("m=audio 0 RTP/AVP\n")), Ok(()));
}

#[test]
fn media_is_never_removed_rfc3264_8() {
    let two = read("m=audio 1 RTP/AVP 0\nm=video 2 RTP/AVP 31\n");
    let one = read("m=audio 1 RTP/AVP 0\n");
    let fewer = NewOfferError::FewerMedia {
        before: 2,
        offered: 1,
    };
    assert_eq!(check_new_offer(&two, &one), Err(fewer));
    assert_eq!(check_new_offer(&one, &two), Ok(()));
}

#[test]
fn hold_is_seen_in_all_its_forms_rfc3264_8_4() {
    #[track_caller]
    fn check(media: &str, held: bool) {
        let description = read(media);
        assert_eq!(is_held(&description, &description.media[0]), held);
    }
    check("m=audio 1 RTP/AVP 0\n", false);
    check("m=audio 1 RTP/AVP 0\na=recvonly\n", false);
    check("m=audio 1 RTP/AVP 0\na=sendonly\n", true);
    check("m=audio 1 RTP/AVP 0\na=inactive\n", true);
    check("a=sendonly\nm=audio 1 RTP/AVP 0\n", true);
    check("m=audio 1 RTP/AVP 0\nc=IN IP4 0.0.0.0\n", true);
    check("m=audio 1 RTP/AVP 0\nc=IN IP6 ::\n", true);
    check("m=audio 0 RTP/AVP 0\na=sendonly\n", false);
}

#[test]
fn a_call_is_on_hold_when_all_its_streams_are() {
    let held = "m=audio 1 RTP/AVP 0\na=sendonly\n";
    assert!(is_on_hold(&read(held)));
    assert!(is_on_hold(&read(&format!("{held}m=video 0 RTP/AVP 31\n"))));
    assert!(!is_on_hold(&read(&format!("{held}m=video 2 RTP/AVP 31\n"))));
    assert!(!is_on_hold(&read("m=audio 0 RTP/AVP 0\n")));
    assert!(!is_on_hold(&read("")));
}

#[test]
fn codecs_are_filtered_with_their_attributes() {
    let mut offer = read(
        "m=audio 1 RTP/AVP 96 0 8 101 77\na=rtpmap:96 opus/48000/2\na=fmtp:96 useinbandfec=1\n\
         a=rtcp-fb:96 transport-cc\na=rtpmap:0 PCMU/8000\na=rtpmap:101 telephone-event/8000\n\
         a=fmtp:101 0-15\na=x:96 stays\na=ptime:20\n",
    );
    offer.media[0].retain_codecs(|codec| codec.is("PCMA") || codec.is("telephone-event"));
    assert_eq!(
        offer.to_string().split_once("m=").map(|(_, media)| media),
        Some(
            "audio 1 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n\
             a=x:96 stays\r\na=ptime:20\r\n"
        )
    );
}

#[test]
fn a_stream_is_refused_by_port_0_rfc3264_6() {
    let mut answer = read("m=audio 4000/2 RTP/AVP 8 0\nc=IN IP4 10.0.0.1\nb=AS:64\na=x\n");
    answer.media[0].reject();
    assert!(
        answer
            .to_string()
            .ends_with("\r\nt=0 0\r\nm=audio 0 RTP/AVP 8\r\n")
    );
}

//! RFC 4317: its offers and answers, section by section, checked against RFC 3264's rules.

use ringfence_sdp::offer_answer::{
    check_answer, check_new_offer, check_offer, is_held, is_on_hold,
};
use ringfence_sdp::{Defects, SessionDescription};

/// The session part in front of the media of `who`.
#[track_caller]
fn read(who: &str, version: u64, media: &str) -> SessionDescription {
    let host = match who {
        "alice" => "host.atlanta.example.com",
        _ => "host.biloxi.example.com",
    };
    let text = format!(
        "v=0\no={who} 2890844526 {version} IN IP4 {host}\ns=-\nc=IN IP4 {host}\nt=0 0\n{media}"
    );
    let body = text.replace('\n', "\r\n");
    let description = SessionDescription::parse(body.as_bytes()).expect("a description");
    assert_eq!(description.defects(), Defects::NONE);
    assert_eq!(description.to_string(), body);
    description
}

/// An offer by Alice that Bob answers; returns both.
#[track_caller]
fn exchange(offer: &str, answer: &str) -> (SessionDescription, SessionDescription) {
    let (offer, answer) = (
        read("alice", 2890844526, offer),
        read("bob", 2808844564, answer),
    );
    assert_eq!(check_offer(&offer), Ok(()));
    assert_eq!(check_answer(&offer, &answer), Ok(()));
    (offer, answer)
}

const AUDIO_AND_VIDEO: &str = "m=audio 49170 RTP/AVP 0 8 97\na=rtpmap:0 PCMU/8000\n\
    a=rtpmap:8 PCMA/8000\na=rtpmap:97 iLBC/8000\nm=video 51372 RTP/AVP 31 32\n\
    a=rtpmap:31 H261/90000\na=rtpmap:32 MPV/90000\n";

#[test]
fn audio_and_video_with_one_codec_each_rfc4317_2_1() {
    exchange(
        AUDIO_AND_VIDEO,
        "m=audio 49174 RTP/AVP 0\na=rtpmap:0 PCMU/8000\nm=video 49170 RTP/AVP 32\n\
         a=rtpmap:32 MPV/90000\n",
    );
}

#[test]
fn several_codecs_are_narrowed_by_a_second_offer_rfc4317_2_2() {
    let (_, answer) = exchange(
        AUDIO_AND_VIDEO,
        "m=audio 49172 RTP/AVP 0 8\na=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\n\
         m=video 0 RTP/AVP 31\na=rtpmap:31 H261/90000\n",
    );
    let (second, _) = exchange(
        "m=audio 51372 RTP/AVP 0\na=rtpmap:0 PCMU/8000\nm=video 0 RTP/AVP 31\n\
         a=rtpmap:31 H261/90000\n",
        "m=audio 49172 RTP/AVP 0\na=rtpmap:0 PCMU/8000\nm=video 0 RTP/AVP 31\n\
         a=rtpmap:31 H261/90000\n",
    );
    assert_eq!(check_new_offer(&answer, &second), Ok(()));
}

#[test]
fn video_is_refused_rfc4317_2_3() {
    let (_, answer) = exchange(
        AUDIO_AND_VIDEO,
        "m=audio 49174 RTP/AVP 0 8\na=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\n\
         m=video 0 RTP/AVP 32\n",
    );
    assert_eq!(
        answer
            .active_media()
            .map(|(index, _)| index)
            .collect::<Vec<_>>(),
        [0]
    );
}

#[test]
fn two_audio_streams_one_of_events_rfc4317_2_4() {
    let (_, answer) = exchange(
        "m=audio 49170 RTP/AVP 0 8 97\na=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\n\
         a=rtpmap:97 iLBC/8000\na=sendonly\nm=audio 49172 RTP/AVP 98\n\
         a=rtpmap:98 telephone-event/8000\na=sendonly\n",
        "m=audio 49172 RTP/AVP 97\na=rtpmap:97 iLBC/8000\na=recvonly\n\
         m=audio 49170 RTP/AVP 98\na=rtpmap:98 telephone-event/8000\na=recvonly\n",
    );
    assert_eq!(answer.media[1].telephone_event(8000), Some(98));
}

#[test]
fn payload_types_may_differ_between_the_two_sides_rfc4317_2_6() {
    exchange(
        "m=audio 49170 RTP/AVP 0 99\na=rtpmap:0 PCMU/8000\na=rtpmap:99 iLBC/8000\n",
        "m=audio 49172 RTP/AVP 97\na=rtpmap:97 iLBC/8000\n",
    );
}

#[test]
fn hold_and_unhold_rfc4317_3_1() {
    let talk = "m=audio 49170 RTP/AVP 0 97\na=rtpmap:0 PCMU/8000\na=rtpmap:97 iLBC/8000\n";
    let (first, _) = exchange(talk, "m=audio 49172 RTP/AVP 97\na=rtpmap:97 iLBC/8000\n");
    assert!(!is_on_hold(&first));
    let (held, answer) = exchange(
        "m=audio 49170 RTP/AVP 97\na=rtpmap:97 iLBC/8000\na=sendonly\n",
        "m=audio 49172 RTP/AVP 97\na=rtpmap:97 iLBC/8000\na=recvonly\n",
    );
    assert!(is_on_hold(&held));
    assert!(!is_on_hold(&answer));
    let (resumed, _) = exchange(
        "m=audio 49170 RTP/AVP 97\na=rtpmap:97 iLBC/8000\n",
        "m=audio 49172 RTP/AVP 97\na=rtpmap:97 iLBC/8000\n",
    );
    assert!(!is_on_hold(&resumed));
}

#[test]
fn one_of_two_streams_is_held_rfc4317_3_2() {
    let (offer, _) = exchange(
        "m=audio 49170 RTP/AVP 97\na=rtpmap:97 iLBC/8000\na=sendonly\n\
         m=audio 49172 RTP/AVP 98\na=rtpmap:98 telephone-event/8000\na=recvonly\n",
        "m=audio 49170 RTP/AVP 97\na=rtpmap:97 iLBC/8000\na=recvonly\n\
         m=audio 49172 RTP/AVP 98\na=rtpmap:98 telephone-event/8000\na=sendonly\n",
    );
    assert!(is_held(&offer, &offer.media[0]) && !is_held(&offer, &offer.media[1]));
    assert!(!is_on_hold(&offer));
}

#[test]
fn a_stream_is_added_rfc4317_4_1() {
    let one = "m=audio 49170 RTP/AVP 0 97\na=rtpmap:0 PCMU/8000\na=rtpmap:97 iLBC/8000\n";
    let (_, answer) = exchange(one, "m=audio 49172 RTP/AVP 0\na=rtpmap:0 PCMU/8000\n");
    let (second, _) = exchange(
        &format!("{one}m=audio 49172 RTP/AVP 98\na=rtpmap:98 telephone-event/8000\na=sendonly\n"),
        "m=audio 49172 RTP/AVP 0\na=rtpmap:0 PCMU/8000\nm=audio 49174 RTP/AVP 98\n\
         a=rtpmap:98 telephone-event/8000\na=recvonly\n",
    );
    assert_eq!(check_new_offer(&answer, &second), Ok(()));
}

#[test]
fn a_stream_is_ended_rfc4317_4_3() {
    let (offer, answer) = exchange(
        "m=audio 49170 RTP/AVP 0\na=rtpmap:0 PCMU/8000\nm=video 0 RTP/AVP 31\n",
        "m=audio 49174 RTP/AVP 0\na=rtpmap:0 PCMU/8000\nm=video 0 RTP/AVP 31\n",
    );
    assert!(offer.media[1].is_rejected() && answer.media[1].is_rejected());
}

#[test]
fn an_offer_without_media_is_answered_without_rfc4317_5_1() {
    exchange("", "");
}

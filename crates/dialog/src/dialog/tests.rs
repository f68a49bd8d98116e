//! Dialogs on both ends: making, matching, ordering, routing.

use ringfence_base::WorkerIndex;
use ringfence_base::entropy::SeededEntropy;
use ringfence_sip::Index;

use super::*;
use crate::cookie::Cookies;

const ALICE: &str = "From: \"A\" <sip:a@h>;tag=alice";
const BOB: &str = "To: <sip:b@h>";

fn tag() -> Tag {
    Cookies::new([7; 16], WorkerIndex::new(3)).new_tag(&mut SeededEntropy::new(1))
}

/// Reads a message of these lines.
#[track_caller]
fn with<T>(lines: &[&str], test: impl FnOnce(&Message<'_>) -> T) -> T {
    let text = lines.join("\r\n") + "\r\n\r\n";
    let mut index = Index::default();
    test(&index.parse(text.as_bytes()).unwrap())
}

/// The dialog that Alice's INVITE with these headers makes here.
#[track_caller]
fn uas(headers: &[&str]) -> Dialog {
    let mut lines = vec![
        "INVITE sip:b@h SIP/2.0",
        ALICE,
        BOB,
        "Call-ID: c1",
        "CSeq: 10 INVITE",
    ];
    lines.extend(headers);
    with(&lines, |request| Dialog::uas(request, &tag()).unwrap())
}

/// The dialog that a response with these headers to our INVITE makes.
#[track_caller]
fn uac(status: &str, headers: &[&str]) -> Dialog {
    let common = [ALICE, "Call-ID: c1", "CSeq: 10 INVITE"];
    let request = [&["INVITE sip:b@h SIP/2.0", BOB], &common[..]].concat();
    let response = [&[status, "To: <sip:b@h>;tag=bob"], &common[..], headers].concat();
    with(&request, |request| {
        with(&response, |response| {
            Dialog::uac(request, response).unwrap()
        })
    })
}

/// A request of the dialog, its header lines in order.
fn written(dialog: &mut Dialog, method: Method<'_>) -> Vec<String> {
    let branch = Cookies::new([7; 16], WorkerIndex::new(3)).ack_branch(1);
    let via = RequestVia {
        transport: Transport::Udp,
        sent_by: &"192.0.2.1:5060",
        branch: &branch,
        rport: true,
    };
    let mut buffer = Vec::new();
    match method {
        Method::Ack => dialog.write_ack(&mut buffer, 10, via, 70).finish(),
        _ => dialog.write_request(&mut buffer, method, via, 70).finish(),
    }
    let text = String::from_utf8(buffer).unwrap();
    text.lines()
        .map(str::to_owned)
        .filter(|line| !line.starts_with("Via"))
        .collect()
}

#[test]
fn the_uas_takes_the_dialog_from_the_request_rfc3261_12_1_1() {
    let dialog = uas(&[
        "Record-Route: <sip:p1;lr>",
        "Contact: <sip:a@192.0.2.7:5070>",
        "Record-Route: <sip:p2;lr>, <sip:p3>",
    ]);
    assert_eq!(dialog.call_id(), b"c1");
    assert_eq!(dialog.local_tag(), tag().as_bytes());
    assert_eq!(dialog.remote_tag(), b"alice");
    assert_eq!(dialog.remote_target(), b"sip:a@192.0.2.7:5070");
    assert_eq!(dialog.route_set(), b"<sip:p1;lr>, <sip:p2;lr>, <sip:p3>");
    assert_eq!((dialog.local_cseq(), dialog.remote_cseq()), (0, Some(10)));
    assert!(!dialog.is_confirmed() && !dialog.is_secure());
}

#[test]
fn the_uac_takes_it_from_request_and_response_rfc3261_12_1_2() {
    let dialog = uac(
        "SIP/2.0 200 OK",
        &[
            "Contact: <sip:b@192.0.2.9>",
            "Record-Route: <sip:p1;lr>, <sip:p2;lr>",
        ],
    );
    assert_eq!(
        (dialog.local_tag(), dialog.remote_tag()),
        (&b"alice"[..], &b"bob"[..])
    );
    assert_eq!(dialog.remote_address(), b"<sip:b@h>;tag=bob");
    assert_eq!(dialog.remote_target(), b"sip:b@192.0.2.9");
    assert_eq!(
        dialog.route_set(),
        b"<sip:p2;lr>, <sip:p1;lr>",
        "in reverse order"
    );
    assert_eq!((dialog.local_cseq(), dialog.remote_cseq()), (10, None));
    assert!(dialog.is_confirmed());
}

#[test]
fn a_183_without_contact_makes_an_early_dialog() {
    let dialog = uac("SIP/2.0 183 Progress", &[]);
    assert!(!dialog.is_confirmed());
    assert_eq!(dialog.remote_target(), b"sip:b@h");
}

#[test]
fn the_2xx_says_anew_who_answered_and_by_which_route_rfc3261_13_2_2_4() {
    let mut dialog = uac(
        "SIP/2.0 180 Ringing",
        &["Contact: <sip:b@192.0.2.9>", "Record-Route: <sip:p1;lr>"],
    );
    let answer = [
        "SIP/2.0 200 OK",
        "To: <sip:b@h>;tag=carol",
        "Contact: <sip:c@192.0.2.8>",
    ];
    with(&answer, |response| dialog.confirm_with(response)).unwrap();
    assert!(dialog.is_confirmed());
    assert_eq!(
        (dialog.remote_tag(), dialog.local_tag()),
        (&b"carol"[..], &b"alice"[..])
    );
    assert_eq!(dialog.remote_target(), b"sip:c@192.0.2.8");
    assert_eq!(dialog.route_set(), b"");
    let bye = written(&mut dialog, Method::Bye);
    assert_eq!(bye[0], "BYE sip:c@192.0.2.8 SIP/2.0");
}

#[test]
fn our_requests_mirror_the_dialog_rfc3261_12_2_1_1() {
    let mut dialog = uas(&["Contact: <sip:a@192.0.2.7>"]);
    dialog.confirm();
    assert!(dialog.is_confirmed());
    let tag = tag();
    assert_eq!(
        written(&mut dialog, Method::Bye),
        [
            "BYE sip:a@192.0.2.7 SIP/2.0",
            "Max-Forwards: 70",
            &format!("From: <sip:b@h>;tag={tag}"),
            "To: \"A\" <sip:a@h>;tag=alice",
            "Call-ID: c1",
            "CSeq: 1 BYE",
            "Content-Length: 0",
            ""
        ]
    );
    assert_eq!(written(&mut dialog, Method::Info)[5], "CSeq: 2 INFO");
}

#[test]
fn an_ack_has_the_number_of_its_invite_rfc3261_13_2_2_4() {
    let mut dialog = uac("SIP/2.0 200 OK", &["Contact: <sip:b@192.0.2.9>"]);
    assert_eq!(written(&mut dialog, Method::Ack)[5], "CSeq: 10 ACK");
    assert_eq!(written(&mut dialog, Method::Bye)[5], "CSeq: 11 BYE");
}

#[test]
fn loose_routes_go_into_the_route_header_rfc3261_12_2_1_1() {
    let mut dialog = uas(&[
        "Contact: <sip:a@192.0.2.7>",
        "Record-Route: <sip:192.0.2.20;lr>,<sip:192.0.2.21>",
    ]);
    assert_eq!(dialog.next_hop(), b"sip:192.0.2.20;lr");
    let bye = written(&mut dialog, Method::Bye);
    assert_eq!(bye[0], "BYE sip:a@192.0.2.7 SIP/2.0");
    assert_eq!(bye[1], "Route: <sip:192.0.2.20;lr>, <sip:192.0.2.21>");
}

#[test]
fn a_strict_first_route_becomes_the_request_uri_rfc3261_12_2_1_1() {
    let mut dialog = uas(&[
        "Contact: <sip:a@192.0.2.7>",
        "Record-Route: <sip:192.0.2.20>, <sip:192.0.2.21;lr>",
    ]);
    assert_eq!(dialog.next_hop(), b"sip:192.0.2.20");
    let bye = written(&mut dialog, Method::Bye);
    assert_eq!(bye[0], "BYE sip:192.0.2.20 SIP/2.0");
    assert_eq!(bye[1], "Route: <sip:192.0.2.21;lr>, <sip:a@192.0.2.7>");
}

#[test]
fn without_routes_the_target_is_next_and_loses_its_headers() {
    let mut dialog = uas(&["Contact: <sip:a@192.0.2.7?Subject=x>"]);
    assert_eq!(dialog.next_hop(), b"sip:a@192.0.2.7?Subject=x");
    assert_eq!(
        written(&mut dialog, Method::Bye)[0],
        "BYE sip:a@192.0.2.7 SIP/2.0"
    );
}

#[test]
fn matches_by_call_id_and_both_tags_rfc3261_12() {
    let dialog = uas(&["Contact: <sip:a@192.0.2.7>"]);
    let to = format!("To: <sip:b@h>;tag={}", tag());
    let matches = |from: &str, to: &str, call_id: &str| {
        let lines = ["BYE sip:b@h SIP/2.0", from, to, call_id];
        with(&lines, |request| dialog.matches_request(request))
    };
    assert!(matches(ALICE, &to, "Call-ID: c1"));
    assert!(!matches(ALICE, &to, "Call-ID: c2"));
    assert!(!matches(ALICE, BOB, "Call-ID: c1"));
    assert!(!matches("From: <sip:a@h>;tag=mallory", &to, "Call-ID: c1"));
    assert!(!matches("From: <sip:a@h>", &to, "Call-ID: c1"));
    assert!(!matches("From: <", &to, "Call-ID: c1"));
    let response = [
        "SIP/2.0 200 OK",
        &to.replace("To", "From"),
        "To: <sip:a@h>;tag=alice",
    ];
    let response = [&response[..], &["Call-ID: c1"]].concat();
    assert!(with(&response, |response| dialog.matches_response(response)));
}

#[test]
fn requests_come_in_order_rfc3261_12_2_2() {
    let mut dialog = uas(&["Contact: <sip:a@192.0.2.7>"]);
    let mut check = |cseq: &str| {
        let cseq = format!("CSeq: {cseq}");
        with(&["BYE sip:b@h SIP/2.0", &cseq], |request| {
            dialog.check_request(request)
        })
    };
    assert_eq!(check("10 ACK"), Ok(()));
    assert_eq!(check("10 CANCEL"), Ok(()));
    assert_eq!(
        check("10 INFO"),
        Err(DialogError::OutOfOrder),
        "that was the INVITE's"
    );
    assert_eq!(check("9 INFO"), Err(DialogError::OutOfOrder));
    assert_eq!(
        check("15 INFO"),
        Ok(()),
        "a gap is fine: another may have been challenged"
    );
    assert_eq!(check("14 INFO"), Err(DialogError::OutOfOrder));
    assert!(matches!(check("x INFO"), Err(DialogError::Header(_))));
    assert_eq!(DialogError::OutOfOrder.status(), StatusCode::of(500));
}

#[test]
fn any_first_number_of_the_peer_will_do_rfc3261_12_2_2() {
    let mut dialog = uac("SIP/2.0 200 OK", &["Contact: <sip:b@192.0.2.9>"]);
    let bye = ["BYE sip:a@h SIP/2.0", "CSeq: 1 BYE"];
    assert_eq!(with(&bye, |request| dialog.check_request(request)), Ok(()));
    assert_eq!(dialog.remote_cseq(), Some(1));
}

#[test]
fn a_target_refresh_moves_the_target_and_not_the_route_rfc3261_12_2_2() {
    let mut dialog = uas(&["Contact: <sip:a@192.0.2.7>", "Record-Route: <sip:p;lr>"]);
    let moved = [
        "INVITE sip:b@h SIP/2.0",
        "Contact: <sip:a@192.0.2.88>",
        "Record-Route: <sip:q>",
    ];
    with(&moved, |request| dialog.refresh_target(request)).unwrap();
    assert_eq!(dialog.remote_target(), b"sip:a@192.0.2.88");
    assert_eq!(dialog.route_set(), b"<sip:p;lr>");
    with(&["INVITE sip:b@h SIP/2.0"], |request| {
        dialog.refresh_target(request)
    })
    .unwrap();
    let bad = ["INVITE sip:b@h SIP/2.0", "Contact: <"];
    assert!(with(&bad, |request| dialog.refresh_target(request)).is_err());
    assert_eq!(dialog.remote_target(), b"sip:a@192.0.2.88");
}

#[test]
fn a_request_without_contact_makes_no_dialog_rfc3261_8_1_1_8() {
    let lines = [
        "INVITE sip:b@h SIP/2.0",
        ALICE,
        BOB,
        "Call-ID: c1",
        "CSeq: 1 INVITE",
    ];
    let error = with(&lines, |request| Dialog::uas(request, &tag()).unwrap_err());
    assert_eq!(
        error,
        DialogError::Header(HeaderError::Missing(HeaderName::Contact))
    );
    assert_eq!(error.status(), StatusCode::of(400));
}

#[test]
fn what_is_too_long_makes_no_dialog() {
    let routes = "Record-Route: ".to_owned() + &["<sip:p;lr>"; MAX_ROUTES + 1].join(",");
    let name = format!("Contact: <sip:a@{}>", "x".repeat(9000));
    for header in [routes, name] {
        let lines = [
            "INVITE sip:b@h SIP/2.0",
            ALICE,
            BOB,
            "Call-ID: c1",
            "CSeq: 1 INVITE",
        ];
        let lines = [&lines[..], &[&header, "Contact: <sip:a@h>"]].concat();
        let error = with(&lines, |request| Dialog::uas(request, &tag()).unwrap_err());
        assert_eq!(error, DialogError::TooLong);
        assert_eq!(error.status(), StatusCode::of(513));
    }
}

#[test]
fn a_peer_of_rfc2543_has_no_tag_rfc3261_12_1_1() {
    let lines = [
        "INVITE sip:b@h SIP/2.0",
        "From: <sip:a@h>",
        BOB,
        "Call-ID: c1",
        "CSeq: 1 INVITE",
        "Contact: <sip:a@h>",
    ];
    let dialog = with(&lines, |request| Dialog::uas(request, &tag()).unwrap());
    assert_eq!(dialog.remote_tag(), b"");
    let to = format!("To: <sip:b@h>;tag={}", tag());
    let bye = ["BYE sip:b@h SIP/2.0", "From: <sip:a@h>", &to, "Call-ID: c1"];
    assert!(with(&bye, |request| dialog.matches_request(request)));
}

#[test]
fn no_header_of_the_peer_becomes_two_of_ours() {
    let mut dialog = uas(&[
        "Contact: <sip:a@192.0.2.7>",
        "Record-Route: <sip:p;lr>;x=\"\r\n\tBad: 1\"",
    ]);
    let bye = written(&mut dialog, Method::Bye);
    assert!(
        bye.iter().all(|line| !line.trim_start().starts_with("Bad")),
        "{bye:?}"
    );
}

#[test]
fn prints_nothing_personal() {
    let printed = format!("{:?}", uas(&["Contact: <sip:a@192.0.2.7>"]));
    assert!(
        !printed.contains("sip:") && !printed.contains("192"),
        "{printed}"
    );
}

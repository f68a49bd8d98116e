//! What the machines have in common: names, tables and bounds.

use bytes::Bytes;
use ringfence_base::entropy::SeededEntropy;
use ringfence_base::{Flow, ListenerId, Transport, WorkerIndex};
use ringfence_sip::{StatusCode, Via};

use super::*;
use crate::testing::{Bench, at, request, response};
use crate::{RequestKind, response_flow};

const BRANCH: &str = "z9hG4bK-peer-1";

#[test]
fn a_branch_names_its_worker_and_finds_its_transaction() {
    let mut bench = Bench::udp();
    let client = bench.send("OPTIONS");
    let branch = bench.layer.branch(client);
    let elsewhere = Cookies::new([7; 16], WorkerIndex::new(0));
    assert_eq!(
        elsewhere.worker_of_branch(branch.as_bytes()),
        Some(WorkerIndex::new(3))
    );
    let delivered = Matched::Response {
        client,
        owner: Owner(42),
    };
    assert_eq!(bench.answer(client, "OPTIONS", 200, "b"), delivered);
}

#[test]
fn the_branch_of_another_worker_is_stray_here() {
    let mut bench = Bench::udp();
    let client = bench.send("OPTIONS");
    let other = Cookies::new([7; 16], WorkerIndex::new(4)).branch(client.slot, client.generation);
    let answer = response("OPTIONS", &other.to_string(), 200, "b");
    assert_eq!(bench.receive(answer), Matched::StrayResponse);
}

#[test]
fn forged_branches_find_nothing() {
    let mut bench = Bench::udp();
    let client = bench.send("INVITE");
    let forged = Cookies::new([8; 16], WorkerIndex::new(3)).branch(client.slot, client.generation);
    for branch in [forged.to_string().as_str(), BRANCH, "z9hG4bK", "x"] {
        let answer = response("INVITE", branch, 200, "b");
        assert_eq!(bench.receive(answer), Matched::StrayResponse);
    }
    assert_eq!(
        bench.receive("SIP/2.0 200 X\r\nCSeq: 7 INVITE\r\n\r\n"),
        Matched::StrayResponse
    );
    let counters = bench.layer.counters();
    assert_eq!(
        (counters.responses_forged, counters.responses_stray),
        (5, 0)
    );
}

#[test]
fn a_response_to_the_former_user_of_a_slot_is_stray() {
    let mut bench = Bench::tcp();
    let first = bench.send("OPTIONS");
    bench.answer(first, "OPTIONS", 200, "b");
    let second = bench.send("OPTIONS");
    assert_eq!(first.slot, second.slot);
    assert_eq!(
        bench.answer(first, "OPTIONS", 200, "b"),
        Matched::StrayResponse
    );
    assert_eq!(bench.layer.counters().responses_stray, 1);
    assert!(matches!(
        bench.answer(second, "OPTIONS", 200, "b"),
        Matched::Response { .. }
    ));
}

#[test]
fn the_method_must_fit_rfc3261_17_1_3() {
    let mut bench = Bench::udp();
    let (invite, options) = (bench.send("INVITE"), bench.send("OPTIONS"));
    assert_eq!(
        bench.answer(invite, "OPTIONS", 200, "b"),
        Matched::StrayResponse
    );
    assert_eq!(
        bench.answer(options, "INVITE", 200, "b"),
        Matched::StrayResponse
    );
    assert_eq!(
        bench.answer(options, "CANCEL", 200, "b"),
        Matched::StrayResponse
    );
}

#[test]
fn a_response_with_a_second_via_is_not_ours_rfc3261_8_1_3_3() {
    let mut bench = Bench::udp();
    let client = bench.send("OPTIONS");
    let branch = bench.layer.branch(client).to_string();
    let two = response("OPTIONS", &branch, 200, "b").replace(
        "From:",
        "Via: SIP/2.0/UDP 192.0.2.99;branch=z9hG4bKx\r\nFrom:",
    );
    assert_eq!(bench.receive(two), Matched::StrayResponse);
}

#[test]
fn a_request_that_bears_our_own_branch_is_a_new_request() {
    // Our INVITE, sent back to us by a peer: it must not meddle with the client transaction.
    let mut bench = Bench::udp();
    let client = bench.send("INVITE");
    let branch = bench.layer.branch(client).to_string();
    let server = bench.receive_new(request("INVITE", &branch));
    bench.respond(server, 482);
    assert!(matches!(
        bench.answer(client, "INVITE", 180, "b"),
        Matched::Response { .. }
    ));
}

#[test]
fn invites_that_cross_do_not_meddle_with_each_other() {
    // Glare (RFC 3261 §14.1): same Call-ID, same CSeq, both ways at once.
    let mut bench = Bench::udp();
    let client = bench.send("INVITE");
    let server = bench.receive_new(request("INVITE", BRANCH));
    bench.respond(server, 491);
    assert!(matches!(
        bench.answer(client, "INVITE", 491, "b"),
        Matched::Response { .. }
    ));
    assert_eq!(bench.receive(request("ACK", BRANCH)), Matched::AckNon2xx);
    bench.run_to(40_000);
    bench.assert_idle();
    assert_eq!(bench.layer.counters().unacknowledged_failures, 0);
}

#[test]
fn a_cancel_finds_its_invite_by_the_branch_rfc3261_9_2() {
    let mut bench = Bench::udp();
    let server = bench.receive_new(request("INVITE", BRANCH));
    bench.layer.set_owner(server, Owner(9));
    let Matched::Cancel { cancel, invite } = bench.receive(request("CANCEL", BRANCH)) else {
        panic!("expected a CANCEL");
    };
    assert_eq!(invite, Some((server, Owner(9))));
    bench.respond(cancel, 200);
    bench.respond(server, 487);
    bench.sent.clear();
    assert_eq!(
        bench.receive(request("CANCEL", BRANCH)),
        Matched::Retransmission
    );
    assert!(
        bench.only_sent().starts_with("SIP/2.0 200"),
        "the same answer, not 481"
    );
    assert_eq!(bench.receive(request("ACK", BRANCH)), Matched::AckNon2xx);
    bench.run_to(40_000);
    bench.assert_idle();
}

#[test]
fn a_cancel_outlives_its_invite_over_a_reliable_transport() {
    let mut bench = Bench::tcp();
    let server = bench.receive_new(request("INVITE", BRANCH));
    bench.respond(server, 486);
    assert_eq!(bench.receive(request("ACK", BRANCH)), Matched::AckNon2xx);
    let matched = bench.receive(request("CANCEL", BRANCH));
    assert!(
        matches!(matched, Matched::Cancel { invite: None, .. }),
        "{matched:?}"
    );
}

#[test]
fn a_cancel_of_an_answered_invite_changes_nothing_rfc3261_9_2() {
    let mut bench = Bench::udp();
    let server = bench.receive_new(request("INVITE", BRANCH));
    bench.respond(server, 200);
    let matched = bench.receive(request("CANCEL", BRANCH));
    assert!(
        matches!(
            matched,
            Matched::Cancel {
                invite: Some(_),
                ..
            }
        ),
        "{matched:?}"
    );
    assert!(bench.layer.is_answered(server));
}

#[test]
fn a_cancel_without_invite_has_none_rfc3261_9_2() {
    let mut bench = Bench::udp();
    bench.receive_new(request("INVITE", "z9hG4bK-other"));
    let matched = bench.receive(request("CANCEL", BRANCH));
    assert!(
        matches!(matched, Matched::Cancel { invite: None, .. }),
        "{matched:?}"
    );
}

#[test]
fn sent_by_is_part_of_the_name_rfc3261_17_2_3() {
    let mut bench = Bench::udp();
    let invite = request("INVITE", BRANCH);
    bench.receive_new(&invite);
    bench.receive_new(invite.replace("UDP 192.0.2.10:5060", "UDP 192.0.2.10:5070"));
    bench.receive_new(invite.replace("UDP 192.0.2.10:5060", "UDP 192.0.2.11:5060"));
    bench.receive_new(invite.replace("UDP 192.0.2.10:5060", "UDP host.example"));
    let other_case = invite.replace("UDP 192.0.2.10:5060", "UDP HOST.example");
    assert_eq!(bench.receive(other_case), Matched::Retransmission);
}

#[test]
fn another_listener_cannot_touch_a_transaction() {
    let mut bench = Bench::udp();
    bench.receive_new(request("INVITE", BRANCH));
    let inside = Flow {
        listener: ListenerId::new(1),
        ..bench.flow
    };
    let matched = bench.receive_over(&inside, request("CANCEL", BRANCH));
    assert!(
        matches!(matched, Matched::Cancel { invite: None, .. }),
        "{matched:?}"
    );
    assert_eq!(
        bench.receive_over(&inside, request("ACK", BRANCH)),
        Matched::Ack2xx
    );
}

#[test]
fn the_method_is_part_of_the_name_rfc3261_17_2_3() {
    let mut bench = Bench::udp();
    for method in ["INVITE", "BYE", "OPTIONS", "FOO"] {
        bench.receive_new(request(method, BRANCH));
        assert_eq!(
            bench.receive(request(method, BRANCH)),
            Matched::Retransmission
        );
    }
}

#[test]
fn a_branch_without_the_cookie_is_matched_by_rfc2543_rfc3261_17_2_3() {
    let mut bench = Bench::udp();
    let (invite, ack) = (request("INVITE", "1"), request("ACK", "1"));
    let server = bench.receive_new(&invite);
    assert_eq!(bench.receive(&invite), Matched::Retransmission);
    let another_call = invite.replace("Call-ID: call", "Call-ID: another");
    bench.receive_new(another_call);
    bench.receive_new(invite.replace("CSeq: 7", "CSeq: 8"));
    bench.receive_new(invite.replace("tag=from", "tag=other"));
    bench.receive_new(invite.replace("INVITE sip:b@h", "INVITE sip:c@h"));
    bench.respond(server, 404);
    // The ACK has the To tag of the response, which the INVITE had not.
    let ack = ack.replace("To: <sip:b@h>", "To: <sip:b@h>;tag=b");
    assert_eq!(bench.receive(ack), Matched::AckNon2xx);
}

#[test]
fn a_via_without_any_branch_is_matched_by_rfc2543() {
    let mut bench = Bench::udp();
    let invite = request("INVITE", "").replace(";branch=", "");
    let server = bench.receive_new(&invite);
    let cancel = invite.replace("INVITE", "CANCEL");
    let matched = bench.receive(cancel);
    assert!(
        matches!(matched, Matched::Cancel { invite: Some((id, _)), .. } if id == server),
        "{matched:?}"
    );
}

#[test]
fn an_ack_that_belongs_to_nothing_is_the_users() {
    let mut bench = Bench::udp();
    assert_eq!(bench.receive(request("ACK", BRANCH)), Matched::Ack2xx);
    bench.assert_idle();
}

#[test]
fn a_request_without_a_via_gets_no_transaction() {
    let mut bench = Bench::udp();
    let matched = bench.receive("OPTIONS sip:h SIP/2.0\r\nCSeq: 1 OPTIONS\r\n\r\n");
    assert!(
        matches!(matched, Matched::Refused(Refusal::Malformed(_))),
        "{matched:?}"
    );
    bench.assert_idle();
}

#[test]
fn full_tables_refuse_and_count() {
    let mut bench = Bench::new(
        Transport::Udp,
        Limits {
            clients: 2,
            servers: 2,
        },
    );
    bench.send("OPTIONS");
    let reserved = bench.layer.reserve_client().unwrap();
    assert_eq!(bench.layer.reserve_client(), Err(TableFull));
    bench.layer.release_client(reserved);
    bench.send("OPTIONS");
    bench.receive_new(request("INVITE", "z9hG4bK1"));
    bench.receive_new(request("INVITE", "z9hG4bK2"));
    let refused = Matched::Refused(Refusal::TableFull);
    assert_eq!(bench.receive(request("INVITE", "z9hG4bK3")), refused);
    assert_eq!(bench.receive(request("CANCEL", "z9hG4bK1")), refused);
    assert_eq!(
        bench.receive(request("INVITE", "z9hG4bK1")),
        Matched::Retransmission
    );
    assert_eq!(bench.layer.counters().requests_refused, 3);
}

#[test]
fn a_flood_of_short_transactions_cannot_fill_memory_with_their_timers() {
    let mut bench = Bench::new(
        Transport::Tcp,
        Limits {
            clients: 10,
            servers: 10,
        },
    );
    let mut refused = 0;
    for n in 0..1000 {
        match bench.receive(request("OPTIONS", &format!("z9hG4bK{n}"))) {
            Matched::NewRequest(id) => bench.respond(id, 200),
            Matched::Refused(Refusal::TableFull) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(refused > 0);
    assert!(bench.layer.timers.len() <= 20 * MAX_TIMERS_PER_TRANSACTION);
    bench.run_to(32_000);
    bench.receive_new(request("OPTIONS", "z9hG4bK-later"));
}

#[test]
fn timers_never_overrun_the_queues() {
    let mut bench = Bench::udp();
    for _ in 0..50_000 {
        let id = bench.layer.reserve_client().unwrap();
        let bytes = Bytes::from_static(b"OPTIONS");
        let flow = bench.flow;
        bench
            .layer
            .send_request(at(0), id, RequestKind::NonInvite, flow, bytes, Owner(1));
        bench.layer.poll_transmit();
    }
    bench.run_to(40_000);
    assert_eq!(bench.events.len(), 50_000);
    let counters = bench.layer.counters();
    assert_eq!(
        (counters.transmits_refused, counters.events_refused),
        (0, 0)
    );
    bench.assert_idle();
}

#[test]
fn a_caller_that_never_polls_meets_the_bounds() {
    let mut bench = Bench::udp();
    for _ in 0..MAX_TRANSMITS + 10 {
        let id = bench.layer.reserve_client().unwrap();
        let bytes = Bytes::from_static(b"OPTIONS");
        let flow = bench.flow;
        bench
            .layer
            .send_request(at(0), id, RequestKind::NonInvite, flow, bytes, Owner(1));
    }
    bench.layer.handle_timeout(at(500));
    assert_eq!(bench.layer.counters().transmits_refused, 10);
    bench.layer.transport_failed(bench.now, &bench.flow.clone());
    let events = std::iter::from_fn(|| bench.layer.poll_event()).count();
    assert_eq!(events, MAX_EVENTS);
    assert_eq!(bench.layer.counters().events_refused, 0);
}

#[test]
fn responses_go_where_rfc3581_and_rfc3261_18_2_2_say() {
    #[track_caller]
    fn check(transport: Transport, via: &str, expected: &str) {
        let flow = Flow {
            listener: ListenerId::new(0),
            transport,
            remote: "192.0.2.10:40000".parse().unwrap(),
            connection: None,
        };
        let via = Via::parse(via.as_bytes()).unwrap();
        let expected = Flow {
            remote: expected.parse().unwrap(),
            ..flow
        };
        assert_eq!(response_flow(&flow, &via), expected);
    }
    check(
        Transport::Udp,
        "SIP/2.0/UDP h:5070;rport;branch=z9hG4bKx",
        "192.0.2.10:40000",
    );
    check(
        Transport::Udp,
        "SIP/2.0/UDP h:5070;branch=z9hG4bKx",
        "192.0.2.10:5070",
    );
    check(
        Transport::Udp,
        "SIP/2.0/UDP h;branch=z9hG4bKx",
        "192.0.2.10:5060",
    );
    check(
        Transport::Udp,
        "SIP/2.0/UDP h;maddr=198.51.100.1;branch=z9hG4bKx",
        "192.0.2.10:5060",
    );
    check(
        Transport::Tcp,
        "SIP/2.0/TCP h:5070;branch=z9hG4bKx",
        "192.0.2.10:40000",
    );
}

#[test]
fn a_released_reservation_leaves_nothing_and_a_sent_request_stays() {
    let mut bench = Bench::udp();
    let reserved = bench.layer.reserve_client().unwrap();
    bench.layer.release_client(reserved);
    bench.assert_idle();
    let sent = bench.send("OPTIONS");
    bench.layer.release_client(sent);
    assert_eq!(bench.layer.client_count(), 1);
}

#[test]
fn ids_of_what_is_gone_do_nothing() {
    let mut bench = Bench::tcp();
    let server = bench.receive_new(request("OPTIONS", BRANCH));
    bench.respond(server, 200);
    let client = bench.send("OPTIONS");
    bench.answer(client, "OPTIONS", 200, "b");
    bench.layer.set_owner(server, Owner(1));
    bench.layer.acknowledged(server);
    bench.layer.cancel(at(0), client);
    bench.layer.release_client(client);
    assert!(bench.layer.server_flow(server).is_none());
    bench
        .layer
        .respond(at(0), server, StatusCode::of(200), Bytes::new());
    assert_eq!(bench.layer.counters().responses_refused, 1);
}

#[test]
fn acks_have_branches_of_their_own() {
    let mut entropy = SeededEntropy::new(1);
    let cookies = Cookies::new([7; 16], WorkerIndex::new(3));
    let mut layer = Transactions::new(
        TimerTable::default(),
        cookies,
        &mut entropy,
        Limits::default(),
    );
    let (a, b) = (layer.ack_branch(), layer.ack_branch());
    assert_ne!(a, b);
    assert_eq!(
        cookies.worker_of_branch(a.as_bytes()),
        None,
        "nobody answers an ACK"
    );
}

#[test]
fn entries_are_small() {
    assert!(size_of::<Client>() <= 160, "{}", size_of::<Client>());
    assert!(size_of::<Server>() <= 128, "{}", size_of::<Server>());
}

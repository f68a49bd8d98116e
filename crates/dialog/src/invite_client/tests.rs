//! The INVITE client transaction in virtual time.

use super::MAX_FORKS;
use crate::testing::Bench;
use crate::{Event, Matched, Owner};

const OWNER: Owner = Owner(42);

#[test]
fn repeats_the_invite_doubling_until_timer_b_rfc3261_17_1_1_2() {
    let mut bench = Bench::udp();
    let client = bench.send("INVITE");
    bench.run_to(100_000);
    assert_eq!(
        bench.times_of("INVITE"),
        [0, 500, 1500, 3500, 7500, 15_500, 31_500]
    );
    assert_eq!(
        bench.events,
        [(
            32_000,
            Event::ClientTimeout {
                client,
                owner: OWNER
            }
        )]
    );
    assert_eq!(bench.layer.counters().client_timeouts, 1);
    bench.assert_idle();
}

#[test]
fn does_not_repeat_over_a_reliable_transport_rfc3261_17_1_1_2() {
    let mut bench = Bench::tcp();
    let client = bench.send("INVITE");
    bench.run_to(100_000);
    assert_eq!(bench.times_of("INVITE"), [0]);
    assert_eq!(
        bench.events,
        [(
            32_000,
            Event::ClientTimeout {
                client,
                owner: OWNER
            }
        )]
    );
}

#[test]
fn a_provisional_response_ends_repetition_and_timer_b_rfc3261_17_1_1_2() {
    let mut bench = Bench::udp();
    let client = bench.send("INVITE");
    bench.run_to(600);
    let delivered = Matched::Response {
        client,
        owner: OWNER,
    };
    assert_eq!(bench.answer(client, "INVITE", 100, ""), delivered);
    assert_eq!(bench.answer(client, "INVITE", 180, "b"), delivered);
    bench.run_to(600_000);
    assert_eq!(bench.times_of("INVITE"), [0, 500]);
    assert_eq!(bench.events, []);
    assert_eq!(
        bench.layer.client_count(),
        1,
        "rings as long as the user lets it"
    );
}

#[test]
fn acknowledges_a_failure_and_each_repetition_of_it_rfc3261_17_1_1_2() {
    let mut bench = Bench::udp();
    let client = bench.send("INVITE");
    bench.run_to(100);
    let delivered = Matched::Response {
        client,
        owner: OWNER,
    };
    assert_eq!(bench.answer(client, "INVITE", 486, "b"), delivered);
    bench.run_to(600);
    assert_eq!(
        bench.answer(client, "INVITE", 486, "b"),
        Matched::ResponseRetransmission
    );
    assert_eq!(
        bench.answer(client, "INVITE", 180, "b"),
        Matched::ResponseRetransmission
    );
    bench.run_to(32_099);
    assert_eq!(
        bench.answer(client, "INVITE", 486, "b"),
        Matched::ResponseRetransmission
    );
    assert_eq!(bench.times_of("ACK"), [100, 600, 32_099]);
    bench.run_to(32_100);
    assert_eq!(
        bench.answer(client, "INVITE", 486, "b"),
        Matched::StrayResponse
    );
    assert_eq!(bench.events, []);
    bench.assert_idle();
}

#[test]
fn timer_d_is_zero_over_a_reliable_transport_rfc3261_17_1_1_2() {
    let mut bench = Bench::tcp();
    let client = bench.send("INVITE");
    bench.answer(client, "INVITE", 503, "b");
    assert_eq!(bench.times_of("ACK"), [0]);
    assert_eq!(bench.layer.client_count(), 0);
}

#[test]
fn the_ack_for_a_failure_repeats_the_invite_rfc3261_17_1_1_3() {
    let mut bench = Bench::udp();
    let client = bench.send("INVITE");
    bench.sent.clear();
    bench.answer(client, "INVITE", 404, "b7");
    let branch = bench.layer.branch(client);
    assert_eq!(
        bench.only_sent(),
        format!(
            "ACK sip:b@h SIP/2.0\r\n\
             Via: SIP/2.0/UDP 192.0.2.10:5060;branch={branch};rport\r\n\
             Route: <sip:p1;lr>\r\nRoute: <sip:p2;lr>\r\nMax-Forwards: 70\r\n\
             From: \"A\" <sip:a@h>;tag=from\r\nTo: <sip:b@h>;tag=b7\r\nCall-ID: call\r\n\
             CSeq: 7 ACK\r\nContent-Length: 0\r\n\r\n"
        )
    );
}

#[test]
fn repeats_the_users_ack_for_each_repeated_2xx_until_timer_m_rfc6026_7_2() {
    for mut bench in [Bench::udp(), Bench::tcp()] {
        let client = bench.send("INVITE");
        let delivered = Matched::Response {
            client,
            owner: OWNER,
        };
        assert_eq!(bench.answer(client, "INVITE", 200, "b"), delivered);
        bench.run_to(500);
        assert_eq!(
            bench.answer(client, "INVITE", 200, "b"),
            Matched::ResponseRetransmission
        );
        assert_eq!(
            bench.times_of("ACK"),
            [0; 0],
            "the user has not sent it yet"
        );
        bench.run_to(700);
        bench.ack(client, "b");
        bench.run_to(1500);
        assert_eq!(
            bench.answer(client, "INVITE", 200, "b"),
            Matched::ResponseRetransmission
        );
        bench.run_to(31_999);
        assert_eq!(
            bench.answer(client, "INVITE", 200, "b"),
            Matched::ResponseRetransmission
        );
        assert_eq!(bench.times_of("ACK"), [700, 1500, 31_999]);
        bench.run_to(32_000);
        assert_eq!(
            bench.answer(client, "INVITE", 200, "b"),
            Matched::StrayResponse
        );
        assert_eq!(bench.events, []);
        bench.assert_idle();
    }
}

#[test]
fn an_ack_after_timer_m_is_sent_all_the_same() {
    let mut bench = Bench::udp();
    let client = bench.send("INVITE");
    bench.answer(client, "INVITE", 200, "b");
    bench.run_to(40_000);
    bench.ack(client, "b");
    assert_eq!(bench.times_of("ACK"), [40_000]);
}

#[test]
fn each_fork_is_given_once_and_keeps_its_own_ack_rfc3261_13_2_2_4() {
    let mut bench = Bench::udp();
    let client = bench.send("INVITE");
    bench.answer(client, "INVITE", 200, "one");
    let fork = Matched::AnotherFork2xx {
        client,
        owner: OWNER,
    };
    assert_eq!(bench.answer(client, "INVITE", 200, "two"), fork);
    assert_eq!(
        bench.answer(client, "INVITE", 200, "two"),
        Matched::ResponseRetransmission
    );
    bench.ack(client, "two");
    bench.ack(client, "one");
    bench.sent.clear();
    for tag in ["one", "two", "one"] {
        bench.answer(client, "INVITE", 200, tag);
        assert!(
            bench
                .only_sent()
                .contains(&format!("To: <sip:b@h>;tag={tag}\r\n"))
        );
    }
}

#[test]
fn forks_are_bounded() {
    let mut bench = Bench::udp();
    let client = bench.send("INVITE");
    bench.answer(client, "INVITE", 200, "first");
    let forks = (0..20)
        .filter(|n| {
            let matched = bench.answer(client, "INVITE", 200, &format!("t{n}"));
            matches!(matched, Matched::AnotherFork2xx { .. })
        })
        .count();
    assert_eq!(forks, MAX_FORKS);
    assert_eq!(bench.layer.counters().forks_refused, 20 - MAX_FORKS as u64);
}

#[test]
fn a_late_2xx_behind_a_failure_is_a_fork_rfc3261_16_7() {
    let mut bench = Bench::udp();
    let client = bench.send("INVITE");
    bench.answer(client, "INVITE", 486, "one");
    let fork = Matched::AnotherFork2xx {
        client,
        owner: OWNER,
    };
    assert_eq!(bench.answer(client, "INVITE", 200, "two"), fork);
    bench.ack(client, "two");
    bench.run_to(1000);
    assert_eq!(
        bench.answer(client, "INVITE", 200, "two"),
        Matched::ResponseRetransmission
    );
    assert_eq!(bench.times_of("ACK"), [0, 0, 1000]);
    bench.run_to(100_000);
    bench.assert_idle();
}

#[test]
fn cancel_waits_for_a_provisional_response_rfc3261_9_1() {
    let mut bench = Bench::udp();
    let client = bench.send("INVITE");
    bench.run_to(300);
    bench.cancel(client);
    bench.run_to(800);
    assert_eq!(bench.times_of("CANCEL"), [0; 0]);
    bench.answer(client, "INVITE", 100, "");
    let branch = bench.layer.branch(client);
    assert_eq!(
        bench.only_sent(),
        format!(
            "CANCEL sip:b@h SIP/2.0\r\n\
             Via: SIP/2.0/UDP 192.0.2.10:5060;branch={branch};rport\r\n\
             Route: <sip:p1;lr>\r\nRoute: <sip:p2;lr>\r\nMax-Forwards: 70\r\n\
             From: \"A\" <sip:a@h>;tag=from\r\nTo: <sip:b@h>\r\nCall-ID: call\r\n\
             CSeq: 7 CANCEL\r\nContent-Length: 0\r\n\r\n"
        )
    );
}

#[test]
fn cancel_of_a_ringing_call_is_sent_at_once_and_repeated_rfc3261_9_1() {
    let mut bench = Bench::udp();
    let client = bench.send("INVITE");
    bench.answer(client, "INVITE", 180, "b");
    bench.cancel(client);
    bench.cancel(client);
    bench.run_to(2_000);
    assert_eq!(
        bench.times_of("CANCEL"),
        [0, 500, 1500],
        "once, with its repetitions"
    );
    assert_eq!(
        bench.answer(client, "CANCEL", 200, "b"),
        Matched::ResponseRetransmission
    );
    bench.run_to(3_000);
    let delivered = Matched::Response {
        client,
        owner: OWNER,
    };
    assert_eq!(bench.answer(client, "INVITE", 487, "b"), delivered);
    assert_eq!(
        bench.answer(client, "CANCEL", 200, "b"),
        Matched::ResponseRetransmission
    );
    bench.run_to(100_000);
    assert_eq!(bench.times_of("CANCEL"), [0; 0]);
    assert_eq!(bench.events, []);
    bench.assert_idle();
}

#[test]
fn the_final_response_ends_the_cancel() {
    let mut bench = Bench::udp();
    let client = bench.send("INVITE");
    bench.answer(client, "INVITE", 180, "b");
    bench.cancel(client);
    let delivered = Matched::Response {
        client,
        owner: OWNER,
    };
    assert_eq!(
        bench.answer(client, "INVITE", 200, "b"),
        delivered,
        "it crossed the CANCEL"
    );
    assert_eq!(bench.layer.client_count(), 1);
    bench.run_to(100_000);
    assert_eq!(bench.times_of("CANCEL"), [0]);
    bench.assert_idle();
}

#[test]
fn no_cancel_after_the_final_response_rfc3261_9_1() {
    for code in [200, 486] {
        let mut bench = Bench::udp();
        let client = bench.send("INVITE");
        bench.cancel(client);
        bench.answer(client, "INVITE", code, "b");
        bench.cancel(client);
        assert_eq!(bench.times_of("CANCEL"), [0; 0]);
    }
}

#[test]
fn a_cancelled_invite_without_final_response_is_given_up_rfc3261_9_1() {
    let mut bench = Bench::udp();
    let client = bench.send("INVITE");
    bench.run_to(10_000);
    bench.answer(client, "INVITE", 183, "b");
    bench.run_to(20_000);
    bench.cancel(client);
    bench.answer(client, "CANCEL", 481, "b");
    bench.run_to(60_000);
    assert_eq!(
        bench.events,
        [(
            52_000,
            Event::ClientTimeout {
                client,
                owner: OWNER
            }
        )]
    );
    bench.assert_idle();
}

#[test]
fn the_failure_of_its_transport_ends_a_calling_invite_rfc3261_17_1_4() {
    let mut bench = Bench::tcp();
    let (calling, ringing) = (bench.send("INVITE"), bench.send("INVITE"));
    bench.answer(ringing, "INVITE", 180, "b");
    bench.run_to(100);
    bench.layer.transport_failed(bench.now, &bench.flow.clone());
    let failed = Event::TransportFailed {
        client: calling,
        owner: OWNER,
    };
    assert_eq!(bench.layer.poll_event(), Some(failed));
    bench.run_to(40_000);
    assert_eq!(bench.layer.client_count(), 1, "the ringing one stays");
}

#[test]
fn the_failure_of_another_transport_does_not() {
    let mut bench = Bench::tcp();
    bench.send("INVITE");
    let mut other = bench.flow;
    other.remote.set_port(9);
    bench.layer.transport_failed(bench.now, &other);
    assert_eq!(bench.layer.poll_event(), None);
    assert_eq!(bench.layer.client_count(), 1);
}

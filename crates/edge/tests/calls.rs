//! Calls through a running edge, over real sockets.

mod support;

use std::time::Duration;

use support::{Agent, CallFacts, Setup, eventually, media_address, rtp};

/// A call from the carrier to the PBX, up to the ACK: the call's facts, and where each side is to
/// send its audio.
fn set_up(
    setup: &Setup,
    carrier: &Agent,
    pbx: &Agent,
    id: &str,
) -> (CallFacts, [std::net::SocketAddr; 2]) {
    let mut call = CallFacts::new(id, "+13305550100", setup.outside());
    carrier.send(
        &carrier.request(&call, "INVITE", 1, &carrier.sdp()),
        setup.outside(),
    );
    let invite = pbx.expect("INVITE");
    assert!(
        !invite.contains(&setup.net.carrier.to_string()),
        "the carrier's address came through"
    );
    pbx.send(&pbx.answer(&invite, "180 Ringing", ""), setup.inside());
    carrier.expect("SIP/2.0 180");
    pbx.send(&pbx.answer(&invite, "200 OK", &pbx.sdp()), setup.inside());
    let ok = carrier.expect("SIP/2.0 200");
    assert!(
        !ok.contains(&setup.net.pbx.to_string()),
        "the PBX's address came through"
    );
    call.answered(&ok);
    carrier.send(&carrier.request(&call, "ACK", 1, ""), setup.outside());
    pbx.expect("ACK");
    (call, [media_address(&ok), media_address(&invite)])
}

fn hang_up(setup: &Setup, carrier: &Agent, pbx: &Agent, call: &CallFacts) {
    carrier.send(&carrier.request(call, "BYE", 2, ""), setup.outside());
    let bye = pbx.expect("BYE");
    pbx.send(&pbx.answer(&bye, "200 OK", ""), setup.inside());
    carrier.expect("SIP/2.0 200");
}

fn check_call(workers: u8) {
    let setup = Setup::start(workers);
    let (carrier, pbx) = (Agent::bind(setup.net.carrier), Agent::bind(setup.net.pbx));
    // Several calls, so that with several workers some are handed over.
    for number in 0..8 {
        let id = format!("call-{number}");
        let (call, [towards_pbx, towards_carrier]) = set_up(&setup, &carrier, &pbx, &id);
        for sequence in 0..50 {
            for (from, to, at) in [
                (&carrier, &pbx, towards_pbx),
                (&pbx, &carrier, towards_carrier),
            ] {
                let packet = rtp(7, sequence);
                from.rtp.send_to(&packet, at).unwrap();
                let mut buffer = [0; 2048];
                let (length, _) = to.rtp.recv_from(&mut buffer).expect("the packet");
                assert_eq!(buffer[12..length], packet[12..], "the audio changed");
            }
        }
        let calls = setup.edge.calls().unwrap();
        assert_eq!(calls.total, 1);
        assert!(
            !setup
                .edge
                .trace(calls.calls[0].id.parse().unwrap())
                .unwrap()
                .entries
                .is_empty()
        );
        hang_up(&setup, &carrier, &pbx, &call);
    }
    let status = eventually("all records written", || {
        let status = setup.edge.status().unwrap();
        (status.records.written == 8).then_some(status)
    });
    assert_eq!(
        (status.calls, status.calls_total, status.calls_failed),
        (0, 8, 0)
    );
    assert_eq!(status.warnings, Vec::<String>::new());
    let snapshots = setup.edge.snapshots().unwrap();
    assert_eq!(snapshots.len(), usize::from(workers));
    assert_eq!(
        snapshots.iter().map(|s| s.media.rtp_forwarded).sum::<u64>(),
        800
    );
    // Where the kernel may relay, it does, and nobody above can tell.
    let by_kernel = snapshots.iter().map(|s| s.media.rtp_fast).sum::<u64>();
    assert_eq!(by_kernel > 0, status.media_relay.starts_with("kernel"));
}

#[test]
fn a_call_passes_with_its_audio_and_leaves_a_record() {
    check_call(1);
}

#[test]
fn the_same_calls_pass_with_three_workers() {
    check_call(3);
}

#[test]
fn a_stranger_hears_nothing() {
    let setup = Setup::start(1);
    let stranger = Agent {
        socket: std::net::UdpSocket::bind("127.0.0.1:0").unwrap(),
        rtp: std::net::UdpSocket::bind("127.0.0.1:0").unwrap(),
        local: "127.0.0.1:5060".parse().unwrap(),
    };
    let call = CallFacts::new("scan", "+13305550100", setup.outside());
    for method in ["OPTIONS", "INVITE", "REGISTER", "BYE"] {
        stranger.send(&stranger.request(&call, method, 1, ""), setup.outside());
    }
    stranger
        .socket
        .send_to(b"\0\0garbage\xff", setup.outside())
        .unwrap();
    eventually("the messages counted", || {
        let snapshot = &setup.edge.snapshots().unwrap()[0];
        (snapshot.calls.refused.iter().sum::<u64>() == 5).then_some(())
    });
    assert!(stranger.hears_nothing(Duration::from_millis(100)));
}

#[test]
fn a_drain_lets_the_call_end_and_takes_no_new_one() {
    let setup = Setup::start(2);
    let (carrier, pbx) = (Agent::bind(setup.net.carrier), Agent::bind(setup.net.pbx));
    let (call, _) = set_up(&setup, &carrier, &pbx, "before");
    setup.edge.drain();
    eventually("draining", || {
        setup.edge.status().unwrap().draining.then_some(())
    });
    let late = CallFacts::new("late", "+13305550100", setup.outside());
    carrier.send(
        &carrier.request(&late, "INVITE", 1, &carrier.sdp()),
        setup.outside(),
    );
    carrier.expect("SIP/2.0 503");
    hang_up(&setup, &carrier, &pbx, &call);
    setup.edge.join();
    assert!(setup.edge.status().is_err(), "the workers are gone");
}

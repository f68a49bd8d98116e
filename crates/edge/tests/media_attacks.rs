//! Sound of others, over real sockets: it is not heard, and it is told.

mod support;

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use support::{Agent, CallFacts, Setup, eventually, media_address, rtp};

/// The sentence of an incident of `kind`, once there is one.
fn incident(setup: &Setup, kind: &str, subject: impl Fn(&str) -> bool) -> String {
    eventually(kind, || {
        let incidents = setup.edge.incidents()?;
        let found = incidents
            .into_iter()
            .find(|found| found.kind == kind && subject(&found.subject));
        Some(found?.why)
    })
}

#[test]
fn who_sends_into_a_call_is_not_heard_and_is_told() {
    let setup = Setup::start(1);
    let (carrier, pbx) = (Agent::bind(setup.net.carrier), Agent::bind(setup.net.pbx));
    let mut call = CallFacts::new("attacked", "+13305550100", setup.outside());
    carrier.send(
        &carrier.request(&call, "INVITE", 1, &carrier.sdp()),
        setup.outside(),
    );
    let invite = pbx.expect("INVITE");
    pbx.send(&pbx.answer(&invite, "200 OK", &pbx.sdp()), setup.inside());
    let ok = carrier.expect("SIP/2.0 200");
    call.answered(&ok);
    carrier.send(&carrier.request(&call, "ACK", 1, ""), setup.outside());
    pbx.expect("ACK");
    let (towards_pbx, towards_carrier) = (media_address(&ok), media_address(&invite));
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    // As many as pass at once: what is faster than the packet time is dropped.
    for sequence in 0..40 {
        let spoken = rtp(7, sequence);
        pbx.rtp.send_to(&spoken, towards_carrier).unwrap();
        let mut buffer = [0; 2048];
        let (length, _) = carrier.rtp.recv_from(&mut buffer).expect("the packet");
        assert_eq!(buffer[12..length], spoken[12..], "somebody else was heard");
        // To the ports of both sides: also where the carrier has said nothing yet.
        for port in [towards_carrier, towards_pbx] {
            for number in 0..4 {
                let forged = rtp(0, sequence * 4 + number);
                stranger.send_to(&forged, port).unwrap();
            }
        }
    }
    for side in [&carrier, &pbx] {
        side.rtp
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        assert!(side.rtp.recv_from(&mut [0; 2048]).is_err(), "a stranger");
    }
    carrier.send(&carrier.request(&call, "BYE", 2, ""), setup.outside());
    let bye = pbx.expect("BYE");
    pbx.send(&pbx.answer(&bye, "200 OK", ""), setup.inside());
    carrier.expect("SIP/2.0 200");
    let why = incident(&setup, "media-attack", |_| true);
    assert!(why.contains("somebody meddles with"), "{why}");
    assert!(why.contains("of others at the same time"), "{why}");
    assert_eq!(setup.edge.blocks().map(|blocks| blocks.len()), Some(0));
}

#[test]
fn who_looks_for_open_calls_hears_nothing_and_is_told() {
    let setup = Setup::start(2);
    let prober = UdpSocket::bind("127.0.0.1:0").unwrap();
    let probe = [&[0x80, 0, 0, 0][..], &[0; 28]].concat();
    for port in 30_000..30_040 {
        let at = SocketAddr::new(setup.net.edge, port);
        prober.send_to(&probe, at).unwrap();
    }
    let why = incident(&setup, "media-attack", |subject| subject == "127.0.0.1");
    assert!(why.contains("RTP bleed"), "{why}");
    assert!(why.contains("nobody is banned for it"), "{why}");
    prober
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    assert!(prober.recv_from(&mut [0; 2048]).is_err(), "an answer");
    assert_eq!(setup.edge.blocks().map(|blocks| blocks.len()), Some(0));
}

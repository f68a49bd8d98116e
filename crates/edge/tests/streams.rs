//! Calls over TCP with several workers: the connection belongs to one worker, the call to another.

mod support;

use std::net::{SocketAddr, TcpListener};

use support::line::Line;
use support::{Agent, CallFacts, Net, Setup, eventually};

fn setup(net: Net) -> Setup {
    let (carrier, pbx) = (net.carrier, net.pbx);
    let text = net
        .config("workers = 3", "")
        .replace(
            &format!("sip:{carrier}:5060"),
            &format!("sip:{carrier}:5060;transport=tcp"),
        )
        .replace(
            &format!("sip:{pbx}:5060"),
            &format!("sip:{pbx}:5060;transport=tcp"),
        );
    Setup::with(net, &text)
}

#[test]
fn calls_pass_over_tcp_whatever_worker_has_the_connection() {
    let net = Net::new();
    let pbx_listener = TcpListener::bind(SocketAddr::new(net.pbx, 5060)).unwrap();
    let setup = setup(net);
    let (carrier, pbx) = (Agent::bind(net.carrier), Agent::bind(net.pbx));
    // From the carrier's own address, which is what makes it the carrier.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket
        .bind(&SocketAddr::new(net.carrier, 0).into())
        .unwrap();
    socket.connect(&setup.outside().into()).unwrap();
    let mut to_edge = Line::new(socket.into());
    let mut from_edge: Vec<Line> = Vec::new();
    for number in 0..8 {
        let mut call = CallFacts::new(&format!("tcp-{number}"), "+13305550100", setup.outside());
        to_edge.send(&carrier.request(&call, "INVITE", 1, &carrier.sdp()));
        // Each worker has a connection of its own towards the PBX: the INVITE comes on any.
        let (at, invite) = next_invite(&pbx_listener, &mut from_edge);
        from_edge[at].send(&pbx.answer(&invite, "200 OK", &pbx.sdp()));
        call.answered(&to_edge.expect("SIP/2.0 200"));
        to_edge.send(&carrier.request(&call, "ACK", 1, ""));
        from_edge[at].expect("ACK");
        to_edge.send(&carrier.request(&call, "BYE", 2, ""));
        let bye = from_edge[at].expect("BYE");
        from_edge[at].send(&pbx.answer(&bye, "200 OK", ""));
        to_edge.expect("SIP/2.0 200");
    }
    let status = eventually("the records", || {
        let status = setup.edge.status().unwrap();
        (status.records.written == 8).then_some(status)
    });
    assert_eq!(
        (status.calls_total, status.calls_failed, status.calls),
        (8, 0, 0)
    );
    let snapshots = setup.edge.snapshots().unwrap();
    let handed: u64 = snapshots
        .iter()
        .map(|snapshot| snapshot.loop_counters.handed_over)
        .sum();
    assert!(
        handed > 0,
        "with three workers some of eight calls are another's"
    );
}

/// The INVITE, and the connection it came on.
fn next_invite(listener: &TcpListener, lines: &mut Vec<Line>) -> (usize, String) {
    listener.set_nonblocking(true).unwrap();
    eventually("the INVITE", || {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false).unwrap();
            lines.push(Line::new(stream));
        }
        for (at, line) in lines.iter_mut().enumerate() {
            line.stream.set_nonblocking(true).unwrap();
            let readable = line.stream.peek(&mut [0; 1]).is_ok_and(|length| length > 0);
            line.stream.set_nonblocking(false).unwrap();
            if readable || line.received.contains("INVITE") {
                return Some((at, line.expect("INVITE")));
            }
        }
        None
    })
}

//! Attended transfers over real sockets, with as many workers as it takes for the two calls to be
//! of different ones.

mod support;

use std::net::{SocketAddr, UdpSocket};

use support::{Agent, CallFacts, Setup, eventually, header, media_address, rtp};

/// Where the edge wants each far side's sound once they are joined.
struct Joined {
    caller: SocketAddr,
    target: SocketAddr,
    /// Whether two workers carry it.
    across: bool,
}

/// A caller, whom the PBX puts through to somebody outside whom it has asked before.
struct Round<'a> {
    setup: &'a Setup,
    carrier: &'a Agent,
    pbx: &'a Agent,
    target_sdp: String,
}

impl Round<'_> {
    fn put_through(&self, number: u32) -> (CallFacts, Joined) {
        let Round {
            setup,
            carrier,
            pbx,
            target_sdp,
        } = self;
        let (outside, inside) = (setup.outside(), setup.inside());
        let mut call = CallFacts::new(&format!("caller-{number}"), "+13305550100", outside);
        carrier.send(
            &carrier.request(&call, "INVITE", 1, &carrier.sdp()),
            outside,
        );
        let invited = pbx.expect("INVITE");
        pbx.send(&pbx.answer(&invited, "200 OK", &pbx.sdp()), inside);
        call.answered(&carrier.expect("SIP/2.0 200"));
        carrier.send(&carrier.request(&call, "ACK", 1, ""), outside);
        pbx.expect("ACK");
        carrier.send(&carrier.request(&call, "OPTIONS", 2, ""), outside);
        carrier.expect("SIP/2.0 200");

        let consult = format!("consult-{number}");
        let mut consulting = CallFacts::new(&consult, "+12165550123", inside);
        let asked = pbx.request(&consulting, "INVITE", 1, &pbx.sdp());
        pbx.send(&asked.replace("+13125550001", "+13305550100"), inside);
        let invite = carrier.expect("INVITE");
        carrier.send(&carrier.answer(&invite, "200 OK", target_sdp), outside);
        let ok = pbx.expect("SIP/2.0 200");
        consulting.answered(&ok);
        pbx.send(&pbx.request(&consulting, "ACK", 1, ""), inside);
        carrier.expect("ACK");
        // What comes after an ACK has come when the edge has it.
        pbx.send(&pbx.request(&consulting, "OPTIONS", 2, ""), inside);
        pbx.expect("SIP/2.0 200");

        pbx.send(&self.refer(&invited, &consulting, &consult), inside);
        // Both of the referrer's calls end, and it is told how it went.
        let (mut byes, mut told) = (0, String::new());
        let mut shown = Vec::new();
        while byes < 2 || !told.contains("SIP/2.0 200") {
            // The carrier's re-INVITEs come meanwhile, and nothing goes on without their answers.
            self.answer_shown(&mut shown, 1);
            let (message, _) = pbx.receive();
            byes += usize::from(message.starts_with("BYE"));
            if message.starts_with("NOTIFY") {
                told = message.clone();
            }
            assert!(!message.starts_with("SIP/2.0 6"), "{message}");
            if message.starts_with("BYE") || message.starts_with("NOTIFY") {
                pbx.send(&pbx.answer(&message, "200 OK", ""), inside);
            }
        }
        self.answer_shown(&mut shown, 2);
        let of = |id: &str| {
            let of_call = |message: &&String| header(message, "Call-ID") == id;
            media_address(shown.iter().rev().find(of_call).expect("shown"))
        };
        let joined = Joined {
            caller: of(&call.call_id),
            target: of(header(&invite, "Call-ID")),
            across: setup.edge.calls().unwrap().total == 2,
        };
        (call, joined)
    }

    /// Answers re-INVITEs to the carrier until there were so many.
    fn answer_shown(&self, shown: &mut Vec<String>, until: usize) {
        while shown.len() < until {
            let invite = self.carrier.expect("INVITE");
            let of_caller = header(&invite, "Call-ID").starts_with("caller-");
            let sdp = match of_caller {
                true => self.carrier.sdp(),
                false => self.target_sdp.clone(),
            };
            let answer = self.carrier.answer(&invite, "200 OK", &sdp);
            self.carrier.send(&answer, self.setup.outside());
            self.carrier.expect("ACK");
            shown.push(invite);
        }
    }

    /// REFER in the dialog of the INVITE that the PBX got, to the call that it made.
    fn refer(&self, invited: &str, consulting: &CallFacts, consult: &str) -> String {
        let to_tag = consulting.to.split("tag=").nth(1).expect("a tag");
        let refer_to = format!(
            "Refer-To: <sip:+12165550123@x?Replaces={consult}%3Bto-tag%3D{to_tag}\
             %3Bfrom-tag%3Dfrom-{consult}>\r\n"
        );
        format!(
            "REFER sip:{} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKrefer{consult}\r\n\
             Max-Forwards: 70\r\nFrom: {};tag=callee\r\nTo: {}\r\nCall-ID: {}\r\n\
             CSeq: 1 REFER\r\nContact: <sip:callee@{}>\r\n{refer_to}Content-Length: 0\r\n\r\n",
            self.setup.inside(),
            self.pbx.local,
            header(invited, "To"),
            header(invited, "From"),
            header(invited, "Call-ID"),
            self.pbx.local,
        )
    }
}

#[test]
fn an_attended_transfer_joins_the_sound_of_two_workers_calls() {
    let setup = Setup::start(4);
    let (carrier, pbx) = (Agent::bind(setup.net.carrier), Agent::bind(setup.net.pbx));
    let target = UdpSocket::bind((setup.net.carrier, 21_000)).unwrap();
    target
        .set_read_timeout(Some(std::time::Duration::from_secs(20)))
        .unwrap();
    let round = Round {
        setup: &setup,
        carrier: &carrier,
        pbx: &pbx,
        target_sdp: carrier.sdp().replace("m=audio 20000", "m=audio 21000"),
    };
    let mut across = 0;
    // Three of four pairs of calls are of two workers: not one of twelve is less than 1 in 10^7.
    for number in 0..12 {
        let (call, joined) = round.put_through(number);
        across += usize::from(joined.across);
        for sequence in 0..50 {
            let sides = [
                (&carrier.rtp, &target, joined.caller),
                (&target, &carrier.rtp, joined.target),
            ];
            for (from, to, at) in sides {
                let packet = rtp(7, sequence);
                from.send_to(&packet, at).unwrap();
                let mut buffer = [0; 2048];
                let (length, _) = to.recv_from(&mut buffer).expect("the packet");
                assert_eq!(buffer[12..length], packet[12..], "the audio changed");
            }
        }
        carrier.send(&carrier.request(&call, "BYE", 3, ""), setup.outside());
        let mut over = [false; 2];
        while over != [true; 2] {
            let (message, _) = carrier.receive();
            if message.starts_with("BYE") {
                carrier.send(&carrier.answer(&message, "200 OK", ""), setup.outside());
                over[0] = true;
            }
            over[1] |= message.starts_with("SIP/2.0 200");
        }
        eventually("no call", || {
            (setup.edge.calls().unwrap().total == 0).then_some(())
        });
    }
    assert!(across > 0, "every pair of calls was of one worker");
    let status = setup.edge.status().unwrap();
    assert_eq!(status.calls_failed, 0);
}

#[test]
fn a_replacing_invite_is_cancelled_whichever_worker_has_the_call() {
    let setup = Setup::start(4);
    let (carrier, pbx) = (Agent::bind(setup.net.carrier), Agent::bind(setup.net.pbx));
    let (outside, inside) = (setup.outside(), setup.inside());
    for number in 0..8 {
        let mut call = CallFacts::new(&format!("caller-{number}"), "+13305550100", outside);
        carrier.send(
            &carrier.request(&call, "INVITE", 1, &carrier.sdp()),
            outside,
        );
        let invited = pbx.expect("INVITE");
        pbx.send(&pbx.answer(&invited, "200 OK", &pbx.sdp()), inside);
        call.answered(&carrier.expect("SIP/2.0 200"));
        carrier.send(&carrier.request(&call, "ACK", 1, ""), outside);
        pbx.expect("ACK");
        // What comes after the ACK has come when the edge has it.
        carrier.send(&carrier.request(&call, "OPTIONS", 2, ""), outside);
        carrier.expect("SIP/2.0 200");

        let facts = CallFacts::new(&format!("pickup-{number}"), "+13305550100", inside);
        let from_tag = header(&invited, "From").split("tag=").nth(1).unwrap();
        let replaces = format!(
            "Replaces: {};to-tag={from_tag};from-tag=callee\r\nContact:",
            header(&invited, "Call-ID")
        );
        let invite = pbx.request(&facts, "INVITE", 1, &pbx.sdp());
        pbx.send(&invite.replacen("Contact:", &replaces, 1), inside);
        let shown = carrier.expect("INVITE");
        carrier.send(&carrier.answer(&shown, "100 Trying", ""), outside);
        let cancel = pbx.request(&facts, "CANCEL", 1, "");
        pbx.send(&cancel.replace("CANCEL1;", "INVITE1;"), inside);
        let cancelled = carrier.expect("CANCEL");
        carrier.send(&carrier.answer(&cancelled, "200 OK", ""), outside);
        carrier.send(
            &carrier.answer(&shown, "487 Request Terminated", ""),
            outside,
        );
        pbx.expect("SIP/2.0 200");
        let refused = pbx.expect("SIP/2.0 487");
        let mut facts = facts;
        facts.to = header(&refused, "To").to_owned();
        let ack = pbx.request(&facts, "ACK", 1, "");
        pbx.send(&ack.replace("ACK1;", "INVITE1;"), inside);
        // The call goes on as it was.
        carrier.send(&carrier.request(&call, "BYE", 3, ""), outside);
        let bye = pbx.expect("BYE");
        pbx.send(&pbx.answer(&bye, "200 OK", ""), inside);
        carrier.expect("SIP/2.0 200");
    }
}

//! Transfers to somebody who has not answered yet: REFER with Replaces of a call that rings
//! (RFC 5589 §7.3, RFC 3891).

mod support;

use std::sync::Arc;

use ringfence_sip::HeaderName;
use support::*;

const TARGET: &str = "+15550002222";

/// The PBX has a caller in one call and rings a target in another one, by the same worker or by two.
struct Office {
    workers: Vec<World>,
    caller: Caller,
    /// The INVITE of the first call that the PBX got.
    invite: Sent,
    consulting: Caller,
    /// The INVITE of the second call that the target got.
    target: Sent,
    replaces: String,
}

/// A request of the PBX in the dialog of the INVITE that it got.
fn from_pbx(invite: &Sent, cseq: u32, method: &str, more: &str) -> String {
    format!(
        "{method} sip:192.0.2.2:5060 SIP/2.0\r\n\
         Via: SIP/2.0/UDP {PBX};branch=z9hG4bKpbx{cseq}x{}\r\n\
         Max-Forwards: 70\r\nFrom: {};tag=callee1\r\nTo: {}\r\nCall-ID: {}\r\n\
         CSeq: {cseq} {method}\r\nContact: <sip:callee@{PBX}>\r\n{more}{}",
        invite.header(HeaderName::CallId),
        invite.header(HeaderName::To),
        invite.header(HeaderName::From),
        invite.header(HeaderName::CallId),
        body_of(None),
    )
}

impl Office {
    fn new(workers: u8) -> Office {
        let plan = Arc::new(plan());
        let mut workers: Vec<World> = (0..workers)
            .map(|number| World::worker(Arc::clone(&plan), number, workers))
            .collect();
        let (caller, invite) = workers[0].answered_call();
        let mut consulting = Caller::new(PBX, TARGET);
        let world = workers.last_mut().unwrap();
        let offer = sdp("192.0.2.11", 9100, "");
        world.deliver(PBX, &consulting.request("INVITE", Some(&offer)));
        world.take(PBX, "100");
        let target = world.take(CARRIER, "INVITE");
        world.deliver(CARRIER, &of_target(&target, "180 Ringing", None));
        let ringing = world.take(PBX, "180");
        let to = ringing.header(HeaderName::To);
        let tag = to.split("tag=").nth(1).unwrap();
        let replaces = format!(
            "sip:{TARGET}@192.0.2.2?Replaces={}%3Bto-tag%3D{tag}%3Bfrom-tag%3Dsecrettag1",
            consulting.call_id.replace('@', "%40")
        );
        Office {
            workers,
            caller,
            invite,
            consulting,
            target,
            replaces,
        }
    }

    /// The worker of the first call.
    fn first(&mut self) -> &mut World {
        &mut self.workers[0]
    }

    /// The worker of the second call.
    fn second(&mut self) -> &mut World {
        self.workers.last_mut().unwrap()
    }

    /// Carries what the workers say to each other, or to themselves.
    fn exchange(&mut self) {
        let others = self.workers.len() - 1;
        loop {
            let mut carried = false;
            for from in 0..self.workers.len() {
                let within = |sent: &mut Sent| sent.to.ip().is_unspecified();
                let sent = &mut self.workers[from].sent;
                for sent in sent.extract_if(.., within).collect::<Vec<_>>() {
                    carried = true;
                    self.workers[others - from].deliver_within(&sent.text);
                }
            }
            if !carried {
                return;
            }
        }
    }

    /// The PBX asks for the transfer, and its own call to the target is over for it.
    fn refer(&mut self) {
        let refer_to = format!("Refer-To: <{}>\r\n", self.replaces);
        let refer = from_pbx(&self.invite, 1, "REFER", &refer_to);
        self.first().deliver(PBX, &refer);
        self.exchange();
        self.first().take(PBX, "202");
        let over = self.second().take(PBX, "487");
        assert!(over.text.contains("CSeq: 1 INVITE"), "{}", over.text);
        let ack = self.consulting.request("CANCEL", None);
        let ack = ack.replace("CANCEL", "ACK");
        self.second().deliver(PBX, &ack);
        self.notified("100");
        self.notified("180");
        // Whom it called notices nothing.
        self.nothing_sent();
    }

    #[track_caller]
    fn notified(&mut self, status: &str) {
        let notify = self.first().take(PBX, "NOTIFY");
        let told = notify.body().starts_with(&format!("SIP/2.0 {status} "));
        assert!(told, "{}", notify.text);
        let ok = notify.answer("200 OK", PBX, None);
        self.first().deliver(PBX, &ok);
    }

    /// The target answers, and is shown whom it talks to.
    fn answered(&mut self) -> Sent {
        let answer = sdp("198.51.100.31", 7100, "");
        let ok = of_target(&self.target, "200 OK", Some(&answer));
        self.second().deliver(CARRIER, &ok);
        self.second().take(CARRIER, "ACK");
        let shown = self.second().take(CARRIER, "INVITE");
        let to = shown.header(HeaderName::To);
        assert!(to.contains("tag=target1"), "{}", shown.text);
        shown
    }

    /// The target has agreed, and the caller is shown it.
    fn joined(&mut self, shown: &Sent) {
        let answer = sdp("198.51.100.31", 7100, "");
        let ok = shown.answer("200 OK", CARRIER, Some(&answer));
        self.second().deliver(CARRIER, &ok);
        self.exchange();
        self.second().take(CARRIER, "ACK");
        self.notified("200");
        let shown = self.first().take(CARRIER, "INVITE");
        let to = shown.header(HeaderName::To);
        assert!(to.contains("secrettag1"), "{}", shown.text);
        let answer = sdp("198.51.100.21", 7100, "");
        let ok = shown.answer("200 OK", CARRIER, Some(&answer));
        self.first().deliver(CARRIER, &ok);
        self.first().take(CARRIER, "ACK");
        self.exchange();
    }

    /// The PBX is let go by its first call; the second one it has lost already.
    fn let_go(&mut self) {
        let bye = self.first().take(PBX, "BYE");
        let to = bye.header(HeaderName::To);
        assert!(to.contains("tag=callee1"), "{}", bye.text);
        let ok = bye.answer("200 OK", PBX, None);
        self.first().deliver(PBX, &ok);
    }

    #[track_caller]
    fn nothing_sent(&self) {
        for world in &self.workers {
            world.nothing_sent();
        }
    }

    /// The caller hangs up, and so does everybody: nothing is left.
    fn over(&mut self) {
        let bye = self.caller.request("BYE", None);
        self.first().deliver(CARRIER, &bye);
        self.first().take(CARRIER, "200");
        self.exchange();
        let bye = self.second().take(CARRIER, "BYE");
        assert!(bye.text.contains("tag=target1"), "{}", bye.text);
        let ok = bye.answer("200 OK", CARRIER, None);
        self.second().deliver(CARRIER, &ok);
        self.exchange();
        self.all_over();
    }

    fn all_over(&mut self) {
        self.nothing_sent();
        for world in &mut self.workers {
            world.all_over();
        }
    }
}

/// What the target says to an INVITE.
fn of_target(invite: &Sent, status: &str, body: Option<&str>) -> String {
    let answer = invite.answer(status, CARRIER, body);
    answer.replace("tag=callee1", "tag=target1")
}

fn the_target_answers(workers: u8) {
    let mut office = Office::new(workers);
    office.refer();
    let shown = office.answered();
    office.joined(&shown);
    office.let_go();
    office.nothing_sent();
    // The sound goes through two calls, of which neither has the PBX.
    let calls = |world: &World| world.core.calls().len();
    assert_eq!(office.workers.iter().map(calls).sum::<usize>(), 2);
    office.over();
}

#[test]
fn a_transfer_to_a_call_that_rings_joins_when_it_is_answered_rfc5589_7_3() {
    the_target_answers(1);
    the_target_answers(2);
}

fn the_target_refuses(workers: u8) {
    let mut office = Office::new(workers);
    office.refer();
    let busy = of_target(&office.target, "486 Busy Here", None);
    office.second().deliver(CARRIER, &busy);
    office.exchange();
    office.second().take(CARRIER, "ACK");
    office.notified("486");
    // The caller is still the PBX's.
    office.nothing_sent();
    let bye = office.caller.request("BYE", None);
    office.first().deliver(CARRIER, &bye);
    office.first().take(CARRIER, "200");
    office.let_go();
    office.all_over();
}

#[test]
fn a_target_that_rang_and_refuses_leaves_the_first_call_as_it_was() {
    the_target_refuses(1);
    the_target_refuses(2);
}

fn the_caller_gives_up(workers: u8) {
    let mut office = Office::new(workers);
    office.refer();
    let bye = office.caller.request("BYE", None);
    office.first().deliver(CARRIER, &bye);
    office.first().take(CARRIER, "200");
    office.exchange();
    let cancel = office.second().take(CARRIER, "CANCEL");
    let ok = cancel.answer("200 OK", CARRIER, None);
    office.second().deliver(CARRIER, &ok);
    let over = of_target(&office.target, "487 Request Terminated", None);
    office.second().deliver(CARRIER, &over);
    office.second().take(CARRIER, "ACK");
    office.exchange();
    office.let_go();
    office.all_over();
}

#[test]
fn a_caller_that_hangs_up_stops_the_ringing_of_the_target() {
    the_caller_gives_up(1);
    the_caller_gives_up(2);
}

/// Phones give up their call to the target, and hang up on the caller, as soon as the REFER is taken.
fn the_referrer_leaves(workers: u8) {
    let mut office = Office::new(workers);
    office.refer();
    let cancel = office.consulting.request("CANCEL", None);
    office.second().deliver(PBX, &cancel);
    office.second().take(PBX, "200");
    let bye = from_pbx(&office.invite, 2, "BYE", "");
    office.first().deliver(PBX, &bye);
    office.first().take(PBX, "200");
    office.exchange();
    office.nothing_sent();
    let shown = office.answered();
    let answer = sdp("198.51.100.31", 7100, "");
    let ok = shown.answer("200 OK", CARRIER, Some(&answer));
    office.second().deliver(CARRIER, &ok);
    office.exchange();
    office.second().take(CARRIER, "ACK");
    let shown = office.first().take(CARRIER, "INVITE");
    let answer = sdp("198.51.100.21", 7100, "");
    let ok = shown.answer("200 OK", CARRIER, Some(&answer));
    office.first().deliver(CARRIER, &ok);
    office.first().take(CARRIER, "ACK");
    office.exchange();
    office.nothing_sent();
    office.over();
}

#[test]
fn a_referrer_that_leaves_at_once_does_not_stop_the_ringing() {
    the_referrer_leaves(1);
    the_referrer_leaves(2);
}

/// The target cannot take the caller's media: neither of them is left with nobody.
fn the_target_does_not_agree(workers: u8) {
    let mut office = Office::new(workers);
    office.refer();
    let shown = office.answered();
    let no = shown.answer("488 Not Acceptable Here", CARRIER, None);
    office.second().deliver(CARRIER, &no);
    office.exchange();
    office.second().take(CARRIER, "ACK");
    let bye = office.second().take(CARRIER, "BYE");
    let ok = bye.answer("200 OK", CARRIER, None);
    office.second().deliver(CARRIER, &ok);
    office.notified("488");
    office.nothing_sent();
    let bye = office.caller.request("BYE", None);
    office.first().deliver(CARRIER, &bye);
    office.first().take(CARRIER, "200");
    office.let_go();
    office.all_over();
}

#[test]
fn a_target_that_does_not_take_the_media_is_hung_up_and_the_first_call_goes_on() {
    the_target_does_not_agree(1);
    the_target_does_not_agree(2);
}

/// The caller hangs up between the target's answer and what it says to the caller's media.
#[test]
fn a_caller_that_hangs_up_while_the_target_is_shown_its_media_ends_all() {
    for workers in [1, 2] {
        let mut office = Office::new(workers);
        office.refer();
        let shown = office.answered();
        let trying = shown.answer("100 Trying", CARRIER, None);
        office.second().deliver(CARRIER, &trying);
        let bye = office.caller.request("BYE", None);
        office.first().deliver(CARRIER, &bye);
        office.first().take(CARRIER, "200");
        office.exchange();
        office.let_go();
        let cancel = office.second().take(CARRIER, "CANCEL");
        let ok = cancel.answer("200 OK", CARRIER, None);
        office.second().deliver(CARRIER, &ok);
        let over = shown.answer("487 Request Terminated", CARRIER, None);
        office.second().deliver(CARRIER, &over);
        office.second().take(CARRIER, "ACK");
        let bye = office.second().take(CARRIER, "BYE");
        let ok = bye.answer("200 OK", CARRIER, None);
        office.second().deliver(CARRIER, &ok);
        office.exchange();
        office.all_over();
    }
}

/// From outside nobody takes the caller's place in a call that rings (RFC 3891 §3).
#[test]
fn a_call_that_rings_is_not_replaced_from_outside_rfc3891_3() {
    let mut office = Office::new(1);
    let value = office.replaces.split("Replaces=").nth(1).unwrap();
    let value = value.replace("%3B", ";").replace("%3D", "=");
    let replaces = format!("Replaces: {}\r\n", value.replace("%40", "@"));
    let mut other = Caller::new(PBX, TARGET);
    (other.call_id, other.branch) = ("another@192.0.2.10".to_owned(), 50);
    let offer = sdp("192.0.2.11", 9200, "");
    let invite = other.request("INVITE", Some(&offer));
    let invite = invite.replacen("Contact:", &format!("{replaces}Contact:"), 1);
    office.first().deliver(PBX, &invite);
    office.first().take(PBX, "481");
    office.nothing_sent();
    // The target still rings for the PBX.
    let answer = sdp("198.51.100.31", 7100, "");
    let ok = of_target(&office.target, "200 OK", Some(&answer));
    office.first().deliver(CARRIER, &ok);
    office.first().take(CARRIER, "ACK");
    office.first().take(PBX, "200");
}

//! Carriers that want a password: registration and challenged calls, in virtual time.

mod support;

use std::sync::Arc;
use std::time::Duration;

use ringfence_base::{ConnectionId, Flow, Secret, Transport, WorkerIndex};
use ringfence_session::account::{Account, Registering};
use ringfence_session::core::Input;
use ringfence_session::plan::Plan;
use ringfence_session::registration::{RegistrationState, RegistrationView, Trouble};
use ringfence_sip::digest::{Algorithm, Credentials, Ha1};
use ringfence_sip::{HeaderName, Index};
use support::*;

const PASSWORD: &[u8] = b"circle of life";
const SECOND: Duration = Duration::from_secs(1);

fn account(change: impl FnOnce(&mut Account)) -> Account {
    let mut account = Account {
        username: "summit".into(),
        password: Secret::new(PASSWORD.to_vec()),
        realm: None,
        registration: Some(Registering {
            user: "summit".into(),
            domain: Some("carrier.example".into()),
            expires: Duration::from_secs(600),
            contact_user: None,
            bulk: false,
        }),
    };
    change(&mut account);
    account
}

fn with_account(plan: &mut Plan, account: Account) {
    plan.peers[0].account = Some(Arc::new(account));
}

fn world() -> World {
    World::with(|plan| with_account(plan, account(|_| {})))
}

/// Without registration: an account for challenged calls only.
fn calls_only() -> World {
    World::with(|plan| with_account(plan, account(|account| account.registration = None)))
}

#[track_caller]
fn view(world: &World) -> Arc<RegistrationView> {
    world.plan.peers[0].usage.registration().unwrap()
}

/// A registrar's answer; `{contact}` in `headers` is our Contact without its lifetime.
fn register_answer(request: &Sent, status: &str, headers: &str) -> String {
    let contact = request.header(HeaderName::Contact);
    let contact = contact.split(";expires").next().unwrap();
    let headers = headers.replace("{contact}", contact);
    let mut text = format!("SIP/2.0 {status}\r\n");
    for name in [
        HeaderName::Via,
        HeaderName::From,
        HeaderName::CallId,
        HeaderName::CSeq,
    ] {
        text += &format!("{}: {}\r\n", name.as_str(), request.header(name));
    }
    let to = request.header(HeaderName::To);
    let tag = if to.contains("tag=") { "" } else { ";tag=reg1" };
    text += &format!("To: {to}{tag}\r\n");
    text + headers.as_str() + "Content-Length: 0\r\n\r\n"
}

const CHALLENGE: &str =
    "WWW-Authenticate: Digest realm=\"carrier\", nonce=\"n1\", qop=\"auth\"\r\n";
const FRESH: &str = "WWW-Authenticate: Digest realm=\"carrier\", nonce=\"n2\", qop=\"auth\"\r\n";
const STALE: &str =
    "WWW-Authenticate: Digest realm=\"carrier\", nonce=\"n3\", qop=\"auth\", stale=true\r\n";

/// Checks the credentials of a request, and gives their nonce and count.
#[track_caller]
fn credentials(sent: &Sent, header: HeaderName) -> (String, Option<u32>) {
    let mut index = Index::default();
    let message = index.parse(sent.text.as_bytes()).unwrap();
    let value = message.header(header).expect("credentials");
    let given = Credentials::parse(value).unwrap();
    let ha1 = Ha1::new(given.algorithm, b"summit", given.realm, PASSWORD).unwrap();
    assert!(given.verify(&ha1, message.method().unwrap().as_bytes()));
    assert_eq!(Some(given.uri), message.request_uri());
    let nonce = String::from_utf8_lossy(given.nonce).into_owned();
    (nonce, given.nc)
}

/// Lets time pass until something is sent, which is a REGISTER; gives it, and how long it took.
#[track_caller]
fn next_register(world: &mut World) -> (Sent, Duration) {
    let start = world.now;
    while world.sent.is_empty() {
        let next = world
            .core
            .poll_timeout()
            .expect("nothing will ever be sent");
        let step = next - world.now;
        world.pass(step);
    }
    let sent = world.take(CARRIER, "REGISTER");
    world.nothing_sent();
    (sent, world.now - start)
}

/// Registers with a challenge; gives the REGISTER that was accepted.
#[track_caller]
fn registered(world: &mut World, contacts: &str) -> Sent {
    let (first, _) = next_register(world);
    assert_eq!(first.header(HeaderName::Authorization), "");
    world.deliver(
        CARRIER,
        &register_answer(&first, "401 Unauthorized", CHALLENGE),
    );
    let second = world.take(CARRIER, "REGISTER");
    world.deliver(CARRIER, &register_answer(&second, "200 OK", contacts));
    world.nothing_sent();
    second
}

const OURS: &str = "Contact: {contact};expires=600\r\n";

#[test]
fn a_trunk_registers_with_a_digest_rfc3261_10_2() {
    let mut world = world();
    let sent = registered(&mut world, OURS);
    assert_eq!(sent.request_uri(), "sip:carrier.example");
    assert_eq!(sent.header(HeaderName::To), "<sip:summit@carrier.example>");
    assert_eq!(sent.header(HeaderName::CSeq), "2 REGISTER");
    assert_eq!(sent.header(HeaderName::Expires), "600");
    let (nonce, nc) = credentials(&sent, HeaderName::Authorization);
    assert_eq!((nonce.as_str(), nc), ("n1", Some(1)));
    for secret in ["circle", "192.0.2", "summit-edge"] {
        assert!(!sent.text.contains(secret), "{secret} in {}", sent.text);
    }
    let contact = sent.header(HeaderName::Contact);
    assert!(
        !contact.contains("summit") && contact.contains("@203.0.113.10:5060"),
        "{contact}"
    );
    let view = view(&world);
    assert_eq!(view.state, RegistrationState::Registered);
    assert_eq!(
        (view.trouble, view.last_code, view.attempts),
        (None, Some(200), 2)
    );
}

#[test]
fn a_binding_is_refreshed_before_it_ends_and_unchallenged_rfc7616_3_4() {
    let mut world = world();
    registered(&mut world, OURS);
    let (refresh, after) = next_register(&mut world);
    assert!((480..=540).contains(&after.as_secs()), "{after:?}");
    let used = credentials(&refresh, HeaderName::Authorization);
    assert_eq!(used, ("n1".to_owned(), Some(2)));
    let next = format!("{OURS}Authentication-Info: nextnonce=\"n9\", qop=auth\r\n");
    world.deliver(CARRIER, &register_answer(&refresh, "200 OK", &next));
    let (refresh, _) = next_register(&mut world);
    let used = credentials(&refresh, HeaderName::Authorization);
    assert_eq!(used, ("n9".to_owned(), Some(1)));
}

#[test]
fn the_strongest_challenge_is_answered_rfc8760_2_4() {
    let mut world = world();
    let (first, _) = next_register(&mut world);
    let sha = "WWW-Authenticate: Digest realm=\"carrier\", nonce=\"s\", algorithm=SHA-256, qop=\"auth\"\r\n";
    let both = format!("{CHALLENGE}{sha}");
    world.deliver(CARRIER, &register_answer(&first, "401 No", &both));
    let second = world.take(CARRIER, "REGISTER");
    assert_eq!(credentials(&second, HeaderName::Authorization).0, "s");
    assert!(second.text.contains(Algorithm::Sha256.name()));
}

#[test]
fn a_stale_nonce_is_renewed_and_a_wrong_password_is_not_tried_again() {
    let mut world = world();
    registered(&mut world, OURS);
    let (refresh, _) = next_register(&mut world);
    world.deliver(CARRIER, &register_answer(&refresh, "401 No", FRESH));
    let second = world.take(CARRIER, "REGISTER");
    world.deliver(CARRIER, &register_answer(&second, "401 No", STALE));
    let third = world.take(CARRIER, "REGISTER");
    assert_eq!(credentials(&third, HeaderName::Authorization).0, "n3");
    world.deliver(CARRIER, &register_answer(&third, "401 No", STALE));
    world.nothing_sent();
    let view = view(&world);
    assert_eq!(view.trouble, Some(Trouble::Password));
    // The binding of before still lasts.
    assert_eq!(view.state, RegistrationState::Registered);
    assert_eq!(view.failures, 1);
}

#[test]
fn failures_back_off_with_a_bound_and_end_rfc5626_4_5() {
    let mut world = world();
    let mut tries = Vec::new();
    let start = world.now;
    for _ in 0..12 {
        let (sent, _) = next_register(&mut world);
        tries.push((world.now - start).as_secs());
        world.deliver(CARRIER, &register_answer(&sent, "503 Busy", ""));
    }
    let waits: Vec<u64> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(
        waits[0] <= 6 && waits.iter().all(|wait| *wait <= 301),
        "{waits:?}"
    );
    assert!(waits[10] >= 149 && waits[2] >= 9, "{waits:?}");
    let before = view(&world);
    assert_eq!(
        (before.state, before.failures),
        (RegistrationState::Failed, 12)
    );
    assert_eq!(before.trouble, Some(Trouble::Refused(503)));
    let (sent, _) = next_register(&mut world);
    world.deliver(CARRIER, &register_answer(&sent, "200 OK", OURS));
    let after = view(&world);
    assert_eq!(
        (after.state, after.failures),
        (RegistrationState::Registered, 0)
    );
}

#[test]
fn a_retry_after_is_heeded_within_reason_rfc3261_20_33() {
    let mut world = world();
    let (sent, _) = next_register(&mut world);
    world.deliver(
        CARRIER,
        &register_answer(&sent, "503 Busy", "Retry-After: 60\r\n"),
    );
    let (sent, after) = next_register(&mut world);
    assert_eq!(after.as_secs(), 60);
    let absurd = "Retry-After: 86000\r\n";
    world.deliver(CARRIER, &register_answer(&sent, "503 Busy", absurd));
    assert_eq!(next_register(&mut world).1.as_secs(), 3600);
}

#[test]
fn a_longer_interval_is_asked_for_when_demanded_rfc3261_10_2_8() {
    let mut world = world();
    let (sent, _) = next_register(&mut world);
    let brief = "423 Interval Too Brief";
    world.deliver(
        CARRIER,
        &register_answer(&sent, brief, "Min-Expires: 1800\r\n"),
    );
    let sent = world.take(CARRIER, "REGISTER");
    assert_eq!(sent.header(HeaderName::Expires), "1800");
    world.deliver(
        CARRIER,
        &register_answer(&sent, "200 OK", "Contact: {contact};expires=1800\r\n"),
    );
    assert_eq!(view(&world).state, RegistrationState::Registered);
}

#[test]
fn absurd_intervals_are_refused_and_counted() {
    for demand in [
        "",
        "Min-Expires: 1\r\n",
        "Min-Expires: 315360000\r\n",
        "Min-Expires: x\r\n",
    ] {
        let mut world = world();
        let (sent, _) = next_register(&mut world);
        world.deliver(CARRIER, &register_answer(&sent, "423 Too Brief", demand));
        world.nothing_sent();
        let view = view(&world);
        assert_eq!(
            (view.trouble, view.oddities),
            (Some(Trouble::AbsurdInterval), 1)
        );
    }
}

#[test]
fn absurd_lifetimes_are_clamped_counted_and_explained() {
    for (lifetime, trouble, least, most) in [
        ("0.1", Trouble::AbsurdExpires(0), 15, 20),
        ("1", Trouble::AbsurdExpires(1), 15, 20),
        (
            "315360000",
            Trouble::AbsurdExpires(315_360_000),
            69_000,
            86_400,
        ),
        ("soon", Trouble::Nonsense, 479, 541),
    ] {
        let mut world = world();
        registered(
            &mut world,
            &format!("Contact: {{contact}};expires={lifetime}\r\n"),
        );
        let before = view(&world);
        assert_eq!((before.trouble, before.oddities), (Some(trouble), 1));
        assert_eq!(before.state, RegistrationState::Registered, "{lifetime}");
        assert!(!trouble.words().is_empty());
        let (_, after) = next_register(&mut world);
        assert!(
            (least..=most).contains(&after.as_secs()),
            "{lifetime}: {after:?}"
        );
    }
}

#[test]
fn a_binding_that_is_dropped_at_once_is_no_registration() {
    let mut world = world();
    registered(&mut world, "Contact: {contact};expires=0\r\n");
    let view = view(&world);
    assert_eq!(
        (view.state, view.trouble),
        (RegistrationState::Failed, Some(Trouble::Removed))
    );
}

#[test]
fn other_contacts_are_kept_for_a_judge_and_bounded() {
    let mut world = world();
    let others: Vec<String> = (1..=1000)
        .map(|n| format!("<sip:x@203.0.113.66:{n}>;expires=9"))
        .collect();
    registered(
        &mut world,
        &format!("{OURS}Contact: {}\r\n", others.join(", ")),
    );
    let view = view(&world);
    assert_eq!(view.state, RegistrationState::Registered);
    assert_eq!((view.others_total, view.others.len()), (1000, 16));
    assert_eq!(view.others[0].uri, "sip:x@203.0.113.66:1");
    assert_eq!(view.others[0].expires, Some(9));
}

#[test]
fn silence_tries_the_next_address_and_a_challenge_stays_on_its_member() {
    let second = "198.51.100.21:5060";
    let mut world = World::with(|plan| {
        with_account(plan, account(|_| {}));
        plan.peers[0].addresses.push(second.parse().unwrap());
    });
    world.pass(SECOND * 40);
    assert!(world.sent.iter().any(|sent| sent.to.to_string() == CARRIER));
    world.sent.retain(|sent| sent.to.to_string() == second);
    assert_eq!(view(&world).trouble, Some(Trouble::NoAnswer));
    let first = world.take(second, "REGISTER");
    world.sent.clear();
    world.deliver(second, &register_answer(&first, "401 No", CHALLENGE));
    let again = world.take(second, "REGISTER");
    assert_eq!(credentials(&again, HeaderName::Authorization).0, "n1");
}

#[test]
fn a_carrier_that_was_away_is_registered_with_anew() {
    let mut world = World::with(|plan| {
        with_account(plan, account(|_| {}));
        plan.peers[0].options_interval = Duration::from_secs(30);
    });
    world.pass(Duration::from_millis(100));
    let options = world.take(CARRIER, "OPTIONS");
    world.deliver(CARRIER, &options.answer("200 OK", CARRIER, None));
    let (first, _) = next_register(&mut world);
    world.deliver(CARRIER, &register_answer(&first, "200 OK", OURS));
    // OPTIONS without an answer for a while, and then one that is answered.
    world.pass(SECOND * 95);
    assert!(world.plan.peers[0].usage.health().options_missed > 0);
    assert!(world.sent.iter().all(|sent| sent.is("OPTIONS")));
    let last = world.sent.pop().unwrap();
    world.sent.clear();
    world.deliver(CARRIER, &last.answer("200 OK", CARRIER, None));
    let (again, after) = next_register(&mut world);
    assert!(after < SECOND * 3, "{after:?}");
    assert_eq!(
        again.header(HeaderName::CallId),
        first.header(HeaderName::CallId)
    );
}

#[test]
fn a_lost_connection_is_a_reason_to_register_anew_but_not_without_end() {
    let mut world = World::with(|plan| {
        with_account(plan, account(|_| {}));
        plan.peers[0].transport = Transport::Tcp;
    });
    let connection = ConnectionId {
        worker: WorkerIndex::new(0),
        slot: 1,
        generation: 1,
    };
    for round in 0..3 {
        let (sent, after) = next_register(&mut world);
        let expected = if round == 0 {
            Duration::ZERO..SECOND
        } else {
            SECOND * 30..SECOND * 33
        };
        assert!(expected.contains(&after), "{after:?}");
        assert!(sent.header(HeaderName::Contact).contains(";transport=tcp>"));
        let text = register_answer(&sent, "200 OK", OURS);
        let mut index = Index::default();
        let message = index.parse(text.as_bytes()).unwrap();
        let flow = Flow {
            transport: Transport::Tcp,
            connection: Some(connection),
            ..Flow::udp(OUTSIDE, CARRIER.parse().unwrap())
        };
        let input = Input::Message {
            flow,
            message: &message,
            tls_names: &[],
        };
        world.input(input);
        world.input(Input::ConnectionClosed { connection });
    }
}

#[test]
fn a_drain_takes_the_binding_back() {
    let mut world = world();
    registered(&mut world, OURS);
    world.input(Input::Drain);
    let leave = world.take(CARRIER, "REGISTER");
    assert_eq!(leave.header(HeaderName::Expires), "0");
    assert!(leave.header(HeaderName::Contact).ends_with(";expires=0"));
    assert!(!world.core.is_idle());
    world.deliver(CARRIER, &register_answer(&leave, "401 No", FRESH));
    let leave = world.take(CARRIER, "REGISTER");
    assert_eq!(leave.header(HeaderName::Expires), "0");
    world.deliver(CARRIER, &register_answer(&leave, "200 OK", ""));
    assert!(world.core.is_idle());
    assert_eq!(view(&world).state, RegistrationState::Unregistered);
    world.pass(SECOND * 1000);
    world.nothing_sent();
}

fn reload(world: &mut World, change: impl FnOnce(&mut Plan)) {
    let mut next = plan();
    change(&mut next);
    next.adopt_usage(&world.plan);
    let next = Arc::new(next);
    world.plan = Arc::clone(&next);
    world.input(Input::Plan(&next));
    world.pass(Duration::from_millis(100));
}

#[test]
fn a_reload_leaves_an_unchanged_registration_alone() {
    let mut world = world();
    registered(&mut world, OURS);
    reload(&mut world, |plan| {
        with_account(plan, account(|_| {}));
        plan.peers[0].channels = 7;
    });
    world.nothing_sent();
    assert_eq!(view(&world).state, RegistrationState::Registered);
    next_register(&mut world);
}

#[test]
fn a_reload_registers_a_changed_trunk_anew_and_takes_a_removed_one_back() {
    let mut world = world();
    registered(&mut world, OURS);
    reload(&mut world, |plan| {
        let other = account(|account| {
            account.registration.as_mut().unwrap().user = "other".into();
        });
        with_account(plan, other);
    });
    let leave = world.take(CARRIER, "REGISTER");
    assert_eq!(leave.header(HeaderName::Expires), "0");
    world.deliver(CARRIER, &register_answer(&leave, "200 OK", ""));
    let new = world.take(CARRIER, "REGISTER");
    assert_eq!(new.header(HeaderName::To), "<sip:other@carrier.example>");
    world.deliver(CARRIER, &register_answer(&new, "200 OK", OURS));
    assert_eq!(view(&world).state, RegistrationState::Registered);
    reload(&mut world, |_| {});
    assert_eq!(
        world.take(CARRIER, "REGISTER").header(HeaderName::Expires),
        "0"
    );
    assert!(world.plan.peers[0].usage.registration().is_none());
}

#[test]
fn all_numbers_are_registered_at_once_rfc6140_5_2() {
    let bulk = account(|account| account.registration.as_mut().unwrap().bulk = true);
    let mut world = World::with(|plan| with_account(plan, bulk));
    let (sent, _) = next_register(&mut world);
    assert_eq!(
        sent.header(HeaderName::Contact),
        "<sip:203.0.113.10:5060;bnc>;expires=600"
    );
    assert_eq!(sent.header(HeaderName::Require), "gin");
    world.deliver(CARRIER, &register_answer(&sent, "200 OK", OURS));
    assert_eq!(view(&world).trouble, None);
}

#[test]
fn a_call_to_our_contact_is_for_the_number_in_its_to() {
    let mut world = world();
    let sent = registered(&mut world, OURS);
    let contact = sent.header(HeaderName::Contact);
    let user = contact
        .trim_start_matches("<sip:")
        .split('@')
        .next()
        .unwrap()
        .to_owned();
    let mut number = 0;
    let mut called = |world: &mut World, to: &str, more: &str| {
        number += 1;
        let mut caller = Caller::new(CARRIER, &user);
        caller.call_id = format!("call-{number}");
        caller.to_header = format!("<sip:{to}@carrier.example>");
        let invite = caller.request("INVITE", Some(&sdp("198.51.100.21", 7000, "")));
        let invite = invite.replacen("Max-Forwards", &format!("{more}Max-Forwards"), 1);
        let invite = invite.replace("secretbranch", &format!("branch{number}x"));
        world.deliver(CARRIER, &invite);
        world.take(CARRIER, "100");
        world.take(PBX, "INVITE").request_uri().to_owned()
    };
    assert_eq!(
        called(&mut world, "+13305550101", ""),
        "sip:+13305550101@192.0.2.10"
    );
    let party = "P-Called-Party-ID: <sip:+13305550102@carrier.example>\r\n";
    assert_eq!(
        called(&mut world, "summit", party),
        "sip:+13305550102@192.0.2.10"
    );
    assert_eq!(
        called(&mut world, "summit", ""),
        "sip:+13305550100@192.0.2.10"
    );
}

/// A call from the PBX that the carrier challenges; gives the INVITE with credentials.
#[track_caller]
fn challenged_call(world: &mut World, status: &str, challenge: &str) -> (Caller, Sent) {
    let mut caller = Caller::new(PBX, "+15550001111");
    let invite = caller.request("INVITE", Some(&sdp("192.0.2.11", 9000, "")));
    world.deliver(PBX, &invite.replace("+15551234567", "+13305550100"));
    world.take(PBX, "100");
    let first = world.take(CARRIER, "INVITE");
    world.deliver(
        CARRIER,
        &first
            .answer(status, CARRIER, None)
            .replacen("Contact", "X-Contact", 1)
            .replacen("\r\nX-Contact", &format!("\r\n{challenge}X-Contact"), 1),
    );
    let ack = world.take(CARRIER, "ACK");
    assert_eq!(ack.header(HeaderName::Via), first.header(HeaderName::Via));
    let second = world.take(CARRIER, "INVITE");
    assert_ne!(
        second.header(HeaderName::Via),
        first.header(HeaderName::Via)
    );
    assert_eq!(second.header(HeaderName::CSeq), "2 INVITE");
    assert_eq!(
        second.header(HeaderName::CallId),
        first.header(HeaderName::CallId)
    );
    assert_eq!(
        second.header(HeaderName::From),
        first.header(HeaderName::From)
    );
    assert_eq!(second.body(), first.body());
    world.nothing_sent();
    (caller, second)
}

#[test]
fn a_challenged_call_is_made_and_the_pbx_hears_nothing_of_it_rfc3261_22_2() {
    let proxy = CHALLENGE.replace("WWW-Authenticate", "Proxy-Authenticate");
    for (status, challenge, header) in [
        ("401 Unauthorized", CHALLENGE, HeaderName::Authorization),
        (
            "407 Proxy Authentication Required",
            &proxy,
            HeaderName::ProxyAuthorization,
        ),
    ] {
        let mut world = calls_only();
        let (mut caller, invite) = challenged_call(&mut world, status, challenge);
        assert_eq!(credentials(&invite, header).0, "n1");
        let answer = invite.answer("200 OK", CARRIER, Some(&sdp("198.51.100.21", 7000, "")));
        world.deliver(CARRIER, &answer);
        let ack = world.take(CARRIER, "ACK");
        // RFC 3261 §22.1: the credentials of the INVITE, and its CSeq.
        assert_eq!(ack.header(HeaderName::CSeq), "2 ACK");
        assert_eq!(ack.header(header), invite.header(header));
        let ok = world.take(PBX, "200");
        assert!(
            !ok.text.contains("carrier") && !ok.text.contains("n1"),
            "{}",
            ok.text
        );
        caller.learn(&ok);
        world.deliver(PBX, &caller.request("ACK", None));
        // The BYE is challenged as well; its call is gone by then.
        world.deliver(PBX, &caller.request("BYE", None));
        world.take(PBX, "200");
        let bye = world.take(CARRIER, "BYE");
        assert_eq!(bye.header(HeaderName::CSeq), "3 BYE");
        world.deliver(CARRIER, &register_answer(&bye, status, challenge));
        let bye = world.take(CARRIER, "BYE");
        assert_eq!(bye.header(HeaderName::CSeq), "4 BYE");
        credentials(&bye, header);
        world.deliver(CARRIER, &register_answer(&bye, "200 OK", ""));
        assert_eq!(world.cdrs.len(), 1);
        assert_eq!(world.cdrs[0].status, 200);
        assert_eq!(world.core.counters().challenges_answered, 2);
        world.all_over();
    }
}

#[test]
fn a_cancel_after_an_auth_retry_is_that_of_the_invite_as_it_was_sent_rfc3261_9_1() {
    let mut world = calls_only();
    let (mut caller, invite) = challenged_call(&mut world, "401 No", CHALLENGE);
    world.deliver(CARRIER, &invite.answer("180 Ringing", CARRIER, None));
    world.take(PBX, "180");
    world.deliver(PBX, &caller.request("CANCEL", None));
    world.take(PBX, "200");
    world.take(PBX, "487");
    let cancel = world.take(CARRIER, "CANCEL");
    assert_eq!(
        cancel.header(HeaderName::Via),
        invite.header(HeaderName::Via)
    );
    assert_eq!(cancel.header(HeaderName::CSeq), "2 CANCEL");
    world.deliver(CARRIER, &cancel.answer("200 OK", CARRIER, None));
    world.deliver(
        CARRIER,
        &invite.answer("487 Request Terminated", CARRIER, None),
    );
    world.take(CARRIER, "ACK");
    world.all_over();
}

#[test]
fn a_call_that_was_given_up_is_not_tried_with_a_password() {
    let mut world = calls_only();
    let mut caller = Caller::new(PBX, "+15550001111");
    let invite = caller.request("INVITE", Some(&sdp("192.0.2.11", 9000, "")));
    world.deliver(PBX, &invite.replace("+15551234567", "+13305550100"));
    let invite = world.take(CARRIER, "INVITE");
    world.deliver(PBX, &caller.request("CANCEL", None));
    world.deliver(CARRIER, &register_answer(&invite, "401 No", CHALLENGE));
    world.take(CARRIER, "ACK");
    assert!(
        !world.sent.iter().any(|sent| sent.to.to_string() == CARRIER),
        "{:#?}",
        world.sent
    );
    world.sent.clear();
    world.all_over();
}

#[test]
fn refused_credentials_end_the_attempt_and_cross_as_403() {
    let mut world = calls_only();
    let (_, invite) = challenged_call(&mut world, "401 No", CHALLENGE);
    world.deliver(CARRIER, &register_answer(&invite, "401 No", FRESH));
    world.take(CARRIER, "ACK");
    let refusal = world.take(PBX, "403");
    assert!(!refusal.text.contains("Authenticate"), "{}", refusal.text);
    world.nothing_sent();
    assert_eq!(world.core.counters().challenges_unanswered, 1);
    world.all_over();
}

#[test]
fn another_realm_than_the_configured_one_gets_no_credentials() {
    let only = account(|account| {
        account.registration = None;
        account.realm = Some("elsewhere".into());
    });
    let mut world = World::with(|plan| with_account(plan, only));
    let mut caller = Caller::new(PBX, "+15550001111");
    let invite = caller.request("INVITE", Some(&sdp("192.0.2.11", 9000, "")));
    world.deliver(PBX, &invite.replace("+15551234567", "+13305550100"));
    let invite = world.take(CARRIER, "INVITE");
    world.deliver(CARRIER, &register_answer(&invite, "401 No", CHALLENGE));
    world.take(CARRIER, "ACK");
    world.take(PBX, "403");
}

#[test]
fn the_pbx_gets_no_credentials_of_the_carrier() {
    let mut world = calls_only();
    let mut caller = Caller::new(CARRIER, "+13305550100");
    let invite = caller.request("INVITE", Some(&sdp("198.51.100.21", 7000, "")));
    world.deliver(CARRIER, &invite);
    let invite = world.take(PBX, "INVITE");
    world.deliver(PBX, &register_answer(&invite, "401 No", CHALLENGE));
    world.take(PBX, "ACK");
    world.take(CARRIER, "403");
    assert!(!world.sent.iter().any(|sent| sent.is("INVITE")));
}

//! Who watches whom: SUBSCRIBE, NOTIFY and PUBLISH between phones and their phone system.

mod support;

use std::time::Duration;

use ringfence_session::core::Input;
use ringfence_session::events::package::Package;
use ringfence_sip::HeaderName;
use support::phone::*;
use support::*;

/// Of the phone system's side, of the phone's, and of our own address on either.
const OF_THE_PBX: [&str; 5] = ["192.0.2", "SecretPBX", "pbxtag", "pbx-call", "callee1"];
const OF_THE_PHONE: [&str; 8] = [
    "10.9.8.7",
    "198.18.0.5",
    "203.0.113",
    "register-alice",
    "phonetag",
    "nonce",
    "Phone 1.0",
    REALM,
];

#[track_caller]
fn hides(sent: &Sent, secrets: &[&str]) {
    for secret in secrets {
        assert!(!sent.text.contains(secret), "{secret} in {}", sent.text);
    }
}

fn world() -> World {
    World::with(with_phones)
}

/// A watching phone, and what both sides have said.
struct Watch {
    phone: Phone,
    /// Our SUBSCRIBE at the phone system.
    subscribe: Sent,
    /// CSeq of the phone system's NOTIFYs.
    cseq: u32,
    tag: &'static str,
}

const DIALOG_INFO: &str = "<?xml version=\"1.0\"?>\n<dialog-info version=\"0\" state=\"full\" \
    entity=\"sip:7002@192.0.2.10\"><dialog id=\"pbx-call@192.0.2.10\" call-id=\"pbx-call@192.0.2.10\" \
    local-tag=\"pbxtag\" direction=\"recipient\"><state>early</state><local><target \
    uri=\"sip:7002@10.3.2.1:5070;transport=tcp\"/></local></dialog></dialog-info>\n";

impl Watch {
    /// Alice subscribes to 7002; the phone system has not answered.
    #[track_caller]
    fn asked(world: &mut World, more: &str) -> Watch {
        let mut phone = Phone::new(ALICE, "alice");
        let headers = format!(
            "Contact: {}\r\nEvent: dialog;id=9\r\nAccept: application/dialog-info+xml\r\n{more}",
            phone.contact
        );
        let uri = format!("sip:7002@{REALM}");
        let request = phone.request("SUBSCRIBE", &uri, &format!("<{uri}>"), &headers, None);
        world.deliver(ALICE, &request);
        let challenge = world.take(ALICE, "407");
        let again = phone.answer(&request, &challenge, 1);
        world.deliver(ALICE, &again);
        let subscribe = world.take(PBX, "SUBSCRIBE");
        Watch {
            phone,
            subscribe,
            cseq: 0,
            tag: "callee1",
        }
    }

    /// Alice watches 7002 for `seconds`; her 200.
    #[track_caller]
    fn begun(world: &mut World, seconds: u32) -> (Watch, Sent) {
        let watch = Watch::asked(world, &format!("Expires: {seconds}\r\n"));
        watch.grant(world, &watch.subscribe, seconds);
        let ok = world.take(ALICE, "200");
        (watch, ok)
    }

    fn grant(&self, world: &mut World, subscribe: &Sent, seconds: u32) {
        let answer = subscribe.answer("200 OK", PBX, None);
        let expires = format!("Expires: {seconds}\r\nServer");
        world.deliver(PBX, &answer.replace("Server", &expires));
    }

    /// A NOTIFY of the phone system.
    fn notify(&mut self, state: &str, body: Option<&str>) -> String {
        self.cseq += 1;
        let subscribe = &self.subscribe;
        let contact = subscribe.header(HeaderName::Contact);
        let body = body_of(body).replace("application/sdp", "application/dialog-info+xml");
        format!(
            "NOTIFY {} SIP/2.0\r\nVia: SIP/2.0/UDP {PBX};branch=z9hG4bKn{}{}\r\nMax-Forwards: 70\r\n\
             From: <sip:7002@192.0.2.10>;tag={}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} NOTIFY\r\n\
             Contact: <sip:7002@{PBX}>\r\nEvent: dialog\r\nSubscription-State: {state}\r\n\
             User-Agent: SecretPBX 9.9\r\n{body}",
            contact.trim_matches(['<', '>']),
            self.tag,
            self.cseq,
            self.tag,
            subscribe.header(HeaderName::From),
            subscribe.header(HeaderName::CallId),
            self.cseq,
        )
    }

    /// A SUBSCRIBE of the phone inside its dialog.
    fn refresh(&mut self, ok: &Sent, expires: u32) -> String {
        let contact = ok.header(HeaderName::Contact);
        let more = format!(
            "Contact: {}\r\nEvent: dialog;id=9\r\nExpires: {expires}\r\n",
            self.phone.contact
        );
        let uri = contact.trim_matches(['<', '>']).to_owned();
        let to = ok.header(HeaderName::To);
        self.phone.request("SUBSCRIBE", &uri, &to, &more, None)
    }
}

/// The phone's answer.
fn answer(request: &Sent, status: &str) -> String {
    request.answer(status, "10.9.8.7:5062", None)
}

#[test]
fn a_subscription_is_two_dialogs_and_nothing_of_one_is_in_the_other_rfc6665_4_1_2() {
    let mut world = world();
    let (mut watch, ok) = Watch::begun(&mut world, 600);
    let subscribe = &watch.subscribe;
    assert_eq!(subscribe.request_uri(), "sip:7002@192.0.2.10");
    assert!(
        subscribe
            .header(HeaderName::From)
            .starts_with("<sip:alice@192.0.2.10>;tag=")
    );
    assert_eq!(subscribe.header(HeaderName::Event), "dialog");
    assert_eq!(subscribe.header(HeaderName::Expires), "600");
    assert_eq!(
        subscribe.header(HeaderName::Accept),
        "application/dialog-info+xml"
    );
    assert_eq!(
        subscribe.header(HeaderName::Contact),
        "<sip:192.0.2.2:5060>"
    );
    hides(subscribe, &OF_THE_PHONE);
    assert_eq!(ok.header(HeaderName::Expires), "600");
    hides(&ok, &OF_THE_PBX);
    let notify = watch.notify("active;expires=590", Some(DIALOG_INFO));
    world.deliver(PBX, &notify);
    let told = world.take(ALICE, "NOTIFY sip:alice@10.9.8.7:5062");
    hides(&told, &OF_THE_PBX);
    hides(&told, &["10.3.2.1", "call-id", "local-tag"]);
    assert_eq!(told.header(HeaderName::Event), "dialog;id=9");
    assert_eq!(
        told.header(HeaderName::SubscriptionState),
        "active;expires=590"
    );
    assert_eq!(told.header(HeaderName::From), ok.header(HeaderName::To));
    assert!(told.body().contains("entity=\"sip:7002@summit.example\""));
    assert!(told.body().contains("<state>early</state>"));
    // The phone system is answered when the phone has answered, not before.
    world.nothing_sent();
    world.deliver(ALICE, &answer(&told, "200 OK"));
    let ok = world.take(PBX, "200");
    hides(&ok, &OF_THE_PHONE);
    world.nothing_sent();
    assert_eq!(world.core.counters().subscriptions_active, 1);
    assert_eq!(world.core.counters().notifies_relayed, 1);
}

#[test]
fn a_notify_before_the_answer_makes_the_dialog_rfc6665_4_4_1() {
    let mut world = world();
    let mut watch = Watch::asked(&mut world, "Expires: 600\r\n");
    let notify = watch.notify("active;expires=300", Some(DIALOG_INFO));
    world.deliver(PBX, &notify);
    let ok = world.take(ALICE, "200");
    assert_eq!(ok.header(HeaderName::Expires), "300");
    let told = world.take(ALICE, "NOTIFY");
    assert_eq!(told.header(HeaderName::From), ok.header(HeaderName::To));
    world.deliver(ALICE, &answer(&told, "200 OK"));
    world.take(PBX, "200");
    // The answer itself then says nothing new to the phone.
    watch.grant(&mut world, &watch.subscribe, 300);
    world.nothing_sent();
    // A refresh goes into the dialog that the NOTIFY made.
    let refresh = watch.refresh(&ok, 300);
    world.deliver(ALICE, &refresh);
    let again = world.take(PBX, "SUBSCRIBE sip:callee@192.0.2.10:5060");
    assert!(again.header(HeaderName::To).ends_with(";tag=callee1"));
    assert_eq!(again.header(HeaderName::CSeq), "2 SUBSCRIBE");
}

#[test]
fn of_a_forked_subscribe_the_first_notifier_has_the_subscription_rfc6665_4_4_1() {
    let mut world = world();
    let mut watch = Watch::asked(&mut world, "");
    let first = watch.notify("active;expires=300", None);
    world.deliver(PBX, &first);
    world.take(ALICE, "200");
    world.take(ALICE, "NOTIFY");
    for tag in ["othertag1", "othertag2"] {
        watch.tag = tag;
        let other = watch.notify("active;expires=300", None);
        world.deliver(PBX, &other);
        world.take(PBX, "481");
    }
    world.nothing_sent();
    assert_eq!(world.core.counters().subscriptions_active, 1);
}

#[test]
fn a_notify_that_nobody_subscribed_to_is_481_rfc6665_4_1_3() {
    let mut world = world();
    let (mut watch, _) = Watch::begun(&mut world, 600);
    let notify = watch.notify("active", None);
    let to = watch.subscribe.header(HeaderName::To);
    let from = watch.subscribe.header(HeaderName::From);
    // Without a tag; with somebody's; with ours and another Call-ID; from somebody else.
    let call_id = watch.subscribe.header(HeaderName::CallId);
    world.deliver(
        PBX,
        &notify.replace(&format!("To: {from}"), &format!("To: {to}")),
    );
    world.take(PBX, "481");
    let mut forged = notify.replace(&format!("To: {from}"), &format!("To: {to};tag=guess"));
    forged = forged.replace("z9hG4bKn", "z9hG4bKo");
    world.deliver(PBX, &forged);
    world.take(PBX, "481");
    let other = notify
        .replace(&call_id, "another-call-id")
        .replace("z9hG4bKn", "z9hG4bKp");
    world.deliver(PBX, &other);
    world.take(PBX, "481");
    world.deliver(CARRIER, &notify);
    world.take(CARRIER, "481");
    world.nothing_sent();
}

#[test]
fn a_refresh_lasts_and_is_never_longer_than_asked_rfc6665_4_1_2_2() {
    let mut world = world();
    let (mut watch, ok) = Watch::begun(&mut world, 600);
    world.pass(Duration::from_secs(500));
    let refresh = watch.refresh(&ok, 600);
    world.deliver(ALICE, &refresh);
    let again = world.take(PBX, "SUBSCRIBE");
    assert_eq!(again.header(HeaderName::CSeq), "2 SUBSCRIBE");
    hides(&again, &OF_THE_PHONE);
    watch.grant(&mut world, &again, 7200);
    let ok = world.take(ALICE, "200");
    assert_eq!(ok.header(HeaderName::Expires), "600");
    world.pass(Duration::from_secs(590));
    world.nothing_sent();
    let notify = watch.notify("active", None);
    world.deliver(PBX, &notify);
    world.take(ALICE, "NOTIFY");
}

#[test]
fn a_subscription_that_is_not_refreshed_ends_on_both_sides_rfc6665_4_2_2() {
    let mut world = world();
    let (mut watch, ok) = Watch::begun(&mut world, 600);
    world.pass(Duration::from_secs(640));
    let told = world.take(ALICE, "NOTIFY");
    assert_eq!(
        told.header(HeaderName::SubscriptionState),
        "terminated;reason=timeout"
    );
    world.deliver(ALICE, &answer(&told, "200 OK"));
    world.sent.clear();
    let notify = watch.notify("active", None);
    world.deliver(PBX, &notify);
    world.take(PBX, "481");
    let refresh = watch.refresh(&ok, 600);
    world.deliver(ALICE, &refresh);
    world.take(ALICE, "481");
    assert_eq!(world.core.counters().subscriptions_active, 0);
    world.all_over();
}

#[test]
fn an_end_is_asked_for_and_told_rfc6665_4_1_2_3() {
    let mut world = world();
    let (mut watch, ok) = Watch::begun(&mut world, 600);
    let end = watch.refresh(&ok, 0);
    world.deliver(ALICE, &end);
    let end = world.take(PBX, "SUBSCRIBE");
    assert_eq!(end.header(HeaderName::Expires), "0");
    watch.grant(&mut world, &end, 0);
    let ok = world.take(ALICE, "200");
    assert_eq!(ok.header(HeaderName::Expires), "0");
    let notify = watch.notify("terminated;reason=timeout", Some(DIALOG_INFO));
    world.deliver(PBX, &notify);
    let told = world.take(ALICE, "NOTIFY");
    assert_eq!(
        told.header(HeaderName::SubscriptionState),
        "terminated;reason=timeout"
    );
    world.deliver(ALICE, &answer(&told, "200 OK"));
    world.take(PBX, "200");
    assert_eq!(world.core.counters().subscriptions_active, 0);
    world.all_over();
}

#[test]
fn a_phone_that_is_gone_ends_its_subscription_rfc6665_4_2_2() {
    for gone in ["481 Gone", ""] {
        let mut world = world();
        let (mut watch, _) = Watch::begun(&mut world, 600);
        let notify = watch.notify("active", None);
        world.deliver(PBX, &notify);
        let told = world.take(ALICE, "NOTIFY");
        match gone {
            // The phone system's own timer has run as well, and 408 is never sent.
            "" => world.pass(Duration::from_secs(33)),
            status => {
                world.deliver(ALICE, &answer(&told, status));
                world.take(PBX, "481");
            }
        }
        assert!(!world.sent.iter().any(|sent| sent.is("408")));
        world.sent.clear();
        let notify = watch.notify("active", None);
        world.deliver(PBX, &notify);
        world.take(PBX, "481");
        assert_eq!(world.core.counters().subscriptions_active, 0);
    }
}

#[test]
fn a_refusal_crosses_without_its_words_and_leaves_nothing() {
    for (status, told) in [
        ("403 Forbidden", "403"),
        ("404 Not Found", "404"),
        ("408 Request Timeout", "480"),
        ("481 Gone", "480"),
        ("302 Moved", "480"),
        ("489 Bad Event", "489"),
    ] {
        let mut world = world();
        let watch = Watch::asked(&mut world, "");
        let refusal = watch.subscribe.answer(status, PBX, None);
        world.deliver(PBX, &refusal);
        let refusal = world.take(ALICE, told);
        hides(&refusal, &OF_THE_PBX);
        assert_eq!(world.core.counters().subscriptions_active, 0);
        world.all_over();
    }
}

#[test]
fn what_is_not_carried_is_refused_and_said_why_rfc6665_4_2_1_1() {
    let mut world = World::with(|plan| {
        with_phones(plan);
        plan.peers[1].methods.events = vec![Package::MessageSummary];
    });
    let mut phone = Phone::new(ALICE, "alice");
    let uri = format!("sip:7002@{REALM}");
    let mut ask = |world: &mut World, more: &str| {
        let more = format!("Contact: {}\r\n{more}", phone.contact);
        let request = phone.request("SUBSCRIBE", &uri, &format!("<{uri}>"), &more, None);
        phone.send(world, &request)
    };
    let refused = ask(&mut world, "Event: dialog\r\n");
    assert!(refused.is("489"), "{refused:#?}");
    assert!(
        refused
            .header(HeaderName::AllowEvents)
            .contains("message-summary")
    );
    assert!(ask(&mut world, "Event: reg\r\n").is("489"));
    assert!(ask(&mut world, "").is("489"));
    let brief = ask(&mut world, "Event: message-summary\r\nExpires: 5\r\n");
    assert!(brief.is("423"), "{brief:#?}");
    assert_eq!(brief.header(HeaderName::MinExpires), "60");
    assert!(ask(&mut world, "Event: message-summary\r\nExpires: soon\r\n").is("400"));
    world.nothing_sent();
    // From a phone system or a carrier nothing of the kind is taken.
    let mut caller = Caller::new(PBX, "alice");
    world.deliver(PBX, &caller.request("SUBSCRIBE", None));
    let refused = world.take(PBX, "405");
    assert!(refused.header(HeaderName::Allow).contains("NOTIFY"));
    assert!(!refused.header(HeaderName::Allow).contains("SUBSCRIBE"));
    world.all_over();
}

#[test]
fn a_stranger_to_the_subscription_cannot_use_its_tag() {
    let mut world = world();
    let (mut watch, ok) = Watch::begun(&mut world, 600);
    let refresh = watch.refresh(&ok, 0);
    world.deliver(BOB, &refresh);
    world.take(BOB, "481");
    world.nothing_sent();
    assert_eq!(world.core.counters().subscriptions_active, 1);
}

#[test]
fn a_user_watches_a_bounded_number_of_others() {
    let mut world = world();
    let mut phone = Phone::new(ALICE, "alice");
    for number in 0..256 {
        phone.call_id = format!("watch-{number}");
        let uri = format!("sip:{number}@{REALM}");
        let more = format!("Contact: {}\r\nEvent: dialog\r\n", phone.contact);
        let request = phone.request("SUBSCRIBE", &uri, &format!("<{uri}>"), &more, None);
        assert!(phone.send(&mut world, &request).is("SUBSCRIBE"));
    }
    assert_eq!(world.core.counters().subscriptions_active, 256);
    phone.call_id = "one-more".into();
    let uri = format!("sip:one@{REALM}");
    let more = format!("Contact: {}\r\nEvent: dialog\r\n", phone.contact);
    let request = phone.request("SUBSCRIBE", &uri, &format!("<{uri}>"), &more, None);
    assert!(phone.send(&mut world, &request).is("503"));
    // A phone system that never answers keeps nothing of it for longer than its transaction.
    world.pass(Duration::from_secs(70));
    assert_eq!(world.core.counters().subscriptions_active, 0);
    world.sent.clear();
    world.all_over();
}

#[test]
fn notifies_that_a_phone_does_not_answer_are_bounded() {
    let mut world = world();
    let (mut watch, _) = Watch::begun(&mut world, 600);
    for _ in 0..4 {
        let notify = watch.notify("active", None);
        world.deliver(PBX, &notify);
        world.take(ALICE, "NOTIFY");
    }
    let notify = watch.notify("active", None);
    world.deliver(PBX, &notify);
    let later = world.take(PBX, "503");
    assert_eq!(later.header(HeaderName::RetryAfter), "2");
    world.nothing_sent();
}

#[test]
fn a_document_of_another_kind_or_none_that_can_be_read_does_not_cross() {
    let mut world = world();
    let (mut watch, _) = Watch::begun(&mut world, 600);
    let notify = watch.notify("active", Some("<dialog id=\"192.0.2.10"));
    world.deliver(PBX, &notify);
    world.take(PBX, "400");
    let notify = watch.notify("active", Some(DIALOG_INFO));
    world.deliver(PBX, &notify.replace("dialog-info+xml", "sdp"));
    let refused = world.take(PBX, "415");
    assert!(
        refused
            .header(HeaderName::Accept)
            .contains("application/dialog-info+xml")
    );
    let long = format!("<a>{}</a>", "x".repeat(20_000));
    let notify = watch.notify("active", Some(&long));
    world.deliver(PBX, &notify);
    world.take(PBX, "413");
    let notify = watch.notify("active", None);
    world.deliver(PBX, &notify.replace("Event: dialog", "Event: presence"));
    world.take(PBX, "489");
    world.nothing_sent();
}

const PIDF: &str = "<presence entity=\"pres:alice@summit.example\"><tuple id=\"a\"><contact>sip:alice\
    @10.9.8.7:5062</contact><note>at 198.18.0.5</note></tuple></presence>";

fn publish(phone: &mut Phone, user: &str, more: &str, body: Option<&str>) -> String {
    let uri = format!("sip:{user}@{REALM}");
    let more = format!("Event: presence\r\n{more}");
    let request = phone.request("PUBLISH", &uri, &format!("<{uri}>"), &more, body);
    request.replace("application/sdp", "application/pidf+xml")
}

#[test]
fn a_publication_lives_at_the_phone_system_rfc3903_4() {
    let mut world = world();
    let mut phone = Phone::new(ALICE, "alice");
    let request = publish(&mut phone, "alice", "Expires: 300\r\n", Some(PIDF));
    let sent = phone.send(&mut world, &request);
    assert_eq!(sent.start(), "PUBLISH sip:alice@192.0.2.10 SIP/2.0");
    hides(&sent, &OF_THE_PHONE);
    assert!(
        sent.body().contains("sip:alice@192.0.2.10</contact>"),
        "{sent:#?}"
    );
    let answer = sent.answer("200 OK", PBX, None);
    let answer = answer.replace("Server", "SIP-ETag: abc-1\r\nExpires: 240\r\nServer");
    world.deliver(PBX, &answer);
    let ok = world.take(ALICE, "200");
    hides(&ok, &OF_THE_PBX);
    assert_eq!(ok.header(HeaderName::SipETag), "abc-1");
    assert_eq!(ok.header(HeaderName::Expires), "240");
    // Refreshed, without a document.
    let request = publish(&mut phone, "alice", "SIP-If-Match: abc-1\r\n", None);
    let sent = phone.send(&mut world, &request);
    assert_eq!(sent.header(HeaderName::SipIfMatch), "abc-1");
    world.deliver(PBX, &sent.answer("412 Gone", PBX, None));
    world.take(ALICE, "412");
    // Nothing to publish; for somebody else.
    let request = publish(&mut phone, "alice", "", None);
    assert!(phone.send(&mut world, &request).is("400"));
    let request = publish(&mut phone, "bob", "", Some(PIDF));
    assert!(phone.send(&mut world, &request).is("403"));
    world.nothing_sent();
    world.all_over();
}

/// A MESSAGE of a phone.
fn text(phone: &mut Phone, user: &str) -> String {
    let uri = format!("sip:{user}@{REALM}");
    let request = phone.request("MESSAGE", &uri, &format!("<{uri}>"), "", Some("hello"));
    request.replace("application/sdp", "text/plain")
}

#[test]
fn a_phone_texts_the_phone_system_and_another_phone_and_is_texted_rfc3428_4() {
    let mut world = World::with(|plan| {
        with_phones(plan);
        for peer in &mut plan.peers {
            peer.methods.messages = true;
        }
    });
    let mut alice = Phone::registered(ALICE, "alice", &mut world);
    let request = text(&mut alice, "7002");
    let sent = alice.send(&mut world, &request);
    assert_eq!(sent.start(), "MESSAGE sip:7002@192.0.2.10 SIP/2.0");
    assert_eq!(sent.body(), "hello");
    assert!(
        sent.header(HeaderName::From)
            .starts_with("<sip:alice@192.0.2.2>")
    );
    hides(&sent, &OF_THE_PHONE);
    world.deliver(PBX, &sent.answer("202 Accepted", PBX, None));
    hides(&world.take(ALICE, "202"), &OF_THE_PBX);
    // Another phone.
    let bob = Phone::registered(BOB, "bob", &mut world);
    let request = text(&mut alice, "bob");
    let sent = alice.send(&mut world, &request);
    assert_eq!(sent.to, BOB.parse().unwrap());
    assert_eq!(sent.request_uri(), bob.contact.trim_matches(['<', '>']));
    world.deliver(BOB, &sent.answer("200 OK", "10.9.8.7", None));
    world.take(ALICE, "200");
    // From the phone system.
    let mut sender = Caller::new(PBX, "alice");
    let request = sender.request("MESSAGE", Some("hi"));
    world.deliver(PBX, &request.replace("application/sdp", "text/plain"));
    let sent = world.take(ALICE, "MESSAGE sip:alice@10.9.8.7:5062");
    hides(&sent, &OF_THE_PBX);
    world.nothing_sent();
}

#[test]
fn texts_of_phones_are_off_unless_they_are_wanted() {
    let mut world = world();
    let mut alice = Phone::registered(ALICE, "alice", &mut world);
    let request = text(&mut alice, "7002");
    assert!(alice.send(&mut world, &request).is("405"));
    world.nothing_sent();
}

#[test]
fn a_registered_phone_asks_whether_we_are_there_and_is_not_challenged_rfc3261_11() {
    let mut world = world();
    let mut alice = Phone::registered(ALICE, "alice", &mut world);
    let uri = format!("sip:{REALM}");
    let ping = alice.request("OPTIONS", &uri, &format!("<{uri}>"), "", None);
    world.deliver(ALICE, &ping);
    let ok = world.take(ALICE, "200");
    assert!(ok.header(HeaderName::Allow).contains("SUBSCRIBE, PUBLISH"));
    // From anywhere else it shows its password first.
    world.deliver(BOB, &ping);
    world.take(BOB, "407");
    world.nothing_sent();
}

#[test]
fn a_challenge_of_the_phone_system_is_answered_and_the_dialog_keeps_count() {
    use ringfence_base::Secret;
    let mut world = World::with(|plan| {
        with_phones(plan);
        plan.peers[1].account = Some(std::sync::Arc::new(ringfence_session::account::Account {
            username: "edge".into(),
            password: Secret::new(b"s3cret".to_vec()),
            realm: None,
            registration: None,
        }));
    });
    let mut watch = Watch::asked(&mut world, "");
    let challenge = watch.subscribe.answer("401 Unauthorized", PBX, None);
    let digest = "WWW-Authenticate: Digest realm=\"pbx\", nonce=\"n\", qop=\"auth\"\r\nServer";
    world.deliver(PBX, &challenge.replace("Server", digest));
    watch.subscribe = world.take(PBX, "SUBSCRIBE");
    assert_eq!(watch.subscribe.header(HeaderName::CSeq), "2 SUBSCRIBE");
    watch.grant(&mut world, &watch.subscribe, 600);
    let ok = world.take(ALICE, "200");
    let refresh = watch.refresh(&ok, 600);
    world.deliver(ALICE, &refresh);
    let again = world.take(PBX, "SUBSCRIBE");
    assert_eq!(again.header(HeaderName::CSeq), "3 SUBSCRIBE");
}

#[test]
fn a_user_that_is_taken_out_of_the_plan_watches_no_more() {
    let mut world = world();
    let (mut watch, ok) = Watch::begun(&mut world, 600);
    let mut next = plan();
    with_phones(&mut next);
    next.peers[2].methods.events.clear();
    next.adopt_usage(&world.plan);
    let next = std::sync::Arc::new(next);
    world.input(Input::Plan(&next));
    let refresh = watch.refresh(&ok, 600);
    world.deliver(ALICE, &refresh);
    world.take(ALICE, "403");
    let notify = watch.notify("active", None);
    world.deliver(PBX, &notify);
    world.take(PBX, "481");
    world.nothing_sent();
}

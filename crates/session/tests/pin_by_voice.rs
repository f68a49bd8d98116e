//! A stopped call's caller is asked for the PIN by voice (RFC 4733, ITU-T Q.23): who knows it is put
//! through, a guesser is locked out of both ways, and help is never asked for one.

mod support;

use std::sync::Arc;
use std::time::Duration;

use ringfence_base::Secret;
use ringfence_detect::fraud::destinations::Country;
use ringfence_detect::fraud::policy::{Mode, Policy, Rule};
use ringfence_media::{SocketIndex, TAIL};
use ringfence_rtp::RtpView;
use ringfence_session::cdr::{EndedBy, Outcome};
use ringfence_session::core::Input;
use ringfence_session::line_guard::LinesMode;
use ringfence_session::pin_question::ASKED_MAX;
use ringfence_session::plan::Plan;
use ringfence_session::refusal::RefusalReason;
use ringfence_session::screening::VoicePolicy;
use ringfence_session::spend::Guard;
use support::*;

const SATELLITE: &str = "+881612345678";
const PIN: &str = "493817";
/// Where the phone system's sound comes from.
const SOUND: &str = "192.0.2.11:9000";
const CARRIER_SOUND: &str = "198.51.100.21:7000";

const ASK: u8 = 0x90;
const AGAIN: u8 = 0x91;
const REFUSED: u8 = 0x92;
const THANKS: u8 = 0x93;

/// A prompt that is one byte of µ-law over and over, so that a test knows what is said.
fn prompt(byte: u8) -> Vec<u8> {
    let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x07\0\x01\0".to_vec();
    file.extend(8_000_u32.to_le_bytes());
    file.extend([0, 0, 0, 0, 1, 0, 8, 0]);
    file.extend(b"data\xa0\0\0\0");
    file.extend([byte; 160]);
    file
}

fn voice() -> VoicePolicy {
    let mut voice = VoicePolicy::of_country("US");
    for (name, byte) in [
        ("pin-ask", ASK),
        ("pin-again", AGAIN),
        ("pin-refused", REFUSED),
        ("thanks", THANKS),
    ] {
        voice.prompts.replace(name, &prompt(byte)).unwrap();
    }
    voice
}

fn world() -> World {
    world_with(|_| {}, |_| {})
}

fn world_with(policy: impl FnOnce(&mut Policy), change: impl FnOnce(&mut Plan)) -> World {
    let mut spending = Policy::of_country(Country::new("US").unwrap());
    spending.mode = Mode::Enforce;
    policy(&mut spending);
    World::with(|plan| {
        plan.tenants[0].spend = Arc::new(Guard::new(spending, Some(Secret::new(PIN.into()))));
        plan.sites[0].policy.pin_voice = Some(Arc::new(voice()));
        change(plan);
    })
}

/// The INVITE of an extension of the phone system.
fn invite(caller: &mut Caller, number: u32, body: &str) -> String {
    caller.call_id = format!("secret-call-{number}");
    let text = caller.request("INVITE", Some(body));
    own(&text).replace("secretbranch", &format!("branch{number}-"))
}

fn own(text: &str) -> String {
    text.replace("+15551234567", "+13305550101")
}

struct Asked {
    world: World,
    caller: Caller,
    ok: Sent,
    seq: u16,
}

/// The phone system calls a satellite, is answered and has acknowledged it.
fn asked() -> Asked {
    asked_in(world(), 0)
}

fn asked_in(world: World, number: u32) -> Asked {
    let mut asked = answered_in(world, number, &sdp("192.0.2.11", 9000, ""));
    asked.acknowledge();
    asked
}

fn answered_in(mut world: World, number: u32, body: &str) -> Asked {
    let mut caller = Caller::new(PBX, SATELLITE);
    world.deliver(PBX, &invite(&mut caller, number, body));
    world.take(PBX, "100");
    let ok = world.take(PBX, "200");
    world.nothing_sent();
    caller.learn(&ok);
    Asked {
        world,
        caller,
        ok,
        seq: 0,
    }
}

impl Asked {
    fn acknowledge(&mut self) {
        let ack = own(&self.caller.request("ACK", None));
        self.world.deliver(PBX, &ack);
    }

    fn bye(&mut self) {
        let bye = own(&self.caller.request("BYE", None));
        self.world.deliver(PBX, &bye);
        self.world.take(PBX, "200");
    }

    /// What the caller hears in so much time: the bytes that differ from silence, each run once.
    fn hear(&mut self, milliseconds: u64) -> Vec<u8> {
        let end = self.world.now + Duration::from_millis(milliseconds);
        let mut heard = Vec::new();
        while let Some(at) = self.world.core.media().voice_due().filter(|at| *at <= end) {
            let step = at.saturating_since(self.world.now);
            self.world.pass(step);
            let (now, mut buf) = (self.world.now, vec![0; 172 + TAIL]);
            while let Some(forward) = self.world.core.media_mut().speak(now, &mut buf) {
                assert_eq!(forward.to, SOUND.parse().unwrap());
                let view = RtpView::parse(&buf[..forward.len]).unwrap();
                heard.extend(view.payload());
            }
        }
        let left = end.saturating_since(self.world.now);
        self.world.pass(left);
        heard.dedup();
        heard.retain(|byte| *byte != 0xff);
        heard
    }

    /// The caller presses keys, which come as telephone events.
    fn press(&mut self, keys: &str) {
        for key in keys.chars() {
            self.world.pass(Duration::from_millis(150));
            let event = ringfence_rtp::telephone_event::event_of_digit(key).unwrap();
            let [hi, lo] = (self.seq + 1).wrapping_mul(800).to_be_bytes();
            // It begins, and it ends.
            for flags in [10, 0x8a] {
                self.seq += 1;
                let seq = self.seq as u8;
                let packet = [
                    0x80, 101, 0, seq, 0, 0, hi, lo, 0, 0, 0, 9, event, flags, 3, 0x20,
                ];
                self.rtp(&packet);
            }
        }
    }

    fn rtp(&mut self, packet: &[u8]) -> Option<String> {
        let port = self.ok.body().split("m=audio ").nth(1).unwrap();
        let port: u32 = port.split(' ').next().unwrap().parse().unwrap();
        let socket = SocketIndex::new(1_000 + port - 30_000);
        let mut buf = packet.to_vec();
        buf.resize(packet.len() + TAIL, 0);
        let (now, from) = (self.world.now, SOUND.parse().unwrap());
        let media = self.world.core.media_mut();
        let forward = media.handle_packet(now, socket, from, &mut buf, packet.len());
        self.world.core.take_pressed(now);
        self.world.pass(Duration::ZERO);
        self.world.flush();
        forward.map(|forward| forward.to.to_string())
    }

    /// The right PIN, and the INVITE that follows.
    fn pass(&mut self) -> Sent {
        self.hear(500);
        self.press(&format!("{PIN}#"));
        self.world.take(CARRIER, "INVITE")
    }

    /// The caller has heard whom to ask, and is hung up on.
    fn is_let_go(&mut self) {
        assert_eq!(self.hear(2_000), [REFUSED]);
        let bye = self.world.take(PBX, "BYE");
        self.world.deliver(PBX, &bye.answer("200 OK", PBX, None));
        // What is said again for want of an answer goes back to the house alone.
        let carrier: std::net::SocketAddr = CARRIER.parse().unwrap();
        assert!(self.world.sent.iter().all(|sent| sent.to != carrier));
        self.world.sent.clear();
        let cdr = self.world.cdrs.last().unwrap();
        assert_eq!((cdr.status, cdr.outcome), (603, Outcome::Refused));
        assert_eq!((cdr.ended_by, cdr.answered), (EndedBy::Edge, None));
    }

    fn last_rule(&self) -> &str {
        &self.world.cdrs.last().expect("a record").rule
    }
}

#[track_caller]
fn refused(world: &mut World, number: u32, status: &str) {
    let mut caller = Caller::new(PBX, SATELLITE);
    let body = sdp("192.0.2.11", 9000, "");
    world.deliver(PBX, &invite(&mut caller, number, &body));
    world.take(PBX, status);
    world.nothing_sent();
}

#[test]
fn who_knows_the_pin_is_put_through_and_nobody_else_sees_it() {
    let mut asked = asked();
    assert!(!asked.ok.body().contains("secret"), "{}", asked.ok.body());
    assert_eq!(asked.hear(500), [ASK]);
    let usage = &asked.world.plan.peers[0].usage;
    assert_eq!(usage.calls(), 0, "no channel of the trunk while it asks");
    assert_eq!(asked.world.plan.sites[0].usage.calls(), 0);
    asked.press(&format!("{PIN}#"));
    let invite = asked.world.take(CARRIER, "INVITE");
    assert!(invite.request_uri().starts_with("sip:+881612345678@"));
    assert_eq!(asked.world.plan.peers[0].usage.calls(), 1);
    assert_eq!(asked.hear(60).first(), Some(&THANKS));
    assert!(asked.hear(1_000).len() > 100, "it rings");
    asked.world.sent.retain(|sent| !sent.is("INVITE"));
    let body = sdp("198.51.100.21", 7000, "");
    let answer = invite.answer("200 OK", CARRIER, Some(&body));
    asked.world.deliver(CARRIER, &answer);
    asked.world.take(CARRIER, "ACK");
    asked.world.nothing_sent();
    let packet = [&[0x80, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 9][..], &[0x55; 160]].concat();
    assert_eq!(asked.rtp(&packet), Some(CARRIER_SOUND.to_owned()));

    let id = asked.world.core.calls()[0].id;
    for entry in asked.world.core.ladder(id) {
        let text = String::from_utf8_lossy(&entry.text).into_owned();
        assert!(!text.contains(PIN), "{text}");
    }
    assert!(!format!("{:?}", asked.world.events).contains(PIN));
    asked.bye();
    let bye = asked.world.take(CARRIER, "BYE");
    asked
        .world
        .deliver(CARRIER, &bye.answer("200 OK", CARRIER, None));
    let cdr = asked.world.cdrs.last().unwrap();
    assert_eq!((cdr.outcome, cdr.status), (Outcome::Answered, 200));
    let rule = asked.last_rule();
    assert!(
        rule.contains("(stopped: a satellite number, about 5.00 USD a minute: nobody")
            && rule.contains("; asked for the PIN by voice) (the PIN was right)"),
        "{rule}"
    );
    assert!(!rule.contains(PIN) && !rule.contains("Dial"), "{rule}");
    let counters = asked.world.core.counters();
    assert_eq!((counters.pins_asked, counters.pins_right), (1, 1));
    let status = asked.world.plan.tenants[0]
        .spend
        .status(asked.world.core_time());
    let status = status.unwrap();
    assert_eq!(status.counts.pins, 1, "as a dialled PIN");
    asked.world.all_over();
}

#[test]
fn a_pin_without_its_hash_is_taken_after_a_while() {
    let mut asked = asked();
    asked.hear(500);
    asked.press(PIN);
    asked.world.nothing_sent();
    asked.hear(5_000);
    asked.world.take(CARRIER, "INVITE");
}

#[test]
fn a_star_begins_again_and_a_lone_hash_is_no_try() {
    let mut asked = asked();
    asked.hear(500);
    asked.press(&format!("###12*{PIN}#"));
    asked.world.take(CARRIER, "INVITE");
    assert_eq!(asked.world.core.counters().pins_right, 1);
}

#[test]
fn wrong_pins_are_taken_three_times_and_then_it_ends() {
    let mut asked = asked();
    for wrong in ["000000#", "49381#"] {
        asked.hear(500);
        asked.press(wrong);
        assert_eq!(asked.hear(500), [AGAIN]);
    }
    asked.press(&format!("{PIN}00000000000000000#"));
    asked.is_let_go();
    let rule = asked.last_rule();
    assert!(rule.ends_with("by voice) (wrong PINs)"), "{rule}");
    let refused = asked.world.core.counters().refused[RefusalReason::Pin as usize];
    assert_eq!(refused, 3);
    asked.world.all_over();
}

#[test]
fn wrong_pins_lock_the_spoken_and_the_dialled_way_together() {
    let mut asked = asked();
    for _ in 0..3 {
        asked.hear(500);
        asked.press("000000#");
    }
    asked.is_let_go();
    let mut world = asked.world;
    // Two more, dialled: that makes five.
    for number in 1..3 {
        let mut caller = Caller::new(PBX, &format!("*000000*{SATELLITE}"));
        let body = sdp("192.0.2.11", 9000, "");
        world.deliver(PBX, &invite(&mut caller, number, &body));
        world.take(PBX, "403");
    }
    // The right one is not taken any more, and is not asked for.
    let mut caller = Caller::new(PBX, &format!("*{PIN}*{SATELLITE}"));
    let body = sdp("192.0.2.11", 9000, "");
    world.deliver(PBX, &invite(&mut caller, 3, &body));
    world.take(PBX, "403");
    refused(&mut world, 4, "603");
    world.pass(Duration::from_secs(16 * 60));
    world.sent.clear();
    let mut later = asked_in(world, 5);
    later.pass();
}

#[test]
fn the_fifth_wrong_pin_ends_the_question_at_once() {
    let mut world = world();
    for number in 1..4 {
        let mut caller = Caller::new(PBX, &format!("*000000*{SATELLITE}"));
        let body = sdp("192.0.2.11", 9000, "");
        world.deliver(PBX, &invite(&mut caller, number, &body));
        world.take(PBX, "403");
    }
    let mut asked = asked_in(world, 4);
    asked.hear(500);
    asked.press("000000#");
    assert_eq!(asked.hear(500), [AGAIN]);
    asked.press("000000#");
    asked.is_let_go();
    assert!(asked.last_rule().ends_with("(too many wrong PINs)"));
}

#[test]
fn silence_ends_after_half_a_minute() {
    let mut asked = asked();
    let began = asked.world.now;
    assert_eq!(asked.hear(29_000), [ASK]);
    assert_eq!(asked.world.core.calls().len(), 1);
    asked.is_let_go();
    assert!(asked.world.now - began < Duration::from_secs(33));
    assert!(asked.last_rule().ends_with("(no PIN came)"));
    asked.world.all_over();
}

#[test]
fn tones_in_the_sound_are_heard_as_well_q23() {
    let body = sdp("192.0.2.11", 9000, "")
        .replace(" 101", "")
        .replace("a=rtpmap:101 telephone-event/8000\r\n", "");
    let mut asked = answered_in(world(), 0, &body);
    asked.acknowledge();
    asked.hear(500);
    let mut timestamp = 0_u32;
    for key in PIN.chars().chain(['#']) {
        let [low, high] = ringfence_rtp::tone::Tone::dtmf(key, 6_000, 8_000).unwrap();
        let sound: Vec<i16> = low.zip(high).map(|(a, b)| a + b).take(800).collect();
        for chunk in sound.chunks(160).chain([&[0; 160][..]; 4]) {
            asked.seq += 1;
            let mut packet = vec![0x80, 0];
            packet.extend(asked.seq.to_be_bytes());
            packet.extend(timestamp.to_be_bytes());
            packet.extend([0, 0, 0, 9]);
            packet.extend(chunk.iter().map(|it| ringfence_rtp::g711::encode_ulaw(*it)));
            timestamp += 160;
            asked.world.pass(Duration::from_millis(20));
            asked.rtp(&packet);
        }
    }
    asked.world.take(CARRIER, "INVITE");
}

#[test]
fn an_emergency_call_is_never_asked() {
    let mut world = world_with(
        |policy| policy.deny = vec![Rule::Prefix("9".into())],
        |_| {},
    );
    let mut caller = Caller::new(PBX, "911");
    let body = sdp("192.0.2.11", 9000, "");
    world.deliver(PBX, &invite(&mut caller, 0, &body));
    world.take(PBX, "100");
    world.take(CARRIER, "INVITE");
    world.nothing_sent();
    assert_eq!(world.core.counters().pins_asked, 0);
}

#[test]
fn what_the_tenant_denies_stays_denied() {
    let deny = vec![Rule::Prefix("8816".into())];
    let mut world = world_with(|policy| policy.deny = deny, |_| {});
    refused(&mut world, 0, "603");
}

#[test]
fn without_a_voice_or_without_g711_a_stopped_call_is_refused() {
    let mut world = world_with(|_| {}, |plan| plan.sites[0].policy.pin_voice = None);
    refused(&mut world, 0, "603");

    let mut world = self::world();
    let mut caller = Caller::new(PBX, SATELLITE);
    let body = sdp("192.0.2.11", 9000, "").replace("RTP/AVP 0 101", "RTP/AVP 18 101");
    world.deliver(PBX, &invite(&mut caller, 0, &body));
    let answer = world.take(PBX, "603");
    assert!(answer.text.contains("dial *PIN*number"), "{}", answer.text);
    world.nothing_sent();
    assert!(
        world.cdrs[0]
            .rule
            .starts_with("refused: a satellite number")
    );
    assert_eq!(world.core.counters().pins_asked, 0);
    world.all_over();
}

#[test]
fn who_hangs_up_while_asked_is_gone_and_nobody_was_called() {
    let mut asked = asked();
    asked.hear(500);
    asked.press("49");
    asked.bye();
    asked.world.nothing_sent();
    let cdr = asked.world.cdrs.last().unwrap();
    assert_eq!(
        (cdr.outcome, cdr.ended_by),
        (Outcome::Cancelled, EndedBy::Caller)
    );
    asked.world.all_over();
}

#[test]
fn a_trunk_that_refuses_ends_the_call_with_its_cause() {
    let mut asked = asked();
    let invite = asked.pass();
    asked
        .world
        .deliver(CARRIER, &invite.answer("486 Busy Here", CARRIER, None));
    asked.world.take(CARRIER, "ACK");
    let bye = asked.world.take(PBX, "BYE");
    asked.world.deliver(PBX, &bye.answer("200 OK", PBX, None));
    let cdr = asked.world.cdrs.last().unwrap();
    assert_eq!((cdr.outcome, cdr.status), (Outcome::Busy, 486));
    asked.world.nothing_sent();
    asked.world.all_over();
}

#[test]
fn only_so_many_are_asked_at_once() {
    let mut world = world();
    for number in 0..ASKED_MAX {
        world = asked_in(world, number).world;
    }
    refused(&mut world, 99, "603");
    let id = world.core.calls()[0].id;
    world.input(Input::HangUp(id));
    world.take(PBX, "BYE");
    asked_in(world, 100);
}

#[test]
fn a_right_pin_needs_a_channel_like_every_call() {
    let mut asked = asked_in(world_with(|_| {}, |plan| plan.peers[0].channels = 1), 0);
    let mut other = Caller::new(PBX, "+15550001111");
    let body = sdp("192.0.2.11", 9100, "");
    asked.world.deliver(PBX, &invite(&mut other, 7, &body));
    asked.world.take(PBX, "100");
    asked.world.take(CARRIER, "INVITE");
    asked.press(&format!("{PIN}#"));
    assert_eq!(asked.hear(1_000), [REFUSED]);
    let rule = asked.last_rule();
    assert!(
        rule.ends_with("(the PIN was right, but no channel is left)"),
        "{rule}"
    );
}

#[test]
fn a_call_that_is_asked_keeps_no_line_from_others() {
    let world = world_with(
        |_| {},
        |plan| {
            plan.sites[0].channels = 2;
            plan.sites[0].policy.lines.mode = LinesMode::Enforce;
        },
    );
    let mut world = asked_in(world, 0).world;
    let mut other = Caller::new(PBX, "+15550001111");
    let body = sdp("192.0.2.11", 9100, "");
    world.deliver(PBX, &invite(&mut other, 7, &body));
    world.take(PBX, "100");
    world.take(CARRIER, "INVITE");
}

#[test]
fn keys_may_come_by_info_and_are_never_shown_rfc6086() {
    let mut asked = asked();
    for key in PIN.chars().chain(['#']) {
        let body = format!("Signal={key}\r\nDuration=160\r\n");
        let head = format!(
            "Content-Type: application/dtmf-relay\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let info = own(&asked.caller.request("INFO", None));
        let info = info.replace("Content-Length: 0\r\n\r\n", &head);
        asked.world.deliver(PBX, &info);
        asked.world.take(PBX, "200");
    }
    asked.world.take(CARRIER, "INVITE");
    let call = asked.world.core.calls()[0].id;
    for entry in asked.world.core.ladder(call) {
        let shown = String::from_utf8_lossy(&entry.text).into_owned();
        assert!(!shown.contains("Signal="), "{shown}");
    }
}

#[test]
fn a_reload_while_asked_changes_nothing_for_the_caller() {
    let mut asked = asked();
    asked.hear(500);
    let mut next = plan();
    // Another trunk comes first now: the call's own plan still names its peers.
    next.peers.reverse();
    next.adopt_usage(&asked.world.plan);
    asked.world.input(Input::Plan(&Arc::new(next)));
    asked.press(&format!("{PIN}#"));
    asked.world.take(CARRIER, "INVITE");
}

//! Strangers are asked by voice while an attack fills the lines (RFC 4733, ITU-T Q.23): people get
//! through, nobody is kept, and who is known never hears of it.

mod support;

use std::sync::Arc;
use std::time::Duration;

use ringfence_media::{SocketIndex, TAIL};
use ringfence_rtp::RtpView;
use ringfence_session::cdr::{EndedBy, Outcome};
use ringfence_session::dtmf::Dtmf;
use ringfence_session::line_guard::LinesMode;
use ringfence_session::plan::{MediaPolicy, Plan};
use ringfence_session::screening::VoicePolicy;
use ringfence_sip::HeaderName;
use support::*;

/// Where the caller's sound comes from.
const SOUND: &str = "198.51.100.21:7000";
const PBX_SOUND: &str = "192.0.2.11:9000";
const NUMBER: &str = "+12125550199";

/// A prompt that is one byte of µ-law over and over, so that a test knows what is said.
fn prompt(byte: u8) -> Vec<u8> {
    let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x07\0\x01\0".to_vec();
    file.extend(8_000_u32.to_le_bytes());
    file.extend([0, 0, 0, 0, 1, 0, 8, 0]);
    file.extend(b"data\xa0\0\0\0");
    file.extend([byte; 160]);
    file
}

const THANKS: u8 = 0x90;
const CALLBACK: u8 = 0x91;

fn voice() -> VoicePolicy {
    let mut voice = VoicePolicy::of_country("US");
    for digit in 0..10 {
        let name = digit.to_string();
        voice.prompts.replace(&name, &prompt(0x80 + digit)).unwrap();
    }
    for (name, byte) in [
        ("ask", 0x92),
        ("ask-kindly", 0x93),
        ("thanks", THANKS),
        ("callback", CALLBACK),
    ] {
        voice.prompts.replace(name, &prompt(byte)).unwrap();
    }
    voice
}

/// An operator has said that there is an attack.
fn attacked(mode: LinesMode) -> World {
    attacked_with(mode, |_| {})
}

fn attacked_with(mode: LinesMode, change: impl FnOnce(&mut Plan)) -> World {
    let world = World::with(|plan| {
        change(plan);
        let lines = &mut plan.sites[0].policy.lines;
        lines.mode = mode;
        lines.voice = Some(Arc::new(voice()));
    });
    let lines = &world.plan.sites[0].usage.lines;
    lines.set_attack_mode(Some(world.now + Duration::from_secs(3_600)));
    world
}

fn invite(caller: &mut Caller, number: &str, body: &str) -> String {
    let invite = caller.request("INVITE", Some(body));
    invite.replace("+15551234567", number)
}

struct Asked {
    world: World,
    caller: Caller,
    ok: Sent,
    seq: u16,
}

/// A stranger calls, is answered and has acknowledged it.
fn asked() -> Asked {
    let mut asked = answered(&sdp("198.51.100.21", 7000, ""));
    asked.acknowledge();
    asked
}

fn answered(body: &str) -> Asked {
    answered_in(attacked(LinesMode::Enforce), body)
}

fn answered_in(mut world: World, body: &str) -> Asked {
    let mut caller = Caller::new(CARRIER, "+13305550100");
    world.deliver(CARRIER, &invite(&mut caller, NUMBER, body));
    world.take(CARRIER, "100");
    let ok = world.take(CARRIER, "200");
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
        let ack = self
            .caller
            .request("ACK", None)
            .replace("+15551234567", NUMBER);
        self.world.deliver(CARRIER, &ack);
    }

    fn bye(&mut self) {
        let bye = self
            .caller
            .request("BYE", None)
            .replace("+15551234567", NUMBER);
        self.world.deliver(CARRIER, &bye);
        self.world.take(CARRIER, "200");
    }

    /// What the caller hears in so much time: the bytes that differ from silence, each run once.
    fn hear(&mut self, time: Duration) -> Vec<u8> {
        let end = self.world.now + time;
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
        // What is said again for want of an answer is said once.
        self.world
            .sent
            .dedup_by(|one, other| one.text == other.text);
        heard.dedup();
        heard.retain(|byte| *byte != 0xff);
        heard
    }

    /// The digits that are asked for.
    fn question(&mut self) -> String {
        let heard = self.hear(Duration::from_millis(700));
        let digits = heard.iter().filter(|byte| (0x80..0x8a).contains(*byte));
        digits.map(|byte| char::from(b'0' + (byte & 15))).collect()
    }

    /// The caller presses keys, which come as telephone events.
    fn press(&mut self, keys: &str) {
        for key in keys.bytes() {
            self.world.pass(Duration::from_millis(150));
            let event = ringfence_rtp::telephone_event::event_of_digit(key.into()).unwrap();
            let [hi, lo] = ((self.seq + 1) * 1_600).to_be_bytes();
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

    /// Where the answer says that sound is taken.
    fn socket(&self) -> SocketIndex {
        let port = self.ok.body().split("m=audio ").nth(1).unwrap();
        let port: u32 = port.split(' ').next().unwrap().parse().unwrap();
        SocketIndex::new(port - 30_000)
    }

    fn rtp(&mut self, packet: &[u8]) -> Option<String> {
        let mut buf = packet.to_vec();
        buf.resize(packet.len() + TAIL, 0);
        let (now, from) = (self.world.now, SOUND.parse().unwrap());
        let (socket, media) = (self.socket(), self.world.core.media_mut());
        let forward = media.handle_packet(now, socket, from, &mut buf, packet.len());
        self.world.core.take_pressed(now);
        self.world.pass(Duration::ZERO);
        self.world.flush();
        forward.map(|forward| forward.to.to_string())
    }

    /// Right digits, and the INVITE that follows.
    fn pass(&mut self) -> Sent {
        let keys = self.question();
        self.press(&keys);
        self.world.take(PBX, "INVITE")
    }

    fn last_rule(&self) -> &str {
        &self.world.cdrs.last().expect("a record").rule
    }
}

fn other(keys: &str) -> String {
    keys.bytes()
        .map(|key| char::from(b'0' + (key - b'0' + 1) % 10))
        .collect()
}

#[test]
fn who_presses_what_is_asked_is_put_through_and_notices_nothing_else() {
    let mut asked = asked();
    let body = asked.ok.body();
    assert!(body.contains("m=audio 30000 RTP/AVP 0 101\r\n"), "{body}");
    assert!(
        !body.contains("198.51.100") && !body.contains("secret"),
        "{body}"
    );
    let keys = asked.question();
    assert_eq!(keys.len(), 1, "{keys}");
    asked.world.nothing_sent();
    asked.press(&keys);
    let invite = asked.world.take(PBX, "INVITE");
    assert!(
        invite.body().contains("RTP/AVP 0 101\r\n"),
        "{}",
        invite.body()
    );
    assert_eq!(asked.hear(Duration::from_millis(60)).first(), Some(&THANKS));
    let ringing = asked.hear(Duration::from_millis(1_000));
    assert!(ringing.len() > 100, "the callee's ringing is heard");
    asked.world.sent.retain(|sent| !sent.is("INVITE"));
    asked
        .world
        .deliver(PBX, &invite.answer("180 Ringing", PBX, None));
    asked.world.nothing_sent();
    let answer = invite.answer("200 OK", PBX, Some(&sdp("192.0.2.11", 9000, "")));
    asked.world.deliver(PBX, &answer);
    asked.world.take(PBX, "ACK");
    asked.world.nothing_sent();
    assert_eq!(asked.world.core.media().voice_due(), None);
    let packet = [&[0x80, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 9][..], &[0x55; 160]].concat();
    assert_eq!(asked.rtp(&packet), Some(PBX_SOUND.to_owned()));
    asked.world.pass(Duration::from_secs(30));
    asked.bye();
    let bye = asked.world.take(PBX, "BYE");
    asked.world.deliver(PBX, &bye.answer("200 OK", PBX, None));
    let cdr = asked.world.cdrs.last().unwrap().clone();
    assert_eq!((cdr.outcome, cdr.status), (Outcome::Answered, 200));
    assert!(cdr.rule.contains("(asked by voice)"), "{}", cdr.rule);
    asked.world.all_over();
}

#[test]
fn who_has_passed_is_not_asked_again() {
    let mut asked = asked();
    let first = asked.pass();
    asked
        .world
        .deliver(PBX, &first.answer("486 Busy Here", PBX, None));
    let bye = asked.world.take(CARRIER, "BYE");
    asked
        .world
        .deliver(CARRIER, &bye.answer("200 OK", CARRIER, None));
    asked.world.sent.clear();
    let mut again = Caller::new(CARRIER, "+13305550101");
    let invite = invite(&mut again, NUMBER, &sdp("198.51.100.21", 7000, ""));
    asked
        .world
        .deliver(CARRIER, &invite.replace("secretbranch", "branch"));
    asked.world.take(PBX, "INVITE");
}

#[test]
fn whom_the_site_called_never_hears_a_question() {
    let mut world = attacked(LinesMode::Enforce);
    let mut pbx = Caller::new(PBX, NUMBER);
    let out = pbx.request("INVITE", Some(&sdp("192.0.2.11", 7000, "")));
    world.deliver(PBX, &out);
    let out = world.take(CARRIER, "INVITE");
    world.deliver(CARRIER, &out.answer("486 Busy Here", CARRIER, None));
    world.sent.clear();
    let mut caller = Caller::new(CARRIER, "+13305550100");
    world.deliver(
        CARRIER,
        &invite(&mut caller, NUMBER, &sdp("198.51.100.21", 7000, "")),
    );
    world.take(CARRIER, "100");
    world.take(PBX, "INVITE");
}

#[test]
fn wrong_digits_may_be_mended_once() {
    let mut asked = asked();
    let keys = asked.question();
    asked.press(&other(&keys));
    let keys = asked.question();
    asked.press("*");
    asked.press(&keys);
    asked.world.take(PBX, "INVITE");
}

#[test]
fn wrong_digits_twice_end_with_a_note_and_never_reach_the_pbx() {
    let mut asked = asked();
    for _ in 0..2 {
        let keys = asked.question();
        asked.press(&other(&keys));
    }
    assert_eq!(asked.hear(Duration::from_secs(2)), [CALLBACK]);
    let bye = asked.world.take(CARRIER, "BYE");
    asked
        .world
        .deliver(CARRIER, &bye.answer("200 OK", CARRIER, None));
    asked.world.nothing_sent();
    let cdr = asked.world.cdrs.last().unwrap();
    assert_eq!(
        (cdr.outcome, cdr.ended_by),
        (Outcome::Refused, EndedBy::Edge)
    );
    assert_eq!(cdr.answered, None);
    let rule = asked.last_rule();
    assert!(
        rule.contains("wrong digits; its number is noted for a call back"),
        "{rule}"
    );
    asked.world.all_over();
}

#[test]
fn where_somebody_guesses_more_digits_are_asked_for() {
    let mut world = attacked(LinesMode::Enforce);
    let mut counts = Vec::new();
    for number in 0..4u32 {
        let mut caller = Caller::new(CARRIER, "+13305550100");
        caller.call_id = format!("guess-{number}");
        caller.branch = 10_000 + number;
        let invite = caller.request("INVITE", Some(&sdp("198.51.100.21", 7000, "")));
        let from = format!("+1212555200{number}");
        let invite = invite
            .replace("+15551234567", &from)
            .replace("secretbranch", &format!("guess{number}"));
        world.deliver(CARRIER, &invite);
        world.take(CARRIER, "100");
        let ok = world.take(CARRIER, "200");
        caller.learn(&ok);
        let ack = caller.request("ACK", None).replace("+15551234567", &from);
        world.deliver(CARRIER, &ack);
        let mut asked = Asked {
            world,
            caller,
            ok,
            seq: 0,
        };
        for _ in 0..2 {
            let keys = asked.question();
            counts.push(keys.len());
            asked.press(&other(&keys));
        }
        world = asked.world;
        world.pass(Duration::from_secs(10));
        world.sent.clear();
    }
    assert_eq!(counts, [1, 1, 1, 1, 2, 2, 2, 2]);
}

#[test]
fn silence_is_no_trap() {
    let mut asked = asked();
    let began = asked.world.now;
    asked.hear(Duration::from_secs(12));
    let bye = asked.world.take(CARRIER, "BYE");
    asked
        .world
        .deliver(CARRIER, &bye.answer("200 OK", CARRIER, None));
    let ended = asked.world.cdrs.last().unwrap().ended;
    let lasted = ended.as_micros()
        - (asked.world.core_time().as_micros()
            - asked.world.now.saturating_since(began).as_micros() as i64);
    assert!((7_500_000..9_500_000).contains(&lasted), "{lasted} us");
    assert!(asked.last_rule().contains("no digits came"));
    asked.world.nothing_sent();
    asked.world.all_over();
}

#[test]
fn tones_in_the_sound_are_heard_as_well_q23() {
    let body = sdp("198.51.100.21", 7000, "")
        .replace(" 101", "")
        .replace("a=rtpmap:101 telephone-event/8000\r\n", "");
    let mut asked = answered(&body);
    asked.acknowledge();
    assert!(asked.ok.body().contains("RTP/AVP 0\r\n"));
    let keys = asked.question();
    let mut timestamp = 0_u32;
    for key in keys.chars() {
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
    asked.world.take(PBX, "INVITE");
}

#[test]
fn who_hangs_up_while_asked_is_gone_and_nobody_was_called() {
    let mut asked = asked();
    asked.question();
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
fn who_hangs_up_while_the_callee_rings_ends_that_too() {
    let mut asked = asked();
    let invite = asked.pass();
    asked
        .world
        .deliver(PBX, &invite.answer("180 Ringing", PBX, None));
    asked.bye();
    asked.world.take(PBX, "CANCEL");
    let cancelled = invite.answer("487 Request Terminated", PBX, None);
    asked.world.deliver(PBX, &cancelled);
    asked.world.take(PBX, "ACK");
    asked.world.nothing_sent();
    asked.world.all_over();
}

#[test]
fn a_callee_that_refuses_ends_the_call_with_its_cause() {
    let mut asked = asked();
    let invite = asked.pass();
    asked
        .world
        .deliver(PBX, &invite.answer("486 Busy Here", PBX, None));
    asked.world.take(PBX, "ACK");
    let bye = asked.world.take(CARRIER, "BYE");
    asked
        .world
        .deliver(CARRIER, &bye.answer("200 OK", CARRIER, None));
    let cdr = asked.world.cdrs.last().unwrap();
    assert_eq!((cdr.outcome, cdr.status), (Outcome::Busy, 486));
    asked.world.nothing_sent();
    asked.world.all_over();
}

#[test]
fn early_media_of_the_callee_takes_the_place_of_our_ringing() {
    let mut asked = asked();
    let invite = asked.pass();
    let early = invite.answer(
        "183 Session Progress",
        PBX,
        Some(&sdp("192.0.2.11", 9000, "")),
    );
    asked.world.deliver(PBX, &early);
    asked.world.nothing_sent();
    assert_eq!(asked.world.core.media().voice_due(), None);
    let packet = [&[0x80, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 9][..], &[0x55; 160]].concat();
    assert_eq!(asked.rtp(&packet), Some(PBX_SOUND.to_owned()));
}

#[test]
fn a_callee_with_other_terms_has_the_caller_told_rfc3261_14() {
    let mut asked = asked();
    let invite = asked.pass();
    let body = sdp("192.0.2.11", 9000, "")
        .replace(" 101", "")
        .replace("a=rtpmap:101 telephone-event/8000\r\n", "");
    asked
        .world
        .deliver(PBX, &invite.answer("200 OK", PBX, Some(&body)));
    asked.world.take(PBX, "ACK");
    let again = asked.world.take(CARRIER, "INVITE");
    assert!(again.body().contains("RTP/AVP 0\r\n"), "{}", again.body());
    let version = |body: &str| {
        let origin = body.lines().find(|line| line.starts_with("o=")).unwrap();
        origin.split(' ').nth(2).unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(
        version(again.body()),
        version(asked.ok.body()) + 1,
        "RFC 3264 §8"
    );
    let said = sdp("198.51.100.21", 7000, "").replace(" 101", "");
    asked
        .world
        .deliver(CARRIER, &again.answer("200 OK", CARRIER, Some(&said)));
    asked.world.take(CARRIER, "ACK");
    asked.world.nothing_sent();
}

#[test]
fn nobody_is_called_and_nobody_told_goodbye_before_the_ack_rfc3261_15() {
    let mut asked = answered(&sdp("198.51.100.21", 7000, ""));
    let keys = asked.question();
    asked.press(&keys);
    asked.world.sent.retain(|sent| !sent.is("200"));
    asked.world.nothing_sent();
    asked.acknowledge();
    asked.world.take(PBX, "INVITE");

    let mut asked = answered(&sdp("198.51.100.21", 7000, ""));
    asked.hear(Duration::from_secs(12));
    assert!(asked.last_rule().contains("no digits came"));
    asked.world.sent.retain(|sent| !sent.is("200"));
    asked.world.nothing_sent();
    asked.acknowledge();
    asked.world.take(CARRIER, "BYE");
}

#[test]
fn a_caller_whose_ack_never_comes_is_let_go() {
    let mut asked = answered(&sdp("198.51.100.21", 7000, ""));
    let keys = asked.question();
    asked.press(&keys);
    asked.world.pass(Duration::from_secs(40));
    asked.world.take(CARRIER, "BYE");
    assert!(asked.world.sent.iter().all(|sent| !sent.is("INVITE")));
    asked.world.all_over();
}

#[test]
fn a_caller_without_g711_is_refused_and_not_held_against_it() {
    let mut world = attacked(LinesMode::Enforce);
    for attempt in 0..5 {
        let mut caller = Caller::new(CARRIER, "+13305550100");
        caller.call_id = format!("call-{attempt}");
        let body = sdp("198.51.100.21", 7000, "").replace("RTP/AVP 0 101", "RTP/AVP 18 101");
        let text = invite(&mut caller, NUMBER, &body);
        world.deliver(
            CARRIER,
            &text.replace("secretbranch", &format!("branch{attempt}")),
        );
        world.take(CARRIER, "486");
        world.sent.clear();
        let rule = &world.cdrs.last().unwrap().rule;
        assert!(rule.contains("could not be answered and asked"), "{rule}");
    }
    let lines = world.plan.sites[0].usage.lines.view(world.now);
    assert_eq!((lines.counts.screened, lines.counts.shed), (0, 0));
}

#[test]
fn a_caller_who_is_asked_may_not_change_the_call_and_cannot_cancel_it() {
    let mut asked = asked();
    let body = sdp("198.51.100.21", 7002, "");
    let again = asked
        .caller
        .request("INVITE", Some(&body))
        .replace("+15551234567", NUMBER);
    asked.world.deliver(CARRIER, &again);
    let refused = asked.world.take(CARRIER, "500");
    assert!(!refused.header(HeaderName::RetryAfter).is_empty());
    asked.world.nothing_sent();
}

#[test]
fn hanging_up_from_here_says_goodbye() {
    let mut asked = asked();
    let id = asked.world.core.calls()[0].id;
    asked
        .world
        .input(ringfence_session::core::Input::HangUp(id));
    asked.world.take(CARRIER, "BYE");
    asked.world.nothing_sent();
    asked.world.all_over();
}

#[test]
fn observing_asks_nobody() {
    let mut world = attacked(LinesMode::Observe);
    world.plan.sites[0].usage.lines.set_attack_mode(None);
    for number in 1_000..1_008 {
        let mut caller = Caller::new(CARRIER, "+13305550100");
        caller.call_id = format!("call-{number}");
        let text = invite(
            &mut caller,
            &format!("+1212555{number}"),
            &sdp("198.51.100.21", 7000, ""),
        );
        world.deliver(
            CARRIER,
            &text.replace("secretbranch", &format!("branch{number}")),
        );
        world.take(PBX, "INVITE");
        world.sent.clear();
        world.pass(Duration::from_secs(1));
        world.sent.clear();
    }
    world.pass(Duration::from_secs(300));
    let noted = world
        .cdrs
        .iter()
        .filter(|cdr| cdr.rule.contains("(would be asked by voice: "));
    assert!(noted.count() > 0);
}

#[test]
fn an_operators_word_holds_where_nobody_watches_and_ends_by_itself() {
    let mut world = attacked(LinesMode::Off);
    let mut caller = Caller::new(CARRIER, "+13305550100");
    world.deliver(
        CARRIER,
        &invite(&mut caller, NUMBER, &sdp("198.51.100.21", 7000, "")),
    );
    world.take(CARRIER, "100");
    let ok = world.take(CARRIER, "200");
    caller.learn(&ok);
    let ack = caller.request("ACK", None).replace("+15551234567", NUMBER);
    world.deliver(CARRIER, &ack);
    world.pass(Duration::from_secs(3_601));
    world.sent.clear();
    let view = world.plan.sites[0].usage.lines.view(world.now);
    assert_eq!((view.attack_until, view.alarm_since), (None, None));
    let mut caller = Caller::new(CARRIER, "+13305550101");
    let text = invite(&mut caller, "+12125550198", &sdp("198.51.100.21", 7000, ""));
    world.deliver(CARRIER, &text.replace("secretbranch", "branch"));
    world.take(CARRIER, "100");
    world.take(PBX, "INVITE");
}

const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

#[test]
fn a_caller_with_srtp_keeps_its_keys_when_it_is_put_through_rfc4568_6_1() {
    let world = attacked_with(LinesMode::Enforce, |plan| {
        plan.peers[0].media = MediaPolicy::Srtp;
    });
    let body = sdp("198.51.100.21", 7000, "").replace("RTP/AVP", "RTP/SAVP")
        + &format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\n");
    let mut asked = answered_in(world, &body);
    assert!(
        asked.ok.body().contains("RTP/SAVP 0 101\r\n"),
        "{}",
        asked.ok.body()
    );
    assert!(
        asked
            .ok
            .body()
            .contains("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:")
    );
    assert!(!asked.ok.body().contains(KEY));
    asked.acknowledge();
    // What is pressed comes under its keys, which a test of media proves.
    let owner = asked.world.core.calls()[0].id;
    assert_eq!(
        asked
            .world
            .core
            .call_view(owner)
            .map(|call| call.ingress.media.is_some()),
        Some(true)
    );
}

#[test]
fn a_callee_with_srtp_is_offered_that_and_the_caller_is_told_nothing() {
    let world = attacked_with(LinesMode::Enforce, |plan| {
        plan.peers[1].media = MediaPolicy::Srtp;
    });
    let mut asked = answered_in(world, &sdp("198.51.100.21", 7000, ""));
    asked.acknowledge();
    let invite = asked.pass();
    assert!(
        invite.body().contains("RTP/SAVP 0 101\r\n"),
        "{}",
        invite.body()
    );
    let body = sdp("192.0.2.11", 9000, "").replace("RTP/AVP", "RTP/SAVP")
        + &format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\n");
    asked
        .world
        .deliver(PBX, &invite.answer("200 OK", PBX, Some(&body)));
    asked.world.take(PBX, "ACK");
    asked.world.nothing_sent();
}

#[test]
fn keys_may_come_by_info_and_are_never_shown_rfc6086() {
    let mut asked = asked();
    for key in asked.question().chars() {
        let body = format!("Signal={key}\r\nDuration=160\r\n");
        let info = asked
            .caller
            .request("INFO", None)
            .replace("+15551234567", NUMBER)
            .replace(
                "Content-Length: 0\r\n\r\n",
                &format!(
                    "Content-Type: application/dtmf-relay\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                ),
            );
        asked.world.deliver(CARRIER, &info);
        asked.world.take(CARRIER, "200");
    }
    asked.world.take(PBX, "INVITE");
    let call = asked.world.core.calls()[0].id;
    let shown = asked
        .world
        .core
        .ladder(call)
        .into_iter()
        .flat_map(|entry| entry.text);
    let shown = String::from_utf8_lossy(&shown.collect::<Vec<u8>>()).into_owned();
    assert!(
        shown.contains("INFO") && !shown.contains("Signal="),
        "{shown}"
    );
}

#[test]
fn a_caller_presses_events_also_where_the_callee_wants_info() {
    let world = attacked_with(LinesMode::Enforce, |plan| {
        plan.peers[0].policy.dtmf = Dtmf::Rfc4733;
        plan.peers[1].policy.dtmf = Dtmf::Info;
    });
    let mut asked = answered_in(world, &sdp("198.51.100.21", 7000, ""));
    asked.acknowledge();
    assert!(
        asked.ok.body().contains("RTP/AVP 0 101\r\n"),
        "{}",
        asked.ok.body()
    );
    let invite = asked.pass();
    assert!(invite.body().contains("RTP/AVP 0\r\n"), "{}", invite.body());
    let body = sdp("192.0.2.11", 9000, "")
        .replace(" 101", "")
        .replace("a=rtpmap:101 telephone-event/8000\r\n", "");
    asked
        .world
        .deliver(PBX, &invite.answer("200 OK", PBX, Some(&body)));
    asked.world.take(PBX, "ACK");
    asked.world.nothing_sent();
    asked.press("7");
    asked.world.take(PBX, "INFO");
}

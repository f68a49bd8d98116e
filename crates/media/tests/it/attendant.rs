//! A stream that the edge has answered itself: its peer is heard and spoken to, nobody else is.

use std::time::Duration;

use ringfence_media::voice::{Attend, Law, PACKET_TIME, Part, Sound};
use ringfence_media::{Side, TAIL};
use ringfence_rtp::RtpView;
use ringfence_rtp::srtp::Suite;

use crate::kit::{
    CARRIER, INSIDE, OUTSIDE, PBX, RTP_LEN, STRANGER, SecurePeer, Sent, Source, World, addr, config,
};

const ATTEND: Attend = Attend {
    side: Side::A,
    audio: 8,
    law: Law::A,
    events: Some(101),
    owner: 4711,
};

/// What the edge says until `time` has passed.
fn spoken(world: &mut World, time: Duration) -> Vec<Sent> {
    let (end, mut all) = (world.now + time, Vec::new());
    while let Some(at) = world.plane.voice_due().filter(|at| *at < end) {
        world.now = world.now.max(at);
        let mut buf = vec![0; RTP_LEN + TAIL];
        while let Some(forward) = world.plane.speak(world.now, &mut buf) {
            all.push(Sent {
                to: forward.to,
                socket: forward.socket,
                bytes: buf[..forward.len].to_vec(),
            });
        }
    }
    world.now = end;
    all
}

fn event(seq: u16, ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 101];
    packet.extend(seq.to_be_bytes());
    packet.extend([0, 0, 9, 9]);
    packet.extend(ssrc.to_be_bytes());
    packet.extend([5, 10, 0, 160]);
    packet
}

fn heard(world: &mut World) -> String {
    std::iter::from_fn(|| world.plane.poll_heard())
        .map(|heard| heard.digit)
        .collect()
}

/// Only the caller's side is described, as before anybody else is asked.
fn attended() -> World {
    let mut world = World::new();
    world.configure(Side::A, config(CARRIER));
    assert!(world.plane.attend(world.now, world.stream, ATTEND));
    world
}

#[test]
fn the_caller_hears_prompts_and_nothing_goes_further() {
    let mut world = attended();
    let sound: Sound = vec![0x80; 160].into();
    world.plane.say(world.stream, [Part::Sound(sound)]);
    let said = spoken(&mut world, Duration::from_millis(100));
    assert_eq!(said.len(), 5);
    assert!(said.iter().all(|sent| sent.to == addr(CARRIER)));
    let payloads: Vec<u8> = said
        .iter()
        .map(|it| RtpView::parse(&it.bytes).unwrap().payload()[0])
        .collect();
    assert_eq!(payloads[0], 0xaa, "the loudest sample, as A-law");
    assert!(
        payloads[1..].iter().all(|byte| *byte == 0xd5),
        "then silence"
    );
    let mut caller = Source::new(1);
    assert_eq!(world.rtp(Side::A, CARRIER, &caller.packet()), None);
    let report = world.plane.stats(world.stream).unwrap();
    assert_eq!((report.a.packets, report.a.drops.total()), (1, 0));
    assert_eq!(report.a.sent_packets, 5);
}

#[test]
fn keys_of_the_caller_are_heard_and_of_nobody_else() {
    let mut world = attended();
    let mut caller = Source::new(1);
    world.rtp(Side::A, CARRIER, &caller.packet());
    world.rtp(Side::A, STRANGER, &event(8, 1));
    assert_eq!(heard(&mut world), "");
    world.rtp(Side::A, CARRIER, &event(9, 1));
    assert!(world.plane.has_heard());
    assert_eq!(heard(&mut world), "5");
}

#[test]
fn an_attended_side_may_be_secured() {
    for suite in [Suite::AesCm128HmacSha1_80, Suite::AeadAes256Gcm] {
        let (mut carrier, security) = SecurePeer::new(suite, 1);
        let mut world = World::new();
        let mut outside = config(CARRIER);
        outside.security = security;
        world.configure(Side::A, outside);
        assert!(world.plane.attend(world.now, world.stream, ATTEND));
        let said = spoken(&mut world, PACKET_TIME);
        let plain = carrier.unprotect(&said[0].bytes);
        assert_eq!(RtpView::parse(&plain).unwrap().payload().len(), 160);
        world.rtp(Side::A, CARRIER, &carrier.protect(&event(9, 1)));
        assert_eq!(heard(&mut world), "5");
        world.rtp(Side::A, CARRIER, &event(10, 1));
        assert_eq!(heard(&mut world), "", "in the clear");
    }
}

#[test]
fn once_dismissed_the_stream_relays() {
    let mut world = attended();
    let (mut caller, mut pbx) = (Source::new(1), Source::new(2));
    assert_eq!(world.rtp(Side::A, CARRIER, &caller.packet()), None);
    world.configure(Side::B, config(PBX));
    assert_eq!(world.rtp(Side::B, PBX, &pbx.packet()), None, "not yet");
    world.plane.dismiss(world.now, world.stream);
    assert_eq!(world.plane.voice_due(), None);
    assert_eq!(
        world.rtp_to(Side::A, CARRIER, &caller.packet()),
        Some(PBX.into())
    );
    assert_eq!(
        world.rtp_to(Side::B, PBX, &pbx.packet()),
        Some(CARRIER.into())
    );
}

#[test]
fn each_of_several_callers_hears_its_own_packet_every_20_ms() {
    let mut world = attended();
    let second = world.plane.open_stream(world.now, OUTSIDE, INSIDE).unwrap();
    let other = "198.51.100.20:40400";
    world
        .plane
        .configure_side(world.now, second, Side::A, config(other))
        .unwrap();
    world.pass(Duration::from_millis(7));
    assert!(world.plane.attend(world.now, second, ATTEND));
    let said = spoken(&mut world, Duration::from_millis(100));
    let to = |remote: &str| said.iter().filter(|sent| sent.to == addr(remote)).count();
    assert_eq!((to(CARRIER), to(other)), (6, 5), "one was late at first");
    world.plane.close_stream(second);
    let said = spoken(&mut world, Duration::from_millis(100));
    assert_eq!(said.len(), 5);
}

#[test]
fn an_attendant_goes_with_its_stream() {
    let mut world = attended();
    world.plane.close_stream(world.stream);
    assert_eq!(world.plane.voice_due(), None);
    assert!(!world.plane.attend(world.now, world.stream, ATTEND));
}

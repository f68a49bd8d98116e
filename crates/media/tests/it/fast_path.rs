//! Streams that are forwarded below the plane: nobody who looks at the stream sees a difference,
//! and nothing passes below that would not have passed above.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use ringfence_base::Instant;
use ringfence_media::{
    Direction, DropReason, FastCount, FastKey, FastPath, FastRule, LatchPolicy, Side, SideConfig,
    SideReport,
};

use crate::kit::*;

/// What the kernel's program does, in a few lines: the rules of `relay.bpf.c`.
#[derive(Clone, Default)]
struct Kernel {
    rules: Arc<Mutex<BTreeMap<FastKey, (FastRule, FastCount)>>>,
}

impl FastPath for Kernel {
    fn install(&mut self, rule: &FastRule) -> bool {
        let mut count = FastCount::default();
        count.passed.progress = rule.progress;
        let rule = (rule.clone(), count);
        self.rules
            .lock()
            .unwrap()
            .insert(rule.0.key, rule)
            .is_none()
    }

    fn read(&self, key: FastKey) -> Option<FastCount> {
        Some(self.rules.lock().unwrap().get(&key)?.1)
    }

    fn remove(&mut self, key: FastKey) -> Option<FastCount> {
        Some(self.rules.lock().unwrap().remove(&key)?.1)
    }
}

impl Kernel {
    fn rules(&self) -> usize {
        self.rules.lock().unwrap().len()
    }

    /// Where a packet goes without the plane.
    fn forward(&self, now: Instant, key: FastKey, packet: &[u8]) -> Option<SocketAddr> {
        let mut rules = self.rules.lock().unwrap();
        let (rule, FastCount { passed, .. }) = rules.get_mut(&key)?;
        let [first, second, s0, s1, t0, t1, t2, t3, ssrc @ ..] =
            <[u8; 12]>::try_from(&packet[..12]).unwrap();
        let regular = first == 0x80
            && rule.payload_types >> (second & 0x7f) & 1 == 1
            && ssrc == rule.ssrc.to_be_bytes();
        let highest = passed.progress.highest;
        let ahead = i32::from(u16::from_be_bytes([s0, s1]).wrapping_sub(highest as u16) as i16);
        if !regular || !(-63..3_000).contains(&ahead) {
            return None;
        }
        passed.packets += 1;
        passed.bytes += packet.len() as u64;
        passed.last_arrival = now;
        let window = &mut passed.progress.window;
        if ahead > 0 {
            *window = window.checked_shl(ahead as u32).unwrap_or(0) | 1;
            passed.progress.highest += ahead as u32;
            passed.received += 1;
            let timestamp = u32::from_be_bytes([t0, t1, t2, t3]);
            let ticks = |at: Instant| (at.as_nanos() / 125_000) as u32;
            match passed.measured {
                Some((_, before)) if before == timestamp => return Some(rule.destination),
                Some((at, before)) => {
                    let change = ticks(now)
                        .wrapping_sub(timestamp)
                        .wrapping_sub(ticks(at).wrapping_sub(before));
                    let distance = (change as i32).unsigned_abs();
                    let jitter = &mut passed.progress.jitter;
                    *jitter = (*jitter + distance) - ((*jitter + 8) >> 4);
                }
                None => {}
            }
            passed.measured = Some((now, timestamp));
        } else if *window >> -ahead & 1 == 1 {
            passed.duplicates += 1;
        } else {
            *window |= 1 << -ahead;
            passed.received += 1;
            passed.reordered += 1;
        }
        Some(rule.destination)
    }
}

/// A world with a kernel below it.
struct Host {
    world: World,
    kernel: Kernel,
}

impl Host {
    fn of(mut world: World) -> Host {
        let kernel = Kernel::default();
        world.plane.set_fast_path(Box::new(kernel.clone()));
        Host { world, kernel }
    }

    /// Carrier and PBX have talked for long enough.
    fn established() -> (Host, [Source; 2]) {
        let mut host = Host::of(World::plain());
        let mut talking = [Source::new(7), Source::new(9)];
        for _ in 0..40 {
            host.talk(&mut talking);
        }
        assert_eq!(host.kernel.rules(), 2);
        (host, talking)
    }

    /// A packet from either side; both arrive at the other.
    fn talk(&mut self, [carrier, pbx]: &mut [Source; 2]) {
        let to = self.rtp(Side::A, CARRIER, &carrier.packet());
        assert_eq!(to, Some(addr(PBX)));
        let to = self.rtp(Side::B, PBX, &pbx.packet());
        assert_eq!(to, Some(addr(CARRIER)));
        self.world.pass(PACKET_TIME);
    }

    /// Where a packet to a side's RTP port is forwarded to: below, or else by the plane.
    fn rtp(&mut self, side: Side, from: &str, packet: &[u8]) -> Option<SocketAddr> {
        let key = FastKey {
            local: self
                .world
                .plane
                .local_addr(self.world.stream, side)
                .unwrap(),
            remote: addr(from),
        };
        let below = self.kernel.forward(self.world.now, key, packet);
        below.or_else(|| self.world.rtp(side, from, packet).map(|sent| sent.to))
    }

    fn report(&self, side: Side) -> SideReport {
        self.world.plane.stats(self.world.stream).unwrap()[side].clone()
    }
}

#[test]
fn an_established_stream_goes_below_and_its_report_goes_on() {
    let (mut host, mut talking) = Host::established();
    let above = host.world.plane.counters().rtp_forwarded;
    for _ in 0..100 {
        host.talk(&mut talking);
    }
    assert_eq!(
        host.world.plane.counters().rtp_forwarded,
        above,
        "all below"
    );
    for side in Side::BOTH {
        let report = host.report(side);
        assert_eq!((report.packets, report.sent_packets), (140, 140));
        assert_eq!(
            (report.lost, report.duplicates, report.reordered),
            (0, 0, 0)
        );
        let last = Instant::from_nanos(host.world.now.as_nanos() - 20_000_000);
        assert_eq!(report.last_packet, Some(last));
        assert_eq!(
            host.world.plane.last_packet(host.world.stream, side),
            report.last_packet
        );
    }
    let report = host.world.plane.close_stream(host.world.stream).unwrap();
    assert_eq!((report.a.packets, report.b.packets), (140, 140));
    assert_eq!(host.kernel.rules(), 0, "closed: no rule stays");
    let counters = host.world.plane.counters();
    assert_eq!(counters.rtp_forwarded, 280);
    assert_eq!(counters.rtp_fast, 280 - above);
}

#[test]
fn a_stranger_is_judged_above_and_changes_nothing() {
    let (mut host, mut talking) = Host::established();
    let mut stranger = Source::new(66);
    for _ in 0..10 {
        assert_eq!(host.rtp(Side::A, STRANGER, &stranger.packet()), None);
        host.talk(&mut talking);
    }
    assert_eq!(host.world.drops(Side::A, DropReason::ForeignSource), 10);
    assert_eq!(host.kernel.rules(), 2);
}

#[test]
fn a_holder_that_is_heard_below_is_not_silent() {
    let config = |remote| SideConfig {
        latch: LatchPolicy::SameAddress,
        ..config(remote)
    };
    let (carrier, moved) = (CARRIER, "198.51.100.20:40002");
    let mut host = Host::of(World::described(config(carrier), config(PBX)));
    let mut talking = [Source::new(7), Source::new(9)];
    // Ten seconds below: longer than the window and than a silence.
    for _ in 0..500 {
        host.talk(&mut talking);
    }
    let mut thief = talking[0].clone();
    assert_eq!(host.rtp(Side::A, moved, &thief.packet()), None);
    assert_eq!(host.kernel.rules(), 2);

    // Now it is silent, and its NAT has given it another port.
    host.world.pass(Duration::from_secs(2));
    let [from_carrier, _] = &mut talking;
    let to = host.rtp(Side::A, moved, &from_carrier.packet());
    assert_eq!(to, Some(addr(PBX)));
    assert_eq!(host.kernel.rules(), 0, "the rules named the old port");
    assert_eq!(host.world.latched(Side::A).as_deref(), Some(moved));
}

#[test]
fn another_source_behind_the_same_address_is_judged_above() {
    let (mut host, _) = Host::established();
    let mut other = Source::new(8);
    assert_eq!(host.rtp(Side::A, CARRIER, &other.packet()), Some(addr(PBX)));
    assert_eq!(host.kernel.rules(), 0);
    assert_eq!(host.report(Side::A).ssrc_changes, 1);
}

#[test]
fn a_side_described_anew_comes_back_first() {
    let (mut host, mut talking) = Host::established();
    host.world.configure(Side::B, config("192.0.2.10:13000"));
    assert_eq!(host.kernel.rules(), 0);
    let packet = talking[0].packet();
    let to = host.rtp(Side::A, CARRIER, &packet);
    assert_eq!(to, Some(addr("192.0.2.10:13000")));
}

#[test]
fn what_is_held_secured_or_of_two_clocks_stays_above() {
    let held = SideConfig {
        direction: Direction::SendOnly,
        ..config(CARRIER)
    };
    let mut wide = config(CARRIER);
    wide.payload_types
        .push(ringfence_media::PayloadType {
            number: 96,
            clock_rate: 16_000,
            codec: None,
        })
        .unwrap();
    let (mut peer, security) = SecurePeer::new(SUITES[0], 1);
    let secured = SideConfig {
        security,
        ..config(CARRIER)
    };
    for (outside, is_secured) in [(held, false), (wide, false), (secured, true)] {
        let mut host = Host::of(World::described(outside, config(PBX)));
        let (mut carrier, mut pbx) = (Source::new(7), Source::new(9));
        for _ in 0..100 {
            let packet = carrier.packet();
            let packet = if is_secured {
                peer.protect(&packet)
            } else {
                packet
            };
            assert_eq!(host.rtp(Side::A, CARRIER, &packet), Some(addr(PBX)));
            host.rtp(Side::B, PBX, &pbx.packet());
            host.world.pass(PACKET_TIME);
        }
        assert_eq!(host.kernel.rules(), 0);
    }
}

/// What the network does to one packet.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrives,
    IsLost,
    ArrivesTwice,
    /// Behind the next one.
    IsLate,
    WaitsMillis(u8),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        12 => Just(Fate::Arrives),
        1 => Just(Fate::IsLost),
        1 => Just(Fate::ArrivesTwice),
        1 => Just(Fate::IsLate),
        3 => (0..15_u8).prop_map(Fate::WaitsMillis),
    ]
}

proptest! {
    #[test]
    fn the_record_is_the_same_wherever_a_stream_was_forwarded(
        fates in proptest::collection::vec(fate(), 1..400)
    ) {
        let mut hosts = [Host::of(World::plain()), Host::of(World::plain())];
        // One of them without a kernel.
        hosts[1] = Host { world: World::plain(), kernel: Kernel::default() };
        let reports = hosts.map(|mut host| {
            let mut talking = [Source::new(7), Source::new(9)];
            for _ in 0..40 {
                host.talk(&mut talking);
            }
            let [mut carrier, _] = talking;
            let mut late = None;
            for fate in &fates {
                let packet = carrier.packet();
                let mut wait = Duration::ZERO;
                match fate {
                    Fate::Arrives => {}
                    Fate::IsLost => { host.world.pass(PACKET_TIME); continue }
                    Fate::ArrivesTwice => { host.rtp(Side::A, CARRIER, &packet); }
                    Fate::IsLate => { late = Some(packet); host.world.pass(PACKET_TIME); continue }
                    Fate::WaitsMillis(millis) => wait = Duration::from_millis(u64::from(*millis)),
                }
                host.world.pass(wait);
                host.rtp(Side::A, CARRIER, &packet);
                if let Some(packet) = late.take() {
                    host.rtp(Side::A, CARRIER, &packet);
                }
                host.world.pass(PACKET_TIME - wait);
            }
            host.world.plane.close_stream(host.world.stream).unwrap()
        });
        let [with, without] = &reports;
        prop_assert_eq!(with.a.packets, without.a.packets);
        prop_assert_eq!(with.a.bytes, without.a.bytes);
        prop_assert_eq!(with.a.lost, without.a.lost);
        prop_assert_eq!(with.a.duplicates, without.a.duplicates);
        prop_assert_eq!(with.a.reordered, without.a.reordered);
        prop_assert_eq!(with.b.sent_packets, without.b.sent_packets);
        prop_assert_eq!(with.a.last_packet, without.a.last_packet);
        // The first packet below measures nothing: at most the share of one packet is missing.
        let apart = with.a.jitter.abs_diff(without.a.jitter);
        prop_assert!(apart <= Duration::from_millis(2), "{apart:?}");
    }
}

#[test]
fn a_stream_that_somebody_wants_to_see_comes_up_and_goes_below_again() {
    let (mut host, mut talking) = Host::established();
    let own = host.world.plane.local_addr(host.world.stream, Side::B);
    let above = |host: &Host| {
        let counters = host.world.plane.counters();
        counters.rtp_forwarded - counters.rtp_fast
    };
    host.world
        .plane
        .keep_seen(Some(Box::new(move |ours| Some(ours) == own)));
    assert_eq!(host.kernel.rules(), 0);
    let before = above(&host);
    for _ in 0..40 {
        host.talk(&mut talking);
    }
    assert_eq!(above(&host), before + 80, "every packet is seen");
    host.world.plane.keep_seen(None);
    for _ in 0..40 {
        host.talk(&mut talking);
    }
    assert_eq!(host.kernel.rules(), 2);
    let report = host.report(Side::A);
    assert_eq!((report.packets, report.lost), (120, 0));
}

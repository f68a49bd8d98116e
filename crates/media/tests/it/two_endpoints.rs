//! Two endpoints in virtual time over networks that lose, repeat and reorder: a seed, a call.

use std::collections::BTreeMap;
use std::time::Duration;

use ringfence_base::entropy::SeededEntropy;
use ringfence_base::{Entropy, Instant};
use ringfence_media::{LatchPolicy, Side, SideConfig};

use crate::kit::{CARRIER, PBX, STRANGER, SUITES, SecurePeer, Source, World, config};

const CALL: usize = 500;

/// A network between an endpoint and the plane.
struct Network {
    entropy: SeededEntropy,
    loss_percent: u64,
    repeat_percent: u64,
    jitter_us: u64,
    /// By arrival, then by order of sending.
    under_way: BTreeMap<(Instant, usize), Vec<u8>>,
    sent: usize,
}

impl Network {
    fn new(seed: u64, loss_percent: u64, repeat_percent: u64, jitter_us: u64) -> Network {
        let entropy = SeededEntropy::new(seed);
        Network {
            entropy,
            loss_percent,
            repeat_percent,
            jitter_us,
            under_way: BTreeMap::new(),
            sent: 0,
        }
    }

    /// How many copies of the packet go under way.
    fn send(&mut self, now: Instant, packet: &[u8]) -> usize {
        let copies = match self.entropy.below(100) {
            dice if dice < self.loss_percent => 0,
            dice if dice < self.loss_percent + self.repeat_percent => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let delay = Duration::from_micros(10_000 + self.entropy.below(self.jitter_us + 1));
            self.under_way
                .insert((now + delay, self.sent), packet.to_vec());
            self.sent += 1;
        }
        copies
    }

    fn arrived(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let later = self.under_way.split_off(&(now, usize::MAX));
        std::mem::replace(&mut self.under_way, later)
            .into_values()
            .collect()
    }
}

/// A whole call of 10 s between an SRTP carrier and a plain PBX, with a stranger spraying at both.
fn call(seed: u64, loss_percent: u64, repeat_percent: u64, jitter_us: u64) {
    let suite = SUITES[(seed % 4) as usize];
    let (mut carrier, security) = SecurePeer::new(suite, seed);
    let latch = [
        LatchPolicy::SameAddress,
        LatchPolicy::Strict,
        LatchPolicy::Symmetric,
    ][(seed % 3) as usize];
    let mut world = World::described(
        SideConfig {
            latch,
            security,
            ..config(CARRIER)
        },
        config(PBX),
    );
    let mut networks =
        [1, 2].map(|n| Network::new(seed * 2 + n, loss_percent, repeat_percent, jitter_us));
    let (mut outer, mut inner, mut stranger) = (Source::new(1), Source::new(2), Source::new(66));
    (outer.sequence, inner.sequence) = (65_300, 65_400);
    let (mut sent, mut lost) = ([0u64; 2], [0u64; 2]);
    let mut heard: [Vec<Vec<u8>>; 2] = Default::default();

    for tick in 0..CALL * 20 + 100 {
        world.pass(Duration::from_millis(1));
        if tick % 20 == 0 && tick < CALL * 20 {
            let packets = [carrier.protect(&outer.packet()), inner.packet()];
            for (n, packet) in packets.into_iter().enumerate() {
                let copies = networks[n].send(world.now, &packet);
                sent[n] += copies as u64;
                lost[n] += u64::from(copies == 0);
            }
            for side in Side::BOTH {
                assert_eq!(world.rtp(side, STRANGER, &stranger.packet()), None);
            }
        }
        for packet in networks[0].arrived(world.now) {
            let Some(sent) = world.rtp(Side::A, CARRIER, &packet) else {
                continue;
            };
            assert_eq!(sent.to.to_string(), PBX);
            heard[1].push(sent.bytes);
        }
        for packet in networks[1].arrived(world.now) {
            let Some(sent) = world.rtp(Side::B, PBX, &packet) else {
                continue;
            };
            assert_eq!(sent.to.to_string(), CARRIER);
            heard[0].push(carrier.unprotect(&sent.bytes));
        }
    }

    let report = world.plane.close_stream(world.stream).unwrap();
    for (side, n) in [(Side::A, 0), (Side::B, 1)] {
        let repeats = sent[n] + lost[n] - CALL as u64;
        // The SRTP side's repetitions stop at the replay check, those towards it at ours.
        assert_eq!(
            heard[1 - n].len() as u64,
            CALL as u64 - lost[n],
            "seed {seed} side {side:?}"
        );
        let counted = report[side].packets - report[side].duplicates;
        assert_eq!(counted, CALL as u64 - lost[n], "seed {seed} side {side:?}");
        assert!(report[side].lost <= lost[n], "seed {seed} side {side:?}");
        assert!(
            report[side].lost + 3 >= lost[n],
            "the ends of a call may be lost unseen"
        );
        if n == 1 {
            assert_eq!(report[side].duplicates, repeats, "seed {seed}");
        }
        assert!(report[side].jitter <= Duration::from_micros(jitter_us));
    }
}

#[test]
fn a_clean_network_loses_nothing() {
    call(1, 0, 0, 0);
}

#[test]
fn calls_over_bad_networks_are_relayed_and_counted_as_they_are() {
    for seed in 0..60 {
        call(seed, seed % 10, seed % 7, (seed % 5) * 12_000);
    }
}

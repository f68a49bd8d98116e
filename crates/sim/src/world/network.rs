//! A network in virtual time that delays, reorders, duplicates and loses datagrams by seed.

use std::collections::BTreeMap;
use std::time::Duration;

use ringfence_base::entropy::SeededEntropy;
use ringfence_base::{Entropy, Instant};

use crate::agent::Datagram;
use crate::agent::script::pick;

/// How bad a network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// Datagrams of a thousand that are lost.
    pub lost: u64,
    /// Datagrams of a thousand that arrive twice.
    pub duplicated: u64,
    /// The shortest way.
    pub delay: Duration,
    /// How much longer it may be: more than the time between two datagrams reorders them.
    pub jitter: Duration,
}

impl Weather {
    /// Draws a network: one in three is perfect.
    pub fn draw(entropy: &mut dyn Entropy) -> Weather {
        let (lost, duplicated, jitter) = pick(
            entropy,
            &[
                (2, (0, 0, 0)),
                (1, (0, 0, 60)),
                (1, (30, 20, 40)),
                (1, (120, 100, 150)),
                (1, (250, 50, 20)),
            ],
        );
        Weather {
            lost,
            duplicated,
            delay: Duration::from_millis(1 + entropy.below(40)),
            jitter: Duration::from_millis(jitter),
        }
    }

    /// Whether every datagram arrives once and in order.
    pub fn is_perfect(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.jitter.is_zero()
    }
}

/// Datagrams on their way.
pub(crate) struct Network {
    weather: Weather,
    entropy: SeededEntropy,
    on_their_way: BTreeMap<(Instant, u64), Datagram>,
    sequence: u64,
    pub(crate) lost: u64,
}

impl Network {
    pub(crate) fn new(weather: Weather, seed: u64) -> Network {
        Network {
            weather,
            entropy: SeededEntropy::new(seed ^ 0x6e65_7477_6f72_6b21),
            on_their_way: BTreeMap::new(),
            sequence: 0,
            lost: 0,
        }
    }

    pub(crate) fn send(&mut self, now: Instant, datagram: Datagram) {
        if self.entropy.below(1000) < self.weather.lost {
            self.lost += 1;
            return;
        }
        if self.entropy.below(1000) < self.weather.duplicated {
            self.carry(now, datagram.clone());
        }
        self.carry(now, datagram);
    }

    /// When the next one arrives.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.on_their_way.keys().next().map(|&(at, _)| at)
    }

    /// One that has arrived by `now`.
    pub(crate) fn arrive(&mut self, now: Instant) -> Option<Datagram> {
        let first = self.on_their_way.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    fn carry(&mut self, now: Instant, datagram: Datagram) {
        let jitter = self.weather.jitter.as_micros() as u64;
        let extra = Duration::from_micros(self.entropy.below(jitter + 1));
        self.sequence += 1;
        let key = (now + self.weather.delay + extra, self.sequence);
        self.on_their_way.insert(key, datagram);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(weather: Weather) -> Vec<u8> {
        let mut network = Network::new(weather, 3);
        for number in 0..100 {
            network.send(
                Instant::ZERO,
                Datagram {
                    from: "192.0.2.1:1".parse().unwrap(),
                    to: "192.0.2.2:1".parse().unwrap(),
                    bytes: vec![number].into(),
                },
            );
        }
        std::iter::from_fn(|| network.arrive(Instant::MAX))
            .map(|datagram| datagram.bytes[0])
            .collect()
    }

    #[test]
    fn a_perfect_network_keeps_order_and_number() {
        let weather = Weather {
            lost: 0,
            duplicated: 0,
            delay: Duration::from_millis(5),
            jitter: Duration::ZERO,
        };
        assert!(weather.is_perfect());
        assert_eq!(arrivals(weather), (0..100).collect::<Vec<u8>>());
    }

    #[test]
    fn a_bad_one_loses_doubles_and_reorders() {
        let weather = Weather {
            lost: 200,
            duplicated: 200,
            delay: Duration::from_millis(5),
            jitter: Duration::from_millis(50),
        };
        let arrived = arrivals(weather);
        assert!(!arrived.is_sorted());
        assert!((0..100).any(|number| !arrived.contains(&number)));
        assert!((0..100).any(|number| arrived.iter().filter(|&&n| n == number).count() == 2));
    }
}

//! Sources that send to media ports where no call is, one port after the other: somebody looks for
//! calls whose ports answer whoever sends first (RTP bleed).
//!
//! The media plane listens to nobody there and answers nothing, so it is told and no more is done:
//! over UDP any address can be written.

use std::net::IpAddr;
use std::time::Duration;

use ringfence_base::{HashKey, Instant, KeyedMap};

use crate::finding::{Confidence, Finding, Kind, Subject, Value};

/// A machine that counts, for one worker.
#[derive(Debug)]
pub struct Probes {
    key: HashKey,
    sources: KeyedMap<IpAddr, Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    first: Instant,
    last: Instant,
    /// A bit for each of 64 groups that ports fall into.
    ports: u64,
    packets: u64,
    probes: u64,
    told_at: Option<Instant>,
}

impl Probes {
    /// A machine that has seen nobody. `key` keeps others from choosing which ports fall together.
    pub fn new(key: HashKey) -> Probes {
        Probes {
            key,
            sources: key.map(),
        }
    }

    /// A packet of `source` came to a media port of ours, `port`, where no call is. `is_probe`: in the
    /// shape of such programs.
    pub fn note(
        &mut self,
        now: Instant,
        source: IpAddr,
        port: u32,
        is_probe: bool,
    ) -> Option<Finding> {
        let source = source.to_canonical();
        if !self.sources.contains_key(&source) && self.sources.len() >= SOURCES_MAX {
            self.sources
                .retain(|_, seen| now.saturating_since(seen.last) < WINDOW);
            if self.sources.len() >= SOURCES_MAX {
                return None;
            }
        }
        let group = self.key.hash64(&port) % 64;
        let fresh = Seen {
            first: now,
            last: now,
            ports: 0,
            packets: 0,
            probes: 0,
            told_at: None,
        };
        let seen = self.sources.entry(source).or_insert(fresh);
        if now.saturating_since(seen.last) >= WINDOW {
            *seen = fresh;
        }
        seen.last = now;
        seen.ports |= 1 << group;
        seen.packets += 1;
        seen.probes += u64::from(is_probe);
        let told_lately = seen
            .told_at
            .is_some_and(|at| now.saturating_since(at) < TOLD_EVERY);
        if seen.ports.count_ones() < PORTS_MIN || told_lately {
            return None;
        }
        seen.told_at = Some(now);
        Some(seen.finding(source))
    }
}

impl Seen {
    fn finding(&self, source: IpAddr) -> Finding {
        let mut finding = Finding::new(Kind::MediaAttack, Subject::Address(source), self.first);
        finding.last = self.last;
        finding.source = Some(source);
        finding.count = self.packets;
        finding.expires = self.last + WINDOW;
        let shaped = self.probes * 2 >= self.packets;
        finding.confidence = Confidence::new(if shaped { 90 } else { 70 });
        // Ports that fall together count once, so it is at least so many.
        let ports = u64::from(self.ports.count_ones());
        finding.note("ports without a call, at least", Value::Count(ports));
        if shaped {
            finding.note("shape", Value::Word("a probe for open calls (RTP bleed)"));
        }
        finding
    }
}

/// Fewer groups of ports may be chance: a phone whose calls ended badly.
const PORTS_MIN: u32 = 8;
/// Whoever is quiet for so long begins anew.
const WINDOW: Duration = Duration::from_secs(300);
/// While it goes on it is told of again after so long.
const TOLD_EVERY: Duration = Duration::from_secs(30);
/// Sources that are counted at a time. Further ones, which can be made up, are not.
const SOURCES_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn machine() -> Probes {
        Probes::new(HashKey::from_bytes([9; 16]))
    }

    #[test]
    fn who_goes_from_port_to_port_is_told_once_and_then_now_and_then() {
        let mut probes = machine();
        let source = "203.0.113.66".parse().expect("an address");
        let found: Vec<Finding> = (0..600)
            .filter_map(|port| probes.note(at(u64::from(port) / 10), source, port, true))
            .collect();
        assert_eq!(found.len(), 2, "{found:?}");
        let words = found[1].explain();
        assert!(
            words.contains("RTP bleed") && words.contains("could be made up"),
            "{words}"
        );
        assert!(found[1].is_spoofable());
    }

    #[test]
    fn a_phone_that_goes_on_sending_to_its_old_port_is_not_nor_are_many_with_one_each() {
        let mut probes = machine();
        let phone = "198.51.100.7".parse().expect("an address");
        for second in 0..500 {
            assert!(
                probes
                    .note(at(second), phone, 30_000 + (second as u32 / 100) * 2, false)
                    .is_none()
            );
        }
        for host in 0..3_000u32 {
            let made_up = IpAddr::from((0xcb00_7100 + host).to_be_bytes());
            assert!(probes.note(at(501), made_up, host, true).is_none());
        }
        assert!(probes.sources.len() <= SOURCES_MAX);
        // They are forgotten in time, so that a real one is seen again.
        let source = "203.0.113.66".parse().expect("an address");
        let found = (0..64).find_map(|port| probes.note(at(900), source, port, false));
        assert!(found.is_some());
    }
}

//! Whether a peer is in use for new calls, and which of its addresses are dead for now.
//!
//! A peer that fails several times in a row is taken out of use: *quarantined*. That only changes
//! the order in which peers are tried, never whether: the quarantined come last, so an outage is
//! never of our own making. It returns after proof, and not before a hold that doubles each time
//! it falls back soon after its return, so that a flapping peer does not take calls along.
//!
//! Shared by all workers: plain atomics, no lock. Two workers that note a fault at once may count
//! it in either order; nothing rests on which.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use ringfence_base::Instant;

/// The shortest time out of use.
pub const HOLD: Duration = Duration::from_secs(10);
/// How often [`HOLD`] is doubled at most: to 640 s.
const RELAPSES_MAX: u32 = 6;
/// A peer that falls back within this time of its return is flapping.
const RELAPSE_WITHIN: Duration = Duration::from_secs(600);
/// Answered OPTIONS in a row that prove a quarantined peer.
pub const OPTIONS_PROOFS: u32 = 2;
/// How long an address that did not answer is passed over.
pub const DEAD_FOR: Duration = Duration::from_secs(60);
/// Dead addresses that are remembered of one peer; further ones take the oldest place.
const DEAD_MAX: usize = 8;

/// What a peer did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// OPTIONS had no answer.
    Options,
    /// A call had no answer at all.
    Silent,
    /// A call was answered with this code.
    Status(u16),
    /// Its address could not be reached: TCP refused, TLS failed.
    Transport,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Options => f.write_str("OPTIONS without an answer"),
            Fault::Silent => f.write_str("no answer"),
            Fault::Status(status) => write!(f, "answered {status}"),
            Fault::Transport => f.write_str("no connection"),
        }
    }
}

impl Fault {
    const fn code(self) -> u32 {
        match self {
            Fault::Options => 1,
            Fault::Silent => 2,
            Fault::Transport => 3,
            Fault::Status(status) => 1000 + status as u32,
        }
    }

    const fn of_code(code: u32) -> Fault {
        match code {
            1 => Fault::Options,
            3 => Fault::Transport,
            1000.. => Fault::Status((code - 1000) as u16),
            _ => Fault::Silent,
        }
    }
}

/// What shows that a peer works again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// It took part in a call: rang, answered, or gave the callee's own word.
    Call,
    /// It answered OPTIONS.
    Options,
}

/// A peer that is out of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// Since when.
    pub since: Instant,
    /// The last fault.
    pub fault: Fault,
    /// How many faults there were in a row.
    pub failures: u32,
    /// No proof counts before this time.
    pub until: Instant,
}

/// The standing of one peer.
#[derive(Debug, Default)]
pub struct Standing {
    failures: AtomicU32,
    fault: AtomicU32,
    /// Since when it is out of use, as nanoseconds and one; 0 is in use.
    since: AtomicU64,
    /// OPTIONS answered in a row since then.
    proofs: AtomicU32,
    /// When a call may try it next, in nanoseconds.
    probe_at: AtomicU64,
    /// When it returned last, as nanoseconds and one.
    returned: AtomicU64,
    relapses: AtomicU32,
    quarantines: AtomicU32,
    dead: [Dead; DEAD_MAX],
}

/// An address that did not answer.
#[derive(Debug, Default)]
struct Dead {
    /// [`fold`] of the address; 0 is none.
    address: AtomicU64,
    /// Until when, in nanoseconds.
    until: AtomicU64,
}

impl Standing {
    /// Notes a fault; `limit` in a row take the peer out of use. Whether that happened just now.
    pub fn note_fault(&self, now: Instant, fault: Fault, limit: u32) -> bool {
        self.fault.store(fault.code(), Relaxed);
        self.proofs.store(0, Relaxed);
        let failures = self.failures.fetch_add(1, Relaxed).saturating_add(1);
        if failures < limit.max(1) {
            return false;
        }
        let fresh = self
            .since
            .compare_exchange(0, now.as_nanos() + 1, Relaxed, Relaxed)
            .is_ok();
        if fresh {
            let returned = self.returned.load(Relaxed);
            let soon = returned != 0
                && now.as_nanos().saturating_sub(returned) < RELAPSE_WITHIN.as_nanos() as u64;
            let relapses = match soon {
                true => (self.relapses.load(Relaxed) + 1).min(RELAPSES_MAX),
                false => 0,
            };
            self.relapses.store(relapses, Relaxed);
            self.quarantines.fetch_add(1, Relaxed);
            let probe_at = now + self.hold();
            self.probe_at.store(probe_at.as_nanos(), Relaxed);
        }
        fresh
    }

    /// Notes evidence that it works. Whether the peer is back in use just now.
    pub fn note_proof(&self, now: Instant, evidence: Evidence) -> bool {
        if self.failures.load(Relaxed) == 0 {
            return false;
        }
        let Some(quarantine) = self.quarantine() else {
            self.failures.store(0, Relaxed);
            return false;
        };
        let proofs = self.proofs.fetch_add(1, Relaxed).saturating_add(1);
        let enough = evidence == Evidence::Call || proofs >= OPTIONS_PROOFS;
        if !enough || now < quarantine.until {
            return false;
        }
        self.failures.store(0, Relaxed);
        self.returned.store(now.as_nanos() + 1, Relaxed);
        self.since.swap(0, Relaxed) != 0
    }

    /// What keeps it out of use, if anything.
    pub fn quarantine(&self) -> Option<Quarantine> {
        let since = self.since.load(Relaxed).checked_sub(1)?;
        let since = Instant::from_nanos(since);
        Some(Quarantine {
            since,
            fault: Fault::of_code(self.fault.load(Relaxed)),
            failures: self.failures.load(Relaxed),
            until: since + self.hold(),
        })
    }

    /// How often it was taken out of use since the start.
    pub fn quarantines(&self) -> u32 {
        self.quarantines.load(Relaxed)
    }

    /// Whether this call may try a quarantined peer in its usual place: one call each hold. The
    /// call goes on to the next peer if it fails.
    #[must_use]
    pub fn take_probe(&self, now: Instant) -> bool {
        let due = self.probe_at.load(Relaxed);
        let next = (now + self.hold()).as_nanos();
        due <= now.as_nanos()
            && self
                .probe_at
                .compare_exchange(due, next, Relaxed, Relaxed)
                .is_ok()
    }

    /// Remembers that `address` did not answer.
    pub fn note_dead(&self, address: SocketAddr, now: Instant) {
        let until = (now + DEAD_FOR).as_nanos();
        let key = fold(address);
        let known = |dead: &&Dead| dead.address.load(Relaxed) == key;
        let oldest = || self.dead.iter().min_by_key(|dead| dead.until.load(Relaxed));
        if let Some(place) = self.dead.iter().find(known).or_else(oldest) {
            place.address.store(key, Relaxed);
            place.until.store(until, Relaxed);
        }
    }

    /// Forgets that `address` did not answer.
    pub fn note_alive(&self, address: SocketAddr) {
        let key = fold(address);
        for dead in &self.dead {
            if dead.address.load(Relaxed) == key {
                dead.until.store(0, Relaxed);
            }
        }
    }

    /// Whether `address` did not answer a short time ago.
    pub fn is_dead(&self, address: SocketAddr, now: Instant) -> bool {
        let key = fold(address);
        self.dead.iter().any(|dead| {
            dead.address.load(Relaxed) == key && dead.until.load(Relaxed) > now.as_nanos()
        })
    }

    fn hold(&self) -> Duration {
        HOLD * (1 << self.relapses.load(Relaxed).min(RELAPSES_MAX))
    }
}

/// An address in 64 bits. Addresses come from our configuration and our resolver; two that meet
/// would be passed over together, no more.
fn fold(address: SocketAddr) -> u64 {
    let host = match address.ip() {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    };
    let mixed = host.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    ((mixed >> 64) as u64 ^ host as u64 ^ u64::from(address.port()).rotate_left(40)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u32 = 3;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn quarantined(from: u64) -> Standing {
        let standing = Standing::default();
        fall(&standing, from);
        standing
    }

    fn fall(standing: &Standing, from: u64) {
        let noted: Vec<bool> = (0..3)
            .map(|_| standing.note_fault(at(from), Fault::Silent, LIMIT))
            .collect();
        assert_eq!(noted, [false, false, true]);
    }

    #[test]
    fn faults_count_only_in_a_row() {
        let standing = Standing::default();
        for _ in 0..5 {
            assert!(!standing.note_fault(at(1), Fault::Status(503), LIMIT));
            assert!(!standing.note_fault(at(1), Fault::Silent, LIMIT));
            assert!(!standing.note_proof(at(1), Evidence::Call));
        }
        assert_eq!(standing.quarantine(), None);
    }

    #[test]
    fn it_returns_after_two_options_or_one_call_and_not_before_its_hold() {
        let standing = quarantined(100);
        assert!(!standing.note_proof(at(105), Evidence::Call), "held");
        assert!(standing.note_proof(at(110), Evidence::Call));
        assert_eq!(standing.quarantine(), None);
        let standing = quarantined(100);
        assert!(!standing.note_proof(at(111), Evidence::Options));
        standing.note_fault(at(112), Fault::Options, LIMIT);
        assert!(!standing.note_proof(at(113), Evidence::Options), "in a row");
        assert!(standing.note_proof(at(114), Evidence::Options));
    }

    #[test]
    fn a_flapping_peer_is_held_longer_each_time() {
        let standing = quarantined(100);
        let mut now = 110;
        for hold in [20, 40, 80, 160, 320, 640, 640] {
            assert!(standing.note_proof(at(now), Evidence::Call));
            fall(&standing, now + 1);
            let until = standing.quarantine().unwrap().until;
            assert_eq!(until, at(now + 1 + hold));
            assert!(!standing.note_proof(at(now + hold), Evidence::Call));
            now += 1 + hold;
        }
        assert!(standing.note_proof(at(now), Evidence::Call));
        fall(&standing, now + 601);
        let quarantine = standing.quarantine().unwrap();
        assert_eq!(quarantine.until - quarantine.since, HOLD, "forgiven");
        assert_eq!(standing.quarantines(), 9);
    }

    #[test]
    fn one_call_each_hold_is_a_probe() {
        let standing = quarantined(100);
        assert!(!standing.take_probe(at(105)));
        assert!(standing.take_probe(at(110)) && !standing.take_probe(at(110)));
        assert!(!standing.take_probe(at(119)) && standing.take_probe(at(120)));
    }

    #[test]
    fn a_dead_address_is_remembered_for_a_time_rfc3263_4_3() {
        let standing = Standing::default();
        let address = |n: u16| SocketAddr::new("198.51.100.20".parse().unwrap(), 5060 + n);
        standing.note_dead(address(0), at(10));
        assert!(standing.is_dead(address(0), at(69)) && !standing.is_dead(address(1), at(69)));
        assert!(!standing.is_dead(address(0), at(70)));
        standing.note_dead(address(0), at(70));
        standing.note_alive(address(0));
        assert!(!standing.is_dead(address(0), at(71)));
        for n in 0..100 {
            standing.note_dead(address(n), at(100 + u64::from(n)));
        }
        assert!(standing.is_dead(address(99), at(200)) && standing.is_dead(address(92), at(159)));
    }

    #[test]
    fn a_fault_is_kept_in_words() {
        for fault in [
            Fault::Options,
            Fault::Silent,
            Fault::Status(503),
            Fault::Transport,
        ] {
            assert_eq!(Fault::of_code(fault.code()), fault);
        }
        assert_eq!(Fault::Status(503).to_string(), "answered 503");
    }
}

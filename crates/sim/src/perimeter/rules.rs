//! Who is heard: the edge's judge, or what others do on the same messages.
//!
//! The others are written again after their manuals, with their defaults: pike of Kamailio (more
//! than 30 requests of one address in 2 s block it until it has been quiet for 120 s), fail2ban with
//! its jail for Asterisk (5 failures of one address within 10 minutes ban it for 10 minutes), and the
//! rate limit of FreePBX's responsive firewall (more than 50 packets of one address in 10 s block it
//! for a day). None knows peers, and none asks whether an address is proved. Left out: that FreePBX
//! lets addresses of registered phones pass, by a program that looks at its list now and then.

use std::net::IpAddr;
use std::time::Duration;

use ringfence_base::{HashKey, Instant, KeyedMap};
use serde::Serialize;

/// Whose rules are carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rules {
    /// The edge's judge.
    #[default]
    Edge,
    /// fail2ban.
    Fail2ban,
    /// The rate limit of FreePBX's responsive firewall.
    #[serde(rename = "freepbx")]
    FreePbx,
    /// Nobody's.
    Nobody,
    /// pike.
    Pike,
}

/// Requests in [`PIKE_WINDOW`] that pike lets pass.
const PIKE_LIMIT: u32 = 30;
const PIKE_WINDOW: Duration = Duration::from_secs(2);
const PIKE_QUIET: Duration = Duration::from_secs(120);
/// Packets in [`FREEPBX_WINDOW`] that FreePBX lets pass.
const FREEPBX_LIMIT: u32 = 50;
const FREEPBX_WINDOW: Duration = Duration::from_secs(10);
const FREEPBX_TIME: Duration = Duration::from_secs(24 * 3600);
/// Failures within [`FAIL2BAN_TIME`] that make a ban of as long.
const FAIL2BAN_LIMIT: u32 = 5;
const FAIL2BAN_TIME: Duration = Duration::from_secs(600);

/// What a rule by address remembers.
pub(crate) struct ByAddress {
    /// How many, since when.
    seen: KeyedMap<IpAddr, (u32, Instant)>,
    banned: KeyedMap<IpAddr, Instant>,
}

impl ByAddress {
    pub(crate) fn new(key: HashKey) -> ByAddress {
        ByAddress {
            seen: key.map(),
            banned: key.map(),
        }
    }

    /// pike: whether a request is heard, and whether it is what bans its address.
    pub(crate) fn pike(&mut self, now: Instant, address: IpAddr) -> (bool, bool) {
        if let Some(until) = self.banned.get_mut(&address) {
            if *until > now {
                *until = now + PIKE_QUIET;
                return (false, false);
            }
            self.banned.remove(&address);
        }
        let too_many = self.count(now, address, PIKE_WINDOW) > PIKE_LIMIT;
        if too_many {
            self.banned.insert(address, now + PIKE_QUIET);
        }
        (!too_many, too_many)
    }

    /// FreePBX: whether a packet is heard, and whether it is what bans its address.
    pub(crate) fn freepbx(&mut self, now: Instant, address: IpAddr) -> (bool, bool) {
        if self.is_banned(now, address) {
            return (false, false);
        }
        let too_many = self.count(now, address, FREEPBX_WINDOW) > FREEPBX_LIMIT;
        if too_many {
            self.banned.insert(address, now + FREEPBX_TIME);
        }
        (!too_many, too_many)
    }

    /// fail2ban: whether a request is heard.
    pub(crate) fn is_banned(&self, now: Instant, address: IpAddr) -> bool {
        self.banned.get(&address).is_some_and(|until| *until > now)
    }

    /// fail2ban: a failure is in the log. Whether that is what bans its address.
    pub(crate) fn failed(&mut self, now: Instant, address: IpAddr) -> bool {
        let too_many = self.count(now, address, FAIL2BAN_TIME) >= FAIL2BAN_LIMIT;
        if too_many {
            self.banned.insert(address, now + FAIL2BAN_TIME);
            self.seen.remove(&address);
        }
        too_many
    }

    fn count(&mut self, now: Instant, address: IpAddr, window: Duration) -> u32 {
        let (count, since) = self.seen.entry(address).or_insert((0, now));
        if now.saturating_since(*since) >= window {
            (*count, *since) = (0, now);
        }
        *count += 1;
        *count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: HashKey = HashKey::from_bytes([3; 16]);

    #[test]
    fn pike_blocks_at_a_rate_and_forgets_after_quiet() {
        let (mut pike, address) = (ByAddress::new(KEY), IpAddr::from([192, 0, 2, 1]));
        let mut now = Instant::ZERO + Duration::from_secs(1);
        let passed = (0..40).filter(|_| pike.pike(now, address).0).count();
        assert_eq!(passed, 30);
        now += PIKE_QUIET + Duration::from_secs(1);
        assert_eq!(pike.pike(now, address), (true, false));
    }

    #[test]
    fn freepbx_blocks_for_a_day_at_51_packets_in_10_s() {
        let (mut rule, address) = (ByAddress::new(KEY), IpAddr::from([192, 0, 2, 1]));
        let mut now = Instant::ZERO + Duration::from_secs(1);
        let passed = (0..60).filter(|_| rule.freepbx(now, address).0).count();
        assert_eq!(passed, 50);
        now += Duration::from_secs(80_000);
        assert_eq!(rule.freepbx(now, address), (false, false));
        now += Duration::from_secs(10_000);
        assert_eq!(rule.freepbx(now, address), (true, false));
    }

    #[test]
    fn fail2ban_bans_after_five_failures() {
        let (mut rule, address) = (ByAddress::new(KEY), IpAddr::from([192, 0, 2, 1]));
        let now = Instant::ZERO + Duration::from_secs(1);
        let bans: Vec<bool> = (0..5).map(|_| rule.failed(now, address)).collect();
        assert_eq!(bans, [false, false, false, false, true]);
        assert!(rule.is_banned(now, address));
        assert!(!rule.is_banned(now + FAIL2BAN_TIME, address));
    }
}

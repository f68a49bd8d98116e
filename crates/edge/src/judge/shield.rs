//! What is carried out at the sockets, before a byte is parsed.
//!
//! The second wall of the never-ban rule: whatever was decided, a source of the customer's passes.
//! It is asked twice, of the judge's own never-ban set and of the addresses in the worker's plan,
//! which do not wait for the judge.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Cache};
use ringfence_base::{HashKey, Instant, KeyedMap};
use ringfence_detect::decision::{Action, Decision};
use ringfence_detect::finding::Subject;
use ringfence_detect::own::{NeverBan, place_of};
use ringfence_session::sighting::Measures;

use super::firewall::Wanted;
use crate::sources::Sources;

/// Datagrams a minute that a slowed source is left in one worker: enough for a phone to register
/// and to make a call, if the address is one that somebody else writes.
const SLOWED_TO: u32 = 20;
/// Slowed sources that a worker counts.
const COUNTED_MAX: usize = 4_096;
const MINUTE: Duration = Duration::from_secs(60);

/// What is in force, for workers to read.
#[derive(Debug)]
pub struct Shield {
    never: Option<NeverBan>,
    blocked: KeyedMap<IpAddr, Instant>,
    slowed: KeyedMap<IpAddr, Instant>,
    measures: Arc<Measures>,
}

impl Shield {
    /// Nothing is in force.
    pub fn open(key: HashKey) -> Shield {
        Shield {
            never: None,
            blocked: key.map(),
            slowed: key.map(),
            measures: Arc::new(Measures::none(key)),
        }
    }

    /// Carries `decisions` out, except against what is in `never`.
    pub fn new(key: HashKey, decisions: &[Decision], never: NeverBan) -> Shield {
        let mut shield = Shield::open(key);
        for decision in decisions.iter().filter(|decision| decision.is_enforced()) {
            let until = decision.until();
            match (decision.against(), decision.action()) {
                (Subject::Address(address), _) if never.contains(*address) => {}
                (Subject::Address(address), Action::Block) => {
                    shield.blocked.insert(place_of(*address), until);
                }
                (Subject::Address(address), Action::Tarpit | Action::Limit { .. }) => {
                    shield.slowed.insert(place_of(*address), until);
                }
                _ => {}
            }
        }
        shield.measures = Arc::new(Measures::of(key, decisions));
        shield.never = Some(never);
        shield
    }

    /// Whether an address is the customer's own, as the judge knows it. Without a judge every one is.
    pub(crate) fn is_own(&self, address: IpAddr) -> bool {
        self.never
            .as_ref()
            .is_none_or(|never| never.contains(address))
    }

    /// Whether anything is in force at the sockets.
    fn is_open(&self) -> bool {
        self.blocked.is_empty() && self.slowed.is_empty()
    }

    fn standing(&self, now: Instant, address: IpAddr, sources: &Sources) -> Standing {
        let place = place_of(address);
        let holds = |until: Option<&Instant>| until.is_some_and(|until| *until > now);
        let standing = if holds(self.blocked.get(&place)) {
            Standing::Blocked
        } else if holds(self.slowed.get(&place)) {
            Standing::Slowed
        } else {
            return Standing::Free;
        };
        let own = sources.is_peer(address)
            || self
                .never
                .as_ref()
                .is_some_and(|never| never.contains(address));
        if own { Standing::Free } else { standing }
    }
}

/// The blocks among `decisions` as the host's firewall holds them, without what is in `never`.
/// Slowed sources stay with the workers, who count.
pub(super) fn for_firewall(now: Instant, decisions: &[Decision], never: &NeverBan) -> Wanted {
    let blocked = decisions
        .iter()
        .filter(|decision| decision.is_enforced() && decision.action() == Action::Block)
        .filter_map(|decision| match decision.against() {
            Subject::Address(address) => Some((*address, decision.until())),
            _ => None,
        })
        .filter(|(address, until)| !never.contains(*address) && *until > now)
        .map(|(address, until)| {
            let left = until.saturating_since(now);
            let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
            (place_of(address), seconds)
        });
    Wanted::new(never.places(), never.networks(), blocked)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Blocked,
    Free,
    Slowed,
}

/// A worker's look at the shield.
pub struct Gate {
    shield: Cache<Arc<ArcSwap<Shield>>, Arc<Shield>>,
    sources: Arc<Sources>,
    counted: KeyedMap<IpAddr, (Instant, u32)>,
    /// Datagrams and messages that were dropped.
    pub dropped: u64,
}

impl Gate {
    /// A gate behind `shield`. `sources` are the peers of the worker's plan.
    pub fn new(key: HashKey, shield: Arc<ArcSwap<Shield>>, sources: Arc<Sources>) -> Gate {
        Gate {
            shield: Cache::new(shield),
            sources,
            counted: key.map(),
            dropped: 0,
        }
    }

    /// A gate that stands by itself, over what was decided once.
    pub fn over(key: HashKey, shield: Shield) -> Gate {
        let shield = Arc::new(ArcSwap::from_pointee(shield));
        Gate::new(key, shield, Arc::new(Sources::default()))
    }

    /// The worker has a new plan.
    pub fn set_sources(&mut self, sources: Arc<Sources>) {
        self.sources = sources;
    }

    /// What is in force against accounts.
    pub fn measures(&mut self) -> &Arc<Measures> {
        &self.shield.load().measures
    }

    /// Whether something from `address` may pass.
    pub fn admits(&mut self, now: Instant, address: IpAddr) -> bool {
        let shield = self.shield.load();
        if shield.is_open() {
            return true;
        }
        let admitted = match shield.standing(now, address, &self.sources) {
            Standing::Free => true,
            Standing::Blocked => false,
            Standing::Slowed => self.has_room(now, place_of(address)),
        };
        self.dropped += u64::from(!admitted);
        admitted
    }

    fn has_room(&mut self, now: Instant, place: IpAddr) -> bool {
        if self.counted.len() >= COUNTED_MAX {
            self.counted
                .retain(|_, (since, _)| now.saturating_since(*since) < MINUTE);
            if self.counted.len() >= COUNTED_MAX {
                // More than can be counted: nobody is shut out for that.
                return true;
            }
        }
        let (since, count) = self.counted.entry(place).or_insert((now, 0));
        if now.saturating_since(*since) >= MINUTE {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count <= SLOWED_TO
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ringfence_detect::decision::{Harm, Mode, Proposal};
    use ringfence_detect::event::{PeerRef, Proof};
    use ringfence_detect::finding::Kind;
    use ringfence_detect::own::{Network, OwnSet};

    const KEY: HashKey = HashKey::from_bytes([5; 16]);

    fn decision(address: IpAddr, action: Action, seconds: u64) -> Decision {
        let proposal = Proposal {
            kind: Kind::Guessing,
            action,
            against: Subject::Address(address),
            proof: Proof::NonceEchoed,
            mode: Mode::Enforce,
            at: Instant::ZERO,
            until: Instant::ZERO + Duration::from_secs(seconds),
            events: 1,
        };
        // As if the first wall had a hole: nobody asked whom it harms.
        Decision::new(proposal, Harm::NOBODY).unwrap()
    }

    fn gate(decisions: &[Decision], own: &OwnSet) -> Gate {
        let shield = Shield::new(KEY, decisions, own.snapshot(Instant::ZERO));
        let shield = Arc::new(ArcSwap::from_pointee(shield));
        Gate::new(KEY, shield, Arc::new(Sources::default()))
    }

    #[test]
    fn a_blocked_source_is_dropped_until_its_time_is_up() {
        let address: IpAddr = "203.0.113.9".parse().unwrap();
        let mut gate = gate(&[decision(address, Action::Block, 60)], &OwnSet::new(KEY));
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        assert!(!gate.admits(at(1), address));
        assert!(!gate.admits(at(59), address));
        assert!(gate.admits(at(61), address));
        assert!(gate.admits(at(1), "203.0.113.10".parse().unwrap()));
        assert_eq!(gate.dropped, 2);
    }

    #[test]
    fn a_slowed_source_is_still_served_seldom() {
        let address: IpAddr = "203.0.113.9".parse().unwrap();
        let mut gate = gate(&[decision(address, Action::Tarpit, 600)], &OwnSet::new(KEY));
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        let passed = (0..500).filter(|_| gate.admits(at(1), address)).count();
        assert_eq!(passed, SLOWED_TO as usize);
        assert!(gate.admits(at(62), address), "a new minute");
    }

    proptest! {
        /// Whatever is decided, even by a judge that forgot all rules, nothing of the customer's is
        /// dropped.
        #[test]
        fn nothing_of_the_customers_is_ever_dropped(
            banned in proptest::collection::vec((0_u8..=40, any::<bool>()), 0..60),
            networks in proptest::collection::vec((0_u8..=40, 24_u8..=32), 0..6),
            places in proptest::collection::vec(0_u8..=40, 0..6),
            asked in proptest::collection::vec(0_u8..=40, 1..200),
        ) {
            let address = |number: u8| IpAddr::from([198, 51, 100 + number / 32, number]);
            let mut own = OwnSet::new(KEY);
            let peers: Vec<_> = networks
                .iter()
                .map(|(number, prefix)| (Network::new(address(*number), *prefix), PeerRef::new(0)))
                .collect();
            own.set_peers(peers.clone());
            for place in &places {
                own.note_registration(Instant::ZERO, address(*place), 1);
            }
            let decisions: Vec<_> = banned
                .iter()
                .map(|(number, block)| {
                    let action = if *block { Action::Block } else { Action::Tarpit };
                    decision(address(*number), action, 600)
                })
                .collect();
            let never = own.snapshot(Instant::ZERO);
            for place in for_firewall(Instant::ZERO, &decisions, &never).blocked() {
                prop_assert!(!own.is_own(Instant::ZERO, place), "{place} in the kernel's set");
            }
            let mut gate = gate(&decisions, &own);
            for number in asked {
                let asked = address(number);
                let is_own = places.contains(&number)
                    || peers.iter().any(|(network, _)| network.meets(asked));
                let admitted = gate.admits(Instant::ZERO + Duration::from_secs(1), asked);
                prop_assert!(admitted || !is_own, "{asked}");
            }
        }
    }
}

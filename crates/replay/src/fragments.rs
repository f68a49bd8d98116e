//! IP packets put together again (RFC 791 §3.2, RFC 8200 §4.5).
//!
//! Bounded: [`PACKETS_MAX`] at a time, the oldest goes first. Fragments that overlap are what no
//! honest sender makes (RFC 5722): such a packet is dropped whole.

use std::collections::VecDeque;
use std::net::IpAddr;

use ringfence_base::{HashKey, KeyedMap};

use crate::packet::{Fragment, Ip};

/// Packets that wait for fragments.
pub const PACKETS_MAX: usize = 256;
/// Bytes of one packet.
const BYTES_MAX: usize = 65_535;
/// Fragments of one packet.
const FRAGMENTS_MAX: usize = 256;

type Id = (IpAddr, IpAddr, u8, u32);

#[derive(Debug, Default)]
struct Parts {
    /// By offset, not overlapping.
    parts: Vec<(usize, Vec<u8>)>,
    total: Option<usize>,
}

/// Packets in parts.
#[derive(Debug)]
pub struct Fragments {
    waiting: KeyedMap<Id, Parts>,
    order: VecDeque<Id>,
    dropped: u64,
}

impl Fragments {
    /// None yet.
    pub fn new(key: HashKey) -> Fragments {
        Fragments {
            waiting: key.map(),
            order: VecDeque::new(),
            dropped: 0,
        }
    }

    /// Takes a fragment; the payload of the packet when it is whole.
    pub fn push(&mut self, ip: &Ip<'_>, fragment: Fragment) -> Option<Vec<u8>> {
        let id = (ip.from, ip.to, ip.protocol, fragment.id);
        if !self.waiting.contains_key(&id) {
            if self.order.len() >= PACKETS_MAX
                && let Some(oldest) = self.order.pop_front()
                && self.waiting.remove(&oldest).is_some()
            {
                self.dropped += 1;
            }
            self.order.push_back(id);
        }
        let parts = self.waiting.entry(id).or_default();
        match parts.add(fragment, ip.payload) {
            Ok(false) => None,
            whole => {
                let parts = self.waiting.remove(&id);
                self.order.retain(|other| *other != id);
                self.dropped += u64::from(whole.is_err());
                whole.ok()?;
                Some(
                    parts?
                        .parts
                        .into_iter()
                        .flat_map(|(_, data)| data)
                        .collect(),
                )
            }
        }
    }

    /// Packets that were never whole, those that still wait included.
    pub fn incomplete(&self) -> u64 {
        self.dropped + self.waiting.len() as u64
    }
}

struct Nonsense;

impl Parts {
    /// Whether the packet is whole.
    fn add(&mut self, fragment: Fragment, data: &[u8]) -> Result<bool, Nonsense> {
        let begins = fragment.offset as usize;
        let ends = begins + data.len();
        if ends > BYTES_MAX || data.is_empty() || self.parts.len() >= FRAGMENTS_MAX {
            return Err(Nonsense);
        }
        if !fragment.more && *self.total.get_or_insert(ends) != ends {
            return Err(Nonsense);
        }
        let place = self.parts.partition_point(|(at, _)| *at < begins);
        match self.parts.get(place) {
            // The same again: a capture on two interfaces, or a retransmission.
            Some((at, same)) if *at == begins && same == data => return Ok(self.is_whole()),
            Some((at, _)) if *at < ends => return Err(Nonsense),
            _ => {}
        }
        let before = place
            .checked_sub(1)
            .and_then(|before| self.parts.get(before));
        if before.is_some_and(|(at, data)| at + data.len() > begins) {
            return Err(Nonsense);
        }
        self.parts.insert(place, (begins, data.to_vec()));
        Ok(self.is_whole())
    }

    fn is_whole(&self) -> bool {
        let mut reached = 0;
        for (at, data) in &self.parts {
            if *at != reached {
                return false;
            }
            reached += data.len();
        }
        self.total == Some(reached)
    }
}

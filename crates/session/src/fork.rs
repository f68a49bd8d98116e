//! A phone user with several contacts: they ring together, and the first to answer has the call
//! (RFC 3261 §16.6, §16.7).
//!
//! Contacts of one `q` ring in parallel; those of a lower one ring when the better ones have all
//! failed, or have rung for the group's time. The INVITEs of a round are branches of one request:
//! one Call-ID, one From tag, one offer, as a forking proxy would send them, so the phones are told
//! apart by their To tags. The branch whose response is being worked on is in the call's bridge
//! and leg B; the others wait here.
//!
//! Keys for SRTP are a matter of a round, never of two. Phones at TLS and phones at anything else
//! are no round together where the policy leaves it open what is offered: what suits the one is
//! too much or too little for the other.

use std::cmp::Reverse;

use bytes::Bytes;
use ringfence_base::{Flow, Instant};
use ringfence_dialog::ClientId;
use ringfence_sip::Index;
use smallvec::SmallVec;

use crate::call::{CallKey, Phase, Side};
use crate::cdr::EndedBy;
use crate::core::Core;
use crate::incoming::Reply;
use crate::outgoing::our_address;
use crate::plan::{MediaPolicy, Peer};
use crate::registrar::Target;
use crate::registrar::line::Binding;
use crate::responses::status_across;
use crate::setup::Attempt;
use crate::supervise::AlarmKind;

/// Most contacts that one call rings at, all its rounds together.
pub(crate) const BRANCHES_MAX: usize = 10;

/// What the phones that are cancelled are told when another one has answered, so that they show
/// no missed call (RFC 3326 §3.1).
pub(crate) const ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";

/// The contacts of a call beside the one that is being worked on.
#[derive(Debug, Default)]
pub(crate) struct Fork {
    /// They ring.
    beside: SmallVec<[Branch; 2]>,
    /// The rest of the round that is being sent.
    next: Vec<Target>,
    /// Further rounds, the next one last.
    later: Vec<Vec<Target>>,
    /// The best failure so far.
    best: Option<Failure>,
    round: u8,
}

/// One contact that rings.
#[derive(Debug)]
struct Branch {
    client: ClientId,
    cseq: u32,
    flow: Flow,
    target: Option<Box<Target>>,
    invite: Option<Bytes>,
}

/// How a branch failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<u32>,
    pub(crate) q850: Option<u8>,
}

impl Failure {
    /// No answer at all is like a 408 (RFC 3261 §16.8).
    pub(crate) const SILENT: Failure = Failure {
        status: 408,
        retry_after: None,
        q850: None,
    };

    /// Lower is better (RFC 3261 §16.7 step 6): an answer for all places first, then the lowest
    /// class; in it what the caller can do something about, and last what is about one place only.
    const fn rank(self) -> u8 {
        match self.status {
            600.. => 0,
            300..=399 => 1,
            401 | 407 | 415 | 420 | 484 => 2,
            486 => 3,
            408 | 430 | 482 | 487 => 5,
            400..=499 => 4,
            503 => 7,
            _ => 6,
        }
    }
}

impl Fork {
    /// For the contacts behind the first one; `None` if it is the only one.
    pub(crate) fn new(also: Vec<Vec<Target>>, first: Option<&Target>) -> Option<Box<Fork>> {
        let spare = first.is_some_and(|target| target.spare.is_some());
        if !spare && also.iter().all(Vec::is_empty) {
            return None;
        }
        let mut rounds = also.into_iter();
        let next = rounds.next().unwrap_or_default();
        Some(Box::new(Fork {
            next,
            later: rounds.rev().collect(),
            ..Fork::default()
        }))
    }

    /// The caller has heard what no other round could take back.
    pub(crate) fn stay(&mut self) {
        self.later.clear();
    }

    fn note(&mut self, failure: Failure) {
        if self.best.is_none_or(|best| failure.rank() < best.rank()) {
            self.best = Some(failure);
        }
    }
}

/// The rounds in which contacts ring: by `q`, and of each device one flow at a time (RFC 5626 §7).
/// `bindings` are in the order in which equals are written to.
pub(crate) fn rounds(bindings: Vec<Binding>, media: MediaPolicy) -> Vec<Vec<Target>> {
    let mut devices: Vec<(Rank, Option<Box<str>>, Target)> = Vec::new();
    for binding in bindings {
        let plain = !binding.flow.transport.is_secure() && media == MediaPolicy::Either;
        let rank = (Reverse(binding.q), plain);
        let target = Target {
            flow: binding.flow,
            uri: binding.contact,
            path: binding.path,
            spare: None,
        };
        let same = |known: &&mut (Rank, Option<Box<str>>, Target)| {
            binding.instance.is_some() && known.1 == binding.instance
        };
        if let Some((_, _, first)) = devices.iter_mut().find(same) {
            first.spare.get_or_insert(Box::new(target));
        } else if devices.len() < BRANCHES_MAX {
            devices.push((rank, binding.instance, target));
        }
    }
    devices.sort_by_key(|(rank, ..)| *rank);
    let rounds = devices.chunk_by(|a, b| a.0 == b.0);
    rounds
        .map(|round| round.iter().map(|(.., target)| target.clone()).collect())
        .collect()
}

/// Contacts of one rank ring together.
type Rank = (Reverse<u16>, bool);

impl Core {
    /// Sends the INVITE of `attempt` to the rest of its round. The first of it has it already.
    pub(crate) fn ring_beside(
        &mut self,
        now: Instant,
        attempt: &Attempt<'_, '_>,
        peer: &Peer,
        body: Option<&[u8]>,
    ) {
        let key = attempt.key;
        let fork = self.call_mut(key).and_then(|call| call.fork.as_mut());
        let Some(fork) = fork else { return };
        for target in std::mem::take(&mut fork.next) {
            let Ok(client) = self.transactions.reserve_client() else {
                break;
            };
            let ours = self
                .call(key)
                .and_then(|call| our_address(&call.plan, &target.flow));
            let branch = Branch {
                client,
                cseq: 1,
                flow: target.flow,
                target: Some(Box::new(target)),
                invite: None,
            };
            match ours {
                Some(ours) if self.change_to(key, branch) => {
                    self.send_invite(now, attempt, ours, peer, client, body);
                }
                _ => self.transactions.release_client(client),
            }
        }
        self.watch_round(now, key);
    }

    /// Takes `branch` into the call's bridge; the one that was there rings beside.
    fn change_to(&mut self, key: CallKey, branch: Branch) -> bool {
        let Some(call) = self.call_mut(key) else {
            return false;
        };
        let (Some(fork), Some(bridge)) = (&mut call.fork, &mut call.bridge) else {
            return false;
        };
        let leg = &mut call.legs[Side::B.index()];
        fork.beside.push(Branch {
            client: std::mem::replace(&mut bridge.client, branch.client),
            cseq: std::mem::replace(&mut bridge.client_cseq, branch.cseq),
            flow: std::mem::replace(&mut leg.flow, branch.flow),
            target: std::mem::replace(&mut call.route.target, branch.target),
            invite: std::mem::replace(&mut call.sent_invite, branch.invite),
        });
        true
    }

    /// If `client` is a branch that rings beside, it is the one that is worked on from here on.
    pub(crate) fn select_branch(&mut self, key: CallKey, client: ClientId) {
        let fork = self.call_mut(key).and_then(|call| call.fork.as_mut());
        let Some(fork) = fork else { return };
        let place = fork
            .beside
            .iter()
            .position(|beside| beside.client == client);
        if let Some(place) = place {
            let branch = fork.beside.swap_remove(place);
            self.change_to(key, branch);
        }
    }

    fn watch_round(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.call(key) else { return };
        let group = call
            .route
            .callee
            .and_then(|it| call.plan.phone_group(it.group));
        if let (Some(fork), Some(group)) = (&call.fork, group)
            && !fork.later.is_empty()
        {
            let kind = AlarmKind::Round(fork.round);
            self.schedule(now, group.ring_each, key, kind);
        }
    }

    /// The contacts of a round have rung for their time: those of the next one do.
    pub(crate) fn on_round_over(&mut self, now: Instant, key: CallKey, round: u8) {
        let client_of = |core: &Core| Some(core.call(key)?.bridge.as_ref()?.client);
        let due = self
            .call(key)
            .and_then(|call| call.fork.as_ref())
            .is_some_and(|fork| fork.round == round);
        let before = client_of(self);
        if due && !self.next_round(now, key, true) && client_of(self) != before {
            // The old round is cancelled, and the new one could not be sent.
            self.give_up(now, key, Failure::SILENT, EndedBy::Edge);
        }
    }

    /// The branch in the bridge failed. Whether that was not the call's end, or was dealt with:
    /// others ring, or will, or the caller has got the best of the failures.
    pub(crate) fn ring_on(&mut self, now: Instant, key: CallKey, failure: Failure) -> bool {
        let Some(call) = self.call_mut(key).filter(|call| call.phase == Phase::Setup) else {
            return false;
        };
        let Some(fork) = &mut call.fork else {
            return false;
        };
        if failure.status >= 600 {
            // The user itself said so, for all its phones (RFC 3261 §16.7 step 5).
            self.leave_others(now, key, None);
            return false;
        }
        fork.note(failure);
        // A way that is dead says nothing about the device behind it.
        let dead = matches!(failure.status, 408 | 430);
        let target = call.route.target.as_mut().filter(|_| dead);
        if let Some(spare) = target.and_then(|target| target.spare.take()) {
            fork.later.push(vec![*spare]);
        }
        if let Some(branch) = fork.beside.pop() {
            self.change_to(key, branch);
            // The one that failed is no branch any more.
            if let Some(fork) = self.call_mut(key).and_then(|call| call.fork.as_mut()) {
                fork.beside.pop();
            }
            return true;
        }
        if self.next_round(now, key, false) {
            return true;
        }
        let fork = self.call_mut(key).and_then(|call| call.fork.take());
        match fork.and_then(|fork| fork.best) {
            // The last one is none other than if it had rung alone.
            Some(best) if best != failure => {
                self.give_up(now, key, best, EndedBy::Callee);
                true
            }
            _ => false,
        }
    }

    fn give_up(&mut self, now: Instant, key: CallKey, best: Failure, ended_by: EndedBy) {
        if let Some(call) = self.call_mut(key) {
            call.fork = None;
            call.leg_mut(Side::B).status = Some(best.status);
            call.facts.q850 = best.q850;
        }
        let status = status_across(best.status);
        self.finish_setup(now, key, status, ended_by, best.retry_after);
    }

    /// Sends the call to its next round, and cancels what is left of the one before; `open` is
    /// whether the branch in the bridge is. `false`: there is none that could be sent.
    fn next_round(&mut self, now: Instant, key: CallKey, mut open: bool) -> bool {
        loop {
            let Some(call) = self.call_mut(key).filter(|call| call.phase == Phase::Setup) else {
                return false;
            };
            let peer = call.leg(Side::B).peer;
            let Some(fork) = &mut call.fork else {
                return false;
            };
            let Some(mut round) = fork.later.pop() else {
                return false;
            };
            if round.is_empty() {
                continue;
            }
            let first = round.remove(0);
            let flow = first.flow;
            fork.next = round;
            fork.round = fork.round.wrapping_add(1);
            let beside = std::mem::take(&mut fork.beside);
            let Some(asked) = self.leave_branch(now, key, open, peer, flow) else {
                // Those that ring go on ringing.
                if let Some(fork) = self.call_mut(key).and_then(|call| call.fork.as_mut()) {
                    fork.beside = beside;
                    fork.next.clear();
                }
                continue;
            };
            open = false;
            for branch in beside {
                self.abandon(now, branch.client);
            }
            if let Some(call) = self.call_mut(key) {
                call.route.target = Some(Box::new(first));
            }
            let mut index = Index::default();
            let Ok(message) = index.parse(&asked.request) else {
                return false;
            };
            let reply = Reply::new(asked.server, &message, asked.flow);
            let attempt = Attempt::new(key, asked.id, reply);
            if self.dial(now, &attempt, false).is_ok() {
                return true;
            }
        }
    }

    /// Cancels all branches but the one in the bridge; nobody else will ring.
    pub(crate) fn leave_others(&mut self, now: Instant, key: CallKey, reason: Option<&str>) {
        let Some(fork) = self.call_mut(key).and_then(|call| call.fork.take()) else {
            return;
        };
        for branch in fork.beside {
            if let Some(reason) = reason {
                self.transactions.set_cancel_reason(branch.client, reason);
            }
            self.abandon(now, branch.client);
        }
    }

    /// Says why the phones that ring beside are about to be cancelled.
    pub(crate) fn set_reason_of_others(&mut self, key: CallKey, reason: &str) {
        let fork = self.call(key).and_then(|call| call.fork.as_ref());
        let beside = fork.into_iter().flat_map(|fork| &fork.beside);
        let clients: SmallVec<[ClientId; 2]> = beside.map(|branch| branch.client).collect();
        for client in clients {
            self.transactions.set_cancel_reason(client, reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(statuses: &[u16], best: u16) {
        let mut fork = Fork::default();
        for &status in statuses {
            fork.note(Failure {
                status,
                ..Failure::SILENT
            });
        }
        assert_eq!(
            fork.best.map(|best| best.status),
            Some(best),
            "{statuses:?}"
        );
    }

    #[test]
    fn the_best_of_several_failures_is_chosen_rfc3261_16_7() {
        check(&[408, 486, 503], 486);
        check(&[503, 500], 500);
        check(&[480, 486, 404], 486);
        check(&[404, 415], 415);
        check(&[482, 480], 480);
        check(&[486, 302], 302);
        check(&[302, 603], 603);
        check(&[503], 503);
    }
}

//! The search for a peer that carries the call: from one way to the next.
//!
//! A call goes on to its next way when its peer says nothing at all for a time, cannot be reached,
//! or answers one of its failover codes. It goes on no more once the caller has heard early media
//! (the answer in it cannot be taken back), and on silence or 408 no more once the callee's phone
//! rings. The caller sees one call throughout.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use ringfence_base::{Flow, Instant};
use ringfence_dialog::{ClientId, ServerId};
use ringfence_sip::Index;
use smallvec::SmallVec;

use crate::call::{CallKey, Leg, Phase, Side, Stage};
use crate::call_id::CallId;
use crate::core::Core;
use crate::event::Event;
use crate::health::{Evidence, Fault};
use crate::incoming::Reply;
use crate::outgoing::our_address;
use crate::plan::{Peer, PeerId, PeerKind};
use crate::setup::{Attempt, tag_text};
use crate::supervise::AlarmKind;
use crate::ways::Way;

/// What is left to try for a call in setup.
#[derive(Debug)]
pub(crate) struct Hunt {
    /// The ways that were not tried yet, the next one last.
    pub(crate) left: SmallVec<[Way; 2]>,
    /// Whether the callee's phone rings.
    pub(crate) rung: bool,
}

/// The caller's INVITE, from which the next one of ours is made.
pub(crate) struct Asked {
    pub(crate) request: Bytes,
    pub(crate) id: CallId,
    pub(crate) server: ServerId,
    pub(crate) flow: Flow,
}

/// What became of a branch, in words for the record.
struct Outcome(Fault);

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " ({})", self.0)
    }
}

impl Core {
    /// Sets the timer of a call whose INVITE was just sent: how long its peer may be silent. The
    /// last way of all has the transaction's own time (timer B).
    pub(crate) fn watch_silence(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.call(key) else { return };
        let more = call.hunt.as_ref().is_some_and(|hunt| !hunt.left.is_empty());
        if let (true, Some(peer), Some(bridge)) = (more, call.peer(Side::B), &call.bridge) {
            let (after, client) = (peer.failover.after, bridge.client);
            self.schedule(now, after, key, AlarmKind::Unanswered(client));
        }
    }

    /// The peer has been silent for as long as it may be.
    pub(crate) fn on_unanswered(&mut self, now: Instant, key: CallKey, client: ClientId) {
        let waits = self.call(key).is_some_and(|call| {
            let current = call.bridge.as_ref().is_some_and(|b| b.client == client);
            current && !call.heard
        });
        if waits {
            self.note_fault(now, key, Fault::Silent);
            self.go_on(now, key, Fault::Silent, true);
        }
    }

    /// A response to the call's first INVITE: its peer is there.
    pub(crate) fn note_response(&mut self, now: Instant, key: CallKey, status: u16) {
        let Some(call) = self.call_mut(key) else {
            return;
        };
        call.heard = true;
        if let Some(hunt) = &mut call.hunt
            && (180..200).contains(&status)
        {
            hunt.rung = true;
        }
        let address = call.leg(Side::B).flow.remote;
        let Some(peer) = call.peer(Side::B) else {
            return;
        };
        if peer.addresses.len() > 1 {
            peer.usage.standing.note_alive(address);
        }
        if peer.failover.is_fault(status) {
            return self.note_fault(now, key, Fault::Status(status));
        }
        // 100 comes from the next hop's transaction layer and proves little.
        if status > 100 {
            let (plan, id) = (Arc::clone(&call.plan), call.leg(Side::B).peer);
            if let Some(peer) = plan.peer(id) {
                self.note_line_proof(now, peer, Evidence::Call);
            }
        }
    }

    /// Notes evidence that `peer` works, and tells if that brings it back into use.
    pub(crate) fn note_line_proof(&mut self, now: Instant, peer: &Peer, evidence: Evidence) {
        if peer.usage.standing.note_proof(now, evidence) {
            self.emit(Event::LineReturned {
                kind: peer.kind,
                key: peer.key.clone(),
            });
        }
    }

    /// Counts a fault of the peer that the call was sent to.
    pub(crate) fn note_fault(&mut self, now: Instant, key: CallKey, fault: Fault) {
        let Some(call) = self.call(key) else { return };
        let leg = call.leg(Side::B);
        let (id, address) = (leg.peer, leg.flow.remote);
        let plan = Arc::clone(&call.plan);
        if let Some(peer) = plan.peer(id) {
            if matches!(fault, Fault::Silent | Fault::Transport) {
                peer.usage.standing.note_dead(address, now);
                self.suspect_registration(now, peer);
            }
            self.note_line_fault(now, peer, fault);
        }
    }

    /// Counts a fault of `peer`, and tells if that takes it out of use.
    pub(crate) fn note_line_fault(&mut self, now: Instant, peer: &Peer, fault: Fault) {
        if peer.kind == PeerKind::Phones {
            // One phone that is silent says nothing about the others.
            return;
        }
        let limit = peer.failover.quarantine_after;
        if peer.usage.standing.note_fault(now, fault, limit) {
            self.emit(Event::LineQuarantined {
                kind: peer.kind,
                key: peer.key.clone(),
                fault,
                failures: limit,
            });
        }
    }

    /// A carrier that does not know us any more refuses our calls in one of these ways.
    pub(crate) fn note_refusal(&mut self, now: Instant, key: CallKey, status: u16) {
        let Some(call) = self.call(key).filter(|_| matches!(status, 401 | 403 | 407)) else {
            return;
        };
        let plan = Arc::clone(&call.plan);
        if let Some(peer) = plan.peer(call.leg(Side::B).peer) {
            self.suspect_registration(now, peer);
        }
    }

    /// Whether a final answer with `status` sends the call on, and if so, does.
    pub(crate) fn go_on_after(&mut self, now: Instant, key: CallKey, status: u16) -> bool {
        let goes_on = self.call(key).is_some_and(|call| {
            let rung = call.hunt.as_ref().is_some_and(|hunt| hunt.rung);
            let emergency = call.route.emergency;
            call.peer(Side::B)
                .is_some_and(|peer| peer.failover.goes_on(status, emergency, rung))
        });
        goes_on && self.go_on(now, key, Fault::Status(status), false)
    }

    /// Sends the call on to its next way. `false`: there is none that has room. `open` is whether
    /// the branch in use may still be answered, and has to be cancelled.
    pub(crate) fn go_on(&mut self, now: Instant, key: CallKey, fault: Fault, open: bool) -> bool {
        let mut open = open;
        let mut fault = Some(fault);
        while let Some(way) = self.next_way(now, key) {
            let Some(asked) = self.leave_for(now, key, open, way) else {
                return false;
            };
            open = false;
            if let Some(call) = self.call_mut(key) {
                let plan = Arc::clone(&call.plan);
                let why = fault.take().map(|fault| Outcome(fault).to_string());
                call.route.go_on(&plan, way.peer, &why.unwrap_or_default());
            }
            let mut index = Index::default();
            let Ok(message) = index.parse(&asked.request) else {
                return false;
            };
            let reply = Reply::new(asked.server, &message, asked.flow);
            let attempt = Attempt::new(key, asked.id, reply);
            if self.dial(now, &attempt, false).is_ok() {
                self.counters.calls_failed_over += 1;
                return true;
            }
        }
        false
    }

    /// The next way with room, whose channel and place in the rate are taken.
    fn next_way(&mut self, now: Instant, key: CallKey) -> Option<Way> {
        let call = self
            .call_mut(key)
            .filter(|call| call.phase == Phase::Setup)?;
        let plan = Arc::clone(&call.plan);
        let emergency = call.route.emergency;
        loop {
            let way = call.hunt.as_mut()?.left.pop()?;
            let peer = plan.peer(way.peer)?;
            let admission = call.admission.as_mut()?;
            let stays = call.legs[Side::B.index()].peer == way.peer;
            if stays || admission.move_to(peer, emergency, now) {
                return Some(way);
            }
        }
    }

    /// Sends the caller's INVITE to `way` instead, where its channel is taken already.
    pub(crate) fn send_to(&mut self, now: Instant, key: CallKey, way: Way) -> bool {
        let Some(asked) = self.leave_for(now, key, false, way) else {
            return false;
        };
        let mut index = Index::default();
        let Ok(message) = index.parse(&asked.request) else {
            return false;
        };
        let reply = Reply::new(asked.server, &message, asked.flow);
        let attempt = Attempt::new(key, asked.id, reply);
        self.dial(now, &attempt, false).is_ok()
    }

    /// Takes leg B from the branch in use to `way`. Gives what the next INVITE is made from.
    fn leave_for(&mut self, now: Instant, key: CallKey, open: bool, way: Way) -> Option<Asked> {
        let call = self.call(key)?;
        let flow = call.plan.peer(way.peer)?.flow_to(way.address);
        self.leave_branch(now, key, open, way.peer, flow)
    }

    /// The same to `peer` at `flow`.
    pub(crate) fn leave_branch(
        &mut self,
        now: Instant,
        key: CallKey,
        open: bool,
        peer: PeerId,
        flow: Flow,
    ) -> Option<Asked> {
        let asked = self.call(key).is_some_and(|call| {
            call.screening.is_some() && call.leg(Side::B).flow.listener != flow.listener
        });
        if asked {
            // The ports towards the callee were taken when the caller was answered.
            return None;
        }
        let client = self.transactions.reserve_client().ok()?;
        let tag = self.cookies.new_tag(&mut *self.entropy);
        let call_id = self.cookies.new_call_id(&mut *self.entropy);
        let known = self.call(key);
        let reachable = known.is_some_and(|call| our_address(&call.plan, &flow).is_some());
        let (true, Some(call)) = (reachable, self.calls.get_mut(key.slot as usize)) else {
            self.transactions.release_client(client);
            return None;
        };
        let bridge = call.bridge.as_mut()?;
        let Stage::Pending { request, .. } = &bridge.stage else {
            self.transactions.release_client(client);
            return None;
        };
        let request = request.clone();
        let old_client = std::mem::replace(&mut bridge.client, client);
        bridge.client_cseq = 1;
        let server = bridge.server;
        let new_leg = Leg {
            peer,
            flow,
            local_tag: tag,
            dialog: None,
            status: None,
            authorization: None,
            allows_update: false,
            timer: None,
            refresh: None,
        };
        let old_leg = std::mem::replace(&mut call.legs[Side::B.index()], new_leg);
        call.egress_call_id = call_id;
        call.heard = false;
        call.facts.q850 = None;
        // No stream and no key of one peer is ever used with another.
        match call.screening {
            // The caller's stream is up.
            Some(_) => call.media.forget_callee(),
            None => call.media.restart(&mut self.media),
        }
        call.provisionals.leave_callee();
        call.sent_invite = None;
        let id = call.id;
        let asked = Asked {
            request,
            id,
            server,
            flow: call.leg(Side::A).flow,
        };
        self.by_tag.remove(&tag_text(&old_leg.local_tag));
        self.by_tag.insert(tag_text(&tag), (key, Side::B));
        if open {
            self.abandon(now, old_client);
        }
        Some(asked)
    }
}

/// The ways behind the first one, the next one last; `None` when there are none.
pub(crate) fn hunt(ways: &[Way], first: usize) -> Option<Box<Hunt>> {
    let left: SmallVec<[Way; 2]> = ways.iter().skip(first + 1).rev().copied().collect();
    (!left.is_empty()).then(|| Box::new(Hunt { left, rung: false }))
}

/// The first way that `has_room` says yes to.
pub(crate) fn first_with_room(
    ways: &[Way],
    mut has_room: impl FnMut(PeerId) -> bool,
) -> Option<usize> {
    let mut full: Option<PeerId> = None;
    ways.iter().position(|way| {
        // Further addresses of a full peer are as full.
        let again = full == Some(way.peer);
        full = Some(way.peer);
        !again && has_room(way.peer)
    })
}

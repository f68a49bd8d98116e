//! One call: two legs, the INVITE that is on its way between them, and its media.

use std::sync::Arc;

use bytes::Bytes;
use ringfence_base::net::Flow;
use ringfence_base::{Instant, UnixTime};
use ringfence_dialog::dialog::Dialog;
use ringfence_dialog::{ClientId, LocalCallId, Owner, ServerId, Tag};
use ringfence_sip::{HeaderName, Message};

use crate::admission::Admission;
use crate::call_id::CallId;
use crate::fork::Fork;
use crate::hunt::Hunt;
use crate::identity::Identity;
use crate::negotiation::Negotiation;
use crate::plan::{Peer, PeerId, Plan};
use crate::registrar::Caller;
use crate::registrar::group::GroupId;
use crate::reliable::Provisionals;
use crate::routing::Route;
use crate::screening::Screening;
use crate::session_timer::{Refresh, SessionTimer};
use crate::trace::LegSide;
use crate::transfer::{Referral, Transfer};
use crate::update::Exchange;

/// Names a call in the core's table. The generation makes the key of an ended call name nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CallKey {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// Generations stay below this, so that an owner has room for the side.
pub(crate) const GENERATION_MAX: u32 = i32::MAX as u32;

impl CallKey {
    /// The opaque owner of a transaction of this call's leg.
    pub(crate) const fn owner(self, side: Side) -> Owner {
        let side = matches!(side, Side::B) as u64;
        Owner((self.generation as u64) << 33 | side << 32 | self.slot as u64)
    }

    /// What [`CallKey::owner`] packed.
    pub(crate) const fn from_owner(owner: Owner) -> (CallKey, Side) {
        let side = if owner.0 >> 32 & 1 == 1 {
            Side::B
        } else {
            Side::A
        };
        (
            CallKey {
                slot: owner.0 as u32,
                generation: (owner.0 >> 33) as u32,
            },
            side,
        )
    }
}

/// The two legs: A is the caller's (we answer), B is the callee's (we call).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    A,
    B,
}

impl Side {
    pub(crate) const BOTH: [Side; 2] = [Side::A, Side::B];

    pub(crate) const fn other(self) -> Side {
        match self {
            Side::A => Side::B,
            Side::B => Side::A,
        }
    }

    pub(crate) const fn index(self) -> usize {
        match self {
            Side::A => 0,
            Side::B => 1,
        }
    }

    pub(crate) const fn leg_side(self) -> LegSide {
        match self {
            Side::A => LegSide::Ingress,
            Side::B => LegSide::Egress,
        }
    }

    pub(crate) const fn media_side(self) -> ringfence_media::Side {
        match self {
            Side::A => ringfence_media::Side::A,
            Side::B => ringfence_media::Side::B,
        }
    }
}

/// A call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) key: CallKey,
    pub(crate) id: CallId,
    /// The plan that the call began under; a reload does not touch it.
    pub(crate) plan: Arc<Plan>,
    pub(crate) route: Route,
    pub(crate) phase: Phase,
    pub(crate) legs: [Leg; 2],
    /// Call-ID of leg B; leg A's is in its dialog.
    pub(crate) egress_call_id: LocalCallId,
    /// Our first INVITE, until the callee's 2xx has made leg B's dialog of it.
    pub(crate) sent_invite: Option<Bytes>,
    pub(crate) bridge: Option<Bridge>,
    /// An UPDATE or PRACK with an offer that came on one leg and goes to the other.
    pub(crate) exchange: Option<Box<Exchange>>,
    /// Ringing: what the callee's and our provisional responses have set up.
    pub(crate) provisionals: Provisionals,
    /// Where else the call may go; none once it is decided.
    pub(crate) hunt: Option<Box<Hunt>>,
    /// The contacts of a phone user that the call rings at, where they are several.
    pub(crate) fork: Option<Box<Fork>>,
    /// Whether the peer on leg B has answered anything to the first INVITE.
    pub(crate) heard: bool,
    pub(crate) media: Negotiation,
    /// Who calls, as far as it may be said.
    pub(crate) identity: Identity,
    pub(crate) facts: Facts,
    /// Dropped with the call, or when it is over for the caller: the channels go back.
    pub(crate) admission: Option<Admission>,
    /// What a leg that was transferred here holds.
    pub(crate) kept_admission: Option<Admission>,
    /// The caller was answered by the edge, and is asked or waits for the callee.
    pub(crate) screening: Option<Box<Screening>>,
    /// The leg that another one of its peer is about to take the place of (RFC 3891).
    pub(crate) replaced: Option<Box<(Side, Leg)>>,
    /// The caller was replaced while the call rang, and the new one has no answer yet.
    pub(crate) caller_changed: bool,
    /// A transfer that was asked for in this call.
    pub(crate) referral: Option<Box<Referral>>,
    /// The transfer that this call was made by.
    pub(crate) transfer: Option<Box<Transfer>>,
    /// How often it was redirected.
    pub(crate) redirects: u8,
    /// How many transfers led here.
    pub(crate) transfers: u8,
}

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The first INVITE has no final answer.
    Setup,
    /// Answered.
    Up,
    /// Over and recorded. Either the callee's final answer is awaited, lest a late 200 leaves it
    /// connected to nobody (RFC 3261 §9.1); or the caller's ACK, before which it gets no BYE (§15).
    Ending,
}

/// One leg.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) peer: PeerId,
    /// Where its requests came from, or ours went to.
    pub(crate) flow: Flow,
    pub(crate) local_tag: Tag,
    /// From the first INVITE on leg A, from the 2xx on leg B.
    pub(crate) dialog: Option<Dialog>,
    /// Final status given (A) or received (B).
    pub(crate) status: Option<u16>,
    /// Whether the peer's Allow has UPDATE.
    pub(crate) allows_update: bool,
    pub(crate) timer: Option<SessionTimer>,
    /// A refresh of the session timer on its way.
    pub(crate) refresh: Option<Refresh>,
    /// The credentials of our last INVITE, for its ACK (RFC 3261 §22.1).
    pub(crate) authorization: Option<SentCredentials>,
}

/// A header of ours with credentials, and its value.
pub(crate) type SentCredentials = (HeaderName, Box<[u8]>);

/// An INVITE that came on one leg and was sent on on the other.
#[derive(Debug)]
pub(crate) struct Bridge {
    /// The leg on which it came.
    pub(crate) from: Side,
    pub(crate) server: ServerId,
    pub(crate) client: ClientId,
    /// CSeq of our INVITE.
    pub(crate) client_cseq: u32,
    pub(crate) initial: bool,
    pub(crate) stage: Stage,
}

/// How far a bridged INVITE is.
#[derive(Debug)]
pub(crate) enum Stage {
    /// No final answer yet. Keeps the request, from which all our responses are made.
    Pending {
        /// The request as received.
        request: Bytes,
        /// Whether it carried an offer.
        offer: bool,
    },
    /// We answered 2xx and wait for its ACK.
    Answered {
        /// The far leg's ACK waits for the answer in this leg's ACK: the offer was in the 2xx.
        late_offer: bool,
    },
}

/// What the record will say.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) from: Box<str>,
    pub(crate) to: Box<str>,
    pub(crate) started: UnixTime,
    pub(crate) ringing: Option<UnixTime>,
    pub(crate) answered: Option<UnixTime>,
    pub(crate) answered_at: Option<Instant>,
    /// Q.850 cause that a peer gave.
    pub(crate) q850: Option<u8>,
}

impl Leg {
    /// A leg without a dialog.
    pub(crate) const fn new(peer: PeerId, flow: Flow, local_tag: Tag) -> Leg {
        Leg {
            peer,
            flow,
            local_tag,
            dialog: None,
            status: None,
            allows_update: false,
            timer: None,
            refresh: None,
            authorization: None,
        }
    }
}

impl Call {
    pub(crate) fn leg(&self, side: Side) -> &Leg {
        &self.legs[side.index()]
    }

    pub(crate) fn leg_mut(&mut self, side: Side) -> &mut Leg {
        &mut self.legs[side.index()]
    }

    /// Whether the leg has a dialog that `request` belongs to.
    pub(crate) fn has_dialog_of(&self, side: Side, request: &Message<'_>) -> bool {
        match &self.leg(side).dialog {
            Some(dialog) => dialog.matches_request(request),
            None => side == Side::B && self.provisionals.has_dialog_of(request),
        }
    }

    /// The leg's dialog that `request` belongs to: the one that is up, or one with a callee that
    /// rings.
    pub(crate) fn dialog_of(&mut self, side: Side, request: &Message<'_>) -> Option<&mut Dialog> {
        let Call {
            legs, provisionals, ..
        } = self;
        match &mut legs[side.index()].dialog {
            Some(dialog) => dialog.matches_request(request).then_some(dialog),
            None if side == Side::B => provisionals.dialog_of(request),
            None => None,
        }
    }

    /// The peer of a leg. The plan is the call's own, so the id is always valid.
    pub(crate) fn peer(&self, side: Side) -> Option<&Peer> {
        self.plan.peer(self.leg(side).peer)
    }

    /// The phone user on a side, if there is one, as another plan has it.
    pub(crate) fn phone_in(&self, plan: &Plan, side: Side) -> Option<Caller> {
        let (group, user) = match side {
            Side::A => self.route.caller.map(|phone| (phone.group, phone.user)),
            Side::B => self.route.callee.map(|phone| (phone.group, phone.user)),
        }?;
        let group = self.plan.phone_group(group)?;
        let name = &group.user(user)?.name;
        let place = plan
            .phones
            .iter()
            .position(|other| other.key == group.key)?;
        Some(Caller {
            group: GroupId::new(place as u16),
            user: plan.phones.get(place)?.index_of(name.as_bytes())?,
        })
    }

    /// Whether `server` is the INVITE that waits for a final answer.
    pub(crate) fn is_pending(&self, server: ServerId) -> bool {
        let pending = self.bridge.as_ref().is_some_and(|bridge| {
            bridge.server == server && matches!(bridge.stage, Stage::Pending { .. })
        });
        // In a call that is over, or that we answered ourselves, it has had its final answer.
        pending && self.phase != Phase::Ending && self.screening.is_none()
    }

    /// Whether the call rings for a caller whose place another one may take: it has offered, the
    /// callee is not in the middle of anything, and no transfer made the call.
    pub(crate) fn may_change_caller(&self) -> bool {
        let Some(bridge) = &self.bridge else {
            return false;
        };
        let offered = matches!(bridge.stage, Stage::Pending { offer: true, .. });
        let made = self.transfer.is_some() || self.caller_changed;
        let busy = self.exchange.is_some() || self.provisionals.holds_success();
        bridge.initial && offered && !made && !busy
    }

    /// The leg that was answered and has not acknowledged it, if the call begins with that answer.
    pub(crate) fn answer_unheard(&self) -> Option<Side> {
        let bridge = self.bridge.as_ref()?;
        let answered = matches!(bridge.stage, Stage::Answered { .. });
        (bridge.initial && answered).then_some(bridge.from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_says_which_call_and_which_side() {
        for side in Side::BOTH {
            let key = CallKey {
                slot: u32::MAX,
                generation: GENERATION_MAX,
            };
            assert_eq!(CallKey::from_owner(key.owner(side)), (key, side));
        }
    }
}

//! What the core tells about calls in progress.

use std::net::SocketAddr;

use ringfence_base::UnixTime;
use ringfence_base::net::Transport;

use crate::call::{Call, Phase, Side};
use crate::call_id::CallId;
use crate::cdr::{Direction, MediaRecord};
use crate::core::Core;

/// A call in progress. Texts that a peer wrote are as received: escape them where shown.
#[derive(Clone, Debug, PartialEq)]
pub struct CallView {
    /// The call.
    pub id: CallId,
    /// Key of the tenant.
    pub tenant: String,
    /// Key of the site.
    pub site: String,
    /// From the carrier or towards it.
    pub direction: Direction,
    /// Whether it is an emergency call.
    pub emergency: bool,
    /// Calling number or user.
    pub from: String,
    /// Called number or user.
    pub to: String,
    /// Where it stands.
    pub state: CallState,
    /// When the INVITE came.
    pub started: UnixTime,
    /// When it was answered.
    pub answered: Option<UnixTime>,
    /// The caller's leg.
    pub ingress: LegView,
    /// The callee's leg.
    pub egress: LegView,
    /// The rule that routed it.
    pub rule: String,
}

impl Core {
    /// The calls in progress, in no order.
    pub fn calls(&self) -> Vec<CallView> {
        self.calls.iter().map(|(_, call)| self.view(call)).collect()
    }

    /// A call in progress. Looks through all of them.
    pub fn call_view(&self, id: CallId) -> Option<CallView> {
        let found = self.calls.iter().find(|(_, call)| call.id == id);
        found.map(|(_, call)| self.view(call))
    }

    fn view(&self, call: &Call) -> CallView {
        let site = call.plan.site(call.route.site);
        let tenant = site.and_then(|site| call.plan.tenant_of(site));
        CallView {
            id: call.id,
            tenant: tenant.map(|tenant| tenant.key.clone()).unwrap_or_default(),
            site: site.map(|site| site.key.clone()).unwrap_or_default(),
            direction: call.route.direction,
            emergency: call.route.emergency,
            from: call.facts.from.to_string(),
            to: call.facts.to.to_string(),
            state: match (call.phase, call.facts.ringing) {
                (Phase::Setup, None) => CallState::Trying,
                (Phase::Setup, Some(_)) => CallState::Ringing,
                (Phase::Up, _) => CallState::Up,
                (Phase::Ending, _) => CallState::Ending,
            },
            started: call.facts.started,
            answered: call.facts.answered,
            ingress: self.leg_view(call, Side::A),
            egress: self.leg_view(call, Side::B),
            rule: call.route.rule.clone(),
        }
    }

    fn leg_view(&self, call: &Call, side: Side) -> LegView {
        let record = self.leg_record(call, side);
        LegView {
            peer: record.peer,
            remote: record.remote,
            transport: record.transport,
            call_id: record.call_id,
            media: record.media,
            media_local: call.media.local_addrs(&self.media, side),
        }
    }
}

/// One leg of a call in progress.
#[derive(Clone, Debug, PartialEq)]
pub struct LegView {
    /// Key of the peer.
    pub peer: String,
    /// Its signalling address.
    pub remote: SocketAddr,
    /// The transport.
    pub transport: Transport,
    /// Call-ID on this leg.
    pub call_id: String,
    /// Media so far.
    pub media: Option<MediaRecord>,
    /// Our own addresses of RTP on this leg.
    pub media_local: Vec<SocketAddr>,
}

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallState {
    /// Nobody rings yet.
    Trying,
    /// The callee rings.
    Ringing,
    /// Answered.
    Up,
    /// Cancelled; the callee's last word is awaited.
    Ending,
}

impl CallState {
    /// `trying`, `ringing`, `up` or `ending`.
    pub const fn as_str(self) -> &'static str {
        match self {
            CallState::Trying => "trying",
            CallState::Ringing => "ringing",
            CallState::Up => "up",
            CallState::Ending => "ending",
        }
    }
}

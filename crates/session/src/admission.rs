//! May this call be made now? Channels and rates of the peers and the site.
//!
//! An emergency call passes every limit (and is counted, so that the numbers stay true).

use std::sync::Arc;

use ringfence_base::Instant;

use crate::cdr::Direction;
use crate::plan::Plan;
use crate::refusal::RefusalReason;
use crate::routing::Route;
use crate::usage::Usage;

/// The channels that a call holds. They go back when it is dropped, however the call ends.
#[derive(Debug)]
pub(crate) struct Admission {
    /// Ingress peer, egress peer, site.
    held: [Arc<Usage>; 3],
}

impl Drop for Admission {
    fn drop(&mut self) {
        for usage in &self.held {
            usage.release_channel();
        }
    }
}

impl Admission {
    /// The ingress peer's counters.
    pub(crate) fn ingress(&self) -> &Usage {
        &self.held[0]
    }

    /// The egress peer's counters.
    pub(crate) fn egress(&self) -> &Usage {
        &self.held[1]
    }
}

/// Why a call was not admitted, and the SIP status that says so.
///
/// Towards the carrier it is 486 Busy Here: a 408, 480, 503 or 504 would make the carrier fail
/// over, which moves an attack to the owner's mobile. Towards the PBX it is 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotAdmitted {
    /// For counters and records.
    pub(crate) reason: RefusalReason,
    /// For the peer.
    pub(crate) status: u16,
}

/// Takes a channel of the ingress peer, the egress peer and the site, and a place in the rate of
/// both peers.
pub(crate) fn admit(plan: &Plan, route: &Route, now: Instant) -> Result<Admission, NotAdmitted> {
    let status = match route.direction {
        Direction::Inbound => 486,
        Direction::Outbound => 503,
    };
    let refuse = |reason| NotAdmitted { reason, status };
    let (Some(ingress), Some(egress), Some(site)) = (
        plan.peer(route.ingress),
        plan.peer(route.egress),
        plan.site(route.site),
    ) else {
        return Err(refuse(RefusalReason::NoRoute));
    };
    if !route.emergency {
        for peer in [ingress, egress] {
            if !peer.usage.take_rate(now, peer.calls_per_second) {
                return Err(refuse(RefusalReason::Rate));
            }
        }
    }
    let wanted = [
        (&ingress.usage, ingress.channels),
        (&egress.usage, egress.channels),
        (&site.usage, site.channels),
    ];
    for (taken, (usage, limit)) in wanted.iter().enumerate() {
        if !usage.take_channel(if route.emergency { 0 } else { *limit }) {
            for (usage, _) in &wanted[..taken] {
                usage.release_channel();
            }
            return Err(refuse(RefusalReason::Channels));
        }
    }
    Ok(Admission {
        held: wanted.map(|(usage, _)| Arc::clone(usage)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::PeerId;
    use crate::routing::route;
    use crate::testing::{PBX, TRUNK, plan};

    fn routed(plan: &Plan, from: PeerId, called: &str) -> Route {
        route(plan, &[from], called).unwrap()
    }

    #[test]
    fn the_ninth_call_finds_no_channel_and_the_carrier_hears_busy() {
        let plan = plan();
        let inbound = routed(&plan, TRUNK, "+13305550100");
        let held: Vec<_> = (0..8)
            .map(|_| admit(&plan, &inbound, Instant::ZERO).unwrap())
            .collect();
        let refused = admit(&plan, &inbound, Instant::ZERO).unwrap_err();
        assert_eq!(
            refused,
            NotAdmitted {
                reason: RefusalReason::Channels,
                status: 486
            }
        );
        assert_eq!(
            plan.peers[0].usage.calls(),
            8,
            "a refusal gives back what it took"
        );
        drop(held);
        assert_eq!(plan.sites[0].usage.calls(), 0);
    }

    #[test]
    fn an_emergency_call_passes_every_limit() {
        let mut plan = plan();
        plan.peers[0].channels = 1;
        plan.peers[0].calls_per_second = 1;
        let outbound = routed(&plan, PBX, "+15550001111");
        let emergency = routed(&plan, PBX, "911");
        let _held = admit(&plan, &outbound, Instant::ZERO).unwrap();
        assert!(admit(&plan, &outbound, Instant::ZERO).is_err());
        let calls: Vec<_> = (0..20)
            .map(|_| admit(&plan, &emergency, Instant::ZERO).unwrap())
            .collect();
        assert_eq!(plan.sites[0].usage.calls(), 21);
        drop(calls);
    }
}

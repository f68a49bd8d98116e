//! May this call be made now? Channels and rates of the peers and the site.
//!
//! An emergency call passes every limit (and is counted, so that the numbers stay true).

use std::sync::Arc;

use ringfence_base::{Instant, UnixTime};

use crate::cdr::Direction;
use crate::hunt::first_with_room;
use crate::plan::{Peer, Plan};
use crate::refusal::RefusalReason;
use crate::routing::Route;
use crate::spend::Meter;
use crate::usage::Usage;
use crate::ways::Way;

/// The channels that a call holds. They go back when it is dropped, however the call ends.
#[derive(Debug)]
pub(crate) struct Admission {
    /// Ingress peer, egress peer, site.
    held: [Arc<Usage>; 3],
    /// What counts the money of a call that costs.
    meter: Option<Meter>,
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

    /// Gives the egress peer's channel back for one of `peer`, if it has room.
    #[must_use]
    pub(crate) fn move_to(&mut self, peer: &Peer, unlimited: bool, now: Instant) -> bool {
        let taken = take(peer, unlimited, now).is_ok();
        if taken {
            self.held[1].release_channel();
            self.held[1] = Arc::clone(&peer.usage);
        }
        taken
    }

    /// From now on `meter` counts the money.
    pub(crate) fn attach(&mut self, meter: Meter) {
        self.meter = Some(meter);
    }

    /// What counts the money, if the call costs any.
    pub(crate) fn meter(&self) -> Option<&Meter> {
        self.meter.as_ref()
    }

    /// The call is over: its money is counted to the end.
    pub(crate) fn close(mut self, at: UnixTime) {
        if let Some(meter) = self.meter.take() {
            meter.end(at);
        }
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

/// The status of [`NotAdmitted`].
pub(crate) const fn refusal_status(direction: Direction) -> u16 {
    match direction {
        Direction::Inbound => 486,
        Direction::Internal | Direction::Outbound => 503,
    }
}

/// Takes a channel of the ingress peer, the site and the first of `ways` whose peer has room, and
/// a place in the rate of both peers. The number is that way's.
pub(crate) fn admit(
    plan: &Plan,
    route: &Route,
    ways: &[Way],
    now: Instant,
) -> Result<(Admission, usize), NotAdmitted> {
    let status = refusal_status(route.direction);
    let refuse = |reason| NotAdmitted { reason, status };
    let (Some(ingress), Some(site)) = (plan.peer(route.ingress), plan.site(route.site)) else {
        return Err(refuse(RefusalReason::NoRoute));
    };
    let unlimited = route.emergency;
    if !unlimited && !ingress.usage.take_rate(now, ingress.calls_per_second) {
        return Err(refuse(RefusalReason::Rate));
    }
    let near = [
        (&ingress.usage, ingress.channels),
        (&site.usage, site.channels),
    ];
    for (taken, (usage, limit)) in near.iter().enumerate() {
        if !usage.take_channel(if unlimited { 0 } else { *limit }) {
            give_back(&near[..taken]);
            return Err(refuse(RefusalReason::Channels));
        }
    }
    // Of several full trunks the first one's reason is told, as if it were alone.
    let mut reason = None;
    let first = first_with_room(ways, |peer| {
        plan.peer(peer)
            .is_some_and(|peer| match take(peer, unlimited, now) {
                Ok(()) => true,
                Err(full) => {
                    reason.get_or_insert(full);
                    false
                }
            })
    });
    let egress = first.and_then(|first| Some((first, plan.peer(ways.get(first)?.peer)?)));
    let Some((first, egress)) = egress else {
        give_back(&near);
        return Err(refuse(reason.unwrap_or(RefusalReason::NoRoute)));
    };
    let held = [&ingress.usage, &egress.usage, &site.usage].map(Arc::clone);
    Ok((Admission { held, meter: None }, first))
}

/// Takes a channel of `peer` and a place in its rate, or neither.
fn take(peer: &Peer, unlimited: bool, now: Instant) -> Result<(), RefusalReason> {
    if !peer
        .usage
        .take_channel(if unlimited { 0 } else { peer.channels })
    {
        return Err(RefusalReason::Channels);
    }
    if !unlimited && !peer.usage.take_rate(now, peer.calls_per_second) {
        peer.usage.release_channel();
        return Err(RefusalReason::Rate);
    }
    Ok(())
}

fn give_back(taken: &[(&Arc<Usage>, u32)]) {
    for (usage, _) in taken {
        usage.release_channel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{PeerId, PeerKind};
    use crate::routing::route;
    use crate::testing::{PBX, TRUNK, plan, second_trunk};

    fn routed(plan: &Plan, from: PeerId, called: &str) -> Route {
        route(plan, &[from], called).unwrap()
    }

    fn admit(plan: &Plan, route: &Route, now: Instant) -> Result<Admission, NotAdmitted> {
        let kind = match route.direction {
            Direction::Inbound => PeerKind::Pbx,
            Direction::Internal | Direction::Outbound => PeerKind::Trunk,
        };
        let ways: Vec<Way> = plan
            .peers_of_site(route.site, kind)
            .map(|(peer, facts)| Way {
                peer,
                address: facts.addresses[0],
            })
            .collect();
        super::admit(plan, route, &ways, now).map(|(admission, _)| admission)
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

    #[test]
    fn a_full_trunk_passes_the_call_to_the_next_and_only_all_full_is_a_refusal() {
        let mut plan = plan();
        plan.peers[0].channels = 1;
        plan.peers.push(second_trunk());
        plan.peers[2].calls_per_second = 1;
        let outbound = routed(&plan, PBX, "+15550001111");
        let first = admit(&plan, &outbound, Instant::ZERO).unwrap();
        let second = admit(&plan, &outbound, Instant::ZERO).unwrap();
        assert_eq!(plan.peers[0].usage.calls(), 1);
        assert_eq!(plan.peers[2].usage.calls(), 1);
        let refused = admit(&plan, &outbound, Instant::ZERO).unwrap_err();
        assert_eq!(
            (refused.reason, refused.status),
            (RefusalReason::Channels, 503)
        );
        assert_eq!(plan.sites[0].usage.calls(), 2, "a refusal gives all back");
        drop((first, second));
        assert_eq!(plan.peers[2].usage.calls(), 0);
    }
}

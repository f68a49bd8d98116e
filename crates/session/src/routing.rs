//! Where does this call go?
//!
//! A call from a site's PBX goes to the site's trunk; a call from a trunk to one of the site's
//! numbers goes to its PBX. Nothing else is routed.

use crate::cdr::Direction;
use crate::plan::{PeerId, PeerKind, Plan, SiteId};
use crate::refusal::RefusalReason;

/// A routed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// The peer that the call comes from.
    pub(crate) ingress: PeerId,
    /// The peer that it goes to.
    pub(crate) egress: PeerId,
    /// The site whose lines it uses.
    pub(crate) site: SiteId,
    /// From the carrier or towards it.
    pub(crate) direction: Direction,
    /// Whether the called number is one of the site's emergency numbers.
    pub(crate) emergency: bool,
    /// The rule in words, for the record.
    pub(crate) rule: String,
}

/// Why there is no route, and the SIP status that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoute {
    /// For counters and records.
    pub(crate) reason: RefusalReason,
    /// For the peer.
    pub(crate) status: u16,
}

/// Routes a call to `called` (as dialled) from one of `candidates`: who the source may be, best
/// first.
///
/// A carrier may serve several sites from the same address: the candidate whose site owns the
/// called number wins.
pub(crate) fn route(plan: &Plan, candidates: &[PeerId], called: &str) -> Result<Route, NoRoute> {
    let mut refusal = NoRoute {
        reason: RefusalReason::NoRoute,
        status: 404,
    };
    for &ingress in candidates {
        match route_from(plan, ingress, called) {
            Ok(route) => return Ok(route),
            Err(no_route) => refusal = no_route,
        }
    }
    Err(refusal)
}

fn route_from(plan: &Plan, ingress: PeerId, called: &str) -> Result<Route, NoRoute> {
    const NO_PEER: NoRoute = NoRoute {
        reason: RefusalReason::NoRoute,
        status: 404,
    };
    let peer = plan.peer(ingress).ok_or(NO_PEER)?;
    let site = plan.site(peer.site).ok_or(NO_PEER)?;
    let (direction, other) = match peer.kind {
        PeerKind::Trunk => (Direction::Inbound, PeerKind::Pbx),
        PeerKind::Pbx => (Direction::Outbound, PeerKind::Trunk),
    };
    let emergency = direction == Direction::Outbound && site.is_emergency(called);
    if direction == Direction::Inbound && !site.any_number && !site.owns(called) {
        return Err(NoRoute {
            reason: RefusalReason::Number,
            status: 404,
        });
    }
    let egress = plan.peer_of_site(peer.site, other).ok_or(NO_PEER)?;
    let egress_peer = plan.peer(egress).ok_or(NO_PEER)?;
    if egress_peer.addresses.is_empty() {
        return Err(NoRoute {
            reason: RefusalReason::NoRoute,
            status: 503,
        });
    }
    let rule = format!(
        "{} {} -> site {}{} -> {} {}",
        kind_name(peer.kind),
        peer.key,
        site.key,
        if emergency { " (emergency)" } else { "" },
        kind_name(other),
        egress_peer.key,
    );
    Ok(Route {
        ingress,
        egress,
        site: peer.site,
        direction,
        emergency,
        rule,
    })
}

/// `trunk` or `pbx`.
pub(crate) const fn kind_name(kind: PeerKind) -> &'static str {
    match kind {
        PeerKind::Pbx => "pbx",
        PeerKind::Trunk => "trunk",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{PBX, TRUNK, plan};

    #[track_caller]
    fn check(from: PeerId, called: &str, expected: Result<(PeerId, bool), u16>) {
        let got = route(&plan(), &[from], called)
            .map(|route| (route.egress, route.emergency))
            .map_err(|refusal| refusal.status);
        assert_eq!(got, expected);
    }

    #[test]
    fn a_trunk_reaches_the_sites_numbers_only() {
        check(TRUNK, "+13305550100", Ok((PBX, false)));
        check(TRUNK, "13305550149", Ok((PBX, false)));
        check(TRUNK, "+13305550150", Err(404));
        check(TRUNK, "bob", Err(404));
        check(TRUNK, "911", Err(404));
    }

    #[test]
    fn any_number_passes_every_user() {
        let mut plan = plan();
        plan.sites[0].any_number = true;
        assert_eq!(route(&plan, &[TRUNK], "bob").unwrap().egress, PBX);
    }

    #[test]
    fn the_pbx_reaches_the_trunk_and_emergency_is_known() {
        check(PBX, "+15550001111", Ok((TRUNK, false)));
        check(PBX, "911", Ok((TRUNK, true)));
    }

    #[test]
    fn the_rule_is_words() {
        let route = route(&plan(), &[PBX], "911").unwrap();
        assert_eq!(
            route.rule,
            "pbx main -> site summit (emergency) -> trunk carrier-a"
        );
    }

    #[test]
    fn a_carrier_of_two_sites_is_the_one_whose_number_is_called() {
        let mut plan = plan();
        let other = crate::testing::plan();
        for (mut site, numbers) in other.sites.into_iter().zip(["+14405550100"]) {
            site.key = "second".into();
            site.numbers = vec![crate::plan::NumberRange::new(numbers, numbers).unwrap()];
            plan.sites.push(site);
        }
        for mut peer in other.peers {
            peer.site = SiteId::new(1);
            plan.peers.push(peer);
        }
        let second_trunk = PeerId::new(2);
        let route = route(&plan, &[TRUNK, second_trunk], "+14405550100").unwrap();
        assert_eq!(
            (route.ingress, route.egress),
            (second_trunk, PeerId::new(3))
        );
    }
}

//! Where does this call go?
//!
//! A call from a site's PBX goes to the site's trunk; a call from a trunk to one of the site's
//! numbers goes to its PBX. Nothing else is routed.

use crate::cdr::Direction;
use crate::numbering::{DialAction, Number, SOS};
use crate::plan::{Peer, PeerId, PeerKind, Plan, Site, SiteId};
use crate::refusal::RefusalReason;
use crate::registrar::{Callee, Caller, Target, by_name, by_number, by_token};

/// A routed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// The peer that the call comes from.
    pub(crate) ingress: PeerId,
    /// The peer that it goes to.
    pub(crate) egress: PeerId,
    /// The site whose lines it uses.
    pub(crate) site: SiteId,
    /// The number that is called, after the dial plan.
    pub(crate) called: Number,
    /// From the carrier or towards it.
    pub(crate) direction: Direction,
    /// Whether the called number is one of the site's emergency numbers.
    pub(crate) emergency: bool,
    /// The trunk that the dial plan names: no other one will do, but for an emergency.
    pub(crate) by_rule: Option<PeerId>,
    /// The rule in words, for the record: with each peer that was tried, and what came of it.
    pub(crate) rule: String,
    /// The phone that calls, if it is one.
    pub(crate) caller: Option<Caller>,
    /// The phone user that is called, if it is one.
    pub(crate) callee: Option<Callee>,
    /// The contact of that user that it rings at.
    pub(crate) target: Option<Box<Target>>,
    /// Its other contacts: those that ring beside it, and then those of each lower preference.
    pub(crate) also: Vec<Vec<Target>>,
    /// Where in `rule` the peer begins that is tried now.
    pub(crate) rule_stem: usize,
}

impl Route {
    /// Sends the call to `peer` instead.
    pub(crate) fn go_to(&mut self, plan: &Plan, peer: PeerId) {
        self.egress = peer;
        self.rule.truncate(self.rule_stem);
        if let Some(peer) = plan.peer(peer) {
            self.rule.push_str(" -> ");
            self.rule.push_str(kind_name(peer.kind));
            self.rule.push(' ');
            self.rule.push_str(&peer.key);
        }
    }

    /// Names the contacts of a phone user that the call rings at, in the order of their rounds.
    pub(crate) fn ring_at(&mut self, mut rounds: Vec<Vec<Target>>) {
        let first = rounds.first_mut().filter(|round| !round.is_empty());
        self.target = first.map(|round| Box::new(round.remove(0)));
        self.also = rounds;
    }

    /// Sends the call on to `peer`: the one tried last failed, `why` says how.
    pub(crate) fn go_on(&mut self, plan: &Plan, peer: PeerId, why: &str) {
        self.rule.push_str(why);
        self.rule_stem = self.rule.len();
        self.go_to(plan, peer);
    }
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
        // A phone has a name, not an address: see `registrar::from_phone`.
        PeerKind::Phones => return Err(NO_PEER),
    };
    let inside = peer.kind == PeerKind::Pbx;
    // A carrier knows numbers, no names of the house.
    let named = (inside && !site.is_emergency(called))
        .then(|| by_name(plan, peer.site, called))
        .flatten();
    let registered = inside.then(|| by_token(plan, peer.site, called)).flatten();
    let meant = match (inside, named, registered) {
        (false, ..) => called_from_outside(site, peer, called)?,
        (true, _, Some((.., name))) => Meant::as_dialled(name),
        (true, Some(_), _) => Meant::as_dialled(called),
        (true, None, _) => called_from_inside(site, peer, called)?,
    };
    let named = registered
        .map(|(phones, callee, _)| (phones, callee))
        .or(named);
    let Meant {
        called,
        emergency,
        rewritten,
        trunk,
    } = meant;
    let numbered = || {
        (!emergency)
            .then(|| by_number(plan, peer.site, &called))
            .flatten()
    };
    let (egress, direction, callee) = match named.or_else(numbered) {
        Some((phones, callee)) if inside => (phones, Direction::Internal, Some(callee)),
        Some((phones, callee)) => (phones, direction, Some(callee)),
        None => (reachable(plan, peer.site, other, trunk)?, direction, None),
    };
    let rule = format!(
        "{} {} -> site {}{}{}",
        kind_name(peer.kind),
        peer.key,
        site.key,
        if emergency { " (emergency)" } else { "" },
        rewritten.map_or(String::new(), |pattern| format!(" (dial {pattern})")),
    );
    let mut route = Route {
        ingress,
        egress,
        site: peer.site,
        called,
        direction,
        emergency,
        by_rule: trunk,
        rule_stem: rule.len(),
        rule,
        caller: None,
        callee,
        target: None,
        also: Vec::new(),
    };
    route.go_to(plan, egress);
    Ok(route)
}

/// The first peer of a kind that has an address, and that `named` is, if a rule names one. Which one
/// it will be is decided with the others (`ways`).
pub(crate) fn reachable(
    plan: &Plan,
    site: SiteId,
    kind: PeerKind,
    named: Option<PeerId>,
) -> Result<PeerId, NoRoute> {
    let mut peers = plan.peers_of_site(site, kind).peekable();
    peers.peek().ok_or(NoRoute {
        reason: RefusalReason::NoRoute,
        status: 404,
    })?;
    let wanted = |(id, peer): &(PeerId, &Peer)| {
        named.is_none_or(|named| named == *id) && !peer.addresses.is_empty()
    };
    let found = peers.find(wanted).map(|(id, _)| id);
    found.ok_or(NoRoute {
        reason: RefusalReason::NoRoute,
        status: 503,
    })
}

/// What a dialled number means.
pub(crate) struct Meant {
    pub(crate) called: Number,
    pub(crate) emergency: bool,
    /// The pattern of the rule that applied.
    pub(crate) rewritten: Option<String>,
    /// The trunk that the rule names.
    pub(crate) trunk: Option<PeerId>,
}

impl Meant {
    /// A name of the house, to which no rule applies.
    pub(crate) fn as_dialled(called: &str) -> Meant {
        Meant {
            called: Number {
                text: called.to_owned(),
                e164: None,
            },
            emergency: false,
            rewritten: None,
            trunk: None,
        }
    }
}

/// A carrier calls the site's numbers.
fn called_from_outside(site: &Site, peer: &Peer, called: &str) -> Result<Meant, NoRoute> {
    let called = Number::read(called, peer.policy.numbers_in, site.policy.numbering);
    let owned = match called.e164 {
        Some(number) => site.owns(&number.to_string()),
        None => site.owns(&called.text),
    };
    if !site.any_number && !owned {
        return Err(NoRoute {
            reason: RefusalReason::Number,
            status: 404,
        });
    }
    Ok(Meant {
        called,
        emergency: false,
        rewritten: None,
        trunk: None,
    })
}

/// The site dials: emergency numbers first, then its rules.
pub(crate) fn called_from_inside(
    site: &Site,
    peer: &Peer,
    dialled: &str,
) -> Result<Meant, NoRoute> {
    let (mut text, mut rewritten, mut by_trunk) = (dialled.to_owned(), None, None);
    if dialled == SOS {
        text = emergency_number(site);
    } else if !site.is_emergency(dialled) {
        let rule = site
            .policy
            .dial
            .iter()
            .find(|rule| rule.pattern.matches(dialled));
        match rule.map(|rule| (&rule.pattern, &rule.action)) {
            Some((_, DialAction::Refuse)) => {
                return Err(NoRoute {
                    reason: RefusalReason::DialPlan,
                    status: 403,
                });
            }
            Some((
                pattern,
                DialAction::Rewrite {
                    strip,
                    prepend,
                    trunk,
                },
            )) => {
                text = DialAction::rewrite(*strip, prepend, dialled);
                rewritten = Some(pattern.to_string());
                by_trunk = *trunk;
            }
            None => {}
        }
    }
    let emergency = dialled == SOS || site.is_emergency(&text);
    let called = match emergency {
        // It is sent as it is dialled, whatever form numbers have.
        true => Number { text, e164: None },
        false => Number::read(&text, peer.policy.numbers_in, site.policy.numbering),
    };
    Ok(Meant {
        called,
        emergency,
        rewritten,
        trunk: by_trunk,
    })
}

/// The number for somebody who asked for help by a URN (RFC 5031): the site's first, else the
/// country's.
fn emergency_number(site: &Site) -> String {
    let country = site.policy.numbering.map_or("112", |plan| match plan.code {
        "1" => "911",
        _ => "112",
    });
    site.emergency
        .first()
        .map_or(country, String::as_str)
        .to_owned()
}

/// `trunk`, `pbx` or `phones`.
pub(crate) const fn kind_name(kind: PeerKind) -> &'static str {
    match kind {
        PeerKind::Pbx => "pbx",
        PeerKind::Phones => "phones",
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

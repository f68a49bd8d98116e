//! Where a call of a phone goes, and which calls ring at phones.
//!
//! A phone reaches, in this order: its site's emergency numbers over the trunk, another user of
//! its site by name or number, the site's phone system (the site's own numbers, and anything as
//! short as an extension), and the trunk. The site's dial plan holds for phones too. A call from
//! the trunk rings at a phone when the called number is a user's; one from the phone system also
//! when the name is.

use ringfence_base::net::Flow;

use super::group::{GroupId, PhoneGroup};
use crate::cdr::Direction;
use crate::numbering::{E164, Number};
use crate::plan::{PeerId, PeerKind, Plan, Site, SiteId};
use crate::refusal::RefusalReason;
use crate::routing::{Meant, NoRoute, Route, called_from_inside, reachable};

/// Most digits of an extension: what is longer is a number for the trunk.
const EXTENSION_DIGITS_MAX: usize = 6;

/// A phone that proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) group: GroupId,
    /// Index of the user in its group.
    pub(crate) user: usize,
}

/// A user that a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Callee {
    pub(crate) group: GroupId,
    /// Index of the user in its group.
    pub(crate) user: usize,
    /// The one of its contacts that the phone system means.
    pub(crate) token: Option<u64>,
}

/// One contact of a user that a call rings at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) flow: Flow,
    /// The Request-URI: the contact as registered (RFC 3261 §16.6 step 2).
    pub(crate) uri: Box<str>,
    /// The Route, if proxies stand between (RFC 3327 §5.3).
    pub(crate) path: Option<Box<str>>,
    /// Another flow to the same device, for when this one is dead (RFC 5626 §5.3, §7).
    pub(crate) spare: Option<Box<Target>>,
}

/// The user of `site` with this name, and the peer that calls to it go by.
pub(crate) fn by_name(plan: &Plan, site: SiteId, name: &str) -> Option<(PeerId, Callee)> {
    let own = |group: &&PhoneGroup| !group.passes;
    find(plan, site, own, |group| group.index_of(name.as_bytes()))
}

/// The user that a contact at the phone system is of, its name, and the peer that calls to it go
/// by.
pub(crate) fn by_token<'a>(
    plan: &Plan,
    site: SiteId,
    called: &'a str,
) -> Option<(PeerId, Callee, &'a str)> {
    let (name, token) = super::pass::split(called)?;
    let passing = |group: &&PhoneGroup| group.passes;
    let found = find(plan, site, passing, |group| group.index_of(name.as_bytes()));
    let (peer, callee) = found?;
    let token = Some(token);
    Some((peer, Callee { token, ..callee }, name))
}

/// The user of `site` with this number, and the peer that calls to it go by.
pub(crate) fn by_number(plan: &Plan, site: SiteId, number: &Number) -> Option<(PeerId, Callee)> {
    let text = match number.e164 {
        Some(e164) => e164.to_string(),
        None => number.text.clone(),
    };
    // Those of the phone system's phones are the phone system's.
    let own = |group: &&PhoneGroup| !group.passes;
    find(plan, site, own, |group| group.index_of_number(&text))
}

fn find(
    plan: &Plan,
    site: SiteId,
    which: impl Fn(&&PhoneGroup) -> bool,
    user: impl Fn(&PhoneGroup) -> Option<usize>,
) -> Option<(PeerId, Callee)> {
    let groups = plan.phones.iter().enumerate();
    groups
        .filter(|(_, group)| which(group))
        .filter(|(_, group)| plan.peer(group.peer).is_some_and(|peer| peer.site == site))
        .find_map(|(index, group)| {
            let group_id = GroupId::new(index as u16);
            let callee = Callee {
                group: group_id,
                user: user(group)?,
                token: None,
            };
            Some((group.peer, callee))
        })
}

/// Routes a call of a phone to `called`, as dialled.
pub(crate) fn from_phone(plan: &Plan, caller: Caller, called: &str) -> Result<Route, NoRoute> {
    const NO_PEER: NoRoute = NoRoute {
        reason: RefusalReason::NoRoute,
        status: 404,
    };
    let group = plan.phone_group(caller.group).ok_or(NO_PEER)?;
    let peer = plan.peer(group.peer).ok_or(NO_PEER)?;
    let site = plan.site(peer.site).ok_or(NO_PEER)?;
    let named = (!site.is_emergency(called) && !group.passes)
        .then(|| by_name(plan, peer.site, called))
        .flatten();
    let mut meant = match named {
        Some(_) => Meant::as_dialled(called),
        None => called_from_inside(site, peer, called)?,
    };
    // What a phone of the phone system dials is the phone system's to understand.
    let passes = group.passes && !meant.emergency;
    if passes {
        meant = Meant::as_dialled(called);
    }
    let callee = named.or_else(|| {
        (!meant.emergency && !passes)
            .then(|| by_number(plan, peer.site, &meant.called))
            .flatten()
    });
    let place = match meant.emergency || meant.rewritten.is_some() {
        true => Place::Outside,
        false if passes => Place::House,
        false => place(site, &meant.called),
    };
    let has_pbx = plan
        .peers_of_site(peer.site, PeerKind::Pbx)
        .next()
        .is_some();
    let (kind, direction) = match (place, has_pbx) {
        (Place::House | Place::Extension, true) => (PeerKind::Pbx, Direction::Internal),
        (Place::House, false) if callee.is_none() => return Err(NO_PEER),
        _ => (PeerKind::Trunk, Direction::Outbound),
    };
    let (egress, direction) = match callee {
        Some((egress, _)) => (egress, Direction::Internal),
        None => (reachable(plan, peer.site, kind, meant.trunk)?, direction),
    };
    let rule = format!(
        "phones {} -> site {}{}{}",
        peer.key,
        site.key,
        if meant.emergency { " (emergency)" } else { "" },
        meant
            .rewritten
            .map_or(String::new(), |pattern| format!(" (dial {pattern})")),
    );
    let mut route = Route {
        ingress: group.peer,
        egress,
        site: peer.site,
        called: meant.called,
        direction,
        emergency: meant.emergency,
        by_rule: meant.trunk,
        rule_stem: rule.len(),
        rule,
        caller: Some(caller),
        callee: callee.map(|(_, callee)| callee),
        target: None,
        also: Vec::new(),
    };
    route.go_to(plan, egress);
    Ok(route)
}

/// Where a number is at home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// As short as an extension, and maybe a short number of the public network.
    Extension,
    /// In the house: one of the site's own numbers, or a name.
    House,
    /// Somewhere else.
    Outside,
}

fn place(site: &Site, called: &Number) -> Place {
    let owned = match called.e164 {
        Some(number) => site.owns(&number.to_string()),
        None => site.owns(&called.text),
    };
    let digits = called.text.strip_prefix('+').unwrap_or(&called.text);
    let dialled = |byte: u8| byte.is_ascii_digit() || b"*#".contains(&byte);
    if owned || digits.is_empty() || !digits.bytes().all(dialled) {
        Place::House
    } else if called.e164.is_none() && digits.len() <= EXTENSION_DIGITS_MAX {
        Place::Extension
    } else {
        Place::Outside
    }
}

/// What a phone presents: within its site its name; to the carrier its own number, else the
/// site's main or first one.
pub(crate) fn presented(plan: &Plan, route: &Route, caller: Caller) -> Option<Number> {
    let user = plan.phone_group(caller.group)?.user(caller.user)?;
    if route.direction == Direction::Internal {
        return Some(Number {
            text: user.name.clone(),
            e164: None,
        });
    }
    let site = plan.site(route.site)?;
    let number = |text: &str| {
        let e164 = E164::new(text.trim_start_matches('+'));
        e164.map(Number::from)
    };
    let own = user.number.as_deref().and_then(number);
    let main = || site.policy.main_number.map(Number::from);
    own.or_else(main)
        .or_else(|| number(&site.numbers.first()?.first()))
}

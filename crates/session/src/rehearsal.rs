//! What would become of a call, step by step, without making it: for `ringfence route test`.
//!
//! The INVITE is written and then judged by the very functions that judge a real one, in their
//! order; nothing is counted, no channel is taken and no quarantined peer is tried. Left out: what
//! only a real message shows (its media, its headers, its source's address).

use std::fmt;

use ringfence_base::{Entropy, Instant, UnixTime};
use ringfence_sip::{Index, Message};

use crate::admission::refusal_status;
use crate::failover::Rank;
use crate::identity::{self, Identity, NotPresentable, Wording};
use crate::numbering::{Number, NumbersIn, called_of};
use crate::plan::{Peer, PeerId, PeerKind, Plan, Site, SiteId};
use crate::refusal::RefusalReason;
use crate::registrar::group::GroupId;
use crate::registrar::{Caller, from_phone};
use crate::registration::registers;
use crate::routing::{Meant, NoRoute, Route, called_from_inside, kind_name, route};
use crate::usage::Usage;
use crate::ways::{Ways, kind_towards, ways_of};

/// A call that nobody makes.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// What is dialled: a number, a name, or `urn:service:sos`.
    pub called: &'a str,
    /// What From says; `None` is anonymous.
    pub calling: Option<&'a str>,
    /// Whether the caller asks for `Privacy: id`.
    pub private: bool,
    /// Who makes it.
    pub source: Source,
    /// Whether the counters and registrations of the plan are those of a running edge.
    pub live: bool,
}

/// Where a call comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Peers with one address, of which the one whose site is called is meant.
    Peers(Vec<PeerId>),
    /// A user of a group of phones, by their indices.
    Phone(GroupId, usize),
}

/// Longest called or calling text.
const TEXT_MAX: usize = 256;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RehearsalError {
    /// A number or name that no URI holds.
    #[error("neither a number nor a name")]
    Text,
}

/// What would become of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rehearsal {
    /// What is decided, in its order.
    pub steps: Vec<Step>,
    /// Every peer that it might go to: first those that it tries, in that order.
    pub ways: Vec<WayView>,
    /// What comes of it.
    pub outcome: Outcome,
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is decided.
    pub topic: &'static str,
    /// How, and why.
    pub text: String,
}

/// A peer, and its part in the choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WayView {
    /// `trunk carrier-a`
    pub peer: String,
    /// Its place among those that are tried, from 1; `None` if it is not.
    pub place: Option<usize>,
    /// `priority` and `weight`.
    pub rank: Rank,
    /// Calls that it has and may have (0: no limit).
    pub channels: (u32, u32),
    /// Why it is not tried, or not at its place.
    pub why: Option<String>,
}

/// The end of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is refused.
    Refused {
        /// With this status.
        status: u16,
        /// For this reason.
        reason: RefusalReason,
    },
    /// It rings at a phone.
    Rings {
        /// The user.
        user: String,
    },
    /// It goes out to a peer.
    Sent {
        /// `trunk carrier-a`
        peer: String,
        /// The user of Request-URI and To.
        called: String,
        /// The user of From; `None` is anonymous.
        calling: Option<String>,
    },
}

/// Judges the call of `question` by `plan`.
///
/// # Errors
/// If no INVITE can be written for it.
pub fn rehearse(
    plan: &Plan,
    (now, unix): (Instant, UnixTime),
    question: &Question<'_>,
    entropy: &mut dyn Entropy,
) -> Result<Rehearsal, RehearsalError> {
    let text = invite(question).ok_or(RehearsalError::Text)?;
    let mut index = Index::default();
    let message = index
        .parse(text.as_bytes())
        .map_err(|_| RehearsalError::Text)?;
    let stage = Stage {
        plan,
        question,
        message: &message,
        now,
        unix,
    };
    let mut notes = Notes::default();
    let outcome = stage.run(&mut notes, entropy);
    let outcome = outcome.unwrap_or_else(|no_route| Outcome::Refused {
        status: no_route.status,
        reason: no_route.reason,
    });
    Ok(Rehearsal {
        steps: notes.steps,
        ways: notes.ways,
        outcome,
    })
}

/// A number as somebody of `site` might write it, in international form if it has one.
pub fn international(site: &Site, number: &str) -> String {
    let bare = number.replace(['-', '.', '(', ')', ' '], "");
    let read = Number::read(&bare, NumbersIn::Auto, site.policy.numbering);
    read.e164.map_or(read.text, |number| number.to_string())
}

#[derive(Default)]
struct Notes {
    steps: Vec<Step>,
    ways: Vec<WayView>,
}

impl Notes {
    fn say(&mut self, topic: &'static str, text: impl fmt::Display) {
        self.steps.push(Step {
            topic,
            text: text.to_string(),
        });
    }
}

struct Stage<'a> {
    plan: &'a Plan,
    question: &'a Question<'a>,
    message: &'a Message<'a>,
    now: Instant,
    unix: UnixTime,
}

impl Stage<'_> {
    /// In the order in which a new INVITE is judged.
    fn run(&self, notes: &mut Notes, entropy: &mut dyn Entropy) -> Result<Outcome, NoRoute> {
        let plan = self.plan;
        let called = called_of(self.message).unwrap_or_default();
        self.say_source(notes);
        let routed = match &self.question.source {
            Source::Phone(group, user) => {
                let caller = Caller {
                    group: *group,
                    user: *user,
                };
                from_phone(plan, caller, &called)
            }
            Source::Peers(candidates) => route(plan, candidates, &called),
        };
        let route = match routed {
            Ok(route) => route,
            Err(no_route) => {
                notes.say("route", why_refused(no_route.reason));
                return Err(no_route);
            }
        };
        let (Some(site), Some(ingress)) = (plan.site(route.site), plan.peer(route.ingress)) else {
            return Err(refused(RefusalReason::NoRoute, 404));
        };
        self.say_number(notes, &route, (site, ingress), &called);
        notes.say("route", &route.rule);
        let identity = identity::identify(plan, &route, self.message).map_err(|_| {
            notes.say("caller", why_refused(NotPresentable::REASON));
            refused(NotPresentable::REASON, NotPresentable::STATUS)
        })?;
        say_caller(notes, &identity);
        if let Some(callee) = route.callee {
            return self.ring(notes, callee.group, callee.user);
        }
        let ways = ways_of(plan, &route, self.now, false, entropy);
        self.say_limits(notes, &route, (site, ingress))?;
        let chosen = self.choose(notes, &route, &ways);
        let egress = chosen.and_then(|id| plan.peer(id));
        let Some(egress) = egress else {
            let reason = match ways.is_empty() {
                true => RefusalReason::NoRoute,
                false => RefusalReason::Channels,
            };
            notes.say("choice", why_refused(reason));
            return Err(refused(reason, refusal_status(route.direction)));
        };
        let wording = Wording::new(egress, site.policy.numbering, &route.called, &identity);
        notes.say(
            "choice",
            format_args!("{} {}", kind_name(egress.kind), egress.key),
        );
        say_wording(notes, &wording);
        Ok(Outcome::Sent {
            peer: format!("{} {}", kind_name(egress.kind), egress.key),
            called: wording.called,
            calling: wording.calling,
        })
    }

    fn say_source(&self, notes: &mut Notes) {
        let peer = |id: PeerId| {
            let peer = self.plan.peer(id)?;
            let site = self.plan.site(peer.site)?;
            let (kind, key) = (kind_name(peer.kind), &peer.key);
            Some(format!("{kind} {key} of site {}", site.key))
        };
        let text = match &self.question.source {
            Source::Peers(ids) => {
                let names: Vec<String> = ids.iter().filter_map(|id| peer(*id)).collect();
                names.join(", or ")
            }
            Source::Phone(group, user) => {
                let group = self.plan.phone_group(*group);
                let user = group.and_then(|group| Some((group, group.user(*user)?)));
                user.map_or(String::new(), |(group, user)| {
                    let at = peer(group.peer).unwrap_or_default();
                    format!("phone user {} of {at}", user.name)
                })
            }
        };
        notes.say("source", text);
    }

    /// What the dialled digits became.
    fn say_number(
        &self,
        notes: &mut Notes,
        route: &Route,
        (site, ingress): (&Site, &Peer),
        called: &str,
    ) {
        let inside = ingress.kind != PeerKind::Trunk;
        let meant = inside.then(|| called_from_inside(site, ingress, called).ok());
        if let Some(Meant {
            called,
            rewritten: Some(pattern),
            trunk,
            ..
        }) = meant.flatten()
            && called == route.called
        {
            let trunk = trunk.and_then(|id| self.plan.peer(id));
            let only = trunk.map_or(String::new(), |peer| {
                format!(", by trunk {} only", peer.key)
            });
            let text = called.text;
            notes.say("dial rule", format_args!("{pattern} applies: {text}{only}"));
        }
        let country = site
            .policy
            .numbering
            .map_or("no country", |plan| plan.country);
        let text = match (route.called.e164, route.emergency) {
            (_, true) => format!(
                "{} is an emergency number of site {}",
                route.called.text, site.key
            ),
            (Some(number), _) => format!("{called} is {number} ({country})"),
            (None, _) => {
                format!("{called} is no subscriber's number ({country}); it stays as it is")
            }
        };
        notes.say("number", text);
    }

    fn ring(&self, notes: &mut Notes, group: GroupId, user: usize) -> Result<Outcome, NoRoute> {
        let group = self.plan.phone_group(group);
        let user = group.and_then(|group| group.user(user));
        let user = user.ok_or(refused(RefusalReason::NoRoute, 404))?;
        let contacts = user.line.bindings(self.unix).len();
        let name = user.name.clone();
        match (contacts, self.question.live) {
            (0, true) => {
                notes.say("phone", format_args!("{name} is not registered"));
                Err(refused(RefusalReason::Unregistered, 480))
            }
            (0, false) => {
                notes.say("phone", format_args!("{name}, if it is registered then"));
                Ok(Outcome::Rings { user: name })
            }
            (contacts, _) => {
                notes.say("phone", format_args!("{name} has {contacts} contacts"));
                Ok(Outcome::Rings { user: name })
            }
        }
    }

    /// The near side's limits: the caller's peer and the site.
    fn say_limits(
        &self,
        notes: &mut Notes,
        route: &Route,
        (site, ingress): (&Site, &Peer),
    ) -> Result<(), NoRoute> {
        let near = [
            (
                format!("{} {}", kind_name(ingress.kind), ingress.key),
                &ingress.usage,
                ingress.channels,
            ),
            (format!("site {}", site.key), &site.usage, site.channels),
        ];
        for (name, usage, limit) in near {
            notes.say("limits", format_args!("{name}: {}", room(usage, limit)));
            if !route.emergency && !usage.has_channel(limit) {
                return Err(refused(
                    RefusalReason::Channels,
                    refusal_status(route.direction),
                ));
            }
        }
        if ingress.calls_per_second > 0 {
            let rate = ingress.calls_per_second;
            notes.say(
                "limits",
                format_args!("at most {rate} new calls a second from it"),
            );
        }
        if route.emergency {
            notes.say("limits", "none of them stops an emergency call");
        }
        Ok(())
    }

    /// The first way with room. Lists all peers that there are, and why each is where it is.
    fn choose(&self, notes: &mut Notes, route: &Route, ways: &Ways) -> Option<PeerId> {
        let mut order: Vec<PeerId> = Vec::new();
        for way in ways {
            if !order.contains(&way.peer) {
                order.push(way.peer);
            }
        }
        let full = |peer: &Peer| !route.emergency && !peer.usage.has_channel(peer.channels);
        let peers = self.peers(route.site, route);
        let chosen = order
            .iter()
            .copied()
            .find(|id| self.plan.peer(*id).is_some_and(|p| !full(p)));
        let mut views: Vec<WayView> = peers
            .into_iter()
            .map(|(id, peer)| {
                let place = order
                    .iter()
                    .position(|tried| *tried == id)
                    .map(|place| place + 1);
                let quarantine = peer.usage.standing.quarantine();
                let why = if peer.addresses.is_empty() {
                    Some("its name has no address".to_owned())
                } else if place.is_none() && route.by_rule.is_some_and(|named| named != id) {
                    Some("the dial rule names another trunk".to_owned())
                } else if full(peer) {
                    Some("all its channels are in use".to_owned())
                } else if let Some(quarantine) = quarantine {
                    Some(format!(
                        "it comes last until it has proved itself: {}",
                        quarantine.fault
                    ))
                } else if registers(peer).is_some() && !peer.usage.is_bound(self.now) {
                    Some("it comes last until it is registered".to_owned())
                } else if Some(id) == chosen {
                    None
                } else {
                    Some("only if those before it fail".to_owned())
                };
                WayView {
                    peer: format!("{} {}", kind_name(peer.kind), peer.key),
                    place,
                    rank: Rank {
                        priority: peer.failover.priority,
                        weight: peer.failover.weight,
                    },
                    channels: (peer.usage.calls(), peer.channels),
                    why,
                }
            })
            .collect();
        views.sort_by_key(|view| view.place.unwrap_or(usize::MAX));
        notes.ways = views;
        chosen
    }

    fn peers(&self, site: SiteId, route: &Route) -> Vec<(PeerId, &Peer)> {
        let kind = kind_towards(route.direction);
        self.plan.peers_of_site(site, kind).collect()
    }
}

fn say_caller(notes: &mut Notes, identity: &Identity) {
    if let Some(number) = &identity.replaced_by {
        let real = identity.real.as_deref().unwrap_or("the caller's number");
        let text = format!("{real} may not be presented; {number} stands in its place");
        notes.say("caller", text);
    }
    let shown = identity.shown.as_ref().map(|number| &number.text);
    let asserted = identity.asserted.as_ref().map(|number| &number.text);
    match (shown, asserted) {
        (Some(shown), _) => notes.say("caller", format_args!("presents {shown}")),
        (None, Some(number)) => {
            notes.say(
                "caller",
                format_args!("anonymous; a trusted peer is told {number}"),
            );
        }
        (None, None) => notes.say("caller", "anonymous"),
    }
}

fn say_wording(notes: &mut Notes, wording: &Wording) {
    let calling = wording.calling.as_deref().unwrap_or("anonymous");
    let mut text = format!("To {}, From {calling}", wording.called);
    if let Some(asserted) = wording.asserted() {
        text.push_str(&format!(", P-Asserted-Identity {asserted}"));
    }
    if let Some(privacy) = wording.privacy() {
        text.push_str(&format!(", Privacy {privacy}"));
    }
    notes.say("wording", text);
}

fn room(usage: &Usage, limit: u32) -> String {
    match limit {
        0 => format!("{} calls, no limit", usage.calls()),
        limit => format!("{} of {limit} channels in use", usage.calls()),
    }
}

const fn refused(reason: RefusalReason, status: u16) -> NoRoute {
    NoRoute { reason, status }
}

/// A refusal in words, for whoever configured it.
const fn why_refused(reason: RefusalReason) -> &'static str {
    match reason {
        RefusalReason::CallingNumber => {
            "the calling number is not one of the site's, and calling_number says to refuse it"
        }
        RefusalReason::Channels => "every peer that it may go to has all its channels in use",
        RefusalReason::DialPlan => "a rule of the site's dial plan refuses the number",
        RefusalReason::Number => "the called number is not one of the site's",
        _ => "there is no peer to send it to, or none whose name has an address",
    }
}

/// The INVITE of a question.
fn invite(question: &Question<'_>) -> Option<String> {
    let target = match question.called {
        urn if urn.len() <= TEXT_MAX && urn.to_ascii_lowercase().starts_with("urn:service:sos") => {
            urn.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b":.-".contains(&byte))
                .then(|| urn.to_owned())?
        }
        number => format!("sip:{}@edge.invalid", user(number)?),
    };
    let from = match question.calling {
        Some(number) => format!("<sip:{}@edge.invalid>", user(number)?),
        None => "\"Anonymous\" <sip:anonymous@anonymous.invalid>".to_owned(),
    };
    let privacy = if question.private {
        "Privacy: id\r\n"
    } else {
        ""
    };
    Some(format!(
        "INVITE {target} SIP/2.0\r\nVia: SIP/2.0/UDP edge.invalid;branch=z9hG4bKrehearsal\r\n\
         Max-Forwards: 70\r\nFrom: {from};tag=rehearsal\r\nTo: <{target}>\r\n\
         Call-ID: rehearsal\r\nCSeq: 1 INVITE\r\n{privacy}Content-Length: 0\r\n\r\n"
    ))
}

/// As the user part of a URI: a number without its visual separators, anything else escaped.
fn user(text: &str) -> Option<String> {
    let text = text.trim();
    let looks_dialled = text
        .chars()
        .all(|c| c.is_ascii_digit() || "+*#-.() ".contains(c));
    let text = match looks_dialled {
        true => text.replace(['-', '.', '(', ')', ' '], ""),
        false => text.to_owned(),
    };
    if text.is_empty() || text.len() > TEXT_MAX {
        return None;
    }
    let mut out = String::new();
    for byte in text.bytes() {
        // RFC 3261 §25.1: unreserved and user-unreserved, as far as numbers and names have them.
        if byte.is_ascii_alphanumeric() || b"+*-_.!~'()".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Fault;
    use crate::policy::CallingNumber;
    use crate::testing::{PBX, TRUNK, plan, second_trunk};
    use ringfence_base::entropy::SeededEntropy;

    const NOW: (Instant, UnixTime) = (Instant::ZERO, UnixTime::from_micros(0));
    const OWN: Option<&str> = Some("+13305550101");

    fn ask(plan: &Plan, from: PeerId, called: &str, calling: Option<&str>) -> Rehearsal {
        let question = Question {
            called,
            calling,
            private: false,
            source: Source::Peers(vec![from]),
            live: true,
        };
        rehearse(plan, NOW, &question, &mut SeededEntropy::new(1)).unwrap()
    }

    #[track_caller]
    fn check_refused(rehearsal: &Rehearsal, status: u16, reason: RefusalReason) {
        assert_eq!(rehearsal.outcome, Outcome::Refused { status, reason });
    }

    fn said<'a>(rehearsal: &'a Rehearsal, topic: &str) -> Vec<&'a str> {
        let steps = rehearsal.steps.iter().filter(|step| step.topic == topic);
        steps.map(|step| step.text.as_str()).collect()
    }

    #[test]
    fn a_call_that_is_sent_says_to_whom_and_how_and_costs_nothing() {
        let plan = plan();
        let rehearsal = ask(&plan, PBX, "+1 (312) 555-0001", OWN);
        assert_eq!(
            rehearsal.outcome,
            Outcome::Sent {
                peer: "trunk carrier-a".into(),
                called: "+13125550001".into(),
                calling: Some("+13305550101".into()),
            }
        );
        assert_eq!(
            said(&rehearsal, "route"),
            ["pbx main -> site summit -> trunk carrier-a"]
        );
        let all = plan.peers.iter().map(|peer| &peer.usage);
        let counted: u32 = all
            .chain([&plan.sites[0].usage])
            .map(|usage| usage.calls())
            .sum();
        assert_eq!(counted, 0, "no channel is taken");
    }

    #[test]
    fn each_refusal_is_that_of_a_real_call() {
        let mut plan = plan();
        check_refused(
            &ask(&plan, TRUNK, "+13305550150", None),
            404,
            RefusalReason::Number,
        );
        plan.peers[PBX.index()].policy.calling_number = CallingNumber::Refuse;
        let foreign = ask(&plan, PBX, "+13125550001", Some("+442079460000"));
        check_refused(&foreign, 403, RefusalReason::CallingNumber);
        plan.sites[0].channels = 1;
        assert!(plan.sites[0].usage.take_channel(1));
        let full = ask(&plan, PBX, "+13125550001", OWN);
        check_refused(&full, 503, RefusalReason::Channels);
        let inbound = ask(&plan, TRUNK, "+13305550100", None);
        check_refused(&inbound, 486, RefusalReason::Channels);
        let emergency = ask(&plan, PBX, "911", OWN);
        assert!(
            matches!(emergency.outcome, Outcome::Sent { .. }),
            "{emergency:?}"
        );
    }

    #[test]
    fn every_trunk_is_listed_with_its_place_or_the_reason_against_it() {
        let mut plan = plan();
        let mut second = second_trunk();
        second.failover.priority = 2;
        second.channels = 1;
        plan.peers.push(second);
        let mut third = second_trunk();
        third.key = "carrier-c".into();
        third.addresses.clear();
        plan.peers.push(third);
        let rehearsal = ask(&plan, PBX, "+13125550001", OWN);
        let places: Vec<_> = rehearsal
            .ways
            .iter()
            .map(|way| (&*way.peer, way.place))
            .collect();
        assert_eq!(
            places,
            [
                ("trunk carrier-a", Some(1)),
                ("trunk carrier-b", Some(2)),
                ("trunk carrier-c", None)
            ]
        );
        assert_eq!(rehearsal.ways[0].why, None);
        assert!(
            plan.peers[TRUNK.index()]
                .usage
                .standing
                .note_fault(NOW.0, Fault::Silent, 1)
        );
        let rehearsal = ask(&plan, PBX, "+13125550001", OWN);
        assert_eq!(rehearsal.ways[0].peer, "trunk carrier-b");
        assert!(
            rehearsal.ways[1]
                .why
                .as_ref()
                .unwrap()
                .contains("no answer")
        );
        assert!(plan.peers[2].usage.take_channel(1));
        let rehearsal = ask(&plan, PBX, "+13125550001", OWN);
        assert_eq!(
            rehearsal.ways[0].why.as_deref(),
            Some("all its channels are in use")
        );
        assert!(
            matches!(rehearsal.outcome, Outcome::Sent { peer, .. } if peer == "trunk carrier-a")
        );
    }

    #[test]
    fn a_question_cannot_write_headers() {
        let plan = plan();
        let rehearsal = ask(&plan, PBX, "1\r\nPrivacy: id", Some("a>\r\nX: y"));
        assert!(
            !matches!(rehearsal.outcome, Outcome::Refused { .. }),
            "{rehearsal:?}"
        );
        let question = Question {
            called: "urn:service:sos\r\nX: y",
            calling: None,
            private: true,
            source: Source::Peers(vec![PBX]),
            live: false,
        };
        let answer = rehearse(&plan, NOW, &question, &mut SeededEntropy::new(1));
        assert_eq!(answer, Err(RehearsalError::Text));
    }
}

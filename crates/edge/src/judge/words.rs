//! What the judge says, as the API and the records have it.

use std::net::IpAddr;

use ringfence_base::Instant;
use ringfence_base::time::WallAnchor;
use ringfence_control::api::{Explanation, Judgement, Timestamp};
use ringfence_detect::decision::{Action, Decision, Mode, Proposal, Refused};
use ringfence_detect::finding::{Incident, Subject};
use ringfence_detect::own::place_of;
use ringfence_detect::watch::Watch;
use ringfence_session::call_id::CallId;
use ringfence_session::plan::{PeerId, PeerKind, Plan, SiteId};

use super::firewall::Firewall;

/// Puts judgements into words.
pub(super) struct Words<'a> {
    pub(super) plan: &'a Plan,
    pub(super) anchor: WallAnchor,
}

impl Words<'_> {
    /// An incident, as it stands.
    pub(super) fn incident(&self, now: Instant, incident: &Incident) -> Judgement {
        let finding = &incident.finding;
        Judgement {
            at: self.time(now),
            what: "incident".to_owned(),
            incident: incident.id,
            kind: incident.kind.as_str().to_owned(),
            technique: incident.kind.technique().to_owned(),
            subject_sort: incident.subject.sort().to_owned(),
            subject: self.subject(&incident.subject),
            source: finding.source.map(|source| source.to_string()),
            spoofable: finding.is_spoofable(),
            confidence: finding.confidence.percent(),
            events: incident.events,
            sources: incident.sources,
            first: self.time(incident.opened),
            last: self.time(incident.last),
            action: None,
            mode: None,
            stands: None,
            until: Some(self.time(incident.expires)),
            harm: None,
            why: finding.explain_as(&self.subject(&incident.subject)),
        }
    }

    /// A decision.
    pub(super) fn decision(&self, now: Instant, incident: u64, decision: &Decision) -> Judgement {
        Judgement {
            what: "decided".to_owned(),
            harm: Some(decision.harm().to_string()),
            why: decision.explain(),
            ..self.proposal(now, incident, decision.proposal())
        }
    }

    /// A decision that is in force, and where it is carried out.
    pub(super) fn standing(
        &self,
        now: Instant,
        decision: &Decision,
        firewall: Option<&Firewall>,
    ) -> Judgement {
        let stands = decision.is_enforced().then(|| match decision.against() {
            Subject::Address(address)
                if decision.action() == Action::Block
                    && firewall.is_some_and(|firewall| firewall.holds(place_of(*address))) =>
            {
                "nftables".to_owned()
            }
            _ => "process".to_owned(),
        });
        Judgement {
            stands,
            ..self.decision(now, 0, decision)
        }
    }

    /// What was due and is not done.
    pub(super) fn refused(
        &self,
        now: Instant,
        incident: u64,
        proposal: &Proposal,
        why: Refused,
    ) -> Judgement {
        let action = proposal.action.as_str();
        let subject = self.subject(&proposal.against);
        let harm = match why {
            Refused::Harms(harm) => Some(harm.to_string()),
            Refused::Unproven | Refused::FailoverCode(_) => None,
        };
        Judgement {
            what: "refused".to_owned(),
            harm,
            why: format!("no {action} of {subject} for {}: {why}.", proposal.kind),
            ..self.proposal(now, incident, proposal)
        }
    }

    /// Something is over.
    pub(super) fn lifted(&self, now: Instant, decision: &Decision) -> Judgement {
        let action = decision.action().as_str();
        let subject = self.subject(decision.against());
        let over = decision.until() <= now;
        let why = if over {
            "its time is up"
        } else {
            "it was taken back"
        };
        Judgement {
            what: "lifted".to_owned(),
            why: format!("{action} of {subject} is over: {why}."),
            ..self.proposal(now, 0, decision.proposal())
        }
    }

    /// What is known of an address now; the past is the records'.
    pub(super) fn explain(&self, now: Instant, watch: &Watch, address: IpAddr) -> Explanation {
        let (harm, score) = (watch.harm(now, address), watch.score(now, address));
        let place = place_of(address);
        let in_force: Vec<Judgement> = watch
            .in_force()
            .iter()
            .filter(|decision| match decision.against() {
                Subject::Address(other) | Subject::AccountFrom(_, other) => *other == place,
                _ => false,
            })
            .map(|decision| self.decision(now, 0, decision))
            .collect();
        let own = !harm.is_nobody();
        let why = match (own, in_force.first()) {
            (true, _) => format!("{address} is the customer's own and never banned: {harm}."),
            (false, Some(decision)) => decision.why.clone(),
            (false, None) if score > 0.0 => {
                format!("nothing is in force; it scores {score:.1}, a finding is made at 5.")
            }
            (false, None) => "nothing is known against it.".to_owned(),
        };
        let why = match (own, watch.listed(address)) {
            (false, lists) if !lists.is_empty() => {
                let lists = lists.join(", ");
                format!("{why} It is listed by {lists}, which alone is no finding.")
            }
            _ => why,
        };
        Explanation {
            at: self.time(now),
            about: address.to_string(),
            why,
            own,
            harm: Some(harm.to_string()),
            score: Some(score),
            in_force,
            past: Vec::new(),
            call: None,
            callers: Vec::new(),
            calls: Vec::new(),
        }
    }

    fn proposal(&self, now: Instant, incident: u64, proposal: &Proposal) -> Judgement {
        let source = match proposal.against {
            Subject::Address(address) | Subject::AccountFrom(_, address) => {
                Some(address.to_string())
            }
            _ => None,
        };
        let mode = match proposal.mode {
            Mode::Observe => "observe",
            Mode::Enforce => "enforce",
        };
        Judgement {
            at: self.time(now),
            what: String::new(),
            incident,
            kind: proposal.kind.as_str().to_owned(),
            technique: proposal.kind.technique().to_owned(),
            subject_sort: proposal.against.sort().to_owned(),
            subject: self.subject(&proposal.against),
            source,
            spoofable: !proposal.proof.is_proven(),
            confidence: 0,
            events: proposal.events,
            sources: 1,
            first: self.time(proposal.at),
            last: self.time(proposal.at),
            action: Some(proposal.action.as_str().to_owned()),
            mode: Some(mode.to_owned()),
            stands: None,
            until: Some(self.time(proposal.until)),
            harm: None,
            why: String::new(),
        }
    }

    fn time(&self, at: Instant) -> Timestamp {
        Timestamp(self.anchor.unix_time(at))
    }

    /// With the names of the configuration.
    fn subject(&self, subject: &Subject) -> String {
        match subject {
            Subject::Call(call) => format!("call {}", CallId::from_raw(call.raw())),
            Subject::Peer(peer) => match self.plan.peer(PeerId::new(peer.raw())) {
                Some(peer) => {
                    let sort = match peer.kind {
                        PeerKind::Pbx => "pbx",
                        PeerKind::Phones => "phones",
                        PeerKind::Trunk => "trunk",
                    };
                    format!("{sort}.{}", peer.key)
                }
                None => subject.to_string(),
            },
            Subject::Site(site) => match self.plan.site(SiteId::new(site.raw())) {
                Some(site) => format!("site.{}", site.key),
                None => subject.to_string(),
            },
            other => other.to_string(),
        }
    }
}

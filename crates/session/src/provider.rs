//! A trunk that fails is told to detection: its carrier may be under attack, and it is a second carrier
//! that helps, not a fence. Sound that is lost on the way is in the records, and not told here.

use std::time::Duration;

use ringfence_base::Instant;
use ringfence_detect::event::PeerRef;
use ringfence_detect::finding::{Confidence, Finding, Kind, Subject, Value};

use crate::health::Fault;
use crate::plan::{PeerKind, Plan};

/// A trunk that has not come back for so long is told of no more.
const LASTS: Duration = Duration::from_secs(7 * 24 * 3600);

/// What is found when the trunk `key` has failed `failures` times in a row, the last time so.
/// `None`: it is no trunk.
pub fn trouble(
    plan: &Plan,
    now: Instant,
    key: &str,
    (fault, failures): (Fault, u32),
) -> Option<Finding> {
    let (mut finding, site) = about(plan, now, key)?;
    let (what, sure) = match fault {
        Fault::Options => ("OPTIONS without an answer", 90),
        Fault::Silent => ("calls without any answer", 90),
        Fault::Transport => ("it cannot be reached", 90),
        Fault::Status(_) => ("calls refused", 70),
    };
    finding.count = failures.into();
    finding.confidence = Confidence::new(sure);
    finding.expires = now + LASTS;
    finding.note("fault", Value::Word(what));
    if let Fault::Status(status) = fault {
        finding.note("status", Value::Count(status.into()));
    }
    let trunks = || {
        plan.peers
            .iter()
            .filter(|peer| peer.kind == PeerKind::Trunk)
    };
    let works = |peer: &&crate::plan::Peer| peer.usage.standing.quarantine().is_none();
    let of_site = trunks().filter(|peer| peer.site == site && peer.key != key);
    let others = of_site.filter(works).count();
    finding.note(
        "other trunks of the site that work",
        Value::Count(others as u64),
    );
    let none_works = trunks().count() > 1 && !trunks().any(|peer| works(&peer));
    let advice = match (others, none_works) {
        (_, true) => "no trunk works: look at the internet connection first",
        (0, false) => "there is no other trunk: ask the carrier, or add one",
        _ => "calls go over the others",
    };
    finding.note("what now", Value::Word(advice));
    Some(finding)
}

/// The end of that: the trunk `key` works again.
pub fn relief(plan: &Plan, now: Instant, key: &str) -> Option<Finding> {
    let (mut finding, _) = about(plan, now, key)?;
    finding.note("what now", Value::Word("it works again"));
    Some(finding)
}

fn about(plan: &Plan, now: Instant, key: &str) -> Option<(Finding, crate::plan::SiteId)> {
    let is_it = |peer: &crate::plan::Peer| peer.kind == PeerKind::Trunk && peer.key == key;
    let index = plan.peers.iter().position(is_it)?;
    let site = plan.peers.get(index)?.site;
    let subject = Subject::Peer(PeerRef::new(u16::try_from(index).ok()?));
    Some((Finding::new(Kind::ProviderTrouble, subject, now), site))
}

//! What the lines hang on and may be lost: certificates that end soon.
//!
//! Numbers that are ported away, and mails of a carrier's portal, are not to be seen from here.

use std::time::Duration;

use ringfence_base::{Instant, UnixTime};
use ringfence_control::certificate;
use ringfence_control::config::Listen;
use ringfence_detect::finding::{Confidence, Finding, Kind, Subject, Value};
use ringfence_detect::name::Name;

use super::shared::Shared;
use crate::clock::unix_now;
use crate::doctor::CERTIFICATE_SOON;

/// How often it is looked.
pub(super) const EVERY: Duration = Duration::from_secs(6 * 3600);

/// Tells the judge of certificates that end soon. Who renews one is told of no more, and the incident
/// ends by itself.
pub(super) fn look(shared: &Shared) {
    let config = std::sync::Arc::clone(&shared.applied.load().config);
    let certificates = config.listeners.iter().filter_map(|listen| {
        let ends = certificate::ends(listen.certificate.as_deref()?)?;
        Some((listen, ends))
    });
    let key = shared.judge.key();
    let name = |listen: &Listen| Name::new(key, listen.name.as_bytes());
    let named = certificates.map(|(listen, ends)| (name(listen), ends));
    if let Some(finding) = ending(shared.clock.now(), unix_now(), named) {
        shared.judge.tell_finding(finding);
    }
}

/// What is found of certificates by their listeners and ends.
fn ending(
    now: Instant,
    wall: UnixTime,
    certificates: impl Iterator<Item = (Name, UnixTime)>,
) -> Option<Finding> {
    let left = |ends: UnixTime| {
        let micros = ends.as_micros().saturating_sub(wall.as_micros());
        Duration::from_micros(u64::try_from(micros).unwrap_or_default())
    };
    let mut soon: Vec<(Duration, Name)> = certificates
        .map(|(listen, ends)| (left(ends), listen))
        .filter(|(left, _)| *left < CERTIFICATE_SOON)
        .collect();
    soon.sort_by_key(|(left, _)| *left);
    let (first, listen) = *soon.first()?;
    let mut finding = Finding::new(Kind::Custody, Subject::Edge, now);
    finding.count = soon.len() as u64;
    finding.confidence = Confidence::new(100);
    finding.expires = now + EVERY + EVERY / 2;
    finding.note("certificate of listen", Value::Text(listen));
    finding.note("days that are left", Value::Count(first.as_secs() / 86_400));
    finding.note(
        "certificates that end within two weeks",
        Value::Count(soon.len() as u64),
    );
    finding.note(
        "what now",
        Value::Word("renew it, then run: ringfence reload"),
    );
    Some(finding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_base::HashKey;

    #[test]
    fn the_certificate_that_ends_first_is_named_and_others_are_counted() {
        let name = |text: &str| Name::new(HashKey::from_bytes([1; 16]), text.as_bytes());
        let day = |days: i64| UnixTime::from_micros(days * 86_400 * 1_000_000);
        let found = |ends: &[(&str, i64)]| {
            let all = ends.iter().map(|(listen, ends)| (name(listen), day(*ends)));
            ending(Instant::ZERO, day(100), all)
        };
        assert!(found(&[("outside", 115), ("inside", 190)]).is_none());
        let finding = found(&[("outside", 112), ("inside", 190), ("web", 103)]).expect("found");
        assert_eq!((finding.kind, finding.count), (Kind::Custody, 2));
        let words = finding.explain();
        assert!(words.contains("web") && words.contains('3'), "{words}");
        let over = found(&[("outside", 99)]).expect("found");
        assert!(over.explain().contains("left 0") || over.explain().contains('0'));
    }
}

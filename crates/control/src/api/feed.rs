//! Addresses that attacked here, for others: what `[[detect.feed]]` of another edge reads.
//!
//! In it are addresses alone: no account, no number, nothing of the customer's. An address that
//! somebody else may have written is never in it, nor one of the customer's own.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::judgement::Judgement;
use super::time::Timestamp;

/// How sure an incident must be, in percent.
pub const FEED_SURE: u8 = 80;
/// Kinds of which the address at the end is the attacker's, whoever was aimed at.
const KINDS: [&str; 7] = [
    "enumeration",
    "flood",
    "guessing",
    "malformed",
    "scan",
    "spraying",
    "stuffing",
];

/// `ringfence feed export`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feed {
    /// When it was made.
    pub at: Timestamp,
    /// Of what was found since then.
    pub since: Timestamp,
    /// Addresses, in their order.
    pub addresses: Vec<FeedAddress>,
    /// Addresses that are left out because they are the customer's own.
    pub own: u64,
    /// Incidents that are left out because their address is not proved.
    pub unproven: u64,
}

/// An address that attacked here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedAddress {
    /// The address.
    pub address: IpAddr,
    /// What it did: `scan`, `guessing`, …
    pub kinds: Vec<String>,
    /// When it was seen first.
    pub first: Timestamp,
    /// When it was seen last.
    pub last: Timestamp,
    /// In percent.
    pub confidence: u8,
    /// Messages that counted.
    pub events: u64,
}

impl Feed {
    /// Takes what is fit for others out of `said`. `is_own`: whether an address is the customer's.
    pub fn of(
        (at, since): (Timestamp, Timestamp),
        said: &[Judgement],
        is_own: impl Fn(IpAddr) -> bool,
    ) -> Feed {
        let mut feed = Feed {
            at,
            since,
            ..Feed::default()
        };
        let mut found: BTreeMap<IpAddr, FeedAddress> = BTreeMap::new();
        for judgement in said {
            // Of an account alone the address is only the last of many that tried it.
            let by_address = matches!(&*judgement.subject_sort, "address" | "account-from");
            let wanted = by_address
                && judgement.what == "incident"
                && KINDS.contains(&&*judgement.kind)
                && judgement.last >= since;
            let source = judgement.source.as_deref();
            let Some(address) = source.filter(|_| wanted).and_then(|it| it.parse().ok()) else {
                continue;
            };
            if judgement.spoofable || judgement.confidence < FEED_SURE {
                feed.unproven += 1;
                continue;
            }
            let entry = found.entry(address).or_insert_with(|| FeedAddress {
                address,
                kinds: Vec::new(),
                first: judgement.first,
                last: judgement.last,
                confidence: 0,
                events: 0,
            });
            if !entry.kinds.contains(&judgement.kind) {
                entry.kinds.push(judgement.kind.clone());
                entry.kinds.sort();
            }
            entry.first = entry.first.min(judgement.first);
            entry.last = entry.last.max(judgement.last);
            entry.confidence = entry.confidence.max(judgement.confidence);
            entry.events = entry.events.saturating_add(judgement.events);
        }
        let (own, others): (Vec<_>, Vec<_>) =
            found.into_values().partition(|entry| is_own(entry.address));
        feed.own = own.len() as u64;
        feed.addresses = others;
        feed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_base::UnixTime;

    fn at(seconds: i64) -> Timestamp {
        UnixTime::from_micros(seconds * 1_000_000).into()
    }

    fn said(kind: &str, sort: &str, source: &str) -> Judgement {
        Judgement {
            at: at(100),
            what: "incident".into(),
            incident: 1,
            kind: kind.into(),
            technique: String::new(),
            subject_sort: sort.into(),
            subject: format!("100@summit.example from {source}"),
            source: Some(source.into()),
            spoofable: false,
            confidence: 90,
            events: 7,
            sources: 1,
            first: at(90),
            last: at(100),
            action: None,
            mode: None,
            stands: None,
            until: None,
            harm: None,
            why: "100@summit.example was tried".into(),
        }
    }

    #[test]
    fn only_proven_addresses_of_others_are_given_away_and_no_account() {
        let mut spoofable = said("scan", "address", "203.0.113.1");
        spoofable.spoofable = true;
        let mut unsure = said("scan", "address", "203.0.113.2");
        unsure.confidence = 79;
        let mut decided = said("scan", "address", "203.0.113.3");
        decided.what = "decided".into();
        let mut earlier = said("scan", "address", "203.0.113.9");
        (earlier.first, earlier.last) = (at(50), at(60));
        let mut old = said("scan", "address", "203.0.113.4");
        old.last = at(9);
        let all = [
            spoofable,
            unsure,
            decided,
            old,
            said("guessing", "account", "203.0.113.5"),
            said("compromise", "account-from", "203.0.113.6"),
            said("telephony-denial", "site", "203.0.113.7"),
            said("scan", "address", "198.51.100.20"),
            said("guessing", "account-from", "203.0.113.9"),
            earlier,
        ];
        let own: IpAddr = "198.51.100.20".parse().unwrap();
        let feed = Feed::of((at(200), at(10)), &all, |address| address == own);
        assert_eq!((feed.own, feed.unproven), (1, 2));
        let [address] = &feed.addresses[..] else {
            panic!("{feed:?}")
        };
        assert_eq!(address.address.to_string(), "203.0.113.9");
        assert_eq!(address.kinds, ["guessing", "scan"]);
        assert_eq!(
            (address.first, address.last, address.events),
            (at(50), at(100), 14)
        );
        assert!(!serde_json::to_string(&feed).unwrap().contains("summit"));
    }
}

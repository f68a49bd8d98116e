//! Campaigns: many addresses that do one thing each.
//!
//! An address that asks once shows nothing. So what is asked in vain is also counted for each
//! program (structural fingerprint), for each target, and for the edge as a whole, where the
//! number of different addresses is what counts.

use std::net::IpAddr;
use std::time::Duration;

use ringfence_base::{HashKey, Instant};

use crate::event::{Asked, Fingerprint, Source};
use crate::finding::{Confidence, Finding, Kind, Subject, Value};
use crate::name::Name;
use crate::own::place_of;
use crate::sketch::{Distinct, Heavy, Horizon, Tier, Tiered, TopK};

/// One program: so many addresses, so many targets, all in vain.
const PROGRAM_SOURCES: u64 = 12;
const PROGRAM_TARGETS: u64 = 12;
/// Wrong passwords of one program, before it is one that tries them.
const PROGRAM_WRONG: u32 = 12;
/// One target, asked for by so many addresses.
const TARGET_SOURCES: u64 = 15;
/// The edge, whatever the programs: addresses and targets within [`EDGE_WINDOW`]. More than the
/// noise of the Internet brings in that time.
const EDGE_SOURCES: u64 = 40;
const EDGE_TARGETS: u64 = 30;
const EDGE_WINDOW: Duration = Duration::from_secs(600);
/// Programs and targets are judged within this time.
const WINDOW: Duration = Duration::from_secs(6 * 3600);
/// More right answers than this share of those in vain, and it is a program of the customer's.
const RIGHT_SHARE: u32 = 20;

#[derive(Clone, Debug, Default)]
struct Campaign {
    since: Instant,
    last: Instant,
    vain: u32,
    right: u32,
    wrong: u32,
    sources: Distinct,
    targets: Distinct,
}

impl Campaign {
    fn begin(&mut self, now: Instant, window: Duration) {
        if self.vain + self.right == 0 || now.saturating_since(self.since) > window {
            // A program of the customer's stays one.
            let right = self.right;
            *self = Campaign {
                since: now,
                right,
                ..Campaign::default()
            };
        }
        self.last = self.last.max(now);
    }

    fn note(&mut self, source: u64, target: u64, wrong: bool) {
        self.vain = self.vain.saturating_add(1);
        self.wrong = self.wrong.saturating_add(u32::from(wrong));
        self.sources.insert(source);
        self.targets.insert(target);
    }

    fn is_of_customers(&self) -> bool {
        self.right > 0 && self.right.saturating_mul(RIGHT_SHARE) >= self.vain
    }

    fn memory(&self) -> usize {
        self.sources.memory() + self.targets.memory()
    }
}

/// Campaigns.
#[derive(Debug)]
pub(crate) struct Programs {
    key: HashKey,
    programs: Tiered<Fingerprint, Campaign>,
    targets: Tiered<u64, Campaign>,
    edge: Campaign,
    top_sources: TopK<IpAddr>,
    top_targets: TopK<Name>,
}

/// Sources and targets that are named to people.
const TOP: usize = 64;

impl Programs {
    pub(crate) fn new(key: HashKey, capacity: usize) -> Programs {
        Programs {
            key,
            programs: Tiered::new(key, capacity),
            targets: Tiered::new(key, capacity),
            edge: Campaign::default(),
            top_sources: TopK::new(key, TOP, Horizon::Hours),
            top_targets: TopK::new(key, TOP, Horizon::Hours),
        }
    }

    /// Something was asked for in vain: refused, unanswered, or with a wrong password.
    pub(crate) fn on_vain(
        &mut self,
        now: Instant,
        source: &Source,
        asked: &Asked,
        wrong: bool,
    ) -> Option<Finding> {
        let place = self.key.hash64(&place_of(source.address()));
        let (target, build) = (asked.target.hash(), asked.shape.fingerprint);
        self.top_sources.add(now, place_of(source.address()), 1.0);
        if !asked.target.is_empty() {
            self.top_targets.add(now, asked.target, 1.0);
        }
        let program = self.programs.touch(build, Tier::Unproven).map(|campaign| {
            campaign.begin(now, WINDOW);
            campaign.note(place, target, wrong);
            let found = campaign.sources.count() >= PROGRAM_SOURCES
                && campaign.targets.count() >= PROGRAM_TARGETS
                && !campaign.is_of_customers();
            found.then(|| describe(Subject::Fingerprint(build), campaign, 85))
        });
        if let Some(Some(finding)) = program {
            return Some(finding);
        }
        // Phones that come back all at once after an outage ask for accounts that are known.
        if target != 0
            && let Some(campaign) = self.targets.touch(target, Tier::Unproven)
        {
            if campaign.right > 0 && !wrong {
                return None;
            }
            campaign.begin(now, WINDOW);
            campaign.note(place, target, wrong);
            if campaign.sources.count() >= TARGET_SOURCES && !campaign.is_of_customers() {
                return Some(describe(Subject::Account(asked.target), campaign, 75));
            }
        }
        self.edge.begin(now, EDGE_WINDOW);
        self.edge.note(place, target, wrong);
        let many =
            self.edge.sources.count() >= EDGE_SOURCES && self.edge.targets.count() >= EDGE_TARGETS;
        many.then(|| describe(Subject::Edge, &self.edge, 70))
    }

    /// Accounts that a program has tried passwords on, in vain and from many addresses; `None` for one that
    /// has not, or that the customer's own phones are.
    pub(crate) fn tries_passwords(&self, now: Instant, build: Fingerprint) -> Option<u64> {
        let campaign = self.programs.get(&build)?;
        let many = campaign.wrong >= PROGRAM_WRONG
            && campaign.sources.count() >= PROGRAM_SOURCES
            && campaign.targets.count() >= PROGRAM_TARGETS;
        let is_now = now.saturating_since(campaign.since) <= WINDOW;
        (many && is_now && !campaign.is_of_customers()).then(|| campaign.targets.count())
    }

    /// Somebody answered rightly with this program.
    pub(crate) fn on_right(&mut self, now: Instant, build: Fingerprint, account: Name) {
        for campaign in [
            self.programs.touch(build, Tier::Own),
            self.targets.touch(account.hash(), Tier::Own),
        ]
        .into_iter()
        .flatten()
        {
            campaign.begin(now, WINDOW);
            campaign.right = campaign.right.saturating_add(1);
        }
    }

    /// Who asked most in vain.
    pub(crate) fn top_sources(&self, now: Instant) -> Vec<Heavy<IpAddr>> {
        self.top_sources.heaviest(now)
    }

    /// What was asked for most in vain.
    pub(crate) fn top_targets(&self, now: Instant) -> Vec<Heavy<Name>> {
        self.top_targets.heaviest(now)
    }

    pub(crate) fn memory(&self) -> usize {
        let all = self.programs.iter().map(|(_, campaign)| campaign);
        let targets = self.targets.iter().map(|(_, campaign)| campaign);
        let inner: usize = all.chain(targets).map(Campaign::memory).sum();
        self.programs.memory()
            + self.targets.memory()
            + self.edge.memory()
            + self.top_sources.memory()
            + self.top_targets.memory()
            + inner
    }
}

fn describe(subject: Subject, campaign: &Campaign, sure: u8) -> Finding {
    let passwords = campaign.wrong * 2 > campaign.vain;
    let kind = match passwords {
        true => Kind::Stuffing,
        false => Kind::Enumeration,
    };
    let mut finding = Finding::new(kind, subject, campaign.since);
    finding.last = campaign.last;
    finding.count = campaign.vain.into();
    finding.confidence = Confidence::new(sure);
    finding.note("addresses", Value::Count(campaign.sources.count()));
    finding.note("targets", Value::Count(campaign.targets.count()));
    finding.note("right answers", Value::Count(campaign.right.into()));
    finding
}

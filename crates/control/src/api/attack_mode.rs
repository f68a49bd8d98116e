//! How the sites stand to calls that hold their lines, and an operator's word about it.

use ringfence_base::{Instant, UnixTime};
use ringfence_session::line_guard::tenant_lines;
use ringfence_session::plan::{Plan, Site};
use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// `ringfence attack-mode`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttackMode {
    /// When this was so.
    pub at: Timestamp,
    /// A row for each site that was asked about.
    pub sites: Vec<SiteDefence>,
}

/// Whom an operator means, and for how long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttackQuery {
    /// Key of a tenant: all of its sites.
    pub tenant: Option<String>,
    /// Key of a site.
    pub site: Option<String>,
    /// Seconds that it lasts; only to switch it on.
    pub seconds: Option<u64>,
}

/// Longest time that attack mode is on without being said again, in seconds: a week.
pub const ATTACK_SECONDS_MAX: u64 = 7 * 24 * 3_600;

/// How a site stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SiteDefence {
    /// Its key.
    pub site: String,
    /// Key of its tenant.
    pub tenant: String,
    /// `enforce`, `observe` or `off`: what the configuration says.
    pub tdos: String,
    /// Whether strangers can be asked by voice.
    pub voice: bool,
    /// Its channels; without a limit there is nothing to keep, and nobody is asked.
    pub channels: u32,
    /// Until when attack mode is on, if it is.
    pub attack_until: Option<Timestamp>,
    /// Since when the edge itself sees an attack, or an operator does.
    pub alarm_since: Option<Timestamp>,
    /// Calls that went on, since the start.
    pub admitted: u64,
    /// Calls that were asked.
    pub screened: u64,
    /// Of those, with the right digits.
    pub passed: u64,
    /// Calls that were refused for an attack.
    pub shed: u64,
    /// Calls that were refused because all lines were in use.
    pub full: u64,
    /// Numbers that the tenant knows.
    pub known_callers: usize,
    /// Strangers who usually call in an hour like that of the last call; none before there was one.
    pub usual_strangers: Option<f64>,
}

impl AttackQuery {
    /// The sites that are meant: all, if none is named.
    pub fn sites<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = &'a Site> {
        let is = |wanted: &Option<String>, key: &str| wanted.as_ref().is_none_or(|it| it == key);
        plan.sites.iter().filter(move |site| {
            let tenant = plan.tenant_of(site).map_or("", |tenant| &tenant.key);
            is(&self.site, &site.key) && is(&self.tenant, tenant)
        })
    }
}

impl SiteDefence {
    /// How `site` stands at `now`, which is `at` by the wall clock.
    pub fn new(plan: &Plan, site: &Site, now: Instant, at: UnixTime) -> SiteDefence {
        let view = site.usage.lines.view(now);
        let wall = |then: Instant| {
            let micros = |span: std::time::Duration| i64::try_from(span.as_micros()).unwrap_or(0);
            let ahead = micros(then.saturating_since(now)) - micros(now.saturating_since(then));
            Timestamp(UnixTime::from_micros(at.as_micros().saturating_add(ahead)))
        };
        let tenant = plan.tenant_of(site);
        SiteDefence {
            site: site.key.clone(),
            tenant: tenant.map(|tenant| tenant.key.clone()).unwrap_or_default(),
            tdos: site.policy.lines.mode.as_str().to_owned(),
            voice: site.policy.lines.voice.is_some(),
            channels: site.channels,
            attack_until: view.attack_until.map(wall),
            alarm_since: view.alarm_since.map(wall),
            admitted: view.counts.admitted,
            screened: view.counts.screened,
            passed: view.counts.passed,
            shed: view.counts.shed,
            full: view.counts.full,
            known_callers: tenant_lines(plan, site).view(now).callers,
            usual_strangers: view.usual_strangers,
        }
    }
}

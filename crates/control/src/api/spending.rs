//! Toll fraud: what each tenant's calls have cost today, what was stopped and why.

use ringfence_base::UnixTime;
use ringfence_detect::fraud::judge::Status;
use ringfence_detect::fraud::money::Money;
use ringfence_session::plan::{Plan, Tenant};
use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// `ringfence fraud`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spending {
    /// When this was so.
    pub at: Timestamp,
    /// A row for each tenant.
    pub tenants: Vec<TenantSpending>,
}

/// How a tenant stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TenantSpending {
    /// Its key.
    pub tenant: String,
    /// `enforce`, `observe` or `off`.
    pub mode: String,
    /// What its money is called.
    pub currency: String,
    /// Until when an alarm lasts, if one does.
    pub alarm_until: Option<Timestamp>,
    /// Calls that were judged since the start.
    pub judged: u64,
    /// Of them, those a PIN was asked for.
    pub asked: u64,
    /// Those that were refused.
    pub refused: u64,
    /// Those that would have been stopped, had it been enforced.
    pub observed: u64,
    /// Those with the PIN.
    pub pins: u64,
    /// Calls in progress that were ended.
    pub cut: u64,
    /// Estimated money of today, by class.
    pub today: Vec<ClassSpending>,
    /// Estimated money of today, in all.
    pub spent: f64,
    /// What a day may cost.
    pub limit: f64,
    /// The last calls that were not simply let out, oldest first.
    pub stopped: Vec<Stopped>,
}

/// A class of destinations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassSpending {
    /// Its name.
    pub class: String,
    /// Estimated money of today.
    pub spent: f64,
    /// What a day may cost; absent when there is no limit.
    pub limit: Option<f64>,
}

/// A call that was not simply let out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stopped {
    /// When.
    pub at: Timestamp,
    /// The called number, as digits.
    pub called: String,
    /// `ask-pin` or `refuse`.
    pub decision: String,
    /// Whether it was carried out.
    pub enforced: bool,
    /// The sentence that says why.
    pub why: String,
}

impl Spending {
    /// All tenants of `plan`.
    pub fn new(plan: &Plan, now: UnixTime) -> Spending {
        let tenants = plan.tenants.iter();
        Spending {
            at: now.into(),
            tenants: tenants.filter_map(|tenant| row(tenant, now)).collect(),
        }
    }
}

fn row(tenant: &Tenant, now: UnixTime) -> Option<TenantSpending> {
    let policy = tenant.spend.policy()?;
    let status: Option<Status> = tenant.spend.status(now);
    let counts = status
        .as_ref()
        .map(|status| status.counts)
        .unwrap_or_default();
    let limited = |limit: Money| (limit != Money::MAX).then(|| limit.as_units());
    let today = status.iter().flat_map(|status| &status.spent);
    let noted = status.iter().flat_map(|status| &status.noted);
    Some(TenantSpending {
        tenant: tenant.key.clone(),
        mode: policy.mode.as_str().to_owned(),
        currency: policy.currency.to_string(),
        alarm_until: status
            .as_ref()
            .and_then(|status| status.alarm_until)
            .map(Into::into),
        judged: counts.judged,
        asked: counts.asked,
        refused: counts.refused,
        observed: counts.observed,
        pins: counts.pins,
        cut: counts.cut,
        today: today
            .map(|(class, spent, limit)| ClassSpending {
                class: class.as_str().to_owned(),
                spent: spent.as_units(),
                limit: limited(*limit),
            })
            .collect(),
        spent: status
            .as_ref()
            .map_or(0.0, |status| status.total.0.as_units()),
        limit: policy.limit.as_units(),
        stopped: noted
            .map(|noted| Stopped {
                at: noted.at.into(),
                called: noted.called.reveal().clone(),
                decision: noted.decision.as_str().to_owned(),
                enforced: noted.enforced,
                why: noted.sentence.clone(),
            })
            .collect(),
    })
}

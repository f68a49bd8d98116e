//! What came of it.

use std::collections::BTreeMap;

use ringfence_detect::fraud::destinations::{Class, Destination};
use ringfence_detect::fraud::money::Money;
use serde::{Deserialize, Serialize};

use super::attack::Style;
use super::{Options, units};

/// The object of `ringfence sim fraud --json`. Money is in units of the table of destinations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Days.
    pub days: u32,
    /// Businesses.
    pub businesses: u32,
    /// The money of all attacks.
    pub money: MoneyReport,
    /// The calls of the businesses themselves.
    pub legitimate: Legitimate,
    /// From the first call of an attack to the first that was stopped.
    pub detected_after_s: Detection,
    /// By style.
    pub styles: BTreeMap<Style, StyleReport>,
    #[serde(skip)]
    detections: Vec<Option<u64>>,
}

/// Money of attacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MoneyReport {
    /// What the calls would have cost.
    pub attempted: f64,
    /// Of it, that of calls that were never set up.
    pub stopped_before: f64,
    /// Of it, what calls that were ended would still have cost.
    pub cut: f64,
    /// Of it, what was lost.
    pub leaked: f64,
    /// `stopped_before` ÷ `attempted`.
    pub stopped_before_share: f64,
}

/// Calls of the businesses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Legitimate {
    /// Calls at home.
    pub domestic: u64,
    /// Of them, those that were asked for a PIN or refused.
    pub domestic_touched: u64,
    /// Calls abroad.
    pub international: u64,
    /// Of them, those that were asked for a PIN, refused or ended.
    pub international_touched: u64,
    /// Their share.
    pub international_touched_share: f64,
    /// Of all that were touched, those that the PIN did not let through.
    pub not_overridable: u64,
}

/// Seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// Half of the attacks sooner.
    pub p50: u64,
    /// All but one in a hundred sooner.
    pub p99: u64,
    /// Attacks of which no call was stopped.
    pub undetected: u64,
}

/// One style.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StyleReport {
    /// Attacks.
    pub attacks: u64,
    /// Calls of them.
    pub calls: u64,
    /// Of them, those that were never set up.
    pub stopped: u64,
    /// Money.
    pub money: MoneyReport,
    /// The slowest detection in seconds; absent if none was detected.
    pub detected_after_s_max: Option<u64>,
    #[serde(skip)]
    sums: Sums,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sums {
    attempted: Money,
    stopped: Money,
    cut: Money,
    leaked: Money,
}

impl Sums {
    fn report(&self) -> MoneyReport {
        let attempted = self.attempted.as_units();
        MoneyReport {
            attempted: units(self.attempted),
            stopped_before: units(self.stopped),
            cut: units(self.cut),
            leaked: units(self.leaked),
            stopped_before_share: match attempted > 0.0 {
                true => self.stopped.as_units() / attempted,
                false => 1.0,
            },
        }
    }
}

impl Report {
    pub(super) fn new(options: &Options) -> Report {
        Report {
            seed: options.seed,
            days: options.days,
            businesses: options.businesses,
            ..Report::default()
        }
    }

    pub(super) fn attempted(&mut self, style: Style, planned: Money, stopped: bool) {
        let style = self.styles.entry(style).or_default();
        style.calls += 1;
        style.sums.attempted = style.sums.attempted.plus(planned);
        if stopped {
            style.stopped += 1;
            style.sums.stopped = style.sums.stopped.plus(planned);
        }
    }

    pub(super) fn leaked(&mut self, style: Style, leaked: Money, cut: Money) {
        let sums = &mut self.styles.entry(style).or_default().sums;
        sums.leaked = sums.leaked.plus(leaked);
        sums.cut = sums.cut.plus(cut);
    }

    pub(super) fn legitimate(&mut self, destination: &Destination, touched: bool, passed: bool) {
        let real = &mut self.legitimate;
        let touched_one = u64::from(touched);
        match destination.class {
            Class::Domestic | Class::TollFree => {
                real.domestic += 1;
                real.domestic_touched += touched_one;
            }
            _ => {
                real.international += 1;
                real.international_touched += touched_one;
            }
        }
        real.not_overridable += u64::from(touched && !passed);
    }

    pub(super) fn legitimate_cut(&mut self) {
        self.legitimate.international_touched += 1;
    }

    pub(super) fn detection(&mut self, style: Style, after: Option<u64>) {
        let style = self.styles.entry(style).or_default();
        style.attacks += 1;
        style.detected_after_s_max = style.detected_after_s_max.max(after);
        self.detections.push(after);
    }

    pub(super) fn finish(&mut self) {
        let mut all = Sums::default();
        for style in self.styles.values_mut() {
            style.money = style.sums.report();
            all.attempted = all.attempted.plus(style.sums.attempted);
            all.stopped = all.stopped.plus(style.sums.stopped);
            all.cut = all.cut.plus(style.sums.cut);
            all.leaked = all.leaked.plus(style.sums.leaked);
        }
        self.money = all.report();
        let real = &mut self.legitimate;
        real.international_touched_share =
            real.international_touched as f64 / real.international.max(1) as f64;
        let mut found: Vec<u64> = self.detections.iter().flatten().copied().collect();
        found.sort_unstable();
        let at = |percent: usize| {
            let last = found.len().saturating_sub(1);
            found.get(last * percent / 100).copied().unwrap_or_default()
        };
        self.detected_after_s = Detection {
            p50: at(50),
            p99: at(99),
            undetected: (self.detections.len() - found.len()) as u64,
        };
    }
}

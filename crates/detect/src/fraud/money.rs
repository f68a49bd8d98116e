//! Money: millionths of one unit of the tenant's currency. Sums saturate.

use std::fmt;
use std::time::Duration;

/// An amount, never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(u64);

impl Money {
    /// Nothing.
    pub const ZERO: Money = Money(0);
    /// More than anybody has.
    pub const MAX: Money = Money(u64::MAX);

    /// From millionths of a unit.
    pub const fn from_micros(micros: u64) -> Money {
        Money(micros)
    }

    /// From hundredths of a unit.
    pub const fn from_cents(cents: u64) -> Money {
        Money(cents.saturating_mul(10_000))
    }

    /// From whole units.
    pub const fn from_units(units: u64) -> Money {
        Money(units.saturating_mul(1_000_000))
    }

    /// In millionths of a unit.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// In units, for a report.
    pub fn as_units(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// What `time` costs when a minute costs this.
    pub fn for_time(self, time: Duration) -> Money {
        let micros = u128::from(self.0) * time.as_millis() / 60_000;
        Money(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// The sum.
    #[must_use]
    pub const fn plus(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }

    /// The difference; nothing if `other` is more.
    #[must_use]
    pub const fn minus(self, other: Money) -> Money {
        Money(self.0.saturating_sub(other.0))
    }

    /// `factor` times as much; of a negative or impossible factor nothing.
    #[must_use]
    pub fn times(self, factor: f64) -> Money {
        Money((self.0 as f64 * factor) as u64)
    }
}

impl fmt::Display for Money {
    /// `12.35`, rounded to hundredths.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cents = self.0.saturating_add(5_000) / 10_000;
        write!(f, "{}.{:02}", cents / 100, cents % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_costs_by_the_minute_and_sums_saturate() {
        let minute = Money::from_cents(120);
        assert_eq!(
            minute.for_time(Duration::from_secs(30)),
            Money::from_cents(60)
        );
        assert_eq!(
            Money::MAX.for_time(Duration::from_secs(3_600_000)),
            Money::MAX
        );
        assert_eq!(Money::MAX.plus(minute), Money::MAX);
        assert_eq!(Money::ZERO.minus(minute), Money::ZERO);
        assert_eq!(minute.times(-1.0), Money::ZERO);
        assert_eq!(minute.times(f64::NAN), Money::ZERO);
    }

    #[test]
    fn people_read_hundredths() {
        assert_eq!(Money::from_micros(1_234_999).to_string(), "1.23");
        assert_eq!(Money::from_micros(5_000).to_string(), "0.01");
        assert_eq!(Money::from_units(7).to_string(), "7.00");
    }
}

//! A business in the United States: when its people call, whom, and for how long.
//!
//! What shapes it: most calls are at home; abroad, a business has a few countries and in each a few
//! numbers that it calls again and again; now and then a new number, seldom a new country. One in
//! six works in the evening. The shares of countries follow, roughly, what American businesses
//! call; they are assumptions, not measurements.

use std::time::Duration;

use ringfence_base::Entropy;

use super::{Call, Inbound, Story, Truth, between, fraction, number};

const DAY: u64 = 86_400;

/// Prefix, digits of a number, and its share of calls abroad.
const COUNTRIES: [(&str, usize, u32); 30] = [
    ("1416", 11, 2500),
    ("5255", 12, 1800),
    ("4420", 12, 1800),
    ("9198", 12, 800),
    ("4930", 12, 700),
    ("331", 11, 500),
    ("8610", 12, 400),
    ("612", 11, 300),
    ("632", 11, 300),
    ("813", 11, 200),
    ("5511", 12, 200),
    ("9723", 11, 200),
    ("3906", 12, 200),
    ("3491", 11, 200),
    ("3120", 11, 200),
    ("1809", 11, 200),
    ("4144", 11, 100),
    ("822", 11, 100),
    ("571", 11, 100),
    ("1876", 11, 80),
    ("9714", 11, 70),
    ("90212", 12, 60),
    ("2711", 11, 50),
    ("2341", 12, 40),
    ("202", 11, 30),
    ("2125", 12, 15),
    ("371", 11, 8),
    ("216", 11, 6),
    ("53", 10, 5),
    ("252", 11, 3),
];

/// A country that the business calls.
struct Partner {
    prefix: &'static str,
    digits: usize,
    numbers: Vec<String>,
}

/// A business.
pub(super) struct Business {
    pub(super) channels: u32,
    pub(super) staff: u64,
    abroad: f64,
    evening: bool,
    partners: Vec<Partner>,
}

impl Business {
    pub(super) fn draw(entropy: &mut dyn Entropy) -> Business {
        let staff = between(entropy, 4, 40);
        let partners = (0..between(entropy, 2, 6))
            .map(|_| {
                let (prefix, digits) = country(entropy);
                let numbers = (0..between(entropy, 2, 12))
                    .map(|_| number(entropy, prefix, digits))
                    .collect();
                Partner {
                    prefix,
                    digits,
                    numbers,
                }
            })
            .collect();
        Business {
            channels: (staff as u32 / 2).max(4),
            staff,
            abroad: 0.02 + 0.2 * fraction(entropy).powi(2),
            evening: entropy.below(6) == 0,
            partners,
        }
    }

    pub(super) fn story(&self, entropy: &mut dyn Entropy, days: u32) -> Story {
        let mut story = Story::default();
        for day in 0..u64::from(days) {
            let weekend = day % 7 >= 5;
            let busy = if weekend && !self.evening { 0.04 } else { 1.0 };
            let calls = (self.staff as f64 * 8.0 * busy * (0.7 + 0.6 * fraction(entropy))) as u64;
            for _ in 0..calls {
                // Eastern time is five hours behind; the judge is told UTC and keeps UTC hours, so
                // the whole story is told in the business's own time.
                let at = day * DAY + self.time_of_day(entropy);
                let call = self.call(entropy, at);
                story.calls.push(call);
            }
            for partner in &self.partners {
                if entropy.below(3) == 0 {
                    let place = entropy.below(partner.numbers.len() as u64) as usize;
                    let from = partner.numbers.get(place).cloned().unwrap_or_default();
                    story.inbound.push(Inbound {
                        at: day * DAY + self.time_of_day(entropy),
                        from,
                        rang: Duration::from_secs(between(entropy, 2, 25)),
                        talked: (entropy.below(5) > 0).then(|| length(entropy)),
                    });
                }
            }
        }
        story
    }

    fn time_of_day(&self, entropy: &mut dyn Entropy) -> u64 {
        // Two draws make a hump around the middle of the working day.
        let hump = (fraction(entropy) + fraction(entropy)) / 2.0;
        let (from, hours) = match (self.evening, entropy.below(100)) {
            (true, _) => (12.0, 11.5),
            (false, 0..4) => (6.0, 16.0),
            (false, _) => (8.0, 10.0),
        };
        ((from + hump * hours) * 3600.0) as u64
    }

    fn call(&self, entropy: &mut dyn Entropy, at: u64) -> Call {
        let called = match fraction(entropy) < self.abroad {
            true => self.abroad(entropy),
            false => number(entropy, "1330", 11),
        };
        let answered = entropy.below(5) > 0;
        Call {
            at,
            called,
            caller: entropy.below(self.staff),
            foreign_number: false,
            lasts: answered.then(|| length(entropy)),
            truth: Truth::Legitimate,
        }
    }

    fn abroad(&self, entropy: &mut dyn Entropy) -> String {
        if entropy.below(1000) == 0 {
            let (prefix, digits) = country(entropy);
            return number(entropy, prefix, digits);
        }
        let place = entropy.below(self.partners.len() as u64) as usize;
        let Some(partner) = self.partners.get(place) else {
            return String::new();
        };
        if entropy.below(100) < 3 {
            return number(entropy, partner.prefix, partner.digits);
        }
        // The first numbers are called most.
        let rank = fraction(entropy).powi(2) * partner.numbers.len() as f64;
        partner
            .numbers
            .get(rank as usize)
            .cloned()
            .unwrap_or_default()
    }
}

fn country(entropy: &mut dyn Entropy) -> (&'static str, usize) {
    let total: u32 = COUNTRIES.iter().map(|(_, _, share)| share).sum();
    let mut left = entropy.below(total.into()) as u32;
    for (prefix, digits, share) in COUNTRIES {
        if left < share {
            return (prefix, digits);
        }
        left -= share;
    }
    ("1416", 11)
}

/// How long people talk: half of them less than two minutes, one in forty more than a quarter of an
/// hour.
fn length(entropy: &mut dyn Entropy) -> Duration {
    // Twelve draws less six are as good as normal.
    let normal: f64 = (0..12).map(|_| fraction(entropy)).sum::<f64>() - 6.0;
    Duration::from_secs_f64((120.0 * normal.exp()).clamp(3.0, 7200.0))
}

//! Fraudsters: what they call, when, and how they try not to be seen.

use std::time::Duration;

use ringfence_base::Entropy;
use serde::{Deserialize, Serialize};

use super::business::Business;
use super::{Call, Inbound, Story, Truth, between, fraction, number};

const DAY: u64 = 86_400;
const HOUR: u64 = 3_600;

/// How a fraudster goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Style {
    /// A stolen password: a test call by day, and a burst in the night.
    CredentialTheft,
    /// A few calls a day, in working hours, from a phone that people use.
    LowAndSlow,
    /// The night to Saturday: numbers in a row, calls of one length.
    WeekendNight,
    /// Premium numbers of the own country, and of its neighbours that look like it.
    DomesticPremium,
    /// Another country with each call.
    Rotation,
    /// The phone system itself, with calling numbers of others.
    PbxTakeover,
    /// One ring from a dear place; people call back.
    Wangiri,
    /// Cheap destinations, and very many.
    CheapVolume,
}

impl Style {
    /// All of them.
    pub const ALL: [Style; 8] = [
        Style::CredentialTheft,
        Style::LowAndSlow,
        Style::WeekendNight,
        Style::DomesticPremium,
        Style::Rotation,
        Style::PbxTakeover,
        Style::Wangiri,
        Style::CheapVolume,
    ];
}

/// Ranges that are sold to fraudsters, and digits of their numbers.
const DEAR: [(&str, usize); 24] = [
    ("252", 11),
    ("53", 10),
    ("232", 11),
    ("220", 10),
    ("960", 10),
    ("675", 10),
    ("224", 11),
    ("216", 11),
    ("3712", 11),
    ("3706", 11),
    ("235", 11),
    ("269", 10),
    ("678", 10),
    ("682", 8),
    ("247", 8),
    ("88213", 12),
    ("88161", 12),
    ("263", 12),
    ("387", 11),
    ("1473", 11),
    ("1767", 11),
    ("1876", 11),
    ("212", 12),
    ("257", 11),
];

const CHEAP: [(&str, usize); 6] = [
    ("447", 12),
    ("639", 12),
    ("4366", 12),
    ("380", 12),
    ("234", 13),
    ("1809", 11),
];

/// Calls of one fraudster.
struct Fraudster<'a> {
    entropy: &'a mut dyn Entropy,
    style: Style,
    caller: u64,
    foreign_number: bool,
    calls: Vec<Call>,
}

/// Adds an attack of `style` to the story of a business.
pub(super) fn plan(
    entropy: &mut dyn Entropy,
    style: Style,
    days: u32,
    business: &Business,
    story: &mut Story,
) {
    // One in four comes before anything is known.
    let last = u64::from(days).saturating_sub(3).max(1);
    let day = match entropy.below(4) {
        0 => 0,
        _ => entropy.below(last),
    };
    let phone = entropy.below(business.staff);
    let mut fraudster = Fraudster {
        caller: phone,
        foreign_number: style == Style::PbxTakeover,
        entropy,
        style,
        calls: Vec::new(),
    };
    match style {
        Style::CredentialTheft => fraudster.credential_theft(day),
        Style::LowAndSlow => fraudster.low_and_slow(day, days),
        Style::WeekendNight => fraudster.weekend_night(day),
        Style::DomesticPremium => fraudster.domestic_premium(day),
        Style::Rotation => fraudster.rotation(day),
        Style::PbxTakeover => fraudster.takeover(day),
        Style::Wangiri => fraudster.wangiri(day, business, story),
        Style::CheapVolume => fraudster.cheap_volume(day),
    }
    story.calls.append(&mut fraudster.calls);
}

impl Fraudster<'_> {
    fn call(&mut self, at: u64, called: String, seconds: u64) {
        self.calls.push(Call {
            at,
            called,
            caller: self.caller,
            foreign_number: self.foreign_number,
            lasts: Some(Duration::from_secs(seconds)),
            truth: Truth::Attack(self.style),
        });
    }

    fn range(&mut self, ranges: &'static [(&'static str, usize)]) -> (&'static str, usize) {
        let place = self.entropy.below(ranges.len() as u64) as usize;
        ranges.get(place).copied().unwrap_or(("252", 11))
    }

    /// Keeps `channels` lines busy from `from` to `to` with calls of `least` to `most` seconds.
    fn keep_busy(
        &mut self,
        (from, to): (u64, u64),
        channels: u64,
        (least, most): (u64, u64),
        mut called: impl FnMut(&mut Self) -> String,
    ) {
        for _ in 0..channels {
            let mut at = from + between(self.entropy, 0, 60);
            while at < to {
                let seconds = between(self.entropy, least, most);
                let number = called(self);
                self.call(at, number, seconds);
                at += seconds + between(self.entropy, 2, 30);
            }
        }
    }

    fn credential_theft(&mut self, day: u64) {
        let ranges = [(); 3].map(|()| self.range(&DEAR));
        let test = day * DAY + between(self.entropy, 9 * HOUR, 17 * HOUR);
        let (prefix, digits) = ranges[0];
        let called = number(self.entropy, prefix, digits);
        let talk = between(self.entropy, 20, 70);
        self.call(test, called, talk);
        let night = day * DAY + between(self.entropy, 20 * HOUR, 26 * HOUR);
        let channels = between(self.entropy, 4, 12);
        let end = night + between(self.entropy, 4, 9) * HOUR;
        self.keep_busy((night, end), channels, (300, 2400), |this| {
            let (prefix, digits) = ranges[this.entropy.below(3) as usize];
            number(this.entropy, prefix, digits)
        });
    }

    fn low_and_slow(&mut self, day: u64, days: u32) {
        let ranges = [(); 3].map(|()| self.range(&DEAR));
        for day in day..u64::from(days).min(day + 14) {
            if day % 7 >= 5 {
                continue;
            }
            for _ in 0..between(self.entropy, 3, 6) {
                let (prefix, digits) = ranges[self.entropy.below(3) as usize];
                let called = number(self.entropy, prefix, digits);
                let at = day * DAY + between(self.entropy, 9 * HOUR, 17 * HOUR);
                let talk = between(self.entropy, 240, 1200);
                self.call(at, called, talk);
            }
        }
    }

    fn weekend_night(&mut self, day: u64) {
        let saturday = (day / 7 * 7 + 5) * DAY;
        let (prefix, digits) = self.range(&DEAR);
        let base = number(self.entropy, prefix, digits - 3);
        let mut next = 0;
        let length = between(self.entropy, 200, 900);
        let span = (saturday + HOUR, saturday + 9 * HOUR);
        self.keep_busy(span, 6, (length - 3, length + 3), |_| {
            next = (next + 1) % 1000;
            format!("{base}{next:03}")
        });
    }

    fn domestic_premium(&mut self, day: u64) {
        let from = day * DAY + between(self.entropy, 16 * HOUR, 21 * HOUR);
        self.keep_busy((from, from + 3 * HOUR), 5, (120, 1800), |this| {
            let prefix = ["1900", "1900", "1473", "1664"][this.entropy.below(4) as usize];
            number(this.entropy, prefix, 11)
        });
    }

    fn rotation(&mut self, day: u64) {
        let from = day * DAY + between(self.entropy, 0, 20 * HOUR);
        self.keep_busy((from, from + 24 * HOUR), 2, (120, 1500), |this| {
            let (prefix, digits) = this.range(&DEAR);
            number(this.entropy, prefix, digits)
        });
    }

    fn takeover(&mut self, day: u64) {
        self.caller = u64::MAX;
        let ranges = [(); 5].map(|()| self.range(&DEAR));
        let night = day * DAY + between(self.entropy, 22 * HOUR, 27 * HOUR);
        let channels = between(self.entropy, 8, 23);
        self.keep_busy((night, night + 6 * HOUR), channels, (600, 3000), |this| {
            this.caller = this.entropy.next_u64();
            let (prefix, digits) = ranges[this.entropy.below(5) as usize];
            number(this.entropy, prefix, digits)
        });
    }

    /// The fraudster rings at many; one in three of the people who see it call back.
    fn wangiri(&mut self, day: u64, business: &Business, story: &mut Story) {
        for _ in 0..between(self.entropy, 10, 30) {
            let (prefix, digits) = self.range(&DEAR[19..22]);
            let from = number(self.entropy, prefix, digits);
            let at = day * DAY + between(self.entropy, 7 * HOUR, 17 * HOUR);
            story.inbound.push(Inbound {
                at,
                from: from.clone(),
                rang: Duration::from_secs(between(self.entropy, 1, 4)),
                talked: None,
            });
            if fraction(self.entropy) < 0.34 {
                self.caller = self.entropy.below(business.staff);
                let later = between(self.entropy, 60, 6 * HOUR);
                let talk = between(self.entropy, 60, 900);
                self.call(at + later, from, talk);
            }
        }
    }

    fn cheap_volume(&mut self, day: u64) {
        let night = day * DAY + between(self.entropy, 20 * HOUR, 25 * HOUR);
        self.keep_busy((night, night + 8 * HOUR), 10, (600, 3000), |this| {
            let (prefix, digits) = this.range(&CHEAP);
            number(this.entropy, prefix, digits)
        });
    }
}

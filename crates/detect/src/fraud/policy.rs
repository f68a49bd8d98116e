//! What a tenant has decided about dear calls.

use std::fmt;
use std::sync::Arc;

use super::destinations::{Class, Country, Destination, Destinations};
use super::money::Money;
use crate::feed::NumberList;

/// Most rules of one list.
pub const RULES_MAX: usize = 256;

/// What is done with a verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The verdict is carried out.
    Enforce,
    /// It is recorded and counted, and the call goes on.
    #[default]
    Observe,
    /// Nothing is judged.
    Off,
}

impl Mode {
    /// All of them, with their names in the configuration.
    pub const NAMED: [(&'static str, Mode); 3] = [
        ("enforce", Mode::Enforce),
        ("observe", Mode::Observe),
        ("off", Mode::Off),
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Mode::Enforce => "enforce",
            Mode::Observe => "observe",
            Mode::Off => "off",
        }
    }
}

/// Destinations that a tenant allows or denies whatever is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// All of a class.
    Class(Class),
    /// The ordinary numbers of a country.
    Country(Country),
    /// Numbers that begin with these digits.
    Prefix(Box<str>),
}

impl Rule {
    /// Of a word: a class, a country's two letters, or `+` and digits.
    pub fn parse(word: &str) -> Option<Rule> {
        if let Some(digits) = word.strip_prefix('+') {
            let good = (1..=15).contains(&digits.len())
                && digits.bytes().all(|byte| byte.is_ascii_digit());
            return good.then(|| Rule::Prefix(digits.into()));
        }
        let class = Class::parse(word).map(Rule::Class);
        class.or_else(|| Country::new(word).map(Rule::Country))
    }

    fn holds(&self, digits: &str, destination: &Destination) -> bool {
        match self {
            Rule::Class(class) => *class == destination.class,
            Rule::Country(country) => {
                let ordinary = destination.class.is_abroad() || destination.class.is_harmless();
                ordinary && *country == destination.country
            }
            Rule::Prefix(prefix) => digits.starts_with(&**prefix),
        }
    }
}

/// As it is written.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Class(class) => f.write_str(class.as_str()),
            Rule::Country(country) => f.write_str(country.as_str()),
            Rule::Prefix(digits) => write!(f, "+{digits}"),
        }
    }
}

/// A tenant's policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What is done with a verdict.
    pub mode: Mode,
    /// Its country: what is domestic.
    pub home: Country,
    /// Seconds that its clocks are ahead of UTC.
    pub utc_offset: i32,
    /// How many calls it makes at once at most, by its channels: how big it is.
    pub size: u32,
    /// Never asked about.
    pub allow: Vec<Rule>,
    /// Never allowed, PIN or not.
    pub deny: Vec<Rule>,
    /// Most money in a day, by [`Class::index`].
    pub limits: [Money; Class::COUNT],
    /// Most money in a day for all classes together.
    pub limit: Money,
    /// Whether there is a PIN that a caller could dial.
    pub has_pin: bool,
    /// What its money is called: `USD`.
    pub currency: Box<str>,
    /// What numbers cost.
    pub destinations: Arc<Destinations>,
    /// Numbers that attackers were seen to call: a tell beside others, never a verdict.
    pub listed: Vec<Arc<NumberList>>,
}

/// Calls at once of a tenant that does not say.
const SIZE_USUAL: u32 = 8;

/// Fewest and most that the size of a tenant counts for.
const SIZES: std::ops::RangeInclusive<u32> = 2..=200;

impl Policy {
    /// What is good for most: nothing allowed or denied, limits by class.
    pub fn of_country(home: Country) -> Policy {
        let mut limits = [Money::MAX; Class::COUNT];
        for class in Class::ALL {
            limits[class.index()] = usual_limit(class);
        }
        Policy {
            mode: Mode::Observe,
            home,
            utc_offset: 0,
            size: SIZE_USUAL,
            allow: Vec::new(),
            deny: Vec::new(),
            limits,
            limit: Money::from_units(1000),
            has_pin: false,
            currency: "USD".into(),
            destinations: Destinations::shipped(),
            listed: Vec::new(),
        }
    }

    pub(super) fn allows(&self, digits: &str, destination: &Destination) -> bool {
        self.allow
            .iter()
            .any(|rule| rule.holds(digits, destination))
    }

    pub(super) fn denies(&self, digits: &str, destination: &Destination) -> bool {
        self.deny.iter().any(|rule| rule.holds(digits, destination))
    }

    pub(super) fn lists(&self, digits: &str) -> bool {
        let number = NumberList::digits(digits);
        number.is_some_and(|number| self.listed.iter().any(|list| list.contains(number)))
    }

    pub(super) fn limit_of(&self, class: Class) -> Money {
        self.limits
            .get(class.index())
            .copied()
            .unwrap_or(Money::MAX)
    }

    /// The size that budgets grow with.
    pub(super) fn weight(&self) -> f64 {
        let size = if self.size == 0 {
            SIZE_USUAL
        } else {
            self.size
        };
        f64::from(size.clamp(*SIZES.start(), *SIZES.end()))
    }
}

/// The money that a day may cost in `class` when nobody says otherwise.
pub const fn usual_limit(class: Class) -> Money {
    match class {
        Class::Domestic | Class::TollFree => Money::MAX,
        Class::HighCost | Class::WangiriProne => Money::from_units(100),
        Class::International => Money::from_units(400),
        Class::Premium | Class::Satellite => Money::from_units(40),
        Class::Unallocated => Money::from_units(10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_a_class_a_country_or_a_prefix() {
        assert_eq!(Rule::parse("premium"), Some(Rule::Class(Class::Premium)));
        assert_eq!(Rule::parse("GB"), Country::new("GB").map(Rule::Country));
        assert_eq!(Rule::parse("+4420"), Some(Rule::Prefix("4420".into())));
        for bad in ["", "gb", "+", "+44x", "dear", "+1234567890123456"] {
            assert_eq!(Rule::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_country_is_its_ordinary_numbers() {
        let mut policy = Policy::of_country(Country::new("US").unwrap());
        policy.allow = vec![Rule::parse("GB").unwrap()];
        let allows = |number: &str| {
            let destination = policy.destinations.find(number, policy.home);
            policy.allows(number, &destination)
        };
        assert!(allows("442079460000"));
        assert!(!allows("449098790000"), "premium is not ordinary");
    }
}

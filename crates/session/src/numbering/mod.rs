//! Telephone numbers: what is dialled, E.164, and each peer's way to write them.
//!
//! Routing compares numbers in E.164 (ITU-T E.164: at most 15 digits, the country's code first).
//! What a peer writes becomes E.164 by its tenant's country ([`NumberingPlan`]) and the form that
//! the peer is known to use ([`NumbersIn`]); towards a peer it is written in the form that it wants
//! ([`NumbersOut`]). What is no subscriber's number (an extension, a short code, a name) stays as
//! it is, whatever the form.

mod countries;
mod dial;
mod uri;

use std::fmt;

pub use countries::numbering_plan;
pub use dial::{DIAL_RULES_MAX, DialAction, DialPattern, DialRule, PATTERN_MAX};
pub(crate) use uri::{SOS, called_in, called_of, calling_of};

/// Fewest and most digits of a number in international form.
const DIGITS: std::ops::RangeInclusive<usize> = 3..=15;

/// A number in international form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct E164(u64);

impl E164 {
    /// Of its digits without the `+`; `None` unless they are 3 to 15 and begin with 1 to 9, as all
    /// country codes do.
    pub fn new(digits: &str) -> Option<E164> {
        let good = DIGITS.contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit());
        good.then(|| digits.parse().ok().map(E164))?
    }

    /// The digits without the `+`.
    pub fn digits(self) -> String {
        self.0.to_string()
    }
}

impl fmt::Display for E164 {
    /// `+13305550100`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", self.0)
    }
}

/// How a country dials.
#[derive(Debug, PartialEq, Eq)]
pub struct NumberingPlan {
    /// ISO 3166 alpha-2 country.
    pub country: &'static str,
    /// Its calling code.
    pub code: &'static str,
    /// What is dialled in front of a foreign number.
    pub international: &'static str,
    /// What is dialled in front of a national number; empty where nothing is.
    pub trunk: &'static str,
    /// Whether national numbers are written with the trunk prefix (not in North America).
    pub trunk_is_written: bool,
    /// Fewest digits of a subscriber's national number, without the prefix.
    pub shortest: usize,
    /// Most digits of it.
    pub longest: usize,
}

impl NumberingPlan {
    /// `rest` as a national number without its prefix.
    fn national(&self, rest: &str) -> Option<E164> {
        (self.shortest..=self.longest)
            .contains(&rest.len())
            .then(|| E164::new(&format!("{}{rest}", self.code)))?
    }

    /// `digits` as a number with the country's code and without `+`.
    fn with_code(&self, digits: &str) -> Option<E164> {
        self.national(digits.strip_prefix(self.code)?)
    }

    /// `number` as people of the country write it: `(330) 555-0100` without its marks, `020…`;
    /// a foreign one with the international prefix.
    fn write_national(&self, number: E164) -> String {
        let digits = number.digits();
        // No national number begins with the prefix that stands in front of it.
        let national = |rest: &&str| {
            (self.shortest..=self.longest).contains(&rest.len())
                && !(self.trunk_is_written && rest.starts_with(self.trunk))
        };
        let own = digits.strip_prefix(self.code).filter(national);
        match own {
            Some(rest) if self.trunk_is_written => format!("{}{rest}", self.trunk),
            Some(rest) => rest.to_owned(),
            None => format!("{}{digits}", self.international),
        }
    }
}

/// What form a peer's numbers have (`numbers_in`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NumbersIn {
    /// As they come, whatever they look like: only `+` makes them international.
    AsIs,
    /// Told by their prefixes and lengths.
    #[default]
    Auto,
    /// With the country's code, with or without `+`.
    E164,
    /// As dialled in the country, the trunk prefix or not; abroad by the international prefix.
    National,
}

/// How numbers are written towards a peer (`numbers_out`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NumbersOut {
    /// As they came.
    #[default]
    AsIs,
    /// `13305550100`
    E164,
    /// `+13305550100`
    E164Plus,
    /// `3305550100`, `02079460000`; abroad `011442079460000`.
    National,
}

/// A number as somebody wrote it, and what it is in E.164.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    /// As written, without visual separators.
    pub(crate) text: String,
    /// In international form, if it is a subscriber's number.
    pub(crate) e164: Option<E164>,
}

impl Number {
    /// Reads `text` as a number of a peer in a country.
    pub(crate) fn read(text: &str, form: NumbersIn, plan: Option<&NumberingPlan>) -> Number {
        Number {
            text: text.to_owned(),
            e164: read_e164(text, form, plan),
        }
    }

    /// As it is written towards a peer in a country.
    pub(crate) fn written(&self, form: NumbersOut, plan: Option<&NumberingPlan>) -> String {
        let (Some(number), false) = (self.e164, form == NumbersOut::AsIs) else {
            return self.text.clone();
        };
        match (form, plan) {
            (NumbersOut::E164, _) => number.digits(),
            (NumbersOut::National, Some(plan)) => plan.write_national(number),
            _ => number.to_string(),
        }
    }
}

impl From<E164> for Number {
    fn from(number: E164) -> Number {
        Number {
            text: number.to_string(),
            e164: Some(number),
        }
    }
}

/// A number as it is written in `country` (ISO 3166 alpha-2), without separators, in international
/// form: `+` and digits. `None`: it is no subscriber's number there.
///
/// ```
/// use ringfence_session::numbering::e164_of;
///
/// assert_eq!(e164_of("GB", "02079460000").as_deref(), Some("+442079460000"));
/// assert_eq!(e164_of("GB", "+13305550100").as_deref(), Some("+13305550100"));
/// assert_eq!(e164_of("GB", "101"), None);
/// ```
pub fn e164_of(country: &str, text: &str) -> Option<String> {
    let number = read_e164(text, NumbersIn::Auto, numbering_plan(country))?;
    Some(number.to_string())
}

fn read_e164(text: &str, form: NumbersIn, plan: Option<&NumberingPlan>) -> Option<E164> {
    if let Some(digits) = text.strip_prefix('+') {
        return E164::new(digits);
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let plan = plan?;
    let prefixed = |prefix: &str| text.strip_prefix(prefix).filter(|_| !prefix.is_empty());
    let abroad =
        || prefixed(plan.international).and_then(|rest| E164::new(rest).filter(|_| rest.len() > 6));
    let at_home = || prefixed(plan.trunk).and_then(|rest| plan.national(rest));
    match form {
        NumbersIn::AsIs => None,
        // A foreign number's length is not known here; an extension is shorter than any number.
        NumbersIn::E164 => plan
            .with_code(text)
            .or_else(|| E164::new(text).filter(|_| text.len() > 6)),
        NumbersIn::National => abroad().or_else(at_home).or_else(|| plan.national(text)),
        NumbersIn::Auto => abroad()
            .or_else(at_home)
            .or_else(|| plan.national(text).filter(|_| !plan.trunk_is_written))
            .or_else(|| plan.with_code(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads(country: &str, form: NumbersIn, text: &str, expected: Option<&str>) {
        let number = Number::read(text, form, numbering_plan(country));
        let got = number.e164.map(|number| number.to_string());
        assert_eq!(got.as_deref(), expected, "{text} in {country}");
    }

    #[track_caller]
    fn writes(country: &str, form: NumbersOut, number: &str, expected: &str) {
        let number = Number::read(number, NumbersIn::Auto, numbering_plan(country));
        assert_eq!(number.written(form, numbering_plan(country)), expected);
    }

    #[test]
    fn a_number_is_told_by_its_prefixes_and_length() {
        use NumbersIn::Auto;
        reads("US", Auto, "+13305550100", Some("+13305550100"));
        reads("US", Auto, "13305550100", Some("+13305550100"));
        reads("US", Auto, "3305550100", Some("+13305550100"));
        reads("US", Auto, "011442079460000", Some("+442079460000"));
        reads("GB", Auto, "02079460000", Some("+442079460000"));
        reads("GB", Auto, "442079460000", Some("+442079460000"));
        reads("GB", Auto, "0013305550100", Some("+13305550100"));
        reads("ES", Auto, "912345678", Some("+34912345678"));
        reads("IT", Auto, "0612345678", Some("+390612345678"));
    }

    #[test]
    fn extensions_short_codes_and_names_are_no_numbers() {
        use NumbersIn::Auto;
        for text in [
            "101",
            "911",
            "5550100",
            "*72",
            "bob",
            "",
            "+12",
            "+1330555010a",
        ] {
            reads("US", Auto, text, None);
        }
        reads("GB", Auto, "2079460000", None);
        reads("GB", Auto, "0", None);
        reads("US", NumbersIn::E164, "4242", None);
    }

    #[test]
    fn a_known_form_leaves_nothing_to_guess() {
        reads(
            "GB",
            NumbersIn::National,
            "2079460000",
            Some("+442079460000"),
        );
        reads("GB", NumbersIn::E164, "13305550100", Some("+13305550100"));
        reads("US", NumbersIn::AsIs, "3305550100", None);
        reads("US", NumbersIn::AsIs, "+3305550100", Some("+3305550100"));
    }

    #[test]
    fn each_peer_gets_its_own_form() {
        use NumbersOut::{AsIs, E164, E164Plus, National};
        writes("US", E164Plus, "3305550100", "+13305550100");
        writes("US", E164, "3305550100", "13305550100");
        writes("US", National, "+13305550100", "3305550100");
        writes("US", National, "+442079460000", "011442079460000");
        writes("GB", National, "+442079460000", "02079460000");
        writes("US", AsIs, "3305550100", "3305550100");
        writes("US", E164Plus, "911", "911");
        writes("US", E164Plus, "101", "101");
        writes("ZZ", National, "+13305550100", "+13305550100");
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_reads_back(number in 1_000_000_000u64..999_999_999_999) {
            for country in ["US", "GB", "DE", "ES"] {
                let plan = numbering_plan(country);
                let number = Number::from(E164::new(&number.to_string()).unwrap());
                for (out, form) in [
                    (NumbersOut::E164Plus, NumbersIn::Auto),
                    (NumbersOut::National, NumbersIn::National),
                ] {
                    let back = Number::read(&number.written(out, plan), form, plan);
                    proptest::prop_assert_eq!(back.e164, number.e164);
                }
            }
        }

        #[test]
        fn no_text_panics(text: String) {
            for form in [NumbersIn::AsIs, NumbersIn::Auto, NumbersIn::E164, NumbersIn::National] {
                let _ = Number::read(&text, form, numbering_plan("US"));
            }
        }
    }
}

//! What kind of place a number is, and about what a minute to it costs (ITU-T E.164).
//!
//! A table of prefixes; the longest one wins. One ships with the program
//! ([`Destinations::shipped`], its sources are named in the file), and a user's file adds rows and
//! replaces those of the same prefix. A lookup takes one binary search for each length of prefix
//! that occurs, so at most [`PREFIX_DIGITS_MAX`] of them, whatever is dialled.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::money::Money;

/// Most digits of a prefix: as many as a number has (ITU-T E.164 §6).
pub const PREFIX_DIGITS_MAX: usize = 15;

/// Most rows of a table.
pub const ROWS_MAX: usize = 50_000;

/// Most bytes of a user's file.
pub const FILE_BYTES_MAX: usize = 4 << 20;

/// The dearest minute that a row may name, in hundredths: a typing mistake, beyond.
const CENTS_MAX: u32 = 1_000_000;

/// The highest price of a minute of an ordinary number at home.
const DOMESTIC_MAX: Money = Money::from_cents(5);

/// What a minute to nowhere costs, if somebody sells it.
const UNALLOCATED: Money = Money::from_cents(100);

/// What kind of place a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// An ordinary number of the tenant's own country.
    Domestic,
    /// Abroad, and dear.
    HighCost,
    /// Abroad.
    International,
    /// A share of the price goes to whoever is called.
    Premium,
    /// By satellite, or in a network of no country.
    Satellite,
    /// The called one pays.
    TollFree,
    /// No such number has been given to anybody.
    Unallocated,
    /// Abroad, in a country whose numbers ring once to be called back.
    WangiriProne,
}

impl Class {
    /// How many there are.
    pub const COUNT: usize = 8;

    /// All of them.
    pub const ALL: [Class; Class::COUNT] = [
        Class::Domestic,
        Class::HighCost,
        Class::International,
        Class::Premium,
        Class::Satellite,
        Class::TollFree,
        Class::Unallocated,
        Class::WangiriProne,
    ];

    /// Its name in files, records and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Class::Domestic => "domestic",
            Class::HighCost => "high-cost",
            Class::International => "international",
            Class::Premium => "premium",
            Class::Satellite => "satellite",
            Class::TollFree => "toll-free",
            Class::Unallocated => "unallocated",
            Class::WangiriProne => "wangiri-prone",
        }
    }

    /// The class of that name.
    pub fn parse(name: &str) -> Option<Class> {
        Class::ALL.into_iter().find(|class| class.as_str() == name)
    }

    /// Its place in [`Class::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Whether a call to it costs next to nothing.
    pub const fn is_harmless(self) -> bool {
        matches!(self, Class::Domestic | Class::TollFree)
    }

    /// Whether it is an ordinary number of another country.
    pub const fn is_abroad(self) -> bool {
        matches!(
            self,
            Class::HighCost | Class::International | Class::WangiriProne
        )
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A country by its two letters of ISO 3166; of the codes of no country, none.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// None.
    pub const NONE: Country = Country([0; 2]);

    /// Of its two capital letters.
    pub fn new(text: &str) -> Option<Country> {
        let letters: [u8; 2] = text.as_bytes().try_into().ok()?;
        letters
            .iter()
            .all(u8::is_ascii_uppercase)
            .then_some(Country(letters))
    }

    /// Its letters; empty for none.
    pub fn as_str(&self) -> &str {
        match self.0 {
            [0, 0] => "",
            _ => std::str::from_utf8(&self.0).unwrap_or_default(),
        }
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a number leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// What kind of place it is.
    pub class: Class,
    /// The country; none for the codes of no country and for what is unallocated.
    pub country: Country,
    /// An estimate of what a minute costs.
    pub per_minute: Money,
    /// Digits of the row that was found; 0 when none was.
    pub prefix_digits: u8,
}

/// A row of the table. `digits` of it are leading zeros of `prefix` otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    digits: u8,
    prefix: u64,
    class: Class,
    country: Country,
    cents: u32,
}

/// The table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destinations {
    /// By number of digits, then by prefix.
    rows: Vec<Row>,
    /// Where the rows of a number of digits begin.
    starts: [u32; PREFIX_DIGITS_MAX + 2],
}

/// A row that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct RowError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: RowFault,
}

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowFault {
    /// Not four fields.
    #[error("needs four fields: prefix,class,country,cents")]
    Fields,
    /// A prefix that is none.
    #[error("the prefix is 1 to 15 digits, without +, and begins with 1 to 9")]
    Prefix,
    /// A class that is none.
    #[error(
        "the class is one of high-cost, international, premium, satellite, toll-free, \
         unallocated and wangiri-prone"
    )]
    Class,
    /// A country that is none.
    #[error("the country is two capital letters of ISO 3166, or nothing")]
    Country,
    /// A price that is none.
    #[error("the price of a minute is a whole number of hundredths, at most 1000000")]
    Cents,
    /// A prefix that stands in the file twice.
    #[error("the prefix stands in line {0} already")]
    Twice(usize),
    /// Too many rows, or too many bytes.
    #[error("the table is too long")]
    TooLong,
}

impl Destinations {
    /// The table that ships with the program.
    pub fn shipped() -> Arc<Destinations> {
        static SHIPPED: OnceLock<Arc<Destinations>> = OnceLock::new();
        let read = || {
            let rows = read_rows(include_str!("destinations.csv")).unwrap_or_default();
            Arc::new(Destinations::of(
                rows.into_iter().map(|(_, row)| row).collect(),
            ))
        };
        Arc::clone(SHIPPED.get_or_init(read))
    }

    /// The shipped table with the rows of `text` added; a row of a prefix that it has replaces it.
    ///
    /// # Errors
    ///
    /// The first row that cannot be read: such a file is refused whole.
    pub fn extended(text: &str) -> Result<Destinations, RowError> {
        let own = read_rows(text)?;
        let mut rows = Destinations::shipped().rows.clone();
        if rows.len() + own.len() > ROWS_MAX {
            let line = own.last().map_or(1, |(line, _)| *line);
            let fault = RowFault::TooLong;
            return Err(RowError { line, fault });
        }
        let key = |row: &Row| (row.digits, row.prefix);
        // Both are sorted by their keys, and the shipped rows are few.
        rows.retain(|row| {
            own.binary_search_by_key(&key(row), |(_, own)| key(own))
                .is_err()
        });
        rows.extend(own.into_iter().map(|(_, row)| row));
        Ok(Destinations::of(rows))
    }

    fn of(mut rows: Vec<Row>) -> Destinations {
        rows.sort_unstable();
        let mut starts = [0; PREFIX_DIGITS_MAX + 2];
        for (digits, start) in starts.iter_mut().enumerate() {
            *start = rows.partition_point(|row| usize::from(row.digits) < digits) as u32;
        }
        Destinations { rows, starts }
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Where `number` leads, seen from `home`: digits in international form, with or without `+`.
    /// What follows the first fifteen digits, or is no digit, is not looked at.
    pub fn find(&self, number: &str, home: Country) -> Destination {
        let mut found = None;
        let mut prefix = 0;
        let digits = number.strip_prefix('+').unwrap_or(number).bytes();
        for (place, byte) in digits.take(PREFIX_DIGITS_MAX).enumerate() {
            if !byte.is_ascii_digit() {
                break;
            }
            prefix = prefix * 10 + u64::from(byte - b'0');
            let of_length = self.of_length(place + 1);
            if let Ok(at) = of_length.binary_search_by_key(&prefix, |row| row.prefix) {
                found = of_length.get(at);
            }
        }
        found.map_or(NOWHERE, |row| row.seen_from(home))
    }

    fn of_length(&self, digits: usize) -> &[Row] {
        let start = |digits: usize| self.starts.get(digits).map_or(0, |start| *start as usize);
        self.rows
            .get(start(digits)..start(digits + 1))
            .unwrap_or_default()
    }
}

const NOWHERE: Destination = Destination {
    class: Class::Unallocated,
    country: Country::NONE,
    per_minute: UNALLOCATED,
    prefix_digits: 0,
};

impl Row {
    fn seen_from(&self, home: Country) -> Destination {
        let at_home = self.class.is_abroad() && self.country == home && home != Country::NONE;
        let per_minute = Money::from_cents(self.cents.into());
        Destination {
            class: if at_home { Class::Domestic } else { self.class },
            country: self.country,
            per_minute: match at_home {
                true => per_minute.min(DOMESTIC_MAX),
                false => per_minute,
            },
            prefix_digits: self.digits,
        }
    }
}

/// The rows of a file with their lines, sorted by number of digits and prefix.
fn read_rows(text: &str) -> Result<Vec<(usize, Row)>, RowError> {
    let mut rows = Vec::new();
    for (index, written) in text.lines().enumerate() {
        let line = index + 1;
        let written = written.split('#').next().unwrap_or_default().trim();
        if written.is_empty() {
            continue;
        }
        if rows.len() >= ROWS_MAX || text.len() > FILE_BYTES_MAX {
            let fault = RowFault::TooLong;
            return Err(RowError { line, fault });
        }
        let row = read_row(written).map_err(|fault| RowError { line, fault })?;
        rows.push((line, row));
    }
    rows.sort_unstable_by_key(|(line, row)| (row.digits, row.prefix, *line));
    let twice = rows.windows(2).find_map(|pair| match pair {
        [(first, a), (line, b)] if (a.digits, a.prefix) == (b.digits, b.prefix) => {
            Some((*first, *line))
        }
        _ => None,
    });
    match twice {
        None => Ok(rows),
        Some((first, line)) => {
            let fault = RowFault::Twice(first);
            Err(RowError { line, fault })
        }
    }
}

fn read_row(written: &str) -> Result<Row, RowFault> {
    let mut fields = written.split(',').map(str::trim);
    let mut next = || fields.next().ok_or(RowFault::Fields);
    let (prefix, class, country, cents) = (next()?, next()?, next()?, next()?);
    if fields.next().is_some() {
        return Err(RowFault::Fields);
    }
    let good = (1..=PREFIX_DIGITS_MAX).contains(&prefix.len())
        && !prefix.starts_with('0')
        && prefix.bytes().all(|byte| byte.is_ascii_digit());
    if !good {
        return Err(RowFault::Prefix);
    }
    let class = Class::parse(class).filter(|class| *class != Class::Domestic);
    let country = match country {
        "" => Country::NONE,
        text => Country::new(text).ok_or(RowFault::Country)?,
    };
    let cents = cents.parse().ok().filter(|cents| *cents <= CENTS_MAX);
    Ok(Row {
        digits: prefix.len() as u8,
        prefix: prefix.parse().map_err(|_| RowFault::Prefix)?,
        class: class.ok_or(RowFault::Class)?,
        country,
        cents: cents.ok_or(RowFault::Cents)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> Country {
        Country::new("US").unwrap()
    }

    #[track_caller]
    fn check(number: &str, class: Class, country: &str) {
        let found = Destinations::shipped().find(number, home());
        assert_eq!(
            (found.class, found.country.as_str()),
            (class, country),
            "{number}"
        );
    }

    #[test]
    fn the_shipped_table_is_read_whole() {
        let text = include_str!("destinations.csv");
        let rows = read_rows(text).unwrap();
        assert_eq!(rows.len(), Destinations::shipped().len());
        assert!(rows.len() > 400);
    }

    #[test]
    fn the_longest_prefix_wins() {
        check("+13305550100", Class::Domestic, "US");
        check("13305550100", Class::Domestic, "US");
        check("+14165550100", Class::International, "CA");
        check("+18765550100", Class::WangiriProne, "JM");
        check("+18005550100", Class::TollFree, "US");
        check("+19005550100", Class::Premium, "US");
        check("+442079460000", Class::International, "GB");
        check("+449098790000", Class::Premium, "GB");
        check("+881612345678", Class::Satellite, "");
        check("+882161234567", Class::Satellite, "");
        check("+25261234567", Class::WangiriProne, "SO");
        check("+77012345678", Class::International, "KZ");
        check("+74951234567", Class::International, "RU");
    }

    #[test]
    fn what_nobody_was_given_is_unallocated() {
        check("+999123456789", Class::Unallocated, "");
        check("+2101234567", Class::Unallocated, "");
        check("+10005550100", Class::Unallocated, "US");
        check("", Class::Unallocated, "");
        check("bob", Class::Unallocated, "");
    }

    #[test]
    fn home_is_where_the_tenant_is() {
        let table = Destinations::shipped();
        let latvia = Country::new("LV").unwrap();
        let at_home = table.find("+37167000000", latvia);
        assert_eq!(at_home.class, Class::Domestic);
        assert!(at_home.per_minute <= DOMESTIC_MAX);
        assert_eq!(
            table.find("+13305550100", latvia).class,
            Class::International
        );
        // A premium number is one at home too.
        assert_eq!(table.find("+37190000000", latvia).class, Class::Premium);
        assert_eq!(
            table.find("+13305550100", Country::NONE).class,
            Class::International
        );
    }

    #[test]
    fn a_file_of_ones_own_adds_and_replaces() {
        let table =
            Destinations::extended("# ours\n44,international,GB,1\n441632,high-cost,GB,90 # x\n")
                .unwrap();
        let price = |number| table.find(number, home()).per_minute;
        assert_eq!(price("+442079460000"), Money::from_cents(1));
        assert_eq!(price("+441632960000"), Money::from_cents(90));
        assert_eq!(table.len(), Destinations::shipped().len() + 1);
    }

    #[track_caller]
    fn refuses(text: &str, line: usize, fault: RowFault) {
        assert_eq!(
            Destinations::extended(text),
            Err(RowError { line, fault }),
            "{text}"
        );
    }

    #[test]
    fn a_broken_file_is_refused_whole_with_its_line() {
        refuses("44,international,GB", 1, RowFault::Fields);
        refuses("44,international,GB,1,2", 1, RowFault::Fields);
        refuses("\n+44,international,GB,1", 2, RowFault::Prefix);
        refuses("0,international,GB,1", 1, RowFault::Prefix);
        refuses("1234567890123456,premium,GB,1", 1, RowFault::Prefix);
        refuses("44,domestic,GB,1", 1, RowFault::Class);
        refuses("44,dear,GB,1", 1, RowFault::Class);
        refuses("44,premium,gb,1", 1, RowFault::Country);
        refuses("44,premium,GB,1.5", 1, RowFault::Cents);
        refuses("44,premium,GB,1000001", 1, RowFault::Cents);
        refuses("44,premium,GB,1\n44,premium,GB,2", 2, RowFault::Twice(1));
        let long: String = (1_000_000..1_060_000)
            .map(|prefix| format!("{prefix},premium,,1\n"))
            .collect();
        refuses(&long, ROWS_MAX + 1, RowFault::TooLong);
    }

    #[test]
    fn every_row_of_a_country_has_its_place_and_price() {
        for row in &Destinations::shipped().rows {
            let free = row.class == Class::TollFree;
            assert_eq!(row.cents == 0, free, "{row:?}");
            if row.class.is_abroad() && row.prefix != 878 {
                assert_ne!(row.country, Country::NONE, "{row:?}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text: String, number: String) {
            let _ = Destinations::extended(&text);
            let _ = Destinations::shipped().find(&number, home());
        }
    }
}

//! What gives a fraudster away among calls abroad that nobody has vouched for: numbers in a row,
//! equal lengths, a burst, several at once.

use std::collections::VecDeque;
use std::time::Duration;

use ringfence_base::UnixTime;

use super::meter::since;

/// Attempts that are looked back at.
const KEPT: usize = 64;

/// How far back.
const WINDOW: Duration = Duration::from_secs(24 * 3600);

/// In a burst.
const BURST: Duration = Duration::from_secs(10 * 60);

/// Attempts in that time which make a burst, this one with them.
const BURST_CALLS: usize = 4;

/// Numbers closer than this are in a row.
const ROW: u64 = 64;

/// Others in the row.
const ROW_CALLS: usize = 3;

/// Calls whose lengths are compared.
const UNIFORM_CALLS: usize = 5;

/// A set of tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tells(u8);

impl Tells {
    /// None.
    pub const NONE: Tells = Tells(0);
    /// Many in a short time.
    pub const BURST: Tells = Tells(1);
    /// Several of them up at once.
    pub const CONCURRENT: Tells = Tells(1 << 1);
    /// The calling number is none that the caller may show.
    pub const FOREIGN_NUMBER: Tells = Tells(1 << 2);
    /// The caller has never called abroad, and others have.
    pub const NEW_CALLER: Tells = Tells(1 << 3);
    /// Nobody is at work at this hour.
    pub const NIGHT: Tells = Tells(1 << 4);
    /// Numbers in a row.
    pub const SEQUENTIAL: Tells = Tells(1 << 5);
    /// Calls of equal length.
    pub const UNIFORM: Tells = Tells(1 << 6);

    /// A list of numbers that attackers were seen to call has it.
    pub const LISTED: Tells = Tells(1 << 7);

    /// With what each means, for a sentence.
    const WORDS: [(Tells, &'static str); 8] = [
        (Tells::BURST, "many such calls came in a few minutes"),
        (Tells::CONCURRENT, "several such calls are up at once"),
        (
            Tells::FOREIGN_NUMBER,
            "the calling number is not one that the caller may show",
        ),
        (
            Tells::LISTED,
            "attackers elsewhere were seen to call this number",
        ),
        (Tells::NEW_CALLER, "the caller has never called abroad"),
        (Tells::NIGHT, "nobody is usually at work at this hour"),
        (Tells::SEQUENTIAL, "the numbers are called in a row"),
        (Tells::UNIFORM, "such calls were all of one length"),
    ];

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Tells) -> Tells {
        Tells(self.0 | other.0)
    }

    /// `other` with it, when `holds`.
    #[must_use]
    pub(super) const fn when(self, holds: bool, other: Tells) -> Tells {
        if holds { self.with(other) } else { self }
    }

    /// Whether all of `other` is in here.
    pub const fn contains(self, other: Tells) -> bool {
        self.0 & other.0 == other.0
    }

    /// How many.
    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// In words.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        Tells::WORDS
            .into_iter()
            .filter(move |(tell, _)| self.contains(*tell))
            .map(|(_, words)| words)
    }
}

#[derive(Clone, Copy, Debug)]
struct Attempt {
    at: UnixTime,
    number: u64,
    /// How long it lasted, once it is over.
    lasted: Option<Duration>,
    asked: bool,
}

/// The last attempts to call abroad that nobody has vouched for.
#[derive(Debug, Default)]
pub(super) struct Recent {
    attempts: VecDeque<Attempt>,
}

impl Recent {
    /// What the last attempts and this one, to `number`, give away.
    pub(super) fn tells(&self, now: UnixTime, number: u64) -> Tells {
        let within = |window| {
            let recent = self.attempts.iter();
            recent.filter(move |attempt| since(now, attempt.at) <= window)
        };
        let mut near: Vec<u64> = within(WINDOW)
            .map(|attempt| attempt.number)
            .filter(|other| *other != number && other.abs_diff(number) <= ROW)
            .collect();
        near.sort_unstable();
        near.dedup();
        let mut lengths: Vec<f64> = within(WINDOW)
            .rev()
            .filter_map(|attempt| Some(attempt.lasted?.as_secs_f64()))
            .take(UNIFORM_CALLS)
            .collect();
        let uniform = lengths.len() >= UNIFORM_CALLS && is_uniform(&mut lengths);
        Tells::NONE
            .when(within(BURST).count() + 1 >= BURST_CALLS, Tells::BURST)
            .when(near.len() >= ROW_CALLS, Tells::SEQUENTIAL)
            .when(uniform, Tells::UNIFORM)
    }

    pub(super) fn note(&mut self, now: UnixTime, number: u64, asked: bool) {
        if self.attempts.len() >= KEPT {
            self.attempts.pop_front();
        }
        self.attempts.push_back(Attempt {
            at: now,
            number,
            lasted: None,
            asked,
        });
    }

    /// The last attempt to `number` was a call of this length.
    pub(super) fn note_length(&mut self, number: u64, lasted: Duration) {
        let mut recent = self.attempts.iter_mut().rev();
        let is_it = |attempt: &&mut Attempt| attempt.number == number && attempt.lasted.is_none();
        if let Some(attempt) = recent.find(is_it) {
            attempt.lasted = Some(lasted);
        }
    }

    /// How many numbers a PIN was asked for in the time of a burst.
    pub(super) fn asked(&self, now: UnixTime) -> usize {
        let mut asked: Vec<u64> = self
            .attempts
            .iter()
            .filter(|attempt| attempt.asked && since(now, attempt.at) <= BURST)
            .map(|attempt| attempt.number)
            .collect();
        asked.sort_unstable();
        asked.dedup();
        asked.len()
    }
}

/// Whether lengths are closer to each other than people's ever are: within a twelfth of their mean,
/// and long enough to mean something.
fn is_uniform(lengths: &mut [f64]) -> bool {
    let count = lengths.len() as f64;
    let mean = lengths.iter().sum::<f64>() / count;
    let variance = lengths
        .iter()
        .map(|length| (length - mean).powi(2))
        .sum::<f64>()
        / count;
    mean > 20.0 && variance.sqrt() < mean / 12.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> UnixTime {
        UnixTime::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn numbers_in_a_row_are_told_from_one_number_again() {
        let mut recent = Recent::default();
        for (place, number) in [100, 100, 101, 102].into_iter().enumerate() {
            recent.note(at(place as i64 * 3600), number, false);
        }
        assert!(!recent.tells(at(20_000), 100).contains(Tells::SEQUENTIAL));
        assert!(recent.tells(at(20_000), 103).contains(Tells::SEQUENTIAL));
        assert!(!recent.tells(at(20_000), 300).contains(Tells::SEQUENTIAL));
        assert!(!recent.tells(at(200_000), 103).contains(Tells::SEQUENTIAL));
    }

    #[test]
    fn a_burst_is_four_in_ten_minutes() {
        let mut recent = Recent::default();
        for place in 0..3 {
            assert!(!recent.tells(at(place), 1).contains(Tells::BURST));
            recent.note(at(place), place as u64 * 1000, false);
        }
        assert!(recent.tells(at(3), 9000).contains(Tells::BURST));
        assert!(!recent.tells(at(700), 9000).contains(Tells::BURST));
    }

    #[test]
    fn machines_make_calls_of_one_length() {
        let mut recent = Recent::default();
        for number in 0..5 {
            recent.note(at(number as i64 * 1000), number * 1000, false);
            recent.note_length(number * 1000, Duration::from_secs(300 + number));
        }
        assert!(recent.tells(at(9000), 1).contains(Tells::UNIFORM));
        recent.note(at(8000), 7, false);
        recent.note_length(7, Duration::from_secs(40));
        assert!(!recent.tells(at(9000), 1).contains(Tells::UNIFORM));
    }

    #[test]
    fn tells_have_words() {
        let tells = Tells::NIGHT.with(Tells::BURST);
        assert_eq!((tells.count(), tells.words().count()), (2, 2));
        assert_eq!(Tells::NONE.words().count(), 0);
    }
}

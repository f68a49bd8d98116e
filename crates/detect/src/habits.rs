//! What was learned of a site over weeks, as bytes that outlive the process.
//!
//! A number for the form, then little-endian numbers of fixed length. Whoever reads them trusts
//! nothing: a wrong length, another form, or a number that none of ours can be is refused whole, and
//! the site is learned anew.

use thiserror::Error;

/// Hours of a week.
pub(crate) const HOURS: usize = 168;

/// Bytes that are no habits of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HabitsError {
    /// Of another form.
    #[error("habits of form {found}, not {FORM}")]
    Form {
        /// What it says.
        found: u8,
    },
    /// Too short, or too long.
    #[error("habits of another length")]
    Length,
    /// A number that cannot be.
    #[error("habits with a rate that cannot be")]
    Number,
}

const FORM: u8 = 1;
/// Calls in an hour that nobody has.
const RATE_MAX: f32 = 1e6;

/// Writes habits.
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn new() -> Writer {
        let mut bytes = Vec::with_capacity(HOURS * 6 + 32);
        bytes.push(FORM);
        Writer(bytes)
    }

    pub(crate) fn rate(&mut self, rate: f32) {
        self.0.extend_from_slice(&rate.to_le_bytes());
    }

    pub(crate) fn count(&mut self, count: u16) {
        self.0.extend_from_slice(&count.to_le_bytes());
    }

    pub(crate) fn seconds(&mut self, seconds: i64) {
        self.0.extend_from_slice(&seconds.to_le_bytes());
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads what [`Writer`] wrote.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Reader<'a>, HabitsError> {
        match bytes.split_first() {
            Some((&FORM, rest)) => Ok(Reader(rest)),
            Some((&found, _)) => Err(HabitsError::Form { found }),
            None => Err(HabitsError::Length),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], HabitsError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(HabitsError::Length)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn rate(&mut self) -> Result<f32, HabitsError> {
        let rate = f32::from_le_bytes(self.take()?);
        match (0.0..=RATE_MAX).contains(&rate) {
            true => Ok(rate),
            false => Err(HabitsError::Number),
        }
    }

    pub(crate) fn count(&mut self) -> Result<u16, HabitsError> {
        Ok(u16::from_le_bytes(self.take()?))
    }

    pub(crate) fn seconds(&mut self) -> Result<i64, HabitsError> {
        Ok(i64::from_le_bytes(self.take()?))
    }

    pub(crate) fn finish(self) -> Result<(), HabitsError> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(HabitsError::Length),
        }
    }
}

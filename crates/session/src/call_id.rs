//! The id of a call across both legs, records, traces and commands.

use std::fmt;
use std::str::FromStr;

use ringfence_base::{UnixTime, WorkerIndex};

/// A call: 32 bits of unix seconds, 8 bits of worker, 24 bits of count. Sorts by time of start;
/// prints as 13 characters of Crockford's base 32 that can be read out over a telephone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(u64);

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl CallId {
    /// The id of the `count`th call of a worker that started at `at`.
    pub const fn new(at: UnixTime, worker: WorkerIndex, count: u32) -> CallId {
        let seconds = (at.as_micros() / 1_000_000) as u32 as u64;
        CallId(seconds << 32 | (worker.raw() as u64) << 24 | (count & 0xff_ffff) as u64)
    }

    /// From the number in a record.
    pub const fn from_raw(raw: u64) -> CallId {
        CallId(raw)
    }

    /// The number for a record.
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// The worker that has, or had, the call.
    pub const fn worker(self) -> WorkerIndex {
        WorkerIndex::new((self.0 >> 24) as u8)
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 13];
        for (place, byte) in text.iter_mut().enumerate() {
            *byte = ALPHABET[(self.0 >> (60 - 5 * place)) as usize & 31];
        }
        f.pad(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// Not a call id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a call id is 13 letters and digits, as `ringfence calls` shows it")]
pub struct CallIdError;

impl FromStr for CallId {
    type Err = CallIdError;

    /// Reads what [`fmt::Display`] wrote, in any case, with `o` for 0 and `i` or `l` for 1.
    fn from_str(text: &str) -> Result<CallId, CallIdError> {
        if text.len() != 13 {
            return Err(CallIdError);
        }
        let mut raw: u128 = 0;
        for byte in text.bytes() {
            let byte = match byte.to_ascii_lowercase() {
                b'o' => b'0',
                b'i' | b'l' => b'1',
                other => other,
            };
            let digit = ALPHABET
                .iter()
                .position(|&c| c == byte)
                .ok_or(CallIdError)?;
            raw = raw << 5 | digit as u128;
        }
        u64::try_from(raw).map(CallId).map_err(|_| CallIdError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_reads_back() {
        let id = CallId::new(
            UnixTime::from_micros(1_795_000_000_000_000),
            WorkerIndex::new(3),
            77,
        );
        assert_eq!(id.to_string().len(), 13);
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        assert_eq!(id.worker(), WorkerIndex::new(3));
        assert_eq!("short".parse::<CallId>(), Err(CallIdError));
        assert_eq!(
            "zzzzzzzzzzzzz".parse::<CallId>(),
            Err(CallIdError),
            "over 64 bits"
        );
    }
}

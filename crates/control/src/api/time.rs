//! Time in JSON: RFC 3339 in UTC with microseconds.

use std::fmt;
use std::str::FromStr;

use ringfence_base::UnixTime;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Wall-clock time: `2026-11-22T19:36:00.123456Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub UnixTime);

impl Timestamp {
    /// Whole seconds from `self` to `now`; zero if `self` is later.
    pub fn age_seconds(self, now: UnixTime) -> u64 {
        let micros = now.as_micros().saturating_sub(self.0.as_micros());
        u64::try_from(micros / 1_000_000).unwrap_or_default()
    }
}

impl From<UnixTime> for Timestamp {
    fn from(time: UnixTime) -> Timestamp {
        Timestamp(time)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        match jiff::Timestamp::from_microsecond(micros) {
            Ok(time) => write!(f, "{time:.6}"),
            // Outside the years -9999 to 9999, which no clock of ours says.
            Err(_) => write!(f, "{micros}us"),
        }
    }
}

/// Not a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a time is written like 2026-11-22T19:36:00Z")]
pub struct TimestampError;

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Timestamp, TimestampError> {
        let time: jiff::Timestamp = text.parse().map_err(|_| TimestampError)?;
        Ok(Timestamp(UnixTime::from_micros(time.as_microsecond())))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

//! Durations and sizes: numbers with a unit.

use std::time::Duration;

use super::Fault;

/// `"30s"`, `"5m"`, `"1h30m"`, `"500ms"`.
pub(in crate::config) fn duration(text: &str) -> Result<Duration, Fault> {
    let fault = || {
        Fault::new(
            "is not a duration",
            "write e.g. \"30s\", \"5m\" or \"1h30m\"",
        )
    };
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(fault());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(fault)?;
        let (number, after) = rest.split_at(digits);
        let unit_end = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let number: u32 = number.parse().map_err(|_| fault())?;
        let millis: u64 = match unit.trim() {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(fault()),
        };
        total += Duration::from_millis(millis.saturating_mul(number.into()));
        rest = after;
    }
    Ok(total)
}

/// A duration as [`duration`] reads it.
pub(crate) fn spoken(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
        (1, "ms"),
    ];
    let mut text = String::new();
    let mut rest = millis;
    for (size, unit) in units {
        if rest >= size {
            text.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    if text.is_empty() {
        "0s".to_owned()
    } else {
        text
    }
}

/// `"8MiB"`, `"500 kB"`: bytes.
pub(in crate::config) fn size(text: &str) -> Result<u64, Fault> {
    let fault = || Fault::new("is not a size", "write e.g. \"8MiB\"");
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| fault())?;
    let factor = match unit.trim() {
        "B" => 1,
        "kB" => 1_000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        _ => return Err(fault()),
    };
    number.checked_mul(factor).ok_or_else(fault)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_and_sizes_have_units() {
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("500 ms"), Ok(Duration::from_millis(500)));
        for bad in ["", "30", "s", "1y", "-1s", "1h30", "99999999999s"] {
            assert_eq!(duration(bad).unwrap_err().what, "is not a duration");
        }
        assert_eq!((size("8MiB"), size("500 kB")), (Ok(8 << 20), Ok(500_000)));
        for bad in ["", "8", "MiB", "8 XB", "99999999999GiB"] {
            assert_eq!(size(bad).unwrap_err().what, "is not a size");
        }
    }

    proptest! {
        #[test]
        fn a_duration_reads_back_as_it_is_spoken(millis in 0u64..10_000_000_000) {
            let time = Duration::from_millis(millis);
            prop_assert_eq!(duration(&spoken(time)), Ok(time));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = duration(&text);
            let _ = size(&text);
        }
    }
}

//! Colour for terminals, never the only carrier of meaning.

use std::fmt;
use std::io::IsTerminal;

/// Whether to colour, decided once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    colour: bool,
}

/// A colour of meaning.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tone {
    Bad,
    Bold,
    Dim,
    Good,
    Warn,
}

impl Paint {
    /// Colours when standard output is a terminal and `NO_COLOR` is not set (no-color.org).
    pub(crate) fn of_stdout() -> Paint {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Paint {
            colour: std::io::stdout().is_terminal() && !refused,
        }
    }

    /// Never colours.
    #[cfg(test)]
    pub(crate) const fn plain() -> Paint {
        Paint { colour: false }
    }

    /// `text` in a tone.
    pub(crate) fn tone<T: fmt::Display>(self, tone: Tone, text: T) -> String {
        let code = match tone {
            Tone::Bad => "31",
            Tone::Bold => "1",
            Tone::Dim => "2",
            Tone::Good => "32",
            Tone::Warn => "33",
        };
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_string()
        }
    }
}

/// `42s`, `3m07s`, `1h02m`.
pub(crate) fn seconds(seconds: u64) -> String {
    match seconds {
        0..=59 => format!("{seconds}s"),
        60..=3599 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(seconds(5), "5s");
        assert_eq!(seconds(187), "3m07s");
        assert_eq!(seconds(3720), "1h02m");
        assert_eq!(Paint::plain().tone(Tone::Bad, "x"), "x");
    }
}

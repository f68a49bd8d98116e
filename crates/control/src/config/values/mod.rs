//! The texts within a configuration: addresses, networks, durations, numbers, peers.
//!
//! Each function takes a text and gives a value without an invalid state, or a [`Fault`] that says
//! what the text is not and what to write.

mod address;
mod call;
mod unit;
mod web;

use crate::profile::{self, Profile};

use super::country;
use super::suggest::{listed, nearest};

pub(super) use address::{
    certificate_name, host_name, media_range, network, peer_uri, socket_address,
};
pub(super) use call::{
    SUITES, codec, dialled, lines_mode, media_type, numbers, passed_header, suite, utc_offset,
};
pub(crate) use unit::spoken;
pub(super) use unit::{duration, size};
pub(super) use web::origin;

/// What is wrong with a value ("is not an address"), and what to write.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) what: String,
    pub(super) fix: String,
}

impl Fault {
    pub(super) fn new(what: impl Into<String>, fix: impl Into<String>) -> Fault {
        Fault {
            what: what.into(),
            fix: fix.into(),
        }
    }
}

/// Longest value shown in a message.
const QUOTED_CHARS_MAX: usize = 60;

/// The text in quotes, harmless to a terminal and not too long.
pub(super) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(QUOTED_CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// One word of a few.
pub(super) fn one_of<T: Copy>(text: &str, words: &[(&'static str, T)]) -> Result<T, Fault> {
    let known = || words.iter().map(|(word, _)| *word);
    words
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, value)| *value)
        .ok_or_else(|| {
            let fix = match nearest(text, known()) {
                Some(word) => format!("did you mean \"{word}\"?"),
                None => format!("write one of {}", listed(known())),
            };
            Fault::new("is none of the choices", fix)
        })
}

/// A name that stands in logs, metrics and file paths: `[listen.NAME]`.
pub(super) fn table_name(text: &str) -> Result<(), Fault> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if !text.is_empty() && text.len() <= 63 && text.chars().all(good) {
        return Ok(());
    }
    Err(Fault::new(
        "is no name for a table",
        "use 1 to 63 of a-z, 0-9, - and _",
    ))
}

/// A name that people read: one line, not empty.
pub(super) fn display_name(text: &str) -> Result<String, Fault> {
    let trimmed = text.trim();
    if trimmed.is_empty() || trimmed.len() > 128 || trimmed.contains(char::is_control) {
        return Err(Fault::new("is no name", "write one line of 1 to 128 bytes"));
    }
    Ok(trimmed.to_owned())
}

/// A digest realm that is also the domain of the phones' addresses.
pub(super) fn realm(text: &str) -> Result<String, Fault> {
    let legal =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    let good = (1..=128).contains(&text.len()) && text.bytes().all(legal);
    if good && !text.starts_with(['-', '.']) && !text.ends_with(['-', '.']) {
        return Ok(text.to_owned());
    }
    Err(Fault::new(
        "is no domain in lower case",
        "write the domain that phones register with, e.g. \"summit.example\"",
    ))
}

/// An ISO 3166 country.
pub(super) fn country(text: &str) -> Result<String, Fault> {
    if country::is_country(text) {
        return Ok(text.to_owned());
    }
    let fix = match country::meant(text) {
        Some(code) => format!("did you mean \"{code}\"?"),
        None => "write the two capital letters of ISO 3166, e.g. \"US\"".to_owned(),
    };
    Err(Fault::new("is not a country", fix))
}

/// The name of a profile.
pub(super) fn profile(text: &str) -> Result<&'static Profile, Fault> {
    profile::find(text).ok_or_else(|| {
        let names = || profile::all().iter().map(|profile| profile.name);
        let fix = match nearest(text, names()) {
            Some(name) => format!("did you mean \"{name}\"?"),
            None => format!("the profiles are {}", listed(names())),
        };
        Fault::new("is no profile", fix)
    })
}

/// A path: not empty, no control characters.
pub(super) fn path(text: &str) -> Result<String, Fault> {
    if text.trim().is_empty() || text.contains(char::is_control) {
        return Err(Fault::new("is not a path", "write the path of a file"));
    }
    Ok(text.to_owned())
}

/// The name of an environment variable.
pub(super) fn env_name(text: &str) -> Result<String, Fault> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !text.chars().all(good) {
        return Err(Fault::new(
            "is not the name of an environment variable",
            "write e.g. { env = \"RINGFENCE_KEY\" }",
        ));
    }
    Ok(text.to_owned())
}

/// A log filter: a level, or `target=level` pairs with commas between.
pub(super) fn log_filter(text: &str) -> Result<String, Fault> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let target = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_:-".contains(&b))
    };
    let good = text
        .split(',')
        .map(str::trim)
        .all(|part| match part.split_once('=') {
            Some((name, level)) => target(name) && LEVELS.contains(&level),
            None => LEVELS.contains(&part),
        });
    if good {
        return Ok(text.to_owned());
    }
    let fix = match nearest(text, LEVELS) {
        Some(level) => format!("did you mean \"{level}\"?"),
        None => "write \"error\", \"warn\", \"info\", \"debug\" or \"trace\"".to_owned(),
    };
    Err(Fault::new("is not a log level", fix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn log_filters_are_levels_with_optional_targets() {
        for good in ["info", "warn,ringfence_edge=debug", "off, a::b=trace"] {
            assert!(log_filter(good).is_ok(), "{good}");
        }
        for bad in ["", "loud", "a=loud", "=info", "info,", "a b=info"] {
            assert!(log_filter(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_none_is_shown_raw(text: String) {
            let _ = log_filter(&text);
            let _ = table_name(&text);
            let _ = country(&text);
            prop_assert!(!quoted(&text).contains(|c: char| c.is_control()));
        }
    }
}

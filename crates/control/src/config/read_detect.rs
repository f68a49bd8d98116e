//! `[detect]`: which kinds of finding are acted upon, and which only observed; and who drops
//! what blocked sources send.

use std::ops::RangeInclusive;
use std::time::Duration;

use ringfence_detect::decision::Mode;
use ringfence_detect::finding::Kind;
use ringfence_detect::ladder::Modes;
use ringfence_detect::scenario::Scenario;
use toml::de::DeTable;

use super::model::{FeedFile, FirewallUse, KeptEvents};
use super::read_feeds;
use super::report::Report;
use super::suggest::nearest;
use super::table::Section;
use super::values::{self, Fault};
use crate::scenario;

/// Reads it; it may be missing. No modes: nothing is judged at all.
pub(super) fn read(
    report: &mut Report<'_>,
    table: Option<&DeTable<'_>>,
) -> (
    Option<Modes>,
    FirewallUse,
    Vec<Scenario>,
    Option<KeptEvents>,
    Vec<FeedFile>,
) {
    let empty = DeTable::new();
    let mut section = Section::new(report, "detect", table.unwrap_or(&empty));
    let mode = section.one_of(
        "mode",
        &[
            ("enforce", Some(Mode::Enforce)),
            ("observe", Some(Mode::Observe)),
            ("off", None),
        ],
    );
    let off = mode == Some(None);
    let mut modes = match mode.flatten() {
        Some(Mode::Observe) => Modes::all(Mode::Observe),
        Some(Mode::Enforce) | None => Modes::default(),
    };
    let observe = section.list("observe", kind).unwrap_or_default();
    let enforce = section.list("enforce", kind).unwrap_or_default();
    for both in enforce.iter().filter(|kind| observe.contains(kind)) {
        let message = format!("names {both}, which `observe` names too");
        section
            .report()
            .error("detect.enforce", message, "name it in one of the two");
    }
    let firewall = section.one_of(
        "firewall",
        &[
            ("auto", FirewallUse::Auto),
            ("nftables", FirewallUse::Nftables),
            ("off", FirewallUse::Off),
        ],
    );
    let folder = section.path("scenarios");
    let scenarios = scenario::all(folder.as_deref()).unwrap_or_else(|errors| {
        for error in errors {
            let fix = "`ringfence scenario test` tests a folder of them";
            let report = section.report();
            report.error("detect.scenarios", error.to_string(), fix);
        }
        Vec::new()
    });
    let events = kept_events(&mut section);
    let feeds = read_feeds::read(&mut section);
    section.finish();
    for kind in observe {
        modes.set(kind, Mode::Observe);
    }
    for kind in enforce {
        modes.set(kind, Mode::Enforce);
    }
    let modes = (!off).then_some(modes);
    (
        modes,
        firewall.unwrap_or_default(),
        scenarios,
        events,
        feeds,
    )
}

/// Events are kept a year at most: what is not needed is not to lie about.
const KEEP: RangeInclusive<Duration> = Duration::from_secs(600)..=Duration::from_secs(366 * 86_400);
/// Bytes of kept events.
const KEEP_BYTES: RangeInclusive<u64> = 16 << 20..=1 << 40;

/// Which events are kept; none is off.
fn kept_events(section: &mut Section<'_, '_, '_>) -> Option<KeptEvents> {
    let usual = KeptEvents::default();
    let age = section.parsed("keep_events", |text| {
        if text == "off" {
            return Ok(None);
        }
        let fix = "write e.g. keep_events = \"7d\", or \"off\"";
        let age = values::duration(text)
            .map_err(|_| Fault::new("is neither a duration nor \"off\"", fix))?;
        let what = format!(
            "is not from {} to {}",
            values::spoken(*KEEP.start()),
            values::spoken(*KEEP.end())
        );
        match KEEP.contains(&age) {
            true => Ok(Some(age)),
            false => Err(Fault::new(what, fix)),
        }
    });
    let bytes = section.parsed("keep_events_bytes", |text| {
        let bytes = values::size(text)?;
        match KEEP_BYTES.contains(&bytes) {
            true => Ok(bytes),
            false => Err(Fault::new(
                "is not from 16MiB to 1024GiB",
                "write e.g. keep_events_bytes = \"1GiB\"",
            )),
        }
    });
    age.unwrap_or(Some(usual.age)).map(|age| KeptEvents {
        age,
        bytes: bytes.unwrap_or(usual.bytes),
    })
}

fn kind(text: &str) -> Result<Kind, Fault> {
    Kind::parse(text).ok_or_else(|| {
        let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        let fix = match nearest(text, names.iter().copied()) {
            Some(near) => format!("write \"{near}\""),
            None => format!("write one of {}", names.join(", ")),
        };
        Fault::new("is no kind of finding", fix)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;
    use crate::config::tests::{DOCUMENTED, folder};

    #[test]
    fn off_judges_nothing_and_is_left_by_a_restart() {
        let folder = folder();
        let file = folder.path().join("ringfence.toml");
        let read = |mode: &str| {
            let text = format!("{DOCUMENTED}\n[detect]\nmode = \"{mode}\"\n");
            parse(&text, &file).map(|loaded| loaded.config)
        };
        let (on, off) = (read("observe").unwrap(), read("off").unwrap());
        assert!(on.detects && !off.detects);
        let error = read("on").unwrap_err().to_string();
        assert!(error.contains("\"off\""), "{error}");
    }

    #[test]
    fn events_are_kept_for_a_week_unless_it_is_said_otherwise() {
        let folder = folder();
        let file = folder.path().join("ringfence.toml");
        let read = |keys: &str| {
            let text = format!("{DOCUMENTED}\n[detect]\n{keys}\n");
            parse(&text, &file).map(|loaded| loaded.config.events)
        };
        let day = Duration::from_secs(86_400);
        let usual = KeptEvents {
            age: 7 * day,
            bytes: 1 << 30,
        };
        assert_eq!(read("").unwrap(), Some(usual));
        assert_eq!(read("keep_events = \"off\"").unwrap(), None);
        let other = KeptEvents {
            age: day,
            bytes: 64 << 20,
        };
        let both = "keep_events = \"24h\"\nkeep_events_bytes = \"64MiB\"";
        assert_eq!(read(both).unwrap(), Some(other));
        let wrong = [
            ("keep_events = \"long\"", "neither a duration nor"),
            ("keep_events = \"1s\"", "from 10m to 366d"),
            ("keep_events_bytes = \"1MiB\"", "from 16MiB"),
            ("keep_event = \"7d\"", "keep_events"),
        ];
        for (keys, says) in wrong {
            let error = read(keys).unwrap_err().to_string();
            assert!(
                error.contains(says) && error.contains("detect.keep"),
                "{error}"
            );
        }
    }
}

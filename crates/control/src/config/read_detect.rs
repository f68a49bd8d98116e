//! `[detect]`: which kinds of finding are acted upon, and which only observed; and who drops
//! what blocked sources send.

use ringfence_detect::decision::Mode;
use ringfence_detect::finding::Kind;
use ringfence_detect::ladder::Modes;
use ringfence_detect::scenario::Scenario;
use toml::de::DeTable;

use super::model::FirewallUse;
use super::report::Report;
use super::suggest::nearest;
use super::table::Section;
use super::values::Fault;
use crate::scenario;

/// Reads it; it may be missing. No modes: nothing is judged at all.
pub(super) fn read(
    report: &mut Report<'_>,
    table: Option<&DeTable<'_>>,
) -> (Option<Modes>, FirewallUse, Vec<Scenario>) {
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
    section.finish();
    for kind in observe {
        modes.set(kind, Mode::Observe);
    }
    for kind in enforce {
        modes.set(kind, Mode::Enforce);
    }
    let modes = (!off).then_some(modes);
    (modes, firewall.unwrap_or_default(), scenarios)
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
}

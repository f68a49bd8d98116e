//! The manual of the configuration names every key that the reader knows, and no other.

use std::path::Path;

use ringfence_control::config::parse;

const MANUAL: &str = include_str!("../../../docs/manual/configuration.md");

/// The keys of `table`: what the message about an unknown one lists.
fn known_keys(table: &str) -> Vec<String> {
    let text = format!("[{table}]\nqqqqqqqqqqqqqqqqqqqqqq = 1\n");
    let error = parse(&text, Path::new("ringfence.toml")).unwrap_err();
    let unknown = error
        .diagnostics
        .iter()
        .find(|found| found.message == "is an unknown key");
    let fix = &unknown.expect("an unknown key is a fault").fix;
    fix.split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// The part of the manual under the heading that names `table`, without the tables inside it that
/// have headings of their own.
fn chapter(table: &str) -> &'static str {
    let name = format!("`[{table}]`");
    MANUAL
        .split("\n## ")
        .flat_map(|chapter| chapter.split("\n### `["))
        .skip(1)
        .find(|chapter| {
            let heading = chapter.lines().next().unwrap_or_default();
            heading.contains(&name) || heading.starts_with(&name[2..])
        })
        .unwrap_or_else(|| panic!("the manual has no chapter {name}"))
}

#[track_caller]
fn check(table: &str, heading: &str) {
    let keys = known_keys(table);
    assert!(!keys.is_empty());
    let chapter = chapter(heading);
    let rows: Vec<&str> = chapter
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    let named: Vec<&str> = rows
        .iter()
        .flat_map(|row| {
            row.split(" | ")
                .next()
                .unwrap_or_default()
                .split('`')
                .skip(1)
                .step_by(2)
        })
        .collect();
    for key in &keys {
        assert!(
            named.contains(&key.as_str()),
            "the manual does not name {table}.{key}"
        );
    }
    for name in named {
        assert!(
            keys.iter().any(|key| key == name),
            "the manual invents {table}.{name}"
        );
    }
}

#[test]
fn the_manual_names_every_key_and_invents_none() {
    check("edge", "edge");
    check("edge.hep", "edge.hep");
    check("limits", "limits");
    check("detect", "detect");
    check("stir", "stir");
    check("listen.a", "listen.NAME");
    check("tenant.a", "tenant.NAME");
    check("tenant.a.fraud", "tenant.NAME.fraud");
    check("site.a", "site.NAME");
    check("site.a.screening", "site.NAME.screening");
    check("trunk.a", "trunk.NAME");
    check("trunk.a.stir", "trunk.NAME.stir");
    check("pbx.a", "pbx.NAME");
    check("phones.a", "phones.NAME");
}

#[test]
fn the_defaults_in_the_manual_are_the_programs() {
    let text = "[listen.a]\nudp = \"192.0.2.1:5060\"\n";
    let config = parse(text, Path::new("ringfence.toml")).unwrap().config;
    let limits = config.limits;
    assert_eq!(
        (config.edge.name.as_str(), config.edge.log.as_str()),
        ("ringfence", "info")
    );
    assert_eq!((limits.calls_max, limits.trace_bytes), (20_000, 8 << 20));
    let seconds = [
        limits.ring_timeout,
        limits.silence_timeout,
        limits.drain_timeout,
    ];
    assert_eq!(seconds.map(|time| time.as_secs()), [180, 120, 60]);
    assert_eq!(limits.call_duration_max.as_secs(), 12 * 3600);
}

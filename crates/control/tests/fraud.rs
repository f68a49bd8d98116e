//! `[tenant.NAME.fraud]`: what is read, and what is said about what cannot be.

use std::path::Path;

use ringfence_control::compile::compile;
use ringfence_control::config::{ConfigError, Loaded, load};
use ringfence_detect::fraud::destinations::Class;
use ringfence_detect::fraud::money::Money;
use ringfence_detect::fraud::policy::Mode;

/// Loads a configuration with one tenant and `fraud` under it, next to the files given.
fn loaded(fraud: &str, files: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let path = folder.path().join("ringfence.toml");
    let text = format!(
        "[listen.a]\nudp = \"192.0.2.1:5060\"\n[tenant.acme]\ncountry = \"US\"\n{fraud}\n\
         [site.one]\ntenant = \"acme\"\nnumbers = [\"+13305550100\"]\nchannels = 23\n\
         emergency = [\"911\"]\n"
    );
    std::fs::write(&path, text).unwrap();
    load(Path::new(&path))
}

#[test]
fn without_a_table_verdicts_are_observed() {
    let config = loaded("", &[]).unwrap().config;
    assert_eq!(config.tenants[0].fraud.policy.mode, Mode::Observe);
}

#[test]
fn the_table_is_read_and_compiled() {
    let text = "[tenant.acme.fraud]\npin = { file = \"pin\" }\nallow = [\"GB\", \"+4930\"]\n\
                deny = [\"premium\"]\ndestinations = \"own.csv\"\ncurrency = \"EUR\"\n\
                utc_offset = \"+01:00\"\nlimits_per_day = { satellite = 3, total = 50 }\n";
    let files = [("pin", "493817\n"), ("own.csv", "441632,high-cost,GB,90\n")];
    let config = loaded(text, &files).unwrap().config;
    let policy = &config.tenants[0].fraud.policy;
    assert_eq!((policy.mode, policy.utc_offset), (Mode::Enforce, 3600));
    assert_eq!((policy.allow.len(), policy.deny.len()), (2, 1));
    assert_eq!(
        policy.limits[Class::Satellite.index()],
        Money::from_units(3)
    );
    assert_eq!(policy.limit, Money::from_units(50));
    let found = policy.destinations.find("+441632960000", policy.home);
    assert_eq!(found.per_minute, Money::from_cents(90));
    let plan = compile(&config, &|_| panic!("no names")).plan;
    let policy = plan.tenants[0].spend.policy().unwrap();
    assert_eq!(policy.size, 23);
}

#[test]
fn a_pin_is_asked_for_by_voice_unless_that_is_turned_off() {
    let with = |lines: &str| {
        let text = format!("[tenant.acme.fraud]\n{lines}");
        let config = loaded(&text, &[("pin", "493817\n")]).unwrap().config;
        let plan = compile(&config, &|_| panic!("no names")).plan;
        plan.sites[0].policy.pin_voice.is_some()
    };
    assert!(with("pin = { file = \"pin\" }"));
    assert!(!with("pin = { file = \"pin\" }\npin_by_voice = false"));
    assert!(!with("mode = \"enforce\""), "there is none");
    // Strangers who are not asked are another matter.
    let silent = "pin = { file = \"pin\" }\n[site.one.screening]\nvoice = false";
    let text = format!("[tenant.acme.fraud]\n{silent}");
    assert!(loaded(&text, &[("pin", "493817\n")]).is_ok());
    assert!(with(silent));
}

#[track_caller]
fn refuses(fraud: &str, files: &[(&str, &str)], key: &str, message: &str) {
    let text = format!("[tenant.acme.fraud]\n{fraud}");
    let error = loaded(&text, files).unwrap_err();
    let found = error.diagnostics.iter().any(|found| {
        found.key == format!("tenant.acme.fraud{key}")
            && found.message.contains(message)
            && found.line > 0
            && !found.fix.is_empty()
    });
    assert!(found, "{:#?}", error.diagnostics);
}

#[test]
fn what_cannot_be_read_is_named_with_key_and_fix() {
    refuses("mode = \"on\"", &[], ".mode", "on");
    refuses("allow = [\"gb\"]", &[], ".allow[0]", "is no destination");
    refuses("pin = \"1234\"", &[], ".pin", "secrets stay out");
    refuses(
        "pin = { file = \"pin\" }",
        &[("pin", "12")],
        ".pin",
        "holds no PIN",
    );
    refuses("pin = { file = \"pin\" }", &[], ".pin", "cannot be read");
    refuses(
        "pin_by_voice = true",
        &[],
        ".pin_by_voice",
        "no PIN to ask for",
    );
    refuses("utc_offset = \"5\"", &[], ".utc_offset", "is no offset");
    refuses("currency = \"usd\"", &[], ".currency", "is no currency");
    refuses(
        "limits_per_day = { domestic = 1 }",
        &[],
        ".limits_per_day.domestic",
        "unknown key",
    );
    let broken = [("own.csv", "44,international,GB,1\n441,dear,GB,1\n")];
    refuses(
        "destinations = \"own.csv\"",
        &broken,
        ".destinations",
        "line 2: the class is one of",
    );
}

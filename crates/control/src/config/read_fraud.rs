//! `[tenant.NAME.fraud]`: what dear calls are let out.

use ringfence_detect::fraud::destinations::{Class, Country, Destinations, FILE_BYTES_MAX};
use ringfence_detect::fraud::money::Money;
use ringfence_detect::fraud::policy::{Mode, Policy, RULES_MAX, Rule};
use ringfence_session::spend::is_pin;
use toml::de::DeTable;

use super::model::Fraud;
use super::report::Report;
use super::table::Section;
use super::values::Fault;

/// Largest limit of a day, in units of the currency.
const LIMIT_MAX: u64 = 10_000_000;

/// Reads the table of the tenant `name`, or what holds without one: verdicts are observed.
pub(super) fn read(
    report: &mut Report<'_>,
    name: &str,
    country: &str,
    table: Option<&DeTable<'_>>,
) -> Fraud {
    let home = Country::new(country).unwrap_or_default();
    let mut policy = Policy::of_country(home);
    policy.utc_offset = usual_offset(country);
    let mut fraud = Fraud {
        policy,
        pin: None,
        pin_by_voice: true,
        destinations: None,
    };
    let Some(table) = table else {
        return fraud;
    };
    let path = format!("tenant.{name}.fraud");
    let mut section = Section::new(report, &path, table);
    let policy = &mut fraud.policy;
    policy.mode = section
        .one_of("mode", &Mode::NAMED)
        .unwrap_or(Mode::Enforce);
    policy.allow = section.list("allow", rule).unwrap_or_default();
    policy.deny = section.list("deny", rule).unwrap_or_default();
    for (key, rules) in [("allow", policy.allow.len()), ("deny", policy.deny.len())] {
        if rules > RULES_MAX {
            let message = format!("has {rules} entries, and {RULES_MAX} is the most");
            let key = section.key(key);
            section
                .report()
                .error(&key, message, "write countries, or fewer prefixes");
        }
    }
    if let Some(offset) = section.parsed("utc_offset", utc_offset) {
        policy.utc_offset = offset;
    }
    if let Some(currency) = section.parsed("currency", currency) {
        policy.currency = currency;
    }
    fraud.pin = section.password("pin");
    if let Some(pin) = &fraud.pin {
        let key = section.key("pin");
        match pin.read_line() {
            Ok(secret) if is_pin(secret.expose()) => {
                if let Some(file) = pin.file() {
                    super::files::warn_of_open_file(section.report(), &key, file);
                }
            }
            Ok(_) => section.report().error(
                &key,
                "holds no PIN",
                "write 4 to 16 digits into it, better 6 or more",
            ),
            Err(error) => section.report().error(
                &key,
                format!("cannot be read: {error}"),
                "name a file or a variable that holds it",
            ),
        }
    }
    let by_voice = section.boolean("pin_by_voice");
    if by_voice == Some(true) && fraud.pin.is_none() {
        let key = section.key("pin_by_voice");
        section
            .report()
            .error(&key, "there is no PIN to ask for", "name one with `pin`");
    }
    fraud.pin_by_voice = by_voice.unwrap_or(true);
    fraud.destinations = section.path("destinations");
    if let Some(file) = &fraud.destinations {
        let key = section.key("destinations");
        match read_destinations(file) {
            Ok(destinations) => policy.destinations = destinations.into(),
            Err(message) => section.report().error(
                &key,
                format!("{} {message}", file.display()),
                "write lines like 44,international,GB,2; no row of it is used",
            ),
        }
    }
    let limits = section.table("limits_per_day");
    section.finish();
    if let Some(table) = limits {
        read_limits(report, &format!("{path}.limits_per_day"), table, policy);
    }
    fraud
}

fn read_limits(report: &mut Report<'_>, path: &str, table: &DeTable<'_>, policy: &mut Policy) {
    let mut section = Section::new(report, path, table);
    for class in Class::ALL.into_iter().filter(|class| !class.is_harmless()) {
        if let Some(units) = section.integer(class.as_str(), 0..=LIMIT_MAX)
            && let Some(limit) = policy.limits.get_mut(class.index())
        {
            *limit = Money::from_units(units);
        }
    }
    if let Some(units) = section.integer("total", 0..=LIMIT_MAX) {
        policy.limit = Money::from_units(units);
    }
    section.finish();
}

fn read_destinations(file: &std::path::Path) -> Result<Destinations, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let length = std::fs::metadata(file).map_err(unreadable)?.len();
    if length > FILE_BYTES_MAX as u64 {
        return Err("is larger than 4 MiB".to_owned());
    }
    let text = std::fs::read_to_string(file).map_err(unreadable)?;
    Destinations::extended(&text).map_err(|error| error.to_string())
}

fn rule(text: &str) -> Result<Rule, Fault> {
    Rule::parse(text).ok_or_else(|| {
        let classes: Vec<&str> = Class::ALL.iter().map(|class| class.as_str()).collect();
        Fault::new(
            "is no destination",
            format!(
                "write a country (\"GB\"), a prefix (\"+4420\") or a class: {}",
                classes.join(", ")
            ),
        )
    })
}

fn currency(text: &str) -> Result<Box<str>, Fault> {
    let good = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    match good {
        true => Ok(text.into()),
        false => Err(Fault::new(
            "is no currency",
            "write three letters, e.g. \"USD\"",
        )),
    }
}

/// `"-05:00"`: seconds ahead of UTC.
fn utc_offset(text: &str) -> Result<i32, Fault> {
    let parse = || {
        let (sign, rest) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+')?),
        };
        let (hours, minutes) = rest.split_once(':')?;
        let digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        let (hours, minutes): (i32, i32) = match digits(hours) && digits(minutes) {
            true => (hours.parse().ok()?, minutes.parse().ok()?),
            false => return None,
        };
        (hours <= 14 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
    };
    let fix = "write e.g. \"-05:00\" or \"+01:00\"";
    parse().ok_or_else(|| Fault::new("is no offset from UTC", fix))
}

/// Hours ahead of UTC where most people of a country live, without summer time; 0 where that is not
/// known. Good enough for day and night; a business that is elsewhere says so.
fn usual_offset(country: &str) -> i32 {
    let hours = match country {
        "US" | "CA" | "PE" | "CO" | "EC" | "PA" | "JM" => -5,
        "MX" | "CR" | "GT" => -6,
        "AR" | "BR" | "CL" | "UY" => -3,
        "AT" | "BE" | "CH" | "CZ" | "DE" | "DK" | "ES" | "FR" | "HR" | "HU" | "IT" | "LI"
        | "LU" | "MT" | "NL" | "NO" | "PL" | "RS" | "SE" | "SI" | "SK" | "NG" => 1,
        "BG" | "CY" | "EE" | "EG" | "FI" | "GR" | "IL" | "LT" | "LV" | "RO" | "UA" | "ZA" => 2,
        "KE" | "RU" | "SA" | "TR" | "QA" => 3,
        "AE" | "OM" => 4,
        "PK" => 5,
        "IN" => return 5 * 3600 + 1800,
        "ID" | "TH" | "VN" => 7,
        "CN" | "HK" | "MY" | "PH" | "SG" | "TW" => 8,
        "JP" | "KR" => 9,
        "AU" => 10,
        "NZ" => 12,
        _ => 0,
    };
    hours * 3600
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_hours_and_minutes_with_a_sign() {
        assert_eq!(utc_offset("-05:00").unwrap(), -18_000);
        assert_eq!(utc_offset("+05:30").unwrap(), 19_800);
        for bad in ["", "5", "+5:00", "05:00", "+15:00", "+01:60", "+aa:00"] {
            assert!(utc_offset(bad).is_err(), "{bad}");
        }
    }
}

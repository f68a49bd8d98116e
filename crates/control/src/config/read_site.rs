//! `[tenant.NAME]` and `[site.NAME]`.

use ringfence_session::line_guard::LinesPolicy;

use super::model::{Site, Tenant};
use super::report::Report;
use super::table::{Named, Section};
use super::values;
use super::{read_fraud, read_policy, read_screening};

/// Most channels and most calls a second; 0 is no limit.
pub(super) const LIMIT_MAX: u64 = 1_000_000;

/// Reads a tenant.
pub(super) fn tenant(report: &mut Report<'_>, named: &Named<'_>) -> Tenant {
    let mut section = Section::new(report, &format!("tenant.{}", named.name), named.table);
    let display_name = section.parsed("name", values::display_name);
    let country = section.parsed("country", values::country);
    let fraud = section.table("fraud");
    section.require(
        "country",
        "write country = \"US\" (two letters of ISO 3166)",
    );
    section.finish();
    let country = country.unwrap_or_default();
    let fraud = read_fraud::read(report, named.name, &country, fraud);
    Tenant {
        name: named.name.to_owned(),
        display_name: display_name.unwrap_or_else(|| named.name.to_owned()),
        country,
        fraud,
    }
}

/// Reads a site.
pub(super) fn site(
    report: &mut Report<'_>,
    named: &Named<'_>,
    tenants: &[&str],
    trunks: &[&str],
) -> Site {
    let mut section = Section::new(report, &format!("site.{}", named.name), named.table);
    let tenant = section.reference("tenant", "tenant", tenants);
    section.require("tenant", "write tenant = \"NAME\" of a [tenant.NAME] table");
    let numbers = section.list("numbers", values::numbers);
    let any_number = section.boolean("any_number");
    let channels = section.integer("channels", 0..=LIMIT_MAX);
    let emergency = section.list("emergency", values::dialled);
    let (main_number, dial) = read_policy::site(&mut section, trunks);
    let lines = LinesPolicy {
        mode: section
            .parsed("tdos", values::lines_mode)
            .unwrap_or_default(),
        reserve_known: section
            .integer("reserve_known", 0..=LIMIT_MAX)
            .map(|channels| channels as u32),
        utc_offset_minutes: section
            .parsed("utc_offset", values::utc_offset)
            .unwrap_or_default(),
        voice: None,
    };
    let screening = section.table("screening");
    section.finish();
    let screening = read_screening::read(report, named.name, screening);
    Site {
        name: named.name.to_owned(),
        tenant: tenant.unwrap_or_default(),
        numbers: numbers.unwrap_or_default(),
        any_number: any_number.unwrap_or_default(),
        channels: channels.unwrap_or_default() as u32,
        emergency: emergency.unwrap_or_default(),
        main_number,
        dial,
        lines,
        screening,
    }
}

//! The configuration file: TOML in, a validated [`Config`] or every fault at once out.
//!
//! Faults name file, line, key and fix. Unknown keys are faults. What is questionable but works is
//! a warning. Secrets come from files or the environment and never stand in the file itself.
//!
//! Left out on purpose: resolving names (see [`compile`](mod@crate::compile)) and binding
//! addresses (the edge does it, and reports what the host refuses).

mod check;
mod check_profile;
mod country;
mod diagnostic;
mod files;
mod model;
mod read_account;
mod read_acme;
mod read_detect;
mod read_edge;
mod read_failover;
mod read_feeds;
mod read_fraud;
mod read_listen;
mod read_methods;
mod read_peer;
mod read_phones;
pub(crate) mod read_policy;
mod read_screening;
mod read_site;
pub(crate) mod read_stir;
mod read_verifying;
mod report;
mod suggest;
mod table;
mod values;

use std::path::{Path, PathBuf};

use toml::de::DeTable;

pub use diagnostic::{ConfigError, Diagnostic, Severity};
pub use model::{
    Accepted, Account, Acme, Config, DialTo, Dialling, Edge, FeedFile, FirewallUse, Fraud, Hep,
    KernelMedia, Listen, LogFormat, MediaRange, Numbers, Peer, PeerTls, PeerUri, PhoneUser, Phones,
    SecretError, SecretSource, Site, Stir, Tenant,
};
pub use read_phones::is_user_name;
pub(crate) use values::spoken;

use report::Report;
use table::Section;

/// Largest configuration file.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// A usable configuration, with what is questionable about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Warnings, in order of line.
    pub warnings: Vec<Diagnostic>,
}

/// Reads and validates the file at `path`. Relative paths in it are relative to its folder.
pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
    let unreadable = |message: String, fix: &str| ConfigError {
        diagnostics: vec![Diagnostic {
            severity: Severity::Error,
            file: path.to_owned(),
            line: 0,
            column: 0,
            key: String::new(),
            message,
            fix: fix.to_owned(),
        }],
    };
    let length = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    if length > FILE_BYTES_MAX {
        return Err(unreadable(
            "is larger than 16 MiB".to_owned(),
            "name a configuration file",
        ));
    }
    let bytes = std::fs::read(path).map_err(|error| {
        unreadable(
            format!("cannot be read: {error}"),
            "name a file with --config",
        )
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|&&byte| byte == b'\n')
            .count();
        unreadable(
            format!("is not UTF-8 in line {}", line + 1),
            "save it as UTF-8",
        )
    })?;
    parse(&text, path)
}

/// Validates the text of a configuration that stands, or is to stand, in `file`.
pub fn parse(text: &str, file: &Path) -> Result<Loaded, ConfigError> {
    let mut report = Report::new(file, text);
    let (root, syntax_errors) = DeTable::parse_recoverable(text);
    for error in &syntax_errors {
        let offset = error.span().map_or(0, |span| span.start);
        report.error_at(offset, "", error.message(), syntax_fix(error.message()));
    }
    report.incomplete = !syntax_errors.is_empty();
    let config = read(&mut report, root.get_ref(), file.to_owned());
    let diagnostics = report.finish();
    if diagnostics.iter().any(Diagnostic::is_error) {
        return Err(ConfigError { diagnostics });
    }
    Ok(Loaded {
        config,
        warnings: diagnostics,
    })
}

fn syntax_fix(message: &str) -> &'static str {
    if message.starts_with("duplicate key") {
        "keep one of the two"
    } else {
        "write lines like key = \"text\", key = 8, key = [\"a\", \"b\"] or [table.name]"
    }
}

/// Reads every table, then checks one against the other. Where a value is faulty, something of the
/// right type takes its place, since the result is not used then.
fn read(report: &mut Report<'_>, root: &DeTable<'_>, file: PathBuf) -> Config {
    let mut section = Section::new(report, "", root);
    let (edge, limits) = (section.table("edge"), section.table("limits"));
    let detect = section.table("detect");
    let stir = section.table("stir");
    let listeners = section.named("listen");
    let tenants = section.named("tenant");
    let sites = section.named("site");
    let trunks = section.named("trunk");
    let pbxs = section.named("pbx");
    let phones = section.named("phones");
    section.finish();

    let names = read_peer::Names {
        listeners: listeners.iter().map(|named| named.name).collect(),
        sites: sites.iter().map(|named| named.name).collect(),
    };
    let tenant_names: Vec<&str> = tenants.iter().map(|named| named.name).collect();
    let trunk_names: Vec<&str> = trunks.iter().map(|named| named.name).collect();
    let (edge, limits) = read_edge::read(report, edge, limits);
    let (modes, firewall, scenarios, events, feeds) = read_detect::read(report, detect);
    let sites: Vec<Site> = sites
        .iter()
        .map(|named| read_site::site(report, named, &tenant_names, &trunk_names))
        .collect();
    let phones = read_phones::all(report, &phones, &names, &sites, &edge.data);
    let listeners = listeners
        .iter()
        .map(|named| read_listen::read(report, named, &edge))
        .collect();
    let config = Config {
        file,
        edge,
        limits,
        detects: modes.is_some(),
        detect: modes.unwrap_or_default(),
        firewall,
        events,
        scenarios,
        feeds,
        listeners,
        tenants: tenants
            .iter()
            .map(|named| read_site::tenant(report, named))
            .collect(),
        sites,
        peers: read_peer::all(report, &trunks, &pbxs, &names),
        phones,
        stir: read_verifying::read(report, stir),
    };
    check::check(report, &config);
    config
}

#[cfg(test)]
pub(crate) mod tests;

//! `[phones.NAME]`: phones that register at the edge, and the file of their users.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ringfence_session::methods::Methods;
use ringfence_session::plan::{MediaPolicy, NumberRange, PeerKind};
use ringfence_session::registrar::group::{Bounds, Digests};
use ringfence_sip::digest::Algorithm;

use super::model::{PhoneUser, Phones, Site};
use super::read_methods;
use super::read_peer::Names;
use super::read_site::LIMIT_MAX;
use super::report::Report;
use super::table::{Named, Section};
use super::values::{self, quoted};
use crate::vault::Vault;

/// Largest file of users.
const USERS_BYTES_MAX: u64 = 64 << 20;
/// Most users of one group.
const USERS_MAX: usize = 200_000;
/// Faults of one file of users that are told.
const FAULTS_MAX: usize = 20;

/// Reads all groups of phones. Their secrets are in the vault of `data` or in their files.
pub(super) fn all(
    report: &mut Report<'_>,
    groups: &[Named<'_>],
    names: &Names<'_>,
    sites: &[Site],
    data: &Path,
) -> Vec<Phones> {
    if groups.is_empty() {
        return Vec::new();
    }
    let vault = Vault::open(data);
    if let Err(error) = &vault {
        let key = format!("phones.{}", groups.first().map_or("", |group| group.name));
        let fix = "put the file back that belongs to the folder of [edge] data";
        report.error(
            &key,
            format!("has secrets that cannot be read: {error}"),
            fix,
        );
    }
    let vault = vault.unwrap_or_default();
    let read = |named| read(report, named, names, sites, &vault);
    groups.iter().map(read).collect()
}

fn read(
    report: &mut Report<'_>,
    named: &Named<'_>,
    names: &Names<'_>,
    sites: &[Site],
    vault: &Vault,
) -> Phones {
    let path = format!("phones.{}", named.name);
    let mut section = Section::new(report, &path, named.table);
    let site = section.reference("site", "site", &names.sites);
    section.require("site", "write site = \"NAME\" of a [site.NAME] table");
    let listen = section.reference("listen", "listen", &names.listeners);
    section.require("listen", "write listen = \"NAME\" of a [listen.NAME] table");
    let realm = section.parsed("realm", values::realm);
    section.require(
        "realm",
        "write realm = \"summit.example\": the domain of the phones",
    );
    let passes = section.one_of("mode", &[("local", false), ("pass-through", true)]);
    let file = users_file(&mut section);
    let minute_to_day = Duration::from_secs(10)..=Duration::from_secs(86_400);
    let expires_min = section.duration("expires_min", minute_to_day.clone(), false);
    let expires_max = section.duration("expires_max", minute_to_day, false);
    let contacts_max = section.integer("contacts_max", 1..=100);
    let seconds_to_minutes = Duration::from_secs(1)..=Duration::from_secs(180);
    let ring_each = section.duration("ring_each", seconds_to_minutes, false);
    let algorithms = section.list("digest", |text| {
        let words = [("sha-256", Algorithm::Sha256), ("md5", Algorithm::Md5)];
        values::one_of(text, &words)
    });
    let media = section.one_of(
        "media",
        &[
            ("rtp", MediaPolicy::Rtp),
            ("srtp", MediaPolicy::Srtp),
            ("either", MediaPolicy::Either),
        ],
    );
    let crypto = section.list("crypto", values::suite);
    let channels = section.integer("channels", 0..=LIMIT_MAX);
    let messages = section.boolean("messages");
    let events = read_methods::events(&mut section);
    section.finish();
    let usual = Methods::of_kind(PeerKind::Phones);
    let methods = Methods {
        messages: messages.unwrap_or(usual.messages),
        events: events.unwrap_or(usual.events),
        ..Methods::of_kind(PeerKind::Phones)
    };
    let standard = Bounds::default();
    let bounds = Bounds {
        expires_min: expires_min.unwrap_or(standard.expires_min),
        expires_max: expires_max.unwrap_or(standard.expires_max),
        contacts_max: contacts_max.map_or(standard.contacts_max, |most| most as usize),
        passes: passes.unwrap_or(standard.passes),
        ring_each: ring_each.unwrap_or(standard.ring_each),
        algorithms: in_order(algorithms).unwrap_or(standard.algorithms),
    };
    if bounds.expires_min > bounds.expires_max {
        let key = format!("{path}.expires_min");
        report.error(&key, "is longer than expires_max", "write a shorter time");
    }
    let site = site.unwrap_or_default();
    let realm = realm.unwrap_or_default();
    let users = Users {
        path: path.clone(),
        group: named.name,
        realm: &realm,
        site: sites.iter().find(|known| known.name == site),
        vault,
    };
    let users = users.read(report, file.as_deref());
    Phones {
        name: named.name.to_owned(),
        site,
        listen: listen.unwrap_or_default(),
        realm,
        users_file: file,
        users,
        bounds,
        media: media.unwrap_or(MediaPolicy::Either),
        crypto: crypto
            .filter(|suites| !suites.is_empty())
            .unwrap_or_else(|| values::SUITES.to_vec()),
        channels: channels.unwrap_or_default() as u32,
        methods,
    }
}

/// In the order of the file, without doubles; `None` when none is named.
fn in_order(named: Option<Vec<Algorithm>>) -> Option<Vec<Algorithm>> {
    let mut kept = Vec::new();
    for algorithm in named? {
        if !kept.contains(&algorithm) {
            kept.push(algorithm);
        }
    }
    (!kept.is_empty()).then_some(kept)
}

/// `users = { file = "phones.csv" }`.
fn users_file(section: &mut Section<'_, '_, '_>) -> Option<PathBuf> {
    let source = section.secret("users")?;
    if let Some(file) = source.file() {
        return Some(file.to_owned());
    }
    let key = section.key("users");
    let fix = "write users = { file = \"phones.csv\" }";
    section.report().error(&key, "is not a file", fix);
    None
}

/// Where the users of one group come from.
struct Users<'a> {
    path: String,
    group: &'a str,
    realm: &'a str,
    site: Option<&'a Site>,
    vault: &'a Vault,
}

impl Users<'_> {
    /// The users of the file and of the vault; of two secrets the vault's counts.
    fn read(&self, report: &mut Report<'_>, file: Option<&Path>) -> Vec<PhoneUser> {
        let mut users = BTreeMap::new();
        if let Some(file) = file {
            self.read_file(report, file, &mut users);
        }
        for (name, kept) in self.vault.users(self.group) {
            if kept.realm != self.realm {
                let message = format!(
                    "is not the realm that the secret of {} was made for",
                    quoted(name)
                );
                let key = format!("{}.realm", self.path);
                let fix = format!(
                    "write realm = \"{}\", or run: ringfence phones rotate",
                    kept.realm
                );
                report.error(&key, message, fix);
                continue;
            }
            let number = kept.number.clone();
            let before = users.remove(name);
            let user = PhoneUser {
                name: name.to_owned(),
                number: number.or_else(|| before.and_then(|user: PhoneUser| user.number)),
                digests: kept.digests.clone(),
            };
            users.insert(name.to_owned(), user);
        }
        if users.is_empty() && !report.incomplete {
            let fix = format!(
                "run: ringfence phones add {} NAME, or write users = {{ file = \"phones.csv\" }}",
                self.group
            );
            report.warning(&self.path, "has no users, so no phone can register", fix);
        }
        users.into_values().collect()
    }

    fn read_file(
        &self,
        report: &mut Report<'_>,
        file: &Path,
        users: &mut BTreeMap<String, PhoneUser>,
    ) {
        let key = format!("{}.users", self.path);
        let length = std::fs::metadata(file).map_or(0, |metadata| metadata.len());
        if length > USERS_BYTES_MAX {
            return report.error(&key, "is larger than 64 MiB", "name a file of users");
        }
        let text = match std::fs::read_to_string(file) {
            Ok(text) => ringfence_base::Secret::new(text.into_bytes()),
            Err(error) => {
                let message = format!(
                    "{} cannot be read: {error}",
                    quoted(&file.to_string_lossy())
                );
                return report.error(&key, message, "name a file that exists and is readable");
            }
        };
        let text = std::str::from_utf8(text.expose()).unwrap_or_default();
        let mut numbers = BTreeMap::new();
        let mut faults = 0;
        for (index, line) in text.lines().enumerate() {
            let fault = match self.read_line(line, users, &mut numbers) {
                Ok(()) if users.len() <= USERS_MAX => continue,
                Ok(()) => "one user too many: a group has at most 200,000",
                Err(fault) => fault,
            };
            faults += 1;
            // Never the line itself: it holds a secret.
            let message = format!("{}:{}: {fault}", file.display(), index + 1);
            let fix = "write username,secret or username,secret,number on each line";
            report.error(&key, message, fix);
            if faults >= FAULTS_MAX || users.len() > USERS_MAX {
                break;
            }
        }
    }

    fn read_line(
        &self,
        line: &str,
        users: &mut BTreeMap<String, PhoneUser>,
        numbers: &mut BTreeMap<String, String>,
    ) -> Result<(), &'static str> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let mut fields = line.splitn(3, ',').map(str::trim);
        let name = fields.next().unwrap_or_default();
        let secret = fields.next().ok_or("has no secret")?;
        let number = fields.next().filter(|number| !number.is_empty());
        if name == "username" && secret == "secret" {
            return Ok(());
        }
        if !is_user_name(name) {
            return Err("the name is not 1 to 64 of a-z, A-Z, 0-9, - _ . and +");
        }
        if let Some(number) = number {
            if NumberRange::new(number, number).is_none() {
                return Err("the number is not in international form, e.g. +13305550100");
            }
            let owned = |site: &Site| site.numbers.iter().any(|own| own.range().contains(number));
            if !self.site.is_none_or(owned) {
                return Err("the number is not one of the site's");
            }
            if numbers.insert(number.to_owned(), name.to_owned()).is_some() {
                return Err("the number is another user's");
            }
        }
        if users.contains_key(name) {
            return Err("the user is there already");
        }
        let Ok(digests) = Digests::new(name, self.realm, secret.as_bytes()) else {
            // The number may stand here and the secret in the vault.
            let kept = self
                .vault
                .users(self.group)
                .find(|(known, _)| *known == name);
            let kept = kept.ok_or("the secret is empty, and the vault has none")?;
            let digests = kept.1.digests.clone();
            users.insert(name.to_owned(), user(name, number, digests));
            return Ok(());
        };
        users.insert(name.to_owned(), user(name, number, digests));
        Ok(())
    }
}

fn user(name: &str, number: Option<&str>, digests: Digests) -> PhoneUser {
    PhoneUser {
        name: name.to_owned(),
        number: number.map(str::to_owned),
        digests,
    }
}

/// Whether a phone user may have this name: it stands in URIs and in digests as it is.
pub fn is_user_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(legal)
}

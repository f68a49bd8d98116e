//! `ringfence phones`: secrets of phones on the disk, and who is registered with the running edge.
//!
//! A secret is made here, shown once, and kept as digests only (see `ringfence_control::vault`).

use std::fmt::Write;

use anyhow::{Context, bail, ensure};
use hyper::Method;
use ringfence_base::text::Escaped;
use ringfence_control::api::{Phones, paths};
use ringfence_control::config::{self, Config, is_user_name};
use ringfence_control::vault::{Kept, Vault, generate_password};
use ringfence_session::plan::NumberRange;
use ringfence_session::registrar::group::Digests;
use serde::Serialize;

use crate::Exit;
use crate::args::Target;
use crate::client;
use crate::paint::{Paint, Tone, seconds};

#[derive(Serialize)]
struct Made<'a> {
    group: &'a str,
    user: &'a str,
    realm: &'a str,
    secret: &'a str,
}

/// `ringfence phones add GROUP USER`.
pub(crate) fn add(
    target: &Target,
    (group, user): (&str, &str),
    number: Option<String>,
    json: bool,
) -> anyhow::Result<Exit> {
    let config = config::load(&target.config)?.config;
    let phones = group_of(&config, group)?;
    ensure!(
        is_user_name(user),
        "a user's name is 1 to 64 of a-z, A-Z, 0-9, - _ . and +"
    );
    ensure!(
        !phones.users.iter().any(|known| known.name == user),
        "{group} has a user {user} already; `ringfence phones rotate` makes a new secret"
    );
    if let Some(number) = &number {
        let good = NumberRange::new(number, number).is_some();
        ensure!(good, "write the number in international form: +13305550107");
        let site = config.site(&phones.site).context("the group has no site")?;
        let owned = site.numbers.iter().any(|own| own.range().contains(number));
        ensure!(
            owned,
            "{number} is not one of the numbers of site {}",
            site.name
        );
        let taken = |known: &&config::PhoneUser| known.number.as_ref() == Some(number);
        if let Some(other) = phones.users.iter().find(taken) {
            bail!("{number} is the number of {}", other.name);
        }
    }
    make(&config, (group, user), number, json)
}

/// `ringfence phones rotate GROUP USER`.
pub(crate) fn rotate(
    target: &Target,
    (group, user): (&str, &str),
    json: bool,
) -> anyhow::Result<Exit> {
    let config = config::load(&target.config)?.config;
    let phones = group_of(&config, group)?;
    let known = phones.users.iter().find(|known| known.name == user);
    let known = known.with_context(|| format!("{group} has no user {user}"))?;
    make(&config, (group, user), known.number.clone(), json)
}

fn group_of<'a>(config: &'a Config, name: &str) -> anyhow::Result<&'a config::Phones> {
    let group = config.phones.iter().find(|phones| phones.name == name);
    group.with_context(|| format!("the configuration has no [phones.{name}]"))
}

/// Puts a user with a new secret into the vault, and shows the secret.
fn make(
    config: &Config,
    (group, user): (&str, &str),
    number: Option<String>,
    json: bool,
) -> anyhow::Result<Exit> {
    let realm = &group_of(config, group)?.realm;
    let secret = generate_password()?;
    let kept = Kept {
        realm: realm.clone(),
        number,
        digests: Digests::new(user, realm, secret.expose())?,
    };
    let mut vault = Vault::open(&config.edge.data)?;
    vault.insert(group, user, kept);
    vault.save(&config.edge.data)?;
    let made = Made {
        group,
        user,
        realm,
        secret: std::str::from_utf8(secret.expose())?,
    };
    if json {
        println!("{}", serde_json::to_string_pretty(&made)?);
    } else {
        println!("user    {user}\nrealm   {realm}\nsecret  {}", made.secret);
        eprintln!("The secret is not shown again. A running edge takes it with: ringfence reload");
    }
    Ok(Exit::Ok)
}

/// `ringfence phones list`.
pub(crate) fn list(target: &Target, json: bool, paint: Paint) -> anyhow::Result<Exit> {
    let phones: Phones = client::ask(target, Method::GET, paths::PHONES)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&phones)?);
    } else {
        print!("{}", text(&phones, paint));
    }
    Ok(Exit::Ok)
}

fn text(phones: &Phones, paint: Paint) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{:12} {:20} {:16} {:5} {:24} {:>8} PHONE",
        "GROUP", "USER", "NUMBER", "OVER", "FROM", "EXPIRES"
    );
    for phone in &phones.phones {
        let number = phone.number.as_deref().unwrap_or("-");
        let who = format!("{:12} {:20} {number:16}", phone.group, phone.user);
        if phone.contacts.is_empty() {
            let _ = writeln!(out, "{who} {}", paint.tone(Tone::Dim, "not registered"));
        }
        for contact in &phone.contacts {
            let agent = contact.user_agent.as_deref().unwrap_or("-");
            let agent = Escaped(agent.as_bytes());
            let state = if contact.reachable {
                String::new()
            } else {
                paint.tone(Tone::Warn, " (connection closed)")
            };
            let _ = writeln!(
                out,
                "{who} {:5} {:24} {:>8} {agent}{state}",
                contact.transport,
                contact.remote,
                seconds(contact.expires_s),
            );
        }
    }
    if phones.phones.is_empty() {
        out.push_str("no phones are configured\n");
    }
    out
}

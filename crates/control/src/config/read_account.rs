//! `register = { … }` and `credentials = { … }`: what a carrier knows us by.

use std::time::Duration;

use ringfence_session::account::Registering;
use ringfence_session::plan::PeerKind;
use ringfence_sip::digest::is_plain;

use super::model::{Account, SecretError};
use super::report::Report;
use super::table::Section;
use super::values::{self, Fault};

/// Lifetimes that may be asked for, in seconds.
const EXPIRES: std::ops::RangeInclusive<u64> = 60..=86_400;

/// The lifetime that is asked for by default, in seconds.
const EXPIRES_USUAL: u64 = 600;

/// Reads both keys; a peer has at most one of them.
pub(super) fn read(section: &mut Section<'_, '_, '_>, kind: PeerKind) -> Option<Account> {
    let register = section.table("register");
    let credentials = section.table("credentials");
    let path = section.key("register");
    if register.is_some() && credentials.is_some() {
        let key = section.key("credentials");
        let fix = "take it out: register answers challenges of calls as well";
        section.report().error(&key, "stands beside register", fix);
    }
    if register.is_some() && kind != PeerKind::Trunk {
        let fix = "write credentials = { … } if it challenges calls";
        section
            .report()
            .error(&path, "is for trunks: a PBX has no registrar", fix);
    }
    match (register, credentials) {
        (Some(table), _) => {
            let mut inner = Section::new(section.report(), &path, table);
            let account = read_register(&mut inner);
            inner.finish();
            account
        }
        (None, Some(table)) => {
            let path = section.key("credentials");
            let mut inner = Section::new(section.report(), &path, table);
            let account = read_login(&mut inner, "username");
            inner.finish();
            account
        }
        (None, None) => None,
    }
}

fn read_register(section: &mut Section<'_, '_, '_>) -> Option<Account> {
    let user = section.parsed("username", user);
    let name = match section.has("auth_username") {
        true => "auth_username",
        false => "username",
    };
    let account = read_login(section, name);
    let domain = section.parsed("domain", values::certificate_name);
    let expires = section.integer("expires", EXPIRES).unwrap_or(EXPIRES_USUAL);
    let contact_user = section.parsed("contact_user", self::user);
    let bulk = section.boolean("bulk").unwrap_or_default();
    if bulk && section.has("contact_user") {
        let key = section.key("contact_user");
        let fix = "take it out: bulk registration has a Contact without a user (RFC 6140)";
        section
            .report()
            .error(&key, "stands beside bulk = true", fix);
    }
    // Asked for in any case, so that it is known here.
    if name == "username" {
        section.parsed("auth_username", plain);
    }
    Some(Account {
        registration: Some(Registering {
            user: user?,
            domain,
            expires: Duration::from_secs(expires),
            contact_user,
            bulk,
        }),
        ..account?
    })
}

fn read_login(section: &mut Section<'_, '_, '_>, name: &'static str) -> Option<Account> {
    let username = section.parsed(name, plain);
    section.require(
        "username",
        "write username = \"NAME\" as the carrier gave it",
    );
    let password = section.password("password");
    section.require("password", "write password = { file = \"PATH\" }");
    let realm = section.parsed("realm", plain);
    let password = password?;
    let path = section.key("password");
    check_password(section.report(), &path, &password);
    Some(Account {
        username: username?,
        password,
        realm,
        registration: None,
    })
}

/// A password can be read and is not empty. Nothing of it reaches a message.
fn check_password(report: &mut Report<'_>, key: &str, source: &super::SecretSource) {
    match source.read_line() {
        Ok(password) if password.expose().is_empty() => {
            let fix = "write the password into it, in one line";
            report.error(key, "is empty", fix);
        }
        Ok(_) => {
            if let Some(file) = source.file() {
                super::files::warn_of_open_file(report, key, file);
            }
        }
        Err(SecretError::Unreadable { path, source }) => {
            super::files::unreadable(report, key, &path, &source);
        }
        Err(SecretError::NotSet { name }) => {
            let message = format!("is in the environment variable {name}, which is not set");
            report.error(key, message, "set it, or name a file");
        }
    }
}

/// A text that stands between quotes as it is.
fn plain(text: &str) -> Result<String, Fault> {
    if !text.is_empty() && text.len() <= 256 && is_plain(text.as_bytes()) {
        return Ok(text.to_owned());
    }
    Err(Fault::new(
        "cannot stand in credentials",
        "write 1 to 256 bytes without quotes and backslashes",
    ))
}

/// The user of a SIP URI.
fn user(text: &str) -> Result<String, Fault> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.!~*'()&=+$,?/".contains(c);
    if !text.is_empty() && text.len() <= 128 && text.chars().all(legal) {
        return Ok(text.to_owned());
    }
    Err(Fault::new(
        "is no user of a SIP address",
        "write what stands before the @ in sip:USER@carrier",
    ))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::parse;
    use crate::config::tests::DOCUMENTED;

    /// The faults of a trunk with this line.
    fn faults(line: &str) -> Vec<String> {
        let text = DOCUMENTED.replacen("[pbx.", &format!("[trunk.b]\nsite = \"summit\"\nlisten = \"outside\"\npeer = \"sip:198.51.100.9\"\n{line}\n\n[pbx."), 1);
        match parse(&text, Path::new("/nowhere/ringfence.toml")) {
            Ok(_) => Vec::new(),
            Err(error) => error
                .diagnostics
                .iter()
                .filter(|found| {
                    let key = found.key.strip_prefix("trunk.b.").unwrap_or_default();
                    found.is_error()
                        && (key.starts_with("register") || key.starts_with("credentials"))
                })
                .map(|found| format!("{} {}: {}", found.key, found.message, found.fix))
                .collect(),
        }
    }

    #[test]
    fn a_password_never_stands_in_the_file_and_never_in_a_message() {
        for line in [
            "register = { username = \"summit\", password = \"hunter2\" }",
            "credentials = { username = \"summit\", password = \"hunter2\" }",
        ] {
            let faults = faults(line);
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].contains("write { file = \"PATH\" } or { env = \"NAME\" }"));
            assert!(!faults[0].contains("hunter2"), "{faults:?}");
        }
    }

    #[test]
    fn what_is_missing_or_cannot_be_is_told_at_once() {
        let faults = faults(
            "register = { usernam = \"x\", expires = 5, bulk = true, contact_user = \"a b\" }",
        );
        for part in [
            "register.username is missing",
            "register.password is missing",
            "register.expires 5 is out of range",
            "register.contact_user",
            "did you mean \"username\"",
        ] {
            assert!(
                faults.iter().any(|fault| fault.contains(part)),
                "{part}: {faults:?}"
            );
        }
        let file = "register = { username = \"summit\", password = { file = \"no.secret\" } }";
        let faults = self::faults(file);
        assert!(
            faults.len() == 1 && faults[0].contains("cannot be read"),
            "{faults:?}"
        );
    }

    #[test]
    fn an_empty_password_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("carrier.secret");
        for (content, good) in [("\n", false), ("s3cret\n", true)] {
            std::fs::write(&path, content).unwrap();
            let line = format!(
                "register = {{ username = \"summit\", password = {{ file = \"{}\" }} }}",
                path.display()
            );
            assert_eq!(faults(&line).is_empty(), good, "{content:?}");
        }
    }
}

//! `[phones.NAME]`: what is read, and what is said of faults, without a secret in it.

use std::path::Path;

use ringfence_control::config::{Config, load};
use ringfence_control::vault::{Kept, Vault};
use ringfence_session::registrar::group::Digests;

const BASE: &str = r#"
[listen.outside]
udp = "203.0.113.10:5060"
media = "203.0.113.10:30000-30999"
[tenant.summit]
country = "US"
[site.summit]
tenant = "summit"
numbers = ["+13305550100-+13305550149"]
emergency = ["911"]
[phones.remote]
site = "summit"
listen = "outside"
realm = "summit.example"
users = { file = "phones.csv" }
"#;

/// The configuration, or every diagnostic, a line each.
fn read(text: &str, csv: &str, folder: &Path) -> Result<Config, String> {
    std::fs::write(folder.join("phones.csv"), csv).unwrap();
    let path = folder.join("ringfence.toml");
    std::fs::write(&path, text).unwrap();
    load(&path)
        .map(|loaded| loaded.config)
        .map_err(|error| error.to_string())
}

#[track_caller]
fn check(from: &str, to: &str, csv: &str, expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    assert!(BASE.contains(from));
    let shown = read(&BASE.replacen(from, to, 1), csv, folder.path()).unwrap_err();
    assert!(shown.contains(expected), "{shown}");
    assert!(
        !shown.contains("hunter2"),
        "a secret is never shown: {shown}"
    );
}

#[test]
fn users_are_read_with_their_numbers_and_without_their_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let csv = "username,secret,number\nalice,hunter2,+13305550107\n\n# away\nbob,swordfish\n";
    let config = read(BASE, csv, folder.path()).unwrap();
    let phones = &config.phones[0];
    let names: Vec<&str> = phones.users.iter().map(|user| user.name.as_str()).collect();
    assert_eq!(names, ["alice", "bob"]);
    assert_eq!(phones.users[0].number.as_deref(), Some("+13305550107"));
    let expected = Digests::new("alice", "summit.example", b"hunter2").unwrap();
    let (ours, theirs) = (&phones.users[0].digests.sha256, &expected.sha256);
    assert_eq!(ours.expose_hex(), theirs.expose_hex());
    assert!(!format!("{config:?}").contains("hunter2"));
    let bounds = (phones.bounds.expires_min, phones.bounds.expires_max);
    assert_eq!((bounds.0.as_secs(), bounds.1.as_secs()), (60, 3600));
    assert_eq!(phones.bounds.contacts_max, 10);
}

#[test]
fn the_vaults_secret_counts_and_an_empty_one_in_the_file_is_looked_up_there() {
    let folder = tempfile::tempdir().unwrap();
    let kept = |password: &[u8]| Kept {
        realm: "summit.example".to_owned(),
        number: None,
        digests: Digests::new("alice", "summit.example", password).unwrap(),
    };
    let mut vault = Vault::default();
    vault.insert("remote", "alice", kept(b"from-the-vault"));
    vault.save(&folder.path().join("ringfence-data")).unwrap();
    for csv in ["alice,hunter2,+13305550107\n", "alice,,+13305550107\n"] {
        let config = read(BASE, csv, folder.path()).unwrap();
        let user = &config.phones[0].users[0];
        let expected = kept(b"from-the-vault").digests;
        assert_eq!(user.digests.md5.expose_hex(), expected.md5.expose_hex());
        assert_eq!(user.number.as_deref(), Some("+13305550107"));
    }
    let other = BASE.replacen("summit.example", "other.example", 1);
    let shown = read(&other, "bob,swordfish\n", folder.path()).unwrap_err();
    assert!(shown.contains("is not the realm"), "{shown}");
}

#[test]
fn faults_name_line_key_and_fix() {
    let good = "alice,hunter2\n";
    check(
        "users = ",
        "mode = \"pass-through\"\nusers = ",
        good,
        "phones.remote.mode: is \"pass-through\", and the site has no phone system to register at",
    );
    check(
        "realm = \"summit.example\"",
        "",
        good,
        "phones.remote.realm: is missing",
    );
    check(
        "summit.example",
        "Summit Example",
        good,
        "is no domain in lower case",
    );
    check(
        "users = ",
        "expires_min = \"2h\"\nusers = ",
        good,
        "phones.remote.expires_min: is longer than expires_max",
    );
    check(
        "users = ",
        "contacts_max = 1000\nusers = ",
        good,
        "out of range",
    );
    check(
        "users = ",
        "ring_each = \"10m\"\nusers = ",
        good,
        "phones.remote.ring_each: ",
    );
    check("phones.csv\" }", "none.csv\" }", good, "cannot be read");
    check(
        "media = \"203.0.113.10:30000-30999\"\n",
        "",
        good,
        "has no ports for media",
    );
    check("", "", "alice\n", "phones.csv:1: has no secret");
    check("", "", "alice,\n", "the secret is empty");
    check(
        "",
        "",
        "alice,hunter2\nalice,hunter2\n",
        "phones.csv:2: the user is there already",
    );
    check("", "", "al ice,hunter2\n", "the name is not");
    check("", "", "alice,hunter2,0107\n", "not in international form");
    check(
        "",
        "",
        "alice,hunter2,+14405550107\n",
        "is not one of the site's",
    );
    check(
        "",
        "",
        "a,hunter2,+13305550107\nb,hunter2,+13305550107\n",
        "is another user's",
    );
    let second = "\n[phones.more]\nsite = \"summit\"\nlisten = \"outside\"\nrealm = \"summit.example\"\nusers = { file = \"phones.csv\" }\n";
    let text = format!("{BASE}{second}");
    let folder = tempfile::tempdir().unwrap();
    let shown = read(&text, good, folder.path()).unwrap_err();
    assert!(
        shown.contains("phones.more.realm: is the realm of phones.remote"),
        "{shown}"
    );
}

#[test]
fn phones_take_the_place_of_a_phone_system() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("phones.csv"), "alice,hunter2\n").unwrap();
    let path = folder.path().join("ringfence.toml");
    std::fs::write(&path, BASE).unwrap();
    let warnings = load(&path).unwrap().warnings;
    let shown: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert!(
        shown.iter().any(|line| line.contains("has no trunk")),
        "{shown:?}"
    );
    assert!(
        !shown.iter().any(|line| line.contains("has no pbx")),
        "{shown:?}"
    );
}

#[test]
fn what_phones_may_watch_and_write_is_read() {
    use ringfence_session::events::package::Package;
    let folder = tempfile::tempdir().unwrap();
    let config = read(BASE, "alice,hunter2\n", folder.path()).unwrap();
    let methods = &config.phones[0].methods;
    assert_eq!(
        (&methods.events[..], methods.messages),
        (&Package::ALL[..], false)
    );
    let more = "realm = \"summit.example\"\nmessages = true\nevents = [\"presence\", \"dialog\"]";
    let text = BASE.replace("realm = \"summit.example\"", more);
    let config = read(&text, "alice,hunter2\n", folder.path()).unwrap();
    let methods = &config.phones[0].methods;
    assert_eq!(methods.events, [Package::Dialog, Package::Presence]);
    assert!(methods.messages && methods.watches);
    let wrong = "events = [\"lamps\"]\nrealm = \"summit.example\"";
    let expected = "phones.remote.events[0]: \"lamps\"";
    check("realm = \"summit.example\"", wrong, "", expected);
}

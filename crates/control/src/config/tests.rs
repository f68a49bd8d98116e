//! The reader as a whole: the documented configuration, and what a bad one shows.

use std::path::{Path, PathBuf};

use insta::assert_snapshot;

use super::*;

/// The configuration of the README, in a folder with its certificate and key.
pub(crate) const DOCUMENTED: &str = include_str!("../../tests/ringfence.toml");

/// A folder with `edge.pem`, `edge.key` (a pair), `other.key` and `ca.pem`.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let pair = rcgen::generate_simple_self_signed(["edge.example".to_owned()]).unwrap();
    let other = rcgen::KeyPair::generate().unwrap();
    write_private(&folder.path().join("edge.pem"), &pair.cert.pem());
    write_private(&folder.path().join("ca.pem"), &pair.cert.pem());
    write_private(
        &folder.path().join("edge.key"),
        &pair.signing_key.serialize_pem(),
    );
    write_private(&folder.path().join("other.key"), &other.serialize_pem());
    folder
}

fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Reads `text` as `ringfence.toml` of a folder with certificates.
pub(crate) fn read_text(text: &str) -> (Result<Loaded, ConfigError>, PathBuf) {
    let folder = folder();
    let path = folder.path().join("ringfence.toml");
    std::fs::write(&path, text).unwrap();
    (load(&path), folder.path().to_owned())
}

/// Every diagnostic of `text`, a line each, with the folder's name taken out.
fn shown(text: &str) -> String {
    let (result, folder) = read_text(text);
    let diagnostics = match result {
        Ok(loaded) => loaded.warnings,
        Err(error) => error.diagnostics,
    };
    let lines: Vec<String> = diagnostics.iter().map(Diagnostic::to_string).collect();
    lines
        .join("\n")
        .replace(&format!("{}/", folder.display()), "")
}

/// The documented configuration with one line replaced gives `expected` among its diagnostics.
#[track_caller]
pub(crate) fn check(from: &str, to: &str, expected: &str) {
    assert!(
        DOCUMENTED.contains(from),
        "the documented configuration has no {from:?}"
    );
    let shown = shown(&DOCUMENTED.replacen(from, to, 1));
    assert!(shown.lines().any(|line| line.contains(expected)), "{shown}");
}

#[test]
fn tones_in_the_sound_need_g711() {
    check(
        "[pbx.main]",
        "[pbx.main]\ncodecs = [\"G722\"]\ndtmf = \"in-band\"",
        "needs G.711",
    );
}

#[test]
fn the_documented_configuration_loads_without_a_warning() {
    let (result, folder) = read_text(DOCUMENTED);
    let loaded = result.unwrap();
    assert_eq!(loaded.warnings, []);
    let config = loaded.config;
    assert_eq!(config.edge.name, "summit-edge");
    assert_eq!(config.edge.data, folder.join("./ringfence-data"));
    assert_eq!(
        config.edge.control,
        folder.join("./ringfence-data/control.sock")
    );
    let names: Vec<&str> = config
        .listeners
        .iter()
        .map(|listen| listen.name.as_str())
        .collect();
    assert_eq!(names, ["outside", "inside"], "in the file's order");
    assert_eq!(config.peers[0].key(), "trunk.carrier-a");
    assert_eq!(
        config.peers[0].uri.to_string(),
        "sip:198.51.100.20:5061;transport=tls"
    );
    assert_eq!(
        config.sites[0].numbers[0].to_string(),
        "+13305550100-+13305550149"
    );
    assert_eq!(config.sites[0].numbers[0].count(), 50);
    assert_eq!(config.listeners[0].media.unwrap().pairs().count(), 500);
}

#[test]
fn a_terrible_configuration_shows_everything_at_once() {
    assert_snapshot!(shown(include_str!("../../tests/terrible.toml")));
}

#[test]
fn broken_syntax_is_shown_with_faulty_values_but_not_with_what_it_hides() {
    assert_snapshot!(shown(
        "[edge]\nname = summit\nname = \"twice\"\n[edge]\n[listen.outside\nudp = \"nowhere\"\n"
    ));
}

#[test]
fn an_empty_file_asks_for_a_listener() {
    assert_snapshot!(shown(""));
}

#[test]
fn a_file_that_is_not_there_or_not_text_says_so() {
    let error = load(Path::new("/nowhere/ringfence.toml"))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("/nowhere/ringfence.toml: cannot be read: No such file"),
        "{error}"
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringfence.toml");
    std::fs::write(&path, b"[edge]\nname = \"\xff\"\n").unwrap();
    assert!(
        load(&path)
            .unwrap_err()
            .to_string()
            .contains("is not UTF-8 in line 2")
    );
}

#[test]
fn sockets_do_not_collide() {
    check(
        "tls = \"203.0.113.10:5061\"",
        "tls = \"203.0.113.10:5060\"",
        "listen.outside.tls: 203.0.113.10:5060 is taken by listen.outside.tcp",
    );
    check(
        "metrics = \"127.0.0.1:9464\"",
        "metrics = \"203.0.113.10:5061\"",
        "is taken by edge.metrics",
    );
    check(
        "media = \"192.0.2.2:31000-31999\"",
        "media = \"203.0.113.10:30500-31999\"",
        "shares ports with listen.outside.media",
    );
    check(
        "media = \"192.0.2.2:31000-31999\"",
        "media = \"192.0.2.2:5000-5999\"",
        "holds the port of listen.inside.udp",
    );
}

#[test]
fn a_key_must_fit_its_certificate() {
    check(
        "key = \"edge.key\"",
        "key = \"other.key\"",
        "listen.outside.key: does not fit the certificate",
    );
    check(
        "key = \"edge.key\"",
        "key = \"edge.pem\"",
        "listen.outside.key: holds no private key",
    );
    check(
        "key = \"edge.key\"",
        "key = \"gone.key\"",
        "gone.key\" cannot be read: No such file",
    );
    check(
        "certificate = \"edge.pem\"",
        "certificate = \"edge.key\"",
        "edge.key\" holds no certificate",
    );
    check(
        "key = \"edge.key\"\n",
        "",
        "listen.outside.key: is missing; tls needs it",
    );
    check(
        "certificate = \"edge.pem\"\n",
        "",
        "listen.outside.certificate: is missing; tls needs it",
    );
}

#[test]
fn a_secret_in_the_file_is_refused_and_never_shown() {
    let text = DOCUMENTED.replace(
        "key = \"edge.key\"",
        "key = \"\"\"-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\"\"\"",
    );
    let shown = shown(&text);
    assert!(shown.contains("holds the secret itself"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_secret_may_be_in_a_file_or_in_the_environment() {
    let (result, folder) =
        read_text(&DOCUMENTED.replace("\"edge.key\"", "{ file = \"edge.key\" }"));
    let key = result.unwrap().config.listeners[0].key.clone();
    assert_eq!(key, Some(SecretSource::File(folder.join("edge.key"))));
    let unset = "RINGFENCE_TEST_VARIABLE_THAT_IS_NOT_SET";
    check(
        "\"edge.key\"",
        &format!("{{ env = \"{unset}\" }}"),
        "which is not set; set it, or name a file",
    );
    check(
        "\"edge.key\"",
        "{ env = \"A\", file = \"edge.key\" }",
        "needs either a file or an env",
    );
    check("\"edge.key\"", "{}", "needs either a file or an env");
    check(
        "\"edge.key\"",
        "{ fiel = \"edge.key\" }",
        "listen.outside.key.fiel: is an unknown key; did you mean \"file\"?",
    );
    check(
        "\"edge.key\"",
        "7",
        "listen.outside.key: is a number; write { file",
    );
}

#[test]
fn an_open_key_file_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let key = folder.path().join("edge.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let path = folder.path().join("ringfence.toml");
    std::fs::write(&path, DOCUMENTED).unwrap();
    let warnings = load(&path).unwrap().warnings;
    assert!(
        warnings[0]
            .message
            .contains("every user of this host can read"),
        "{warnings:?}"
    );
}

#[test]
fn peers_fit_their_listeners() {
    check(
        "listen = \"outside\"",
        "listen = \"inside\"",
        "is reached over tls, which [listen.inside] does not have",
    );
    check(
        "listen = \"outside\"",
        "listen = \"outsid\"",
        "did you mean \"outside\"?",
    );
    check(
        "site = \"summit\"",
        "site = \"everest\"",
        "trunk.carrier-a.site: \"everest\" names no [site.…] table; the site tables are \"summit\"",
    );
    check(
        "sip:192.0.2.10:5060",
        "sip:[2001:db8::10]:5060",
        "is an IPv6 address, and [listen.inside] has IPv4",
    );
    check(
        "sip:192.0.2.10:5060",
        "sip:192.0.2.2",
        "pbx.main.peer: is this edge itself ([listen.inside])",
    );
    check(
        "media = \"192.0.2.2:31000-31999\"\n",
        "",
        "pbx.main.listen: is \"inside\", which has no ports for media",
    );
    check(
        "media = \"srtp\"",
        "media = \"srtp\"\ntls_names = [\"a.example\"]",
        "asks for client certificates, which [listen.outside] does not take",
    );
}

#[test]
fn questionable_settings_are_warnings() {
    check(
        "media = \"rtp\"",
        "media = \"srtp\"",
        "warning: pbx.main.media: sends SRTP keys over UDP",
    );
    check(
        "198.51.100.0/24",
        "0.0.0.0/0",
        "lets a good part of the Internet in",
    );
    check(
        "accept = [\"192.0.2.10\"]",
        "ca = \"ca.pem\"",
        "warning: pbx.main.ca: has no use",
    );
    check(
        "emergency = [\"911\", \"933\"]",
        "",
        "site.summit.emergency: is missing, so no call passes the limits; write emergency = [\"911\", \"933\"]",
    );
    check(
        "numbers = [\"+13305550100-+13305550149\"]",
        "",
        "site.summit.numbers: has no number",
    );
    check(
        "31000-31999",
        "31000-32000",
        "ends with the even port 32000, which stays unused; write \"192.0.2.2:31000-31999\"",
    );
    check(
        ";transport=tls",
        "",
        "uses port 5061, which is for TLS, over udp",
    );
    check(
        "[pbx.main]",
        "[pbx.spare]\nsite = \"summit\"\nlisten = \"inside\"\npeer = \"sip:192.0.2.10\"\n[pbx.main]",
        "shares source addresses with pbx.spare",
    );
}

#[test]
fn a_number_has_one_owner() {
    let second = "[site.branch]\ntenant = \"summit\"\nnumbers = [\"+13305550149\"]\nemergency = []\n[trunk.carrier-a]";
    check(
        "[trunk.carrier-a]",
        second,
        "site.branch.numbers: +13305550149 overlaps +13305550100-+13305550149 of site.summit (line 24)",
    );
}

#[test]
fn extension_keys_are_understood() {
    let text = DOCUMENTED
        .replace("[listen.outside]", "workers = 4\nlog = \"warn,ringfence_edge=debug\"\nlog_format = \"json\"\ndrain_timeout = \"2m\"\ntrace_memory = \"1MiB\"\ncontrol = \"/run/ringfence.sock\"\n[limits]\nring_timeout = \"90s\"\nsilence_timeout = \"0s\"\ncall_duration_max = \"1h30m\"\ncalls_max = 500\n[listen.outside]\nstrangers = \"forbid\"\ntls12 = true\nclient_ca = \"ca.pem\"")
        .replace("media = \"srtp\"", "media = \"srtp\"\ncrypto = [\"AES_CM_128_HMAC_SHA1_80\"]\nca = \"ca.pem\"\ntls_names = [\"SIP.carrier.example\"]\ntls_server_name = \"sip.carrier.example\"\ntls12 = true\ncertificate = \"edge.pem\"\nkey = \"edge.key\"\nsymmetric_media = true\npass_headers = [\"X-Department\"]\noptions_interval = \"30s\"\npriority = 2\nweight = 3\nfailover_after = \"2s\"\nfailover_on = [503]\nquarantine_after = 2");
    let loaded = read_text(&text).0.unwrap();
    assert_eq!(loaded.warnings, []);
    let config = loaded.config;
    assert_eq!(config.edge.workers, Some(4));
    assert_eq!(config.edge.log_format, LogFormat::Json);
    assert_eq!(config.edge.control, Path::new("/run/ringfence.sock"));
    assert_eq!(spoken(config.limits.call_duration_max), "1h30m");
    assert!(config.limits.silence_timeout.is_zero());
    assert_eq!(
        (config.limits.calls_max, config.limits.trace_bytes),
        (500, 1 << 20)
    );
    let trunk = &config.peers[0];
    assert_eq!(trunk.crypto.len(), 1);
    assert_eq!(trunk.tls.names, ["sip.carrier.example"]);
    assert_eq!(trunk.pass_headers, ["x-department"]);
    assert!(trunk.symmetric_media && trunk.tls.tls12 && config.listeners[0].tls12);
}

#[test]
fn a_carrier_has_nothing_to_watch() {
    let (from, to) = (
        "media = \"srtp\"",
        "media = \"srtp\"\nevents = [\"dialog\"]",
    );
    check(
        from,
        to,
        "trunk.carrier-a.events: is of a carrier, which nobody watches",
    );
}

#[test]
fn zero_means_no_limit() {
    let text = DOCUMENTED.replace("channels = 8", "channels = 0");
    let config = read_text(&text.replace("calls_per_second = 5", "calls_per_second = 0"))
        .0
        .unwrap()
        .config;
    assert_eq!(
        (config.sites[0].channels, config.peers[0].calls_per_second),
        (0, 0)
    );
}

proptest::proptest! {
    /// Whatever stands in the file: an answer with a place in the file, and no panic.
    #[test]
    fn no_file_panics(text: String, at in 0usize..1200, cut in 0usize..40) {
        let mangled: String = DOCUMENTED
            .char_indices()
            .filter(|(index, _)| !(at..at + cut).contains(index))
            .map(|(_, c)| c)
            .collect();
        for text in [text, mangled] {
            if let Err(error) = parse(&text, Path::new("ringfence.toml")) {
                let lines = text.lines().count() as u32 + 1;
                assert!(error.diagnostics.iter().all(|d| (1..=lines).contains(&d.line)));
            }
        }
    }
}

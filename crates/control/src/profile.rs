//! Ready profiles of carriers and phone systems: what they want, as data.
//!
//! A profile is a TOML file of this crate (`profiles/NAME.toml`). Its `[defaults]` are keys of
//! `[trunk.NAME]` or `[pbx.NAME]`, which the same keys in the configuration override one by one;
//! its `[demands]` are what `ringfence check` holds the result against.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use toml::de::DeTable;

/// A profile.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Profile {
    /// Its name: `profile = "NAME"`.
    pub name: &'static str,
    /// What of it people read.
    #[serde(flatten)]
    pub file: ProfileFile,
    /// The file itself.
    #[serde(skip)]
    pub text: &'static str,
}

/// A profile's file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileFile {
    /// The product or service.
    pub title: String,
    /// What it is.
    pub kind: ProfileKind,
    /// What a person should know, a sentence or two each.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Keys of the peer's table and their values.
    #[serde(default)]
    pub defaults: toml::Table,
    /// What must hold.
    #[serde(default)]
    pub demands: Demands,
}

/// Which table a profile is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProfileKind {
    /// `[pbx.NAME]`.
    Pbx,
    /// `[trunk.NAME]`.
    Trunk,
}

impl ProfileKind {
    /// `pbx` or `trunk`.
    pub const fn as_str(self) -> &'static str {
        match self {
            ProfileKind::Pbx => "pbx",
            ProfileKind::Trunk => "trunk",
        }
    }
}

/// What a peer of a profile demands. An empty list or `false` demands nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Demands {
    /// Domains of which its name is one, or below one.
    pub hosts: Vec<String>,
    /// Transports that it takes.
    pub transports: Vec<String>,
    /// What media it takes: `rtp`, `srtp`, never `either` unless listed.
    pub media: Vec<String>,
    /// SRTP belongs to TLS, and plain RTP to UDP or TCP.
    pub srtp_over_tls_only: bool,
    /// SRTP suites that it has; one must be among ours.
    pub suites: Vec<String>,
    /// Codecs that it has; one must be among ours.
    pub codecs: Vec<String>,
    /// Forms of numbers that it takes.
    pub numbers_out: Vec<String>,
    /// Our name, not our address, in what we send to it.
    pub contact_host: bool,
    /// We show it a certificate.
    pub client_certificate: bool,
    /// It shows us one, of which the name is checked.
    pub peer_certificate: bool,
    /// The listener's certificate is for our name.
    pub certificate_for_contact_host: bool,
    /// A wildcard certificate is refused.
    pub wildcard_refused: bool,
    /// It wants OPTIONS from us.
    pub options: bool,
    /// It must be within the trust domain.
    pub trust: bool,
    /// We register.
    pub register: bool,
    /// Most new calls a second that it takes; 0 is not known.
    pub calls_per_second_max: u32,
}

impl Profile {
    /// The keys that it sets.
    pub(crate) fn defaults(&self) -> Option<&'static DeTable<'static>> {
        let place = FILES.iter().position(|(name, _)| *name == self.name)?;
        DEFAULTS.get(place)?.as_ref()
    }
}

/// All profiles, in order of name.
pub fn all() -> &'static [Profile] {
    &ALL
}

/// The profile `name`.
pub fn find(name: &str) -> Option<&'static Profile> {
    all().iter().find(|profile| profile.name == name)
}

const FILES: [(&str, &str); 13] = [
    ("3cx", include_str!("../profiles/3cx.toml")),
    ("bandwidth", include_str!("../profiles/bandwidth.toml")),
    ("cucm", include_str!("../profiles/cucm.toml")),
    ("freepbx", include_str!("../profiles/freepbx.toml")),
    ("freeswitch", include_str!("../profiles/freeswitch.toml")),
    ("google", include_str!("../profiles/google.toml")),
    ("maxcs", include_str!("../profiles/maxcs.toml")),
    ("sipconnect", include_str!("../profiles/sipconnect.toml")),
    (
        "sipconnect-registered",
        include_str!("../profiles/sipconnect-registered.toml"),
    ),
    ("teams", include_str!("../profiles/teams.toml")),
    ("telnyx", include_str!("../profiles/telnyx.toml")),
    ("twilio", include_str!("../profiles/twilio.toml")),
    ("vonage", include_str!("../profiles/vonage.toml")),
];

/// Every file of [`FILES`] that reads, which is all of them (see the tests).
static ALL: LazyLock<Vec<Profile>> = LazyLock::new(|| {
    let read = |&(name, text): &(&'static str, &'static str)| {
        let file = toml::from_str(text).ok()?;
        Some(Profile { name, file, text })
    };
    FILES.iter().filter_map(read).collect()
});

/// The `[defaults]` of each file as the configuration's reader wants it.
static DEFAULTS: LazyLock<Vec<Option<DeTable<'static>>>> = LazyLock::new(|| {
    let read = |&(_, text): &(&'static str, &'static str)| {
        let root = DeTable::parse(text).ok()?.into_inner();
        root.get("defaults")?.get_ref().as_table().cloned()
    };
    FILES.iter().map(read).collect()
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::read_text;

    #[test]
    fn every_file_reads() {
        for (name, text) in FILES {
            let file: ProfileFile =
                toml::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(!file.title.is_empty() && !file.notes.is_empty(), "{name}");
        }
        assert_eq!(all().len(), FILES.len());
        assert!(all().is_sorted_by(|a, b| a.name < b.name));
    }

    /// A site with a peer of `profile` and nothing else said, but for `more`.
    fn site(profile: &Profile, more: &str) -> String {
        let kind = profile.file.kind.as_str();
        format!(
            "[listen.edge]\nudp = \"192.0.2.2:5060\"\ntls = \"192.0.2.2:5061\"\n\
             certificate = \"edge.pem\"\nkey = \"edge.key\"\nmedia = \"192.0.2.2:30000-30999\"\n\
             client_ca = \"ca.pem\"\n[tenant.a]\ncountry = \"US\"\n[site.a]\ntenant = \"a\"\n\
             numbers = [\"+13305550100\"]\nemergency = [\"911\"]\n[{kind}.x]\nsite = \"a\"\n\
             listen = \"edge\"\nprofile = \"{}\"\n{more}\n",
            profile.name
        )
    }

    fn faults(text: &str) -> Vec<String> {
        let found = match read_text(text).0 {
            Ok(loaded) => loaded.warnings,
            Err(error) => error.diagnostics,
        };
        found
            .iter()
            .map(|fault| format!("{}: {}", fault.key, fault.message))
            .collect()
    }

    #[test]
    fn every_default_is_a_key_and_a_value_of_the_configuration() {
        for profile in all() {
            for (key, value) in &profile.file.defaults {
                let other = match profile.file.kind {
                    ProfileKind::Pbx => "pbx",
                    ProfileKind::Trunk => "trunk",
                };
                let text = format!("[{other}.x]\n{key} = {value}\n");
                let mine = format!("{other}.x.{key}");
                let found = faults(&text);
                let faulty = found
                    .iter()
                    .find(|fault| fault.starts_with(&mine) && !fault.contains("has no use"));
                assert_eq!(faulty, None, "{} {key}", profile.name);
            }
            assert!(profile.defaults().is_some(), "{}", profile.name);
        }
    }

    #[test]
    fn a_key_of_the_configuration_overrides_the_profiles() {
        let telnyx = find("telnyx").unwrap();
        let peer = "peer = \"sip:sip.telnyx.com\"\n";
        let config = |more: &str| {
            read_text(&site(telnyx, &format!("{peer}{more}")))
                .0
                .unwrap()
                .config
                .peers
                .remove(0)
        };
        let usual = config("");
        assert_eq!(usual.calls_per_second, 50);
        assert_eq!(usual.failover.codes, [408, 480, 503, 504]);
        assert_eq!(usual.options_interval.as_secs(), 30);
        let mine = config("calls_per_second = 7\n");
        assert_eq!(
            (mine.calls_per_second, mine.options_interval.as_secs()),
            (7, 30)
        );
    }

    #[track_caller]
    fn demands(profile: &str, more: &str, expected: &[&str]) {
        let text = site(find(profile).unwrap(), more);
        let kind = find(profile).unwrap().file.kind.as_str();
        let mine = format!("{kind}.x");
        let found: Vec<String> = faults(&text)
            .into_iter()
            .filter(|fault| fault.starts_with(&mine))
            .collect();
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found} is not {expected}");
        }
    }

    #[test]
    fn teams_wants_names_certificates_tls_and_options() {
        demands(
            "teams",
            "peer = \"sip:192.0.2.9\"\noptions_interval = \"0s\"\nmedia = \"rtp\"",
            &[
                "x.contact_host: is missing",
                "x.certificate: is missing",
                "x.tls_names: is missing",
                "x.peer: is reached over udp",
                "x.peer: is no name below",
                "x.options_interval: is none",
                "x.media: is rtp",
            ],
        );
    }

    const TEAMS: &str = "peer = \"sip:sip.pstnhub.microsoft.com:5061;transport=tls\"\n\
        certificate = \"edge.pem\"\nkey = \"edge.key\"\ntls_names = [\"sip.pstnhub.microsoft.com\"]\n";

    #[test]
    fn teams_wants_a_certificate_for_our_name() {
        demands(
            "teams",
            &format!("{TEAMS}contact_host = \"edge.example\""),
            &[],
        );
        demands(
            "teams",
            &format!("{TEAMS}contact_host = \"sbc.other.example\""),
            &[
                "x.listen: shows a certificate that is not for sbc.other.example",
                "x.certificate: shows a certificate that is not for",
            ],
        );
    }

    #[test]
    fn google_refuses_a_wildcard_that_teams_takes() {
        let folder = tempfile::tempdir().unwrap();
        let pair = rcgen::generate_simple_self_signed(["*.summit.example".to_owned()]).unwrap();
        let (pem, key) = (folder.path().join("w.pem"), folder.path().join("w.key"));
        std::fs::write(&pem, pair.cert.pem()).unwrap();
        std::fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
        for (profile, expected) in [("google", true), ("teams", false)] {
            let more = "peer = \"sip:siplink.telephony.goog:5672;transport=tls\"\n\
                        contact_host = \"sbc.summit.example\"";
            let text = site(find(profile).unwrap(), more)
                .replace("\"edge.pem\"", &format!("{pem:?}"))
                .replace("\"edge.key\"", &format!("{key:?}"));
            let found = faults(&text);
            let refused = found
                .iter()
                .any(|fault| fault.contains("by a wildcard only"));
            assert_eq!(refused, expected, "{found:#?}");
        }
    }

    #[test]
    fn sipconnect_registered_wants_an_account() {
        let peer = "peer = \"sip:carrier.example\"";
        demands("sipconnect-registered", peer, &["x.register: is missing"]);
        demands("sipconnect", peer, &[]);
    }

    #[test]
    fn twilio_wants_srtp_over_tls_without_other_suites() {
        let peer = "peer = \"sip:summit.pstn.twilio.com;transport=tls\"\n";
        demands("twilio", peer, &[]);
        demands(
            "twilio",
            &format!("{peer}media = \"rtp\""),
            &["x.media: is plain RTP over TLS"],
        );
        demands(
            "twilio",
            &format!("{peer}crypto = [\"AEAD_AES_256_GCM\"]\ncalls_per_second = 9"),
            &["x.crypto: holds no suite", "x.calls_per_second: is 9"],
        );
    }
}

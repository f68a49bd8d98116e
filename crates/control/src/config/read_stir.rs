//! `[trunk.NAME.stir]`: calls to a carrier are signed, and its calls verified (RFC 8224, RFC 8588).

use std::sync::Arc;

use ringfence_session::plan::PeerKind;
use ringfence_session::signing::Signing;
use ringfence_session::verification::{Verification, VerstatForm};
use ringfence_stir::{Attestation, Guard, Signer};

use super::SecretError;
use super::files;
use super::table::Section;
use super::values::Fault;

/// The words of `attest`.
const ATTEST: [(&str, Option<Attestation>); 3] = [
    ("B", Some(Attestation::B)),
    ("C", Some(Attestation::C)),
    ("none", None),
];

/// The word of the configuration for `others`.
pub(crate) fn attest_word(others: Option<Attestation>) -> &'static str {
    let found = ATTEST.iter().find(|(_, meant)| *meant == others);
    found.map_or("A", |(word, _)| *word)
}

/// The words of `verify`.
pub(crate) const VERIFY: [(&str, Verification); 3] = [
    ("off", Verification::Off),
    ("note", Verification::Note),
    ("refuse", Verification::Refuse),
];

/// The words of `verstat`.
pub(crate) const VERSTAT: [(&str, VerstatForm); 3] = [
    ("off", VerstatForm::Off),
    ("uri", VerstatForm::Uri),
    ("user", VerstatForm::User),
];

/// The keys of which each needs the others.
const SIGNING: [&str; 4] = ["key", "certificate_url", "origid", "attest"];

/// Reads the table `stir` of a peer.
pub(super) fn stir(
    section: &mut Section<'_, '_, '_>,
    kind: PeerKind,
) -> (Option<Arc<Signing>>, Verification) {
    let nothing = (None, Verification::Off);
    let Some(table) = section.table("stir") else {
        return nothing;
    };
    let path = section.key("stir");
    if kind != PeerKind::Trunk {
        let fix = "write it under the trunk that the calls leave or come by";
        section.report().error(&path, "is for trunks", fix);
        return nothing;
    }
    let mut inner = Section::new(section.report(), &path, table);
    let verification = inner.one_of("verify", &VERIFY).unwrap_or_default();
    // A trunk may be one whose calls are verified only.
    let signs = !inner.has("verify") || SIGNING.iter().any(|key| inner.has(key));
    let signing = read(&mut inner, signs);
    inner.finish();
    (signing.map(Arc::new), verification)
}

/// Reads how a phone system is told.
pub(super) fn verstat(section: &mut Section<'_, '_, '_>, kind: PeerKind) -> VerstatForm {
    let form = section.one_of("verstat", &VERSTAT);
    if kind == PeerKind::Trunk && section.has("verstat") {
        let key = section.key("verstat");
        let fix = "write it under the PBX that is to be told";
        section.report().error(&key, "is for phone systems", fix);
    }
    form.unwrap_or_default()
}

fn read(section: &mut Section<'_, '_, '_>, signs: bool) -> Option<Signing> {
    let source = section.secret("key");
    let url = section.parsed("certificate_url", certificate_url);
    let others = section.one_of("attest", &ATTEST);
    let origid = section.parsed("origid", uuid);
    if !signs {
        return None;
    }
    section.require("key", "write key = \"stir.key\" (PEM, P-256)");
    section.require(
        "certificate_url",
        "write certificate_url = \"https://…/stir.pem\", where the whole world may fetch it",
    );
    section.require("origid", "write origid = \"UUID\" (uuidgen makes one)");
    let (source, url) = (source?, url?);
    let key = section.key("key");
    let secret = match source.read() {
        Ok(secret) => secret,
        Err(SecretError::Unreadable { path, source }) => {
            files::unreadable(section.report(), &key, &path, &source);
            return None;
        }
        Err(SecretError::NotSet { name }) => {
            let message = format!("is in the environment variable {name}, which is not set");
            let fix = "set it, or name a file";
            section.report().error(&key, message, fix);
            return None;
        }
    };
    if let Some(file) = source.file() {
        files::warn_of_open_file(section.report(), &key, file);
    }
    let Ok(signer) = Signer::new(&secret, &url, &Guard::default()) else {
        let fix = "make one: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256";
        let message = "holds no P-256 private key (-----BEGIN PRIVATE KEY-----)";
        section.report().error(&key, message, fix);
        return None;
    };
    Some(Signing {
        signer,
        others: others.unwrap_or(Some(Attestation::B)),
        origid: origid?,
    })
}

fn certificate_url(text: &str) -> Result<String, Fault> {
    match Guard::default().check_url(text) {
        Ok(()) => Ok(text.to_owned()),
        Err(_) => Err(Fault::new(
            "is not an https URL of a public host",
            "write where everybody can fetch it, e.g. \"https://cert.example.com/stir.pem\"",
        )),
    }
}

fn uuid(text: &str) -> Result<String, Fault> {
    let lengths = text.split('-').map(str::len);
    let good =
        lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    match good {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(Fault::new(
            "is no UUID",
            "write 8-4-4-4-12 hexadecimal digits, as uuidgen prints them",
        )),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{DOCUMENTED, check, read_text};

    const AT: &str = "[pbx.";

    #[track_caller]
    fn refused(lines: &str, expected: &str) {
        check(
            AT,
            &format!("[trunk.carrier-a.stir]\n{lines}\n[pbx."),
            expected,
        );
    }

    #[test]
    fn each_faulty_key_says_what_to_write() {
        refused("attest = \"B\"", "trunk.carrier-a.stir.key: is missing");
        refused(
            "certificate_url = \"http://cert.example.com/a.pem\"",
            "is not an https URL of a public host",
        );
        refused(
            "certificate_url = \"https://10.0.0.1/a.pem\"",
            "is not an https URL of a public host",
        );
        refused("origid = \"42\"", "is no UUID");
        refused("attest = \"A\"", "is none of the choices");
        refused("algorithm = \"RS256\"", "stir.algorithm: is an unknown key");
    }

    #[test]
    fn a_key_signs_and_no_other_file_does() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("stir.key");
        let lines = format!(
            "[trunk.carrier-a.stir]\nkey = {file:?}\n\
             certificate_url = \"https://cert.example.com/a.pem\"\n\
             origid = \"123E4567-e89b-12d3-a456-426655440000\"\n[pbx."
        );
        let text = DOCUMENTED.replacen(AT, &lines, 1);
        std::fs::write(&file, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
        let config = read_text(&text).0.unwrap().config;
        let signing = config.peers[0].policy.signing.as_ref().unwrap();
        assert_eq!(signing.origid, "123e4567-e89b-12d3-a456-426655440000");
        assert_eq!(super::attest_word(signing.others), "B");
        std::fs::write(&file, "no key").unwrap();
        assert!(read_text(&text).0.is_err());
    }
}

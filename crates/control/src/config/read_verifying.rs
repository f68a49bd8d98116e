//! `[stir]`: whom the callers of calls are verified by (RFC 8224 §6.2, RFC 8226).

use std::sync::Arc;

use ringfence_base::UnixTime;
use ringfence_stir::{Guard, Trust, TrustRoots};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use toml::de::DeTable;

use super::files;
use super::model::Stir;
use super::report::Report;
use super::table::Section;
use super::values;
use crate::certificate;

/// Reads the table, if it is there.
pub(super) fn read(report: &mut Report<'_>, table: Option<&DeTable<'_>>) -> Option<Stir> {
    let mut section = Section::new(report, "stir", table?);
    let anchors = section.path("anchors");
    section.require(
        "anchors",
        "write anchors = \"sti-ca.pem\" (the authorities of your country's numbers, PEM)",
    );
    let ca = section.path("ca");
    let networks = section.list("fetch_from", values::network);
    let key = section.key("ca");
    if let Some(file) = &ca {
        files::check_authorities(section.report(), &key, file);
    }
    let key = section.key("anchors");
    let roots = anchors.as_ref().and_then(|file| match std::fs::read(file) {
        Ok(pem) => roots(section.report(), &key, &pem),
        Err(error) => {
            files::unreadable(section.report(), &key, file, &error);
            None
        }
    });
    section.finish();
    let fetch_from = networks.unwrap_or_default();
    let parts = fetch_from.iter().map(|block| block.network().parts());
    Some(Stir {
        trust: Arc::new(Trust {
            guard: Guard::with_networks(parts.collect()),
            roots: roots?,
        }),
        anchors: anchors?,
        ca,
        fetch_from,
    })
}

fn roots(report: &mut Report<'_>, key: &str, pem: &[u8]) -> Option<TrustRoots> {
    let roots = match TrustRoots::from_pem(pem) {
        Ok(roots) => roots,
        Err(error) => {
            let fix = "name a PEM file of certificate authorities";
            report.error(key, error.to_string(), fix);
            return None;
        }
    };
    let now = jiff::Timestamp::now().as_microsecond();
    let ended = CertificateDer::pem_slice_iter(pem)
        .filter_map(Result::ok)
        .filter_map(|der| certificate::not_after(&der))
        .filter(|end| *end < UnixTime::from_micros(now))
        .count();
    if ended > 0 {
        let message = format!(
            "has {ended} of {} authorities that have ended",
            roots.count()
        );
        let fix = "fetch the list of authorities anew";
        report.warning(key, message, fix);
    }
    Some(roots)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ringfence_session::verification::{Verification, VerstatForm};

    use crate::config::tests::{DOCUMENTED, check, read_text};

    const AT: &str = "[pbx.main]\n";
    const VERIFY: &str = "[trunk.carrier-a.stir]\nverify = \"refuse\"\n[pbx.main]\n";

    fn authority(file: &Path, ends: i32) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.not_after = rcgen::date_time_ymd(ends, 1, 1);
        std::fs::write(file, params.self_signed(&key).unwrap().pem()).unwrap();
    }

    #[test]
    fn a_trunk_is_verified_by_the_authorities_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("anchors.pem");
        authority(&file, 2999);
        let stir = format!("{VERIFY}verstat = \"user\"\n");
        let text = DOCUMENTED.replacen(AT, &stir, 1);
        let text = format!("{text}\n[stir]\nanchors = {file:?}\nfetch_from = [\"10.1.0.0/16\"]\n");
        let loaded = read_text(&text).0.unwrap();
        assert_eq!(loaded.warnings, []);
        let config = loaded.config;
        assert_eq!(config.peers[0].policy.verification, Verification::Refuse);
        assert_eq!(config.peers[0].policy.signing, None);
        let pbx = config
            .peers
            .iter()
            .find(|peer| peer.name == "main")
            .unwrap();
        assert_eq!(pbx.policy.verstat, VerstatForm::User);
        let trust = config.stir.unwrap().trust;
        assert_eq!(trust.roots.count(), 1);
        assert!(trust.guard.check_url("https://10.1.2.3/a.pem").is_ok());
        assert!(trust.guard.check_url("https://10.2.2.3/a.pem").is_err());
        // It still works, and somebody should look at it.
        authority(&file, 2020);
        let warnings = read_text(&text).0.unwrap().warnings;
        let [warning] = &warnings[..] else {
            panic!("{warnings:?}");
        };
        assert_eq!(warning.message, "has 1 of 1 authorities that have ended");
        std::fs::write(&file, "nothing").unwrap();
        assert!(read_text(&text).0.is_err());
    }

    #[test]
    fn each_faulty_key_says_what_to_write() {
        check(AT, VERIFY, "trunk.carrier-a.stir.verify: needs authorities");
        let stir = |line: &str| format!("[stir]\n{line}\n[pbx.main]\n");
        check(AT, &stir(""), "stir.anchors: is missing");
        check(AT, &stir("anchors = \"/no/such.pem\""), "cannot be read");
        check(
            AT,
            &stir("fetch_from = [\"10.0.0.0/40\"]"),
            "stir.fetch_from",
        );
        let word = VERIFY.replace("refuse", "reject");
        check(AT, &word, "is none of the choices");
        let trunk = "[trunk.carrier-a]\nverstat = \"user\"\n";
        check(
            "[trunk.carrier-a]\n",
            trunk,
            "verstat: is for phone systems",
        );
        let form = "[pbx.main]\nverstat = \"header\"\n";
        check(AT, form, "is none of the choices");
    }
}

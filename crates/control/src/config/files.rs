//! The PEM files that a configuration names: they exist, hold what they should, and the key fits
//! the certificate. Nothing of a key's content ever reaches a message.

use std::path::Path;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::model::SecretSource;
use super::report::Report;

/// Checks `certificate` and `key` of the table `path`, and that one fits the other.
pub(super) fn check_identity(
    report: &mut Report<'_>,
    path: &str,
    certificate: Option<&Path>,
    key: Option<&SecretSource>,
) {
    let certificate_key = format!("{path}.certificate");
    let chain = certificate.and_then(|file| read_chain(report, &certificate_key, file));
    let private = key.and_then(|source| read_key(report, &format!("{path}.key"), source));
    let (Some(chain), Some(private)) = (chain, private) else {
        return;
    };
    match CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider()) {
        Ok(_) => {}
        Err(rustls::Error::InconsistentKeys(_)) => {
            let fix = "name the key that the certificate was made for";
            report.error(&format!("{path}.key"), "does not fit the certificate", fix);
        }
        Err(error) => {
            let message = format!("cannot be used for TLS: {error}");
            report.error(
                &certificate_key,
                message,
                "name a certificate and its private key",
            );
        }
    }
}

/// Checks a file of certificate authorities.
pub(super) fn check_authorities(report: &mut Report<'_>, key: &str, file: &Path) {
    read_chain(report, key, file);
}

fn read_chain(
    report: &mut Report<'_>,
    key: &str,
    file: &Path,
) -> Option<Vec<CertificateDer<'static>>> {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => {
            unreadable(report, key, file, &error);
            return None;
        }
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Some(chain),
        Ok(_) => {
            let message = format!("{} holds no certificate", quoted(file));
            report.error(
                key,
                message,
                "name a PEM file with -----BEGIN CERTIFICATE-----",
            );
            None
        }
        Err(error) => {
            let message = format!("{} is no good PEM: {error}", quoted(file));
            report.error(
                key,
                message,
                "name a PEM file with -----BEGIN CERTIFICATE-----",
            );
            None
        }
    }
}

fn read_key(
    report: &mut Report<'_>,
    key: &str,
    source: &SecretSource,
) -> Option<PrivateKeyDer<'static>> {
    let secret = match source.read() {
        Ok(secret) => secret,
        Err(super::SecretError::Unreadable { path, source }) => {
            unreadable(report, key, &path, &source);
            return None;
        }
        Err(super::SecretError::NotSet { name }) => {
            let message = format!("is in the environment variable {name}, which is not set");
            report.error(key, message, "set it, or name a file");
            return None;
        }
    };
    if let Some(file) = source.file() {
        warn_of_open_file(report, key, file);
    }
    match PrivateKeyDer::from_pem_slice(secret.expose()) {
        Ok(private) => Some(private),
        Err(_) => {
            let fix = "name a PEM file with -----BEGIN PRIVATE KEY-----, without a passphrase";
            report.error(key, "holds no private key", fix);
            None
        }
    }
}

/// A key that every user of the host can read is a key that was given away.
pub(super) fn warn_of_open_file(report: &mut Report<'_>, key: &str, file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(file).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o007 != 0 {
        let fix = format!("run: chmod 600 {}", file.display());
        report.warning(key, "is a file that every user of this host can read", fix);
    }
}

pub(super) fn unreadable(report: &mut Report<'_>, key: &str, file: &Path, error: &std::io::Error) {
    let message = format!("{} cannot be read: {error}", quoted(file));
    report.error(key, message, "name a file that exists and is readable");
}

fn quoted(file: &Path) -> String {
    super::values::quoted(&file.to_string_lossy())
}

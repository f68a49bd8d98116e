//! rustls configurations from certificates, keys and authorities.
//!
//! TLS 1.3, and 1.2 only where it is asked for. One crypto provider (aws-lc-rs), passed in
//! explicitly, so that nothing depends on a process-wide default.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

/// Sessions that a client may resume, per listener: a bound on what handshakes can leave behind.
const RESUMABLE_SESSIONS: usize = 1024;

/// Why TLS cannot be set up. Never holds a part of a key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate and key do not work together, or not with the versions asked for.
    #[error("{what} cannot be used for TLS")]
    Config {
        /// Whose configuration: `listen.outside`, `trunk.carrier-a`.
        what: String,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The key cannot be read or is not a private key in PEM.
    #[error("the key of {what} cannot be read as a private key in PEM")]
    Key {
        /// Whose key.
        what: String,
    },
    /// A PEM file without certificates.
    #[error("{} holds no certificate", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The host has no list of authorities.
    #[error("{what} needs the system's certificate authorities, and this host has none")]
    NoSystemRoots {
        /// Who needs them.
        what: String,
    },
    /// The host of a peer is neither a name nor an address.
    #[error("the host of {what} cannot be the name of a certificate")]
    ServerName {
        /// The peer.
        what: String,
    },
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A verifier cannot be built from the authorities.
    #[error("the authorities of {what} cannot be used")]
    Verifier {
        /// Whose authorities.
        what: String,
        /// Why.
        #[source]
        source: rustls::server::VerifierBuilderError,
    },
}

/// A certificate chain with its private key.
#[derive(Debug)]
pub struct Identity {
    /// The chain, the end entity's certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key (redacted by its own `Debug`).
    pub key: PrivateKeyDer<'static>,
}

impl Identity {
    /// One that nobody else signed, until somebody does.
    pub fn of_our_own(what: &str, domains: &[String]) -> Result<Identity, TlsError> {
        let made = rcgen::generate_simple_self_signed(domains.to_vec());
        let made = made.map_err(|_| TlsError::Key {
            what: what.to_owned(),
        })?;
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der());
        Ok(Identity {
            chain: vec![made.cert.der().clone()],
            key: key.map_err(|_| TlsError::Key {
                what: what.to_owned(),
            })?,
        })
    }

    /// From a PEM file of certificates and the PEM text of a key.
    pub fn read(what: &str, certificate: &Path, key_pem: &[u8]) -> Result<Identity, TlsError> {
        let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|_| TlsError::Key {
            what: what.to_owned(),
        })?;
        Ok(Identity {
            chain: certificates(certificate)?,
            key,
        })
    }
}

/// The certificates of a PEM file; at least one.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = std::fs::read(path).map_err(|source| TlsError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .filter_map(Result::ok)
        .collect();
    if chain.is_empty() {
        return Err(TlsError::NoCertificate {
            path: path.to_owned(),
        });
    }
    Ok(chain)
}

/// The authorities of a PEM file.
pub fn roots_of_file(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates(path)?);
    if added == 0 {
        return Err(TlsError::NoCertificate {
            path: path.to_owned(),
        });
    }
    Ok(roots)
}

/// The authorities of this host.
pub fn roots_of_system(what: &str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(TlsError::NoSystemRoots {
            what: what.to_owned(),
        });
    }
    Ok(roots)
}

/// What a listener speaks. With `client_roots` every client must show a certificate that one of
/// them signed.
pub fn server_config(
    what: &str,
    identity: Identity,
    client_roots: Option<RootCertStore>,
    tls12: bool,
) -> Result<Arc<ServerConfig>, TlsError> {
    let config_error = |source| TlsError::Config {
        what: what.to_owned(),
        source,
    };
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(tls12))
        .map_err(config_error)?;
    let builder = match client_roots {
        Some(roots) => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
                .build()
                .map_err(|source| TlsError::Verifier {
                    what: what.to_owned(),
                    source,
                })?,
        ),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(identity.chain, identity.key)
        .map_err(config_error)?;
    config.session_storage = rustls::server::ServerSessionMemoryCache::new(RESUMABLE_SESSIONS);
    Ok(Arc::new(config))
}

/// What we speak towards a peer: its certificate must be signed by one of `roots` and be for the
/// name that the connection is opened with; `identity` is what we show if it asks.
pub fn client_config(
    what: &str,
    roots: RootCertStore,
    identity: Option<Identity>,
    tls12: bool,
) -> Result<Arc<ClientConfig>, TlsError> {
    let config_error = |source| TlsError::Config {
        what: what.to_owned(),
        source,
    };
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|source| TlsError::Verifier {
            what: what.to_owned(),
            source,
        })?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(tls12))
        .map_err(config_error)?
        .with_webpki_verifier(verifier);
    let config = match identity {
        Some(identity) => builder
            .with_client_auth_cert(identity.chain, identity.key)
            .map_err(config_error)?,
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

/// The names that a verified certificate is for: DNS names, and URIs as SIP certificates have
/// them (RFC 5922 §7.1), in lower case. The subject's common name is not a name.
pub fn certificate_names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = webpki::EndEntityCert::try_from(certificate) else {
        return Vec::new();
    };
    let names = certificate
        .valid_dns_names()
        .chain(certificate.valid_uri_names());
    names.map(str::to_ascii_lowercase).collect()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn versions(tls12: bool) -> &'static [&'static SupportedProtocolVersion] {
    if tls12 { BOTH } else { ONLY_13 }
}

static BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
static ONLY_13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

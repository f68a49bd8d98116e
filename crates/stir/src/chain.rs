//! Certificates of telephone identity: chains to trust roots, and what a leaf may speak for
//! (RFC 8226, RFC 5280 §6 by webpki).
//!
//! Left out: revocation lists, and tokens signed under claim constraints (RFC 8226 §8, RFC 9118):
//! a certificate with those is refused, since it promises what is not checked here.

use std::time::Duration;

use ringfence_base::UnixTime;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, Oid, asn1_rs::oid};
use x509_parser::prelude::FromDer;

use crate::authority::TnAuthList;

/// The authorities whose chains count.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TrustRoots {
    anchors: Vec<TrustAnchor<'static>>,
}

/// A file of roots that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootsError {
    /// Nothing between `-----BEGIN CERTIFICATE-----` and its end, or bad base64 there.
    #[error("holds no certificate in PEM")]
    Empty,
    /// A certificate that cannot be a trust anchor, by its place in the file.
    #[error("its certificate number {0} cannot be a trust root")]
    Certificate(usize),
}

impl TrustRoots {
    /// The roots of a PEM text; all of them must be good.
    ///
    /// # Errors
    /// Each variant of [`RootsError`].
    pub fn from_pem(pem: &[u8]) -> Result<TrustRoots, RootsError> {
        let mut anchors = Vec::new();
        for (index, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
            let certificate = certificate.map_err(|_| RootsError::Empty)?;
            let anchor = webpki::anchor_from_trusted_cert(&certificate)
                .map_err(|_| RootsError::Certificate(index + 1))?;
            anchors.push(anchor.to_owned());
        }
        match anchors.is_empty() {
            true => Err(RootsError::Empty),
            false => Ok(TrustRoots { anchors }),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.anchors.len()
    }
}

impl std::fmt::Debug for TrustRoots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TrustRoots({})", self.anchors.len())
    }
}

/// What is kept of a certificate whose chain holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// An uncompressed P-256 point.
    pub public_key: Vec<u8>,
    /// For whom it speaks.
    pub authority: TnAuthList,
    /// When the first certificate of the chain runs out.
    pub not_after: UnixTime,
}

/// Why a chain does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Too long, neither PEM nor DER, or too many certificates.
    #[error("no certificate")]
    Malformed,
    /// No path to a root that holds now.
    #[error("no path to a trust root")]
    Path,
    /// Not a P-256 key, or one that must not sign.
    #[error("its key may not sign")]
    Key,
    /// No TNAuthList, or one that cannot be read.
    #[error("no TNAuthList")]
    Authority,
    /// Claim constraints.
    #[error("it constrains claims")]
    Constraints,
}

/// Checks what a certificate server sent: PEM with the leaf first, or one certificate in DER.
///
/// # Errors
/// Each variant of [`ChainError`].
pub fn check_chain(
    bytes: &[u8],
    roots: &TrustRoots,
    now: UnixTime,
) -> Result<Certificate, ChainError> {
    if bytes.len() > CHAIN_BYTES_MAX {
        return Err(ChainError::Malformed);
    }
    let chain = certificates(bytes)?;
    let (leaf, others) = chain.split_first().ok_or(ChainError::Malformed)?;
    let since = Duration::from_micros(u64::try_from(now.as_micros()).unwrap_or(0));
    let time = rustls_pki_types::UnixTime::since_unix_epoch(since);
    EndEntityCert::try_from(leaf)
        .and_then(|end| {
            end.verify_for_usage(
                ALGORITHMS,
                &roots.anchors,
                others,
                time,
                AnyUsage,
                None,
                None,
            )
            .map(|_| ())
        })
        .map_err(|_| ChainError::Path)?;
    let mut certificate = read_leaf(leaf)?;
    for other in others {
        let (_, parsed) = X509Certificate::from_der(other).map_err(|_| ChainError::Malformed)?;
        certificate.not_after = certificate.not_after.min(not_after(&parsed));
    }
    Ok(certificate)
}

fn certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, ChainError> {
    // DER of a certificate begins with a SEQUENCE, PEM with text.
    if bytes.first() == Some(&0x30) {
        return Ok(vec![CertificateDer::from(bytes.to_vec())]);
    }
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes)
        .take(CERTIFICATES_MAX + 1)
        .collect();
    let chain = chain.map_err(|_| ChainError::Malformed)?;
    match chain.len() {
        1..=CERTIFICATES_MAX => Ok(chain),
        _ => Err(ChainError::Malformed),
    }
}

fn read_leaf(leaf: &CertificateDer<'_>) -> Result<Certificate, ChainError> {
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| ChainError::Malformed)?;
    let key = parsed.public_key();
    let curve = key.algorithm.parameters.as_ref();
    let curve = curve.and_then(|parameters| parameters.as_oid().ok());
    if key.algorithm.algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY || curve != Some(OID_EC_P256) {
        return Err(ChainError::Key);
    }
    let mut authority = None;
    for extension in parsed.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::KeyUsage(usage) if !usage.digital_signature() => {
                return Err(ChainError::Key);
            }
            _ if CONSTRAINTS.contains(&extension.oid) => return Err(ChainError::Constraints),
            _ if extension.oid == TN_AUTH_LIST => {
                let list = TnAuthList::parse(extension.value).ok_or(ChainError::Authority)?;
                // Two lists would be a choice, and the attacker's.
                if authority.replace(list).is_some() {
                    return Err(ChainError::Authority);
                }
            }
            _ => {}
        }
    }
    Ok(Certificate {
        public_key: key.subject_public_key.data.to_vec(),
        authority: authority.ok_or(ChainError::Authority)?,
        not_after: not_after(&parsed),
    })
}

fn not_after(certificate: &X509Certificate<'_>) -> UnixTime {
    let seconds = certificate.validity().not_after.timestamp();
    UnixTime::from_micros(seconds.saturating_mul(1_000_000))
}

/// Certificates of telephone identity have no extended key usage of their own (RFC 8226 §4).
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

/// What authorities sign with.
static ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    webpki::aws_lc_rs::ECDSA_P256_SHA256,
    webpki::aws_lc_rs::ECDSA_P256_SHA384,
    webpki::aws_lc_rs::ECDSA_P384_SHA256,
    webpki::aws_lc_rs::ECDSA_P384_SHA384,
];

/// `id-pe-TNAuthList` (RFC 8226 §9).
const TN_AUTH_LIST: Oid<'static> = oid!(1.3.6.1.5.5.7.1.26);
/// `id-pe-JWTClaimConstraints` (RFC 8226 §8) and `id-pe-eJWTClaimConstraints` (RFC 9118 §5).
const CONSTRAINTS: [Oid<'static>; 2] = [oid!(1.3.6.1.5.5.7.1.27), oid!(1.3.6.1.5.5.7.1.33)];
/// The most that a certificate server may send, bytes.
pub const CHAIN_BYTES_MAX: usize = 32 * 1024;
/// The most certificates of a chain.
pub const CERTIFICATES_MAX: usize = 6;

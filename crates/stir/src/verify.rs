//! Verifying one Identity header against a public key and what SIP says (RFC 8224 §6.2).
//!
//! Whether the key may speak for the number (its certificate and TNAuthList, RFC 8226) and whether
//! the token was seen before is decided by [`crate::verifier`].

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ringfence_base::UnixTime;

use crate::identity::Identity;
use crate::passport::{Claims, Dest, Header, Orig, signing_input};

/// What the SIP request says, in canonical digits.
#[derive(Clone, PartialEq, Eq)]
pub struct Expected {
    /// Who calls: From or P-Asserted-Identity.
    pub orig: Orig,
    /// Who is called: To first, then whoever else the request is for. One of them must be named.
    pub dests: Vec<Orig>,
    /// The Date header, seconds since 1970; the compact form takes its `iat` from it.
    pub date: Option<u64>,
}

/// Why a header does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Not an Identity header, or not a PASSporT in it.
    #[error("the Identity header is malformed")]
    Malformed,
    /// Another algorithm than ES256.
    #[error("the algorithm is not ES256")]
    Algorithm,
    /// `info` is refused by [`crate::guard::Guard`], or is not the token's `x5u`.
    #[error("the certificate's address is refused")]
    Info,
    /// An extension that we do not know, or that lacks its claims.
    #[error("the extension is unknown or incomplete")]
    Extension,
    /// The signature is not of this key.
    #[error("the signature does not verify")]
    Signature,
    /// Signed too long ago, or in the future.
    #[error("the token is not fresh")]
    Stale,
    /// The token speaks of another caller.
    #[error("the token names another caller")]
    Orig,
    /// The token speaks of another called party.
    #[error("the token names another called party")]
    Dest,
    /// There is no Identity header that we understand.
    #[error("there is no Identity header")]
    Absent,
    /// The certificate cannot be had.
    #[error("the certificate cannot be had")]
    Unavailable,
    /// The certificate did not come in time.
    #[error("the certificate did not come in time")]
    TimedOut,
    /// The certificate is not one that a trust root answers for now.
    #[error("the certificate is not trusted")]
    Certificate,
    /// The certificate may not speak for the calling number (RFC 8226 §9).
    #[error("the certificate is not for the calling number")]
    Authority,
    /// The token was used for another call.
    #[error("the token was used before")]
    Replayed,
}

impl VerifyError {
    /// The SIP response that RFC 8224 §6.2.2 gives, where policy refuses the call for it.
    pub fn status(self) -> u16 {
        match self {
            VerifyError::Stale => 403,
            VerifyError::Absent => 428,
            VerifyError::Info | VerifyError::Unavailable | VerifyError::TimedOut => 436,
            VerifyError::Certificate | VerifyError::Authority => 437,
            VerifyError::Malformed
            | VerifyError::Algorithm
            | VerifyError::Extension
            | VerifyError::Signature
            | VerifyError::Orig
            | VerifyError::Replayed
            | VerifyError::Dest => 438,
        }
    }

    /// Whether nothing is known, as opposed to known to be wrong: a caller cannot help that a
    /// certificate server is down.
    pub const fn is_unknown(self) -> bool {
        matches!(
            self,
            VerifyError::Absent
                | VerifyError::Extension
                | VerifyError::Unavailable
                | VerifyError::TimedOut
        )
    }
}

/// Verifies signature, freshness and identities. `public_key` is an uncompressed P-256 point, and
/// `now` the wall clock. Whether `info` may be fetched from is the caller's to ask first.
///
/// # Errors
/// Each variant of [`VerifyError`] up to [`VerifyError::Dest`]; claims are only judged once the
/// signature holds.
pub fn verify(
    identity: &Identity<'_>,
    public_key: &[u8],
    expected: &Expected,
    now: UnixTime,
) -> Result<Claims, VerifyError> {
    let claims = verify_signed(identity, public_key, expected, now)?;
    if names(&claims.dest, &expected.dests) {
        Ok(claims)
    } else {
        Err(VerifyError::Dest)
    }
}

/// [`verify()`] without the called party, who may have been another one before a diversion.
pub(crate) fn verify_signed(
    identity: &Identity<'_>,
    public_key: &[u8],
    expected: &Expected,
    now: UnixTime,
) -> Result<Claims, VerifyError> {
    let (input, header, claims) = read(identity, expected)?;
    check_header(identity, &header, &claims)?;
    let signature = decoded(identity.signature)?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public_key)
        .verify(input.as_bytes(), &signature)
        .map_err(|_| VerifyError::Signature)?;
    let now = u64::try_from(now.as_micros() / 1_000_000).unwrap_or(0);
    if now.abs_diff(claims.iat) > FRESH_SECONDS {
        return Err(VerifyError::Stale);
    }
    if claims.orig != expected.orig {
        return Err(VerifyError::Orig);
    }
    Ok(claims)
}

/// What is signed, and what it says. Nothing of it is proved yet.
pub(crate) fn read(
    identity: &Identity<'_>,
    expected: &Expected,
) -> Result<(String, Header, Claims), VerifyError> {
    match identity.full {
        Some((header, claims)) => {
            let input = format!("{header}.{claims}");
            Ok((input, json(header)?, json(claims)?))
        }
        None => compact(identity, expected),
    }
}

/// Whether `dest` names one of `parties`.
pub(crate) fn names(dest: &Dest, parties: &[Orig]) -> bool {
    parties.iter().any(|party| match party {
        Orig::Tn(number) => dest.tn.contains(number),
        Orig::Uri(uri) => dest.uri.contains(uri),
    })
}

fn check_header(
    identity: &Identity<'_>,
    header: &Header,
    claims: &Claims,
) -> Result<(), VerifyError> {
    if header.alg != "ES256" {
        return Err(VerifyError::Algorithm);
    }
    if header.typ != "passport" {
        return Err(VerifyError::Malformed);
    }
    if header.x5u != identity.info {
        return Err(VerifyError::Info);
    }
    if identity.ppt.is_some() && identity.ppt != header.ppt.as_deref() {
        return Err(VerifyError::Extension);
    }
    match header.ppt.as_deref() {
        None => Ok(()),
        Some("shaken") if claims.attest.is_some() && claims.origid.is_some() => Ok(()),
        Some("div") if claims.div.is_some() => Ok(()),
        Some(_) => Err(VerifyError::Extension),
    }
}

/// The token that the compact form left out, made again from the request (RFC 8224 §7). `shaken`
/// and `div` say things that a request does not, so they have no compact form.
fn compact(
    identity: &Identity<'_>,
    expected: &Expected,
) -> Result<(String, Header, Claims), VerifyError> {
    if identity.ppt.is_some() {
        return Err(VerifyError::Extension);
    }
    let mut dest = Dest::default();
    match expected.dests.first() {
        Some(Orig::Tn(number)) => dest.tn.push(number.clone()),
        Some(Orig::Uri(uri)) => dest.uri.push(uri.clone()),
        None => return Err(VerifyError::Dest),
    }
    let claims = Claims {
        attest: None,
        dest,
        div: None,
        iat: expected.date.ok_or(VerifyError::Stale)?,
        orig: expected.orig.clone(),
        origid: None,
    };
    let header = Header::es256(None, identity.info);
    let input = signing_input(&header, &claims).ok_or(VerifyError::Malformed)?;
    Ok((input, header, claims))
}

fn json<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, VerifyError> {
    serde_json::from_slice(&decoded(part)?).map_err(|_| VerifyError::Malformed)
}

fn decoded(part: &str) -> Result<Vec<u8>, VerifyError> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| VerifyError::Malformed)
}

/// How far `iat` may be from now, seconds (RFC 8224 §6.2.2 step 4).
pub const FRESH_SECONDS: u64 = 60;

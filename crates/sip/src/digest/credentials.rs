//! `Authorization` and `Proxy-Authorization`: what a server is told (RFC 7616 §3.4).

use super::algorithm::{Algorithm, Hex};
use super::challenge::CHALLENGES_MAX;
use super::fields::{Fields, schemes};
use super::ha1::{Facts, Ha1};
use crate::{HeaderName, Message};

/// Somebody's proof of knowing a password. Values are as they stand between quotes. Nothing in it
/// is true until [`Credentials::verify`] says so, and even then the nonce must be checked.
#[derive(Clone)]
pub struct Credentials<'a> {
    /// Who they say they are.
    pub username: &'a [u8],
    /// In which realm.
    pub realm: &'a [u8],
    /// The nonce they answer.
    pub nonce: &'a [u8],
    /// The URI that they hashed; RFC 7616 §3.4.6 leaves it to the server how near it must be to
    /// the Request-URI.
    pub uri: &'a [u8],
    /// The hash algorithm.
    pub algorithm: Algorithm,
    /// How often they used the nonce: with `qop=auth` only.
    pub nc: Option<u32>,
    /// The client's own token; empty without `qop=auth`, unless a `-sess` variant needs it.
    pub cnonce: &'a [u8],
    session: bool,
    nc_digits: &'a [u8],
    response: Hex,
}

/// Why credentials cannot be verified at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// An algorithm that is not spoken here.
    #[error("the algorithm is unknown")]
    Algorithm,
    /// Unreadable, incomplete, or with something in it twice.
    #[error("the credentials are malformed")]
    Malformed,
    /// `auth-int`, or something unheard of.
    #[error("the quality of protection is not accepted here")]
    Qop,
    /// Another scheme than Digest.
    #[error("the scheme is not Digest")]
    Scheme,
    /// `userhash=true`, which was not offered.
    #[error("hashed user names are not accepted here")]
    UserHash,
}

impl<'a> Credentials<'a> {
    /// The credentials in a header value.
    ///
    /// # Errors
    /// See [`CredentialsError`].
    pub fn parse(value: &'a [u8]) -> Result<Credentials<'a>, CredentialsError> {
        let fields = schemes(value).next().ok_or(CredentialsError::Malformed)?;
        Credentials::read(&fields)
    }

    fn read(fields: &Fields<'a>) -> Result<Credentials<'a>, CredentialsError> {
        if !fields.is_digest() {
            return Err(CredentialsError::Scheme);
        }
        if fields.broken {
            return Err(CredentialsError::Malformed);
        }
        let (algorithm, session) = match fields.get(b"algorithm") {
            None => (Algorithm::Md5, false),
            Some(name) => Algorithm::parse(name).ok_or(CredentialsError::Algorithm)?,
        };
        if fields
            .get(b"userhash")
            .is_some_and(|hashed| hashed.eq_ignore_ascii_case(b"true"))
        {
            return Err(CredentialsError::UserHash);
        }
        let need = |name: &[u8]| fields.get(name).ok_or(CredentialsError::Malformed);
        let (nc, nc_digits) = match fields.get(b"qop") {
            None => (None, &b""[..]),
            Some(qop) if qop.eq_ignore_ascii_case(b"auth") => {
                let digits = need(b"nc")?;
                (Some(count(digits)?), digits)
            }
            Some(_) => return Err(CredentialsError::Qop),
        };
        let cnonce = match nc.is_some() || session {
            true => need(b"cnonce")?,
            false => b"",
        };
        let response = Hex::parse(need(b"response")?, algorithm.hex_length())
            .ok_or(CredentialsError::Malformed)?;
        Ok(Credentials {
            username: need(b"username")?,
            realm: need(b"realm")?,
            nonce: need(b"nonce")?,
            uri: need(b"uri")?,
            algorithm,
            nc,
            session,
            nc_digits,
            cnonce,
            response,
        })
    }

    /// Whether whoever made this for a request with `method` knew the secret. Takes the same time
    /// whatever the answer.
    pub fn verify(&self, ha1: &Ha1, method: &[u8]) -> bool {
        let expected = ha1.response(&Facts {
            session: self.session,
            nonce: self.nonce,
            cnonce: self.cnonce,
            nc: self.nc.map(|_| self.nc_digits),
            method,
            uri: self.uri,
        });
        ha1.algorithm() == self.algorithm && expected.matches(&self.response)
    }
}

impl std::fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({}, …)", self.algorithm.name())
    }
}

/// The credentials in a request's headers of that name, in order: a request that crosses several
/// proxies may bring some for each of their realms (RFC 3261 §22.3).
pub fn all_credentials<'a>(
    message: &Message<'a>,
    header: HeaderName,
) -> impl Iterator<Item = Result<Credentials<'a>, CredentialsError>> {
    message
        .headers(header)
        .flat_map(schemes)
        .take(CHALLENGES_MAX)
        .map(|fields| Credentials::read(&fields))
}

/// `nc`: eight hexadecimal digits, and never zero (RFC 7616 §3.4).
fn count(digits: &[u8]) -> Result<u32, CredentialsError> {
    const MALFORMED: CredentialsError = CredentialsError::Malformed;
    if digits.len() != 8 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(MALFORMED);
    }
    let text = std::str::from_utf8(digits).map_err(|_| MALFORMED)?;
    match u32::from_str_radix(text, 16) {
        Ok(0) | Err(_) => Err(MALFORMED),
        Ok(count) => Ok(count),
    }
}

//! A password as it is stored: `H(username:realm:password)` (RFC 7616 §3.4.2).

use std::fmt;

use ringfence_base::Entropy;

use super::algorithm::{Algorithm, Hex};

/// The digest of one user's password in one realm under one algorithm. Whoever has it can answer
/// challenges of that realm, so it is never printed and is wiped when dropped; but it opens nothing
/// else, and the password cannot be read from it.
#[derive(Clone)]
pub struct Ha1 {
    algorithm: Algorithm,
    hex: Hex,
}

/// A user without a password has no digest: nobody may come in by sending an empty one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the password is empty")]
pub struct EmptyPassword;

impl Ha1 {
    /// The digest of a password.
    ///
    /// # Errors
    /// [`EmptyPassword`], always.
    pub fn new(
        algorithm: Algorithm,
        username: &[u8],
        realm: &[u8],
        password: &[u8],
    ) -> Result<Ha1, EmptyPassword> {
        if password.is_empty() {
            return Err(EmptyPassword);
        }
        let hex = algorithm.hash(&[username, realm, password]);
        Ok(Ha1 { algorithm, hex })
    }

    /// One that was stored: as many hexadecimal digits as the algorithm has.
    pub fn from_hex(algorithm: Algorithm, digits: &[u8]) -> Option<Ha1> {
        let hex = Hex::parse(digits, algorithm.hex_length())?;
        Some(Ha1 { algorithm, hex })
    }

    /// One that belongs to nobody. Verifying an unknown user against it takes as long as verifying
    /// a known one, and never succeeds.
    pub fn of_nobody(algorithm: Algorithm, entropy: &mut dyn Entropy) -> Ha1 {
        let mut random = [0; 32];
        entropy.fill(&mut random);
        let hex = algorithm.hash(&[&random]);
        Ha1 { algorithm, hex }
    }

    /// Its algorithm.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hexadecimal digits, for the store (which encrypts them) and the hash.
    pub fn expose_hex(&self) -> &[u8] {
        self.hex.as_bytes()
    }

    /// The response to a challenge (RFC 7616 §3.4.1).
    pub(crate) fn response(&self, facts: &Facts<'_>) -> Hex {
        let algorithm = self.algorithm;
        let session = facts
            .session
            .then(|| algorithm.hash(&[self.hex.as_bytes(), facts.nonce, facts.cnonce]));
        let a1 = session.as_ref().unwrap_or(&self.hex).as_bytes();
        let a2 = algorithm.hash(&[facts.method, facts.uri]);
        match facts.nc {
            Some(nc) => {
                algorithm.hash(&[a1, facts.nonce, nc, facts.cnonce, b"auth", a2.as_bytes()])
            }
            // RFC 2617 §3.2.2.1: without qop, as in RFC 2069.
            None => algorithm.hash(&[a1, facts.nonce, a2.as_bytes()]),
        }
    }
}

/// What a response is made of, besides the secret.
pub(crate) struct Facts<'a> {
    pub(crate) session: bool,
    pub(crate) nonce: &'a [u8],
    pub(crate) cnonce: &'a [u8],
    /// The eight digits; `None` without qop.
    pub(crate) nc: Option<&'a [u8]>,
    pub(crate) method: &'a [u8],
    pub(crate) uri: &'a [u8],
}

impl fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ha1({}, …)", self.algorithm.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_without_a_password_has_no_digest() {
        let made = Ha1::new(Algorithm::Md5, b"bob", b"biloxi.example", b"");
        assert_eq!(made.err(), Some(EmptyPassword));
    }

    #[test]
    fn it_is_never_printed_and_survives_the_store() {
        let ha1 = Ha1::new(Algorithm::Sha256, b"bob", b"biloxi.example", b"zanzibar").unwrap();
        assert_eq!(format!("{ha1:?}"), "Ha1(SHA-256, …)");
        let stored = ha1.expose_hex().to_vec();
        let read = Ha1::from_hex(Algorithm::Sha256, &stored).unwrap();
        assert_eq!(read.expose_hex(), stored);
        assert!(Ha1::from_hex(Algorithm::Md5, &stored).is_none());
        assert!(Ha1::from_hex(Algorithm::Sha256, b"").is_none());
    }
}

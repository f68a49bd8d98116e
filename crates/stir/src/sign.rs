//! Signing: claims and a key in, the value of an Identity header out (RFC 8224 §4.1).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ringfence_base::Secret;

use crate::guard::Guard;
use crate::passport::{Claims, Header, signing_input};

/// A key and where its certificate is.
pub struct Signer {
    key: EcdsaKeyPair,
    x5u: String,
}

/// Why there is no signer or no signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The text holds no P-256 key in PKCS#8.
    #[error("the key is not a P-256 private key in PKCS#8 PEM")]
    Key,
    /// The certificate's address is refused by [`Guard::check_url`].
    #[error("the certificate's address is not an https URL of a public host")]
    Url,
    /// The cipher failed.
    #[error("signing failed")]
    Sign,
}

impl Signer {
    /// A signer from a `PRIVATE KEY` in PEM, and the https address of its certificate,
    /// which `guard` must let verifiers fetch.
    ///
    /// # Errors
    /// [`SignError::Key`], [`SignError::Url`].
    pub fn new(key_pem: &Secret, x5u: &str, guard: &Guard) -> Result<Signer, SignError> {
        guard.check_url(x5u).map_err(|_| SignError::Url)?;
        let text = std::str::from_utf8(key_pem.expose()).map_err(|_| SignError::Key)?;
        let (_, text) = text
            .split_once("-----BEGIN PRIVATE KEY-----")
            .ok_or(SignError::Key)?;
        let (text, _) = text
            .split_once("-----END PRIVATE KEY-----")
            .ok_or(SignError::Key)?;
        // Both copies are wiped: they hold the key. Nor may one grow, which leaves a copy behind.
        let mut packed = Vec::with_capacity(text.len());
        packed.extend(text.bytes().filter(|byte| !byte.is_ascii_whitespace()));
        let packed = Secret::new(packed);
        let der = Secret::new(
            STANDARD
                .decode(packed.expose())
                .map_err(|_| SignError::Key)?,
        );
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.expose())
            .map_err(|_| SignError::Key)?;
        Ok(Signer {
            key,
            x5u: x5u.to_owned(),
        })
    }

    /// The value of an Identity header in full form; `ppt` is `shaken`, `div` or none.
    ///
    /// # Errors
    /// [`SignError::Sign`].
    pub fn sign(&self, ppt: Option<&str>, claims: &Claims) -> Result<String, SignError> {
        let header = Header::es256(ppt, &self.x5u);
        let mut value = signing_input(&header, claims).ok_or(SignError::Sign)?;
        let signature = self
            .key
            .sign(&SystemRandom::new(), value.as_bytes())
            .map_err(|_| SignError::Sign)?;
        value.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut value);
        value.push_str(&format!(";info=<{}>;alg=ES256", self.x5u));
        if let Some(ppt) = ppt {
            value.push_str(&format!(";ppt=\"{ppt}\""));
        }
        Ok(value)
    }

    /// The public key: an uncompressed point.
    pub fn public_key(&self) -> &[u8] {
        self.key.public_key().as_ref()
    }
}

impl Signer {
    /// The first bytes of the public key, in hexadecimal: which key it is, for people.
    pub fn key_id(&self) -> String {
        let point = self.public_key().iter().skip(1).take(8);
        point.map(|byte| format!("{byte:02x}")).collect()
    }

    /// Where the certificate is.
    pub fn x5u(&self) -> &str {
        &self.x5u
    }
}

/// Signers are the same when they sign the same.
impl PartialEq for Signer {
    fn eq(&self, other: &Signer) -> bool {
        self.x5u == other.x5u && self.public_key() == other.public_key()
    }
}

impl Eq for Signer {}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer(…)")
    }
}

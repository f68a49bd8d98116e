//! The hash algorithms of digest authentication (RFC 7616 §3.3, RFC 8760 §2.3).

use aws_lc_rs::digest as sha;
use md5::Digest as _;
use zeroize::Zeroize;

/// A hash algorithm, weakest first: comparing two says which one to prefer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// For peers that know nothing better.
    Md5,
    /// The one that RFC 8760 wants everybody to have.
    Sha256,
    /// SHA-512/256.
    Sha512Slash256,
}

impl Algorithm {
    /// All of them, strongest first: the order of our own challenges (RFC 8760 §2.4).
    pub const STRONGEST_FIRST: [Algorithm; 3] =
        [Algorithm::Sha512Slash256, Algorithm::Sha256, Algorithm::Md5];

    /// The registered name.
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
            Algorithm::Sha512Slash256 => "SHA-512-256",
        }
    }

    /// Characters of a hash in hexadecimal.
    pub const fn hex_length(self) -> usize {
        match self {
            Algorithm::Md5 => 32,
            Algorithm::Sha256 | Algorithm::Sha512Slash256 => 64,
        }
    }

    /// The algorithm of that name, in any case, and whether it is the `-sess` variant.
    pub fn parse(name: &[u8]) -> Option<(Algorithm, bool)> {
        let session = name
            .len()
            .checked_sub(SESSION.len())
            .and_then(|at| name.split_at_checked(at))
            .filter(|(_, suffix)| suffix.eq_ignore_ascii_case(SESSION));
        let (base, session) = match session {
            Some((base, _)) => (base, true),
            None => (name, false),
        };
        Algorithm::STRONGEST_FIRST
            .into_iter()
            .find(|algorithm| algorithm.name().as_bytes().eq_ignore_ascii_case(base))
            .map(|algorithm| (algorithm, session))
    }

    /// The hash of `parts` joined by colons, in lower-case hexadecimal.
    pub(crate) fn hash(self, parts: &[&[u8]]) -> Hex {
        match self {
            Algorithm::Md5 => {
                let mut context = md5::Md5::new();
                each(parts, |bytes| context.update(bytes));
                Hex::of(&context.finalize())
            }
            Algorithm::Sha256 => Hex::of(sha2(&sha::SHA256, parts).as_ref()),
            Algorithm::Sha512Slash256 => Hex::of(sha2(&sha::SHA512_256, parts).as_ref()),
        }
    }
}

const SESSION: &[u8] = b"-sess";

fn sha2(algorithm: &'static sha::Algorithm, parts: &[&[u8]]) -> sha::Digest {
    let mut context = sha::Context::new(algorithm);
    each(parts, |bytes| context.update(bytes));
    context.finish()
}

fn each(parts: &[&[u8]], mut update: impl FnMut(&[u8])) {
    for (number, part) in parts.iter().enumerate() {
        if number > 0 {
            update(b":");
        }
        update(part);
    }
}

/// A hash in lower-case hexadecimal. Wiped when dropped: it may be as good as a password.
#[derive(Clone)]
pub(crate) struct Hex {
    text: [u8; 64],
    length: usize,
}

impl Hex {
    fn of(hash: &[u8]) -> Hex {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        let mut length = 0;
        for (pair, byte) in text.chunks_exact_mut(2).zip(hash) {
            for (place, nibble) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
                *place = DIGITS[usize::from(nibble)];
            }
            length += 2;
        }
        Hex { text, length }
    }

    /// Reads one; `None` unless it is `length` hexadecimal digits.
    pub(crate) fn parse(digits: &[u8], length: usize) -> Option<Hex> {
        let mut text = [0; 64];
        let fits = digits.len() == length && digits.iter().all(u8::is_ascii_hexdigit);
        let place = text.get_mut(..length).filter(|_| fits)?;
        place.copy_from_slice(digits);
        place.make_ascii_lowercase();
        Some(Hex { text, length })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.text.get(..self.length).unwrap_or_default()
    }

    /// Compares in a time that does not tell where the two differ.
    pub(crate) fn matches(&self, other: &Hex) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(self.as_bytes(), other.as_bytes()).is_ok()
    }
}

impl Drop for Hex {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case_and_as_session_variants() {
        for algorithm in Algorithm::STRONGEST_FIRST {
            let name = algorithm.name();
            assert_eq!(Algorithm::parse(name.as_bytes()), Some((algorithm, false)));
            let session = format!("{}-SESS", name.to_ascii_lowercase());
            assert_eq!(
                Algorithm::parse(session.as_bytes()),
                Some((algorithm, true))
            );
        }
        assert_eq!(Algorithm::parse(b"-sess"), None);
        assert_eq!(Algorithm::parse(b"SHA-512"), None);
        assert_eq!(Algorithm::parse(b""), None);
    }

    #[test]
    fn known_hashes() {
        let hash = |algorithm: Algorithm| {
            let hex = algorithm.hash(&[b"a", b"c"]);
            String::from_utf8(hex.as_bytes().to_vec()).unwrap()
        };
        assert_eq!(hash(Algorithm::Md5).len(), 32);
        assert_eq!(
            String::from_utf8_lossy(Algorithm::Md5.hash(&[b""]).as_bytes()),
            "d41d8cd98f00b204e9800998ecf8427e"
        );
        assert_eq!(
            String::from_utf8_lossy(Algorithm::Sha256.hash(&[b"abc"]).as_bytes()),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            String::from_utf8_lossy(Algorithm::Sha512Slash256.hash(&[b"abc"]).as_bytes()),
            "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23"
        );
    }
}

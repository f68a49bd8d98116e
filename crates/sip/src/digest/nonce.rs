//! Server nonces that cost nothing to give away (RFC 7616 §3.3).
//!
//! A nonce says when it was made and carries a keyed code over that, the source address, the
//! realm and the worker. Whoever asks gets one, and nothing is remembered of it; a flood of
//! requests without credentials fills no table.

use std::net::IpAddr;
use std::time::Duration;

use ringfence_base::{Entropy, HashKey, Instant, WorkerIndex};

/// How far apart the clocks that two workers pass in may be.
const SKEW_MAX: Duration = Duration::from_secs(1);

/// Makes nonces and knows its own again.
#[derive(Clone, Copy, Debug)]
pub struct NonceMint {
    key: HashKey,
    worker: WorkerIndex,
    lifetime: Duration,
}

/// A nonce of our own, by what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nonce {
    /// When it was made.
    pub made: Instant,
    /// What tells it from every other one.
    pub id: u128,
}

/// What a nonce that came back is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonceCheck {
    /// Ours, for this source and realm, and young enough. Its count is still to be checked:
    /// [`NonceCounts`](super::NonceCounts).
    Fresh(Nonce),
    /// Ours, but too old, or of another worker, whose counts are not known here: ask again and say
    /// `stale=true` if the response was right.
    Stale,
    /// Not ours, or given to somebody else.
    Forged,
}

impl NonceMint {
    /// A mint. `secret` may be the one that all workers of the process share; nonces live for
    /// `lifetime`.
    pub const fn new(secret: [u8; 16], worker: WorkerIndex, lifetime: Duration) -> NonceMint {
        NonceMint {
            key: HashKey::from_bytes(secret),
            worker,
            lifetime,
        }
    }

    /// A new nonce for whoever asks from `source`: letters and digits.
    pub fn mint(
        &self,
        now: Instant,
        source: IpAddr,
        realm: &[u8],
        entropy: &mut dyn Entropy,
    ) -> String {
        let body = Body {
            millis: now.as_nanos() / 1_000_000,
            salt: entropy.next_u64() as u32,
            worker: self.worker.raw(),
        };
        let code = self.code(&body, source, realm);
        let Body {
            millis,
            salt,
            worker,
        } = body;
        format!("{millis:012x}{salt:08x}{worker:02x}{code:016x}")
    }

    /// What a nonce that came from `source` is.
    pub fn check(&self, now: Instant, nonce: &[u8], source: IpAddr, realm: &[u8]) -> NonceCheck {
        let Some((body, code)) = Body::read(nonce) else {
            return NonceCheck::Forged;
        };
        // Only its own code tells a forger apart, and 2^64 guesses outlive every nonce.
        if self.code(&body, source, realm) != code {
            return NonceCheck::Forged;
        }
        let made = Instant::from_nanos(body.millis.saturating_mul(1_000_000));
        let from_the_future = made > now + SKEW_MAX;
        if body.worker != self.worker.raw() || from_the_future || now - made > self.lifetime {
            return NonceCheck::Stale;
        }
        let id =
            u128::from(code) << 64 | u128::from(body.salt) << 32 | u128::from(body.millis as u32);
        NonceCheck::Fresh(Nonce { made, id })
    }

    /// The worker that made the nonce in the value of an Authorization header, going by what it says
    /// in clear: which worker is to check it, and nothing that may be trusted.
    ///
    /// ```
    /// use ringfence_base::WorkerIndex;
    /// use ringfence_sip::digest::NonceMint;
    ///
    /// let nonce = "00000000271000000000030123456789abcdef";
    /// let value = format!("Digest username=\"201\", cnonce=\"x\", nonce=\"{nonce}\"");
    /// assert_eq!(NonceMint::worker_named_in(value.as_bytes()), Some(WorkerIndex::new(3)));
    /// ```
    pub fn worker_named_in(credentials: &[u8]) -> Option<WorkerIndex> {
        const FIELD: &[u8] = b"nonce=\"";
        let mut fields = credentials.windows(FIELD.len()).enumerate();
        let (at, _) = fields.find(|(at, field)| {
            let before = at.checked_sub(1).and_then(|before| credentials.get(before));
            field.eq_ignore_ascii_case(FIELD) && before.is_none_or(|c| !c.is_ascii_alphanumeric())
        })?;
        let nonce = credentials.get(at + FIELD.len()..)?.get(..LENGTH)?;
        Body::read(nonce).map(|(body, _)| WorkerIndex::new(body.worker))
    }

    fn code(&self, body: &Body, source: IpAddr, realm: &[u8]) -> u64 {
        let source = match source.to_canonical() {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        let mut input = Vec::with_capacity(48 + realm.len());
        input.extend_from_slice(b"nonce");
        input.extend_from_slice(&body.millis.to_le_bytes());
        input.extend_from_slice(&body.salt.to_le_bytes());
        input.push(body.worker);
        input.extend_from_slice(&source.octets());
        input.extend_from_slice(realm);
        self.key.mac64(&input)
    }
}

/// Characters of a nonce. Short, since an answer to a stranger must not be larger than its request.
/// Its milliseconds last for 8,900 years.
const LENGTH: usize = 38;

/// What a nonce says in clear.
struct Body {
    millis: u64,
    salt: u32,
    worker: u8,
}

impl Body {
    fn read(nonce: &[u8]) -> Option<(Body, u64)> {
        let text = std::str::from_utf8(nonce).ok()?;
        if text.len() != LENGTH || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let millis = u64::from_str_radix(text.get(..12)?, 16).ok()?;
        let salt = u32::from_str_radix(text.get(12..20)?, 16).ok()?;
        let worker = u8::from_str_radix(text.get(20..22)?, 16).ok()?;
        let code = u64::from_str_radix(text.get(22..)?, 16).ok()?;
        let body = Body {
            millis,
            salt,
            worker,
        };
        Some((body, code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_base::entropy::SeededEntropy;

    const SOURCE: &str = "192.0.2.4";
    const AT: Instant = Instant::from_nanos(100_000_000_000);

    fn mint(worker: u8) -> NonceMint {
        let lifetime = Duration::from_secs(60);
        NonceMint::new([7; 16], WorkerIndex::new(worker), lifetime)
    }

    #[track_caller]
    fn check(by: u8, later: Duration, source: &str, realm: &str, expected: &str) {
        let nonce = mint(0).mint(
            AT,
            SOURCE.parse().unwrap(),
            b"realm",
            &mut SeededEntropy::new(1),
        );
        let source = source.parse().unwrap();
        let got = mint(by).check(AT + later, nonce.as_bytes(), source, realm.as_bytes());
        let got = format!("{got:?}");
        assert!(got.starts_with(expected), "{got}");
    }

    #[test]
    fn a_nonce_is_good_for_its_time_source_and_realm_only_rfc7616_3_3() {
        let second = Duration::from_secs(1);
        check(0, second, SOURCE, "realm", "Fresh");
        check(0, second, "::ffff:192.0.2.4", "realm", "Fresh");
        check(0, second * 61, SOURCE, "realm", "Stale");
        check(1, second, SOURCE, "realm", "Stale");
        check(0, second, "192.0.2.5", "realm", "Forged");
        check(0, second, SOURCE, "other", "Forged");
    }

    #[test]
    fn every_changed_character_is_a_forgery() {
        let source = SOURCE.parse().unwrap();
        let nonce = mint(0).mint(AT, source, b"realm", &mut SeededEntropy::new(1));
        for at in 0..nonce.len() {
            let mut forged = nonce.clone().into_bytes();
            forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
            let got = mint(0).check(AT, &forged, source, b"realm");
            assert_eq!(got, NonceCheck::Forged, "at {at}");
        }
        for forged in [&b""[..], b"+", &[0xff; LENGTH], &[b'+'; LENGTH]] {
            assert_eq!(
                mint(0).check(AT, forged, source, b"realm"),
                NonceCheck::Forged
            );
        }
    }

    #[test]
    fn two_of_the_same_moment_differ() {
        let (mut entropy, source) = (SeededEntropy::new(1), SOURCE.parse().unwrap());
        let nonces = [(); 2].map(|()| mint(0).mint(AT, source, b"realm", &mut entropy));
        assert_ne!(nonces[0], nonces[1]);
    }
}

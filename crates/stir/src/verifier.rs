//! The verification service of RFC 8224 §6.2 as a machine: Identity headers in; certificates asked
//! for; a verdict out.
//!
//! [`Verifier::check`] answers at once if it knows the certificates. If not, the addresses come out
//! of [`Verifier::poll_fetch`], whoever can fetches them and calls [`Verifier::on_certificate`], and
//! the caller checks again. How long a call may wait is the caller's to say.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ringfence_base::{HashKey, KeyedMap, UnixTime};

use crate::chain::{Certificate, TrustRoots, check_chain};
use crate::guard::Guard;
use crate::identity::Identity;
use crate::passport::{Attestation, Claims, Orig};
use crate::replay::Replays;
use crate::verify::{Expected, VerifyError, names, read, verify_signed};

/// Whom to trust, and where to fetch from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// The authorities.
    pub roots: TrustRoots,
    /// The addresses.
    pub guard: Guard,
}

/// What became of a call's Identity headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Why it did not pass; `None` if it did.
    pub error: Option<VerifyError>,
    /// How far the signer answers for the caller, if it passed and is `shaken` (RFC 8588 §4).
    pub attest: Option<Attestation>,
    /// The opaque id of the call's origin, likewise. Written by the signer.
    pub origid: Option<String>,
}

impl Verdict {
    /// Not passed.
    pub const fn of(error: VerifyError) -> Verdict {
        Verdict {
            error: Some(error),
            attest: None,
            origid: None,
        }
    }

    fn passed(claims: Claims) -> Verdict {
        Verdict {
            error: None,
            attest: claims.attest,
            // Part of records and screens: what is no UUID is not worth it.
            origid: claims.origid.filter(|id| {
                id.len() <= ORIGID_MAX && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
            }),
        }
    }

    /// The value of the `verstat` parameter.
    pub const fn verstat(&self) -> Verstat {
        match self.error {
            None => Verstat::Passed,
            Some(error) if error.is_unknown() => Verstat::NoValidation,
            Some(_) => Verstat::Failed,
        }
    }
}

/// The `verstat` parameter of a calling number (3GPP TS 24.229 §7.2A.20, ATIS-1000082).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verstat {
    /// The caller is who the number says.
    Passed,
    /// Somebody claims what does not hold.
    Failed,
    /// Nothing is known.
    NoValidation,
}

impl Verstat {
    /// `TN-Validation-Passed`, ...
    pub const fn as_str(self) -> &'static str {
        match self {
            Verstat::Passed => "TN-Validation-Passed",
            Verstat::Failed => "TN-Validation-Failed",
            Verstat::NoValidation => "No-TN-Validation",
        }
    }
}

/// How far [`Verifier::check`] came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is decided.
    Done(Verdict),
    /// A certificate is on its way: check again when it came.
    Waiting,
}

/// Certificates that were fetched, and those that are wanted.
#[derive(Debug)]
pub struct Verifier {
    trust: Arc<Trust>,
    cache: KeyedMap<String, Cached>,
    wanted: VecDeque<String>,
}

#[derive(Debug)]
struct Cached {
    until: UnixTime,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Fetching,
    Good(Arc<Certificate>),
    Bad(VerifyError),
}

impl Verifier {
    /// A verifier without certificates.
    pub fn new(trust: Arc<Trust>, key: HashKey) -> Verifier {
        Verifier {
            trust,
            cache: key.map(),
            wanted: VecDeque::new(),
        }
    }

    /// Whom it trusts.
    pub fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }

    /// Judges the Identity headers of one call. `replays` is asked last, and only for a token that
    /// holds.
    pub fn check(
        &mut self,
        now: UnixTime,
        headers: &[&[u8]],
        expected: &Expected,
        call_id: &[u8],
        replays: impl FnOnce(&mut dyn FnMut(&mut Replays) -> bool) -> bool,
    ) -> Progress {
        match self.judge(now, headers, expected, call_id, replays) {
            Ok(Some(claims)) => Progress::Done(Verdict::passed(claims)),
            Ok(None) => Progress::Waiting,
            Err(error) => Progress::Done(Verdict::of(error)),
        }
    }

    fn judge(
        &mut self,
        now: UnixTime,
        headers: &[&[u8]],
        expected: &Expected,
        call_id: &[u8],
        replays: impl FnOnce(&mut dyn FnMut(&mut Replays) -> bool) -> bool,
    ) -> Result<Option<Claims>, VerifyError> {
        let (mut first, mut diversions, mut error) = (None, Vec::new(), VerifyError::Absent);
        for header in headers.iter().take(IDENTITIES_MAX) {
            let read = Identity::parse(header).and_then(|identity| {
                let (_, header, _) = read(&identity, expected)?;
                Ok((identity, header.ppt))
            });
            match read {
                Ok((identity, ppt)) => match ppt.as_deref() {
                    Some("div") => diversions.push(identity),
                    None | Some("shaken") => {
                        first.get_or_insert(identity);
                    }
                    // RFC 8224 §6.2 step 1: others are for others.
                    Some(_) => {}
                },
                Err(fault) => error = fault,
            }
        }
        let first = first.ok_or(error)?;
        // All that is needed is asked for before anything is waited for.
        let certificate = self.certificate(now, first.info);
        let mut links = Vec::with_capacity(diversions.len());
        for identity in diversions {
            match self.certificate(now, identity.info) {
                Ok(Some(certificate)) => links.push((identity, certificate)),
                Ok(None) => return certificate.and(Ok(None)),
                // A broken link is no link; it need not be part of the way.
                Err(_) => {}
            }
        }
        let Some(certificate) = certificate? else {
            return Ok(None);
        };
        let claims = verify_signed(&first, &certificate.public_key, expected, now)?;
        covers(&certificate, &claims.orig)?;
        if !names(&claims.dest, &expected.dests) {
            self.follow(now, &claims, expected, &links)?;
        }
        let (signed, ..) = read(&first, expected)?;
        if !replays(&mut |used| used.take(now, signed.as_bytes(), call_id)) {
            return Err(VerifyError::Replayed);
        }
        Ok(Some(claims))
    }

    /// Follows diversions from the party that `claims` name to the one that is called (RFC 8946
    /// §4.2): each link was signed by somebody who may speak for the party that diverted.
    fn follow(
        &self,
        now: UnixTime,
        claims: &Claims,
        expected: &Expected,
        links: &[(Identity<'_>, Arc<Certificate>)],
    ) -> Result<(), VerifyError> {
        let mut dest = claims.dest.clone();
        for _ in 0..links.len() {
            let next = links.iter().find_map(|(identity, certificate)| {
                let link = verify_signed(identity, &certificate.public_key, expected, now).ok()?;
                let by = link.div?;
                covers(certificate, &by).ok()?;
                names(&dest, std::slice::from_ref(&by)).then_some(link.dest)
            });
            dest = next.ok_or(VerifyError::Dest)?;
            if names(&dest, &expected.dests) {
                return Ok(());
            }
        }
        Err(VerifyError::Dest)
    }

    /// The certificate at `url`; `None` while it is on its way.
    fn certificate(
        &mut self,
        now: UnixTime,
        url: &str,
    ) -> Result<Option<Arc<Certificate>>, VerifyError> {
        self.trust
            .guard
            .check_url(url)
            .map_err(|_| VerifyError::Info)?;
        if let Some(cached) = self.cache.get(url).filter(|cached| cached.until > now) {
            return match &cached.state {
                State::Fetching => Ok(None),
                State::Good(certificate) => Ok(Some(Arc::clone(certificate))),
                State::Bad(error) => Err(*error),
            };
        }
        if !self.make_room(now, url) {
            return Err(VerifyError::Unavailable);
        }
        let cached = Cached {
            until: later(now, FETCH_TIMEOUT),
            state: State::Fetching,
        };
        self.cache.insert(url.to_owned(), cached);
        self.wanted.push_back(url.to_owned());
        Ok(None)
    }

    /// Room for one more address: what has run out goes, else the failures, else whatever runs out
    /// first. Never more than [`FETCHES_MAX`] at once.
    fn make_room(&mut self, now: UnixTime, url: &str) -> bool {
        let fetching =
            |cached: &&Cached| matches!(cached.state, State::Fetching) && cached.until > now;
        if self.cache.values().filter(fetching).count() >= FETCHES_MAX {
            return false;
        }
        if self.cache.len() >= CERTIFICATES_KEPT && !self.cache.contains_key(url) {
            self.cache.retain(|_, cached| cached.until > now);
        }
        if self.cache.len() >= CERTIFICATES_KEPT {
            let rank = |cached: &Cached| match cached.state {
                State::Bad(_) => (0, cached.until),
                State::Good(_) => (1, cached.until),
                State::Fetching => (2, cached.until),
            };
            let least = self.cache.iter().min_by_key(|(_, cached)| rank(cached));
            if let Some(least) = least.map(|(url, _)| url.clone()) {
                self.cache.remove(&least);
            }
        }
        true
    }

    /// The next address to fetch from; the guard has let it through.
    pub fn poll_fetch(&mut self) -> Option<String> {
        self.wanted.pop_front()
    }

    /// What a fetch brought; `None` if nothing. An address that was not asked for is not kept.
    pub fn on_certificate(&mut self, now: UnixTime, url: &str, bytes: Option<&[u8]>) {
        self.on_certificate_for(now, url, bytes, KEPT);
    }

    /// The same from a server that says for how long its answer holds (`Cache-Control: max-age`).
    /// It is kept no shorter than [`KEPT_LEAST`], since calls may come by the hundred, and no longer
    /// than [`KEPT_MOST`], since nobody asks whether it was revoked.
    pub fn on_certificate_for(
        &mut self,
        now: UnixTime,
        url: &str,
        bytes: Option<&[u8]>,
        holds: Duration,
    ) {
        let holds = holds.clamp(KEPT_LEAST, KEPT_MOST);
        let Some(cached) = self.cache.get_mut(url) else {
            return;
        };
        if !matches!(cached.state, State::Fetching) {
            return;
        }
        *cached = match bytes.map(|bytes| check_chain(bytes, &self.trust.roots, now)) {
            Some(Ok(certificate)) => Cached {
                until: certificate.not_after.min(later(now, holds)),
                state: State::Good(Arc::new(certificate)),
            },
            Some(Err(_)) => Cached {
                until: later(now, FAILURE_KEPT),
                state: State::Bad(VerifyError::Certificate),
            },
            None => Cached {
                until: later(now, FAILURE_KEPT),
                state: State::Bad(VerifyError::Unavailable),
            },
        };
    }

    /// Addresses known, good or bad.
    pub fn cached(&self) -> usize {
        self.cache.len()
    }
}

/// Whether `certificate` may speak for `orig`. No certificate of telephone numbers speaks for a URI.
fn covers(certificate: &Certificate, orig: &Orig) -> Result<(), VerifyError> {
    match orig {
        Orig::Tn(number) if certificate.authority.covers(number) => Ok(()),
        Orig::Tn(_) | Orig::Uri(_) => Err(VerifyError::Authority),
    }
}

pub(crate) fn later(time: UnixTime, by: Duration) -> UnixTime {
    let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
    UnixTime::from_micros(time.as_micros().saturating_add(by))
}

/// Identity headers of one request that are looked at.
pub const IDENTITIES_MAX: usize = 4;
/// The most addresses whose certificates, or failures, are kept.
pub const CERTIFICATES_KEPT: usize = 512;
/// The most fetches at once.
pub const FETCHES_MAX: usize = 64;
/// How long a certificate is kept before it is fetched again, where its server does not say.
pub const KEPT: Duration = Duration::from_secs(3600);
/// The shortest that a certificate is kept.
pub const KEPT_LEAST: Duration = Duration::from_secs(60);
/// The longest.
pub const KEPT_MOST: Duration = Duration::from_secs(24 * 3600);
/// How long a failure is.
const FAILURE_KEPT: Duration = Duration::from_secs(30);
/// The longest that a fetch may take, from the first name looked up to the last byte.
pub const FETCH_MAX: Duration = Duration::from_secs(2);
/// A fetch of which nothing was heard by then may be asked for again.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest `origid`: a UUID.
const ORIGID_MAX: usize = 36;

//! Who a phone is: digest authentication as a server (RFC 3261 §22, RFC 7616, RFC 8760).
//!
//! A request without good credentials costs a nonce, which is not remembered, and one answer. The
//! answer is the same whoever is named; a name that is no user is verified against the digest of
//! nobody. MD5 is offered beside SHA-256, for phones that know nothing better; some of those
//! stumble over the other, so a group may offer one alone.

use std::net::IpAddr;
use std::time::Duration;

use ringfence_base::{Flow, Instant};
use ringfence_detect::event::CredentialsOutcome;
use ringfence_detect::reading;
use ringfence_sip::digest::{
    Algorithm, Challenge, Credentials, NonceCheck, Replay, all_credentials,
};
use ringfence_sip::{HeaderName, Message, Method, Uri};

use super::group::{GroupId, PhoneGroup};
use super::route::Caller;
use crate::core::Core;
use crate::refusal::RefusalReason;

/// How long a nonce is good. A phone that comes later is asked again, without its user noticing.
pub(crate) const NONCE_LIFETIME: Duration = Duration::from_secs(300);

/// Nonces whose counts are kept in one worker.
pub(crate) const NONCES_KEPT: usize = 32_768;

/// The header with a phone's credentials, and the status and header that ask for them. A
/// REGISTER is answered as the registrar (RFC 3261 §22.2), anything else as the proxy that the
/// phone takes us for (§22.3).
fn headers_of(message: &Message<'_>) -> (HeaderName, u16, HeaderName) {
    if message.method() == Some(Method::Register) {
        (HeaderName::Authorization, 401, HeaderName::WwwAuthenticate)
    } else {
        (
            HeaderName::ProxyAuthorization,
            407,
            HeaderName::ProxyAuthenticate,
        )
    }
}

/// Whether `message` brings credentials for `realm`, right or wrong.
pub(crate) fn is_for(message: &Message<'_>, realm: &str) -> bool {
    credentials_for(message, realm).is_some()
}

fn credentials_for<'a>(message: &Message<'a>, realm: &str) -> Option<Credentials<'a>> {
    let (header, ..) = headers_of(message);
    all_credentials(message, header)
        .filter_map(Result::ok)
        .find(|credentials| credentials.realm == realm.as_bytes())
}

/// User and nonce of credentials that leave out what RFC 7616 §3.4 demands. Nothing can be verified
/// in them, but whoever guesses with them (SIPVicious does) is seen to guess.
fn unverifiable<'a>(message: &Message<'a>) -> Option<(&'a [u8], &'a [u8])> {
    let (header, ..) = headers_of(message);
    all_credentials(message, header)
        .any(|credentials| credentials.is_err())
        .then(|| reading::claimed(message))?
}

/// What credentials turned out to be.
enum Verdict {
    /// Right, and used for the first time.
    Proved(Caller),
    /// The password is right and the nonce was used before: a new nonce, no reproach.
    Replayed,
    /// The password is right and the nonce is not: a new nonce, no reproach.
    Stale,
    /// Wrong, or of nobody: which of them is for detection only.
    Wrong(CredentialsOutcome),
    /// There are none.
    Missing,
}

impl Core {
    /// Who sent `message`. `None` when it is not proved: then the answer is on its way.
    pub(crate) fn authenticate(
        &mut self,
        now: Instant,
        flow: &Flow,
        message: &Message<'_>,
        id: GroupId,
    ) -> Option<Caller> {
        let plan = std::sync::Arc::clone(&self.plan);
        let group = plan.phone_group(id)?;
        let named = credentials_for(message, &group.realm).map(|given| given.username);
        let named = named.or_else(|| unverifiable(message).map(|(named, _)| named));
        let named = named.unwrap_or_default();
        if !named.is_empty() && self.is_tried_too_often(now, flow, named, &group.realm) {
            // Nothing is verified and nothing is answered: no guess is one.
            self.refuse(*flow, RefusalReason::Credentials);
            return None;
        }
        let stale = match self.verdict(now, flow.remote.ip(), message, id, group) {
            Verdict::Proved(caller) => return Some(caller),
            Verdict::Replayed => {
                let outcome = CredentialsOutcome::Replayed;
                self.see_credentials(now, flow, message, (named, &group.realm), outcome);
                true
            }
            Verdict::Stale => {
                let outcome = CredentialsOutcome::Stale;
                self.see_credentials(now, flow, message, (named, &group.realm), outcome);
                true
            }
            Verdict::Wrong(outcome) => {
                self.see_credentials(now, flow, message, (named, &group.realm), outcome);
                self.refuse(*flow, RefusalReason::Credentials);
                false
            }
            Verdict::Missing => {
                self.see_challenged(now, flow, message, &group.realm);
                false
            }
        };
        self.challenge(now, flow, message, group, stale);
        None
    }

    fn verdict(
        &mut self,
        now: Instant,
        source: IpAddr,
        message: &Message<'_>,
        id: GroupId,
        group: &PhoneGroup,
    ) -> Verdict {
        let Some(credentials) = credentials_for(message, &group.realm) else {
            return self.verdict_on_unverifiable(now, source, message, group);
        };
        let user = group.index_of(credentials.username);
        let known = user.and_then(|index| group.user(index));
        let digests = known.map_or(&self.nobody, |user| &user.digests);
        let offered = group.algorithms.contains(&credentials.algorithm);
        let ha1 = digests.of(credentials.algorithm);
        let nonce = self
            .nonces
            .check(now, credentials.nonce, source, group.realm.as_bytes());
        let wrong = Verdict::Wrong(match (nonce, known) {
            (NonceCheck::Forged, _) => CredentialsOutcome::WrongForgedNonce,
            (_, Some(_)) => CredentialsOutcome::Wrong,
            (_, None) => CredentialsOutcome::WrongAccount,
        });
        let Some(ha1) = ha1.filter(|_| offered) else {
            return wrong;
        };
        let method = message
            .method()
            .map_or(&b""[..], |method| method.as_bytes());
        let right = credentials.verify(ha1, method) && same_target(message, &credentials);
        let (Some(user), true) = (user, right) else {
            return wrong;
        };
        match nonce {
            NonceCheck::Fresh(nonce) => {
                let forgotten = now.as_nanos().checked_sub(NONCE_LIFETIME.as_nanos() as u64);
                if let Some(forgotten) = forgotten {
                    self.nonce_counts
                        .forget_before(Instant::from_nanos(forgotten));
                }
                match self.nonce_counts.note(nonce, credentials.nc) {
                    Replay::New => Verdict::Proved(Caller { group: id, user }),
                    Replay::Seen => Verdict::Replayed,
                }
            }
            // Too old, of another worker, of an earlier process, or from another network.
            NonceCheck::Stale | NonceCheck::Forged => Verdict::Stale,
        }
    }

    fn verdict_on_unverifiable(
        &self,
        now: Instant,
        source: IpAddr,
        message: &Message<'_>,
        group: &PhoneGroup,
    ) -> Verdict {
        let Some((named, nonce)) = unverifiable(message) else {
            return Verdict::Missing;
        };
        let realm = group.realm.as_bytes();
        match (
            self.nonces.check(now, nonce, source, realm),
            group.index_of(named),
        ) {
            // Meant for somebody else, for all that is known.
            (NonceCheck::Forged, _) => Verdict::Missing,
            (_, Some(_)) => Verdict::Wrong(CredentialsOutcome::Wrong),
            (_, None) => Verdict::Wrong(CredentialsOutcome::WrongAccount),
        }
    }

    /// Asks for credentials: under all algorithms of the group, or, where a datagram from who knows where was
    /// too short for that, under the one that every phone knows.
    fn challenge(
        &mut self,
        now: Instant,
        flow: &Flow,
        message: &Message<'_>,
        group: &PhoneGroup,
        stale: bool,
    ) {
        let (_, status, header) = headers_of(message);
        let realm = group.realm.as_bytes();
        let nonce = self
            .nonces
            .mint(now, flow.remote.ip(), realm, &mut *self.entropy);
        let of = |algorithm: &Algorithm| Challenge::new(*algorithm, realm, nonce.as_bytes(), stale);
        let offered: Vec<Challenge> = group.algorithms.iter().map(of).collect();
        let sent = self.answer_unproven(flow, message, status, |writer| {
            for challenge in &offered {
                writer.header(header, challenge.to_string());
            }
        });
        if let (false, Some(weakest)) = (sent, offered.last()) {
            self.answer_unproven(flow, message, status, |writer| {
                writer.header(header, weakest.compacted());
            });
        }
    }
}

/// Whether the URI that was hashed names what the request is for (RFC 7616 §3.4.6): else whoever
/// sees one call of a phone on its way could aim it at another number. Hosts may differ: phones
/// write there what they like.
fn same_target(message: &Message<'_>, credentials: &Credentials<'_>) -> bool {
    let target = message.request_uri().and_then(|uri| Uri::parse(uri).ok());
    let hashed = Uri::parse(credentials.uri).ok();
    match (target, hashed) {
        (Some(target), Some(hashed)) => target.user_unescaped() == hashed.user_unescaped(),
        _ => false,
    }
}

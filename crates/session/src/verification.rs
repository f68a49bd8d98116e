//! Calls from a carrier are verified: the verification service of RFC 8224 §6.2, between the
//! INVITE and its route.
//!
//! A call whose certificate is not known yet waits for it, no longer than [`WAIT`]: the edge
//! fetches what [`Core::poll_fetch`] says and hands it in as [`Input::Certificate`]. A CANCEL ends
//! a call that waits, and everything else lets it go on without a verdict. Emergency calls never
//! wait and are never refused.
//!
//! Left out: the freshness is the minute of RFC 8224 §6.2.2, and no key changes it.
//!
//! [`Input::Certificate`]: crate::core::Input::Certificate

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ringfence_base::{Flow, HashKey, Instant};
use ringfence_detect::event::Attestation as Vouched;
use ringfence_detect::tdos::offer::{Attestation as Level, Upstream};
use ringfence_dialog::ServerId;
use ringfence_sip::{HeaderName, Index, Message};
use ringfence_stir::verifier::IDENTITIES_MAX;
use ringfence_stir::{
    Attestation, Expected, Orig, Progress, Replays, Trust, Verdict, Verifier, VerifyError, Verstat,
};
use smallvec::SmallVec;

use crate::access::Candidates;
use crate::call_id::CallId;
use crate::core::Core;
use crate::identity::{self, Identity};
use crate::incoming::Reply;
use crate::line_guard::{CALL_BACK_AFTER_EMERGENCY, says_call_back};
use crate::plan::Plan;
use crate::routing::{Route, route};
use crate::setup::Attempt;
use crate::signing::canonical;
use crate::spend::Pin;
use crate::supervise::Alarm;

/// Whom calls are verified by (`[stir]`), and the tokens that were used, which all workers share
/// and a reload keeps.
#[derive(Clone, Debug, Default)]
pub struct Verifying {
    /// The authorities, and where certificates may be fetched from.
    pub trust: Arc<Trust>,
    replays: Arc<OnceLock<Mutex<Replays>>>,
}

impl Verifying {
    /// Nothing used yet.
    pub fn new(trust: Arc<Trust>) -> Verifying {
        Verifying {
            trust,
            replays: Arc::default(),
        }
    }

    /// Keeps the used tokens of `before`.
    pub(crate) fn adopt(&mut self, before: &Verifying) {
        self.replays = Arc::clone(&before.replays);
    }

    fn with_replays(&self, key: HashKey, take: &mut dyn FnMut(&mut Replays) -> bool) -> bool {
        let replays = self.replays.get_or_init(|| Mutex::new(Replays::new(key)));
        take(&mut replays.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is done about the calls of a trunk (`stir.verify`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verification {
    /// They are verified, and it is written down and passed on.
    Note,
    /// Nothing.
    #[default]
    Off,
    /// Likewise, and what does not hold is refused with the status of RFC 8224 §6.2.2. A call of
    /// which nothing is known is not.
    Refuse,
}

/// How a phone system is told (`verstat`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerstatForm {
    /// Not at all.
    #[default]
    Off,
    /// As a parameter of the URI: `sip:+1…@host;verstat=…`.
    Uri,
    /// As a parameter of the number (3GPP TS 24.229 §7.2A.20): `sip:+1…;verstat=…@host`.
    User,
}

/// A call that waits for a certificate.
pub(crate) struct Parked {
    id: CallId,
    server: ServerId,
    flow: Flow,
    request: Bytes,
    candidates: Candidates,
    called: String,
    pin: Pin,
    expected: Expected,
    until: Instant,
}

/// What one worker has for it.
#[derive(Default)]
pub(crate) struct Verifications {
    verifier: Option<Box<Verifier>>,
    /// In the order of arrival, which is that of their ends.
    parked: VecDeque<Parked>,
}

impl Verifications {
    pub(crate) fn is_idle(&self) -> bool {
        self.parked.is_empty()
    }
}

/// How far a call came with its caller.
pub(crate) enum Verified {
    /// Nobody asks.
    Unasked,
    /// It is decided.
    Done(Verdict),
    /// It waits.
    Parked,
}

impl Core {
    /// The next certificate that is wanted: the address of an `info` parameter, which whoever
    /// fetches it must check again once its name is resolved. Poll until `None` after each input
    /// and each timeout.
    pub fn poll_fetch(&mut self) -> Option<String> {
        self.verifications.verifier.as_mut()?.poll_fetch()
    }

    /// Verifies the caller of a new call, or parks it until its certificate is there.
    pub(crate) fn verify_caller(
        &mut self,
        now: Instant,
        attempt: &Attempt<'_, '_>,
        candidates: &Candidates,
    ) -> Verified {
        let plan = Arc::clone(&self.plan);
        if plan.stir.is_none() || attempt.caller.is_some() {
            return Verified::Unasked;
        }
        // A call that has no way is refused for that, and nothing is fetched for it.
        let Ok(route) = route(&plan, candidates, &attempt.called) else {
            return Verified::Unasked;
        };
        let asks = plan
            .peer(route.ingress)
            .is_some_and(|peer| peer.policy.verification != Verification::Off);
        if !asks || route.emergency {
            return Verified::Unasked;
        }
        let message = attempt.reply.request;
        let Some(expected) = expected(&plan, &route, message) else {
            return self.count_verdict(Verdict::of(VerifyError::Absent));
        };
        match self.judge_caller(now, message, &expected) {
            Progress::Done(verdict) => self.count_verdict(verdict),
            Progress::Waiting if self.verifications.parked.len() >= PARKED_MAX => {
                self.count_verdict(Verdict::of(VerifyError::Unavailable))
            }
            Progress::Waiting => {
                self.park(now, attempt, candidates, expected);
                Verified::Parked
            }
        }
    }

    fn park(
        &mut self,
        now: Instant,
        attempt: &Attempt<'_, '_>,
        candidates: &Candidates,
        expected: Expected,
    ) {
        // The carrier need not send the INVITE again meanwhile.
        self.respond(now, &attempt.reply, 100);
        let until = now + WAIT;
        self.alarms.schedule(until, Alarm::Verification);
        self.verifications.parked.push_back(Parked {
            id: attempt.id,
            server: attempt.reply.server,
            flow: attempt.reply.flow,
            request: Bytes::copy_from_slice(attempt.reply.request.bytes()),
            candidates: candidates.clone(),
            called: attempt.called.clone(),
            pin: attempt.pin,
            expected,
            until,
        });
    }

    fn judge_caller(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        expected: &Expected,
    ) -> Progress {
        let Some(stir) = self.plan.stir.clone() else {
            return Progress::Done(Verdict::of(VerifyError::Unavailable));
        };
        let (unix, key) = (self.unix(now), self.hash);
        let verifications = &mut self.verifications;
        let verifier = verifications
            .verifier
            .get_or_insert_with(|| Box::new(Verifier::new(Arc::clone(&stir.trust), key)));
        let headers: SmallVec<[&[u8]; IDENTITIES_MAX]> = message
            .headers(HeaderName::Identity)
            .take(IDENTITIES_MAX)
            .collect();
        let call_id = message.call_id().unwrap_or_default();
        verifier.check(unix, &headers, expected, call_id, |take| {
            stir.with_replays(key, take)
        })
    }

    fn count_verdict(&mut self, verdict: Verdict) -> Verified {
        let place = match verdict.verstat() {
            Verstat::Passed => &mut self.counters.callers_verified,
            Verstat::Failed => &mut self.counters.callers_not_verified,
            Verstat::NoValidation => &mut self.counters.callers_unknown,
        };
        *place += 1;
        Verified::Done(verdict)
    }

    /// A certificate came, or will not.
    pub(crate) fn on_certificate(
        &mut self,
        now: Instant,
        url: &str,
        bytes: Option<&[u8]>,
        holds: Duration,
    ) {
        let unix = self.unix(now);
        let Some(verifier) = &mut self.verifications.verifier else {
            return;
        };
        verifier.on_certificate_for(unix, url, bytes, holds);
        // One at a time, so that a fault in one is that one's.
        for _ in 0..self.verifications.parked.len() {
            let Some(parked) = self.verifications.parked.pop_front() else {
                return;
            };
            let mut index = Index::default();
            let progress = match index.parse(&parked.request) {
                Ok(message) => self.judge_caller(now, &message, &parked.expected),
                Err(_) => Progress::Done(Verdict::of(VerifyError::Malformed)),
            };
            match progress {
                Progress::Done(verdict) => self.unpark(now, parked, verdict),
                Progress::Waiting => self.verifications.parked.push_back(parked),
            }
        }
    }

    /// Calls that have waited long enough go on.
    pub(crate) fn on_verification_alarm(&mut self, now: Instant) {
        let parked = &mut self.verifications.parked;
        let due = parked.iter().take_while(|parked| parked.until <= now);
        let due = due.count();
        let due: Vec<Parked> = parked.drain(..due).collect();
        for parked in due {
            self.unpark(now, parked, Verdict::of(VerifyError::TimedOut));
        }
    }

    /// All that wait go on, since what they were routed by is about to change.
    pub(crate) fn unpark_all(&mut self, now: Instant) {
        for parked in std::mem::take(&mut self.verifications.parked) {
            self.unpark(now, parked, Verdict::of(VerifyError::TimedOut));
        }
    }

    fn unpark(&mut self, now: Instant, parked: Parked, verdict: Verdict) {
        let Verified::Done(verdict) = self.count_verdict(verdict) else {
            return;
        };
        let key = self.next_key();
        self.guard_call(now, key, |core| {
            let mut index = Index::default();
            // It was parsed before.
            let Ok(message) = index.parse(&parked.request) else {
                return;
            };
            let reply = Reply::new(parked.server, &message, parked.flow);
            let attempt = Attempt {
                called: parked.called,
                pin: parked.pin,
                verdict: Some(verdict),
                ..Attempt::new(key, parked.id, reply)
            };
            core.set_up(now, &attempt, &parked.candidates);
        });
    }

    /// Why a call is refused for its caller's identity. Never an emergency call, nor the call back
    /// of somebody who may answer one, nor a call of which nothing is known.
    pub(crate) fn refuses_caller(
        &self,
        now: Instant,
        plan: &Plan,
        route: &Route,
        verdict: Option<&Verdict>,
        message: &Message<'_>,
    ) -> Option<VerifyError> {
        let error = verdict?.error.filter(|error| !error.is_unknown())?;
        let policy = plan.peer(route.ingress)?.policy.verification;
        let refuses = policy == Verification::Refuse && !route.emergency;
        let since = plan.site(route.site)?.usage.since_emergency(now);
        let lately = since.is_some_and(|since| since < CALL_BACK_AFTER_EMERGENCY);
        let call_back = lately && says_call_back(message);
        (refuses && !call_back).then_some(error)
    }

    /// A call is refused, for whatever reason but its caller: its carrier may offer it again over
    /// another trunk, with another Call-ID and the same token.
    pub(crate) fn give_token_back(&self, attempt: &Attempt<'_, '_>) {
        let passed = attempt
            .verdict
            .as_ref()
            .is_some_and(|it| it.error.is_none());
        if let (Some(stir), true) = (&self.plan.stir, passed) {
            let call_id = attempt.reply.request.call_id().unwrap_or_default();
            stir.with_replays(self.hash, &mut |used| {
                used.give_back(call_id);
                true
            });
        }
    }

    /// CANCEL of a call that waits (RFC 3261 §9.2); whether it is one.
    pub(crate) fn on_cancel_of_parked(
        &mut self,
        now: Instant,
        cancel: &Reply<'_, '_>,
        invite: ServerId,
    ) -> bool {
        let parked = &mut self.verifications.parked;
        let place = parked.iter().position(|parked| parked.server == invite);
        let Some(parked) = place.and_then(|place| parked.remove(place)) else {
            return false;
        };
        self.respond(now, cancel, 200);
        let mut index = Index::default();
        if let Ok(message) = index.parse(&parked.request) {
            let key = self.next_key();
            let reply = Reply::new(parked.server, &message, parked.flow);
            let attempt = Attempt {
                called: parked.called,
                ..Attempt::new(key, parked.id, reply)
            };
            self.note_cancelled(now, &attempt, &parked.candidates);
        }
        true
    }

    /// A plan that trusts others knows no certificates yet.
    pub(crate) fn adopt_trust(&mut self) {
        let trust = self.plan.stir.as_ref().map(|stir| &stir.trust);
        let verifier = self.verifications.verifier.as_ref();
        if verifier.is_some_and(|verifier| trust != Some(verifier.trust())) {
            self.verifications.verifier = None;
        }
    }
}

/// Who calls whom, as the signer must have said it; `None` if there is no number to speak of.
fn expected(plan: &Plan, route: &Route, message: &Message<'_>) -> Option<Expected> {
    let (peer, site) = (plan.peer(route.ingress)?, plan.site(route.site)?);
    let calling = identity::claimed(peer, site, message)?;
    let to = identity::to_number(peer, site, message);
    let dests = to.iter().chain([&route.called]);
    let dests = dests.filter_map(|number| canonical(number).map(Orig::Tn));
    let date = message.header(HeaderName::Date).and_then(seconds_of_date);
    Some(Expected {
        orig: Orig::Tn(canonical(&calling)?),
        dests: dests.collect(),
        date,
    })
}

/// What the guard of the lines is told. Weak evidence: whoever signs chooses the `origid`.
pub(crate) fn upstream(identity: &Identity) -> Upstream {
    let verdict = identity.verified.as_ref().map(|kept| &kept.verdict);
    let Some(verdict) = verdict.filter(|verdict| verdict.error.is_none()) else {
        return Upstream::default();
    };
    let digits = verdict.origid.iter().flat_map(|origid| origid.chars());
    let digits = digits.filter_map(|digit| digit.to_digit(16));
    Upstream {
        // Workers share the guard, so it must be the same number in each.
        origid: digits.fold(0, |hash: u64, digit| {
            hash.rotate_left(4).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(digit + 1)
        }),
        attestation: match verdict.attest {
            Some(Attestation::A) => Level::A,
            Some(Attestation::B) => Level::B,
            Some(Attestation::C) => Level::C,
            None => Level::None,
        },
        ..Upstream::default()
    }
}

/// What detection is told.
pub(crate) fn vouched(verdict: Option<&Verdict>) -> Vouched {
    let Some(verdict) = verdict else {
        return Vouched::Absent;
    };
    match (verdict.verstat(), verdict.attest) {
        (Verstat::Passed, Some(Attestation::A)) => Vouched::A,
        (Verstat::Passed, Some(Attestation::B)) => Vouched::B,
        (Verstat::Passed, Some(Attestation::C)) => Vouched::C,
        (Verstat::Failed, _) => Vouched::Invalid,
        (Verstat::Passed, None) | (Verstat::NoValidation, _) => Vouched::Absent,
    }
}

/// The verdict in words, for the record.
pub(crate) fn in_words(verdict: &Verdict) -> String {
    let Some(error) = verdict.error else {
        let attest = match verdict.attest {
            Some(Attestation::A) => ", attestation A",
            Some(Attestation::B) => ", attestation B",
            Some(Attestation::C) => ", attestation C",
            None => "",
        };
        let origid = verdict.origid.as_deref();
        let origid = origid.map(|origid| format!(", origid {origid}"));
        return format!("caller verified{attest}{}", origid.unwrap_or_default());
    };
    match verdict.verstat() {
        Verstat::NoValidation => format!("caller not verified: {error}"),
        _ => format!("caller's identity fails: {error}"),
    }
}

/// Seconds since 1970 of a Date header (RFC 3261 §20.17): `Sat, 13 Nov 2010 23:29:00 GMT`.
fn seconds_of_date(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    let (_, text) = text.split_once(',')?;
    let mut words = text.split_ascii_whitespace();
    let day: u64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = months.iter().position(|name| *name == month)? as u64 + 1;
    let year: u64 = words.next()?.parse().ok()?;
    let mut clock = words
        .next()?
        .split(':')
        .map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let sound = (1970..10_000).contains(&year) && (1..=31).contains(&day);
    if !sound || hour > 23 || minute > 59 || second > 60 || words.next() != Some("GMT") {
        return None;
    }
    // Years that begin in March put the leap day last.
    let (shifted, month) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let leaps = shifted / 4 - shifted / 100 + shifted / 400;
    let days = shifted * 365 + leaps + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(DAYS_TO_1970)?;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// Days from the first of March of the year 0 to the first of January 1970.
const DAYS_TO_1970: u64 = 719_468;
/// How long a call waits for its certificate.
pub const WAIT: Duration = Duration::from_secs(2);
/// Calls that may wait at once in one worker; the next one goes on unverified.
pub const PARKED_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_to_the_second_rfc3261_20_17() {
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Sat, 13 Nov 2010 23:29:00 GMT", Some(1_289_690_940)),
            ("Thu, 29 Feb 2024 12:00:01 GMT", Some(1_709_208_001)),
            ("Thu, 29 Feb 2024 12:00:01 CET", None),
            ("Thu, 29 Feb 1024 12:00:01 GMT", None),
            ("29 Feb 2024", None),
            ("", None),
        ] {
            assert_eq!(seconds_of_date(text.as_bytes()), seconds, "{text}");
        }
    }
}

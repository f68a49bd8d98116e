//! What workers count together: channels in use, the call rate, health.
//!
//! Plain atomics, no lock: a worker never waits for another one. Relaxed order suffices, since
//! each number stands alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use ringfence_base::{Instant, UnixTime};

use crate::health::Standing;
use crate::line_guard::Lines;
use crate::provider::Sound;
use crate::registration::RegistrationView;

/// Counters of one peer or one site.
#[derive(Debug, Default)]
pub struct Usage {
    calls: AtomicU32,
    /// The theoretical arrival time of the rate limit (GCRA), in nanoseconds.
    next_conforming: AtomicU64,
    /// Last answered call, in unix microseconds; 0 is none.
    answered: AtomicI64,
    /// Last message received from the peer, in unix microseconds; 0 is none.
    heard: AtomicI64,
    /// Last OPTIONS answered, in unix microseconds; 0 is none.
    options_answered: AtomicI64,
    /// Round trip of that OPTIONS in microseconds.
    options_round_trip: AtomicU32,
    /// OPTIONS in a row without an answer.
    options_missed: AtomicU32,
    /// Whether it is in use for new calls.
    pub standing: Standing,
    /// How the sound of its last calls arrived.
    pub(crate) sound: Sound,
    /// Of a site: its lines under attack, and its tenant's known callers.
    pub lines: Lines,
    /// The registration with the peer, if there is to be one.
    registration: ArcSwapOption<RegistrationView>,
    /// Until when our binding at the peer lasts, in nanoseconds; 0 is no binding.
    bound_until: AtomicU64,
    /// Somebody saw a sign that the binding is gone, and the worker that keeps it does not know.
    suspected: AtomicBool,
    /// Of a site: its last emergency call, in nanoseconds; 0 is none.
    emergency: AtomicU64,
    /// Of a site: calls whose callers are asked for the PIN.
    pin_places: AtomicU32,
}

impl Usage {
    /// Takes a channel if fewer than `limit` are in use (0: always).
    #[must_use]
    pub fn take_channel(&self, limit: u32) -> bool {
        self.calls
            .fetch_update(Relaxed, Relaxed, |calls| {
                fits(calls, limit).then(|| calls.saturating_add(1))
            })
            .is_ok()
    }

    /// Whether [`Usage::take_channel`] would take one now.
    pub fn has_channel(&self, limit: u32) -> bool {
        fits(self.calls(), limit)
    }

    /// Gives a channel back.
    pub fn release_channel(&self) {
        let _ = self
            .calls
            .fetch_update(Relaxed, Relaxed, |calls| Some(calls.saturating_sub(1)));
    }

    /// Takes a place for a call whose caller is asked for the PIN, if fewer than `limit` are taken.
    #[must_use]
    pub(crate) fn take_pin_place(&self, limit: u32) -> bool {
        let taken = |places| (places < limit).then(|| places + 1);
        let taken = self.pin_places.fetch_update(Relaxed, Relaxed, taken);
        taken.is_ok()
    }

    /// Gives it back.
    pub(crate) fn release_pin_place(&self) {
        let _ = self
            .pin_places
            .fetch_update(Relaxed, Relaxed, |places| Some(places.saturating_sub(1)));
    }

    /// The site has made an emergency call.
    pub(crate) fn note_emergency(&self, now: Instant) {
        self.emergency.fetch_max(now.as_nanos().max(1), Relaxed);
    }

    /// How long ago the site's last emergency call was, if there was one.
    pub(crate) fn since_emergency(&self, now: Instant) -> Option<Duration> {
        match self.emergency.load(Relaxed) {
            0 => None,
            at => Some(now.saturating_since(Instant::from_nanos(at))),
        }
    }

    /// Channels in use.
    pub fn calls(&self) -> u32 {
        self.calls.load(Relaxed)
    }

    /// Whether one more call fits `per_second` (0: always), with a burst of one second's worth.
    #[must_use]
    pub fn take_rate(&self, now: Instant, per_second: u32) -> bool {
        if per_second == 0 {
            return true;
        }
        let interval = 1_000_000_000 / u64::from(per_second);
        let burst = 1_000_000_000 - interval;
        let now = now.as_nanos();
        self.next_conforming
            .fetch_update(Relaxed, Relaxed, |expected| {
                let expected = expected.max(now);
                (expected <= now.saturating_add(burst)).then(|| expected.saturating_add(interval))
            })
            .is_ok()
    }

    /// Notes an answered call: the proof that the line works.
    pub fn note_answered(&self, at: UnixTime) {
        self.answered.store(at.as_micros(), Relaxed);
    }

    /// Notes that the peer was heard.
    pub fn note_heard(&self, at: UnixTime) {
        self.heard.store(at.as_micros(), Relaxed);
    }

    /// Notes an answered OPTIONS.
    pub fn note_options(&self, at: UnixTime, round_trip: Duration) {
        self.options_answered.store(at.as_micros(), Relaxed);
        let micros = u32::try_from(round_trip.as_micros()).unwrap_or(u32::MAX);
        self.options_round_trip.store(micros, Relaxed);
        self.options_missed.store(0, Relaxed);
    }

    /// Notes an OPTIONS that got no answer.
    pub fn note_options_missed(&self) {
        self.options_missed.fetch_add(1, Relaxed);
    }

    /// Shows how the registration with the peer stands; `None` if there is to be none.
    pub fn set_registration(&self, view: Option<Arc<RegistrationView>>) {
        self.registration.store(view);
    }

    /// How the registration with the peer stands.
    pub fn registration(&self) -> Option<Arc<RegistrationView>> {
        self.registration.load_full()
    }

    /// Notes until when our binding at the peer lasts.
    pub fn set_bound(&self, until: Option<Instant>) {
        let until = until.map_or(0, Instant::as_nanos);
        self.bound_until.store(until, Relaxed);
    }

    /// Whether the peer knows where we are.
    pub fn is_bound(&self, now: Instant) -> bool {
        self.bound_until.load(Relaxed) > now.as_nanos()
    }

    /// Tells the worker that keeps the registration that the binding may be gone.
    pub fn suspect(&self) {
        self.suspected.store(true, Relaxed);
    }

    /// Whether somebody has, since the last time.
    pub fn take_suspicion(&self) -> bool {
        self.suspected.swap(false, Relaxed)
    }

    /// All of it at once, for people.
    pub fn health(&self) -> Health {
        let time = |cell: &AtomicI64| {
            let micros = cell.load(Relaxed);
            (micros != 0).then(|| UnixTime::from_micros(micros))
        };
        let options_answered = time(&self.options_answered);
        Health {
            calls: self.calls(),
            answered: time(&self.answered),
            heard: time(&self.heard),
            options_round_trip: options_answered
                .map(|_| Duration::from_micros(self.options_round_trip.load(Relaxed).into())),
            options_answered,
            options_missed: self.options_missed.load(Relaxed),
        }
    }
}

const fn fits(calls: u32, limit: u32) -> bool {
    limit == 0 || calls < limit
}

/// A reading of [`Usage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Channels in use.
    pub calls: u32,
    /// Last answered call.
    pub answered: Option<UnixTime>,
    /// Last message received.
    pub heard: Option<UnixTime>,
    /// Last OPTIONS answered.
    pub options_answered: Option<UnixTime>,
    /// Its round trip.
    pub options_round_trip: Option<Duration>,
    /// OPTIONS in a row without an answer.
    pub options_missed: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_stop_at_the_limit_and_come_back() {
        let usage = Usage::default();
        assert!(usage.take_channel(1) && !usage.take_channel(1));
        usage.release_channel();
        assert!(usage.take_channel(1));
        assert!(usage.take_channel(0), "0 is no limit");
    }

    #[test]
    fn the_rate_allows_a_second_of_burst_then_one_each_interval() {
        let usage = Usage::default();
        let now = Instant::ZERO + Duration::from_secs(5);
        assert_eq!((0..20).filter(|_| usage.take_rate(now, 5)).count(), 5);
        assert!(usage.take_rate(now + Duration::from_millis(200), 5));
        assert!(!usage.take_rate(now + Duration::from_millis(200), 5));
        assert!((0..100).all(|_| usage.take_rate(now, 0)));
    }
}

//! What is done to one account: passwords guessed from one place or from many, the first success
//! from a new place after failures, a registration that moves away.
//!
//! The pair of account and place is what fails. So behind one NAT only the account that is tried
//! loses, and failures from elsewhere never lock its owner out.

use std::net::IpAddr;
use std::time::Duration;

use ringfence_base::{HashKey, Instant};

use crate::event::{BindingChange, CredentialsOutcome, Fingerprint, Source};
use crate::finding::{Confidence, Finding, Kind, Subject, Value};
use crate::name::Name;
use crate::own::place_of;
use crate::sketch::{CountMin, Decaying, Distinct, HORIZONS, Horizon, Tier, Tiered};

/// Wrong passwords of one account from one place, by horizon: a burst of a program, minutes of a
/// patient one, hours and days of a very patient one. The fifth in a row has faded a little. A phone with an old password that tries once
/// a minute stays below the second and is found by the third.
const GUESSES: [f32; 4] = [4.5, 9.5, 60.0, 500.0];
/// Places from which one account is guessed.
const PLACES_GUESSING: u64 = 5;
/// Failures from places that are not the account's own, before a success is no coincidence: with
/// places that are known, and with none.
const FAILURES_KNOWN: f32 = 3.0;
const FAILURES_UNKNOWN: f32 = 10.0;
/// How sure it is that a password is in wrong hands that works at its first use, with a program that tries
/// passwords on many: less than what is acted upon.
const STUFFED: u8 = 75;
/// Replays in minutes.
const REPLAYS: f32 = 10.0;
/// Places, builds and devices that are remembered for each account.
const KNOWN_MAX: usize = 8;
/// How soon after `Contact: *` a new contact is suspicious.
const TAKEN_AWAY: Duration = Duration::from_secs(30);
/// A move is found at this many marks.
const MOVE_MARKS: u32 = 3;

/// A few hashes, the youngest last.
#[derive(Clone, Copy, Debug, Default)]
struct Few([u64; KNOWN_MAX]);

impl Few {
    fn has(&self, hash: u64) -> bool {
        self.0.contains(&hash)
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|hash| *hash == 0)
    }

    fn note(&mut self, hash: u64) {
        if hash == 0 {
            return;
        }
        let found = self.0.iter().position(|known| *known == hash);
        let from = found.unwrap_or(0);
        if let Some(tail) = self.0.get_mut(from..) {
            tail.rotate_left(1);
        }
        if let Some(last) = self.0.last_mut() {
            *last = hash;
        }
    }
}

#[derive(Clone, Debug, Default)]
struct State {
    first_wrong: Instant,
    /// Wrong answers from places that are not its own.
    wrong: Decaying,
    wrong_from: Distinct,
    replays: Decaying,
    places: Few,
    builds: Few,
    devices: Few,
    /// The place from where all bindings were taken away, and when.
    taken_away: Option<(Instant, u64)>,
    /// When it was found to be in wrong hands.
    lost: Option<Instant>,
}

/// What is done to accounts.
#[derive(Debug)]
pub(crate) struct Accounts {
    key: HashKey,
    states: Tiered<u64, State>,
    pairs: [CountMin; 4],
}

/// What right credentials mean.
pub(crate) struct Welcome {
    pub(crate) finding: Option<Finding>,
    /// Whether the place is to be protected: not if the account may be in wrong hands.
    pub(crate) protects: bool,
}

impl Accounts {
    pub(crate) fn new(key: HashKey, capacity: usize, width: usize) -> Accounts {
        Accounts {
            key,
            states: Tiered::new(key, capacity),
            pairs: HORIZONS.map(|horizon| CountMin::new(width, horizon)),
        }
    }

    /// Whether `account` answered rightly from the place of `address`.
    pub(crate) fn knows(&self, account: Name, address: IpAddr) -> bool {
        let place = self.place(address);
        self.states
            .get(&account.hash())
            .is_some_and(|state| state.places.has(place))
    }

    /// Wrong credentials to a nonce of ours.
    pub(crate) fn on_wrong(
        &mut self,
        now: Instant,
        source: &Source,
        account: Name,
        outcome: CredentialsOutcome,
        own_place: bool,
    ) -> Option<Finding> {
        let place = self.place(source.address());
        let pair = self.pair(account, source.address());
        let mut tries = [0.0; 4];
        for (count, sketch) in tries.iter_mut().zip(&mut self.pairs) {
            *count = sketch.add(now, pair, 1.0);
        }
        let exists = outcome != CredentialsOutcome::WrongAccount;
        let tier = if exists { Tier::Proven } else { Tier::Unproven };
        let mut from = 0;
        let mut first = now;
        let mut wrong = 0.0;
        if let Some(state) = self.states.touch(account.hash(), tier)
            && !state.places.has(place)
        {
            if state.wrong.get(now, Horizon::Days) < 0.5 {
                state.first_wrong = now;
                state.wrong_from.clear();
            }
            first = state.first_wrong;
            wrong = state.wrong.add(now, Horizon::Days, 1.0);
            state.wrong_from.insert(place);
            from = state.wrong_from.count();
        }
        let found = tries
            .iter()
            .zip(GUESSES)
            .position(|(tries, limit)| *tries >= limit);
        if let Some(horizon) = found {
            let tries = tries.get(horizon).copied().unwrap_or_default();
            // One account at an address of many loses alone.
            let subject = match own_place || horizon > 1 {
                true => Subject::AccountFrom(account, place_of(source.address())),
                false => Subject::Address(place_of(source.address())),
            };
            let mut finding = wrong_finding(subject, source, (first, now), tries);
            finding.confidence = Confidence::new(if horizon == 0 { 97 } else { 90 });
            finding.note("wrong passwords", Value::Count(tries.round() as u64));
            finding.note("account", Value::Text(account));
            return Some(finding);
        }
        if from >= PLACES_GUESSING {
            let subject = Subject::Account(account);
            let mut finding = wrong_finding(subject, source, (first, now), wrong);
            finding.confidence = Confidence::new(85);
            finding.note("wrong passwords", Value::Count(wrong.round() as u64));
            finding.note("places", Value::Count(from));
            return Some(finding);
        }
        None
    }

    /// Credentials were right, but used before.
    pub(crate) fn on_replayed(
        &mut self,
        now: Instant,
        source: &Source,
        account: Name,
    ) -> Option<Finding> {
        let place = self.place(source.address());
        let state = self.states.touch(account.hash(), Tier::Own)?;
        let own = state.places.has(place);
        let replays = state.replays.add(now, Horizon::Minutes, 1.0);
        // A phone that uses its nonce twice is asked again and goes on.
        if own || replays < REPLAYS {
            return None;
        }
        let subject = Subject::AccountFrom(account, place_of(source.address()));
        let mut finding = Finding::new(Kind::NonceReplay, subject, now);
        finding.source = Some(source.address());
        finding.proof = source.proof;
        finding.count = replays as u64;
        finding.confidence = Confidence::new(60);
        finding.note("repeated in minutes", Value::Count(replays as u64));
        Some(finding)
    }

    /// Credentials were right, and new. `tried` says on how many accounts this very program, from many
    /// addresses, has tried passwords in vain.
    pub(crate) fn on_right(
        &mut self,
        now: Instant,
        source: &Source,
        account: Name,
        build: Fingerprint,
        tried: Option<u64>,
    ) -> Welcome {
        let place = self.place(source.address());
        let pair = self.pair(account, source.address());
        let mut tried_here = 0.0_f32;
        for (sketch, horizon) in self.pairs.iter_mut().zip(HORIZONS) {
            let tries = sketch.get(now, pair);
            if horizon == Horizon::Days {
                tried_here = tries;
            }
            if tries > 0.0 {
                sketch.add(now, pair, -tries);
            }
        }
        let Some(state) = self.states.touch(account.hash(), Tier::Own) else {
            return Welcome {
                finding: None,
                protects: false,
            };
        };
        let new_place = !state.places.has(place);
        let unknown = state.places.is_empty();
        let failures = state.wrong.get(now, Horizon::Days).max(match new_place {
            true => tried_here,
            false => 0.0,
        });
        let limit = match unknown {
            true => FAILURES_UNKNOWN,
            false => FAILURES_KNOWN,
        };
        let mut finding = None;
        // Fading takes a little off three failures at once.
        if new_place && failures > limit - 0.5 {
            let mut found = Finding::new(Kind::Compromise, Subject::Account(account), now);
            found.first = state.first_wrong;
            found.source = Some(source.address());
            found.proof = source.proof;
            found.count = failures.round() as u64 + 1;
            found.confidence = Confidence::new(if unknown { 80 } else { 95 });
            found.note("failures before", Value::Count(failures.round() as u64));
            found.note(
                "places of the failures",
                Value::Count(state.wrong_from.count()),
            );
            let build_known = match state.builds.has(build.0) {
                true => "known",
                false => "new",
            };
            found.note("program", Value::Word(build_known));
            finding = Some(found);
            state.lost = Some(now);
        }
        // Leaked pairs work at the first try: the failures are those of the program, on others. An
        // account that never had a place, or whose phone is built like that, tells nothing.
        let stuffed = tried
            .filter(|_| finding.is_none() && new_place && !unknown && !state.builds.has(build.0));
        if let Some(accounts) = stuffed {
            let mut found = Finding::new(Kind::Compromise, Subject::Account(account), now);
            found.source = Some(source.address());
            found.proof = source.proof;
            // Its owner may have a new phone that is built like the attacker's: an alarm, no more.
            found.confidence = Confidence::new(STUFFED);
            found.note("program", Value::Word("new"));
            found.note("accounts it tried in vain", Value::Count(accounts));
            finding = Some(found);
            state.lost = Some(now);
        }
        let lost = state.lost.is_some();
        if finding.is_some() {
            // The next attack is counted from here.
            state.wrong.clear();
            state.wrong_from.clear();
        }
        if !(lost && new_place) {
            state.places.note(place);
            state.builds.note(build.0);
        }
        Welcome {
            finding,
            protects: !(lost && new_place),
        }
    }

    /// A registration was accepted: it may have moved into other hands. Called before
    /// [`Accounts::on_right`] learns its place.
    pub(crate) fn on_registered(
        &mut self,
        now: Instant,
        source: &Source,
        account: Name,
        change: &BindingChange,
        marks: Marks,
    ) -> Option<Finding> {
        let place = self.place(source.address());
        let state = self.states.touch(account.hash(), Tier::Own)?;
        let new_device = change.instance != 0 && !state.devices.has(change.instance);
        let first_device = state.devices.is_empty();
        state.devices.note(change.instance);
        if change.removed_all {
            state.taken_away = Some((now, place));
        }
        let taken = state.taken_away.is_some_and(|(at, from)| {
            !change.removed_all && now.saturating_since(at) < TAKEN_AWAY && from == place
        });
        let weights = [
            (marks.new_place, 1, "new place"),
            (marks.new_build, 1, "new program"),
            (new_device && !first_device, 1, "new device"),
            (
                taken && marks.new_place,
                2,
                "all others were taken away before",
            ),
            (
                change.first_choice && change.before > 0 && marks.new_place,
                1,
                "wants to be tried first",
            ),
        ];
        let sum: u32 = weights
            .iter()
            .filter(|(there, ..)| *there)
            .map(|(_, weight, _)| weight)
            .sum();
        if !marks.new_place || sum < MOVE_MARKS {
            return None;
        }
        let mut finding = Finding::new(Kind::RegistrationHijack, Subject::Account(account), now);
        finding.source = Some(source.address());
        finding.proof = source.proof;
        finding.confidence = Confidence::new((20 + 15 * sum.min(5)) as u8);
        for (_, _, what) in weights.iter().filter(|(there, ..)| *there) {
            finding.note("mark", Value::Word(what));
        }
        finding.note("contacts before", Value::Count(change.before.into()));
        finding.note("contacts after", Value::Count(change.after.into()));
        Some(finding)
    }

    /// What is new about a right answer, before it is learnt. An account that is seen for the first
    /// time has nothing new about it.
    pub(crate) fn marks(&self, source: &Source, account: Name, build: Fingerprint) -> Marks {
        let place = self.place(source.address());
        self.states
            .get(&account.hash())
            .map_or(Marks::default(), |state| Marks {
                new_place: !state.places.is_empty() && !state.places.has(place),
                new_build: !state.builds.is_empty() && !state.builds.has(build.0),
            })
    }

    pub(crate) fn evicted(&self) -> [u64; 3] {
        self.states.evicted()
    }

    pub(crate) fn memory(&self) -> usize {
        let inner: usize = self
            .states
            .iter()
            .map(|(_, state)| state.wrong_from.memory())
            .sum();
        self.states.memory() + inner + self.pairs.iter().map(CountMin::memory).sum::<usize>()
    }

    fn place(&self, address: IpAddr) -> u64 {
        self.key.hash64(&place_of(address)).max(1)
    }

    fn pair(&self, account: Name, address: IpAddr) -> u64 {
        pair_of(self.key, account, address)
    }
}

/// What stands for an account as it is tried from one place.
pub fn pair_of(key: HashKey, account: Name, address: IpAddr) -> u64 {
    key.hash64(&(account.hash(), place_of(address)))
}

/// What is new about a right answer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Marks {
    pub(crate) new_place: bool,
    pub(crate) new_build: bool,
}

fn wrong_finding(
    subject: Subject,
    source: &Source,
    (first, last): (Instant, Instant),
    count: f32,
) -> Finding {
    let mut finding = Finding::new(Kind::Guessing, subject, first);
    finding.last = last;
    finding.source = Some(source.address());
    finding.proof = source.proof;
    finding.count = count.round() as u64;
    finding
}

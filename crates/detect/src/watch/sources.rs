//! What one address does: scans, enumeration, floods, broken messages, passwords on many accounts.
//!
//! Outcomes count, not packets. A challenge that is answered rightly costs nothing, and takes back
//! what its source was charged; one that stays unanswered counts after [`GRACE`]. An address from
//! which somebody registered well is never found to be a scanner: behind it is an office.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ringfence_base::{HashKey, Instant};
use ringfence_sip::Defects;

use crate::event::{Asked, MethodKind, Refusal, Source, Tells};
use crate::feed::{AddressList, LISTS_MAX};
use crate::finding::{Confidence, Finding, Kind, Subject, Value};
use crate::name::Name;
use crate::own::place_of;
use crate::sketch::{Decaying, Distinct, Horizon, Tier, Tiered};

/// How long the right answer to a challenge may take before the challenge counts as unanswered.
pub(crate) const GRACE: Duration = Duration::from_millis(900);

/// A scan is found at this score. A refusal weighs 1, each further target 1, each tell its weight.
const SCAN_SCORE: f32 = 5.0;
/// What a source's place on a list adds to its score, on however many it stands, and only where what it
/// did here weighs something: a scan is found at 5, so 3 of it are always the source's own doing.
pub const LISTED_SCORE: f32 = 2.0;
/// Targets that make it an enumeration.
const ENUMERATED: u64 = 5;
/// Low and slow: as many within hours.
const SLOW_TARGETS: u64 = 8;
/// Accounts with a wrong password from one address.
const ACCOUNTS_TRIED: u64 = 5;
/// Broken messages in minutes.
const MALFORMED: f32 = 8.0;
/// Requests for nothing in some ten seconds, of a stranger and of one of the customer's own.
const FLOOD_STRANGER: f32 = 200.0;
const FLOOD_OWN: f32 = 5_000.0;
/// Transactions that are remembered, to know retransmissions.
const TRANSACTIONS: usize = 4;
/// What a source did is forgotten after so long without anything.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(12 * 3600);

#[derive(Clone, Debug, Default)]
struct State {
    first: Instant,
    last: Instant,
    events: u64,
    tells: Tells,
    /// Anything at all.
    burst: Decaying,
    refused: Decaying,
    malformed: Decaying,
    defects: Defects,
    /// What was asked for in vain.
    targets: Distinct,
    /// Accounts with wrong passwords, and tries.
    accounts: Distinct,
    wrong: Decaying,
    /// The last right answer.
    right: Option<Instant>,
    recent: [u64; TRANSACTIONS],
    recent_next: u8,
}

impl State {
    /// Whether a request was seen already.
    fn is_repeat(&mut self, transaction: u64) -> bool {
        if self.recent.contains(&transaction) {
            return true;
        }
        let place = usize::from(self.recent_next) % TRANSACTIONS;
        if let Some(slot) = self.recent.get_mut(place) {
            *slot = transaction;
        }
        self.recent_next = self.recent_next.wrapping_add(1);
        false
    }
}

/// What addresses do.
#[derive(Debug)]
pub(crate) struct Sources {
    /// What is proved to come from a place and what only claims to are two histories: made-up
    /// packets can never bring a ban on somebody who happens to prove his address later.
    states: Tiered<(IpAddr, bool), State>,
    lists: Lists,
}

/// The lists of others, each with its name as evidence.
#[derive(Debug, Default)]
struct Lists(Vec<(Name, Arc<AddressList>)>);

impl Lists {
    /// Those that `address` stands on.
    fn naming(&self, address: IpAddr) -> impl Iterator<Item = Name> {
        let lists = self.0.iter();
        lists
            .filter(move |(_, list)| list.contains(address))
            .map(|(name, _)| *name)
    }
}

impl Sources {
    pub(crate) fn new(key: HashKey, capacity: usize) -> Sources {
        Sources {
            states: Tiered::new(key, capacity),
            lists: Lists::default(),
        }
    }

    /// Asks these lists from now on; those after the first [`LISTS_MAX`] are left out.
    pub(crate) fn set_lists(&mut self, key: HashKey, lists: &[Arc<AddressList>]) {
        let named = lists.iter().take(LISTS_MAX);
        let named = named.map(|list| (Name::new(key, list.name().as_bytes()), Arc::clone(list)));
        self.lists = Lists(named.collect());
    }

    /// The names of the lists that `address` stands on.
    pub(crate) fn listed(&self, address: IpAddr) -> Vec<String> {
        self.lists
            .naming(address)
            .map(|name| name.shown())
            .collect()
    }

    fn touch(&mut self, now: Instant, source: &Source) -> Option<&mut State> {
        touch(&mut self.states, now, source)
    }

    /// Something came from `source` that led to nothing: floods. What leads to something is a busy
    /// day, however much it is.
    pub(crate) fn on_vain(&mut self, now: Instant, source: &Source) -> Option<Finding> {
        let state = self.touch(now, source)?;
        state.events += 1;
        let rate = state.burst.add(now, Horizon::Burst, 1.0);
        let own = source.principal.is_own();
        let limit = if own { FLOOD_OWN } else { FLOOD_STRANGER };
        if rate < limit {
            return None;
        }
        let mut finding = about(Kind::Flood, source, state);
        finding.count = rate as u64;
        finding.confidence = Confidence::new(if own { 40 } else { 90 });
        finding.note(
            "requests for nothing in ten seconds",
            Value::Count(rate as u64),
        );
        Some(finding)
    }

    /// A request was refused. Whether it was a new one comes back with the finding.
    pub(crate) fn on_refused(
        &mut self,
        now: Instant,
        source: &Source,
        reason: Refusal,
        asked: &Asked,
        own_place: bool,
    ) -> (bool, Option<Finding>) {
        if source.principal.is_own()
            || !matches!(
                reason,
                Refusal::Stranger | Refusal::DialogUnknown | Refusal::Malformed
            )
        {
            return (false, None);
        }
        let Some(state) = touch(&mut self.states, now, source) else {
            return (false, None);
        };
        if state.is_repeat(asked.transaction) {
            return (false, None);
        }
        state.tells = state.tells.with(asked.shape.tells);
        state.refused.add(now, Horizon::Hours, 1.0);
        state.targets.insert(target(asked));
        (true, judge_scan(now, source, state, own_place, &self.lists))
    }

    /// A challenge went out. Whether it is to be waited for.
    pub(crate) fn on_challenged(&mut self, now: Instant, source: &Source, asked: &Asked) -> bool {
        let Some(state) = self.touch(now, source) else {
            return false;
        };
        let tells = state.tells.with(asked.shape.tells);
        let repeat = state.is_repeat(asked.transaction);
        state.tells = tells;
        !repeat
    }

    /// An account was asked for that does not exist, and a challenge went out as to any other. Each
    /// such account weighs as much as a refusal; the same one again weighs nothing, for that is a phone
    /// whose account is misspelt.
    pub(crate) fn on_nobody(
        &mut self,
        now: Instant,
        source: &Source,
        asked: &Asked,
        own_place: bool,
    ) -> Option<Finding> {
        let state = touch(&mut self.states, now, source)?;
        let before = state.targets.count();
        state.targets.insert(target(asked));
        if state.targets.count() == before {
            return None;
        }
        state.refused.add(now, Horizon::Hours, 1.0);
        judge_scan(now, source, state, own_place, &self.lists)
    }

    /// The time for the right answer to a challenge is over. `answered` when it came.
    pub(crate) fn on_unanswered(
        &mut self,
        now: Instant,
        source: &Source,
        asked: &Asked,
        challenged_at: Instant,
        own_place: bool,
    ) -> (bool, Option<Finding>) {
        let Some(state) = self.states.get_mut(&history(source)) else {
            return (true, None);
        };
        if state.right.is_some_and(|at| at >= challenged_at) {
            return (false, None);
        }
        state.targets.insert(target(asked));
        (true, judge_scan(now, source, state, own_place, &self.lists))
    }

    /// Credentials were right: what the source was charged for asking is taken back.
    pub(crate) fn on_right(&mut self, now: Instant, source: &Source) {
        // The request that was challenged had proved nothing yet.
        for proved in [false, true] {
            let place = (place_of(source.address()), proved);
            if let Some(state) = self.states.get_mut(&place) {
                state.right = Some(now);
                state.refused.clear();
                state.targets.clear();
                state.tells = Tells::NONE;
            }
        }
    }

    /// Credentials were wrong, to a nonce of ours: one password on many accounts, or many pairs.
    pub(crate) fn on_wrong(
        &mut self,
        now: Instant,
        source: &Source,
        account: u64,
    ) -> Option<Finding> {
        let state = self.touch(now, source)?;
        state.events += 1;
        state.accounts.insert(account);
        let wrong = state.wrong.add(now, Horizon::Hours, 1.0);
        let accounts = state.accounts.count();
        if accounts < ACCOUNTS_TRIED {
            return None;
        }
        let each = f64::from(wrong) / accounts as f64;
        let kind = match each < 1.5 {
            true => Kind::Stuffing,
            false => Kind::Spraying,
        };
        let mut finding = about(kind, source, state);
        finding.count = wrong as u64;
        finding.confidence = Confidence::new(95);
        finding.note("accounts tried", Value::Count(accounts));
        finding.note("tries for each", Value::Number(each));
        Some(finding)
    }

    /// A message was broken, or nothing could be made of it.
    pub(crate) fn on_malformed(
        &mut self,
        now: Instant,
        source: &Source,
        defects: Defects,
        weight: f32,
        own_place: bool,
    ) -> Option<Finding> {
        let state = self.touch(now, source)?;
        state.defects |= defects;
        let count = state.malformed.add(now, Horizon::Minutes, weight);
        // What the customer's own lines send is looked at, and only when it does not end.
        let own = own_place || source.principal.is_own();
        if count < if own { MALFORMED * 10.0 } else { MALFORMED } {
            return None;
        }
        let mut finding = about(Kind::Malformed, source, state);
        finding.count = count as u64;
        finding.confidence = Confidence::new(if own { 30 } else { 85 });
        finding.note("broken messages in minutes", Value::Count(count as u64));
        for name in state.defects.names().take(3) {
            finding.note("such as", Value::Word(name));
        }
        Some(finding)
    }

    /// Whether an address answered a challenge rightly since it is known here.
    pub(crate) fn has_answered(&self, address: IpAddr) -> bool {
        self.histories(address).any(|state| state.right.is_some())
    }

    /// How much tells and outcomes of an address weigh at `now`.
    pub(crate) fn score(&self, now: Instant, address: IpAddr) -> f32 {
        let histories = self.histories(address);
        let score = histories.map(|state| score(now, state)).fold(0.0, f32::max);
        with_listing(score, self.lists.naming(address).next().is_some())
    }

    fn histories(&self, address: IpAddr) -> impl Iterator<Item = &State> {
        let place = place_of(address);
        [false, true]
            .into_iter()
            .filter_map(move |proved| self.states.get(&(place, proved)))
    }

    pub(crate) fn evicted(&self) -> [u64; 3] {
        self.states.evicted()
    }

    pub(crate) fn memory(&self) -> usize {
        let inner = |state: &State| state.targets.memory() + state.accounts.memory();
        let lists = self.lists.0.iter().map(|(_, list)| list.memory());
        self.states.memory()
            + lists.sum::<usize>()
            + self
                .states
                .iter()
                .map(|(_, state)| inner(state))
                .sum::<usize>()
    }
}

fn touch<'a>(
    states: &'a mut Tiered<(IpAddr, bool), State>,
    now: Instant,
    source: &Source,
) -> Option<&'a mut State> {
    let tier = match (source.principal.is_own(), source.proof.is_proven()) {
        (true, true) => Tier::Own,
        (false, true) => Tier::Proven,
        (_, false) => Tier::Unproven,
    };
    let state = states.touch(history(source), tier)?;
    if state.first == Instant::ZERO || now.saturating_since(state.last) > FORGOTTEN_AFTER {
        *state = State {
            first: now,
            ..State::default()
        };
    }
    state.last = state.last.max(now);
    Some(state)
}

fn history(source: &Source) -> (IpAddr, bool) {
    (place_of(source.address()), source.proof.is_proven())
}

fn target(asked: &Asked) -> u64 {
    // A request without a user aims at the host: methods are what tells probes apart then.
    match asked.target.hash() {
        0 => 1 + asked.method as u64,
        hash => hash,
    }
}

fn score(now: Instant, state: &State) -> f32 {
    let bad = state.refused.get(now, Horizon::Hours);
    let further = state.targets.count().saturating_sub(1) as f32;
    let outcome = bad + further;
    if bad == 0.0 && state.targets.count() == 0 {
        // Tells of a message that was served: a phone has one or the other.
        return 0.0;
    }
    outcome + weight(state.tells)
}

/// How much more likely a tool is than a phone. Nothing here convicts without an outcome.
fn weight(tells: Tells) -> f32 {
    const WEIGHTS: [(Tells, f32); 9] = [
        (Tells::TAG_HIDES_ADDRESS, 4.0),
        (Tells::TAG_HIDES_TEXT, 4.0),
        (Tells::BRANCH_WITHOUT_COOKIE, 2.5),
        (Tells::FROM_EQUALS_TO, 1.0),
        (Tells::TO_BEFORE_FROM, 1.0),
        (Tells::DECIMAL_BRANCH, 1.0),
        (Tells::DECIMAL_CALL_ID, 1.0),
        (Tells::IMPOSSIBLE_FROM, 1.5),
        (Tells::BARE_REQUEST_URI, 1.0),
    ];
    WEIGHTS
        .iter()
        .filter(|(tell, _)| tells.contains(*tell))
        .map(|(_, weight)| weight)
        .sum()
}

fn judge_scan(
    now: Instant,
    source: &Source,
    state: &State,
    own_place: bool,
    lists: &Lists,
) -> Option<Finding> {
    if own_place || source.principal.is_own() || state.right.is_some() {
        return None;
    }
    let listed: Vec<Name> = lists.naming(source.address()).collect();
    let score = with_listing(score(now, state), !listed.is_empty());
    let targets = state.targets.count();
    let slow = targets >= SLOW_TARGETS;
    if score < SCAN_SCORE && !slow {
        return None;
    }
    let kind = match targets >= ENUMERATED {
        true => Kind::Enumeration,
        false => Kind::Scan,
    };
    let mut finding = about(kind, source, state);
    let sure = 70.0 + (score - SCAN_SCORE) * 4.0;
    finding.confidence = Confidence::new(sure.clamp(70.0, 99.0) as u8);
    finding.note("targets", Value::Count(targets));
    let refused = state.refused.get(now, Horizon::Hours).round();
    finding.note("refused", Value::Count(refused as u64));
    for name in listed.into_iter().take(3) {
        finding.note("listed by", Value::Text(name));
    }
    for tell in state.tells.names().take(6) {
        finding.note("built with", Value::Word(tell));
    }
    Some(finding)
}

/// A score with what a place on lists adds. Of nothing it makes nothing.
fn with_listing(score: f32, listed: bool) -> f32 {
    match listed && score > 0.0 {
        true => score + LISTED_SCORE,
        false => score,
    }
}

fn about(kind: Kind, source: &Source, state: &State) -> Finding {
    let subject = match source.principal {
        crate::event::Principal::Trunk(peer) | crate::event::Principal::Pbx(peer) => {
            Subject::Peer(peer)
        }
        _ => Subject::Address(place_of(source.address())),
    };
    let mut finding = Finding::new(kind, subject, state.first);
    finding.last = state.last;
    finding.source = Some(source.address());
    finding.proof = source.proof;
    finding.count = state.events.max(1);
    finding
}

/// Whether a method is one that scanners use to ask; the rest is no question.
pub(crate) const fn asks(method: MethodKind) -> bool {
    !matches!(method, MethodKind::Ack | MethodKind::Cancel)
}

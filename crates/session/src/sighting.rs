//! What detection is told: each step that says something about who is on the other side.
//!
//! Off until somebody watches ([`Core::watch`]): then the core notes events in a bounded queue and
//! whoever watches takes them with [`Core::poll_sighting`]. Nothing here decides anything.

mod elsewhere;
mod steps;

use std::sync::Arc;

use ringfence_base::{BoundedQueue, Flow, HashKey, Instant, KeyedMap, KeyedSet};
use ringfence_detect::decision::{Action, Decision};
use ringfence_detect::event::{
    CallRef, CallStep, CredentialsOutcome, Direction, Event, Forgery, MethodKind, PeerRef,
    Principal, Proof, Refusal, SiteRef, Source, What,
};
use ringfence_detect::finding::Subject;
use ringfence_detect::fingerprint::shape;
use ringfence_detect::name::Name;
use ringfence_detect::reading::{asked, binding_change, challenged};
use ringfence_detect::watch::pair_of;
use ringfence_sip::Message;
use ringfence_stir::Verdict;

use crate::access::Candidates;
use crate::call_id::CallId;
use crate::cdr;
use crate::core::Core;
use crate::plan::{PeerKind, Plan};
use crate::registrar::Caller;
use crate::registrar::line::Binding;
use crate::routing::Route;
use crate::verification::vouched;

/// Events that wait to be taken. The edge takes them after each batch.
const SIGHTINGS_MAX: usize = 8_192;

/// What detection is told, once somebody watches.
#[derive(Debug)]
pub(crate) struct Sightings {
    key: HashKey,
    queue: BoundedQueue<Event>,
    lost: u64,
    measures: Arc<Measures>,
    tries: KeyedMap<u64, (Instant, u32)>,
}

/// What is in force against accounts.
#[derive(Debug)]
pub struct Measures {
    /// Accounts that are tried too often from one place, and how many tries a minute are looked at
    /// there. By [`pair_of`].
    pub limited: KeyedMap<u64, u32>,
    /// Accounts whose password may be in other hands, by the hash of their name: calls of theirs
    /// that cost extra need the PIN.
    pub restricted: KeyedSet<u64>,
}

impl Measures {
    /// None.
    pub fn none(key: HashKey) -> Measures {
        Measures {
            limited: key.map(),
            restricted: key.set(),
        }
    }

    /// What of `decisions` is about accounts and enforced.
    pub fn of<'a>(key: HashKey, decisions: impl IntoIterator<Item = &'a Decision>) -> Measures {
        let mut measures = Measures::none(key);
        for decision in decisions.into_iter().filter(|each| each.is_enforced()) {
            match (decision.against(), decision.action()) {
                (Subject::AccountFrom(account, address), Action::Limit { per_minute }) => {
                    let pair = pair_of(key, *account, *address);
                    measures.limited.insert(pair, per_minute);
                }
                (Subject::Account(account), Action::RestrictCalls) => {
                    measures.restricted.insert(account.hash());
                }
                _ => {}
            }
        }
        measures
    }
}

/// Pairs whose tries are counted.
const TRIES_MAX: usize = 4_096;

impl Core {
    /// From now on events are noted. `key` is the one that all workers and the judge share.
    pub fn watch(&mut self, key: HashKey) {
        self.sightings = Some(Box::new(Sightings {
            key,
            queue: BoundedQueue::new(SIGHTINGS_MAX),
            lost: 0,
            measures: Arc::new(Measures::none(key)),
            tries: key.map(),
        }));
    }

    /// The next event for detection. Poll until `None` after each input and each timeout.
    pub fn poll_sighting(&mut self) -> Option<Event> {
        self.sightings.as_mut()?.queue.pop()
    }

    /// Events that found the queue full.
    pub fn sightings_lost(&self) -> u64 {
        self.sightings
            .as_ref()
            .map_or(0, |sightings| sightings.lost)
    }

    /// What is in force against accounts from now on.
    pub fn set_measures(&mut self, measures: Arc<Measures>) {
        if let Some(sightings) = &mut self.sightings {
            sightings.measures = measures;
        }
    }

    /// Whether the password of `account` may be in other hands.
    pub(crate) fn is_restricted(&self, account: Name) -> bool {
        let measures = self.sightings.as_ref().map(|sightings| &sightings.measures);
        measures.is_some_and(|measures| measures.restricted.contains(&account.hash()))
    }

    /// The key that the judge's names are made with.
    pub(crate) fn name_key(&self) -> HashKey {
        let sightings = self.sightings.as_ref();
        sightings.map_or(self.hash, |sightings| sightings.key)
    }

    /// Whether credentials for `user` of `realm` from `flow` are one try too many.
    pub(crate) fn is_tried_too_often(
        &mut self,
        now: Instant,
        flow: &Flow,
        user: &[u8],
        realm: &str,
    ) -> bool {
        let Some(sightings) = &mut self.sightings else {
            return false;
        };
        if sightings.measures.limited.is_empty() {
            return false;
        }
        let name = Name::of_account(sightings.key, user, realm);
        let pair = pair_of(sightings.key, name, flow.remote.ip());
        let Some(allowed) = sightings.measures.limited.get(&pair).copied() else {
            return false;
        };
        let minute = std::time::Duration::from_secs(60);
        if sightings.tries.len() >= TRIES_MAX {
            sightings
                .tries
                .retain(|_, (since, _)| now - *since < minute);
            if sightings.tries.len() >= TRIES_MAX {
                return true;
            }
        }
        let (since, tries) = sightings.tries.entry(pair).or_insert((now, 0));
        if now.saturating_since(*since) >= minute {
            (*since, *tries) = (now, 0);
        }
        *tries = tries.saturating_add(1);
        *tries > allowed
    }

    fn see(&mut self, now: Instant, source: Source, what: What) {
        if let Some(sightings) = &mut self.sightings {
            let event = Event {
                at: now,
                source,
                what,
            };
            if sightings.queue.push(event).is_err() {
                sightings.lost += 1;
            }
        }
    }

    fn watched(&self) -> Option<HashKey> {
        self.sightings.as_ref().map(|sightings| sightings.key)
    }

    /// A request was refused. `candidates` are empty for a stranger.
    pub(crate) fn see_refused(
        &mut self,
        now: Instant,
        flow: &Flow,
        candidates: &Candidates,
        message: &Message<'_>,
        reason: Refusal,
    ) {
        let Some(key) = self.watched() else { return };
        let principal = principal_of(&self.plan, candidates);
        let source = Source::of(flow, Proof::None, principal);
        let what = match message.is_request() {
            true => What::Refused {
                reason,
                asked: asked(key, message),
            },
            false => What::StrayResponse,
        };
        self.see(now, source, what);
    }

    /// A message has defects.
    pub(crate) fn see_defects(
        &mut self,
        now: Instant,
        flow: &Flow,
        candidates: &Candidates,
        message: &Message<'_>,
    ) {
        let defects = message.defects();
        if defects.is_empty() || self.sightings.is_none() {
            return;
        }
        let principal = principal_of(&self.plan, candidates);
        let source = Source::of(flow, Proof::None, principal);
        let shape = shape(message);
        self.see(now, source, What::Defective { defects, shape });
    }

    /// Nothing could be made of bytes.
    pub(crate) fn see_unparseable(&mut self, now: Instant, flow: &Flow) {
        let candidates = self.access.identify(&self.plan, flow, &[]);
        let principal = principal_of(&self.plan, &candidates);
        let source = Source::of(flow, Proof::None, principal);
        self.see(now, source, What::Unparseable { bytes: 0 });
    }

    /// A request without credentials is asked for them.
    pub(crate) fn see_challenged(
        &mut self,
        now: Instant,
        flow: &Flow,
        message: &Message<'_>,
        realm: &str,
    ) {
        let Some(key) = self.watched() else { return };
        let source = Source::of(flow, Proof::None, Principal::Stranger);
        self.see(
            now,
            source,
            What::Challenged(challenged(key, message, Some(realm))),
        );
    }

    /// Credentials for `user` of `realm` came.
    pub(crate) fn see_credentials(
        &mut self,
        now: Instant,
        flow: &Flow,
        message: &Message<'_>,
        (user, realm): (&[u8], &str),
        outcome: CredentialsOutcome,
    ) {
        let Some(key) = self.watched() else { return };
        let proof = match outcome {
            CredentialsOutcome::WrongForgedNonce | CredentialsOutcome::Stale => Proof::None,
            // The nonce was given to this very address.
            _ => Proof::NonceEchoed,
        };
        let what = What::Credentials {
            account: Name::of_account(key, user, realm),
            outcome,
            nonce: 0,
            shape: shape(message),
        };
        let source = Source::of(flow, proof, Principal::Stranger);
        self.see(now, source, what);
    }

    /// A phone has proved who it is with a request other than an accepted REGISTER.
    pub(crate) fn see_proved(
        &mut self,
        now: Instant,
        flow: &Flow,
        message: &Message<'_>,
        caller: Caller,
    ) {
        let Some(key) = self.watched() else { return };
        let Some(account) = self.account(key, caller) else {
            return;
        };
        let what = What::Credentials {
            account,
            outcome: CredentialsOutcome::Right,
            nonce: 0,
            shape: shape(message),
        };
        self.see(now, phone(flow, caller, &self.plan), what);
    }

    /// A REGISTER was accepted. `before`: how many bindings its user had.
    pub(crate) fn see_registered(
        &mut self,
        now: Instant,
        flow: &Flow,
        message: &Message<'_>,
        caller: Caller,
        (before, after): (usize, &[Binding]),
    ) {
        let Some(key) = self.watched() else { return };
        let Some(account) = self.account(key, caller) else {
            return;
        };
        let change = binding_change(key, message, before, after.len());
        let what = What::Registered {
            account,
            change,
            shape: shape(message),
        };
        self.see(now, phone(flow, caller, &self.plan), what);
    }

    /// Whether anybody wants to know how many bindings there were.
    pub(crate) const fn is_watched(&self) -> bool {
        self.sightings.is_some()
    }

    /// A request names a dialog of ours that is not its sender's.
    pub(crate) fn see_forged(
        &mut self,
        now: Instant,
        flow: &Flow,
        candidates: &Candidates,
        message: &Message<'_>,
    ) {
        let Some(method) = message.method().filter(|_| self.sightings.is_some()) else {
            return;
        };
        let tag = message.to().ok().and_then(|to| to.tag());
        let tag = tag.and_then(|tag| tag.try_into().ok());
        let call = tag.and_then(|tag: crate::core::TagText| {
            let (key, _) = self.by_tag.get(&tag)?;
            self.call(*key).map(|call| call.id)
        });
        let Some(call) = call else {
            // No tag of ours: an old dialog, or a guess.
            return self.see_refused(now, flow, candidates, message, Refusal::DialogUnknown);
        };
        let principal = principal_of(&self.plan, candidates);
        let what = What::Forged {
            method: MethodKind::from(method),
            forgery: Forgery::Source,
            call: Some(CallRef::new(call.raw())),
        };
        self.see(now, Source::of(flow, Proof::None, principal), what);
    }

    /// The carrier of a trunk lists contacts that are not ours.
    pub(crate) fn see_alien_binding(&mut self, now: Instant, flow: &Flow, uri: &str, count: u32) {
        let Some(key) = self.watched() else { return };
        let candidates = self.access.identify(&self.plan, flow, &[]);
        let principal = principal_of(&self.plan, &candidates);
        // It answered a request of ours: our branch came back.
        let source = Source::of(flow, Proof::ViaCookieReturned, principal);
        let contact = Name::new(key, uri.as_bytes());
        let count = u8::try_from(count).unwrap_or(u8::MAX);
        self.see(now, source, What::AlienBinding { contact, count });
    }

    /// A call is asked for and may be routed.
    pub(crate) fn see_offered(
        &mut self,
        now: Instant,
        (flow, message): (&Flow, &Message<'_>),
        id: CallId,
        route: &Route,
        (calling, called): (Option<&str>, &str),
        verdict: Option<&Verdict>,
    ) {
        let Some(key) = self.watched() else { return };
        let direction = match route.direction {
            cdr::Direction::Inbound => Direction::Inbound,
            cdr::Direction::Internal => Direction::Internal,
            cdr::Direction::Outbound => Direction::Outbound,
        };
        let site = self.plan.site(route.site);
        let calling_is_own = direction == Direction::Inbound
            && calling.is_some_and(|number| site.is_some_and(|site| site.owns(number)));
        let candidates = Candidates::from_slice(&[route.ingress]);
        let principal = principal_of(&self.plan, &candidates);
        let step = CallStep::Offered {
            direction,
            calling: Name::new(key, calling.unwrap_or_default().as_bytes()),
            called: Name::new(key, called.as_bytes()),
            emergency: route.emergency,
            calling_is_own,
            attestation: vouched(verdict),
            shape: shape(message),
        };
        let what = What::Call {
            call: CallRef::new(id.raw()),
            site: SiteRef::new(route.site.raw()),
            step,
        };
        self.see(now, Source::of(flow, Proof::None, principal), what);
    }

    fn account(&self, key: HashKey, caller: Caller) -> Option<Name> {
        let group = self.plan.phone_group(caller.group)?;
        let user = group.user(caller.user)?.name.as_bytes();
        Some(Name::of_account(key, user, &group.realm))
    }
}

fn principal_of(plan: &Plan, candidates: &Candidates) -> Principal {
    let Some(id) = candidates.first() else {
        return Principal::Stranger;
    };
    let peer = PeerRef::new(id.raw());
    match plan.peer(*id).map(|peer| peer.kind) {
        Some(PeerKind::Trunk) => Principal::Trunk(peer),
        Some(PeerKind::Pbx) => Principal::Pbx(peer),
        Some(PeerKind::Phones) => Principal::Phone {
            group: peer,
            user: u32::MAX,
        },
        None => Principal::Stranger,
    }
}

fn phone(flow: &Flow, caller: Caller, plan: &Plan) -> Source {
    let group = plan.phone_group(caller.group);
    let group = PeerRef::new(group.map_or(u16::MAX, |group| group.peer.raw()));
    let user = u32::try_from(caller.user).unwrap_or(u32::MAX);
    Source::of(flow, Proof::NonceEchoed, Principal::Phone { group, user })
}

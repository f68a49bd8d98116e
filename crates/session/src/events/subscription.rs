//! The subscriptions of a worker: their two dialogs, and when they end.

use std::time::Duration;

use ringfence_base::{Flow, HashKey, Instant, KeyedMap};
use ringfence_dialog::dialog::{Dialog, RequestVia};
use ringfence_dialog::{ClientId, LocalCallId, Tag};
use ringfence_sip::write::MessageWriter;
use ringfence_sip::{HeaderName, Message, Method};
use slab::Slab;

use super::package::{Event, State};
use crate::access::Candidates;
use crate::call::Side;
use crate::core::{Core, TagText};
use crate::outgoing::{MAX_FORWARDS, OurName, contact, next_hop_of, our_address};
use crate::plan::{Peer, PeerId, PeerKind, Plan};
use crate::relay::Onward;
use crate::setup::tag_text;

/// Subscriptions of one worker.
const SUBSCRIPTIONS_MAX: usize = 20_000;
/// Subscriptions of one phone user: the keys of its lamps, on all its phones.
pub(super) const PER_USER_MAX: u16 = 256;
/// NOTIFYs of one subscription that wait for the phone.
pub(super) const NOTIFIES_MAX: u8 = 4;
/// How long after its end a subscription is kept, for the last NOTIFY (timer N, RFC 6665 §4.1.2).
const GRACE: Duration = Duration::from_secs(32);

/// Names a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SubscriptionKey {
    slot: u32,
    generation: u32,
}

/// A peer of whatever plan is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PeerName {
    key: Box<str>,
    kind: PeerKind,
}

impl PeerName {
    pub(super) fn of(peer: &Peer) -> PeerName {
        PeerName {
            key: peer.key.as_str().into(),
            kind: peer.kind,
        }
    }

    pub(super) fn find(&self, plan: &Plan) -> Option<PeerId> {
        let is_it = |peer: &Peer| *peer.key == *self.key && peer.kind == self.kind;
        let place = plan.peers.iter().position(is_it)?;
        Some(PeerId::new(place as u16))
    }
}

/// One of the two dialogs.
#[derive(Debug)]
pub(super) struct End {
    pub(super) peer: PeerName,
    pub(super) flow: Flow,
    pub(super) tag: Tag,
    /// The notifier's is there when it has said something.
    pub(super) dialog: Option<Dialog>,
}

/// A subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    /// The watching phone is on side A, the notifier on side B.
    pub(super) ends: [End; 2],
    pub(super) call_id: LocalCallId,
    /// CSeq of our last SUBSCRIBE before the notifier's dialog was there.
    pub(super) sent_cseq: u32,
    /// As the phone says it.
    pub(super) event: Event,
    /// `GROUP/USER` of the phone.
    pub(super) watcher: Box<str>,
    /// The first SUBSCRIBE, while the phone waits for its answer.
    pub(super) waiting: Option<usize>,
    /// NOTIFYs that wait for the phone.
    pub(super) notifies: u8,
    expires_at: Instant,
    alarm_at: Instant,
}

impl Subscription {
    pub(super) fn end(&self, side: Side) -> &End {
        match side {
            Side::A => &self.ends[0],
            Side::B => &self.ends[1],
        }
    }

    pub(super) fn end_mut(&mut self, side: Side) -> &mut End {
        match side {
            Side::A => &mut self.ends[0],
            Side::B => &mut self.ends[1],
        }
    }
}

/// All of a worker.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    slots: Slab<(u32, Subscription)>,
    by_tag: KeyedMap<TagText, (SubscriptionKey, Side)>,
    watchers: KeyedMap<Box<str>, u16>,
    generation: u32,
}

impl Subscriptions {
    pub(crate) fn new(hash: HashKey) -> Subscriptions {
        Subscriptions {
            slots: Slab::new(),
            by_tag: hash.map(),
            watchers: hash.map(),
            generation: 0,
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn has_room_for(&self, watcher: &str) -> bool {
        let of_user = self.watchers.get(watcher).copied().unwrap_or_default();
        self.slots.len() < SUBSCRIPTIONS_MAX && of_user < PER_USER_MAX
    }

    pub(super) fn get_mut(&mut self, key: SubscriptionKey) -> Option<&mut Subscription> {
        let slot = self.slots.get_mut(key.slot as usize);
        let slot = slot.filter(|(generation, _)| *generation == key.generation);
        slot.map(|(_, subscription)| subscription)
    }

    pub(super) fn get(&self, key: SubscriptionKey) -> Option<&Subscription> {
        let slot = self.slots.get(key.slot as usize);
        let slot = slot.filter(|(generation, _)| *generation == key.generation);
        slot.map(|(_, subscription)| subscription)
    }

    fn insert(&mut self, subscription: Subscription) -> SubscriptionKey {
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let tags = [Side::A, Side::B].map(|side| (tag_text(&subscription.end(side).tag), side));
        *self
            .watchers
            .entry(subscription.watcher.clone())
            .or_default() += 1;
        let slot = self.slots.insert((generation, subscription)) as u32;
        let key = SubscriptionKey { slot, generation };
        for (tag, side) in tags {
            self.by_tag.insert(tag, (key, side));
        }
        key
    }

    pub(super) fn remove(&mut self, key: SubscriptionKey) -> Option<Subscription> {
        self.get(key)?;
        let (_, gone) = self.slots.remove(key.slot as usize);
        for end in &gone.ends {
            self.by_tag.remove(&tag_text(&end.tag));
        }
        if let Some(count) = self.watchers.get_mut(&gone.watcher) {
            *count -= 1;
            if *count == 0 {
                self.watchers.remove(&gone.watcher);
            }
        }
        Some(gone)
    }

    /// The subscription and side whose tag of ours the request has in To.
    pub(super) fn find(&self, message: &Message<'_>) -> Option<(SubscriptionKey, Side)> {
        let to = message.to().ok()?;
        let tag: TagText = to.tag()?.try_into().ok()?;
        self.by_tag.get::<TagText>(&tag).copied()
    }
}

/// What a new subscription is made of.
pub(super) struct Beginning {
    pub(super) ends: [End; 2],
    pub(super) call_id: LocalCallId,
    pub(super) event: Event,
    pub(super) watcher: Box<str>,
}

impl Core {
    /// The phones of a watcher whose subscription a request is inside of: our tag, from the address
    /// that the watcher has.
    pub(crate) fn watcher_of(&self, flow: &Flow, message: &Message<'_>) -> Option<PeerId> {
        let (key, Side::A) = self.subscriptions.find(message)? else {
            return None;
        };
        let end = self.subscriptions.get(key)?.end(Side::A);
        let same_place = end.flow.listener == flow.listener
            && end.flow.transport == flow.transport
            && end.flow.remote.ip().to_canonical() == flow.remote.ip().to_canonical();
        end.peer.find(&self.plan).filter(|_| same_place)
    }

    /// The subscription that a request of one of `candidates` is inside of.
    pub(crate) fn find_subscription(
        &self,
        message: &Message<'_>,
        candidates: &Candidates,
    ) -> Option<(SubscriptionKey, Side)> {
        let (key, side) = self.subscriptions.find(message)?;
        let subscription = self.subscriptions.get(key)?;
        let end = subscription.end(side);
        let peer = end.peer.find(&self.plan)?;
        let call_id = match &end.dialog {
            Some(dialog) => dialog.call_id(),
            None => subscription.call_id.as_bytes(),
        };
        let fits = candidates.contains(&peer) && message.call_id().is_ok_and(|it| it == call_id);
        fits.then_some((key, side))
    }

    /// Keeps a new subscription until the notifier's answer, and `GRACE`.
    pub(super) fn begin_subscription(
        &mut self,
        now: Instant,
        beginning: Beginning,
    ) -> SubscriptionKey {
        let Beginning {
            ends,
            call_id,
            event,
            watcher,
        } = beginning;
        let key = self.subscriptions.insert(Subscription {
            ends,
            call_id,
            sent_cseq: 1,
            event,
            watcher,
            waiting: None,
            notifies: 0,
            expires_at: now + GRACE,
            alarm_at: Instant::MAX,
        });
        self.set_subscription_alarm(key, now + GRACE);
        self.counters.subscriptions_active = self.subscriptions.len() as u64;
        key
    }

    pub(super) fn forget_subscription(&mut self, key: SubscriptionKey) {
        self.subscriptions.remove(key);
        self.counters.subscriptions_active = self.subscriptions.len() as u64;
    }

    /// The notifier grants so many seconds from now on.
    pub(super) fn extend_subscription(&mut self, now: Instant, key: SubscriptionKey, seconds: u32) {
        let expires_at = now + Duration::from_secs(seconds.into());
        if let Some(subscription) = self.subscriptions.get_mut(key) {
            subscription.expires_at = expires_at;
            self.set_subscription_alarm(key, expires_at + GRACE);
        }
    }

    fn set_subscription_alarm(&mut self, key: SubscriptionKey, at: Instant) {
        // One that is set goes off in time for all that end later.
        if let Some(subscription) = self.subscriptions.get_mut(key)
            && at < subscription.alarm_at
        {
            subscription.alarm_at = at;
            self.alarms
                .schedule(at, crate::supervise::Alarm::Subscription { key, at });
        }
    }

    /// A subscription that was not refreshed is over (RFC 6665 §4.2.2).
    pub(crate) fn on_subscription_alarm(
        &mut self,
        now: Instant,
        key: SubscriptionKey,
        at: Instant,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(key) else {
            return;
        };
        if subscription.alarm_at != at {
            return;
        }
        subscription.alarm_at = Instant::MAX;
        let end = subscription.expires_at + GRACE;
        if now < end {
            return self.set_subscription_alarm(key, end);
        }
        let over = State {
            word: "terminated",
            expires: None,
            reason: Some("timeout"),
            retry_after: None,
        };
        self.send_notify(now, key, None, &over, None);
        self.forget_subscription(key);
    }

    /// Writes and begins a request inside one of a subscription's dialogs: its place among those
    /// that wait is the caller's. `None` if it cannot be sent.
    pub(super) fn write_in_subscription<'p>(
        &mut self,
        plan: &'p Plan,
        key: SubscriptionKey,
        side: Side,
        method: Method<'static>,
        more: &[(HeaderName, &str)],
        body: Option<(&str, &[u8])>,
    ) -> Option<Onward<'p>> {
        let end = self.subscriptions.get_mut(key)?.end_mut(side);
        let peer = plan.peer(end.peer.find(plan)?)?;
        let flow = next_hop_of(peer, end.flow, end.dialog.as_ref());
        let dialog = end.dialog.as_mut()?;
        let ours = OurName::new(peer, our_address(plan, &flow)?);
        let client: ClientId = self.transactions.reserve_client().ok()?;
        let branch = self.transactions.branch(client);
        let via = RequestVia {
            transport: flow.transport,
            sent_by: &ours,
            branch: &branch,
            rport: true,
        };
        let mut out = Vec::with_capacity(768 + body.map_or(0, |(_, body)| body.len()));
        let mut writer: MessageWriter<'_> =
            dialog.write_request(&mut out, method, via, MAX_FORWARDS);
        writer.header(HeaderName::Contact, contact(ours, flow.transport));
        for (name, value) in more {
            writer.header(*name, value);
        }
        match body {
            Some((content_type, body)) => writer.body(content_type, body),
            None => writer.finish(),
        }
        Some(Onward {
            plan,
            peer,
            flow,
            client,
            bytes: out.into(),
        })
    }
}

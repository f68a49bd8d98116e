//! A request of one side that waits for the other side's answer, outside of calls: MESSAGE, PUBLISH,
//! SUBSCRIBE, NOTIFY, and the REGISTER of a phone that goes on to its phone system.
//!
//! Each was sent on as a request of our own. Its answer, or that none came, ends it here; what that
//! means is the business of whoever sent it on.

use std::time::Duration;

use bytes::Bytes;
use ringfence_base::{Flow, Instant};
use ringfence_dialog::{ClientId, Owner, RequestKind, ServerId, Tag};
use ringfence_sip::write::MessageWriter;
use ringfence_sip::{Index, Message};

use crate::core::Core;
use crate::events::SubscriptionKey;
use crate::incoming::Reply;
use crate::plan::{Peer, Plan};
use crate::registrar::Passing;
use crate::supervise::Alarm;

/// Requests that wait at once, in one worker.
const RELAYS_MAX: usize = 8_192;
/// Owners from here on are these, not legs of calls: no call has such a slot.
const RELAY_OWNER: u64 = u64::MAX - (1 << 20);
/// How long a phone system may take for a REGISTER, well below the phone's own patience (timer F,
/// 32 s).
const REGISTER_PATIENCE: Duration = Duration::from_secs(10);

/// A request that was sent on.
#[derive(Debug)]
pub(crate) struct Relay {
    /// What its sender waits at; none if nobody waits, or not any more.
    pub(crate) server: Option<ServerId>,
    client: ClientId,
    /// Where it came from.
    pub(crate) flow: Flow,
    pub(crate) request: Bytes,
    /// Our tag in the answer, where the request begins a dialog.
    pub(crate) tag: Option<Tag>,
    pub(crate) purpose: Purpose,
}

impl Relay {
    /// Whoever waits is about to be answered: what is needed for that. The other side's own answer is
    /// still of use.
    pub(crate) fn leave(&mut self) -> Relay {
        Relay {
            server: self.server.take(),
            client: self.client,
            flow: self.flow,
            request: self.request.clone(),
            tag: self.tag,
            purpose: Purpose::Message,
        }
    }
}

/// What a request is, and what belongs to it.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// A MESSAGE (RFC 3428).
    Message,
    /// A NOTIFY inside a subscription.
    Notify(SubscriptionKey),
    /// A PUBLISH (RFC 3903).
    Publish,
    /// The REGISTER of a phone.
    Register(Box<Passing>),
    /// A SUBSCRIBE: the first of a subscription, or a refresh.
    Subscribe(SubscriptionKey),
}

impl Purpose {
    /// How many requests may wait already: texts and news leave room for what they rest upon.
    const fn room(&self) -> usize {
        match self {
            Purpose::Message | Purpose::Publish => RELAYS_MAX / 8,
            Purpose::Notify(_) | Purpose::Subscribe(_) => RELAYS_MAX / 2,
            Purpose::Register(_) => RELAYS_MAX,
        }
    }
}

/// A request of ours that is written and not yet sent.
pub(crate) struct Onward<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) peer: &'a Peer,
    pub(crate) flow: Flow,
    pub(crate) client: ClientId,
    pub(crate) bytes: Bytes,
}

/// The place of a relay, if the transaction's owner is one.
fn place_of(owner: Owner) -> Option<usize> {
    let place = owner.0.checked_sub(RELAY_OWNER)? as usize;
    (place < RELAYS_MAX).then_some(place)
}

impl Core {
    /// Whether another request of this kind may wait.
    pub(crate) fn has_room_for(&self, purpose: &Purpose) -> bool {
        self.relays.len() < purpose.room()
    }

    /// Sends `onward` for the request of `reply`, if there is one. Gives its place.
    pub(crate) fn relay(
        &mut self,
        now: Instant,
        reply: Option<&Reply<'_, '_>>,
        onward: Onward<'_>,
        purpose: Purpose,
    ) -> usize {
        let Onward {
            plan,
            peer,
            flow,
            client,
            bytes,
        } = onward;
        let patience = matches!(purpose, Purpose::Register(_)).then_some(REGISTER_PATIENCE);
        let request = reply.map(|reply| Bytes::copy_from_slice(reply.request.bytes()));
        let place = self.relays.insert(Relay {
            server: reply.map(|reply| reply.server),
            client,
            flow: reply.map_or(flow, |reply| reply.flow),
            request: request.unwrap_or_default(),
            tag: reply.and_then(|reply| reply.tag),
            purpose,
        });
        let owner = Owner(RELAY_OWNER + place as u64);
        let carried = self.carry(now, plan, peer, flow, bytes);
        self.send_carried(now, client, RequestKind::NonInvite, carried, owner);
        if let Some(patience) = patience {
            let alarm = Alarm::Relay { place, client };
            self.alarms.schedule(now + patience, alarm);
        }
        place
    }

    /// A response to a request that was sent on. Whether it was one.
    pub(crate) fn on_relay_response(
        &mut self,
        now: Instant,
        owner: Owner,
        client: ClientId,
        message: &Message<'_>,
    ) -> bool {
        let Some(place) = place_of(owner) else {
            return false;
        };
        // No provisional response to anything but INVITE (RFC 4320 §4.1).
        let is_final = message
            .status()
            .is_some_and(|status| !status.is_provisional());
        if is_final && let Some(relay) = self.take_relay(place, client) {
            self.finish_relay(now, relay, Some(message));
        }
        true
    }

    /// No answer came, or no connection. Whether it was such a request.
    pub(crate) fn on_relay_failed(&mut self, now: Instant, owner: Owner, client: ClientId) -> bool {
        let Some(place) = place_of(owner) else {
            return false;
        };
        self.on_relay_silent(now, place, client);
        true
    }

    /// The other side has taken too long.
    pub(crate) fn on_relay_silent(&mut self, now: Instant, place: usize, client: ClientId) {
        if let Some(relay) = self.take_relay(place, client) {
            self.finish_relay(now, relay, None);
        }
    }

    /// The request went again, with credentials.
    pub(crate) fn relay_went_again(
        &mut self,
        now: Instant,
        owner: Owner,
        old: ClientId,
        (new, cseq): (ClientId, u32),
    ) {
        let Some(place) = place_of(owner) else { return };
        let relay = self.relays.get_mut(place);
        let Some(relay) = relay.filter(|relay| relay.client == old) else {
            return;
        };
        relay.client = new;
        match relay.purpose {
            Purpose::Register(_) => {
                let alarm = Alarm::Relay { place, client: new };
                self.alarms.schedule(now + REGISTER_PATIENCE, alarm);
            }
            Purpose::Subscribe(key) => self.subscribe_went_again(key, cseq),
            Purpose::Message | Purpose::Notify(_) | Purpose::Publish => {}
        }
    }

    /// Answers whoever waits for it.
    pub(crate) fn answer_relay(
        &mut self,
        now: Instant,
        relay: &Relay,
        status: u16,
        more: impl FnOnce(&mut MessageWriter<'_>),
    ) {
        let Some(server) = relay.server else { return };
        let mut index = Index::default();
        if let Ok(request) = index.parse(&relay.request) {
            let mut reply = Reply::new(server, &request, relay.flow);
            reply.tag = relay.tag;
            self.respond_with(now, &reply, status, None, more);
        }
    }

    fn take_relay(&mut self, place: usize, client: ClientId) -> Option<Relay> {
        let relay = self.relays.get(place)?;
        (relay.client == client).then(|| self.relays.remove(place))
    }

    fn finish_relay(&mut self, now: Instant, relay: Relay, answer: Option<&Message<'_>>) {
        match &relay.purpose {
            Purpose::Message => self.on_message_answer(now, &relay, answer),
            Purpose::Notify(key) => self.on_notify_answer(now, *key, &relay, answer),
            Purpose::Publish => self.on_publish_answer(now, &relay, answer),
            Purpose::Register(passing) => self.on_pass_answer(now, passing, &relay, answer),
            Purpose::Subscribe(key) => self.on_subscribe_answer(now, *key, &relay, answer),
        }
    }
}

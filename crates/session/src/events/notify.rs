//! The phone system's NOTIFY: carried to the phone that watches, and its answer back (RFC 6665
//! §4.1.3, §4.2.2).
//!
//! The first NOTIFY may come before the answer to the SUBSCRIBE, and then makes the dialog. A
//! SUBSCRIBE that was forked is answered by several notifiers: the first one that says anything has
//! the subscription, any other is told 481 (§4.4.1), and nothing is kept of it.

use std::sync::Arc;

use ringfence_base::Instant;
use ringfence_dialog::dialog::Dialog;
use ringfence_sip::{HeaderName, Message, Method};

use super::SubscriptionKey;
use super::document::{DOCUMENT_MAX, Disguise};
use super::package::{Event, Package, State};
use super::subscription::NOTIFIES_MAX;
use crate::call::Side;
use crate::core::Core;
use crate::headers::Forbidden;
use crate::incoming::Reply;
use crate::message_relay::refusal_across;
use crate::plan::{Peer, Plan};
use crate::refusal::RefusalReason;
use crate::relay::{Purpose, Relay};

/// Longest time until an end that a NOTIFY may say, in seconds.
const EXPIRES_MOST: u32 = 86_400;

/// A document for the phone.
type Document = (&'static str, Vec<u8>);

impl Core {
    /// A request inside a subscription.
    pub(crate) fn on_subscription_request(
        &mut self,
        now: Instant,
        key: SubscriptionKey,
        side: Side,
        method: Method<'_>,
        reply: &Reply<'_, '_>,
    ) {
        let message = reply.request;
        let plan = Arc::clone(&self.plan);
        let Some(subscription) = self.subscriptions.get_mut(key) else {
            return self.respond(now, reply, 481);
        };
        match (side, method) {
            (Side::A, Method::Subscribe) | (Side::B, Method::Notify) => {}
            _ => return self.respond(now, reply, 405),
        }
        let sent_cseq = subscription.sent_cseq;
        let end = subscription.end_mut(side);
        let made = match &mut end.dialog {
            Some(dialog) if dialog.matches_request(message) => dialog.check_request(message),
            // Another branch of a SUBSCRIBE that was forked.
            Some(_) => return self.respond(now, reply, 481),
            None => Dialog::uas(message, &end.tag).map(|mut dialog| {
                dialog.confirm();
                dialog.note_sent(sent_cseq);
                end.dialog = Some(dialog);
            }),
        };
        if let Err(error) = made {
            return self.respond(now, reply, error.status().raw());
        }
        if side == Side::A {
            return self.on_refresh_of_subscription(now, key, reply);
        }
        if let Err(status) = self.notify(now, &plan, key, reply) {
            self.refuse(reply.flow, RefusalReason::Method);
            self.respond_with(now, reply, status, None, |writer| {
                if status == 415 {
                    let all = Package::ALL.map(|package| package.documents().join(", "));
                    writer.header(HeaderName::Accept, all.join(", "));
                }
                if status == 503 {
                    writer.header(HeaderName::RetryAfter, "2");
                }
            });
        }
    }

    fn notify(
        &mut self,
        now: Instant,
        plan: &Plan,
        key: SubscriptionKey,
        reply: &Reply<'_, '_>,
    ) -> Result<(), u16> {
        let message = reply.request;
        let state = State::read(message).ok_or(400u16)?;
        let event = Event::read(message).ok_or(489u16)?;
        let subscription = self.subscriptions.get_mut(key).ok_or(481u16)?;
        let package = subscription.event.package;
        if event.package != package {
            return Err(489);
        }
        let end = subscription.end_mut(Side::B);
        if let Some(dialog) = &mut end.dialog {
            // An unreadable Contact was refused with 400 before.
            let _ = dialog.refresh_target(message);
        }
        if reply.flow.connection.is_some() {
            end.flow = reply.flow;
        }
        let busy = subscription.notifies >= NOTIFIES_MAX && !state.is_over();
        let watcher = subscription.watcher.clone();
        let notifier = end_peer(plan, subscription.end(Side::B).peer.find(plan)).ok_or(481u16)?;
        let group = watcher.split_once('/').map(|(group, _)| group);
        let realm = plan.phones.iter().find(|it| Some(&*it.key) == group);
        let realm = realm.map(|group| group.realm.as_str()).ok_or(481u16)?;
        if busy {
            return Err(503);
        }
        let forbidden = self.forbidden_around(plan, notifier, reply, key);
        let document = self.document_of(message, package, realm, &forbidden)?;
        let waiting = self
            .subscriptions
            .get_mut(key)
            .and_then(|it| it.waiting.take());
        if let Some(place) = waiting {
            // The answer to its SUBSCRIBE comes first.
            self.accept_early(now, key, place, &state);
        }
        let sent = self.send_notify(now, key, Some(reply), &state, document);
        match (state.is_over(), state.expires) {
            (true, _) => self.forget_subscription(key),
            (false, Some(seconds)) => {
                self.extend_subscription(now, key, seconds.min(EXPIRES_MOST));
            }
            (false, None) => {}
        }
        sent.then_some(()).ok_or(503)
    }

    /// Sends the watching phone a NOTIFY, for the one of `reply` if there is one. Whether it went.
    pub(super) fn send_notify(
        &mut self,
        now: Instant,
        key: SubscriptionKey,
        reply: Option<&Reply<'_, '_>>,
        state: &State,
        document: Option<Document>,
    ) -> bool {
        let plan = Arc::clone(&self.plan);
        if !self.has_room_for(&Purpose::Notify(key)) {
            return false;
        }
        let Some(subscription) = self.subscriptions.get_mut(key) else {
            return false;
        };
        let event = subscription.event.text();
        let state = state.text();
        let more = [
            (HeaderName::Event, event.as_str()),
            (HeaderName::SubscriptionState, state.as_str()),
        ];
        let body = document
            .as_ref()
            .map(|(content_type, body)| (*content_type, body.as_slice()));
        let method = Method::Notify;
        let Some(onward) = self.write_in_subscription(&plan, key, Side::A, method, &more, body)
        else {
            return false;
        };
        if let Some(subscription) = self.subscriptions.get_mut(key) {
            subscription.notifies += 1;
        }
        self.counters.notifies_relayed += 1;
        self.relay(now, reply, onward, Purpose::Notify(key));
        true
    }

    /// The phone's answer to a NOTIFY, or that there was none.
    pub(crate) fn on_notify_answer(
        &mut self,
        now: Instant,
        key: SubscriptionKey,
        relay: &Relay,
        answer: Option<&Message<'_>>,
    ) {
        if let Some(subscription) = self.subscriptions.get_mut(key) {
            subscription.notifies = subscription.notifies.saturating_sub(1);
        }
        let status = answer.and_then(|answer| answer.status());
        let Some(status) = status.map(|status| status.raw()) else {
            // It is not there any more, and the phone system's own timer has run as well
            // (RFC 6665 §4.2.2): the next NOTIFY is told so.
            return self.forget_subscription(key);
        };
        let told = match status {
            200..=299 => 200,
            // RFC 5057 §5.1: these end the subscription.
            404 | 405 | 410 | 416 | 481 | 489 | 501 | 604 => {
                self.forget_subscription(key);
                481
            }
            other => refusal_across(other),
        };
        self.answer_relay(now, relay, told, |_| {});
    }

    /// A NOTIFY came before the answer to the SUBSCRIBE: that stands.
    fn accept_early(&mut self, now: Instant, key: SubscriptionKey, place: usize, state: &State) {
        let is_of =
            |relay: &&mut Relay| matches!(relay.purpose, Purpose::Subscribe(it) if it == key);
        let Some(relay) = self.relays.get_mut(place).filter(is_of) else {
            return;
        };
        let waiting = relay.leave();
        let asked = super::subscribe::with_request(&waiting, |request| {
            super::subscribe::expires(request).unwrap_or_default()
        });
        let asked = asked.unwrap_or_default();
        let seconds = state.expires.unwrap_or(asked).min(asked);
        self.accept_subscription(now, key, &waiting, seconds);
        self.extend_subscription(now, key, seconds);
    }

    /// What of the notifier's side must not be seen by the phone.
    fn forbidden_around(
        &self,
        plan: &Plan,
        notifier: &Peer,
        reply: &Reply<'_, '_>,
        key: SubscriptionKey,
    ) -> Forbidden {
        let mut forbidden = Forbidden::default();
        forbidden.peer(plan, notifier, &reply.flow);
        if let Some(subscription) = self.subscriptions.get(key) {
            forbidden.text(subscription.call_id.as_bytes());
        }
        forbidden
    }

    /// The document of a message as the other side may see it; none if there is none.
    pub(super) fn document_of(
        &self,
        message: &Message<'_>,
        package: Package,
        host: &str,
        forbidden: &Forbidden,
    ) -> Result<Option<Document>, u16> {
        let body = message.body();
        if body.is_empty() {
            return Ok(None);
        }
        let content_type = message.header(HeaderName::ContentType).unwrap_or_default();
        let content_type = package.document(content_type).ok_or(415u16)?;
        if message.header(HeaderName::ContentEncoding).is_some() {
            return Err(415);
        }
        if body.len() > DOCUMENT_MAX {
            return Err(413);
        }
        let disguise = Disguise {
            host,
            forbidden,
            key: self.hash,
        };
        let document = disguise.of(package, body).ok_or(400u16)?;
        Ok(Some((content_type, document)))
    }
}

fn end_peer(plan: &Plan, id: Option<crate::plan::PeerId>) -> Option<&Peer> {
    plan.peer(id?)
}

//! A phone's SUBSCRIBE: carried to the phone system of its site, and the answer back (RFC 6665
//! §4.1.2, §4.2.1).

use std::sync::Arc;

use ringfence_base::{Flow, Instant};
use ringfence_dialog::dialog::Dialog;
use ringfence_sip::write::MessageWriter;
use ringfence_sip::{HeaderName, Message, Method};

use super::SubscriptionKey;
use super::package::{Event, Package, names};
use super::subscription::{Beginning, End, PeerName};
use crate::call::Side;
use crate::core::Core;
use crate::headers::{retry_after, user_of};
use crate::incoming::Reply;
use crate::message_relay::refusal_across;
use crate::outgoing::{MAX_FORWARDS, OurName, contact, our_address};
use crate::plan::{Peer, PeerKind, Plan};
use crate::refusal::RefusalReason;
use crate::registrar::{Caller, host_of, number};
use crate::relay::{Onward, Purpose, Relay};
use crate::ways::ways;

/// Seconds that a subscription lasts if nothing else is said.
const EXPIRES_USUAL: u32 = 3_600;
/// Shortest and longest one that is carried, in seconds; 0 ends one, or asks once.
const EXPIRES_LEAST: u32 = 60;
const EXPIRES_MOST: u32 = 86_400;

/// Why a request of a phone is not carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// By this status.
    Status(u16),
    /// 423: shorter than this many seconds.
    TooBrief(u32),
    /// 489: no such event package here.
    Event,
}

impl From<u16> for Refused {
    fn from(status: u16) -> Refused {
        Refused::Status(status)
    }
}

/// The phone system that a phone's request outside of calls goes to.
pub(super) struct House<'p> {
    pub(super) phones: &'p Peer,
    pub(super) pbx: &'p Peer,
    pub(super) flow: Flow,
    /// The phone user's name.
    pub(super) user: &'p str,
    /// `GROUP/USER`.
    pub(super) watcher: Box<str>,
}

impl Core {
    /// A new SUBSCRIBE of a phone that proved who it is.
    pub(crate) fn on_subscribe(&mut self, now: Instant, reply: &Reply<'_, '_>, caller: Caller) {
        let plan = Arc::clone(&self.plan);
        if let Err(refused) = self.subscribe(now, &plan, reply, caller) {
            self.refuse_event(now, &plan, reply, caller, refused);
        }
    }

    fn subscribe(
        &mut self,
        now: Instant,
        plan: &Plan,
        reply: &Reply<'_, '_>,
        caller: Caller,
    ) -> Result<(), Refused> {
        let message = reply.request;
        let house = self.house_of(now, plan, caller).ok_or(404u16)?;
        let event = house.event(message)?;
        let expires = expires(message)?;
        let watched = house.watched(message)?;
        let watcher = house.watcher.clone();
        if !self.subscriptions.has_room_for(&watcher) {
            return Err(Refused::Status(503));
        }
        let tags = [(); 2].map(|()| self.cookies.new_tag(&mut *self.entropy));
        let call_id = self.cookies.new_call_id(&mut *self.entropy);
        let [tag, our_tag] = tags;
        let mut dialog = Dialog::uas(message, &tag).map_err(|error| error.status().raw())?;
        dialog.confirm();
        let ours = our_address(plan, &house.flow).ok_or(503u16)?;
        let client = self.transactions.reserve_client().map_err(|_| 503u16)?;
        let branch = self.transactions.branch(client);
        let name = OurName::new(house.pbx, ours);
        let mut out = Vec::with_capacity(768);
        let place = (name, house.flow.transport);
        let mut writer = house.request(&mut out, Method::Subscribe, &watched, &place, branch);
        writer.header_fmt(
            HeaderName::From,
            format_args!("<sip:{}@{}>;tag={our_tag}", house.user, house.pbx.host),
        );
        writer.header_fmt(
            HeaderName::MaxForwards,
            format_args!("{}", hops_left(message)?),
        );
        writer.header(HeaderName::CallId, call_id);
        writer.header(HeaderName::CSeq, "1 SUBSCRIBE");
        writer.header(HeaderName::Contact, contact(name, house.flow.transport));
        writer.header(HeaderName::Event, event.package.as_str());
        writer.header_fmt(HeaderName::Expires, format_args!("{expires}"));
        if let Some(accept) = accepted(message, event.package) {
            writer.header(HeaderName::Accept, accept);
        }
        writer.finish();
        let end = |peer: &Peer, flow, tag, dialog| End {
            peer: PeerName::of(peer),
            flow,
            tag,
            dialog,
        };
        let beginning = Beginning {
            ends: [
                end(house.phones, reply.flow, tag, Some(dialog)),
                end(house.pbx, house.flow, our_tag, None),
            ],
            call_id,
            event,
            watcher,
        };
        let key = self.begin_subscription(now, beginning);
        let onward = Onward {
            plan,
            peer: house.pbx,
            flow: house.flow,
            client,
            bytes: out.into(),
        };
        let mut reply = *reply;
        reply.tag = Some(tag);
        let place = self.relay(now, Some(&reply), onward, Purpose::Subscribe(key));
        if let Some(subscription) = self.subscriptions.get_mut(key) {
            subscription.waiting = Some(place);
        }
        Ok(())
    }

    /// A SUBSCRIBE inside a subscription: it lasts longer, or it ends.
    pub(super) fn on_refresh_of_subscription(
        &mut self,
        now: Instant,
        key: SubscriptionKey,
        reply: &Reply<'_, '_>,
    ) {
        let plan = Arc::clone(&self.plan);
        match self.refresh_subscription(now, &plan, key, reply) {
            Ok(()) => {}
            Err(Refused::Event) => self.respond(now, reply, 489),
            Err(Refused::Status(status)) => self.respond(now, reply, status),
            Err(Refused::TooBrief(least)) => self.respond_too_brief(now, reply, least),
        }
    }

    fn refresh_subscription(
        &mut self,
        now: Instant,
        plan: &Plan,
        key: SubscriptionKey,
        reply: &Reply<'_, '_>,
    ) -> Result<(), Refused> {
        let message = reply.request;
        let expires = expires(message)?;
        let room = self.has_room_for(&Purpose::Subscribe(key));
        let subscription = self.subscriptions.get_mut(key).ok_or(481u16)?;
        let event = Event::read(message).ok_or(Refused::Event)?;
        if event != subscription.event {
            return Err(Refused::Event);
        }
        // The user may be gone, or not be who may watch any more.
        let (group, user) = subscription.watcher.split_once('/').ok_or(481u16)?;
        let known = plan.phones.iter().find(|known| known.key == group);
        let known = known.filter(|known| known.index_of(user.as_bytes()).is_some());
        let allowed = known.and_then(|known| plan.peer(known.peer));
        if !allowed.is_some_and(|phones| phones.methods.events.contains(&event.package)) {
            self.forget_subscription(key);
            return Err(Refused::Status(403));
        }
        let end = subscription.end_mut(Side::A);
        if let Some(dialog) = &mut end.dialog {
            // An unreadable Contact was refused with 400 before.
            let _ = dialog.refresh_target(message);
        }
        // A phone's NAT may have given it another port; its address was compared before.
        end.flow = reply.flow;
        if subscription.waiting.is_some() || subscription.end(Side::B).dialog.is_none() {
            // The first one has no answer yet.
            return Err(Refused::Status(500));
        }
        if !room {
            return Err(Refused::Status(503));
        }
        let seconds = expires.to_string();
        let accept = accepted(message, event.package);
        let mut more = vec![
            (HeaderName::Event, event.package.as_str()),
            (HeaderName::Expires, seconds.as_str()),
        ];
        if let Some(accept) = &accept {
            more.push((HeaderName::Accept, accept));
        }
        let side = Side::B;
        let onward = self
            .write_in_subscription(plan, key, side, Method::Subscribe, &more, None)
            .ok_or(503u16)?;
        self.relay(now, Some(reply), onward, Purpose::Subscribe(key));
        Ok(())
    }

    /// The phone system challenged our SUBSCRIBE, and it went again.
    pub(crate) fn subscribe_went_again(&mut self, key: SubscriptionKey, cseq: u32) {
        if let Some(subscription) = self.subscriptions.get_mut(key) {
            subscription.sent_cseq = cseq;
            if let Some(dialog) = &mut subscription.end_mut(Side::B).dialog {
                dialog.note_sent(cseq);
            }
        }
    }

    /// The phone system's answer to a SUBSCRIBE, or that there was none.
    pub(crate) fn on_subscribe_answer(
        &mut self,
        now: Instant,
        key: SubscriptionKey,
        relay: &Relay,
        answer: Option<&Message<'_>>,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(key) else {
            // It ended meanwhile, by a NOTIFY that the phone has had.
            return self.answer_relay(now, relay, 481, |_| {});
        };
        let first = subscription.waiting.take().is_some();
        let Some((message, status)) = answer.and_then(|it| Some((it, it.status()?))) else {
            if first {
                self.forget_subscription(key);
            }
            return;
        };
        if !status.is_success() {
            return self.refuse_subscription(now, key, relay, message, first);
        }
        let has_contact = message.contact().is_ok_and(|contact| contact.is_some());
        let notifier = subscription.end_mut(Side::B);
        if notifier.dialog.is_none() && has_contact {
            // Its From, Call-ID and CSeq are those of our request.
            notifier.dialog = Dialog::uac(message, message).ok();
        } else if let Some(dialog) = &mut notifier.dialog
            && dialog.matches_response(message)
        {
            let _ = dialog.refresh_target(message);
        }
        let asked = with_request(relay, |request| expires(request).ok()).flatten();
        let asked = asked.unwrap_or(EXPIRES_USUAL);
        let granted = message.header(HeaderName::Expires).and_then(number);
        // It may be shortened, never lengthened (RFC 6665 §4.2.1.1).
        let granted = granted.unwrap_or(asked).min(asked);
        self.extend_subscription(now, key, granted);
        self.accept_subscription(now, key, relay, granted);
    }

    /// Tells the phone that its subscription stands, unless it knows.
    pub(super) fn accept_subscription(
        &mut self,
        now: Instant,
        key: SubscriptionKey,
        relay: &Relay,
        seconds: u32,
    ) {
        let plan = Arc::clone(&self.plan);
        let watcher = self.subscriptions.get(key).and_then(|subscription| {
            let end = subscription.end(Side::A);
            let ours = our_address(&plan, &end.flow)?;
            let peer = plan.peer(end.peer.find(&plan)?)?;
            Some(contact(OurName::new(peer, ours), end.flow.transport))
        });
        self.answer_relay(now, relay, 200, |writer| {
            if let Some(contact) = watcher {
                writer.header(HeaderName::Contact, contact);
            }
            writer.header_fmt(HeaderName::Expires, format_args!("{seconds}"));
        });
    }

    fn refuse_subscription(
        &mut self,
        now: Instant,
        key: SubscriptionKey,
        relay: &Relay,
        message: &Message<'_>,
        first: bool,
    ) {
        let status = message.status().map_or(500, |status| status.raw());
        // The statuses after which nothing of it is left (RFC 6665 §4.1.2.1, RFC 5057 §5.1).
        let over = first || matches!(status, 404 | 405 | 410 | 416 | 481 | 489 | 501 | 604);
        let packages = self.subscriptions.get(key).map(|it| it.event.package);
        if over {
            self.forget_subscription(key);
        }
        let told = match status {
            481 if !first => 481,
            other => refusal_across(other),
        };
        self.answer_relay(now, relay, told, |writer| {
            write_refusal(writer, message, told, packages.as_slice());
        });
    }

    /// The phone system of a phone.
    pub(super) fn house_of<'p>(
        &mut self,
        now: Instant,
        plan: &'p Plan,
        caller: Caller,
    ) -> Option<House<'p>> {
        let group = plan.phone_group(caller.group)?;
        let user = &group.user(caller.user)?.name;
        let phones = plan.peer(group.peer)?;
        let site = phones.site;
        let ways = ways(plan, site, PeerKind::Pbx, now, false, &mut *self.entropy);
        let way = ways.first()?;
        let pbx = plan.peer(way.peer)?;
        Some(House {
            phones,
            pbx,
            flow: pbx.flow_to(way.address),
            user,
            watcher: format!("{}/{user}", group.key).into(),
        })
    }

    /// Answers a phone whose SUBSCRIBE or PUBLISH is not carried.
    pub(super) fn refuse_event(
        &mut self,
        now: Instant,
        plan: &Plan,
        reply: &Reply<'_, '_>,
        caller: Caller,
        refused: Refused,
    ) {
        self.refuse(reply.flow, RefusalReason::Method);
        match refused {
            Refused::Status(status) => self.respond(now, reply, status),
            Refused::TooBrief(least) => self.respond_too_brief(now, reply, least),
            Refused::Event => {
                let group = plan.phone_group(caller.group);
                let phones = group.and_then(|group| plan.peer(group.peer));
                let packages = phones.map_or_else(Vec::new, |it| it.methods.events.clone());
                self.respond_with(now, reply, 489, None, |writer| {
                    writer.header(HeaderName::AllowEvents, names(&packages));
                });
            }
        }
    }

    pub(super) fn respond_too_brief(&mut self, now: Instant, reply: &Reply<'_, '_>, least: u32) {
        self.respond_with(now, reply, 423, None, |writer| {
            writer.header_fmt(HeaderName::MinExpires, format_args!("{least}"));
        });
    }
}

impl House<'_> {
    /// The event of a request, if it passes between this phone and its phone system.
    pub(super) fn event(&self, message: &Message<'_>) -> Result<Event, Refused> {
        let event = Event::read(message).ok_or(Refused::Event)?;
        let passes = |peer: &Peer| peer.methods.events.contains(&event.package);
        match passes(self.phones) && passes(self.pbx) {
            true => Ok(event),
            false => Err(Refused::Event),
        }
    }

    /// Whom a request is about: the user of its Request-URI, else the phone itself.
    pub(super) fn watched(&self, message: &Message<'_>) -> Result<String, Refused> {
        let uri = message.request_uri().unwrap_or_default();
        let uri = ringfence_sip::Uri::parse(uri).map_err(|_| 400u16)?;
        match uri.user {
            Some(_) => Ok(user_of(&uri).ok_or(404u16)?.to_owned()),
            None => Ok(self.user.to_owned()),
        }
    }

    /// Begins a request to the phone system about `watched`: its line, Via and To.
    pub(super) fn request<'b>(
        &self,
        out: &'b mut Vec<u8>,
        method: Method<'_>,
        watched: &str,
        (name, transport): &(OurName<'_>, ringfence_base::Transport),
        branch: impl AsRef<[u8]>,
    ) -> MessageWriter<'b> {
        let uri = format!("sip:{watched}@{}", host_of(self.pbx));
        let mut writer = MessageWriter::request(out, method, uri);
        writer.via(*transport, name, branch, true);
        writer.header_fmt(
            HeaderName::To,
            format_args!("<sip:{watched}@{}>", self.pbx.host),
        );
        writer
    }
}

/// Hops that a request may still take.
pub(super) fn hops_left(message: &Message<'_>) -> Result<u8, Refused> {
    let hops = message.max_forwards().ok().flatten();
    match hops.unwrap_or(MAX_FORWARDS).min(MAX_FORWARDS) {
        0 => Err(Refused::Status(483)),
        hops => Ok(hops - 1),
    }
}

/// Seconds that a request asks for.
pub(super) fn expires(message: &Message<'_>) -> Result<u32, Refused> {
    let asked = match message.header(HeaderName::Expires) {
        Some(value) => number(value).ok_or(400u16)?,
        None => EXPIRES_USUAL,
    };
    match asked {
        0 => Ok(0),
        brief if brief < EXPIRES_LEAST => Err(Refused::TooBrief(EXPIRES_LEAST)),
        long => Ok(long.min(EXPIRES_MOST)),
    }
}

/// The documents of a package that the phone takes, if it says so.
fn accepted(message: &Message<'_>, package: Package) -> Option<String> {
    let values = message.values(HeaderName::Accept);
    let documents: Vec<&str> = values
        .filter_map(|value| package.document(value))
        .take(package.documents().len())
        .collect();
    (!documents.is_empty()).then(|| documents.join(", "))
}

/// What of a refusal may cross.
pub(super) fn write_refusal(
    writer: &mut MessageWriter<'_>,
    message: &Message<'_>,
    status: u16,
    packages: &[Package],
) {
    if status == 423
        && let Some(least) = message.header(HeaderName::MinExpires).and_then(number)
    {
        let least = least.min(EXPIRES_MOST);
        writer.header_fmt(HeaderName::MinExpires, format_args!("{least}"));
    }
    if status == 489 {
        writer.header(HeaderName::AllowEvents, names(packages));
    }
    if let Some(seconds) = retry_after(message) {
        writer.header_fmt(HeaderName::RetryAfter, format_args!("{seconds}"));
    }
}

/// Reads the request that waits.
pub(super) fn with_request<T>(relay: &Relay, read: impl FnOnce(&Message<'_>) -> T) -> Option<T> {
    let mut index = ringfence_sip::Index::default();
    let request = index.parse(&relay.request).ok()?;
    Some(read(&request))
}

//! A phone's PUBLISH: carried to the phone system of its site (RFC 3903).
//!
//! The entity tag is the phone system's and passes as it is: a token that means nothing to anybody
//! else. What is published lives at the phone system; nothing is kept here.

use std::sync::Arc;

use ringfence_base::Instant;
use ringfence_sip::{HeaderName, Message, Method};

use super::package::Event;
use super::subscribe::{Refused, expires, hops_left, with_request, write_refusal};
use crate::core::Core;
use crate::headers::Forbidden;
use crate::incoming::Reply;
use crate::message_relay::refusal_across;
use crate::outgoing::{OurName, our_address};
use crate::plan::Plan;
use crate::registrar::{Caller, number};
use crate::relay::{Onward, Purpose, Relay};

/// Longest entity tag.
const TAG_MAX: usize = 128;

impl Core {
    /// A PUBLISH of a phone that proved who it is.
    pub(crate) fn on_publish(&mut self, now: Instant, reply: &Reply<'_, '_>, caller: Caller) {
        let plan = Arc::clone(&self.plan);
        if let Err(refused) = self.publish(now, &plan, reply, caller) {
            self.refuse_event(now, &plan, reply, caller, refused);
        }
    }

    fn publish(
        &mut self,
        now: Instant,
        plan: &Plan,
        reply: &Reply<'_, '_>,
        caller: Caller,
    ) -> Result<(), Refused> {
        let message = reply.request;
        let house = self.house_of(now, plan, caller).ok_or(404u16)?;
        let event = house.event(message)?;
        let seconds = expires(message)?;
        // Nobody speaks for somebody else.
        if house.watched(message)? != house.user {
            return Err(Refused::Status(403));
        }
        let known = match message.header(HeaderName::SipIfMatch) {
            Some(tag) => Some(entity_tag(tag).ok_or(412u16)?),
            None => None,
        };
        let mut forbidden = Forbidden::default();
        forbidden.peer(plan, house.phones, &reply.flow);
        let host = &house.pbx.host;
        let document = self.document_of(message, event.package, host, &forbidden)?;
        // A new state has a document, a refresh or a removal has none (RFC 3903 §4.1).
        if document.is_none() && known.is_none() {
            return Err(Refused::Status(400));
        }
        if !self.has_room_for(&Purpose::Publish) {
            return Err(Refused::Status(503));
        }
        let ours = our_address(plan, &house.flow).ok_or(503u16)?;
        let hops = hops_left(message)?;
        let client = self.transactions.reserve_client().map_err(|_| 503u16)?;
        let branch = self.transactions.branch(client);
        let tag = self.cookies.new_tag(&mut *self.entropy);
        let call_id = self.cookies.new_call_id(&mut *self.entropy);
        let place = (OurName::new(house.pbx, ours), house.flow.transport);
        let mut out = Vec::with_capacity(768 + message.body().len());
        let mut writer = house.request(&mut out, Method::Publish, house.user, &place, branch);
        writer.header_fmt(
            HeaderName::From,
            format_args!("<sip:{}@{host}>;tag={tag}", house.user),
        );
        writer.header_fmt(HeaderName::MaxForwards, format_args!("{hops}"));
        writer.header(HeaderName::CallId, call_id);
        writer.header(HeaderName::CSeq, "1 PUBLISH");
        writer.header(HeaderName::Event, event.package.as_str());
        writer.header_fmt(HeaderName::Expires, format_args!("{seconds}"));
        if let Some(known) = known {
            writer.header(HeaderName::SipIfMatch, known);
        }
        match document {
            Some((content_type, body)) => writer.body(content_type, body),
            None => writer.finish(),
        }
        let onward = Onward {
            plan,
            peer: house.pbx,
            flow: house.flow,
            client,
            bytes: out.into(),
        };
        self.relay(now, Some(reply), onward, Purpose::Publish);
        Ok(())
    }

    /// The phone system's answer to a PUBLISH. If there is none, the phone's own timer has run as
    /// well (RFC 4320 §4.2).
    pub(crate) fn on_publish_answer(
        &mut self,
        now: Instant,
        relay: &Relay,
        answer: Option<&Message<'_>>,
    ) {
        let Some((message, status)) = answer.and_then(|it| Some((it, it.status()?))) else {
            return;
        };
        if !status.is_success() {
            let package = with_request(relay, Event::read).flatten();
            let package = package.map(|event| event.package);
            let told = refusal_across(status.raw());
            return self.answer_relay(now, relay, told, |writer| {
                write_refusal(writer, message, told, package.as_slice());
            });
        }
        let seconds = message.header(HeaderName::Expires).and_then(number);
        let tag = message.header(HeaderName::SipETag).and_then(entity_tag);
        self.answer_relay(now, relay, 200, |writer| {
            if let Some(seconds) = seconds {
                writer.header_fmt(HeaderName::Expires, format_args!("{seconds}"));
            }
            if let Some(tag) = tag {
                writer.header(HeaderName::SipETag, tag);
            }
        });
    }
}

/// An entity tag (RFC 3903 §11.3.1): a token.
fn entity_tag(value: &[u8]) -> Option<&str> {
    let tag = std::str::from_utf8(value.trim_ascii()).ok()?;
    let legal = |c: char| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c);
    (!tag.is_empty() && tag.len() <= TAG_MAX && tag.chars().all(legal)).then_some(tag)
}

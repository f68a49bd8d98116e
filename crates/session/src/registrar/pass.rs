//! Registration passed on to the site's phone system (`mode = "pass-through"`).
//!
//! The phone proves itself to the edge, with the edge's own credentials; then the edge registers it
//! at the PBX under an address of its own, and what the PBX grants is what the phone gets. Nothing
//! of the phone's REGISTER crosses but what it asks for: neither its address nor its credentials.
//! A contact at the PBX is `user~token@edge`. The token is made of what tells the user's contacts
//! apart, so it is the same after a refresh and after a restart, and a call to it finds its contact
//! again without a table.
//!
//! If the PBX challenges, its `credentials` answer. A contact that the PBX did not take is none
//! here either; one that it took before stays until it ends, whatever happens to the PBX.

use std::time::Duration;

use ringfence_base::{Flow, HashKey, Instant, UnixTime};
use ringfence_sip::write::MessageWriter;
use ringfence_sip::{HeaderName, Index, Message, Method, NameAddr};

use super::group::PhoneGroup;
use super::line::{Binding, Change};
use super::request::{Refusal, after};
use super::route::Caller;
use crate::core::Core;
use crate::headers;
use crate::incoming::Reply;
use crate::outgoing::{MAX_FORWARDS, OurName, contact, our_address};
use crate::plan::{Peer, PeerId, PeerKind, Plan};
use crate::refusal::RefusalReason;
use crate::relay::{Onward, Purpose, Relay};
use crate::ways::ways;

/// When a phone shall come again whose PBX does not work, in seconds.
const AGAIN_SECONDS: u32 = 30;
/// The longest lifetime that is believed, in seconds: a day.
const LIFETIME_MOST: u32 = 86_400;
/// Between the user's name and its token.
const MARK: char = '~';
/// Hexadecimal digits of a token.
const TOKEN_DIGITS: usize = 12;

/// A REGISTER that waits for the PBX.
#[derive(Debug)]
pub(crate) struct Passing {
    group: String,
    user: String,
    change: Change,
    pbx: PeerId,
    sent_to: Flow,
}

/// What tells a contact from the user's others, as a number below 2^48.
pub(crate) fn token_of(edge: &str, group: &str, binding: &Binding) -> u64 {
    let device = binding.instance.as_deref().unwrap_or(&binding.contact);
    let flow = binding.reg_id.to_string();
    let parts = [edge, group, device, &flow].map(str::as_bytes);
    let hash = HashKey::from_bytes(*b"ringfence-phones").hash128(&parts);
    hash as u64 & ((1 << (4 * TOKEN_DIGITS)) - 1)
}

/// The user part of a contact at the PBX.
fn user_part(user: &str, token: u64) -> String {
    format!("{user}{MARK}{token:0TOKEN_DIGITS$x}")
}

/// What [`user_part`] put together.
pub(crate) fn split(called: &str) -> Option<(&str, u64)> {
    let (user, token) = called.rsplit_once(MARK)?;
    let digits = token.bytes().all(|byte| byte.is_ascii_hexdigit());
    let token = u64::from_str_radix(token, 16).ok();
    token
        .filter(|_| digits && called.len() == user.len() + 1 + TOKEN_DIGITS)
        .map(|token| (user, token))
}

const fn refuse(status: u16, text: &'static str) -> Refusal {
    Refusal { status, text }
}

const SILENT: Refusal = refuse(503, "the phone system does not answer");

impl Core {
    /// Passes a phone's REGISTER on to the PBX of its site. The phone is answered when that has.
    pub(crate) fn pass_register(
        &mut self,
        now: Instant,
        group: &PhoneGroup,
        caller: Caller,
        reply: &Reply<'_, '_>,
        change: Change,
    ) -> Result<(), Refusal> {
        let plan = std::sync::Arc::clone(&self.plan);
        let at = self.unix(now);
        let user = group
            .user(caller.user)
            .ok_or(refuse(404, "there is no such user"))?;
        // What would be refused here in the end is not asked of the PBX.
        let before = user.line.bindings(at);
        user.line
            .outcome(at, &change, group.contacts_max)
            .map_err(super::serve::refusal_of)?;
        let contacts = contacts_of(&plan, group, &user.name, &before, &change, at);
        let site = plan.peer(group.peer).ok_or(SILENT)?.site;
        let ways = ways(&plan, site, PeerKind::Pbx, now, false, &mut *self.entropy);
        let way = *ways.first().ok_or(SILENT)?;
        let pbx = plan.peer(way.peer).ok_or(SILENT)?;
        let flow = pbx.flow_to(way.address);
        let ours = our_address(&plan, &flow).ok_or(SILENT)?;
        let purpose = Purpose::Register(Box::new(Passing {
            group: group.key.clone(),
            user: user.name.clone(),
            change,
            pbx: way.peer,
            sent_to: flow,
        }));
        if !self.has_room_for(&purpose) {
            return Err(refuse(503, "too many phones register at once"));
        }
        let client = self.transactions.reserve_client().map_err(|_| SILENT)?;
        let mut out = Vec::with_capacity(768);
        let branch = self.transactions.branch(client);
        let name = OurName::new(pbx, ours);
        let registrar = host_of(pbx);
        let aor = format!("<sip:{}@{}>", user.name, pbx.host);
        let tag = self.cookies.new_tag(&mut *self.entropy);
        let mut writer =
            MessageWriter::request(&mut out, Method::Register, format!("sip:{registrar}"));
        writer.via(flow.transport, name, branch, true);
        writer.header_fmt(HeaderName::MaxForwards, format_args!("{MAX_FORWARDS}"));
        writer.header_fmt(HeaderName::From, format_args!("{aor};tag={tag}"));
        writer.header(HeaderName::To, &aor);
        let call_id = self.cookies.new_call_id(&mut *self.entropy);
        writer.header(HeaderName::CallId, call_id);
        writer.header(HeaderName::CSeq, "1 REGISTER");
        for (user, seconds) in &contacts {
            let place = contact(format_args!("{user}@{name}"), flow.transport);
            writer.header_fmt(
                HeaderName::Contact,
                format_args!("{place};expires={seconds}"),
            );
        }
        writer.finish();
        let onward = Onward {
            plan: &plan,
            peer: pbx,
            flow,
            client,
            bytes: out.into(),
        };
        self.relay(now, Some(reply), onward, purpose);
        Ok(())
    }

    /// The PBX's answer to a REGISTER that was passed on, or that it took too long.
    pub(crate) fn on_pass_answer(
        &mut self,
        now: Instant,
        passing: &Passing,
        relay: &Relay,
        answer: Option<&Message<'_>>,
    ) {
        let Some(message) = answer else {
            if let Some(pbx) = self.plan.peer(passing.pbx) {
                pbx.usage.standing.note_dead(passing.sent_to.remote, now);
            }
            return self.finish_pass(now, passing, relay, Err(SILENT), None, None);
        };
        let answer = match message.status().map_or(0, |status| status.raw()) {
            200..=299 => Ok(message),
            403 | 404 | 410 => Err(refuse(403, "the phone system refuses this user")),
            423 => Err(refuse(423, "the phone system wants a longer lifetime")),
            401 | 407 => Err(refuse(503, "the phone system asks for a password")),
            400..=499 => Err(refuse(500, "the phone system refuses the registration")),
            _ => Err(refuse(
                503,
                "the phone system does not register anybody now",
            )),
        };
        let wait = headers::retry_after(message);
        let least = message.header(HeaderName::MinExpires).and_then(number);
        self.finish_pass(now, passing, relay, answer, wait, least);
    }

    /// Answers the phone as the PBX has decided.
    fn finish_pass(
        &mut self,
        now: Instant,
        passing: &Passing,
        relay: &Relay,
        answer: Result<&Message<'_>, Refusal>,
        wait: Option<u32>,
        least: Option<u32>,
    ) {
        let mut index = Index::default();
        let (Some(server), Ok(request)) = (relay.server, index.parse(&relay.request)) else {
            return;
        };
        let reply = Reply::new(server, &request, relay.flow);
        let plan = std::sync::Arc::clone(&self.plan);
        // The plan may be another one by now.
        let found = plan.phones.iter().enumerate().find_map(|(place, group)| {
            let user = group.index_of(passing.user.as_bytes())?;
            let id = super::group::GroupId::new(place as u16);
            (group.key == passing.group).then_some((id, group, user))
        });
        let Some((id, group, user)) = found else {
            return self.respond(now, &reply, 403);
        };
        let at = self.unix(now);
        let known = group.user(user).filter(|_| self.is_watched());
        let before = known.map_or(0, |user| user.line.bindings(at).len());
        let caller = Caller { group: id, user };
        let bindings = answer.and_then(|answer| {
            let user = group.user(user).ok_or(SILENT)?;
            let change = granted(&plan, group, &user.name, &passing.change, answer, at)?;
            let bindings = user.line.apply(at, &change, group.contacts_max);
            bindings.map_err(super::serve::refusal_of)
        });
        match bindings {
            Ok(bindings) => {
                let seen = (before, &bindings[..]);
                self.see_registered(now, &relay.flow, &request, caller, seen);
                self.accept_register(now, group, caller, &reply, bindings);
            }
            Err(refusal) => {
                self.see_proved(now, &relay.flow, &request, caller);
                self.refuse(relay.flow, RefusalReason::Registration);
                self.respond_with(now, &reply, refusal.status, None, |writer| {
                    if refusal.status == 423 {
                        let least = least.unwrap_or(group.expires_min.as_secs() as u32);
                        let least = least.min(LIFETIME_MOST);
                        writer.header_fmt(HeaderName::MinExpires, format_args!("{least}"));
                    }
                    if refusal.status == 503 {
                        let wait = wait.unwrap_or(AGAIN_SECONDS);
                        writer.header_fmt(HeaderName::RetryAfter, format_args!("{wait}"));
                    }
                    writer.header_fmt(
                        HeaderName::Warning,
                        format_args!("399 edge \"{}\"", refusal.text),
                    );
                });
            }
        }
    }
}

/// `host:port;transport=tcp` of a PBX.
pub(crate) fn host_of(pbx: &Peer) -> String {
    let mut host = pbx.host.clone();
    if let Some(port) = pbx.port {
        host.push_str(&format!(":{port}"));
    }
    if pbx.transport != ringfence_base::Transport::Udp {
        host.push_str(&format!(";transport={}", pbx.transport));
    }
    host
}

/// The contacts that are named to the PBX, and the seconds that each shall last.
fn contacts_of(
    plan: &Plan,
    group: &PhoneGroup,
    user: &str,
    before: &[Binding],
    change: &Change,
    at: UnixTime,
) -> Vec<(String, u64)> {
    let named = |binding: &Binding| {
        let token = token_of(&plan.edge_name, &group.key, binding);
        user_part(user, token)
    };
    let seconds = |binding: &Binding| {
        let left = binding.expires.as_micros() - at.as_micros();
        u64::try_from(left).unwrap_or_default() / 1_000_000
    };
    match change {
        Change::Fetch => Vec::new(),
        Change::RemoveAll { .. } => before.iter().map(|known| (named(known), 0)).collect(),
        Change::Update(contacts) => contacts
            .iter()
            .map(|contact| (named(contact), seconds(contact)))
            .collect(),
    }
}

/// The change with the lifetimes that the PBX has granted.
fn granted(
    plan: &Plan,
    group: &PhoneGroup,
    user: &str,
    change: &Change,
    answer: &Message<'_>,
    at: UnixTime,
) -> Result<Change, Refusal> {
    let Change::Update(contacts) = change else {
        return Ok(change.clone());
    };
    let general = answer.header(HeaderName::Expires).and_then(number);
    let mut changed = Vec::with_capacity(contacts.len());
    for asked in contacts {
        let mut contact = asked.clone();
        if asked.expires > at {
            let token = token_of(&plan.edge_name, &group.key, asked);
            let own = user_part(user, token);
            let listed = answer
                .values(HeaderName::Contact)
                .filter_map(|value| NameAddr::parse(value).ok())
                .find(|listed| listed.uri.user == Some(own.as_bytes()));
            let seconds = listed
                .and_then(|listed| number(listed.params.get(b"expires")??))
                .or(general);
            match seconds {
                Some(0) => return Err(refuse(500, "the phone system kept no contact")),
                Some(seconds) => {
                    let lasts = Duration::from_secs(seconds.min(LIFETIME_MOST).into());
                    contact.expires = after(at, lasts);
                }
                // It says nothing, and so agrees.
                None => {}
            }
        }
        changed.push(contact);
    }
    Ok(Change::Update(changed))
}

pub(crate) fn number(value: &[u8]) -> Option<u32> {
    let digits = value.trim_ascii();
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_at_the_phone_system_is_taken_apart_again() {
        let made = user_part("alice~smith", 0x12ab);
        assert_eq!(made, "alice~smith~0000000012ab");
        assert_eq!(split(&made), Some(("alice~smith", 0x12ab)));
        for other in ["alice", "alice~", "alice~12ab", "alice~+000000012ab", "~"] {
            assert_eq!(split(other), None, "{other}");
        }
    }
}

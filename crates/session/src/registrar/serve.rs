//! A message on a listener with phones, from no configured peer.
//!
//! Order matters here. A request that belongs to a transaction or a dialog of ours goes on; any
//! other must show credentials before it costs state, and each new INVITE must, even over a
//! connection that has registered and even with a To tag that means nothing to us.

use std::sync::Arc;

use bytes::Bytes;
use ringfence_base::{ConnectionId, Flow, Instant, Transport};
use ringfence_detect::event::Refusal;
use ringfence_dialog::{Matched, Transmit, response_flow};
use ringfence_sip::write::{MessageWriter, compacted, response_to};
use ringfence_sip::{HeaderName, Message, Method, StatusCode};
use smallvec::SmallVec;

use super::group::{GroupId, PhoneGroup, PhoneUser, gruu_device};
use super::line::{Binding, Change, ChangeError, Line};
use super::pass;
use super::route::{Caller, Target};
use super::{credentials, request};
use crate::access::Candidates;
use crate::core::{Core, TagText};
use crate::event::Event;
use crate::fork::rounds;
use crate::incoming::{ANSWERS_MAX, Reply};
use crate::plan::{PeerId, PeerKind};
use crate::refusal::RefusalReason;
use crate::routing::Route;

/// Options of a REGISTER that are understood.
const OPTIONS: [&[u8]; 3] = [b"gruu", b"outbound", b"path"];

/// Seconds between keep-alives that a phone with several flows is told (RFC 5626 §4.4).
const FLOW_TIMER_SECONDS: u32 = 120;

/// Most users of one connection whose bindings are marked when it closes.
const USERS_PER_CONNECTION_MAX: usize = 64;

/// The users that registered over a connection.
pub(crate) type FlowUsers = SmallVec<[Arc<Line>; 1]>;

impl Core {
    /// Whether a message is a phone's business rather than that of one of `candidates`: from
    /// nobody else, a REGISTER, with credentials for phones, or inside a phone's dialog.
    pub(crate) fn is_of_phone(
        &self,
        flow: &Flow,
        message: &Message<'_>,
        candidates: &Candidates,
    ) -> bool {
        if self.plan.phones_at(flow.listener).next().is_none() {
            return false;
        }
        candidates.is_empty()
            || message.method() == Some(Method::Register)
            || self.phone_of_dialog(flow, message).is_some()
            || self
                .plan
                .phones_at(flow.listener)
                .any(|(_, group)| credentials::is_for(message, &group.realm))
    }

    pub(crate) fn on_phone_message(&mut self, now: Instant, flow: Flow, message: &Message<'_>) {
        let Some(method) = message.method() else {
            // A branch of ours, which nobody can guess, is what makes it a response.
            return self.on_response_message(now, flow, message, &Candidates::new());
        };
        if let Some(peer) = self.phone_of_dialog(&flow, message) {
            let candidates = Candidates::from_slice(&[peer]);
            return self.on_request(now, flow, message, method, &candidates);
        }
        self.counters.requests += 1;
        if let Err(rejection) = message.validate_request() {
            self.refuse(flow, RefusalReason::Malformed);
            self.see_refused(now, &flow, &Candidates::new(), message, Refusal::Malformed);
            if method != Method::Ack {
                self.answer_unproven(&flow, message, rejection.code.raw(), |_| {});
            }
            return;
        }
        if self.transactions.knows(&flow, message) {
            // A retransmission, the ACK of a failure, or the CANCEL of an INVITE that is here.
            if let Matched::Cancel { cancel, invite } =
                self.transactions.handle_input(now, &flow, message)
            {
                self.on_cancel(now, &Reply::new(cancel, message, flow), invite);
            }
            return;
        }
        let in_dialog = message.to().is_ok_and(|to| to.tag().is_some());
        match method {
            // The ACK of a challenge, which keeps no state.
            Method::Ack => {}
            Method::Cancel => {
                self.answer_unproven(&flow, message, 481, |_| {});
            }
            _ if in_dialog => {
                self.refuse(flow, RefusalReason::DialogUnknown);
                self.see_forged(now, &flow, &Candidates::new(), message);
                self.answer_unproven(&flow, message, 481, |_| {});
            }
            Method::Register => self.on_register(now, flow, message),
            other => self.on_phone_request(now, flow, message, other),
        }
    }

    /// The group whose phone has the dialog that a request is inside of: our tag, from the
    /// address that the phone's leg has.
    fn phone_of_dialog(&self, flow: &Flow, message: &Message<'_>) -> Option<PeerId> {
        message.method()?;
        if let Some(phones) = self.watcher_of(flow, message) {
            return Some(phones);
        }
        let to = message.to().ok()?;
        let tag: TagText = to.tag()?.try_into().ok()?;
        let &(key, side) = self.by_tag.get::<TagText>(&tag)?;
        let call = self.call(key)?;
        let peer = call.peer(side)?;
        let leg = call.leg(side).flow;
        let same_place = leg.listener == flow.listener
            && leg.transport == flow.transport
            && leg.remote.ip().to_canonical() == flow.remote.ip().to_canonical();
        if peer.kind != PeerKind::Phones || !same_place {
            return None;
        }
        let mut groups = self.plan.phones.iter().map(|group| group.peer);
        groups.find(|id| self.plan.peer(*id).is_some_and(|now| now.key == peer.key))
    }

    /// The group that a request is for: of the realm in its To or its Request-URI, else the
    /// listener's first.
    fn group_of(&self, flow: &Flow, message: &Message<'_>) -> Option<GroupId> {
        let to = message.to().ok();
        let host = to.and_then(|to| to.uri.host);
        let named = |group: &PhoneGroup| {
            host.is_some_and(|host| host.to_string().eq_ignore_ascii_case(&group.realm))
        };
        let mut groups = self.plan.phones_at(flow.listener);
        let first = groups.next()?;
        if named(first.1) {
            return Some(first.0);
        }
        let other = groups.find(|(_, group)| named(group));
        Some(other.map_or(first.0, |(id, _)| id))
    }

    fn on_register(&mut self, now: Instant, flow: Flow, message: &Message<'_>) {
        let Some(id) = self.group_of(&flow, message) else {
            return;
        };
        let Some(caller) = self.authenticate(now, &flow, message, id) else {
            return;
        };
        let server = match self.transactions.handle_input(now, &flow, message) {
            Matched::NewRequest(server) => server,
            Matched::Refused(_) => {
                self.refuse(flow, RefusalReason::TransactionsMax);
                return self.answer_statelessly(&flow, message, 503, |_| {});
            }
            _ => return,
        };
        let reply = Reply::new(server, message, flow);
        let plan = Arc::clone(&self.plan);
        let Some(group) = plan.phone_group(caller.group) else {
            return;
        };
        let at = self.unix(now);
        let before = match self.is_watched() {
            true => group
                .user(caller.user)
                .map_or(0, |user| user.line.bindings(at).len()),
            false => 0,
        };
        let registered = match self.read_register(at, group, caller, &reply) {
            Ok((_, change)) if group.passes && change != Change::Fetch => {
                match self.pass_register(now, group, caller, &reply, change) {
                    Ok(()) => return,
                    Err(refusal) => Err(refusal),
                }
            }
            Ok((user, change)) => {
                let changed = user.line.apply(at, &change, group.contacts_max);
                changed.map_err(refusal_of)
            }
            Err(refusal) => Err(refusal),
        };
        match registered {
            Ok(bindings) => {
                self.see_registered(now, &flow, message, caller, (before, &bindings));
                self.accept_register(now, group, caller, &reply, bindings);
            }
            Err(refusal) => {
                self.see_proved(now, &flow, message, caller);
                self.refuse(flow, RefusalReason::Registration);
                self.respond_with(now, &reply, refusal.status, None, |writer| {
                    if refusal.status == 420 {
                        unsupported(writer, message);
                    }
                    if refusal.status == 423 {
                        let least = group.expires_min.as_secs();
                        writer.header_fmt(HeaderName::MinExpires, format_args!("{least}"));
                    }
                    writer.header_fmt(
                        HeaderName::Warning,
                        format_args!("399 edge \"{}\"", refusal.text),
                    );
                });
            }
        }
    }

    /// Who a REGISTER is of, and what it asks for.
    fn read_register<'g>(
        &self,
        at: ringfence_base::UnixTime,
        group: &'g PhoneGroup,
        caller: Caller,
        reply: &Reply<'_, '_>,
    ) -> Result<(&'g PhoneUser, Change), request::Refusal> {
        let message = reply.request;
        let user = group
            .user(caller.user)
            .ok_or(refuse(404, "there is no such user"))?;
        let needs = message.values(HeaderName::Require);
        if needs.into_iter().any(|option| !is_known_option(option)) {
            return Err(refuse(420, "an extension is not supported"));
        }
        let named = message.to().ok().and_then(|to| to.uri.user_unescaped());
        if named.as_deref() != Some(user.name.as_bytes()) {
            return Err(refuse(403, "a user registers itself only"));
        }
        let change = request::read(message, &reply.flow, group, at)?;
        Ok((user, change))
    }

    pub(crate) fn accept_register(
        &mut self,
        now: Instant,
        group: &PhoneGroup,
        caller: Caller,
        reply: &Reply<'_, '_>,
        bindings: Vec<Binding>,
    ) {
        let Some(user) = group.user(caller.user) else {
            return;
        };
        self.counters.registrations += 1;
        if let Some(connection) = reply.flow.connection {
            let users = self.phone_flows.entry(connection).or_default();
            let known = users.iter().any(|line| Arc::ptr_eq(line, &user.line));
            if !known && users.len() < USERS_PER_CONNECTION_MAX {
                users.push(Arc::clone(&user.line));
            }
        }
        let at = self.unix(now);
        let message = reply.request;
        let with_gruu = message.lists(HeaderName::Supported, b"gruu");
        let outbound = message.lists(HeaderName::Supported, b"outbound")
            && bindings.iter().any(|binding| binding.reg_id != 0);
        self.respond_with(now, reply, 200, None, |writer| {
            for binding in &bindings {
                let contact = contact_of(
                    binding,
                    at,
                    with_gruu.then_some((user.name.as_str(), group.realm.as_str())),
                );
                writer.header(HeaderName::Contact, contact);
            }
            if message.lists(HeaderName::Supported, b"path") {
                writer.copy(message, HeaderName::Path);
            }
            if outbound {
                writer.header(HeaderName::Require, "outbound");
                writer.raw_header(b"Flow-Timer", FLOW_TIMER_SECONDS.to_string().as_bytes());
            }
        });
        self.emit(Event::Registered {
            group: group.key.clone(),
            user: user.name.clone(),
            bindings,
        });
    }

    /// Whether a request comes from where the user in its From has registered: a phone that asks
    /// whether the edge is still there is not asked for its password each time.
    fn is_of_registered(
        &self,
        now: Instant,
        flow: &Flow,
        message: &Message<'_>,
        id: GroupId,
    ) -> bool {
        let at = self.unix(now);
        let user = self.plan.phone_group(id).and_then(|group| {
            let from = message.from().ok()?;
            let name = from.uri.user_unescaped()?;
            group.user(group.index_of(&name)?)
        });
        user.is_some_and(|user| {
            let bindings = user.line.bindings(at);
            bindings
                .iter()
                .any(|known| !known.flow_lost && known.flow == *flow)
        })
    }

    /// Any other new request of a phone: a call, a text, a question, or whom it watches.
    fn on_phone_request(
        &mut self,
        now: Instant,
        flow: Flow,
        message: &Message<'_>,
        method: Method<'_>,
    ) {
        let Some(id) = self.group_of(&flow, message) else {
            return;
        };
        if method == Method::Options && self.is_of_registered(now, &flow, message, id) {
            let group = self.plan.phone_group(id).map(|group| group.peer);
            let candidates: Candidates = group.into_iter().collect();
            return self.on_lone_request(flow, message, method, &candidates);
        }
        let Some(caller) = self.authenticate(now, &flow, message, id) else {
            return;
        };
        self.see_proved(now, &flow, message, caller);
        let Some(peer) = self.plan.phone_group(caller.group).map(|group| group.peer) else {
            return;
        };
        let candidates = Candidates::from_slice(&[peer]);
        let methods = self.plan.peer(peer).map(|peer| &peer.methods);
        let events = methods.is_some_and(|methods| !methods.events.is_empty());
        let serves = match method {
            Method::Invite => true,
            Method::Message => self.carries_messages(&candidates),
            Method::Publish | Method::Subscribe => events,
            _ => false,
        };
        if !serves {
            return self.on_lone_request(flow, message, method, &candidates);
        }
        match self.transactions.handle_input(now, &flow, message) {
            Matched::NewRequest(server) => {
                let reply = Reply::new(server, message, flow);
                match method {
                    Method::Message => {
                        self.on_lone_message(now, &reply, &candidates, Some(caller));
                    }
                    Method::Publish => self.on_publish(now, &reply, caller),
                    Method::Subscribe => self.on_subscribe(now, &reply, caller),
                    _ => self.on_new_invite(now, &reply, &candidates, Some(caller)),
                }
            }
            Matched::Refused(_) => {
                self.refuse(flow, RefusalReason::TransactionsMax);
                self.answer_statelessly(&flow, message, 503, |_| {});
            }
            _ => {}
        }
    }

    /// The contact that a request to a phone user goes to: the most preferred one, of equals the
    /// one that registered last; `None` if it has none now.
    pub(crate) fn target_of(
        &self,
        now: Instant,
        route: &Route,
        message: &Message<'_>,
    ) -> Option<Target> {
        let first = self.targets_of(now, route, message).into_iter().next();
        first.into_iter().flatten().next()
    }

    /// The contacts that a call to a phone user rings at, in the order of their rounds. A
    /// Request-URI with `gr` names one device (RFC 5627 §5.1), else all of them ring.
    pub(crate) fn targets_of(
        &self,
        now: Instant,
        route: &Route,
        message: &Message<'_>,
    ) -> Vec<Vec<Target>> {
        let user = route
            .callee
            .and_then(|callee| self.plan.phone_group(callee.group)?.user(callee.user));
        let (Some(user), Some(peer)) = (user, self.plan.peer(route.egress)) else {
            return Vec::new();
        };
        let uri = message
            .request_uri()
            .and_then(|uri| ringfence_sip::Uri::parse(uri).ok());
        let device = uri.as_ref().and_then(gruu_device);
        let fits = |binding: &Binding| {
            let named = binding.instance.as_deref().map(str::as_bytes);
            !binding.flow_lost && device.is_none_or(|device| named == Some(device))
        };
        let mut bindings = user.line.bindings(self.unix(now));
        bindings.retain(fits);
        let group = route.callee.and_then(|it| self.plan.phone_group(it.group));
        if let (Some(group), Some(token)) = (group, route.callee.and_then(|it| it.token)) {
            // The phone system means one contact.
            let edge = &self.plan.edge_name;
            bindings.retain(|binding| pass::token_of(edge, &group.key, binding) == token);
        }
        rounds(bindings, peer.media)
    }

    /// Whether somebody registered over this connection.
    pub fn is_phone_flow(&self, connection: ConnectionId) -> bool {
        self.phone_flows.contains_key(&connection)
    }

    /// A connection is gone, and with it the way to the phones that registered over it.
    pub(crate) fn on_phone_flow_closed(&mut self, connection: ConnectionId) {
        for line in self.phone_flows.remove(&connection).into_iter().flatten() {
            line.flow_closed(connection);
        }
    }

    /// Answers a source that has proved nothing, without state. Whether it was sent: over UDP,
    /// where the source is a claim, never more bytes than came.
    pub(crate) fn answer_unproven(
        &mut self,
        flow: &Flow,
        message: &Message<'_>,
        status: u16,
        more: impl FnOnce(&mut MessageWriter<'_>),
    ) -> bool {
        let Ok(via) = message.via() else { return false };
        let to = response_flow(flow, &via);
        let tag = self.stateless_tag(message);
        let code = StatusCode::of(status);
        let mut out = std::mem::take(&mut self.scratch);
        out.clear();
        let mut writer = response_to(&mut out, message, flow.remote, code, "", Some(&tag));
        more(&mut writer);
        writer.finish();
        let bound = match flow.transport {
            Transport::Udp => message.bytes().len(),
            _ => usize::MAX,
        };
        if out.len() > bound
            && let Ok(long) = ringfence_sip::Index::default().parse(&out)
        {
            let short = compacted(&long);
            out.clear();
            out.extend_from_slice(&short);
        }
        let fits = out.len() <= bound;
        if fits && self.answers.len() < ANSWERS_MAX {
            let bytes = Bytes::copy_from_slice(&out);
            self.answers.push_back(Transmit { flow: to, bytes });
        }
        self.scratch = out;
        fits
    }
}

const fn refuse(status: u16, text: &'static str) -> request::Refusal {
    request::Refusal { status, text }
}

/// What a phone is told whose change is refused.
pub(super) fn refusal_of(error: ChangeError) -> request::Refusal {
    match error {
        ChangeError::OutOfOrder => refuse(500, "the REGISTER is older than the binding"),
        ChangeError::TooMany => refuse(403, "too many contacts"),
    }
}

fn is_known_option(option: &[u8]) -> bool {
    OPTIONS
        .iter()
        .any(|known| option.eq_ignore_ascii_case(known))
}

fn unsupported(writer: &mut MessageWriter<'_>, message: &Message<'_>) {
    for option in message.values(HeaderName::Require) {
        if !is_known_option(option) {
            writer.header(HeaderName::Unsupported, option);
        }
    }
}

/// `<uri>;expires=N;+sip.instance="<…>";reg-id=1;pub-gruu="…"` (RFC 3261 §10.3 step 8, RFC 5626
/// §6, RFC 5627 §5.2).
fn contact_of(
    binding: &Binding,
    at: ringfence_base::UnixTime,
    gruu: Option<(&str, &str)>,
) -> String {
    let left = binding.expires.as_micros() - at.as_micros();
    let mut text = format!("<{}>;expires={}", binding.contact, left.max(0) / 1_000_000);
    if let Some(instance) = &binding.instance {
        text.push_str(&format!(";+sip.instance=\"<{instance}>\""));
        if let Some((user, realm)) = gruu {
            text.push_str(&format!(";pub-gruu=\"sip:{user}@{realm};gr={instance}\""));
        }
    }
    if binding.q != 1000 {
        text.push_str(&format!(";q={}.{:03}", binding.q / 1000, binding.q % 1000));
    }
    if binding.reg_id != 0 {
        text.push_str(&format!(";reg-id={}", binding.reg_id));
    }
    text
}

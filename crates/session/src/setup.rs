//! A new call: from the INVITE on the caller's leg to the INVITE on the callee's.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringfence_base::Instant;
use ringfence_dialog::dialog::Dialog;
use ringfence_dialog::{RequestKind, Tag};
use ringfence_sip::write::MessageWriter;
use ringfence_sip::{HeaderName, Message};
use ringfence_stir::Verdict;

use crate::access::Candidates;
use crate::admission::{Admission, admit};
use crate::body;
use crate::call::{Bridge, Call, CallKey, Facts, Leg, Phase, Side, Stage};
use crate::call_id::CallId;
use crate::core::{Core, TagText};
use crate::diversion::Diversions;
use crate::event::Event;
use crate::fork::Fork;
use crate::headers::{self, Forbidden};
use crate::hunt::hunt;
use crate::identity::{self, Identity, NotPresentable, Wording};
use crate::incoming::Reply;
use crate::line_guard::Line;
use crate::location::Location;
use crate::methods::{Methods, RELIABLE, ReliableProvisional, takes};
use crate::negotiation::{Negotiation, SideFacts, Surroundings};
use crate::numbering;
use crate::outgoing::{Invite, MAX_FORWARDS, our_address};
use crate::pin_question::Stopped;
use crate::plan::{Peer, Plan};
use crate::refusal::RefusalReason;
use crate::registrar::{Caller, from_phone};
use crate::registration::called_number;
use crate::reliable::Provisionals;
use crate::routing::{Route, route};
use crate::screening::Question;
use crate::session_timer;
use crate::signing::identity_headers;
use crate::spend::{Asking, Pin};
use crate::supervise::AlarmKind;
use crate::trace::LegSide;
use crate::verification::{Verified, in_words};
use crate::ways::{Way, Ways, ways_of};

/// Why an attempt was refused, and the SIP status that says so.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) reason: RefusalReason,
    pub(crate) status: u16,
    pub(crate) route: Option<Box<Route>>,
    /// The reason in words, where it has more to say than its name.
    pub(crate) why: Option<Box<str>>,
    /// Whether the caller may try again with the PIN.
    pub(crate) asks_pin: bool,
}

/// An INVITE that may become a call.
pub(crate) struct Attempt<'a, 'm> {
    pub(crate) key: CallKey,
    pub(crate) id: CallId,
    pub(crate) reply: Reply<'a, 'm>,
    pub(crate) called: String,
    pub(crate) calling: Option<String>,
    /// The phone that calls, if it is one.
    pub(crate) caller: Option<Caller>,
    /// What stood in front of the number.
    pub(crate) pin: Pin,
    /// What came of the caller's verification, if anybody asked.
    pub(crate) verdict: Option<Verdict>,
}

impl<'a, 'm> Attempt<'a, 'm> {
    /// Reads who calls whom from the INVITE of `reply`.
    pub(crate) fn new(key: CallKey, id: CallId, reply: Reply<'a, 'm>) -> Self {
        let called = numbering::called_of(reply.request).unwrap_or_default();
        let calling = reply.request.from().ok();
        let calling = calling.and_then(|from| numbering::calling_of(&from.uri));
        Attempt {
            key,
            id,
            reply,
            called,
            calling,
            caller: None,
            pin: Pin::Absent,
            verdict: None,
        }
    }
}

impl Core {
    pub(crate) fn on_new_invite(
        &mut self,
        now: Instant,
        reply: &Reply<'_, '_>,
        candidates: &Candidates,
        caller: Option<Caller>,
    ) {
        if self.on_replacing_invite(now, reply, candidates, caller) {
            return;
        }
        let (message, flow) = (reply.request, reply.flow);
        self.counters.calls_tried += 1;
        let (key, id) = self.next_call(now);
        self.current = Some(key);
        let at = self.unix(now);
        let from = (flow.remote, flow.transport);
        self.traces
            .record(id, at, (LegSide::Ingress, false), from, message.bytes());
        let mut attempt = Attempt {
            caller,
            ..Attempt::new(key, id, *reply)
        };
        // A call to the Contact that we registered names the number elsewhere.
        if let Some(called) = called_number(&self.plan, candidates, message, &attempt.called) {
            attempt.called = called;
        }
        attempt.pin = self.take_pin(now, caller, candidates, message, &mut attempt.called);
        match self.verify_caller(now, &attempt, candidates) {
            Verified::Done(verdict) => attempt.verdict = Some(verdict),
            Verified::Parked => return,
            Verified::Unasked => {}
        }
        self.set_up(now, &attempt, candidates);
    }

    /// Makes a call of `attempt`, or refuses it.
    pub(crate) fn set_up(
        &mut self,
        now: Instant,
        attempt: &Attempt<'_, '_>,
        candidates: &Candidates,
    ) {
        if let Err(refused) = self.try_setup(now, attempt, candidates) {
            self.refuse_attempt(now, attempt, candidates, refused);
        }
    }

    fn try_setup(
        &mut self,
        now: Instant,
        attempt: &Attempt<'_, '_>,
        candidates: &Candidates,
    ) -> Result<(), Refused> {
        let refuse = |reason, status| Refused {
            reason,
            status,
            route: None,
            why: None,
            asks_pin: false,
        };
        let plan = Arc::clone(&self.plan);
        let methods = candidates
            .first()
            .and_then(|id| plan.peer(*id))
            .map(|peer| &peer.methods);
        check_message(attempt.reply.request, methods)?;
        if attempt.pin == Pin::Wrong {
            return Err(refuse(RefusalReason::Pin, 403));
        }
        let routed = match attempt.caller {
            Some(caller) => from_phone(&plan, caller, &attempt.called),
            None => route(&plan, candidates, &attempt.called),
        };
        let mut route = routed.map_err(|no_route| refuse(no_route.reason, no_route.status))?;
        if route.callee.is_some() {
            let rounds = self.targets_of(now, &route, attempt.reply.request);
            route.ring_at(rounds);
        }
        let with_route = |reason, status| Refused {
            reason,
            status,
            route: Some(Box::new(route.clone())),
            why: None,
            asks_pin: false,
        };
        let mut identity = identity::identify(&plan, &route, attempt.reply.request)
            .map_err(|_| with_route(NotPresentable::REASON, NotPresentable::STATUS))?;
        let verdict = attempt.verdict.as_ref();
        let of = plan.peer(route.ingress).zip(plan.site(route.site));
        if let (Some(verdict), Some(of)) = (verdict, of) {
            identity.keep(verdict, of, &route.called, attempt.reply.request);
        }
        let numbers = (identity.real.as_deref(), attempt.called.as_str());
        let (flow, message) = (attempt.reply.flow, attempt.reply.request);
        let heard = (&flow, message);
        self.see_offered(now, heard, attempt.id, &route, numbers, verdict);
        self.see_forwarded(now, heard, &route, numbers);
        if let Some(error) = self.refuses_caller(now, &plan, &route, verdict, message) {
            return Err(Refused {
                why: Some(format!("the caller's identity fails: {error}").into()),
                ..with_route(RefusalReason::Identity, error.status())
            });
        }
        if let Some(site) = plan.site(route.site).filter(|_| route.emergency) {
            site.usage.note_emergency(now);
        }
        if self.draining && !route.emergency {
            return Err(with_route(RefusalReason::Draining, 503));
        }
        if self.calls.len() >= plan.limits.calls_max && !route.emergency {
            return Err(with_route(RefusalReason::CallsMax, 503));
        }
        if route.callee.is_some() && route.target.is_none() {
            return Err(with_route(RefusalReason::Unregistered, 480));
        }
        let ways = self.ways(now, &plan, &route);
        let request = attempt.reply.request;
        let asked = self.ask_for_line(now, &plan, attempt.id, &route, &identity, request);
        let line = asked.map_err(|closed| Refused {
            why: Some(closed.why.into()),
            ..with_route(RefusalReason::Channels, closed.status)
        })?;
        let (mut admission, first) = admit(&plan, &route, &ways, now).map_err(|refused| {
            self.give_line_back(now, &plan, attempt.id, &route);
            with_route(refused.reason, refused.status)
        })?;
        if let Some(way) = ways.get(first) {
            route.go_to(&plan, way.peer);
        }
        let asking = Asking {
            id: attempt.id,
            phone: attempt.caller,
            request: attempt.reply.request,
            pin: attempt.pin,
        };
        if let Err(why) = self.may_spend(now, &mut route, &identity, &asking, &mut admission) {
            self.give_line_back(now, &plan, attempt.id, &route);
            drop(admission);
            let refused = Refused {
                reason: RefusalReason::Spending,
                status: 603,
                route: Some(Box::new(route.clone())),
                asks_pin: why.contains("*PIN*"),
                why: Some(why),
            };
            let stopped = Stopped {
                route,
                identity,
                ways: ways.get(first..).unwrap_or_default(),
                refused,
            };
            return self.ask_pin(now, attempt, candidates, stopped);
        }
        let route_kept = Box::new(route.clone());
        if let Some(number) = &identity.replaced_by {
            route.rule.push_str(&format!(" (presents {number})"));
        }
        if let Line::Noted(why) = &line {
            route.rule.push_str(&format!(" ({why})"));
        }
        if let Some(verdict) = verdict {
            route.rule.push_str(&format!(" ({})", in_words(verdict)));
        }
        let ask = match line {
            Line::Ask { kindly } => Some(Question::Digits { kindly }),
            Line::Noted(_) | Line::Open => None,
        };
        let ways = ways.get(first..).unwrap_or_default();
        self.begin(now, attempt, route, identity, (ways, ask), Some(admission))
            .map_err(|(reason, status)| {
                self.discard(attempt.key);
                self.give_line_back(now, &plan, attempt.id, &route_kept);
                Refused {
                    reason,
                    status,
                    route: Some(route_kept),
                    why: None,
                    asks_pin: false,
                }
            })
    }

    /// Where a routed call may go, best first.
    pub(crate) fn ways(&mut self, now: Instant, plan: &Plan, route: &Route) -> Ways {
        if let Some(target) = &route.target {
            // One contact of one phone.
            let (peer, address) = (route.egress, target.flow.remote);
            return [Way { peer, address }].into_iter().collect();
        }
        ways_of(plan, route, now, !route.emergency, &mut *self.entropy)
    }

    /// Makes the call and sends the INVITE on, to the first of `ways`; or answers it, if the caller
    /// is to be asked first.
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        attempt: &Attempt<'_, '_>,
        mut route: Route,
        identity: Identity,
        (ways, ask): (&[Way], Option<Question>),
        admission: Option<Admission>,
    ) -> Result<(), (RefusalReason, u16)> {
        let no_route = (RefusalReason::NoRoute, 503);
        let plan = Arc::clone(&self.plan);
        let message = attempt.reply.request;
        let egress = plan.peer(route.egress).ok_or(no_route)?;
        let egress_flow = match &route.target {
            Some(target) => target.flow,
            None => egress.flow_to(ways.first().ok_or(no_route)?.address),
        };
        our_address(&plan, &egress_flow).ok_or(no_route)?;
        let tags = [(); 2].map(|()| self.cookies.new_tag(&mut *self.entropy));
        let dialog = Dialog::uas(message, &tags[0]).map_err(|_| (RefusalReason::Malformed, 400))?;
        let mut legs = [
            Leg::new(route.ingress, attempt.reply.flow, tags[0]),
            Leg::new(route.egress, egress_flow, tags[1]),
        ];
        legs[0].dialog = Some(dialog);
        let client = self
            .transactions
            .reserve_client()
            .map_err(|_| (RefusalReason::TransactionsMax, 503))?;
        let offer = !body::description(message).unwrap_or_default().is_empty();
        let token = route.callee.and_then(|callee| callee.token);
        let called = match token {
            // A contact that we registered ourselves: the record names its user.
            Some(_) => route.called.text.clone(),
            None => attempt.called.clone(),
        };
        let also = std::mem::take(&mut route.also);
        let fork = Fork::new(also, route.target.as_deref());
        let reliable = plan
            .peer(route.ingress)
            .map(|peer| peer.methods.reliable_provisional)
            .unwrap_or_default();
        let mut call = Call {
            key: attempt.key,
            id: attempt.id,
            plan: Arc::clone(&plan),
            route,
            phase: Phase::Setup,
            legs,
            egress_call_id: self.cookies.new_call_id(&mut *self.entropy),
            bridge: Some(Bridge {
                from: Side::A,
                server: attempt.reply.server,
                client,
                client_cseq: 1,
                initial: true,
                stage: Stage::Pending {
                    request: Bytes::copy_from_slice(message.bytes()),
                    offer,
                },
            }),
            exchange: None,
            sent_invite: None,
            provisionals: Provisionals::new(message, reliable),
            hunt: hunt(ways, 0),
            fork,
            heard: false,
            media: Negotiation::default(),
            facts: Facts {
                from: identity
                    .real
                    .clone()
                    .unwrap_or_else(|| "anonymous".into())
                    .into(),
                to: called.into(),
                started: self.unix(now),
                ringing: None,
                answered: None,
                answered_at: None,
                q850: None,
            },
            admission,
            kept_admission: None,
            screening: None,
            replaced: None,
            caller_changed: false,
            referral: None,
            transfer: None,
            redirects: 0,
            transfers: 0,
            identity,
        };
        call.learn_methods(Side::A, message);
        let slot = self.calls.insert(call) as u32;
        debug_assert_eq!(slot, attempt.key.slot);
        for side in Side::BOTH {
            self.by_tag
                .insert(tag_text(&tags[side.index()]), (attempt.key, side));
        }
        self.counters.calls_active = self.calls.len() as u64;
        self.transactions
            .set_owner(attempt.reply.server, attempt.key.owner(Side::A));
        match ask {
            Some(question) => self.ask_caller(now, attempt, question)?,
            None => {
                self.dial(now, attempt, true)?;
                let ring = plan.limits.ring_timeout;
                self.schedule(now, ring, attempt.key, AlarmKind::Ring);
            }
        }
        self.emit(Event::CallStarted { id: attempt.id });
        Ok(())
    }

    /// Sends the INVITE of `attempt` to the peer on leg B of its call; the `first` one lets the
    /// caller know that it is being worked on.
    pub(crate) fn dial(
        &mut self,
        now: Instant,
        attempt: &Attempt<'_, '_>,
        first: bool,
    ) -> Result<(), (RefusalReason, u16)> {
        let no_route = (RefusalReason::NoRoute, 503);
        let call = self.call(attempt.key).ok_or(no_route)?;
        let plan = Arc::clone(&call.plan);
        let egress = call.leg(Side::B);
        let (peer, flow) = (egress.peer, egress.flow);
        let client = call.bridge.as_ref().ok_or(no_route)?.client;
        let (Some(ours), Some(peer)) = (our_address(&plan, &flow), plan.peer(peer)) else {
            self.transactions.release_client(client);
            return Err(no_route);
        };
        let description = self.offer_of_caller(attempt.key, attempt.reply.request);
        let offer = match description.is_empty() {
            true => Ok(None),
            false => self
                .with_media(now, attempt.key, |media, around| {
                    media.offer(around, Side::A, &description)
                })
                .ok_or(no_route)
                .and_then(|offer| offer.map_err(|refusal| (refusal.reason, refusal.status)))
                .map(Some),
        };
        let body = offer.inspect_err(|_| self.transactions.release_client(client))?;
        if first {
            self.respond(now, &attempt.reply.of_leg(attempt.key, Side::A), 100);
        }
        self.send_invite(now, attempt, ours, peer, client, body.as_deref());
        self.ring_beside(now, attempt, peer, body.as_deref());
        self.watch_silence(now, attempt.key);
        Ok(())
    }

    pub(crate) fn send_invite(
        &mut self,
        now: Instant,
        attempt: &Attempt<'_, '_>,
        ours: std::net::SocketAddr,
        egress: &Peer,
        client: ringfence_dialog::ClientId,
        body: Option<&[u8]>,
    ) {
        let Some(call) = self.calls.get(attempt.key.slot as usize) else {
            return;
        };
        let forbidden = forbidden_of(call, Side::A);
        let from = attempt.reply.request.from().ok();
        let site = call.plan.site(call.route.site);
        let numbering = site.and_then(|site| site.policy.numbering);
        let ingress = call.peer(Side::A);
        let form = ingress.map_or_else(Default::default, |peer| peer.policy.numbers_in);
        let branch = self.transactions.branch(client);
        let hops = attempt
            .reply
            .request
            .max_forwards()
            .ok()
            .flatten()
            .unwrap_or(MAX_FORWARDS);
        let invite = Invite {
            peer: egress,
            target: call.route.target.as_deref(),
            ours,
            wording: Wording::new(egress, numbering, &call.route.called, &call.identity),
            display: from
                .as_ref()
                .and_then(|from| headers::display_of(from, &forbidden)),
            tag: call.leg(Side::B).local_tag,
            call_id: call.egress_call_id,
            branch,
            diversions: Diversions::read(attempt.reply.request, form, numbering),
            location: call
                .route
                .emergency
                .then(|| Location::read(attempt.reply.request, &forbidden)),
            numbering,
            max_forwards: hops.min(MAX_FORWARDS).saturating_sub(1),
            // An offer in a reliable response needs a caller who can answer it. Of several phones
            // that ring none need be sure that it was heard.
            reliable: call.fork.is_none() && (body.is_some() || call.provisionals.to_caller()),
            referred_by: None,
            signatures: site.map_or_else(Vec::new, |site| {
                let called = &call.route.called;
                identity_headers(site, egress, &call.identity, called, self.unix(now))
            }),
            body,
        };
        let pass = call
            .peer(Side::A)
            .map(|peer| peer.pass_headers.as_slice())
            .unwrap_or_default();
        let mut out = std::mem::take(&mut self.scratch);
        out.clear();
        invite.write(&mut out, attempt.reply.request, pass, &forbidden);
        let flow = call.leg(Side::B).flow;
        let bytes = Bytes::copy_from_slice(&out);
        self.scratch = out;
        self.send_invite_of(now, attempt.key, client, egress, flow, bytes);
    }

    /// Sends the INVITE of leg B, which was written for `flow`.
    pub(crate) fn send_invite_of(
        &mut self,
        now: Instant,
        key: CallKey,
        client: ringfence_dialog::ClientId,
        peer: &Peer,
        flow: ringfence_base::Flow,
        bytes: Bytes,
    ) {
        let Some(call) = self.call_mut(key) else {
            return;
        };
        call.sent_invite = Some(bytes.clone());
        let plan = Arc::clone(&call.plan);
        let carried = self.carry(now, &plan, peer, flow, bytes);
        self.trace(now, key, (Side::B, true), &carried.flow, &carried.bytes);
        let owner = key.owner(Side::B);
        self.send_carried(now, client, RequestKind::Invite, carried, owner);
    }

    /// Runs `work` on a call's media with all that it needs; `None` if the call is gone.
    pub(crate) fn with_media<T>(
        &mut self,
        now: Instant,
        key: CallKey,
        work: impl FnOnce(&mut Negotiation, &mut Surroundings<'_>) -> T,
    ) -> Option<T> {
        let call = self
            .calls
            .get_mut(key.slot as usize)
            .filter(|call| call.key == key)?;
        let plan = Arc::clone(&call.plan);
        let facts = |side: Side| {
            let leg = call.leg(side);
            let listener = plan.listener(leg.flow.listener)?;
            Some(SideFacts {
                peer: plan.peer(leg.peer)?,
                listener: leg.flow.listener,
                media_address: listener.media?,
                signalling_host: leg.flow.remote.ip(),
                secure_signalling: leg.flow.transport.is_secure(),
            })
        };
        let sides = [facts(Side::A)?, facts(Side::B)?];
        let mut around = Surroundings {
            now,
            owner: key.owner(Side::A),
            plane: &mut self.media,
            entropy: &mut *self.entropy,
            sides,
        };
        Some(work(&mut call.media, &mut around))
    }

    pub(crate) fn schedule(
        &mut self,
        now: Instant,
        after: Duration,
        key: CallKey,
        kind: AlarmKind,
    ) {
        if !after.is_zero() {
            self.alarms
                .schedule(now + after, crate::supervise::Alarm::Call(key, kind));
        }
    }
}

/// Addresses and names of one leg that must not be seen on the other.
pub(crate) fn forbidden_of(call: &Call, side: Side) -> Forbidden {
    let mut forbidden = Forbidden::default();
    let leg = call.leg(side);
    forbidden.address(leg.flow.remote.ip());
    if let Some(listener) = call.plan.listener(leg.flow.listener) {
        forbidden.listener(listener);
    }
    if let Some(dialog) = &leg.dialog {
        forbidden.text(dialog.call_id());
    }
    forbidden
}

/// What the INVITE must be before anything is looked up.
fn check_message(message: &Message<'_>, methods: Option<&Methods>) -> Result<(), Refused> {
    let refuse = |reason, status| {
        Err(Refused {
            reason,
            status,
            route: None,
            why: None,
            asks_pin: false,
        })
    };
    if message.max_forwards().is_ok_and(|hops| hops == Some(0)) {
        return refuse(RefusalReason::TooManyHops, 483);
    }
    if let Some(methods) = methods {
        if methods.unsupported(message).next().is_some() {
            return refuse(RefusalReason::Extension, 420);
        }
        if !methods.session_expires.is_zero() && session_timer::is_too_short(message) {
            return refuse(RefusalReason::Extension, 422);
        }
        let required = methods.reliable_provisional == ReliableProvisional::Required;
        if required && !takes(message, RELIABLE) {
            return refuse(RefusalReason::Extension, 421);
        }
    }
    if body::description(message).is_err() {
        return refuse(RefusalReason::Media, 415);
    }
    Ok(())
}

/// What a refusal says besides its status (RFC 3261 §8.2.2.3, §8.2.3).
pub(crate) fn explain(
    writer: &mut MessageWriter<'_>,
    message: &Message<'_>,
    status: u16,
    methods: Option<&Methods>,
) {
    match status {
        415 => {
            writer.header(HeaderName::Accept, "application/sdp");
            writer.header(HeaderName::AcceptEncoding, "identity");
        }
        420 => {
            for option in methods.into_iter().flat_map(|it| it.unsupported(message)) {
                writer.header(HeaderName::Unsupported, option);
            }
        }
        422 => {
            let least = session_timer::MIN_SE;
            writer.header_fmt(HeaderName::MinSe, format_args!("{least}"));
        }
        421 => {
            writer.header(HeaderName::Require, RELIABLE);
        }
        503 => {
            writer.header(HeaderName::RetryAfter, "10");
        }
        _ => {}
    }
}

/// A tag as a key.
pub(crate) fn tag_text(tag: &Tag) -> TagText {
    let mut text = TagText::default();
    for (to, from) in text.iter_mut().zip(tag.as_bytes()) {
        *to = *from;
    }
    text
}

//! What happens by the clock: ringing too long, silence, the longest call, a drain, OPTIONS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringfence_base::{ConnectionId, Instant};
use ringfence_dialog::{ClientId, Owner, RequestKind};
use ringfence_sip::write::MessageWriter;
use ringfence_sip::{HeaderName, Method};

use crate::call::{CallKey, Phase, Side};
use crate::call_id::CallId;
use crate::cdr::EndedBy;
use crate::core::Core;
use crate::events::SubscriptionKey;
use crate::health::{Evidence, Fault, HOLD};
use crate::outgoing::{MAX_FORWARDS, our_address};
use crate::plan::{Peer, PeerId};
use crate::registration::registers;

/// A timer of the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alarm {
    /// Of one call.
    Call(CallKey, AlarmKind),
    /// No phone answers any more of an INVITE that its call has left.
    Orphan {
        /// The INVITE.
        client: ClientId,
    },
    /// The drain has lasted long enough.
    DrainOver,
    /// Time to look what other workers have seen of our registrations.
    Glance,
    /// OPTIONS to a peer of the plan with this number.
    Options {
        /// The peer.
        peer: PeerId,
        /// Counts plans: timers of an old plan mean nothing.
        plan: u32,
    },
    /// The other side has taken too long for a request that was sent on.
    Relay {
        /// Its place.
        place: usize,
        /// What was sent.
        client: ClientId,
    },
    /// A registration is due.
    Registration {
        /// Its place.
        slot: u16,
        /// Counts its alarms: only the last one set means something.
        number: u32,
    },
    /// A subscription may have expired.
    Subscription {
        /// Which.
        key: SubscriptionKey,
        /// What it was set to: only the earliest one set means something.
        at: Instant,
    },
    /// A call has waited long enough for its caller's certificate.
    Verification,
}

/// A timer of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AlarmKind {
    /// Time to look after a caller who is asked.
    Asked,
    /// Longest call.
    Duration,
    /// No phone answers any more of an INVITE that was cancelled too late.
    Forks,
    /// A re-INVITE of a transfer is tried again.
    Join,
    /// Time to look who else sends sound to its ports.
    Media,
    /// The caller's PRACK has not come.
    Provisional,
    /// Longest ringing.
    Ring,
    /// The contacts of this round have rung for as long as they may before others do.
    Round(u8),
    /// A leg's session timer.
    Session(Side),
    /// Time to look whether anything is heard.
    Silence,
    /// Time to look what it costs.
    Spending,
    /// The INVITE has had no answer for as long as its peer may take.
    Unanswered(ClientId),
}

/// Owners above this are OPTIONS to peers, not legs of calls: no call has such a generation.
const OPTIONS_OWNER: u64 = u64::MAX - u16::MAX as u64;

/// The peer of an OPTIONS transaction.
pub(crate) fn options_peer(owner: Owner) -> Option<PeerId> {
    owner
        .0
        .checked_sub(OPTIONS_OWNER)
        .map(|peer| PeerId::new(peer as u16))
}

/// A session timer that is due while a caller is asked or waits for the callee is looked at again
/// after so long.
const SESSION_LATER: Duration = Duration::from_secs(2);
/// Q.850 cause of a call that gave way to one that matters more: preemption.
const PREEMPTION: u8 = 8;
/// Q.850 cause of a call that the edge ended on a timer: recovery on timer expiry.
const TIMER_EXPIRY: u8 = 102;

impl Core {
    pub(crate) fn on_alarm(&mut self, now: Instant, alarm: Alarm) {
        match alarm {
            Alarm::Call(key, kind) => {
                self.current = Some(key);
                self.on_call_alarm(now, key, kind);
            }
            Alarm::DrainOver => self.end_all(now),
            Alarm::Glance => self.glance_at_registrations(now),
            Alarm::Options { peer, plan } if plan == self.plan_number => {
                self.send_options(now, peer);
            }
            Alarm::Options { .. } => {}
            Alarm::Orphan { client } => {
                self.forget_orphan(client);
            }
            Alarm::Relay { place, client } => self.on_relay_silent(now, place, client),
            Alarm::Subscription { key, at } => self.on_subscription_alarm(now, key, at),
            Alarm::Verification => self.on_verification_alarm(now),
            Alarm::Registration { slot, number } => self.on_registration_alarm(now, slot, number),
        }
    }

    fn on_call_alarm(&mut self, now: Instant, key: CallKey, kind: AlarmKind) {
        let Some(call) = self.call(key) else { return };
        match (kind, call.phase) {
            // Q.850 cause 19: no answer from the user.
            (AlarmKind::Ring, Phase::Setup) => {
                self.cancel_setup(now, key, 480, EndedBy::Edge, Some(19));
            }
            (AlarmKind::Asked, Phase::Setup) => self.look_after_asked(now, key),
            (AlarmKind::Duration, Phase::Up) => {
                self.end_call(now, key, EndedBy::Edge, Some(TIMER_EXPIRY));
            }
            (AlarmKind::Round(round), Phase::Setup) => self.on_round_over(now, key, round),
            (AlarmKind::Provisional, Phase::Setup) => self.repeat_provisional(now, key),
            (AlarmKind::Join, Phase::Up) => self.show_again(now, key),
            (AlarmKind::Session(side), Phase::Up) => self.on_session_timer(now, key, side),
            // The caller's leg is up before the call is: it is refreshed once the call is.
            (AlarmKind::Session(_), Phase::Setup) if call.screening.is_some() => {
                self.schedule(now, SESSION_LATER, key, kind);
            }
            (AlarmKind::Media, Phase::Up) => self.look_at_media(now, key),
            (AlarmKind::Silence, Phase::Up) => self.look_for_silence(now, key),
            (AlarmKind::Spending, Phase::Up) => self.look_at_spending(now, key),
            (AlarmKind::Forks, Phase::Ending) => self.discard(key),
            (AlarmKind::Unanswered(client), Phase::Setup) => self.on_unanswered(now, key, client),
            _ => {}
        }
    }

    /// Ends a call in which nothing was heard from anybody for too long. A call on hold is meant
    /// to be silent.
    fn look_for_silence(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.call(key) else { return };
        let limit = call.plan.limits.silence_timeout;
        let heard = call
            .media
            .last_heard(&self.media)
            .or(call.facts.answered_at);
        let silent_for = heard.map_or(Duration::ZERO, |heard| now - heard);
        if !call.media.expects_media() {
            return self.schedule(now, limit, key, AlarmKind::Silence);
        }
        if silent_for >= limit {
            return self.end_call(now, key, EndedBy::Edge, Some(TIMER_EXPIRY));
        }
        self.schedule(now, limit - silent_for, key, AlarmKind::Silence);
    }

    pub(crate) fn drain(&mut self, now: Instant) {
        if !self.draining {
            self.draining = true;
            self.leave_registrations(now);
            self.alarms
                .schedule(now + self.plan.limits.drain_timeout, Alarm::DrainOver);
        }
    }

    fn end_all(&mut self, now: Instant) {
        let keys: Vec<CallKey> = self.calls.iter().map(|(_, call)| call.key).collect();
        for key in keys {
            self.current = Some(key);
            self.end_call(now, key, EndedBy::Edge, None);
        }
    }

    pub(crate) fn hang_up(&mut self, now: Instant, id: CallId) {
        if let Some(key) = self.key_of(id) {
            self.current = Some(key);
            self.end_call(now, key, EndedBy::Edge, None);
        }
    }

    /// An emergency call needs the channel of this one.
    pub(crate) fn make_way(&mut self, now: Instant, id: CallId) {
        let Some(key) = self.key_of(id) else { return };
        self.current = Some(key);
        if let Some(call) = self.call_mut(key) {
            let why = " (ended so that an emergency call gets through)";
            call.route.rule.push_str(why);
        }
        self.end_call(now, key, EndedBy::Edge, Some(PREEMPTION));
    }

    fn key_of(&self, id: CallId) -> Option<CallKey> {
        let mut calls = self.calls.iter();
        let found = calls.find(|(_, call)| call.id == id);
        found.map(|(_, call)| call.key)
    }

    /// A call outlives its connection (RFC 3261 §12 knows no connections): the leg asks for a new
    /// one when it has something to send.
    pub(crate) fn on_connection_closed(&mut self, now: Instant, connection: ConnectionId) {
        self.suspect_connection(now, connection);
        for (_, call) in self.calls.iter_mut() {
            for leg in &mut call.legs {
                if leg.flow.connection == Some(connection) {
                    leg.flow.connection = None;
                    // An accepted connection comes from a port that nobody listens on.
                    if let Some(peer) = call.plan.peer(leg.peer) {
                        leg.flow.remote = home(peer, leg.flow.remote);
                    }
                }
            }
        }
    }

    /// Sets the timers of OPTIONS towards peers, spread so that they do not go out together. One
    /// worker does it for all. A peer of several at its site has one in any case: quarantined, it
    /// is asked whether it works again.
    pub(crate) fn schedule_options(&mut self, now: Instant) {
        self.plan_number = self.plan_number.wrapping_add(1);
        for (index, peer) in self.plan.peers.iter().enumerate() {
            let asked = !peer.options_interval.is_zero() || self.plan.has_mate(peer);
            if asked && self.watches(peer) {
                let spread = Duration::from_millis(50 * (index as u64 % 200));
                let alarm = Alarm::Options {
                    peer: PeerId::new(index as u16),
                    plan: self.plan_number,
                };
                self.alarms.schedule(now + spread, alarm);
            }
        }
    }

    /// Whether this worker is the one that sends OPTIONS to `peer`: the one that keeps the peer's
    /// registration, since the answers say whether that is still there.
    fn watches(&self, peer: &Peer) -> bool {
        match registers(peer) {
            Some(_) => self.registrations.is_ours(&peer.key),
            None => self.worker.raw() == 0,
        }
    }

    fn send_options(&mut self, now: Instant, id: PeerId) {
        if self.draining {
            // An edge that is to be idle soon begins nothing new.
            return;
        }
        let plan = Arc::clone(&self.plan);
        let Some(peer) = plan.peer(id) else { return };
        let again = Alarm::Options {
            peer: id,
            plan: self.plan_number,
        };
        let probes_only = peer.options_interval.is_zero();
        let interval = if probes_only {
            HOLD
        } else {
            peer.options_interval
        };
        self.alarms.schedule(now + interval, again);
        if probes_only && peer.usage.standing.quarantine().is_none() {
            return;
        }
        let is_live = |address: &&SocketAddr| !peer.usage.standing.is_dead(**address, now);
        let live = peer.addresses.iter().find(is_live);
        let Some(&remote) = live.or(peer.addresses.first()) else {
            return;
        };
        let flow = peer.flow_to(remote);
        let Some(ours) = our_address(&plan, &flow) else {
            return;
        };
        let Ok(client) = self.transactions.reserve_client() else {
            return;
        };
        let ours = crate::outgoing::OurName::new(peer, ours);
        let branch = self.transactions.branch(client);
        let tag = self.cookies.new_tag(&mut *self.entropy);
        let call_id = self.cookies.new_call_id(&mut *self.entropy);
        let port = peer.port.map(|port| format!(":{port}")).unwrap_or_default();
        let uri = match peer.transport {
            ringfence_base::Transport::Udp => format!("sip:{}{port}", peer.host),
            transport => format!("sip:{}{port};transport={transport}", peer.host),
        };
        let mut out = Vec::with_capacity(512);
        let mut writer = MessageWriter::request(&mut out, Method::Options, &uri);
        writer.via(flow.transport, ours, branch, true);
        writer.header_fmt(HeaderName::MaxForwards, format_args!("{MAX_FORWARDS}"));
        writer.header_fmt(HeaderName::From, format_args!("<sip:{ours}>;tag={tag}"));
        writer.header_fmt(HeaderName::To, format_args!("<{uri}>"));
        writer.header(HeaderName::CallId, call_id);
        writer.header(HeaderName::CSeq, "1 OPTIONS");
        writer.header(
            HeaderName::Contact,
            crate::outgoing::contact(ours, flow.transport),
        );
        writer.header(HeaderName::Accept, "application/sdp");
        writer.finish();
        let owner = Owner(OPTIONS_OWNER + u64::from(id.raw()));
        self.options_sent.push((client, now));
        let bytes = Bytes::from(out);
        self.transactions
            .send_request(now, client, RequestKind::NonInvite, flow, bytes, owner);
    }

    /// Any final answer proves that somebody is there; only some prove that it takes calls.
    pub(crate) fn on_options_answer(
        &mut self,
        now: Instant,
        id: PeerId,
        client: ClientId,
        status: u16,
    ) {
        let sent = self
            .options_sent
            .iter()
            .position(|(known, _)| *known == client);
        let Some(sent) = sent.filter(|_| status >= 200) else {
            return;
        };
        let (_, sent) = self.options_sent.swap_remove(sent);
        let at = self.unix(now);
        let plan = Arc::clone(&self.plan);
        let Some(peer) = plan.peer(id) else { return };
        let was_away = peer.usage.health().options_missed > 0;
        peer.usage.note_options(at, now - sent);
        match peer.failover.is_fault(status) {
            true => self.note_line_fault(now, peer, Fault::Status(status)),
            false => self.note_line_proof(now, peer, Evidence::Options),
        }
        if was_away {
            self.suspect_registration(now, peer);
        }
    }

    pub(crate) fn on_options_missed(&mut self, now: Instant, id: PeerId, client: ClientId) {
        self.options_sent.retain(|(known, _)| *known != client);
        let plan = Arc::clone(&self.plan);
        let Some(peer) = plan.peer(id) else { return };
        // Some carriers never answer OPTIONS: then silence says nothing.
        let answers = peer.usage.health().options_answered.is_some();
        peer.usage.note_options_missed();
        if answers {
            self.note_line_fault(now, peer, Fault::Options);
        }
    }
}

/// Where `peer` is reached when a connection of it from `remote` is gone: its address at the same
/// host, else its first one.
fn home(peer: &Peer, remote: SocketAddr) -> SocketAddr {
    let host = remote.ip().to_canonical();
    let same_host = |address: &&SocketAddr| address.ip().to_canonical() == host;
    let mut addresses = peer.addresses.iter();
    let found = addresses.find(same_host).or(peer.addresses.first());
    found.copied().unwrap_or(remote)
}

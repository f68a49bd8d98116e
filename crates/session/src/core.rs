//! The core: one worker's B2BUA.
//!
//! The verbs are those of every machine here. After [`Core::handle_input`] and
//! [`Core::handle_timeout`], call [`Core::poll_transmit`] and [`Core::poll_event`] until they are
//! empty; then sleep until [`Core::poll_timeout`] or the next input.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ringfence_base::time::WallAnchor;
use ringfence_base::{
    BoundedQueue, BoxedSlab, ConnectionId, Entropy, Flow, HashKey, Instant, KeyedMap, TimerQueue,
    UnixTime, WorkerIndex,
};
use ringfence_dialog::{ClientId, Cookies, Limits, TimerTable, Transactions, Transmit};
use ringfence_media::Plane;
use ringfence_sip::Message;
use ringfence_sip::digest::{NonceCounts, NonceMint};
use slab::Slab;

use crate::access::AccessTable;
use crate::call::{Call, CallKey, GENERATION_MAX, Side};
use crate::call_id::CallId;
use crate::counters::Counters;
use crate::event::Event;
use crate::events::Subscriptions;
use crate::plan::Plan;
use crate::refusal::RefusalReason;
use crate::registrar::group::Digests;
use crate::registrar::{FlowUsers, NONCE_LIFETIME, NONCES_KEPT};
use crate::registration::Registrations;
use crate::relay::Relay;
use crate::sighting::Sightings;
use crate::supervise::Alarm;
use crate::trace::{TraceEntry, TraceRing};
use crate::verification::Verifications;

/// The text of a tag of ours, as a key.
pub(crate) type TagText = [u8; 24];

/// What a core is told once.
#[derive(Clone, Copy, Debug)]
pub struct CoreConfig {
    /// Which worker this is.
    pub worker: WorkerIndex,
    /// How many workers the process has.
    pub workers: u8,
    /// The secret that all workers of the process share; fresh at each start.
    pub secret: [u8; 16],
    /// Ties `now` to the wall clock.
    pub anchor: WallAnchor,
    /// SIP timers.
    pub timers: TimerTable,
}

/// Something from outside.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A message that belongs to this worker.
    Message {
        /// Where it came from.
        flow: Flow,
        /// The message.
        message: &'a Message<'a>,
        /// Verified names of the client certificate, if the flow is TLS and there is one.
        tls_names: &'a [String],
    },
    /// Bytes of which nothing could be made. Counted, never answered.
    Unparseable {
        /// Where they came from.
        flow: Flow,
    },
    /// A stream to this place could not be opened, or broke with messages unsent.
    TransportFailed {
        /// The place.
        flow: Flow,
    },
    /// A stream connection is gone.
    ConnectionClosed {
        /// Which.
        connection: ConnectionId,
    },
    /// A new plan, already validated. Calls in progress keep going.
    Plan(&'a Arc<Plan>),
    /// The wall clock stepped.
    Anchor(WallAnchor),
    /// What came of a fetch that [`Core::poll_fetch`] asked for.
    Certificate {
        /// The address, as it was asked for.
        url: &'a str,
        /// What was there; `None` if nothing.
        bytes: Option<&'a [u8]>,
        /// For how long it holds, by its server's word.
        holds: Duration,
    },
    /// Take no new calls but emergency calls; end what is left after the plan's drain timeout.
    Drain,
    /// End one call.
    HangUp(CallId),
    /// End one call because an emergency call needs its channel.
    MakeWay(CallId),
}

/// One worker's B2BUA.
pub struct Core {
    pub(crate) worker: WorkerIndex,
    pub(crate) plan: Arc<Plan>,
    pub(crate) access: AccessTable,
    pub(crate) anchor: WallAnchor,
    pub(crate) cookies: Cookies,
    pub(crate) entropy: Box<dyn Entropy + Send>,
    pub(crate) transactions: Transactions,
    pub(crate) timers: TimerTable,
    pub(crate) media: Plane,
    pub(crate) calls: BoxedSlab<Call>,
    pub(crate) by_tag: KeyedMap<TagText, (CallKey, Side)>,
    pub(crate) alarms: TimerQueue<Alarm>,
    pub(crate) events: BoundedQueue<Event>,
    /// Stateless answers.
    pub(crate) answers: VecDeque<Transmit>,
    pub(crate) traces: TraceRing,
    /// Requests outside of calls that wait for the other side's answer.
    pub(crate) relays: Slab<Relay>,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) counters: Counters,
    pub(crate) draining: bool,
    /// The call that is being worked on, for whoever must clean up after a panic.
    pub(crate) current: Option<CallKey>,
    pub(crate) scratch: Vec<u8>,
    fault: Option<fn(&Message<'_>) -> bool>,
    pub(crate) hash: HashKey,
    /// The users that registered over a connection, until it closes.
    pub(crate) phone_flows: KeyedMap<ConnectionId, FlowUsers>,
    /// The nonces that phones are asked with.
    pub(crate) nonces: NonceMint,
    /// How often phones used them.
    pub(crate) nonce_counts: NonceCounts,
    /// What a name that is no phone user is checked by.
    pub(crate) nobody: Digests,
    /// Counts plans.
    pub(crate) plan_number: u32,
    /// OPTIONS on their way.
    pub(crate) options_sent: Vec<(ClientId, Instant)>,
    /// Branches that their calls have left. No more than the client transactions.
    pub(crate) orphans: BTreeSet<ClientId>,
    /// Addresses that took no TCP, and until when they are not asked again.
    pub(crate) without_tcp: BTreeMap<(u8, SocketAddr), Instant>,
    pub(crate) registrations: Registrations,
    /// What detection is told, once somebody watches.
    pub(crate) sightings: Option<Box<Sightings>>,
    /// Callers that are being verified.
    pub(crate) verifications: Verifications,
    /// The time of what is being handled.
    pub(crate) now: Instant,
    generation: u32,
    calls_counted: u32,
}

/// Events that wait for the edge. It takes them after each batch, so a full queue means that it
/// stands still.
const EVENTS_MAX: usize = 65_536;

impl Core {
    /// A core without calls. Give it media ports through [`Core::media_mut`].
    pub fn new(config: CoreConfig, plan: Arc<Plan>, mut entropy: Box<dyn Entropy + Send>) -> Core {
        let hash = HashKey::generate(&mut entropy);
        let cookies = Cookies::new(config.secret, config.worker);
        let nobody = Digests::of_nobody(&mut entropy);
        let mut core = Core {
            worker: config.worker,
            access: AccessTable::new(&plan, hash),
            anchor: config.anchor,
            cookies,
            transactions: Transactions::new(
                config.timers,
                cookies,
                &mut entropy,
                Limits::default(),
            ),
            timers: config.timers,
            media: Plane::new(&mut entropy),
            entropy,
            calls: BoxedSlab::new(),
            by_tag: hash.map(),
            alarms: TimerQueue::default(),
            events: BoundedQueue::new(EVENTS_MAX),
            answers: VecDeque::new(),
            traces: TraceRing::new(plan.limits.trace_bytes),
            counters: Counters::default(),
            relays: Slab::new(),
            subscriptions: Subscriptions::new(hash),
            draining: false,
            current: None,
            scratch: Vec::with_capacity(4096),
            fault: None,
            hash,
            phone_flows: hash.map(),
            nonces: NonceMint::new(config.secret, config.worker, NONCE_LIFETIME),
            nonce_counts: NonceCounts::new(hash, NONCES_KEPT),
            nobody,
            plan_number: 0,
            options_sent: Vec::new(),
            orphans: BTreeSet::new(),
            without_tcp: BTreeMap::new(),
            registrations: Registrations::new(config.worker, config.workers),
            sightings: None,
            verifications: Verifications::default(),
            now: config.anchor.instant,
            generation: 0,
            calls_counted: 0,
            plan,
        };
        core.schedule_options(config.anchor.instant);
        core.adopt_registrations(config.anchor.instant);
        core
    }

    /// Handles one input.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        self.now = now;
        self.guarded(now, |core| match input {
            Input::Message {
                flow,
                message,
                tls_names,
            } => {
                core.on_message(now, flow, message, tls_names);
            }
            Input::Unparseable { flow } => {
                core.see_unparseable(now, &flow);
                core.refuse(flow, RefusalReason::Unparseable);
            }
            Input::TransportFailed { flow } => core.transactions.transport_failed(now, &flow),
            Input::ConnectionClosed { connection } => {
                core.on_connection_closed(now, connection);
                core.on_phone_flow_closed(connection);
            }
            Input::Plan(plan) => {
                core.unpark_all(now);
                core.adopt(now, plan);
            }
            Input::Anchor(anchor) => core.anchor = anchor,
            Input::Certificate { url, bytes, holds } => core.on_certificate(now, url, bytes, holds),
            Input::Drain => core.drain(now),
            Input::HangUp(id) => core.hang_up(now, id),
            Input::MakeWay(id) => core.make_way(now, id),
        });
        self.settle(now);
    }

    /// Runs the timers that are due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.transactions.handle_timeout(now);
        while let Some(alarm) = self.alarms.pop_due(now) {
            self.guarded(now, |core| core.on_alarm(now, alarm));
        }
        if self.media.has_told() {
            self.guarded(now, |core| core.carry_tones(now));
        }
        self.settle(now);
    }

    /// When [`Core::handle_timeout`] is due. Ask again after each input, each timeout and each
    /// media packet.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let told = self.media.has_told().then_some(Instant::ZERO);
        [
            told,
            self.transactions.poll_timeout(),
            self.alarms.next_at(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The next message to send. Poll until `None` after each input and each timeout.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.answers
            .pop_front()
            .or_else(|| self.transactions.poll_transmit())
    }

    /// The next event. Poll until `None` after each input and each timeout.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// The media plane: the edge adds ports at the start and hands packets in.
    pub fn media_mut(&mut self) -> &mut Plane {
        &mut self.media
    }

    /// The media plane, to read.
    pub fn media(&self) -> &Plane {
        &self.media
    }

    /// The plan in use.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The transaction layer, to read its counters.
    pub fn transactions(&self) -> &Transactions {
        &self.transactions
    }

    /// The ladder of a call of this worker: what of it is still in the ring.
    pub fn ladder(&self, id: CallId) -> Vec<TraceEntry> {
        self.traces.entries(id)
    }

    /// Whether no call is up or being ended, and no request of ours waits for its answer.
    pub fn is_idle(&self) -> bool {
        let parked = !self.verifications.is_idle();
        self.calls.is_empty() && !parked && self.transactions.clients_pending() == 0
    }

    /// Panics inside the call that a message belongs to when `when` says so: how tests prove that
    /// a panic ends one call only.
    pub fn danger_panic_when(&mut self, when: fn(&Message<'_>) -> bool) {
        self.fault = Some(when);
    }

    /// A call's machine is about to work on `message`.
    pub(crate) fn enter(&mut self, key: CallKey, message: &Message<'_>) {
        self.current = Some(key);
        if self.fault.is_some_and(|when| when(message)) {
            panic!("a fault that a test asked for");
        }
    }

    pub(crate) fn unix(&self, now: Instant) -> UnixTime {
        self.anchor.unix_time(now)
    }

    pub(crate) fn emit(&mut self, event: Event) {
        if self.events.push(event).is_err() {
            self.counters.events_lost += 1;
        }
    }

    pub(crate) fn refuse(&mut self, flow: Flow, reason: RefusalReason) {
        self.counters.count_refusal(reason);
        self.emit(Event::Refused { flow, reason });
    }

    pub(crate) fn call(&self, key: CallKey) -> Option<&Call> {
        self.calls
            .get(key.slot as usize)
            .filter(|call| call.key == key)
    }

    pub(crate) fn call_mut(&mut self, key: CallKey) -> Option<&mut Call> {
        self.calls
            .get_mut(key.slot as usize)
            .filter(|call| call.key == key)
    }

    /// A key for the next call, and its id.
    pub(crate) fn next_call(&mut self, now: Instant) -> (CallKey, CallId) {
        self.calls_counted = self.calls_counted.wrapping_add(1);
        let id = CallId::new(self.unix(now), self.worker, self.calls_counted);
        (self.next_key(), id)
    }

    /// A key for the next call.
    pub(crate) fn next_key(&mut self) -> CallKey {
        self.generation = if self.generation >= GENERATION_MAX {
            0
        } else {
            self.generation + 1
        };
        CallKey {
            slot: self.calls.vacant_key() as u32,
            generation: self.generation,
        }
    }

    fn adopt(&mut self, now: Instant, plan: &Arc<Plan>) {
        // Calls in progress keep the plan they began under.
        self.plan = Arc::clone(plan);
        self.access = AccessTable::new(plan, self.hash);
        self.adopt_trust();
        self.schedule_options(now);
        self.adopt_registrations(now);
    }

    /// What the transaction layer has to tell, until there is nothing left.
    fn settle(&mut self, now: Instant) {
        while let Some(event) = self.transactions.poll_event() {
            self.guarded(now, |core| core.on_transaction_event(now, event));
        }
    }

    /// Runs `work` on one call.
    pub(crate) fn guard_call(&mut self, now: Instant, key: CallKey, work: impl FnOnce(&mut Core)) {
        self.guarded(now, |core| {
            core.current = Some(key);
            work(core);
        });
        self.settle(now);
    }

    /// Runs `work`; a panic in it ends the call that it was about, and nothing else.
    fn guarded(&mut self, now: Instant, work: impl FnOnce(&mut Core)) {
        self.current = None;
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(self)));
        if outcome.is_err() {
            self.counters.calls_panicked += 1;
            if let Some(key) = self.current.take() {
                self.bury(now, key);
            }
        }
    }
}

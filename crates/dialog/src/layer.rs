//! The transaction layer: tables of the four machines, their timers, and the queues in which
//! messages and events wait for the caller (RFC 3261 §17).

use std::collections::BTreeMap;

use ringfence_base::{BoundedQueue, Entropy, Flow, HashKey, Instant, KeyedMap};
use ringfence_sip::{HeaderError, Index, Message, StartLine};

use crate::client_side::Client;
use crate::cookie::{Cookies, MAX_SLOTS};
use crate::effects::Transmit;
use crate::fallback::Fallback;
use crate::ids::{ClientId, Owner, ServerId};
use crate::lanes::TimerLanes;
use crate::server_key::ServerKey;
use crate::server_side::Server;
use crate::slots::Slots;
use crate::timer::TimerTable;

/// All transactions of one worker.
///
/// The caller (the transaction user and the event loop around it) does this:
/// * each received message: [`handle_input`](Transactions::handle_input), and act on what it
///   returned;
/// * then, and after every other call that takes `now`: drain
///   [`poll_transmit`](Transactions::poll_transmit) and [`poll_event`](Transactions::poll_event),
///   and ask [`poll_timeout`](Transactions::poll_timeout) when to call
///   [`handle_timeout`](Transactions::handle_timeout).
///
/// Neither queue grows without bound if the caller forgets; what does not fit is counted.
pub struct Transactions {
    pub(crate) cookies: Cookies,
    pub(crate) hash: HashKey,
    pub(crate) clients: Slots<Client>,
    /// Requests that are out without a final response.
    pub(crate) clients_pending: usize,
    /// What large requests become if TCP fails; no more than there are clients.
    pub(crate) fallbacks: BTreeMap<ClientId, Fallback>,
    pub(crate) servers: Slots<Server>,
    pub(crate) servers_by_key: KeyedMap<ServerKey, u32>,
    pub(crate) timers: TimerLanes,
    pub(crate) timers_max: usize,
    pub(crate) transmits: BoundedQueue<Transmit>,
    pub(crate) events: BoundedQueue<Event>,
    pub(crate) counters: Counters,
    pub(crate) index: Index,
    /// Numbers the branches of ACKs for 2xx.
    pub(crate) next_ack: u64,
}

/// How much the layer may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client transactions, also those that only linger. At most 2^24.
    pub clients: usize,
    /// Server transactions, also those that only linger. At most 2^24.
    pub servers: usize,
}

impl Default for Limits {
    /// 262,144 of each: about 4,000 calls/s, each with two of either kind for 32 s.
    fn default() -> Limits {
        Limits {
            clients: 1 << 18,
            servers: 1 << 18,
        }
    }
}

/// What a received message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matched {
    /// A new request. The user owes it exactly one final response by
    /// [`respond`](Transactions::respond): a non-INVITE within 64·T1, an INVITE whenever it is
    /// decided (`100 Trying` at once is the user's to send as well).
    NewRequest(ServerId),
    /// A request that came again, or an ACK that nobody waits for. Done with: the last response
    /// was repeated where there was one.
    Retransmission,
    /// The ACK for a failure that the user sent. Done with.
    AckNon2xx,
    /// An ACK for a 2xx, or one that belongs to nothing. The user finds the dialog, checks that
    /// it is real, and calls [`acknowledged`](Transactions::acknowledged) for its INVITE.
    Ack2xx,
    /// A CANCEL. The user answers `cancel` with 200, or with 481 if `invite` is none; and the
    /// INVITE with 487 unless [`is_answered`](Transactions::is_answered) (RFC 3261 §9.2).
    Cancel {
        /// The CANCEL's own transaction.
        cancel: ServerId,
        /// The INVITE that it wants cancelled.
        invite: Option<(ServerId, Owner)>,
    },
    /// A response for the user: any provisional one, or the first final one. To a failure the ACK
    /// was sent; to a 2xx for an INVITE the user owes
    /// [`send_ack_2xx`](Transactions::send_ack_2xx).
    Response {
        /// Our request.
        client: ClientId,
        /// Its owner.
        owner: Owner,
    },
    /// A response that came again (the ACK was repeated), or one for our CANCEL. Done with.
    ResponseRetransmission,
    /// A further callee's 2xx to an INVITE that already has its final response. Given once for
    /// each To tag: the user sends it an ACK by [`send_ack_2xx`](Transactions::send_ack_2xx) and
    /// then a BYE (RFC 3261 §13.2.2.4).
    AnotherFork2xx {
        /// Our request.
        client: ClientId,
        /// Its owner.
        owner: Owner,
    },
    /// A response to nothing that we have: dropped and counted.
    StrayResponse,
    /// A request that got no transaction; nothing is kept about it.
    Refused(Refusal),
}

/// Why a request got no transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// As many transactions as [`Limits`] allow. The user may answer 503 without state.
    #[error("the transaction table is full")]
    TableFull,
    /// It lacks what a transaction is known by. The user may answer 400 without state.
    #[error("the request names no transaction")]
    Malformed(#[source] HeaderError),
}

/// No transaction to be had: as many as [`Limits`] allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the transaction table is full")]
pub struct TableFull;

/// What happened without a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// No ACK came for a 2xx within 64·T1. The user ends the dialog with a BYE (RFC 3261
    /// §13.3.1.4). The transaction is gone.
    AckTimeout {
        /// The INVITE.
        server: ServerId,
        /// Its owner.
        owner: Owner,
    },
    /// No final response came in time: as if it were 408. The transaction is gone.
    ClientTimeout {
        /// Our request.
        client: ClientId,
        /// Its owner.
        owner: Owner,
    },
    /// A large request got no answer over TCP, and was sent over UDP (RFC 3261 §18.1.1). The
    /// transaction goes on.
    FellBack {
        /// Our request.
        client: ClientId,
        /// Its owner.
        owner: Owner,
        /// Where it went in vain.
        from: Flow,
    },
    /// The request's transport failed before any response: as if it were 503 (RFC 3261
    /// §8.1.3.1). The transaction is gone.
    TransportFailed {
        /// Our request.
        client: ClientId,
        /// Its owner.
        owner: Owner,
    },
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests of ours that no final response came for.
    pub client_timeouts: u64,
    /// Events that found no room in their queue.
    pub events_refused: u64,
    /// Large requests that TCP did not take and UDP was tried for.
    pub fallbacks: u64,
    /// Callees' 2xx beyond the number that one INVITE may have.
    pub forks_refused: u64,
    /// Requests received again.
    pub request_retransmissions: u64,
    /// Requests, received or to be sent, that found the tables full.
    pub requests_refused: u64,
    /// Responses received again.
    pub response_retransmissions: u64,
    /// Responses of the user that the state or RFC 4320 forbade, and so were not sent.
    pub responses_refused: u64,
    /// Responses without a branch that we made.
    pub responses_forged: u64,
    /// Responses with a branch of ours whose transaction is over.
    pub responses_stray: u64,
    /// Messages that found no room in their queue.
    pub transmits_refused: u64,
    /// Failures that no ACK came for.
    pub unacknowledged_failures: u64,
    /// 2xx that no ACK came for.
    pub unacknowledged_successes: u64,
    /// Non-INVITE requests that the user left without an answer.
    pub unanswered_requests: u64,
}

impl Transactions {
    /// An empty layer. `entropy` keys the table of server transactions.
    pub fn new(
        timers: TimerTable,
        cookies: Cookies,
        entropy: &mut dyn Entropy,
        limits: Limits,
    ) -> Transactions {
        let hash = HashKey::generate(entropy);
        let clients = limits.clients.min(MAX_SLOTS as usize);
        let servers = limits.servers.min(MAX_SLOTS as usize);
        Transactions {
            cookies,
            hash,
            clients: Slots::new(clients),
            clients_pending: 0,
            fallbacks: BTreeMap::new(),
            servers: Slots::new(servers),
            servers_by_key: hash.map(),
            timers: TimerLanes::new(timers),
            timers_max: (clients + servers).saturating_mul(MAX_TIMERS_PER_TRANSACTION),
            transmits: BoundedQueue::new(MAX_TRANSMITS),
            events: BoundedQueue::new(MAX_EVENTS),
            counters: Counters::default(),
            index: Index::default(),
            next_ack: 0,
        }
    }

    /// Takes a received message and says what it is. Responses must be those of this worker (see
    /// [`Cookies::worker_of_branch`]).
    pub fn handle_input(&mut self, now: Instant, flow: &Flow, message: &Message<'_>) -> Matched {
        match message.start() {
            StartLine::Request { method, .. } => self.handle_request(now, flow, message, method),
            StartLine::Response { code, .. } => self.handle_response(now, message, code),
        }
    }

    /// Runs the timers that are due. One call runs at most a few thousand and fills neither queue
    /// to its end; then [`poll_timeout`](Transactions::poll_timeout) is still due, and the caller
    /// drains the queues and calls again.
    pub fn handle_timeout(&mut self, now: Instant) {
        for _ in 0..MAX_TIMERS_PER_CALL {
            if self.transmits.len() >= MAX_TRANSMITS / 2 || self.events.len() >= MAX_EVENTS / 2 {
                return;
            }
            let Some(expired) = self.timers.pop_due(now) else {
                return;
            };
            if expired.timer.is_client() {
                self.client_timer(now, expired);
            } else {
                self.server_timer(now, expired);
            }
        }
    }

    /// When to call [`handle_timeout`](Transactions::handle_timeout). Ask again after every call
    /// that takes `now`.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next_at()
    }

    /// The next message to send. Poll until none is left after every call that takes `now`.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop()
    }

    /// The next event. Poll until none is left after [`handle_timeout`](Self::handle_timeout) and
    /// [`transport_failed`](Self::transport_failed).
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// The cookies that the layer makes its branches with.
    pub const fn cookies(&self) -> &Cookies {
        &self.cookies
    }

    /// Counts since the start.
    pub fn counters(&self) -> Counters {
        Counters {
            events_refused: self.events.refused(),
            transmits_refused: self.transmits.refused(),
            ..self.counters
        }
    }

    /// Client transactions, also those that only linger.
    pub fn client_count(&self) -> usize {
        self.clients.len()
    }

    /// Requests of ours that are out and have no final response: a drain waits for these.
    pub const fn clients_pending(&self) -> usize {
        self.clients_pending
    }

    /// Server transactions, also those that only linger.
    pub fn server_count(&self) -> usize {
        self.servers.len()
    }

    /// Whether the timer store has room for another transaction's timers.
    pub(crate) fn has_timer_room(&self) -> bool {
        self.timers.len() + MAX_TIMERS_PER_TRANSACTION <= self.timers_max
    }

    /// Queues an event. Timers stop early rather than overrun the queue; a mass failure of
    /// transports stops at its end.
    pub(crate) fn emit(&mut self, event: Event) {
        let _ = self.events.push(event);
    }
}

/// Timers that one transaction can have waiting, those that no longer mean anything included.
const MAX_TIMERS_PER_TRANSACTION: usize = 4;

/// Messages that may wait for the caller.
const MAX_TRANSMITS: usize = 1 << 15;

/// Events that may wait for the caller.
pub(crate) const MAX_EVENTS: usize = 1 << 13;

/// Timers that run in one call.
const MAX_TIMERS_PER_CALL: usize = 1 << 12;

#[cfg(test)]
mod lossy;
#[cfg(test)]
mod random;
#[cfg(test)]
mod tests;

//! What a worker's core counts. Plain numbers: the edge publishes them.

use crate::refusal::RefusalReason;

/// Counters since the start of the process.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Requests received, by class of method, from anybody.
    pub requests: u64,
    /// Responses received.
    pub responses: u64,
    /// Calls tried (initial INVITEs from peers).
    pub calls_tried: u64,
    /// Times that a call went on to another peer or address.
    pub calls_failed_over: u64,
    /// Calls that went on in plain RTP after their peer had refused SRTP.
    pub calls_srtp_refused: u64,
    /// Requests too large for a datagram that were sent over TCP.
    pub large_requests: u64,
    /// Those of them that went over UDP after all, since TCP took them not.
    pub large_requests_over_udp: u64,
    /// Calls answered.
    pub calls_answered: u64,
    /// Answered calls that ended with BYE from a peer.
    pub calls_ended_normally: u64,
    /// Calls that the edge ended: silence, longest duration, a drain, an operator.
    pub calls_ended_by_edge: u64,
    /// Calls whose machine panicked.
    pub calls_panicked: u64,
    /// Calls up now.
    pub calls_active: u64,
    /// Subscriptions of phones now.
    pub subscriptions_active: u64,
    /// NOTIFYs that were sent to phones.
    pub notifies_relayed: u64,
    /// REGISTERs of phones that were accepted.
    pub registrations: u64,
    /// Challenges of peers (401, 407) that were answered with credentials.
    pub challenges_answered: u64,
    /// Challenges that could not be, or whose answer was refused.
    pub challenges_unanswered: u64,
    /// Calls that would have been stopped for their money, had it been enforced.
    pub spending_observed: u64,
    /// Stopped calls whose caller was asked for the PIN by voice.
    pub pins_asked: u64,
    /// Those that were put through.
    pub pins_right: u64,
    /// Calls of carriers whose caller was verified.
    pub callers_verified: u64,
    /// Those whose caller's identity did not hold.
    pub callers_not_verified: u64,
    /// Those of whose caller nothing is known, though it was asked.
    pub callers_unknown: u64,
    /// Calls in progress that the money fuse ended.
    pub spending_cut: u64,
    /// Events that found the event queue full.
    pub events_lost: u64,
    /// Refusals by reason, in the order of [`RefusalReason::ALL`].
    pub refused: [u64; RefusalReason::ALL.len()],
}

impl Counters {
    /// Counts one refusal.
    pub fn count_refusal(&mut self, reason: RefusalReason) {
        self.refused[reason as usize] += 1;
    }
}

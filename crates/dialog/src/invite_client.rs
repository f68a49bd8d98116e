//! The INVITE client transaction (RFC 3261 §17.1.1) with the Accepted state of RFC 6026 §7.2 and
//! the deferred CANCEL of RFC 3261 §9.1.
//!
//! Left out: building the ACK and the CANCEL (`derived`), and the CANCEL's own transaction, which
//! the layer runs.

use bytes::Bytes;
use ringfence_base::Flow;

use crate::effects::Effects;
use crate::fallback::Fallback;
use crate::ids::ClientId;
use crate::timer::{Interval, Timer};

/// The machine. Once terminated it is dropped.
pub(crate) struct InviteClient {
    /// Where the INVITE went; in Accepted, where the ACK went.
    flow: Flow,
    state: State,
    /// Reason of its CANCEL, if the user gave one.
    cancel_reason: Option<Box<str>>,
}

enum State {
    Calling {
        invite: Bytes,
        cancel: Cancel,
        retransmissions: u8,
    },
    Proceeding {
        invite: Bytes,
        cancel: Cancel,
    },
    /// `ack` is none only if the transaction user's INVITE could not be read back.
    Completed {
        ack: Option<Bytes>,
    },
    Accepted {
        first: Answer,
        others: Vec<Fork>,
    },
    Terminated,
}

/// How far the user's wish to cancel has come.
#[derive(Clone, Copy)]
enum Cancel {
    Unwanted,
    /// Waits for a provisional response.
    Wanted,
    /// Sent; none if its transaction could not be made. Timer [`Timer::Cancelled`] runs.
    Sent(Option<ClientId>),
}

/// The 2xx of one callee, by the keyed hash of its To tag, and the user's ACK once it is known.
struct Answer {
    to_tag: u64,
    ack: Option<Bytes>,
}

/// The 2xx of another callee behind a forking proxy.
struct Fork {
    to_tag: u64,
    ack: Option<(Flow, Bytes)>,
}

/// A response, as far as this machine is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InviteResponse {
    /// 1xx.
    Provisional,
    /// 2xx, with the keyed hash of its To tag.
    Success { to_tag: u64 },
    /// 300 to 699.
    Failure,
}

/// What the layer does with a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientStep {
    /// Drops it: a retransmission, answered with the ACK if there is one.
    Absorb,
    /// Passes it to the user.
    Deliver,
    /// Passes it to the user as another callee's 2xx.
    DeliverFork,
    /// Drops and counts it: more callees answered than anybody should have.
    TooManyForks,
}

/// What the layer tells the user after a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientTimer {
    /// Nothing.
    Silent,
    /// No final response came.
    TimedOut,
}

impl InviteClient {
    /// Sends the INVITE.
    pub(crate) fn start(fx: &mut Effects<'_>, flow: Flow, invite: Bytes) -> InviteClient {
        fx.send(&flow, &invite);
        if !flow.transport.is_reliable() {
            fx.arm(Timer::A, Interval::Doubled(0));
        }
        fx.arm(Timer::B, Interval::TransactionTimeout);
        let state = State::Calling {
            invite,
            cancel: Cancel::Unwanted,
            retransmissions: 0,
        };
        InviteClient {
            flow,
            state,
            cancel_reason: None,
        }
    }

    /// Takes a response. `build_ack` makes the ACK for a failure from the INVITE.
    pub(crate) fn on_response(
        &mut self,
        fx: &mut Effects<'_>,
        response: InviteResponse,
        build_ack: impl FnOnce(&Bytes) -> Option<Bytes>,
    ) -> ClientStep {
        match (&mut self.state, response) {
            (State::Calling { .. } | State::Proceeding { .. }, InviteResponse::Provisional) => {
                self.enter_proceeding();
                ClientStep::Deliver
            }
            (
                State::Calling { .. } | State::Proceeding { .. },
                InviteResponse::Success { to_tag },
            ) => {
                self.enter_accepted(fx, to_tag);
                ClientStep::Deliver
            }
            (
                State::Calling { invite, .. } | State::Proceeding { invite, .. },
                InviteResponse::Failure,
            ) => {
                let ack = build_ack(invite);
                self.enter_completed(fx, ack);
                ClientStep::Deliver
            }
            (State::Completed { ack: Some(ack) }, InviteResponse::Failure) => {
                fx.send(&self.flow, ack);
                ClientStep::Absorb
            }
            // A proxy that had forwarded a failure still forwards a late 2xx (RFC 3261 §16.7).
            (State::Completed { .. }, InviteResponse::Success { to_tag }) => {
                self.enter_accepted(fx, to_tag);
                ClientStep::DeliverFork
            }
            (State::Accepted { .. }, InviteResponse::Success { to_tag }) => {
                self.on_another_success(fx, to_tag)
            }
            _ => ClientStep::Absorb,
        }
    }

    /// Sends the user's ACK for the 2xx whose To tag has this hash, and keeps it for that 2xx's
    /// retransmissions. `to_tag` is asked only when several callees answered.
    pub(crate) fn send_ack(
        &mut self,
        fx: &mut Effects<'_>,
        flow: Flow,
        bytes: Bytes,
        to_tag: impl FnOnce(&Bytes) -> Option<u64>,
    ) {
        fx.send(&flow, &bytes);
        let State::Accepted { first, others } = &mut self.state else {
            return;
        };
        if !others.is_empty()
            && let Some(to_tag) = to_tag(&bytes)
            && let Some(fork) = others.iter_mut().find(|fork| fork.to_tag == to_tag)
        {
            fork.ack = Some((flow, bytes));
            return;
        }
        first.ack = Some(bytes);
        self.flow = flow;
    }

    /// The INVITE, while it has no final response and nobody wants it cancelled.
    pub(crate) fn request(&self) -> Option<&Bytes> {
        match &self.state {
            State::Calling {
                invite,
                cancel: Cancel::Unwanted,
                ..
            }
            | State::Proceeding {
                invite,
                cancel: Cancel::Unwanted,
            } => Some(invite),
            _ => None,
        }
    }

    /// Notes the user's wish to cancel; [`InviteClient::cancel_due`] then says when.
    pub(crate) fn want_cancel(&mut self) {
        if let State::Calling { cancel, .. } | State::Proceeding { cancel, .. } = &mut self.state
            && matches!(cancel, Cancel::Unwanted)
        {
            *cancel = Cancel::Wanted;
        }
    }

    /// What its CANCEL will say in Reason.
    pub(crate) fn set_cancel_reason(&mut self, reason: &str) {
        self.cancel_reason = Some(reason.into());
    }

    /// What its CANCEL says in Reason.
    pub(crate) fn cancel_reason(&self) -> Option<&str> {
        self.cancel_reason.as_deref()
    }

    /// The INVITE and its flow, if its CANCEL may and shall be sent now.
    pub(crate) fn cancel_due(&self) -> Option<(Flow, Bytes)> {
        match &self.state {
            State::Proceeding {
                invite,
                cancel: Cancel::Wanted,
            } => Some((self.flow, invite.clone())),
            _ => None,
        }
    }

    /// The CANCEL went out in transaction `id`. If no final response comes within 64·T1 the
    /// INVITE is given up (§9.1).
    pub(crate) fn cancel_sent(&mut self, fx: &mut Effects<'_>, id: Option<ClientId>) {
        if let State::Proceeding { cancel, .. } = &mut self.state {
            *cancel = Cancel::Sent(id);
            fx.arm(Timer::Cancelled, Interval::TransactionTimeout);
        }
    }

    /// The transaction of the CANCEL that was sent, while no final response has come.
    pub(crate) fn cancel_transaction(&self) -> Option<ClientId> {
        match self.state {
            State::Proceeding {
                cancel: Cancel::Sent(id),
                ..
            } => id,
            _ => None,
        }
    }

    pub(crate) fn on_timer(&mut self, fx: &mut Effects<'_>, timer: Timer) -> ClientTimer {
        match (&mut self.state, timer) {
            (
                State::Calling {
                    invite,
                    retransmissions,
                    ..
                },
                Timer::A,
            ) if !self.flow.transport.is_reliable() => {
                *retransmissions += 1;
                fx.send(&self.flow, invite);
                fx.arm(Timer::A, Interval::Doubled(*retransmissions));
                ClientTimer::Silent
            }
            (State::Calling { .. }, Timer::B)
            | (
                State::Proceeding {
                    cancel: Cancel::Sent(_),
                    ..
                },
                Timer::Cancelled,
            ) => {
                self.state = State::Terminated;
                ClientTimer::TimedOut
            }
            (State::Completed { .. }, Timer::D) | (State::Accepted { .. }, Timer::M) => {
                self.state = State::Terminated;
                ClientTimer::Silent
            }
            _ => ClientTimer::Silent,
        }
    }

    /// Sends the INVITE over another flow; the old one, unless a response has come.
    pub(crate) fn start_over(&mut self, fx: &mut Effects<'_>, to: Fallback) -> Option<Flow> {
        let State::Calling { invite, .. } = &mut self.state else {
            return None;
        };
        *invite = to.bytes;
        fx.send(&to.flow, invite);
        if !to.flow.transport.is_reliable() {
            fx.arm(Timer::A, Interval::Doubled(0));
        }
        Some(std::mem::replace(&mut self.flow, to.flow))
    }

    /// Whether the INVITE still waits for its first response, so that the loss of its transport
    /// ends it (§17.1.4).
    pub(crate) fn is_calling(&self) -> bool {
        matches!(self.state, State::Calling { .. })
    }

    /// Whether no final response has come.
    pub(crate) fn is_pending(&self) -> bool {
        matches!(self.state, State::Calling { .. } | State::Proceeding { .. })
    }

    pub(crate) fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    pub(crate) fn flow(&self) -> &Flow {
        &self.flow
    }

    fn enter_proceeding(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Terminated) {
            State::Calling { invite, cancel, .. } => State::Proceeding { invite, cancel },
            other => other,
        };
    }

    fn enter_completed(&mut self, fx: &mut Effects<'_>, ack: Option<Bytes>) {
        if let Some(ack) = &ack {
            fx.send(&self.flow, ack);
        }
        if self.flow.transport.is_reliable() {
            self.state = State::Terminated;
        } else {
            self.state = State::Completed { ack };
            fx.arm(Timer::D, Interval::D);
        }
    }

    fn enter_accepted(&mut self, fx: &mut Effects<'_>, to_tag: u64) {
        fx.arm(Timer::M, Interval::TransactionTimeout);
        let first = Answer { to_tag, ack: None };
        self.state = State::Accepted {
            first,
            others: Vec::new(),
        };
    }

    fn on_another_success(&mut self, fx: &mut Effects<'_>, to_tag: u64) -> ClientStep {
        let State::Accepted { first, others } = &mut self.state else {
            return ClientStep::Absorb;
        };
        if first.to_tag == to_tag {
            if let Some(ack) = &first.ack {
                fx.send(&self.flow, ack);
            }
            return ClientStep::Absorb;
        }
        if let Some(fork) = others.iter().find(|fork| fork.to_tag == to_tag) {
            if let Some((flow, ack)) = &fork.ack {
                fx.send(flow, ack);
            }
            return ClientStep::Absorb;
        }
        if others.len() >= MAX_FORKS {
            return ClientStep::TooManyForks;
        }
        others.push(Fork { to_tag, ack: None });
        ClientStep::DeliverFork
    }
}

/// How many callees beyond the first may answer one INVITE.
const MAX_FORKS: usize = 8;

#[cfg(test)]
mod tests;

//! The non-INVITE client transaction (RFC 3261 §17.1.2).

use bytes::Bytes;
use ringfence_base::Flow;

use crate::effects::Effects;
use crate::invite_client::{ClientStep, ClientTimer};
use crate::timer::{Interval, Timer};

/// The machine. Once terminated it is dropped.
pub(crate) struct NonInviteClient {
    flow: Flow,
    state: State,
}

/// The request is kept only where it may have to be repeated.
enum State {
    Trying {
        request: Option<Bytes>,
        retransmissions: u8,
    },
    Proceeding {
        request: Option<Bytes>,
    },
    Completed,
    Terminated,
}

impl NonInviteClient {
    /// Sends the request.
    pub(crate) fn start(fx: &mut Effects<'_>, flow: Flow, request: Bytes) -> NonInviteClient {
        fx.send(&flow, &request);
        fx.arm(Timer::F, Interval::TransactionTimeout);
        let request = if flow.transport.is_reliable() {
            None
        } else {
            let first = fx.table().capped(0);
            fx.arm(Timer::E, first);
            Some(request)
        };
        NonInviteClient {
            flow,
            state: State::Trying {
                request,
                retransmissions: 0,
            },
        }
    }

    pub(crate) fn on_response(&mut self, fx: &mut Effects<'_>, provisional: bool) -> ClientStep {
        match &mut self.state {
            State::Trying { request, .. } | State::Proceeding { request } if provisional => {
                self.state = State::Proceeding {
                    request: request.take(),
                };
                ClientStep::Deliver
            }
            State::Trying { .. } | State::Proceeding { .. } => {
                if self.flow.transport.is_reliable() {
                    self.state = State::Terminated;
                } else {
                    self.state = State::Completed;
                    fx.arm(Timer::K, Interval::T4);
                }
                ClientStep::Deliver
            }
            State::Completed | State::Terminated => ClientStep::Absorb,
        }
    }

    pub(crate) fn on_timer(&mut self, fx: &mut Effects<'_>, timer: Timer) -> ClientTimer {
        match (&mut self.state, timer) {
            (
                State::Trying {
                    request: Some(request),
                    retransmissions,
                },
                Timer::E,
            ) => {
                *retransmissions = retransmissions.saturating_add(1);
                fx.send(&self.flow, request);
                let next = fx.table().capped(*retransmissions);
                fx.arm(Timer::E, next);
                ClientTimer::Silent
            }
            (
                State::Proceeding {
                    request: Some(request),
                },
                Timer::E,
            ) => {
                fx.send(&self.flow, request);
                fx.arm(Timer::E, Interval::T2);
                ClientTimer::Silent
            }
            (State::Trying { .. } | State::Proceeding { .. }, Timer::F) => {
                self.state = State::Terminated;
                ClientTimer::TimedOut
            }
            (State::Completed, Timer::K) => {
                self.state = State::Terminated;
                ClientTimer::Silent
            }
            _ => ClientTimer::Silent,
        }
    }

    /// Whether the request still waits for its first response, so that the loss of its transport
    /// ends it (§17.1.4).
    pub(crate) fn is_trying(&self) -> bool {
        matches!(self.state, State::Trying { .. })
    }

    pub(crate) fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    pub(crate) fn flow(&self) -> &Flow {
        &self.flow
    }
}

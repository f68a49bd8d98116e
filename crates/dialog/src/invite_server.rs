//! The INVITE server transaction (RFC 3261 §17.2.1) with the Accepted state of RFC 6026 §7.1 and
//! the retransmission of the 2xx until its ACK (RFC 3261 §13.3.1.4).

use bytes::Bytes;
use ringfence_base::Flow;
use ringfence_sip::StatusCode;

use crate::effects::Effects;
use crate::timer::{Interval, Timer};

/// The machine. Once terminated it is dropped.
pub(crate) struct InviteServer {
    /// Where responses go.
    flow: Flow,
    state: State,
}

enum State {
    /// With the last provisional response, once there is one.
    Proceeding {
        last: Option<Bytes>,
    },
    Completed {
        response: Bytes,
        retransmissions: u8,
    },
    Confirmed,
    /// With the 2xx until it is acknowledged.
    Accepted {
        unacknowledged: Option<Bytes>,
        retransmissions: u8,
    },
    Terminated,
}

/// What an ACK meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AckStep {
    /// Nothing new.
    Absorb,
    /// It ends the wait after a failure.
    Failure,
    /// It acknowledges a 2xx: the user's business.
    Success,
}

/// What the layer tells the user, or counts, after a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerTimer {
    /// Nothing.
    Silent,
    /// No ACK came for a failure.
    FailureUnacknowledged,
    /// No ACK came for the 2xx.
    SuccessUnacknowledged,
    /// The user never answered.
    Unanswered,
}

impl InviteServer {
    pub(crate) fn new(flow: Flow) -> InviteServer {
        InviteServer {
            flow,
            state: State::Proceeding { last: None },
        }
    }

    /// The INVITE came again.
    pub(crate) fn on_retransmission(&mut self, fx: &mut Effects<'_>) {
        match &self.state {
            State::Proceeding {
                last: Some(response),
            }
            | State::Completed { response, .. } => {
                fx.send(&self.flow, response);
            }
            // RFC 6026 §7.1: absorbed without an answer.
            State::Accepted { .. }
            | State::Proceeding { last: None }
            | State::Confirmed
            | State::Terminated => {}
        }
    }

    /// Sends the user's response; whether the state allowed one.
    pub(crate) fn respond(
        &mut self,
        fx: &mut Effects<'_>,
        status: StatusCode,
        bytes: Bytes,
    ) -> bool {
        let State::Proceeding { last } = &mut self.state else {
            return false;
        };
        fx.send(&self.flow, &bytes);
        if status.is_provisional() {
            *last = Some(bytes);
        } else if status.is_success() {
            let first = fx.table().capped(0);
            fx.arm(Timer::Success, first);
            fx.arm(Timer::L, Interval::TransactionTimeout);
            self.state = State::Accepted {
                unacknowledged: Some(bytes),
                retransmissions: 0,
            };
        } else {
            if !self.flow.transport.is_reliable() {
                let first = fx.table().capped(0);
                fx.arm(Timer::G, first);
            }
            fx.arm(Timer::H, Interval::TransactionTimeout);
            self.state = State::Completed {
                response: bytes,
                retransmissions: 0,
            };
        }
        true
    }

    /// An ACK that belongs to this INVITE by its branch.
    pub(crate) fn on_ack(&mut self, fx: &mut Effects<'_>) -> AckStep {
        match self.state {
            State::Completed { .. } if self.flow.transport.is_reliable() => {
                self.state = State::Terminated;
                AckStep::Failure
            }
            State::Completed { .. } => {
                self.state = State::Confirmed;
                fx.arm(Timer::I, Interval::T4);
                AckStep::Failure
            }
            State::Accepted { .. } => AckStep::Success,
            State::Proceeding { .. } | State::Confirmed | State::Terminated => AckStep::Absorb,
        }
    }

    /// The user matched an ACK to the 2xx: no more retransmissions.
    pub(crate) fn acknowledged(&mut self) {
        if let State::Accepted { unacknowledged, .. } = &mut self.state {
            *unacknowledged = None;
        }
    }

    pub(crate) fn on_timer(&mut self, fx: &mut Effects<'_>, timer: Timer) -> ServerTimer {
        match (&mut self.state, timer) {
            (
                State::Completed {
                    response,
                    retransmissions,
                },
                Timer::G,
            ) => {
                *retransmissions = retransmissions.saturating_add(1);
                fx.send(&self.flow, response);
                let next = fx.table().capped(*retransmissions);
                fx.arm(Timer::G, next);
                ServerTimer::Silent
            }
            (
                State::Accepted {
                    unacknowledged: Some(response),
                    retransmissions,
                },
                Timer::Success,
            ) => {
                *retransmissions = retransmissions.saturating_add(1);
                fx.send(&self.flow, response);
                let next = fx.table().capped(*retransmissions);
                fx.arm(Timer::Success, next);
                ServerTimer::Silent
            }
            (State::Completed { .. }, Timer::H) => {
                self.state = State::Terminated;
                ServerTimer::FailureUnacknowledged
            }
            (State::Confirmed, Timer::I) => {
                self.state = State::Terminated;
                ServerTimer::Silent
            }
            (State::Accepted { unacknowledged, .. }, Timer::L) => {
                let missing = unacknowledged.is_some();
                self.state = State::Terminated;
                if missing {
                    ServerTimer::SuccessUnacknowledged
                } else {
                    ServerTimer::Silent
                }
            }
            _ => ServerTimer::Silent,
        }
    }

    /// Whether no final response was sent.
    pub(crate) fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }

    pub(crate) fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    pub(crate) fn flow(&self) -> &Flow {
        &self.flow
    }
}

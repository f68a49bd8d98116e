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

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, request};
    use crate::{Event, Matched, Owner};

    const BRANCH: &str = "z9hG4bK-peer-1";

    fn invite() -> String {
        request("INVITE", BRANCH)
    }

    fn ack() -> String {
        request("ACK", BRANCH)
    }

    #[test]
    fn a_repeated_invite_gets_the_last_provisional_response_rfc3261_17_2_1() {
        let mut bench = Bench::udp();
        let server = bench.receive_new(invite());
        assert_eq!(bench.receive(invite()), Matched::Retransmission);
        assert_eq!(bench.sent.len(), 0, "nothing to repeat yet");
        bench.respond(server, 100);
        bench.respond(server, 180);
        bench.run_to(400);
        assert_eq!(bench.receive(invite()), Matched::Retransmission);
        assert_eq!(bench.times_of("SIP/2.0 180"), [0, 400]);
        assert!(!bench.layer.is_answered(server));
        assert_eq!(bench.layer.counters().request_retransmissions, 2);
    }

    #[test]
    fn repeats_a_failure_up_to_t2_until_timer_h_rfc3261_17_2_1() {
        let mut bench = Bench::udp();
        let server = bench.receive_new(invite());
        bench.respond(server, 486);
        bench.run_to(100_000);
        assert_eq!(
            bench.times_of("SIP/2.0 486"),
            [
                0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500
            ]
        );
        assert_eq!(bench.layer.counters().unacknowledged_failures, 1);
        assert_eq!(bench.events, []);
        bench.assert_idle();
    }

    #[test]
    fn the_ack_ends_the_repetition_and_timer_i_the_transaction_rfc3261_17_2_1() {
        let mut bench = Bench::udp();
        let server = bench.receive_new(invite());
        bench.respond(server, 404);
        bench.run_to(700);
        assert_eq!(bench.receive(ack()), Matched::AckNon2xx);
        assert_eq!(bench.receive(ack()), Matched::Retransmission);
        assert_eq!(bench.receive(invite()), Matched::Retransmission);
        bench.run_to(5_699);
        assert_eq!(bench.layer.server_count(), 1);
        bench.run_to(5_700);
        assert_eq!(bench.layer.server_count(), 0);
        assert_eq!(bench.times_of("SIP/2.0 404"), [0, 500]);
        bench.run_to(40_000);
        bench.assert_idle();
    }

    #[test]
    fn over_a_reliable_transport_it_waits_for_the_ack_alone_rfc3261_17_2_1() {
        let mut bench = Bench::tcp();
        let server = bench.receive_new(invite());
        bench.respond(server, 404);
        bench.run_to(31_000);
        assert_eq!(bench.times_of("SIP/2.0 404"), [0]);
        assert_eq!(bench.receive(ack()), Matched::AckNon2xx);
        assert_eq!(bench.layer.server_count(), 0, "timer I is zero");
    }

    #[test]
    fn a_repeated_invite_gets_the_failure_again_rfc3261_17_2_1() {
        let mut bench = Bench::udp();
        let server = bench.receive_new(invite());
        bench.respond(server, 404);
        bench.run_to(100);
        assert_eq!(bench.receive(invite()), Matched::Retransmission);
        assert_eq!(bench.times_of("SIP/2.0 404"), [0, 100]);
    }

    #[test]
    fn retransmits_2xx_until_ack_rfc3261_13_3_1_4() {
        for mut bench in [Bench::udp(), Bench::tcp()] {
            let server = bench.receive_new(invite());
            bench.respond(server, 200);
            bench.run_to(9_000);
            assert_eq!(
                bench.receive(request("ACK", "z9hG4bK-ack")),
                Matched::Ack2xx
            );
            bench.layer.acknowledged(server);
            bench.run_to(100_000);
            assert_eq!(bench.times_of("SIP/2.0 200"), [0, 500, 1500, 3500, 7500]);
            assert_eq!(bench.events, []);
            bench.assert_idle();
        }
    }

    #[test]
    fn a_2xx_without_ack_is_an_event_rfc3261_13_3_1_4() {
        let mut bench = Bench::udp();
        let server = bench.receive_new(invite());
        bench.layer.set_owner(server, Owner(7));
        bench.respond(server, 200);
        bench.run_to(100_000);
        assert_eq!(
            bench.times_of("SIP/2.0 200"),
            [
                0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500
            ]
        );
        assert_eq!(
            bench.events,
            [(
                32_000,
                Event::AckTimeout {
                    server,
                    owner: Owner(7)
                }
            )]
        );
        assert_eq!(bench.layer.counters().unacknowledged_successes, 1);
        bench.assert_idle();
    }

    #[test]
    fn an_accepted_invite_absorbs_its_repetitions_until_timer_l_rfc6026_7_1() {
        let mut bench = Bench::udp();
        let server = bench.receive_new(invite());
        bench.respond(server, 200);
        bench.layer.acknowledged(server);
        bench.sent.clear();
        bench.run_to(31_999);
        assert_eq!(bench.receive(invite()), Matched::Retransmission);
        assert_eq!(bench.sent.len(), 0);
        bench.run_to(32_000);
        bench.assert_idle();
        bench.receive_new(invite());
    }

    #[test]
    fn an_ack_with_the_branch_of_an_accepted_invite_is_the_users_rfc6026_7_1() {
        let mut bench = Bench::udp();
        let server = bench.receive_new(invite());
        bench.respond(server, 200);
        assert_eq!(bench.receive(ack()), Matched::Ack2xx);
    }

    #[test]
    fn an_ack_before_any_final_response_is_absorbed() {
        let mut bench = Bench::udp();
        let server = bench.receive_new(invite());
        assert_eq!(bench.receive(ack()), Matched::Retransmission);
        assert!(!bench.layer.is_answered(server));
    }

    #[test]
    fn one_final_response_is_all() {
        let mut bench = Bench::udp();
        let server = bench.receive_new(invite());
        bench.respond(server, 486);
        bench.respond(server, 200);
        bench.respond(server, 180);
        assert_eq!(bench.times_of("SIP/2.0 2"), [0; 0]);
        assert_eq!(bench.layer.counters().responses_refused, 2);
        bench.run_to(40_000);
        bench.respond(server, 200);
        assert_eq!(bench.layer.counters().responses_refused, 3, "gone");
    }
}

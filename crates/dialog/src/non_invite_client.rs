//! The non-INVITE client transaction (RFC 3261 §17.1.2).

use bytes::Bytes;
use ringfence_base::Flow;

use crate::effects::Effects;
use crate::fallback::Fallback;
use crate::invite_client::{ClientStep, ClientTimer};
use crate::timer::{Interval, Timer};

/// The machine. Once terminated it is dropped.
pub(crate) struct NonInviteClient {
    flow: Flow,
    state: State,
}

/// The request is kept until its final response: to be repeated, and for a user who must send it
/// again with credentials.
enum State {
    Trying { request: Bytes, retransmissions: u8 },
    Proceeding { request: Bytes },
    Completed,
    Terminated,
}

impl NonInviteClient {
    /// Sends the request.
    pub(crate) fn start(fx: &mut Effects<'_>, flow: Flow, request: Bytes) -> NonInviteClient {
        fx.send(&flow, &request);
        fx.arm(Timer::F, Interval::TransactionTimeout);
        if !flow.transport.is_reliable() {
            let first = fx.table().capped(0);
            fx.arm(Timer::E, first);
        }
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
                    request: std::mem::take(request),
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
                    request,
                    retransmissions,
                },
                Timer::E,
            ) if !self.flow.transport.is_reliable() => {
                *retransmissions = retransmissions.saturating_add(1);
                fx.send(&self.flow, request);
                let next = fx.table().capped(*retransmissions);
                fx.arm(Timer::E, next);
                ClientTimer::Silent
            }
            (State::Proceeding { request }, Timer::E) if !self.flow.transport.is_reliable() => {
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

    /// Sends the request over another flow; the old one, unless a response has come.
    pub(crate) fn start_over(&mut self, fx: &mut Effects<'_>, to: Fallback) -> Option<Flow> {
        let State::Trying { request, .. } = &mut self.state else {
            return None;
        };
        *request = to.bytes;
        fx.send(&to.flow, request);
        if !to.flow.transport.is_reliable() {
            let first = fx.table().capped(0);
            fx.arm(Timer::E, first);
        }
        Some(std::mem::replace(&mut self.flow, to.flow))
    }

    /// Whether the request still waits for its first response, so that the loss of its transport
    /// ends it (§17.1.4).
    pub(crate) fn is_trying(&self) -> bool {
        matches!(self.state, State::Trying { .. })
    }

    /// Whether no final response has come.
    pub(crate) fn is_pending(&self) -> bool {
        matches!(self.state, State::Trying { .. } | State::Proceeding { .. })
    }

    /// The request, while it has no final response.
    pub(crate) fn request(&self) -> Option<&Bytes> {
        match &self.state {
            State::Trying { request, .. } | State::Proceeding { request } => Some(request),
            State::Completed | State::Terminated => None,
        }
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
    use crate::testing::Bench;
    use crate::{Event, Matched, Owner};

    const OWNER: Owner = Owner(42);

    #[test]
    fn repeats_the_request_up_to_t2_until_timer_f_rfc3261_17_1_2_2() {
        let mut bench = Bench::udp();
        let client = bench.send("OPTIONS");
        bench.run_to(100_000);
        assert_eq!(
            bench.times_of("OPTIONS"),
            [
                0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500
            ]
        );
        assert_eq!(
            bench.events,
            [(
                32_000,
                Event::ClientTimeout {
                    client,
                    owner: OWNER
                }
            )]
        );
        bench.assert_idle();
    }

    #[test]
    fn does_not_repeat_over_a_reliable_transport_rfc3261_17_1_2_2() {
        let mut bench = Bench::tcp();
        let client = bench.send("BYE");
        bench.run_to(100_000);
        assert_eq!(bench.times_of("BYE"), [0]);
        assert_eq!(
            bench.events,
            [(
                32_000,
                Event::ClientTimeout {
                    client,
                    owner: OWNER
                }
            )]
        );
    }

    #[test]
    fn repeats_every_t2_while_proceeding_rfc3261_17_1_2_2() {
        let mut bench = Bench::udp();
        let client = bench.send("BYE");
        bench.run_to(600);
        let delivered = Matched::Response {
            client,
            owner: OWNER,
        };
        assert_eq!(bench.answer(client, "BYE", 100, ""), delivered);
        assert_eq!(bench.answer(client, "BYE", 100, ""), delivered);
        bench.run_to(100_000);
        assert_eq!(
            bench.times_of("BYE"),
            [
                0, 500, 1500, 5500, 9500, 13_500, 17_500, 21_500, 25_500, 29_500
            ]
        );
        assert_eq!(
            bench.events,
            [(
                32_000,
                Event::ClientTimeout {
                    client,
                    owner: OWNER
                }
            )]
        );
    }

    #[test]
    fn absorbs_repeated_responses_for_timer_k_rfc3261_17_1_2_2() {
        let mut bench = Bench::udp();
        let client = bench.send("BYE");
        bench.run_to(100);
        let delivered = Matched::Response {
            client,
            owner: OWNER,
        };
        assert_eq!(bench.answer(client, "BYE", 481, "b"), delivered);
        bench.run_to(5_099);
        assert_eq!(
            bench.answer(client, "BYE", 481, "b"),
            Matched::ResponseRetransmission
        );
        bench.run_to(5_100);
        assert_eq!(
            bench.answer(client, "BYE", 481, "b"),
            Matched::StrayResponse
        );
        assert_eq!(bench.times_of("BYE"), [0]);
        assert_eq!(bench.layer.client_count(), 0);
        bench.run_to(40_000);
        assert_eq!(bench.events, []);
        bench.assert_idle();
    }

    #[test]
    fn timer_k_is_zero_over_a_reliable_transport_rfc3261_17_1_2_2() {
        let mut bench = Bench::tcp();
        let client = bench.send("BYE");
        bench.answer(client, "BYE", 200, "b");
        assert_eq!(bench.layer.client_count(), 0);
    }

    #[test]
    fn the_failure_of_its_transport_ends_it_rfc3261_17_1_4() {
        let mut bench = Bench::tcp();
        let client = bench.send("OPTIONS");
        bench.layer.transport_failed(bench.now, &bench.flow.clone());
        let failed = Event::TransportFailed {
            client,
            owner: OWNER,
        };
        assert_eq!(bench.layer.poll_event(), Some(failed));
        assert_eq!(bench.layer.client_count(), 0);
    }
}

//! The non-INVITE server transaction (RFC 3261 §17.2.2) as RFC 4320 leaves it: no provisional
//! response and no 408, so there is no Proceeding state.

use bytes::Bytes;
use ringfence_base::Flow;
use ringfence_sip::StatusCode;

use crate::effects::Effects;
use crate::invite_server::ServerTimer;
use crate::timer::{Interval, Timer};

/// The machine. Once terminated it is dropped.
pub(crate) struct NonInviteServer {
    /// Where the response goes.
    flow: Flow,
    state: State,
}

enum State {
    Trying,
    Completed { response: Bytes },
    Terminated,
}

impl NonInviteServer {
    pub(crate) fn new(fx: &mut Effects<'_>, flow: Flow) -> NonInviteServer {
        fx.arm(Timer::Unanswered, Interval::TransactionTimeout);
        NonInviteServer {
            flow,
            state: State::Trying,
        }
    }

    /// The request came again.
    pub(crate) fn on_retransmission(&mut self, fx: &mut Effects<'_>) {
        if let State::Completed { response } = &self.state {
            fx.send(&self.flow, response);
        }
    }

    /// Sends the user's response; whether the state and RFC 4320 allowed it.
    pub(crate) fn respond(
        &mut self,
        fx: &mut Effects<'_>,
        status: StatusCode,
        bytes: Bytes,
    ) -> bool {
        let forbidden = status.is_provisional() || status == REQUEST_TIMEOUT;
        if forbidden || !matches!(self.state, State::Trying) {
            return false;
        }
        fx.send(&self.flow, &bytes);
        if self.flow.transport.is_reliable() {
            self.state = State::Terminated;
        } else {
            self.state = State::Completed { response: bytes };
            fx.arm(Timer::J, Interval::TransactionTimeout);
        }
        true
    }

    pub(crate) fn on_timer(&mut self, timer: Timer) -> ServerTimer {
        match (&self.state, timer) {
            (State::Trying, Timer::Unanswered) => {
                self.state = State::Terminated;
                ServerTimer::Unanswered
            }
            (State::Completed { .. }, Timer::J) => {
                self.state = State::Terminated;
                ServerTimer::Silent
            }
            _ => ServerTimer::Silent,
        }
    }

    /// Whether no response was sent.
    pub(crate) fn is_trying(&self) -> bool {
        matches!(self.state, State::Trying)
    }

    pub(crate) fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    pub(crate) fn flow(&self) -> &Flow {
        &self.flow
    }
}

/// 408: a client that could still receive it has timed out by itself (RFC 4320 §4.2).
const REQUEST_TIMEOUT: StatusCode = StatusCode::of(408);

#[cfg(test)]
mod tests {
    use crate::Matched;
    use crate::testing::{Bench, request};

    fn bye() -> String {
        request("BYE", "z9hG4bK-peer-1")
    }

    #[test]
    fn a_repeated_request_gets_the_response_again_until_timer_j_rfc3261_17_2_2() {
        let mut bench = Bench::udp();
        let server = bench.receive_new(bye());
        assert_eq!(bench.receive(bye()), Matched::Retransmission);
        assert_eq!(bench.sent.len(), 0, "nothing to repeat yet");
        bench.run_to(100);
        bench.respond(server, 200);
        bench.run_to(32_099);
        assert_eq!(bench.receive(bye()), Matched::Retransmission);
        assert_eq!(bench.times_of("SIP/2.0 200"), [100, 32_099]);
        bench.run_to(32_100);
        bench.assert_idle();
        assert_eq!(bench.layer.counters().unanswered_requests, 0);
    }

    #[test]
    fn timer_j_is_zero_over_a_reliable_transport_rfc3261_17_2_2() {
        let mut bench = Bench::tcp();
        let server = bench.receive_new(bye());
        bench.respond(server, 200);
        assert_eq!(bench.layer.server_count(), 0);
        assert!(bench.layer.is_answered(server));
    }

    #[test]
    fn no_provisional_response_and_no_408_rfc4320_4() {
        let mut bench = Bench::udp();
        let server = bench.receive_new(bye());
        for code in [100, 183, 408] {
            bench.respond(server, code);
        }
        assert_eq!(bench.sent.len(), 0);
        assert_eq!(bench.layer.counters().responses_refused, 3);
        bench.respond(server, 200);
        assert_eq!(bench.times_of("SIP/2.0 200"), [0]);
    }

    #[test]
    fn a_request_that_is_never_answered_is_let_go_rfc4320_4_2() {
        let mut bench = Bench::udp();
        let server = bench.receive_new(bye());
        bench.run_to(32_000);
        bench.assert_idle();
        assert_eq!(bench.layer.counters().unanswered_requests, 1);
        bench.respond(server, 200);
        assert_eq!(bench.sent.len(), 0, "nobody waits for it");
    }
}

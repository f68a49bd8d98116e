//! Requests too large for UDP (RFC 3261 §18.1.1): sent over TCP, with the same request for UDP
//! kept beside in case the far side takes no TCP.
//!
//! The RFC goes back to UDP when the connection is refused. A firewall that drops the SYN refuses
//! nothing, so the same happens when 2·T1 pass without any response. Both have the same branch: a
//! far side that got both takes the second for a retransmission.

use bytes::Bytes;
use ringfence_base::{Flow, Instant};

use crate::client_side::{Client, RequestKind};
use crate::effects::Effects;
use crate::ids::{ClientId, Owner};
use crate::lanes::Expired;
use crate::layer::{Event, MAX_EVENTS, Transactions};
use crate::timer::{Interval, Timer};

/// The request as it is sent if TCP fails.
pub(crate) struct Fallback {
    pub(crate) flow: Flow,
    pub(crate) bytes: Bytes,
}

impl Transactions {
    /// As [`send_request`](Transactions::send_request), over the reliable `flow`; `instead` is the
    /// same request with the same branch for UDP. If the connection fails, or nothing is answered
    /// within 2·T1, it is sent so, and [`Event::FellBack`] tells.
    #[allow(clippy::too_many_arguments)] // those of `send_request`, and one
    pub fn send_large_request(
        &mut self,
        now: Instant,
        id: ClientId,
        kind: RequestKind,
        flow: Flow,
        bytes: Bytes,
        owner: Owner,
        instead: (Flow, Bytes),
    ) {
        self.send_request(now, id, kind, flow, bytes, owner);
        if let Some((_, mut fx)) = self.client(now, id) {
            fx.arm(Timer::Fallback, Interval::Doubled(1));
            let (flow, bytes) = instead;
            self.fallbacks.insert(id, Fallback { flow, bytes });
        }
    }

    /// Sends those of `failed` that can go over UDP instead, and returns the others.
    pub(crate) fn fall_back_all(&mut self, now: Instant, failed: Vec<ClientId>) -> Vec<ClientId> {
        failed
            .into_iter()
            .filter(|&id| !self.fall_back(now, id))
            .collect()
    }

    /// Whether the timer is the one that ends the wait for an answer over TCP; if so, UDP it is.
    pub(crate) fn fell_back_on(&mut self, now: Instant, expired: Expired) -> bool {
        let id = ClientId {
            slot: expired.slot,
            generation: expired.generation,
        };
        expired.timer == Timer::Fallback && {
            self.fall_back(now, id);
            true
        }
    }

    fn fall_back(&mut self, now: Instant, id: ClientId) -> bool {
        if self.fallbacks.is_empty() || self.events.len() >= MAX_EVENTS - 1 {
            return false;
        }
        let Some(fallback) = self.fallbacks.remove(&id) else {
            return false;
        };
        let Some((client, mut fx)) = self.client(now, id) else {
            return false;
        };
        let Some((from, owner)) = client.fall_back(&mut fx, fallback) else {
            return false;
        };
        self.counters.fallbacks += 1;
        self.emit(Event::FellBack {
            client: id,
            owner,
            from,
        });
        true
    }
}

impl Client {
    /// Starts over; where it went before, if no response has come yet.
    fn fall_back(&mut self, fx: &mut Effects<'_>, to: Fallback) -> Option<(Flow, Owner)> {
        Some((self.start_over(fx, to)?, self.owner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Matched;
    use crate::testing::Bench;
    use ringfence_base::Transport;

    /// A request over TCP with its twin for UDP: the bench's own flow is UDP.
    fn sent(bench: &mut Bench, method: &str) -> (ClientId, Flow) {
        let tcp = Flow {
            transport: Transport::Tcp,
            ..bench.flow
        };
        (bench.send_large(method, tcp), tcp)
    }

    #[test]
    fn a_refused_connection_sends_it_over_udp_rfc3261_18_1_1() {
        let mut bench = Bench::udp();
        let (client, tcp) = sent(&mut bench, "INVITE");
        bench.run_to(10);
        bench.fail(&tcp);
        bench.run_to(1_600);
        assert_eq!(
            bench.times_of("INVITE"),
            [0, 10, 510, 1_510],
            "and is repeated there"
        );
        let fell_back = Event::FellBack {
            client,
            owner: Owner(42),
            from: tcp,
        };
        assert_eq!(
            bench.events.first().map(|(_, event)| *event),
            Some(fell_back)
        );
        assert_eq!(
            bench.answer(client, "INVITE", 180, "b"),
            Matched::Response {
                client,
                owner: Owner(42)
            }
        );
    }

    #[test]
    fn silence_over_tcp_sends_it_over_udp_after_twice_t1() {
        for method in ["INVITE", "OPTIONS"] {
            let mut bench = Bench::udp();
            sent(&mut bench, method);
            bench.run_to(1_600);
            assert_eq!(bench.times_of(method), [0, 1_000, 1_500], "{method}");
        }
    }

    #[test]
    fn an_answer_over_tcp_keeps_it_there() {
        let mut bench = Bench::udp();
        let (client, tcp) = sent(&mut bench, "INVITE");
        bench.run_to(100);
        bench.answer(client, "INVITE", 100, "");
        bench.fail(&tcp);
        bench.run_to(20_000);
        assert_eq!(bench.times_of("INVITE"), [0]);
        assert_eq!(bench.events, []);
    }

    #[test]
    fn a_wish_to_cancel_survives_the_fall_back() {
        let mut bench = Bench::udp();
        let (client, _) = sent(&mut bench, "INVITE");
        bench.cancel(client);
        bench.run_to(1_100);
        bench.answer(client, "INVITE", 180, "b");
        assert_eq!(bench.times_of("CANCEL").len(), 1);
    }

    #[test]
    fn nothing_is_kept_of_a_request_that_is_over() {
        let mut bench = Bench::udp();
        let (client, _) = sent(&mut bench, "OPTIONS");
        bench.answer(client, "OPTIONS", 200, "b");
        bench.run_to(100_000);
        assert_eq!(bench.layer.fallbacks.len(), 0);
        assert_eq!(bench.times_of("OPTIONS"), [0]);
    }
}

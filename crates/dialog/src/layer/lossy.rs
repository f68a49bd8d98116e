//! Two layers with a bad network between them: loss, duplicates and reordering by a seed.
//!
//! Each request that one user sends ends exactly once, each 2xx is acknowledged or reported, and
//! in the end nothing is left on either side.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use ringfence_base::entropy::SeededEntropy;
use ringfence_base::{Flow, ListenerId, Transport, WorkerIndex};
use ringfence_sip::write::response_to;
use ringfence_sip::{Method, StatusCode};

use super::*;
use crate::RequestKind;
use crate::testing::request;

/// Who calls and who is called.
const CALLER: usize = 0;
const CALLEE: usize = 1;

struct World {
    now: Instant,
    layers: [Transactions; 2],
    flows: [Flow; 2],
    agenda: BTreeMap<(Instant, u64), Act>,
    sequence: u64,
    entropy: SeededEntropy,
    /// Of 100 datagrams this many are lost, and as many come twice.
    loss: u64,
    /// The caller's requests, and how often each has ended.
    ends: BTreeMap<ClientId, u32>,
    /// The callee's INVITEs by Call-ID, with the bytes to answer them from.
    invites: BTreeMap<Vec<u8>, ServerId>,
    requests: BTreeMap<ServerId, Bytes>,
    /// 2xx to INVITEs that the callee sent, acknowledged or reported.
    accepted: u64,
    settled: u64,
}

enum Act {
    Deliver { to: usize, bytes: Bytes },
    Respond { server: ServerId, code: u16 },
    Cancel { client: ClientId },
}

impl World {
    fn new(seed: u64, transport: Transport, loss: u64) -> World {
        let mut entropy = SeededEntropy::new(seed);
        let layers = [CALLER, CALLEE].map(|side| {
            let cookies = Cookies::new([side as u8; 16], WorkerIndex::new(0));
            let timers = TimerTable::default();
            Transactions::new(timers, cookies, &mut entropy, Limits::default())
        });
        let flows = ["192.0.2.20:5060", "192.0.2.10:5060"].map(|remote| Flow {
            listener: ListenerId::new(0),
            transport,
            remote: remote.parse().unwrap(),
            connection: None,
        });
        World {
            now: Instant::ZERO,
            layers,
            flows,
            agenda: BTreeMap::new(),
            sequence: 0,
            entropy,
            loss: if transport.is_reliable() { 0 } else { loss },
            ends: BTreeMap::new(),
            invites: BTreeMap::new(),
            requests: BTreeMap::new(),
            accepted: 0,
            settled: 0,
        }
    }

    fn plan(&mut self, after_ms: u64, act: Act) {
        self.sequence += 1;
        let at = self.now + Duration::from_millis(after_ms);
        self.agenda.insert((at, self.sequence), act);
    }

    fn call(&mut self, number: u64, method: &str, cancel_after_ms: u64) {
        let layer = &mut self.layers[CALLER];
        let client = layer.reserve_client().unwrap();
        let branch = layer.branch(client).to_string();
        let text = request(method, &branch).replace("Call-ID: call", &format!("Call-ID: {number}"));
        let kind = if method == "INVITE" {
            RequestKind::Invite
        } else {
            RequestKind::NonInvite
        };
        let flow = self.flows[CALLER];
        layer.send_request(
            self.now,
            client,
            kind,
            flow,
            Bytes::from(text),
            Owner(number),
        );
        self.ends.insert(client, 0);
        self.plan(cancel_after_ms, Act::Cancel { client });
        self.drain();
    }

    /// Runs until nothing is left to happen.
    fn run(&mut self) {
        let end = Instant::ZERO + Duration::from_secs(600);
        loop {
            let timers = self
                .layers
                .iter()
                .filter_map(Transactions::poll_timeout)
                .min();
            let acts = self.agenda.keys().next().map(|(at, _)| *at);
            let Some(next) = timers.into_iter().chain(acts).min() else {
                return;
            };
            assert!(next < end, "something goes on for ever");
            self.now = self.now.max(next);
            for layer in &mut self.layers {
                layer.handle_timeout(self.now);
            }
            while let Some(entry) = self
                .agenda
                .first_entry()
                .filter(|entry| entry.key().0 <= self.now)
            {
                let act = entry.remove();
                self.act(act);
            }
            self.drain();
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Cancel { client } => self.layers[CALLER].cancel(self.now, client),
            Act::Respond { server, code } => self.respond(server, code),
            Act::Deliver { to: CALLER, bytes } => self.caller_receives(&bytes),
            Act::Deliver { bytes, .. } => self.callee_receives(&bytes),
        }
    }

    fn caller_receives(&mut self, bytes: &Bytes) {
        let mut index = Index::default();
        let message = index.parse(bytes).unwrap();
        let (now, flow) = (self.now, self.flows[CALLER]);
        let layer = &mut self.layers[CALLER];
        let Matched::Response { client, .. } = layer.handle_input(now, &flow, &message) else {
            return;
        };
        let status = message.status().unwrap();
        if status.is_provisional() {
            return;
        }
        *self.ends.get_mut(&client).unwrap() += 1;
        if status.is_success() && message.cseq().unwrap().method == Method::Invite {
            let call_id = String::from_utf8(message.call_id().unwrap().to_vec()).unwrap();
            let ack = request("ACK", &layer.ack_branch().to_string())
                .replace("Call-ID: call", &format!("Call-ID: {call_id}"));
            layer.send_ack_2xx(now, client, flow, Bytes::from(ack));
        }
    }

    fn callee_receives(&mut self, bytes: &Bytes) {
        let mut index = Index::default();
        let message = index.parse(bytes).unwrap();
        let flow = self.flows[CALLEE];
        match self.layers[CALLEE].handle_input(self.now, &flow, &message) {
            Matched::NewRequest(server) => {
                self.requests.insert(server, bytes.clone());
                if message.method() != Some(Method::Invite) {
                    let wait = self.entropy.below(3_000);
                    return self.plan(wait, Act::Respond { server, code: 200 });
                }
                self.invites
                    .insert(message.call_id().unwrap().to_vec(), server);
                let code = [200, 200, 486][self.entropy.below(3) as usize];
                let (ring, answer) = (self.entropy.below(1_000), self.entropy.below(40_000));
                self.plan(ring, Act::Respond { server, code: 180 });
                self.plan(ring + answer, Act::Respond { server, code });
            }
            Matched::Cancel { cancel, invite } => {
                self.requests.insert(cancel, bytes.clone());
                self.respond(cancel, if invite.is_some() { 200 } else { 481 });
                if let Some((server, _)) = invite {
                    self.respond(server, 487);
                }
            }
            Matched::Ack2xx => {
                let server = self.invites.remove(message.call_id().unwrap());
                if let Some(server) = server {
                    self.settled += 1;
                    self.layers[CALLEE].acknowledged(server);
                }
            }
            _ => {}
        }
    }

    fn respond(&mut self, server: ServerId, code: u16) {
        let layer = &mut self.layers[CALLEE];
        if layer.is_answered(server) {
            return;
        }
        let mut index = Index::default();
        let request = index.parse(&self.requests[&server]).unwrap();
        let status = StatusCode::of(code);
        let mut buffer = Vec::new();
        let remote = self.flows[CALLEE].remote;
        response_to(&mut buffer, &request, remote, status, "", Some(b"callee")).finish();
        layer.respond(self.now, server, status, Bytes::from(buffer));
        let is_invite = request.method() == Some(Method::Invite);
        self.accepted += u64::from(is_invite && status.is_success());
    }

    fn drain(&mut self) {
        for side in [CALLER, CALLEE] {
            while let Some(transmit) = self.layers[side].poll_transmit() {
                self.carry(1 - side, &transmit.bytes);
            }
            while let Some(event) = self.layers[side].poll_event() {
                match event {
                    Event::ClientTimeout { client, .. } | Event::TransportFailed { client, .. } => {
                        *self.ends.get_mut(&client).unwrap() += 1;
                    }
                    Event::FellBack { .. } => {}
                    Event::AckTimeout { server, .. } => {
                        self.invites.retain(|_, invite| *invite != server);
                        self.settled += 1;
                    }
                }
            }
        }
    }

    fn carry(&mut self, to: usize, bytes: &Bytes) {
        if self.loss == 0 {
            return self.plan(
                20,
                Act::Deliver {
                    to,
                    bytes: bytes.clone(),
                },
            );
        }
        let copies = match self.entropy.below(100) {
            chance if chance < self.loss => 0,
            chance if chance < 2 * self.loss => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let delay = 1 + self.entropy.below(200);
            self.plan(
                delay,
                Act::Deliver {
                    to,
                    bytes: bytes.clone(),
                },
            );
        }
    }
}

#[track_caller]
fn check(seed: u64, transport: Transport, loss: u64) {
    let mut world = World::new(seed, transport, loss);
    for number in 0..10 {
        let method = ["INVITE", "INVITE", "OPTIONS"][number as usize % 3];
        let patience = world.entropy.below(60_000);
        world.call(number, method, patience);
    }
    world.run();
    for layer in &world.layers {
        assert_eq!((layer.client_count(), layer.server_count()), (0, 0));
        assert_eq!(layer.clients_pending(), 0);
    }
    assert!(
        world.ends.values().all(|ends| *ends == 1),
        "{:?}",
        world.ends
    );
    assert_eq!(
        world.accepted, world.settled,
        "each 2xx acknowledged or reported"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_request_ends_once_however_bad_the_network(seed: u64, loss in 0..45u64) {
        check(seed, Transport::Udp, loss);
    }

    #[test]
    fn each_request_ends_once_over_a_stream(seed: u64) {
        check(seed, Transport::Tcp, 0);
    }
}

#[test]
fn without_loss_nothing_times_out() {
    for seed in 0..20 {
        let mut world = World::new(seed, Transport::Udp, 0);
        world.call(1, "INVITE", 590_000);
        world.call(2, "OPTIONS", 590_000);
        world.run();
        let counters = world.layers.each_ref().map(Transactions::counters);
        assert_eq!(counters[CALLER].client_timeouts, 0);
        assert_eq!(counters[CALLEE].unacknowledged_successes, 0);
        assert_eq!(counters[CALLEE].unacknowledged_failures, 0);
        assert_eq!(
            counters[CALLER].responses_stray + counters[CALLER].responses_forged,
            0
        );
    }
}

//! Random messages, calls and jumps of time: nothing panics, and nothing outlives its timers.

use bytes::Bytes;
use proptest::prelude::*;
use ringfence_base::Transport;

use super::*;
use crate::RequestKind;
use crate::testing::{Bench, request, response};

/// One thing that a peer, the clock or the user does. Numbers choose among what there is.
#[derive(Clone, Debug)]
enum Act {
    Request {
        method: usize,
        branch: usize,
    },
    Response {
        client: usize,
        method: usize,
        code: usize,
        tag: usize,
    },
    Wait {
        ms: u64,
    },
    Send {
        method: usize,
    },
    Respond {
        server: usize,
        code: usize,
    },
    Acknowledge {
        server: usize,
    },
    Cancel {
        client: usize,
    },
    Ack {
        client: usize,
        tag: usize,
    },
    FailTransport,
}

fn act() -> impl Strategy<Value = Act> {
    let n = 0..1000usize;
    prop_oneof![
        (n.clone(), n.clone()).prop_map(|(method, branch)| Act::Request { method, branch }),
        (n.clone(), n.clone(), n.clone(), n.clone()).prop_map(|(client, method, code, tag)| {
            Act::Response {
                client,
                method,
                code,
                tag,
            }
        }),
        (0..20_000u64).prop_map(|ms| Act::Wait { ms }),
        n.clone().prop_map(|method| Act::Send { method }),
        (n.clone(), n.clone()).prop_map(|(server, code)| Act::Respond { server, code }),
        n.clone().prop_map(|server| Act::Acknowledge { server }),
        n.clone().prop_map(|client| Act::Cancel { client }),
        (n.clone(), n).prop_map(|(client, tag)| Act::Ack { client, tag }),
        Just(Act::FailTransport),
    ]
}

const METHODS: [&str; 5] = ["INVITE", "ACK", "CANCEL", "BYE", "OPTIONS"];
const BRANCHES: [&str; 5] = ["z9hG4bK1", "z9hG4bK2", "z9hG4bK3", "1", ""];
const CODES: [u16; 8] = [100, 180, 199, 200, 202, 302, 408, 699];
const TAGS: [&str; 3] = ["", "one", "two"];

fn pick<T: Copy>(from: &[T], number: usize) -> Option<T> {
    (!from.is_empty()).then(|| from[number % from.len()])
}

/// What the user has in its hands.
#[derive(Default)]
struct User {
    clients: Vec<ClientId>,
    servers: Vec<ServerId>,
    /// Requests that got a final response, by [`Matched::Response`].
    answered: Vec<ClientId>,
}

impl User {
    fn act(&mut self, bench: &mut Bench, act: &Act) {
        match *act {
            Act::Request { method, branch } => {
                let text = request(METHODS[method % 5], BRANCHES[branch % 5]);
                match bench.receive(text) {
                    Matched::NewRequest(id) | Matched::Cancel { cancel: id, .. } => {
                        self.servers.push(id);
                    }
                    _ => {}
                }
            }
            Act::Response {
                client,
                method,
                code,
                tag,
            } => {
                let Some(id) = pick(&self.clients, client) else {
                    return;
                };
                let code = CODES[code % 8];
                let method = ["INVITE", "CANCEL", "OPTIONS"][method % 3];
                match bench.answer(id, method, code, TAGS[tag % 3]) {
                    Matched::Response { client, .. } if code >= 200 => self.answered.push(client),
                    _ => {}
                }
            }
            Act::Wait { ms } => {
                let now = (bench.now - Instant::ZERO).as_millis() as u64;
                bench.run_to(now + ms);
            }
            Act::Send { method } => self
                .clients
                .push(bench.send(["INVITE", "OPTIONS"][method % 2])),
            Act::Respond { server, code } => {
                if let Some(id) = pick(&self.servers, server) {
                    bench.respond(id, CODES[code % 8]);
                }
            }
            Act::Acknowledge { server } => {
                if let Some(id) = pick(&self.servers, server) {
                    bench.layer.acknowledged(id);
                }
            }
            Act::Cancel { client } => {
                if let Some(id) = pick(&self.clients, client) {
                    bench.cancel(id);
                }
            }
            Act::Ack { client, tag } => {
                if let Some(id) = pick(&self.clients, client) {
                    bench.ack(id, TAGS[tag % 3]);
                }
            }
            Act::FailTransport => bench.fail_transport(),
        }
    }

    /// Does the duties that are left: a final response to each request, an end to each INVITE.
    fn finish(&self, bench: &mut Bench) {
        for &id in &self.servers {
            if !bench.layer.is_answered(id) {
                bench.respond(id, 500);
            }
        }
        for &id in &self.clients {
            bench.cancel(id);
        }
        let now = (bench.now - Instant::ZERO).as_millis() as u64;
        bench.run_to(now + 100_000);
    }
}

proptest! {
    #[test]
    fn nothing_outlives_its_timers_and_each_request_ends_once(
        acts in prop::collection::vec(act(), 0..80),
        reliable: bool,
    ) {
        let transport = if reliable { Transport::Tcp } else { Transport::Udp };
        let mut bench = Bench::new(transport, Limits::default());
        let mut user = User::default();
        for act in &acts {
            user.act(&mut bench, act);
        }
        user.finish(&mut bench);
        bench.assert_idle();
        prop_assert!(bench.layer.servers_by_key.is_empty());

        let mut ends = user.answered.clone();
        ends.extend(bench.events.iter().filter_map(|(_, event)| match *event {
            Event::ClientTimeout { client, .. } | Event::TransportFailed { client, .. } => {
                Some(client)
            }
            Event::AckTimeout { .. } | Event::FellBack { .. } => None,
        }));
        ends.sort();
        let mut clients = user.clients.clone();
        clients.sort();
        prop_assert_eq!(ends, clients);
    }

    #[test]
    fn mutated_messages_never_panic(
        method in 0..5usize,
        is_response: bool,
        changes in prop::collection::vec((0..500usize, any::<u8>()), 0..8),
    ) {
        let mut bench = Bench::udp();
        let client = bench.send("INVITE");
        let branch = bench.layer.branch(client).to_string();
        let mut text = if is_response {
            response(METHODS[method], &branch, 200, "one").into_bytes()
        } else {
            request(METHODS[method], BRANCHES[method]).into_bytes()
        };
        for (place, byte) in changes {
            let length = text.len();
            text[place % length] = byte;
        }
        let mut index = Index::default();
        if let Ok(message) = index.parse(&text) {
            let flow = bench.flow;
            bench.layer.handle_input(bench.now, &flow, &message);
        }
        bench.cancel(client);
        bench.run_to(100_000);
        prop_assert!(bench.layer.server_count() <= 1);
    }

    #[test]
    fn an_invite_that_is_not_ours_to_read_does_no_harm(
        invite: Vec<u8>,
        code in 0..8usize,
    ) {
        let mut bench = Bench::udp();
        let id = bench.layer.reserve_client().unwrap();
        let (flow, bytes) = (bench.flow, Bytes::from(invite));
        bench.layer.send_request(bench.now, id, RequestKind::Invite, flow, bytes, Owner(1));
        bench.answer(id, "INVITE", 180, "one");
        bench.cancel(id);
        bench.answer(id, "INVITE", CODES[code], "one");
        bench.run_to(100_000);
        bench.assert_idle();
    }
}

//! The edge of the world: the cores of one process, without sockets.
//!
//! Each message goes to the core that owns it, each media packet to the worker that has its port:
//! what the edge's workers do with their sockets and rings.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use ringfence_base::entropy::SeededEntropy;
use ringfence_base::time::WallAnchor;
use ringfence_base::{Entropy, Flow, Instant, WorkerIndex};
use ringfence_dialog::TimerTable;
use ringfence_media::{PortPair, SocketIndex, TAIL};
use ringfence_session::core::{Core, CoreConfig, Input};
use ringfence_session::event::Event;
use ringfence_session::owner::Ownership;
use ringfence_session::plan::Plan;
use ringfence_sip::Index;

use crate::agent::{Datagram, Side};
use crate::world::site::{edge_address, listener_of};

/// The cores of one process.
pub(crate) struct Edge {
    cores: Vec<Core>,
    ownership: Ownership,
    /// Media ports: whose they are.
    sockets: BTreeMap<SocketAddr, (usize, SocketIndex)>,
    /// By worker, then by [`SocketIndex`].
    addresses: Vec<Vec<SocketAddr>>,
    plan: Arc<Plan>,
    pub(crate) events: Vec<Event>,
    out: Vec<Datagram>,
}

/// Port pairs of each worker on each side: more than a world has calls.
const PAIRS: u16 = 6;

impl Edge {
    pub(crate) fn new(
        workers: u8,
        plan: Plan,
        anchor: WallAnchor,
        entropy: &mut SeededEntropy,
    ) -> Edge {
        let mut secret = [0; 16];
        entropy.fill(&mut secret);
        let mut edge = Edge {
            cores: Vec::new(),
            ownership: Ownership::new(secret, workers),
            sockets: BTreeMap::new(),
            addresses: Vec::new(),
            plan: Arc::new(plan),
            events: Vec::new(),
            out: Vec::new(),
        };
        for worker in 0..workers {
            let config = CoreConfig {
                worker: WorkerIndex::new(worker),
                workers,
                secret,
                anchor,
                timers: TimerTable::default(),
            };
            let chance = Box::new(SeededEntropy::new(entropy.next_u64()));
            let mut core = Core::new(config, Arc::clone(&edge.plan), chance);
            edge.bind(&mut core, worker);
            edge.cores.push(core);
        }
        edge
    }

    /// Gives a core its media ports.
    fn bind(&mut self, core: &mut Core, worker: u8) {
        let mut addresses = Vec::new();
        for side in Side::BOTH {
            let first = 30_000 + 2 * PAIRS * u16::from(worker);
            let pairs = (0..PAIRS).map(|pair| {
                let port = first + 2 * pair;
                let [rtp, rtcp] = [port, port + 1].map(|port| {
                    let address = SocketAddr::new(edge_address(side).ip(), port);
                    let socket = SocketIndex::new(addresses.len() as u32);
                    addresses.push(address);
                    self.sockets.insert(address, (usize::from(worker), socket));
                    socket
                });
                let addr = SocketAddr::new(edge_address(side).ip(), port);
                PortPair { rtp, rtcp, addr }
            });
            let pairs: Vec<PortPair> = pairs.collect();
            core.media_mut().add_ports(listener_of(side), pairs);
        }
        self.addresses.push(addresses);
    }

    pub(crate) fn handle_input(&mut self, now: Instant, datagram: &Datagram) {
        if let Some(&(worker, socket)) = self.sockets.get(&datagram.to) {
            return self.relay(now, worker, socket, datagram);
        }
        let Some(side) = Side::BOTH
            .into_iter()
            .find(|&side| edge_address(side) == datagram.to)
        else {
            return;
        };
        let flow = Flow::udp(listener_of(side), datagram.from);
        let mut index = Index::default();
        let Ok(message) = index.parse(&datagram.bytes) else {
            self.cores[0].handle_input(now, Input::Unparseable { flow });
            return self.collect();
        };
        // As the kernel does, which spreads datagrams over the workers' sockets by their addresses.
        let here = WorkerIndex::new((datagram.from.port() as usize % self.cores.len()) as u8);
        let owner = self.ownership.owner_of(&message, here).index();
        let input = Input::Message {
            flow,
            message: &message,
            tls_names: &[],
        };
        self.cores[owner].handle_input(now, input);
        self.collect();
    }

    fn relay(&mut self, now: Instant, worker: usize, socket: SocketIndex, datagram: &Datagram) {
        let len = datagram.bytes.len();
        let mut buffer = vec![0; len + TAIL];
        buffer[..len].copy_from_slice(&datagram.bytes);
        let media = self.cores[worker].media_mut();
        let forward = media.handle_packet(now, socket, datagram.from, &mut buffer, len);
        if let Some(forward) = forward {
            buffer.truncate(forward.len);
            self.out.push(Datagram {
                from: self.addresses[worker][forward.socket.index()],
                to: forward.to,
                bytes: buffer.into(),
            });
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        for core in &mut self.cores {
            if core.poll_timeout().is_some_and(|at| at <= now) {
                core.handle_timeout(now);
            }
        }
        self.collect();
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.cores.iter().filter_map(Core::poll_timeout).min()
    }

    /// What is to be sent.
    pub(crate) fn take_out(&mut self) -> Vec<Datagram> {
        std::mem::take(&mut self.out)
    }

    /// A new plan; calls in progress go on.
    pub(crate) fn reload(&mut self, now: Instant, mut plan: Plan) {
        plan.adopt_usage(&self.plan);
        self.plan = Arc::new(plan);
        let plan = Arc::clone(&self.plan);
        self.tell_all(now, Input::Plan(&plan));
    }

    pub(crate) fn drain(&mut self, now: Instant) {
        self.tell_all(now, Input::Drain);
    }

    /// An operator ends the oldest call of the first worker that has one.
    pub(crate) fn hang_up_one(&mut self, now: Instant) {
        for core in &mut self.cores {
            if let Some(id) = core.calls().into_iter().map(|call| call.id).min() {
                core.handle_input(now, Input::HangUp(id));
                break;
            }
        }
        self.collect();
    }

    pub(crate) fn cores(&self) -> &[Core] {
        &self.cores
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Free port pairs of all workers on one side, and how many there are.
    pub(crate) fn ports(&self, side: Side) -> (usize, usize) {
        let free = self
            .cores
            .iter()
            .map(|core| core.media().ports_free(listener_of(side)));
        (free.sum(), self.cores.len() * usize::from(PAIRS))
    }

    /// A media port of a side, by chance.
    pub(crate) fn some_port(&self, side: Side, entropy: &mut dyn Entropy) -> SocketAddr {
        let ports = self.cores.len() as u64 * u64::from(PAIRS) * 2;
        let port = 30_000 + entropy.below(ports) as u16;
        SocketAddr::new(edge_address(side).ip(), port)
    }

    fn tell_all(&mut self, now: Instant, input: Input<'_>) {
        for core in &mut self.cores {
            core.handle_input(now, input);
        }
        self.collect();
    }

    fn collect(&mut self) {
        for core in &mut self.cores {
            while let Some(transmit) = core.poll_transmit() {
                let side = match transmit.flow.listener == listener_of(Side::Inside) {
                    true => Side::Inside,
                    false => Side::Outside,
                };
                self.out.push(Datagram {
                    from: edge_address(side),
                    to: transmit.flow.remote,
                    bytes: transmit.bytes,
                });
            }
            while let Some(event) = core.poll_event() {
                self.events.push(event);
            }
        }
    }
}

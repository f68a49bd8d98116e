//! A carrier outside, a PBX inside, the edge under test between them.

use std::net::SocketAddrV4;
use std::time::Duration;

use ringfence_peers::edge::{CARRIER, Edge, PBX, Setup};
use ringfence_peers::net::Network;
use ringfence_peers::sipp::{self, Report, Sipp};
use ringfence_peers::tools;

/// The port from which callers call; any port of a peer's address is the peer's.
const CALLER_PORT: u16 = 5_100;

/// How long a handful of calls may take on a busy machine.
pub const A_WHILE: Duration = Duration::from_secs(60);

/// The stage of one test.
#[derive(Debug)]
pub struct Scene {
    /// The addresses of both sides.
    pub network: Network,
    /// The edge.
    pub edge: Edge,
}

/// Which side calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The carrier calls the PBX.
    Carrier,
    /// The PBX calls the carrier.
    Pbx,
}

/// Calls that run through a special scenario.
pub const FEW: u64 = 10;

impl Scene {
    /// Starts the edge for `test`, or says what of `tools` is missing.
    ///
    /// # Panics
    /// When the edge does not start.
    #[track_caller]
    pub fn open(test: &str, tools: &[&str], setup: &Setup) -> Option<Scene> {
        if !tools::need(test, tools) {
            return None;
        }
        let network = Network::claim().expect("a network of our own");
        let edge = Edge::start(&network, setup).expect("the edge starts");
        Some(Scene { network, edge })
    }

    /// Where the carrier listens.
    pub fn carrier(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.network.outside(CARRIER), self.network.sip_port())
    }

    /// Where the PBX listens.
    pub fn pbx(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.network.inside(PBX), self.network.sip_port())
    }

    /// A SIPp that calls through the edge.
    pub fn caller(&self, from: From, scenario: &str) -> Sipp {
        let (host, edge) = match from {
            From::Carrier => (*self.carrier().ip(), self.edge.outside()),
            From::Pbx => (*self.pbx().ip(), self.edge.inside()),
        };
        Sipp::caller(scenario, SocketAddrV4::new(host, CALLER_PORT), edge)
    }

    /// A SIPp that is called through the edge.
    pub fn callee(&self, from: From, scenario: &str) -> Sipp {
        let at = match from {
            From::Carrier => self.pbx(),
            From::Pbx => self.carrier(),
        };
        Sipp::callee(scenario, at)
    }

    /// Runs `calls` calls between two scenarios; what the caller and the callee counted.
    ///
    /// # Panics
    /// When SIPp cannot be run to its end.
    #[track_caller]
    pub fn calls(&self, from: From, scenarios: [&str; 2], calls: u64) -> [Report; 2] {
        let [caller, callee] = scenarios;
        let callee = self.callee(from, callee).start().expect("a callee");
        let mut caller = self.caller(from, caller);
        (caller.calls, caller.rate) = (Some(calls), 50);
        let made = caller.run(A_WHILE).expect("calls");
        [made, callee.end().expect("a count")]
    }

    /// Opens a plain scene and makes [`FEW`] calls between two scenarios, all of which must go
    /// well on both sides.
    ///
    /// # Panics
    /// When one does not.
    #[track_caller]
    pub fn check_calls(test: &str, from: From, scenarios: [&str; 2]) {
        let Some(scene) = Scene::open(test, &["sipp"], &Setup::default()) else {
            return;
        };
        let [made, taken] = scene.calls(from, scenarios, FEW);
        assert_eq!((made.succeeded, made.failed), (FEW, 0), "the caller");
        assert_eq!(taken.failed, 0, "the callee");
    }

    /// Makes `calls` plain calls, all of which must go well on both sides.
    ///
    /// # Panics
    /// When one does not.
    #[track_caller]
    pub fn calls_go_through(&self, from: From, calls: u64) {
        let [made, _] = self.calls(from, [sipp::UAC_CALL, sipp::UAS_CALL], calls);
        assert_eq!((made.succeeded, made.failed), (calls, 0), "{from:?}");
    }
}

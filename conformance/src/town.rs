//! The edge in a network namespace of its own, with everybody else in theirs.
//!
//! ```text
//!             ┌─ carrier   10.77.0.20   Kamailio, and who is called behind it
//! host ───────┼─ office    10.77.2.41   a phone that registers
//! 10.77.0.1   └─ street    10.77.3.x    strangers, who may claim to be any of the above
//! 10.77.1.x   the phone system, inside
//! ```
//!
//! The edge has nftables of its own there. The street owns the addresses of the carrier and of the
//! office as well, so that whatever is sent from there with such a source is spoofed: the answers go
//! to whom it belongs.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::Command;
use std::time::Duration;

use ringfence_peers::baresip::{self, Baresip};
use ringfence_peers::edge::{CARRIER, EDGE, Edge, PBX, Setup};
use ringfence_peers::kamailio::Kamailio;
use ringfence_peers::namespace::{Namespace, Stay};
use ringfence_peers::net::Network;
use ringfence_peers::process::Process;
use ringfence_peers::sipp::{self, Running, Sipp};
use ringfence_peers::tunnel::Tunnel;
use ringfence_peers::{edge, tools, wait};
use serde_json::Value;
use tempfile::TempDir;

use crate::scene::{A_WHILE, Scene};

/// The phone's address.
pub const PHONE: Ipv4Addr = Ipv4Addr::new(10, 77, 2, 41);

/// A number of the site.
pub const OWN_NUMBER: &str = "+13305550100";

/// A number elsewhere.
pub const FAR_NUMBER: &str = "+12165550123";

/// One request, `METHOD`, and off.
pub const FLOOD: &str = include_str!("../scenarios/uac_flood.xml");
const CARRIER_CONFIG: &str = include_str!("../kamailio-carrier.cfg");
/// Who is called behind the carrier, and who calls from there.
const CALLEE_PORT: u16 = 5_210;
const CALLER_PORT: u16 = 5_100;
/// How long one scan may take; it is ended then, and what it has found by then counts.
const SCAN: Duration = Duration::from_secs(40);
const PHONE_HZ: u32 = 440;

/// The interface of [`Town::lay_tunnel`], and who is behind it.
pub const TUNNEL: &str = "tun7";
const TUNNELLED: &str = "10.77.4.";

/// What SIPVicious calls itself here. Such a long name makes room for an answer that its guesser can
/// read: of one that was shortened to the size of its request it makes nothing.
pub const AGENT: &str = "Yealink SIP-T46S 66.86.0.15 (MAC 00:15:65:ab:cd:ef; build 2026-01-12; \
                         line 1 of 6; room 4.217; firmware signed; provisioned)";

/// The interpreter that Debian's SIPVicious is for.
const PYTHON: &str = "/usr/bin/python3";
/// Runs a program of SIPVicious under another name, as anybody does who does not want to be known by
/// it: arguments are the program, the name, and the program's own.
const RENAMED: &str = "
import importlib, sys
sys.path.insert(0, '/usr/share/sipvicious')
program, name = sys.argv[1:3]
sys.argv = [program] + sys.argv[3:]
from sipvicious.libs import svhelper
build = svhelper.makeRequest
assert 'friendly-scanner' in build.__defaults__
build.__defaults__ = tuple(name if value == 'friendly-scanner' else value
                           for value in build.__defaults__)
importlib.import_module('sipvicious.' + program).main()
";

/// Everybody, as long as a test lasts. Its thread is in the host's namespace.
#[derive(Debug)]
pub struct Town {
    /// The edge and the phone system.
    pub scene: Scene,
    /// Where the edge is.
    pub host: Namespace,
    /// Where the carrier is.
    pub carrier: Namespace,
    /// Where the phone is.
    pub office: Namespace,
    /// Where nobody is the customer's.
    pub street: Namespace,
    users: TempDir,
    _here: Stay,
}

/// The carrier: Kamailio, and whoever is called behind it.
#[derive(Debug)]
pub struct Carrier {
    _kamailio: Kamailio,
    _callee: Running,
}

impl Town {
    /// Builds it and starts the edge for `test`, with `[phones.remote]`, which has alice; or says what
    /// is missing.
    ///
    /// # Panics
    /// When the edge does not start.
    #[track_caller]
    pub fn open(test: &str, programs: &[&str], setup: &Setup) -> Option<Town> {
        if !tools::need(test, &[&["ip", "nft"], programs].concat()) {
            return None;
        }
        edge::binary().expect("a binary");
        match built() {
            Ok([host, carrier, office, street]) => {
                let _here = host.enter();
                let users = tempfile::tempdir().expect("a folder");
                let edge = started(setup, &users);
                Some(Town {
                    scene: Scene {
                        network: Network::of_a_namespace(),
                        edge,
                    },
                    host,
                    carrier,
                    office,
                    street,
                    users,
                    _here,
                })
            }
            Err(error) => {
                tools::skip(test, &format!("no namespaces: {error:#}"));
                None
            }
        }
    }

    /// The edge.
    pub fn edge(&self) -> &Edge {
        &self.scene.edge
    }

    /// A stranger's address.
    pub fn stranger(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 3, host)
    }

    /// The carrier's address.
    pub fn carrier_address(&self) -> Ipv4Addr {
        self.scene.network.outside(CARRIER)
    }

    /// Joins the street to the host by a tunnel as well, which carries bare IP packets; the stranger
    /// who is given back scans through it.
    ///
    /// # Errors
    /// When this machine has no such interfaces.
    pub fn lay_tunnel(&self) -> Result<(Tunnel, Ipv4Addr), String> {
        let stranger = Ipv4Addr::new(10, 77, 4, 66);
        let lay = || {
            let tunnel = Tunnel::lay(TUNNEL, &self.host, &self.street)?;
            self.street.own(&format!("{TUNNELLED}0/24"))?;
            self.host.route(&format!("{TUNNELLED}0/24"), TUNNEL)?;
            self.street.address(stranger, TUNNEL).map(|()| tunnel)
        };
        match lay() {
            Ok(tunnel) => Ok((tunnel, stranger)),
            Err(error) => Err(format!("{error:#}")),
        }
    }

    /// Opens the carrier.
    ///
    /// # Panics
    /// When it does not open.
    #[track_caller]
    pub fn open_carrier(&self) -> Carrier {
        let callee = SocketAddrV4::new(self.carrier_address(), CALLEE_PORT);
        let outside = self.edge().outside();
        let replace = [
            ("EDGE", outside.ip().to_string()),
            ("PORT", outside.port().to_string()),
            ("CALLEE", callee.to_string()),
        ];
        let _there = self.carrier.enter();
        let listen = self.scene.carrier();
        let kamailio = Kamailio::start(CARRIER_CONFIG, listen, &replace, &[]);
        Carrier {
            _kamailio: kamailio.expect("the carrier"),
            _callee: Sipp::callee(sipp::UAS_CALL, callee)
                .start()
                .expect("a callee behind the carrier"),
        }
    }

    /// The phone system answers whoever calls, until what is given back is dropped.
    ///
    /// # Panics
    /// When it does not start.
    #[track_caller]
    pub fn open_pbx(&self) -> Running {
        let pbx = Sipp::callee(sipp::UAS_CALL, self.scene.pbx());
        pbx.start().expect("a phone system")
    }

    /// The phone registers as alice and answers its calls; it is registered when this returns.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn open_phone(&self) -> Baresip {
        let edge = self.edge().outside();
        let setup = baresip::Setup {
            address: PHONE,
            port: 5_060,
            user: "alice".to_owned(),
            transport: "udp",
            srtp: false,
            account: Some(
                "<sip:alice@summit.example;transport=udp>;regint=60;auth_user=alice;\
                 auth_pass=wonderland"
                    .to_owned(),
            ),
            outbound: Some(format!("sip:{edge};transport=udp")),
            answers: true,
            hertz: PHONE_HZ,
            tls: None,
            lines: "",
            namespace: None,
        };
        let phone = self.office.inside(|| Baresip::start(&setup));
        let phone = phone.expect("a phone");
        wait::until_true("it is registered", A_WHILE, || {
            let listed = self.edge().ask(&["phones", "list"]);
            listed.is_ok_and(|listed| listed.to_string().contains(&PHONE.to_string()))
        })
        .unwrap_or_else(|error| panic!("{error}:\n{}", self.edge().counted()));
        phone
    }

    /// The phone calls `number`, is answered, and hangs up.
    ///
    /// # Panics
    /// When it is not answered.
    #[track_caller]
    pub fn phone_calls(&self, phone: &mut Baresip, number: &str) {
        let dialled = format!("sip:{number}@summit.example");
        phone.command("dial", &dialled).expect("dialled");
        phone
            .wait_for("CALL_ESTABLISHED", A_WHILE)
            .unwrap_or_else(|error| panic!("{number}: {error:#}\n{}", self.edge().counted()));
        phone.command("hangup", "").expect("hung up");
        phone.wait_for("CALL_CLOSED", A_WHILE).expect("closed");
    }

    /// The phone system calls `number` through the carrier, one call after the other.
    ///
    /// # Panics
    /// When one is not answered.
    #[track_caller]
    pub fn calls_go_out(&self, number: &str, calls: u64) {
        let from = SocketAddrV4::new(self.scene.network.inside(PBX), CALLER_PORT);
        let caller = Sipp::caller(sipp::UAC_CALL, from, self.edge().inside());
        self.all_well(caller, number, calls);
    }

    /// Somebody calls the site through the carrier; [`Town::open_pbx`] answers.
    ///
    /// # Panics
    /// When one is not answered.
    #[track_caller]
    pub fn calls_come_in(&self, calls: u64) {
        let from = SocketAddrV4::new(self.carrier_address(), CALLER_PORT);
        let caller = Sipp::caller(sipp::UAC_CALL, from, self.scene.carrier());
        let _there = self.carrier.enter();
        self.all_well(caller, OWN_NUMBER, calls);
    }

    #[track_caller]
    fn all_well(&self, mut caller: Sipp, number: &str, calls: u64) {
        number.clone_into(&mut caller.service);
        caller.calls = Some(calls);
        let made = caller.run(A_WHILE).expect("calls");
        let counted = || self.host.inside(|| self.edge().counted());
        let failed = (made.succeeded, made.failed) != (calls, 0);
        assert!(!failed, "{number}: {made:?}\n{}", counted());
    }

    /// Starts a scanner of SIPVicious on the street, at `source`, under the name of a telephone
    /// ([`AGENT`]).
    ///
    /// # Panics
    /// When it does not start.
    #[track_caller]
    pub fn start_scan(&self, program: &str, source: Ipv4Addr, arguments: &[&str]) -> Process {
        let edge = self.edge().outside();
        let mut command = Command::new(PYTHON);
        command.current_dir(self.users.path());
        command.args(["-c", RENAMED, program, AGENT]);
        // Not all of them heed `-b`, so the route says where they are.
        let (source, way) = (source.to_string(), edge.ip());
        let cable = if source.starts_with(TUNNELLED) {
            TUNNEL
        } else {
            "edge0"
        };
        let route = format!("ip route replace {way}/32 dev {cable} src {source}");
        self.street.run(&route).expect("a route");
        command.args(["-b", &source, "-x", &source]);
        command.args(["-p", &edge.port().to_string()]);
        command.args(arguments).arg(edge.ip().to_string());
        let started = self.street.inside(|| Process::start(program, &mut command));
        started.expect("it starts")
    }

    /// Runs such a scanner to its end, or for a while, and gives back what it printed.
    ///
    /// # Panics
    /// As [`Town::start_scan`].
    #[track_caller]
    pub fn scan(&self, program: &str, source: Ipv4Addr, arguments: &[&str]) -> String {
        let mut process = self.start_scan(program, source, arguments);
        if process.wait(SCAN).is_err() {
            process.signal(libc::SIGINT);
            let _ended = process.wait(Duration::from_secs(5));
            process.stop();
        }
        process.lines().join("\n")
    }

    /// A SIPp on the street that sends `rate` requests a second from `source`, each of a new
    /// transaction and for a new number, and heeds no answer, until it is dropped.
    ///
    /// # Panics
    /// When it does not start.
    #[track_caller]
    pub fn flood(&self, source: Ipv4Addr, port: u16, method: &str, rate: u32) -> Running {
        self.flood_of(&FLOOD.replace("METHOD", method), source, port, rate)
    }

    /// A SIPp on the street that goes through `scenario` `rate` times a second until it is dropped.
    ///
    /// # Panics
    /// When it does not start.
    #[track_caller]
    pub fn flood_of(&self, scenario: &str, source: Ipv4Addr, port: u16, rate: u32) -> Running {
        self.flood_by("u1", scenario, source, port, rate)
    }

    /// The same by a transport of SIPp's: `t1` is one TCP connection.
    ///
    /// # Panics
    /// When it does not start.
    #[track_caller]
    pub fn flood_by(
        &self,
        transport: &'static str,
        scenario: &str,
        source: Ipv4Addr,
        port: u16,
        rate: u32,
    ) -> Running {
        let from = SocketAddrV4::new(source, port);
        let mut sipp = Sipp::caller(scenario, from, self.edge().outside());
        (sipp.calls, sipp.rate, sipp.transport) = (None, rate, transport);
        let started = self.street.inside(|| sipp.start());
        started.expect("a flood")
    }

    /// All that was done about `subject`, as `ringfence incidents` says it: kinds of what was found,
    /// and what was decided.
    ///
    /// # Panics
    /// When the edge does not say.
    #[track_caller]
    pub fn said_of(&self, subject: Ipv4Addr) -> (Vec<String>, Vec<String>) {
        let said = self.edge().ask(&["incidents"]).expect("incidents");
        let all = ["open", "past"].into_iter();
        let all = all.filter_map(|part| said[part].as_array()).flatten();
        let (mut found, mut decided) = (Vec::new(), Vec::new());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for one in all.filter(|one| text(&one["subject"]).contains(&subject.to_string())) {
            match one["what"].as_str() {
                Some("incident") => found.push(text(&one["kind"])),
                Some("decided") => decided.push(text(&one["action"])),
                _ => {}
            }
        }
        (found, decided)
    }

    /// What is in force, as `ringfence blocks` says it.
    ///
    /// # Panics
    /// When the edge does not say.
    #[track_caller]
    pub fn blocks(&self) -> Vec<Value> {
        let said = self.edge().ask(&["blocks"]).expect("blocks");
        said["blocks"].as_array().cloned().unwrap_or_default()
    }

    /// Whether a set of the edge's table in the kernel has an address.
    pub fn kernel_has(&self, set: &str, address: Ipv4Addr) -> bool {
        let line = format!("nft get element inet ringfence {set} {{ {address} }}");
        self.host.run(&line).is_ok()
    }

    /// What a set of the edge's table holds.
    ///
    /// # Panics
    /// When there is no such set.
    #[track_caller]
    pub fn kernel_set(&self, set: &str) -> Vec<Value> {
        let line = format!("nft -j list set inet ringfence {set}");
        let text = self.host.ask(&line).expect("a set");
        let said: Value = serde_json::from_str(&text).expect("JSON");
        let parts = said["nftables"].as_array().cloned().unwrap_or_default();
        let elements = parts
            .iter()
            .find_map(|part| part["set"]["elem"].as_array().cloned());
        elements.unwrap_or_default()
    }
}

/// The four namespaces, joined.
fn built() -> Result<[Namespace; 4], String> {
    let all = || -> Result<[Namespace; 4], Box<dyn std::error::Error>> {
        let [host, carrier, office, street] = [
            Namespace::new()?,
            Namespace::new()?,
            Namespace::new()?,
            Namespace::new()?,
        ];
        let network = Network::of_a_namespace();
        let edge = network.outside(EDGE);
        host.address(edge, "lo")?;
        host.own("10.77.1.0/24")?;
        let carrier_address = network.outside(CARRIER);
        let places = [
            (&carrier, "carrier0", format!("{carrier_address}/32")),
            (&office, "office0", "10.77.2.0/24".to_owned()),
            (&street, "street0", "10.77.3.0/24".to_owned()),
        ];
        for (place, cable, addresses) in places {
            host.cable(cable, place, "edge0")?;
            host.route(&addresses, cable)?;
            place.own(&addresses)?;
        }
        carrier.address(carrier_address, "edge0")?;
        office.address(PHONE, "edge0")?;
        for host in [66, 67, 68, 77] {
            street.address(Ipv4Addr::new(10, 77, 3, host), "edge0")?;
        }
        // Who says that he is somebody else.
        street.own(&format!("{carrier_address}/32"))?;
        street.own(&format!("{PHONE}/32"))?;
        for place in [&carrier, &office, &street] {
            place.route(&format!("{edge}/32"), "edge0")?;
        }
        Ok([host, carrier, office, street])
    };
    all().map_err(|error| format!("{error:#}"))
}

fn started(setup: &Setup, folder: &TempDir) -> Edge {
    let users = folder.path().join("phones.csv");
    std::fs::write(&users, "alice,wonderland,+13305550107\n").expect("written");
    let mut setup = setup.clone();
    setup.tables.push_str(&format!(
        "[phones.remote]\nsite = \"summit\"\nlisten = \"outside\"\n\
         realm = \"summit.example\"\nusers = {{ file = \"{}\" }}\n",
        users.display()
    ));
    Edge::start(&Network::of_a_namespace(), &setup).expect("the edge starts")
}

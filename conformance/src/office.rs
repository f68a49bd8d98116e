//! An office with phones at the edge. It serves tests: what goes wrong is a panic.

use ringfence_peers::baresip::{self, Baresip};
use ringfence_peers::edge::{EDGE, Edge, Setup};
use ringfence_peers::linphone::{self, Linphone};
use ringfence_peers::net::Network;
use ringfence_peers::{tools, wait};
use tempfile::TempDir;

use crate::certificates::Authority;
use crate::scene::{A_WHILE, Scene};

/// What alice's phone says.
pub const ALICE_HZ: u32 = 440;
/// What bob's says.
pub const BOB_HZ: u32 = 1_000;

/// An edge with two phone users, alice and bob, whose phones register over TLS and speak SRTP.
#[derive(Debug)]
pub struct Office {
    /// The networks and the edge.
    pub scene: Scene,
    /// Who signs the certificates.
    pub authority: Authority,
    _folder: TempDir,
}

impl Office {
    /// Opens it for `test`, or says what of `programs` is missing.
    pub fn open(test: &str, programs: &[&str]) -> Option<Office> {
        if !tools::need(test, programs) {
            return None;
        }
        let authority = Authority::new();
        let network = Network::claim().expect("a network of our own");
        let folder = tempfile::tempdir().expect("a folder");
        let users = folder.path().join("phones.csv");
        std::fs::write(&users, "alice,wonderland,+13305550107\nbob,builder\n").expect("written");
        let setup = Setup {
            identity: Some(authority.identity(network.outside(EDGE).into())),
            tls12: true,
            tables: format!(
                "[phones.remote]\nsite = \"summit\"\nlisten = \"outside\"\n\
                 realm = \"summit.example\"\nusers = {{ file = \"{}\" }}\n",
                users.display()
            ),
            ..Setup::default()
        };
        let edge = Edge::start(&network, &setup).expect("the edge starts");
        Some(Office {
            scene: Scene { network, edge },
            authority,
            _folder: folder,
        })
    }

    /// A linphone that knows `authority`, not yet registered.
    pub fn linphone(&self, authority: &Authority, answers: bool) -> Linphone {
        Linphone::start(&linphone::Setup {
            address: self.scene.network.outside(41),
            port: self.scene.network.sip_port(),
            user: "alice".to_owned(),
            password: "wonderland".to_owned(),
            domain: "summit.example".to_owned(),
            proxy: self.scene.edge.outside_tls(),
            authorities: authority.pem(),
            answers,
            hertz: ALICE_HZ,
        })
        .expect("linphone starts")
    }

    /// Alice's phone, a linphone; registered.
    pub fn alice(&self, answers: bool) -> Linphone {
        let alice = self.linphone(&self.authority, answers);
        alice
            .wait_for_log(
                "moving from state [LinphoneRegistrationProgress] to [LinphoneRegistrationOk]",
                A_WHILE,
            )
            .expect("registered");
        alice
    }

    /// A baresip of `user`, which answers, with further lines of its configuration; registered.
    pub fn baresip(&self, user: &str, lines: &'static str) -> Baresip {
        let (host, password, hertz) = match user {
            "alice" => (41, "wonderland", ALICE_HZ),
            _ => (42, "builder", BOB_HZ),
        };
        let edge = self.scene.edge.outside_tls();
        let address = self.scene.network.outside(host);
        let (chain, key) = self.authority.identity(address.into());
        let phone = Baresip::start(&baresip::Setup {
            address,
            port: self.scene.network.sip_port(),
            user: user.to_owned(),
            transport: "tls",
            srtp: true,
            account: Some(format!(
                "<sip:{user}@summit.example;transport=tls>;regint=60;auth_user={user};\
                 auth_pass={password}"
            )),
            outbound: Some(format!("sip:{edge};transport=tls")),
            answers: true,
            hertz,
            tls: Some((chain + &key, self.authority.pem())),
            lines,
            namespace: None,
        });
        wait::until_true("it is registered", A_WHILE, || self.has(user)).expect("registered");
        phone.expect("baresip starts")
    }

    /// Whether a user has a phone that is registered.
    pub fn has(&self, user: &str) -> bool {
        let listed = self.scene.edge.ask(&["phones", "list"]).expect("a list");
        let phones = listed["phones"].as_array().expect("phones");
        let found = phones.iter().find(|phone| phone["user"] == user);
        let contacts = &found.expect("the user")["contacts"];
        contacts
            .as_array()
            .is_some_and(|contacts| !contacts.is_empty())
    }

    /// Waits until no call is left.
    pub fn quiet(&self) {
        wait::until_true("all calls are over", A_WHILE, || {
            let calls = self.scene.edge.ask(&["calls"]);
            calls.is_ok_and(|calls| calls["calls"].as_array().is_some_and(Vec::is_empty))
        })
        .expect("over");
    }
}

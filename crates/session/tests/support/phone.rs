//! A scripted phone that registers and answers challenges.

use std::time::Duration;

use ringfence_session::methods::Methods;
use ringfence_session::plan::*;
use ringfence_session::registrar::group::{Bounds, Digests, PhoneGroup, PhoneUser};
use ringfence_sip::Index;
use ringfence_sip::digest::{Algorithm, Answer, Ha1, strongest};

use super::{OUTSIDE, Sent, World, body_of};

pub const REALM: &str = "summit.example";
/// What real phones say of themselves; the answer to a shorter request must be shorter too.
pub const FEATURES: &str = "User-Agent: Phone 1.0 of the tests\r\nAllow: INVITE, ACK, BYE, CANCEL, \
    OPTIONS, NOTIFY, INFO, MESSAGE, UPDATE\r\nSupported: replaces, timer, 100rel, path, outbound, \
    gruu, eventlist\r\n";
pub const ALICE: &str = "198.18.0.5:40001";
pub const BOB: &str = "198.18.0.6:40002";

/// Alice (with a number of her own) and Bob register at the outside.
pub fn with_phones(plan: &mut Plan) {
    let peer = PeerId::new(plan.peers.len() as u16);
    let model = &plan.peers[0];
    plan.peers.push(Peer {
        key: "remote".into(),
        kind: PeerKind::Phones,
        site: SiteId::new(0),
        listener: OUTSIDE,
        transport: model.transport,
        host: REALM.into(),
        port: None,
        addresses: Vec::new(),
        accept: Vec::new(),
        tls_names: Vec::new(),
        media: MediaPolicy::Either,
        suites: model.suites.clone(),
        symmetric_media: true,
        pass_headers: Vec::new(),
        policy: Default::default(),
        methods: Methods::of_kind(PeerKind::Phones),
        failover: Default::default(),
        ranks: Vec::new(),
        channels: 0,
        calls_per_second: 0,
        options_interval: Duration::ZERO,
        account: None,
        usage: Default::default(),
    });
    let user = |name: &str, number: Option<&str>| PhoneUser {
        name: name.into(),
        number: number.map(str::to_owned),
        digests: Digests::new(name, REALM, password(name).as_bytes()).unwrap(),
        line: Default::default(),
    };
    let users = vec![user("alice", Some("+13305550107")), user("bob", None)];
    let bounds = Bounds {
        contacts_max: 3,
        algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
        ..Bounds::default()
    };
    plan.phones
        .push(PhoneGroup::new("remote", peer, REALM, bounds, users));
}

pub fn password(user: &str) -> String {
    format!("{user}-secret")
}

/// One phone.
pub struct Phone {
    pub from: &'static str,
    pub user: &'static str,
    pub password: String,
    pub call_id: String,
    pub contact: String,
    pub cseq: u32,
    pub branch: u32,
}

impl Phone {
    pub fn new(from: &'static str, user: &'static str) -> Phone {
        Phone {
            from,
            user,
            password: password(user),
            call_id: format!("register-{user}-{from}"),
            contact: format!("<sip:{user}@10.9.8.7:5062>"),
            cseq: 0,
            branch: 0,
        }
    }

    /// A request outside a dialog; `more` are header lines.
    pub fn request(
        &mut self,
        method: &str,
        uri: &str,
        to: &str,
        more: &str,
        body: Option<&str>,
    ) -> String {
        self.cseq += 1;
        self.branch += 1;
        format!(
            "{method} {uri} SIP/2.0\r\n\
             Via: SIP/2.0/UDP 10.9.8.7:5062;branch=z9hG4bKphone{}x{}x{};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{user}@{REALM}>;tag=phonetag{user}\r\nTo: {to}\r\n\
             Call-ID: {}\r\nCSeq: {} {method}\r\n{FEATURES}{more}{}",
            self.user,
            self.branch,
            self.call_id.len(),
            self.call_id,
            self.cseq,
            body_of(body),
            user = self.user,
        )
    }

    pub fn register(&mut self, more: &str) -> String {
        let to = format!("<sip:{}@{REALM}>", self.user);
        self.request("REGISTER", &format!("sip:{REALM}"), &to, more, None)
    }

    /// REGISTER with this phone's contact.
    pub fn register_contact(&mut self, expires: &str) -> String {
        let more = format!("Contact: {}\r\nExpires: {expires}\r\n", self.contact);
        self.register(&more)
    }

    /// The same request with credentials for `challenge`, a branch of its own and a higher CSeq.
    pub fn answer(&mut self, request: &str, challenge: &Sent, nc: u32) -> String {
        self.answer_with(request, challenge, nc, None)
    }

    pub fn answer_with(
        &mut self,
        request: &str,
        challenge: &Sent,
        nc: u32,
        algorithm: Option<Algorithm>,
    ) -> String {
        let mut index = Index::default();
        let message = index.parse(challenge.text.as_bytes()).unwrap();
        let (header, mut challenge) = strongest(&message).unwrap();
        if let Some(algorithm) = algorithm {
            challenge.algorithm = algorithm;
        }
        let realm = challenge.realm.clone();
        let ha1 = Ha1::new(
            challenge.algorithm,
            self.user.as_bytes(),
            &realm,
            self.password.as_bytes(),
        )
        .unwrap();
        let method = request.split(' ').next().unwrap();
        let uri = request.split(' ').nth(1).unwrap();
        let value = challenge
            .answer(&Answer {
                username: self.user.as_bytes(),
                ha1: &ha1,
                method: method.as_bytes(),
                uri: uri.as_bytes(),
                cnonce: b"0a4f113b",
                nc,
            })
            .unwrap();
        let value = String::from_utf8(value).unwrap();
        let old = format!("CSeq: {} {method}", self.cseq);
        self.cseq += 1;
        self.branch += 1;
        let new = format!(
            "CSeq: {} {method}\r\n{}: {value}",
            self.cseq,
            header.as_str()
        );
        let old_branch = format!("x{}x", self.branch - 1);
        let new_branch = format!("x{}x", self.branch);
        request
            .replacen(&old, &new, 1)
            .replacen(&old_branch, &new_branch, 1)
    }

    /// Credentials as a server that stores H(user:realm:) would take them.
    pub fn answer_empty(&mut self, request: &str, challenge: &Sent, user: &str) -> String {
        let nonce = challenge.text.split("nonce=\"").nth(1).unwrap();
        let nonce = nonce.split('"').next().unwrap();
        // H(user:realm:) is what an empty password hashes to; any 32 digits stand for it here,
        // since no digest of ours can be of it.
        let value = format!(
            "Digest username=\"{user}\", realm=\"{REALM}\", nonce=\"{nonce}\", \
             uri=\"sip:{REALM}\", response=\"{:032}\", algorithm=MD5",
            0
        );
        request.replacen(
            "Contact:",
            &format!("Authorization: {value}\r\nContact:"),
            1,
        )
    }

    /// Sends `request`, answers the challenge, and returns what came then.
    #[track_caller]
    pub fn send(&mut self, world: &mut World, request: &str) -> Sent {
        world.deliver(self.from, request);
        let method = request.split(' ').next().unwrap();
        let status = if method == "REGISTER" { "401" } else { "407" };
        let challenge = world.take(self.from, status);
        let again = self.answer(request, &challenge, 1);
        world.deliver(self.from, &again);
        world.sent.remove(0)
    }

    /// Registers for an hour.
    #[track_caller]
    pub fn registered(from: &'static str, user: &'static str, world: &mut World) -> Phone {
        let mut phone = Phone::new(from, user);
        let request = phone.register_contact("3600");
        let answer = phone.send(world, &request);
        assert!(answer.is("200"), "{answer:#?}");
        phone
    }
}

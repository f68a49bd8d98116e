//! The business: its edge, its carrier and its phones.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ringfence_base::entropy::SeededEntropy;
use ringfence_base::net::{ListenerId, Transport};
use ringfence_base::time::WallAnchor;
use ringfence_base::{Entropy as _, Flow, HashKey, Instant, KeyedMap, UnixTime, WorkerIndex};
use ringfence_detect::decision::{Action, Decision};
use ringfence_detect::event::{PeerRef, What};
use ringfence_detect::finding::Subject;
use ringfence_detect::ladder::Modes;
use ringfence_detect::name::Name;
use ringfence_detect::own::{Network as OwnNetwork, NeverBan, place_of};
use ringfence_detect::watch::{Limits as WatchLimits, Watch};
use ringfence_session::core::{Core, CoreConfig, Input};
use ringfence_session::methods::Methods;
use ringfence_session::plan::{
    Limits, Listener, MediaPolicy, NumberRange, Peer, PeerId, PeerKind, Plan, Site, SiteId,
    Strangers, Tenant, TenantId,
};
use ringfence_session::registrar::group::{Bounds, Digests, PhoneGroup, PhoneUser};
use ringfence_session::sighting::Measures;
use ringfence_sip::Index;
use ringfence_sip::digest::{Algorithm, Answer, Ha1, strongest};

use super::report::Tally;
use super::rules::{ByAddress, Rules};

pub(super) const REALM: &str = "summit.example";
pub(super) const CARRIER: &str = "198.51.100.20:5060";
/// The first user; there are [`USERS`] from here on.
pub(super) const FIRST_USER: u32 = 201;
pub(super) const USERS: u32 = 12;
const OUTSIDE: ListenerId = ListenerId::new(0);
/// The virtual clock begins here: zero means never to some machines.
const BEGIN: Duration = Duration::from_secs(1);
/// Messages that somebody who is slowed is heard of in a minute, as at the edge.
const SLOWED_TO: u32 = 20;
const MINUTE: Duration = Duration::from_secs(60);

pub(super) fn password(user: u32) -> String {
    format!("{user}-of-summit")
}

/// The edge of the business and its judge.
pub(super) struct House {
    core: Core,
    watch: Watch,
    key: HashKey,
    rules: Rules,
    others: ByAddress,
    now: Instant,
    slowed: KeyedMap<IpAddr, (Instant, u32)>,
    branch: u64,
}

/// What came back.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) text: String,
}

impl House {
    pub(super) fn new(rules: Rules, entropy: &mut SeededEntropy) -> House {
        let now = Instant::ZERO + BEGIN;
        let mut secret = [0; 16];
        entropy.fill(&mut secret);
        let config = CoreConfig {
            worker: WorkerIndex::new(0),
            workers: 1,
            secret,
            anchor: WallAnchor {
                instant: now,
                unix: UnixTime::from_micros(1_795_000_000_000_000),
            },
            timers: Default::default(),
        };
        let inner = Box::new(SeededEntropy::new(entropy.next_u64()));
        let mut core = Core::new(config, Arc::new(plan()), inner);
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes);
        let key = HashKey::from_bytes(bytes);
        core.watch(key);
        let mut watch = Watch::new(key, WatchLimits::default(), Modes::default());
        let carrier = OwnNetwork::new("198.51.100.0".parse().unwrap_or(IpAddr::from([0; 4])), 24);
        watch.set_peers(now, vec![(carrier, PeerRef::new(0))]);
        let names = core.plan().phone_accounts();
        watch.set_accounts(names.map(|names| names.map(|name| Name::new(key, name.as_bytes()))));
        House {
            core,
            watch,
            key,
            rules,
            others: ByAddress::new(key),
            now,
            slowed: key.map(),
            branch: 0,
        }
    }

    /// The virtual clock.
    pub(super) fn instant(&self) -> Instant {
        self.now
    }

    /// What the judge has in force.
    pub(super) fn decisions(&self) -> Vec<Decision> {
        self.watch.in_force().to_vec()
    }

    /// Whom the judge never bans.
    pub(super) fn never_ban(&self) -> NeverBan {
        self.watch.never_ban(self.now)
    }

    /// The judge's name of a user.
    pub(super) fn account(&self, user: u32) -> Name {
        Name::of_account(self.key, user.to_string().as_bytes(), REALM)
    }

    pub(super) fn now(&self) -> Duration {
        self.now.saturating_since(Instant::ZERO + BEGIN)
    }

    /// Lets time pass, timer by timer.
    pub(super) fn advance(&mut self, to: Duration, tally: &mut Tally) {
        let end = Instant::ZERO + BEGIN + to;
        loop {
            let next = [self.core.poll_timeout(), self.watch.poll_timeout()];
            let Some(at) = next.into_iter().flatten().min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            self.core.handle_timeout(self.now);
            self.watch.handle_timeout(self.now);
            self.settle(None, tally);
        }
        self.now = self.now.max(end);
    }

    /// A datagram from outside. What comes back to where it came from, if it was let in.
    pub(super) fn deliver(
        &mut self,
        from: SocketAddr,
        text: &str,
        tally: &mut Tally,
    ) -> Option<Vec<Reply>> {
        let (heard, bans) = match self.rules {
            Rules::Edge => (self.admits(from.ip()), false),
            Rules::Fail2ban => (!self.others.is_banned(self.now, from.ip()), false),
            Rules::FreePbx => self.others.freepbx(self.now, from.ip()),
            Rules::Nobody => (true, false),
            Rules::Pike => self.others.pike(self.now, from.ip()),
        };
        if bans {
            tally.banned(self.now(), from.ip());
        }
        if !heard {
            return None;
        }
        let mut index = Index::default();
        let message = index.parse(text.as_bytes()).ok()?;
        let input = Input::Message {
            flow: Flow::udp(OUTSIDE, from),
            message: &message,
            tls_names: &[],
        };
        self.core.handle_input(self.now, input);
        Some(self.settle(Some(from), tally))
    }

    /// Takes what the core says, tells the judge what it saw, and carries out what that decides.
    fn settle(&mut self, to: Option<SocketAddr>, tally: &mut Tally) -> Vec<Reply> {
        let mut answers = Vec::new();
        while let Some(transmit) = self.core.poll_transmit() {
            if Some(transmit.flow.remote) == to {
                let text = String::from_utf8_lossy(&transmit.bytes).into_owned();
                let status = text.split(' ').nth(1).and_then(|code| code.parse().ok());
                answers.push(Reply {
                    status: status.unwrap_or(0),
                    text,
                });
            }
        }
        while self.core.poll_event().is_some() {}
        while let Some(event) = self.core.poll_sighting() {
            let failed =
                matches!(event.what, What::Credentials { outcome, .. } if !outcome.is_right());
            let address = event.source.address();
            if self.rules == Rules::Fail2ban && failed && self.others.failed(self.now, address) {
                tally.banned(self.now(), address);
            }
            self.watch.handle_event(self.now, &event);
        }
        let mut decided = false;
        let now = self.now();
        while let Some(verdict) = self.watch.poll_verdict() {
            decided = true;
            if self.rules == Rules::Edge {
                tally.verdict(now, &verdict);
            }
        }
        if decided {
            self.limit();
        }
        answers
    }

    /// Tells the core what is in force against accounts.
    fn limit(&mut self) {
        let in_force = match self.rules {
            Rules::Edge => self.watch.in_force(),
            _ => &[],
        };
        let measures = Measures::of(self.key, in_force);
        self.core.set_measures(Arc::new(measures));
    }

    /// Whether something from `address` is heard: what the edge's shield does.
    fn admits(&mut self, address: IpAddr) -> bool {
        let place = place_of(address);
        let against = self.watch.in_force().iter().find(|decision| {
            decision.is_enforced()
                && decision.until() > self.now
                && matches!(decision.against(), Subject::Address(it) if place_of(*it) == place)
        });
        let Some(decision) = against else {
            return true;
        };
        if self.watch.never_ban(self.now).contains(address) {
            return true;
        }
        if decision.action() == Action::Block {
            return false;
        }
        let (since, count) = self.slowed.entry(place).or_insert((self.now, 0));
        if self.now.saturating_since(*since) >= MINUTE {
            (*since, *count) = (self.now, 0);
        }
        *count += 1;
        *count <= SLOWED_TO
    }

    /// The carrier asks whether anybody is there.
    pub(super) fn carrier_asks(&mut self, tally: &mut Tally) {
        let branch = self.branch();
        let from = address(CARRIER);
        let text = format!(
            "OPTIONS sip:203.0.113.10 SIP/2.0\r\nVia: SIP/2.0/UDP {CARRIER};branch=z9hG4bK-c{branch};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:ping@{CARRIER}>;tag=c{branch}\r\nTo: <sip:203.0.113.10>\r\n\
             Call-ID: c{branch}@{CARRIER}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        );
        let answers = self.deliver(from, &text, tally);
        let good = answers.is_some_and(|answers| answers.iter().any(|it| it.status == 200));
        tally.legitimate(good);
    }

    pub(super) fn branch(&mut self) -> u64 {
        self.branch += 1;
        self.branch
    }

    /// The request with credentials for the challenge in `answer`.
    pub(super) fn with_credentials(
        &mut self,
        request: &str,
        answer: &Reply,
        user: &str,
        password: &str,
    ) -> Option<String> {
        let mut index = Index::default();
        let message = index.parse(answer.text.as_bytes()).ok()?;
        let (header, challenge) = strongest(&message).ok()?;
        let realm = challenge.realm.clone();
        let ha1 = Ha1::new(
            challenge.algorithm,
            user.as_bytes(),
            &realm,
            password.as_bytes(),
        )
        .ok()?;
        let value = challenge.answer(&Answer {
            username: user.as_bytes(),
            ha1: &ha1,
            method: b"REGISTER",
            uri: request.split(' ').nth(1)?.as_bytes(),
            cnonce: b"0a4f113b",
            nc: 1,
        })?;
        let value = String::from_utf8(value).ok()?;
        let branch = self.branch();
        let again = request
            .replacen("branch=z9hG4bK-", &format!("branch=z9hG4bK-a{branch}"), 1)
            .replacen("CSeq: 1 ", "CSeq: 2 ", 1);
        Some(again.replacen(
            "Content-Length:",
            &format!("{}: {value}\r\nContent-Length:", header.as_str()),
            1,
        ))
    }
}

pub(super) fn address(text: &str) -> SocketAddr {
    text.parse()
        .unwrap_or_else(|_| SocketAddr::from(([0; 4], 0)))
}

/// A phone of the business. The first four share an address, and so does the one with the wrong
/// password.
pub(super) struct Phone {
    user: u32,
    at: SocketAddr,
    right: bool,
}

impl Phone {
    pub(super) fn new(index: usize) -> Phone {
        let number = index as u32;
        let right = index < super::PHONES;
        let at = match index {
            0..4 => format!("198.18.1.7:{}", 40_000 + number),
            _ if !right => "198.18.1.7:41000".to_owned(),
            _ => format!("198.18.2.{number}:5062"),
        };
        Phone {
            user: FIRST_USER + number,
            at: address(&at),
            right,
        }
    }

    /// Registers for five minutes. `counts` says whether it should succeed.
    pub(super) fn register(&mut self, house: &mut House, tally: &mut Tally, counts: bool) {
        let (branch, user, at) = (house.branch(), self.user, self.at);
        let request = format!(
            "REGISTER sip:{REALM} SIP/2.0\r\nVia: SIP/2.0/UDP 10.9.8.7:5062;branch=z9hG4bK-p{branch};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{user}@{REALM}>;tag=p{branch}\r\nTo: <sip:{user}@{REALM}>\r\n\
             Call-ID: phone-{user}\r\nCSeq: 1 REGISTER\r\nUser-Agent: Yealink SIP-T46U 108.86.0.90\r\n\
             Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, NOTIFY, INFO, MESSAGE, UPDATE, PRACK\r\n\
             Supported: replaces, timer, 100rel, path, outbound, gruu\r\n\
             Contact: <sip:{user}@10.9.8.7:5062>\r\nExpires: 300\r\nContent-Length: 0\r\n\r\n"
        )
        .replace("CSeq: 1 ", &format!("CSeq: {branch}1 "));
        let password = match self.right {
            true => password(user),
            false => "changed-last-week".to_owned(),
        };
        let good = house
            .deliver(at, &request, tally)
            .and_then(|answers| answers.into_iter().find(|it| it.status == 401))
            .and_then(|answer| {
                house.with_credentials(&request, &answer, &user.to_string(), &password)
            })
            .map(|again| again.replace(&format!("CSeq: {branch}1 "), &format!("CSeq: {branch}2 ")))
            .and_then(|again| house.deliver(at, &again, tally))
            .is_some_and(|answers| answers.iter().any(|it| it.status == 200));
        if counts {
            tally.legitimate(good);
        }
    }
}

fn plan() -> Plan {
    let at = |text: &str| Some(address(text));
    let peer = |key: &str, kind, host: &str| Peer {
        key: key.into(),
        kind,
        site: SiteId::new(0),
        listener: OUTSIDE,
        transport: Transport::Udp,
        host: host.into(),
        port: None,
        addresses: match kind {
            PeerKind::Phones => Vec::new(),
            _ => vec![address(CARRIER)],
        },
        accept: Vec::new(),
        tls_names: Vec::new(),
        media: MediaPolicy::Either,
        suites: Vec::new(),
        symmetric_media: true,
        pass_headers: Vec::new(),
        policy: Default::default(),
        methods: Methods::of_kind(kind),
        failover: Default::default(),
        ranks: Vec::new(),
        channels: 0,
        calls_per_second: 0,
        options_interval: Duration::ZERO,
        account: None,
        usage: Default::default(),
    };
    let users = (FIRST_USER..FIRST_USER + USERS).filter_map(|user| {
        let name = user.to_string();
        Some(PhoneUser {
            number: None,
            digests: Digests::new(&name, REALM, password(user).as_bytes()).ok()?,
            line: Default::default(),
            name,
        })
    });
    let bounds = Bounds {
        algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
        ..Bounds::default()
    };
    let phones = PhoneGroup::new("remote", PeerId::new(1), REALM, bounds, users.collect());
    Plan {
        stir: None,
        edge_name: "summit-edge".into(),
        listeners: vec![Listener {
            name: "outside".into(),
            udp: at("203.0.113.10:5060"),
            tcp: None,
            tls: None,
            ws: None,
            wss: None,
            ws_origins: Vec::new(),
            media: None,
            strangers: Strangers::Silence,
        }],
        tenants: vec![Tenant {
            key: "summit".into(),
            name: "Summit Motors".into(),
            country: "US".into(),
            spend: Arc::default(),
        }],
        sites: vec![Site {
            key: "summit".into(),
            tenant: TenantId::new(0),
            numbers: NumberRange::new("+13305550100", "+13305550149")
                .into_iter()
                .collect(),
            any_number: false,
            channels: 8,
            emergency: vec!["911".into()],
            policy: Default::default(),
            usage: Arc::default(),
        }],
        peers: vec![
            peer("carrier-a", PeerKind::Trunk, "198.51.100.20"),
            peer("remote", PeerKind::Phones, REALM),
        ],
        phones: vec![phones],
        limits: Limits::default(),
    }
}

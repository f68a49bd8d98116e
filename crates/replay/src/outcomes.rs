//! What requests in a capture led to, as events for the judge.
//!
//! The live edge knows what it answered and why; here it is read off the answers on the wire, by
//! whatever server they are. What a message says itself is read by [`ringfence_detect::reading`],
//! as in the live edge. A request without an answer in [`UNANSWERED`] led to nothing: so an edge
//! treats strangers.
//!
//! Nobody is charged for what a server asks its phones (whoever answers requests is one), nor for
//! credentials to a challenge that is not in the capture.

use std::collections::VecDeque;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ringfence_base::{Flow, HashKey, Instant, KeyedMap, ListenerId, Transport};
use ringfence_detect::event::{
    Asked, BindingChange, CredentialsOutcome, Event, PeerRef, Principal, Proof, Refusal, Shape,
    Source, What,
};
use ringfence_detect::name::Name;
use ringfence_detect::reading;
use ringfence_sip::digest::strongest;
use ringfence_sip::{Message, Method};

/// A request that has no answer at all by then led to nothing.
pub const UNANSWERED: Duration = Duration::from_secs(4);
/// A request is known for so long (64*T1, RFC 3261 §17).
const KNOWN: Duration = Duration::from_secs(32);
/// Requests that are known at once.
const REQUESTS_MAX: usize = 16_384;
/// Nonces, addresses, calls that are remembered, each. The oldest goes first.
const REMEMBERED_MAX: usize = 65_536;

/// Where a message was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// From.
    pub from: SocketAddr,
    /// To.
    pub to: SocketAddr,
    /// Over what.
    pub transport: Transport,
    /// Both directions of the connection were seen.
    pub established: bool,
}

#[derive(Clone, Debug)]
struct Request {
    at: Instant,
    way: Way,
    asked: Asked,
    challenged: Asked,
    credentials: Option<(Name, u64)>,
    change: Option<BindingChange>,
    in_dialog: bool,
    call: u64,
    answered: bool,
    done: bool,
}

/// Reads outcomes.
#[derive(Debug)]
pub struct Outcomes {
    key: HashKey,
    requests: KeyedMap<u64, Request>,
    soon: VecDeque<(Instant, u64)>,
    later: VecDeque<(Instant, u64)>,
    /// Nonces by hash, and to whom they were given; whether they were answered rightly.
    nonces: Recent<(u64, IpAddr), bool>,
    /// Whose requests were served.
    served: Recent<IpAddr, ()>,
    /// Who answers requests.
    servers: Recent<SocketAddr, ()>,
    /// Who sent anything.
    heard: Recent<SocketAddr, ()>,
    /// Calls that went on after their INVITE.
    lively: Recent<u64, ()>,
    /// What was asked of somebody who is never heard.
    asked_in_vain: Recent<u64, ()>,
    bindings: Recent<u64, usize>,
    peers: Vec<(ringfence_detect::own::Network, PeerRef, bool)>,
    local: Vec<IpAddr>,
    events: VecDeque<Event>,
}

impl Outcomes {
    /// `peers`: the configured trunks (`true`) and PBXs; `local`: our own addresses.
    pub fn new(
        key: HashKey,
        peers: Vec<(ringfence_detect::own::Network, PeerRef, bool)>,
        local: Vec<IpAddr>,
    ) -> Outcomes {
        Outcomes {
            key,
            requests: key.map(),
            soon: VecDeque::new(),
            later: VecDeque::new(),
            nonces: Recent::new(key),
            served: Recent::new(key),
            servers: Recent::new(key),
            heard: Recent::new(key),
            lively: Recent::new(key),
            asked_in_vain: Recent::new(key),
            bindings: Recent::new(key),
            peers,
            local,
            events: VecDeque::new(),
        }
    }

    /// The next event. Poll until `None` after each message and each timeout.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Outcomes::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = [self.soon.front(), self.later.front()];
        due.into_iter().flatten().map(|(due, _)| *due).min()
    }

    /// Judges what stayed without an answer, forgets what is old.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((due, id)) = self.soon.front().copied() {
            if due > now {
                break;
            }
            self.soon.pop_front();
            self.judge_unanswered(id);
        }
        while let Some((due, id)) = self.later.front().copied() {
            if due > now {
                break;
            }
            self.later.pop_front();
            self.requests.remove(&id);
        }
    }

    /// Takes bytes at a port of SIP of which nothing could be made.
    pub fn handle_unparseable(&mut self, now: Instant, way: Way, bytes: usize) {
        if self.local.contains(&way.from.ip()) {
            return;
        }
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let source = self.source(&way, Proof::None);
        self.say(now, source, What::Unparseable { bytes });
    }

    /// Takes a message.
    pub fn handle_message(&mut self, now: Instant, way: Way, message: &Message<'_>) {
        self.heard.note(way.from, ());
        match message.is_request() {
            true => self.on_request(now, way, message),
            false => self.on_response(now, way, message),
        }
    }

    /// Whether an address is the customer's, or was served.
    pub fn is_served(&self, address: IpAddr) -> bool {
        self.served.get(&address).is_some() || self.principal(address).is_own()
    }

    /// Whether an address is one of ours.
    pub fn is_local(&self, address: IpAddr) -> bool {
        self.local.contains(&address)
    }

    fn on_request(&mut self, now: Instant, way: Way, message: &Message<'_>) {
        let call = self
            .key
            .hash64(&(message.call_id().unwrap_or_default(), way.from.ip()));
        if matches!(
            message.method(),
            Some(Method::Ack | Method::Bye | Method::Cancel)
        ) {
            self.lively.note(call, ());
        }
        let is_own = self.is_own_request(&way);
        if !is_own && !message.defects().is_empty() {
            let (defects, shape) = (message.defects(), reading::asked(self.key, message).shape);
            let source = self.source(&way, Proof::None);
            self.say(now, source, What::Defective { defects, shape });
        }
        if matches!(message.method(), None | Some(Method::Ack)) {
            return;
        }
        let id = self.transaction(message, way.from.ip());
        if self.requests.contains_key(&id) {
            return;
        }
        if self.requests.len() >= REQUESTS_MAX
            && let Some((_, oldest)) = self.later.pop_front()
        {
            self.judge_unanswered(oldest);
            self.requests.remove(&oldest);
        }
        let register = message.method() == Some(Method::Register);
        let request = Request {
            at: now,
            way,
            asked: reading::asked(self.key, message),
            challenged: reading::challenged(self.key, message, None),
            credentials: self.credentials(message),
            change: register.then(|| reading::binding_change(self.key, message, 0, 1)),
            in_dialog: message.to().is_ok_and(|to| to.tag().is_some()),
            call,
            answered: false,
            done: false,
        };
        self.requests.insert(id, request);
        self.soon.push_back((now + UNANSWERED, id));
        self.later.push_back((now + KNOWN, id));
    }

    fn credentials(&self, message: &Message<'_>) -> Option<(Name, u64)> {
        let (username, nonce) = reading::claimed(message)?;
        Some((Name::new(self.key, username), self.key.hash64(nonce)))
    }

    fn on_response(&mut self, now: Instant, way: Way, message: &Message<'_>) {
        let Some(status) = message.status().map(|status| status.raw()) else {
            return;
        };
        let id = self.transaction(message, way.to.ip());
        let challenge = match status {
            401 | 407 => strongest(message)
                .ok()
                .map(|(_, challenge)| (self.key.hash64(&*challenge.nonce), challenge.stale)),
            _ => None,
        };
        if let Some((nonce, _)) = challenge
            && self.nonces.get(&(nonce, way.to.ip())).is_none()
        {
            self.nonces.note((nonce, way.to.ip()), false);
        }
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        // Answers to made-up requests say nothing of who answers.
        if request.way.to == way.from {
            self.servers.note(way.from, ());
        }
        request.answered = true;
        if status < 200 || request.done {
            return;
        }
        request.done = true;
        let request = request.clone();
        let contacts = message.contacts().take(64).count();
        if self.is_own_request(&request.way) {
            if (200..300).contains(&status) {
                // Whoever a server calls is somebody it knows.
                self.served.note(request.way.to.ip(), ());
            }
            return;
        }
        self.judge_answered(now, &request, status, challenge, contacts);
    }

    fn judge_answered(
        &mut self,
        now: Instant,
        request: &Request,
        status: u16,
        challenge: Option<(u64, bool)>,
        contacts: usize,
    ) {
        let (way, shape) = (&request.way, request.asked.shape);
        let address = way.from.ip();
        let known_nonce = request.credentials.and_then(|(account, nonce)| {
            let was_right = *self.nonces.get(&(nonce, address))?;
            Some((account, nonce, was_right))
        });
        match (status, request.credentials) {
            (401 | 407, None) => {
                let source = self.source(way, Proof::None);
                self.say(now, source, What::Challenged(request.challenged));
            }
            (401 | 407, Some((account, _))) => {
                let stale = challenge.is_some_and(|(_, stale)| stale);
                match known_nonce {
                    _ if stale => {
                        self.say_credentials(now, way, account, CredentialsOutcome::Stale, shape);
                    }
                    Some((account, _, false)) => {
                        self.say_credentials(now, way, account, CredentialsOutcome::Wrong, shape);
                    }
                    // The nonce was good before, or is older than the capture: asked again.
                    Some((_, _, true)) | None => {
                        let source = self.source(way, Proof::None);
                        self.say(now, source, What::Challenged(request.challenged));
                    }
                }
            }
            (403, Some((account, _))) if known_nonce.is_some() => {
                self.say_credentials(now, way, account, CredentialsOutcome::Wrong, shape);
            }
            (200..300, credentials) => {
                self.on_served(now, request, known_nonce, credentials, contacts);
            }
            (481, _) => self.refuse(now, request, Refusal::DialogUnknown),
            (400, _) => self.refuse(now, request, Refusal::Malformed),
            (403 | 404 | 405 | 410 | 484 | 485 | 501 | 604, _) => {
                self.refuse(now, request, Refusal::Stranger);
            }
            _ => {}
        }
    }

    fn on_served(
        &mut self,
        now: Instant,
        request: &Request,
        known_nonce: Option<(Name, u64, bool)>,
        credentials: Option<(Name, u64)>,
        contacts: usize,
    ) {
        let (way, shape) = (&request.way, request.asked.shape);
        let address = way.from.ip();
        let is_options = request.asked.method.as_str() == "OPTIONS";
        // A lenient server answers whoever asks; an edge would not.
        if is_options && credentials.is_none() {
            if shape.tells.count() >= 2 && !request.in_dialog {
                self.refuse(now, request, Refusal::Stranger);
            }
            return;
        }
        if !request.in_dialog {
            self.served.note(address, ());
        }
        if let Some((_, nonce, _)) = known_nonce {
            self.nonces.note((nonce, address), true);
        }
        let Some((account, _)) = credentials else {
            return;
        };
        match request.change {
            Some(change) => {
                let before = self.bindings.get(&account.hash()).copied().unwrap_or(0);
                self.bindings.note(account.hash(), contacts);
                let few = |count: usize| u8::try_from(count).unwrap_or(u8::MAX);
                let change = BindingChange {
                    before: few(before),
                    after: few(contacts),
                    contact: if contacts == 0 { 0 } else { change.contact },
                    ..change
                };
                let mut source = self.source(way, Proof::NonceEchoed);
                source.principal = phone(source.principal);
                let what = What::Registered {
                    account,
                    change,
                    shape,
                };
                self.say(now, source, what);
            }
            None => self.say_credentials(now, way, account, CredentialsOutcome::Right, shape),
        }
    }

    fn say_credentials(
        &mut self,
        now: Instant,
        way: &Way,
        account: Name,
        outcome: CredentialsOutcome,
        shape: Shape,
    ) {
        let proof = match outcome {
            CredentialsOutcome::Stale => Proof::None,
            _ => Proof::NonceEchoed,
        };
        let mut source = self.source(way, proof);
        if outcome == CredentialsOutcome::Right {
            source.principal = phone(source.principal);
        }
        let what = What::Credentials {
            account,
            outcome,
            nonce: 0,
            shape,
        };
        self.say(now, source, what);
    }

    fn refuse(&mut self, now: Instant, request: &Request, reason: Refusal) {
        let reason = match self.is_served(request.way.from.ip()) {
            // Somebody who may call dialled a number that is nobody's.
            true if reason == Refusal::Stranger => Refusal::Number,
            _ => reason,
        };
        let source = self.source(&request.way, Proof::None);
        let asked = request.asked;
        self.say(now, source, What::Refused { reason, asked });
    }

    fn judge_unanswered(&mut self, id: u64) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        if request.answered {
            return;
        }
        request.answered = true;
        let request = request.clone();
        let address = request.way.from.ip();
        if request.in_dialog
            || request.asked.method.as_str() == "CANCEL"
            || request.credentials.is_some()
            || self.is_own_request(&request.way)
            || self.is_served(address)
            || self.lively.get(&request.call).is_some()
        {
            return;
        }
        if self.heard.get(&request.way.to).is_none() {
            // Perhaps only one direction was captured: the same again says nothing then.
            let asked = (address, request.asked.target.hash(), request.asked.method);
            let asked = self.key.hash64(&asked);
            if self.asked_in_vain.get(&asked).is_some() {
                return;
            }
            self.asked_in_vain.note(asked, ());
        }
        self.refuse(request.at, &request, Refusal::Stranger);
    }

    /// Whether a request is one of a server's own: of ours, or of whoever answers others.
    fn is_own_request(&self, way: &Way) -> bool {
        self.local.contains(&way.from.ip()) || self.servers.get(&way.from).is_some()
    }

    fn transaction(&self, message: &Message<'_>, client: IpAddr) -> u64 {
        let branch = message.via().ok().and_then(|via| via.branch);
        let cseq = message.cseq().ok();
        let cseq = cseq.map(|cseq| (cseq.number, cseq.method.as_bytes().to_vec()));
        let call_id = message.call_id().unwrap_or_default();
        self.key.hash64(&(branch, call_id, cseq, client))
    }

    fn source(&self, way: &Way, proof: Proof) -> Source {
        let mut flow = Flow::udp(ListenerId::new(0), way.from);
        if way.established {
            flow.transport = way.transport;
        }
        Source::of(&flow, proof, self.principal(way.from.ip()))
    }

    fn principal(&self, address: IpAddr) -> Principal {
        let peer = self
            .peers
            .iter()
            .find(|(network, ..)| network.meets(address));
        match peer {
            Some((_, peer, true)) => Principal::Trunk(*peer),
            Some((_, peer, false)) => Principal::Pbx(*peer),
            None => Principal::Stranger,
        }
    }

    fn say(&mut self, at: Instant, source: Source, what: What) {
        self.events.push_back(Event { at, source, what });
    }
}

fn phone(principal: Principal) -> Principal {
    match principal {
        Principal::Stranger => Principal::Phone {
            group: PeerRef::new(u16::MAX),
            user: u32::MAX,
        },
        own => own,
    }
}

/// A bounded map: the oldest entry goes first.
#[derive(Debug)]
struct Recent<K, V> {
    map: KeyedMap<K, V>,
    order: VecDeque<K>,
}

impl<K: Copy + Eq + Hash, V> Recent<K, V> {
    fn new(key: HashKey) -> Recent<K, V> {
        Recent {
            map: key.map(),
            order: VecDeque::new(),
        }
    }

    fn note(&mut self, key: K, value: V) {
        if self.map.insert(key, value).is_some() {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.map.remove(&oldest);
        }
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.map.get(key)
    }
}

//! The plan: the configuration as the call path uses it.
//!
//! The configuration crate validates a file and compiles it into a [`Plan`]; the edge hands the
//! same `Arc<Plan>` to every worker. A plan never changes. What must be counted across workers
//! (channels in use, calls per second, health) lives in [`Usage`], shared by `Arc`, and survives a
//! reload through [`Plan::adopt_usage`].

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ringfence_base::net::{Flow, ListenerId, Transport};
use ringfence_rtp::srtp::Suite;

use crate::account::Account;
use crate::failover::{Failover, Rank};
use crate::methods::Methods;
use crate::policy::{PeerPolicy, SitePolicy};
use crate::registrar::group::{GroupId, PhoneGroup};
use crate::registration::{RegistrationState, registers};
use crate::spend::Guard;
use crate::usage::Usage;
use crate::verification::Verifying;

ringfence_base::define_id! {
    /// A configured peer (trunk or PBX), by its index in [`Plan::peers`].
    pub struct PeerId(u16);
}

ringfence_base::define_id! {
    /// A site, by its index in [`Plan::sites`].
    pub struct SiteId(u16);
}

ringfence_base::define_id! {
    /// A tenant, by its index in [`Plan::tenants`].
    pub struct TenantId(u16);
}

/// Everything the call path needs to know.
#[derive(Debug, Default)]
pub struct Plan {
    /// `[edge] name`.
    pub edge_name: String,
    /// Listeners; [`ListenerId`] is the index.
    pub listeners: Vec<Listener>,
    /// Tenants; [`TenantId`] is the index.
    pub tenants: Vec<Tenant>,
    /// Sites; [`SiteId`] is the index.
    pub sites: Vec<Site>,
    /// Trunks and PBXs, and one for each group of phones; [`PeerId`] is the index.
    pub peers: Vec<Peer>,
    /// Groups of phones that register here; [`GroupId`] is the index.
    pub phones: Vec<PhoneGroup>,
    /// Bounds and times.
    pub limits: Limits,
    /// Whom the callers of calls are verified by; `None`: they are not.
    pub stir: Option<Verifying>,
}

/// Where the edge listens (`[listen.NAME]`).
#[derive(Clone, Debug)]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// UDP address.
    pub udp: Option<SocketAddr>,
    /// TCP address.
    pub tcp: Option<SocketAddr>,
    /// TLS address.
    pub tls: Option<SocketAddr>,
    /// WebSocket address.
    pub ws: Option<SocketAddr>,
    /// Secure WebSocket address.
    pub wss: Option<SocketAddr>,
    /// The web pages whose scripts may open a WebSocket, as an Origin says it; empty: any.
    pub ws_origins: Vec<String>,
    /// The address in our session descriptions.
    pub media: Option<IpAddr>,
    /// What strangers get.
    pub strangers: Strangers,
}

impl Listener {
    /// The address that this listener has for `transport`.
    pub fn address(&self, transport: Transport) -> Option<SocketAddr> {
        match transport {
            Transport::Udp => self.udp,
            Transport::Tcp => self.tcp,
            Transport::Tls => self.tls,
            Transport::Ws => self.ws,
            Transport::Wss => self.wss,
        }
    }
}

/// What a source that is no configured peer gets in answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strangers {
    /// Nothing at all.
    #[default]
    Silence,
    /// One small stateless `403 Forbidden`, the same for everybody and everything.
    Forbid,
}

/// A client business.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// The key in the configuration.
    pub key: String,
    /// The name people read.
    pub name: String,
    /// ISO 3166 alpha-2 country, upper case.
    pub country: String,
    /// What its calls may cost, and what they have.
    pub spend: Arc<Guard>,
}

/// One place of a tenant, with its numbers.
#[derive(Debug)]
pub struct Site {
    /// The key in the configuration.
    pub key: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// Its numbers.
    pub numbers: Vec<NumberRange>,
    /// Pass every called number, also one that is not the site's.
    pub any_number: bool,
    /// Most calls at once; 0 is no limit.
    pub channels: u32,
    /// Numbers that pass every limit, as dialled.
    pub emergency: Vec<String>,
    /// How its numbers are written, read and presented.
    pub policy: SitePolicy,
    /// Calls now, across workers.
    pub usage: Arc<Usage>,
}

impl Site {
    /// Whether `number` (as dialled) is an emergency number here.
    pub fn is_emergency(&self, number: &str) -> bool {
        self.emergency.iter().any(|emergency| emergency == number)
    }

    /// Whether `number` is one of the site's own.
    pub fn owns(&self, number: &str) -> bool {
        self.numbers.iter().any(|range| range.contains(number))
    }
}

/// An inclusive range of E.164 numbers of equal length, as `+` and digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberRange {
    first: u64,
    last: u64,
    digits: u8,
}

impl NumberRange {
    /// A range, or `None` when an end is not `+` and 3 to 15 digits, the ends differ in length,
    /// or the last is below the first.
    pub fn new(first: &str, last: &str) -> Option<NumberRange> {
        let (first_number, digits) = Self::digits(first)?;
        let (last_number, last_digits) = Self::digits(last)?;
        (digits == last_digits && first_number <= last_number).then_some(NumberRange {
            first: first_number,
            last: last_number,
            digits,
        })
    }

    /// Whether `number` is in it. The leading `+` may be missing in `number`.
    pub fn contains(&self, number: &str) -> bool {
        let digits = number.strip_prefix('+').unwrap_or(number);
        usize::from(self.digits) == digits.len()
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && digits
                .parse()
                .is_ok_and(|n: u64| (self.first..=self.last).contains(&n))
    }

    /// The first number, in international form.
    pub fn first(&self) -> String {
        let digits = usize::from(self.digits);
        format!("+{:0digits$}", self.first)
    }

    fn digits(text: &str) -> Option<(u64, u8)> {
        let digits = text.strip_prefix('+')?;
        let ok = (3..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        ok.then(|| Some((digits.parse().ok()?, digits.len() as u8)))?
    }
}

/// A trunk or a PBX.
#[derive(Debug)]
pub struct Peer {
    /// The key in the configuration: `carrier-a`.
    pub key: String,
    /// Which of the two it is.
    pub kind: PeerKind,
    /// Its site.
    pub site: SiteId,
    /// The listener that faces it.
    pub listener: ListenerId,
    /// How it is reached.
    pub transport: Transport,
    /// The host as configured: a name or an address literal (brackets for IPv6), without port.
    pub host: String,
    /// The port as configured, if any.
    pub port: Option<u16>,
    /// Resolved addresses, in order of preference.
    pub addresses: Vec<SocketAddr>,
    /// Priority and weight of each address, from SRV records (RFC 2782); empty when the order
    /// alone counts.
    pub ranks: Vec<Rank>,
    /// Further source addresses (any port) whose messages are this peer's.
    pub accept: Vec<Network>,
    /// Over TLS, a client certificate with one of these names is demanded (empty: none).
    pub tls_names: Vec<String>,
    /// What its media must be.
    pub media: MediaPolicy,
    /// SRTP suites offered and accepted, best first.
    pub suites: Vec<Suite>,
    /// Whether media may come from another address than the one in its SDP (behind NAT).
    pub symmetric_media: bool,
    /// Further headers (lower case) that may pass from this peer to the other side.
    pub pass_headers: Vec<String>,
    /// Most calls at once; 0 is no limit.
    pub channels: u32,
    /// New calls a second; 0 is no limit.
    pub calls_per_second: u32,
    /// What it is told and believed: numbers, identity.
    pub policy: PeerPolicy,
    /// Seconds between OPTIONS towards it; zero is none.
    pub options_interval: Duration,
    /// Methods and extensions it may use.
    pub methods: Methods,
    /// Its place among the peers of its site, and when a call goes on to the next one.
    pub failover: Failover,
    /// What a carrier knows us by, if it challenges us or wants us to register.
    pub account: Option<Arc<Account>>,
    /// Calls now and health, across workers.
    pub usage: Arc<Usage>,
}

impl Peer {
    /// The Route that a request to it shall have, if it said so when we registered (RFC 3608 §5).
    pub(crate) fn service_route(&self) -> Option<String> {
        registers(self)?;
        let view = self.usage.registration()?;
        let registered = view.state == RegistrationState::Registered;
        view.service_route.clone().filter(|_| registered)
    }

    /// The way to it at `remote`, over whatever connection there is.
    pub(crate) fn flow_to(&self, remote: SocketAddr) -> Flow {
        Flow {
            listener: self.listener,
            transport: self.transport,
            remote,
            connection: None,
        }
    }
}

/// Which way a peer faces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerKind {
    /// The phone system.
    Pbx,
    /// Phones that register at the edge: no address, a flow for each contact.
    Phones,
    /// A carrier's line.
    Trunk,
}

/// What a peer's media must be (`media = "rtp" | "srtp" | "either"`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MediaPolicy {
    /// Plain or SRTP, as the peer offers; we offer SRTP over TLS and plain RTP otherwise.
    Either,
    /// Plain RTP only.
    #[default]
    Rtp,
    /// SRTP with SDES keys only; anything else is refused with 488.
    Srtp,
}

/// An address block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// A block; `None` if the prefix is longer than the address.
    pub const fn new(address: IpAddr, prefix: u8) -> Option<Network> {
        let most = if address.is_ipv4() { 32 } else { 128 };
        if prefix > most {
            None
        } else {
            Some(Network { address, prefix })
        }
    }

    /// An address in it, and how many of its bits all share.
    pub const fn parts(&self) -> (IpAddr, u8) {
        (self.address, self.prefix)
    }

    /// The one address in it, if it is that small.
    pub const fn single_host(&self) -> Option<IpAddr> {
        match (self.address, self.prefix) {
            (IpAddr::V4(_), 32) | (IpAddr::V6(_), 128) => Some(self.address),
            _ => None,
        }
    }

    /// Whether `address` is inside. IPv4-mapped IPv6 addresses count as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                let mask = u32::MAX
                    .checked_shl(32 - u32::from(self.prefix))
                    .unwrap_or(0);
                net.to_bits() & mask == ip.to_bits() & mask
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(self.prefix))
                    .unwrap_or(0);
                net.to_bits() & mask == ip.to_bits() & mask
            }
            _ => false,
        }
    }
}

/// Bounds and times of the call path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most calls at once in one worker.
    pub calls_max: usize,
    /// How long a call may ring before it is cancelled.
    pub ring_timeout: Duration,
    /// How long an answered call may be silent (no media from either side) before it is ended;
    /// zero is never. Calls on hold are not silent.
    pub silence_timeout: Duration,
    /// Longest call; zero is no limit.
    pub call_duration_max: Duration,
    /// How long a drain lets calls go on before it says goodbye for them.
    pub drain_timeout: Duration,
    /// Bytes kept, per worker, of past signalling for `calls trace`.
    pub trace_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            calls_max: 20_000,
            ring_timeout: Duration::from_secs(180),
            silence_timeout: Duration::from_secs(120),
            call_duration_max: Duration::from_secs(12 * 3600),
            drain_timeout: Duration::from_secs(60),
            trace_bytes: 8 << 20,
        }
    }
}

impl Plan {
    /// The listener `id`. Ids come from this plan, so a missing one is a programmer's error: the
    /// caller gets `None` and counts it.
    pub fn listener(&self, id: ListenerId) -> Option<&Listener> {
        self.listeners.get(id.index())
    }

    /// The peer `id`.
    pub fn peer(&self, id: PeerId) -> Option<&Peer> {
        self.peers.get(id.index())
    }

    /// The site `id`.
    pub fn site(&self, id: SiteId) -> Option<&Site> {
        self.sites.get(id.index())
    }

    /// The groups of phones that register at `listener`.
    pub fn phones_at(&self, listener: ListenerId) -> impl Iterator<Item = (GroupId, &PhoneGroup)> {
        let groups = self.phones.iter().enumerate();
        let numbered = groups.map(|(index, group)| (GroupId::new(index as u16), group));
        numbered.filter(move |(_, group)| {
            let peer = self.peer(group.peer);
            peer.is_some_and(|peer| peer.listener == listener)
        })
    }

    /// The group of phones `id`.
    pub fn phone_group(&self, id: GroupId) -> Option<&PhoneGroup> {
        self.phones.get(id.index())
    }

    /// What phones may call themselves: the names and numbers of all their users. `None` if there
    /// are no phones.
    pub fn phone_accounts(&self) -> Option<impl Iterator<Item = String>> {
        let users = self
            .phones
            .iter()
            .flat_map(|group| group.users().iter().map(move |user| (user, &group.realm)));
        let names = users.flat_map(|(user, realm)| {
            let number = user.number.as_deref();
            let short = number.and_then(|number| number.strip_prefix('+'));
            let names = [Some(user.name.as_str()), number, short];
            names.map(|name| name.map(|name| format!("{name}@{realm}")))
        });
        (!self.phones.is_empty()).then(|| names.flatten())
    }

    /// The tenant of `site`.
    pub fn tenant_of(&self, site: &Site) -> Option<&Tenant> {
        self.tenants.get(site.tenant.index())
    }

    /// The peers of `kind` at `site`, in configuration order.
    pub fn peers_of_site(
        &self,
        site: SiteId,
        kind: PeerKind,
    ) -> impl Iterator<Item = (PeerId, &Peer)> {
        self.peers
            .iter()
            .enumerate()
            .filter(move |(_, peer)| peer.site == site && peer.kind == kind)
            .map(|(index, peer)| (PeerId::new(index as u16), peer))
    }

    /// Whether `peer` is one of several of its kind at its site.
    pub fn has_mate(&self, peer: &Peer) -> bool {
        self.peers_of_site(peer.site, peer.kind).nth(1).is_some()
    }

    /// Takes over the counters of `old` for peers and sites of the same key, and the registrations
    /// of phone users, so that a reload forgets neither calls in progress nor health nor phones.
    pub fn adopt_usage(&mut self, old: &Plan) {
        if let (Some(stir), Some(before)) = (&mut self.stir, &old.stir) {
            stir.adopt(before);
        }
        for tenant in &mut self.tenants {
            let same = |before: &&Tenant| before.key == tenant.key;
            let before = old.tenants.iter().find(same);
            if let (Some(before), Some(guard)) = (before, Arc::get_mut(&mut tenant.spend)) {
                guard.adopt(&before.spend);
            }
        }
        for site in &mut self.sites {
            if let Some(before) = old.sites.iter().find(|before| before.key == site.key) {
                site.usage = Arc::clone(&before.usage);
            }
        }
        for peer in &mut self.peers {
            let same = |before: &&Peer| before.key == peer.key && before.kind == peer.kind;
            if let Some(before) = old.peers.iter().find(same) {
                peer.usage = Arc::clone(&before.usage);
            }
        }
        for group in &mut self.phones {
            if let Some(before) = old.phones.iter().find(|before| before.key == group.key) {
                group.adopt_lines(before);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_its_ends_and_nothing_of_another_length() {
        let range = NumberRange::new("+13305550100", "+13305550149").unwrap();
        assert!(range.contains("+13305550100") && range.contains("13305550149"));
        assert!(!range.contains("+13305550150") && !range.contains("+3305550100"));
        assert!(!range.contains("+1330555010x") && !range.contains(""));
    }

    #[test]
    fn a_range_needs_a_plus_equal_lengths_and_order() {
        assert_eq!(NumberRange::new("13305550100", "+13305550149"), None);
        assert_eq!(NumberRange::new("+133055501", "+13305550149"), None);
        assert_eq!(NumberRange::new("+13305550149", "+13305550100"), None);
    }

    #[test]
    fn a_network_of_prefix_zero_holds_its_family_only() {
        let all = Network::new("0.0.0.0".parse().unwrap(), 0).unwrap();
        assert!(all.contains("203.0.113.9".parse().unwrap()));
        assert!(all.contains("::ffff:203.0.113.9".parse().unwrap()));
        assert!(!all.contains("2001:db8::1".parse().unwrap()));
        assert!(Network::new("10.0.0.0".parse().unwrap(), 33).is_none());
    }
}

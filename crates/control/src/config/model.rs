//! The validated configuration. What is here has no invalid state: references name tables that
//! exist, ranges hold ports, files were readable when it was loaded.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ringfence_base::Secret;
use ringfence_base::net::Transport;
use ringfence_detect::feed::{AddressList, NumberList};
use ringfence_detect::fraud::policy::Policy;
use ringfence_detect::ladder::Modes;
use ringfence_detect::scenario::Scenario;
use ringfence_media::voice::{Language, Prompts};
use ringfence_rtp::srtp::Suite;
use ringfence_session::account::Registering;
use ringfence_session::failover::Failover;
use ringfence_session::line_guard::LinesPolicy;
use ringfence_session::methods::Methods;
use ringfence_session::numbering::{DialPattern, E164};
use ringfence_session::plan::{Limits, MediaPolicy, Network, NumberRange, PeerKind, Strangers};
use ringfence_session::policy::PeerPolicy;
use ringfence_session::registrar::group::{Bounds, Digests};
use ringfence_session::screening::VoicePolicy;
use ringfence_stir::Trust;

use crate::feed;

/// A whole configuration file. Lists are in the file's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The file it was read from.
    pub file: PathBuf,
    /// `[edge]`.
    pub edge: Edge,
    /// `[limits]`, with `drain_timeout` and `trace_memory` of `[edge]`.
    pub limits: Limits,
    /// Whether anything is judged (`detect.mode` is not `off`).
    pub detects: bool,
    /// `[detect]`: which kinds of finding are enforced.
    pub detect: Modes,
    /// `detect.firewall`: who drops what blocked sources send.
    pub firewall: FirewallUse,
    /// `detect.keep_events` and `detect.keep_events_bytes`: how many events are kept; none is off.
    pub events: Option<KeptEvents>,
    /// The built-in scenarios, and those of `detect.scenarios`.
    pub scenarios: Vec<Scenario>,
    /// `[[detect.feed]]`.
    pub feeds: Vec<FeedFile>,
    /// `[listen.NAME]`.
    pub listeners: Vec<Listen>,
    /// `[tenant.NAME]`.
    pub tenants: Vec<Tenant>,
    /// `[site.NAME]`.
    pub sites: Vec<Site>,
    /// `[trunk.NAME]`, then `[pbx.NAME]`.
    pub peers: Vec<Peer>,
    /// `[phones.NAME]`.
    pub phones: Vec<Phones>,
    /// `[stir]`.
    pub stir: Option<Stir>,
}

/// A list of addresses that others saw attack (`[[detect.feed]]`).
#[derive(Clone, Debug, PartialEq)]
pub struct FeedFile {
    /// What the user calls it.
    pub name: String,
    /// Where it is read from.
    pub file: PathBuf,
    /// What it is of.
    pub kind: feed::Kind,
    /// What it says; `None` where it could not be read.
    pub list: Option<feed::List>,
}

/// Whom the callers of calls are verified by (`[stir]`).
#[derive(Clone, Debug, PartialEq)]
pub struct Stir {
    /// The authorities, and where certificates may be fetched from.
    pub trust: Arc<Trust>,
    /// The file of the authorities.
    pub anchors: PathBuf,
    /// The authorities of the servers that certificates are fetched from; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// Networks that are not public and have such servers.
    pub fetch_from: Vec<Accepted>,
}

/// How many events of detection are kept for `ringfence replay --last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptEvents {
    /// How long.
    pub age: Duration,
    /// Bytes of all of them.
    pub bytes: u64,
}

impl Default for KeptEvents {
    /// A week, in 1 GiB.
    fn default() -> KeptEvents {
        KeptEvents {
            age: Duration::from_secs(7 * 86_400),
            bytes: 1 << 30,
        }
    }
}

impl Config {
    /// The lists of addresses of `[[detect.feed]]` that could be read.
    pub fn lists(&self) -> Vec<Arc<AddressList>> {
        let lists = self.feeds.iter().filter_map(|feed| feed.list.as_ref());
        lists.filter_map(feed::List::addresses).cloned().collect()
    }

    /// Likewise those of numbers.
    pub fn number_lists(&self) -> Vec<Arc<NumberList>> {
        let lists = self.feeds.iter().filter_map(|feed| feed.list.as_ref());
        lists.filter_map(feed::List::numbers).cloned().collect()
    }

    /// The listener `name`.
    pub fn listener(&self, name: &str) -> Option<&Listen> {
        self.listeners.iter().find(|listener| listener.name == name)
    }

    /// The tenant `name`.
    pub fn tenant(&self, name: &str) -> Option<&Tenant> {
        self.tenants.iter().find(|tenant| tenant.name == name)
    }

    /// The site `name`.
    pub fn site(&self, name: &str) -> Option<&Site> {
        self.sites.iter().find(|site| site.name == name)
    }

    /// The peer `name` of `kind`.
    pub fn peer(&self, kind: PeerKind, name: &str) -> Option<&Peer> {
        self.peers
            .iter()
            .find(|peer| peer.kind == kind && peer.name == name)
    }
}

/// The process (`[edge]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Its name, in logs and on screens.
    pub name: String,
    /// The folder of the database and the control socket.
    pub data: PathBuf,
    /// Where metrics are served, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// The socket of the control API.
    pub control: PathBuf,
    /// Name servers for the peers' names; empty is the system's.
    pub dns: Vec<SocketAddr>,
    /// Whether established media may be relayed inside the kernel.
    pub kernel_media: KernelMedia,
    /// Worker threads; `None` is one for each core.
    pub workers: Option<u8>,
    /// What is logged, as a filter: `info`, `warn,ringfence_edge=debug`.
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Where copies of signalling go (`[edge.hep]`), if anywhere.
    pub hep: Option<Hep>,
    /// Where traces of calls go by OTLP over HTTP, if anywhere.
    pub traces: Option<SocketAddr>,
}

/// Who drops what blocked sources send (`detect.firewall`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FirewallUse {
    /// nftables where the host allows it, else this process.
    #[default]
    Auto,
    /// nftables; where the host does not allow it this is warned of, and this process does.
    Nftables,
    /// This process.
    Off,
}

impl FirewallUse {
    /// As it is written in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            FirewallUse::Auto => "auto",
            FirewallUse::Nftables => "nftables",
            FirewallUse::Off => "off",
        }
    }
}

/// Where established plain RTP is relayed (`edge.kernel_media`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KernelMedia {
    /// In the kernel where the host allows it, else in this process.
    #[default]
    Auto,
    /// In this process.
    Off,
}

impl KernelMedia {
    /// As it is written in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            KernelMedia::Auto => "auto",
            KernelMedia::Off => "off",
        }
    }
}

/// A collector of signalling by HEP 3 (`[edge.hep]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hep {
    /// Its address; UDP.
    pub collector: SocketAddr,
    /// The number of this edge at the collector.
    pub id: u32,
    /// The password that the collector asks for.
    pub password: Option<SecretSource>,
}

impl Edge {
    /// The database of records.
    pub fn database(&self) -> PathBuf {
        self.data.join("records.sqlite3")
    }

    /// The file with certificate chain and key that ACME keeps for a listener.
    pub fn acme_identity(&self, listen: &str) -> PathBuf {
        self.data.join("acme").join(listen).join("identity.pem")
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    #[default]
    Text,
}

impl LogFormat {
    /// `json` or `text`.
    pub const fn as_str(self) -> &'static str {
        match self {
            LogFormat::Json => "json",
            LogFormat::Text => "text",
        }
    }
}

/// Certificates by ACME, RFC 8555 (`acme` of a listener).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// The URL of the authority's directory.
    pub directory: String,
    /// Whom it may write to, as `mailto:` URLs.
    pub contact: Vec<String>,
    /// The names that the certificate is for.
    pub domains: Vec<String>,
    /// Where its http-01 challenges arrive.
    pub http: SocketAddr,
    /// Authorities that its own certificate is checked by; `None` is the system's.
    pub ca: Option<PathBuf>,
}

/// A listener (`[listen.NAME]`).
#[derive(Clone, Debug, PartialEq)]
pub struct Listen {
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
    /// The Origins that may open a WebSocket; empty: any.
    pub ws_origins: Vec<String>,
    /// The certificate chain shown over TLS, as PEM; present when `tls` is.
    pub certificate: Option<PathBuf>,
    /// Its private key, as PEM; present when `tls` is.
    pub key: Option<SecretSource>,
    /// Where they come from by themselves, if they do. Both files are then one of
    /// [`Edge::acme_identity`], which is not there before the first order.
    pub acme: Option<Acme>,
    /// The authorities that sign the clients' certificates; with it, clients must show one.
    pub client_ca: Option<PathBuf>,
    /// Whether TLS 1.2 is spoken too.
    pub tls12: bool,
    /// Address and ports for media; present when a peer uses the listener.
    pub media: Option<MediaRange>,
    /// What a source that is no peer gets.
    pub strangers: Strangers,
}

impl Listen {
    /// The address for `transport`.
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

/// Media ports: pairs of an even port for RTP and the next one for RTCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaRange {
    /// The address.
    pub address: IpAddr,
    /// The first port; even.
    pub first: u16,
    /// The last port; at least the first plus one.
    pub last: u16,
}

impl MediaRange {
    /// The RTP addresses; RTCP is one port above each.
    pub fn pairs(self) -> impl Iterator<Item = SocketAddr> {
        let last = self.last;
        (self.first..last)
            .step_by(2)
            .map(move |port| SocketAddr::new(self.address, port))
    }

    /// Whether the range and `other` share a port of one address.
    pub fn overlaps(self, other: MediaRange) -> bool {
        self.address == other.address && self.first <= other.last && other.first <= self.last
    }
}

impl fmt::Display for MediaRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}-{}",
            SocketAddr::new(self.address, self.first),
            self.last
        )
    }
}

/// A client business (`[tenant.NAME]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// The key in the file.
    pub name: String,
    /// The name people read (`name = "…"`).
    pub display_name: String,
    /// ISO 3166 alpha-2 country.
    pub country: String,
    /// What dear calls are let out (`[tenant.NAME.fraud]`).
    pub fraud: Fraud,
}

/// What dear calls of a tenant are let out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fraud {
    /// The policy, but for the size of the tenant, which its sites say.
    pub policy: Policy,
    /// Where the PIN is that lets a call through.
    pub pin: Option<SecretSource>,
    /// Whether it is asked for by voice, where there is one.
    pub pin_by_voice: bool,
    /// The file of destinations, if there is one.
    pub destinations: Option<PathBuf>,
}

/// A place of a tenant (`[site.NAME]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The key in the file.
    pub name: String,
    /// The tenant's key.
    pub tenant: String,
    /// Its numbers.
    pub numbers: Vec<Numbers>,
    /// Pass every called number.
    pub any_number: bool,
    /// Most calls at once; 0 is no limit.
    pub channels: u32,
    /// Numbers that pass every limit, as dialled.
    pub emergency: Vec<String>,
    /// The number that stands in the place of one that may not be presented, if it was given.
    pub main_number: Option<E164>,
    /// `[[site.NAME.dial]]`, in order.
    pub dial: Vec<Dialling>,
    /// `tdos`, `reserve_known` and `utc_offset`.
    pub lines: LinesPolicy,
    /// `[site.NAME.screening]`.
    pub screening: Screening,
}

/// How strangers are asked by voice (`[site.NAME.screening]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Screening {
    /// Whether they are.
    pub voice: bool,
    /// The language; `None` is the one of the tenant's country.
    pub language: Option<Language>,
    /// How many digits are asked for while nobody guesses.
    pub digits: u8,
    /// How long it may take; `None` is as long as is usual.
    pub time: Option<Duration>,
    /// Where files are that take the place of prompts.
    pub folder: Option<PathBuf>,
    /// Those files, by the prompt's name.
    pub prompts: Vec<(&'static str, Vec<u8>)>,
}

impl Default for Screening {
    fn default() -> Screening {
        Screening {
            voice: true,
            language: None,
            digits: ringfence_session::screening::DIGITS,
            time: None,
            folder: None,
            prompts: Vec::new(),
        }
    }
}

impl Screening {
    /// What a site in a country does.
    pub fn policy(&self, country: &str) -> Option<VoicePolicy> {
        self.voice.then(|| self.spoken(country))
    }

    /// What is said at a site in a country, whoever is asked.
    pub fn spoken(&self, country: &str) -> VoicePolicy {
        let mut voice = VoicePolicy::of_country(country);
        if let Some(language) = self.language {
            voice.prompts = Prompts::shipped(language);
        }
        for (name, file) in &self.prompts {
            // They were read when the file was checked.
            let _ = voice.prompts.replace(name, file);
        }
        voice.digits = self.digits;
        voice.time = self.time.unwrap_or(voice.time);
        voice
    }
}

impl Site {
    /// The number that stands in the place of one that may not be presented: the given one, else
    /// the first of the site's.
    pub fn presented_number(&self) -> Option<E164> {
        let first = || E164::new(&self.numbers.first()?.first.to_string());
        self.main_number.or_else(first)
    }
}

/// A dial-plan rule (`[[site.NAME.dial]]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialling {
    /// What is dialled.
    pub pattern: DialPattern,
    /// What it means.
    pub to: DialTo,
}

/// What a dial-plan rule makes of a dialled number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialTo {
    /// Another number.
    Number {
        /// Characters taken from the front.
        strip: usize,
        /// What is put in front then.
        prepend: String,
        /// The trunk that the call must take.
        trunk: Option<String>,
    },
    /// A refusal.
    Refuse,
}

impl fmt::Display for Dialling {
    /// `9. strip 1 prepend +1 trunk carrier-a`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.pattern)?;
        match &self.to {
            DialTo::Refuse => f.write_str(" refuse"),
            DialTo::Number {
                strip,
                prepend,
                trunk,
            } => {
                if *strip > 0 {
                    write!(f, " strip {strip}")?;
                }
                if !prepend.is_empty() {
                    write!(f, " prepend {prepend}")?;
                }
                trunk
                    .iter()
                    .try_for_each(|trunk| write!(f, " trunk {trunk}"))
            }
        }
    }
}

/// A number or an inclusive range of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) digits: usize,
    range: NumberRange,
}

impl Numbers {
    /// A range of two numbers in international form, both included.
    pub fn new(first: &str, last: &str) -> Option<Numbers> {
        let range = NumberRange::new(first, last)?;
        let number = |text: &str| text.strip_prefix('+')?.parse().ok();
        Some(Numbers {
            first: number(first)?,
            last: number(last)?,
            digits: first.len().saturating_sub(1),
            range,
        })
    }

    /// As the call path has it.
    pub fn range(self) -> NumberRange {
        self.range
    }

    /// How many numbers it holds.
    pub fn count(self) -> u64 {
        self.last - self.first + 1
    }
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.digits;
        write!(f, "+{:0digits$}", self.first)?;
        if self.first != self.last {
            write!(f, "-+{:0digits$}", self.last)?;
        }
        Ok(())
    }
}

/// A trunk (`[trunk.NAME]`) or a PBX (`[pbx.NAME]`).
#[derive(Clone, Debug, PartialEq)]
pub struct Peer {
    /// The key in the file.
    pub name: String,
    /// Which of the two.
    pub kind: PeerKind,
    /// The site's key.
    pub site: String,
    /// The listener's name.
    pub listen: String,
    /// The profile that its keys come from where the file has none.
    pub profile: Option<String>,
    /// Where it is (`peer = "…"`).
    pub uri: PeerUri,
    /// Further source addresses.
    pub accept: Vec<Accepted>,
    /// What its media must be.
    pub media: MediaPolicy,
    /// SRTP suites, best first; never empty.
    pub crypto: Vec<Suite>,
    /// Whether its media may come from another address than its SDP says.
    pub symmetric_media: bool,
    /// Further headers that may pass from it to the other side, in lower case.
    pub pass_headers: Vec<String>,
    /// Most calls at once; 0 is no limit.
    pub channels: u32,
    /// New calls a second; 0 is no limit.
    pub calls_per_second: u32,
    /// Time between OPTIONS towards it; zero is none.
    pub options_interval: Duration,
    /// What it is told and believed: numbers, identity.
    pub policy: PeerPolicy,
    /// Methods and extensions it may use.
    pub methods: Methods,
    /// Its place among the peers of its site, and when a call goes on to the next one.
    pub failover: Failover,
    /// What it knows us by.
    pub account: Option<Account>,
    /// TLS towards and from it.
    pub tls: PeerTls,
}

/// What a carrier knows us by (`register = { … }`, `credentials = { … }`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user name in our credentials.
    pub username: String,
    /// Where the password is.
    pub password: SecretSource,
    /// The only realm that is answered.
    pub realm: Option<String>,
    /// How we register, if we do.
    pub registration: Option<Registering>,
}

impl Peer {
    /// `trunk.carrier-a` or `pbx.main`.
    pub fn key(&self) -> String {
        format!("{}.{}", kind_name(self.kind), self.name)
    }
}

/// Phones that register at the edge (`[phones.NAME]`).
#[derive(Clone, Debug, PartialEq)]
pub struct Phones {
    /// The key in the file.
    pub name: String,
    /// The site's key.
    pub site: String,
    /// The listener's name.
    pub listen: String,
    /// The digest realm, and the domain of the phones' addresses.
    pub realm: String,
    /// The file of users, if there is one; more may be in the vault.
    pub users_file: Option<PathBuf>,
    /// The users of both, in order of their names.
    pub users: Vec<PhoneUser>,
    /// Lifetimes and number of contacts.
    pub bounds: Bounds,
    /// What their media must be.
    pub media: MediaPolicy,
    /// SRTP suites, best first; never empty.
    pub crypto: Vec<Suite>,
    /// Most calls at once of all of them; 0 is no limit.
    pub channels: u32,
    /// Methods and extensions that they may use.
    pub methods: Methods,
}

/// A user of `[phones.NAME]`. Its secret is known by digests only.
#[derive(Clone, Debug)]
pub struct PhoneUser {
    /// Its name.
    pub name: String,
    /// Its number, if it has one.
    pub number: Option<String>,
    /// What its password is checked by.
    pub digests: Digests,
}

impl PartialEq for PhoneUser {
    fn eq(&self, other: &PhoneUser) -> bool {
        let (ours, theirs) = (&self.digests, &other.digests);
        self.name == other.name
            && self.number == other.number
            && ours.md5.expose_hex() == theirs.md5.expose_hex()
            && ours.sha256.expose_hex() == theirs.sha256.expose_hex()
    }
}

/// `trunk`, `pbx` or `phones`.
pub(crate) const fn kind_name(kind: PeerKind) -> &'static str {
    match kind {
        PeerKind::Pbx => "pbx",
        PeerKind::Phones => "phones",
        PeerKind::Trunk => "trunk",
    }
}

/// What TLS demands of a peer, and shows to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerTls {
    /// The authorities that sign its certificate; `None` is the system's.
    pub ca: Option<PathBuf>,
    /// The name its certificate must be for when we connect; `None` is the host of its URI.
    pub server_name: Option<String>,
    /// When it connects to us: the names of which its client certificate must have one.
    pub names: Vec<String>,
    /// Whether TLS 1.2 is spoken when we connect.
    pub tls12: bool,
    /// The client certificate that we show, as PEM, with its key.
    pub certificate: Option<PathBuf>,
    /// The client certificate's key, as PEM; present when the certificate is.
    pub key: Option<SecretSource>,
}

/// Where a peer is: `sip:host[:port][;transport=…]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerUri {
    /// A host name or an address; IPv6 in brackets.
    pub host: String,
    /// The port, if it was given.
    pub port: Option<u16>,
    /// The transport; UDP when not given.
    pub transport: Transport,
    /// Whether the URI names the transport; else NAPTR may choose another one.
    pub transport_given: bool,
}

impl PeerUri {
    /// The host as an address, if it is one.
    pub fn address(&self) -> Option<IpAddr> {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        bare.parse().ok()
    }

    /// The port, or the transport's default.
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(self.transport.default_port())
    }
}

impl fmt::Display for PeerUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sip:{}", self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        if self.transport_given || self.transport != Transport::Udp {
            write!(f, ";transport={}", self.transport)?;
        }
        Ok(())
    }
}

/// An address block of `accept`, in the form that can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its first address.
    pub(super) address: IpAddr,
    /// How many bits are fixed.
    pub(super) prefix: u8,
    network: Network,
}

impl Accepted {
    /// A block; `None` if the prefix is longer than the address.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Accepted> {
        Some(Accepted {
            address,
            prefix,
            network: Network::new(address, prefix)?,
        })
    }

    /// As the call path has it.
    pub fn network(self) -> Network {
        self.network
    }
}

impl fmt::Display for Accepted {
    /// `198.51.100.0/24`; one host without a prefix.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        let longest = if self.address.is_ipv4() { 32 } else { 128 };
        if self.prefix < longest {
            write!(f, "/{}", self.prefix)
        } else {
            Ok(())
        }
    }
}

/// Where a secret is. The secret itself is never in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable holds it.
    Env(String),
    /// A file holds it.
    File(PathBuf),
}

impl SecretSource {
    /// Reads the secret.
    pub fn read(&self) -> Result<Secret, SecretError> {
        match self {
            SecretSource::Env(name) => match std::env::var_os(name) {
                Some(value) => Ok(Secret::new(value.into_encoded_bytes())),
                None => Err(SecretError::NotSet { name: name.clone() }),
            },
            SecretSource::File(path) => {
                std::fs::read(path)
                    .map(Secret::new)
                    .map_err(|source| SecretError::Unreadable {
                        path: path.clone(),
                        source,
                    })
            }
        }
    }

    /// Reads a secret of one line, such as a password: without the line end that editors leave.
    pub fn read_line(&self) -> Result<Secret, SecretError> {
        let secret = self.read()?;
        Ok(Secret::new(secret.expose().trim_ascii_end().to_vec()))
    }

    /// The file, if it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            SecretSource::Env(_) => None,
            SecretSource::File(path) => Some(path),
        }
    }
}

impl fmt::Display for SecretSource {
    /// Where it is, never what it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretSource::Env(name) => write!(f, "${name}"),
            SecretSource::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A secret that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The environment does not have the variable.
    #[error("the environment variable {name} is not set")]
    NotSet {
        /// Its name.
        name: String,
    },
    /// The file cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

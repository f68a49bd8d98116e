//! What a changed file changes, and what of it takes effect at once.
//!
//! Sockets and threads are made at start: a change of a listener's addresses, of the number of
//! workers, of logging or of the data folder waits for a restart. Everything else takes effect for
//! the next call, and no call is dropped. [`applicable`] gives the configuration that can run now.

use std::collections::BTreeMap;
use std::fmt;

use ringfence_base::net::Transport;
use ringfence_detect::fraud::destinations::Class;
use ringfence_media::voice::Language;
use ringfence_session::large::LargeRequests;
use ringfence_session::methods::{Methods, Redirects, ReliableProvisional, Transfers};
use ringfence_session::plan::{Limits, MediaPolicy, Strangers};
use ringfence_session::policy::PeerPolicy;
use ringfence_session::verification::{Verification, VerstatForm};

use crate::config::read_policy::{CALLING_NUMBER, DIVERSION, DTMF, NUMBERS_IN, NUMBERS_OUT, word};
use crate::config::read_stir::{VERIFY, VERSTAT, attest_word};
use crate::config::{
    Account, Config, Edge, FeedFile, Fraud, Listen, Peer, Phones, SecretSource, Site, Tenant,
    spoken,
};

/// When a change takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// With the reload, for calls to come.
    Now,
    /// With the next start.
    Restart,
}

/// One difference of two configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key: `trunk.carrier-a.channels`.
    pub key: String,
    /// The old value; `None` when the key is new.
    pub from: Option<String>,
    /// The new value; `None` when the key is gone.
    pub to: Option<String>,
    /// When it takes effect.
    pub effect: Effect,
}

impl fmt::Display for Change {
    /// `listen.outside.udp: 203.0.113.10:5060 -> 203.0.113.10:5070 (after a restart)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.key)?;
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => write!(f, "{from} -> {to}")?,
            (None, Some(to)) => write!(f, "added {to}")?,
            (Some(from), None) => write!(f, "removed {from}")?,
            (None, None) => {}
        }
        match self.effect {
            Effect::Now => f.write_str(" (now)"),
            Effect::Restart => f.write_str(" (after a restart)"),
        }
    }
}

/// What differs, in order of key. No secret is in it: configurations hold none.
pub fn diff(old: &Config, new: &Config) -> Vec<Change> {
    let (mut old_values, new_values) = (flatten(old), flatten(new));
    let mut changes = BTreeMap::new();
    for (key, (to, effect)) in new_values {
        let from = old_values.remove(&key);
        let (from, before) = from.map_or((None, None), |(from, before)| (Some(from), Some(before)));
        if from.as_ref() == Some(&to) {
            continue;
        }
        let effect = if before == Some(Effect::Restart) {
            Effect::Restart
        } else {
            effect
        };
        let change = Change {
            key: key.clone(),
            from,
            to: Some(to),
            effect,
        };
        changes.insert(key, change);
    }
    for (key, (from, effect)) in old_values {
        changes.insert(
            key.clone(),
            Change {
                key,
                from: Some(from),
                to: None,
                effect,
            },
        );
    }
    let mut changes: Vec<Change> = changes.into_values().collect();
    let waiting = waiting_peers(old, new);
    for change in &mut changes {
        if waiting
            .iter()
            .any(|peer| change.key.starts_with(&format!("{peer}.")))
        {
            change.effect = Effect::Restart;
        }
    }
    changes
}

/// The part of `wanted` that can run on the sockets and threads of `running`.
///
/// Listeners stay as they were bound, with the settings that can change; `[edge]` stays. A peer
/// that needs a listener or transport which is not bound stays as it was, or out when it is new.
pub fn applicable(running: &Config, wanted: &Config) -> Config {
    let listeners = running
        .listeners
        .iter()
        .map(|bound| match wanted.listener(&bound.name) {
            Some(wanted) => rebind(bound, wanted),
            None => bound.clone(),
        });
    let waiting = waiting_peers(running, wanted);
    let peers = wanted.peers.iter().filter_map(|peer| {
        if !waiting.contains(&peer.key()) {
            return Some(peer.clone());
        }
        let before = running.peer(peer.kind, &peer.name)?;
        wanted.site(&before.site).map(|_| before.clone())
    });
    let phones = wanted
        .phones
        .iter()
        .filter(|phones| has_media(running, phones));
    Config {
        file: wanted.file.clone(),
        edge: running.edge.clone(),
        detects: running.detects,
        detect: wanted.detect,
        firewall: running.firewall,
        events: running.events,
        scenarios: wanted.scenarios.clone(),
        feeds: kept_feeds(running, wanted),
        limits: Limits {
            trace_bytes: running.limits.trace_bytes,
            ..wanted.limits
        },
        listeners: listeners.collect(),
        tenants: wanted.tenants.clone(),
        sites: wanted.sites.clone(),
        peers: peers.collect(),
        phones: phones.cloned().collect(),
        stir: wanted.stir.clone(),
    }
}

/// The lists; one that could not be read stays what it was.
fn kept_feeds(running: &Config, wanted: &Config) -> Vec<FeedFile> {
    let mut feeds = wanted.feeds.clone();
    for feed in feeds.iter_mut().filter(|feed| feed.list.is_none()) {
        let same = |other: &&FeedFile| other.name == feed.name && other.kind == feed.kind;
        let before = running.feeds.iter().find(same);
        feed.list = before.and_then(|before| before.list.clone());
    }
    feeds
}

/// Whether phones can be served on what was bound.
fn has_media(running: &Config, phones: &Phones) -> bool {
    let bound = running.listener(&phones.listen);
    bound.is_some_and(|bound| bound.media.is_some())
}

/// The bound listener with those settings of the wanted one that need no new socket.
fn rebind(bound: &Listen, wanted: &Listen) -> Listen {
    let mut listen = Listen {
        name: bound.name.clone(),
        udp: bound.udp,
        tcp: bound.tcp,
        tls: bound.tls,
        ws: bound.ws,
        wss: bound.wss,
        media: bound.media,
        ..wanted.clone()
    };
    let secure = |listen: &Listen| listen.tls.is_some() || listen.wss.is_some();
    if secure(&listen) && !secure(wanted) {
        // The socket stays until the restart, so what it shows stays too.
        listen.certificate.clone_from(&bound.certificate);
        listen.key.clone_from(&bound.key);
        listen.acme.clone_from(&bound.acme);
        listen.client_ca.clone_from(&bound.client_ca);
        listen.tls12 = bound.tls12;
    }
    listen
}

/// Peers of `wanted` that the bound listeners cannot serve.
fn waiting_peers(running: &Config, wanted: &Config) -> Vec<String> {
    let served = |peer: &&Peer| {
        running.listener(&peer.listen).is_some_and(|bound| {
            bound.address(peer.uri.transport).is_some() && bound.media.is_some()
        })
    };
    wanted
        .peers
        .iter()
        .filter(|peer| !served(peer))
        .map(Peer::key)
        .collect()
}

type Values = BTreeMap<String, (String, Effect)>;

/// A configuration as keys and texts.
fn flatten(config: &Config) -> Values {
    let mut values = Flat::default();
    edge(&mut values, &config.edge);
    limits(&mut values, config);
    detect(&mut values, config);
    stir(&mut values, config);
    config
        .listeners
        .iter()
        .for_each(|listen| listener(&mut values, listen));
    config
        .tenants
        .iter()
        .for_each(|entry| tenant(&mut values, entry));
    config
        .sites
        .iter()
        .for_each(|entry| site(&mut values, entry));
    config
        .peers
        .iter()
        .for_each(|entry| peer(&mut values, entry));
    for entry in &config.phones {
        phones(&mut values, entry);
    }
    values.values
}

#[derive(Default)]
struct Flat {
    values: Values,
    table: String,
}

impl Flat {
    fn table(&mut self, name: String) {
        self.table = name;
    }

    fn now(&mut self, key: &str, value: impl fmt::Display) {
        self.put(key, value.to_string(), Effect::Now);
    }

    fn restart(&mut self, key: &str, value: impl fmt::Display) {
        self.put(key, value.to_string(), Effect::Restart);
    }

    fn maybe(&mut self, key: &str, value: Option<impl fmt::Display>, effect: Effect) {
        if let Some(value) = value {
            self.put(key, value.to_string(), effect);
        }
    }

    fn list<T: fmt::Display>(&mut self, key: &str, values: &[T]) {
        if !values.is_empty() {
            let texts: Vec<String> = values.iter().map(T::to_string).collect();
            self.put(key, texts.join(", "), Effect::Now);
        }
    }

    fn put(&mut self, key: &str, value: String, effect: Effect) {
        self.values
            .insert(format!("{}.{key}", self.table), (value, effect));
    }
}

fn edge(values: &mut Flat, edge: &Edge) {
    values.table("edge".to_owned());
    values.restart("name", &edge.name);
    values.restart("data", edge.data.display());
    values.restart("control", edge.control.display());
    values.maybe("metrics", edge.metrics, Effect::Restart);
    if !edge.dns.is_empty() {
        let servers: Vec<String> = edge.dns.iter().map(ToString::to_string).collect();
        values.restart("dns", servers.join(", "));
    }
    values.restart("kernel_media", edge.kernel_media.as_str());
    values.maybe("workers", edge.workers, Effect::Restart);
    values.restart("log", &edge.log);
    values.restart("log_format", edge.log_format.as_str());
    values.maybe("traces", edge.traces, Effect::Restart);
    if let Some(hep) = &edge.hep {
        values.table("edge.hep".to_owned());
        values.restart("collector", hep.collector);
        values.restart("id", hep.id);
        values.maybe("password", hep.password.as_ref(), Effect::Restart);
    }
}

fn stir(values: &mut Flat, config: &Config) {
    let Some(stir) = &config.stir else { return };
    values.table("stir".to_owned());
    values.now("anchors", stir.anchors.display());
    let ca = stir.ca.as_ref().map(|ca| ca.display());
    values.maybe("ca", ca, Effect::Now);
    values.list("fetch_from", &stir.fetch_from);
}

fn detect(values: &mut Flat, config: &Config) {
    values.table("detect".to_owned());
    values.restart("firewall", config.firewall.as_str());
    let events = config.events;
    let age = events.map_or("off".to_owned(), |events| spoken(events.age));
    values.restart("keep_events", age);
    if let Some(events) = events {
        values.restart("keep_events_bytes", format!("{}B", events.bytes));
    }
    values.restart("mode", if config.detects { "on" } else { "off" });
    for kind in ringfence_detect::finding::Kind::ALL {
        values.now(kind.as_str(), config.detect.of(kind).as_str());
    }
    values.table("scenario".to_owned());
    for scenario in &config.scenarios {
        let (mode, limit) = (scenario.mode.as_str(), scenario.limit);
        let words = format!("{mode}, {limit} in {}", spoken(scenario.within));
        values.now(&scenario.name, words);
    }
    values.table("detect.feed".to_owned());
    for feed in &config.feeds {
        let file = feed.file.display();
        let words = match &feed.list {
            Some(list) => format!("{file}, {list}"),
            None => format!("{file}, could not be read (what was read before stays)"),
        };
        values.now(&feed.name, words);
    }
}

fn limits(values: &mut Flat, config: &Config) {
    let limits = &config.limits;
    values.table("edge".to_owned());
    values.now("drain_timeout", spoken(limits.drain_timeout));
    values.restart("trace_memory", format!("{}B", limits.trace_bytes));
    values.table("limits".to_owned());
    values.now("calls_max", limits.calls_max);
    values.now("ring_timeout", spoken(limits.ring_timeout));
    values.now("silence_timeout", spoken(limits.silence_timeout));
    values.now("call_duration_max", spoken(limits.call_duration_max));
}

fn listener(values: &mut Flat, listen: &Listen) {
    values.table(format!("listen.{}", listen.name));
    for transport in Transport::ALL {
        values.maybe(
            transport.uri_name(),
            listen.address(transport),
            Effect::Restart,
        );
    }
    values.maybe("media", listen.media, Effect::Restart);
    values.maybe(
        "certificate",
        listen.certificate.as_ref().map(|p| p.display()),
        Effect::Now,
    );
    values.maybe(
        "key",
        listen.key.as_ref().map(SecretSource::to_string),
        Effect::Now,
    );
    let acme = listen.acme.as_ref().map(|acme| {
        let (domains, directory) = (acme.domains.join(" "), &acme.directory);
        format!("{domains} by {directory} at {}", acme.http)
    });
    values.maybe("acme", acme, Effect::Now);
    values.maybe(
        "client_ca",
        listen.client_ca.as_ref().map(|p| p.display()),
        Effect::Now,
    );
    values.now("tls12", listen.tls12);
    values.list("ws_origins", &listen.ws_origins);
    let strangers = match listen.strangers {
        Strangers::Silence => "silence",
        Strangers::Forbid => "forbid",
    };
    values.now("strangers", strangers);
}

fn tenant(values: &mut Flat, tenant: &Tenant) {
    values.table(format!("tenant.{}", tenant.name));
    values.now("name", &tenant.display_name);
    values.now("country", &tenant.country);
    values.table(format!("tenant.{}.fraud", tenant.name));
    let Fraud {
        policy,
        pin,
        pin_by_voice,
        destinations,
    } = &tenant.fraud;
    values.now("mode", policy.mode.as_str());
    values.list("allow", &policy.allow);
    values.list("deny", &policy.deny);
    values.now("utc_offset", policy.utc_offset);
    values.now("currency", &policy.currency);
    values.maybe("pin", pin.as_ref(), Effect::Now);
    values.now("pin_by_voice", *pin_by_voice && pin.is_some());
    let file = destinations.as_ref().map(|file| file.display());
    values.maybe("destinations", file, Effect::Now);
    values.table(format!("tenant.{}.fraud.limits_per_day", tenant.name));
    for class in Class::ALL.into_iter().filter(|class| !class.is_harmless()) {
        if let Some(limit) = policy.limits.get(class.index()) {
            values.now(class.as_str(), limit);
        }
    }
    values.now("total", policy.limit);
}

fn site(values: &mut Flat, site: &Site) {
    values.table(format!("site.{}", site.name));
    values.now("tenant", &site.tenant);
    values.list("numbers", &site.numbers);
    values.now("any_number", site.any_number);
    values.now("channels", site.channels);
    values.list("emergency", &site.emergency);
    values.maybe("main_number", site.main_number, Effect::Now);
    values.list("dial", &site.dial);
    let lines = &site.lines;
    values.now("tdos", lines.mode.as_str());
    values.maybe("reserve_known", lines.reserve_known, Effect::Now);
    values.now("utc_offset", lines.utc_offset_minutes);
    values.table(format!("site.{}.screening", site.name));
    let screening = &site.screening;
    values.now("voice", screening.voice);
    let language = screening.language.map(Language::as_str);
    values.maybe("language", language, Effect::Now);
    values.now("digits", screening.digits);
    values.maybe("time", screening.time.map(spoken), Effect::Now);
    let folder = screening.folder.as_ref().map(|folder| folder.display());
    values.maybe("prompts", folder, Effect::Now);
}

fn methods(values: &mut Flat, methods: &Methods) {
    values.now(
        "reliable_provisional",
        match methods.reliable_provisional {
            ReliableProvisional::Off => "off",
            ReliableProvisional::Supported => "supported",
            ReliableProvisional::Required => "required",
        },
    );
    values.now(
        "transfer",
        match methods.transfer {
            Transfers::Handle => "handle",
            Transfers::Pass => "pass",
            Transfers::Refuse => "refuse",
        },
    );
    values.list("info", &methods.info);
    texts_and_events(values, methods);
    values.now(
        "large_requests",
        match methods.large_requests {
            LargeRequests::Tcp => "tcp",
            LargeRequests::Udp => "udp",
        },
    );
    values.now(
        "redirects",
        match methods.redirects {
            Redirects::Refuse => "refuse",
            Redirects::Follow => "follow",
        },
    );
    values.now("session_expires", spoken(methods.session_expires));
}

fn texts_and_events(values: &mut Flat, methods: &Methods) {
    values.now("messages", methods.messages);
    let events: Vec<&str> = methods.events.iter().map(|it| it.as_str()).collect();
    values.list("events", &events);
}

fn phones(values: &mut Flat, phones: &Phones) {
    values.table(format!("phones.{}", phones.name));
    values.now("site", &phones.site);
    values.now("listen", &phones.listen);
    values.now("realm", &phones.realm);
    let file = phones.users_file.as_ref().map(|file| file.display());
    values.maybe("users", file, Effect::Now);
    // How many and which, not their secrets: a rotated one shows in neither.
    values.now("users.count", phones.users.len());
    texts_and_events(values, &phones.methods);
    values.now("expires_min", spoken(phones.bounds.expires_min));
    values.now("expires_max", spoken(phones.bounds.expires_max));
    values.now("contacts_max", phones.bounds.contacts_max);
    let mode = ["local", "pass-through"][usize::from(phones.bounds.passes)];
    values.now("mode", mode);
    values.now("ring_each", spoken(phones.bounds.ring_each));
    let algorithms = phones.bounds.algorithms.iter().map(|one| one.name());
    values.list("digest", &algorithms.collect::<Vec<_>>());
    values.now("media", media_name(phones.media));
    let suites: Vec<&str> = phones.crypto.iter().map(|suite| suite.name()).collect();
    values.list("crypto", &suites);
    values.now("channels", phones.channels);
}

fn peer(values: &mut Flat, peer: &Peer) {
    values.table(peer.key());
    values.now("site", &peer.site);
    values.now("listen", &peer.listen);
    values.maybe("profile", peer.profile.as_ref(), Effect::Now);
    values.now("peer", &peer.uri);
    values.list("accept", &peer.accept);
    values.now("media", media_name(peer.media));
    let suites: Vec<&str> = peer.crypto.iter().map(|suite| suite.name()).collect();
    values.list("crypto", &suites);
    values.now("symmetric_media", peer.symmetric_media);
    values.list("pass_headers", &peer.pass_headers);
    values.now("channels", peer.channels);
    values.now("calls_per_second", peer.calls_per_second);
    values.now("options_interval", spoken(peer.options_interval));
    policy(values, &peer.policy);
    methods(values, &peer.methods);
    let failover = &peer.failover;
    values.now("priority", failover.priority);
    values.now("weight", failover.weight);
    values.now("failover_after", spoken(failover.after));
    values.list("failover_on", &failover.codes);
    values.now("quarantine_after", failover.quarantine_after);
    if let Some(entry) = &peer.account {
        account(values, entry);
    }
    let tls = &peer.tls;
    values.maybe(
        "ca",
        tls.ca.as_ref().map(|path| path.display()),
        Effect::Now,
    );
    values.maybe("tls_server_name", tls.server_name.as_ref(), Effect::Now);
    values.list("tls_names", &tls.names);
    values.now("tls12", tls.tls12);
    values.maybe(
        "certificate",
        tls.certificate.as_ref().map(|p| p.display()),
        Effect::Now,
    );
    values.maybe(
        "key",
        tls.key.as_ref().map(SecretSource::to_string),
        Effect::Now,
    );
}

fn policy(values: &mut Flat, policy: &PeerPolicy) {
    values.now("numbers_in", word(&NUMBERS_IN, policy.numbers_in));
    values.now("numbers_out", word(&NUMBERS_OUT, policy.numbers_out));
    values.now("user_phone", policy.user_phone);
    values.now(
        "calling_number",
        word(&CALLING_NUMBER, policy.calling_number),
    );
    values.now("anonymous", policy.anonymous);
    values.now("trust", policy.trust);
    values.now("diversion", word(&DIVERSION, policy.diversion));
    values.maybe("contact_host", policy.contact_host.as_ref(), Effect::Now);
    values.list("codecs", &policy.codecs);
    if let Some(signing) = &policy.signing {
        values.now("stir.certificate_url", signing.signer.x5u());
        values.now("stir.public_key", signing.signer.key_id());
        values.now("stir.attest", attest_word(signing.others));
        values.now("stir.origid", &signing.origid);
    }
    if policy.verification != Verification::Off {
        values.now("stir.verify", word(&VERIFY, policy.verification));
    }
    if policy.verstat != VerstatForm::Off {
        values.now("verstat", word(&VERSTAT, policy.verstat));
    }
    values.now("video", policy.video);
    values.now("t38", policy.t38);
    values.now("dtmf", word(&DTMF, policy.dtmf));
}

/// Where the password is, never what it is.
fn account(values: &mut Flat, account: &Account) {
    let registering = account.registration.as_ref();
    let table = match registering {
        Some(_) => "register",
        None => "credentials",
    };
    let key = |key: &str| format!("{table}.{key}");
    values.now(&key("auth_username"), &account.username);
    values.now(&key("password"), &account.password);
    values.maybe(&key("realm"), account.realm.as_ref(), Effect::Now);
    if let Some(registering) = registering {
        values.now(&key("username"), &registering.user);
        values.maybe(&key("domain"), registering.domain.as_ref(), Effect::Now);
        values.now(&key("expires"), registering.expires.as_secs());
        let contact = registering.contact_user.as_ref();
        values.maybe(&key("contact_user"), contact, Effect::Now);
        values.now(&key("bulk"), registering.bulk);
    }
}

/// `rtp`, `srtp` or `either`, as the configuration has it.
pub fn media_name(media: MediaPolicy) -> &'static str {
    match media {
        MediaPolicy::Either => "either",
        MediaPolicy::Rtp => "rtp",
        MediaPolicy::Srtp => "srtp",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{DOCUMENTED, read_text};

    const INSIDE_TLS: &str =
        "tls = \"192.0.2.2:5061\"\ncertificate = \"edge.pem\"\nkey = \"edge.key\"";

    /// Two configurations of one folder, so that paths are the same.
    fn configs(from: &str, to: &str) -> (Config, Config) {
        assert!(DOCUMENTED.contains(from));
        let at_home = |text: &str| {
            let (loaded, folder) = read_text(text);
            let mut config = loaded.unwrap().config;
            let home = |path: &mut std::path::PathBuf| {
                *path = path.strip_prefix(&folder).unwrap_or(path).to_owned();
            };
            home(&mut config.file);
            home(&mut config.edge.data);
            home(&mut config.edge.control);
            for listen in &mut config.listeners {
                listen.certificate.iter_mut().for_each(home);
                if let Some(SecretSource::File(path)) = &mut listen.key {
                    home(path);
                }
            }
            config
        };
        (
            at_home(DOCUMENTED),
            at_home(&DOCUMENTED.replacen(from, to, 1)),
        )
    }

    #[track_caller]
    fn check(from: &str, to: &str, expected: &[&str]) {
        let (old, new) = configs(from, to);
        let changes: Vec<String> = diff(&old, &new).iter().map(Change::to_string).collect();
        assert_eq!(changes, expected);
    }

    #[test]
    fn the_same_file_changes_nothing() {
        check("[edge]", "[edge]", &[]);
    }

    #[test]
    fn what_calls_use_changes_now() {
        check(
            "calls_per_second = 5",
            "calls_per_second = 9",
            &["trunk.carrier-a.calls_per_second: 5 -> 9 (now)"],
        );
        check(
            "\"911\", \"933\"",
            "\"911\"",
            &["site.summit.emergency: 911, 933 -> 911 (now)"],
        );
        check(
            "accept = [\"192.0.2.10\"]\n",
            "",
            &["pbx.main.accept: removed 192.0.2.10 (now)"],
        );
        check(
            "[listen.inside]",
            "strangers = \"forbid\"\n[listen.inside]",
            &["listen.outside.strangers: silence -> forbid (now)"],
        );
    }

    #[test]
    fn sockets_and_threads_wait_for_a_restart() {
        check(
            "udp = \"203.0.113.10:5060\"",
            "udp = \"203.0.113.10:5070\"",
            &["listen.outside.udp: 203.0.113.10:5060 -> 203.0.113.10:5070 (after a restart)"],
        );
        check(
            "[edge]",
            "[edge]\nworkers = 3",
            &["edge.workers: added 3 (after a restart)"],
        );
        check(
            "metrics = \"127.0.0.1:9464\"\n",
            "",
            &["edge.metrics: removed 127.0.0.1:9464 (after a restart)"],
        );
    }

    #[test]
    fn a_peer_that_needs_a_new_socket_waits_with_it() {
        let (old, mut new) = configs(
            "udp = \"192.0.2.2:5060\"",
            &format!("udp = \"192.0.2.2:5060\"\n{INSIDE_TLS}"),
        );
        let pbx = new
            .peers
            .iter_mut()
            .find(|peer| peer.name == "main")
            .unwrap();
        pbx.uri.transport = Transport::Tls;
        let changes = diff(&old, &new);
        let change = changes
            .iter()
            .find(|change| change.key == "pbx.main.peer")
            .unwrap();
        assert_eq!(change.effect, Effect::Restart);
        let running = applicable(&old, &new);
        assert_eq!(
            running.peer(pbx_kind(), "main"),
            old.peer(pbx_kind(), "main")
        );
        assert_eq!(running.listener("inside").unwrap().tls, None);
    }

    fn pbx_kind() -> ringfence_session::plan::PeerKind {
        ringfence_session::plan::PeerKind::Pbx
    }

    #[test]
    fn what_can_run_keeps_sockets_and_takes_the_rest() {
        let (old, mut new) = configs("calls_per_second = 5", "calls_per_second = 9");
        new.listeners[0].udp = Some("203.0.113.10:5070".parse().unwrap());
        new.listeners[0].strangers = Strangers::Forbid;
        new.listeners.remove(1);
        new.edge.workers = Some(3);
        new.limits.trace_bytes = 1;
        new.limits.calls_max = 7;
        new.peers.retain(|peer| peer.name != "main");
        let running = applicable(&old, &new);
        assert_eq!(running.edge, old.edge);
        assert_eq!(
            running.limits,
            Limits {
                calls_max: 7,
                ..old.limits
            }
        );
        assert_eq!(
            running.listeners.len(),
            2,
            "a bound listener stays until the restart"
        );
        assert_eq!(running.listeners[0].udp, old.listeners[0].udp);
        assert_eq!(running.listeners[0].strangers, Strangers::Forbid);
        assert_eq!(running.peers.len(), 1);
        assert_eq!(running.peers[0].calls_per_second, 9);
        assert_eq!(applicable(&old, &old), old);
    }
}

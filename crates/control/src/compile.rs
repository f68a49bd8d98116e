//! Turns a configuration into the plan that the call path uses.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ringfence_base::net::{ListenerId, Transport};
use ringfence_session::account::Account;
use ringfence_session::failover::Failover;
use ringfence_session::line_guard::LinesPolicy;
use ringfence_session::numbering::{DialAction, DialRule, numbering_plan};
use ringfence_session::plan::{self, PeerId, PeerKind, Plan, SiteId, TenantId};
use ringfence_session::policy::{PeerPolicy, SitePolicy};
use ringfence_session::registrar::group::{PhoneGroup, PhoneUser};
use ringfence_session::spend::Guard;
use ringfence_session::targets::{TTL_MAX, Targets, Wanted};
use ringfence_session::usage::Usage;
use ringfence_session::verification::Verifying;

use crate::config::{Config, DialTo, Dialling, Peer, Phones};

/// A plan, and the peers whose names had no address.
#[derive(Debug)]
pub struct Compiled {
    /// The plan. Peers that were not resolved are in it, without addresses.
    pub plan: Plan,
    /// What was not resolved; the edge says so and tries again later.
    pub unresolved: Vec<Unresolved>,
    /// For how long the addresses hold; `None` when no peer has a name.
    pub ttl: Option<Duration>,
}

/// A peer whose name has no address that its listener can reach.
#[derive(Debug, thiserror::Error)]
#[error("{peer}.peer: no address for \"{host}\"")]
pub struct Unresolved {
    /// `trunk.carrier-a`.
    pub peer: String,
    /// The host name.
    pub host: String,
    /// What the resolver said; absent when it only gave addresses of the other family.
    #[source]
    pub source: Option<io::Error>,
}

/// Compiles `config`. `resolve` finds where a name is (RFC 3263); it is not asked for address
/// literals.
///
/// The plan's listeners, tenants, sites and peers have the indexes of the configuration's lists;
/// after the peers come those that groups of phones go by.
/// Its counters are new: see `Plan::adopt_usage` for a reload.
pub fn compile(config: &Config, resolve: &dyn Fn(&Wanted) -> io::Result<Targets>) -> Compiled {
    let mut unresolved = Vec::new();
    let mut peers = Vec::new();
    let mut ttl: Option<Duration> = None;
    for peer in &config.peers {
        let targets = targets(config, peer, resolve).unwrap_or_else(|fault| {
            unresolved.push(fault);
            Targets {
                transport: peer.uri.transport,
                addresses: Vec::new(),
                ranks: Vec::new(),
                ttl: TTL_MAX,
            }
        });
        if peer.uri.address().is_none() {
            ttl = Some(ttl.map_or(targets.ttl, |least| least.min(targets.ttl)));
        }
        peers.push(compile_peer(config, peer, targets));
    }
    let mut phones = Vec::new();
    for group in &config.phones {
        let peer = PeerId::new(peers.len() as u16);
        peers.push(compile_phones_peer(config, group));
        phones.push(compile_phones(group, peer));
    }
    let plan = Plan {
        edge_name: config.edge.name.clone(),
        listeners: config.listeners.iter().map(compile_listener).collect(),
        tenants: config
            .tenants
            .iter()
            .map(|tenant| compile_tenant(config, tenant))
            .collect(),
        sites: config
            .sites
            .iter()
            .map(|site| compile_site(config, site))
            .collect(),
        peers,
        phones,
        limits: config.limits,
        stir: config
            .stir
            .as_ref()
            .map(|stir| Verifying::new(Arc::clone(&stir.trust))),
    };
    Compiled {
        plan,
        unresolved,
        ttl,
    }
}

fn targets(
    config: &Config,
    peer: &Peer,
    resolve: &dyn Fn(&Wanted) -> io::Result<Targets>,
) -> Result<Targets, Unresolved> {
    let uri = &peer.uri;
    if let Some(address) = uri.address() {
        return Ok(Targets {
            transport: uri.transport,
            addresses: vec![SocketAddr::new(address, uri.port_or_default())],
            ranks: Vec::new(),
            ttl: TTL_MAX,
        });
    }
    let fault = |source| Unresolved {
        peer: peer.key(),
        host: uri.host.clone(),
        source,
    };
    let listen = config.listener(&peer.listen);
    let ours = listen.and_then(|listen| listen.address(uri.transport));
    let targets = resolve(&wanted(config, peer)).map_err(|source| fault(Some(source)))?;
    let reachable = |address: &SocketAddr| ours.is_none_or(|o| o.is_ipv4() == address.is_ipv4());
    match targets.addresses.iter().all(reachable) && !targets.addresses.is_empty() {
        true => Ok(targets),
        false => Err(fault(None)),
    }
}

/// What is to be found for a peer that has a name.
pub fn wanted(config: &Config, peer: &Peer) -> Wanted {
    let uri = &peer.uri;
    let listen = config.listener(&peer.listen);
    let has =
        |transport: &Transport| listen.is_some_and(|listen| listen.address(*transport).is_some());
    let ours = listen.and_then(|listen| listen.address(uri.transport));
    Wanted {
        host: uri.host.clone(),
        port: uri.port,
        transport: uri.transport_given.then_some(uri.transport),
        supported: [Transport::Udp, Transport::Tcp, Transport::Tls]
            .into_iter()
            .filter(has)
            .collect(),
        ipv4: ours.is_none_or(|ours| ours.is_ipv4()),
        keep_on_failure: false,
    }
}

fn compile_listener(listen: &crate::config::Listen) -> plan::Listener {
    plan::Listener {
        name: listen.name.clone(),
        udp: listen.udp,
        tcp: listen.tcp,
        tls: listen.tls,
        ws: listen.ws,
        wss: listen.wss,
        ws_origins: listen.ws_origins.clone(),
        media: listen.media.map(|media| media.address),
        strangers: listen.strangers,
    }
}

fn compile_tenant(config: &Config, tenant: &crate::config::Tenant) -> plan::Tenant {
    let sites = config
        .sites
        .iter()
        .filter(|site| site.tenant == tenant.name);
    let mut policy = tenant.fraud.policy.clone();
    policy.listed = config.number_lists();
    // A site without a limit of its own has its trunks'.
    policy.size = sites
        .map(|site| match site.channels {
            0 => config
                .peers
                .iter()
                .filter(|peer| peer.kind == PeerKind::Trunk && peer.site == site.name)
                .fold(0, |sum: u32, peer| sum.saturating_add(peer.channels)),
            channels => channels,
        })
        .fold(0, u32::saturating_add);
    // It was readable when the file was checked. If it no longer is, no PIN lets anybody through.
    let pin = tenant
        .fraud
        .pin
        .as_ref()
        .and_then(|pin| pin.read_line().ok());
    plan::Tenant {
        key: tenant.name.clone(),
        name: tenant.display_name.clone(),
        country: tenant.country.clone(),
        spend: Arc::new(Guard::new(policy, pin)),
    }
}

fn compile_site(config: &Config, site: &crate::config::Site) -> plan::Site {
    let tenant = index(&config.tenants, |tenant| tenant.name == site.tenant);
    let crate::config::Tenant { country, fraud, .. } = &config.tenants[tenant];
    let voice = site.screening.policy(country).map(Arc::new);
    let asks_pin = fraud.pin.is_some() && fraud.pin_by_voice;
    let pin_voice = asks_pin.then(|| match &voice {
        Some(voice) => Arc::clone(voice),
        None => Arc::new(site.screening.spoken(country)),
    });
    plan::Site {
        key: site.name.clone(),
        tenant: TenantId::new(tenant as u16),
        numbers: site.numbers.iter().map(|numbers| numbers.range()).collect(),
        any_number: site.any_number,
        channels: site.channels,
        emergency: site.emergency.clone(),
        policy: SitePolicy {
            numbering: numbering_plan(country),
            main_number: site.presented_number(),
            dial: site
                .dial
                .iter()
                .map(|rule| compile_rule(config, rule))
                .collect(),
            lines: LinesPolicy {
                // Also where nobody watches: an operator may come to know of an attack.
                voice,
                ..site.lines.clone()
            },
            pin_voice,
        },
        usage: Arc::new(Usage::default()),
    }
}

fn compile_rule(config: &Config, rule: &Dialling) -> DialRule {
    // A trunk that waits for a restart is not there yet; the call takes the site's.
    let trunk = |name: &String| {
        let is_it = |peer: &Peer| peer.kind == plan::PeerKind::Trunk && peer.name == *name;
        let place = config.peers.iter().position(is_it)?;
        Some(plan::PeerId::new(place as u16))
    };
    let action = match &rule.to {
        DialTo::Refuse => DialAction::Refuse,
        DialTo::Number {
            strip,
            prepend,
            trunk: name,
        } => DialAction::Rewrite {
            strip: *strip,
            prepend: prepend.clone(),
            trunk: name.as_ref().and_then(trunk),
        },
    };
    DialRule {
        pattern: rule.pattern.clone(),
        action,
    }
}

fn compile_peer(config: &Config, peer: &Peer, targets: Targets) -> plan::Peer {
    let site = index(&config.sites, |site| site.name == peer.site);
    let listener = index(&config.listeners, |listen| listen.name == peer.listen);
    plan::Peer {
        key: peer.name.clone(),
        kind: peer.kind,
        site: SiteId::new(site as u16),
        listener: ListenerId::new(listener as u8),
        transport: targets.transport,
        host: peer.uri.host.clone(),
        port: peer.uri.port,
        addresses: targets.addresses,
        accept: peer
            .accept
            .iter()
            .map(|accepted| accepted.network())
            .collect(),
        tls_names: peer.tls.names.clone(),
        media: peer.media,
        suites: peer.crypto.clone(),
        symmetric_media: peer.symmetric_media,
        pass_headers: peer.pass_headers.clone(),
        channels: peer.channels,
        calls_per_second: peer.calls_per_second,
        policy: peer.policy.clone(),
        options_interval: peer.options_interval,
        methods: peer.methods.clone(),
        failover: peer.failover.clone(),
        ranks: targets.ranks,
        account: peer.account.as_ref().map(compile_account).map(Arc::new),
        usage: Arc::new(Usage::default()),
    }
}

/// What calls of a group of phones go by.
fn compile_phones_peer(config: &Config, phones: &Phones) -> plan::Peer {
    let site = index(&config.sites, |site| site.name == phones.site);
    let listener = index(&config.listeners, |listen| listen.name == phones.listen);
    plan::Peer {
        key: phones.name.clone(),
        kind: PeerKind::Phones,
        site: SiteId::new(site as u16),
        listener: ListenerId::new(listener as u8),
        // Of a call to a phone its contact's flow says it.
        transport: Transport::Udp,
        host: phones.realm.clone(),
        port: None,
        addresses: Vec::new(),
        accept: Vec::new(),
        tls_names: Vec::new(),
        media: phones.media,
        suites: phones.crypto.clone(),
        // Phones are behind NAT until proved otherwise.
        symmetric_media: true,
        pass_headers: Vec::new(),
        policy: PeerPolicy::default(),
        methods: phones.methods.clone(),
        failover: Failover::default(),
        ranks: Vec::new(),
        account: None,
        channels: phones.channels,
        calls_per_second: 0,
        options_interval: Duration::ZERO,
        usage: Arc::new(Usage::default()),
    }
}

fn compile_phones(phones: &Phones, peer: PeerId) -> PhoneGroup {
    let user = |user: &crate::config::PhoneUser| PhoneUser {
        name: user.name.clone(),
        number: user.number.clone(),
        digests: user.digests.clone(),
        line: Arc::default(),
    };
    let users = phones.users.iter().map(user).collect();
    let bounds = phones.bounds.clone();
    PhoneGroup::new(&phones.name, peer, &phones.realm, bounds, users)
}

fn compile_account(account: &crate::config::Account) -> Account {
    Account {
        username: account.username.clone(),
        // It was readable when the file was checked. If it no longer is, nobody is let in by an
        // empty password, and the registration says that it is empty.
        password: account.password.read_line().unwrap_or_default(),
        realm: account.realm.clone(),
        registration: account.registration.clone(),
    }
}

/// Where the item stands that a validated reference names.
#[track_caller]
fn index<T>(items: &[T], is_it: impl FnMut(&T) -> bool) -> usize {
    let found = items.iter().position(is_it);
    assert!(
        found.is_some(),
        "a reference of a validated configuration names a table"
    );
    found.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{DOCUMENTED, read_text};
    use ringfence_session::plan::MediaPolicy;

    type Found = io::Result<Targets>;

    fn compiled(text: &str, resolve: &dyn Fn(&Wanted) -> Found) -> Compiled {
        compile(&read_text(text).0.unwrap().config, resolve)
    }

    fn no_names(wanted: &Wanted) -> Found {
        panic!("asked for {wanted:?}")
    }

    fn found(transport: Transport, addresses: &[&str]) -> Found {
        Ok(Targets {
            transport,
            addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
            ranks: Vec::new(),
            ttl: Duration::from_secs(60),
        })
    }

    #[test]
    fn the_documented_configuration_compiles_without_a_resolver() {
        let Compiled {
            plan,
            unresolved,
            ttl,
        } = compiled(DOCUMENTED, &no_names);
        assert_eq!(ttl, None);
        assert!(unresolved.is_empty());
        let (trunk, pbx) = (&plan.peers[0], &plan.peers[1]);
        assert_eq!((trunk.kind, pbx.kind), (PeerKind::Trunk, PeerKind::Pbx));
        assert_eq!(trunk.addresses, ["198.51.100.20:5061".parse().unwrap()]);
        assert_eq!(
            (trunk.transport, trunk.media),
            (Transport::Tls, MediaPolicy::Srtp)
        );
        assert_eq!((trunk.channels, trunk.calls_per_second), (8, 5));
        assert!(trunk.accept[0].contains("198.51.100.77".parse().unwrap()));
        assert_eq!(plan.listener(pbx.listener).unwrap().name, "inside");
        let site = plan.site(trunk.site).unwrap();
        assert!(site.owns("+13305550149") && site.is_emergency("911"));
        assert_eq!(plan.tenant_of(site).unwrap().name, "Summit Motors");
        assert_eq!(
            plan.listeners[0].media,
            Some("203.0.113.10".parse().unwrap())
        );
    }

    #[test]
    fn a_name_is_resolved_for_what_its_listener_can_reach() {
        let text = DOCUMENTED.replace("sip:192.0.2.10:5060", "sip:PBX.example");
        let compiled = compiled(&text, &|wanted| {
            assert_eq!(wanted.host, "pbx.example");
            assert_eq!((wanted.port, wanted.transport), (None, None));
            assert_eq!(wanted.supported, [Transport::Udp]);
            assert!(wanted.ipv4);
            found(Transport::Tcp, &["192.0.2.10:5070"])
        });
        assert!(compiled.unresolved.is_empty());
        let pbx = &compiled.plan.peers[1];
        assert_eq!(pbx.addresses, ["192.0.2.10:5070".parse().unwrap()]);
        assert_eq!(pbx.transport, Transport::Tcp, "as NAPTR has it");
        assert_eq!(compiled.ttl, Some(Duration::from_secs(60)));
    }

    #[test]
    fn a_name_without_address_is_told_and_does_not_stop_the_rest() {
        let text = DOCUMENTED.replace("sip:192.0.2.10:5060", "sip:pbx.example");
        let Compiled {
            plan, unresolved, ..
        } = compiled(&text, &|_| Err(io::Error::other("the resolver is down")));
        assert_eq!(
            unresolved[0].to_string(),
            "pbx.main.peer: no address for \"pbx.example\""
        );
        assert!(unresolved[0].source.is_some());
        assert!(plan.peers[1].addresses.is_empty());
        let Compiled { unresolved, .. } =
            compiled(&text, &|_| found(Transport::Udp, &["[2001:db8::1]:5060"]));
        assert!(
            unresolved[0].source.is_none(),
            "addresses of the wrong family only"
        );
    }
}

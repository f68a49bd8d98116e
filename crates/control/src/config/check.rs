//! What one table says against what another one says.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ringfence_base::net::Transport;
use ringfence_session::dtmf::Dtmf;
use ringfence_session::plan::{MediaPolicy, PeerKind};

use ringfence_session::numbering::E164;
use ringfence_session::verification::Verification;

use super::model::{Config, Listen, MediaRange, Numbers, Peer, Phones, Site, kind_name};
use super::report::Report;
use super::suggest::listed;
use super::{check_profile, country};

/// Checks the whole.
pub(super) fn check(report: &mut Report<'_>, config: &Config) {
    if config.listeners.is_empty() && !report.incomplete && !report.has("listen") {
        let fix = "add [listen.outside] with udp, tcp or tls";
        report.error("listen", "there is no listener", fix);
    }
    check_sockets(report, config);
    check_media_ranges(report, config);
    check_numbers(report, config);
    for site in &config.sites {
        check_site(report, config, site);
    }
    for peer in &config.peers {
        check_peer(report, config, peer);
        check_profile::check(report, config, peer);
    }
    check_sources(report, config);
    check_verifying(report, config);
    for (index, phones) in config.phones.iter().enumerate() {
        let before = config.phones.get(..index).unwrap_or_default();
        check_phones(report, config, phones, before);
    }
}

/// Whether phones can be told apart, and heard.
fn check_phones(report: &mut Report<'_>, config: &Config, phones: &Phones, before: &[Phones]) {
    let key = |key: &str| format!("phones.{}.{key}", phones.name);
    let same = |other: &&Phones| other.listen == phones.listen && other.realm == phones.realm;
    if let Some(other) = before.iter().find(same)
        && report.good(&key("realm"))
    {
        let message = format!("is the realm of phones.{} at the same listener", other.name);
        report.error(&key("realm"), message, "give each group its own realm");
    }
    let mut pbxs = config
        .peers
        .iter()
        .filter(|peer| peer.kind == PeerKind::Pbx);
    if phones.bounds.passes && !pbxs.any(|peer| peer.site == phones.site) && !report.incomplete {
        let message = "is \"pass-through\", and the site has no phone system to register at";
        let fix = format!(
            "add a [pbx.NAME] table with site = \"{}\", or write mode = \"local\"",
            phones.site
        );
        report.error(&key("mode"), message.to_owned(), fix);
    }
    let Some(listen) = config.listener(&phones.listen) else {
        return;
    };
    if !report.has(&format!("listen.{}.media", listen.name)) && !report.incomplete {
        let message = format!("is \"{}\", which has no ports for media", listen.name);
        let fix = format!(
            "write media = \"ADDRESS:30000-30999\" under [listen.{}]",
            listen.name
        );
        report.error(&key("listen"), message, fix);
    }
    if listen.client_ca.is_some() {
        let message = format!(
            "is \"{}\", which asks every phone for a client certificate",
            listen.name
        );
        let fix = "use a listener without client_ca, or give the phones certificates";
        report.warning(&key("listen"), message, fix);
    }
}

/// A trunk whose calls are verified, and nobody to trust.
fn check_verifying(report: &mut Report<'_>, config: &Config) {
    if config.stir.is_some() || report.has("stir") || report.incomplete {
        return;
    }
    for peer in &config.peers {
        if peer.policy.verification != Verification::Off {
            let key = format!("{}.stir.verify", peer.key());
            let fix = "write [stir] with anchors = \"sti-ca.pem\"";
            report.error(&key, "needs authorities to trust", fix);
        }
    }
}

/// Two sockets of one kind at one address.
fn check_sockets(report: &mut Report<'_>, config: &Config) {
    let mut taken: BTreeMap<(bool, SocketAddr), String> = BTreeMap::new();
    let listeners = config.listeners.iter().flat_map(|listen| {
        Transport::ALL.into_iter().filter_map(|transport| {
            let address = listen.address(transport)?;
            let key = format!("listen.{}.{}", listen.name, transport.uri_name());
            Some((transport == Transport::Udp, address, key))
        })
    });
    let metrics = config
        .edge
        .metrics
        .map(|address| (false, address, "edge.metrics".to_owned()));
    for (datagrams, address, key) in metrics.into_iter().chain(listeners) {
        if let Some(other) = taken.get(&(datagrams, address)) {
            let message = format!(
                "{address} is taken by {other} (line {})",
                report.line_of(other)
            );
            report.error(&key, message, "give each its own address or port");
        } else {
            taken.insert((datagrams, address), key);
        }
    }
}

/// Media ports of one listener within those of another one, or around a SIP port.
fn check_media_ranges(report: &mut Report<'_>, config: &Config) {
    let ranges: Vec<(&Listen, MediaRange)> = config
        .listeners
        .iter()
        .filter_map(|listen| Some((listen, listen.media?)))
        .collect();
    for (index, (listen, range)) in ranges.iter().enumerate() {
        let key = format!("listen.{}.media", listen.name);
        if let Some((other, _)) = ranges[..index]
            .iter()
            .find(|(_, other)| other.overlaps(*range))
        {
            let other = format!("listen.{}.media", other.name);
            let message = format!(
                "shares ports with {other} (line {})",
                report.line_of(&other)
            );
            report.error(&key, message, "give each listener its own ports");
        }
        for other in &config.listeners {
            let Some(udp) = other.udp else { continue };
            if udp.ip() == range.address && (range.first..=range.last).contains(&udp.port()) {
                let message = format!("holds the port of listen.{}.udp", other.name);
                report.error(&key, message, "choose ports without it, e.g. 30000-30999");
            }
        }
    }
}

/// A number that two sites own, or one site twice.
fn check_numbers(report: &mut Report<'_>, config: &Config) {
    let mut all: Vec<(Numbers, &str)> = Vec::new();
    for site in &config.sites {
        all.extend(
            site.numbers
                .iter()
                .map(|numbers| (*numbers, site.name.as_str())),
        );
    }
    all.sort_by_key(|(numbers, _)| (numbers.digits, numbers.first));
    let mut widest: Option<(Numbers, &str)> = None;
    for (numbers, site) in all {
        if let Some((other, owner)) = widest
            && other.digits == numbers.digits
            && numbers.first <= other.last
        {
            let key = format!("site.{site}.numbers");
            if owner == site {
                let message = format!("{numbers} and {other} overlap");
                report.warning(&key, message, "write each number once");
            } else {
                let line = report.line_of(&format!("site.{owner}.numbers"));
                let message = format!(
                    "{numbers} overlaps {other} of site.{owner} (line {line}), and a number has \
                     one owner"
                );
                report.error(&key, message, "take it out of one of the two");
            }
        }
        if widest.is_none_or(|(w, _)| w.digits != numbers.digits || w.last < numbers.last) {
            widest = Some((numbers, site));
        }
    }
}

fn check_site(report: &mut Report<'_>, config: &Config, site: &Site) {
    let path = format!("site.{}", site.name);
    let numbers = format!("{path}.numbers");
    if site.numbers.is_empty() && !site.any_number && !report.incomplete {
        if !report.has(&numbers) || report.good(&numbers) {
            let fix = "write numbers = [\"+13305550100-+13305550149\"] or any_number = true";
            report.warning(
                &numbers,
                "has no number, so every call to it is refused",
                fix,
            );
        }
    } else if site.any_number && !site.numbers.is_empty() {
        let fix = "take out any_number or the numbers";
        report.warning(
            &format!("{path}.any_number"),
            "makes the numbers meaningless",
            fix,
        );
    }
    let main = format!("{path}.main_number");
    let own = |number: E164| {
        let number = number.to_string();
        site.numbers.iter().any(|own| own.range().contains(&number))
    };
    if let Some(number) = site.main_number
        && !own(number)
        && !site.any_number
    {
        let message = "is not one of the site's numbers";
        report.warning(
            &main,
            message,
            "write one of its numbers, so that it can be called back",
        );
    }
    let emergency = format!("{path}.emergency");
    if !report.has(&emergency) && !report.incomplete {
        let country = config
            .tenant(&site.tenant)
            .map_or("", |tenant| tenant.country.as_str());
        let numbers = country::emergency_numbers(country).iter().copied();
        let fix = format!(
            "write emergency = [{}]",
            listed(numbers).replace(" and ", ", ")
        );
        report.warning(&emergency, "is missing, so no call passes the limits", fix);
    }
    for kind in [PeerKind::Trunk, PeerKind::Pbx] {
        check_peers_of_site(report, config, site, kind);
    }
}

fn check_peers_of_site(report: &mut Report<'_>, config: &Config, site: &Site, kind: PeerKind) {
    let path = format!("site.{}", site.name);
    let has_one = config
        .peers
        .iter()
        .any(|peer| peer.kind == kind && peer.site == site.name);
    let phones = config.phones.iter().any(|phones| phones.site == site.name);
    // Phones take the place of a phone system.
    let needed = kind == PeerKind::Trunk || !phones;
    if !has_one && needed && !report.incomplete {
        let name = kind_name(kind);
        let message = format!("has no {name}, so no call can pass");
        let fix = format!("add a [{name}.NAME] table with site = \"{}\"", site.name);
        report.warning(&path, message, fix);
    }
}

fn check_peer(report: &mut Report<'_>, config: &Config, peer: &Peer) {
    let path = peer.key();
    let key = |key: &str| format!("{path}.{key}");
    let (listen_key, peer_key) = (key("listen"), key("peer"));
    if peer.media != MediaPolicy::Rtp
        && report.good(&peer_key)
        && peer.uri.transport != Transport::Tls
    {
        let message = format!(
            "sends SRTP keys over {}, where whoever sees the signalling can read them",
            peer.uri.transport.via_name()
        );
        report.warning(&key("media"), message, "write ;transport=tls in peer");
    }
    let is_g711 = |codec: &String| {
        ["PCMU", "PCMA"]
            .iter()
            .any(|it| codec.eq_ignore_ascii_case(it))
    };
    let codecs = &peer.policy.codecs;
    if peer.policy.dtmf == Dtmf::InBand && !codecs.is_empty() && !codecs.iter().any(is_g711) {
        report.error(
            &key("dtmf"),
            "is \"in-band\", which needs G.711, and codecs has none",
            "add \"PCMU\" or \"PCMA\" to codecs, or write dtmf = \"rfc4733\"",
        );
    }
    let plain = peer.media == MediaPolicy::Rtp
        && (report.good(&key("media")) || !report.has(&key("media")));
    if report.has(&key("crypto")) && plain {
        report.warning(
            &key("crypto"),
            "has no use with plain RTP",
            "write media = \"srtp\"",
        );
    }
    for own in ["calling_number", "anonymous"] {
        if peer.kind == PeerKind::Trunk && report.has(&key(own)) {
            let message = "has no use at a trunk, whose callers are not the site's";
            report.warning(&key(own), message, "write it at the site's [pbx.NAME]");
        }
    }
    let Some(listen) = config.listener(&peer.listen) else {
        return;
    };
    let media = format!("listen.{}.media", listen.name);
    if !report.has(&media) && !report.incomplete {
        let message = format!("is \"{}\", which has no ports for media", listen.name);
        let fix = format!(
            "write media = \"ADDRESS:30000-30999\" under [listen.{}]",
            listen.name
        );
        report.error(&listen_key, message, fix);
    }
    if !peer.tls.names.is_empty() && listen.client_ca.is_none() && !report.incomplete {
        let message = format!(
            "asks for client certificates, which [listen.{}] does not take",
            listen.name
        );
        let fix = "write client_ca = \"clients-ca.pem\" there";
        report.error(&key("tls_names"), message, fix);
    }
    if report.good(&peer_key) {
        check_way(report, config, peer, listen);
    }
    check_accept(report, peer);
}

/// Whether the listener can reach the peer at all.
fn check_way(report: &mut Report<'_>, config: &Config, peer: &Peer, listen: &Listen) {
    let transport = peer.uri.transport;
    let key = format!("{}.peer", peer.key());
    if !report.has(&format!("listen.{}.{transport}", listen.name)) && !report.incomplete {
        let message = format!(
            "is reached over {transport}, which [listen.{}] does not have",
            listen.name
        );
        let port = transport.default_port();
        let fix =
            format!("write {transport} = \"ADDRESS:{port}\" there, or another transport here");
        report.error(&key, message, fix);
        return;
    }
    let (Some(ours), Some(theirs)) = (listen.address(transport), peer.uri.address()) else {
        return;
    };
    if theirs.is_unspecified() || theirs.is_multicast() {
        report.error(
            &key,
            "is not an address of one host",
            "write the address of the host",
        );
    } else if ours.is_ipv4() != theirs.is_ipv4() {
        let (from, to) = (family(ours.ip()), family(theirs));
        let message = format!(
            "is an {to} address, and [listen.{}] has {from}",
            listen.name
        );
        report.error(
            &key,
            message,
            format!("name a listener with an {to} address"),
        );
    }
    let theirs = SocketAddr::new(theirs, peer.uri.port_or_default());
    let own = |listen: &&Listen| listen.address(transport) == Some(theirs);
    if let Some(own) = config.listeners.iter().find(own) {
        let message = format!("is this edge itself ([listen.{}])", own.name);
        report.error(
            &key,
            message,
            "write the address of the carrier or the phone system",
        );
    }
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// Networks so wide that they accept strangers.
fn check_accept(report: &mut Report<'_>, peer: &Peer) {
    for (index, accepted) in peer.accept.iter().enumerate() {
        let least = if accepted.address.is_ipv6() { 16 } else { 8 };
        if accepted.prefix < least {
            let message = format!("{accepted} lets a good part of the Internet in as this peer");
            let key = format!("{}.accept[{index}]", peer.key());
            report.warning(&key, message, "write the peer's own networks");
        }
    }
}

/// Two peers of one listener that one source could be.
fn check_sources(report: &mut Report<'_>, config: &Config) {
    for (index, peer) in config.peers.iter().enumerate() {
        let key = format!("{}.peer", peer.key());
        if !report.good(&key) {
            continue;
        }
        let same = |other: &&Peer| {
            other.listen == peer.listen && overlap(peer, other) && !other.uri.host.is_empty()
        };
        if let Some(other) = config.peers[..index].iter().find(same) {
            let message = format!(
                "shares source addresses with {} (line {}), which is asked first",
                other.key(),
                report.line_of(&format!("{}.peer", other.key()))
            );
            report.warning(&key, message, "give them separate addresses or listeners");
        }
    }
}

fn overlap(a: &Peer, b: &Peer) -> bool {
    let same_host = a.uri.host == b.uri.host && a.uri.port_or_default() == b.uri.port_or_default();
    let within = |inner: &Peer, outer: &Peer| {
        let accepted = inner.accept.iter().map(|accepted| accepted.address);
        inner
            .uri
            .address()
            .into_iter()
            .chain(accepted)
            .any(|address| {
                outer
                    .accept
                    .iter()
                    .any(|accepted| accepted.network().contains(address))
            })
    };
    same_host || within(a, b) || within(b, a)
}

//! Addresses, networks, ranges of ports, peers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ringfence_base::net::Transport;

use super::Fault;
use crate::config::model::{Accepted, MediaRange, PeerUri};

/// An address and port that others can send to.
pub(in crate::config) fn socket_address(
    text: &str,
    default_port: u16,
) -> Result<SocketAddr, Fault> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| not_a_socket_address(text, default_port))?;
    reachable(address.ip())?;
    if address.port() == 0 {
        let fix = format!("write \"{}\"", SocketAddr::new(address.ip(), default_port));
        return Err(Fault::new("has port 0, which peers cannot send to", fix));
    }
    Ok(address)
}

fn not_a_socket_address(text: &str, default_port: u16) -> Fault {
    let bare = text.trim().trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        let fix = format!("write \"{}\"", SocketAddr::new(address, default_port));
        return Fault::new("has no port", fix);
    }
    let fix =
        format!("write e.g. \"203.0.113.10:{default_port}\" or \"[2001:db8::10]:{default_port}\"");
    Fault::new("is not an address and port", fix)
}

fn reachable(address: IpAddr) -> Result<(), Fault> {
    if address.is_unspecified() {
        return Err(Fault::new(
            "is the address of no interface, so peers cannot send to it",
            "write the address that peers send to",
        ));
    }
    if address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Err(Fault::new(
            "is not an address of one host",
            "write the address of the host",
        ));
    }
    Ok(())
}

/// `"203.0.113.10:30000-30999"`, `"[2001:db8::10]:30000-30999"`.
pub(in crate::config) fn media_range(text: &str) -> Result<MediaRange, Fault> {
    const EXAMPLE: &str =
        "write e.g. \"203.0.113.10:30000-30999\" or \"[2001:db8::10]:30000-30999\"";
    let shape = || Fault::new("is not an address and a range of ports", EXAMPLE);
    let (host, ports) = text.rsplit_once(':').ok_or_else(shape)?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let address: IpAddr = match bare {
        Some(host) => host.parse::<Ipv6Addr>().map_err(|_| shape())?.into(),
        None => host.parse::<Ipv4Addr>().map_err(|_| shape())?.into(),
    };
    reachable(address)?;
    let (first, last) = ports.split_once('-').ok_or_else(shape)?;
    let port = |text: &str| text.trim().parse::<u16>().map_err(|_| shape());
    let (first, last) = (port(first)?, port(last)?);
    let host = if address.is_ipv6() {
        format!("[{address}]")
    } else {
        address.to_string()
    };
    if first > last {
        return Err(Fault::new(
            "ends before it begins",
            format!("write \"{host}:{last}-{first}\""),
        ));
    }
    if first < 1024 {
        let fix = format!("write e.g. \"{host}:30000-30999\"");
        return Err(Fault::new("reaches into the ports below 1024", fix));
    }
    if first % 2 == 1 {
        let next = first.saturating_add(1);
        let what = "begins with an odd port, and RTP takes even ones (RFC 3550 section 11)";
        return Err(Fault::new(what, format!("write \"{host}:{next}-{last}\"")));
    }
    if first == last {
        let fix = format!("write e.g. \"{host}:{first}-{}\"", first.saturating_add(99));
        return Err(Fault::new("holds no pair of ports for RTP and RTCP", fix));
    }
    Ok(MediaRange {
        address,
        first,
        last,
    })
}

/// An address block, `198.51.100.0/24`, or one address.
pub(in crate::config) fn network(text: &str) -> Result<Accepted, Fault> {
    let shape = || {
        Fault::new(
            "is not an address or network",
            "write e.g. \"198.51.100.7\" or \"198.51.100.0/24\"",
        )
    };
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.trim().parse().map_err(|_| shape())?;
    let longest: u8 = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        Some(prefix) => prefix.trim().parse().map_err(|_| shape())?,
        None => longest,
    };
    let network = Accepted::new(address, prefix).ok_or_else(|| {
        Fault::new(
            "has a prefix longer than the address",
            format!("write at most /{longest}"),
        )
    })?;
    let start = masked(address, prefix);
    if start != address {
        let fix =
            format!("write \"{start}/{prefix}\" for the network or \"{address}\" for the host");
        return Err(Fault::new("is a host within a network", fix));
    }
    Ok(network)
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            Ipv4Addr::from_bits(ip.to_bits() & mask).into()
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            Ipv6Addr::from_bits(ip.to_bits() & mask).into()
        }
    }
}

/// `sip:host[:port][;transport=udp|tcp|tls]` (RFC 3261 §19.1).
pub(in crate::config) fn peer_uri(text: &str) -> Result<PeerUri, Fault> {
    const EXAMPLE: &str = "write e.g. \"sip:198.51.100.20:5061;transport=tls\"";
    let fault = |what: &str| Fault::new(what, EXAMPLE);
    if let Some(rest) = text.strip_prefix("sips:") {
        let fix = format!(
            "write \"sip:{};transport=tls\"",
            rest.split(';').next().unwrap_or(rest)
        );
        return Err(Fault::new("uses the sips scheme", fix));
    }
    let rest = text
        .strip_prefix("sip:")
        .ok_or_else(|| fault("is not a sip: address"))?;
    if rest.contains('@') {
        return Err(fault("has a user, and a peer has none"));
    }
    let mut parts = rest.split(';');
    let host_port = parts.next().unwrap_or_default();
    let mut transport = None;
    for parameter in parts {
        let value = parameter
            .strip_prefix("transport=")
            .ok_or_else(|| Fault::new("has a parameter that is not transport", EXAMPLE))?;
        let known = Transport::parse(value.as_bytes());
        let known = known
            .filter(|known| !known.is_web_socket())
            .ok_or_else(|| {
                Fault::new(
                    "has an unknown transport",
                    "write udp, tcp or tls after transport=",
                )
            })?;
        transport = Some(known);
    }
    let (host, port) =
        host_and_port(host_port).ok_or_else(|| fault("has no good host and port"))?;
    Ok(PeerUri {
        host,
        port,
        transport: transport.unwrap_or(Transport::Udp),
        transport_given: transport.is_some(),
    })
}

/// A host name, IPv4 address or IPv6 address in brackets, and a port that is not 0.
fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (inside, after) = rest.split_once(']')?;
        let address: Ipv6Addr = inside.parse().ok()?;
        let port = if after.is_empty() {
            None
        } else {
            Some(after.strip_prefix(':')?)
        };
        (format!("[{address}]"), port)
    } else {
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        if !is_host_name(host) {
            return None;
        }
        (host.to_ascii_lowercase(), port)
    };
    match port.map(str::parse::<u16>) {
        None => Some((host, None)),
        Some(Ok(port)) if port != 0 => Some((host, Some(port))),
        Some(_) => None,
    }
}

/// A host name of RFC 1123 §2.1, or an IPv4 address. A name of digits and dots only must be an
/// address.
pub(in crate::config) fn is_host_name(text: &str) -> bool {
    if text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return text.parse::<Ipv4Addr>().is_ok();
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.strip_suffix('.').unwrap_or(text).split('.').all(label)
}

/// A host name with a dot in it, as peers know us by; no address.
pub(in crate::config) fn host_name(text: &str) -> Result<String, Fault> {
    if is_host_name(text) && text.contains('.') && text.parse::<IpAddr>().is_err() {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Fault::new(
        "is no full host name",
        "write the name that the peer knows this edge by, e.g. \"sbc.example.com\"",
    ))
}

/// A name in a certificate: a host name or an address.
pub(in crate::config) fn certificate_name(text: &str) -> Result<String, Fault> {
    if is_host_name(text) || text.parse::<IpAddr>().is_ok() {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Fault::new(
        "is no name of a certificate",
        "write e.g. \"sip.carrier.example\"",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check<T: std::fmt::Display>(parsed: Result<T, Fault>, expected: Result<&str, &str>) {
        let parsed = parsed.map(|value| value.to_string());
        let shown = parsed
            .as_ref()
            .map(String::as_str)
            .map_err(|fault| fault.what.as_str());
        assert_eq!(shown, expected);
    }

    #[test]
    fn socket_addresses_of_both_families() {
        let parse = |text| socket_address(text, 5060);
        check(parse("203.0.113.10:5060"), Ok("203.0.113.10:5060"));
        check(parse("[2001:db8::1]:5061"), Ok("[2001:db8::1]:5061"));
        check(
            parse("[::]:5060"),
            Err("is the address of no interface, so peers cannot send to it"),
        );
        check(
            parse("224.0.0.1:5060"),
            Err("is not an address of one host"),
        );
        check(
            parse("edge.example:5060"),
            Err("is not an address and port"),
        );
        assert_eq!(
            parse("2001:db8::1").unwrap_err().fix,
            "write \"[2001:db8::1]:5060\""
        );
    }

    #[test]
    fn media_ranges_hold_pairs() {
        check(
            media_range("203.0.113.10:30000-30999"),
            Ok("203.0.113.10:30000-30999"),
        );
        check(
            media_range("[2001:db8::1]:30000-30001"),
            Ok("[2001:db8::1]:30000-30001"),
        );
        check(
            media_range("203.0.113.10:65534-65535"),
            Ok("203.0.113.10:65534-65535"),
        );
        check(
            media_range("203.0.113.10:30000-30000"),
            Err("holds no pair of ports for RTP and RTCP"),
        );
        check(
            media_range("203.0.113.10:30000"),
            Err("is not an address and a range of ports"),
        );
        check(
            media_range("203.0.113.10:30000-70000"),
            Err("is not an address and a range of ports"),
        );
        check(
            media_range("2001:db8::1:30000-30999"),
            Err("is not an address and a range of ports"),
        );
        let range = media_range("192.0.2.2:40000-40005").unwrap();
        let ports: Vec<u16> = range.pairs().map(|address| address.port()).collect();
        assert_eq!(ports, [40000, 40002, 40004]);
    }

    #[test]
    fn peers_are_sip_addresses_without_a_user() {
        check(peer_uri("sip:Carrier.Example."), Ok("sip:carrier.example."));
        check(
            peer_uri("sip:198.51.100.20:5061;transport=TLS"),
            Ok("sip:198.51.100.20:5061;transport=tls"),
        );
        check(
            peer_uri("sip:[2001:DB8::1]:5060;transport=udp"),
            Ok("sip:[2001:db8::1]:5060;transport=udp"),
        );
        check(
            peer_uri("sip:alice@carrier.example"),
            Err("has a user, and a peer has none"),
        );
        check(
            peer_uri("sip:carrier.example;lr"),
            Err("has a parameter that is not transport"),
        );
        for bad in [
            "sip:",
            "sip:a b",
            "sip:a:0",
            "sip:a:x",
            "sip:999.1.1.1",
            "sip:[::1",
            "sip:-a",
            "sip:2001:db8::1",
        ] {
            check(peer_uri(bad), Err("has no good host and port"));
        }
    }

    #[test]
    fn networks_begin_at_their_first_address() {
        check(network("198.51.100.0/24"), Ok("198.51.100.0/24"));
        check(network("198.51.100.7"), Ok("198.51.100.7"));
        check(network("2001:db8::/32"), Ok("2001:db8::/32"));
        check(network("0.0.0.0/0"), Ok("0.0.0.0/0"));
        check(
            network("2001:db8::1/129"),
            Err("has a prefix longer than the address"),
        );
        check(
            network("198.51.100.7/x"),
            Err("is not an address or network"),
        );
    }

    proptest! {
        #[test]
        fn a_peer_reads_back_as_it_is_shown(host in "[a-z][a-z0-9]{0,9}(\\.[a-z][a-z0-9]{0,9}){0,3}", port in proptest::option::of(1u16..), tls: bool) {
            let transport = if tls { Transport::Tls } else { Transport::Udp };
            let transport_given = transport != Transport::Udp;
            let uri = PeerUri { host, port, transport, transport_given };
            prop_assert_eq!(peer_uri(&uri.to_string()), Ok(uri));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = socket_address(&text, 5060);
            let _ = media_range(&text);
            let _ = network(&text);
            let _ = peer_uri(&format!("sip:{text}"));
            let _ = certificate_name(&text);
        }
    }
}

//! The texts within a configuration: addresses, networks, durations, numbers, peers.
//!
//! Each function takes a text and gives a value without an invalid state, or a [`Fault`] that says
//! what the text is not and what to write.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ringfence_base::net::Transport;
use ringfence_rtp::srtp::Suite;

use super::country;
use super::model::{Accepted, MediaRange, Numbers, PeerUri};
use super::suggest::{listed, nearest};

/// What is wrong with a value ("is not an address"), and what to write.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) what: String,
    pub(super) fix: String,
}

impl Fault {
    pub(super) fn new(what: impl Into<String>, fix: impl Into<String>) -> Fault {
        Fault {
            what: what.into(),
            fix: fix.into(),
        }
    }
}

/// Longest value shown in a message.
const QUOTED_CHARS_MAX: usize = 60;

/// The text in quotes, harmless to a terminal and not too long.
pub(super) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(QUOTED_CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// One word of a few.
pub(super) fn one_of<T: Copy>(text: &str, words: &[(&'static str, T)]) -> Result<T, Fault> {
    let known = || words.iter().map(|(word, _)| *word);
    words
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, value)| *value)
        .ok_or_else(|| {
            let fix = match nearest(text, known()) {
                Some(word) => format!("did you mean \"{word}\"?"),
                None => format!("write one of {}", listed(known())),
            };
            Fault::new("is none of the choices", fix)
        })
}

/// A name that stands in logs, metrics and file paths: `[listen.NAME]`.
pub(super) fn table_name(text: &str) -> Result<(), Fault> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if !text.is_empty() && text.len() <= 63 && text.chars().all(good) {
        return Ok(());
    }
    Err(Fault::new(
        "is no name for a table",
        "use 1 to 63 of a-z, 0-9, - and _",
    ))
}

/// A name that people read: one line, not empty.
pub(super) fn display_name(text: &str) -> Result<String, Fault> {
    let trimmed = text.trim();
    if trimmed.is_empty() || trimmed.len() > 128 || trimmed.contains(char::is_control) {
        return Err(Fault::new("is no name", "write one line of 1 to 128 bytes"));
    }
    Ok(trimmed.to_owned())
}

/// An ISO 3166 country.
pub(super) fn country(text: &str) -> Result<String, Fault> {
    if country::is_country(text) {
        return Ok(text.to_owned());
    }
    let fix = match country::meant(text) {
        Some(code) => format!("did you mean \"{code}\"?"),
        None => "write the two capital letters of ISO 3166, e.g. \"US\"".to_owned(),
    };
    Err(Fault::new("is not a country", fix))
}

/// A path: not empty, no control characters.
pub(super) fn path(text: &str) -> Result<String, Fault> {
    if text.trim().is_empty() || text.contains(char::is_control) {
        return Err(Fault::new("is not a path", "write the path of a file"));
    }
    Ok(text.to_owned())
}

/// The name of an environment variable.
pub(super) fn env_name(text: &str) -> Result<String, Fault> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !text.chars().all(good) {
        return Err(Fault::new(
            "is not the name of an environment variable",
            "write e.g. { env = \"RINGFENCE_KEY\" }",
        ));
    }
    Ok(text.to_owned())
}

/// An address and port that others can send to.
pub(super) fn socket_address(text: &str, default_port: u16) -> Result<SocketAddr, Fault> {
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
pub(super) fn media_range(text: &str) -> Result<MediaRange, Fault> {
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
pub(super) fn network(text: &str) -> Result<Accepted, Fault> {
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
pub(super) fn peer_uri(text: &str) -> Result<PeerUri, Fault> {
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
    let mut transport = Transport::Udp;
    for parameter in parts {
        let value = parameter
            .strip_prefix("transport=")
            .ok_or_else(|| Fault::new("has a parameter that is not transport", EXAMPLE))?;
        transport = Transport::parse(value.as_bytes()).ok_or_else(|| {
            Fault::new(
                "has an unknown transport",
                "write udp, tcp or tls after transport=",
            )
        })?;
    }
    let (host, port) =
        host_and_port(host_port).ok_or_else(|| fault("has no good host and port"))?;
    Ok(PeerUri {
        host,
        port,
        transport,
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
pub(super) fn is_host_name(text: &str) -> bool {
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

/// A name in a certificate: a host name or an address.
pub(super) fn certificate_name(text: &str) -> Result<String, Fault> {
    if is_host_name(text) || text.parse::<IpAddr>().is_ok() {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Fault::new(
        "is no name of a certificate",
        "write e.g. \"sip.carrier.example\"",
    ))
}

/// `"+13305550100"` or `"+13305550100-+13305550149"`.
pub(super) fn numbers(text: &str) -> Result<Numbers, Fault> {
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (first.trim(), last.trim()),
        None => (text.trim(), text.trim()),
    };
    if let Some(numbers) = Numbers::new(first, last) {
        return Ok(numbers);
    }
    let is_number = |text: &str| Numbers::new(text, text).is_some();
    if is_number(first) && is_number(last) {
        let what = "is a range whose ends differ in length or stand in the wrong order";
        return Err(Fault::new(
            what,
            "write the lower number first, both with all digits",
        ));
    }
    let what = "is not a number in international form";
    let fix =
        "write \"+\" and 3 to 15 digits, e.g. \"+13305550100\" or \"+13305550100-+13305550149\"";
    Err(Fault::new(what, fix))
}

/// A number as dialled: `911`, `112`, `*55`, `+13305550100`.
pub(super) fn dialled(text: &str) -> Result<String, Fault> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let good = |byte: u8| byte.is_ascii_digit() || byte == b'*' || byte == b'#';
    if (2..=16).contains(&digits.len()) && digits.bytes().all(good) {
        return Ok(text.to_owned());
    }
    Err(Fault::new(
        "cannot be dialled",
        "write the digits as people dial them, e.g. \"911\"",
    ))
}

/// An SRTP suite by its registered name.
pub(super) fn suite(text: &str) -> Result<Suite, Fault> {
    Suite::parse(text.as_bytes()).ok_or_else(|| {
        let names = || SUITES.iter().map(|suite| suite.name());
        let fix = match nearest(text, names()) {
            Some(name) => format!("did you mean \"{name}\"?"),
            None => format!("write one of {}", listed(names())),
        };
        Fault::new("is no SRTP suite that Ringfence has", fix)
    })
}

/// Every suite, strongest first: the order in which they are offered by default.
pub(super) const SUITES: [Suite; 4] = [
    Suite::AeadAes256Gcm,
    Suite::AeadAes128Gcm,
    Suite::AesCm128HmacSha1_80,
    Suite::AesCm128HmacSha1_32,
];

/// A header that may pass to the other side, in lower case. What would tell one side of the other
/// or belongs to a leg alone never passes.
pub(super) fn passed_header(text: &str) -> Result<String, Fault> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte);
    if text.is_empty() || text.len() > 64 || !text.bytes().all(token) {
        return Err(Fault::new(
            "is no header name",
            "write e.g. \"X-Department\"",
        ));
    }
    let name = text.to_ascii_lowercase();
    if NEVER_PASSED.contains(&name.as_str()) {
        let what = "belongs to one side of the call, so it never passes to the other";
        return Err(Fault::new(what, "leave it out"));
    }
    Ok(name)
}

/// Headers of one leg, or that disclose it.
const NEVER_PASSED: [&str; 62] = [
    "accept",
    "accept-encoding",
    "allow",
    "allow-events",
    "alert-info",
    "authentication-info",
    "authorization",
    "b",
    "c",
    "call-id",
    "call-info",
    "contact",
    "content-disposition",
    "content-encoding",
    "content-length",
    "content-type",
    "cseq",
    "date",
    "d",
    "e",
    "error-info",
    "expires",
    "f",
    "from",
    "geolocation-routing",
    "history-info",
    "i",
    "identity",
    "in-reply-to",
    "j",
    "k",
    "l",
    "m",
    "max-forwards",
    "mime-version",
    "min-expires",
    "min-se",
    "o",
    "organization",
    "path",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-require",
    "r",
    "record-route",
    "refer-to",
    "referred-by",
    "replaces",
    "reply-to",
    "require",
    "retry-after",
    "route",
    "server",
    "service-route",
    "session-expires",
    "supported",
    "t",
    "to",
    "user-agent",
    "v",
    "via",
    "www-authenticate",
];

/// `"30s"`, `"5m"`, `"1h30m"`, `"500ms"`.
pub(super) fn duration(text: &str) -> Result<Duration, Fault> {
    let fault = || {
        Fault::new(
            "is not a duration",
            "write e.g. \"30s\", \"5m\" or \"1h30m\"",
        )
    };
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(fault());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(fault)?;
        let (number, after) = rest.split_at(digits);
        let unit_end = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let number: u32 = number.parse().map_err(|_| fault())?;
        let millis: u64 = match unit.trim() {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(fault()),
        };
        total += Duration::from_millis(millis.saturating_mul(number.into()));
        rest = after;
    }
    Ok(total)
}

/// A duration as [`duration`] reads it.
pub(crate) fn spoken(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
        (1, "ms"),
    ];
    let mut text = String::new();
    let mut rest = millis;
    for (size, unit) in units {
        if rest >= size {
            text.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    if text.is_empty() {
        "0s".to_owned()
    } else {
        text
    }
}

/// `"8MiB"`, `"500 kB"`: bytes.
pub(super) fn size(text: &str) -> Result<u64, Fault> {
    let fault = || Fault::new("is not a size", "write e.g. \"8MiB\"");
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| fault())?;
    let factor = match unit.trim() {
        "B" => 1,
        "kB" => 1_000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        _ => return Err(fault()),
    };
    number.checked_mul(factor).ok_or_else(fault)
}

/// A log filter: a level, or `target=level` pairs with commas between.
pub(super) fn log_filter(text: &str) -> Result<String, Fault> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let target = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_:-".contains(&b))
    };
    let good = text
        .split(',')
        .map(str::trim)
        .all(|part| match part.split_once('=') {
            Some((name, level)) => target(name) && LEVELS.contains(&level),
            None => LEVELS.contains(&part),
        });
    if good {
        return Ok(text.to_owned());
    }
    let fix = match nearest(text, LEVELS) {
        Some(level) => format!("did you mean \"{level}\"?"),
        None => "write \"error\", \"warn\", \"info\", \"debug\" or \"trace\"".to_owned(),
    };
    Err(Fault::new("is not a log level", fix))
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
            Ok("sip:[2001:db8::1]:5060"),
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

    #[test]
    fn durations_and_sizes_have_units() {
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("500 ms"), Ok(Duration::from_millis(500)));
        for bad in ["", "30", "s", "1y", "-1s", "1h30", "99999999999s"] {
            assert_eq!(duration(bad).unwrap_err().what, "is not a duration");
        }
        assert_eq!((size("8MiB"), size("500 kB")), (Ok(8 << 20), Ok(500_000)));
        for bad in ["", "8", "MiB", "8 XB", "99999999999GiB"] {
            assert_eq!(size(bad).unwrap_err().what, "is not a size");
        }
    }

    #[test]
    fn what_would_disclose_a_side_is_never_passed() {
        assert_eq!(passed_header("X-Department"), Ok("x-department".to_owned()));
        for header in ["via", "Contact", "USER-AGENT", "record-route", "m", "i"] {
            assert!(passed_header(header).is_err(), "{header}");
        }
    }

    #[test]
    fn log_filters_are_levels_with_optional_targets() {
        for good in ["info", "warn,ringfence_edge=debug", "off, a::b=trace"] {
            assert!(log_filter(good).is_ok(), "{good}");
        }
        for bad in ["", "loud", "a=loud", "=info", "info,", "a b=info"] {
            assert!(log_filter(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_duration_reads_back_as_it_is_spoken(millis in 0u64..10_000_000_000) {
            let time = Duration::from_millis(millis);
            prop_assert_eq!(duration(&spoken(time)), Ok(time));
        }

        #[test]
        fn a_peer_reads_back_as_it_is_shown(host in "[a-z][a-z0-9]{0,9}(\\.[a-z][a-z0-9]{0,9}){0,3}", port in proptest::option::of(1u16..), tls: bool) {
            let transport = if tls { Transport::Tls } else { Transport::Udp };
            let uri = PeerUri { host, port, transport };
            prop_assert_eq!(peer_uri(&uri.to_string()), Ok(uri));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = socket_address(&text, 5060);
            let _ = media_range(&text);
            let _ = network(&text);
            let _ = peer_uri(&format!("sip:{text}"));
            let _ = numbers(&text);
            let _ = duration(&text);
            let _ = size(&text);
            let _ = log_filter(&text);
            let _ = passed_header(&text);
            let _ = quoted(&text);
        }
    }
}

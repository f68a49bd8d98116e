//! Which addresses a certificate may be fetched from. An `info` URL is written by a stranger: a
//! fetcher that follows it anywhere is a door into the network it stands in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// Longer than [`URL_BYTES_MAX`], or bytes that no URL has.
    #[error("not a URL")]
    Malformed,
    /// Not `https`.
    #[error("not https")]
    Scheme,
    /// A user or password before the host.
    #[error("credentials in the URL")]
    Credentials,
    /// A private, loopback, link-local or otherwise special address, or a local name.
    #[error("not a public host")]
    Host,
}

/// Which addresses count as good: all public ones, and the private networks that an operator
/// names because a carrier's certificate server stands in one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// Address and length of the prefix, in bits.
    networks: Vec<(IpAddr, u8)>,
}

impl Guard {
    /// Public addresses, and those of `networks` (address, prefix length in bits).
    pub fn with_networks(networks: Vec<(IpAddr, u8)>) -> Guard {
        Guard { networks }
    }

    /// Checks the text of a URL; names must be checked again when they are resolved.
    ///
    /// # Errors
    /// Each variant of [`GuardError`].
    pub fn check_url(&self, url: &str) -> Result<(), GuardError> {
        check_url(url, self)
    }

    /// Checks the address that a fetcher is about to connect to.
    ///
    /// # Errors
    /// [`GuardError::Host`] for anything but a public unicast address or one of the networks.
    pub fn check_address(&self, address: IpAddr) -> Result<(), GuardError> {
        let address = address.to_canonical();
        let named = self.networks.iter().any(|network| holds(*network, address));
        if named || check_resolved_address(address).is_ok() {
            Ok(())
        } else {
            Err(GuardError::Host)
        }
    }
}

fn holds((network, prefix): (IpAddr, u8), address: IpAddr) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(ip) => (u128::from(ip.to_bits()) << 96, 32),
        IpAddr::V6(ip) => (ip.to_bits(), 128),
    };
    let ((net, length), (ip, other)) = (bits(network), bits(address));
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(length)));
    length == other && net & mask.unwrap_or(0) == ip & mask.unwrap_or(0)
}

fn check_url(url: &str, guard: &Guard) -> Result<(), GuardError> {
    let graphic = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'"' | b'\\');
    if url.len() > URL_BYTES_MAX || !url.bytes().all(graphic) {
        return Err(GuardError::Malformed);
    }
    let (scheme, rest) = url.split_once("://").ok_or(GuardError::Scheme)?;
    if !scheme.eq_ignore_ascii_case("https") {
        return Err(GuardError::Scheme);
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    if authority.contains('@') {
        return Err(GuardError::Credentials);
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(GuardError::Malformed)?;
            let address: Ipv6Addr = host.parse().map_err(|_| GuardError::Malformed)?;
            guard.check_address(IpAddr::V6(address))?;
            (host, port.strip_prefix(':'))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err(GuardError::Malformed);
    }
    if authority.starts_with('[') {
        return Ok(());
    }
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let last = host.rsplit('.').next().unwrap_or("");
    // A last label that begins with a digit is an address, in one of the odd forms (octal, hex,
    // one number) that resolvers take and parsers do not.
    if last
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_digit())
    {
        let address: Ipv4Addr = host.parse().map_err(|_| GuardError::Host)?;
        return guard.check_address(IpAddr::V4(address));
    }
    let local = ["localhost", "local", "internal", "lan", "home", "arpa"];
    let label = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if !host.contains('.') || local.contains(&last) || !host.bytes().all(label) {
        return Err(GuardError::Host);
    }
    Ok(())
}

fn check_resolved_address(address: IpAddr) -> Result<(), GuardError> {
    let public = match address {
        IpAddr::V4(address) => is_public(address),
        IpAddr::V6(address) => {
            // Only 2000::/3 is global unicast; in it, 6to4, Teredo and the documentation's
            // prefix lead elsewhere. Mapped addresses fall outside it.
            let [first, second, ..] = address.segments();
            first & 0xe000 == 0x2000
                && first != 0x2002
                // 3fff::/20 is the documentation's (RFC 9637).
                && !(first == 0x3fff && second < 0x1000)
                && !(first == 0x2001 && (second < 0x0200 || second == 0x0db8))
        }
    };
    if public {
        Ok(())
    } else {
        Err(GuardError::Host)
    }
}

fn is_public(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = a == 0
        || a >= 224
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || (a == 100 && b & 0xc0 == 64)
        || (a == 198 && b & 0xfe == 18)
        || (a == 192 && b == 0 && c == 0)
        // The relays of 6to4, withdrawn (RFC 7526).
        || (a == 192 && b == 88 && c == 99);
    !special
}

/// The longest URL, bytes.
pub const URL_BYTES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_of_a_public_host_is_fetched() {
        for url in [
            "https://cert.example.org/a.cer",
            "https://8.8.8.8:8443/",
            "https://[2600::1]/x",
        ] {
            assert_eq!(Guard::default().check_url(url), Ok(()), "{url}");
        }
        for (url, error) in [
            ("http://cert.example.org/", GuardError::Scheme),
            ("file:///etc/passwd", GuardError::Scheme),
            ("https://a@cert.example.org/", GuardError::Credentials),
            ("https://127.0.0.1/", GuardError::Host),
            ("https://10.1/", GuardError::Host),
            ("https://0x7f000001/", GuardError::Host),
            ("https://2130706433/", GuardError::Host),
            ("https://localhost/", GuardError::Host),
            ("https://metadata.internal./", GuardError::Host),
            ("https://169.254.169.254/", GuardError::Host),
            ("https://[::1]/", GuardError::Host),
            ("https://[::ffff:10.0.0.1]/", GuardError::Host),
            ("https://[fd00::1]/", GuardError::Host),
            ("https://192.88.99.1/", GuardError::Host),
            ("https://[3fff:fff::1]/", GuardError::Host),
            ("https://cert.example.org:x/", GuardError::Malformed),
            ("https://cert.example.org/\r\nX: y", GuardError::Malformed),
        ] {
            assert_eq!(Guard::default().check_url(url), Err(error), "{url}");
        }
    }

    #[test]
    fn a_network_that_the_operator_names_is_fetched_from_and_no_other() {
        let guard = Guard::with_networks(vec![("10.1.0.0".parse().unwrap(), 16)]);
        assert_eq!(guard.check_url("https://10.1.2.3/a.cer"), Ok(()));
        assert_eq!(
            guard.check_address("::ffff:10.1.2.3".parse().unwrap()),
            Ok(())
        );
        for url in [
            "https://10.2.0.1/",
            "https://127.0.0.1/",
            "https://localhost/",
        ] {
            assert_eq!(guard.check_url(url), Err(GuardError::Host), "{url}");
        }
        assert_eq!(guard.check_url("http://10.1.2.3/"), Err(GuardError::Scheme));
    }
}

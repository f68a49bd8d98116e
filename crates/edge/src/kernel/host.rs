//! Which interfaces the host has, and where an address is.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

/// The interfaces that carry media, by their IPv4 addresses.
pub(super) struct Interfaces {
    by_address: BTreeMap<Ipv4Addr, Interface>,
}

struct Interface {
    name: String,
    index: u32,
}

/// Where an address is, seen from one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// On this host.
    ThisHost,
    /// Behind the interface of this index.
    Beyond(u32),
}

impl Interfaces {
    /// The interfaces that have one of `addresses`. An unspecified address is on none: packets to
    /// it could be for others.
    pub(super) fn with_addresses(addresses: impl IntoIterator<Item = SocketAddr>) -> Interfaces {
        let mut by_address = BTreeMap::new();
        let found = all();
        for address in addresses {
            let IpAddr::V4(address) = address.ip() else {
                continue;
            };
            // All of 127.0.0.0/8 is the loopback interface's, whatever is written on it.
            let on = found
                .iter()
                .find(|(_, own)| *own == address || own.is_loopback() && address.is_loopback());
            if let Some((name, _)) = on
                && let Some(index) = index_of(name)
            {
                let name = name.clone();
                by_address.insert(address, Interface { name, index });
            }
        }
        Interfaces { by_address }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_address.is_empty()
    }

    /// Names, each once.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let mut names: Vec<&str> = self.by_address.values().map(|one| &*one.name).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter()
    }

    /// Where `remote` is for packets from `local`; `None` if that is not plain: no route, or a
    /// route that would not choose our address.
    pub(super) fn place(&self, local: SocketAddr, remote: SocketAddr) -> Option<Place> {
        let (IpAddr::V4(local), IpAddr::V4(to)) = (local.ip(), remote.ip()) else {
            return None;
        };
        // A connected UDP socket sends nothing, but tells which of our addresses the route takes.
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        socket.connect(remote).ok()?;
        let chosen = socket.local_addr().ok()?.ip();
        if chosen == IpAddr::V4(to) || to.is_loopback() {
            return Some(Place::ThisHost);
        }
        let interface = self.by_address.get(&local)?;
        (chosen == IpAddr::V4(local)).then_some(Place::Beyond(interface.index))
    }
}

/// Every interface with each of its IPv4 addresses.
fn all() -> Vec<(String, Ipv4Addr)> {
    let mut list = std::ptr::null_mut();
    // SAFETY: `list` is valid to write a pointer to.
    if unsafe { libc::getifaddrs(&mut list) } < 0 {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut next = list;
    // SAFETY: the entries are a list made by `getifaddrs`, not changed until it is freed below.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ifa_next;
        // SAFETY: an address that is there has a family, and of family AF_INET it is a
        // `sockaddr_in`; names end with a zero.
        unsafe {
            if let Some(address) = entry.ifa_addr.as_ref()
                && i32::from(address.sa_family) == libc::AF_INET
            {
                let address = entry.ifa_addr.cast::<libc::sockaddr_in>().read_unaligned();
                let address = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
                let name = CStr::from_ptr(entry.ifa_name).to_string_lossy();
                found.push((name.into_owned(), address));
            }
        }
    }
    // SAFETY: `list` came from `getifaddrs` and is freed once.
    unsafe { libc::freeifaddrs(list) };
    found
}

fn index_of(name: &str) -> Option<u32> {
    // Alias names ("eth0:1") are of the interface before the colon.
    let name = name.split(':').next().unwrap_or(name);
    let name = std::ffi::CString::new(name).ok()?;
    // SAFETY: `name` ends with a zero.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (index > 0).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_addresses_are_on_this_host_by_the_loopback_interface() {
        let local: SocketAddr = "127.1.2.3:30000".parse().unwrap();
        let interfaces = Interfaces::with_addresses([local]);
        assert_eq!(interfaces.names().collect::<Vec<_>>(), ["lo"]);
        let remote = "127.9.9.9:4000".parse().unwrap();
        assert_eq!(interfaces.place(local, remote), Some(Place::ThisHost));
    }

    #[test]
    fn addresses_that_no_interface_has_attach_nothing() {
        let elsewhere = ["192.0.2.77:30000", "0.0.0.0:30000", "[::1]:30000"];
        let interfaces = Interfaces::with_addresses(elsewhere.map(|text| text.parse().unwrap()));
        assert!(interfaces.is_empty());
    }
}

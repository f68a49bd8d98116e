//! Host names to addresses, off the data path: the system's resolver on a thread of its own, with
//! a bound on the time.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// How long a name may take.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The addresses of `host` with `port`, as the system orders them. Waits at most
/// [`RESOLVE_TIMEOUT`].
pub fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let host = host.to_owned();
    let (answer, answered) = sync_channel(1);
    std::thread::Builder::new()
        .name("rf-resolve".to_owned())
        .spawn(move || {
            let addresses = (host.as_str(), port)
                .to_socket_addrs()
                .map(Iterator::collect);
            // One who waits no longer is no error.
            let _ = answer.send(addresses);
        })?;
    answered
        .recv_timeout(RESOLVE_TIMEOUT)
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in 5 s")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_own_name_has_an_address() {
        let addresses = resolve("localhost", 5060).unwrap();
        assert!(
            addresses
                .iter()
                .all(|a| a.ip().is_loopback() && a.port() == 5060)
        );
        assert!(!addresses.is_empty());
    }
}

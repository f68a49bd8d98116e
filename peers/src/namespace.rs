//! Machines of a test's own: network namespaces of the kernel, joined by cables.
//!
//! A namespace has no name. It lives as long as the process that made it holds it open, so nothing
//! is left behind however a test ends, and no other test can meet it. A thread that has entered
//! one ([`Namespace::enter`]) starts programs and opens sockets there; a socket stays where it was
//! opened, also when the thread has gone back. Needs the right to make namespaces, which is root's.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::process::Command;

use anyhow::{Context, bail};

/// The namespace of the thread that opens it.
const CURRENT: &str = "/proc/thread-self/ns/net";

/// A network namespace with its loopback up and no IPv6.
#[derive(Debug)]
pub struct Namespace {
    file: File,
}

/// A thread's stay in a namespace; it is back where it came from when this is dropped.
#[derive(Debug)]
pub struct Stay {
    back: File,
    /// The thread that entered must leave.
    _not_send: std::marker::PhantomData<*const ()>,
}

impl Namespace {
    /// Makes one.
    ///
    /// # Errors
    /// When this machine does not allow it; says what it did not allow.
    pub fn new() -> anyhow::Result<Namespace> {
        // A thread of its own: nobody else is moved, and the open file keeps what it made.
        let made = std::thread::spawn(|| {
            // SAFETY: has no preconditions; it moves only this thread.
            if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
                let error = std::io::Error::last_os_error();
                return Err(error).context("no network namespace");
            }
            File::open(CURRENT).context(CURRENT)
        });
        let file = made.join().map_err(|_| anyhow::anyhow!("a thread"))??;
        let namespace = Namespace { file };
        namespace.run("ip link set lo up")?;
        // Nobody announces himself between what a test sends.
        namespace.set("ipv6/conf/all/disable_ipv6", "1");
        namespace.set("ipv6/conf/default/disable_ipv6", "1");
        // Sources are believed here whichever cable they come by, as on the internet.
        namespace.set("ipv4/conf/all/rp_filter", "0");
        namespace.set("ipv4/conf/default/rp_filter", "0");
        Ok(namespace)
    }

    /// Moves this thread into it until the [`Stay`] is dropped.
    ///
    /// # Panics
    /// When the kernel, which has let the namespace be made, does not let anybody in.
    #[must_use]
    pub fn enter(&self) -> Stay {
        let back = File::open(CURRENT).expect("the namespace of this thread");
        move_to(&self.file).expect("into a namespace of our own");
        Stay {
            back,
            _not_send: std::marker::PhantomData,
        }
    }

    /// Does something inside.
    ///
    /// # Panics
    /// As [`Namespace::enter`].
    pub fn inside<T>(&self, work: impl FnOnce() -> T) -> T {
        let _stay = self.enter();
        work()
    }

    /// Lays a cable: the interface `here` of this namespace, and `there` of the other one, both up.
    ///
    /// # Errors
    /// When this machine has no such interfaces.
    pub fn cable(&self, here: &str, other: &Namespace, there: &str) -> anyhow::Result<()> {
        let theirs = other.path();
        self.run(&format!(
            "ip link add {here} type veth peer name {there} netns {theirs}"
        ))?;
        self.run(&format!("ip link set {here} up"))?;
        other.run(&format!("ip link set {there} up"))
    }

    /// Every address of `network`, as in `10.0.0.0/24`, is one of this machine's.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn own(&self, network: &str) -> anyhow::Result<()> {
        self.run(&format!("ip route add local {network} dev lo"))
    }

    /// Gives an interface one address.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn address(&self, address: Ipv4Addr, interface: &str) -> anyhow::Result<()> {
        self.run(&format!("ip addr add {address}/32 dev {interface}"))
    }

    /// What is for `network` leaves by `interface`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn route(&self, network: &str, interface: &str) -> anyhow::Result<()> {
        self.run(&format!("ip route add {network} dev {interface}"))
    }

    /// Runs a command line inside and gives back what it printed.
    ///
    /// # Errors
    /// When it cannot be run, or fails; says what it said.
    pub fn ask(&self, line: &str) -> anyhow::Result<String> {
        let mut words = line.split_whitespace();
        let program = words.next().context("a command has a name")?;
        let path = crate::tools::find(program).unwrap_or_else(|| program.into());
        let output = self.inside(|| Command::new(path).args(words).output());
        let output = output.with_context(|| format!("could not start {program}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{line}: {}", said.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs a command line inside.
    ///
    /// # Errors
    /// As [`Namespace::ask`].
    pub fn run(&self, line: &str) -> anyhow::Result<()> {
        self.ask(line).map(drop)
    }

    /// Bytes that came in and went out by an interface, headers of the link included.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn bytes(&self, interface: &str) -> anyhow::Result<(u64, u64)> {
        let path = "/proc/thread-self/net/dev";
        let text = self.inside(|| std::fs::read_to_string(path))?;
        let name = format!("{interface}:");
        let line = text
            .lines()
            .find_map(|line| line.trim_start().strip_prefix(&name));
        let numbers: Vec<u64> = line
            .with_context(|| format!("no {interface}"))?
            .split_whitespace()
            .filter_map(|number| number.parse().ok())
            .collect();
        match numbers.as_slice() {
            [came, _, _, _, _, _, _, _, went, ..] => Ok((*came, *went)),
            _ => bail!("{path} has no numbers"),
        }
    }

    /// What programs such as `ip` call it by, as long as this process lives.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    /// Sets a setting of the kernel, where it has it.
    fn set(&self, name: &str, value: &str) {
        let path = format!("/proc/sys/net/{name}");
        let _where_it_is = self.inside(|| std::fs::write(path, value));
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        // A thread that cannot go back would run the next test in the wrong place.
        if let Err(error) = move_to(&self.back) {
            eprintln!("this thread cannot leave its namespace: {error}");
            std::process::abort();
        }
    }
}

fn move_to(namespace: &File) -> std::io::Result<()> {
    // SAFETY: the descriptor is open; the call moves only this thread.
    match unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::{tools, wait};

    #[test]
    fn what_is_sent_by_a_cable_arrives_from_any_source_and_nobody_else_hears_it() {
        let name = "what_is_sent_by_a_cable_arrives_from_any_source_and_nobody_else_hears_it";
        let (near, far) = match (Namespace::new(), Namespace::new()) {
            (Ok(near), Ok(far)) => (near, far),
            (Err(error), _) | (_, Err(error)) => {
                return tools::skip(name, &format!("no namespaces: {error:#}"));
            }
        };
        let here: Ipv4Addr = "10.99.0.1".parse().expect("an address");
        near.cable("far0", &far, "near0").expect("a cable");
        near.address(here, "lo").expect("an address");
        far.own("10.99.1.0/24").expect("a network");
        far.route("10.99.0.1/32", "near0").expect("a route");
        let ear = near.inside(|| UdpSocket::bind((here, 5_060)).expect("bound"));
        ear.set_read_timeout(Some(wait::SOON)).expect("set");
        for from in ["10.99.1.1", "10.99.1.200"] {
            let mouth = far.inside(|| UdpSocket::bind((from, 0)).expect("bound"));
            mouth.send_to(b"hello", (here, 5_060)).expect("sent");
            let (length, heard) = ear.recv_from(&mut [0; 16]).expect("heard");
            assert_eq!((length, heard.ip().to_string()), (5, from.to_owned()));
        }
        assert!(near.bytes("far0").expect("counted").0 > 2 * 5);
        assert!(
            UdpSocket::bind((here, 5_060)).is_err(),
            "not of this machine"
        );
    }
}

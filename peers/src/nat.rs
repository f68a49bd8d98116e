//! A phone's home: a network of its own behind a router that masquerades, as namespaces of the kernel.
//!
//! ```text
//! this machine 10.a.b.1 ── 10.a.b.2 router 192.168.b.1 ── 192.168.b.2 phone
//! ```
//!
//! What the phone sends comes from the router's address and a port of the router's choice; nothing
//! that nobody inside has asked for gets in over UDP. TCP from this machine does get in, so that a
//! test can tell the phone what to do. Needs the right to make namespaces, which is root's.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context, bail};

use crate::net::Network;

/// A home behind a router; gone when dropped.
#[derive(Debug)]
pub struct Home {
    router: String,
    phone: String,
    street: [u8; 2],
}

impl Home {
    /// Builds it, at addresses that follow from the network of the test.
    ///
    /// # Errors
    /// When this machine does not allow it; says what it did not allow.
    pub fn build(network: &Network) -> anyhow::Result<Home> {
        let [_, second, third, _] = network.outside(1).octets();
        let home = Home {
            router: format!("rf{second}x{third}r"),
            phone: format!("rf{second}x{third}p"),
            street: [second, third],
        };
        // Whatever of it was made goes with it.
        home.furnish()?;
        Ok(home)
    }

    /// The address of this machine at the street, where an edge can listen.
    pub fn here(&self) -> Ipv4Addr {
        self.at_street(1)
    }

    /// The router's address: what the phone's messages come from.
    pub fn router(&self) -> Ipv4Addr {
        self.at_street(2)
    }

    /// The phone's own address, which nobody outside can send a datagram to.
    pub fn phone(&self) -> Ipv4Addr {
        self.inside(2)
    }

    /// The namespace that the phone is in.
    pub fn namespace(&self) -> &str {
        &self.phone
    }

    fn at_street(&self, host: u8) -> Ipv4Addr {
        let [second, third] = self.street;
        Ipv4Addr::new(10, second, third, host)
    }

    fn inside(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(192, 168, self.street[1], host)
    }

    fn furnish(&self) -> anyhow::Result<()> {
        let Home { router, phone, .. } = self;
        let (here, wan) = (self.here(), self.router());
        let (gateway, desk) = (self.inside(1), self.phone());
        let near = format!("{router}0");
        let lines = [
            format!("ip netns add {router}"),
            format!("ip netns add {phone}"),
            format!("ip link add {near} type veth peer name wan netns {router}"),
            format!("ip -n {router} link add lan type veth peer name desk netns {phone}"),
            format!("ip addr add {here}/24 dev {near}"),
            format!("ip link set {near} up"),
            format!("ip -n {router} addr add {wan}/24 dev wan"),
            format!("ip -n {router} addr add {gateway}/24 dev lan"),
            format!("ip -n {phone} addr add {desk}/24 dev desk"),
            format!("ip -n {router} link set wan up"),
            format!("ip -n {router} link set lan up"),
            format!("ip -n {phone} link set desk up"),
            format!("ip -n {phone} link set lo up"),
            format!("ip -n {phone} route add default via {gateway}"),
            format!("ip netns exec {router} sysctl -qw net.ipv4.ip_forward=1"),
            format!("ip netns exec {router} iptables -t nat -A POSTROUTING -o wan -j MASQUERADE"),
            format!(
                "ip netns exec {router} iptables -A FORWARD -i wan -p udp -m conntrack --ctstate \
                 NEW -j DROP"
            ),
            format!("ip route add {desk}/32 via {wan}"),
        ];
        lines.iter().try_for_each(|line| run(line))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // The links, their addresses and routes go with the namespaces.
        for name in [&self.phone, &self.router] {
            let _gone = run(&format!("ip netns del {name}"));
        }
    }
}

fn run(line: &str) -> anyhow::Result<()> {
    let mut words = line.split_whitespace();
    let program = words.next().context("a command has a name")?;
    let output = Command::new(program)
        .args(words)
        .output()
        .with_context(|| format!("could not start {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{line}: {}", said.trim());
    }
    Ok(())
}

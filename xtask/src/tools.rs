//! Programs of the machine that the tests and benchmarks drive, and the Debian packages that
//! bring them.

use std::path::Path;
use std::process::{Command, Stdio};

use ringfence_peers::tools::find;

/// A program or library, the package it comes in, and what cannot run without it.
#[derive(Debug)]
pub struct Tool {
    /// What to look for: a program on the path, or a library when it contains `.so`.
    pub name: &'static str,
    /// Debian's package.
    pub package: &'static str,
    /// What is skipped when it is missing.
    pub serves: &'static str,
}

/// Everything the tests and the benchmark can use.
pub const TOOLS: &[Tool] = &[
    Tool {
        name: "cc",
        package: "gcc",
        serves: "building aws-lc and SQLite",
    },
    Tool {
        name: "cmake",
        package: "cmake",
        serves: "building aws-lc on some machines",
    },
    Tool {
        name: "sipp",
        package: "sip-tester",
        serves: "SIPp calls, bench",
    },
    Tool {
        name: "baresip",
        package: "baresip-core",
        serves: "TLS and SRTP calls with audio",
    },
    Tool {
        name: "linphonec",
        package: "linphone-cli",
        serves: "a phone that checks certificates",
    },
    Tool {
        name: "kamailio",
        package: "kamailio",
        serves: "bench, calls through a proxy",
    },
    Tool {
        name: "kamailio/modules/tls.so",
        package: "kamailio-tls-modules",
        serves: "bench of TLS",
    },
    Tool {
        name: "rtpengine",
        package: "rtpengine-daemon",
        serves: "bench of media",
    },
    Tool {
        name: "nft",
        package: "nftables",
        serves: "blocks in the host's firewall",
    },
    Tool {
        name: "tshark",
        package: "tshark",
        serves: "the search for leaks on the wire",
    },
    Tool {
        name: "pebble",
        package: "pebble",
        serves: "certificates by ACME",
    },
    Tool {
        name: "svmap",
        package: "sipvicious",
        serves: "scanners and guessers",
    },
    Tool {
        name: "libsrtp2.so.1",
        package: "libsrtp2-1",
        serves: "bench of SRTP",
    },
    Tool {
        name: "ip",
        package: "iproute2",
        serves: "network namespaces",
    },
    Tool {
        name: "clang-14",
        package: "clang-14",
        serves: "the check of the kernel's program against its source",
    },
    Tool {
        name: "/usr/include/bpf/bpf_helpers.h",
        package: "libbpf-dev",
        serves: "the same",
    },
    Tool {
        name: "/usr/lib/python3/dist-packages/websockets/__init__.py",
        package: "python3-websockets",
        serves: "phones over WebSocket",
    },
    Tool {
        name: "dnsmasq",
        package: "dnsmasq-base",
        serves: "NAPTR and SRV of peers",
    },
    Tool {
        name: "ncat",
        package: "ncat",
        serves: "hand-made streams",
    },
    Tool {
        name: "openssl",
        package: "openssl",
        serves: "TLS checks from outside",
    },
];

/// Whether `name` can be used on this machine.
pub fn present(name: &str) -> bool {
    find(name).is_some()
}

/// The tools that are missing.
pub fn missing() -> Vec<&'static Tool> {
    TOOLS.iter().filter(|tool| !present(tool.name)).collect()
}

/// Installs what is missing when this process may; returns what is missing afterwards.
///
/// Services that a package would start are not wanted: the tests start their own.
pub fn install() -> Vec<&'static Tool> {
    let lacking = missing();
    if lacking.is_empty() || !is_root() || !present("apt-get") {
        return lacking;
    }
    let packages: Vec<&str> = lacking.iter().map(|tool| tool.package).collect();
    println!("installing {}", packages.join(" "));
    let _services_stay_down = PolicyRc::put();
    let _updated = apt(&["update", "-qq"]);
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(&packages);
    if !apt(&arguments) {
        // One package that this release lacks must not cost the others.
        for package in packages {
            let _tried = apt(&["install", "-y", "-qq", "--no-install-recommends", package]);
        }
    }
    missing()
}

fn apt(arguments: &[&str]) -> bool {
    Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn is_root() -> bool {
    // SAFETY: `geteuid` reads a number of this process and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Debian's own switch against starting services while packages are installed.
struct PolicyRc(&'static Path);

impl PolicyRc {
    fn put() -> Option<PolicyRc> {
        use std::os::unix::fs::PermissionsExt;
        let path = Path::new("/usr/sbin/policy-rc.d");
        if path.exists() {
            return None;
        }
        std::fs::write(path, "#!/bin/sh\nexit 101\n").ok()?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).ok()?;
        Some(PolicyRc(path))
    }
}

impl Drop for PolicyRc {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(self.0);
    }
}

//! A rule as the kernel's program sees it. `relay.bpf.c` has the same in C.

use std::net::SocketAddr;
use std::time::Duration;

use ringfence_base::Instant;
use ringfence_media::{FastCount, FastKey, FastRule};
use ringfence_rtp::quality::{Continuation, Progress};

use crate::clock::Clock;

/// Which packets, in network byte order.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    local_addr: [u8; 4],
    remote_addr: [u8; 4],
    local_port: [u8; 2],
    remote_port: [u8; 2],
}

/// What becomes of them, and what became of them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rule {
    source_addr: [u8; 4],
    destination_addr: [u8; 4],
    source_port: [u8; 2],
    destination_port: [u8; 2],
    interface: u32,

    payload_types: [u64; 2],
    tolerance_ns: u64,
    interval_ns: u32,
    clock_rate: u32,
    ssrc: [u8; 4],
    type_of_service: u32,

    due_ns: u64,
    last_ns: u64,
    measured_ns: u64,
    packets: u64,
    bytes: u64,
    window: u64,
    highest: u32,
    received: u32,
    duplicates: u32,
    reordered: u32,
    jitter: u32,
    timestamp: u32,
    over_rate: u32,
    lock: u32,
}

// The program and this file must agree on every byte.
const _: () = assert!(size_of::<Key>() == 12 && size_of::<Rule>() == 136);

impl Key {
    /// `None` for IPv6.
    pub(super) fn new(key: FastKey) -> Option<Key> {
        let (local_addr, local_port) = v4(key.local)?;
        let (remote_addr, remote_port) = v4(key.remote)?;
        Some(Key {
            local_addr,
            remote_addr,
            local_port,
            remote_port,
        })
    }
}

impl Rule {
    /// `interface` is the index of the one that packets leave by, 0 if they stay on this host.
    /// `None` for IPv6.
    pub(super) fn new(rule: &FastRule, interface: u32) -> Option<Rule> {
        let (source_addr, source_port) = v4(rule.source)?;
        let (destination_addr, destination_port) = v4(rule.destination)?;
        Some(Rule {
            source_addr,
            destination_addr,
            source_port,
            destination_port,
            interface,
            payload_types: [rule.payload_types as u64, (rule.payload_types >> 64) as u64],
            tolerance_ns: nanos(rule.tolerance),
            interval_ns: u32::try_from(nanos(rule.interval)).ok()?,
            clock_rate: rule.clock_rate,
            ssrc: rule.ssrc.to_be_bytes(),
            highest: rule.progress.highest,
            window: rule.progress.window,
            jitter: rule.progress.jitter,
            ..Rule::default()
        })
    }

    /// What was counted, in the time of `clock`.
    pub(super) fn count(&self, clock: &Clock) -> FastCount {
        let at = |kernel_ns| clock.of_monotonic(Duration::from_nanos(kernel_ns));
        FastCount {
            passed: Continuation {
                packets: self.packets,
                bytes: self.bytes,
                received: self.received,
                duplicates: self.duplicates,
                reordered: self.reordered,
                last_arrival: if self.packets > 0 {
                    at(self.last_ns)
                } else {
                    Instant::ZERO
                },
                measured: (self.measured_ns > 0).then(|| (at(self.measured_ns), self.timestamp)),
                progress: Progress {
                    highest: self.highest,
                    window: self.window,
                    jitter: self.jitter,
                },
            },
            over_rate: self.over_rate,
        }
    }
}

fn v4(addr: SocketAddr) -> Option<([u8; 4], [u8; 2])> {
    match addr {
        SocketAddr::V4(v4) => Some((v4.ip().octets(), v4.port().to_be_bytes())),
        SocketAddr::V6(_) => None,
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

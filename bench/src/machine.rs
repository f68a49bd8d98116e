//! What machine the figures are from.

use std::fs;

/// One line: cores, processor, kernel, load, receive buffers.
pub(crate) fn facts() -> String {
    let read = |path: &str| {
        fs::read_to_string(path)
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let processor = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| {
            Some(
                line.strip_prefix("model name")?
                    .split_once(':')?
                    .1
                    .trim()
                    .to_owned(),
            )
        })
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load = load.split(' ').take(3).collect::<Vec<_>>().join(" ");
    let buffer = read("/proc/sys/net/core/rmem_max");
    format!(
        "machine: {cores} cores, {processor}, Linux {kernel}, load {load}, rmem_max {buffer}, drops \
         so far {}",
        ringfence_peers::usage::kernel_drops()
    )
}

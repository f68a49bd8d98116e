//! What a program uses: CPU by the scheduler's own accounting, memory, and what the kernel threw
//! away.
//!
//! CPU comes from `/proc/PID/task/*/schedstat` (nanoseconds on a core), summed over every thread
//! of every process of the tree: finer than the 10 ms ticks of `stat`, and the same for a program
//! of threads and a program of processes. A thread that has ended is not counted, so take the
//! figures while the program stands still in that respect.

use std::fs;
use std::time::Duration;

/// A process and all its descendants.
pub fn tree(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        next += 1;
        for task in tasks(pid) {
            let path = format!("/proc/{pid}/task/{task}/children");
            let children = fs::read_to_string(path).unwrap_or_default();
            found.extend(
                children
                    .split_whitespace()
                    .filter_map(|child| child.parse::<u32>().ok()),
            );
        }
    }
    found
}

/// Time on a core that the tree of `pid` has used.
pub fn cpu(pid: u32) -> Duration {
    let mut nanoseconds = 0;
    for pid in tree(pid) {
        for task in tasks(pid) {
            let path = format!("/proc/{pid}/task/{task}/schedstat");
            let text = fs::read_to_string(path).unwrap_or_default();
            nanoseconds += first_number(&text);
        }
    }
    Duration::from_nanos(nanoseconds)
}

/// Memory of the tree in bytes, shared pages divided among their users (PSS).
pub fn memory(pid: u32) -> u64 {
    let mut kilobytes = 0;
    for pid in tree(pid) {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        kilobytes += line.map_or(0, |rest| first_number(rest.trim_start()));
    }
    kilobytes * 1_024
}

/// Threads of the tree.
pub fn threads(pid: u32) -> usize {
    tree(pid).into_iter().map(|pid| tasks(pid).len()).sum()
}

/// Datagrams that the kernel has dropped on this machine because a receive buffer was full.
pub fn kernel_drops() -> u64 {
    let text = fs::read_to_string("/proc/net/snmp").unwrap_or_default();
    let mut rows = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (Some(names), Some(values)) = (rows.next(), rows.next()) else {
        return 0;
    };
    let column = names.split(' ').position(|name| name == "RcvbufErrors");
    column
        .and_then(|column| values.split(' ').nth(column))
        .map_or(0, first_number)
}

fn tasks(pid: u32) -> Vec<u32> {
    fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

fn first_number(text: &str) -> u64 {
    text.split_whitespace()
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_use_can_be_read() {
        let pid = std::process::id();
        let before = cpu(pid);
        let mut sum = 0u64;
        while cpu(pid) < before + Duration::from_millis(5) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(memory(pid) > 100_000);
        assert!(threads(pid) >= 1);
        assert!(tree(pid).contains(&pid));
    }
}

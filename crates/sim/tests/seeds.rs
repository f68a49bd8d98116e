//! Seeds of the world: 1,000 that never change, and 100 that change with each commit.
//!
//! `RINGFENCE_SEEDS=50000` plays more of the fixed ones; `RINGFENCE_SEED=0x2a` plays one and prints
//! every datagram.
#![allow(clippy::print_stderr)] // the replay of a seed is for people

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ringfence_base::HashKey;
use ringfence_sim::world::{self, Outcome};

/// Fixed seeds that are played unless `RINGFENCE_SEEDS` says otherwise.
const FIXED: u64 = 1000;

/// Seeds that are derived from the commit.
const OF_COMMIT: u64 = 100;

#[test]
fn no_seed_finds_a_stuck_call_a_leak_or_a_missing_record() {
    if let Some(seed) = number("RINGFENCE_SEED") {
        return show(seed);
    }
    let commit = commit();
    let key = HashKey::from_bytes(*b"seeds of commits");
    let fixed = 0..number("RINGFENCE_SEEDS").unwrap_or(FIXED);
    let of_commit = (0..OF_COMMIT).map(|count| key.hash64(&(&commit, count)));
    let seeds: Vec<u64> = fixed.chain(of_commit).collect();
    let outcomes = play_all(&seeds);
    let failed: Vec<String> = outcomes
        .iter()
        .filter_map(|(seed, outcome)| {
            let violation = outcome.as_ref().err()?;
            Some(format!(
                "seed {seed:#x} at commit {commit}: {violation}\n  replay: git checkout {commit} && \
                 RINGFENCE_SEED={seed:#x} cargo test -p ringfence-sim --test seeds"
            ))
        })
        .collect();
    let shown = failed.iter().take(10).cloned().collect::<Vec<_>>();
    assert!(
        failed.is_empty(),
        "{} seeds:\n{}",
        failed.len(),
        shown.join("\n")
    );
    let sum = |part: fn(&Outcome) -> usize| -> usize {
        let parts = outcomes
            .iter()
            .filter_map(|(_, outcome)| outcome.as_ref().ok());
        parts.map(part).sum()
    };
    assert!(
        sum(|outcome| outcome.answered) > seeds.len() / 2,
        "calls are answered"
    );
    assert!(
        sum(|outcome| outcome.heard as usize) > seeds.len(),
        "audio is heard"
    );
}

#[test]
fn the_same_seed_is_the_same_history() {
    for seed in 0..20 {
        assert_eq!(world::run(seed), world::run(seed), "seed {seed}");
    }
    assert_ne!(
        world::run(1).map(|outcome| outcome.transcript),
        world::run(2).map(|outcome| outcome.transcript),
    );
}

type Played = (u64, Result<Outcome, String>);

/// Plays the seeds on all processors.
fn play_all(seeds: &[u64]) -> Vec<Played> {
    let next = AtomicUsize::new(0);
    let played = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = play(seed);
                    played.lock().unwrap().push((seed, outcome));
                }
            });
        }
    });
    let mut played = played.into_inner().unwrap();
    played.sort_by_key(|(seed, _)| *seed);
    played
}

/// A panic anywhere in a world is that seed's violation.
fn play(seed: u64) -> Result<Outcome, String> {
    match std::panic::catch_unwind(|| world::run(seed)) {
        Ok(outcome) => outcome.map_err(|violation| violation.to_string()),
        Err(_) => Err("a panic".to_owned()),
    }
}

/// Plays one seed and prints it.
fn show(seed: u64) {
    let outcome = world::replay(seed, |now, datagram| {
        let text = match std::str::from_utf8(&datagram.bytes) {
            Ok(text) => text.replace("\r\n", "\n    "),
            Err(_) => format!("{} bytes", datagram.bytes.len()),
        };
        let (from, to) = (datagram.from, datagram.to);
        eprintln!(
            "{:>10} us {from} -> {to}\n    {text}",
            now.as_nanos() / 1000
        );
    });
    eprintln!("{outcome:#?}");
    if let Err(violation) = outcome {
        panic!("seed {seed:#x} at commit {}: {violation}", commit());
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    Some(number.expect("the variable is a number, or 0x and a hexadecimal one"))
}

/// The commit under test; a word of its own outside of a repository.
fn commit() -> String {
    let output = std::process::Command::new("git")
        .args(["rev-parse", "HEAD"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}

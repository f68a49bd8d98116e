//! Nanoseconds per packet of each SRTP suite, on packets as G.711 makes them (172 bytes).
//!
//! `cargo run --release -p ringfence-rtp --example srtp_bench`; the best of several rounds is shown, as
//! the machine's noise only ever adds.
#![allow(clippy::disallowed_methods, clippy::print_stdout)] // it measures, and shows what it measured

use std::hint::black_box;
use std::time::Instant;

use ringfence_base::entropy::SeededEntropy;
use ringfence_rtp::srtp::{Context, MAX_OVERHEAD, MasterKey, Suite};

const PACKET_LEN: usize = 172;
/// As many as a batch of a busy worker touches; they stay in the cache, as received packets do.
const BATCH: usize = 256;
const BATCHES: usize = 400;
const ROUNDS: usize = 5;

type Buffer = [u8; PACKET_LEN + MAX_OVERHEAD];

fn main() {
    println!(
        "{:<26} {:>10} {:>10} {:>12}",
        "suite", "protect", "unprotect", "new context"
    );
    for suite in Suite::ALL {
        let rounds = (0..ROUNDS).map(|_| round(suite));
        let best = rounds.reduce(|a, b| std::array::from_fn(|i| a[i].min(b[i])));
        let [protect, unprotect, new] = best.expect("there are rounds");
        println!(
            "{:<26} {protect:>7.0} ns {unprotect:>7.0} ns {new:>9.0} ns",
            suite.name()
        );
    }
}

/// Nanoseconds to protect, to unprotect, and to make a context.
fn round(suite: Suite) -> [f64; 3] {
    let key = MasterKey::generate(suite, &mut SeededEntropy::new(1));
    let start = Instant::now();
    for _ in 0..BATCH {
        black_box(Context::new(suite, &key).expect("a valid key"));
    }
    let new = start.elapsed().as_nanos() as f64 / BATCH as f64;

    let mut sender = Context::new(suite, &key).expect("a valid key");
    let mut receiver = Context::new(suite, &key).expect("a valid key");
    let mut buffers = vec![[0xd5; PACKET_LEN + MAX_OVERHEAD]; BATCH];
    let (mut protect, mut unprotect, mut seq) = (0, 0, 0u16);
    for _ in 0..BATCHES {
        for buffer in &mut buffers {
            write_header(buffer, seq);
            seq = seq.wrapping_add(1);
        }
        let start = Instant::now();
        let mut len = 0;
        for buffer in &mut buffers {
            len = sender
                .protect_rtp(black_box(buffer), PACKET_LEN)
                .expect("a new packet");
        }
        protect += start.elapsed().as_nanos();
        let start = Instant::now();
        for buffer in &mut buffers {
            receiver
                .unprotect_rtp(black_box(buffer), len)
                .expect("an authentic packet");
        }
        unprotect += start.elapsed().as_nanos();
    }
    let packets = (BATCH * BATCHES) as f64;
    [protect as f64 / packets, unprotect as f64 / packets, new]
}

fn write_header(buffer: &mut Buffer, seq: u16) {
    buffer[..2].copy_from_slice(&[0x80, 8]);
    buffer[2..4].copy_from_slice(&seq.to_be_bytes());
    buffer[4..8].copy_from_slice(&(u32::from(seq) * 160).to_be_bytes());
    buffer[8..12].copy_from_slice(&0x1234_5678u32.to_be_bytes());
}

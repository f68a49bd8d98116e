//! Replays the corpora of the fuzz targets, and of each of their inputs every prefix.

use std::fs;
use std::path::Path;

use ringfence_rtp::fuzz;

/// A corpus that vanished would be replayed without a word.
const INPUTS_MIN: usize = 3;

#[track_caller]
fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus/rtp")
        .join(target);
    let mut inputs = 0;
    for entry in fs::read_dir(&folder).expect("the corpus's folder") {
        let input = fs::read(entry.expect("an entry").path()).expect("an input");
        (0..=input.len()).for_each(|end| body(&input[..end]));
        inputs += 1;
    }
    assert!(
        inputs >= INPUTS_MIN,
        "{inputs} inputs in {}",
        folder.display()
    );
}

#[test]
fn corpus_of_packets() {
    replay("packets", fuzz::packets);
}

#[test]
fn corpus_of_compounds() {
    replay("compound", fuzz::compound);
}

#[test]
fn corpus_of_srtp() {
    replay("srtp", fuzz::srtp);
}

#[test]
fn corpus_of_inline_keys() {
    replay("inline_key", fuzz::inline_key);
}

//! Replays the corpus of the fuzz target, and of each of its inputs every prefix.

use std::fs;
use std::path::Path;

use ringfence_media::fuzz;

/// A corpus that vanished would be replayed without a word.
const INPUTS_MIN: usize = 5;

#[test]
fn the_corpus_replays() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/media/relay");
    let mut inputs = 0;
    for entry in fs::read_dir(&folder).expect("the corpus's folder") {
        let input = fs::read(entry.expect("an entry").path()).expect("an input");
        (0..=input.len()).for_each(|end| fuzz::relay(&input[..end]));
        inputs += 1;
    }
    assert!(
        inputs >= INPUTS_MIN,
        "{inputs} inputs in {}",
        folder.display()
    );
}

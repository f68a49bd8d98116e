//! The fuzz body over its corpus, whole and cut, so that what a fuzzer once found stays found.

use std::fs;
use std::path::Path;

use ringfence_sdp::fuzz;

#[test]
fn corpus_of_descriptions_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/sdp");
    let mut files = 0;
    for entry in fs::read_dir(&folder).expect("the corpus") {
        let bytes = fs::read(entry.expect("an entry").path()).expect("a file");
        fuzz::description(&bytes);
        for end in 0..bytes.len() {
            fuzz::description(&bytes[..end]);
        }
        files += 1;
    }
    assert!(files >= 20, "only {files} files in {}", folder.display());
}

//! The fuzz bodies over their corpus, whole and cut, so that what a fuzzer once found stays found.

use std::fs;
use std::path::Path;

use ringfence_sip::fuzz;

#[test]
fn corpus_of_messages_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/sip");
    let mut files = 0;
    for entry in fs::read_dir(&folder).expect("the corpus") {
        let bytes = fs::read(entry.expect("an entry").path()).expect("a file");
        fuzz::stream(&bytes);
        for end in 0..=bytes.len() {
            fuzz::datagram(&bytes[..end]);
        }
        for line in bytes.split(|&byte| byte == b'\n') {
            for end in 0..=line.len() {
                fuzz::value(&line[..end]);
                fuzz::value(&line[end..]);
            }
        }
        files += 1;
    }
    assert!(files >= 20, "only {files} files in {}", folder.display());
}

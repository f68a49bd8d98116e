//! Torn ends, flipped bits, bounds and restarts of kept events.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use ringfence_base::{Instant, ListenerId, Transport};
use ringfence_detect::codec::Kept;
use ringfence_detect::event::{Principal, Proof, Source, What};
use tempfile::TempDir;

use super::*;

const KEY: HashKey = HashKey::from_bytes([7; 16]);
/// A start on the wall clock.
const START: i64 = 1_800_000_000_000_000;
const SECOND: i64 = 1_000_000;
const ROOMY: Bounds = Bounds {
    bytes: 1 << 30,
    age: Duration::from_secs(7 * 86_400),
};

fn at(seconds: i64) -> UnixTime {
    UnixTime::from_micros(START + seconds * SECOND)
}

fn event(bytes: u32) -> Event {
    Event {
        at: Instant::ZERO,
        source: Source {
            remote: "192.0.2.7:5060".parse().unwrap(),
            listener: ListenerId::new(0),
            transport: Transport::Udp,
            proof: Proof::None,
            principal: Principal::Stranger,
        },
        what: What::Unparseable { bytes },
    }
}

/// One block of these events.
fn block(seconds: i64, numbers: std::ops::Range<u32>) -> Block {
    let mut block = Block::default();
    for number in numbers {
        block.event(at(seconds), &event(number));
    }
    block
}

fn read(folder: &TempDir) -> (Vec<u32>, Vec<Directory>, Summary) {
    let (mut numbers, mut directories) = (Vec::new(), Vec::new());
    let ledger = Ledger::open(folder.path()).unwrap();
    let summary = ledger
        .read(KEY, |piece| match piece {
            Piece::Record(Kept::Event { event, .. }) => match event.what {
                What::Unparseable { bytes } => numbers.push(bytes),
                other => panic!("{other:?}"),
            },
            Piece::Record(Kept::Place { .. }) | Piece::Progress(_) => {}
            Piece::Directory(directory) => directories.push(directory),
        })
        .unwrap();
    (numbers, directories, summary)
}

fn paths(folder: &TempDir) -> Vec<PathBuf> {
    let files = files(folder.path()).unwrap();
    files.into_iter().map(|(_, path, _)| path).collect()
}

fn numbers(range: std::ops::Range<u32>) -> Vec<u32> {
    range.collect()
}

#[test]
fn a_restart_begins_a_file_and_keeps_the_others() {
    let folder = tempfile::tempdir().unwrap();
    for start in 0..3 {
        let mut writer = EventWriter::open(folder.path(), ROOMY).unwrap();
        let peers = vec![("trunk".to_owned(), format!("carrier-{start}"))];
        let directory = Directory {
            peers,
            sites: vec!["hq".to_owned()],
        };
        writer.set_directory(at(0), &directory).unwrap();
        let first = start * 10;
        writer
            .append(at(0), &mut block(0, first..first + 5))
            .unwrap();
        writer
            .append(at(1), &mut block(1, first + 5..first + 10))
            .unwrap();
    }
    let (read, directories, summary) = read(&folder);
    assert_eq!(read, numbers(0..30));
    assert_eq!(directories.len(), 3);
    assert_eq!(directories[2].peers[0].1, "carrier-2");
    assert_eq!((summary.files, summary.records), (3, 30));
    assert_eq!(summary.damages, []);
    for path in paths(&folder) {
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn names_of_peers_that_change_are_told_where_they_change() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = EventWriter::open(folder.path(), ROOMY).unwrap();
    let directory = |name: &str| Directory {
        peers: vec![("pbx".to_owned(), name.to_owned())],
        sites: Vec::new(),
    };
    writer.set_directory(at(0), &directory("main")).unwrap();
    writer.append(at(0), &mut block(0, 0..1)).unwrap();
    writer.set_directory(at(1), &directory("other")).unwrap();
    writer.set_directory(at(1), &directory("other")).unwrap();
    writer.append(at(1), &mut block(1, 1..2)).unwrap();
    let (read, directories, _) = read(&folder);
    assert_eq!(read, [0, 1]);
    assert_eq!(directories.len(), 2);
}

#[test]
fn a_torn_end_costs_the_end_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = EventWriter::open(folder.path(), ROOMY).unwrap();
    writer.append(at(0), &mut block(0, 0..10)).unwrap();
    writer.append(at(1), &mut block(1, 10..20)).unwrap();
    drop(writer);
    let path = paths(&folder).remove(0);
    let whole = fs::read(&path).unwrap();
    let second = FILE_HEAD + (whole.len() - FILE_HEAD) / 2;
    for end in 0..whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        let (read, _, summary) = read(&folder);
        let kept = if end < second { 0 } else { 10 };
        assert_eq!(read, numbers(0..kept), "{end}");
        let is_torn = end != FILE_HEAD && end != second;
        assert_eq!(summary.damages.len(), usize::from(is_torn), "{end}");
    }
}

#[test]
fn a_flipped_bit_is_found_and_the_next_file_is_read() {
    let folder = tempfile::tempdir().unwrap();
    for start in 0..2 {
        let mut writer = EventWriter::open(folder.path(), ROOMY).unwrap();
        let first = start * 10;
        writer
            .append(at(0), &mut block(0, first..first + 10))
            .unwrap();
    }
    let path = paths(&folder).remove(0);
    let whole = fs::read(&path).unwrap();
    for index in 0..whole.len() {
        let mut broken = whole.clone();
        broken[index] ^= 0x10;
        fs::write(&path, &broken).unwrap();
        let (read, _, summary) = read(&folder);
        assert_eq!(read, numbers(10..20), "{index}");
        let [damage] = summary.damages.as_slice() else {
            panic!("{index}: {:?}", summary.damages);
        };
        assert_eq!(damage.offset + damage.bytes, whole.len() as u64);
        let version = "another version of Ringfence wrote it";
        assert_eq!(damage.why == version, index == MAGIC.len(), "{index}");
    }
}

#[test]
fn the_oldest_go_where_the_bytes_end() {
    let folder = tempfile::tempdir().unwrap();
    let bounds = Bounds {
        bytes: 64 << 10,
        ..ROOMY
    };
    let mut writer = EventWriter::open(folder.path(), bounds).unwrap();
    for number in 0..1_000 {
        let first = number * 10;
        writer
            .append(at(0), &mut block(0, first..first + 10))
            .unwrap();
        let bytes: u64 = files(folder.path())
            .unwrap()
            .iter()
            .map(|file| file.2)
            .sum();
        assert!(bytes <= bounds.bytes && bytes == writer.bytes(), "{bytes}");
    }
    let (read, ..) = read(&folder);
    let first = read[0];
    assert_eq!(read, numbers(first..10_000));
    // Nearly all of the room is used.
    assert!(
        writer.bytes() > bounds.bytes * 14 / 16,
        "{}",
        writer.bytes()
    );
}

#[test]
fn the_oldest_go_after_their_time_also_when_nothing_comes() {
    let folder = tempfile::tempdir().unwrap();
    let bounds = Bounds {
        age: Duration::from_secs(86_400),
        ..ROOMY
    };
    let mut writer = EventWriter::open(folder.path(), bounds).unwrap();
    for hour in 0..48 {
        let mut block = block(hour * 3_600, hour as u32..hour as u32 + 1);
        writer.append(at(hour * 3_600), &mut block).unwrap();
    }
    let (kept, ..) = read(&folder);
    assert_eq!(kept, numbers(22..48));
    writer.prune(at(72 * 3_600)).unwrap();
    assert_eq!(read(&folder).0, [47]);
    writer.prune(at(80 * 3_600)).unwrap();
    assert!(read(&folder).0.is_empty());
    writer
        .append(at(80 * 3_600), &mut block(80 * 3_600, 80..81))
        .unwrap();
    assert_eq!(read(&folder).0, [80]);
}

#[test]
fn what_was_lost_is_said_with_the_next_block() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = EventWriter::open(folder.path(), ROOMY).unwrap();
    let mut block = block(0, 0..1);
    block.note_lost(7);
    writer.append(at(0), &mut block).unwrap();
    block.clear();
    assert_eq!((block.records(), block.lost()), (0, 0));
    block.event(at(1), &event(1));
    writer.append(at(1), &mut block).unwrap();
    let (read, _, summary) = read(&folder);
    assert_eq!((read, summary.lost), (vec![0, 1], 7));
}

#[test]
fn other_files_of_the_folder_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("notes.events");
    fs::write(&other, "mine").unwrap();
    let bounds = Bounds {
        bytes: 0,
        age: Duration::ZERO,
    };
    let mut writer = EventWriter::open(folder.path(), bounds).unwrap();
    writer.append(at(0), &mut block(0, 0..1)).unwrap();
    writer.append(at(9_000), &mut block(9_000, 1..2)).unwrap();
    assert_eq!(fs::read(other).unwrap(), b"mine");
    assert_eq!(read(&folder).0, [1]);
}

#[test]
fn a_folder_that_is_not_there_has_no_events() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&folder.path().join("events")).unwrap();
    assert_eq!((ledger.bytes(), ledger.begins()), (0, None));
}

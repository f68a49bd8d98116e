//! Lists of addresses that others saw attack, read from files that something else refreshes: plain
//! lines, and the JSON that APIBAN answers with.
//!
//! A list is written by strangers: its bytes, lines and entries are bounded, a broken line is counted
//! and named, and a list without one good entry is refused whole, so that a web page that says "not
//! found" does not take the place of a list.

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;

use ringfence_detect::feed::{AddressList, ENTRIES_MAX};
use ringfence_detect::own::Network;
use serde::Deserialize;

/// Bytes of a list's file.
pub const FILE_BYTES_MAX: u64 = 64 << 20;
/// Bytes of a line.
pub const LINE_BYTES_MAX: usize = 512;
/// Broken lines that are named; all are counted.
const NAMED_MAX: usize = 3;

/// What stands in APIBAN's answer where it has nothing to tell.
const APIBAN_NOTHING: &str = "no new bans";

/// Why a list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[source] std::io::Error),
    /// It is a folder, a pipe or a device.
    #[error("is no regular file")]
    NoFile,
    /// It is larger than [`FILE_BYTES_MAX`].
    #[error("is larger than {} MiB", FILE_BYTES_MAX >> 20)]
    TooLarge,
    /// Nothing at all: as a download leaves it that failed.
    #[error("is empty")]
    Empty,
    /// It begins like JSON and is none that is known.
    #[error(
        "line {line} is no JSON with a list of addresses ({{\"ipaddress\": [...]}} or [...]): {why}"
    )]
    Json {
        /// From 1.
        line: usize,
        /// Of the JSON reader.
        why: String,
    },
    /// There are entries, and not one is an address.
    #[error("has no address in it; {0}")]
    Nothing(Broken),
}

/// A list that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// What it says.
    pub list: AddressList,
    /// What could not be read of it.
    pub broken: Broken,
    /// Entries after the first [`ENTRIES_MAX`], which were left out.
    pub left_out: usize,
}

/// Entries that are no addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Broken {
    /// How many.
    pub count: usize,
    /// The first of them: lines, or places in the list of JSON, from 1.
    pub first: Vec<usize>,
    /// Whether these are places in a list of JSON.
    pub in_json: bool,
}

impl Broken {
    fn note(&mut self, place: usize) {
        self.count += 1;
        if self.first.len() < NAMED_MAX {
            self.first.push(place);
        }
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = if self.in_json { "entry" } else { "line" };
        let places: Vec<String> = self
            .first
            .iter()
            .map(|place| format!("{what} {place}"))
            .collect();
        write!(
            f,
            "{} no address or network: {}",
            self.count,
            places.join(", ")
        )?;
        match self.count > self.first.len() {
            true => f.write_str(" and more"),
            false => Ok(()),
        }
    }
}

/// Reads the list `name` from a file.
///
/// # Errors
/// A file that is missing, too large, or without one address though it says something.
pub fn load(name: &str, file: &Path) -> Result<Feed, FeedError> {
    // A pipe would be waited for: asked before it is opened.
    let metadata = std::fs::metadata(file).map_err(FeedError::Unreadable)?;
    if !metadata.is_file() {
        return Err(FeedError::NoFile);
    }
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(FeedError::Unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(FeedError::TooLarge);
    }
    parse(name, &bytes)
}

/// Reads the list `name`: JSON if it begins like that, lines otherwise.
///
/// A line has an address or a network first, then anything after white space, `,` or `;`. From `#` or
/// `;` on it is a comment.
///
/// # Errors
/// As [`load`].
pub fn parse(name: &str, bytes: &[u8]) -> Result<Feed, FeedError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let trimmed = bytes.trim_ascii();
    match trimmed.first() {
        None => Err(FeedError::Empty),
        Some(b'{' | b'[') => json(name, bytes),
        Some(_) => lines(name, bytes),
    }
}

fn lines(name: &str, bytes: &[u8]) -> Result<Feed, FeedError> {
    let mut reading = Reading::default();
    for (place, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.len() > LINE_BYTES_MAX {
            reading.broken.note(place + 1);
            continue;
        }
        let said = line.split(|byte| matches!(byte, b'#' | b';')).next();
        let said = said.unwrap_or_default().trim_ascii();
        if said.is_empty() {
            continue;
        }
        let mut parts = said.split(|byte| byte.is_ascii_whitespace() || *byte == b',');
        let entry = parts.next().and_then(|part| std::str::from_utf8(part).ok());
        reading.entry(place + 1, entry.unwrap_or_default());
    }
    reading.finish(name)
}

/// APIBAN's answer, or the list alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Document {
    Apiban { ipaddress: Vec<String> },
    List(Vec<String>),
}

fn json(name: &str, bytes: &[u8]) -> Result<Feed, FeedError> {
    // The place of a fault is known only of JSON that is none at all.
    let document = serde_json::from_slice(bytes).map_err(|error| FeedError::Json {
        line: error.line().max(1),
        why: ringfence_base::text::Escaped(error.to_string().as_bytes()).to_string(),
    })?;
    let (Document::Apiban { ipaddress: entries } | Document::List(entries)) = document;
    let mut reading = Reading::default();
    reading.broken.in_json = true;
    for (place, entry) in entries.iter().enumerate() {
        if entry != APIBAN_NOTHING {
            reading.entry(place + 1, entry.trim());
        }
    }
    reading.finish(name)
}

#[derive(Default)]
struct Reading {
    networks: Vec<Network>,
    broken: Broken,
    left_out: usize,
}

impl Reading {
    fn entry(&mut self, place: usize, text: &str) {
        match network(text) {
            Some(_) if self.networks.len() >= ENTRIES_MAX => self.left_out += 1,
            Some(network) => self.networks.push(network),
            None => self.broken.note(place),
        }
    }

    fn finish(self, name: &str) -> Result<Feed, FeedError> {
        if self.networks.is_empty() && self.broken.count > 0 {
            return Err(FeedError::Nothing(self.broken));
        }
        Ok(Feed {
            list: AddressList::new(name, self.networks),
            broken: self.broken,
            left_out: self.left_out,
        })
    }
}

/// An address, or a network as `ADDRESS/PREFIX`.
fn network(text: &str) -> Option<Network> {
    let Some((address, prefix)) = text.split_once('/') else {
        return Some(Network::host(text.parse().ok()?));
    };
    let address: IpAddr = address.parse().ok()?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
    let prefix: u8 = prefix
        .parse()
        .ok()
        .filter(|prefix| digits && *prefix <= bits)?;
    match address.to_canonical() {
        // An IPv4 address written as IPv6 has its prefix counted from there.
        IpAddr::V4(_) if bits == 128 => {
            let prefix = prefix.checked_sub(96)?;
            Some(Network::new(address, prefix))
        }
        _ => Some(Network::new(address, prefix)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn has(feed: &Feed, address: &str) -> bool {
        feed.list.contains(address.parse().unwrap())
    }

    #[test]
    fn lines_have_comments_networks_and_columns() {
        let text = "# seen this week\r\n192.0.2.1\r\n\r\n198.51.100.0/24 ; SBL1\n  2001:db8::/32  # v6\n\
                    203.0.113.5,2026-01-02,scanner\n::ffff:192.0.2.64/122\n";
        let feed = parse("mine", text.as_bytes()).unwrap();
        assert_eq!((feed.list.len(), feed.broken.count), (5, 0));
        for address in [
            "192.0.2.1",
            "198.51.100.77",
            "2001:db8::5",
            "203.0.113.5",
            "192.0.2.127",
        ] {
            assert!(has(&feed, address), "{address}");
        }
        assert!(!has(&feed, "192.0.2.2") && !has(&feed, "192.0.2.128"));
    }

    #[test]
    fn answers_of_apiban_are_read() {
        let text = br#"{"ipaddress":["192.0.2.1","192.0.2.2"],"ID":"1668718221"}"#;
        let feed = parse("apiban", text).unwrap();
        assert!(
            has(&feed, "192.0.2.2")
                && feed.broken
                    == Broken {
                        in_json: true,
                        ..Broken::default()
                    }
        );
        let nothing = parse("apiban", br#"{"ipaddress":["no new bans"],"ID":"none"}"#).unwrap();
        assert!(nothing.list.is_empty() && nothing.broken.count == 0);
        assert!(has(
            &parse("mine", br#" ["192.0.2.9"] "#).unwrap(),
            "192.0.2.9"
        ));
    }

    #[test]
    fn broken_lines_are_counted_and_named() {
        let long = "1".repeat(LINE_BYTES_MAX + 1);
        let text = format!("192.0.2.1\nbad\n192.0.2.0/33\n{long}\n192.0.2.0/+8\n\u{1b}[2J\n");
        let feed = parse("mine", text.as_bytes()).unwrap();
        assert_eq!((feed.list.len(), feed.broken.count), (1, 5));
        let says = feed.broken.to_string();
        assert_eq!(
            says,
            "5 no address or network: line 2, line 3, line 4 and more"
        );
    }

    #[test]
    fn what_is_no_list_is_refused_whole() {
        for (text, says) in [
            ("", "is empty"),
            (" \r\n", "is empty"),
            (
                "<html>\n<body>404</body>\n",
                "has no address in it; 2 no address or network: line 1",
            ),
            ("{\"ipaddress\":[\"192.0.2.1\",", "line 1 is no JSON"),
            ("{\"error\":\"unauthorized\"}", "is no JSON with a list"),
            ("{\"ipaddress\":[\"bad\"]}", "entry 1"),
        ] {
            let error = parse("mine", text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        assert!(parse("mine", b"# nobody today\n").unwrap().list.is_empty());
    }

    #[test]
    fn a_folder_and_a_missing_file_are_no_lists() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(
            load("mine", folder.path()),
            Err(FeedError::NoFile)
        ));
        let missing = load("mine", &folder.path().join("missing"));
        assert!(matches!(missing, Err(FeedError::Unreadable(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Err(error) = parse("mine", &bytes) {
                prop_assert!(!error.to_string().contains('\x1b'));
            }
        }
    }
}

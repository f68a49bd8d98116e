//! Lists of addresses that others saw attack, and of numbers that attackers were seen to call, read from
//! files that something else refreshes: plain lines, the JSON that APIBAN and SentryPeer answer with,
//! and SentryPeer's log of events.
//!
//! A list is written by strangers: its bytes, lines and entries are bounded, a broken line is counted
//! and named, and a list without one good entry is refused whole, so that a web page that says "not
//! found" does not take the place of a list.

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use ringfence_detect::feed::{AddressList, ENTRIES_MAX, NumberList};
use ringfence_detect::own::Network;
use serde::Deserialize;

/// Bytes of a list's file.
pub const FILE_BYTES_MAX: u64 = 64 << 20;
/// Bytes of a line.
pub const LINE_BYTES_MAX: usize = 512;
/// Bytes of an event of SentryPeer's log that are read.
const EVENT_BYTES_MAX: usize = 64 << 10;
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
    #[error("line {line} is no JSON with a list ({{\"ipaddress\": [...]}} or [...]): {why}")]
    Json {
        /// From 1.
        line: usize,
        /// Of the JSON reader.
        why: String,
    },
    /// There are entries, and not one is what it should be.
    #[error("has no {what} in it; {0}", what = .0.kind.as_str())]
    Nothing(Broken),
}

/// What a list is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Addresses and networks.
    #[default]
    Addresses,
    /// Telephone numbers.
    Numbers,
}

impl Kind {
    /// Both, with their names in the configuration.
    pub const NAMED: [(&'static str, Kind); 2] =
        [("addresses", Kind::Addresses), ("numbers", Kind::Numbers)];

    const fn as_str(self) -> &'static str {
        match self {
            Kind::Addresses => "address",
            Kind::Numbers => "number",
        }
    }
}

/// What a list says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum List {
    /// Of addresses.
    Addresses(Arc<AddressList>),
    /// Of telephone numbers.
    Numbers(Arc<NumberList>),
}

impl List {
    /// The addresses, if it is of such.
    pub const fn addresses(&self) -> Option<&Arc<AddressList>> {
        match self {
            List::Addresses(list) => Some(list),
            List::Numbers(_) => None,
        }
    }

    /// The numbers, if it is of such.
    pub const fn numbers(&self) -> Option<&Arc<NumberList>> {
        match self {
            List::Addresses(_) => None,
            List::Numbers(list) => Some(list),
        }
    }
}

/// How much is on it.
impl std::fmt::Display for List {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            List::Addresses(list) => write!(f, "{} ranges", list.len()),
            List::Numbers(list) => write!(f, "{} numbers", list.len()),
        }
    }
}

/// A list that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// What it says.
    pub list: List,
    /// What could not be read of it.
    pub broken: Broken,
    /// Entries after the first [`ENTRIES_MAX`], which were left out.
    pub left_out: usize,
}

/// Entries that are not what the list is of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Broken {
    /// What they should be.
    pub kind: Kind,
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
            "{} no {}: {}",
            self.count,
            match self.kind {
                Kind::Addresses => "address or network",
                Kind::Numbers => "international number",
            },
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
/// A file that is missing, too large, or without one good entry though it says something.
pub fn load(name: &str, kind: Kind, file: &Path) -> Result<Feed, FeedError> {
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
    parse(name, kind, &bytes)
}

/// Reads the list `name`: JSON if it begins like that, lines otherwise.
///
/// A line has an address, a network or a number first, then anything after white space, `,` or `;`. From
/// `#` or `;` on it is a comment. A list of numbers may be SentryPeer's log, an object of JSON in each line.
///
/// # Errors
/// As [`load`].
pub fn parse(name: &str, kind: Kind, bytes: &[u8]) -> Result<Feed, FeedError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let trimmed = bytes.trim_ascii();
    match trimmed.first() {
        None => Err(FeedError::Empty),
        Some(b'{') if kind == Kind::Numbers => events(name, bytes),
        Some(b'{' | b'[') => json(name, kind, bytes),
        Some(_) => lines(name, kind, bytes),
    }
}

/// SentryPeer's log: an event in each line, with the number that was called.
fn events(name: &str, bytes: &[u8]) -> Result<Feed, FeedError> {
    let mut reading = Reading::new(Kind::Numbers);
    for (place, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        // An event has a whole SIP message in it.
        let event = line
            .get(..EVENT_BYTES_MAX.min(line.len()))
            .unwrap_or_default();
        match serde_json::from_slice::<Entry>(event) {
            Ok(entry) => reading.entry(place + 1, entry.text()),
            Err(_) => reading.broken.note(place + 1),
        }
    }
    reading.finish(name)
}

fn lines(name: &str, kind: Kind, bytes: &[u8]) -> Result<Feed, FeedError> {
    let mut reading = Reading::new(kind);
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

/// APIBAN's answer, SentryPeer's, or the list alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Document {
    Apiban { ipaddress: Vec<Entry> },
    SentryPeer { ip_addresses: Vec<Entry> },
    List(Vec<Entry>),
}

/// One of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Text(String),
    Address { ip_address: String },
    Number { called_number: String },
}

impl Entry {
    fn text(&self) -> &str {
        let (Entry::Text(text)
        | Entry::Address { ip_address: text }
        | Entry::Number {
            called_number: text,
        }) = self;
        text.trim()
    }
}

fn json(name: &str, kind: Kind, bytes: &[u8]) -> Result<Feed, FeedError> {
    // The place of a fault is known only of JSON that is none at all.
    let document = serde_json::from_slice(bytes).map_err(|error| FeedError::Json {
        line: error.line().max(1),
        why: ringfence_base::text::Escaped(error.to_string().as_bytes()).to_string(),
    })?;
    let (Document::Apiban { ipaddress: entries }
    | Document::SentryPeer {
        ip_addresses: entries,
    }
    | Document::List(entries)) = document;
    let mut reading = Reading::new(kind);
    reading.broken.in_json = true;
    for (place, entry) in entries.iter().enumerate() {
        if entry.text() != APIBAN_NOTHING {
            reading.entry(place + 1, entry.text());
        }
    }
    reading.finish(name)
}

struct Reading {
    /// Of these two one is filled.
    networks: Vec<Network>,
    numbers: Vec<u64>,
    broken: Broken,
    left_out: usize,
}

impl Reading {
    fn new(kind: Kind) -> Reading {
        Reading {
            networks: Vec::new(),
            numbers: Vec::new(),
            broken: Broken {
                kind,
                ..Broken::default()
            },
            left_out: 0,
        }
    }

    fn entry(&mut self, place: usize, text: &str) {
        let full = self.networks.len() + self.numbers.len() >= ENTRIES_MAX;
        let good = match self.broken.kind {
            Kind::Addresses => network(text).map(|network| {
                if !full {
                    self.networks.push(network);
                }
            }),
            Kind::Numbers => NumberList::digits(text).map(|number| {
                if !full {
                    self.numbers.push(number);
                }
            }),
        };
        match good {
            Some(()) => self.left_out += usize::from(full),
            None => self.broken.note(place),
        }
    }

    fn finish(self, name: &str) -> Result<Feed, FeedError> {
        let nothing = self.networks.is_empty() && self.numbers.is_empty();
        if nothing && self.broken.count > 0 {
            return Err(FeedError::Nothing(self.broken));
        }
        let list = match self.broken.kind {
            Kind::Addresses => List::Addresses(Arc::new(AddressList::new(name, self.networks))),
            Kind::Numbers => List::Numbers(Arc::new(NumberList::new(name, self.numbers))),
        };
        Ok(Feed {
            list,
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

    fn parse(name: &str, bytes: &[u8]) -> Result<Feed, FeedError> {
        super::parse(name, Kind::Addresses, bytes)
    }

    fn load(name: &str, file: &Path) -> Result<Feed, FeedError> {
        super::load(name, Kind::Addresses, file)
    }

    fn ranges(feed: &Feed) -> usize {
        feed.list.addresses().expect("addresses").len()
    }

    fn has(feed: &Feed, address: &str) -> bool {
        feed.list
            .addresses()
            .is_some_and(|list| list.contains(address.parse().unwrap()))
    }

    #[test]
    fn lines_have_comments_networks_and_columns() {
        let text = "# seen this week\r\n192.0.2.1\r\n\r\n198.51.100.0/24 ; SBL1\n  2001:db8::/32  # v6\n\
                    203.0.113.5,2026-01-02,scanner\n::ffff:192.0.2.64/122\n";
        let feed = parse("mine", text.as_bytes()).unwrap();
        assert_eq!((ranges(&feed), feed.broken.count), (5, 0));
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
        assert!(ranges(&nothing) == 0 && nothing.broken.count == 0);
        assert!(has(
            &parse("mine", br#" ["192.0.2.9"] "#).unwrap(),
            "192.0.2.9"
        ));
    }

    #[test]
    fn answers_of_sentrypeer_are_read() {
        let text = br#"{"ip_addresses_total": 2, "ip_addresses": [
            {"ip_address": "193.107.216.27", "seen_last": "2022-01-11", "seen_count": "1263"},
            {"ip_address": "193.46.255.152", "seen_last": "2022-01-11", "seen_count": "3220"}]}"#;
        assert!(has(&parse("sentrypeer", text).unwrap(), "193.46.255.152"));
        let numbers = |bytes: &[u8]| super::parse("numbers", Kind::Numbers, bytes);
        for text in [
            "+442079460000\n0046500729220 # seen\n",
            "[\"+442079460000\", \"0046500729220\"]",
            "{\"called_number\": \"00442079460000\", \"sip_method\": \"INVITE\"}\n\
             {\"called_number\": \"46500729220\"}\n{\"called_number\": \"100\"}\n",
        ] {
            let feed = numbers(text.as_bytes()).expect(text);
            let list = feed.list.numbers().expect("numbers");
            assert_eq!(list.len(), 2, "{text}");
            assert!(list.contains(46_500_729_220), "{text}");
        }
        let error = numbers(b"192.0.2.1\n").unwrap_err().to_string();
        assert_eq!(
            error,
            "has no number in it; 1 no international number: line 1"
        );
    }

    #[test]
    fn broken_lines_are_counted_and_named() {
        let long = "1".repeat(LINE_BYTES_MAX + 1);
        let text = format!("192.0.2.1\nbad\n192.0.2.0/33\n{long}\n192.0.2.0/+8\n\u{1b}[2J\n");
        let feed = parse("mine", text.as_bytes()).unwrap();
        assert_eq!((ranges(&feed), feed.broken.count), (1, 5));
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
        assert_eq!(ranges(&parse("mine", b"# nobody today\n").unwrap()), 0);
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

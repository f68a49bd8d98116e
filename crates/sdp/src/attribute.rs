//! `a=` lines (RFC 8866 §5.13): kept in order and byte by byte, recognised by class.
//!
//! Names are compared without case. RFC 8866 wants case to matter, but a peer that writes
//! `a=Candidate` would otherwise slip past whoever drops candidates.

use std::fmt;

use crate::direction::Direction;
use crate::text::{Text, is_token};

/// One `a=` line.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Attribute {
    text: Text,
    name_len: u32,
}

impl Attribute {
    /// A property such as `sendrecv`. A name that is no token becomes `-`.
    pub fn flag(name: &str) -> Attribute {
        let text = if is_token(name.as_bytes()) {
            Text::from(name)
        } else {
            Text::from("-")
        };
        let name_len = text.len() as u32;
        Attribute { text, name_len }
    }

    /// A name and its value. A name that is no token becomes `-`.
    pub fn new(name: &str, value: impl AsRef<[u8]>) -> Attribute {
        let mut attribute = Attribute::flag(name);
        attribute.text.push(b":");
        attribute.text.push(value.as_ref());
        attribute
    }

    /// The name.
    pub fn name(&self) -> &str {
        // A token is ASCII by construction.
        self.text
            .as_bytes()
            .get(..self.name_len as usize)
            .map_or("", |name| str::from_utf8(name).unwrap_or(""))
    }

    /// What follows the colon; `None` for a property.
    pub fn value(&self) -> Option<&[u8]> {
        self.text.as_bytes().get(self.name_len as usize + 1..)
    }

    /// Whether the name is this one, case apart.
    pub fn is(&self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name)
    }

    /// What the attribute is about.
    pub fn class(&self) -> AttributeClass {
        AttributeClass::of(self.name())
    }

    /// `name` or `name:value`.
    pub fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// Reads what follows `a=`; `None` if it has no name.
    pub(crate) fn parse(value: &[u8]) -> Option<Attribute> {
        let value = value.trim_ascii_start();
        let name_len = memchr::memchr(b':', value).unwrap_or_else(|| value.trim_ascii_end().len());
        if !is_token(value.get(..name_len)?) {
            return None;
        }
        let is_flag = memchr::memchr(b':', value).is_none();
        let text = if is_flag { &value[..name_len] } else { value };
        Some(Attribute {
            text: Text::new(text),
            name_len: name_len as u32,
        })
    }
}

/// Keys do not print.
impl fmt::Debug for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.class().holds_secret() && self.value().is_some() {
            write!(f, "{}:…", self.name())
        } else {
            self.text.fmt(f)
        }
    }
}

/// What an attribute is about, as far as a border needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttributeClass {
    /// Candidate configurations (RFC 5939, RFC 6871), which may nest addresses and keys.
    Capability,
    /// `rtpmap`, `fmtp`, `ptime`, `maxptime`, `rtcp-fb`, ….
    Codec,
    /// SDES keys (RFC 4568), MIKEY (RFC 4567).
    Crypto,
    /// `sendrecv`, `sendonly`, `recvonly`, `inactive`.
    Direction,
    /// DTLS: fingerprints, roles (RFC 8122, RFC 8842), and what else proves an end's identity.
    Dtls,
    /// BUNDLE and its kin: `group`, `mid`, `bundle-only` (RFC 5888, RFC 9143).
    Group,
    /// ICE (RFC 8839) and other lists of addresses.
    Ice,
    /// Where else media goes: `rtcp`, `rtcp-mux`, `source-filter`, MSRP paths, ….
    Location,
    /// Everything else.
    Other,
    /// Names of the software or of the end: `tool`, clock identities.
    Product,
    /// `ssrc`, `ssrc-group`, `msid`, `cname`: names of the sending end's streams (RFC 5576).
    Source,
}

impl AttributeClass {
    /// The class of an attribute by its name.
    pub fn of(name: &str) -> AttributeClass {
        let mut room = [0; LONGER_THAN_KNOWN];
        let len = name.len().min(LONGER_THAN_KNOWN);
        let lower = &mut room[..len];
        lower.copy_from_slice(&name.as_bytes()[..len]);
        lower.make_ascii_lowercase();
        match &*lower {
            b"sendrecv" | b"sendonly" | b"recvonly" | b"inactive" => AttributeClass::Direction,
            b"rtpmap" | b"fmtp" | b"ptime" | b"maxptime" | b"rtcp-fb" | b"framerate"
            | b"imageattr" => AttributeClass::Codec,
            b"crypto" | b"key-mgmt" | b"zrtp-hash" => AttributeClass::Crypto,
            b"fingerprint" | b"setup" | b"tls-id" | b"dtls-id" | b"identity" | b"connection" => {
                AttributeClass::Dtls
            }
            b"group" | b"mid" | b"bundle-only" => AttributeClass::Group,
            b"candidate" | b"end-of-candidates" | b"remote-candidates" | b"altc" => {
                AttributeClass::Ice
            }
            [b'i', b'c', b'e', b'-', ..] => AttributeClass::Ice,
            b"rtcp" | b"rtcp-mux" | b"rtcp-mux-only" | b"rtcp-unicast" | b"source-filter"
            | b"path" => AttributeClass::Location,
            b"acap" | b"acfg" | b"bcap" | b"ccap" | b"creq" | b"csup" | b"icap" | b"lcfg"
            | b"mcap" | b"mfcap" | b"mscap" | b"omcap" | b"pcfg" | b"rmcap" | b"sescap"
            | b"tcap" => AttributeClass::Capability,
            b"tool" | b"mediaclk" | b"ts-refclk" => AttributeClass::Product,
            b"ssrc" | b"ssrc-group" | b"cname" | b"msid" | b"msid-semantic" | b"remote-ssrc" => {
                AttributeClass::Source
            }
            _ => AttributeClass::Other,
        }
    }

    /// Whether values of this class may hold keys or passwords, which never print.
    pub const fn holds_secret(self) -> bool {
        matches!(
            self,
            AttributeClass::Capability | AttributeClass::Crypto | AttributeClass::Ice
        )
    }
}

/// The attributes of a session or of one media description, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes(Vec<Attribute>);

impl Attributes {
    /// The attributes in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Attribute> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first attribute of this name.
    pub fn find(&self, name: &str) -> Option<&Attribute> {
        self.0.iter().find(|attribute| attribute.is(name))
    }

    /// Whether there is one of this name.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The value of the first attribute of this name that has one.
    pub fn value<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.values(name).next()
    }

    /// The values of all attributes of this name.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0
            .iter()
            .filter(move |attribute| attribute.is(name))
            .filter_map(Attribute::value)
    }

    /// The direction that is written here, if any; the first counts.
    pub fn direction(&self) -> Option<Direction> {
        self.0
            .iter()
            .find_map(|attribute| Direction::from_name(attribute.name()))
    }

    /// Appends one.
    pub fn push(&mut self, attribute: Attribute) {
        self.0.push(attribute);
    }

    /// Puts `attribute` in the place of the first that `replaces` names and removes the others;
    /// appends it if there is none.
    pub fn replace(&mut self, attribute: Attribute, replaces: impl Fn(&Attribute) -> bool) {
        match self.0.iter().position(&replaces) {
            Some(first) => {
                let mut index = 0;
                self.0.retain(|old| {
                    index += 1;
                    index <= first + 1 || !replaces(old)
                });
                self.0[first] = attribute;
            }
            None => self.0.push(attribute),
        }
    }

    /// Removes all of this name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|attribute| !attribute.is(name));
    }

    /// Keeps those that `keep` wants.
    pub fn retain(&mut self, keep: impl FnMut(&Attribute) -> bool) {
        self.0.retain(keep);
    }
}

impl<'a> IntoIterator for &'a Attributes {
    type Item = &'a Attribute;
    type IntoIter = std::slice::Iter<'a, Attribute>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// More than the longest name that has a class of its own, so that a cut name is none of them.
const LONGER_THAN_KNOWN: usize = 24;

//! Topology hiding: one side's description made fit for the other side to see.
//!
//! [`hide`] replaces what a description must have and says where it came from (`o=`, `s=`, `c=`),
//! removes what it need not have (`i=`, `u=`, `e=`, `p=`, `k=`, ICE, DTLS, BUNDLE, SSRC names, SDES
//! keys, `a=rtcp`, `a=rtcp-mux`, software names) and lets every other attribute pass in order,
//! known or not, unless it names an address or a forbidden name. *Any* literal address is enough:
//! behind a border it is useless to the other side, and only its own side knows whose it is.
//!
//! What is local to one side comes from the caller afterwards: port, transport, keys, RTCP.

use std::net::IpAddr;

use smallvec::SmallVec;

use crate::address::{Address, Connection};
use crate::attribute::{Attribute, AttributeClass, Attributes};
use crate::description::{Line, Origin, SessionDescription};
use crate::direction::Direction;
use crate::media::{Media, MediaKind, Proto};
use crate::mention::{Dashed, contains_name, has_address};
use crate::text::Text;

/// What [`hide`] writes in place of what it removes, and what must not remain.
#[derive(Clone, Copy, Debug)]
pub struct Hide<'a> {
    /// Our address on the side that will see the description; goes to `o=` and `c=`.
    pub address: IpAddr,
    /// Our identifier of the session towards that side; the same for all of a call's descriptions.
    pub session_id: u64,
    /// Grows by one with each changed description that we send there (RFC 3264 §8).
    pub version: u64,
    /// Addresses and names of the side that wrote the description.
    pub forbidden: &'a [Forbidden<'a>],
}

/// Something of one side that the other side must not see.
#[derive(Clone, Copy, Debug)]
pub enum Forbidden<'a> {
    /// An address, also in the `10-0-0-1` of generated host names.
    Address(IpAddr),
    /// A host name, a product, a user: found whatever its case, between any two characters that
    /// are neither letters nor digits.
    Name(&'a [u8]),
}

/// How many attributes [`hide`] removed; for counters and traces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    /// Because of their class.
    pub by_class: usize,
    /// Because they named an address or something forbidden.
    pub by_content: usize,
}

/// Removes the traces of the side that wrote `description`.
///
/// A media description that was on hold by `0.0.0.0` is on hold by its direction afterwards, since
/// our own address takes the place of the zeros.
pub fn hide(description: &mut SessionDescription, hide: &Hide<'_>) -> Hidden {
    let names = names_within(description);
    let traces = Traces::new(hide.forbidden, &names);
    let mut hidden = Hidden::default();
    keep_hold(description);
    description.origin = Origin::new(hide.session_id, hide.version, hide.address);
    description.session_name = Text::from("-");
    description.connection = Some(Connection::from(hide.address));
    hide_lines(&mut description.lines, &traces);
    description.ensure_time();
    hide_attributes(&mut description.attributes, &traces, &mut hidden);
    for media in &mut description.media {
        media.connection = None;
        media.port_count = 1;
        hide_lines(&mut media.lines, &traces);
        hide_words(media, &traces);
        hide_attributes(&mut media.attributes, &traces, &mut hidden);
    }
    hidden
}

/// What must not remain: the caller's list and the names that the description itself uses as
/// hosts. Literal addresses need no list.
struct Traces<'a> {
    forbidden: &'a [Forbidden<'a>],
    names: &'a [Text],
    /// The forbidden IPv4 addresses with dashes.
    dashed: SmallVec<[Dashed; 4]>,
}

impl<'a> Traces<'a> {
    fn new(forbidden: &'a [Forbidden<'a>], names: &'a [Text]) -> Traces<'a> {
        let dashed = forbidden.iter().filter_map(|forbidden| match forbidden {
            Forbidden::Address(IpAddr::V4(ip)) => Some(Dashed::new(*ip)),
            _ => None,
        });
        Traces {
            forbidden,
            names,
            dashed: dashed.collect(),
        }
    }

    fn are_in(&self, text: &[u8]) -> bool {
        has_address(text)
            || self
                .names
                .iter()
                .any(|name| contains_name(text, name.as_bytes()))
            || self.dashed.iter().any(|dashed| dashed.is_in(text))
            || self.forbidden.iter().any(|forbidden| match forbidden {
                Forbidden::Address(_) => false,
                Forbidden::Name(name) => contains_name(text, name),
            })
    }
}

/// Host names in `o=` and `c=` lines.
fn names_within(description: &SessionDescription) -> SmallVec<[Text; 2]> {
    let connections = description
        .media
        .iter()
        .filter_map(|media| media.connection.as_ref());
    connections
        .chain(&description.connection)
        .map(|connection| &connection.address)
        .chain([&description.origin.address])
        .filter_map(|address| match address {
            Address::Ip(_) => None,
            Address::Name { name, .. } => Some(name.clone()),
        })
        .collect()
}

/// Says by direction what `c=0.0.0.0` says: send us nothing (RFC 3264 §8.4).
fn keep_hold(description: &mut SessionDescription) {
    let held: Vec<Option<Direction>> = description
        .media
        .iter()
        .map(|media| {
            let zeros = description
                .connection(media)
                .is_some_and(Connection::is_unspecified);
            let sends = description.direction(media).sends();
            (zeros && !media.is_rejected()).then(|| Direction::new(sends, false))
        })
        .collect();
    for (media, direction) in description.media.iter_mut().zip(held) {
        if let Some(direction) = direction {
            media.set_direction(direction);
        }
    }
}

/// Leaves bandwidths, and times made of numbers.
fn hide_lines(lines: &mut Vec<Line>, traces: &Traces<'_>) {
    lines.retain(|line| {
        let text = line.text.as_bytes();
        match line.letter {
            b'b' => !traces.are_in(text),
            b't' | b'r' | b'z' => text.iter().all(|b| b"0123456789 -dhms".contains(b)),
            _ => false,
        }
    });
}

/// The words of the `m=` line itself: a format that tells goes, a kind or transport becomes `-`.
fn hide_words(media: &mut Media, traces: &Traces<'_>) {
    if matches!(&media.kind, MediaKind::Other(word) if traces.are_in(word.as_bytes())) {
        media.kind = MediaKind::Other(Text::from("-"));
    }
    if matches!(&media.proto, Proto::Other(word) if traces.are_in(word.as_bytes())) {
        media.proto = Proto::Other(Text::from("-"));
    }
    if media.formats().any(|format| traces.are_in(format)) {
        media.retain_formats(|format| !traces.are_in(format));
    }
}

fn hide_attributes(attributes: &mut Attributes, traces: &Traces<'_>, hidden: &mut Hidden) {
    attributes.retain(|attribute| {
        if is_local(attribute) {
            hidden.by_class += 1;
            return false;
        }
        // The name is searched apart: its colon would make an address out of `a=fec::1`.
        let tells = traces.are_in(attribute.name().as_bytes())
            || attribute.value().is_some_and(|value| traces.are_in(value));
        hidden.by_content += usize::from(tells);
        !tells
    });
}

/// Whether an attribute concerns one side only.
fn is_local(attribute: &Attribute) -> bool {
    match attribute.class() {
        AttributeClass::Codec | AttributeClass::Direction => false,
        AttributeClass::Other => {
            // These header extensions carry CNAME and MID in each packet (RFC 7941).
            attribute.is("extmap")
                && attribute
                    .value()
                    .is_some_and(|value| memchr::memmem::find(value, b"hdrext:sdes:").is_some())
        }
        _ => true,
    }
}

//! A session description (RFC 8866 §5): the session's own lines and its media descriptions.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::address::{Address, Connection};
use crate::attribute::Attributes;
use crate::defects::Defects;
use crate::direction::Direction;
use crate::media::Media;
use crate::text::{Text, number, words};

/// A session description.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionDescription {
    /// The `o=` line.
    pub origin: Origin,
    /// The `s=` line.
    pub session_name: Text,
    /// The session's `c=` line, for media without their own.
    pub connection: Option<Connection>,
    /// The session's `a=` lines in order.
    pub attributes: Attributes,
    /// The media descriptions in order.
    pub media: Vec<Media>,
    /// `i=`, `u=`, `e=`, `p=`, `b=`, `t=`, `r=`, `z=` and `k=` lines.
    pub(crate) lines: Vec<Line>,
    pub(crate) defects: Defects,
}

impl SessionDescription {
    /// A description without media, for a session without a time limit.
    pub fn new(origin: Origin) -> SessionDescription {
        let mut description = SessionDescription {
            origin,
            session_name: Text::from("-"),
            connection: None,
            attributes: Attributes::default(),
            media: Vec::new(),
            lines: Vec::new(),
            defects: Defects::NONE,
        };
        description.ensure_time();
        description
    }

    /// What the parser mended or dropped.
    pub const fn defects(&self) -> Defects {
        self.defects
    }

    /// The media descriptions that are neither refused nor ended, with their positions.
    pub fn active_media(&self) -> impl Iterator<Item = (usize, &Media)> {
        self.media
            .iter()
            .enumerate()
            .filter(|(_, media)| !media.is_rejected())
    }

    /// The `c=` line that counts for a media description of this session.
    pub fn connection<'a>(&'a self, media: &'a Media) -> Option<&'a Connection> {
        media.connection.as_ref().or(self.connection.as_ref())
    }

    /// The direction that counts for a media description of this session.
    pub fn direction(&self, media: &Media) -> Direction {
        media
            .attributes
            .direction()
            .or_else(|| self.attributes.direction())
            .unwrap_or_default()
    }

    /// Where RTP of a media description of this session is to be sent: `None` if it is refused,
    /// on hold by `0.0.0.0`, or aimed at a name, a group or a broadcast.
    pub fn rtp_address(&self, media: &Media) -> Option<SocketAddr> {
        let ip = self.connection(media)?.unicast()?;
        (media.port != 0).then(|| SocketAddr::new(ip, media.port))
    }

    /// Where RTCP of a media description of this session is to be sent: as `a=rtcp` says, to the
    /// RTP port where both share it, else to the next port (RFC 3550 §11).
    pub fn rtcp_address(&self, media: &Media) -> Option<SocketAddr> {
        let rtp = self.rtp_address(media)?;
        if media.rtcp_mux() {
            return Some(rtp);
        }
        match media.rtcp() {
            Some(rtcp) => {
                let ip = match rtcp.address {
                    Some(address) => Connection {
                        address,
                        ttl: None,
                        count: None,
                    }
                    .unicast()?,
                    None => rtp.ip(),
                };
                (rtcp.port != 0).then(|| SocketAddr::new(ip, rtcp.port))
            }
            None => Some(SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?)),
        }
    }

    /// Adds the `t=0 0` of a session without a time limit if there is no time at all.
    pub(crate) fn ensure_time(&mut self) {
        if !self.lines.iter().any(|line| line.letter == b't') {
            self.lines.push(Line {
                letter: b't',
                text: Text::from("0 0"),
            });
        }
    }

    /// The session's `b=` lines.
    pub fn bandwidths(&self) -> impl Iterator<Item = Bandwidth<'_>> {
        bandwidths(&self.lines)
    }
}

/// Prints what is not UTF-8 as U+FFFD; use [`SessionDescription::write`] for the wire.
///
/// Keys print too: this is the text that is sent. Logs use `Debug`, which leaves them out.
impl fmt::Display for SessionDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_bytes()))
    }
}

/// The `o=` line (RFC 8866 §5.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The user at the originating host, or `-`.
    pub username: Text,
    /// Names the session together with the other fields.
    pub session_id: u64,
    /// Grows with each change of the description.
    pub version: u64,
    /// The originating host.
    pub address: Address,
}

impl Origin {
    /// An origin without a user's name.
    pub fn new(session_id: u64, version: u64, address: IpAddr) -> Origin {
        let address = Address::Ip(address);
        Origin {
            username: Text::from("-"),
            session_id,
            version,
            address,
        }
    }

    /// What stands for an origin that is missing.
    pub(crate) fn unknown() -> Origin {
        Origin::new(0, 0, IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }

    /// Reads the value of an `o=` line; the defects say what did not fit.
    ///
    /// Identifiers beyond 64 bits become the greatest number, since the grammar bounds none.
    pub(crate) fn parse(value: &[u8]) -> (Origin, Defects) {
        let mut defects = Defects::NONE;
        let mut origin = Origin::unknown();
        let mut parts = words(value);
        let mut next = || parts.next().unwrap_or_default();
        origin.username = Text::new(next());
        let (session_id, version) = (next(), next());
        let (net, family, address) = (next(), next(), next());
        for (field, text) in [
            (&mut origin.session_id, session_id),
            (&mut origin.version, version),
        ] {
            let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
            *field = number(text).unwrap_or(if digits { u64::MAX } else { 0 });
            if !digits {
                defects.insert(Defects::BAD_ORIGIN);
            }
        }
        match Address::parse(family, address) {
            Some((parsed, mismatch)) if net.eq_ignore_ascii_case(b"IN") => {
                origin.address = parsed;
                if mismatch {
                    defects.insert(Defects::ADDRESS_TYPE_MISMATCH);
                }
            }
            _ => defects.insert(Defects::BAD_ORIGIN),
        }
        (origin, defects)
    }
}

/// A `b=` line (RFC 8866 §5.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bandwidth<'a> {
    /// `AS`, `CT`, `TIAS`, ….
    pub kind: &'a [u8],
    /// Kilobits per second for `AS` and `CT`, bits per second for `TIAS`, `RS` and `RR`.
    pub value: u64,
}

impl Bandwidth<'_> {
    /// Reads the value of a `b=` line.
    pub(crate) fn parse(value: &[u8]) -> Option<Bandwidth<'_>> {
        let colon = memchr::memchr(b':', value)?;
        let kind = value[..colon].trim_ascii();
        let value = number(value[colon + 1..].trim_ascii())?;
        crate::text::is_token(kind).then_some(Bandwidth { kind, value })
    }
}

/// A line that is passed on or dropped as a whole.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Line {
    pub(crate) letter: u8,
    pub(crate) text: Text,
}

/// The key of a `k=` line does not print.
impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = char::from(self.letter);
        match self.letter {
            b'k' => write!(f, "k=…"),
            _ => write!(f, "{letter}={:?}", self.text),
        }
    }
}

pub(crate) fn bandwidths(lines: &[Line]) -> impl Iterator<Item = Bandwidth<'_>> {
    lines
        .iter()
        .filter(|line| line.letter == b'b')
        .filter_map(|line| Bandwidth::parse(line.text.as_bytes()))
}

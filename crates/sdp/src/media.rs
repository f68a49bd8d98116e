//! One media description (RFC 8866 §5.14): its `m=` line and all that belongs to it.

use std::fmt;

use crate::address::Connection;
use crate::attribute::{Attribute, Attributes};
use crate::codec::{Codec, payload_type_number};
use crate::crypto::{Crypto, CryptoError};
use crate::description::{Bandwidth, Line, bandwidths};
use crate::direction::Direction;
use crate::rtcp::Rtcp;
use crate::text::{Text, first_word, number, words};

/// What a media description is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// `application`.
    Application,
    /// `audio`.
    Audio,
    /// `image`: fax.
    Image,
    /// `message`.
    Message,
    /// `text`.
    Text,
    /// `video`.
    Video,
    /// Another word.
    Other(Text),
}

impl MediaKind {
    /// The word.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            MediaKind::Application => b"application",
            MediaKind::Audio => b"audio",
            MediaKind::Image => b"image",
            MediaKind::Message => b"message",
            MediaKind::Other(word) => word.as_bytes(),
            MediaKind::Text => b"text",
            MediaKind::Video => b"video",
        }
    }

    pub(crate) fn parse(word: &[u8]) -> MediaKind {
        use MediaKind::*;
        [Application, Audio, Image, Message, Text, Video]
            .into_iter()
            .find(|kind| kind.as_bytes().eq_ignore_ascii_case(word))
            .unwrap_or_else(|| Other(crate::text::Text::new(word)))
    }
}

/// The transport of a media description.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Proto {
    /// `RTP/AVP`.
    RtpAvp,
    /// `RTP/AVPF` (RFC 4585).
    RtpAvpf,
    /// `RTP/SAVP` (RFC 3711).
    RtpSavp,
    /// `RTP/SAVPF` (RFC 5124).
    RtpSavpf,
    /// `udptl`: T.38 fax.
    Udptl,
    /// `UDP/TLS/RTP/SAVP` (RFC 5764).
    UdpTlsRtpSavp,
    /// `UDP/TLS/RTP/SAVPF`.
    UdpTlsRtpSavpf,
    /// Another one.
    Other(Text),
}

impl Proto {
    /// The words between the slashes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Proto::Other(word) => word.as_bytes(),
            Proto::RtpAvp => b"RTP/AVP",
            Proto::RtpAvpf => b"RTP/AVPF",
            Proto::RtpSavp => b"RTP/SAVP",
            Proto::RtpSavpf => b"RTP/SAVPF",
            Proto::UdpTlsRtpSavp => b"UDP/TLS/RTP/SAVP",
            Proto::UdpTlsRtpSavpf => b"UDP/TLS/RTP/SAVPF",
            Proto::Udptl => b"udptl",
        }
    }

    /// Whether RTP runs over it, so that formats are payload types.
    pub const fn is_rtp(&self) -> bool {
        !matches!(self, Proto::Udptl | Proto::Other(_))
    }

    /// Whether it is SRTP, by whatever key exchange.
    pub const fn is_secure(&self) -> bool {
        matches!(self, Proto::RtpSavp | Proto::RtpSavpf) || self.is_dtls()
    }

    /// Whether keys come from a DTLS handshake.
    pub const fn is_dtls(&self) -> bool {
        matches!(self, Proto::UdpTlsRtpSavp | Proto::UdpTlsRtpSavpf)
    }

    /// Whether it is a profile with RTCP feedback (RFC 4585).
    pub const fn has_feedback(&self) -> bool {
        matches!(
            self,
            Proto::RtpAvpf | Proto::RtpSavpf | Proto::UdpTlsRtpSavpf
        )
    }

    /// The same profile, as SRTP with SDES or as plain RTP; what is not RTP stays as it is.
    pub fn with_security(&self, secure: bool) -> Proto {
        match (self.is_rtp(), secure, self.has_feedback()) {
            (false, ..) => self.clone(),
            (true, false, false) => Proto::RtpAvp,
            (true, false, true) => Proto::RtpAvpf,
            (true, true, false) => Proto::RtpSavp,
            (true, true, true) => Proto::RtpSavpf,
        }
    }

    pub(crate) fn parse(word: &[u8]) -> Proto {
        use Proto::*;
        [
            RtpAvp,
            RtpAvpf,
            RtpSavp,
            RtpSavpf,
            Udptl,
            UdpTlsRtpSavp,
            UdpTlsRtpSavpf,
        ]
        .into_iter()
        .find(|proto| proto.as_bytes().eq_ignore_ascii_case(word))
        .unwrap_or_else(|| Other(Text::new(word)))
    }
}

impl fmt::Display for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Text::new(self.as_bytes()).fmt(f)
    }
}

/// One media description.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Media {
    /// What it is of.
    pub kind: MediaKind,
    /// The port media is received at; 0 if the stream is refused or ended (RFC 3264 §6, §8.2).
    pub port: u16,
    /// How many ports, or pairs of ports, follow one another; 1 unless written.
    pub port_count: u16,
    /// The transport.
    pub proto: Proto,
    /// Its own `c=` line.
    pub connection: Option<Connection>,
    /// Its `a=` lines in order.
    pub attributes: Attributes,
    /// The formats, one space between them.
    pub(crate) formats: Text,
    /// `i=`, `b=` and `k=` lines.
    pub(crate) lines: Vec<Line>,
}

impl Media {
    /// A media description without attributes.
    pub fn new<'a>(
        kind: MediaKind,
        port: u16,
        proto: Proto,
        formats: impl IntoIterator<Item = &'a str>,
    ) -> Media {
        let mut media = Media {
            kind,
            port,
            port_count: 1,
            proto,
            connection: None,
            attributes: Attributes::default(),
            formats: Text::default(),
            lines: Vec::new(),
        };
        media.set_formats(formats);
        media
    }

    /// Reads the value of an `m=` line. Lenient about blanks and about missing formats.
    pub(crate) fn parse(value: &[u8]) -> Option<Media> {
        let mut parts = words(value);
        let kind = MediaKind::parse(parts.next()?);
        let mut ports = parts.next()?.split(|&b| b == b'/');
        let port = u16::try_from(number(ports.next()?)?).ok()?;
        let port_count = match ports.next() {
            Some(count) => u16::try_from(number(count)?)
                .ok()
                .filter(|&count| count > 0)?,
            None => 1,
        };
        let proto = Proto::parse(parts.next()?);
        let mut media = Media::new(kind, port, proto, []);
        media.port_count = port_count;
        parts.for_each(|format| media.push_format(format));
        Some(media)
    }

    /// Replaces the formats. Blanks inside one separate it into two.
    pub fn set_formats<'a>(&mut self, formats: impl IntoIterator<Item = &'a str>) {
        self.formats = Text::default();
        for format in formats {
            words(format.as_bytes()).for_each(|word| self.push_format(word));
        }
    }

    /// Sets the direction, whatever the session's is.
    pub fn set_direction(&mut self, direction: Direction) {
        self.attributes
            .replace(Attribute::flag(direction.name()), |old| {
                Direction::from_name(old.name()).is_some()
            });
    }

    /// Replaces all `a=crypto` lines.
    pub fn set_crypto<'a>(&mut self, crypto: impl IntoIterator<Item = &'a Crypto>) {
        self.attributes.remove("crypto");
        for line in crypto {
            self.attributes.push(line.to_attribute());
        }
    }

    /// Adds or removes `a=rtcp-mux` (RFC 5761 §5.1.1).
    pub fn set_rtcp_mux(&mut self, mux: bool) {
        self.attributes.remove("rtcp-mux");
        if mux {
            self.attributes.push(Attribute::flag("rtcp-mux"));
        }
    }

    /// Names the RTCP port (RFC 3605), or removes the line.
    pub fn set_rtcp_port(&mut self, port: Option<u16>) {
        self.attributes.remove("rtcp");
        if let Some(port) = port {
            self.attributes
                .push(Attribute::new("rtcp", port.to_string()));
        }
    }

    /// Sets the packet time in milliseconds.
    pub fn set_ptime(&mut self, milliseconds: u32) {
        let attribute = Attribute::new("ptime", milliseconds.to_string());
        self.attributes.replace(attribute, |old| old.is("ptime"));
    }

    /// Refuses or ends the stream: port 0, no attribute and one format left, which the grammar
    /// wants (RFC 3264 §6).
    pub fn reject(&mut self) {
        self.port = 0;
        self.port_count = 1;
        self.connection = None;
        self.attributes = Attributes::default();
        self.lines = Vec::new();
        let first = self
            .formats()
            .next()
            .map_or_else(|| Text::from("0"), Text::new);
        self.formats = first;
    }

    /// Keeps the formats that `keep` wants, in order, and the `rtpmap`, `fmtp`, `gpmd` and `rtcp-fb` lines
    /// of those only.
    pub fn retain_formats(&mut self, mut keep: impl FnMut(&[u8]) -> bool) {
        let mut kept = Text::default();
        let mut gone: Vec<Text> = Vec::new();
        for format in self.formats() {
            if keep(format) {
                append_word(&mut kept, format);
            } else {
                gone.push(Text::new(format));
            }
        }
        self.formats = kept;
        self.attributes.retain(|attribute| {
            let of_format = PER_FORMAT.iter().any(|name| attribute.is(name));
            let format = first_word(attribute.value().unwrap_or_default()).0;
            !(of_format && gone.iter().any(|gone| gone.as_bytes() == format))
        });
    }

    /// Keeps the payload types whose codec `keep` wants; those without a known codec go.
    pub fn retain_codecs(&mut self, mut keep: impl FnMut(&Codec<'_>) -> bool) {
        let kept: Vec<u8> = self
            .codecs()
            .filter(|codec| keep(codec))
            .map(|codec| codec.payload_type)
            .collect();
        self.retain_formats(|format| {
            payload_type_number(format).is_some_and(|number| kept.contains(&number))
        });
    }

    /// Whether the stream is refused or ended.
    pub const fn is_rejected(&self) -> bool {
        self.port == 0
    }

    /// The formats in order: payload types in RTP, other words elsewhere.
    pub fn formats(&self) -> impl Iterator<Item = &[u8]> {
        words(self.formats.as_bytes())
    }

    /// The payload types in order.
    pub fn payload_types(&self) -> impl Iterator<Item = u8> {
        self.formats().filter_map(payload_type_number)
    }

    /// The codecs of [`payload_types`](Media::payload_types), those without a meaning left out.
    pub fn codecs(&self) -> impl Iterator<Item = Codec<'_>> {
        self.payload_types()
            .filter_map(|payload_type| self.codec(payload_type))
    }

    /// What a payload type means: by its `rtpmap`, else by RFC 3551.
    pub fn codec(&self, payload_type: u8) -> Option<Codec<'_>> {
        self.rtpmap(payload_type)
            .or_else(|| Codec::of_static(payload_type))
    }

    /// The `rtpmap` of a payload type.
    pub fn rtpmap(&self, payload_type: u8) -> Option<Codec<'_>> {
        self.attributes
            .values("rtpmap")
            .filter_map(Codec::parse)
            .find(|codec| codec.payload_type == payload_type)
    }

    /// The parameters of a payload type's `fmtp`.
    pub fn fmtp(&self, payload_type: u8) -> Option<&[u8]> {
        self.attributes
            .values("fmtp")
            .map(first_word)
            .find(|(format, _)| payload_type_number(format) == Some(payload_type))
            .map(|(_, parameters)| parameters)
    }

    /// The payload type of telephone events (RFC 4733) at this clock rate.
    pub fn telephone_event(&self, clock_rate: u32) -> Option<u8> {
        self.codecs()
            .find(|codec| codec.is("telephone-event") && codec.clock_rate == clock_rate)
            .map(|codec| codec.payload_type)
    }

    /// The packet time in milliseconds; a fraction is cut off.
    pub fn ptime(&self) -> Option<u32> {
        milliseconds(self.attributes.value("ptime")?)
    }

    /// The longest packet time in milliseconds; a fraction is cut off.
    pub fn maxptime(&self) -> Option<u32> {
        milliseconds(self.attributes.value("maxptime")?)
    }

    /// The SDES lines in order.
    pub fn crypto(&self) -> impl Iterator<Item = Result<Crypto, CryptoError>> {
        self.attributes.values("crypto").map(Crypto::parse)
    }

    /// Where RTCP goes, if written (RFC 3605).
    pub fn rtcp(&self) -> Option<Rtcp> {
        self.attributes.value("rtcp").and_then(Rtcp::parse)
    }

    /// Whether RTP and RTCP share a port, or may (RFC 5761).
    pub fn rtcp_mux(&self) -> bool {
        self.attributes.has("rtcp-mux") || self.attributes.has("rtcp-mux-only")
    }

    /// The `b=` lines.
    pub fn bandwidths(&self) -> impl Iterator<Item = Bandwidth<'_>> {
        bandwidths(&self.lines)
    }

    fn push_format(&mut self, format: &[u8]) {
        append_word(&mut self.formats, format);
    }
}

fn append_word(text: &mut Text, word: &[u8]) {
    if !text.is_empty() {
        text.push(b" ");
    }
    text.push(word);
}

/// `20` or `22.5` (RFC 8866 §6.4).
fn milliseconds(value: &[u8]) -> Option<u32> {
    let value = value.trim_ascii();
    let whole = value.split(|&b| b == b'.').next()?;
    u32::try_from(number(whole)?).ok().filter(|&time| time > 0)
}

/// Attributes whose value begins with a format.
const PER_FORMAT: &[&str] = &["fmtp", "gpmd", "rtcp-fb", "rtpmap"];

//! Reading a session description (RFC 8866 §5 and §9), leniently.
//!
//! Real phones and carriers end lines with LF alone, forget the last line end, write `b=` lines
//! without a colon, order lines as they like and invent line types. All of that is read and noted
//! as [`Defects`]. Only what leaves the meaning open is refused.

use thiserror::Error;

use crate::address::Connection;
use crate::attribute::{Attribute, Attributes};
use crate::defects::Defects;
use crate::description::{Bandwidth, Line, Origin, SessionDescription};
use crate::media::Media;
use crate::text::{Text, number};

/// The most bytes of a description that is read. The largest seen, from a browser with a dozen
/// video codecs, have about 12,000.
pub const MAX_BODY: usize = 32 * 1024;

/// The most lines of a description that is read.
pub const MAX_LINES: usize = 512;

/// The most media descriptions of a description that is read.
pub const MAX_MEDIA: usize = 16;

/// The most formats of a media description that is read: as many as there are payload types.
pub const MAX_FORMATS: usize = 128;

/// Why a description is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SdpError {
    /// An `m=` line has no readable kind, port and transport.
    #[error("line {line} is not a media line: kind, port and transport cannot be made out")]
    BadMediaLine {
        /// Counted from 1.
        line: usize,
    },
    /// There is no line of a session description at all.
    #[error("not a session description")]
    NotSdp,
    /// More than [`MAX_BODY`] bytes.
    #[error("more than {MAX_BODY} bytes")]
    TooLarge,
    /// A media description with more than [`MAX_FORMATS`] formats.
    #[error("a media description with more than {MAX_FORMATS} formats")]
    TooManyFormats,
    /// More than [`MAX_LINES`] lines.
    #[error("more than {MAX_LINES} lines")]
    TooManyLines,
    /// More than [`MAX_MEDIA`] media descriptions.
    #[error("more than {MAX_MEDIA} media descriptions")]
    TooManyMedia,
    /// A version other than 0.
    #[error("the version is not 0")]
    Version,
}

impl SessionDescription {
    /// Reads a description; see [`defects`](SessionDescription::defects) for what was mended.
    pub fn parse(body: &[u8]) -> Result<SessionDescription, SdpError> {
        if body.len() > MAX_BODY {
            return Err(SdpError::TooLarge);
        }
        let mut parser = Parser::new();
        if str::from_utf8(body).is_err() {
            parser.defects.insert(Defects::NON_UTF8);
        }
        let mut rest = body;
        let mut number = 0;
        while !rest.is_empty() {
            number += 1;
            if number > MAX_LINES {
                return Err(SdpError::TooManyLines);
            }
            let (line, after) = split_line(rest, &mut parser.defects);
            rest = after;
            if memchr::memchr2(b'\r', 0, line).is_some() {
                parser.defects.insert(Defects::CONTROL_BYTES);
                parser.line(number, Text::new(line).as_bytes())?;
            } else {
                parser.line(number, line)?;
            }
        }
        parser.finish()
    }
}

struct Parser {
    description: SessionDescription,
    defects: Defects,
    seen: u32,
    rank: u8,
}

impl Parser {
    fn new() -> Parser {
        let mut description = SessionDescription::new(Origin::unknown());
        description.lines.clear();
        Parser {
            description,
            defects: Defects::NONE,
            seen: 0,
            rank: 0,
        }
    }

    fn line(&mut self, number: usize, line: &[u8]) -> Result<(), SdpError> {
        let [letter @ b'a'..=b'z', b'=', value @ ..] = line else {
            self.defects.insert(Defects::LINE_WITHOUT_TYPE);
            return Ok(());
        };
        let Some(rank) = rank(*letter) else {
            self.defects.insert(Defects::UNKNOWN_LINE);
            return Ok(());
        };
        if *letter == b'm' {
            return self.media_line(number, value);
        }
        if rank < self.rank {
            self.defects.insert(Defects::MISORDERED);
        }
        self.rank = self.rank.max(rank);
        match self.description.media.last_mut() {
            Some(media) => {
                line_of_media(media, *letter, value, &mut self.defects);
                Ok(())
            }
            None => self.line_of_session(*letter, value),
        }
    }

    fn media_line(&mut self, number: usize, value: &[u8]) -> Result<(), SdpError> {
        if self.description.media.len() == MAX_MEDIA {
            return Err(SdpError::TooManyMedia);
        }
        let media = Media::parse(value).ok_or(SdpError::BadMediaLine { line: number })?;
        if media.formats.is_empty() {
            self.defects.insert(Defects::NO_FORMATS);
        }
        if media.formats().nth(MAX_FORMATS).is_some() {
            return Err(SdpError::TooManyFormats);
        }
        self.description.media.push(media);
        self.rank = 0;
        self.seen |= bit(b'm');
        Ok(())
    }

    fn line_of_session(&mut self, letter: u8, value: &[u8]) -> Result<(), SdpError> {
        let again = self.seen & bit(letter) != 0;
        self.seen |= bit(letter);
        let description = &mut self.description;
        match letter {
            b'v' | b'o' | b's' | b'c' if again => self.defects.insert(Defects::DUPLICATE_LINE),
            b'v' if number(value.trim_ascii()) != Some(0) => return Err(SdpError::Version),
            b'v' => {}
            b'o' => {
                let (origin, defects) = Origin::parse(value);
                description.origin = origin;
                self.defects.insert(defects);
            }
            b's' => description.session_name = Text::new(value),
            b'c' => description.connection = read_connection(value, &mut self.defects),
            b'a' => read_attribute(value, &mut description.attributes, &mut self.defects),
            _ => read_line(letter, value, &mut description.lines, &mut self.defects),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<SessionDescription, SdpError> {
        if self.seen == 0 {
            return Err(SdpError::NotSdp);
        }
        for (letter, defect) in [
            (b'v', Defects::MISSING_VERSION),
            (b'o', Defects::MISSING_ORIGIN),
            (b's', Defects::MISSING_SESSION_NAME),
            (b't', Defects::MISSING_TIME),
        ] {
            if self.seen & bit(letter) == 0 {
                self.defects.insert(defect);
            }
        }
        self.description.ensure_time();
        self.description.defects = self.defects;
        Ok(self.description)
    }
}

fn line_of_media(media: &mut Media, letter: u8, value: &[u8], defects: &mut Defects) {
    match letter {
        b'c' if media.connection.is_some() => defects.insert(Defects::DUPLICATE_LINE),
        b'c' => media.connection = read_connection(value, defects),
        b'a' => read_attribute(value, &mut media.attributes, defects),
        b'i' | b'b' | b'k' => read_line(letter, value, &mut media.lines, defects),
        _ => defects.insert(Defects::MISPLACED_LINE),
    }
}

/// One line without its end, and what follows it.
fn split_line<'a>(bytes: &'a [u8], defects: &mut Defects) -> (&'a [u8], &'a [u8]) {
    let (line, rest) = match memchr::memchr(b'\n', bytes) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &b""[..]),
    };
    let line = match line.strip_suffix(b"\r") {
        Some(line) if line.len() + 2 == bytes.len() - rest.len() => line,
        other => {
            defects.insert(Defects::LINE_ENDS);
            other.unwrap_or(line)
        }
    };
    (line, rest)
}

fn read_connection(value: &[u8], defects: &mut Defects) -> Option<Connection> {
    let Some((connection, mismatch)) = Connection::parse(value) else {
        defects.insert(Defects::BAD_CONNECTION);
        return None;
    };
    if mismatch {
        defects.insert(Defects::ADDRESS_TYPE_MISMATCH);
    }
    Some(connection)
}

fn read_attribute(value: &[u8], attributes: &mut Attributes, defects: &mut Defects) {
    match Attribute::parse(value) {
        Some(attribute) => attributes.push(attribute),
        None => defects.insert(Defects::BAD_ATTRIBUTE),
    }
}

fn read_line(letter: u8, value: &[u8], lines: &mut Vec<Line>, defects: &mut Defects) {
    if letter == b'b' && Bandwidth::parse(value).is_none() {
        defects.insert(Defects::BAD_BANDWIDTH);
    } else {
        lines.push(Line {
            letter,
            text: Text::new(value),
        });
    }
}

/// The place of a line type in RFC 8866 §5's order; `None` for unknown types.
const fn rank(letter: u8) -> Option<u8> {
    Some(match letter {
        b'v' => 0,
        b'o' => 1,
        b's' => 2,
        b'i' => 3,
        b'u' => 4,
        b'e' => 5,
        b'p' => 6,
        b'c' => 7,
        b'b' => 8,
        b't' | b'r' | b'z' => 9,
        b'k' => 10,
        b'a' => 11,
        b'm' => 12,
        _ => return None,
    })
}

const fn bit(letter: u8) -> u32 {
    1 << (letter - b'a')
}

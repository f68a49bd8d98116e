//! The header index: one pass over the received bytes (RFC 3261 §7, §25.1 `SIP-message`).
//!
//! The pass finds where lines end, which header each one is, and how long the body is. It reads
//! no value but Content-Length. Datagrams and streams are read by the same function, so what one
//! takes for the end of a message is the end for the other too.
//!
//! Lenient: a line that is no header is left out and noted, LF alone ends a line, folded lines
//! are kept as they are. What to refuse is decided in [`validate`](crate::Message::validate_request).

use crate::defects::Defects;
use crate::lex::{is_lws, is_token_string, is_wsp, number};
use crate::scan::{Mark, Scanner};
use crate::start_line::StartSpans;
use crate::{FatalError, HeaderName, Message, StatusCode};

/// Headers that are indexed; those beyond are a defect.
pub const MAX_HEADERS: usize = 128;

/// The longest message, in bytes: what a UDP datagram could hold.
pub const MAX_MESSAGE: usize = u16::MAX as usize;

/// Where the parts of one message are. A scratch pad: make one, parse with it for ever.
#[derive(Clone)]
pub struct Index {
    pub(crate) start: StartSpans,
    entries: [Entry; MAX_HEADERS],
    length: usize,
    /// For each name the number of its first entry, counted from 1; 0 if there is none.
    first: [u8; HeaderName::COUNT],
    pub(crate) body: Span,
    pub(crate) defects: Defects,
}

/// One header.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) header: HeaderName,
    pub(crate) name: Span,
    pub(crate) value: Span,
}

/// A range of bytes within a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    start: u16,
    end: u16,
}

/// What the headers say about the body's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentLength {
    Absent,
    Bytes(usize),
    Conflict,
    Invalid,
}

/// The result of reading the start line and the headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    /// Where the body starts.
    pub(crate) end: usize,
    pub(crate) content_length: ContentLength,
}

impl Index {
    /// Reads a datagram: `bytes` is one message. Line ends before it are skipped (RFC 3261 §7.5),
    /// a body without Content-Length is the rest of the datagram, bytes beyond Content-Length are
    /// dropped (§18.3).
    pub fn parse<'a>(&'a mut self, bytes: &'a [u8]) -> Result<Message<'a>, FatalError> {
        let bytes = skip_line_ends(bytes);
        let head = self.read_head(bytes)?;
        let available = bytes.len() - head.end;
        let length = match head.content_length {
            ContentLength::Bytes(length) if length < available => {
                self.defects |= Defects::TRAILING_BYTES;
                length
            }
            ContentLength::Bytes(length) if length > available => {
                self.defects |= Defects::CONTENT_LENGTH_TOO_LARGE;
                available
            }
            _ => available,
        };
        Ok(self.message(bytes, head, length))
    }

    /// Reads the start line and the headers of `bytes`, which starts with the start line.
    pub(crate) fn read_head(&mut self, bytes: &[u8]) -> Result<Head, FatalError> {
        if bytes.is_empty() {
            return Err(FatalError::Empty);
        }
        if bytes.len() > MAX_MESSAGE {
            return Err(FatalError::TooLarge);
        }
        self.length = 0;
        self.first = [0; HeaderName::COUNT];
        self.defects = Defects::NONE;
        let mut lines = Lines::new(bytes);
        let line = lines.next_plain();
        let (start, defects) = StartSpans::parse(line.of(bytes))?;
        self.start = start;
        self.defects = defects;
        let content_length = self.read_headers(bytes, &mut lines);
        let head = bytes.get(..lines.at).unwrap_or(bytes);
        if lines.bare_lf {
            self.defects |= Defects::BARE_LF;
        }
        if lines.scanner.may_be_unusual() {
            self.note_unusual(head);
        }
        self.note_missing();
        Ok(Head {
            end: head.len(),
            content_length,
        })
    }

    /// The message whose head has just been read, with the `length` bytes that follow it.
    pub(crate) fn message<'a>(
        &'a mut self,
        bytes: &'a [u8],
        head: Head,
        length: usize,
    ) -> Message<'a> {
        let end = head.end + length;
        self.body = Span::new(head.end, end);
        Message::new(bytes.get(..end).unwrap_or(bytes), self)
    }

    /// The entries in order.
    pub(crate) fn entries(&self) -> &[Entry] {
        self.entries.get(..self.length).unwrap_or_default()
    }

    /// The entries from the first of that name on; empty if there is none.
    pub(crate) fn entries_from(&self, header: HeaderName) -> &[Entry] {
        match self.first.get(header as usize) {
            Some(&first) if first != 0 => self
                .entries()
                .get(usize::from(first) - 1..)
                .unwrap_or_default(),
            _ => &[],
        }
    }

    fn read_headers(&mut self, bytes: &[u8], lines: &mut Lines<'_>) -> ContentLength {
        let mut content_length = ContentLength::Absent;
        loop {
            match bytes.get(lines.at..).unwrap_or_default() {
                [] => {
                    self.defects |= Defects::MISSING_BLANK_LINE;
                    return content_length;
                }
                [b'\n', ..] | [b'\r', b'\n', ..] => {
                    lines.next_plain();
                    return content_length;
                }
                _ => {}
            }
            let Some((name, value)) = lines.next_header() else {
                self.defects |= Defects::MALFORMED_HEADER;
                continue;
            };
            let Some((header, name)) = read_name(bytes, name) else {
                self.defects |= Defects::MALFORMED_HEADER;
                continue;
            };
            if header == HeaderName::ContentLength {
                content_length = self.read_content_length(content_length, value.of(bytes));
            }
            self.push(Entry {
                header,
                name,
                value,
            });
        }
    }

    /// The one rule that picks the Content-Length, for datagrams and streams.
    fn read_content_length(&mut self, before: ContentLength, value: &[u8]) -> ContentLength {
        let length = number(value).and_then(|length| usize::try_from(length).ok());
        match (before, length) {
            (ContentLength::Conflict | ContentLength::Invalid, _) => before,
            (_, None) => {
                self.defects |= Defects::CONTENT_LENGTH_INVALID;
                ContentLength::Invalid
            }
            (ContentLength::Bytes(before), Some(length)) if before != length => {
                self.defects |= Defects::CONTENT_LENGTH_CONFLICT;
                ContentLength::Conflict
            }
            (_, Some(length)) => ContentLength::Bytes(length),
        }
    }

    fn push(&mut self, entry: Entry) {
        let Some(slot) = self.entries.get_mut(self.length) else {
            self.defects |= Defects::TOO_MANY_HEADERS;
            return;
        };
        *slot = entry;
        self.length += 1;
        if let Some(first) = self.first.get_mut(entry.header as usize) {
            if *first == 0 {
                // At most MAX_HEADERS, which fits.
                *first = self.length as u8;
            } else if entry.header.is_singleton() {
                self.defects |= Defects::DUPLICATE_SINGLETON;
            }
        }
    }

    /// Zero bytes, what is not UTF-8, and CRs that end no line. Off the usual path.
    #[cold]
    fn note_unusual(&mut self, head: &[u8]) {
        if memchr::memchr(0, head).is_some() {
            self.defects |= Defects::NUL;
        }
        if std::str::from_utf8(head).is_err() {
            self.defects |= Defects::NON_UTF8;
        }
        let ends_line = |at: usize| head.get(at + 1) == Some(&b'\n');
        if memchr::memchr_iter(b'\r', head).any(|at| !ends_line(at)) {
            self.defects |= Defects::BARE_CR;
        }
    }

    fn note_missing(&mut self) {
        for (header, defect) in [
            (HeaderName::CallId, Defects::MISSING_CALL_ID),
            (HeaderName::CSeq, Defects::MISSING_CSEQ),
            (HeaderName::From, Defects::MISSING_FROM),
            (HeaderName::To, Defects::MISSING_TO),
            (HeaderName::Via, Defects::MISSING_VIA),
        ] {
            if self.entries_from(header).is_empty() {
                self.defects |= defect;
            }
        }
    }
}

impl Default for Index {
    fn default() -> Index {
        let nothing = Span::new(0, 0);
        Index {
            start: StartSpans::Response {
                code: StatusCode::of(100),
                reason: nothing,
            },
            entries: [Entry {
                header: HeaderName::Other,
                name: nothing,
                value: nothing,
            }; MAX_HEADERS],
            length: 0,
            first: [0; HeaderName::COUNT],
            body: nothing,
            defects: Defects::NONE,
        }
    }
}

impl Span {
    /// Offsets within a message, which [`MAX_MESSAGE`] keeps within 16 bits.
    pub(crate) const fn new(start: usize, end: usize) -> Span {
        debug_assert!(start <= MAX_MESSAGE && end <= MAX_MESSAGE);
        Span {
            start: start as u16,
            end: end as u16,
        }
    }

    /// These bytes of the message.
    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        bytes
            .get(usize::from(self.start)..usize::from(self.end))
            .unwrap_or_default()
    }
}

/// Which header a name is, white space behind it cut off (`HCOLON`, RFC 3261 §25.1); `None` if it
/// is no name.
fn read_name(bytes: &[u8], name: Span) -> Option<(HeaderName, Span)> {
    let header = HeaderName::at(bytes, name.start.into(), name.end.into());
    if header != HeaderName::Other {
        return Some((header, name));
    }
    let text = name.of(bytes);
    let length = text
        .iter()
        .rposition(|&byte| !is_wsp(byte))
        .map_or(0, |last| last + 1);
    let end = usize::from(name.start) + length;
    let name = Span::new(name.start.into(), end);
    is_token_string(name.of(bytes)).then(|| (HeaderName::at(bytes, name.start.into(), end), name))
}

/// `bytes` from the first byte on that is no line end.
pub(crate) fn skip_line_ends(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
    bytes
        .get(start.unwrap_or(bytes.len())..)
        .unwrap_or_default()
}

/// Where the blank line after the headers ends, looking from `from` on: after an LF that another
/// line end follows. This is where [`Index::read_head`] stops as well; a stream looks for it
/// first, so that the head is read once.
pub(crate) fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let found = memchr::memchr(b'\n', bytes.get(at..)?)?;
        at += found + 1;
        match bytes.get(at..)? {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
}

/// Walks over the lines.
struct Lines<'a> {
    bytes: &'a [u8],
    scanner: Scanner<'a>,
    /// Where the next line starts.
    at: usize,
    /// A line ended in LF alone.
    bare_lf: bool,
}

impl<'a> Lines<'a> {
    fn new(bytes: &'a [u8]) -> Lines<'a> {
        Lines {
            bytes,
            scanner: Scanner::new(bytes),
            at: 0,
            bare_lf: false,
        }
    }

    /// The next line without its end, folds not looked for.
    fn next_plain(&mut self) -> Span {
        let start = self.at;
        let line_feed = self.scanner.next_line_feed();
        Span::new(start, self.end_line(start, line_feed))
    }

    /// The next header with its folded lines: the name with white space behind it, and the value
    /// without white space around it; `None`, and the line skipped, if it has no colon.
    fn next_header(&mut self) -> Option<(Span, Span)> {
        let start = self.at;
        let (colon, line_feed) = match self.scanner.next_mark() {
            Mark::Colon(colon) => (Some(colon), self.scanner.next_line_feed()),
            Mark::LineFeed(line_feed) => (None, Some(line_feed)),
            Mark::End => (None, None),
        };
        let mut end = self.end_line(start, line_feed);
        while self.bytes.get(self.at).is_some_and(|&byte| is_wsp(byte)) {
            let line_feed = self.scanner.next_line_feed();
            end = self.end_line(self.at, line_feed);
        }
        let colon = colon?;
        let mut value = colon + 1;
        while value < end && self.bytes.get(value).is_some_and(|&byte| is_lws(byte)) {
            value += 1;
        }
        while end > value && self.bytes.get(end - 1).is_some_and(|&byte| is_lws(byte)) {
            end -= 1;
        }
        Some((Span::new(start, colon), Span::new(value, end)))
    }

    /// Goes on after the line that started at `start`; where its text ended.
    fn end_line(&mut self, start: usize, line_feed: Option<usize>) -> usize {
        let Some(line_feed) = line_feed else {
            self.at = self.bytes.len();
            return self.at;
        };
        self.at = line_feed + 1;
        if line_feed > start && self.bytes.get(line_feed - 1) == Some(&b'\r') {
            line_feed - 1
        } else {
            self.bare_lf = true;
            line_feed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, expected: Defects, body: &str) {
        let mut index = Index::default();
        let message = index.parse(input.as_bytes()).unwrap();
        let missing = Defects::MISSING_CALL_ID
            | Defects::MISSING_CSEQ
            | Defects::MISSING_FROM
            | Defects::MISSING_TO
            | Defects::MISSING_VIA;
        assert_eq!(message.defects(), expected | missing, "{input:?}");
        assert_eq!(message.body(), body.as_bytes());
    }

    #[test]
    fn the_body_of_a_datagram() {
        check("A a SIP/2.0\r\n\r\nbody", Defects::NONE, "body");
        check("\r\n\r\nA a SIP/2.0\r\n\r\nbody", Defects::NONE, "body");
        check("A a SIP/2.0\r\nl:4\r\n\r\nbody", Defects::NONE, "body");
        check(
            "A a SIP/2.0\r\nContent-Length : 3\r\n\r\nbody",
            Defects::TRAILING_BYTES,
            "bod",
        );
        check(
            "A a SIP/2.0\r\nl:5\r\n\r\nbody",
            Defects::CONTENT_LENGTH_TOO_LARGE,
            "body",
        );
        check(
            "A a SIP/2.0\r\nl:-1\r\n\r\nbody",
            Defects::CONTENT_LENGTH_INVALID,
            "body",
        );
        check("A a SIP/2.0\r\nl:\r\n 4\r\n\r\nbody", Defects::NONE, "body");
    }

    #[test]
    fn two_lengths_are_a_defect_even_beyond_the_index() {
        let twice = Defects::DUPLICATE_SINGLETON;
        check("A a SIP/2.0\r\nl:4\r\nl:4\r\n\r\nbody", twice, "body");
        let conflict = twice | Defects::CONTENT_LENGTH_CONFLICT;
        check("A a SIP/2.0\r\nl:4\r\nl:3\r\n\r\nbody", conflict, "body");
        let many = "z:y\r\n".repeat(MAX_HEADERS);
        check(
            &format!("A a SIP/2.0\r\n{many}\r\nbody"),
            Defects::NONE,
            "body",
        );
        let beyond = Defects::TOO_MANY_HEADERS | Defects::TRAILING_BYTES;
        check(
            &format!("A a SIP/2.0\r\n{many}l:1\r\n\r\nbody"),
            beyond,
            "b",
        );
    }

    #[test]
    fn line_ends() {
        check("A a SIP/2.0\nl:4\n\nbody", Defects::BARE_LF, "body");
        check(
            "A a SIP/2.0\r\nx:a\rb\r\n\r\nbody",
            Defects::BARE_CR,
            "body",
        );
        check("A a SIP/2.0\r\nx:y\r\n", Defects::MISSING_BLANK_LINE, "");
        check("A a SIP/2.0", Defects::MISSING_BLANK_LINE, "");
        check("A a SIP/2.0\r\nx:y\r\n \r\n\r\nbody", Defects::NONE, "body");
    }

    #[test]
    fn a_line_that_is_no_header_hides_no_other() {
        let input = b"A a SIP/2.0\r\nno header\r\n: x\r\n folded\r\n\xff: y\r\nTo: z\r\n\r\n";
        let mut index = Index::default();
        let message = index.parse(input).unwrap();
        assert!(
            message
                .defects()
                .contains(Defects::MALFORMED_HEADER | Defects::NON_UTF8)
        );
        assert_eq!(message.header(HeaderName::To), Some(&b"z"[..]));
        assert_eq!(message.fields().count(), 1);
    }

    #[test]
    fn nothing_of_one_message_is_seen_in_the_next() {
        let mut index = Index::default();
        index
            .parse(b"A a SIP/2.0\r\nTo: z\r\nTo: y\r\n\r\nbody")
            .unwrap();
        let message = index.parse(b"SIP/2.0 200 OK\r\nFrom: x\r\n\r\n").unwrap();
        assert_eq!(message.header(HeaderName::To), None);
        assert!(!message.defects().contains(Defects::DUPLICATE_SINGLETON));
        assert_eq!(message.body(), b"");
    }

    #[test]
    fn what_is_no_message() {
        let mut index = Index::default();
        assert_eq!(index.parse(b"").unwrap_err(), FatalError::Empty);
        assert_eq!(index.parse(b"\r\n\r\n").unwrap_err(), FatalError::Empty);
        assert_eq!(index.parse(b"\0\0\0\0").unwrap_err(), FatalError::NotSip);
        assert_eq!(
            index.parse(&[b'a'; MAX_MESSAGE + 1]).unwrap_err(),
            FatalError::TooLarge
        );
        assert_eq!(
            index.parse(&[b'a'; MAX_MESSAGE]).unwrap_err(),
            FatalError::NotSip
        );
    }

    #[test]
    fn a_stream_finds_the_end_of_the_head_where_the_index_does() {
        for input in [
            &b"A a SIP/2.0\r\nx:y\r\n\r\nbody"[..],
            b"A a SIP/2.0\nx:y\n\nbody\n\n",
            b"A a SIP/2.0\r\nx:y\r\n \r\n\r\n\r\n",
            b"A a SIP/2.0\r\n\r\n",
            b"A a SIP/2.0\r\nx:y\n\r\n",
            b"A a SIP/2.0\r\n x\r\n\r\r\n\r\n",
        ] {
            let head = Index::default().read_head(input).unwrap();
            assert_eq!(head_end(input, 0), Some(head.end));
        }
    }
}

//! Messages out of a stream (RFC 3261 §18.3, RFC 5626 §4.4.1 for the keep-alive).
//!
//! The framer looks for the blank line and then reads the head with the index itself: there is
//! no second opinion about Content-Length. Bounded: at most one message and one read are held.
//! The time limit for a message to become complete is the edge's; see
//! [`StreamFramer::has_partial`].

use crate::defects::Defects;
use crate::index::{ContentLength, Head, head_end};
use crate::{FatalError, Index, MAX_MESSAGE, Message};

/// Cuts the bytes of one connection into messages. Feed it with [`push`](StreamFramer::push), then
/// call [`next`](StreamFramer::next) until it has nothing more.
#[derive(Debug, Default)]
pub struct StreamFramer {
    buffer: Vec<u8>,
    /// Where the next message starts in the buffer.
    start: usize,
    /// How far, from `start`, no blank line was found.
    searched: usize,
    /// How long, from `start`, the message is that is not complete yet; 0 if not known.
    awaited: usize,
    failed: Option<FramingError>,
}

/// What comes out of a stream.
#[derive(Debug)]
pub enum Frame<'a> {
    /// A message.
    Message(Message<'a>),
    /// A keep-alive, or several in a row: answer one CRLF.
    Ping,
    /// A message of which only the head is known, because its end is not (its body is shown as
    /// empty). A request may be answered, then the connection is to be closed: the stream cannot
    /// be read on, and each further call says so.
    Broken(Message<'a>, FramingError),
}

/// The stream cannot be read on; close the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// Content-Length is no number, or there are two that differ.
    #[error("the Content-Length is ambiguous")]
    ContentLength,
    /// No Content-Length, which a stream must have (RFC 3261 §20.14).
    #[error("a message on a stream without Content-Length")]
    MissingContentLength,
    /// Something else than SIP.
    #[error("not SIP")]
    NotSip(#[source] FatalError),
    /// Longer than [`MAX_MESSAGE`].
    #[error("longer than any message we accept")]
    TooLarge,
}

impl StreamFramer {
    /// A framer at the beginning of a connection.
    pub const fn new() -> StreamFramer {
        StreamFramer {
            buffer: Vec::new(),
            start: 0,
            searched: 0,
            awaited: 0,
            failed: None,
        }
    }

    /// Adds received bytes. Call [`next`](StreamFramer::next) until it returns `None` or an error
    /// before pushing again; what is pushed beyond the bound is refused by the next call.
    pub fn push(&mut self, bytes: &[u8]) {
        self.compact();
        if self.failed.is_none() && self.buffer.len() + bytes.len() > MAX_BUFFERED {
            self.failed = Some(FramingError::TooLarge);
        }
        if self.failed.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next frame, `None` if more bytes are needed. An error stays.
    // Not an iterator: what it returns borrows from it.
    #[allow(clippy::should_implement_trait)]
    pub fn next<'a>(&'a mut self, index: &'a mut Index) -> Result<Option<Frame<'a>>, FramingError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.take_pings() {
            return Ok(Some(Frame::Ping));
        }
        let bytes = self.buffer.get(self.start..).unwrap_or_default();
        if matches!(bytes, [] | [b'\r' | b'\n', ..]) || bytes.len() < self.awaited {
            return Ok(None);
        }
        let head = match self.head(index) {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(None),
            Err(error) => {
                self.failed = Some(error);
                return Err(error);
            }
        };
        let bytes = self.buffer.get(self.start..).unwrap_or_default();
        let error = match head.content_length {
            ContentLength::Bytes(length) if length <= MAX_MESSAGE - head.end => {
                self.awaited = head.end + length;
                if bytes.len() < self.awaited {
                    return Ok(None);
                }
                self.start += self.awaited;
                self.searched = 0;
                self.awaited = 0;
                return Ok(Some(Frame::Message(index.message(bytes, head, length))));
            }
            ContentLength::Bytes(_) => FramingError::TooLarge,
            ContentLength::Absent => FramingError::MissingContentLength,
            ContentLength::Conflict | ContentLength::Invalid => FramingError::ContentLength,
        };
        self.failed = Some(error);
        Ok(Some(Frame::Broken(index.message(bytes, head, 0), error)))
    }

    /// Whether a message has begun and is not complete: the edge closes the connection when this
    /// lasts. To be asked after [`next`](StreamFramer::next) has returned `None`.
    pub fn has_partial(&self) -> bool {
        self.start < self.buffer.len()
    }

    /// Reads the head if it is complete. Mostly it is, at the first try; otherwise the blank line
    /// is looked for in what has come since, so that a trickle is not read again and again.
    fn head(&mut self, index: &mut Index) -> Result<Option<Head>, FramingError> {
        let bytes = self.buffer.get(self.start..).unwrap_or_default();
        let within = bytes.get(..MAX_MESSAGE).unwrap_or(bytes);
        if self.searched == 0
            && let Ok(head) = index.read_head(within)
            && !index.defects.contains(Defects::MISSING_BLANK_LINE)
        {
            debug_assert_eq!(head_end(bytes, 0), Some(head.end), "two opinions");
            return Ok(Some(head));
        }
        let Some(end) = head_end(within, self.searched) else {
            // What may be the first part of the blank line is looked at again.
            self.searched = within.len().saturating_sub(HALF_A_BLANK_LINE);
            return match bytes.len() > MAX_MESSAGE {
                true => Err(FramingError::TooLarge),
                false => Ok(None),
            };
        };
        self.searched = end.saturating_sub(HALF_A_BLANK_LINE + 1);
        let head = index.read_head(within).map_err(FramingError::NotSip)?;
        debug_assert_eq!(head.end, end, "two opinions about the end of the head");
        Ok(Some(head))
    }

    /// Skips line ends before a start line; whether there was a keep-alive among them. One CRLF
    /// alone is no keep-alive: it answers ours, or strays (RFC 3261 §7.5).
    fn take_pings(&mut self) -> bool {
        if self.searched != 0 {
            return false;
        }
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        let ends = rest
            .iter()
            .take_while(|byte| matches!(byte, b'\r' | b'\n'))
            .count();
        let pings = ends / PING.len();
        // Half a ping waits for its other half, unless something else follows it.
        let skipped = if ends == rest.len() {
            pings * PING.len()
        } else {
            ends
        };
        self.start += skipped;
        pings > 0
    }

    /// Frees the space of the messages handed out, and what an idle connection need not hold.
    fn compact(&mut self) {
        if self.start >= self.buffer.len() {
            self.buffer.clear();
            if self.buffer.capacity() > IDLE_CAPACITY {
                self.buffer = Vec::new();
            }
        } else {
            self.buffer.drain(..self.start);
        }
        self.start = 0;
    }
}

const PING: &[u8] = b"\r\n\r\n";

/// LF CR, which LF may follow.
const HALF_A_BLANK_LINE: usize = 2;

/// One message that is not complete and one read of the same size.
const MAX_BUFFERED: usize = 2 * MAX_MESSAGE;

/// What an idle connection may keep allocated, in bytes.
const IDLE_CAPACITY: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out of `chunks`, one after the other: messages as text, pings as `ping`, errors
    /// as `error`.
    fn frames(chunks: &[&[u8]]) -> Vec<String> {
        let (mut framer, mut index, mut seen) = (StreamFramer::new(), Index::default(), vec![]);
        for chunk in chunks {
            framer.push(chunk);
            loop {
                match framer.next(&mut index) {
                    Ok(None) => break,
                    Ok(Some(Frame::Message(message))) => {
                        seen.push(String::from_utf8_lossy(message.bytes()).into_owned());
                    }
                    Ok(Some(Frame::Ping)) => seen.push("ping".to_owned()),
                    Ok(Some(Frame::Broken(message, error))) => {
                        assert!(message.body().is_empty());
                        seen.push(format!("broken: {error}"));
                    }
                    Err(error) => {
                        seen.push(format!("error: {error}"));
                        break;
                    }
                }
            }
        }
        seen
    }

    /// Checks the input at once and byte by byte.
    #[track_caller]
    fn check(input: &str, expected: &[&str]) {
        assert_eq!(frames(&[input.as_bytes()]), expected, "at once");
        let bytes: Vec<&[u8]> = input.as_bytes().chunks(1).collect();
        let mut seen = frames(&bytes);
        // An error is repeated for each byte that follows, a ping may be seen in pieces.
        seen.dedup();
        assert_eq!(seen, expected, "byte by byte");
    }

    #[test]
    fn messages_one_after_the_other() {
        check(
            "A a SIP/2.0\r\nl:2\r\n\r\nhiB b SIP/2.0\r\nContent-Length : 0\r\n\r\n",
            &[
                "A a SIP/2.0\r\nl:2\r\n\r\nhi",
                "B b SIP/2.0\r\nContent-Length : 0\r\n\r\n",
            ],
        );
        check("A a SIP/2.0\nl:3\n\na\n\nB", &["A a SIP/2.0\nl:3\n\na\n\n"]);
    }

    #[test]
    fn keep_alives_between_messages_rfc5626_4_4_1() {
        check("\r\n\r\n", &["ping"]);
        check("\r\n", &[]);
        check(
            "\r\nA a SIP/2.0\r\nl:0\r\n\r\n",
            &["A a SIP/2.0\r\nl:0\r\n\r\n"],
        );
        check(
            "\r\n\r\nA a SIP/2.0\r\nl:0\r\n\r\n\r\n\r\n",
            &["ping", "A a SIP/2.0\r\nl:0\r\n\r\n", "ping"],
        );
    }

    #[test]
    fn a_message_whose_end_is_unknown_ends_the_stream() {
        let ambiguous = [
            "broken: the Content-Length is ambiguous",
            "error: the Content-Length is ambiguous",
        ];
        check("A a SIP/2.0\r\nl:2\r\nl:3\r\n\r\nhi", &ambiguous);
        check("A a SIP/2.0\r\nl:-1\r\n\r\nhi", &ambiguous);
        check("A a SIP/2.0\r\nl:2, 2\r\n\r\nhi", &ambiguous);
        check(
            "A a SIP/2.0\r\n\r\nhi",
            &[
                "broken: a message on a stream without Content-Length",
                "error: a message on a stream without Content-Length",
            ],
        );
        check(
            "A a SIP/2.0\r\nl:65536\r\n\r\nhi",
            &[
                "broken: longer than any message we accept",
                "error: longer than any message we accept",
            ],
        );
        check("GET / HTTP/1.1\r\n\r\n", &["error: not SIP"]);
    }

    #[test]
    fn what_has_no_end_is_bounded() {
        let mut framer = StreamFramer::new();
        let mut index = Index::default();
        framer.push(&[b'a'; MAX_MESSAGE]);
        assert!(framer.next(&mut index).unwrap().is_none());
        framer.push(b"a");
        assert_eq!(framer.next(&mut index).unwrap_err(), FramingError::TooLarge);
        framer.push(&[b'a'; MAX_BUFFERED]);
        assert_eq!(framer.next(&mut index).unwrap_err(), FramingError::TooLarge);

        let mut framer = StreamFramer::new();
        framer.push(&[b'a'; MAX_BUFFERED + 1]);
        assert_eq!(framer.next(&mut index).unwrap_err(), FramingError::TooLarge);
    }

    #[test]
    fn says_whether_a_message_has_begun() {
        let (mut framer, mut index) = (StreamFramer::new(), Index::default());
        assert!(!framer.has_partial());
        framer.push(b"A a SIP/2.0\r\nl:2\r\n\r\nh");
        assert!(framer.next(&mut index).unwrap().is_none());
        assert!(framer.has_partial());
        framer.push(b"i");
        assert!(framer.next(&mut index).unwrap().is_some());
        assert!(framer.next(&mut index).unwrap().is_none());
        assert!(!framer.has_partial());
    }

    #[test]
    fn an_idle_connection_gives_its_memory_back() {
        let (mut framer, mut index) = (StreamFramer::new(), Index::default());
        framer.push(format!("A a SIP/2.0\r\nl:9999\r\n\r\n{:9999}", "").as_bytes());
        assert!(framer.next(&mut index).unwrap().is_some());
        framer.push(b"");
        assert!(framer.buffer.capacity() <= IDLE_CAPACITY);
    }
}

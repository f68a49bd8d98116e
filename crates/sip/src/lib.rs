//! SIP messages: framing, header index, typed headers, URIs, writing. No networking, no clock.
//!
//! * [`Index::parse`] makes one pass over the received bytes and notes where each header is. It
//!   allocates nothing, copies nothing and is lenient: a [`Message`] and its [`Defects`].
//! * Typed headers ([`Via`], [`NameAddr`], [`CSeq`], …) are parsed on demand from those bytes.
//! * [`Message::validate_request`] and [`Message::validate_response`] say what RFC 3261 and
//!   RFC 4475 want refused.
//! * [`frame::StreamFramer`] cuts a stream into messages with the very same header scan, so that
//!   the framer and the parser can never disagree about where a message ends.
//! * [`mod@write`] serialises; no value, wherever it came from, can start a header of its own.
//! * [`secrets()`] says which bytes must not leave the process.
//! * [`digest`] is digest authentication, for clients and for servers.
//!
//! Bytes stay bytes: one byte that is not UTF-8 spoils at most the value it stands in.
//!
//! Left out on purpose: bodies (SDP is `ringfence-sdp`), and everything that remembers something
//! between two messages, but for the counts of nonces.

mod cseq;
mod defects;
mod error;
mod header_name;
mod host;
mod index;
mod lex;
mod list;
mod message;
mod method;
mod name_addr;
mod params;
mod scan;
mod secrets;
mod start_line;
mod status;
mod uri;
mod validate;
mod via;

pub mod digest;
pub mod frame;
pub mod fuzz;
pub mod write;

pub use cseq::CSeq;
pub use defects::Defects;
pub use error::{FatalError, HeaderError, SyntaxError};
pub use header_name::HeaderName;
pub use host::Host;
pub use index::{Index, MAX_HEADERS, MAX_MESSAGE};
pub use list::Values;
pub use message::{Contact, Field, Message};
pub use method::Method;
pub use name_addr::NameAddr;
pub use params::{Param, Params};
pub use secrets::secrets;
pub use start_line::StartLine;
pub use status::StatusCode;
pub use uri::{Scheme, Uri, unescape};
pub use validate::{Rejection, Strictness};
pub use via::{BRANCH_COOKIE, Via};

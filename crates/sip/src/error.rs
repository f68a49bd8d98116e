//! Why bytes are not what they should be.

use crate::HeaderName;

/// The bytes are no SIP message at all; nothing can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FatalError {
    /// Nothing but line ends: a keep-alive (RFC 5626 §4.4.1) or an empty datagram.
    #[error("nothing but line ends")]
    Empty,
    /// The first line is neither a request line nor a status line.
    #[error("the first line is no SIP start line")]
    NotSip,
    /// A status line whose code is not within 100 to 699 (RFC 4475 §3.1.2.19).
    #[error("the status code is out of range")]
    StatusCode,
    /// Longer than [`MAX_MESSAGE`](crate::MAX_MESSAGE).
    #[error("longer than any message we accept")]
    TooLarge,
}

/// What is wrong with a piece of syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    /// A `<` or `>` is missing or misplaced.
    #[error("unbalanced angle brackets")]
    Brackets,
    /// A character that has no place here, unescaped white space for example.
    #[error("a character out of place")]
    Character,
    /// A host name or address.
    #[error("bad host")]
    Host,
    /// A method name.
    #[error("bad method")]
    Method,
    /// A number.
    #[error("bad number")]
    Number,
    /// A parameter: empty, unreadable, or given twice where once is all that makes sense.
    #[error("bad parameter")]
    Parameter,
    /// A port.
    #[error("bad port")]
    Port,
    /// A closing quote is missing, or something stands between it and the `<`.
    #[error("unbalanced quotes")]
    Quotes,
    /// A URI without a scheme.
    #[error("bad URI scheme")]
    Scheme,
    /// The user part of a URI.
    #[error("bad user part")]
    User,
    /// A protocol name or version other than SIP/2.0.
    #[error("bad protocol version")]
    Version,
}

/// A typed header could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// There, but unreadable.
    #[error("{header} is malformed")]
    Malformed {
        /// Which header.
        header: HeaderName,
        /// What about it.
        #[source]
        fault: SyntaxError,
    },
    /// Not there.
    #[error("{0} is missing")]
    Missing(HeaderName),
}

impl HeaderError {
    /// The header in question.
    pub const fn header(&self) -> HeaderName {
        match *self {
            HeaderError::Malformed { header, .. } | HeaderError::Missing(header) => header,
        }
    }
}

//! Request methods (RFC 3261 §7.1 and its extensions). Case-sensitive, as the standard has it.

use std::fmt;

use ringfence_base::text::Escaped;

/// A request method.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method<'a> {
    /// RFC 3261 §17.1.1.3
    Ack,
    /// RFC 3261 §15
    Bye,
    /// RFC 3261 §9
    Cancel,
    /// RFC 6086
    Info,
    /// RFC 3261 §13
    Invite,
    /// RFC 3428
    Message,
    /// RFC 6665
    Notify,
    /// RFC 3261 §11
    Options,
    /// RFC 3262
    Prack,
    /// RFC 3903
    Publish,
    /// RFC 3515
    Refer,
    /// RFC 3261 §10
    Register,
    /// RFC 6665
    Subscribe,
    /// RFC 3311
    Update,
    /// Any other token.
    Other(&'a [u8]),
}

impl<'a> Method<'a> {
    /// The method of that name. `token` is taken to be a token; the index has seen to it.
    pub fn new(token: &'a [u8]) -> Method<'a> {
        match token {
            b"ACK" => Method::Ack,
            b"BYE" => Method::Bye,
            b"CANCEL" => Method::Cancel,
            b"INFO" => Method::Info,
            b"INVITE" => Method::Invite,
            b"MESSAGE" => Method::Message,
            b"NOTIFY" => Method::Notify,
            b"OPTIONS" => Method::Options,
            b"PRACK" => Method::Prack,
            b"PUBLISH" => Method::Publish,
            b"REFER" => Method::Refer,
            b"REGISTER" => Method::Register,
            b"SUBSCRIBE" => Method::Subscribe,
            b"UPDATE" => Method::Update,
            other => Method::Other(other),
        }
    }

    /// The name as it goes on the wire.
    pub const fn as_bytes(self) -> &'a [u8] {
        match self {
            Method::Ack => b"ACK",
            Method::Bye => b"BYE",
            Method::Cancel => b"CANCEL",
            Method::Info => b"INFO",
            Method::Invite => b"INVITE",
            Method::Message => b"MESSAGE",
            Method::Notify => b"NOTIFY",
            Method::Options => b"OPTIONS",
            Method::Prack => b"PRACK",
            Method::Publish => b"PUBLISH",
            Method::Refer => b"REFER",
            Method::Register => b"REGISTER",
            Method::Subscribe => b"SUBSCRIBE",
            Method::Update => b"UPDATE",
            Method::Other(token) => token,
        }
    }

    /// The same method without a borrow, or `None` for one that has no name here.
    pub const fn known(self) -> Option<Method<'static>> {
        Some(match self {
            Method::Ack => Method::Ack,
            Method::Bye => Method::Bye,
            Method::Cancel => Method::Cancel,
            Method::Info => Method::Info,
            Method::Invite => Method::Invite,
            Method::Message => Method::Message,
            Method::Notify => Method::Notify,
            Method::Options => Method::Options,
            Method::Prack => Method::Prack,
            Method::Publish => Method::Publish,
            Method::Refer => Method::Refer,
            Method::Register => Method::Register,
            Method::Subscribe => Method::Subscribe,
            Method::Update => Method::Update,
            Method::Other(_) => return None,
        })
    }
}

impl AsRef<[u8]> for Method<'_> {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Display for Method<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(self.as_bytes()).fmt(f)
    }
}

impl fmt::Debug for Method<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_case_sensitive_rfc3261_7_1() {
        assert_eq!(Method::new(b"INVITE"), Method::Invite);
        assert_eq!(Method::new(b"invite"), Method::Other(b"invite"));
        assert_eq!(Method::new(b"invite").known(), None);
    }
}

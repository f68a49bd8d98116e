//! Header names, with their compact forms (RFC 3261 §7.3.3 and the registry).

use std::fmt;

macro_rules! header_names {
    (@short $name:literal) => { $name };
    (@short $name:literal $compact:literal) => { $compact };
    ($($variant:ident $name:literal $($compact:literal)?;)*) => {
        /// A header's name. Comparing is one byte; names are known in any case and in their
        /// compact form.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum HeaderName {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
            /// A name that is not in this table; [`Field::raw_name`](crate::Field::raw_name) has it.
            Other,
        }

        /// Every known spelling, full names first to last and compact ones among them.
        const SPELLINGS: &[(&str, HeaderName)] = &[
            $(($name, HeaderName::$variant), $(($compact, HeaderName::$variant),)?)*
        ];

        impl HeaderName {
            /// How many names there are, [`HeaderName::Other`] included.
            pub(crate) const COUNT: usize = HeaderName::Other as usize + 1;

            /// The full name, as it is written; `"Other"` has none of its own.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(HeaderName::$variant => $name,)*
                    HeaderName::Other => "(other)",
                }
            }

            /// The shortest way to write it: its compact form where it has one.
            pub const fn compact(self) -> &'static str {
                match self {
                    $(HeaderName::$variant => header_names!(@short $name $($compact)?),)*
                    HeaderName::Other => "(other)",
                }
            }
        }
    };
}

header_names! {
    Accept "Accept";
    AcceptContact "Accept-Contact" "a";
    AcceptEncoding "Accept-Encoding";
    AcceptLanguage "Accept-Language";
    AlertInfo "Alert-Info";
    Allow "Allow";
    AllowEvents "Allow-Events" "u";
    AuthenticationInfo "Authentication-Info";
    Authorization "Authorization";
    CallId "Call-ID" "i";
    CallInfo "Call-Info";
    Contact "Contact" "m";
    ContentDisposition "Content-Disposition";
    ContentEncoding "Content-Encoding" "e";
    ContentLanguage "Content-Language";
    ContentLength "Content-Length" "l";
    ContentType "Content-Type" "c";
    CSeq "CSeq";
    Date "Date";
    Diversion "Diversion";
    ErrorInfo "Error-Info";
    Event "Event" "o";
    Expires "Expires";
    From "From" "f";
    Geolocation "Geolocation";
    HistoryInfo "History-Info";
    Identity "Identity" "y";
    IdentityInfo "Identity-Info" "n";
    InReplyTo "In-Reply-To";
    InfoPackage "Info-Package";
    MaxForwards "Max-Forwards";
    MimeVersion "MIME-Version";
    MinExpires "Min-Expires";
    MinSe "Min-SE";
    Organization "Organization";
    PAccessNetworkInfo "P-Access-Network-Info";
    PAssertedIdentity "P-Asserted-Identity";
    PCalledPartyId "P-Called-Party-ID";
    PChargingVector "P-Charging-Vector";
    PEarlyMedia "P-Early-Media";
    PPreferredIdentity "P-Preferred-Identity";
    Path "Path";
    Priority "Priority";
    Privacy "Privacy";
    ProxyAuthenticate "Proxy-Authenticate";
    ProxyAuthorization "Proxy-Authorization";
    ProxyRequire "Proxy-Require";
    RAck "RAck";
    Reason "Reason";
    RecordRoute "Record-Route";
    RecvInfo "Recv-Info";
    ReferTo "Refer-To" "r";
    ReferredBy "Referred-By" "b";
    RejectContact "Reject-Contact" "j";
    RemotePartyId "Remote-Party-ID";
    Replaces "Replaces";
    ReplyTo "Reply-To";
    RequestDisposition "Request-Disposition" "d";
    Require "Require";
    ResourcePriority "Resource-Priority";
    RetryAfter "Retry-After";
    Route "Route";
    RSeq "RSeq";
    Server "Server";
    ServiceRoute "Service-Route";
    SessionExpires "Session-Expires" "x";
    SessionId "Session-ID";
    SipETag "SIP-ETag";
    SipIfMatch "SIP-If-Match";
    Subject "Subject" "s";
    SubscriptionState "Subscription-State";
    Supported "Supported" "k";
    Timestamp "Timestamp";
    To "To" "t";
    Unsupported "Unsupported";
    UserAgent "User-Agent";
    UserToUser "User-to-User";
    Via "Via" "v";
    Warning "Warning";
    WwwAuthenticate "WWW-Authenticate";
}

impl HeaderName {
    /// The header of that name, in any case, full or compact.
    pub fn parse(name: &[u8]) -> HeaderName {
        HeaderName::at(name, 0, name.len())
    }

    /// The header whose name stands at `start..end` of `bytes`.
    pub(crate) fn at(bytes: &[u8], start: usize, end: usize) -> HeaderName {
        let length = end.saturating_sub(start);
        if length == 0 || length > LONGEST {
            return HeaderName::Other;
        }
        let rest = bytes.get(start..).unwrap_or_default();
        let key = match rest.first_chunk() {
            Some(chunk) => Key::new(chunk, length),
            None => {
                let mut chunk = [0; LONGEST];
                for (to, from) in chunk.iter_mut().zip(rest) {
                    *to = *from;
                }
                Key::new(&chunk, length)
            }
        };
        let mut slot = key.slot();
        // Ends: the table has free slots (checked when it is built).
        while let Some((known, header)) = TABLE[slot] {
            if known.is(&key) {
                return header;
            }
            slot = (slot + 1) % SLOTS;
        }
        HeaderName::Other
    }

    /// Whether a second one makes the message ambiguous, so that it is refused rather than
    /// guessed at (RFC 4475 §3.3.8). Names whose repetition harms nobody are not counted.
    pub const fn is_singleton(self) -> bool {
        matches!(
            self,
            HeaderName::CallId
                | HeaderName::ContentLength
                | HeaderName::ContentType
                | HeaderName::CSeq
                | HeaderName::Event
                | HeaderName::Expires
                | HeaderName::From
                | HeaderName::MaxForwards
                | HeaderName::MinSe
                | HeaderName::RAck
                | HeaderName::ReferTo
                | HeaderName::Replaces
                | HeaderName::RSeq
                | HeaderName::SessionExpires
                | HeaderName::To
        )
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name in lower case, as words, to hash and to compare at once.
#[derive(Clone, Copy)]
struct Key {
    words: [u64; LONGEST / 8],
    length: u8,
}

impl Key {
    /// The first `length` bytes of `chunk`; `length` is at most [`LONGEST`].
    const fn new(chunk: &[u8; LONGEST], length: usize) -> Key {
        let (bytes, _) = chunk.as_chunks::<8>();
        let masks = &MASKS[length];
        let words = [
            lower(u64::from_le_bytes(bytes[0]) & masks[0]),
            lower(u64::from_le_bytes(bytes[1]) & masks[1]),
            lower(u64::from_le_bytes(bytes[2]) & masks[2]),
        ];
        Key {
            words,
            length: length as u8,
        }
    }

    const fn is(&self, other: &Key) -> bool {
        let [a, b, c] = self.words;
        let [x, y, z] = other.words;
        (a ^ x) | (b ^ y) | (c ^ z) == 0 && self.length == other.length
    }

    const fn slot(&self) -> usize {
        let [a, b, c] = self.words;
        let mixed = a ^ b.rotate_left(23) ^ c.rotate_left(46) ^ self.length as u64;
        (mixed.wrapping_mul(MIXER) >> 56) as usize
    }
}

/// Sets the bit of lower case in every byte that has the bit of letters. That confuses a few
/// signs with each other, but no sign with a letter or a hyphen, which is all our names have.
const fn lower(word: u64) -> u64 {
    word | ((word & 0x4040_4040_4040_4040) >> 1)
}

/// For each length of a name, the bytes of a key that belong to it.
static MASKS: [[u64; LONGEST / 8]; LONGEST + 1] = {
    let mut masks = [[0; LONGEST / 8]; LONGEST + 1];
    let mut length = 0;
    while length <= LONGEST {
        let mut byte = 0;
        while byte < length {
            masks[length][byte / 8] |= 0xff << (byte % 8 * 8);
            byte += 1;
        }
        length += 1;
    }
    masks
};

/// The longest known name fits; a longer one is none of ours.
const LONGEST: usize = 24;
const SLOTS: usize = 256;

/// An odd number, found by trying, that gives nearly every name a slot of its own (see the test).
const MIXER: u64 = 0x0438_f72a_165b_7371;

/// Open addressing, built when the crate is.
static TABLE: [Option<(Key, HeaderName)>; SLOTS] = {
    assert!(
        SPELLINGS.len() < SLOTS / 2,
        "probing ends because slots are free"
    );
    let mut table = [None; SLOTS];
    let mut spelling = 0;
    while spelling < SPELLINGS.len() {
        let (name, header) = SPELLINGS[spelling];
        let key = key_of(name.as_bytes());
        let mut slot = key.slot();
        while table[slot].is_some() {
            slot = (slot + 1) % SLOTS;
        }
        table[slot] = Some((key, header));
        spelling += 1;
    }
    table
};

const fn key_of(name: &[u8]) -> Key {
    assert!(name.len() <= LONGEST, "a name longer than a key");
    let mut chunk = [0; LONGEST];
    let mut at = 0;
    while at < name.len() {
        chunk[at] = name[at];
        at += 1;
    }
    Key::new(&chunk, name.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_found_in_any_case() {
        for (spelling, header) in SPELLINGS {
            assert_eq!(
                HeaderName::parse(spelling.as_bytes()),
                *header,
                "{spelling}"
            );
            assert_eq!(
                HeaderName::parse(spelling.to_uppercase().as_bytes()),
                *header
            );
            assert_eq!(
                HeaderName::parse(spelling.to_lowercase().as_bytes()),
                *header
            );
        }
    }

    #[test]
    fn a_name_is_found_at_once() {
        let probes = |name: &str| {
            let key = key_of(name.as_bytes());
            let at = |step: usize| TABLE[(key.slot() + step) % SLOTS];
            (0..SLOTS)
                .find(|&step| at(step).is_some_and(|(known, _)| known.is(&key)))
                .unwrap()
        };
        let elsewhere = SPELLINGS
            .iter()
            .filter(|(name, _)| probes(name) > 0)
            .count();
        assert!(
            elsewhere <= 4,
            "{elsewhere} names share a slot: look for a better MIXER"
        );
    }

    #[test]
    fn other_names_are_other() {
        for name in [
            &b""[..],
            b"X-Via",
            b"q",
            b"C%6Fntact",
            b"Vi\xe1",
            b"Call_ID",
        ] {
            assert_eq!(HeaderName::parse(name), HeaderName::Other);
        }
    }
}

//! Header names, with their compact forms (RFC 3261 §7.3.3 and the registry).

use std::fmt;

macro_rules! header_names {
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
        let (Some(&first), Some(&last)) = (name.first(), name.last()) else {
            return HeaderName::Other;
        };
        let mut slot = slot_of(name.len(), first, last);
        // Ends: the table has free slots (checked when it is built).
        while let Some(&(spelling, header)) = SPELLINGS.get(TABLE[slot] as usize) {
            if spelling.as_bytes().eq_ignore_ascii_case(name) {
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

const SLOTS: usize = 256;
const FREE: u8 = u8::MAX;

/// Open addressing, built when the crate is: an index into [`SPELLINGS`] or [`FREE`].
static TABLE: [u8; SLOTS] = {
    assert!(
        SPELLINGS.len() < SLOTS / 2,
        "probing ends because slots are free"
    );
    let mut table = [FREE; SLOTS];
    let mut spelling = 0;
    while spelling < SPELLINGS.len() {
        let name = SPELLINGS[spelling].0.as_bytes();
        let mut slot = slot_of(name.len(), name[0], name[name.len() - 1]);
        while table[slot] != FREE {
            slot = (slot + 1) % SLOTS;
        }
        table[slot] = spelling as u8;
        spelling += 1;
    }
    table
};

const fn slot_of(length: usize, first: u8, last: u8) -> usize {
    (length * 5 + (first | 0x20) as usize * 11 + (last | 0x20) as usize * 37) % SLOTS
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

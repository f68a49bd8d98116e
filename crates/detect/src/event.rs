//! What happened, as detection sees it: one plain value for each step of signalling,
//! authentication and calls.
//!
//! An event is `Copy` and owns no memory: workers hand events over by bounded queues, and a queue
//! of them is of one size whatever peers write. Texts of peers are [`Name`]s; calling and called
//! numbers are given in international form where they have one.
//!
//! Media between two parties makes no events packet by packet: what media plane and quality count
//! comes with the end of the call.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ringfence_base::{Flow, Instant, ListenerId, Transport};
use ringfence_sip::{Defects, Method};

use crate::name::Name;

/// One event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// When.
    pub at: Instant,
    /// Who, as far as that is known.
    pub source: Source,
    /// What.
    pub what: What,
}

/// Where something came from, and how far that is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Address and port, canonical: an IPv4 address is never written as IPv6.
    pub remote: SocketAddr,
    /// Our listener.
    pub listener: ListenerId,
    /// The transport.
    pub transport: Transport,
    /// What shows that the address is really the sender's.
    pub proof: Proof,
    /// Who it is by configuration or credentials.
    pub principal: Principal,
}

impl Source {
    /// The source of what came over `flow`. Over a stream the handshake has proved the address.
    pub fn of(flow: &Flow, proof: Proof, principal: Principal) -> Source {
        let proof = match flow.transport {
            Transport::Udp => proof,
            Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => {
                Proof::StreamEstablished
            }
        };
        Source {
            remote: SocketAddr::new(flow.remote.ip().to_canonical(), flow.remote.port()),
            listener: flow.listener,
            transport: flow.transport,
            proof,
            principal,
        }
    }

    /// The address without the port.
    pub const fn address(&self) -> IpAddr {
        self.remote.ip()
    }
}

/// What shows that whoever sent something receives at the address it came from. Over UDP the
/// source of a datagram is a claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Proof {
    /// Nothing. Such an address is never banned, for anybody can write it.
    #[default]
    None,
    /// It returned a Via branch of ours, which nobody else can know.
    ViaCookieReturned,
    /// It echoed a nonce that we gave to this very address.
    NonceEchoed,
    /// A TCP or TLS handshake was completed.
    StreamEstablished,
}

impl Proof {
    /// Whether the address is proved.
    pub const fn is_proven(self) -> bool {
        !matches!(self, Proof::None)
    }

    /// Its name in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Proof::None => "none",
            Proof::ViaCookieReturned => "via-cookie-returned",
            Proof::NonceEchoed => "nonce-echoed",
            Proof::StreamEstablished => "stream-established",
        }
    }
}

ringfence_base::define_id! {
    /// A configured trunk, PBX or group of phones: its index in the plan.
    pub struct PeerRef(u16);
}

ringfence_base::define_id! {
    /// A site: its index in the plan.
    pub struct SiteRef(u16);
}

ringfence_base::define_id! {
    /// A call: the number of its id in records.
    pub struct CallRef(u64);
}

/// Who a source is by configuration or credentials. A trunk or a PBX over UDP is a claim as long
/// as [`Source::proof`] is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Principal {
    /// Nobody that is configured.
    #[default]
    Stranger,
    /// The address of a configured trunk.
    Trunk(PeerRef),
    /// The address of a configured PBX.
    Pbx(PeerRef),
    /// A phone that has proved who it is: by its credentials, or inside its dialog.
    Phone {
        /// The group of phones.
        group: PeerRef,
        /// The user's index in it.
        user: u32,
    },
}

impl Principal {
    /// Whether it is the customer's own: configured, or logged in.
    pub const fn is_own(self) -> bool {
        !matches!(self, Principal::Stranger)
    }

    /// Its name in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Principal::Stranger => "stranger",
            Principal::Trunk(_) => "trunk",
            Principal::Pbx(_) => "pbx",
            Principal::Phone { .. } => "phone",
        }
    }
}

/// A method, without the bytes of one that is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is the method of its name")]
pub enum MethodKind {
    Ack,
    Bye,
    Cancel,
    Info,
    Invite,
    Message,
    Notify,
    Options,
    Prack,
    Publish,
    Refer,
    Register,
    Subscribe,
    Update,
    Unknown,
}

impl MethodKind {
    /// How many there are.
    pub const COUNT: usize = 15;

    /// The method's name; `?` for one that is unknown.
    pub const fn as_str(self) -> &'static str {
        match self {
            MethodKind::Ack => "ACK",
            MethodKind::Bye => "BYE",
            MethodKind::Cancel => "CANCEL",
            MethodKind::Info => "INFO",
            MethodKind::Invite => "INVITE",
            MethodKind::Message => "MESSAGE",
            MethodKind::Notify => "NOTIFY",
            MethodKind::Options => "OPTIONS",
            MethodKind::Prack => "PRACK",
            MethodKind::Publish => "PUBLISH",
            MethodKind::Refer => "REFER",
            MethodKind::Register => "REGISTER",
            MethodKind::Subscribe => "SUBSCRIBE",
            MethodKind::Update => "UPDATE",
            MethodKind::Unknown => "?",
        }
    }
}

impl From<Method<'_>> for MethodKind {
    fn from(method: Method<'_>) -> MethodKind {
        match method {
            Method::Ack => MethodKind::Ack,
            Method::Bye => MethodKind::Bye,
            Method::Cancel => MethodKind::Cancel,
            Method::Info => MethodKind::Info,
            Method::Invite => MethodKind::Invite,
            Method::Message => MethodKind::Message,
            Method::Notify => MethodKind::Notify,
            Method::Options => MethodKind::Options,
            Method::Prack => MethodKind::Prack,
            Method::Publish => MethodKind::Publish,
            Method::Refer => MethodKind::Refer,
            Method::Register => MethodKind::Register,
            Method::Subscribe => MethodKind::Subscribe,
            Method::Update => MethodKind::Update,
            Method::Other(_) => MethodKind::Unknown,
        }
    }
}

/// How a message is built, whatever it calls itself: equal for two messages of one program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u64);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Marks of tools in the build of a message. A set; empty for most messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tells(u16);

impl Tells {
    /// None.
    pub const NONE: Tells = Tells(0);
    /// From and To name the same address outside of a REGISTER (SIPVicious).
    pub const FROM_EQUALS_TO: Tells = Tells(1);
    /// To stands before From (SIPVicious).
    pub const TO_BEFORE_FROM: Tells = Tells(1 << 1);
    /// The branch is the cookie and a decimal number, possibly signed (SIPVicious).
    pub const DECIMAL_BRANCH: Tells = Tells(1 << 2);
    /// The From tag decodes from hexadecimal to text with an address in it (SIPVicious).
    pub const TAG_HIDES_ADDRESS: Tells = Tells(1 << 3);
    /// The branch of the topmost Via lacks the cookie `z9hG4bK` (sippts; RFC 2543 alike).
    pub const BRANCH_WITHOUT_COOKIE: Tells = Tells(1 << 4);
    /// The Request-URI has no user where the method asks for one (scanners of addresses).
    pub const BARE_REQUEST_URI: Tells = Tells(1 << 5);
    /// The Call-ID is a decimal number alone (SIPVicious).
    pub const DECIMAL_CALL_ID: Tells = Tells(1 << 6);
    /// The From host is one that no sender can have: unspecified, loopback, `1.1.1.1`.
    pub const IMPOSSIBLE_FROM: Tells = Tells(1 << 7);
    /// The From tag decodes from hexadecimal to a text, a mark and a number (SIPVicious).
    pub const TAG_HIDES_TEXT: Tells = Tells(1 << 8);

    const NAMES: [(Tells, &'static str); 9] = [
        (Tells::FROM_EQUALS_TO, "from-equals-to"),
        (Tells::TO_BEFORE_FROM, "to-before-from"),
        (Tells::DECIMAL_BRANCH, "decimal-branch"),
        (Tells::TAG_HIDES_ADDRESS, "tag-hides-address"),
        (Tells::BRANCH_WITHOUT_COOKIE, "branch-without-cookie"),
        (Tells::BARE_REQUEST_URI, "bare-request-uri"),
        (Tells::DECIMAL_CALL_ID, "decimal-call-id"),
        (Tells::IMPOSSIBLE_FROM, "impossible-from"),
        (Tells::TAG_HIDES_TEXT, "tag-hides-text"),
    ];

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Tells) -> Tells {
        Tells(self.0 | other.0)
    }

    /// Whether all of `other` is in here.
    pub const fn contains(self, other: Tells) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many.
    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// The bits, for records.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// The set that has these [bits](Tells::bits); bits that stand for no mark are left out.
    pub fn from_bits(bits: u16) -> Tells {
        let known = Tells::NAMES.iter();
        let known = known.fold(Tells::NONE, |known, (tell, _)| known.with(*tell));
        Tells(bits & known.0)
    }

    /// Their names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Tells::NAMES
            .into_iter()
            .filter(move |(tell, _)| self.contains(*tell))
            .map(|(_, name)| name)
    }
}

/// The build of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Its structural fingerprint.
    pub fingerprint: Fingerprint,
    /// Marks of tools in it.
    pub tells: Tells,
}

/// A request, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its method.
    pub method: MethodKind,
    /// The user that it is for: of To in a REGISTER, else of the Request-URI.
    pub target: Name,
    /// How it is built.
    pub shape: Shape,
    /// Keyed hash of Call-ID and branch: a retransmission has the one of its request.
    pub transaction: u64,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum What {
    /// A request came in, of somebody who may ask, that belongs to no transaction and no dialog of
    /// ours.
    Request(Asked),
    /// A response came in that answers nothing of ours.
    StrayResponse,
    /// A message could be read and is not as it should be.
    Defective {
        /// What is wrong with it.
        defects: Defects,
        /// How it is built.
        shape: Shape,
    },
    /// Bytes of which nothing could be made.
    Unparseable {
        /// How many.
        bytes: u32,
    },
    /// A stream was closed without a complete message in its time.
    StreamWithoutMessage,
    /// A request was refused.
    Refused {
        /// Why.
        reason: Refusal,
        /// What was asked.
        asked: Asked,
    },
    /// A request without credentials was answered 401 or 407, as the first request of every good
    /// phone is. Costs nothing if the right answer follows. Its target is the account.
    Challenged(Asked),
    /// Credentials came.
    Credentials {
        /// The account that they are for.
        account: Name,
        /// What they are worth.
        outcome: CredentialsOutcome,
        /// What tells the nonce in them from others, keyed.
        nonce: u64,
        /// How the request is built.
        shape: Shape,
    },
    /// A REGISTER with right credentials was accepted.
    Registered {
        /// The account.
        account: Name,
        /// What became of its bindings.
        change: BindingChange,
        /// How the request is built.
        shape: Shape,
    },
    /// A carrier's answer to our registration listed contacts that are not ours.
    AlienBinding {
        /// The first such contact.
        contact: Name,
        /// How many.
        count: u8,
    },
    /// A request claimed a dialog that is not its sender's.
    Forged {
        /// Its method.
        method: MethodKind,
        /// What gave it away.
        forgery: Forgery,
        /// The call that was aimed at, if there is one.
        call: Option<CallRef>,
    },
    /// A peer answered a request of ours with 401 or 407, and nobody has given us credentials for it.
    AskedForCredentials {
        /// What was asked.
        method: MethodKind,
        /// It was inside of a call: the one place where no peer needs to ask.
        within: bool,
    },
    /// A call of the site is sent on to another number, or all of them are to be.
    Diverted {
        /// The site.
        site: SiteRef,
        /// Whose calls: a number of the site, or who dialled the code.
        by: Name,
        /// Where to.
        to: Name,
        /// How it was said.
        way: Diversion,
    },
    /// A step of a call.
    Call {
        /// The call.
        call: CallRef,
        /// The site whose call it is.
        site: SiteRef,
        /// The step.
        step: CallStep,
    },
}

/// How somebody says that calls go elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Diversion {
    /// The phone or PBX answered a call with 3xx.
    Redirected,
    /// The PBX makes the further call itself and says for whom (RFC 5806, RFC 7044).
    Forwarded,
    /// A code was dialled that asks the carrier to send all calls there: `*72…`, `*21*…#`.
    FeatureCode,
}

impl Diversion {
    /// Its name in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Diversion::Redirected => "redirected",
            Diversion::Forwarded => "forwarded",
            Diversion::FeatureCode => "feature code",
        }
    }
}

/// Why a message was refused, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// A calling number that is not the PBX's to show.
    CallingNumber,
    /// Wrong credentials.
    Credentials,
    /// A request inside of a dialog that does not exist.
    DialogUnknown,
    /// No channel, no port, no room, too fast: our limits, nobody's fault.
    Limit,
    /// It breaks RFC 3261.
    Malformed,
    /// A number that is nobody's, or that may not be called.
    Number,
    /// A policy: media, method, extension, registration.
    Policy,
    /// It comes from nobody that is configured.
    Stranger,
}

/// What credentials turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CredentialsOutcome {
    /// Right, and new.
    Right,
    /// The password is right and the nonce is old, or of another worker: asked again, no reproach.
    Stale,
    /// Right, but the nonce was used under this count before.
    Replayed,
    /// Wrong password for an account that exists, to a nonce of ours.
    Wrong,
    /// An account that does not exist, to a nonce of ours.
    WrongAccount,
    /// Wrong, and the nonce was never given to this address.
    WrongForgedNonce,
}

impl CredentialsOutcome {
    /// Whether the sender knows the password.
    pub const fn is_right(self) -> bool {
        matches!(
            self,
            CredentialsOutcome::Right | CredentialsOutcome::Stale | CredentialsOutcome::Replayed
        )
    }
}

/// What a REGISTER did to the bindings of its account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BindingChange {
    /// Hash of the device (`+sip.instance`); 0 if it names none.
    pub instance: u64,
    /// Hash of the first contact; 0 if there is none.
    pub contact: u64,
    /// Bindings before.
    pub before: u8,
    /// Bindings after.
    pub after: u8,
    /// It took all bindings away (`Contact: *`).
    pub removed_all: bool,
    /// Its contact asks to be tried before all others (`q=1`).
    pub first_choice: bool,
}

/// What gave a forged in-dialog request away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Forgery {
    /// BYE while sound still flows both ways.
    ByeWhileTalking,
    /// Right tags under a CSeq that was used.
    Cseq,
    /// Replaces names a dialog of somebody else.
    Replaces,
    /// Right tags from an address that is not the dialog's.
    Source,
    /// A tag that is none of ours.
    Tag,
}

/// Which way a call goes, seen from the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the carrier to the site.
    Inbound,
    /// Between two lines of the site.
    Internal,
    /// From the site to the carrier.
    Outbound,
}

/// What a verified Identity header says of the calling number (RFC 8588).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Attestation {
    /// There is none.
    #[default]
    Absent,
    /// The signer knows its customer and the customer's right to the number.
    A,
    /// The signer knows its customer.
    B,
    /// The signer knows where the call came in.
    C,
    /// There is one and it does not hold.
    Invalid,
}

/// A step of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CallStep {
    /// It is asked for; nothing was sent on yet.
    Offered {
        /// Which way.
        direction: Direction,
        /// The calling number; empty if it is withheld.
        calling: Name,
        /// The called number.
        called: Name,
        /// It is an emergency call, or a call back from the emergency service.
        emergency: bool,
        /// The calling number is one of the customer's own.
        calling_is_own: bool,
        /// Its signed identity.
        attestation: Attestation,
        /// How the INVITE is built.
        shape: Shape,
    },
    /// The other side rings.
    Ringing,
    /// It was answered.
    Answered,
    /// It ended after it was answered.
    Ended {
        /// Who ended it.
        by: EndedBy,
        /// How long it was answered.
        talked: Duration,
        /// Packets of sound from the caller.
        heard_caller: u32,
        /// Packets of sound from the callee.
        heard_callee: u32,
    },
    /// It ended without an answer.
    Failed {
        /// The final status; 0 if there was none.
        status: u16,
        /// How long it was tried.
        rang: Duration,
    },
}

/// Who ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndedBy {
    /// Who called.
    Caller,
    /// Who was called.
    Callee,
    /// The edge.
    Edge,
}

/// Most bytes of one event: what a queue of them costs.
pub const EVENT_SIZE_MAX: usize = 192;

const _: () = assert!(size_of::<Event>() <= EVENT_SIZE_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(transport: Transport, remote: &str) -> Flow {
        Flow {
            transport,
            ..Flow::udp(ListenerId::new(0), remote.parse().unwrap())
        }
    }

    #[test]
    fn a_stream_proves_its_address_and_a_datagram_does_not() {
        let of = |transport| {
            Source::of(
                &flow(transport, "192.0.2.1:5060"),
                Proof::None,
                Principal::Stranger,
            )
        };
        assert!(!of(Transport::Udp).proof.is_proven());
        assert!(of(Transport::Tcp).proof.is_proven());
        assert!(of(Transport::Tls).proof.is_proven());
    }

    #[test]
    fn one_host_is_one_source_in_both_families() {
        let source = Source::of(
            &flow(Transport::Udp, "[::ffff:192.0.2.1]:5060"),
            Proof::None,
            Principal::Stranger,
        );
        assert_eq!(
            source.address(),
            "192.0.2.1".parse::<std::net::IpAddr>().unwrap()
        );
    }

    #[test]
    fn tells_name_themselves() {
        let tells = Tells::FROM_EQUALS_TO.with(Tells::DECIMAL_BRANCH);
        let names: Vec<_> = tells.names().collect();
        assert_eq!(names, ["from-equals-to", "decimal-branch"]);
        assert_eq!(tells.count(), 2);
    }
}

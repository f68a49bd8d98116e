//! Which methods and extensions a peer may use beside INVITE and BYE, and how that is said to it
//! in Allow, Supported, Require and Unsupported (RFC 3261 §8.2.2, §20.5, §20.37).
//!
//! What is said is true: a method that a peer's policy refuses is in no Allow that it gets.

use std::time::Duration;

use ringfence_sip::write::MessageWriter;
use ringfence_sip::{HeaderName, Message};

use crate::events::package::Package;
use crate::large::LargeRequests;
use crate::plan::PeerKind;

/// The policy of one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Methods {
    /// Reliable provisional responses (RFC 3262).
    pub reliable_provisional: ReliableProvisional,
    /// Session timers (RFC 4028): the interval that is asked for; zero is none.
    pub session_expires: Duration,
    /// What becomes of a REFER (RFC 3515).
    pub transfer: Transfers,
    /// What becomes of a 3xx of it.
    pub redirects: Redirects,
    /// Media types, in lower case, that an INFO of it may carry across (RFC 6086).
    pub info: Vec<String>,
    /// Whether MESSAGE (RFC 3428) is carried from and to it.
    pub messages: bool,
    /// Event packages that pass between phones and their phone system (RFC 6665): what a phone may
    /// watch and publish, and what a phone system may tell.
    pub events: Vec<Package>,
    /// Whether it is the one that watches.
    pub watches: bool,
    /// What becomes of a request that is too large for a datagram.
    pub large_requests: LargeRequests,
}

/// What becomes of a peer's 3xx (`redirects`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redirects {
    /// The call fails with 480.
    #[default]
    Refuse,
    /// The number in it is called, by the routes and limits of the peer that says so.
    Follow,
}

/// What becomes of a peer's wish to transfer a call (`transfer`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transfers {
    /// The edge makes the new call by the peer's own routes and limits, and joins the legs.
    Handle,
    /// It goes to the other side of the call, which makes the new call itself.
    Pass,
    /// Refused with 603.
    #[default]
    Refuse,
}

/// Reliable provisional responses with a peer (`reliable_provisional`). What the other side of a
/// call does has no influence: each side is reliable on its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReliableProvisional {
    /// Never offered; a peer that requires them is refused with 420.
    Off,
    /// Offered to the peer, and used where it asks for them or can take them.
    #[default]
    Supported,
    /// Required of the peer: one that cannot is refused with 421.
    Required,
}

impl Methods {
    /// The policy of a peer whose configuration says nothing of it.
    pub fn of_kind(kind: PeerKind) -> Methods {
        Methods {
            reliable_provisional: ReliableProvisional::Supported,
            session_expires: Duration::from_secs(1800),
            transfer: match kind {
                PeerKind::Pbx | PeerKind::Phones => Transfers::Handle,
                PeerKind::Trunk => Transfers::Refuse,
            },
            redirects: Redirects::Refuse,
            // Key presses.
            info: INFO_TYPES.map(str::to_owned).to_vec(),
            messages: false,
            events: match kind {
                PeerKind::Pbx | PeerKind::Phones => Package::ALL.to_vec(),
                PeerKind::Trunk => Vec::new(),
            },
            watches: kind == PeerKind::Phones,
            large_requests: LargeRequests::Tcp,
        }
    }

    /// The methods that this peer may use, for Allow.
    pub(crate) fn allow(&self) -> String {
        let mut allow = String::from("INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE");
        if self.reliable_provisional != ReliableProvisional::Off {
            allow.push_str(", PRACK");
        }
        if self.messages {
            allow.push_str(", MESSAGE");
        }
        if self.transfer != Transfers::Refuse {
            allow.push_str(", REFER");
        }
        if !self.events.is_empty() {
            allow.push_str(match self.watches {
                true => ", SUBSCRIBE, PUBLISH",
                false => ", NOTIFY",
            });
        }
        allow
    }

    /// Writes Allow, and Supported if there is anything to say. `reliable` is whether provisional
    /// responses may be reliable in this very call.
    pub(crate) fn write(&self, writer: &mut MessageWriter<'_>, reliable: bool) {
        writer.header(HeaderName::Allow, self.allow());
        let supported: Vec<&str> = self.options(reliable).collect();
        if !supported.is_empty() {
            writer.header(HeaderName::Supported, supported.join(", "));
        }
    }

    /// The values of a request's Require that this peer may not use (RFC 3261 §8.2.2.3).
    pub(crate) fn unsupported<'a>(&self, request: &Message<'a>) -> impl Iterator<Item = &'a [u8]> {
        let known: Vec<&str> = self.options(true).collect();
        request
            .values(HeaderName::Require)
            .filter(move |option| !known.iter().any(|name| is(option, name)))
    }

    /// Whether an INVITE of this peer may take the place of one of its calls (RFC 3891): it is a
    /// transfer by another name.
    pub(crate) fn may_replace(&self) -> bool {
        self.transfer != Transfers::Refuse
    }

    /// The option tags of what this peer may use.
    fn options(&self, reliable: bool) -> impl Iterator<Item = &'static str> {
        let reliable = reliable && self.reliable_provisional != ReliableProvisional::Off;
        let timer = !self.session_expires.is_zero();
        let replaces = self.may_replace();
        let options = [
            reliable.then_some(RELIABLE),
            timer.then_some(TIMER),
            replaces.then_some(REPLACES),
        ];
        options.into_iter().flatten()
    }
}

/// What INFO carries unless the configuration says otherwise: key presses.
const INFO_TYPES: [&str; 2] = ["application/dtmf-relay", "application/dtmf"];

/// The option tag of reliable provisional responses (RFC 3262 §8).
pub(crate) const RELIABLE: &str = "100rel";

/// The option tag of INVITEs that replace a call (RFC 3891 §6.2).
pub(crate) const REPLACES: &str = "replaces";

/// The option tag of session timers (RFC 4028 §11.1).
pub(crate) const TIMER: &str = "timer";

/// Whether a message lists an option tag in Require or Supported.
pub(crate) fn takes(message: &Message<'_>, option: &str) -> bool {
    requires(message, option) || lists(message, HeaderName::Supported, option)
}

/// Whether a message requires an option tag.
pub(crate) fn requires(message: &Message<'_>, option: &str) -> bool {
    lists(message, HeaderName::Require, option)
}

/// Whether a list header has this word, in any case.
pub(crate) fn lists(message: &Message<'_>, header: HeaderName, word: &str) -> bool {
    message.values(header).any(|value| is(value, word))
}

fn is(value: &[u8], word: &str) -> bool {
    value.trim_ascii().eq_ignore_ascii_case(word.as_bytes())
}

//! The event packages that pass (RFC 6665 §7.2), and what the Event and Subscription-State headers
//! say.

use ringfence_sip::{HeaderName, Message, Params};

/// An event package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Package {
    /// Whose line is busy (RFC 4235): busy lamp fields.
    Dialog,
    /// Messages in a mailbox (RFC 3842).
    MessageSummary,
    /// Who is there (RFC 3856).
    Presence,
}

impl Package {
    /// All of them.
    pub const ALL: [Package; 3] = [Package::Dialog, Package::MessageSummary, Package::Presence];

    /// The name in Event, Allow-Events and the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Package::Dialog => "dialog",
            Package::MessageSummary => "message-summary",
            Package::Presence => "presence",
        }
    }

    /// The package of that name; names are tokens, compared as they are (RFC 6665 §7.2.1).
    pub fn parse(name: &[u8]) -> Option<Package> {
        Package::ALL
            .into_iter()
            .find(|package| package.as_str().as_bytes() == name)
    }

    /// The media types of its documents, in lower case.
    pub const fn documents(self) -> &'static [&'static str] {
        match self {
            Package::Dialog => &["application/dialog-info+xml"],
            Package::MessageSummary => &["application/simple-message-summary"],
            Package::Presence => &[
                "application/pidf+xml",
                "application/xpidf+xml",
                "application/cpim-pidf+xml",
            ],
        }
    }

    /// The type among [`Package::documents`] that a Content-Type names.
    pub(crate) fn document(self, content_type: &[u8]) -> Option<&'static str> {
        let bare = content_type.split(|&byte| byte == b';').next();
        let bare = bare.unwrap_or_default().trim_ascii();
        let known = |name: &&&str| bare.eq_ignore_ascii_case(name.as_bytes());
        self.documents().iter().find(known).copied()
    }
}

/// What the packages of a list are called, for Allow-Events.
pub(crate) fn names(packages: &[Package]) -> String {
    let names: Vec<&str> = packages.iter().map(|package| package.as_str()).collect();
    names.join(", ")
}

/// An Event header: the package, and the id that tells subscriptions of one dialog apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) package: Package,
    pub(crate) id: Option<Box<str>>,
}

/// Longest id of an Event.
const ID_MAX: usize = 64;

impl Event {
    /// The event of a message: none if there is no such package here.
    pub(crate) fn read(message: &Message<'_>) -> Option<Event> {
        let value = message.header(HeaderName::Event)?;
        let (name, params) = split(value)?;
        let package = Package::parse(name)?;
        let id = params.get(b"id").flatten().and_then(|id| {
            let text = std::str::from_utf8(id).ok()?;
            let legal = |c: char| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c);
            (text.len() <= ID_MAX && text.chars().all(legal)).then(|| text.into())
        });
        Some(Event { package, id })
    }

    /// `dialog;id=7`.
    pub(crate) fn text(&self) -> String {
        match &self.id {
            Some(id) => format!("{};id={id}", self.package.as_str()),
            None => self.package.as_str().to_owned(),
        }
    }
}

/// What a Subscription-State header says (RFC 6665 §8.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// `active`, `pending` or `terminated`.
    pub(crate) word: &'static str,
    /// Seconds until it expires.
    pub(crate) expires: Option<u32>,
    /// Why it was terminated.
    pub(crate) reason: Option<&'static str>,
    /// When the subscriber may come again, in seconds.
    pub(crate) retry_after: Option<u32>,
}

const STATES: [&str; 3] = ["active", "pending", "terminated"];

const REASONS: [&str; 7] = [
    "deactivated",
    "giveup",
    "invariant",
    "noresource",
    "probation",
    "rejected",
    "timeout",
];

impl State {
    /// The state that a NOTIFY says. A state that is not known is like `active`, and a reason that
    /// is not known like none (RFC 6665 §4.1.3).
    pub(crate) fn read(message: &Message<'_>) -> Option<State> {
        let value = message.header(HeaderName::SubscriptionState)?;
        let (word, params) = split(value)?;
        let known = |list: &[&'static str], word: &[u8]| {
            let same = |known: &&&'static str| word.eq_ignore_ascii_case(known.as_bytes());
            list.iter().find(same).copied()
        };
        let number = |name: &[u8]| crate::registrar::number(params.get(name).flatten()?);
        Some(State {
            word: known(&STATES, word).unwrap_or("active"),
            expires: number(b"expires"),
            reason: params
                .get(b"reason")
                .flatten()
                .and_then(|reason| known(&REASONS, reason)),
            retry_after: number(b"retry-after"),
        })
    }

    pub(crate) fn is_over(&self) -> bool {
        self.word == "terminated"
    }

    /// `active;expires=60`.
    pub(crate) fn text(&self) -> String {
        let mut text = self.word.to_owned();
        if let Some(reason) = self.reason.filter(|_| self.is_over()) {
            text.push_str(&format!(";reason={reason}"));
        }
        if let Some(seconds) = self.expires.filter(|_| !self.is_over()) {
            text.push_str(&format!(";expires={seconds}"));
        }
        if let Some(seconds) = self.retry_after.filter(|_| self.is_over()) {
            text.push_str(&format!(";retry-after={seconds}"));
        }
        text
    }
}

/// A token, and the parameters behind it.
fn split(value: &[u8]) -> Option<(&[u8], Params<'_>)> {
    let end = value.iter().position(|&byte| byte == b';');
    let (word, rest) = value.split_at_checked(end.unwrap_or(value.len()))?;
    let word = word.trim_ascii();
    let params = Params::parse(rest).ok()?;
    (!word.is_empty()).then_some((word, params))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_sip::Index;

    fn read<T>(header: &str, read: impl Fn(&Message<'_>) -> Option<T>) -> Option<T> {
        let text = format!("NOTIFY sip:a@b SIP/2.0\r\n{header}\r\n\r\n");
        let mut index = Index::default();
        read(&index.parse(text.as_bytes()).unwrap())
    }

    #[track_caller]
    fn check_state(value: &str, expected: Option<&str>) {
        let state = read(&format!("Subscription-State: {value}"), State::read);
        assert_eq!(state.map(|state| state.text()).as_deref(), expected);
    }

    #[test]
    fn an_unknown_state_is_active_and_an_unknown_reason_none_rfc6665_4_1_3() {
        check_state("active;expires=60", Some("active;expires=60"));
        check_state("Pending ; Expires=60", Some("pending;expires=60"));
        check_state("dozing;expires=60", Some("active;expires=60"));
        let probation = "terminated;reason=probation;retry-after=9";
        check_state(probation, Some(probation));
        check_state("terminated;reason=\"10.0.0.1\"", Some("terminated"));
        check_state("active;expires=pbx", Some("active"));
        check_state(";expires=60", None);
    }

    #[test]
    fn an_event_is_a_package_that_is_known_and_an_id_rfc6665_8_2_1() {
        let event = |value: &str| read(&format!("Event: {value}"), Event::read);
        let dialog = event("dialog;sla;id=7").unwrap();
        assert_eq!(
            (dialog.package, &*dialog.text()),
            (Package::Dialog, "dialog;id=7")
        );
        assert_eq!(event("presence;id=\"a b\"").unwrap().text(), "presence");
        for other in ["Dialog", "dialog.winfo", "reg", "", "dialog;="] {
            assert_eq!(event(other), None, "{other}");
        }
    }
}

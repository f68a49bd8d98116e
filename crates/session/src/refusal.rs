//! Why a message or a call was refused, and what the other side is told.

/// The reason of a refusal: for counters, records and people, never for the peer's eyes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RefusalReason {
    /// The calling number is not one of the site's, and its policy is to refuse.
    CallingNumber,
    /// Too many calls in this worker.
    CallsMax,
    /// The trunk, PBX or site has no free channel.
    Channels,
    /// Credentials of a phone that are wrong, of nobody, or used before.
    Credentials,
    /// The edge is draining.
    Draining,
    /// A rule of the site's dial plan refuses the number.
    DialPlan,
    /// A request inside a dialog that does not exist, or with a wrong tag, Call-ID or source.
    DialogUnknown,
    /// The caller's signed identity does not hold, and its trunk's policy is to refuse.
    Identity,
    /// The message breaks RFC 3261 in a way that must be answered.
    Malformed,
    /// Media that the peer's policy forbids or that cannot be bridged.
    Media,
    /// No media port is free.
    MediaPorts,
    /// A method that is not served here.
    Method,
    /// The called number is not one of the site's.
    Number,
    /// No peer to send the call to.
    NoRoute,
    /// A wrong PIN in front of a number.
    Pin,
    /// Calls per second.
    Rate,
    /// A registration that asks for what is not given.
    Registration,
    /// A required extension that is not supported.
    Extension,
    /// A stranger's call while an attack fills the lines, which could not be answered and asked.
    Screening,
    /// What the call would cost, and nobody has vouched for it.
    Spending,
    /// The source is no configured peer.
    Stranger,
    /// Max-Forwards is used up, or our own call came back.
    TooManyHops,
    /// A transaction table is full.
    TransactionsMax,
    /// Nothing could be made of the bytes.
    Unparseable,
    /// The phone user that is called has no contact now.
    Unregistered,
}

impl RefusalReason {
    /// All of them, in the order of their numbers.
    pub const ALL: [RefusalReason; 25] = [
        RefusalReason::CallingNumber,
        RefusalReason::CallsMax,
        RefusalReason::Channels,
        RefusalReason::Credentials,
        RefusalReason::Draining,
        RefusalReason::DialPlan,
        RefusalReason::DialogUnknown,
        RefusalReason::Identity,
        RefusalReason::Malformed,
        RefusalReason::Media,
        RefusalReason::MediaPorts,
        RefusalReason::Method,
        RefusalReason::Number,
        RefusalReason::NoRoute,
        RefusalReason::Pin,
        RefusalReason::Rate,
        RefusalReason::Registration,
        RefusalReason::Extension,
        RefusalReason::Screening,
        RefusalReason::Spending,
        RefusalReason::Stranger,
        RefusalReason::TooManyHops,
        RefusalReason::TransactionsMax,
        RefusalReason::Unparseable,
        RefusalReason::Unregistered,
    ];

    /// The name in metrics and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            RefusalReason::CallingNumber => "calling-number",
            RefusalReason::CallsMax => "calls-max",
            RefusalReason::Channels => "channels",
            RefusalReason::Credentials => "credentials",
            RefusalReason::Draining => "draining",
            RefusalReason::DialPlan => "dial-plan",
            RefusalReason::DialogUnknown => "dialog-unknown",
            RefusalReason::Identity => "identity",
            RefusalReason::Malformed => "malformed",
            RefusalReason::Media => "media",
            RefusalReason::MediaPorts => "media-ports",
            RefusalReason::Method => "method",
            RefusalReason::Number => "number",
            RefusalReason::NoRoute => "no-route",
            RefusalReason::Pin => "pin",
            RefusalReason::Rate => "rate",
            RefusalReason::Registration => "registration",
            RefusalReason::Extension => "extension",
            RefusalReason::Screening => "screening",
            RefusalReason::Spending => "spending",
            RefusalReason::Stranger => "stranger",
            RefusalReason::TooManyHops => "too-many-hops",
            RefusalReason::TransactionsMax => "transactions-max",
            RefusalReason::Unparseable => "unparseable",
            RefusalReason::Unregistered => "unregistered",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_in_the_order_of_the_numbers() {
        for (index, reason) in RefusalReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index, "{}", reason.as_str());
        }
    }
}

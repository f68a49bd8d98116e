//! Who watches whom: event packages between phones and their phone system (RFC 6665, RFC 3903).
//!
//! | for | see |
//! |---|---|
//! | the packages that pass, and what their documents are | [`package`] |
//! | what of a document may be seen on the other side | `document` |
//! | the subscriptions of a worker, and when they end | `subscription` |
//! | a phone's SUBSCRIBE, first or refresh | `subscribe` |
//! | the phone system's NOTIFY | `notify` |
//! | a phone's PUBLISH | `publish` |
//!
//! A subscription is two dialogs, as a call is: one with the phone, in which the edge is the notifier,
//! and one with the phone system, in which it is the subscriber. Nothing of one is seen in the other,
//! not even inside the documents.
//!
//! Left out on purpose: subscriptions of a phone system at phones, lists of resources (RFC 4662),
//! and NOTIFY without a subscription. A subscription does not outlive the process: the phone hears
//! 481 when it refreshes it, and subscribes anew (RFC 6665 §4.1.2.1).

mod document;
mod notify;
pub mod package;
mod publish;
mod subscribe;
mod subscription;

pub(crate) use subscription::{SubscriptionKey, Subscriptions};

//! The keys of a peer that say which methods and extensions it may use.

use std::time::Duration;

use ringfence_session::large::LargeRequests;
use ringfence_session::methods::{Methods, Redirects, ReliableProvisional, Transfers};
use ringfence_session::plan::PeerKind;

use super::table::Section;
use super::values;

/// Reads them; what is not said is as it is for peers of this kind.
pub(super) fn read(section: &mut Section<'_, '_, '_>, kind: PeerKind) -> Methods {
    let usual = Methods::of_kind(kind);
    let reliable_provisional = section.one_of(
        "reliable_provisional",
        &[
            ("off", ReliableProvisional::Off),
            ("supported", ReliableProvisional::Supported),
            ("required", ReliableProvisional::Required),
        ],
    );
    let expires = Duration::from_secs(90)..=Duration::from_secs(86_400);
    let session_expires = section.duration("session_expires", expires, true);
    let transfer = section.one_of(
        "transfer",
        &[("handle", Transfers::Handle), ("refuse", Transfers::Refuse)],
    );
    let info = section.list("info", values::media_type);
    let large_requests = section.one_of(
        "large_requests",
        &[("tcp", LargeRequests::Tcp), ("udp", LargeRequests::Udp)],
    );
    let messages = section.boolean("messages");
    let redirects = section.one_of(
        "redirects",
        &[("refuse", Redirects::Refuse), ("follow", Redirects::Follow)],
    );
    Methods {
        reliable_provisional: reliable_provisional.unwrap_or(usual.reliable_provisional),
        transfer: transfer.unwrap_or(usual.transfer),
        info: info.unwrap_or(usual.info),
        redirects: redirects.unwrap_or(usual.redirects),
        large_requests: large_requests.unwrap_or(usual.large_requests),
        messages: messages.unwrap_or(usual.messages),
        session_expires: session_expires.unwrap_or(usual.session_expires),
    }
}

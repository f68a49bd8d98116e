//! The keys of a peer that say which methods and extensions it may use.

use std::time::Duration;

use ringfence_session::events::package::Package;
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
        &[
            ("handle", Transfers::Handle),
            ("pass", Transfers::Pass),
            ("refuse", Transfers::Refuse),
        ],
    );
    let info = section.list("info", values::media_type);
    let large_requests = section.one_of(
        "large_requests",
        &[("tcp", LargeRequests::Tcp), ("udp", LargeRequests::Udp)],
    );
    let messages = section.boolean("messages");
    let events = events(section);
    if kind == PeerKind::Trunk && events.as_ref().is_some_and(|named| !named.is_empty()) {
        let (key, fix) = (section.key("events"), "write events of a PBX or of phones");
        section
            .report()
            .error(&key, "is of a carrier, which nobody watches", fix);
    }
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
        events: events.unwrap_or(usual.events),
        watches: usual.watches,
        session_expires: session_expires.unwrap_or(usual.session_expires),
    }
}

/// `events = ["dialog", "message-summary"]`.
pub(super) fn events(section: &mut Section<'_, '_, '_>) -> Option<Vec<Package>> {
    let words = Package::ALL.map(|package| (package.as_str(), package));
    let mut named = section.list("events", |text| values::one_of(text, &words))?;
    named.sort_unstable();
    named.dedup();
    Some(named)
}

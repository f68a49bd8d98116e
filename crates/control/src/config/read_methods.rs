//! The keys of a peer that say which methods and extensions it may use.

use ringfence_session::methods::{Methods, ReliableProvisional};
use ringfence_session::plan::PeerKind;

use super::table::Section;

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
    Methods {
        reliable_provisional: reliable_provisional.unwrap_or(usual.reliable_provisional),
    }
}

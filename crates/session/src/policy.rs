//! What a peer is to be told and believed: number forms, calling number, trust.

use crate::numbering::{DialRule, E164, NumberingPlan, NumbersIn, NumbersOut};

/// A peer's part of the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerPolicy {
    /// The form of its numbers.
    pub numbers_in: NumbersIn,
    /// The form of numbers towards it.
    pub numbers_out: NumbersOut,
    /// Whether URIs with a number towards it say `;user=phone` (RFC 3261 §19.1.1).
    pub user_phone: bool,
    /// What happens to a calling number that is not its site's. Of a PBX only.
    pub calling_number: CallingNumber,
    /// Whether its callers may hide their number. Of a PBX only.
    pub anonymous: bool,
    /// Whether it belongs to the trust domain of RFC 3325: its P-Asserted-Identity is believed,
    /// and it is told others'.
    pub trust: bool,
}

impl Default for PeerPolicy {
    fn default() -> PeerPolicy {
        PeerPolicy {
            numbers_in: NumbersIn::default(),
            numbers_out: NumbersOut::default(),
            user_phone: false,
            calling_number: CallingNumber::default(),
            anonymous: true,
            trust: true,
        }
    }
}

/// What happens to a calling number that is not the site's (`calling_number`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallingNumber {
    /// It passes.
    Any,
    /// The call is refused with 403; not an emergency call, whose number is replaced.
    Refuse,
    /// The site's main number stands in its place.
    #[default]
    Replace,
}

/// A site's part of the policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SitePolicy {
    /// How its country dials.
    pub numbering: Option<&'static NumberingPlan>,
    /// The number that it presents when a caller's own may not be.
    pub main_number: Option<E164>,
    /// Dial-plan rules, in order.
    pub dial: Vec<DialRule>,
}

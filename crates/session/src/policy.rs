//! What a peer is to be told and believed: number forms, calling number, trust, diversions.

use std::sync::Arc;

use crate::dtmf::Dtmf;
use crate::line_guard::LinesPolicy;
use crate::numbering::{DialRule, E164, NumberingPlan, NumbersIn, NumbersOut};
use crate::screening::VoicePolicy;
use crate::signing::Signing;
use crate::verification::{Verification, VerstatForm};

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
    /// What it is told about diversions.
    pub diversion: DiversionPolicy,
    /// Our name towards it, in Contact, From and Via; `None` is the listener's address.
    pub contact_host: Option<String>,
    /// The audio codecs that pass to and from it, best first; empty is all.
    pub codecs: Vec<String>,
    /// How calls to it are signed. Of a trunk only.
    pub signing: Option<Arc<Signing>>,
    /// Whether its calls' callers are verified. Of a trunk only.
    pub verification: Verification,
    /// How it is told what came of that.
    pub verstat: VerstatForm,
    /// Whether video passes to and from it.
    pub video: bool,
    /// Whether fax (T.38) passes to and from it, in the clear as it always is.
    pub t38: bool,
    /// How it sends digits and wants them.
    pub dtmf: Dtmf,
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
            diversion: DiversionPolicy::default(),
            contact_host: None,
            codecs: Vec::new(),
            signing: None,
            verification: Verification::default(),
            verstat: VerstatForm::default(),
            video: true,
            t38: true,
            dtmf: Dtmf::default(),
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

/// What a peer is told about diversions (`diversion`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiversionPolicy {
    /// `Diversion` (RFC 5806), whichever of the two came.
    Diversion,
    /// Nothing.
    #[default]
    Drop,
    /// `History-Info` (RFC 7044), whichever of the two came.
    HistoryInfo,
    /// What came, under our own host.
    Pass,
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
    /// What is done when calls hold its lines.
    pub lines: LinesPolicy,
    /// How a caller whose call is stopped is asked for the PIN by voice; `None`: it is not.
    pub pin_voice: Option<Arc<VoicePolicy>>,
}

//! What the core tells the edge.

use ringfence_base::Flow;
use ringfence_detect::finding::{Finding, Subject};
use ringfence_detect::fraud::verdict::Verdict;

use crate::call_id::CallId;
use crate::cdr::Cdr;
use crate::health::Fault;
use crate::plan::PeerKind;
use crate::refusal::RefusalReason;
use crate::registrar::line::Binding;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A call was admitted and sent on.
    CallStarted {
        /// The call.
        id: CallId,
    },
    /// A call was answered.
    CallAnswered {
        /// The call.
        id: CallId,
    },
    /// A call attempt is over: its record.
    CallEnded(Box<Cdr>),
    /// A call's machine panicked. The call was ended, the others go on.
    CallPanicked {
        /// The call.
        id: CallId,
        /// Its last messages, secrets cut out. Written by peers: escape it where it is shown.
        dump: Vec<u8>,
    },
    /// A peer failed so often in a row that it comes last for new calls.
    LineQuarantined {
        /// Trunk or PBX.
        kind: PeerKind,
        /// Its key.
        key: String,
        /// The last fault.
        fault: Fault,
        /// How many faults in a row it took.
        failures: u32,
    },
    /// A quarantined peer has proved that it works.
    LineReturned {
        /// Trunk or PBX.
        kind: PeerKind,
        /// Its key.
        key: String,
    },
    /// A peer refused SRTP with 488 and, since its configuration allows it, is called again with
    /// plain RTP.
    SrtpRefused {
        /// The call.
        id: CallId,
        /// Trunk, PBX or phones.
        kind: PeerKind,
        /// Its key.
        key: String,
    },
    /// Somebody calls for help and every channel of the site is in use: this call, maybe another
    /// worker's ([`CallId::worker`]), is to be ended by [`Input::MakeWay`](crate::core::Input::MakeWay).
    EmergencyNeedsLine {
        /// The call that gives way.
        id: CallId,
    },
    /// Calls hold the lines of a site, so that nobody else gets through. Said when it begins, and
    /// again now and then while it goes on.
    LinesUnderAttack {
        /// The site's key.
        site: String,
        /// What was seen.
        finding: Box<Finding>,
        /// Whether strangers are kept from the reserve, or it is only noted.
        enforced: bool,
    },
    /// A phone registered, refreshed, or took its contacts away.
    Registered {
        /// Key of the group of phones.
        group: String,
        /// The user.
        user: String,
        /// All bindings of the user from now on.
        bindings: Vec<Binding>,
    },
    /// A tenant's judge did not simply let a call out (see [`crate::spend`]).
    SpendingStopped {
        /// The call.
        call: CallId,
        /// Key of the tenant.
        tenant: String,
        /// Who called: an account, or a phone system.
        subject: Subject,
        /// What was said, and whether it was carried out.
        verdict: Box<Verdict>,
    },
    /// A call in progress was ended because a limit of its tenant is reached.
    SpendingCut {
        /// The call.
        call: CallId,
        /// What was spent, and by whom.
        finding: Box<Finding>,
    },
    /// The sound of a trunk's last calls has turned bad, or good again.
    TrunkSounds {
        /// Key of the trunk.
        trunk: String,
        /// What was found.
        finding: Box<Finding>,
    },
    /// Somebody meddles with the sound of a call.
    MediaAttacked {
        /// The call.
        call: CallId,
        /// What was found.
        finding: Box<Finding>,
    },
    /// A message was refused before it became a call.
    Refused {
        /// Where it came from.
        flow: Flow,
        /// Why.
        reason: RefusalReason,
    },
}

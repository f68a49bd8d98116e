//! What the core tells the edge.

use ringfence_base::Flow;

use crate::call_id::CallId;
use crate::cdr::Cdr;
use crate::refusal::RefusalReason;

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
    /// A message was refused before it became a call.
    Refused {
        /// Where it came from.
        flow: Flow,
        /// Why.
        reason: RefusalReason,
    },
}

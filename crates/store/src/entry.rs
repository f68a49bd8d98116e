//! What is written.

use ringfence_base::UnixTime;
use ringfence_session::call_id::CallId;
use ringfence_session::cdr::Cdr;
use ringfence_session::view::CallView;

/// One thing to write down. Entries of one call must be written in their order.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// A call was admitted: mark it as open.
    Started(Box<CallView>),
    /// An open call was answered.
    Answered {
        /// The call.
        id: CallId,
        /// When.
        at: UnixTime,
    },
    /// A call attempt is over: its record takes the mark's place.
    Ended(Box<Cdr>),
}

impl Entry {
    /// The call.
    pub fn id(&self) -> CallId {
        match self {
            Entry::Started(call) => call.id,
            Entry::Answered { id, .. } => *id,
            Entry::Ended(cdr) => cdr.id,
        }
    }

    /// Whether it must not be lost. A mark only matters while the call is up.
    pub fn is_record(&self) -> bool {
        matches!(self, Entry::Ended(_))
    }
}

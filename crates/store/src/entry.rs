//! What is written.

use ringfence_base::UnixTime;
use ringfence_control::api::Judgement;
use ringfence_detect::callers::Kept;
use ringfence_session::call_id::CallId;
use ringfence_session::cdr::Cdr;
use ringfence_session::registrar::line::Binding;
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
    /// Detection found or decided something.
    Judged(Box<Judgement>),
    /// A phone registered, refreshed or left: the user's bindings from now on.
    Registered(Box<Registered>),
    /// Callers of a tenant became known, or better known.
    Callers(Box<Callers>),
    /// What is usual at a site was learned.
    Habits(Box<Habits>),
}

/// What was learned of a site over weeks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Habits {
    /// Key of the site.
    pub site: String,
    /// What it is about: `strangers` or `silence`.
    pub what: String,
    /// For the machine that learned it, and for nobody else.
    pub state: Vec<u8>,
}

/// Known callers of one tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct Callers {
    /// Key of the tenant.
    pub tenant: String,
    /// Those that have changed.
    pub kept: Vec<Kept>,
}

/// The bindings of one phone user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Key of the group of phones.
    pub group: String,
    /// The user.
    pub user: String,
    /// All of them; none when the user has left.
    pub bindings: Vec<Binding>,
}

impl Entry {
    /// The call that it is about, if it is about one.
    pub fn id(&self) -> Option<CallId> {
        match self {
            Entry::Started(call) => Some(call.id),
            Entry::Answered { id, .. } => Some(*id),
            Entry::Ended(cdr) => Some(cdr.id),
            Entry::Callers(_) | Entry::Habits(_) | Entry::Judged(_) | Entry::Registered(_) => None,
        }
    }

    /// Whether it must not be lost. A mark only matters while the call is up.
    pub fn is_record(&self) -> bool {
        matches!(self, Entry::Ended(_))
    }
}

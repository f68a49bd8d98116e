//! Where one user can be reached: the bindings of its address of record (RFC 3261 §10.3).
//!
//! A call to a user may begin in any worker, and a REGISTER may come in by any other, so a line is
//! shared. Its lock is held for one REGISTER or one new call of this user, never for a packet of
//! sound and never for anybody else's. See `docs/adr/0004-a-lock-for-each-phone-user.md`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ringfence_base::{ConnectionId, Flow, UnixTime};
use ringfence_sip::Uri;

/// Most bytes of text in one binding; with them a binding stays below 1 kB.
pub const BINDING_TEXT_MAX: usize = 640;

/// Most bytes that are kept of a User-Agent.
pub const USER_AGENT_MAX: usize = 64;

/// One contact of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The contact's URI, as the phone wrote it.
    pub contact: Box<str>,
    /// Call-ID of the REGISTER that made or refreshed it.
    pub call_id: Box<str>,
    /// CSeq of that REGISTER.
    pub cseq: u32,
    /// The proxies on the way to the phone, as a Route header has them (RFC 3327).
    pub path: Option<Box<str>>,
    /// The device (`+sip.instance`, RFC 5626 §4.1), without quotes and brackets.
    pub instance: Option<Box<str>>,
    /// Which of the device's flows it is (`reg-id`, RFC 5626 §4.2); 0 is none.
    pub reg_id: u32,
    /// Its preference among the user's contacts, in thousandths (`q`, RFC 3261 §20.10).
    pub q: u16,
    /// What the phone calls itself. Written by the phone: escape it where it is shown.
    pub user_agent: Option<Box<str>>,
    /// Where the REGISTER came from, and so where the phone is reached through its NAT.
    pub flow: Flow,
    /// The flow is a stream that this process did not see, or that is closed: no way to the phone.
    pub flow_lost: bool,
    /// When it ends.
    pub expires: UnixTime,
    /// When it was made or refreshed.
    pub refreshed: UnixTime,
}

impl Binding {
    /// Bytes that it takes, its texts included.
    pub fn size(&self) -> usize {
        size_of::<Binding>() + self.text_size()
    }

    /// Bytes of its texts.
    pub fn text_size(&self) -> usize {
        let optional = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
        self.contact.len()
            + self.call_id.len()
            + optional(&self.path)
            + optional(&self.instance)
            + optional(&self.user_agent)
    }

    /// Whether a REGISTER for the same contact replaces it: the same flow of the same device
    /// (RFC 5626 §6), else the same URI (RFC 3261 §10.3 step 7).
    fn is_same(&self, other: &Binding) -> bool {
        if self.instance.is_some() && other.instance.is_some() {
            return self.instance == other.instance && self.reg_id == other.reg_id;
        }
        let uris = (
            Uri::parse(self.contact.as_bytes()),
            Uri::parse(other.contact.as_bytes()),
        );
        matches!(uris, (Ok(a), Ok(b)) if a.equivalent(&b))
    }
}

/// What a REGISTER does to the bindings of its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing: it asks for them (no Contact).
    Fetch,
    /// Takes all away (`Contact: *`).
    RemoveAll {
        /// Call-ID of the REGISTER.
        call_id: Box<str>,
        /// Its CSeq.
        cseq: u32,
    },
    /// Makes, refreshes or (where `expires` is not after the present) takes away each of these.
    Update(Vec<Binding>),
}

/// Why a change is refused. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The CSeq is not above the last one of the same Call-ID (RFC 3261 §10.3 step 7).
    #[error("the REGISTER is older than the binding")]
    OutOfOrder,
    /// The user would have more contacts than it may.
    #[error("too many contacts")]
    TooMany,
}

/// The bindings of one user.
#[derive(Debug, Default)]
pub struct Line {
    bindings: Mutex<Box<[Binding]>>,
}

impl Line {
    /// Applies `change` wholly or not at all, and returns the bindings after it.
    pub fn apply(
        &self,
        now: UnixTime,
        change: &Change,
        contacts_max: usize,
    ) -> Result<Vec<Binding>, ChangeError> {
        let mut kept = self.lock();
        let next = outcome(&kept, now, change, contacts_max)?;
        if *change != Change::Fetch {
            *kept = next.clone().into_boxed_slice();
        }
        Ok(next)
    }

    /// What [`Line::apply`] would make of `change` now.
    pub fn outcome(
        &self,
        now: UnixTime,
        change: &Change,
        contacts_max: usize,
    ) -> Result<Vec<Binding>, ChangeError> {
        outcome(&self.lock(), now, change, contacts_max)
    }

    /// The bindings that have not ended, the one refreshed last first.
    pub fn bindings(&self, now: UnixTime) -> Vec<Binding> {
        let mut alive = alive(&self.lock(), now);
        alive.sort_by_key(|binding| std::cmp::Reverse(binding.refreshed));
        alive
    }

    /// Notes that a stream connection is gone: there is no way over it any more (RFC 5626 §5.3).
    pub fn flow_closed(&self, connection: ConnectionId) {
        for binding in self.lock().iter_mut() {
            if binding.flow.connection == Some(connection) {
                binding.flow_lost = true;
            }
        }
    }

    /// Puts back what an earlier process knew. Streams of that process are gone; a datagram still
    /// finds its phone.
    pub fn restore(&self, bindings: impl IntoIterator<Item = Binding>) {
        let restored = bindings.into_iter().map(|mut binding| {
            binding.flow.connection = None;
            binding.flow_lost = binding.flow.transport.is_reliable();
            binding
        });
        *self.lock() = restored.collect();
    }

    /// A panic while the lock was held leaves the bindings as they were: they are exchanged whole.
    fn lock(&self) -> MutexGuard<'_, Box<[Binding]>> {
        self.bindings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn alive(bindings: &[Binding], now: UnixTime) -> Vec<Binding> {
    let alive = bindings.iter().filter(|binding| binding.expires > now);
    alive.cloned().collect()
}

fn outcome(
    kept: &[Binding],
    now: UnixTime,
    change: &Change,
    contacts_max: usize,
) -> Result<Vec<Binding>, ChangeError> {
    let mut next = alive(kept, now);
    match change {
        Change::Fetch => return Ok(next),
        Change::RemoveAll { call_id, cseq } => {
            let stale = |b: &Binding| b.call_id == *call_id && *cseq <= b.cseq;
            if next.iter().any(stale) {
                return Err(ChangeError::OutOfOrder);
            }
            next.clear();
        }
        Change::Update(contacts) => {
            for contact in contacts {
                change_one(&mut next, now, contact)?;
            }
        }
    }
    if next.len() > contacts_max {
        return Err(ChangeError::TooMany);
    }
    Ok(next)
}

fn change_one(
    next: &mut Vec<Binding>,
    now: UnixTime,
    contact: &Binding,
) -> Result<(), ChangeError> {
    let known = next.iter().position(|binding| binding.is_same(contact));
    if let Some(known) = known.and_then(|place| next.get(place))
        && known.call_id == contact.call_id
        && contact.cseq <= known.cseq
    {
        return Err(ChangeError::OutOfOrder);
    }
    let stays = contact.expires > now;
    match (known, stays) {
        (Some(place), true) => {
            if let Some(binding) = next.get_mut(place) {
                *binding = contact.clone();
            }
        }
        (Some(place), false) => drop(next.remove(place)),
        (None, true) => next.push(contact.clone()),
        (None, false) => {}
    }
    Ok(())
}

//! Names of transactions.

/// A client transaction: a request that we sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// A server transaction: a request that we received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// Whatever the transaction user wants to hear again with a transaction's events, for example its
/// call and leg. The layer only carries it. A server transaction has 0 until
/// [`set_owner`](crate::Transactions::set_owner).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(pub u64);

//! Port pairs of a listener: which are free, and in which order they are used again.
//!
//! Bookkeeping only: the edge has bound the sockets. First in, first out, so that the pair that
//! has been unused the longest is taken and late packets of an old call find a closed door.

use std::collections::VecDeque;
use std::net::SocketAddr;

use ringfence_base::ListenerId;

ringfence_base::define_id! {
    /// A bound UDP socket of this worker. Dense: it indexes a table.
    pub struct SocketIndex(u32);
}

ringfence_base::define_id! {
    /// A port pair of this worker, an index into [`Ports`].
    pub(crate) struct PairIndex(u32);
}

/// Two sockets on neighbouring ports: RTP on the even one, RTCP on the next (RFC 3550 §11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortPair {
    /// The RTP socket.
    pub rtp: SocketIndex,
    /// The RTCP socket, on `addr`'s port + 1.
    pub rtcp: SocketIndex,
    /// The address the RTP socket is bound to, as peers see it.
    pub addr: SocketAddr,
}

/// All port pairs of a worker.
#[derive(Default)]
pub(crate) struct Ports {
    pairs: Vec<Pair>,
    /// Free pairs by listener; the longest unused first.
    free: Vec<VecDeque<PairIndex>>,
}

struct Pair {
    ports: PortPair,
    listener: ListenerId,
}

impl Ports {
    /// Adds a free pair.
    pub(crate) fn add(&mut self, listener: ListenerId, ports: PortPair) {
        let index = PairIndex::new(u32::try_from(self.pairs.len()).expect("fewer than 2^32 ports"));
        self.pairs.push(Pair { ports, listener });
        if self.free.len() <= listener.index() {
            self.free.resize_with(listener.index() + 1, VecDeque::new);
        }
        self.free[listener.index()].push_back(index);
    }

    /// Takes the pair of `listener` that has been free the longest.
    pub(crate) fn take(&mut self, listener: ListenerId) -> Option<(PairIndex, PortPair)> {
        let index = self.free.get_mut(listener.index())?.pop_front()?;
        Some((index, self.pairs[index.index()].ports))
    }

    /// Gives a used pair back, behind all others.
    pub(crate) fn give_back(&mut self, index: PairIndex) {
        let listener = self.pairs[index.index()].listener;
        self.free[listener.index()].push_back(index);
    }

    /// Gives a pair back that was taken but not used, ahead of all others.
    pub(crate) fn give_back_unused(&mut self, index: PairIndex) {
        let listener = self.pairs[index.index()].listener;
        self.free[listener.index()].push_front(index);
    }

    /// The sockets and address of a pair.
    pub(crate) fn pair(&self, index: PairIndex) -> PortPair {
        self.pairs[index.index()].ports
    }

    /// How many pairs of `listener` are free.
    pub(crate) fn free(&self, listener: ListenerId) -> usize {
        self.free.get(listener.index()).map_or(0, VecDeque::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTSIDE: ListenerId = ListenerId::new(1);

    fn ports(pairs: u16) -> Ports {
        let mut ports = Ports::default();
        for n in 0..pairs {
            let rtp = SocketIndex::new(u32::from(n) * 2);
            let rtcp = SocketIndex::new(u32::from(n) * 2 + 1);
            let addr = SocketAddr::from(([127, 0, 0, 1], 30_000 + n * 2));
            ports.add(OUTSIDE, PortPair { rtp, rtcp, addr });
        }
        ports
    }

    #[test]
    fn the_longest_unused_pair_is_taken_first() {
        let mut ports = ports(3);
        let (first, _) = ports.take(OUTSIDE).unwrap();
        ports.give_back(first);
        let order: Vec<u32> = std::iter::from_fn(|| ports.take(OUTSIDE))
            .map(|(index, _)| index.raw())
            .collect();
        assert_eq!(order, [1, 2, 0]);
        assert_eq!(ports.free(OUTSIDE), 0);
    }

    #[test]
    fn an_unused_pair_keeps_its_place() {
        let mut ports = ports(2);
        let (first, _) = ports.take(OUTSIDE).unwrap();
        ports.give_back_unused(first);
        assert_eq!(ports.take(OUTSIDE).unwrap().0, first);
    }

    #[test]
    fn a_listener_without_ports_has_none() {
        let mut ports = ports(1);
        assert!(ports.take(ListenerId::new(0)).is_none());
        assert!(ports.take(ListenerId::new(9)).is_none());
        assert_eq!(ports.free(ListenerId::new(9)), 0);
    }
}

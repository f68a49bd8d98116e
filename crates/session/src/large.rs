//! Requests too large for a datagram (RFC 3261 §18.1.1).
//!
//! The path's MTU is unknown, so a request of more than 1300 bytes towards a peer at UDP goes over
//! TCP, with `TCP` and our TCP address in its Via. Its Contact, and so the dialog, stay with UDP:
//! each request is judged by its own length. Responses go where the request came from. A peer that
//! took no TCP gets datagrams for a time. Phones are asked for nothing: nobody can open a
//! connection through their NAT.

use bytes::Bytes;
use ringfence_base::{Flow, Instant, Transport};
use ringfence_dialog::{ClientId, Owner, RequestKind};

use crate::core::Core;
use crate::outgoing::OurName;
use crate::plan::{Peer, PeerKind, Plan};

/// What becomes of a large request towards a peer at UDP (`large_requests`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LargeRequests {
    /// Over TCP, and over UDP if the peer takes no TCP.
    #[default]
    Tcp,
    /// Over UDP, in fragments.
    Udp,
}

/// The longest request for a datagram, in bytes, when the path's MTU is unknown.
pub const DATAGRAM_MAX: usize = 1300;

/// How long a peer that took no TCP gets datagrams.
pub const WITHOUT_TCP: std::time::Duration = std::time::Duration::from_secs(600);

/// Most addresses that are remembered for that.
const WITHOUT_TCP_MAX: usize = 1024;

/// A request and the way it goes.
pub(crate) struct Carried {
    pub(crate) flow: Flow,
    pub(crate) bytes: Bytes,
    /// The same for UDP, if this is TCP.
    instead: Option<(Flow, Bytes)>,
}

impl Core {
    /// Chooses the transport of a request that was written for `flow`.
    pub(crate) fn carry(
        &self,
        now: Instant,
        plan: &Plan,
        peer: &Peer,
        flow: Flow,
        bytes: Bytes,
    ) -> Carried {
        let over_tcp = Flow {
            transport: Transport::Tcp,
            connection: None,
            ..flow
        };
        let moves = flow.transport == Transport::Udp
            && bytes.len() > DATAGRAM_MAX
            && !flow.is_within()
            && peer.kind != PeerKind::Phones
            && peer.methods.large_requests == LargeRequests::Tcp
            && !self.is_without_tcp(now, &flow);
        let ours = plan
            .listener(flow.listener)
            .and_then(|listener| listener.tcp);
        let moved = ours
            .filter(|_| moves)
            .and_then(|ours| with_via(&bytes, &OurName::new(peer, ours)));
        match moved {
            Some(moved) => Carried {
                flow: over_tcp,
                bytes: moved,
                instead: Some((flow, bytes)),
            },
            None => Carried {
                flow,
                bytes,
                instead: None,
            },
        }
    }

    /// Sends it in a reserved transaction.
    pub(crate) fn send_carried(
        &mut self,
        now: Instant,
        client: ClientId,
        kind: RequestKind,
        carried: Carried,
        owner: Owner,
    ) {
        let Carried {
            flow,
            bytes,
            instead,
        } = carried;
        let transactions = &mut self.transactions;
        match instead {
            Some(instead) => {
                self.counters.large_requests += 1;
                transactions.send_large_request(now, client, kind, flow, bytes, owner, instead);
            }
            None => transactions.send_request(now, client, kind, flow, bytes, owner),
        }
    }

    /// Nothing came of a request over TCP: this address gets datagrams for a time.
    pub(crate) fn note_without_tcp(&mut self, now: Instant, from: &Flow) {
        self.counters.large_requests_over_udp += 1;
        self.without_tcp.retain(|_, until| *until > now);
        if self.without_tcp.len() < WITHOUT_TCP_MAX {
            let key = (from.listener.raw(), from.remote);
            self.without_tcp.insert(key, now + WITHOUT_TCP);
        }
    }

    fn is_without_tcp(&self, now: Instant, flow: &Flow) -> bool {
        let key = (flow.listener.raw(), flow.remote);
        self.without_tcp.get(&key).is_some_and(|until| *until > now)
    }
}

/// The request with another transport and address in its first Via, which is ours and the first
/// header. `None` if it is not there.
fn with_via(request: &[u8], ours: &OurName<'_>) -> Option<Bytes> {
    let line = request.iter().position(|byte| *byte == b'\n')? + 1;
    let (start, rest) = request.split_at_checked(line)?;
    let rest = rest.strip_prefix(OUR_VIA)?;
    let parameters = rest.iter().position(|byte| *byte == b';')?;
    let mut moved = Vec::with_capacity(request.len() + 32);
    moved.extend_from_slice(start);
    moved.extend_from_slice(format!("Via: SIP/2.0/TCP {ours}").as_bytes());
    moved.extend_from_slice(rest.get(parameters..)?);
    Some(moved.into())
}

const OUR_VIA: &[u8] = b"Via: SIP/2.0/UDP ";

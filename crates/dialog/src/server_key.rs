//! Which server transaction a request belongs to (RFC 3261 §17.2.3), and where its responses go
//! (§18.2.2, RFC 3581).
//!
//! The key is a 128-bit keyed hash of what the RFC compares, so that no text is kept. The
//! listener is hashed too: nobody on one side can touch a transaction of another side.
//!
//! `maddr` is ignored on purpose: it would let a sender aim our responses at a third party.

use ringfence_base::{Flow, HashKey, Transport};
use ringfence_sip::{HeaderError, Host, Message, Method, Via};
use smallvec::SmallVec;

/// The name of a server transaction in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ServerKey([u64; 2]);

impl ServerKey {
    /// `method` is the request's own; for an ACK, and for the target of a CANCEL, INVITE.
    pub(crate) fn new(
        hash: HashKey,
        flow: &Flow,
        message: &Message<'_>,
        via: &Via<'_>,
        method: Method<'_>,
    ) -> Result<ServerKey, HeaderError> {
        let listener = [flow.listener.raw()];
        let method = method.as_bytes();
        let key = match via.branch {
            Some(branch) if via.has_rfc3261_branch() => {
                let sent_by = sent_by(via);
                hash.hash128(&[b"3261", &listener, method, branch, &sent_by])
            }
            // RFC 2543: the whole Via, Call-ID, CSeq number, From tag and Request-URI. The To tag
            // is left out, because the ACK for a failure has one that its INVITE had not.
            _ => hash.hash128(&[
                b"2543",
                &listener,
                method,
                via.raw,
                message.call_id()?,
                &message.cseq()?.number.to_be_bytes(),
                message.from()?.tag().unwrap_or_default(),
                message.request_uri().unwrap_or_default(),
            ]),
        };
        Ok(ServerKey([key as u64, (key >> 64) as u64]))
    }
}

/// Where responses to a request go that came over `flow` with this topmost Via: over a stream,
/// back over its connection; over UDP, to the source address, at the source port if the client
/// asked for that (`rport`), else at the port of the Via's sent-by.
pub fn response_flow(flow: &Flow, via: &Via<'_>) -> Flow {
    let mut flow = *flow;
    if flow.transport == Transport::Udp && via.rport.is_none() {
        flow.remote
            .set_port(via.port.unwrap_or(Transport::Udp.default_port()));
    }
    flow
}

/// Host and port of the Via, in one spelling.
fn sent_by(via: &Via<'_>) -> SmallVec<[u8; 64]> {
    let mut text = SmallVec::new();
    match via.host {
        Host::Name(name) => text.extend(name.iter().map(u8::to_ascii_lowercase)),
        Host::V4(address) => text.extend_from_slice(&address.octets()),
        Host::V6(address) => text.extend_from_slice(&address.octets()),
    }
    // An absent port differs from 5060: no client writes one transaction both ways.
    text.extend_from_slice(&via.port.unwrap_or(0).to_be_bytes());
    text
}

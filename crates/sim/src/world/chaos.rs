//! What happens around the calls: strangers, forged messages, reloads, drains, operators.

use std::time::Duration;

use bytes::Bytes;
use ringfence_base::entropy::SeededEntropy;
use ringfence_base::{Entropy, Instant};

use crate::agent::script::pick;
use crate::agent::{Datagram, Side, audio};
use crate::world::edge::Edge;
use crate::world::leaks::Watch;
use crate::world::site::{self, edge_address, identity_of, stranger};

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Incident {
    /// The edge takes no more calls.
    Drain,
    /// A BYE with the carrier's source address for a real Call-ID, with tags made up.
    ForgedBye,
    /// Random bytes from a stranger.
    Garbage,
    /// A message that the carrier just saw, damaged, from a stranger.
    Mutant,
    /// An operator ends a call.
    OperatorHangUp,
    /// The plan is loaded anew.
    Reload,
    /// A message that the carrier just saw, turned into a BYE, from a stranger.
    StolenBye,
    /// A stranger calls.
    StrangerCalls,
    /// Audio from a stranger to a media port.
    StrangerSpeaks,
}

/// Draws what happens when.
pub(crate) fn draw(entropy: &mut SeededEntropy) -> Vec<(Duration, Incident)> {
    let mut incidents = Vec::new();
    for _ in 0..entropy.below(8) {
        let at = Duration::from_millis(entropy.below(6000));
        let incident = pick(
            entropy,
            &[
                (2, Incident::ForgedBye),
                (2, Incident::Garbage),
                (2, Incident::Mutant),
                (1, Incident::OperatorHangUp),
                (1, Incident::Reload),
                (2, Incident::StolenBye),
                (1, Incident::StrangerCalls),
                (3, Incident::StrangerSpeaks),
            ],
        );
        incidents.push((at, incident));
    }
    if entropy.below(8) == 0 {
        let at = Duration::from_millis(500 + entropy.below(5000));
        incidents.push((at, Incident::Drain));
    }
    incidents
}

/// Does one of them; what it sends, if anything.
pub(crate) fn happen(
    now: Instant,
    incident: Incident,
    edge: &mut Edge,
    outside: &Watch,
    entropy: &mut SeededEntropy,
) -> Option<Datagram> {
    let side = pick(entropy, &[(3, Side::Outside), (1, Side::Inside)]);
    let (from, to, bytes) = match incident {
        Incident::Drain => {
            edge.drain(now);
            return None;
        }
        Incident::OperatorHangUp => {
            edge.hang_up_one(now);
            return None;
        }
        Incident::Reload => {
            edge.reload(now, site::plan(1 + entropy.below(8) as u32));
            return None;
        }
        Incident::Garbage => {
            let mut bytes = vec![0; 1 + entropy.below(300) as usize];
            entropy.fill(&mut bytes);
            (stranger(), edge_address(side), bytes)
        }
        Incident::ForgedBye => {
            let carrier = identity_of(Side::Outside);
            let bytes = bye_like(outside.last_message()?, true)?;
            (carrier.signalling, carrier.edge, bytes)
        }
        Incident::StolenBye => {
            let bytes = bye_like(outside.last_message()?, false)?;
            (stranger(), edge_address(side), bytes)
        }
        Incident::Mutant => {
            let bytes = mutant(outside.last_message()?, entropy);
            (stranger(), edge_address(side), bytes)
        }
        Incident::StrangerCalls => {
            let bytes = invite_of_stranger();
            (stranger(), edge_address(side), bytes)
        }
        Incident::StrangerSpeaks => {
            let voice = audio::Voice {
                key: entropy.next_u64(),
                call: 0,
                caller: true,
            };
            let port = edge.some_port(side, entropy);
            (stranger(), port, voice.packet(1, 0))
        }
    };
    Some(Datagram {
        from,
        to,
        bytes: bytes.into(),
    })
}

/// A BYE with the Call-ID of `seen`, and its tags or others.
fn bye_like(seen: &Bytes, other_tags: bool) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(seen).ok()?;
    let header = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let (from, to) = (header("From: ")?, header("To: ")?);
    let (from, to) = match other_tags {
        true => ("<sip:a@x>;tag=forged1", "<sip:b@x>;tag=forged2"),
        // The carrier saw the edge's response, or its request: one of the two orders is right.
        false => (from, to),
    };
    Some(
        format!(
            "BYE sip:edge@203.0.113.10 SIP/2.0\r\nVia: SIP/2.0/UDP {stranger};branch=z9hG4bKforged\r\n\
             Max-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: 99 BYE\r\n\
             Content-Length: 0\r\n\r\n",
            header("Call-ID: ")?,
            stranger = stranger(),
        )
        .into_bytes(),
    )
}

fn mutant(seen: &Bytes, entropy: &mut SeededEntropy) -> Vec<u8> {
    let mut bytes = seen.to_vec();
    for _ in 0..1 + entropy.below(6) {
        let at = entropy.below(bytes.len() as u64) as usize;
        bytes[at] = entropy.next_u64() as u8;
    }
    bytes.truncate(1 + entropy.below(bytes.len() as u64) as usize);
    bytes
}

fn invite_of_stranger() -> Vec<u8> {
    let stranger = stranger();
    format!(
        "INVITE sip:+13305550100@203.0.113.10 SIP/2.0\r\n\
         Via: SIP/2.0/UDP {stranger};branch=z9hG4bKstranger\r\nMax-Forwards: 70\r\n\
         From: <sip:a@{stranger}>;tag=stranger\r\nTo: <sip:+13305550100@203.0.113.10>\r\n\
         Call-ID: stranger@{stranger}\r\nCSeq: 1 INVITE\r\nContact: <sip:a@{stranger}>\r\n\
         Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

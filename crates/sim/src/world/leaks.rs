//! Watches what the edge sends: nothing of one side may be seen on the other.

use std::collections::BTreeSet;

use bytes::Bytes;
use ringfence_rtp::{PacketKind, classify};
use ringfence_sip::Index;

use crate::agent::Side;
use crate::world::site::{addresses_of, identity_of};

/// All that one side saw, and the names that were used there.
#[derive(Default)]
pub(crate) struct Watch {
    messages: Vec<Bytes>,
    names: BTreeSet<String>,
}

/// Shorter names occur by chance.
const NAME_MIN: usize = 6;

impl Watch {
    /// A datagram that the edge sent to `side`: the secret of the other side in it, if any.
    pub(crate) fn see(&mut self, side: Side, bytes: &Bytes) -> Option<String> {
        let hidden = side.other();
        match classify(bytes) {
            // The content of audio is the callee's and the caller's own.
            PacketKind::Rtp => None,
            PacketKind::Rtcp => binary_address(hidden, bytes).or_else(|| text_of(hidden, bytes)),
            _ => {
                self.messages.push(bytes.clone());
                self.note(bytes);
                text_of(hidden, bytes)
            }
        }
    }

    /// Notes the Call-ID and tags of a message that this side's agent or the edge sent.
    pub(crate) fn note(&mut self, bytes: &[u8]) {
        let mut index = Index::default();
        let Ok(message) = index.parse(bytes) else {
            return;
        };
        let from = message.from().ok();
        let to = message.to().ok();
        let tags = [&from, &to].map(|address| address.as_ref().and_then(|address| address.tag()));
        for name in tags.into_iter().flatten().chain(message.call_id()) {
            if name.len() >= NAME_MIN {
                self.names
                    .insert(String::from_utf8_lossy(name).into_owned());
            }
        }
    }

    /// A name of `other` that this side saw.
    pub(crate) fn name_of(&self, other: &Watch) -> Option<String> {
        self.messages.iter().find_map(|message| {
            let text = String::from_utf8_lossy(message);
            let leaked = other.names.iter().find(|name| text.contains(*name));
            leaked.cloned()
        })
    }

    /// The last message that this side saw.
    pub(crate) fn last_message(&self) -> Option<&Bytes> {
        self.messages.last()
    }
}

/// An address or the mark of `hidden` as text.
fn text_of(hidden: Side, bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let addresses = addresses_of(hidden)
        .iter()
        .map(|&address| std::net::Ipv4Addr::from(address).to_string());
    addresses
        .chain([identity_of(hidden).mark.to_owned()])
        .find(|secret| text.contains(secret.as_str()))
}

/// An address of `hidden` as four bytes.
fn binary_address(hidden: Side, bytes: &[u8]) -> Option<String> {
    addresses_of(hidden)
        .iter()
        .find(|address| bytes.windows(4).any(|window| window == *address))
        .map(|&address| format!("{} in binary", std::net::Ipv4Addr::from(address)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_as_text_in_binary_and_by_name() {
        let mut outside = Watch::default();
        let text = Bytes::from_static(b"SIP/2.0 200 OK\r\nContact: <sip:x@192.0.2.10>\r\n\r\n");
        assert_eq!(
            outside.see(Side::Outside, &text).as_deref(),
            Some("192.0.2.10")
        );
        let report = Bytes::from_static(&[0x80, 201, 0, 2, 1, 2, 3, 4, 192, 0, 2, 11]);
        assert!(outside.see(Side::Outside, &report).is_some());
        assert!(outside.see(Side::Inside, &report).is_none());
        let mut inside = Watch::default();
        inside.note(
            b"BYE sip:a SIP/2.0\r\nCall-ID: x@192.0.2.10\r\nFrom: <sip:b>;tag=hidden1\r\n\r\n",
        );
        assert_eq!(outside.name_of(&inside).as_deref(), Some("x@192.0.2.10"));
    }
}

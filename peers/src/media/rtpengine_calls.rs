//! Sessions through rtpengine: an offer and an answer each.

use crate::net::Network;
use crate::rtpengine::{Rtpengine, Value};
use anyhow::Context;

use super::load::Session;
use super::srtp::Library;

/// The hosts of the two ends.
const ENDS: [u8; 2] = [20, 21];

/// Of the two ends, the one that is protected.
const PROTECTED: usize = 1;

/// Sets up `count` sessions.
pub fn establish(
    network: &Network,
    rtpengine: &mut Rtpengine,
    count: usize,
    library: Option<&Library>,
) -> anyhow::Result<Vec<Session>> {
    (0..count)
        .map(|number| one(network, rtpengine, number, library).context("rtpengine session"))
        .collect()
}

fn one(
    network: &Network,
    rtpengine: &mut Rtpengine,
    number: usize,
    library: Option<&Library>,
) -> anyhow::Result<Session> {
    let addresses = ENDS.map(|host| network.outside(host));
    let sockets = [super::socket(addresses[0])?, super::socket(addresses[1])?];
    let port = |end: usize| anyhow::Ok(sockets[end].local_addr()?.port());
    let call = format!("bench-{number}");
    let common = [
        ("call-id", Value::Text(&call)),
        ("from-tag", Value::Text("a")),
        ("ICE", Value::Text("remove")),
        ("flags", Value::List(&["trust-address"])),
        ("replace", Value::List(&["origin"])),
        ("DTLS", Value::Text("off")),
    ];
    let offer = super::describe(addresses[0], port(0)?, None);
    let only = ["only-AES_CM_128_HMAC_SHA1_80"];
    let mut fields = vec![
        ("command", Value::Text("offer")),
        ("sdp", Value::Text(&offer)),
    ];
    fields.push(("transport-protocol", Value::Text(profile(library))));
    fields.push((
        "SDES",
        Value::List(if library.is_some() { &only } else { &["off"] }),
    ));
    fields.extend(common);
    let super::Described {
        address,
        port: far,
        crypto,
    } = super::described(&rtpengine.describe(&fields)?)?;
    sockets[1].connect((address, far))?;

    let ours = super::fresh_key()?;
    let tag = crypto
        .as_ref()
        .map(|(tag, _)| (tag.as_str(), ours.as_str()));
    let answer = super::describe(addresses[1], port(1)?, tag.filter(|_| library.is_some()));
    let mut fields = vec![
        ("command", Value::Text("answer")),
        ("sdp", Value::Text(&answer)),
    ];
    fields.push(("to-tag", Value::Text("b")));
    fields.push(("transport-protocol", Value::Text("RTP/AVP")));
    fields.extend(common);
    let near = super::described(&rtpengine.describe(&fields)?)?;
    sockets[0].connect((near.address, near.port))?;

    let keys = crypto
        .as_ref()
        .map(|(_, theirs)| (ours.as_str(), theirs.as_str()));
    super::session(sockets, PROTECTED, keys, library)
}

fn profile(library: Option<&Library>) -> &'static str {
    if library.is_some() {
        "RTP/SAVP"
    } else {
        "RTP/AVP"
    }
}

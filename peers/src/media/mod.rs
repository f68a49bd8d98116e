//! Media of many calls at once: sessions set up by real signalling, traffic both ways, and what
//! came through.

pub mod bare_relay;
pub mod edge_calls;
pub mod load;
pub mod rtpengine_calls;
pub mod srtp;

use std::net::{Ipv4Addr, UdpSocket};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use load::Session;
use srtp::Library;

/// The only suite that every peer speaks.
const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";

/// Its master key and salt together.
const KEY_LENGTH: usize = 30;

/// A socket for one end of a session, with room for what comes while the receiver is busy.
fn socket(address: Ipv4Addr) -> anyhow::Result<UdpSocket> {
    use std::os::fd::AsRawFd;
    let socket = UdpSocket::bind((address, 0))?;
    let size: libc::c_int = 1 << 20;
    // SAFETY: the option's value is a live int of the length that is passed.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUF,
            (&raw const size).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        );
    }
    Ok(socket)
}

/// A fresh key with its salt, as SDES carries it.
fn fresh_key() -> anyhow::Result<String> {
    use std::io::Read;
    let mut key = [0; KEY_LENGTH];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
    Ok(BASE64.encode(key))
}

/// The session description of one end: PCMU, and a key where media is protected.
fn describe(address: Ipv4Addr, port: u16, crypto: Option<(&str, &str)>) -> String {
    let profile = if crypto.is_some() {
        "RTP/SAVP"
    } else {
        "RTP/AVP"
    };
    let crypto = crypto.map_or(String::new(), |(tag, key)| {
        format!("a=crypto:{tag} {SUITE} inline:{key}\r\n")
    });
    format!(
        "v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n\
         m=audio {port} {profile} 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\n{crypto}"
    )
}

/// What a description says of its one stream.
#[derive(Debug, PartialEq, Eq)]
struct Described {
    address: Ipv4Addr,
    port: u16,
    /// Tag and key of the crypto line of our suite.
    crypto: Option<(String, String)>,
}

/// Reads a session description.
fn described(sdp: &str) -> anyhow::Result<Described> {
    let line = |start: &str| sdp.lines().find_map(|line| line.strip_prefix(start));
    let address = line("c=IN IP4 ").context("no address")?.trim().parse()?;
    let port = line("m=audio ")
        .and_then(|rest| rest.split(' ').next())
        .context("no port")?;
    let crypto = sdp
        .lines()
        .filter_map(|line| line.strip_prefix("a=crypto:"))
        .find_map(|rest| {
            let mut words = rest.split_whitespace();
            let (tag, suite, key) = (words.next()?, words.next()?, words.next()?);
            let key = key.strip_prefix("inline:")?.split('|').next()?;
            (suite == SUITE).then(|| (tag.to_owned(), key.to_owned()))
        });
    Ok(Described {
        address,
        port: port.parse()?,
        crypto,
    })
}

fn decode_key(key: &str) -> anyhow::Result<Vec<u8>> {
    let key = BASE64.decode(key)?;
    anyhow::ensure!(key.len() == KEY_LENGTH, "a key of {} bytes", key.len());
    Ok(key)
}

/// A session between two sockets, one of which may be protected by the two keys (ours, theirs).
fn session(
    sockets: [UdpSocket; 2],
    protected: usize,
    keys: Option<(&str, &str)>,
    library: Option<&Library>,
) -> anyhow::Result<Session> {
    let mut session = Session::new(sockets);
    if let (Some((ours, theirs)), Some(library)) = (keys, library) {
        let (ours, theirs) = (decode_key(ours)?, decode_key(theirs)?);
        session.protect(
            protected,
            library.outbound(&ours)?,
            library.inbound(&theirs)?,
        );
    }
    Ok(session)
}

#[cfg(test)]
mod tests {
    use crate::net::Network;
    use crate::rtpengine::Rtpengine;

    use super::load::Traffic;
    use super::*;

    #[test]
    fn what_is_described_is_read_back() {
        let address = Ipv4Addr::new(127, 2, 3, 4);
        let sdp = describe(address, 9_000, Some(("7", "c2VjcmV0")));
        let crypto = Some(("7".to_owned(), "c2VjcmV0".to_owned()));
        let expected = Described {
            address,
            port: 9_000,
            crypto,
        };
        assert_eq!(described(&sdp).expect("read"), expected);
        let plain = Described {
            address,
            port: 8,
            crypto: None,
        };
        assert_eq!(described(&describe(address, 8, None)).expect("read"), plain);
        assert!(described("v=0\r\n").is_err());
    }

    #[test]
    fn a_fresh_key_has_the_length_of_the_suite() {
        let key = fresh_key().expect("made");
        assert_eq!(decode_key(&key).expect("read").len(), KEY_LENGTH);
        assert!(decode_key("c2VjcmV0").is_err());
    }

    #[track_caller]
    fn check(name: &str, library: Option<Library>) {
        if !crate::tools::need(name, &["rtpengine"]) {
            return;
        }
        let network = Network::claim().expect("a network");
        let control = std::net::SocketAddrV4::new(network.outside(2), 2_223);
        let mut rtpengine = Rtpengine::start(control, 1).expect("started");
        let sessions =
            rtpengine_calls::establish(&network, &mut rtpengine, 5, library.as_ref()).expect("up");
        let mut traffic = Traffic::new(sessions).expect("made");
        let run = traffic
            .run(std::time::Duration::from_millis(1_200))
            .expect("run");
        assert_eq!((run.sent, run.received, run.wrong), (600, 600, 0), "{run}");
        assert_eq!(run.opened > 0, library.is_some());
    }

    #[test]
    fn rtpengine_relays_every_packet() {
        check("rtpengine_relays_every_packet", None);
    }

    #[test]
    fn rtpengine_relays_every_protected_packet() {
        let name = "rtpengine_relays_every_protected_packet";
        match Library::load() {
            Ok(library) => check(name, Some(library)),
            Err(error) => crate::tools::skip(name, &error.to_string()),
        }
    }
}

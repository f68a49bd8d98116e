//! The bodies of the fuzz targets: plain functions that any build compiles. Their corpora are in
//! `fuzz/corpus/rtp/<target>/` and are replayed by this crate's tests.

use ringfence_base::Instant;

use crate::quality::{Codec, StreamStats};
use crate::rtcp::{self, Compound, MAX_CNAME_LEN};
use crate::srtp::{Context, MAX_OVERHEAD, MasterKey, Suite};
use crate::telephone_event::TelephoneEvent;
use crate::{RtpView, classify};

/// Reads `data` as a series of RTP packets, each with a byte of length before it.
///
/// # Panics
/// If a statistic leaves its range.
pub fn packets(mut data: &[u8]) {
    let mut stats = StreamStats::default();
    let mut count = 0;
    while let Some((&len, rest)) = data.split_first() {
        let (packet, rest) = rest.split_at(rest.len().min(usize::from(len)));
        data = rest;
        count += 1;
        let _ = classify(packet);
        let Ok(view) = RtpView::parse(packet) else {
            continue;
        };
        let _ = TelephoneEvent::parse(view.payload());
        let now = Instant::from_nanos(count * 20_000_000);
        stats.on_packet(
            now,
            view.seq(),
            view.timestamp(),
            8_000,
            view.ssrc(),
            packet.len(),
        );
    }
    assert!(stats.packets() <= count && (0.0..=1.0).contains(&stats.loss()));
    let mos = stats.mos(Codec::G711, stats.jitter());
    assert!(mos.is_none_or(|mos| (1.0..=4.5).contains(&mos)));
}

/// Reads `data` as an RTCP compound packet and makes it fit for the other side.
///
/// # Panics
/// If what passes is not valid, does not stay as it is when it passes again, or holds an item of a
/// source description that is not ours.
pub fn compound(data: &[u8]) {
    if let Ok(compound) = Compound::parse(data) {
        let blocks: usize = compound
            .packets()
            .map(|packet| packet.report_blocks().count())
            .sum();
        assert!(blocks * 24 <= data.len());
    }
    let mut buf = data.to_vec();
    buf.resize(data.len() + 64 * MAX_CNAME_LEN, 0);
    let Some(len) = rtcp::sanitise(&mut buf, data.len(), b"ours") else {
        return;
    };
    let once = buf[..len].to_vec();
    assert!(
        Compound::parse_reduced_size(&once).is_ok(),
        "what passes is valid"
    );
    assert_eq!(rtcp::sanitise(&mut buf, len, b"ours"), Some(len));
    assert_eq!(once, buf[..len], "what passes stays as it is");
}

/// Treats `data` after its first byte, which chooses the suite, as a packet from the network and as one
/// to protect.
///
/// # Panics
/// If bytes without a key are believed, or a protected packet does not come back as it was.
pub fn srtp(data: &[u8]) {
    let Some((&choice, packet)) = data.split_first() else {
        return;
    };
    let suite = Suite::ALL[usize::from(choice) % Suite::ALL.len()];
    let master: Vec<u8> = (0..suite.master_len() as u8).collect();
    let key = MasterKey::from_bytes(suite, &master).expect("as long as the suite wants");
    let context = || Context::new(suite, &key).expect("as long as the suite wants");

    let mut buf = packet.to_vec();
    assert!(
        context().unprotect_rtp(&mut buf, packet.len()).is_err(),
        "a forgery was believed"
    );
    let mut buf = packet.to_vec();
    assert!(
        context().unprotect_rtcp(&mut buf, packet.len()).is_err(),
        "a forgery was believed"
    );

    let mut buf = packet.to_vec();
    buf.resize(packet.len() + MAX_OVERHEAD, 0);
    if let Ok(len) = context().protect_rtp(&mut buf, packet.len()) {
        assert_eq!(context().unprotect_rtp(&mut buf, len), Ok(packet.len()));
        assert_eq!(buf[..packet.len()], *packet);
    }
    if let Ok(len) = context().protect_rtcp(&mut buf, packet.len()) {
        assert_eq!(context().unprotect_rtcp(&mut buf, len), Ok(packet.len()));
        assert_eq!(buf[..packet.len()], *packet);
    }
}

/// Reads `data` as the key parameters of a crypto line.
///
/// # Panics
/// If a key that was read does not come back when it is written.
pub fn inline_key(data: &[u8]) {
    for suite in Suite::ALL {
        let Ok(key) = MasterKey::from_inline(suite, data) else {
            continue;
        };
        let written = key.to_inline();
        let again = MasterKey::from_inline(suite, written.as_bytes()).expect("what we write");
        assert_eq!(*again.to_inline(), *written);
    }
}

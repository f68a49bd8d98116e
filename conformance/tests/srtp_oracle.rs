//! SRTP and SRTCP against `webrtc-srtp`, an implementation that shares nothing with ours but SHA-1:
//! the same bytes on the wire for the same packets, and both refuse what was tampered with.
//!
//! Its index follows the last packet, ours the highest (RFC 3711 §3.3.1), so packets are put out of order
//! by less than the replay window only; and its SRTCP index starts at one.

use proptest::prelude::*;
use ringfence_rtp::srtp::{Context, MAX_OVERHEAD, MasterKey, Suite};
use webrtc_srtp::context::Context as Oracle;
use webrtc_srtp::protection_profile::ProtectionProfile;

/// Packets closer than this may swap places: well within our replay window.
const SWAP_MAX: u32 = 100;

fn oracle(suite: Suite, master: &[u8]) -> Oracle {
    let profile = match suite {
        Suite::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        Suite::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
        Suite::AesCm128HmacSha1_32 => ProtectionProfile::Aes128CmHmacSha1_32,
        Suite::AesCm128HmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
    };
    let (key, salt) = master.split_at(suite.key_len());
    Oracle::new(key, salt, profile, None, None).expect("a key as long as the profile wants")
}

fn ours(suite: Suite, master: &[u8]) -> Context {
    let key = MasterKey::from_bytes(suite, master).expect("a key as long as the suite wants");
    Context::new(suite, &key).expect("a key as long as the suite wants")
}

/// Runs one of our in-place transforms on a copy.
fn apply<E>(
    packet: &[u8],
    transform: impl FnOnce(&mut [u8], usize) -> Result<usize, E>,
) -> Result<Vec<u8>, E> {
    let mut buf = packet.to_vec();
    buf.resize(packet.len() + MAX_OVERHEAD, 0);
    let len = transform(&mut buf, packet.len())?;
    buf.truncate(len);
    Ok(buf)
}

fn suite_and_master() -> impl Strategy<Value = (Suite, Vec<u8>)> {
    prop::sample::select(&Suite::ALL[..]).prop_flat_map(|suite| {
        (
            Just(suite),
            prop::collection::vec(any::<u8>(), suite.master_len()),
        )
    })
}

/// Sequence numbers as a network delivers them: from `start` on with gaps, neighbours swapped.
fn delivered(start: u16, steps: &[(u32, bool)]) -> Vec<u16> {
    let mut indices = vec![u32::from(start)];
    for (gap, _) in steps {
        indices.push(indices[indices.len() - 1] + gap);
    }
    // The first packet fixes where the receiver starts, so it stays in place.
    for i in 2..indices.len() {
        if steps[i - 1].1 && indices[i].abs_diff(indices[i - 1]) < SWAP_MAX {
            indices.swap(i, i - 1);
        }
    }
    indices.into_iter().map(|index| index as u16).collect()
}

fn rtp(seq: u16, ssrc: u32, csrcs: u8, extension_words: Option<u8>, payload: &[u8]) -> Vec<u8> {
    let extension = u8::from(extension_words.is_some()) << 4;
    let mut packet = vec![0x80 | extension | csrcs, 0x80 | 96];
    packet.extend_from_slice(&seq.to_be_bytes());
    packet.extend_from_slice(&[9; 4]);
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.resize(packet.len() + usize::from(csrcs) * 4, 0xcc);
    if let Some(words) = extension_words {
        packet.extend_from_slice(&[0, 1, 0, words]);
        packet.resize(packet.len() + usize::from(words) * 4, 0xee);
    }
    packet.extend_from_slice(payload);
    packet
}

proptest! {
    #[test]
    fn rtp_packets_agree_over_roll_overs(
        (suite, master) in suite_and_master(),
        start: u16,
        steps in prop::collection::vec(
            (prop_oneof![1u32..4, 1u32..3_000, 10_000u32..30_000], any::<bool>()), 1..40),
        ssrcs in prop::collection::btree_set(any::<u32>(), 1..4),
        csrcs in 0u8..16,
        extension_words in prop::option::of(0u8..5),
        payload in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let (mut sender, mut receiver) = (ours(suite, &master), ours(suite, &master));
        let (mut their_sender, mut their_receiver) = (oracle(suite, &master), oracle(suite, &master));
        for seq in delivered(start, &steps) {
            for &ssrc in &ssrcs {
                let packet = rtp(seq, ssrc, csrcs, extension_words, &payload);
                let protected = apply(&packet, |buf, len| sender.protect_rtp(buf, len)).unwrap();
                let theirs = their_sender.encrypt_rtp(&packet).unwrap();
                prop_assert_eq!(&protected, &theirs);
                prop_assert_eq!(&their_receiver.decrypt_rtp(&protected).unwrap(), &packet);
                let plain = apply(&theirs, |buf, len| receiver.unprotect_rtp(buf, len));
                prop_assert_eq!(plain, Ok(packet));
            }
        }
    }

    #[test]
    fn rtcp_packets_agree(
        (suite, master) in suite_and_master(),
        ssrc: u32,
        packet_type in 200u8..208,
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 1..6),
    ) {
        let (mut sender, mut receiver) = (ours(suite, &master), ours(suite, &master));
        let (mut their_sender, mut their_receiver) = (oracle(suite, &master), oracle(suite, &master));
        let header = |len: usize| {
            let words = ((len / 4 * 4 + 8) / 4 - 1) as u8;
            [&[0x80, packet_type, 0, words], &ssrc.to_be_bytes()[..]].concat()
        };
        // Their index starts at one, ours at zero.
        apply(&header(0), |buf, len| sender.protect_rtcp(buf, len)).unwrap();
        for body in &bodies {
            let packet = [&header(body.len()), &body[..body.len() / 4 * 4]].concat();
            let protected = apply(&packet, |buf, len| sender.protect_rtcp(buf, len)).unwrap();
            let theirs = their_sender.encrypt_rtcp(&packet).unwrap();
            prop_assert_eq!(&protected, &theirs);
            prop_assert_eq!(&their_receiver.decrypt_rtcp(&protected).unwrap(), &packet);
            let plain = apply(&theirs, |buf, len| receiver.unprotect_rtcp(buf, len));
            prop_assert_eq!(plain, Ok(packet));
        }
    }

    #[test]
    fn tampered_packets_are_refused_by_both(
        (suite, master) in suite_and_master(),
        payload in prop::collection::vec(any::<u8>(), 0..200),
        at: prop::sample::Index,
        bit in 0u8..8,
    ) {
        let packet = rtp(7, 1, 0, None, &payload);
        let mut sender = ours(suite, &master);
        let mut tampered = apply(&packet, |buf, len| sender.protect_rtp(buf, len)).unwrap();
        let at = at.index(tampered.len());
        // The version and the shape of the header are refused before the tag is looked at.
        prop_assume!(at > 0);
        tampered[at] ^= 1 << bit;
        let refused = apply(&tampered, |buf, len| ours(suite, &master).unprotect_rtp(buf, len));
        prop_assert!(refused.is_err());
        prop_assert!(oracle(suite, &master).decrypt_rtp(&tampered).is_err());
    }
}

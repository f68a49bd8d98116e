//! The context's behaviour: libsrtp's vectors, indices over the roll-over, replays, forgeries, bounds.

use proptest::prelude::*;

use super::super::MAX_OVERHEAD;
use super::super::aes_cm::AesCm;
use super::super::aes_gcm::AesGcm;
use super::*;

const CM: Suite = Suite::AesCm128HmacSha1_80;
const GCM: Suite = Suite::AeadAes128Gcm;
const EMPTY_REPORT: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 7];

fn key(suite: Suite) -> MasterKey {
    let bytes: Vec<u8> = (1..=suite.master_len() as u8).collect();
    MasterKey::from_bytes(suite, &bytes).unwrap()
}

fn context(suite: Suite) -> Context {
    Context::new(suite, &key(suite)).unwrap()
}

fn rtp(ssrc: u32, seq: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend_from_slice(&seq.to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 160]);
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

fn protect(context: &mut Context, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut buf = packet.to_vec();
    buf.resize(packet.len() + MAX_OVERHEAD, 0);
    context
        .protect_rtp(&mut buf, packet.len())
        .map(|len| buf[..len].to_vec())
}

fn unprotect(context: &mut Context, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut buf = packet.to_vec();
    context
        .unprotect_rtp(&mut buf, packet.len())
        .map(|len| buf[..len].to_vec())
}

fn protect_rtcp(context: &mut Context, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut buf = packet.to_vec();
    buf.resize(packet.len() + MAX_OVERHEAD, 0);
    context
        .protect_rtcp(&mut buf, packet.len())
        .map(|len| buf[..len].to_vec())
}

fn unprotect_rtcp(context: &mut Context, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut buf = packet.to_vec();
    context
        .unprotect_rtcp(&mut buf, packet.len())
        .map(|len| buf[..len].to_vec())
}

/// Sends the sequence numbers in this order over a fresh pair of contexts.
#[track_caller]
fn check_delivery(seqs: &[u16], expected: &[Result<(), SrtpError>]) {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = (context(suite), context(suite));
        let results: Vec<_> = seqs
            .iter()
            .map(|&seq| {
                let packet = rtp(7, seq, b"voice");
                let protected = protect(&mut sender, &packet)?;
                assert_eq!(unprotect(&mut receiver, &protected).as_ref(), Ok(&packet));
                Ok(())
            })
            .collect();
        assert_eq!(results, expected, "{suite}");
    }
}

/// The packets of libsrtp's `srtp_validate`, RTP's and RTCP's protected part.
#[track_caller]
fn check_libsrtp(suite: Suite, master: &[u8], expected_rtp: &[u8], expected_rtcp: &[u8]) {
    let key = MasterKey::from_bytes(suite, master).unwrap();
    let mut sender = Context::new(suite, &key).unwrap();
    let mut packet = rtp(0xcafe_babe, 0x1234, &[0xab; 16]);
    packet[..8].copy_from_slice(b"\x80\x0f\x12\x34\xde\xca\xfb\xad");
    assert_eq!(protect(&mut sender, &packet).unwrap()[12..], *expected_rtp);

    let mut packet = b"\x81\xc8\x00\x0b\xca\xfe\xba\xbe".to_vec();
    packet.extend_from_slice(&[0xab; 16]);
    // libsrtp counts from one.
    sender.rtcp_sent = 1;
    assert_eq!(
        protect_rtcp(&mut sender, &packet).unwrap()[8..],
        *expected_rtcp
    );
}

#[test]
fn the_vectors_of_libsrtp_hold_for_aes_cm() {
    check_libsrtp(
        CM,
        b"\xe1\xf9\x7a\x0d\x3e\x01\x8b\xe0\xd6\x4f\xa3\x2c\x06\xde\x41\x39\
          \x0e\xc6\x75\xad\x49\x8a\xfe\xeb\xb6\x96\x0b\x3a\xab\xe6",
        b"\x4e\x55\xdc\x4c\xe7\x99\x78\xd8\x8c\xa4\xd2\x15\x94\x9d\x24\x02\
          \xb7\x8d\x6a\xcc\x99\xea\x17\x9b\x8d\xbb",
        b"\x71\x28\x03\x5b\xe4\x87\xb9\xbd\xbe\xf8\x90\x41\xf9\x77\xa5\xa8\
          \x80\x00\x00\x01\x99\x3e\x08\xcd\x54\xd6\xc1\x23\x07\x98",
    );
}

#[test]
fn the_vectors_of_libsrtp_hold_for_aes_gcm() {
    let master: Vec<u8> = (0..16).chain(0xa0..0xac).collect();
    check_libsrtp(
        GCM,
        &master,
        b"\xc5\x00\x2e\xde\x04\xcf\xdd\x2e\xb9\x11\x59\xe0\x88\x0a\xa0\x6e\
          \xd2\x97\x68\x26\xf7\x96\xb2\x01\xdf\x31\x31\xa1\x27\xe8\xa3\x92",
        b"\xc9\x8b\x8b\x5d\xf0\x39\x2a\x55\x85\x2b\x6c\x21\xac\x8e\x70\x25\
          \xc5\x2c\x6f\xbe\xa2\xb3\xb4\x46\xea\x31\x12\x3b\xa8\x8c\xe6\x1e\x80\x00\x00\x01",
    );
}

#[test]
fn the_index_goes_on_over_the_roll_over_rfc3711_3_3_1() {
    check_delivery(&[65_534, 65_535, 0, 1], &[Ok(()); 4]);
    check_delivery(&[65_534, 0, 65_535, 2, 1], &[Ok(()); 5]);
    check_delivery(&[65_500, 20, 65_450], &[Ok(()); 3]);
}

#[test]
fn three_roll_overs_with_losses_stay_in_step() {
    let seqs: Vec<u16> = (0..3 * 65_536u32 / 97).map(|i| (i * 97) as u16).collect();
    check_delivery(&seqs, &vec![Ok(()); seqs.len()]);
}

#[test]
fn a_keystream_is_never_used_twice_rfc3711_9_1() {
    let replayed = Err(SrtpError::Replayed);
    check_delivery(&[5, 5, 6, 5], &[Ok(()), replayed, Ok(()), replayed]);
    check_delivery(&[500, 500 - 128, 500 - 127], &[Ok(()), replayed, Ok(())]);
    check_delivery(&[3, 65_535], &[Ok(()), replayed]);
}

#[test]
fn replayed_packets_are_refused_rfc3711_3_3_2() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = (context(suite), context(suite));
        let first = protect(&mut sender, &rtp(7, 1, b"voice")).unwrap();
        let second = protect(&mut sender, &rtp(7, 2, b"voice")).unwrap();
        assert!(unprotect(&mut receiver, &second).is_ok());
        assert!(unprotect(&mut receiver, &first).is_ok());
        assert_eq!(unprotect(&mut receiver, &first), Err(SrtpError::Replayed));
        assert_eq!(unprotect(&mut receiver, &second), Err(SrtpError::Replayed));
    }
}

#[test]
fn a_forged_packet_changes_nothing_rfc3711_3_3() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = (context(suite), context(suite));
        let good = protect(&mut sender, &rtp(7, 1, b"voice")).unwrap();
        for at in 0..good.len() {
            let mut forged = good.clone();
            forged[at] ^= 0x01;
            assert!(unprotect(&mut receiver, &forged).is_err(), "{suite} {at}");
        }
        assert!(
            receiver.sources.is_empty(),
            "no source before a packet is authentic"
        );

        // Far ahead: would move the window past the good packet if it were believed.
        let mut ahead = good.clone();
        ahead[2] = 0x40;
        assert_eq!(unprotect(&mut receiver, &ahead), Err(SrtpError::AuthFailed));
        assert!(unprotect(&mut receiver, &good).is_ok());
        assert_eq!(unprotect(&mut receiver, &ahead), Err(SrtpError::AuthFailed));
        let next = protect(&mut sender, &rtp(7, 2, b"voice")).unwrap();
        assert!(unprotect(&mut receiver, &next).is_ok());
    }
}

#[test]
fn sources_are_kept_apart_and_bounded() {
    let (mut sender, mut receiver) = (context(CM), context(CM));
    let mut deliver = |ssrc, seq| {
        let protected = protect(&mut sender, &rtp(ssrc, seq, b"voice")).unwrap();
        assert!(unprotect(&mut receiver, &protected).is_ok());
    };
    for seq in 0..2 {
        (0..MAX_SOURCES as u32).for_each(|ssrc| deliver(ssrc, seq));
    }
    deliver(99, 0);
    deliver(1, 2);
    assert_eq!(
        (sender.evicted_sources(), receiver.evicted_sources()),
        (1, 1)
    );
    assert_eq!(receiver.sources.len(), MAX_SOURCES);
    assert!(
        receiver.known(0).is_none(),
        "the one unused for longest went"
    );
}

#[test]
fn packets_carry_the_master_key_identifier_rfc3711_3_1() {
    for (suite, mki_from_the_end) in [(CM, 10), (GCM, 0)] {
        let inline = format!("{}|2^31|258:2", key(suite).to_inline().as_str());
        let key = MasterKey::from_inline(suite, inline.as_bytes()).unwrap();
        let mut sender = Context::new(suite, &key).unwrap();
        let mut receiver = Context::new(suite, &key).unwrap();
        let packet = rtp(7, 1, b"voice");
        let mut protected = protect(&mut sender, &packet).unwrap();
        let at = protected.len() - mki_from_the_end - 2;
        assert_eq!(protected[at..at + 2], [1, 2]);
        protected[at] = 9;
        assert_eq!(
            unprotect(&mut receiver, &protected),
            Err(SrtpError::MkiMismatch)
        );
        protected[at] = 1;
        assert_eq!(unprotect(&mut receiver, &protected), Ok(packet));

        let protected = protect_rtcp(&mut sender, &EMPTY_REPORT).unwrap();
        assert_eq!(
            unprotect_rtcp(&mut receiver, &protected),
            Ok(EMPTY_REPORT.to_vec())
        );
    }
}

#[test]
fn header_extension_and_csrcs_stay_in_the_clear_rfc3711_3_1() {
    for suite in Suite::ALL {
        let mut packet = rtp(7, 1, b"csrc\xbe\xde\x00\x01extnvoice");
        packet[0] = 0x91;
        let protected = protect(&mut context(suite), &packet).unwrap();
        assert_eq!(protected[..24], packet[..24]);
        assert_ne!(protected[24..29], packet[24..29]);
        assert_eq!(unprotect(&mut context(suite), &protected), Ok(packet));
    }
}

#[test]
fn the_tag_needs_room() {
    let mut buf = rtp(7, 1, b"voice");
    let len = buf.len();
    let mut sender = context(CM);
    buf.resize(len + 9, 0);
    assert_eq!(
        sender.protect_rtp(&mut buf, len),
        Err(SrtpError::BufferTooSmall)
    );
    assert_eq!(
        sender.protect_rtp(&mut buf, usize::MAX),
        Err(SrtpError::BufferTooSmall)
    );
    buf.push(0);
    assert_eq!(sender.protect_rtp(&mut buf, len), Ok(len + 10));
}

#[test]
fn rtcp_goes_there_and_back_rfc3711_3_4() {
    let report = *b"\x81\xc9\x00\x07\x00\x00\x00\x07reportreportreportreport";
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = (context(suite), context(suite));
        let first = protect_rtcp(&mut sender, &report).unwrap();
        let second = protect_rtcp(&mut sender, &report).unwrap();
        assert_eq!(first.len(), report.len() + 4 + suite.rtcp_tag_len());
        assert_eq!(first[..8], report[..8]);
        assert_ne!(first[8..], second[8..]);
        assert_eq!(unprotect_rtcp(&mut receiver, &second), Ok(report.to_vec()));
        assert_eq!(unprotect_rtcp(&mut receiver, &first), Ok(report.to_vec()));
        assert_eq!(
            unprotect_rtcp(&mut receiver, &first),
            Err(SrtpError::Replayed)
        );
        for at in 0..first.len() {
            let mut forged = protect_rtcp(&mut sender, &report).unwrap();
            forged[at] ^= 0x01;
            assert!(
                unprotect_rtcp(&mut receiver, &forged).is_err(),
                "{suite} {at}"
            );
        }
    }
}

#[test]
fn unencrypted_rtcp_is_refused_rfc3711_3_4() {
    for (suite, word_from_the_end) in [(CM, 14), (GCM, 4)] {
        let mut protected = protect_rtcp(&mut context(suite), &EMPTY_REPORT).unwrap();
        let at = protected.len() - word_from_the_end;
        protected[at] &= 0x7f;
        let refused = unprotect_rtcp(&mut context(suite), &protected);
        assert_eq!(refused, Err(SrtpError::Unencrypted));
    }
}

#[test]
fn the_rtcp_index_ends_at_31_bits_rfc3711_9_2() {
    let mut sender = context(CM);
    sender.rtcp_sent = ENCRYPTED - 1;
    let last = protect_rtcp(&mut sender, &EMPTY_REPORT).unwrap();
    assert_eq!(
        unprotect_rtcp(&mut context(CM), &last),
        Ok(EMPTY_REPORT.to_vec())
    );
    assert_eq!(
        protect_rtcp(&mut sender, &EMPTY_REPORT),
        Err(SrtpError::KeyExhausted)
    );
}

#[test]
fn the_rtp_index_ends_at_48_bits_rfc3711_9_2() {
    let mut sender = context(GCM);
    sender.source(7).rtp.accept((1 << 48) - 1);
    let after = protect(&mut sender, &rtp(7, 0, b"voice"));
    assert_eq!(after, Err(SrtpError::KeyExhausted));
}

#[test]
fn a_context_is_small() {
    // AES-GCM has aws-lc's AEAD context beside it on the heap, another 600 bytes.
    assert!(size_of::<Context>() <= 112, "{}", size_of::<Context>());
    assert!(size_of::<AesCm>() <= 704, "{}", size_of::<AesCm>());
    assert!(size_of::<AesGcm>() <= 96, "{}", size_of::<AesGcm>());
}

#[test]
fn a_context_may_move_to_a_worker() {
    fn assert_send<T: Send>(_: &T) {}
    assert_send(&context(CM));
}

#[test]
fn never_prints_a_key() {
    assert_eq!(
        format!("{:?}", context(GCM)),
        "Context(AEAD_AES_128_GCM, 0 sources)"
    );
}

proptest! {
    #[test]
    fn any_payload_goes_there_and_back(
        payload in prop::collection::vec(any::<u8>(), 0..1_400),
        suite in prop::sample::select(&Suite::ALL[..]),
        (ssrc, seq) in any::<(u32, u16)>(),
    ) {
        let packet = rtp(ssrc, seq, &payload);
        let protected = protect(&mut context(suite), &packet).unwrap();
        prop_assert_eq!(protected.len(), packet.len() + suite.rtp_tag_len());
        prop_assert_eq!(unprotect(&mut context(suite), &protected), Ok(packet));
    }

    #[test]
    fn any_bytes_are_refused(
        mut bytes in prop::collection::vec(any::<u8>(), 0..100),
        len in 0usize..120,
        suite in prop::sample::select(&Suite::ALL[..]),
    ) {
        let mut receiver = context(suite);
        prop_assert!(receiver.unprotect_rtp(&mut bytes, len).is_err());
        prop_assert!(receiver.unprotect_rtcp(&mut bytes, len).is_err());
        let _ = receiver.protect_rtp(&mut bytes, len);
        let _ = receiver.protect_rtcp(&mut bytes, len);
    }
}

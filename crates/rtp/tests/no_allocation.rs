//! The path of a media packet allocates nothing: classify, header, SRTP both ways, statistics.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use ringfence_base::Instant;
use ringfence_base::entropy::SeededEntropy;
use ringfence_rtp::quality::StreamStats;
use ringfence_rtp::srtp::{Context, MAX_OVERHEAD, MasterKey, Suite};
use ringfence_rtp::{PacketKind, RtpView, classify, rtcp};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: passes every call on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_media_packet_allocates_nothing() {
    for suite in Suite::ALL {
        let key = MasterKey::generate(suite, &mut SeededEntropy::new(1));
        let mut sender = Context::new(suite, &key).unwrap();
        let mut receiver = Context::new(suite, &key).unwrap();
        let mut stats = StreamStats::default();
        let mut buf = [0; 172 + MAX_OVERHEAD];
        let before = ALLOCATIONS.get();
        for seq in 0..1_000u16 {
            buf[..2].copy_from_slice(&[0x80, 8]);
            buf[2..4].copy_from_slice(&seq.to_be_bytes());
            assert_eq!(classify(&buf[..172]), PacketKind::Rtp);
            let len = sender.protect_rtp(&mut buf, 172).unwrap();
            let len = receiver.unprotect_rtp(&mut buf, len).unwrap();
            let view = RtpView::parse(&buf[..len]).unwrap();
            let now = Instant::from_nanos(u64::from(seq));
            stats.on_packet(now, view.seq(), view.timestamp(), 8_000, view.ssrc(), len);
        }
        assert_eq!(ALLOCATIONS.get(), before, "{suite}");
    }
}

#[test]
fn a_report_is_sanitised_without_allocation() {
    let mut buf = [0; 128];
    let report = [
        0x80, 201, 0, 1, 0, 0, 0, 7, 0x81, 202, 0, 2, 0, 0, 0, 7, 1, 1, b'x', 0,
    ];
    buf[..20].copy_from_slice(&report);
    let before = ALLOCATIONS.get();
    assert_eq!(rtcp::sanitise(&mut buf, 20, b"ours"), Some(24));
    assert_eq!(ALLOCATIONS.get(), before);
}

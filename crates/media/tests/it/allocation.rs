//! The way of a packet allocates nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use ringfence_media::{Side, SideConfig, TAIL};
use ringfence_rtp::srtp::Suite;

use crate::kit::{CARRIER, PACKET_TIME, PBX, RTP_LEN, SecurePeer, Source, World, addr, config};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is the same.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of 100 packets each way, after the first.
fn allocations(mut world: World, mut protect: impl FnMut(&[u8]) -> Vec<u8>) -> u64 {
    let mut buf = [0; RTP_LEN + TAIL + TAIL];
    let (mut carrier, mut pbx) = (Source::new(1), Source::new(2));
    let mut counted = 0;
    for n in 0..101 {
        world.pass(PACKET_TIME);
        let packets = [
            (Side::A, CARRIER, protect(&carrier.packet())),
            (Side::B, PBX, pbx.packet()),
        ];
        for (side, from, packet) in packets {
            buf[..packet.len()].copy_from_slice(&packet);
            let (from, socket) = (addr(from), crate::kit::rtp_socket(side));
            let before = ALLOCATIONS.get();
            let sent = world
                .plane
                .handle_packet(world.now, socket, from, &mut buf, packet.len());
            let after = ALLOCATIONS.get();
            assert!(sent.is_some());
            counted += if n == 0 { 0 } else { after - before };
        }
    }
    counted
}

#[test]
fn plain_packets_allocate_nothing() {
    assert_eq!(allocations(World::plain(), <[u8]>::to_vec), 0);
}

#[test]
fn protected_packets_allocate_nothing() {
    for suite in [Suite::AesCm128HmacSha1_80, Suite::AeadAes256Gcm] {
        let (mut peer, security) = SecurePeer::new(suite, 1);
        let world = World::described(
            SideConfig {
                security,
                ..config(CARRIER)
            },
            config(PBX),
        );
        assert_eq!(allocations(world, |packet| peer.protect(packet)), 0);
    }
}

#[test]
fn dropped_packets_allocate_nothing() {
    let mut world = World::plain();
    let mut buf = [0x80; 300];
    for socket in 0..40 {
        let socket = ringfence_media::SocketIndex::new(socket);
        let before = ALLOCATIONS.get();
        world
            .plane
            .handle_packet(world.now, socket, addr(crate::kit::STRANGER), &mut buf, 172);
        assert_eq!(ALLOCATIONS.get(), before);
    }
}

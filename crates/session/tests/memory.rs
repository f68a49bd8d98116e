//! What an established call costs in memory, counted by the allocator: no clock, no machine, so
//! the figure is the same everywhere, and a field too many fails here and not in the field.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use ringfence_media::{PortPair, SocketIndex};

use support::{CARRIER, Caller, INSIDE, OUTSIDE, PBX, World, sdp};

struct Counting;

thread_local! {
    /// Bytes that this thread holds, with what the allocator adds.
    static HELD: Cell<isize> = const { Cell::new(0) };
}

/// As the C library's allocator takes it: a header of eight bytes, in steps of sixteen.
fn taken(layout: Layout) -> isize {
    (layout.size() + 8).next_multiple_of(16).max(32) as isize
}

// SAFETY: hands every request on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.with(|held| held.set(held.get() + taken(layout)));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.with(|held| held.set(held.get() - taken(layout)));
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// As many as one of two workers has in the benchmark, and no power of two: tables that double are
/// a third empty.
const CALLS: u32 = 1500;

/// Bytes of a call just acknowledged, whose transactions linger, and of one that is up for a while.
const AT_ONCE_MAX: isize = 5_200;
const SETTLED_MAX: isize = 4_300;

fn world() -> World {
    let mut world = World::with(|plan| plan.sites[0].channels = 0);
    for (listener, host, base) in [(OUTSIDE, "203.0.113.10", 2000), (INSIDE, "192.0.2.2", 9000)] {
        let pairs = (0..CALLS + 8).map(|n| PortPair {
            rtp: SocketIndex::new(base + 2 * n),
            rtcp: SocketIndex::new(base + 2 * n + 1),
            addr: format!("{host}:{}", 40_000 + 2 * n).parse().unwrap(),
        });
        world.core.media_mut().add_ports(listener, pairs);
    }
    world
}

fn establish(world: &mut World, number: u32, offer: &str, answer: &str) {
    let mut caller = Caller::new(CARRIER, "+13305550100");
    caller.call_id = format!("{number}-31337@198.51.100.20");
    caller.branch = number * 16;
    world.deliver(CARRIER, &caller.request("INVITE", Some(offer)));
    let invite = world.take(PBX, "INVITE");
    world.deliver(PBX, &invite.answer("180 Ringing", PBX, None));
    world.deliver(PBX, &invite.answer("200 OK", PBX, Some(answer)));
    caller.learn(&world.take(CARRIER, "200"));
    world.deliver(CARRIER, &caller.request("ACK", None));
    world.sent.clear();
    world.events.clear();
}

#[test]
fn an_established_call_is_small() {
    let mut world = world();
    let offer = sdp("198.51.100.21", 7000, "");
    let answer = sdp("192.0.2.11", 9000, "");
    // The queues of messages and events stay for ever, whoever comes first.
    establish(&mut world, 0, &offer, &answer);
    let before = HELD.get();
    for number in 1..CALLS {
        establish(&mut world, number, &offer, &answer);
    }
    let at_once = (HELD.get() - before) / (CALLS - 1) as isize;
    world.pass(Duration::from_secs(40));
    world.sent.clear();
    world.events.clear();
    let settled = (HELD.get() - before) / (CALLS - 1) as isize;
    assert_eq!(world.core.media().streams_open(), CALLS as usize);
    // What the edge's process takes is this, what the allocator loses between such pieces, and the
    // memory of the busiest second: see docs/performance.md.
    assert!(at_once < AT_ONCE_MAX, "{at_once} bytes a call");
    assert!(settled < SETTLED_MAX, "{settled} bytes a call");
}

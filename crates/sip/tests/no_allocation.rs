//! Indexing, framing, reading typed headers and refusing allocate nothing; writing into a buffer
//! that is large enough neither.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;

use ringfence_sip::frame::{Frame, StreamFramer};
use ringfence_sip::write::response_to;
use ringfence_sip::{HeaderName, Index, MAX_HEADERS, StatusCode};

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

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[track_caller]
fn check(what: impl FnOnce()) {
    let before = ALLOCATIONS.get();
    what();
    assert_eq!(ALLOCATIONS.get() - before, 0, "allocations");
}

fn invite(headers: usize) -> Vec<u8> {
    let extra = "X-Header: with \"quotes, commas\" and\r\n  a fold\r\n".repeat(headers);
    format!(
        "INVITE sip:+13305550100@edge.example.com;user=phone SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.31;branch=z9hG4bK7d3a, SIP/2.0/TCP [2001:db8::1];branch=z9hG4bK2\r\n\
         From: \"Summit\" <sip:+13305550199@pbx.example.com>;tag=as58f4201b\r\n\
         To: <sip:+13305550100@edge.example.com>\r\nContact: <sip:a@192.0.2.10>, <sip:b@c>\r\n\
         Call-ID: 3c26700857a87c54\r\nCSeq: 102 INVITE\r\nMax-Forwards: 68\r\n{extra}\
         Content-Length: 4\r\n\r\nv=0\n"
    )
    .into_bytes()
}

#[test]
fn an_index_allocates_nothing_whatever_the_message() {
    let mut index = Index::default();
    for headers in [0, 20, MAX_HEADERS, 2 * MAX_HEADERS] {
        let datagram = invite(headers);
        check(|| {
            let message = index.parse(&datagram).unwrap();
            assert_eq!(message.values(HeaderName::Via).count(), 2);
            assert_eq!(message.contacts().filter(Result::is_ok).count(), 2);
            assert!(message.via().is_ok() && message.from().is_ok() && message.to().is_ok());
            assert!(message.cseq().is_ok() && message.call_id().is_ok());
            assert_eq!(message.validate_request().is_ok(), headers < MAX_HEADERS);
        });
    }
    check(|| assert!(index.parse(b"no SIP").is_err()));
}

#[test]
fn a_stream_allocates_its_buffer_once() {
    let (mut framer, mut index) = (StreamFramer::new(), Index::default());
    let message = invite(5);
    let (first, second) = message.split_at(200);
    framer.push(&message);
    assert!(framer.next(&mut index).unwrap().is_some());
    check(|| {
        for _ in 0..100 {
            framer.push(first);
            assert!(framer.next(&mut index).unwrap().is_none());
            framer.push(second);
            assert!(matches!(
                framer.next(&mut index),
                Ok(Some(Frame::Message(_)))
            ));
        }
    });
}

#[test]
fn an_answer_allocates_nothing_but_its_buffer() {
    let mut index = Index::default();
    let mut buffer = Vec::with_capacity(2048);
    let datagram = invite(0);
    check(|| {
        let message = index.parse(&datagram).unwrap();
        let remote = SocketAddr::from(([192, 0, 2, 31], 5060));
        response_to(
            &mut buffer,
            &message,
            remote,
            StatusCode::of(486),
            "",
            Some(b"t"),
        )
        .finish();
    });
    assert!(buffer.starts_with(b"SIP/2.0 486 Busy Here\r\nVia: SIP/2.0/UDP 192.0.2.31;"));
}

//! What transactions and dialogs cost in memory, measured by a counting allocator.
//!
//! A finished transaction lingers for up to 32 s over UDP, so 1,000 calls/s keep 128,000 of them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use ringfence_base::entropy::SeededEntropy;
use ringfence_base::{Flow, Instant, ListenerId, WorkerIndex};
use ringfence_dialog::dialog::Dialog;
use ringfence_dialog::{
    ClientId, Cookies, Limits, Matched, Owner, RequestKind, ServerId, TimerTable, Transactions,
};
use ringfence_sip::{Index, StatusCode};

struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

fn count(bytes: isize, calls: usize) {
    LIVE.with(|live| live.set(live.get() + bytes));
    CALLS.with(|count| count.set(count.get() + calls));
}

// SAFETY: hands every request on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize, 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize), 0);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Live heap bytes and allocations that `work` adds.
fn measure<T>(work: impl FnOnce() -> T) -> (T, isize, usize) {
    let (live, calls) = (LIVE.get(), CALLS.get());
    let result = work();
    (result, LIVE.get() - live, CALLS.get() - calls)
}

/// Tables double: with a power of two none is half empty.
const COUNT: usize = 1 << 13;

struct Bench {
    layer: Transactions,
    flow: Flow,
    index: Index,
}

impl Bench {
    fn new() -> Bench {
        let cookies = Cookies::new([7; 16], WorkerIndex::new(0));
        let timers = TimerTable::default();
        let limits = Limits::default();
        Bench {
            layer: Transactions::new(timers, cookies, &mut SeededEntropy::new(1), limits),
            flow: Flow::udp(ListenerId::new(0), "192.0.2.10:5060".parse().unwrap()),
            index: Index::default(),
        }
    }

    fn receive(&mut self, text: &str) -> Matched {
        let message = self.index.parse(text.as_bytes()).unwrap();
        self.layer.handle_input(Instant::ZERO, &self.flow, &message)
    }

    fn server(&mut self, text: &str) -> ServerId {
        match self.receive(text) {
            Matched::NewRequest(id) => id,
            other => panic!("{other:?}"),
        }
    }

    fn respond(&mut self, id: ServerId, bytes: &str) {
        let bytes = Bytes::copy_from_slice(bytes.as_bytes());
        self.layer
            .respond(Instant::ZERO, id, StatusCode::of(200), bytes);
        self.layer.poll_transmit();
    }

    fn send(&mut self, method: &str) -> (ClientId, String) {
        let id = self.layer.reserve_client().unwrap();
        let branch = self.layer.branch(id).to_string();
        let bytes = Bytes::from(message(
            &format!("{method} sip:b@h SIP/2.0"),
            &branch,
            method,
        ));
        let kind = match method {
            "INVITE" => RequestKind::Invite,
            _ => RequestKind::NonInvite,
        };
        self.layer
            .send_request(Instant::ZERO, id, kind, self.flow, bytes, Owner(1));
        self.layer.poll_transmit();
        (id, branch)
    }
}

/// A message of about 350 bytes, as a 200 or an ACK is.
fn message(start: &str, branch: &str, method: &str) -> String {
    let text = format!(
        "{start}\r\nVia: SIP/2.0/UDP 192.0.2.10:5060;rport;branch={branch}\r\n\
         From: \"Alice\" <sip:+13305550100@example.net>;tag=0123456789abcdefghjkmnpq\r\n\
         To: <sip:+13305550101@example.net>;tag=qpnmkjhgfedcba9876543210\r\n\
         Call-ID: 0123456789abcdefghjkmnpq\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:192.0.2.1:5060>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    );
    assert!((330..400).contains(&text.len()), "{}", text.len());
    text
}

/// Bytes that each of many transactions, made and finished by `work`, keeps.
fn lingering(mut work: impl FnMut(&mut Bench, usize)) -> isize {
    let mut bench = Bench::new();
    // The queue of messages to send stays for ever, whoever comes first.
    work(&mut bench, COUNT);
    let (_, live, _) = measure(|| (0..COUNT - 1).for_each(|n| work(&mut bench, n)));
    live / COUNT as isize
}

#[track_caller]
fn check(what: &str, bytes: isize, limit: isize) {
    assert!(bytes <= limit, "{what}: {bytes} bytes, allowed {limit}");
    assert!(
        bytes * 2 > limit,
        "{what}: {bytes} bytes, so the limit of {limit} says nothing"
    );
}

#[test]
fn a_lingering_transaction_is_small() {
    let bye_server = lingering(|bench, n| {
        let branch = format!("z9hG4bK{n:024}");
        let id = bench.server(&message("BYE sip:a@h SIP/2.0", &branch, "BYE"));
        bench.respond(id, &message("SIP/2.0 200 OK", &branch, "BYE"));
    });
    check("BYE server, with its 200", bye_server, 650);

    let invite_server = lingering(|bench, n| {
        let branch = format!("z9hG4bK{n:024}");
        let id = bench.server(&message("INVITE sip:a@h SIP/2.0", &branch, "INVITE"));
        bench.respond(id, &message("SIP/2.0 200 OK", &branch, "INVITE"));
        bench.layer.acknowledged(id);
    });
    check("INVITE server, acknowledged", invite_server, 240);

    let bye_client = lingering(|bench, _| {
        let (_, branch) = bench.send("BYE");
        bench.receive(&message("SIP/2.0 200 OK", &branch, "BYE"));
    });
    check("BYE client", bye_client, 200);

    let invite_client = lingering(|bench, _| {
        let (id, branch) = bench.send("INVITE");
        bench.receive(&message("SIP/2.0 200 OK", &branch, "INVITE"));
        let ack = message(
            "ACK sip:b@h SIP/2.0",
            &bench.layer.ack_branch().to_string(),
            "ACK",
        );
        bench.layer.send_ack_2xx(
            Instant::ZERO,
            id,
            bench.flow,
            Bytes::copy_from_slice(ack.as_bytes()),
        );
        bench.layer.poll_transmit();
    });
    check("INVITE client, with its ACK", invite_client, 620);
}

#[test]
fn memory_comes_back_when_all_is_over() {
    let mut bench = Bench::new();
    let (_, live, _) = measure(|| {
        for n in 0..COUNT {
            let branch = format!("z9hG4bK{n:024}");
            let id = bench.server(&message("BYE sip:a@h SIP/2.0", &branch, "BYE"));
            bench.respond(id, &message("SIP/2.0 200 OK", &branch, "BYE"));
            bench.send("OPTIONS");
        }
        for _ in 0..1_000_000 {
            let Some(next) = bench.layer.poll_timeout() else {
                return;
            };
            bench.layer.handle_timeout(next);
            while bench.layer.poll_transmit().is_some() {}
            while bench.layer.poll_event().is_some() {}
        }
        panic!("timers for ever");
    });
    // The queues of messages and events keep the room of their largest burst.
    assert!(live < 2 << 20, "{live} bytes stay");
}

#[test]
fn nothing_is_allocated_but_what_is_stored() {
    let mut bench = Bench::new();
    let warm = bench.server(&message(
        "BYE sip:a@h SIP/2.0",
        "z9hG4bKwarm",
        "BYE          ",
    ));
    bench.respond(warm, "SIP/2.0 200 OK");
    let request = message(
        "BYE sip:a@h SIP/2.0",
        "z9hG4bK000000000000000000000001",
        "BYE",
    );
    let (id, _, calls) = measure(|| bench.server(&request));
    assert_eq!(calls, 0, "a new request");
    let bytes = Bytes::from(vec![0; 400].into_boxed_slice());
    let (_, _, calls) = measure(|| {
        bench
            .layer
            .respond(Instant::ZERO, id, StatusCode::of(200), bytes)
    });
    assert!(
        calls <= 1,
        "a response: {calls}; a Bytes that is first shared makes its counter"
    );
    let (_, _, calls) = measure(|| bench.receive(&request));
    assert_eq!(calls, 0, "a retransmission");
    bench.layer.poll_transmit();

    let (_, first) = bench.send("OPTIONS");
    let (_, second) = bench.send("OPTIONS");
    bench.receive(&message("SIP/2.0 200 OK", &first, "OPTIONS"));
    let response = message("SIP/2.0 200 OK", &second, "OPTIONS");
    let (_, _, calls) = measure(|| bench.receive(&response));
    assert_eq!(calls, 0, "a response");
}

#[test]
fn a_dialog_is_small() {
    let text = "INVITE sip:+13305550101@198.51.100.20:5060 SIP/2.0\r\n\
        Record-Route: <sip:203.0.113.77;lr;ftag=1928301774;did=a1.b2c3>\r\n\
        Record-Route: <sip:203.0.113.78;transport=tls;lr>\r\n\
        From: \"Alice Example\" <sip:+13305550100@carrier.example.net>;tag=1928301774-0001\r\n\
        To: <sip:+13305550101@198.51.100.20:5060;user=phone>\r\n\
        Call-ID: a84b4c76e66710-0000000000001@203.0.113.10\r\nCSeq: 314159 INVITE\r\n\
        Contact: <sip:+13305550100@203.0.113.10:5060;transport=udp;line=0123456789>\r\n\r\n";
    let mut index = Index::default();
    let request = index.parse(text.as_bytes()).unwrap();
    let cookies = Cookies::new([7; 16], WorkerIndex::new(0));
    let tag = cookies.new_tag(&mut SeededEntropy::new(1));
    let (dialog, heap, _) = measure(|| Dialog::uas(&request, &tag).unwrap());
    let size = size_of_val(&dialog) as isize;
    check("dialog with two routes", size + heap, 700);
    assert!(size <= 64, "{size} bytes without its texts");
}

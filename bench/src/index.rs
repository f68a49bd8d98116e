//! Framing and header index of one INVITE: the time, and that nothing is allocated.
//!
//! CPU time of this thread, the best of several stretches: a stretch that was interrupted says
//! nothing about the code.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::ensure;
use ringfence_sip::frame::{Frame, StreamFramer};
use ringfence_sip::{HeaderName, Index};

use crate::plan::Plan;
use crate::table::Row;

/// Messages in one stretch.
const STRETCH: u32 = 20_000;

/// Stretches.
const STRETCHES: u32 = 25;

/// The goal of this issue, in nanoseconds.
const GOAL_NS: f64 = 660.0;

/// Counts what the process allocates; the benchmark's own work is elsewhere.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Measures the index of a datagram, and framing with index of a stream.
pub(crate) fn run(_: &Plan) -> anyhow::Result<Vec<Row>> {
    let invite = invite();
    let length = invite.len();
    let mut index = Index::default();
    {
        let message = index
            .parse(&invite)
            .map_err(|error| anyhow::anyhow!("{error:?}"))?;
        ensure!(message.defects().is_empty(), "the sample has defects");
        ensure!(
            message.header(HeaderName::CSeq).is_some(),
            "the sample has no CSeq"
        );
    }
    let datagram = best(|| {
        let message = index.parse(std::hint::black_box(&invite));
        std::hint::black_box(message.is_ok());
    });
    let mut framer = StreamFramer::default();
    let mut framed = Index::default();
    let stream = best(|| {
        framer.push(std::hint::black_box(&invite));
        let frame = framer.next(&mut framed);
        std::hint::black_box(matches!(frame, Ok(Some(Frame::Message(_)))));
    });
    println!("index of a datagram {datagram:?}, framing and index on a stream {stream:?}");
    let row = |how: &str, (nanoseconds, allocations): (f64, u64)| Row {
        work: format!("{how}, INVITE of {length} bytes"),
        peer: String::new(),
        theirs: f64::NAN,
        ours: nanoseconds,
        unit: "ns",
        goal: GOAL_NS,
        noise: None,
        // An allocation is a failure here.
        failed: allocations,
        retransmissions: 0,
        drops: 0,
        peers_faults: [0; 3],
        late: false,
    };
    Ok(vec![
        row("header index", datagram),
        row("framing and header index", stream),
    ])
}

/// Nanoseconds of the best stretch for each call of `work`, and the allocations of all.
fn best(mut work: impl FnMut()) -> (f64, u64) {
    for _ in 0..STRETCH {
        work();
    }
    let mut best = f64::INFINITY;
    let allocations = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..STRETCHES {
        let start = thread_time();
        for _ in 0..STRETCH {
            work();
        }
        let used = thread_time().saturating_sub(start);
        best = best.min(used.as_nanos() as f64 / f64::from(STRETCH));
    }
    (best, ALLOCATIONS.load(Ordering::Relaxed) - allocations)
}

fn thread_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place for one timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// What a carrier sends: four Vias, record routes, identity headers, a description with five
/// codecs.
fn invite() -> Vec<u8> {
    let body = "v=0\r\no=- 3916382710 3916382711 IN IP4 203.0.113.57\r\ns=call\r\n\
        c=IN IP4 203.0.113.57\r\nt=0 0\r\nm=audio 31482 RTP/AVP 0 8 9 18 101\r\n\
        a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:9 G722/8000\r\n\
        a=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\na=rtpmap:101 telephone-event/8000\r\n\
        a=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n";
    let head = format!(
        "INVITE sip:+13305550101@203.0.113.10:5060;user=phone SIP/2.0\r\n\
        Record-Route: <sip:203.0.113.57;lr;ftag=gK0c3f5a1e>\r\n\
        Record-Route: <sip:198.51.100.21;transport=udp;lr;r2=on>\r\n\
        Via: SIP/2.0/UDP 203.0.113.57:5060;branch=z9hG4bK5d31.9c1f2d07d6ab7c55.0;rport\r\n\
        Via: SIP/2.0/UDP 198.51.100.21:5060;received=198.51.100.21;branch=z9hG4bK0cB6e1a1\r\n\
        Via: SIP/2.0/UDP 192.0.2.77:5080;branch=z9hG4bKac2026-77-1\r\n\
        Max-Forwards: 67\r\n\
        From: \"WIRELESS CALLER\" <sip:+12165550123@198.51.100.21:5060;user=phone>;tag=gK0c3f5a1e\r\n\
        To: <sip:+13305550101@203.0.113.10:5060;user=phone>\r\n\
        Call-ID: 1842763340_33921775@198.51.100.21\r\n\
        CSeq: 917244 INVITE\r\n\
        Contact: \"WIRELESS CALLER\" <sip:+12165550123@198.51.100.21:5060;transport=udp>\r\n\
        P-Asserted-Identity: \"WIRELESS CALLER\" <sip:+12165550123@198.51.100.21;user=phone>\r\n\
        Remote-Party-ID: <sip:+12165550123@198.51.100.21>;party=calling;privacy=off\r\n\
        Allow: INVITE,ACK,CANCEL,BYE,REGISTER,REFER,INFO,SUBSCRIBE,NOTIFY,PRACK,UPDATE,OPTIONS\r\n\
        Accept: application/sdp, application/isup, multipart/mixed\r\n\
        Supported: timer,100rel,precondition,replaces\r\n\
        Session-Expires: 1800;refresher=uac\r\nMin-SE: 90\r\n\
        User-Agent: Carrier-SBC/9.2.1R0\r\n\
        P-Charging-Vector: icid-value=6a1f0c3d9e7b4412;orig-ioi=a\r\n\
        Date: Sun, 22 Nov 2026 17:20:11 GMT\r\n\
        Content-Disposition: session;handling=required\r\n\
        Content-Type: application/sdp\r\n\
        Content-Length: {}\r\n\r\n",
        body.len()
    );
    (head + body).into_bytes()
}

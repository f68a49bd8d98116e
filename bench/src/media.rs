//! Media: RTP packets relayed by rtpengine in userland and by the edge.
//!
//! The edge relays established plain RTP in the kernel where the host allows it. What that costs is
//! then paid by whoever sends, so it is measured in user space too, beside a relay that does
//! nothing but receive and send.

use std::cell::RefCell;
use std::net::SocketAddrV4;

use ringfence_peers::edge::{self, Edge};
use ringfence_peers::media::bare_relay;
use ringfence_peers::media::edge_calls::Calls;
use ringfence_peers::media::load::Traffic;
use ringfence_peers::media::rtpengine_calls;
use ringfence_peers::media::srtp::Library;
use ringfence_peers::net::Network;
use ringfence_peers::rtpengine::Rtpengine;

use crate::plan::Plan;
use crate::sample::{self, Sample, Subject};
use crate::table::Row;

/// Threads of rtpengine and workers of the edge.
const THREADS: u8 = 2;

/// RTP on both sides.
pub(crate) fn plain(plan: &Plan) -> anyhow::Result<Vec<Row>> {
    compare(plan, None)
}

/// RTP on one side, SRTP on the other.
pub(crate) fn protected(plan: &Plan) -> anyhow::Result<Vec<Row>> {
    compare(plan, Some(Library::load()?))
}

fn compare(plan: &Plan, library: Option<Library>) -> anyhow::Result<Vec<Row>> {
    let (network, above_network) = (Network::claim()?, Network::claim()?);
    let library = library.as_ref();
    let mut rtpengine = Rtpengine::start(
        SocketAddrV4::new(network.outside(2), 2_223),
        usize::from(THREADS),
    )?;
    let relayed = rtpengine_calls::establish(&network, &mut rtpengine, plan.sessions, library)?;
    let setup = |kernel_media| -> anyhow::Result<edge::Setup> {
        Ok(edge::Setup {
            workers: Some(THREADS),
            trunk_media: if library.is_some() { "srtp" } else { "rtp" },
            media_pairs: u16::try_from(plan.sessions * 2 + 100)?,
            edge_lines: format!("kernel_media = \"{kernel_media}\""),
            ..edge::Setup::default()
        })
    };
    let edge = Edge::start(&network, &setup("auto")?)?;
    let calls = Calls::establish(&network, &edge, plan.sessions, library)?;
    let (mut first, mut second) = (Traffic::new(relayed)?, Traffic::new(calls.sessions()?)?);
    let above = Edge::start(&above_network, &setup("off")?)?;
    let above_calls = Calls::establish(&above_network, &above, plan.sessions, library)?;
    let mut third = Traffic::new(above_calls.sessions()?)?;
    let program = std::env::current_exe()?;
    let (bare, bare_sessions) = bare_relay::establish(&network, &program, plan.sessions)?;
    let mut floor = Traffic::new(bare_sessions)?;
    let theirs = RefCell::new(&mut first);
    let measure = |pid: u32, traffic: &mut Traffic| -> anyhow::Result<Sample> {
        let (run, used, drops) = sample::cpu_during(pid, || traffic.run(plan.length()))?;
        println!("    {run}");
        Ok(Sample {
            cpu_us: sample::each(used, run.received),
            failed: run.sent.saturating_sub(run.received) + run.wrong,
            retransmissions: 0,
            drops,
            late: run.is_late(plan.length()),
        })
    };
    let rtpengine_pid = rtpengine.pid();
    let peer = || measure(rtpengine_pid, &mut theirs.borrow_mut());
    let samples = sample::in_turns(
        plan.rounds,
        &mut [
            Subject {
                name: "rtpengine",
                measure: Box::new(peer),
            },
            Subject {
                name: "edge",
                measure: Box::new(|| measure(edge.pid(), &mut second)),
            },
            Subject {
                name: "edge in user space",
                measure: Box::new(|| measure(above.pid(), &mut third)),
            },
            Subject {
                name: "rtpengine again",
                measure: Box::new(peer),
            },
            Subject {
                name: "bare relay, plain RTP",
                measure: Box::new(|| measure(bare.pid(), &mut floor)),
            },
        ],
    )?;
    calls.hang_up()?;
    above_calls.hang_up()?;
    let work = |what| format!("{what}, {} sessions, {} s", plan.sessions, plan.seconds);
    let [theirs, ours, above, again, floor] = &samples[..] else {
        anyhow::bail!("a subject was not measured");
    };
    Ok(if library.is_some() {
        // The floor relays plain RTP; the cipher comes on top of it.
        let work = work("RTP <-> SRTP packet");
        vec![
            Row::compared(work.clone(), "rtpengine", 0.4, theirs, ours, Some(again)),
            Row::compared(work, "bare relay", f64::NAN, floor, above, None),
        ]
    } else {
        let in_user_space = work("RTP packet in user space");
        vec![
            Row::compared(
                work("RTP packet"),
                "rtpengine",
                0.4,
                theirs,
                ours,
                Some(again),
            ),
            Row::compared(
                in_user_space.clone(),
                "rtpengine",
                f64::NAN,
                theirs,
                above,
                Some(again),
            ),
            Row::compared(in_user_space, "bare relay", 1.2, floor, above, None),
        ]
    })
}

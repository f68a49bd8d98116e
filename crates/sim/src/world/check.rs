//! What must hold when a world has become quiet.

use std::collections::BTreeMap;

use ringfence_session::cdr::{Cdr, EndedBy, Outcome};

use crate::agent::script::{Change, Decision, Hangup, Provisional, Script};
use crate::agent::{Agent, LegState, Side};
use crate::world::Violation;
use crate::world::edge::Edge;

/// Nothing is left in the edge.
pub(crate) fn nothing_left(edge: &Edge) -> Result<(), Violation> {
    let mut left = Vec::new();
    let mut expect = |what: &'static str, count: usize| {
        if count != 0 {
            left.push(format!("{what}: {count}"));
        }
    };
    for core in edge.cores() {
        expect("busy cores", usize::from(!core.is_idle()));
        expect("calls", core.calls().len());
        expect("streams", core.media().streams_open());
        expect("client transactions", core.transactions().client_count());
        expect("server transactions", core.transactions().server_count());
        expect("lost events", core.counters().events_lost as usize);
    }
    let plan = edge.plan();
    let sites = plan.sites.iter().map(|site| &site.usage);
    for usage in sites.chain(plan.peers.iter().map(|peer| &peer.usage)) {
        expect("channels", usage.calls() as usize);
    }
    for side in Side::BOTH {
        let (free, all) = edge.ports(side);
        expect("media ports", all - free);
    }
    match left.is_empty() {
        true => Ok(()),
        false => Err(Violation::Left(left.join(", "))),
    }
}

/// One record for each attempt that reached the edge, and no other.
pub(crate) fn records(
    attempts: &BTreeMap<Vec<u8>, (Side, usize)>,
    cdrs: &[Cdr],
    agents: &[Agent; 2],
) -> Result<(), Violation> {
    for cdr in cdrs {
        record(cdr)?;
        if !attempts.contains_key(cdr.ingress.call_id.as_bytes()) {
            return Err(Violation::RecordOfNothing(Box::new(cdr.clone())));
        }
    }
    for (call_id, &(side, call)) in attempts {
        let mut of_call = cdrs
            .iter()
            .filter(|cdr| cdr.ingress.call_id.as_bytes() == call_id);
        let (Some(cdr), None) = (of_call.next(), of_call.next()) else {
            let count = cdrs
                .iter()
                .filter(|cdr| cdr.ingress.call_id.as_bytes() == call_id)
                .count();
            return Err(Violation::RecordCount { call, count });
        };
        let told = agents[side as usize].legs()[call].status();
        if told.is_some_and(|status| status != cdr.status) {
            return Err(Violation::RecordOfAnotherStatus {
                told,
                cdr: Box::new(cdr.clone()),
            });
        }
    }
    Ok(())
}

/// The fields of a record agree with each other.
fn record(cdr: &Cdr) -> Result<(), Violation> {
    let answered = cdr.outcome == Outcome::Answered;
    let times = [
        Some(cdr.started),
        cdr.ringing.filter(|_| cdr.answered.is_none()),
        cdr.answered,
        Some(cdr.ended),
    ];
    let status_fits = match cdr.outcome {
        Outcome::Answered => cdr.status == 200,
        Outcome::Busy => matches!(cdr.status, 486 | 600),
        Outcome::Cancelled => cdr.status == 487 && cdr.ended_by == EndedBy::Caller,
        Outcome::Failed | Outcome::NoAnswer | Outcome::Refused => cdr.status >= 400,
    };
    let consistent = answered == cdr.answered.is_some()
        && status_fits
        && times.iter().flatten().is_sorted()
        && cdr
            .ringing
            .is_none_or(|ringing| ringing >= cdr.started && ringing <= cdr.ended)
        && (1..=127).contains(&cdr.q850)
        && !cdr.ingress.local_tag.is_empty()
        && (!answered || cdr.egress.is_some());
    match consistent {
        true => Ok(()),
        false => Err(Violation::RecordInconsistent(Box::new(cdr.clone()))),
    }
}

/// Every agent's part of every call is over, and the edge did nothing to it that it must not.
pub(crate) fn agents(agents: &[Agent; 2]) -> Result<(), Violation> {
    for (side, agent) in Side::BOTH.into_iter().zip(agents) {
        if let Some(fault) = agent.faults().first() {
            return Err(Violation::Fault {
                side,
                fault: fault.clone(),
            });
        }
        for (call, leg) in agent.legs().iter().enumerate() {
            if !leg.is_gone() && matches!(leg.state(), LegState::Setup | LegState::Up) {
                return Err(Violation::Stuck { side, call });
            }
        }
    }
    Ok(())
}

/// Without a network to blame, a plain call succeeds and all its audio arrives.
pub(crate) fn plain_calls(scripts: &[Script], both: &[Agent; 2]) -> Result<(), Violation> {
    for (call, script) in scripts.iter().enumerate() {
        let [inside, outside] = both;
        let (inside, outside) = (&inside.legs()[call], &outside.legs()[call]);
        let caller = if inside.is_caller() { inside } else { outside };
        let callee = if inside.is_caller() { outside } else { inside };
        if script.decision == Decision::Fork && callee.phones_left() > 0 {
            return Err(Violation::PhoneLeft { call });
        }
        if script.cancel.is_some() {
            continue;
        }
        let expected = match script.decision {
            Decision::Answer | Decision::Fork => 200,
            Decision::Busy => 486,
            Decision::Decline => 603,
            Decision::Dead | Decision::Ring => continue,
        };
        if caller.status() != Some(expected) {
            let got = caller.status();
            return Err(Violation::WrongAnswer {
                call,
                expected,
                got,
            });
        }
        let undisturbed = script.decision == Decision::Answer
            && script.change == Change::None
            && script.provisional != Provisional::EarlyMedia
            && matches!(
                script.hangup,
                Hangup::Caller | Hangup::Callee | Hangup::Both
            );
        let sent = (inside.spoken(), outside.spoken());
        let heard = (outside.heard(), inside.heard());
        if undisturbed && (sent != heard || sent.0 == 0 || sent.1 == 0) {
            return Err(Violation::AudioLost { call, sent, heard });
        }
    }
    Ok(())
}

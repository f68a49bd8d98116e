//! The running edge as the control API shows it.

use ringfence_base::UnixTime;
use ringfence_control::api::{
    self, ActiveCall, ActiveLeg, ActiveMedia, Calls, ConfigStatus, Direction, LegName, Line, Lines,
    ListenerStatus, MemoryStatus, OptionsView, Registration, Registrations, Seen, Status,
    Timestamp, Trace, TraceEntry, judge, judge_registration,
};
use ringfence_control::config::Peer;
use ringfence_session::call_id::CallId;
use ringfence_session::cdr::MediaRecord;
use ringfence_session::plan::{self, MediaPolicy, PeerKind};
use ringfence_session::refusal::RefusalReason;
use ringfence_session::trace::{LegSide, TraceEntry as Entry};
use ringfence_session::view::{CallState, CallView, LegView};
use ringfence_sip::{Index, Message};

use crate::clock::unix_now;
use crate::host;
use crate::run::shared::Shared;

use crate::worker::snapshot::WorkerSnapshot;

/// `GET /v1/status`.
pub(crate) fn status(shared: &Shared, workers: &[WorkerSnapshot]) -> Status {
    let applied = shared.applied.load();
    let now = unix_now();
    let sum = |of: &dyn Fn(&WorkerSnapshot) -> u64| workers.iter().map(of).sum::<u64>();
    let mut warnings: Vec<String> = shared
        .warnings
        .iter()
        .chain(&applied.warnings)
        .cloned()
        .collect();
    warnings.extend(shared.acme_faults().values().cloned());
    warnings.extend(counted_warnings(workers));
    let started = Timestamp(shared.started);
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        edge: applied.config.edge.name.clone(),
        started,
        uptime_s: started.age_seconds(now),
        workers: workers.len() as u8,
        calls: sum(&|w| w.calls.calls_active),
        calls_total: sum(&|w| w.calls.calls_tried),
        calls_failed: sum(&|w| w.loop_counters.calls_failed),
        strangers_total: sum(&|w| w.calls.refused[RefusalReason::Stranger as usize]),
        media_relay: shared.media_relay.clone(),
        // Said once every worker knows of it: from then on no new call is taken.
        draining: shared.is_draining() && workers.iter().all(|worker| worker.draining),
        records: shared.progress.status(),
        listeners: listeners(shared, workers),
        memory: MemoryStatus {
            resident_bytes: host::resident_bytes(),
        },
        config: ConfigStatus {
            file: applied.config.file.display().to_string(),
            applied: Timestamp(applied.at),
            waiting_for_restart: applied.waiting_for_restart.clone(),
        },
        warnings,
    }
}

/// What the counters say that somebody should look at.
fn counted_warnings(workers: &[WorkerSnapshot]) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut note = |count: u64, what: &str| {
        if count > 0 {
            warnings.push(format!("{count} {what}"));
        }
    };
    note(
        workers.iter().map(|w| w.calls.calls_panicked).sum(),
        "calls ended by a fault of the program",
    );
    note(
        workers.iter().map(|w| w.loop_counters.panics).sum(),
        "faults of the program in a worker",
    );
    note(
        workers.iter().map(|w| w.kernel_drops.0).sum(),
        "signalling packets dropped by the kernel",
    );
    note(
        workers.iter().map(|w| w.media.streams_refused).sum(),
        "calls refused for want of media ports",
    );
    warnings
}

fn listeners(shared: &Shared, workers: &[WorkerSnapshot]) -> Vec<ListenerStatus> {
    let applied = shared.applied.load();
    let listeners = applied
        .config
        .listeners
        .iter()
        .enumerate()
        .map(|(index, listen)| {
            let pairs = |of: &dyn Fn(&(usize, usize)) -> usize| {
                let pairs = workers
                    .iter()
                    .filter_map(|worker| worker.media_pairs.get(index));
                pairs.map(of).sum::<usize>() as u32
            };
            let connections = workers
                .iter()
                .filter_map(|w| w.streams.open_by_listener.get(index));
            ListenerStatus {
                name: listen.name.clone(),
                udp: listen.udp,
                tcp: listen.tcp,
                tls: listen.tls,
                ws: listen.ws,
                wss: listen.wss,
                media: listen.media.map(|media| media.to_string()),
                media_pairs: pairs(&|(all, _)| *all),
                media_pairs_used: pairs(&|(all, free)| all - free),
                connections: connections.sum::<u64>() as u32,
                certificate_ends: listen
                    .tls
                    .and(listen.certificate.as_deref())
                    .and_then(ringfence_control::certificate::ends)
                    .map(Timestamp),
            }
        });
    listeners.collect()
}

/// `GET /v1/lines`.
pub(crate) fn lines(shared: &Shared) -> Lines {
    let applied = shared.applied.load();
    let now = unix_now();
    let peers = applied.config.peers.iter().zip(&applied.plan.peers);
    let lines = peers
        .map(|(peer, compiled)| line(&applied.plan, peer, compiled, now))
        .collect();
    Lines {
        at: Timestamp(now),
        lines,
    }
}

/// `GET /v1/registrations`.
pub(crate) fn registrations(shared: &Shared) -> Registrations {
    let applied = shared.applied.load();
    let now = unix_now();
    let registrations = applied.plan.peers.iter().filter_map(|peer| {
        let view = peer.usage.registration()?;
        let site = applied.plan.site(peer.site);
        let tenant = site.and_then(|site| applied.plan.tenant_of(site));
        let names = (
            peer.key.as_str(),
            site.map_or("", |site| &site.key),
            tenant.map_or("", |tenant| &tenant.key),
        );
        Some(Registration::new(&view, names, now))
    });
    Registrations {
        at: Timestamp(now),
        registrations: registrations.collect(),
    }
}

fn line(plan: &plan::Plan, peer: &Peer, compiled: &plan::Peer, now: UnixTime) -> Line {
    let health = compiled.usage.health();
    let site = plan.site(compiled.site);
    let tenant = site.and_then(|site| plan.tenant_of(site));
    let interval = compiled.options_interval;
    let verdict = judge(&health, now, interval, !compiled.addresses.is_empty())
        .with_quarantine(compiled.usage.standing.quarantine());
    let registration = compiled.usage.registration();
    Line {
        kind: match peer.kind {
            PeerKind::Pbx => "pbx".to_owned(),
            PeerKind::Phones => "phones".to_owned(),
            PeerKind::Trunk => "trunk".to_owned(),
        },
        name: peer.name.clone(),
        site: peer.site.clone(),
        tenant: tenant.map(|tenant| tenant.key.clone()).unwrap_or_default(),
        peer: peer.uri.to_string(),
        transport: compiled.transport.uri_name().to_owned(),
        media: match peer.media {
            MediaPolicy::Either => "either".to_owned(),
            MediaPolicy::Rtp => "rtp".to_owned(),
            MediaPolicy::Srtp => "srtp".to_owned(),
        },
        verdict: match &registration {
            Some(registration) => judge_registration(verdict, registration, now),
            None => verdict,
        },
        registration: registration.map(|view| view.state_at(now).as_str().to_owned()),
        heard: health.heard.map(|at| Seen::new(at, now)),
        options: OptionsView::new(&health, now, interval),
        calls: health.calls,
        channels: compiled.channels,
    }
}

/// `GET /v1/calls`: the first `limit` of `calls`.
pub(crate) fn calls(calls: Vec<CallView>, limit: usize) -> Calls {
    let now = unix_now();
    Calls {
        at: Timestamp(now),
        total: calls.len() as u64,
        calls: calls
            .into_iter()
            .take(limit)
            .map(|call| active_call(call, now))
            .collect(),
    }
}

fn active_call(call: CallView, now: UnixTime) -> ActiveCall {
    let since = Timestamp(call.answered.unwrap_or(call.started));
    ActiveCall {
        id: call.id.to_string(),
        tenant: call.tenant,
        site: call.site,
        direction: call.direction.as_str().to_owned(),
        state: match call.state {
            CallState::Trying => api::CallState::Trying,
            CallState::Ringing => api::CallState::Ringing,
            CallState::Up => api::CallState::Answered,
            CallState::Ending => api::CallState::Ending,
        },
        from: call.from,
        to: call.to,
        emergency: call.emergency,
        started: Timestamp(call.started),
        answered: call.answered.map(Timestamp),
        seconds: since.age_seconds(now),
        ingress: active_leg(call.ingress),
        egress: active_leg(call.egress),
        rule: call.rule,
    }
}

fn active_leg(leg: LegView) -> ActiveLeg {
    ActiveLeg {
        peer: leg.peer,
        remote: leg.remote,
        transport: leg.transport.uri_name().to_owned(),
        media: leg.media.map(active_media),
    }
}

fn active_media(media: MediaRecord) -> ActiveMedia {
    ActiveMedia {
        codec: media.codec,
        srtp: media.srtp,
        srtp_refused: media.srtp_refused,
        packets_received: media.packets_received,
        packets_lost: media.packets_lost,
        jitter_ms: f64::from(media.jitter_us) / 1e3,
        mos: media
            .mos
            .map(|mos| (f64::from(mos) * 100.0).round() / 100.0),
    }
}

/// `GET /v1/calls/{id}/trace`.
pub(crate) fn trace(id: CallId, entries: Vec<Entry>) -> Trace {
    let mut index = Index::default();
    let entries: Vec<TraceEntry> = entries
        .into_iter()
        .map(|entry| TraceEntry {
            at: Timestamp(entry.at),
            leg: match entry.leg {
                LegSide::Egress => LegName::Egress,
                LegSide::Ingress => LegName::Ingress,
            },
            direction: if entry.sent {
                Direction::Sent
            } else {
                Direction::Received
            },
            remote: entry.remote,
            transport: entry.transport.uri_name().to_owned(),
            summary: index
                .parse(&entry.text)
                .map(|m| summary(&m))
                .unwrap_or_default(),
            text: String::from_utf8_lossy(&entry.text).into_owned(),
        })
        .collect();
    // The ring forgets from the oldest on, and a call begins with an INVITE from its caller.
    let whole = entries
        .first()
        .is_some_and(|first| first.leg == LegName::Ingress && first.summary.starts_with("INVITE"));
    Trace {
        id: id.to_string(),
        truncated: !whole,
        entries,
    }
}

/// `INVITE`, or `200 OK (INVITE)`.
fn summary(message: &Message<'_>) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if let Some(method) = message.method() {
        return text(method.as_bytes());
    }
    let status = message
        .status()
        .map(|status| status.raw())
        .unwrap_or_default();
    let reason = message
        .status()
        .map(|status| status.default_reason())
        .unwrap_or_default();
    let method = message
        .cseq()
        .map(|cseq| text(cseq.method.as_bytes()))
        .unwrap_or_default();
    format!("{status} {reason} ({method})")
}

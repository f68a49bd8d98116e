//! Prometheus metrics at `/metrics` and a check of life at `/healthz`.
//!
//! Workers count in plain numbers of their own. A scrape asks each for a copy: nothing is
//! published while nobody looks, and no counter is shared on the data path. The recorder belongs
//! to this edge and not to the process.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics::{Label, counter, gauge, with_local_recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use ringfence_control::api::RecordsState;
use ringfence_media::DropReason;
use ringfence_session::refusal::RefusalReason;

use ringfence_session::plan::Tenant;

use crate::clock::unix_now;
use crate::host;
use crate::run::shared::Shared;
use crate::stream::CloseReason;
use crate::worker::snapshot::WorkerSnapshot;

struct Exporter {
    shared: Arc<Shared>,
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

pub(super) fn router(shared: Arc<Shared>) -> Router {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .with_state(Arc::new(Exporter {
            shared,
            recorder,
            handle,
        }))
}

async fn healthz(State(exporter): State<Arc<Exporter>>) -> Response {
    match exporter.shared.snapshots().await {
        Ok(_) if exporter.shared.is_draining() => "draining\n".into_response(),
        Ok(_) => "ok\n".into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

async fn metrics(State(exporter): State<Arc<Exporter>>) -> Response {
    let workers = match exporter.shared.snapshots().await {
        Ok(workers) => workers,
        Err(error) => {
            return (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response();
        }
    };
    with_local_recorder(&exporter.recorder, || {
        publish_edge(&exporter.shared);
        workers.iter().for_each(publish_worker);
    });
    let headers = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    (headers, exporter.handle.render()).into_response()
}

fn publish_edge(shared: &Shared) {
    gauge!("ringfence_resident_bytes").set(host::resident_bytes() as f64);
    gauge!("ringfence_draining").set(f64::from(u8::from(shared.is_draining())));
    let records = shared.progress.status();
    gauge!("ringfence_records_waiting").set(records.waiting as f64);
    counter!("ringfence_records_written_total").absolute(records.written);
    counter!("ringfence_records_lost_total").absolute(records.lost);
    let failing = records.state == RecordsState::Failing;
    gauge!("ringfence_records_failing").set(f64::from(u8::from(failing)));
    if let Some(export) = &shared.export {
        counter!("ringfence_hep_sent_total").absolute(export.sent.load(Relaxed));
        counter!("ringfence_hep_lost_total").absolute(export.lost.load(Relaxed));
    }
    publish_judge(shared);
    for tenant in &shared.applied.load().plan.tenants {
        publish_spending(tenant);
    }
    for peer in &shared.applied.load().plan.peers {
        let health = peer.usage.health();
        let labels = || vec![Label::new("peer", peer.key.clone())];
        gauge!("ringfence_peer_calls", labels()).set(f64::from(health.calls));
        let standing = &peer.usage.standing;
        let quarantined = standing.quarantine().is_some();
        gauge!("ringfence_peer_quarantined", labels()).set(f64::from(u8::from(quarantined)));
        counter!("ringfence_peer_quarantines_total", labels())
            .absolute(u64::from(standing.quarantines()));
        gauge!("ringfence_peer_options_missed", labels()).set(f64::from(health.options_missed));
    }
}

fn publish_judge(shared: &Shared) {
    let counters = shared.judge.counters();
    let judge = counters.judge();
    counter!("ringfence_detect_events_total").absolute(judge.events);
    counter!("ringfence_detect_events_lost_total").absolute(counters.lost.load(Relaxed));
    if let Some(ledger) = counters.ledger.get() {
        counter!("ringfence_detect_events_kept_total").absolute(ledger.kept.load(Relaxed));
        counter!("ringfence_detect_events_unkept_total").absolute(ledger.lost.load(Relaxed));
        gauge!("ringfence_detect_events_bytes").set(ledger.bytes.load(Relaxed) as f64);
    }
    counter!("ringfence_detect_events_refused_total").absolute(judge.events_refused);
    counter!("ringfence_detect_findings_total").absolute(judge.findings);
    counter!("ringfence_detect_incidents_total").absolute(judge.incidents);
    counter!("ringfence_detect_decisions_total").absolute(judge.decisions);
    counter!("ringfence_detect_decisions_refused_total").absolute(judge.decisions_refused);
    let names = ["unproven", "proven", "own"];
    for (tier, evicted) in names.into_iter().zip(judge.sources_evicted) {
        counter!("ringfence_detect_evicted_total", "tier" => tier).absolute(evicted);
    }
    gauge!("ringfence_detect_memory_bytes").set(counters.memory.load(Relaxed) as f64);
}

/// What a tenant's calls have cost today, by class.
fn publish_spending(tenant: &Tenant) {
    let Some(status) = tenant.spend.status(unix_now()) else {
        return;
    };
    let labels = || vec![Label::new("tenant", tenant.key.clone())];
    let alarm = f64::from(u8::from(status.alarm_until.is_some()));
    gauge!("ringfence_spending_alarm", labels()).set(alarm);
    counter!("ringfence_spending_judged_total", labels()).absolute(status.counts.judged);
    counter!("ringfence_spending_pins_total", labels()).absolute(status.counts.pins);
    for (class, spent, _) in status.spent {
        let mut labels = labels();
        labels.push(Label::new("class", class.as_str()));
        gauge!("ringfence_spending_today", labels).set(spent.as_units());
    }
}

fn publish_worker(worker: &WorkerSnapshot) {
    let label = || vec![Label::new("worker", worker.worker.raw().to_string())];
    let with = |key: &'static str, value: &'static str| {
        let mut labels = label();
        labels.push(Label::new(key, value));
        labels
    };
    publish_calls(worker, &label, &with);
    publish_packets(worker, &label, &with);
    let streams = &worker.streams;
    gauge!("ringfence_connections", label()).set(streams.open as f64);
    counter!("ringfence_connections_total", with("direction", "in")).absolute(streams.accepted);
    counter!("ringfence_connections_total", with("direction", "out")).absolute(streams.connected);
    counter!("ringfence_connections_refused_total", label()).absolute(streams.refused);
    counter!("ringfence_handshakes_refused_total", label()).absolute(streams.handshakes_refused);
    counter!("ringfence_stream_messages_total", label()).absolute(streams.messages);
    counter!("ringfence_stream_unsendable_total", label()).absolute(streams.unsendable);
    for (reason, count) in CloseReason::ALL.iter().zip(streams.closed) {
        counter!(
            "ringfence_connections_closed_total",
            with("reason", reason.as_str())
        )
        .absolute(count);
    }
}

type Labels<'a> = &'a dyn Fn() -> Vec<Label>;
type LabelsWith<'a> = &'a dyn Fn(&'static str, &'static str) -> Vec<Label>;

fn publish_calls(worker: &WorkerSnapshot, label: Labels<'_>, with: LabelsWith<'_>) {
    let calls = &worker.calls;
    gauge!("ringfence_calls", label()).set(calls.calls_active as f64);
    gauge!("ringfence_subscriptions", label()).set(calls.subscriptions_active as f64);
    counter!("ringfence_notifies_total", label()).absolute(calls.notifies_relayed);
    counter!("ringfence_calls_tried_total", label()).absolute(calls.calls_tried);
    counter!("ringfence_calls_failed_over_total", label()).absolute(calls.calls_failed_over);
    counter!("ringfence_calls_srtp_refused_total", label()).absolute(calls.calls_srtp_refused);
    counter!("ringfence_large_requests_total", label()).absolute(calls.large_requests);
    counter!("ringfence_large_requests_over_udp_total", label())
        .absolute(calls.large_requests_over_udp);
    counter!("ringfence_calls_answered_total", label()).absolute(calls.calls_answered);
    counter!("ringfence_calls_ended_normally_total", label()).absolute(calls.calls_ended_normally);
    counter!("ringfence_calls_ended_by_edge_total", label()).absolute(calls.calls_ended_by_edge);
    counter!("ringfence_calls_panicked_total", label()).absolute(calls.calls_panicked);
    counter!("ringfence_challenges_answered_total", label()).absolute(calls.challenges_answered);
    counter!("ringfence_challenges_unanswered_total", label())
        .absolute(calls.challenges_unanswered);
    counter!("ringfence_requests_total", label()).absolute(calls.requests);
    counter!("ringfence_responses_total", label()).absolute(calls.responses);
    counter!("ringfence_spending_observed_total", label()).absolute(calls.spending_observed);
    counter!("ringfence_pins_asked_total", label()).absolute(calls.pins_asked);
    counter!("ringfence_pins_right_total", label()).absolute(calls.pins_right);
    counter!("ringfence_spending_cut_total", label()).absolute(calls.spending_cut);
    for (result, count) in [
        ("passed", calls.callers_verified),
        ("failed", calls.callers_not_verified),
        ("unknown", calls.callers_unknown),
    ] {
        counter!("ringfence_callers_verified_total", with("result", result)).absolute(count);
    }
    counter!("ringfence_events_lost_total", label()).absolute(calls.events_lost);
    for (reason, count) in RefusalReason::ALL.iter().zip(calls.refused) {
        counter!("ringfence_refused_total", with("reason", reason.as_str())).absolute(count);
    }
    let transactions = &worker.transactions;
    let (clients, servers) = worker.transactions_held;
    gauge!("ringfence_transactions", with("kind", "client")).set(clients as f64);
    gauge!("ringfence_transactions", with("kind", "server")).set(servers as f64);
    counter!(
        "ringfence_retransmissions_received_total",
        with("kind", "request")
    )
    .absolute(transactions.request_retransmissions);
    counter!(
        "ringfence_retransmissions_received_total",
        with("kind", "response")
    )
    .absolute(transactions.response_retransmissions);
    counter!("ringfence_transaction_timeouts_total", label())
        .absolute(transactions.client_timeouts);
    counter!("ringfence_transactions_refused_total", label())
        .absolute(transactions.requests_refused);
    counter!("ringfence_responses_forged_total", label()).absolute(transactions.responses_forged);
    counter!("ringfence_responses_stray_total", label()).absolute(transactions.responses_stray);
}

fn publish_packets(worker: &WorkerSnapshot, label: Labels<'_>, with: LabelsWith<'_>) {
    let own = &worker.loop_counters;
    counter!("ringfence_worker_turns_total", label()).absolute(own.turns);
    counter!("ringfence_worker_panics_total", label()).absolute(own.panics);
    counter!("ringfence_datagrams_received_total", label()).absolute(own.datagrams_received);
    counter!("ringfence_datagrams_sent_total", label()).absolute(own.datagrams_sent);
    counter!("ringfence_detect_dropped_total", label()).absolute(own.dropped_by_judge);
    counter!("ringfence_datagrams_refused_total", label()).absolute(own.datagrams_refused);
    counter!("ringfence_handed_over_total", label()).absolute(own.handed_over);
    counter!("ringfence_hand_over_refused_total", label()).absolute(own.hand_over_refused);
    counter!("ringfence_receive_errors_total", label()).absolute(own.receive_errors);
    let (signalling, media) = worker.kernel_drops;
    counter!("ringfence_kernel_drops_total", with("kind", "signalling")).absolute(signalling);
    counter!("ringfence_kernel_drops_total", with("kind", "media")).absolute(media);
    counter!("ringfence_media_received_total", label()).absolute(own.media_received);
    counter!("ringfence_media_refused_total", label()).absolute(own.media_refused);
    let plane = &worker.media;
    counter!("ringfence_media_kernel_forwarded_total", label()).absolute(plane.rtp_fast);
    counter!("ringfence_media_forwarded_total", with("kind", "rtp")).absolute(plane.rtp_forwarded);
    counter!("ringfence_media_forwarded_total", with("kind", "rtcp"))
        .absolute(plane.rtcp_forwarded);
    counter!("ringfence_media_forwarded_bytes_total", label()).absolute(plane.bytes_forwarded);
    gauge!("ringfence_media_streams", label()).set(worker.media_streams as f64);
    counter!("ringfence_media_streams_refused_total", label()).absolute(plane.streams_refused);
    for reason in DropReason::ALL {
        counter!(
            "ringfence_media_dropped_total",
            with("reason", reason.name())
        )
        .absolute(plane.dropped(reason));
    }
}

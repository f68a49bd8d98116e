//! The control API, version 1 (see `ringfence_control::api::paths`), and one stream beside it:
//! `GET /v1/calls/follow` gives each record as it is committed, one JSON object a line.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use http_body_util::channel::{Channel, Sender};
use ringfence_control::api::{
    ATTACK_SECONDS_MAX, ApiError, AttackMode, AttackQuery, Blocks, CallRecord, CallerStanding,
    Calls, CaptureQuery, Explanation, HangUp, Incidents, Lifted, Lines, Phones,
    Records as RecordsPage, Registrations, Reload, RouteAnswer, RouteQuery, ScenarioList,
    ScenarioMode, SiteDefence, Spending, Status, Trace, paths,
};
use ringfence_control::rehearse::rehearse;
use ringfence_detect::decision::Mode;
use ringfence_session::call_id::CallId;
use ringfence_session::line_guard::Lines as SiteLines;
use ringfence_store::{PAGE_MAX, Records, Scope, Stored};
use serde::Deserialize;

use super::{call_back, callers, feed};
use crate::capture::request::{self, CaptureError};
use crate::clock::unix_now;
use crate::entropy::SystemEntropy;
use crate::judge::{Lifting, Question};
use crate::run::ReloadError;
use crate::run::shared::{Shared, Wish, WorkerSilent};
use crate::{doctor, view};

/// The path of the stream of records.
const FOLLOW: &str = "/v1/calls/follow";
/// Calls shown when nobody says how many.
const CALLS_DEFAULT: usize = 100;
/// Calls that are shown of a number.
const CALLS_OF_NUMBER: usize = 10;
/// Records given when nobody says how many.
const RECORDS_DEFAULT: u32 = 100;
/// Lines of the stream that wait for a slow reader.
const FOLLOW_AHEAD: usize = 64;

pub(super) type Edge = State<Arc<Shared>>;
pub(super) type Answer<T> = Result<Json<T>, Fault>;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route(paths::STATUS, get(status))
        .route(paths::LINES, get(lines))
        .route(paths::PHONES, get(phones))
        .route(paths::FRAUD, get(fraud))
        .route(paths::REGISTRATIONS, get(registrations))
        .route(paths::CALLS, get(calls))
        .route(paths::CAPTURE, get(capture))
        .route(paths::ROUTE, get(route))
        .route(FOLLOW, get(follow))
        .route(paths::CALL, get(record).delete(hang_up))
        .route("/v1/calls/{id}/hangup", post(hang_up))
        .route(paths::TRACE, get(trace))
        .route(paths::RECORDS, get(records))
        .route(paths::RECORD, get(record))
        .route(paths::INCIDENTS, get(incidents))
        .route(paths::BLOCKS, get(blocks).delete(lift_all))
        .route(paths::BLOCK, delete(lift))
        .route(paths::FEED, get(feed::export))
        .route(paths::EXPLAIN, get(explain))
        .route(
            paths::ATTACK_MODE,
            get(attack_mode)
                .post(attack_mode_on)
                .delete(attack_mode_off),
        )
        .route(paths::CALLERS, get(callers::status).post(callers::import))
        .route(paths::CALL_BACK, get(call_back::list))
        .route(paths::CALLER, get(callers::show).delete(callers::forget))
        .route(paths::SCENARIOS, get(scenarios))
        .route(paths::SCENARIO, post(scenario_mode))
        .route(paths::DOCTOR, get(check_up))
        .route(paths::RELOAD, post(reload))
        .route(paths::DRAIN, post(drain))
        .fallback(|| async { Fault::not_found("there is no such path", "see `ringfence --help`") })
        .with_state(shared)
}

async fn status(State(shared): Edge) -> Answer<Status> {
    let workers = shared.snapshots().await?;
    Ok(Json(view::status(&shared, &workers)))
}

async fn registrations(State(shared): Edge) -> Json<Registrations> {
    Json(view::registrations(&shared))
}

async fn lines(State(shared): Edge) -> Json<Lines> {
    Json(view::lines(&shared))
}

async fn phones(State(shared): Edge) -> Json<Phones> {
    Json(Phones::new(&shared.applied.load().plan, unix_now()))
}

async fn fraud(State(shared): Edge) -> Json<Spending> {
    Json(Spending::new(&shared.applied.load().plan, unix_now()))
}

#[derive(Deserialize)]
struct CallsQuery {
    limit: Option<usize>,
}

async fn calls(State(shared): Edge, Query(query): Query<CallsQuery>) -> Answer<Calls> {
    Ok(Json(view::calls(
        shared.calls().await?,
        query.limit.unwrap_or(CALLS_DEFAULT),
    )))
}

/// A pcapng file as it grows.
async fn capture(
    State(shared): Edge,
    Query(query): Query<CaptureQuery>,
) -> Result<Response, Fault> {
    let body = request::start(&shared, &query).await?.into_body();
    let headers = [(header::CONTENT_TYPE, "application/vnd.tcpdump.pcap")];
    Ok((headers, body).into_response())
}

/// What would become of a call. No worker is asked: what it depends on is shared by all.
async fn route(State(shared): Edge, Query(query): Query<RouteQuery>) -> Answer<RouteAnswer> {
    let plan = Arc::clone(&shared.applied.load().plan);
    let moment = (shared.clock.now(), unix_now());
    let mut entropy = SystemEntropy::new();
    let answer = rehearse(&plan, &query, true, moment, &mut entropy);
    answer.map(Json).map_err(|body| Fault {
        status: StatusCode::BAD_REQUEST,
        body,
    })
}

async fn hang_up(State(shared): Edge, Path(id): Path<String>) -> Answer<HangUp> {
    let call = parse_id(&id)?;
    Ok(Json(HangUp {
        id: call.to_string(),
        found: shared.hang_up(call).await?,
    }))
}

async fn trace(State(shared): Edge, Path(id): Path<String>) -> Answer<Trace> {
    let call = parse_id(&id)?;
    let entries = shared.trace(call).await?;
    if entries.is_empty() {
        let fix = "raise edge.trace_memory to keep more of the past";
        return Err(Fault::not_found(
            "no message of this call is in memory",
            fix,
        ));
    }
    Ok(Json(view::trace(call, entries)))
}

#[derive(Deserialize)]
struct RecordsQuery {
    after: Option<i64>,
    limit: Option<u32>,
    tenant: Option<String>,
}

async fn records(State(shared): Edge, Query(query): Query<RecordsQuery>) -> Answer<RecordsPage> {
    let scope = query.tenant.as_deref().map_or(Scope::Fleet, Scope::Tenant);
    let limit = query.limit.unwrap_or(RECORDS_DEFAULT).min(PAGE_MAX);
    let stored = match query.after {
        Some(after) => shared.store.after(scope, after, limit).await?,
        None => {
            let mut newest = shared.store.recent(scope, limit).await?;
            newest.reverse();
            newest
        }
    };
    let next = stored
        .last()
        .map_or(query.after.unwrap_or_default(), |last| last.sequence);
    let records = stored.into_iter().map(|stored| stored.record).collect();
    Ok(Json(RecordsPage { records, next }))
}

async fn record(State(shared): Edge, Path(id): Path<String>) -> Answer<CallRecord> {
    let call = parse_id(&id)?;
    match shared.store.by_id(Scope::Fleet, call).await? {
        Some(stored) => Ok(Json(stored.record)),
        None => {
            let fix = "a call in progress is shown by `ringfence calls`";
            Err(Fault::not_found("there is no record of this call", fix))
        }
    }
}

#[derive(Deserialize)]
struct LimitQuery {
    limit: Option<u32>,
}

async fn incidents(State(shared): Edge, Query(query): Query<LimitQuery>) -> Answer<Incidents> {
    let open = shared.judge.ask(Question::Incidents).await;
    let open = open.ok_or_else(Fault::no_judge)?;
    let limit = query.limit.unwrap_or(RECORDS_DEFAULT);
    Ok(Json(Incidents {
        at: unix_now().into(),
        open,
        past: shared.store.judgements(None, limit).await?,
        events_lost: shared.judge.counters().lost.load(Relaxed),
    }))
}

async fn blocks(State(shared): Edge) -> Answer<Blocks> {
    let blocks = shared.judge.ask(Question::Blocks).await;
    Ok(Json(Blocks {
        at: unix_now().into(),
        blocks: blocks.ok_or_else(Fault::no_judge)?,
    }))
}

async fn lift_all(State(shared): Edge) -> Answer<Lifted> {
    take_back(&shared, Lifting::All).await
}

/// Against an address, or else an account.
async fn lift(State(shared): Edge, Path(whose): Path<String>) -> Answer<Lifted> {
    let whose = match whose.parse() {
        Ok(address) => Lifting::Address(address),
        Err(_) => Lifting::Account(whose),
    };
    take_back(&shared, whose).await
}

async fn take_back(shared: &Shared, whose: Lifting) -> Answer<Lifted> {
    let question = |answer| Question::Lift(whose, answer);
    let lifted = shared.judge.ask(question).await;
    let lifted = lifted.ok_or_else(Fault::no_judge)?;
    Ok(Json(Lifted { lifted }))
}

#[derive(Deserialize)]
struct ExplainQuery {
    about: String,
}

/// An address, a call's id, or else an account or a number.
async fn explain(State(shared): Edge, Query(query): Query<ExplainQuery>) -> Answer<Explanation> {
    let about = query.about;
    let mut explanation = Explanation {
        at: unix_now().into(),
        about: about.clone(),
        why: String::new(),
        own: false,
        harm: None,
        score: None,
        in_force: Vec::new(),
        past: Vec::new(),
        call: None,
        callers: Vec::new(),
        calls: Vec::new(),
    };
    if let Ok(address) = about.parse::<std::net::IpAddr>() {
        let question = |answer| Question::Explain(address, answer);
        let known = shared.judge.ask(question).await;
        explanation = known.ok_or_else(Fault::no_judge)?;
    } else {
        // Some numbers could be a call's id, too: both are looked up.
        if let Ok(call) = about.parse::<CallId>() {
            let stored = shared.store.by_id(Scope::Fleet, call).await?;
            explanation.call = stored.map(|stored| stored.record);
        }
        explanation.callers = callers::standings(&shared, &about);
    }
    let mut past = shared
        .store
        .judgements(Some(&about), RECORDS_DEFAULT)
        .await?;
    if let Some(caller) = explanation.callers.first() {
        let number = caller.number.clone();
        if past.is_empty() && number != about {
            let store = &shared.store;
            past = store.judgements(Some(&number), RECORDS_DEFAULT).await?;
        }
        let recent = shared.store.recent(Scope::Fleet, PAGE_MAX).await?;
        let with = |stored: &Stored| {
            let record = &stored.record;
            is_same_number(&record.from, &number) || is_same_number(&record.to, &number)
        };
        let calls = recent.into_iter().filter(with).take(CALLS_OF_NUMBER);
        explanation.calls = calls.map(|stored| stored.record).collect();
    }
    if explanation.why.is_empty() {
        let found = match (past.first(), &explanation.call) {
            (Some(last), _) => Some(last.why.clone()),
            (None, Some(call)) => Some(format!(
                "nothing was found about it; it went by: {}",
                call.rule
            )),
            (None, None) => None,
        };
        let callers = explanation.callers.iter();
        let standing = callers.map(|caller| {
            let CallerStanding {
                tenant,
                number,
                standing,
                why,
            } = caller;
            format!("{number} is {standing} to {tenant}: {why}.")
        });
        let parts: Vec<String> = found.into_iter().chain(standing).collect();
        explanation.why = match parts.is_empty() {
            false => parts.join(" "),
            true => format!("nothing is known of {about}."),
        };
    }
    explanation.past = past;
    Ok(Json(explanation))
}

/// Whether a record's number, as it was received, may be `number` in international form: one ends as
/// the other does, with no fewer digits than a subscriber's number has.
fn is_same_number(received: &str, number: &str) -> bool {
    let digits = |text: &str| -> String { text.chars().filter(char::is_ascii_digit).collect() };
    let (received, number) = (digits(received), digits(number));
    let shorter = received.len().min(number.len());
    shorter >= 7 && (received.ends_with(&number) || number.ends_with(&received))
}

async fn scenarios(State(shared): Edge) -> Answer<ScenarioList> {
    scenario_list(&shared, None).await
}

/// Holds until the file of the scenario changes, or the edge ends.
async fn scenario_mode(
    State(shared): Edge,
    Path(name): Path<String>,
    Query(query): Query<ScenarioMode>,
) -> Answer<ScenarioList> {
    let mode = match query.mode.as_str() {
        "observe" => Mode::Observe,
        "enforce" => Mode::Enforce,
        _ => {
            let error = "a scenario has no such mode";
            return Err(Fault::bad_request(error, "write observe or enforce"));
        }
    };
    tracing::warn!(
        name,
        mode = mode.as_str(),
        "the mode of a scenario is changed"
    );
    scenario_list(&shared, Some((name, mode))).await
}

async fn scenario_list(shared: &Shared, change: Option<(String, Mode)>) -> Answer<ScenarioList> {
    let question = |answer| Question::Scenarios(change, answer);
    let scenarios = shared
        .judge
        .ask(question)
        .await
        .ok_or_else(Fault::no_judge)?;
    let fix = "`ringfence scenario list` shows all of them";
    let scenarios = scenarios.ok_or_else(|| Fault::not_found("there is no such scenario", fix))?;
    Ok(Json(ScenarioList {
        at: unix_now().into(),
        scenarios,
    }))
}

async fn attack_mode(State(shared): Edge, Query(query): Query<AttackQuery>) -> Answer<AttackMode> {
    defences(&shared, &query, |_| {})
}

/// What an operator says holds at once: workers look at each call.
async fn attack_mode_on(
    State(shared): Edge,
    Query(query): Query<AttackQuery>,
) -> Answer<AttackMode> {
    let seconds = query
        .seconds
        .filter(|seconds| (1..=ATTACK_SECONDS_MAX).contains(seconds));
    let Some(seconds) = seconds else {
        let error = "attack mode needs an end, a week away at most";
        return Err(Fault::bad_request(error, "say for how long: --for 1h"));
    };
    let until = shared.clock.now() + Duration::from_secs(seconds);
    tracing::warn!(site = ?query.site, tenant = ?query.tenant, seconds, "attack mode is on");
    defences(&shared, &query, |lines| lines.set_attack_mode(Some(until)))
}

async fn attack_mode_off(
    State(shared): Edge,
    Query(query): Query<AttackQuery>,
) -> Answer<AttackMode> {
    tracing::warn!(site = ?query.site, tenant = ?query.tenant, "attack mode is off");
    defences(&shared, &query, |lines| lines.set_attack_mode(None))
}

fn defences(
    shared: &Shared,
    query: &AttackQuery,
    change: impl Fn(&SiteLines),
) -> Answer<AttackMode> {
    let plan = Arc::clone(&shared.applied.load().plan);
    let (now, at) = (shared.clock.now(), unix_now());
    let sites = query.sites(&plan).map(|site| {
        change(&site.usage.lines);
        SiteDefence::new(&plan, site, now, at)
    });
    let sites: Vec<SiteDefence> = sites.collect();
    if sites.is_empty() {
        let fix = "`ringfence attack-mode` shows all sites";
        return Err(Fault::not_found("there is no such site", fix));
    }
    let at = at.into();
    Ok(Json(AttackMode { at, sites }))
}

async fn check_up(State(shared): Edge) -> Json<ringfence_control::api::Doctor> {
    let config = Arc::clone(&shared.applied.load().config);
    let work = move || doctor::check_running(&config);
    let mut report = tokio::task::spawn_blocking(work).await.unwrap_or_default();
    let faults: Vec<String> = shared.acme_faults().values().cloned().collect();
    report.checks.extend(doctor::check_acme(faults));
    report
        .checks
        .extend(doctor::check_lines(&view::lines(&shared).lines));
    Json(report)
}

async fn reload(State(shared): Edge) -> Answer<Reload> {
    let result = tokio::task::spawn_blocking(move || shared.reload_file()).await;
    match result {
        Ok(Ok(report)) => Ok(Json(report)),
        Ok(Err(ReloadError::Config(error))) => {
            let diagnostics = error.diagnostics;
            Ok(Json(Reload {
                applied: false,
                diagnostics,
                ..Reload::default()
            }))
        }
        Ok(Err(error)) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            let message = format!("{error}{}", cause.unwrap_or_default());
            Err(Fault::conflict(
                message,
                "nothing changed; correct it and reload again",
            ))
        }
        Err(_) => Err(Fault::conflict("the reload failed", "see the log")),
    }
}

async fn drain(State(shared): Edge) -> Answer<Status> {
    // Full or closed: it is draining already, or has ended.
    let _ = shared.wishes.try_send(Wish::Drain);
    let workers = shared.snapshots().await?;
    Ok(Json(Status {
        draining: true,
        ..view::status(&shared, &workers)
    }))
}

/// Records as they are committed, from now on.
async fn follow(State(shared): Edge) -> Result<Response, Fault> {
    let newest = shared.store.recent(Scope::Fleet, 1).await?;
    let after = newest.first().map_or(0, |stored| stored.sequence);
    let (sender, body) = Channel::<Bytes, Infallible>::new(FOLLOW_AHEAD);
    tokio::spawn(send_records(shared, after, sender));
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((headers, Body::new(body)).into_response())
}

async fn send_records(shared: Arc<Shared>, mut after: i64, mut sender: Sender<Bytes, Infallible>) {
    let mut committed = shared.progress.follow();
    loop {
        let Ok(page) = shared.store.after(Scope::Fleet, after, PAGE_MAX).await else {
            return;
        };
        for Stored { sequence, record } in page {
            after = sequence;
            let Ok(mut line) = serde_json::to_vec(&record) else {
                return;
            };
            line.push(b'\n');
            if sender.send_data(line.into()).await.is_err() {
                return;
            }
        }
        if committed.changed().await.is_err() {
            return;
        }
    }
}

fn parse_id(text: &str) -> Result<CallId, Fault> {
    text.parse()
        .map_err(|error: ringfence_session::call_id::CallIdError| {
            Fault::bad_request(error.to_string(), "`ringfence calls` shows the ids")
        })
}

/// An answer that is no success.
pub(super) struct Fault {
    pub(super) status: StatusCode,
    pub(super) body: ApiError,
}

impl Fault {
    pub(super) fn bad_request(error: impl Into<String>, fix: &str) -> Fault {
        Fault {
            status: StatusCode::BAD_REQUEST,
            body: ApiError::new(error, fix),
        }
    }

    pub(super) fn not_found(error: &str, fix: &str) -> Fault {
        Fault {
            status: StatusCode::NOT_FOUND,
            body: ApiError::new(error, fix),
        }
    }

    pub(super) fn no_judge() -> Fault {
        let fix = "if it stays so, restart the edge and report it with the log";
        Fault {
            status: StatusCode::SERVICE_UNAVAILABLE,
            body: ApiError::new("detection does not answer", fix),
        }
    }

    fn conflict(error: impl Into<String>, fix: &str) -> Fault {
        Fault {
            status: StatusCode::CONFLICT,
            body: ApiError::new(error, fix),
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}

impl From<CaptureError> for Fault {
    fn from(error: CaptureError) -> Fault {
        match error {
            CaptureError::Busy => Fault::conflict(error.to_string(), "end one of them first"),
            CaptureError::Query(body) => Fault {
                status: StatusCode::BAD_REQUEST,
                body,
            },
            CaptureError::Thread(source) => {
                Fault::conflict(format!("no thread: {source}"), "try again later")
            }
            CaptureError::Worker(error) => error.into(),
        }
    }
}

impl From<WorkerSilent> for Fault {
    fn from(error: WorkerSilent) -> Fault {
        let fix = "if it stays so, restart the edge and report it with the log";
        Fault {
            status: StatusCode::SERVICE_UNAVAILABLE,
            body: ApiError::new(error.to_string(), fix),
        }
    }
}

impl From<ringfence_store::QueryError> for Fault {
    fn from(error: ringfence_store::QueryError) -> Fault {
        tracing::error!(%error, "a query failed");
        let fix = "see the log; `ringfence doctor` looks at the disk";
        Fault {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            body: ApiError::new(error.to_string(), fix),
        }
    }
}

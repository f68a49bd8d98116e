//! Addresses that attacked here, for others.

use axum::Json;
use axum::extract::{Query, State};
use ringfence_base::UnixTime;
use ringfence_control::api::{Feed, Judgement};
use ringfence_store::Records;
use serde::Deserialize;

use super::control::{Answer, Edge, Fault};
use crate::clock::unix_now;
use crate::judge::Question;

/// How far back is looked when nobody says so, in seconds: a week.
const SINCE_DEFAULT: u64 = 7 * 86_400;
/// Farthest that is looked back, in seconds: ten years.
const SINCE_MAX: u64 = 3_660 * 86_400;
/// Most incidents that are looked at.
const INCIDENTS_MAX: u32 = 20_000;

/// `?since=SECONDS`.
#[derive(Deserialize)]
pub(super) struct FeedQuery {
    since: Option<u64>,
}

pub(super) async fn export(State(shared): Edge, Query(query): Query<FeedQuery>) -> Answer<Feed> {
    let now = unix_now();
    let back = query.since.unwrap_or(SINCE_DEFAULT).min(SINCE_MAX) as i64;
    let since = UnixTime::from_micros(now.as_micros() - back * 1_000_000);
    // What is open is not all written down yet.
    let open = shared.judge.ask(Question::Incidents).await;
    let mut said = open.ok_or_else(Fault::no_judge)?;
    let written = shared
        .store
        .incidents_of_sources(since, INCIDENTS_MAX)
        .await?;
    let is_open = |it: &Judgement| {
        let same = |open: &Judgement| open.source == it.source && open.kind == it.kind;
        said.iter().any(same)
    };
    let past: Vec<Judgement> = written.into_iter().filter(|it| !is_open(it)).collect();
    said.extend(past);
    let shield = shared.judge.shield().load_full();
    let own = |address| shield.is_own(address);
    Ok(Json(Feed::of((now.into(), since.into()), &said, own)))
}

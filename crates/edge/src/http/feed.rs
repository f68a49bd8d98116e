//! Addresses that attacked here, for others.

use axum::Json;
use axum::extract::{Query, State};
use ringfence_base::UnixTime;
use ringfence_control::api::Feed;
use ringfence_store::Records;
use serde::Deserialize;

use super::control::{Answer, Edge};
use crate::clock::unix_now;

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
    let said = shared
        .store
        .incidents_of_sources(since, INCIDENTS_MAX)
        .await?;
    let shield = shared.judge.shield().load_full();
    let own = |address| shield.is_own(address);
    Ok(Json(Feed::of((now.into(), since.into()), &said, own)))
}

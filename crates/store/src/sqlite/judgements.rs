//! What detection found and decided. Bounded: beyond [`KEPT_MAX`] the oldest goes.

use ringfence_base::UnixTime;
use ringfence_control::api::Judgement;
use sqlx::{SqliteConnection, SqlitePool};

use crate::error::QueryError;
use crate::records::PAGE_MAX;

/// Most judgements that are kept: an attacker makes many.
const KEPT_MAX: i64 = 200_000;

/// Writes what was said, in its order.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    judged: &[&Judgement],
) -> Result<(), sqlx::Error> {
    for judgement in judged {
        let Ok(words) = serde_json::to_string(judgement) else {
            continue;
        };
        sqlx::query(
            "INSERT INTO judgements (at, what, kind, subject, source, words) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )
        .bind(judgement.at.0.as_micros())
        .bind(&judgement.what)
        .bind(&judgement.kind)
        .bind(&judgement.subject)
        .bind(judgement.source.as_deref())
        .bind(words)
        .execute(&mut *connection)
        .await?;
    }
    if !judged.is_empty() {
        sqlx::query(
            "DELETE FROM judgements WHERE sequence <= \
             (SELECT max(sequence) FROM judgements) - ?1",
        )
        .bind(KEPT_MAX)
        .execute(connection)
        .await?;
    }
    Ok(())
}

/// The newest first. What cannot be read any more is left out.
pub(super) async fn read(
    readers: &SqlitePool,
    about: Option<&str>,
    limit: u32,
) -> Result<Vec<Judgement>, QueryError> {
    let limit = i64::from(limit.min(PAGE_MAX));
    let rows: Result<Vec<String>, sqlx::Error> = match about {
        Some(about) => {
            sqlx::query_scalar(
                "SELECT words FROM judgements WHERE source = ?1 OR subject = ?1 \
                 OR instr(subject, ?1 || ' ') > 0 OR instr(subject, ' ' || ?1) > 0 \
                 ORDER BY sequence DESC LIMIT ?2",
            )
            .bind(about)
            .bind(limit)
            .fetch_all(readers)
            .await
        }
        None => {
            sqlx::query_scalar("SELECT words FROM judgements ORDER BY sequence DESC LIMIT ?1")
                .bind(limit)
                .fetch_all(readers)
                .await
        }
    };
    readable(rows)
}

/// The last word on each source and kind of incident since `since`, the newest first.
pub(super) async fn of_sources(
    readers: &SqlitePool,
    since: UnixTime,
    limit: u32,
) -> Result<Vec<Judgement>, QueryError> {
    let rows = sqlx::query_scalar(
        "SELECT words FROM judgements WHERE sequence IN \
         (SELECT max(sequence) FROM judgements \
          WHERE what = 'incident' AND source IS NOT NULL AND at >= ?1 GROUP BY source, kind) \
         ORDER BY sequence DESC LIMIT ?2",
    )
    .bind(since.as_micros())
    .bind(i64::from(limit))
    .fetch_all(readers)
    .await;
    readable(rows)
}

fn readable(rows: Result<Vec<String>, sqlx::Error>) -> Result<Vec<Judgement>, QueryError> {
    let rows = rows.map_err(QueryError::Database)?;
    Ok(rows
        .iter()
        .filter_map(|words| serde_json::from_str(words).ok())
        .collect())
}

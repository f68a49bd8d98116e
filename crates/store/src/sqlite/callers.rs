//! Known callers: what a restart in the middle of an attack must not forget.

use std::collections::BTreeMap;

use ringfence_base::UnixTime;
use ringfence_detect::callers::{CallerKey, Kept};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection, SqlitePool};

use super::write::{Values, in_chunks};
use crate::entry::Callers;
use crate::error::QueryError;

/// Writes the newest state of each.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    callers: &[&Callers],
) -> Result<(), sqlx::Error> {
    let rows = callers.iter().flat_map(|callers| {
        let of_tenant = callers.kept.iter();
        of_tenant.map(|kept| ((&callers.tenant, kept.caller.raw()), kept))
    });
    // One of a batch may be newer than another: the last one counts, once.
    let newest: BTreeMap<(&String, u64), &Kept> = rows.collect();
    let rows: Vec<((&String, u64), &Kept)> = newest.into_iter().collect();
    in_chunks(connection, INSERT, &rows, bind, "").await
}

fn bind(values: &mut Values<'_>, ((tenant, caller), kept): &((&String, u64), &Kept)) {
    values
        .push_bind((*tenant).clone())
        // SQLite has no unsigned numbers: the bits are what counts.
        .push_bind(caller.cast_signed())
        .push_bind(f64::from(kept.weight))
        .push_bind(kept.as_of.as_micros())
        .push_bind(kept.called.map(UnixTime::as_micros));
}

/// Removes those last heard of before `forgotten`.
pub(super) async fn forget(
    connection: &mut SqliteConnection,
    forgotten: UnixTime,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query("DELETE FROM known_callers WHERE as_of < ?");
    query
        .bind(forgotten.as_micros())
        .execute(connection)
        .await
        .map(drop)
}

/// All of them, by tenant, the newest first.
pub(super) async fn read(readers: &SqlitePool) -> Result<Vec<Callers>, QueryError> {
    let rows = sqlx::query(SELECT).fetch_all(readers).await;
    let mut all: Vec<Callers> = Vec::new();
    for row in rows.map_err(QueryError::Database)? {
        let (tenant, kept) = decode(&row).map_err(QueryError::Database)?;
        match all.last_mut() {
            Some(last) if last.tenant == tenant => last.kept.push(kept),
            _ => all.push(Callers {
                tenant,
                kept: vec![kept],
            }),
        }
    }
    Ok(all)
}

fn decode(row: &SqliteRow) -> Result<(String, Kept), sqlx::Error> {
    let number = |column: &str| row.try_get::<i64, _>(column);
    let called: Option<i64> = row.try_get("called")?;
    let kept = Kept {
        caller: CallerKey::new(number("caller")?.cast_unsigned()),
        weight: row.try_get::<f64, _>("weight")? as f32,
        as_of: UnixTime::from_micros(number("as_of")?),
        called: called.map(UnixTime::from_micros),
    };
    Ok((row.try_get("tenant")?, kept))
}

const INSERT: &str =
    "INSERT OR REPLACE INTO known_callers (tenant, caller, weight, as_of, called) ";

const SELECT: &str = "SELECT * FROM known_callers ORDER BY tenant, as_of DESC";

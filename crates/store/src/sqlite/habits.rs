//! What was learned of sites over weeks: a restart must not begin the weeks anew.

use std::collections::BTreeMap;

use sqlx::{Row, SqliteConnection, SqlitePool};

use super::write::{Values, in_chunks};
use crate::entry::Habits;
use crate::error::QueryError;

/// Writes the newest of each.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    habits: &[&Habits],
) -> Result<(), sqlx::Error> {
    let rows = habits.iter().map(|one| ((&one.site, &one.what), *one));
    let newest: BTreeMap<(&String, &String), &Habits> = rows.collect();
    let rows: Vec<&Habits> = newest.into_values().collect();
    in_chunks(connection, INSERT, &rows, bind, "").await
}

fn bind(values: &mut Values<'_>, habits: &&Habits) {
    values
        .push_bind(habits.site.clone())
        .push_bind(habits.what.clone())
        .push_bind(habits.state.clone());
}

/// All of them.
pub(super) async fn read(readers: &SqlitePool) -> Result<Vec<Habits>, QueryError> {
    let rows = sqlx::query(SELECT).fetch_all(readers).await;
    let rows = rows.map_err(QueryError::Database)?;
    let decoded = rows.iter().map(|row| {
        Ok(Habits {
            site: row.try_get("site")?,
            what: row.try_get("what")?,
            state: row.try_get("state")?,
        })
    });
    decoded
        .collect::<Result<_, sqlx::Error>>()
        .map_err(QueryError::Database)
}

const INSERT: &str = "INSERT OR REPLACE INTO habits (site, what, state) ";

const SELECT: &str = "SELECT site, what, state FROM habits ORDER BY site, what";

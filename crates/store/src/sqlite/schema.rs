//! The tables, and the steps from each version to the next.
//!
//! The version is SQLite's own `user_version`. A step that was released never changes; a change of
//! the tables is a new step. Times are microseconds since 1970 in UTC.

use sqlx::{Connection, SqliteConnection};

use crate::error::OpenError;

/// Step n brings a database of version n to version n + 1.
const STEPS: [&str; 8] = [
    FIRST,
    REGISTRATIONS,
    JUDGEMENTS,
    SRTP_REFUSED,
    PREFERENCES,
    CALLERS,
    CALLER_ID,
    HABITS,
];

/// Both legs stand in the row of their call: one insert for a record, no join for a page.
const FIRST: &str = "
CREATE TABLE calls (
    sequence   INTEGER PRIMARY KEY AUTOINCREMENT,
    id         INTEGER NOT NULL,
    tenant     TEXT    NOT NULL,
    site       TEXT    NOT NULL,
    direction  TEXT    NOT NULL,
    caller     TEXT    NOT NULL,
    callee     TEXT    NOT NULL,
    emergency  INTEGER NOT NULL,
    started    INTEGER NOT NULL,
    ringing    INTEGER,
    answered   INTEGER,
    ended      INTEGER NOT NULL,
    outcome    TEXT    NOT NULL,
    status     INTEGER NOT NULL,
    q850       INTEGER NOT NULL,
    ended_by   TEXT    NOT NULL,
    rule       TEXT    NOT NULL,
    ingress_peer             TEXT NOT NULL,
    ingress_call_id          TEXT NOT NULL,
    ingress_local_tag        TEXT NOT NULL,
    ingress_remote_tag       TEXT NOT NULL,
    ingress_remote           TEXT NOT NULL,
    ingress_transport        TEXT NOT NULL,
    ingress_status           INTEGER,
    ingress_codec            TEXT,
    ingress_srtp             TEXT,
    ingress_packets_received INTEGER,
    ingress_packets_sent     INTEGER,
    ingress_packets_lost     INTEGER,
    ingress_packets_refused  INTEGER,
    ingress_jitter_us        INTEGER,
    ingress_mos              REAL,
    egress_peer             TEXT,
    egress_call_id          TEXT,
    egress_local_tag        TEXT,
    egress_remote_tag       TEXT,
    egress_remote           TEXT,
    egress_transport        TEXT,
    egress_status           INTEGER,
    egress_codec            TEXT,
    egress_srtp             TEXT,
    egress_packets_received INTEGER,
    egress_packets_sent     INTEGER,
    egress_packets_lost     INTEGER,
    egress_packets_refused  INTEGER,
    egress_jitter_us        INTEGER,
    egress_mos              REAL,
    UNIQUE (id, started)
) STRICT;
CREATE INDEX calls_of_tenant ON calls (tenant, sequence);

-- Calls in progress. What is left of them after a crash becomes a record of its own.
CREATE TABLE open_calls (
    id                INTEGER NOT NULL,
    tenant            TEXT    NOT NULL,
    site              TEXT    NOT NULL,
    direction         TEXT    NOT NULL,
    caller            TEXT    NOT NULL,
    callee            TEXT    NOT NULL,
    emergency         INTEGER NOT NULL,
    started           INTEGER NOT NULL,
    answered          INTEGER,
    rule              TEXT    NOT NULL,
    ingress_peer      TEXT    NOT NULL,
    ingress_call_id   TEXT    NOT NULL,
    ingress_remote    TEXT    NOT NULL,
    ingress_transport TEXT    NOT NULL,
    egress_peer       TEXT    NOT NULL,
    egress_call_id    TEXT    NOT NULL,
    egress_remote     TEXT    NOT NULL,
    egress_transport  TEXT    NOT NULL,
    PRIMARY KEY (id, started)
) STRICT, WITHOUT ROWID;

-- One row: the latest moment that any entry told of, so the process ran at least until then.
CREATE TABLE last_seen (at INTEGER NOT NULL) STRICT;
INSERT INTO last_seen VALUES (0);
";

/// What phone users have registered: one row for each contact, all of a user written at once.
const REGISTRATIONS: &str = "
CREATE TABLE registrations (
    phones     TEXT    NOT NULL,
    user       TEXT    NOT NULL,
    contact    TEXT    NOT NULL,
    call_id    TEXT    NOT NULL,
    cseq       INTEGER NOT NULL,
    path       TEXT,
    instance   TEXT,
    reg_id     INTEGER NOT NULL,
    user_agent TEXT,
    listener   TEXT    NOT NULL,
    transport  TEXT    NOT NULL,
    remote     TEXT    NOT NULL,
    expires    INTEGER NOT NULL,
    refreshed  INTEGER NOT NULL
) STRICT;
CREATE INDEX registrations_of_user ON registrations (phones, user);
";

/// What detection found and decided. The words are kept as the API says them.
const JUDGEMENTS: &str = "
CREATE TABLE judgements (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    at       INTEGER NOT NULL,
    what     TEXT    NOT NULL,
    kind     TEXT    NOT NULL,
    subject  TEXT    NOT NULL,
    source   TEXT,
    words    TEXT    NOT NULL
) STRICT;
CREATE INDEX judgements_of_source ON judgements (source);
CREATE INDEX judgements_of_subject ON judgements (subject);
";

/// Whether a peer refused SRTP and was called with plain RTP.
const SRTP_REFUSED: &str = "
ALTER TABLE calls ADD COLUMN ingress_srtp_refused INTEGER;
ALTER TABLE calls ADD COLUMN egress_srtp_refused INTEGER;
";

/// The preference of each contact, in thousandths.
const PREFERENCES: &str = "
ALTER TABLE registrations ADD COLUMN q INTEGER NOT NULL DEFAULT 1000;
";

/// Known callers, each as a keyed hash of its number; the key is not in here.
const CALLERS: &str = "
CREATE TABLE known_callers (
    tenant TEXT    NOT NULL,
    caller INTEGER NOT NULL,
    weight REAL    NOT NULL,
    as_of  INTEGER NOT NULL,
    called INTEGER,
    PRIMARY KEY (tenant, caller)
) STRICT, WITHOUT ROWID;
";

/// What came of verifying the caller.
const CALLER_ID: &str = "
ALTER TABLE calls ADD COLUMN verstat TEXT;
ALTER TABLE calls ADD COLUMN attestation TEXT;
ALTER TABLE calls ADD COLUMN origid TEXT;
";

/// What was learned of sites.
const HABITS: &str = "
CREATE TABLE habits (
    site  TEXT NOT NULL,
    what  TEXT NOT NULL,
    state BLOB NOT NULL,
    PRIMARY KEY (site, what)
) STRICT, WITHOUT ROWID;
";

/// Brings the tables up to date, a transaction for each step.
pub(super) async fn migrate(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let known = STEPS.len() as i64;
    let found = version(connection).await?;
    if found > known {
        return Err(OpenError::TooNew { found, known });
    }
    for (from, step) in (0..).zip(STEPS).skip(found.max(0) as usize) {
        apply(connection, from, step)
            .await
            .map_err(|source| OpenError::Migrate {
                from,
                to: from + 1,
                source,
            })?;
    }
    Ok(())
}

async fn version(connection: &mut SqliteConnection) -> Result<i64, OpenError> {
    sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(connection)
        .await
        .map_err(|source| OpenError::Migrate {
            from: 0,
            to: 0,
            source,
        })
}

async fn apply(
    connection: &mut SqliteConnection,
    from: i64,
    step: &'static str,
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    // Another process may have been here first.
    let now: i64 = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(&mut *transaction)
        .await?;
    if now == from {
        sqlx::raw_sql(step).execute(&mut *transaction).await?;
        let next = sqlx::AssertSqlSafe(format!("PRAGMA user_version = {}", from + 1));
        sqlx::raw_sql(next).execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

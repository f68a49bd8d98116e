//! What is written, within a transaction of the caller.

use ringfence_base::UnixTime;
use ringfence_session::call_id::CallId;
use ringfence_session::cdr::{Cdr, LegRecord};
use ringfence_session::view::CallView;
use sqlx::SqliteConnection;

use crate::entry::Entry;

/// Writes all entries in their order.
pub(super) async fn entries(
    connection: &mut SqliteConnection,
    entries: &[Entry],
) -> Result<(), sqlx::Error> {
    let mut last_seen = i64::MIN;
    for entry in entries {
        let at = match entry {
            Entry::Started(call) => {
                started(connection, call).await?;
                call.started
            }
            Entry::Answered { id, at } => {
                answered(connection, *id, *at).await?;
                *at
            }
            Entry::Ended(cdr) => {
                ended(connection, cdr).await?;
                cdr.ended
            }
        };
        last_seen = last_seen.max(at.as_micros());
    }
    sqlx::query("UPDATE last_seen SET at = max(at, ?1)")
        .bind(last_seen)
        .execute(connection)
        .await?;
    Ok(())
}

/// Makes records of the calls that an earlier process left open.
pub(super) async fn close_interrupted(
    connection: &mut SqliteConnection,
) -> Result<u64, sqlx::Error> {
    let closed = sqlx::query(INTERRUPTED_CALLS)
        .execute(&mut *connection)
        .await?
        .rows_affected();
    sqlx::query(INTERRUPTED_INGRESS)
        .execute(&mut *connection)
        .await?;
    sqlx::query(INTERRUPTED_EGRESS)
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM open_calls")
        .execute(connection)
        .await?;
    Ok(closed)
}

/// Forgets the oldest records that ended before `before`.
pub(super) async fn prune(
    connection: &mut SqliteConnection,
    before: UnixTime,
    limit: u32,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        "DELETE FROM calls WHERE sequence IN
            (SELECT sequence FROM calls WHERE ended < ?1 ORDER BY ended LIMIT ?2)",
    )
    .bind(before.as_micros())
    .bind(i64::from(limit))
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

async fn started(connection: &mut SqliteConnection, call: &CallView) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO open_calls
            (id, tenant, site, direction, caller, callee, emergency, started, answered, rule,
             ingress_peer, ingress_call_id, ingress_remote, ingress_transport,
             egress_peer, egress_call_id, egress_remote, egress_transport)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)
         ON CONFLICT DO NOTHING",
    )
    .bind(call.id.raw().cast_signed())
    .bind(&call.tenant)
    .bind(&call.site)
    .bind(call.direction.as_str())
    .bind(&call.from)
    .bind(&call.to)
    .bind(call.emergency)
    .bind(call.started.as_micros())
    .bind(call.answered.map(UnixTime::as_micros))
    .bind(&call.rule)
    .bind(&call.ingress.peer)
    .bind(&call.ingress.call_id)
    .bind(call.ingress.remote.to_string())
    .bind(call.ingress.transport.uri_name())
    .bind(&call.egress.peer)
    .bind(&call.egress.call_id)
    .bind(call.egress.remote.to_string())
    .bind(call.egress.transport.uri_name())
    .execute(connection)
    .await?;
    Ok(())
}

async fn answered(
    connection: &mut SqliteConnection,
    id: CallId,
    at: UnixTime,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE open_calls SET answered = ?2 WHERE id = ?1")
        .bind(id.raw().cast_signed())
        .bind(at.as_micros())
        .execute(connection)
        .await?;
    Ok(())
}

async fn ended(connection: &mut SqliteConnection, cdr: &Cdr) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM open_calls WHERE id = ?1 AND started = ?2")
        .bind(cdr.id.raw().cast_signed())
        .bind(cdr.started.as_micros())
        .execute(&mut *connection)
        .await?;
    let written = sqlx::query(
        "INSERT INTO calls
            (id, tenant, site, direction, caller, callee, emergency, started, ringing, answered,
             ended, outcome, status, q850, ended_by, rule)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
         ON CONFLICT (id, started) DO NOTHING",
    )
    .bind(cdr.id.raw().cast_signed())
    .bind(&cdr.tenant)
    .bind(&cdr.site)
    .bind(cdr.direction.as_str())
    .bind(&cdr.from)
    .bind(&cdr.to)
    .bind(cdr.emergency)
    .bind(cdr.started.as_micros())
    .bind(cdr.ringing.map(UnixTime::as_micros))
    .bind(cdr.answered.map(UnixTime::as_micros))
    .bind(cdr.ended.as_micros())
    .bind(cdr.outcome.as_str())
    .bind(i64::from(cdr.status))
    .bind(i64::from(cdr.q850))
    .bind(cdr.ended_by.as_str())
    .bind(&cdr.rule)
    .execute(&mut *connection)
    .await?;
    if written.rows_affected() == 0 {
        return Ok(()); // Written by an earlier try.
    }
    let sequence = written.last_insert_rowid();
    leg(connection, sequence, "ingress", &cdr.ingress).await?;
    if let Some(egress) = &cdr.egress {
        leg(connection, sequence, "egress", egress).await?;
    }
    Ok(())
}

async fn leg(
    connection: &mut SqliteConnection,
    sequence: i64,
    side: &'static str,
    leg: &LegRecord,
) -> Result<(), sqlx::Error> {
    let media = leg.media.as_ref();
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    sqlx::query(
        "INSERT INTO legs
            (call, side, peer, call_id, local_tag, remote_tag, remote, transport, status, codec,
             srtp, packets_received, packets_sent, packets_lost, packets_refused, jitter_us, mos)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
    )
    .bind(sequence)
    .bind(side)
    .bind(&leg.peer)
    .bind(&leg.call_id)
    .bind(&leg.local_tag)
    .bind(&leg.remote_tag)
    .bind(leg.remote.to_string())
    .bind(leg.transport.uri_name())
    .bind(leg.status.map(i64::from))
    .bind(media.map(|media| media.codec.as_str()))
    .bind(media.and_then(|media| media.srtp.as_deref()))
    .bind(media.map(|media| count(media.packets_received)))
    .bind(media.map(|media| count(media.packets_sent)))
    .bind(media.map(|media| count(media.packets_lost)))
    .bind(media.map(|media| count(media.packets_refused)))
    .bind(media.map(|media| i64::from(media.jitter_us)))
    .bind(media.and_then(|media| media.mos).map(f64::from))
    .execute(connection)
    .await?;
    Ok(())
}

/// The status is 200 when the caller got one, else 0: none is known. So is the cause.
const INTERRUPTED_CALLS: &str = "
INSERT INTO calls
    (id, tenant, site, direction, caller, callee, emergency, started, ringing, answered, ended,
     outcome, status, q850, ended_by, rule)
SELECT id, tenant, site, direction, caller, callee, emergency, started, NULL, answered,
       max(started, ifnull(answered, 0), (SELECT at FROM last_seen)),
       'interrupted', iif(answered IS NULL, 0, 200), 0, 'edge', rule
FROM open_calls WHERE true ORDER BY started, id
ON CONFLICT (id, started) DO NOTHING";

const INTERRUPTED_INGRESS: &str = "
INSERT INTO legs (call, side, peer, call_id, local_tag, remote_tag, remote, transport)
SELECT sequence, 'ingress', ingress_peer, ingress_call_id, '', '', ingress_remote,
       ingress_transport
FROM open_calls JOIN calls USING (id, started) WHERE true
ON CONFLICT DO NOTHING";

const INTERRUPTED_EGRESS: &str = "
INSERT INTO legs (call, side, peer, call_id, local_tag, remote_tag, remote, transport)
SELECT sequence, 'egress', egress_peer, egress_call_id, '', '', egress_remote, egress_transport
FROM open_calls JOIN calls USING (id, started) WHERE true
ON CONFLICT DO NOTHING";

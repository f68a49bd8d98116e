//! What is written, within a transaction of the caller.
//!
//! Rows go in many at a time, since a statement costs more than its row: a call is written three
//! times (started, answered, ended) on a machine whose cores belong to the calls.

use std::collections::{BTreeMap, BTreeSet};

use ringfence_base::UnixTime;
use ringfence_session::call_id::CallId;
use ringfence_session::cdr::{Cdr, LegRecord};
use ringfence_session::view::{CallView, LegView};
use ringfence_stir::Attestation;
use sqlx::query_builder::Separated;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use crate::entry::Entry;

/// Rows of one statement, from most to least. Few sizes, so that each statement stays prepared.
const CHUNKS: [usize; 4] = [128, 32, 8, 1];

/// A row of values while its statement is made.
pub(super) type Values<'q> = Separated<'q, Sqlite, &'static str>;

/// Writes all entries. A call that ended leaves no mark, so what this batch tells of its start and
/// answer is skipped.
pub(super) async fn entries(
    connection: &mut SqliteConnection,
    entries: &[Entry],
) -> Result<(), sqlx::Error> {
    let (mut started, mut answered, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    let over: BTreeSet<CallId> = entries
        .iter()
        .filter(|entry| entry.is_record())
        .filter_map(Entry::id)
        .collect();
    let mut last_seen = i64::MIN;
    let mut registered = BTreeMap::new();
    let mut judged = Vec::new();
    let mut callers = Vec::new();
    let mut habits = Vec::new();
    for entry in entries {
        let over = entry.id().is_some_and(|id| over.contains(&id));
        let at = match entry {
            Entry::Started(call) => {
                started.extend((!over).then_some(&**call));
                call.started
            }
            Entry::Answered { id, at } => {
                answered.extend((!over).then_some((*id, *at)));
                *at
            }
            Entry::Ended(cdr) => {
                ended.push(&**cdr);
                cdr.ended
            }
            Entry::Judged(judgement) => {
                judged.push(&**judgement);
                judgement.at.0
            }
            Entry::Callers(of_tenant) => {
                callers.push(&**of_tenant);
                continue;
            }
            Entry::Habits(of_site) => {
                habits.push(&**of_site);
                continue;
            }
            Entry::Registered(registered_now) => {
                // The last word of a user in this batch is the one that counts.
                let user = (&registered_now.group, &registered_now.user);
                registered.insert(user, &registered_now.bindings);
                continue;
            }
        };
        last_seen = last_seen.max(at.as_micros());
    }
    in_chunks(connection, INSERT_STARTED, &started, bind_started, IF_NEW).await?;
    in_chunks(
        connection,
        UPDATE_ANSWERED,
        &answered,
        bind_answered,
        WHERE_ANSWERED,
    )
    .await?;
    in_chunks(connection, DELETE_OPEN, &ended, bind_key, ")").await?;
    in_chunks(connection, INSERT_ENDED, &ended, bind_ended, IF_NEW).await?;
    super::registrations::write(connection, registered).await?;
    super::judgements::write(connection, &judged).await?;
    super::callers::write(connection, &callers).await?;
    super::habits::write(connection, &habits).await?;
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
    let closed = sqlx::query(INTERRUPTED)
        .execute(&mut *connection)
        .await?
        .rows_affected();
    sqlx::query("DELETE FROM open_calls")
        .execute(connection)
        .await?;
    Ok(closed)
}

/// Forgets the oldest records that ended before `before`. Records are written as calls end, so the
/// oldest are the first.
pub(super) async fn prune(
    connection: &mut SqliteConnection,
    before: UnixTime,
    limit: u32,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        "DELETE FROM calls WHERE ended < ?1
         AND sequence IN (SELECT sequence FROM calls ORDER BY sequence LIMIT ?2)",
    )
    .bind(before.as_micros())
    .bind(i64::from(limit))
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Runs `head (…), (…) tail` for all rows.
pub(super) async fn in_chunks<T>(
    connection: &mut SqliteConnection,
    head: &'static str,
    mut rows: &[T],
    bind: fn(&mut Values<'_>, &T),
    tail: &'static str,
) -> Result<(), sqlx::Error> {
    while !rows.is_empty() {
        let size = CHUNKS
            .into_iter()
            .find(|size| *size <= rows.len())
            .unwrap_or(1);
        let (chunk, rest) = rows.split_at(size);
        let mut query = QueryBuilder::<Sqlite>::new(head);
        query.push("VALUES ");
        for (index, row) in chunk.iter().enumerate() {
            query.push(if index == 0 { "(" } else { "), (" });
            bind(&mut query.separated(", "), row);
        }
        query.push(") ");
        query.push(tail);
        query.build().execute(&mut *connection).await?;
        rows = rest;
    }
    Ok(())
}

const IF_NEW: &str = "ON CONFLICT DO NOTHING";

const INSERT_STARTED: &str = "
INSERT INTO open_calls
    (id, started, tenant, site, direction, caller, callee, emergency, answered, rule,
     ingress_peer, ingress_call_id, ingress_remote, ingress_transport,
     egress_peer, egress_call_id, egress_remote, egress_transport) ";

fn bind_started(values: &mut Values<'_>, call: &&CallView) {
    values.push_bind(call.id.raw().cast_signed());
    values.push_bind(call.started.as_micros());
    values.push_bind(&call.tenant);
    values.push_bind(&call.site);
    values.push_bind(call.direction.as_str());
    values.push_bind(&call.from);
    values.push_bind(&call.to);
    values.push_bind(call.emergency);
    values.push_bind(call.answered.map(UnixTime::as_micros));
    values.push_bind(&call.rule);
    for leg in [&call.ingress, &call.egress] {
        bind_leg_started(values, leg);
    }
}

fn bind_leg_started(values: &mut Values<'_>, leg: &LegView) {
    values.push_bind(&leg.peer);
    values.push_bind(&leg.call_id);
    values.push_bind(leg.remote.to_string());
    values.push_bind(leg.transport.uri_name());
}

const UPDATE_ANSWERED: &str = "UPDATE open_calls SET answered = new.column2 FROM (";
const WHERE_ANSWERED: &str = ") AS new WHERE open_calls.id = new.column1";

fn bind_answered(values: &mut Values<'_>, (id, at): &(CallId, UnixTime)) {
    values.push_bind(id.raw().cast_signed());
    values.push_bind(at.as_micros());
}

const DELETE_OPEN: &str = "DELETE FROM open_calls WHERE (id, started) IN (";

fn bind_key(values: &mut Values<'_>, cdr: &&Cdr) {
    values.push_bind(cdr.id.raw().cast_signed());
    values.push_bind(cdr.started.as_micros());
}

const INSERT_ENDED: &str = "
INSERT INTO calls
    (id, started, tenant, site, direction, caller, callee, emergency, ringing, answered, ended,
     outcome, status, q850, ended_by, rule, verstat, attestation, origid,
     ingress_peer, ingress_call_id, ingress_local_tag, ingress_remote_tag, ingress_remote,
     ingress_transport, ingress_status, ingress_codec, ingress_srtp, ingress_packets_received,
     ingress_packets_sent, ingress_packets_lost, ingress_packets_refused, ingress_jitter_us,
     ingress_mos, ingress_srtp_refused,
     egress_peer, egress_call_id, egress_local_tag, egress_remote_tag, egress_remote,
     egress_transport, egress_status, egress_codec, egress_srtp, egress_packets_received,
     egress_packets_sent, egress_packets_lost, egress_packets_refused, egress_jitter_us,
     egress_mos, egress_srtp_refused) ";

fn bind_ended(values: &mut Values<'_>, cdr: &&Cdr) {
    bind_key(values, cdr);
    values.push_bind(&cdr.tenant);
    values.push_bind(&cdr.site);
    values.push_bind(cdr.direction.as_str());
    values.push_bind(&cdr.from);
    values.push_bind(&cdr.to);
    values.push_bind(cdr.emergency);
    values.push_bind(cdr.ringing.map(UnixTime::as_micros));
    values.push_bind(cdr.answered.map(UnixTime::as_micros));
    values.push_bind(cdr.ended.as_micros());
    values.push_bind(cdr.outcome.as_str());
    values.push_bind(i64::from(cdr.status));
    values.push_bind(i64::from(cdr.q850));
    values.push_bind(cdr.ended_by.as_str());
    values.push_bind(&cdr.rule);
    let caller = cdr.caller_id.as_ref();
    values.push_bind(caller.map(|caller| caller.verstat.as_str()));
    values.push_bind(
        caller
            .and_then(|caller| caller.attestation)
            .map(Attestation::as_str),
    );
    values.push_bind(caller.and_then(|caller| caller.origid.as_deref()));
    bind_leg(values, Some(&cdr.ingress));
    bind_leg(values, cdr.egress.as_ref());
}

fn bind_leg(values: &mut Values<'_>, leg: Option<&LegRecord>) {
    let media = leg.and_then(|leg| leg.media.as_ref());
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    values.push_bind(leg.map(|leg| leg.peer.as_str()));
    values.push_bind(leg.map(|leg| leg.call_id.as_str()));
    values.push_bind(leg.map(|leg| leg.local_tag.as_str()));
    values.push_bind(leg.map(|leg| leg.remote_tag.as_str()));
    values.push_bind(leg.map(|leg| leg.remote.to_string()));
    values.push_bind(leg.map(|leg| leg.transport.uri_name()));
    values.push_bind(leg.and_then(|leg| leg.status).map(i64::from));
    values.push_bind(media.map(|media| media.codec.as_str()));
    values.push_bind(media.and_then(|media| media.srtp.as_deref()));
    values.push_bind(media.map(|media| count(media.packets_received)));
    values.push_bind(media.map(|media| count(media.packets_sent)));
    values.push_bind(media.map(|media| count(media.packets_lost)));
    values.push_bind(media.map(|media| count(media.packets_refused)));
    values.push_bind(media.map(|media| i64::from(media.jitter_us)));
    values.push_bind(media.and_then(|media| media.mos).map(f64::from));
    values.push_bind(media.map(|media| media.srtp_refused));
}

/// The status is 200 when the caller got one, else 0: none is known. So is the cause. The call
/// ended at the last moment that the earlier process is known to have run.
const INTERRUPTED: &str = "
INSERT INTO calls
    (id, tenant, site, direction, caller, callee, emergency, started, answered, ended,
     outcome, status, q850, ended_by, rule,
     ingress_peer, ingress_call_id, ingress_local_tag, ingress_remote_tag, ingress_remote,
     ingress_transport,
     egress_peer, egress_call_id, egress_local_tag, egress_remote_tag, egress_remote,
     egress_transport)
SELECT id, tenant, site, direction, caller, callee, emergency, started, answered,
       max(started, ifnull(answered, 0), (SELECT at FROM last_seen)),
       'interrupted', iif(answered IS NULL, 0, 200), 0, 'edge', rule,
       ingress_peer, ingress_call_id, '', '', ingress_remote, ingress_transport,
       egress_peer, egress_call_id, '', '', egress_remote, egress_transport
FROM open_calls WHERE true ORDER BY started, id
ON CONFLICT (id, started) DO NOTHING";

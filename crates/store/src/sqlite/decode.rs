//! Queries and their rows. A query about a tenant has the tenant in its text; there is none with a
//! tenant that might be left out.

use std::net::SocketAddr;

use ringfence_base::UnixTime;
use ringfence_control::api::{CallRecord, RecordCallerId, RecordLeg, RecordMedia, Timestamp};
use ringfence_session::call_id::CallId;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::error::QueryError;
use crate::records::Stored;

/// The columns in the order of [`record`], and the end of the query.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT sequence, id, tenant, site, direction, caller, callee, emergency, ",
            "started, ringing, answered, ended, outcome, status, q850, ended_by, rule, ",
            "verstat, attestation, origid, ",
            "ingress_peer, ingress_call_id, ingress_local_tag, ingress_remote_tag, ",
            "ingress_remote, ingress_transport, ingress_status, ingress_codec, ",
            "ingress_srtp, ingress_packets_received, ingress_packets_sent, ",
            "ingress_packets_lost, ingress_packets_refused, ingress_jitter_us, ingress_mos, ",
            "ingress_srtp_refused, ",
            "egress_peer, egress_call_id, egress_local_tag, egress_remote_tag, ",
            "egress_remote, egress_transport, egress_status, egress_codec, egress_srtp, ",
            "egress_packets_received, egress_packets_sent, egress_packets_lost, ",
            "egress_packets_refused, egress_jitter_us, egress_mos, egress_srtp_refused ",
            "FROM calls ",
            $rest
        )
    };
}

pub(super) const RECENT: &str = select!("ORDER BY sequence DESC LIMIT ?1");
pub(super) const RECENT_OF_TENANT: &str =
    select!("WHERE tenant = ?2 ORDER BY sequence DESC LIMIT ?1");
pub(super) const AFTER: &str = select!("WHERE sequence > ?2 ORDER BY sequence LIMIT ?1");
pub(super) const AFTER_OF_TENANT: &str =
    select!("WHERE tenant = ?3 AND sequence > ?2 ORDER BY sequence LIMIT ?1");
pub(super) const BY_ID: &str = select!("WHERE id = ?1 ORDER BY sequence DESC LIMIT 1");
pub(super) const BY_ID_OF_TENANT: &str =
    select!("WHERE id = ?1 AND tenant = ?2 ORDER BY sequence DESC LIMIT 1");

const INGRESS: usize = 20;
const EGRESS: usize = 36;

/// The records of a query's rows.
pub(super) fn all(rows: Result<Vec<SqliteRow>, sqlx::Error>) -> Result<Vec<Stored>, QueryError> {
    let rows = rows.map_err(QueryError::Database)?;
    rows.iter().map(|row| record(&Columns { row })).collect()
}

fn record(row: &Columns<'_>) -> Result<Stored, QueryError> {
    let (started, ended) = (row.time(8)?, row.time(11)?);
    let answered = row.maybe_time(10)?;
    let seconds = answered.map_or(0.0, |answered| {
        (ended.as_micros().saturating_sub(answered.as_micros())).max(0) as f64 / 1e6
    });
    let record = CallRecord {
        id: CallId::from_raw(row.integer(1)?.cast_unsigned()).to_string(),
        tenant: row.text(2)?,
        site: row.text(3)?,
        direction: row.text(4)?,
        from: row.text(5)?,
        to: row.text(6)?,
        emergency: row.integer(7)? != 0,
        started: Timestamp(started),
        ringing: row.maybe_time(9)?.map(Timestamp),
        answered: answered.map(Timestamp),
        ended: Timestamp(ended),
        seconds,
        outcome: row.text(12)?,
        status: row.small(13, "status")?,
        q850: row.small(14, "q850")?,
        ended_by: row.text(15)?,
        rule: row.text(16)?,
        caller_id: caller_id(row)?,
        ingress: leg(row, INGRESS)?.ok_or_else(|| row.damaged("ingress leg"))?,
        egress: leg(row, EGRESS)?,
    };
    Ok(Stored {
        sequence: row.sequence(),
        record,
    })
}

fn caller_id(row: &Columns<'_>) -> Result<Option<RecordCallerId>, QueryError> {
    let Some(verstat) = row.maybe::<String>(17)? else {
        return Ok(None);
    };
    Ok(Some(RecordCallerId {
        verstat,
        attestation: row.maybe(18)?,
        origid: row.maybe(19)?,
    }))
}

fn leg(row: &Columns<'_>, at: usize) -> Result<Option<RecordLeg>, QueryError> {
    let Some(peer) = row.maybe::<String>(at)? else {
        return Ok(None);
    };
    let remote: SocketAddr = row
        .text(at + 4)?
        .parse()
        .map_err(|_| row.damaged("remote address"))?;
    let status = match row.maybe::<i64>(at + 6)? {
        Some(status) => Some(u16::try_from(status).map_err(|_| row.damaged("leg status"))?),
        None => None,
    };
    Ok(Some(RecordLeg {
        peer,
        call_id: row.text(at + 1)?,
        local_tag: row.text(at + 2)?,
        remote_tag: row.text(at + 3)?,
        remote,
        transport: row.text(at + 5)?,
        status,
        media: media(row, at + 7)?,
    }))
}

fn media(row: &Columns<'_>, at: usize) -> Result<Option<RecordMedia>, QueryError> {
    let Some(codec) = row.maybe::<String>(at)? else {
        return Ok(None);
    };
    let mos: Option<f64> = row.maybe(at + 7)?;
    Ok(Some(RecordMedia {
        codec,
        srtp: row.maybe(at + 1)?,
        // Records of older versions have no such column.
        srtp_refused: row.maybe::<i64>(at + 8)?.unwrap_or_default() != 0,
        packets_received: row.integer(at + 2)?.unsigned_abs(),
        packets_sent: row.integer(at + 3)?.unsigned_abs(),
        packets_lost: row.integer(at + 4)?.unsigned_abs(),
        packets_refused: row.integer(at + 5)?.unsigned_abs(),
        jitter_ms: row.integer(at + 6)? as f64 / 1e3,
        mos: mos.map(|mos| (mos * 100.0).round() / 100.0),
    }))
}

/// A row by column numbers.
struct Columns<'r> {
    row: &'r SqliteRow,
}

impl Columns<'_> {
    fn maybe<'r, T>(&'r self, index: usize) -> Result<Option<T>, QueryError>
    where
        T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        self.row.try_get(index).map_err(QueryError::Database)
    }

    fn integer(&self, index: usize) -> Result<i64, QueryError> {
        self.row.try_get(index).map_err(QueryError::Database)
    }

    fn text(&self, index: usize) -> Result<String, QueryError> {
        self.row.try_get(index).map_err(QueryError::Database)
    }

    fn time(&self, index: usize) -> Result<UnixTime, QueryError> {
        self.integer(index).map(UnixTime::from_micros)
    }

    fn maybe_time(&self, index: usize) -> Result<Option<UnixTime>, QueryError> {
        Ok(self.maybe::<i64>(index)?.map(UnixTime::from_micros))
    }

    fn small<T: TryFrom<i64>>(&self, index: usize, name: &'static str) -> Result<T, QueryError> {
        T::try_from(self.integer(index)?).map_err(|_| self.damaged(name))
    }

    fn sequence(&self) -> i64 {
        self.integer(0).unwrap_or_default()
    }

    fn damaged(&self, column: &'static str) -> QueryError {
        QueryError::Damaged {
            sequence: self.sequence(),
            column,
        }
    }
}

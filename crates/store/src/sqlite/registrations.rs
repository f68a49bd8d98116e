//! Registrations of phones: what a restart must not forget.
//!
//! The listener is kept by its number. A configuration that renumbers listeners gives a binding a
//! wrong way until the phone registers again, which it does within its lifetime.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use ringfence_base::{Flow, ListenerId, Transport, UnixTime};
use ringfence_session::registrar::line::Binding;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection, SqlitePool};

use crate::entry::Registered;
use crate::error::QueryError;

/// Puts the bindings of each user in the place of those that it had.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    registered: BTreeMap<(&String, &String), &Vec<Binding>>,
) -> Result<(), sqlx::Error> {
    for ((group, user), bindings) in registered {
        sqlx::query("DELETE FROM registrations WHERE phones = ?1 AND user = ?2")
            .bind(group)
            .bind(user)
            .execute(&mut *connection)
            .await?;
        for binding in bindings {
            sqlx::query(INSERT)
                .bind(group)
                .bind(user)
                .bind(&*binding.contact)
                .bind(&*binding.call_id)
                .bind(i64::from(binding.cseq))
                .bind(binding.path.as_deref())
                .bind(binding.instance.as_deref())
                .bind(i64::from(binding.reg_id))
                .bind(binding.user_agent.as_deref())
                .bind(binding.flow.listener.raw().to_string())
                .bind(binding.flow.transport.uri_name())
                .bind(binding.flow.remote.to_string())
                .bind(binding.expires.as_micros())
                .bind(binding.refreshed.as_micros())
                .execute(&mut *connection)
                .await?;
        }
    }
    Ok(())
}

/// All of them, by group and user.
pub(super) async fn read(readers: &SqlitePool) -> Result<Vec<Registered>, QueryError> {
    let rows = sqlx::query(SELECT).fetch_all(readers).await;
    let mut all: Vec<Registered> = Vec::new();
    for row in rows.map_err(QueryError::Database)? {
        let (group, user, binding) = decode(&row).map_err(QueryError::Database)?;
        match all.last_mut() {
            Some(last) if last.group == group && last.user == user => last.bindings.push(binding),
            _ => all.push(Registered {
                group,
                user,
                bindings: vec![binding],
            }),
        }
    }
    Ok(all)
}

fn decode(row: &SqliteRow) -> Result<(String, String, Binding), sqlx::Error> {
    let text = |column: &str| row.try_get::<String, _>(column);
    let optional = |column: &str| row.try_get::<Option<String>, _>(column);
    let number = |column: &str| row.try_get::<i64, _>(column);
    let wrong = |column: &str| sqlx::Error::ColumnNotFound(format!("a good {column}"));
    let remote: SocketAddr = text("remote")?.parse().map_err(|_| wrong("remote"))?;
    let listener: u8 = text("listener")?.parse().map_err(|_| wrong("listener"))?;
    let transport = Transport::parse(text("transport")?.as_bytes());
    let narrow = |value: i64, column: &str| u32::try_from(value).map_err(|_| wrong(column));
    let binding = Binding {
        contact: text("contact")?.into(),
        call_id: text("call_id")?.into(),
        cseq: narrow(number("cseq")?, "cseq")?,
        path: optional("path")?.map(Into::into),
        instance: optional("instance")?.map(Into::into),
        reg_id: narrow(number("reg_id")?, "reg_id")?,
        user_agent: optional("user_agent")?.map(Into::into),
        flow: Flow {
            listener: ListenerId::new(listener),
            transport: transport.ok_or_else(|| wrong("transport"))?,
            remote,
            connection: None,
        },
        flow_lost: false,
        expires: UnixTime::from_micros(number("expires")?),
        refreshed: UnixTime::from_micros(number("refreshed")?),
    };
    Ok((text("phones")?, text("user")?, binding))
}

const INSERT: &str = "INSERT INTO registrations (phones, user, contact, call_id, cseq, path, \
    instance, reg_id, user_agent, listener, transport, remote, expires, refreshed) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";

const SELECT: &str = "SELECT * FROM registrations ORDER BY phones, user, refreshed";

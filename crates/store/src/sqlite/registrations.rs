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

use super::write::{Values, in_chunks};
use crate::entry::Registered;
use crate::error::QueryError;

/// Puts the bindings of each user in the place of those that it had. Many users at a time, since a
/// statement costs more than its row and an office comes back all at once.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    registered: BTreeMap<(&String, &String), &Vec<Binding>>,
) -> Result<(), sqlx::Error> {
    let users: Vec<(&String, &String)> = registered.keys().copied().collect();
    in_chunks(connection, DELETE, &users, bind_user, ")").await?;
    let rows: Vec<(&String, &String, &Binding)> = registered
        .into_iter()
        .flat_map(|((group, user), bindings)| bindings.iter().map(move |one| (group, user, one)))
        .collect();
    in_chunks(connection, INSERT, &rows, bind_binding, "").await
}

fn bind_user(values: &mut Values<'_>, (group, user): &(&String, &String)) {
    values
        .push_bind((*group).clone())
        .push_bind((*user).clone());
}

fn bind_binding(values: &mut Values<'_>, (group, user, binding): &(&String, &String, &Binding)) {
    bind_user(values, &(*group, *user));
    let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
    values
        .push_bind(binding.contact.to_string())
        .push_bind(binding.call_id.to_string())
        .push_bind(i64::from(binding.cseq))
        .push_bind(text(&binding.path))
        .push_bind(text(&binding.instance))
        .push_bind(i64::from(binding.reg_id))
        .push_bind(i64::from(binding.q))
        .push_bind(text(&binding.user_agent))
        .push_bind(binding.flow.listener.raw().to_string())
        .push_bind(binding.flow.transport.uri_name())
        .push_bind(binding.flow.remote.to_string())
        .push_bind(binding.expires.as_micros())
        .push_bind(binding.refreshed.as_micros());
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
        q: u16::try_from(number("q")?).map_err(|_| wrong("q"))?,
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

const DELETE: &str = "DELETE FROM registrations WHERE (phones, user) IN (";

const INSERT: &str = "INSERT INTO registrations (phones, user, contact, call_id, cseq, path, \
    instance, reg_id, q, user_agent, listener, transport, remote, expires, refreshed) ";

const SELECT: &str = "SELECT * FROM registrations ORDER BY phones, user, refreshed";

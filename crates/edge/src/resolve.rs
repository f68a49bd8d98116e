//! Names of peers to addresses, off the data path (RFC 3263).
//!
//! What to ask and what to make of it is [`Selection`]'s affair; here are the questions themselves,
//! on a thread of their own with a bound on the time. A chain of CNAMEs is followed for at most
//! eight steps; the library sees to that.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use ringfence_session::failover::Rank;
use ringfence_session::targets::{Answer, Naptr, Query, Selection, Srv, Targets, Wanted};

/// How long a name may take with all that it leads to.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one name server may take for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Finds `wanted` by the name servers `servers`, or the system's if there are none. Waits at most
/// [`RESOLVE_TIMEOUT`].
pub fn resolve(servers: &[SocketAddr], wanted: &Wanted) -> io::Result<Targets> {
    let (servers, wanted) = (servers.to_vec(), wanted.clone());
    let (answer, answered) = sync_channel(1);
    std::thread::Builder::new()
        .name("rf-resolve".to_owned())
        .spawn(move || {
            // One who waits no longer is no error.
            let _ = answer.send(look_up(&servers, wanted));
        })?;
    answered
        .recv_timeout(RESOLVE_TIMEOUT)
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in 10 s")))
}

fn look_up(servers: &[SocketAddr], wanted: Wanted) -> io::Result<Targets> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let resolver = resolver(servers).map_err(io::Error::other)?;
        let ipv4 = wanted.ipv4;
        let mut selection = Selection::new(wanted);
        while let Some(query) = selection.poll_query() {
            let answer = match ask(&resolver, &query, ipv4).await {
                Ok(answer) => Some(answer),
                Err(error) => {
                    tracing::debug!(?query, %error, "a name server failed");
                    None
                }
            };
            selection.handle_answer(&query, answer);
        }
        selection.finish().map_err(io::Error::other)
    })
}

fn resolver(servers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    let mut builder = if servers.is_empty() {
        TokioResolver::builder_tokio()?
    } else {
        let servers = servers.iter().map(|server| {
            let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
            for connection in &mut connections {
                connection.port = server.port();
            }
            NameServerConfig::new(server.ip(), true, connections)
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let options = builder.options_mut();
    options.timeout = ANSWER_TIMEOUT;
    options.attempts = 2;
    builder.build()
}

/// Asks one question. That there is no such record is an answer too.
async fn ask(
    resolver: &TokioResolver,
    query: &Query,
    ipv4: bool,
) -> Result<(Answer, Duration), NetError> {
    // The names of NAPTR and SRV are whole names; a host may be one of the local domain.
    let (name, kind) = match query {
        Query::Addresses(name) if ipv4 => (name.clone(), RecordType::A),
        Query::Addresses(name) => (name.clone(), RecordType::AAAA),
        Query::Naptr(name) => (whole(name), RecordType::NAPTR),
        Query::Srv(name) => (whole(name), RecordType::SRV),
    };
    let lookup = match kind {
        // This one knows the hosts file.
        RecordType::A | RecordType::AAAA => match resolver.lookup_ip(name).await {
            Ok(found) => Some(found.as_lookup().clone()),
            Err(error) if error.is_no_records_found() => None,
            Err(error) => return Err(error),
        },
        kind => match resolver.lookup(name, kind).await {
            Ok(found) => Some(found),
            Err(error) if error.is_no_records_found() => None,
            Err(error) => return Err(error),
        },
    };
    let records = lookup.iter().flat_map(|lookup| lookup.answers());
    let ttl = records.clone().map(|record| record.ttl).min();
    let data = records.map(|record| &record.data);
    let answer = match query {
        Query::Addresses(_) => Answer::Addresses(data.filter_map(RData::ip_addr).collect()),
        Query::Naptr(_) => Answer::Naptr(data.filter_map(naptr).collect()),
        Query::Srv(_) => Answer::Srv(data.filter_map(srv).collect()),
    };
    Ok((answer, Duration::from_secs(ttl.unwrap_or_default().into())))
}

fn naptr(data: &RData) -> Option<Naptr> {
    let RData::NAPTR(record) = data else {
        return None;
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    // A record with an expression is no plain replacement.
    record.regexp.is_empty().then(|| Naptr {
        order: record.order,
        preference: record.preference,
        flags: text(&record.flags),
        service: text(&record.services),
        replacement: record.replacement.to_ascii(),
    })
}

fn srv(data: &RData) -> Option<Srv> {
    let RData::SRV(record) = data else {
        return None;
    };
    Some(Srv {
        rank: Rank {
            priority: record.priority,
            weight: record.weight,
        },
        port: record.port,
        target: record.target.to_ascii(),
    })
}

fn whole(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_base::Transport;

    #[test]
    fn the_hosts_own_name_has_an_address() {
        let wanted = Wanted {
            host: "localhost".to_owned(),
            port: Some(5070),
            transport: None,
            supported: vec![Transport::Udp],
            ipv4: true,
            keep_on_failure: false,
        };
        let targets = resolve(&[], &wanted).unwrap();
        assert_eq!(targets.addresses, ["127.0.0.1:5070".parse().unwrap()]);
    }
}

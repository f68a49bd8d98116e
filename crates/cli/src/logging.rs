//! Logs: structured, to standard error, off the data path.

use std::io::IsTerminal;

use ringfence_base::UnixTime;
use ringfence_control::api::Timestamp;
use ringfence_control::config::{Edge, LogFormat};
use tracing_subscriber::EnvFilter;

use crate::log_writer::{LogGuard, LogWriter};

/// Starts logging as the configuration says; `RINGFENCE_LOG` overrides its filter. The last lines
/// are written when the guard is dropped.
pub(crate) fn start(edge: &Edge) -> anyhow::Result<LogGuard> {
    let filter = std::env::var("RINGFENCE_LOG").unwrap_or_else(|_| edge.log.clone());
    let filter = EnvFilter::try_new(&filter)
        .map_err(|error| anyhow::anyhow!("the log filter \"{filter}\" is not one: {error}"))?;
    let lost_line = match edge.log_format {
        LogFormat::Json => lost_json,
        LogFormat::Text => lost_text,
    };
    let (writer, guard) = LogWriter::start(std::io::stderr(), lost_line)?;
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(!plain && std::io::stderr().is_terminal())
        .with_writer(writer);
    match edge.log_format {
        LogFormat::Json => builder.json().init(),
        LogFormat::Text => builder.with_target(false).init(),
    }
    Ok(guard)
}

fn lost_text(count: u64) -> String {
    format!(
        "{} WARN log lines lost, their reader is too slow lost={count}\n",
        now()
    )
}

fn lost_json(count: u64) -> String {
    let fields = serde_json::json!({
        "message": "log lines lost, their reader is too slow", "lost": count,
    });
    let line = serde_json::json!({ "timestamp": now(), "level": "WARN", "fields": fields });
    format!("{line}\n")
}

fn now() -> String {
    let now = jiff::Timestamp::now().as_microsecond();
    Timestamp(UnixTime::from_micros(now)).to_string()
}

//! Logs: structured, to standard error.

use ringfence_control::config::{Edge, LogFormat};
use tracing_subscriber::EnvFilter;

/// Starts logging as the configuration says; `RINGFENCE_LOG` overrides its filter.
pub(crate) fn start(edge: &Edge) -> anyhow::Result<()> {
    let filter = std::env::var("RINGFENCE_LOG").unwrap_or_else(|_| edge.log.clone());
    let filter = EnvFilter::try_new(&filter)
        .map_err(|error| anyhow::anyhow!("the log filter \"{filter}\" is not one: {error}"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match edge.log_format {
        LogFormat::Json => builder.json().init(),
        LogFormat::Text => builder.with_target(false).init(),
    }
    Ok(())
}

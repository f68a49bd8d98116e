//! `ringfence run`.

use std::path::Path;

use anyhow::Context;
use ringfence_control::config;
use ringfence_edge::{Edge, Options};

use crate::{Exit, logging};

/// Runs the edge until it is told to end.
pub(crate) fn run(file: &Path) -> anyhow::Result<Exit> {
    let loaded = config::load(file)?;
    let _log = logging::start(&loaded.config.edge)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let options = Options {
        signals: true,
        warnings: loaded.warnings.iter().map(ToString::to_string).collect(),
        ..Options::default()
    };
    let edge = Edge::start(loaded.config, options).context("the edge does not start")?;
    tracing::info!(control = %edge.control_path().display(), "running");
    edge.join();
    tracing::info!("ended");
    Ok(Exit::Ok)
}

//! From a configuration to what workers are given, at start and at each reload.

use std::sync::Arc;

use ringfence_control::api::{ChangeView, Reload as ReloadReport};
use ringfence_control::config::{Config, ConfigError};
use ringfence_control::diff::{Effect, applicable, diff};
use ringfence_session::plan::Plan;

use super::shared::{Applied, Shared, WorkerSilent};
use crate::clock::unix_now;
use crate::resolve::resolve;
use crate::sources::Sources;
use crate::tls::TlsContext;
use crate::tls::build::TlsError;
use crate::worker::mailbox::Reload;

/// A configuration made ready to run.
pub(crate) struct Prepared {
    pub(crate) reload: Reload,
    pub(crate) unresolved: Vec<String>,
}

/// Resolves names, reads certificates, compiles. `before` is the plan in use, whose counters go
/// on. Blocks on the resolver and the disk.
pub(crate) fn prepare(config: &Config, before: Option<&Plan>) -> Result<Prepared, TlsError> {
    let compiled = ringfence_control::compile(config, &resolve);
    let unresolved: Vec<String> = compiled
        .unresolved
        .iter()
        .map(ToString::to_string)
        .collect();
    for fault in &unresolved {
        tracing::warn!(
            fault,
            "a peer cannot be reached until its name has an address"
        );
    }
    let mut plan = compiled.plan;
    if let Some(before) = before {
        plan.adopt_usage(before);
    }
    let tls = Arc::new(TlsContext::load(config, &plan)?);
    let sources = Arc::new(Sources::new(&plan));
    Ok(Prepared {
        reload: Reload {
            plan: Arc::new(plan),
            sources,
            tls,
        },
        unresolved,
    })
}

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The file is faulty.
    #[error("the configuration file has errors")]
    Config(#[source] ConfigError),
    /// A certificate or key cannot be used.
    #[error("TLS cannot be set up")]
    Tls(#[source] TlsError),
    /// A worker stands still.
    #[error("not every worker took the new configuration")]
    Worker(#[source] WorkerSilent),
}

impl Shared {
    /// Reads the configuration file again and applies it.
    pub(crate) fn reload_file(&self) -> Result<ReloadReport, ReloadError> {
        let file = self.applied.load().config.file.clone();
        match ringfence_control::load(&file) {
            Ok(loaded) => {
                let warnings = loaded.warnings.iter().map(ToString::to_string).collect();
                let mut report = self.reload(loaded.config, warnings)?;
                report.diagnostics = loaded.warnings;
                Ok(report)
            }
            Err(error) => Err(ReloadError::Config(error)),
        }
    }

    /// Applies `wanted` as far as it can be without a restart. No call is dropped.
    pub(crate) fn reload(
        &self,
        wanted: Config,
        warnings: Vec<String>,
    ) -> Result<ReloadReport, ReloadError> {
        let _one_at_a_time = self
            .reloading
            .lock()
            .unwrap_or_else(|poison| poison.into_inner());
        let applied = self.applied.load_full();
        let changes = diff(&applied.config, &wanted);
        let config = applicable(&applied.config, &wanted);
        let prepared = prepare(&config, Some(&applied.plan)).map_err(ReloadError::Tls)?;
        let plan = Arc::clone(&prepared.reload.plan);
        self.tell_reload(&prepared.reload)
            .map_err(ReloadError::Worker)?;
        let waiting = changes
            .iter()
            .filter(|change| change.effect == Effect::Restart);
        self.applied.store(Arc::new(Applied {
            config: Arc::new(config),
            plan,
            at: unix_now(),
            waiting_for_restart: waiting.map(ToString::to_string).collect(),
            unresolved: !prepared.unresolved.is_empty(),
            warnings: warnings.into_iter().chain(prepared.unresolved).collect(),
        }));
        for change in &changes {
            tracing::info!(%change, "configuration changed");
        }
        Ok(ReloadReport {
            applied: true,
            changes: changes.iter().map(ChangeView::from).collect(),
            diagnostics: Vec::new(),
        })
    }

    /// Tries the names that had no address again.
    pub(crate) fn resolve_again(&self) {
        let applied = self.applied.load_full();
        if applied.unresolved {
            let config = Config::clone(&applied.config);
            if let Err(error) = self.reload(config, Vec::new()) {
                tracing::warn!(%error, "names could not be resolved again");
            }
        }
    }
}

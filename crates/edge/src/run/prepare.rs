//! From a configuration to what workers are given, at start and at each reload.

use std::sync::Arc;
use std::time::Duration;

use ringfence_base::UnixTime;
use ringfence_control::api::{ChangeView, Reload as ReloadReport};
use ringfence_control::compile::Compiled;
use ringfence_control::config::{Config, ConfigError};
use ringfence_control::diff::{Effect, applicable, diff};
use ringfence_session::plan::{self, Plan};
use ringfence_session::targets::{Targets, Wanted};

use super::shared::{Applied, Shared, WorkerSilent};
use crate::clock::unix_now;
use crate::judge::Work;
use crate::resolve::resolve;
use crate::sources::Sources;
use crate::tls::TlsContext;
use crate::tls::build::TlsError;
use crate::worker::mailbox::Reload;

/// A configuration made ready to run.
pub(crate) struct Prepared {
    pub(crate) reload: Reload,
    pub(crate) unresolved: Vec<String>,
    /// When names are to be looked up again.
    pub(crate) resolve_at: Option<UnixTime>,
}

/// Resolves names, reads certificates, compiles. `before` is the plan in use, whose counters go
/// on, and whose addresses stay where the name servers fail. Blocks on the resolver and the disk.
pub(crate) fn prepare(config: &Config, before: Option<&Plan>) -> Result<Prepared, TlsError> {
    finish(config, before, resolved(config, before))
}

/// The plan of `config`, with names resolved.
fn resolved(config: &Config, before: Option<&Plan>) -> Compiled {
    let ask = |wanted: &Wanted| {
        let kept = before.and_then(|before| last_good(before, wanted));
        let wanted = Wanted {
            keep_on_failure: kept.is_some(),
            ..wanted.clone()
        };
        let found = resolve(&config.edge.dns, &wanted);
        match (found, kept) {
            (Err(error), Some(kept)) => {
                tracing::warn!(host = wanted.host, %error,
                    "a name cannot be resolved; its last addresses are kept");
                Ok(kept)
            }
            (found, _) => found,
        }
    };
    ringfence_control::compile(config, &ask)
}

/// What `plan` knows of a name.
fn last_good(plan: &Plan, wanted: &Wanted) -> Option<Targets> {
    let same = |peer: &&plan::Peer| {
        peer.host == wanted.host
            && peer.port == wanted.port
            && wanted
                .transport
                .is_none_or(|transport| transport == peer.transport)
            && wanted.supported.contains(&peer.transport)
            && !peer.addresses.is_empty()
    };
    let peer = plan.peers.iter().find(same)?;
    Some(Targets {
        transport: peer.transport,
        addresses: peer.addresses.clone(),
        ranks: peer.ranks.clone(),
        ttl: RETRY,
    })
}

/// How soon names are tried again whose name servers failed.
const RETRY: Duration = Duration::from_secs(30);

fn finish(
    config: &Config,
    before: Option<&Plan>,
    compiled: Compiled,
) -> Result<Prepared, TlsError> {
    let resolve_at = resolve_at(&compiled);
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
        resolve_at,
    })
}

/// When the names of `compiled` are to be looked up again.
fn resolve_at(compiled: &Compiled) -> Option<UnixTime> {
    let retry = (!compiled.unresolved.is_empty()).then_some(RETRY);
    let wait = [compiled.ttl, retry].into_iter().flatten().min()?;
    let micros = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
    Some(UnixTime::from_micros(
        unix_now().as_micros().saturating_add(micros),
    ))
}

/// Whether two plans of one configuration know the same addresses.
fn same_places(one: &Plan, other: &Plan) -> bool {
    let places = |peer: &plan::Peer| (peer.transport, peer.addresses.clone(), peer.ranks.clone());
    one.peers
        .iter()
        .map(places)
        .eq(other.peers.iter().map(places))
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
        self.reload_with(wanted, warnings, None)
    }

    /// The same with names that are resolved already, if `compiled` has them.
    fn reload_with(
        &self,
        wanted: Config,
        warnings: Vec<String>,
        compiled: Option<Compiled>,
    ) -> Result<ReloadReport, ReloadError> {
        let _one_at_a_time = self
            .reloading
            .lock()
            .unwrap_or_else(|poison| poison.into_inner());
        let applied = self.applied.load_full();
        let changes = diff(&applied.config, &wanted);
        let config = applicable(&applied.config, &wanted);
        let compiled = compiled.unwrap_or_else(|| resolved(&config, Some(&applied.plan)));
        let prepared = finish(&config, Some(&applied.plan), compiled).map_err(ReloadError::Tls)?;
        let plan = Arc::clone(&prepared.reload.plan);
        self.callers.prepare(&plan);
        self.tell_reload(&prepared.reload)
            .map_err(ReloadError::Worker)?;
        let judge = &self.judge;
        judge.send(Work::Plan(
            Arc::clone(&plan),
            config.detect,
            config.scenarios.clone(),
        ));
        judge.send(Work::Lists(config.lists()));
        let waiting = changes
            .iter()
            .filter(|change| change.effect == Effect::Restart);
        self.applied.store(Arc::new(Applied {
            config: Arc::new(config),
            plan,
            at: unix_now(),
            waiting_for_restart: waiting.map(ToString::to_string).collect(),
            unresolved: !prepared.unresolved.is_empty(),
            resolve_at: prepared.resolve_at,
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

    /// Looks up again the names that are due. Workers hear of it only if something changed.
    pub(crate) fn resolve_again(&self) {
        let applied = self.applied.load_full();
        let config = Config::clone(&applied.config);
        let compiled = resolved(&config, Some(&applied.plan));
        if same_places(&compiled.plan, &applied.plan) {
            let next = resolve_at(&compiled);
            let _one_at_a_time = self
                .reloading
                .lock()
                .unwrap_or_else(|poison| poison.into_inner());
            // A reload in between has looked them up itself.
            if Arc::ptr_eq(&self.applied.load_full(), &applied) {
                self.applied.store(Arc::new(Applied {
                    config: Arc::clone(&applied.config),
                    plan: Arc::clone(&applied.plan),
                    at: applied.at,
                    waiting_for_restart: applied.waiting_for_restart.clone(),
                    warnings: applied.warnings.clone(),
                    unresolved: applied.unresolved,
                    resolve_at: next,
                }));
            }
            return;
        }
        tracing::info!("a peer's name leads to other addresses than before");
        if let Err(error) = self.reload_with(config, Vec::new(), Some(compiled)) {
            tracing::warn!(%error, "new addresses could not be taken over");
        }
    }
}

//! Certificates by ACME (RFC 8555), renewed while the edge runs.
//!
//! One task looks after the listeners with `acme = { … }`: it orders a certificate when there is
//! none for their domains, and a new one at two thirds of its life, and applies it as a reload does, so
//! that no call is dropped. Until the first one is there, a listener shows one that it signed
//! itself. Failures are told by the status and the doctor, and tried again ever more rarely.
//!
//! Left out on purpose: tls-alpn-01 and dns-01, which want a port or a credential of their own,
//! and renewal information (RFC 9773).

mod client;
mod folder;
mod order;
mod responder;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ringfence_base::{Entropy, UnixTime};
use ringfence_control::api::Timestamp;
use ringfence_control::config::Config;

use crate::clock::unix_now;
use crate::entropy::SystemEntropy;
use crate::run::shared::Shared;
use folder::Folder;

/// How often it is asked whether an order is due.
const LOOK: Duration = Duration::from_secs(1);
/// After the first failure, and the most. Authorities count failures and lock out who has many.
const RETRY_FIRST: Duration = Duration::from_secs(5 * 60);
const RETRY_MOST: Duration = Duration::from_secs(12 * 3_600);
/// An order that takes longer has failed.
const ORDER_MAX: Duration = Duration::from_secs(180);

/// What went wrong last, by listener: for the status.
pub(crate) type Faults = BTreeMap<String, String>;

/// One listener's way to its next certificate.
#[derive(Default)]
struct Standing {
    failures: u32,
    /// Not before this time, after a failure.
    retry_at: Option<UnixTime>,
    /// Chance, drawn once a certificate: renewals of many edges do not fall together.
    jitter: Option<(UnixTime, u64)>,
}

/// Keeps the certificates of all listeners, as long as the runtime lasts.
pub(crate) async fn keep(shared: Arc<Shared>) {
    let mut standings: BTreeMap<String, Standing> = BTreeMap::new();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let config = Arc::clone(&shared.applied.load().config);
        for listen in &config.listeners {
            let Some(acme) = &listen.acme else { continue };
            let standing = standings.entry(listen.name.clone()).or_default();
            let folder = Folder::new(&config, listen);
            if !standing.is_due(&folder, acme) {
                continue;
            }
            let ordered = tokio::time::timeout(ORDER_MAX, order::obtain(acme, &folder)).await;
            let result = match ordered {
                Ok(Ok(())) => apply(&shared).await,
                Ok(Err(error)) => Err(chain(&error)),
                Err(_) => Err("the authority takes too long".to_owned()),
            };
            standing.note(&shared, &listen.name, result);
        }
    }
}

impl Standing {
    fn is_due(&mut self, folder: &Folder, acme: &ringfence_control::config::Acme) -> bool {
        let now = unix_now();
        if self.retry_at.is_some_and(|at| now < at) {
            return false;
        }
        let Some((begins, ends)) = folder.validity(acme) else {
            return true;
        };
        let life = ends.as_micros().saturating_sub(begins.as_micros()).max(0);
        let (_, chance) = *match &mut self.jitter {
            Some(drawn) if drawn.0 == ends => drawn,
            other => other.insert((ends, SystemEntropy::new().next_u64())),
        };
        // Two thirds, and up to a thirtieth more.
        let spread = (life / 30).max(1) as u64;
        let due = begins.as_micros() + life / 3 * 2 + (chance % spread) as i64;
        now.as_micros() >= due
    }

    fn note(&mut self, shared: &Shared, listen: &str, result: Result<(), String>) {
        let mut faults = shared.acme_faults();
        match result {
            Ok(()) => {
                *self = Standing::default();
                faults.remove(listen);
                tracing::info!(listen, "a new certificate is in use");
            }
            Err(why) => {
                let wait = backoff(self.failures);
                self.failures = self.failures.saturating_add(1);
                let micros = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
                let at = UnixTime::from_micros(unix_now().as_micros().saturating_add(micros));
                self.retry_at = Some(at);
                let said = format!(
                    "listen.{listen}.acme: no new certificate: {why}; tried again at {}",
                    Timestamp(at)
                );
                tracing::warn!("{said}");
                faults.insert(listen.to_owned(), said);
            }
        }
    }
}

/// Twice as long after each failure, and a little more or less.
fn backoff(failures: u32) -> Duration {
    let doubled = RETRY_FIRST.saturating_mul(1 << failures.min(16));
    let most = doubled.min(RETRY_MOST);
    let spread = (most.as_millis() as u64 / 8).max(1);
    most - Duration::from_millis(SystemEntropy::new().next_u64() % spread)
}

/// The same configuration again: TLS reads its files anew, and calls go on.
async fn apply(shared: &Arc<Shared>) -> Result<(), String> {
    let shared = Arc::clone(shared);
    let work = move || {
        let applied = shared.applied.load_full();
        shared.reload(Config::clone(&applied.config), applied.of_the_file())
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(chain(&error)),
        Err(_) => Err("the reload failed".to_owned()),
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_tried_again_ever_more_rarely() {
        for (failures, most) in [(0, 300), (1, 600), (4, 4_800), (8, 43_200), (99, 43_200)] {
            let wait = backoff(failures).as_secs_f64();
            let most = f64::from(most);
            assert!(wait <= most && wait >= most * 0.87, "{failures}: {wait}");
        }
    }
}

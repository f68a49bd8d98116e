//! Known callers, and what is usual at a site, over a restart: read before the first call, written down while the edge runs.
//!
//! Numbers are kept as hashes under a key that lies in a file of its own beside the database: who has
//! the one and not the other has no numbers. A lost key makes everybody a stranger; nothing else.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use ringfence_base::{Entropy, HashKey, UnixTime};
use ringfence_detect::event::SiteRef;
use ringfence_session::line_guard::{Lines, tenant_lines};
use ringfence_session::plan::{Plan, Tenant};
use ringfence_store::{Callers, Habits, Records, SqliteRecords};
use tokio::runtime::Runtime;

use crate::clock::unix_now;
use crate::entropy::SystemEntropy;
use crate::judge::{JudgeSender, SILENCE, Work};
use crate::records::RecordSender;

/// The file of the key, in the folder for data.
const KEY: &str = "callers.key";
const KEY_BYTES: usize = 16;
/// What is lost with the key.
const ANEW: &str = "callers are learned anew";
/// How often changes are written down: what SIGKILL may cost.
pub(crate) const SAVE_INTERVAL: Duration = Duration::from_secs(30);
/// Callers of one entry of the queue.
const ENTRY_CALLERS: usize = 512;
/// Who was last heard of so long ago has faded away, whatever his weight was.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(2 * 366 * 24 * 3600);

/// What is learned of how many strangers call a site, as records name it.
const STRANGERS: &str = "strangers";

/// Keeps known callers, and what is usual at a site.
pub(crate) struct CallersKeeper {
    key: HashKey,
    records: RecordSender,
}

impl CallersKeeper {
    /// With the key in `data`, made at the first start.
    ///
    /// # Errors
    /// The key cannot be read or made, or others can read it.
    pub(super) fn open(data: &Path, records: RecordSender) -> io::Result<CallersKeeper> {
        let key = read_or_make(&data.join(KEY), ANEW)?;
        Ok(CallersKeeper { key, records })
    }

    /// Gives each tenant of `plan` its table, before a worker makes one under a key of its own.
    pub(crate) fn prepare(&self, plan: &Plan) {
        for tenant in &plan.tenants {
            if let Some(lines) = lines_of(plan, tenant) {
                lines.restore_callers(self.key, []);
            }
        }
    }

    /// Takes back what was written down. Says what cannot be read; the edge starts all the same.
    pub(super) fn restore(&self, runtime: &Runtime, store: &SqliteRecords, plan: &Plan) {
        self.prepare(plan);
        let micros = FORGOTTEN_AFTER.as_micros() as i64;
        let forgotten = UnixTime::from_micros(unix_now().as_micros().saturating_sub(micros));
        let kept = match runtime.block_on(store.callers(forgotten)) {
            Ok(kept) => kept,
            Err(error) => return tracing::warn!(%error, "known callers cannot be read"),
        };
        for Callers { tenant, kept } in kept {
            let tenant = plan.tenants.iter().find(|own| own.key == tenant);
            if let Some(lines) = tenant.and_then(|tenant| lines_of(plan, tenant)) {
                tracing::info!(callers = kept.len(), "callers are known from before");
                lines.restore_callers(self.key, kept);
            }
        }
    }

    /// Takes back what was learned of sites.
    pub(super) fn restore_habits(
        runtime: &Runtime,
        store: &SqliteRecords,
        plan: &Plan,
        judge: &JudgeSender,
    ) {
        let habits = match runtime.block_on(store.habits()) {
            Ok(habits) => habits,
            Err(error) => return tracing::warn!(%error, "what is usual cannot be read"),
        };
        for Habits { site, what, state } in habits {
            let Some(place) = plan.sites.iter().position(|own| own.key == site) else {
                continue;
            };
            match (what.as_str(), plan.sites.get(place)) {
                (STRANGERS, Some(own)) => {
                    if let Err(error) = own.usage.lines.restore_habits(state) {
                        tracing::warn!(%error, site, "how many strangers call is learned anew");
                    }
                }
                (SILENCE, Some(_)) => {
                    judge.send(Work::Habits(SiteRef::new(place as u16), state));
                }
                // Of a later version.
                _ => {}
            }
        }
    }

    /// The key of all tables.
    pub(crate) const fn key(&self) -> HashKey {
        self.key
    }

    /// Where the tenant's table is; none without a site.
    pub(crate) fn lines<'a>(&self, plan: &'a Plan, tenant: &Tenant) -> Option<&'a Lines> {
        lines_of(plan, tenant)
    }

    /// How many numbers are remembered for a tenant.
    pub(crate) fn remembered(&self, plan: &Plan, tenant: &Tenant) -> usize {
        lines_of(plan, tenant).map_or(0, Lines::callers_remembered)
    }

    /// Hands what has changed to the writer of records. What finds no room waits for the next time.
    pub(crate) fn save(&self, plan: &Plan) {
        for tenant in &plan.tenants {
            let Some(lines) = lines_of(plan, tenant) else {
                continue;
            };
            while self.records.has_room() {
                let kept = lines.take_changed_callers(ENTRY_CALLERS);
                if kept.is_empty() {
                    break;
                }
                self.records.callers(tenant.key.clone(), kept);
            }
        }
        for site in &plan.sites {
            if !self.records.has_room() {
                return;
            }
            if let Some(habits) = site.usage.lines.take_changed_habits() {
                self.records.habits(site.key.clone(), STRANGERS, habits);
            }
        }
    }
}

fn lines_of<'a>(plan: &'a Plan, tenant: &Tenant) -> Option<&'a Lines> {
    let mut sites = plan.sites.iter();
    let site = sites.find(|site| {
        plan.tenant_of(site)
            .is_some_and(|own| own.key == tenant.key)
    });
    site.map(|site| tenant_lines(plan, site))
}

/// The key in a file that only we may read; made if it is missing. `anew` says what is lost with it.
pub(super) fn read_or_make(path: &Path, anew: &str) -> io::Result<HashKey> {
    let file = match File::options().read(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return make(path),
        other => other?,
    };
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        let words = format!(
            "{} can be read by others: chmod 600 it, or remove it, and {anew}",
            path.display()
        );
        return Err(io::Error::other(words));
    }
    let bytes = fs::read(path)?;
    let key: [u8; KEY_BYTES] = bytes.try_into().map_err(|_| {
        let words = format!(
            "{} is no key of {KEY_BYTES} bytes: remove it, and {anew}",
            path.display()
        );
        io::Error::other(words)
    })?;
    Ok(HashKey::from_bytes(key))
}

fn make(path: &Path) -> io::Result<HashKey> {
    let mut key = [0; KEY_BYTES];
    SystemEntropy::new().fill(&mut key);
    let beside = path.with_extension("new");
    let _ = fs::remove_file(&beside);
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(&key)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    Ok(HashKey::from_bytes(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_stays_and_is_ours_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(KEY);
        let first = read_or_make(&path, ANEW).unwrap();
        let again = read_or_make(&path, ANEW).unwrap();
        assert_eq!(first.hash64("+13305550100"), again.hash64("+13305550100"));
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(
            read_or_make(&path, ANEW)
                .unwrap_err()
                .to_string()
                .contains("chmod 600")
        );
        fs::remove_file(&path).unwrap();
        fs::write(&path, b"short").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(
            read_or_make(&path, ANEW)
                .unwrap_err()
                .to_string()
                .contains("no key")
        );
    }
}

//! [`Records`] in SQLite: a write-ahead log, one writer, a pool of readers.
//!
//! `synchronous = FULL`: a commit returns when the log is on the disk, so an acknowledged batch
//! survives a loss of power too. The cost is one flush for each batch, not for each record: batches
//! of a quarter of a second or a few hundred entries make the cost of a record small (about 40 µs
//! of CPU for the three writes of a call, against 150 in batches of 20).

mod callers;
mod decode;
mod habits;
mod judgements;
mod registrations;
mod schema;
mod write;

use std::path::{Path, PathBuf};
use std::time::Duration;

use ringfence_base::UnixTime;
use ringfence_control::api::Judgement;
use ringfence_session::call_id::CallId;
use sqlx::pool::PoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Sqlite, SqliteConnection, SqlitePool};
use tokio::sync::Mutex;

use crate::entry::{Callers, Entry, Habits, Registered};
use crate::error::{OpenError, QueryError, WriteError};
use crate::records::{PAGE_MAX, Records, Stored};
use crate::scope::Scope;

/// How long a write waits for another program that has the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a query waits for a free reader.
const READER_TIMEOUT: Duration = Duration::from_secs(5);
/// Readers at once.
const READERS_MAX: u32 = 4;
/// Size of a database page, SQLite's default.
const PAGE_BYTES: u64 = 4096;

/// Where the database is, and how large it may get.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// The file; its folder is made if it is missing.
    pub path: PathBuf,
    /// Bound of the file in bytes; `None` is none but the disk's.
    pub bytes_max: Option<u64>,
}

/// Call records in an SQLite file.
#[derive(Debug)]
pub struct SqliteRecords {
    options: SqliteConnectOptions,
    /// `None` after a failed write: the next write opens the file anew.
    writer: Mutex<Option<SqliteConnection>>,
    readers: SqlitePool,
}

impl SqliteRecords {
    /// Opens the database, makes it if it is missing, and brings its tables up to date.
    pub async fn open(options: SqliteOptions) -> Result<SqliteRecords, OpenError> {
        let path = &options.path;
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            make_folder(folder).map_err(|source| OpenError::Folder {
                path: folder.to_owned(),
                source,
            })?;
        }
        let file = |source| OpenError::File {
            path: path.clone(),
            source,
        };
        let write = connect_options(&options);
        let mut writer = write.connect().await.map_err(file)?;
        schema::migrate(&mut writer).await?;
        let read = write.clone().create_if_missing(false).read_only(true);
        let readers = PoolOptions::<Sqlite>::new()
            .max_connections(READERS_MAX)
            .acquire_timeout(READER_TIMEOUT)
            .connect_lazy_with(read);
        Ok(SqliteRecords {
            options: write,
            writer: Mutex::new(Some(writer)),
            readers,
        })
    }

    /// Folds the log into the file and closes both. Nothing that was acknowledged depends on it.
    pub async fn close(self) {
        self.readers.close().await;
        if let Some(writer) = self.writer.into_inner() {
            // A failure here leaves the log for the next start, which reads it.
            let _ = writer.close().await;
        }
    }

    /// Runs `work` in one transaction. After a failure the connection is dropped, and the
    /// unfinished transaction with it.
    async fn transact<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, WriteError> {
        let mut slot = self.writer.lock().await;
        let mut connection = match slot.take() {
            Some(connection) => connection,
            None => self.options.connect().await?,
        };
        sqlx::query("BEGIN IMMEDIATE")
            .execute(&mut connection)
            .await?;
        let result = work(&mut connection).await?;
        sqlx::query("COMMIT").execute(&mut connection).await?;
        *slot = Some(connection);
        Ok(result)
    }
}

impl Records for SqliteRecords {
    async fn write(&self, entries: &[Entry]) -> Result<(), WriteError> {
        if entries.is_empty() {
            return Ok(());
        }
        self.transact(async |connection| write::entries(connection, entries).await)
            .await
    }

    async fn close_interrupted(&self) -> Result<u64, WriteError> {
        self.transact(async |connection| write::close_interrupted(connection).await)
            .await
    }

    async fn registrations(&self) -> Result<Vec<Registered>, QueryError> {
        registrations::read(&self.readers).await
    }

    async fn callers(&self, forgotten: UnixTime) -> Result<Vec<Callers>, QueryError> {
        let forget =
            async |connection: &mut SqliteConnection| callers::forget(connection, forgotten).await;
        // What cannot be removed is read once more: harmless.
        let _ = self.transact(forget).await;
        callers::read(&self.readers).await
    }

    async fn habits(&self) -> Result<Vec<Habits>, QueryError> {
        habits::read(&self.readers).await
    }

    async fn judgements(
        &self,
        about: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Judgement>, QueryError> {
        judgements::read(&self.readers, about, limit).await
    }

    async fn incidents_of_sources(
        &self,
        since: UnixTime,
        limit: u32,
    ) -> Result<Vec<Judgement>, QueryError> {
        judgements::of_sources(&self.readers, since, limit).await
    }

    async fn prune(&self, before: UnixTime) -> Result<u64, WriteError> {
        self.transact(async |connection| write::prune(connection, before, PAGE_MAX).await)
            .await
    }

    async fn recent(&self, scope: Scope<'_>, limit: u32) -> Result<Vec<Stored>, QueryError> {
        let tenant = scope.tenant()?;
        let query = match tenant {
            Some(_) => decode::RECENT_OF_TENANT,
            None => decode::RECENT,
        };
        let query = sqlx::query(query).bind(i64::from(limit.min(PAGE_MAX)));
        decode::all(match tenant {
            Some(tenant) => query.bind(tenant).fetch_all(&self.readers).await,
            None => query.fetch_all(&self.readers).await,
        })
    }

    async fn after(
        &self,
        scope: Scope<'_>,
        sequence: i64,
        limit: u32,
    ) -> Result<Vec<Stored>, QueryError> {
        let tenant = scope.tenant()?;
        let query = match tenant {
            Some(_) => decode::AFTER_OF_TENANT,
            None => decode::AFTER,
        };
        let query = sqlx::query(query)
            .bind(i64::from(limit.min(PAGE_MAX)))
            .bind(sequence);
        decode::all(match tenant {
            Some(tenant) => query.bind(tenant).fetch_all(&self.readers).await,
            None => query.fetch_all(&self.readers).await,
        })
    }

    async fn by_id(&self, scope: Scope<'_>, id: CallId) -> Result<Option<Stored>, QueryError> {
        let tenant = scope.tenant()?;
        let query = match tenant {
            Some(_) => decode::BY_ID_OF_TENANT,
            None => decode::BY_ID,
        };
        let query = sqlx::query(query).bind(id.raw().cast_signed());
        let records = decode::all(match tenant {
            Some(tenant) => query.bind(tenant).fetch_all(&self.readers).await,
            None => query.fetch_all(&self.readers).await,
        })?;
        Ok(records.into_iter().next())
    }

    async fn count(&self, scope: Scope<'_>) -> Result<u64, QueryError> {
        let query = match scope.tenant()? {
            Some(tenant) => {
                sqlx::query_scalar("SELECT count(*) FROM calls WHERE tenant = ?1").bind(tenant)
            }
            None => sqlx::query_scalar("SELECT count(*) FROM calls"),
        };
        let count: i64 = query
            .fetch_one(&self.readers)
            .await
            .map_err(QueryError::Database)?;
        Ok(count.unsigned_abs())
    }
}

/// Numbers and names of people are in there: nobody else on the host reads them.
fn make_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

fn connect_options(options: &SqliteOptions) -> SqliteConnectOptions {
    // The busy timeout is set when the file is opened, before the pragmas: the switch to the log
    // needs it when two programs start at once.
    let connect = SqliteConnectOptions::new()
        .filename(&options.path)
        .create_if_missing(true)
        .busy_timeout(BUSY_TIMEOUT)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .disable_statement_logging();
    match options.bytes_max {
        Some(bytes) => connect.pragma("max_page_count", (bytes / PAGE_BYTES).max(1).to_string()),
        None => connect,
    }
}

#[cfg(test)]
mod tests;

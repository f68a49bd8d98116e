//! What can go wrong, by operation.

use std::path::PathBuf;

/// The database cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be made.
    #[error("the folder {} cannot be made", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file cannot be opened, or is no database.
    #[error("the database {} cannot be opened", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// Its tables cannot be brought up to date.
    #[error("the database's tables cannot be brought from version {from} to {to}")]
    Migrate {
        /// The version it has.
        from: i64,
        /// The version that was tried.
        to: i64,
        /// Why.
        source: sqlx::Error,
    },
    /// A newer program made it.
    #[error("the database has version {found}, and this program knows {known}; use a newer one")]
    TooNew {
        /// The version it has.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
}

/// A batch was not written: none of it, and the caller still has it.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Another program holds the database.
    #[error("another program has locked the database")]
    Busy {
        /// The database's words.
        source: sqlx::Error,
    },
    /// The file is damaged or no database any more.
    #[error("the database is damaged")]
    Damaged {
        /// The database's words.
        source: sqlx::Error,
    },
    /// There is no room on the disk, or the configured bound is reached.
    #[error("the disk is full")]
    DiskFull {
        /// The database's words.
        source: sqlx::Error,
    },
    /// The disk refused in another way.
    #[error("the disk refuses to write")]
    Io {
        /// The database's words.
        source: sqlx::Error,
    },
    /// Anything else.
    #[error("the database refuses to write")]
    Refused {
        /// The database's words.
        source: sqlx::Error,
    },
}

impl From<sqlx::Error> for WriteError {
    fn from(source: sqlx::Error) -> WriteError {
        // Primary result codes of SQLite (https://www.sqlite.org/rescode.html).
        match primary_code(&source) {
            Some(5 | 6) => WriteError::Busy { source },
            Some(8 | 10 | 14) => WriteError::Io { source },
            Some(11 | 26) => WriteError::Damaged { source },
            Some(13) => WriteError::DiskFull { source },
            _ => WriteError::Refused { source },
        }
    }
}

fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

/// A query gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The scope's tenant is empty.
    #[error("the query names no tenant")]
    NoTenant,
    /// The database refused.
    #[error("the database cannot be read")]
    Database(#[source] sqlx::Error),
    /// A row holds what this program never writes.
    #[error("record {sequence} is damaged in its {column}")]
    Damaged {
        /// Which record.
        sequence: i64,
        /// Which column.
        column: &'static str,
    },
}

//! Journals by their URLs.
//!
//! ```
//! use griot::{Griot, journals};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path();
//! let opened = journals::open("embedded", directory).await?; // or postgres://…
//! let griot = Griot::builder(opened.journal, opened.snapshots).start().await?;
//! # griot.drain(std::time::Duration::from_secs(5)).await;
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::path::Path;
use std::sync::Arc;

#[cfg(feature = "cassandra")]
use griot_cassandra::{CassandraJournal, CassandraOptions};
use griot_journal::{
    Archive, EmbeddedLog, EmbeddedSnapshots, Journal, JournalError, Options, SnapshotStore,
};
#[cfg(feature = "mysql")]
use griot_mysql::{MysqlJournal, MysqlOptions};
#[cfg(feature = "postgres")]
use griot_postgres::{PostgresJournal, PostgresOptions};

/// The URL of the log in the program's own data directory.
pub const EMBEDDED: &str = "embedded";

/// A journal, and the store of snapshots that goes with it.
#[derive(Clone)]
pub struct Opened {
    /// The journal.
    pub journal: Arc<dyn Journal>,
    /// The snapshots.
    pub snapshots: Arc<dyn SnapshotStore>,
    /// The journal again, all of which can be carried to another.
    pub archive: Arc<dyn Archive>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Opened").finish_non_exhaustive()
    }
}

impl Opened {
    /// One that is all of it.
    #[cfg(any(feature = "cassandra", feature = "mysql", feature = "postgres"))]
    fn all<J: Archive + SnapshotStore>(journal: J) -> Self {
        let journal = Arc::new(journal);
        Self {
            snapshots: Arc::clone(&journal) as Arc<dyn SnapshotStore>,
            archive: Arc::clone(&journal) as Arc<dyn Archive>,
            journal,
        }
    }
}

/// Opens the journal that `url` names:
///
/// | URL | journal | feature |
/// | --- | --- | --- |
/// | `embedded` | the log in `directory`, which is made where it is missing | |
/// | `cassandra://…` | Apache Cassandra | `cassandra` |
/// | `postgres://…`, `postgresql://…` | PostgreSQL | `postgres` |
/// | `mysql://…`, `mariadb://…` | MySQL and MariaDB | `mysql` |
///
/// What else may stand in a URL is said by the adapter. Only the embedded log uses `directory`.
///
/// # Errors
///
/// [`JournalError::Unreachable`] where the server does not answer, [`JournalError::Store`] for a URL that means
/// nothing here and whatever else the server says. Of the embedded log what [`EmbeddedLog::open`] and
/// [`EmbeddedSnapshots::open`] say: a directory that another process has, that cannot be written, or whose log does
/// not check out. [`JournalError::Missing`] also where there are snapshots of entities, and no log or one without a
/// single event.
///
/// # Cancel safety
///
/// Dropped, nothing is open; a log that is being read is let go of when it has been.
pub async fn open(url: &str, directory: &Path) -> Result<Opened, JournalError> {
    match scheme(url) {
        _ if url == EMBEDDED => embedded(directory).await,
        #[cfg(feature = "cassandra")]
        "cassandra" => Ok(Opened::all(CassandraJournal::connect(url).await?)),
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => Ok(Opened::all(PostgresJournal::connect(url).await?)),
        #[cfg(feature = "mysql")]
        "mysql" | "mariadb" => Ok(Opened::all(MysqlJournal::connect(url).await?)),
        _ => Err(unknown(url)),
    }
}

/// Whether [`open`] could use `url`, as far as can be told without connecting.
///
/// # Errors
///
/// [`JournalError::Store`], with what is wrong with it.
pub fn check_url(url: &str) -> Result<(), JournalError> {
    match scheme(url) {
        _ if url == EMBEDDED => Ok(()),
        #[cfg(feature = "cassandra")]
        "cassandra" => Ok(url.parse::<CassandraOptions>().map(drop)?),
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => Ok(url.parse::<PostgresOptions>().map(drop)?),
        #[cfg(feature = "mysql")]
        "mysql" | "mariadb" => Ok(url.parse::<MysqlOptions>().map(drop)?),
        _ => Err(unknown(url)),
    }
}

async fn embedded(directory: &Path) -> Result<Opened, JournalError> {
    let directory = directory.to_owned();
    // Reading a long log takes a while.
    let opening = tokio::task::spawn_blocking(move || {
        // A snapshot is taken of events that are durable, so the log that had them is not here.
        if EmbeddedSnapshots::outlived_the_log(&directory)? {
            return Err(JournalError::Missing { path: directory });
        }
        let journal = EmbeddedLog::open(&directory, Options::default())?;
        let snapshots = EmbeddedSnapshots::open(&directory)?;
        // Nor is it an empty one.
        if journal.stats().events == 0 && !snapshots.is_empty() {
            return Err(JournalError::Missing { path: directory });
        }
        let journal = Arc::new(journal);
        Ok(Opened {
            archive: Arc::clone(&journal) as Arc<dyn Archive>,
            journal,
            snapshots: Arc::new(snapshots),
        })
    });
    let opened = opening.await;
    opened.map_err(|error| JournalError::Store(Arc::new(error)))?
}

/// What stands before `://`.
fn scheme(url: &str) -> &str {
    url.split_once("://").map_or("", |(scheme, _)| scheme)
}

/// Says no more of the URL than its scheme: there may be a password in it.
fn unknown(url: &str) -> JournalError {
    let mut known = vec![EMBEDDED];
    known.extend(cfg!(feature = "postgres").then_some("postgres://HOST/DATABASE"));
    known.extend(cfg!(feature = "mysql").then_some("mysql://HOST/DATABASE"));
    known.extend(cfg!(feature = "cassandra").then_some("cassandra://HOST/KEYSPACE"));
    let known = known.join(" or ");
    let reason = match scheme(url) {
        "" => format!("the URL has no scheme: write {known}"),
        scheme => format!("`{scheme}://` is no journal of this program: write {known}"),
    };
    JournalError::Store(Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(
        reason,
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_means_nothing_is_refused_without_repeating_its_password() {
        let with_settings = "postgres://me:secret@host/shop?speed=9";
        for url in ["embeded", "nowhere://me:secret@host", with_settings, ""] {
            let said = check_url(url).unwrap_err().to_string();
            assert!(!said.contains("secret"), "{said}");
        }
        assert!(check_url(EMBEDDED).is_ok());
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn a_url_of_an_adapter_is_taken() {
        assert!(check_url("postgres://me:secret@host/shop?schema=mine").is_ok());
    }

    #[cfg(feature = "cassandra")]
    #[test]
    fn a_url_of_cassandra_is_taken() {
        assert!(
            check_url(
                "cassandra://me:secret@host,other/shop?consistency=local_quorum&datacenter=one"
            )
            .is_ok()
        );
        let said = check_url("cassandra://me:secret@host").unwrap_err();
        assert!(!said.to_string().contains("secret"), "{said}");
    }

    #[cfg(feature = "mysql")]
    #[test]
    fn a_url_of_mysql_is_taken() {
        assert!(check_url("mysql://me:secret@host/shop?connections=4").is_ok());
        assert!(check_url("mariadb://me:secret@host/shop").is_ok());
    }
}

//! Which journal a command speaks to: the flags that say so.

use std::path::{Path, PathBuf};

use clap::Args;
use griot::journal::JournalError;
use griot::journals::{self, Opened};

use super::JournalUrl;
use crate::failure::Failure;
use crate::url::UrlParser;

/// Where the journal is.
#[derive(Args, Clone, Debug)]
pub(crate) struct JournalFlag {
    /// The journal: `embedded` is the log in the data directory, `postgres://HOST[:PORT]/DATABASE` PostgreSQL,
    /// `mysql://HOST[:PORT]/DATABASE` MySQL or MariaDB, `cassandra://HOST[:PORT][,…]/KEYSPACE` Cassandra
    #[arg(
        long,
        value_name = "URL",
        env = "GRIOT_JOURNAL",
        hide_env_values = true,
        value_parser = UrlParser::<JournalUrl>::new(),
        default_value = journals::EMBEDDED
    )]
    journal: JournalUrl,
}

/// The data directory.
#[derive(Args, Clone, Debug)]
pub(crate) struct DataDir {
    /// The data directory
    #[arg(
        long,
        value_name = "DIR",
        env = "GRIOT_DATA_DIR",
        default_value = "./griot-data"
    )]
    data_dir: PathBuf,
}

/// Which journal.
#[derive(Args, Clone, Debug)]
pub(super) struct Which {
    #[command(flatten)]
    journal: JournalFlag,

    #[command(flatten)]
    directory: DataDir,
}

impl JournalFlag {
    /// As if this had been said.
    pub(crate) fn of(journal: &JournalUrl) -> Self {
        let journal = journal.clone();
        Self { journal }
    }

    /// Opens it; an embedded one must be there.
    ///
    /// # Errors
    ///
    /// [`Failure::Journal`], and [`Failure::Verdict`] where it is not there.
    pub(crate) async fn open(&self, directory: &DataDir) -> Result<Opened, Failure> {
        let directory = directory.path();
        if self.journal.is_embedded() && !directory.join("journal").is_dir() {
            let path = directory.display();
            let text = format!(
                "there is no journal in {path}; name its directory with --data-dir, or a database with --journal"
            );
            return Err(Failure::Verdict(text));
        }
        self.journal.open(directory).await
    }

    /// What it says that went wrong.
    pub(crate) fn failed(&self, directory: &DataDir, source: JournalError) -> Failure {
        self.journal.failed(directory.path(), source)
    }
}

impl DataDir {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.data_dir
    }
}

impl Which {
    pub(super) async fn open(&self) -> Result<Opened, Failure> {
        self.journal.open(&self.directory).await
    }

    pub(super) fn failed(&self, source: JournalError) -> Failure {
        self.journal.failed(&self.directory, source)
    }
}

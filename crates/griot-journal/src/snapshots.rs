//! The snapshot store in a data directory: a redb file beside the log.
//!
//! It is a cache. Writes are batched in the background and synced now and then; what a power cut
//! takes is replayed from the journal. A file that cannot be read is set aside, never fatal; a
//! snapshot whose checksum does not match is passed over for the one before it.

mod stored;
mod writer;

use std::collections::HashSet;
use std::fs;
use std::future::ready;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use griot_core::EntityId;
use metrics::counter;
use redb::{Builder, Database, ReadableDatabase};
use tokio::sync::oneshot;

use crate::{BoxFuture, JournalError, Snapshot, SnapshotBounds, SnapshotStore};
use writer::{Change, Writer};

/// The largest snapshot: 64 MiB.
pub const SNAPSHOT_BYTES_MAX: usize = 64 << 20;
/// How many saves and deletions may wait for the writer.
pub const SNAPSHOTS_WAITING_MAX: usize = 1024;
/// How much memory the store's file may take as a cache: 32 MiB.
pub const SNAPSHOT_CACHE_BYTES: usize = 32 << 20;

const FILE: &str = "snapshots.redb";
const SET_ASIDE: &str = "snapshots.redb.damaged";

/// Snapshots in the data directory of an [`EmbeddedLog`](crate::EmbeddedLog).
///
/// ```
/// use griot_journal::{EmbeddedSnapshots, SnapshotBounds, SnapshotStore};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let scratch = tempfile::tempdir()?;
/// # let directory = scratch.path();
/// let snapshots = EmbeddedSnapshots::open(directory)?;
/// let alice = griot_core::EntityId::new("account", "alice")?;
/// assert_eq!(snapshots.load(&alice, SnapshotBounds::LATEST).await?, None);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct EmbeddedSnapshots {
    database: Arc<Database>,
    known: Known,
    changes: Option<SyncSender<Change>>,
    writer: Option<JoinHandle<()>>,
}

/// Hashes of the entities that may have snapshots: most loads are for entities that have none,
/// and need no disk.
#[derive(Clone, Debug, Default)]
struct Known(Arc<(RandomState, Mutex<HashSet<u64>>)>);

impl Known {
    fn hashes(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.0.1.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, entity: &str) {
        self.hashes().insert(self.0.0.hash_one(entity));
    }

    fn may_have(&self, entity: &str) -> bool {
        self.hashes().contains(&self.0.0.hash_one(entity))
    }
}

impl EmbeddedSnapshots {
    /// Opens the store in `directory`, which is made where it is missing. A file that cannot be
    /// read is renamed to `snapshots.redb.damaged`, and a new one begun.
    ///
    /// It blocks; call it where that is fine.
    ///
    /// # Errors
    ///
    /// [`JournalError::Locked`] where another process has the file; [`JournalError::Io`] and
    /// [`JournalError::Full`] where no file can be made.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, JournalError> {
        let directory = directory.as_ref();
        let failed = |action, error| failed(action, directory, error);
        fs::create_dir_all(directory).map_err(|error| failed("make the directory", error))?;
        let path = directory.join(FILE);
        let opened = open(&path).or_else(|reason| {
            if let redb::Error::DatabaseAlreadyOpen = reason {
                return Err(JournalError::Locked {
                    path: directory.to_owned(),
                });
            }
            set_aside(directory, &reason).map_err(|error| failed("set aside a file in", error))?;
            open(&path).map_err(store)
        });
        let (database, known) = opened?;
        let database = Arc::new(database);
        let (changes, waiting) = sync_channel(SNAPSHOTS_WAITING_MAX);
        let writer = Writer::new(Arc::clone(&database), known.clone(), waiting);
        let writer = thread::Builder::new()
            .name("griot-snapshots".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| failed("start a thread for", error))?;
        Ok(Self {
            database,
            known,
            changes: Some(changes),
            writer: Some(writer),
        })
    }

    /// Whether `directory` has snapshots of entities and no log. Such a log is gone, and opening one
    /// would make it anew. Nothing is changed, but that redb repairs a file that was not closed.
    ///
    /// It blocks; call it where that is fine.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub fn outlived_the_log(directory: impl AsRef<Path>) -> Result<bool, JournalError> {
        let directory = directory.as_ref();
        let path = directory.join(FILE);
        if has_segments(directory) || !path.is_file() {
            return Ok(false);
        }
        // One that was not closed, or is damaged, is for `open` to see to.
        match catch_unwind(|| has_entities(&path)) {
            Ok(Ok(has_entities)) => Ok(has_entities),
            _ => Ok(!Self::open(directory)?.is_empty()),
        }
    }

    /// Whether no entity was ever seen with a snapshot here.
    pub fn is_empty(&self) -> bool {
        self.known.hashes().is_empty()
    }

    fn change<'a>(
        &self,
        change: impl FnOnce(oneshot::Sender<Result<(), JournalError>>) -> Change,
    ) -> BoxFuture<'a, Result<(), JournalError>> {
        let (reply, answer) = oneshot::channel();
        let sent = match &self.changes {
            Some(changes) => changes
                .try_send(change(reply))
                .map_err(|error| match error {
                    TrySendError::Full(_) => JournalError::Busy {
                        waiting: SNAPSHOTS_WAITING_MAX,
                    },
                    TrySendError::Disconnected(_) => JournalError::Closed,
                }),
            None => Err(JournalError::Closed),
        };
        Box::pin(async move {
            sent?;
            answer.await.unwrap_or(Err(JournalError::Closed))
        })
    }
}

impl SnapshotStore for EmbeddedSnapshots {
    fn save(&self, snapshot: Snapshot, keep: usize) -> BoxFuture<'_, Result<(), JournalError>> {
        let bytes = snapshot.payload.len();
        if bytes > SNAPSHOT_BYTES_MAX {
            let (what, limit) = ("a snapshot", SNAPSHOT_BYTES_MAX);
            return Box::pin(ready(Err(JournalError::TooLarge { what, bytes, limit })));
        }
        self.change(|reply| Change::Save {
            snapshot,
            keep,
            reply,
        })
    }

    fn load<'a>(
        &'a self,
        entity: &'a EntityId,
        bounds: SnapshotBounds,
    ) -> BoxFuture<'a, Result<Option<Snapshot>, JournalError>> {
        if !self.known.may_have(entity.as_str()) {
            return Box::pin(ready(Ok(None)));
        }
        let (database, entity) = (Arc::clone(&self.database), entity.clone());
        Box::pin(async move {
            let load = move || stored::load(&database, &entity, bounds).map_err(store);
            let loaded = tokio::task::spawn_blocking(load).await;
            loaded.map_err(|error| JournalError::Store(Arc::new(error)))?
        })
    }

    fn delete<'a>(
        &'a self,
        entity: &'a EntityId,
        bounds: SnapshotBounds,
    ) -> BoxFuture<'a, Result<(), JournalError>> {
        let entity = entity.clone();
        self.change(|reply| Change::Delete {
            entity,
            bounds,
            reply,
        })
    }
}

impl Drop for EmbeddedSnapshots {
    /// Writes what waits, syncs it, and lets go of the file.
    fn drop(&mut self) {
        self.changes = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::warn!("the writer of snapshots panicked; they are replayed from the journal");
        }
    }
}

/// Opens the file and reads whose snapshots it has. A damaged file may make redb panic.
fn open(path: &Path) -> Result<(Database, Known), redb::Error> {
    let open = || {
        let database = Builder::new()
            .set_cache_size(SNAPSHOT_CACHE_BYTES)
            .create(path)?;
        let known = Known::default();
        let begun = database.begin_write()?;
        begun.open_table(stored::SNAPSHOTS)?;
        begun.open_table(stored::ENTITIES)?;
        begun.commit()?;
        stored::entities(&database.begin_read()?, |entity| known.add(entity))?;
        Ok((database, known))
    };
    catch_unwind(AssertUnwindSafe(open))
        .unwrap_or_else(|_| Err(redb::Error::Corrupted("redb panicked at it".to_owned())))
}

fn has_entities(path: &Path) -> Result<bool, redb::Error> {
    let mut has_entities = false;
    let database = Builder::new().open_read_only(path)?;
    stored::entities(&database.begin_read()?, |_| has_entities = true)?;
    Ok(has_entities)
}

/// A directory that cannot be read is for the log to complain of.
fn has_segments(directory: &Path) -> bool {
    let Ok(files) = fs::read_dir(directory.join("journal")) else {
        return false;
    };
    files
        .flatten()
        .any(|file| file.path().extension() == Some("log".as_ref()))
}

fn set_aside(directory: &Path, reason: &redb::Error) -> io::Result<()> {
    tracing::warn!(%reason, "the snapshots cannot be read: they are set aside, and made anew");
    counter!("griot_snapshots_set_aside_total").increment(1);
    let aside: PathBuf = directory.join(SET_ASIDE);
    fs::rename(directory.join(FILE), aside)
}

fn store(error: redb::Error) -> JournalError {
    JournalError::Store(Arc::new(error))
}

fn failed(action: &'static str, path: &Path, error: io::Error) -> JournalError {
    let (path, source) = (path.to_owned(), Arc::new(error));
    JournalError::Io {
        action,
        path,
        source,
    }
}

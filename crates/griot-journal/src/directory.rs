//! Whose a data directory is.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::storage::is_full;
use crate::{JournalError, Storage, StorageLock};

/// A data directory that no other process has, until this is dropped. An [`EmbeddedLog`](crate::EmbeddedLog) takes
/// it by itself; a program whose journal is elsewhere takes it for what else lies there.
pub struct DirectoryLock {
    _lock: StorageLock,
}

impl DirectoryLock {
    /// Takes a directory, which is made where it is missing.
    ///
    /// # Errors
    ///
    /// [`JournalError::Locked`] where another process has it, [`JournalError::Full`] and [`JournalError::Io`].
    pub fn take(storage: &dyn Storage, directory: &Path) -> Result<Self, JournalError> {
        let failed = |action, path: &Path, error: io::Error| {
            if is_full(&error) {
                let path = directory.to_owned();
                return JournalError::Full { path };
            }
            let (path, source) = (path.to_owned(), Arc::new(error));
            JournalError::Io {
                action,
                path,
                source,
            }
        };
        let create = storage.create_dir_all(directory);
        create.map_err(|error| failed("make the directory", directory, error))?;
        let path = directory.join("LOCK");
        let lock = storage.lock(&path);
        let lock = lock.map_err(|error| failed("lock", &path, error))?;
        let path = directory.to_owned();
        let lock = lock.ok_or(JournalError::Locked { path })?;
        Ok(Self { _lock: lock })
    }
}

impl fmt::Debug for DirectoryLock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DirectoryLock")
    }
}

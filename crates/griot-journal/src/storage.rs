//! The one seam to files: everything that the embedded log does to a disk goes through here, so
//! that a test can put a disk there that fails, tears and forgets.

mod files;

use std::any::Any;
use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub use files::Files;

/// A lock on a directory, held until it is dropped.
pub type StorageLock = Box<dyn Any + Send + Sync>;

/// A file system, as far as the embedded log needs one. [`Files`] is the real one.
///
/// # Errors
///
/// Every function gives what the operating system said. No space left is
/// [`io::ErrorKind::StorageFull`] or [`io::ErrorKind::QuotaExceeded`].
#[expect(
    clippy::missing_errors_doc,
    reason = "the trait says it for all of them"
)]
pub trait Storage: Debug + Send + Sync + 'static {
    /// Makes a directory and those above it, where they are missing.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Locks a file, which is made where it is missing; `None` where another holder has it.
    fn lock(&self, path: &Path) -> io::Result<Option<StorageLock>>;

    /// The names of a directory's files.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;

    /// Makes an empty file, in place of one that is there.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>>;

    /// Opens a file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>>;

    /// Names a file anew, in place of one that is there.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, directory: &Path) -> io::Result<()>;

    /// A number that nobody can foretell.
    fn salt(&self) -> u64;
}

/// An open file of a [`Storage`].
///
/// # Errors
///
/// As for [`Storage`].
#[expect(
    clippy::missing_errors_doc,
    reason = "the trait says it for all of them"
)]
pub trait StorageFile: Debug + Send + Sync + 'static {
    /// Its size, in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Reads up to as many bytes as `buffer` holds; fewer only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;

    /// Writes all of `bytes`. After an error any part of them may have been written.
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()>;

    /// Makes everything that was written durable. After an error nobody knows what is.
    fn sync(&self) -> io::Result<()>;
}

/// Whether an error says that there is no space left.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

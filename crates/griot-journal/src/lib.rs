//! Journals: where entities' events, effects, keys and replies become durable, all in one append.
//!
//! [`Journal`] is the contract that the embedded log, the in-memory journal and every database
//! adapter keep; `griot-testkit` publishes the suite that proves it. [`SnapshotStore`] keeps
//! states as a cache: a journal alone is always enough.
//!
//! [`EmbeddedLog`] is the journal in a directory of this machine, [`MemoryJournal`] the one that
//! dies with its process. [`EmbeddedSnapshots`] keeps snapshots beside the log. Everything that the former does to a disk goes through [`Storage`].

pub mod adapter;
mod archive;
mod copy;
mod directory;
mod embedded;
mod error;
mod index;
mod journal;
mod memory;
mod record;
mod selection;
mod snapshot;
mod snapshots;
mod storage;

pub use archive::{Archive, Kept, Mark, Remains};
pub use copy::{Copied, CopyError, copy, last_offset};
pub use directory::DirectoryLock;
pub use embedded::{
    BATCH_BYTES_MAX, EmbeddedLog, FIRST_SEGMENT_BYTES, FRAME_BYTES, Options, PAGE_COMMITS_MAX,
    Preparation, QUEUE_BATCHES_MAX, QUEUE_BYTES_MAX, READS_MAX, Stats,
};
pub use error::{AppendError, JournalError};
pub use index::KEYS_KEPT;
pub use journal::{BoxFuture, Filter, Journal, Page, SeqRange, Unsettled};
pub use memory::MemoryJournal;
pub use record::{
    Answer, Append, Appended, Batch, Commit, EventRecord, Metadata, RecordedEvent, ShardId,
};
pub use snapshot::{Snapshot, SnapshotBounds, SnapshotStore};
pub use snapshots::{
    EmbeddedSnapshots, SNAPSHOT_BYTES_MAX, SNAPSHOT_CACHE_BYTES, SNAPSHOTS_WAITING_MAX,
};
pub use storage::{Files, Storage, StorageFile, StorageLock};

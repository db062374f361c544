//! Journals: where entities' events, effects, keys and replies become durable, all in one append.
//!
//! [`Journal`] is the contract that the embedded log, the in-memory journal and every database
//! adapter keep; `griot-testkit` publishes the suite that proves it. [`SnapshotStore`] keeps
//! states as a cache: a journal alone is always enough.

mod error;
mod journal;
mod record;
mod snapshot;

pub use error::{AppendError, JournalError};
pub use journal::{BoxFuture, Filter, Journal, Page, SeqRange, Unsettled};
pub use record::{
    Answer, Append, Appended, Batch, Commit, EventRecord, Metadata, RecordedEvent, ShardId,
};
pub use snapshot::{Snapshot, SnapshotBounds, SnapshotStore};

//! The contract of a snapshot store: states kept as a cache, so that recovery reads less.

use bytes::Bytes;
use griot_core::{EntityId, Seq, Timestamp};

use crate::{BoxFuture, JournalError};

/// A state as it was at a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Whose.
    pub entity: EntityId,
    /// After which event.
    pub seq: Seq,
    /// When it was made.
    pub at: Timestamp,
    /// What wrote it: schema and fold version. A reader with another one passes it over.
    pub fingerprint: u64,
    /// The state.
    pub payload: Bytes,
}

/// Which snapshot to read: the latest within both bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotBounds {
    /// At or below this sequence.
    pub seq: Seq,
    /// At or before this moment.
    pub at: Timestamp,
}

impl SnapshotBounds {
    /// The latest of all.
    pub const LATEST: Self = Self {
        seq: Seq::MAX,
        at: Timestamp::from_micros(i64::MAX),
    };
}

/// A store of snapshots. It may lose any of them at any time; it must not hand out a damaged one.
pub trait SnapshotStore: Send + Sync + 'static {
    /// Keeps a snapshot, in place of one of the same entity and sequence, and of those of the
    /// entity beyond the newest `keep`.
    ///
    /// # Errors
    ///
    /// Any [`JournalError`]. It costs time at the next recovery, nothing else.
    fn save(&self, snapshot: Snapshot, keep: usize) -> BoxFuture<'_, Result<(), JournalError>>;

    /// Reads the latest snapshot within `bounds`, if there is one and it checks out.
    ///
    /// # Errors
    ///
    /// Any [`JournalError`]; the caller replays.
    fn load<'a>(
        &'a self,
        entity: &'a EntityId,
        bounds: SnapshotBounds,
    ) -> BoxFuture<'a, Result<Option<Snapshot>, JournalError>>;

    /// Deletes every snapshot of the entity within `bounds`.
    ///
    /// # Errors
    ///
    /// Any [`JournalError`].
    fn delete<'a>(
        &'a self,
        entity: &'a EntityId,
        bounds: SnapshotBounds,
    ) -> BoxFuture<'a, Result<(), JournalError>>;
}

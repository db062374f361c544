//! What it takes to carry a journal elsewhere, whole.

use griot_core::{EffectRecord, EntityId, Epoch, Offset, Seq, Timestamp};

use crate::{Answer, Append, BoxFuture, Journal, JournalError, ShardId};

/// A journal of which everything can be read: what was appended, in the order in which it was, with the answers,
/// effects and metadata; who owns what; and what was deleted.
///
/// `griot-testkit` publishes the suite that proves it: Archive.
///
/// # Cancel safety
///
/// Every future may be dropped at any time.
pub trait Archive: Journal {
    /// Reads appends of all entities in the journal's order: those after `after`, up to `limit` of them. An append
    /// that is deleted wholly may be absent; every other one is there. An empty answer says that there are no more.
    ///
    /// # Errors
    ///
    /// As [`Journal::events`].
    fn appends(&self, after: Mark, limit: usize) -> BoxFuture<'_, Result<Vec<Kept>, JournalError>>;

    /// What outlived appends of an entity that are absent from [`appends`](Archive::appends).
    ///
    /// # Errors
    ///
    /// As [`Journal::events`].
    fn remains<'a>(&'a self, entity: &'a EntityId) -> BoxFuture<'a, Result<Remains, JournalError>>;

    /// The shards that were ever claimed, with the epochs of their owners, in no order.
    ///
    /// # Errors
    ///
    /// I/O errors of a journal that has to ask for it.
    fn shards(&self) -> BoxFuture<'_, Result<Vec<(ShardId, Epoch)>, JournalError>>;

    /// The entities whose events are deleted up to a sequence, in the order of their names, up to `limit` of them,
    /// after `after`.
    ///
    /// # Errors
    ///
    /// I/O errors of a journal that has to ask for it.
    fn deletions<'a>(
        &'a self,
        after: Option<&'a EntityId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(EntityId, Seq)>, JournalError>>;
}

/// What outlived appends that were deleted wholly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// Effects without an outcome, and when they were recorded.
    pub effects: Vec<(Timestamp, EffectRecord)>,
    /// Answers, oldest first: the newest [`KEYS_KEPT`](crate::KEYS_KEPT) at least.
    pub answers: Vec<Answer>,
}

/// How far a journal was read append by append. The default is its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Every append that stands at a lower offset was read.
    pub offset: Offset,
    /// And as many of those that stand at this one.
    pub appends: usize,
}

impl Mark {
    /// Reads past an append that stands at `offset`.
    pub fn pass(&mut self, offset: Offset) {
        if offset == self.offset {
            self.appends = self.appends.saturating_add(1);
        } else {
            *self = Self { offset, appends: 1 };
        }
    }
}

/// An append, and what of it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// As it was given, without the first `deleted` of its events.
    pub append: Append,
    /// How many of its events are deleted: the first ones.
    pub deleted: u64,
    /// The offset of its first event, deleted or not; of the last event before it where it never had one.
    pub offset: Offset,
}

impl Kept {
    /// How many events it had.
    pub fn events(&self) -> u64 {
        let left = u64::try_from(self.append.events.len()).unwrap_or(u64::MAX);
        left.saturating_add(self.deleted)
    }

    /// Takes away the events up to `deleted`.
    pub(crate) fn of(append: Append, offset: Offset, deleted: Seq) -> Self {
        let events = append.events.len();
        let gone = deleted.get().saturating_sub(append.expected.get());
        let gone = usize::try_from(gone).unwrap_or(usize::MAX).min(events);
        let mut append = append;
        append.events.drain(..gone);
        Self {
            append,
            deleted: u64::try_from(gone).unwrap_or(u64::MAX),
            offset,
        }
    }
}

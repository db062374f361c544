//! The contract of a journal.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use griot_core::{EffectRecord, EntityId, Epoch, Offset, Seq, Timestamp};

use crate::{AppendError, Appended, Batch, Commit, JournalError, RecordedEvent, ShardId};

/// A future that a journal returns. Boxed, so that `Arc<dyn Journal>` can be chosen by a URL at
/// start; one allocation per batch or page is nothing beside its I/O.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A durable, ordered, fenced store of what entities decided.
///
/// Every implementation passes the suites of `griot-testkit`: Read, Append, Tail and Crash.
///
/// # Cancel safety
///
/// Dropping the future of [`append`](Journal::append) does not undo the append: its outcome is then
/// unknown. Every other future may be dropped at any time without effect on the journal, save that a
/// claim or a deletion may have happened.
pub trait Journal: Send + Sync + 'static {
    /// Takes a shard over: returns an epoch higher than any before it for that shard. From then on
    /// every append to the shard under an older epoch is refused.
    ///
    /// # Errors
    ///
    /// Any [`JournalError`]; the claim may then have happened.
    fn claim<'a>(&'a self, shard: &'a ShardId) -> BoxFuture<'a, Result<Epoch, JournalError>>;

    /// Appends a batch: all of it or none, durable before the answer.
    ///
    /// Batches given one after the other by one owner become durable in that order; a batch is given
    /// when this is called, not when the future is first polled. Of each append, its key is looked
    /// at before its sequence, so that a batch which is given again gets its first answer. A batch of
    /// no appends is told the journal's last offset, whatever its epoch.
    ///
    /// # Errors
    ///
    /// [`AppendError::Unknown`] says that the batch may or may not be stored; every other error says
    /// that nothing of it is.
    fn append(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<Appended, AppendError>>;

    /// Reads the events of one entity whose sequences lie in `range`, in order. An unknown entity
    /// has none; deleted ones are absent.
    ///
    /// # Errors
    ///
    /// [`JournalError::Corrupt`] where stored bytes do not check out; I/O errors.
    fn events<'a>(
        &'a self,
        entity: &'a EntityId,
        range: SeqRange,
    ) -> BoxFuture<'a, Result<Vec<RecordedEvent>, JournalError>>;

    /// Reads the commits of one entity, in order, beginning with the one that reached `from` (all
    /// of them for [`Seq::ZERO`]), after skipping `skip` of them, up to `limit` of them. Commits
    /// without events count by the sequence they left. This is what recovery reads: it may begin at
    /// its snapshot's sequence. An empty answer says that there are no more; one with fewer than
    /// `limit` does not. Of a commit whose events are deleted in part, the rest is given, as if it
    /// had been appended alone; one that is deleted wholly, or stands before that, is absent, save the
    /// entity's last, which is then given without events.
    ///
    /// # Errors
    ///
    /// As [`events`](Journal::events).
    fn commits<'a>(
        &'a self,
        entity: &'a EntityId,
        from: Seq,
        skip: usize,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Commit>, JournalError>>;

    /// The highest sequence that was ever durable for the entity, also where events were deleted;
    /// [`Seq::ZERO`] for an unknown one. Waits for appends to the entity that are under way.
    ///
    /// # Errors
    ///
    /// I/O errors of a journal that has to ask for it.
    fn last_seq<'a>(&'a self, entity: &'a EntityId) -> BoxFuture<'a, Result<Seq, JournalError>>;

    /// Reads events of all entities in commit order: those after `after` that the filter lets
    /// through. It looks at no more than `limit` events, so a page may be empty while there is more:
    /// go on from [`Page::next`]. No event that is, or will be, at or below it is ever skipped.
    ///
    /// # Errors
    ///
    /// As [`events`](Journal::events).
    fn tail<'a>(
        &'a self,
        after: Offset,
        filter: &'a Filter,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page, JournalError>>;

    /// Waits until the journal's last offset is beyond `after`, and returns it.
    ///
    /// # Errors
    ///
    /// [`JournalError::Closed`] or [`JournalError::Poisoned`] once no more can come.
    fn advanced(&self, after: Offset) -> BoxFuture<'_, Result<Offset, JournalError>>;

    /// Reads effects of entities of `kind` that have no outcome yet, in a stable order, up to
    /// `limit` of them, after the one that the last page ended with.
    ///
    /// # Errors
    ///
    /// As [`events`](Journal::events).
    fn unsettled<'a>(
        &'a self,
        kind: &'a str,
        after: Option<&'a Unsettled>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Unsettled>, JournalError>>;

    /// Names entities of `kind`, in the order of their names, up to `limit` of them, after `after`.
    ///
    /// # Errors
    ///
    /// I/O errors of a journal that has to ask for it.
    fn entities<'a>(
        &'a self,
        kind: Option<&'a str>,
        after: Option<&'a EntityId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<EntityId>, JournalError>>;

    /// Deletes an entity's events up to and including `to`, durably. Its highest sequence is kept,
    /// and so are its effects without an outcome and its keys.
    ///
    /// # Errors
    ///
    /// Any [`JournalError`]; the deletion may then have happened.
    fn delete<'a>(
        &'a self,
        entity: &'a EntityId,
        to: Seq,
    ) -> BoxFuture<'a, Result<(), JournalError>>;

    /// Finishes what is under way, then closes: every later call fails with [`JournalError::Closed`].
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Which of an entity's events to read: `from..=to`, at most `limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeqRange {
    /// The lowest.
    pub from: Seq,
    /// The highest.
    pub to: Seq,
    /// How many at most.
    pub limit: usize,
}

impl SeqRange {
    /// Everything.
    pub const ALL: Self = Self {
        from: Seq::ZERO,
        to: Seq::MAX,
        limit: usize::MAX,
    };
}

/// Which events a tail lets through. The default lets all through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Entities of this kind only.
    pub kind: Option<String>,
    /// Events that carry this tag only.
    pub tag: Option<String>,
}

impl Filter {
    /// Whether it lets an event through.
    pub fn admits(&self, event: &RecordedEvent) -> bool {
        self.kind
            .as_deref()
            .is_none_or(|kind| event.entity.kind() == kind)
            && self
                .tag
                .as_ref()
                .is_none_or(|tag| event.event.tags.contains(tag))
    }
}

/// A page of a tail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The events, in commit order.
    pub events: Vec<RecordedEvent>,
    /// Where to go on: every event up to here has been looked at.
    pub next: Offset,
}

/// An effect without an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsettled {
    /// Whose.
    pub entity: EntityId,
    /// When it was recorded.
    pub at: Timestamp,
    /// Which, and what.
    pub record: EffectRecord,
}

//! What of a commit a reader gets: deleted events are absent, and so is what lies out of range.

use griot_core::{Offset, Seq};

use crate::{Append, Commit, RecordedEvent, SeqRange};

impl Commit {
    /// The events with their places, in order.
    pub(crate) fn into_events(self) -> impl Iterator<Item = RecordedEvent> {
        let Append {
            entity,
            at,
            metadata,
            expected,
            events,
            ..
        } = self.append;
        let first = self.offset;
        (0_u64..)
            .zip(events)
            .map(move |(number, event)| RecordedEvent {
                entity: entity.clone(),
                seq: Seq(expected.get().saturating_add(number).saturating_add(1)),
                offset: Offset(first.get().saturating_add(number)),
                at,
                event,
                metadata: metadata.clone(),
            })
    }

    /// The commit without its events at or below `deleted`.
    pub(crate) fn beyond(mut self, deleted: Seq) -> Self {
        let gone = deleted.get().saturating_sub(self.append.expected.get());
        let count = u64::try_from(self.append.events.len())
            .unwrap_or(u64::MAX)
            .min(gone);
        if count > 0 {
            self.append
                .events
                .drain(..usize::try_from(count).unwrap_or(usize::MAX));
            self.append.expected = Seq(self.append.expected.get().saturating_add(count));
            self.offset = Offset(self.offset.get().saturating_add(count));
        }
        self
    }
}

/// The events of `commits` that lie in `range`.
pub(crate) fn select(
    commits: impl Iterator<Item = Commit>,
    deleted: Seq,
    range: SeqRange,
) -> Vec<RecordedEvent> {
    commits
        .flat_map(|commit| commit.beyond(deleted).into_events())
        .filter(|event| event.seq >= range.from && event.seq <= range.to)
        .take(range.limit)
        .collect()
}

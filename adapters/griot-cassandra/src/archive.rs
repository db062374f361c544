//! The journal read whole, so that it can be carried elsewhere.

use griot_core::{EntityId, Epoch, Offset, Seq};
use griot_journal::{
    Append, Archive, BoxFuture, JournalError, Kept, Mark, PAGE_COMMITS_MAX, Remains, ShardId,
};

use crate::carry::NAME_BUCKETS;
use crate::journal::CassandraJournal;
use crate::link::all;
use crate::steps::{self, Passed, Steps};
use crate::stored;

impl Archive for CassandraJournal {
    fn appends(&self, after: Mark, limit: usize) -> BoxFuture<'_, Result<Vec<Kept>, JournalError>> {
        let limit = limit.min(PAGE_COMMITS_MAX);
        Box::pin(async move { self.kept(after, limit).await })
    }

    /// Nothing: the log has a slot for every append, also for one whose events are deleted.
    fn remains<'a>(
        &'a self,
        _entity: &'a EntityId,
    ) -> BoxFuture<'a, Result<Remains, JournalError>> {
        Box::pin(async move { self.link().map(|_| Remains::default()) })
    }

    fn shards(&self) -> BoxFuture<'_, Result<Vec<(ShardId, Epoch)>, JournalError>> {
        Box::pin(async move {
            let link = self.link()?;
            let pages = link.pages(&link.statements.shards, (&link.journal,));
            let rows: Vec<(String, i64, i64)> = pages.all().await?;
            rows.into_iter().map(shard).collect()
        })
    }

    fn deletions<'a>(
        &'a self,
        after: Option<&'a EntityId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(EntityId, Seq)>, JournalError>> {
        Box::pin(async move {
            let link = self.link()?;
            let rows_max = i32::try_from(limit).unwrap_or(i32::MAX);
            if rows_max == 0 {
                return Ok(Vec::new());
            }
            // No entity's name is empty.
            let after = after.map_or("", EntityId::as_str);
            let asked = (0..NAME_BUCKETS).map(|bucket| {
                let values = (&link.journal, bucket, after, rows_max);
                link.rows::<(String, i64)>(&link.statements.deletions, values)
            });
            let found = all(asked.collect()).await?.into_iter().flatten();
            let deletions: Result<Vec<_>, JournalError> = found
                .map(|(name, to)| Ok((stored::entity(&name)?, Seq(to.cast_unsigned()))))
                .collect();
            let mut deletions = deletions?;
            deletions.sort_unstable();
            deletions.truncate(limit);
            Ok(deletions)
        })
    }
}

impl CassandraJournal {
    async fn kept(&self, after: Mark, limit: usize) -> Result<Vec<Kept>, JournalError> {
        let (head, link) = (self.head().await?, self.link()?);
        let (mut kept, mut skipped) = (Vec::new(), 0);
        if after.offset > head.last_offset {
            return Ok(kept);
        }
        let first = match after.offset.get().checked_sub(1) {
            Some(before) => self.tail.behind(link, head, before).await?,
            None => 1,
        };
        let mut steps = Steps::of(link, first, head.number);
        while kept.len() < limit
            && let Some(step) = steps.next().await?
        {
            // The next page begins in the last of them.
            let passed = (step.begins, step.number.saturating_sub(1));
            for slot in placed(step) {
                let is_before = slot.stands < after.offset;
                if slot.stands == after.offset && skipped < after.appends {
                    skipped = skipped.saturating_add(1);
                } else if !is_before && kept.len() < limit {
                    kept.push(slot.kept(self).await?);
                }
            }
            self.tail.remember(passed);
        }
        Ok(kept)
    }
}

/// An append at its place.
struct Placed {
    number: u64,
    place: usize,
    /// Where it stands.
    stands: Offset,
    slot: stored::Slot,
}

fn placed(step: Passed) -> impl Iterator<Item = Placed> {
    let (number, mut before) = (step.number, step.begins);
    step.slots
        .into_iter()
        .enumerate()
        .map(move |(place, slot)| {
            let stands = Offset(before.saturating_add(slot.events.min(1)));
            before = before.saturating_add(slot.events);
            Placed {
                number,
                place,
                stands,
                slot,
            }
        })
}

impl Placed {
    async fn kept(self, journal: &CassandraJournal) -> Result<Kept, JournalError> {
        let Self {
            number,
            place,
            stands,
            slot,
        } = self;
        let append = steps::append(journal.link()?, number, place, slot.body).await?;
        let deleted = append.gone;
        let append = append.append(stored::entity(&slot.entity)?, slot.expected)?;
        Ok(Kept {
            append: Append {
                expected: Seq(slot.expected),
                ..append
            },
            deleted,
            offset: stands,
        })
    }
}

fn shard((kind, number, epoch): (String, i64, i64)) -> Result<(ShardId, Epoch), JournalError> {
    let number = u32::try_from(number).map_err(|_| stored::foreign("the number of a shard"))?;
    let shard = ShardId {
        kind: kind.into(),
        number,
    };
    Ok((shard, Epoch(epoch.cast_unsigned())))
}

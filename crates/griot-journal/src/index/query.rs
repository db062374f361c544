//! What readers ask an index.

use griot_core::{EffectId, EntityId, Epoch, Seq};

use super::{Index, Place};
use crate::{SeqRange, ShardId, Unsettled};

/// Commits to read, and which of their events count.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) places: Vec<Place>,
    /// Sequences at or below it are deleted.
    pub(crate) deleted: Seq,
}

impl Index {
    /// The highest durable sequence.
    pub(crate) fn last_seq(&self, entity: &EntityId) -> Seq {
        self.find(entity)
            .and_then(|slot| self.entry(slot))
            .map_or(Seq::ZERO, |entry| entry.durable)
    }

    /// The highest deleted sequence. Cheap while nothing was ever deleted.
    pub(crate) fn deleted(&self, entity: &EntityId) -> Seq {
        if self.deletions == 0 {
            return Seq::ZERO;
        }
        self.find(entity)
            .and_then(|slot| self.entry(slot))
            .map_or(Seq::ZERO, |entry| entry.deleted)
    }

    /// Which commits hold the events of `range`.
    pub(crate) fn plan_events(&self, entity: &EntityId, range: SeqRange) -> Plan {
        let Some(entry) = self.find(entity).and_then(|slot| self.entry(slot)) else {
            return Plan::default();
        };
        let from = range.from.max(entry.deleted.next());
        let to = range.to.min(entry.durable);
        let start = entry.commits.partition_point(|commit| commit.last < from);
        let mut before = start
            .checked_sub(1)
            .and_then(|previous| entry.commits.get(previous))
            .map_or(entry.deleted, |commit| commit.last);
        let mut wanted = u64::try_from(range.limit).unwrap_or(u64::MAX);
        let mut places = Vec::new();
        for commit in entry.commits.get(start..).unwrap_or_default() {
            if before >= to || wanted == 0 || from > to {
                break;
            }
            if commit.last > before {
                places.push(commit.place);
                let first = before.next().max(from);
                let count = commit
                    .last
                    .get()
                    .saturating_sub(first.get())
                    .saturating_add(1);
                wanted = wanted.saturating_sub(count);
            }
            before = commit.last;
        }
        Plan {
            places,
            deleted: entry.deleted,
        }
    }

    /// Which commits begin with the one that reached `from`.
    pub(crate) fn plan_commits(
        &self,
        entity: &EntityId,
        from: Seq,
        skip: usize,
        limit: usize,
    ) -> Plan {
        let Some(entry) = self.find(entity).and_then(|slot| self.entry(slot)) else {
            return Plan::default();
        };
        let start = entry.commits.partition_point(|commit| commit.last < from);
        let commits = entry.commits.iter().skip(start).skip(skip).take(limit);
        Plan {
            places: commits.map(|commit| commit.place).collect(),
            deleted: entry.deleted,
        }
    }

    /// Effects of entities of `kind` without an outcome, after `after`: entities in the order in
    /// which they were first written, effects in the order of their names.
    pub(crate) fn plan_unsettled(
        &self,
        kind: &str,
        after: Option<&Unsettled>,
        limit: usize,
    ) -> Vec<(EntityId, EffectId, Place)> {
        let start = after.and_then(|last| self.find(&last.entity)).unwrap_or(0);
        let slots = self.unsettled.range(start..);
        let mut plan = Vec::new();
        for entry in slots.filter_map(|&slot| self.entry(slot)) {
            if entry.id.kind() != kind {
                continue;
            }
            let seen = after.filter(|last| last.entity == entry.id);
            for effect in entry.effects() {
                if seen.is_some_and(|last| effect.id <= last.record.id) {
                    continue;
                }
                if plan.len() >= limit {
                    return plan;
                }
                plan.push((entry.id.clone(), effect.id, effect.place));
            }
        }
        plan
    }

    /// Every shard that was ever claimed.
    pub(crate) fn shards(&self) -> Vec<(ShardId, Epoch)> {
        let epochs = self.epochs.iter();
        epochs
            .map(|(shard, &epoch)| (shard.clone(), epoch))
            .collect()
    }

    /// The entities that have deleted events, named after `after`.
    pub(crate) fn deletions(&self, after: Option<&EntityId>, limit: usize) -> Vec<(EntityId, Seq)> {
        if self.deletions == 0 {
            return Vec::new();
        }
        let deleted = self
            .entries
            .iter()
            .filter(|entry| entry.deleted > Seq::ZERO);
        let mut found: Vec<_> = deleted
            .filter(|entry| after.is_none_or(|after| entry.id > *after))
            .map(|entry| (entry.id.clone(), entry.deleted))
            .collect();
        found.sort_unstable();
        found.truncate(limit);
        found
    }

    /// How many slots there are to look through for entities.
    pub(crate) fn slots(&self) -> usize {
        self.entries.len()
    }

    /// The entities in a range of slots that are of `kind` and named after `after`.
    pub(crate) fn names<'a>(
        &'a self,
        slots: std::ops::Range<usize>,
        kind: Option<&'a str>,
        after: Option<&'a EntityId>,
    ) -> impl Iterator<Item = &'a EntityId> {
        let count = slots.len();
        let entries = self.entries.iter().skip(slots.start).take(count);
        entries
            .filter(|entry| !entry.is_new())
            .map(|entry| &entry.id)
            .filter(move |id| {
                kind.is_none_or(|kind| id.kind() == kind) && after.is_none_or(|after| *id > after)
            })
    }
}

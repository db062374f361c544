//! What a journal keeps in memory: each entity's sequence, its commits' places, its keys, its
//! effects without an outcome, and who owns which shard.
//!
//! A batch is first **staged**: checked against all that is stored or staged before it, and
//! written to the log. It is **applied**, and only then seen by readers, once the log is durable.

mod entry;
mod query;

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};

use griot_core::{EffectId, EntityId, Epoch, Offset, Seq};
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub use entry::KEYS_KEPT;
pub(crate) use entry::Place;
use entry::{CommitAt, EffectAt, Entry};

use crate::embedded::wire::Skimmed;
use crate::{Answer, Append, AppendError, Batch, Commit, JournalError, ShardId};

/// The log that an index is about.
pub(crate) trait Log {
    /// Writes an append whose first event has the offset `first`. It is not durable yet.
    fn write(&mut self, append: &Append, first: Offset) -> Place;
    /// Reads a durable commit back.
    fn read(&mut self, place: Place) -> Result<Commit, JournalError>;
}

/// A staged append: whose, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Staged {
    slot: u32,
    place: Place,
    /// Whether the entity was unknown before it: then taking it back forgets the entity.
    is_first: bool,
}

/// An append's entity: the hash of its name, and its slot where that is known.
#[derive(Clone, Copy)]
struct Found {
    hash: u64,
    slot: Option<u32>,
}

/// Why a batch is not staged.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// For good; nothing of it is.
    Error(AppendError),
    /// It may repeat a key of a batch that is staged: make that durable, then try again.
    Later,
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        Self::Error(error)
    }
}

/// XXH3 under a seed that each process draws for itself, so that nobody can choose names that collide.
#[derive(Debug)]
struct NameHasher {
    seed: u64,
}

impl Default for NameHasher {
    fn default() -> Self {
        Self {
            seed: RandomState::new().hash_one("seed"),
        }
    }
}

impl NameHasher {
    fn hash(&self, name: &str) -> u64 {
        xxh3_64_with_seed(name.as_bytes(), self.seed)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Index {
    hasher: NameHasher,
    /// Hash of the name, and the slot in `entries`.
    slots: HashTable<(u64, u32)>,
    entries: Vec<Entry>,
    /// The slots of entities that have effects without an outcome.
    unsettled: BTreeSet<u32>,
    epochs: HashMap<ShardId, Epoch>,
    staged_offset: Offset,
    durable_offset: Offset,
    deletions: u64,
}

impl Index {
    /// The owner's epoch of a shard; zero for one that was never claimed.
    pub(crate) fn epoch(&self, shard: &ShardId) -> Epoch {
        self.epochs.get(shard).copied().unwrap_or(Epoch::ZERO)
    }

    /// Stages or applies a claim; `Epoch::ZERO` withdraws it.
    pub(crate) fn set_epoch(&mut self, shard: &ShardId, epoch: Epoch) {
        if epoch == Epoch::ZERO {
            self.epochs.remove(shard);
        } else {
            self.epochs.insert(shard.clone(), epoch);
        }
    }

    /// The offset of the last event, staged ones included.
    pub(crate) fn staged_offset(&self) -> Offset {
        self.staged_offset
    }

    /// The offset of the last event that is durable.
    pub(crate) fn durable_offset(&self) -> Offset {
        self.durable_offset
    }

    /// Checks a batch against all that is stored or staged, and writes it to `log`; whatever lies
    /// at or beyond `undurable` is staged. Pushes one [`Staged`] per append.
    pub(crate) fn stage(
        &mut self,
        batch: &Batch,
        undurable: Place,
        log: &mut impl Log,
        staged: &mut Vec<Staged>,
    ) -> Result<(), Refusal> {
        let current = self.epoch(&batch.shard);
        if batch.epoch != current {
            return Err(Refusal::Error(AppendError::Fenced {
                shard: batch.shard.clone(),
                held: batch.epoch,
                current,
            }));
        }
        let before = staged.len();
        let found = self.look_up(&batch.appends);
        for (number, (append, found)) in batch.appends.iter().zip(found).enumerate() {
            let own = batch.appends.get(..number).unwrap_or_default();
            match self.stage_one(append, found, own, undurable, log) {
                Ok(one) => staged.push(one),
                Err(refusal) => {
                    self.unstage(own, staged.get(before..).unwrap_or_default());
                    staged.truncate(before);
                    return Err(refusal);
                }
            }
        }
        Ok(())
    }

    /// Finds the entities of all appends, step by step: each step waits for memory, and does so for
    /// many at a time where nothing else stands between.
    fn look_up(&self, appends: &[Append]) -> Vec<Found> {
        let names = appends.iter().map(|append| append.entity.as_str());
        let hashes: Vec<u64> = names.map(|name| self.hasher.hash(name)).collect();
        let first_of = |&hash: &u64| {
            let found = self.slots.find(hash, |&(other, _)| other == hash);
            let slot = found.map(|&(_, slot)| slot);
            Found { hash, slot }
        };
        let mut found: Vec<Found> = hashes.iter().map(first_of).collect();
        for (found, append) in found.iter_mut().zip(appends) {
            let entry = found.slot.and_then(|slot| self.entry(slot));
            if entry.is_none_or(|entry| entry.id != append.entity) {
                found.slot = None;
            }
        }
        found
    }

    fn stage_one(
        &mut self,
        append: &Append,
        found: Found,
        own: &[Append],
        undurable: Place,
        log: &mut impl Log,
    ) -> Result<Staged, Refusal> {
        let Found { hash, slot } = found;
        // Another name may have the same hash, and an append before this one may have added it.
        let found = slot.or_else(|| self.find_hashed(hash, append.entity.as_str()));
        let key = append
            .answer
            .as_ref()
            .map(|answer| self.hash_key(&answer.key));
        if let (Some(slot), Some(answer), Some(key)) = (found, &append.answer, key) {
            self.check_key(slot, append, answer, key, own, undurable, log)?;
        }
        let actual = found
            .and_then(|slot| self.entry(slot))
            .map_or(Seq::ZERO, |entry| entry.staged);
        if actual != append.expected {
            return Err(Refusal::Error(AppendError::Conflict {
                entity: append.entity.clone(),
                expected: append.expected,
                actual,
            }));
        }
        let events = u64::try_from(append.events.len()).unwrap_or(u64::MAX);
        let (Some(last), Some(end)) = (
            append.expected.get().checked_add(events),
            self.staged_offset.get().checked_add(events),
        ) else {
            return Err(refused("the journal's numbers are used up"));
        };
        let slot = match found {
            Some(slot) => slot,
            None => self.insert(hash, append.entity.clone())?,
        };
        let place = log.write(append, self.staged_offset.next());
        self.staged_offset = Offset(end);
        if let Some(entry) = self.entry_mut(slot) {
            entry.staged = Seq(last);
            if let Some(key) = key {
                entry.keys.push(key, place);
            }
        }
        let is_first = found.is_none();
        Ok(Staged {
            slot,
            place,
            is_first,
        })
    }

    /// Whether the entity has answered this key before. Hashes are compared first; a key whose
    /// hash is known is compared itself, in the commit that holds it.
    #[expect(
        clippy::too_many_arguments,
        reason = "one call, one place; a struct would only name them again"
    )]
    fn check_key(
        &self,
        slot: u32,
        append: &Append,
        answer: &Answer,
        key: u32,
        own: &[Append],
        undurable: Place,
        log: &mut impl Log,
    ) -> Result<(), Refusal> {
        let Some(entry) = self.entry(slot) else {
            return Ok(());
        };
        for place in entry.keys.places(key) {
            if place < undurable {
                let commit = log.read(place).map_err(AppendError::Refused)?;
                if let Some(first) = commit.append.answer.filter(|first| first.key == answer.key) {
                    return Err(Refusal::Error(AppendError::Answered {
                        entity: append.entity.clone(),
                        answer: first,
                    }));
                }
            } else if own.iter().any(|other| {
                other.entity == append.entity
                    && other
                        .answer
                        .as_ref()
                        .is_some_and(|other| other.key == answer.key)
            }) {
                return Err(refused("one batch carries the same key of an entity twice"));
            } else if own.iter().all(|other| other.entity != append.entity) {
                return Err(Refusal::Later);
            }
        }
        Ok(())
    }

    /// Takes staged appends back, so that it is as if they had never been. They must be the last
    /// that were staged.
    pub(crate) fn unstage(&mut self, appends: &[Append], staged: &[Staged]) {
        for (append, one) in appends.iter().zip(staged).rev() {
            let events = u64::try_from(append.events.len()).unwrap_or(u64::MAX);
            self.staged_offset = Offset(self.staged_offset.get().saturating_sub(events));
            let last = u32::try_from(self.entries.len().saturating_sub(1)).ok();
            let Some(entry) = self.entry_mut(one.slot) else {
                continue;
            };
            entry.staged = append.expected;
            if append.answer.is_some() {
                entry.keys.pop();
            }
            if one.is_first && last == Some(one.slot) {
                self.remove_last();
            }
        }
    }

    /// Makes staged appends seen, now that they are durable.
    pub(crate) fn apply(&mut self, appends: &[Append], staged: &[Staged]) {
        for (append, one) in appends.iter().zip(staged) {
            let events = u64::try_from(append.events.len()).unwrap_or(u64::MAX);
            self.durable_offset = Offset(self.durable_offset.get().saturating_add(events));
            let Some(entry) = self.entry_mut(one.slot) else {
                continue;
            };
            let last = Seq(append.expected.get().saturating_add(events));
            let place = one.place;
            entry.durable = last;
            entry.commits.push(CommitAt { last, place });
            entry.keys.shrink();
            let effects = append.effects.iter().map(|record| record.id);
            self.settle(one.slot, place, effects, &append.settled);
        }
    }

    /// Takes in an append that was read from the log; `None` where it does not continue what was
    /// read before.
    pub(crate) fn replay(&mut self, append: &Skimmed<'_>, place: Place) -> Option<()> {
        let hash = self.hasher.hash(append.entity);
        let slot = match self.find_hashed(hash, append.entity) {
            Some(slot) => slot,
            None => self.insert(hash, append.entity.parse().ok()?).ok()?,
        };
        let key = append.key.map(|key| self.hash_key(key));
        let continues = append.first == self.durable_offset.next().get();
        let end = self.durable_offset.get().checked_add(append.events)?;
        let entry = self.entry_mut(slot)?;
        if entry.durable != append.expected || !continues {
            return None;
        }
        let last = Seq(append.expected.get().checked_add(append.events)?);
        entry.durable = last;
        entry.staged = last;
        entry.commits.push(CommitAt { last, place });
        if let Some(key) = key {
            entry.keys.push(key, place);
            entry.keys.shrink();
        }
        self.settle(slot, place, append.effects.iter().copied(), &append.settled);
        self.durable_offset = Offset(end);
        self.staged_offset = Offset(end);
        Some(())
    }

    /// Takes in the effects of a commit, and which ones it settled.
    fn settle(
        &mut self,
        slot: u32,
        place: Place,
        effects: impl Iterator<Item = EffectId>,
        settled: &[EffectId],
    ) {
        let Some(entry) = self.entry_mut(slot) else {
            return;
        };
        let before = entry.effects().is_empty();
        for id in effects {
            entry.add_effect(EffectAt { id, place });
        }
        entry.settle(settled);
        match (before, entry.effects().is_empty()) {
            (true, false) => drop(self.unsettled.insert(slot)),
            (false, true) => drop(self.unsettled.remove(&slot)),
            _ => {}
        }
    }

    /// Deletes an entity's events up to `to`, as far as they are durable.
    pub(crate) fn delete(&mut self, entity: &EntityId, to: Seq) {
        if let Some(entry) = self.find(entity).and_then(|slot| self.entry_mut(slot)) {
            entry.delete(to);
            self.deletions = self.deletions.saturating_add(1);
        }
    }

    fn find(&self, entity: &EntityId) -> Option<u32> {
        self.find_hashed(self.hasher.hash(entity.as_str()), entity.as_str())
    }

    fn find_hashed(&self, hash: u64, name: &str) -> Option<u32> {
        let is_it = |&(other, slot): &(u64, u32)| {
            other == hash
                && self
                    .entry(slot)
                    .is_some_and(|entry| entry.id.as_str() == name)
        };
        self.slots.find(hash, is_it).map(|&(_, slot)| slot)
    }

    fn insert(&mut self, hash: u64, entity: EntityId) -> Result<u32, Refusal> {
        let Ok(slot) = u32::try_from(self.entries.len()) else {
            return Err(refused(
                "the journal holds as many entities as it can number",
            ));
        };
        self.entries.push(Entry::new(entity));
        self.slots
            .insert_unique(hash, (hash, slot), |&(hash, _)| hash);
        Ok(slot)
    }

    fn remove_last(&mut self) {
        let Some(entry) = self.entries.pop() else {
            return;
        };
        let hash = self.hasher.hash(entry.id.as_str());
        let count = self.entries.len();
        let is_it = |&(_, slot): &(u64, u32)| usize::try_from(slot) == Ok(count);
        if let Ok(found) = self.slots.find_entry(hash, is_it) {
            found.remove();
        }
    }

    fn entry(&self, slot: u32) -> Option<&Entry> {
        self.entries.get(usize::try_from(slot).ok()?)
    }

    fn entry_mut(&mut self, slot: u32) -> Option<&mut Entry> {
        self.entries.get_mut(usize::try_from(slot).ok()?)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low half of a hash is a hash"
    )]
    fn hash_key(&self, key: &str) -> u32 {
        self.hasher.hash(key) as u32
    }
}

fn refused(reason: &'static str) -> Refusal {
    Refusal::Error(AppendError::Refused(JournalError::Store(
        std::sync::Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(reason)),
    )))
}

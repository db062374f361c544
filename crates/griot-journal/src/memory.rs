//! The in-memory journal and snapshot store: everything that the contracts say, save that it is
//! gone with the process.

use std::collections::{BTreeMap, HashMap};
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use griot_core::{EntityId, Epoch, Offset, Seq};
use tokio::sync::watch;

use crate::index::{Index, Log, Place, Refusal};
use crate::selection::select;
use crate::{
    Append, AppendError, Appended, Archive, Batch, BoxFuture, Commit, Filter, Journal,
    JournalError, Kept, Mark, Page, RecordedEvent, Remains, SeqRange, ShardId, Snapshot,
    SnapshotBounds, SnapshotStore, Unsettled,
};

/// A journal and a snapshot store in memory, for tests and for state that may die with its process.
///
/// Nothing is ever dropped from it; deleted events are only left out of its answers. Like the
/// embedded log it remembers the newest [`KEYS_KEPT`](crate::KEYS_KEPT) keys of each entity.
#[derive(Debug)]
pub struct MemoryJournal {
    state: Mutex<State>,
    /// `None` once closed.
    tip: watch::Sender<Option<Offset>>,
    snapshots: Mutex<HashMap<EntityId, BTreeMap<Seq, Snapshot>>>,
}

#[derive(Debug, Default)]
struct State {
    index: Index,
    log: Commits,
    closed: bool,
}

/// A place is a position in this list.
#[derive(Debug, Default)]
struct Commits(Vec<Commit>);

impl Log for Commits {
    fn write(&mut self, append: &Append, first: Offset) -> Place {
        let place = Place(u64::try_from(self.0.len()).unwrap_or(u64::MAX));
        let before = u64::from(append.events.is_empty());
        self.0.push(Commit {
            append: append.clone(),
            offset: Offset(first.get().saturating_sub(before)),
        });
        place
    }

    fn read(&mut self, place: Place) -> Result<Commit, JournalError> {
        self.get(place).cloned().ok_or(JournalError::Closed)
    }
}

impl Commits {
    fn get(&self, place: Place) -> Option<&Commit> {
        self.0.get(usize::try_from(place.0).ok()?)
    }

    fn all<'a>(&'a self, places: &'a [Place]) -> impl Iterator<Item = &'a Commit> {
        places.iter().filter_map(|&place| self.get(place))
    }
}

impl Default for MemoryJournal {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryJournal {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            state: Mutex::default(),
            tip: watch::Sender::new(Some(Offset::ZERO)),
            snapshots: Mutex::default(),
        }
    }

    fn open(&self) -> Result<MutexGuard<'_, State>, JournalError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Err(JournalError::Closed);
        }
        Ok(state)
    }

    fn append_now(&self, batch: &Batch) -> Result<Appended, AppendError> {
        let mut guard = self.open().map_err(AppendError::Refused)?;
        let state = &mut *guard;
        if batch.appends.is_empty() {
            let last_offset = state.index.durable_offset();
            return Ok(Appended { last_offset });
        }
        let before = state.log.0.len();
        let undurable = Place(u64::try_from(before).unwrap_or(u64::MAX));
        let mut staged = Vec::with_capacity(batch.appends.len());
        let outcome = state
            .index
            .stage(batch, undurable, &mut state.log, &mut staged);
        if let Err(refusal) = outcome {
            state.log.0.truncate(before);
            return Err(match refusal {
                Refusal::Error(error) => error,
                // Nothing is ever staged here beside the batch itself.
                Refusal::Later => AppendError::Refused(JournalError::Closed),
            });
        }
        state.index.apply(&batch.appends, &staged);
        let last_offset = state.index.durable_offset();
        self.tip.send_replace(Some(last_offset));
        Ok(Appended { last_offset })
    }

    fn tail_now(&self, after: Offset, filter: &Filter, limit: usize) -> Result<Page, JournalError> {
        let state = self.open()?;
        let start = state.log.0.partition_point(|commit| {
            let events = u64::try_from(commit.append.events.len()).unwrap_or(u64::MAX);
            commit.offset.get().saturating_add(events.saturating_sub(1)) <= after.get()
        });
        let commits = state.log.0.iter().skip(start).cloned();
        let mut page = Page {
            events: Vec::new(),
            next: after,
        };
        let events = commits.flat_map(Commit::into_events);
        for event in events.filter(|event| event.offset > after).take(limit) {
            page.next = event.offset;
            if filter.admits(&event) && event.seq > state.index.deleted(&event.entity) {
                page.events.push(event);
            }
        }
        Ok(page)
    }

    fn unsettled_now(
        &self,
        kind: &str,
        after: Option<&Unsettled>,
        limit: usize,
    ) -> Result<Vec<Unsettled>, JournalError> {
        let state = self.open()?;
        let plan = state.index.plan_unsettled(kind, after, limit);
        let found = plan.into_iter().filter_map(|(entity, id, place)| {
            let append = &state.log.get(place)?.append;
            let record = append
                .effects
                .iter()
                .find(|record| record.id == id)?
                .clone();
            Some(Unsettled {
                entity,
                at: append.at,
                record,
            })
        });
        Ok(found.collect())
    }
}

impl Journal for MemoryJournal {
    fn claim<'a>(&'a self, shard: &'a ShardId) -> BoxFuture<'a, Result<Epoch, JournalError>> {
        Box::pin(ready(self.open().map(|mut state| {
            let epoch = state.index.epoch(shard).next();
            state.index.set_epoch(shard, epoch);
            epoch
        })))
    }

    fn append(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<Appended, AppendError>> {
        Box::pin(ready(self.append_now(&batch)))
    }

    fn events<'a>(
        &'a self,
        entity: &'a EntityId,
        range: SeqRange,
    ) -> BoxFuture<'a, Result<Vec<RecordedEvent>, JournalError>> {
        Box::pin(ready(self.open().map(|state| {
            let plan = state.index.plan_events(entity, range);
            select(state.log.all(&plan.places).cloned(), plan.deleted, range)
        })))
    }

    fn commits<'a>(
        &'a self,
        entity: &'a EntityId,
        from: Seq,
        skip: usize,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Commit>, JournalError>> {
        Box::pin(ready(self.open().map(|state| {
            let plan = state.index.plan_commits(entity, from, skip, limit);
            let commits = state.log.all(&plan.places).cloned();
            commits.map(|commit| commit.beyond(plan.deleted)).collect()
        })))
    }

    fn last_seq<'a>(&'a self, entity: &'a EntityId) -> BoxFuture<'a, Result<Seq, JournalError>> {
        Box::pin(ready(self.open().map(|state| state.index.last_seq(entity))))
    }

    fn tail<'a>(
        &'a self,
        after: Offset,
        filter: &'a Filter,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page, JournalError>> {
        Box::pin(ready(self.tail_now(after, filter, limit)))
    }

    fn advanced(&self, after: Offset) -> BoxFuture<'_, Result<Offset, JournalError>> {
        let mut tip = self.tip.subscribe();
        Box::pin(async move {
            let beyond = |tip: &Option<Offset>| tip.is_none_or(|offset| offset > after);
            let tip = tip
                .wait_for(beyond)
                .await
                .map_err(|_| JournalError::Closed)?;
            tip.ok_or(JournalError::Closed)
        })
    }

    fn unsettled<'a>(
        &'a self,
        kind: &'a str,
        after: Option<&'a Unsettled>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Unsettled>, JournalError>> {
        Box::pin(ready(self.unsettled_now(kind, after, limit)))
    }

    fn entities<'a>(
        &'a self,
        kind: Option<&'a str>,
        after: Option<&'a EntityId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<EntityId>, JournalError>> {
        Box::pin(ready(self.open().map(|state| {
            let all = 0..state.index.slots();
            let mut names: Vec<_> = state.index.names(all, kind, after).cloned().collect();
            names.sort_unstable();
            names.truncate(limit);
            names
        })))
    }

    fn delete<'a>(
        &'a self,
        entity: &'a EntityId,
        to: Seq,
    ) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(ready(
            self.open().map(|mut state| state.index.delete(entity, to)),
        ))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        if let Ok(mut state) = self.open() {
            state.closed = true;
            self.tip.send_replace(None);
        }
        Box::pin(ready(()))
    }
}

impl MemoryJournal {
    fn kept(&self) -> MutexGuard<'_, HashMap<EntityId, BTreeMap<Seq, Snapshot>>> {
        self.snapshots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Archive for MemoryJournal {
    fn appends(&self, after: Mark, limit: usize) -> BoxFuture<'_, Result<Vec<Kept>, JournalError>> {
        Box::pin(ready(self.open().map(|state| {
            let all = &state.log.0;
            let start = all.partition_point(|commit| commit.offset < after.offset);
            let there = all
                .get(start..)
                .unwrap_or_default()
                .iter()
                .take_while(|commit| commit.offset == after.offset)
                .count();
            let commits = all.iter().skip(start).skip(after.appends.min(there));
            let kept = commits.take(limit).map(|commit| {
                let deleted = state.index.deleted(&commit.append.entity);
                Kept::of(commit.append.clone(), commit.offset, deleted)
            });
            kept.collect()
        })))
    }

    /// Nothing: deleted appends are still read.
    fn remains<'a>(
        &'a self,
        _entity: &'a EntityId,
    ) -> BoxFuture<'a, Result<Remains, JournalError>> {
        Box::pin(ready(Ok(Remains::default())))
    }

    fn shards(&self) -> BoxFuture<'_, Result<Vec<(ShardId, Epoch)>, JournalError>> {
        Box::pin(ready(self.open().map(|state| state.index.shards())))
    }

    fn deletions<'a>(
        &'a self,
        after: Option<&'a EntityId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(EntityId, Seq)>, JournalError>> {
        Box::pin(ready(
            self.open().map(|state| state.index.deletions(after, limit)),
        ))
    }
}

impl SnapshotStore for MemoryJournal {
    fn save(&self, snapshot: Snapshot, keep: usize) -> BoxFuture<'_, Result<(), JournalError>> {
        let mut kept = self.kept();
        let of_entity = kept.entry(snapshot.entity.clone()).or_default();
        of_entity.insert(snapshot.seq, snapshot);
        while of_entity.len() > keep {
            of_entity.pop_first();
        }
        Box::pin(ready(Ok(())))
    }

    fn load<'a>(
        &'a self,
        entity: &'a EntityId,
        bounds: SnapshotBounds,
    ) -> BoxFuture<'a, Result<Option<Snapshot>, JournalError>> {
        let kept = self.kept();
        let found = kept.get(entity).and_then(|of_entity| {
            let mut within = of_entity.range(..=bounds.seq).rev();
            within.find(|(_, snapshot)| snapshot.at <= bounds.at)
        });
        let found = found.map(|(_, snapshot)| snapshot.clone());
        Box::pin(ready(Ok(found)))
    }

    fn delete<'a>(
        &'a self,
        entity: &'a EntityId,
        bounds: SnapshotBounds,
    ) -> BoxFuture<'a, Result<(), JournalError>> {
        if let Some(of_entity) = self.kept().get_mut(entity) {
            of_entity.retain(|&seq, snapshot| seq > bounds.seq || snapshot.at > bounds.at);
        }
        Box::pin(ready(Ok(())))
    }
}

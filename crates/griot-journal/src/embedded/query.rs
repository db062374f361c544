//! What reads do, on a thread that may block.

use std::collections::BinaryHeap;

use griot_core::{EffectId, EntityId, Offset, Seq};

use super::committer::Tail;
use super::reader::Reader;
use super::shared::Shared;
use crate::index::Place;
use crate::{Commit, Filter, JournalError, Kept, Mark, Page, Unsettled};

pub(crate) fn commits(
    shared: &Shared,
    places: &[Place],
    deleted: Seq,
) -> Result<Vec<Commit>, JournalError> {
    let mut reader = Reader::new(&shared.segments);
    places
        .iter()
        .map(|&place| Ok(reader.commit(place)?.beyond(deleted)))
        .collect()
}

pub(crate) fn page(
    shared: &Shared,
    after: Offset,
    filter: &Filter,
    limit: usize,
) -> Result<Page, JournalError> {
    let mut found = Page {
        events: Vec::new(),
        next: after,
    };
    let mut left = limit;
    let mut reader = Reader::new(&shared.segments);
    let mut place = shared.segments.before(after.next());
    while let Some(at) = place.filter(|_| left > 0) {
        let Some(header) = reader.frame(at)? else {
            let next = at.segment().saturating_add(1);
            let there = shared.segments.get(next).is_some();
            place = there.then(|| Place::new(next, Tail::START));
            continue;
        };
        let size = u64::try_from(header.size()).unwrap_or(u64::MAX);
        for commit in reader.commits(at, &header, after, left)? {
            let deleted = shared.index().deleted(&commit.append.entity);
            for event in commit
                .into_events()
                .filter(|event| event.offset > after)
                .take(left)
            {
                left = left.saturating_sub(1);
                found.next = event.offset;
                if event.seq > deleted && filter.admits(&event) {
                    found.events.push(event);
                }
            }
        }
        place = Some(Place(at.0.saturating_add(size)));
    }
    Ok(found)
}

pub(crate) fn appends(
    shared: &Shared,
    after: Mark,
    limit: usize,
) -> Result<Vec<Kept>, JournalError> {
    let mut found = Vec::new();
    let mut passed = 0;
    let mut reader = Reader::new(&shared.segments);
    let mut place = shared.segments.before(after.offset);
    while let Some(at) = place.filter(|_| found.len() < limit) {
        let Some(header) = reader.frame(at)? else {
            let next = at.segment().saturating_add(1);
            let there = shared.segments.get(next).is_some();
            place = there.then(|| Place::new(next, Tail::START));
            continue;
        };
        let size = u64::try_from(header.size()).unwrap_or(u64::MAX);
        for commit in reader.all_commits(at, &header)? {
            if commit.offset < after.offset {
                continue;
            }
            if commit.offset == after.offset && passed < after.appends {
                passed = passed.saturating_add(1);
                continue;
            }
            if found.len() >= limit {
                break;
            }
            let deleted = shared.index().deleted(&commit.append.entity);
            found.push(Kept::of(commit.append, commit.offset, deleted));
        }
        place = Some(Place(at.0.saturating_add(size)));
    }
    Ok(found)
}

pub(crate) fn unsettled(
    shared: &Shared,
    plan: Vec<(EntityId, EffectId, Place)>,
) -> Result<Vec<Unsettled>, JournalError> {
    let mut reader = Reader::new(&shared.segments);
    let mut found = Vec::with_capacity(plan.len());
    for (entity, id, place) in plan {
        let append = reader.commit(place)?.append;
        let record = append.effects.into_iter().find(|record| record.id == id);
        let record =
            record.ok_or_else(|| reader.corrupt(place, "an effect is not where it was"))?;
        found.push(Unsettled {
            entity,
            at: append.at,
            record,
        });
    }
    Ok(found)
}

/// How many entities are looked at before the index is let go for a moment.
pub(crate) const NAMES_AT_ONCE: usize = 4096;

pub(crate) fn names(
    shared: &Shared,
    kind: Option<&str>,
    after: Option<&EntityId>,
    limit: usize,
) -> Vec<EntityId> {
    let mut found = BinaryHeap::new();
    let mut from = 0;
    loop {
        let index = shared.index();
        if from >= index.slots() || limit == 0 {
            return found.into_sorted_vec();
        }
        let to = from.saturating_add(NAMES_AT_ONCE);
        for name in index.names(from..to, kind, after) {
            if found.len() < limit {
                found.push(name.clone());
            } else if let Some(mut largest) = found.peek_mut().filter(|largest| name < &**largest) {
                *largest = name.clone();
            }
        }
        from = to;
    }
}

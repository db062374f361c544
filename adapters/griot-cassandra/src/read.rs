//! What is read of the tables, and rows as events, commits and effects.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use griot_core::{EntityId, Epoch, Offset, Seq, Timestamp};
use griot_journal::{Answer, Commit, JournalError, RecordedEvent, SeqRange, ShardId, Unsettled};
use uuid::Uuid;

use crate::body;
use crate::carry::{EFFECT_BUCKETS, NAME_BUCKETS, bucket, key_id};
use crate::chain::chunk;
use crate::link::{Link, Pages, all};
use crate::stored::{self, StoredAppend};

/// How many buckets are asked at a time.
const BUCKETS_AT_ONCE: usize = 16;

/// A step of the log, as it is found there.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) id: Uuid,
    pub(crate) last_offset: Offset,
    pub(crate) revision: i64,
    pub(crate) body: Bytes,
}

/// The step of this number, if somebody put one there: whoever is about to is waited for.
pub(crate) async fn step(link: &Link, number: u64) -> Result<Option<Found>, JournalError> {
    let place = (
        &link.journal,
        chunk(number).cast_signed(),
        number.cast_signed(),
    );
    let rows: Vec<(Uuid, i64, i64, Vec<u8>)> = link.rows(&link.statements.step_of, place).await?;
    let found = rows.into_iter().next();
    Ok(found.map(|(id, last_offset, revision, body)| Found {
        id,
        last_offset: Offset(last_offset.cast_unsigned()),
        revision,
        body: body.into(),
    }))
}

pub(crate) async fn epoch(link: &Link, shard: &ShardId) -> Result<Epoch, JournalError> {
    let values = (&link.journal, &*shard.kind, i64::from(shard.number));
    let rows: Vec<(i64,)> = link.rows(&link.statements.shard, values).await?;
    let epoch = rows.first().map(|(epoch,)| Epoch(epoch.cast_unsigned()));
    Ok(epoch.unwrap_or(Epoch::ZERO))
}

pub(crate) async fn last_seq(link: &Link, entity: &EntityId) -> Result<Seq, JournalError> {
    let values = (&link.journal, entity.as_str());
    let rows: Vec<(i64,)> = link.rows(&link.statements.last_seq, values).await?;
    let seq = rows.first().map(|(seq,)| Seq(seq.cast_unsigned()));
    Ok(seq.unwrap_or(Seq::ZERO))
}

pub(crate) async fn answer(
    link: &Link,
    entity: &EntityId,
    key: &str,
) -> Result<Option<Answer>, JournalError> {
    let values = (&link.journal, entity.as_str(), key_id(key));
    let rows: Vec<(String, i64, Vec<u8>)> = link.rows(&link.statements.answer, values).await?;
    let Some((key, fingerprint, reply)) = rows.into_iter().find(|(found, ..)| found == key) else {
        return Ok(None);
    };
    Ok(Some(Answer {
        key,
        fingerprint: fingerprint.cast_unsigned(),
        reply: body::read(link, reply.into()).await?,
    }))
}

/// An append in its entity's history.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The entity's after it.
    pub(crate) seq: u64,
    pub(crate) number: i64,
    pub(crate) place: i32,
    first_offset: u64,
    pub(crate) column: Bytes,
    pub(crate) append: StoredAppend,
}

impl Row {
    /// Where it stands in its entity's history.
    pub(crate) fn stands(&self) -> Place {
        (self.seq.cast_signed(), self.number, self.place)
    }

    /// The entity's sequence before it.
    pub(crate) fn expected(&self) -> u64 {
        let left = u64::try_from(self.append.events.len()).unwrap_or(u64::MAX);
        self.seq
            .saturating_sub(self.append.gone.saturating_add(left))
    }

    fn commit(self, entity: EntityId) -> Result<Commit, JournalError> {
        let offset = self.first_offset.saturating_add(self.append.gone);
        let expected = self.expected();
        Ok(Commit {
            append: self.append.append(entity, expected)?,
            offset: Offset(offset),
        })
    }
}

type Columns = (i64, i64, i32, i64, Vec<u8>);

/// Seq, number, place: where a row stands in its entity's history.
pub(crate) type Place = (i64, i64, i32);

/// An entity's appends, in order.
pub(crate) struct History<'a> {
    link: &'a Link,
    entity: &'a EntityId,
    /// The last step that counts.
    until: i64,
    pages: Pages<'a, (&'a String, &'a str, i64)>,
    ready: VecDeque<Columns>,
}

impl<'a> History<'a> {
    /// Those that reached `from`, as they were after the step `until`: a later one may be carried over in part.
    pub(crate) fn of(link: &'a Link, entity: &'a EntityId, from: u64, until: u64) -> Self {
        // Nobody ever gets to the highest.
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        let values = (&link.journal, entity.as_str(), from);
        Self {
            link,
            entity,
            until: until.cast_signed(),
            pages: link.pages(&link.statements.commits, values),
            ready: VecDeque::new(),
        }
    }

    pub(crate) async fn next(&mut self) -> Result<Option<Row>, JournalError> {
        while let Some((seq, number, place, first_offset, column)) = self.columns().await? {
            if number > self.until {
                break;
            }
            let column = Bytes::from(column);
            let again = || column_of(self.link, self.entity, (seq, number, place));
            let bytes = body::settled(self.link, column.clone(), again).await?;
            // Else it was deleted meanwhile.
            if let Some(bytes) = bytes {
                return Ok(Some(Row {
                    seq: seq.cast_unsigned(),
                    number,
                    place,
                    first_offset: first_offset.cast_unsigned(),
                    append: stored::decoded(bytes, "an append")?,
                    column,
                }));
            }
        }
        Ok(None)
    }

    async fn columns(&mut self) -> Result<Option<Columns>, JournalError> {
        while self.ready.is_empty()
            && let Some(rows) = self.pages.next().await?
        {
            self.ready = rows.into();
        }
        Ok(self.ready.pop_front())
    }
}

async fn column_of(
    link: &Link,
    entity: &EntityId,
    (seq, number, place): Place,
) -> Result<Option<Bytes>, JournalError> {
    let values = (&link.journal, entity.as_str(), seq, number, place);
    let rows: Vec<(Vec<u8>,)> = link.rows(&link.statements.commit_body, values).await?;
    let first = rows.into_iter().next();
    Ok(first.map(|(column,)| column.into()))
}

/// Where an entity's last append stands, as it was after the step `until`.
pub(crate) async fn last_commit(
    link: &Link,
    entity: &EntityId,
    until: u64,
) -> Result<Option<Place>, JournalError> {
    let values = (&link.journal, entity.as_str());
    let mut pages = link.pages(&link.statements.last_commits, values);
    while let Some(rows) = pages.next::<Place>().await? {
        let mut rows = rows.into_iter();
        let last = rows.find(|(_, number, _)| number.cast_unsigned() <= until);
        if last.is_some() {
            return Ok(last);
        }
    }
    Ok(None)
}

/// The first of an entity's events that is not deleted.
pub(crate) async fn first_event(
    link: &Link,
    entity: &EntityId,
    until: u64,
) -> Result<Option<Seq>, JournalError> {
    let mut history = History::of(link, entity, 0, until);
    while let Some(row) = history.next().await? {
        if !row.append.events.is_empty() {
            let gone = row.append.gone;
            return Ok(Some(Seq(row.expected().saturating_add(gone)).next()));
        }
    }
    Ok(None)
}

/// As they were after the step `until`.
pub(crate) async fn commits(
    link: &Link,
    entity: &EntityId,
    until: u64,
    from: Seq,
    (skip, limit): (usize, usize),
) -> Result<Vec<Commit>, JournalError> {
    let mut history = History::of(link, entity, from.get(), until);
    let (mut commits, mut skipped) = (Vec::new(), 0);
    while commits.len() < limit
        && let Some(row) = history.next().await?
    {
        if skipped < skip {
            skipped = skipped.saturating_add(1);
        } else {
            commits.push(row.commit(entity.clone())?);
        }
    }
    Ok(commits)
}

/// As they were after the step `until`.
pub(crate) async fn events(
    link: &Link,
    entity: &EntityId,
    until: u64,
    range: SeqRange,
) -> Result<Vec<RecordedEvent>, JournalError> {
    let mut found = Vec::new();
    if range.limit == 0 || range.from > range.to {
        return Ok(found);
    }
    let mut history = History::of(link, entity, range.from.get(), until);
    let mut is_over = false;
    while !is_over && let Some(row) = history.next().await? {
        let last = row.seq;
        let of_commit = recorded(row.commit(entity.clone())?);
        let within = of_commit.filter(|event| event.seq >= range.from && event.seq <= range.to);
        found.extend(within.take(range.limit.saturating_sub(found.len())));
        is_over = last >= range.to.get() || found.len() >= range.limit;
    }
    Ok(found)
}

/// A commit's events at their places.
pub(crate) fn recorded(commit: Commit) -> impl Iterator<Item = RecordedEvent> {
    let Commit { append, offset } = commit;
    let places = append.expected.get().saturating_add(1)..;
    let events = places.zip(offset.get()..).zip(append.events);
    events.map(move |((seq, offset), event)| RecordedEvent {
        entity: append.entity.clone(),
        seq: Seq(seq),
        offset: Offset(offset),
        at: append.at,
        event,
        metadata: append.metadata.clone(),
    })
}

pub(crate) async fn unsettled(
    link: &Link,
    kind: &str,
    after: Option<&Unsettled>,
    limit: usize,
) -> Result<Vec<Unsettled>, JournalError> {
    let first = after.map_or(0, |after| bucket(after.entity.as_str(), EFFECT_BUCKETS));
    let rows_max = i32::try_from(limit).unwrap_or(i32::MAX);
    if rows_max == 0 {
        return Ok(Vec::new());
    }
    let asked = stream::iter(first..EFFECT_BUCKETS).map(|bucket| async move {
        // Of the others all are asked for, and no entity's name is empty.
        let after = after.filter(|_| bucket == first);
        let entity = after.map_or("", |after| after.entity.as_str());
        let id = after.map(|after| after.record.id);
        let seq = id.map_or(i64::MIN, |id| id.seq.get().cast_signed());
        let n = id.map_or(-1, |id| i64::from(id.n));
        let values = (&link.journal, kind, bucket, entity, seq, n, rows_max);
        let pages = link.pages(&link.statements.effects, values);
        pages.all::<(String, i64, Vec<u8>)>().await
    });
    let mut asked = asked.buffered(BUCKETS_AT_ONCE);
    let mut found = Vec::new();
    while found.len() < limit
        && let Some(rows) = asked.try_next().await?
    {
        for (entity, at, column) in rows.into_iter().take(limit.saturating_sub(found.len())) {
            let bytes = body::read(link, column.into()).await?;
            found.push(Unsettled {
                entity: stored::entity(&entity)?,
                at: Timestamp::from_micros(at),
                record: stored::effect(stored::decoded(bytes, "an effect")?)?,
            });
        }
    }
    Ok(found)
}

pub(crate) async fn entities(
    link: &Link,
    kind: Option<&str>,
    after: Option<&EntityId>,
    limit: usize,
) -> Result<Vec<EntityId>, JournalError> {
    let rows_max = i32::try_from(limit).unwrap_or(i32::MAX);
    if rows_max == 0 {
        return Ok(Vec::new());
    }
    // Names begin with their kind and `/`, behind which comes `0`; nothing in UTF-8 comes behind the last character.
    let (low, high) = match kind {
        Some(kind) => (format!("{kind}/"), format!("{kind}0")),
        None => (String::new(), char::MAX.to_string()),
    };
    let low = after.map_or(low.clone(), |after| low.max(after.as_str().to_owned()));
    let asked = (0..NAME_BUCKETS).map(|bucket| {
        let values = (&link.journal, bucket, &*low, &*high, rows_max);
        link.rows::<(String,)>(&link.statements.names, values)
    });
    let found = all(asked.collect()).await?;
    let names = found.into_iter().flatten();
    let names: Result<Vec<_>, _> = names.map(|(name,)| stored::entity(&name)).collect();
    let mut names = names?;
    names.sort_unstable();
    names.truncate(limit);
    Ok(names)
}

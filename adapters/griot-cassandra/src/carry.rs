//! A step of the log, carried over into the tables that are read: entities' histories, answers, effects, epochs.
//!
//! All is written under the step's number as its timestamp. So it may be done twice, by two processes at a time, or long
//! after the steps behind it: what is there afterwards is the same.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use griot_core::{EffectId, EntityId, Offset, stable_hash};
use griot_journal::{BoxFuture, JournalError};
use prost::Message as _;
use scylla::value::CqlTimestamp;
use uuid::Uuid;

use crate::body::{self, ROW_BYTES_MAX};
use crate::chain::chunk;
use crate::link::{Link, Write, all};
use crate::read::{self, History, Row};
use crate::steps::{self, missing};
use crate::stored::{
    self, Appends, Claim, Deed, Deletion, Slot, Step, StoredAnswer, StoredAppend, StoredId,
};

/// Over so many partitions the effects of a kind are spread.
pub(crate) const EFFECT_BUCKETS: i32 = 256;

/// How many of an append's events have their names beside it; a mutation is bounded.
const NAMES_SHOWN: usize = 100;

/// So many rows of effects are one write at most: 64 KiB each, and their entity's name.
const ROWS_TOGETHER: usize = 64;

/// Over so many partitions the names of entities are spread.
pub(crate) const NAME_BUCKETS: i32 = 16;

/// The partition of an entity, of so many.
pub(crate) fn bucket(entity: &str, buckets: i32) -> i32 {
    let buckets = u64::try_from(buckets).unwrap_or(1);
    // Smaller than `buckets`, so it fits.
    i32::try_from(stable_hash(entity.as_bytes()) % buckets).unwrap_or(0)
}

/// What a key is found by.
pub(crate) fn key_id(key: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, key.as_bytes())
}

/// Carries a step over that begins behind the offset `before`. The one before it was.
pub(crate) async fn over(
    link: &Link,
    number: u64,
    before: Offset,
    step: &Step,
) -> Result<(), JournalError> {
    let step_number = number.cast_signed();
    match &step.deed {
        Some(Deed::Appends(given)) => appends(link, step_number, before, given).await,
        Some(Deed::Claim(given)) => claim(link, step_number, given).await,
        Some(Deed::Deletion(given)) => deletion(link, step_number, given).await,
        None => Err(stored::foreign(&format!("step {number} of the log")).into()),
    }
}

async fn claim(link: &Link, number: i64, claim: &Claim) -> Result<(), JournalError> {
    let shard = i64::from(claim.number);
    let epoch = claim.epoch.cast_signed();
    let values = (&link.journal, &claim.kind, shard, epoch, number);
    link.ask(&link.statements.shard_put, values).await.map(drop)
}

async fn appends(
    link: &Link,
    number: i64,
    before: Offset,
    appends: &Appends,
) -> Result<(), JournalError> {
    let mut last_seqs = HashMap::new();
    for slot in &appends.slots {
        let seq = slot.expected.saturating_add(slot.events);
        last_seqs.insert(&*slot.entity, seq);
    }
    let mut offset = before.get();
    let mut placed = Vec::with_capacity(appends.slots.len());
    for (slot, place) in appends.slots.iter().zip(0_i32..) {
        let last_seq = last_seqs.get(&*slot.entity).copied();
        placed.push(Placed {
            number,
            place,
            slot,
            last_seq: last_seq.unwrap_or(slot.expected),
            first_offset: offset.saturating_add(slot.events.min(1)),
            append: StoredAppend::default(),
        });
        offset = offset.saturating_add(slot.events);
    }
    let opened = all(placed.into_iter().map(|one| one.open(link)).collect()).await?;
    let writes = opened.iter().flat_map(|one| one.writes(link));
    all(writes.collect()).await.map(drop)
}

/// An append at its place.
struct Placed<'a> {
    number: i64,
    place: i32,
    slot: &'a Slot,
    /// The entity's after the whole step.
    last_seq: u64,
    first_offset: u64,
    /// What is in the slot, once that is read.
    append: StoredAppend,
}

impl Placed<'_> {
    async fn open(mut self, link: &Link) -> Result<Self, JournalError> {
        let (number, place) = (self.number.cast_unsigned(), index(self.place));
        self.append = steps::append(link, number, place, self.slot.body.clone()).await?;
        Ok(self)
    }

    /// All its rows, in no order: they have one timestamp, and of a row that is put and deleted under it nothing is left.
    fn writes<'a>(&'a self, link: &'a Link) -> Vec<BoxFuture<'a, Result<(), JournalError>>> {
        let mut writes: Vec<BoxFuture<'a, _>> = vec![Box::pin(self.put_commit(link))];
        if self.slot.expected == 0 {
            writes.push(Box::pin(self.put_name(link)));
        }
        if let Some(answer) = &self.append.answer {
            writes.push(Box::pin(self.put_answer(link, answer)));
        }
        if !self.append.effects.is_empty() || !self.append.settled.is_empty() {
            writes.push(Box::pin(self.put_effects(link)));
        }
        writes
    }

    async fn put_commit(&self, link: &Link) -> Result<(), JournalError> {
        let Placed { number, slot, .. } = *self;
        let seq = slot.expected.saturating_add(slot.events);
        let values = (
            &link.journal,
            &slot.entity,
            self.last_seq.cast_signed(),
            seq.cast_signed(),
            number,
            self.place,
            self.first_offset.cast_signed(),
            CqlTimestamp(self.append.at.div_euclid(1000)),
            names(&self.append),
            &*slot.body,
            number,
        );
        let put = &link.statements.commit_put;
        link.ask(put, values).await.map(drop)
    }

    async fn put_name(&self, link: &Link) -> Result<(), JournalError> {
        let entity = &self.slot.entity;
        let bucket = bucket(entity, NAME_BUCKETS);
        let values = (&link.journal, bucket, entity, self.number);
        let put = &link.statements.name_put;
        link.ask(put, values).await.map(drop)
    }

    async fn put_answer(&self, link: &Link, answer: &StoredAnswer) -> Result<(), JournalError> {
        let id = self.id("answer");
        let reply = answer.reply.clone();
        let reply = body::keep(link, reply, ROW_BYTES_MAX, id).await?;
        let values = (
            &link.journal,
            &self.slot.entity,
            key_id(&answer.key),
            &answer.key,
            answer.fingerprint.cast_signed(),
            &*reply,
            self.number,
        );
        link.ask(&link.statements.answer_put, values)
            .await
            .map(drop)
    }

    /// They lie in one partition, so many of them are one write.
    async fn put_effects(&self, link: &Link) -> Result<(), JournalError> {
        let mut writes: Vec<Write<'_>> = Vec::new();
        for effect in &self.append.effects {
            let EffectId { seq, n } = effect.id();
            let id = self.id(&format!("effect {seq} {n}"));
            let bytes = Bytes::from(effect.encode_to_vec());
            let column = body::keep(link, bytes, ROW_BYTES_MAX, id).await?;
            let values = (
                &link.journal,
                self.kind(),
                bucket(&self.slot.entity, EFFECT_BUCKETS),
                &self.slot.entity,
                seq.get().cast_signed(),
                i64::from(n),
                self.append.at,
                column.to_vec(),
                self.number,
            );
            writes.push((&link.statements.effect_put, Box::new(values)));
        }
        for EffectId { seq, n } in self.append.settled.iter().map(StoredId::id) {
            let values = (
                self.number,
                &link.journal,
                self.kind(),
                bucket(&self.slot.entity, EFFECT_BUCKETS),
                &self.slot.entity,
                seq.get().cast_signed(),
                i64::from(n),
            );
            writes.push((&link.statements.effect_delete, Box::new(values)));
        }
        while !writes.is_empty() {
            let rest = writes.split_off(writes.len().min(ROWS_TOGETHER));
            link.ask_together(std::mem::replace(&mut writes, rest))
                .await?;
        }
        Ok(())
    }

    /// What stands before the first `/`.
    fn kind(&self) -> &str {
        let entity = &*self.slot.entity;
        entity.split_once('/').map_or(entity, |(kind, _)| kind)
    }

    /// The name of parts, the same whoever writes them.
    fn id(&self, what: &str) -> Uuid {
        let name = format!("{} {} {what}", self.number, self.place);
        Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
    }
}

/// For people: those of the first events.
fn names(append: &StoredAppend) -> Vec<&str> {
    let events = append.events.iter().take(NAMES_SHOWN);
    events.map(|event| &*event.name).collect()
}

/// Takes an entity's events up to a sequence out of the log first, then out of its history: what is left of that says
/// what is left to do, if this is done again.
async fn deletion(link: &Link, number: i64, deletion: &Deletion) -> Result<(), JournalError> {
    let entity = stored::entity(&deletion.entity)?;
    let bucket = bucket(&deletion.entity, NAME_BUCKETS);
    let to = deletion.to.cast_signed();
    let values = (&link.journal, bucket, &deletion.entity, to, number);
    link.ask(&link.statements.deletion_put, values).await?;
    // What is appended behind this step is not its to take.
    let until = number.saturating_sub(1).cast_unsigned();
    let last = read::last_commit(link, &entity, until).await?;
    let mut history = History::of(link, &entity, 0, until);
    let (mut steps, mut parts) = (BTreeMap::<i64, Vec<i32>>::new(), Vec::new());
    let mut rest = None;
    while rest.is_none()
        && let Some(row) = history.next().await?
    {
        // Where there are none left, its slot in the log is not rewritten, and has the same parts.
        let is_full = !row.append.events.is_empty();
        if is_full && row.expected() < deletion.to {
            steps.entry(row.number).or_default().push(row.place);
        }
        if row.seq > deletion.to || Some(row.stands()) == last {
            rest = Some(row);
        } else if is_full && body::is_apart(&row.column) {
            parts.push(row.column);
        }
    }
    // Else somebody is further than this already.
    let Some(rest) = rest else {
        return Ok(());
    };
    for (step, places) in steps {
        blank_step(link, step, &places, deletion.to).await?;
    }
    let (seq, step, place) = rest.stands();
    let values = (number, &link.journal, entity.as_str(), seq, step, place);
    link.ask(&link.statements.commits_delete, values).await?;
    for column in parts {
        body::forget(link, &column).await?;
    }
    blank_row(link, number, &entity, rest, deletion.to).await
}

async fn blank_row(
    link: &Link,
    number: i64,
    entity: &EntityId,
    row: Row,
    to: u64,
) -> Result<(), JournalError> {
    let expected = row.expected();
    let (seq, step, place) = row.stands();
    let old = row.column;
    let Some(append) = blank(row.append, expected, to) else {
        return Ok(());
    };
    let column = keep_blank(link, &append, (step, place), to).await?;
    let values = (
        number,
        &*column,
        names(&append),
        &link.journal,
        entity.as_str(),
        seq,
        step,
        place,
    );
    link.ask(&link.statements.commit_rewrite, values).await?;
    body::forget(link, &old).await
}

/// A place in a step, counted from 0, so it fits.
fn index(place: i32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

/// An append without its events up to a sequence; `None` where they are gone already, with others perhaps that a later
/// deletion took.
fn blank(append: StoredAppend, expected: u64, to: u64) -> Option<StoredAppend> {
    let left = u64::try_from(append.events.len()).unwrap_or(u64::MAX);
    let gone = to.saturating_sub(expected);
    let gone = gone.min(append.gone.saturating_add(left));
    (gone > append.gone).then(|| append.without(gone))
}

/// The column for it, the same in the log and in the entity's history.
async fn keep_blank(
    link: &Link,
    append: &StoredAppend,
    (number, place): (i64, i32),
    to: u64,
) -> Result<Bytes, JournalError> {
    let name = format!("{number} {place} without {to}");
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes());
    let bytes = Bytes::from(append.encode_to_vec());
    body::keep(link, bytes, ROW_BYTES_MAX, id).await
}

/// Rewrites a step of the log without some events, whoever else does.
async fn blank_step(link: &Link, step: i64, places: &[i32], to: u64) -> Result<(), JournalError> {
    let number = step.cast_unsigned();
    loop {
        let found = read::step(link, number).await?;
        let found = found.ok_or_else(|| missing(number))?;
        let mut content = steps::content(link, number, found.body.clone()).await?;
        let Some(Deed::Appends(appends)) = &mut content.deed else {
            return Err(missing(number));
        };
        let mut is_blank = true;
        for &place in places {
            let slot = appends.slots.get_mut(index(place));
            let slot = slot.ok_or_else(|| missing(number))?;
            let append = steps::append(link, number, index(place), slot.body.clone()).await?;
            if let Some(append) = blank(append, slot.expected, to) {
                slot.body = keep_blank(link, &append, (step, place), to).await?;
                is_blank = false;
            }
        }
        if is_blank {
            return Ok(());
        }
        let bytes = Bytes::from(content.encode_to_vec());
        let id = Uuid::new_v4();
        let column = body::keep(link, bytes, body::STEP_BYTES_MAX, id).await?;
        let values = (
            found.revision.saturating_add(1),
            &*column,
            &link.journal,
            chunk(number).cast_signed(),
            step,
            found.revision,
        );
        if link.write_if(&link.statements.step_rewrite, values).await? {
            return body::forget(link, &found.body).await;
        }
        // Somebody else was faster, or the cluster gave up and this was done: then there is nothing left to do.
    }
}

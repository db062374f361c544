//! A step of the log, carried over into the tables that are read: entities' histories, answers, effects, epochs.
//!
//! All is written under the step's number as its timestamp. So it may be done twice, by two processes at a time, or long
//! after the steps behind it: what is there afterwards is the same.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use griot_core::{EffectId, EntityId, Offset, stable_hash};
use griot_journal::JournalError;
use prost::Message as _;
use scylla::value::CqlTimestamp;
use uuid::Uuid;

use crate::body::{self, ROW_BYTES_MAX};
use crate::chain::chunk;
use crate::link::{Link, all};
use crate::read::{self, History, Row};
use crate::stored::{
    self, Appends, Claim, Deed, Deletion, Slot, Step, StoredAnswer, StoredAppend, StoredEffect,
};

/// Over so many partitions the effects of a kind are spread.
pub(crate) const EFFECT_BUCKETS: i32 = 256;

/// How many of an append's events have their names beside it; a mutation is bounded.
const NAMES_SHOWN: usize = 100;

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
        });
        offset = offset.saturating_add(slot.events);
    }
    let put = placed.iter().map(|one| one.put(link));
    all(put.collect()).await.map(drop)
}

/// An append at its place.
struct Placed<'a> {
    number: i64,
    place: i32,
    slot: &'a Slot,
    /// The entity's after the whole step.
    last_seq: u64,
    first_offset: u64,
}

impl Placed<'_> {
    async fn put(&self, link: &Link) -> Result<(), JournalError> {
        let slot = self.slot;
        let bytes = body::read(link, slot.body.clone()).await?;
        let append: StoredAppend = stored::decoded(bytes, "an append")?;
        let seq = slot.expected.saturating_add(slot.events);
        let values = (
            &link.journal,
            &slot.entity,
            self.last_seq.cast_signed(),
            seq.cast_signed(),
            self.number,
            self.place,
            self.first_offset.cast_signed(),
            CqlTimestamp(append.at.div_euclid(1000)),
            names(&append),
            &*slot.body,
            self.number,
        );
        link.ask(&link.statements.commit_put, values).await?;
        if slot.expected == 0 {
            let bucket = bucket(&slot.entity, NAME_BUCKETS);
            let values = (&link.journal, bucket, &slot.entity, self.number);
            link.ask(&link.statements.name_put, values).await?;
        }
        if let Some(answer) = &append.answer {
            self.put_answer(link, answer).await?;
        }
        for effect in &append.effects {
            self.put_effect(link, &append, effect).await?;
        }
        for id in &append.settled {
            self.settle(link, id.id()).await?;
        }
        Ok(())
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

    async fn put_effect(
        &self,
        link: &Link,
        append: &StoredAppend,
        effect: &StoredEffect,
    ) -> Result<(), JournalError> {
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
            append.at,
            &*column,
            self.number,
        );
        link.ask(&link.statements.effect_put, values)
            .await
            .map(drop)
    }

    async fn settle(&self, link: &Link, id: EffectId) -> Result<(), JournalError> {
        let values = (
            self.number,
            &link.journal,
            self.kind(),
            bucket(&self.slot.entity, EFFECT_BUCKETS),
            &self.slot.entity,
            id.seq.get().cast_signed(),
            i64::from(id.n),
        );
        link.ask(&link.statements.effect_delete, values)
            .await
            .map(drop)
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
    let last = read::last_commit(link, &entity).await?;
    let mut gone: Vec<Row> = Vec::new();
    let mut history = History::of(link, &entity, 0);
    while let Some(row) = history.next().await? {
        if row.seq > deletion.to && row.expected() >= deletion.to {
            break;
        }
        // What was appended behind this step is not its to take.
        if row.number < number {
            gone.push(row);
        }
    }
    let mut steps: BTreeMap<i64, Vec<i32>> = BTreeMap::new();
    for row in &gone {
        steps.entry(row.number).or_default().push(row.place);
    }
    for (step, places) in steps {
        blank_step(link, step, &places, deletion.to).await?;
    }
    for row in gone {
        if row.seq <= deletion.to && Some((row.seq, row.number, row.place)) != last {
            let place = (row.seq.cast_signed(), row.number, row.place);
            let values = (
                number,
                &link.journal,
                entity.as_str(),
                place.0,
                place.1,
                place.2,
            );
            link.ask(&link.statements.commit_delete, values).await?;
            // Where there were none left, its slot in the log was not rewritten, and has the same parts.
            if !row.append.events.is_empty() {
                body::forget(link, &row.column).await?;
            }
        } else {
            blank_row(link, number, &entity, row, deletion.to).await?;
        }
    }
    Ok(())
}

async fn blank_row(
    link: &Link,
    number: i64,
    entity: &EntityId,
    row: Row,
    to: u64,
) -> Result<(), JournalError> {
    let expected = row.expected();
    let place = (row.seq.cast_signed(), row.number, row.place);
    let old = row.column;
    let Some(append) = blank(row.append, expected, to) else {
        return Ok(());
    };
    let column = keep_blank(link, &append, (place.1, place.2), to).await?;
    let values = (
        number,
        &*column,
        names(&append),
        &link.journal,
        entity.as_str(),
        place.0,
        place.1,
        place.2,
    );
    link.ask(&link.statements.commit_rewrite, values).await?;
    body::forget(link, &old).await
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
    let foreign = || stored::foreign(&format!("step {number} of the log"));
    loop {
        let found = read::step(link, number).await?.ok_or_else(foreign)?;
        let bytes = body::read(link, found.body.clone()).await?;
        let mut content: Step = stored::decoded(bytes, "a step of the log")?;
        let Some(Deed::Appends(appends)) = &mut content.deed else {
            return Err(foreign().into());
        };
        let mut is_blank = true;
        for &place in places {
            let index = usize::try_from(place).unwrap_or(usize::MAX);
            let slot = appends.slots.get_mut(index).ok_or_else(foreign)?;
            let bytes = body::read(link, slot.body.clone()).await?;
            let append = stored::decoded(bytes, "an append")?;
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

//! The log's end: who puts the next step there, and what it is.
//!
//! A step is put at the place after the last one that is known here, if nobody else was faster; and nobody puts one
//! before the last one is carried over into the other tables. So what they say is what the log says up to its last step,
//! and a judgement that rests on them holds exactly where the step does that was made of it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::try_join3;
use griot_core::{EntityId, Epoch, Offset, Seq};
use griot_journal::adapter::{Fault, Outcome, Store, Tip};
use griot_journal::{Append, Batch, JournalError, ShardId};
use prost::Message as _;
use tokio::sync::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use crate::CassandraError;
use crate::body::{self, ROW_BYTES_MAX, STEP_BYTES_MAX};
use crate::carry;
use crate::judge::{Judged, Known, count, judge};
use crate::link::{Link, all};
use crate::read;
use crate::steps::{self, missing};
use crate::stored::{self, Appends, Claim, Deed, Deletion, Slot, Step};

/// How many steps lie in one partition.
const CHUNK_STEPS: u64 = 256;

/// How many entities' sequences are remembered.
const SEQS_MAX: usize = 100_000;

/// The longest kind of a shard.
const KIND_BYTES_MAX: usize = 32 << 10;
/// Of a command's key: it is stored in a row, which has to fit a mutation, once its step is decided.
const KEY_BYTES_MAX: usize = 64 << 10;

/// The partition that a step lies in.
pub(crate) fn chunk(number: u64) -> u64 {
    number / CHUNK_STEPS
}

/// The last step of a partition.
pub(crate) fn chunk_end(chunk: u64) -> u64 {
    let next = chunk.saturating_add(1).saturating_mul(CHUNK_STEPS);
    next.saturating_sub(1)
}

/// How far the log is: everything up to here is in all tables.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Head {
    pub(crate) number: u64,
    pub(crate) last_offset: Offset,
}

/// The way to the log's end. There is one in a process, and one user of it at a time.
#[derive(Debug)]
pub(crate) struct Chain {
    link: Arc<Link>,
    tip: Arc<Tip>,
    head: Head,
    /// As they are at the head, as far as they were asked for.
    epochs: HashMap<ShardId, Epoch>,
    seqs: HashMap<EntityId, Seq>,
}

/// The committer's way to it.
#[derive(Debug)]
pub(crate) struct Committing(pub(crate) Arc<Mutex<Chain>>);

impl Store for Committing {
    async fn append(&mut self, batches: &[&Batch]) -> Result<Vec<Outcome>, Fault> {
        self.0.lock().await.append(batches).await
    }
}

impl Chain {
    /// Finds the log's end, and carries over what was left.
    pub(crate) async fn open(link: Arc<Link>, tip: Arc<Tip>) -> Result<Self, JournalError> {
        let head = progress(&link).await?;
        let mut chain = Self {
            link,
            tip,
            head,
            epochs: HashMap::new(),
            seqs: HashMap::new(),
        };
        // Where others append on and on, somebody is there who carries over.
        let deadline = chain.link.deadline();
        while !chain.is_at_the_end().await? && Instant::now() < deadline {}
        chain.tip.raise(chain.head.last_offset);
        Ok(chain)
    }

    async fn append(&mut self, batches: &[&Batch]) -> Result<Vec<Outcome>, Fault> {
        check_keys(batches).map_err(|error| Fault::Refused(error.into()))?;
        let link = Arc::clone(&self.link);
        let deadline = link.deadline();
        let mut bodies = Bodies::new(batches);
        loop {
            let known = self.know(batches).await.map_err(Fault::NotAsked)?;
            let judged = judge(batches, known, self.head.last_offset);
            // A refusal is as good as what it rests on.
            let is_done = if judged.taken.is_empty() {
                self.is_at_the_end().await.map_err(Fault::NotAsked)?
            } else {
                let slots = bodies.slots(&link, &judged).await;
                let slots = slots.map_err(Fault::NotAsked)?;
                let deed = Deed::Appends(Appends { slots });
                self.put(deed, judged.last_offset).await?
            };
            if is_done {
                self.remember(&judged);
                bodies.forget_others(&link, &judged).await;
                return Ok(judged.outcomes);
            }
            self.check_patience(deadline)?;
        }
    }

    /// Takes a shard over.
    pub(crate) async fn claim(&mut self, shard: &ShardId) -> Result<Epoch, Fault> {
        let (bytes, limit) = (shard.kind.len(), KIND_BYTES_MAX);
        if bytes > limit {
            let what = "the kind of a shard";
            return Err(Fault::Refused(
                CassandraError::TooLong { what, bytes, limit }.into(),
            ));
        }
        let deadline = self.link.deadline();
        loop {
            let epoch = self.epoch(shard).await.map_err(Fault::NotAsked)?.next();
            let claim = Claim {
                kind: shard.kind.to_string(),
                number: shard.number,
                epoch: epoch.get(),
            };
            if self.put(Deed::Claim(claim), self.head.last_offset).await? {
                self.epochs.insert(shard.clone(), epoch);
                return Ok(epoch);
            }
            self.check_patience(deadline)?;
        }
    }

    /// Deletes an entity's events up to a sequence.
    pub(crate) async fn delete(&mut self, entity: &EntityId, to: Seq) -> Result<(), Fault> {
        let link = Arc::clone(&self.link);
        let deadline = link.deadline();
        loop {
            let last = read::last_seq(&link, entity)
                .await
                .map_err(Fault::NotAsked)?;
            let to = to.min(last);
            let first = read::first_event(&link, entity, self.head.number).await;
            let first = first.map_err(Fault::NotAsked)?;
            if first.is_none_or(|first| first > to) {
                // As far as is known here: there may be more behind that.
                if self.is_at_the_end().await.map_err(Fault::NotAsked)? {
                    return Ok(());
                }
                self.check_patience(deadline)?;
                continue;
            }
            let deletion = Deletion {
                entity: entity.to_string(),
                to: to.get(),
            };
            if self
                .put(Deed::Deletion(deletion), self.head.last_offset)
                .await?
            {
                return Ok(());
            }
            self.check_patience(deadline)?;
        }
    }

    fn check_patience(&self, deadline: Instant) -> Result<(), Fault> {
        if Instant::now() < deadline {
            return Ok(());
        }
        let after = self.link.patience;
        Err(Fault::NotAsked(CassandraError::Crowded { after }.into()))
    }

    /// Puts a step at the log's end, unless somebody else was faster: then that one is known here.
    async fn put(&mut self, deed: Deed, last_offset: Offset) -> Result<bool, Fault> {
        let link = Arc::clone(&self.link);
        let (id, number) = (Uuid::new_v4(), self.head.number.saturating_add(1));
        let step = Step { deed: Some(deed) };
        let bytes = Bytes::from(step.encode_to_vec());
        let body = body::keep(&link, bytes, STEP_BYTES_MAX, id).await;
        let body = body.map_err(Fault::NotAsked)?;
        let values = (
            &link.journal,
            chunk(number).cast_signed(),
            number.cast_signed(),
            id,
            last_offset.get().cast_signed(),
            &*body,
        );
        if !link.write_if(&link.statements.step_put, values).await? {
            // Where the cluster gave up in between, the one who was faster may be this very one.
            let found = read::step(&link, number).await.map_err(Fault::Unknown)?;
            let found = found.ok_or_else(|| Fault::Unknown(missing(number)))?;
            if found.id != id {
                let adopted = self.adopt(found).await;
                // What is left behind takes room, nothing else.
                drop(body::forget(&link, &body).await);
                return adopted.map(|()| false).map_err(Fault::NotAsked);
            }
        }
        let carried = self.carry_over(&step, last_offset).await;
        carried.map(|()| true).map_err(Fault::Unknown)
    }

    /// Whether the last step that is known is the last one there is; if not, more is known afterwards.
    async fn is_at_the_end(&mut self) -> Result<bool, JournalError> {
        let link = Arc::clone(&self.link);
        let next = self.head.number.saturating_add(1);
        let Some(found) = read::step(&link, next).await? else {
            return Ok(true);
        };
        self.adopt(found).await?;
        Ok(false)
    }

    /// Takes in a step that somebody else put behind the last one known here.
    async fn adopt(&mut self, found: read::Found) -> Result<(), JournalError> {
        self.epochs.clear();
        self.seqs.clear();
        let progress = progress(&self.link).await?;
        if progress.number > self.head.number {
            self.head = progress;
            self.tip.raise(progress.last_offset);
            return Ok(());
        }
        // Whoever put it has not carried it over yet, or is gone. To do it twice does no harm.
        let next = self.head.number.saturating_add(1);
        let step = steps::content(&self.link, next, found.body).await?;
        self.carry_over(&step, found.last_offset).await
    }

    async fn carry_over(&mut self, step: &Step, last_offset: Offset) -> Result<(), JournalError> {
        let number = self.head.number.saturating_add(1);
        carry::over(&self.link, number, self.head.last_offset, step).await?;
        let number_signed = number.cast_signed();
        let values = (
            &self.link.journal,
            number_signed,
            last_offset.get().cast_signed(),
            number_signed,
        );
        let link = &self.link;
        link.ask(&link.statements.progress_put, values).await?;
        self.head = Head {
            number,
            last_offset,
        };
        self.tip.raise(last_offset);
        Ok(())
    }

    fn remember(&mut self, judged: &Judged<'_>) {
        if self.seqs.len() > SEQS_MAX {
            self.seqs.clear();
        }
        for (_, append) in &judged.taken {
            let seq = append.expected.get().saturating_add(count(append));
            self.seqs.insert(append.entity.clone(), Seq(seq));
        }
    }

    async fn epoch(&mut self, shard: &ShardId) -> Result<Epoch, JournalError> {
        if let Some(&epoch) = self.epochs.get(shard) {
            return Ok(epoch);
        }
        let epoch = read::epoch(&self.link, shard).await?;
        self.epochs.insert(shard.clone(), epoch);
        Ok(epoch)
    }

    /// What is stored of what the batches name.
    async fn know<'a>(&mut self, batches: &[&'a Batch]) -> Result<Known<'a>, JournalError> {
        let mut known = Known::default();
        let (mut shards, mut entities, mut keys) = (HashSet::new(), HashSet::new(), HashSet::new());
        for &batch in batches {
            match self.epochs.get(&batch.shard) {
                Some(&epoch) => drop(known.epochs.insert(&batch.shard, epoch)),
                None => drop(shards.insert(&batch.shard)),
            }
            for append in &batch.appends {
                match self.seqs.get(&append.entity) {
                    Some(&seq) => drop(known.seqs.insert(&append.entity, seq)),
                    None => drop(entities.insert(&append.entity)),
                }
                let key = append.answer.as_ref().map(|answer| &*answer.key);
                keys.extend(key.map(|key| (&append.entity, key)));
            }
        }
        let link = &*self.link;
        let epochs = shards
            .into_iter()
            .map(async |shard: &'a ShardId| Ok((shard, read::epoch(link, shard).await?)));
        let seqs = entities
            .into_iter()
            .map(async |entity: &'a EntityId| Ok((entity, read::last_seq(link, entity).await?)));
        let answers = keys
            .into_iter()
            .map(async |(entity, key): (&'a EntityId, &'a str)| {
                Ok(((entity, key), read::answer(link, entity, key).await?))
            });
        let (epochs, seqs, answers) = try_join3(
            all(epochs.collect()),
            all(seqs.collect()),
            all(answers.collect()),
        )
        .await?;
        for (shard, epoch) in epochs {
            self.epochs.insert(shard.clone(), epoch);
            known.epochs.insert(shard, epoch);
        }
        known.seqs.extend(seqs);
        let found = answers
            .into_iter()
            .filter_map(|(key, answer)| Some((key, answer?)));
        known.answers.extend(found);
        Ok(known)
    }
}

/// How far the log is carried over.
pub(crate) async fn progress(link: &Link) -> Result<Head, JournalError> {
    let rows: Vec<(i64, i64)> = link
        .rows(&link.statements.progress, (&link.journal,))
        .await?;
    let head = rows.first().map(|&(number, last_offset)| Head {
        number: number.cast_unsigned(),
        last_offset: Offset(last_offset.cast_unsigned()),
    });
    Ok(head.unwrap_or_default())
}

/// The bodies of a group's appends, each written once, however often the group is put.
struct Bodies {
    id: Uuid,
    columns: Vec<Option<Bytes>>,
}

impl Bodies {
    fn new(batches: &[&Batch]) -> Self {
        let count = batches.iter().map(|batch| batch.appends.len()).sum();
        Self {
            id: Uuid::new_v4(),
            columns: vec![None; count],
        }
    }

    async fn slots(&mut self, link: &Link, judged: &Judged<'_>) -> Result<Vec<Slot>, JournalError> {
        let mut slots = Vec::with_capacity(judged.taken.len());
        for &(place, append) in &judged.taken {
            slots.push(Slot {
                entity: append.entity.to_string(),
                expected: append.expected.get(),
                events: count(append),
                body: self.column(link, place, append).await?,
            });
        }
        Ok(slots)
    }

    async fn column(
        &mut self,
        link: &Link,
        place: usize,
        append: &Append,
    ) -> Result<Bytes, JournalError> {
        if let Some(Some(column)) = self.columns.get(place) {
            return Ok(column.clone());
        }
        let bytes = Bytes::from(stored::stored(append).encode_to_vec());
        let id = Uuid::new_v5(&self.id, place.to_string().as_bytes());
        let column = body::keep(link, bytes, ROW_BYTES_MAX, id).await?;
        if let Some(known) = self.columns.get_mut(place) {
            *known = Some(column.clone());
        }
        Ok(column)
    }

    /// Takes away the parts of those that are not stored after all.
    async fn forget_others(&mut self, link: &Link, judged: &Judged<'_>) {
        for (place, _) in &judged.taken {
            if let Some(taken) = self.columns.get_mut(*place) {
                *taken = None;
            }
        }
        for column in self.columns.iter().flatten() {
            // What is left behind takes room, nothing else.
            drop(body::forget(link, column).await);
        }
    }
}

fn check_keys(batches: &[&Batch]) -> Result<(), CassandraError> {
    let appends = batches.iter().flat_map(|batch| &batch.appends);
    let keys = appends.filter_map(|append| append.answer.as_ref());
    let longest = keys.map(|answer| answer.key.len()).max().unwrap_or(0);
    if longest > KEY_BYTES_MAX {
        return Err(CassandraError::TooLong {
            what: "a key",
            bytes: longest,
            limit: KEY_BYTES_MAX,
        });
    }
    Ok(())
}

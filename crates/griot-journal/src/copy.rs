//! A journal's history carried to another, whole: resumable, and the same however often it is begun.

mod agreement;
mod stand_in;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use griot_core::{EntityId, Epoch, Offset, Seq, Timestamp};

use crate::{
    Append, AppendError, Archive, Batch, Journal, JournalError, Kept, Mark, Remains, ShardId,
};
use agreement::agree;
use stand_in::{deleted, filler, is_filler};

/// Appends that are read, and written, at a time.
const PAGE: usize = 1_000;

/// Bytes of payloads that are written at a time, beyond those of one append.
const BATCH_BYTES: usize = 4 << 20;

/// Deletions that are read at a time.
const DELETIONS: usize = 10_000;

/// Why a history was not carried over. What was carried so far stays; begin again to go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The journal that is read.
    #[error("the journal that is copied cannot be read")]
    Source(#[source] JournalError),
    /// The journal that is written.
    #[error("the journal that is copied to cannot be written")]
    Target(#[source] JournalError),
    /// The journal that is written refused, or may not have stored, what it was given.
    #[error("the journal that is copied to did not take an append")]
    Append(#[from] AppendError),
    /// The target is not an earlier state of the source.
    #[error(
        "at offset {offset} the target holds what the source does not: copy to an empty journal, or to one that nothing \
         but this copy has written to"
    )]
    Diverged {
        /// Where.
        offset: Offset,
    },
}

/// What was carried over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Appends that the target did not have before.
    pub appends: u64,
    /// Their events.
    pub events: u64,
    /// The offset of the last event of both.
    pub last_offset: Offset,
}

/// Carries everything that `from` holds and `to` does not over to it: events with their sequences, offsets, times,
/// tags and metadata, effects and which of them are settled, keys with their answers, deletions, and the epochs of
/// shards. Where the target's last offset is, it goes on, so it may be interrupted and begun again at any time;
/// only what was begun and ended without interruption is whole. Snapshots are not carried: they are a cache.
///
/// Others may write to `from` meanwhile; what they write after it has ended is for the next time. Nobody else may
/// write to `to`. `progress` is told how far it is.
///
/// A key that `from` answered twice, since it had forgotten the first time, keeps the first answer where `to` remembers
/// more. The room that wholly deleted appends took may be dealt out to their entities in another order.
///
/// # Errors
///
/// Any [`CopyError`].
///
/// # Cancel safety
///
/// It may be dropped at any time, and begun again.
pub async fn copy(
    from: &dyn Archive,
    to: &dyn Archive,
    mut progress: impl FnMut(Offset),
) -> Result<Copied, CopyError> {
    let mut copying = Copying::begin(from, to).await?;
    // What is appended from now on is for the next time, or a busy source would never be done.
    let end = last_offset(from).await.map_err(CopyError::Source)?;
    while copying.last() <= end {
        let page = from.appends(copying.mark, PAGE).await;
        let page = page.map_err(CopyError::Source)?;
        if page.is_empty() {
            break;
        }
        for kept in page {
            copying.take(kept).await?;
        }
        copying.flush().await?;
        progress(copying.last());
    }
    copying.delete().await?;
    copying.claim().await?;
    copying.copied.last_offset = copying.last();
    Ok(copying.copied)
}

/// The offset of a journal's last event.
///
/// # Errors
///
/// Any [`JournalError`].
pub async fn last_offset(journal: &dyn Journal) -> Result<Offset, JournalError> {
    // What an append of nothing is told.
    let nothing = Batch {
        shard: shard(),
        epoch: Epoch::ZERO,
        appends: Vec::new(),
    };
    let appended = journal.append(Arc::new(nothing)).await;
    let appended = appended.map_err(|error| match error {
        AppendError::Refused(error) | AppendError::Unknown(error) => error,
        other => JournalError::Store(Arc::new(other)),
    })?;
    Ok(appended.last_offset)
}

fn shard() -> ShardId {
    ShardId {
        kind: "griot-copy".into(),
        number: 0,
    }
}

/// A copy under way.
struct Copying<'a> {
    from: &'a dyn Archive,
    to: &'a dyn Archive,
    epoch: Epoch,
    /// How far the source was read.
    mark: Mark,
    /// The offset that the target's next event gets.
    next: Offset,
    batch: Vec<Append>,
    bytes: usize,
    /// Whose deleted events take room that the source does not give any more; found out when it is met.
    room: Option<VecDeque<Room>>,
    /// Where the room of each entity that had some ended; before, where it began.
    begun: HashMap<EntityId, Seq>,
    copied: Copied,
}

/// Events of an entity that are gone from the source without a trace, but for their number.
struct Room {
    entity: EntityId,
    from: Seq,
    to: Seq,
}

impl<'a> Copying<'a> {
    async fn begin(from: &'a dyn Archive, to: &'a dyn Archive) -> Result<Self, CopyError> {
        let last = last_offset(to).await.map_err(CopyError::Target)?;
        let mut mark = Mark {
            offset: last,
            appends: 0,
        };
        let mut here = mark;
        loop {
            let page = to.appends(here, PAGE).await.map_err(CopyError::Target)?;
            if page.is_empty() {
                break;
            }
            for kept in page {
                here.pass(kept.offset);
                if !is_filler(&kept.append) {
                    mark.appends = mark.appends.saturating_add(1);
                }
            }
        }
        agree(from, to, mark).await?;
        let epoch = to.claim(&shard()).await.map_err(CopyError::Target)?;
        Ok(Self {
            from,
            to,
            epoch,
            mark,
            next: last.next(),
            batch: Vec::new(),
            bytes: 0,
            room: None,
            begun: HashMap::new(),
            copied: Copied::default(),
        })
    }

    /// The offset of the target's last event.
    fn last(&self) -> Offset {
        Offset(self.next.get().saturating_sub(1))
    }

    async fn take(&mut self, kept: Kept) -> Result<(), CopyError> {
        let events = kept.events();
        let begins = match events {
            0 => kept.offset.next(),
            _ => kept.offset,
        };
        self.make_room(begins, kept.append.at).await?;
        if self.next != begins {
            return Err(CopyError::Diverged { offset: begins });
        }
        self.mark.pass(kept.offset);
        self.copied.appends = self.copied.appends.saturating_add(1);
        self.copied.events = self.copied.events.saturating_add(events);
        let mut append = kept.append;
        append.events.splice(..0, deleted(kept.deleted));
        self.push(append).await
    }

    /// Fills the target up to an offset with events in place of those that are gone.
    async fn make_room(&mut self, begins: Offset, at: Timestamp) -> Result<(), CopyError> {
        while self.next < begins {
            if self.room.is_none() {
                self.flush().await?;
                self.room = Some(self.find_room().await?);
            }
            let missing = CopyError::Diverged { offset: self.next };
            let room = self.room.as_mut().and_then(VecDeque::front_mut);
            let room = room.ok_or(missing)?;
            let left = begins.get().saturating_sub(self.next.get());
            let page = u64::try_from(PAGE).unwrap_or(u64::MAX);
            let gone = room.to.get().saturating_sub(room.from.get());
            let count = gone.min(left).min(page);
            let append = Append {
                events: deleted(count).collect(),
                ..filler(room.entity.clone(), room.from, at)
            };
            room.from = Seq(room.from.get().saturating_add(count));
            let is_full = room.from >= room.to;
            if is_full {
                // With what outlived them, or it would be missed where this is interrupted.
                self.flush().await?;
            }
            self.push(append).await?;
            let full = self.room.as_mut().filter(|_| is_full);
            if let Some(room) = full.and_then(VecDeque::pop_front) {
                self.keep(room, at).await?;
            }
        }
        Ok(())
    }

    /// Gives an entity whose room is full what outlived the events that took it.
    async fn keep(&mut self, room: Room, at: Timestamp) -> Result<(), CopyError> {
        let remains = self.from.remains(&room.entity).await;
        let Remains { effects, answers } = remains.map_err(CopyError::Source)?;
        let known = self.begun.get(&room.entity).copied().unwrap_or_default();
        let appended = filler(room.entity, room.to, at);
        for (at, record) in effects {
            // Those of before were carried with what they were recorded with, or have been kept already.
            if record.id.seq >= known {
                let effects = vec![record];
                let append = appended.clone();
                self.batch.push(Append {
                    at,
                    effects,
                    ..append
                });
            }
        }
        for answer in answers {
            let answer = Some(answer);
            let append = appended.clone();
            self.batch.push(Append { answer, ..append });
        }
        self.begun.insert(appended.entity, room.to);
        Ok(())
    }

    /// Reads the rest of the source for entities that go on at a higher sequence than they were left at: the one
    /// that does so first is first, so that each has its room in time.
    async fn find_room(&mut self) -> Result<VecDeque<Room>, CopyError> {
        let mut seqs: HashMap<EntityId, Seq> = HashMap::new();
        let mut room = VecDeque::new();
        let mut mark = self.mark;
        loop {
            let page = self.from.appends(mark, PAGE).await;
            let page = page.map_err(CopyError::Source)?;
            if page.is_empty() {
                return Ok(room);
            }
            for kept in page {
                mark.pass(kept.offset);
                let (entity, to) = (&kept.append.entity, kept.append.expected);
                let from = match seqs.get(entity) {
                    Some(&seq) => seq,
                    None => self.to.last_seq(entity).await.map_err(CopyError::Target)?,
                };
                if from < to {
                    let entity = entity.clone();
                    self.begun.entry(entity.clone()).or_insert(from);
                    room.push_back(Room { entity, from, to });
                }
                let last = Seq(to.get().saturating_add(kept.events()));
                seqs.insert(kept.append.entity, last);
            }
        }
    }

    async fn push(&mut self, append: Append) -> Result<(), CopyError> {
        let events = u64::try_from(append.events.len()).unwrap_or(u64::MAX);
        self.next = Offset(self.next.get().saturating_add(events));
        let bytes = append.events.iter().map(|event| event.payload.len());
        let bytes = bytes.fold(0_usize, usize::saturating_add);
        if self.bytes.saturating_add(bytes) > BATCH_BYTES || self.batch.len() >= PAGE {
            self.flush().await?;
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.batch.push(append);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), CopyError> {
        let appends = std::mem::take(&mut self.batch);
        self.bytes = 0;
        match self.append(appends.clone()).await {
            // Some key was answered twice, which the target remembers for longer.
            Err(
                AppendError::Answered { .. }
                | AppendError::Refused(JournalError::RepeatedKey { .. }),
            ) => {}
            outcome => return Ok(outcome?),
        }
        for append in appends {
            match self.append(vec![append.clone()]).await {
                Err(AppendError::Answered { .. }) => {
                    let answer = None;
                    self.append(vec![Append { answer, ..append }]).await?;
                }
                outcome => outcome?,
            }
        }
        Ok(())
    }

    async fn append(&self, appends: Vec<Append>) -> Result<(), AppendError> {
        let batch = Batch {
            shard: shard(),
            epoch: self.epoch,
            appends,
        };
        self.to.append(Arc::new(batch)).await.map(drop)
    }

    /// Deletes what is deleted in the source.
    async fn delete(&self) -> Result<(), CopyError> {
        let done = deletions(self.to).await.map_err(CopyError::Target)?;
        let wanted = deletions(self.from).await.map_err(CopyError::Source)?;
        for (entity, seq) in wanted {
            if done.get(&entity).is_none_or(|&done| done < seq) {
                let deleting = self.to.delete(&entity, seq).await;
                deleting.map_err(CopyError::Target)?;
            }
        }
        Ok(())
    }

    /// Claims each shard of the source as often as it was claimed there: whoever owned it then is not its owner here.
    async fn claim(&self) -> Result<(), CopyError> {
        let claimed = self.to.shards().await.map_err(CopyError::Target)?;
        let claimed: HashMap<_, _> = claimed.into_iter().collect();
        let wanted = self.from.shards().await.map_err(CopyError::Source)?;
        for (shard, epoch) in wanted {
            let mut here = claimed.get(&shard).copied().unwrap_or(Epoch::ZERO);
            while here < epoch && shard.kind != "griot-copy" {
                here = self.to.claim(&shard).await.map_err(CopyError::Target)?;
            }
        }
        Ok(())
    }
}

async fn deletions(journal: &dyn Archive) -> Result<HashMap<EntityId, Seq>, JournalError> {
    let mut all = HashMap::new();
    let mut after: Option<EntityId> = None;
    loop {
        let page = journal.deletions(after.as_ref(), DELETIONS).await?;
        let Some((last, _)) = page.last() else {
            return Ok(all);
        };
        after = Some(last.clone());
        all.extend(page);
    }
}

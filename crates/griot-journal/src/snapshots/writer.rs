//! The writer of snapshots: a thread that takes all that waits into one transaction.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use griot_core::{EntityId, Seq};
use redb::{Database, Durability, ReadableTable, Table};
use tokio::sync::oneshot;

use super::stored::{ENTITIES, SNAPSHOTS, decode, encode};
use super::{Known, store};
use crate::{JournalError, Snapshot, SnapshotBounds};

type Reply = oneshot::Sender<Result<(), JournalError>>;

/// What the writer is asked to do.
#[derive(Debug)]
pub(super) enum Change {
    Save {
        snapshot: Snapshot,
        keep: usize,
        reply: Reply,
    },
    Delete {
        entity: EntityId,
        bounds: SnapshotBounds,
        reply: Reply,
    },
}

#[derive(Debug)]
pub(super) struct Writer {
    database: Arc<Database>,
    known: Known,
    changes: Receiver<Change>,
    /// Transactions since the last one that was synced.
    unsynced: u32,
}

/// Changes that are made in one transaction.
const BATCH_CHANGES_MAX: usize = 256;
/// Transactions after which one is synced. Space is only reused after a sync.
const UNSYNCED_MAX: u32 = 32;
/// How long the last transaction of a row stays unsynced.
const SYNC_AFTER: Duration = Duration::from_secs(1);

impl Writer {
    pub(super) fn new(database: Arc<Database>, known: Known, changes: Receiver<Change>) -> Self {
        Self {
            database,
            known,
            changes,
            unsynced: 0,
        }
    }

    /// Works until nobody can ask any more.
    pub(super) fn run(mut self) {
        loop {
            let first = if self.unsynced == 0 {
                self.changes
                    .recv()
                    .map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                self.changes.recv_timeout(SYNC_AFTER)
            };
            let first = match first {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let more = self.changes.try_iter().take(BATCH_CHANGES_MAX);
            let batch: Vec<_> = first.into_iter().chain(more).collect();
            if batch.is_empty() {
                self.sync();
            } else {
                self.write(batch);
            }
        }
        if self.unsynced > 0 {
            self.sync();
        }
    }

    fn write(&mut self, batch: Vec<Change>) {
        self.unsynced = self.unsynced.saturating_add(1);
        let durable = self.unsynced >= UNSYNCED_MAX;
        let written = self.transact(&batch, durable).map_err(store);
        if let Err(error) = &written {
            tracing::warn!(%error, "snapshots could not be written: recovery will replay more");
        } else if durable {
            self.unsynced = 0;
        }
        for change in batch {
            let (Change::Save { reply, .. } | Change::Delete { reply, .. }) = change;
            // Who asked may have gone.
            drop(reply.send(written.clone()));
        }
    }

    fn sync(&mut self) {
        match self.transact(&[], true) {
            Ok(()) => self.unsynced = 0,
            Err(error) => tracing::warn!(%error, "snapshots could not be synced"),
        }
    }

    fn transact(&self, batch: &[Change], durable: bool) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(if durable {
            Durability::Immediate
        } else {
            Durability::None
        })?;
        // Otherwise the file would be read whole at the first start after a crash.
        transaction.set_quick_repair(durable);
        {
            let mut snapshots = transaction.open_table(SNAPSHOTS)?;
            let mut entities = transaction.open_table(ENTITIES)?;
            for change in batch {
                match change {
                    Change::Save { snapshot, keep, .. } => {
                        let name = snapshot.entity.as_str();
                        entities.insert(name, ())?;
                        snapshots
                            .insert((name, snapshot.seq.get()), encode(snapshot).as_slice())?;
                        retain_newest(&mut snapshots, name, *keep)?;
                    }
                    Change::Delete { entity, bounds, .. } => {
                        delete(&mut snapshots, entity, *bounds)?;
                    }
                }
            }
        }
        transaction.commit()?;
        for change in batch {
            if let Change::Save { snapshot, .. } = change {
                self.known.add(snapshot.entity.as_str());
            }
        }
        Ok(())
    }
}

type Snapshots<'t> = Table<'t, (&'static str, u64), &'static [u8]>;

fn retain_newest(
    snapshots: &mut Snapshots<'_>,
    name: &str,
    keep: usize,
) -> Result<(), redb::Error> {
    let all = snapshots.range((name, 0)..=(name, u64::MAX))?;
    let surplus: Vec<_> = all
        .rev()
        .skip(keep)
        .map(|entry| entry.map(|(key, _)| key.value().1))
        .collect::<Result<_, _>>()?;
    for seq in surplus {
        snapshots.remove((name, seq))?;
    }
    Ok(())
}

/// Deletes what lies within `bounds`, and what cannot be read.
fn delete(
    snapshots: &mut Snapshots<'_>,
    entity: &EntityId,
    bounds: SnapshotBounds,
) -> Result<(), redb::Error> {
    let name = entity.as_str();
    let mut gone = Vec::new();
    for entry in snapshots.range((name, 0)..=(name, bounds.seq.get()))? {
        let (key, value) = entry?;
        let seq = key.value().1;
        let snapshot = decode(entity, Seq(seq), value.value());
        if snapshot.is_none_or(|snapshot| snapshot.at <= bounds.at) {
            gone.push(seq);
        }
    }
    for seq in gone {
        snapshots.remove((name, seq))?;
    }
    Ok(())
}

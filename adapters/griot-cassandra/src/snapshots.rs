//! Snapshots beside the journal, as rows of one table.

use std::future::ready;

use bytes::Bytes;
use griot_core::{EntityId, Seq, Timestamp};
use griot_journal::{
    BoxFuture, JournalError, SNAPSHOT_BYTES_MAX, Snapshot, SnapshotBounds, SnapshotStore,
};
use uuid::Uuid;

use crate::body::{self, ROW_BYTES_MAX};
use crate::journal::CassandraJournal;
use crate::link::{Link, Pages};

/// Sequence, moment, fingerprint, body.
type Row = (i64, i64, i64, Vec<u8>);

/// An entity's snapshots up to a sequence, the newest first.
fn kept<'a>(
    link: &'a Link,
    entity: &'a EntityId,
    to: Seq,
) -> Pages<'a, (&'a String, &'a str, i64)> {
    let to = i64::try_from(to.get()).unwrap_or(i64::MAX);
    let values = (&link.journal, entity.as_str(), to);
    link.pages(&link.statements.snapshots, values)
}

async fn save(link: &Link, snapshot: Snapshot, keep: usize) -> Result<(), JournalError> {
    let entity = &snapshot.entity;
    let seq = snapshot.seq.get().cast_signed();
    let before: Vec<Row> = kept(link, entity, Seq::MAX).all().await?;
    let payload = snapshot.payload.clone();
    let payload = body::keep(link, payload, ROW_BYTES_MAX, Uuid::new_v4()).await?;
    let values = (
        &link.journal,
        entity.as_str(),
        seq,
        snapshot.at.as_micros(),
        snapshot.fingerprint.cast_signed(),
        &*payload,
    );
    link.ask(&link.statements.snapshot_put, values).await?;
    let (same, others): (Vec<_>, Vec<_>) =
        before.into_iter().partition(|(other, ..)| *other == seq);
    for (.., replaced) in same {
        body::forget(link, &Bytes::from(replaced)).await?;
    }
    let newer = others.iter().filter(|(other, ..)| *other > seq).count();
    if newer >= keep {
        drop_row(link, entity, seq, payload).await?;
    }
    let room = keep.saturating_sub(usize::from(newer < keep));
    for (other, _, _, column) in others.into_iter().skip(room) {
        drop_row(link, entity, other, column.into()).await?;
    }
    Ok(())
}

async fn drop_row(
    link: &Link,
    entity: &EntityId,
    seq: i64,
    column: Bytes,
) -> Result<(), JournalError> {
    let values = (&link.journal, entity.as_str(), seq);
    link.ask(&link.statements.snapshot_delete, values).await?;
    body::forget(link, &column).await
}

async fn load(
    link: &Link,
    entity: &EntityId,
    bounds: SnapshotBounds,
) -> Result<Option<Snapshot>, JournalError> {
    let mut pages = kept(link, entity, bounds.seq);
    while let Some(rows) = pages.next::<Row>().await? {
        for (seq, at, fingerprint, column) in rows {
            let at = Timestamp::from_micros(at);
            if at > bounds.at {
                continue;
            }
            // Its parts may be gone by now: another one took its place.
            let payload = body::find(link, column.into()).await?;
            return Ok(payload.map(|payload| Snapshot {
                entity: entity.clone(),
                seq: Seq(seq.cast_unsigned()),
                at,
                fingerprint: fingerprint.cast_unsigned(),
                payload,
            }));
        }
    }
    Ok(None)
}

async fn delete(
    link: &Link,
    entity: &EntityId,
    bounds: SnapshotBounds,
) -> Result<(), JournalError> {
    let rows: Vec<Row> = kept(link, entity, bounds.seq).all().await?;
    for (seq, at, _, column) in rows {
        if Timestamp::from_micros(at) <= bounds.at {
            drop_row(link, entity, seq, column.into()).await?;
        }
    }
    Ok(())
}

impl SnapshotStore for CassandraJournal {
    fn save(&self, snapshot: Snapshot, keep: usize) -> BoxFuture<'_, Result<(), JournalError>> {
        let bytes = snapshot.payload.len();
        if bytes > SNAPSHOT_BYTES_MAX {
            let (what, limit) = ("a snapshot", SNAPSHOT_BYTES_MAX);
            return Box::pin(ready(Err(JournalError::TooLarge { what, bytes, limit })));
        }
        Box::pin(async move { save(self.link()?, snapshot, keep).await })
    }

    fn load<'a>(
        &'a self,
        entity: &'a EntityId,
        bounds: SnapshotBounds,
    ) -> BoxFuture<'a, Result<Option<Snapshot>, JournalError>> {
        Box::pin(async move { load(self.link()?, entity, bounds).await })
    }

    fn delete<'a>(
        &'a self,
        entity: &'a EntityId,
        bounds: SnapshotBounds,
    ) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move { delete(self.link()?, entity, bounds).await })
    }
}
